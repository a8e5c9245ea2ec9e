//! When operators set their passwords: kept as long as a password counts. Who an operator is, the issuer knows.

use storeward_core::shop::ShopId;
use storeward_core::time::HOUR;

use crate::error::{Result, StoreError};
use crate::item::{Item, number};
use crate::keyspace;
use crate::ledger::{Entry, What};
use crate::store::{Action, Store, Unrecorded};

/// What is known of an operator's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorPassword {
    /// It was set within the time it counts.
    Counts,
    /// The pool asks for a new one at the sign-in that goes on.
    Replaced,
    /// Nothing: its time is over, or nobody told when it was set.
    Over,
}

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

    /// Notes that an operator signs in with a password that the pool asks to replace: the one before counts no more, and
    /// who comes through within the hour, which is longer than a sign-in may take, has set another.
    pub async fn operator_password_replaced(&self, operator: &str) -> Result<()> {
        let now = self.now();
        let item = Item::new(keyspace::operator_password(operator)).expiring(now);
        let action = Action::put(item.not_after(Some((now + HOUR).seconds())));
        match self.transact_unrecorded(Unrecorded::Bookkeeping, vec![action]).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(StoreError::Contended("an operator's password")),
        }
    }

    /// What is known of an operator's password.
    pub async fn operator_password(&self, operator: &str) -> Result<OperatorPassword> {
        let stored = self.get(&keyspace::operator_password(operator)).await?;
        Ok(match stored {
            Some(stored) if stored.optional_number("set_at").is_some() => OperatorPassword::Counts,
            Some(_) => OperatorPassword::Replaced,
            None => OperatorPassword::Over,
        })
    }
}
