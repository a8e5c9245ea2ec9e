//! A verdict in words and as a waterfall of weights. It holds names of fields, levels, weights and counts, and nothing
//! of a person; with the stored orders and the same counts, it is made again from the rule it names.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RULE_VERSION;
use super::evidence::{Evidence, Field, Level};

/// Why two orders were not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excluded {
    /// They are the same order.
    SameOrder,
    /// One is a test or cancelled.
    DoesNotCount,
    /// They are further apart than the merchant's window.
    OutsideTheWindow,
    /// One is a subscription's, and those are left out.
    Subscription,
    /// One is a draft's, and those are left out.
    Draft,
}

impl Excluded {
    const fn sentence(self) -> &'static str {
        match self {
            Self::SameOrder => "Both are the same order.",
            Self::DoesNotCount => "One of the orders is a test or was cancelled.",
            Self::OutsideTheWindow => "The orders are further apart than the window that is set.",
            Self::Subscription => "One of the orders belongs to a subscription, and these are left out.",
            Self::Draft => "One of the orders was made by the shop's staff, and these are left out.",
        }
    }
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
    /// The same customer account.
    SameCustomer,
    /// An e-mail address that is nearly the same.
    SimilarEmail,
    /// A phone number that is nearly the same.
    SimilarPhone,
    /// A delivery address that is nearly the same.
    SimilarAddress,
    /// A name that is nearly the same.
    SimilarName,
    /// The same cart.
    SameCart,
    /// Part of the cart is the same.
    SimilarCart,
    /// The same total.
    SameTotal,
    /// The same checkout.
    SameCheckout,
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
            Self::SameCustomer => "the same customer account",
            Self::SimilarEmail => "nearly the same e-mail address",
            Self::SimilarPhone => "nearly the same phone number",
            Self::SimilarAddress => "nearly the same delivery address",
            Self::SimilarName => "nearly the same name",
            Self::SameCart => "the same cart",
            Self::SimilarCart => "part of the cart the same",
            Self::SameTotal => "the same total",
            Self::SameCheckout => "the same checkout",
        }
    }
}

/// Why two orders are or are not taken for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The version of the rule.
    pub rule: String,
    /// The waterfall: where the sum starts, and what each field adds.
    pub steps: Vec<Evidence>,
    /// The sum, in bits.
    pub weight: f64,
    /// What it takes under the sensitivity that was set.
    pub threshold: f64,
    /// Whether they are taken for one.
    pub is_duplicate: bool,
    /// How far apart they are, in whole minutes.
    pub minutes_apart: u64,
    /// Why they were not compared at all, if they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<Excluded>,
}

impl Explanation {
    pub(super) fn new(
        steps: Vec<Evidence>,
        weight: f64,
        threshold: f64,
        is_duplicate: bool,
        apart: Duration,
        excluded: Option<Excluded>,
    ) -> Self {
        let minutes_apart = apart.as_secs() / 60;
        Self {
            rule: RULE_VERSION.to_owned(),
            steps,
            weight,
            threshold,
            is_duplicate,
            minutes_apart,
            excluded,
        }
    }

    fn level(&self, field: Field) -> Option<Level> {
        self.step(field).and_then(|step| step.level)
    }

    fn step(&self, field: Field) -> Option<&Evidence> {
        self.steps.iter().find(|step| step.field == field)
    }

    /// What agrees, the strongest kind of evidence first.
    #[must_use]
    pub fn reasons(&self) -> BTreeSet<Reason> {
        let mut reasons = BTreeSet::new();
        let mut of = |field, same, similar| match self.level(field) {
            Some(Level::Exact) => drop(reasons.insert(same)),
            Some(Level::Strong | Level::Weak) => drop(reasons.insert(similar)),
            Some(Level::Missing | Level::Differs) | None => {}
        };
        of(Field::Email, Reason::SameEmail, Reason::SimilarEmail);
        of(Field::Phone, Reason::SamePhone, Reason::SimilarPhone);
        of(Field::Customer, Reason::SameCustomer, Reason::SameCustomer);
        of(Field::Cart, Reason::SameCart, Reason::SimilarCart);
        of(Field::Checkout, Reason::SameCheckout, Reason::SameCheckout);
        if self.level(Field::Total) == Some(Level::Exact) {
            reasons.insert(Reason::SameTotal);
        }
        reasons.extend(self.name());
        reasons.extend(self.address());
        reasons
    }

