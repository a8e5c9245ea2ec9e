//! Canaries in every personal field, and the search for them everywhere they must not be: raw database bytes, queues,
//! dead letters, schedules, logs, requests. What erasure and purge do in detail stands in the scenarios.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Once};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use storeward_core::data_map::{Category, Processor};
use storeward_core::egress::{Categories, Declaration, Register, Stance, Use};
use storeward_core::guard::{Alert, GuardSettings};
use storeward_core::oauth::{Access, Scopes};
use storeward_core::shop::ShopDomain;
use storeward_core::time::{Clock as _, HOUR, ManualClock, Timestamp};
use storeward_host::{Queue, start_telemetry};
use storeward_local::resend::{self, Resend};
use storeward_local::shopify::{Shopify, SimulatedOrder, SimulatedShop};
use storeward_store::{Installation, Profile, RecordRef};

use crate::bench::{App, Bench, SECRETS, sample_body, signed_delivery};
use crate::support::faults::FaultPlan;
use crate::support::wire::Wire;

/// The canaries' shop.
pub(crate) const DOMAIN: &str = "canary-shop.myshopify.com";

/// Whose the canaries are: the merchant's and a customer's. Others have others.
pub(crate) const MERCHANT: &str = "merchant";
pub(crate) const PERSON: &str = "person";

/// Where the merchant calls from.
const ADDRESS: &str = "198.51.100.77";

/// What the text canaries have in common.
const CANARY: &str = "canary";

/// Fields of an order that the tests need as they are: times, amounts, codes, booleans. None is about a person.
const KEPT: [&str; 14] = [
    "cancelled_at",
    "closed_at",
    "country_code",
    "created_at",
    "currency",
    "currency_code",
    "current_total_price",
    "amount",
    "financial_status",
    "price",
    "processed_at",
    "test",
    "total_price",
    "updated_at",
];

thread_local! {
    /// What this thread logs, if its test listens: a test runs on one thread, with everything it starts.
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Begins to listen to what this thread logs: everything that is logged where it is deployed, in that form, and our crates
/// at their finest level.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let ours = bootstrap::FUNCTIONS.iter().map(|function| {
            let krate = function.name.rsplit('/').next().unwrap().replace('-', "_");
            format!("{krate}=trace")
        });
        let filter: Vec<String> = ["clients", "core", "host", "local", "store"]
            .map(|krate| format!("storeward_{krate}=trace"))
            .into_iter()
            .chain(ours)
            .chain(["info".to_owned()])
            .collect();
        start_telemetry(&filter.join(","), || Sink).unwrap();
    });
    tracing::dispatcher::get_default(|listening| {
        assert!(!listening.is::<tracing::subscriber::NoSubscriber>());
    });
    LOGGED.set(Some(Vec::new()));
}

/// What this thread logged since its test began.
fn logged() -> Vec<u8> {
    LOGGED.with_borrow(|logged| logged.clone().unwrap_or_default())
}

/// Takes what this thread logged since it was last taken.
pub(crate) fn take_logged() -> Vec<u8> {
    LOGGED.with_borrow_mut(|logged| logged.as_mut().map(std::mem::take).unwrap_or_default())
}

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.iter_mut().for_each(|logged| logged.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A canary: whose it is and the field that it was put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Canary<'a> {
    pub(crate) whose: &'static str,
    pub(crate) field: &'a str,
}

