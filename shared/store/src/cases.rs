//! Cases: clusters of orders that look like one. However many of a cluster's orders are worked on at the same
//! time, there is one case: every change is a transaction on the case and on the orders that join it.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::guard::Decision;
use storeward_core::instructions::Activity;
use storeward_core::matching::{Explanation, RULE_VERSION, Reason};
use storeward_core::order::Order;
use storeward_core::personal::Personal;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::case_list::{end_of_day, index_row};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::orders::{Candidate, OrderRecord, lengthen, shorten};
use crate::statistics::{Counted, Tally};
use crate::store::{Action, Change, Condition, Expired, Query, Store};
use crate::tenants::Installation;

/// How often joining is tried while others change the same cluster. Each failure means that another order joined,
/// so a cluster would have to grow this often within one attempt each to exhaust it.
const ATTEMPTS: usize = 12;

/// How many orders one transaction takes in: each is its record, its subject rows and its row in the case.
const JOIN_AT_ONCE: usize = 7;

/// How many members a case lists. A cluster larger than this is one person or program ordering over and over; the
/// rest is counted.
const LISTED: usize = 50;

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseState {
    /// The merchant has not decided.
    Open,
    /// The merchant said that they are duplicates.
    Confirmed,
    /// The merchant said that they are none.
    Dismissed,
    /// There is nothing left to decide: fewer than two of its orders still stand.
    Settled,
    /// The orders were found to belong to another case, which has them now.
    Merged,
    /// The person was erased: what is left tells that a case was, and nothing about whom.
    Anonymised,
}

impl CaseState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Confirmed, Self::Dismissed, Self::Settled, Self::Merged, Self::Anonymised];

    /// The word for it, in keys and in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Confirmed => "confirmed",
            Self::Dismissed => "dismissed",
            Self::Settled => "settled",
            Self::Merged => "merged",
            Self::Anonymised => "anonymised",
        }
    }
}

/// What has become of an order of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is to be sent.
    #[default]
    Active,
    /// It was cancelled: it cannot become a second parcel.
    Cancelled,
    /// It was sent.
    Fulfilled,
}

impl Standing {
    /// What an order tells of itself.
    pub(crate) const fn told_by(order: &Order) -> Self {
        if order.cancelled_at.is_some() {
            Self::Cancelled
        } else if order.fulfilled {
            Self::Fulfilled
        } else {
            Self::Active
        }
    }

    /// The word for it on an order's record.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cancelled => "cancelled",
            Self::Fulfilled => "fulfilled",
        }
    }

    pub(crate) fn of(name: Option<&str>) -> Self {
        let named = |standing: &Self| Some(standing.name()) == name;
        [Self::Cancelled, Self::Fulfilled].into_iter().find(named).unwrap_or_default()
    }
}

/// A merchant's decision on a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// What was decided.
    pub decision: Decision,
    /// When.
    pub at: Timestamp,
}

/// An order of a case, with what a merchant needs to recognise it after the order record itself has expired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The order's name in the store.
    pub order: RecordRef,
    /// Shopify's number of it.
    pub id: Personal<u64>,
    /// The merchant's name for it, `#1001`.
    pub name: Option<Personal<String>>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// Its total.
    pub total: Option<String>,
    /// The total's currency.
    pub currency: Option<String>,
    /// What it agreed on with the others when it joined.
    pub reasons: Vec<Reason>,
    /// What has become of it.
    #[serde(default)]
    pub standing: Standing,
    /// Why it was taken for the same as the order it joined with, or that order for it: the strongest verdict.
    #[serde(default)]
    pub explanation: Option<Explanation>,
    /// Whether a person it names restricted or objects to its use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) limited: bool,
    pub(crate) rows: Vec<(String, String)>,
}

