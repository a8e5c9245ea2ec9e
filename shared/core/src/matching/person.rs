//! Whether two orders are one person's: Fellegi–Sunter weights of each field, summed. Symmetric, and monotone in
//! agreement.

use super::evidence::{Evidence, Field, Level};
use super::features::Features;
use super::keys::{self, KeyKind, MatchKey};
use super::name::{HalfAgreement, Name, NameAgreement};
use super::place::Place;
use super::seen::{Rows, Seen};
use super::text::Likeness;
use super::weights::{self, Levels};

/// The sum from which two orders are taken for one person's: likelier than not by 2 to the power of this.
pub const PERSON_THRESHOLD: f64 = 0.0;

/// How sure it is that two orders are one person's.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonMatch {
    /// The sum of the evidence, in bits: log2 of the odds.
    pub weight: f64,
    /// What it is made of, the prior first.
    pub evidence: Vec<Evidence>,
}

impl PersonMatch {
    /// Whether they are taken for one person's.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.weight >= PERSON_THRESHOLD
    }
}

/// Compares the people of two orders.
///
/// An address alone is never enough: a household is several people, and a forwarder's address is anyone's.
#[must_use]
pub fn same_person(a: &Features, b: &Features, seen: &Seen) -> PersonMatch {
    let mut evidence = vec![Evidence::step(Field::Prior, weights::PRIOR)];
    let contact = contact(a, b, seen, &mut evidence);
    let names = names(&a.names, &b.names);
    let name_bits: f64 = names.evidence.iter().map(|step| step.bits).sum();
    evidence.extend(names.evidence.iter().cloned());
    let mut address = Vec::new();
    if let (Some(of_a), Some(of_b)) = (&a.place, &b.place) {
        address = place(of_a, of_b);
        let house = keys::house(a).filter(|key| keys::house(b) == Some(key));
        crowded(&mut address, house.and_then(|key| seen.rows(key)));
    }
    let address_bits: f64 = address.iter().map(|step| step.bits).sum();
    evidence.append(&mut address);
    if !contact.compared && names.household && address_bits > 0.0 {
        // As much as the address adds, up to that: more agreement never makes less.
        evidence.push(Evidence::step(Field::Household, weights::HOUSEHOLD.max(-address_bits)));
    }
    let sum = |evidence: &[Evidence]| evidence.iter().map(|step| step.bits).sum::<f64>();
    let weight = sum(&evidence);
    // Whatever the address says, it says it of a house; and who has half another name and is reached elsewhere is
    // someone else in it.
    let limit = PERSON_THRESHOLD - 1.0;
    let alone = !contact.agrees && name_bits <= 0.0;
    let other_member = contact.compared && !contact.agrees && names.differ;
    if weight > limit && (alone || other_member) {
        let field = if other_member { Field::Household } else { Field::AddressAlone };
        evidence.push(Evidence::step(field, limit - weight));
    }
    PersonMatch { weight: sum(&evidence), evidence }
}

/// Whether e-mail, phone or account were there to compare, and whether one of them agrees but for a slip.
#[derive(Default)]
struct Contact {
    compared: bool,
    agrees: bool,
}

/// E-mail, phone and account: how to reach someone.
fn contact(a: &Features, b: &Features, seen: &Seen, evidence: &mut Vec<Evidence>) -> Contact {
    let (keys_a, keys_b) = (a.keys(), b.keys());
    let rows = |kind| {
        let shared = keys_a.iter().filter(|key: &&MatchKey| key.kind == kind && keys_b.contains(key));
        seen.shared(shared)
    };
    let mut contact = Contact::default();
    let emails = a.emails.iter().flat_map(|a| b.emails.iter().map(|b| a.likeness(b))).max();
    let mut by_email = 0.0;
    if let Some(likeness) = emails {
        let found = agreed(Field::Email, likeness, weights::EMAIL, rows(KeyKind::Email));
        contact.add(likeness);
        by_email = found.bits.max(0.0);
        evidence.push(found);
    }
    let phones = a.phones.iter().flat_map(|a| b.phones.iter().map(|b| phone_likeness(a, b))).max();
    if let Some(likeness) = phones {
        let found = agreed(Field::Phone, likeness, weights::PHONE, rows(KeyKind::Phone));
        contact.add(likeness);
        evidence.push(found);
    }
    if let (Some(a), Some(b)) = (&a.customer, &b.customer)
        && a == b
    {
        // An account is found by its e-mail: as far as that agrees, the account says the same again.
        let bits = (weights::CUSTOMER - by_email).max(weights::CUSTOMER_BESIDE_EMAIL);
        contact.add(Likeness::Same);
        evidence.push(Evidence::compared(Field::Customer, Level::Exact, bits));
    }
    contact
}

impl Contact {
    fn add(&mut self, likeness: Likeness) {
        self.compared = true;
        self.agrees |= likeness >= Likeness::Near;
    }
}

const fn level(likeness: Likeness) -> Level {
    match likeness {
        Likeness::Same => Level::Exact,
        Likeness::Near => Level::Strong,
        Likeness::Similar => Level::Weak,
        Likeness::Unlike => Level::Differs,
    }
}