/// Canaries by number: texts, telephone digits and ids, none of which occurs anywhere by chance. Texts name their field.
#[derive(Default)]
pub(crate) struct Canaries {
    known: BTreeSet<String>,
    /// The same by what is left of each in whatever way it is changed to be compared.
    named: BTreeMap<String, (&'static str, String)>,
    /// Whose the next ones are.
    pub(crate) whose: &'static str,
    /// What must not be seen either and is no canary: secrets that the app itself made, addresses.
    pub(crate) secrets: BTreeSet<String>,
}

/// What the numbers among the canaries begin with, and how long they are.
const NUMBERS: [(&str, usize); 2] = [("1202555", 11), ("6271828182845", 16)];

/// The text as hexadecimal digits and as base64, wherever in a longer text it stands.
fn encoded(text: &str) -> impl Iterator<Item = String> {
    let base64 = |shift: usize| {
        let encoded = STANDARD_NO_PAD.encode([vec![0; shift].as_slice(), text.as_bytes()].concat());
        // The characters at both ends also depend on the neighbours.
        let (from, to) = ((shift * 8).div_ceil(6), (shift + text.len()) * 8 / 6);
        encoded[from..to].to_owned()
    };
    [hex::encode(text), base64(0), base64(1), base64(2)].into_iter()
}

/// Letters and digits alone, as the least that is left of a text by every way of comparing it.
fn bare(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

impl Canaries {
    pub(crate) fn next(&mut self, field: &str, made: impl Fn(usize) -> String) -> String {
        let canary = made(self.known.len());
        let mut name = bare(&canary);
        if name.starts_with(CANARY) {
            name.truncate(CANARY.len() + 4);
        }
        self.known.insert(canary.clone());
        self.named.insert(name, (self.whose, field.to_owned()));
        canary
    }

    /// A canary for a field of text.
    pub(crate) fn text(&mut self, field: &str) -> String {
        self.next(field, |n| format!("canary {n:04} {field}"))
    }

    pub(crate) fn email(&mut self, field: &str) -> String {
        self.next(field, |n| format!("canary{n:04}.{field}@example.com"))
    }

    pub(crate) fn phone(&mut self, field: &str) -> String {
        self.next(field, |n| format!("+1202555{:04}", 4100 + n))
    }

    pub(crate) fn number(&mut self, field: &str) -> u64 {
        let id = self.next(field, |n| (6_271_828_182_845_000_u64 + n as u64).to_string());
        id.parse().unwrap()
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.known.iter()
    }

    /// Puts a canary into every text and number of `value` but the kept ones; also where the sample has none. `path` is
    /// where the value stands.
    pub(crate) fn fill(&mut self, path: &str, value: &mut Value) {
        let field = path.rsplit('.').next().unwrap();
        match value {
            _ if KEPT.contains(&field) => {}
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(field, value)| self.fill(&format!("{path}.{field}"), value));
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.fill(path, value)),
            Value::Bool(_) => {}
            _ if field.ends_with("phone") => *value = json!(self.phone(path)),
            _ if field.ends_with("email") => *value = json!(self.email(path)),
            _ if field == "id" || field.ends_with("_id") => *value = json!(self.number(path)),
            Value::Null | Value::String(_) | Value::Number(_) => *value = json!(self.text(path)),
        }
    }

    /// The first canary or secret in what must hold none, with what stands around it.
    pub(crate) fn seen_in(&self, bytes: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(bytes);
        let around = |at: usize| {
            let from = (at.saturating_sub(200)..=at).find(|at| text.is_char_boundary(*at)).unwrap();
            text[from..].chars().take(400).collect()
        };
        let numbers = NUMBERS.into_iter().map(|(prefix, _)| prefix);
        let texts = [CANARY, "Canary", "CANARY"];
        let hidden = texts.into_iter().chain(numbers).flat_map(encoded);
        let mut needles =
            texts.into_iter().map(str::to_owned).chain(hidden).chain(self.secrets.iter().cloned());
        if let Some(at) = needles.find_map(|needle| text.find(&needle)) {
            return Some(around(at));
        }
        NUMBERS.into_iter().find_map(|(prefix, length)| {
            let mut places = text.match_indices(prefix).map(|(at, _)| at);
            let known = |at: &usize| {
                let number = text.get(*at..at + length).unwrap_or_default();
                self.known.contains(number) || self.known.contains(&format!("+{number}"))
            };
            places.find(known).map(around)
        })
    }

    /// The canaries in a text that may have been changed on the way, as names and addresses are to be compared.
    pub(crate) fn in_text(&self, text: &str) -> BTreeSet<Canary<'_>> {
        let text = bare(text);
        // The number names a text; the field's name after it can be cut off.
        let marks = NUMBERS.into_iter().chain([(CANARY, CANARY.len() + 4)]);
        let places =
            marks.flat_map(|(mark, length)| text.match_indices(mark).map(move |(at, _)| (at, length)));
        let named = places.filter_map(|(at, length)| self.named.get(text.get(at..at + length)?));
        named.map(|(whose, field)| Canary { whose, field }).collect()
    }
}

