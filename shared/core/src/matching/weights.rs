//! The numbers of the comparison: m and u of each field and level, as bits (log2 of m over u). m is how often one
//! person's orders agree so far, u how often two people's do. Where each comes from stands in docs/decisions/0011.

use super::text::Likeness;

/// The weights of a field's four levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    pub(super) same: f64,
    pub(super) near: f64,
    pub(super) similar: f64,
    pub(super) unlike: f64,
}

impl Levels {
    pub(super) const fn of(self, likeness: Likeness) -> f64 {
        match likeness {
            Likeness::Same => self.same,
            Likeness::Near => self.near,
            Likeness::Similar => self.similar,
            Likeness::Unlike => self.unlike,
        }
    }
}

/// That two orders picked out of a window are one person's: about one in 4,000.
pub(super) const PRIOR: f64 = -12.0;

pub(super) const EMAIL: Levels = Levels { same: 17.0, near: 9.0, similar: 5.0, unlike: -2.5 };
pub(super) const PHONE: Levels = Levels { same: 16.0, near: 5.0, similar: 5.0, unlike: -2.0 };
pub(super) const CUSTOMER: f64 = 14.0;
pub(super) const CUSTOMER_BESIDE_EMAIL: f64 = 1.0;
pub(super) const GIVEN: Levels = Levels { same: 9.0, near: 7.0, similar: 2.5, unlike: -4.0 };
pub(super) const FAMILY: Levels = Levels { same: 10.0, near: 8.0, similar: 3.0, unlike: -4.5 };
/// How often the same person's name is written the same: the numerator where a name's own share is known.
pub(super) const NAME_M: f64 = 0.8;
pub(super) const SWAPPED: f64 = -1.0;
pub(super) const NUMBER: Levels = Levels { same: 4.5, near: 1.0, similar: 1.0, unlike: -3.0 };
pub(super) const STREET: Levels = Levels { same: 9.0, near: 7.5, similar: 2.0, unlike: -3.5 };
pub(super) const OTHER_LINE: Levels = Levels { same: 6.0, near: 5.0, similar: 2.0, unlike: -1.5 };
pub(super) const UNIT: Levels = Levels { same: 3.0, near: 3.0, similar: 3.0, unlike: -2.0 };
pub(super) const POSTCODE: Levels = Levels { same: 6.5, near: 2.5, similar: 2.5, unlike: -2.5 };
pub(super) const CITY: Levels = Levels { same: 5.0, near: 4.5, similar: 2.0, unlike: -2.5 };
pub(super) const REGION: Levels = Levels { same: 1.0, near: 0.5, similar: 0.0, unlike: -1.0 };
pub(super) const ABROAD: f64 = -6.0;
/// People of one household share address and family name, and have their own given names and mailboxes.
pub(super) const HOUSEHOLD: f64 = -6.0;

/// How much less an agreement says when many share the value: bits for `others` orders beside the two compared.
pub(super) fn crowd(count: usize) -> f64 {
    let others = u32::try_from(count.saturating_sub(2)).unwrap_or(u32::MAX);
    -1.5 * (1.0 + f64::from(others) / 4.0).log2()
}

/// What an agreement on a saturated value can say at most.
pub(super) const SATURATED: f64 = 2.0;
