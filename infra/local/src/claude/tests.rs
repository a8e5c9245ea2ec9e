use proptest::prelude::*;
use storeward_core::time::{HOUR, ManualClock};

use super::*;

fn claude() -> (ManualClock, Claude) {
    let clock = ManualClock::new(Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap());
    (clock.clone(), Claude::new(Arc::new(clock)))
}

fn classification() -> Value {
    json!({
        "type": "object",
        "properties": {
            "intent": { "type": "string", "enum": ["refund", "question", "shipping", "spam"] },
            "confidence": { "type": "number" },
            "language": { "type": "string" },
            "sentence": { "type": "string" },
        },
        "required": ["intent", "confidence", "language", "sentence"],
        "additionalProperties": false,
    })
}

fn drafting() -> Value {
    json!({
        "type": "object",
        "properties": {
            "reply": { "type": "string" },
            "language": { "type": "string" },
            "commits": {
                "type": "array",
                "items": { "type": "string", "enum": ["refund", "return", "date", "none"] },
            },
            "needs_human": { "type": "boolean" },
            "reason": { "type": "string" },
        },
        "required": ["reply", "language", "commits", "needs_human", "reason"],
        "additionalProperties": false,
    })
}

fn question(text: &str, schema: &Value) -> Value {
    json!({
        "model": "claude-haiku-5-5", "max_tokens": 1_000,
        "messages": [{ "role": "user", "content": text }],
        "output_config": { "effort": "low", "format": { "type": "json_schema", "schema": schema } },
    })
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static(KEY));
    headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
    headers
}

fn send(claude: &Claude, headers: &HeaderMap, body: &Value) -> (u16, Value) {
    let answer = claude.answer(headers, &Bytes::from(body.to_string())).unwrap();
    (answer.status, answer.body)
}

fn ask(claude: &Claude, body: &Value) -> Value {
    let (status, message) = send(claude, &headers(), body);
    assert_eq!(status, 200, "{message}");
    message
}

fn told(message: &Value) -> Value {
    let texts = message["content"].as_array().unwrap().iter().filter(|block| block["type"] == "text");
    let text: String = texts.map(|block| block["text"].as_str().unwrap()).collect();
    serde_json::from_str(&text).unwrap()
}

/// Whether a value is what a schema of the supported kind asks for.
fn conforms(value: &Value, schema: &Value, root: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return conforms(value, schema::referred(root, reference).unwrap(), root);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().any(|choice| conforms(value, choice, root));
    }
    if let Some(members) = schema["enum"].as_array() {
        return members.contains(value);
    }
    match schema["type"].as_str().unwrap() {
        "object" => {
            let (properties, value) = (schema["properties"].as_object().unwrap(), value.as_object().unwrap());
            value.keys().all(|name| properties.contains_key(name))
                && properties.iter().all(|(name, below)| conforms(&value[name], below, root))
        }
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or_default();
            let items = value.as_array().unwrap();
            items.len() as u64 >= least && items.iter().all(|item| conforms(item, &schema["items"], root))
        }
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}

fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["string", "number", "integer", "boolean", "null"])
            .prop_map(|kind| json!({ "type": kind })),
        prop::collection::vec("[a-z]{1,8}", 1..5)
            .prop_map(|members| json!({ "type": "string", "enum": members })),
        Just(json!({ "$ref": "#/$defs/shared" })),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map("[a-z_]{1,10}", inner.clone(), 0..4).prop_map(|properties| json!({
                "type": "object", "properties": properties, "additionalProperties": false,
            })),
            (inner.clone(), 0u8..2)
                .prop_map(|(items, least)| json!({ "type": "array", "items": items, "minItems": least })),
            prop::collection::vec(inner, 1..3).prop_map(|choices| json!({ "anyOf": choices })),
        ]
    })
}

proptest! {
    #[test]
    fn given_any_schema_that_is_taken_then_the_answer_follows_it(below in any_schema(), text in ".{1,200}") {
        let schema = json!({
            "$defs": { "shared": { "type": "string", "enum": ["one", "two"] } },
            "type": "object", "properties": { "below": below }, "additionalProperties": false,
        });
        let (_, claude) = claude();
        let message = ask(&claude, &question(&text, &schema));
        prop_assert_eq!(&message["stop_reason"], "end_turn");
        prop_assert!(conforms(&told(&message), &schema, &schema), "{}", message);
    }
}