/// Whether the bytes hold the text, which is ASCII: what is no UTF-8 around it does not matter.
fn holds(haystack: &[u8], needle: &str) -> bool {
    String::from_utf8_lossy(haystack).contains(needle)
}

/// Two orders of one person, seconds apart, with a canary in every field.
pub(crate) fn orders(canaries: &mut Canaries) -> [Value; 2] {
    let mut first = sample_body("webhooks/orders-create/first");
    first["note_attributes"] = json!([{"name": "gift", "value": "to whom"}]);
    canaries.fill("order", &mut first);
    let mut second = first.clone();
    second["created_at"] = json!("2026-11-20T10:00:41-05:00");
    for field in ["id", "name"] {
        canaries.fill(&format!("order.{field}"), &mut second[field]);
    }
    [first, second]
}

/// The world of one leak test.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) app: App,
    wire: Wire,
    pub(crate) installation: Installation,
    /// The blinded name of the shop's owner.
    pub(crate) owner: String,
    pub(crate) canaries: Canaries,
    /// Two orders of one person, seconds apart.
    pub(crate) orders: [Value; 2],
}

impl World {
    /// Nobody listens there: what is sent to the Admin API and to Resend fails.
    pub(crate) async fn new(token: Option<&str>) -> Self {
        Self::beside("http://127.0.0.1:1", token).await
    }

    /// With a Shopify and a Resend at an address.
    pub(crate) async fn beside(outside: &str, token: Option<&str>) -> Self {
        listen();
        let mut bench = Bench::new().await;
        bench.set("STOREWARD_SHOPIFY_ENDPOINT", &format!("{outside}/{{shop}}"));
        bench.set("STOREWARD_RESEND_ENDPOINT", &format!("{outside}{}", resend::PATH));
        let wire = Wire::default();
        let app = bench.app_through(wire.tap(bench.transport()), FaultPlan::none());
        let secrets = BTreeSet::from([ADDRESS.to_owned()]);
        let mut canaries = Canaries { whose: MERCHANT, secrets, ..Canaries::default() };
        let profile = Profile {
            shopify_id: None,
            domain: DOMAIN.parse::<ShopDomain>().unwrap(),
            email: Some(canaries.email("profile.email").into()),
            plan: Some(canaries.text("profile.plan")),
            public_domain: Some(canaries.next("profile.domain", |n| format!("canary{n:04}.example.com"))),
        };
        let store = app.store().await;
        let now = bench.clock.now();
        let installation = match token {
            Some(token) => {
                let access = Access::lasting(token, Scopes::parse("write_orders"), now);
                Box::pin(store.connect(&profile, now, &access, now)).await
            }
            None => Box::pin(store.install(&profile)).await,
        };
        let installation = installation.unwrap();
        let user = canaries.number("member.number").to_string();
        Box::pin(store.member_opened(&installation, &user)).await.unwrap();
        let owner = store.actor(&installation.tenant.shop, &user);
        canaries.whose = PERSON;
        let orders = orders(&mut canaries);
        Self { bench, app, wire, installation, owner, canaries, orders }
    }

