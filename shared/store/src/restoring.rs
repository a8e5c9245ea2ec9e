//! After a backup was restored: every erasure since is done again, and every limit is marked again, before anything of the
//! shop is given out. The data table is the one that is restored; keys and ledger stay as they are. Whether a shop is older
//! than its erasures and limits shows in a number that stands with its row and with its keys, which are read together anyway.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::shop::Tenant;
use storeward_core::time::{DAY, Timestamp};

use crate::erasing::Target;
use crate::error::{Result, StoreError};
use crate::item::{Stored, number, text};
use crate::keyspace::{self, BUCKETS, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::store::{Action, Change, Condition, Expired, Query, Store, Unrecorded};
use crate::tenants::Installation;

/// What a tombstone keeps of how the person was found: the partition of the index rows, or the name of the order.
pub(crate) const LEADS_TO: &str = "leads_to";

/// How many erasures and changes of limits a shop has had, on its row and on its keys.
const ERASURES: &str = "erasures";

/// The progress rows of a replay are named by this.
const REPLAY: &str = "replay";

/// Batches that are deleted side by side.
const BATCHES_AT_ONCE: usize = 8;

/// How many erasures an item of an installation tells of.
pub(crate) fn erasures(stored: &Stored) -> i64 {
    stored.optional_number(ERASURES).unwrap_or_default()
}

/// The actions that go with an erasure's tombstones, with each of its ends, and with a change of a limit: a data table from
/// before them does not know of them, and the keys do. They fail where a purge has begun.
pub(crate) fn to_repeat(tenant: &Tenant) -> [Action; 2] {
    let one_more =
        || Change { expression: format!("ADD {ERASURES} :one_more"), values: vec![(":one_more", number(1))] };
    let not_purged = Condition {
        expression: "attribute_exists(pk) AND attribute_not_exists(purge_begun)",
        values: Vec::new(),
    };
    [
        Action::Update { key: keyspace::shop(tenant), update: one_more(), condition: Some(not_purged) },
        Action::Update {
            key: keyspace::keys(tenant),
            update: one_more(),
            condition: Some(Condition::PRESENT),
        },
    ]
}

/// A replay, and how far it came: what goes to the queue. The place in the table is a blinded key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaying {
    /// To which moment the table was restored, or an earlier one.
    pub restored_to: Timestamp,
    /// Where the look for purged installations is to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<(String, String)>,
    /// Whether that look is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scanned: bool,
}

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// Time ran out first: to be called again with this.
    Unfinished(Replaying),
    /// Every erasure since the backup is done again, and every limit is marked.
    Done,
}

/// What the ledger tells of since a backup.
#[derive(Default)]
struct Since {
    purged: BTreeSet<String>,
    purged_tenants: Vec<Tenant>,
    uninstalled: BTreeSet<String>,
    /// Requests that were done, by installation.
    done: BTreeMap<String, BTreeSet<RecordRef>>,
}

