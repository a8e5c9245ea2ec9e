//! Conversations as they are stored: one record each, which lists its mails and drafts and the rows that lead to it, so that
//! whoever erases, exports or changes a conversation finds all of it there. How mails come in is `arrival`'s.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::intent::{Confidence, Intent, Language};
use storeward_core::mail::{Address, Attachment, Automatic, MessageId};
use storeward_core::personal::Personal;
use storeward_core::retention::RetentionPolicy;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::accept::RESEND_AFTER;
pub(crate) use crate::cutting::{Cut, For};
use crate::drafts::DraftState;
use crate::due::{self, DueRow};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::orders::{LIMITED, is_limited, lengthen};
use crate::store::{Action, Condition, Expired, Store, Unrecorded};
use crate::tenants::Installation;

/// How often a conversation is tried while others change it.
pub(crate) const ATTEMPTS: usize = 12;

/// The most labels of a conversation; what comes after is not taken.
const LABELS: usize = 50;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailPhase {
    /// What it is about is to be found out.
    Arrived,
    /// A reply is to be drafted.
    Understood,
    /// Nothing more is to be done about it.
    Done,
}

impl MailPhase {
    const ALL: [Self; 3] = [Self::Arrived, Self::Understood, Self::Done];

    const fn name(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Understood => "understood",
            Self::Done => "done",
        }
    }

    /// The step that is to come.
    pub(crate) const fn step(self) -> Option<due::Action> {
        match self {
            Self::Arrived => Some(due::Action::ClassifyMail),
            Self::Understood => Some(due::Action::DraftReply),
            Self::Done => None,
        }
    }
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
    /// When it ends as it is stored.
    pub(crate) ends: Option<i64>,
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

/// What came of asking for a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnotherDraft {
    /// It is to be drafted.
    Asked {
        /// The mail that it answers.
        mail: RecordRef,
        /// Where the due row of the task stands.
        due_at: Timestamp,
    },
    /// A person wrote in a draft of the conversation, or is sending it: that one stays.
    Edited,
    /// The shop wrote last, or what the customer wrote is not kept or not understood yet.
    NothingToAnswer,
    /// There is no such conversation.
    Unknown,
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

/// A mail in the sealed list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) own: bool,
    /// Whether a program wrote it: then the conversation stands as it stood.
    pub(crate) automatic: bool,
    pub(crate) phase: MailPhase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<(Intent, Confidence)>,
    /// Whom it names, by their place in the conversation's list.
    pub(crate) people: Vec<u16>,
    /// What leads from them to the conversation, by its place.
    pub(crate) rows: Vec<u16>,
    /// The partitions of the links that lead to it.
    pub(crate) links: Vec<String>,
    /// The provider's conversation it came in, where it is not the one this is named by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) joined: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) orders: Vec<Personal<String>>,
}

/// A draft in the sealed list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ListedDraft {
    pub(crate) id: String,
    /// The mail that it answers.
    pub(crate) mail: String,
    pub(crate) state: DraftState,
    pub(crate) edited: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) send_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) message_id: MessageId,
}

impl Listed {
    pub(crate) fn reference(&self) -> RecordRef {
        RecordRef::new(Kind::Mail, self.id.clone())
    }
}

impl ListedDraft {
    pub(crate) fn reference(&self) -> RecordRef {
        RecordRef::new(Kind::Draft, self.id.clone())
    }
}

/// The sealed half of a conversation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) subject: Personal<String>,
    pub(crate) people: Vec<Address>,
    /// The partitions of its subject rows, without the tenant.
    pub(crate) rows: Vec<String>,
    /// By their time.
    pub(crate) mails: Vec<Listed>,
    /// By their time.
    pub(crate) drafts: Vec<ListedDraft>,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) assignee: Option<Personal<String>>,
    pub(crate) escalated: bool,
    /// How staff or a rule want it to stand, until somebody writes after that.
    pub(crate) set: Option<(ThreadState, Timestamp)>,
}

impl Body {
    /// The place of whoever has this address, who is added where it is new.
    pub(crate) fn person(&mut self, address: &Address) -> Option<u16> {
        let normal = address.normal();
        let place = self.people.iter().position(|known| known.normal() == normal);
        let place = place.unwrap_or_else(|| {
            self.people.push(address.clone());
            self.people.len() - 1
        });
        u16::try_from(place).ok()
    }

