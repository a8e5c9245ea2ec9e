//! The merchant's automations: when a mail is so and so, do this. What a rule can say and when it can be saved is here; what
//! comes of rules for one mail is decided in `plan`. Nothing is carried out here.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use plan::{AutoSend, Outcome, Plan, Reason, Why, dry_run, evaluate};

use super::context::OrderState;
use super::hours::Weekday;
use super::macros::{self, LONGEST_NAME, Macro};
use super::settings::{DELAY_MINUTES, DeskSettings};
use crate::intent::{Confidence, Intent, Language};
use crate::normalize;
use crate::personal::Personal;
use crate::time::Timestamp;

/// The most rules of a shop.
pub const MOST_RULES: usize = 100;
/// The most patterns or words in one condition.
pub const MOST_WORDS: usize = 50;
/// The longest pattern, word or label, in characters.
pub const LONGEST_WORD: usize = 200;
/// The most actions of a rule.
pub const MOST_ACTIONS: usize = 20;

/// One automation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// What it is called by: small letters, digits and hyphens.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether it counts.
    pub enabled: bool,
    /// All of these must hold.
    #[serde(default)]
    pub when: Conditions,
    /// What then happens.
    pub then: Vec<Action>,
    /// Whether the rules behind it are left alone when it matches.
    #[serde(default)]
    pub stop: bool,
}

/// Inside or outside the business hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hours {
    /// Somebody is there.
    Inside,
    /// Nobody is.
    Outside,
}

/// What must be so. What is not said does not count; of several values one is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conditions {
    /// What the mail is about.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub intent: BTreeSet<Intent>,
    /// At least so sure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<Confidence>,
    /// At most so sure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_confidence: Option<Confidence>,
    /// Who wrote: an address, a domain (`example.com`), or a domain and all below it (`*.example.com`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sender: Vec<Personal<String>>,
    /// How far the order is.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub order_state: BTreeSet<OrderState>,
    /// The language of the mail. A mail whose language is not known has none of them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub language: BTreeSet<Language>,
    /// Whether it came inside the business hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// The day it came, in the shop's time zone.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub weekday: BTreeSet<Weekday>,
    /// Whether it has attachments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<bool>,
    /// Whether whoever wrote has ordered before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returning_customer: Option<bool>,
    /// Words of the subject, whatever their case and marks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_contains: Vec<Personal<String>>,
    /// Words of the text, whatever their case and marks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text_contains: Vec<Personal<String>>,
    /// Conditions of another version, as they were stored. A rule that has one never matches: without it, it would match too
    /// much.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// What a rule does. Later parts of the service add theirs: what is not known is kept as it was, and does nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Draft a reply, from a macro or not.
    Draft {
        /// The macro's id.
        macro_id: Option<String>,
    },
    /// Send a macro after a while in which it can be stopped. Only a text that a person wrote is sent: without an id, it is
    /// the macro for the mail's intent and language.
    AutoSend {
        /// After how many minutes: 1 to 10,080.
        after_minutes: u32,
        /// The macro's id.
        macro_id: Option<String>,
    },
    /// Put a label on the thread.
    Label {
        /// The label.
        label: String,
    },
    /// Give the thread to somebody.
    Assign {
        /// To whom: a member's id.
        actor: Personal<String>,
    },
    /// Have a person look at it: nothing is sent without one.
    Escalate,
    /// Neither draft nor send anything.
    Ignore,
    /// Something of another version, as it was stored.
    Unknown(Value),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Stored {
    Draft {
        #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
        macro_id: Option<String>,
    },
    AutoSend {
        after_minutes: u32,
        #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
        macro_id: Option<String>,
    },
    Label {
        label: String,
    },
    Assign {
        actor: Personal<String>,
    },
    Escalate {},
    Ignore {},
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.clone() {
            Self::Draft { macro_id } => Stored::Draft { macro_id },
            Self::AutoSend { after_minutes, macro_id } => Stored::AutoSend { after_minutes, macro_id },
            Self::Label { label } => Stored::Label { label },
            Self::Assign { actor } => Stored::Assign { actor },
            Self::Escalate => Stored::Escalate {},
            Self::Ignore => Stored::Ignore {},
            Self::Unknown(value) => return value.serialize(serializer),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match Stored::deserialize(&value) {
            Ok(Stored::Draft { macro_id }) => Self::Draft { macro_id },
            Ok(Stored::AutoSend { after_minutes, macro_id }) => Self::AutoSend { after_minutes, macro_id },
            Ok(Stored::Label { label }) => Self::Label { label },
            Ok(Stored::Assign { actor }) => Self::Assign { actor },
            Ok(Stored::Escalate {}) => Self::Escalate,
            Ok(Stored::Ignore {}) => Self::Ignore,
            Err(_) => Self::Unknown(value),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoredConditions {
    intent: BTreeSet<Intent>,
    min_confidence: Option<Confidence>,
    max_confidence: Option<Confidence>,
    sender: Vec<Personal<String>>,
    order_state: BTreeSet<OrderState>,
    language: BTreeSet<Language>,
    hours: Option<Hours>,
    weekday: BTreeSet<Weekday>,
    attachments: Option<bool>,
    returning_customer: Option<bool>,
    subject_contains: Vec<Personal<String>>,
    text_contains: Vec<Personal<String>>,
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match (StoredConditions::deserialize(&value), value) {
            (Ok(stored), _) => Self {
                intent: stored.intent,
                min_confidence: stored.min_confidence,
                max_confidence: stored.max_confidence,
                sender: stored.sender,
                order_state: stored.order_state,
                language: stored.language,
                hours: stored.hours,
                weekday: stored.weekday,
                attachments: stored.attachments,
                returning_customer: stored.returning_customer,
                subject_contains: stored.subject_contains,
                text_contains: stored.text_contains,
                unknown: BTreeMap::new(),
            },
            (Err(_), Value::Object(fields)) => {
                Self { unknown: fields.into_iter().collect(), ..Self::default() }
            }
            (Err(_), value) => {
                Self { unknown: BTreeMap::from([("when".to_owned(), value)]), ..Self::default() }
            }
        })
    }
}

/// What is known of a mail when rules are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is about.
    pub intent: Intent,
    /// How sure that is.
    pub confidence: Confidence,
    /// The address it came from.
    pub sender: Personal<String>,
    /// How far the order is that it is about.
    pub order_state: OrderState,
    /// Its language.
    pub language: Option<Language>,
    /// When it came.
    pub received_at: Timestamp,
    /// Its subject.
    pub subject: Personal<String>,
    /// Its new text.
    pub text: Personal<String>,
    /// How many attachments it has.
    pub attachments: usize,
    /// Whether a machine wrote it: a bounce, an automatic reply, a list, a sender that reads no answers.
    pub automatic: bool,
    /// Whether whoever wrote has ordered before.
    pub returning_customer: bool,
}

