//! The story of one shop in which something of every kind of the data map is stored, with a canary in each personal field:
//! none is ever in the clear, and after an erasure or a purge none is left under seal either.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::middleware::{self, Next};
use serde_json::{Value, json};
use storeward_core::data_map::{Category, Kind, Processor};
use storeward_core::guard::{Alert, GuardSettings};
use storeward_core::intent::{Confidence, Intent};
use storeward_core::oauth::{Access, AccessToken, Refresh, Scopes};
use storeward_core::rights::{Corrections, OpenedBy, Person, RightsKind};
use storeward_core::time::{Clock as _, DAY, HOUR, ManualClock, Timestamp};
use storeward_host::{Happened, Notice, Queue};
use storeward_local::resend::{self, Resend};
use storeward_local::shopify::{Shopify, SimulatedOrder, SimulatedShop};
use storeward_store::{
    Arrival, ArrivedMail, Asking, Author, Connecting, Engine, Installation, Lease, MailTokens, NewDraft,
    Progress, Proof, PurgeReport, RecordRef, Understanding,
};

use crate::bench::{START, sample, sample_body};
use crate::leaks::{Canary, DOMAIN, MERCHANT, PERSON, World, orders, take_logged};
use crate::support::thief::{Opened, Thief};

/// Whose the canaries are beside the merchant's and the person's who is erased.
const OTHER: &str = "other person";
const NEIGHBOUR: &str = "neighbour";
const OPERATOR: &str = "operator";

/// The parts of the story, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Installed,
    Ordered,
    Decided,
    Written,
    Asked,
    Breached,
    Erased,
    Purged,
}

/// By which part of the story something of a kind was stored, and which of its fields were seen in its sealed values by
/// then. A kind that is new does not compile without a place here.
const fn told(kind: Kind) -> (Part, &'static [&'static str]) {
    match kind {
        Kind::Shop => (
            Part::Installed,
            &["profile.email", "profile.plan", "profile.domain", "access.token", "access.refresh"],
        ),
        Kind::Member => (Part::Installed, &["member.number"]),
        Kind::Directory | Kind::Keys | Kind::Ledger | Kind::OperatorPassword => (Part::Installed, &[]),
        Kind::Order => (
            Part::Ordered,
            &[
                "order.id",
                "order.name",
                "order.email",
                "order.phone",
                "order.contact_email",
                "order.customer.id",
                "order.billing_address.first_name",
                "order.billing_address.last_name",
                "order.billing_address.address1",
                "order.billing_address.address2",
                "order.billing_address.city",
                "order.billing_address.zip",
                "order.billing_address.phone",
                "order.shipping_address.first_name",
                "order.shipping_address.last_name",
                "order.shipping_address.address1",
                "order.shipping_address.address2",
                "order.shipping_address.city",
                "order.shipping_address.zip",
                "order.shipping_address.phone",
            ],
        ),
        Kind::Case => (Part::Ordered, &["order.id", "order.name"]),
        Kind::Delivery
        | Kind::Match
        | Kind::Subject
        | Kind::CaseIndex
        | Kind::Notice
        | Kind::Digest
        | Kind::Statistics
        | Kind::Due => (Part::Ordered, &[]),
        Kind::Exception => (Part::Decided, &["order.shipping_address.address1"]),
        Kind::Access => (Part::Decided, &[]),
        Kind::Mailbox => (Part::Written, &["mailbox.address", "mailbox.access", "mailbox.refresh"]),
        Kind::Thread => (Part::Written, &["order.customer.email", "mail.name", "mail.subject"]),
        Kind::Mail => (
            Part::Written,
            &[
                "order.customer.email",
                "mail.name",
                "mail.subject",
                "mail.text",
                "mail.quoted",
                "mail.signature",
                "mail.sentence",
            ],
        ),
        Kind::Draft => (Part::Written, &["order.customer.email", "draft.text"]),
        Kind::Desk => (Part::Written, &["desk.signature"]),
        Kind::MailboxRoute | Kind::Connecting | Kind::ThreadIndex | Kind::MailLink => (Part::Written, &[]),
        Kind::Rectification => (
            Part::Asked,
            &["order.customer.id", "account.email", "account.phone", "corrected.email", "corrected.phone"],
        ),
        Kind::Request => (
            Part::Asked,
            &["order.customer.id", "order.customer.email", "order.customer.phone", "written.email"],
        ),
        Kind::Export => (
            Part::Asked,
            &["order.customer.id", "order.customer.email", "order.name", "order.shipping_address.address1"],
        ),
        Kind::Limit => (Part::Asked, &["order.customer.id", "order.customer.email", "order.customer.phone"]),
        Kind::RequestIndex => (Part::Asked, &[]),
        Kind::Incident => {
            (Part::Breached, &["words.nature", "words.consequences", "words.measures", "words.contact"])
        }
        Kind::Tombstone => (Part::Erased, &[]),
        Kind::Progress => (Part::Purged, &[]),
    }
}

