//! The cloud on one machine: one endpoint that speaks the wire of DynamoDB, SQS, EventBridge Scheduler, KMS and
//! S3. Functions reach it through unmodified AWS SDK clients. Nothing in here knows what Storeward is about.

pub mod dynamodb;
pub mod kms;
pub mod s3;
pub mod scheduler;
pub mod sqs;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use storeward_core::time::Clock;
use tokio::net::TcpListener;

use self::dynamodb::{DatabaseError, EmbeddedDynamoDb};
use self::kms::{Kms, KmsError};
use self::s3::S3;
use self::scheduler::{Scheduler, SchedulerError};
use self::sqs::Sqs;

/// The region everything local lives in.
pub const REGION: &str = "us-east-1";

/// The account everything local belongs to.
pub const ACCOUNT: &str = "000000000000";

/// The port queue URLs name where the endpoint is only called in process.
pub const IN_PROCESS_PORT: u16 = 4566;

/// The largest request that is read: DynamoDB's 16 MB per batch, and what JSON and base64 add to it.
const LARGEST_REQUEST: usize = 24 * 1024 * 1024;

/// Which of the services could not be started.
#[derive(Debug)]
pub enum CloudError {
    /// The directory could not be made.
    Directory(std::io::Error),
    /// DynamoDB.
    DynamoDb(DatabaseError),
    /// The thread of SQS.
    Sqs(std::io::Error),
    /// EventBridge Scheduler.
    Scheduler(SchedulerError),
    /// KMS.
    Kms(KmsError),
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => write!(f, "the data directory cannot be used: {error}"),
            Self::DynamoDb(error) => error.fmt(f),
            Self::Sqs(error) => write!(f, "SQS cannot be started: {error}"),
            Self::Scheduler(error) => error.fmt(f),
            Self::Kms(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CloudError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Directory(error) | Self::Sqs(error) => error,
            Self::DynamoDb(error) => error,
            Self::Scheduler(error) => error,
            Self::Kms(error) => error,
        })
    }
}

/// How often an operation was asked for, by caller (the access key id a request is signed with; empty where
/// it is not signed) and operation (`DynamoDB.PutItem`).
pub type RequestCounts = BTreeMap<(String, String), u64>;

struct Inner {
    clock: Arc<dyn Clock>,
    dynamodb: EmbeddedDynamoDb,
    sqs: Sqs,
    scheduler: Scheduler,
    kms: Kms,
    s3: S3,
    counts: Mutex<RequestCounts>,
}

/// The cloud. Clones share it.
#[derive(Clone)]
pub struct Cloud(Arc<Inner>);

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("clock", &self.0.clock).finish_non_exhaustive()
    }
}

impl Cloud {
    /// A cloud that is gone with the process, called in process.
    pub fn memory(clock: Arc<dyn Clock>) -> Result<Self, CloudError> {
        Self::memory_at(clock, IN_PROCESS_PORT)
    }

    /// A cloud that is gone with the process and served at `port` on loopback: queue URLs name it.
    pub fn memory_at(clock: Arc<dyn Clock>, port: u16) -> Result<Self, CloudError> {
        let sqs = Sqs::start(port).map_err(CloudError::Sqs)?;
        Self::in_memory(clock, sqs)
    }

    /// A cloud that is gone with the process and whose queues live in the caller's tokio runtime and follow
    /// its time: for tests on a paused current-thread runtime.
    pub fn in_current_runtime(clock: Arc<dyn Clock>) -> Result<Self, CloudError> {
        Self::in_memory(clock, Sqs::in_current_runtime(IN_PROCESS_PORT))
    }

    /// A cloud that keeps its tables, schedules and key in `directory`, called in process. `clock` must be
    /// the machine's, as the time of a stored table is. Messages in queues do not outlive the process; the
    /// outbox sends them again.
    pub fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<Self, CloudError> {
        Self::open_at(directory, clock, IN_PROCESS_PORT)
    }

