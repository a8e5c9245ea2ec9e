//! Names: given and family name, in either order, with short forms, initials and double names; and how common a name
//! is. The tables hold facts about languages, none about a shop's customers.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::text::{self, Likeness};
use crate::order::Address;

/// The commonest names and their shares, in 100,000ths.
static COMMON: LazyLock<Common> = LazyLock::new(|| Common::read(include_str!("data/names.txt")));

/// Pairs of given names of which one is short for the other, in both directions.
static SHORT_FORMS: LazyLock<HashSet<(&str, &str)>> = LazyLock::new(|| {
    let lines = include_str!("data/nicknames.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(full, short)| {
            short.split_whitespace().flat_map(move |short| [(full, short), (short, full)])
        })
        .collect()
});

#[derive(Debug, Default)]
struct Common {
    given: HashMap<&'static str, f64>,
    family: HashMap<&'static str, f64>,
}

impl Common {
    fn read(table: &'static str) -> Self {
        let mut common = Self::default();
        let mut family = false;
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with('[') {
                family = line == "[family]";
                continue;
            }
            let names = if family { &mut common.family } else { &mut common.given };
            let entries = line.split(' ').filter_map(|entry| entry.split_once(':'));
            names.extend(
                entries.filter_map(|(name, share)| Some((name, share.parse::<f64>().ok()? / 100_000.0))),
            );
        }
        common
    }
}

/// One half of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    words: Vec<String>,
    joined: String,
}

impl Part {
    fn of(text: Option<&str>) -> Option<Self> {
        let words = text::words(text?);
        let joined = text::cut(&words.concat());
        (!joined.is_empty()).then_some(Self { words, joined })
    }

    /// The words run together.
    pub(super) fn joined(&self) -> &str {
        &self.joined
    }

    /// How common it is, when it is one of the commonest: as a given or as a family name, people fill in either.
    fn share(&self) -> Option<f64> {
        let of = |names: &HashMap<&'static str, f64>| names.get(self.joined.as_str()).copied();
        match (of(&COMMON.given), of(&COMMON.family)) {
            (Some(given), Some(family)) => Some(given.max(family)),
            (given, family) => given.or(family),
        }
    }

    fn likeness(&self, other: &Self) -> Likeness {
        let whole = text::likeness(&self.joined, &other.joined);
        if whole >= Likeness::Near {
            return whole;
        }
        // One word of a double name stands for it; an initial or a short form stands for a name.
        let mut best = whole;
        for a in &self.words {
            for b in &other.words {
                best = best.max(Self::word_likeness(a, b));
            }
        }
        best
    }

    fn word_likeness(a: &str, b: &str) -> Likeness {
        let initial = |short: &str, long: &str| short.chars().count() == 1 && long.starts_with(short);
        if a == b && a.chars().count() > 2 || SHORT_FORMS.contains(&(a, b)) {
            Likeness::Near
        } else if initial(a, b) || initial(b, a) {
            Likeness::Similar
        } else {
            Likeness::Unlike
        }
    }
}

/// A name as two halves. Which is the given one is what the form said, and often wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) given: Option<Part>,
    pub(super) family: Option<Part>,
}

/// How one half of two names agrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HalfAgreement {
    pub(super) likeness: Likeness,
    /// The share of people with the commoner of the two, when it is a common one.
    pub(super) share: Option<f64>,
}

/// How two names agree, with their halves in the same or in the other order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NameAgreement {
    pub(super) given: Option<HalfAgreement>,
    pub(super) family: Option<HalfAgreement>,
    pub(super) swapped: bool,
}

impl Name {
    pub(super) fn of(address: &Address) -> Option<Self> {
        let part = |value: &Option<crate::personal::Personal<String>>| {
            Part::of(value.as_ref().map(|value| value.expose().as_str()))
        };
        let name = Self { given: part(&address.first_name), family: part(&address.last_name) };
        (name.given.is_some() || name.family.is_some()).then_some(name)
    }

    /// The halves that are there.
    pub(super) fn halves(&self) -> impl Iterator<Item = &Part> {
        self.given.iter().chain(&self.family)
    }

    /// The two ways in which two names can be laid side by side.
    pub(super) fn agreements(&self, other: &Self) -> [NameAgreement; 2] {
        let half = |a: &Option<Part>, b: &Option<Part>| {
            let (a, b) = (a.as_ref()?, b.as_ref()?);
            let share = match (a.share(), b.share()) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
            Some(HalfAgreement { likeness: a.likeness(b), share })
        };
        [
            NameAgreement {
                given: half(&self.given, &other.given),
                family: half(&self.family, &other.family),
                swapped: false,
            },
            NameAgreement {
                given: half(&self.given, &other.family),
                family: half(&self.family, &other.given),
                swapped: true,
            },
        ]
    }
}
