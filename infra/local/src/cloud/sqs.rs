//! SQS on one machine: queues, visibility, delays, redrive and dead letters, answered on the real JSON wire.
//! The queue engine is rustack's; what lives here is the thread it runs on, so that its time can be moved,
//! the limits the engine does not check, and what the control page needs. No function is invoked from here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use rustack_sqs_core::config::SqsConfig;
use rustack_sqs_core::handler::RustackSqsHandler;
use rustack_sqs_core::provider::RustackSqs;
use rustack_sqs_http::dispatch::dispatch_operation;
use rustack_sqs_http::response::{error_to_response, json_response};
use rustack_sqs_http::router::resolve_operation;
use rustack_sqs_model::error::{SqsError, SqsErrorCode};
use rustack_sqs_model::operations::SqsOperation;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{ACCOUNT, REGION};

/// The longest a message can be hidden: 12 hours (SQS quotas, "message visibility timeout"). Moving time
/// further than this at once changes nothing for any message.
const LONGEST_HIDDEN: Duration = Duration::from_hours(12);

/// How far time is moved before it is asked again whether a message still waits for it.
const STRIDE: Duration = Duration::from_mins(5);

/// How many messages one `ReceiveMessage`, and so one batch, can carry (SQS quotas).
pub const BATCH: usize = 10;

/// The largest message and the largest batch the engine stores, in bytes. AWS allows 1 MiB since 2025-08.
const LARGEST_MESSAGE: i64 = 262_144;

/// How many dead letters a look at a queue shows at most.
const PEEK: usize = 100;

/// How many requests that sent messages are remembered; the oldest go first.
const REMEMBERED: usize = 10_000;

/// How long a look or a replay hides the messages it works on, in seconds.
const HIDDEN_WHILE_WORKING: i64 = 60;

/// What SQS said no to, as its wire says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqsFault {
    /// The error's name on the wire, such as `com.amazonaws.sqs#QueueDoesNotExist`.
    pub code: String,
    /// What SQS says about it.
    pub message: String,
}

impl fmt::Display for SqsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQS answered {}: {}", self.code, self.message)
    }
}

impl std::error::Error for SqsFault {}

/// One queue and how many messages it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// The queue's name.
    pub name: String,
    /// The queue's ARN.
    pub arn: String,
    /// Messages that can be received now.
    pub visible: u64,
    /// Messages that were received and are neither deleted nor visible again.
    pub in_flight: u64,
    /// Messages that wait for their delay to pass.
    pub delayed: u64,
    /// The name of the queue that gets what failed too often, if there is one.
    pub dead_letters_to: Option<String>,
}

impl QueueState {
    /// All messages the queue holds, in whatever state.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }

    /// Whether any of its messages waits for time to pass.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.in_flight + self.delayed > 0
    }
}

/// A message as a look at a queue shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeekedMessage {
    /// The id SQS gave the message.
    pub id: String,
    /// The body: a reference to a record, never personal data.
    pub body: String,
    /// How often it was received from the queue it lies in.
    pub receive_count: u64,
}

/// What the engine's thread is asked to do.
enum Job {
    Call { operation: SqsOperation, body: Bytes, reply: oneshot::Sender<Response<Bytes>> },
    Advance { by: Duration, reply: oneshot::Sender<()> },
}

/// Where the queue engine runs.
#[derive(Clone)]
enum Lane {
    /// On a thread of its own, whose time is moved without touching anyone else's.
    Thread(mpsc::UnboundedSender<Job>),
    /// In the runtime of the caller, whose time the caller moves.
    Current(Arc<RustackSqsHandler>),
}

