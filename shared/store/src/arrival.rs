//! Mails as they come in: each is stored once, in its conversation, whatever order they come in. Tombstones and limits of
//! everyone they name are checked in the transaction that stores them.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use storeward_core::data_map::{Kind, Table};
use storeward_core::mail::{Address, Incoming, MessageId};
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;

use crate::correspondents::Named;
use crate::drafts::{self, DraftState};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::limits;
use crate::mailboxes::{self, Mailbox};
use crate::orders::shorten;
use crate::store::{Action, Condition, Expired, Query, Store, Unrecorded};
use crate::tenants::Installation;
use crate::threads::{ATTEMPTS, Body, Cut, For, Listed, MailPhase, StoredMail, ThreadRecord};

/// How many mails a conversation lists; of a longer one the earliest are forgotten.
const MAILS: usize = 200;

/// How many rows lead to a conversation at most: what one transaction takes, with their checks.
const ROWS: usize = 30;

/// How many names of other mails a mail's conversation is looked for by.
const LOOKED_FOR: usize = 10;

/// The most characters of a subject that are kept.
const SUBJECT: usize = 1000;

/// How many attachments are listed, and the most characters of their names.
const ATTACHMENTS: (usize, usize) = (50, 200);

/// How many references of a mail are kept.
const REFERENCES: usize = 21;

/// A mail that a mailbox got.
#[derive(Clone, Debug)]
pub struct ArrivedMail {
    /// Gmail's id of it.
    pub provider_id: String,
    /// Gmail's id of its conversation.
    pub provider_thread: String,
    /// When the mailbox got it: Gmail's clock.
    pub received_at: Timestamp,
    /// Whether the shop wrote it.
    pub own: bool,
    /// What it says.
    pub mail: Incoming,
}

/// What came of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is stored.
    Stored {
        /// The mail.
        mail: RecordRef,
        /// Its conversation.
        thread: RecordRef,
        /// Where the due row stands of finding out what it is about; none for what the shop wrote.
        task_due: Option<Timestamp>,
    },
    /// It was stored before.
    Known,
    /// It is older than mails are kept, or its conversation is full of later ones.
    TooOld,
    /// It names someone who was erased since, or its conversation was: nothing was stored.
    RefusedErased,
    /// It names someone whose data may not be used: nothing was stored.
    RefusedLimited,
}

/// A mail on its way into the store.
struct Coming<'a> {
    mailbox: &'a Mailbox,
    mail: StoredMail,
    named: Named,
    /// What the provider calls its conversation.
    provider: RecordRef,
}

/// Where a mail goes.
enum Place {
    /// Into this conversation.
    In(Box<ThreadRecord>),
    /// It is there already.
    Known,
    /// What stands there is over and was deleted: it is looked at again.
    Cleared,
}

impl Coming<'_> {
    /// Whom it was written by; of one of the shop's own, to whom.
    fn counterparts(&self) -> Vec<Personal<String>> {
        let mail = &self.mail;
        let of = if mail.own { mail.to.iter().chain(&mail.cc).collect() } else { Vec::from_iter(&mail.from) };
        let own = mailbox_address(self.mailbox);
        of.into_iter().filter_map(Address::normal).filter(|normal| Some(normal) != own.as_ref()).collect()
    }

    /// The names of other mails that its conversation may know, the likeliest first.
    fn answers(&self) -> Vec<&MessageId> {
        let mut ids: Vec<&MessageId> = Vec::new();
        let mail = &self.mail;
        for id in mail.in_reply_to.iter().rev().chain(mail.references.iter().rev()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids.truncate(LOOKED_FOR);
        ids
    }
}

fn mailbox_address(mailbox: &Mailbox) -> Option<Personal<String>> {
    storeward_core::normalize::email(mailbox.address.expose())
}

fn cut_text(text: &Personal<String>, most: usize) -> Personal<String> {
    Personal::new(text.expose().chars().take(most).collect())
}

