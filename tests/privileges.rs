//! Least privilege: what each function did in the whole life of a shop, request by request, against what its role in
//! `template.yaml` lets it do. Everything done is allowed, and what is allowed beyond that stands here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::desk::rules::Action;
use storeward_core::guard::{Alert, GuardSettings};
use storeward_core::incident::{Reach, Severity, Words};
use storeward_core::limits::Limit;
use storeward_core::normalize::identifiers;
use storeward_core::rights::{Corrections, OpenedBy, Person, RightsKind};
use storeward_core::time::{HOUR, MINUTE};
use storeward_host::{Happened, Notice};
use storeward_local::claude::Trouble::Overloaded;
use storeward_local::google::Trouble;
use storeward_local::shopify::Shopify;
use storeward_local::shopify::oauth::AppCredentials;
use storeward_store::{Asking, Installation, NewIncident, Phase, Profile};

use crate::bench::{App, Bench, CLIENT_ID, SECRETS, SHOP, order, root, sample, sample_body, signed_delivery};
use crate::consent::{World, shop};
use crate::mail_desk::{self, World as MailDesk};
use crate::mailboxes::{self, ADDRESS as MAILBOX, World as Mailboxes};
use crate::support::faults::FaultPlan;
use crate::support::wire::{Sent, Wire};

/// An action and what it was on, by logical id: `dynamodb:Query DataTable`.
type Rights = BTreeSet<String>;

/// What roles allow that the functions' own code never asks for.
const LAMBDAS_OWN: [&str; 8] = [
    // Logs and traces: written by the runtime beside the code.
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
    // The poller of a queue works with the function's role.
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
];

/// What a function may do and does not do in this life, with the reason why it may.
const UNUSED: [(&str, &str, &str); 26] = [
    ("jobs/apply-retention", "dynamodb:PutItem DataTable", AFTER_A_DEPLOYMENT),
    ("jobs/apply-retention", "dynamodb:ConditionCheckItem DataTable", NO_OLD_MAIL),
    ("webhooks/app-uninstalled", "dynamodb:GetItem DataTable", AT_ONCE),
    ("webhooks/shop-redact", "dynamodb:GetItem DataTable", AT_ONCE),
    ("schedules/seal-ledger", "s3:ListBucket LedgerRoots", TO_TELL_MISSING),
    ("schedules/seal-ledger", "sqs:SendMessage SealLedgerDeadLetters", BY_LAMBDA),
    ("schedules/sweep-due", "sqs:SendMessage SweepDueDeadLetters", BY_LAMBDA),
    ("schedules/reconcile-orders", "sqs:SendMessage ReconcileOrdersDeadLetters", BY_LAMBDA),
    ("schedules/announce-processors", "sqs:SendMessage AnnounceProcessorsDeadLetters", BY_LAMBDA),
    ("schedules/watch-incidents", "sqs:SendMessage WatchIncidentsDeadLetters", BY_LAMBDA),
    ("jobs/handle-incident", "sqs:SendMessage HandleIncidentQueue", OUT_OF_TIME),
    ("schedules/renew-watches", "sqs:SendMessage RenewWatchesDeadLetters", BY_LAMBDA),
    ("schedules/sweep-due", "sqs:SendMessage SyncMailboxQueue", NO_MAILBOX),
    ("schedules/sweep-due", "sqs:SendMessage ClassifyEmailQueue", NO_MAILBOX),
    ("schedules/sweep-due", "sqs:SendMessage DraftReplyQueue", NO_MAILBOX),
    ("schedules/sweep-due", "sqs:SendMessage SendReplyQueue", NO_MAILBOX),
    ("webhooks/app-uninstalled", "sqs:SendMessage SyncMailboxQueue", NO_MAILBOX),
    ("webhooks/app-uninstalled", "dynamodb:DeleteItem DataTable", NO_MAILBOX),
    ("webhooks/shop-redact", "sqs:SendMessage SyncMailboxQueue", NO_MAILBOX),
    ("webhooks/shop-redact", "dynamodb:DeleteItem DataTable", NO_MAILBOX),
    ("api/service", "sqs:SendMessage SyncMailboxQueue", NO_MAILBOX),
    ("api/service", "dynamodb:DeleteItem DataTable", NO_MAILBOX),
    ("operator/shops", "sqs:SendMessage SyncMailboxQueue", NO_MAILBOX),
    ("operator/shops", "dynamodb:DeleteItem DataTable", NO_MAILBOX),
    ("api/processors", "sqs:SendMessage SyncMailboxQueue", NO_MAILBOX),
    ("api/processors", "dynamodb:PutItem DataTable", NO_MAILBOX),
];

/// Who objects to the use of their data.
const LIMITED: &str = "limited@example.com";

const TO_TELL_MISSING: &str = "with it S3 answers 404 for a day that is not sealed, and not 403";

const BY_LAMBDA: &str =
    "an invocation that failed for good is kept there by Lambda, which sends with the function's role";

const AFTER_A_DEPLOYMENT: &str =
    "a deployment that keeps things for a shorter time lets them be gone through once more";

const OUT_OF_TIME: &str = "a run whose time is over asks for the next one: these shops are too few for that";

const NO_OLD_MAIL: &str =
    "mails whose time is over are taken out of conversations that later ones keep: this shop has none";

const NO_MAILBOX: &str = "what is due for mail is sent again, and mailboxes end with their shop or by an objection: this one has neither";

const AT_ONCE: &str =
    "what another instance renewed is read where two need a token at once: here nobody else does";

/// The template as it stands, its tags kept.
struct Roles {
    resources: serde_norway::Value,
    /// Names and URLs of tables and queues to logical ids.
    logical: BTreeMap<String, String>,
}

impl Roles {
    fn new(bench: &Bench) -> Self {
        let text = std::fs::read_to_string(root().join("template.yaml")).unwrap();
        let template: serde_norway::Value = serde_norway::from_str(&text).unwrap();
        let tables = bench.template.tables.iter().map(|table| (table.name.clone(), table.logical_id.clone()));
        let queues = bench.template.queues.iter().map(|queue| (queue.url.clone(), queue.logical_id.clone()));
        Self { resources: template["Resources"].clone(), logical: tables.chain(queues).collect() }
    }

    /// What the role of a function allows; a `Condition` on the encryption context's purpose counts with its values.
    fn allowed(&self, handler: &str) -> Rights {
        let resources = self.resources.as_mapping().unwrap().iter();
        let function = resources
            .map(|(_, resource)| &resource["Properties"])
            .find(|properties| properties["Handler"].as_str() == Some(handler))
            .unwrap();
        let role = reference(&function["Role"]);
        let mut rights = Rights::new();
        for policy in self.resources[role.as_str()]["Properties"]["Policies"].as_sequence().unwrap() {
            for statement in policy["PolicyDocument"]["Statement"].as_sequence().unwrap() {
                assert_eq!(statement["Effect"].as_str(), Some("Allow"));
                let purposes =
                    texts(&statement["Condition"]["StringEquals"]["kms:EncryptionContext:purpose"]);
                for action in texts(&statement["Action"]) {
                    assert!(!action.contains('*'), "{handler}: {action}");
                    for resource in list(&statement["Resource"]) {
                        let resource = reference(resource);
                        if purposes.is_empty() {
                            assert!(action != "kms:Decrypt", "{handler} may decrypt for any purpose");
                            rights.insert(format!("{action} {resource}"));
                        }
                        for purpose in &purposes {
                            rights.insert(format!("{action} {resource} for {purpose}"));
                        }
                    }
                }
            }
        }
        rights.retain(|right| !LAMBDAS_OWN.contains(&right.split(' ').next().unwrap()));
        rights
    }

