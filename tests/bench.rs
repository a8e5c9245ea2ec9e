//! A whole deployment in process: the embedded cloud, tables and queues from `template.yaml`, a context for every
//! function, and a clock that only moves when told. What the tests do with it stands in the other modules.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use ring::{digest, hmac};
use serde_json::{Value, json};
use storeward_core::egress::Register;
use storeward_core::shop::{ShopDomain, Tenant};
use storeward_core::time::{Clock, HOUR, ManualClock, Timestamp};
use storeward_host::{Connections, Context, Invocation, Settings};
use storeward_local::cloud::Cloud;
use storeward_local::cloud::sqs::QueueState;
use storeward_local::google::{self, Google};
use storeward_local::template::{Function, Template};
use storeward_store::{Acting, By, Entropy, Installation, Profile, Store};

use crate::support::connector::{Connector, Transport, transport};
use crate::support::faults::FaultPlan;

/// The shop the samples in `events/` are from.
pub const SHOP: &str = "storeward-demo.myshopify.com";
/// The client secret the samples are signed with, and the one accepted before it.
pub const SECRETS: [&str; 2] = ["test-shopify-secret", "test-shopify-secret-before"];

/// The app's client id.
pub const CLIENT_ID: &str = "test-client-id";
/// Where browsers reach the app.
pub const APP_URL: &str = "https://app.example.com";

/// When every test begins: an hour after the samples' orders were placed.
pub const START: &str = "2026-11-20T16:00:00Z";

/// Reproducible bytes: the hash of a counter. Nothing of it is random, and no test needs it to be.
#[derive(Debug, Default)]
pub struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) -> storeward_store::Result<()> {
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            let block = digest::digest(&digest::SHA256, &count.to_be_bytes());
            chunk.copy_from_slice(&block.as_ref()[..chunk.len()]);
        }
        Ok(())
    }
}

/// What is deployed: the cloud and everything that is set up in it once.
pub struct Bench {
    /// The embedded cloud, to look into.
    pub cloud: Cloud,
    /// The clock of everything; move it with [`Bench::advance`].
    pub clock: ManualClock,
    /// The wiring.
    pub template: Arc<Template>,
    /// The sub-processors: the real ones, unless a test puts others here before it makes an app.
    pub register: Register,
    extra: Arc<BTreeMap<String, String>>,
    /// Shared by all processes: no two of them draw the same bytes, as no two Lambda instances do.
    entropy: Arc<Counted>,
}

/// One process of the bundle: a set of Lambda instances, with the connector their AWS requests go through.
pub struct App {
    /// What all its AWS requests go through, recorded.
    pub connector: Connector,
    /// Those of the functions that were invoked: most tests take few of them, and many apps.
    contexts: BTreeMap<&'static str, OnceLock<Context>>,
    template: Arc<Template>,
    extra: Arc<BTreeMap<String, String>>,
    connections: Box<Connections>,
    clock: ManualClock,
    store: tokio::sync::OnceCell<Store>,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A committed sample event, such as `webhooks/orders-create/first`.
pub fn sample(name: &str) -> Value {
    let path = root().join("events").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

/// The body of a sample event.
pub fn sample_body(name: &str) -> Value {
    serde_json::from_str(sample(name)["body"].as_str().unwrap()).unwrap()
}

/// What Shopify puts into `X-Shopify-Hmac-Sha256`.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, body))
}

/// A delivery as a function URL hands it over, signed as Shopify does.
pub fn delivery(topic: &str, webhook_id: &str, body: &Value) -> Value {
    signed_delivery(topic, webhook_id, SHOP, SECRETS[0], &body.to_string())
}

/// The same, for any shop, secret and text.
pub fn signed_delivery(topic: &str, webhook_id: &str, shop: &str, secret: &str, body: &str) -> Value {
    let mut event = sample("webhooks/orders-create/first");
    let headers = event["headers"].as_object_mut().unwrap();
    headers.remove("x-shopify-triggered-at");
    headers.insert("x-shopify-topic".to_owned(), json!(topic));
    headers.insert("x-shopify-webhook-id".to_owned(), json!(webhook_id));
    headers.insert("x-shopify-shop-domain".to_owned(), json!(shop));
    headers.insert("x-shopify-hmac-sha256".to_owned(), json!(sign(secret, body.as_bytes())));
    event["body"] = json!(body);
    event
}

/// Received messages as an SQS event hands them to a function.
pub fn batch(messages: &[Value]) -> Value {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"], "attributes": message["Attributes"],
                "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "us-east-1",
            })
        })
        .collect();
    json!({ "Records": records })
}

