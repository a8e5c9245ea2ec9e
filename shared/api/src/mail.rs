//! The bodies of the mail desk: conversations, mails, what was made of them, replies. Members are named as they are on the
//! wire; what a caller sends has no others.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;
use storeward_core::intent::Intent;
use storeward_core::mail::Address;
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;
use storeward_store::{Draft, DraftState, Engine, StoredMail, Thread, ThreadState};

fn one_of(words: &[&str]) -> Schema {
    let mut schema = Schema::default();
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), json!(words));
    schema
}

/// The same, or nothing.
fn one_of_or_null(words: &[&str]) -> Schema {
    let words: Vec<Option<&str>> = words.iter().copied().map(Some).chain([None]).collect();
    let mut schema = Schema::default();
    schema.insert("type".to_owned(), json!(["string", "null"]));
    schema.insert("enum".to_owned(), json!(words));
    schema
}

pub(crate) fn intent(_: &mut SchemaGenerator) -> Schema {
    one_of(&Intent::ALL.map(Intent::name))
}

pub(crate) fn thread_state(_: &mut SchemaGenerator) -> Schema {
    one_of(&ThreadState::ALL.map(ThreadState::name))
}

fn draft_state(_: &mut SchemaGenerator) -> Schema {
    one_of(&DraftState::ALL.map(DraftState::name))
}

fn any_intent(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(&Intent::ALL.map(Intent::name))
}

fn any_draft_state(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(&DraftState::ALL.map(DraftState::name))
}

/// What a person can say of a conversation: it is answered by a mail alone.
fn chosen_state(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(&[ThreadState::Open, ThreadState::Closed, ThreadState::Ignored].map(ThreadState::name))
}

/// What is left out stays as it is, which is no value of its own.
fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

fn engine(_: &mut SchemaGenerator) -> Schema {
    one_of(&["built-in", "claude"])
}

fn text(of: &Personal<String>) -> String {
    of.expose().clone()
}

/// Somebody who takes part in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PersonBody {
    /// The name, where one is given.
    pub name: Option<String>,
    /// The e-mail address.
    pub address: String,
}

impl From<&Address> for PersonBody {
    fn from(of: &Address) -> Self {
        Self { name: of.name.as_ref().map(text), address: text(&of.address) }
    }
}

/// What was made of a mail.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Understanding")]
pub struct UnderstandingBody {
    /// What it is about.
    #[schemars(schema_with = "intent")]
    pub intent: String,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// The language it is written in (ISO 639-1), where that could be told.
    pub language: Option<String>,
    /// The sentence that decided it.
    pub sentence: String,
    /// What told it.
    #[schemars(schema_with = "engine")]
    pub engine: String,
    /// The rules that matched, by their ids.
    pub rules: Vec<String>,
    /// Why what follows was decided.
    pub why: Vec<String>,
}

/// A mail of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Mail")]
pub struct MailBody {
    /// Its name.
    pub id: String,
    /// When the mailbox got it.
    pub received_at: String,
    /// Whether the shop wrote it.
    pub own: bool,
    /// Who wrote it.
    pub from: Option<PersonBody>,
    /// Its subject.
    pub subject: String,
    /// What is new in it: without what it quotes, and without a signature.
    pub text: String,
    /// The whole of it.
    pub whole_text: String,
    /// Names and media types of what is attached. It stays in the mailbox.
    pub attachments: Vec<AttachmentBody>,
    /// Whether it was written by a machine, or to many: then nobody answers it automatically.
    pub automatic: bool,
    /// Whether it was too long, and its end is missing here.
    pub truncated: bool,
    /// What was made of it; nothing yet, or because the shop wrote it.
    pub understanding: Option<UnderstandingBody>,
}

/// What is attached to a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AttachmentBody {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its media type, as the sender says.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