    /// What [`Cloud::open`] gives, served at `port` on loopback.
    pub fn open_at(directory: &Path, clock: Arc<dyn Clock>, port: u16) -> Result<Self, CloudError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        // The key lies beside what it seals: whoever may not read the one must not read the other.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(CloudError::Directory)?;
        let dynamodb =
            EmbeddedDynamoDb::open(&directory.join("dynamodb.sqlite")).map_err(CloudError::DynamoDb)?;
        let scheduler = Scheduler::open(&directory.join("schedules.json"), clock.clone())
            .map_err(CloudError::Scheduler)?;
        let kms = Kms::open(&directory.join("kms.key")).map_err(CloudError::Kms)?;
        let sqs = Sqs::start(port).map_err(CloudError::Sqs)?;
        let s3 = S3::open(&directory.join("objects"));
        Ok(Self::of(clock, dynamodb, sqs, scheduler, kms, s3))
    }

    fn in_memory(clock: Arc<dyn Clock>, sqs: Sqs) -> Result<Self, CloudError> {
        let dynamodb = EmbeddedDynamoDb::memory(clock.clone()).map_err(CloudError::DynamoDb)?;
        let scheduler = Scheduler::memory(clock.clone());
        let kms = Kms::memory().map_err(CloudError::Kms)?;
        Ok(Self::of(clock, dynamodb, sqs, scheduler, kms, S3::memory()))
    }

    fn of(
        clock: Arc<dyn Clock>,
        dynamodb: EmbeddedDynamoDb,
        sqs: Sqs,
        scheduler: Scheduler,
        kms: Kms,
        s3: S3,
    ) -> Self {
        Self(Arc::new(Inner { clock, dynamodb, sqs, scheduler, kms, s3, counts: Mutex::default() }))
    }

    /// The clock schedules and expiry follow.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// DynamoDB, to look into.
    #[must_use]
    pub fn dynamodb(&self) -> &EmbeddedDynamoDb {
        &self.0.dynamodb
    }

    /// SQS, to look into and to move its time.
    #[must_use]
    pub fn sqs(&self) -> &Sqs {
        &self.0.sqs
    }

    /// EventBridge Scheduler, to ask what is due.
    #[must_use]
    pub fn scheduler(&self) -> &Scheduler {
        &self.0.scheduler
    }

    /// KMS, to seal development secrets.
    #[must_use]
    pub fn kms(&self) -> &Kms {
        &self.0.kms
    }

    /// S3, to look into.
    #[must_use]
    pub fn s3(&self) -> &S3 {
        &self.0.s3
    }

    /// How often each operation was asked for since the start.
    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers one request of any of the services. Signatures are not checked.
    pub async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let target =
            parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Some(operation) = target.strip_prefix(dynamodb::TARGET_PREFIX) {
            self.count(&parts.headers, "DynamoDB", operation);
            return self.0.dynamodb.call(target, &body);
        }
        if let Some(operation) = target.strip_prefix("AmazonSQS.") {
            self.count(&parts.headers, "SQS", operation);
            return self.0.sqs.call(&parts.headers, body).await;
        }
        if let Some(operation) = target.strip_prefix("TrentService.") {
            self.count(&parts.headers, "KMS", operation);
            return self.0.kms.call(operation, &body);
        }
        if S3::owns(&parts.headers) {
            self.count(
                &parts.headers,
                "S3",
                if parts.method == Method::PUT { "PutObject" } else { "GetObject" },
            );
            return self.0.s3.call(&parts.method, parts.uri.path(), &parts.headers, &body);
        }
        if let Some(operation) = Scheduler::operation(&parts.method, parts.uri.path()) {
            self.count(&parts.headers, "Scheduler", operation);
        }
        if Scheduler::owns(parts.uri.path()) {
            return self.0.scheduler.call(&parts.method, &parts.uri, &body);
        }
        let mut response = Response::new(Bytes::from_static(
            br#"{"__type":"UnknownOperationException","message":"No local service has this operation."}"#,
        ));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        response
    }

    /// The endpoint as a router that answers whatever no other route takes.
    pub fn router(&self) -> Router {
        let cloud = self.clone();
        Router::new().fallback(move |request: Request<Body>| {
            let cloud = cloud.clone();
            async move {
                let (parts, body) = request.into_parts();
                match axum::body::to_bytes(body, LARGEST_REQUEST).await {
                    Ok(body) => cloud.call(Request::from_parts(parts, body)).await.map(Body::from),
                    Err(_) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
                }
            }
        })
    }

    /// Serves the endpoint until the future is dropped. Refuses a listener that strangers can reach.
    pub async fn serve(&self, listener: TcpListener) -> std::io::Result<()> {
        require_loopback(&listener)?;
        axum::serve(listener, self.router()).await
    }

    fn count(&self, headers: &HeaderMap, service: &str, operation: &str) {
        let caller = access_key(headers).unwrap_or_default().to_owned();
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((caller, format!("{service}.{operation}"))).or_default() += 1;
    }
}

