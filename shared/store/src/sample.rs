//! A look at the orders that are stored already, bounded in what it reads: what a merchant tries a setting on.

use futures::future::try_join_all;
use storeward_core::data_map::{Kind, Table};
use storeward_core::matching::Side;
use storeward_core::order::Order;
use storeward_core::time::Timestamp;

use crate::error::Result;
use crate::keyspace;
use crate::orders::{OrderRecord, is_limited};
use crate::store::{Query, Store};
use crate::tenants::Installation;

/// How many orders of each of the 16 partitions are read at once.
const AT_ONCE: i32 = 100;

/// How many orders are read in all before the latest of them are chosen.
const READ: usize = 8000;

/// Some of a shop's orders.
#[derive(Debug)]
pub struct Sample {
    /// The orders, the earliest first.
    pub orders: Vec<Order>,
    /// The same as they are compared, with what was in their carts where that is still known.
    pub sides: Vec<Side>,
    /// Whether these are all there are since the asked time; otherwise the shop has more, and the figures are of these.
    pub complete: bool,
}

impl Store {
    /// The latest `limit` orders placed since `since`. `time_left` is asked between requests; when it says no, or when
    /// the shop has very many, the rest is left out and the sample says so.
    pub async fn sample(
        &self,
        installation: &Installation,
        since: Timestamp,
        limit: usize,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<Sample> {
        let mut complete = true;
        let partitions: Vec<String> = (0..keyspace::BUCKETS)
            .map(|bucket| keyspace::bucket_partition(&installation.tenant, Kind::Order, bucket))
            .collect();
        let mut waiting: Vec<Query<'_>> = partitions
            .iter()
            .map(|partition| Query { limit: AT_ONCE, ..Query::of(Table::Data, partition) })
            .collect();
        let (mut found, mut read) = (Vec::new(), 0);
        while !waiting.is_empty() {
            if read >= READ || !time_left() {
                complete = false;
                break;
            }
            let pages = try_join_all(waiting.iter().map(|query| self.query(query.clone()))).await?;
            let mut next = Vec::new();
            for (query, (items, more)) in waiting.into_iter().zip(pages) {
                read += items.len();
                // The open time first: only what is chosen in the end is opened.
                for item in items {
                    let placed = item.time("created_at")?;
                    if placed >= since && !is_limited(&item) {
                        found.push((placed, item));
                    }
                }
                next.extend(more.map(|page| Query { after: Some(page), ..query }));
            }
            waiting = next;
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        complete &= found.len() <= limit;
        found.truncate(limit);
        let opened: Vec<OrderRecord> = found
            .iter()
            .rev()
            .map(|(_, item)| Self::read_order(installation, item))
            .collect::<Result<_>>()?;
        let mut carts = self.carts(installation, &opened).await?;
        let sides = opened
            .iter()
            .map(|record| Side::of(&record.order, carts.remove(&record.reference).unwrap_or_default()))
            .collect();
        Ok(Sample { orders: opened.into_iter().map(|record| record.order).collect(), sides, complete })
    }
}