/// The sealed half of a case.
#[derive(Debug, Default, Serialize, Deserialize)]
struct SealedCase {
    members: Vec<Member>,
    #[serde(default)]
    decided: Option<Decided>,
    #[serde(default)]
    counted: Option<Counted>,
    #[serde(default)]
    exceptions: Vec<RecordRef>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    uncounted: bool,
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name in the store.
    pub reference: RecordRef,
    /// Where it stands.
    pub state: CaseState,
    /// When it was opened; of an anonymised case only the day is known.
    pub opened: String,
    /// Under which version of the rule.
    pub rule: String,
    /// How many orders it has, those beyond the listed ones included.
    pub size: u64,
    /// Its orders, in the order they joined, without those whose use is limited. Empty when merged or anonymised.
    pub members: Vec<Member>,
    /// Those whose use is limited: kept with the case, and out of everybody's sight.
    pub(crate) withheld: Vec<Member>,
    /// Everything any of its orders agreed on.
    pub reasons: BTreeSet<Reason>,
    /// How often it was opened: once, and once more for each time an order joined after a decision. What is told of it
    /// outside is told once for each.
    pub openings: u64,
    /// The merchant's latest decision. It stays when another order joins and opens the case again.
    pub decided: Option<Decided>,
    /// What the decision was counted as.
    pub(crate) counted: Option<Counted>,
    /// What the decision excepted from being flagged.
    pub(crate) exceptions: Vec<RecordRef>,
    /// Whether its opening was not counted, because the merchant did not want it.
    pub(crate) uncounted: bool,
    pub(crate) opened_at: Timestamp,
    /// When it ends as it is stored, once it is.
    pub(crate) ends: Option<i64>,
    pub(crate) revision: i64,
    pub(crate) merged_into: Option<RecordRef>,
}

/// What joining did.
#[derive(Debug)]
pub struct Joined {
    /// The cluster's case.
    pub case: RecordRef,
    /// Whether it was opened by this, for the first time or again after a decision.
    pub opened: bool,
    /// The orders that joined by this.
    pub newcomers: Vec<RecordRef>,
}

impl Case {
    /// The action that writes the case as it is now, if nobody changed it since it was read.
    pub(crate) fn put(&self, store: &Store, installation: &Installation) -> Result<Action> {
        let key = keyspace::record(&installation.tenant, &self.reference);
        let mut item = Item::new(key)
            .set("phase", text(self.state.name()))
            .set("opened_at", number(self.opened_at.millis()))
            .set("rule", text(&self.rule))
            .set("members", number(i64::try_from(self.size).unwrap_or(i64::MAX)))
            .set("openings", number(i64::try_from(self.openings).unwrap_or(i64::MAX)))
            .set("revision", number(self.revision + 1))
            .expiring(self.opened_at)
            .not_after(self.ends);
        if let Some(into) = &self.merged_into {
            item = item.set("merged_into", text(into.to_string()));
        } else {
            let sealed = SealedCase {
                members: self.members.iter().chain(&self.withheld).cloned().collect(),
                decided: self.decided.clone(),
                counted: self.counted.clone(),
                exceptions: self.exceptions.clone(),
                uncounted: self.uncounted,
            };
            item = item.sealed(&installation.keys, &sealed, &*store.entropy)?;
        }
        Ok(Action::Put { item, condition: Some(self.unchanged()) })
    }

    /// That nobody changed the case since it was read.
    pub(crate) fn unchanged(&self) -> Condition {
        if self.revision == 0 {
            return Condition::ABSENT;
        }
        Condition { expression: "revision = :revision", values: vec![(":revision", number(self.revision))] }
    }

    /// How many of its orders are not shown or worked on, because a person they name restricted or objects to it.
    #[must_use]
    pub const fn restricted(&self) -> usize {
        self.withheld.len()
    }

    /// The number of every order of the case, of limited ones too: what was held for it is let go, whatever is limited.
    pub fn numbers_to_let_go(&self) -> impl Iterator<Item = (&RecordRef, &Personal<u64>)> {
        self.members.iter().chain(&self.withheld).map(|member| (&member.order, &member.id))
    }

    /// The case with the limited orders among its members: for erasure, export and purge, which leave none out.
    pub(crate) fn whole(mut self) -> Self {
        self.members.append(&mut self.withheld);
        self
    }

    /// An open case of which fewer than two orders still stand leaves nothing to decide. Orders that were sent stand:
    /// two parcels of one order are what a merchant wants to hear of.
    pub(crate) fn settle(&mut self) {
        if self.state == CaseState::Open && self.standing() < 2 {
            self.state = CaseState::Settled;
        }
    }

    /// How many of its orders it lists.
    const fn listed(&self) -> usize {
        self.members.len() + self.withheld.len()
    }

