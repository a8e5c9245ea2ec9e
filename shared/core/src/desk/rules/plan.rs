//! What comes of rules for one mail. Rules are asked in their order; the first that says something about one thing decides
//! it, labels add up, and a rule that stops ends it. Safety comes after all rules, and takes away, never adds.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Action, Facts, Rule};
use crate::desk::macros::{self, Macro};
use crate::desk::review::{Review, Verdict};
use crate::desk::settings::{DELAY_MINUTES, DeskSettings};
use crate::intent::Intent;
use crate::personal::Personal;
use crate::time::Timestamp;

/// Why something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The rule matched.
    Matched,
    /// The rule has an action of another version, which did nothing.
    UnknownAction,
    /// Nothing is drafted: a machine wrote the mail.
    Automatic,
    /// Nothing is drafted: it is spam, and no rule wants an answer.
    Spam,
    /// Nothing is drafted: the rule ignores the mail.
    Ignored,
    /// Nothing is drafted: drafts are switched off.
    DraftsOff,
    /// A draft instead of a sent reply: sending by rule is switched off.
    SendingOff,
    /// A draft instead of a sent reply: what this mail is about is never answered without a person.
    NeverAutomatic,
    /// A draft instead of a sent reply: there is no macro for it, and only what a person wrote is sent.
    NoMacro,
    /// A draft instead of a sent reply: a person is to look at it.
    Escalated,
    /// A draft instead of a sent reply: the text commits the shop to something.
    Commits,
    /// A draft instead of a sent reply: the text did not pass its review.
    Review,
}

impl Reason {
    /// The words for it, as a merchant reads them.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Matched => "it matched",
            Self::UnknownAction => "it has an action that this version does not know",
            Self::Automatic => "not answered: a machine wrote the mail",
            Self::Spam => "not answered: it is spam",
            Self::Ignored => "not answered: the rule ignores the mail",
            Self::DraftsOff => "not answered: drafts are switched off",
            Self::SendingOff => "not sent by itself: sending by rule is switched off",
            Self::NeverAutomatic => {
                "not sent by itself: mails about this are never answered without a person"
            }
            Self::NoMacro => {
                "not sent by itself: there is no macro for it, and only what a person wrote is sent"
            }
            Self::Escalated => "not sent by itself: a person is to look at it",
            Self::Commits => "not sent by itself: the text commits the shop to something",
            Self::Review => "not sent by itself: the text did not pass its review",
        }
    }
}

/// One reason, and the rule it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The rule; none where it is not a rule's doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The reason.
    pub reason: Reason,
}

/// A reply that is sent by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AutoSend {
    /// After how many minutes.
    pub after_minutes: u32,
    /// Which macro it is made of.
    #[serde(rename = "macro")]
    pub macro_id: String,
}

/// What is to happen with a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Whether a reply is drafted.
    pub draft: bool,
    /// The macro that the draft is made of, where a rule names one or it is to be sent.
    #[serde(rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_id: Option<String>,
    /// Whether and when it is sent by itself. Nothing is, while there is no review: see [`Plan::reviewed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_send: Option<AutoSend>,
    /// Labels for the thread.
    pub labels: BTreeSet<String>,
    /// To whom the thread is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assign: Option<Personal<String>>,
    /// Whether a person is called.
    pub escalate: bool,
    /// Whether a rule wants no answer.
    pub ignore: bool,
    /// The rules that matched, in their order.
    pub rules: Vec<String>,
    /// Why it is so.
    pub why: Vec<Why>,
}

impl Plan {
    fn say(&mut self, rule: Option<&Rule>, reason: Reason) {
        self.why.push(Why { rule: rule.map(|rule| rule.id.clone()), reason });
    }

    /// The plan once the draft is there: what commits the shop, did not pass, or is not made of the macro that was to be
    /// sent, is a draft, whatever rules say. `made_of` is the macro that the draft was made of.
    #[must_use]
    pub fn reviewed(mut self, review: &Review, made_of: Option<&str>) -> Self {
        if let Some(send) = &self.auto_send {
            if made_of != Some(send.macro_id.as_str()) {
                self.say(None, Reason::NoMacro);
                self.auto_send = None;
            }
            if !review.commits.is_empty() {
                self.say(None, Reason::Commits);
                self.auto_send = None;
            }
            if review.verdict != Verdict::Fit {
                self.say(None, Reason::Review);
                self.auto_send = None;
            }
        }
        self
    }
}

