//! A person's export as a page to read: the same document as the JSON, self-contained, without scripts. Everything that
//! comes from a record is escaped; what is in the document is the store's.

use std::fmt::Write as _;

use serde_json::Value;

use crate::alert::escape_html;
use crate::personal::Personal;

/// What the page may load and do: nothing. Said in the page too, which is opened from a disk as well.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:50em;padding:0 1em}table{border-collapse:collapse;\
width:100%;margin:.5em 0 2em}th,td{border:1px solid #999;padding:.3em .6em;text-align:left;vertical-align:top;\
overflow-wrap:anywhere}th{width:35%;font-weight:normal;background:#f3f3f3}";

/// The page of a document, as [`subject exports`](crate::data_map) are written.
#[must_use]
pub fn page(document: &Personal<Value>) -> Personal<String> {
    let document = document.expose();
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\
         <meta name=\"referrer\" content=\"no-referrer\"><title>What is stored about you</title>\
         <style>{STYLE}</style></head><body><h1>What is stored about you</h1>",
        // What a page cannot say of itself is left to the answer's header.
        escape_html(POLICY.split("; frame-ancestors").next().unwrap_or(POLICY)),
    );
    let _infallible = write!(
        html,
        "<p>Asked for on {}, put together on {}. The same is in the JSON file, in the form {}.</p>",
        said(&document["received_at"]),
        said(&document["made_at"]),
        said(&document["format"]),
    );
    if document["pieces"].as_u64().is_some_and(|pieces| pieces > 1) {
        let (piece, pieces) = (said(&document["piece"]), said(&document["pieces"]));
        let _infallible =
            write!(html, "<p>This is part {piece} of {pieces}: the others are pages of their own.</p>");
    }
    let records = document["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    if records.is_empty() {
        html.push_str("<p>Nothing is stored about you.</p>");
    }
    for (place, record) in records.iter().enumerate() {
        let about = &record["about"];
        let _infallible = write!(html, "<h2>{}. {}</h2>", place + 1, said(&record["kind"]));
        let _infallible =
            write!(html, "<p>Holds: {}. Kept for: {}", said(&about["holds"]), said(&about["purpose"]));
        if let Some(days) = about["retention"]["kept_for_days"].as_u64() {
            let _infallible = write!(html, ", {days} days");
        }
        html.push_str(".</p><table>");
        rows(&mut html, "", &record["data"]);
        html.push_str("</table>");
    }
    html.push_str("</body></html>\n");
    Personal::new(html)
}

/// One row for each value, named by the way to it.
fn rows(html: &mut String, path: &str, value: &Value) {
    let step = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path} / {name}") };
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, value) in members {
                rows(html, &step(&name.replace('_', " ")), value);
            }
        }
        Value::Array(values) => {
            for (place, value) in values.iter().enumerate() {
                rows(html, &step(&(place + 1).to_string()), value);
            }
        }
        value => {
            let _infallible = write!(html, "<tr><th>{}</th><td>{}</td></tr>", escape_html(path), said(value));
        }
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => escape_html(text),
        other => escape_html(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn document(data: &Value) -> Personal<Value> {
        Personal::new(json!({
            "format": "storeward-subject-export-1", "received_at": "2026-11-20T16:00:00Z",
            "made_at": "2026-11-20T16:01:00Z",
            "records": [{
                "kind": "order",
                "about": {"holds": "an order", "purpose": "duplicates", "retention": {"kept_for_days": 60}},
                "data": data,
            }],
        }))
    }

    #[test]
    fn everything_that_is_in_the_document_is_on_the_page() {
        let data = json!({"email": "sample.customer@example.com", "total": 7, "gone": null, "test": false,
            "shipping_address": {"first_name": "Sample"}, "orders": [{"name": "#1"}, {"name": "#2"}]});
        let html = page(&document(&data)).into_inner();
        for said in [
            "<h2>1. order</h2>",
            "Holds: an order. Kept for: duplicates, 60 days.",
            "<tr><th>email</th><td>sample.customer@example.com</td></tr>",
            "<tr><th>shipping address / first name</th><td>Sample</td></tr>",
            "<tr><th>orders / 2 / name</th><td>#2</td></tr>",
            "<tr><th>total</th><td>7</td></tr>",
            "<td>false</td>",
            "Asked for on 2026-11-20T16:00:00Z, put together on 2026-11-20T16:01:00Z",
        ] {
            assert!(html.contains(said), "{said} is missing in {html}");
        }
        assert!(!html.contains("gone") && !html.contains("Nothing is stored"));
        let mut empty = document(&json!({})).into_inner();
        empty["records"] = json!([]);
        assert!(page(&Personal::new(empty)).expose().contains("<p>Nothing is stored about you.</p>"));
    }

    #[test]
    fn a_page_of_several_says_which_it_is() {
        let mut several = document(&json!({ "a": "b" })).into_inner();
        assert!(!page(&Personal::new(several.clone())).expose().contains("This is part"));
        several["piece"] = json!(2);
        several["pieces"] = json!(3);
        assert!(page(&Personal::new(several.clone())).expose().contains("<p>This is part 2 of 3:"));
        several["pieces"] = json!(1);
        assert!(!page(&Personal::new(several)).expose().contains("This is part"));
    }

    #[test]
    fn a_page_loads_nothing_and_runs_nothing() {
        let html = page(&document(&json!({"a": "b"}))).into_inner();
        assert!(html.contains("content=\"default-src &#39;none&#39;; style-src"));
        assert!(
            !html.contains("<script")
                && !html.contains("http:")
                && !html.contains("https:")
                && !html.contains("src=\"")
        );
        assert!(POLICY.contains("sandbox") && POLICY.contains("frame-ancestors 'none'"));
    }

    proptest! {
        #[test]
        fn whatever_a_record_says_stays_text(name in "\\PC*|[<>&\"'a]*", value in "\\PC*|[<>&\"'/a]*") {
            let plain = page(&document(&json!({"a": "b"}))).into_inner();
            let html = page(&document(&json!({ name: value }))).into_inner();
            let tags = |html: &str| html.matches('<').count();
            prop_assert_eq!(tags(&html), tags(&plain), "the only markup is ours");
            prop_assert_eq!(html.matches('"').count(), plain.matches('"').count());
        }
    }
}
