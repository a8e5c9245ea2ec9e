//! The bundle on one machine: the functions of the template behind their URLs, queues and schedules, on a
//! clock that can be moved. How a function is run is somebody else's (`functions`), and so are the event
//! shapes (`lambda`) and the control page (`control`).

pub mod bundle;
mod control;
pub mod functions;
mod gateway;
mod insight;
pub mod lambda;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use storeward_core::time::{Clock as _, HOUR, ManualClock, SystemClock, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use self::lambda::Entry;
use crate::claude::{self, Claude};
use crate::cloud::dynamodb::DatabaseError;
use crate::cloud::scheduler::{Firing, SchedulerError};
use crate::cloud::sqs::{QueueState, SqsFault, queue_arn};
use crate::cloud::{Cloud, require_loopback};
use crate::google::{self, Google};
use crate::issuer::{self, Issuer};
use crate::resend::{self, Resend};
use crate::shopify::Shopify;
use crate::template::{Function, QueueMapping, Template};

/// How often queues and schedules are looked at when nothing woke the runtime.
const IDLE: Duration = Duration::from_millis(100);

/// How often a clock that goes on with the machine's is moved.
const TICK: Duration = Duration::from_millis(100);

/// How far the clock moves at once while a message waits for its delay or its visibility: jobs run within
/// this of when they should.
const QUEUE_STEP: Duration = Duration::from_mins(1);

/// How many invocations are remembered; the oldest go first.
const REMEMBERED: usize = 5_000;

/// What an invocation came to.
#[derive(Clone, Debug)]
pub struct Invoked {
    /// The function's answer, or why it has none. The reason holds no personal data: it is shown.
    pub answer: Result<Value, String>,
    /// How many requests of each kind it made to AWS.
    pub requests: BTreeMap<String, u64>,
}

/// An invocation under way.
pub type Invoking = Pin<Box<dyn Future<Output = Invoked> + Send>>;

/// A look at what the functions made.
pub type Looking = Pin<Box<dyn Future<Output = Value> + Send>>;

/// How functions are run: the deployed code with its settings, or a test's.
pub trait Functions: Send + Sync + 'static {
    /// Runs the function of this handler (`webhooks/orders-create`) with an event as Lambda gives it.
    fn invoke(&self, handler: &str, event: Value, deadline: Timestamp) -> Invoking;

    /// What they made of these shops, as JSON for the control page; null where there is nothing to tell.
    fn shops(&self, _domains: Vec<String>) -> Looking {
        Box::pin(async { Value::Null })
    }
}

/// What a function did, without anything of what it worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// When it was called.
    pub at: Timestamp,
    /// Its name, `orders-create`.
    pub function: String,
    /// What called it: `url`, `queue <name>`, `schedule <name>` or `api`.
    pub trigger: String,
    /// How long it took on the machine's clock.
    pub took: Duration,
    /// Whether it answered.
    pub succeeded: bool,
    /// What came of it: a status, how many messages were done, or an error.
    pub outcome: String,
    /// How many requests of each kind it made to AWS.
    pub requests: BTreeMap<String, u64>,
}

/// Why the stack could not be started, or stopped working.
#[derive(Debug)]
pub enum StackError {
    /// A resource of the template could not be made.
    Resource {
        /// Its name.
        name: String,
        /// What the service said.
        why: String,
    },
    /// A queue did not answer.
    Queue(SqsFault),
    /// Schedules could not be kept.
    Schedule(SchedulerError),
    /// Expired items could not be swept.
    Database(DatabaseError),
    /// The simulated Google cannot sign.
    Google(google::KeyError),
    /// The clock is the machine's: nobody moves it.
    RealTime,
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource { name, why } => write!(f, "{name} could not be made: {why}"),
            Self::Queue(error) => error.fmt(f),
            Self::Schedule(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Google(error) => error.fmt(f),
            Self::RealTime => f.write_str("this run keeps its data and follows the machine's clock"),
        }
    }
}

impl std::error::Error for StackError {}

impl From<SqsFault> for StackError {
    fn from(error: SqsFault) -> Self {
        Self::Queue(error)
    }
}

impl From<SchedulerError> for StackError {
    fn from(error: SchedulerError) -> Self {
        Self::Schedule(error)
    }
}

impl From<google::KeyError> for StackError {
    fn from(error: google::KeyError) -> Self {
        Self::Google(error)
    }
}

impl From<DatabaseError> for StackError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

struct Inner {
    cloud: Cloud,
    shopify: Shopify,
    resend: Resend,
    google: Google,
    claude: Claude,
    issuer: Option<Issuer>,
    template: Template,
    functions: Arc<dyn Functions>,
    /// The hand of the clock, where it can be moved.
    hand: Option<ManualClock>,
    activities: Mutex<VecDeque<Activity>>,
    /// Held by whoever works off queues and schedules: one at a time, so that "idle" means something.
    turn: tokio::sync::Mutex<Agenda>,
    wake: Notify,
    /// What each API's throttling has left.
    buckets: gateway::Buckets,
}

/// What whoever has the turn keeps up to date.
struct Agenda {
    /// The hour up to which expired items were swept.
    swept: i64,
    /// Asynchronous invocations that failed and are tried again.
    retries: Vec<Retry>,
}