/// SQS. Clones share the queues.
#[derive(Clone)]
pub struct Sqs {
    lane: Lane,
    port: u16,
    /// The requests that sent messages, oldest first.
    sent: Arc<Mutex<VecDeque<Bytes>>>,
    /// The queues that ever got a message, by name, but for what the engine moved to dead letters.
    sent_to: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for Sqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqs").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Sqs {
    /// Starts the queue engine on its own thread. `port` is where the endpoint is served on loopback: queue
    /// URLs name it. The thread ends with the last clone.
    pub fn start(port: u16) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (sender, receiver) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("sqs".to_owned())
            .spawn(move || runtime.block_on(work(engine(port), receiver)))?;
        Ok(Self { lane: Lane::Thread(sender), port, sent: Arc::default(), sent_to: Arc::default() })
    }

    /// Runs the queue engine in the runtime of the caller: for tests on a paused current-thread runtime,
    /// where delays and visibility then follow the test's own time.
    #[must_use]
    pub fn in_current_runtime(port: u16) -> Self {
        Self { lane: Lane::Current(engine(port)), port, sent: Arc::default(), sent_to: Arc::default() }
    }

    /// Answers one request of the JSON protocol (`X-Amz-Target: AmazonSQS.…`).
    pub async fn call(&self, headers: &HeaderMap, body: Bytes) -> Response<Bytes> {
        match resolve_operation(headers) {
            Ok(operation) => self.dispatch(operation, body).await,
            Err(error) => refused(&error).await,
        }
    }

    async fn dispatch(&self, operation: SqsOperation, body: Bytes) -> Response<Bytes> {
        if let Err(error) = check_limits(operation, &body) {
            return refused(&error).await;
        }
        if matches!(operation, SqsOperation::SendMessage | SqsOperation::SendMessageBatch) {
            self.remember(&body);
        }
        if operation == SqsOperation::StartMessageMoveTask {
            return self.start_move_task(&body).await;
        }
        match &self.lane {
            Lane::Current(handler) => perform(handler, operation, body).await,
            Lane::Thread(jobs) => {
                let (reply, answer) = oneshot::channel();
                let sent = jobs.send(Job::Call { operation, body, reply });
                match (sent, answer.await) {
                    (Ok(()), Ok(response)) => response,
                    _ => refused(&SqsError::internal_error("the queue engine has stopped")).await,
                }
            }
        }
    }

    fn remember(&self, request: &Bytes) {
        // What is not JSON is the engine's to refuse.
        let read: Value = serde_json::from_slice(request).unwrap_or_default();
        if let Some(url) = read["QueueUrl"].as_str() {
            self.sent_to.lock().unwrap_or_else(PoisonError::into_inner).insert(last(url, '/'));
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push_back(request.clone());
        if sent.len() > REMEMBERED {
            sent.pop_front();
        }
    }

    /// The requests that sent messages as they came, oldest first: for looking through what no queue may hold.
    #[must_use]
    pub fn sent(&self) -> Vec<Bytes> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Moves the engine's time: delays run out and received messages become visible again as if `by` had
    /// passed.
    ///
    /// # Panics
    /// In the variant of [`Sqs::in_current_runtime`], when the caller's runtime is not a paused
    /// current-thread one.
    pub async fn advance(&self, by: Duration) {
        // The engine ticks every second of every queue, and would tick through all of them: where nothing waits for
        // time, time need not pass.
        let mut left = by.min(LONGEST_HIDDEN + Duration::from_secs(1));
        while !left.is_zero() && self.waits().await {
            let by = left.min(STRIDE);
            left -= by;
            match &self.lane {
                Lane::Current(_) => {
                    tokio::time::advance(by).await;
                    // A queue that is asked while it ticks answers first or ticks first, as chance has it. It ticks 128
                    // times in a go (tokio's budget of a task), and half of the queues may have theirs each time.
                    for _ in 0..2 + by.as_secs() / 64 {
                        tokio::task::yield_now().await;
                    }
                }
                Lane::Thread(jobs) => {
                    let (reply, done) = oneshot::channel();
                    if jobs.send(Job::Advance { by, reply }).is_ok() {
                        let _ = done.await;
                    }
                }
            }
        }
    }

    /// Whether any message waits for time to pass.
    async fn waits(&self) -> bool {
        self.holding().await.is_ok_and(|queues| queues.iter().any(QueueState::waits))
    }

    /// Creates a queue with the attributes `CreateQueue` knows, as the template gives them; the engine's
    /// message limit is put where the template asks for more. Answers the queue's URL.
    pub async fn create_queue(
        &self,
        name: &str,
        attributes: &BTreeMap<String, String>,
    ) -> Result<String, SqsFault> {
        let mut attributes = attributes.clone();
        if let Some(size) = attributes.get_mut("MaximumMessageSize")
            && size.parse::<i64>().is_ok_and(|bytes| bytes > LARGEST_MESSAGE)
        {
            *size = LARGEST_MESSAGE.to_string();
        }
        let made = self.ask("CreateQueue", &json!({ "QueueName": name, "Attributes": attributes })).await?;
        Ok(made["QueueUrl"].as_str().unwrap_or_default().to_owned())
    }

    /// The URL of a queue of this endpoint, whether or not it exists.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        queue_url(self.port, name)
    }

    /// All queues with their counts, by name.
    pub async fn queues(&self) -> Result<Vec<QueueState>, SqsFault> {
        let listed = self.ask("ListQueues", &json!({})).await?;
        let mut queues = Vec::new();
        for url in strings(&listed["QueueUrls"]) {
            queues.push(self.state(&last(&url, '/')).await?);
        }
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(queues)
    }

    /// The queues that hold messages, by name. Most queues never get one: only those that did are asked, and where their
    /// dead letters go.
    pub async fn holding(&self) -> Result<Vec<QueueState>, SqsFault> {
        let mut asked = BTreeSet::new();
        let mut names: Vec<String> =
            self.sent_to.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        let mut holding = Vec::new();
        while let Some(name) = names.pop() {
            if !asked.insert(name.clone()) {
                continue;
            }
            match self.state(&name).await {
                Ok(state) => {
                    names.extend(state.dead_letters_to.clone());
                    holding.push(state);
                }
                // Sent to a queue that never was, or is not any more.
                Err(fault) if fault.code.ends_with("#QueueDoesNotExist") => {}
                Err(fault) => return Err(fault),
            }
        }
        holding.retain(|queue| queue.total() > 0);
        holding.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(holding)
    }

    /// One queue with its counts.
    async fn state(&self, queue: &str) -> Result<QueueState, SqsFault> {
        let names = [
            "QueueArn",
            "RedrivePolicy",
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ];
        let request = json!({ "QueueUrl": self.queue_url(queue), "AttributeNames": names });
        let answer = self.ask("GetQueueAttributes", &request).await?;
        let attributes = &answer["Attributes"];
        let count = |name: &str| attributes[name].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        let dead_letters_to = attributes["RedrivePolicy"]
            .as_str()
            .and_then(|policy| serde_json::from_str::<Value>(policy).ok())
            .and_then(|policy| policy["deadLetterTargetArn"].as_str().map(|arn| last(arn, ':')));
        Ok(QueueState {
            name: queue.to_owned(),
            arn: attributes["QueueArn"].as_str().unwrap_or_default().to_owned(),
            visible: count("ApproximateNumberOfMessages"),
            in_flight: count("ApproximateNumberOfMessagesNotVisible"),
            delayed: count("ApproximateNumberOfMessagesDelayed"),
            dead_letters_to,
        })
    }

    /// Sends a message, as a schedule whose target is a queue does.
    pub async fn send(&self, queue: &str, body: &str) -> Result<(), SqsFault> {
        let request = json!({ "QueueUrl": self.queue_url(queue), "MessageBody": body });
        self.ask("SendMessage", &request).await.map(drop)
    }

    /// Receives up to `most` messages for an event source mapping, without waiting; as `ReceiveMessage` gives
    /// them.
    pub async fn receive(&self, queue: &str, most: u64) -> Result<Vec<Value>, SqsFault> {
        let request = json!({
            "QueueUrl": self.queue_url(queue), "MaxNumberOfMessages": most.clamp(1, BATCH as u64),
            "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        let mut answer = self.ask("ReceiveMessage", &request).await?;
        Ok(answer["Messages"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Deletes a received message.
    pub async fn delete(&self, queue: &str, receipt: &str) -> Result<(), SqsFault> {
        let request = json!({ "QueueUrl": self.queue_url(queue), "ReceiptHandle": receipt });
        self.ask("DeleteMessage", &request).await.map(drop)
    }

    /// Looks at the visible messages of a queue, at most a hundred, and puts them back. Like a look in the
    /// AWS console this counts as a receive: use it on dead-letter queues, which have no redrive of their
    /// own.
    pub async fn peek(&self, queue: &str) -> Result<Vec<PeekedMessage>, SqsFault> {
        let held = self.take(queue, PEEK).await?;
        for message in &held {
            let request = json!({
                "QueueUrl": self.queue_url(queue), "ReceiptHandle": message.receipt, "VisibilityTimeout": 0,
            });
            self.ask("ChangeMessageVisibility", &request).await?;
        }
        Ok(held.into_iter().map(|message| message.shown).collect())
    }

    /// Moves the messages of a dead-letter queue back to where they came from and answers how many. Each is
    /// sent before it is deleted, so that stopping half-way delivers one twice rather than never.
    pub async fn replay(&self, dead_letters: &str) -> Result<usize, SqsFault> {
        let queues = self.queues().await?;
        let sources: BTreeSet<&str> = queues
            .iter()
            .filter(|queue| queue.dead_letters_to.as_deref() == Some(dead_letters))
            .map(|queue| queue.name.as_str())
            .collect();
        let mut moved = 0;
        loop {
            let batch = self.take(dead_letters, BATCH).await?;
            if batch.is_empty() {
                return Ok(moved);
            }
            for message in batch {
                let named = message.source.as_deref().filter(|name| sources.contains(name));
                let Some(source) = named.or_else(|| sources.first().copied()) else {
                    return Err(SqsFault {
                        code: "com.amazonaws.sqs#InvalidParameterValue".to_owned(),
                        message: format!("{dead_letters} is no dead-letter queue of any queue"),
                    });
                };
                let mut request =
                    json!({ "QueueUrl": self.queue_url(source), "MessageBody": message.shown.body });
                if !message.attributes.is_null() {
                    request["MessageAttributes"] = message.attributes;
                }
                self.ask("SendMessage", &request).await?;
                let request =
                    json!({ "QueueUrl": self.queue_url(dead_letters), "ReceiptHandle": message.receipt });
                self.ask("DeleteMessage", &request).await?;
                moved += 1;
            }
        }
    }

    /// Receives up to `limit` messages and holds them.
    async fn take(&self, queue: &str, limit: usize) -> Result<Vec<Held>, SqsFault> {
        let mut held = Vec::new();
        while held.len() < limit {
            let request = json!({
                "QueueUrl": self.queue_url(queue),
                "MaxNumberOfMessages": BATCH.min(limit - held.len()),
                "VisibilityTimeout": HIDDEN_WHILE_WORKING,
                "MessageSystemAttributeNames": ["All"],
                "MessageAttributeNames": ["All"],
            });
            let answer = self.ask("ReceiveMessage", &request).await?;
            let messages = answer["Messages"].as_array().map_or(&[][..], Vec::as_slice);
            if messages.is_empty() {
                break;
            }
            held.extend(messages.iter().map(Held::read));
        }
        Ok(held)
    }

    /// One request in process, for this module's own work.
    async fn ask(&self, operation: &str, request: &Value) -> Result<Value, SqsFault> {
        let mut headers = HeaderMap::new();
        if let Ok(target) = HeaderValue::from_str(&format!("AmazonSQS.{operation}")) {
            headers.insert("x-amz-target", target);
        }
        let response = self.call(&headers, Bytes::from(request.to_string())).await;
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if response.status().is_success() {
            return Ok(body);
        }
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Err(SqsFault { code: text("__type"), message: text("message") })
    }

    /// `StartMessageMoveTask`, which the engine does not have: moves at once instead of in the background.
    async fn start_move_task(&self, body: &Bytes) -> Response<Bytes> {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let source = request["SourceArn"].as_str().map(|arn| last(arn, ':'));
        let moved = match source {
            None => {
                return refused(&SqsError::missing_parameter("The request must contain SourceArn.")).await;
            }
            Some(_) if !request["DestinationArn"].is_null() => {
                let error = SqsError::new(
                    SqsErrorCode::UnsupportedOperation,
                    "Dead letters go back to the queue they came from: leave DestinationArn out.",
                );
                return refused(&error).await;
            }
            Some(queue) => Box::pin(self.replay(&queue)).await,
        };
        match moved {
            Ok(moved) => {
                let handle = json!({ "TaskHandle": format!("moved-{moved}") }).to_string();
                collect(json_response(handle.into_bytes(), "local")).await
            }
            Err(fault) => refused(&SqsError::invalid_parameter_value(fault.message)).await,
        }
    }
}

/// A received message with what is needed to send it on or put it back.
struct Held {
    shown: PeekedMessage,
    receipt: String,
    attributes: Value,
    source: Option<String>,
}

impl Held {
    fn read(message: &Value) -> Self {
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let system = &message["Attributes"];
        Self {
            shown: PeekedMessage {
                id: text("MessageId"),
                body: text("Body"),
                receive_count: system["ApproximateReceiveCount"]
                    .as_str()
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(0),
            },
            receipt: text("ReceiptHandle"),
            attributes: message["MessageAttributes"].clone(),
            source: system["DeadLetterQueueSourceArn"].as_str().map(|arn| last(arn, ':')),
        }
    }
}

/// The URL of a queue of a local endpoint.
#[must_use]
pub fn queue_url(port: u16, name: &str) -> String {
    format!("http://127.0.0.1:{port}/{ACCOUNT}/{name}")
}

/// The ARN of a queue of a local endpoint.
#[must_use]
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

fn engine(port: u16) -> Arc<RustackSqsHandler> {
    let config = SqsConfig {
        default_region: REGION.to_owned(),
        account_id: ACCOUNT.to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        ..SqsConfig::default()
    };
    Arc::new(RustackSqsHandler::new(Arc::new(RustackSqs::new(config))))
}

/// The engine's thread: one job after the other is started; moving time waits for nobody and nobody overtakes
/// it.
async fn work(handler: Arc<RustackSqsHandler>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Call { operation, body, mut reply } => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        response = perform(&handler, operation, body) => drop(reply.send(response)),
                        // Who no longer waits gets no message: it would be hidden until its visibility runs
                        // out.
                        () = reply.closed() => {}
                    }
                });
            }
            Job::Advance { by, reply } => {
                tokio::time::pause();
                tokio::time::advance(by).await;
                tokio::time::resume();
                let _ = reply.send(());
            }
        }
    }
}

