//! What a stranger can put into a body: every webhook gets its samples with parts replaced by what no one expects.
//! Whatever it is, the answer is a clear one and a refused body leaves nothing. Bytes that are no JSON at all stand in
//! `front`; the same parsers run under a coverage-guided fuzzer in `fuzz/`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::bench::{Bench, SECRETS, SHOP, root, sample, signed_delivery};

/// Statuses a genuine caller can be answered with, whatever the body holds: taken, refused as malformed, of another shop
/// or unknown, or too large. Never a failure of ours.
const CLEAR: [u64; 4] = [200, 400, 404, 413];

/// By then everything that a job puts off has come.
const LATER: Duration = Duration::from_mins(20);

/// Stands in what replaces a part; no answer may repeat it.
const CANARY: &str = "canary";

/// The webhook functions with every sample of theirs.
fn samples() -> Vec<(String, String)> {
    let of = |function: &str| {
        let files = std::fs::read_dir(root().join("events").join(function)).unwrap();
        let names = files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
        names.collect::<BTreeSet<String>>()
    };
    bootstrap::FUNCTIONS
        .iter()
        .filter(|function| function.name.starts_with("webhooks/"))
        .flat_map(|function| of(function.name).into_iter().map(|name| (function.name.to_owned(), name)))
        .collect()
}

/// How many values a document holds, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// Replaces the value with the given number, in the order of reading.
fn replace(value: &mut Value, number: &mut usize, by: &Value) {
    if *number == 0 {
        *value = by.clone();
    }
    *number = number.wrapping_sub(1);
    if *number > usize::MAX / 2 {
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, number, by)),
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, number, by)),
        _ => {}
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(CANARY), |inner, _| json!([inner]))
}

/// Values that a field is not made for.
fn unexpected() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        Just(String::new()),
        Just(CANARY.to_owned()),
        Just(format!("{CANARY}\u{0}\u{7f}\u{85}")),
        Just(format!("\u{202e}{CANARY}\u{200d}\u{feff}")),
        Just(format!("e{}{CANARY}", "\u{301}".repeat(500))),
        Just(format!("<script>{CANARY}</script>'; DROP TABLE data;--${{{CANARY}}}%s%n")),
        Just(format!("{}@{CANARY}.example", "a".repeat(100_000))),
        Just("9".repeat(400)),
        Just("+".repeat(70)),
        Just("2026-13-45T99:99:99Z".to_owned()),
        Just("gid://shopify/Order/0/../1".to_owned()),
        "\\PC{0,60}",
    ];
    prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(9_007_199_254_740_993_u64)),
        Just(json!(u64::MAX)),
        Just(json!(1e300)),
        Just(json!(0.1)),
        Just(json!({})),
        Just(json!([])),
        Just(nested(100)),
        Just(json!({CANARY: CANARY})),
        texts.prop_map(Value::String),
    ]
}

#[test]
fn whatever_stands_in_a_signed_body_the_answer_is_clear_and_a_refused_one_leaves_nothing() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let samples = samples();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), unexpected()), 1..4);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let accepted = Cell::new(0);
    let refused = Cell::new(0);
    runner
        .run(&(prop::sample::select(samples), changes), |((function, name), changes)| {
            runtime.block_on(async {
                // Given a shop with the app, and a genuine body of which parts are something else.
                let bench = Bench::new().await;
                let app = bench.app();
                app.install().await;
                let event = sample(&format!("{function}/{name}"));
                let topic = event["headers"]["x-shopify-topic"].as_str().unwrap();
                let text = event["body"].as_str().unwrap();
                let mut body: Value = if event["isBase64Encoded"] == true {
                    serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
                } else {
                    serde_json::from_str(text).unwrap()
                };
                for (at, by) in &changes {
                    let mut number = at.index(count(&body));
                    replace(&mut body, &mut number, by);
                }
                let before = (bench.dump(), bench.messages().await);
                // When it arrives, signed.
                let event = signed_delivery(topic, "stranger", SHOP, SECRETS[0], &body.to_string());
                let answer = app.invoke(&function, event).await.unwrap();
                // Then the answer says what is wrong, without repeating it.
                let status = answer["statusCode"].as_u64().unwrap();
                prop_assert!(CLEAR.contains(&status), "{function}: {answer}");
                prop_assert!(!answer.to_string().contains(CANARY), "{function}: {answer}");
                if status == 200 {
                    accepted.set(accepted.get() + 1);
                    // And what was taken can be worked on, later parts of it too: nothing is kept in a queue.
                    bench.drain(&app).await;
                    bench.advance(LATER).await;
                    bench.drain(&app).await;
                    prop_assert_eq!(bench.messages().await, 0);
                } else {
                    refused.set(refused.get() + 1);
                    prop_assert!((bench.dump(), bench.messages().await) == before, "{function}: {answer}");
                }
                Ok(())
            })
        })
        .unwrap();
    let (accepted, refused) = (accepted.get(), refused.get());
    assert!(accepted > 0 && refused > 0, "both sides were seen: {accepted} accepted, {refused} refused");
}