/// The sample order with another number, placed `seconds` after it.
pub fn order(id: u64, seconds: u32) -> Value {
    let mut order = sample_body("webhooks/orders-create/first");
    order["id"] = json!(id);
    order["name"] = json!(format!("#{id}"));
    let placed =
        Timestamp::parse_rfc3339("2026-11-20T15:00:00Z").unwrap() + Duration::from_secs(seconds.into());
    order["created_at"] = json!(placed.to_rfc3339());
    order
}

/// The wiring, read once for all tests; the ciphertexts are each deployment's own.
fn template() -> Template {
    static READ: OnceLock<Template> = OnceLock::new();
    let read = || {
        let text = std::fs::read_to_string(root().join("template.yaml")).unwrap();
        let parameters = [
            "DeploymentKeyCiphertext",
            "ShopifySecretsCiphertext",
            "ResendKeyCiphertext",
            "GoogleSecretsCiphertext",
        ]
        .map(|name| (name, "set later"));
        let more = [
            ("Stage", "development"),
            ("ShopifyClientId", CLIENT_ID),
            ("AppUrl", APP_URL),
            ("MailFrom", "Storeward <alerts@example.com>"),
            ("GoogleTopic", google::TOPIC),
            ("PushAudience", google::PUSH_AUDIENCE),
            ("PushServiceAccount", google::PUSH_SERVICE_ACCOUNT),
        ];
        let parameters = parameters.into_iter().chain(more);
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Template::parse(&text, &parameters, 1).unwrap()
    };
    READ.get_or_init(read).clone()
}

impl Bench {
    /// A deployment whose queues live in the caller's runtime.
    pub async fn new() -> Self {
        let clock = ManualClock::new(Timestamp::parse_rfc3339(START).unwrap());
        let cloud = Cloud::in_current_runtime(Arc::new(clock.clone())).unwrap();
        let seal =
            |text: &str, purpose| cloud.kms().seal_setting(text.as_bytes(), &[("purpose", purpose)]).unwrap();
        let key = json!({"id": "1", "key": STANDARD.encode([7; 32])}).to_string();
        let secrets = json!({"client_secrets": SECRETS}).to_string();
        let (key, secrets) = (seal(&key, "deployment"), seal(&secrets, "shopify"));
        let resend = seal(storeward_local::resend::KEY, "resend");
        let google = seal(&Google::secrets().to_string(), "google");
        let mut template = template();
        for function in &mut template.functions {
            for (variable, value) in &mut function.environment {
                match variable.as_str() {
                    "STOREWARD_DEPLOYMENT_KEY" => value.clone_from(&key),
                    "STOREWARD_SHOPIFY_SECRETS" => value.clone_from(&secrets),
                    "STOREWARD_RESEND_KEY" => value.clone_from(&resend),
                    "STOREWARD_GOOGLE_SECRETS" => value.clone_from(&google),
                    _ => {}
                }
            }
        }
        for table in &template.tables {
            let created = cloud
                .dynamodb()
                .call("DynamoDB_20120810.CreateTable", table.create_request.to_string().as_bytes());
            assert_eq!(created.status(), 200);
            let ttl = json!({
                "TableName": table.name,
                "TimeToLiveSpecification": { "Enabled": true, "AttributeName": table.time_to_live },
            });
            let enabled =
                cloud.dynamodb().call("DynamoDB_20120810.UpdateTimeToLive", ttl.to_string().as_bytes());
            assert_eq!(enabled.status(), 200);
        }
        for queue in &template.queues {
            cloud.sqs().create_queue(&queue.name, &queue.attributes).await.unwrap();
        }
        for group in &template.schedule_groups {
            cloud.scheduler().ensure_group(group).unwrap();
        }
        Self {
            cloud,
            clock,
            template: Arc::new(template),
            register: Register::CURRENT,
            extra: Arc::default(),
            entropy: Arc::default(),
        }
    }

    /// Sets an optional variable of every function: what the template leaves to its default.
    pub fn set(&mut self, variable: &str, value: &str) {
        Arc::make_mut(&mut self.extra).insert(variable.to_owned(), value.to_owned());
    }

    /// The functions, to be wired otherwise in the apps that are made from now on.
    pub fn functions(&mut self) -> &mut [Function] {
        &mut Arc::make_mut(&mut self.template).functions
    }

    /// The way to the cloud.
    pub fn transport(&self) -> Transport {
        let cloud = self.cloud.clone();
        transport(move |request: Request<Bytes>| {
            let cloud = cloud.clone();
            async move { cloud.call(request).await }
        })
    }

    /// The bundle, straight on the cloud.
    pub fn app(&self) -> App {
        self.app_through(self.transport(), FaultPlan::none())
    }

