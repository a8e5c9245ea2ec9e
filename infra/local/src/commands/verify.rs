//! `verify-ledger`: the auditor's side of the ledger. Reads the sealed days and the table as they are kept, without the
//! store and its keys, and says what is not as it was sealed. What counts as that is `core::ledger`'s.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use storeward_core::ledger::seal::{Day, Finding, SigningKey, Standing, check_documents, compare, day_after};
use storeward_core::ledger::{Hash, inclusion};
use storeward_core::time::{DAY, Timestamp};

use super::Trouble;
use crate::cloud::dynamodb::EmbeddedDynamoDb;
use crate::cloud::kms::Kms;

/// What to verify.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The directory of a local run (`--data`): its table, its sealed days and its key.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["roots", "key", "entries"], required_unless_present = "roots")]
    pub data: Option<PathBuf>,
    /// A copy of the bucket's sealed days.
    #[arg(long, value_name = "DIR", requires = "key")]
    pub roots: Option<PathBuf>,
    /// The public key that signed them, as `aws kms get-public-key` gives it: PEM, base64 or DER.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// An export of the ledger's table, DynamoDB JSON, an item in each line. Without it, only the sealed days are checked.
    #[arg(long, value_name = "FILE")]
    pub entries: Option<PathBuf>,
    /// The last day that must be sealed, such as 2026-11-20: of a copy, two days before it was made. Without it, of a
    /// copy the day before yesterday. Whatever it says, each day with entries must be sealed that is two days and more
    /// before the newest entry.
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub until: Option<String>,
    /// Print the proof of one entry by its name (shop#milliseconds#id): with it, a receipt is checked against the root
    /// of its day without the other entries.
    #[arg(long, value_name = "NAME")]
    pub receipt: Option<String>,
}

fn day(text: &str) -> Result<String, &'static str> {
    let start = Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
    start.map(Timestamp::day).filter(|day| day == text).ok_or("write a day as 2026-11-20")
}

/// How long after its beginning a day is sealed for certain: on the next day, at an hour that an auditor need not know.
const SEALED_AFTER: u32 = 2;

/// The last day with entries that has to be sealed by now, as the newest entry tells.
fn due(table: &Table) -> Option<&str> {
    let newest = table.keys().next_back()?;
    let sealed = |day: &str| {
        let after = (0..SEALED_AFTER).try_fold(day.to_owned(), |day, _| day_after(&day));
        after.is_some_and(|after| after <= *newest)
    };
    table.keys().rev().map(String::as_str).find(|day| sealed(day))
}

/// The entries of the table, by day.
pub type Table = BTreeMap<String, Vec<Standing>>;

/// What an audit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The sealed days, in order.
    pub days: Vec<Day>,
    /// What is not as it was sealed.
    pub findings: Vec<Finding>,
    /// Entries of days after the last that was sealed.
    pub unsealed: usize,
}

/// Holds everything against everything. Without a table only the documents are looked at.
#[must_use]
pub fn audit(
    documents: &[(String, String)],
    key: &SigningKey,
    table: Option<&Table>,
    until: Option<&str>,
) -> Audit {
    let (days, mut findings) = check_documents(documents, key, until.max(table.and_then(due)));
    let mut unsealed = 0;
    if let Some(table) = table {
        for day in &days {
            findings.extend(compare(day, table.get(&day.day).map_or(&[], Vec::as_slice)));
        }
        let first = days.first().map(|day| day.day.clone()).unwrap_or_default();
        let last = days.last().map(|day| day.day.clone()).unwrap_or_default();
        for (day, entries) in table {
            if *day > last {
                unsealed += entries.len();
            } else if *day < first {
                // Whoever wrote before the first sealed day wrote it there later: the first run looks for earlier ones.
                let inserted =
                    |entry: &Standing| Finding::Inserted { day: day.clone(), entry: entry.name.clone() };
                findings.extend(entries.iter().map(inserted));
            }
        }
    }
    Audit { days, findings, unsealed }
}

/// The entries among the items of the ledger's table.
#[must_use]
pub fn entries_of(items: &[Value]) -> Table {
    let mut table = Table::new();
    for item in items {
        let item = item.get("Item").unwrap_or(item);
        let text = |name: &str| item[name]["S"].as_str();
        let (Some(partition), Some(name), Some(entry)) = (text("pk"), text("sk"), text("entry")) else {
            continue;
        };
        let mut parts = partition.split('#');
        if let (Some("ledger"), Some(day)) = (parts.next(), parts.next()) {
            let (partition, name, text) = (partition.to_owned(), name.to_owned(), entry.to_owned());
            table.entry(day.to_owned()).or_default().push(Standing { partition, name, text });
        }
    }
    table
}

/// The proof of one entry: all that is needed to check it against the signed root of its day.
#[must_use]
pub fn receipt(audit: &Audit, table: Option<&Table>, name: &str) -> Option<Value> {
    let day = audit.days.iter().find(|day| day.entries.iter().any(|entry| entry.name == name))?;
    let index = day.entries.iter().position(|entry| entry.name == name)?;
    let leaf = day.entries.get(index)?;
    let leaves: Vec<Hash> = day.entries.iter().map(|entry| entry.hash).collect();
    let path: Vec<String> = inclusion(&leaves, index)?.iter().map(hex::encode).collect();
    let standing = table.and_then(|table| table.get(&day.day)?.iter().find(|entry| entry.leaf() == *leaf));
    Some(json!({
        "day": day.day, "name": name, "entry": standing.map(|entry| &entry.text),
        "partition": standing.map(|entry| &entry.partition), "leaf": hex::encode(leaf.hash),
        "index": index, "size": leaves.len(), "path": path,
        "root": hex::encode(day.root), "chained": hex::encode(day.chained),
    }))
}