#[test]
fn given_mails_when_asked_what_they_are_about_then_the_answer_quotes_their_words() {
    let (_, claude) = claude();
    for (text, intent, language, sentence) in [
        (
            "Is it refund, question, shipping or spam?\n<mail>Hi. The lamp came broken, I want my money back. Thanks</mail>",
            "refund",
            "en",
            "The lamp came broken, I want my money back.",
        ),
        (
            "<mail>Guten Tag! Wo ist mein Paket? Ich warte nicht gern.</mail>",
            "shipping",
            "de",
            "Wo ist mein Paket?",
        ),
        (
            "<mail>Bonjour, est-ce que la lampe existe en bleu ?</mail>",
            "question",
            "fr",
            "Bonjour, est-ce que la lampe existe en bleu ?",
        ),
        (
            "<mail>We bring backlinks and SEO to the first page of Google.</mail>",
            "spam",
            "en",
            "We bring backlinks and SEO to the first page of Google.",
        ),
    ] {
        let answer = told(&ask(&claude, &question(text, &classification())));
        assert_eq!(answer["intent"], intent, "{text}");
        assert_eq!((&answer["language"], &answer["sentence"]), (&json!(language), &json!(sentence)));
    }
    // The same request always has the same answer.
    let request = question("<mail>Where is my parcel?</mail>", &classification());
    assert_eq!(told(&ask(&claude, &request)), told(&ask(&claude, &request)));
}

#[test]
fn given_orders_when_a_reply_is_drafted_then_it_quotes_the_one_that_the_mail_names() {
    let (_, claude) = claude();
    let mail = "<mail>Where is my parcel [ORDER_2]?</mail>";
    for orders in [
        "<order>number: [ORDER_1]\nstatus: open</order><order>number: [ORDER_2]\nstatus: shipped</order>",
        "<orders><order>number: [ORDER_1]</order><order>number: [ORDER_2]\nstatus: shipped</order></orders>",
        r#"<orders>[{"number":"[ORDER_1]","status":"open"},{"number":"[ORDER_2]","status":"shipped"}]</orders>"#,
    ] {
        let answer = told(&ask(&claude, &question(&format!("{orders}\n{mail}"), &drafting())));
        let reply = answer["reply"].as_str().unwrap();
        assert!(reply.contains("[ORDER_2]") && reply.contains("shipped"), "{reply}");
        assert!(!reply.contains("[ORDER_1]"), "{reply}");
        assert_eq!((&answer["commits"], &answer["needs_human"]), (&json!([]), &json!(false)));
    }
    let fenced = "⟦BEGIN MAIL⟧\nWhere is my parcel ⟦ORDER_1⟧?\n⟦END MAIL⟧\n\n\
                  ⟦BEGIN ORDER⟧\nOrder: ⟦ORDER_1⟧\nState: shipped\n⟦END ORDER⟧";
    let fenced = told(&ask(&claude, &question(fenced, &drafting())));
    let reply = fenced["reply"].as_str().unwrap();
    assert!(reply.contains("Order: ⟦ORDER_1⟧") && reply.contains("State: shipped"), "{reply}");
    let refund = question("<mail>It is broken. I want a refund.</mail>", &drafting());
    let answer = told(&ask(&claude, &refund));
    assert_eq!((&answer["commits"], &answer["needs_human"]), (&json!(["refund"]), &json!(true)));
    let policies =
        "<policies>We answer mails. Lamps are made in Maine.</policies><mail>Where are lamps made?</mail>";
    let answer = told(&ask(&claude, &question(policies, &drafting())));
    assert!(answer["reply"].as_str().unwrap().contains("Lamps are made in Maine."), "{answer}");
}

#[test]
fn given_what_claude_does_not_take_when_asked_then_it_says_why() {
    let (_, claude) = claude();
    let good = question("Hello", &classification());
    let changed = |path: &str, value: Value| {
        let mut body = good.clone();
        let (parent, name) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        body
    };
    let marked = |ttl: &str| json!({ "type": "text", "text": "a", "cache_control": { "type": "ephemeral", "ttl": ttl } });
    let turns = json!([{ "role": "user", "content": "a" }, { "role": "assistant", "content": "{" }]);
    for (path, value, message) in [
        ("/model", Value::Null, "model: Input"),
        ("/max_tokens", json!(0), "max_tokens: must"),
        ("/max_tokens", json!(128_001), "max_tokens: 128001 > 128000"),
        ("/temperature", json!(1.0), "temperature: Extra inputs"),
        ("/top_p", json!(1.0), "top_p: Extra inputs"),
        ("/tool_choice", json!({ "type": "any" }), "tool_choice: forced"),
        ("/tools", json!([]), "tools:"),
        ("/stream", json!(true), "stream:"),
        ("/messages", json!([]), "messages: at least one"),
        ("/messages", turns, "This model does not support assistant message prefill"),
        ("/messages/0/role", json!("somebody"), "messages.0.role"),
        ("/messages/0/content", json!(""), "messages.0.content: text"),
        ("/system", json!([{ "type": "text", "text": "" }]), "system: text"),
        ("/system", json!([{ "type": "image" }]), "system.0: Input"),
        ("/system", json!([marked("2h")]), "system.0.cache_control.ttl"),
        ("/system", json!([marked("5m"), marked("1h")]), "cache_control: a ttl='1h'"),
        ("/system", Value::from(vec![marked("5m"); 5]), "A maximum of 4 blocks"),
        ("/thinking", json!({ "type": "enabled" }), "thinking.type"),
        ("/output_config/effort", json!("most"), "output_config.effort"),
        ("/output_config/format/type", json!("text"), "output_config.format.type"),
    ] {
        let (status, error) = send(&claude, &headers(), &changed(path, value));
        let said = error["error"]["message"].as_str().unwrap_or_default();
        assert!(said.starts_with(message), "{path}: {said}");
        let kinds = (&error["type"], &error["error"]["type"]);
        assert_eq!((status, kinds), (400, (&json!("error"), &json!("invalid_request_error"))), "{path}");
    }
    let (status, error) = send(&claude, &headers(), &changed("/model", json!("claude-unknown")));
    assert_eq!((status, &error["error"]["type"]), (404, &json!("not_found_error")));
    assert_eq!(claude.requests().len(), claude.reached().len());
}

