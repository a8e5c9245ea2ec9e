//! How what a merchant decides about the mail desk is written on the wire, for the document alone: the domain reads and
//! writes its own types, and knows no schemas. A test in `desk` holds these against what the domain writes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use storeward_core::desk::context::OrderState;
use storeward_core::desk::hours::Weekday;
use storeward_core::desk::macros::{LONGEST_NAME, LONGEST_TEXT, Variable};
use storeward_core::desk::rules::{Hours, LONGEST_WORD, MOST_WORDS, Reason};
use storeward_core::desk::settings::{DELAY_MINUTES, LONGEST_POLICY, Tone};
use storeward_core::intent::{Confidence, Intent, Language};

/// How rules and macros are called.
pub(super) const ID: &str = "^[a-z0-9-]{1,40}$";

/// A time of day.
const TIME: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$";

/// Every reason of a plan, as the document names them.
pub(super) const REASONS: [Reason; 12] = [
    Reason::Matched,
    Reason::UnknownAction,
    Reason::Automatic,
    Reason::Spam,
    Reason::Ignored,
    Reason::DraftsOff,
    Reason::SendingOff,
    Reason::NeverAutomatic,
    Reason::NoMacro,
    Reason::Escalated,
    Reason::Commits,
    Reason::Review,
];

macro_rules! words {
    ($($shape:ident, $name:literal, $about:literal, $all:expr;)+) => {$(
        pub(super) struct $shape;

        impl JsonSchema for $shape {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "description": $about, "type": "string", "enum": $all })
            }
        }
    )+};
}

words! {
    IntentWord, "Intent", "What a mail is about.", Intent::ALL;
    LanguageCode, "Language", "A language by its ISO 639-1 code.", Language::ALL;
    ToneWord, "Tone", "How replies sound.", Tone::ALL;
    OrderStateWord, "OrderState", "How far the order is that a mail is about; `none` where none is known.", OrderState::ALL;
    WeekdayWord, "Weekday", "A day of the week, in the shop's time zone.", Weekday::ALL;
    HoursWord, "HoursSide", "Inside or outside the business hours.", [Hours::Inside, Hours::Outside];
    ReasonWord, "RuleReason", "Why a plan is as it is. Others can come.", REASONS;
}

/// How sure something is, in basis points: 10,000 is certain. More than that counts as 10,000.
pub(super) fn confidence(_: &mut SchemaGenerator) -> Schema {
    let (least, most) = (Confidence::NONE.basis_points(), Confidence::CERTAIN.basis_points());
    json_schema!({ "type": "integer", "minimum": least, "maximum": most })
}

/// The same, or nothing.
fn any_confidence(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = confidence(generator);
    schema.insert("type".to_owned(), serde_json::json!(["integer", "null"]));
    schema
}

/// A text of a macro, with what it can be filled in with.
fn template(_: &mut SchemaGenerator) -> Schema {
    let placeholders = Variable::ALL.map(|variable| format!("`{{{{{}}}}}`", variable.name()));
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": LONGEST_TEXT,
        "description": format!(
            "The text, with placeholders: {}. A line whose value is not known is left out.",
            placeholders.join(", ")
        ),
    })
}

/// The language of replies: that of the mail (`customers`; English where it is not known), or always one (`fixed`).
#[derive(JsonSchema)]
#[schemars(tag = "policy", content = "language", rename_all = "lowercase")]
pub(super) enum ReplyLanguage {
    /// That of the mail; English where it is not known.
    Customers,
    /// Always this.
    Fixed(LanguageCode),
}

/// The shop's policies in the merchant's words. They go to Claude as they are.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Policies {
    /// Returns and refunds.
    #[schemars(default, length(max = LONGEST_POLICY))]
    returns: String,
    /// Shipping: times, costs, countries.
    #[schemars(default, length(max = LONGEST_POLICY))]
    shipping: String,
}

/// From when to when on one day.
#[derive(JsonSchema)]
#[schemars(rename = "OpenHours", deny_unknown_fields)]
pub(super) struct Open {
    /// The first minute: `09:00`.
    #[schemars(regex(pattern = TIME))]
    from: String,
    /// The minute after the last, later on the same day: `17:30`, or `24:00` for midnight.
    #[schemars(regex(pattern = TIME))]
    to: String,
}

/// When somebody is there. Without a single open day it is always; a day without hours is closed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct BusinessHours {
    /// The IANA name of the time zone, such as `Europe/Berlin`; `UTC` where it is left out.
    #[schemars(default = "utc")]
    time_zone: String,
    /// On Mondays.
    monday: Option<Open>,
    /// On Tuesdays.
    tuesday: Option<Open>,
    /// On Wednesdays.
    wednesday: Option<Open>,
    /// On Thursdays.
    thursday: Option<Open>,
    /// On Fridays.
    friday: Option<Open>,
    /// On Saturdays.
    saturday: Option<Open>,
    /// On Sundays.
    sunday: Option<Open>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What must be so for a rule to match. What is left out does not count; of several values one is enough.