    /// What a request asks of IAM.
    fn asked(&self, sent: &Sent) -> Vec<String> {
        let body = &sent.body;
        let on = |name: &Value| &self.logical[name.as_str().unwrap()];
        match sent.operation.as_str() {
            "DynamoDB_20120810.TransactWriteItems" => {
                let actions = body["TransactItems"].as_array().unwrap().iter();
                let right = |(kind, action): (&String, &Value)| {
                    let name =
                        if kind == "ConditionCheck" { "ConditionCheckItem" } else { &format!("{kind}Item") };
                    format!("dynamodb:{name} {}", on(&action["TableName"]))
                };
                actions.flat_map(|action| action.as_object().unwrap().iter().map(right)).collect()
            }
            "DynamoDB_20120810.BatchGetItem" => {
                let tables = body["RequestItems"].as_object().unwrap().keys();
                tables.map(|table| format!("dynamodb:BatchGetItem {}", self.logical[table])).collect()
            }
            "DynamoDB_20120810.BatchWriteItem" => {
                let tables = body["RequestItems"].as_object().unwrap().keys();
                tables.map(|table| format!("dynamodb:BatchWriteItem {}", self.logical[table])).collect()
            }
            "AmazonSQS.SendMessage" => vec![format!("sqs:SendMessage {}", on(&body["QueueUrl"]))],
            "TrentService.Decrypt" => {
                let purpose = body["EncryptionContext"]["purpose"].as_str().unwrap();
                vec![format!("kms:Decrypt DeploymentKey for {purpose}")]
            }
            "TrentService.Sign" => vec!["kms:Sign LedgerRootsKey".to_owned()],
            operation if operation.contains("/storeward-development-ledger-roots-") => {
                let action = if operation.starts_with("PUT ") { "s3:PutObject" } else { "s3:GetObject" };
                vec![format!("{action} LedgerRoots.Arn")]
            }
            operation if operation.starts_with("POST /schedules/") => {
                let role = body["Target"]["RoleArn"].as_str().unwrap().rsplit('/').next().unwrap();
                vec!["scheduler:CreateSchedule ScheduleGroup".to_owned(), format!("iam:PassRole {role}")]
            }
            operation => {
                let name = operation.strip_prefix("DynamoDB_20120810.").expect("an operation known here");
                vec![format!("dynamodb:{name} {}", on(&body["TableName"]))]
            }
        }
    }
}

fn list(value: &serde_norway::Value) -> Vec<&serde_norway::Value> {
    match value {
        serde_norway::Value::Null => Vec::new(),
        serde_norway::Value::Sequence(list) => list.iter().collect(),
        one => vec![one],
    }
}

fn texts(value: &serde_norway::Value) -> Vec<String> {
    list(value).into_iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The logical id that `!GetAtt X.Arn`, `!Ref X` or the last `${X}` of a `!Sub` points to; a text is itself.
fn reference(value: &serde_norway::Value) -> String {
    let serde_norway::Value::Tagged(tagged) = value else { return value.as_str().unwrap().to_owned() };
    let text = tagged.value.as_str().unwrap();
    match text.rsplit_once("${") {
        Some((_, last)) => last.split('}').next().unwrap().to_owned(),
        None => text.split('.').next().unwrap().to_owned(),
    }
}

/// A bench whose requests are put down to the function that made them.
struct Watched<'a> {
    bench: &'a Bench,
    app: App,
    wire: Wire,
    roles: Roles,
    used: BTreeMap<String, Rights>,
}

impl Watched<'_> {
    /// Installs the app by redirect and by opening it, each once anew and once over what is there; then scopes and shop
    /// change. The tokens end in an hour: the job renews them later.
    async fn connect(&mut self, world: &World) {
        for (domain, id) in [("storeward-two.myshopify.com", 2), (SHOP, 70_000_000_001)] {
            world.shopify.open_shop(shop(domain, id));
            let (query, cookie) = world.consent(&self.app, domain).await;
            self.book("api/oauth-install");
            let mut event = sample("api/oauth-callback/approved");
            event["rawQueryString"] = json!(query);
            event["cookies"] = json!([cookie]);
            self.invoke("api/oauth-callback", event).await;
        }
        world.shopify.install(shop("storeward-three.myshopify.com", 3));
        for domain in ["storeward-three.myshopify.com", SHOP] {
            let mut event = sample("api/token-exchange/session");
            let token = world.shopify.session_token(domain);
            event["headers"]["authorization"] = json!(format!("Bearer {token}"));
            self.invoke("api/token-exchange", event).await;
        }
        for (function, name) in [("app-scopes-update", "fewer"), ("shop-update", "plain")] {
            let function = format!("webhooks/{function}");
            let event = sample(&format!("{function}/{name}"));
            let mut body = sample_body(&format!("{function}/{name}"));
            body["updated_at"] = json!("2026-11-20T16:30:00Z");
            let topic = event["headers"]["x-shopify-topic"].as_str().unwrap();
            let event = crate::bench::delivery(topic, "changed", &body);
            self.invoke(&function, event).await;
        }
    }

    fn book(&mut self, function: &str) {
        let asked = self.wire.take();
        let rights = asked.iter().flat_map(|sent| self.roles.asked(sent));
        self.used.entry(function.to_owned()).or_default().extend(rights);
    }

    async fn invoke(&mut self, function: &str, event: Value) {
        let answer = self.app.invoke(function, event).await.unwrap();
        assert!(
            answer["statusCode"].is_null() || [200, 302].iter().any(|status| answer["statusCode"] == *status),
            "{function}: {answer}"
        );
        self.book(function);
    }

    async fn order(&mut self, id: u64, body: &Value) {
        let event = crate::bench::delivery("orders/create", &format!("w{id}"), body);
        self.invoke("webhooks/orders-create", event).await;
    }

    /// Works on what waits in the one queue that is not empty.
    async fn drain(&mut self, function: &str) {
        for state in self.bench.cloud.sqs().queues().await.unwrap() {
            let mine = state.name.ends_with(function.split_once('/').unwrap().1);
            assert_eq!(state.visible > 0, mine, "{}: {} visible", state.name, state.visible);
        }
        // Jobs call Shopify over a socket: no time-out may jump.
        tokio::time::resume();
        self.work(function).await;
        if function == "jobs/match-order" {
            // A case is told of by the next job.
            self.work("jobs/notify-merchant").await;
        }
        tokio::time::pause();
    }

    /// Gives a function what waits in its queue, which keeps what it says failed.
    async fn work(&mut self, function: &str) {
        let wired = self.bench.template.functions.iter().find(|known| known.handler == function).unwrap();
        let queue = wired.queues[0].queue.clone();
        loop {
            let messages = self.bench.receive(&queue).await;
            if messages.is_empty() {
                break;
            }
            let answer = self.app.invoke(function, crate::bench::batch(&messages)).await.unwrap();
            for message in messages {
                let failed = answer["batchItemFailures"].as_array().unwrap().iter();
                if !failed.into_iter().any(|failed| failed["itemIdentifier"] == message["MessageId"]) {
                    self.bench.delete(&queue, &message).await;
                }
            }
        }
        self.book(function);
    }

    /// Loses what waits in a function's queue, or failed.
    async fn lose(&self, function: &str) {
        let wired = self.bench.template.functions.iter().find(|known| known.handler == function).unwrap();
        self.bench.cloud.call(purge_queue(self.roles.url_of(&wired.queues[0].queue))).await;
    }

    /// A breach from its opening to its notices, of which Resend takes none: nobody listens there.
    async fn breach(&mut self) {
        let now = storeward_core::time::Clock::now(&self.bench.clock);
        let reach = Reach { from: now - HOUR, until: now, kinds: Reach::everything() };
        let (severity, words) = (Severity::Critical, Words::default());
        let new = NewIncident { severity, drill: false, aware_at: now - HOUR * 2, reach, words };
        let store = self.app.store().await;
        let incident = store.open_incident(&new).await.unwrap();
        let _by_the_test_itself = self.wire.take();
        let watch = || sample("schedules/watch-incidents/hourly");
        self.invoke("schedules/watch-incidents", watch()).await;
        self.work("jobs/handle-incident").await;
        let incident = self.app.store().await.incident(&incident.id).await.unwrap().unwrap();
        assert!(self.app.store().await.advance_incident(&incident, Phase::Notifying).await.unwrap());
        let _by_the_test_itself = self.wire.take();
        self.invoke("schedules/watch-incidents", watch()).await;
        self.work("jobs/handle-incident").await;
        self.lose("jobs/handle-incident").await;
    }

    async fn set(&self, settings: &GuardSettings) {
        let store = self.app.store().await;
        let shop = store.shop_id(&SHOP.parse().unwrap());
        let installation = store.installation(&shop).await.unwrap().unwrap();
        assert!(store.change_settings(&installation, settings).await.unwrap());
        let _by_the_test_itself = self.wire.take();
    }
}

