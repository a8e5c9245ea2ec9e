//! Delivery addresses taken apart: house number, street, unit, the other line, city, region, postcode. The lines are
//! told apart by what stands in them, not by their order.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::text::{self, Likeness};
use crate::normalize::fold;
use crate::order::Address;
use crate::personal::Personal;

/// Words for kinds of streets, in several languages, and the one word each is taken as.
static STREET_KINDS: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| table(include_str!("data/streets.txt"), "streets"));
/// Directions.
static DIRECTIONS: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| table(include_str!("data/streets.txt"), "directions"));
/// Words that a flat, floor or suite follows.
static UNITS: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| table(include_str!("data/streets.txt"), "units"));
/// Kinds of streets that languages write at the end of the street's own word.
static ENDINGS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut endings: Vec<&str> = table(include_str!("data/streets.txt"), "endings")
        .into_keys()
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    // The longest first: "strasse" before "str".
    endings.sort_by_key(|ending| (std::cmp::Reverse(ending.len()), *ending));
    endings
});

/// A section of a table: on each line the word and, after a colon, how else it is written.
fn table(text: &'static str, section: &str) -> HashMap<&'static str, &'static str> {
    let mut words = HashMap::new();
    let mut inside = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            inside = name.trim_end_matches(']') == section;
        } else if inside {
            let (word, others) = line.split_once(':').unwrap_or((line, ""));
            words.insert(word.trim(), word.trim());
            words.extend(others.split_whitespace().map(|other| (other, word.trim())));
        }
    }
    words
}

/// One line of an address, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The street's own name, run together.
    pub(super) name: String,
    /// All of it but the number, run together: for lines whose words were parted in the wrong place.
    whole: String,
    direction: Option<&'static str>,
    kind: Option<&'static str>,
    /// The house number, with what belongs to it.
    pub(super) number: Option<String>,
    unit: Option<String>,
}

