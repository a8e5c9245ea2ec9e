//! DynamoDB's limits in front of the embedded one: what each partition key takes in a second, and how long a request is
//! under way. Time is the runtime's: under a paused clock it is virtual, and what a job takes is computed, not guessed.
//! Nothing is stored or answered here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use storeward_local::cloud::dynamodb::EmbeddedDynamoDb;
use tokio::time::Instant;

use super::connector::{Transport, answer_with, lock, transport};
use super::footprint::{Footprint, Touch};

/// What one partition key takes in a second, as documented for every partition of every table.
const WRITES: f64 = 1000.0;
const READS: f64 = 3000.0;

/// The units of capacity: a kilobyte written, four read.
const WRITTEN: usize = 1024;
const READ: usize = 4096;

/// How long requests are under way, in microseconds: round figures of one region, for small and for full requests.
fn latency(operation: &str, items: usize) -> Duration {
    let items = u64::try_from(items).unwrap_or(u64::MAX);
    Duration::from_micros(match operation {
        "Query" | "Scan" => 5_000 + 20 * items,
        "BatchGetItem" => 6_000 + 50 * items,
        "BatchWriteItem" => 6_000 + 150 * items,
        "TransactWriteItems" | "TransactGetItems" => 10_000 + 250 * items,
        _ => 5_000,
    })
}

/// What went through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// Requests by operation, the refused ones included.
    pub requests: BTreeMap<String, usize>,
    /// Units of write capacity.
    pub written: f64,
    /// Units of read capacity.
    pub read: f64,
    /// Requests, or items of batches, that were refused for want of capacity.
    pub refused: usize,
}

impl Used {
    /// All requests.
    #[must_use]
    pub fn all(&self) -> usize {
        self.requests.values().sum()
    }
}

/// What is left of a partition's second.
struct Left {
    writes: f64,
    reads: f64,
    at: Instant,
}

impl Left {
    fn refill(&mut self, now: Instant) {
        let seconds = now.duration_since(self.at).as_secs_f64();
        self.writes = seconds.mul_add(WRITES, self.writes).min(WRITES);
        self.reads = seconds.mul_add(READS, self.reads).min(READS);
        self.at = now;
    }
}

/// The limits of a database's partitions. No burst: what was not used a second ago is lost, which real tables are kinder
/// about. Clones share what is left.
#[derive(Clone)]
pub struct Capacity(Arc<Shared>);

struct Shared {
    db: EmbeddedDynamoDb,
    partitions: Mutex<HashMap<(String, String), Left>>,
    used: Mutex<Used>,
}

impl Capacity {
    /// The limits of `db`.
    #[must_use]
    pub fn of(db: &EmbeddedDynamoDb) -> Self {
        let shared = Shared { db: db.clone(), partitions: Mutex::default(), used: Mutex::default() };
        Self(Arc::new(shared))
    }

    /// The way to the cloud, with its requests for DynamoDB under these limits.
    #[must_use]
    pub fn limit(&self, way: Transport) -> Transport {
        let this = self.clone();
        transport(move |request: Request<Bytes>| {
            let (this, way) = (this.clone(), Arc::clone(&way));
            async move { this.call(&way, request).await }
        })
    }

    /// What went through so far; counted from nothing again.
    pub fn take(&self) -> Used {
        std::mem::take(&mut *lock(&self.0.used))
    }

    async fn call(&self, way: &Transport, request: Request<Bytes>) -> Response<Bytes> {
        let footprint = Footprint::of(&request);
        if footprint.service != "DynamoDB" {
            return way(request).await;
        }
        *lock(&self.0.used).requests.entry(footprint.operation.clone()).or_default() += 1;
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let dry = self.dry(&footprint);
        let everything = footprint.touches.iter().all(|touch| dry.contains(&partition(touch)));
        if !dry.is_empty() && (everything || footprint.operation != "BatchWriteItem") {
            lock(&self.0.used).refused += 1;
            tokio::time::sleep(latency(&footprint.operation, 0)).await;
            return refusal(&footprint);
        }
        let (request, left) =
            if dry.is_empty() { (request, None) } else { self.without(request, body, &dry) };
        let footprint = Footprint::of(&request);
        self.pay_writes(&footprint, &new_sizes(&request));
        let items = footprint.touches.len();
        let response = way(request).await;
        let mut answer: Value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        let returned = self.pay_reads(&footprint, &answer);
        tokio::time::sleep(latency(&footprint.operation, items.max(returned))).await;
        match left {
            Some(left) if response.status().is_success() => {
                answer["UnprocessedItems"] = left;
                answer_with(200, &answer)
            }
            _ => response,
        }
    }

    /// The touched partitions whose second is used up.
    fn dry(&self, footprint: &Footprint) -> BTreeSet<(String, String)> {
        let now = Instant::now();
        let mut partitions = lock(&self.0.partitions);
        let mut dry = BTreeSet::new();
        for touch in &footprint.touches {
            let key = partition(touch);
            let left =
                partitions.entry(key.clone()).or_insert(Left { writes: WRITES, reads: READS, at: now });
            left.refill(now);
            if (if touch.writes { left.writes } else { left.reads }) <= 0.0 {
                dry.insert(key);
            }
        }
        dry
    }

