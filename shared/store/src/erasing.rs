//! Going through what is about a person and deleting it: page by page, in the order in which nothing is left that leads
//! nowhere. Who asks, when it is done and what the receipt says is `erasure`'s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::future::try_join_all;
use futures::try_join;
use storeward_core::data_map::{Kind, Table};
use storeward_core::time::Timestamp;

use crate::cases::{Case, Member};
use crate::cutting::{Cut, For};
use crate::erasure::{count, tombstone};
use crate::error::{Result, StoreError};
use crate::exceptions;
use crate::item::{Item, Stored};
use crate::keyspace::{self, Key, Place, RecordRef};
use crate::notices;
use crate::orders::OrderRecord;
use crate::purge;
use crate::store::{Action, Change, Condition, Expired, Query, Store, TRANSACTION_ITEMS, Unrecorded};
use crate::tenants::Installation;

/// How often the whole is gone through until nothing is found any more.
const ROUNDS: usize = 5;

/// How many index rows, or named orders, make a page: three of them, with what they lead to, are in memory, and the
/// rows of [`WINDOW`].
const PAGE: usize = 1000;

/// How many index rows are read ahead, so that a page has some of every bucket.
const WINDOW: usize = 16 * PAGE;

/// Batches of index rows that are deleted side by side. A batch spreads over the partitions of its orders' rows, each of
/// which takes 1,000 writes/s.
const BATCHES_AT_ONCE: usize = 6;

/// Whom an erasure is about, by what stands in the store.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// What its progress rows are named by.
    pub(crate) name: String,
    /// What was created up to here is erased.
    pub(crate) received_at: Timestamp,
    /// The partitions of the index rows that lead to the person.
    pub(crate) partitions: BTreeSet<String>,
    /// Orders that were named: they are erased whenever they were created. After a restore conversations, too, of which
    /// something was erased: what came up to then.
    pub(crate) named: BTreeSet<RecordRef>,
}

/// An index row that leads to something about the person.
struct SubjectRow {
    reference: RecordRef,
    case: Option<RecordRef>,
    key: Key,
}

/// A page of what leads to something about the person: index rows, or names.
struct Page {
    rows: Vec<SubjectRow>,
    named: Vec<RecordRef>,
}

/// A page of which the orders are in no case and in no matching row any more.
struct Looked {
    rows: Vec<SubjectRow>,
    threads: BTreeSet<RecordRef>,
    orders: Vec<OrderRecord>,
    /// What stays, or is to be looked at again: the rows that lead to it stay too.
    kept: BTreeSet<RecordRef>,
    found: bool,
}

/// Where pages come from: names, or the index rows of a partition, of which up to [`WINDOW`] are read ahead.
struct Pages<'a> {
    query: Option<Query<'a>>,
    waiting: VecDeque<Page>,
}

impl<'a> Pages<'a> {
    fn named(named: &BTreeSet<RecordRef>) -> Self {
        let named = spread(named.iter().cloned().collect(), RecordRef::bucket);
        let page = |named: &[RecordRef]| Page { rows: Vec::new(), named: named.to_vec() };
        Self { query: None, waiting: named.chunks(PAGE).map(page).collect() }
    }

    /// The index rows of one of the partitions that lead to the person.
    fn of(partition: &'a str) -> Self {
        let mut query = Query::of(Table::Data, partition);
        query.limit = i32::try_from(PAGE).unwrap_or(i32::MAX);
        query.expired = Expired::Too;
        Self { query: Some(query), waiting: VecDeque::new() }
    }

    async fn next(&mut self, store: &Store) -> Result<Option<Page>> {
        let mut rows = Vec::new();
        while self.waiting.is_empty()
            && rows.len() < WINDOW
            && let Some(mut query) = self.query.take()
        {
            let (page, more) = store.query(query.clone()).await?;
            for row in &page {
                rows.push(SubjectRow::read(row)?);
            }
            query.after = more;
            self.query = query.after.is_some().then_some(query);
        }
        let mut rows = spread(rows, |row: &SubjectRow| row.reference.bucket()).into_iter().peekable();
        while rows.peek().is_some() {
            self.waiting.push_back(Page { rows: rows.by_ref().take(PAGE).collect(), named: Vec::new() });
        }
        Ok(self.waiting.pop_front())
    }
}

