//! The embedded DynamoDB: the JSON 1.0 wire in front of an in-process database (dynoxide, SQLite underneath).
//! No sockets, no signatures, no faults here: serving over TCP is the cloud's business, injecting faults the tests'.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dynoxide::{Database, DynoxideError, ImportOptions, Item};
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use storeward_core::time::Clock;

/// How `X-Amz-Target` of every DynamoDB request begins.
pub const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// The content type of requests and answers.
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// What DynamoDB answers to an operation it does not know; it carries no message.
const UNKNOWN_OPERATION: &str = r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;
/// What DynamoDB answers to a body that is not JSON; it carries no message either.
const NOT_JSON: &str = r#"{"__type":"com.amazon.coral.service#SerializationException"}"#;
/// What DynamoDB answers to an attribute nested deeper than 32 levels.
const TOO_DEEP: &str = "Nesting Levels have exceeded supported limits";
/// What precedes a validation message of `PutItem`, `UpdateItem` and `DeleteItem`.
const ENVELOPE: &str = "1 validation error detected: ";

/// The database could not be opened, copied, loaded or read. Answers to requests are never this: they are wire errors.
#[derive(Debug)]
pub struct DatabaseError(String);

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DatabaseError {}

impl From<DynoxideError> for DatabaseError {
    fn from(error: DynoxideError) -> Self {
        Self(format!("embedded DynamoDB: {error}"))
    }
}

impl From<std::io::Error> for DatabaseError {
    fn from(error: std::io::Error) -> Self {
        Self(format!("embedded DynamoDB: {error}"))
    }
}

impl From<serde_json::Error> for DatabaseError {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("embedded DynamoDB: {error}"))
    }
}

/// Lets the database read our clock, so that TTL follows a clock that is moved.
struct DatabaseClock(Arc<dyn Clock>);

impl dynoxide::storage_backend::Clock for DatabaseClock {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from(self.0.now().seconds()).unwrap_or(0)
    }

    fn now_unix_secs_f64(&self) -> f64 {
        std::time::Duration::from_millis(u64::try_from(self.0.now().millis()).unwrap_or(0)).as_secs_f64()
    }
}

/// One DynamoDB, as one AWS account in one region has it. Clones share the data.
///
/// It answers at once and consistently: throttling, transaction conflicts and eventually consistent reads do not
/// happen by themselves.
#[derive(Clone)]
pub struct EmbeddedDynamoDb {
    database: Database,
    /// Where a persistent database lives; `None` in memory.
    path: Option<Arc<Path>>,
}

impl fmt::Debug for EmbeddedDynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedDynamoDb").field("path", &self.path).finish_non_exhaustive()
    }
}

impl EmbeddedDynamoDb {
    /// An empty database in memory, whose time is `clock`.
    pub fn memory(clock: Arc<dyn Clock>) -> Result<Self, DatabaseError> {
        let database = Database::memory_with_clock(Arc::new(DatabaseClock(clock)))?;
        Ok(Self { database, path: None })
    }

