//! What a merchant is told of a case, by mail and in the shop, as its settings say; whatever fails on the way, once.
//! Shopify and Resend are the simulated ones, on loopback; how a case comes about stands in the scenarios.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use storeward_core::guard::{Alert, Decision, GuardSettings};
use storeward_core::oauth::{Access, Scopes};
use storeward_core::shop::ShopDomain;
use storeward_core::time::{Clock as _, DAY, HOUR, MINUTE, Timestamp};
use storeward_host::{Happened, Notice, Queue};
use storeward_local::resend::{self, Resend, Trouble};
use storeward_local::shopify::{Shopify, SimulatedOrder, SimulatedShop};
use storeward_store::{Deciding, Installation, Profile};

use crate::bench::{App, Bench, SHOP, batch, delivery, order, sample, sample_body};
use crate::support::connector::Outcome;
use crate::support::faults::{Fault, FaultPlan};

const TOKEN: &str = "test-access-token";
const QUEUE: &str = "storeward-development-notify-merchant";
const SCOPES: &str = "write_orders,write_merchant_managed_fulfillment_orders";

/// A shop with the app, and everything outside of it. Not on paused time: what goes over a socket would run into time-outs
/// that jump.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) app: App,
    pub(crate) shopify: Shopify,
    resend: Resend,
    pub(crate) installation: Installation,
}

/// Everything on.
pub(crate) fn all() -> GuardSettings {
    GuardSettings { risk_facts: true, hold_fulfilment: true, ..GuardSettings::default() }
}

impl World {
    pub(crate) async fn new(settings: &GuardSettings) -> Self {
        Self::of(settings, Some("merchant@example.com"), Some(TOKEN)).await
    }

