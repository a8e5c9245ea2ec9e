//! The lexicons: one file for each language, which says what words and phrases weigh. How they are written, and how
//! a sentence is searched for them. What the findings add up to is decided elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::text::{Sentence, Word, folded};
use super::{Intent, Language};

/// A word or its beginning, a class of them, or several of these: what one place of a phrase takes.
type Element = u16;

/// The shortest beginning of a word that a lexicon may name.
const SHORTEST_PREFIX: usize = 3;

/// The lexicon of a language, where there is one.
pub(super) fn lexicon(language: Language) -> Option<&'static Lexicon> {
    static LEXICONS: LazyLock<HashMap<Language, Lexicon>> =
        LazyLock::new(|| FILES.iter().map(|&(language, file)| (language, Lexicon::parse(file).0)).collect());
    LEXICONS.get(&language)
}

/// The files, in the order in which they are asked where the language of a text cannot be told.
pub(super) const FILES: [(Language, &str); 7] = [
    (Language::English, include_str!("lexicon/en.txt")),
    (Language::German, include_str!("lexicon/de.txt")),
    (Language::French, include_str!("lexicon/fr.txt")),
    (Language::Spanish, include_str!("lexicon/es.txt")),
    (Language::Italian, include_str!("lexicon/it.txt")),
    (Language::Portuguese, include_str!("lexicon/pt.txt")),
    (Language::Dutch, include_str!("lexicon/nl.txt")),
];

/// One place of a phrase.
#[derive(Debug)]
struct Step {
    element: Element,
    /// How many words may stand before it that the phrase does not name.
    gap: usize,
    /// Whether it may be missing.
    optional: bool,
}

/// A word or phrase and what it weighs.
#[derive(Debug)]
pub(super) struct Term {
    /// As the file has it.
    pub(super) name: String,
    /// What it speaks for.
    pub(super) intent: Intent,
    /// How much, in bits.
    pub(super) bits: f64,
    /// Whether what shares a word with it does not count for the same intent: it tells what those words mean here.
    pub(super) overrules: bool,
    steps: Vec<Step>,
}

/// A term in a sentence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit<'a> {
    /// Which.
    pub(super) term: &'a Term,
    /// The words it consists of, a bit for each.
    words: u128,
    /// Whether it is declined.
    pub(super) negated: bool,
}

/// What the words and phrases of a language weigh.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    exact: HashMap<String, Vec<Element>>,
    prefixes: HashMap<String, Vec<Element>>,
    /// Words with one letter left out, and the word.
    slips: HashMap<String, String>,
    /// Words that are near a word that is searched for and are none.
    no_slips: HashSet<String>,
    terms: Vec<Term>,
    /// Phrases that decline what follows, what comes before, and what they stand around.
    declining: [Vec<Vec<Step>>; 3],
    starting: HashMap<Element, Vec<usize>>,
    /// Words after which something else is spoken of, within a clause ("and") and beyond it ("but").
    joins: Option<Element>,
    turns: Option<Element>,
}

/// Where a declining phrase stands.
const BEFORE: usize = 0;
const AFTER: usize = 1;
const AROUND: usize = 2;

/// What a line of the file belongs to.
enum Section {
    None,
    Terms(Intent),
    /// [`BEFORE`], [`AFTER`] or [`AROUND`] what is declined.
    Declined(usize),
}

