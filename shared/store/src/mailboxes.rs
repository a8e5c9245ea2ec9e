//! The mailboxes of a shop: connected by consent, read under a lease, and forgotten with everything that came in by them.
//! What Google is asked, and when, is the functions'.

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::personal::Personal;
use storeward_core::shop::{Generation, ShopId, Tenant};
use storeward_core::time::{DAY, Timestamp};

use crate::accept::RESEND_AFTER;
use crate::acting::{By, actor};
use crate::due::{self, DueRow};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, seal, seal_part, text};
use crate::keyspace::{self, BUCKETS, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::purge;
use crate::store::{Action, Change, Condition, Query, Range, Store, Unrecorded};
use crate::tenants::Installation;
use crate::threads::{Cut, For};

/// The sealed tokens of a mailbox, apart from its address: they are renewed without it.
const TOKENS: &str = "mail_tokens";
/// Where a full reading stands, sealed.
const FULL_SYNC: &str = "full_sync";

/// The most mailboxes of a shop: all of them end in the transaction that ends the installation, with two actions each.
pub(crate) const MAILBOXES: usize = 30;

/// A secret: 256 bits as hexadecimal digits.
const SECRET: usize = 64;

/// How often a mailbox is tried while others change it.
const ATTEMPTS: usize = 6;

/// How a mailbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxState {
    /// It is read and answered from.
    Connected,
    /// Google refuses its tokens: the merchant has to connect it again.
    Disconnected,
    /// It is used no more: what Google has of it is being ended, and what came in by it deleted.
    Ending,
}

impl MailboxState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Connected, Self::Disconnected, Self::Ending];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Ending => "ending",
        }
    }
}

/// What Google gave for a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailTokens {
    /// What calls are made with.
    pub access: Personal<String>,
    /// Until when it works.
    pub expires_at: Timestamp,
    /// What the next one is got with.
    pub refresh: Personal<String>,
    /// What was granted, as Google writes it: separated by spaces.
    pub scopes: String,
}

/// A first reading of a mailbox, or one after a gap in what Gmail remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullSync {
    /// The history id from before the listing began: where reading goes on after it.
    pub cursor: u64,
    /// How far back mails are read.
    pub since: Timestamp,
    /// The page that comes next, as Gmail names it.
    pub page: Option<Personal<String>>,
}

/// A mailbox, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// Its name in the store.
    pub reference: RecordRef,
    /// How it stands.
    pub state: MailboxState,
    /// Its address, as Google writes it.
    pub address: Personal<String>,
    /// What Google gave for it; none once Google refused them.
    pub tokens: Option<MailTokens>,
    /// Up to which history id it was read.
    pub cursor: Option<u64>,
    /// A full reading that is under way.
    pub full_sync: Option<FullSync>,
    /// Until when Gmail tells of new mail.
    pub watched_until: Option<Timestamp>,
    /// When it was connected, the last time.
    pub connected_at: Timestamp,
    /// When it was last read to the end.
    pub read_at: Option<Timestamp>,
    /// Until when it is left alone.
    pub quiet_until: Option<Timestamp>,
    /// How often it failed since it was last read.
    pub failures: u32,
    /// Where the due row stands that a sweep asks for another look by, while something is to be done that nobody else
    /// would ask for.
    pub due_at: Option<Timestamp>,
    /// Whose lease it was read under; none where it was only looked at.
    pub(crate) lease: Option<String>,
}

/// Which installation has a mailbox, and what whoever watches over all of them has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxRoute {
    /// Which installation.
    pub tenant: Tenant,
    /// Which mailbox.
    pub mailbox: RecordRef,
    /// Until when Gmail tells of new mail.
    pub watched_until: Option<Timestamp>,
    /// When it was last read to the end.
    pub read_at: Option<Timestamp>,
}

/// An attempt to connect a mailbox, when the browser comes back.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its name in the store.
    pub reference: RecordRef,
    /// What the code is exchanged with (RFC 7636).
    pub verifier: Personal<String>,
    /// Who began it: in whose name the rest is done.
    pub actor: By,
}

/// What came of connecting a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// It is connected.
    Connected {
        /// Which mailbox.
        mailbox: RecordRef,
        /// Whether it was known before.
        again: bool,
    },
    /// The attempt was used, or is too old, or the app is not installed any more.
    Expired,
}