    /// How many of its orders were not cancelled.
    fn standing(&self) -> u64 {
        let members = self.members.iter().chain(&self.withheld);
        let cancelled = members.filter(|member| member.standing == Standing::Cancelled).count();
        self.size.saturating_sub(u64::try_from(cancelled).unwrap_or(u64::MAX))
    }

    /// Whether its orders are to wait, where the merchant has them held: as long as nothing is decided, and once they
    /// are confirmed to be duplicates for as long as two of them stand. Letting go of those would send both parcels.
    #[must_use]
    pub fn is_to_wait(&self) -> bool {
        match self.state {
            CaseState::Open => true,
            CaseState::Confirmed => self.standing() > 1,
            CaseState::Dismissed | CaseState::Settled | CaseState::Merged | CaseState::Anonymised => false,
        }
    }

    /// What stays of a case when its people are erased: a new record under a random name, without a time finer than
    /// a day and without members, that nothing leads to.
    pub(crate) fn anonymised(&self, store: &Store, installation: &Installation) -> Result<[Action; 2]> {
        let reference = RecordRef::new(Kind::Case, store.random_id()?);
        let agreed =
            serde_json::to_string(&self.reasons).map_err(|_| StoreError::Corrupt("a case's reasons"))?;
        let day = self.opened_at.day();
        // Counted from the end of the day, so that the time of expiry does not tell the time of opening.
        let end_of_day = end_of_day(&day).unwrap_or(self.opened_at);
        let item = Item::new(keyspace::record(&installation.tenant, &reference))
            .set("phase", text(CaseState::Anonymised.name()))
            .set("opened_day", text(day))
            .set("rule", text(&self.rule))
            .set("members", number(i64::try_from(self.size).unwrap_or(i64::MAX)))
            .set("agreed", text(agreed))
            .set("revision", number(1))
            .expiring(end_of_day);
        Ok([Action::put(item), index_row(&installation.tenant, end_of_day, &reference, None)])
    }
}

/// Why an order joins.
struct Why {
    reasons: BTreeSet<Reason>,
    explanation: Option<Explanation>,
}

impl Why {
    /// Each candidate's own verdict; the order that found them has all their reasons and the strongest verdict.
    fn of_all(reference: &RecordRef, candidates: &[Candidate]) -> Vec<(RecordRef, Self)> {
        let explanations = || candidates.iter().map(|candidate| &candidate.explanation);
        let strongest = explanations().max_by(|a, b| a.weight.total_cmp(&b.weight)).cloned();
        let all = explanations().flat_map(Explanation::reasons).collect();
        candidates
            .iter()
            .map(|candidate| {
                let explanation = candidate.explanation.clone();
                let why = Self { reasons: explanation.reasons(), explanation: Some(explanation) };
                (candidate.record.reference.clone(), why)
            })
            .chain([(reference.clone(), Self { reasons: all, explanation: strongest })])
            .collect()
    }
}

impl Member {
    fn new(installation: &Installation, record: &OrderRecord, why: Option<&Why>) -> Self {
        let subjects = record.rows.iter().filter(|row| row.kind == Kind::Subject);
        Self {
            order: record.reference.clone(),
            id: record.order.id.clone(),
            name: record.order.name.clone(),
            created_at: record.order.created_at,
            total: record.order.total_price.clone(),
            currency: record.order.currency.clone(),
            reasons: why.map(|why| why.reasons.iter().copied().collect()).unwrap_or_default(),
            explanation: why.and_then(|why| why.explanation.clone()),
            standing: record.standing,
            limited: record.limited,
            rows: subjects.map(|row| shorten(&installation.tenant, row)).collect(),
        }
    }

    /// Takes over what the merchant sees of an order that changed, and by which rows its people are found.
    pub(crate) fn follow<'a>(
        &mut self,
        installation: &Installation,
        order: &Order,
        standing: Standing,
        rows: impl Iterator<Item = &'a Key>,
    ) {
        self.name.clone_from(&order.name);
        self.total.clone_from(&order.total_price);
        self.currency.clone_from(&order.currency);
        self.standing = standing;
        self.rows = rows.map(|row| shorten(&installation.tenant, row)).collect();
    }

    /// The rows by which the order's people are found.
    pub(crate) fn row_keys(&self, installation: &Installation) -> Vec<Key> {
        self.rows.iter().filter_map(|row| lengthen(&installation.tenant, row)).collect()
    }

    /// The row by which the case is found that lists the order.
    pub(crate) fn own_row(&self, tenant: &Tenant) -> Key {
        keyspace::member_row(tenant, &self.order)
    }
}

