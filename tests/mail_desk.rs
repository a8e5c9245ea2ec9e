//! The mail desk as merchants and their customers see it: mails are understood, drafted and sent, with the simulated Google,
//! Claude and Shopify on loopback. How mail comes in stands in `mailboxes`, what of it is stored in `mail_store`.

mod claude;
mod deciding;
mod faults;
mod privacy;
mod switches;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::desk::macros::Macro;
use storeward_core::desk::rules::Rule;
use storeward_core::intent::{Intent, Language};
use storeward_core::mail;
use storeward_core::oauth::{Access, Scopes};
use storeward_core::time::{Clock as _, HOUR, MINUTE, Timestamp};
use storeward_host::Setting;
use storeward_local::claude::{self as anthropic, Claude};
use storeward_local::google::Held;
use storeward_local::shopify::{Shopify, SimulatedShop};
use storeward_store::{Desk, Draft, DraftState, Installation, Profile, StoredMail, Thread, ThreadFilter};

use crate::bench::{Bench, SHOP, START, sample, sample_body};
use crate::mailboxes::{self, ADDRESS};

const TOKEN: &str = "test-access-token";
/// A person with the orders #1001 and #1002.
pub(crate) const ANA: &str = "sample.customer@example.com";
/// Another person, with the order #2001.
const BEN: &str = "someone.else@example.com";

const CLASSIFY: &str = "storeward-development-classify-email";
const DRAFT: &str = "storeward-development-draft-reply";
const SEND: &str = "storeward-development-send-reply";

/// A mail that asks where something is, and one that wants money back: the built-in engine is sure of both.
pub(crate) const SHIPPING: &str = "Hello,\r\n\r\nWhere is my order? The tracking has not moved and the parcel has not arrived yet.\r\n\r\nAna Sample";
const REFUND: &str = "Hello,\r\n\r\nI want my money back. Please refund my order #1001.\r\n\r\nAna Sample";
/// One that it cannot be sure of.
pub(crate) const VAGUE: &str =
    "Hello,\r\n\r\nabout what we talked about the other day: what do you think?\r\n\r\nAna Sample";

/// A mail of somebody.
pub(crate) struct Mail<'a> {
    from: &'a str,
    subject: &'a str,
    text: &'a str,
    /// The number in its name; what it answers.
    number: u32,
    answers: Option<&'a str>,
    headers: &'a str,
}

impl<'a> Mail<'a> {
    pub(crate) const fn new(number: u32, from: &'a str, subject: &'a str, text: &'a str) -> Self {
        Self { from, subject, text, number, answers: None, headers: "" }
    }

    pub(crate) fn raw(&self) -> String {
        let answers = self.answers.map(|id| format!("In-Reply-To: {id}\r\nReferences: {id}\r\n"));
        format!(
            "From: {}\r\nTo: {ADDRESS}\r\nSubject: {}\r\nMessage-ID: <desk-{}@example.com>\r\n{}{}\
             Date: Fri, 20 Nov 2026 15:59:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n",
            self.from,
            self.subject,
            self.number,
            answers.unwrap_or_default(),
            self.headers,
            self.text,
        )
    }
}

/// A shop with a mailbox, and everything outside of it.
pub(crate) struct World {
    pub(crate) inner: mailboxes::World,
    pub(crate) claude: Claude,
    pub(crate) shopify: Shopify,
}

/// An order as its webhook tells it.
fn order(id: u64, email: &str, name: (&str, &str), tracking: Option<&str>) -> Value {
    let mut order = sample_body("webhooks/orders-create/first");
    order["id"] = json!(id);
    order["name"] = json!(format!("#{id}"));
    order["created_at"] =
        json!(Timestamp::from_seconds(1_795_000_000 + i64::try_from(id).unwrap()).to_rfc3339());
    for field in ["email", "contact_email"] {
        order[field] = json!(email);
    }
    order["customer"]["email"] = json!(email);
    order["customer"]["first_name"] = json!(name.0);
    order["customer"]["last_name"] = json!(name.1);
    if let Some(number) = tracking {
        order["fulfillment_status"] = json!("fulfilled");
        order["fulfillments"] = json!([{
            "id": id, "shipment_status": "in_transit", "tracking_company": "Sample Carrier",
            "tracking_number": number, "tracking_url": format!("https://track.example.com/{number}"),
        }]);
    }
    order
}

