//! The ledger and the access log of a shop by their time, the latest first, page by page. They lie in a partition for each
//! day, so a page goes from day to day; how they are written is the ledger's.

use serde::de::DeserializeOwned;
use storeward_core::data_map::{Kind, Table};
use storeward_core::retention;
use storeward_core::shop::{Generation, ShopId};
use storeward_core::time::{DAY, Timestamp};

use crate::error::{Result, StoreError};
use crate::keyspace;
use crate::ledger::{AccessEntry, Entry};
use crate::store::{Query, Range, Store};

/// How many entries one request looks at for those that are asked for: a page can be short, and still have a next one.
const LOOKED_AT: usize = 1000;

/// How many days one request looks at, each a query: the whole access log, and a quarter of a year of a ledger in which
/// nothing happened.
const DAYS: u32 = 92;

/// What of a log is asked for, the latest first.
#[derive(Clone, Copy, Debug)]
pub struct LogRange<'a> {
    /// From when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Only what is about this installation, or about none in particular. The access log does not tell installations apart.
    pub generation: Option<Generation>,
    /// After which entry to go on: the `next` of the page before.
    pub before: Option<&'a str>,
    /// At most this many.
    pub limit: usize,
}

impl LogRange<'_> {
    /// How far back the access log goes.
    #[must_use]
    pub fn oldest_access(now: Timestamp) -> Timestamp {
        now - retention::bound(Kind::Access).unwrap_or_default()
    }

    /// Whether a text can be the `next` of a page: milliseconds and an id. Whoever makes one up names another place in the same
    /// log, which they may ask for by its time as well: hence no key is in it, as there is in the cursors of records.
    #[must_use]
    pub fn is_cursor(text: &str) -> bool {
        text.split_once('-').is_some_and(|(at, id)| {
            let hexadecimal = id.bytes().all(|byte| byte.is_ascii_hexdigit());
            at.len() == 15 && at.bytes().all(|byte| byte.is_ascii_digit()) && id.len() == 32 && hexadecimal
        })
    }
}

/// A page of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries. There can be fewer than were asked for, or none, where there is a next page.
    pub entries: Vec<T>,
    /// Where the next page goes on, when there is one.
    pub next: Option<String>,
}

/// The last moment of the day of `time`, as the cursor that is before all of it.
fn end_of_day(time: Timestamp) -> String {
    let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    let last = Timestamp(time.millis() - time.millis().rem_euclid(day) + day - 1);
    format!("{}-{}", keyspace::sortable(last), "f".repeat(32))
}

impl Store {
    /// A page of a shop's audit trail.
    pub async fn audit_trail(&self, shop: &ShopId, asked: &LogRange<'_>) -> Result<Page<Entry>> {
        let wanted = |entry: &Entry| {
            asked.generation.is_none() || entry.generation.is_none() || entry.generation == asked.generation
        };
        self.page(shop, asked, keyspace::ledger_partition, wanted).await
    }

    /// A page of a shop's access log.
    pub async fn access_log(&self, shop: &ShopId, asked: &LogRange<'_>) -> Result<Page<AccessEntry>> {
        self.page(shop, asked, keyspace::access_partition, |_| true).await
    }

    /// Goes from day to day until the page is full or the time asked for is over. An entry that is there the whole time is on
    /// exactly one page, whatever else is written.
    async fn page<T: DeserializeOwned>(
        &self,
        shop: &ShopId,
        asked: &LogRange<'_>,
        partition_of: fn(&str, &ShopId) -> String,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Page<T>> {
        let mut page = Page { entries: Vec::new(), next: None };
        let at = asked.before.and_then(|cursor| cursor.split('-').next()?.parse().ok().map(Timestamp));
        let mut day = at.map_or(asked.until, |at| at.min(asked.until));
        if day < asked.since {
            return Ok(page);
        }
        let before = asked.before.map(|cursor| format!("{shop}#{}", cursor.replace('-', "#")));
        let low = format!("{shop}#{}", keyspace::sortable(asked.since));
        let high = format!("{shop}#{}$", keyspace::sortable(asked.until));
        let high = before.clone().map_or(high.clone(), |before| before.min(high));
        let (mut last, mut looked_at) = (asked.before.map(str::to_owned), 0);
        for _ in 0..DAYS {
            let partition = partition_of(&day.day(), shop);
            let mut query = Query::of(Table::Ledger, &partition);
            query.range = Range::Between(low.clone(), high.clone());
            query.newest_first = true;
            // The entry that the page before ended with, and one more to see whether there are more.
            query.limit = i32::try_from(asked.limit + 2).unwrap_or(i32::MAX);
            loop {
                let (items, more) = self.query(query.clone()).await?;
                for item in &items {
                    let name = item.text("sk")?;
                    if before.as_deref() == Some(name) {
                        continue;
                    }
                    if page.entries.len() >= asked.limit || looked_at >= LOOKED_AT {
                        page.next = last;
                        return Ok(page);
                    }
                    looked_at += 1;
                    let entry = serde_json::from_str(item.text("entry")?);
                    let entry = entry.map_err(|_| StoreError::Corrupt("an entry of a log"))?;
                    if wanted(&entry) {
                        page.entries.push(entry);
                    }
                    last = name.split_once('#').map(|(_, rest)| rest.replace('#', "-"));
                }
                if more.is_none() {
                    break;
                }
                query.after = more;
            }
            if day.day() <= asked.since.day() {
                return Ok(page);
            }
            day = day - DAY;
        }
        page.next = Some(end_of_day(day));
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_day_is_a_cursor_of_that_day_and_of_its_last_moment() {
        for time in ["2026-11-20T00:00:00Z", "2026-11-20T16:00:00Z", "2026-11-20T23:59:59Z"] {
            let cursor = end_of_day(Timestamp::parse_rfc3339(time).unwrap());
            assert!(LogRange::is_cursor(&cursor), "{cursor}");
            let at = Timestamp(cursor[..15].parse().unwrap());
            assert_eq!(
                (at.day().as_str(), (at + std::time::Duration::from_millis(1)).day().as_str()),
                ("2026-11-20", "2026-11-21")
            );
        }
    }

    #[test]
    fn what_is_no_cursor_is_told_apart() {
        for odd in [
            "",
            "-",
            "000001795190400000",
            "0001795190400000-",
            &format!("00179519040000-{}", "0".repeat(32)),
            "é",
        ] {
            assert!(!LogRange::is_cursor(odd), "{odd}");
        }
    }
}
