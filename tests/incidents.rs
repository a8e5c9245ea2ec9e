//! A breach of personal data from its opening to its end: who it reached, that each merchant is told with everything that was
//! promised, that the clock runs until then and not out in silence, and that a drill sends nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use storeward_api::BreachBody;
use storeward_core::data_map::Kind;
use storeward_core::guard::{Alert, GuardSettings};
use storeward_core::incident::{DEADLINE, Reach, Severity, Words};
use storeward_core::personal::Personal;
use storeward_core::shop::ShopDomain;
use storeward_core::time::{Clock as _, DAY, HOUR, Timestamp};
use storeward_host::{IncidentOrder, Queue};
use storeward_local::resend::{self, Resend, Trouble};
use storeward_store::{
    By, Incident, Installation, NewIncident, Phase, Profile, Reached, ReachedStanding, What,
};

use crate::bench::{App, Bench, SECRETS, SHOP, root, sample, signed_delivery};
use crate::leaks::{listen, take_logged};
use crate::support::connector::Outcome;
use crate::support::faults::{Fault, FaultPlan};

const SILENT: &str = "storeward-silent.myshopify.com";
const LATER: &str = "storeward-later.myshopify.com";
const GONE: &str = "storeward-gone.myshopify.com";

/// A deployment with shops and the simulated Resend.
struct World {
    bench: Bench,
    app: App,
    resend: Resend,
}