fn shipping_macro() -> Macro {
    let text = "Hi {{customer_name}},\n\nyour order {{order_name}} is {{order_status}}.\nTracking number: {{tracking_number}}\n\n{{shop_name}}";
    serde_json::from_value(
        json!({ "id": "where", "name": "Where it is", "intent": "shipping", "text": text }),
    )
    .unwrap()
}

fn sends(intent: &str, macro_id: &str) -> Rule {
    serde_json::from_value(json!({
        "id": "sends", "name": "Sends", "enabled": true, "when": { "intent": [intent] },
        "then": [{ "do": "auto_send", "after_minutes": 10, "macro": macro_id }],
    }))
    .unwrap()
}

impl World {
    /// With a key for Claude, or without one.
    pub(crate) async fn new(key: bool) -> Self {
        let mut bench = Bench::new().await;
        let clock = Arc::new(bench.clock.clone());
        let (claude, shopify) = (Claude::new(clock.clone()), Shopify::new(clock).unwrap());
        shopify.install(SimulatedShop {
            domain: SHOP.to_owned(),
            id: 70_000_000_001,
            name: "Sample".to_owned(),
            email: "merchant@example.com".to_owned(),
            access_token: TOKEN.to_owned(),
            scopes: ["write_orders".to_owned()].into(),
        });
        for order in [
            order(1001, ANA, ("Ana", "Sample"), Some("SC1001TRACK")),
            order(1002, ANA, ("Ana", "Sample"), Some("SC1002TRACK")),
            order(2001, BEN, ("Ben", "Other"), Some("SC2001TRACK")),
        ] {
            shopify.hear_of(SHOP, order.to_string().as_bytes());
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = shopify.router().nest(anthropic::PATH, claude.router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bench.set(Setting::ShopifyEndpoint.variable(), &format!("http://{address}/{{shop}}"));
        bench.set(Setting::AnthropicEndpoint.variable(), &format!("http://{address}{}", anthropic::PATH));
        if key {
            let sealed = bench
                .cloud
                .kms()
                .seal_setting(anthropic::KEY.as_bytes(), &[("purpose", "anthropic")])
                .unwrap();
            for function in bench.functions() {
                if let Some(key) = function.environment.get_mut(Setting::AnthropicKey.variable()) {
                    key.clone_from(&sealed);
                }
            }
        }
        let mut inner = mailboxes::World::of(bench).await;
        let (store, now) = (inner.app.store().await, inner.bench.clock.now());
        // A deployment that sweeps already: the first sweep of a new one reads two days.
        store.due_swept(Timestamp::parse_rfc3339(START).unwrap()).await.unwrap();
        let profile = Profile {
            domain: SHOP.parse().unwrap(),
            email: Some("merchant@example.com".to_owned().into()),
            plan: None,
            shopify_id: Some(70_000_000_001),
            public_domain: Some("shop.example.com".to_owned()),
        };
        let access = Access::lasting(TOKEN, Scopes::parse("write_orders"), now);
        inner.installation = store.connect(&profile, now, &access, now).await.unwrap();
        store.member_opened(&inner.installation, "42").await.unwrap();
        let answer = inner.connect(&inner.installation, ADDRESS).await;
        assert_eq!(answer["statusCode"], 302, "{answer}");
        let world = Self { inner, claude, shopify };
        world.settle().await;
        world
    }

    fn installation(&self) -> &Installation {
        &self.inner.installation
    }

    pub(crate) async fn configure(&self, change: impl FnOnce(&mut Desk)) {
        let store = self.inner.app.store().await;
        let mut desk = store.desk(self.installation()).await.unwrap();
        change(&mut desk);
        assert!(store.change_desk(self.installation(), &desk).await.unwrap());
    }

    /// A rule answers mails that ask where an order is.
    pub(crate) async fn answers_shipping(&self) {
        self.configure(|desk| {
            desk.settings.send_by_rule = true;
            desk.macros = vec![shipping_macro()];
            desk.rules = vec![sends("shipping", "where")];
        })
        .await;
    }

    /// A mail comes in, and what comes of it is done as far as it can be now.
    async fn comes(&self, mail: &Mail<'_>) {
        self.inner.google.deliver(ADDRESS, mail.raw()).unwrap();
        self.settle().await;
    }

    async fn settle(&self) {
        loop {
            let pushed = self.inner.push().await.len();
            if pushed + self.inner.bench.drain(&self.inner.app).await == 0 {
                return;
            }
        }
    }

    pub(crate) async fn advance(&self, by: Duration) {
        self.inner.advance(by).await;
    }

    /// Minutes pass, and what waited for them is done.
    async fn minutes(&self, minutes: u32) {
        self.advance(MINUTE * minutes).await;
        self.settle().await;
    }

    /// Lets what waits or failed come again, and the sweep ask for what was lost.
    async fn later(&self) {
        for _ in 0..5 {
            self.minutes(13).await;
        }
        for _ in 0..2 {
            self.advance(HOUR).await;
            let hourly = sample("schedules/sweep-due/hourly");
            self.inner.app.invoke("schedules/sweep-due", hourly).await.unwrap();
            self.settle().await;
        }
    }

    pub(crate) async fn threads(&self) -> Vec<Thread> {
        let store = self.inner.app.store().await;
        store
            .threads(self.installation(), &ThreadFilter::default(), None, 100)
            .await
            .unwrap()
            .unwrap()
            .threads
    }

    /// Mails of customers, by subject.
    async fn mails(&self) -> Vec<StoredMail> {
        let mut mails = self.inner.mails().await;
        mails.retain(|mail| !mail.own);
        mails
    }

    /// The one mail.
    async fn mail(&self) -> StoredMail {
        let mut mails = self.mails().await;
        assert_eq!(mails.len(), 1);
        mails.remove(0)
    }

    /// Every draft, the earliest first.
    pub(crate) async fn drafts(&self) -> Vec<Draft> {
        let store = self.inner.app.store().await;
        let mut drafts = Vec::new();
        for thread in self.threads().await {
            drafts.extend(store.drafts_of(self.installation(), &thread).await.unwrap());
        }
        drafts.sort_by_key(|draft| draft.created_at);
        drafts
    }

    /// The one draft.
    pub(crate) async fn draft(&self) -> Draft {
        let mut drafts = self.drafts().await;
        assert_eq!(drafts.len(), 1, "{:?}", drafts.iter().map(|draft| draft.state).collect::<Vec<_>>());
        drafts.remove(0)
    }

    async fn state(&self) -> DraftState {
        self.draft().await.state
    }

    /// What the merchant's mailbox sent.
    fn sent(&self) -> Vec<Held> {
        self.inner.google.sent(ADDRESS)
    }

    /// Asks the API as a member of staff; the status and the body.
    pub(crate) async fn api(&self, key: &str, id: &str, revision: Option<i64>, body: &Value) -> (u64, Value) {
        let store = self.inner.app.store().await;
        let actor = store.actor(&self.installation().tenant.shop, "42");
        let headers =
            revision.map_or_else(|| json!({}), |revision| json!({ "if-match": format!("\"{revision}\"") }));
        let event = json!({
            "routeKey": key, "headers": headers, "pathParameters": {"id": id}, "body": body.to_string(),
            "requestContext": {"authorizer": {"lambda": {"shop": self.installation().tenant.shop, "actor": actor}}},
        });
        let function = if key.contains("/v1/drafts") { "api/drafts" } else { "api/threads" };
        let answer = self.inner.app.invoke(function, event).await.unwrap();
        let body = answer["body"].as_str().map(|body| serde_json::from_str(body).unwrap_or_default());
        (answer["statusCode"].as_u64().unwrap(), body.unwrap_or_default())
    }

    /// Asks it about a draft, as it was read.
    async fn asks(&self, key: &str, draft: &Draft, revision: Option<i64>, body: &Value) -> (u64, Value) {
        self.api(key, draft.reference.id(), revision, body).await
    }

    async fn approve(&self, draft: &Draft) -> (u64, Value) {
        self.asks("POST /v1/drafts/{id}/approve", draft, Some(draft.revision), &Value::Null).await
    }

    /// Nothing failed for good.
    async fn no_dead_letters(&self) {
        for state in self.inner.bench.cloud.sqs().queues().await.unwrap() {
            assert!(!state.name.ends_with("dead-letters") || state.total() == 0, "{}", state.name);
        }
    }
}

/// What a draft of Claude's says.
pub(crate) fn drafted(reply: &str) -> Value {
    json!({ "reply": reply, "language": "en", "commits": ["none"], "needs_human": false, "reason": "it asks" })
}

fn header<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = raw.split_once("\r\n\r\n").unwrap();
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

fn as_text(held: &Held) -> String {
    String::from_utf8(held.raw.to_vec()).unwrap()
}

#[tokio::test]
async fn a_refund_mail_and_a_shipping_mail_are_understood_with_reasons_and_drafted_with_the_right_order() {
    // Given no key for Claude: the built-in engine and the shop's own texts.
    let world = World::new(false).await;
    world.comes(&Mail::new(1, "Ana Sample <sample.customer@example.com>", "Money", REFUND)).await;
    world.comes(&Mail::new(2, "Ana Sample <sample.customer@example.com>", "Parcel", SHIPPING)).await;
    let mails = world.mails().await;
    let made: Vec<_> = mails.iter().map(|mail| mail.understanding.clone().unwrap()).collect();
    assert_eq!([made[0].intent, made[1].intent], [Intent::Refund, Intent::Shipping]);
    assert!(made[0].sentence.expose().contains("money back") || made[0].sentence.expose().contains("refund"));
    assert!(made.iter().all(|made| !made.why.is_empty() && made.why.iter().all(|why| !why.contains("Ana"))));
    assert!(made.iter().all(|made| made.language.is_some_and(|language| language.code() == "en")));
    let named: Vec<&str> = made[0].orders.iter().map(|order| order.expose().as_str()).collect();
    assert_eq!((named.as_slice(), made[1].orders.len()), (&["#1001"][..], 0));
    // Then the drafts quote the order that was named, or the latest; none is sent by itself.
    let drafts = world.drafts().await;
    assert_eq!(drafts.len(), 2);
    let of = |mail: &StoredMail| {
        drafts.iter().find(|draft| draft.mail == mail.reference).unwrap().text.expose().clone()
    };
    assert!(of(&mails[0]).contains("#1001"), "{}", of(&mails[0]));
    assert!(of(&mails[1]).contains("#1002") && of(&mails[1]).contains("SC1002TRACK"), "{}", of(&mails[1]));
    assert!(of(&mails[1]).starts_with("Hi Ana Sample,"), "{}", of(&mails[1]));
    world.later().await;
    assert!(world.sent().is_empty());
    assert!(world.claude.requests().is_empty());
    world.no_dead_letters().await;
}

#[tokio::test]
async fn a_mail_that_names_another_customers_order_gets_nothing_of_that_order() {
    let world = World::new(false).await;
    let text = "Hello,\r\n\r\nWhere is my order #2001? The parcel has not arrived, what is its tracking number?\r\n\r\nAna";
    world.comes(&Mail::new(1, ANA, "Where is #2001", text)).await;
    let draft = world.draft().await;
    assert!(
        !draft.text.expose().contains("2001") && !draft.text.expose().contains("Ben"),
        "{}",
        draft.text.expose()
    );
    // Nor does whoever never ordered.
    world.comes(&Mail::new(2, "stranger@example.com", "Where is it", text)).await;
    let drafts = world.drafts().await;
    let other = drafts.iter().find(|draft| draft.to.address.expose() == "stranger@example.com").unwrap();
    for value in ["2001", "1002", "TRACK", "Ben", "Ana"] {
        assert!(!other.text.expose().contains(value), "{}", other.text.expose());
    }
    // Whoever wants the answer to go elsewhere gets what that address ordered: nothing.
    let mut sly = Mail::new(3, BEN, "Where is my parcel", SHIPPING);
    sly.headers = "Reply-To: thief@example.net\r\n";
    world.comes(&sly).await;
    let drafts = world.drafts().await;
    let other = drafts.iter().find(|draft| draft.to.address.expose() == "thief@example.net").unwrap();
    assert!(
        !other.text.expose().contains("2001") && !other.text.expose().contains("TRACK"),
        "{}",
        other.text.expose()
    );
}

#[tokio::test]
async fn a_customer_is_answered_in_the_language_they_wrote_in() {
    let world = World::new(false).await;
    let text = "Guten Tag,\r\n\r\nwo ist meine Bestellung? Das Paket ist noch nicht angekommen, und die Sendungsverfolgung zeigt nichts.\r\n";
    world.comes(&Mail::new(1, ANA, "Wo bleibt mein Paket", text)).await;
    let draft = world.draft().await;
    assert_eq!(draft.language.map(Language::code), Some("de"));
    assert!(
        draft.text.expose().contains("Der Stand Ihrer Bestellung #1002: versandt."),
        "{}",
        draft.text.expose()
    );
}

#[tokio::test]
async fn a_rule_sends_a_macro_after_its_delay_once_into_its_conversation() {
    let world = World::new(true).await;
    world.answers_shipping().await;
    world.comes(&Mail::new(1, "Ana Sample <sample.customer@example.com>", "Parcel", SHIPPING)).await;
    assert_eq!(world.state().await, DraftState::Scheduled);
    world.minutes(9).await;
    assert!(world.sent().is_empty());
    world.minutes(1).await;
    let sent = world.sent();
    assert_eq!(sent.len(), 1);
    let raw = as_text(&sent[0]);
    assert_eq!(header(&raw, "In-Reply-To"), Some("<desk-1@example.com>"), "{raw}");
    assert_eq!(header(&raw, "References"), Some("<desk-1@example.com>"));
    assert_eq!(header(&raw, "Subject"), Some("Re: Parcel"));
    assert_eq!(header(&raw, "Auto-Submitted"), Some("auto-replied"));
    assert!(header(&raw, "To").unwrap().contains(ANA));
    let said = mail::read(&sent[0].raw).unwrap();
    assert!(said.text.expose().contains("your order #1002 is shipped."), "{}", said.text.expose());
    let customers =
        world.inner.google.held(ADDRESS).into_iter().find(|held| !held.labels.contains("SENT")).unwrap();
    assert_eq!(sent[0].thread, customers.thread);
    // What it says is the merchant's: Claude was not asked. Its coming back changes nothing.
    assert!(world.claude.requests().is_empty());
    world.later().await;
    assert_eq!((world.sent().len(), world.state().await), (1, DraftState::Sent));
    // Whoever answers an answer gets a person.
    let mut again = Mail::new(2, ANA, "Re: Parcel", SHIPPING);
    let id = header(&raw, "Message-ID").unwrap().to_owned();
    again.answers = Some(&id);
    world.inner.google.deliver(ADDRESS, again.raw()).unwrap();
    world.settle().await;
    world.later().await;
    assert_eq!(world.sent().len(), 1);
    world.no_dead_letters().await;
}

#[tokio::test]
async fn what_is_not_answered_by_anybody_is_never_answered_by_a_rule() {
    let world = World::new(true).await;
    world.answers_shipping().await;
    let machines = [
        (
            "mailer-daemon@example.com",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\nAuto-Submitted: auto-replied\r\n",
        ),
        ("no-reply@example.com", ""),
        ("list@example.com", "List-Id: <list.example.com>\r\nPrecedence: list\r\n"),
        (ANA, "Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\n"),
    ];
    for (number, (from, headers)) in (1..).zip(machines) {
        world
            .comes(&Mail { headers, ..Mail::new(number, from, &format!("Machine {number}"), SHIPPING) })
            .await;
    }
    // And what the shop wrote itself is not even looked at.
    let own = format!(
        "To: {ANA}\r\nFrom: {ADDRESS}\r\nSubject: From us\r\nMessage-ID: <own@example.com>\r\n\r\nWhere is your order? It has not arrived."
    );
    world.inner.google.human_sends(ADDRESS, own, None).unwrap();
    world.settle().await;
    world.later().await;
    assert_eq!(world.mails().await.len(), machines.len());
    assert!(world.mails().await.iter().all(|mail| mail.automatic.is_some() && mail.understanding.is_some()));
    assert!(world.drafts().await.is_empty());
    assert_eq!(world.sent().len(), 1, "the one that the shop wrote");
    assert!(world.claude.requests().is_empty());
    let own: Vec<StoredMail> = world.inner.mails().await.into_iter().filter(|mail| mail.own).collect();
    assert!(own.len() == 1 && own[0].understanding.is_none());
    world.no_dead_letters().await;
}

#[tokio::test]
async fn what_came_before_the_mailbox_was_connected_is_drafted_and_not_sent() {
    let world = World::new(false).await;
    world.answers_shipping().await;
    let other = "second@example.com";
    world.inner.google.add_mailbox(other);
    world
        .inner
        .google
        .deliver(other, Mail::new(1, ANA, "Parcel", SHIPPING).raw().replace(ADDRESS, other))
        .unwrap();
    world.advance(HOUR * 48).await;
    assert_eq!(world.inner.connect(world.installation(), other).await["statusCode"], 302);
    world.settle().await;
    let draft = world.draft().await;
    assert_eq!((draft.state, draft.send_at), (DraftState::Ready, None));
    world.later().await;
    assert!(world.inner.google.sent(other).is_empty());
}
