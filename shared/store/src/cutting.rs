//! Taking mails out of a conversation, or the whole of it away: for an erasure, for a mailbox that ends, and where a
//! conversation grew beyond its bounds or its window. It can stop anywhere: what leads to something goes after it.

use std::collections::BTreeSet;

use storeward_core::data_map::{Kind, Table};
use storeward_core::time::Timestamp;

use crate::drafts::DraftState;
use crate::erasing::Target;
use crate::erasure;
use crate::error::Result;
use crate::item::{Item, Stored, number};
use crate::keyspace::{self, Key, RecordRef};
use crate::mailboxes::{self, Mailbox};
use crate::purge;
use crate::store::{Action, Condition, Expired, Store, Unrecorded};
use crate::tenants::Installation;
use crate::threads::{self, Listed, ListedDraft, ThreadRecord};

/// How many mails one transaction takes out: each is its record, its links and its due row.
const MAILS_AT_ONCE: usize = 8;

/// How many drafts one transaction takes out: each is its record and its due row.
const DRAFTS_AT_ONCE: usize = 8;

/// How often a conversation is tried while others change it.
const ATTEMPTS: usize = 6;

/// What became of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// There is none.
    Gone,
    /// Nothing in it was to go.
    Untouched,
    /// Some of it went.
    Trimmed,
    /// All of it went.
    Deleted,
    /// Others changed it at every attempt.
    Overtaken,
}