#[test]
fn given_a_schema_outside_of_the_subset_when_asked_then_it_is_not_taken() {
    let (_, claude) = claude();
    let itself = json!({ "a": { "type": "array", "items": { "$ref": "#/$defs/a" } } });
    for (schema, message) in [
        (json!({ "type": "object", "properties": {} }), "For 'object' type, 'additionalProperties' must be"),
        (
            json!({ "type": "array", "items": { "type": "object" } }),
            "For 'object' type, 'additionalProperties'",
        ),
        (
            json!({ "type": "number", "minimum": 0, "maximum": 1 }),
            "For 'number' type, properties minimum, maximum",
        ),
        (
            json!({ "anyOf": [{ "type": "string", "maxLength": 9 }] }),
            "For 'string' type, properties maxLength",
        ),
        (json!({ "type": "array", "minItems": 2 }), "For 'array' type, 'minItems'"),
        (json!({ "enum": [] }), "'enum' must list"),
        (json!({ "$ref": "#/$defs/b" }), "'$ref'"),
        (json!({ "$defs": itself, "$ref": "#/$defs/a" }), "recursive"),
        (
            json!({ "type": "object", "additionalProperties": false, "required": ["a"] }),
            "'required' names \"a\"",
        ),
        (json!("object"), "Input should be a valid dictionary"),
    ] {
        let (status, error) = send(&claude, &headers(), &question("Hello", &schema));
        let said = error["error"]["message"].as_str().unwrap();
        let said = said.strip_prefix("output_config.format.schema: ").unwrap();
        assert!(status == 400 && said.starts_with(message), "{said}");
    }
}

#[test]
fn given_another_key_or_version_when_asked_then_nothing_is_answered() {
    let (_, claude) = claude();
    let good = question("Hello", &classification());
    for (name, value, expected) in [
        ("x-api-key", None, 401),
        ("x-api-key", Some("sk-ant-other"), 401),
        ("anthropic-version", None, 400),
        ("anthropic-version", Some("2023-06-01"), 400),
    ] {
        let mut headers = headers();
        headers.remove(name);
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(send(&claude, &headers, &good).0, expected, "{name}: {value:?}");
    }
    let mut bearer = headers();
    bearer.remove("x-api-key");
    bearer.insert("authorization", HeaderValue::try_from(format!("Bearer {KEY}")).unwrap());
    assert_eq!(send(&claude, &bearer, &good).0, 200);
}

#[test]
fn given_a_marked_prompt_when_asked_again_then_it_is_read_until_it_is_forgotten() {
    let (clock, claude) = claude();
    let usage = |body: &Value| {
        let usage = &ask(&claude, body)["usage"];
        let count = |name: &str| usage[name].as_u64().unwrap();
        (
            count("input_tokens"),
            count("cache_read_input_tokens"),
            usage["cache_creation"]["ephemeral_5m_input_tokens"].as_u64().unwrap(),
            usage["cache_creation"]["ephemeral_1h_input_tokens"].as_u64().unwrap(),
        )
    };
    let part = |text: &str, ttl: &str| json!({ "type": "text", "text": text, "cache_control": { "type": "ephemeral", "ttl": ttl } });
    let body = |question: &str| {
        json!({
            "model": "claude-sonnet-5-5", "max_tokens": 100,
            "system": [part(&"a".repeat(4 * 600), "1h"), part(&"b".repeat(4 * 100), "5m")],
            "messages": [{ "role": "user", "content": question }],
        })
    };
    assert_eq!(usage(&body("one?")), (1, 0, 100, 600));
    assert_eq!(usage(&body("two?")), (1, 700, 0, 0));
    clock.advance(Duration::from_mins(6));
    assert_eq!(usage(&body("one?")), (1, 600, 100, 0));
    clock.advance(HOUR * 2);
    assert_eq!(usage(&body("one?")), (1, 0, 100, 600));
    // Too short to be remembered, which nobody is told.
    let mut short = body("one?");
    short["system"] = json!([part(&"c".repeat(4 * 500), "1h")]);
    assert_eq!((usage(&short), usage(&short)), ((501, 0, 0, 0), (501, 0, 0, 0)));
}

