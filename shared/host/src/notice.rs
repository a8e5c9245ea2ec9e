//! What is asked of `notify-merchant`: references to what happened to a case. What is done about it is the function's:
//! it looks at the case as it stands, so a message that comes twice, late or out of order does no harm.

use serde::{Deserialize, Serialize};
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;
use storeward_store::RecordRef;

/// A message to `notify-merchant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whose case.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// The case; for a digest the record that lists its cases.
    pub case: RecordRef,
    /// What happened.
    pub what: Happened,
}

/// What happened that a merchant's shop or mailbox is to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// Orders joined a case; it may be new, or open again after a decision.
    Opened {
        /// The orders that joined.
        newcomers: Vec<RecordRef>,
    },
    /// The merchant decided on the case, or there is nothing left to decide: what was held for it is let go.
    Decided,
    /// The hour of a digest has come.
    Digest {
        /// Where the due row stands that ends with it.
        due_at: Timestamp,
    },
}
