use proptest::prelude::*;
use storeward_core::data_map::Category;
use storeward_core::egress::Categories;

use super::*;

fn fault(kind: &str, cause: Option<&str>) -> Fault {
    let details = cause.map(|cause| Details { error_code: Some(cause.to_owned()) });
    Fault { kind: kind.to_owned(), details }
}

fn answered(message: Value) -> Answered {
    serde_json::from_value::<Message>(message).unwrap().answered(None)
}

#[test]
fn given_a_question_then_it_carries_what_its_parts_do_and_reads_as_the_api_takes_it() {
    let ask = Ask {
        purpose: Use::Drafting,
        model: Model::Haiku,
        effort: Effort::Low,
        system: vec![
            Part { text: Outgoing::text("Be brief."), cache: None },
            Part {
                text: Outgoing::about(Category::MerchantAccount, "Policies.".to_owned()),
                cache: Some(CacheFor::OneHour),
            },
        ],
        message: Outgoing::about(Category::Correspondence, "Hello?".to_owned()),
        schema: Outgoing::own(json!({ "type": "object", "additionalProperties": false })),
        max_tokens: 200,
        timeout: Duration::from_secs(1),
    };
    let body = ask.body();
    let expected = Categories::of(&[Category::MerchantAccount, Category::Correspondence]);
    assert_eq!(body.carries(), expected);
    assert_eq!(
        *body.value(),
        json!({
            "model": "claude-haiku-5-5",
            "max_tokens": 200,
            "system": [
                { "type": "text", "text": "Be brief." },
                {
                    "type": "text",
                    "text": "Policies.",
                    "cache_control": { "type": "ephemeral", "ttl": "1h" },
                },
            ],
            "messages": [{ "role": "user", "content": "Hello?" }],
            "output_config": {
                "effort": "low",
                "format": {
                    "type": "json_schema",
                    "schema": { "type": "object", "additionalProperties": false },
                },
            },
        })
    );
}

#[test]
fn given_thoughts_and_several_texts_then_the_texts_are_the_answer() {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5",
        "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "x" },
            { "type": "text", "text": "{\"a\":" },
            { "type": "something_new", "data": {} },
            { "type": "text", "text": "1}" },
        ],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {
            "input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 600,
            "cache_creation_input_tokens": 900,
            "cache_creation": { "ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 600 },
        },
    });
    let told = answered(message);
    assert_eq!(told.value::<Value>(), Some(json!({ "a": 1 })));
    let usage = Usage { input: 5, output: 7, cache_read: 600, cache_write_5m: 300, cache_write_1h: 600 };
    assert_eq!((told.usage, told.usage.cache_write(), told.usage.prompt()), (usage, 900, 1_505));
    assert_eq!(format!("{:?}", told.text), "(personal)");
}