/// What came of asking for a mailbox's lease.
#[derive(Clone, Debug)]
pub enum Lease {
    /// Nobody else works on it until the lease ends.
    Taken(Box<Mailbox>),
    /// Somebody else does, until then.
    Busy(Timestamp),
    /// There is no such mailbox.
    Gone,
}

/// How far a mailbox was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// To the end, up to this history id.
    Cursor(u64),
    /// A full reading goes on from here. The next [`Progress::Cursor`] ends it.
    FullSync(FullSync),
}

/// How a mailbox's own half is sealed.
#[derive(Serialize, Deserialize)]
struct SealedMailbox {
    address: Personal<String>,
}

/// How an attempt to connect one is sealed.
#[derive(Serialize, Deserialize)]
struct SealedAttempt {
    verifier: Personal<String>,
    actor: By,
}

/// An address in the form that routes are found by. Google tells each in one spelling; case says nothing.
fn normal(address: &str) -> String {
    address.trim().to_lowercase()
}

/// History ids are unsigned numbers of 64 bits (Gmail API, `users.history`).
fn history(id: u64) -> AttributeValue {
    AttributeValue::N(id.to_string())
}

impl Mailbox {
    fn read(installation: &Installation, stored: &Stored) -> Result<Self> {
        let phase = stored.text("phase")?;
        let state = MailboxState::ALL.into_iter().find(|state| state.name() == phase);
        let sealed: SealedMailbox = stored.unseal(Kind::Mailbox, &installation.keys)?;
        let time = |name: &str| stored.optional_number(name).map(Timestamp);
        let cursor = stored.0.get("history_id").and_then(|id| id.as_n().ok()).map(|id| id.parse());
        Ok(Self {
            reference: RecordRef::new(Kind::Mailbox, stored.text("sk")?.to_owned()),
            state: state.ok_or(StoreError::Corrupt("a mailbox's state"))?,
            address: sealed.address,
            tokens: stored.unseal_part(Kind::Mailbox, TOKENS, &installation.keys)?,
            cursor: cursor.transpose().map_err(|_| StoreError::Corrupt("a history id"))?,
            full_sync: stored.unseal_part(Kind::Mailbox, FULL_SYNC, &installation.keys)?,
            watched_until: time("watched_until"),
            connected_at: stored.time("connected_at")?,
            read_at: time("read_at"),
            quiet_until: time("quiet_until"),
            failures: stored
                .optional_number("failures")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_default(),
            due_at: time("due_at"),
            lease: stored.optional_text("lease").map(str::to_owned),
        })
    }

    fn key(&self, tenant: &Tenant) -> Key {
        keyspace::record(tenant, &self.reference)
    }

    /// That it is in the hands of whoever has its lease, and not ended meanwhile.
    fn mine(&self) -> Condition {
        Condition {
            expression: "lease = :mine AND phase <> :ending",
            values: vec![
                (":mine", text(self.lease.as_deref().unwrap_or("none"))),
                (":ending", text(MailboxState::Ending.name())),
            ],
        }
    }

    /// The row that lets a sweep ask for another look, at `at`.
    fn due_row(&self, tenant: &Tenant, at: Timestamp) -> DueRow {
        DueRow::of_desk(tenant, due::Action::SyncMailbox, &self.reference, at)
    }
}

/// The rows that lead to a mailbox: its route, and the due row that it names.
pub(crate) fn rows_of(store: &Store, installation: &Installation, stored: &Stored) -> Result<Vec<Key>> {
    let mailbox = Mailbox::read(installation, stored)?;
    let route = store.route_of(&installation.tenant, &mailbox);
    let due = mailbox.due_at.map(|at| mailbox.due_row(&installation.tenant, at).key());
    Ok([route].into_iter().chain(due).collect())
}

/// That nothing ended the mailbox by which something is written.
pub(crate) fn not_ending(tenant: &Tenant, mailbox: &RecordRef) -> Action {
    Action::Check {
        key: keyspace::record(tenant, mailbox),
        condition: Condition {
            expression: "attribute_exists(pk) AND phase <> :ending",
            values: vec![(":ending", text(MailboxState::Ending.name()))],
        },
    }
}

/// That a mailbox ends.
fn ending() -> Condition {
    Condition { expression: "phase = :ending", values: vec![(":ending", text(MailboxState::Ending.name()))] }
}

