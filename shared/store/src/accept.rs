//! Accepting a webhook: one transaction writes the delivery marker, the record with its index rows, and the
//! due row that makes the marker an outbox; tombstones are checked in it. Sending the reference is the host's.

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Purpose};
use storeward_core::matching::{self, Features};
use storeward_core::normalize::{self, Identifier};
use storeward_core::order::Order;
use storeward_core::rights::{OpenedBy, RightsKind, RightsState};
use storeward_core::shop::Tenant;
use storeward_core::time::{HOUR, MINUTE, Timestamp};
use storeward_core::webhook::CustomersRedact;

use crate::cases::Standing;
use crate::due::{self, DueRow};
use crate::erasure::Wanted;
use crate::error::Result;
use crate::item::{Item, number, text};
use crate::keyspace::{self, RecordRef};
use crate::limits;
use crate::orders::{SealedOrder, sign_cart, with_cart};
use crate::purge;
use crate::store::{Action, Change, Condition, Store, Unrecorded};
use crate::tenants::Installation;

/// How long a delivery may stay open before a sweep sends its work again.
pub(crate) const RESEND_AFTER: std::time::Duration = HOUR;

/// Which delivery of which webhook, as the caller names it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// `X-Shopify-Webhook-Id`: unique for each delivery, and the same for its repetitions.
    pub webhook_id: String,
    /// `X-Shopify-Topic`.
    pub topic: String,
}

/// What goes to the queue: references, and nothing about a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// For which installation.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// The record to work on.
    pub record: RecordRef,
    /// The delivery that is done when the work is.
    pub delivery: RecordRef,
    /// Where the due row stands that ends with it.
    pub due_at: Timestamp,
    /// Whether it was read from a due row: those are written with the record, so the record was there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stored: bool,
}

/// What is asked of `match-order`: the work of a delivery, or another look at an order that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Task {
    /// The order was delivered: with the work, its delivery is done.
    Delivered(Work),
    /// The merchant asked for another look. Nothing waits for it to be done.
    Again(Recheck),
}

/// Another look at an order that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recheck {
    /// For which installation.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// The order.
    pub record: RecordRef,
}

impl Task {
    /// For which installation.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        match self {
            Self::Delivered(work) => &work.tenant,
            Self::Again(recheck) => &recheck.tenant,
        }
    }

    /// The order.
    #[must_use]
    pub const fn record(&self) -> &RecordRef {
        match self {
            Self::Delivered(work) => &work.record,
            Self::Again(recheck) => &recheck.record,
        }
    }
}

/// How long a job waits for a record whose reference it has: writing and sending run side by side, so the
/// reference can be faster, but no function writes for longer than this after its webhook was answered.
const UNCOMMITTED_AFTER: std::time::Duration = MINUTE;

impl Work {
    /// Whether a record that is missing now can still be about to be written.
    #[must_use]
    pub fn may_still_be_written(&self, now: Timestamp) -> bool {
        !self.stored && now < self.due_at - RESEND_AFTER + UNCOMMITTED_AFTER
    }
}

/// A webhook about to be accepted: its work is known before anything is written, so that writing and sending can
/// run side by side.
#[derive(Debug)]
pub struct Acceptance {
    work: Work,
    actions: Vec<Action>,
    checks_from: usize,
    /// Where the last of the checks begin: that nobody it names limits the use of their data.
    limits_from: usize,
    topic: String,
}

impl Acceptance {
    /// What is to be sent.
    #[must_use]
    pub const fn work(&self) -> &Work {
        &self.work
    }

    /// Without work: nothing follows it yet, and its delivery is done as soon as it is written.
    pub(crate) fn idle(mut self) -> Self {
        if let Some(Action::Put { item, .. }) = self.actions.first_mut() {
            item.attributes.remove("record_ref");
            item.attributes.insert("phase".to_owned(), text("done"));
        }
        let resend = completion_due(&self.work);
        let row = |action: &Action| matches!((action, &resend), (Action::Put { item, .. }, Action::Delete { key, .. }) if item.key == *key);
        let before = self.actions.len();
        self.actions.retain(|action| !row(action));
        self.checks_from -= before - self.actions.len();
        self
    }

