//! The handle to everything stored, and the few shapes of requests that are made through it.
//! What is read and written by them is decided in the other modules.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, DeleteRequest, KeysAndAttributes, Put, Select,
    TimeToLiveSpecification, TimeToLiveStatus, TransactWriteItem, Update, WriteRequest,
};
use futures::{StreamExt, TryStreamExt, stream};
use storeward_core::data_map::{Kind, Table};
use storeward_core::retention::{self, RetentionPolicy};
use storeward_core::shop::ShopId;
use storeward_core::time::{Clock, Timestamp};

use crate::access_lines::Access;
use crate::acting::Acting;
use crate::crypto::{DeploymentKey, Entropy};
use crate::error::{Result, StoreError};
use crate::item::{EXPIRES_AT, Item, Stored, number, text};
use crate::keyspace::Key;
use crate::retention::Policies;
use crate::tenants::CachedKeys;

/// The names of the three tables.
#[derive(Clone, Debug)]
pub struct TableNames {
    /// Records, index rows, directory, due rows.
    pub data: String,
    /// Wrapped keys.
    pub keys: String,
    /// Ledger entries and tombstones.
    pub ledger: String,
}

/// DynamoDB takes at most this many items in one transaction.
pub(crate) const TRANSACTION_ITEMS: usize = 100;

/// DynamoDB gives at most this many items in one batch.
const BATCH_ITEMS: usize = 100;

/// DynamoDB writes at most this many items in one batch.
const BATCH_WRITES: usize = 25;

/// Attempts at a transaction that meets another one on the same items.
const ATTEMPTS: u32 = 6;

/// Attempts at a batch of deletions that DynamoDB has no capacity for. Nobody waits for them but a job.
const PATIENT_ATTEMPTS: u32 = 12;

/// The longest wait before one more attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why something is written without an entry of its own in the ledger. There are no other reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unrecorded {
    /// What Shopify or a mailbox delivered: the delivery's marker, or the mail itself under Gmail's id, written in the same
    /// transaction, says what came and when, and the function logs it. An entry for each order would make the ledger,
    /// whose partitions are few, the narrowest place of all (docs/decisions/0020).
    Delivery,
    /// A step of something that ends with one entry, which counts the steps: an erasure, a rectification, a purge, the end
    /// of a mailbox. Or one by which nobody decided anything about what was delivered: how far the work on it has come, what
    /// it is about, which of a conversation's earliest mails go for it.
    Step,
    /// How far work has come, and who is at it: due rows, leases, cursors, what a digest will list. Nobody's data.
    Bookkeeping,
}

impl Unrecorded {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Delivery, Self::Step, Self::Bookkeeping];
}

/// The store. Cheap to clone; one for each Lambda instance.
#[derive(Clone)]
pub struct Store {
    pub(crate) client: Client,
    tables: TableNames,
    pub(crate) deployment: Arc<DeploymentKey>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) cache: Arc<Mutex<HashMap<ShopId, CachedKeys>>>,
    pub(crate) retention: Arc<retention::Deployment>,
    pub(crate) policies: Policies,
    pub(crate) standing: Option<Acting>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// Why DynamoDB did not carry out a transaction: for each action, whether its condition failed.
#[derive(Debug)]
pub(crate) struct Canceled(Vec<bool>);

impl Canceled {
    /// Whether the condition of an action in `range` failed.
    pub(crate) fn any_failed(&self, range: std::ops::Range<usize>) -> bool {
        self.0.get(range).is_some_and(|failed| failed.contains(&true))
    }
}

