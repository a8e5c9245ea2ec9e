//! What "never for this household" and "never for this customer" are about: the keys of an order by which an exception
//! is found again. Where exceptions are kept, and what they cover, is the store's.

use serde::{Deserialize, Serialize};

use crate::guard::Decision;
use crate::normalize::Identifier;
use crate::order::Order;
use crate::personal::Personal;
use crate::{matching, normalize};

/// The version of the keys. An exception whose keys were made otherwise does not count any more.
pub const EXCEPTION_VERSION: &str = "1";

/// What an exception is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everyone at a delivery address.
    Household,
    /// One customer, by e-mail, phone or customer number.
    Customer,
}

impl Scope {
    /// The word for it in keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Household => "household",
            Self::Customer => "customer",
        }
    }

    /// The scope that a decision excepts; `None` for decisions on one case alone.
    #[must_use]
    pub const fn of(decision: Decision) -> Option<Self> {
        match decision {
            Decision::NeverThisHousehold => Some(Self::Household),
            Decision::NeverThisCustomer => Some(Self::Customer),
            Decision::Confirm | Decision::Dismiss => None,
        }
    }
}

/// One thing of an order that an exception can be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExceptionKey {
    /// Whom it stands for.
    pub scope: Scope,
    /// The exact form: what is blinded.
    pub value: Personal<String>,
    /// How a merchant recognises it.
    pub label: Personal<String>,
}

/// Every key of an order: its delivery address, and whatever its customer is known by.
#[must_use]
pub fn keys(order: &Order) -> Vec<ExceptionKey> {
    let household = order.addresses().next().and_then(|address| {
        let value = matching::household(address)?;
        let parts = [&address.address1, &address.address2, &address.zip, &address.city];
        let parts: Vec<&str> = parts
            .into_iter()
            .flatten()
            .map(|part| part.expose().trim())
            .filter(|part| !part.is_empty())
            .collect();
        Some(ExceptionKey { scope: Scope::Household, value, label: Personal::new(parts.join(", ")) })
    });
    let customer = normalize::order_identifiers(order).into_iter().map(customer_key);
    household.into_iter().chain(customer).collect()
}

/// The key of what a customer is known by.
#[must_use]
pub fn customer_key(identifier: Identifier) -> ExceptionKey {
    ExceptionKey {
        scope: Scope::Customer,
        value: Personal::new(format!("{}:{}", identifier.kind.name(), identifier.value.expose())),
        label: identifier.value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(email: &str, street: &str) -> Order {
        serde_json::from_value(serde_json::json!({
            "id": 1, "created_at": "2026-11-01T09:30:00Z", "total_price": null, "email": email,
            "shipping_address": {"address1": street, "zip": "20001", "country_code": "US"},
        }))
        .unwrap()
    }

    #[test]
    fn spelling_does_not_matter_and_a_household_is_no_customer() {
        let (a, b) =
            (order("One@example.com", "1 Example Street"), order("one@EXAMPLE.com", "1  example street"));
        let values =
            |order: &Order| keys(order).into_iter().map(|key| (key.scope, key.value)).collect::<Vec<_>>();
        assert_eq!(values(&a), values(&b));
        assert_eq!(
            values(&a).iter().map(|(scope, _)| *scope).collect::<Vec<_>>(),
            [Scope::Household, Scope::Customer]
        );
        assert_ne!(values(&a), values(&order("two@example.com", "2 Example Street")));
        assert!(!format!("{:?}", keys(&a)).contains("xample"), "nothing personal is shown by Debug");
    }
}
