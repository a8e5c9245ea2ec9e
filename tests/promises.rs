//! The table of promises in `docs/promises.md` points at what exists: files, items and tests.
//! Whether a promise is kept is what those tests show.

use std::collections::BTreeSet;

use crate::bench::root;

/// Every commitment of the three policies that software can keep: the mail desk's, the shield's and the duplicate guard's.
const MADE: [(&str, &[u8]); 3] = [
    ("DS", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 40, 41, 42, 43]),
    (
        "SO",
        &[
            1, 2, 3, 4, 5, 6, 7, 20, 21, 22, 23, 24, 25, 26, 40, 41, 42, 43, 44, 60, 61, 62, 63, 64, 65, 66,
            67, 68, 69, 70, 71, 72, 73,
        ],
    ),
    ("DG", &[1, 2, 20, 21, 22, 23, 24, 25, 26, 27, 28, 40, 41, 42, 60, 61, 62, 63, 64]),
];

/// What of a source line makes the name after it an item.
const ITEMS: [&str; 6] = ["fn", "struct", "enum", "const", "trait", "type"];

/// The `path::item` pairs between backticks in a cell.
fn references(cell: &str) -> Vec<(&str, &str)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.map(|text| text.split_once("::").unwrap_or_else(|| panic!("{text}: name the item too"))).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether `line` declares `item`: a Rust item, a variant, or a resource of the template.
fn declares(line: &str, item: &str) -> bool {
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let line = line.trim();
    words.windows(2).any(|pair| ITEMS.contains(&pair[0]) && pair[1] == item)
        || line == format!("{item},")
        || line == format!("{item}:")
}

/// Whether `item` is a test that is run: declared below an attribute that says so, and below none that leaves it out.
fn is_test(text: &str, item: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.contains(&format!("fn {item}("))) else { return false };
    let above = lines[..at].iter().rev();
    let attributes: Vec<_> =
        above.take_while(|line| line.starts_with('#') || line.starts_with("//")).collect();
    attributes.iter().any(|line| **line == "#[test]" || line.starts_with("#[tokio::test"))
        && !attributes.iter().any(|line| line.contains("ignore"))
}

/// Whether a file below `tests/` is part of the tests: a module of `main.rs`, or of a module.
fn is_part(path: &str) -> bool {
    let Some(module) = path.strip_prefix("tests/").and_then(|file| file.strip_suffix(".rs")) else {
        return true;
    };
    let (parent, name) = match module.rsplit_once('/') {
        Some((parent, name)) => (format!("tests/{parent}.rs"), name),
        None => ("tests/main.rs".to_owned(), module),
    };
    let declared = [format!("mod {name};"), format!("pub mod {name};")];
    let of_parent = std::fs::read_to_string(root().join(&parent)).unwrap_or_default();
    let declared = of_parent.lines().any(|line| declared.iter().any(|declared| line == declared));
    declared && (parent == "tests/main.rs" || is_part(&parent))
}

#[test]
fn every_row_points_at_what_exists() {
    let text = read("docs/promises.md");
    let rows = table(&text, 0);
    let mut promises = BTreeSet::new();
    for row in &rows {
        let [promise, holds, _missing, enforced, shown] = row.as_slice() else { panic!("{row:?}") };
        let digits = promise.trim_start_matches("DS").trim_start_matches("SO").trim_start_matches("DG");
        assert!(digits.len() < promise.len() && digits.parse::<u8>().is_ok(), "{promise} is no promise's id");
        assert!(promises.insert(promise), "{promise} twice");
        assert!(!holds.is_empty(), "{promise}: what holds?");
        let (enforced, shown) = (references(enforced), references(shown));
        assert!(!enforced.is_empty() && !shown.is_empty(), "{promise}: enforced by what, shown by what?");
        for (path, item) in enforced {
            assert!(read(path).lines().any(|line| declares(line, item)), "{promise}: no {item} in {path}");
        }
        for (path, item) in shown {
            assert!(is_test(&read(path), item), "{promise}: no test {item} in {path}");
            assert!(is_part(path), "{path} is not part of the tests");
        }
    }
    let waiting = table(&text, 1);
    for row in &waiting {
        assert!(matches!(row.as_slice(), [_, reason] if !reason.is_empty()), "waits for what? {row:?}");
    }
    let mut made: Vec<String> = MADE
        .iter()
        .flat_map(|(policy, numbers)| numbers.iter().map(move |number| format!("{policy}{number}")))
        .collect();
    made.sort_unstable();
    let mut told: Vec<&str> = promises.into_iter().copied().chain(waiting.iter().map(|row| row[0])).collect();
    told.sort_unstable();
    assert_eq!(told, made, "every promise is kept, kept in part or waiting for something, and each once");
}

/// The rows of one of the tables of a text.
fn table(text: &str, which: usize) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let tables = lines.split(|line| !line.starts_with('|')).filter(|table| !table.is_empty());
    let table = tables.into_iter().nth(which).unwrap_or_default();
    table.iter().skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn what_does_not_exist_is_noticed() {
    assert!(declares("pub(crate) fn seal<T: Serialize>(", "seal") && !declares("    seal(key)", "seal"));
    assert!(declares("  DataTable:", "DataTable") && declares("    Order,", "Order"));
    assert!(!declares("/// about seal", "seal"));
    let text =
        "    #[test]\n    fn real() {\n    }\n    fn helper() {\n    }\n    #[cfg(test)]\n    fn gone() {}";
    assert!(
        is_test(text, "real") && !is_test(text, "helper") && !is_test(text, "gone") && !is_test(text, "none")
    );
    let left_out = "    #[tokio::test]\n    #[ignore = \"slow\"]\n    async fn slow() {\n    }";
    assert!(is_test(&left_out.replace("ignore", "expect"), "slow") && !is_test(left_out, "slow"));
    assert!(
        is_part("tests/api.rs")
            && is_part("tests/mail_desk/privacy.rs")
            && is_part("shared/core/src/egress.rs")
    );
    assert!(!is_part("tests/mail_desk/nothing.rs") && !is_part("tests/nothing/privacy.rs"));
    assert_eq!(references("`a.rs::b`, `c::d`"), [("a.rs", "b"), ("c", "d")]);
}
