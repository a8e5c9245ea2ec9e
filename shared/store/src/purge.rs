//! The end of an installation: everything it has is deleted bucket by bucket, looked for again, its keys are destroyed
//! and a receipt is written, the last three in one transaction. It can stop anywhere and go on later: how far it came is
//! written before anything is deleted, so that each record is counted once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, LONGEST_WRITER, PURGE_AFTER, Table};
use storeward_core::receipt::{Check, Erased, How, Receipt};
use storeward_core::shop::{ShopState, Tenant};

use crate::due::DueRow;
use crate::error::{Result, StoreError};
use crate::exceptions;
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, BUCKETS, Key, Place};
use crate::ledger::{Entry, What};
use crate::mailboxes;
use crate::notices;
use crate::requests;
use crate::statistics::{month, months_back};
use crate::store::{Action, Change, Condition, Expired, Query, Store, Unrecorded};
use crate::tenants::Installation;
use crate::threads::{self, ThreadRecord};

/// Buckets that are worked on side by side: each of their partitions takes 1,000 writes/s of its own.
const AT_ONCE: usize = 16;

/// Batches of one bucket that are under way side by side.
const BATCHES_AT_ONCE: usize = 2;

/// How many partitions of one bucket are looked into side by side.
const LOOKS_AT_ONCE: usize = 2;

/// How many records of a partition are read, counted and deleted at a time: at most 1 MB, which DynamoDB gives at once.
const PAGE: i32 = 300;

/// How often is looked for what no record leads to: a look that finds some is followed by another.
const LOOKS: usize = 3;

/// The progress rows of a purge are named by this.
const PURGE: &str = "purge";

/// What says in an installation's row that its purge has begun.
const BEGUN: &str = "purge_begun";

/// What a purge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeReport {
    /// The installation is gone, as of this purge or of an earlier one.
    Gone,
    /// The app is installed: nothing was touched.
    Installed,
    /// What began before the uninstall may still be writing, or a mailbox is still to be given back to Google: to be asked
    /// for again after this long.
    TooEarly(Duration),
    /// Time ran out first: the same purge goes on from here.
    Unfinished,
    /// Nothing is left, and the receipt says so.
    NothingLeft,
}

/// The action by which whoever writes for an uninstalled shop makes sure that no purge is going on behind its back.
pub(crate) fn not_begun(tenant: &Tenant) -> Action {
    let condition = Condition {
        expression: "attribute_exists(pk) AND attribute_not_exists(purge_begun)",
        values: Vec::new(),
    };
    Action::Check { key: keyspace::shop(tenant), condition }
}

/// What became of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    /// There was nothing in it.
    Empty,
    /// What was in it is deleted.
    Emptied,
    /// Time ran out first.
    Unfinished,
}

/// How far a purge came in one bucket.
#[derive(Debug, Default)]
struct Progress {
    revision: i64,
    kinds: BTreeMap<String, Counted>,
}

/// The records of one kind in one bucket that were counted, in the order of their names: what stands at `upto` or before
/// is counted, deleted or not.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counted {
    upto: String,
    records: u64,
}