fn read(file: &Path) -> Result<Vec<u8>, Trouble> {
    std::fs::read(file).map_err(|error| Trouble::new(&format!("{} cannot be read", file.display()), error))
}

/// Every sealed day in a directory and those below it.
fn documents(directory: &Path) -> Result<Vec<(String, String)>, Trouble> {
    let failed = |error| Trouble::new(&format!("{} cannot be read", directory.display()), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.extend(documents(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, String::from_utf8_lossy(&read(&path)?).into_owned()));
        }
    }
    found.sort();
    Ok(found)
}

/// What is verified: the sealed days with their names, the key that signed them, and the table, where it is looked at.
type Sealed = (Vec<(String, String)>, SigningKey, Option<Table>);

fn local(directory: &Path) -> Result<Sealed, Trouble> {
    let trouble = |what: &str, error: &dyn std::fmt::Display| Trouble(format!("{what}: {error}"));
    let (keys, database) = (directory.join("kms.key"), directory.join("dynamodb.sqlite"));
    if !keys.exists() || !database.exists() {
        return Err(Trouble(format!("{} is not the directory of a local run", directory.display())));
    }
    let kms = Kms::open(&keys).map_err(|error| trouble("the key cannot be read", &error))?;
    let key = SigningKey::read(&kms.public_key()).map_err(|error| trouble("the key", &error))?;
    let unusable = |error| trouble("the tables cannot be read", &error as &dyn std::fmt::Display);
    let database = EmbeddedDynamoDb::open(&database).map_err(unusable)?;
    let mut items = Vec::new();
    for table in database.tables().map_err(unusable)?.iter().filter(|name| name.ends_with("-ledger")) {
        items.extend(database.dump(table).map_err(unusable)?);
    }
    let roots = directory.join("objects");
    let sealed = if roots.exists() { documents(&roots)? } else { Vec::new() };
    Ok((sealed, key, Some(entries_of(&items))))
}

fn deployed(args: &VerifyArgs) -> Result<Sealed, Trouble> {
    let (Some(roots), Some(key)) = (&args.roots, &args.key) else {
        return Err(Trouble("give --data, or --roots and --key".to_owned()));
    };
    let key = SigningKey::read(&read(key)?).map_err(|error| Trouble::new("--key", error))?;
    let table = match &args.entries {
        None => None,
        Some(file) => {
            let text = String::from_utf8_lossy(&read(file)?).into_owned();
            let items: Result<Vec<Value>, _> =
                text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect();
            let items =
                items.map_err(|error| Trouble::new("--entries: one item as JSON in each line", error))?;
            Some(entries_of(&items))
        }
    };
    Ok((documents(roots)?, key, table))
}

/// Verifies and says what was found; `false` when anything is not as it was sealed. `now` is what a copy's days have to
/// reach up to, where nobody says how old it is; a local run may have stood still.
///
/// # Errors
/// When something cannot be read.
pub fn verify(args: &VerifyArgs, now: Timestamp, out: &mut impl Write) -> Result<bool, Trouble> {
    let (documents, key, table) = match &args.data {
        Some(directory) => local(directory)?,
        None => deployed(args)?,
    };
    let reaches = args.data.is_none().then(|| (now - DAY * SEALED_AFTER).day());
    let until = args.until.as_deref().or(reaches.as_deref());
    let audit = audit(&documents, &key, table.as_ref(), until);
    let mut lines: Vec<String> = Vec::new();
    if let Some(name) = &args.receipt {
        let proof = receipt(&audit, table.as_ref(), name);
        let proof = proof.ok_or_else(|| Trouble(format!("no sealed day has an entry {name}")))?;
        lines.push(format!("{proof:#}"));
    } else {
        let entries: usize = audit.days.iter().map(|day| day.entries.len()).sum();
        let (first, last) = (audit.days.first(), audit.days.last());
        match (first, last) {
            (Some(first), Some(last)) => {
                let days = audit.days.len();
                lines.push(format!(
                    "{days} sealed days, {} to {}, with {entries} entries",
                    first.day, last.day
                ));
            }
            _ => lines.push("no sealed days".to_owned()),
        }
        if table.is_none() {
            lines.push("the table was not looked at: give --entries".to_owned());
        } else {
            lines.push(format!("{} entries of later days are not sealed yet", audit.unsealed));
        }
    }
    lines.extend(audit.findings.iter().map(|finding| format!("NOT AS SEALED  {finding}")));
    if audit.findings.is_empty() && args.receipt.is_none() && !audit.days.is_empty() {
        lines.push("everything is as it was sealed".to_owned());
    }
    let text = lines.join("\n") + "\n";
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Trouble::new("the findings cannot be printed", error))?;
    Ok(audit.findings.is_empty())
}