impl Store {
    /// A store on `client`. The deployment key wraps and blinds; clock and entropy are seams for tests.
    #[must_use]
    pub fn new(
        client: Client,
        tables: TableNames,
        deployment: DeploymentKey,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            client,
            tables,
            deployment: Arc::new(deployment),
            clock,
            entropy,
            cache: Arc::default(),
            retention: Arc::default(),
            policies: Policies::default(),
            standing: None,
        }
    }

    /// The store of a deployment that decided on its retention; without it everything is kept as shortly as any of the
    /// presets says.
    #[must_use]
    pub fn keeping(self, retention: retention::Deployment) -> Self {
        Self { retention: Arc::new(retention), ..self }
    }

    /// The same store in the hands of a tool or a test, which acts wherever nobody else is said to. Functions have none:
    /// their fronts say who acts.
    #[must_use]
    pub fn standing_for(&self, who: Acting) -> Self {
        Self { standing: Some(who), ..self.clone() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new random id: 32 hexadecimal digits.
    pub(crate) fn random_id(&self) -> Result<String> {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes)?;
        Ok(hex::encode(bytes))
    }

    pub(crate) fn table(&self, table: Table) -> &str {
        match table {
            Table::Data => &self.tables.data,
            Table::Keys => &self.tables.keys,
            Table::Ledger => &self.tables.ledger,
        }
    }

    /// Reads one item, strongly consistent.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Stored>> {
        let access = Access::read(self, "GetItem", key.table(), &key.pk);
        let request = self
            .client
            .get_item()
            .table_name(self.table(key.table()))
            .set_key(Some(key_attributes(key)))
            .consistent_read(true);
        let line = access.begin();
        // Boxed, as the others below: the SDK's futures are large, and whoever waits for one would be as large.
        let output =
            Box::pin(request.send()).await.map_err(|error| StoreError::from_sdk("GetItem", &error))?;
        line.done(usize::from(output.item.is_some()));
        let Some(item) = output.item else { return Ok(None) };
        let policy = self.policy_for(&key.pk).await?;
        Ok(Stored::alive(item, self.now(), &policy))
    }

    /// Reads any number of items of one table, 100 in each request, strongly consistent; those that are missing are
    /// left out, and the order is not the order of `keys`.
    pub(crate) async fn batch_get(
        &self,
        table: Table,
        keys: &[Key],
        expired: Expired,
    ) -> Result<Vec<Stored>> {
        let mut found = Vec::with_capacity(keys.len());
        let Some(first) = keys.first() else { return Ok(found) };
        let access = Access::read(self, "BatchGetItem", table, &first.pk);
        for chunk in keys.chunks(BATCH_ITEMS) {
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(chunk.iter().map(key_attributes).collect()))
                .consistent_read(true)
                .build()
                .map_err(|_| StoreError::Corrupt("a batch of keys"))?;
            let mut wanted = HashMap::from([(self.table(table).to_owned(), wanted)]);
            let mut attempt = 0;
            loop {
                let request = self.client.batch_get_item().set_request_items(Some(wanted));
                let (line, before) = (access.begin(), found.len());
                let output = Box::pin(request.send())
                    .await
                    .map_err(|error| StoreError::from_sdk("BatchGetItem", &error))?;
                for item in output.responses.unwrap_or_default().into_values().flatten() {
                    let partition = item.get("pk").and_then(|pk| pk.as_s().ok()).map_or("", String::as_str);
                    let policy = self.policy_for(partition).await?;
                    found.extend(expired.read(item, self.now(), &policy));
                }
                line.done(found.len() - before);
                wanted = output.unprocessed_keys.unwrap_or_default();
                if wanted.is_empty() {
                    break;
                }
                attempt += 1;
                back_off("BatchGetItem", attempt, ATTEMPTS).await?;
            }
        }
        Ok(found)
    }

    /// Reads everything a query asks for, page after page.
    pub(crate) async fn query_all(&self, mut query: Query<'_>) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        loop {
            let (items, next) = self.query(query.clone()).await?;
            all.extend(items);
            match next {
                Some(page) => query.after = Some(page),
                None => return Ok(all),
            }
        }
    }

    /// Reads one page of a partition, strongly consistent: the items that are alive, and where to go on.
    pub(crate) async fn query(&self, query: Query<'_>) -> Result<(Vec<Stored>, Option<PageKey>)> {
        let access = Access::read(self, "Query", query.table, query.partition);
        let mut request = self
            .client
            .query()
            .table_name(self.table(query.table))
            .consistent_read(true)
            .scan_index_forward(!query.newest_first)
            .limit(query.limit)
            .set_exclusive_start_key(query.after.map(|page| page.0))
            .expression_attribute_values(":pk", text(query.partition));
        request = match query.range {
            Range::All => request.key_condition_expression("pk = :pk"),
            Range::Between(low, high) => request
                .key_condition_expression("pk = :pk AND sk BETWEEN :low AND :high")
                .expression_attribute_values(":low", text(low))
                .expression_attribute_values(":high", text(high)),
            Range::Prefix(prefix) => request
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", text(prefix)),
        };
        let line = access.begin();
        let output = Box::pin(request.send()).await.map_err(|error| StoreError::from_sdk("Query", &error))?;
        let now = self.now();
        let items = output.items.unwrap_or_default();
        line.done(items.len());
        let policy = self.policy_for(query.partition).await?;
        let read = items.into_iter().filter_map(|item| query.expired.read(item, now, &policy));
        Ok((read.collect(), output.last_evaluated_key.map(PageKey)))
    }

    /// Reads the keys of one page of a whole table, after `after`: for whoever brings a restored table up to date, and
    /// nobody else.
    #[expect(
        clippy::disallowed_methods,
        reason = "after a restore nothing leads to a purged shop's rows any more: its keys are gone"
    )]
    pub(crate) async fn scan_keys(
        &self,
        table: Table,
        after: Option<(String, String)>,
    ) -> Result<(Vec<Stored>, Option<(String, String)>)> {
        let access = Access::read(self, "Scan", table, "");
        let start =
            after.map(|(pk, sk)| HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))]));
        let line = access.begin();
        let output = self
            .client
            .scan()
            .table_name(self.table(table))
            .consistent_read(true)
            .projection_expression("pk, sk")
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Scan", &error))?;
        let items: Vec<Stored> = output.items.unwrap_or_default().into_iter().map(Stored).collect();
        line.done(items.len());
        let end = output.last_evaluated_key.map(Stored);
        let end = end.map(|end| Ok((end.text("pk")?.to_owned(), end.text("sk")?.to_owned())));
        Ok((items, end.transpose()?))
    }

    /// Makes sure that a table deletes what is expired: a table that was restored does not.
    pub(crate) async fn enable_expiry(&self, table: Table) -> Result<()> {
        let name = self.table(table);
        let access = Access::read(self, "DescribeTimeToLive", table, "");
        let line = access.begin();
        let known = self
            .client
            .describe_time_to_live()
            .table_name(name)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("DescribeTimeToLive", &error))?;
        line.done(0);
        let status = known.time_to_live_description.and_then(|known| known.time_to_live_status);
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(());
        }
        let wanted = TimeToLiveSpecification::builder()
            .attribute_name(EXPIRES_AT)
            .enabled(true)
            .build()
            .map_err(|_| StoreError::Corrupt("a table's settings"))?;
        let access = Access::read(self, "UpdateTimeToLive", table, "");
        let line = access.begin();
        self.client
            .update_time_to_live()
            .table_name(name)
            .time_to_live_specification(wanted)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("UpdateTimeToLive", &error))?;
        line.done(0);
        Ok(())
    }

    /// How many items that have not expired stand in a partition, without reading what they hold.
    pub(crate) async fn how_many(&self, table: Table, partition: &str) -> Result<u64> {
        let access = Access::read(self, "Query", table, partition);
        let mut counted = 0;
        let mut after = None;
        loop {
            let line = access.begin();
            let output = self
                .client
                .query()
                .table_name(self.table(table))
                .consistent_read(true)
                .select(Select::Count)
                .key_condition_expression("pk = :pk")
                .filter_expression("attribute_not_exists(expires_at) OR expires_at > :now")
                .expression_attribute_values(":pk", text(partition))
                .expression_attribute_values(":now", number(self.now().seconds()))
                .set_exclusive_start_key(after)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("Query", &error))?;
            line.done(usize::try_from(output.count).unwrap_or_default());
            counted += u64::try_from(output.count).unwrap_or_default();
            after = output.last_evaluated_key;
            if after.is_none() {
                return Ok(counted);
            }
        }
    }

    /// Makes a change together with its entry of the ledger, which must be among `actions`: all or nothing. Meeting
    /// another transaction on the same items is tried again here; a condition that does not hold comes back as
    /// `Ok(Err(…))`.
    ///
    /// # Errors
    /// [`StoreError::Unrecorded`] without an entry, whatever it is: a change that is not told of is not made.
    pub(crate) async fn transact(&self, actions: Vec<Action>) -> Result<std::result::Result<(), Canceled>> {
        let recorded =
            |action: &Action| matches!(action, Action::Put { item, .. } if item.key.kind == Kind::Ledger);
        if !actions.iter().any(recorded) {
            return Err(StoreError::Unrecorded);
        }
        self.commit_actions(actions).await
    }

    /// Writes what needs no entry of its own, for a reason, as [`Store::transact`] does.
    pub(crate) async fn transact_unrecorded(
        &self,
        _why: Unrecorded,
        actions: Vec<Action>,
    ) -> Result<std::result::Result<(), Canceled>> {
        self.commit_actions(actions).await
    }

    async fn commit_actions(&self, actions: Vec<Action>) -> Result<std::result::Result<(), Canceled>> {
        let (access, count) = (Access::write(self, "TransactWriteItems", &actions), actions.len());
        debug_assert!(actions.len() <= TRANSACTION_ITEMS, "{} actions", actions.len());
        let mut items: Vec<TransactWriteItem> = Vec::with_capacity(actions.len());
        for action in actions {
            let action = match action {
                Action::Put { item, condition } => {
                    let policy = self.policy_for(&item.key.pk).await?;
                    Action::Put { item: item.under(&policy), condition }
                }
                action => action,
            };
            items.push(self.build(action)?);
        }
        let mut attempt = 0;
        loop {
            let request = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            let line = access.begin();
            let sent = Box::pin(request.send()).await;
            let Err(error) = sent else {
                line.done(count);
                return Ok(Ok(()));
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
                error.as_service_error()
            else {
                return Err(StoreError::from_sdk("TransactWriteItems", &error));
            };
            // Answered that nothing was written.
            line.done(0);
            let reasons = canceled.cancellation_reasons();
            if reasons.iter().any(|reason| reason.code() == Some("ConditionalCheckFailed")) {
                let failed = reasons.iter().map(|reason| reason.code() == Some("ConditionalCheckFailed"));
                return Ok(Err(Canceled(failed.collect())));
            }
            let code = reasons.iter().filter_map(|reason| reason.code()).find(|code| *code != "None");
            match code {
                Some("TransactionConflict" | "ProvisionedThroughputExceeded" | "ThrottlingError") => {
                    attempt += 1;
                    back_off("TransactWriteItems", attempt, ATTEMPTS).await?;
                }
                code => {
                    return Err(StoreError::Unavailable {
                        operation: "TransactWriteItems",
                        code: code.unwrap_or("canceled").to_owned(),
                    });
                }
            }
        }
    }

    /// Puts one item that goes with nothing else: half the price of a transaction.
    pub(crate) async fn put_alone(&self, item: Item) -> Result<()> {
        let access = Access::read(self, "PutItem", item.key.table(), &item.key.pk);
        let item = {
            let policy = self.policy_for(&item.key.pk).await?;
            item.under(&policy)
        };
        let put = self.client.put_item().table_name(self.table(item.key.table()));
        let line = access.begin();
        let put = Box::pin(put.set_item(Some(item.attributes)).send()).await;
        put.map_err(|error| StoreError::from_sdk("PutItem", &error))?;
        line.done(1);
        Ok(())
    }

    /// Deletes items whatever is in them, 25 in each request, `at_once` requests side by side. It costs half of what
    /// transactions do, and is not all or nothing: whoever is stopped in between does it again. The keys are taken as
    /// they come, so that neighbours of different partitions share the load between those.
    pub(crate) async fn delete_all(&self, keys: Vec<Key>, at_once: usize) -> Result<()> {
        let mut seen = HashSet::with_capacity(keys.len());
        let distinct: Vec<Key> = keys.into_iter().filter(|key| seen.insert(key.clone())).collect();
        let batches: Vec<Vec<Key>> = distinct.chunks(BATCH_WRITES).map(<[Key]>::to_vec).collect();
        stream::iter(batches)
            .map(|batch| self.delete_batch(batch))
            .buffer_unordered(at_once)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn delete_batch(&self, keys: Vec<Key>) -> Result<()> {
        let Some(first) = keys.first() else { return Ok(()) };
        let access = Access::read(self, "BatchWriteItem", first.table(), &first.pk);
        let unbuildable = |_| StoreError::Corrupt("a batch of keys");
        let mut wanted: HashMap<String, Vec<WriteRequest>> = HashMap::new();
        for key in &keys {
            let delete =
                DeleteRequest::builder().set_key(Some(key_attributes(key))).build().map_err(unbuildable)?;
            let request = WriteRequest::builder().delete_request(delete).build();
            wanted.entry(self.table(key.table()).to_owned()).or_default().push(request);
        }
        let mut attempt = 0;
        loop {
            let request = self.client.batch_write_item().set_request_items(Some(wanted.clone()));
            let line = access.begin();
            let sent = Box::pin(request.send()).await;
            let left = match sent {
                Ok(output) => output.unprocessed_items.unwrap_or_default(),
                Err(error) if is_throttled(error.code()) => wanted.clone(),
                Err(error) => return Err(StoreError::from_sdk("BatchWriteItem", &error)),
            };
            let count = |requests: &HashMap<String, Vec<WriteRequest>>| -> usize {
                requests.values().map(Vec::len).sum()
            };
            line.done(count(&wanted).saturating_sub(count(&left)));
            if left.is_empty() {
                return Ok(());
            }
            // Whoever gets something done is not stuck.
            attempt = if count(&left) < count(&wanted) { 1 } else { attempt + 1 };
            wanted = left;
            back_off("BatchWriteItem", attempt, PATIENT_ATTEMPTS).await?;
        }
    }

    /// Writes without conditions what needs no entry of its own, all or nothing.
    pub(crate) async fn write(&self, why: Unrecorded, actions: Vec<Action>) -> Result<()> {
        match self.transact_unrecorded(why, actions).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(StoreError::Corrupt("a write without conditions failed one")),
        }
    }

    fn build(&self, action: Action) -> Result<TransactWriteItem> {
        let table = |key: &Key| self.table(key.table()).to_owned();
        let unbuildable = |_| StoreError::Corrupt("a transaction");
        let builder = TransactWriteItem::builder();
        Ok(match action {
            Action::Put { item, condition } => {
                let mut put = Put::builder().table_name(table(&item.key)).set_item(Some(item.attributes));
                if let Some(condition) = condition {
                    put = put
                        .condition_expression(condition.expression)
                        .set_expression_attribute_values(condition.values());
                }
                builder.put(put.build().map_err(unbuildable)?).build()
            }
            Action::Check { key, condition } => builder
                .condition_check(
                    ConditionCheck::builder()
                        .table_name(table(&key))
                        .set_key(Some(key_attributes(&key)))
                        .condition_expression(condition.expression)
                        .set_expression_attribute_values(condition.values())
                        .build()
                        .map_err(unbuildable)?,
                )
                .build(),
            Action::Update { key, update, condition } => {
                let mut values = update.values;
                let mut request = Update::builder()
                    .table_name(table(&key))
                    .set_key(Some(key_attributes(&key)))
                    .update_expression(update.expression);
                if let Some(condition) = condition {
                    request = request.condition_expression(condition.expression);
                    values.extend(condition.values);
                }
                let values = (!values.is_empty())
                    .then(|| values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
                builder
                    .update(request.set_expression_attribute_values(values).build().map_err(unbuildable)?)
                    .build()
            }
            Action::Delete { key, condition } => {
                let mut delete =
                    Delete::builder().table_name(table(&key)).set_key(Some(key_attributes(&key)));
                if let Some(condition) = condition {
                    delete = delete
                        .condition_expression(condition.expression)
                        .set_expression_attribute_values(condition.values());
                }
                builder.delete(delete.build().map_err(unbuildable)?).build()
            }
        })
    }

    pub(crate) fn cache_lock(&self) -> std::sync::MutexGuard<'_, HashMap<ShopId, CachedKeys>> {
        // A poisoned cache is still a cache: it only ever holds whole entries.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits longer with each attempt, and gives up in the end.
async fn back_off(operation: &'static str, attempt: u32, attempts: u32) -> Result<()> {
    if attempt >= attempts {
        return Err(StoreError::Contended(operation));
    }
    tokio::time::sleep(Duration::from_millis(5 << attempt.min(16)).min(LONGEST_WAIT)).await;
    Ok(())
}

/// Whether DynamoDB refused for want of capacity: a partition takes about 1,000 writes/s, however much is paid for.
fn is_throttled(code: Option<&str>) -> bool {
    matches!(
        code,
        Some("ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded")
    )
}

pub(crate) fn key_attributes(key: &Key) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), text(&key.pk)), ("sk".to_owned(), text(&key.sk))])
}

