//! Which language a mail is written in: by its script, and by the function words and the words of the lexicons.
//! Mails are short; what decides between languages is the little words, which every sentence has.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::lexicon::{FILES, lexicon};
use super::text::{Sentence, folded};

macro_rules! languages {
    ($($name:ident $code:literal),+ $(,)?) => {
        /// A language a mail can be written in. Stored and shown as its ISO 639-1 code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Language {
            $(#[doc = stringify!($name)] #[serde(rename = $code)] $name,)+
        }

        impl Language {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The ISO 639-1 code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The name in English.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

languages! {
    English "en",
    German "de",
    French "fr",
    Spanish "es",
    Italian "it",
    Portuguese "pt",
    Dutch "nl",
    Swedish "sv",
    Danish "da",
    Norwegian "nb",
    Finnish "fi",
    Polish "pl",
    Czech "cs",
    Hungarian "hu",
    Romanian "ro",
    Turkish "tr",
    Greek "el",
    Russian "ru",
    Ukrainian "uk",
    Hebrew "he",
    Arabic "ar",
    Japanese "ja",
    Korean "ko",
    Chinese "zh",
    Thai "th",
}

impl Language {
    /// The language of that code, in whatever case, and with a region or script behind it or not ("pt-BR").
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        let code = code.split(['-', '_']).next().unwrap_or("");
        Self::ALL.iter().copied().find(|language| language.code().eq_ignore_ascii_case(code))
    }
}

/// The languages that have each function word.
static FUNCTION_WORDS: LazyLock<HashMap<String, Vec<Language>>> = LazyLock::new(|| {
    let mut words: HashMap<String, Vec<Language>> = HashMap::new();
    for (code, line) in
        include_str!("lexicon/function-words.txt").lines().filter_map(|line| line.split_once(':'))
    {
        let Some(language) = Language::of_code(code) else { continue };
        for word in line.split_whitespace() {
            let languages = words.entry(folded(word)).or_default();
            if !languages.contains(&language) {
                languages.push(language);
            }
        }
    }
    words
});

/// So many words are looked at; more do not make it surer.
const MOST_WORDS: usize = 120;

/// A word that only one language has counts 1, one that several have counts so much less.
const LEXICON_WORD: f64 = 0.6;

/// How much the first must be ahead of the second: less is a guess.
const LEAD: f64 = 0.25;

/// How much of a text must be known. In a language that is not among these few words are, by chance.
const LEAST_SHARE: f64 = 0.12;

/// How much must speak for a language that no lexicon reads: taking a mail for one means not to read it.
const UNREAD_LANGUAGE: f64 = 1.5;

/// The language of these sentences, where it can be told.
pub(super) fn detect(sentences: &[Sentence<'_>]) -> Option<Language> {
    let words = || sentences.iter().flat_map(|sentence| &sentence.words).map(|word| word.text.as_str());
    if let Some(language) = by_script(words().take(MOST_WORDS)) {
        return Some(language);
    }
    let mut scores: HashMap<Language, f64> = HashMap::new();
    let mut read = 0.0;
    for word in words().filter(|word| !word.starts_with('#')).take(MOST_WORDS) {
        read += 1.0;
        let mut weights: Vec<(Language, f64)> = Vec::new();
        if let Some(languages) = FUNCTION_WORDS.get(word) {
            weights.extend(languages.iter().map(|&language| (language, 1.0)));
        }
        for &(language, _) in &FILES {
            let known = lexicon(language).is_some_and(|lexicon| lexicon.knows(word));
            if known && !weights.iter().any(|&(other, _)| other == language) {
                weights.push((language, LEXICON_WORD));
            }
        }
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        for (language, weight) in weights {
            *scores.entry(language).or_default() += weight * weight / sum;
        }
    }
    let mut ranked: Vec<(Language, f64)> = scores.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let (first, score) = *ranked.first()?;
    let second = ranked.get(1).map_or(0.0, |&(_, score)| score);
    let read_by_lexicon = lexicon(first).is_some() || score >= UNREAD_LANGUAGE;
    (read_by_lexicon && score - second >= LEAD && score / read >= LEAST_SHARE).then_some(first)
}

/// The language that its script tells, where most letters are of that script.
fn by_script<'a>(words: impl Iterator<Item = &'a str>) -> Option<Language> {
    let mut counts: HashMap<Language, usize> = HashMap::new();
    let mut letters = 0;
    for character in words.filter(|word| !word.starts_with('#')).flat_map(str::chars) {
        letters += 1;
        let language = match character {
            '\u{3040}'..='\u{30ff}' => Language::Japanese,
            '\u{4e00}'..='\u{9fff}' => Language::Chinese,
            '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => Language::Korean,
            '\u{e00}'..='\u{e7f}' => Language::Thai,
            '\u{370}'..='\u{3ff}' => Language::Greek,
            '\u{5d0}'..='\u{5ea}' => Language::Hebrew,
            '\u{600}'..='\u{6ff}' => Language::Arabic,
            'і' | 'ї' | 'є' | 'ґ' => Language::Ukrainian,
            '\u{400}'..='\u{4ff}' => Language::Russian,
            _ => continue,
        };
        *counts.entry(language).or_default() += 1;
    }
    let count = |language| counts.get(&language).copied().unwrap_or(0);
    if counts.values().sum::<usize>() * 2 <= letters {
        return None;
    }
    // Japanese is written with Chinese characters too, Ukrainian mostly with the letters of Russian.
    if count(Language::Japanese) * 8 > count(Language::Chinese) && count(Language::Japanese) > 0 {
        return Some(Language::Japanese);
    }
    if count(Language::Ukrainian) * 33 > count(Language::Russian) && count(Language::Ukrainian) > 0 {
        return Some(Language::Ukrainian);
    }
    counts
        .into_iter()
        .max_by_key(|&(language, count)| (count, std::cmp::Reverse(language)))
        .map(|(language, _)| language)
}
