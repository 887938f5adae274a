//! One JSON object: each table by its name, as a list of objects. Lengths are in seconds, times in
//! seconds since 1970, what is not known is null. The tables of figures are one object each.

use serde_json::{Map, Value};

use crate::table::{Cell, Report, Table};

/// The report as JSON, with a line end.
#[must_use]
pub fn to_json(report: &Report) -> String {
    let tables = report.tables.iter().map(|table| {
        let rows = table
            .rows
            .iter()
            .map(|row| Value::Object(object(table, row)));
        (table.name.to_owned(), Value::Array(rows.collect()))
    });
    let object: Map<String, Value> = tables.collect();
    format!("{:#}\n", Value::Object(object))
}

fn object(table: &Table, row: &[Cell]) -> Map<String, Value> {
    let columns = table.columns.iter().zip(row);
    columns
        .map(|(column, cell)| (column.key.to_owned(), value(cell)))
        .collect()
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Nothing => Value::Null,
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Count(count) => Value::from(*count),
        Cell::Length(length) => Value::from(length.0),
        Cell::Time(at) => Value::from(at.0),
        // As in CSV, so that both say the same.
        Cell::Share(share) => Value::from((share * 10_000.0).round() / 10_000.0),
        Cell::Flag(flag) => Value::from(*flag),
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::Timestamp;

    use super::*;

    #[test]
    fn each_kind_of_cell_has_its_kind_of_value() {
        let columns = ["a", "b", "c", "d", "e", "f", "g"].map(|key| (key, ""));
        let mut table = Table::new("t", "", "", &columns);
        table.rows.push(vec![
            Cell::Nothing,
            Cell::text(b"\"\x1b"),
            Cell::Count(1),
            Cell::seconds(Some(301)),
            Cell::Time(Timestamp(5)),
            Cell::share(1, 3),
            Cell::Flag(true),
        ]);
        let json = to_json(&Report {
            tables: vec![table],
        });
        let value: Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(
            value,
            serde_json::json!({"t": [{
                "a": null, "b": "\"\\x1b", "c": 1, "d": 301, "e": 5, "f": 0.3333, "g": true
            }]})
        );
    }
}
