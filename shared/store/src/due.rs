//! Due rows: what a sweep must do at an hour. They stand in partitions by hour, so a sweep never scans.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, PURGE_AFTER, Retention, Table};
use storeward_core::shop::Tenant;
use storeward_core::time::{HOUR, Timestamp};

use crate::accept::Work;
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, DUE_SHARDS, Key, RecordRef};
use crate::store::{self, Expired, Query, Range, Store, Unrecorded};

/// Under which retention of the deployment the last sweep ran.
const KEEPING: &str = "keeping";

/// How many hours' partitions a purge reads side by side.
const PARTITIONS_AT_ONCE: usize = 16;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Work whose delivery is still open: its reference goes to the queue again.
    Resend,
    /// The purge of an uninstalled shop, should its schedule be lost.
    Purge,
    /// The second pass of an erasure, should its delayed message be lost.
    SecondPass,
    /// A rights request whose deadline is near or over, or whose proof is.
    RequestDue,
    /// The digest of a shop's cases: its work names the record that lists them.
    Digest,
    /// Going through what an installation has stored, because a window became shorter.
    ApplyRetention,
    /// A mailbox in which something is to be done that nobody else asks for: reading it the first time, ending it.
    SyncMailbox,
    /// A mail of which is to be found out what it is about.
    ClassifyMail,
    /// A mail to which a reply is to be drafted.
    DraftReply,
    /// A draft that is to be sent.
    SendReply,
}

impl Action {
    const ALL: [Self; 10] = [
        Self::Resend,
        Self::Purge,
        Self::SecondPass,
        Self::RequestDue,
        Self::Digest,
        Self::ApplyRetention,
        Self::SyncMailbox,
        Self::ClassifyMail,
        Self::DraftReply,
        Self::SendReply,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Purge => "purge",
            Self::SecondPass => "second-pass",
            Self::RequestDue => "request-due",
            Self::Digest => "digest",
            Self::ApplyRetention => "apply-retention",
            Self::SyncMailbox => "sync-mailbox",
            Self::ClassifyMail => "classify-mail",
            Self::DraftReply => "draft-reply",
            Self::SendReply => "send-reply",
        }
    }
}

/// One thing that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRow {
    /// When, at the earliest.
    pub at: Timestamp,
    /// For which installation.
    pub tenant: Tenant,
    /// What.
    pub action: Action,
    /// The work it is about; none for what is about a whole shop.
    pub work: Option<Work>,
}

impl DueRow {
    /// The row of a piece of work: it stands where the work says.
    pub(crate) fn of(work: &Work, action: Action) -> Self {
        Self { at: work.due_at, tenant: work.tenant.clone(), action, work: Some(work.clone()) }
    }

    /// The row that makes sure of an uninstalled shop's purge: an hour after its schedule.
    pub(crate) fn purge(tenant: &Tenant, uninstalled_at: Timestamp) -> Self {
        let at = uninstalled_at + PURGE_AFTER + HOUR;
        Self { at, tenant: tenant.clone(), action: Action::Purge, work: None }
    }

    /// The row that lets an installation be gone through once nobody can be writing under the terms before.
    pub(crate) fn retention(tenant: &Tenant, at: Timestamp) -> Self {
        Self { at, tenant: tenant.clone(), action: Action::ApplyRetention, work: None }
    }

    /// The row of the same that stands at `at`: what a job that was started by it ends.
    #[must_use]
    pub fn of_retention(tenant: &Tenant, at: Timestamp) -> Self {
        Self::retention(tenant, at)
    }

    /// The row of a step of the mail desk, about a mailbox, a mail or a draft.
    pub(crate) fn of_desk(tenant: &Tenant, action: Action, record: &RecordRef, at: Timestamp) -> Self {
        let work = Work {
            tenant: tenant.clone(),
            record: record.clone(),
            delivery: record.clone(),
            due_at: at,
            stored: true,
        };
        Self::of(&work, action)
    }

    pub(crate) fn key(&self) -> Key {
        let reference = self.work.as_ref().map_or("", |work| work.delivery.id());
        keyspace::due(self.at, &self.tenant, self.action.name(), reference)
    }
}

/// What is due for one installation.
#[derive(Default)]
pub(crate) struct DueOf {
    /// The rows.
    pub(crate) keys: Vec<Key>,
    /// The rows of its purge.
    pub(crate) purges: BTreeSet<Key>,
    /// How many partitions were read.
    pub(crate) partitions: u64,
}

/// The action that writes a due row.
pub(crate) fn put(row: &DueRow) -> store::Action {
    let mut item = Item::new(row.key())
        .set("at", number(row.at.millis()))
        .set("shop", text(row.tenant.shop.as_str()))
        .set("generation", number(row.tenant.generation.0))
        .set("what", text(row.action.name()))
        .expiring(row.at);
    if let Some(work) = &row.work {
        item = item
            .set("record_ref", text(work.record.to_string()))
            .set("delivery", text(work.delivery.to_string()));
    }
    store::Action::put(item)
}