/// A field's evidence, less where the value is shared by many.
fn agreed(field: Field, likeness: Likeness, levels: Levels, rows: Option<Rows>) -> Evidence {
    let mut found = Evidence::compared(field, level(likeness), levels.of(likeness));
    if let Some(rows) = rows.filter(|_| found.bits > 0.0) {
        found.orders = Some(rows.count);
        found.saturated = rows.more;
        let floor = found.bits.min(weights::SATURATED);
        found.bits = if rows.more { floor } else { (found.bits + weights::crowd(rows.count)).max(floor) };
    }
    found
}

/// One digit wrong or two exchanged is near; anything else is another number.
fn phone_likeness(a: &str, b: &str) -> Likeness {
    if a == b {
        Likeness::Same
    } else if a.len() == b.len() && strsim::osa_distance(a, b) == 1 {
        Likeness::Near
    } else {
        Likeness::Unlike
    }
}

struct Names {
    evidence: Vec<Evidence>,
    /// The family name agrees and the given name does not.
    household: bool,
    /// One of the halves does not agree.
    differ: bool,
}

/// The best way to lay two names side by side; with several names on a side, the best of them.
fn names(a: &[Name], b: &[Name]) -> Names {
    let mut best: Option<(f64, Names)> = None;
    for agreement in a.iter().flat_map(|a| b.iter().flat_map(|b| a.agreements(b))) {
        let found = name(&agreement);
        let bits: f64 = found.evidence.iter().map(|step| step.bits).sum();
        if best.as_ref().is_none_or(|(most, _)| bits > *most) {
            best = Some((bits, found));
        }
    }
    best.map_or(Names { evidence: Vec::new(), household: false, differ: false }, |(_, names)| names)
}

fn name(agreement: &NameAgreement) -> Names {
    let given = agreement.given.map(|half| self::half(Field::GivenName, half, weights::GIVEN));
    // Exchanged halves are each a given and a family name: one table for both keeps it symmetric.
    let family_levels = if agreement.swapped { weights::GIVEN } else { weights::FAMILY };
    let family = agreement.family.map(|half| self::half(Field::FamilyName, half, family_levels));
    let agrees = |half: &Option<HalfAgreement>| half.is_some_and(|half| half.likeness >= Likeness::Near);
    let differs = |half: &Option<HalfAgreement>| half.is_some_and(|half| half.likeness == Likeness::Unlike);
    let household = !agreement.swapped && agrees(&agreement.family) && differs(&agreement.given);
    let differ = differs(&agreement.given) || differs(&agreement.family);
    let mut evidence: Vec<Evidence> = given.into_iter().chain(family).collect();
    if agreement.swapped {
        evidence.sort_by(|a, b| a.bits.total_cmp(&b.bits));
        for (step, field) in evidence.iter_mut().zip([Field::GivenName, Field::FamilyName]) {
            step.field = field;
        }
        evidence.push(Evidence::step(Field::NamesExchanged, weights::SWAPPED));
    }
    Names { evidence, household, differ }
}

/// One half of a name: what a common name says is its own share's worth, and never more than a rare one's.
fn half(field: Field, half: HalfAgreement, levels: Levels) -> Evidence {
    let bits = levels.of(half.likeness);
    let mut found = Evidence::compared(field, level(half.likeness), bits);
    if let Some(share) = half.share.filter(|_| bits > 0.0) {
        let lost = (levels.same - (weights::NAME_M / share).log2()).max(0.0);
        found.share = Some(share);
        // A weak agreement on a common name still says a little.
        found.bits = (bits - lost).max(bits.min(0.5));
    }
    found
}

fn place(a: &Place, b: &Place) -> Vec<Evidence> {
    let fields = [
        (Field::HouseNumber, a.number_likeness(b), weights::NUMBER),
        (Field::Street, a.street_likeness(b), weights::STREET),
        (Field::SecondLine, a.other_likeness(b), weights::OTHER_LINE),
        (Field::Unit, a.unit_likeness(b), weights::UNIT),
        (Field::Postcode, a.postcode_likeness(b), weights::POSTCODE),
        (Field::City, a.city_likeness(b), weights::CITY),
        (Field::Region, a.region_likeness(b), weights::REGION),
    ];
    let mut evidence: Vec<Evidence> = fields
        .into_iter()
        .filter_map(|(field, likeness, levels)| {
            let likeness = likeness?;
            Some(Evidence::compared(field, level(likeness), levels.of(likeness)))
        })
        .collect();
    if a.abroad(b) {
        evidence.push(Evidence::compared(Field::Country, Level::Differs, weights::ABROAD));
    }
    evidence
}

/// A house that many orders go to says little about any two of them.
fn crowded(address: &mut Vec<Evidence>, rows: Option<Rows>) {
    let total: f64 = address.iter().map(|step| step.bits).sum();
    let Some(rows) = rows.filter(|_| total > 0.0) else { return };
    let floor = total.min(weights::SATURATED);
    let left = if rows.more { floor } else { (total + weights::crowd(rows.count)).max(floor) };
    if left < total {
        address.push(Evidence {
            orders: Some(rows.count),
            saturated: rows.more,
            ..Evidence::step(Field::SharedAddress, left - total)
        });
    }
}