impl Store {
    pub(crate) fn read_case(installation: &Installation, stored: &Stored) -> Result<Case> {
        let phase = stored.text("phase")?;
        let state = CaseState::ALL.into_iter().find(|state| state.name() == phase);
        let state = state.ok_or(StoreError::Corrupt("a case's state"))?;
        let sealed: SealedCase = if stored.has_sealed() {
            stored.unseal(Kind::Case, &installation.keys)?
        } else {
            SealedCase::default()
        };
        let (withheld, members): (Vec<Member>, Vec<Member>) =
            sealed.members.into_iter().partition(|member| member.limited);
        let opened_at = Timestamp(stored.optional_number("opened_at").unwrap_or_default());
        let merged_into = stored.optional_text("merged_into").map(str::parse).transpose();
        Ok(Case {
            reference: RecordRef::new(Kind::Case, stored.text("sk")?.to_owned()),
            state,
            opened: stored.optional_text("opened_day").map_or_else(|| opened_at.to_rfc3339(), str::to_owned),
            rule: stored.text("rule")?.to_owned(),
            size: u64::try_from(stored.number("members")?).unwrap_or_default(),
            reasons: match stored.optional_text("agreed") {
                Some(agreed) => {
                    serde_json::from_str(agreed).map_err(|_| StoreError::Corrupt("a case's reasons"))?
                }
                None => members.iter().flat_map(|member| member.reasons.iter().copied()).collect(),
            },
            members,
            withheld,
            openings: stored.optional_number("openings").and_then(|n| u64::try_from(n).ok()).unwrap_or(1),
            decided: sealed.decided,
            counted: sealed.counted,
            exceptions: sealed.exceptions,
            uncounted: sealed.uncounted,
            opened_at,
            ends: stored.end_written(),
            revision: stored.number("revision")?,
            merged_into: merged_into.map_err(|_| StoreError::Corrupt("a merged case"))?,
        })
    }

    /// Cases by reference; where one was merged into another, that other one instead.
    pub(crate) async fn resolve_cases(
        &self,
        installation: &Installation,
        references: BTreeSet<RecordRef>,
    ) -> Result<Vec<Case>> {
        let mut wanted = references;
        let mut cases: Vec<Case> = Vec::new();
        while !wanted.is_empty() {
            let keys: Vec<Key> =
                wanted.iter().map(|reference| keyspace::record(&installation.tenant, reference)).collect();
            wanted.clear();
            for stored in self.batch_get(Table::Data, &keys, Expired::Gone).await? {
                let case = Self::read_case(installation, &stored)?;
                if let Some(into) = case.merged_into {
                    wanted.insert(into);
                } else if cases.iter().all(|known| known.reference != case.reference) {
                    cases.push(case);
                }
            }
            wanted.retain(|reference| cases.iter().all(|known| known.reference != *reference));
        }
        Ok(cases)
    }

    /// A case; where it was merged into another, that other one.
    pub async fn case(&self, installation: &Installation, reference: &RecordRef) -> Result<Option<Case>> {
        Ok(self.resolve_cases(installation, BTreeSet::from([reference.clone()])).await?.pop())
    }

    /// The rows that lead to the cases of orders which were named by their numbers and are not among `found`: an order
    /// comes to its own end before its case.
    pub(crate) async fn member_rows(
        &self,
        installation: &Installation,
        named: &[RecordRef],
        found: &[OrderRecord],
    ) -> Result<Vec<Stored>> {
        let found: BTreeSet<&RecordRef> = found.iter().map(|record| &record.reference).collect();
        let gone = named.iter().filter(|of| of.kind() == Kind::Order && !found.contains(of));
        // A request can name an order twice, and DynamoDB refuses to read one key twice.
        let keys: BTreeSet<Key> = gone.map(|of| keyspace::member_row(&installation.tenant, of)).collect();
        self.batch_get(Table::Data, &keys.into_iter().collect::<Vec<_>>(), Expired::Too).await
    }