fn read(stored: &Stored) -> Result<DueRow> {
    let corrupt = StoreError::Corrupt("a due row");
    let at = stored.time("at")?;
    let tenant = serde_json::from_value(serde_json::json!({
        "shop": stored.text("shop")?,
        "generation": stored.number("generation")?,
    }))
    .map_err(|_| corrupt.clone())?;
    let what = stored.text("what")?;
    let action = Action::ALL.into_iter().find(|action| action.name() == what).ok_or(corrupt.clone())?;
    let work = match (stored.optional_text("record_ref"), stored.optional_text("delivery")) {
        (Some(record), Some(delivery)) => Some(Work {
            tenant: Tenant::clone(&tenant),
            record: record.parse().map_err(|_| corrupt.clone())?,
            delivery: delivery.parse().map_err(|_| corrupt)?,
            due_at: at,
            stored: true,
        }),
        _ => None,
    };
    Ok(DueRow { at, tenant, action, work })
}

impl Store {
    /// Everything that is due by now, oldest hour first.
    pub async fn due(&self) -> Result<Vec<DueRow>> {
        let now = self.now();
        let cursor = self.get(&keyspace::sweep_cursor()).await?;
        let from = match cursor {
            Some(cursor) => cursor.number("hour")?,
            None => self.first_due_hour().await?,
        };
        let mut due = Vec::new();
        for hour in from..=now.hour() {
            let shards = (0..DUE_SHARDS).map(|shard| self.due_in(hour, shard));
            for rows in futures::future::try_join_all(shards).await? {
                due.extend(rows.into_iter().filter(|row| row.at <= now));
            }
        }
        Ok(due)
    }

    /// The first hour in which anything can be due where no sweep is remembered: none has succeeded yet, or none for as
    /// long as due rows live. Nothing is due before the first installation.
    async fn first_due_hour(&self) -> Result<i64> {
        let now = self.now();
        let Retention::Window(lives) = Kind::Due.row().retention else {
            return Err(StoreError::Corrupt("how long due rows live"));
        };
        let first = self.installations().await?.iter().map(|tenant| tenant.generation.since()).min();
        Ok(first.unwrap_or(now).max(now - lives).hour())
    }

    /// What is due for an installation that was uninstalled hours ago: in the hours that are not swept yet, and in the
    /// next one, to where the sweep moves what is not done. What stands further ahead is named by its record.
    pub(crate) async fn due_of(&self, tenant: &Tenant) -> Result<DueOf> {
        let mut due = DueOf::default();
        let now = self.now().hour();
        let partitions: Vec<String> = (now - 1..=now + 1)
            .flat_map(|hour| (0..DUE_SHARDS).map(move |shard| keyspace::due_partition(hour, shard)))
            .collect();
        due.partitions = partitions.len() as u64;
        let found: Vec<Vec<Stored>> = stream::iter(partitions)
            .map(|partition| async move {
                let mut query = Query::of(Table::Data, &partition);
                query.range = Range::Prefix(format!("{tenant}#"));
                query.expired = Expired::Too;
                self.query_all(query).await
            })
            .buffer_unordered(PARTITIONS_AT_ONCE)
            .try_collect()
            .await?;
        for row in found.into_iter().flatten() {
            let key = row.key(Kind::Due)?;
            if row.optional_text("what") == Some(Action::Purge.name()) {
                due.purges.insert(key);
            } else {
                due.keys.push(key);
            }
        }
        Ok(due)
    }

    async fn due_in(&self, hour: i64, shard: u8) -> Result<Vec<DueRow>> {
        let partition = keyspace::due_partition(hour, shard);
        self.query_all(Query::of(Table::Data, &partition)).await?.iter().map(read).collect()
    }

    /// Whether the last sweep knew this deployment to keep things as it does now. There is nothing to go through for the
    /// first.
    pub async fn retention_swept(&self) -> Result<bool> {
        let cursor = self.get(&keyspace::sweep_cursor()).await?;
        let known = cursor.as_ref().and_then(|cursor| cursor.optional_text(KEEPING));
        Ok(cursor.is_none() || known == Some(self.deployment_retention().fingerprint().as_str()))
    }

    /// Remembers that everything due by `until` was seen to: the next sweep begins at that hour. It must be a time from
    /// before the rows were read, or what came due during the sweep would be passed over.
    pub async fn due_swept(&self, until: Timestamp) -> Result<()> {
        let item = Item::new(keyspace::sweep_cursor())
            .set("hour", number(until.hour()))
            .set(KEEPING, text(self.deployment_retention().fingerprint()))
            .expiring(until);
        self.write(Unrecorded::Bookkeeping, vec![store::Action::put(item)]).await
    }

    /// A due row that was acted on is gone.
    pub async fn due_done(&self, row: &DueRow) -> Result<()> {
        self.write(Unrecorded::Bookkeeping, vec![store::Action::delete(row.key())]).await
    }

    /// A due row that was acted on and is to be looked at again in an hour: the row as it will stand then. Written
    /// before the work is sent, so that the work can name the row it ends.
    pub async fn due_again(&self, row: &DueRow) -> Result<DueRow> {
        let mut later = row.clone();
        later.at = self.now() + HOUR;
        if let Some(work) = &mut later.work {
            work.due_at = later.at;
        }
        self.write(Unrecorded::Bookkeeping, vec![store::Action::delete(row.key()), put(&later)]).await?;
        Ok(later)
    }
}
