//! What the functions of the mail desk hand to each other: references, and nothing of what a mail says or who wrote it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;
use storeward_store::RecordRef;

/// What is asked of `sync-mailbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncOrder {
    /// For which installation.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// Which mailbox.
    pub mailbox: RecordRef,
    /// Why.
    pub why: SyncWhy,
}

/// Why a mailbox is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncWhy {
    /// Gmail told of a change.
    Pushed {
        /// The history id it told: what is read up to there already is not read again.
        history_id: u64,
    },
    /// It was just connected: it is to be watched, and what came in the last days is to be read.
    Connected,
    /// Its watch is to be renewed.
    Renew,
    /// Nothing was heard of it for a while.
    Silent,
    /// An earlier run did not come to the end.
    Again,
    /// It is used no more: the watch is to be stopped, its token revoked, and the mailbox forgotten.
    Ended,
}

/// What is asked of `classify-email` and `draft-reply`, by a mail, and of `send-reply`, by a draft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskTask {
    /// For which installation.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// The mail or the draft.
    pub record: RecordRef,
    /// Where the due row stands that ends with it: should the message be lost, the sweep sends another.
    pub due_at: Timestamp,
    /// How often it was put off, because something that it needs was not to be had.
    #[serde(default, skip_serializing_if = "is_first")]
    pub tries: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_first(tries: &u8) -> bool {
    *tries == 0
}

/// How often a task of the mail desk waits for what it needs before it does without: about ten minutes in all, which a
/// customer does not notice and an overload rarely outlasts.
const PATIENCE: u8 = 4;

/// How long it waits the first time; twice as long every time after.
const FIRST_WAIT: Duration = Duration::from_secs(45);

impl DeskTask {
    /// A task that is done for the first time.
    #[must_use]
    pub const fn new(tenant: Tenant, record: RecordRef, due_at: Timestamp) -> Self {
        Self { tenant, record, due_at, tries: 0 }
    }

    /// The same task, to be done later, and after how long; `None` when it waited long enough and does without.
    #[must_use]
    pub fn later(&self) -> Option<(Self, Duration)> {
        (self.tries < PATIENCE).then(|| {
            (Self { tries: self.tries + 1, ..self.clone() }, FIRST_WAIT * 2u32.pow(self.tries.into()))
        })
    }
}
