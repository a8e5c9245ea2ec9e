//! What two orders can be looked up by. Each key is a row written for every order, so each has to earn its write;
//! what each buys stands in docs/decisions/0011. A key holds together what one slip of the finger parts: most of a
//! word's consonants, two fields that are seldom both wrong.

use serde::{Deserialize, Serialize};

use super::features::Features;
use super::text::skeleton;
use crate::personal::Personal;

/// What two orders can be looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A mailbox: the consonants of the local part, and how the domain begins.
    Email,
    /// A phone number.
    Phone,
    /// A house: postcode and house number.
    Address,
    /// A house number and how the street begins, wherever it is: survives a wrong postcode.
    Street,
    /// A postcode and how the street begins: survives a wrong house number.
    Area,
    /// How given and family name begin, in either order.
    Names,
    /// One half of the name and how the city begins: survives an error anywhere else.
    Resident,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Email, Self::Phone, Self::Address, Self::Street, Self::Area, Self::Names, Self::Resident];

    /// The word for it in keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Address => "address",
            Self::Street => "street",
            Self::Area => "area",
            Self::Names => "names",
            Self::Resident => "resident",
        }
    }
}

/// One thing an order is looked up by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchKey {
    /// Which kind.
    pub kind: KeyKind,
    /// The form it is looked up under.
    pub value: Personal<String>,
}

/// How many of each kind an order is looked up by at most; only e-mail and phone can be several.
const MOST: usize = 2;

pub(super) fn of(features: &Features) -> Vec<MatchKey> {
    let mut keys: Vec<MatchKey> = Vec::with_capacity(8);
    let mut add = |kind, parts: &[&str]| {
        if parts.iter().any(|part| part.is_empty()) {
            return;
        }
        let key = MatchKey { kind, value: Personal::new(parts.join("|")) };
        if !keys.contains(&key) && keys.iter().filter(|known| known.kind == kind).count() < MOST {
            keys.push(key);
        }
    };
    for email in &features.emails {
        add(KeyKind::Email, &[&mailbox(email.local()), &begin(&skeleton(email.domain()), 1)]);
    }
    for phone in &features.phones {
        add(KeyKind::Phone, &[phone]);
    }
    let mut halves: Vec<String> =
        features.names.first().map(|name| name.halves().map(bones_of_half).collect()).unwrap_or_default();
    halves.sort_unstable();
    if let [a, b] = halves.as_slice() {
        add(KeyKind::Names, &[&begin(a, 2), &begin(b, 2)]);
    }
    if let Some(place) = &features.place {
        let number = place.street.number.as_deref().unwrap_or_default();
        let street = begin(&skeleton(&place.street.name), 3);
        let city = begin(&skeleton(&place.city), 3);
        // Where there are no postcodes, the city says where.
        let area = if place.postcode.is_empty() { &city } else { &place.postcode };
        add(KeyKind::Address, &[area, number]);
        add(KeyKind::Street, &[number, &street]);
        add(KeyKind::Area, &[area, &street]);
        for half in &halves {
            add(KeyKind::Resident, &[&city, half]);
        }
    }
    keys
}

/// The key of the house alone, by which the check sees how many orders share it.
pub(super) fn house(features: &Features) -> Option<&MatchKey> {
    features.keys().iter().find(|key| key.kind == KeyKind::Address)
}

fn bones_of_half(half: &super::name::Part) -> String {
    let bones = skeleton(half.joined());
    // Scripts without vowels, and names of vowels only, stay as they are.
    if bones.is_empty() { half.joined().to_owned() } else { bones }
}

/// Short local parts are all alike by their consonants: they stay as they are.
fn mailbox(local: &str) -> String {
    let bones = skeleton(local);
    if bones.chars().count() < 4 { begin(local, 12) } else { begin(&bones, 6) }
}

fn begin(text: &str, letters: usize) -> String {
    text.chars().take(letters).collect()
}
