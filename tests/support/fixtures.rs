//! Small worlds for the tests of the support code itself: one embedded DynamoDB with tables, and SDK clients for it.
//! Worlds of the real functions are built by the tests that need them.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use storeward_core::time::{ManualClock, Timestamp};
use storeward_local::cloud::dynamodb::EmbeddedDynamoDb;

use super::connector::{Connector, Transport, transport};
use super::explore::World;
use super::faults::FaultPlan;

/// An empty database with the table `data`.
pub(super) fn database() -> EmbeddedDynamoDb {
    let db =
        EmbeddedDynamoDb::memory(Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)))).unwrap();
    let table = json!({
        "TableName": "data", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            { "AttributeName": "pk", "AttributeType": "S" }, { "AttributeName": "sk", "AttributeType": "S" }
        ],
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }],
    });
    assert_eq!(db.call("DynamoDB_20120810.CreateTable", table.to_string().as_bytes()).status(), 200);
    db
}

/// The whole of a database as one text.
pub(super) fn text_of(db: &EmbeddedDynamoDb) -> String {
    let dump = |table: String| (table.clone(), Value::Array(db.dump(&table).unwrap()));
    Value::Object(db.tables().unwrap().into_iter().map(dump).collect()).to_string()
}

/// A transport straight to a database.
pub(super) fn direct(db: &EmbeddedDynamoDb) -> Transport {
    let db = db.clone();
    transport(move |request: Request<Bytes>| {
        let response = answer(&db, &request);
        async move { response }
    })
}

/// An unmodified SDK client; `attempts` of 1 turns its retries off.
///
/// Its retry quota is its own and endless: the SDK's is shared by all clients of a process, so that one test would
/// change what another sees.
pub(super) fn client(http: SharedHttpClient, attempts: u32) -> Client {
    let quota = RetryPartition::custom("tests").token_bucket(TokenBucket::unlimited()).build();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .endpoint_url("http://127.0.0.1:1")
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .retry_partition(quota)
        .http_client(http)
        .build();
    Client::from_conf(config)
}

/// A world of one database, and a client whose requests go through the gate.
pub(super) struct OneTable {
    pub(super) db: EmbeddedDynamoDb,
    pub(super) client: Client,
    pub(super) gate: Transport,
}

impl OneTable {
    pub(super) fn new(gate: Transport) -> Self {
        let client = client(Connector::new(gate.clone(), FaultPlan::none()).http_client(), 1);
        Self { db: database(), client, gate }
    }

    /// The number in the attribute `n` of an item, 0 when there is none.
    pub(super) fn number(&self, pk: &str) -> i64 {
        let items = self.db.dump("data").unwrap();
        let found = items.iter().find(|item| item["pk"]["S"] == pk);
        found.map_or(0, |item| item["n"]["N"].as_str().unwrap().parse().unwrap())
    }
}

impl World for OneTable {
    async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        answer(&self.db, &request)
    }

    fn state(&self) -> String {
        text_of(&self.db)
    }
}

fn answer(db: &EmbeddedDynamoDb, request: &Request<Bytes>) -> Response<Bytes> {
    db.call(request.headers()["x-amz-target"].to_str().unwrap(), request.body())
}

pub(super) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Writes `n` to an item.
pub(super) async fn put(client: &Client, pk: &str, sk: &str, number: i64) -> bool {
    let put = client.put_item().table_name("data").item("pk", s(pk)).item("sk", s(sk)).item("n", n(number));
    put.send().await.is_ok()
}

/// Reads `n` of an item, 0 when there is none.
pub(super) async fn get(client: &Client, pk: &str, sk: &str, consistent: bool) -> i64 {
    let get =
        client.get_item().table_name("data").key("pk", s(pk)).key("sk", s(sk)).consistent_read(consistent);
    let item = get.send().await.unwrap().item;
    item.map_or(0, |item| item["n"].as_n().unwrap().parse().unwrap())
}

/// How many items a partition has.
pub(super) async fn count(client: &Client, pk: &str, consistent: bool) -> i32 {
    let query =
        client.query().table_name("data").consistent_read(consistent).key_condition_expression("#p = :p");
    let query = query.expression_attribute_names("#p", "pk").expression_attribute_values(":p", s(pk));
    query.send().await.unwrap().count
}