    /// The place of a subject row's partition, which is added where it is new.
    pub(crate) fn row(&mut self, partition: String) -> Option<u16> {
        let place = self.rows.iter().position(|known| *known == partition);
        let place = place.unwrap_or_else(|| {
            self.rows.push(partition);
            self.rows.len() - 1
        });
        u16::try_from(place).ok()
    }

    /// Forgets whom no mail names any more. Gives back the partitions of the rows that led from them.
    pub(crate) fn prune(&mut self) -> Vec<String> {
        let people = kept(&mut self.people, self.mails.iter().map(|mail| &mail.people));
        let mut dropped = self.rows.clone();
        let rows = kept(&mut self.rows, self.mails.iter().map(|mail| &mail.rows));
        dropped.retain(|row| !self.rows.contains(row));
        for mail in &mut self.mails {
            mail.people = mail.people.iter().filter_map(|place| people.get(place).copied()).collect();
            mail.rows = mail.rows.iter().filter_map(|place| rows.get(place).copied()).collect();
        }
        dropped
    }

    pub(crate) fn mail(&mut self, id: &str) -> Option<&mut Listed> {
        self.mails.iter_mut().find(|mail| mail.id == id)
    }

    pub(crate) fn draft(&mut self, id: &str) -> Option<&mut ListedDraft> {
        self.drafts.iter_mut().find(|draft| draft.id == id)
    }

    /// Whether somebody wrote after this mail, or it is not there any more.
    pub(crate) fn moved_on(&self, mail: &str) -> bool {
        let place = self.mails.iter().position(|listed| listed.id == mail);
        let later = place.map(|place| self.mails.iter().skip(place + 1));
        later.is_none_or(|mut later| later.any(|listed| !listed.automatic))
    }

    fn state(&self) -> ThreadState {
        let last = self.mails.iter().rev().find(|mail| !mail.automatic).or(self.mails.last());
        match (self.set, last) {
            (Some((state, at)), last) if last.is_none_or(|last| last.at <= at) => state,
            (_, Some(last)) if last.own => ThreadState::Answered,
            _ => ThreadState::Open,
        }
    }

    fn intent(&self) -> Option<Intent> {
        self.mails.iter().rev().find_map(|mail| mail.intent).map(|(intent, _)| intent)
    }

    pub(crate) fn sort(&mut self) {
        self.mails.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        self.drafts.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    }
}

/// Keeps of a list what some of `places` name, and says where each stands now.
fn kept<'a, T>(list: &mut Vec<T>, places: impl Iterator<Item = &'a Vec<u16>>) -> BTreeMap<u16, u16> {
    let used: BTreeSet<u16> = places.flatten().copied().collect();
    let mut place = 0u16;
    list.retain(|_| {
        let keep = used.contains(&place);
        place = place.saturating_add(1);
        keep
    });
    used.into_iter().zip(0u16..).collect()
}

/// A conversation as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct ThreadRecord {
    pub(crate) reference: RecordRef,
    pub(crate) mailbox: RecordRef,
    pub(crate) body: Body,
    /// When its latest mail came: what keeps it.
    pub(crate) latest_at: Timestamp,
    /// Whether somebody in it limits the use of their data.
    pub(crate) limited: bool,
    /// How often it was written; 0 for one that is new.
    pub(crate) revision: i64,
    /// When it ends as it is stored; none for one that is new, or that a later mail keeps.
    pub(crate) ends: Option<i64>,
}

impl ThreadRecord {
    pub(crate) fn read(installation: &Installation, stored: &Stored) -> Result<Self> {
        Ok(Self {
            reference: RecordRef::new(Kind::Thread, stored.text("sk")?.to_owned()),
            mailbox: RecordRef::new(Kind::Mailbox, stored.text("mailbox")?.to_owned()),
            body: stored.unseal(Kind::Thread, &installation.keys)?,
            latest_at: stored.time("latest_at")?,
            limited: is_limited(stored),
            revision: stored.number("revision")?,
            ends: stored.end_written(),
        })
    }

    pub(crate) fn key(&self, tenant: &Tenant) -> Key {
        keyspace::record(tenant, &self.reference)
    }

