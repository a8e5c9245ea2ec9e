//! Google as far as histories need it: what lies in each mailbox, in the order it came, and the two functions that speak
//! with it. They ask the store the same things in the same order as `sync-mailbox` and `send-reply` do, and this module
//! where those ask Google over a socket.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use storeward_core::mail::{self, Address, Reply};
use storeward_core::normalize::{self, Identifier};
use storeward_core::personal::Personal;
use storeward_core::time::{DAY, HOUR, MINUTE, Timestamp};
use storeward_host::{Context, DeskTask, Invocation, InvokeError, JobError, Queue, SyncOrder, SyncWhy, job};
use storeward_store::{
    Announced, Arrival, ArrivedMail, Draft, DraftState, FullSync, Installation, Lease, MailTokens, Mailbox,
    MailboxState, Progress, RecordRef, Store,
};

use super::dice::Dice;
use super::people;
use crate::bench::App;

/// How many mails one page of a search lists.
const PAGE: usize = 3;
/// How far back a first reading goes, in days.
pub(super) const FIRST_DAYS: u32 = 14;
/// How long a run has a mailbox at most.
const LEASE: Duration = Duration::from_mins(2);
/// How long a message waits while another run has the mailbox.
const BUSY: Duration = Duration::from_secs(10);

/// A mail in a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Gmail's id of it, and the mark in its text that tells it from others.
    pub(super) id: String,
    /// Gmail's id of its conversation.
    pub(super) thread: String,
    /// The mailbox's address.
    pub(super) mailbox: String,
    /// When it came. Its place in the list is its history id.
    pub(super) at: Timestamp,
    pub(super) own: bool,
    pub(super) raw: String,
    /// Its `Message-ID` and those it answers.
    pub(super) message_ids: Vec<String>,
    /// Whom it names, anywhere.
    pub(super) names: Vec<Identifier>,
    /// Who wrote it, or whom the shop wrote to: whose it is to see.
    pub(super) seen_by: Vec<Identifier>,
    /// Who takes part in it.
    pub(super) people: Vec<Identifier>,
}

/// What the store said to a mail.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) tenant: String,
    pub(super) letter: usize,
    pub(super) arrival: Arrival,
    pub(super) at: Timestamp,
}

/// That Gmail tells of new mail in a mailbox.
pub(super) struct Notice {
    pub(super) mailbox: String,
    pub(super) at: Timestamp,
}

/// What lies in all mailboxes, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Boxes {
    pub(super) letters: Vec<Letter>,
    pub(super) said: Vec<Said>,
    /// How many replies went out, and in which mailboxes that is yet to be told.
    pub(super) replies: usize,
    pub(super) untold: Vec<String>,
    /// Whether it has forgotten what came since any point: mailboxes are gone through.
    pub(super) forgets: bool,
}

/// All mailboxes, of all shops.
#[derive(Clone, Debug, Default)]
pub(super) struct Gmail(Arc<Mutex<Boxes>>);

impl Letter {
    /// A mail as it lies in a mailbox, by what it says.
    pub(super) fn new(id: String, thread: String, mailbox: &str, at: Timestamp, raw: String) -> Self {
        let mail = mail::read(raw.as_bytes()).unwrap();
        let own = normalize::email(mailbox);
        let of = |addresses: &[Address]| -> Vec<Identifier> {
            let normal = addresses.iter().filter_map(Address::normal);
            let others: Vec<Personal<String>> =
                normal.filter(|normal| Some(normal) != own.as_ref()).collect();
            normalize::identifiers(&others.iter().collect::<Vec<_>>(), &[], None)
        };
        let is_own = mail.is_own(&own.iter().cloned().collect::<Vec<_>>());
        let from: Vec<Address> = mail.from.iter().chain(&mail.reply_to).cloned().collect();
        let to: Vec<Address> = mail.to.iter().chain(&mail.cc).cloned().collect();
        let addresses = from.iter().chain(&to).map(|address| address.address.expose().as_str());
        let text: Vec<&str> =
            addresses.chain([mail.subject.expose().as_str(), mail.text.expose().as_str()]).collect();
        let text = text.join("\n");
        let ids = mail.message_id.iter().chain(&mail.in_reply_to).chain(&mail.references);
        Self {
            id,
            thread,
            mailbox: mailbox.to_owned(),
            at,
            own: is_own,
            message_ids: ids.map(|id| id.as_str().to_owned()).collect(),
            names: people::named_in(&text),
            seen_by: of(if is_own { &to } else { &from }),
            people: of(&[from, to].concat()),
            raw,
        }
    }

