//! A shop's rights requests by the time they came, the latest first, page by page. Each has one index row, written with it
//! and ending with it.

use std::collections::HashMap;

use storeward_core::data_map::{Kind, Table};
use storeward_core::retention;
use storeward_core::rights::RightsState;
use storeward_core::time::DAY;

use crate::case_list::Position;
use crate::error::{Result, StoreError};
use crate::keyspace::{self, Key, RecordRef};
use crate::requests::{Asked, read};
use crate::statistics::{month, months_back};
use crate::store::{Expired, Query, Range, Store};
use crate::tenants::Installation;

/// How many index rows one request looks at for requests of a state: a page can be short, and still have a next one.
const LOOKED_AT: usize = 1000;

/// Which requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Those in this state; all when absent.
    pub state: Option<RightsState>,
}

/// A page of requests.
#[derive(Clone, Debug)]
pub struct RequestPage {
    /// The requests, the latest first.
    pub requests: Vec<Asked>,
    /// What to ask for the next page with; `None` at the end.
    pub next: Option<String>,
}

impl Store {
    /// One page of at most `limit` requests, the latest first. `None` when the cursor is not one that was given for this
    /// very question.
    pub async fn list_requests(
        &self,
        installation: &Installation,
        filter: &RequestFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Option<RequestPage>> {
        let mut last = match cursor {
            None => None,
            Some(cursor) => match Position::open(installation, filter, cursor) {
                None => return Ok(None),
                position => position,
            },
        };
        let life = retention::bound(Kind::Request).unwrap_or_default();
        let oldest = self.now() - life - DAY;
        let oldest = oldest.max(installation.tenant.generation.since() - DAY);
        let newest = last.as_ref().map_or(self.now(), |position| position.at);
        let high = last.as_ref().map_or_else(|| format!("{}$", keyspace::sortable(newest)), Position::sort);
        let mut page = RequestPage { requests: Vec::new(), next: None };
        let mut looked_at = 0;
        for month in months_back(newest).take_while(|this| *this >= month(oldest)) {
            let partition = keyspace::request_index_partition(&installation.tenant, &month);
            let mut query = Query::of(Table::Data, &partition);
            query.range = Range::Between(keyspace::sortable(oldest), high.clone());
            query.newest_first = true;
            loop {
                let (rows, more) = self.query(query.clone()).await?;
                let positions = rows
                    .iter()
                    .map(|row| Position::read(row.text("sk")?).ok_or(StoreError::Corrupt("a request's row")));
                // The range ends with the row that the page before ended with.
                let positions: Vec<Position> = positions
                    .filter(|position| !matches!((position, &last), (Ok(here), Some(last)) if here == last))
                    .collect::<Result<_>>()?;
                let mut found = self.requests_at(installation, &positions).await?;
                for position in positions {
                    if page.requests.len() >= limit || looked_at >= LOOKED_AT {
                        page.next = last.map(|last| last.seal(installation, filter));
                        return Ok(Some(page));
                    }
                    looked_at += 1;
                    let asked = found.remove(&position.id);
                    let wanted = |asked: &Asked| filter.state.is_none_or(|state| asked.state == state);
                    page.requests.extend(asked.filter(wanted));
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

    /// The requests at these positions, by id.
    async fn requests_at(
        &self,
        installation: &Installation,
        positions: &[Position],
    ) -> Result<HashMap<String, Asked>> {
        let keys: Vec<Key> = positions
            .iter()
            .map(|position| RecordRef::new(Kind::Request, position.id.clone()))
            .map(|reference| keyspace::record(&installation.tenant, &reference))
            .collect();
        let found = self.batch_get(Table::Data, &keys, Expired::Gone).await?;
        found
            .iter()
            .map(|stored| read(stored).map(|asked| (asked.reference.id().to_owned(), asked)))
            .collect()
    }
}
