//! A report for people and machines: sections of text and tables, written as Markdown, HTML or JSON. What is reported
//! is the caller's; nothing here knows it.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::alert::escape_html;

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its title.
    pub title: String,
    /// What it is and what it was made from.
    pub about: String,
    /// Its parts.
    pub sections: Vec<Section>,
}

/// A part of a report: some text and a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name for machines: a word of a JSON document.
    pub name: &'static str,
    /// Its heading.
    pub title: String,
    /// What the table says.
    pub about: String,
    /// The columns' names.
    pub head: &'static [&'static str],
    /// The rows: as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Markdown, for repositories and tickets.
    Markdown,
    /// A self-contained HTML page without scripts, for people.
    Html,
    /// JSON, for machines: each table is a list of objects.
    Json,
}

impl Report {
    /// Writes the report, with a line break at its end.
    #[must_use]
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Markdown => self.markdown(),
            Format::Html => self.html(),
            Format::Json => format!("{:#}\n", self.json()),
        }
    }

    /// The report as a JSON value.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut sections = Map::new();
        for section in &self.sections {
            let rows = section.rows.iter().map(|row| {
                let cells = section.head.iter().zip(row);
                Value::Object(cells.map(|(name, cell)| (name.replace(' ', "_"), json!(cell))).collect())
            });
            let rows: Vec<Value> = rows.collect();
            sections.insert(section.name.to_owned(), json!({ "about": section.about, "rows": rows }));
        }
        json!({ "title": self.title, "about": self.about, "sections": sections })
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n", self.title, self.about);
        for section in &self.sections {
            _ = write!(text, "\n## {}\n\n{}\n\n", section.title, section.about);
            let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
            text.push_str(&line(section.head.iter().map(|name| (*name).to_owned()).collect()));
            _ = writeln!(text, "|{}", "---|".repeat(section.head.len()));
            for row in &section.rows {
                let cell = |cell: &String| cell.replace('\\', "\\\\").replace('|', "\\|").replace('\n', " ");
                text.push_str(&line(row.iter().map(cell).collect()));
            }
        }
        text
    }

    fn html(&self) -> String {
        let title = escape_html(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <style>body{{font:16px/1.5 sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}}\
             table{{border-collapse:collapse;width:100%}}th,td{{border:1px solid #bbb;padding:.3rem .5rem;\
             text-align:left;vertical-align:top}}th{{background:#eee}}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{}</p>\n",
            escape_html(&self.about)
        );
        for section in &self.sections {
            let (title, about) = (escape_html(&section.title), escape_html(&section.about));
            _ = write!(
                page,
                "<h2 id=\"{}\">{title}</h2>\n<p>{about}</p>\n<table>\n<thead><tr>",
                section.name
            );
            for name in section.head {
                _ = write!(page, "<th scope=\"col\">{}</th>", escape_html(name));
            }
            page.push_str("</tr></thead>\n<tbody>\n");
            for row in &section.rows {
                page.push_str("<tr>");
                for cell in row {
                    _ = write!(page, "<td>{}</td>", escape_html(cell));
                }
                page.push_str("</tr>\n");
            }
            page.push_str("</tbody>\n</table>\n");
        }
        page.push_str("</body>\n</html>\n");
        page
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(cell: &str) -> Report {
        Report {
            title: "A <title>".to_owned(),
            about: "What it is.".to_owned(),
            sections: vec![Section {
                name: "part",
                title: "A part".to_owned(),
                about: "What it says.".to_owned(),
                head: &["first column", "second"],
                rows: vec![vec![cell.to_owned(), "b".to_owned()]],
            }],
        }
    }

    #[test]
    fn a_report_reads_the_same_in_all_three_forms() {
        let report = report("a|b");
        assert_eq!(
            report.write(Format::Markdown),
            "# A <title>\n\nWhat it is.\n\n## A part\n\nWhat it says.\n\n| first column | second |\n|---|---|\n| a\\|b | b |\n"
        );
        let expected = json!({
            "title": "A <title>",
            "about": "What it is.",
            "sections": { "part": { "about": "What it says.", "rows": [{ "first_column": "a|b", "second": "b" }] } },
        });
        assert_eq!(serde_json::from_str::<Value>(&report.write(Format::Json)).unwrap(), expected);
        let page = report.write(Format::Html);
        assert!(
            page.contains("<h1>A &lt;title&gt;</h1>") && page.contains("<td>a|b</td><td>b</td>"),
            "{page}"
        );
        assert!(page.contains("<th scope=\"col\">first column</th>"), "{page}");
    }

    proptest! {
        #[test]
        fn no_cell_can_leave_its_place(cell in "[<>&|\"'\\\\a\n]{0,12}") {
            let (plain, given) = (report("x"), report(&cell));
            let tags = |page: &str| page.matches('<').count();
            prop_assert_eq!(tags(&plain.write(Format::Html)), tags(&given.write(Format::Html)));
            let lines = |text: &str| text.lines().count();
            prop_assert_eq!(lines(&plain.write(Format::Markdown)), lines(&given.write(Format::Markdown)));
            let json: Value = serde_json::from_str(&given.write(Format::Json)).unwrap();
            prop_assert_eq!(json["sections"]["part"]["rows"][0]["first_column"].as_str(), Some(cell.as_str()));
        }
    }
}
