//! Replies: drafted, edited, approved, sent once or withdrawn. Each step goes with its conversation in one transaction, so
//! that nothing is sent into a conversation that has moved on. What stands in a reply is not decided here.

use serde::{Deserialize, Serialize};
use storeward_core::intent::Language;
use storeward_core::mail::{Address, MessageId};
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;

use crate::error::{Result, StoreError};
use crate::keyspace::RecordRef;
use crate::store::Store;
use crate::tenants::Installation;
use crate::threads::{StoredMail, Thread};

/// How a draft stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftState {
    /// A person has to finish it: something could not be decided, or was not certain.
    NeedsHuman,
    /// It can be sent as it is, when a person says so.
    Ready,
    /// A rule sends it at its time.
    Scheduled,
    /// A person wants it sent.
    Approved,
    /// It is being sent: it may have gone out already.
    Sending,
    /// It was sent.
    Sent,
    /// The conversation moved on before it was sent.
    Withdrawn,
    /// A person threw it away.
    Discarded,
}

impl DraftState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::NeedsHuman,
        Self::Ready,
        Self::Scheduled,
        Self::Approved,
        Self::Sending,
        Self::Sent,
        Self::Withdrawn,
        Self::Discarded,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeedsHuman => "needs_human",
            Self::Ready => "ready",
            Self::Scheduled => "scheduled",
            Self::Approved => "approved",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Withdrawn => "withdrawn",
            Self::Discarded => "discarded",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing can become of it any more.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Sent | Self::Withdrawn | Self::Discarded)
    }

    /// Whether a person can change, send or discard it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::NeedsHuman | Self::Ready | Self::Scheduled | Self::Approved)
    }
}

/// What a draft was made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Author {
    /// The merchant's macros.
    Template,
    /// Claude.
    Claude,
}

/// A draft about to be stored.
#[derive(Clone, Debug)]
pub struct NewDraft {
    /// What is said; empty where nothing could be drafted.
    pub text: Personal<String>,
    /// Whom it answers.
    pub to: Address,
    /// The subject of the mail that is answered.
    pub subject: Personal<String>,
    /// Whether a person has to finish it; then it is never sent by a rule.
    pub needs_human: bool,
    /// After how many seconds a rule sends it; none where a person does.
    pub auto_send_after: Option<u32>,
    /// What it was made by.
    pub author: Author,
    /// The macro that it was made of.
    pub macro_id: Option<String>,
    /// In which language it is.
    pub language: Option<Language>,
    /// The orders that it quotes.
    pub orders: Vec<Personal<String>>,
    /// What was found about it, in words for the merchant: why a person has to look, what rule sends it. Nothing of the
    /// mail is in it.
    pub why: Vec<String>,
}

/// A draft, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its name in the store.
    pub reference: RecordRef,
    /// Its conversation.
    pub thread: RecordRef,
    /// The mail that it answers.
    pub mail: RecordRef,
    /// The mailbox it is sent from.
    pub mailbox: RecordRef,
    /// How it stands.
    pub state: DraftState,
    /// When it is sent, where that is decided.
    pub send_at: Option<Timestamp>,
    /// How often sending it was begun.
    pub tries: u32,
    /// Whether a person wrote in it.
    pub edited: bool,
    /// Whether a rule sends it, and no person wanted it sent.
    pub automatic: bool,
    /// What is said.
    pub text: Personal<String>,
    /// Whom it answers.
    pub to: Address,
    /// The subject of the mail that is answered.
    pub subject: Personal<String>,
    /// Its own `Message-ID`, the same at every try: by it a retry finds what was sent.
    pub message_id: MessageId,
    /// The mail that it answers.
    pub in_reply_to: Option<MessageId>,
    /// The references of the mail that it answers.
    pub references: Vec<MessageId>,
    /// Gmail's id of the conversation.
    pub provider_thread: String,
    /// Gmail's id of the mail that it was sent as.
    pub provider_id: Option<String>,
    /// What it was made by.
    pub author: Author,
    /// The macro that it was made of.
    pub macro_id: Option<String>,
    /// In which language it is.
    pub language: Option<Language>,
    /// The orders that it quotes.
    pub orders: Vec<Personal<String>>,
    /// What was found about it, in words for the merchant.
    pub why: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts its changes.
    pub revision: i64,
    /// Where the due row of sending it stands.
    pub due_at: Option<Timestamp>,
}