impl Watched<'_> {
    /// The merchant moves to the free plan, which keeps orders for a week: one of two is older. What the change asks for
    /// runs out of time first.
    async fn shortened(&mut self) {
        for (id, placed) in [(70, "2026-11-10T15:00:00Z"), (71, "2026-11-20T15:00:00Z")] {
            let mut order = stranger(id);
            order["created_at"] = json!(placed);
            order["email"] = json!(format!("nobody.{id}@example.com"));
            self.order(id, &order).await;
            self.drain("jobs/match-order").await;
        }
        let mut body = sample_body("webhooks/shop-update/plain");
        body["updated_at"] = json!("2026-11-20T17:00:00Z");
        body["plan_display_name"] = json!("Free");
        self.invoke("webhooks/shop-update", crate::bench::delivery("shop/update", "free", &body)).await;
        self.without_time("jobs/apply-retention").await;
        self.work("jobs/apply-retention").await;
    }

    async fn news(&mut self, topic: &str, id: &str, body: &Value) {
        let function = format!("webhooks/{}", topic.replace(['/', '_'], "-"));
        self.invoke(&function, crate::bench::delivery(topic, id, body)).await;
    }

    /// Orders and accounts that change, what is asked about them, and what only the comparison with Shopify brings.
    async fn changes(&mut self, shopify: &Shopify) {
        let told = |id: u64, minute: u32| {
            let mut body = order(id, 5);
            body["updated_at"] = json!(format!("2026-11-20T15:{minute:02}:00Z"));
            body
        };
        for (topic, minute) in [("orders/updated", 10), ("orders/cancelled", 20), ("orders/fulfilled", 30)] {
            // An order in a case under another address, the same again, and one that nobody told of before.
            let name = topic.replace('/', "-");
            for (time, email) in [(1, "one.more@example.com"), (2, "another@example.com")] {
                let mut changed = told(3, minute + time);
                changed["email"] = json!(email);
                self.news(topic, &format!("{name}-{time}"), &changed).await;
                self.news(topic, &format!("{name}-{time}"), &changed).await;
                self.drain("jobs/match-order").await;
            }
            self.news(topic, &format!("{name}-new"), &told(40 + u64::from(minute), 1)).await;
            self.drain("jobs/match-order").await;
        }
        self.news("customers/update", "account", &sample_body("webhooks/customers-update/new-email")).await;
        self.lost("jobs/rectify-subject").await;
        self.drain("jobs/rectify-subject").await;
        let mut again = sample_body("webhooks/customers-update/new-email");
        again["email"] = json!("sample.account.again@example.com");
        again["updated_at"] = json!("2026-11-20T15:50:00Z");
        self.news("customers/update", "again", &again).await;
        self.without_time("jobs/rectify-subject").await;
        self.drain("jobs/rectify-subject").await;
        self.limited(&told).await;
        let asked = sample_body("webhooks/customers-data-request/by-id");
        self.news("customers/data_request", "asked", &asked).await;
        self.lost("jobs/export-subject").await;
        let message = self.peek("export-subject").await;
        self.drain("jobs/export-subject").await;
        // Once more, when it is done.
        let again = json!({"Records": [{"messageId": "m", "receiptHandle": "r", "body": message}]});
        self.invoke("jobs/export-subject", again).await;
        // No webhook told of an order that changed in its case, nor of a new one. The first run has time for a page.
        let now = storeward_core::time::Clock::now(&self.bench.clock).to_rfc3339();
        let mut changed = order(2, 5);
        changed["email"] = json!("moved@example.com");
        let mut limited = stranger(61);
        limited["email"] = json!(LIMITED);
        for mut untold in [changed, stranger(60), limited] {
            untold["updated_at"] = json!(now);
            shopify.hear_of(SHOP, untold.to_string().as_bytes());
        }
        for id in 100..160 {
            let mut untold = order(id, 5);
            untold["updated_at"] = json!(now);
            untold["test"] = json!(true);
            shopify.hear_of(SHOP, untold.to_string().as_bytes());
        }
        self.bench.advance(HOUR).await;
        self.invoke("schedules/reconcile-orders", sample("schedules/reconcile-orders/hourly")).await;
        tokio::time::resume();
        self.without_time("jobs/reconcile-shop").await;
        self.work("jobs/reconcile-shop").await;
        self.work("jobs/match-order").await;
        self.work("jobs/notify-merchant").await;
        tokio::time::pause();
    }

    /// Loses what waits in a function's queue, message by message: SQS empties a queue at once only once a minute.
    async fn discard(&self, function: &str) {
        let wired = self.bench.template.functions.iter().find(|known| known.handler == function).unwrap();
        let queue = &wired.queues[0].queue;
        loop {
            let messages = self.bench.receive(queue).await;
            if messages.is_empty() {
                return;
            }
            for message in messages {
                self.bench.delete(queue, &message).await;
            }
        }
    }

    /// What a merchant asks for a person, of every kind.
    async fn asked(&mut self) {
        let email = "asked.for@example.com";
        for lost in ["jobs/match-order", "jobs/notify-merchant", "jobs/reconcile-shop"] {
            self.discard(lost).await;
        }
        let mut body = stranger(95);
        body["email"] = json!(email);
        self.order(95, &body).await;
        self.drain("jobs/match-order").await;
        let right = json!({"email": "put.right@example.com"});
        for (kind, job) in [
            ("restriction", "jobs/redact-subject"),
            ("lift-restriction", "jobs/redact-subject"),
            ("objection", "jobs/redact-subject"),
            ("access", "jobs/export-subject"),
            ("rectification", "jobs/rectify-subject"),
            ("erasure", "jobs/redact-subject"),
        ] {
            let mut body = json!({"kind": kind, "email": email});
            if kind == "rectification" {
                body["corrections"] = right.clone();
            }
            let asked = self.ask("api/requests", "POST /v1/requests", "", &body).await;
            let id = asked["id"].as_str().unwrap().to_owned();
            self.drain(job).await;
            for lost in ["jobs/match-order", "jobs/reconcile-shop", "jobs/redact-subject"] {
                self.discard(lost).await;
            }
            let now = self.ask("api/requests", "GET /v1/requests/{id}", &id, &Value::Null).await;
            assert_ne!(now["state"], "received", "{now}");
            if kind == "access" {
                let link = self.ask("api/requests", "POST /v1/requests/{id}/link", &id, &Value::Null).await;
                let token = link["json"].as_str().unwrap().rsplit('/').next().unwrap();
                let event =
                    json!({"routeKey": "GET /v1/exports/{token}", "pathParameters": {"token": token}});
                let answer = self.app.invoke("api/exports", event).await.unwrap();
                assert_eq!(answer["statusCode"], 200, "{answer}");
                self.book("api/exports");
            }
        }
        self.ask("api/requests", "GET /v1/requests", "", &Value::Null).await;
    }

    /// What an operator opens and nobody proves.
    async fn unproven(&mut self) {
        let store = self.app.store().await;
        let installation = store.installation(&store.shop_id(&SHOP.parse().unwrap())).await.unwrap().unwrap();
        let person =
            Person { email: Some("someone.else@example.com".to_owned().into()), ..Person::default() };
        let asking = Asking {
            kind: RightsKind::Access,
            by: OpenedBy::Operator,
            person,
            corrections: Corrections::default(),
        };
        let acceptance = store.open_request(&installation, "unproven", &asking).unwrap();
        let notice = Notice {
            tenant: installation.tenant.clone(),
            case: acceptance.work().record.clone(),
            what: Happened::Proof,
        };
        store.commit(acceptance).await.unwrap();
        let _by_the_test_itself = self.wire.take();
        let body = serde_json::to_string(&notice).unwrap();
        let event = json!({"Records": [{"messageId": "m", "receiptHandle": "r", "body": body}]});
        self.app.invoke("jobs/notify-merchant", event).await.unwrap();
        self.book("jobs/notify-merchant");
        self.bench.advance(HOUR * 25).await;
        self.invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly")).await;
        // The second pass of what was erased before, and whatever else a day brought.
        self.work("jobs/redact-subject").await;
        for lost in ["jobs/match-order", "jobs/notify-merchant", "jobs/reconcile-shop"] {
            self.discard(lost).await;
        }
    }

    /// What is told of someone whose data may not be used.
    async fn limited(&mut self, told: &dyn Fn(u64, u32) -> Value) {
        let store = self.app.store().await;
        let installation = store.installation(&store.shop_id(&SHOP.parse().unwrap())).await.unwrap().unwrap();
        let person = identifiers(&[&LIMITED.to_owned().into()], &[], None);
        let request = "request/0123456789abcdef0123456789abcdef".parse().unwrap();
        store.limit_subject(&installation, &person, Limit::Objected, &request).await.unwrap().unwrap();
        let _by_the_test_itself = self.wire.take();
        for topic in ["orders/create", "orders/updated", "orders/cancelled", "orders/fulfilled"] {
            let mut body = told(90, 1);
            body["email"] = json!(LIMITED);
            self.news(topic, &format!("{topic}-limited"), &body).await;
        }
        let mut account = sample_body("webhooks/customers-update/new-email");
        account["email"] = json!(LIMITED);
        self.news("customers/update", "limited", &account).await;
        // References are sent beside the write that was refused: their jobs find nothing.
        self.bench.advance(MINUTE * 2).await;
        self.work("jobs/match-order").await;
        self.work("jobs/rectify-subject").await;
    }

    /// What waits for a function is lost, and sent again by the sweep.
    async fn lost(&mut self, function: &str) {
        let known = self.bench.template.functions.iter().find(|known| known.handler == function).unwrap();
        self.bench.cloud.call(purge_queue(self.roles.url_of(&known.queues[0].queue))).await;
        self.bench.advance(HOUR * 2).await;
        self.invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly")).await;
    }

    async fn peek(&self, queue: &str) -> String {
        let queue = format!("storeward-development-{queue}");
        self.bench.cloud.sqs().peek(&queue).await.unwrap().remove(0).body
    }

    /// A run that has no time, on the message that waits.
    async fn without_time(&mut self, function: &str) {
        let body = self.peek(function.split_once('/').unwrap().1).await;
        let event = json!({"Records": [{"messageId": "m", "receiptHandle": "r", "body": body}]});
        let deadline = storeward_core::time::Clock::now(&self.bench.clock);
        let known = bootstrap::function(function).unwrap();
        let ended = storeward_host::Invocation { event, deadline };
        known.invoke(self.app.context(known.name), ended).await.unwrap();
        self.book(function);
    }
}