    async fn of(settings: &GuardSettings, email: Option<&str>, token: Option<&str>) -> Self {
        let mut bench = Bench::new().await;
        let clock = Arc::new(bench.clock.clone());
        let (shopify, resend) = (Shopify::new(clock.clone()).unwrap(), Resend::new(clock));
        shopify.install(SimulatedShop {
            domain: SHOP.to_owned(),
            id: 1,
            name: "Sample".to_owned(),
            email: "merchant@example.com".to_owned(),
            access_token: TOKEN.to_owned(),
            scopes: SCOPES.split(',').map(str::to_owned).collect(),
        });
        let placed = Timestamp::parse_rfc3339("2026-11-20T15:00:00Z").unwrap();
        for id in 1..=4 {
            assert!(shopify.add_order(SHOP, SimulatedOrder::new(id, format!("#{id}"), placed)));
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = shopify.router().nest(resend::PATH, resend.router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bench.set("STOREWARD_SHOPIFY_ENDPOINT", &format!("http://{address}/{{shop}}"));
        bench.set("STOREWARD_RESEND_ENDPOINT", &format!("http://{address}{}", resend::PATH));
        let app = bench.app();
        let profile = Profile {
            domain: SHOP.parse::<ShopDomain>().unwrap(),
            email: email.map(|email| email.to_owned().into()),
            plan: None,
            shopify_id: None,
            public_domain: None,
        };
        let (store, now) = (app.store().await, bench.clock.now());
        let installation = match token {
            Some(token) => {
                let access = Access::lasting(token, Scopes::parse(SCOPES), now);
                store.connect(&profile, now, &access, now).await.unwrap()
            }
            None => store.install(&profile).await.unwrap(),
        };
        assert!(app.store().await.change_settings(&installation, settings).await.unwrap());
        Self { bench, app, shopify, resend, installation }
    }

    /// Delivers orders one after the other, and works on all that comes of each.
    async fn orders(&self, orders: &[Value]) {
        for order in orders {
            self.app.order(&format!("w{}", order["id"]), order).await;
            self.bench.drain(&self.app).await;
        }
    }

    /// Moves all clocks. The queues' is tokio's, which is stopped for as long as nothing is on a socket.
    async fn advance(&self, by: Duration) {
        tokio::time::pause();
        self.bench.advance(by).await;
        tokio::time::resume();
    }

    /// Lets hours pass, with their sweeps.
    async fn live(&self, hours: u32) {
        for _ in 0..hours {
            self.advance(HOUR).await;
            let hourly = sample("schedules/sweep-due/hourly");
            self.app.invoke("schedules/sweep-due", hourly).await.unwrap();
            self.bench.drain(&self.app).await;
        }
    }

    /// Lets what failed come again, until it did or gave up.
    async fn later(&self) {
        for _ in 0..6 {
            self.advance(MINUTE * 7).await;
            self.bench.drain(&self.app).await;
        }
    }

    /// Says once more what happened to the shop's only case.
    async fn say(&self, what: Happened) {
        let case = self.app.cases(&self.installation).await.remove(0).reference;
        let notice = Notice { tenant: self.installation.tenant.clone(), case, what };
        self.app
            .context("jobs/match-order")
            .send(Queue::NotifyMerchant, &notice, Duration::ZERO)
            .await
            .unwrap();
        self.bench.drain(&self.app).await;
    }

    /// The merchant decides on every case; the message to the job is the API's to send.
    async fn decide(&self, decision: Decision) {
        let store = self.app.store().await;
        for case in self.app.cases(&self.installation).await {
            let decided = store.decide(&self.installation, &case.reference, decision, None).await.unwrap();
            assert!(matches!(decided, Deciding::Decided(_)), "{decided:?}");
        }
    }

    pub(crate) fn mails(&self) -> usize {
        self.resend.mails().len()
    }

    /// What stands on each order in the shop: tags, assessments, holds.
    pub(crate) fn shown(&self) -> Vec<(usize, usize, usize)> {
        let orders = self.shopify.orders(SHOP).into_iter();
        orders.map(|order| (order.tags.len(), order.assessments.len(), order.holds.len())).collect()
    }

    async fn nothing_waits(&self) {
        for queue in self.bench.cloud.sqs().queues().await.unwrap() {
            assert_eq!(queue.total(), 0, "{}", queue.name);
        }
    }
}

/// An order of someone else.
fn stranger(id: u64) -> Value {
    let mut order = sample_body("webhooks/orders-create/first");
    order["id"] = json!(id);
    order["name"] = json!(format!("#{id}"));
    for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
        order[field] = json!(null);
    }
    order["email"] = json!("someone.else@example.com");
    order
}

#[tokio::test]
async fn three_clicks_are_one_case_and_one_mail_and_a_case_that_opens_again_is_one_more() {
    // Given three orders at once, whose notices are worked on at once.
    let world = World::new(&all()).await;
    let (one, two, three) = (order(1, 1), order(2, 2), order(3, 3));
    tokio::join!(world.app.order("w1", &one), world.app.order("w2", &two), world.app.order("w3", &three));
    let queue = "storeward-development-match-order";
    let matching = world.bench.receive(queue).await;
    assert_eq!(matching.len(), 3);
    join_all(
        matching
            .iter()
            .map(|message| world.app.invoke("jobs/match-order", batch(std::slice::from_ref(message)))),
    )
    .await;
    let notices = world.bench.receive(QUEUE).await;
    assert!(notices.len() >= 2);
    join_all(
        notices
            .iter()
            .map(|message| world.app.invoke("jobs/notify-merchant", batch(std::slice::from_ref(message)))),
    )
    .await;
    // When all of it comes again, as nobody deleted it.
    world.later().await;
    // Then there is one case and one mail, and every order shows it once.
    assert_eq!(
        world.app.cases(&world.installation).await.iter().map(|case| case.size).collect::<Vec<_>>(),
        [3]
    );
    assert_eq!(world.mails(), 1, "{:?}", world.resend.mails());
    assert_eq!(world.shown()[..3], [(1, 1, 1); 3]);
    let mail = &world.resend.mails()[0];
    assert_eq!(
        (mail.to.as_slice(), mail.from.as_str()),
        (&["merchant@example.com".to_owned()][..], "Storeward <alerts@example.com>")
    );
    assert!(
        mail.subject.starts_with("Possible duplicate: ") && mail.text.contains("The same e-mail address")
    );
    assert!(mail.text.contains(&format!("https://{SHOP}/admin/apps/storeward")));
    // And a fourth order that joins is no news, but after a decision it is.
    world.orders(&[order(4, 4)]).await;
    assert_eq!((world.mails(), world.shown()[3]), (1, (1, 1, 1)));
    world.decide(Decision::Dismiss).await;
    world.say(Happened::Decided).await;
    assert_eq!(world.mails(), 1);
    world.orders(&[order(5, 5)]).await;
    assert_eq!(world.mails(), 2);
    world.later().await;
    assert_eq!(world.mails(), 2);
    world.nothing_waits().await;
}

#[tokio::test]
async fn whatever_request_a_notice_ends_at_the_end_is_the_same_and_the_mail_is_one() {
    let play = async |fault: Option<(usize, Fault)>, decided: bool| {
        let world = World::new(&all()).await;
        world.orders(&[order(1, 1)]).await;
        world.app.order("w2", &order(2, 2)).await;
        let matching = world.bench.receive("storeward-development-match-order").await;
        world.app.invoke("jobs/match-order", batch(&matching)).await.unwrap();
        if decided {
            world.bench.drain(&world.app).await;
            world.decide(Decision::Dismiss).await;
            let case = world.app.cases(&world.installation).await.remove(0).reference;
            let notice = Notice { tenant: world.installation.tenant.clone(), case, what: Happened::Decided };
            let context = world.app.context("jobs/match-order");
            context.send(Queue::NotifyMerchant, &notice, Duration::ZERO).await.unwrap();
        }
        // When the process that works on the notice ends at one of its requests.
        let plan = fault.map_or_else(FaultPlan::none, |(at, fault)| FaultPlan::none().at(at, fault));
        let failing = world.bench.app_through(world.bench.transport(), plan);
        let notices = world.bench.receive(QUEUE).await;
        assert_eq!(notices.len(), 1);
        let outcome = failing.connector.run(failing.invoke("jobs/notify-merchant", batch(&notices))).await;
        let struck = match outcome {
            Outcome::Finished(answer) => answer.unwrap()["batchItemFailures"] != json!([]),
            Outcome::Crashed => true,
        };
        world.later().await;
        // Then it is as if nothing had happened.
        let holds = usize::from(!decided);
        assert_eq!(world.shown()[..3], [(1, 1, holds), (1, 1, holds), (0, 0, 0)], "{fault:?}");
        assert_eq!(world.mails(), 1, "{fault:?}");
        let notice = world.bench.items("notice").remove(0);
        assert_eq!((&notice["alerted"]["N"], &notice["mailing"]), (&json!("1"), &Value::Null), "{fault:?}");
        world.nothing_waits().await;
        (failing.connector.requests().len(), struck)
    };
    for decided in [false, true] {
        let (requests, _) = play(None, decided).await;
        assert!(requests >= 5, "{requests}");
        let mut struck = 0;
        for at in 0..requests {
            for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::TimeoutAfter] {
                struck += usize::from(play(Some((at, fault)), decided).await.1);
            }
        }
        assert!(struck >= requests, "the faults struck {struck} times in {requests} requests");
    }
}