impl Store {
    /// Erases until a look finds nothing more. `false` when time ran out first.
    pub(crate) async fn erase(
        &self,
        installation: &Installation,
        target: &Target,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        for _ in 0..ROUNDS {
            let begun = [Pages::named(&target.named)];
            let partitions = target.partitions.iter().map(|partition| Pages::of(partition));
            let mut found = false;
            for pages in begun.into_iter().chain(partitions) {
                match Box::pin(self.erase_pages(installation, target, pages, time_left)).await? {
                    Some(any) => found |= any,
                    None => return Ok(false),
                }
            }
            if !found {
                return Ok(true);
            }
        }
        Err(StoreError::Contended("an erasure"))
    }

    /// Erases page by page what is led to, and says whether there was anything; `None` when time ran out first. Three
    /// pages are under way at a time, each in another state: they delete in different partitions, each of which takes
    /// 1,000 writes/s.
    async fn erase_pages(
        &self,
        installation: &Installation,
        target: &Target,
        mut pages: Pages<'_>,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<bool>> {
        let (mut looked, mut last, mut found) = (None, Vec::new(), false);
        loop {
            if !time_left() {
                return Ok(None);
            }
            let look = async {
                match pages.next(self).await? {
                    Some(page) => self.look_through(installation, target, page).await.map(Some),
                    None => Ok(None),
                }
            };
            let erase = async {
                match looked.take() {
                    Some(looked) => self.erase_looked(installation, target, looked).await,
                    None => Ok((false, Vec::new())),
                }
            };
            let rows = self.delete_all(std::mem::take(&mut last), BATCHES_AT_ONCE);
            let (next, (any, led), ()) = try_join!(look, erase, rows)?;
            found |= any || next.as_ref().is_some_and(|next| next.found);
            if next.is_none() && led.is_empty() {
                return Ok(Some(found));
            }
            (looked, last) = (next, led);
        }
    }

    /// Reads what a page leads to, takes it out of its cases and deletes its matching rows: what leads to something goes
    /// after it.
    async fn look_through(&self, installation: &Installation, target: &Target, page: Page) -> Result<Looked> {
        let Page { mut rows, named } = page;
        let of_kind = |kind: Kind| {
            let led = rows.iter().map(|row| &row.reference).chain(&named);
            led.filter(move |of| of.kind() == kind).cloned().collect::<BTreeSet<_>>()
        };
        let references: Vec<RecordRef> = of_kind(Kind::Order).into_iter().collect();
        let threads = of_kind(Kind::Thread);
        let mut orders = self.orders_and(installation, &references, Expired::Too).await?;
        for row in self.member_rows(installation, &named, &orders).await? {
            rows.push(SubjectRow::read(&row)?);
        }
        let mut kept: BTreeSet<RecordRef> = orders
            .iter()
            .filter(|record| record.order.created_at > target.received_at)
            .filter(|record| !target.named.contains(&record.reference))
            .map(|record| record.reference.clone())
            .collect();
        orders.retain(|record| !kept.contains(&record.reference));
        let mut found = !orders.is_empty();
        let cases: BTreeSet<RecordRef> = rows
            .iter()
            .filter(|row| !kept.contains(&row.reference))
            .filter_map(|row| row.case.clone())
            .chain(orders.iter().filter_map(|record| record.case.clone()))
            .collect();
        for case in self.resolve_cases(installation, cases).await? {
            let case = case.whole();
            let listed = case.members.iter().map(|member| member.order.clone()).collect::<BTreeSet<_>>();
            let concerned = target.members_of(installation, &case);
            let mut left = listed.clone();
            if !concerned.is_empty() {
                found = true;
                if self.erase_members(installation, target, case, &concerned, &orders).await? {
                    left.retain(|member| !concerned.contains(member));
                } else {
                    // Someone changed the case first: the next round looks again, by the same rows.
                    orders.retain(|record| !concerned.contains(&record.reference));
                }
            }
            kept.extend(left);
        }
        let matches = orders.iter().flat_map(|record| &record.rows);
        let matches = matches.filter(|row| row.kind == Kind::Match).cloned().collect();
        self.delete_all(matches, BATCHES_AT_ONCE).await?;
        Ok(Looked { rows, threads, orders, kept, found })
    }