async fn perform(handler: &RustackSqsHandler, operation: SqsOperation, body: Bytes) -> Response<Bytes> {
    match dispatch_operation(handler, operation, body).await {
        Ok(response) => collect(response).await,
        Err(error) => refused(&error).await,
    }
}

async fn refused(error: &SqsError) -> Response<Bytes> {
    collect(error_to_response(error, "local")).await
}

async fn collect<B>(response: Response<B>) -> Response<Bytes>
where
    B: BodyExt<Data = Bytes>,
{
    let (parts, body) = response.into_parts();
    if let Ok(body) = body.collect().await {
        return Response::from_parts(parts, body.to_bytes());
    }
    let mut failed = Response::new(Bytes::new());
    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    failed
}

/// The limits AWS documents for the message operations and the engine lets through or clamps in silence.
fn check_limits(operation: SqsOperation, body: &[u8]) -> Result<(), SqsError> {
    // What is not JSON is the engine's to refuse.
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
    let within = |holder: &Value, name: &str, from: i64, to: i64| match holder.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(value) if value.as_i64().is_some_and(|number| (from..=to).contains(&number)) => Ok(()),
        Some(value) => Err(SqsError::invalid_parameter_value(format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be >= {from} and <= {to}, if provided."
        ))),
    };
    match operation {
        SqsOperation::SendMessage => within(&request, "DelaySeconds", 0, 900),
        SqsOperation::SendMessageBatch => {
            let entries = request["Entries"].as_array().map_or(&[][..], Vec::as_slice);
            let size: usize = entries.iter().filter_map(|e| e["MessageBody"].as_str()).map(str::len).sum();
            if i64::try_from(size).is_ok_and(|size| size > LARGEST_MESSAGE) {
                return Err(SqsError::new(
                    SqsErrorCode::BatchRequestTooLong,
                    format!(
                        "Batch requests cannot be longer than {LARGEST_MESSAGE} bytes. You have sent {size} bytes."
                    ),
                ));
            }
            entries.iter().try_for_each(|entry| within(entry, "DelaySeconds", 0, 900))
        }
        SqsOperation::ReceiveMessage => {
            within(&request, "MaxNumberOfMessages", 1, 10)?;
            within(&request, "WaitTimeSeconds", 0, 20)?;
            within(&request, "VisibilityTimeout", 0, 43_200)
        }
        SqsOperation::ChangeMessageVisibility => within(&request, "VisibilityTimeout", 0, 43_200),
        _ => Ok(()),
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What stands behind the last separator: the name in a URL or an ARN.
fn last(text: &str, separator: char) -> String {
    text.rsplit(separator).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn with_dead_letters() -> Sqs {
        let sqs = Sqs::start(4566).unwrap();
        sqs.create_queue("work-dead-letters", &BTreeMap::new()).await.unwrap();
        let policy = json!({ "deadLetterTargetArn": queue_arn("work-dead-letters"), "maxReceiveCount": 2 });
        let attributes = BTreeMap::from([
            ("VisibilityTimeout".to_owned(), "30".to_owned()),
            ("RedrivePolicy".to_owned(), policy.to_string()),
        ]);
        assert_eq!(
            sqs.create_queue("work", &attributes).await.unwrap(),
            "http://127.0.0.1:4566/000000000000/work"
        );
        sqs
    }

    async fn receive(sqs: &Sqs, wait: u64) -> Vec<Value> {
        let request =
            json!({ "QueueUrl": sqs.queue_url("work"), "MaxNumberOfMessages": 10, "WaitTimeSeconds": wait });
        sqs.ask("ReceiveMessage", &request).await.unwrap()["Messages"].as_array().cloned().unwrap_or_default()
    }

    async fn state(sqs: &Sqs, name: &str) -> QueueState {
        sqs.queues().await.unwrap().into_iter().find(|queue| queue.name == name).unwrap()
    }

    #[tokio::test]
    async fn given_a_delayed_message_when_time_is_moved_then_it_arrives_and_not_before() {
        let sqs = with_dead_letters().await;
        let request =
            json!({ "QueueUrl": sqs.queue_url("work"), "MessageBody": "later", "DelaySeconds": 900 });
        sqs.ask("SendMessage", &request).await.unwrap();
        assert_eq!(state(&sqs, "work").await.delayed, 1);

        sqs.advance(Duration::from_secs(890)).await;
        assert!(receive(&sqs, 0).await.is_empty());
        sqs.advance(Duration::from_secs(11)).await;
        assert_eq!(receive(&sqs, 0).await.len(), 1);
    }

    #[tokio::test]
    async fn given_a_waiting_long_poll_when_time_is_moved_then_it_gets_the_delayed_message() {
        let sqs = with_dead_letters().await;
        let request =
            json!({ "QueueUrl": sqs.queue_url("work"), "MessageBody": "later", "DelaySeconds": 10 });
        sqs.ask("SendMessage", &request).await.unwrap();
        let poller = sqs.clone();
        let poll = tokio::spawn(async move { receive(&poller, 20).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        sqs.advance(Duration::from_secs(11)).await;
        assert_eq!(poll.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn given_a_message_that_fails_twice_when_received_again_then_it_is_a_dead_letter_that_can_be_seen_and_replayed()
     {
        let sqs = with_dead_letters().await;
        sqs.send("work", "poison").await.unwrap();
        for _ in 0..2 {
            assert_eq!(receive(&sqs, 0).await.len(), 1);
            sqs.advance(Duration::from_secs(31)).await;
        }
        assert!(receive(&sqs, 0).await.is_empty());
        assert_eq!(state(&sqs, "work").await.dead_letters_to.as_deref(), Some("work-dead-letters"));

        let seen = sqs.peek("work-dead-letters").await.unwrap();
        assert_eq!(seen.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(), ["poison"]);
        assert_eq!(state(&sqs, "work-dead-letters").await.visible, 1, "a look puts back what it saw");

        assert_eq!(sqs.replay("work-dead-letters").await.unwrap(), 1);
        assert_eq!(state(&sqs, "work-dead-letters").await.total(), 0);
        assert_eq!(receive(&sqs, 0).await[0]["Body"], "poison");
    }

    #[tokio::test]
    async fn given_an_ordinary_queue_when_replayed_then_it_is_refused_and_keeps_its_messages() {
        let sqs = with_dead_letters().await;
        sqs.send("work", "not dead").await.unwrap();
        assert!(sqs.replay("work").await.is_err());
        assert_eq!(state(&sqs, "work").await.total(), 1);
    }

    #[tokio::test]
    async fn given_values_beyond_the_documented_limits_when_sent_then_they_are_refused_as_aws_does() {
        let sqs = with_dead_letters().await;
        let url = sqs.queue_url("work");
        for (operation, request) in [
            ("SendMessage", json!({ "QueueUrl": url, "MessageBody": "x", "DelaySeconds": 901 })),
            ("ReceiveMessage", json!({ "QueueUrl": url, "MaxNumberOfMessages": 11 })),
            ("ReceiveMessage", json!({ "QueueUrl": url, "WaitTimeSeconds": 21 })),
            (
                "SendMessageBatch",
                json!({ "QueueUrl": url, "Entries": [{ "Id": "1", "MessageBody": "x", "DelaySeconds": -1 }] }),
            ),
        ] {
            let fault = sqs.ask(operation, &request).await.unwrap_err();
            assert!(fault.code.ends_with("InvalidParameterValue"), "{operation}: {fault}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn given_the_callers_paused_runtime_when_its_time_passes_then_delays_follow_it() {
        let sqs = Sqs::in_current_runtime(4566);
        sqs.create_queue("work", &BTreeMap::new()).await.unwrap();
        let request =
            json!({ "QueueUrl": sqs.queue_url("work"), "MessageBody": "later", "DelaySeconds": 60 });
        sqs.ask("SendMessage", &request).await.unwrap();
        assert!(receive(&sqs, 0).await.is_empty());
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(receive(&sqs, 0).await.len(), 1);
    }
}
