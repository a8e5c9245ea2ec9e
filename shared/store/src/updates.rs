//! What Shopify tells of an order after it was placed: changes, cancellation, fulfilment, in any order and any number
//! of times. The latest telling counts, in the record, in its index rows and in its case, all in one transaction.

use storeward_core::data_map::Kind;
use storeward_core::order::Order;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::accept::{Delivery, OrderItems, RESEND_AFTER, Work};
use crate::cases::{Case, Standing};
use crate::due::{self, DueRow};
use crate::error::{Result, StoreError};
use crate::item::{Item, number, seal, text};
use crate::keyspace::{self, RecordRef};
use crate::orders::{LIMITED, OrderRecord, has_cart};
use crate::store::{Action, Change, Condition, Store, Unrecorded};
use crate::tenants::Installation;

/// What became of news of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The order was not stored and is now.
    Stored,
    /// The order is stored as told.
    Applied,
    /// It was told before.
    Known,
    /// Something later was told before.
    Stale,
    /// The order is not one that is kept.
    NotKept,
    /// It is about someone who was erased since the order was placed.
    RefusedErased,
    /// It is about someone whose data may not be used.
    RefusedLimited,
}

/// Who told, and what is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether the guard is on: with it off nothing new is stored and nothing is matched; what is stored stays right.
    pub enabled: bool,
    /// Whether it was asked for afterwards: a webhook tells a little more, so that the same telling by one stands.
    pub asked_for: bool,
}

/// News of an order, read against what is stored: what is to be written.
#[derive(Debug)]
pub enum Plan {
    /// Nothing.
    Nothing(News),
    /// This.
    Write(Box<Writing>),
}

/// What news of an order writes.
#[derive(Debug)]
pub struct Writing {
    news: News,
    work: Option<Work>,
    /// The delivery's marker first, where it is `marked`.
    actions: Vec<Action>,
    checks_from: usize,
    /// Where the last of the checks begin: that nobody limits the use of their data.
    limits_from: usize,
    /// Whose delivery it is and of which topic, where it leaves a marker.
    marked: Option<(Tenant, RecordRef, String)>,
}

impl Writing {
    /// What is to be sent when it is written: that the order is to be matched again.
    #[must_use]
    pub const fn work(&self) -> Option<&Work> {
        self.work.as_ref()
    }
}

/// What came of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It came to this.
    Done(News),
    /// The same delivery was written before; its work may be open.
    Repeated,
    /// The order, or its case, changed since it was read: to be planned again.
    Overtaken,
}

impl Store {
    /// Reads what is stored of an order, and plans what the news changes. An order that is not stored is taken in: its
    /// creation was lost, or comes later.
    pub async fn plan_news(
        &self,
        installation: &Installation,
        delivery: &Delivery,
        order: Order,
        told: Told,
    ) -> Result<Plan> {
        let reference = keyspace::order_ref(&installation.keys, *order.id.expose());
        match self.any_order(installation, &reference).await? {
            Some(record) if record.limited => {
                let marker = keyspace::delivery_ref(&installation.keys, &delivery.webhook_id);
                self.note_refused(&installation.tenant, &marker, &delivery.topic).await?;
                Ok(Plan::Nothing(News::RefusedLimited))
            }
            Some(record) => self.plan_known(installation, delivery, record, order, told).await,
            None if told.enabled => self.plan_unknown(installation, delivery, order),
            None => Ok(Plan::Nothing(News::NotKept)),
        }
    }

    fn plan_unknown(&self, installation: &Installation, delivery: &Delivery, order: Order) -> Result<Plan> {
        let end = installation.retention().end(Kind::Order, order.created_at.seconds());
        let over = end.is_some_and(|end| end <= self.now().seconds());
        if order.test || over {
            return Ok(Plan::Nothing(News::NotKept));
        }
        let work = order.counts();
        // A cancelled order leaves a trace, or its creation, coming later, would take it for one that stands.
        let mut items = self.order_items(installation, order, None);
        if !work {
            items.sealed.order = items.sealed.order.stripped();
        }
        let item = items.item.clone().sealed(&installation.keys, &items.sealed, &*self.entropy)?;
        let record = Action::Put { item, condition: Some(Condition::ABSENT) };
        let rows = std::mem::take(&mut items.rows).into_iter().map(Action::put);
        let actions = std::iter::once(record).chain(rows).collect();
        Ok(self.writing(installation, delivery, &items, News::Stored, work, actions))
    }

