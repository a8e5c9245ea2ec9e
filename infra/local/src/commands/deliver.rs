//! `deliver`: be Shopify for one sample event, against a stack that runs already.

use std::io::Write;
use std::path::Path;

use storeward_core::time::Timestamp;

use super::Trouble;
use super::client;
use super::webhooks::Webhook;

/// Signs and sends the event in a file to the stack at `port`, as if it happened now. Answers whether it was
/// taken, with a status of 2xx.
pub async fn deliver(event: &Path, port: u16, same_id: bool, out: &mut impl Write) -> Result<bool, Trouble> {
    let text = std::fs::read_to_string(event)
        .map_err(|error| Trouble::new(&format!("{} cannot be read", event.display()), error))?;
    let recorded = Webhook::recorded(&text)?;
    let state = client::state(port).await.map_err(|error| {
        Trouble(format!(
            "{error}\nNothing answers at port {port}: start it with `cargo run`, or name its --port."
        ))
    })?;
    let now = state["clock"]["now"].as_str().and_then(Timestamp::parse_rfc3339).unwrap_or_default();
    let mut webhook = recorded.happening_at(now);
    if !same_id {
        webhook = webhook.delivered_anew();
    }
    if webhook.topic == "app/uninstalled" {
        // It happens before it is told. A shop that the simulated Shopify does not have has nothing to end.
        let path = format!("/_local/shopify/{}/uninstall", webhook.shop);
        client::post_json(port, &path, &serde_json::Value::Null).await?;
    }
    let answer = webhook.post(port).await?;
    let url = format!("http://127.0.0.1:{port}/lambda-url/{}/", webhook.function);
    writeln!(out, "{} for {} to {url}\n{} {}", webhook.topic, webhook.shop, answer.status, answer.body)
        .map_err(|error| Trouble::new("standard output", error))?;
    Ok((200..300).contains(&answer.status))
}
