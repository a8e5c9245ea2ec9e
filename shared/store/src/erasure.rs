//! Erasing a person: tombstones first, then everything that is found under any of the person's identifiers,
//! then a second pass when no writer from before can still be running, and a receipt.
//! A step that was interrupted is done again from the start; what is gone already is not counted twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, LONGEST_WRITER, Table};
use storeward_core::normalize::{self, Identifier};
use storeward_core::personal::Personal;
use storeward_core::rights::{Person, RightsKind, RightsState};
use storeward_core::time::Timestamp;
use storeward_core::webhook::{CustomersRedact, RedactedCustomer};

use crate::accept::{Work, completion, completion_due};
use crate::cases::{Case, Member};
use crate::due::{self, DueRow};
use crate::error::{Result, StoreError};
use crate::exceptions;
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::notices;
use crate::orders::OrderRecord;
use crate::purge;
use crate::requests::End;
use crate::store::{Action, Change, Condition, Expired, Query, Store, TRANSACTION_ITEMS, Unrecorded};
use crate::tenants::Installation;

/// How often the whole is gone through until nothing is found any more.
const ROUNDS: usize = 5;

/// What a transaction that takes members out of a case keeps room for: the case, what replaces it, the order that is
/// left alone with its rows, and the count.
const CASE_ITEMS: usize = 20;

/// Who is to be erased: the sealed half of a request, gone when the request is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) customer: Option<Personal<u64>>,
    pub(crate) email: Option<Personal<String>>,
    pub(crate) phone: Option<Personal<String>>,
    pub(crate) orders: Vec<Personal<u64>>,
}

impl Wanted {
    pub(crate) fn new(customer: RedactedCustomer, orders: Vec<Personal<u64>>) -> Self {
        Self { customer: customer.id, email: customer.email, phone: customer.phone, orders }
    }
}

impl Wanted {
    /// A person without orders of their own naming.
    pub(crate) const fn of(
        customer: Option<Personal<u64>>,
        email: Option<Personal<String>>,
        phone: Option<Personal<String>>,
    ) -> Self {
        Self { customer, email, phone, orders: Vec::new() }
    }

    pub(crate) fn person(&self) -> Person {
        Person { customer: self.customer.clone(), email: self.email.clone(), phone: self.phone.clone() }
    }
}

impl From<CustomersRedact> for Wanted {
    fn from(request: CustomersRedact) -> Self {
        Self::new(request.customer, request.orders_to_redact)
    }
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Nothing was done yet, or not to the end.
    Open,
    /// Everything was erased; the second pass is to come.
    Erased,
    /// The second pass found nothing left. Who it was about is forgotten.
    Done,
}

/// A request to erase a person.
#[derive(Debug)]
pub struct RightsRequest {
    /// Its name in the store.
    pub reference: RecordRef,
    /// What was asked for: only an erasure erases.
    pub kind: RightsKind,
    /// How far it has come.
    pub state: RequestState,
    /// What was created up to here is erased and cannot come back.
    pub received_at: Timestamp,
    /// When the first pass ended.
    pub erased_at: Option<Timestamp>,
    wanted: Option<Wanted>,
    counts: BTreeMap<String, u64>,
}

/// What to do after a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondPass {
    /// Send this work again after this long.
    After(Duration, Work),
    /// Nothing: it is done.
    Done,
}

/// Everything that is to be erased, as it was found.
struct Found {
    cases: Vec<(Case, Vec<Member>)>,
    orders: Vec<OrderRecord>,
    /// Orders beyond those their case lists: they are erased like those that are in none.
    unlisted: BTreeSet<RecordRef>,
    /// Exceptions that the person is among: each with its rows.
    exceptions: Vec<Vec<Key>>,
    strays: Vec<Key>,
    /// Exports, rectifications and requests that lead to the person: their requests end.
    errands: BTreeSet<RecordRef>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.cases.is_empty()
            && self.orders.is_empty()
            && self.exceptions.is_empty()
            && self.strays.is_empty()
    }
}