impl Store {
    /// Which of these mails of a mailbox are stored, by Gmail's ids.
    pub async fn known_mails(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        provider_ids: &[String],
    ) -> Result<BTreeSet<String>> {
        let named = |id: &String| keyspace::mail_ref(&installation.keys, &mailbox.reference, id);
        let wanted: Vec<(RecordRef, &String)> = provider_ids.iter().map(|id| (named(id), id)).collect();
        let distinct: BTreeSet<Key> =
            wanted.iter().map(|(mail, _)| keyspace::record(&installation.tenant, mail)).collect();
        let keys: Vec<Key> = distinct.into_iter().collect();
        let stored = self.batch_get(Table::Data, &keys, Expired::Too).await?;
        let known: BTreeSet<&str> = stored.iter().filter_map(|stored| stored.optional_text("sk")).collect();
        Ok(wanted.iter().filter(|(mail, _)| known.contains(mail.id())).map(|(_, id)| (*id).clone()).collect())
    }

    /// Stores a mail. What the shop wrote withdraws drafts that nobody edited, unless it is such a draft coming back.
    pub async fn take_mail(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        arrived: ArrivedMail,
    ) -> Result<Arrival> {
        let received_at = arrived.received_at.min(self.now());
        // As it counts now: a reading goes on for minutes, and a choice counts at once.
        let partition = keyspace::bucket_partition(&installation.tenant, Kind::Mail, 0);
        let policy = self.policy_for(&partition).await?;
        let end = policy.end(Kind::Mail, received_at.seconds());
        if end.is_some_and(|end| end <= self.now().seconds()) {
            return Ok(Arrival::TooOld);
        }
        let coming = Self::coming(installation, mailbox, arrived, received_at);
        for _ in 0..ATTEMPTS {
            let thread = match self.place_of(installation, &coming).await? {
                Place::In(thread) => thread,
                Place::Known => return Ok(Arrival::Known),
                Place::Cleared => continue,
            };
            if let Some(arrival) = self.take_into(installation, &coming, *thread).await? {
                return Ok(arrival);
            }
        }
        Err(StoreError::Contended("a conversation"))
    }

