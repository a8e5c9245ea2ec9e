//! The client of the Messages API against the simulated one, over a socket: what an answer says, what each failure means,
//! and that nothing of a question comes back in an error. What is asked of Claude and why stands with the mail desk.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use storeward_clients::ClientError;
use storeward_clients::claude::{Ask, CacheFor, Claude, Effort, Model, Part, StopReason, cost};
use storeward_core::data_map::{Category, Processor};
use storeward_core::egress::{Categories, Outgoing, Refusal, Register, Stance, Use};
use storeward_core::time::{ManualClock, Timestamp};
use storeward_local::claude::{self, Trouble};

/// What must be nowhere but in the request and the answer.
const CANARY: &str = "canary-in-the-mail";

/// The simulated Claude, served, and a client of it.
struct World {
    simulated: claude::Claude,
    address: String,
    clock: Arc<ManualClock>,
    client: Claude,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-11-20T16:00:00Z").unwrap()));
        let simulated = claude::Claude::new(clock.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}{}", listener.local_addr().unwrap(), claude::PATH);
        let router = axum::Router::new().nest(claude::PATH, simulated.router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Claude::new(&address, claude::KEY.to_owned(), Register::CURRENT, clock.clone()).unwrap();
        Self { simulated, address, clock, client }
    }
}

/// A mail that is to be told apart.
fn ask(model: Model) -> Ask {
    let mail = format!("<mail>Where is my parcel? {CANARY}</mail>");
    Ask {
        purpose: Use::Drafting,
        model,
        effort: Effort::Low,
        system: vec![Part { text: Outgoing::text("Say what the mail is about."), cache: None }],
        message: Outgoing::about(Category::Correspondence, mail),
        schema: Outgoing::own(json!({
            "type": "object",
            "properties": {
                "intent": { "type": "string", "enum": ["refund", "question", "shipping", "spam"] },
                "confidence": { "type": "number" },
                "language": { "type": "string" },
                "sentence": { "type": "string" },
            },
            "required": ["intent", "confidence", "language", "sentence"],
            "additionalProperties": false,
        })),
        max_tokens: 400,
        timeout: Duration::from_secs(20),
    }
}

#[tokio::test]
async fn a_mail_is_understood_and_what_that_took_is_told() {
    let world = World::new().await;
    for effort in [Effort::Low, Effort::High] {
        let answered = world.client.ask(&Ask { effort, ..ask(Model::Haiku) }).await.unwrap();
        let value: Value = answered.value().unwrap();
        assert_eq!((&value["intent"], &value["language"]), (&json!("shipping"), &json!("en")));
        assert_eq!(answered.stop, StopReason::EndTurn);
        assert!(answered.request_id.as_deref().is_some_and(|id| id.starts_with("req_")));
        assert!(answered.usage.input > 0 && answered.usage.output > 0);
        assert!(!format!("{answered:?}").contains("parcel"), "{answered:?}");
    }
    let reached = world.simulated.reached();
    assert_eq!((reached.len(), reached[0].processor), (2, Processor::Anthropic));
}

#[tokio::test]
async fn what_is_said_each_time_is_read_from_the_cache_and_costs_less() {
    let world = World::new().await;
    let policies = Outgoing::about(Category::MerchantAccount, "Lamps are made in Maine. ".repeat(200));
    let long =
        Ask { system: vec![Part { text: policies, cache: Some(CacheFor::OneHour) }], ..ask(Model::Sonnet) };
    let first = world.client.ask(&long).await.unwrap().usage;
    let second = world.client.ask(&long).await.unwrap().usage;
    assert_eq!((first.cache_read, first.cache_write()), (0, first.cache_write_1h));
    assert_eq!((second.cache_read, second.cache_write()), (first.cache_write(), 0));
    assert_eq!((first.input, first.prompt()), (second.input, second.prompt()));
    assert!(cost(&second, Model::Sonnet) * 2 < cost(&first, Model::Sonnet), "{first:?} {second:?}");
}