#[tokio::test(start_paused = true)]
async fn every_function_may_do_what_it_does_and_nothing_else() {
    let mut world = World::new().await;
    // Under this preset the plan decides how long things are kept.
    crate::retention::deploy(&mut world.bench, "bot-guard", "");
    // Nobody listens there: a mail is announced and fails.
    world.bench.set("STOREWARD_RESEND_ENDPOINT", "http://127.0.0.1:1");
    world.bench.register = crate::egress::CHANGING;
    let bench = &world.bench;
    let profile = Profile {
        email: Some("merchant@example.com".to_owned().into()),
        ..bench.app().install().await.profile().unwrap()
    };
    bench.app().store().await.install(&profile).await.unwrap();
    let wire = Wire::default();
    let app = bench.app_through(wire.tap(bench.transport()), FaultPlan::none());
    let roles = Roles::new(bench);
    let mut life = Watched { bench, app, wire, roles, used: BTreeMap::new() };
    // What goes over a socket would run into time-outs that jump.
    tokio::time::resume();
    life.connect(&world).await;
    tokio::time::pause();
    life.shortened().await;
    let sweep = || sample("schedules/sweep-due/hourly");
    // Three orders of one person, the first of which is lost on its way and sent again by the sweep.
    life.order(1, &order(1, 1)).await;
    let queue = life.bench.template.functions.iter().find(|f| f.handler == "jobs/match-order").unwrap();
    life.bench.cloud.call(purge_queue(life.roles.url_of(&queue.queues[0].queue))).await;
    life.bench.advance(HOUR * 2).await;
    life.invoke("schedules/sweep-due", sweep()).await;
    // Once more, when nobody can be writing under the plan before.
    life.work("jobs/apply-retention").await;
    life.drain("jobs/match-order").await;
    for id in 2..=3 {
        life.order(id, &order(id, 5)).await;
        life.drain("jobs/match-order").await;
    }
    // Its mail failed; from now on there is one a day, until there is none.
    life.lose("jobs/notify-merchant").await;
    life.set(&GuardSettings { alert: Alert::Digest, digest_hour: 19, ..GuardSettings::default() }).await;
    // Two clusters that an order makes one.
    for id in 21..=22 {
        life.order(id, &stranger(id)).await;
        life.drain("jobs/match-order").await;
    }
    let mut bridge = order(23, 30);
    bridge["contact_email"] = json!("someone.else@example.com");
    life.order(23, &bridge).await;
    life.drain("jobs/match-order").await;
    life.set(&GuardSettings { alert: Alert::Off, ..GuardSettings::default() }).await;
    life.bench.advance(HOUR * 2).await;
    life.invoke("schedules/sweep-due", sweep()).await;
    life.work("jobs/notify-merchant").await;
    assert!(life.bench.items("digest").is_empty(), "the digest was ended");
    life.changes(&world.shopify).await;
    life.breach().await;
    // Erased in two passes, the second of which is lost and sent again by the sweep.
    life.invoke("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    life.drain("jobs/redact-subject").await;
    let queue = life.bench.template.functions.iter().find(|f| f.handler == "jobs/redact-subject").unwrap();
    life.bench.cloud.call(purge_queue(life.roles.url_of(&queue.queues[0].queue))).await;
    life.bench.advance(HOUR).await;
    life.invoke("schedules/sweep-due", sweep()).await;
    life.drain("jobs/redact-subject").await;
    life.asked().await;
    life.unproven().await;
    // Uninstalled and purged, asked for by shop/redact and by the sweep, and in a run that has no time.
    life.order(31, &stranger(31)).await;
    life.drain("jobs/match-order").await;
    let uninstalled = "webhooks/app-uninstalled";
    life.invoke("webhooks/shop-redact", sample("webhooks/shop-redact/plain")).await;
    // Shopify is asked over a socket whether it is so: no time-out may jump.
    world.shopify.uninstall(SHOP);
    tokio::time::resume();
    life.invoke(uninstalled, sample("webhooks/app-uninstalled/plain")).await;
    tokio::time::pause();
    life.invoke("webhooks/shop-redact", sample("webhooks/shop-redact/plain")).await;
    let message = life.bench.cloud.sqs().peek("storeward-development-purge-shop").await.unwrap().remove(0);
    life.bench.advance(HOUR * 38).await;
    life.invoke("schedules/sweep-due", sweep()).await;
    let late = json!({"Records": [{"messageId": "m", "receiptHandle": "r", "body": message.body}]});
    let (now, function) = (life.bench.clock.clone(), bootstrap::function("jobs/purge-shop").unwrap());
    let deadline = storeward_core::time::Clock::now(&now);
    let ended = storeward_host::Invocation { event: late, deadline };
    function.invoke(life.app.context("jobs/purge-shop"), ended).await.unwrap();
    life.book("jobs/purge-shop");
    life.drain("jobs/purge-shop").await;
    life.invoke("webhooks/shop-redact", sample("webhooks/shop-redact/plain")).await;
    // Another shop's uninstall was never told.
    let gone = "storeward-two.myshopify.com";
    world.shopify.uninstall(gone);
    let body = json!({"shop_id": 2, "shop_domain": gone}).to_string();
    let event = signed_delivery("shop/redact", "gone", gone, SECRETS[0], &body);
    tokio::time::resume();
    life.invoke("webhooks/shop-redact", event).await;
    tokio::time::pause();
    life.drain("jobs/purge-shop").await;
    // A change of sub-processors is announced to the shops that are left.
    life.invoke("schedules/announce-processors", sample("schedules/announce-processors/daily")).await;

    life.bench.advance(HOUR * 24).await;
    life.invoke("schedules/seal-ledger", sample("schedules/seal-ledger/daily")).await;

    life.compare(|function| {
        let elsewhere =
            [&API[..], &OPERATORS, &MAILBOXES, &MAIL_DESK].iter().any(|names| names.contains(&function));
        !elsewhere && !ENDING.contains(&function)
    });
}

impl Watched<'_> {
    /// What the functions did against what their roles allow.
    fn compare(&self, concerned: impl Fn(&str) -> bool) {
        let life = self;
        let unused: BTreeSet<(String, String)> = bootstrap::FUNCTIONS
            .iter()
            .filter(|function| concerned(function.name))
            .flat_map(|function| {
                let used =
                    life.used.get(function.name).unwrap_or_else(|| panic!("{} never ran", function.name));
                let allowed = life.roles.allowed(function.name);
                let forbidden: Vec<_> = used.difference(&allowed).collect();
                assert!(forbidden.is_empty(), "{} does what its role forbids: {forbidden:?}", function.name);
                let unused = allowed.difference(used).map(|right| (function.name.to_owned(), right.clone()));
                unused.collect::<Vec<_>>()
            })
            .collect();
        let explained: BTreeSet<(String, String)> = UNUSED
            .iter()
            .filter(|(function, _, _)| concerned(function))
            .map(|(function, right, _)| ((*function).to_owned(), (*right).to_owned()))
            .collect();
        assert_eq!(unused, explained, "allowed and not used (left), allowed with a reason (right)");
    }

    /// Somebody who has an order writes to us: a request of each kind, proven by the code that is sent.
    async fn written_to(&mut self, installation: &Installation) {
        let known = "asked.for@example.com";
        let mut placed = stranger(95);
        placed["email"] = json!(known);
        self.bench.app().order("w95", &placed).await;
        let shop = installation.tenant.shop.clone();
        for kind in ["access", "rectification", "restriction", "erasure"] {
            let mut body = json!({ "kind": kind, "email": known });
            if kind == "rectification" {
                body["corrections"] = json!({ "phone": "+12025550199" });
            }
            let mut id = String::new();
            for name in ["open", "list", "read", "prove"] {
                let mut event = sample(&format!("operator/rights/{name}"));
                event["pathParameters"]["shop"] = json!(shop);
                match name {
                    "open" => event["body"] = json!(body.to_string()),
                    "list" => {}
                    _ => event["pathParameters"]["id"] = json!(id),
                }
                if name == "prove" {
                    let reference = format!("request/{id}").parse().unwrap();
                    let store = self.app.store().await;
                    let mail = store.proof_mail(installation, &reference).await.unwrap().unwrap();
                    event["body"] = json!(json!({ "code": mail.code }).to_string());
                    let _by_the_test_itself = self.wire.take();
                }
                let answer = self.app.invoke("operator/rights", event).await.unwrap();
                assert!(answer["statusCode"].as_u64().unwrap() < 300, "{kind}, {name}: {answer}");
                if name == "open" {
                    let opened: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
                    opened["id"].as_str().unwrap().clone_into(&mut id);
                }
                self.book("operator/rights");
            }
        }
    }

    /// Asks an API function as API Gateway does, for the samples' shop.
    async fn ask(&mut self, function: &str, key: &str, id: &str, body: &Value) -> Value {
        let store = self.app.store().await;
        let shop = store.shop_id(&SHOP.parse().unwrap());
        let actor = store.actor(&shop, "42");
        let _by_the_test_itself = self.wire.take();
        let event = json!({
            "routeKey": key, "headers": {}, "pathParameters": {"id": id, "name": id}, "body": body.to_string(),
            "requestContext": {"authorizer": {"lambda": {"shop": shop, "actor": actor}}},
        });
        let answer = self.app.invoke(function, event).await.unwrap();
        assert!(answer["statusCode"].as_u64().unwrap() < 300, "{key}: {answer}");
        self.book(function);
        serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default()
    }
}