#[test]
fn given_trouble_when_asked_then_it_comes_once_and_in_order_and_what_is_scripted_is_said() {
    let (_, claude) = claude();
    let body = question("<mail>Where is my parcel?</mail>", &classification());
    let half_a_minute = Duration::from_secs(30);
    for (trouble, status, kind, wait) in [
        (Trouble::Overloaded { retry_after: None }, 529, "overloaded_error", None),
        (Trouble::Overloaded { retry_after: Some(half_a_minute) }, 529, "overloaded_error", Some("30")),
        (Trouble::TooMany { retry_after: half_a_minute }, 429, "rate_limit_error", Some("30")),
        (Trouble::SpendLimit, 429, "rate_limit_error", None),
        (Trouble::Unpaid, 402, "billing_error", None),
        (Trouble::Fails, 500, "api_error", None),
        (Trouble::BadRequest, 400, "invalid_request_error", None),
    ] {
        claude.trouble_next(trouble);
        let answer = claude.answer(&headers(), &Bytes::from(body.to_string())).unwrap();
        let said =
            answer.headers.iter().find(|(name, _)| *name == "retry-after").map(|(_, wait)| wait.as_str());
        assert_eq!((answer.status, answer.body["error"]["type"].as_str(), said), (status, Some(kind), wait));
        assert!(answer.headers.iter().any(|(name, _)| *name == "request-id"));
        let details = &answer.body["error"]["details"]["error_code"];
        assert_eq!(details == "enforced_spend_limit_reached", trouble == Trouble::SpendLimit);
    }
    let whole = told(&ask(&claude, &body));
    for (trouble, reason) in
        [(Trouble::Refuses, "refusal"), (Trouble::CutOff, "max_tokens"), (Trouble::InvalidJson, "end_turn")]
    {
        claude.trouble_next(trouble);
        let message = ask(&claude, &body);
        let text = message["content"][0]["text"].as_str().unwrap_or_default();
        assert_eq!(message["stop_reason"], reason);
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
    }
    claude.trouble_next(Trouble::Hangs);
    assert!(claude.answer(&headers(), &Bytes::from(body.to_string())).is_none());
    let mut short = body.clone();
    short["max_tokens"] = json!(3);
    let message = ask(&claude, &short);
    assert_eq!(
        (&message["stop_reason"], &message["usage"]["output_tokens"]),
        (&json!("max_tokens"), &json!(3))
    );
    claude.answer_next(&json!({ "intent": "spam" }));
    claude.answer_next(&json!("no JSON"));
    assert_eq!(told(&ask(&claude, &body)), json!({ "intent": "spam" }));
    assert_eq!(ask(&claude, &body)["content"][0]["text"], "no JSON");
    assert_eq!(told(&ask(&claude, &body)), whole);
}

#[test]
fn given_another_program_when_it_says_what_comes_next_then_it_comes() {
    let (_, claude) = claude();
    let body = question("<mail>Where is my parcel?</mail>", &classification());
    let prepare = |next: Value| claude.prepare(&Bytes::from(next.to_string()));
    for wrong in [json!({ "trouble": "none" }), json!({ "troubles": [] }), json!([])] {
        assert!(prepare(wrong).is_err());
    }
    prepare(json!({ "answer": "Hello", "trouble": "too_many", "retry_after_ms": 1_500 })).unwrap();
    let answer = claude.answer(&headers(), &Bytes::from(body.to_string())).unwrap();
    assert!(answer.headers.contains(&("retry-after", "2".to_owned())), "in whole seconds, not too early");
    assert!(answer.headers.contains(&("retry-after-ms", "1500".to_owned())));
    assert_eq!(ask(&claude, &body)["content"][0]["text"], "Hello");
}

#[test]
fn given_more_effort_then_a_thought_comes_before_the_text_and_is_paid_for() {
    let (_, claude) = claude();
    let mut body = question("<mail>Where is my parcel?</mail>", &classification());
    let quick = ask(&claude, &body);
    body["output_config"]["effort"] = json!("high");
    let thorough = ask(&claude, &body);
    assert_eq!(
        (&quick["content"][0]["type"], &thorough["content"][0]["type"]),
        (&json!("text"), &json!("thinking"))
    );
    assert_eq!(told(&quick), told(&thorough));
    let paid = |message: &Value| message["usage"]["output_tokens"].as_u64().unwrap();
    assert_eq!(paid(&thorough), paid(&quick) + THOUGHT);
}