#[tokio::test]
async fn each_failure_says_whether_and_when_to_ask_again_and_nothing_of_the_mail() {
    let world = World::new().await;
    let minute = Duration::from_mins(1);
    let rejected = |code: &str| ClientError::Rejected(code.to_owned());
    let unavailable = |code: &str| ClientError::Unavailable(code.to_owned());
    for (trouble, expected) in [
        (Trouble::Overloaded { retry_after: None }, unavailable("overloaded_error")),
        (Trouble::Overloaded { retry_after: Some(minute) }, ClientError::Throttled(minute)),
        (Trouble::TooMany { retry_after: minute }, ClientError::Throttled(minute)),
        (Trouble::SpendLimit, rejected("enforced_spend_limit_reached")),
        (Trouble::Unpaid, rejected("billing_error")),
        (Trouble::Fails, unavailable("api_error")),
        (Trouble::BadRequest, rejected("invalid_request_error")),
        (Trouble::Hangs, unavailable("time-out")),
    ] {
        world.simulated.trouble_next(trouble);
        let timeout = if trouble == Trouble::Hangs { Duration::from_millis(50) } else { minute };
        let failed = world.client.ask(&Ask { timeout, ..ask(Model::Haiku) }).await.unwrap_err();
        assert_eq!(failed, expected, "{trouble:?}");
        let transient = matches!(
            trouble,
            Trouble::Overloaded { .. } | Trouble::TooMany { .. } | Trouble::Fails | Trouble::Hangs
        );
        assert_eq!(failed.is_transient(), transient, "{trouble:?}");
        let shown = format!("{failed} {failed:?}");
        assert!(!shown.contains(CANARY) && !shown.contains("parcel"), "{shown}");
    }
    let all_arrived = world.simulated.requests().iter().all(|body| {
        let body = String::from_utf8_lossy(body);
        body.contains(CANARY)
    });
    assert!(all_arrived && world.simulated.requests().len() == 8, "each was asked once");
    assert!(world.client.ask(&ask(Model::Haiku)).await.is_ok());
}

#[tokio::test]
async fn a_refusal_a_cut_off_and_broken_json_are_answers_without_a_value() {
    let world = World::new().await;
    for (trouble, stop) in [
        (Some(Trouble::Refuses), StopReason::Refusal),
        (Some(Trouble::CutOff), StopReason::MaxTokens),
        (Some(Trouble::InvalidJson), StopReason::EndTurn),
        (None, StopReason::MaxTokens),
    ] {
        let mut question = ask(Model::Sonnet);
        match trouble {
            Some(trouble) => world.simulated.trouble_next(trouble),
            None => question.max_tokens = 2,
        }
        let answered = world.client.ask(&question).await.unwrap();
        assert_eq!((answered.stop, answered.value::<Value>()), (stop, None), "{trouble:?}");
        assert!(answered.usage.input > 0, "it is paid for");
    }
    // What a caller expects otherwise has no value either.
    world.simulated.answer_next(&json!({ "intent": 7 }));
    let answered = world.client.ask(&ask(Model::Haiku)).await.unwrap();
    assert_eq!(answered.value::<std::collections::BTreeMap<String, String>>(), None);
}

#[tokio::test]
async fn a_wrong_key_an_unanswered_call_and_a_schema_that_is_not_taken_are_told_apart() {
    let world = World::new().await;
    let with = |address: &str, key: &str| {
        Claude::new(address, key.to_owned(), Register::CURRENT, world.clock.clone()).unwrap()
    };
    let failed = with(&world.address, "sk-ant-test-other").ask(&ask(Model::Haiku)).await;
    assert_eq!(failed, Err(ClientError::Unauthorized));
    // Nobody listens there.
    let failed = with("http://127.0.0.1:1", claude::KEY).ask(&ask(Model::Haiku)).await;
    assert_eq!(failed, Err(ClientError::Unavailable("no connection".to_owned())));
    let open = Ask { schema: Outgoing::own(json!({ "type": "object" })), ..ask(Model::Haiku) };
    let failed = world.client.ask(&open).await;
    assert_eq!(failed, Err(ClientError::Rejected("invalid_request_error".to_owned())));
}

#[tokio::test]
async fn who_wrote_does_not_leave_and_neither_does_anything_for_who_objects() {
    let world = World::new().await;
    for category in [Category::CustomerContact, Category::CustomerAddress] {
        let refused = ClientError::NotPermitted(Refusal::Undeclared(Categories::of(&[category])));
        let text = || Outgoing::about(category, "someone@example.com".to_owned());
        let in_schema = text().map(|text| json!({ "enum": [text] }));
        for question in [
            Ask { message: text(), ..ask(Model::Haiku) },
            Ask { system: vec![Part { text: text(), cache: None }], ..ask(Model::Haiku) },
            Ask { schema: in_schema, ..ask(Model::Haiku) },
        ] {
            let failed = world.client.ask(&question).await.unwrap_err();
            assert_eq!(failed, refused);
            assert!(!format!("{failed} {failed:?} {question:?}").contains("example.com"), "{question:?}");
        }
    }
    let objections = [(Processor::Anthropic, Timestamp(0))].into();
    let objecting = world.client.of(Stance { objections, ..Stance::default() });
    let failed = objecting.ask(&ask(Model::Haiku)).await;
    assert_eq!(failed, Err(ClientError::NotPermitted(Refusal::Objected)));
    let elsewhere = Ask { purpose: Use::Translation, ..ask(Model::Haiku) };
    assert!(matches!(world.client.ask(&elsewhere).await, Err(ClientError::NotPermitted(_))));
    assert!(world.simulated.requests().is_empty(), "nothing was sent");
}
