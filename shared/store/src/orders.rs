//! Orders as the duplicate guard keeps them, and finding the orders that agree with one.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Purpose, Table};
use storeward_core::guard::GuardSettings;
use storeward_core::matching::{
    self, CartSignature, CartTerms, Explanation, Features, KEY_CAP, KeyKind, Origin, Rows, Seen, Side,
};
use storeward_core::order::Order;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::cases::Standing;
use crate::crypto::TenantKeys;
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
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
    /// When what the person was written to by was put right, because it was asked for.
    #[serde(default)]
    pub(crate) contact_rectified_at: Option<Timestamp>,
}

impl SealedOrder {
    pub(crate) fn new<'a>(tenant: &Tenant, order: Order, rows: impl Iterator<Item = &'a Key>) -> Self {
        Self {
            order,
            rows: rows.map(|key| shorten(tenant, key)).collect(),
            rectified_at: None,
            contact_rectified_at: None,
        }
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
    let kind = [Kind::Match, Kind::Subject, Kind::MailLink]
        .into_iter()
        .find(|kind| partition.starts_with(kind.name()))?;
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
    /// When it ends as it is stored: nothing that leads to it ends later, and nothing prolongs it.
    pub(crate) ends: Option<i64>,
    pub(crate) contact_rectified_at: Option<Timestamp>,
    /// Whether a person it names restricted or objects to its use: then it is kept, and nothing is done with it.
    pub(crate) limited: bool,
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
                expression: "revision = :revision AND case_id = :in_case",
                values: vec![revision, (":in_case", text(case.to_string()))],
            },
        }
    }
}

/// An order that is taken for the same as another, and why.
#[derive(Debug)]
pub struct Candidate {
    /// The order.
    pub record: OrderRecord,
    /// Why.
    pub explanation: Explanation,
}

/// How much of a blind a cart's line keeps: enough that two of a shop's products never look alike.
const CART_BLIND: usize = 16;

fn blind_of_cart(keys: &TenantKeys, label: &str, term: &str) -> String {
    let mut blind = keys.blind(Purpose::Duplicates, &format!("cart-{label}"), term);
    blind.truncate(CART_BLIND);
    blind
}

/// A cart as it is compared: blinded for this purpose, in attributes that end with their row.
pub(crate) fn sign_cart(keys: &TenantKeys, terms: &CartTerms) -> CartSignature {
    CartSignature::of(terms, |label, term| blind_of_cart(keys, label, term))
}

/// The channels by their blinds: each of an installation's rows carries one of these.
struct Origins([(String, Origin); Origin::ALL.len()]);

impl Origins {
    fn of(keys: &TenantKeys) -> Self {
        Self(Origin::ALL.map(|origin| (blind_of_cart(keys, "origin", origin.name()), origin)))
    }

    fn by_blind(&self, blind: &str) -> Option<Origin> {
        self.0.iter().find(|(of, _)| of == blind).map(|(_, origin)| *origin)
    }
}

/// Writes a cart's signature into a matching row, the channel blinded as the rest is.
pub(crate) fn with_cart(mut row: Item, keys: &TenantKeys, cart: &CartSignature) -> Item {
    if !cart.lines.is_empty() {
        let lines: Vec<&str> = cart.lines.iter().map(String::as_str).collect();
        row = row.set("cart", text(lines.join(" ")));
    }
    if let Some(checkout) = &cart.checkout {
        row = row.set("checkout", text(checkout));
    }
    if let Some(origin) = cart.origin {
        row = row.set("origin", text(blind_of_cart(keys, "origin", origin.name())));
    }
    row
}

/// Whether a matching row tells what was in the cart.
pub(crate) fn has_cart(row: &Item) -> bool {
    ["cart", "checkout"].iter().any(|name| row.attributes.contains_key(*name))
}

/// The attribute of an order, of its matching rows and of an exception while a person it is about limits its use.
pub(crate) const LIMITED: &str = "use_limited";

pub(crate) fn is_limited(stored: &Stored) -> bool {
    stored.0.contains_key(LIMITED)
}

fn order_of_row(row: &Stored) -> Result<RecordRef> {
    let id = row.text("sk")?.rsplit_once('#').ok_or(StoreError::Corrupt("a matching row"))?.1;
    Ok(RecordRef::new(Kind::Order, id.to_owned()))
}

fn cart_of(row: &Stored, origins: &Origins) -> CartSignature {
    let lines = row.optional_text("cart").unwrap_or_default();
    CartSignature {
        lines: lines.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>(),
        checkout: row.optional_text("checkout").map(str::to_owned),
        origin: row.optional_text("origin").and_then(|blind| origins.by_blind(blind)),
    }
}

/// What a key says that few orders share, or that is a person's own. As many saturated ones together say the same:
/// a forwarder's address alone is not worth reading an order for.
const TELLING: usize = 3;

