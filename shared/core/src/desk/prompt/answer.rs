//! Claude's answers, read strictly: whatever is missing, unknown or made up means that a person has to do it.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::desk::mask::{Masker, UnknownPlaceholder};
use crate::desk::review::Commitment;
use crate::desk::settings::DeskSettings;
use crate::intent::{Confidence, Intent, Language};
use crate::personal::Personal;

/// The longest deciding sentence and the longest reason that are kept, in characters.
const LONGEST_SENTENCE: usize = 500;

/// An answer that cannot be used: the mail needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerProblem {
    /// It has not the form that was asked for.
    Form,
    /// The confidence is not between 0 and 1.
    Confidence,
    /// It has a placeholder that stands for nothing.
    Placeholder,
    /// It has no reply and does not say that a person is needed.
    Empty,
}

impl fmt::Display for AnswerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "Claude's answer has not the form that was asked for: a person has to answer the mail"
            }
            Self::Confidence => {
                "Claude's confidence is not between 0 and 1: a person has to look at the mail"
            }
            Self::Placeholder => "Claude made up a placeholder: a person has to answer the mail",
            Self::Empty => "Claude's reply is empty: a person has to answer the mail",
        })
    }
}

impl std::error::Error for AnswerProblem {}

impl From<UnknownPlaceholder> for AnswerProblem {
    fn from(_: UnknownPlaceholder) -> Self {
        Self::Placeholder
    }
}

/// What Claude says a mail is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    /// What it is about.
    pub intent: Intent,
    /// How sure that is.
    pub confidence: Confidence,
    /// Its language, where it is one that is known.
    pub language: Option<Language>,
    /// The sentence that decided it, with its values.
    pub sentence: Personal<String>,
}

/// What Claude drafted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drafted {
    /// The reply with its values and the shop's signature. Empty where a person has to write it.
    pub text: Personal<String>,
    /// Its language, where it is one that is known.
    pub language: Option<Language>,
    /// What it says it commits the shop to. What it does not say is the review's to find.
    pub commits: BTreeSet<Commitment>,
    /// Whether a person must read it first.
    pub needs_human: bool,
    /// Why, for the people of the shop.
    pub reason: Personal<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassificationAnswer {
    intent: Intent,
    confidence: f64,
    language: String,
    sentence: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftAnswer {
    reply: String,
    language: String,
    commits: Vec<Committed>,
    needs_human: bool,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Committed {
    Refund,
    Return,
    Exchange,
    Discount,
    Date,
    None,
}

fn read<T: DeserializeOwned>(answer: &Personal<String>) -> Result<T, AnswerProblem> {
    serde_json::from_str(answer.expose()).map_err(|_| AnswerProblem::Form)
}

/// A language code of an answer. One that was not asked for is a form that was not asked for.
fn language(code: &str) -> Result<Option<Language>, AnswerProblem> {
    let known = Language::ALL.iter().copied().find(|language| language.code() == code);
    if known.is_some() || code == "other" { Ok(known) } else { Err(AnswerProblem::Form) }
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(LONGEST_SENTENCE).collect()
}

/// Reads the answer to [`super::classify`].
pub fn read_classification(
    masker: &Masker<'_>,
    answer: &Personal<String>,
) -> Result<Classification, AnswerProblem> {
    let answer: ClassificationAnswer = read(answer)?;
    if !(0.0..=1.0).contains(&answer.confidence) {
        return Err(AnswerProblem::Confidence);
    }
    let sentence = masker.restore(&answer.sentence)?;
    Ok(Classification {
        intent: answer.intent,
        confidence: Confidence::of_ratio(answer.confidence),
        language: language(&answer.language)?,
        sentence: Personal::new(shortened(sentence.expose())),
    })
}

/// Reads the answer to [`super::draft`].
pub fn read_draft(
    masker: &Masker<'_>,
    settings: &DeskSettings,
    answer: &Personal<String>,
) -> Result<Drafted, AnswerProblem> {
    let answer: DraftAnswer = read(answer)?;
    let reply = masker.restore(answer.reply.trim())?.into_inner();
    if reply.is_empty() && !answer.needs_human {
        return Err(AnswerProblem::Empty);
    }
    let signature = settings.signature.expose().trim();
    let text = if reply.is_empty() || signature.is_empty() { reply } else { format!("{reply}\n{signature}") };
    let commits = answer.commits.into_iter().filter_map(|committed| match committed {
        Committed::Refund => Some(Commitment::Refund),
        Committed::Return => Some(Commitment::Return),
        Committed::Exchange => Some(Commitment::Exchange),
        Committed::Discount => Some(Commitment::Discount),
        Committed::Date => Some(Commitment::Date),
        Committed::None => None,
    });
    // The reason is for people only: one that cannot be restored is left out, not a failure.
    let reason = masker.restore(&answer.reason).map(|reason| shortened(reason.expose())).unwrap_or_default();
    Ok(Drafted {
        text: Personal::new(text),
        language: language(&answer.language)?,
        commits: commits.collect(),
        needs_human: answer.needs_human,
        reason: Personal::new(reason),
    })
}