#[tokio::test]
async fn trouble_at_resend_is_waited_out_and_a_mail_that_may_have_been_sent_is_not_sent_a_day_later() {
    for trouble in [Trouble::TooMany, Trouble::Fails, Trouble::SentAndFails] {
        let world = World::new(&GuardSettings::default()).await;
        world.resend.trouble_next(trouble);
        world.orders(&[order(1, 1), order(2, 2)]).await;
        world.later().await;
        assert_eq!((world.mails(), world.resend.requests().len()), (1, 2), "{trouble:?}");
        world.nothing_waits().await;
    }
    // What came of a try is known only where Resend said no; a day later its memory is gone.
    for (trouble, sent) in [(Trouble::TooMany, 1), (Trouble::Fails, 0), (Trouble::SentAndFails, 1)] {
        let world = World::new(&GuardSettings::default()).await;
        world.resend.trouble_next(trouble);
        world.orders(&[order(1, 1), order(2, 2)]).await;
        for _ in 0..6 {
            // Nobody works on it until it is a dead letter.
            world.advance(MINUTE * 7).await;
            world.bench.receive(QUEUE).await;
        }
        world.advance(DAY).await;
        world.say(Happened::Opened { newcomers: Vec::new() }).await;
        assert_eq!(world.mails(), sent, "{trouble:?}");
        world.say(Happened::Opened { newcomers: Vec::new() }).await;
        assert_eq!(world.mails(), sent, "{trouble:?}");
    }
}