struct Wish<'a> {
    rule: &'a Rule,
    after_minutes: u32,
    macro_id: Option<&'a str>,
}

/// What is to happen with a mail of these facts.
#[must_use]
pub fn evaluate(rules: &[Rule], settings: &DeskSettings, macros: &[Macro], facts: &Facts) -> Plan {
    let mut plan = Plan { draft: facts.intent != Intent::Spam, ..Plan::default() };
    let mut wish: Option<Wish<'_>> = None;
    for rule in rules.iter().filter(|rule| rule.enabled && rule.when.hold(facts, settings)) {
        plan.rules.push(rule.id.clone());
        plan.say(Some(rule), Reason::Matched);
        for action in &rule.then {
            match action {
                Action::Draft { macro_id } => {
                    plan.draft = true;
                    plan.macro_id = plan.macro_id.or_else(|| macro_id.clone());
                }
                Action::AutoSend { after_minutes, macro_id } => {
                    plan.draft = true;
                    let macro_id = macro_id.as_deref();
                    wish = wish.or(Some(Wish { rule, after_minutes: *after_minutes, macro_id }));
                }
                Action::Label { label } => {
                    plan.labels.insert(label.clone());
                }
                Action::Assign { actor } => plan.assign = plan.assign.or_else(|| Some(actor.clone())),
                Action::Escalate => plan.escalate = true,
                Action::Ignore => {
                    if !plan.ignore {
                        plan.say(Some(rule), Reason::Ignored);
                    }
                    plan.ignore = true;
                }
                Action::Unknown(_) => plan.say(Some(rule), Reason::UnknownAction),
            }
        }
        if rule.stop {
            break;
        }
    }
    // A macro that is gone is none.
    plan.macro_id = plan.macro_id.filter(|id| macros.iter().any(|one| one.id == *id));
    let none = if facts.automatic {
        Some(Reason::Automatic)
    } else if !settings.draft_replies {
        Some(Reason::DraftsOff)
    } else if !plan.draft {
        Some(Reason::Spam)
    } else {
        None
    };
    if let Some(reason) = none {
        plan.say(None, reason);
    }
    if none.is_some() || plan.ignore {
        (plan.draft, plan.macro_id) = (false, None);
    } else if let Some(wish) = wish {
        match may_send(&wish, &plan, settings, macros, facts) {
            Ok(send) => {
                plan.macro_id = Some(send.macro_id.clone());
                plan.auto_send = Some(send);
            }
            Err(reason) => {
                plan.say(Some(wish.rule), reason);
                let named = wish.macro_id.filter(|id| macros.iter().any(|one| one.id == *id));
                plan.macro_id = plan.macro_id.or_else(|| named.map(str::to_owned));
            }
        }
    }
    plan
}

fn may_send(
    wish: &Wish<'_>,
    plan: &Plan,
    settings: &DeskSettings,
    macros: &[Macro],
    facts: &Facts,
) -> Result<AutoSend, Reason> {
    if !settings.send_by_rule {
        return Err(Reason::SendingOff);
    }
    // Whoever answers spam tells it that somebody reads it.
    if facts.intent == Intent::Spam || settings.never_automatic.contains(&facts.intent) {
        return Err(Reason::NeverAutomatic);
    }
    if plan.escalate {
        return Err(Reason::Escalated);
    }
    let language = settings.reply_language.answer(facts.language);
    let chosen = match wish.macro_id {
        Some(id) => macros.iter().find(|one| one.id == id),
        None => macros::choose(macros, facts.intent, language),
    };
    let macro_id = chosen.map(|one| one.id.clone()).ok_or(Reason::NoMacro)?;
    let least = settings.least_delay_minutes.max(*DELAY_MINUTES.start());
    Ok(AutoSend {
        after_minutes: wish.after_minutes.clamp(least, (*DELAY_MINUTES.end()).max(least)),
        macro_id,
    })
}

/// What rules would have done with a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// When the mail came.
    pub received_at: Timestamp,
    /// What it was about.
    pub intent: Intent,
    /// What would have been planned for it, before any draft is reviewed.
    pub plan: Plan,
}

/// What rules would have done with these mails, one outcome for each, in their order.
#[must_use]
pub fn dry_run(rules: &[Rule], settings: &DeskSettings, macros: &[Macro], samples: &[Facts]) -> Vec<Outcome> {
    let outcome = |facts: &Facts| Outcome {
        received_at: facts.received_at,
        intent: facts.intent,
        plan: evaluate(rules, settings, macros, facts),
    };
    samples.iter().map(outcome).collect()
}