/// An asynchronous invocation that failed.
struct Retry {
    at: Timestamp,
    attempt: u64,
    firing: Firing,
}

/// How long Lambda waits before it tries an asynchronous invocation again: a minute, then two (Lambda,
/// "Asynchronous invocation").
fn back_off(attempt: u64) -> Duration {
    Duration::from_mins(attempt)
}

/// The bundle, running. Clones share it.
#[derive(Clone)]
pub struct LocalStack(Arc<Inner>);

impl fmt::Debug for LocalStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStack").field("cloud", &self.0.cloud).finish_non_exhaustive()
    }
}

impl LocalStack {
    /// Makes the template's tables, queues, schedule groups and schedules in `cloud`, where they are not
    /// there yet, and wires the functions to them. `hand` moves the clock of `cloud`, where it can be moved.
    /// Nothing is served or worked off before [`LocalStack::run`].
    pub async fn start(
        cloud: Cloud,
        shopify: Shopify,
        template: Template,
        functions: Arc<dyn Functions>,
        hand: Option<ManualClock>,
    ) -> Result<Self, StackError> {
        for table in &template.tables {
            create(&cloud, "CreateTable", &table.name, &table.create_request)?;
            if let Some(attribute) = &table.time_to_live {
                let request = json!({
                    "TableName": table.name,
                    "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
                });
                create(&cloud, "UpdateTimeToLive", &table.name, &request)?;
            }
        }
        for queue in &template.queues {
            let attributes = &queue.attributes;
            cloud.sqs().create_queue(&queue.name, attributes).await?;
        }
        for group in &template.schedule_groups {
            cloud.scheduler().ensure_group(group)?;
        }
        for schedule in template.functions.iter().flat_map(|function| &function.schedules) {
            cloud.scheduler().put(&schedule.name, &schedule.request)?;
        }
        let hour = cloud.clock().now().hour();
        let resend = Resend::new(cloud.clock().clone());
        let google = Google::new(cloud.clock().clone())?;
        let claude = Claude::new(cloud.clock().clone());
        let issuer = Issuer::new(template.port, cloud.clock().clone());
        Ok(Self(Arc::new(Inner {
            cloud,
            shopify,
            resend,
            google,
            claude,
            issuer,
            template,
            functions,
            hand,
            activities: Mutex::default(),
            turn: tokio::sync::Mutex::new(Agenda { swept: hour, retries: Vec::new() }),
            wake: Notify::new(),
            buckets: gateway::Buckets::default(),
        })))
    }

    /// The issuer of operators' tokens.
    #[must_use]
    pub fn issuer(&self) -> Option<&Issuer> {
        self.0.issuer.as_ref()
    }