impl Store {
    /// A request by its reference.
    pub async fn request(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<RightsRequest>> {
        let stored = self.get(&keyspace::record(&installation.tenant, reference)).await?;
        stored.map(|stored| read_request(installation, reference, &stored)).transpose()
    }

    /// Carries a request one pass further and says what comes next. `None` when there is no such request.
    pub async fn erase_subject(
        &self,
        installation: &Installation,
        work: &Work,
    ) -> Result<Option<SecondPass>> {
        let Some(request) = self.request(installation, &work.record).await? else { return Ok(None) };
        if request.kind != RightsKind::Erasure {
            return Ok(None);
        }
        let now = self.now();
        let second_pass_at = |erased_at: Timestamp| erased_at + LONGEST_WRITER;
        match (request.state, request.erased_at) {
            (RequestState::Done, _) => {
                self.due_done(&second_pass_row(work)).await?;
                self.complete(work).await?;
                Ok(Some(SecondPass::Done))
            }
            (RequestState::Erased, Some(erased_at)) if now < second_pass_at(erased_at) => {
                let work = Work { due_at: second_pass_at(erased_at), ..work.clone() };
                Ok(Some(SecondPass::After(second_pass_at(erased_at).since(now), work)))
            }
            (RequestState::Erased, _) => {
                self.erase_found(installation, &request).await?;
                self.finish_second_pass(installation, work).await?;
                Ok(Some(SecondPass::Done))
            }
            (RequestState::Open, _) => {
                self.entomb(installation, &request).await?;
                self.forget_limited(installation, &request.wanted()?.identifiers()).await?;
                self.erase_found(installation, &request).await?;
                let next = self.finish_first_pass(installation, work).await?;
                Ok(Some(SecondPass::After(LONGEST_WRITER, next)))
            }
        }
    }

    /// From here on nothing about the person that is older than the request can be written.
    async fn entomb(&self, installation: &Installation, request: &RightsRequest) -> Result<()> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let wanted = request.wanted()?;
        // A purge that ran in between leaves nothing, and nothing is written behind its back.
        let not_purged = || purge::not_begun(tenant);
        let tombstone = |key: Key| tombstone(key, request);
        for identifier in wanted.identifiers() {
            let put = Action::Put {
                item: tombstone(keyspace::subject_tombstone(tenant, keys, &identifier)),
                condition: Some(Condition {
                    expression: "attribute_not_exists(pk) OR erased_at < :erased_at",
                    values: vec![(":erased_at", number(request.received_at.millis()))],
                }),
            };
            // A later erasure of the same person reaches further already: then the first condition fails.
            if self
                .transact_unrecorded(Unrecorded::Step, vec![put, not_purged()])
                .await?
                .is_err_and(|canceled| canceled.any_failed(1..2))
            {
                return Err(StoreError::Contended("an installation"));
            }
        }
        let orders: BTreeSet<Key> =
            wanted.orders.iter().map(|id| keyspace::order_tombstone(tenant, keys, *id.expose())).collect();
        let puts: Vec<Action> = orders.into_iter().map(|key| Action::put(tombstone(key))).collect();
        for chunk in puts.chunks(TRANSACTION_ITEMS - 1) {
            let actions = chunk.iter().cloned().chain([not_purged()]).collect();
            if self.transact_unrecorded(Unrecorded::Step, actions).await?.is_err() {
                return Err(StoreError::Contended("an installation"));
            }
        }
        Ok(())
    }