    /// That nobody wrote it since it was read.
    pub(crate) fn unchanged(&self) -> Condition {
        if self.revision == 0 {
            return Condition::ABSENT;
        }
        Condition { expression: "revision = :revision", values: vec![(":revision", number(self.revision))] }
    }

    /// The action that writes it again, or the first time.
    pub(crate) fn put(&self, store: &Store, installation: &Installation) -> Result<Action> {
        let mails = i64::try_from(self.body.mails.len()).unwrap_or(i64::MAX);
        let mut item = Item::new(self.key(&installation.tenant))
            .set("mailbox", text(self.mailbox.id()))
            .set("phase", text(self.body.state().name()))
            .set("mails", number(mails))
            .set("latest_at", number(self.latest_at.millis()))
            .set("revision", number(self.revision + 1));
        if let Some(intent) = self.body.intent() {
            item = item.set("intent", text(intent.name()));
        }
        if self.limited {
            item = item.set(LIMITED, number(1));
        }
        let item = item.expiring(self.latest_at).not_after(self.ends).sealed(
            &installation.keys,
            &self.body,
            &*store.entropy,
        )?;
        Ok(Action::Put { item, condition: Some(self.unchanged()) })
    }

    /// The subject rows that lead to it.
    pub(crate) fn subjects(&self, tenant: &Tenant) -> Vec<Key> {
        self.body.rows.iter().filter_map(|row| self.subject(tenant, row)).collect()
    }

    pub(crate) fn subject(&self, tenant: &Tenant, row: &str) -> Option<Key> {
        lengthen(tenant, &(row.to_owned(), self.reference.to_string()))
    }

    /// The links that lead to one of its mails.
    pub(crate) fn links(&self, tenant: &Tenant, mail: &Listed) -> Vec<Key> {
        let link = |partition: &String| lengthen(tenant, &(partition.clone(), self.reference.to_string()));
        mail.links.iter().filter_map(link).collect()
    }

    /// Its row in the list.
    pub(crate) fn index(&self, tenant: &Tenant) -> Key {
        keyspace::thread_index(tenant, self.latest_at, &self.reference)
    }

    /// Every row that leads to it, once: two mails can stand under one name.
    pub(crate) fn rows(&self, tenant: &Tenant) -> Vec<Key> {
        let links = self.body.mails.iter().flat_map(|mail| self.links(tenant, mail));
        let rows = self.subjects(tenant).into_iter().chain(links).chain([self.index(tenant)]);
        rows.collect::<BTreeSet<Key>>().into_iter().collect()
    }

    /// When the latest of its mails came that is listed for longer than conversations are kept: what is known of it, and
    /// of what came before, is over, though later mails keep the conversation (promise DG27).
    pub(crate) fn outlived(&self, policy: &RetentionPolicy, now: Timestamp) -> Option<Timestamp> {
        let over =
            |at: &Timestamp| policy.end(Kind::Thread, at.seconds()).is_some_and(|end| end <= now.seconds());
        self.body.mails.iter().map(|mail| mail.at).rfind(over)
    }

    /// As it is given out: without what is over.
    pub(crate) fn shown(mut self, policy: &RetentionPolicy, now: Timestamp) -> Thread {
        if let Some(upto) = self.outlived(policy, now) {
            let body = &mut self.body;
            body.mails.retain(|mail| mail.at > upto);
            let answers = |draft: &ListedDraft| body.mails.iter().any(|mail| mail.id == draft.mail);
            body.drafts.retain(answers);
            body.prune();
            // The first mail's.
            body.subject = Personal::default();
        }
        let Self { reference, mailbox, body, latest_at, revision, .. } = self;
        let (state, intent) = (body.state(), body.intent());
        let mut orders: Vec<Personal<String>> = Vec::new();
        for order in body.mails.iter().flat_map(|mail| &mail.orders) {
            if !orders.contains(order) {
                orders.push(order.clone());
            }
        }
        Thread {
            reference,
            mailbox,
            state,
            intent,
            orders,
            first_at: body.mails.first().map_or(latest_at, |mail| mail.at),
            latest_at,
            revision,
            mails: body.mails.iter().map(ThreadMail::of).collect(),
            drafts: body.drafts.iter().map(ThreadDraft::of).collect(),
            subject: body.subject,
            people: body.people,
            labels: body.labels,
            assignee: body.assignee,
            escalated: body.escalated,
        }
    }
}

