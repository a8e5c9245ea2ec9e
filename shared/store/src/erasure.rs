//! Erasing a person: tombstones first, then everything that is found under any of the person's identifiers (`erasing`),
//! then a second pass when no writer from before can still be running, and a receipt.
//! A step that was interrupted is done again from the start; what is gone already is not counted twice.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Erasure, Kind, LONGEST_WRITER, Table};
use storeward_core::normalize::{self, Identifier};
use storeward_core::personal::Personal;
use storeward_core::receipt::{Check, Erased, How, Receipt};
use storeward_core::rights::{Person, RightsKind, RightsState};
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;
use storeward_core::webhook::{CustomersRedact, RedactedCustomer};

use crate::accept::{Work, completion, completion_due};
use crate::due::{self, DueRow};
use crate::erasing::Target;
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::purge;
use crate::requests::End;
use crate::restoring;
use crate::store::{Action, Change, Condition, Expired, Query, Range, Store, TRANSACTION_ITEMS, Unrecorded};
use crate::tenants::Installation;

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

/// How much was deleted or anonymised, by kind, and the actions that take these figures over into a receipt.
pub(crate) struct Settled {
    counted: [u64; COUNTED_KINDS.len()],
    pub(crate) actions: Vec<Action>,
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

    /// Carries a request one pass further and says what comes next. `None` when there is no such request. `time_left` is
    /// asked between pages; when it says no, the same work is to be sent again at once.
    pub async fn erase_subject(
        &self,
        installation: &Installation,
        work: &Work,
        time_left: &(dyn Fn() -> bool + Sync),
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
                // A limit that was entered while the first pass ran outlasts the person, too.
                self.forget_limited(installation, &request.wanted()?.identifiers()).await?;
                let target = request.target(installation)?;
                if !self.erase(installation, &target, time_left).await? {
                    return Ok(Some(SecondPass::After(Duration::ZERO, work.clone())));
                }
                self.finish_second_pass(installation, work, &target).await?;
                Ok(Some(SecondPass::Done))
            }
            (RequestState::Open, _) => {
                self.entomb(installation, &request).await?;
                self.forget_limited(installation, &request.wanted()?.identifiers()).await?;
                let target = request.target(installation)?;
                if !self.erase(installation, &target, time_left).await? {
                    return Ok(Some(SecondPass::After(Duration::ZERO, work.clone())));
                }
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
        // Whoever reads the shop without what is erased from here on reads an older state of it.
        let begun = restoring::to_repeat(tenant).into_iter().collect();
        if self.transact_unrecorded(Unrecorded::Step, begun).await?.is_err() {
            return Err(StoreError::Contended("an installation"));
        }
        for identifier in wanted.identifiers() {
            let leads_to = keyspace::subject_partition(tenant, keys, &identifier);
            let key = keyspace::subject_tombstone(tenant, keys, &identifier);
            let put = Action::Put {
                item: tombstone(key, &leads_to, request.received_at),
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
        let orders: BTreeMap<Key, RecordRef> = wanted
            .orders
            .iter()
            .map(|id| *id.expose())
            .map(|id| (keyspace::order_tombstone(tenant, keys, id), keyspace::order_ref(keys, id)))
            .collect();
        let puts: Vec<Action> = orders
            .into_iter()
            .map(|(key, order)| Action::put(tombstone(key, &order.to_string(), request.received_at)))
            .collect();
        for chunk in puts.chunks(TRANSACTION_ITEMS - 1) {
            let actions = chunk.iter().cloned().chain([not_purged()]).collect();
            if self.transact_unrecorded(Unrecorded::Step, actions).await?.is_err() {
                return Err(StoreError::Contended("an installation"));
            }
        }
        Ok(())
    }

    /// What an erasure counted since it was last asked, and the actions by which its figures are taken over once.
    pub(crate) async fn settled(&self, tenant: &Tenant, name: &str) -> Result<Settled> {
        let partition = keyspace::progress_partition(tenant);
        let mut query = Query::of(Table::Data, &partition);
        query.range = Range::Prefix(format!("{name}#"));
        let mut settled = Settled { counted: Default::default(), actions: Vec::new() };
        for row in self.query_all(query).await? {
            let mut values = Vec::new();
            for (sum, (_, name, value)) in settled.counted.iter_mut().zip(COUNTED_KINDS) {
                let count = row.optional_number(name).unwrap_or_default();
                *sum += u64::try_from(count).unwrap_or_default();
                values.push((value, number(count)));
            }
            let key = row.key(Kind::Progress)?;
            let condition = Condition { expression: AS_COUNTED, values };
            settled.actions.push(Action::Delete { key, condition: Some(condition) });
        }
        Ok(settled)
    }

    async fn finish_first_pass(&self, installation: &Installation, work: &Work) -> Result<Work> {
        let (tenant, now) = (&installation.tenant, self.now());
        let next = Work { due_at: now + LONGEST_WRITER, ..work.clone() };
        let settled = self.settled(tenant, &work.record.to_string()).await?;
        let mut entry = Entry::new(now, tenant, What::SubjectErased, work.record.to_string());
        entry.counts = self.counts(installation, work, &settled).await?;
        let change = format!("SET phase = :next, erased_at = :now {COUNTED}");
        let mut values = settled.values();
        values.push((":now", number(now.millis())));
        let mut pass = vec![
            advance(installation, work, "open", change, "erased", values),
            due::put(&second_pass_row(&next)),
            self.ledger_action(&entry)?,
        ];
        pass.extend(restoring::to_repeat(tenant));
        pass.extend(settled.actions);
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

    async fn finish_second_pass(
        &self,
        installation: &Installation,
        work: &Work,
        target: &Target,
    ) -> Result<()> {
        let (tenant, now) = (&installation.tenant, self.now());
        let settled = self.settled(tenant, &work.record.to_string()).await?;
        let counts = self.counts(installation, work, &settled).await?;
        let receipt = Receipt::new(
            Erased::Person,
            work.record.to_string(),
            Some(target.received_at),
            now,
            counts,
            checks(target),
        );
        let mut entry = Entry::new(now, tenant, What::SubjectErasureVerified, work.record.to_string());
        entry.attest(receipt);
        let asked = self.asked(tenant, &work.record).await?;
        // Another one ended it: the receipt is written.
        let Some(asked) = asked.filter(|asked| asked.state == RightsState::InWork) else { return Ok(()) };
        let mut actions = asked.ended(tenant, now, End::Done(None));
        if let Some(Action::Update { update, .. }) = actions.first_mut() {
            update.expression.extend([" ", COUNTED]);
            update.values.extend(settled.values());
        }
        actions.extend([Action::delete(second_pass_row(work).key()), self.ledger_action(&entry)?]);
        actions.extend(restoring::to_repeat(tenant));
        actions.extend(settled.actions);
        let Err(canceled) = self.transact(actions).await? else { return Ok(()) };
        if canceled.any_failed(0..1) {
            // The receipt was written before.
            return Ok(());
        }
        Err(StoreError::Contended("a request"))
    }

    /// What a request erased in all: by earlier passes, and since.
    async fn counts(
        &self,
        installation: &Installation,
        work: &Work,
        settled: &Settled,
    ) -> Result<BTreeMap<String, u64>> {
        let request = self.request(installation, &work.record).await?;
        let mut counts = request.map(|request| request.counts).unwrap_or_default();
        for (kind, count) in settled.counts() {
            *counts.entry(kind).or_default() += count;
        }
        Ok(counts)
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

    fn target(&self, installation: &Installation) -> Result<Target> {
        let (tenant, keys, wanted) = (&installation.tenant, &installation.keys, self.wanted()?);
        let identifiers = wanted.identifiers();
        let partitions = identifiers.iter().map(|of| keyspace::subject_partition(tenant, keys, of));
        let named = wanted.orders.iter().map(|id| keyspace::order_ref(keys, *id.expose()));
        Ok(Target {
            name: self.reference.to_string(),
            received_at: self.received_at,
            partitions: partitions.collect(),
            named: named.collect(),
        })
    }
}

/// What an erasure counts: the kind, the attribute it stands under in a progress row and in the request, and the value's
/// name in an expression.
const COUNTED_KINDS: [(Kind, &str, &str); 5] = [
    (Kind::Order, "erased_orders", ":orders"),
    (Kind::Case, "erased_cases", ":cases"),
    (Kind::Thread, "erased_threads", ":threads"),
    (Kind::Mail, "erased_mails", ":mails"),
    (Kind::Draft, "erased_drafts", ":drafts"),
];

/// Takes the figures of an erasure over into its request.
const COUNTED: &str = "ADD erased_orders :orders, erased_cases :cases, erased_threads :threads, erased_mails :mails, \
                       erased_drafts :drafts";

/// That a progress row says what was read. One that was begun before mails were stored does not count them.
const AS_COUNTED: &str = "erased_orders = :orders AND erased_cases = :cases \
    AND (attribute_not_exists(erased_threads) OR erased_threads = :threads) \
    AND (attribute_not_exists(erased_mails) OR erased_mails = :mails) \
    AND (attribute_not_exists(erased_drafts) OR erased_drafts = :drafts)";

/// The values of [`COUNTED`].
fn counted(counts: [u64; COUNTED_KINDS.len()]) -> Vec<(&'static str, AttributeValue)> {
    let count = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
    COUNTED_KINDS.iter().zip(counts).map(|((_, _, value), of)| (*value, count(of))).collect()
}

/// What a request has counted so far, by kind.
pub(crate) fn counts_of(stored: &Stored) -> impl Iterator<Item = (String, u64)> + '_ {
    COUNTED_KINDS.into_iter().filter_map(|(kind, name, _)| {
        let count = u64::try_from(stored.optional_number(name)?).ok()?;
        Some((kind.name().to_owned(), count))
    })
}

impl Settled {
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let counts = COUNTED_KINDS.iter().zip(self.counted);
        counts.map(|((kind, ..), count)| (kind.name().to_owned(), count)).collect()
    }

    fn values(&self) -> Vec<(&'static str, AttributeValue)> {
        counted(self.counted)
    }
}

/// How an erasure that found nothing more was checked: the rows that lead to the person were read again, and whatever
/// they can lead to went before them.
fn checks(target: &Target) -> Vec<Check> {
    let check = |kind: Kind| match kind.row().erasure {
        _ if kind == Kind::Subject => Check::new(kind, How::ReadAgain, target.partitions.len() as u64, 0),
        Erasure::Delete | Erasure::Anonymise => Check::new(kind, How::NothingLeadsToIt, 0, 0),
        Erasure::Keep => Check::new(kind, How::Stays, 0, 0),
    };
    Kind::ALL.into_iter().map(check).collect()
}

/// Counts in the transaction that erases, so that the receipt's figures are exact; in a row for each bucket, and there in
/// one for cases and one for what goes after them: these are erased side by side, and do not wait for each other.
pub(crate) fn count(tenant: &Tenant, target: &Target, bucket: u8, erased: &[(Kind, u64)]) -> Action {
    let of = |(kind, ..): (Kind, &str, &str)| {
        erased.iter().filter(|(erased, _)| *erased == kind).map(|(_, count)| count).sum()
    };
    let mut values = counted(COUNTED_KINDS.map(of));
    values.push((":kind", text(Kind::Progress.name())));
    let cases = erased.iter().all(|(kind, _)| *kind == Kind::Case);
    let name = if cases { format!("{}#case", target.name) } else { target.name.clone() };
    Action::Update {
        key: keyspace::progress(tenant, &name, bucket),
        update: Change { expression: format!("SET kind = :kind {COUNTED}"), values },
        condition: None,
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
        counts: counts_of(stored).collect(),
    })
}

fn second_pass_row(work: &Work) -> DueRow {
    DueRow::of(work, due::Action::SecondPass)
}

/// Moves a request from one state to the next.
fn advance(
    installation: &Installation,
    work: &Work,
    from: &str,
    expression: String,
    to: &str,
    mut values: Vec<(&'static str, AttributeValue)>,
) -> Action {
    values.push((":next", text(to)));
    Action::Update {
        key: keyspace::record(&installation.tenant, &work.record),
        update: Change { expression, values },
        condition: Some(Condition::phase(from)),
    }
}

/// That what `key` names was erased, and what led to it: a restored backup is erased from by that.
pub(crate) fn tombstone(key: Key, leads_to: &str, erased_at: Timestamp) -> Item {
    Item::new(key)
        .set("erased_at", number(erased_at.millis()))
        .set(restoring::LEADS_TO, text(leads_to))
        .expiring(erased_at)
}
