//! Rectifying a customer's account in every order that names it. What was written at checkout (the order's own e-mail,
//! phone and addresses) is the order's, and Shopify tells of its correction by the order's own update.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Purpose, Table};
use storeward_core::normalize::{self, Identifier};
use storeward_core::order::Order;
use storeward_core::personal::Personal;
use storeward_core::rights::Corrections;
use storeward_core::time::Timestamp;
use storeward_core::webhook::CustomersUpdate;

use crate::accept::{Acceptance, Delivery, Work};
use crate::erasure::Wanted;
use crate::error::{Result, StoreError};
use crate::item::{Item, number, text};
use crate::keyspace::{self, RecordRef};
use crate::ledger::{Entry, What};
use crate::limits;
use crate::orders::{OrderRecord, shorten};
use crate::purge;
use crate::requests::{self, End, SealedAsking};
use crate::store::{Action, Change, Condition, Query, Store, Unrecorded};
use crate::tenants::Installation;

/// How often one order is tried while others change it.
const ATTEMPTS: usize = 6;

/// A customer's account as it is now, or what a person says is right: sealed, and gone when every order says so.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SealedRectification {
    /// The account; none for what was asked for.
    id: Option<Personal<u64>>,
    email: Option<Personal<String>>,
    phone: Option<Personal<String>>,
    updated_at: i64,
    pub(crate) rows: Vec<(String, String)>,
    /// Whose orders are to say it, where it was asked for. The request has the same id.
    #[serde(default)]
    asked: Option<Wanted>,
}

/// How far a rectification came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rectified {
    /// There is no such rectification.
    Unknown,
    /// Time ran out first: the same work goes on from here.
    Unfinished,
    /// Every order names the account as it is.
    Done,
}

impl Store {
    /// Whether any record names a customer's account: else there is nothing to rectify.
    pub async fn knows_customer(&self, installation: &Installation, id: &Personal<u64>) -> Result<bool> {
        let partition = customer_partition(installation, id);
        let mut query = Query::of(Table::Data, &partition);
        query.limit = 1;
        Ok(!self.query(query).await?.0.is_empty())
    }