impl Lexicon {
    /// Reads a file; the second is what is wrong with it, line by line. A line that is wrong is left out.
    pub(super) fn parse(file: &str) -> (Self, Vec<String>) {
        let mut builder = Builder::default();
        let mut section = Section::None;
        let mut wrong = Vec::new();
        for (index, line) in file.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
            if !line.is_empty() && builder.line(line, &mut section).is_none() {
                wrong.push(format!("line {}: {line}", index + 1));
            }
        }
        (builder.lexicon, wrong)
    }

    /// The terms of a sentence that count.
    pub(super) fn hits(&self, sentence: &Sentence<'_>) -> Vec<Hit<'_>> {
        let places = Places::of(self, &sentence.words);
        let mut hits = Vec::new();
        for start in 0..places.elements.len() {
            let starting = places.elements.get(start).into_iter().flatten();
            for &index in starting.filter_map(|element| self.starting.get(element)).flatten() {
                let Some(term) = self.terms.get(index) else { continue };
                if let Some(words) = places.find(&term.steps, start, term.overrules) {
                    hits.push(Hit { term, words, negated: false });
                }
            }
        }
        keep_what_counts(&mut hits);
        let declined = self.declined(&places);
        for hit in hits.iter_mut().filter(|hit| hit.term.bits > 0.0 && hit.term.intent != Intent::Spam) {
            hit.negated = declined.iter().any(|span| places.declines(span, hit.words));
        }
        // A term that stands there twice says no more than once.
        let mut seen: Vec<(*const Term, bool)> = Vec::new();
        hits.retain(|hit| {
            let this = (std::ptr::from_ref(hit.term), hit.negated);
            let first = !seen.contains(&this);
            seen.push(this);
            first
        });
        hits
    }

    /// Whether the lexicon names the word, alone or in a phrase.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.exact.contains_key(word) || prefixes(word).any(|prefix| self.prefixes.contains_key(prefix))
    }

    fn declined(&self, places: &Places) -> Vec<(usize, u128)> {
        let mut spans = Vec::new();
        for (side, phrases) in self.declining.iter().enumerate() {
            for start in 0..places.elements.len() {
                spans.extend(
                    phrases
                        .iter()
                        .filter_map(|steps| places.find(steps, start, true))
                        .map(|words| (side, words)),
                );
            }
        }
        spans
    }

    fn elements(&self, word: &str) -> Vec<Element> {
        let mut found = self.exact.get(word).cloned().unwrap_or_default();
        found.extend(prefixes(word).filter_map(|prefix| self.prefixes.get(prefix)).flatten());
        if found.is_empty()
            && !self.no_slips.contains(word)
            && let Some(meant) = self.slip(word)
        {
            found.extend(self.elements(meant));
        }
        found
    }

    /// The word that was meant where one letter is wrong, missing, too many or has changed places with the next.
    fn slip(&self, word: &str) -> Option<&str> {
        if self.slips.is_empty() || !(5..=20).contains(&word.len()) {
            return None;
        }
        let first = word.chars().next();
        std::iter::once(word.to_owned())
            .chain(shortened(word))
            .filter_map(|short| self.slips.get(&short))
            .find(|meant| meant.chars().next() == first && strsim::osa_distance(meant, word) == 1)
            .map(String::as_str)
    }
}

/// Takes away what a longer phrase, or one that overrules, says better.
fn keep_what_counts(hits: &mut Vec<Hit<'_>>) {
    let all = hits.clone();
    let mut place = 0;
    hits.retain(|hit| {
        let here = place;
        place += 1;
        let others = all.iter().enumerate().filter(|&(there, _)| there != here);
        !others.into_iter().any(|(there, other)| gives_way(hit, other, there < here))
    });
}

/// Whether a hit does not count beside another. Whether a mail is an offer and what a customer wants are told by the
/// same words, each for itself; and what overrules does so for its own intent.
fn gives_way(hit: &Hit<'_>, other: &Hit<'_>, other_is_first: bool) -> bool {
    let same_intent = hit.term.intent == other.term.intent;
    let spam = [hit, other].iter().any(|hit| hit.term.intent == Intent::Spam);
    if !same_intent && (spam || other.term.overrules) {
        return false;
    }
    let overruled = other.term.overrules && !hit.term.overrules;
    let both = hit.words & other.words;
    if hit.words == other.words {
        let (mine, its) = (hit.term.bits.abs(), other.term.bits.abs());
        return same_intent && (overruled || its > mine || (other_is_first && its >= mine));
    }
    both == hit.words || (overruled && both != 0 && both != other.words)
}

/// The words of a sentence, seen through a lexicon.
struct Places {
    elements: Vec<Vec<Element>>,
    /// The number of the clause, which commas and turns end.
    clauses: Vec<usize>,
    /// The number of the part of a clause, which also "and" ends.
    parts: Vec<usize>,
}

