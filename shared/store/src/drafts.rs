//! Replies: drafted, edited, approved, sent once or withdrawn. Each step goes with its conversation in one transaction, so
//! that nothing is sent into a conversation that has moved on. What stands in a reply is not decided here.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::intent::Language;
use storeward_core::mail::{Address, MessageId};
use storeward_core::personal::Personal;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::due::{self, DueRow};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::store::{Action, Condition, Expired, Store};
use crate::tenants::Installation;
use crate::threads::{ATTEMPTS, ListedDraft, MailPhase, StoredMail, Thread, ThreadRecord};

/// How many drafts a conversation lists; the earliest that ended are forgotten.
const DRAFTS: usize = 20;

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
    /// When the mail came that it answers: it is kept as long as that one, and so no longer than its conversation.
    pub(crate) answered_at: Timestamp,
    /// Counts its changes.
    pub revision: i64,
    /// Where the due row of sending it stands.
    pub due_at: Option<Timestamp>,
    /// When it ends as it is stored.
    pub(crate) ends: Option<i64>,
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

/// The sealed half of a draft.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SealedDraft {
    text: Personal<String>,
    to: Address,
    subject: Personal<String>,
    message_id: MessageId,
    in_reply_to: Option<MessageId>,
    references: Vec<MessageId>,
    provider_thread: String,
    provider_id: Option<String>,
    author: Author,
    macro_id: Option<String>,
    language: Option<Language>,
    orders: Vec<Personal<String>>,
    why: Vec<String>,
}

impl Draft {
    pub(crate) fn read(installation: &Installation, stored: &Stored) -> Result<Self> {
        let sealed: SealedDraft = stored.unseal(Kind::Draft, &installation.keys)?;
        let time = |name: &str| stored.optional_number(name).map(Timestamp);
        let state = DraftState::named(stored.text("phase")?);
        Ok(Self {
            reference: RecordRef::new(Kind::Draft, stored.text("sk")?.to_owned()),
            thread: RecordRef::new(Kind::Thread, stored.text("thread")?.to_owned()),
            mail: RecordRef::new(Kind::Mail, stored.text("mail")?.to_owned()),
            mailbox: RecordRef::new(Kind::Mailbox, stored.text("mailbox")?.to_owned()),
            state: state.ok_or(StoreError::Corrupt("a draft's state"))?,
            send_at: time("send_at"),
            tries: stored
                .optional_number("tries")
                .and_then(|tries| u32::try_from(tries).ok())
                .unwrap_or_default(),
            edited: stored.optional_number("edited").is_some(),
            automatic: stored.optional_number("automatic").is_some(),
            text: sealed.text,
            to: sealed.to,
            subject: sealed.subject,
            message_id: sealed.message_id,
            in_reply_to: sealed.in_reply_to,
            references: sealed.references,
            provider_thread: sealed.provider_thread,
            provider_id: sealed.provider_id,
            author: sealed.author,
            macro_id: sealed.macro_id,
            language: sealed.language,
            orders: sealed.orders,
            why: sealed.why,
            created_at: stored.time("created_at")?,
            // One from before this was written was counted from when it was made.
            answered_at: time("answered_at").map_or_else(|| stored.time("created_at"), Ok)?,
            revision: stored.number("revision")?,
            due_at: time("due_at"),
            ends: stored.end_written(),
        })
    }

    /// The action that writes it again, or the first time, if nobody else did since it was read.
    pub(crate) fn put(&self, store: &Store, installation: &Installation) -> Result<Action> {
        let sealed = SealedDraft {
            text: self.text.clone(),
            to: self.to.clone(),
            subject: self.subject.clone(),
            message_id: self.message_id.clone(),
            in_reply_to: self.in_reply_to.clone(),
            references: self.references.clone(),
            provider_thread: self.provider_thread.clone(),
            provider_id: self.provider_id.clone(),
            author: self.author,
            macro_id: self.macro_id.clone(),
            language: self.language,
            orders: self.orders.clone(),
            why: self.why.clone(),
        };
        let mut item = Item::new(keyspace::record(&installation.tenant, &self.reference))
            .set("thread", text(self.thread.id()))
            .set("mail", text(self.mail.id()))
            .set("mailbox", text(self.mailbox.id()))
            .set("phase", text(self.state.name()))
            .set("tries", number(self.tries.into()))
            .set("created_at", number(self.created_at.millis()))
            .set("answered_at", number(self.answered_at.millis()))
            .set("revision", number(self.revision + 1));
        for (name, set) in [("edited", self.edited), ("automatic", self.automatic)] {
            if set {
                item = item.set(name, number(1));
            }
        }
        for (name, time) in [("send_at", self.send_at), ("due_at", self.due_at)] {
            if let Some(time) = time {
                item = item.set(name, number(time.millis()));
            }
        }
        // As long as the mail that it answers: a merchant who chose less for mails chose it for replies, too. Counted from
        // when it was made, it could outlive its conversation, and nothing would lead to it any more.
        let item = item.expiring_with(Kind::Mail, self.answered_at).not_after(self.ends).sealed(
            &installation.keys,
            &sealed,
            &*store.entropy,
        )?;
        let condition = if self.revision == 0 {
            Condition::ABSENT
        } else {
            Condition {
                expression: "revision = :revision",
                values: vec![(":revision", number(self.revision))],
            }
        };
        Ok(Action::Put { item, condition: Some(condition) })
    }

