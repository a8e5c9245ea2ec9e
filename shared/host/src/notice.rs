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
    /// The case; for a digest the record that lists its cases; for what is about the shop as a whole, the shop's row.
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
