//! What is asked of `notify-merchant`: references to what happened to a case, or to the shop. What is done about it is the function's:
//! it looks at the case as it stands, so a message that comes twice, late or out of order does no harm.

use serde::{Deserialize, Serialize};
use storeward_core::data_map::Kind;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;
use storeward_store::{NotARecordRef, RecordRef};

/// A message to `notify-merchant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whose case.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// The case; for a digest the record that lists its cases; for a rights request the request; for a mailbox the
    /// mailbox; for what is about the shop as a whole, the shop's row.
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
    /// A rights request is not finished and due soon, or overdue. The notice names it in place of a case.
    RequestDue {
        /// Which warning: its number of `core::rights`.
        stage: u32,
        /// When the warning was due.
        since: Timestamp,
    },
    /// A person wrote to an operator, and is to prove who they are: a code goes to the address on file. The notice names the
    /// request in place of a case.
    Proof,
    /// The hour of a digest has come.
    Digest {
        /// Where the due row stands that ends with it.
        due_at: Timestamp,
    },
    /// Google does not let us into a mailbox any more. The notice names the mailbox in place of a case.
    MailboxLost {
        /// When it was connected, the last time: what names the loss.
        connected_at: Timestamp,
        /// When that was found out.
        lost_at: Timestamp,
    },
    /// A change of sub-processors was announced.
    ProcessorsAnnounced {
        /// When: what names the announcement.
        announced: Timestamp,
    },
}

impl Notice {
    /// The notice of an announcement for an installation.
    ///
    /// # Errors
    /// Never for a name that the store gave.
    pub fn of_processors(tenant: &Tenant, announced: Timestamp) -> Result<Self, NotARecordRef> {
        let case = format!("{}/{}", Kind::Shop.name(), tenant.shop).parse()?;
        Ok(Self { tenant: tenant.clone(), case, what: Happened::ProcessorsAnnounced { announced } })
    }
}
