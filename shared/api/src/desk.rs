//! The bodies of how a merchant's mail desk works: its settings, rules and macros, what rules would have done, and what
//! the cascade saved. What they mean is `core::desk`'s, which also checks them.

#[expect(dead_code, reason = "their schemas are all that is used of them")]
mod shapes;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use storeward_core::desk::hours::BusinessHours;
use storeward_core::desk::macros::{LONGEST_NAME, MOST_MACROS, Macro};
use storeward_core::desk::rules::{Action, Conditions, MOST_ACTIONS, MOST_RULES, Plan, Rule};
use storeward_core::desk::settings::{
    DELAY_MINUTES, DeskSettings, FIRST_SYNC_DAYS, LONGEST_LINK, LONGEST_SIGNATURE, MOST_ALLOWED, Policies,
    ReplyLanguage, Tone,
};
use storeward_core::intent::{Confidence, Intent};
use storeward_core::personal::Personal;
use storeward_store::DeskMonth;

/// The settings of the mail desk. A member that is left out stays as it is. Whoever lacks the permission `change-privacy`
/// changes everything but what is done at all: the activities of `/v1/instructions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "DeskSettings")]
#[expect(clippy::struct_excessive_bools, reason = "activities that a merchant switches one by one")]
pub struct DeskSettingsBody {
    /// Whether mail is read at all. Off means off: no new mail is stored.
    pub read_mail: bool,
    /// Whether Claude is asked what a mail is about where the built-in engine is not sure.
    pub classify_with_claude: bool,
    /// Whether replies are drafted.
    pub draft_replies: bool,
    /// Whether Claude writes the drafts; otherwise they are made of macros and built-in texts.
    pub draft_with_claude: bool,
    /// Whether rules may send. Off turns every automatic reply into a draft.
    pub send_by_rule: bool,
    /// How sure the built-in engine must be to be believed, in basis points: below it Claude is asked.
    #[schemars(schema_with = "shapes::confidence")]
    pub threshold: Confidence,
    /// How replies sound.
    #[schemars(with = "shapes::ToneWord")]
    pub tone: Tone,
    /// What stands under replies.
    #[schemars(with = "String", length(max = LONGEST_SIGNATURE))]
    pub signature: Personal<String>,
    /// The language of replies.
    #[schemars(with = "shapes::ReplyLanguage")]
    pub reply_language: ReplyLanguage,
    /// The shop's policies.
    #[schemars(with = "shapes::Policies")]
    pub policies: Policies,
    /// What may be linked to besides the shop: domains (`help.example.com`) or beginnings of addresses
    /// (`https://example.com/help`).
    #[schemars(length(max = MOST_ALLOWED), inner(length(max = LONGEST_LINK)))]
    pub links: Vec<String>,
    /// E-mail addresses that may stand in replies.
    #[schemars(with = "Vec<String>", length(max = MOST_ALLOWED))]
    pub addresses: Vec<Personal<String>>,
    /// When somebody is there.
    #[schemars(with = "shapes::BusinessHours")]
    pub business_hours: BusinessHours,
    /// How many days back the first look into a mailbox goes.
    #[schemars(range(min = *FIRST_SYNC_DAYS.start(), max = *FIRST_SYNC_DAYS.end()))]
    pub first_sync_days: u8,
    /// What is never answered without a person.
    #[schemars(with = "BTreeSet<shapes::IntentWord>")]
    pub never_automatic: BTreeSet<Intent>,
    /// The least minutes a reply waits before a rule sends it. A rule that says less waits this long.
    #[schemars(range(min = *DELAY_MINUTES.start(), max = *DELAY_MINUTES.end()))]
    pub least_delay_minutes: u32,
}

impl Default for DeskSettingsBody {
    fn default() -> Self {
        DeskSettings::default().into()
    }
}

impl From<DeskSettings> for DeskSettingsBody {
    fn from(settings: DeskSettings) -> Self {
        // Taken apart by name: a setting that is added must be added here.
        let DeskSettings {
            read_mail,
            classify_with_claude,
            draft_replies,
            draft_with_claude,
            send_by_rule,
            threshold,
            tone,
            signature,
            reply_language,
            policies,
            links,
            addresses,
            business_hours,
            first_sync_days,
            never_automatic,
            least_delay_minutes,
        } = settings;
        Self {
            read_mail,
            classify_with_claude,
            draft_replies,
            draft_with_claude,
            send_by_rule,
            threshold,
            tone,
            signature,
            reply_language,
            policies,
            links,
            addresses,
            business_hours,
            first_sync_days,
            never_automatic,
            least_delay_minutes,
        }
    }
}

