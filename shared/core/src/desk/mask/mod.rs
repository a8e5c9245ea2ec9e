//! What of a mail may leave for Claude: names, addresses, numbers and links are replaced by placeholders such as
//! `⟦EMAIL_1⟧`, and put back into the answer. How values are found is in `find` (by their pattern) and `known` (by being
//! known); what is asked of Claude is `prompt`'s.

mod find;
mod known;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

pub(super) use find::{SHORTEST_PHONE, patterns};
pub use known::Known;
pub use view::hides;
pub(super) use view::{View, is_hidden};

use crate::data_map::Category;
use crate::egress::{Categories, Outgoing};
use crate::normalize;
use crate::personal::Personal;

/// What a placeholder opens and closes with. No masked text has them but in placeholders and where `prompt` puts them.
pub(super) const OPEN: char = '⟦';
/// See [`OPEN`].
pub(super) const CLOSE: char = '⟧';

/// Brackets that could be taken for ours.
const LOOK_ALIKES: [char; 8] = [OPEN, CLOSE, '〚', '〛', '⟬', '⟭', '⦗', '⦘'];

/// How many of the last digits two spellings of a phone number share: national and international ones differ before.
const PHONE_DIGITS: usize = 8;

/// What stands behind a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A person's name, or a part of it.
    Name,
    /// An e-mail address, or a name on a social network.
    Email,
    /// A phone number.
    Phone,
    /// A street, a postal code, a line of an address.
    Address,
    /// The number of an order or an invoice.
    Order,
    /// The number of a parcel, or a code that looks like one.
    Tracking,
    /// A link or a domain.
    Link,
    /// The number of a bank account or a card.
    Account,
    /// Another number.
    Number,
    /// What could be taken for a placeholder or is not seen.
    Text,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Name,
        Self::Email,
        Self::Phone,
        Self::Address,
        Self::Order,
        Self::Tracking,
        Self::Link,
        Self::Account,
        Self::Number,
        Self::Text,
    ];

    /// Whether it is a number of some sort: which one, patterns cannot always tell.
    pub(super) const fn is_number(self) -> bool {
        matches!(self, Self::Phone | Self::Order | Self::Tracking | Self::Account | Self::Number)
    }

    /// The word for it in placeholders.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Email => "EMAIL",
            Self::Phone => "PHONE",
            Self::Address => "ADDRESS",
            Self::Order => "ORDER",
            Self::Tracking => "TRACKING",
            Self::Link => "LINK",
            Self::Account => "ACCOUNT",
            Self::Number => "NUMBER",
            Self::Text => "TEXT",
        }
    }
}

/// The form under which two spellings of a value are one.
pub(super) fn key(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Phone => {
            let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
            digits[digits.len().saturating_sub(PHONE_DIGITS)..].iter().collect()
        }
        Kind::Email => normalize::email(text).map_or_else(|| normalize::fold(text), Personal::into_inner),
        Kind::Link | Kind::Text => text.to_lowercase(),
        Kind::Order | Kind::Tracking | Kind::Account | Kind::Number => normalize::fold(text).replace(' ', ""),
        Kind::Name | Kind::Address => normalize::fold(text),
    }
}

/// A place in a text that is replaced, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// The known value it is, where it is one.
    pub(super) known: Option<String>,
}

struct Entry {
    kind: Kind,
    number: usize,
    /// How it was written, with whether it was given out that way.
    spellings: Vec<(String, bool)>,
}

/// Masks the texts of one conversation and restores the answer. The same value has the same placeholder in all of them.
pub struct Masker<'a> {
    known: &'a Known,
    entries: Vec<Entry>,
    by_key: BTreeMap<(Kind, String), usize>,
}

impl fmt::Debug for Masker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(masks {} values)", self.entries.len())
    }
}

/// A text without what it is about. There is no other way to make one than [`Masker::mask`].
#[derive(Clone, PartialEq, Eq)]
pub struct Masked(String);

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(masked)")
    }
}

impl Masked {
    /// What somebody wrote, on its way out: correspondence, and what the caller says it is about besides.
    #[must_use]
    pub fn into_outgoing(self, besides: Categories) -> Outgoing<String> {
        Outgoing::carrying(Categories::of(&[Category::Correspondence]).and(besides), self.0)
    }

