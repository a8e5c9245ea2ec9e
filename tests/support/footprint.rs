//! What a request to AWS touches, read off the wire: which items or partitions, and whether it writes them.
//! The connector records it and the explorer decides with it which requests cannot disturb each other. No behaviour here.

use std::fmt;

use bytes::Bytes;
use http::Request;
use serde_json::Value;

/// One thing a request reads or writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Touch {
    /// The DynamoDB table; for other services the service's name and what is addressed, such as a queue's URL.
    pub table: String,
    /// The partition key's value; `None` when the whole table is touched, or cannot be told.
    pub partition: Option<String>,
    /// The sort key's value; `None` when the whole partition is touched.
    pub sort: Option<String>,
    /// Whether it may change what it touches.
    pub writes: bool,
}

impl Touch {
    fn whole(table: impl Into<String>, writes: bool) -> Self {
        Self { table: table.into(), partition: None, sort: None, writes }
    }

    /// Whether the order of this and `other` can matter: the same item (or a part both share) and at least one write.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        let meet = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        (self.writes || other.writes)
            && self.table == other.table
            && meet(&self.partition, &other.partition)
            && meet(&self.sort, &other.sort)
    }
}

impl fmt::Display for Touch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.writes { "w" } else { "r" };
        write!(f, "{verb}:{}", self.table)?;
        for key in [&self.partition, &self.sort].into_iter().flatten() {
            write!(f, "/{key}")?;
        }
        Ok(())
    }
}

/// A request, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// `DynamoDB`, `SQS`, `KMS`, `Scheduler` or `unknown`.
    pub service: &'static str,
    /// The operation's name (of Scheduler: method and path).
    pub operation: String,
    /// What it touches, in the order of the request.
    pub touches: Vec<Touch>,
    /// Whether every read in it is strongly consistent; true for writes and transactions.
    pub consistent: bool,
    /// Whether nothing is known about it, so that it may disturb anything.
    pub opaque: bool,
}

impl Footprint {
    /// Reads the footprint of a request.
    #[must_use]
    pub fn of(request: &Request<Bytes>) -> Self {
        let target =
            request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or("");
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let (prefix, operation) = target.split_once('.').unwrap_or(("", ""));
        let mut footprint = Self {
            service: "unknown",
            operation: operation.to_owned(),
            touches: Vec::new(),
            consistent: true,
            opaque: false,
        };
        match prefix {
            "DynamoDB_20120810" => {
                footprint.service = "DynamoDB";
                footprint.dynamodb(&body);
            }
            "AmazonSQS" => {
                footprint.service = "SQS";
                // A queue is a list: the order of any two requests to it can be seen.
                footprint.touches.push(Touch::whole(format!("SQS {}", text(&body["QueueUrl"])), true));
            }
            "TrentService" => {
                footprint.service = "KMS";
                // Encrypting and decrypting change nothing; managing keys does, and no function does it.
                footprint.opaque =
                    !matches!(operation, "Decrypt" | "Encrypt" | "GenerateDataKey" | "Sign" | "Verify");
            }
            _ if request.uri().path().starts_with("/schedule") => {
                footprint.service = "Scheduler";
                footprint.operation = format!("{} {}", request.method(), request.uri().path());
                footprint.touches.push(Touch::whole("Scheduler", request.method() != http::Method::GET));
            }
            _ => footprint.opaque = true,
        }
        footprint
    }

    /// Whether the order of the two requests can matter.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        self.opaque
            || other.opaque
            || self.touches.iter().any(|mine| other.touches.iter().any(|theirs| mine.conflicts(theirs)))
    }

    /// Whether it may change anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.opaque || self.touches.iter().any(|touch| touch.writes)
    }

    fn dynamodb(&mut self, body: &Value) {
        let consistent = body["ConsistentRead"].as_bool().unwrap_or(false);
        let table = text(&body["TableName"]);
        match self.operation.as_str() {
            "GetItem" => {
                self.consistent = consistent;
                self.touches.push(item(table, &body["Key"], false));
            }
            "PutItem" => self.touches.push(item(table, &body["Item"], true)),
            "UpdateItem" | "DeleteItem" => self.touches.push(item(table, &body["Key"], true)),
            "Query" => {
                self.consistent = consistent;
                self.touches.push(Touch { partition: queried_partition(body), ..Touch::whole(table, false) });
            }
            "Scan" => {
                self.consistent = consistent;
                self.touches.push(Touch::whole(table, false));
            }
            "BatchGetItem" => {
                for (table, keys) in members(&body["RequestItems"]) {
                    self.consistent &= keys["ConsistentRead"].as_bool().unwrap_or(false);
                    self.touches.extend(elements(&keys["Keys"]).map(|key| item(table, key, false)));
                }
            }
            "BatchWriteItem" => {
                for (table, requests) in members(&body["RequestItems"]) {
                    self.touches.extend(elements(requests).map(|request| match request.get("PutRequest") {
                        Some(put) => item(table, &put["Item"], true),
                        None => item(table, &request["DeleteRequest"]["Key"], true),
                    }));
                }
            }
            "TransactWriteItems" | "TransactGetItems" => {
                for action in elements(&body["TransactItems"]) {
                    for (kind, action) in members(action) {
                        let key = if kind == "Put" { &action["Item"] } else { &action["Key"] };
                        let writes = !matches!(kind, "ConditionCheck" | "Get");
                        self.touches.push(item(text(&action["TableName"]), key, writes));
                    }
                }
            }
            _ => self.opaque = true,
        }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.service, self.operation)?;
        for touch in &self.touches {
            write!(f, " {touch}")?;
        }
        Ok(())
    }
}

/// The item a key or a whole item names; all our tables are keyed by `pk` and `sk`.
fn item(table: &str, key: &Value, writes: bool) -> Touch {
    let part = |name: &str| key.get(name).and_then(scalar);
    Touch { table: table.to_owned(), partition: part("pk"), sort: part("sk"), writes }
}

/// The partition a query reads: what its key condition sets `pk` equal to; `None` when that cannot be told.
fn queried_partition(body: &Value) -> Option<String> {
    let condition = body["KeyConditionExpression"].as_str()?.replace('=', " = ").replace(['(', ')'], " ");
    let words: Vec<&str> = condition.split_whitespace().collect();
    words.windows(3).find_map(|part| {
        let name = body["ExpressionAttributeNames"].get(part[0]).and_then(Value::as_str).unwrap_or(part[0]);
        if name == "pk" && part[1] == "=" {
            scalar(&body["ExpressionAttributeValues"][part[2]])
        } else {
            None
        }
    })
}

/// The text of a string, number or binary attribute value.
fn scalar(value: &Value) -> Option<String> {
    ["S", "N", "B"].iter().find_map(|kind| value.get(kind)?.as_str()).map(str::to_owned)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
