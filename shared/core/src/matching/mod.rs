//! Whether two orders are one order placed twice, and why. First whether they are one person's ([`same_person`]), by
//! Fellegi–Sunter weights; then whether the orders are one ([`judge()`]). Pure: which orders are compared at all is
//! the store's business, which looks them up by the keys made here.

mod batch;
mod cart;
mod email;
mod evidence;
mod explain;
mod features;
mod judge;
mod keys;
mod name;
mod person;
mod place;
mod seen;
mod text;
mod weights;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use batch::{BATCH_CAP, Batch, Pair, pairs};
pub use cart::{CART_LINES, CartSignature, CartTerms, Origin, cart_terms};
pub use evidence::{Evidence, Field, Level};
pub use explain::{Excluded, Explanation, Reason};
pub use features::Features;
pub use judge::{Side, Verdict, judge};
pub use keys::{KeyKind, MatchKey};
pub use person::{PERSON_THRESHOLD, PersonMatch, same_person};
pub use place::household;
pub use seen::{Rows, Seen};

use crate::time::DAY;

/// The version of the rule a case was opened under, kept with the case so that the decision can be replayed.
pub const RULE_VERSION: &str = "fellegi-sunter-1";

/// The version of the matching keys. Rows of an older version are erased with their record, and not looked up.
pub const KEY_VERSION: &str = "2";

/// How far apart two orders may be, unless the merchant says otherwise: what merchants of such apps expect.
pub const DEFAULT_WINDOW: Duration = DAY;

/// The largest window a merchant can choose, and so how long matching rows live (promise DG27).
pub const LARGEST_WINDOW: Duration = Duration::from_hours(30 * 24);

/// How many orders under one key are looked at. A key with more is saturated: a parcel forwarder's address, a
/// shop's own test phone.
pub const KEY_CAP: usize = 25;
