//! Limits on the use of what is about a person: restricted (GDPR Art. 18) or objected to (Art. 21). A limit stands under
//! each identifier of the person and is checked in every transaction that would store something new; what is stored is
//! marked, and whoever reads to use it does not see it (docs/decisions/0018-restriction-and-objection.md).

use std::collections::BTreeSet;

use futures::{TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::limits::Limit;
use storeward_core::normalize::{Identifier, IdentifierKind};
use storeward_core::personal::Personal;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::cases::{Case, Member};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, BUCKETS, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::orders::LIMITED;
use crate::purge;
use crate::restoring;
use crate::store::{Action, Change, Condition, Expired, Query, Store, Unrecorded};
use crate::tenants::Installation;

/// How often one item is tried while others change it.
const ATTEMPTS: usize = 12;

/// Records that are marked side by side.
const AT_ONCE: usize = 8;

/// The most identifiers of one person: a transaction takes all of them, the ledger and what counts for a restored backup.
const IDENTIFIERS: usize = 90;

/// A limit that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingLimit {
    /// Which.
    pub limit: Limit,
    /// The identifier it stands under.
    pub identifier: Identifier,
    /// Since when.
    pub since: Timestamp,
    /// By which request.
    pub request: RecordRef,
}

/// What limiting did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limiting {
    /// Whether it is new. Otherwise it stood already, under every identifier.
    pub new: bool,
    /// How many orders were marked by this call.
    pub orders: u64,
    /// In how many cases orders were withheld by this call.
    pub cases: u64,
    /// How many conversations were marked by this call.
    pub threads: u64,
}

/// What lifting did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// From when on what was refused is to be made up for: by comparing with Shopify from then on. `None` where nothing
    /// is.
    pub catch_up_from: Option<Timestamp>,
    /// The person's orders that can be used, to be looked at again.
    pub orders: Vec<RecordRef>,
}

/// One limit of an item: since when, and by which request.
type Since = Option<(Timestamp, RecordRef)>;

/// The item under one identifier.
#[derive(Clone, Default, PartialEq)]
struct Row {
    restricted: Since,
    objected: Since,
    /// When the latest request was made that put a restriction on or lifted it; one that was made before it and is carried
    /// out after it changes nothing. It outlasts what it lifted.
    restriction_asked_at: Option<Timestamp>,
    /// The same of an objection.
    objection_asked_at: Option<Timestamp>,
    /// From when on what was refused is made up for once nothing limits any more.
    catch_up_from: Option<Timestamp>,
    /// From when on mails are read again then: one that came before the restriction can be read, and refused, during it.
    mails_from: Option<Timestamp>,
    /// When an objection was lifted: nothing from before is made up for.
    objected_until: Option<Timestamp>,
    /// Whom the requests named; nobody after an erasure.
    person: BTreeSet<Identifier>,
    /// What took the identifier's place in a rectification, and whose place it took: lifted with it.
    same: BTreeSet<Identifier>,
    revision: i64,
}

/// How identifiers are sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    person: Vec<(String, Personal<String>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    same: Vec<(String, Personal<String>)>,
}

fn named(sealed: Vec<(String, Personal<String>)>) -> Result<BTreeSet<Identifier>> {
    let known = [IdentifierKind::Email, IdentifierKind::Phone, IdentifierKind::Customer];
    let read = |(kind, value): (String, Personal<String>)| {
        let kind = known.into_iter().find(|known| known.name() == kind);
        Ok(Identifier { kind: kind.ok_or(StoreError::Corrupt("a limit"))?, value })
    };
    sealed.into_iter().map(read).collect()
}

fn to_seal(identifiers: &BTreeSet<Identifier>) -> Vec<(String, Personal<String>)> {
    identifiers.iter().map(|one| (one.kind.name().to_owned(), one.value.clone())).collect()
}