    /// With the checks that nobody it names limits the use of their data.
    pub(crate) fn under(mut self, limits: Vec<Action>) -> Self {
        self.actions.extend(limits);
        self
    }
}

/// What became of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was new and is stored.
    Accepted,
    /// It, or its record, was stored before.
    Duplicate,
    /// It tells of someone who was erased since, or of a shop that was: nothing was stored.
    RefusedErased,
    /// It tells of someone whose data may not be used: nothing was stored.
    RefusedLimited,
}

/// An order on its way into the store.
pub(crate) struct OrderItems {
    pub(crate) record: RecordRef,
    pub(crate) sealed: SealedOrder,
    /// The record as it is when it is new, without its sealed half.
    pub(crate) item: Item,
    /// Its matching and subject rows.
    pub(crate) rows: Vec<Item>,
    /// That nobody it names was erased.
    pub(crate) checks: Vec<Action>,
    /// That nobody it names limits the use of their data.
    pub(crate) limits: Vec<Action>,
    pub(crate) updated_at: Timestamp,
    pub(crate) standing: Standing,
}

impl Store {
    /// Prepares the acceptance of an order.
    pub fn accept_order(
        &self,
        installation: &Installation,
        delivery: &Delivery,
        order: Order,
    ) -> Result<Acceptance> {
        let written = self.order_items(installation, order, None);
        let OrderItems { record, sealed, item, rows, checks, limits, .. } = written;
        let item = item.sealed(&installation.keys, &sealed, &*self.entropy)?;
        let index = rows.into_iter().map(Action::put).collect();
        Ok(self.acceptance(installation, delivery, record, item, index, checks).under(limits))
    }

    /// An order as it is written, new or again. What does not count, or is too old to be anyone's duplicate, is not
    /// found by matching; its people are found.
    pub(crate) fn order_items(
        &self,
        installation: &Installation,
        order: Order,
        rectified_at: Option<Timestamp>,
    ) -> OrderItems {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let record = keyspace::order_ref(keys, *order.id.expose());
        let identifiers = normalize::order_identifiers(&order);
        let now = self.now();
        // A creation time in the future would stretch the window: the clock's word counts then.
        let from = order.created_at.min(now);
        let mut rows: Vec<Item> = Vec::new();
        let matched_until = installation.retention().end(Kind::Match, from.seconds());
        if order.counts() && matched_until.is_some_and(|end| now.seconds() < end) {
            let cart = sign_cart(keys, &matching::cart_terms(&order));
            for key in Features::of(&order).keys() {
                let partition = keyspace::match_partition(tenant, keys, key);
                let row = keyspace::match_row(partition, order.created_at, &record);
                rows.push(with_cart(Item::new(row).expiring(from), keys, &cart));
            }
        }
        for identifier in &identifiers {
            let row = keyspace::subject_row(keyspace::subject_partition(tenant, keys, identifier), &record);
            rows.push(Item::new(row).expiring_with(Kind::Order, from));
        }
        let checks = Self::tombstone_checks(installation, &identifiers, &order);
        let limits = limits::checks(tenant, rows.iter().map(|row| &row.key));
        let (updated_at, standing) = (order.version(), Standing::told_by(&order));
        let item = Item::new(keyspace::record(tenant, &record))
            .set("created_at", number(order.created_at.millis()))
            .set("updated_at", number(updated_at.millis()))
            .set("revision", number(1))
            .set("standing", text(standing.name()))
            .expiring(from);
        let mut sealed = SealedOrder::new(tenant, order, rows.iter().map(|row| &row.key));
        sealed.rectified_at = rectified_at;
        OrderItems { record, sealed, item, rows, checks, limits, updated_at, standing }
    }

