//! Who may get what, from end to end: a change of sub-processors is told and waits, an objection stops what it is about,
//! and every function that calls out is watched by the alarm. Which bytes reached whom stands in `leaks`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::data_map::{Category, Processor};
use storeward_core::egress::{
    Categories, DeclaredUse, InForce, NOTICE, Refusal, Register, SubProcessor, Use,
};
use storeward_core::guard::{Alert, GuardSettings};
use storeward_core::time::{Clock as _, DAY, Timestamp};
use storeward_host::Setting;
use storeward_local::resend::{self, Resend, Trouble};
use storeward_store::{Installation, Profile, What};

use crate::bench::{App, Bench, SHOP, order, root, sample};

/// When every test begins (2026-11-20T16:00:00Z), and thirty days later.
const ANNOUNCED: Timestamp = Timestamp::from_seconds(1_795_190_400);
const EFFECTIVE: Timestamp = Timestamp::from_seconds(1_795_190_400 + 30 * 86_400);

/// A register as it would be with Stripe about to come, and Resend as it is.
pub(crate) const CHANGING: Register = Register {
    processors: &[
        Register::CURRENT.processors[0],
        Register::CURRENT.processors[1],
        Register::CURRENT.processors[2],
        SubProcessor {
            processor: Processor::Stripe,
            name: "Stripe",
            essential: false,
            without: "there is no paid plan",
            uses: &[DeclaredUse {
                purpose: Use::Billing,
                categories: Categories::of(&[Category::MerchantAccount]),
                region: "United States",
                in_force: InForce::change(ANNOUNCED, EFFECTIVE),
            }],
        },
    ],
};

struct World {
    bench: Bench,
    app: App,
    resend: Resend,
    installation: Installation,
}