#[derive(JsonSchema)]
#[schemars(rename = "RuleConditions", deny_unknown_fields)]
pub(super) struct Conditions {
    /// What the mail is about.
    #[schemars(default)]
    intent: BTreeSet<IntentWord>,
    /// At least so sure, in basis points.
    #[schemars(default, schema_with = "any_confidence")]
    min_confidence: (),
    /// At most so sure, in basis points.
    #[schemars(default, schema_with = "any_confidence")]
    max_confidence: (),
    /// Who wrote: an address, a domain (`example.com`), or a domain and all below it (`*.example.com`).
    #[schemars(default, length(max = MOST_WORDS), inner(length(min = 1, max = LONGEST_WORD)))]
    sender: Vec<String>,
    /// How far the order is.
    #[schemars(default)]
    order_state: BTreeSet<OrderStateWord>,
    /// The language of the mail. A mail whose language is not known has none of them.
    #[schemars(default)]
    language: BTreeSet<LanguageCode>,
    /// Whether it came inside the business hours.
    hours: Option<HoursWord>,
    /// The day it came.
    #[schemars(default)]
    weekday: BTreeSet<WeekdayWord>,
    /// Whether it has attachments.
    attachments: Option<bool>,
    /// Whether whoever wrote has ordered before.
    returning_customer: Option<bool>,
    /// Words of the subject, whatever their case and marks.
    #[schemars(default, length(max = MOST_WORDS), inner(length(min = 1, max = LONGEST_WORD)))]
    subject_contains: Vec<String>,
    /// Words of the text, whatever their case and marks.
    #[schemars(default, length(max = MOST_WORDS), inner(length(min = 1, max = LONGEST_WORD)))]
    text_contains: Vec<String>,
}

/// What a rule does.
#[derive(JsonSchema)]
#[schemars(rename = "RuleAction", tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Action {
    /// Draft a reply, from a macro or not.
    Draft {
        /// The macro's id.
        #[schemars(rename = "macro", regex(pattern = ID))]
        macro_id: Option<String>,
    },
    /// Send a macro after a while in which it can be stopped. Only a text that a person wrote is sent: without an id, it is
    /// the macro for the mail's intent and language.
    AutoSend {
        /// After how many minutes. The settings' `least_delay_minutes` counts where that is longer.
        #[schemars(range(min = *DELAY_MINUTES.start(), max = *DELAY_MINUTES.end()))]
        after_minutes: u32,
        /// The macro's id.
        #[schemars(rename = "macro", regex(pattern = ID))]
        macro_id: Option<String>,
    },
    /// Put a label on the conversation.
    Label {
        /// The label.
        #[schemars(length(min = 1, max = LONGEST_WORD))]
        label: String,
    },
    /// Give the conversation to somebody.
    Assign {
        /// To whom: a member's id, as the list of members gives it.
        #[schemars(length(min = 1, max = LONGEST_WORD))]
        actor: String,
    },
    /// Have a person look at it: nothing is sent without one.
    Escalate {},
    /// Neither draft nor send anything.
    Ignore {},
}

/// A text for replies.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Macro {
    /// What rules call it by.
    #[schemars(regex(pattern = ID))]
    id: String,
    /// What people call it.
    #[schemars(length(min = 1, max = LONGEST_NAME))]
    name: String,
    /// What it answers; anything where it is not said.
    intent: Option<IntentWord>,
    /// The language it is in; any where it is not said.
    language: Option<LanguageCode>,
    /// A subject of its own. A reply in a conversation keeps the conversation's.
    #[schemars(length(min = 1, max = LONGEST_NAME))]
    subject: Option<String>,
    // Described by its schema.
    #[schemars(schema_with = "template")]
    text: String,
}

/// What would have happened with a mail.
#[derive(JsonSchema)]
#[schemars(rename = "RulePlan")]
pub(super) struct Plan {
    /// Whether a reply would have been drafted.
    draft: bool,
    /// The macro that the draft would have been made of, where a rule names one or it would have been sent.
    #[schemars(rename = "macro", default)]
    macro_id: Option<String>,
    /// Whether and when it would have been sent by itself, had it passed its review.
    #[schemars(default)]
    auto_send: Option<AutoSend>,
    /// Labels for the conversation.
    labels: BTreeSet<String>,
    /// To whom the conversation would have been given.
    #[schemars(default)]
    assign: Option<String>,
    /// Whether a person would have been called.
    escalate: bool,
    /// Whether a rule wants no answer.
    ignore: bool,
    /// The rules that match, in their order.
    rules: Vec<String>,
    /// Why it is so.
    why: Vec<Why>,
}

/// A reply that is sent by itself.
#[derive(JsonSchema)]
pub(super) struct AutoSend {
    /// After how many minutes.
    after_minutes: u32,
    /// Which macro it is made of.
    #[schemars(rename = "macro")]
    macro_id: String,
}

/// One reason, and the rule it comes from.
#[derive(JsonSchema)]
#[schemars(rename = "RuleWhy")]
pub(super) struct Why {
    /// The rule; absent where it is not a rule's doing.
    rule: Option<String>,
    /// The reason.
    reason: ReasonWord,
}
