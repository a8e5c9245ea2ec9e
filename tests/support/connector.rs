//! The SDK's HTTP connector of the tests: real SDK clients talk to the cloud in this process through it.
//! It records every request and injects the faults of a plan; the cloud itself, stale versions and interleavings are not
//! here (`stale`, `explore`).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::faults::{Fault, FaultPlan};
use super::footprint::Footprint;
use super::stale;

/// Whatever answers requests: a cloud, or something in front of one.
pub type Transport = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

/// Makes a transport of an asynchronous function.
pub fn transport<F, A>(call: F) -> Transport
where
    F: Fn(Request<Bytes>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Bytes>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(call(request)))
}

/// One request as it was seen on the wire.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place among the connector's requests, from 0; every retry of the SDK is a request of its own.
    pub index: usize,
    /// What it touches; of a batch that was not processed whole, what was.
    pub footprint: Footprint,
    /// The size of its body, in bytes.
    pub request_bytes: usize,
    /// What happened to it instead of an undisturbed answer.
    pub fault: Option<Fault>,
    /// The status of the answer, also of one that a fault kept from the caller; `None` when there was none.
    pub status: Option<u16>,
    /// The size of the answer's body, in bytes.
    pub response_bytes: usize,
    /// How many items the answer carries.
    pub items_returned: usize,
}

/// How a piece of work ended that was run under a connector.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It came to its end.
    Finished(T),
    /// A crash of the plan ended it: nothing of it ran after that request.
    Crashed,
}

/// Stands between SDK clients and a transport. Clones share records, plan and crash signal: one connector is one
/// process of the bundle, such as one Lambda instance.
#[derive(Clone)]
pub struct Connector(Arc<Shared>);

struct Shared {
    transport: Transport,
    plan: Mutex<FaultPlan>,
    log: Mutex<Vec<Recorded>>,
    dead: AtomicBool,
    died: Notify,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("requests", &lock(&self.0.log).len()).finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector to `transport` that injects the faults of `plan`.
    #[must_use]
    pub fn new(transport: Transport, plan: FaultPlan) -> Self {
        Self(Arc::new(Shared {
            transport,
            plan: Mutex::new(plan),
            log: Mutex::default(),
            dead: AtomicBool::new(false),
            died: Notify::new(),
        }))
    }

