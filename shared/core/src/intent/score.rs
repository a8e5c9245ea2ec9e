//! From the terms that were found to an intent: sums in bits for each intent, and the odds they mean.

use super::language::detect;
use super::lexicon::{FILES, Hit, Lexicon, lexicon};
use super::text::{self, Sentence};
use super::{Classified, Confidence, Evidence, Intent, Language, Reading};
use crate::personal::Personal;

/// The most of a sentence that is kept as what decided.
const LONGEST_SENTENCE: usize = 500;
/// The most findings that are kept. A sum has no more than a few; what comes after them adds hundredths of a bit.
const MOST_EVIDENCE: usize = 24;

/// A further sentence of the same intent adds half of what the one before added: who says it twice means it once.
const FURTHER_SENTENCE: f64 = 0.5;
/// What the customer wrote over the mail counts nearly as a sentence of it.
const SUBJECT: f64 = 0.8;
/// The subject of a reply is mostly what the shop wrote.
const REPLY_SUBJECT: f64 = 0.25;

/// What all that speaks for a question may add at most: who asks several things may still want one of the others.
const MOST_FOR_A_QUESTION: f64 = 4.0;
/// What all that speaks for spam may add at most, and be against it.
const MOST_FOR_SPAM: f64 = 14.0;

/// From so many words on a single term means less, because more of them stand there by chance: half a bit with each
/// doubling, at most so much.
const LONG_MAIL: f64 = 120.0;
const MOST_FOR_LENGTH: f64 = 1.5;

/// Evidence is never as independent as a sum takes it to be: odds are flattened by this exponent, which was set so
/// that the confidences of the tuning data come true (docs/decisions/0026).
const SHARPNESS: f64 = 0.8;

/// A language that no lexicon reads: the answer is the likeliest intent and nothing more.
const UNREAD: f64 = 0.3;
/// The language cannot be told and no lexicon finds anything.
const UNKNOWN: f64 = 0.45;

impl Intent {
    /// Where its sum starts, in bits: most mails ask something, and what is spam has to show it.
    #[must_use]
    pub const fn prior(self) -> f64 {
        match self {
            Self::Refund | Self::Shipping => 0.0,
            Self::Question => 3.0,
            Self::Spam => -3.0,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Refund => 0,
            Self::Question => 1,
            Self::Shipping => 2,
            Self::Spam => 3,
        }
    }
}

/// A hit and where it stands.
struct Found<'a> {
    hit: Hit<'a>,
    sentence: usize,
    /// What it adds to its intent's sum.
    bits: f64,
}

/// What a lexicon makes of a mail.
struct Reckoning<'a> {
    found: Vec<Found<'a>>,
    /// The sums, by [`Intent::index`].
    sums: [f64; 4],
}

pub(super) fn classify(reading: &Reading<'_>) -> Classified {
    let mut sentences = text::sentences(reading.text);
    let body = sentences.len();
    sentences.extend(reading.subject.into_iter().flat_map(text::line));
    // The subject of a reply may be in the shop's language.
    let language = detect(sentences.get(..body).unwrap_or(&[])).or_else(|| detect(&sentences));
    let reckoned = match language {
        Some(language) => lexicon(language).map(|lexicon| reckon(lexicon, &sentences, body)),
        None => FILES
            .iter()
            .filter_map(|&(language, _)| lexicon(language))
            .map(|lexicon| reckon(lexicon, &sentences, body))
            .reduce(|best, next| if margin(&next) > margin(&best) { next } else { best }),
    };
    if sentences.is_empty() {
        return nothing();
    }
    if let Some(reckoned) = reckoned {
        return answer(&reckoned, &sentences, language);
    }
    let sentence = excerpt(sentences.first());
    Classified { confidence: Confidence::of_ratio(UNREAD), language, sentence, ..nothing() }
}

/// What an empty mail is.
fn nothing() -> Classified {
    Classified {
        intent: Intent::Question,
        confidence: Confidence::NONE,
        language: None,
        sentence: Personal::new(String::new()),
        evidence: Vec::new(),
        runner_up: None,
    }
}

/// How far the best intent is ahead of a question.
fn margin(reckoning: &Reckoning<'_>) -> f64 {
    let question = reckoning.sums[Intent::Question.index()];
    reckoning.sums.iter().fold(f64::MIN, |most, sum| most.max(sum - question))
}

fn reckon<'a>(lexicon: &'a Lexicon, sentences: &[Sentence<'_>], body: usize) -> Reckoning<'a> {
    let mut found = Vec::new();
    for (place, sentence) in sentences.iter().enumerate() {
        let factor = if place < body { 1.0 } else { subject_factor(sentence) };
        for hit in lexicon.hits(sentence) {
            let bits = if hit.negated { -hit.term.bits } else { hit.term.bits } * factor;
            found.push(Found { hit, sentence: place, bits });
        }
    }
    let mut sums = [0.0; 4];
    for intent in Intent::ALL {
        let sum = match intent {
            Intent::Spam => once_each(&mut found),
            intent => by_sentence(&mut found, intent),
        };
        let most = match intent {
            Intent::Question => MOST_FOR_A_QUESTION,
            Intent::Spam => MOST_FOR_SPAM,
            Intent::Refund | Intent::Shipping => f64::MAX,
        };
        let capped = sum.clamp(-most, most);
        if sum.abs() > most {
            of_intent(&mut found, intent).for_each(|found| found.bits *= capped / sum);
        }
        sums[intent.index()] = intent.prior() + capped;
    }
    let words: u32 = sentences.iter().map(|sentence| u32::try_from(sentence.words.len()).unwrap_or(0)).sum();
    let length = (f64::from(words) / LONG_MAIL).log2().max(0.0) * 0.5;
    sums[Intent::Question.index()] += length.min(MOST_FOR_LENGTH);
    Reckoning { found, sums }
}

fn of_intent<'f, 'a>(found: &'f mut [Found<'a>], intent: Intent) -> impl Iterator<Item = &'f mut Found<'a>> {
    found.iter_mut().filter(move |found| found.hit.term.intent == intent)
}