impl Row {
    fn read(installation: &Installation, stored: &Stored) -> Result<Self> {
        let since = |at: &str, by: &str| -> Result<Since> {
            let Some(at) = stored.optional_number(at).map(Timestamp) else { return Ok(None) };
            let by = stored.optional_text(by).unwrap_or_default();
            Ok(Some((at, by.parse().map_err(|_| StoreError::Corrupt("a limit"))?)))
        };
        let (mut person, mut same) = (BTreeSet::new(), BTreeSet::new());
        if stored.has_sealed() {
            let sealed: Sealed = stored.unseal(Kind::Limit, &installation.keys)?;
            (person, same) = (named(sealed.person)?, named(sealed.same)?);
        }
        Ok(Self {
            restricted: since("restricted_at", "restricted_by")?,
            objected: since("objected_at", "objected_by")?,
            restriction_asked_at: stored.optional_number("restriction_asked_at").map(Timestamp),
            objection_asked_at: stored.optional_number("objection_asked_at").map(Timestamp),
            catch_up_from: stored.optional_number("catch_up_from").map(Timestamp),
            mails_from: stored.optional_number("mails_from").map(Timestamp),
            objected_until: stored.optional_number("objected_until").map(Timestamp),
            person,
            same,
            revision: stored.number("revision")?,
        })
    }

    const fn of(&self, limit: Limit) -> &Since {
        match limit {
            Limit::Restricted => &self.restricted,
            Limit::Objected => &self.objected,
        }
    }

    const fn limits(&self) -> bool {
        self.restricted.is_some() || self.objected.is_some()
    }

    /// When the latest request was made that put the limit on or lifted it.
    fn asked_at(&self, limit: Limit) -> Option<Timestamp> {
        let asked_at = match limit {
            Limit::Restricted => self.restriction_asked_at,
            Limit::Objected => self.objection_asked_at,
        };
        asked_at.or_else(|| self.of(limit).as_ref().map(|(since, _)| *since))
    }

    const fn set_asked_at(&mut self, limit: Limit, at: Option<Timestamp>) {
        match limit {
            Limit::Restricted => self.restriction_asked_at = at,
            Limit::Objected => self.objection_asked_at = at,
        }
    }

    /// Whether a request that was made then has its say: not when a later one had, and not twice.
    fn is_to_change(&self, limit: Limit, put_on: bool, asked_at: Timestamp) -> bool {
        self.asked_at(limit)
            .is_none_or(|known| known < asked_at || known == asked_at && self.of(limit).is_some() != put_on)
    }

    /// The limits of the identifier whose place this one takes hold under it, too.
    fn take_over(&mut self, other: &Self) {
        for limit in Limit::ALL {
            if let (Some(since), None) = (other.of(limit), self.of(limit)) {
                let since = Some(since.clone());
                match limit {
                    Limit::Restricted => self.restricted = since,
                    Limit::Objected => self.objected = since,
                }
                self.set_asked_at(limit, self.asked_at(limit).max(other.asked_at(limit)));
            }
        }
        let earlier = |one: Option<Timestamp>, other: Option<Timestamp>| {
            one.into_iter().chain(other).min().filter(|_| self.objected.is_none())
        };
        self.catch_up_from = earlier(self.catch_up_from, other.catch_up_from);
        self.mails_from = earlier(self.mails_from, other.mails_from);
    }

    fn put_on(&mut self, limit: Limit, now: Timestamp, request: &RecordRef) {
        let since = Some((now, request.clone()));
        match limit {
            Limit::Restricted => {
                self.restricted = since;
                if self.objected.is_none() {
                    self.catch_up_from = Some(self.catch_up_from.unwrap_or(now));
                }
            }
            Limit::Objected => {
                self.objected = since;
                // What came while the person did not want it is not fetched afterwards.
                (self.catch_up_from, self.mails_from) = (None, None);
            }
        }
    }

    fn take_off(&mut self, limit: Limit, now: Timestamp) {
        match limit {
            Limit::Restricted => self.restricted = None,
            Limit::Objected => {
                self.objected = None;
                self.objected_until = Some(now);
                self.catch_up_from = self.restricted.is_some().then_some(now);
            }
        }
    }

    /// That nobody changed the item since it was read.
    fn unchanged(&self) -> Condition {
        if self.revision == 0 {
            return Condition::ABSENT;
        }
        Condition { expression: "revision = :revision", values: vec![(":revision", number(self.revision))] }
    }