impl From<DeskSettingsBody> for DeskSettings {
    fn from(body: DeskSettingsBody) -> Self {
        let DeskSettingsBody {
            read_mail,
            classify_with_claude,
            draft_replies,
            draft_with_claude,
            send_by_rule,
            threshold,
            tone,
            signature,
            reply_language,
            policies,
            links,
            addresses,
            business_hours,
            first_sync_days,
            never_automatic,
            least_delay_minutes,
        } = body;
        Self {
            read_mail,
            classify_with_claude,
            draft_replies,
            draft_with_claude,
            send_by_rule,
            threshold,
            tone,
            signature,
            reply_language,
            policies,
            links,
            addresses,
            business_hours,
            first_sync_days,
            never_automatic,
            least_delay_minutes,
        }
    }
}

/// One automation: when a mail is so and so, do this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub struct RuleBody {
    /// What it is called by.
    #[schemars(regex(pattern = shapes::ID))]
    pub id: String,
    /// What people call it.
    #[schemars(length(min = 1, max = LONGEST_NAME))]
    pub name: String,
    /// Whether it counts.
    pub enabled: bool,
    /// All of these must hold.
    #[serde(default)]
    #[schemars(with = "shapes::Conditions")]
    pub when: Conditions,
    /// What then happens.
    #[schemars(with = "Vec<shapes::Action>", length(min = 1, max = MOST_ACTIONS))]
    pub then: Vec<Action>,
    /// Whether the rules behind it are left alone when it matches.
    #[serde(default)]
    pub stop: bool,
}

impl From<Rule> for RuleBody {
    fn from(Rule { id, name, enabled, when, then, stop }: Rule) -> Self {
        Self { id, name, enabled, when, then, stop }
    }
}

impl From<RuleBody> for Rule {
    fn from(RuleBody { id, name, enabled, when, then, stop }: RuleBody) -> Self {
        Self { id, name, enabled, when, then, stop }
    }
}

/// The rules, in the order they are asked. The first that says something about one thing decides it; labels add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rules")]
pub struct RulesBody {
    /// All of them.
    #[schemars(length(max = MOST_RULES))]
    pub rules: Vec<RuleBody>,
}

/// The merchant's own texts for replies. Of those that fit a mail, the one that fits most closely is taken, the first of
/// several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Macros")]
pub struct MacrosBody {
    /// All of them: at most 100, and all of the request at most 64 KiB.
    #[schemars(with = "Vec<shapes::Macro>", length(max = MOST_MACROS))]
    pub macros: Vec<Macro>,
}

/// Rules to try on the latest mails. Nothing is stored, and nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DryRunRequest {
    /// The rules to try; those that count now where they are left out.
    #[schemars(length(max = MOST_RULES))]
    pub rules: Option<Vec<RuleBody>>,
}

/// What rules would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DryRun")]
pub struct DryRunBody {
    /// The latest mails of customers that were understood, the latest first: at most 100.
    pub mails: Vec<DryRunMail>,
    /// Whether these are the latest 100, or all there are. Otherwise they are those that could be read in time.
    pub complete: bool,
}

/// What rules would have done with a mail. Nothing is asked of the shop again: the order counts as not known here, and
/// whoever wrote as new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DryRunMail {
    /// The conversation.
    pub thread: String,
    /// The mail.
    pub mail: String,
    /// When it came.
    #[schemars(extend("format" = "date-time"))]
    pub received_at: String,
    /// What it is about.
    #[schemars(with = "shapes::IntentWord")]
    pub intent: Intent,
    /// What would have happened.
    #[schemars(with = "shapes::Plan")]
    pub plan: Plan,
}

/// What understanding mail came to, month by month, and what the built-in engine saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DeskSavings")]
pub struct DeskSavingsBody {
    /// The months, the latest first.
    pub months: Vec<DeskMonthBody>,
}

/// One month in UTC. Money is in millionths of a US dollar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DeskMonth")]
pub struct DeskMonthBody {
    /// Which, `2026-11`.
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}$"))]
    pub month: String,
    /// Mails that the built-in engine understood, so that Claude did not have to be asked.
    pub built_in: u64,
    /// Mails that Claude was asked about.
    pub claude: u64,
    /// Tokens that went to Claude and came back, for understanding mails and for drafts.
    pub tokens: u64,
    /// What they cost.
    pub micro_dollars: u64,
    /// How much of that went for understanding mails.
    pub understanding_micro_dollars: u64,
    /// What the mails of the built-in engine would have cost with Claude, at what one cost on average in this month; null
    /// where Claude was never asked.
    pub saved_micro_dollars: Option<u64>,
}

impl From<DeskMonth> for DeskMonthBody {
    fn from(month: DeskMonth) -> Self {
        let DeskMonth { month, built_in, claude, tokens, micro_dollars, understanding_micro_dollars } = month;
        let all = u128::from(built_in) * u128::from(understanding_micro_dollars);
        let saved = all.checked_div(u128::from(claude));
        Self {
            month,
            built_in,
            claude,
            tokens,
            micro_dollars,
            understanding_micro_dollars,
            saved_micro_dollars: saved.map(|saved| u64::try_from(saved).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests;
