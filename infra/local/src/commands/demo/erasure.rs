//! The story of the erasure: what is stored, what is left of it, and that it stays away.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use storeward_core::receipt::Receipt;

use super::Claims;
use super::orders::{cases, count, list, order_of_customer, text, yes_no};
use super::stage::{OTHER_SHOP, REDACT, Stage, kind};
use crate::commands::Trouble;
use crate::commands::history::SHOP;
use crate::commands::webhooks::Webhook;

/// What the customer typed, and what Shopify numbered: none of it may be readable anywhere.
const PERSONAL: [&str; 8] = [
    "sample.customer@example.com",
    "+12025550143",
    "555-0143",
    "Sample Customer",
    "1 Example St",
    "9100000000000000001",
    "9100000000000000002",
    "9200000000000000001",
];

pub(super) fn at_rest(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    plain_text(stage, claims)?;
    // That the search finds what is there: the shop's blinded name stands in every key.
    let name = stage.blinded()?;
    let found = stage.raw(&[&name])?.values().sum::<usize>();
    claims.holds("the same search for the shop's blinded name finds it", found > 20, "many times", found);
    Ok(())
}

fn plain_text(stage: &Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let found: usize = stage.raw(&PERSONAL)?.values().sum();
    let claim = format!("{} things a customer is known by, in the database's raw bytes", PERSONAL.len());
    claims.that(claim, "found 0 times", format!("found {found} times"));
    Ok(())
}

pub(super) async fn erase(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let removable = ["order", "match", "subject", "case"];
    let stored = stage.items()?;
    let theirs: Vec<_> = stored.iter().filter(|(place, _)| stage.of_customer.contains(place)).collect();
    let theirs: Vec<_> = theirs.into_iter().filter(|(_, item)| removable.contains(&kind(item))).collect();
    let of = |name: &str| theirs.iter().filter(|(_, item)| kind(item) == name).count();
    let before = format!(
        "{} orders, {} case, {} matching rows, {} subject rows",
        of("order"),
        of("case"),
        of("match"),
        of("subject")
    );
    claims.holds(
        "what the two orders have left so far",
        of("order") == 2 && of("case") == 1 && of("match") > 0 && of("subject") > 0,
        "2 orders, 1 case, and index rows",
        before,
    );
    let records: Vec<&str> = theirs
        .iter()
        .filter(|(_, item)| ["order", "case"].contains(&kind(item)))
        .map(|(place, _)| place.2.as_str())
        .collect();
    let others_before = stage.places_of(text(&stage.shop(OTHER_SHOP).await?["blinded"]).as_str())?;

    let request = Webhook::recorded(REDACT)?;
    let request = Webhook { triggered_at: stage.now(), ..request };
    claims.that("customers/redact is answered", "200 accepted", stage.post(&request).await?);

    let now: BTreeSet<_> = stage.items()?.into_iter().map(|(place, _)| place).collect();
    let left = theirs.iter().filter(|(place, _)| now.contains(place)).count();
    claims.that(format!("of these {} items are left", theirs.len()), 0, left);
    let found = stage.raw_beside_tombstones(&records)?;
    claims.that(
        "the blinded names of the two orders and their case, in the database's raw bytes beside the tombstones",
        "found 0 times",
        format!("found {found} times"),
    );
    plain_text(stage, claims)?;
    let found = cases(stage, SHOP).await?;
    let case = found.first().cloned().unwrap_or_default();
    claims.that(
        "what is left of the case",
        format!("anonymised, of 2 orders, naming none, opened {}", stage.now().day()),
        format!(
            "{}, of {} orders, naming {}, opened {}",
            text(&case["state"]),
            case["size"],
            Some(list(&case["orders"])).filter(|names| !names.is_empty()).unwrap_or("none".to_owned()),
            text(&case["opened"]),
        ),
    );
    claims.that("orders of the shop, all of them the stranger's", 1, count(stage, "order")?);
    let others = stage.places_of(text(&stage.shop(OTHER_SHOP).await?["blinded"]).as_str())?;
    claims.that("an item of the second shop came or went", "no", yes_no(others != others_before));
    Ok(())
}

pub(super) async fn late(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let late = order_of_customer(9_100_000_000_000_000_007, stage.now() - Duration::from_secs(20))?;
    claims.that("it is answered", "200 refused: erased", stage.order(&late).await?);
    claims.that("orders of the shop, still", 1, count(stage, "order")?);
    Ok(())
}

/// Reads the receipt of an erasure.
pub(super) async fn receipt_counts(
    stage: &Stage,
    claims: &mut Claims,
    counts: &'static str,
) -> Result<(), Trouble> {
    let receipt = stage.ledger(SHOP, "subject-erasure-verified").await?.unwrap_or_default();
    claims.that("the receipt counts", counts, &receipt["counts"]);
    let verified = text(&receipt["verified"]);
    claims.holds("it says how it was checked", receipt["verified"].is_string(), "a sentence", verified);
    Ok(())
}

pub(super) async fn second_pass(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let early = stage.ledger(SHOP, "subject-erasure-verified").await?.is_some();
    claims.that("a receipt is there before its time", "no", yes_no(early));
    stage.pass(Duration::from_mins(15)).await?;
    receipt_counts(stage, claims, r#"{"case":1,"draft":0,"mail":0,"order":2,"thread":0}"#).await?;
    let ledger = stage.ask(SHOP, "/v1/ledger?limit=100").await?;
    let mut entries = ledger["entries"].as_array().into_iter().flatten();
    let told = entries.find(|entry| entry["what"] == "subject-erasure-verified");
    let told = told.map(|entry| Receipt::deserialize(&entry["receipt"]).map(|receipt| receipt.verify()));
    claims.that(
        "the owner reads the same receipt through the API, and it verifies",
        "yes",
        yes_no(matches!(told, Some(Ok(Ok(()))))),
    );
    let items = stage.items()?;
    let requests: Vec<&Value> =
        items.iter().map(|(_, item)| item).filter(|item| kind(item) == "request").collect();
    claims.that("requests that are kept", 1, requests.len());
    let sealed = requests.iter().filter(|request| request.get("sealed").is_some()).count();
    claims.that("of these still know whom they were about", 0, sealed);
    Ok(())
}

pub(super) async fn comes_back(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let order = order_of_customer(9_100_000_000_000_000_008, stage.now())?;
    claims.that("the new order is answered", "200 accepted", stage.order(&order).await?);
    claims.that("orders of the shop", 2, count(stage, "order")?);
    Ok(())
}
