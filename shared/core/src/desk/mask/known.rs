//! The values that are known of whoever wrote and of the shop's people, and how they are found again however they are
//! written: in any case, without marks, across a line, inside a longer word.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::view::Folded;
use super::{Kind, Span, key};
use crate::mail::Address;
use crate::normalize;
use crate::personal::Personal;

/// A value of so many letters is found inside longer words; a shorter one would be found everywhere.
const INSIDE_WORDS: usize = 4;

/// What stands between two words of a value, at most.
const WIDEST_GAP: usize = 24;

/// Parts of names that say nothing of a person.
const PARTICLES: [&str; 28] = [
    "al", "and", "bin", "da", "das", "de", "del", "della", "den", "der", "di", "do", "dos", "dr", "du", "el",
    "frau", "herr", "la", "le", "mr", "mrs", "ms", "och", "the", "van", "von", "y",
];

/// The parts before the `@` that name no person.
const OFFICES: [&str; 16] = [
    "admin",
    "bestellung",
    "billing",
    "contact",
    "customer",
    "customers",
    "einkauf",
    "hello",
    "office",
    "orders",
    "order",
    "service",
    "support",
    "kontakt",
    "rechnung",
    "postmaster",
];

struct Value {
    kind: Kind,
    key: String,
    spelling: Personal<String>,
    /// Folded letters, each with whether something may stand before it.
    letters: Vec<(char, bool)>,
}

/// What is known: whom a mail is from, whom the order names, who works at the shop.
#[derive(Default)]
pub struct Known {
    values: Vec<Value>,
    seen: BTreeSet<(Kind, Vec<(char, bool)>)>,
    by_first: BTreeMap<char, Vec<usize>>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} known values)", self.values.len())
    }
}

impl Known {
    /// Whom a mail names: addresses, and the names at them.
    #[must_use]
    pub fn people<'a>(self, people: impl IntoIterator<Item = &'a Address>) -> Self {
        people.into_iter().fold(self, |known, person| {
            let known = known.email(&person.address);
            person.name.iter().fold(known, Self::name)
        })
    }

    /// A name, and each part of it.
    #[must_use]
    pub fn name(mut self, name: &Personal<String>) -> Self {
        let text = name.expose();
        self.add(Kind::Name, text, text, false);
        let parts: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’').collect();
        for part in parts.into_iter().filter(|part| part.chars().count() > 1) {
            let folded = normalize::fold(part);
            if folded.chars().count() > 1 && !PARTICLES.contains(&folded.as_str()) {
                self.add(Kind::Name, part, part, false);
            }
        }
        self
    }

    /// An e-mail address, and its part before the `@` where that can be somebody's name.
    #[must_use]
    pub fn email(mut self, email: &Personal<String>) -> Self {
        let text = email.expose();
        self.add(Kind::Email, text, text, false);
        if let Some((local, _)) = text.rsplit_once('@') {
            let folded = normalize::fold(local);
            if folded.chars().count() > INSIDE_WORDS && !OFFICES.contains(&folded.as_str()) {
                self.add(Kind::Email, local, local, false);
            }
        }
        self
    }

    /// A phone number, with and without what is dialled before it from abroad.
    #[must_use]
    pub fn phone(mut self, phone: &Personal<String>) -> Self {
        let digits: String = phone.expose().chars().filter(char::is_ascii_digit).collect();
        for cut in [0, 1, 2, 3, 4] {
            if let Some(national) = digits.get(cut..).filter(|national| national.len() >= 6) {
                self.add(Kind::Phone, national, phone.expose(), true);
            }
        }
        self
    }

    /// A line of an address: a street, a city, a postal code.
    #[must_use]
    pub fn address_line(mut self, line: &Personal<String>) -> Self {
        let text = line.expose();
        let folded = normalize::fold(text);
        if folded.chars().filter(|c| c.is_alphanumeric()).count() > 2 {
            self.add(Kind::Address, text, text, false);
        }
        // The street is one without its number, too.
        let words = folded.split(' ').filter(|word| !word.chars().any(|c| c.is_ascii_digit()));
        let street = words.collect::<Vec<_>>().join(" ");
        if street.chars().count() > INSIDE_WORDS {
            self.add(Kind::Address, &street, text, false);
        }
        self
    }

    /// The name of an order, with or without its `#`.
    #[must_use]
    pub fn order(mut self, name: &Personal<String>) -> Self {
        self.add(Kind::Order, name.expose(), name.expose(), false);
        self
    }

    /// The number of a parcel.
    #[must_use]
    pub fn tracking(mut self, number: &Personal<String>) -> Self {
        self.add(Kind::Tracking, number.expose(), number.expose(), true);
        self
    }

    /// A link, such as where a parcel is followed.
    #[must_use]
    pub fn link(mut self, link: &Personal<String>) -> Self {
        self.add(Kind::Link, link.expose(), link.expose(), false);
        self
    }

    /// Whether a value is one that is known, however it is written.
    #[must_use]
    pub fn has(&self, kind: Kind, text: &str) -> bool {
        let wanted = key(kind, text);
        self.values.iter().any(|value| value.kind == kind && value.key == wanted)
    }

    /// What is known, in the order in which it was said, each once.
    pub(super) fn values(&self) -> impl Iterator<Item = (Kind, &str, &str)> {
        self.values.iter().map(|value| (value.kind, value.key.as_str(), value.spelling.expose().as_str()))
    }

    fn add(&mut self, kind: Kind, text: &str, spelling: &str, loose: bool) {
        let folded = normalize::fold(text);
        // As names are written where the keyboard has no marks, and the other way round.
        let marked = with_vowels(text, &[('ä', "ae"), ('ö', "oe"), ('ü', "ue"), ('å', "aa"), ('ø', "oe")]);
        let unmarked = folded.replace("ae", "a").replace("oe", "o").replace("ue", "u");
        for form in [folded.clone(), normalize::fold(&marked), unmarked] {
            let mut letters: Vec<(char, bool)> = Vec::new();
            let mut gap = false;
            for c in form.chars() {
                if c == ' ' {
                    gap = true;
                } else {
                    letters.push((c, gap || loose));
                    gap = false;
                }
            }
            let enough = letters.len() > 1 || letters.first().is_some_and(|(c, _)| c.is_ascii_digit());
            if !enough || !self.seen.insert((kind, letters.clone())) {
                continue;
            }
            let place = self.values.len();
            self.by_first.entry(letters[0].0).or_default().push(place);
            let key = key(kind, spelling);
            self.values.push(Value { kind, key, spelling: Personal::new(spelling.to_owned()), letters });
        }
    }

    /// Every place where a known value stands.
    pub(super) fn find(&self, text: &[Folded]) -> Vec<Span> {
        let mut found = Vec::new();
        for start in 0..text.len() {
            let Some(places) = self.by_first.get(&text[start].c) else { continue };
            for value in places.iter().map(|place| &self.values[*place]) {
                if let Some((first, end)) = value.stands_at(text, start) {
                    let span = (text[first].start, text[end - 1].end);
                    found.push(Span {
                        start: span.0,
                        end: span.1,
                        kind: value.kind,
                        known: Some(value.key.clone()),
                    });
                }
            }
        }
        found
    }
}

