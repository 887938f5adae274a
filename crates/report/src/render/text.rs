//! Aligned tables for a terminal or a mail.

use greylatch_core::Timestamp;

use crate::table::{Report, Table};

/// The report as text, of each table at most so many rows, all if `rows` is 0; `when` writes a time.
#[must_use]
pub fn to_text(report: &Report, rows: usize, when: &dyn Fn(Timestamp) -> String) -> String {
    let mut out = String::new();
    for table in &report.tables {
        if !out.is_empty() {
            out.push('\n');
        }
        push_table(&mut out, table, rows, when);
    }
    out
}

fn push_table(out: &mut String, table: &Table, rows: usize, when: &dyn Fn(Timestamp) -> String) {
    out.push_str(table.title);
    out.push('\n');
    if table.rows.is_empty() {
        out.push_str("  none\n");
        return;
    }
    let (shown, left) = table.shown(rows);
    let heads: Vec<String> = table
        .columns
        .iter()
        .map(|column| column.head.to_owned())
        .collect();
    let mut lines = vec![heads];
    for row in shown {
        lines.push(row.iter().map(|cell| cell.shown(when)).collect());
    }
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|column| {
            lines
                .iter()
                .map(|line| width(&line[column]))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let numbers: Vec<bool> = (0..table.columns.len())
        .map(|column| table.rows.iter().any(|row| row[column].is_number()))
        .collect();
    for line in &lines {
        push_line(out, line, &widths, &numbers);
    }
    if left > 0 {
        out.push_str(&format!("  and {left} more\n"));
    }
    if !table.note.is_empty() {
        out.push_str(&format!("  ({})\n", table.note));
    }
}

fn push_line(out: &mut String, line: &[String], widths: &[usize], numbers: &[bool]) {
    let start = out.len();
    for (column, text) in line.iter().enumerate() {
        let filling = " ".repeat(widths[column] - width(text));
        out.push_str("  ");
        if numbers[column] {
            out.push_str(&filling);
            out.push_str(text);
        } else {
            out.push_str(text);
            out.push_str(&filling);
        }
    }
    out.truncate(start + out[start..].trim_end().len());
    out.push('\n');
}

/// How many characters; wide ones count as one.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cell;

    #[test]
    fn columns_are_aligned_and_what_is_left_out_is_said() {
        let mut table = Table::new("t", "Title", "note", &[("a", "NAME"), ("b", "COUNT")]);
        for (name, count) in [("käse", 7), ("x\x1b", 1_000), ("z", 1)] {
            table
                .rows
                .push(vec![Cell::text(name.as_bytes()), Cell::Count(count)]);
        }
        let empty = Table::new("e", "Empty", "note", &[("a", "NAME")]);
        let report = Report {
            tables: vec![table, empty],
        };
        let when = |at: Timestamp| at.0.to_string();
        assert_eq!(
            to_text(&report, 2, &when),
            "Title\n  NAME   COUNT\n  käse       7\n  x\\x1b   1000\n  and 1 more\n  (note)\n\nEmpty\n  none\n"
        );
        assert!(!to_text(&report, 0, &when).contains("more"));
    }
}
