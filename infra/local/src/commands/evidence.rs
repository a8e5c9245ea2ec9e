//! Reports over what a deployment has written down: the monthly review of access and the yearly summary of security. They
//! read the ledger table alone, where nothing is sealed, and need no keys; what they make of it is `core`'s.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use storeward_core::access_review::{Access, beginning, review};
use storeward_core::disclosure::{Evidence, posture};
use storeward_core::time::{Clock as _, DAY, SystemClock};
use storeward_store::{AccessEntry, Entry};

use super::publish::{As, print};
use super::{Trouble, retention};

/// Where the ledger table is read.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Source {
    /// The directory in which a stack that is not running keeps its data.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// An export of the ledger's table, DynamoDB JSON, an item in each line.
    #[arg(long, value_name = "FILE")]
    pub entries: Option<PathBuf>,
}

impl Source {
    fn items(&self) -> Result<Vec<Value>, Trouble> {
        if let Some(directory) = &self.data {
            return retention::stored(directory);
        }
        let Some(file) = &self.entries else { return Ok(Vec::new()) };
        let text = std::fs::read_to_string(file).map_err(|error| Trouble::new("the export", error))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let item = |line| {
            let item: Value =
                serde_json::from_str(line).map_err(|error| Trouble::new("the export", error))?;
            Ok(item.get("Item").cloned().unwrap_or(item))
        };
        lines.map(item).collect()
    }
}

/// The entry that an item of a kind holds.
fn entry<T: serde::de::DeserializeOwned>(item: &Value, kind: &str) -> Option<Result<T, Trouble>> {
    if item["kind"]["S"] != kind {
        return None;
    }
    let read = serde_json::from_str(item["entry"]["S"].as_str().unwrap_or_default());
    Some(read.map_err(|error| Trouble::new("an entry of the ledger table", error)))
}

/// The accesses among items of the ledger table.
///
/// # Errors
/// When an entry cannot be read.
pub fn accesses(items: &[Value]) -> Result<Vec<Access>, Trouble> {
    let mut accesses = Vec::new();
    for item in items {
        let Some(entry) = entry::<AccessEntry>(item, "access").transpose()? else { continue };
        let shop = item["pk"]["S"].as_str().and_then(|pk| pk.rsplit('#').next()).unwrap_or_default();
        accesses.push(entry.for_review(shop));
    }
    accesses.sort_by_key(|access| access.at);
    Ok(accesses)
}

/// What the ledger among items of its table tells of the year before `until`, by day.
///
/// # Errors
/// When an entry cannot be read.
pub fn evidence(items: &[Value], from: &str, until: &str) -> Result<Evidence, Trouble> {
    let mut evidence = Evidence::default();
    for item in items {
        let Some(entry) = entry::<Entry>(item, "ledger").transpose()? else { continue };
        let day = entry.at.day();
        if day.as_str() < from || day.as_str() > until {
            continue;
        }
        let what = serde_json::to_value(entry.what).ok();
        let what = what.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
        *evidence.events.entry(what).or_default() += 1;
        if let Some(receipt) = &entry.receipt {
            evidence.receipts += 1;
            evidence.receipts_that_hold += u64::from(receipt.verify().is_ok());
        }
    }
    Ok(evidence)
}

/// Prints the review of a month, `2026-11`.
///
/// # Errors
/// When it is no month, or the table cannot be read.
pub fn review_access(
    month: &str,
    source: &Source,
    format: As,
    out: &mut impl Write,
) -> Result<bool, Trouble> {
    if beginning(month).is_none() {
        return Err(Trouble(format!("{month} is no month: write it as 2026-11")));
    }
    print(&review(&accesses(&source.items()?)?, month), format, out)
}

/// Prints the summary of the last year.
///
/// # Errors
/// When the table cannot be read.
pub fn summarise(source: &Source, format: As, out: &mut impl Write) -> Result<bool, Trouble> {
    let now = SystemClock.now();
    let (from, until) = ((now - DAY * 365).day(), now.day());
    print(&posture(&evidence(&source.items()?, &from, &until)?, &from, &until), format, out)
}