    /// Erases until a look finds nothing more.
    async fn erase_found(&self, installation: &Installation, request: &RightsRequest) -> Result<()> {
        for _ in 0..ROUNDS {
            let found = self.find(installation, request).await?;
            if found.is_empty() {
                return Ok(());
            }
            for (case, members) in found.cases {
                self.erase_members(installation, request, case, members, &found.orders).await?;
            }
            let alone: Vec<OrderRecord> = found
                .orders
                .into_iter()
                .filter(|record| record.case.is_none() || found.unlisted.contains(&record.reference))
                .collect();
            self.erase_orders(installation, request, &alone).await?;
            // An exception's keys are those of one decision: fewer than a transaction takes.
            for keys in found.exceptions {
                self.write(Unrecorded::Step, keys.into_iter().map(Action::delete).collect()).await?;
            }
            self.overtake(&installation.tenant, found.errands.into_iter(), &request.reference).await?;
            for chunk in found.strays.chunks(TRANSACTION_ITEMS) {
                self.write(Unrecorded::Step, chunk.iter().cloned().map(Action::delete).collect()).await?;
            }
        }
        Err(StoreError::Contended("an erasure"))
    }

    async fn find(&self, installation: &Installation, request: &RightsRequest) -> Result<Found> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let wanted = request.wanted()?;
        let partitions: BTreeSet<String> = wanted
            .identifiers()
            .iter()
            .map(|identifier| keyspace::subject_partition(tenant, keys, identifier))
            .collect();
        let named: BTreeSet<RecordRef> =
            wanted.orders.iter().map(|id| keyspace::order_ref(keys, *id.expose())).collect();
        let mut references = named.clone();
        let mut case_references = BTreeSet::new();
        let mut rows = Vec::new();
        let (mut errands, mut rows_of_errands) = (BTreeSet::new(), Vec::new());
        let mut exceptions = BTreeSet::new();
        for partition in &partitions {
            for row in self.all_of(Table::Data, partition).await? {
                let reference: RecordRef =
                    row.text("sk")?.parse().map_err(|_| StoreError::Corrupt("a subject row"))?;
                let key = row.key(Kind::Subject)?;
                match reference.kind() {
                    Kind::Order => references.insert(reference.clone()),
                    Kind::Exception => exceptions.insert(reference.clone()),
                    _ => {
                        errands.insert(reference);
                        rows_of_errands.push(key);
                        continue;
                    }
                };
                if let Some(case) = row.optional_text("case_id") {
                    case_references.insert(case.parse().map_err(|_| StoreError::Corrupt("a subject row"))?);
                }
                rows.push((reference, key));
            }
        }
        let references: Vec<RecordRef> = references.into_iter().collect();
        let mut orders = self.orders_and(installation, &references, Expired::Too).await?;
        let newer: BTreeSet<RecordRef> = orders
            .iter()
            .filter(|record| record.order.created_at > request.received_at)
            .filter(|record| !named.contains(&record.reference))
            .map(|record| record.reference.clone())
            .collect();
        orders.retain(|record| !newer.contains(&record.reference));
        case_references.extend(orders.iter().filter_map(|record| record.case.clone()));
        let mut cases = Vec::new();
        let mut listed = BTreeSet::new();
        for case in self.resolve_cases(installation, case_references).await? {
            let case = case.whole();
            listed.extend(case.members.iter().map(|member| member.order.clone()));
            let concerned = |member: &&Member| {
                named.contains(&member.order)
                    || (member.created_at <= request.received_at
                        && member.row_keys(installation).iter().any(|row| partitions.contains(&row.pk)))
            };
            let members: Vec<Member> = case.members.iter().filter(concerned).cloned().collect();
            if !members.is_empty() {
                cases.push((case, members));
            }
        }
        let unlisted = orders
            .iter()
            .filter(|record| record.case.is_some() && !listed.contains(&record.reference))
            .map(|record| record.reference.clone())
            .collect();
        // A row that leads to nothing any more: its record expired before it.
        let keys: Vec<Key> = exceptions.iter().map(|reference| keyspace::record(tenant, reference)).collect();
        let standing = self.batch_get(Table::Data, &keys, Expired::Too).await?;
        let exceptions: Vec<Vec<Key>> =
            standing.iter().map(|stored| exceptions::keys_of(installation, stored)).collect::<Result<_>>()?;
        let excepting =
            standing.iter().map(|stored| Ok(RecordRef::new(Kind::Exception, stored.text("sk")?.to_owned())));
        let excepting: Vec<RecordRef> = excepting.collect::<Result<_>>()?;
        let leading: BTreeSet<RecordRef> = orders
            .iter()
            .map(|record| record.reference.clone())
            .chain(newer)
            .chain(listed)
            .chain(excepting)
            .collect();
        let strays =
            rows.into_iter().filter(|(reference, _)| !leading.contains(reference)).map(|(_, key)| key);
        // What was put together about the person, or is under way, goes as a whole.
        let mut strays: BTreeSet<Key> = strays.chain(rows_of_errands).collect();
        strays.extend(self.errand_keys(installation, &errands).await?);
        Ok(Found { cases, strays: strays.into_iter().collect(), orders, unlisted, exceptions, errands })
    }

    /// Takes members out of a case together with their orders, a few in each transaction. A case that is left with
    /// fewer than two orders is none: it is anonymised.
    async fn erase_members(
        &self,
        installation: &Installation,
        request: &RightsRequest,
        mut case: Case,
        members: Vec<Member>,
        orders: &[OrderRecord],
    ) -> Result<()> {
        let of = |member: &Member| orders.iter().find(|record| record.reference == member.order);
        let mut waiting = members.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut actions = Vec::new();
            let mut erased = BTreeSet::new();
            let mut counted = 0;
            while let Some(member) = waiting.peek() {
                let deletions = match of(member) {
                    Some(record) => deletions(installation, request, record),
                    None => member.row_keys(installation).into_iter().map(Action::delete).collect(),
                };
                if !actions.is_empty() && actions.len() + deletions.len() > TRANSACTION_ITEMS - CASE_ITEMS {
                    break;
                }
                counted += u64::from(of(member).is_some());
                actions.extend(deletions);
                erased.insert(member.order.clone());
                waiting.next();
            }
            case.members.retain(|member| !erased.contains(&member.order));
            let gone = u64::try_from(erased.len()).unwrap_or(u64::MAX);
            let mut cases = 0;
            if case.size.saturating_sub(gone) >= 2 || waiting.peek().is_some() {
                case.size = case.size.saturating_sub(gone);
                case.settle();
                actions.push(case.put(self, installation)?);
                case.revision += 1;
            } else {
                cases = 1;
                actions.extend(case.anonymised(self, installation)?);
                actions.push(notices::forgotten(installation, &case.reference));
                actions.extend(case.index_key(&installation.tenant).map(Action::delete));
                actions.push(Action::Delete {
                    key: keyspace::record(&installation.tenant, &case.reference),
                    condition: Some(case.unchanged()),
                });
                for left in std::mem::take(&mut case.members) {
                    actions.extend(self.release(installation, &left).await?);
                }
            }
            actions.push(Self::count(
                installation,
                request,
                &[("erased_orders", counted), ("erased_cases", cases)],
            ));
            if self.transact_unrecorded(Unrecorded::Step, actions).await?.is_err() {
                // Someone changed the case or an order first: the next round looks again.
                return Ok(());
            }
        }
        Ok(())
    }

    /// An order whose case ends: it is in no case, and its rows live as long as it does.
    pub(crate) async fn release(&self, installation: &Installation, member: &Member) -> Result<Vec<Action>> {
        let rows = member.row_keys(installation);
        let Some(record) = self.any_order(installation, &member.order).await? else {
            return Ok(rows.into_iter().map(Action::delete).collect());
        };
        let from = record.order.created_at.min(self.now());
        let mut actions: Vec<Action> = rows
            .into_iter()
            .map(|row| Action::put(Item::new(row).expiring_with(Kind::Order, from)))
            .collect();
        actions.push(Action::Update {
            key: keyspace::record(&installation.tenant, &member.order),
            update: Change { expression: "REMOVE case_id, flag".to_owned(), values: Vec::new() },
            condition: Some(Condition::PRESENT),
        });
        Ok(actions)
    }

    async fn erase_orders(
        &self,
        installation: &Installation,
        request: &RightsRequest,
        orders: &[OrderRecord],
    ) -> Result<()> {
        let mut waiting = orders.iter().peekable();
        while waiting.peek().is_some() {
            let mut actions = Vec::new();
            let mut counted = 0;
            while let Some(record) = waiting.peek() {
                let deletions = deletions(installation, request, record);
                if !actions.is_empty() && actions.len() + deletions.len() >= TRANSACTION_ITEMS {
                    break;
                }
                actions.extend(deletions);
                counted += 1;
                waiting.next();
            }
            actions.push(Self::count(installation, request, &[("erased_orders", counted)]));
            // An order that someone else erased first, or that joined a case, fails the transaction: the next round
            // looks again.
            let _overtaken = self.transact_unrecorded(Unrecorded::Step, actions).await?;
        }
        Ok(())
    }

    /// Counts in the transaction that erases, so that the receipt's figures are exact.
    fn count(installation: &Installation, request: &RightsRequest, counts: &[(&'static str, u64)]) -> Action {
        const NAMES: [&str; 2] = [":a", ":b"];
        let adds: Vec<String> =
            counts.iter().zip(NAMES).map(|((attribute, _), name)| format!("{attribute} {name}")).collect();
        let values = counts
            .iter()
            .zip(NAMES)
            .map(|((_, count), name)| (name, number(i64::try_from(*count).unwrap_or(i64::MAX))))
            .collect();
        Action::Update {
            key: keyspace::record(&installation.tenant, &request.reference),
            update: Change { expression: format!("ADD {}", adds.join(", ")), values },
            condition: Some(Condition::PRESENT),
        }
    }

    async fn finish_first_pass(&self, installation: &Installation, work: &Work) -> Result<Work> {
        let now = self.now();
        let next = Work { due_at: now + LONGEST_WRITER, ..work.clone() };
        let entry = self.receipt(installation, work, What::SubjectErased).await?;
        let pass =
            [begun(installation, work, now), due::put(&second_pass_row(&next)), self.ledger_action(&entry)?];
        let marker = pass.len()..pass.len() + 1;
        let actions = pass.iter().cloned().chain(completion(work)).collect();
        let Err(canceled) = self.transact(actions).await? else { return Ok(next) };
        if canceled.any_failed(marker) {
            // The marker outlived its window: the request goes on without it.
            let actions = pass.into_iter().chain([completion_due(work)]).collect();
            if self.transact(actions).await?.is_ok() {
                return Ok(next);
            }
        }
        Err(StoreError::Contended("a request"))
    }

    async fn finish_second_pass(&self, installation: &Installation, work: &Work) -> Result<()> {
        let mut entry = self.receipt(installation, work, What::SubjectErasureVerified).await?;
        entry.verified =
            Some("every index of the person read again after the longest writer: nothing found".to_owned());
        let asked = self.asked(&installation.tenant, &work.record).await?;
        // Another one ended it: the receipt is written.
        let Some(asked) = asked.filter(|asked| asked.state == RightsState::InWork) else { return Ok(()) };
        let mut actions = asked.ended(&installation.tenant, self.now(), End::Done(None));
        actions.extend([Action::delete(second_pass_row(work).key()), self.ledger_action(&entry)?]);
        // A condition that fails says that the receipt was written before.
        let _done_before = self.transact(actions).await?;
        Ok(())
    }

    async fn receipt(&self, installation: &Installation, work: &Work, what: What) -> Result<Entry> {
        let mut entry = Entry::new(self.now(), &installation.tenant, what, work.record.to_string());
        if let Some(request) = self.request(installation, &work.record).await? {
            entry.counts = request.counts;
        }
        Ok(entry)
    }

    /// Every item of a partition, expired ones included.
    pub(crate) async fn all_of(&self, table: Table, partition: &str) -> Result<Vec<Stored>> {
        let mut query = Query::of(table, partition);
        query.limit = 1000;
        query.expired = Expired::Too;
        self.query_all(query).await
    }
}

impl RightsRequest {
    fn wanted(&self) -> Result<&Wanted> {
        self.wanted.as_ref().ok_or(StoreError::Corrupt("a request"))
    }
}

impl Wanted {
    pub(crate) fn identifiers(&self) -> Vec<Identifier> {
        let emails: Vec<&Personal<String>> = self.email.iter().collect();
        // Shopify writes a customer's phone number in E.164: it needs no country.
        let phones: Vec<_> = self.phone.iter().map(|phone| (phone, None)).collect();
        normalize::identifiers(&emails, &phones, self.customer.as_ref())
    }
}

fn read_request(
    installation: &Installation,
    reference: &RecordRef,
    stored: &Stored,
) -> Result<RightsRequest> {
    let count = |name: &str, of: &str| {
        let value = stored.optional_number(name).and_then(|count| u64::try_from(count).ok());
        (of.to_owned(), value.unwrap_or_default())
    };
    Ok(RightsRequest {
        reference: reference.clone(),
        kind: stored
            .optional_text("rights")
            .and_then(RightsKind::by_name)
            .ok_or(StoreError::Corrupt("a request's kind"))?,
        state: match stored.text("phase")? {
            "open" => RequestState::Open,
            "erased" => RequestState::Erased,
            // What is ready is no erasure, and for what is not proven nothing is to be done.
            "done" | "refused" | "ready" | "proving" => RequestState::Done,
            _ => return Err(StoreError::Corrupt("a request's state")),
        },
        received_at: stored.time("received_at")?,
        erased_at: stored.optional_number("erased_at").map(Timestamp),
        wanted: if stored.has_sealed() {
            Some(stored.unseal(Kind::Request, &installation.keys)?)
        } else {
            None
        },
        counts: BTreeMap::from([count("erased_orders", "order"), count("erased_cases", "case")]),
    })
}

fn second_pass_row(work: &Work) -> DueRow {
    DueRow::of(work, due::Action::SecondPass)
}

/// The first pass of a request is over.
fn begun(installation: &Installation, work: &Work, now: Timestamp) -> Action {
    let values = vec![(":next", text("erased")), (":now", number(now.millis()))];
    let expression = "SET phase = :next, erased_at = :now".to_owned();
    Action::Update {
        key: keyspace::record(&installation.tenant, &work.record),
        update: Change { expression, values },
        condition: Some(Condition::phase("open")),
    }
}

/// An order, if nobody changed it since it was read (its rows would be others, or its case would go on naming it), and
/// every index row it wrote. Its number is remembered, so that an update that names the person otherwise, or nobody,
/// does not bring it back.
fn deletions(installation: &Installation, request: &RightsRequest, record: &OrderRecord) -> Vec<Action> {
    let (tenant, keys) = (&installation.tenant, &installation.keys);
    let order = Action::Delete {
        key: keyspace::record(tenant, &record.reference),
        condition: Some(record.unchanged()),
    };
    let tombstone = tombstone(keyspace::order_tombstone(tenant, keys, *record.order.id.expose()), request);
    let rows = record.rows.iter().cloned().map(Action::delete);
    [order, Action::put(tombstone)].into_iter().chain(rows).collect()
}

/// That what `key` names was erased with a request.
fn tombstone(key: Key, request: &RightsRequest) -> Item {
    let item = Item::new(key).set("erased_at", number(request.received_at.millis()));
    item.expiring(request.received_at)
}
