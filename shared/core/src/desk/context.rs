//! What is known of the order that a mail is about: what drafts are filled with and what Claude is told of it, masked.
//! It is asked of Shopify for this purpose; the duplicate guard's records are not part of it.

use serde::{Deserialize, Serialize};

use crate::personal::Personal;
use crate::time::Timestamp;

/// How far an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// There is none, or none is known.
    #[default]
    None,
    /// Nothing is sent yet.
    Unfulfilled,
    /// Some of it is sent.
    PartiallyFulfilled,
    /// All of it is sent.
    Fulfilled,
    /// It was cancelled.
    Cancelled,
    /// It was refunded.
    Refunded,
}

impl OrderState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Unfulfilled,
        Self::PartiallyFulfilled,
        Self::Fulfilled,
        Self::Cancelled,
        Self::Refunded,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unfulfilled => "unfulfilled",
            Self::PartiallyFulfilled => "partially_fulfilled",
            Self::Fulfilled => "fulfilled",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }
}

/// How a return stands, as Shopify says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnState {
    /// Asked for.
    Requested,
    /// Approved, and under way.
    Open,
    /// Not approved.
    Declined,
    /// Done.
    Closed,
    /// Called off.
    Cancelled,
}

impl ReturnState {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Open => "open",
            Self::Declined => "declined",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One parcel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tracking {
    /// Who carries it.
    pub carrier: Option<String>,
    /// Its number.
    pub number: Option<Personal<String>>,
    /// Where it can be followed.
    pub url: Option<Personal<String>>,
}

/// One thing that was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is called.
    pub title: String,
    /// How many.
    pub quantity: u32,
}

/// An order of whoever wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderContext {
    /// Its name, `#1001`.
    pub name: Personal<String>,
    /// How far it is.
    pub state: OrderState,
    /// When it was made.
    pub placed_at: Option<Timestamp>,
    /// The name of the customer, as the order has it.
    pub customer_name: Option<Personal<String>>,
    /// Its parcels, the latest first.
    pub tracking: Vec<Tracking>,
    /// What was ordered.
    pub items: Vec<Item>,
    /// Its returns.
    pub returns: Vec<ReturnState>,
}
