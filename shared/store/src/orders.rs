//! Orders as the duplicate guard keeps them, and finding the orders that agree with one.

use std::time::Duration;

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::matching::{self, KEY_CAP, KeyKind, Reason};
use storeward_core::order::Order;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::cases::Standing;
use crate::error::{Result, StoreError};
use crate::item::{Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::store::{Action, Change, Condition, Expired, Query, Range, Store, TRANSACTION_ITEMS};
use crate::tenants::Installation;

/// The sealed half of an order: what Shopify told of it, and every index row written for it, so that erasing the
/// order erases its rows, whatever version wrote them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SealedOrder {
    pub(crate) order: Order,
    rows: Vec<(String, String)>,
    /// Of which time the customer's account is as the order names it, where it was rectified since.
    #[serde(default)]
    pub(crate) rectified_at: Option<Timestamp>,
}

impl SealedOrder {
    pub(crate) fn new<'a>(tenant: &Tenant, order: Order, rows: impl Iterator<Item = &'a Key>) -> Self {
        Self { order, rows: rows.map(|key| shorten(tenant, key)).collect(), rectified_at: None }
    }

    pub(crate) fn rows(&self, tenant: &Tenant) -> Vec<Key> {
        self.rows.iter().filter_map(|row| lengthen(tenant, row)).collect()
    }
}

/// A row's key without the tenant that all of them begin with: a third of the size.
pub(crate) fn shorten(tenant: &Tenant, key: &Key) -> (String, String) {
    let prefix = format!("{tenant}#");
    (key.pk.strip_prefix(&prefix).unwrap_or(&key.pk).to_owned(), key.sk.clone())
}

pub(crate) fn lengthen(tenant: &Tenant, (partition, sort): &(String, String)) -> Option<Key> {
    let kind = [Kind::Match, Kind::Subject].into_iter().find(|kind| partition.starts_with(kind.name()))?;
    Some(Key { kind, pk: format!("{tenant}#{partition}"), sk: sort.clone() })
}

/// Whether the merchant was shown, in the shop, that an order is in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagState {
    /// The order is in no case.
    None,
    /// The order joined a case and Shopify was not told yet.
    Pending,
    /// Shopify was told, or there is no way to tell it.
    Done,
}

/// A stored order.
#[derive(Debug)]
pub struct OrderRecord {
    /// Its name in the store.
    pub reference: RecordRef,
    /// What Shopify told.
    pub order: Order,
    /// The case it belongs to, if it does.
    pub case: Option<RecordRef>,
    /// Whether that was told to Shopify.
    pub flag: FlagState,
    /// What has become of it.
    pub standing: Standing,
    /// Which telling of Shopify's it is: an older one does not replace it.
    pub updated_at: Timestamp,
    pub(crate) rectified_at: Option<Timestamp>,
    /// How often it was written: whoever changes it makes sure that nobody else did.
    pub(crate) revision: i64,
    pub(crate) rows: Vec<Key>,
}

impl OrderRecord {
    /// That nobody wrote the order since it was read, and that it is in the same case.
    pub(crate) fn unchanged(&self) -> Condition {
        let revision = (":revision", number(self.revision));
        match &self.case {
            None => Condition {
                expression: "revision = :revision AND attribute_not_exists(case_id)",
                values: vec![revision],
            },
            Some(case) => Condition {
                expression: "revision = :revision AND case_id = :case",
                values: vec![revision, (":case", text(case.to_string()))],
            },
        }
    }
}

/// An order that agrees with another, and in what.
#[derive(Debug)]
pub struct Candidate {
    /// The order.
    pub record: OrderRecord,
    /// What agrees.
    pub reasons: Vec<Reason>,
}

impl Store {
    pub(crate) fn read_order(installation: &Installation, stored: &Stored) -> Result<OrderRecord> {
        let sealed: SealedOrder = stored.unseal(Kind::Order, &installation.keys)?;
        let case = stored.optional_text("case_id").map(str::parse).transpose();
        Ok(OrderRecord {
            reference: RecordRef::new(Kind::Order, stored.text("sk")?.to_owned()),
            case: case.map_err(|_| StoreError::Corrupt("an order's case"))?,
            flag: match stored.optional_text("flag") {
                None => FlagState::None,
                Some("pending") => FlagState::Pending,
                Some(_) => FlagState::Done,
            },
            standing: Standing::of(stored.optional_text("standing")),
            updated_at: Timestamp(stored.optional_number("updated_at").unwrap_or_default()),
            rectified_at: sealed.rectified_at,
            revision: stored.optional_number("revision").unwrap_or_default(),
            rows: sealed.rows(&installation.tenant),
            order: sealed.order,
        })
    }