/// What mails are taken out of a conversation for.
#[derive(Clone, Copy)]
pub(crate) enum For<'a> {
    /// An erasure: what goes is counted for its receipt, and a tombstone keeps it from coming back.
    Erasure(&'a Target),
    /// A mailbox that ends: what goes is counted with it, for its last entry.
    Ending(&'a Mailbox),
    /// The conversation's bounds and its window.
    Room,
}

/// What is to go of a conversation.
struct Doomed {
    mails: Vec<Listed>,
    drafts: Vec<ListedDraft>,
    /// Whether no mail stays.
    whole: bool,
}

impl Doomed {
    fn of(thread: &ThreadRecord, upto: Timestamp) -> Self {
        let mails: Vec<Listed> = thread.body.mails.iter().filter(|mail| mail.at <= upto).cloned().collect();
        let whole = mails.len() == thread.body.mails.len();
        let stays = |id: &String| thread.body.mails.iter().any(|mail| mail.at > upto && mail.id == *id);
        // A draft goes with the mail that it answers, and with what was known when it was made.
        let goes = |draft: &&ListedDraft| whole || draft.created_at <= upto || !stays(&draft.mail);
        let drafts = thread.body.drafts.iter().filter(goes).cloned().collect();
        Self { mails, drafts, whole }
    }
}

impl Store {
    /// Takes everything out of a conversation that came at or before `upto`: all of it where nothing came later. What is
    /// counted is counted in the transactions that delete.
    pub(crate) async fn cut_thread(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        upto: Timestamp,
        why: For<'_>,
    ) -> Result<Cut> {
        let mut touched = false;
        let mut overtaken = 0;
        loop {
            let Some(thread) = self.any_thread(installation, reference, Expired::Too).await? else {
                return Ok(if touched { Cut::Deleted } else { Cut::Gone });
            };
            let doomed = Doomed::of(&thread, upto);
            if !doomed.whole && doomed.mails.is_empty() && doomed.drafts.is_empty() {
                return Ok(if touched { Cut::Trimmed } else { Cut::Untouched });
            }
            if let For::Erasure(target) = why
                && !self.entomb_thread(installation, &thread, target).await?
            {
                overtaken += 1;
                if overtaken == ATTEMPTS {
                    return Ok(Cut::Overtaken);
                }
                continue;
            }
            let actions = self.cut(installation, thread, doomed, why).await?;
            if self.transact_unrecorded(Unrecorded::Step, actions).await?.is_ok() {
                touched = true;
                continue;
            }
            overtaken += 1;
            if overtaken == ATTEMPTS {
                return Ok(Cut::Overtaken);
            }
        }
    }

    /// One transaction's worth.
    async fn cut(
        &self,
        installation: &Installation,
        mut thread: ThreadRecord,
        mut doomed: Doomed,
        why: For<'_>,
    ) -> Result<Vec<Action>> {
        let tenant = &installation.tenant;
        let rest = doomed.mails.len() > MAILS_AT_ONCE || doomed.drafts.len() > DRAFTS_AT_ONCE;
        doomed.mails.truncate(MAILS_AT_ONCE);
        doomed.drafts.truncate(DRAFTS_AT_ONCE);
        let mails = doomed.mails.iter().map(Listed::reference);
        let records: Vec<Key> = mails
            .chain(doomed.drafts.iter().map(ListedDraft::reference))
            .map(|reference| keyspace::record(tenant, &reference))
            .collect();
        let found = self.batch_get(Table::Data, &records, Expired::Too).await?;
        let mut actions = Vec::new();
        let mut counts = Counts::default();
        for stored in &found {
            let kind = if stored.optional_text("kind") == Some(Kind::Draft.name()) {
                Kind::Draft
            } else {
                Kind::Mail
            };
            counts.add(kind);
            // One that expired since is not counted: then it is looked at again.
            let record = Action::Delete { key: stored.key(kind)?, condition: Some(Condition::PRESENT) };
            actions.push(record);
            actions.extend(threads::due_rows_of(tenant, kind, stored)?.into_iter().map(Action::delete));
        }
        let gone: BTreeSet<&String> = doomed
            .mails
            .iter()
            .map(|mail| &mail.id)
            .chain(doomed.drafts.iter().map(|draft| &draft.id))
            .collect();
        let before = thread.body.mails.clone();
        thread.body.mails.retain(|mail| !gone.contains(&mail.id));
        thread.body.drafts.retain(|draft| !gone.contains(&draft.id));
        let left: BTreeSet<&String> = thread.body.mails.iter().flat_map(|mail| &mail.links).collect();
        let mut links: BTreeSet<Key> = BTreeSet::new();
        for mail in before.iter().filter(|mail| gone.contains(&mail.id)) {
            // Two mails can stand under one name; the link goes with the last of them.
            let alone = Listed {
                links: mail.links.iter().filter(|link| !left.contains(link)).cloned().collect(),
                ..mail.clone()
            };
            links.extend(thread.links(tenant, &alone));
        }
        actions.extend(links.into_iter().map(Action::delete));
        if doomed.whole && !rest {
            counts.add(Kind::Thread);
            actions.push(Action::Delete { key: thread.key(tenant), condition: Some(thread.unchanged()) });
            actions.push(Action::delete(thread.index(tenant)));
            actions.extend(thread.subjects(tenant).into_iter().map(Action::delete));
        } else {
            if !rest {
                self.settle(installation, &mut thread, &before, &mut actions).await?;
            }
            // While something is left to go, whatever leads to the conversation still does.
            actions.push(thread.put(self, installation)?);
        }
        match why {
            For::Erasure(target) => {
                actions.push(erasure::count(tenant, target, thread.reference.bucket(), &counts.by_kind()));
            }
            For::Ending(mailbox) => actions.push(mailboxes::count(tenant, mailbox, counts.by_kind())),
            For::Room => {}
        }
        // What is written again must not stand behind a purge.
        actions.push(purge::not_begun(tenant));
        Ok(actions)
    }

    /// What stays of a conversation is about those alone who are named in it: its subject, its people and its rows.
    async fn settle(
        &self,
        installation: &Installation,
        thread: &mut ThreadRecord,
        before: &[Listed],
        actions: &mut Vec<Action>,
    ) -> Result<()> {
        let tenant = &installation.tenant;
        let dropped = thread.body.prune();
        actions.extend(dropped.iter().filter_map(|row| thread.subject(tenant, row)).map(Action::delete));
        let Some(first) = thread.body.mails.first().map(Listed::reference) else { return Ok(()) };
        if before.first().map(Listed::reference).as_ref() != Some(&first) {
            let key = keyspace::record(tenant, &first);
            let stored = self.batch_get(Table::Data, std::slice::from_ref(&key), Expired::Gone).await?;
            let first =
                stored.first().map(|stored| threads::StoredMail::read(installation, stored)).transpose()?;
            thread.body.subject = first.map(|first| first.subject).unwrap_or_default();
        }
        Ok(())
    }

    /// From here on no mail comes back that is older than an erasure, to a conversation of which something was erased:
    /// also one that names the person nowhere. `false` when somebody else wrote a tombstone first.
    async fn entomb_thread(
        &self,
        installation: &Installation,
        thread: &ThreadRecord,
        target: &Target,
    ) -> Result<bool> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let joined = thread.body.mails.iter().filter_map(|mail| mail.joined.clone());
        let names: BTreeSet<RecordRef> =
            joined.map(|id| RecordRef::new(Kind::Thread, id)).chain([thread.reference.clone()]).collect();
        let names: Vec<(Key, RecordRef)> =
            names.into_iter().map(|name| (keyspace::thread_tombstone(tenant, keys, &name), name)).collect();
        let wanted: Vec<Key> = names.iter().map(|(key, _)| key.clone()).collect();
        let standing = self.batch_get(Table::Ledger, &wanted, Expired::Too).await?;
        let reaches = |key: &Key| {
            let same = |stored: &&Stored| {
                stored.optional_text("pk") == Some(&key.pk) && stored.optional_text("sk") == Some(&key.sk)
            };
            let erased_at = standing.iter().find(same).and_then(|stored| stored.optional_number("erased_at"));
            erased_at.is_some_and(|erased_at| erased_at >= target.received_at.millis())
        };
        let mut actions: Vec<Action> = Vec::new();
        for (key, name) in names.into_iter().filter(|(key, _)| !reaches(key)) {
            let item: Item = erasure::tombstone(key, &name.to_string(), target.received_at);
            let condition = Condition {
                expression: "attribute_not_exists(pk) OR erased_at < :erased_at",
                values: vec![(":erased_at", number(target.received_at.millis()))],
            };
            actions.push(Action::Put { item, condition: Some(condition) });
        }
        for chunk in actions.chunks(ENTOMBED_AT_ONCE) {
            let chunk = chunk.iter().cloned().chain([purge::not_begun(tenant)]).collect();
            if self.transact_unrecorded(Unrecorded::Step, chunk).await?.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes room in a conversation: its earliest mails are forgotten.
    pub(crate) async fn shorten_thread(
        &self,
        installation: &Installation,
        thread: ThreadRecord,
    ) -> Result<bool> {
        let mut mails: Vec<Listed> = thread.body.mails.iter().take(MAILS_AT_ONCE).cloned().collect();
        // One has to stay, or there would be no conversation.
        mails.truncate(thread.body.mails.len().saturating_sub(1).max(1));
        let ids: BTreeSet<&String> = mails.iter().map(|mail| &mail.id).collect();
        let goes = |draft: &&ListedDraft| ids.contains(&draft.mail) && draft.state != DraftState::Sending;
        let drafts: Vec<ListedDraft> =
            thread.body.drafts.iter().filter(goes).take(DRAFTS_AT_ONCE).cloned().collect();
        let doomed = Doomed { mails, drafts, whole: false };
        let actions = self.cut(installation, thread, doomed, For::Room).await?;
        Ok(self.transact_unrecorded(Unrecorded::Step, actions).await?.is_ok())
    }
}

/// How many tombstones one transaction writes.
const ENTOMBED_AT_ONCE: usize = 90;

/// How many records a transaction deletes, by kind.
#[derive(Default)]
struct Counts {
    threads: u64,
    mails: u64,
    drafts: u64,
}

impl Counts {
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Thread => self.threads += 1,
            Kind::Draft => self.drafts += 1,
            _ => self.mails += 1,
        }
    }

    fn by_kind(&self) -> [(Kind, u64); 3] {
        [(Kind::Thread, self.threads), (Kind::Mail, self.mails), (Kind::Draft, self.drafts)]
    }
}