    /// Prepares the acceptance of a customer's account as it is now.
    pub fn accept_rectification(
        &self,
        installation: &Installation,
        delivery: &Delivery,
        account: CustomersUpdate,
    ) -> Result<Acceptance> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let id = keys.blind(Purpose::Rights, "rectification", &delivery.webhook_id);
        let record = RecordRef::new(Kind::Rectification, id);
        let now = self.now();
        let emails: Vec<&Personal<String>> = account.email.iter().collect();
        let phones: Vec<_> = account.phone.iter().map(|phone| (phone, None)).collect();
        let identifiers = normalize::identifiers(&emails, &phones, Some(&account.id));
        let rows = Self::rows_to(installation, &record, now, &identifiers);
        let sealed = SealedRectification {
            id: Some(account.id),
            email: account.email,
            phone: account.phone,
            updated_at: account.updated_at.millis(),
            rows: rows.iter().map(|row| shorten(tenant, &row.key)).collect(),
            asked: None,
        };
        let item = self.sealed_rectification(installation, &record, now, &sealed)?;
        // Whoever was erased since does not come back as an account.
        let mut checks = vec![purge::not_begun(tenant)];
        checks.extend(identifiers.iter().map(|identifier| Action::Check {
            key: keyspace::subject_tombstone(tenant, keys, identifier),
            condition: Condition {
                expression: "attribute_not_exists(pk) OR erased_at < :updated_at",
                values: vec![(":updated_at", number(account.updated_at.millis()))],
            },
        }));
        let limits = limits::checks(tenant, rows.iter().map(|row| &row.key));
        let index = rows.into_iter().map(Action::put).collect();
        Ok(self.acceptance(installation, delivery, record, item, index, checks).under(limits))
    }

    fn sealed_rectification(
        &self,
        installation: &Installation,
        record: &RecordRef,
        now: Timestamp,
        sealed: &SealedRectification,
    ) -> Result<Item> {
        Item::new(keyspace::record(&installation.tenant, record))
            .set("phase", text("open"))
            .set("received_at", number(now.millis()))
            .expiring(now)
            .sealed(&installation.keys, sealed, &*self.entropy)
    }

    /// A rectification that was asked for, as it is written first, and the rows that lead to it: under what is right too,
    /// or an erasure under that name would not find it.
    pub(crate) fn rectification_item(
        &self,
        installation: &Installation,
        record: &RecordRef,
        now: Timestamp,
        asking: &SealedAsking,
    ) -> Result<(Item, Vec<Action>)> {
        let Corrections { email, phone } = asking.corrections.clone();
        let right = Wanted::of(None, email.clone(), phone.clone());
        let mut identifiers = asking.wanted.identifiers();
        identifiers.extend(right.identifiers());
        identifiers.sort();
        identifiers.dedup();
        let rows = Self::rows_to(installation, record, now, &identifiers);
        let sealed = SealedRectification {
            id: None,
            email,
            phone,
            updated_at: now.millis(),
            rows: rows.iter().map(|row| shorten(&installation.tenant, &row.key)).collect(),
            asked: Some(asking.wanted.clone()),
        };
        let item = self.sealed_rectification(installation, record, now, &sealed)?;
        Ok((item, rows.into_iter().map(Action::put).collect()))
    }

    /// Rectifies one order after the other, while `time_left`. An order that was told later than the account names it as
    /// it was then, which is later too: it stays.
    pub async fn rectify(
        &self,
        installation: &Installation,
        work: &Work,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<Rectified> {
        let tenant = &installation.tenant;
        let key = keyspace::record(tenant, &work.record);
        let Some(stored) = self.get(&key).await? else { return Ok(Rectified::Unknown) };
        if stored.text("phase")? != "open" {
            self.complete(work).await?;
            return Ok(Rectified::Done);
        }
        let account: SealedRectification = stored.unseal(Kind::Rectification, &installation.keys)?;
        let partitions: Vec<String> = match (&account.asked, &account.id) {
            (Some(asked), _) => {
                let partition =
                    |identifier| keyspace::subject_partition(tenant, &installation.keys, identifier);
                asked.identifiers().iter().map(partition).collect()
            }
            (None, Some(id)) => vec![customer_partition(installation, id)],
            (None, None) => return Err(StoreError::Corrupt("a rectification")),
        };
        let mut orders = BTreeSet::new();
        for partition in &partitions {
            for row in self.query_all(Query::of(Table::Data, partition)).await? {
                let reference: RecordRef =
                    row.text("sk")?.parse().map_err(|_| StoreError::Corrupt("a subject row"))?;
                if reference.kind() == Kind::Order {
                    orders.insert(reference);
                }
            }
        }
        for reference in orders {
            if !time_left() {
                return Ok(Rectified::Unfinished);
            }
            self.rectify_order(installation, work, &reference, &account).await?;
        }
        let rectified = self.get(&key).await?.and_then(|stored| stored.optional_number("rectified"));
        let mut entry = Entry::new(self.now(), tenant, What::SubjectRectified, work.record.to_string());
        let count = rectified.and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
        entry.counts = BTreeMap::from([("order".to_owned(), count)]);
        let update = Change {
            expression: "SET phase = :done REMOVE sealed".to_owned(),
            values: vec![(":done", text("done"))],
        };
        let mut actions = vec![
            Action::Update { key, update, condition: Some(Condition::phase("open")) },
            self.ledger_action(&entry)?,
        ];
        if account.asked.is_some()
            && let Some(asked) = self.asked(tenant, &requests::request_of(&work.record)).await?
            && !asked.state.is_finished()
        {
            actions.extend(asked.ended(tenant, self.now(), End::Done(Some(count))));
        }
        let rows = account.rows.iter().filter_map(|row| crate::orders::lengthen(tenant, row));
        actions.extend(rows.map(Action::delete));
        self.end(actions, Vec::new(), work).await?;
        Ok(Rectified::Done)
    }

    async fn rectify_order(
        &self,
        installation: &Installation,
        work: &Work,
        reference: &RecordRef,
        account: &SealedRectification,
    ) -> Result<()> {
        let at = Timestamp(account.updated_at);
        for _ in 0..ATTEMPTS {
            // Whoever disputes what is stored has its use restricted until it is put right (GDPR Art. 18(1)(a)). What the shop
            // tells by itself is taken when that is lifted.
            let record = match account.asked {
                Some(_) => self.any_order(installation, reference).await?,
                None => self.order(installation, reference).await?,
            };
            let Some(record) = record else { return Ok(()) };
            let Some(rectified) = to_rectify(&record, account, at) else { return Ok(()) };
            let case = match &record.case {
                Some(case) => self.case(installation, case).await?,
                None => None,
            };
            let mut order = rectified;
            if record.limited {
                self.carry_limits_over(installation, &record.order, &order).await?;
            }
            order.updated_at = Some(record.updated_at);
            order.fulfilled = record.standing == crate::cases::Standing::Fulfilled;
            let mut items = self.order_items(installation, order, Some(at));
            items.sealed.contact_rectified_at = match account.asked {
                Some(_) => Some(at),
                None => record.contact_rectified_at,
            };
            let mut actions = self.rewrite(installation, &record, &items, case)?;
            // Counted with the change, so that the entry's figure is exact.
            actions.push(Action::Update {
                key: keyspace::record(&installation.tenant, &work.record),
                update: Change {
                    expression: "ADD rectified :one".to_owned(),
                    values: vec![(":one", number(1))],
                },
                condition: Some(Condition::phase("open")),
            });
            let from = actions.len();
            actions.extend(items.checks);
            if !record.limited {
                actions.extend(items.limits);
            }
            let checks = from..actions.len();
            match self.transact_unrecorded(Unrecorded::Step, actions).await? {
                Ok(()) => return Ok(()),
                // The account is now that of someone who was erased, or may not be used: the order is theirs to be erased
                // with, not to be found under another name.
                Err(canceled) if canceled.any_failed(checks) => return Ok(()),
                Err(_) => {}
            }
        }
        Err(StoreError::Contended("an order"))
    }

    /// An order whose use is limited stays so under what is right: the limits on what is replaced hold there, too.
    async fn carry_limits_over(
        &self,
        installation: &Installation,
        wrong: &Order,
        right: &Order,
    ) -> Result<()> {
        let (wrong, right) = (normalize::order_identifiers(wrong), normalize::order_identifiers(right));
        for replaced in wrong.iter().filter(|one| !right.contains(one)) {
            let added = right.iter().filter(|one| one.kind == replaced.kind && !wrong.contains(one));
            for added in added {
                self.carry_limits(installation, replaced, added).await?;
            }
        }
        Ok(())
    }
}