impl Store {
    /// Brings a restored data table up to date with every erasure since: switches on that expired items are deleted,
    /// deletes what is left of purged installations, ends the installations that ended since, erases from each shop whoever
    /// was erased and marks what people limit the use of. Doing it twice changes nothing. `time_left` is asked between steps.
    ///
    /// # Errors
    /// What the store failed with; what is not done yet is refused by [`Store::installation`] until it is.
    pub async fn replay(
        &self,
        mut replaying: Replaying,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<Replayed> {
        for table in [Table::Data, Table::Keys, Table::Ledger] {
            self.enable_expiry(table).await?;
        }
        let since = self.since(replaying.restored_to).await?;
        // Keys that were restored with the rest are destroyed again, before anything else.
        for tenant in &since.purged_tenants {
            self.write(Unrecorded::Step, vec![Action::delete(keyspace::keys(tenant))]).await?;
            self.cache_lock().remove(&tenant.shop);
        }
        while !replaying.scanned && !since.purged.is_empty() {
            if !time_left() {
                return Ok(Replayed::Unfinished(replaying));
            }
            let (page, next) = self.scan_keys(Table::Data, replaying.after.take()).await?;
            let belong: Vec<Key> = page.iter().filter_map(|item| belongs(item, &since.purged)).collect();
            self.delete_all(belong, BATCHES_AT_ONCE).await?;
            replaying.scanned = next.is_none();
            replaying.after = next;
        }
        replaying.scanned = true;
        for tenant in self.installations().await? {
            if !self.replay_shop(&tenant, &since, time_left).await? {
                return Ok(Replayed::Unfinished(replaying));
            }
        }
        Ok(Replayed::Done)
    }

    /// Reads the ledger from the day before `restored_to`.
    async fn since(&self, restored_to: Timestamp) -> Result<Since> {
        let mut since = Since::default();
        let mut day = restored_to - DAY;
        while day < self.now() + DAY {
            for bucket in 0..BUCKETS {
                for entry in self.entries_of(day, bucket).await? {
                    let Some(generation) = entry.generation else { continue };
                    let tenant = Tenant { shop: entry.shop, generation };
                    match entry.what {
                        What::ShopPurged => {
                            since.purged.insert(tenant.to_string());
                            since.purged_tenants.push(tenant);
                        }
                        What::Uninstalled => _ = since.uninstalled.insert(tenant.to_string()),
                        What::SubjectErasureVerified => {
                            let done = since.done.entry(tenant.to_string()).or_default();
                            done.extend(entry.why.parse::<RecordRef>());
                        }
                        _ => {}
                    }
                }
            }
            day = day + DAY;
        }
        Ok(since)
    }

    /// Brings one shop up to date; `false` when time ran out first.
    async fn replay_shop(
        &self,
        tenant: &Tenant,
        since: &Since,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let Some(installation) = self.tenant_and(tenant, true).await? else { return Ok(true) };
        let keys = self.wrapped_keys(&tenant.shop).await?;
        let erasures_done = keys.get(&tenant.generation).map_or(0, |keys| keys.erasures);
        if erasures(&installation.stored) < erasures_done {
            for target in self.targets(tenant).await? {
                if !self.erase(&installation, &target, time_left).await? {
                    return Ok(false);
                }
            }
            for request in since.done.get(&tenant.to_string()).into_iter().flatten() {
                self.forget(&installation, request).await?;
            }
            if !self.repeat_limits(&installation, time_left).await? {
                return Ok(false);
            }
            let settled = self.settled(tenant, REPLAY).await?;
            let now = self.now();
            let mut entry = Entry::new(now, tenant, What::ErasuresReplayed, "restored backup");
            entry.counts = settled.counts();
            entry.verified = Some("every index that a tombstone names read again: nothing found".to_owned());
            let mut actions = settled.actions;
            actions.push(self.ledger_action(&entry)?);
            actions.push(Action::Update {
                key: keyspace::shop(tenant),
                update: Change {
                    expression: format!("SET {ERASURES} = :done"),
                    values: vec![(":done", number(erasures_done))],
                },
                condition: Some(Condition::PRESENT),
            });
            if self.transact(actions).await?.is_err() {
                return Err(StoreError::Contended("an installation"));
            }
        }
        if installation.is_installed() && since.uninstalled.contains(&tenant.to_string()) {
            self.uninstall(&installation, "restored backup").await?;
        }
        Ok(true)
    }

    /// Whom the tombstones of a shop tell of: those of one time together.
    async fn targets(&self, tenant: &Tenant) -> Result<Vec<Target>> {
        let mut targets: BTreeMap<Timestamp, Target> = BTreeMap::new();
        for bucket in 0..BUCKETS {
            let partition = keyspace::bucket_partition(tenant, Kind::Tombstone, bucket);
            for tombstone in self.query_all(Query::of(Table::Ledger, &partition)).await? {
                let received_at = tombstone.time("erased_at")?;
                let Some(leads_to) = tombstone.optional_text(LEADS_TO) else { continue };
                let target = targets.entry(received_at).or_insert_with(|| Target {
                    name: REPLAY.to_owned(),
                    received_at,
                    partitions: BTreeSet::new(),
                    named: BTreeSet::new(),
                });
                match leads_to.parse::<RecordRef>() {
                    Ok(record) => _ = target.named.insert(record),
                    Err(_) => _ = target.partitions.insert(leads_to.to_owned()),
                }
            }
        }
        Ok(targets.into_values().collect())
    }

    /// A request that was done forgets again whom it was about.
    async fn forget(&self, installation: &Installation, request: &RecordRef) -> Result<()> {
        let key = keyspace::record(&installation.tenant, request);
        let stored = self.batch_get(Table::Data, std::slice::from_ref(&key), Expired::Too).await?;
        if stored.is_empty() {
            return Ok(());
        }
        let update = Change {
            expression: "SET phase = :done REMOVE sealed".to_owned(),
            values: vec![(":done", text("done"))],
        };
        let condition = Some(Condition::PRESENT);
        // It expired meanwhile: then it is forgotten too.
        let _gone = self
            .transact_unrecorded(Unrecorded::Step, vec![Action::Update { key, update, condition }])
            .await?;
        Ok(())
    }
}

/// The key of an item, if it is one of these installations'.
fn belongs(item: &Stored, tenants: &BTreeSet<String>) -> Option<Key> {
    let (pk, sk) = (item.optional_text("pk")?, item.optional_text("sk")?);
    // `shop#generation#…`, as a partition or as a name in one that is shared; or a shop's own row.
    let tenant_in = |text: &str| {
        let mut parts = text.split('#');
        let (shop, generation) = (parts.next()?, parts.next()?);
        Some(format!("{shop}#{generation}"))
    };
    let own_row = || pk.strip_prefix("shop#").map(|shop| format!("{shop}#{sk}"));
    // The row of a mailbox begins with its blinded address.
    let of_mailbox = || pk.starts_with("mailboxes#").then(|| tenant_in(sk.split_once('#')?.1)).flatten();
    let owners = [tenant_in(pk), tenant_in(sk), own_row(), of_mailbox()];
    let theirs = owners.into_iter().flatten().any(|owner| tenants.contains(&owner));
    // Any kind of the table will do: only the table and the key count for a deletion.
    theirs.then(|| Key { kind: Kind::Shop, pk: pk.to_owned(), sk: sk.to_owned() })
}
