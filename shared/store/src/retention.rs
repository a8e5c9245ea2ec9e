//! The retention of an installation as the store keeps it: its terms on its row, a memory of the policies that count, and
//! the going through what is stored when a window became shorter. How long what is kept is `core`'s.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::AttributeValue;

use storeward_core::data_map::{Kind, LONGEST_WRITER, Table};
use storeward_core::guard::GuardSettings;
use storeward_core::retention::{
    CHOSEN, Changed, Choice, Deployment, Plan, RetentionError, RetentionPolicy, Terms,
};
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::access_lines::Access;
use crate::due::{self, DueRow};
use crate::error::{Result, StoreError};
use crate::item::{EXPIRES_AT, Item, Stored, number, text};
use crate::keyspace::{self, Key};
use crate::ledger::{Entry, What};
use crate::store::{Action, Change, Condition, Expired, Query, Store, TRANSACTION_ITEMS, Unrecorded};
use crate::tenants::Installation;
use crate::threads::{Cut, For, ThreadRecord};

/// The terms, in the open: days and moments, nothing about anyone.
const TERMS: &str = "retention";
/// How often the terms changed.
const REVISION: &str = "retention_revision";

/// How many installations' policies one Lambda instance remembers.
const REMEMBERED: usize = 1000;

/// How often a change is tried while others change the same terms.
const ATTEMPTS: usize = 6;

/// The kinds whose partitions are gone through when a window became shorter; their rows are found through them.
const GONE_THROUGH: [Kind; 7] =
    [Kind::Order, Kind::Case, Kind::Exception, Kind::Notice, Kind::Thread, Kind::Mail, Kind::Draft];

/// How many partitions that is.
const PARTITIONS: usize = GONE_THROUGH.len() * keyspace::BUCKETS as usize;

/// The policies that this instance has read, by installation: every function reads its installation first, and what it
/// reads and writes after that is under the policy it saw there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies(Arc<Mutex<HashMap<Tenant, Known>>>);

#[derive(Clone, Debug)]
struct Known {
    /// Which reading is the later one.
    version: (i64, bool),
    policy: Arc<RetentionPolicy>,
}

impl Policies {
    fn find(&self, tenant: &Tenant) -> Option<Arc<RetentionPolicy>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant).map(|known| Arc::clone(&known.policy))
    }

    fn remember(&self, tenant: &Tenant, version: (i64, bool), policy: &Arc<RetentionPolicy>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(tenant).is_some_and(|known| known.version > version) {
            // Another request of this instance saw a later one.
            return;
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(tenant.clone(), Known { version, policy: Arc::clone(policy) });
    }
}

/// What became of a merchant's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choosing {
    /// It counts now.
    Chosen {
        /// Whether what is stored is to be gone through.
        shortened: bool,
    },
    /// It counted already.
    Unchanged,
    /// It cannot be as chosen.
    Refused(RetentionError),
    /// The app is not installed any more.
    NotInstalled,
}

/// How far going through an installation came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The installation was purged.
    Gone,
    /// Time ran out: to go on from this partition.
    Unfinished(usize),
    /// Everything past its window is deleted, and everything else ends with it.
    Done,
}

impl Installation {
    /// That neither its retention nor what that is checked against changed since it was read.
    pub(crate) fn same_terms(&self) -> Condition {
        at_revision(revision_of(&self.stored))
    }

    /// How long what it has is kept, as it was when the installation was read.
    #[must_use]
    pub fn retention(&self) -> &RetentionPolicy {
        &self.policy
    }
}

/// The terms that a row holds; those of the strictest plan where it holds none.
fn terms_of(stored: &Stored, deployment: &Deployment) -> Terms {
    let kept = stored.optional_text(TERMS).and_then(|terms| serde_json::from_str(terms).ok());
    kept.unwrap_or_else(|| Terms::begin(deployment, Plan::Free))
}

fn revision_of(stored: &Stored) -> i64 {
    stored.optional_number(REVISION).unwrap_or_default()
}

/// How a change of something that the terms are checked against counts in the same revision.
pub(crate) const COUNTED: &str =
    "retention_revision = if_not_exists(retention_revision, :uncounted) + :counted";

