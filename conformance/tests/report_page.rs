//! The page of `greylatch report --html` in a browser without a network: what stands on it is what JSON
//! says, and nothing of a log is more than text.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use conformance::{greylatch_binary, opened_in_chromium, scratch_folder};
use serde_json::Value;

const HOSTILE: &str = "\"<script>document.title='x'</script><b title='\"@evil.example";

/// A day's log of all kinds of lines.
fn log() -> String {
    let mut log = String::new();
    for number in 0..40 {
        let mut line = |second: usize, action: &str, sender: &str| {
            let at = number * 90 + second;
            log.push_str(&format!(
                "2026-11-24T{:02}:{:02}:{:02}Z mail greylatch[7]: {action}, client_name=mx{number}.prov{}.example, \
                 client_address=192.0.{}.{number}, sender={sender}, recipient=r{}@example.org\n",
                12 + at / 3_600,
                at / 60 % 60,
                at % 60,
                number % 3,
                number % 7,
                number % 11,
            ));
        };
        let own = format!("s{number}x@dom{}.example", number % 5);
        let sender = if number % 10 == 3 { HOSTILE } else { &own };
        line(0, "action=greylist, reason=new", sender);
        if number % 4 == 1 {
            line(
                20,
                "action=greylist, reason=early-retry (40s missing)",
                sender,
            );
        }
        if number % 3 > 0 {
            let waited = 61 + number * number;
            line(
                waited,
                &format!("action=pass, reason=triplet found, delay={waited}"),
                sender,
            );
        }
        line(5, "action=pass, reason=client whitelist", sender);
        line(6, "action=refuse, reason=rule", sender);
        if number % 3 == 0 {
            line(7, "action=greylist, reason=throttled", "other@dom.example");
        }
    }
    log
}

fn report(form: &str, folder: &Path) -> Result<String> {
    let output = Command::new(greylatch_binary()?)
        .args(["report", form, "--rows", "0", "log"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{form}: {}", output.status);
    String::from_utf8(output.stdout).context("it is text")
}

/// The rows of each table of a document, each cell by its key: its value, and the text that is shown.
type Rows = Vec<BTreeMap<String, (String, String)>>;

/// Reads a document as browsers write it: `<td .. data-key="K" data-value="V">TEXT</td>`.
fn tables(document: &str) -> Result<BTreeMap<String, Rows>> {
    let mut tables = BTreeMap::new();
    for section in document.split("<section id=\"").skip(1) {
        let (name, section) = section.split_once('"').context("an id")?;
        let mut rows = Rows::new();
        for row in section.split("<tr>").skip(2) {
            let mut cells = BTreeMap::new();
            for cell in row.split("<td").skip(1) {
                let (cell, _) = cell.split_once("</td>").context("an end")?;
                let (head, text) = cell.split_once('>').context("a text")?;
                let attribute = |name: &str| {
                    let (_, behind) = head.split_once(&format!("{name}=\""))?;
                    Some(unescaped(behind.split_once('"')?.0))
                };
                let key = attribute("data-key").context("a key")?;
                let value = attribute("data-value").context("a value")?;
                cells.insert(key, (value, unescaped(text)));
            }
            rows.push(cells);
        }
        tables.insert(name.to_owned(), rows);
    }
    Ok(tables)
}

fn unescaped(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (escape, letter)| {
        text.replace(escape, letter)
    })
}

/// A value of JSON as a cell has it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            format!("{:.4}", number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

#[test]
fn figures_on_the_page_are_those_of_json() -> Result<()> {
    let folder = scratch_folder()?;
    let folder = folder.path();
    fs::write(folder.join("log"), log())?;
    let json: Value = serde_json::from_str(&report("--json", folder)?)?;
    let page = folder.join("page.html");
    fs::write(&page, report("--html", folder)?)?;
    let document = opened_in_chromium(&page, folder)?;

    let tables = tables(&document)?;
    let expected = json.as_object().context("an object")?;
    assert_eq!(tables.keys().collect::<Vec<_>>(), {
        let mut names: Vec<&String> = expected.keys().collect();
        names.sort();
        names
    });
    let mut cells = 0;
    for (name, rows) in &tables {
        let wanted = expected[name].as_array().context("a table")?;
        ensure!(!wanted.is_empty(), "{name} is empty and shows nothing");
        assert_eq!(rows.len(), wanted.len(), "{name}");
        for (row, wanted) in rows.iter().zip(wanted) {
            let wanted = wanted.as_object().context("a row")?;
            assert_eq!(row.len(), wanted.len(), "{name}");
            for (key, (value, shown)) in row {
                // A share is a number with decimals also where it is 0 or 1.
                let is_share = shown.ends_with(" %");
                let wanted = match wanted[key].as_f64().filter(|_| is_share) {
                    Some(share) => format!("{share:.4}"),
                    None => plain(&wanted[key]),
                };
                assert_eq!(*value, wanted, "{name} {key}");
                if wanted.parse::<u64>().is_ok()
                    && !key.ends_with("_s")
                    && shown.parse::<u64>().is_ok()
                {
                    assert_eq!(*shown, wanted, "{name} {key}");
                }
                cells += 1;
            }
        }
    }
    ensure!(cells > 500, "only {cells} cells were compared");
    Ok(())
}

#[test]
fn pictures_say_their_numbers_and_nothing_of_a_log_is_markup() -> Result<()> {
    let folder = scratch_folder()?;
    let folder = folder.path();
    fs::write(folder.join("log"), log())?;
    let json: Value = serde_json::from_str(&report("--json", folder)?)?;
    let page = folder.join("page.html");
    let text = report("--html", folder)?;
    for outside in ["http:", "https:", "//", "<script", "<link", "<img", "url("] {
        let found = text.matches(outside).count();
        assert_eq!(found, 0, "{outside}");
    }
    fs::write(&page, &text)?;
    let document = opened_in_chromium(&page, folder)?;
    ensure!(
        document.contains("<title>Greylisting report</title>"),
        "{document}"
    );
    ensure!(!document.contains("<script"), "there is a script");
    ensure!(
        document.contains("&lt;script&gt;"),
        "the sender is not there"
    );
    for (table, numbers) in [("verdicts", "attempts"), ("wait-histogram", "deliveries")] {
        let mark = format!("data-picture=\"{table}\" data-value=\"");
        let bars: Vec<(&str, &str)> = document
            .split(&mark)
            .skip(1)
            .filter_map(|bar| bar.split_once("</text>")?.0.split_once("\">"))
            .collect();
        let rows = json[table].as_array().context("a table")?;
        let wanted: Vec<String> = rows.iter().map(|row| row[numbers].to_string()).collect();
        let wanted: Vec<(&str, &str)> = wanted.iter().map(|one| (&**one, &**one)).collect();
        assert_eq!(bars, wanted, "{table}");
    }
    Ok(())
}