    /// A write costs what is larger, the item before or after it; in a transaction twice that, and a condition that is
    /// checked in one as much.
    fn pay_writes(&self, footprint: &Footprint, new: &[usize]) {
        let factor = if footprint.operation.starts_with("Transact") { 2.0 } else { 1.0 };
        for (index, touch) in footprint.touches.iter().enumerate() {
            if !touch.writes && footprint.operation != "TransactWriteItems" {
                continue;
            }
            let size = self.stored(touch).max(new.get(index).copied().unwrap_or_default());
            let units = units(size, WRITTEN) * factor;
            if let Some(left) = lock(&self.0.partitions).get_mut(&partition(touch)) {
                left.writes -= units;
            }
            lock(&self.0.used).written += units;
        }
    }

    /// The size of the item as it is stored now: what deleting or replacing it costs. Index rows are under a kilobyte.
    fn stored(&self, touch: &Touch) -> usize {
        let index = |pk: &String| pk.contains("#match#") || pk.contains("#subject#");
        if touch.partition.as_ref().is_some_and(index) {
            return 0;
        }
        let (Some(pk), Some(sk)) = (&touch.partition, &touch.sort) else { return 0 };
        let get = json!({ "TableName": touch.table, "Key": { "pk": { "S": pk }, "sk": { "S": sk } } });
        let response = self.0.db.call("DynamoDB_20120810.GetItem", get.to_string().as_bytes());
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        size(&answer["Item"])
    }

    fn pay_reads(&self, footprint: &Footprint, answer: &Value) -> usize {
        let items: Vec<&Value> = match &answer["Responses"] {
            Value::Object(tables) => tables.values().filter_map(Value::as_array).flatten().collect(),
            _ => answer["Items"].as_array().into_iter().flatten().chain(answer.get("Item")).collect(),
        };
        let reads: Vec<&Touch> = footprint.touches.iter().filter(|touch| !touch.writes).collect();
        if footprint.operation.starts_with("Transact") || reads.is_empty() {
            return 0;
        }
        let mut paid: Vec<((String, String), f64)> = Vec::new();
        if footprint.operation == "BatchGetItem" {
            for item in &items {
                let pk = item["pk"]["S"].as_str().unwrap_or_default();
                paid.push(((reads[0].table.clone(), pk.to_owned()), units(size(item), READ)));
            }
        } else {
            // A page is rounded up as a whole.
            paid.push((partition(reads[0]), units(items.iter().map(|item| size(item)).sum(), READ)));
        }
        for (key, units) in paid {
            if let Some(left) = lock(&self.0.partitions).get_mut(&key) {
                left.reads -= units;
            }
            lock(&self.0.used).read += units;
        }
        items.len()
    }

    /// A batch without the items of dry partitions, and those.
    fn without(
        &self,
        request: Request<Bytes>,
        mut body: Value,
        dry: &BTreeSet<(String, String)>,
    ) -> (Request<Bytes>, Option<Value>) {
        let mut left = json!({});
        for (table, requests) in body["RequestItems"].as_object_mut().into_iter().flatten() {
            let is_dry = |write: &Value| {
                let pk = write["DeleteRequest"]["Key"]["pk"]["S"]
                    .as_str()
                    .or_else(|| write["PutRequest"]["Item"]["pk"]["S"].as_str());
                dry.contains(&(table.clone(), pk.unwrap_or_default().to_owned()))
            };
            let all = std::mem::take(requests).as_array().cloned().unwrap_or_default();
            let (refused, kept): (Vec<Value>, Vec<Value>) = all.into_iter().partition(is_dry);
            lock(&self.0.used).refused += refused.len();
            if !refused.is_empty() {
                left[table] = Value::Array(refused);
            }
            *requests = Value::Array(kept);
        }
        if let Some(tables) = body["RequestItems"].as_object_mut() {
            tables.retain(|_, requests| requests.as_array().is_some_and(|list| !list.is_empty()));
        }
        let (parts, _) = request.into_parts();
        (Request::from_parts(parts, Bytes::from(body.to_string())), Some(left))
    }
}

/// The sizes of what a transaction or a single request puts, by the order of what it touches.
fn new_sizes(request: &Request<Bytes>) -> Vec<usize> {
    let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
    match body["TransactItems"].as_array() {
        Some(actions) => actions.iter().map(|action| size(&action["Put"]["Item"])).collect(),
        None => vec![size(&body["Item"])],
    }
}

fn partition(touch: &Touch) -> (String, String) {
    (touch.table.clone(), touch.partition.clone().unwrap_or_default())
}

/// Whole units of capacity; at least one.
fn units(bytes: usize, unit: usize) -> f64 {
    f64::from(u32::try_from(bytes.div_ceil(unit).max(1)).unwrap_or(u32::MAX))
}

/// The size of an item: its names and values.
fn size(item: &Value) -> usize {
    let value = |value: &Value| match value {
        // Base64 of what is counted.
        Value::Object(of) => of
            .iter()
            .map(|(kind, value)| {
                let length = value.as_str().map_or_else(|| value.to_string().len(), str::len);
                if kind == "B" { length / 4 * 3 } else { length }
            })
            .sum(),
        _ => 0usize,
    };
    item.as_object().into_iter().flatten().map(|(name, of)| name.len() + value(of)).sum()
}

fn refusal(footprint: &Footprint) -> Response<Bytes> {
    if !footprint.operation.starts_with("Transact") {
        let kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
        return answer_with(400, &json!({ "__type": kind, "message": "a partition's second is used up" }));
    }
    let reasons: Vec<Value> =
        footprint.touches.iter().map(|_| json!({ "Code": "ThrottlingError" })).collect();
    answer_with(
        400,
        &json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled: a partition's second is used up",
            "CancellationReasons": reasons,
        }),
    )
}