impl Places {
    fn of(lexicon: &Lexicon, words: &[Word]) -> Self {
        let mut places = Self { elements: Vec::new(), clauses: Vec::new(), parts: Vec::new() };
        let (mut clause, mut part) = (0, 0);
        for word in words {
            let elements = lexicon.elements(&word.text);
            let is = |what: Option<Element>| what.is_some_and(|what| elements.contains(&what));
            let (turns, joins) = (is(lexicon.turns), is(lexicon.joins));
            clause += usize::from(word.breaks || turns);
            part += usize::from(word.breaks || turns || joins);
            places.clauses.push(clause);
            places.parts.push(part);
            places.elements.push(elements);
        }
        places
    }

    /// The words of a phrase that begins at `start`, if it does. It lies within a clause, or within a part of one.
    fn find(&self, steps: &[Step], start: usize, within_part: bool) -> Option<u128> {
        let (first, rest) = steps.split_first()?;
        let here = self.elements.get(start)?.contains(&first.element);
        if here { self.follow(rest, start, within_part).map(|words| words | 1 << start) } else { None }
    }

    fn follow(&self, steps: &[Step], last: usize, within_part: bool) -> Option<u128> {
        let Some((step, rest)) = steps.split_first() else { return Some(0) };
        let bounds = if within_part { &self.parts } else { &self.clauses };
        for next in last + 1..=last + 1 + step.gap {
            if bounds.get(next).is_none_or(|bound| Some(bound) != bounds.get(last)) {
                break;
            }
            if self.elements.get(next).is_some_and(|elements| elements.contains(&step.element))
                && let Some(words) = self.follow(rest, next, within_part)
            {
                return Some(words | 1 << next);
            }
        }
        if step.optional { self.follow(rest, last, within_part) } else { None }
    }

    /// Whether a declining phrase reaches a term: it stands in the same part, at most three words away.
    fn declines(&self, &(side, phrase): &(usize, u128), term: u128) -> bool {
        const REACH: usize = 3;
        if phrase & term != 0 {
            return false;
        }
        let (before, after) = if side == AFTER { (term, phrase) } else { (phrase, term) };
        let (Some(end), Some(start)) = (last_bit(before), first_bit(after)) else { return false };
        if side == AROUND {
            return first_bit(phrase) < first_bit(term) && last_bit(term) < last_bit(phrase);
        }
        start > end && start - end <= REACH + 1 && self.parts.get(start) == self.parts.get(end)
    }
}

fn first_bit(words: u128) -> Option<usize> {
    (words != 0).then(|| words.trailing_zeros() as usize)
}

fn last_bit(words: u128) -> Option<usize> {
    (words != 0).then(|| 127 - words.leading_zeros() as usize)
}

/// The beginnings of a word that a lexicon can name, the word itself included.
fn prefixes(word: &str) -> impl Iterator<Item = &str> {
    let ends = word.char_indices().map(|(at, character)| at + character.len_utf8());
    ends.skip(SHORTEST_PREFIX - 1).filter_map(|end| word.get(..end))
}

/// The word with one letter left out, in each way.
fn shortened(word: &str) -> impl Iterator<Item = String> {
    word.char_indices().map(|(at, character)| {
        let rest = word.get(at + character.len_utf8()..).unwrap_or("");
        format!("{}{rest}", word.get(..at).unwrap_or(""))
    })
}

/// A lexicon while its file is read.
#[derive(Default)]
struct Builder {
    lexicon: Lexicon,
    classes: HashMap<String, Vec<String>>,
    elements: HashMap<String, Element>,
}

