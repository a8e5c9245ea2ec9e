//! Conversations as they are stored: one record each, which lists its mails and drafts and the rows that lead to it, so that
//! whoever erases, exports or changes a conversation finds all of it there. How mails come in is `arrival`'s.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use storeward_core::intent::{Confidence, Intent, Language};
use storeward_core::mail::{Address, Attachment, Automatic, MessageId};
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;

use crate::drafts::DraftState;
use crate::error::{Result, StoreError};
use crate::keyspace::RecordRef;
use crate::store::Store;
use crate::tenants::Installation;

/// How a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadState {
    /// The customer wrote last.
    Open,
    /// The shop wrote last.
    Answered,
    /// A member of staff closed it, and nobody wrote since.
    Closed,
    /// A rule, or a member of staff, wants it left alone, and nobody wrote since.
    Ignored,
}

impl ThreadState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Answered, Self::Closed, Self::Ignored];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Closed => "closed",
            Self::Ignored => "ignored",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What told what a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The built-in lexicon.
    BuiltIn,
    /// Claude.
    Claude,
}

/// A mail in a conversation's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadMail {
    /// Its record, which can have ended before the conversation.
    pub reference: RecordRef,
    /// When the mailbox got it.
    pub received_at: Timestamp,
    /// Whether the shop wrote it.
    pub own: bool,
    /// What it is about, once that is known.
    pub intent: Option<Intent>,
    /// How sure that is.
    pub confidence: Option<Confidence>,
    /// Whether nothing more is to be done about it.
    pub done: bool,
}

/// A draft in a conversation's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadDraft {
    /// Its record, which can have ended before the conversation.
    pub reference: RecordRef,
    /// How it stands.
    pub state: DraftState,
    /// Whether a person wrote in it.
    pub edited: bool,
    /// When it is sent, where that is decided.
    pub send_at: Option<Timestamp>,
}

/// A conversation, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its name in the store.
    pub reference: RecordRef,
    /// In which mailbox.
    pub mailbox: RecordRef,
    /// How it stands.
    pub state: ThreadState,
    /// What it is called.
    pub subject: Personal<String>,
    /// Who takes part, but the mailbox itself: whoever wrote first.
    pub people: Vec<Address>,
    /// Its mails, the earliest first.
    pub mails: Vec<ThreadMail>,
    /// Its drafts, the earliest first.
    pub drafts: Vec<ThreadDraft>,
    /// What the latest mail is about that the customer wrote and that was understood.
    pub intent: Option<Intent>,
    /// What the merchant's rules and staff call it.
    pub labels: BTreeSet<String>,
    /// Who of the staff has it.
    pub assignee: Option<Personal<String>>,
    /// Whether somebody has to look at it.
    pub escalated: bool,
    /// The orders that its mails name.
    pub orders: Vec<Personal<String>>,
    /// When its first mail came.
    pub first_at: Timestamp,
    /// When its latest mail came.
    pub latest_at: Timestamp,
    /// Counts its changes.
    pub revision: i64,
}

/// How far the work on a mail has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailPhase {
    /// What it is about is to be found out.
    Arrived,
    /// A reply is to be drafted.
    Understood,
    /// Nothing more is to be done about it.
    Done,
}

/// A mail.
#[derive(Clone, Debug)]
pub struct StoredMail {
    /// Its name in the store.
    pub reference: RecordRef,
    /// Its conversation.
    pub thread: RecordRef,
    /// The mailbox that got it.
    pub mailbox: RecordRef,
    /// How far the work on it has come.
    pub phase: MailPhase,
    /// When the mailbox got it.
    pub received_at: Timestamp,
    /// Whether the shop wrote it.
    pub own: bool,
    /// Gmail's id of it.
    pub provider_id: String,
    /// Gmail's id of the conversation, which an answer names.
    pub provider_thread: String,
    /// Its `Message-ID`.
    pub message_id: Option<MessageId>,
    /// What it answers.
    pub in_reply_to: Vec<MessageId>,
    /// The conversation that it stands in, oldest first.
    pub references: Vec<MessageId>,
    /// Who wrote it.
    pub from: Option<Address>,
    /// Where answers are asked to go.
    pub reply_to: Vec<Address>,
    /// To whom.
    pub to: Vec<Address>,
    /// To whom else.
    pub cc: Vec<Address>,
    /// Its subject.
    pub subject: Personal<String>,
    /// The whole text.
    pub text: Personal<String>,
    /// What is new in it.
    pub new_text: Personal<String>,
    /// The signature.
    pub signature: Option<Personal<String>>,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// Why no one may answer it automatically.
    pub automatic: Option<Automatic>,
    /// Whether something was left out because a bound was reached.
    pub truncated: bool,
    /// What was made of it.
    pub understanding: Option<Understanding>,
    /// Where the due row of the next step stands.
    pub due_at: Option<Timestamp>,
}