    /// Prepares the acceptance of a request to erase a person.
    pub fn accept_redaction(
        &self,
        installation: &Installation,
        delivery: &Delivery,
        request: CustomersRedact,
    ) -> Result<Acceptance> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let id = keys.blind(Purpose::Rights, "request", &delivery.webhook_id);
        let record = RecordRef::new(Kind::Request, id);
        let received = RightsState::Received;
        let opened = self.opened(tenant, &record, RightsKind::Erasure, OpenedBy::Webhook, received)?;
        let item = opened.item.sealed(keys, &Wanted::from(request), &*self.entropy)?;
        // Requests are taken until the purge, and one that meets it must not be written behind its back.
        let checks = vec![purge::not_begun(tenant)];
        Ok(self.acceptance(installation, delivery, record, item, opened.more, checks))
    }

    pub(crate) fn acceptance(
        &self,
        installation: &Installation,
        delivery: &Delivery,
        record: RecordRef,
        item: Item,
        index: Vec<Action>,
        checks: Vec<Action>,
    ) -> Acceptance {
        let tenant = &installation.tenant;
        let now = self.now();
        let marker = keyspace::delivery_ref(&installation.keys, &delivery.webhook_id);
        let due_at = now + RESEND_AFTER;
        let work = Work { tenant: tenant.clone(), record, delivery: marker, due_at, stored: false };
        let marker = Item::new(keyspace::record(tenant, &work.delivery))
            .set("topic", text(&delivery.topic))
            .set("phase", text("open"))
            .set("record_ref", text(work.record.to_string()))
            .set("accepted_at", number(now.millis()))
            .expiring(now);
        let due = DueRow::of(&work, due::Action::Resend);
        let mut actions = vec![
            Action::Put { item: marker, condition: Some(Condition::ABSENT) },
            Action::Put { item, condition: Some(Condition::ABSENT) },
            due::put(&due),
        ];
        actions.extend(index);
        let checks_from = actions.len();
        actions.extend(checks);
        let limits_from = actions.len();
        Acceptance { work, actions, checks_from, limits_from, topic: delivery.topic.clone() }
    }

    /// Whoever was erased after the order was placed does not come back with it.
    fn tombstone_checks(
        installation: &Installation,
        identifiers: &[Identifier],
        order: &Order,
    ) -> Vec<Action> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let placed_later = || Condition {
            expression: "attribute_not_exists(pk) OR erased_at < :created_at",
            values: vec![(":created_at", number(order.created_at.millis()))],
        };
        identifiers
            .iter()
            .map(|identifier| keyspace::subject_tombstone(tenant, keys, identifier))
            .map(|key| Action::Check { key, condition: placed_later() })
            .chain([Action::Check {
                key: keyspace::order_tombstone(tenant, keys, *order.id.expose()),
                condition: Condition::ABSENT,
            }])
            .collect()
    }

    /// Writes an acceptance: all of it or nothing.
    pub async fn commit(&self, acceptance: Acceptance) -> Result<Outcome> {
        let checks = acceptance.checks_from..acceptance.limits_from;
        let limits = acceptance.limits_from..acceptance.actions.len();
        match self.transact_unrecorded(Unrecorded::Delivery, acceptance.actions).await? {
            Ok(()) => Ok(Outcome::Accepted),
            Err(canceled) if canceled.any_failed(checks) => Ok(Outcome::RefusedErased),
            Err(canceled) if canceled.any_failed(limits) => {
                self.note_refused(&acceptance.work.tenant, &acceptance.work.delivery, &acceptance.topic)
                    .await?;
                Ok(Outcome::RefusedLimited)
            }
            // The marker, the record or its request was there.
            Err(_) => Ok(Outcome::Duplicate),
        }
    }

    /// Ends a delivery: what it led to is done. The marker forgets the record, so that nothing links the two any
    /// more, and stays to recognise repetitions.
    pub async fn complete(&self, work: &Work) -> Result<()> {
        if self.transact_unrecorded(Unrecorded::Bookkeeping, completion(work).to_vec()).await?.is_err() {
            // The marker outlived its window, and what it was for took longer: the due row must not come again.
            self.write(Unrecorded::Bookkeeping, vec![completion_due(work)]).await?;
        }
        Ok(())
    }
}

/// Ends the due row of a delivery.
pub(crate) fn completion_due(work: &Work) -> Action {
    Action::delete(DueRow::of(work, due::Action::Resend).key())
}

/// The actions that end a delivery. Where the marker is gone already, nothing happens.
pub(crate) fn completion(work: &Work) -> [Action; 2] {
    [
        Action::Update {
            key: keyspace::record(&work.tenant, &work.delivery),
            update: Change {
                expression: "SET phase = :done REMOVE record_ref".to_owned(),
                values: vec![(":done", text("done"))],
            },
            condition: Some(Condition::PRESENT),
        },
        completion_due(work),
    ]
}
