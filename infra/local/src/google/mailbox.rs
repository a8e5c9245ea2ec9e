//! A simulated mailbox: messages in threads, drafts, a history that grows, and who is told of it. What a request may do with
//! it is `gmail`'s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use storeward_core::time::{DAY, Timestamp};

use super::Trouble;
use super::mail::Heading;

/// How long a watch lasts (Gmail, "Push notifications").
pub(super) const WATCH: Duration = DAY.saturating_mul(7);

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) thread: String,
    pub(super) raw: Bytes,
    pub(super) heading: Heading,
    pub(super) labels: BTreeSet<String>,
    pub(super) received_at: Timestamp,
    pub(super) history_id: u64,
}

impl Message {
    /// What the API tells of it in lists.
    pub(super) fn name(&self) -> Value {
        json!({ "id": self.id, "threadId": self.thread })
    }
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Deleted,
    LabelsAdded,
    LabelsRemoved,
}

impl Change {
    /// The word for it in `historyTypes`, and the field of a record that tells it.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Added => ("messageAdded", "messagesAdded"),
            Self::Deleted => ("messageDeleted", "messagesDeleted"),
            Self::LabelsAdded => ("labelAdded", "labelsAdded"),
            Self::LabelsRemoved => ("labelRemoved", "labelsRemoved"),
        }
    }
}

/// An entry of the history.
#[derive(Clone, Debug)]
struct Record {
    id: u64,
    change: Change,
    name: Value,
    /// The message's labels then.
    labels: BTreeSet<String>,
    /// The labels that were added or removed.
    changed: Vec<String>,
}

impl Record {
    fn shown(&self) -> Value {
        let (_, field) = self.change.names();
        let mut message = self.name.clone();
        message["labelIds"] = json!(self.labels);
        let mut entry = json!({ "message": message });
        if !self.changed.is_empty() {
            entry["labelIds"] = json!(self.changed);
        }
        json!({ "id": self.id.to_string(), "messages": [self.name], field: [entry] })
    }
}

/// Who is told of changes.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) expires_at: Timestamp,
    pub(super) labels: BTreeSet<String>,
    /// Whether it is told of everything but these labels.
    pub(super) exclude: bool,
}

impl Watch {
    fn tells(&self, labels: &BTreeSet<String>) -> bool {
        self.labels.is_empty() || self.labels.is_disjoint(labels) == self.exclude
    }
}

/// Where a message belongs that is about to be put in.
pub(super) enum Belongs<'a> {
    /// Where its headers say.
    ByHeaders,
    /// Into this thread, if its headers say so too.
    Thread(&'a str),
}

/// Whether a mail comes behind a message: it names it and has its subject.
fn is_behind(heading: &Heading, earlier: &Message) -> bool {
    heading.topic == earlier.heading.topic && heading.references.contains(&earlier.heading.message_id)
}

/// A mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) address: String,
    messages: BTreeMap<String, Message>,
    /// The message of each draft.
    pub(super) drafts: BTreeMap<String, String>,
    history: Vec<Record>,
    pub(super) history_id: u64,
    /// The oldest point that the history can be told from.
    remembered_from: u64,
    pub(super) watch: Option<Watch>,
    /// Whether somebody else of this developer is told already.
    pub(super) told_elsewhere: bool,
    /// Points of the history that somebody should be told of.
    pub(super) to_tell: Vec<u64>,
    /// What goes wrong next: with any call, or with calls of one method.
    pub(super) troubles: VecDeque<(Option<String>, Trouble)>,
    /// How many calls for it are being answered.
    pub(super) busy: usize,
    last_number: u64,
}

impl Mailbox {
    /// An empty mailbox, the `ordinal`th of all.
    pub(super) fn new(address: &str, ordinal: u64) -> Self {
        let history_id = 1_000 + ordinal * 7;
        Self {
            address: address.to_owned(),
            messages: BTreeMap::new(),
            drafts: BTreeMap::new(),
            history: Vec::new(),
            history_id,
            remembered_from: history_id,
            watch: None,
            told_elsewhere: false,
            to_tell: Vec::new(),
            troubles: VecDeque::new(),
            busy: 0,
            last_number: (0x19a0_0000 + ordinal) << 32,
        }
    }

    fn next_number(&mut self) -> String {
        // Gmail's ids are 64 bits in hexadecimal digits, later ones greater.
        self.last_number += 0x0001_0001;
        format!("{:016x}", self.last_number)
    }