/// What came of storing a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutDraft {
    /// It is stored, or was before for the same mail.
    Stored {
        /// The draft.
        draft: RecordRef,
        /// When it is to be sent, where a rule sends it: also where its due row stands.
        send_due: Option<Timestamp>,
    },
    /// A person wrote in another draft of the conversation, or is sending it: that one stays.
    KeptOther,
    /// The conversation has a later mail, or is not there any more: nothing is to be said to this one.
    MovedOn,
}

/// What came of a person's change to a draft.
#[derive(Clone, Debug)]
pub enum Drafting {
    /// It is as wanted.
    Changed(Box<Draft>),
    /// Somebody changed it since it was read: this is how it stands.
    Overtaken(Box<Draft>),
    /// It cannot be changed so any more.
    Ended(DraftState),
    /// There is no such draft.
    Unknown,
}

/// What came of announcing that a draft is being sent.
#[derive(Clone, Debug)]
pub enum Announced {
    /// It was never tried: it can be sent.
    First(Box<Draft>),
    /// It was tried before, and may have gone out: it is to be looked for first.
    Again(Box<Draft>),
    /// It is not time yet.
    TooEarly(Timestamp),
    /// The conversation moved on: it was withdrawn, or waits for a person who wrote in it.
    MovedOn,
    /// It was sent, withdrawn, discarded, or is for a person to send.
    NotToSend,
}

impl Store {
    /// Stores a draft for a mail and ends the step that stands due at `due_at`. Another draft that nobody edited and that
    /// was not sent is withdrawn by it.
    pub async fn put_draft(
        &self,
        _installation: &Installation,
        _mail: &StoredMail,
        _draft: NewDraft,
        _due_at: Timestamp,
    ) -> Result<PutDraft> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// A draft. None, too, while somebody in its conversation limits the use of their data.
    pub async fn draft(&self, _installation: &Installation, _reference: &RecordRef) -> Result<Option<Draft>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// The drafts of a conversation that are still kept, the earliest first.
    pub async fn drafts_of(&self, _installation: &Installation, _thread: &Thread) -> Result<Vec<Draft>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Replaces what a draft says: from here on it is a person's, and sent by nobody else.
    pub async fn edit_draft(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
        _text: &Personal<String>,
        _revision: i64,
    ) -> Result<Drafting> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// A person wants a draft sent as it was read. The draft's `due_at` is where the due row of its sending stands.
    pub async fn approve_draft(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
        _revision: i64,
    ) -> Result<Drafting> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// A person does not want a draft sent that was scheduled or approved, and keeps it.
    pub async fn cancel_draft(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
    ) -> Result<Drafting> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// A person throws a draft away.
    pub async fn discard_draft(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
    ) -> Result<Drafting> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Writes down that a draft is being sent, before it is: whoever is stopped after this looks for it by its
    /// `Message-ID` before sending it again.
    pub async fn announce_sending(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
    ) -> Result<Announced> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// An announced draft was sent, as Gmail's mail of that id. Doing it again changes nothing.
    pub async fn draft_sent(
        &self,
        _installation: &Installation,
        _draft: &Draft,
        _provider_id: &str,
    ) -> Result<()> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// An announced draft was certainly not sent and is for a person to look at; `why` is in words for the merchant.
    pub async fn draft_not_sent(
        &self,
        _installation: &Installation,
        _draft: &Draft,
        _why: &str,
    ) -> Result<()> {
        Err(StoreError::Corrupt("not built yet"))
    }
}
