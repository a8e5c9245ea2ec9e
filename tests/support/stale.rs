//! Eventually consistent reads: keeps earlier versions of every partition and answers a read from one when asked to.
//! It stands in front of a cloud; which read is stale is the connector's choice, said in a header of the request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use storeward_core::time::{ManualClock, Timestamp};
use storeward_local::cloud::dynamodb::{EmbeddedDynamoDb, TARGET_PREFIX};

use super::connector::{Transport, lock, transport};
use super::footprint::Footprint;

/// The request header that asks for a version so many writes old. Only the tests' connector sets it.
pub const HEADER: &str = "x-storeward-test-stale";

/// How many earlier versions of a partition are kept: more than a stale read of the fault plans goes back.
const KEPT: usize = 8;

type Versions = Arc<Mutex<HashMap<(String, String), Vec<Vec<Value>>>>>;

/// Puts a memory for earlier versions in front of `cloud`, whose `DynamoDB` is `database`.
///
/// A stale read sees each partition it touches as it was before that partition's last writes: one replica that lags,
/// as `DynamoDB`'s eventually consistent reads may. Never an order of writes that did not happen.
#[must_use]
pub fn with_history(database: EmbeddedDynamoDb, cloud: Transport) -> Transport {
    let versions = Versions::default();
    transport(move |request| {
        let (database, cloud, versions) = (database.clone(), cloud.clone(), versions.clone());
        async move {
            let footprint = Footprint::of(&request);
            if footprint.service != "DynamoDB" {
                return cloud(request).await;
            }
            let behind =
                request.headers().get(HEADER).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
            if let Some(behind) = behind {
                return stale_answer(&database, &versions, &footprint, &request, behind);
            }
            let before = if footprint.writes() { partitions(&database, &footprint) } else { Vec::new() };
            let response = cloud(request).await;
            if response.status().is_success() {
                remember(&versions, before);
            }
            response
        }
    })
}

/// The present content of every partition the request touches.
fn partitions(database: &EmbeddedDynamoDb, footprint: &Footprint) -> Vec<((String, String), Vec<Value>)> {
    let mut keys: Vec<(String, String)> = footprint
        .touches
        .iter()
        .filter_map(|touch| Some((touch.table.clone(), touch.partition.clone()?)))
        .collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().map(|key| (key.clone(), partition(database, &key.0, &key.1))).collect()
}

fn partition(database: &EmbeddedDynamoDb, table: &str, key: &str) -> Vec<Value> {
    let mut query = json!({
        "TableName": table, "ConsistentRead": true,
        "KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": { ":pk": { "S": key } },
    });
    let mut items = Vec::new();
    loop {
        let page = call(database, "Query", &query);
        items.extend(page["Items"].as_array().into_iter().flatten().cloned());
        match page.get("LastEvaluatedKey") {
            Some(last) => query["ExclusiveStartKey"] = last.clone(),
            None => return items,
        }
    }
}

fn remember(versions: &Versions, before: Vec<((String, String), Vec<Value>)>) {
    let mut versions = lock(versions);
    for (key, items) in before {
        let kept = versions.entry(key).or_default();
        kept.push(items);
        if kept.len() > KEPT {
            kept.remove(0);
        }
    }
}

/// Answers a read from a database that holds just the partitions it touches, each as it was `behind` writes ago.
fn stale_answer(
    database: &EmbeddedDynamoDb,
    versions: &Versions,
    footprint: &Footprint,
    request: &Request<Bytes>,
    behind: usize,
) -> Response<Bytes> {
    let target = format!("{TARGET_PREFIX}{}", footprint.operation);
    let clock = Arc::new(ManualClock::new(Timestamp::default()));
    let Ok(past) = EmbeddedDynamoDb::memory(clock) else { return database.call(&target, request.body()) };
    for (key, now) in partitions(database, footprint) {
        if past.dump(&key.0).is_err() {
            let described = call(database, "DescribeTable", &json!({ "TableName": key.0 }));
            let table = &described["Table"];
            call(
                &past,
                "CreateTable",
                &json!({
                    "TableName": key.0, "BillingMode": "PAY_PER_REQUEST",
                    "KeySchema": table["KeySchema"], "AttributeDefinitions": table["AttributeDefinitions"],
                }),
            );
        }
        let kept = lock(versions);
        let then = kept.get(&key).and_then(|kept| kept.get(kept.len().saturating_sub(behind)));
        let items = then.cloned().unwrap_or(now);
        past.import(&key.0, items).expect("items of one database fit another with the same tables");
    }
    past.call(&target, request.body())
}

fn call(database: &EmbeddedDynamoDb, operation: &str, body: &Value) -> Value {
    let response = database.call(&format!("{TARGET_PREFIX}{operation}"), body.to_string().as_bytes());
    serde_json::from_slice(response.body()).unwrap_or(Value::Null)
}
