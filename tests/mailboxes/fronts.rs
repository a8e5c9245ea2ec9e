//! Who is let in: pushes by their tokens, browsers by their state, merchants by what they granted.

use serde_json::{Value, json};
use storeward_core::google_oauth::SCOPE;
use storeward_core::time::{HOUR, MINUTE};
use storeward_host::ProblemKind;
use storeward_local::google::oauth::Answer;

use super::{ADDRESS, PUSH_URL, World, mail, url_event};
use crate::bench::SHOP;

fn problem(answer: &Value) -> (u64, String) {
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body["type"].as_str().unwrap_or_default().to_owned())
}

fn of(kind: ProblemKind) -> (u64, String) {
    (u64::from(kind.status()), format!("urn:storeward:problem:{}", kind.id()))
}

#[tokio::test]
async fn a_push_counts_only_with_a_token_of_google_made_for_our_subscription_and_not_expired() {
    let world = World::connected().await;
    world.google.deliver(ADDRESS, mail(1, "Hello"));
    let _taken = world.google.take_pushes();
    let mut event = url_event(&world.google.push_event(ADDRESS, PUSH_URL).unwrap());
    let genuine = event["headers"]["authorization"].clone();
    let mut forged = genuine.as_str().unwrap().to_owned();
    let last = if forged.ends_with('A') { "B" } else { "A" };
    forged.replace_range(forged.len() - 20..forged.len() - 19, last);
    let token = |claims: &Value| format!("Bearer {}", world.google.push_token(claims));
    let expired = token(&json!({ "exp": 1_700_000_000 }));
    let now = storeward_core::time::Clock::now(&world.bench.clock).seconds();
    let cases = [
        (json!(""), ProblemKind::InvalidPushToken),
        (json!("Basic dGVzdA=="), ProblemKind::InvalidPushToken),
        (json!("Bearer not.a.token"), ProblemKind::InvalidPushToken),
        (json!(forged), ProblemKind::InvalidPushToken),
        (json!(expired), ProblemKind::InvalidPushToken),
        (json!(token(&json!({ "iat": now + 600 }))), ProblemKind::InvalidPushToken),
        (json!(token(&json!({ "aud": "https://other.example.com" }))), ProblemKind::WrongSubscription),
        (json!(token(&json!({ "iss": "https://issuer.example.com" }))), ProblemKind::WrongSubscription),
        (json!(token(&json!({ "email": "other@example.com" }))), ProblemKind::WrongSubscription),
        (json!(token(&json!({ "email_verified": false }))), ProblemKind::WrongSubscription),
    ];
    for (authorization, kind) in cases {
        event["headers"]["authorization"] = authorization.clone();
        let before = world.app.connector.requests().len();
        let answer = world.app.invoke("pushes/gmail-push", event.clone()).await.unwrap();
        assert_eq!(problem(&answer), of(kind), "{authorization}");
        assert_eq!(world.app.connector.requests().len(), before, "nothing is looked up for {authorization}");
    }
    event["headers"]["authorization"] = genuine;
    event["requestContext"]["http"]["method"] = json!("GET");
    let answer = world.app.invoke("pushes/gmail-push", event.clone()).await.unwrap();
    assert_eq!(
        (problem(&answer), &answer["headers"]["allow"]),
        (of(ProblemKind::MethodNotAllowed), &json!("POST"))
    );
    event["requestContext"]["http"]["method"] = json!("POST");
    let answer = world.app.invoke("pushes/gmail-push", event).await.unwrap();
    assert_eq!((&answer["statusCode"], &answer["body"]), (&json!(204), &json!("")));
    world.settle().await;
    assert_eq!(world.subjects().await, ["Hello"]);
}