impl Line {
    fn of(text: &str) -> Self {
        let bounded: String = text.chars().take(text::LONGEST_TEXT).collect();
        let marked = bounded.replace('#', " # ");
        let mut line = Self::default();
        let mut words: Vec<String> = Vec::new();
        let raw: Vec<&str> = marked.split([' ', ',', ';', '\t']).filter(|word| !word.is_empty()).collect();
        let mut raw = raw.into_iter().peekable();
        let mut first = true;
        while let Some(word) = raw.next() {
            let lower = fold(word);
            if word == "#" || UNITS.contains_key(lower.as_str()) {
                // "Flat 5", "# 5": what follows is the unit, when it looks like one.
                if let Some(next) = raw.peek().map(|next| fold(next)).filter(|next| is_unit(next)) {
                    raw.next();
                    line.unit.get_or_insert(next);
                    first = false;
                    continue;
                }
            }
            if first && let Some((unit, number)) = word.split_once('/') {
                // "5/12 X Street": flat 5 in house 12.
                let (unit, number) = (fold(unit), fold(number));
                if is_number(&number) && is_unit(&unit) {
                    line.unit.get_or_insert(unit);
                    words.push(number);
                    first = false;
                    continue;
                }
            }
            let (unit_word, unit) = split_unit(&lower);
            if unit_word && let Some(unit) = unit {
                // "apt5"
                line.unit.get_or_insert(unit);
            } else {
                words.extend(lower.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
            }
            first = false;
            if words.len() >= text::MOST_WORDS {
                break;
            }
        }
        line.read_words(words);
        line
    }

    fn read_words(&mut self, words: Vec<String>) {
        let mut words = post_box(words);
        // The number leads, or else is the last that looks like one: "12 X Street", "X-Straße 12".
        let leading = words.iter().take_while(|word| is_number(word)).count();
        if leading > 0 {
            self.number = Some(words.drain(..leading).collect::<Vec<_>>().join("-"));
        } else if let Some(at) = words.iter().rposition(|word| is_number(word)) {
            // "12 a" is "12a".
            let letter = words.get(at + 1).filter(|word| word.len() == 1 && word.is_ascii()).cloned();
            let number = words.remove(at);
            if letter.is_some() {
                words.remove(at);
            }
            self.number = Some(format!("{number}{}", letter.unwrap_or_default()));
        }
        self.whole = text::cut(&words.concat());
        let mut name = Vec::new();
        for word in &words {
            if let Some(direction) = DIRECTIONS.get(word.as_str()).copied().filter(|_| words.len() > 1) {
                self.direction.get_or_insert(direction);
            } else if let Some(kind) = STREET_KINDS.get(word.as_str()).copied() {
                // "St" is a saint in front of a name and a street behind it: only the last one is the kind.
                if let Some(earlier) = self.kind.replace(kind)
                    && name.is_empty()
                {
                    name.push(earlier.to_owned());
                }
            } else if let Some(stem) = stem(word) {
                self.kind = Some("street");
                name.push(stem.to_owned());
            } else if !FILLERS.contains(&word.as_str()) {
                name.push(word.clone());
            }
        }
        self.name = if name.is_empty() {
            self.kind.unwrap_or_default().to_owned()
        } else {
            text::cut(&name.concat())
        };
    }

    const fn looks_like_a_street(&self) -> u8 {
        let kind = if self.kind.is_some() { 2 } else { 0 };
        let number = if self.number.is_some() { 1 } else { 0 };
        let name = if self.name.is_empty() { 0 } else { 1 };
        kind + number + name
    }

    fn is_empty(&self) -> bool {
        self.name.is_empty() && self.number.is_none() && self.unit.is_none()
    }

    /// How alike the streets of two lines are. The kind of street hardly tells, the direction does.
    pub(super) fn likeness(&self, other: &Self) -> Likeness {
        let mut likeness = text::likeness(&self.name, &other.name);
        if self.kind.is_none() != other.kind.is_none() {
            // "Examplestreet" or "Example Stret": one of the two was not taken apart.
            likeness = likeness.max(text::likeness(&self.whole, &other.whole));
        }
        let turned = matches!((self.direction, other.direction), (Some(a), Some(b)) if a != b);
        if turned { likeness.min(Likeness::Similar) } else { likeness }
    }
}

/// Words that are as often left out.
const FILLERS: [&str; 20] = [
    "the", "of", "de", "du", "des", "del", "della", "di", "da", "do", "dos", "das", "der", "den", "von",
    "van", "la", "le", "no", "nr",
];

fn is_number(word: &str) -> bool {
    word.len() <= 8
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word.bytes().filter(u8::is_ascii_alphabetic).count() <= 1
}

/// A flat: digits, with or without a letter, or one or two letters.
fn is_unit(word: &str) -> bool {
    (!word.is_empty() && word.len() <= 2) || (word.len() <= 6 && word.bytes().any(|b| b.is_ascii_digit()))
}

/// "apt5" as unit word and unit.
fn split_unit(word: &str) -> (bool, Option<String>) {
    let at = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
    let (name, unit) = word.split_at(at);
    (name.len() > 2 && UNITS.contains_key(name), (!unit.is_empty()).then(|| unit.to_owned()))
}

/// "P O Box 5", "PO Box 5", "Postfach 5" as one word and a number.
fn post_box(words: Vec<String>) -> Vec<String> {
    const BOXES: [&[&str]; 7] = [
        &["p", "o", "box"],
        &["po", "box"],
        &["gpo", "box"],
        &["postfach"],
        &["apartado"],
        &["postbus"],
        &["bp"],
    ];
    for names in BOXES {
        if words.len() > names.len() && words.iter().zip(names).all(|(word, name)| word == name) {
            return std::iter::once("postbox".to_owned())
                .chain(words.into_iter().skip(names.len()))
                .collect();
        }
    }
    words
}

/// The street's own part of a word that ends in the kind: "Haupt" of "Hauptstraße".
fn stem(word: &str) -> Option<&str> {
    ENDINGS.iter().find_map(|ending| word.strip_suffix(ending).filter(|stem| stem.len() >= 3))
}

/// A delivery address as it is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The line that looks like a street.
    pub(super) street: Line,
    /// The other one: a building, an estate.
    pub(super) other: Line,
    pub(super) unit: Option<String>,
    pub(super) city: String,
    pub(super) region: String,
    pub(super) postcode: String,
    pub(super) country: String,
}

/// One form of a delivery address: its country, postcode (or city), street, house number and flat, however they are
/// written. `None` without a street, or when nothing says where it is.
#[must_use]
pub fn household(address: &Address) -> Option<Personal<String>> {
    let place = Place::of(address)?;
    let area = if place.postcode.is_empty() { &place.city } else { &place.postcode };
    if place.street.name.is_empty() || area.is_empty() {
        return None;
    }
    let number = place.street.number.as_deref().unwrap_or_default();
    let unit = place.unit.as_deref().unwrap_or_default();
    Some(Personal::new([&place.country, area, &place.street.name, number, unit].join("|")))
}