fn with_vowels(text: &str, pairs: &[(char, &str)]) -> String {
    pairs.iter().fold(text.to_lowercase(), |text, (letter, pair)| text.replace(*letter, pair))
}

/// Scripts without spaces between words, where a longer word cannot be told.
const fn is_unspaced(c: char) -> bool {
    c >= '\u{2e80}'
}

impl Value {
    /// The first and one behind the last place of the value when it begins at `start`, with the whole word it is in.
    fn stands_at(&self, text: &[Folded], start: usize) -> Option<(usize, usize)> {
        let mut at = start;
        for (place, (letter, gap)) in self.letters.iter().enumerate() {
            if place > 0 && text.get(at)?.c != *letter {
                at = if *gap { after_gap(text, at) } else { after_break(text, at) };
            }
            if text.get(at)?.c != *letter {
                return None;
            }
            at += 1;
        }
        let of_a_word = |place: usize| text.get(place).is_some_and(|letter| letter.c.is_alphanumeric());
        if is_unspaced(self.letters[0].0) {
            return Some((start, at));
        }
        let before = start > 0 && of_a_word(start - 1);
        let after = of_a_word(at);
        if self.letters.len() < INSIDE_WORDS || self.kind == Kind::Order && self.letters.len() < 6 {
            // "Jo" is in "Jo's" and not in "job".
            let genitive = text.get(at).is_some_and(|letter| letter.c == 's') && !of_a_word(at + 1);
            return (!before && (!after || genitive)).then_some((start, at + usize::from(after)));
        }
        let belongs = |place: usize| {
            text.get(place).is_some_and(|letter| letter.c.is_alphanumeric() && !is_unspaced(letter.c))
        };
        let (mut first, mut end) = (start, at);
        while first > 0 && belongs(first - 1) {
            first -= 1;
        }
        while belongs(end) {
            end += 1;
        }
        Some((first, end))
    }
}

/// Behind whatever stands between two words.
fn after_gap(text: &[Folded], at: usize) -> usize {
    let gap = text[at..].iter().take(WIDEST_GAP).take_while(|letter| !letter.c.is_alphanumeric()).count();
    at + gap
}

/// Behind the end of a line inside a word, with its hyphen and the marks of a quotation.
fn after_break(text: &[Folded], at: usize) -> usize {
    let is = |place: usize, wanted: &[char]| text.get(place).is_some_and(|letter| wanted.contains(&letter.c));
    let mut next = at;
    while is(next, &['-', '=', ' ', '\t']) {
        next += 1;
    }
    if !is(next, &['\n']) {
        return at;
    }
    while is(next, &['\n', ' ', '\t', '>', '|']) && next - at < WIDEST_GAP {
        next += 1;
    }
    next
}
