//! What was bought, as far as two orders are compared by it: terms for the store to blind, and the blinded signature
//! that is all the comparison sees.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::order::Order;
use crate::personal::Personal;

/// How many blinded lines a signature keeps: the smallest, which of two like carts are the same ones. Carts seldom
/// have more, and a row that carries the signature stays below the kilobyte that one write unit pays for.
pub const CART_LINES: usize = 12;

/// How an order came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The online shop.
    Web,
    /// A till.
    PointOfSale,
    /// The shop's own staff.
    Draft,
    /// The renewal of a subscription, or its beginning.
    Subscription,
    /// An app or a marketplace.
    Other,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 5] = [Self::Web, Self::PointOfSale, Self::Draft, Self::Subscription, Self::Other];

    /// The word for it, which is blinded where it is kept.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::PointOfSale => "pos",
            Self::Draft => "draft",
            Self::Subscription => "subscription",
            Self::Other => "other",
        }
    }

    /// What Shopify's `source_name` says.
    #[must_use]
    pub fn of_source(source: &str) -> Self {
        match source.trim().to_ascii_lowercase().as_str() {
            "web" | "iphone" | "android" | "shop_app" => Self::Web,
            "pos" => Self::PointOfSale,
            "shopify_draft_order" => Self::Draft,
            source if source.starts_with("subscription_contract") => Self::Subscription,
            _ => Self::Other,
        }
    }
}

/// What the store blinds: a term for each thing bought, and the checkout. Plain, and never written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CartTerms {
    /// For each thing bought, what and how many.
    pub lines: BTreeSet<Personal<String>>,
    /// The checkout.
    pub checkout: Option<Personal<String>>,
    /// The channel.
    pub origin: Option<Origin>,
}

/// The terms of an order. The same thing in two lines is one term.
#[must_use]
pub fn cart_terms(order: &Order) -> CartTerms {
    let mut bought: BTreeMap<&str, u64> = BTreeMap::new();
    for line in &order.line_items {
        let quantity = bought.entry(line.item.expose()).or_default();
        *quantity = quantity.saturating_add(line.quantity);
    }
    CartTerms {
        lines: bought
            .into_iter()
            .map(|(item, quantity)| Personal::new(format!("{item}×{quantity}")))
            .collect(),
        checkout: order.checkout_token.clone(),
        origin: order.source_name.as_ref().map(|source| Origin::of_source(source.expose())),
    }
}

/// A cart as it is compared: opaque texts, equal where the plain ones are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartSignature {
    /// The blinded lines, at most [`CART_LINES`]; empty when they are not known.
    pub lines: BTreeSet<String>,
    /// The blinded checkout.
    pub checkout: Option<String>,
    /// The channel.
    pub origin: Option<Origin>,
}

impl CartSignature {
    /// A signature of terms, each blinded by `blind`, which is told what kind of term it is.
    #[must_use]
    pub fn of(terms: &CartTerms, blind: impl Fn(&'static str, &str) -> String) -> Self {
        let blinded: BTreeSet<String> = terms.lines.iter().map(|line| blind("line", line.expose())).collect();
        Self {
            lines: blinded.into_iter().take(CART_LINES).collect(),
            checkout: terms.checkout.as_ref().map(|checkout| blind("checkout", checkout.expose())),
            origin: terms.origin,
        }
    }

    /// How much of two carts is the same, from 0 to 1; `None` when either is not known.
    pub(super) fn overlap(&self, other: &Self) -> Option<f64> {
        if self.lines.is_empty() || other.lines.is_empty() {
            return None;
        }
        // The smallest of both together: of those, each side's list is complete.
        let together: Vec<&String> = self.lines.union(&other.lines).take(CART_LINES).collect();
        let shared = together
            .iter()
            .filter(|line| self.lines.contains(**line) && other.lines.contains(**line))
            .count();
        let count = |of: usize| u32::try_from(of).map_or(f64::MAX, f64::from);
        Some(count(shared) / count(together.len()))
    }
}
