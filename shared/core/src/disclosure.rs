//! What is told to whoever may ask how personal data is handled: the record of processing (GDPR Art. 30), the retention
//! table, who else receives what, and the measures, all read from the code that does it. How it is asked for is elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::data_map::{Category, Kind, Purpose, Retention};
use crate::egress::{DeclaredUse, InForce, Register, SubProcessor};
use crate::report::{Report, Section};

/// The table of promises: what holds today and what is missing. A test holds it against the code.
const PROMISES: &str = include_str!("../../../docs/promises.md");

/// A promise, as its row of the table says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise<'a> {
    /// Its id.
    pub id: &'a str,
    /// What holds.
    pub holds: &'a str,
    /// What is missing; empty when nothing is.
    pub missing: &'a str,
    /// What enforces it: `path::item`, each between backticks.
    pub enforced_by: &'a str,
    /// Which tests show it, in the same form.
    pub shown_by: &'a str,
}

/// Every promise that is kept, wholly or in part.
#[must_use]
pub fn promises() -> Vec<Promise<'static>> {
    rows_of(PROMISES)
}

/// The rows with five cells of the first table of a text.
fn rows_of(text: &str) -> Vec<Promise<'_>> {
    let lines = text.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2).filter_map(|line| {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [id, holds, missing, enforced_by, shown_by] = cells[..] else { return None };
        Some(Promise { id, holds, missing, enforced_by, shown_by })
    });
    rows.collect()
}

/// Whether a promise is about security and evidence: a technical or organisational measure (GDPR Art. 32).
fn is_measure(promise: &Promise<'_>) -> bool {
    promise
        .id
        .strip_prefix("SO")
        .or_else(|| promise.id.strip_prefix("DG"))
        .is_some_and(|number| number.parse::<u8>().is_ok_and(|number| number >= 60))
}

/// The measures and what is still missing of each.
#[must_use]
pub fn measures() -> Section {
    let rows = promises().into_iter().filter(is_measure);
    Section {
        name: "measures",
        title: "Technical and organisational measures".to_owned(),
        about: "What protects the data (GDPR Art. 32), by the id of the promise. Each is enforced by code or template, and shown \
                by tests that run with every change."
            .to_owned(),
        head: &["promise", "measure", "not done yet"],
        rows: rows.map(|row| vec![row.id.to_owned(), row.holds.to_owned(), row.missing.to_owned()]).collect(),
    }
}

/// The kinds of things stored for a purpose.
fn kinds_for(purpose: Purpose) -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(move |kind| kind.row().purpose == purpose)
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: BTreeSet<&str> = words.collect();
    if words.is_empty() { "nothing".to_owned() } else { words.into_iter().collect::<Vec<_>>().join(", ") }
}

/// The record of processing activities: one row for every purpose.
#[must_use]
pub fn activities() -> Section {
    let row = |purpose: Purpose| {
        let rows = || kinds_for(purpose).map(Kind::row);
        let categories = || rows().flat_map(|row| row.categories.iter().copied());
        let longest = rows().filter_map(|row| match row.retention {
            Retention::Window(window) => Some(window),
            _ => None,
        });
        let kept = longest.max().map_or_else(
            || "until the shop is purged".to_owned(),
            |longest| format!("{} at most, and until the shop is purged", crate::data_map::length(longest)),
        );
        vec![
            purpose.label().to_owned(),
            purpose.about().to_owned(),
            listed(categories().map(Category::whose)),
            listed(categories().map(Category::words)),
            listed(rows().map(|row| row.legal_basis.article())),
            listed(rows().flat_map(|row| row.processors.iter().map(|processor| processor.words()))),
            kept,
        ]
    };
    Section {
        name: "processing",
        title: "Record of processing activities".to_owned(),
        about: "What is done with personal data on behalf of the merchants, who are its controllers (GDPR Art. 30(2)). Transfers to \
                other countries follow from where the sub-processors are."
            .to_owned(),
        head: &["activity", "purpose", "people", "categories of data", "legal basis", "recipients", "kept"],
        rows: Purpose::ALL.into_iter().map(row).collect(),
    }
}

