//! The mailboxes of a shop: connected by consent, read under a lease, and forgotten with everything that came in by them.
//! What Google is asked, and when, is the functions'.

use serde::{Deserialize, Serialize};
use storeward_core::personal::Personal;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::acting::By;
use crate::error::{Result, StoreError};
use crate::keyspace::RecordRef;
use crate::store::Store;
use crate::tenants::Installation;

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

impl Store {
    /// Remembers that whoever acts is about to connect a mailbox. Gives the `state` that Google hands back: it names the
    /// attempt, and is worth nothing after an hour or once it was used.
    pub async fn begin_connecting(
        &self,
        _installation: &Installation,
        _verifier: &Personal<String>,
    ) -> Result<String> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// The attempt that a `state` names. `None` for whatever is none that may go on.
    pub async fn connecting(&self, _state: &str) -> Result<Option<(Installation, Attempt)>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Connects the mailbox with that address, new or again, and ends the attempt. A new one is to be read from
    /// `first_days` back, and `cursor` is the history id from before that reading.
    pub async fn connect_mailbox(
        &self,
        _installation: &Installation,
        _attempt: &Attempt,
        _address: &Personal<String>,
        _tokens: &MailTokens,
        _cursor: u64,
        _first_days: u32,
    ) -> Result<Connecting> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// A mailbox, also of an installation that ended.
    pub async fn mailbox(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
    ) -> Result<Option<Mailbox>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Every mailbox of a shop, the first connected first; also of an installation that ended.
    pub async fn mailboxes(&self, _installation: &Installation) -> Result<Vec<Mailbox>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Whose the mailbox with that address is: of each installation that connected it.
    pub async fn mailbox_routes(&self, _address: &str) -> Result<Vec<MailboxRoute>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Every mailbox of the deployment.
    pub async fn all_mailbox_routes(&self) -> Result<Vec<MailboxRoute>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Takes a mailbox for oneself until then.
    pub async fn lease_mailbox(
        &self,
        _installation: &Installation,
        _reference: &RecordRef,
        _until: Timestamp,
    ) -> Result<Lease> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Gives a lease back early. One that was lost meanwhile is nothing to give back.
    pub async fn release_mailbox(&self, _installation: &Installation, _mailbox: &Mailbox) -> Result<()> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Replaces the tokens by those they were renewed to. `false` when the lease was lost.
    pub async fn keep_mail_tokens(
        &self,
        _installation: &Installation,
        _mailbox: &Mailbox,
        _tokens: &MailTokens,
    ) -> Result<bool> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Remembers how far it was read. It only moves forward; what failed before is forgiven. `false` when the lease was
    /// lost.
    pub async fn mailbox_read(
        &self,
        _installation: &Installation,
        _mailbox: &Mailbox,
        _progress: Progress,
    ) -> Result<bool> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Remembers until when Gmail tells of new mail. `false` when the lease was lost.
    pub async fn mailbox_watched(
        &self,
        _installation: &Installation,
        _mailbox: &Mailbox,
        _until: Timestamp,
    ) -> Result<bool> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Leaves a mailbox alone until then, because Gmail wants it so or something failed: one more failure.
    pub async fn leave_mailbox_alone(
        &self,
        _installation: &Installation,
        _mailbox: &Mailbox,
        _until: Timestamp,
    ) -> Result<()> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Google refuses the tokens for good: they are forgotten. `false` when the lease was lost, or it was not connected.
    pub async fn mailbox_lost(&self, _installation: &Installation, _mailbox: &Mailbox) -> Result<bool> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// The merchant ends a mailbox: nothing is read or sent by it from here on. Its end, and what came in by it, is
    /// [`Store::forget_mailbox`]'s, asked for by a due row and by whoever called. `false` when there is none.
    pub async fn end_mailbox(&self, _installation: &Installation, _reference: &RecordRef) -> Result<bool> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Deletes every conversation that came in by a mailbox that is ending, or whose installation ended, and then the
    /// mailbox. `false` when time ran out first.
    pub async fn forget_mailbox(
        &self,
        _installation: &Installation,
        _mailbox: &Mailbox,
        _time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        Err(StoreError::Corrupt("not built yet"))
    }
}