#[tokio::test]
async fn a_push_that_nothing_comes_of_is_acknowledged_and_one_without_keys_comes_again() {
    let mut world = World::connected().await;
    // Of a mailbox that nobody connected.
    world.google.add_mailbox("unknown@example.com");
    assert_eq!(world.pushed(&world.google.push_event("unknown@example.com", PUSH_URL).unwrap()).await, 204);
    // And of none at all.
    let mut event = url_event(&world.google.push_event(ADDRESS, PUSH_URL).unwrap());
    for body in ["", "{}", r#"{"message":{"data":"%%%"}}"#, r#"{"message":{"data":"e30="}}"#, "\u{0}"] {
        event["body"] = json!(body);
        let answer = world.app.invoke("pushes/gmail-push", event.clone()).await.unwrap();
        assert_eq!(answer["statusCode"], 204, "{body}");
    }
    world.nothing_waits().await;
    // Where Google gives no keys, nothing is believed, and Pub/Sub is to come again.
    world.bench.set("STOREWARD_GOOGLE_KEYS_URL", "http://127.0.0.1:1/certs");
    let keyless = world.bench.app();
    let event = url_event(&world.google.push_event(ADDRESS, PUSH_URL).unwrap());
    let answer = keyless.invoke("pushes/gmail-push", event).await.unwrap();
    assert_eq!(problem(&answer), of(ProblemKind::Unavailable));
    world.nothing_waits().await;
}

#[tokio::test]
async fn a_consent_counts_once_in_the_browser_that_began_and_within_its_time() {
    let world = World::new().await;
    let (query, cookie) = world.consent(&world.installation, ADDRESS).await;
    let other = cookie.replace(|c: char| c.is_ascii_digit(), "0");
    for (query, cookie, kind) in [
        (query.clone(), None, ProblemKind::StateMismatch),
        (query.clone(), Some(other.as_str()), ProblemKind::StateMismatch),
        ("code=a&state=short".to_owned(), Some(cookie.as_str()), ProblemKind::InvalidQuery),
        ("code=a".to_owned(), Some(cookie.as_str()), ProblemKind::InvalidQuery),
        (
            query.replacen("code=", "error=access_denied&code=", 1),
            Some(cookie.as_str()),
            ProblemKind::InvalidQuery,
        ),
    ] {
        let answer = world.browse(&world.app, "/google/callback", &query, cookie).await;
        assert_eq!(problem(&answer), of(kind), "{query}");
        assert_eq!(answer["headers"]["referrer-policy"], "no-referrer");
    }
    let agreed = world.browse(&world.app, "/google/callback", &query, Some(&cookie)).await;
    assert_eq!(agreed["statusCode"], 302, "{agreed}");
    assert!(agreed["cookies"][0].as_str().unwrap().contains("Max-Age=0"));
    let again = world.browse(&world.app, "/google/callback", &query, Some(&cookie)).await;
    assert_eq!(problem(&again), of(ProblemKind::StateMismatch));
    world.settle().await;
    assert_eq!(world.bench.items("mailbox").len(), 1);
    assert!(world.bench.items("connecting").is_empty());
    // Too late, and of nobody.
    let (query, cookie) = world.consent(&world.installation, ADDRESS).await;
    world.advance(HOUR + MINUTE).await;
    let late = world.browse(&world.app, "/google/callback", &query, Some(&cookie)).await;
    assert_eq!(problem(&late), of(ProblemKind::StateMismatch));
    for state in ["", "state=", "state=x", &format!("state={}", "a".repeat(300)), &query] {
        let answer = world.browse(&world.app, "/google/start", state, None).await;
        assert_eq!(problem(&answer).0, 403, "{state}: {answer}");
    }
}

#[tokio::test]
async fn a_merchant_who_says_no_or_grants_too_little_is_told_and_nothing_is_kept() {
    let world = World::new().await;
    world.google.answer_next(Answer::Denies);
    let answer = world.connect(&world.installation, ADDRESS).await;
    assert_eq!(problem(&answer), of(ProblemKind::MailboxRefused));
    assert!(answer["body"].as_str().unwrap().contains("you did not agree"), "{answer}");
    let fewer = ["https://www.googleapis.com/auth/gmail.readonly".to_owned()];
    world.google.answer_next(Answer::Grants(fewer.into()));
    let answer = world.connect(&world.installation, ADDRESS).await;
    assert_eq!(problem(&answer), of(ProblemKind::MailboxScopesLacking));
    assert_eq!(world.google.consents(ADDRESS), 0, "given back");
    assert!(world.bench.items("mailbox").is_empty() && world.bench.items("mailbox-route").is_empty());
    // What is asked for is one scope.
    let answer = world.connect(&world.installation, ADDRESS).await;
    assert_eq!(answer["statusCode"], 302);
    assert_eq!(world.mailbox().await.tokens.unwrap().scopes, SCOPE);
    assert!(answer["headers"]["location"].as_str().unwrap().contains(SHOP));
}
