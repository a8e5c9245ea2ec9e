//! Everything the comparison needs of an order, normalised once.

use super::email::Email;
use super::keys::{self, MatchKey};
use super::name::Name;
use super::place::Place;
use crate::normalize::{self, IdentifierKind};
use crate::order::Order;

/// How many of each an order is compared by: no order of a shop has more.
const MOST: usize = 4;

/// What an order tells of the person who placed it, in the forms that are compared. It is personal from end to end:
/// its `Debug` shows nothing, and it is never stored.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Features {
    pub(super) emails: Vec<Email>,
    pub(super) phones: Vec<String>,
    pub(super) customer: Option<String>,
    pub(super) names: Vec<Name>,
    pub(super) place: Option<Place>,
    keys: Vec<MatchKey>,
}

impl std::fmt::Debug for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Features")
    }
}

impl Features {
    /// The features of an order.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        let mut features = Self::default();
        for identifier in normalize::order_identifiers(order) {
            let value = identifier.value.into_inner();
            match identifier.kind {
                IdentifierKind::Email => {
                    let email = Email::of(&value);
                    let new = email.filter(|email| {
                        features.emails.len() < MOST
                            && features.emails.iter().all(|known| known.mailbox() != email.mailbox())
                    });
                    features.emails.extend(new);
                }
                IdentifierKind::Phone => {
                    if features.phones.len() < MOST {
                        features.phones.push(value);
                    }
                }
                IdentifierKind::Customer => features.customer = Some(value),
            }
        }
        for address in order.addresses() {
            let new = Name::of(address).filter(|name| !features.names.contains(name));
            features.names.extend(new);
        }
        features.place = order.addresses().find_map(Place::of);
        features.keys = keys::of(&features);
        features
    }

    /// What the order is looked up by.
    #[must_use]
    pub fn keys(&self) -> &[MatchKey] {
        &self.keys
    }
}