/// Where a page ended.
#[derive(Clone, Debug)]
pub(crate) struct PageKey(HashMap<String, AttributeValue>);

impl PageKey {
    /// Behind this item.
    pub(crate) fn after(key: &Key) -> Self {
        Self(key_attributes(key))
    }

    /// The sort key of the item that the page ended with.
    pub(crate) fn sort(&self) -> Option<String> {
        self.0.get("sk").and_then(|sk| sk.as_s().ok()).cloned()
    }
}

/// Which part of a partition.
#[derive(Clone, Debug)]
pub(crate) enum Range {
    All,
    Between(String, String),
    Prefix(String),
}

/// One page of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) table: Table,
    pub(crate) partition: &'a str,
    pub(crate) range: Range,
    pub(crate) newest_first: bool,
    pub(crate) limit: i32,
    pub(crate) after: Option<PageKey>,
    pub(crate) expired: Expired,
}

/// Whether a read gives what is expired and waits for DynamoDB to delete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// It is gone: for everyone who uses data.
    Gone,
    /// It is there: for who erases it.
    Too,
}

impl Expired {
    fn read(
        self,
        item: HashMap<String, AttributeValue>,
        now: Timestamp,
        policy: &RetentionPolicy,
    ) -> Option<Stored> {
        match self {
            Self::Gone => Stored::alive(item, now, policy),
            Self::Too => Some(Stored(item)),
        }
    }
}

