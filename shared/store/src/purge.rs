//! The end of an installation: everything it has is deleted partition by partition, checked to be gone, its
//! keys are destroyed and a receipt is written, all but the deleting in one transaction. It can stop anywhere
//! and go on later: what is counted is counted in the transaction that deletes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use storeward_core::data_map::{Kind, LONGEST_WRITER, Table};
use storeward_core::shop::{ShopState, Tenant};

use crate::due::DueRow;
use crate::error::{Result, StoreError};
use crate::exceptions;
use crate::item::{Stored, number, text};
use crate::keyspace::{self, Key};
use crate::ledger::{Entry, What};
use crate::requests;
use crate::store::{Action, Change, Condition, Expired, Query, Store, TRANSACTION_ITEMS, Unrecorded};
use crate::tenants::Installation;

/// Partitions that are worked on side by side.
const AT_ONCE: usize = 8;

/// What a purge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeReport {
    /// The installation is gone, as of this purge or of an earlier one.
    Gone,
    /// The app is installed: nothing was touched.
    Installed,
    /// What began before the uninstall may still be writing: to be asked for again after this long.
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

impl Store {
    /// Deletes everything of an uninstalled installation. `time_left` is asked between requests; when it says no,
    /// the purge stops where it is.
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
        let quiet = installation.uninstalled_at.unwrap_or_default() + LONGEST_WRITER;
        if self.now() < quiet {
            return Ok(PurgeReport::TooEarly(quiet.since(self.now())));
        }
        // From here on nothing is written for the installation any more: what was written before is found below.
        let begun = Action::Update {
            key: keyspace::shop(tenant),
            update: Change {
                expression: "SET purge_begun = if_not_exists(purge_begun, :now)".to_owned(),
                values: vec![(":now", number(self.now().millis()))],
            },
            condition: Some(Condition::phase("uninstalled")),
        };
        if self.transact_unrecorded(Unrecorded::Step, vec![begun]).await?.is_err() {
            return Ok(PurgeReport::Gone);
        }
        let finished = stream::iter(keyspace::buckets())
            .map(|(kind, bucket)| self.purge_partition(&installation, kind, bucket, time_left))
            .buffer_unordered(AT_ONCE)
            .try_fold(true, |all, finished| async move { Ok(all && finished) })
            .await?;
        if !finished {
            return Ok(PurgeReport::Unfinished);
        }
        let left = stream::iter(keyspace::buckets())
            .map(|(kind, bucket)| async move {
                let partition = keyspace::bucket_partition(tenant, kind, bucket);
                let mut query = Query::of(kind.row().table, &partition);
                query.limit = 1;
                query.expired = Expired::Too;
                self.query(query).await.map(|(items, _)| items.len())
            })
            .buffer_unordered(AT_ONCE)
            .try_fold(0, |sum, left| async move { Ok(sum + left) })
            .await?;
        if left > 0 {
            return Ok(PurgeReport::Unfinished);
        }
        self.finish_purge(&installation, why).await?;
        Ok(PurgeReport::NothingLeft)
    }

    async fn purge_partition(
        &self,
        installation: &Installation,
        kind: Kind,
        bucket: u8,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let partition = keyspace::bucket_partition(&installation.tenant, kind, bucket);
        loop {
            if !time_left() {
                return Ok(false);
            }
            let mut query = Query::of(kind.row().table, &partition);
            query.expired = Expired::Too;
            let (items, _) = self.query(query).await?;
            if items.is_empty() {
                return Ok(true);
            }
            let mut batch: BTreeSet<Key> = BTreeSet::new();
            let mut counted = 0;
            for item in &items {
                let keys = Self::keys_of(installation, kind, item)?;
                // One place is for the count.
                if batch.len() + keys.len() >= TRANSACTION_ITEMS {
                    self.delete_counted(installation, kind, bucket, std::mem::take(&mut batch), counted)
                        .await?;
                    counted = 0;
                }
                for chunk in keys.chunks(TRANSACTION_ITEMS - 1) {
                    if batch.len() + chunk.len() >= TRANSACTION_ITEMS {
                        self.delete_counted(installation, kind, bucket, std::mem::take(&mut batch), 0)
                            .await?;
                    }
                    batch.extend(chunk.iter().cloned());
                }
                counted += 1;
            }
            self.delete_counted(installation, kind, bucket, batch, counted).await?;
        }
    }

    /// A record's index rows and then the record itself: stopped in between, the record still leads to its rows.
    fn keys_of(installation: &Installation, kind: Kind, item: &Stored) -> Result<Vec<Key>> {
        let mut keys = match kind {
            Kind::Order => Self::read_order(installation, item)?.rows,
            Kind::Case => {
                let case = Self::read_case(installation, item)?.whole();
                let rows = case.members.iter().flat_map(|member| member.row_keys(installation));
                rows.chain(case.index_key(&installation.tenant)).collect()
            }
            Kind::Exception => return exceptions::keys_of(installation, item),
            Kind::Request => requests::read(item)?.keys(&installation.tenant),
            Kind::Rectification | Kind::Export => Self::rows_of_errand(installation, kind, item)?,
            _ => Vec::new(),
        };
        keys.push(item.key(kind)?);
        Ok(keys)
    }

    async fn delete_counted(
        &self,
        installation: &Installation,
        kind: Kind,
        bucket: u8,
        keys: BTreeSet<Key>,
        counted: i64,
    ) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        // Another purge of the same installation may be at the same records: each is counted by whoever deletes it,
        // and nothing is counted any more when all of it is gone.
        let present = |key: &Key| (key.kind == kind).then_some(Condition::PRESENT);
        let delete = |key: Key| Action::Delete { condition: present(&key), key };
        let mut actions: Vec<Action> = keys.into_iter().map(delete).collect();
        if counted > 0 {
            actions.push(Action::Update {
                key: keyspace::progress(&installation.tenant, kind, bucket),
                update: Change {
                    expression: "SET kind = :kind ADD deleted :n".to_owned(),
                    values: vec![(":n", number(counted)), (":kind", text(Kind::Progress.name()))],
                },
                condition: None,
            });
        }
        // Where the condition fails, the partition is read again.
        let _overtaken = self.transact_unrecorded(Unrecorded::Step, actions).await?;
        Ok(())
    }

    async fn finish_purge(&self, installation: &Installation, why: &str) -> Result<()> {
        let tenant = &installation.tenant;
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let progress = keyspace::progress(tenant, Kind::Order, 0).pk;
        let mut actions = Vec::new();
        for item in self.all_of(Table::Data, &progress).await? {
            let kind = item.text("sk")?.split('#').next().unwrap_or_default().to_owned();
            *counts.entry(kind).or_default() += u64::try_from(item.number("deleted")?).unwrap_or_default();
            actions.push(Action::delete(item.key(Kind::Progress)?));
        }
        let mut entry = Entry::new(self.now(), tenant, What::ShopPurged, why);
        entry.counts = counts;
        entry.verified =
            Some("every partition of the installation read again: nothing found; keys destroyed".to_owned());
        actions.push(self.ledger_action(&entry)?);
        actions.push(Action::Delete {
            key: keyspace::shop(tenant),
            condition: Some(Condition::phase("uninstalled")),
        });
        actions.push(Action::delete(keyspace::members(tenant)));
        actions.push(Action::delete(keyspace::keys(tenant)));
        actions.push(Action::delete(keyspace::directory(tenant)));
        if let Some(at) = installation.uninstalled_at {
            actions.push(Action::delete(DueRow::purge(tenant, at).key()));
        }
        if self.transact(actions).await?.is_err() {
            return Err(StoreError::Contended("an installation"));
        }
        self.cache_lock().remove(&tenant.shop);
        Ok(())
    }
}