    /// What is known of an order, on its way out: nobody's words, so it is about the order alone.
    pub(super) fn into_order(self) -> Outgoing<String> {
        Outgoing::about(Category::OrderMetadata, self.0)
    }

    /// The text, for whoever looks at what would leave.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// No more than so many characters of it from its beginning, with no placeholder cut.
    #[must_use]
    pub fn shortened(mut self, most: usize) -> Self {
        if let Some((cut, _)) = self.0.char_indices().nth(most) {
            let open = self.0[..cut].rfind(OPEN).filter(|open| !self.0[*open..cut].contains(CLOSE));
            self.0.truncate(open.unwrap_or(cut));
            self.0.push('…');
        }
        self
    }
}

/// A mail as it was written, on its way out: it is about whom it names, too.
#[must_use]
pub fn unmasked(text: &Personal<String>) -> Outgoing<String> {
    let all = [Category::Correspondence, Category::CustomerContact, Category::CustomerAddress];
    Outgoing::carrying(Categories::of(&all), text.expose().clone())
}

/// An answer has a placeholder that was never given out, or part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPlaceholder;

impl fmt::Display for UnknownPlaceholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer has a placeholder that stands for nothing: a person has to write the reply")
    }
}

impl std::error::Error for UnknownPlaceholder {}

impl<'a> Masker<'a> {
    /// A masker that knows these values. Their placeholders have the first numbers, whatever texts say.
    #[must_use]
    pub fn new(known: &'a Known) -> Self {
        let mut masker = Self { known, entries: Vec::new(), by_key: BTreeMap::new() };
        for (kind, key, spelling) in known.values() {
            let entry = masker.entry(kind, key.to_owned());
            if masker.entries[entry].spellings.is_empty() {
                masker.entries[entry].spellings.push((spelling.to_owned(), false));
            }
        }
        masker
    }

    fn entry(&mut self, kind: Kind, key: String) -> usize {
        let next = self.entries.len();
        let number = self.entries.iter().filter(|entry| entry.kind == kind).count() + 1;
        let place = *self.by_key.entry((kind, key)).or_insert(next);
        if place == next {
            self.entries.push(Entry { kind, number, spellings: Vec::new() });
        }
        place
    }

    fn give_out(&mut self, kind: Kind, key: String, written: &str) -> String {
        let place = self.entry(kind, key);
        let entry = &mut self.entries[place];
        let spelling = entry.spellings.iter().position(|(spelling, _)| spelling == written);
        let spelling = spelling.unwrap_or_else(|| {
            entry.spellings.push((written.to_owned(), false));
            entry.spellings.len() - 1
        });
        entry.spellings[spelling].1 = true;
        let (word, number) = (kind.word(), entry.number);
        match spelling {
            0 => format!("{OPEN}{word}_{number}{CLOSE}"),
            other => format!("{OPEN}{word}_{number}.{}{CLOSE}", other + 1),
        }
    }

    /// A text with placeholders. The same text always has the same ones.
    pub fn mask(&mut self, text: &Personal<String>) -> Masked {
        let mut out = String::with_capacity(text.expose().len());
        self.mask_piece(text.expose(), &mut out);
        Masked(out)
    }

    /// A value that is replaced as a whole, known or not.
    pub fn mask_value(&mut self, kind: Kind, value: &Personal<String>) -> Masked {
        let written = value.expose();
        Masked(if written.is_empty() {
            String::new()
        } else {
            self.give_out(kind, key(kind, written), written)
        })
    }

    /// What is left between placeholders is looked at again: what a value leaves beside it can be one.
    fn mask_piece(&mut self, piece: &str, out: &mut String) {
        let spans = spans(piece, self.known);
        let mut at = 0;
        if spans.is_empty() {
            out.push_str(piece);
            return;
        }
        for span in spans {
            self.mask_piece(&piece[at..span.start], out);
            let written = &piece[span.start..span.end];
            let key = span.known.unwrap_or_else(|| key(span.kind, written));
            let placeholder = self.give_out(span.kind, key, written);
            out.push_str(&placeholder);
            at = span.end;
        }
        self.mask_piece(&piece[at..], out);
    }