    async fn plan_known(
        &self,
        installation: &Installation,
        delivery: &Delivery,
        record: OrderRecord,
        mut order: Order,
        by: Told,
    ) -> Result<Plan> {
        let version = order.version();
        if version < record.updated_at {
            return Ok(Plan::Nothing(News::Stale));
        }
        if version == record.updated_at && by.asked_for {
            return Ok(Plan::Nothing(News::Known));
        }
        if version == record.updated_at {
            // Of two tellings of one second nobody knows which is later; but what is over stays over.
            order.cancelled_at = order.cancelled_at.or(record.order.cancelled_at);
            order.fulfilled |= record.standing == Standing::Fulfilled;
        }
        keep_rectified(&record, &mut order);
        let case = match &record.case {
            Some(case) => self.case(installation, case).await?,
            None => None,
        };
        let mut items = self.order_items(installation, order, record.rectified_at);
        items.sealed.contact_rectified_at = record.contact_rectified_at;
        if record.case.is_none() && items.standing == Standing::Cancelled {
            // Nobody's duplicate and in no case: there is nothing to keep it for. Its people are still found by it.
            items.sealed.order = items.sealed.order.stripped();
        }
        let (before, after) = (told(&record.order)?, told(&items.sealed.order)?);
        if before == after && items.standing == record.standing {
            return Ok(touch(installation, &record, items.updated_at));
        }
        let matter = |order: &Order| told(&Order { name: None, cancelled_at: None, ..order.clone() });
        let match_again = by.enabled
            && items.sealed.order.counts()
            && (!record.order.counts() || matter(&record.order)? != matter(&items.sealed.order)?);
        // The case may have nothing left to hold its other orders for: the job looks.
        let left_its_case = record.case.is_some()
            && items.standing == Standing::Cancelled
            && record.standing != Standing::Cancelled;
        let actions = self.rewrite(installation, &record, &items, case)?;
        Ok(self.writing(installation, delivery, &items, News::Applied, match_again || left_its_case, actions))
    }

    /// The actions that replace what is stored of an order, if nobody changed it or its case since they were read.
    pub(crate) fn rewrite(
        &self,
        installation: &Installation,
        record: &OrderRecord,
        items: &OrderItems,
        case: Option<Case>,
    ) -> Result<Vec<Action>> {
        let key = keyspace::record(&installation.tenant, &record.reference);
        let sealed = seal(&key, &installation.keys, &items.sealed, &*self.entropy)?;
        // Not the whole item: what others wrote to it stays, such as whether the merchant was told.
        let update = Change {
            expression:
                "SET sealed = :sealed, updated_at = :updated_at, standing = :standing, revision = :next"
                    .to_owned(),
            values: vec![
                (":sealed", sealed),
                (":updated_at", number(items.updated_at.max(record.updated_at).millis())),
                (":standing", text(items.standing.name())),
                (":next", number(record.revision + 1)),
            ],
        };
        let mut actions = vec![Action::Update { key, update, condition: Some(record.unchanged()) }];
        let mut leads_to = None;
        if let Some(mut case) = case
            && let Some(member) = case
                .members
                .iter_mut()
                .chain(&mut case.withheld)
                .find(|member| member.order == record.reference)
        {
            let before = member.clone();
            let subjects = items.rows.iter().map(|row| &row.key).filter(|key| key.kind == Kind::Subject);
            member.follow(installation, &items.sealed.order, items.standing, subjects);
            if *member != before {
                case.settle();
                actions.push(case.put(self, installation)?);
            }
            leads_to = Some((case.reference, case.opened_at, case.ends));
        }
        let written = items.rows.iter().cloned().map(|row| match &leads_to {
            // The case can outlive the order, and its person must be found in it.
            Some((case, opened_at, ends)) if row.key.kind == Kind::Subject => row
                .set("case_id", text(case.to_string()))
                .and_with(Kind::Case, *opened_at)
                .not_after(record.ends.max(*ends)),
            _ => row.not_after(record.ends),
        });
        // What may not be used stays so, however it is written.
        let written = written.map(|row| match row.key.kind {
            Kind::Match if record.limited => row.set(LIMITED, number(1)),
            _ => row,
        });
        // What an order holds of its cart stands in its matching rows alone: news that tell nothing of it leave them.
        let silent = |row: &Item| row.key.kind == Kind::Match && !has_cart(row);
        let written = written.filter(|row| !(silent(row) && record.rows.contains(&row.key)));
        actions.extend(written.map(Action::put));
        let left = record.rows.iter().filter(|old| items.rows.iter().all(|row| row.key != **old));
        actions.extend(left.cloned().map(Action::delete));
        Ok(actions)
    }