#[tokio::test]
async fn trouble_at_shopify_keeps_nothing_else_from_being_done() {
    // Given an order that Shopify does not know, one that was sent, and a bad moment.
    let world = World::new(&all()).await;
    let mut sent = world.shopify.orders(SHOP).remove(0);
    sent.fulfilled = true;
    world.shopify.add_order(SHOP, sent);
    world.shopify.forget(SHOP, 2);
    for _ in 0..2 {
        world.shopify.fail_next(StatusCode::BAD_GATEWAY);
    }
    // When the case opens, then the mail is there at once.
    world.orders(&[order(1, 1), order(2, 2)]).await;
    assert_eq!(world.mails(), 1);
    // And what could be shown is shown in the end: a tag on the one that was sent.
    world.later().await;
    assert_eq!(world.shown()[0], (1, 0, 0));
    assert_eq!(world.mails(), 1);
    world.nothing_waits().await;
    // And being told to wait is waited for.
    let world = World::new(&all()).await;
    world.shopify.drain(SHOP);
    world.advance(Duration::from_millis(1)).await;
    world.orders(&[order(1, 1), order(2, 2)]).await;
    world.later().await;
    assert_eq!((world.shown()[..2].to_vec(), world.mails()), (vec![(1, 1, 1); 2], 1));
}

#[tokio::test]
async fn what_is_switched_off_or_has_nobody_to_go_to_is_not_done() {
    let off = GuardSettings { tag_orders: false, alert: Alert::Off, ..GuardSettings::default() };
    let world = World::new(&off).await;
    world.orders(&[order(1, 1), order(2, 2)]).await;
    assert_eq!((world.shopify.calls().len(), world.resend.requests().len()), (0, 0));
    assert_eq!(world.app.cases(&world.installation).await.len(), 1);
    // Switched on later, what opened before is not told of.
    world.app.store().await.change_settings(&world.installation, &GuardSettings::default()).await.unwrap();
    world.orders(&[order(3, 3)]).await;
    assert_eq!((world.mails(), world.shown()[2]), (0, (1, 0, 0)));
    // No token: the mail alone. No address: the shop alone. A token that is void: the mail.
    for (email, token, mails, tags) in [
        (Some("merchant@example.com"), None, 1, 0),
        (None, Some(TOKEN), 0, 1),
        (Some("merchant@example.com"), Some("test-void-token"), 1, 0),
    ] {
        let world = World::of(&all(), email, token).await;
        world.orders(&[order(1, 1), order(2, 2)]).await;
        assert_eq!((world.mails(), world.shown()[0].0), (mails, tags));
        world.nothing_waits().await;
    }
}

#[tokio::test]
async fn hostile_names_stay_text() {
    let world = World::new(&all()).await;
    let hostile = "<script>alert(1)</script>\r\nBcc: everyone@example.com \u{202e}";
    let mut second = order(2, 2);
    second["name"] = json!(hostile);
    second["currency"] = json!("\"><img src=x>");
    world.orders(&[order(1, 1), second]).await;
    let mail = world.resend.mails().remove(0);
    assert!(
        !mail.html.contains("<script") && !mail.html.contains("<img") && mail.html.contains("&lt;script&gt;")
    );
    assert!(!mail.subject.contains(['\r', '\n']) && mail.subject.contains("<script>"));
    assert_eq!(mail.to, ["merchant@example.com"]);
    let facts = &world.shopify.orders(SHOP)[0].assessments[0].facts;
    assert!(facts.iter().all(|(fact, _)| fact.chars().count() <= 256 && !fact.contains('\n')), "{facts:?}");
}

#[tokio::test]
async fn confirmed_duplicates_are_held_until_one_of_them_is_cancelled() {
    // Given two orders that are held, and a merchant who says that they are duplicates.
    let world = World::new(&all()).await;
    world.orders(&[order(1, 1), order(2, 2)]).await;
    world.decide(Decision::Confirm).await;
    world.say(Happened::Decided).await;
    // Then both wait still: letting go would send both.
    let holds = || world.shown().into_iter().take(2).map(|(_, _, holds)| holds).collect::<Vec<_>>();
    assert_eq!(holds(), [1, 1]);
    // When the merchant cancels one of them in the shop, the other is free to go.
    let mut cancelled = order(2, 2);
    cancelled["cancelled_at"] = json!("2026-11-20T15:30:00Z");
    cancelled["updated_at"] = json!("2026-11-20T15:30:00Z");
    let event = delivery("orders/cancelled", "cancelled", &cancelled);
    let (status, _) = world.app.post("webhooks/orders-cancelled", event).await;
    assert_eq!(status, 200);
    world.bench.drain(&world.app).await;
    assert_eq!(holds(), [0, 0]);
    world.nothing_waits().await;
}