    fn put(&self, store: &Store, installation: &Installation, key: Key) -> Result<Action> {
        let mut item = Item::new(key).set("revision", number(self.revision + 1));
        for (at, by, since) in [
            ("restricted_at", "restricted_by", &self.restricted),
            ("objected_at", "objected_by", &self.objected),
        ] {
            if let Some((time, request)) = since {
                item = item.set(at, number(time.millis())).set(by, text(request.to_string()));
            }
        }
        for (name, time) in [
            ("catch_up_from", self.catch_up_from),
            ("mails_from", self.mails_from),
            ("objected_until", self.objected_until),
            ("restriction_asked_at", self.restriction_asked_at),
            ("objection_asked_at", self.objection_asked_at),
        ] {
            if let Some(time) = time {
                item = item.set(name, number(time.millis()));
            }
        }
        if !self.person.is_empty() || !self.same.is_empty() {
            let sealed = Sealed { person: to_seal(&self.person), same: to_seal(&self.same) };
            item = item.sealed(&installation.keys, &sealed, &*store.entropy)?;
        }
        if !self.limits() {
            // Kept for as long as a request from before can be there.
            item = item.expiring_with(Kind::Request, store.now());
        }
        Ok(Action::Put { item, condition: Some(self.unchanged()) })
    }
}

/// That nobody limits the use of their data whom one of the subject rows is written for.
pub(crate) fn checks<'a>(tenant: &Tenant, rows: impl Iterator<Item = &'a Key>) -> Vec<Action> {
    let subjects = rows.filter(|row| row.kind == Kind::Subject);
    let keys: BTreeSet<Key> = subjects.filter_map(|row| keyspace::limit_of_row(tenant, row)).collect();
    let check = |key| Action::Check {
        key,
        condition: Condition {
            expression: "attribute_not_exists(restricted_at) AND attribute_not_exists(objected_at)",
            values: Vec::new(),
        },
    };
    keys.into_iter().map(check).collect()
}

/// The partitions of the index rows of identifiers.
fn partitions(installation: &Installation, identifiers: &[Identifier]) -> BTreeSet<String> {
    let (tenant, keys) = (&installation.tenant, &installation.keys);
    identifiers.iter().map(|identifier| keyspace::subject_partition(tenant, keys, identifier)).collect()
}

/// What of the store is about a person: records and cases by their references, and the index partitions.
struct About {
    partitions: BTreeSet<String>,
    orders: Vec<RecordRef>,
    exceptions: Vec<RecordRef>,
    cases: BTreeSet<RecordRef>,
    threads: Vec<RecordRef>,
}

impl About {
    fn concerns(&self, installation: &Installation, member: &Member) -> bool {
        member.row_keys(installation).iter().any(|row| self.partitions.contains(&row.pk))
    }
}

impl Store {
    /// Limits the use of everything about a person: from the moment the identifiers are marked nothing new about the
    /// person is stored, and when this returns nothing that is stored is used. `None` when no identifier is given.
    ///
    /// Doing it again changes nothing; one that was interrupted is completed by doing it again.
    pub async fn limit_subject(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
        limit: Limit,
        request: &RecordRef,
    ) -> Result<Option<Limiting>> {
        if identifiers.is_empty() {
            return Ok(None);
        }
        let new = self.change_limits(installation, identifiers, What::SubjectLimited, limit, request).await?;
        let limited = self.with_limits(installation, identifiers, true).await?;
        let limiting = self.mark_subject(installation, &partitions(installation, &limited)).await?;
        // Lifted meanwhile, or before, by a request that was made later: no mark is left of it.
        let lifted = self.with_limits(installation, identifiers, false).await?;
        if !lifted.is_empty() {
            self.unmark_subject(installation, &partitions(installation, &lifted)).await?;
        }
        Ok(Some(Limiting { new, ..limiting }))
    }

    /// Those of the identifiers that something limits, or that nothing does.
    async fn with_limits(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
        limited: bool,
    ) -> Result<Vec<Identifier>> {
        let rows = self.limit_rows(installation, identifiers).await?;
        let rows = rows.into_iter().filter(|(_, row)| row.limits() == limited);
        Ok(rows.map(|(identifier, _)| identifier).collect())
    }

    /// Marks everything that is stored about somebody, under the partitions of the index rows.
    async fn mark_subject(
        &self,
        installation: &Installation,
        partitions: &BTreeSet<String>,
    ) -> Result<Limiting> {
        let about = self.about(partitions).await?;
        let orders = self.mark_orders(installation, &about, true).await?;
        // Read again: a case that an order joined until it was marked.
        let about = self.about(partitions).await?;
        self.mark_exceptions(installation, &about, true).await?;
        let cases = self.withhold(installation, &about).await?;
        let threads = self.mark_threads(installation, &about, true).await?;
        Ok(Limiting { new: false, orders, cases, threads })
    }

