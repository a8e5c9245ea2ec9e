//! What a comparison found, field by field, in a form that can be kept and shown: names of fields, levels, weights
//! and counts, and nothing of a person.

use serde::{Deserialize, Serialize};

/// What was compared, or what was added to the sum beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Where the sum starts: how rarely any two orders are one person's.
    Prior,
    /// The e-mail address.
    Email,
    /// The phone number.
    Phone,
    /// The customer account.
    Customer,
    /// The given name.
    GivenName,
    /// The family name.
    FamilyName,
    /// Given and family name stand in each other's place.
    NamesExchanged,
    /// The house number.
    HouseNumber,
    /// The street.
    Street,
    /// The other line of the address: a building, an estate.
    SecondLine,
    /// The flat.
    Unit,
    /// The postcode.
    Postcode,
    /// The city.
    City,
    /// The province or state.
    Region,
    /// The country.
    Country,
    /// The address is one that many orders share.
    SharedAddress,
    /// One house, and another name in part: a household, or neighbours.
    Household,
    /// Nothing but the address agrees.
    AddressAlone,
    /// More certainty about the person than tells anything about the order.
    Certain,
    /// How rarely the same person's next order is a mistake.
    RepeatOrder,
    /// The time between the orders.
    Time,
    /// What was bought.
    Cart,
    /// The total.
    Total,
    /// The checkout.
    Checkout,
    /// The channel the orders came by.
    Origin,
    /// The orders are alike, but the people are not: that is no duplicate.
    OtherPerson,
}

/// How far two values agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Not at all.
    Differs,
    /// One of the two is missing: says nothing.
    Missing,
    /// In part.
    Weak,
    /// But for a slip of the finger.
    Strong,
    /// Entirely.
    Exact,
}

/// One step of the waterfall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was compared.
    pub field: Field,
    /// How far it agrees; `None` for steps that compare nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// What it adds to the sum, in bits: 1 bit doubles the odds.
    pub bits: f64,
    /// The share of people who have the value, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// How many orders of the window stand under the same key, these two included, where it was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<usize>,
    /// Whether there are more than the check reads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub saturated: bool,
}

impl Evidence {
    pub(super) const fn step(field: Field, bits: f64) -> Self {
        Self { field, level: None, bits, share: None, orders: None, saturated: false }
    }

    pub(super) const fn compared(field: Field, level: Level, bits: f64) -> Self {
        Self { field, level: Some(level), bits, share: None, orders: None, saturated: false }
    }
}
