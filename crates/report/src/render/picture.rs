//! Bars as inline SVG. Each says its number beside it, so nothing is told by colour alone; colours are
//! those of the page around, light or dark.
//!
//! Source: SVG 2; WAI-ARIA Graphics Module (`role="img"` with a title).

use greylatch_core::Timestamp;

use super::html::push_escaped;
use crate::table::{Cell, Table};

/// Height of a bar's row, its place, and the widths of names and bars, in units of the picture.
const ROW: usize = 24;
const BAR: usize = 16;
const NAMES: usize = 220;
const BARS: usize = 420;
const WIDTH: usize = NAMES + BARS + 90;

/// Appends a picture of a table that has one.
pub(super) fn push_picture(out: &mut String, table: &Table) {
    let Some((numbers, names)) = table.picture else {
        return;
    };
    let number = |row: &[Cell]| match row[numbers] {
        Cell::Count(count) => count,
        _ => 0,
    };
    let largest = table.rows.iter().map(|row| number(row)).max().unwrap_or(0);
    if largest == 0 {
        return;
    }
    let height = ROW * table.rows.len();
    out.push_str(&format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" aria-labelledby=\"{0}-picture\">\n\
         <title id=\"{0}-picture\">",
        table.name
    ));
    push_escaped(out, table.title);
    out.push_str("</title>\n");
    for (nth, row) in table.rows.iter().enumerate() {
        let count = number(row);
        // At least a line, so that a few among many are seen.
        let length = match count {
            0 => 0.0,
            count => (count as f64 / largest as f64 * BARS as f64).max(1.0),
        };
        let (top, middle) = (nth * ROW + (ROW - BAR) / 2, nth * ROW + ROW / 2);
        out.push_str(&format!(
            "<text x=\"{}\" y=\"{middle}\" class=\"name\">",
            NAMES - 8
        ));
        push_escaped(out, &row[names].shown(&|at: Timestamp| at.0.to_string()));
        out.push_str(&format!(
            "</text><rect x=\"{NAMES}\" y=\"{top}\" width=\"{length:.1}\" height=\"{BAR}\"/>\
             <text x=\"{:.1}\" y=\"{middle}\" data-picture=\"{}\" data-value=\"{count}\">{count}</text>\n",
            NAMES as f64 + length + 6.0,
            table.name,
        ));
    }
    out.push_str("</svg>\n");
}