/// The retention table: one row for every kind of thing that is stored.
#[must_use]
pub fn retention() -> Section {
    let row = |kind: Kind| {
        let row = kind.row();
        vec![
            kind.name().to_owned(),
            row.holds.to_owned(),
            row.purpose.label().to_owned(),
            row.retention.words(),
            row.erasure.words().to_owned(),
            if row.exported { "yes" } else { "no" }.to_owned(),
        ]
    };
    Section {
        name: "retention",
        title: "Retention".to_owned(),
        about: "How long each kind of record is kept at most, what the erasure of a person does to it, and whether the person's \
                export shows it. Whatever stands here, everything of a shop but its ledger is deleted within 48 hours of an \
                uninstall."
            .to_owned(),
        head: &["kind", "holds", "purpose", "kept", "erasing a person", "in a person's export"],
        rows: Kind::ALL.into_iter().map(row).collect(),
    }
}

/// The sub-processors: one row for everything that one is used for.
#[must_use]
pub fn sub_processors(register: &Register) -> Section {
    let row = |processor: &SubProcessor, declared: &DeclaredUse| {
        let since = match declared.in_force {
            InForce::FromTheStart => "in use".to_owned(),
            InForce::NotYet => "not in use yet: nothing may be sent".to_owned(),
            InForce::Since(change) => format!("in use from {}", change.effective().day()),
        };
        vec![
            processor.name.to_owned(),
            declared.purpose.about().to_owned(),
            declared.categories.words(),
            declared.region.to_owned(),
            since,
            if processor.essential { "the service cannot be given without it" } else { processor.without }
                .to_owned(),
        ]
    };
    let uses =
        |processor: &'static SubProcessor| processor.uses.iter().map(move |declared| (processor, declared));
    let rows =
        register.processors.iter().flat_map(uses).map(|(processor, declared)| row(processor, declared));
    Section {
        name: "sub_processors",
        title: "Sub-processors".to_owned(),
        about: "Who else may receive what, for what, and where. A call that carries anything else is refused. Changes are announced \
                to every merchant at least 30 days before they take effect, and a merchant can object."
            .to_owned(),
        head: &["sub-processor", "used for", "receives", "where", "since", "where a merchant objects"],
        rows: rows.collect(),
    }
}

/// The published policy.
#[must_use]
pub fn policy() -> Report {
    Report {
        title: "How Storeward handles personal data".to_owned(),
        about: "Made from the code that does it: the data map, the register of sub-processors and the table of promises.".to_owned(),
        sections: vec![activities(), retention(), sub_processors(&Register::CURRENT), measures()],
    }
}

/// What happened in the time that a summary is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How often what happened, by the ledger's word for it.
    pub events: BTreeMap<String, u64>,
    /// Receipts of erasures and purges.
    pub receipts: u64,
    /// How many of them say of themselves that they hold: every check passed, and the digest is theirs.
    pub receipts_that_hold: u64,
}