    /// Erases what was looked through: orders, conversations, what else is about the person. Says whether there was
    /// anything, and which rows that lead to the person are to be deleted after it.
    async fn erase_looked(
        &self,
        installation: &Installation,
        target: &Target,
        looked: Looked,
    ) -> Result<(bool, Vec<Key>)> {
        let Looked { rows, threads, orders, mut kept, mut found } = looked;
        kept.extend(self.erase_orders(installation, target, &orders).await?);
        for thread in threads {
            let cut =
                self.cut_thread(installation, &thread, target.received_at, For::Erasure(target)).await?;
            if cut == Cut::Gone {
                let theirs = rows.iter().filter(|row| row.reference == thread);
                for row in theirs.map(|row| row.key.clone()) {
                    found |= self.erase_idle_row(installation, &thread, row).await?;
                }
            }
            found |= matches!(cut, Cut::Trimmed | Cut::Deleted | Cut::Overtaken);
            // Its rows went with it, or stay with what is left. One that is written now leads to a later mail.
            kept.insert(thread);
        }
        let led = |kinds: &'static [Kind]| {
            let led = rows.iter().map(|row| &row.reference);
            led.filter(|of| kinds.contains(&of.kind())).cloned().collect::<BTreeSet<_>>()
        };
        let mut about = self.exception_keys(installation, led(&[Kind::Exception])).await?;
        // What was put together about the person, or is under way, goes as a whole, and what it was asked for by ends.
        let mut errands = led(&[Kind::Export, Kind::Rectification, Kind::Request]);
        let standing = self.overtake(installation, target, &errands).await?;
        errands.retain(|errand| !standing.contains(errand));
        kept.extend(standing);
        about.extend(self.errand_keys(installation, &errands).await?);
        // By the person's own rows it is all found again, if this ends in between; by rows of others it is not.
        let (own, others): (Vec<Key>, Vec<Key>) = about.into_iter().partition(|key| target.leads_to(key));
        let (records, others): (Vec<Key>, Vec<Key>) =
            others.into_iter().partition(|key| keyspace::place(key.kind) == Place::Buckets);
        self.delete_all(others, BATCHES_AT_ONCE).await?;
        self.delete_all(records, BATCHES_AT_ONCE).await?;
        // A row of which nothing is left, also one whose record expired before it.
        let ended = rows.into_iter().filter(|row| !kept.contains(&row.reference)).map(|row| row.key);
        let erased = orders.into_iter().filter(|record| !kept.contains(&record.reference));
        let led = erased.flat_map(|record| record.rows).filter(|row| target.leads_to(row));
        let last: Vec<Key> = ended.chain(own).chain(led).collect();
        Ok((found || !last.is_empty(), last))
    }

    /// Deletes a row that leads to a conversation that is not there any more, unless a mail comes in that begins it anew.
    async fn erase_idle_row(
        &self,
        installation: &Installation,
        thread: &RecordRef,
        row: Key,
    ) -> Result<bool> {
        let key = keyspace::record(&installation.tenant, thread);
        let actions = vec![Action::Check { key, condition: Condition::ABSENT }, Action::delete(row)];
        Ok(self.transact_unrecorded(Unrecorded::Step, actions).await?.is_ok())
    }

    /// The exceptions that the person is among, each with its rows.
    async fn exception_keys(
        &self,
        installation: &Installation,
        references: BTreeSet<RecordRef>,
    ) -> Result<Vec<Key>> {
        let keys: Vec<Key> = references.iter().map(|of| keyspace::record(&installation.tenant, of)).collect();
        let mut all = Vec::new();
        for stored in self.batch_get(Table::Data, &keys, Expired::Too).await? {
            all.extend(exceptions::keys_of(installation, &stored)?);
        }
        Ok(all)
    }

    /// Takes members out of a case in one transaction. A case that is left with fewer than two orders, or lists none any
    /// more, is none: it is anonymised. `false` when someone changed the case first.
    async fn erase_members(
        &self,
        installation: &Installation,
        target: &Target,
        mut case: Case,
        erased: &BTreeSet<RecordRef>,
        orders: &[OrderRecord],
    ) -> Result<bool> {
        let tenant = &installation.tenant;
        let unlisted = orders.iter().filter(|record| record.case.as_ref() == Some(&case.reference));
        let unlisted = unlisted.filter(|record| !erased.contains(&record.reference)).count();
        let (gone, members): (Vec<Member>, Vec<Member>) =
            std::mem::take(&mut case.members).into_iter().partition(|member| erased.contains(&member.order));
        case.members = members;
        self.delete_rows_of_ended(installation, target, &gone, orders).await?;
        let left = case.size.saturating_sub((erased.len() + unlisted) as u64).max(case.members.len() as u64);
        let ends = left < 2 || case.members.is_empty();
        let mut actions = Vec::new();
        if ends {
            actions.extend(case.anonymised(self, installation)?);
            actions.push(notices::forgotten(installation, &case.reference));
            actions.extend(case.index_key(tenant).map(Action::delete));
            actions.push(Action::Delete {
                key: keyspace::record(tenant, &case.reference),
                condition: Some(case.unchanged()),
            });
            for left in std::mem::take(&mut case.members) {
                actions.extend(self.release(installation, &left).await?);
            }
        } else {
            case.size = left;
            case.settle();
            actions.push(case.put(self, installation)?);
        }
        actions.extend(gone.iter().map(|member| Action::delete(member.own_row(tenant))));
        actions.push(count(tenant, target, case.reference.bucket(), &[(Kind::Case, u64::from(ends))]));
        // What is anonymised gets a new name: a purge must not have passed that one already.
        actions.push(purge::not_begun(tenant));
        Ok(self.transact_unrecorded(Unrecorded::Step, actions).await?.is_ok())
    }

    /// An order that came to its own end left to its case the rows under identifiers that are not erased: nobody else knows
    /// them any more. It is found again, if this ends in between, by the person's own rows or by its number.
    async fn delete_rows_of_ended(
        &self,
        installation: &Installation,
        target: &Target,
        gone: &[Member],
        orders: &[OrderRecord],
    ) -> Result<()> {
        let of_page: BTreeSet<&RecordRef> = orders.iter().map(|record| &record.reference).collect();
        let unread = gone.iter().filter(|member| !of_page.contains(&member.order));
        let references: Vec<RecordRef> = unread.clone().map(|member| member.order.clone()).collect();
        let standing = self.orders_and(installation, &references, Expired::Too).await?;
        let ended = unread.filter(|member| standing.iter().all(|record| record.reference != member.order));
        let rows = ended.flat_map(|member| member.row_keys(installation));
        self.delete_all(rows.filter(|row| !target.leads_to(row)).collect(), BATCHES_AT_ONCE).await
    }

    /// An order whose case ends: it is in no case, and its rows live as long as it does.
    pub(crate) async fn release(&self, installation: &Installation, member: &Member) -> Result<Vec<Action>> {
        let rows = member.row_keys(installation).into_iter();
        let own = Action::delete(member.own_row(&installation.tenant));
        let Some(record) = self.any_order(installation, &member.order).await? else {
            return Ok(rows.map(Action::delete).chain([own]).collect());
        };
        let from = record.order.created_at.min(self.now());
        let mut actions: Vec<Action> = rows
            .map(|row| Action::put(Item::new(row).expiring_with(Kind::Order, from).not_after(record.ends)))
            .chain([own])
            .collect();
        actions.push(Action::Update {
            key: keyspace::record(&installation.tenant, &member.order),
            update: Change { expression: "REMOVE case_id, flag".to_owned(), values: Vec::new() },
            condition: Some(Condition::PRESENT),
        });
        Ok(actions)
    }

    /// Deletes orders with the rows that lead to others, bucket by bucket side by side. Gives back the orders that someone
    /// changed first: the next round looks at them again.
    async fn erase_orders(
        &self,
        installation: &Installation,
        target: &Target,
        orders: &[OrderRecord],
    ) -> Result<Vec<RecordRef>> {
        let mut buckets: BTreeMap<u8, Vec<&OrderRecord>> = BTreeMap::new();
        for record in orders {
            buckets.entry(record.reference.bucket()).or_default().push(record);
        }
        let overtaken = buckets.into_iter().map(|(bucket, records)| async move {
            let mut overtaken = Vec::new();
            let mut waiting = records.into_iter().peekable();
            while waiting.peek().is_some() {
                let (mut actions, mut taken) = (Vec::new(), Vec::new());
                while let Some(record) = waiting.peek() {
                    let deletions = deletions(installation, target, record);
                    // One place is for the count. An order names a handful of identifiers: one always fits.
                    if !taken.is_empty() && actions.len() + deletions.len() >= TRANSACTION_ITEMS {
                        break;
                    }
                    actions.extend(deletions);
                    taken.extend(waiting.next().map(|record| record.reference.clone()));
                }
                actions.push(count(
                    &installation.tenant,
                    target,
                    bucket,
                    &[(Kind::Order, taken.len() as u64)],
                ));
                if self.transact_unrecorded(Unrecorded::Step, actions).await?.is_err() {
                    overtaken.extend(taken);
                }
            }
            Ok::<_, StoreError>(overtaken)
        });
        Ok(try_join_all(overtaken).await?.into_iter().flatten().collect())
    }
}

