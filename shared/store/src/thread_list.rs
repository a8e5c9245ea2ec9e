//! A shop's conversations by the time of their latest mail, the latest first, page by page. Each has one index row, which
//! moves with its latest mail.

use storeward_core::intent::Intent;
use storeward_core::time::Timestamp;

use crate::error::{Result, StoreError};
use crate::keyspace::RecordRef;
use crate::store::Store;
use crate::tenants::Installation;
use crate::threads::{Thread, ThreadState};

/// Which conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadFilter {
    /// Those in this state; all when absent.
    pub state: Option<ThreadState>,
    /// Those whose latest understood mail is about this.
    pub intent: Option<Intent>,
    /// Those of this mailbox.
    pub mailbox: Option<RecordRef>,
    /// Those that are called so.
    pub label: Option<String>,
    /// Those that somebody has to look at, or need not.
    pub escalated: Option<bool>,
    /// Those whose latest mail came at or after this.
    pub since: Option<Timestamp>,
    /// Those whose latest mail came at or before this.
    pub until: Option<Timestamp>,
}

/// A page of conversations.
#[derive(Clone, Debug)]
pub struct ThreadPage {
    /// The conversations, the latest first.
    pub threads: Vec<Thread>,
    /// What to ask for the next page with; `None` at the end.
    pub next: Option<String>,
}

impl Store {
    /// One page of at most `limit` conversations, the latest first. `None` when the cursor is not one that was given for
    /// this very question. Conversations in which somebody limits the use of their data are left out.
    pub async fn threads(
        &self,
        _installation: &Installation,
        _filter: &ThreadFilter,
        _cursor: Option<&str>,
        _limit: usize,
    ) -> Result<Option<ThreadPage>> {
        Err(StoreError::Corrupt("not built yet"))
    }
}