/// What is counted of what a mailbox took along, by the attributes it stands under.
const FORGOTTEN: [(Kind, &str, &str); 3] = [
    (Kind::Thread, "forgotten_threads", ":threads"),
    (Kind::Mail, "forgotten_mails", ":mails"),
    (Kind::Draft, "forgotten_drafts", ":drafts"),
];

/// Counts what goes with a mailbox that ends, in the transaction in which it goes: whoever is stopped in between loses none.
pub(crate) fn count(tenant: &Tenant, mailbox: &Mailbox, gone: [(Kind, u64); 3]) -> Action {
    let of = |kind: Kind| gone.iter().filter(|(one, _)| *one == kind).map(|(_, count)| count).sum::<u64>();
    let count = |kind: Kind| number(i64::try_from(of(kind)).unwrap_or(i64::MAX));
    let added: Vec<String> = FORGOTTEN.iter().map(|(_, name, value)| format!("{name} {value}")).collect();
    Action::Update {
        key: mailbox.key(tenant),
        update: Change {
            expression: format!("ADD {}", added.join(", ")),
            values: FORGOTTEN.iter().map(|(kind, _, value)| (*value, count(*kind))).collect(),
        },
        condition: Some(ending()),
    }
}

/// What a `state` says.
struct State {
    tenant: Tenant,
    secret: String,
}

impl State {
    fn write(&self) -> String {
        format!("{}-{}-{}", self.tenant.shop, self.tenant.generation, self.secret)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (shop, generation, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let mut blind = [0; 16];
        hex::decode_to_slice(shop, &mut blind).ok()?;
        let tenant =
            Tenant { shop: ShopId::from_blind(blind), generation: Generation(generation.parse().ok()?) };
        let state = Self { tenant, secret: secret.to_owned() };
        // One spelling alone.
        (secret.len() == SECRET && state.write() == text).then_some(state)
    }
}

impl Store {
    fn route_of(&self, tenant: &Tenant, mailbox: &Mailbox) -> Key {
        let address = self.deployment.mailbox(&normal(mailbox.address.expose()));
        keyspace::mailbox_route(&address, tenant, &mailbox.reference)
    }

    /// Remembers that whoever acts is about to connect a mailbox. Gives the `state` that Google hands back: it names the
    /// attempt, and is worth nothing after an hour or once it was used.
    pub async fn begin_connecting(
        &self,
        installation: &Installation,
        verifier: &Personal<String>,
    ) -> Result<String> {
        let (tenant, now) = (&installation.tenant, self.now());
        let secret = format!("{}{}", self.random_id()?, self.random_id()?);
        let reference = keyspace::connecting_ref(&installation.keys, &secret);
        let actor = actor(self.standing.as_ref())?.by;
        let sealed = SealedAttempt { verifier: verifier.clone(), actor };
        let item = Item::new(keyspace::record(tenant, &reference)).expiring(now).sealed(
            &installation.keys,
            &sealed,
            &*self.entropy,
        )?;
        let put = Action::Put { item, condition: Some(Condition::ABSENT) };
        self.transact_unrecorded(Unrecorded::Bookkeeping, vec![put, installed(tenant)])
            .await?
            .map_err(|_| StoreError::Contended("an installation"))?;
        Ok(State { tenant: tenant.clone(), secret }.write())
    }

    /// The attempt that a `state` names. `None` for whatever is none that may go on.
    pub async fn connecting(&self, state: &str) -> Result<Option<(Installation, Attempt)>> {
        let Some(state) = State::read(state) else { return Ok(None) };
        let installation = self.tenant(&state.tenant).await?;
        let Some(installation) = installation.filter(Installation::is_installed) else { return Ok(None) };
        let reference = keyspace::connecting_ref(&installation.keys, &state.secret);
        let Some(stored) = self.get(&keyspace::record(&state.tenant, &reference)).await? else {
            return Ok(None);
        };
        let sealed: SealedAttempt = stored.unseal(Kind::Connecting, &installation.keys)?;
        Ok(Some((installation, Attempt { reference, verifier: sealed.verifier, actor: sealed.actor })))
    }