impl Target {
    /// Whether an item is a row that leads to the person: what is found by it is found again until it is gone.
    fn leads_to(&self, key: &Key) -> bool {
        self.partitions.contains(&key.pk)
    }

    /// The orders that a case lists and that are to be erased.
    fn members_of(&self, installation: &Installation, case: &Case) -> BTreeSet<RecordRef> {
        let concerned = |member: &&Member| {
            self.named.contains(&member.order)
                || (member.created_at <= self.received_at
                    && member.row_keys(installation).iter().any(|row| self.partitions.contains(&row.pk)))
        };
        case.members.iter().filter(concerned).map(|member| member.order.clone()).collect()
    }
}

impl SubjectRow {
    fn read(stored: &Stored) -> Result<Self> {
        let corrupt = |_| StoreError::Corrupt("a subject row");
        Ok(Self {
            reference: stored.text("sk")?.parse().map_err(corrupt)?,
            case: stored.optional_text("case_id").map(str::parse).transpose().map_err(corrupt)?,
            key: stored.key(Kind::Subject)?,
        })
    }
}

/// One of each bucket in turn. The rows that lead to a person stand in the order of the buckets, and a page of one bucket
/// alone would wait for that one partition.
fn spread<T>(all: Vec<T>, bucket: impl Fn(&T) -> u8) -> Vec<T> {
    let mut turns: BTreeMap<u8, usize> = BTreeMap::new();
    let in_turn = all.into_iter().map(|of| {
        let turn = turns.entry(bucket(&of)).or_default();
        *turn += 1;
        (*turn, of)
    });
    let mut all: Vec<(usize, T)> = in_turn.collect();
    all.sort_by_key(|(turn, _)| *turn);
    all.into_iter().map(|(_, of)| of).collect()
}

