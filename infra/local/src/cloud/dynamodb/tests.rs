//! The embedded DynamoDB on its wire. That dynoxide itself does what DynamoDB does is its own conformance
//! suite's business.

use serde_json::json;
use storeward_core::time::{HOUR, ManualClock, Timestamp};

use super::*;

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn memory() -> (EmbeddedDynamoDb, ManualClock) {
    let clock = ManualClock::new(START);
    (EmbeddedDynamoDb::memory(Arc::new(clock.clone())).unwrap(), clock)
}

fn call(db: &EmbeddedDynamoDb, operation: &str, body: &Value) -> (u16, Value) {
    let response = db.call(&format!("{TARGET_PREFIX}{operation}"), body.to_string().as_bytes());
    let checksum = response.headers()["x-amz-crc32"].to_str().unwrap().parse::<u32>().unwrap();
    assert_eq!(checksum, crc32(response.body()));
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

fn with_table(db: &EmbeddedDynamoDb) {
    let (status, answer) = call(
        db,
        "CreateTable",
        &json!({
            "TableName": "data", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                { "AttributeName": "pk", "AttributeType": "S" }, { "AttributeName": "sk", "AttributeType": "S" }
            ],
            "KeySchema": [
                { "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }
            ],
        }),
    );
    assert_eq!(status, 200, "{answer}");
}

fn item(pk: &str, sk: &str) -> Value {
    json!({ "pk": { "S": pk }, "sk": { "S": sk } })
}

fn put(db: &EmbeddedDynamoDb, item: &Value) {
    assert_eq!(call(db, "PutItem", &json!({ "TableName": "data", "Item": item })).0, 200);
}

#[test]
fn every_operation_the_bundle_uses_is_answered() {
    let (db, _) = memory();
    with_table(&db);
    let key = item("a", "1");
    let named = |extra: Value| {
        let mut body = json!({ "TableName": "data" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let requests = [
        ("DescribeTable", named(json!({}))),
        ("ListTables", json!({})),
        (
            "UpdateTimeToLive",
            named(json!({ "TimeToLiveSpecification": { "AttributeName": "expires_at", "Enabled": true } })),
        ),
        ("DescribeTimeToLive", named(json!({}))),
        ("PutItem", named(json!({ "Item": key }))),
        ("GetItem", named(json!({ "Key": key }))),
        (
            "UpdateItem",
            named(json!({
                "Key": key, "UpdateExpression": "SET #n = :n",
                "ExpressionAttributeNames": { "#n": "n" }, "ExpressionAttributeValues": { ":n": { "N": "1" } },
            })),
        ),
        (
            "Query",
            named(json!({
                "KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": { ":pk": { "S": "a" } },
            })),
        ),
        ("Scan", named(json!({}))),
        ("BatchGetItem", json!({ "RequestItems": { "data": { "Keys": [key] } } })),
        (
            "BatchWriteItem",
            json!({ "RequestItems": { "data": [{ "PutRequest": { "Item": item("b", "1") } }] } }),
        ),
        (
            "TransactWriteItems",
            json!({ "TransactItems": [{ "Put": named(json!({ "Item": item("c", "1") })) }] }),
        ),
        (
            "TransactGetItems",
            json!({ "TransactItems": [{ "Get": named(json!({ "Key": item("c", "1") })) }] }),
        ),
        ("DeleteItem", named(json!({ "Key": key }))),
    ];
    for (operation, body) in requests {
        let (status, answer) = call(&db, operation, &body);
        assert_eq!(status, 200, "{operation}: {answer}");
    }
    let kept: Vec<_> = db.dump("data").unwrap();
    assert_eq!(kept, [item("b", "1"), item("c", "1")]);
    assert_eq!(db.tables().unwrap(), ["data"]);
    assert_eq!(call(&db, "DeleteTable", &named(json!({}))).0, 200);
    assert!(db.tables().unwrap().is_empty());
}

#[test]
fn errors_have_the_form_of_the_wire() {
    let (db, _) = memory();
    with_table(&db);
    let (status, answer) = call(&db, "GetItem", &json!({ "TableName": "none", "Key": item("a", "1") }));
    assert_eq!(status, 400);
    assert_eq!(answer["__type"], "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException");
    let (status, answer) = call(&db, "CreateBackup", &json!({}));
    assert_eq!(
        (status, &answer["__type"]),
        (400, &json!("com.amazon.coral.service#UnknownOperationException"))
    );
    let response = db.call("AmazonSQS.SendMessage", b"{}");
    assert_eq!(response.status(), 400);
    for body in [&b"{"[..], b"", b"\xff"] {
        let response = db.call("DynamoDB_20120810.GetItem", body);
        assert_eq!((response.status().as_u16(), &response.body()[..]), (400, NOT_JSON.as_bytes()));
    }
    let (status, answer) = call(&db, "PutItem", &json!({ "Item": item("a", "1") }));
    assert_eq!((status, &answer["__type"]), (400, &json!("com.amazon.coral.validate#ValidationException")));
    assert!(!answer.to_string().contains("VALIDATION"), "{answer}");

    put(&db, &item("a", "1"));
    let refused = json!({ "TransactItems": [{ "Put": {
        "TableName": "data", "Item": item("a", "1"), "ConditionExpression": "attribute_not_exists(pk)"
    } }] });
    let (status, answer) = call(&db, "TransactWriteItems", &refused);
    assert_eq!(status, 400);
    assert_eq!(answer["CancellationReasons"][0]["Code"], "ConditionalCheckFailed");
}

#[test]
fn values_nested_too_deeply_are_refused_not_lost() {
    let (db, _) = memory();
    with_table(&db);
    let deep = format!(
        r#"{{"TableName":"data","Item":{{"pk":{{"S":"a"}},"sk":{{"S":"1"}},"v":{}{{"S":"x"}}{}}}}}"#,
        r#"{"L":["#.repeat(80),
        "]}".repeat(80)
    );
    let response = db.call("DynamoDB_20120810.PutItem", deep.as_bytes());
    assert_eq!(response.status(), 400);
    assert!(String::from_utf8_lossy(response.body()).contains("Nesting Levels"));
}

#[test]
fn what_expired_goes_with_the_sweep_on_our_clock() {
    let (db, clock) = memory();
    with_table(&db);
    let ttl = json!({
        "TableName": "data", "TimeToLiveSpecification": { "AttributeName": "expires_at", "Enabled": true }
    });
    assert_eq!(call(&db, "UpdateTimeToLive", &ttl).0, 200);
    let mut expiring = item("a", "1");
    expiring["expires_at"] = json!({ "N": (START.seconds() + 60).to_string() });
    put(&db, &expiring);
    assert_eq!(db.sweep_expired().unwrap(), 0);
    clock.advance(HOUR);
    assert_eq!(db.dump("data").unwrap().len(), 1, "nothing goes by itself");
    assert_eq!(db.sweep_expired().unwrap(), 1);
    assert!(db.dump("data").unwrap().is_empty());
}

#[test]
fn a_dump_is_whole_and_in_order() {
    let (db, _) = memory();
    with_table(&db);
    let pad = "x".repeat(900);
    let padded = |n: u32| {
        let mut item = item(&format!("p{}", n % 7), &format!("{n:05}"));
        item["pad"] = json!({ "S": pad });
        item
    };
    db.import("data", (0..3000).rev().map(padded).collect()).unwrap();
    let dump = db.dump("data").unwrap();
    assert_eq!(dump.len(), 3000, "more than one page of 1 MB");
    assert_eq!(dump[0], padded(0));
    assert!(dump.is_sorted_by_key(|item| (item["pk"].to_string(), item["sk"].to_string())));
}

#[test]
fn raw_bytes_show_what_is_stored() {
    let (db, _) = memory();
    with_table(&db);
    put(&db, &item("canary-in-the-key", "1"));
    let holds = |db: &EmbeddedDynamoDb| {
        db.raw_bytes().unwrap().windows(17).any(|window| window == b"canary-in-the-key")
    };
    assert!(holds(&db));
    let key = item("canary-in-the-key", "1");
    assert_eq!(call(&db, "DeleteItem", &json!({ "TableName": "data", "Key": key })).0, 200);
    assert!(!holds(&db));
}

#[test]
fn a_file_keeps_its_items() {
    let scratch = ScratchDirectory::new().unwrap();
    let path = scratch.0.join("data.sqlite");
    let db = EmbeddedDynamoDb::open(&path).unwrap();
    with_table(&db);
    put(&db, &item("kept", "1"));
    assert!(db.raw_bytes().unwrap().windows(4).any(|window| window == b"kept"));
    drop(db);
    let again = EmbeddedDynamoDb::open(&path).unwrap();
    assert_eq!(again.dump("data").unwrap(), [item("kept", "1")]);
}

#[test]
fn the_checksum_is_the_common_one() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value every description of CRC-32 gives");
}
