//! A mail as sentences of folded words. Folding removes case, diacritics and the ways to type an apostrophe; what is
//! kept of an address or a link is only that there is one.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// So much of a text is read. Who asks for something says so on the first pages; the rest of a text that is longer
/// is mostly pasted, and reading it would make the time a mail takes its sender's choice.
pub(super) const MOST_CHARACTERS: usize = 12_000;

/// The words of a sentence at most, because terms are marked by one bit for each; a longer one is cut in pieces.
pub(super) const MOST_WORDS: usize = 128;

/// A longer run of letters is no word of any lexicon.
const LONGEST_WORD: usize = 32;

/// A line shorter than this ends a sentence; a longer one was wrapped by the mail program.
const WRAPPED_LINE: usize = 50;

/// Stands for a word that begins with a digit.
pub(super) const NUMBER: &str = "#number";
/// Stands for a link.
pub(super) const LINK: &str = "#link";
/// Stands for an e-mail address.
pub(super) const ADDRESS: &str = "#address";
/// Stands for a sign of currency.
pub(super) const MONEY: &str = "#money";
/// Stands for a percent sign.
pub(super) const PERCENT: &str = "#percent";

/// A word of a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Folded.
    pub(super) text: String,
    /// Whether punctuation stands between it and the word before.
    pub(super) breaks: bool,
}

/// A sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sentence<'a> {
    /// As it was written.
    pub(super) source: &'a str,
    /// Its words, at most [`MOST_WORDS`].
    pub(super) words: Vec<Word>,
    /// Whether it ends as a question does.
    pub(super) asks: bool,
}

/// The sentences of a text, without those that have no words.
pub(super) fn sentences(text: &str) -> Vec<Sentence<'_>> {
    let end = text.char_indices().nth(MOST_CHARACTERS).map_or(text.len(), |(at, _)| at);
    let text = text.get(..end).unwrap_or(text);
    let mut found = Vec::new();
    let mut start = 0;
    let mut line_start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|&(_, next)| next);
        let ends = match character {
            '\n' => {
                let line = text.get(line_start..at).unwrap_or("").trim();
                line_start = at + 1;
                line.chars().count() < WRAPPED_LINE || next.is_none_or(|next| next == '\n' || next == '\r')
            }
            '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
            '…' | '。' | '！' | '？' | '\u{2028}' | '\u{2029}' => true,
            _ => false,
        };
        if ends {
            let after = at + character.len_utf8();
            push(&mut found, text.get(start..after).unwrap_or(""));
            start = after;
        }
    }
    push(&mut found, text.get(start..).unwrap_or(""));
    found
}

/// A text that is one sentence whatever stands in it: a subject line.
pub(super) fn line(text: &str) -> Vec<Sentence<'_>> {
    let end = text.char_indices().nth(MOST_CHARACTERS).map_or(text.len(), |(at, _)| at);
    let mut found = Vec::new();
    push(&mut found, text.get(..end).unwrap_or(text));
    found
}

fn push<'a>(found: &mut Vec<Sentence<'a>>, source: &'a str) {
    let source = source.trim();
    let asks = source.ends_with(['?', '？']) || source.starts_with('¿');
    let mut words = Words::default();
    source.split_whitespace().for_each(|chunk| words.read(chunk));
    let mut rest = words.list.into_iter().peekable();
    while rest.peek().is_some() {
        found.push(Sentence { source, words: rest.by_ref().take(MOST_WORDS).collect(), asks });
    }
}

/// The words of a sentence while they are read.
#[derive(Default)]
struct Words {
    list: Vec<Word>,
    /// The word that is being read.
    word: String,
    /// Whether punctuation came since the last word.
    breaks: bool,
}

impl Words {
    /// Reads what stands between two spaces.
    fn read(&mut self, chunk: &str) {
        if chunk.contains("://") || chunk.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www.")) {
            return self.add(LINK.to_owned());
        }
        if chunk.char_indices().any(|(at, c)| c == '@' && at > 0 && at + 1 < chunk.len()) {
            return self.add(ADDRESS.to_owned());
        }
        let mut characters = chunk.chars().peekable();
        while let Some(character) = characters.next() {
            let invisible = matches!(character, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{feff}');
            if invisible || is_combining_mark(character) {
            } else if character.is_alphanumeric() {
                fold(character, &mut self.word);
            } else if is_apostrophe(character) && !self.word.is_empty() {
                let after = letters(&characters);
                if after == "t" && self.word.ends_with('n') {
                    // "hasn't" is the word "hasnt", as it is also typed.
                    continue;
                }
                if matches!(after.as_str(), "s" | "m" | "d" | "re" | "ve" | "ll") {
                    // What is contracted says nothing here: "where's" is read as "where".
                    while characters.next_if(|next| next.is_alphanumeric()).is_some() {}
                }
                self.end();
            } else if character == '-' && self.word == "e" {
                // "e-mail".
            } else if !self.inside_number(character, characters.peek()) {
                self.end();
                match character {
                    '$' | '€' | '£' => self.add(MONEY.to_owned()),
                    '%' => self.add(PERCENT.to_owned()),
                    ',' | ';' | ':' | '(' | ')' | '—' | '–' | '/' | '|' | '.' | '!' | '?' | '、' | '，' =>
                    {
                        self.breaks = true;
                    }
                    '-' if chunk == "-" => self.breaks = true,
                    _ => {}
                }
            }
        }
        self.end();
    }

    /// Whether a point or comma stands within a number.
    fn inside_number(&self, character: char, next: Option<&char>) -> bool {
        matches!(character, '.' | ',')
            && self.word.starts_with(|first: char| first.is_ascii_digit())
            && next.is_some_and(char::is_ascii_digit)
    }

    /// Ends the word that was being read.
    fn end(&mut self) {
        let word = std::mem::take(&mut self.word);
        if word.starts_with(char::is_numeric) {
            self.add(NUMBER.to_owned());
        } else if !word.is_empty() && word.chars().count() <= LONGEST_WORD {
            self.add(word);
        }
    }

    fn add(&mut self, text: String) {
        let breaks = std::mem::take(&mut self.breaks);
        self.list.push(Word { text, breaks });
    }
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’' | '‘' | 'ʼ' | '´' | '`' | '＇')
}

/// The letters that follow up to the next character that is none, where they are few enough to be a contraction.
fn letters(characters: &std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let letters: String = characters.clone().take_while(|next| next.is_alphanumeric()).take(3).collect();
    letters.to_lowercase()
}

/// Adds a character without its case and diacritics.
fn fold(character: char, to: &mut String) {
    if character.is_ascii() {
        to.push(character.to_ascii_lowercase());
        return;
    }
    for part in character.to_lowercase().nfkd().flat_map(char::to_lowercase) {
        match part {
            'ß' => to.push_str("ss"),
            'æ' => to.push_str("ae"),
            'œ' => to.push_str("oe"),
            'ø' => to.push('o'),
            'ł' => to.push('l'),
            'đ' | 'ð' => to.push('d'),
            'ı' => to.push('i'),
            'ς' => to.push('σ'),
            part if is_combining_mark(part) => {}
            part => to.push(part),
        }
    }
}

/// A word of the lexicon, folded as the words of a mail are.
pub(super) fn folded(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for character in word.chars() {
        fold(character, &mut text);
    }
    text
}