    /// Lets it stand so from here on, to be sent at `send_at` where that is given. The actions move its due row.
    pub(crate) fn become_state(
        &mut self,
        tenant: &Tenant,
        state: DraftState,
        send_at: Option<Timestamp>,
    ) -> Vec<Action> {
        let row = |at| DueRow::of_desk(tenant, due::Action::SendReply, &self.reference, at);
        let (before, after) = (self.due_at.map(row), send_at.map(row));
        let mut actions = Vec::new();
        if before != after {
            // A row of the same hour is the same row.
            let key = after.as_ref().map(DueRow::key);
            let over = before.map(|before| before.key()).filter(|before| Some(before) != key.as_ref());
            actions.extend(over.map(Action::delete));
            actions.extend(after.as_ref().map(due::put));
        }
        self.state = state;
        self.send_at = send_at;
        self.due_at = send_at;
        actions
    }

    fn listed(&self) -> ListedDraft {
        ListedDraft {
            id: self.reference.id().to_owned(),
            mail: self.mail.id().to_owned(),
            state: self.state,
            edited: self.edited,
            send_at: self.send_at,
            created_at: self.created_at,
            message_id: self.message_id.clone(),
        }
    }
}

/// What a change does to a draft.
enum Step<T> {
    /// Nothing: this is why.
    Leave(T),
    /// It is written, with an entry of this, and these actions move its due row.
    Write(What, Vec<Action>),
}

/// What became of a change.
enum Stepped<T> {
    /// There is no draft that may be used.
    Unknown,
    Left(T),
    Written(Box<Draft>),
}

impl Store {
    /// Stores a draft for a mail and ends the step that stands due at `due_at`. Another draft that nobody edited and that
    /// was not sent is withdrawn by it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], too, where the mailbox's address has no domain to name the reply by.
    pub async fn put_draft(
        &self,
        installation: &Installation,
        mail: &StoredMail,
        new: NewDraft,
        due_at: Timestamp,
    ) -> Result<PutDraft> {
        let tenant = &installation.tenant;
        let Some(mailbox) = self.mailbox(installation, &mail.mailbox).await? else {
            return Ok(PutDraft::MovedOn);
        };
        let domain = mailbox.address.expose().rsplit_once('@').map(|(_, domain)| domain.trim());
        let message_id = domain.and_then(|domain| Some((domain, self.random_id().ok()?)));
        let message_id = message_id.and_then(|(domain, random)| MessageId::new(&random, domain));
        let message_id = message_id.ok_or(StoreError::Corrupt("a mailbox's address"))?;
        for _ in 0..ATTEMPTS {
            let found = self.mail(installation, &mail.reference).await?;
            let thread = self.thread_in_use(installation, &mail.thread).await?;
            let (Some(mut mail), Some(mut thread)) = (found, thread) else { return Ok(PutDraft::MovedOn) };
            let known = |draft: &&ListedDraft| {
                draft.mail == mail.reference.id() && draft.state != DraftState::Withdrawn
            };
            let known = thread.body.drafts.iter().rev().find(known).cloned();
            if mail.phase == MailPhase::Done {
                return Ok(match known {
                    Some(known) => PutDraft::Stored { draft: known.reference(), send_due: known.send_at },
                    None => PutDraft::MovedOn,
                });
            }
            let now = self.now();
            let mut actions = mail.advance(tenant, MailPhase::Done, Some(due_at), now);
            actions.push(Action::Put {
                item: mail.item(self, installation)?,
                condition: Some(Condition::PRESENT),
            });
            let Some(listed) = thread.body.mail(mail.reference.id()) else { return Ok(PutDraft::MovedOn) };
            listed.phase = MailPhase::Done;
            let stays = |draft: &ListedDraft| {
                draft.state == DraftState::Sending || (draft.edited && !draft.state.has_ended())
            };
            let result = if thread.body.drafts.iter().any(stays) {
                PutDraft::KeptOther
            } else if thread.body.moved_on(mail.reference.id()) {
                PutDraft::MovedOn
            } else {
                actions.extend(self.withdraw(installation, &mut thread).await?);
                let (draft, more) = self.drafted(installation, &mail, &new, &message_id)?;
                actions.extend(more);
                thread.body.drafts.push(draft.listed());
                actions.extend(forget_earliest(tenant, &mut thread));
                PutDraft::Stored { draft: draft.reference, send_due: draft.send_at }
            };
            actions.push(thread.put(self, installation)?);
            let done = if matches!(result, PutDraft::Stored { .. }) {
                self.transact(actions).await?
            } else {
                self.transact_unrecorded(crate::store::Unrecorded::Step, actions).await?
            };
            if done.is_ok() {
                return Ok(result);
            }
        }
        Err(StoreError::Contended("a conversation"))
    }

