//! `retention --what-if`: what other windows would delete of what is stored. Reads the tables as they are and changes
//! nothing; it needs no keys, and what it says is numbers and ages alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::retention::{CHOSEN, Deployment, Lives, Plan, Preset, RetentionPolicy, Terms};
use storeward_core::time::{Clock, DAY, SystemClock, Timestamp};

use super::serve::{Served, claim};
use super::{Trouble, history};
use crate::cloud::dynamodb::EmbeddedDynamoDb;

/// How long after its orders the demo shop is looked at: some of it is past a window of a week then.
const DEMO_AGE: u32 = 10;

/// What a window would do to the items of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// How many there are that have not ended.
    pub stored: u64,
    /// How many of them would be deleted.
    pub deleted: u64,
    /// The age in whole days of the oldest that would be.
    pub oldest_days: Option<i64>,
    /// The age in whole days of the youngest that would be.
    pub youngest_days: Option<i64>,
}

impl Effect {
    fn see(&mut self, age: i64, deleted: bool) {
        self.stored += 1;
        if deleted {
            self.deleted += 1;
            self.oldest_days = Some(self.oldest_days.map_or(age, |oldest| oldest.max(age)));
            self.youngest_days = Some(self.youngest_days.map_or(age, |youngest| youngest.min(age)));
        }
    }
}

/// What windows would delete of these items at `now`, by kind. Kinds whose life no window decides are left out.
#[must_use]
pub fn effects<'a>(
    items: impl IntoIterator<Item = &'a Value>,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> BTreeMap<&'static str, Effect> {
    let mut effects: BTreeMap<&'static str, Effect> =
        CHOSEN.into_iter().map(|kind| (kind.name(), Effect::default())).collect();
    for item in items {
        let text = |name: &str| item[name]["S"].as_str().unwrap_or_default();
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == text("kind")) else { continue };
        let lives = Lives::read(text("lives"));
        let chosen = CHOSEN.iter().any(|kind| text("lives").contains(&format!("{}@", kind.name())));
        let (Some(began), true) = (lives.began(), chosen) else { continue };
        let written = item["expires_at"]["N"].as_str().and_then(|digits| digits.parse().ok());
        if written.is_some_and(|end: i64| end <= now.seconds()) {
            continue;
        }
        let deleted = lives.end_stored(written, policy).is_some_and(|end| end <= now.seconds());
        let age = now.since(Timestamp::from_seconds(began)).as_secs() / DAY.as_secs();
        effects.entry(kind.name()).or_default().see(i64::try_from(age).unwrap_or(i64::MAX), deleted);
    }
    effects
}

/// Says what the windows in `asked` would delete.
///
/// # Errors
/// When they are no windows, or longer than promised; when there is no data, or a running stack uses it.
pub async fn what_if(
    asked: &str,
    directory: Option<&Path>,
    machine: bool,
    out: &mut impl Write,
) -> Result<(), Trouble> {
    // The longest of everything, and what is asked for shortens it.
    let deployment = Deployment::read(Preset::DuplicateGuard.name(), asked)
        .map_err(|error| Trouble::new("--what-if", error))?;
    let policy = Terms::begin(&deployment, Plan::Paid).policy(&deployment, None);
    let (items, now) = match directory {
        Some(directory) => (stored(directory)?, SystemClock.now()),
        None => demo().await?,
    };
    let effects = effects(&items, &policy, now);
    let text = if machine {
        let windows: BTreeMap<&str, Option<u32>> =
            CHOSEN.into_iter().map(|kind| (kind.name(), policy.days(kind))).collect();
        let document = json!({ "at": now.to_rfc3339(), "days": windows, "kinds": effects });
        serde_json::to_string_pretty(&document).map_err(|error| Trouble::new("the answer", error))? + "\n"
    } else {
        table(&effects, &policy)
    };
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Trouble::new("standard output", error))
}

/// What a stack keeps in its directory.
pub(super) fn stored(directory: &Path) -> Result<Vec<Value>, Trouble> {
    let file = directory.join("dynamodb.sqlite");
    if !file.exists() {
        return Err(Trouble(format!(
            "{} holds no stack's data\nName the directory that `cargo run -- --data DIR` keeps it in.",
            directory.display()
        )));
    }
    let _lock = claim(directory)?;
    let database = EmbeddedDynamoDb::open(&file).map_err(|error| Trouble::new("the tables", error))?;
    items_of(&database)
}

fn items_of(database: &EmbeddedDynamoDb) -> Result<Vec<Value>, Trouble> {
    let unreadable = |error| Trouble::new("the tables", error);
    let mut items = Vec::new();
    for table in database.tables().map_err(unreadable)? {
        items.extend(database.dump(&table).map_err(unreadable)?);
    }
    Ok(items)
}

/// The demo shop, some days on.
async fn demo() -> Result<(Vec<Value>, Timestamp), Trouble> {
    let now = SystemClock.now();
    let served = Served::start(0, None, now - DAY * DEMO_AGE).await?;
    history::play(&served.bundle, served.port).await?;
    let stack = &served.bundle.stack;
    stack.settle().await.map_err(|error| Trouble::new("the demo shop", error))?;
    Ok((items_of(stack.cloud().dynamodb())?, now))
}

fn table(effects: &BTreeMap<&str, Effect>, policy: &RetentionPolicy) -> String {
    let mut lines =
        vec![format!("{:<12} {:>6} {:>10} {:>14}  {}", "kind", "days", "stored", "would go", "aged (days)")];
    for (name, effect) in effects {
        let kind = CHOSEN.into_iter().find(|kind| kind.name() == *name);
        let days = kind.and_then(|kind| policy.days(kind)).map_or_else(String::new, |days| days.to_string());
        let ages = match (effect.youngest_days, effect.oldest_days) {
            (Some(youngest), Some(oldest)) => format!("{youngest} to {oldest}"),
            _ => String::new(),
        };
        let line = format!("{name:<12} {days:>6} {:>10} {:>14}  {ages}", effect.stored, effect.deleted);
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: &str, lives: &str, expires_at: i64) -> Value {
        json!({ "kind": {"S": kind}, "lives": {"S": lives}, "expires_at": {"N": expires_at.to_string()} })
    }

    #[test]
    fn only_what_is_alive_and_past_the_asked_window_would_go() {
        let day = 86_400;
        let now = Timestamp::from_seconds(100 * day);
        let deployment = Deployment::read("duplicate-guard", "order=30").unwrap();
        let policy = Terms::begin(&deployment, Plan::Paid).policy(&deployment, None);
        let items = [
            item("order", &format!("order@{}", 70 * day), 130 * day),
            item("order", &format!("order@{}", 45 * day), 105 * day),
            item("order", &format!("order@{}", 70 * day + 1), 130 * day + 1),
            item("order", &format!("order@{}", 30 * day), 90 * day),
            item("subject", &format!("order@{} case@{}", 45 * day, 46 * day), 400 * day),
            item("delivery", &format!("delivery@{}", 99 * day), 106 * day),
        ];
        let effects = effects(&items, &policy, now);
        let gone = Effect { stored: 3, deleted: 2, oldest_days: Some(55), youngest_days: Some(30) };
        assert_eq!(effects["order"], gone);
        assert_eq!(effects["subject"].deleted, 0, "its case keeps it");
        assert!(!effects.contains_key("delivery"), "nobody's choice");
        assert!(table(&effects, &policy).contains("order            30          3              2  30 to 55"));
    }
}