/// An order that stands under one of another's keys, as its row tells.
#[derive(Default)]
struct Found {
    /// How much the keys it stands under say: [`TELLING`] for each, 1 for one that is saturated.
    keys: usize,
    cart: CartSignature,
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
            ends: stored.end_written(),
            contact_rectified_at: sealed.contact_rectified_at,
            limited: is_limited(stored),
            revision: stored.optional_number("revision").unwrap_or_default(),
            rows: sealed.rows(&installation.tenant),
            order: sealed.order,
        })
    }

    /// An order by its reference; `None` when it was never written, expired or was erased, and while its use is limited.
    pub async fn order(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<OrderRecord>> {
        let record = self.any_order(installation, reference).await?;
        Ok(record.filter(|record| !record.limited))
    }

    /// The same, limited ones too: for who keeps the promises about them, and for nobody who uses them.
    pub(crate) async fn any_order(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<OrderRecord>> {
        let stored = self.get(&keyspace::record(&installation.tenant, reference)).await?;
        stored.map(|stored| Self::read_order(installation, &stored)).transpose()
    }

    /// Orders by their references; those that are gone, or whose use is limited, are left out.
    pub async fn orders(
        &self,
        installation: &Installation,
        references: &[RecordRef],
    ) -> Result<Vec<OrderRecord>> {
        let mut records = self.orders_and(installation, references, Expired::Gone).await?;
        records.retain(|record| !record.limited);
        Ok(records)
    }

    /// The same with the limited ones, and the expired ones too where they are asked for.
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
        settings: &GuardSettings,
    ) -> Result<Vec<Candidate>> {
        let created_at = record.order.created_at;
        let features = Features::of(&record.order);
        let (mut found, seen) = self.under_keys(installation, &features, record, settings).await?;
        let cart = found.remove(&record.reference).unwrap_or_default().cart;
        let one = Side::new(&record.order, features, cart);
        found.retain(|_, found| found.keys >= TELLING);
        let mut references: Vec<RecordRef> = found.keys().cloned().collect();
        // What shares most keys is read: the rest shares what many do.
        references.sort_by_key(|reference| std::cmp::Reverse(found.get(reference).map(|found| found.keys)));
        references.truncate(TRANSACTION_ITEMS);
        let mut candidates: Vec<Candidate> = self
            .orders(installation, &references)
            .await?
            .into_iter()
            .filter_map(|other| {
                let cart = found.remove(&other.reference).unwrap_or_default().cart;
                let verdict = matching::judge(&one, &Side::of(&other.order, cart), &seen, settings);
                verdict.is_duplicate.then_some(Candidate { record: other, explanation: verdict.explanation })
            })
            .collect();
        candidates.sort_by_key(|candidate| {
            let other = candidate.record.order.created_at;
            (other.since(created_at).max(created_at.since(other)), candidate.record.reference.clone())
        });
        Ok(candidates)
    }

    /// What stands under an order's keys inside the window, the order itself included, and how much under each.
    async fn under_keys(
        &self,
        installation: &Installation,
        features: &Features,
        record: &OrderRecord,
        settings: &GuardSettings,
    ) -> Result<(BTreeMap<RecordRef, Found>, Seen)> {
        let (created_at, window) = (record.order.created_at, settings.window());
        let range = Range::Between(
            keyspace::sortable(created_at - window),
            // '$' follows '#': the last millisecond of the window is inside, whatever record it belongs to.
            format!("{}$", keyspace::sortable(created_at + window)),
        );
        let read = try_join_all(features.keys().iter().map(|key| {
            let range = range.clone();
            async move {
                let partition = keyspace::match_partition(&installation.tenant, &installation.keys, key);
                let mut query = Query::of(Table::Data, &partition);
                query.range = range;
                query.newest_first = true;
                // The order itself, and one more than the cap to see that there are more.
                query.limit = i32::try_from(KEY_CAP + 2).unwrap_or(i32::MAX);
                self.query(query).await.map(|(rows, _)| (key, rows))
            }
        }))
        .await?;
        let origins = Origins::of(&installation.keys);
        let mut found: BTreeMap<RecordRef, Found> = BTreeMap::new();
        let mut seen = Seen::new();
        for (key, rows) in read {
            let more = rows.len() > KEY_CAP + 1;
            // What may not be used does not count either.
            let rows: Vec<Stored> = rows.into_iter().filter(|row| !is_limited(row)).collect();
            seen.add(key.clone(), Rows { count: rows.len(), more });
            for row in rows {
                let found = found.entry(order_of_row(&row)?).or_default();
                let own = matches!(key.kind, KeyKind::Email | KeyKind::Phone);
                found.keys += if own || !more { TELLING } else { 1 };
                found.cart = cart_of(&row, &origins);
            }
        }
        Ok((found, seen))
    }

    /// What was in the carts of orders, as far as a matching row still tells: one row of each is read.
    pub(crate) async fn carts(
        &self,
        installation: &Installation,
        records: &[OrderRecord],
    ) -> Result<BTreeMap<RecordRef, CartSignature>> {
        let origins = Origins::of(&installation.keys);
        let row = |record: &OrderRecord| record.rows.iter().find(|row| row.kind == Kind::Match).cloned();
        let keys: Vec<Key> = records.iter().filter_map(row).collect::<BTreeSet<_>>().into_iter().collect();
        let rows = self.batch_get(Table::Data, &keys, Expired::Gone).await?;
        rows.iter().map(|row| Ok((order_of_row(row)?, cart_of(row, &origins)))).collect()
    }

    /// Remembers that Shopify was told that these orders are in a case.
    pub async fn flagged(&self, installation: &Installation, references: &[RecordRef]) -> Result<()> {
        // One place is for the entry.
        for chunk in references.chunks(TRANSACTION_ITEMS - 1) {
            let mut actions: Vec<Action> = chunk
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
            let mut entry = Entry::new(self.now(), &installation.tenant, What::OrdersMarked, "case");
            entry.counts =
                BTreeMap::from([("order".to_owned(), u64::try_from(chunk.len()).unwrap_or(u64::MAX))]);
            actions.push(self.ledger_action(&entry)?);
            let _erased = self.transact(actions).await?;
        }
        Ok(())
    }
}