/// The functions that end a shop's service: each has a life of its own.
const ENDING: [&str; 2] = ["api/service", "operator/shops"];

#[tokio::test]
async fn each_function_that_ends_a_shop_may_do_what_it_does_and_nothing_else() {
    for function in ENDING {
        let (world, _app, installation) = World::connected().await;
        let bench = &world.bench;
        let app = bench.app();
        app.store().await.member_opened(&installation, "42").await.unwrap();
        app.order("w1", &order(1, 1)).await;
        let wire = Wire::default();
        let app = bench.app_through(wire.tap(bench.transport()), FaultPlan::none());
        let roles = Roles::new(bench);
        let mut life = Watched { bench, app, wire, roles, used: BTreeMap::new() };
        // Long enough after the consent that the tokens have to be renewed first.
        bench.clock.advance(HOUR * 2);
        if function == "api/service" {
            for key in ["GET /v1/ledger", "GET /v1/access-log", "GET /v1/service/export"] {
                life.ask(function, key, "", &Value::Null).await;
            }
            life.ask(function, "POST /v1/service/ending", "", &json!({ "confirm": SHOP })).await;
        } else {
            for name in ["me", "lookup", "read", "ledger", "access-review", "end"] {
                let mut event = sample(&format!("{function}/{name}"));
                if event["pathParameters"].is_object() {
                    event["pathParameters"]["shop"] = json!(installation.tenant.shop);
                }
                let answer = life.app.invoke(function, event).await.unwrap();
                assert!(answer["statusCode"].as_u64().unwrap() < 300, "{name}: {answer}");
                life.book(function);
            }
        }
        life.compare(|known| known == function);
    }
}