    /// What to give the SDK as its HTTP client.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.0.log).clone()
    }

    /// Forgets the requests so far, counts from 0 again and follows another plan from here on.
    pub fn restart(&self, plan: FaultPlan) {
        *lock(&self.0.plan) = plan;
        lock(&self.0.log).clear();
    }

    /// How many requests that were carried out wrote to each partition, by table and partition key.
    #[must_use]
    pub fn writes_per_partition(&self) -> BTreeMap<(String, String), usize> {
        let mut writes = BTreeMap::new();
        for request in lock(&self.0.log).iter().filter(|request| request.status == Some(200)) {
            for touch in request.footprint.touches.iter().filter(|touch| touch.writes) {
                if let Some(partition) = &touch.partition {
                    *writes.entry((touch.table.clone(), partition.clone())).or_insert(0) += 1;
                }
            }
        }
        writes
    }

    /// Runs work whose requests go through this connector until it ends or a crash of the plan ends it.
    ///
    /// After a crash the work's future is dropped without being polled again, as when an instance dies: no error
    /// handling, no clean-up request. The next `run` is a new life of the process.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Outcome<T> {
        self.0.dead.store(false, Ordering::SeqCst);
        tokio::select! {
            biased;
            () = self.death() => Outcome::Crashed,
            result = work => Outcome::Finished(result),
        }
    }

    /// Comes to its end when the process has died.
    async fn death(&self) {
        while !self.0.dead.load(Ordering::SeqCst) {
            let died = self.0.died.notified();
            if self.0.dead.load(Ordering::SeqCst) {
                return;
            }
            died.await;
        }
    }

    /// Kills the process: the caller never hears anything again.
    async fn die(&self) -> ! {
        self.0.dead.store(true, Ordering::SeqCst);
        self.0.died.notify_waiters();
        std::future::pending().await
    }

    async fn send(self, request: Request<Bytes>) -> Result<Response<Bytes>, ConnectorError> {
        let footprint = Footprint::of(&request);
        let (index, fault) = {
            let mut log = lock(&self.0.log);
            let index = log.len();
            let fault = lock(&self.0.plan).fault_for(index, &footprint);
            log.push(Recorded {
                index,
                footprint: footprint.clone(),
                request_bytes: request.body().len(),
                fault,
                status: None,
                response_bytes: 0,
                items_returned: 0,
            });
            (index, fault)
        };
        let response = match fault {
            None => (self.0.transport)(request).await,
            Some(Fault::StaleRead(writes)) => {
                let mut request = request;
                request.headers_mut().insert(stale::HEADER, HeaderValue::from(u16::from(writes)));
                (self.0.transport)(request).await
            }
            Some(Fault::Throttled) => refuse(&footprint, "ProvisionedThroughputExceededException"),
            Some(Fault::RequestThrottled) => match footprint.service {
                "SQS" => refuse(&footprint, "RequestThrottled"),
                _ => refuse(&footprint, "ThrottlingException"),
            },
            Some(Fault::TransactionConflict) => conflict(&footprint),
            Some(Fault::Unprocessed) => self.half_a_batch(index, request).await,
            Some(Fault::TimeoutBefore) => return Err(timeout()),
            Some(Fault::TimeoutAfter) => {
                self.note(index, &(self.0.transport)(request).await);
                return Err(timeout());
            }
            Some(Fault::CrashBefore) => self.die().await,
            Some(Fault::CrashAfter) => {
                self.note(index, &(self.0.transport)(request).await);
                self.die().await
            }
        };
        self.note(index, &response);
        Ok(response)
    }

    /// Completes the record of a request with its answer.
    fn note(&self, index: usize, response: &Response<Bytes>) {
        // It is gone when the log was restarted while the request was under way.
        if let Some(recorded) = lock(&self.0.log).get_mut(index) {
            recorded.status = Some(response.status().as_u16());
            recorded.response_bytes = response.body().len();
            recorded.items_returned = items_in(response.body());
        }
    }

    /// Sends the first half of a batch and hands the second back as DynamoDB does when it is short of capacity.
    async fn half_a_batch(&self, index: usize, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let mut kept: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let mut rest = json!({});
        for (table, entry) in kept["RequestItems"].as_object_mut().into_iter().flatten() {
            let list = if entry.is_array() { &mut *entry } else { &mut entry["Keys"] };
            let Some(list) = list.as_array_mut() else { continue };
            let second = list.split_off(list.len().div_ceil(2));
            if second.is_empty() {
                continue;
            }
            rest[table] = if entry.is_array() {
                Value::Array(second)
            } else {
                let mut keys = entry.clone();
                keys["Keys"] = Value::Array(second);
                keys
            };
        }
        let request = Request::from_parts(parts, Bytes::from(kept.to_string()));
        if let Some(recorded) = lock(&self.0.log).get_mut(index) {
            recorded.footprint = Footprint::of(&request);
        }
        let response = (self.0.transport)(request).await;
        if !response.status().is_success() {
            return response;
        }
        let mut answer: Value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        let member = if answer.get("Responses").is_some() { "UnprocessedKeys" } else { "UnprocessedItems" };
        answer[member] = rest;
        answer_with(200, &answer)
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request = request.map(|body| body.bytes().map(Bytes::copy_from_slice));
            let (parts, Some(body)) = request.into_parts() else {
                return Err(ConnectorError::user("a streaming body: the bundle sends none to AWS".into()));
            };
            let response = connector.send(Request::from_parts(parts, body)).await?;
            HttpResponse::try_from(response.map(SdkBody::from))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A poisoned lock is a test that failed elsewhere; what it guards is only counted and read.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn timeout() -> ConnectorError {
    ConnectorError::timeout("the injected time-out".into())
}

/// The refusal of a request in the words of its service.
fn refuse(request: &Footprint, kind: &str) -> Response<Bytes> {
    let (namespace, status) = match request.service {
        "DynamoDB" if kind == "ThrottlingException" => ("com.amazon.coral.availability#", 400),
        "DynamoDB" => ("com.amazonaws.dynamodb.v20120810#", 400),
        "SQS" => ("com.amazonaws.sqs#", 400),
        "Scheduler" => ("", 429),
        _ => ("", 400),
    };
    answer_with(status, &json!({ "__type": format!("{namespace}{kind}"), "message": "an injected refusal" }))
}

/// The refusal of a write or a transaction because another transaction holds an item of it: for a transaction the
/// reasons name its first item, for a single write it is an exception of its own.
fn conflict(request: &Footprint) -> Response<Bytes> {
    if !request.operation.starts_with("Transact") {
        return refuse(request, "TransactionConflictException");
    }
    let reason = |index| {
        if index == 0 {
            json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" })
        } else {
            json!({ "Code": "None" })
        }
    };
    let codes: Vec<&str> = (0..request.touches.len())
        .map(|index| if index == 0 { "TransactionConflict" } else { "None" })
        .collect();
    answer_with(
        400,
        &json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": format!(
                "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", ")
            ),
            "CancellationReasons": (0..request.touches.len()).map(reason).collect::<Vec<_>>(),
        }),
    )
}

/// A JSON answer.
pub(super) fn answer_with(status: u16, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
    // The error of a REST-JSON service is named in a header.
    if let Some(kind) = body["__type"].as_str().and_then(|kind| HeaderValue::from_str(kind).ok()) {
        response.headers_mut().insert("x-amzn-errortype", kind);
    }
    response
}

/// How many items a DynamoDB answer carries.
fn items_in(body: &[u8]) -> usize {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return 0 };
    let list = |value: &Value| value.as_array().map_or(0, Vec::len);
    let batches = match &answer["Responses"] {
        Value::Object(tables) => tables.values().map(list).sum(),
        Value::Array(items) => items.iter().filter(|item| item.get("Item").is_some()).count(),
        _ => 0,
    };
    batches + list(&answer["Items"]) + usize::from(answer.get("Item").is_some())
}