#[tokio::test]
async fn a_hold_is_put_on_and_let_go_with_the_decision_and_nobody_elses_with_it() {
    let world = World::new(&all()).await;
    world.orders(&[order(1, 1), order(2, 2)]).await;
    let holds: BTreeSet<String> = world
        .shopify
        .orders(SHOP)
        .iter()
        .flat_map(|order| &order.holds)
        .map(|hold| hold.handle.clone())
        .collect();
    assert_eq!(holds.len(), 1, "one name for each case: {holds:?}");
    assert!(holds.iter().all(|handle| handle.len() <= 64));
    let mut other = world.shopify.orders(SHOP).remove(0);
    assert_eq!(
        (other.holds[0].reason.as_str(), other.holds[0].notes.as_deref().map(|notes| notes.contains("#2"))),
        ("OTHER", Some(true))
    );
    let mut theirs = other.holds[0].clone();
    (theirs.id, theirs.handle) = (4_711, "another-app".to_owned());
    other.holds.push(theirs);
    world.shopify.add_order(SHOP, other);
    // When the merchant decides, also if the switch is off by now.
    world.app.store().await.change_settings(&world.installation, &GuardSettings::default()).await.unwrap();
    world.decide(Decision::Dismiss).await;
    world.say(Happened::Decided).await;
    // Then only what this case held is free again, and saying it twice asks Shopify nothing more.
    let left: Vec<Vec<String>> = world
        .shopify
        .orders(SHOP)
        .iter()
        .take(2)
        .map(|order| order.holds.iter().map(|hold| hold.handle.clone()).collect())
        .collect();
    assert_eq!(left, [vec!["another-app".to_owned()], vec![]]);
    let calls = world.shopify.calls().len();
    world.say(Happened::Decided).await;
    assert_eq!(world.shopify.calls().len(), calls);
    // And a notice from before the decision that comes late puts nothing on again.
    world.say(Happened::Opened { newcomers: Vec::new() }).await;
    assert_eq!(world.shown()[1].2, 0);
    assert!(
        world.shopify.calls().iter().all(|call| !call.fields.iter().any(|field| field.contains("ancel")))
    );
}

#[tokio::test]
async fn a_digest_comes_once_a_day_at_its_hour_and_tells_of_all_open_cases() {
    let digest = GuardSettings { alert: Alert::Digest, digest_hour: 7, ..GuardSettings::default() };
    let world = World::new(&digest).await;
    world.orders(&[order(1, 1), order(2, 2), stranger(21), stranger(22), order(3, 3)]).await;
    assert_eq!(world.app.cases(&world.installation).await.len(), 2);
    assert_eq!((world.mails(), world.bench.items("digest").len()), (0, 1));
    // The bench begins at 16:00: at 06:00 there is none, by 08:00 there is one of both cases.
    world.live(14).await;
    assert_eq!(world.mails(), 0);
    world.resend.trouble_next(Trouble::SentAndFails);
    world.live(1).await;
    world.later().await;
    assert_eq!(world.mails(), 1);
    let mail = world.resend.mails().remove(0);
    assert_eq!(mail.at.to_rfc3339().get(..13), Some("2026-11-21T07"));
    assert_eq!(mail.subject, "2 cases of possible duplicates");
    assert!(
        ["#1,", "#2,", "#3,", "#21,", "#22,"].iter().all(|name| mail.text.contains(name)),
        "{}",
        mail.text
    );
    assert!(world.bench.items("digest").is_empty());
    world.live(30).await;
    assert_eq!(world.mails(), 1);
    // What was decided by then is left out; with nothing left, or alerts off, there is no mail.
    for off in [false, true] {
        let world = World::new(&digest).await;
        world.orders(&[order(1, 1), order(2, 2)]).await;
        if off {
            let settings = GuardSettings { alert: Alert::Off, ..digest.clone() };
            world.app.store().await.change_settings(&world.installation, &settings).await.unwrap();
        } else {
            world.decide(Decision::Dismiss).await;
        }
        world.live(24).await;
        assert_eq!((world.mails(), world.bench.items("digest").len()), (0, 0));
        let rows = world.bench.items("due").into_iter().filter(|row| row["what"]["S"] == "digest");
        assert_eq!(rows.count(), 0);
    }
}