    /// An answer with the values that its placeholders stand for. One that was not given out in a text stands for nothing.
    pub fn restore(&self, answer: &str) -> Result<Personal<String>, UnknownPlaceholder> {
        static PLACEHOLDER: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"^⟦([A-Z]{1,10})_([0-9]{1,6})(?:\.([0-9]{1,6}))?⟧").ok());
        let pattern = PLACEHOLDER.as_ref().ok_or(UnknownPlaceholder)?;
        let mut restored = String::with_capacity(answer.len());
        let mut rest = answer;
        while let Some(at) = rest.find([OPEN, CLOSE]) {
            restored.push_str(&rest[..at]);
            rest = &rest[at..];
            let found = pattern.captures(rest).ok_or(UnknownPlaceholder)?;
            let number = |group| found.get(group).and_then(|digits| digits.as_str().parse::<usize>().ok());
            let spelling = if found.get(3).is_some() { number(3) } else { Some(1) };
            let value = Kind::ALL
                .into_iter()
                .find(|kind| kind.word() == &found[1])
                .zip(number(2))
                .and_then(|(kind, number)| {
                    self.entries.iter().find(|entry| entry.kind == kind && entry.number == number)
                })
                .zip(spelling.and_then(|spelling| spelling.checked_sub(1)))
                .and_then(|(entry, spelling)| entry.spellings.get(spelling))
                .filter(|(_, given)| *given)
                .ok_or(UnknownPlaceholder)?;
            restored.push_str(&value.0);
            rest = &rest[found[0].len()..];
        }
        restored.push_str(rest);
        Ok(Personal::new(restored))
    }

    /// Whether a value stood in one of the texts, however it was written.
    #[must_use]
    pub fn stood_in_a_text(&self, kind: Kind, value: &str) -> bool {
        let entry = self.by_key.get(&(kind, key(kind, value))).map(|place| &self.entries[*place]);
        entry.is_some_and(|entry| entry.spellings.iter().any(|(_, given)| *given))
    }
}

/// What is replaced in a text, from its beginning, none of them overlapping.
fn spans(text: &str, known: &Known) -> Vec<Span> {
    let view = View::of(text);
    let mut spans = known.find(&view.folded());
    spans.extend(patterns(&view));
    for (start, c) in text.char_indices() {
        if LOOK_ALIKES.contains(&c) || is_hidden(c) {
            spans.push(Span { start, end: start + c.len_utf8(), kind: Kind::Text, known: None });
        }
    }
    merge(spans)
}

/// Spans that overlap are one, of the kind of the longest: nothing of a value is left beside it.
fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    struct Heap {
        start: usize,
        end: usize,
        longest: Span,
    }
    spans.retain(|span| span.start < span.end);
    spans.sort_by_key(|span| (span.start, span.end));
    let mut heaps: Vec<Heap> = Vec::new();
    for span in spans {
        let rank = |span: &Span| (span.end - span.start, span.known.is_some());
        match heaps.last_mut() {
            Some(heap) if span.start < heap.end => {
                heap.end = heap.end.max(span.end);
                if rank(&span) > rank(&heap.longest) {
                    heap.longest = span;
                }
            }
            _ => heaps.push(Heap { start: span.start, end: span.end, longest: span }),
        }
    }
    let whole = |heap: Heap| {
        let covers = heap.longest.start == heap.start && heap.longest.end == heap.end;
        let known = heap.longest.known.filter(|_| covers);
        Span { start: heap.start, end: heap.end, kind: heap.longest.kind, known }
    };
    heaps.into_iter().map(whole).collect()
}

/// Every value of a text by its pattern: for whoever checks what stands in a reply. Of one kind they do not overlap; a value
/// that could be of two kinds is there as both, so that none hides behind the other.
pub(super) fn values(text: &str) -> Vec<Span> {
    let found = patterns(&View::of(text));
    let of_kind = |kind| merge(found.iter().filter(|span| span.kind == kind).cloned().collect());
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

/// The numbers of orders that a text names, as it names them, each once and no more than so many.
#[must_use]
pub fn orders_named(text: &str, most: usize) -> Vec<Personal<String>> {
    let mut orders: Vec<Personal<String>> = Vec::new();
    for span in values(text).into_iter().filter(|span| span.kind == Kind::Order) {
        let Some(order) = text.get(span.start..span.end) else { continue };
        let order = Personal::new(order.trim().to_owned());
        if orders.len() < most && !orders.contains(&order) {
            orders.push(order);
        }
    }
    orders
}

#[cfg(test)]
mod tests;
