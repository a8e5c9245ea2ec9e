//! Mails as they come in: each is stored once, in its conversation, whatever order they come in. Tombstones and limits of
//! everyone they name are checked in the transaction that stores them.

use std::collections::BTreeSet;

use storeward_core::mail::Incoming;
use storeward_core::time::Timestamp;

use crate::error::{Result, StoreError};
use crate::keyspace::RecordRef;
use crate::mailboxes::Mailbox;
use crate::store::Store;
use crate::tenants::Installation;

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

impl Store {
    /// Which of these mails of a mailbox are stored, by Gmail's ids.
    pub async fn known_mails(
        &self,
        _installation: &Installation,
        _mailbox: &Mailbox,
        _provider_ids: &[String],
    ) -> Result<BTreeSet<String>> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Stores a mail. What the shop wrote withdraws drafts that nobody edited, unless it is such a draft coming back.
    pub async fn take_mail(
        &self,
        _installation: &Installation,
        _mailbox: &Mailbox,
        _arrived: ArrivedMail,
    ) -> Result<Arrival> {
        Err(StoreError::Corrupt("not built yet"))
    }
}