    /// The database in the file at `path`, made when it is not there. Its time is the machine's: dynoxide offers no
    /// file with another clock.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let text =
            path.to_str().ok_or_else(|| DatabaseError("the path of the database is not UTF-8".to_owned()))?;
        Ok(Self { database: Database::new(text)?, path: Some(Arc::from(path)) })
    }

    /// Answers one request: `target` is the value of `X-Amz-Target`, such as `DynamoDB_20120810.PutItem`.
    ///
    /// Blocks for as long as the database takes; in memory that is well under a millisecond for a single item.
    #[must_use]
    pub fn call(&self, target: &str, body: &[u8]) -> Response<Bytes> {
        let Some(operation) = target.strip_prefix(TARGET_PREFIX) else {
            return answer(StatusCode::BAD_REQUEST, UNKNOWN_OPERATION.to_owned());
        };
        let Ok(text) = std::str::from_utf8(body) else {
            return answer(StatusCode::BAD_REQUEST, NOT_JSON.to_owned());
        };
        let result = match serde_json::from_str::<Value>(text) {
            Ok(_) => self.dispatch(operation, text),
            Err(error) if error.to_string().starts_with("recursion limit exceeded") => {
                Some(Err(DynoxideError::ValidationException(TOO_DEEP.to_owned())))
            }
            Err(_) => return answer(StatusCode::BAD_REQUEST, NOT_JSON.to_owned()),
        };
        match result {
            None => answer(StatusCode::BAD_REQUEST, UNKNOWN_OPERATION.to_owned()),
            Some(Ok(json)) => answer(StatusCode::OK, json),
            Some(Err(error)) => {
                let error = worded_for(operation, error);
                let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
                answer(status, error.to_json())
            }
        }
    }

    /// Runs an operation; `None` when it is not one of those the bundle uses.
    fn dispatch(&self, operation: &str, body: &str) -> Option<Result<String, DynoxideError>> {
        let db = &self.database;
        Some(match operation {
            "BatchGetItem" => run(body, |request| db.batch_get_item(request)),
            "BatchWriteItem" => run(body, |request| db.batch_write_item(request)),
            "CreateTable" => run(body, |request| db.create_table(request)),
            "DeleteItem" => run(body, |request| db.delete_item(request)),
            "DeleteTable" => run(body, |request| db.delete_table(request)),
            "DescribeTable" => run(body, |request| db.describe_table(request)),
            "DescribeTimeToLive" => run(body, |request| db.describe_time_to_live(request)),
            "GetItem" => run(body, |request| db.get_item(request)),
            "ListTables" => run(body, |request| db.list_tables(request)),
            "PutItem" => run(body, |request| db.put_item(request)),
            "Query" => run(body, |request| db.query(request)),
            "Scan" => run(body, |request| db.scan(request)),
            "TransactGetItems" => run(body, |request| db.transact_get_items(request)),
            "TransactWriteItems" => run(body, |request| db.transact_write_items(request)),
            "UpdateItem" => run(body, |request| db.update_item(request)),
            "UpdateTimeToLive" => run(body, |request| db.update_time_to_live(request)),
            _ => return None,
        })
    }

    /// Deletes what has expired by now, in every table with a TTL attribute; answers how many items went.
    /// DynamoDB does this by itself within days; here whoever owns the clock says when.
    pub fn sweep_expired(&self) -> Result<usize, DatabaseError> {
        Ok(self.database.sweep_ttl()?)
    }

    /// Loads `items` (DynamoDB JSON: attribute name to `{"S": ...}`) into `table` in one go, without conditions and
    /// without the wire: for filling a table before something is measured. Existing items are replaced.
    pub fn import(&self, table: &str, items: Vec<Value>) -> Result<(), DatabaseError> {
        let items = items.into_iter().map(serde_json::from_value).collect::<Result<Vec<Item>, _>>()?;
        self.database.import_items(table, items, ImportOptions::default())?;
        Ok(())
    }

    /// Every item of `table` as DynamoDB JSON, in a fixed order: two databases with the same items give the same list.
    /// Expired items that no sweep has taken yet are in it.
    pub fn dump(&self, table: &str) -> Result<Vec<Value>, DatabaseError> {
        let mut items = Vec::new();
        let mut request = serde_json::json!({ "TableName": table, "ConsistentRead": true });
        loop {
            let mut page =
                serde_json::to_value(self.database.scan(serde_json::from_value(request.clone())?)?)?;
            if let Some(found) = page.get_mut("Items").and_then(Value::as_array_mut) {
                items.append(found);
            }
            match page.get_mut("LastEvaluatedKey") {
                Some(key) => request["ExclusiveStartKey"] = key.take(),
                None => break,
            }
        }
        // The database keeps an item's attributes in no order of their own.
        items.iter_mut().for_each(Value::sort_all_objects);
        items.sort_by_cached_key(sort_key);
        Ok(items)
    }

    /// The names of all tables, sorted.
    pub fn tables(&self) -> Result<Vec<String>, DatabaseError> {
        let mut names: Vec<String> =
            self.database.table_stats()?.into_iter().map(|table| table.table_name).collect();
        names.sort();
        Ok(names)
    }

    /// Every byte the database holds, for a search after what must not be in it.
    ///
    /// In memory: a compacted copy, so what was deleted is not in it. On file: that copy, and the file and its
    /// write-ahead log as they are, which go on holding deleted items until SQLite reuses their pages.
    pub fn raw_bytes(&self) -> Result<Vec<u8>, DatabaseError> {
        let scratch = ScratchDirectory::new()?;
        let copy = scratch.0.join("copy.sqlite");
        let text =
            copy.to_str().ok_or_else(|| DatabaseError("the temporary directory is not UTF-8".to_owned()))?;
        self.database.vacuum_into(text)?;
        let mut bytes = fs::read(&copy)?;
        if let Some(path) = &self.path {
            bytes.extend(fs::read(path)?);
            let mut log = path.as_os_str().to_owned();
            log.push("-wal");
            match fs::read(PathBuf::from(log)) {
                Ok(read) => bytes.extend(read),
                // The log is gone between a checkpoint and the next write.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(bytes)
    }
}

/// Reads the request, runs the operation and writes its answer.
fn run<Request: DeserializeOwned, Answer: Serialize>(
    body: &str,
    operation: impl FnOnce(Request) -> Result<Answer, DynoxideError>,
) -> Result<String, DynoxideError> {
    let request = serde_json::from_str(body).map_err(|error| unreadable(&error.to_string()))?;
    serde_json::to_string(&operation(request)?)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The wire error for a request that could not be read. Dynoxide's readers put the error's class in front of its
/// message; what has no class is a missing member (validation) or a wrong type (serialization).
fn unreadable(message: &str) -> DynoxideError {
    let bare = message.rfind(" at line ").map_or(message, |end| &message[..end]);
    if let Some(text) = message.strip_prefix("SERIALIZATION_AS_READ:") {
        DynoxideError::SerializationException(text.to_owned())
    } else if let Some(text) = message.strip_prefix("VALIDATION_AS_READ:") {
        DynoxideError::ValidationException(text.to_owned())
    } else if let Some(text) = bare.strip_prefix("SERIALIZATION:") {
        DynoxideError::SerializationException(text.to_owned())
    } else if let Some(text) = bare.strip_prefix("VALIDATION_REQUEST:") {
        DynoxideError::EnvelopedValidation(text.to_owned())
    } else if let Some(text) = bare.strip_prefix("VALIDATION:") {
        DynoxideError::ValidationException(text.to_owned())
    } else if [
        "missing field",
        "unknown variant",
        "invalid type: null",
        "Supplied AttributeValue",
        "empty AttributeValue",
    ]
    .iter()
    .any(|part| bare.contains(part))
    {
        DynoxideError::ValidationException(bare.to_owned())
    } else {
        DynoxideError::SerializationException(bare.to_owned())
    }
}

/// Gives an error the words `operation` uses for it: three of them put request validation in an envelope.
fn worded_for(operation: &str, error: DynoxideError) -> DynoxideError {
    match error {
        DynoxideError::EnvelopedValidation(text)
            if matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem") =>
        {
            DynoxideError::ValidationException(format!("{ENVELOPE}{text}"))
        }
        DynoxideError::EnvelopedValidation(text) => DynoxideError::ValidationException(text),
        other => other,
    }
}

/// An answer with the headers DynamoDB sends.
fn answer(status: StatusCode, body: String) -> Response<Bytes> {
    let checksum = crc32(body.as_bytes());
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert("x-amzn-requestid", next_request_id());
    headers.insert("x-amz-crc32", HeaderValue::from(checksum));
    response
}

/// A request id of the form DynamoDB uses (52 characters), counted so that a run repeats itself.
fn next_request_id() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = format!("{:052X}", NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// The checksum of ISO 3309 (the one of zip and gzip), which the SDKs may verify on every answer.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0_u32; 256];
        let mut index = 0;
        let mut seed = 0_u32;
        while index < table.len() {
            let mut value = seed;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
            seed += 1;
        }
        table
    };
    !bytes.iter().fold(!0_u32, |crc, byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8))
}

/// What items of a dump are ordered by: partition key and sort key, or all of it where a table's keys have other names.
fn sort_key(item: &Value) -> (String, String) {
    match (item.get("pk"), item.get("sk")) {
        (Some(partition), Some(sort)) => (partition.to_string(), sort.to_string()),
        _ => (item.to_string(), String::new()),
    }
}

/// A directory of our own in the temporary directory, gone when dropped.
struct ScratchDirectory(PathBuf);

impl ScratchDirectory {
    fn new() -> Result<Self, DatabaseError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("storeward-{}-{number}", std::process::id()));
            let mut builder = fs::DirBuilder::new();
            // The copy holds whatever the database holds: nobody else may read it.
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left behind by an earlier process with the same number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        // Nothing to do about a failure; the system clears its temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
