//! Whether two orders are one order placed twice: the same person, and then what the orders themselves tell.

use std::time::Duration;

use super::cart::{CartSignature, Origin};
use super::evidence::{Evidence, Field, Level};
use super::explain::{Excluded, Explanation};
use super::features::Features;
use super::person::{PERSON_THRESHOLD, same_person};
use super::seen::Seen;
use crate::guard::{GuardSettings, Sensitivity};
use crate::order::Order;
use crate::personal::Personal;
use crate::time::Timestamp;

/// One of the two orders that are compared.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it tells of the person.
    pub features: Features,
    /// When it was placed.
    pub created_at: Timestamp,
    /// Its total, as written.
    pub total: Option<String>,
    /// The total's currency.
    pub currency: Option<String>,
    /// What was bought, blinded.
    pub cart: CartSignature,
    id: Personal<u64>,
    counts: bool,
}

impl Side {
    /// The side of an order whose features are made already.
    #[must_use]
    pub fn new(order: &Order, features: Features, cart: CartSignature) -> Self {
        Self {
            features,
            created_at: order.created_at,
            total: order.total_price.as_deref().map(amount),
            currency: order.currency.as_ref().map(|code| code.trim().to_ascii_uppercase()),
            cart,
            id: order.id.clone(),
            counts: order.counts(),
        }
    }

    /// The side of an order.
    #[must_use]
    pub fn of(order: &Order, cart: CartSignature) -> Self {
        Self::new(order, Features::of(order), cart)
    }

    /// Whether the duplicate guard looks at it: not at tests and not at what is cancelled.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.counts
    }
}