    /// Every message, latest first.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().rev()
    }

    pub(super) fn message(&self, id: &str) -> Option<&Message> {
        self.messages.get(id)
    }

    /// The messages of a thread, oldest first.
    pub(super) fn thread<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Message> {
        self.messages.values().filter(move |message| message.thread == id)
    }

    /// Whether the headers of a mail put it into a thread.
    fn fits(&self, heading: &Heading, thread: &str) -> bool {
        self.thread(thread).any(|earlier| is_behind(heading, earlier))
    }

    /// Puts a mail in.
    pub(super) fn add(
        &mut self,
        raw: Bytes,
        labels: &[&str],
        belongs: &Belongs<'_>,
        now: Timestamp,
    ) -> Message {
        let heading = Heading::of(&raw);
        let id = self.next_number();
        let thread = match belongs {
            Belongs::Thread(thread) if self.fits(&heading, thread) => Some((*thread).to_owned()),
            Belongs::Thread(_) => None,
            Belongs::ByHeaders => {
                let earlier = self.messages.values().find(|earlier| is_behind(&heading, earlier));
                earlier.map(|earlier| earlier.thread.clone())
            }
        };
        let thread = thread.unwrap_or_else(|| id.clone());
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let message =
            Message { id: id.clone(), thread, raw, heading, labels, received_at: now, history_id: 0 };
        self.messages.insert(id.clone(), message);
        self.note(&id, Change::Added, Vec::new(), now);
        self.messages[&id].clone()
    }

    /// Deletes a message for good.
    pub(super) fn delete(&mut self, id: &str, now: Timestamp) -> bool {
        self.note(id, Change::Deleted, Vec::new(), now);
        self.drafts.retain(|_, message| message != id);
        self.messages.remove(id).is_some()
    }

    /// Adds and removes labels of a message.
    pub(super) fn relabel(&mut self, id: &str, add: &[String], remove: &[String], now: Timestamp) -> bool {
        let Some(message) = self.messages.get_mut(id) else { return false };
        let added: Vec<String> =
            add.iter().filter(|label| !message.labels.contains(*label)).cloned().collect();
        let removed: Vec<String> =
            remove.iter().filter(|label| message.labels.contains(*label)).cloned().collect();
        message.labels.extend(added.iter().cloned());
        message.labels.retain(|label| !removed.contains(label));
        for (change, labels) in [(Change::LabelsAdded, added), (Change::LabelsRemoved, removed)] {
            if !labels.is_empty() {
                self.note(id, change, labels, now);
            }
        }
        true
    }

    fn note(&mut self, id: &str, change: Change, changed: Vec<String>, now: Timestamp) {
        let Some(message) = self.messages.get_mut(id) else { return };
        // Gaps of no meaning, the same in every run.
        self.history_id += 1 + self.history_id % 5;
        message.history_id = self.history_id;
        let told = self.watch.as_ref().filter(|watch| now < watch.expires_at);
        if told.is_some_and(|watch| watch.tells(&message.labels)) {
            self.to_tell.push(self.history_id);
        }
        let (name, labels) = (message.name(), message.labels.clone());
        self.history.push(Record { id: self.history_id, change, name, labels, changed });
    }

    /// Forgets the history so far: whoever asks from an earlier point has to look through the mailbox.
    pub(super) fn forget_history(&mut self) {
        self.history.clear();
        self.remembered_from = self.history_id;
    }

    /// What happened since a point; `None` when that is not known.
    pub(super) fn since(&self, start: u64, types: &[String], label: Option<&str>) -> Option<Vec<Value>> {
        if start < self.remembered_from || start > self.history_id {
            return None;
        }
        let wanted = |record: &&Record| {
            record.id > start
                && (types.is_empty() || types.iter().any(|wanted| wanted == record.change.names().0))
                && label.is_none_or(|label| record.labels.contains(label))
        };
        Some(self.history.iter().filter(wanted).map(Record::shown).collect())
    }

    /// Takes the trouble that the next call of a method meets, if any.
    pub(super) fn take_trouble(&mut self, method: &str) -> Option<Trouble> {
        let fits = |of: &Option<String>| of.as_deref().is_none_or(|of| of == method);
        let place = self.troubles.iter().position(|(of, _)| fits(of))?;
        self.troubles.remove(place).map(|(_, trouble)| trouble)
    }
}