impl Store {
    /// Deletes everything of an uninstalled installation. `time_left` is asked between requests; when it says no,
    /// the purge stops where it is. A purge that comes before its usual time waits, until then at most, for mailboxes whose
    /// consent Google has not taken back: that takes their tokens.
    pub async fn purge(
        &self,
        tenant: &Tenant,
        why: &str,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<PurgeReport> {
        let Some(installation) = self.tenant(tenant).await? else { return Ok(PurgeReport::Gone) };
        if installation.state != ShopState::Uninstalled {
            return Ok(PurgeReport::Installed);
        }
        let (now, ended_at) = (self.now(), installation.uninstalled_at.unwrap_or_default());
        let quiet = ended_at + LONGEST_WRITER;
        if now < quiet {
            return Ok(PurgeReport::TooEarly(quiet.since(now)));
        }
        // Once it has begun, no mailbox can be ended any more.
        if !installation.stored.0.contains_key(BEGUN) {
            let mailboxes = self.mailboxes(&installation).await?;
            let consents = mailboxes.iter().filter(|mailbox| mailbox.tokens.is_some()).count();
            let usual = ended_at + PURGE_AFTER;
            if consents > 0 && now < usual {
                return Ok(PurgeReport::TooEarly(usual.since(now).min(LONGEST_WRITER)));
            }
            if consents > 0 {
                tracing::error!(%tenant, consents, "purged before Google took back the consent of its mailboxes");
            }
        }
        // From here on nothing is written for the installation any more: what was written before is found below.
        let begun = Action::Update {
            key: keyspace::shop(tenant),
            update: Change {
                expression: "SET purge_begun = if_not_exists(purge_begun, :now)".to_owned(),
                values: vec![(":now", number(now.millis()))],
            },
            condition: Some(Condition::phase("uninstalled")),
        };
        if self.transact_unrecorded(Unrecorded::Step, vec![begun]).await?.is_err() {
            return Ok(PurgeReport::Gone);
        }
        let swept: Vec<Swept> = stream::iter(0..BUCKETS)
            .map(|bucket| self.purge_bucket(&installation, bucket, time_left))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        if swept.contains(&Swept::Unfinished) {
            return Ok(PurgeReport::Unfinished);
        }
        // Where every partition was found empty after the purge had begun, that look is the one that counts.
        let looked = swept.iter().all(|swept| *swept == Swept::Empty);
        for _ in 0..LOOKS {
            let (checks, own) = self.look_again(&installation, looked).await?;
            if checks.iter().all(|check| check.found == 0) {
                self.finish_purge(&installation, why, checks, own).await?;
                return Ok(PurgeReport::NothingLeft);
            }
        }
        Ok(PurgeReport::Unfinished)
    }

    /// Empties the partitions of one bucket, kind by kind.
    async fn purge_bucket(
        &self,
        installation: &Installation,
        bucket: u8,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<Swept> {
        let tenant = &installation.tenant;
        let kinds: Vec<Kind> = stream::iter(keyspace::bucketed())
            .map(|kind| async move {
                let page = self.page_of(tenant, kind, bucket, 1).await?;
                Ok::<_, StoreError>((!page.is_empty()).then_some(kind))
            })
            .buffered(LOOKS_AT_ONCE)
            .try_filter_map(|kind| async move { Ok(kind) })
            .try_collect()
            .await?;
        if kinds.is_empty() {
            return Ok(Swept::Empty);
        }
        let mut progress = self.progress(tenant, bucket).await?;
        for kind in kinds {
            loop {
                if !time_left() {
                    return Ok(Swept::Unfinished);
                }
                let page = self.page_of(tenant, kind, bucket, PAGE).await?;
                if page.is_empty() {
                    break;
                }
                if !self.count_page(tenant, kind, bucket, &page, &mut progress).await? {
                    // Another purge of the same installation counted first.
                    progress = self.progress(tenant, bucket).await?;
                    continue;
                }
                if kind == Kind::Request {
                    self.end_with_shop(tenant, &page).await?;
                }
                let mut rows = Vec::new();
                let mut records = Vec::with_capacity(page.len());
                for item in &page {
                    rows.extend(self.rows_of(installation, kind, item)?);
                    records.push(item.key(kind)?);
                }
                // A record's index rows and then the record: stopped in between, it still leads to its rows.
                self.delete_all(rows, BATCHES_AT_ONCE).await?;
                self.delete_all(records, BATCHES_AT_ONCE).await?;
            }
        }
        Ok(Swept::Emptied)
    }

    /// The first items of a partition, expired ones too.
    async fn page_of(&self, tenant: &Tenant, kind: Kind, bucket: u8, limit: i32) -> Result<Vec<Stored>> {
        let partition = keyspace::bucket_partition(tenant, kind, bucket);
        let mut query = Query::of(kind.row().table, &partition);
        query.limit = limit;
        query.expired = Expired::Too;
        Ok(self.query(query).await?.0)
    }

    /// The index rows that lead to a record: those that stand in partitions of their own.
    pub(crate) fn rows_of(&self, installation: &Installation, kind: Kind, item: &Stored) -> Result<Vec<Key>> {
        let mut rows = match kind {
            Kind::Order => Self::read_order(installation, item)?.rows,
            Kind::Case => {
                let case = Self::read_case(installation, item)?.whole();
                let tenant = &installation.tenant;
                let rows = case.members.iter().flat_map(|member| {
                    member.row_keys(installation).into_iter().chain([member.own_row(tenant)])
                });
                rows.chain(case.index_key(tenant)).collect()
            }
            Kind::Digest => notices::rows_of_digest(installation, item)?,
            Kind::Exception => exceptions::keys_of(installation, item)?,
            Kind::Request => requests::read(item)?.keys(&installation.tenant),
            Kind::Rectification | Kind::Export => Self::rows_of_errand(installation, kind, item)?,
            Kind::Mailbox => mailboxes::rows_of(self, installation, item)?,
            Kind::Thread => ThreadRecord::read(installation, item)?.rows(&installation.tenant),
            Kind::Mail | Kind::Draft => threads::due_rows_of(&installation.tenant, kind, item)?,
            _ => Vec::new(),
        };
        rows.retain(|row| keyspace::place(row.kind) != Place::Buckets);
        Ok(rows)
    }

    async fn progress(&self, tenant: &Tenant, bucket: u8) -> Result<Progress> {
        match self.get(&keyspace::progress(tenant, PURGE, bucket)).await? {
            Some(stored) => Progress::read(&stored),
            None => Ok(Progress::default()),
        }
    }

    /// Counts a page before it is deleted: what stands after the last one that was counted is new. `false` when somebody
    /// else counted since the progress was read.
    async fn count_page(
        &self,
        tenant: &Tenant,
        kind: Kind,
        bucket: u8,
        page: &[Stored],
        progress: &mut Progress,
    ) -> Result<bool> {
        let counted = progress.kinds.entry(kind.name().to_owned()).or_default();
        let mut new = 0;
        for item in page {
            let name = item.text("sk")?;
            if name > counted.upto.as_str() {
                name.clone_into(&mut counted.upto);
                new += 1;
            }
        }
        if new == 0 {
            return Ok(true);
        }
        counted.records += new;
        let condition = if progress.revision == 0 {
            Condition::ABSENT
        } else {
            Condition {
                expression: "revision = :revision",
                values: vec![(":revision", number(progress.revision))],
            }
        };
        progress.revision += 1;
        let kinds =
            serde_json::to_string(&progress.kinds).map_err(|_| StoreError::Corrupt("a purge's progress"))?;
        let item = Item::new(keyspace::progress(tenant, PURGE, bucket))
            .set("revision", number(progress.revision))
            .set("counted", text(kinds));
        let put = vec![Action::Put { item, condition: Some(condition) }];
        Ok(self.transact_unrecorded(Unrecorded::Step, put).await?.is_ok())
    }

    /// Looks for whatever an installation can have, kind by kind of the data map, and deletes on sight what no record
    /// leads to. `looked` says that the buckets were read just now. With the checks come the due rows of the purge
    /// itself: they go with the receipt, and until then bring a purge back that was lost.
    async fn look_again(
        &self,
        installation: &Installation,
        looked: bool,
    ) -> Result<(Vec<Check>, BTreeSet<Key>)> {
        let tenant = &installation.tenant;
        let (mut checks, mut own) = (Vec::new(), BTreeSet::new());
        for kind in Kind::ALL {
            checks.push(match keyspace::place(kind) {
                Place::Buckets => {
                    let found: usize = if looked {
                        0
                    } else {
                        stream::iter(0..BUCKETS)
                            .map(|bucket| self.page_of(tenant, kind, bucket, 1))
                            .buffer_unordered(AT_ONCE)
                            .try_fold(0, |sum, page| async move { Ok(sum + page.len()) })
                            .await?
                    };
                    Check::new(kind, How::ReadAgain, BUCKETS.into(), found as u64)
                }
                Place::Months => {
                    let first = month(tenant.generation.since());
                    let mut left = Vec::new();
                    let mut asked = 0;
                    for month in months_back(self.now()).take_while(|month| *month >= first) {
                        let partition = match kind {
                            Kind::RequestIndex => keyspace::request_index_partition(tenant, &month),
                            Kind::ThreadIndex => keyspace::thread_index_partition(tenant, &month),
                            _ => keyspace::case_index_partition(tenant, &month),
                        };
                        left.extend(self.all_of(Table::Data, &partition).await?);
                        asked += 1;
                    }
                    // A row without its case: nothing else leads to it.
                    let keys: Vec<Key> = left.iter().map(|item| item.key(kind)).collect::<Result<_>>()?;
                    let found = keys.len() as u64;
                    self.delete_all(keys, BATCHES_AT_ONCE).await?;
                    Check::new(kind, How::ReadAgain, asked, found)
                }
                Place::Hours => {
                    let due = self.due_of(tenant).await?;
                    let found = due.keys.len() as u64;
                    self.delete_all(due.keys, BATCHES_AT_ONCE).await?;
                    own = due.purges;
                    Check::new(kind, How::ReadAgain, due.partitions, found)
                }
                Place::WithItsRecord => Check::new(kind, How::NothingLeadsToIt, 0, 0),
                Place::Installation => Check::new(kind, How::WithThisReceipt, 0, 0),
                Place::Ledger | Place::Deployment => Check::new(kind, How::Stays, 0, 0),
            });
        }
        Ok((checks, own))
    }

    async fn finish_purge(
        &self,
        installation: &Installation,
        why: &str,
        checks: Vec<Check>,
        mut own: BTreeSet<Key>,
    ) -> Result<()> {
        let tenant = &installation.tenant;
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut actions = Vec::new();
        for item in self.all_of(Table::Data, &keyspace::progress_partition(tenant)).await? {
            // What an erasure left when it was stopped is not the purge's count.
            if item.text("sk")?.starts_with(PURGE) {
                for (kind, counted) in Progress::read(&item)?.kinds {
                    *counts.entry(kind).or_default() += counted.records;
                }
                actions.push(Action::delete(item.key(Kind::Progress)?));
            } else {
                self.write(Unrecorded::Step, vec![Action::delete(item.key(Kind::Progress)?)]).await?;
            }
        }
        let now = self.now();
        let receipt =
            Receipt::new(Erased::Installation, why, installation.uninstalled_at, now, counts, checks);
        let mut entry = Entry::new(now, tenant, What::ShopPurged, why);
        entry.attest(receipt);
        actions.push(self.ledger_action(&entry)?);
        actions.push(Action::Delete {
            key: keyspace::shop(tenant),
            condition: Some(Condition::phase("uninstalled")),
        });
        actions.push(Action::delete(keyspace::members(tenant)));
        actions.push(Action::delete(keyspace::desk(tenant)));
        actions.push(Action::delete(keyspace::keys(tenant)));
        actions.push(Action::delete(keyspace::directory(tenant)));
        own.extend(installation.uninstalled_at.map(|at| DueRow::purge(tenant, at).key()));
        actions.extend(own.into_iter().map(Action::delete));
        if self.transact(actions).await?.is_err() {
            return Err(StoreError::Contended("an installation"));
        }
        self.cache_lock().remove(&tenant.shop);
        Ok(())
    }
}

impl Progress {
    fn read(stored: &Stored) -> Result<Self> {
        let kinds = serde_json::from_str(stored.text("counted")?)
            .map_err(|_| StoreError::Corrupt("a purge's progress"))?;
        Ok(Self { revision: stored.number("revision")?, kinds })
    }
}