/// The order as the account is now, or as was asked for; `None` when the order says so already, or was told later.
fn to_rectify(record: &OrderRecord, account: &SealedRectification, at: Timestamp) -> Option<Order> {
    if let Some(asked) = &account.asked {
        // What was told by then is what the person says is wrong; what the shop tells later is the shop's word.
        let done = record.updated_at > at || record.contact_rectified_at.is_some_and(|done| done >= at);
        let right = Corrections { email: account.email.clone(), phone: account.phone.clone() };
        return if done { None } else { right.apply(&asked.person(), &record.order) };
    }
    let customer = record.order.customer.as_ref()?;
    let later = record.updated_at > at || record.rectified_at.is_some_and(|rectified| rectified >= at);
    if account.id.is_none() || customer.id != account.id || later {
        return None;
    }
    let mut rectified = customer.clone();
    rectified.email.clone_from(&account.email);
    rectified.phone.clone_from(&account.phone);
    (rectified != *customer).then(|| Order { customer: Some(rectified), ..record.order.clone() })
}

fn customer_partition(installation: &Installation, id: &Personal<u64>) -> String {
    let identifier = Identifier {
        kind: normalize::IdentifierKind::Customer,
        value: Personal::new(id.expose().to_string()),
    };
    keyspace::subject_partition(&installation.tenant, &installation.keys, &identifier)
}