    /// Connects the mailbox with that address, new or again, and ends the attempt. A new one is to be read from
    /// `first_days` back, and `cursor` is the history id from before that reading.
    ///
    /// # Errors
    /// Contended, too, when the shop has as many mailboxes as it can have.
    pub async fn connect_mailbox(
        &self,
        installation: &Installation,
        attempt: &Attempt,
        address: &Personal<String>,
        tokens: &MailTokens,
        cursor: u64,
        first_days: u32,
    ) -> Result<Connecting> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let reference = keyspace::mailbox_ref(keys, &normal(address.expose()));
        for _ in 0..ATTEMPTS {
            let now = self.now();
            let known = self.mailbox(installation, &reference).await?;
            if known.is_none() && self.mailboxes(installation).await?.len() >= MAILBOXES {
                return Err(StoreError::Contended("the mailboxes of a shop"));
            }
            let due_at = now + RESEND_AFTER;
            let mut actions = vec![Action::Delete {
                key: keyspace::record(tenant, &attempt.reference),
                condition: Some(Condition::PRESENT),
            }];
            let again = known.is_some();
            let mailbox = Mailbox {
                reference: reference.clone(),
                state: MailboxState::Connected,
                address: address.clone(),
                tokens: Some(tokens.clone()),
                cursor: None,
                full_sync: None,
                watched_until: None,
                connected_at: now,
                read_at: None,
                quiet_until: None,
                failures: 0,
                due_at: Some(due_at),
                lease: None,
            };
            let key = mailbox.key(tenant);
            let sealed_tokens = seal_part(&key, TOKENS, keys, tokens, &*self.entropy)?;
            if let Some(known) = &known {
                // A row of the same hour is the same row.
                let next = mailbox.due_row(tenant, due_at).key();
                let before = known.due_at.map(|at| known.due_row(tenant, at).key());
                actions.extend(before.filter(|before| *before != next).map(Action::delete));
                // What was read stays read; a reading that was under way goes on.
                actions.push(Action::Update {
                    key,
                    update: Change {
                        expression: format!(
                            "SET phase = :connected, sealed = :sealed, {TOKENS} = :tokens, connected_at = :now, \
                             due_at = :due, failures = :none REMOVE quiet_until, lease, leased_until"
                        ),
                        values: vec![
                            (":connected", text(MailboxState::Connected.name())),
                            (":sealed", seal(&mailbox.key(tenant), keys, &SealedMailbox { address: address.clone() }, &*self.entropy)?),
                            (":tokens", sealed_tokens),
                            (":now", number(now.millis())),
                            (":due", number(due_at.millis())),
                            (":none", number(0)),
                        ],
                    },
                    condition: Some(Condition {
                        expression: "connected_at = :seen",
                        values: vec![(":seen", number(known.connected_at.millis()))],
                    }),
                });
            } else {
                let since = (now - DAY * first_days).max(Timestamp(0));
                let full = FullSync { cursor, since, page: None };
                let full = seal_part(&key, FULL_SYNC, keys, &full, &*self.entropy)?;
                let item = Item::new(key)
                    .set("phase", text(MailboxState::Connected.name()))
                    .set(TOKENS, sealed_tokens)
                    .set(FULL_SYNC, full)
                    .set("connected_at", number(now.millis()))
                    .set("due_at", number(due_at.millis()))
                    .sealed(keys, &SealedMailbox { address: address.clone() }, &*self.entropy)?;
                actions.push(Action::Put { item, condition: Some(Condition::ABSENT) });
                let route = Item::new(self.route_of(tenant, &mailbox));
                actions.push(Action::put(route));
            }
            actions.push(due::put(&mailbox.due_row(tenant, due_at)));
            actions.push(installed(tenant));
            let shop = actions.len() - 1..actions.len();
            let why = if again { "again" } else { "new" };
            actions.push(self.ledger_action(&Entry::new(now, tenant, What::MailboxConnected, why))?);
            match self.transact(actions).await? {
                Ok(()) => return Ok(Connecting::Connected { mailbox: reference, again }),
                Err(canceled) if canceled.any_failed(0..1) || canceled.any_failed(shop) => {
                    return Ok(Connecting::Expired);
                }
                // It was connected, or ended, since it was read.
                Err(_) => {}
            }
        }
        Err(StoreError::Contended("a mailbox"))
    }