impl<'a> Query<'a> {
    pub(crate) const fn of(table: Table, partition: &'a str) -> Self {
        Self {
            table,
            partition,
            range: Range::All,
            newest_first: false,
            limit: 100,
            after: None,
            expired: Expired::Gone,
        }
    }
}

/// A condition on the item as it is.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) expression: &'static str,
    pub(crate) values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    pub(crate) const ABSENT: Self = Self { expression: "attribute_not_exists(pk)", values: Vec::new() };
    pub(crate) const PRESENT: Self = Self { expression: "attribute_exists(pk)", values: Vec::new() };

    /// That something stands where its life has brought it: an installation, a request.
    pub(crate) fn phase(phase: &str) -> Self {
        Self { expression: "phase = :in_phase", values: vec![(":in_phase", text(phase))] }
    }

    fn values(self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty())
            .then(|| self.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// A change to an item.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) expression: String,
    pub(crate) values: Vec<(&'static str, AttributeValue)>,
}

/// One action of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Put { item: Item, condition: Option<Condition> },
    Check { key: Key, condition: Condition },
    Update { key: Key, update: Change, condition: Option<Condition> },
    Delete { key: Key, condition: Option<Condition> },
}

impl Action {
    pub(crate) const fn key(&self) -> &Key {
        match self {
            Self::Put { item, .. } => &item.key,
            Self::Check { key, .. } | Self::Update { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    pub(crate) const fn put(item: Item) -> Self {
        Self::Put { item, condition: None }
    }

    pub(crate) const fn delete(key: Key) -> Self {
        Self::Delete { key, condition: None }
    }
}