    /// Every case of a shop that stands for itself, the latest first. For a shop's own list and for checks: it
    /// reads all 16 partitions to their end.
    pub async fn cases(&self, installation: &Installation) -> Result<Vec<Case>> {
        let partitions = (0..keyspace::BUCKETS).map(|bucket| async move {
            let partition = keyspace::bucket_partition(&installation.tenant, Kind::Case, bucket);
            let items = self.query_all(Query::of(Table::Data, &partition)).await?;
            items.iter().map(|item| Self::read_case(installation, item)).collect::<Result<Vec<_>>>()
        });
        let mut cases: Vec<Case> = try_join_all(partitions).await?.into_iter().flatten().collect();
        cases.retain(|case| case.state != CaseState::Merged);
        cases.sort_by(|a, b| b.opened.cmp(&a.opened).then_with(|| a.reference.cmp(&b.reference)));
        Ok(cases)
    }

    /// Puts an order and those that agree with it into one case: an existing one if any of them is in one, else a
    /// new one; several existing ones become one. `None` when the order was erased meanwhile, or all the others.
    pub async fn join_case(
        &self,
        installation: &Installation,
        record: OrderRecord,
        candidates: Vec<Candidate>,
    ) -> Result<Option<Joined>> {
        let reference = record.reference.clone();
        let reasons = Why::of_all(&reference, &candidates);
        let references: Vec<RecordRef> = reasons.iter().map(|(reference, _)| reference.clone()).collect();
        let mut records: Vec<OrderRecord> =
            candidates.into_iter().map(|candidate| candidate.record).chain([record]).collect();
        let mut joined = Joined { case: reference.clone(), opened: false, newcomers: Vec::new() };
        for _ in 0..ATTEMPTS {
            if records.len() < 2 || records.iter().all(|record| record.reference != reference) {
                return Ok(None);
            }
            match self.join_once(installation, &reference, &records, &reasons).await? {
                Step::Complete(case) => {
                    joined.case = case;
                    return Ok(Some(joined));
                }
                Step::Advanced { case, opened, newcomers } => {
                    joined.case = case;
                    joined.opened |= opened;
                    joined.newcomers.extend(newcomers);
                    if joined.newcomers.len() == records.len() {
                        return Ok(Some(joined));
                    }
                }
                Step::Overtaken => {}
            }
            records = self.orders(installation, &references).await?;
            // What was cancelled meanwhile is nobody's duplicate any more.
            records.retain(|record| record.order.counts() || record.case.is_some());
        }
        Err(StoreError::Contended("a case"))
    }