/// An order, if nobody changed it since it was read: its rows would be others, or its case would go on naming it. With it
/// the rows by which it is found under identifiers that are not erased: no later run comes by there, and of an order that
/// is gone nobody knows its rows. Its number is remembered, so that an update that names the person otherwise, or nobody,
/// does not bring it back.
fn deletions(installation: &Installation, target: &Target, record: &OrderRecord) -> Vec<Action> {
    let (tenant, keys) = (&installation.tenant, &installation.keys);
    let order = Action::Delete {
        key: keyspace::record(tenant, &record.reference),
        condition: Some(record.unchanged()),
    };
    let key = keyspace::order_tombstone(tenant, keys, *record.order.id.expose());
    let tombstone = Action::put(tombstone(key, &record.reference.to_string(), target.received_at));
    let others = record.rows.iter().filter(|row| row.kind == Kind::Subject && !target.leads_to(row));
    let others: BTreeSet<&Key> = others.collect();
    [order, tombstone].into_iter().chain(others.into_iter().cloned().map(Action::delete)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn given_rows_in_the_order_of_buckets_then_each_page_has_some_of_every_bucket_that_is_not_empty(
            sizes in prop::collection::vec(0..40_usize, 16),
            page in 1..200_usize,
        ) {
            let rows: Vec<(u8, usize)> =
                (0..16_u8).zip(&sizes).flat_map(|(bucket, size)| (0..*size).map(move |row| (bucket, row))).collect();
            let spread = spread(rows.clone(), |(bucket, _)| *bucket);
            for read in spread.chunks(page).scan(0, |read, page| { *read += page.len(); Some(*read) }) {
                let of = |bucket: u8| spread[..read].iter().filter(|row| row.0 == bucket).count();
                let most = (0..16).map(of).max().unwrap_or_default();
                for (bucket, size) in (0..16).zip(&sizes) {
                    prop_assert!(of(bucket) + 1 >= most || of(bucket) == *size, "bucket {} of {:?}", bucket, sizes);
                }
            }
            let mut sorted = spread;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, rows);
        }
    }
}