    /// The cloud the bundle runs on.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.0.cloud
    }

    /// The Shopify the bundle calls.
    #[must_use]
    pub fn shopify(&self) -> &Shopify {
        &self.0.shopify
    }

    /// The Resend the bundle sends mail through.
    #[must_use]
    pub fn resend(&self) -> &Resend {
        &self.0.resend
    }

    /// The Google whose mailboxes the bundle reads.
    #[must_use]
    pub fn google(&self) -> &Google {
        &self.0.google
    }

    /// The Claude the bundle asks.
    #[must_use]
    pub fn claude(&self) -> &Claude {
        &self.0.claude
    }

    /// The wiring the bundle runs with.
    #[must_use]
    pub fn template(&self) -> &Template {
        &self.0.template
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.cloud.clock().now()
    }

    /// Whether the clock can be moved.
    #[must_use]
    pub fn is_movable(&self) -> bool {
        self.0.hand.is_some()
    }

    /// What functions did, oldest first.
    #[must_use]
    pub fn activities(&self) -> Vec<Activity> {
        self.0.activities.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Lets a clock that can be moved go on with the machine's, for ever. `shown` is the machine's time that the
    /// clock shows already. Delays and visibility of messages go on anyway.
    pub async fn keep_time(&self, mut shown: Timestamp) {
        loop {
            let now = SystemClock.now();
            if let Some(hand) = &self.0.hand {
                hand.advance(now.since(shown));
            }
            shown = now;
            tokio::time::sleep(TICK).await;
        }
    }

    /// Serves everything at the listener and works off queues and schedules, until the future is dropped.
    pub async fn run(&self, listener: TcpListener) -> std::io::Result<()> {
        require_loopback(&listener)?;
        let serving = axum::serve(listener, self.router());
        tokio::select! {
            served = serving => served,
            () = self.work() => Ok(()),
        }
    }

    /// Works off queues and schedules as they come, for ever.
    pub async fn work(&self) {
        loop {
            if let Err(error) = self.settle().await {
                tracing::error!(%error, "the local runtime could not work off what is due");
            }
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }

    /// Everything in one router: `/lambda-url/`, `/api/`, `/auth`, `/google`, `/operator/`, `/_local/`, the simulated Resend, Google,
    /// Claude and Admin API,
    /// and the cloud for the rest.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/lambda-url/{function}", any(Self::serve_url))
            .route("/lambda-url/{function}/", any(Self::serve_url))
            .route("/lambda-url/{function}/{*path}", any(Self::serve_url))
            // The API has a host of its own in a deployment. What browsers are sent to is where it is there, the rest has a
            // prefix that keeps it apart from the cloud's own paths.
            .route("/auth", any(Self::serve_api))
            .route("/auth/{*path}", any(Self::serve_api))
            .route("/google/{*path}", any(Self::serve_api))
            .route("/api", any(Self::serve_api))
            .route("/api/", any(Self::serve_api))
            .route("/api/{*path}", any(Self::serve_api))
            .route("/operator/{*path}", any(Self::serve_api))
            .merge(control::router())
            .with_state(self.clone())
            .nest(resend::PATH, self.0.resend.router())
            .nest(google::PATH, self.0.google.router())
            .nest(claude::PATH, self.0.claude.router())
            .nest(issuer::PATH, self.0.issuer.as_ref().map(Issuer::router).unwrap_or_default())
            .merge(self.0.shopify.router())
            .fallback_service(self.0.cloud.router())
    }

    async fn serve_url(
        State(stack): State<Self>,
        Path(path): Path<Vec<(String, String)>>,
        request: Request<Body>,
    ) -> Response<Body> {
        let name = path.first().map(|(_, name)| name.clone()).unwrap_or_default();
        let (parts, body) = request.into_parts();
        match axum::body::to_bytes(body, lambda::LARGEST_PAYLOAD).await {
            Ok(body) => {
                let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
                let shop = header("x-shopify-shop-domain").unwrap_or_default().to_owned();
                let is_order = header("x-shopify-topic").is_some_and(|topic| topic.starts_with("orders/"));
                // Before the function runs: its job may tag the order before this is answered.
                let heard = is_order.then(|| stack.0.shopify.hear_of(&shop, &body)).flatten();
                let response = stack.call_url(&name, Request::from_parts(parts, body)).await;
                if let Some(order) = heard.filter(|_| !response.status().is_success()) {
                    stack.0.shopify.forget(&shop, order);
                }
                response.map(Body::from)
            }
            Err(_) => problem(StatusCode::PAYLOAD_TOO_LARGE, "a function takes at most 6 MB").map(Body::from),
        }
    }

    async fn serve_api(State(stack): State<Self>, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        match axum::body::to_bytes(body, lambda::LARGEST_PAYLOAD).await {
            Ok(body) => stack.call_api(Request::from_parts(parts, body)).await.map(Body::from),
            Err(_) => problem(StatusCode::PAYLOAD_TOO_LARGE, "a function takes at most 6 MB").map(Body::from),
        }
    }

    /// Calls a function by its URL, as a request to `/lambda-url/<name>/…` does.
    pub async fn call_url(&self, name: &str, request: Request<Bytes>) -> Response<Bytes> {
        let Some(function) =
            self.0.template.functions.iter().find(|function| function.url && function.name == name)
        else {
            return problem(StatusCode::NOT_FOUND, "no function of the template has this URL");
        };
        let (parts, body) = request.into_parts();
        let prefix = format!("/lambda-url/{name}");
        let path = parts.uri.path().strip_prefix(&prefix).filter(|path| !path.is_empty()).unwrap_or("/");
        let entry = Entry { id: name, route_key: "$default", path, parameters: BTreeMap::new() };
        let event = lambda::request_event(&entry, &parts, &body, self.now(), &request_id());
        self.call(function, "url", event).await
    }

    async fn call(&self, function: &Function, trigger: &str, event: Value) -> Response<Bytes> {
        let started = self.begin(function, trigger);
        let invoked = self.invoke(function, event).await;
        let response = invoked.answer.as_ref().map_or_else(|_| lambda::failed(), lambda::response_of);
        let outcome = invoked.answer.as_ref().err().cloned();
        let outcome = outcome.unwrap_or_else(|| response.status().as_u16().to_string());
        self.finish(started, invoked, outcome);
        self.0.wake.notify_one();
        response
    }

    /// Works off everything that is due now: schedules, then queues until they have nothing more to give.
    /// Answers how many invocations that took.
    pub async fn settle(&self) -> Result<usize, StackError> {
        let mut agenda = self.0.turn.lock().await;
        self.settle_in_turn(&mut agenda).await
    }

    async fn settle_in_turn(&self, agenda: &mut Agenda) -> Result<usize, StackError> {
        let mut invocations = 0;
        let hour = self.now().hour();
        if hour > agenda.swept {
            self.0.cloud.dynamodb().sweep_expired()?;
            agenda.swept = hour;
        }
        loop {
            let mut worked = 0;
            for firing in self.0.cloud.scheduler().take_due(self.now())? {
                worked += 1;
                self.fire(agenda, firing, 1).await?;
            }
            let now = self.now();
            for retry in agenda.retries.extract_if(.., |retry| retry.at <= now).collect::<Vec<_>>() {
                worked += 1;
                self.fire(agenda, retry.firing, retry.attempt).await?;
            }
            worked += self.push_notices().await;
            let mappings = self.0.template.functions.iter().flat_map(|function| {
                function.queues.iter().map(move |mapping| self.take_batch(function, mapping))
            });
            for taken in futures::future::join_all(mappings).await {
                worked += usize::from(taken?);
            }
            if worked == 0 {
                return Ok(invocations);
            }
            invocations += worked;
        }
    }

    /// Moves the clock, stopping wherever something is due on the way: a schedule, a delayed or hidden
    /// message, the hourly sweep of expired items. At each stop everything due is worked off before time goes
    /// on.
    pub async fn advance(&self, by: Duration) -> Result<(), StackError> {
        let Some(hand) = &self.0.hand else { return Err(StackError::RealTime) };
        let mut agenda = self.0.turn.lock().await;
        let target = self.now() + by;
        self.settle_in_turn(&mut agenda).await?;
        while self.now() < target {
            let now = self.now();
            let next_hour =
                Timestamp::from_seconds((now.hour() + 1) * i64::try_from(HOUR.as_secs()).unwrap_or(0));
            let waiting = self.0.cloud.sqs().holding().await?.iter().any(QueueState::waits);
            let stop = [
                Some(target),
                Some(next_hour),
                self.0.cloud.scheduler().next_due().map(|due| due.max(now)),
                agenda.retries.iter().map(|retry| retry.at.max(now)).min(),
                self.next_push().map(|due| due.max(now)),
                waiting.then_some(now + QUEUE_STEP),
            ];
            let stop = stop.into_iter().flatten().min().unwrap_or(target);
            hand.set(stop);
            self.0.cloud.sqs().advance(stop.since(now)).await;
            self.settle_in_turn(&mut agenda).await?;
        }
        Ok(())
    }

    /// Moves dead letters back to where they came from and lets them be worked off. Answers how many.
    pub async fn replay(&self, dead_letters: &str) -> Result<usize, StackError> {
        let moved = self.0.cloud.sqs().replay(dead_letters).await?;
        self.0.wake.notify_one();
        Ok(moved)
    }

    /// Pushes what watched mailboxes have to tell to the function it is for, where there is one. What it does not acknowledge
    /// is pushed again later, as Pub/Sub does. Answers how many pushes that were.
    async fn push_notices(&self) -> usize {
        if !self.is_pushed_to() {
            return 0;
        }
        let pushes = self.0.google.take_pushes();
        let uri = format!("/lambda-url/{}/", google::PUSHED_TO);
        for push in &pushes {
            let Some(request) = self.0.google.signed(push, &uri) else { continue };
            // What acknowledges (Pub/Sub, "Receive push messages").
            let status = self.call_url(google::PUSHED_TO, request).await.status().as_u16();
            if ![102, 200, 201, 202, 204].contains(&status) {
                self.0.google.push_again(push.clone());
            }
        }
        pushes.len()
    }

    /// Whether there is a function for what mailboxes tell.
    fn is_pushed_to(&self) -> bool {
        let mut functions = self.0.template.functions.iter();
        functions.any(|function| function.url && function.name == google::PUSHED_TO)
    }

    /// When the next notice is due that somebody takes.
    fn next_push(&self) -> Option<Timestamp> {
        self.is_pushed_to().then(|| self.0.google.next_push()).flatten()
    }

    /// Calls a schedule's target for the `attempt`th time.
    async fn fire(&self, agenda: &mut Agenda, firing: Firing, attempt: u64) -> Result<(), StackError> {
        if let Some(function) = self.0.template.functions.iter().find(|f| f.arn == firing.target_arn) {
            let event: Value = serde_json::from_str(&firing.input).unwrap_or(Value::Null);
            let started = self.begin(function, &format!("schedule {}", firing.schedule));
            let invoked = self.invoke(function, event.clone()).await;
            let error = invoked.answer.as_ref().err().cloned();
            self.finish(started, invoked, error.clone().unwrap_or_else(|| "done".to_owned()));
            match (error, &function.failures_to) {
                (Some(_), _) if attempt <= function.retries => {
                    let at = self.now() + back_off(attempt);
                    agenda.retries.push(Retry { at, attempt: attempt + 1, firing });
                }
                (Some(error), Some(queue)) => {
                    let record = lambda::failure_record(&function.arn, &event, &error, attempt, self.now());
                    self.0.cloud.sqs().send(queue, &record.to_string()).await?;
                }
                _ => {}
            }
            return Ok(());
        }
        let queue = firing.target_arn.rsplit(':').next().unwrap_or_default();
        match self.0.cloud.sqs().send(queue, &firing.input).await {
            Ok(()) => tracing::info!(schedule = firing.schedule, queue, "a schedule fired"),
            // On AWS it would be tried again and then dropped: the others must not wait for it.
            Err(error) => {
                tracing::error!(schedule = firing.schedule, %error, "a schedule's target is not there");
            }
        }
        Ok(())
    }

    /// Gives one batch of a queue to its function. Answers whether there was one.
    async fn take_batch(&self, function: &Function, mapping: &QueueMapping) -> Result<bool, StackError> {
        let sqs = self.0.cloud.sqs();
        let messages = sqs.receive(&mapping.queue, mapping.batch_size).await?;
        if messages.is_empty() {
            return Ok(false);
        }
        let started = self.begin(function, &format!("queue {}", mapping.queue));
        let invoked = self.invoke(function, lambda::batch_event(&queue_arn(&mapping.queue), &messages)).await;
        let outcome = match &invoked.answer {
            Ok(answer) => {
                let done = lambda::done_of(&messages, answer, mapping.reports_batch_item_failures);
                for &place in &done {
                    let receipt = messages[place]["ReceiptHandle"].as_str().unwrap_or_default();
                    sqs.delete(&mapping.queue, receipt).await?;
                }
                format!("{} of {} messages done", done.len(), messages.len())
            }
            Err(error) => error.clone(),
        };
        self.finish(started, invoked, outcome);
        Ok(true)
    }

    /// Runs a function within its timeout. A panic and a timeout are failures of this invocation alone, as on
    /// Lambda.
    async fn invoke(&self, function: &Function, event: Value) -> Invoked {
        let invoking = self.0.functions.invoke(&function.handler, event, self.now() + function.timeout);
        let task = tokio::spawn(invoking);
        let abort = task.abort_handle();
        let lost = |why: &str| Invoked { answer: Err(why.to_owned()), requests: BTreeMap::new() };
        match tokio::time::timeout(function.timeout, task).await {
            Ok(Ok(invoked)) => invoked,
            Ok(Err(_)) => lost("the function panicked"),
            Err(_) => {
                abort.abort();
                lost(&format!("timed out after {} s", function.timeout.as_secs()))
            }
        }
    }

    fn begin(&self, function: &Function, trigger: &str) -> Started {
        Started {
            at: self.now(),
            function: function.name.clone(),
            trigger: trigger.to_owned(),
            since: tokio::time::Instant::now(),
        }
    }

    fn finish(&self, started: Started, invoked: Invoked, outcome: String) {
        let activity = Activity {
            at: started.at,
            function: started.function,
            trigger: started.trigger,
            took: started.since.elapsed(),
            succeeded: invoked.answer.is_ok(),
            outcome,
            requests: invoked.requests,
        };
        let mut activities = self.0.activities.lock().unwrap_or_else(PoisonError::into_inner);
        activities.push_back(activity);
        if activities.len() > REMEMBERED {
            activities.pop_front();
        }
    }
}