/// What the story has seen.
struct Story {
    world: World,
    shopify: Shopify,
    resend: Resend,
    /// What was called outside, with addresses and headers.
    addresses: Arc<Mutex<Vec<String>>>,
    thief: RefCell<Thief>,
    /// What was logged and searched.
    log: RefCell<Vec<u8>>,
    /// The kinds that were stored so far, with the fields that were seen in their sealed values.
    seen: RefCell<BTreeMap<Kind, BTreeSet<String>>>,
    /// How many bytes were searched.
    searched: RefCell<BTreeMap<&'static str, usize>>,
    /// Two orders of somebody else, days before.
    others: [Value; 2],
    /// An order that looks much like the person's: it gets into the same case.
    neighbours: Value,
}

impl Story {
    async fn begin() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339(START).unwrap()));
        let (shopify, resend) = (Shopify::new(clock.clone()).unwrap(), Resend::new(clock));
        let addresses = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&addresses);
        let note = middleware::from_fn(move |request: Request, next: Next| {
            let called = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
            noted.lock().unwrap().push(called);
            next.run(request)
        });
        let router = shopify.router().nest(resend::PATH, resend.router()).layer(note);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outside = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut world = World::beside(&outside, Some("test-access-token")).await;
        world.canaries.whose = OTHER;
        let mut others = orders(&mut world.canaries);
        others[0]["created_at"] = json!("2026-11-18T10:00:00-05:00");
        others[1]["created_at"] = json!("2026-11-18T10:00:41-05:00");
        world.canaries.whose = NEIGHBOUR;
        let [neighbours, _] = orders(&mut world.canaries);
        Self {
            world,
            shopify,
            resend,
            addresses,
            thief: RefCell::new(Thief::new(&[7; 32])),
            log: RefCell::default(),
            seen: RefCell::default(),
            searched: RefCell::default(),
            others,
            neighbours,
        }
    }

    fn store_now(&self) -> Timestamp {
        self.world.bench.clock.now()
    }

    fn opened(&self) -> Vec<Opened> {
        let tables = self.world.bench.dump();
        self.thief.borrow_mut().open_all(tables.values().flatten())
    }

    /// Looks everywhere: nothing personal is in the clear. Notes what is stored, and what stands in the sealed values.
    async fn look(&self, when: &str) {
        for (place, bytes) in self.world.assert_no_canary(when).await {
            *self.searched.borrow_mut().entry(place).or_default() += bytes;
        }
        let objects = format!("{:?}", self.world.bench.cloud.s3().objects());
        assert_eq!(self.world.canaries.seen_in(objects.as_bytes()), None, "{when}: in the vault");
        let mut seen = self.seen.borrow_mut();
        let tables = self.world.bench.dump();
        let stored: BTreeSet<&str> =
            tables.values().flatten().filter_map(|item| item["kind"]["S"].as_str()).collect();
        for kind in Kind::ALL.into_iter().filter(|kind| stored.contains(kind.name())) {
            seen.entry(kind).or_default();
        }
        for Opened { kind, text, .. } in self.opened() {
            let fields = self.world.canaries.in_text(&text).into_iter().map(|canary| canary.field.to_owned());
            seen.entry(kind).or_default().extend(fields);
        }
    }

    /// Works on what waits, looking before and after.
    async fn work(&self, when: &str) {
        self.look(&format!("{when}, waiting")).await;
        self.world.bench.drain(&self.world.app).await;
        self.look(when).await;
        self.log.borrow_mut().extend(take_logged());
    }

    /// What the story was to have stored by the end of a part is there, or was.
    fn told(&self, part: Part) {
        let seen = self.seen.borrow();
        for kind in Kind::ALL {
            let (when, fields) = told(kind);
            if when > part {
                continue;
            }
            let Some(found) = seen.get(&kind) else { panic!("{part:?}: no {} was stored", kind.name()) };
            for field in fields {
                assert!(found.contains(*field), "{part:?}: no {field} in a {}: {found:?}", kind.name());
            }
        }
    }

    /// Time passes hour by hour. The queues' clock is tokio's, which stands still for as long as nothing is on a socket.
    async fn hours(&self, hours: u32) {
        let (bench, app) = (&self.world.bench, &self.world.app);
        for _ in 0..hours {
            tokio::time::pause();
            bench.advance(HOUR).await;
            tokio::time::resume();
            bench.fire_schedules().await;
            app.invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly")).await.unwrap();
            bench.drain(app).await;
        }
    }

    /// Who has something under seal that is left, by kind.
    fn left(&self) -> BTreeMap<&'static str, BTreeSet<Kind>> {
        let mut left: BTreeMap<&'static str, BTreeSet<Kind>> = BTreeMap::new();
        for Opened { kind, text, .. } in self.opened() {
            for Canary { whose, .. } in self.world.canaries.in_text(&text) {
                left.entry(whose).or_default().insert(kind);
            }
        }
        left
    }

    async fn install(&mut self) {
        let (store, canaries) = (self.world.app.store().await, &mut self.world.canaries);
        canaries.whose = MERCHANT;
        let token = canaries.next("access.token", |n| format!("canary{n:04}-access-token"));
        let refresh = canaries.next("access.refresh", |n| format!("canary{n:04}-refresh-token"));
        let now = self.world.bench.clock.now();
        let access = Access {
            token: AccessToken::new(token.clone()),
            expires_at: Some(now + DAY * 365),
            refresh: Some(Refresh { token: AccessToken::new(refresh), expires_at: now + DAY * 365 }),
            scopes: Scopes::parse("write_orders"),
            scopes_at: now,
        };
        let profile = self.world.installation.profile().unwrap();
        self.world.installation = store.connect(&profile, now, &access, now).await.unwrap();
        self.shopify.install(SimulatedShop {
            domain: DOMAIN.to_owned(),
            id: 1,
            name: "Sample".to_owned(),
            email: "merchant@example.com".to_owned(),
            access_token: token,
            scopes: ["write_orders", "write_merchant_managed_fulfillment_orders"].map(str::to_owned).into(),
        });
        let orders = self.world.orders.iter().chain(&self.others).chain([&self.neighbours]);
        for (number, order) in orders.enumerate() {
            let order =
                SimulatedOrder::new(order["id"].as_u64().unwrap(), format!("#{number}"), Timestamp(0));
            assert!(self.shopify.add_order(DOMAIN, order));
        }
        let settings = GuardSettings {
            risk_facts: true,
            hold_fulfilment: true,
            alert: Alert::Digest,
            ..GuardSettings::default()
        };
        assert!(store.change_settings(&self.world.installation, &settings).await.unwrap());
        assert!(store.object(&self.world.installation, Processor::Stripe, true).await.unwrap());
        self.world.canaries.whose = OPERATOR;
        let subject = self.world.canaries.text("operator.subject");
        let operator = store.operator("https://issuer.example.com", &subject);
        store.operator_password_set(&operator, "test").await.unwrap();
        let retention = json!({"case": 80});
        let (status, answer) = self.world.ask("api/settings", "PUT /v1/retention", "", &retention).await;
        assert_eq!(status, 200, "{answer}");
        self.look("installed").await;
        self.told(Part::Installed);
    }

    async fn order(&self) {
        self.world.deliver_orders().await;
        for (id, order) in ["w3", "w4", "w5"].iter().zip(self.others.iter().chain([&self.neighbours])) {
            self.world.deliver("webhooks/orders-create", "orders/create", id, order).await;
        }
        self.work("ordered").await;
        let cases = self.world.app.cases(&self.world.installation).await;
        let sizes: BTreeSet<usize> = cases.iter().map(|case| case.members.len()).collect();
        assert_eq!((cases.len(), sizes), (2, BTreeSet::from([2, 3])));
        self.told(Part::Ordered);
        let reconcile = sample("schedules/reconcile-orders/hourly");
        self.world.app.invoke("schedules/reconcile-orders", reconcile).await.unwrap();
        self.work("compared with the shop").await;
        self.hours(16).await;
        assert!(!self.resend.mails().is_empty(), "the digest was sent");
        self.look("told of by a digest").await;
    }

    async fn decide(&self) {
        let orders: BTreeSet<u64> =
            self.world.orders.iter().map(|order| order["id"].as_u64().unwrap()).collect();
        let cases = self.world.app.cases(&self.world.installation).await;
        let of_person = |id: &u64| orders.contains(id);
        let case = cases.iter().find(|case| case.members.iter().any(|member| of_person(member.id.expose())));
        let (id, decision) = (case.unwrap().reference.id(), json!({"decision": "never_this_household"}));
        for (key, body) in [
            ("GET /v1/cases", &Value::Null),
            ("GET /v1/cases/{id}", &Value::Null),
            ("POST /v1/cases/{id}/decision", &decision),
        ] {
            let (status, answer) = self.world.ask("api/cases", key, id, body).await;
            assert_eq!(status, 200, "{answer}");
        }
        self.work("decided").await;
        self.told(Part::Decided);
    }

    /// The merchant connects a mailbox, and the person writes to it.
    async fn write(&mut self) {
        let (store, installation) = (self.world.app.store().await, &self.world.installation);
        let canaries = &mut self.world.canaries;
        canaries.whose = MERCHANT;
        let address = canaries.next("mailbox.address", |n| format!("canary{n:04}@shop.example.com"));
        let tokens = MailTokens {
            access: canaries.text("mailbox.access").into(),
            expires_at: self.world.bench.clock.now() + DAY,
            refresh: canaries.text("mailbox.refresh").into(),
            scopes: "test".to_owned(),
        };
        let mut desk = store.desk(installation).await.unwrap();
        desk.settings.signature = canaries.text("desk.signature").into();
        assert!(store.change_desk(installation, &desk).await.unwrap());
        canaries.whose = PERSON;
        let [name, subject, text, quoted, signature] =
            ["mail.name", "mail.subject", "mail.text", "mail.quoted", "mail.signature"]
                .map(|field| canaries.text(field));
        let (sentence, reply) = (canaries.text("mail.sentence"), canaries.text("draft.text"));
        let email = self.world.orders[0]["customer"]["email"].as_str().unwrap();
        let raw = format!(
            "Message-ID: <1@mail.example.com>\r\nFrom: \"{name}\" <{email}>\r\nTo: {address}\r\n\
             Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text} {sentence}\r\n\r\n\
             On Monday the shop wrote:\r\n> {quoted}\r\n\r\n-- \r\n{signature}\r\n"
        );
        let state = store.begin_connecting(installation, &"verifier".to_owned().into()).await.unwrap();
        self.look("about to connect a mailbox").await;
        let (_, attempt) = store.connecting(&state).await.unwrap().unwrap();
        let address = address.into();
        let connected = store.connect_mailbox(installation, &attempt, &address, &tokens, 1, 7).await.unwrap();
        let Connecting::Connected { mailbox, .. } = connected else { panic!("{connected:?}") };
        let until = self.world.bench.clock.now() + HOUR;
        let Lease::Taken(mailbox) = store.lease_mailbox(installation, &mailbox, until).await.unwrap() else {
            panic!("somebody else has it")
        };
        let arrived = ArrivedMail {
            provider_id: "1".to_owned(),
            provider_thread: "1".to_owned(),
            received_at: self.world.bench.clock.now(),
            own: false,
            mail: storeward_core::mail::read(raw.as_bytes()).unwrap(),
        };
        let arrival = store.take_mail(installation, &mailbox, arrived).await.unwrap();
        let Arrival::Stored { mail, task_due, .. } = arrival else { panic!("{arrival:?}") };
        assert!(store.mailbox_read(installation, &mailbox, Progress::Cursor(2)).await.unwrap());
        let mail = store.mail(installation, &mail).await.unwrap().unwrap();
        let understanding = Understanding {
            intent: Intent::Question,
            confidence: Confidence::CERTAIN,
            language: None,
            sentence: sentence.into(),
            engine: Engine::BuiltIn,
            orders: Vec::new(),
            labels: BTreeSet::new(),
            assign: None,
            escalate: false,
            ignore: false,
            draft: true,
            auto_send_after: None,
            macro_id: None,
            matched: Vec::new(),
            why: Vec::new(),
        };
        let due = store.understood(installation, &mail, &understanding, task_due.unwrap()).await.unwrap();
        let draft = NewDraft {
            text: reply.into(),
            to: mail.answered().unwrap().clone(),
            subject: mail.subject.clone(),
            needs_human: false,
            auto_send_after: None,
            author: Author::Template,
            macro_id: None,
            language: None,
            orders: Vec::new(),
            why: Vec::new(),
        };
        store.put_draft(installation, &mail, draft, due.unwrap()).await.unwrap();
        self.look("written to").await;
        self.told(Part::Written);
    }

    async fn change(&mut self) {
        self.world.canaries.whose = PERSON;
        let canaries = &mut self.world.canaries;
        let mut order = self.world.orders[1].clone();
        canaries.fill("order.shipping_address", &mut order["shipping_address"]);
        canaries.fill("order.contact_email", &mut order["contact_email"]);
        order["updated_at"] = json!("2026-11-21T08:30:00Z");
        let customer = &self.world.orders[0]["customer"];
        let mut account = json!({
            "id": customer["id"], "email": null, "phone": null, "first_name": null, "updated_at": "2026-11-21T08:40:00Z",
            "admin_graphql_api_id": format!("gid://shopify/Customer/{}", customer["id"]),
        });
        for field in ["email", "phone", "first_name"] {
            canaries.fill(&format!("account.{field}"), &mut account[field]);
        }
        for (function, topic, body) in [
            ("webhooks/orders-updated", "orders/updated", &order),
            ("webhooks/customers-update", "customers/update", &account),
        ] {
            self.world.deliver(function, topic, topic, body).await;
            self.work(topic).await;
        }
    }

    /// Opens a request as the merchant.
    async fn open(&self, body: &Value) -> String {
        let (status, answer) = self.world.ask("api/requests", "POST /v1/requests", "", body).await;
        assert_eq!(status, 202, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Fetches what was put together, in both forms; nothing of the link stays.
    async fn fetch(&mut self, id: &str) -> [String; 2] {
        let key = "POST /v1/requests/{id}/link";
        let (status, link) = self.world.ask("api/requests", key, id, &Value::Null).await;
        assert_eq!(status, 200, "{link}");
        let mut fetched = Vec::new();
        for form in ["json", "html"] {
            let token = link[form].as_str().unwrap().strip_prefix("/v1/exports/").unwrap();
            let secret = token.rsplit('-').next().unwrap().split('.').next().unwrap();
            assert_eq!(secret.len(), 64);
            self.world.canaries.secrets.insert(secret.to_owned());
            let event = json!({
                "routeKey": "GET /v1/exports/{token}", "rawPath": format!("/v1/exports/{token}"),
                "pathParameters": {"token": token},
            });
            let answer = self.world.app.invoke("api/exports", event).await.unwrap();
            assert_eq!(answer["statusCode"], 200, "{answer}");
            fetched.push(answer["body"].as_str().unwrap().to_owned());
        }
        fetched.try_into().unwrap()
    }

    /// The people whose canaries stand in what was put together.
    fn people(&self, documents: &[String]) -> BTreeSet<&'static str> {
        let canaries = &self.world.canaries;
        documents.iter().flat_map(|text| canaries.in_text(text)).map(|canary| canary.whose).collect()
    }

    async fn ask(&mut self) {
        let customer = self.world.orders[0]["customer"].clone();
        let phone = &customer["phone"];
        // By webhook.
        let body = json!({
            "shop_id": 1, "shop_domain": DOMAIN, "orders_requested": [self.world.orders[0]["id"]],
            "customer": {"id": customer["id"], "email": customer["email"], "phone": phone}, "data_request": {"id": 5},
        });
        let topic = "customers/data_request";
        self.world.deliver("webhooks/customers-data-request", topic, "d1", &body).await;
        self.work(topic).await;
        // By the merchant, each kind; whom it is for is named in each way.
        self.world.canaries.whose = PERSON;
        let corrections = json!({
            "email": self.world.canaries.email("corrected.email"), "phone": self.world.canaries.phone("corrected.phone"),
        });
        let mut opened = BTreeMap::new();
        for kind in RightsKind::ALL.into_iter().filter(|kind| *kind != RightsKind::Erasure) {
            let mut body =
                json!({"kind": kind.name(), "email": customer["email"], "customer_id": customer["id"]});
            body["phone"] = phone.clone();
            if kind == RightsKind::Rectification {
                body["corrections"] = corrections.clone();
            }
            opened.insert(kind.name(), self.open(&body).await);
            self.work(kind.name()).await;
        }
        let documents = self.fetch(&opened["access"]).await;
        assert_eq!(self.people(&documents), BTreeSet::from([PERSON]), "nobody else is in it");
        // By the other person, through an operator, with a proof; and once without.
        let email = self.others[0]["customer"]["email"].as_str().unwrap().to_owned();
        let installation = self.world.installation.clone();
        self.world.canaries.whose = OTHER;
        let right = self.world.canaries.email("written.email");
        for kind in RightsKind::ALL {
            let reference = self.write_in(&installation, kind, &email, &right).await;
            self.look("written to an operator").await;
            if kind != RightsKind::Access {
                continue;
            }
            let notice = Notice {
                tenant: installation.tenant.clone(),
                case: reference.clone(),
                what: Happened::Proof,
            };
            let context = self.world.app.context("jobs/match-order");
            context.send(Queue::NotifyMerchant, &notice, std::time::Duration::ZERO).await.unwrap();
            self.work("code sent").await;
            let store = self.world.app.store().await;
            let code = store.proof_mail(&installation, &reference).await.unwrap().unwrap().code;
            let code = code.expose().clone();
            let mail = self.resend.mails().pop().unwrap();
            assert!(mail.text.contains(&code) && mail.to == [email.clone()], "{mail:?}");
            let tables = format!("{:?}", self.world.bench.dump());
            let log = String::from_utf8(self.log.borrow().clone()).unwrap();
            for (place, text) in [("tables", tables), ("logs", log)] {
                let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
                assert!(!words.any(|word| word == code), "the code stands in the {place}");
            }
            let proof = store.prove_request(&installation, &reference, &code).await.unwrap();
            let Proof::Given(work) = proof else { panic!("{proof:?}") };
            let context = self.world.app.context("api/requests");
            context.send(Queue::ExportSubject, &work, std::time::Duration::ZERO).await.unwrap();
            self.work("proven").await;
            let documents = self.fetch(reference.id()).await;
            assert_eq!(self.people(&documents), BTreeSet::from([OTHER]), "nobody else is in it");
        }
        self.look("asked").await;
        self.told(Part::Asked);
    }

    async fn write_in(
        &self,
        installation: &Installation,
        kind: RightsKind,
        email: &str,
        right: &str,
    ) -> RecordRef {
        let corrections = Corrections { email: Some(right.to_owned().into()), phone: None };
        let asking = Asking {
            kind,
            by: OpenedBy::Operator,
            person: Person { email: Some(email.to_owned().into()), ..Person::default() },
            corrections: if kind == RightsKind::Rectification { corrections } else { Corrections::default() },
        };
        let (store, name) = (self.world.app.store().await, format!("ticket-{}-{email}", kind.name()));
        let acceptance = store.open_request(installation, &name, &asking).unwrap();
        store.commit(acceptance).await.unwrap();
        store.asked_as(installation, OpenedBy::Operator, &name).await.unwrap().unwrap().reference
    }

    async fn breach(&mut self) {
        self.world.canaries.whose = OPERATOR;
        let mut words = json!({"nature": "", "consequences": "", "measures": "", "contact": ""});
        self.world.canaries.fill("words", &mut words);
        let now = self.store_now();
        let body = json!({
            "severity": "high", "drill": false, "aware_at": now.to_rfc3339(), "from": (now - HOUR).to_rfc3339(),
            "until": now.to_rfc3339(), "words": words,
        });
        let ask = async |key: &str, id: &str, body: &Value| {
            let event = json!({
                "routeKey": key, "headers": {}, "pathParameters": {"id": id}, "body": body.to_string(),
                "requestContext": {"authorizer": {"lambda": {"operator": "00112233", "role": "security"}}},
            });
            let answer = self.world.app.invoke("operator/breaches", event).await.unwrap();
            assert_eq!(answer["statusCode"], 200, "{answer}");
            serde_json::from_str::<Value>(answer["body"].as_str().unwrap()).unwrap()
        };
        let opened = ask("POST /operator/v1/incidents", "", &body).await;
        let id = opened["id"].as_str().unwrap();
        self.work("a breach").await;
        let before = self.resend.mails().len();
        ask("POST /operator/v1/incidents/{id}/notices", id, &Value::Null).await;
        self.work("told of a breach").await;
        assert_eq!(self.resend.mails().len(), before + 1);
        let (_, listed) = self.world.ask("api/incidents", "GET /v1/incidents", "", &Value::Null).await;
        assert!(listed.to_string().contains("words.nature"), "{listed}");
        self.told(Part::Breached);
    }

    async fn erase(&mut self) {
        assert!(self.left().contains_key(PERSON), "there is something to erase");
        self.world.redact().await;
        self.work("erased once").await;
        self.hours(2).await;
        let seal = sample("schedules/seal-ledger/daily");
        self.hours(24).await;
        self.world.app.invoke("schedules/seal-ledger", seal).await.unwrap();
        self.look("erased").await;
        let left = self.left();
        assert_eq!(left.get(PERSON), None, "under seal: {left:?}");
        for (whose, kind) in [(OTHER, Kind::Order), (NEIGHBOUR, Kind::Order), (MERCHANT, Kind::Shop)] {
            assert!(left[whose].contains(&kind), "{left:?}");
        }
        // And what is put together for somebody else shows nothing of the person.
        let id = self.open(&json!({"kind": "access", "email": self.others[0]["customer"]["email"]})).await;
        self.work("asked by the other person").await;
        let documents = self.fetch(&id).await;
        assert_eq!(self.people(&documents), BTreeSet::from([OTHER]));
        // Nor does what is handed over to the merchant at the end.
        let (status, all) = self.world.ask("api/service", "GET /v1/service/export", "", &json!(null)).await;
        assert_eq!((status, &all["next"]), (200, &Value::Null), "one page is enough: {all}");
        let people = self.people(&[all.to_string()]);
        assert!(people.contains(NEIGHBOUR) && !people.contains(PERSON), "{people:?}");
        self.look("handed over").await;
        self.told(Part::Erased);
    }

    async fn purge(&self) {
        self.shopify.uninstall(DOMAIN);
        let mut shop = sample_body("webhooks/app-uninstalled/plain");
        shop["id"] = json!(1);
        shop["myshopify_domain"] = json!(DOMAIN);
        let answer = self.world.deliver("webhooks/app-uninstalled", "app/uninstalled", "u1", &shop).await;
        assert_eq!(answer["outcome"], "accepted");
        self.look("uninstalled").await;
        // Until then it would wait for Google, of which there is none here, to take the mailbox's consent back.
        self.hours(35).await;
        tokio::time::pause();
        self.world.bench.advance(HOUR).await;
        tokio::time::resume();
        // A purge that runs out of time.
        let (store, asked) = (self.world.app.store().await, AtomicU32::new(0));
        let time_left = || asked.fetch_add(1, Ordering::SeqCst) < 3;
        let report = store.purge(&self.world.installation.tenant, "test", &time_left).await.unwrap();
        assert_eq!(report, PurgeReport::Unfinished);
        self.look("purged in part").await;
        self.hours(2).await;
        self.look("purged").await;
        let left = self.left();
        assert_eq!(left, BTreeMap::from([(OPERATOR, BTreeSet::from([Kind::Incident]))]), "under seal");
        assert!(self.world.bench.items("keys").is_empty(), "the keys are destroyed");
        self.told(Part::Purged);
    }

    /// What went to whom outside holds what may go there, and the addresses nothing.
    fn outside(&self) {
        let canaries = &self.world.canaries;
        let mut arrived: BTreeMap<Processor, BTreeSet<&str>> = BTreeMap::new();
        for reached in [self.resend.reached(), self.shopify.reached()].concat() {
            let fields = canaries.in_text(&String::from_utf8_lossy(&reached.bytes)).into_iter();
            arrived.entry(reached.processor).or_default().extend(fields.map(|canary| canary.field));
        }
        assert_eq!(arrived[&Processor::Shopify], BTreeSet::from(["order.id", "order.name"]));
        // A code goes to the person; everything else to the merchant.
        let mails = [
            "order.customer.email",
            "order.name",
            "profile.domain",
            "profile.email",
            "words.consequences",
            "words.contact",
            "words.measures",
            "words.nature",
        ];
        assert_eq!(arrived[&Processor::Resend], BTreeSet::from(mails));
        let addresses = self.addresses.lock().unwrap();
        assert!(!addresses.is_empty());
        for called in addresses.iter() {
            let found = canaries.in_text(called);
            assert!(found.iter().all(|canary| canary.field == "access.token"), "{called}");
        }
    }
}

#[test]
fn whatever_the_data_map_says_is_about_somebody_has_fields_that_the_story_looks_for() {
    for kind in Kind::ALL {
        let (_, fields) = told(kind);
        let categories = kind.row().categories.iter();
        let sealed = categories.filter(|category| **category != Category::Pseudonym).count();
        // What an operator says of a breach is sealed and about nobody.
        assert_eq!(sealed > 0, !fields.is_empty() && kind != Kind::Incident, "{}", kind.name());
    }
}

// Not on paused time: what goes over a socket would run into time-outs that jump.
#[tokio::test]
async fn every_kind_keeps_its_personal_fields_sealed_and_nothing_of_the_erased_is_left_under_seal() {
    let mut story = Story::begin().await;
    story.install().await;
    story.order().await;
    story.decide().await;
    story.write().await;
    story.change().await;
    story.ask().await;
    story.breach().await;
    story.erase().await;
    story.purge().await;
    story.outside();
    let everywhere = story.searched.borrow().values().all(|bytes| *bytes > 1_000);
    assert!(everywhere, "{:?}", story.searched);
}
