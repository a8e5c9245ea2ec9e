//! Rights requests as one thing: each kind, opened in each way, followed to its end; links, proofs, deadlines.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::rights::{Corrections, OpenedBy, Person, Refusal, RightsKind, RightsState};
use storeward_core::time::{Clock as _, DAY, HOUR, MINUTE};
use storeward_store::{
    AccessEntry, Asked, Asking, By, Entry, Installation, LogRange, Proof, PurgeReport, RecordRef,
    RequestFilter, What,
};

use crate::bench::{App, Bench, SHOP, batch, order, sample, sample_body};
use crate::support::connector::Outcome;
use crate::support::faults::{Fault, FaultPlan};

const EMAIL: &str = "sample.customer@example.com";

struct World {
    bench: Bench,
    app: App,
    installation: Installation,
}

/// What an operator asks for somebody.
fn by_operator(kind: RightsKind, email: &str) -> Asking {
    let person = Person { email: Some(email.to_owned().into()), ..Person::default() };
    let mut corrections = Corrections::default();
    if kind == RightsKind::Rectification {
        corrections.email = Some("put.right@example.com".to_owned().into());
    }
    Asking { kind, by: OpenedBy::Operator, person, corrections }
}

impl World {
    /// A shop with a case of two orders of one person, and a third person's order.
    async fn new() -> Self {
        let bench = Bench::new().await;
        let app = bench.app();
        let installation = app.install().await;
        app.store().await.member_opened(&installation, "42").await.unwrap();
        bench.two_orders(&app).await;
        let mut other = order(3, 0);
        for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
            other[field] = json!(null);
        }
        other["email"] = json!("someone.else@example.com");
        app.order("w3", &other).await;
        bench.drain(&app).await;
        Self { bench, app, installation }
    }

    /// Asks `api/requests` as API Gateway does.
    async fn ask(&self, key: &str, id: &str, body: &Value, headers: Value) -> (u64, Value) {
        let store = self.app.store().await;
        let shop = store.shop_id(&SHOP.parse().unwrap());
        let actor = store.actor(&shop, "42");
        let event = json!({
            "routeKey": key, "headers": headers, "pathParameters": {"id": id}, "body": body.to_string(),
            "requestContext": {"authorizer": {"lambda": {"shop": shop, "actor": actor}}},
        });
        let answer = self.app.invoke("api/requests", event).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    async fn open(&self, body: &Value) -> Value {
        let (status, answer) = self.ask("POST /v1/requests", "", body, json!({})).await;
        assert_eq!(status, 202, "{answer}");
        answer
    }

    async fn get(&self, id: &str) -> Value {
        let (status, answer) = self.ask("GET /v1/requests/{id}", id, &Value::Null, json!({})).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn link(&self, id: &str) -> (u64, Value) {
        self.ask("POST /v1/requests/{id}/link", id, &Value::Null, json!({})).await
    }

    /// Follows a link: the whole answer.
    async fn fetch(&self, path: &str) -> Value {
        let token = path.strip_prefix("/v1/exports/").unwrap();
        let event = json!({"routeKey": "GET /v1/exports/{token}", "pathParameters": {"token": token}});
        self.app.invoke("api/exports", event).await.unwrap()
    }

    /// What the access log has of documents that were fetched, the latest first.
    async fn fetched(&self) -> Vec<AccessEntry> {
        let until = self.bench.clock.now();
        let range = LogRange { since: until - DAY, until, generation: None, before: None, limit: 100 };
        let shop = &self.installation.tenant.shop;
        let log = self.app.store().await.access_log(shop, &range).await.unwrap();
        log.entries.into_iter().filter(|entry| entry.route == "GET /v1/exports/{token}").collect()
    }

    /// Asks `operator/rights` to carry a request on, as somebody of its support does.
    async fn carry_on(&self, id: &str, step: &str) -> (u64, Value) {
        let mut event = sample("operator/rights/link");
        event["pathParameters"] = json!({"shop": self.installation.tenant.shop, "id": id, "step": step});
        let answer = self.app.invoke("operator/rights", event).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    async fn asked(&self, id: &str) -> Asked {
        let reference: RecordRef = format!("request/{id}").parse().unwrap();
        self.app.store().await.asked(&self.installation.tenant, &reference).await.unwrap().unwrap()
    }

    async fn entries(&self, what: What) -> Vec<Entry> {
        let day = self.bench.clock.now();
        let entries = self.app.store().await.ledger_of(&self.installation.tenant.shop, day).await.unwrap();
        entries.into_iter().filter(|entry| entry.what == what).collect()
    }

    async fn sweep(&self) {
        self.app.invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly")).await.unwrap();
    }

    /// Opens a request of which the message is lost: nobody carries it out before the sweep sends another.
    async fn open_and_lose(&self, body: &Value) -> String {
        let queue = "storeward-development-redact-subject";
        let opened = self.open(body).await;
        for message in self.bench.receive(queue).await {
            self.bench.delete(queue, &message).await;
        }
        opened["id"].as_str().unwrap().to_owned()
    }

    /// What comes of another order of the person.
    async fn next_order(&self, id: u64) -> String {
        self.bench.advance(MINUTE).await;
        let mut next = order(id, 1);
        next["created_at"] = json!(self.bench.clock.now().to_rfc3339());
        let answer = self.app.order(&format!("w{id}"), &next).await;
        self.bench.drain(&self.app).await;
        let because = answer["because"].as_str().map(|because| format!(" {because}")).unwrap_or_default();
        format!("{}{because}", answer["outcome"].as_str().unwrap())
    }

    fn sealed(&self, kind: &str) -> usize {
        self.bench.items(kind).iter().filter(|item| item.get("sealed").is_some()).count()
    }

    /// Opens a request as an operator does.
    async fn written_in(&self, name: &str, kind: RightsKind, email: &str) -> RecordRef {
        let store = self.app.store().await;
        let acceptance = store.open_request(&self.installation, name, &by_operator(kind, email)).unwrap();
        store.commit(acceptance).await.unwrap();
        let asked = store.asked_as(&self.installation, OpenedBy::Operator, name).await.unwrap().unwrap();
        assert_eq!((asked.state, asked.by), (RightsState::Proving, OpenedBy::Operator));
        asked.reference
    }
}

#[tokio::test(start_paused = true)]
async fn a_merchant_asks_for_a_person_and_fetches_everything_that_is_stored() {
    let world = World::new().await;
    for (kind, person) in [
        ("access", json!({"email": EMAIL})),
        ("portability", json!({"phone": "+12025550143"})),
        ("access", json!({"customer_id": 7_000_000_000_001_u64})),
    ] {
        let mut body = person.clone();
        body["kind"] = json!(kind);
        let opened = world.open(&body).await;
        let id = opened["id"].as_str().unwrap();
        assert_eq!((&opened["state"], &opened["kind"]), (&json!("received"), &json!(kind)));
        assert_eq!(
            (&opened["opened_by"], &opened["due_at"]),
            (&json!("merchant"), &json!("2026-12-20T16:00:00Z"))
        );
        // Not before it is put together.
        assert_eq!(world.link(id).await.0, 409);
        world.bench.drain(&world.app).await;
        assert_eq!(world.get(id).await["state"], "ready");
        let (status, link) = world.link(id).await;
        assert_eq!(status, 200, "{link}");
        let json = world.fetch(link["json"].as_str().unwrap()).await;
        assert_eq!(json["statusCode"], 200, "{json}");
        let html = world.fetch(link["html"].as_str().unwrap()).await;
        for (answer, file) in [(&json, "subject-export.json"), (&html, "subject-export.html")] {
            let headers = &answer["headers"];
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["referrer-policy"], "no-referrer");
            assert_eq!(headers["content-disposition"], format!("attachment; filename=\"{file}\""));
            assert!(headers["content-security-policy"].as_str().unwrap().contains("default-src 'none'"));
        }
        // Once it was fetched it is done, and the ledger says so once.
        let done = world.get(id).await;
        assert_eq!((&done["state"], done["finished_at"].is_string()), (&json!("done"), true));
        let document: Value = serde_json::from_str(json["body"].as_str().unwrap()).unwrap();
        assert_eq!(document["format"], "storeward-subject-export-1");
        if person["customer_id"].is_null() {
            let page = html["body"].as_str().unwrap();
            for said in [EMAIL, "+12025550143", "1 Example Street", "55.88", "#1"] {
                assert!(document.to_string().contains(said), "{said}: {document}");
                assert!(page.contains(said) || said.starts_with('+') && page.contains("&#43;"), "{said}");
            }
        }
        assert!(!document.to_string().contains("someone.else"), "{document}");
    }
    assert_eq!(world.entries(What::ExportDelivered).await.len(), 3);
    assert_eq!(world.entries(What::ExportLinked).await.len(), 3);
    assert_eq!(world.entries(What::RequestOpened).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_is_complete_by_the_data_map() {
    // Given something of every kind that a person's export shows.
    let world = World::new().await;
    let case = world.app.cases(&world.installation).await.remove(0).reference;
    let never = storeward_core::guard::Decision::NeverThisCustomer;
    let store = world.app.store().await;
    store.decide(&world.installation, &case, never, None).await.unwrap();
    let now = world.bench.clock.now();
    Box::pin(crate::mail_store::whole_desk_of(store, &world.installation, now, EMAIL)).await;
    world.open(&json!({"kind": "objection", "email": EMAIL})).await;
    world.bench.drain(&world.app).await;
    let opened = world.open(&json!({"kind": "access", "email": EMAIL})).await;
    world.bench.drain(&world.app).await;
    let (_, link) = world.link(opened["id"].as_str().unwrap()).await;
    let answer = world.fetch(link["json"].as_str().unwrap()).await;
    let document: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    // Then each of them is in the document, as many as are stored.
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for record in document["records"].as_array().unwrap() {
        *shown.entry(record["kind"].as_str().unwrap()).or_default() += 1;
        for member in ["holds", "purpose"] {
            assert!(record["about"][member].as_str().is_some_and(|said| !said.is_empty()), "{record}");
        }
        assert!(record["data"].is_object(), "{record}");
    }
    for kind in Kind::ALL.into_iter().filter(|kind| kind.row().exported) {
        assert!(shown.contains_key(kind.name()), "{} is missing: {shown:?}", kind.name());
    }
    assert_eq!(shown["order"], 2, "both orders, though they are not to be used");
    assert_eq!(shown["exception"], world.bench.items("exception").len());
    // And every value that its orders hold of the person.
    let text = document.to_string();
    let body = sample_body("webhooks/orders-create/first");
    for address in ["billing_address", "shipping_address"] {
        for field in ["first_name", "last_name", "address1", "city", "zip", "country_code"] {
            let value = body[address][field].as_str().unwrap();
            assert!(text.contains(value), "{address}.{field}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_works_for_minutes_for_one_document_and_one_link_at_a_time() {
    let world = World::new().await;
    let opened = world.open(&json!({"kind": "access", "email": EMAIL})).await;
    let id = opened["id"].as_str().unwrap();
    world.bench.drain(&world.app).await;
    let first = world.link(id).await.1["json"].as_str().unwrap().to_owned();
    let second = world.link(id).await.1["json"].as_str().unwrap().to_owned();
    assert!(!second.contains("example") && !second.contains('@'), "nothing of a person in the address");
    assert_eq!(world.fetch(&first).await["statusCode"], 404, "another one was made");
    let mut forged = second.clone().into_bytes();
    let at = forged.len() - ".json".len() - 1;
    forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
    for wrong in
        [String::from_utf8(forged).unwrap(), "/v1/exports/.json".to_owned(), second.replace(".json", "")]
    {
        let answer = world.fetch(&wrong).await;
        assert_eq!(answer["statusCode"], 404, "{answer}");
    }
    assert_eq!(world.get(id).await["state"], "ready", "nobody was given anything");
    // Nothing of the secret is stored or logged in the clear.
    let secret = second.rsplit('-').next().unwrap().trim_end_matches(".json");
    assert!(!world.bench.dump().values().flatten().any(|item| item.to_string().contains(secret)));
    assert_eq!(world.fetch(&second).await["statusCode"], 200);
    world.bench.advance(MINUTE * 14).await;
    assert_eq!(world.fetch(&second).await["statusCode"], 200, "as a page too, or again");
    world.bench.advance(MINUTE * 2).await;
    assert_eq!(world.fetch(&second).await["statusCode"], 404);
    assert_eq!(world.link(id).await.0, 200, "as long as it is kept there can be another");
}

/// Follows a link from an address.
async fn follow(app: &App, path: &str, ip: &str) -> Value {
    let mut event = sample("api/exports/fetch");
    event["pathParameters"]["token"] = json!(path.strip_prefix("/v1/exports/").unwrap());
    event["requestContext"]["http"]["sourceIp"] = json!(ip);
    app.invoke("api/exports", event).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_a_link_stands_in_the_access_log_each_time_before_anything_is_given() {
    let world = World::new().await;
    let opened = world.open(&json!({"kind": "access", "email": EMAIL})).await;
    let id = opened["id"].as_str().unwrap();
    world.bench.drain(&world.app).await;
    let path = world.link(id).await.1["json"].as_str().unwrap().to_owned();
    // Who reads nothing read nothing.
    assert_eq!(follow(&world.app, &path.replace(".json", ".7.json"), "203.0.113.7").await["statusCode"], 404);
    assert_eq!(world.fetched().await, Vec::new());
    // Given a process that stops after each of its requests in turn
    for at in 0.. {
        let plan = FaultPlan::none().at(at, Fault::CrashAfter);
        let stopped = world.bench.app_through(world.bench.transport(), plan);
        let before = world.fetched().await.len();
        let ended = stopped.connector.run(follow(&stopped, &path, "203.0.113.7")).await;
        let logged = world.fetched().await.len();
        // Then nothing counts as given of which the log does not tell.
        assert!(world.asked(id).await.state == RightsState::Ready || logged > 0, "stopped at {at}");
        if let Outcome::Finished(answer) = ended {
            assert_eq!((answer["statusCode"].as_u64(), logged), (Some(200), before + 1));
            break;
        }
    }
    assert_eq!(world.asked(id).await.state, RightsState::Done);
    // And each further time it is told of again, with where it was fetched from
    let before = world.fetched().await.len();
    for ip in ["203.0.113.7", "203.0.113.8"] {
        world.bench.advance(MINUTE).await;
        assert_eq!(follow(&world.app, &path, ip).await["statusCode"], 200);
    }
    let log = world.fetched().await;
    assert_eq!(log.len(), before + 2);
    let by = By::Link(id.to_owned());
    assert!(log.iter().all(|entry| entry.by == by && entry.status == 200 && entry.role.is_none()), "{log:?}");
    let ips: Vec<&str> = log.iter().map(|entry| entry.ip.as_deref().unwrap()).collect();
    assert!(ips[0] != ips[1] && ips[1] == ips[2] && ips[0].len() == 64, "hashed: {ips:?}");
    assert_eq!(log[0].clone().for_review("shop").who, format!("link of request {id}"));
    // And the ledger says by which link it was given, once.
    let given = world.entries(What::ExportDelivered).await;
    assert_eq!((given.len(), given[0].by.as_ref()), (1, Some(&by)));
}

#[tokio::test(start_paused = true)]
async fn after_an_uninstall_an_operator_makes_the_link_and_what_nobody_fetched_ends_in_the_ledger() {
    let world = World::new().await;
    let (mut ids, people) = (Vec::new(), [EMAIL, "someone.else@example.com"]);
    for email in people {
        let opened = world.open(&json!({"kind": "access", "email": email})).await;
        ids.push(opened["id"].as_str().unwrap().to_owned());
    }
    world.bench.drain(&world.app).await;
    let [fetched, left] = &ids[..] else { panic!("{ids:?}") };
    let (told, nothing) =
        (|said: &Value| said["type"].clone(), json!("urn:storeward:problem:nothing-to-fetch"));
    // As long as the app is installed links are its merchant's to make.
    let (status, said) = world.carry_on(fetched, "link").await;
    assert_eq!((status, told(&said)), (409, nothing.clone()));
    world.app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    let (status, said) = world.link(fetched).await;
    assert_eq!((status, told(&said)), (404, json!("urn:storeward:problem:not-installed")));
    // When an operator makes one
    let (status, link) = world.carry_on(fetched, "link").await;
    assert_eq!(status, 200, "{link}");
    let answer = world.fetch(link["json"].as_str().unwrap()).await;
    assert!(answer["statusCode"] == 200 && answer["body"].as_str().unwrap().contains(EMAIL), "{answer}");
    // Then it is done, and both stand there: who made the link, and that it was followed.
    assert_eq!(world.asked(fetched).await.state, RightsState::Done);
    let linked = world.entries(What::ExportLinked).await;
    let operator = By::Operator("fedcba9876543210fedcba9876543210".to_owned());
    assert_eq!((linked.len(), linked[0].by.as_ref()), (1, Some(&operator)));
    assert_eq!(world.fetched().await.len(), 1);
    for (id, step) in [(fetched.as_str(), "unlink"), (&"0".repeat(32), "link"), ("x", "link")] {
        assert_eq!(world.carry_on(id, step).await.0, 404, "{id}, {step}");
    }
    // And what nobody fetched until the purge ends with an entry.
    world.bench.live(&world.app, 38).await;
    assert_eq!(world.bench.left_of(&world.installation.tenant), Vec::<String>::new());
    let mut refused = world.entries(What::RequestRefused).await;
    for days in 1..=2 {
        let day = world.bench.clock.now() - DAY * days;
        let entries = world.app.store().await.ledger_of(&world.installation.tenant.shop, day).await.unwrap();
        refused.extend(entries.into_iter().filter(|entry| entry.what == What::RequestRefused));
    }
    let whys: Vec<&str> = refused.iter().map(|entry| entry.why.as_str()).collect();
    assert_eq!(whys, [format!("access request/{left}: not-fetched")]);
}

/// A shop that was uninstalled 37 hours ago and has a request in each state that is not finished; with what the ledger is to
/// say of each when the shop is purged.
async fn left_unanswered() -> (World, Vec<(What, String)>) {
    let world = World::new().await;
    let id = |opened: Value| opened["id"].as_str().unwrap().to_owned();
    let ready = id(world.open(&json!({"kind": "access", "email": EMAIL})).await);
    world.bench.drain(&world.app).await;
    let proving = world.written_in("proving", RightsKind::Portability, EMAIL).await;
    let received = id(world.open(&json!({"kind": "access", "email": "someone.else@example.com"})).await);
    let erasure = id(world.open(&json!({"kind": "erasure", "email": "nobody@example.com"})).await);
    let store = world.app.store().await;
    store.uninstall(&world.installation, "test").await.unwrap();
    world.bench.advance(HOUR * 37).await;
    let mut expected = vec![
        (What::RequestRefused, format!("access request/{ready}: not-fetched")),
        (What::RequestRefused, format!("portability {proving}: not-proven")),
        (What::RequestRefused, format!("access request/{received}: shop-purged")),
        (What::RequestDone, format!("erasure request/{erasure}: by the purge")),
    ];
    expected.sort_by_cached_key(|(_, why)| why.clone());
    (world, expected)
}

#[tokio::test(start_paused = true)]
async fn a_purge_ends_every_unanswered_request_once_wherever_it_is_stopped() {
    // Given where an undisturbed purge writes that a request ended
    let (world, _) = left_unanswered().await;
    let app = world.bench.app();
    let purged = app.store().await.purge(&world.installation.tenant, "test", &|| true).await.unwrap();
    assert_eq!(purged, PurgeReport::NothingLeft);
    let of_request = |partition: &Option<String>| {
        partition.as_ref().is_some_and(|partition| partition.contains("#request#"))
    };
    let requests = app.connector.requests();
    let ends = requests.iter().filter(|made| {
        let writes = made.footprint.touches.iter().any(|touch| touch.writes && of_request(&touch.partition));
        made.footprint.operation == "TransactWriteItems" && writes
    });
    let ends: Vec<usize> = ends.map(|made| made.index).collect();
    assert_eq!(ends.len(), 4);
    // When a purge stops after any of these, or not at all, and another one goes on
    for at in ends.into_iter().chain([usize::MAX]) {
        let (world, expected) = left_unanswered().await;
        let plan = FaultPlan::none().at(at, Fault::CrashAfter);
        let stopped = world.bench.app_through(world.bench.transport(), plan);
        let ended = stopped.connector.run(async {
            Box::pin(stopped.store().await.purge(&world.installation.tenant, "test", &|| true)).await
        });
        assert_eq!(matches!(ended.await, Outcome::Crashed), at != usize::MAX);
        let store = world.app.store().await;
        store.purge(&world.installation.tenant, "test", &|| true).await.unwrap();
        // Then each has its one entry, and none is left.
        assert_eq!((world.bench.items("request").len(), world.bench.items("shop").len()), (0, 0));
        let mut told: Vec<(What, String)> = Vec::new();
        for what in [What::RequestRefused, What::RequestDone] {
            told.extend(world.entries(what).await.into_iter().map(|entry| (what, entry.why)));
        }
        told.sort_by_cached_key(|(_, why)| why.clone());
        assert_eq!(told, expected, "stopped at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_merchant_has_a_person_put_right_limited_and_erased() {
    let world = World::new().await;
    let right = json!({"email": "put.right@example.com", "phone": "+12025550111"});
    let steps = [
        (json!({"kind": "rectification", "email": EMAIL, "corrections": right}), 2),
        (json!({"kind": "restriction", "email": "put.right@example.com"}), 2),
        (json!({"kind": "lift-restriction", "email": "put.right@example.com"}), 2),
        (json!({"kind": "objection", "email": "put.right@example.com"}), 2),
        (json!({"kind": "lift-objection", "email": "put.right@example.com"}), 2),
    ];
    for (body, orders) in steps {
        let opened = world.open(&body).await;
        world.bench.drain(&world.app).await;
        let done = world.get(opened["id"].as_str().unwrap()).await;
        assert_eq!((&done["state"], &done["counts"]["record"]), (&json!("done"), &json!(orders)), "{done}");
    }
    assert_eq!((world.sealed("request"), world.bench.items("rectification").len()), (0, 1));
    let opened = world.open(&json!({"kind": "erasure", "email": "put.right@example.com"})).await;
    let id = opened["id"].as_str().unwrap();
    world.bench.drain(&world.app).await;
    assert_eq!(world.get(id).await["state"], "in-work", "the second pass is to come");
    world.bench.advance(HOUR).await;
    world.bench.drain(&world.app).await;
    let done = world.get(id).await;
    assert_eq!((&done["state"], &done["counts"]["order"]), (&json!("done"), &json!(2)), "{done}");
    assert_eq!(world.bench.items("order").len(), 1, "the other person's");
    assert_eq!(world.sealed("request"), 0, "whom they were about is forgotten");
    // And after 90 days so are the requests.
    assert_eq!(world.bench.items("request").len(), 6);
    world.bench.advance(DAY * 91).await;
    assert_eq!((world.bench.items("request").len(), world.bench.items("request-index").len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_list_has_all_of_them_once_page_by_page() {
    let world = World::new().await;
    world.app.post("webhooks/customers-data-request", sample("webhooks/customers-data-request/by-id")).await;
    for number in 0..5 {
        world.bench.advance(MINUTE).await;
        world.open(&json!({"kind": "access", "email": format!("nobody.{number}@example.com")})).await;
    }
    world.bench.advance(MINUTE).await;
    world.app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    let store = world.app.store().await;
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let filter = RequestFilter::default();
        let page =
            store.list_requests(&world.installation, &filter, cursor.as_deref(), 2).await.unwrap().unwrap();
        assert!(page.requests.len() <= 2);
        all.extend(page.requests);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let kinds: Vec<(RightsKind, OpenedBy)> = all.iter().map(|asked| (asked.kind, asked.by)).collect();
    let mut expected = vec![(RightsKind::Access, OpenedBy::Merchant); 5];
    expected.insert(0, (RightsKind::Erasure, OpenedBy::Webhook));
    expected.push((RightsKind::Access, OpenedBy::Webhook));
    assert_eq!(kinds, expected, "the latest first");
    let (_, page) = world.ask("GET /v1/requests", "", &Value::Null, json!({})).await;
    assert_eq!(page["requests"].as_array().unwrap().len(), 7);
    assert!(!page.to_string().contains("example.com"), "nothing of whom they are about: {page}");
}

#[tokio::test(start_paused = true)]
async fn asked_again_under_the_same_name_it_is_the_same_and_nonsense_is_refused() {
    let world = World::new().await;
    let headers = json!({"Idempotency-Key": "first"});
    let body = json!({"kind": "erasure", "email": EMAIL});
    let ask = |body: Value, headers: Value| {
        let world = &world;
        async move { world.ask("POST /v1/requests", "", &body, headers).await }
    };
    let (_, one) = ask(body.clone(), headers.clone()).await;
    let (status, two) = ask(body, headers.clone()).await;
    assert_eq!((status, &one["id"]), (202, &two["id"]));
    let (status, problem) = ask(json!({"kind": "access", "email": EMAIL}), headers).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:storeward:problem:idempotency-key-used")));
    let before = world.bench.items("request").len();
    for (status, body) in [
        (422, json!({"kind": "erasure"})),
        (422, json!({"kind": "erasure", "email": "no address"})),
        (422, json!({"kind": "erasure", "email": EMAIL, "phone": "12"})),
        (422, json!({"kind": "rectification", "email": EMAIL})),
        (422, json!({"kind": "rectification", "email": EMAIL, "corrections": {"phone": "12"}})),
        (422, json!({"kind": "access", "email": EMAIL, "corrections": {"phone": "+12025550111"}})),
        (400, json!({"kind": "everything", "email": EMAIL})),
        (400, json!({"kind": "access", "name": "Sample"})),
    ] {
        let (answered, problem) = ask(body.clone(), json!({})).await;
        assert_eq!(answered, status, "{body}: {problem}");
        assert!(!problem.to_string().contains("example.com"), "{problem}");
    }
    let (status, _) =
        ask(json!({"kind": "access", "email": EMAIL}), json!({"idempotency-key": "with space"})).await;
    assert_eq!((status, world.bench.items("request").len(), before), (400, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_writes_to_an_operator_proves_it_and_then_it_is_done() {
    let world = World::new().await;
    let store = world.app.store().await;
    let name_of = |kind: RightsKind| format!("ticket-{}", kind.name());
    let kinds = [RightsKind::Access, RightsKind::Rectification, RightsKind::Restriction, RightsKind::Erasure];
    for kind in kinds {
        let email = if kind == RightsKind::Access || kind == RightsKind::Rectification {
            EMAIL
        } else {
            "put.right@example.com"
        };
        let reference = world.written_in(&name_of(kind), kind, email).await;
        // Nothing is done before it is proven, whatever the sweep does.
        let mail = store.proof_mail(&world.installation, &reference).await.unwrap().unwrap();
        assert_eq!(mail.to.expose(), email);
        assert!(storeward_core::rights::is_proof_code(mail.code.expose()));
        let again = store.proof_mail(&world.installation, &reference).await.unwrap().unwrap();
        assert_eq!(mail.code, again.code, "the same each time it is sent");
        let wrong = if mail.code.expose() == "000000" { "000001" } else { "000000" };
        assert_eq!(store.prove_request(&world.installation, &reference, wrong).await.unwrap(), Proof::Wrong);
        let proof = store.prove_request(&world.installation, &reference, mail.code.expose()).await.unwrap();
        let Proof::Given(work) = proof else { panic!("{proof:?}") };
        let twice = store.prove_request(&world.installation, &reference, mail.code.expose()).await.unwrap();
        assert_eq!(twice, Proof::GivenBefore);
        // The message is lost, and the sweep sends another.
        assert!(work.stored);
        world.bench.advance(HOUR * 2).await;
        world.sweep().await;
        world.bench.drain(&world.app).await;
        let state = world.asked(reference.id()).await.state;
        let expected = match kind {
            RightsKind::Access => RightsState::Ready,
            RightsKind::Erasure => RightsState::InWork,
            _ => RightsState::Done,
        };
        assert_eq!(state, expected, "{kind:?}");
    }
    world.bench.live(&world.app, 2).await;
    assert_eq!((world.bench.items("order").len(), world.sealed("request")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_learns_from_an_operator_who_is_known_and_guessing_ends() {
    let world = World::new().await;
    let store = world.app.store().await;
    // Nothing is stored about them: it looks the same, and no code goes out.
    let nobody = world.written_in("nobody", RightsKind::Access, "nobody@example.com").await;
    assert!(store.proof_mail(&world.installation, &nobody).await.unwrap().is_none());
    // Five tries, and the right one is too late.
    let guessed = world.written_in("guessed", RightsKind::Erasure, EMAIL).await;
    let code = store.proof_mail(&world.installation, &guessed).await.unwrap().unwrap().code;
    let wrong = if code.expose() == "111111" { "222222" } else { "111111" };
    let mut tries = Vec::new();
    for _ in 0..5 {
        tries.push(store.prove_request(&world.installation, &guessed, wrong).await.unwrap());
    }
    assert_eq!(tries, [Proof::Wrong, Proof::Wrong, Proof::Wrong, Proof::Wrong, Proof::Over]);
    assert_eq!(store.prove_request(&world.installation, &guessed, code.expose()).await.unwrap(), Proof::Over);
    // A day later both are over, and nobody is named any more.
    world.bench.advance(HOUR * 25).await;
    world.sweep().await;
    for reference in [&nobody, &guessed] {
        let asked = world.asked(reference.id()).await;
        assert_eq!((asked.state, asked.because), (RightsState::Refused, Some(Refusal::NotProven)));
    }
    assert_eq!(world.sealed("request"), 0);
    let left = world
        .bench
        .items("subject")
        .into_iter()
        .filter(|row| row["sk"]["S"].as_str().unwrap().starts_with("request"));
    assert_eq!((left.count(), world.entries(What::RequestRefused).await.len()), (0, 2));
    assert_eq!(world.bench.items("order").len(), 3, "nothing was done");
}

#[tokio::test(start_paused = true)]
async fn an_erasure_ends_what_else_was_asked_and_names_nobody() {
    let world = World::new().await;
    let ready = world.open(&json!({"kind": "access", "email": EMAIL})).await;
    world.bench.drain(&world.app).await;
    let proving = world.written_in("proving", RightsKind::Portability, EMAIL).await;
    let erasure = world.open(&json!({"kind": "erasure", "email": EMAIL})).await;
    world.bench.drain(&world.app).await;
    world.bench.advance(HOUR).await;
    world.bench.drain(&world.app).await;
    for id in [ready["id"].as_str().unwrap(), proving.id()] {
        let asked = world.asked(id).await;
        assert_eq!((asked.state, asked.because), (RightsState::Refused, Some(Refusal::Erased)), "{id}");
    }
    assert_eq!(world.get(erasure["id"].as_str().unwrap()).await["state"], "done");
    assert_eq!((world.sealed("request"), world.bench.items("export").len()), (0, 0));
    assert_eq!(world.bench.items("due").len(), 0, "nothing is watched any more");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_warned_of_by_the_first_sweep_that_succeeds_however_late_it_is() {
    let world = World::new().await;
    world.app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    world.bench.advance(DAY * 31).await;
    world.sweep().await;
    let told = world.bench.receive("storeward-development-notify-merchant").await;
    let stages: Vec<u64> = told
        .iter()
        .map(|message| serde_json::from_str::<Value>(message["Body"].as_str().unwrap()).unwrap())
        .map(|notice| notice["what"]["request_due"]["stage"].as_u64().unwrap())
        .collect();
    assert_eq!(stages, [4], "overdue by a day");
}

#[tokio::test(start_paused = true)]
async fn whoever_limits_the_use_of_their_data_and_is_erased_first_is_not_stored_again() {
    for kind in ["objection", "restriction"] {
        // Given one that is asked for and not carried out before the person is erased.
        let world = World::new().await;
        let limit = json!({"kind": kind, "email": EMAIL, "phone": "+12025550143"});
        let first = world.open_and_lose(&limit).await;
        let erasure = world.open(&json!({"kind": "erasure", "email": EMAIL})).await;
        world.bench.drain(&world.app).await;
        // Then it counts, and the person is forgotten.
        assert_eq!(world.get(&first).await["state"], "done", "{kind}");
        assert_eq!(world.sealed("limit"), 0);
        assert_eq!(world.next_order(7).await, "refused limited");
        // Given another, between the erasure's two passes.
        world.bench.advance(MINUTE * 5).await;
        let phone = json!({"kind": kind, "email": EMAIL, "phone": "+12025550199"});
        let second = world.open_and_lose(&phone).await;
        world.bench.advance(MINUTE * 30).await;
        world.bench.drain(&world.app).await;
        assert_eq!(world.get(&second).await["state"], "done", "{kind}");
        let erased = world.get(erasure["id"].as_str().unwrap()).await;
        assert_eq!((&erased["state"], world.bench.items("order").len()), (&json!("done"), 1));
        assert_eq!((world.sealed("limit"), world.sealed("request")), (0, 0));
        assert_eq!(world.next_order(8).await, "refused limited");
        world.bench.live(&world.app, 3).await;
        assert_eq!(world.bench.messages().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_objection_that_waits_for_its_proof_outlasts_an_erasure() {
    let world = World::new().await;
    let store = world.app.store().await;
    let objection = world.written_in("objection", RightsKind::Objection, EMAIL).await;
    let mail = store.proof_mail(&world.installation, &objection).await.unwrap().unwrap();
    let erasure = world.open(&json!({"kind": "erasure", "email": EMAIL})).await;
    world.bench.drain(&world.app).await;
    world.bench.advance(HOUR).await;
    world.bench.drain(&world.app).await;
    assert_eq!(world.get(erasure["id"].as_str().unwrap()).await["state"], "done");
    assert_eq!(world.asked(objection.id()).await.state, RightsState::Proving);
    let proof = store.prove_request(&world.installation, &objection, mail.code.expose()).await.unwrap();
    assert!(matches!(proof, Proof::Given(_)), "{proof:?}");
    world.bench.live(&world.app, 3).await;
    assert_eq!(world.asked(objection.id()).await.state, RightsState::Done);
    assert_eq!(world.next_order(7).await, "refused limited");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_carried_out_late_changes_nothing_that_was_asked_for_after_it() {
    for (late, next, comes) in [
        ("lift-restriction", "restriction", "refused limited"),
        ("restriction", "lift-restriction", "accepted"),
        ("lift-objection", "objection", "refused limited"),
        ("objection", "lift-objection", "accepted"),
    ] {
        let world = World::new().await;
        let of_kind = |kind: &str| json!({"kind": kind, "email": EMAIL});
        if let Some(lifted) = late.strip_prefix("lift-") {
            world.open(&of_kind(lifted)).await;
            world.bench.drain(&world.app).await;
            world.bench.advance(MINUTE).await;
        }
        // Given one whose message is lost, and what is asked for and done meanwhile.
        let late_id = world.open_and_lose(&of_kind(late)).await;
        world.bench.advance(MINUTE).await;
        let next_id = world.open(&of_kind(next)).await["id"].as_str().unwrap().to_owned();
        world.bench.drain(&world.app).await;
        assert_eq!(
            (&world.get(&late_id).await["state"], &world.get(&next_id).await["state"]),
            (&json!("received"), &json!("done"))
        );
        // When the sweep sends it again.
        world.bench.advance(HOUR * 2).await;
        world.sweep().await;
        world.bench.drain(&world.app).await;
        // Then both are done, and the later one holds.
        assert_eq!(world.get(&late_id).await["state"], "done", "{late}");
        let marked = world.bench.items("order").iter().filter(|item| !item["use_limited"].is_null()).count();
        assert_eq!(marked, if comes == "accepted" { 0 } else { 2 }, "{late}");
        assert_eq!(world.next_order(7).await, comes, "{late}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_restricted_person_disputes_is_put_right_and_not_used_until_it_is_lifted() {
    let right = "put.right@example.com";
    for lifted_by in [EMAIL, right] {
        let world = World::new().await;
        let unmarked =
            |kind: &str| world.bench.items(kind).iter().filter(|item| item["use_limited"].is_null()).count();
        let done = async |body: Value| {
            let opened = world.open(&body).await;
            world.bench.drain(&world.app).await;
            let done = world.get(opened["id"].as_str().unwrap()).await;
            assert_eq!((&done["state"], &done["counts"]["record"]), (&json!("done"), &json!(2)), "{done}");
        };
        done(json!({"kind": "restriction", "email": EMAIL})).await;
        let usable = (unmarked("order"), unmarked("match"));
        assert_eq!(usable.0, 1, "the other person's");
        // When what is wrong is put right, then it is still not used, and nobody is found by what was wrong.
        done(json!({"kind": "rectification", "email": EMAIL, "corrections": {"email": right}})).await;
        assert_eq!((unmarked("order"), unmarked("match")), usable);
        let case = world.app.cases(&world.installation).await.remove(0);
        assert_eq!((case.members.len(), case.restricted(), case.size), (0, 2, 2));
        assert_eq!(world.next_order(7).await, "refused limited", "the wrong one is still restricted");
        // When it is lifted by either name, then it is used as it is right.
        done(json!({"kind": "lift-restriction", "email": lifted_by})).await;
        assert_eq!((unmarked("order"), world.bench.items("order").len()), (3, 3), "{lifted_by}");
        assert_eq!(unmarked("match"), world.bench.items("match").len());
        let case = world.app.cases(&world.installation).await.remove(0);
        assert_eq!((case.members.len(), case.restricted()), (2, 0));
        let references: Vec<RecordRef> = case.members.iter().map(|member| member.order.clone()).collect();
        let store = world.app.store().await;
        for record in store.orders(&world.installation, &references).await.unwrap() {
            assert_eq!(record.order.email.unwrap().expose(), right);
        }
        assert_eq!(world.sealed("limit"), 0);
        if lifted_by == EMAIL {
            assert_eq!(world.next_order(8).await, "accepted");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_carries_out_never_lapses_silently() {
    let world = World::new().await;
    world.app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    let reference = world.bench.items("request")[0]["sk"]["S"].as_str().unwrap().to_owned();
    let queue = "storeward-development-notify-merchant";
    let mut told = Vec::new();
    // Nobody works: the queue of the job is left alone for 33 days.
    for day in 1..=33 {
        world.bench.advance(DAY).await;
        world.sweep().await;
        for message in world.bench.receive(queue).await {
            let notice: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
            assert!(!notice.to_string().contains("example.com"), "{notice}");
            told.push((day, notice["what"]["request_due"]["stage"].as_u64().unwrap()));
            world.app.invoke("jobs/notify-merchant", batch(std::slice::from_ref(&message))).await.unwrap();
            world.bench.delete(queue, &message).await;
        }
    }
    assert_eq!(told, [(23, 1), (27, 2), (30, 3), (31, 4), (32, 5), (33, 6)]);
    assert_eq!(world.get(&reference).await["warning"], "overdue by 3 days");
    // When it is carried out at last, it is quiet.
    world.bench.drain(&world.app).await;
    world.bench.advance(HOUR).await;
    world.bench.drain(&world.app).await;
    assert_eq!(world.get(&reference).await["state"], "done");
    world.bench.live(&world.app, 49).await;
    assert!(world.entries(What::RequestWarned).await.is_empty());
}
