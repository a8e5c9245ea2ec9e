//! A shop's conversations by the time of their latest mail, the latest first, page by page. Each has one index row, which
//! moves with its latest mail.

use std::collections::HashMap;

use storeward_core::data_map::{Kind, Table};
use storeward_core::intent::Intent;
use storeward_core::retention;
use storeward_core::time::{DAY, Timestamp};

use crate::case_list::Position;
use crate::error::{Result, StoreError};
use crate::keyspace::{self, Key, RecordRef};
use crate::statistics::{month, months_back};
use crate::store::{Expired, Query, Range, Store};
use crate::tenants::Installation;
use crate::threads::{Thread, ThreadRecord, ThreadState};

/// How many index rows one request looks at for conversations that fit: a page can be short, and still have a next one.
const LOOKED_AT: usize = 1000;

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

impl ThreadFilter {
    fn fits(&self, thread: &Thread) -> bool {
        self.state.is_none_or(|state| thread.state == state)
            && self.intent.is_none_or(|intent| thread.intent == Some(intent))
            && self.mailbox.as_ref().is_none_or(|mailbox| thread.mailbox == *mailbox)
            && self.label.as_ref().is_none_or(|label| thread.labels.contains(label))
            && self.escalated.is_none_or(|escalated| thread.escalated == escalated)
    }
}

impl Store {
    /// One page of at most `limit` conversations, the latest first. `None` when the cursor is not one that was given for
    /// this very question. Conversations in which somebody limits the use of their data are left out. One that gets a
    /// mail meanwhile moves to the first page.
    pub async fn threads(
        &self,
        installation: &Installation,
        filter: &ThreadFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Option<ThreadPage>> {
        let after = match cursor {
            None => None,
            Some(cursor) => match Position::open(installation, filter, cursor) {
                None => return Ok(None),
                position => position,
            },
        };
        let now = self.now();
        // What was written before the installation comes in by the first reading; what is older than a conversation's life
        // has expired.
        let longest = retention::bound(Kind::Thread);
        let oldest =
            longest.map_or(Timestamp(0), |life| now - life - DAY).max(filter.since.unwrap_or_default());
        let newest = filter.until.unwrap_or(now);
        let from = after.as_ref().map_or(newest, |position| position.at);
        let mut page = ThreadPage { threads: Vec::new(), next: None };
        if from < oldest {
            return Ok(Some(page));
        }
        let high = after.as_ref().map_or_else(|| format!("{}$", keyspace::sortable(newest)), Position::sort);
        let (mut looked_at, mut last) = (0, after);
        for month in months_back(from).take_while(|this| *this >= month(oldest)) {
            let partition = keyspace::thread_index_partition(&installation.tenant, &month);
            let mut query = Query::of(Table::Data, &partition);
            query.range = Range::Between(keyspace::sortable(oldest), high.clone());
            query.newest_first = true;
            loop {
                let (rows, more) = self.query(query.clone()).await?;
                let mut positions = Vec::new();
                for row in &rows {
                    let position = Position::read(row.text("sk")?);
                    let position = position.ok_or(StoreError::Corrupt("a conversation's row"))?;
                    // The range ends with the row that the page before ended with.
                    if last.as_ref() != Some(&position) {
                        positions.push(position);
                    }
                }
                let mut threads = self.threads_at(installation, &positions).await?;
                for position in positions {
                    if page.threads.len() >= limit || looked_at >= LOOKED_AT {
                        page.next = last.map(|last| last.seal(installation, filter));
                        return Ok(Some(page));
                    }
                    looked_at += 1;
                    // One that moved on since the row was read stands further up.
                    let thread = threads.remove(&position.id);
                    let thread =
                        thread.filter(|thread| thread.latest_at == position.at && filter.fits(thread));
                    page.threads.extend(thread);
                    last = Some(position);
                }
                if more.is_none() {
                    break;
                }
                query.after = more;
            }
        }
        Ok(Some(page))
    }

    /// The conversations at these positions that may be used, by id.
    async fn threads_at(
        &self,
        installation: &Installation,
        positions: &[Position],
    ) -> Result<HashMap<String, Thread>> {
        let keys: Vec<Key> = positions
            .iter()
            .map(|position| RecordRef::new(Kind::Thread, position.id.clone()))
            .map(|reference| keyspace::record(&installation.tenant, &reference))
            .collect();
        let mut threads = HashMap::new();
        for stored in self.batch_get(Table::Data, &keys, Expired::Gone).await? {
            let thread = ThreadRecord::read(installation, &stored)?;
            if !thread.limited {
                let id = thread.reference.id().to_owned();
                threads.insert(id, self.show(installation, thread).await?);
            }
        }
        Ok(threads)
    }
}
