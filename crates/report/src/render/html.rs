//! One page that needs nothing beside itself: no script, no network, no other file. It is readable
//! without colours, in light and dark, and on paper.
//!
//! Source: the HTML standard; Content Security Policy Level 3 (`default-src 'none'`).

use greylatch_core::Timestamp;

use super::picture::push_picture;
use crate::table::{Cell, Report, Table};

/// The report as a page, of each table at most so many rows, all if `rows` is 0; `when` writes a time.
#[must_use]
pub fn to_html(report: &Report, rows: usize, when: &dyn Fn(Timestamp) -> String) -> String {
    let mut out = HEAD.to_owned();
    out.push_str("<nav><ul>\n");
    for table in &report.tables {
        out.push_str(&format!("<li><a href=\"#{}\">", table.name));
        push_escaped(&mut out, table.title);
        out.push_str("</a></li>\n");
    }
    out.push_str("</ul></nav>\n<main>\n");
    for table in &report.tables {
        push_table(&mut out, table, rows, when);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn push_table(out: &mut String, table: &Table, rows: usize, when: &dyn Fn(Timestamp) -> String) {
    out.push_str(&format!("<section id=\"{}\">\n<h2>", table.name));
    push_escaped(out, table.title);
    out.push_str("</h2>\n");
    if !table.note.is_empty() {
        out.push_str("<p>");
        push_escaped(out, table.note);
        out.push_str("</p>\n");
    }
    if table.rows.is_empty() {
        out.push_str("<p>None.</p>\n</section>\n");
        return;
    }
    push_picture(out, table);
    out.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for column in &table.columns {
        out.push_str("<th scope=\"col\">");
        push_escaped(out, column.head);
        out.push_str("</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let (shown, left) = table.shown(rows);
    for row in shown {
        out.push_str("<tr>");
        for (column, cell) in table.columns.iter().zip(row) {
            push_cell(out, column.key, cell, when);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
    if left > 0 {
        out.push_str(&format!("<p>And {left} more.</p>\n"));
    }
    out.push_str("</section>\n");
}

/// A cell has the value of JSON beside what is shown, for those who read the page by program.
fn push_cell(out: &mut String, key: &str, cell: &Cell, when: &dyn Fn(Timestamp) -> String) {
    let class = if cell.is_number() {
        " class=\"number\""
    } else {
        ""
    };
    out.push_str(&format!("<td{class} data-key=\"{key}\" data-value=\""));
    push_escaped(out, &cell.plain());
    out.push_str("\">");
    push_escaped(out, &cell.shown(when));
    out.push_str("</td>");
}

/// Appends a text in which nothing means anything to HTML.
pub(super) fn push_escaped(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
}

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Greylisting report</title>
<style>
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --line: #b8b8b8; --bar: #33638f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #161616; --line: #5a5a5a; --bar: #8fbbe8; }
}
body { margin: 1.5rem; font: 1rem/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h2 { margin: 2.5rem 0 0.5rem; font-size: 1.15rem; }
p { max-width: 60rem; }
nav ul { columns: 3 14rem; padding-left: 1.2rem; }
a { color: inherit; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.8rem 0.2rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; white-space: nowrap; }
td.number { text-align: right; }
svg { display: block; width: 100%; max-width: 46rem; margin: 0.8rem 0; font-size: 13px; }
svg text { fill: var(--ink); dominant-baseline: central; }
svg text.name { text-anchor: end; }
svg rect { fill: var(--bar); }
@media print { nav { display: none; } body { margin: 0; } }
</style>
</head>
<body>
<h1>Greylisting report</h1>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    /// How much two colours, `#rrggbb`, differ in brightness.
    ///
    /// Source: WCAG 2.2, "relative luminance" and "contrast ratio".
    fn contrast(one: &str, other: &str) -> f64 {
        let part = |text: &str, start: usize| {
            let part = u8::from_str_radix(&text[start..start + 2], 16).expect("a colour");
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        let luminance =
            |text: &str| 0.2126 * part(text, 1) + 0.7152 * part(text, 3) + 0.0722 * part(text, 5);
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn letters_and_bars_stand_out_by_brightness_in_light_and_dark() {
        let colours = |name: &str| -> Vec<&str> {
            let mark = format!("--{name}: ");
            HEAD.split(&mark).skip(1).map(|text| &text[..7]).collect()
        };
        let (ink, paper, bars) = (colours("ink"), colours("paper"), colours("bar"));
        assert_eq!((ink.len(), paper.len(), bars.len()), (2, 2, 2));
        for scheme in 0..2 {
            // WCAG 2.2, success criteria 1.4.6 and 1.4.11.
            assert!(contrast(ink[scheme], paper[scheme]) >= 7.0);
            assert!(contrast(bars[scheme], paper[scheme]) >= 3.0);
        }
    }

    #[test]
    fn what_comes_from_outside_is_no_markup() {
        let mut table = Table::new("t", "Title & more", "note <x>", &[("a", "A"), ("b", "B")]);
        table.picture = Some((1, 0));
        let text = b"<script>alert(\"x\")</script>'&\x1b";
        table.rows.push(vec![Cell::text(text), Cell::Count(3)]);
        table.rows.push(vec![Cell::text(b"y"), Cell::Count(0)]);
        let report = Report {
            tables: vec![table],
        };
        let page = to_html(&report, 1, &|at: Timestamp| at.0.to_string());
        let escaped = "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#39;&amp;\\x1b";
        assert!(!page.contains("<script") && page.contains("<h2>Title &amp; more</h2>"));
        let cell = format!("<td data-key=\"a\" data-value=\"{escaped}\">{escaped}</td>");
        assert!(page.contains(&cell), "{page}");
        assert!(page.contains(&format!("class=\"name\">{escaped}</text>")));
        assert!(page.contains("data-picture=\"t\" data-value=\"3\">3</text>"));
        assert!(page.contains("<p>And 1 more.</p>"));
        for outside in ["http://", "https://", "src=", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