/// The functions that touch Google: what they do depends on what it answers.
const MAILBOXES: [&str; 5] = [
    "api/google-oauth",
    "api/mailboxes",
    "jobs/sync-mailbox",
    "pushes/gmail-push",
    "schedules/renew-watches",
];

impl Watched<'_> {
    /// Connects a mailbox, step by step.
    async fn consent(&mut self, world: &Mailboxes) {
        let _by_the_test_itself = self.wire.take();
        let query = world.begin(&world.installation).await;
        self.book("api/mailboxes");
        let answer = world.browse(&world.app, "/google/start", &query, None).await;
        self.book("api/google-oauth");
        let (query, cookie) = world.agree(&answer).await;
        let answer = world.browse(&world.app, "/google/callback", &query, Some(&cookie)).await;
        assert_eq!(answer["statusCode"], 302, "{answer}");
        self.book("api/google-oauth");
    }

    /// Takes what Gmail tells, and works on what comes of it and on what waits.
    async fn told(&mut self, world: &Mailboxes) {
        let _by_the_test_itself = self.wire.take();
        for status in world.push().await {
            assert_eq!(status, 204);
        }
        self.book("pushes/gmail-push");
        self.work("jobs/sync-mailbox").await;
    }

    async fn looked_after(&mut self, world: &Mailboxes, by: Duration) {
        world.advance(by).await;
        let _by_the_test_itself = self.wire.take();
        self.invoke("schedules/renew-watches", sample("schedules/renew-watches/hourly")).await;
        self.told(world).await;
    }
}

#[tokio::test]
async fn every_function_that_touches_google_may_do_what_it_does_and_nothing_else() {
    let mut world = Mailboxes::new().await;
    let wire = Wire::default();
    world.app = world.bench.app_through(wire.tap(world.bench.transport()), FaultPlan::none());
    let app = world.bench.app_through(wire.tap(world.bench.transport()), FaultPlan::none());
    let roles = Roles::new(&world.bench);
    let mut life = Watched { bench: &world.bench, app, wire, roles, used: BTreeMap::new() };
    // Connected and read; then a mail, its answer in the same conversation, and a gap in the history.
    life.consent(&world).await;
    life.told(&world).await;
    for (number, subject) in [(1, "First"), (2, "Second")] {
        world.google.deliver(MAILBOX, mailboxes::mail(number, subject));
        life.told(&world).await;
    }
    let answer = format!(
        "To: customer1@example.com\r\nFrom: {MAILBOX}\r\nSubject: Re: First\r\nReferences: <test-1@example.com>\r\n\r\nDone."
    );
    world.google.human_sends(MAILBOX, answer, None).unwrap();
    world.google.forget_history(MAILBOX);
    life.told(&world).await;
    // Renewed, throttled, and read unasked.
    life.looked_after(&world, HOUR * 30).await;
    world.google.trouble_at(MAILBOX, "history.list", Trouble::Quota);
    life.looked_after(&world, HOUR * 2).await;
    life.looked_after(&world, HOUR * 2).await;
    // Listed and read now.
    let id = world.mailbox().await.reference.id().to_owned();
    for (key, status) in [("GET /v1/mailboxes", 200), ("POST /v1/mailboxes/{id}/sync", 202)] {
        let _by_the_test_itself = life.wire.take();
        assert_eq!(world.ask(&world.installation, key, &id).await.0, status);
        life.book("api/mailboxes");
    }
    life.told(&world).await;
    // Lost, connected again, and disconnected.
    world.google.end_consent(MAILBOX);
    life.looked_after(&world, HOUR * 2).await;
    life.consent(&world).await;
    world.advance(HOUR * 2).await;
    let _by_the_test_itself = life.wire.take();
    assert_eq!(world.ask(&world.installation, "DELETE /v1/mailboxes/{id}", &id).await.0, 202);
    life.book("api/mailboxes");
    life.told(&world).await;
    assert!(world.bench.items("mailbox").is_empty() && world.bench.items("mail").is_empty());
    life.compare(|function| MAILBOXES.contains(&function));
}

/// The functions that make something of a mail: what they do depends on what Claude, Shopify and Gmail answer.
const MAIL_DESK: [&str; 5] =
    ["api/drafts", "api/threads", "jobs/classify-email", "jobs/draft-reply", "jobs/send-reply"];

impl Watched<'_> {
    /// Asks an API function of the mail desk.
    async fn desk(&mut self, world: &MailDesk, key: &str, id: &str, revision: Option<i64>, body: &Value) {
        let _by_the_test_itself = self.wire.take();
        let (status, answer) = world.api(key, id, revision, body).await;
        assert!(status < 300, "{key}: {answer}");
        self.book(if key.contains("/v1/drafts") { "api/drafts" } else { "api/threads" });
    }

    /// A mail comes in, and its jobs work on it; between them Claude fails once, tokens end, and time passes.
    async fn mail(&mut self, world: &MailDesk, mail: &mail_desk::Mail<'_>, fails: bool) {
        world.inner.google.deliver(MAILBOX, mail.raw()).unwrap();
        world.inner.settle().await;
        for function in ["jobs/classify-email", "jobs/draft-reply"] {
            world.advance(HOUR).await;
            if fails {
                world.claude.trouble_next(Overloaded { retry_after: None });
            }
            for _ in 0..2 {
                let _by_the_test_itself = self.wire.take();
                self.work(function).await;
                world.advance(MINUTE).await;
            }
        }
    }
}