    /// Asks a function of the API as the shop's owner.
    pub(crate) async fn ask(&self, function: &str, key: &str, id: &str, body: &Value) -> (u64, Value) {
        let shop = &self.installation.tenant.shop;
        let event = json!({
            "routeKey": key, "headers": {}, "pathParameters": {"id": id}, "body": body.to_string(),
            "requestContext": {
                "http": {"sourceIp": ADDRESS}, "authorizer": {"lambda": {"shop": shop, "actor": self.owner}},
            },
        });
        let answer = self.app.invoke(function, event).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    pub(crate) async fn deliver(&self, function: &str, topic: &str, id: &str, body: &Value) -> Value {
        let event = signed_delivery(topic, id, DOMAIN, SECRETS[0], &body.to_string());
        let (status, answer) = self.app.post(function, event).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub(crate) async fn deliver_orders(&self) {
        for (id, order) in ["w1", "w2"].iter().zip(&self.orders) {
            let answer = self.deliver("webhooks/orders-create", "orders/create", id, order).await;
            assert_eq!(answer["outcome"], "accepted");
        }
    }

    pub(crate) async fn redact(&self) {
        let customer = &self.orders[0]["customer"];
        let body = json!({
            "shop_id": 1, "shop_domain": DOMAIN,
            "customer": {"id": customer["id"], "email": customer["email"], "phone": customer["phone"]},
            "orders_to_redact": [self.orders[0]["id"], self.orders[1]["id"]],
        });
        let (function, topic) = ("webhooks/customers-redact", "customers/redact");
        assert_eq!(self.deliver(function, topic, "r1", &body).await["outcome"], "accepted");
    }

    /// Every message in every queue, dead letters included.
    pub(crate) async fn messages(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for queue in self.bench.cloud.sqs().queues().await.unwrap() {
            for message in self.bench.cloud.sqs().peek(&queue.name).await.unwrap() {
                all.push((queue.name.clone(), message.body));
            }
        }
        all
    }

    /// Every place that must never hold anything personal in the clear, by name.
    async fn places(&self) -> Vec<(&'static str, Vec<u8>)> {
        let sent: Vec<String> =
            self.wire.take().iter().map(|sent| format!("{} {}", sent.head, sent.body)).collect();
        vec![
            ("raw database bytes", self.bench.cloud.dynamodb().raw_bytes().unwrap()),
            ("tables", format!("{:?}", self.bench.dump()).into_bytes()),
            ("queues", format!("{:?}", self.messages().await).into_bytes()),
            ("logs", logged()),
            ("requests", sent.join("\n").into_bytes()),
        ]
    }

    /// How many bytes were searched, by place.
    pub(crate) async fn assert_no_canary(&self, when: &str) -> BTreeMap<&'static str, usize> {
        let mut searched = BTreeMap::new();
        for (place, bytes) in self.places().await {
            let quiet = place == "logs" || place == "requests";
            assert!(quiet || !bytes.is_empty(), "{when}: nothing in {place}, so nothing was looked at");
            assert_eq!(self.canaries.seen_in(&bytes), None, "{when}: in {place}");
            searched.insert(place, bytes.len());
        }
        searched
    }

    fn order_refs(&self) -> Vec<RecordRef> {
        let items = self.bench.items("order");
        items
            .iter()
            .map(|item| format!("order/{}", item["sk"]["S"].as_str().unwrap()).parse().unwrap())
            .collect()
    }

    /// The sealed halves do hold the canaries: what is not found outside is not missing because it never was there.
    async fn assert_sealed(&self) {
        let store = self.app.store().await;
        let mut opened = String::new();
        for reference in self.order_refs() {
            let record = store.order(&self.installation, &reference).await.unwrap().unwrap();
            opened += &serde_json::to_string(&record.order).unwrap();
        }
        for case in self.app.cases(&self.installation).await {
            opened += &serde_json::to_string(&case.members).unwrap();
        }
        for (order, field) in [(0, "id"), (1, "id"), (0, "name"), (1, "name"), (0, "email"), (1, "phone")] {
            assert!(opened.contains(self.orders[order][field].to_string().trim_matches('"')), "{field}");
        }
        for address in ["billing_address", "shipping_address"] {
            for field in ["first_name", "last_name", "address1", "address2", "city", "zip", "phone"] {
                let canary = self.orders[0][address][field].as_str().unwrap();
                assert!(opened.contains(canary), "{address}.{field}");
            }
        }
        // What the duplicate guard does not need is not even there.
        for unread in ["note", "browser_ip", "checkout_token", "landing_site", "confirmation_number"] {
            assert!(!opened.contains(self.orders[0][unread].as_str().unwrap()), "{unread}");
        }
        let profile = store.tenant(&self.installation.tenant).await.unwrap().unwrap().profile().unwrap();
        assert_eq!(profile.domain.as_str(), DOMAIN);
        assert!(self.canaries.known.contains(profile.email.unwrap().expose()));
    }
}

#[tokio::test(start_paused = true)]
async fn no_personal_value_is_ever_in_the_clear_and_after_erasure_none_is_left_at_all() {
    // Given two orders of one person with a canary in every field, waiting in the queue and then worked on.
    let world = World::new(None).await;
    let settings = GuardSettings { alert: Alert::Off, ..GuardSettings::default() };
    assert!(world.app.store().await.change_settings(&world.installation, &settings).await.unwrap());
    world.deliver_orders().await;
    assert_eq!(world.messages().await.len(), 2);
    world.assert_no_canary("accepted").await;
    world.bench.drain(&world.app).await;
    assert_eq!(world.app.cases(&world.installation).await.len(), 1);
    world.assert_sealed().await;
    world.assert_no_canary("in a case").await;
    let mut blinds: BTreeSet<String> = BTreeSet::new();
    // And the merchant decided on it through the API: the household is not to be flagged any more.
    let case = world.app.cases(&world.installation).await.remove(0).reference;
    for key in ["GET /v1/cases", "GET /v1/cases/{id}"] {
        let (status, answer) = world.ask("api/cases", key, case.id(), &Value::Null).await;
        assert!(status == 200 && answer.to_string().contains(CANARY), "the merchant sees the case: {answer}");
    }
    let decision = json!({"decision": "never_this_household"});
    let (status, decided) =
        world.ask("api/cases", "POST /v1/cases/{id}/decision", case.id(), &decision).await;
    assert_eq!(status, 200, "{decided}");
    let (_, listed) = world.ask("api/exceptions", "GET /v1/exceptions", "", &Value::Null).await;
    assert!(listed.to_string().contains(CANARY), "the merchant sees whom: {listed}");
    world.assert_no_canary("decided").await;
    for kind in ["order", "match", "subject", "case", "case-index", "exception"] {
        let items = world.bench.items(kind);
        assert!(!items.is_empty(), "{kind}");
        for item in items {
            let keys = format!("{}#{}", item["pk"]["S"].as_str().unwrap(), item["sk"]["S"].as_str().unwrap());
            // Every blind is 32 hexadecimal digits; the shop's own is no trace of the person.
            let shop = world.installation.tenant.shop.as_str();
            let hexadecimal = |part: &&str| part.len() == 32 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let parts = keys.split(|c: char| !c.is_alphanumeric()).filter(hexadecimal);
            blinds.extend(parts.filter(|part| *part != shop).map(str::to_owned));
        }
    }
    assert!(blinds.len() > 6, "{blinds:?}");
    world.bench.drain(&world.app).await;
    // When the person is to be erased.
    world.redact().await;
    assert_eq!(world.messages().await.len(), 1);
    assert!(world.bench.items("request").iter().all(|item| item.get("sealed").is_some()));
    world.assert_no_canary("asked for").await;
    world.bench.drain(&world.app).await;
    world.assert_no_canary("erased once").await;
    world.bench.advance(HOUR).await;
    world.bench.drain(&world.app).await;
    world.assert_no_canary("erased").await;
    // Then neither a sealed value nor a blind of the person is left, but in the tombstones.
    for item in world.bench.dump().into_values().flatten() {
        let kind = item["kind"]["S"].as_str().unwrap();
        assert!(item.get("sealed").is_none() || ["shop", "member"].contains(&kind), "{item}");
        let text = item.to_string();
        assert!(kind == "tombstone" || !blinds.iter().any(|blind| text.contains(blind)), "{item}");
    }
    assert!(!world.bench.items("tombstone").is_empty());
    let log = logged();
    assert!(holds(&log, "\"webhook\"") && holds(&log, "\"done\""), "the log was listened to");
    // And the same for the merchant, after the uninstall.
    let mut shop = sample_body("webhooks/app-uninstalled/plain");
    shop["myshopify_domain"] = json!(DOMAIN);
    let answer = world.deliver("webhooks/app-uninstalled", "app/uninstalled", "u1", &shop).await;
    assert_eq!(answer["outcome"], "accepted");
    world.assert_no_canary("uninstalled").await;
    world.bench.live(&world.app, 37).await;
    world.assert_no_canary("purged").await;
    assert_eq!(world.bench.left_of(&world.installation.tenant), Vec::<String>::new());
    for (table, items) in world.bench.dump() {
        let outlives = |item: &Value| item["kind"]["S"] == "ledger" || item["kind"]["S"] == "access";
        for item in items.into_iter().filter(|item| !outlives(item)) {
            let text = item.to_string();
            assert!(!text.contains(world.installation.tenant.shop.as_str()), "{table}: {text}");
        }
    }
}

// Not on paused time: what goes over a socket would run into time-outs that jump.
#[tokio::test]
async fn what_goes_to_resend_and_shopify_tells_nothing_of_a_customer() {
    // Given a shop with everything on, and two orders of one person with a canary in every field.
    let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-11-20T16:00:00Z").unwrap()));
    let (shopify, resend) = (Shopify::new(clock.clone()).unwrap(), Resend::new(clock));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outside = format!("http://{}", listener.local_addr().unwrap());
    let router = shopify.router().nest(resend::PATH, resend.router());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let world = World::beside(&outside, Some("test-access-token")).await;
    shopify.install(SimulatedShop {
        domain: DOMAIN.to_owned(),
        id: 1,
        name: "Sample".to_owned(),
        email: "merchant@example.com".to_owned(),
        access_token: "test-access-token".to_owned(),
        scopes: ["write_orders", "write_merchant_managed_fulfillment_orders"].map(str::to_owned).into(),
    });
    for order in &world.orders {
        let order = SimulatedOrder::new(order["id"].as_u64().unwrap(), "#1", Timestamp(0));
        assert!(shopify.add_order(DOMAIN, order));
    }
    let settings = GuardSettings { risk_facts: true, hold_fulfilment: true, ..GuardSettings::default() };
    assert!(world.app.store().await.change_settings(&world.installation, &settings).await.unwrap());
    // When they become a case.
    world.deliver_orders().await;
    world.bench.drain(&world.app).await;
    assert_eq!((resend.mails().len(), shopify.orders(DOMAIN)[0].holds.len()), (1, 1));
    // Then each canary reached only those who may get what it is, for what they got it for: the register says so.
    let names: Vec<&str> = world.orders.iter().map(|order| order["name"].as_str().unwrap()).collect();
    let ids: Vec<String> = world.orders.iter().map(|order| order["id"].to_string()).collect();
    let address = world.installation.profile().unwrap().email.unwrap();
    let category = |canary: &String| {
        if names.contains(&canary.as_str()) || ids.contains(canary) {
            Categories::of(&[Category::OrderMetadata])
        } else if canary == address.expose() {
            Categories::of(&[Category::MerchantAccount])
        } else {
            Categories::of(&[Category::CustomerContact, Category::CustomerAddress])
        }
    };
    let mut arrived: BTreeMap<(Processor, Use), BTreeSet<&str>> = BTreeMap::new();
    for reached in [resend.reached(), shopify.reached()].concat() {
        let seen = arrived.entry((reached.processor, reached.purpose)).or_default();
        for canary in world.canaries.all() {
            if !holds(&reached.bytes, canary.trim_start_matches('+')) {
                continue;
            }
            let declaration = Declaration {
                processor: reached.processor,
                purpose: reached.purpose,
                categories: category(canary),
            };
            let permitted = Register::CURRENT.permits(declaration, &Stance::default(), Timestamp(0));
            assert_eq!(
                permitted,
                Ok(()),
                "{canary:?} reached {:?} for {:?}",
                reached.processor,
                reached.purpose
            );
            seen.insert(canary);
        }
    }
    // What was to arrive did: the recorder listened.
    let mail = &arrived[&(Processor::Resend, Use::CaseMail)];
    assert!(names.iter().all(|name| mail.contains(name)) && mail.contains(address.expose().as_str()));
    let flagging = &arrived[&(Processor::Shopify, Use::Flagging)];
    assert!(ids.iter().all(|id| flagging.contains(id.as_str())));
    world.assert_no_canary("told").await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_and_what_is_asked_for_stays_sealed_and_goes_with_the_person() {
    // Given a case of one person, and canaries in everything that is told of it later.
    let mut world = World::new(None).await;
    world.deliver_orders().await;
    world.bench.drain(&world.app).await;
    let mut changed = world.orders[1].clone();
    world.canaries.fill("order.shipping_address", &mut changed["shipping_address"]);
    world.canaries.fill("order.contact_email", &mut changed["contact_email"]);
    changed["updated_at"] = json!("2026-11-20T15:30:00Z");
    let customer = &world.orders[0]["customer"];
    let mut account = json!({
        "id": customer["id"], "admin_graphql_api_id": format!("gid://shopify/Customer/{}", customer["id"]),
        "email": null, "phone": null, "first_name": null, "updated_at": "2026-11-20T15:40:00Z",
    });
    for field in ["email", "phone", "first_name"] {
        world.canaries.fill(&format!("account.{field}"), &mut account[field]);
    }
    let request = json!({
        "shop_id": 1, "shop_domain": DOMAIN, "orders_requested": [world.orders[0]["id"]],
        "customer": {"id": customer["id"], "email": customer["email"], "phone": null}, "data_request": {"id": 5},
    });
    // When it is told, waits, and is worked on.
    for (function, topic, body) in [
        ("webhooks/orders-updated", "orders/updated", &changed),
        ("webhooks/customers-update", "customers/update", &account),
        ("webhooks/customers-data-request", "customers/data_request", &request),
    ] {
        let answer = world.deliver(function, topic, topic, body).await;
        assert_eq!(answer["outcome"], "accepted", "{topic}");
        assert_eq!(world.messages().await.len(), 1, "{topic}");
        world.assert_no_canary(topic).await;
        world.bench.drain(&world.app).await;
        world.assert_no_canary(topic).await;
    }
    // Then it is there, sealed: in the orders and in the export.
    let head = world.bench.items("export").into_iter().find(|item| item["phase"]["S"] == "ready").unwrap();
    let reference = format!("export/{}", head["sk"]["S"].as_str().unwrap()).parse().unwrap();
    let export = world.app.store().await.export(&world.installation, &reference).await.unwrap().unwrap();
    let text = export.document().expose().to_string();
    for said in [&changed["shipping_address"]["address1"], &changed["contact_email"], &account["email"]] {
        assert!(text.contains(said.as_str().unwrap()), "{said}");
    }
    assert!(!text.contains(account["first_name"].as_str().unwrap()), "it is not read");
    assert!(!format!("{export:?}").contains(CANARY));
    // And when the person is erased, no sealed value is left but the merchant's.
    world.redact().await;
    world.bench.live(&world.app, 2).await;
    world.assert_no_canary("erased").await;
    for item in world.bench.dump().into_values().flatten() {
        let merchants = item["kind"]["S"] == "shop" || item["kind"]["S"] == "member";
        assert!(item.get("sealed").is_none() || merchants, "{item}");
    }
    for kind in ["order", "match", "subject", "export"] {
        assert_eq!(world.bench.items(kind).len(), 0, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_and_their_logs_hold_references_only() {
    // Given an installation whose calls to Shopify fail, and a message that nobody can read.
    let token = "canary-token-of-the-merchant";
    let world = World::new(Some(token)).await;
    world.deliver_orders().await;
    let garbage = json!({"email": "canary@example.com"});
    world.app.context("jobs/redact-subject").send(Queue::RedactSubject, &garbage, HOUR / 60).await.unwrap();
    let _what_this_test_sent_itself = world.wire.take();
    // When every try has failed.
    for _ in 0..7 {
        world.bench.drain(&world.app).await;
        world.bench.advance(HOUR).await;
    }
    // Then they are in the dead-letter queues, and but for the message that a stranger wrote there is no canary.
    let messages = world.messages().await;
    let dead: Vec<_> = messages.iter().filter(|(queue, _)| queue.ends_with("-dead-letters")).collect();
    assert!(dead.iter().any(|(queue, _)| queue.contains("notify-merchant")), "{messages:?}");
    assert!(dead.iter().any(|(queue, _)| queue.contains("redact-subject")), "{messages:?}");
    let strange = garbage.to_string();
    let ours: Vec<_> = messages.iter().filter(|(_, body)| *body != strange).collect();
    let log = logged();
    assert!(holds(&log, "kept in the queue"));
    let rest = [
        ("messages", format!("{ours:?}").into_bytes()),
        ("logs", log),
        ("database", world.bench.cloud.dynamodb().raw_bytes().unwrap()),
        ("requests", format!("{:?}", world.wire.take()).into_bytes()),
    ];
    for (place, bytes) in rest {
        assert_eq!(world.canaries.seen_in(&bytes), None, "in {place}");
    }
    world.assert_sealed().await;
}
