//! How far a shop's orders were compared with what Shopify has, and which shops there are to compare.

use futures::future::try_join_all;
use storeward_core::data_map::Table;
use storeward_core::shop::{Generation, ShopId, Tenant};
use storeward_core::time::Timestamp;

use crate::error::{Result, StoreError};
use crate::item::number;
use crate::keyspace;
use crate::ledger::{Entry, What};
use crate::store::{Action, Change, Condition, Query, Store};
use crate::tenants::Installation;

/// The attribute of a shop's row.
const RECONCILED: &str = "reconciled_until";

impl Installation {
    /// What changed before this was compared with Shopify; from the installation on, to begin with.
    #[must_use]
    pub fn reconciled_until(&self) -> Timestamp {
        self.stored.optional_number(RECONCILED).map_or(self.installed_at, Timestamp)
    }
}

impl Store {
    /// Every installation there is, whether installed or waiting for its purge: the list that is kept of them.
    pub async fn installations(&self) -> Result<Vec<Tenant>> {
        let shards = (0..keyspace::BUCKETS).map(|shard| async move {
            let partition = keyspace::directory_partition(shard);
            let items = self.query_all(Query::of(Table::Data, &partition)).await?;
            items.iter().map(|item| tenant(item.text("sk")?)).collect::<Result<Vec<_>>>()
        });
        Ok(try_join_all(shards).await?.into_iter().flatten().collect())
    }

    /// Remembers how far a shop was compared. It only moves forward, and not for a shop that was uninstalled.
    pub async fn reconciled(&self, installation: &Installation, until: Timestamp) -> Result<()> {
        let update = Action::Update {
            key: keyspace::shop(&installation.tenant),
            update: Change {
                expression: format!("SET {RECONCILED} = :until"),
                values: vec![(":until", number(until.millis()))],
            },
            condition: Some(Condition {
                expression: "phase = :installed AND \
                    (attribute_not_exists(reconciled_until) OR reconciled_until < :until)",
                values: vec![(":installed", crate::item::text("installed"))],
            }),
        };
        let entry = Entry::new(self.now(), &installation.tenant, What::Reconciled, "reconciliation");
        // A condition that fails says that another run was further, or that there is nothing to compare any more.
        let _further = self.transact(vec![update, self.ledger_action(&entry)?]).await?;
        Ok(())
    }
}

/// Reads the name of an installation.
pub(crate) fn tenant(text: &str) -> Result<Tenant> {
    let corrupt = StoreError::Corrupt("an entry of the directory");
    let (shop, generation) = text.split_once('#').ok_or_else(|| corrupt.clone())?;
    let blind = hex::decode(shop).ok().and_then(|bytes| bytes.try_into().ok());
    let generation = generation.parse().map_err(|_| corrupt.clone())?;
    Ok(Tenant { shop: ShopId::from_blind(blind.ok_or(corrupt)?), generation: Generation(generation) })
}
