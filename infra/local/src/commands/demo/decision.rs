//! The story of the merchant, through the API: what a case shows, what is decided on it, and news of orders that come in
//! the wrong order.

use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::time::{MINUTE, Timestamp};

use super::Claims;
use super::orders::{SECOND_ORDER, WHY, cases, order_of_customer, text};
use super::stage::{OTHER_SHOP, SECOND, Stage};
use crate::commands::Trouble;
use crate::commands::history::SHOP;
use crate::commands::webhooks::Webhook;

/// The household's later orders in the second shop.
const NEXT_ORDER: u64 = 9_100_000_000_000_000_021;
const LAST_ORDER: u64 = 9_100_000_000_000_000_022;

pub(super) async fn evidence(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let nobody = stage.ask_as_nobody("/v1/cases").await?;
    claims.that("who asks for cases without a session token is answered", 401, nobody.status);
    let others = stage.ask(OTHER_SHOP, "/v1/cases").await?;
    claims.that("cases that the second shop's merchant sees", 0, entries(&others["cases"]).count());
    let case = the_case(stage, SHOP).await?;
    let explained = |member: &Value| -> Value { member["explanation"].clone() };
    let why = entries(&case["members"]).map(explained).next().unwrap_or_default();
    claims.that("the shop's own merchant reads", WHY, text(&why["sentence"]));
    let compared: Vec<String> = entries(&why["steps"])
        .filter(|step| step["level"].is_string())
        .map(|step| format!("{} {} {:+.1}", text(&step["field"]), text(&step["level"]), bits(&step["bits"])))
        .collect();
    let shown = |field: &str| compared.iter().any(|step| step.starts_with(field));
    claims.holds(
        "and field by field, how far it agrees and what that adds, in bits",
        ["email exact +", "phone exact +", "family_name exact +", "street exact +", "cart exact +"]
            .into_iter()
            .all(shown),
        "e-mail, phone, name, street and cart agree exactly",
        compared.join(", "),
    );
    let sum: f64 = entries(&why["steps"]).map(|step| bits(&step["bits"])).sum();
    let (weight, threshold) = (bits(&why["weight"]), bits(&why["threshold"]));
    claims.holds(
        "all steps add up to the weight, which is what decides",
        (sum - weight).abs() < 0.01 && weight >= threshold,
        "the sum is the weight, and not under the threshold",
        format!("{sum:.1} bits of at least {threshold:.1}, by rule {}", text(&why["rule"])),
    );
    Ok(())
}

pub(super) async fn confirm(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    claims.that("saved this month, before", "nothing", saved(stage).await?);
    let case = the_case(stage, SHOP).await?;
    let decided = decide(stage, SHOP, &case, "confirm").await?;
    claims.that("the case is", "confirmed", text(&decided["state"]));
    claims.that("saved this month: the order that is not wanted twice", "55.88 USD", saved(stage).await?);
    let again = decide(stage, SHOP, &case, "confirm").await?;
    claims.that("confirmed once more, its revision is, as before,", &decided["revision"], &again["revision"]);
    claims.that("saved this month, still", "55.88 USD", saved(stage).await?);
    Ok(())
}

pub(super) async fn news(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let (paid, cancelled) = (stage.now(), stage.now() + MINUTE);
    stage.pass(Duration::from_mins(2)).await?;
    let cancelled = news_of_second("orders/cancelled", cancelled, true, stage.now())?;
    claims.that("orders/cancelled is answered", "200 accepted", stage.post(&cancelled).await?);
    claims.that("order #1002 is", "cancelled", standing(stage).await?);
    let paid = news_of_second("orders/updated", paid, false, stage.now())?;
    claims.that("the older orders/updated is answered", "200 refused: stale", stage.post(&paid).await?);
    claims.that("order #1002 is, still", "cancelled", standing(stage).await?);
    claims.that("saved this month, still", "55.88 USD", saved(stage).await?);
    Ok(())
}