#[test]
fn given_an_answer_that_did_not_come_to_its_end_then_it_has_no_value() {
    for (reason, stop) in [
        (json!("max_tokens"), StopReason::MaxTokens),
        (json!("model_context_window_exceeded"), StopReason::MaxTokens),
        (json!("refusal"), StopReason::Refusal),
        (json!("tool_use"), StopReason::Other),
        (json!("something_new"), StopReason::Other),
        (Value::Null, StopReason::Other),
    ] {
        let told = answered(json!({
            "content": [{ "type": "text", "text": "{}" }], "stop_reason": reason,
            "usage": { "input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 9 },
        }));
        assert_eq!((told.stop, told.value::<Value>()), (stop, None));
        assert_eq!(told.usage.cache_write_1h, 9, "what is not told apart counts as the dearer");
    }
}

#[test]
fn given_a_failure_then_it_says_whether_and_when_to_repeat_and_quotes_nothing() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let throttled = |seconds| ClientError::Throttled(Duration::from_secs(seconds));
    let rejected = |code: &str| ClientError::Rejected(code.to_owned());
    let unavailable = |code: &str| ClientError::Unavailable(code.to_owned());
    let spent = Some("enforced_spend_limit_reached");
    for (status, told, wait, kind, cause, expected) in [
        (529, None, None, "overloaded_error", None, unavailable("overloaded_error")),
        (529, Some(true), seconds(7), "overloaded_error", None, throttled(7)),
        (500, None, None, "api_error", None, unavailable("api_error")),
        (504, None, None, "timeout_error", None, unavailable("timeout_error")),
        (408, None, None, "", None, unavailable("status 408")),
        (409, None, None, "conflict_error", None, unavailable("conflict_error")),
        (429, None, seconds(30), "rate_limit_error", None, throttled(30)),
        (429, None, None, "rate_limit_error", None, ClientError::Throttled(PAUSE)),
        (429, None, None, "rate_limit_error", spent, rejected("enforced_spend_limit_reached")),
        (429, Some(true), seconds(1), "rate_limit_error", spent, rejected("enforced_spend_limit_reached")),
        (429, Some(false), seconds(1), "rate_limit_error", None, rejected("rate_limit_error")),
        (500, Some(false), None, "api_error", None, rejected("api_error")),
        (400, None, seconds(1), "invalid_request_error", None, rejected("invalid_request_error")),
        (400, Some(true), None, "invalid_request_error", None, unavailable("invalid_request_error")),
        (400, None, None, "no code: someone@example.com", None, rejected("status 400")),
        (401, None, None, "authentication_error", None, ClientError::Unauthorized),
        (402, None, None, "billing_error", None, rejected("billing_error")),
        (403, None, None, "permission_error", None, ClientError::Unauthorized),
        (404, None, None, "not_found_error", None, rejected("not_found_error")),
        (413, None, None, "request_too_large", None, rejected("request_too_large")),
    ] {
        let failed = failed(status, told, wait, &fault(kind, cause));
        assert_eq!(failed, expected, "{status} {kind} {cause:?} {told:?}");
    }
}

#[test]
fn a_thousand_short_mails_cost_what_the_price_list_says() {
    // 600 tokens read from the cache, 300 anew, 40 written.
    let mail = Usage { input: 300, output: 40, cache_read: 600, ..Usage::default() };
    assert_eq!(cost(&mail, Model::Haiku), 56);
    assert_eq!(cost(&mail, Model::Sonnet), 1_060);
    let first = Usage { cache_read: 0, cache_write_1h: 600, ..mail };
    assert_eq!(cost(&first, Model::Haiku), 170);
    let million = 1_000_000;
    let each = [
        (Usage { input: million, ..Usage::default() }, 500_000, 2_000_000),
        (Usage { output: million, ..Usage::default() }, 500_000, 10_000_000),
        (Usage { cache_read: million, ..Usage::default() }, 50_000, 100_000),
        (Usage { cache_write_5m: million, ..Usage::default() }, 625_000, 2_500_000),
        (Usage { cache_write_1h: million, ..Usage::default() }, 1_000_000, 4_000_000),
    ];
    for (usage, haiku, sonnet) in each {
        assert_eq!((cost(&usage, Model::Haiku), cost(&usage, Model::Sonnet)), (haiku, sonnet), "{usage:?}");
    }
    let at_most = Usage { input: LONG_PROMPT, ..Usage::default() };
    let more = Usage { input: LONG_PROMPT + 1, ..Usage::default() };
    assert_eq!((cost(&at_most, Model::Haiku), cost(&more, Model::Haiku)), (10_000, 50_001));
}

proptest! {
    #[test]
    fn a_request_is_never_dearer_for_what_the_cache_already_had(
        input in 0u64..50_000, cached in 0u64..50_000, output in 0u64..10_000,
    ) {
        for model in [Model::Haiku, Model::Sonnet] {
            let anew = Usage { input: input + cached, output, ..Usage::default() };
            let read = Usage { input, output, cache_read: cached, ..Usage::default() };
            prop_assert!(cost(&read, model) <= cost(&anew, model));
        }
    }

    #[test]
    fn an_id_that_is_taken_over_has_no_address_in_it(text in ".{0,80}") {
        prop_assert!(!is_id(&text) || !text.contains(['@', ' ', '\n']));
    }
}