    /// A new draft with the actions that write it.
    fn drafted(
        &self,
        installation: &Installation,
        mail: &StoredMail,
        new: &NewDraft,
        message_id: &MessageId,
    ) -> Result<(Draft, Vec<Action>)> {
        let (tenant, now) = (&installation.tenant, self.now());
        let needs_human = new.needs_human || new.text.expose().trim().is_empty();
        let wait =
            new.auto_send_after.filter(|_| !needs_human).map(|after| Duration::from_secs(after.into()));
        let state = match wait {
            _ if needs_human => DraftState::NeedsHuman,
            Some(_) => DraftState::Scheduled,
            None => DraftState::Ready,
        };
        let mut draft = Draft {
            reference: RecordRef::new(Kind::Draft, self.random_id()?),
            thread: mail.thread.clone(),
            mail: mail.reference.clone(),
            mailbox: mail.mailbox.clone(),
            state,
            send_at: None,
            tries: 0,
            edited: false,
            automatic: wait.is_some(),
            text: new.text.clone(),
            to: new.to.clone(),
            subject: new.subject.clone(),
            message_id: message_id.clone(),
            in_reply_to: mail.message_id.clone(),
            references: mail.references.clone(),
            provider_thread: mail.provider_thread.clone(),
            provider_id: None,
            author: new.author,
            macro_id: new.macro_id.clone(),
            language: new.language,
            orders: new.orders.clone(),
            why: new.why.clone(),
            created_at: now,
            answered_at: mail.received_at,
            revision: 0,
            due_at: None,
            ends: mail.ends,
        };
        let mut actions = draft.become_state(tenant, state, wait.map(|wait| now + wait));
        actions.push(draft.put(self, installation)?);
        actions.push(self.ledger_action(&Entry::new(now, tenant, What::DraftWritten, state.name()))?);
        Ok((draft, actions))
    }

    /// Withdraws what is open in a conversation: another draft takes its place.
    pub(crate) async fn withdraw(
        &self,
        installation: &Installation,
        thread: &mut ThreadRecord,
    ) -> Result<Vec<Action>> {
        let (tenant, now) = (&installation.tenant, self.now());
        let mut actions = Vec::new();
        let open: Vec<ListedDraft> =
            thread.body.drafts.iter().filter(|draft| draft.state.is_open()).cloned().collect();
        for listed in open {
            let key = keyspace::record(tenant, &listed.reference());
            let stored = self.batch_get(Table::Data, std::slice::from_ref(&key), Expired::Too).await?;
            if let Some(stored) = stored.first() {
                let mut draft = Draft::read(installation, stored)?;
                actions.extend(draft.become_state(tenant, DraftState::Withdrawn, None));
                actions.push(draft.put(self, installation)?);
                actions.push(self.ledger_action(&Entry::new(now, tenant, What::DraftWithdrawn, "draft"))?);
            }
            if let Some(listed) = thread.body.draft(&listed.id) {
                listed.state = DraftState::Withdrawn;
                listed.send_at = None;
            }
        }
        Ok(actions)
    }

    /// A draft. None, too, while somebody in its conversation limits the use of their data.
    pub async fn draft(&self, installation: &Installation, reference: &RecordRef) -> Result<Option<Draft>> {
        Ok(self.draft_in_use(installation, reference).await?.map(|(draft, _)| draft))
    }