    /// The name counts as the same when no half of it differs.
    fn name(&self) -> Option<Reason> {
        let (given, family) = (self.level(Field::GivenName), self.level(Field::FamilyName));
        let lowest = given.into_iter().chain(family).min()?;
        match lowest {
            Level::Exact => Some(Reason::SameName),
            Level::Strong | Level::Weak => Some(Reason::SimilarName),
            Level::Missing | Level::Differs => None,
        }
    }

    fn address(&self) -> Option<Reason> {
        let fields = [Field::HouseNumber, Field::Street, Field::Unit, Field::Postcode, Field::City];
        let lowest = fields.into_iter().filter_map(|field| self.level(field)).min()?;
        let street = self.level(Field::Street)?;
        let shared = self.step(Field::SharedAddress).is_some_and(|step| step.saturated);
        match lowest {
            _ if shared && street >= Level::Strong => Some(Reason::SharedAddress),
            Level::Exact => Some(Reason::SameAddress),
            Level::Strong | Level::Weak => Some(Reason::SimilarAddress),
            Level::Missing | Level::Differs => None,
        }
    }

    /// The verdict as a merchant reads it.
    #[must_use]
    pub fn sentence(&self) -> String {
        if let Some(excluded) = self.excluded {
            return excluded.sentence().to_owned();
        }
        let order = [Reason::SameCart, Reason::SimilarCart, Reason::SameTotal, Reason::SameCheckout];
        let (orders, people): (Vec<Reason>, Vec<Reason>) =
            self.reasons().into_iter().partition(|reason| order.contains(reason));
        let mut text =
            capital(&list(&people).unwrap_or_else(|| "nothing certain about the person agrees".to_owned()));
        text.push_str("; ");
        if let Some(orders) = list(&orders) {
            text.push_str(&orders);
            text.push_str(", ");
        }
        text.push_str(&apart(self.minutes_apart));
        if self.is_duplicate {
            text.push('.');
        } else {
            text.push_str(". That is not enough: ");
            text.push_str(self.against());
            text.push('.');
        }
        text
    }

    /// What speaks most against a duplicate.
    fn against(&self) -> &'static str {
        let strongest = self
            .steps
            .iter()
            .filter(|step| {
                !matches!(step.field, Field::Prior | Field::Certain | Field::RepeatOrder) && step.bits < 0.0
            })
            .min_by(|a, b| a.bits.total_cmp(&b.bits));
        let has = |field| self.step(field).is_some();
        match strongest.map(|step| step.field) {
            _ if has(Field::AddressAlone) => "an address alone does not make one person",
            _ if has(Field::Household) => "they look like two people of one household or house",
            _ if self.step(Field::SharedAddress).is_some_and(|step| step.saturated) => {
                "many orders share that address"
            }
            _ if has(Field::OtherPerson) => {
                "the orders are alike, but too little says that the person is the same"
            }
            Some(Field::Cart) => "something else was bought",
            Some(Field::Total) => "the totals differ",
            Some(Field::Time) => "so much later it may well be a new order",
            Some(Field::Origin) => "orders of this kind are repeated on purpose",
            Some(Field::Email) => "the e-mail addresses differ",
            Some(Field::Phone) => "the phone numbers differ",
            Some(Field::GivenName | Field::FamilyName) => "the names differ",
            Some(Field::SharedAddress) => "several orders share that address",
            Some(_) => "the addresses differ",
            None => "too little is known",
        }
    }
}

fn list(reasons: &[Reason]) -> Option<String> {
    let (last, first) = reasons.split_last()?;
    if first.is_empty() {
        return Some(last.sentence().to_owned());
    }
    let first: Vec<&str> = first.iter().map(|reason| reason.sentence()).collect();
    Some(format!("{} and {}", first.join(", "), last.sentence()))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn apart(minutes: u64) -> String {
    let (count, unit) = match minutes {
        0 => return "less than a minute apart".to_owned(),
        1..120 => (minutes, "minute"),
        120..2880 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{} apart", if count == 1 { "" } else { "s" })
}