#[tokio::test]
async fn every_function_of_the_mail_desk_may_do_what_it_does_and_nothing_else() {
    let mut world = MailDesk::new(true).await;
    // A shop whose tokens end: the jobs renew them.
    world.shopify.set_app(AppCredentials {
        client_id: CLIENT_ID.to_owned(),
        client_secrets: SECRETS.map(str::to_owned).into(),
        redirect_urls: Vec::new(),
    });
    let mut event = sample("api/token-exchange/session");
    event["headers"]["authorization"] = json!(format!("Bearer {}", world.shopify.session_token(SHOP)));
    let answer = world.inner.app.invoke("api/token-exchange", event).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    world.answers_shipping().await;
    world
        .configure(|desk| {
            let mut asks = desk.rules[0].clone();
            asks.id = "asks".to_owned();
            asks.when.returning_customer = Some(true);
            asks.then = vec![Action::Label { label: "again".to_owned() }];
            desk.rules.push(asks);
        })
        .await;
    let wire = Wire::default();
    world.inner.app =
        world.inner.bench.app_through(wire.tap(world.inner.bench.transport()), FaultPlan::none());
    let world = world;
    let app = world.inner.bench.app_through(wire.tap(world.inner.bench.transport()), FaultPlan::none());
    let roles = Roles::new(&world.inner.bench);
    let mut life = Watched { bench: &world.inner.bench, app, wire, roles, used: BTreeMap::new() };
    // One mail that Claude is asked about, and answered by a person who changes their mind.
    let (none, ana) = (Value::Null, mail_desk::ANA);
    life.mail(&world, &mail_desk::Mail::new(1, ana, "Vague", mail_desk::VAGUE), true).await;
    let thread = world.threads().await[0].reference.id().to_owned();
    life.desk(&world, "GET /v1/threads", "", None, &none).await;
    life.desk(&world, "GET /v1/threads/{id}", &thread, None, &none).await;
    life.desk(&world, "PATCH /v1/threads/{id}", &thread, None, &json!({ "add_labels": ["seen"] })).await;
    life.desk(&world, "POST /v1/threads/{id}/draft", &thread, None, &none).await;
    let _by_the_test_itself = life.wire.take();
    life.work("jobs/draft-reply").await;
    let latest = async || world.drafts().await.pop().unwrap();
    let draft = latest().await;
    let id = draft.reference.id().to_owned();
    life.desk(&world, "GET /v1/drafts/{id}", &id, None, &none).await;
    life.desk(
        &world,
        "PUT /v1/drafts/{id}",
        &id,
        Some(draft.revision),
        &json!({ "text": "We look into it." }),
    )
    .await;
    let revision = Some(latest().await.revision);
    life.desk(&world, "POST /v1/drafts/{id}/approve", &id, revision, &none).await;
    life.desk(&world, "POST /v1/drafts/{id}/cancel", &id, None, &none).await;
    life.desk(&world, "DELETE /v1/drafts/{id}", &id, None, &none).await;
    life.lose("jobs/send-reply").await;
    // One that a rule answers: Gmail is out of quota first.
    life.mail(&world, &mail_desk::Mail::new(2, ana, "Parcel", mail_desk::SHIPPING), false).await;
    world.advance(HOUR).await;
    world.inner.google.trouble_at(MAILBOX, "messages.send", Trouble::Quota);
    for _ in 0..4 {
        let _by_the_test_itself = life.wire.take();
        life.work("jobs/send-reply").await;
        world.advance(MINUTE * 3).await;
    }
    assert_eq!(world.inner.google.sent(MAILBOX).len(), 1);
    // Three that a rule would answer: one is drafted anew by a person, for one it was switched off, one's mailbox is lost.
    for number in 3..=5 {
        world.configure(|desk| desk.settings.send_by_rule = true).await;
        let subject = format!("Parcel {number}");
        life.mail(&world, &mail_desk::Mail::new(number, ana, &subject, mail_desk::SHIPPING), false).await;
        match number {
            3 => {
                let draft = latest().await;
                let id = draft.thread.id().to_owned();
                life.desk(&world, "POST /v1/threads/{id}/draft", &id, None, &none).await;
                life.lose("jobs/draft-reply").await;
            }
            4 => world.configure(|desk| desk.settings.send_by_rule = false).await,
            _ => world.inner.google.end_consent(MAILBOX),
        }
        world.advance(HOUR).await;
        let _by_the_test_itself = life.wire.take();
        life.work("jobs/send-reply").await;
    }
    life.compare(|function| MAIL_DESK.contains(&function));
}

/// The functions of the operators' API, but for the one that ends a shop.
const OPERATORS: [&str; 4] =
    ["api/operator-authorizer", "operator/breaches", "operator/rights", "triggers/operator-sign-in"];

/// The functions of the merchants' API.
const API: [&str; 12] = [
    "api/authorizer",
    "api/cases",
    "api/desk",
    "api/exceptions",
    "api/exports",
    "api/incidents",
    "api/members",
    "api/requests",
    "api/openapi",
    "api/processors",
    "api/savings",
    "api/settings",
];

