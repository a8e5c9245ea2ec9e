//! The ledger: what was done to data, when and why, without a word about a person. It outlives the shop.
//! Roots over a day's entries are computed here; signing and publishing them is the operator's side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storeward_core::data_map::Table;
use storeward_core::ledger::{Hash, leaf, root};
use storeward_core::shop::{Generation, ShopId, Tenant};
use storeward_core::time::Timestamp;

use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, text};
use crate::keyspace;
use crate::store::{Action, Query, Range, Store};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The app was installed.
    Installed,
    /// The app was removed: access ended, the purge was scheduled.
    Uninstalled,
    /// The merchant changed the settings of the duplicate guard.
    SettingsChanged,
    /// How long things are kept changed: by the merchant, by the plan, or by the deployment.
    RetentionChanged,
    /// What was past its window was deleted, after a window became shorter.
    RetentionApplied,
    /// The merchant decided on a case.
    CaseDecided,
    /// The merchant deleted a resolved case.
    CaseDeleted,
    /// A person's records were erased; writers that began before may still be running.
    SubjectErased,
    /// The second pass found nothing of the person left. This is the receipt.
    SubjectErasureVerified,
    /// A customer's account was rectified in every record that names it.
    SubjectRectified,
    /// Everything stored about a person was put together, because the person asked.
    SubjectExported,
    /// The merchant was given what was put together.
    ExportDelivered,
    /// Nothing of an installation is left but this entry. This is the receipt.
    ShopPurged,
    /// `shop/redact` found the shop purged already.
    ShopRedactConfirmed,
    /// A destructive webhook that did not fit the shop's state was not obeyed.
    Refused,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Whose data, by blinded name.
    pub shop: ShopId,
    /// Of which installation, where there is one.
    pub generation: Option<Generation>,
    /// What.
    pub what: What,
    /// Why: a topic, a rule, a request.
    pub why: String,
    /// How many items, by kind.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// How it was checked.
    #[serde(default)]
    pub verified: Option<String>,
}

impl Entry {
    pub(crate) fn new(at: Timestamp, tenant: &Tenant, what: What, why: impl Into<String>) -> Self {
        Self {
            at,
            shop: tenant.shop.clone(),
            generation: Some(tenant.generation),
            what,
            why: why.into(),
            counts: BTreeMap::new(),
            verified: None,
        }
    }
}

impl Store {
    /// The action that writes `entry`, for the transaction that does what it tells.
    pub(crate) fn ledger_action(&self, entry: &Entry) -> Result<Action> {
        let key = keyspace::ledger(entry.at, &entry.shop, &self.random_id()?);
        let json = serde_json::to_string(entry).map_err(|_| StoreError::Corrupt("a ledger entry"))?;
        Ok(Action::put(Item::new(key).set("entry", text(json))))
    }

    /// Writes an entry that goes with no other change: a refusal, a confirmation.
    pub async fn note(
        &self,
        shop: &ShopId,
        generation: Option<Generation>,
        what: What,
        why: &str,
    ) -> Result<()> {
        let entry = Entry {
            at: self.now(),
            shop: shop.clone(),
            generation,
            what,
            why: why.to_owned(),
            counts: BTreeMap::new(),
            verified: None,
        };
        let action = self.ledger_action(&entry)?;
        match self.transact(vec![action]).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(StoreError::Contended("the ledger")),
        }
    }

    /// A shop's entries of one day, the earliest first.
    pub async fn ledger_of(&self, shop: &ShopId, day: Timestamp) -> Result<Vec<Entry>> {
        let partition = keyspace::ledger_partition(&day.day(), shop);
        let mut query = Query::of(Table::Ledger, &partition);
        query.range = Range::Prefix(format!("{shop}#"));
        let entry = |item: &Stored| {
            serde_json::from_str(item.text("entry")?).map_err(|_| StoreError::Corrupt("a ledger entry"))
        };
        self.query_all(query).await?.iter().map(entry).collect()
    }

    /// The Merkle root over a day's entries of all shops, in the order of their keys.
    pub async fn ledger_root(&self, day: Timestamp) -> Result<Hash> {
        let mut leaves = Vec::new();
        for bucket in 0..keyspace::BUCKETS {
            let partition = format!("ledger#{}#{bucket:02}", day.day());
            for item in self.query_all(Query::of(Table::Ledger, &partition)).await? {
                let entry = [item.text("pk")?, item.text("sk")?, item.text("entry")?];
                leaves.push(leaf(entry.join("\n").as_bytes()));
            }
        }
        Ok(root(&leaves))
    }
}