impl ThreadMail {
    fn of(listed: &Listed) -> Self {
        Self {
            reference: listed.reference(),
            received_at: listed.at,
            own: listed.own,
            intent: listed.intent.map(|(intent, _)| intent),
            confidence: listed.intent.map(|(_, confidence)| confidence),
            done: listed.phase == MailPhase::Done,
        }
    }
}

impl ThreadDraft {
    fn of(listed: &ListedDraft) -> Self {
        Self {
            reference: listed.reference(),
            state: listed.state,
            edited: listed.edited,
            send_at: listed.send_at,
        }
    }
}

/// The sealed half of a mail.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SealedMail {
    provider_id: String,
    provider_thread: String,
    message_id: Option<MessageId>,
    in_reply_to: Vec<MessageId>,
    references: Vec<MessageId>,
    from: Option<Address>,
    reply_to: Vec<Address>,
    to: Vec<Address>,
    cc: Vec<Address>,
    subject: Personal<String>,
    text: Personal<String>,
    new_text: Personal<String>,
    signature: Option<Personal<String>>,
    attachments: Vec<Attachment>,
    automatic: Option<Automatic>,
    truncated: bool,
    understanding: Option<Understanding>,
}

impl StoredMail {
    pub(crate) fn read(installation: &Installation, stored: &Stored) -> Result<Self> {
        let sealed: SealedMail = stored.unseal(Kind::Mail, &installation.keys)?;
        let phase = stored.text("phase")?;
        let phase = MailPhase::ALL.into_iter().find(|known| known.name() == phase);
        Ok(Self {
            reference: RecordRef::new(Kind::Mail, stored.text("sk")?.to_owned()),
            thread: RecordRef::new(Kind::Thread, stored.text("thread")?.to_owned()),
            mailbox: RecordRef::new(Kind::Mailbox, stored.text("mailbox")?.to_owned()),
            phase: phase.ok_or(StoreError::Corrupt("a mail's state"))?,
            received_at: stored.time("received_at")?,
            own: stored.optional_number("own").is_some(),
            provider_id: sealed.provider_id,
            provider_thread: sealed.provider_thread,
            message_id: sealed.message_id,
            in_reply_to: sealed.in_reply_to,
            references: sealed.references,
            from: sealed.from,
            reply_to: sealed.reply_to,
            to: sealed.to,
            cc: sealed.cc,
            subject: sealed.subject,
            text: sealed.text,
            new_text: sealed.new_text,
            signature: sealed.signature,
            attachments: sealed.attachments,
            automatic: sealed.automatic,
            truncated: sealed.truncated,
            understanding: sealed.understanding,
            due_at: stored.optional_number("due_at").map(Timestamp),
            ends: stored.end_written(),
        })
    }

    /// The item that holds it.
    pub(crate) fn item(&self, store: &Store, installation: &Installation) -> Result<Item> {
        let sealed = SealedMail {
            provider_id: self.provider_id.clone(),
            provider_thread: self.provider_thread.clone(),
            message_id: self.message_id.clone(),
            in_reply_to: self.in_reply_to.clone(),
            references: self.references.clone(),
            from: self.from.clone(),
            reply_to: self.reply_to.clone(),
            to: self.to.clone(),
            cc: self.cc.clone(),
            subject: self.subject.clone(),
            text: self.text.clone(),
            new_text: self.new_text.clone(),
            signature: self.signature.clone(),
            attachments: self.attachments.clone(),
            automatic: self.automatic,
            truncated: self.truncated,
            understanding: self.understanding.clone(),
        };
        let mut item = Item::new(keyspace::record(&installation.tenant, &self.reference))
            .set("thread", text(self.thread.id()))
            .set("mailbox", text(self.mailbox.id()))
            .set("phase", text(self.phase.name()))
            .set("received_at", number(self.received_at.millis()));
        if self.own {
            item = item.set("own", number(1));
        }
        if let Some(understanding) = &self.understanding {
            let confidence = i64::from(understanding.confidence.basis_points());
            item =
                item.set("intent", text(understanding.intent.name())).set("confidence", number(confidence));
        }
        if let Some(due_at) = self.due_at {
            item = item.set("due_at", number(due_at.millis()));
        }
        let item = item.expiring(self.received_at).not_after(self.ends);
        item.sealed(&installation.keys, &sealed, &*store.entropy)
    }