impl World {
    async fn new() -> Self {
        let mut bench = Bench::new().await;
        let resend = Resend::new(Arc::new(bench.clock.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().nest(resend::PATH, resend.router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bench.set("STOREWARD_RESEND_ENDPOINT", &format!("http://{address}{}", resend::PATH));
        let app = bench.app();
        Self { bench, app, resend }
    }

    async fn shop(&self, domain: &str, email: Option<&str>, orders: u64) -> Installation {
        let profile = Profile {
            domain: domain.parse::<ShopDomain>().unwrap(),
            email: email.map(|email| email.to_owned().into()),
            plan: None,
            shopify_id: None,
            public_domain: None,
        };
        let store = self.app.store().await;
        let installation = store.install(&profile).await.unwrap();
        // Duplicates are not what these mails are about.
        let quiet = GuardSettings { alert: Alert::Off, ..GuardSettings::default() };
        assert!(store.change_settings(&installation, &quiet).await.unwrap());
        for id in 1..=orders {
            // Two orders are one person's.
            let order = json!({
                "id": id, "name": format!("#{id}"), "created_at": "2026-11-20T15:00:00Z", "test": false,
                "currency": "USD", "total_price": "55.88", "source_name": "web", "line_items": [],
                "email": format!("sample.customer.{}@example.com", id / 2),
            });
            let body = order.to_string();
            let delivery =
                signed_delivery("orders/create", &format!("{domain}-{id}"), domain, SECRETS[0], &body);
            let (status, body) = self.app.post("webhooks/orders-create", delivery).await;
            assert_eq!(status, 200, "{body}");
        }
        installation
    }

    /// Moves all clocks. The queues' is tokio's, which is stopped for as long as nothing is on a socket.
    async fn advance(&self, by: std::time::Duration) {
        tokio::time::pause();
        self.bench.advance(by).await;
        tokio::time::resume();
    }

    /// The alarms of an hour's watch: what it logged that the template's filter waits for.
    async fn alarms(&self) -> Vec<Value> {
        let _before = take_logged();
        self.hour().await;
        let log = String::from_utf8(take_logged()).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let words = awaited("BreachUntoldFilter");
        let counted = |line: &Value| {
            let message = line["message"].as_str().unwrap_or_default();
            line["level"] == "ERROR" && message.starts_with(words.trim_end_matches('*'))
        };
        lines.filter(counted).collect()
    }

    /// What an operator is answered.
    async fn operator(&self, key: &str, id: &str, body: &Value) -> (u64, Value) {
        let mut event = json!({
            "routeKey": key, "headers": {}, "pathParameters": {"id": id},
            "requestContext": {"authorizer": {"lambda": {"operator": "00112233", "role": "security"}}},
        });
        if !body.is_null() {
            event["body"] = json!(body.to_string());
        }
        let answer = self.app.invoke("operator/breaches", event).await.unwrap();
        self.bench.drain(&self.app).await;
        (
            answer["statusCode"].as_u64().unwrap(),
            serde_json::from_str(answer["body"].as_str().unwrap()).unwrap(),
        )
    }

    /// An hour with its watch over the breaches: how many it saw.
    async fn hour(&self) -> u64 {
        self.advance(HOUR).await;
        let answer =
            self.app.invoke("schedules/watch-incidents", sample("schedules/watch-incidents/hourly")).await;
        self.bench.drain(&self.app).await;
        answer.unwrap()["acted_on"].as_u64().unwrap()
    }

    async fn send(&self, incident: &Incident) {
        let order = IncidentOrder { incident: incident.id.clone() };
        let context = self.app.context("schedules/watch-incidents");
        context.send(Queue::HandleIncident, &order, std::time::Duration::ZERO).await.unwrap();
        self.bench.drain(&self.app).await;
    }

    async fn open(&self, drill: bool, words: Words) -> Incident {
        let now = self.bench.clock.now();
        let reach = Reach { from: now - HOUR, until: now, kinds: Reach::everything() };
        let new = NewIncident { severity: Severity::High, drill, aware_at: now, reach, words };
        let incident = self.app.store().await.open_incident(&new).await.unwrap();
        self.send(&incident).await;
        self.read(&incident).await
    }

    async fn read(&self, incident: &Incident) -> Incident {
        self.app.store().await.incident(&incident.id).await.unwrap().unwrap()
    }

    async fn notify(&self, incident: &Incident) -> Incident {
        assert!(self.app.store().await.advance_incident(incident, Phase::Notifying).await.unwrap());
        self.send(incident).await;
        self.read(incident).await
    }

    async fn reached(&self, incident: &Incident, installation: &Installation) -> Option<Reached> {
        let reached = self.app.store().await.reached(&incident.id).await.unwrap();
        reached.into_iter().find(|reached| reached.tenant == installation.tenant)
    }
}

const NOTICES: &str = "POST /operator/v1/incidents/{id}/notices";
const CLOSING: &str = "POST /operator/v1/incidents/{id}/closing";

fn template() -> serde_norway::Value {
    serde_norway::from_str(&std::fs::read_to_string(root().join("template.yaml")).unwrap()).unwrap()
}

/// The words that a filter of the template waits for in a log.
fn awaited(filter: &str) -> String {
    awaited_by(&template()["Resources"][filter])
}

fn awaited_by(filter: &serde_norway::Value) -> String {
    let pattern = filter["Properties"]["FilterPattern"].as_str().unwrap();
    let (_, words) = pattern.split_once("$.message = \"").expect("a filter of messages");
    words.split_once('"').unwrap().0.to_owned()
}

fn words() -> Words {
    let text = |text: &str| Personal::new(text.to_owned());
    Words {
        nature: text("A copy of the tables was read."),
        consequences: text("Messages that look like the shop's."),
        measures: text("The keys were changed."),
        contact: text("privacy@example.com"),
    }
}

#[tokio::test]
async fn every_merchant_whose_data_a_breach_reached_is_told_once_with_every_element() {
    // Given a shop with an address, one without, one that was purged since, and one that came later
    let world = World::new().await;
    let told = world.shop(SHOP, Some("merchant@example.com"), 6).await;
    let silent = world.shop(SILENT, None, 2).await;
    let gone = world.shop(GONE, Some("gone@example.com"), 2).await;
    world.bench.drain(&world.app).await;
    let now = world.bench.clock.now();
    world.advance(HOUR).await;
    let store = world.app.store().await;
    store.uninstall(&gone, "app/uninstalled").await.unwrap();
    world.advance(DAY * 2).await;
    store.purge(&gone.tenant, "test", &|| true).await.unwrap();
    let later = world.shop(LATER, Some("later@example.com"), 1).await;

    // When a breach of the time before is opened, assessed and told of
    let aware_at = world.bench.clock.now();
    let reach = Reach { from: now, until: now, kinds: Reach::everything() };
    let new = NewIncident { severity: Severity::Critical, drill: false, aware_at, reach, words: words() };
    let incident = store.open_incident(&new).await.unwrap();
    world.send(&incident).await;
    let incident = world.read(&incident).await;
    assert_eq!(incident.phase, Phase::Assessed);
    assert!(world.resend.mails().is_empty(), "nobody is told before an operator says so");
    let incident = world.notify(&incident).await;
    assert_eq!((incident.phase, incident.notified_at), (Phase::Notifying, None), "two cannot be reached");

    // Then the one mail says everything
    let mails = world.resend.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!(mails[0].to, ["merchant@example.com"]);
    for text in [
        "A copy of the tables was read.",
        "customer contact",
        "about 4", // six orders of four people
        "Messages that look like the shop's.",
        "The keys were changed.",
        "privacy@example.com",
    ] {
        assert!(mails[0].text.contains(text), "{text}: {}", mails[0].text);
    }

    // And it is written down for each what became of it, with proof
    let reached = world.reached(&incident, &told).await.unwrap();
    assert_eq!(reached.standing, ReachedStanding::Told);
    assert_eq!(reached.mail.as_ref(), Some(&mails[0].id));
    assert_eq!((reached.extent.records[&Kind::Order], reached.extent.people), (6, 4));
    assert_eq!(world.reached(&incident, &silent).await.unwrap().standing, ReachedStanding::Unreachable);
    let purged = world.reached(&incident, &gone).await.unwrap();
    assert_eq!((purged.standing, purged.extent.records[&Kind::Order]), (ReachedStanding::Unreachable, 2));
    assert!(world.reached(&incident, &later).await.is_none(), "it came after the breach");
    let entries = store.ledger_of(&told.tenant.shop, world.bench.clock.now()).await.unwrap();
    let proof: Vec<_> = entries.iter().filter(|entry| entry.what == What::BreachNotified).collect();
    assert_eq!(proof.len(), 1);
    assert_eq!(proof[0].counts["order"], 6);

    // And asking again changes nothing
    world.send(&incident).await;
    assert_eq!(world.resend.mails().len(), 1);
    let entries = store.ledger_of(&silent.tenant.shop, world.bench.clock.now()).await.unwrap();
    let entries = entries.iter().filter(|entry| entry.what == What::BreachNotified);
    assert_eq!(entries.map(|entry| entry.verified.as_deref()).collect::<Vec<_>>(), [Some("unreachable")]);
}

#[tokio::test]
async fn the_clock_runs_until_an_operator_says_how_those_were_told_whom_no_mail_reaches() {
    // Given a breach of which one merchant is told by mail and another has no address
    listen();
    let world = World::new().await;
    let told = world.shop(SHOP, Some("merchant@example.com"), 1).await;
    let silent = world.shop(SILENT, None, 1).await;
    let incident = world.open(false, words()).await;
    let silent_name = silent.tenant.shop.as_str();
    let otherwise = json!({"shops": [silent_name], "reference": "T-2026-17"});
    assert_eq!(world.operator(NOTICES, &incident.id, &otherwise).await.0, 409, "nobody is being told yet");
    assert_eq!(world.operator(NOTICES, &incident.id, &Value::Null).await.0, 200);
    assert_eq!(world.reached(&incident, &told).await.unwrap().standing, ReachedStanding::Told);

    // Then somebody is called every hour, also before a reminder is due and when the time is over, and it cannot be closed
    for hour in 1..=DEADLINE.as_secs() / 3600 + 2 {
        let alarms = world.alarms().await;
        assert_eq!(alarms.len(), 1, "hour {hour}: {alarms:?}");
        assert_eq!((&alarms[0]["untold"], &alarms[0]["unreachable"]), (&json!(1), &json!(1)), "{alarms:?}");
    }
    assert_eq!(world.operator(CLOSING, &incident.id, &json!({"reference": "T-2026-18"})).await.0, 409);
    assert_eq!(world.resend.mails().len(), 1, "whoever was told is told once");

    // When the merchant was telephoned, and an operator says where that is filed
    for wrong in [
        json!({"shops": [silent_name], "reference": "said to Sample"}),
        json!({"shops": ["00000000000000000000000000000001"], "reference": "T-2026-17"}),
        json!({"shops": [silent_name]}),
    ] {
        assert_eq!(world.operator(NOTICES, &incident.id, &wrong).await.0, 400, "{wrong}");
    }
    for _again in 0..2 {
        let (status, shown) = world.operator(NOTICES, &incident.id, &otherwise).await;
        assert_eq!(status, 200, "{shown}");
    }

    // Then it stands in the ledger, once, the clock has stopped, and the merchant reads when it was told
    let reached = world.reached(&incident, &silent).await.unwrap();
    assert_eq!((reached.standing, reached.reference.as_deref()), (ReachedStanding::Told, Some("T-2026-17")));
    let incident = world.read(&incident).await;
    assert!(BreachBody::of(&incident, &reached).told_at.is_some());
    assert_eq!((incident.phase, incident.notified_at.is_some()), (Phase::Notified, true));
    let store = world.app.store().await;
    let entries = store.ledger_of(&silent.tenant.shop, world.bench.clock.now()).await.unwrap();
    let filed: Vec<_> = entries.iter().filter(|entry| entry.why.contains("T-2026-17")).collect();
    assert_eq!(filed.len(), 1, "{entries:?}");
    assert_eq!(filed[0].by, Some(By::Operator("00112233".to_owned())));
    assert_eq!(world.hour().await, 0, "its clock has stopped");
    assert_eq!(world.operator(CLOSING, &incident.id, &Value::Null).await.1["phase"], "closed");
}

#[tokio::test]
async fn a_merchant_who_installs_the_app_again_is_told_at_the_new_address() {
    // Given a merchant who could not be told, for want of an address or because Resend does not take it
    for address in [None, Some("no address")] {
        let world = World::new().await;
        let shop = world.shop(SHOP, address, 1).await;
        let incident = world.open(false, words()).await;
        let incident = world.notify(&incident).await;
        assert_eq!(world.reached(&incident, &shop).await.unwrap().standing, ReachedStanding::Unreachable);
        assert_eq!(world.hour().await, 1);
        assert!(world.resend.mails().is_empty());

        // When the app is installed again
        world.app.store().await.uninstall(&shop, "app/uninstalled").await.unwrap();
        world.advance(HOUR).await;
        world.shop(SHOP, Some("merchant@example.com"), 0).await;
        world.hour().await;

        // Then the hour tells of what was reached before
        assert_eq!(world.read(&incident).await.phase, Phase::Notified);
        assert_eq!(world.reached(&incident, &shop).await.unwrap().standing, ReachedStanding::Told);
        let mails = world.resend.mails();
        assert_eq!((mails.len(), &mails[0].to[..]), (1, &["merchant@example.com".to_owned()][..]));
    }
}

#[tokio::test]
async fn a_notice_of_which_nobody_knew_for_a_day_is_sent_again_rather_than_given_up() {
    for (trouble, sent) in [(Trouble::Fails, 1), (Trouble::SentAndFails, 2)] {
        // Given a notice that was tried, and no answer came
        let world = World::new().await;
        let shop = world.shop(SHOP, Some("merchant@example.com"), 1).await;
        let incident = world.open(false, words()).await;
        world.resend.trouble_next(trouble);
        let incident = world.notify(&incident).await;
        assert_eq!(world.reached(&incident, &shop).await.unwrap().standing, ReachedStanding::Waiting);

        // When a day is over, and Resend does not remember it
        world.advance(DAY).await;
        world.hour().await;

        // Then it is sent: twice is better than never
        assert_eq!(world.read(&incident).await.phase, Phase::Notified, "{trouble:?}");
        assert_eq!(world.reached(&incident, &shop).await.unwrap().standing, ReachedStanding::Told);
        assert_eq!(world.resend.mails().len(), sent, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_breach_of_which_nobody_was_told_closes_only_with_a_reason_that_is_filed() {
    let world = World::new().await;
    let _shop = world.shop(SHOP, Some("merchant@example.com"), 1).await;
    let incident = world.open(false, words()).await;
    assert_eq!(world.operator(CLOSING, &incident.id, &Value::Null).await.0, 409);
    assert_eq!(world.operator(CLOSING, &incident.id, &json!({"reference": "it was none"})).await.0, 400);
    assert_eq!(world.hour().await, 1, "its clock runs");
    let (status, closed) = world.operator(CLOSING, &incident.id, &json!({"reference": "T-2026-18"})).await;
    assert_eq!((status, &closed["phase"]), (200, &json!("closed")));
    let (store, now) = (world.app.store().await, world.bench.clock.now());
    let entries = store.ledger_of(&storeward_core::shop::ShopId::deployment(), now).await.unwrap();
    assert!(
        entries.iter().any(|entry| entry.why.ends_with("closed, as filed under T-2026-18")),
        "{entries:?}"
    );
    // One that reached nobody needs none; nor does a drill.
    let empty = World::new().await;
    let incident = empty.open(false, words()).await;
    assert_eq!(empty.operator(CLOSING, &incident.id, &Value::Null).await.0, 200);
    let drill = world.open(true, words()).await;
    assert_eq!(world.operator(CLOSING, &drill.id, &Value::Null).await.0, 200);
}

#[tokio::test]
async fn a_merchant_of_whose_records_nothing_is_left_is_told_that_numbers_are_not_known() {
    // Given a shop whose orders have expired since a breach that is found months later
    let world = World::new().await;
    let shop = world.shop(SHOP, Some("merchant@example.com"), 1).await;
    let now = world.bench.clock.now();
    let reach = Reach { from: now, until: now, kinds: Reach::everything() };
    world.advance(DAY * 100).await;
    let aware_at = world.bench.clock.now();
    let new = NewIncident { severity: Severity::Low, drill: false, aware_at, reach, words: words() };
    let incident = world.app.store().await.open_incident(&new).await.unwrap();

    // When it is assessed and told of
    world.send(&incident).await;
    let incident = world.notify(&world.read(&incident).await).await;

    // Then its merchant learns what may have been there, and no number is made up
    assert_eq!(incident.phase, Phase::Notified);
    let mails = world.resend.mails();
    assert_eq!(mails.len(), 1);
    assert!(!mails[0].text.contains("about 0"), "{}", mails[0].text);
    assert!(mails[0].text.contains("not known any more") && mails[0].text.contains("customer contact"));
    let told = BreachBody::of(&incident, &world.reached(&incident, &shop).await.unwrap());
    assert_eq!((told.people, told.records, told.categories.len()), (None, None, 0));
    assert!(told.possible_categories.contains(&"customer contact".to_owned()));
}

#[tokio::test]
async fn categories_and_people_are_those_of_what_was_reached_in_the_shop() {
    // Given six orders of four people, of which two pairs are cases
    let world = World::new().await;
    let shop = world.shop(SHOP, Some("merchant@example.com"), 6).await;
    world.bench.drain(&world.app).await;
    let cases = world.app.cases(&shop).await.len() as u64;
    assert_eq!(cases, 2);

    // When the breach reached cases alone, and perhaps mail
    let now = world.bench.clock.now();
    let kinds = BTreeSet::from([Kind::Case, Kind::Mail]);
    let reach = Reach { from: now, until: now, kinds };
    let new = NewIncident { severity: Severity::Low, drill: true, aware_at: now, reach, words: words() };
    let incident = world.app.store().await.open_incident(&new).await.unwrap();
    world.send(&incident).await;

    // Then nobody is counted by the orders, and what was found is told apart from what may have been there
    let reached = world.reached(&incident, &shop).await.unwrap();
    assert_eq!((reached.extent.people, reached.extent.total()), (cases, cases));
    let told = BreachBody::of(&incident, &reached);
    assert_eq!(told.categories, ["order metadata"]);
    assert_eq!(told.possible_categories, ["customer contact", "customer address", "correspondence"]);
}

#[tokio::test]
async fn an_assessment_that_runs_out_of_time_goes_on_where_it_was_and_ends() {
    // Given a shop that was purged today, and a breach that began a month before
    let world = World::new().await;
    let shop = world.shop(SHOP, Some("merchant@example.com"), 1).await;
    let store = world.app.store().await;
    world.advance(DAY * 28).await;
    store.uninstall(&shop, "app/uninstalled").await.unwrap();
    world.advance(DAY * 2).await;
    let purged = store.purge(&shop.tenant, "test", &|| true).await.unwrap();
    assert_eq!(purged, storeward_store::PurgeReport::NothingLeft);
    let now = world.bench.clock.now();
    let reach = Reach { from: now - DAY * 30, until: now, kinds: Reach::everything() };
    let new = NewIncident { severity: Severity::Low, drill: true, aware_at: now, reach, words: words() };
    let mut incident = store.open_incident(&new).await.unwrap();

    // When each run has time for eight days of the ledger
    let mut runs = 0;
    loop {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let time_left = || asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 8;
        runs += 1;
        if store.assess_incident(&incident, &time_left).await.unwrap() {
            break;
        }
        let later = world.read(&incident).await;
        assert!(later.looked_until > incident.looked_until, "it stands still");
        assert!(store.reached(&incident.id).await.unwrap().is_empty(), "no day is skipped");
        incident = later;
    }

    // Then the fourth finds the receipt
    assert_eq!(runs, 4);
    assert!(world.reached(&incident, &shop).await.is_some());
}

#[tokio::test]
async fn what_a_breach_is_opened_with_bounds_what_is_looked_through() {
    let world = World::new().await;
    let now = world.bench.clock.now();
    let open = async |from: Timestamp, kinds: Value| {
        let body = json!({
            "severity": "low", "drill": true, "from": from.to_rfc3339(), "until": now.to_rfc3339(),
            "aware_at": now.to_rfc3339(), "kinds": kinds,
        });
        world.operator("POST /operator/v1/incidents", "", &body).await
    };
    let (status, problem) = open(Timestamp::from_seconds(0), json!(["order"])).await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("three years"), "{problem}");
    assert_eq!(open(now, json!([])).await.0, 400, "a breach of nothing");
    assert_eq!(open(now - DAY, json!(["order"])).await.0, 200);
}

/// The last text of each call of a logging macro in some source, where the macro has the wanted level or any.
fn logged_in(source: &str, level: &str) -> Vec<String> {
    let calls = source.split("tracing::").skip(1).filter(|call| call.starts_with(level));
    let texts = calls.filter_map(|call| {
        let (call, _) = call.split_once(");")?;
        call.rsplit('"').nth(1).map(str::to_owned)
    });
    texts.collect()
}

#[test]
fn every_log_filter_waits_for_words_that_its_function_logs_and_an_alarm_counts_them() {
    let template = template();
    let resources = template["Resources"].as_mapping().unwrap();
    let named = |value: &serde_norway::Value| match value {
        serde_norway::Value::Tagged(tagged) => tagged.value.as_str().unwrap().to_owned(),
        plain => plain.as_str().unwrap().to_owned(),
    };
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let sources_of = |group: &str| {
        let function = resources.values().map(|resource| &resource["Properties"]).find(|properties| {
            let of = &properties["LoggingConfig"]["LogGroup"];
            !of.is_null() && named(of) == group
        });
        let handler = function.expect("a function of that log")["Handler"].as_str().unwrap().to_owned();
        // What the functions share logs in the log of whoever uses it.
        [read(&format!("functions/{handler}/src/lib.rs")), read("shared/clients/src/http.rs")].concat()
    };
    let filters = resources.iter().filter(|(_, one)| one["Type"].as_str() == Some("AWS::Logs::MetricFilter"));
    let mut seen = 0;
    for (name, filter) in filters {
        let (name, properties) = (name.as_str().unwrap(), &filter["Properties"]);
        let level =
            if properties["FilterPattern"].as_str().unwrap().contains("ERROR") { "error!" } else { "" };
        let words = awaited_by(filter);
        let fits = |text: &String| {
            words.strip_suffix('*').map_or(*text == words, |beginning| text.starts_with(beginning))
        };
        let logged = logged_in(&sources_of(&named(&properties["LogGroupName"])), level);
        assert!(logged.iter().any(fits), "{name} waits for {words:?} in vain: {logged:?}");
        let metric = &properties["MetricTransformations"][0];
        let alarm = resources.values().map(|resource| &resource["Properties"]).find(|alarm| {
            alarm["MetricName"] == metric["MetricName"] && alarm["Namespace"] == metric["MetricNamespace"]
        });
        assert!(alarm.is_some_and(|alarm| !alarm["AlarmActions"].is_null()), "{name} calls nobody");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    // Of the watch over breaches, each error calls somebody.
    let watch = logged_in(&read("functions/schedules/watch-incidents/src/lib.rs"), "error!");
    let words = awaited("BreachUntoldFilter");
    assert!(watch.len() > 2 && watch.iter().all(|text| text.starts_with(words.trim_end_matches('*'))));
}

#[tokio::test]
async fn a_notice_goes_out_once_whatever_happens_on_the_way() {
    for trouble in [Trouble::TooMany, Trouble::Fails, Trouble::SentAndFails] {
        let world = World::new().await;
        let shop = world.shop(SHOP, Some("merchant@example.com"), 1).await;
        let incident = world.open(false, words()).await;
        world.resend.trouble_next(trouble);
        let incident = world.notify(&incident).await;
        assert_eq!(incident.phase, Phase::Notifying, "{trouble:?}");
        // The watch starts it again.
        assert_eq!(world.hour().await, 1);
        assert_eq!(world.read(&incident).await.phase, Phase::Notified, "{trouble:?}");
        assert_eq!(world.resend.mails().len(), 1, "{trouble:?}");
        assert_eq!(world.reached(&incident, &shop).await.unwrap().standing, ReachedStanding::Told);
    }
}

#[tokio::test]
async fn a_crash_at_any_request_of_assessing_or_telling_is_made_up_for() {
    let mut at = 0;
    loop {
        let world = World::new().await;
        let shop = world.shop(SHOP, Some("merchant@example.com"), 2).await;
        let now = world.bench.clock.now();
        let reach = Reach { from: now - HOUR, until: now, kinds: BTreeSet::from([Kind::Order]) };
        let new =
            NewIncident { severity: Severity::High, drill: false, aware_at: now, reach, words: words() };
        let incident = world.app.store().await.open_incident(&new).await.unwrap();
        let faulty =
            world.bench.app_through(world.bench.transport(), FaultPlan::none().at(at, Fault::CrashAfter));
        let run = async |app: &App| {
            let event = crate::bench::batch(&[json!({
                "MessageId": "1", "ReceiptHandle": "1", "Attributes": {},
                "Body": json!({ "incident": incident.id }).to_string(),
            })]);
            app.invoke("jobs/handle-incident", event).await
        };
        let crashed = matches!(faulty.connector.run(run(&faulty)).await, Outcome::Crashed);
        run(&world.app).await.unwrap();
        let assessed = world.read(&incident).await;
        if assessed.phase == Phase::Assessed {
            assert!(world.app.store().await.advance_incident(&assessed, Phase::Notifying).await.unwrap());
        }
        let telling =
            world.bench.app_through(world.bench.transport(), FaultPlan::none().at(at, Fault::CrashAfter));
        let crashed_again = matches!(telling.connector.run(run(&telling)).await, Outcome::Crashed);
        run(&world.app).await.unwrap();
        assert_eq!(world.read(&incident).await.phase, Phase::Notified, "crashed at {at}");
        assert_eq!(world.resend.mails().len(), 1, "crashed at {at}");
        assert_eq!(world.reached(&incident, &shop).await.unwrap().extent.total(), 2);
        if !crashed && !crashed_again {
            break;
        }
        at += 1;
    }
    assert!(at > 5, "it saw {at} requests only");
}

#[tokio::test]
async fn the_clock_reminds_and_does_not_run_out_in_silence() {
    // Given a breach of which nobody says what to tell
    let world = World::new().await;
    let _shop = world.shop(SHOP, Some("merchant@example.com"), 1).await;
    let incident = world.open(false, Words { contact: Personal::default(), ..words() }).await;
    assert!(incident.words.complete().is_err());

    // When the hours pass
    let mut reminded = Vec::new();
    let hours = u32::try_from(DEADLINE.as_secs() / 3600).unwrap();
    for hour in 1..hours {
        let before = world.read(&incident).await.reminded;
        assert_eq!(world.hour().await, 1);
        if world.read(&incident).await.reminded > before {
            reminded.push(hour);
        }
    }

    // Then each reminder was given at its hour, and it is still watched when the time is over
    assert_eq!(reminded, Severity::High.reminders());
    assert_eq!(world.hour().await, 1);
    assert_eq!(world.hour().await, 1);
    assert!(world.resend.mails().is_empty());
}

#[tokio::test]
async fn a_drill_does_everything_but_send() {
    let world = World::new().await;
    let shop = world.shop(SHOP, Some("merchant@example.com"), 3).await;
    let incident = world.open(true, words()).await;
    let incident = world.notify(&incident).await;
    assert_eq!(incident.phase, Phase::Notified);
    assert_eq!(world.reached(&incident, &shop).await.unwrap().standing, ReachedStanding::Rehearsed);
    assert!(world.resend.requests().is_empty(), "a drill reached Resend");
    let store = world.app.store().await;
    let entries = store.ledger_of(&shop.tenant.shop, world.bench.clock.now()).await.unwrap();
    assert!(entries.iter().any(|entry| entry.what == What::BreachRehearsed));
    assert!(!entries.iter().any(|entry| entry.what == What::BreachNotified));
}

#[tokio::test]
async fn what_is_said_of_a_breach_is_sealed_and_fixed_once_merchants_are_told() {
    let world = World::new().await;
    let _shop = world.shop(SHOP, Some("merchant@example.com"), 1).await;
    let incident = world.open(false, Words { nature: Personal::default(), ..words() }).await;
    let store = world.app.store().await;
    assert!(store.describe_incident(&incident, &words()).await.unwrap());
    assert!(!store.describe_incident(&incident, &words()).await.unwrap(), "it changed since it was read");
    let incident = world.read(&incident).await;
    assert!(
        world.bench.items("incident").iter().all(|item| !item.to_string().contains("copy of the tables"))
    );
    let incident = world.notify(&incident).await;
    assert!(!store.describe_incident(&incident, &words()).await.unwrap(), "merchants were told");
    assert!(!store.advance_incident(&incident, Phase::Notifying).await.unwrap(), "they are told once");
    assert!(store.close_incident(&incident, None).await.unwrap());
}