/// The values of [`COUNTED`].
pub(crate) fn counted() -> [(&'static str, AttributeValue); 2] {
    [(":uncounted", number(0)), (":counted", number(1))]
}

fn at_revision(seen: i64) -> Condition {
    Condition {
        expression: "phase = :in_phase AND \
                     (attribute_not_exists(retention_revision) OR retention_revision = :seen_terms)",
        values: vec![(":in_phase", text("installed")), (":seen_terms", number(seen))],
    }
}

fn written(terms: &Terms) -> Result<String> {
    serde_json::to_string(terms).map_err(|_| StoreError::Corrupt("the terms of an installation"))
}

impl Store {
    /// How long this deployment keeps things.
    #[must_use]
    pub fn deployment_retention(&self) -> &Deployment {
        &self.retention
    }

    /// What the merchant chose, and the most that can be chosen of each kind.
    pub fn retention_choice(&self, installation: &Installation) -> (Choice, impl Fn(Kind) -> u32 + use<>) {
        let terms = terms_of(&installation.stored, &self.retention);
        let (deployment, plan) = (Arc::clone(&self.retention), terms.plan());
        (terms.chosen().clone(), move |kind| deployment.days(plan, kind).unwrap_or_default())
    }

    /// The row of a new installation with its terms.
    pub(crate) fn with_terms(&self, row: Item, plan: Option<&str>) -> Result<Item> {
        let terms = Terms::begin(&self.retention, Plan::named(plan));
        Ok(row.set(TERMS, text(written(&terms)?)).set(REVISION, number(1)))
    }

    /// The policy that an installation's row says, remembered for everything that is read and written after it.
    pub(crate) fn learn_policy(&self, tenant: &Tenant, row: &Stored) -> Arc<RetentionPolicy> {
        let uninstalled_at = row.optional_number("uninstalled_at").map(Timestamp);
        let policy = Arc::new(terms_of(row, &self.retention).policy(&self.retention, uninstalled_at));
        self.policies.remember(tenant, (revision_of(row), uninstalled_at.is_some()), &policy);
        policy
    }

    /// Under which policy a partition's items are read and written. An installation that this instance has not read yet
    /// is read; what is no installation's is under the data map's own windows.
    pub(crate) async fn policy_for(&self, partition: &str) -> Result<Arc<RetentionPolicy>> {
        let strictest = || Arc::new(RetentionPolicy::strictest(&self.retention));
        let Some(tenant) = keyspace::tenant_of(partition) else { return Ok(strictest()) };
        if let Some(policy) = self.policies.find(&tenant) {
            return Ok(policy);
        }
        let key = keyspace::shop(&tenant);
        let access = Access::read(self, "GetItem", Table::Data, &key.pk);
        let line = access.begin();
        let request = self
            .client
            .get_item()
            .table_name(self.table(Table::Data))
            .set_key(Some(crate::store::key_attributes(&key)))
            .consistent_read(true);
        // Boxed: the SDK's futures are large, and every read would be as large.
        let read = Box::pin(request.send()).await.map_err(|error| StoreError::from_sdk("GetItem", &error))?;
        line.done(usize::from(read.item.is_some()));
        Ok(read.item.map_or_else(strictest, |row| self.learn_policy(&tenant, &Stored(row))))
    }

    /// Replaces the merchant's choice. It counts for everything that is stored already, at once.
    pub async fn choose_retention(&self, installation: &Installation, chosen: &Choice) -> Result<Choosing> {
        for _ in 0..ATTEMPTS {
            let latest = self.tenant(&installation.tenant).await?;
            let Some(latest) = latest.filter(Installation::is_installed) else {
                return Ok(Choosing::NotInstalled);
            };
            let terms = terms_of(&latest.stored, &self.retention);
            let guard: GuardSettings = latest.settings()?;
            let changed = match terms.choose(&self.retention, chosen.clone(), &guard, self.now()) {
                Ok(changed) => changed,
                Err(refused) => return Ok(Choosing::Refused(refused)),
            };
            if changed.terms == terms {
                return Ok(Choosing::Unchanged);
            }
            if self.write_terms(&latest, &changed, "merchant").await? {
                return Ok(Choosing::Chosen { shortened: changed.shortened });
            }
        }
        Err(StoreError::Contended("the retention of an installation"))
    }

    /// Lets the terms follow the plan that the profile tells now, and the deployment. A plan that is not told leaves them
    /// as they are: a field that is missing once must not delete what a plan keeps. Whether a window became shorter.
    pub async fn follow_plan(&self, tenant: &Tenant) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let Some(latest) = self.tenant(tenant).await?.filter(Installation::is_installed) else {
                return Ok(false);
            };
            let terms = terms_of(&latest.stored, &self.retention);
            let plan = latest.profile()?.plan;
            let plan = plan.as_deref().map_or(terms.plan(), |plan| Plan::named(Some(plan)));
            let changed = terms.moved(&self.retention, plan, self.now());
            if changed.terms == terms {
                return Ok(false);
            }
            let why = if plan == terms.plan() { "deployment" } else { "plan" };
            if self.write_terms(&latest, &changed, why).await? {
                return Ok(changed.shortened);
            }
        }
        Err(StoreError::Contended("the retention of an installation"))
    }

    /// Writes changed terms, if neither they nor the profile nor the guard's settings changed since they were read: all
    /// three count the same revision. Where a window became shorter, a due row makes sure that what is stored is gone through once nobody can still be writing under the
    /// terms before.
    async fn write_terms(&self, installation: &Installation, changed: &Changed, why: &str) -> Result<bool> {
        let (tenant, now) = (&installation.tenant, self.now());
        let seen = revision_of(&installation.stored);
        let update = Change {
            expression: format!("SET {TERMS} = :terms, {REVISION} = :next"),
            values: vec![(":terms", text(written(&changed.terms)?)), (":next", number(seen + 1))],
        };
        let unchanged = at_revision(seen);
        let policy = changed.terms.policy(&self.retention, None);
        let windows = CHOSEN.map(|kind| format!("{}={}", kind.name(), policy.days(kind).unwrap_or_default()));
        let why = format!("{why}: {} days", windows.join(","));
        let mut actions = vec![
            Action::Update { key: keyspace::shop(tenant), update, condition: Some(unchanged) },
            self.ledger_action(&Entry::new(now, tenant, What::RetentionChanged, why))?,
        ];
        if changed.shortened {
            actions.push(due::put(&DueRow::retention(tenant, now + LONGEST_WRITER)));
        }
        if self.transact(actions).await?.is_err() {
            return Ok(false);
        }
        // Whoever goes on in this instance goes on under the new terms.
        self.policies.remember(tenant, (seen + 1, false), &Arc::new(policy));
        Ok(true)
    }

    /// Goes through what an installation has stored: what is past its window is deleted, what ends later than its window
    /// now says ends with it. `from` is the partition to begin with; `time_left` is asked between requests.
    pub async fn apply_retention(
        &self,
        tenant: &Tenant,
        from: usize,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied> {
        // The deployment may have decided otherwise since the terms were written.
        self.follow_plan(tenant).await?;
        let latest = self.tenant(tenant).await?.filter(Installation::is_installed);
        // Of a shop that is not installed the purge deletes everything, sooner.
        let Some(installation) = latest else { return Ok(Applied::Gone) };
        let mut deleted = BTreeMap::new();
        let mut next = from;
        let mut ended = Ok(true);
        while next < PARTITIONS {
            let kind = GONE_THROUGH[next / usize::from(keyspace::BUCKETS)];
            let bucket = u8::try_from(next % usize::from(keyspace::BUCKETS)).unwrap_or_default();
            ended = self.apply_to_partition(&installation, kind, bucket, &mut deleted, time_left).await;
            if ended != Ok(true) {
                break;
            }
            next += 1;
        }
        // What was deleted is told of also where the rest failed.
        if !deleted.is_empty() {
            let mut entry = Entry::new(self.now(), tenant, What::RetentionApplied, "past its window");
            entry.counts = deleted;
            let entry = self.ledger_action(&entry)?;
            self.transact(vec![entry]).await?.map_err(|_| StoreError::Contended("the ledger"))?;
        }
        ended?;
        Ok(if next < PARTITIONS { Applied::Unfinished(next) } else { Applied::Done })
    }

    /// `false` when time ran out first.
    async fn apply_to_partition(
        &self,
        installation: &Installation,
        kind: Kind,
        bucket: u8,
        deleted: &mut BTreeMap<String, u64>,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let partition = keyspace::bucket_partition(&installation.tenant, kind, bucket);
        let mut query = Query::of(Table::Data, &partition);
        query.expired = Expired::Too;
        loop {
            if !time_left() {
                return Ok(false);
            }
            let (records, more) = self.query(query.clone()).await?;
            let mut waiting: Vec<Action> = Vec::new();
            for record in &records {
                let keys = self.rows_of(installation, kind, record)?;
                let own = record.key(kind)?;
                let rows = self.batch_get(Table::Data, &keys, Expired::Too).await?;
                let mut actions = Vec::new();
                for (key, stored) in keys_with(&keys, &rows)?.into_iter().chain([(own, record)]) {
                    actions.extend(self.to_apply(installation, &key, stored));
                }
                // A record and its rows go together; only a large case's rows need more than one transaction.
                if waiting.len() + actions.len() > TRANSACTION_ITEMS {
                    self.apply_changes(std::mem::take(&mut waiting), deleted).await?;
                }
                waiting.extend(actions);
            }
            self.apply_changes(waiting, deleted).await?;
            if kind == Kind::Thread && !self.cut_outlived(installation, &records, time_left).await? {
                return Ok(false);
            }
            match more {
                Some(page) => query.after = Some(page),
                None => return Ok(true),
            }
        }
    }

    /// Takes what is known of mails whose time is over out of conversations that later ones keep. `false` when time ran out
    /// first.
    async fn cut_outlived(
        &self,
        installation: &Installation,
        threads: &[Stored],
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        for stored in threads {
            let thread = ThreadRecord::read(installation, stored)?;
            let Some(upto) = thread.outlived(installation.retention(), self.now()) else { continue };
            if !time_left() {
                return Ok(false);
            }
            if self.cut_thread(installation, &thread.reference, upto, For::Room).await? == Cut::Overtaken {
                return Err(StoreError::Contended("a conversation"));
            }
        }
        Ok(true)
    }

    /// What the policy does to one item; nothing where it ends in time already.
    fn to_apply(&self, installation: &Installation, key: &Key, stored: &Stored) -> Option<Action> {
        let end = stored.end(installation.retention())?;
        if end <= self.now().seconds() {
            // Not what was written anew since it was read.
            let seen = stored.end_written().map(|written| Condition {
                expression: "expires_at = :written",
                values: vec![(":written", number(written))],
            });
            return Some(Action::Delete { key: key.clone(), condition: seen });
        }
        if stored.end_written().is_some_and(|written| written <= end) {
            return None;
        }
        Some(Action::Update {
            key: key.clone(),
            update: Change {
                expression: format!("SET {EXPIRES_AT} = :end"),
                values: vec![(":end", number(end))],
            },
            condition: Some(Condition { expression: "expires_at > :end", values: Vec::new() }),
        })
    }

    async fn apply_changes(&self, actions: Vec<Action>, deleted: &mut BTreeMap<String, u64>) -> Result<()> {
        let mut count = |action: &Action| {
            if let Action::Delete { key, .. } = action {
                *deleted.entry(key.kind.name().to_owned()).or_default() += 1;
            }
        };
        for chunk in actions.chunks(TRANSACTION_ITEMS) {
            if self.transact_unrecorded(Unrecorded::Step, chunk.to_vec()).await?.is_ok() {
                chunk.iter().for_each(&mut count);
                continue;
            }
            // Someone deleted or wrote one of them meanwhile, under the terms that count now: the others one by one.
            for action in chunk {
                if self.transact_unrecorded(Unrecorded::Step, vec![action.clone()]).await?.is_ok() {
                    count(action);
                }
            }
        }
        Ok(())
    }
}

/// What was found of these keys.
fn keys_with<'a>(keys: &[Key], found: &'a [Stored]) -> Result<Vec<(Key, &'a Stored)>> {
    let mut all = Vec::with_capacity(found.len());
    for stored in found {
        let (pk, sk) = (stored.text("pk")?, stored.text("sk")?);
        let key = keys.iter().find(|key| key.pk == pk && key.sk == sk);
        all.push((key.cloned().ok_or(StoreError::Corrupt("a row that was not asked for"))?, stored));
    }
    Ok(all)
}