    /// An order by its reference; `None` when it was never written, expired or was erased.
    pub async fn order(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<OrderRecord>> {
        let stored = self.get(&keyspace::record(&installation.tenant, reference)).await?;
        stored.map(|stored| Self::read_order(installation, &stored)).transpose()
    }

    /// Orders by their references; those that are gone are left out.
    pub async fn orders(
        &self,
        installation: &Installation,
        references: &[RecordRef],
    ) -> Result<Vec<OrderRecord>> {
        self.orders_and(installation, references, Expired::Gone).await
    }

    /// The same, expired ones too where they are asked for.
    pub(crate) async fn orders_and(
        &self,
        installation: &Installation,
        references: &[RecordRef],
        expired: Expired,
    ) -> Result<Vec<OrderRecord>> {
        let keys: Vec<Key> =
            references.iter().map(|reference| keyspace::record(&installation.tenant, reference)).collect();
        let found = self.batch_get(Table::Data, &keys, expired).await?;
        found.iter().map(|stored| Self::read_order(installation, stored)).collect()
    }

    /// The orders in the window around `record` that are taken for the same order, the nearest first. One request
    /// for each of the order's keys, side by side, and one for what they found, however large the shop is.
    pub async fn candidates(
        &self,
        installation: &Installation,
        record: &OrderRecord,
        window: Duration,
    ) -> Result<Vec<Candidate>> {
        let created_at = record.order.created_at;
        let keys = matching::keys(&record.order);
        let range = Range::Between(
            keyspace::sortable(created_at - window),
            // '$' follows '#': the last millisecond of the window is inside, whatever record it belongs to.
            format!("{}$", keyspace::sortable(created_at + window)),
        );
        let found = try_join_all(keys.iter().map(|key| {
            let range = range.clone();
            async move {
                let partition = keyspace::match_partition(&installation.tenant, &installation.keys, key);
                let mut query = Query::of(Table::Data, &partition);
                query.range = range;
                query.newest_first = true;
                // The order itself, and one more than the cap to see that there are more.
                query.limit = i32::try_from(KEY_CAP + 2).unwrap_or(i32::MAX);
                self.query(query).await.map(|(rows, _)| (key.kind, rows))
            }
        }))
        .await?;
        let mut references = Vec::new();
        let mut address_saturated = false;
        for (kind, rows) in found {
            let saturated = rows.len() > KEY_CAP + 1;
            if saturated && kind == KeyKind::Address {
                // So many orders at one address say nothing about any two of them.
                address_saturated = true;
                continue;
            }
            for row in rows {
                let id = row.text("sk")?.rsplit_once('#').ok_or(StoreError::Corrupt("a matching row"))?.1;
                let reference = RecordRef::new(Kind::Order, id.to_owned());
                if reference != record.reference && !references.contains(&reference) {
                    references.push(reference);
                }
            }
        }
        references.truncate(TRANSACTION_ITEMS);
        let mut candidates: Vec<Candidate> = self
            .orders(installation, &references)
            .await?
            .into_iter()
            .filter_map(|other| {
                let reasons = matching::compare(&record.order, &other.order, window, address_saturated)?;
                Some(Candidate { record: other, reasons })
            })
            .collect();
        candidates.sort_by_key(|candidate| {
            let other = candidate.record.order.created_at;
            (other.since(created_at).max(created_at.since(other)), candidate.record.reference.clone())
        });
        Ok(candidates)
    }

    /// Remembers that Shopify was told that these orders are in a case.
    pub async fn flagged(&self, installation: &Installation, references: &[RecordRef]) -> Result<()> {
        for chunk in references.chunks(TRANSACTION_ITEMS) {
            let actions = chunk
                .iter()
                .map(|reference| Action::Update {
                    key: keyspace::record(&installation.tenant, reference),
                    update: Change {
                        expression: "SET flag = :done".to_owned(),
                        values: vec![(":done", text("done"))],
                    },
                    condition: Some(Condition::PRESENT),
                })
                .collect();
            // An order that was erased meanwhile makes its condition fail: nothing to remember about it, and the
            // others are told again, which changes nothing in Shopify.
            let _erased = self.transact(actions).await?;
        }
        Ok(())
    }
}