/// An invocation that has begun.
struct Started {
    at: Timestamp,
    function: String,
    trigger: String,
    since: tokio::time::Instant,
}

/// Makes a table or its expiry, unless it is there from an earlier run.
fn create(cloud: &Cloud, operation: &str, name: &str, request: &Value) -> Result<(), StackError> {
    let target = format!("DynamoDB_20120810.{operation}");
    let response = cloud.dynamodb().call(&target, request.to_string().as_bytes());
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let kind = body["__type"].as_str().unwrap_or_default();
    let there = kind.ends_with("#ResourceInUseException")
        || (operation == "UpdateTimeToLive" && body.to_string().contains("already enabled"));
    if response.status().is_success() || there {
        return Ok(());
    }
    Err(StackError::Resource { name: name.to_owned(), why: body.to_string() })
}

/// An RFC 9457 problem.
fn problem(status: StatusCode, detail: &str) -> Response<Bytes> {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

fn request_id() -> String {
    let mut bytes = [0; 16];
    // Ids only have to differ for whoever reads a log; without randomness they are all zero.
    let _ = SystemRandom::new().fill(&mut bytes);
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use storeward_core::oauth::{Access, Scopes};
    use storeward_store::{Acting, By, Profile};

    use super::bundle::{Bundle, Keep, Options};
    use super::*;
    use crate::shopify::{SimulatedOrder, SimulatedShop};
    use crate::wire;

    const START: &str = "2026-11-22T12:00:00Z";

    const TEMPLATE: &str = r"
Resources:
  Front:
    Type: AWS::Serverless::Function
    Properties:
      Handler: webhooks/front
      FunctionUrlConfig: { AuthType: NONE }
      Events:
        Page: { Type: HttpApi, Properties: { Path: '/cases/{id}', Method: get } }
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: jobs/worker
      Timeout: 30
      Events:
        Messages:
          Type: SQS
          Properties: { Queue: !GetAtt Work.Arn, FunctionResponseTypes: [ReportBatchItemFailures] }
  Sweep:
    Type: AWS::Serverless::Function
    Properties:
      Handler: schedules/sweep
      Timeout: 1
      EventInvokeConfig: { MaximumRetryAttempts: 1, DestinationConfig: { OnFailure: { Type: SQS, Destination: !GetAtt Lost.Arn } } }
      Events:
        Hourly: { Type: ScheduleV2, Properties: { ScheduleExpression: rate(1 hour) } }
  Pushed:
    Type: AWS::Serverless::Function
    Properties:
      Handler: pushes/gmail-push
      FunctionUrlConfig: { AuthType: NONE }
  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: work
      VisibilityTimeout: 180
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2 }
  Dead: { Type: AWS::SQS::Queue, Properties: { QueueName: dead } }
  Lost: { Type: AWS::SQS::Queue, Properties: { QueueName: lost } }
";

    /// What the functions of the template saw, and when.
    #[derive(Clone, Debug)]
    struct Observed {
        clock: Arc<dyn storeward_core::time::Clock>,
        seen: Arc<Mutex<Vec<(Timestamp, String)>>>,
    }

    impl Functions for Observed {
        fn invoke(&self, handler: &str, event: Value, _deadline: Timestamp) -> Invoking {
            let (handler, observed) = (handler.to_owned(), self.clone());
            Box::pin(async move {
                let mut failures = Vec::new();
                let see = |what: String| observed.seen.lock().unwrap().push((observed.clock.now(), what));
                let answer = match handler.as_str() {
                    "jobs/worker" => {
                        for record in event["Records"].as_array().unwrap() {
                            let body = record["body"].as_str().unwrap();
                            see(body.to_owned());
                            match body {
                                "panic" => panic!("asked to"),
                                "poison" => failures.push(json!({ "itemIdentifier": record["messageId"] })),
                                _ => {}
                            }
                        }
                        json!({ "batchItemFailures": failures })
                    }
                    "schedules/sweep" => {
                        see("sweep".to_owned());
                        if event["fail"] == true {
                            // Longer than the function may take.
                            std::future::pending::<()>().await;
                        }
                        Value::Null
                    }
                    "pushes/gmail-push" => {
                        let token = event["headers"]["authorization"].as_str().unwrap();
                        assert!(
                            token.starts_with("Bearer ")
                                && event["requestContext"]["http"]["method"] == "POST"
                        );
                        let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
                        see(format!("push {}", body["message"]["messageId"]));
                        // The first time it is not acknowledged.
                        let seen = observed.seen.lock().unwrap();
                        let failed = seen.iter().filter(|(_, what)| what.starts_with("push")).count() == 1;
                        json!({ "statusCode": if failed { 503 } else { 204 } })
                    }
                    _ => json!({ "statusCode": 201, "body": event["pathParameters"].to_string() }),
                };
                Invoked { answer: Ok(answer), requests: BTreeMap::new() }
            })
        }
    }

    async fn stack(
        hand: Option<ManualClock>,
        port: u16,
    ) -> (LocalStack, Arc<Mutex<Vec<(Timestamp, String)>>>) {
        let clock: Arc<dyn storeward_core::time::Clock> = match &hand {
            Some(hand) => Arc::new(hand.clone()),
            None => Arc::new(SystemClock),
        };
        let cloud = Cloud::memory_at(clock.clone(), port).unwrap();
        let template = Template::parse(TEMPLATE, &BTreeMap::new(), port).unwrap();
        let seen = Arc::default();
        let functions = Observed { clock: clock.clone(), seen: Arc::clone(&seen) };
        let shopify = Shopify::new(clock).unwrap();
        (LocalStack::start(cloud, shopify, template, Arc::new(functions), hand).await.unwrap(), seen)
    }

    async fn movable() -> (LocalStack, Arc<Mutex<Vec<(Timestamp, String)>>>) {
        stack(Some(ManualClock::new(Timestamp::parse_rfc3339(START).unwrap())), 4566).await
    }

    fn times(seen: &Mutex<Vec<(Timestamp, String)>>, what: &str) -> Vec<String> {
        seen.lock().unwrap().iter().filter(|(_, seen)| seen == what).map(|(at, _)| at.to_rfc3339()).collect()
    }

    #[tokio::test]
    async fn given_a_one_time_schedule_when_the_clock_is_moved_past_it_then_the_job_ran_at_its_time() {
        let (stack, seen) = movable().await;
        let purge = json!({
            "ScheduleExpression": "at(2026-11-24T00:00:07)", "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": { "Arn": queue_arn("work"), "RoleArn": "arn:aws:iam::000000000000:role/purge", "Input": "purge" },
        });
        stack.cloud().scheduler().put("purge-1", &purge).unwrap();
        stack.advance(48 * HOUR).await.unwrap();
        assert_eq!(times(&seen, "purge"), ["2026-11-24T00:00:07Z"]);
        let sweeps = times(&seen, "sweep");
        assert_eq!(
            (sweeps.len(), sweeps[0].as_str(), sweeps[36].as_str()),
            (49, START, "2026-11-24T00:00:00Z")
        );
        assert_eq!(stack.now().to_rfc3339(), "2026-11-24T12:00:00Z");
    }

    #[tokio::test]
    async fn given_a_message_that_fails_when_time_passes_then_it_is_tried_as_often_as_allowed_and_can_be_replayed()
     {
        let (stack, seen) = movable().await;
        for body in ["fine", "poison"] {
            stack.cloud().sqs().send("work", body).await.unwrap();
        }
        stack.settle().await.unwrap();
        assert_eq!(stack.activities().last().unwrap().outcome, "1 of 2 messages done");
        stack.advance(HOUR).await.unwrap();
        assert_eq!((times(&seen, "fine").len(), times(&seen, "poison").len()), (1, 2));
        let state = stack.state().await.unwrap();
        let dead = state["queues"].as_array().unwrap().iter().find(|queue| queue["name"] == "dead").unwrap();
        assert_eq!(dead["dead_letters"][0]["body"], "poison");

        assert_eq!(stack.replay("dead").await.unwrap(), 1);
        stack.settle().await.unwrap();
        assert_eq!(times(&seen, "poison").len(), 3);
    }

    #[tokio::test]
    async fn given_a_scheduled_function_that_fails_when_tried_again_in_vain_then_the_event_is_kept_to_be_looked_at()
     {
        let (stack, seen) = movable().await;
        stack.settle().await.unwrap();
        let failing = json!({
            "ScheduleExpression": "at(2026-11-22T12:30:00)", "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": {
                "Arn": stack.template().functions.iter().find(|f| f.name == "sweep").unwrap().arn,
                "RoleArn": "arn:aws:iam::000000000000:role/sweep", "Input": "{\"fail\":true}",
            },
        });
        stack.cloud().scheduler().put("failing", &failing).unwrap();
        stack.advance(Duration::from_mins(40)).await.unwrap();
        assert_eq!(times(&seen, "sweep"), [START, "2026-11-22T12:30:00Z", "2026-11-22T12:31:00Z"]);
        let kept = stack.cloud().sqs().peek("lost").await.unwrap();
        let record: Value = serde_json::from_str(&kept[0].body).unwrap();
        assert_eq!((kept.len(), &record["requestPayload"]), (1, &json!({ "fail": true })));
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    }

    #[tokio::test]
    async fn given_a_directory_when_the_bundle_is_started_again_then_its_shops_are_still_there() {
        let directory = tempfile::tempdir().unwrap();
        let domain = "storeward-demo.myshopify.com";
        let template = include_str!("../../../../template.yaml");
        let mut installed = Vec::new();
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let options = Options {
                template: template.to_owned(),
                client_secrets: vec!["current".to_owned()],
                keep: Keep::In(directory.path().to_owned()),
                parameters: BTreeMap::new(),
            };
            let Bundle { stack, functions } = Bundle::start(options, port).await.unwrap();
            assert!(!stack.is_movable());
            let serving = tokio::spawn(async move { stack.run(listener).await });
            let context = functions.context("jobs/match-order").unwrap();
            let store = context.store().await.unwrap().standing_for(Acting::new(By::system("tests"), None));
            let shop = store.shop_id(&domain.parse().unwrap());
            let found = store.installation(&shop).await.unwrap().map(|found| found.tenant);
            installed.push(found);
            let profile = Profile {
                domain: domain.parse().unwrap(),
                shopify_id: None,
                email: None,
                plan: None,
                public_domain: None,
            };
            store.install(&profile).await.unwrap();
            serving.abort();
            let _ = serving.await;
        }
        assert!(installed[0].is_none() && installed[1].is_some(), "{installed:?}");
    }

    #[tokio::test]
    async fn given_a_function_that_panics_when_called_then_only_its_batch_failed() {
        let (stack, seen) = movable().await;
        stack.cloud().sqs().send("work", "panic").await.unwrap();
        stack.settle().await.unwrap();
        let activity = stack.activities().pop().unwrap();
        assert_eq!((activity.succeeded, activity.outcome.as_str()), (false, "the function panicked"));
        stack.cloud().sqs().send("work", "fine").await.unwrap();
        stack.settle().await.unwrap();
        assert_eq!(times(&seen, "fine").len(), 1);
    }

    #[tokio::test]
    async fn given_the_served_stack_when_used_from_outside_then_urls_routes_and_the_page_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stack, _) = stack(Some(ManualClock::new(Timestamp::parse_rfc3339(START).unwrap())), port).await;
        let running = stack.clone();
        tokio::spawn(async move { running.run(listener).await });
        let json = [("content-type", "application/json")];
        let ask = async |method, path, headers: &[(&str, &str)], body| {
            wire::send(port, method, path, headers, body).await
        };

        assert_eq!(ask("POST", "/lambda-url/front/", &[], "x").await.0, 201);
        assert_eq!(ask("GET", "/lambda-url/front/below", &[], "").await.0, 201);
        assert_eq!(ask("POST", "/lambda-url/worker/", &[], "x").await.0, 404, "it has no URL");
        assert_eq!(ask("GET", "/api/cases/7", &[], "").await, (201, r#"{"id":"7"}"#.to_owned()));
        let (status, body) = ask("POST", "/api/cases/7", &[], "").await;
        assert_eq!((status, body.as_str()), (404, r#"{"message":"Not Found"}"#));

        let (status, page) = ask("GET", "/_local/", &[], "").await;
        assert_eq!((status, page.contains("What functions did")), (200, true));
        let (status, moved) = ask("POST", "/_local/clock", &json, r#"{"advance":"2h"}"#).await;
        assert_eq!((status, moved.as_str()), (200, r#"{"now":"2026-11-22T14:00:00Z"}"#));
        let form = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(ask("POST", "/_local/clock", &form, "advance=15m").await.0, 303);
        assert_eq!(ask("POST", "/_local/clock", &json, r#"{"advance":"soon"}"#).await.0, 400);
        assert_eq!(
            ask("POST", "/_local/dead-letters/dead/replay", &json, "").await,
            (200, r#"{"replayed":0}"#.to_owned())
        );
        assert_eq!(ask("POST", "/_local/dead-letters/none/replay", &json, "").await.0, 404);
        let stranger = [("content-type", "application/json"), ("origin", "https://example.com")];
        assert_eq!(ask("POST", "/_local/clock", &stranger, r#"{"advance":"2h"}"#).await.0, 403);
        assert_eq!(ask("GET", "/_local/state", &[("host", "example.com")], "").await.0, 403);
        let (status, state) = ask("GET", "/_local/state", &[], "").await;
        let state: Value = serde_json::from_str(&state).unwrap();
        assert_eq!((status, state["clock"]["now"].as_str()), (200, Some("2026-11-22T14:15:00Z")));
        assert_eq!(ask("GET", "/schedules", &[], "").await.0, 200, "the cloud answers the rest");
    }

    #[tokio::test]
    async fn given_a_mailbox_that_tells_of_a_change_then_the_function_is_pushed_to_until_it_acknowledges() {
        let (stack, seen) = movable().await;
        stack.google().tell("support@example.com", 1_000);
        stack.advance(Duration::from_mins(1)).await.unwrap();
        let mut pushed: Vec<String> = seen.lock().unwrap().iter().map(|(_, what)| what.clone()).collect();
        pushed.retain(|what| what.starts_with("push"));
        assert_eq!((pushed.len(), &pushed[0]), (2, &pushed[1]), "the same message, and then no more");
        assert_eq!(times(&seen, &pushed[0]), ["2026-11-22T12:00:00Z", "2026-11-22T12:00:10Z"]);
    }

    #[tokio::test]
    async fn given_a_stack_on_real_time_when_the_clock_is_moved_then_it_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stack, _) = stack(None, port).await;
        tokio::spawn(async move { stack.run(listener).await });
        let headers = [("content-type", "application/json")];
        let (status, problem) =
            wire::send(port, "POST", "/_local/clock", &headers, r#"{"advance":"2h"}"#).await;
        assert_eq!((status, problem.contains("machine's clock")), (409, true));
    }

    #[tokio::test]
    async fn given_our_own_template_when_started_then_the_deployed_code_answers_over_the_real_wire() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = Options {
            template: include_str!("../../../../template.yaml").to_owned(),
            client_secrets: vec!["current".to_owned()],
            keep: Keep::Nothing { from: Timestamp::parse_rfc3339(START).unwrap() },
            parameters: BTreeMap::new(),
        };
        let Bundle { stack, functions } = Bundle::start(options, port).await.unwrap();
        let running = stack.clone();
        tokio::spawn(async move { running.run(listener).await });

        let domain = "storeward-demo.myshopify.com";
        stack.shopify().install(SimulatedShop {
            domain: domain.to_owned(),
            id: 1,
            name: "Demo".to_owned(),
            email: "owner@example.com".to_owned(),
            access_token: "shpat_demo".to_owned(),
            scopes: ["write_orders".to_owned()].into(),
        });
        let profile = Profile {
            domain: domain.parse().unwrap(),
            email: None,
            plan: None,
            shopify_id: None,
            public_domain: None,
        };
        let context = functions.context("jobs/match-order").unwrap();
        let store = context.store().await.unwrap().standing_for(Acting::new(By::system("tests"), None));
        let now = stack.now();
        let access = Access::lasting("shpat_demo", Scopes::parse("write_orders"), now);
        store.connect(&profile, now, &access, now).await.unwrap();

        // What Shopify sends, from the sample events, signed under this run's secret.
        let deliver = async |sample: &str, secret: &str| {
            let path = format!("{}/../../events/webhooks/{sample}.json", env!("CARGO_MANIFEST_DIR"));
            let event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            let body = event["body"].as_str().unwrap();
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
            let signature = STANDARD.encode(ring::hmac::sign(&key, body.as_bytes()));
            let headers: Vec<(&str, &str)> = event["headers"]
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, _)| name.starts_with("x-shopify-") || *name == "content-type")
                .map(|(name, value)| match name.as_str() {
                    "x-shopify-hmac-sha256" => (name.as_str(), signature.as_str()),
                    name => (name, value.as_str().unwrap()),
                })
                .collect();
            let function = sample.split('/').next().unwrap();
            wire::send(port, "POST", &format!("/lambda-url/{function}/"), &headers, body).await
        };
        let now = stack.now();
        for number in [1, 2] {
            stack
                .shopify()
                .add_order(domain, SimulatedOrder::new(9_100_000_000_000_000_000 + number, "#1", now));
        }
        assert_eq!(deliver("orders-create/first", "another").await.0, 401);
        assert_eq!(deliver("orders-create/first", "current").await.0, 200);
        assert_eq!(deliver("orders-create/second-same-person", "current").await.0, 200);
        stack.settle().await.unwrap();
        for order in stack.shopify().orders(domain) {
            assert_eq!(order.tags, ["possible-duplicate"]);
        }
        let activities = stack.activities();
        let front = activities.iter().find(|activity| activity.trigger == "url").unwrap();
        assert_eq!((front.function.as_str(), front.outcome.as_str()), ("orders-create", "401"));
        assert!(front.requests.contains_key("KMS.Decrypt"), "the secret was opened: {:?}", front.requests);

        let path = format!("/_local/shopify/{domain}/uninstall");
        let json = [("content-type", "application/json")];
        assert_eq!(wire::send(port, "POST", &path, &json, "null").await.0, 200);
        assert_eq!(deliver("app-uninstalled/plain", "current").await.0, 200);
        stack.advance(48 * HOUR).await.unwrap();
        let purges = stack.activities().into_iter().filter(|activity| activity.function == "purge-shop");
        let first = purges.map(|purge| purge.at).min().unwrap();
        assert_eq!(first, Timestamp::from_seconds(first.seconds()));
        assert!(first <= now + 36 * HOUR + Duration::from_mins(1), "{first}");
        let left = store.installation(&store.shop_id(&domain.parse().unwrap())).await.unwrap();
        assert!(left.is_none(), "purged");
        let failed: Vec<_> = stack.activities().into_iter().filter(|activity| !activity.succeeded).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}