    fn arrived(&self) -> ArrivedMail {
        ArrivedMail {
            provider_id: self.id.clone(),
            provider_thread: self.thread.clone(),
            received_at: self.at,
            own: self.own,
            mail: mail::read(self.raw.as_bytes()).unwrap(),
        }
    }
}

impl Gmail {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Boxes) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// Where the history of everything stands: as far as anything came.
    pub(super) fn history_id(&self) -> u64 {
        self.with(|boxes| boxes.letters.len() as u64)
    }

    /// What came into a mailbox from `after` up to `upto`, by places in the list.
    fn came(&self, mailbox: &str, after: u64, upto: u64) -> Vec<usize> {
        let (after, upto) = (usize::try_from(after).unwrap(), usize::try_from(upto).unwrap());
        self.with(|boxes| {
            (after..upto.min(boxes.letters.len()))
                .filter(|place| boxes.letters[*place].mailbox == mailbox)
                .collect()
        })
    }

    /// Runs one of the two functions that speak with Google on a batch.
    pub(super) async fn invoke(
        &self,
        ctx: &Context,
        function: &'static str,
        invocation: Invocation,
        choices: u64,
    ) -> Result<Value, InvokeError> {
        // Each message has choices of its own.
        let next = std::cell::Cell::new(choices);
        let dice = || Dice::new(next.replace(next.get().wrapping_add(1)));
        match function {
            "jobs/sync-mailbox" => {
                job(ctx, invocation, function, |ctx, order, _| self.sync(ctx, order, dice())).await
            }
            _ => job(ctx, invocation, function, |ctx, task, _| self.send(ctx, task, dice())).await,
        }
    }

    async fn sync(&self, ctx: &Context, order: SyncOrder, dice: Dice) -> Result<(), JobError> {
        let store = ctx.store().await?;
        let Some(installation) = store.tenant(&order.tenant).await? else {
            return Err(JobError::Drop("the installation was purged"));
        };
        let Some(seen) = store.mailbox(&installation, &order.mailbox).await? else {
            return Err(JobError::Drop("there is no such mailbox"));
        };
        let ending = seen.state == MailboxState::Ending;
        if !installation.is_installed() && !ending {
            store.end_mailbox(&installation, &order.mailbox).await?;
        }
        let mut run = Run { gmail: self, ctx, store, installation: &installation, dice };
        if ending || !installation.is_installed() {
            return run.end(&order).await;
        }
        if order.why == SyncWhy::Ended || seen.state == MailboxState::Disconnected {
            return Err(JobError::Drop("it is not to be read"));
        }
        let until = ctx.now() + LEASE;
        let mailbox = match store.lease_mailbox(&installation, &order.mailbox, until).await? {
            Lease::Taken(mailbox) => mailbox,
            Lease::Gone => return Err(JobError::Drop("there is no such mailbox")),
            Lease::Busy(_) => return Ok(ctx.send(Queue::SyncMailbox, &order, BUSY).await?),
        };
        let ended = match mailbox.state {
            // Now and then Google does not let us in any more.
            MailboxState::Connected if run.dice.chance(4) => {
                store.mailbox_lost(&installation, &mailbox).await.map(|_| true).map_err(JobError::from)
            }
            MailboxState::Connected => run.read(&mailbox).await,
            _ => Ok(true),
        };
        store.release_mailbox(&installation, &mailbox).await?;
        if !ended? {
            let again = SyncOrder { why: SyncWhy::Again, ..order };
            ctx.send(Queue::SyncMailbox, &again, Duration::ZERO).await?;
        }
        Ok(())
    }

    async fn send(&self, ctx: &Context, task: DeskTask, mut dice: Dice) -> Result<(), JobError> {
        let store = ctx.store().await?;
        let Some(installation) = store.tenant(&task.tenant).await? else {
            return Err(JobError::Drop("the installation was purged"));
        };
        let Some(draft) = store.draft(&installation, &task.record).await? else {
            return Err(JobError::Drop("there is no such reply"));
        };
        let waits = matches!(draft.state, DraftState::Scheduled | DraftState::Approved | DraftState::Sending);
        if !waits || !installation.is_installed() {
            return Ok(());
        }
        if let Some(at) = draft.send_at.filter(|at| *at > ctx.now()) {
            return Ok(ctx.send(Queue::SendReply, &task, at.since(ctx.now())).await?);
        }
        if draft.tries == 0 && draft.send_at.is_some_and(|at| at + DAY <= ctx.now()) {
            store.cancel_draft(&installation, &draft.reference).await?;
            return Ok(());
        }
        let until = ctx.now() + LEASE;
        let mailbox = match store.lease_mailbox(&installation, &draft.mailbox, until).await? {
            Lease::Taken(mailbox) => mailbox,
            Lease::Gone => return Err(JobError::Drop("the mailbox is gone")),
            Lease::Busy(_) => return Ok(ctx.send(Queue::SendReply, &task, BUSY).await?),
        };
        let sent = self.send_leased(ctx, store, &installation, &mailbox, &task, &mut dice).await;
        store.release_mailbox(&installation, &mailbox).await?;
        sent
    }

    async fn send_leased(
        &self,
        ctx: &Context,
        store: &Store,
        installation: &Installation,
        mailbox: &Mailbox,
        task: &DeskTask,
        dice: &mut Dice,
    ) -> Result<(), JobError> {
        if mailbox.state != MailboxState::Connected {
            return Ok(());
        }
        let (draft, tried) = match store.announce_sending(installation, &task.record).await? {
            Announced::First(draft) => (draft, false),
            Announced::Again(draft) => (draft, true),
            Announced::TooEarly(_) | Announced::MovedOn | Announced::NotToSend => return Ok(()),
        };
        let sent = if tried { self.sent_as(&draft) } else { None };
        let sent = match (sent, dice.below(10)) {
            (Some(sent), _) => sent,
            (None, 0) => return Err(JobError::Retry("Gmail did not answer, and sent nothing".to_owned())),
            (None, 1) => {
                return Ok(store.draft_not_sent(installation, &draft, "Gmail does not take it").await?);
            }
            (None, luck) => {
                let sent = self.put_out(mailbox, &draft, ctx.now());
                if luck < 5 {
                    return Err(JobError::Retry("Gmail sent it, and its answer was lost".to_owned()));
                }
                sent
            }
        };
        Ok(store.draft_sent(installation, &draft, &sent).await?)
    }

    /// Gmail's id of a reply that went out.
    fn sent_as(&self, draft: &Draft) -> Option<String> {
        self.with(|boxes| {
            let is_it = |letter: &&Letter| {
                letter.own && letter.message_ids.first().is_some_and(|id| id == draft.message_id.as_str())
            };
            boxes.letters.iter().find(is_it).map(|letter| letter.id.clone())
        })
    }

    fn put_out(&self, mailbox: &Mailbox, draft: &Draft, now: Timestamp) -> String {
        assert_eq!(self.sent_as(draft), None, "a reply goes out twice");
        let reply = Reply {
            message_id: draft.message_id.clone(),
            from: Address { name: None, address: mailbox.address.clone() },
            to: draft.to.clone(),
            subject: draft.subject.clone(),
            in_reply_to: draft.in_reply_to.clone(),
            references: draft.references.clone(),
            text: draft.text.clone(),
            date: now,
            auto_submitted: draft.automatic,
        };
        let raw = String::from_utf8(mail::compose(&reply).unwrap()).unwrap();
        self.with(|boxes| {
            let id = format!("r{}", boxes.letters.len());
            let address = mailbox.address.expose();
            boxes.letters.push(Letter::new(id.clone(), draft.provider_thread.clone(), address, now, raw));
            boxes.replies += 1;
            boxes.untold.push(address.clone());
            id
        })
    }
}