/// Adds up sentence by sentence: the one that says most counts whole, the next half, and so on; what speaks against
/// the intent counts whole wherever it stands.
fn by_sentence(found: &mut [Found<'_>], intent: Intent) -> f64 {
    let mut sentences: Vec<(usize, f64)> = Vec::new();
    for found in of_intent(found, intent) {
        match sentences.iter_mut().find(|(sentence, _)| *sentence == found.sentence) {
            Some((_, sum)) => *sum += found.bits,
            None => sentences.push((found.sentence, found.bits)),
        }
    }
    sentences.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut factor = 1.0;
    let mut total = 0.0;
    for (sentence, sum) in sentences {
        let counts = if sum > 0.0 { factor } else { 1.0 };
        factor *= FURTHER_SENTENCE;
        total += sum * counts;
        of_intent(found, intent)
            .filter(|found| found.sentence == sentence)
            .for_each(|found| found.bits *= counts);
    }
    total
}

/// Adds up what speaks for spam: each term once, wherever it stands. An offer is made of many small signs.
fn once_each(found: &mut Vec<Found<'_>>) -> f64 {
    let mut seen: Vec<&str> = Vec::new();
    found.retain(|found| {
        let name = found.hit.term.name.as_str();
        let again = found.hit.term.intent == Intent::Spam && seen.contains(&name);
        if !again {
            seen.push(name);
        }
        !again
    });
    let sum: f64 = of_intent(found, Intent::Spam).map(|found| found.bits).sum();
    if sum > 0.0 {
        return sum;
    }
    // That a mail is a customer's speaks against an offer, and for nothing where there is none.
    found.retain(|found| found.hit.term.intent != Intent::Spam);
    0.0
}

fn subject_factor(subject: &Sentence<'_>) -> f64 {
    // The marks that mail programs put before the subject of a reply or a forwarded mail, in several languages.
    const REPLY: [&str; 12] = ["re", "aw", "fw", "fwd", "wg", "sv", "tr", "rif", "ref", "rv", "enc", "antw"];
    let reply = subject.words.get(1).is_some_and(|second| second.breaks)
        && subject.words.first().is_some_and(|first| REPLY.contains(&first.text.as_str()));
    if reply { REPLY_SUBJECT } else { SUBJECT }
}

fn answer(reckoning: &Reckoning<'_>, sentences: &[Sentence<'_>], language: Option<Language>) -> Classified {
    let mut ranked: Vec<(Intent, f64)> =
        Intent::ALL.into_iter().map(|intent| (intent, reckoning.sums[intent.index()])).collect();
    // Where two are as likely, it is a question: nothing is promised by mistake.
    ranked.sort_by(|a, b| {
        let question = |intent| intent != Intent::Question;
        b.1.total_cmp(&a.1).then(question(a.0).cmp(&question(b.0)))
    });
    let odds = |sum: f64| (sum * SHARPNESS).exp2();
    let all: f64 = ranked.iter().map(|&(_, sum)| odds(sum)).sum();
    let ratio = |sum: f64| odds(sum) / all;
    let (intent, sum) = ranked.first().copied().unwrap_or((Intent::Question, 0.0));
    let runner_up = ranked.get(1).map(|&(intent, sum)| (intent, Confidence::of_ratio(ratio(sum))));
    let blind = language.is_none() && reckoning.found.is_empty();
    let confidence = Confidence::of_ratio(if blind { UNKNOWN } else { ratio(sum) });
    Classified {
        intent,
        confidence,
        language,
        sentence: excerpt(deciding(reckoning, sentences, intent)),
        evidence: evidence(reckoning),
        runner_up,
    }
}

/// The sentence that says most for the intent; for a question that nothing else tells, the first that asks.
fn deciding<'s, 't>(
    reckoning: &Reckoning<'_>,
    sentences: &'s [Sentence<'t>],
    intent: Intent,
) -> Option<&'s Sentence<'t>> {
    let says = |place: usize| -> f64 {
        let here = reckoning.found.iter().filter(|found| found.sentence == place);
        here.filter(|found| found.hit.term.intent == intent).map(|found| found.bits).sum()
    };
    let mut best: Option<(usize, f64)> = None;
    for place in 0..sentences.len() {
        let bits = says(place);
        if bits > 0.0 && best.is_none_or(|(_, most)| bits > most) {
            best = Some((place, bits));
        }
    }
    let chosen = best.and_then(|(place, _)| sentences.get(place));
    chosen.or_else(|| sentences.iter().find(|sentence| sentence.asks)).or_else(|| sentences.first())
}

fn excerpt(sentence: Option<&Sentence<'_>>) -> Personal<String> {
    let source = sentence.map_or("", |sentence| sentence.source);
    Personal::new(source.chars().take(LONGEST_SENTENCE).collect())
}

fn evidence(reckoning: &Reckoning<'_>) -> Vec<Evidence> {
    let mut list: Vec<Evidence> = reckoning
        .found
        .iter()
        .map(|found| Evidence {
            term: found.hit.term.name.clone(),
            intent: found.hit.term.intent,
            bits: found.bits,
            negated: found.hit.negated,
        })
        .collect();
    list.sort_by(|a, b| {
        b.bits.abs().total_cmp(&a.bits.abs()).then_with(|| (a.intent, &a.term).cmp(&(b.intent, &b.term)))
    });
    list.truncate(MOST_EVIDENCE);
    list
}
