//! Whether two orders are the same order placed twice, and why. First form: exact agreement of e-mail, phone
//! and delivery address inside a window.
//! Which orders are compared at all is the store's business: it looks them up by the keys made here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::normalize::{self, IdentifierKind};
use crate::order::Order;
use crate::personal::Personal;
use crate::time::DAY;

/// The version of the rule a case was opened under, kept with the case so that the decision can be replayed.
pub const RULE_VERSION: &str = "exact-1";

/// The version of the matching keys. Rows of an older version are erased with their record, and not looked up.
pub const KEY_VERSION: &str = "1";

/// How far apart two orders may be, unless the merchant says otherwise: what merchants of such apps expect.
pub const DEFAULT_WINDOW: Duration = DAY;

/// The largest window a merchant can choose, and so how long matching rows live (promise DG27).
pub const LARGEST_WINDOW: Duration = Duration::from_hours(30 * 24);

/// How many orders under one key are looked at. A key with more is saturated: a parcel forwarder's address, a
/// shop's own test phone.
pub const KEY_CAP: usize = 25;

/// What two orders can be looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A delivery address.
    Address,
}

impl KeyKind {
    /// The word for it in keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Address => "address",
        }
    }
}

/// One thing an order is looked up by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchKey {
    /// Which kind.
    pub kind: KeyKind,
    /// The exact form.
    pub value: Personal<String>,
}

/// The keys of an order: each distinct e-mail and phone, and the address the parcel goes to.
#[must_use]
pub fn keys(order: &Order) -> Vec<MatchKey> {
    let mut keys: Vec<MatchKey> = normalize::order_identifiers(order)
        .into_iter()
        .filter_map(|identifier| {
            let kind = match identifier.kind {
                IdentifierKind::Email => KeyKind::Email,
                IdentifierKind::Phone => KeyKind::Phone,
                IdentifierKind::Customer => return None,
            };
            Some(MatchKey { kind, value: identifier.value })
        })
        .collect();
    if let Some(value) = order.addresses().next().and_then(normalize::address_key) {
        keys.push(MatchKey { kind: KeyKind::Address, value });
    }
    keys
}

/// One thing that two orders agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The same e-mail address.
    SameEmail,
    /// The same phone number.
    SamePhone,
    /// The same delivery address.
    SameAddress,
    /// The same delivery address, but one that very many orders share: it says little.
    SharedAddress,
    /// The same name on the delivery address.
    SameName,
}

impl Reason {
    /// The reason as a merchant reads it.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::SameEmail => "the same e-mail address",
            Self::SamePhone => "the same phone number",
            Self::SameAddress => "the same delivery address",
            Self::SharedAddress => "a delivery address that many orders share",
            Self::SameName => "the same name",
        }
    }
}

/// Why two orders are taken for one, or `None` when they are not: different e-mail and phone, and not the same name
/// at the same address; too far apart; or one of them is a test or cancelled.
///
/// An address alone is never enough: a household is several people. An address that is `address_saturated` is not
/// enough even with the name.
#[must_use]
pub fn compare(a: &Order, b: &Order, window: Duration, address_saturated: bool) -> Option<Vec<Reason>> {
    let apart = a.created_at.since(b.created_at).max(b.created_at.since(a.created_at));
    if !a.counts() || !b.counts() || a.id == b.id || apart > window {
        return None;
    }
    let (keys_a, keys_b) = (keys(a), keys(b));
    let agree = |kind| keys_a.iter().any(|key| key.kind == kind && keys_b.contains(key));
    let name = |order: &Order| order.addresses().find_map(normalize::name_key);
    let mut reasons = Vec::new();
    if agree(KeyKind::Email) {
        reasons.push(Reason::SameEmail);
    }
    if agree(KeyKind::Phone) {
        reasons.push(Reason::SamePhone);
    }
    let identified = !reasons.is_empty();
    let address = agree(KeyKind::Address);
    if address {
        reasons.push(if address_saturated { Reason::SharedAddress } else { Reason::SameAddress });
    }
    let named = name(a).is_some_and(|of_a| name(b) == Some(of_a));
    if named {
        reasons.push(Reason::SameName);
    }
    (identified || (address && named && !address_saturated)).then_some(reasons)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::order::Address;
    use crate::time::{MINUTE, Timestamp};

    fn order(
        id: u64,
        minutes: u64,
        email: Option<&str>,
        phone: Option<&str>,
        name: &str,
        street: &str,
    ) -> Order {
        Order {
            id: id.into(),
            name: None,
            created_at: Timestamp(1_790_000_000_000) + MINUTE * u32::try_from(minutes).unwrap(),
            updated_at: None,
            cancelled_at: None,
            test: false,
            email: email.map(|text| text.to_owned().into()),
            contact_email: None,
            phone: phone.map(|text| text.to_owned().into()),
            customer: None,
            billing_address: None,
            shipping_address: Some(Address {
                last_name: Some(name.to_owned().into()),
                address1: Some(street.to_owned().into()),
                zip: Some("20001".to_owned().into()),
                country_code: Some("US".to_owned().into()),
                ..Address::default()
            }),
            currency: None,
            total_price: None,
        }
    }

    #[test]
    fn an_address_alone_is_not_enough_and_with_the_name_it_is() {
        let a = order(1, 0, Some("a@example.com"), None, "One", "1 Example Street");
        let neighbour = order(2, 1, Some("b@example.com"), None, "Two", "1 Example Street");
        let again = order(3, 1, Some("c@example.com"), None, "one", "1 example street");
        assert_eq!(compare(&a, &neighbour, DEFAULT_WINDOW, false), None);
        assert_eq!(
            compare(&a, &again, DEFAULT_WINDOW, false),
            Some(vec![Reason::SameAddress, Reason::SameName])
        );
        assert_eq!(compare(&a, &again, DEFAULT_WINDOW, true), None, "a forwarder's address");
    }

    #[test]
    fn tests_cancelled_orders_and_the_order_itself_do_not_count() {
        let a = order(1, 0, Some("a@example.com"), None, "One", "1 Example Street");
        let mut b = order(2, 1, Some("a@example.com"), None, "One", "1 Example Street");
        assert!(compare(&a, &b, DEFAULT_WINDOW, false).is_some());
        b.test = true;
        assert_eq!(compare(&a, &b, DEFAULT_WINDOW, false), None);
        assert_eq!(compare(&a, &a, DEFAULT_WINDOW, false), None);
    }

    proptest! {
        #[test]
        fn comparing_is_symmetric_and_ends_with_the_window(
            email in prop::option::of("[ab]@example\\.com"),
            other in prop::option::of("[ab]@example\\.com"),
            names in ("[xy]", "[xy]"),
            streets in ("[12] Road", "[12] Road"),
            minutes in 0u64..3000,
            saturated: bool,
        ) {
            let a = order(1, 0, email.as_deref(), Some("+12025550123"), &names.0, &streets.0);
            let b = order(2, minutes, other.as_deref(), None, &names.1, &streets.1);
            let found = compare(&a, &b, DEFAULT_WINDOW, saturated);
            prop_assert_eq!(&found, &compare(&b, &a, DEFAULT_WINDOW, saturated));
            if minutes > 24 * 60 {
                prop_assert_eq!(found, None);
            } else if email.is_some() && email == other {
                prop_assert!(found.is_some());
            }
        }
    }
}