    /// The bundle, with its requests going through `way` and failing as `plan` says.
    pub fn app_through(&self, way: Transport, plan: FaultPlan) -> App {
        let connector = Connector::new(way, plan);
        let connections = Connections::local(
            "http://127.0.0.1:1",
            connector.http_client(),
            Arc::new(self.clock.clone()),
            Arc::clone(&self.entropy) as Arc<dyn Entropy>,
        )
        .with_register(self.register);
        App {
            connector,
            contexts: bootstrap::FUNCTIONS.iter().map(|function| (function.name, OnceLock::new())).collect(),
            template: Arc::clone(&self.template),
            extra: Arc::clone(&self.extra),
            connections: Box::new(connections),
            clock: self.clock.clone(),
            store: tokio::sync::OnceCell::new(),
        }
    }

    /// Moves all clocks: the functions', the tables' and the queues'. DynamoDB's TTL deletes what is expired.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.cloud.sqs().advance(by).await;
        self.cloud.dynamodb().sweep_expired().unwrap();
    }

    /// Everything in all tables, as text with sorted items.
    pub fn dump(&self) -> BTreeMap<String, Vec<Value>> {
        let tables = self.cloud.dynamodb().tables().unwrap();
        tables.into_iter().map(|table| (table.clone(), self.cloud.dynamodb().dump(&table).unwrap())).collect()
    }

    /// The items of one kind.
    pub fn items(&self, kind: &str) -> Vec<Value> {
        self.dump().into_values().flatten().filter(|item| item["kind"]["S"] == kind).collect()
    }

    /// What is left of one installation outside the ledger and the access log, in any table, key or value.
    pub fn left_of(&self, tenant: &Tenant) -> Vec<String> {
        let needle = tenant.to_string();
        let mut left: Vec<String> = Vec::new();
        let outlive = |item: &Value| item["kind"]["S"] == "ledger" || item["kind"]["S"] == "access";
        for item in self.dump().into_values().flatten().filter(|item| !outlive(item)) {
            let mut text = String::new();
            write!(text, "{item}").unwrap();
            if text.contains(&needle) {
                left.push(text);
            }
        }
        left
    }

    /// Messages in all queues and dead-letter queues: visible, delayed or in flight.
    pub async fn messages(&self) -> u64 {
        self.cloud.sqs().holding().await.unwrap().iter().map(QueueState::total).sum()
    }

    /// Delivers what waits in the queues until nothing is visible, deleting what the functions do not report back.
    /// The answers, by function.
    pub async fn drain(&self, app: &App) -> usize {
        self.drain_by(|function: String, event| async move { app.invoke(&function, event).await }).await
    }

    /// The same, where `invoke` hands an event to a function.
    pub async fn drain_by<F, A>(&self, invoke: F) -> usize
    where
        F: Fn(String, Value) -> A,
        A: Future<Output = Result<Value, storeward_host::InvokeError>>,
    {
        let mut handled = 0;
        loop {
            let mut idle = true;
            for function in &self.template.functions {
                for mapping in &function.queues {
                    let messages = self.receive(&mapping.queue).await;
                    if messages.is_empty() {
                        continue;
                    }
                    idle = false;
                    handled += messages.len();
                    let answer = invoke(function.handler.clone(), batch(&messages)).await;
                    let Ok(answer) = answer else { continue };
                    let kept: Vec<&Value> = answer["batchItemFailures"]
                        .as_array()
                        .map(|failures| failures.iter().map(|failure| &failure["itemIdentifier"]).collect())
                        .unwrap_or_default();
                    for message in messages.iter().filter(|message| !kept.contains(&&message["MessageId"])) {
                        self.delete(&mapping.queue, message).await;
                    }
                }
            }
            if idle {
                return handled;
            }
        }
    }

    /// Takes a message off a queue for good.
    pub async fn delete(&self, queue: &str, message: &Value) {
        let delete = json!({
            "QueueUrl": self.cloud.sqs().queue_url(queue), "ReceiptHandle": message["ReceiptHandle"],
        });
        self.sqs("DeleteMessage", &delete).await;
    }

    /// Takes up to ten messages out of sight, as a function's poller does.
    pub async fn receive(&self, queue: &str) -> Vec<Value> {
        let request = json!({
            "QueueUrl": self.cloud.sqs().queue_url(queue), "MaxNumberOfMessages": 10,
            "MessageSystemAttributeNames": ["All"],
        });
        let answer = self.sqs("ReceiveMessage", &request).await;
        answer["Messages"].as_array().cloned().unwrap_or_default()
    }

    async fn sqs(&self, operation: &str, body: &Value) -> Value {
        let request = Request::post("http://127.0.0.1:1/")
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .header("content-type", "application/x-amz-json-1.0")
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let response: Response<Bytes> = self.cloud.call(request).await;
        assert!(response.status().is_success(), "{operation}: {:?}", response.body());
        serde_json::from_slice(response.body()).unwrap_or_default()
    }

    /// Two orders of the samples' person that come in and are worked on one after the other: a case.
    pub async fn two_orders(&self, app: &App) {
        for id in 1..=2 {
            app.order(&format!("w{id}"), &order(id, 1)).await;
            self.drain(app).await;
        }
    }

    /// Fires what EventBridge Scheduler has due by now into its target queues.
    pub async fn fire_schedules(&self) -> usize {
        let due = self.cloud.scheduler().take_due(self.clock.now()).unwrap();
        for firing in &due {
            let queue = firing.target_arn.rsplit(':').next().unwrap();
            self.cloud.sqs().send(queue, &firing.input).await.unwrap();
        }
        due.len()
    }

    /// Whether a sweep would find anything due, as the raw table shows; if so, lets it begin there: hours in which nothing
    /// is due need not be read one by one, 32 partitions each. A place that was passed over stays passed over.
    pub async fn skip_quiet_hours(&self, app: &App) -> bool {
        let millis = |item: &Value, name: &str| item[name]["N"].as_str().and_then(|text| text.parse().ok());
        let now = self.clock.now().seconds();
        let mut due = self.items("due");
        // What is over is still there until DynamoDB comes by: nobody reads it.
        due.retain(|item| millis(item, "expires_at").is_none_or(|end: i64| end > now));
        let first = due.iter().filter_map(|item| millis(item, "at")).map(Timestamp).min();
        let Some(first) = first.filter(|first| *first <= self.clock.now()) else { return false };
        let cursor: Option<i64> = due.iter().find_map(|item| millis(item, "hour"));
        if cursor.is_none_or(|hour| hour < first.hour()) {
            app.store().await.due_swept(first).await.unwrap();
        }
        true
    }

    /// Lets time pass hour by hour, as a deployment lives it: schedules fire, the hourly sweep runs, queues are worked
    /// on.
    pub async fn live(&self, app: &App, hours: u32) {
        for _ in 0..hours {
            self.advance(HOUR).await;
            self.fire_schedules().await;
            app.invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly")).await.unwrap();
            self.drain(app).await;
        }
    }
}