    /// Lets the work on it come to `phase`: the due rows of the step before end, the next one's is written. `seen_due` is
    /// where the step before stood due for whoever did it.
    pub(crate) fn advance(
        &mut self,
        tenant: &Tenant,
        phase: MailPhase,
        seen_due: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Action> {
        let row = |action, at| DueRow::of_desk(tenant, action, &self.reference, at);
        let before: BTreeSet<Key> = match self.phase.step() {
            Some(action) => self.due_at.into_iter().chain(seen_due).map(|at| row(action, at).key()).collect(),
            None => BTreeSet::new(),
        };
        let next = phase.step().map(|action| row(action, now + RESEND_AFTER));
        let stays = next.as_ref().map(DueRow::key);
        let mut actions: Vec<Action> =
            before.into_iter().filter(|key| Some(key) != stays.as_ref()).map(Action::delete).collect();
        actions.extend(next.as_ref().map(due::put));
        self.due_at = next.map(|next| next.at);
        self.phase = phase;
        actions
    }
}

/// The due row that a mail, or a draft, names as it is stored.
pub(crate) fn due_rows_of(tenant: &Tenant, kind: Kind, stored: &Stored) -> Result<Vec<Key>> {
    let Some(at) = stored.optional_number("due_at").map(Timestamp) else { return Ok(Vec::new()) };
    let reference = RecordRef::new(kind, stored.text("sk")?.to_owned());
    let action = match kind {
        Kind::Draft => Some(due::Action::SendReply),
        _ => MailPhase::ALL
            .into_iter()
            .find(|phase| stored.optional_text("phase") == Some(phase.name()))
            .and_then(MailPhase::step),
    };
    Ok(action.map(|action| DueRow::of_desk(tenant, action, &reference, at).key()).into_iter().collect())
}

impl Store {
    /// A conversation whoever limits the use of it; `expired` says whether one that is over counts.
    pub(crate) async fn any_thread(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        expired: Expired,
    ) -> Result<Option<ThreadRecord>> {
        let key = keyspace::record(&installation.tenant, reference);
        let stored = self.batch_get(Table::Data, std::slice::from_ref(&key), expired).await?;
        stored.first().map(|stored| ThreadRecord::read(installation, stored)).transpose()
    }

