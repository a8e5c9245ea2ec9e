//! When operators set their passwords: kept as long as a password counts. Who an operator is, the issuer knows.

use storeward_core::shop::ShopId;

use crate::error::{Result, StoreError};
use crate::item::{Item, number};
use crate::keyspace;
use crate::ledger::{Entry, What};
use crate::store::{Action, Store};

impl Store {
    /// Notes that an operator, by blinded name, set a password now.
    pub async fn operator_password_set(&self, operator: &str, why: &str) -> Result<()> {
        let now = self.now();
        let item = Item::new(keyspace::operator_password(operator)).set("set_at", number(now.millis()));
        let entry = Entry::about(now, &ShopId::deployment(), None, What::OperatorPasswordSet, why);
        let actions = vec![Action::put(item.expiring(now)), self.ledger_action(&entry)?];
        match self.transact(actions).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(StoreError::Contended("an operator's password")),
        }
    }

    /// Whether an operator's password is known to be set within the time it counts.
    pub async fn operator_password_counts(&self, operator: &str) -> Result<bool> {
        Ok(self.get(&keyspace::operator_password(operator)).await?.is_some())
    }
}