    async fn draft_in_use(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<(Draft, ThreadRecord)>> {
        let key = keyspace::record(&installation.tenant, reference);
        let Some(stored) = self.get(&key).await? else { return Ok(None) };
        let draft = Draft::read(installation, &stored)?;
        let thread = self.thread_in_use(installation, &draft.thread).await?;
        Ok(thread.map(|thread| (draft, thread)))
    }

    /// The drafts of a conversation that are still kept, the earliest first.
    pub async fn drafts_of(&self, installation: &Installation, thread: &Thread) -> Result<Vec<Draft>> {
        let listed = thread.drafts.iter().map(|draft| &draft.reference);
        let keys: Vec<Key> = listed.map(|draft| keyspace::record(&installation.tenant, draft)).collect();
        let stored = self.batch_get(Table::Data, &keys, Expired::Gone).await?;
        let drafts = stored.iter().map(|stored| Draft::read(installation, stored));
        let mut drafts = drafts.collect::<Result<Vec<_>>>()?;
        drafts.sort_by(|a, b| (a.created_at, &a.reference).cmp(&(b.created_at, &b.reference)));
        Ok(drafts)
    }

    /// Carries a draft a step further, together with its conversation, until nobody else does at the same time.
    async fn step_draft<T>(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        why: &str,
        step: impl Fn(&mut Draft) -> Step<T>,
    ) -> Result<Stepped<T>> {
        let tenant = &installation.tenant;
        for _ in 0..ATTEMPTS {
            let Some((mut draft, mut thread)) = self.draft_in_use(installation, reference).await? else {
                return Ok(Stepped::Unknown);
            };
            let (what, mut actions) = match step(&mut draft) {
                Step::Leave(why) => return Ok(Stepped::Left(why)),
                Step::Write(what, actions) => (what, actions),
            };
            let Some(listed) = thread.body.draft(draft.reference.id()) else { return Ok(Stepped::Unknown) };
            *listed = draft.listed();
            actions.push(draft.put(self, installation)?);
            actions.push(thread.put(self, installation)?);
            actions.push(self.ledger_action(&Entry::new(self.now(), tenant, what, why))?);
            if self.transact(actions).await?.is_ok() {
                draft.revision += 1;
                return Ok(Stepped::Written(Box::new(draft)));
            }
        }
        Err(StoreError::Contended("a draft"))
    }

    /// The same for a person's change.
    async fn change_draft(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        step: impl Fn(&mut Draft) -> Step<Drafting>,
    ) -> Result<Drafting> {
        Ok(match self.step_draft(installation, reference, "merchant", step).await? {
            Stepped::Unknown => Drafting::Unknown,
            Stepped::Left(why) => why,
            Stepped::Written(draft) => Drafting::Changed(draft),
        })
    }

    /// Replaces what a draft says: from here on it is a person's, and sent by nobody else.
    pub async fn edit_draft(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        text: &Personal<String>,
        revision: i64,
    ) -> Result<Drafting> {
        let tenant = &installation.tenant;
        let step = |draft: &mut Draft| {
            if let Some(refused) = refused(draft, Some(revision)) {
                return Step::Leave(refused);
            }
            draft.text = text.clone();
            (draft.edited, draft.automatic) = (true, false);
            let empty = text.expose().trim().is_empty();
            let state = if empty { DraftState::NeedsHuman } else { DraftState::Ready };
            let actions = draft.become_state(tenant, state, None);
            Step::Write(What::DraftEdited, actions)
        };
        self.change_draft(installation, reference, step).await
    }

    /// A person wants a draft sent as it was read. The draft's `due_at` is where the due row of its sending stands.
    pub async fn approve_draft(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        revision: i64,
    ) -> Result<Drafting> {
        let (tenant, now) = (&installation.tenant, self.now());
        let step = |draft: &mut Draft| {
            if let Some(refused) = refused(draft, Some(revision)) {
                return Step::Leave(refused);
            }
            if draft.text.expose().trim().is_empty() {
                return Step::Leave(Drafting::Ended(draft.state));
            }
            draft.automatic = false;
            let actions = draft.become_state(tenant, DraftState::Approved, Some(now));
            Step::Write(What::DraftApproved, actions)
        };
        self.change_draft(installation, reference, step).await
    }

    /// A person does not want a draft sent that was scheduled or approved, and keeps it.
    pub async fn cancel_draft(&self, installation: &Installation, reference: &RecordRef) -> Result<Drafting> {
        let tenant = &installation.tenant;
        let step = |draft: &mut Draft| match draft.state {
            DraftState::Scheduled | DraftState::Approved => {
                draft.automatic = false;
                Step::Write(What::DraftCancelled, draft.become_state(tenant, DraftState::Ready, None))
            }
            state => Step::Leave(Drafting::Ended(state)),
        };
        self.change_draft(installation, reference, step).await
    }

    /// A person throws a draft away.
    pub async fn discard_draft(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Drafting> {
        let tenant = &installation.tenant;
        let step = |draft: &mut Draft| match refused(draft, None) {
            Some(refused) => Step::Leave(refused),
            None => {
                Step::Write(What::DraftDiscarded, draft.become_state(tenant, DraftState::Discarded, None))
            }
        };
        self.change_draft(installation, reference, step).await
    }

    /// Writes down that a draft is being sent, before it is: whoever is stopped after this looks for it by its
    /// `Message-ID` before sending it again.
    pub async fn announce_sending(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Announced> {
        let step = |draft: &mut Draft| match (draft.state, draft.send_at) {
            (DraftState::Scheduled | DraftState::Approved, Some(at)) if at > self.now() => {
                Step::Leave(Announced::TooEarly(at))
            }
            (DraftState::Scheduled | DraftState::Approved | DraftState::Sending, _) => {
                draft.tries = draft.tries.saturating_add(1);
                // Its due row stays where it is: until it was sent, a sweep asks for it.
                draft.state = DraftState::Sending;
                Step::Write(What::SendingAnnounced, Vec::new())
            }
            (DraftState::Withdrawn, _) => Step::Leave(Announced::MovedOn),
            (DraftState::NeedsHuman, _) if draft.edited => Step::Leave(Announced::MovedOn),
            _ => Step::Leave(Announced::NotToSend),
        };
        Ok(match self.step_draft(installation, reference, "reply", step).await? {
            Stepped::Unknown => Announced::NotToSend,
            Stepped::Left(why) => why,
            Stepped::Written(draft) if draft.tries == 1 => Announced::First(draft),
            Stepped::Written(draft) => Announced::Again(draft),
        })
    }

    /// An announced draft was sent, as Gmail's mail of that id. Doing it again changes nothing.
    pub async fn draft_sent(
        &self,
        installation: &Installation,
        draft: &Draft,
        provider_id: &str,
    ) -> Result<()> {
        let tenant = &installation.tenant;
        let step = |draft: &mut Draft| {
            if draft.state == DraftState::Sent {
                return Step::Leave(());
            }
            draft.provider_id = Some(provider_id.to_owned());
            Step::Write(What::ReplySent, draft.become_state(tenant, DraftState::Sent, None))
        };
        self.step_draft(installation, &draft.reference, "reply", step).await?;
        Ok(())
    }

    /// An announced draft was certainly not sent and is for a person to look at; `why` is in words for the merchant.
    pub async fn draft_not_sent(&self, installation: &Installation, draft: &Draft, why: &str) -> Result<()> {
        let tenant = &installation.tenant;
        let step = |draft: &mut Draft| {
            if draft.state != DraftState::Sending {
                return Step::Leave(());
            }
            draft.why.push(why.to_owned());
            (draft.tries, draft.automatic) = (0, false);
            Step::Write(What::ReplyNotSent, draft.become_state(tenant, DraftState::NeedsHuman, None))
        };
        self.step_draft(installation, &draft.reference, "reply", step).await?;
        Ok(())
    }
}

/// Why a person cannot change a draft.
fn refused(draft: &Draft, revision: Option<i64>) -> Option<Drafting> {
    if !draft.state.is_open() {
        return Some(Drafting::Ended(draft.state));
    }
    let overtaken = revision.is_some_and(|revision| revision != draft.revision);
    overtaken.then(|| Drafting::Overtaken(Box::new(draft.clone())))
}

/// Forgets the earliest drafts of a long list that ended, with their records.
fn forget_earliest(tenant: &Tenant, thread: &mut ThreadRecord) -> Vec<Action> {
    let mut actions = Vec::new();
    while thread.body.drafts.len() > DRAFTS {
        let ended = thread.body.drafts.iter().position(|draft| draft.state.has_ended());
        let Some(place) = ended else { break };
        let draft = thread.body.drafts.remove(place);
        actions.push(Action::delete(keyspace::record(tenant, &draft.reference())));
    }
    actions
}