    /// Takes the mark off everything that is stored about somebody and that no limit is left on.
    async fn unmark_subject(
        &self,
        installation: &Installation,
        partitions: &BTreeSet<String>,
    ) -> Result<About> {
        let about = self.about(partitions).await?;
        self.mark_orders(installation, &about, false).await?;
        self.mark_exceptions(installation, &about, false).await?;
        self.show_again(installation, &about).await?;
        self.mark_threads(installation, &about, false).await?;
        Ok(about)
    }

    /// After a backup was restored: the limits stand as they are, and what is stored is marked as it was then. Marks it
    /// by them again. `false` when time ran out first; doing it again changes nothing.
    pub(crate) async fn repeat_limits(
        &self,
        installation: &Installation,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let tenant = &installation.tenant;
        for bucket in 0..BUCKETS {
            let partition = keyspace::bucket_partition(tenant, Kind::Limit, bucket);
            for stored in self.query_all(Query::of(Table::Ledger, &partition)).await? {
                if !time_left() {
                    return Ok(false);
                }
                let subject = keyspace::subject_partition_of_limit(tenant, stored.text("sk")?);
                let subject = BTreeSet::from([subject]);
                if Row::read(installation, &stored)?.limits() {
                    self.mark_subject(installation, &subject).await?;
                } else {
                    self.unmark_subject(installation, &subject).await?;
                }
            }
        }
        Ok(true)
    }

    /// Lifts a limit. Where another one is left, under any identifier of an order, that order stays as it is. What is
    /// to be made up for comes back, and again whenever this is done again, until [`Store::lifting_done`].
    pub async fn lift_limit(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
        limit: Limit,
        request: &RecordRef,
    ) -> Result<Lifted> {
        let identifiers = &self.linked(installation, identifiers, |row| &row.same).await?;
        self.change_limits(installation, identifiers, What::SubjectLimitLifted, limit, request).await?;
        let about = self.unmark_subject(installation, &partitions(installation, identifiers)).await?;
        let rows = self.limit_rows(installation, identifiers).await?;
        let lifted = || rows.iter().map(|(_, row)| row).filter(|row| !row.limits());
        let orders = self.orders(installation, &about.orders).await?;
        let catch_up_from = lifted().filter_map(|row| row.catch_up_from).min();
        let mails_from = lifted().filter_map(|row| row.mails_from).chain(catch_up_from).min();
        if let Some(from) = mails_from {
            self.read_mailboxes_again(installation, from).await?;
        }
        Ok(Lifted { catch_up_from, orders: orders.into_iter().map(|record| record.reference).collect() })
    }

    /// Forgets of identifiers that nothing limits any more whom they belong to and what was missed, once that is on its way.
    /// That they were limited, and when that was lifted, is kept for as long as a request from before can be there.
    pub async fn lifting_done(&self, installation: &Installation, identifiers: &[Identifier]) -> Result<()> {
        let all = self.linked(installation, identifiers, |row| &row.same).await?;
        let mut rows = self.limit_rows(installation, &all).await?;
        // By what was named the others are found again, if this ends in between.
        rows.sort_by_key(|(identifier, _)| identifiers.contains(identifier));
        for (identifier, row) in rows {
            let kept = Row {
                catch_up_from: None,
                mails_from: None,
                person: BTreeSet::new(),
                same: BTreeSet::new(),
                ..row.clone()
            };
            if row.limits() || row == kept {
                continue;
            }
            let key = keyspace::limit(&installation.tenant, &installation.keys, &identifier);
            // Whoever changed it limits it again, or forgot it first.
            let _overtaken =
                self.transact_unrecorded(Unrecorded::Step, vec![kept.put(self, installation, key)?]).await?;
        }
        Ok(())
    }

    /// The limits that stand under any of the identifiers.
    pub async fn limits_of(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
    ) -> Result<Vec<StandingLimit>> {
        let mut found = Vec::new();
        for (identifier, row) in self.limit_rows(installation, identifiers).await? {
            for limit in Limit::ALL {
                if let Some((since, request)) = row.of(limit).clone() {
                    found.push(StandingLimit { limit, identifier: identifier.clone(), since, request });
                }
            }
        }
        Ok(found)
    }