#[tokio::test(start_paused = true)]
async fn every_function_of_the_api_may_do_what_it_does_and_nothing_else() {
    let mut bench = Bench::new().await;
    bench.register = crate::egress::CHANGING;
    let installation = bench.app().install().await;
    bench.app().store().await.member_opened(&installation, "42").await.unwrap();
    let wire = Wire::default();
    let app = bench.app_through(wire.tap(bench.transport()), FaultPlan::none());
    let roles = Roles::new(&bench);
    let mut life = Watched { bench: &bench, app, wire, roles, used: BTreeMap::new() };
    for (id, body) in [(1, order(1, 1)), (2, order(2, 2)), (21, stranger(21)), (22, stranger(22))] {
        life.order(id, &body).await;
        life.drain("jobs/match-order").await;
    }
    let none = Value::Null;
    let _started = life.app.invoke("api/authorizer", sample("api/authorizer/session")).await.unwrap();
    life.book("api/authorizer");
    let _document = life.app.invoke("api/openapi", sample("api/openapi/read")).await.unwrap();
    life.book("api/openapi");
    life.ask("api/settings", "GET /v1/settings", "", &none).await;
    life.ask("api/settings", "PUT /v1/settings", "", &json!({"window_minutes": 60})).await;
    life.ask("api/settings", "GET /v1/retention", "", &none).await;
    let kept = life.ask("api/settings", "PUT /v1/retention", "", &json!({"case": 60})).await;
    assert_eq!(kept["case"], json!({"days": 60, "chosen": 60, "longest": 365}));
    life.lose("jobs/apply-retention").await;
    life.ask("api/settings", "GET /v1/instructions", "", &none).await;
    let off = json!({"activities": {"tag_orders": false, "draft_with_claude": false}});
    life.ask("api/settings", "PUT /v1/instructions", "", &off).await;
    let preview = life.ask("api/settings", "POST /v1/settings/preview", "", &json!({"settings": {}})).await;
    assert_eq!(preview["proposed"]["cases"], 2, "{preview}");
    let listed = life.ask("api/cases", "GET /v1/cases", "", &none).await;
    let id = |place: usize| listed["cases"][place]["id"].as_str().unwrap().to_owned();
    for case in [id(0), id(1)] {
        life.ask("api/cases", "GET /v1/cases/{id}", &case, &none).await;
        life.ask(
            "api/cases",
            "POST /v1/cases/{id}/decision",
            &case,
            &json!({"decision": "never_this_customer"}),
        )
        .await;
        life.work("jobs/notify-merchant").await;
        life.ask("api/cases", "POST /v1/cases/{id}/recheck", &case, &none).await;
        life.drain("jobs/match-order").await;
        life.ask("api/cases", "POST /v1/cases/{id}/decision", &case, &json!({"decision": "confirm"})).await;
    }
    life.ask(
        "api/cases",
        "POST /v1/cases/{id}/decision",
        &id(0),
        &json!({"decision": "never_this_customer"}),
    )
    .await;
    life.ask("api/cases", "DELETE /v1/cases/{id}", &id(1), &none).await;
    let exceptions = life.ask("api/exceptions", "GET /v1/exceptions", "", &none).await;
    let exception = exceptions["exceptions"][0]["id"].as_str().unwrap().to_owned();
    life.ask("api/exceptions", "DELETE /v1/exceptions/{id}", &exception, &none).await;
    life.ask("api/savings", "GET /v1/savings", "", &none).await;
    let others = bench.app();
    let now = storeward_core::time::Clock::now(&bench.clock);
    crate::mail_store::understood(&others, &installation, now).await;
    for what in ["", "/rules", "/macros", "/savings"] {
        life.ask("api/desk", &format!("GET /v1/desk{what}"), "", &none).await;
    }
    life.ask("api/desk", "PUT /v1/desk", "", &json!({})).await;
    life.ask("api/desk", "PUT /v1/desk/rules", "", &json!({"rules": []})).await;
    life.ask("api/desk", "PUT /v1/desk/macros", "", &json!({"macros": []})).await;
    let tried = life.ask("api/desk", "POST /v1/desk/rules/dry-run", "", &json!({})).await;
    assert_eq!(tried["mails"].as_array().map(Vec::len), Some(1), "{tried}");
    life.ask("api/incidents", "GET /v1/incidents", "", &none).await;
    life.ask("api/processors", "GET /v1/processors", "", &none).await;
    life.ask("api/processors", "POST /v1/processors/acknowledgement", "", &none).await;
    for method in ["POST", "DELETE"] {
        let key = format!("{method} /v1/processors/{{name}}/objection");
        life.ask("api/processors", &key, "resend", &none).await;
    }
    let store = life.app.store().await;
    store.member_opened(&installation, "43").await.unwrap();
    let colleague = store.actor(&installation.tenant.shop, "43");
    life.ask("api/members", "GET /v1/me", "", &none).await;
    life.ask("api/members", "GET /v1/members", "", &none).await;
    life.ask("api/members", "PUT /v1/members", "", &json!({"newcomers": "agent"})).await;
    life.ask("api/members", "PUT /v1/members/{id}", &colleague, &json!({"role": "admin"})).await;
    life.ask("api/members", "DELETE /v1/members/{id}", &colleague, &none).await;
    life.asked().await;
    life.compare(|function| API.contains(&function));
}

#[tokio::test]
async fn every_function_of_the_operators_api_may_do_what_it_does_and_nothing_else() {
    // The issuer is asked over a socket.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut bench = Bench::new().await;
    let issuer =
        storeward_local::issuer::Issuer::new(port, std::sync::Arc::new(bench.clock.clone())).unwrap();
    let router = axum::Router::new().nest(storeward_local::issuer::PATH, issuer.router());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    for function in bench.functions() {
        for (variable, value) in [
            ("STOREWARD_OPERATOR_ISSUER", storeward_local::issuer::name(port)),
            ("STOREWARD_OPERATOR_AUDIENCE", storeward_local::issuer::AUDIENCE.to_owned()),
            ("STOREWARD_OPERATOR_ROLE_CLAIM", storeward_local::issuer::ROLE_CLAIM.to_owned()),
        ] {
            if let Some(set) = function.environment.get_mut(variable) {
                *set = value;
            }
        }
    }
    let installation = bench.app().install().await;
    let wire = Wire::default();
    let app = bench.app_through(wire.tap(bench.transport()), FaultPlan::none());
    let roles = Roles::new(&bench);
    let mut life = Watched { bench: &bench, app, wire, roles, used: BTreeMap::new() };
    let mut event = sample("api/operator-authorizer/token");
    let token = issuer.token(storeward_core::roles::OperatorRole::Support);
    event["identitySource"] = json!([format!("Bearer {token}")]);
    let answer = life.app.invoke("api/operator-authorizer", event).await.unwrap();
    assert_eq!(answer["context"]["role"], "support", "{answer}");
    life.book("api/operator-authorizer");
    life.written_to(&installation).await;
    let mut breach = String::new();
    for name in ["open", "list", "read", "describe", "notify", "close"] {
        let mut event = sample(&format!("operator/breaches/{name}"));
        if !breach.is_empty() {
            event["pathParameters"]["id"] = json!(breach);
        }
        if name == "notify" {
            let store = life.app.store().await;
            let incident = store.incident(&breach).await.unwrap().unwrap();
            assert!(store.advance_incident(&incident, Phase::Assessed).await.unwrap());
            let _by_the_test_itself = life.wire.take();
        }
        if name == "close" {
            let store = life.app.store().await;
            let incident = store.incident(&breach).await.unwrap().unwrap();
            assert!(store.advance_incident(&incident, Phase::Notified).await.unwrap());
            let _by_the_test_itself = life.wire.take();
        }
        let answer = life.app.invoke("operator/breaches", event).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
        if name == "open" {
            let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            breach = body["id"].as_str().unwrap().to_owned();
        }
        life.book("operator/breaches");
    }
    for name in ["first", "signed-in", "asked", "reset"] {
        let event = sample(&format!("triggers/operator-sign-in/{name}"));
        let answer = life.app.invoke("triggers/operator-sign-in", event.clone()).await.unwrap();
        assert_eq!(answer, event, "the pool is given its event back");
        life.book("triggers/operator-sign-in");
    }
    serving.abort();
    life.compare(|function| OPERATORS.contains(&function));
}

impl Roles {
    fn url_of(&self, queue: &str) -> &str {
        self.logical.keys().find(|url| url.ends_with(&format!("/{queue}"))).unwrap()
    }
}

/// Loses everything that waits in a queue.
fn purge_queue(url: &str) -> http::Request<bytes::Bytes> {
    http::Request::post("http://127.0.0.1:1/")
        .header("x-amz-target", "AmazonSQS.PurgeQueue")
        .header("content-type", "application/x-amz-json-1.0")
        .body(json!({ "QueueUrl": url }).to_string().into())
        .unwrap()
}

/// An order of someone else, placed while the test runs.
fn stranger(id: u64) -> Value {
    let mut order = sample_body("webhooks/orders-create/first");
    order["id"] = json!(id);
    for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
        order[field] = json!(null);
    }
    order["email"] = json!("someone.else@example.com");
    order
}