    fn coming<'a>(
        installation: &Installation,
        mailbox: &'a Mailbox,
        arrived: ArrivedMail,
        received_at: Timestamp,
    ) -> Coming<'a> {
        let keys = &installation.keys;
        let provider = keyspace::thread_ref(keys, &mailbox.reference, &arrived.provider_thread);
        let named = Named::of(&arrived.mail, &mailbox.address);
        let Incoming {
            message_id,
            in_reply_to,
            mut references,
            from,
            reply_to,
            to,
            cc,
            subject,
            text,
            new_text,
            signature,
            attachments,
            automatic,
            truncated,
            ..
        } = arrived.mail;
        if references.len() > REFERENCES {
            references.drain(1..=references.len() - REFERENCES);
        }
        let (most, longest) = ATTACHMENTS;
        let truncated = truncated || named.cut || attachments.len() > most;
        let attachments = attachments.into_iter().take(most).map(|mut attachment| {
            attachment.name = attachment.name.as_ref().map(|name| cut_text(name, longest));
            attachment.media_type.truncate(attachment.media_type.floor_char_boundary(longest));
            attachment
        });
        let mail = StoredMail {
            reference: keyspace::mail_ref(keys, &mailbox.reference, &arrived.provider_id),
            thread: provider.clone(),
            mailbox: mailbox.reference.clone(),
            phase: MailPhase::Done,
            received_at,
            own: arrived.own,
            provider_id: arrived.provider_id,
            provider_thread: arrived.provider_thread,
            message_id,
            in_reply_to: in_reply_to.into_iter().take(REFERENCES).collect(),
            references,
            from: named.kept(from.as_slice()).into_iter().next(),
            reply_to: named.kept(&reply_to),
            to: named.kept(&to),
            cc: named.kept(&cc),
            subject: cut_text(&subject, SUBJECT),
            text,
            new_text,
            signature,
            attachments: attachments.collect(),
            automatic,
            truncated,
            understanding: None,
            due_at: None,
            ends: None,
        };
        Coming { mailbox, mail, named, provider }
    }

    /// The conversation that a mail belongs to: what the provider says, else the one it answers and its writer takes part
    /// in. Anyone can write the name of any mail as the one that is answered.
    async fn place_of(&self, installation: &Installation, coming: &Coming<'_>) -> Result<Place> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let own = keyspace::record(tenant, &coming.provider);
        let wanted = [keyspace::record(tenant, &coming.mail.reference), own];
        let found = self.batch_get(Table::Data, &wanted, Expired::Too).await?;
        if found.iter().any(|stored| stored.optional_text("kind") == Some(Kind::Mail.name())) {
            return Ok(Place::Known);
        }
        if let Some(stored) = found.first() {
            return self.as_place(installation, stored).await;
        }
        let names = coming.answers().into_iter().chain(&coming.mail.message_id);
        let messages =
            names.map(|id| keyspace::message_partition(tenant, keys, &coming.mailbox.reference, id.as_str()));
        let joined = keyspace::alias_partition(tenant, keys, &coming.provider);
        let links = [joined].into_iter().chain(messages).map(|partition| async move {
            let mut query = Query::of(Table::Data, &partition);
            query.limit = 5;
            let rows = self.query(query).await?.0;
            let thread = |row: &Stored| row.text("sk")?.parse().map_err(|_| StoreError::Corrupt("a link"));
            rows.iter().map(thread).collect::<Result<Vec<RecordRef>>>()
        });
        let mut looked_at: BTreeSet<RecordRef> = BTreeSet::new();
        for (place, threads) in try_join_all(links).await?.into_iter().enumerate() {
            for reference in threads {
                if !looked_at.insert(reference.clone()) {
                    continue;
                }
                let Some(thread) = self.any_thread(installation, &reference, Expired::Gone).await? else {
                    continue;
                };
                let people: Vec<_> = thread.body.people.iter().filter_map(Address::normal).collect();
                let takes_part = coming.counterparts().iter().any(|writer| people.contains(writer));
                if place == 0 || takes_part {
                    return Ok(Place::In(Box::new(thread)));
                }
            }
        }
        Ok(Place::In(Box::new(ThreadRecord {
            reference: coming.provider.clone(),
            mailbox: coming.mailbox.reference.clone(),
            body: Body::default(),
            latest_at: coming.mail.received_at,
            limited: false,
            revision: 0,
            ends: None,
        })))
    }

    async fn as_place(&self, installation: &Installation, stored: &Stored) -> Result<Place> {
        let thread = ThreadRecord::read(installation, stored)?;
        let policy = self.policy_for(stored.text("pk")?).await?;
        let over = stored.end(&policy).is_some_and(|end| end <= self.now().seconds());
        if !over && !thread.body.mails.is_empty() {
            return Ok(Place::In(Box::new(thread)));
        }
        // It waits to be deleted, or somebody was stopped who deleted it: nothing new comes into it.
        match self.cut_thread(installation, &thread.reference, Timestamp(i64::MAX), For::Room).await? {
            Cut::Overtaken => Err(StoreError::Contended("a conversation")),
            _ => Ok(Place::Cleared),
        }
    }

    /// Stores a mail in its conversation. `None` when others changed that first, or it had no room yet.
    async fn take_into(
        &self,
        installation: &Installation,
        coming: &Coming<'_>,
        mut thread: ThreadRecord,
    ) -> Result<Option<Arrival>> {
        let (tenant, keys, now) = (&installation.tenant, &installation.keys, self.now());
        let policy = self.policy_for(&thread.key(tenant).pk).await?;
        if let Some(upto) = thread.outlived(&policy, now) {
            // It keeps the conversation, and not what is known of mails whose time is over.
            return match self.cut_thread(installation, &thread.reference, upto, For::Room).await? {
                Cut::Overtaken => Err(StoreError::Contended("a conversation")),
                _ => Ok(None),
            };
        }
        let mut mail = coming.mail.clone();
        let before = (thread.revision > 0).then(|| thread.index(tenant));
        let first_before = thread.body.mails.first().map(|first| (first.at, first.id.clone()));
        let place = (mail.received_at, mail.reference.id().to_owned());
        if thread.body.mails.iter().any(|listed| listed.id == place.1) {
            return Ok(Some(Arrival::Known));
        }
        let mut listed = Listed {
            id: place.1.clone(),
            at: mail.received_at,
            own: mail.own,
            automatic: mail.automatic.is_some() && !mail.own,
            phase: MailPhase::Done,
            intent: None,
            people: Vec::new(),
            rows: Vec::new(),
            links: Vec::new(),
            joined: None,
            orders: Vec::new(),
        };
        let unchanged = thread.clone();
        let body = &mut thread.body;
        listed.people = coming.named.people.iter().filter_map(|address| body.person(address)).collect();
        for identifier in &coming.named.identifiers {
            let partition = keyspace::subject_partition(tenant, keys, identifier);
            let row = keyspace::subject_row(partition, &thread.reference);
            listed.rows.extend(body.row(shorten(tenant, &row).0));
        }
        if body.mails.len() >= MAILS || body.rows.len() > ROWS {
            if first_before.is_some_and(|first| place < first) {
                return Ok(Some(Arrival::TooOld));
            }
            self.shorten_thread(installation, unchanged).await?;
            return Ok(None);
        }
        // One that lost its first mail since is called by the next that says how.
        if first_before.is_none_or(|first| place < first) || body.subject.expose().is_empty() {
            body.subject = mail.subject.clone();
        }
        let mut links: BTreeSet<String> = BTreeSet::new();
        let answered = coming.answers().into_iter().next();
        for id in mail.message_id.iter().chain(answered) {
            links.insert(keyspace::message_partition(tenant, keys, &mail.mailbox, id.as_str()));
        }
        if thread.reference != coming.provider {
            links.insert(keyspace::alias_partition(tenant, keys, &coming.provider));
            listed.joined = Some(coming.provider.id().to_owned());
        }
        let links: Vec<Key> =
            links.into_iter().map(|link| keyspace::mail_link(link, &thread.reference)).collect();
        listed.links = links.iter().map(|link| shorten(tenant, link).0).collect();
        let mut more = Vec::new();
        if !mail.own {
            mail.phase = MailPhase::Done;
            more.extend(mail.advance(tenant, MailPhase::Arrived, None, now));
            listed.phase = mail.phase;
        }
        let automatic = listed.automatic;
        body.mails.push(listed);
        body.sort();
        if mail.received_at > thread.latest_at {
            thread.latest_at = mail.received_at;
            // A later mail keeps it anew.
            thread.ends = None;
        }
        if !automatic {
            more.extend(self.move_drafts_on(installation, &mail, &mut thread).await?);
        }
        mail.thread = thread.reference.clone();
        for key in &links {
            let link = Item::new(key.clone()).expiring_with(Kind::Thread, mail.received_at);
            more.push(Action::put(link.not_after(thread.ends)));
        }
        for key in thread.subjects(tenant) {
            let row = Item::new(key).expiring_with(Kind::Thread, thread.latest_at);
            more.push(Action::put(row.not_after(thread.ends)));
        }
        let index = thread.index(tenant);
        more.extend(before.filter(|before| *before != index).map(Action::delete));
        let index = Item::new(index).expiring_with(Kind::Thread, thread.latest_at);
        more.push(Action::put(index.not_after(thread.ends)));
        self.commit_mail(installation, coming, &mail, &thread, more).await
    }

    async fn commit_mail(
        &self,
        installation: &Installation,
        coming: &Coming<'_>,
        mail: &StoredMail,
        thread: &ThreadRecord,
        more: Vec<Action>,
    ) -> Result<Option<Arrival>> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let mut actions = vec![
            thread.put(self, installation)?,
            Action::Put { item: mail.item(self, installation)?, condition: Some(Condition::ABSENT) },
            mailboxes::not_ending(tenant, &mail.mailbox),
        ];
        let later = || Condition {
            expression: "attribute_not_exists(pk) OR erased_at < :received_at",
            values: vec![(":received_at", number(mail.received_at.millis()))],
        };
        let identifiers = coming.named.identifiers.iter();
        let tombstones = identifiers.map(|identifier| keyspace::subject_tombstone(tenant, keys, identifier));
        let conversations = BTreeSet::from([&coming.provider, &thread.reference]);
        let conversations =
            conversations.into_iter().map(|thread| keyspace::thread_tombstone(tenant, keys, thread));
        let from = actions.len();
        actions.extend(tombstones.chain(conversations).map(|key| Action::Check { key, condition: later() }));
        let limits_from = actions.len();
        let rows: Vec<Key> = coming
            .named
            .identifiers
            .iter()
            .map(|identifier| keyspace::subject_partition(tenant, keys, identifier))
            .map(|partition| keyspace::subject_row(partition, &thread.reference))
            .collect();
        actions.extend(limits::checks(tenant, rows.iter()));
        let limits_to = actions.len();
        actions.extend(more);
        match self.transact_unrecorded(Unrecorded::Delivery, actions).await? {
            Ok(()) => Ok(Some(Arrival::Stored {
                mail: mail.reference.clone(),
                thread: thread.reference.clone(),
                task_due: mail.due_at,
            })),
            Err(canceled) if canceled.any_failed(from..limits_from) => Ok(Some(Arrival::RefusedErased)),
            Err(canceled) if canceled.any_failed(limits_from..limits_to) => {
                self.make_up_for(installation, &coming.named.identifiers, mail.received_at).await?;
                let delivery = RecordRef::new(Kind::Delivery, mail.reference.id().to_owned());
                self.note_refused(tenant, &delivery, "mail").await?;
                Ok(Some(Arrival::RefusedLimited))
            }
            Err(canceled) if canceled.any_failed(2..3) => Err(StoreError::Contended("a mailbox")),
            Err(_) => Ok(None),
        }
    }

    /// Somebody wrote: drafts that answer an earlier mail are withdrawn; one that a person wrote in stays, for that person
    /// to look at again. A reply of ours that comes back was sent.
    async fn move_drafts_on(
        &self,
        installation: &Installation,
        mail: &StoredMail,
        thread: &mut ThreadRecord,
    ) -> Result<Vec<Action>> {
        let (tenant, now) = (&installation.tenant, self.now());
        let mut actions = Vec::new();
        let open = thread.body.drafts.iter().filter(|draft| !draft.state.has_ended());
        for listed in open.cloned().collect::<Vec<_>>() {
            let ours = mail.own && mail.message_id.as_ref() == Some(&listed.message_id);
            let (state, what) = match listed.state {
                _ if ours => (DraftState::Sent, What::ReplySent),
                // It may be out already: whoever sends it finds out.
                DraftState::Sending => continue,
                _ if !thread.body.moved_on(&listed.mail) => continue,
                _ if listed.edited => (DraftState::NeedsHuman, What::DraftCancelled),
                _ => (DraftState::Withdrawn, What::DraftWithdrawn),
            };
            let told = match state {
                // One that was not to be sent only changes its number, so that whoever reads it looks again.
                DraftState::NeedsHuman => listed.send_at.is_some(),
                _ => true,
            };
            let key = keyspace::record(tenant, &listed.reference());
            let stored = self.batch_get(Table::Data, std::slice::from_ref(&key), Expired::Too).await?;
            if let Some(stored) = stored.first() {
                let mut draft = drafts::Draft::read(installation, stored)?;
                if ours {
                    draft.provider_id = Some(mail.provider_id.clone());
                }
                actions.extend(draft.become_state(tenant, state, None));
                actions.push(draft.put(self, installation)?);
                if told {
                    actions.push(self.ledger_action(&Entry::new(now, tenant, what, "mail"))?);
                }
            }
            if let Some(listed) = thread.body.draft(&listed.id) {
                listed.state = state;
                listed.send_at = None;
            }
        }
        Ok(actions)
    }
}