/// Rules that cannot be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleProblem {
    /// There are too many.
    TooMany,
    /// The id of the rule at this place.
    Id(usize),
    /// Its id is taken.
    TakenId(usize),
    /// Its name.
    Name(usize),
    /// It has a condition that is not known.
    Condition(usize),
    /// The most it may be sure is less than the least.
    Confidence(usize),
    /// A sender that is neither address nor domain.
    Sender(usize),
    /// Too many words, or one that is empty or too long.
    Words(usize),
    /// No action, or too many.
    Actions(usize),
    /// An action that is not known, or not written as it has to be.
    Action(usize),
    /// A delay outside its bounds.
    Delay(usize),
    /// A macro that there is not.
    Macro(usize),
    /// A label or a member's id that is empty or too long.
    Label(usize),
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, problem) = match self {
            Self::TooMany => return write!(f, "rules: keep at most {MOST_RULES}"),
            Self::Id(place) => (place, "id: write 1 to 40 small letters, digits and hyphens"),
            Self::TakenId(place) => (place, "id: another rule has it; choose one of its own"),
            Self::Name(place) => (place, "name: write 1 to 120 characters"),
            Self::Condition(place) => {
                (place, "when: a condition is not known; see the reference for those there are")
            }
            Self::Confidence(place) => (place, "when: let max_confidence be at least min_confidence"),
            Self::Sender(place) => {
                (place, "when.sender: give up to 50 addresses or domains, such as *.example.com")
            }
            Self::Words(place) => (place, "when: give up to 50 words of 1 to 200 characters"),
            Self::Actions(place) => (place, "then: give 1 to 20 actions"),
            Self::Action(place) => {
                (place, "then: an action is not known, or has not the fields it needs; see the reference")
            }
            Self::Delay(place) => (place, "then: let after_minutes be 1 to 10080 (7 days)"),
            Self::Macro(place) => (place, "then: there is no macro with this id; save it first"),
            Self::Label(place) => (place, "then: a label or an actor has 1 to 200 characters"),
        };
        write!(f, "rules[{place}].{problem}")
    }
}

impl std::error::Error for RuleProblem {}

/// Whether these rules can be saved beside these macros.
pub fn check(rules: &[Rule], macros: &[Macro]) -> Result<(), RuleProblem> {
    if rules.len() > MOST_RULES {
        return Err(RuleProblem::TooMany);
    }
    let mut ids = BTreeSet::new();
    for (place, rule) in rules.iter().enumerate() {
        if !macros::is_id(&rule.id) {
            return Err(RuleProblem::Id(place));
        }
        if !ids.insert(&rule.id) {
            return Err(RuleProblem::TakenId(place));
        }
        if !(1..=LONGEST_NAME).contains(&rule.name.chars().count()) {
            return Err(RuleProblem::Name(place));
        }
        rule.when.check(place)?;
        if !(1..=MOST_ACTIONS).contains(&rule.then.len()) {
            return Err(RuleProblem::Actions(place));
        }
        for action in &rule.then {
            action.check(place, macros)?;
        }
    }
    Ok(())
}