    /// The item of each identifier, as it is; a new one where there is none.
    async fn limit_rows(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
    ) -> Result<Vec<(Identifier, Row)>> {
        let distinct: BTreeSet<&Identifier> = identifiers.iter().collect();
        let place =
            |identifier: &Identifier| keyspace::limit(&installation.tenant, &installation.keys, identifier);
        let keys: Vec<Key> = distinct.iter().map(|identifier| place(identifier)).collect();
        let found = self.batch_get(Table::Ledger, &keys, Expired::Too).await?;
        let mut rows = Vec::new();
        for (identifier, key) in distinct.into_iter().zip(keys) {
            let stored = found.iter().find(|stored| {
                stored.optional_text("pk") == Some(&key.pk) && stored.optional_text("sk") == Some(&key.sk)
            });
            let row = stored.map(|stored| Row::read(installation, stored)).transpose()?;
            rows.push((identifier.clone(), row.unwrap_or_default()));
        }
        Ok(rows)
    }

    /// Puts a limit on every identifier, or takes it off, in one transaction with its ledger entry; not where a request
    /// that was made later had its say. `false` when nothing changed by that.
    async fn change_limits(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
        what: What,
        limit: Limit,
        request: &RecordRef,
    ) -> Result<bool> {
        let (tenant, put_on) = (&installation.tenant, what == What::SubjectLimited);
        if identifiers.len() > IDENTIFIERS {
            return Err(StoreError::Corrupt("a request that names more identifiers than a person has"));
        }
        // What is not kept as a request was asked for just now.
        let stored = self.get(&keyspace::record(tenant, request)).await?;
        let asked_at = stored.map(|stored| stored.time("received_at")).transpose()?;
        let asked_at = asked_at.unwrap_or_else(|| self.now());
        for _ in 0..ATTEMPTS {
            let mut rows = self.limit_rows(installation, identifiers).await?;
            if !rows.iter().any(|(_, row)| row.is_to_change(limit, put_on, asked_at)) {
                return Ok(false);
            }
            let (now, mut changed) = (self.now(), 0);
            let known = rows.iter().flat_map(|(_, row)| row.person.iter());
            let person: BTreeSet<Identifier> = known.chain(identifiers).cloned().collect();
            let mut actions = Vec::new();
            for (identifier, row) in &mut rows {
                if row.is_to_change(limit, put_on, asked_at) {
                    row.set_asked_at(limit, Some(asked_at));
                    changed += u64::from(row.of(limit).is_some() != put_on);
                    match (put_on, row.of(limit).is_some()) {
                        (true, false) => row.put_on(limit, now, request),
                        (false, true) => row.take_off(limit, now),
                        _ => {}
                    }
                } else if !put_on || !row.limits() {
                    continue;
                }
                if put_on {
                    row.person.clone_from(&person);
                }
                actions.push(row.put(
                    self,
                    installation,
                    keyspace::limit(tenant, &installation.keys, identifier),
                )?);
            }
            // Nothing is written behind the back of a purge, and whoever reads the shop without the limit, or with it, reads
            // an older state of it.
            actions.extend(restoring::to_repeat(tenant));
            let written = if changed == 0 {
                self.transact_unrecorded(Unrecorded::Bookkeeping, actions).await?
            } else {
                let why = format!("{} by {request}", limit.name());
                let mut entry = Entry::new(now, tenant, what, why);
                entry.counts = [("identifier".to_owned(), changed)].into();
                actions.push(self.ledger_action(&entry)?);
                self.transact(actions).await?
            };
            if written.is_ok() {
                return Ok(changed > 0);
            }
        }
        Err(StoreError::Contended("a limit"))
    }