/// An amount without the zeros that change nothing: "12.50" and "12.5" are one.
fn amount(text: &str) -> String {
    let text = text.trim();
    let bounded: String = text.chars().take(40).collect();
    if bounded.contains('.') {
        bounded.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        bounded
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether the two are taken for one order placed twice.
    pub is_duplicate: bool,
    /// The sum of all evidence, in bits.
    pub weight: f64,
    /// What it takes under the merchant's sensitivity.
    pub threshold: f64,
    /// Why.
    pub explanation: Explanation,
}

impl Sensitivity {
    /// The sum from which two orders are taken for one, in bits: log2 of the odds that are asked for.
    #[must_use]
    pub const fn threshold(self) -> f64 {
        match self {
            Self::Cautious => 7.0,
            Self::Balanced => 3.0,
            Self::Thorough => 0.0,
        }
    }
}

/// What certainty about the person can add: beyond 64 to 1 it is the order that decides.
const CERTAIN: f64 = 6.0;

/// How rarely a person's next order inside a window is a mistake: about one in eight.
const REPEAT_ORDER: f64 = -3.0;

/// Compares two orders under a merchant's settings. Symmetric; monotone in every agreement.
#[must_use]
pub fn judge(a: &Side, b: &Side, seen: &Seen, settings: &GuardSettings) -> Verdict {
    let threshold = settings.sensitivity.threshold();
    let apart = a.created_at.since(b.created_at).max(b.created_at.since(a.created_at));
    if let Some(excluded) = excluded(a, b, apart, settings) {
        return verdict(Vec::new(), threshold, apart, Some(excluded));
    }
    let person = same_person(&a.features, &b.features, seen);
    let same = person.is_same();
    let mut steps = person.evidence;
    if person.weight > CERTAIN {
        steps.push(Evidence::step(Field::Certain, CERTAIN - person.weight));
    }
    let from = steps.len();
    steps.push(Evidence::step(Field::RepeatOrder, REPEAT_ORDER));
    steps.push(time(apart));
    let cart = cart(&a.cart, &b.cart);
    let total = total(a, b, cart.as_ref());
    steps.extend(cart);
    steps.extend(total);
    if let (Some(a), Some(b)) = (&a.cart.checkout, &b.cart.checkout)
        && a == b
    {
        steps.push(Evidence::compared(Field::Checkout, Level::Exact, 8.0));
    }
    steps.extend(origin(a.cart.origin, b.cart.origin));
    let order: f64 = steps.iter().skip(from).map(|step| step.bits).sum();
    if !same && order > 0.0 {
        // A hundred people buy the same new thing in the same minute.
        steps.push(Evidence::step(Field::OtherPerson, -order));
    }
    verdict(steps, threshold, apart, None)
}

fn verdict(steps: Vec<Evidence>, threshold: f64, apart: Duration, excluded: Option<Excluded>) -> Verdict {
    let weight: f64 = steps.iter().map(|step| step.bits).sum();
    let is_duplicate = excluded.is_none() && weight >= threshold;
    let explanation = Explanation::new(steps, weight, threshold, is_duplicate, apart, excluded);
    Verdict { is_duplicate, weight, threshold, explanation }
}

fn excluded(a: &Side, b: &Side, apart: Duration, settings: &GuardSettings) -> Option<Excluded> {
    let either = |origin| a.cart.origin == Some(origin) || b.cart.origin == Some(origin);
    if a.id == b.id {
        Some(Excluded::SameOrder)
    } else if !a.counts || !b.counts {
        Some(Excluded::DoesNotCount)
    } else if apart > settings.window() {
        Some(Excluded::OutsideTheWindow)
    } else if either(Origin::Subscription) && !settings.include_subscriptions {
        Some(Excluded::Subscription)
    } else if either(Origin::Draft) && !settings.include_drafts {
        Some(Excluded::Draft)
    } else {
        None
    }
}

/// Mistakes are made within minutes, repeat orders at any time: the odds fall with the logarithm of the time.
fn time(apart: Duration) -> Evidence {
    let minutes = apart.as_secs_f64() / 60.0;
    let bits = (5.0 - 0.9 * (1.0 + minutes / 2.0).log2()).max(-9.0);
    let level = match apart {
        apart if apart <= Duration::from_mins(10) => Level::Exact,
        apart if apart <= Duration::from_hours(2) => Level::Strong,
        apart if apart <= Duration::from_hours(24) => Level::Weak,
        _ => Level::Differs,
    };
    Evidence::compared(Field::Time, level, bits)
}

fn cart(a: &CartSignature, b: &CartSignature) -> Option<Evidence> {
    let overlap = a.overlap(b)?;
    let (level, bits) = if overlap >= 1.0 {
        (Level::Exact, 6.0)
    } else if overlap >= 0.5 {
        (Level::Strong, 1.0 + 2.0 * overlap)
    } else if overlap > 0.0 {
        (Level::Weak, -2.0 + 4.0 * overlap)
    } else {
        (Level::Differs, -6.0)
    };
    Some(Evidence::compared(Field::Cart, level, bits))
}

/// The same total says much where the cart is not known, and little beside the same cart.
fn total(a: &Side, b: &Side, cart: Option<&Evidence>) -> Option<Evidence> {
    let same = a.total.as_ref()? == b.total.as_ref()? && a.currency == b.currency;
    let known = cart.is_some();
    Some(match (same, known) {
        (true, false) => Evidence::compared(Field::Total, Level::Exact, 3.0),
        (true, true) => Evidence::compared(Field::Total, Level::Exact, 1.0),
        (false, false) => Evidence::compared(Field::Total, Level::Differs, -2.0),
        (false, true) => Evidence::compared(Field::Total, Level::Differs, -1.0),
    })
}

/// Renewals repeat on purpose, and a till's customers stand in front of someone who sees the second order.
fn origin(a: Option<Origin>, b: Option<Origin>) -> Option<Evidence> {
    let (level, bits) = match (a?, b?) {
        (Origin::Subscription, Origin::Subscription) => (Level::Exact, -6.0),
        (Origin::PointOfSale, Origin::PointOfSale) => (Level::Exact, -1.0),
        (a, b) if a == b => (Level::Exact, 0.0),
        _ => (Level::Differs, -1.0),
    };
    Some(Evidence::compared(Field::Origin, level, bits))
}

const _: () =
    assert!(PERSON_THRESHOLD <= 0.0, "orders of one person begin above what other people's can reach");