impl Rule {
    /// Whether it has to know the orders of whoever wrote: they are asked for only then.
    #[must_use]
    pub fn asks_for_orders(&self) -> bool {
        self.enabled && (!self.when.order_state.is_empty() || self.when.returning_customer.is_some())
    }
}

impl Rule {
    /// Whether it has replies sent by themselves.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.then.iter().any(|action| matches!(action, Action::AutoSend { .. }))
    }
}

impl Action {
    fn check(&self, place: usize, macros: &[Macro]) -> Result<(), RuleProblem> {
        let is_there =
            |id: &Option<String>| id.as_ref().is_none_or(|id| macros.iter().any(|one| one.id == *id));
        match self {
            Self::Unknown(_) => Err(RuleProblem::Action(place)),
            Self::AutoSend { after_minutes, .. } if !DELAY_MINUTES.contains(after_minutes) => {
                Err(RuleProblem::Delay(place))
            }
            Self::Draft { macro_id } | Self::AutoSend { macro_id, .. } if !is_there(macro_id) => {
                Err(RuleProblem::Macro(place))
            }
            Self::Label { label } if !is_word(label) => Err(RuleProblem::Label(place)),
            Self::Assign { actor } if !is_word(actor.expose()) => Err(RuleProblem::Label(place)),
            _ => Ok(()),
        }
    }
}

impl Conditions {
    fn check(&self, place: usize) -> Result<(), RuleProblem> {
        if !self.unknown.is_empty() {
            return Err(RuleProblem::Condition(place));
        }
        if let (Some(least), Some(most)) = (self.min_confidence, self.max_confidence)
            && most < least
        {
            return Err(RuleProblem::Confidence(place));
        }
        if self.sender.len() > MOST_WORDS || !self.sender.iter().all(|sender| is_sender(sender.expose())) {
            return Err(RuleProblem::Sender(place));
        }
        for words in [&self.subject_contains, &self.text_contains] {
            let readable = |word: &Personal<String>| {
                is_word(word.expose()) && !normalize::fold(word.expose()).is_empty()
            };
            if words.len() > MOST_WORDS || !words.iter().all(readable) {
                return Err(RuleProblem::Words(place));
            }
        }
        Ok(())
    }

    /// Whether all that is said holds of a mail.
    #[must_use]
    pub fn hold(&self, facts: &Facts, settings: &DeskSettings) -> bool {
        let hours = &settings.business_hours;
        let one_of = |words: &[Personal<String>], text: &Personal<String>| {
            words.is_empty() || words.iter().any(|word| has_word(text.expose(), word.expose()))
        };
        self.unknown.is_empty()
            && (self.intent.is_empty() || self.intent.contains(&facts.intent))
            && self.min_confidence.is_none_or(|least| facts.confidence >= least)
            && self.max_confidence.is_none_or(|most| facts.confidence <= most)
            && (self.sender.is_empty()
                || self.sender.iter().any(|pattern| is_from(facts.sender.expose(), pattern.expose())))
            && (self.order_state.is_empty() || self.order_state.contains(&facts.order_state))
            && (self.language.is_empty()
                || facts.language.is_some_and(|language| self.language.contains(&language)))
            && self.hours.is_none_or(|side| (side == Hours::Inside) == hours.are_open(facts.received_at))
            && (self.weekday.is_empty() || self.weekday.contains(&hours.local(facts.received_at).0))
            && self.attachments.is_none_or(|some| some == (facts.attachments > 0))
            && self.returning_customer.is_none_or(|returning| returning == facts.returning_customer)
            && one_of(&self.subject_contains, &facts.subject)
            && one_of(&self.text_contains, &facts.text)
    }
}

fn is_word(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= LONGEST_WORD && !text.chars().any(char::is_control)
}

fn is_sender(pattern: &str) -> bool {
    let domain = pattern.strip_prefix("*.").unwrap_or(pattern);
    is_word(pattern)
        && if pattern.contains('@') {
            normalize::email(pattern).is_some()
        } else {
            domain.contains('.')
                && domain
                    .split('.')
                    .all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'))
        }
}

/// Whether an address is the one of a pattern, or of its domain.
fn is_from(sender: &str, pattern: &str) -> bool {
    let Some(sender) = normalize::email(sender) else { return false };
    if pattern.contains('@') {
        return normalize::email(pattern).is_some_and(|pattern| pattern == sender);
    }
    let Some((_, domain)) = sender.expose().rsplit_once('@') else { return false };
    let pattern = pattern.to_lowercase();
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            domain == parent || domain.strip_suffix(parent).is_some_and(|below| below.ends_with('.'))
        }
        None => domain == pattern,
    }
}

/// Whether a text has these words, one behind the other.
fn has_word(text: &str, word: &str) -> bool {
    let word = normalize::fold(word);
    !word.is_empty() && format!(" {} ", normalize::fold(text)).contains(&format!(" {word} "))
}

#[cfg(test)]
mod tests;
