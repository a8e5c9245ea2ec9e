//! The demo as anybody runs it, and what `cargo run` serves.

use storeward_core::time::Timestamp;
use storeward_local::commands::demo::play_quietly;
use storeward_local::commands::serve::Served;
use storeward_local::commands::webhooks::Webhook;
use storeward_local::commands::{client, history};

use crate::bench::{START, root};

#[tokio::test]
async fn everything_the_demo_tells_is_seen_to_happen() {
    let story = play_quietly().await.unwrap();
    let failed: Vec<_> = story.steps.iter().flat_map(|step| &step.claims).filter(|claim| !claim.ok).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(
        story.holds() && story.steps.iter().all(|step| !step.claims.is_empty()),
        "no step is told unseen"
    );
    let told = story.to_json();
    assert_eq!(told["ok"], true);
    assert_eq!(told["steps"][0]["step"], "install");
    assert_eq!(told["steps"][0]["virtual_time"], "2026-11-20T14:55:00Z");
}

#[tokio::test]
async fn what_is_started_serves_the_control_page_the_functions_and_the_demo_shop() {
    // Given the bundle with its demo shop, as `cargo run` starts it.
    let from = Timestamp::parse_rfc3339(START).unwrap();
    let served = Served::start(0, None, from).await.unwrap();
    history::play(&served.bundle, served.port).await.unwrap();
    served.bundle.stack.settle().await.unwrap();
    let ask = async |method, path: &str| client::send(served.port, method, path, &[], "").await.unwrap();
    // Then the control page is there, under a policy that runs no script.
    let page = ask("GET", "/_local/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(page.body.contains("#102") && page.body.contains("#103"), "the case names its orders");
    assert!(!page.body.contains("@example.com"), "and nobody's address");
    // And every webhook's function answers at its URL, to webhooks only.
    let state = client::state(served.port).await.unwrap();
    let urls: Vec<&str> = state["functions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|function| function["handler"].as_str().unwrap().starts_with("webhooks/"))
        .map(|function| function["url"].as_str().unwrap())
        .collect();
    assert_eq!(urls.len(), std::fs::read_dir(root().join("functions/webhooks")).unwrap().count());
    for url in urls {
        assert_eq!(ask("GET", url).await.status, 405, "{url}");
    }
    // And the merchants' API is there, for who has a session.
    assert_eq!(ask("GET", "/api/v1/openapi.json").await.status, 200);
    assert_eq!(ask("GET", "/api/v1/cases").await.status, 401);
    // And the history is one case of two orders.
    let shop = &state["shops"][0];
    assert_eq!(
        (shop["domain"].as_str(), shop["cases"].as_array().map(Vec::len)),
        (Some(history::SHOP), Some(1))
    );
    assert_eq!(shop["cases"][0]["size"], 2);
    // And a sample event can be sent as if it happened now.
    let event = include_str!("../events/webhooks/orders-create/first.json");
    let answer = Webhook::recorded(event).unwrap().happening_at(from).post(served.port).await.unwrap();
    assert_eq!((answer.status, answer.json()["outcome"].as_str()), (200, Some("accepted")));
}

#[tokio::test]
async fn a_port_or_a_directory_in_use_is_said_with_what_to_do() {
    let from = Timestamp::parse_rfc3339(START).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(0, Some(directory.path()), from).await.unwrap();
    let trouble = Served::start(served.port, None, from).await.unwrap_err().to_string();
    assert!(trouble.contains("cannot be used") && trouble.contains("--port"), "{trouble}");
    let trouble = Served::start(0, Some(directory.path()), from).await.unwrap_err().to_string();
    assert!(trouble.contains("used by another instance"), "{trouble}");
    let file = directory.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let trouble = Served::start(0, Some(&file), from).await.unwrap_err().to_string();
    assert!(trouble.contains("cannot be written") && trouble.contains("--data DIR"), "{trouble}");
    // Given back when the first one ends.
    drop(served);
    Served::start(0, Some(directory.path()), from).await.unwrap();
}