    /// A conversation that may be used.
    pub(crate) async fn thread_in_use(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<ThreadRecord>> {
        let thread = self.any_thread(installation, reference, Expired::Gone).await?;
        Ok(thread.filter(|thread| !thread.limited))
    }

    /// A mail with its conversation, if that may be used.
    async fn mail_in_use(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<(StoredMail, ThreadRecord)>> {
        let key = keyspace::record(&installation.tenant, reference);
        let Some(stored) = self.get(&key).await? else { return Ok(None) };
        let mail = StoredMail::read(installation, &stored)?;
        let thread = self.thread_in_use(installation, &mail.thread).await?;
        Ok(thread.map(|thread| (mail, thread)))
    }

    /// A mail. None, too, while somebody in its conversation limits the use of their data.
    pub async fn mail(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<StoredMail>> {
        Ok(self.mail_in_use(installation, reference).await?.map(|(mail, _)| mail))
    }

    /// A conversation. None, too, while somebody in it limits the use of their data.
    pub async fn thread(&self, installation: &Installation, reference: &RecordRef) -> Result<Option<Thread>> {
        let Some(thread) = self.thread_in_use(installation, reference).await? else { return Ok(None) };
        Ok(Some(self.show(installation, thread).await?))
    }

    /// A conversation as it is given out now.
    pub(crate) async fn show(&self, installation: &Installation, thread: ThreadRecord) -> Result<Thread> {
        let policy = self.policy_for(&thread.key(&installation.tenant).pk).await?;
        Ok(thread.shown(&policy, self.now()))
    }

    /// The mails of a conversation that are still kept, the earliest first.
    pub async fn mails_of(&self, installation: &Installation, thread: &Thread) -> Result<Vec<StoredMail>> {
        let listed = thread.mails.iter().map(|mail| &mail.reference);
        let keys: Vec<Key> = listed.map(|mail| keyspace::record(&installation.tenant, mail)).collect();
        let stored = self.batch_get(Table::Data, &keys, Expired::Gone).await?;
        let mails = stored.iter().map(|stored| StoredMail::read(installation, stored));
        let mut mails = mails.collect::<Result<Vec<_>>>()?;
        mails.sort_by(|a, b| (a.received_at, &a.reference).cmp(&(b.received_at, &b.reference)));
        Ok(mails)
    }

    /// Remembers what was made of a mail, and ends the step that stands due at `due_at`. Gives the due time of the task
    /// that drafts a reply, where one is to be drafted: also when it was understood before. What was understood first
    /// counts.
    pub async fn understood(
        &self,
        installation: &Installation,
        mail: &StoredMail,
        understanding: &Understanding,
        due_at: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let tenant = &installation.tenant;
        for _ in 0..ATTEMPTS {
            let Some((mut mail, mut thread)) = self.mail_in_use(installation, &mail.reference).await? else {
                return Ok(None);
            };
            if mail.phase != MailPhase::Arrived {
                let row = DueRow::of_desk(tenant, due::Action::ClassifyMail, &mail.reference, due_at);
                self.due_done(&row).await?;
                return Ok(mail.due_at);
            }
            let now = self.now();
            let phase = if understanding.draft { MailPhase::Understood } else { MailPhase::Done };
            let mut actions = mail.advance(tenant, phase, Some(due_at), now);
            let body = &mut thread.body;
            let stood = (body.labels.clone(), body.assignee.clone(), body.escalated, body.set);
            let Some(listed) = body.mail(mail.reference.id()) else { return Ok(None) };
            listed.phase = phase;
            listed.intent = Some((understanding.intent, understanding.confidence));
            listed.orders.clone_from(&understanding.orders);
            body.labels.extend(understanding.labels.iter().cloned());
            while body.labels.len() > LABELS {
                body.labels.pop_last();
            }
            if body.assignee.is_none() {
                body.assignee.clone_from(&understanding.assign);
            }
            body.escalated |= understanding.escalate;
            if understanding.ignore && body.set.is_none_or(|(_, at)| at < mail.received_at) {
                body.set = Some((ThreadState::Ignored, mail.received_at));
            }
            let stands = (&body.labels, &body.assignee, body.escalated, body.set);
            let changed = stands != (&stood.0, &stood.1, stood.2, stood.3);
            mail.understanding = Some(understanding.clone());
            actions.push(Action::Put {
                item: mail.item(self, installation)?,
                condition: Some(Condition::PRESENT),
            });
            actions.push(thread.put(self, installation)?);
            let done = if changed {
                // What the merchant's rules made of it; that somebody has to look can follow from the mail alone.
                let why = if understanding.matched.is_empty() { "mail" } else { "rule" };
                actions.push(self.ledger_action(&Entry::new(now, tenant, What::ThreadChanged, why))?);
                self.transact(actions).await?
            } else {
                self.transact_unrecorded(Unrecorded::Step, actions).await?
            };
            if done.is_ok() {
                return Ok(mail.due_at);
            }
        }
        Err(StoreError::Contended("a conversation"))
    }

    /// Nothing more is to be done about a mail: no reply is drafted after all.
    pub async fn mail_done(
        &self,
        installation: &Installation,
        mail: &StoredMail,
        due_at: Timestamp,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let Some((mut mail, mut thread)) = self.mail_in_use(installation, &mail.reference).await? else {
                return Ok(());
            };
            if mail.phase == MailPhase::Done {
                return Ok(());
            }
            let mut actions = mail.advance(&installation.tenant, MailPhase::Done, Some(due_at), self.now());
            let Some(listed) = thread.body.mail(mail.reference.id()) else { return Ok(()) };
            listed.phase = MailPhase::Done;
            actions.push(Action::Put {
                item: mail.item(self, installation)?,
                condition: Some(Condition::PRESENT),
            });
            actions.push(thread.put(self, installation)?);
            if self.transact_unrecorded(Unrecorded::Step, actions).await?.is_ok() {
                return Ok(());
            }
        }
        Err(StoreError::Contended("a conversation"))
    }

    /// A member of staff wants a reply drafted to the latest mail, however far the work on it has come: the task's due row is
    /// written. Nothing is sent by a rule that was asked for by a person.
    pub async fn ask_for_draft(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<AnotherDraft> {
        let tenant = &installation.tenant;
        for _ in 0..ATTEMPTS {
            let Some(mut thread) = self.thread_in_use(installation, reference).await? else {
                return Ok(AnotherDraft::Unknown);
            };
            let edited = |draft: &ListedDraft| {
                draft.state == DraftState::Sending || (draft.edited && !draft.state.has_ended())
            };
            if thread.body.drafts.iter().any(edited) {
                return Ok(AnotherDraft::Edited);
            }
            let latest = thread.body.mails.last().filter(|mail| !mail.own).map(Listed::reference);
            let Some(latest) = latest else { return Ok(AnotherDraft::NothingToAnswer) };
            let Some((mut mail, _)) = self.mail_in_use(installation, &latest).await? else {
                return Ok(AnotherDraft::NothingToAnswer);
            };
            // What was not understood yet is drafted when it is, as the rules say.
            let Some(understanding) = mail.understanding.as_mut() else {
                return Ok(AnotherDraft::NothingToAnswer);
            };
            understanding.auto_send_after = None;
            understanding.draft = true;
            let now = self.now();
            let mut actions = self.withdraw(installation, &mut thread).await?;
            actions.extend(mail.advance(tenant, MailPhase::Understood, None, now));
            let Some(due_at) = mail.due_at else { return Ok(AnotherDraft::NothingToAnswer) };
            if let Some(listed) = thread.body.mail(latest.id()) {
                listed.phase = MailPhase::Understood;
            }
            actions.push(Action::Put {
                item: mail.item(self, installation)?,
                condition: Some(Condition::PRESENT),
            });
            actions.push(thread.put(self, installation)?);
            let entry = Entry::new(now, tenant, What::ThreadChanged, "draft");
            actions.push(self.ledger_action(&entry)?);
            if self.transact(actions).await?.is_ok() {
                return Ok(AnotherDraft::Asked { mail: latest, due_at });
            }
        }
        Err(StoreError::Contended("a conversation"))
    }

    /// Changes a conversation as a member of staff wants it. `None` when there is none.
    pub async fn change_thread(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        change: &ThreadChange,
    ) -> Result<Option<Thread>> {
        let tenant = &installation.tenant;
        for _ in 0..ATTEMPTS {
            let Some(mut thread) = self.thread_in_use(installation, reference).await? else {
                return Ok(None);
            };
            let now = self.now();
            let body = &mut thread.body;
            if let Some(state) = change.state.filter(|state| *state != ThreadState::Answered) {
                body.set = Some((state, now));
            }
            if let Some(assignee) = &change.assignee {
                body.assignee.clone_from(assignee);
            }
            body.labels.retain(|label| !change.remove_labels.contains(label));
            let room = LABELS.saturating_sub(body.labels.len());
            let new: Vec<String> =
                change.add_labels.iter().filter(|label| !body.labels.contains(*label)).cloned().collect();
            body.labels.extend(new.into_iter().take(room));
            body.escalated = change.escalated.unwrap_or(body.escalated);
            let entry = Entry::new(now, tenant, What::ThreadChanged, "merchant");
            let actions = vec![thread.put(self, installation)?, self.ledger_action(&entry)?];
            if self.transact(actions).await?.is_ok() {
                thread.revision += 1;
                return Ok(Some(self.show(installation, thread).await?));
            }
        }
        Err(StoreError::Contended("a conversation"))
    }

    /// Whether a step of the mail desk is still to be done, by the record that it is about.
    pub async fn still_due(&self, row: &DueRow) -> Result<bool> {
        let Some(work) = &row.work else { return Ok(false) };
        let Some(stored) = self.get(&keyspace::record(&row.tenant, &work.record)).await? else {
            return Ok(false);
        };
        let phase = stored.text("phase")?;
        let waits = match row.action {
            due::Action::SyncMailbox => {
                return Ok(phase == "ending" || stored.optional_number("due_at").is_some());
            }
            due::Action::SendReply => ["scheduled", "approved", "sending"].contains(&phase),
            action => {
                MailPhase::ALL.iter().any(|known| known.name() == phase && known.step() == Some(action))
            }
        };
        if !waits {
            return Ok(false);
        }
        // While its use is limited nothing is done; when it is lifted, the row is written again.
        let thread = RecordRef::new(Kind::Thread, stored.text("thread")?.to_owned());
        let thread = self.get(&keyspace::record(&row.tenant, &thread)).await?;
        Ok(thread.is_some_and(|thread| !is_limited(&thread)))
    }

    /// The rows of what waited while the use of a conversation was limited.
    pub(crate) fn due_again_in(&self, tenant: &Tenant, thread: &ThreadRecord) -> Vec<Action> {
        let now = self.now();
        let mails = thread
            .body
            .mails
            .iter()
            .rev()
            .filter_map(|mail| Some(DueRow::of_desk(tenant, mail.phase.step()?, &mail.reference(), now)));
        let to_send = [DraftState::Scheduled, DraftState::Approved, DraftState::Sending];
        let drafts = thread.body.drafts.iter().filter(|draft| to_send.contains(&draft.state));
        let drafts =
            drafts.map(|draft| DueRow::of_desk(tenant, due::Action::SendReply, &draft.reference(), now));
        drafts.chain(mails.take(WAITING)).map(|row| due::put(&row)).collect()
    }
}

/// How many mails are looked at again when a limit is lifted: the latest.
const WAITING: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(id: usize, people: Vec<u16>) -> Listed {
        Listed {
            id: format!("{id:032}"),
            at: Timestamp(i64::try_from(id).unwrap()),
            own: false,
            automatic: false,
            phase: MailPhase::Done,
            intent: None,
            rows: people.clone(),
            people,
            links: Vec::new(),
            joined: None,
            orders: Vec::new(),
        }
    }

    fn address(name: u16) -> Address {
        Address { name: None, address: Personal::new(format!("{name}@example.com")) }
    }

    proptest! {
        #[test]
        fn whom_no_mail_names_is_forgotten_and_everyone_else_keeps_their_place(
            named in prop::collection::vec(prop::collection::vec(0u16..12, 0..5), 1..12),
            left in any::<prop::sample::Index>(),
        ) {
            let mut body = Body::default();
            for person in 0..12 {
                body.person(&address(person)).unwrap();
                body.row(format!("subject#{person}")).unwrap();
            }
            body.mails = named.iter().cloned().enumerate().map(|(id, people)| listed(id, people)).collect();
            body.mails.truncate(left.index(named.len()) + 1);
            let whom = |body: &Body| -> Vec<Vec<Option<Personal<String>>>> {
                let of = |mail: &Listed| {
                    mail.people.iter().map(|place| body.people[usize::from(*place)].normal()).collect()
                };
                body.mails.iter().map(of).collect()
            };
            let before = whom(&body);
            let dropped = body.prune();
            prop_assert_eq!(whom(&body), before);
            let used: BTreeSet<u16> = body.mails.iter().flat_map(|mail| mail.rows.clone()).collect();
            prop_assert_eq!(used.len(), body.rows.len());
            prop_assert_eq!(dropped.len() + body.rows.len(), 12);
            prop_assert_eq!(body.people.len(), body.rows.len());
        }
    }

    #[test]
    fn a_conversation_stands_as_the_last_who_wrote_left_it_until_somebody_decides_otherwise() {
        let mut body = Body { mails: vec![listed(10, vec![])], ..Body::default() };
        assert_eq!(body.state(), ThreadState::Open);
        body.mails.push(Listed { own: true, ..listed(20, vec![]) });
        assert_eq!(body.state(), ThreadState::Answered);
        body.mails.push(Listed { automatic: true, ..listed(30, vec![]) });
        assert_eq!(body.state(), ThreadState::Answered, "a program's mail changes nothing");
        body.set = Some((ThreadState::Closed, Timestamp(40)));
        assert_eq!(body.state(), ThreadState::Closed);
        body.mails.push(listed(50, vec![]));
        assert_eq!(body.state(), ThreadState::Open);
    }
}