impl App {
    /// Hands an event to a function.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, storeward_host::InvokeError> {
        let deadline = self.clock.now() + Duration::from_mins(15);
        let known = bootstrap::function(function).expect("a function of the bundle");
        known.invoke(self.context(known.name), Invocation { event, deadline }).await
    }

    /// Delivers a webhook: the status and the body of the answer.
    pub async fn post(&self, function: &str, event: Value) -> (u64, Value) {
        let answer = self.invoke(function, event).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    /// Delivers an order that must be accepted with 200.
    pub async fn order(&self, webhook_id: &str, order: &Value) -> Value {
        let (status, body) =
            self.post("webhooks/orders-create", delivery("orders/create", webhook_id, order)).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The context of a function.
    pub fn context(&self, function: &str) -> &Context {
        self.contexts[function].get_or_init(|| {
            let deployed = self.template.functions.iter().find(|known| known.handler == function);
            let environment = &deployed.expect("every function stands in the template").environment;
            let lookup = |name: &str| environment.get(name).or_else(|| self.extra.get(name)).cloned();
            let known = bootstrap::function(function).expect("a function of the bundle");
            let settings = Settings::from_lookup(&known.settings(), &lookup).unwrap();
            Context::new(settings, Connections::clone(&self.connections))
        })
    }

    /// The store, as the functions use it.
    pub async fn store(&self) -> &Store {
        let context = self.context("webhooks/orders-create");
        let tests = Acting::new(By::system("tests"), None);
        self.store.get_or_init(async || context.store().await.unwrap().standing_for(tests)).await
    }

    /// Installs the app in the samples' shop, without an access token and an address: nothing outside is called.
    pub async fn install(&self) -> Installation {
        self.install_in(SHOP).await
    }

    /// Installs the app in a shop.
    pub async fn install_in(&self, domain: &str) -> Installation {
        let profile = Profile {
            domain: domain.parse::<ShopDomain>().unwrap(),
            email: None,
            plan: Some("basic".to_owned()),
            // The number that the samples' bodies name the shop by.
            shopify_id: (domain == SHOP).then_some(70_000_000_001),
            public_domain: None,
        };
        self.store().await.install(&profile).await.unwrap()
    }

    /// The shop's cases.
    pub async fn cases(&self, installation: &Installation) -> Vec<storeward_store::Case> {
        self.store().await.cases(installation).await.unwrap()
    }
}