impl From<&StoredMail> for MailBody {
    fn from(mail: &StoredMail) -> Self {
        let attachments = mail.attachments.iter().map(|attached| AttachmentBody {
            name: attached.name.as_ref().map(text),
            media_type: attached.media_type.clone(),
            size: attached.size,
        });
        let understanding = mail.understanding.as_ref().map(|made| UnderstandingBody {
            intent: made.intent.name().to_owned(),
            confidence: made.confidence.ratio(),
            language: made.language.map(|language| language.code().to_owned()),
            sentence: text(&made.sentence),
            engine: match made.engine {
                Engine::BuiltIn => "built-in",
                Engine::Claude => "claude",
            }
            .to_owned(),
            rules: made.matched.clone(),
            why: made.why.clone(),
        });
        Self {
            id: mail.reference.id().to_owned(),
            received_at: mail.received_at.to_rfc3339(),
            own: mail.own,
            from: mail.from.as_ref().map(PersonBody::from),
            subject: text(&mail.subject),
            text: text(&mail.new_text),
            whole_text: text(&mail.text),
            attachments: attachments.collect(),
            automatic: mail.automatic.is_some(),
            truncated: mail.truncated,
            understanding,
        }
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Draft")]
pub struct DraftBody {
    /// Its name.
    pub id: String,
    /// The conversation it belongs to.
    pub thread: String,
    /// The mail that it answers.
    pub mail: String,
    /// How it stands.
    #[schemars(schema_with = "draft_state")]
    pub state: String,
    /// Whom it goes to.
    pub to: PersonBody,
    /// What it says.
    pub text: String,
    /// In which language (ISO 639-1), where that is known.
    pub language: Option<String>,
    /// The orders that it quotes.
    pub orders: Vec<String>,
    /// The macro that it was made of, where it was made of one.
    pub r#macro: Option<String>,
    /// When it is sent, where that is decided.
    pub send_at: Option<String>,
    /// Whether a person wrote in it.
    pub edited: bool,
    /// Whether a rule sends it.
    pub automatic: bool,
    /// What was found about it: why a person has to look, which rule sends it.
    pub why: Vec<String>,
    /// When it was made.
    pub created_at: String,
}

impl From<&Draft> for DraftBody {
    fn from(draft: &Draft) -> Self {
        Self {
            id: draft.reference.id().to_owned(),
            thread: draft.thread.id().to_owned(),
            mail: draft.mail.id().to_owned(),
            state: draft.state.name().to_owned(),
            to: PersonBody::from(&draft.to),
            text: text(&draft.text),
            language: draft.language.map(|language| language.code().to_owned()),
            orders: draft.orders.iter().map(text).collect(),
            r#macro: draft.macro_id.clone(),
            send_at: draft.send_at.map(Timestamp::to_rfc3339),
            edited: draft.edited,
            automatic: draft.automatic,
            why: draft.why.clone(),
            created_at: draft.created_at.to_rfc3339(),
        }
    }
}

/// What a reply is to say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftEdit {
    /// Its text, 1 to 20,000 characters.
    #[schemars(with = "String", length(min = 1, max = 20_000))]
    pub text: Personal<String>,
}

/// A conversation, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Thread")]
pub struct ThreadBody {
    /// Its name.
    pub id: String,
    /// The mailbox it stands in.
    pub mailbox: String,
    /// How it stands.
    #[schemars(schema_with = "thread_state")]
    pub state: String,
    /// What it is called.
    pub subject: String,
    /// Who takes part, but the mailbox itself.
    pub people: Vec<PersonBody>,
    /// What its latest understood mail is about.
    #[schemars(schema_with = "any_intent")]
    pub intent: Option<String>,
    /// What rules and staff call it.
    pub labels: BTreeSet<String>,
    /// Who of the staff has it.
    pub assignee: Option<String>,
    /// Whether somebody has to look at it.
    pub escalated: bool,
    /// The orders that its mails name.
    pub orders: Vec<String>,
    /// How many mails it has.
    pub mails: usize,
    /// When its latest mail came.
    pub latest_at: String,
    /// How its latest reply stands, where there is one.
    #[schemars(schema_with = "any_draft_state")]
    pub draft: Option<String>,
}

impl From<&Thread> for ThreadBody {
    fn from(thread: &Thread) -> Self {
        Self {
            id: thread.reference.id().to_owned(),
            mailbox: thread.mailbox.id().to_owned(),
            state: thread.state.name().to_owned(),
            subject: text(&thread.subject),
            people: thread.people.iter().map(PersonBody::from).collect(),
            intent: thread.intent.map(|intent| intent.name().to_owned()),
            labels: thread.labels.clone(),
            assignee: thread.assignee.as_ref().map(text),
            escalated: thread.escalated,
            orders: thread.orders.iter().map(text).collect(),
            mails: thread.mails.len(),
            latest_at: thread.latest_at.to_rfc3339(),
            draft: thread.drafts.last().map(|draft| draft.state.name().to_owned()),
        }
    }
}

/// A page of conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Threads")]
pub struct ThreadsBody {
    /// The conversations, the latest first.
    pub threads: Vec<ThreadBody>,
    /// What to ask for the next page with.
    pub next: Option<String>,
}

/// A conversation with what it holds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "WholeThread")]
pub struct WholeThreadBody {
    /// The conversation.
    pub thread: ThreadBody,
    /// Its mails that are still kept, the earliest first.
    pub mails: Vec<MailBody>,
    /// Its replies that are still kept, the earliest first.
    pub drafts: Vec<DraftBody>,
}

/// What is changed about a conversation. What is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadEdit {
    /// `closed`, `ignored`, or `open` again.
    #[schemars(schema_with = "chosen_state")]
    pub state: Option<ThreadState>,
    /// Labels that it gets, at most 20 of 1 to 200 characters.
    pub add_labels: BTreeSet<String>,
    /// Labels that it loses.
    pub remove_labels: BTreeSet<String>,
    /// Who of the staff has it from now on: a member's id, as the list of members gives it. `null` takes it from whoever
    /// had it.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<String>", transform = without_default)]
    pub assignee: Option<Option<String>>,
    /// Whether somebody has to look at it.
    pub escalated: Option<bool>,
}

/// Tells `null` from what is left out.
#[expect(clippy::option_option, reason = "left out, null, or somebody")]
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// That a reply is being drafted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DraftingBody {
    /// The mail that is being answered.
    pub mail: String,
}