impl StoredMail {
    /// Whom an answer goes to: the first address that answers are asked to go to, else whoever wrote it.
    #[must_use]
    pub fn answered(&self) -> Option<&Address> {
        self.reply_to.first().or(self.from.as_ref())
    }
}

/// What was made of a mail: what it is about, and what the merchant's rules want done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Understanding {
    /// What it is about.
    pub intent: Intent,
    /// How sure that is.
    pub confidence: Confidence,
    /// In which language it is written.
    pub language: Option<Language>,
    /// The sentence that decided it.
    pub sentence: Personal<String>,
    /// What told it.
    pub engine: Engine,
    /// The orders that it names, as it names them.
    #[serde(default)]
    pub orders: Vec<Personal<String>>,
    /// What the conversation is to be called.
    #[serde(default)]
    pub labels: BTreeSet<String>,
    /// Who of the staff gets it.
    #[serde(default)]
    pub assign: Option<Personal<String>>,
    /// Whether somebody has to look at it.
    #[serde(default)]
    pub escalate: bool,
    /// Whether it is left alone.
    #[serde(default)]
    pub ignore: bool,
    /// Whether a reply is to be drafted.
    pub draft: bool,
    /// After how many seconds a draft is sent that passes every check; none where a person sends it.
    #[serde(default)]
    pub auto_send_after: Option<u32>,
    /// The macro that the draft is made of.
    #[serde(default)]
    pub macro_id: Option<String>,
    /// The rules that matched, by their ids.
    #[serde(default)]
    pub matched: Vec<String>,
    /// Why it was decided so, in words for the merchant. Nothing of the mail is in it.
    #[serde(default)]
    pub why: Vec<String>,
}

/// What a member of staff changes about a conversation. What is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadChange {
    /// Closed, ignored, or open again; [`ThreadState::Answered`] is for mails to say, and changes nothing.
    pub state: Option<ThreadState>,
    /// Who of the staff has it; within, none takes it from whoever had it.
    pub assignee: Option<Option<Personal<String>>>,
    /// Labels that it gets.
    pub add_labels: BTreeSet<String>,
    /// Labels that it loses.
    pub remove_labels: BTreeSet<String>,
    /// Whether somebody has to look at it.
    pub escalated: Option<bool>,
}

impl Store {
    /// A mail. None, too, while somebody in its conversation limits the use of their data.
    pub async fn mail(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
    ) -> Result<Option<StoredMail>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// A conversation. None, too, while somebody in it limits the use of their data.
    pub async fn thread(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
    ) -> Result<Option<Thread>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// The mails of a conversation that are still kept, the earliest first.
    pub async fn mails_of(&self, _installation: &Installation, _thread: &Thread) -> Result<Vec<StoredMail>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Remembers what was made of a mail, and ends the step that stands due at `due_at`. Gives the due time of the task
    /// that drafts a reply, where one is to be drafted: also when it was understood before. What was understood first
    /// counts.
    pub async fn understood(
        &self,
        _installation: &Installation,
        _mail: &StoredMail,
        _understanding: &Understanding,
        _due_at: Timestamp,
    ) -> Result<Option<Timestamp>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Nothing more is to be done about a mail: no reply is drafted after all.
    pub async fn mail_done(
        &self,
        _installation: &Installation,
        _mail: &StoredMail,
        _due_at: Timestamp,
    ) -> Result<()> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Changes a conversation as a member of staff wants it. `None` when there is none.
    pub async fn change_thread(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
        _change: &ThreadChange,
    ) -> Result<Option<Thread>> {
        Err(StoreError::Corrupt("not built yet"))
    }
}