pub(super) async fn household(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    stage.pass(Duration::from_mins(10)).await?;
    claims.that("the next order is answered", "200 accepted", order_elsewhere(stage, NEXT_ORDER).await?);
    let case = the_case(stage, OTHER_SHOP).await?;
    claims.that("it is in an open case of", "2 orders", format!("{} orders", case["size"]));
    let proposed = json!({ "settings": { "window_minutes": 5 } });
    let tried = stage.tell(OTHER_SHOP, "/v1/settings/preview", &proposed).await?;
    claims.that(
        "cases in the shop's 2 orders under the settings as they are, and with a window of 5 minutes",
        "1 and 0, of 2 orders",
        format!(
            "{} and {}, of {} orders",
            tried["current"]["cases"], tried["proposed"]["cases"], tried["orders"]
        ),
    );
    let settings = stage.ask(OTHER_SHOP, "/v1/settings").await?;
    claims.that("the shop's window after that, in minutes", 24 * 60, &settings["window_minutes"]);
    let decided = decide(stage, OTHER_SHOP, &case, "never_this_household").await?;
    claims.that(
        "after \u{201c}never for this household\u{201d} the case is",
        "dismissed",
        text(&decided["state"]),
    );
    stage.pass(Duration::from_mins(5)).await?;
    claims.that("one more order is answered", "200 accepted", order_elsewhere(stage, LAST_ORDER).await?);
    let found = cases(stage, OTHER_SHOP).await?;
    let sizes: Vec<String> =
        found.iter().map(|case| format!("{} of {}", text(&case["state"]), case["size"])).collect();
    claims.that("cases of the second shop", "dismissed of 2", sizes.join(", "));
    claims.that("tags of that order", "[]", stage.tags(OTHER_SHOP, LAST_ORDER).await?);
    Ok(())
}

/// The one case of a shop, as its merchant sees it in the API.
async fn the_case(stage: &Stage, shop: &str) -> Result<Value, Trouble> {
    let listed = stage.ask(shop, "/v1/cases").await?;
    match listed["cases"].as_array().map(Vec::as_slice) {
        Some([case]) => stage.ask(shop, &format!("/v1/cases/{}", text(&case["id"]))).await,
        _ => Err(Trouble(format!("{shop} has not one case: {listed}"))),
    }
}

async fn decide(stage: &Stage, shop: &str, case: &Value, decision: &str) -> Result<Value, Trouble> {
    let path = format!("/v1/cases/{}/decision", text(&case["id"]));
    stage.tell(shop, &path, &json!({ "decision": decision })).await
}

/// What the guard saved the story's shop this month, `55.88 USD`.
async fn saved(stage: &Stage) -> Result<String, Trouble> {
    let savings = stage.ask(SHOP, "/v1/savings?months=1").await?;
    let sums = entries(&savings["months"]).flat_map(|month| entries(&month["saved"]));
    let sums: Vec<String> = sums.map(sum).collect();
    Ok(if sums.is_empty() { "nothing".to_owned() } else { sums.join(", ") })
}

/// A sum of minor units as people write it.
fn sum(saved: &Value) -> String {
    let units = saved["minor_units"].to_string();
    let decimals =
        saved["exponent"].as_u64().and_then(|digits| usize::try_from(digits).ok()).unwrap_or_default();
    let padded = format!("{units:0>width$}", width = decimals + 1);
    let (whole, cents) = padded.split_at(padded.len() - decimals);
    let point = if decimals == 0 { "" } else { "." };
    format!("{whole}{point}{cents} {}", text(&saved["currency"]))
}

/// What the API says has become of the second order.
async fn standing(stage: &Stage) -> Result<String, Trouble> {
    let case = the_case(stage, SHOP).await?;
    let second =
        entries(&case["members"]).find(|member| text(&member["order_id"]) == SECOND_ORDER.to_string());
    Ok(second.map_or("not in the case".to_owned(), |member| text(&member["standing"])))
}

/// What Shopify tells of the second order: how it was at `changed`.
fn news_of_second(
    topic: &str,
    changed: Timestamp,
    cancelled: bool,
    now: Timestamp,
) -> Result<Webhook, Trouble> {
    let mut body: Value = serde_json::from_str(&Webhook::recorded(SECOND)?.body).unwrap_or_default();
    body["updated_at"] = json!(changed.to_rfc3339());
    if cancelled {
        body["cancelled_at"] = json!(changed.to_rfc3339());
        body["cancel_reason"] = json!("customer");
    }
    Ok(Webhook::new(topic, SHOP, body.to_string(), now))
}

/// The customer's next order in the second shop.
async fn order_elsewhere(stage: &Stage, number: u64) -> Result<String, Trouble> {
    let mut order = order_of_customer(number, stage.now())?;
    OTHER_SHOP.clone_into(&mut order.shop);
    stage.order(&order).await
}

fn entries(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn bits(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}
