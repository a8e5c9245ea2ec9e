//! A breach of personal data from its opening to its end: who it reached, that each merchant is told once with everything that
//! was promised, that the clock does not run out in silence, and that a drill sends nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use storeward_core::data_map::Kind;
use storeward_core::guard::{Alert, GuardSettings};
use storeward_core::incident::{DEADLINE, Reach, Severity, Words};
use storeward_core::personal::Personal;
use storeward_core::shop::ShopDomain;
use storeward_core::time::{Clock as _, DAY, HOUR, Timestamp};
use storeward_host::{IncidentOrder, Queue};
use storeward_local::resend::{self, Resend, Trouble};
use storeward_store::{Incident, Installation, NewIncident, Phase, Profile, Reached, ReachedStanding, What};

use crate::bench::{App, Bench, SECRETS, SHOP, sample, signed_delivery};
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
    assert_eq!(incident.phase, Phase::Notified);
    assert!(incident.notified_at.is_some());

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
    assert_eq!(world.hour().await, 0, "its clock has stopped");
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
    assert!(store.advance_incident(&incident, Phase::Closed).await.unwrap());
    let _ended: Timestamp = world.bench.clock.now();
}