/// A run that reads a mailbox, or ends it.
struct Run<'a> {
    gmail: &'a Gmail,
    ctx: &'a Context,
    store: &'a Store,
    installation: &'a Installation,
    dice: Dice,
}

impl Run<'_> {
    async fn end(&mut self, order: &SyncOrder) -> Result<(), JobError> {
        let until = self.ctx.now() + LEASE;
        let mailbox = match self.store.lease_mailbox(self.installation, &order.mailbox, until).await? {
            Lease::Taken(mailbox) => mailbox,
            Lease::Gone => return Err(JobError::Drop("there is no such mailbox")),
            Lease::Busy(_) => return Ok(self.ctx.send(Queue::SyncMailbox, order, BUSY).await?),
        };
        // Now and then time runs out after some conversations.
        let left = std::cell::Cell::new(if self.dice.chance(30) { self.dice.below(3) } else { u64::MAX });
        let left = Mutex::new(left);
        let time_left = || {
            let left = left.lock().unwrap();
            left.replace(left.get().saturating_sub(1)) > 0
        };
        let ended = self.store.forget_mailbox(self.installation, &mailbox, &time_left).await;
        if let Ok(true) = ended {
            return Ok(());
        }
        self.store.release_mailbox(self.installation, &mailbox).await?;
        if !ended? {
            let again = SyncOrder { why: SyncWhy::Ended, ..order.clone() };
            self.ctx.send(Queue::SyncMailbox, &again, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Reads what is new. `false` when its turn ended, or it lost the mailbox.
    async fn read(&mut self, mailbox: &Mailbox) -> Result<bool, JobError> {
        let address = mailbox.address.expose();
        // Now and then Gmail has forgotten what came since.
        let forgotten = self.gmail.with(|boxes| boxes.forgets) || self.dice.chance(10);
        let known = mailbox.cursor.filter(|_| !forgotten);
        let start = match (&mailbox.full_sync, known) {
            (None, Some(start)) => start,
            (full, _) => {
                let Some(full) = self.full_sync(mailbox, full.as_ref()).await? else { return Ok(false) };
                let start = full.cursor;
                if !self.go_through(mailbox, full).await? {
                    return Ok(false);
                }
                start
            }
        };
        let end = self.gmail.history_id().max(start);
        let mut new = self.gmail.came(address, start, end);
        self.dice.shuffle(&mut new);
        self.take(mailbox, &new).await?;
        self.moved_on(mailbox, Progress::Cursor(end)).await
    }

    /// The full reading that is under way, or one that begins now. `None` when the mailbox was lost.
    async fn full_sync(
        &self,
        mailbox: &Mailbox,
        under_way: Option<&FullSync>,
    ) -> Result<Option<FullSync>, JobError> {
        if let Some(full) = under_way {
            return Ok(Some(full.clone()));
        }
        let (now, cursor) = (self.ctx.now(), self.gmail.history_id());
        let first = now - DAY * FIRST_DAYS;
        let since = mailbox.read_at.map_or(first, |read| first.min(read - HOUR)).max(now - DAY * 90);
        let full = FullSync { cursor, since, page: None };
        let kept = self.moved_on(mailbox, Progress::FullSync(full.clone())).await?;
        Ok(kept.then_some(full))
    }

    /// Goes through a mailbox, the latest mails first. `false` when its turn ended.
    async fn go_through(&mut self, mailbox: &Mailbox, mut full: FullSync) -> Result<bool, JobError> {
        let mut all = self.gmail.came(mailbox.address.expose(), 0, full.cursor);
        self.gmail.with(|boxes| {
            all.retain(|place| boxes.letters[*place].at.seconds() > full.since.seconds());
            all.sort_by_key(|place| std::cmp::Reverse((boxes.letters[*place].at, *place)));
        });
        let mut from = full.page.as_ref().map_or(0, |page| page.expose().parse().unwrap());
        while from < all.len() {
            let page = &all[from..all.len().min(from + PAGE)];
            self.take(mailbox, page).await?;
            from += PAGE;
            if from < all.len() {
                full.page = Some(Personal::new(from.to_string()));
                if !self.moved_on(mailbox, Progress::FullSync(full.clone())).await? || self.dice.chance(20) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn moved_on(&self, mailbox: &Mailbox, progress: Progress) -> Result<bool, JobError> {
        Ok(self.store.mailbox_read(self.installation, mailbox, progress).await?)
    }

    async fn take(&mut self, mailbox: &Mailbox, places: &[usize]) -> Result<(), JobError> {
        let letters: Vec<(usize, Letter)> = self
            .gmail
            .with(|boxes| places.iter().map(|place| (*place, boxes.letters[*place].clone())).collect());
        let ids: Vec<String> = letters.iter().map(|(_, letter)| letter.id.clone()).collect();
        // Whoever looks which are stored and is overtaken then takes one that is.
        let known = if self.dice.chance(70) && !ids.is_empty() {
            self.store.known_mails(self.installation, mailbox, &ids).await?
        } else {
            BTreeSet::new()
        };
        for (place, letter) in letters.into_iter().filter(|(_, letter)| !known.contains(&letter.id)) {
            let arrival = self.store.take_mail(self.installation, mailbox, letter.arrived()).await?;
            let tenant = self.installation.tenant.to_string();
            let said = Said { tenant, letter: place, arrival: arrival.clone(), at: self.ctx.now() };
            self.gmail.with(|boxes| boxes.said.push(said));
            if let Arrival::Stored { mail, task_due: Some(due_at), .. } = arrival {
                let task = DeskTask::new(self.installation.tenant.clone(), mail, due_at);
                self.ctx.send(Queue::ClassifyEmail, &task, Duration::ZERO).await?;
            }
        }
        Ok(())
    }
}

/// Hands an event to a function: to the one that stands in for it where that would speak with Google.
pub(super) async fn invoke(
    app: &App,
    gmail: &Gmail,
    function: &str,
    event: Value,
    choices: u64,
) -> Result<Value, InvokeError> {
    let Some(known) = ["jobs/sync-mailbox", "jobs/send-reply"].into_iter().find(|known| *known == function)
    else {
        return app.invoke(function, event).await;
    };
    let ctx = app.context(known);
    let invocation = Invocation { event, deadline: ctx.now() + MINUTE * 15 };
    gmail.invoke(ctx, known, invocation, choices).await
}

/// Connects a mailbox, as if its owner had consented.
pub(super) async fn connect(
    store: &Store,
    installation: &Installation,
    address: &str,
    history_id: u64,
) -> RecordRef {
    let state = store.begin_connecting(installation, &Personal::new("verifier".to_owned())).await.unwrap();
    let (_, attempt) = store.connecting(&state).await.unwrap().unwrap();
    let tokens = MailTokens {
        access: Personal::new("test-access".to_owned()),
        expires_at: Timestamp(i64::MAX),
        refresh: Personal::new("test-refresh".to_owned()),
        scopes: "test".to_owned(),
    };
    let address = Personal::new(address.to_owned());
    let connected =
        store.connect_mailbox(installation, &attempt, &address, &tokens, history_id, FIRST_DAYS).await;
    let storeward_store::Connecting::Connected { mailbox, .. } = connected.unwrap() else {
        panic!("an attempt that was just begun has expired")
    };
    mailbox
}