    /// A mailbox, also of an installation that ended.
    pub async fn mailbox(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<Mailbox>> {
        let stored = self.get(&keyspace::record(&installation.tenant, reference)).await?;
        stored.map(|stored| Mailbox::read(installation, &stored)).transpose()
    }

    /// Every mailbox of a shop, the first connected first; also of an installation that ended.
    pub async fn mailboxes(&self, installation: &Installation) -> Result<Vec<Mailbox>> {
        let partitions = (0..BUCKETS).map(|bucket| async move {
            let partition = keyspace::bucket_partition(&installation.tenant, Kind::Mailbox, bucket);
            let items = self.query_all(Query::of(Table::Data, &partition)).await?;
            items.iter().map(|item| Mailbox::read(installation, item)).collect::<Result<Vec<_>>>()
        });
        let mut mailboxes: Vec<Mailbox> = try_join_all(partitions).await?.into_iter().flatten().collect();
        mailboxes.sort_by(|a, b| (a.connected_at, &a.reference).cmp(&(b.connected_at, &b.reference)));
        Ok(mailboxes)
    }

    /// Whose the mailbox with that address is: of each installation that connected it.
    pub async fn mailbox_routes(&self, address: &str) -> Result<Vec<MailboxRoute>> {
        let address = self.deployment.mailbox(&normal(address));
        let partition = keyspace::mailbox_route_partition(&address);
        let mut query = Query::of(Table::Data, &partition);
        query.range = Range::Prefix(format!("{address}#"));
        self.query_all(query).await?.iter().map(MailboxRoute::read).collect()
    }

    /// Every mailbox of the deployment.
    pub async fn all_mailbox_routes(&self) -> Result<Vec<MailboxRoute>> {
        let shards = (0..BUCKETS).map(|shard| async move {
            let partition = keyspace::mailbox_routes_partition(shard);
            let items = self.query_all(Query::of(Table::Data, &partition)).await?;
            items.iter().map(MailboxRoute::read).collect::<Result<Vec<_>>>()
        });
        Ok(try_join_all(shards).await?.into_iter().flatten().collect())
    }

    /// Takes a mailbox for oneself until then.
    pub async fn lease_mailbox(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        until: Timestamp,
    ) -> Result<Lease> {
        let key = keyspace::record(&installation.tenant, reference);
        for _ in 0..ATTEMPTS {
            let lease = self.random_id()?;
            let update = Change {
                expression: "SET lease = :mine, leased_until = :until".to_owned(),
                values: vec![(":mine", text(&lease)), (":until", number(until.millis()))],
            };
            let free = Condition {
                expression: "attribute_exists(pk) AND (attribute_not_exists(leased_until) OR leased_until <= :at)",
                values: vec![(":at", number(self.now().millis()))],
            };
            let action = Action::Update { key: key.clone(), update, condition: Some(free) };
            let taken = self.transact_unrecorded(Unrecorded::Bookkeeping, vec![action]).await?.is_ok();
            let Some(stored) = self.get(&key).await? else { return Ok(Lease::Gone) };
            if taken && stored.optional_text("lease") == Some(&lease) {
                return Ok(Lease::Taken(Box::new(Mailbox::read(installation, &stored)?)));
            }
            let until = stored.optional_number("leased_until").map(Timestamp);
            if let Some(until) = until.filter(|until| *until > self.now()) {
                return Ok(Lease::Busy(until));
            }
        }
        Err(StoreError::Contended("a mailbox"))
    }

    /// Gives a lease back early. One that was lost meanwhile is nothing to give back.
    pub async fn release_mailbox(&self, installation: &Installation, mailbox: &Mailbox) -> Result<()> {
        let update = Change { expression: "REMOVE lease, leased_until".to_owned(), values: Vec::new() };
        let mine = Condition {
            expression: "lease = :mine",
            values: vec![(":mine", text(mailbox.lease.as_deref().unwrap_or("none")))],
        };
        let key = mailbox.key(&installation.tenant);
        let action = Action::Update { key, update, condition: Some(mine) };
        let _lost = self.transact_unrecorded(Unrecorded::Bookkeeping, vec![action]).await?;
        Ok(())
    }

    /// Changes a mailbox for whoever has its lease. `false` when the lease was lost, or the mailbox ended.
    async fn change_mailbox(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        update: Change,
        mut more: Vec<Action>,
    ) -> Result<bool> {
        let key = mailbox.key(&installation.tenant);
        more.insert(0, Action::Update { key, update, condition: Some(mailbox.mine()) });
        Ok(self.transact_unrecorded(Unrecorded::Bookkeeping, more).await?.is_ok())
    }

    /// Replaces the tokens by those they were renewed to. `false` when the lease was lost.
    pub async fn keep_mail_tokens(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        tokens: &MailTokens,
    ) -> Result<bool> {
        let key = mailbox.key(&installation.tenant);
        let sealed = seal_part(&key, TOKENS, &installation.keys, tokens, &*self.entropy)?;
        let update =
            Change { expression: format!("SET {TOKENS} = :tokens"), values: vec![(":tokens", sealed)] };
        self.change_mailbox(installation, mailbox, update, Vec::new()).await
    }

    /// Remembers how far it was read. It only moves forward; what failed before is forgiven. `false` when the lease was
    /// lost.
    pub async fn mailbox_read(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        progress: Progress,
    ) -> Result<bool> {
        let (tenant, now) = (&installation.tenant, self.now());
        let key = mailbox.key(tenant);
        let forgiven = "failures = :none";
        let mut values = vec![(":none", number(0))];
        let cursor = match progress {
            Progress::FullSync(full) => {
                let sealed = seal_part(&key, FULL_SYNC, &installation.keys, &full, &*self.entropy)?;
                values.push((":full", sealed));
                let expression = format!("SET {forgiven}, {FULL_SYNC} = :full REMOVE quiet_until");
                return self
                    .change_mailbox(installation, mailbox, Change { expression, values }, Vec::new())
                    .await;
            }
            Progress::Cursor(cursor) => cursor,
        };
        let mut more: Vec<Action> =
            mailbox.due_at.map(|at| Action::delete(mailbox.due_row(tenant, at).key())).into_iter().collect();
        more.push(self.route_update(tenant, mailbox, "read_at", now));
        values.push((":now", number(now.millis())));
        let mut forward = values.clone();
        forward.push((":cursor", history(cursor)));
        let set = format!("SET {forgiven}, read_at = :now");
        let remove = format!("REMOVE quiet_until, due_at, {FULL_SYNC}");
        let further = Condition {
            expression: "lease = :mine AND phase <> :ending \
                         AND (attribute_not_exists(history_id) OR history_id < :cursor)",
            ..mailbox.mine()
        };
        let update = Change { expression: format!("{set}, history_id = :cursor {remove}"), values: forward };
        let mut actions = vec![Action::Update { key, update, condition: Some(further) }];
        actions.extend(more.iter().cloned());
        if self.transact_unrecorded(Unrecorded::Bookkeeping, actions).await?.is_ok() {
            return Ok(true);
        }
        // It was read as far already, or the lease was lost.
        let update = Change { expression: format!("{set} {remove}"), values };
        self.change_mailbox(installation, mailbox, update, more).await
    }

    /// Remembers until when Gmail tells of new mail. `false` when the lease was lost.
    pub async fn mailbox_watched(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        until: Timestamp,
    ) -> Result<bool> {
        let update = Change {
            expression: "SET watched_until = :until".to_owned(),
            values: vec![(":until", number(until.millis()))],
        };
        let more = vec![self.route_update(&installation.tenant, mailbox, "watched_until", until)];
        self.change_mailbox(installation, mailbox, update, more).await
    }

    fn route_update(&self, tenant: &Tenant, mailbox: &Mailbox, name: &str, at: Timestamp) -> Action {
        Action::Update {
            key: self.route_of(tenant, mailbox),
            update: Change {
                expression: format!("SET {name} = :at"),
                values: vec![(":at", number(at.millis()))],
            },
            condition: Some(Condition::PRESENT),
        }
    }

    /// Leaves a mailbox alone until then, because Gmail wants it so or something failed: one more failure.
    pub async fn leave_mailbox_alone(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        until: Timestamp,
    ) -> Result<()> {
        let update = Change {
            expression: "SET quiet_until = :until ADD failures :one".to_owned(),
            values: vec![(":until", number(until.millis())), (":one", number(1))],
        };
        // Without the lease it is another's to say.
        let _lost = self.change_mailbox(installation, mailbox, update, Vec::new()).await?;
        Ok(())
    }

    /// Google refuses the tokens for good: they are forgotten. `false` when the lease was lost, or it was not connected.
    pub async fn mailbox_lost(&self, installation: &Installation, mailbox: &Mailbox) -> Result<bool> {
        let (tenant, now) = (&installation.tenant, self.now());
        let update = Change {
            expression: format!(
                "SET phase = :disconnected REMOVE {TOKENS}, watched_until, quiet_until, due_at"
            ),
            values: vec![(":disconnected", text(MailboxState::Disconnected.name()))],
        };
        let connected = Condition {
            expression: "lease = :mine AND phase = :connected",
            values: vec![
                (":mine", text(mailbox.lease.as_deref().unwrap_or("none"))),
                (":connected", text(MailboxState::Connected.name())),
            ],
        };
        let mut actions =
            vec![Action::Update { key: mailbox.key(tenant), update, condition: Some(connected) }];
        actions.extend(mailbox.due_at.map(|at| Action::delete(mailbox.due_row(tenant, at).key())));
        actions.push(Action::Update {
            key: self.route_of(tenant, mailbox),
            update: Change { expression: "REMOVE watched_until".to_owned(), values: Vec::new() },
            condition: Some(Condition::PRESENT),
        });
        actions.push(self.ledger_action(&Entry::new(now, tenant, What::MailboxLost, "google"))?);
        Ok(self.transact(actions).await?.is_ok())
    }

    /// The merchant ends a mailbox: nothing is read or sent by it from here on. Its end, and what came in by it, is
    /// [`Store::forget_mailbox`]'s, asked for by a due row and by whoever called. `false` when there is none.
    pub async fn end_mailbox(&self, installation: &Installation, reference: &RecordRef) -> Result<bool> {
        let tenant = &installation.tenant;
        for _ in 0..ATTEMPTS {
            let Some(mailbox) = self.mailbox(installation, reference).await? else { return Ok(false) };
            if mailbox.state == MailboxState::Ending {
                return Ok(true);
            }
            let mut actions = self.ending(tenant, &mailbox);
            let entry = Entry::new(self.now(), tenant, What::MailboxDisconnected, "merchant");
            actions.push(self.ledger_action(&entry)?);
            if self.transact(actions).await?.is_ok() {
                return Ok(true);
            }
        }
        Err(StoreError::Contended("a mailbox"))
    }

    /// The actions that mark a mailbox as ending, with the due row that makes sure of it.
    pub(crate) fn ending(&self, tenant: &Tenant, mailbox: &Mailbox) -> Vec<Action> {
        let due_at = self.now() + RESEND_AFTER;
        let mut actions = vec![Action::Update {
            key: mailbox.key(tenant),
            update: Change {
                expression: "SET phase = :ending, due_at = :due".to_owned(),
                values: vec![
                    (":ending", text(MailboxState::Ending.name())),
                    (":due", number(due_at.millis())),
                ],
            },
            condition: Some(Condition {
                expression: "phase <> :ending AND connected_at = :seen",
                values: vec![(":seen", number(mailbox.connected_at.millis()))],
            }),
        }];
        // A row that stood before finds the mailbox ending, too, and ends with it.
        actions.push(due::put(&mailbox.due_row(tenant, due_at)));
        actions
    }

    /// Lets every mailbox be read again from then on: what was refused since is missing. One that Google does not let us
    /// read is, once it is connected again.
    ///
    /// # Errors
    /// Contended while somebody has a mailbox's lease: what he writes would take the place of this.
    pub(crate) async fn read_mailboxes_again(
        &self,
        installation: &Installation,
        since: Timestamp,
    ) -> Result<()> {
        let tenant = &installation.tenant;
        for mailbox in self.mailboxes(installation).await? {
            let under_way = mailbox.full_sync.as_ref();
            // Without a cursor the first reading is under way. It begins again: what it refused stands on a page that it
            // passed.
            let cursor = mailbox.cursor.or(under_way.map(|full| full.cursor));
            let Some(cursor) = cursor.filter(|_| mailbox.state != MailboxState::Ending) else { continue };
            let since = under_way.map_or(since, |full| full.since.min(since));
            let key = mailbox.key(tenant);
            let full = FullSync { cursor, since, page: None };
            let sealed = seal_part(&key, FULL_SYNC, &installation.keys, &full, &*self.entropy)?;
            let condition = Condition {
                expression: "phase = :seen AND (attribute_not_exists(leased_until) OR leased_until <= :at)",
                values: vec![(":seen", text(mailbox.state.name())), (":at", number(self.now().millis()))],
            };
            let mut update =
                Change { expression: format!("SET {FULL_SYNC} = :full"), values: vec![(":full", sealed)] };
            let mut more = Vec::new();
            if mailbox.state == MailboxState::Connected {
                let due_at = self.now() + RESEND_AFTER;
                let next = mailbox.due_row(tenant, due_at);
                let before = mailbox.due_at.map(|at| mailbox.due_row(tenant, at).key());
                more.extend(before.filter(|before| *before != next.key()).map(Action::delete));
                more.push(due::put(&next));
                update.expression.push_str(", due_at = :due");
                update.values.push((":due", number(due_at.millis())));
            }
            let mut actions = vec![Action::Update { key, update, condition: Some(condition) }];
            actions.append(&mut more);
            self.transact_unrecorded(Unrecorded::Bookkeeping, actions)
                .await?
                .map_err(|_| StoreError::Contended("a mailbox"))?;
        }
        Ok(())
    }

    /// Deletes every conversation that came in by a mailbox that is ending, or whose installation ended, and then the
    /// mailbox, with an entry that counts them. `false` when time ran out first.
    ///
    /// # Errors
    /// Contended when the mailbox was connected again meanwhile.
    pub async fn forget_mailbox(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let (tenant, key) = (&installation.tenant, mailbox.key(&installation.tenant));
        let latest = self.get(&key).await?;
        let Some(latest) = latest.map(|latest| Mailbox::read(installation, &latest)).transpose()? else {
            return Ok(true);
        };
        if latest.state != MailboxState::Ending {
            return Err(StoreError::Contended("a mailbox"));
        }
        for bucket in 0..BUCKETS {
            let partition = keyspace::bucket_partition(tenant, Kind::Thread, bucket);
            let mut query = Query::of(Table::Data, &partition);
            query.expired = crate::store::Expired::Too;
            loop {
                let (page, more) = self.query(query.clone()).await?;
                for stored in page {
                    if stored.optional_text("mailbox") != Some(mailbox.reference.id()) {
                        continue;
                    }
                    if !time_left() {
                        return Ok(false);
                    }
                    let thread = RecordRef::new(Kind::Thread, stored.text("sk")?.to_owned());
                    let why = For::Ending(&latest);
                    if self.cut_thread(installation, &thread, Timestamp(i64::MAX), why).await?
                        == Cut::Overtaken
                    {
                        return Ok(false);
                    }
                }
                match more {
                    Some(page) => query.after = Some(page),
                    None => break,
                }
            }
        }
        // Nothing is left that could count more.
        let Some(counted) = self.get(&key).await? else { return Ok(true) };
        let mut entry = Entry::new(self.now(), tenant, What::MailboxForgotten, "ended");
        entry.counts = FORGOTTEN
            .iter()
            .filter_map(|(kind, name, _)| Some((*kind, counted.optional_number(name)?)))
            .filter_map(|(kind, count)| Some((kind.name().to_owned(), u64::try_from(count).ok()?)))
            .collect();
        let mut actions =
            vec![Action::Delete { key, condition: Some(ending()) }, self.ledger_action(&entry)?];
        actions.push(Action::delete(self.route_of(tenant, &latest)));
        actions.extend(latest.due_at.map(|at| Action::delete(latest.due_row(tenant, at).key())));
        actions.push(purge::not_begun(tenant));
        self.transact(actions).await?.map_err(|_| StoreError::Contended("a mailbox"))?;
        Ok(true)
    }
}

/// That the app is installed.
fn installed(tenant: &Tenant) -> Action {
    Action::Check { key: keyspace::shop(tenant), condition: Condition::phase("installed") }
}

impl MailboxRoute {
    fn read(stored: &Stored) -> Result<Self> {
        let corrupt = || StoreError::Corrupt("the row of a mailbox");
        let mut parts = stored.text("sk")?.split('#').skip(1);
        let (shop, generation, id) = (parts.next(), parts.next(), parts.next());
        let (Some(shop), Some(generation), Some(id)) = (shop, generation, id) else { return Err(corrupt()) };
        Ok(Self {
            tenant: crate::reconcile::tenant(&format!("{shop}#{generation}"))?,
            mailbox: RecordRef::new(Kind::Mailbox, id.to_owned()),
            watched_until: stored.optional_number("watched_until").map(Timestamp),
            read_at: stored.optional_number("read_at").map(Timestamp),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_state_has_one_spelling() {
        let good = format!("{}-{:015}-{}", "0".repeat(32), 1_795_190_400_000_i64, "b".repeat(SECRET));
        assert_eq!(State::read(&good).unwrap().write(), good);
        for bad in [
            good.replacen("-0017", "-017", 1),
            good.replacen("-0017", "-+017", 1),
            format!("{good}-"),
            good[..good.len() - 1].to_owned(),
        ] {
            assert!(State::read(&bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_another_state(text in "\\PC{0,150}|[0-9a-f-]{110,120}") {
            prop_assert!(State::read(&text).is_none_or(|state| state.write() == text));
        }
    }
}