    /// A delivery's marker, the outbox row if there is work to follow, what is written, and the checks.
    fn writing(
        &self,
        installation: &Installation,
        delivery: &Delivery,
        items: &OrderItems,
        news: News,
        work_follows: bool,
        record: Vec<Action>,
    ) -> Plan {
        let (tenant, now) = (&installation.tenant, self.now());
        let marker = keyspace::delivery_ref(&installation.keys, &delivery.webhook_id);
        let named = marker.clone();
        let mut item = Item::new(keyspace::record(tenant, &marker))
            .set("topic", text(&delivery.topic))
            .set("phase", text("done"))
            .set("accepted_at", number(now.millis()))
            .expiring(now);
        let mut actions = Vec::new();
        let mut work = None;
        if work_follows {
            let (record, due_at) = (items.record.clone(), now + RESEND_AFTER);
            item = item.set("phase", text("open")).set("record_ref", text(record.to_string()));
            let open = Work { tenant: tenant.clone(), record, delivery: marker, due_at, stored: true };
            actions.push(due::put(&DueRow::of(&open, due::Action::Resend)));
            work = Some(open);
        }
        actions.insert(0, Action::Put { item, condition: Some(Condition::ABSENT) });
        actions.extend(record);
        let checks_from = actions.len();
        actions.extend(items.checks.iter().cloned());
        let limits_from = actions.len();
        actions.extend(items.limits.iter().cloned());
        let leaves = Some((tenant.clone(), named, delivery.topic.clone()));
        Plan::Write(Box::new(Writing { news, work, actions, checks_from, limits_from, marked: leaves }))
    }

    /// Writes what was planned: all of it or nothing.
    pub async fn write_news(&self, writing: Writing) -> Result<Written> {
        let checks = writing.checks_from..writing.limits_from;
        let limits = writing.limits_from..writing.actions.len();
        Ok(match self.transact_unrecorded(Unrecorded::Delivery, writing.actions).await? {
            Ok(()) => Written::Done(writing.news),
            Err(canceled) if canceled.any_failed(checks) => Written::Done(News::RefusedErased),
            Err(canceled) if canceled.any_failed(limits) => {
                if let Some((tenant, marker, topic)) = &writing.marked {
                    self.note_refused(tenant, marker, topic).await?;
                }
                Written::Done(News::RefusedLimited)
            }
            Err(canceled) if writing.marked.is_some() && canceled.any_failed(0..1) => Written::Repeated,
            Err(_) => Written::Overtaken,
        })
    }

    /// The work of a delivery that was written before and is not done: its message may have been lost.
    pub async fn open_work(&self, installation: &Installation, delivery: &Delivery) -> Result<Option<Work>> {
        let tenant = &installation.tenant;
        let marker = keyspace::delivery_ref(&installation.keys, &delivery.webhook_id);
        let Some(stored) = self.get(&keyspace::record(tenant, &marker)).await? else { return Ok(None) };
        let Some(record) = stored.optional_text("record_ref") else { return Ok(None) };
        let record = record.parse().map_err(|_| StoreError::Corrupt("a delivery"))?;
        let due_at = stored.time("accepted_at")? + RESEND_AFTER;
        Ok(Some(Work { tenant: tenant.clone(), record, delivery: marker, due_at, stored: true }))
    }
}

/// The same was told again, or something that is not kept changed: only how recent it is.
fn touch(installation: &Installation, record: &OrderRecord, version: Timestamp) -> Plan {
    if version <= record.updated_at {
        return Plan::Nothing(News::Known);
    }
    let condition = Condition {
        expression: "revision = :revision AND updated_at = :before",
        values: vec![(":revision", number(record.revision)), (":before", number(record.updated_at.millis()))],
    };
    let update = Change {
        // Counted, so that older news which was planned on what was read before does not overwrite what is newer.
        expression: "SET updated_at = :updated_at, revision = :next".to_owned(),
        values: vec![(":updated_at", number(version.millis())), (":next", number(record.revision + 1))],
    };
    let key = keyspace::record(&installation.tenant, &record.reference);
    let actions = vec![Action::Update { key, update, condition: Some(condition) }];
    Plan::Write(Box::new(Writing {
        news: News::Known,
        work: None,
        actions,
        checks_from: 1,
        limits_from: 1,
        marked: None,
    }))
}

/// An order as it is sealed, without the time that every change moves.
fn told(order: &Order) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let order = Order { updated_at: None, ..order.clone() };
    let json = serde_json::to_vec(&order).map_err(|_| StoreError::Corrupt("an order"))?;
    Ok(zeroize::Zeroizing::new(json))
}

/// What was told of an order before it, or its customer's account, was rectified does not undo that.
fn keep_rectified(record: &OrderRecord, order: &mut Order) {
    if record.contact_rectified_at.is_some_and(|at| order.version() < at) {
        let kept = &record.order;
        order.email.clone_from(&kept.email);
        order.contact_email.clone_from(&kept.contact_email);
        order.phone.clone_from(&kept.phone);
        for (told, kept) in [
            (&mut order.shipping_address, &kept.shipping_address),
            (&mut order.billing_address, &kept.billing_address),
        ] {
            if let (Some(told), Some(kept)) = (told, kept) {
                told.phone.clone_from(&kept.phone);
            }
        }
    }
    if record.rectified_at.is_none_or(|at| order.version() >= at) {
        return;
    }
    if let (Some(told), Some(kept)) = (&mut order.customer, &record.order.customer)
        && told.id == kept.id
    {
        told.email.clone_from(&kept.email);
        told.phone.clone_from(&kept.phone);
    }
}
