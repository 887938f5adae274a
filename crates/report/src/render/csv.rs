//! One table as comma-separated values.
//!
//! Source: RFC 4180 §2; line ends are `\n`, as programs of Unix expect them.

use crate::table::{Cell, Table};

/// A table as CSV, with a head. A text that a spreadsheet would take for a formula has a `'` before it.
#[must_use]
pub fn to_csv(table: &Table) -> String {
    let mut out = String::new();
    let heads = table.columns.iter().map(|column| column.key.to_owned());
    push_line(&mut out, heads);
    for row in &table.rows {
        push_line(&mut out, row.iter().map(field));
    }
    out
}

fn push_line(out: &mut String, fields: impl Iterator<Item = String>) {
    for (nth, field) in fields.enumerate() {
        if nth > 0 {
            out.push(',');
        }
        if field.contains(['"', ',']) {
            out.push_str(&format!("\"{}\"", field.replace('"', "\"\"")));
        } else {
            out.push_str(&field);
        }
    }
    out.push('\n');
}

fn field(cell: &Cell) -> String {
    let text = cell.plain();
    match cell {
        Cell::Text(_) if text.starts_with(['=', '+', '-', '@']) => format!("'{text}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_needed_and_no_formula() {
        let mut table = Table::new("t", "", "", &[("a", ""), ("b", "")]);
        for text in ["x", "a,b", "\"q\"", "=1+1", "-x@y", "\n"] {
            let row = vec![Cell::text(text.as_bytes()), Cell::Count(1)];
            table.rows.push(row);
        }
        assert_eq!(
            to_csv(&table),
            "a,b\nx,1\n\"a,b\",1\n\"\"\"q\"\"\",1\n'=1+1,1\n'-x@y,1\n\\x0a,1\n"
        );
    }
}