    async fn join_once(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        records: &[OrderRecord],
        reasons: &[(RecordRef, Why)],
    ) -> Result<Step> {
        let named: BTreeSet<RecordRef> = records.iter().filter_map(|record| record.case.clone()).collect();
        let mut cases = self.resolve_cases(installation, named.clone()).await?;
        // An order can outlive its case, and is free again then.
        let mut over = BTreeSet::new();
        for case in named.into_iter().filter(|named| cases.iter().all(|case| case.reference != *named)) {
            if self.case(installation, &case).await?.is_none() {
                over.insert(case);
            }
        }
        cases.sort_by(|a, b| (a.opened_at, &a.reference).cmp(&(b.opened_at, &b.reference)));
        let mut cases = cases.into_iter();
        let (mut target, opened) = match cases.next() {
            Some(case) => (case, false),
            None => (self.new_case()?, true),
        };
        let merged: Vec<Case> = cases.collect();
        let mut newcomers: Vec<&OrderRecord> = records
            .iter()
            .filter(|record| record.case.as_ref().is_none_or(|case| over.contains(case)))
            .collect();
        if newcomers.is_empty() && merged.is_empty() {
            return Ok(Step::Complete(target.reference));
        }
        // The order itself comes first, then the nearest: those that do not fit come with the next step.
        newcomers.sort_by_key(|record| record.reference != *reference);
        newcomers.truncate(JOIN_AT_ONCE);
        if opened && newcomers.len() < 2 {
            // The others' case ended since they were read, and they are free again: one order alone is no case.
            return Ok(Step::Overtaken);
        }
        // Another order is something new to decide on, whatever was decided before.
        let opened = opened || target.state != CaseState::Open;
        target.openings += u64::from(opened);
        target.state = CaseState::Open;
        let mut actions = Vec::new();
        let mut tally = Tally::default();
        if target.revision == 0 {
            target.uncounted = !installation.settings()?.allow(Activity::CountSavings);
            tally.opened(&target);
            actions.push(index_row(&installation.tenant, target.opened_at, &target.reference, target.ends));
        }
        for mut source in merged {
            tally.merged(&source);
            actions.extend(source.index_key(&installation.tenant).map(Action::delete));
            let room = LISTED.saturating_sub(target.listed());
            target.size += source.size;
            target.members.extend(source.members.drain(..).take(room));
            let room = LISTED.saturating_sub(target.listed());
            target.withheld.extend(source.withheld.drain(..).take(room));
            source.merged_into = Some(target.reference.clone());
            source.state = CaseState::Merged;
            actions.push(source.put(self, installation)?);
        }
        for record in &newcomers {
            let why = reasons.iter().find(|(of, _)| *of == record.reference);
            target.size += 1;
            if target.listed() < LISTED {
                target.members.push(Member::new(installation, record, why.map(|(_, why)| why)));
                actions.extend(self.case_rows(&installation.tenant, record, &target));
            }
            actions.push(Action::Update {
                key: keyspace::record(&installation.tenant, &record.reference),
                update: Change {
                    expression: "SET case_id = :case, flag = :pending".to_owned(),
                    values: vec![
                        (":case", text(target.reference.to_string())),
                        (":pending", text("pending")),
                    ],
                },
                // An update or a cancellation since it was read counts: it is read again.
                condition: Some(record.unchanged()),
            });
        }
        actions.push(target.put(self, installation)?);
        actions.extend(tally.actions(&installation.tenant));
        // Not which case: the ledger outlives its people.
        let mut entry = Entry::new(self.now(), &installation.tenant, What::CaseFormed, "matching");
        entry.counts =
            BTreeMap::from([("order".to_owned(), u64::try_from(newcomers.len()).unwrap_or(u64::MAX))]);
        actions.push(self.ledger_action(&entry)?);
        if self.transact(actions).await?.is_err() {
            return Ok(Step::Overtaken);
        }
        let newcomers = newcomers.iter().map(|record| record.reference.clone()).collect();
        Ok(Step::Advanced { case: target.reference, opened, newcomers })
    }

    /// A case has a random name: one that came from an order would lead back to it after the order is erased.
    fn new_case(&self) -> Result<Case> {
        let now = self.now();
        Ok(Case {
            reference: RecordRef::new(Kind::Case, self.random_id()?),
            state: CaseState::Open,
            opened: now.to_rfc3339(),
            rule: RULE_VERSION.to_owned(),
            size: 0,
            members: Vec::new(),
            withheld: Vec::new(),
            reasons: BTreeSet::new(),
            openings: 0,
            decided: None,
            counted: None,
            exceptions: Vec::new(),
            uncounted: false,
            opened_at: now,
            ends: None,
            revision: 0,
            merged_into: None,
        })
    }

    /// A member's subject rows live as long as the order or the case from now on, whichever is longer, and lead to both:
    /// either can outlive the other, and the person must be found in it. One more is for who names the order's number.
    fn case_rows(&self, tenant: &Tenant, record: &OrderRecord, case: &Case) -> Vec<Action> {
        let store = self;
        let subjects = record.rows.iter().filter(|row| row.kind == Kind::Subject).cloned();
        let rows = subjects.chain([keyspace::member_row(tenant, &record.reference)]).map(|row| {
            let item = Item::new(row)
                .set("case_id", text(case.reference.to_string()))
                .expiring_with(Kind::Order, record.order.created_at.min(store.now()))
                .and_with(Kind::Case, case.opened_at);
            // A case that is opened now has no end yet, and its row none that is later.
            Action::put(if case.ends.is_some() { item.not_after(record.ends.max(case.ends)) } else { item })
        });
        rows.collect()
    }
}

enum Step {
    /// Everyone is in this case.
    Complete(RecordRef),
    /// Some joined.
    Advanced { case: RecordRef, opened: bool, newcomers: Vec<RecordRef> },
    /// Someone else changed the cluster first: look again.
    Overtaken,
}