/// Emulators trust whoever reaches them, so only this machine may.
pub(crate) fn require_loopback(listener: &TcpListener) -> std::io::Result<()> {
    if listener.local_addr()?.ip().is_loopback() {
        return Ok(());
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::PermissionDenied,
        "the local cloud is served on loopback addresses only",
    ))
}

/// The access key id in an `AWS4-HMAC-SHA256 Credential=<id>/<date>/…` header.
fn access_key(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    text.split_once("Credential=")?.1.split('/').next()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_scheduler::types::{
        ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target,
    };
    use aws_smithy_types::Blob;
    use aws_smithy_types::timeout::TimeoutConfig;
    use storeward_core::time::{HOUR, ManualClock, SystemClock, Timestamp};

    use super::*;

    /// Builds an SDK client as functions have it: signed requests over TCP.
    macro_rules! client {
        ($sdk:ident, $port:expr) => {{
            let credentials = $sdk::config::Credentials::new("orders-create", "secret", None, None, "test");
            let config = $sdk::Config::builder()
                .behavior_version($sdk::config::BehaviorVersion::latest())
                .region($sdk::config::Region::new(REGION))
                .credentials_provider(credentials)
                .endpoint_url(format!("http://127.0.0.1:{}", $port))
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .timeout_config(TimeoutConfig::disabled())
                .build();
            $sdk::Client::from_conf(config)
        }};
    }

    async fn served(clock: &ManualClock) -> (Cloud, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cloud = Cloud::memory_at(Arc::new(clock.clone()), port).unwrap();
        let serving = cloud.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        (cloud, port)
    }

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap())
    }

    #[tokio::test]
    async fn given_the_unmodified_scheduler_client_when_it_works_then_it_understands_answers_and_errors() {
        let clock = clock();
        let (cloud, port) = served(&clock).await;
        let scheduler = client!(aws_sdk_scheduler, port);
        scheduler.create_schedule_group().name("purges").send().await.unwrap();
        let create = || {
            scheduler
                .create_schedule()
                .name("purge-1")
                .group_name("purges")
                .schedule_expression("at(2026-11-24T00:00:00)")
                .action_after_completion(ActionAfterCompletion::Delete)
                .flexible_time_window(
                    FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().unwrap(),
                )
                .target(
                    Target::builder()
                        .arn(sqs::queue_arn("purge-shop"))
                        .role_arn("arn:aws:iam::000000000000:role/scheduler")
                        .input("{}")
                        .build()
                        .unwrap(),
                )
        };
        let made = create().send().await.unwrap();
        assert_eq!(made.schedule_arn(), scheduler::schedule_arn("purges", "purge-1"));
        let again = create().send().await.unwrap_err().into_service_error();
        assert!(again.is_conflict_exception(), "{again:?}");
        let wrong = create().name("purge-2").schedule_expression("soon").send().await.unwrap_err();
        assert!(wrong.into_service_error().is_validation_exception());
        let missing = scheduler.get_schedule().name("purge-1").send().await.unwrap_err();
        assert!(missing.into_service_error().is_resource_not_found_exception());

        let got = scheduler.get_schedule().name("purge-1").group_name("purges").send().await.unwrap();
        assert_eq!(got.creation_date().unwrap().secs(), clock.now().seconds());
        assert_eq!(got.action_after_completion(), Some(&ActionAfterCompletion::Delete));
        assert_eq!(cloud.scheduler().next_due(), Some(clock.now() + 36 * HOUR));
        assert_eq!(cloud.counts()[&("orders-create".to_owned(), "Scheduler.CreateSchedule".to_owned())], 3);
    }

    #[tokio::test]
    async fn given_the_unmodified_sqs_client_when_it_works_then_messages_come_and_errors_are_typed() {
        let (cloud, port) = served(&clock()).await;
        let client = client!(aws_sdk_sqs, port);
        let url = cloud.sqs().create_queue("work", &BTreeMap::new()).await.unwrap();
        client
            .send_message()
            .queue_url(&url)
            .message_body("reference")
            .delay_seconds(60)
            .send()
            .await
            .unwrap();
        cloud.sqs().advance(Duration::from_mins(1)).await;
        let received = client.receive_message().queue_url(&url).wait_time_seconds(1).send().await.unwrap();
        assert_eq!(received.messages()[0].body(), Some("reference"));
        let gone =
            client.send_message().queue_url(sqs::queue_url(port, "none")).message_body("x").send().await;
        assert!(gone.unwrap_err().into_service_error().is_queue_does_not_exist());
    }

    #[tokio::test]
    async fn given_the_unmodified_kms_and_dynamodb_clients_when_they_work_then_they_understand_the_answers() {
        let (cloud, port) = served(&clock()).await;
        let client = client!(aws_sdk_kms, port);
        let sealed = client
            .encrypt()
            .key_id("alias/storeward")
            .plaintext(Blob::new("secret"))
            .encryption_context("purpose", "deployment")
            .send()
            .await
            .unwrap();
        let open = client.decrypt().ciphertext_blob(sealed.ciphertext_blob().unwrap().clone());
        let opened = open.clone().encryption_context("purpose", "deployment").send().await.unwrap();
        assert_eq!(opened.plaintext().unwrap().as_ref(), b"secret");
        let refused = open.encryption_context("purpose", "shopify").send().await.unwrap_err();
        assert!(refused.into_service_error().is_invalid_ciphertext_exception());

        let tables = client!(aws_sdk_dynamodb, port).list_tables().send().await.unwrap();
        assert!(tables.table_names().is_empty());
        assert_eq!(cloud.counts()[&("orders-create".to_owned(), "KMS.Decrypt".to_owned())], 2);
    }

    #[tokio::test]
    async fn given_a_listener_strangers_can_reach_when_asked_to_serve_then_it_is_refused() {
        let cloud = Cloud::memory(Arc::new(clock())).unwrap();
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        assert_eq!(cloud.serve(listener).await.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn given_a_directory_when_opened_again_then_what_was_stored_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("data");
        let request = |target: &str, body: &str| {
            Request::builder().header("x-amz-target", target).body(Bytes::from(body.to_owned())).unwrap()
        };
        let first = Cloud::open(&inside, Arc::new(SystemClock)).unwrap();
        let table = r#"{"TableName":"data","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
            "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]}"#;
        assert_eq!(first.call(request("DynamoDB_20120810.CreateTable", table)).await.status(), 200);
        drop(first);
        let second = Cloud::open(&inside, Arc::new(SystemClock)).unwrap();
        assert_eq!(second.dynamodb().tables().unwrap(), ["data"]);
        assert_eq!(second.call(request("Nothing.Known", "{}")).await.status(), 404);
    }
}