impl Place {
    pub(super) fn of(address: &Address) -> Option<Self> {
        let text = |value: &Option<Personal<String>>| {
            value.as_ref().map(|value| value.expose().clone()).unwrap_or_default()
        };
        let joined = |value: &Option<Personal<String>>| {
            text::cut(&text::words(value.as_ref().map_or("", |value| value.expose())).concat())
        };
        let (mut street, mut other) =
            (Line::of(&text(&address.address1)), Line::of(&text(&address.address2)));
        if other.looks_like_a_street() > street.looks_like_a_street() {
            std::mem::swap(&mut street, &mut other);
        }
        // "12 | Example Street": the number alone in one line belongs to the street in the other.
        if street.number.is_none() && other.name.is_empty() {
            street.number = other.number.take();
        }
        // A second line that is only a number is a flat.
        let lone = other.number.take_if(|_| other.name.is_empty());
        let unit = street.unit.clone().or_else(|| other.unit.clone()).or(lone);
        let place = Self {
            unit,
            city: joined(&address.city),
            region: joined(&address.province_code),
            postcode: joined(&address.zip),
            country: joined(&address.country_code),
            street,
            other,
        };
        let empty = place.street.is_empty()
            && place.other.is_empty()
            && place.unit.is_none()
            && place.city.is_empty()
            && place.postcode.is_empty();
        (!empty).then_some(place)
    }

    /// The street's own name, and in which line it stands: what both places have most in common.
    pub(super) fn street_likeness(&self, other: &Self) -> Option<Likeness> {
        let pairs =
            [(&self.street, &other.street), (&self.street, &other.other), (&self.other, &other.street)];
        let mut best = None;
        for (a, b) in pairs {
            if !a.name.is_empty() && !b.name.is_empty() {
                best = best.max(Some(a.likeness(b)));
            }
        }
        // Without both streets there is nothing to compare; without one of them, only a likeness counts.
        if self.street.name.is_empty() || other.street.name.is_empty() {
            return best.filter(|likeness| *likeness > Likeness::Unlike);
        }
        best
    }

    /// Whether the lines beside the street agree, where both have one.
    pub(super) fn other_likeness(&self, other: &Self) -> Option<Likeness> {
        let (a, b) = (&self.other.name, &other.other.name);
        (!a.is_empty() && !b.is_empty()).then(|| text::likeness(a, b))
    }

    pub(super) fn unit_likeness(&self, other: &Self) -> Option<Likeness> {
        let (a, b) = (self.unit.as_ref()?, other.unit.as_ref()?);
        Some(if a == b { Likeness::Same } else { Likeness::Unlike })
    }

    pub(super) fn number_likeness(&self, other: &Self) -> Option<Likeness> {
        let (a, b) = (self.street.number.as_ref()?, other.street.number.as_ref()?);
        Some(number_likeness(a, b))
    }

    pub(super) fn postcode_likeness(&self, other: &Self) -> Option<Likeness> {
        let (a, b) = (&self.postcode, &other.postcode);
        if a.is_empty() || b.is_empty() {
            return None;
        }
        let near = || {
            strsim::osa_distance(a, b) == 1
                || (a.len().min(b.len()) >= 5 && (a.starts_with(b.as_str()) || b.starts_with(a.as_str())))
        };
        Some(match () {
            () if a == b => Likeness::Same,
            () if near() => Likeness::Near,
            () => Likeness::Unlike,
        })
    }

    pub(super) fn city_likeness(&self, other: &Self) -> Option<Likeness> {
        (!self.city.is_empty() && !other.city.is_empty()).then(|| text::likeness(&self.city, &other.city))
    }

    pub(super) fn region_likeness(&self, other: &Self) -> Option<Likeness> {
        (!self.region.is_empty() && !other.region.is_empty())
            .then(|| text::likeness(&self.region, &other.region))
    }

    /// Whether both say a country, and not the same.
    pub(super) fn abroad(&self, other: &Self) -> bool {
        !self.country.is_empty() && !other.country.is_empty() && self.country != other.country
    }
}

/// "12" and "12a", "12" and "12-14", "12" and "21", "123" and "124" are near; other numbers are other houses.
fn number_likeness(a: &str, b: &str) -> Likeness {
    if a == b {
        return Likeness::Same;
    }
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let part_of = |a: &str, b: &str| a.split('-').any(|part| part == b);
    let exchanged = a.len() == b.len() && a.chars().rev().eq(b.chars());
    let slip = exchanged || (a.len().min(b.len()) >= 3 && strsim::osa_distance(a, b) == 1);
    if digits(a) == digits(b) || part_of(a, b) || part_of(b, a) || slip {
        Likeness::Near
    } else {
        Likeness::Unlike
    }
}