impl World {
    /// A shop that is here since before the announcement, with an address.
    async fn new(register: Register) -> Self {
        let mut bench = Bench::new().await;
        bench.register = register;
        let resend = Resend::new(Arc::new(bench.clock.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().nest(resend::PATH, resend.router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bench.set("STOREWARD_RESEND_ENDPOINT", &format!("http://{address}{}", resend::PATH));
        let app = bench.app();
        let profile = Profile {
            email: Some("merchant@example.com".to_owned().into()),
            ..app.install().await.profile().unwrap()
        };
        let installation = app.store().await.install(&profile).await.unwrap();
        app.store().await.member_opened(&installation, "42").await.unwrap();
        Self { bench, app, resend, installation }
    }

    /// Moves all clocks while nothing is on a socket.
    async fn advance(&self, by: Duration) {
        tokio::time::pause();
        self.bench.advance(by).await;
        tokio::time::resume();
    }

    /// The daily run, and the work it makes.
    async fn daily(&self) -> u64 {
        let event = sample("schedules/announce-processors/daily");
        let ran = self.app.invoke("schedules/announce-processors", event).await.unwrap();
        self.bench.drain(&self.app).await;
        ran["acted_on"].as_u64().unwrap()
    }

    async fn latest(&self) -> Installation {
        self.app.store().await.tenant(&self.installation.tenant).await.unwrap().unwrap()
    }

    async fn ask(&self, key: &str, name: &str) -> (u64, Value) {
        let shop = &self.installation.tenant.shop;
        let actor = self.app.store().await.actor(shop, "42");
        let event = json!({
            "routeKey": key, "headers": {}, "pathParameters": {"name": name}, "body": "",
            "requestContext": {"authorizer": {"lambda": {"shop": shop, "actor": actor}}},
        });
        let answer = self.app.invoke("api/processors", event).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    /// How the list shows a sub-processor.
    async fn shown(&self, id: &str) -> Value {
        let (status, list) = self.ask("GET /v1/processors", "").await;
        assert_eq!(status, 200, "{list}");
        list["processors"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone()
    }

    async fn billing(&self) -> Result<(), Refusal> {
        let account = Categories::of(&[Category::MerchantAccount]);
        let context = self.app.context("jobs/notify-merchant");
        context.permitted(&self.latest().await, Processor::Stripe, Use::Billing, account)
    }

    async fn entries(&self, what: What) -> usize {
        let (store, mut day, mut found) = (self.app.store().await, ANNOUNCED, 0);
        while day <= self.bench.clock.now() + DAY {
            let entries = store.ledger_of(&self.installation.tenant.shop, day).await.unwrap();
            found += entries.iter().filter(|entry| entry.what == what).count();
            day = day + DAY;
        }
        found
    }
}

// Not on paused time: what goes over a socket would run into time-outs that jump.
#[tokio::test]
async fn a_change_is_told_once_and_counts_for_a_merchant_thirty_days_later() {
    // Given a merchant, and a sub-processor that is announced to come in thirty days.
    let world = World::new(CHANGING).await;
    assert_eq!(world.shown("stripe").await["uses"][0]["state"], "announced");
    assert_eq!(world.billing().await, Err(Refusal::NotInForce(None)));
    // When the daily run comes two days late, twice, and Resend loses its first answer.
    world.advance(DAY * 2).await;
    world.resend.trouble_next(Trouble::SentAndFails);
    assert_eq!(world.daily().await, 1);
    assert_eq!((world.resend.mails().len(), world.entries(What::ProcessorAnnounced).await), (1, 0));
    world.advance(Duration::from_mins(7)).await;
    world.bench.drain(&world.app).await;
    let told = world.bench.clock.now();
    assert_eq!(world.daily().await, 0, "it was told");
    // Then one mail says it, the ledger knows, and it counts thirty days after the merchant was told.
    let mails = world.resend.mails();
    assert_eq!((mails.len(), mails[0].to.as_slice()), (1, &["merchant@example.com".to_owned()][..]));
    assert!(
        mails[0].subject.contains("Stripe") && mails[0].text.contains("from 2026-12-22 on"),
        "{}",
        mails[0].text
    );
    assert_eq!(world.entries(What::ProcessorAnnounced).await, 1);
    let from = told + NOTICE;
    assert_eq!(world.billing().await, Err(Refusal::NotInForce(Some(from))));
    let stripe = world.shown("stripe").await;
    assert_eq!(stripe["uses"][0]["in_force_from"], from.to_rfc3339());
    assert_eq!(stripe["uses"][0]["told_at"], told.to_rfc3339());
    world.advance(NOTICE).await;
    assert_eq!(world.billing().await, Ok(()));
    assert_eq!(world.shown("stripe").await["uses"][0]["state"], "in_force");
    assert_eq!((world.daily().await, world.resend.mails().len()), (0, 1));
}

#[tokio::test]
async fn who_cannot_be_told_by_mail_goes_on_as_before_until_the_change_was_read_in_the_app() {
    // Given a merchant who objects to mail.
    let world = World::new(CHANGING).await;
    assert_eq!(world.ask("POST /v1/processors/{name}/objection", "resend").await.0, 200);
    // When the daily run comes, and comes again when the change is in effect.
    assert_eq!(world.daily().await, 1);
    world.advance(NOTICE * 2).await;
    assert_eq!((world.daily().await, world.resend.requests().len()), (1, 0));
    // Then nothing was sent and nothing changed, until thirty days after the merchant read of it.
    assert_eq!(world.billing().await, Err(Refusal::NotInForce(None)));
    for _ in 0..2 {
        assert_eq!(world.ask("POST /v1/processors/acknowledgement", "").await.0, 204);
    }
    assert_eq!((world.daily().await, world.entries(What::ProcessorAnnounced).await), (0, 1));
    world.advance(NOTICE.saturating_sub(Duration::from_mins(1))).await;
    assert!(world.billing().await.is_err());
    world.advance(Duration::from_mins(1)).await;
    assert_eq!(world.billing().await, Ok(()));
}

#[tokio::test]
async fn an_objection_stops_what_it_is_about_says_so_and_can_be_withdrawn() {
    // Given a merchant who wants a mail for each case, and objects to who carries it.
    let world = World::new(Register::CURRENT).await;
    let settings = GuardSettings { alert: Alert::Each, ..GuardSettings::default() };
    assert!(world.app.store().await.change_settings(&world.installation, &settings).await.unwrap());
    for _ in 0..2 {
        let (status, shown) = world.ask("POST /v1/processors/{name}/objection", "resend").await;
        assert_eq!((status, shown["objected_at"].as_str()), (200, Some(ANNOUNCED.to_rfc3339().as_str())));
        assert!(shown["without"].as_str().unwrap().contains("no e-mail"), "{shown}");
    }
    assert_eq!(world.entries(What::ProcessorObjected).await, 1);
    // When orders become a case.
    world.bench.two_orders(&world.app).await;
    // Then it stands, and nobody was given anything; what the service cannot do without cannot be objected to.
    assert_eq!(world.app.cases(&world.installation).await.len(), 1);
    assert_eq!((world.resend.requests().len(), world.bench.messages().await), (0, 0));
    for (name, status) in [("shopify", 409), ("cloud-host", 409), ("nobody", 404)] {
        let (answered, body) = world.ask("POST /v1/processors/{name}/objection", name).await;
        assert_eq!(answered, status, "{name}: {body}");
    }
    // And withdrawn, the next case is told of again.
    let (status, shown) = world.ask("DELETE /v1/processors/{name}/objection", "resend").await;
    assert_eq!((status, &shown["objected_at"]), (200, &Value::Null));
    assert_eq!(world.entries(What::ProcessorObjectionWithdrawn).await, 1);
    for id in 11..=12 {
        let mut other = order(id, 1);
        other["email"] = json!("someone.else@example.com");
        other["contact_email"] = json!("someone.else@example.com");
        other["phone"] = json!("+12125550188");
        other["customer"] = Value::Null;
        other["billing_address"] = Value::Null;
        other["shipping_address"] = Value::Null;
        world.app.order(&format!("w{id}"), &other).await;
        world.bench.drain(&world.app).await;
    }
    assert_eq!(world.resend.mails().len(), 1);
    let bytes = world.resend.reached();
    assert!(bytes.iter().all(|reached| reached.purpose == Use::CaseMail), "{bytes:?}");
}

#[tokio::test]
async fn who_installs_when_a_change_is_in_effect_is_not_told_of_it() {
    let mut bench = Bench::new().await;
    bench.register = CHANGING;
    bench.advance(NOTICE).await;
    let app = bench.app();
    let installation = app.install().await;
    let daily = sample("schedules/announce-processors/daily");
    let ran = app.invoke("schedules/announce-processors", daily).await.unwrap();
    assert_eq!((ran["acted_on"].as_u64(), bench.messages().await), (Some(0), 0));
    let account = Categories::of(&[Category::MerchantAccount]);
    let context = app.context("jobs/notify-merchant");
    assert_eq!(context.permitted(&installation, Processor::Stripe, Use::Billing, account), Ok(()));
    assert_eq!(installation.profile().unwrap().domain.as_str(), SHOP);
}

#[test]
fn an_alarm_watches_the_log_of_every_function_that_calls_out() {
    let text = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let template: serde_norway::Value = serde_norway::from_str(&text).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    let named = |value: &serde_norway::Value| match value {
        serde_norway::Value::Tagged(tagged) => tagged.value.as_str().unwrap().to_owned(),
        plain => plain.as_str().unwrap().to_owned(),
    };
    let filters =
        resources.values().filter(|resource| resource["Type"].as_str() == Some("AWS::Logs::MetricFilter"));
    let alarm = &template["Resources"]["EgressRefusedAlarm"]["Properties"];
    let of_the_gate = |filter: &&serde_norway::Value| {
        filter["Properties"]["MetricTransformations"][0]["MetricName"] == alarm["MetricName"]
    };
    let watched: BTreeSet<String> = filters
        .filter(of_the_gate)
        .map(|filter| {
            let properties = &filter["Properties"];
            assert_eq!(properties["FilterPattern"].as_str(), Some("{ $.message = \"egress refused\" }"));
            let metric = &properties["MetricTransformations"][0];
            assert_eq!(metric["MetricNamespace"], alarm["Namespace"]);
            named(&properties["LogGroupName"])
        })
        .collect();
    let calls_out = |handler: &str| {
        let settings = bootstrap::function(handler).unwrap().settings();
        let outside = [
            Setting::ShopifyEndpoint,
            Setting::ResendEndpoint,
            Setting::GoogleTokenUrl,
            Setting::GmailEndpoint,
            Setting::AnthropicEndpoint,
        ];
        outside.iter().any(|setting| settings.contains(setting))
    };
    let functions = resources.values().map(|resource| &resource["Properties"]);
    let calling: BTreeSet<String> = functions
        .filter(|properties| properties["Handler"].as_str().is_some_and(calls_out))
        .map(|properties| named(&properties["LoggingConfig"]["LogGroup"]))
        .collect();
    assert_eq!(watched, calling);
    assert!(calling.len() > 5);
    // The words are those that the gate logs.
    let gate = std::fs::read_to_string(root().join("shared/clients/src/http.rs")).unwrap();
    assert!(gate.contains("\"egress refused\");"));
}