/// The summary of security and compliance that a merchant can ask for once a year (promise SO70): what protects the data, what is
/// still missing, and what happened between two days.
#[must_use]
pub fn posture(evidence: &Evidence, from: &str, until: &str) -> Report {
    let rows = evidence.events.iter().map(|(what, count)| vec![what.replace('-', " "), count.to_string()]);
    let kept = promises();
    let (partly, whole): (Vec<_>, Vec<_>) = kept.into_iter().partition(|promise| !promise.missing.is_empty());
    let count = |name: &str, number: usize| vec![name.to_owned(), number.to_string()];
    let receipts = |name: &str, number: u64| vec![name.to_owned(), number.to_string()];
    Report {
        title: format!("Security and compliance, {from} to {until}"),
        about: "Made from the code, the table of promises and the ledger. The ledger's days are sealed and signed: \
                `verify-ledger` holds what is counted here against them."
            .to_owned(),
        sections: vec![
            measures(),
            Section {
                name: "promises",
                title: "Promises".to_owned(),
                about: "Commitments of the published policies that software keeps. Each is enforced by code that a test holds.".to_owned(),
                head: &["state", "promises"],
                rows: vec![count("kept", whole.len()), count("kept in part", partly.len())],
            },
            Section {
                name: "receipts",
                title: "Receipts of erasure".to_owned(),
                about: "Every erasure of a person and every purge of a shop ends with a receipt in the ledger.".to_owned(),
                head: &["receipts", "number"],
                rows: vec![
                    receipts("written", evidence.receipts),
                    receipts("that hold", evidence.receipts_that_hold),
                ],
            },
            Section {
                name: "events",
                title: "What happened".to_owned(),
                about: "Entries of the ledger, by what they tell of.".to_owned(),
                head: &["event", "times"],
                rows: rows.collect(),
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_stands_and_the_table_ends_where_it_ends() {
        let text = "# A\n\n| promise | what | missing | by | shown |\n|---|---|---|---|---|\n| SO61 | Sealed |  | `a.rs::b` | `c.rs::d` |\n\n\
                    | other | table |\n|---|---|\n| DG1 | x |\n";
        let expected = Promise {
            id: "SO61",
            holds: "Sealed",
            missing: "",
            enforced_by: "`a.rs::b`",
            shown_by: "`c.rs::d`",
        };
        assert_eq!(rows_of(text), [expected]);
    }

    #[test]
    fn measures_are_the_promises_of_security_and_evidence() {
        let of = |id| Promise { id, holds: "", missing: "", enforced_by: "", shown_by: "" };
        for id in ["SO60", "SO73", "DG60", "DG64"] {
            assert!(is_measure(&of(id)), "{id}");
        }
        for id in ["SO43", "DG28", "DS60", "DS1", "XX61"] {
            assert!(!is_measure(&of(id)), "{id}");
        }
    }

    #[test]
    fn every_kind_and_purpose_and_measure_is_told() {
        let report = policy();
        let section = |name: &str| report.sections.iter().find(|section| section.name == name).unwrap();
        assert_eq!(section("retention").rows.len(), Kind::ALL.len());
        assert_eq!(section("processing").rows.len(), Purpose::ALL.len());
        assert!(section("measures").rows.iter().any(|row| row[0] == "SO61"));
        for processor in Register::CURRENT.processors {
            let told = section("sub_processors").rows.iter().filter(|row| row[0] == processor.name);
            assert_eq!(told.count(), processor.uses.len(), "{}", processor.name);
        }
        for section in &report.sections {
            assert!(section.rows.iter().all(|row| row.len() == section.head.len()), "{}", section.name);
        }
        // Everything that is about a person has a ground and an end that the table says; evidence alone has no end, and names
        // by pseudonyms who did what.
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.row().categories.is_empty()) {
            let row = section("retention").rows.iter().find(|row| row[0] == kind.name()).unwrap();
            let ends = row[3] != Retention::Permanent.words() || kind == Kind::Ledger;
            assert!(!row[3].is_empty() && ends, "{}", kind.name());
        }
    }

    #[test]
    fn a_summary_counts_what_happened_and_says_what_is_missing() {
        let events = BTreeMap::from([("shop-purged".to_owned(), 2), ("installed".to_owned(), 3)]);
        let report =
            posture(&Evidence { events, receipts: 2, receipts_that_hold: 1 }, "2026-01-01", "2026-12-31");
        let section = |name: &str| &report.sections.iter().find(|section| section.name == name).unwrap().rows;
        assert_eq!(section("events"), &[["installed", "3"], ["shop purged", "2"]]);
        assert_eq!(section("receipts"), &[["written", "2"], ["that hold", "1"]]);
        let promised: usize = section("promises").iter().map(|row| row[1].parse::<usize>().unwrap()).sum();
        assert_eq!(promised, promises().len());
        assert!(section("measures").iter().any(|row| row[0] == "SO61" && row[2].is_empty()));
    }
}
