//! A shop's cases by their time, the latest first, page by page. Each case has one index row, written and deleted with
//! it; a page costs as many requests in a large shop as in a small one.

use std::collections::HashMap;

use storeward_core::data_map::{Kind, Purpose, Table};
use storeward_core::retention;
use storeward_core::shop::Tenant;
use storeward_core::time::{DAY, Timestamp};

use crate::cases::{Case, CaseState};
use crate::error::{Result, StoreError};
use crate::item::Item;
use crate::keyspace::{self, Key, RecordRef};
use crate::statistics::{month, months_back};
use crate::store::{Action, Expired, Query, Range, Store};
use crate::tenants::Installation;

/// How many index rows one request looks at for cases of a state: a page can be short, and still have a next one.
const LOOKED_AT: usize = 1000;

/// Which cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseFilter {
    /// Those in this state; all when absent.
    pub state: Option<CaseState>,
    /// Those opened at or after this.
    pub since: Option<Timestamp>,
    /// Those opened at or before this.
    pub until: Option<Timestamp>,
}

/// A page of cases.
#[derive(Clone, Debug)]
pub struct CasePage {
    /// The cases, the latest first.
    pub cases: Vec<Case>,
    /// What to ask for the next page with; `None` at the end.
    pub next: Option<String>,
}

impl Case {
    /// The time the case is listed under; of an anonymised one the end of its day.
    fn listed_at(&self) -> Timestamp {
        match self.state {
            CaseState::Anonymised => end_of_day(&self.opened).unwrap_or(self.opened_at),
            _ => self.opened_at,
        }
    }

    /// The key of its row in the list; a merged case has none.
    pub(crate) fn index_key(&self, tenant: &Tenant) -> Option<Key> {
        let listed = self.state != CaseState::Merged;
        listed.then(|| keyspace::case_index(tenant, self.listed_at(), &self.reference))
    }
}

/// The row of a case that is listed under `at`.
/// `ends` is when the case ends as it is stored.
pub(crate) fn index_row(tenant: &Tenant, at: Timestamp, reference: &RecordRef, ends: Option<i64>) -> Action {
    let row = Item::new(keyspace::case_index(tenant, at, reference)).expiring_with(Kind::Case, at);
    Action::put(row.not_after(ends))
}

/// The last second of a day.
pub(crate) fn end_of_day(day: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&format!("{day}T23:59:59Z"))
}

/// Where a page ended: what the sort keys of index rows begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) at: Timestamp,
    pub(crate) id: String,
}

impl Position {
    pub(crate) fn read(sort: &str) -> Option<Self> {
        let (at, id) = sort.split_once('#')?;
        Some(Self { at: Timestamp(at.parse().ok()?), id: id.to_owned() })
    }

    pub(crate) fn sort(&self) -> String {
        format!("{}#{}", keyspace::sortable(self.at), self.id)
    }

    /// The cursor: the position and a keyed hash of it and of the question, under the installation's own key. It cannot
    /// be made up, and does not fit another shop or another question.
    pub(crate) fn seal(&self, installation: &Installation, filter: &impl std::fmt::Debug) -> String {
        let position = format!("{:016x}{}", self.at.millis(), self.id);
        let tag = installation.keys.blind(Purpose::Operation, "cursor", &format!("{position}|{filter:?}"));
        format!("{position}{tag}")
    }

    pub(crate) fn open(
        installation: &Installation,
        filter: &impl std::fmt::Debug,
        cursor: &str,
    ) -> Option<Self> {
        if cursor.len() != 80 || !cursor.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let at = Timestamp(i64::from_str_radix(&cursor[..16], 16).ok()?);
        let position = Self { at, id: cursor[16..48].to_owned() };
        (position.seal(installation, filter) == cursor).then_some(position)
    }
}

impl Store {
    /// One page of at most `limit` cases, the latest first. `None` when the cursor is not one that was given for this
    /// very question. A case that is there the whole time is on exactly one page, whatever else comes and goes.
    pub async fn list_cases(
        &self,
        installation: &Installation,
        filter: &CaseFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Option<CasePage>> {
        let after = match cursor {
            None => None,
            Some(cursor) => match Position::open(installation, filter, cursor) {
                None => return Ok(None),
                position => position,
            },
        };
        // Nothing was opened before the installation, and what is older than a case's life has expired.
        let longest = retention::bound(Kind::Case);
        let oldest = longest.map_or(Timestamp(0), |life| self.now() - life - DAY);
        let oldest =
            oldest.max(installation.tenant.generation.since() - DAY).max(filter.since.unwrap_or_default());
        // An anonymised case is listed at the end of its day.
        let newest = filter.until.unwrap_or(self.now() + DAY);
        let from = after.as_ref().map_or(newest, |position| position.at);
        let mut page = CasePage { cases: Vec::new(), next: None };
        if from < oldest {
            return Ok(Some(page));
        }
        let high = after.as_ref().map_or_else(|| format!("{}$", keyspace::sortable(newest)), Position::sort);
        let (mut looked_at, mut last) = (0, after);
        for month in months_back(from).take_while(|this| *this >= month(oldest)) {
            let partition = keyspace::case_index_partition(&installation.tenant, &month);
            let mut query = Query::of(Table::Data, &partition);
            query.range = Range::Between(keyspace::sortable(oldest), high.clone());
            query.newest_first = true;
            if filter.state.is_none() {
                // The row that the page before ended with, and one more to see whether there are more.
                query.limit = i32::try_from(limit + 2).unwrap_or(i32::MAX);
            }
            loop {
                let (rows, more) = self.query(query.clone()).await?;
                let mut positions = Vec::new();
                for row in &rows {
                    let position =
                        Position::read(row.text("sk")?).ok_or(StoreError::Corrupt("a case's row"))?;
                    // The range ends with the row that the page before ended with.
                    if last.as_ref() != Some(&position) {
                        positions.push(position);
                    }
                }
                let mut cases = self.listed(installation, &positions).await?;
                for position in positions {
                    if page.cases.len() >= limit || looked_at >= LOOKED_AT {
                        page.next = last.map(|last| last.seal(installation, filter));
                        return Ok(Some(page));
                    }
                    looked_at += 1;
                    let case = cases.remove(&position.id);
                    let wanted = |case: &Case| filter.state.is_none_or(|state| case.state == state);
                    page.cases.extend(case.filter(wanted));
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

    /// The cases at these positions, by id.
    async fn listed(
        &self,
        installation: &Installation,
        positions: &[Position],
    ) -> Result<HashMap<String, Case>> {
        let keys: Vec<Key> = positions
            .iter()
            .map(|position| RecordRef::new(Kind::Case, position.id.clone()))
            .map(|reference| keyspace::record(&installation.tenant, &reference))
            .collect();
        let found = self.batch_get(Table::Data, &keys, Expired::Gone).await?;
        let cases = found.iter().map(|stored| {
            let case = Self::read_case(installation, stored)?;
            Ok((case.reference.id().to_owned(), case))
        });
        cases.collect()
    }
}