    /// A rectification puts an identifier in another's place: what limits the one limits the other from here on, too, and
    /// is lifted with it.
    pub(crate) async fn carry_limits(
        &self,
        installation: &Installation,
        wrong: &Identifier,
        right: &Identifier,
    ) -> Result<()> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        for _ in 0..ATTEMPTS {
            let both = [wrong.clone(), right.clone()];
            let rows = self.limit_rows(installation, &both).await?;
            let of = |one: &Identifier| rows.iter().find(|(identifier, _)| identifier == one);
            let (Some((_, old)), Some((_, new))) = (of(wrong), of(right)) else { return Ok(()) };
            let (mut old, mut new) = (old.clone(), new.clone());
            let taken = new.clone();
            new.take_over(&old);
            if Limit::ALL.into_iter().all(|limit| new.of(limit) == taken.of(limit)) {
                return Ok(());
            }
            old.same.insert(right.clone());
            new.same.insert(wrong.clone());
            // Whoever is erased by any of these names is forgotten under all of them.
            let person: BTreeSet<Identifier> = old.person.union(&new.person).chain(&both).cloned().collect();
            (old.person, new.person) = (person.clone(), person);
            let mut entry = Entry::new(self.now(), tenant, What::SubjectLimited, "rectified");
            entry.counts = [("identifier".to_owned(), 1)].into();
            let mut actions = vec![
                old.put(self, installation, keyspace::limit(tenant, keys, wrong))?,
                new.put(self, installation, keyspace::limit(tenant, keys, right))?,
                self.ledger_action(&entry)?,
            ];
            actions.push(purge::not_begun(tenant));
            if self.transact(actions).await?.is_ok() {
                return Ok(());
            }
        }
        Err(StoreError::Contended("a limit"))
    }

    /// The identifiers, with all that lead on from one to another by what the rows keep.
    async fn linked(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
        by: impl Fn(&Row) -> &BTreeSet<Identifier>,
    ) -> Result<Vec<Identifier>> {
        let mut known: BTreeSet<Identifier> = identifiers.iter().cloned().collect();
        let mut asked = BTreeSet::new();
        while known.len() > asked.len() {
            let next: Vec<Identifier> = known.difference(&asked).cloned().collect();
            for (identifier, row) in self.limit_rows(installation, &next).await? {
                asked.insert(identifier);
                known.extend(by(&row).iter().cloned());
            }
        }
        Ok(asked.into_iter().collect())
    }

    /// An erasure was asked for: the sealed halves of the person's limits go, on every identifier that a request named
    /// together with one of these. The limits stay.
    pub(crate) async fn forget_limited(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
    ) -> Result<()> {
        for identifier in self.linked(installation, identifiers, |row| &row.person).await? {
            for attempt in 1..=ATTEMPTS {
                let one = std::slice::from_ref(&identifier);
                let Some((_, mut row)) = self.limit_rows(installation, one).await?.pop() else { break };
                if row.person.is_empty() && row.same.is_empty() {
                    break;
                }
                row.person.clear();
                row.same.clear();
                let key = keyspace::limit(&installation.tenant, &installation.keys, &identifier);
                if self
                    .transact_unrecorded(Unrecorded::Step, vec![row.put(self, installation, key)?])
                    .await?
                    .is_ok()
                {
                    break;
                }
                if attempt == ATTEMPTS {
                    return Err(StoreError::Contended("a limit"));
                }
            }
        }
        Ok(())
    }

    async fn about(&self, partitions: &BTreeSet<String>) -> Result<About> {
        let (mut orders, mut exceptions, mut cases) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut threads = BTreeSet::new();
        for partition in partitions {
            let mut query = Query::of(Table::Data, partition);
            query.limit = 1000;
            for row in self.query_all(query).await? {
                let corrupt = |_| StoreError::Corrupt("a subject row");
                if let Some(case) = row.optional_text("case_id") {
                    cases.insert(case.parse().map_err(corrupt)?);
                }
                let reference: RecordRef = row.text("sk")?.parse().map_err(corrupt)?;
                match reference.kind() {
                    Kind::Order => _ = orders.insert(reference),
                    Kind::Exception => _ = exceptions.insert(reference),
                    Kind::Thread => _ = threads.insert(reference),
                    _ => {}
                }
            }
        }
        let (orders, exceptions) = (orders.into_iter().collect(), exceptions.into_iter().collect());
        let (partitions, threads) = (partitions.clone(), threads.into_iter().collect());
        Ok(About { partitions, orders, exceptions, cases, threads })
    }

    /// Marks the person's orders, or takes the mark off. Those that are as they are to be are only read.
    async fn mark_orders(&self, installation: &Installation, about: &About, limited: bool) -> Result<u64> {
        let records = self.orders_and(installation, &about.orders, Expired::Gone).await?;
        let waiting = records.into_iter().filter(|record| record.limited != limited);
        let marked = stream::iter(waiting.map(|record| record.reference).map(Ok::<_, StoreError>))
            .map_ok(|reference| async move { self.mark_order(installation, &reference, limited).await })
            .try_buffer_unordered(AT_ONCE)
            .try_fold(0, |sum, marked| async move { Ok(sum + u64::from(marked)) });
        marked.await
    }

    async fn mark_order(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        limited: bool,
    ) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let Some(record) = self.any_order(installation, reference).await? else { return Ok(false) };
            if record.limited == limited {
                return Ok(false);
            }
            let rows: Vec<Key> = record.rows.iter().filter(|row| row.kind == Kind::Match).cloned().collect();
            let rows = self.batch_get(Table::Data, &rows, Expired::Gone).await?;
            let key = keyspace::record(&installation.tenant, reference);
            let mut actions = vec![mark(key, limited, Some(record.revision + 1), Some(record.unchanged()))];
            for row in &rows {
                actions.push(mark(row.key(Kind::Match)?, limited, None, Some(Condition::PRESENT)));
            }
            let limits = actions.len();
            if !limited {
                actions.extend(checks(&installation.tenant, record.rows.iter()));
            }
            let end = actions.len();
            match self.transact_unrecorded(Unrecorded::Step, actions).await? {
                Ok(()) => return Ok(true),
                // Another limit is left, on this or another person of the order.
                Err(canceled) if canceled.any_failed(limits..end) => return Ok(false),
                Err(_) => {}
            }
        }
        Err(StoreError::Contended("an order"))
    }

    /// Marks the conversations that the person is named in, or takes the mark off and lets the work go on that waited.
    async fn mark_threads(&self, installation: &Installation, about: &About, limited: bool) -> Result<u64> {
        let marked = stream::iter(about.threads.clone().into_iter().map(Ok::<_, StoreError>))
            .map_ok(|reference| async move { self.mark_thread(installation, &reference, limited).await })
            .try_buffer_unordered(AT_ONCE)
            .try_fold(0, |sum, marked| async move { Ok(sum + u64::from(marked)) });
        marked.await
    }

    async fn mark_thread(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        limited: bool,
    ) -> Result<bool> {
        let tenant = &installation.tenant;
        for _ in 0..ATTEMPTS {
            let Some(thread) = self.any_thread(installation, reference, Expired::Gone).await? else {
                return Ok(false);
            };
            if thread.limited == limited {
                return Ok(false);
            }
            let key = thread.key(tenant);
            let mut actions = vec![mark(key, limited, Some(thread.revision + 1), Some(thread.unchanged()))];
            let limits = actions.len();
            if !limited {
                actions.extend(checks(tenant, thread.subjects(tenant).iter()));
            }
            let end = actions.len();
            if !limited {
                actions.extend(self.due_again_in(tenant, &thread));
            }
            match self.transact_unrecorded(Unrecorded::Step, actions).await? {
                Ok(()) => return Ok(true),
                // Another limit is left, on this or another person of the conversation.
                Err(canceled) if canceled.any_failed(limits..end) => return Ok(false),
                Err(_) => {}
            }
        }
        Err(StoreError::Contended("a conversation"))
    }

    async fn mark_exceptions(&self, installation: &Installation, about: &About, limited: bool) -> Result<()> {
        for reference in &about.exceptions {
            let key = keyspace::record(&installation.tenant, reference);
            let mut actions = vec![mark(key, limited, None, Some(Condition::PRESENT))];
            if !limited {
                let rows = about.partitions.iter().map(|pk| keyspace::subject_row(pk.clone(), reference));
                actions.extend(checks(&installation.tenant, rows.collect::<Vec<_>>().iter()));
            }
            // One that ended meanwhile, or that another limit is left on.
            let _stays = self.transact_unrecorded(Unrecorded::Step, actions).await?;
        }
        Ok(())
    }

    /// Every case that the person's orders are in, or were, by the time the order itself had expired.
    async fn cases_about(&self, installation: &Installation, about: &About) -> Result<BTreeSet<RecordRef>> {
        let records = self.orders_and(installation, &about.orders, Expired::Gone).await?;
        let cases = records.into_iter().filter_map(|record| record.case);
        Ok(cases.chain(about.cases.iter().cloned()).collect())
    }

    /// Takes the person's orders out of sight in their cases.
    async fn withhold(&self, installation: &Installation, about: &About) -> Result<u64> {
        let mut changed = 0;
        for reference in self.cases_about(installation, about).await? {
            let withheld = self.change_case(installation, &reference, |case| {
                let (limited, members): (Vec<Member>, Vec<Member>) =
                    case.members.drain(..).partition(|member| about.concerns(installation, member));
                case.members = members;
                let any = !limited.is_empty();
                case.withheld.extend(limited.into_iter().map(|member| Member { limited: true, ..member }));
                (any, Vec::new())
            });
            changed += u64::from(withheld.await?);
        }
        Ok(changed)
    }

    /// Shows the person's orders in their cases again, those that nothing limits any more.
    async fn show_again(&self, installation: &Installation, about: &About) -> Result<()> {
        for reference in self.cases_about(installation, about).await? {
            let withheld: Vec<Member> = match self.case(installation, &reference).await? {
                Some(case) => case.withheld,
                None => Vec::new(),
            };
            for member in withheld.into_iter().filter(|member| about.concerns(installation, member)) {
                let rows = member.row_keys(installation);
                self.change_case(installation, &reference, |case| {
                    let place = case.withheld.iter().position(|other| other.order == member.order);
                    let Some(place) = place else { return (false, Vec::new()) };
                    let member = case.withheld.remove(place);
                    case.members.push(Member { limited: false, ..member });
                    case.members.sort_by_key(|member| member.created_at);
                    (true, checks(&installation.tenant, rows.iter()))
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Changes a case until nobody else does at the same time. `false` when there was nothing to change, or a check of
    /// `change` did not hold.
    async fn change_case(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        change: impl Fn(&mut Case) -> (bool, Vec<Action>),
    ) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let Some(mut case) = self.case(installation, reference).await? else { return Ok(false) };
            let (changed, checks) = change(&mut case);
            if !changed {
                return Ok(false);
            }
            let mut actions = vec![case.put(self, installation)?];
            actions.extend(checks);
            let end = actions.len();
            match self.transact_unrecorded(Unrecorded::Step, actions).await? {
                Ok(()) => return Ok(true),
                Err(canceled) if canceled.any_failed(1..end) => return Ok(false),
                Err(_) => {}
            }
        }
        Err(StoreError::Contended("a case"))
    }

    /// A restriction refused a mail that came at `at`, before it began: it is read again, too, when nothing limits any
    /// more.
    ///
    /// # Errors
    /// Contended when somebody changed a limit first.
    pub(crate) async fn make_up_for(
        &self,
        installation: &Installation,
        identifiers: &[Identifier],
        at: Timestamp,
    ) -> Result<()> {
        for (identifier, mut row) in self.limit_rows(installation, identifiers).await? {
            let from = row.objected_until.map_or(at, |until| until.max(at));
            let known = row.catch_up_from.into_iter().chain(row.mails_from).min();
            // Without any it is objected to, or not limited at all.
            if known.is_none_or(|known| known <= from) {
                continue;
            }
            row.mails_from = Some(from);
            let key = keyspace::limit(&installation.tenant, &installation.keys, &identifier);
            let actions = vec![row.put(self, installation, key)?, purge::not_begun(&installation.tenant)];
            self.transact_unrecorded(Unrecorded::Step, actions)
                .await?
                .map_err(|_| StoreError::Contended("a limit"))?;
        }
        Ok(())
    }

    /// Counts in the ledger that something was dropped because of a limit, once for each delivery.
    pub(crate) async fn note_refused(
        &self,
        tenant: &Tenant,
        delivery: &RecordRef,
        topic: &str,
    ) -> Result<()> {
        let now = self.now();
        let mut key = keyspace::record(tenant, delivery);
        // Beside the delivery's own marker: once nothing limits any more, the same delivery may be taken.
        key.sk.push_str("-refused");
        let marker = Item::new(key)
            .set("topic", text(topic))
            .set("phase", text("refused"))
            .set("accepted_at", number(now.millis()))
            .expiring(now);
        let entry = Entry::new(now, tenant, What::RefusedLimited, topic);
        let actions = vec![
            Action::Put { item: marker, condition: Some(Condition::ABSENT) },
            self.ledger_action(&entry)?,
        ];
        let _counted_before = self.transact(actions).await?;
        Ok(())
    }
}

/// Marks an item whose use is limited, or takes the mark off.
fn mark(key: Key, limited: bool, revision: Option<i64>, condition: Option<Condition>) -> Action {
    let mut values: Vec<_> = revision.map(|revision| (":next", number(revision))).into_iter().collect();
    let counted = if revision.is_some() { ", revision = :next" } else { "" };
    let expression = if limited {
        values.push((":limited", number(1)));
        format!("SET {LIMITED} = :limited{counted}")
    } else if revision.is_some() {
        format!("SET revision = :next REMOVE {LIMITED}")
    } else {
        format!("REMOVE {LIMITED}")
    };
    Action::Update { key, update: Change { expression, values }, condition }
}