impl Builder {
    /// Takes a line; `None` where it is none.
    fn line(&mut self, line: &str, section: &mut Section) -> Option<()> {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            *section = match name {
                "declined before" => Section::Declined(BEFORE),
                "declined after" => Section::Declined(AFTER),
                "declined around" => Section::Declined(AROUND),
                name => Section::Terms(Intent::named(name)?),
            };
            return Some(());
        }
        match section {
            Section::None => {
                let (name, list) = line.split_once(':')?;
                let list: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
                match name {
                    "joins" => self.lexicon.joins = Some(self.element(&list.join("|"))?),
                    "turns" => self.lexicon.turns = Some(self.element(&list.join("|"))?),
                    "slips" => list.iter().for_each(|word| self.slip(word)),
                    "no slips" => self.lexicon.no_slips.extend(list.iter().map(|word| folded(word))),
                    name if name.starts_with('@') => {
                        self.classes.entry(name.to_owned()).or_default().extend(list);
                    }
                    _ => return None,
                }
            }
            Section::Terms(intent) => {
                let (weight, phrase) = line.split_once(char::is_whitespace)?;
                let overrules = weight.starts_with('!');
                let bits: f64 = weight.trim_start_matches('!').parse().ok()?;
                let steps = self.steps(phrase)?;
                let first = steps.first()?.element;
                self.lexicon.starting.entry(first).or_default().push(self.lexicon.terms.len());
                let name = phrase.trim().to_owned();
                self.lexicon.terms.push(Term { name, intent: *intent, bits, overrules, steps });
            }
            Section::Declined(side) => {
                let steps = self.steps(line)?;
                self.lexicon.declining.get_mut(*side)?.push(steps);
            }
        }
        Some(())
    }

    fn slip(&mut self, word: &str) {
        let word = folded(word);
        for short in shortened(&word).chain([word.clone()]) {
            self.lexicon.slips.insert(short, word.clone());
        }
    }

    /// A phrase: places, with `..3` between two where up to three other words may stand there, and `?` after one
    /// that may be missing.
    fn steps(&mut self, phrase: &str) -> Option<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        let mut gap = 0;
        for part in phrase.split_whitespace() {
            if let Some(words) = part.strip_prefix("..") {
                gap = words.parse().ok().filter(|&gap| (1..=9).contains(&gap) && !steps.is_empty())?;
                continue;
            }
            let optional = part.ends_with('?');
            let element = self.element(part.trim_end_matches('?'))?;
            if optional && steps.is_empty() {
                return None;
            }
            steps.push(Step { element, gap: std::mem::take(&mut gap), optional });
        }
        (gap == 0 && !steps.is_empty()).then_some(steps)
    }

    /// What a place takes: words, beginnings (`deliver*`) and classes (`@goods`), any of them (`|`).
    fn element(&mut self, text: &str) -> Option<Element> {
        if let Some(&known) = self.elements.get(text) {
            return Some(known);
        }
        let element = Element::try_from(self.elements.len()).ok()?;
        let mut words = Vec::new();
        for choice in text.split('|') {
            if choice.starts_with('@') {
                words.extend(self.classes.get(choice)?.iter().cloned());
            } else {
                words.push(choice.to_owned());
            }
        }
        for word in &words {
            let (word, table) = match word.strip_suffix('*') {
                Some(prefix) if prefix.chars().count() >= SHORTEST_PREFIX => {
                    (prefix, &mut self.lexicon.prefixes)
                }
                Some(_) => return None,
                None => (word.as_str(), &mut self.lexicon.exact),
            };
            if word.is_empty() {
                return None;
            }
            for spelling in spellings(word) {
                let elements = table.entry(spelling).or_default();
                if !elements.contains(&element) {
                    elements.push(element);
                }
            }
        }
        self.elements.insert(text.to_owned(), element);
        Some(element)
    }
}

/// A word as it is folded, and with its umlauts spelled out, as who has no such keys types them. A mark such as
/// `%link` is the one that stands in the words of a text.
fn spellings(word: &str) -> Vec<String> {
    if let Some(mark) = word.strip_prefix('%') {
        return vec![format!("#{mark}")];
    }
    let spelled = word.replace('ä', "ae").replace('ö', "oe").replace('ü', "ue");
    let (plain, spelled) = (folded(word), folded(&spelled));
    if plain == spelled { vec![plain] } else { vec![plain, spelled] }
}
