//! The story of the shop's end: uninstall, purge, receipt, and what comes too late.

use std::collections::BTreeSet;
use std::time::Duration;

use storeward_core::data_map::{PURGE_AFTER, PURGE_DEADLINE};
use storeward_core::time::{HOUR, Timestamp};

use super::Claims;
use super::orders::{count, order_of_customer, text, yes_no};
use super::stage::{OTHER_SHOP, SHOP_REDACT, Stage, UNINSTALLED};
use crate::commands::Trouble;
use crate::commands::history::SHOP;
use crate::commands::webhooks::Webhook;

pub(super) async fn uninstall(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    stage.uninstalled_at = stage.now();
    claims.that("the bundle has access to the shop", "yes", yes_no(stage.holds_token().await?));
    stage.end_access();
    let webhook = Webhook::recorded(UNINSTALLED)?.happening_at(stage.now());
    claims.that("app/uninstalled is answered", "200 accepted", stage.post(&webhook).await?);
    claims.that("the shop is", "uninstalled", text(&stage.shop(SHOP).await?["state"]));
    claims.that("the bundle still has its access token", "no", yes_no(stage.holds_token().await?));
    let due: Vec<String> = purges(stage).await?.into_iter().map(|due| after(stage, due)).collect();
    claims.that("its purge is scheduled for", "36:00 h after the uninstall", due.join(", "));
    Ok(())
}

pub(super) async fn order_after(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let orders = count(stage, "order")?;
    let order = order_of_customer(9_100_000_000_000_000_009, stage.now())?;
    claims.that("it is answered", "200 refused: uninstalled", stage.order(&order).await?);
    claims.that("orders of the shop, as before", orders, count(stage, "order")?);
    Ok(())
}

pub(super) async fn hours(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let name = stage.blinded()?;
    let other = text(&stage.shop(OTHER_SHOP).await?["blinded"]);
    stage.of_other = stage.places_of(&other)?;
    let since = stage.invocations();
    let mut left = vec![stage.places_of(&name)?.len()];
    // To one hour before the deadline: what is gone by then was gone in time.
    let hours = u32::try_from(PURGE_DEADLINE.as_secs() / HOUR.as_secs()).unwrap_or_default() - 1;
    for hour in 1..=hours {
        stage.pass_until(stage.uninstalled_at + HOUR * hour).await?;
        left.push(stage.places_of(&name)?.len());
    }
    let at = |hour: usize| left.get(hour).copied().unwrap_or(usize::MAX);
    claims.holds(
        "items outside the ledger and the access log right after the uninstall",
        at(0) > 0,
        "some",
        at(0),
    );
    claims.holds("after 35 hours", at(35) > 0, "some", at(35));
    claims.that("after 36 hours", 0, at(36));
    claims.that("after 47 hours", 0, at(47));
    let ran = stage.first_run("purge-shop", since).map_or("never".to_owned(), |ran| after(stage, ran));
    claims.that("the purge ran", "36:00 h after the uninstall", ran);
    let receipt = stage.ledger(SHOP, "shop-purged").await?.unwrap_or_default();
    let done = receipt["at"].as_str().and_then(Timestamp::parse_rfc3339);
    let took = done.map(|done| done.since(stage.uninstalled_at));
    claims.holds(
        "it was finished",
        took.is_some_and(|took| took >= PURGE_AFTER && took < PURGE_DEADLINE),
        "between 36:00 and 48:00 h after the uninstall",
        done.map_or("never".to_owned(), |done| format!("{}, at {done}", after(stage, done))),
    );
    Ok(())
}

pub(super) async fn nothing_left(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let name = stage.blinded()?;
    let tables: BTreeSet<String> = stage.items()?.into_iter().map(|((table, _, _), _)| table).collect();
    let left = stage.places_of(&name)?;
    claims.that(
        format!("items of the shop outside the ledger and the access log, in {} tables", tables.len()),
        0,
        left.len(),
    );
    let keys = stage.items()?.iter().filter(|((_, pk, _), _)| *pk == format!("shop#{name}")).count();
    claims.that("installations and wrapped keys of the shop", 0, keys);
    let kinds: Vec<String> = stage.kinds()?.into_keys().collect();
    claims.that(
        "kinds of items that name the shop at all, by its blinded name",
        "access, ledger",
        kinds.join(", "),
    );
    claims.that("schedules for the purge that are left", 0, purges(stage).await?.len());
    let other = text(&stage.shop(OTHER_SHOP).await?["blinded"]);
    let now = stage.places_of(&other)?;
    claims.that("items of the second shop", stage.of_other.len(), stage.of_other.intersection(&now).count());
    Ok(())
}

pub(super) async fn receipt(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let receipt = stage.ledger(SHOP, "shop-purged").await?.unwrap_or_default();
    claims.that(
        "what was deleted",
        r#"{"case":1,"delivery":6,"order":2,"request":1,"statistics":1,"tombstone":5}"#,
        &receipt["counts"],
    );
    claims.that("why", "app/uninstalled", text(&receipt["why"]));
    let verified = text(&receipt["verified"]);
    claims.holds("how it was checked", receipt["verified"].is_string(), "a sentence", verified);
    Ok(())
}

pub(super) async fn redact(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    stage.pass_until(stage.uninstalled_at + PURGE_DEADLINE).await?;
    let webhook = Webhook::recorded(SHOP_REDACT)?.happening_at(stage.now());
    claims.that("shop/redact is answered", "200 nothing_to_do", stage.post(&webhook).await?);
    let noted = stage.ledger(SHOP, "shop-redact-confirmed").await?.unwrap_or_default();
    let at = noted["at"].as_str().and_then(Timestamp::parse_rfc3339);
    let at = at.map_or("never".to_owned(), |at| after(stage, at));
    claims.that("the ledger has it", "48:00 h after the uninstall", at);
    Ok(())
}

pub(super) async fn reinstall(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    stage.pass(HOUR).await?;
    let before = stage.tenant.clone();
    claims.that("the app is opened, and answers", "200 connected", stage.install(SHOP).await?);
    stage.tenant = stage.tenant_of(SHOP).await?;
    claims.that(
        "it is another installation, with keys of its own",
        "yes",
        yes_no(stage.tenant.is_some() && stage.tenant != before),
    );
    let order = order_of_customer(9_100_000_000_000_000_010, stage.now())?;
    claims.that("an order is answered", "200 accepted", stage.order(&order).await?);
    let late = Webhook::recorded(SHOP_REDACT)?.happening_at(stage.now()).delivered_anew();
    claims.that("the late shop/redact is answered", "200 refused: installed", stage.post(&late).await?);
    stage.pass(Duration::from_hours(2)).await?;
    claims.that("two hours later the shop is", "installed", text(&stage.shop(SHOP).await?["state"]));
    claims.that("and its order is there", 1, count(stage, "order")?);
    let refused = stage.ledger(SHOP, "refused").await?.unwrap_or_default();
    claims.that("the ledger has the refusal, of", "shop/redact", text(&refused["why"]));
    Ok(())
}

pub(super) async fn end(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let (queues, waiting) = waiting(stage).await?;
    claims.that(format!("messages in {queues} queues, dead letters included"), "none", waiting);
    let failures = stage.failures();
    claims.that(format!("failures in {} invocations", stage.invocations()), "none", none(&failures));
    Ok(())
}

/// How many queues there are, and how many messages wait in which of them.
async fn waiting(stage: &Stage) -> Result<(usize, String), Trouble> {
    let known = stage.state().await?;
    let queues = known["queues"].as_array().cloned().unwrap_or_default();
    let mut waiting = Vec::new();
    for queue in &queues {
        let messages: u64 =
            ["visible", "in_flight", "delayed"].iter().filter_map(|how| queue[how].as_u64()).sum();
        if messages > 0 {
            waiting.push(format!("{messages} in {}", text(&queue["name"])));
        }
    }
    Ok((queues.len(), none(&waiting)))
}

fn none(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

/// When the purges that are scheduled are due.
async fn purges(stage: &Stage) -> Result<Vec<Timestamp>, Trouble> {
    let known = stage.state().await?;
    let schedules = known["schedules"].as_array().into_iter().flatten();
    let purges = schedules
        .filter(|schedule| schedule["target"].as_str().is_some_and(|target| target.contains("purge-shop")));
    Ok(purges.filter_map(|purge| purge["next"].as_str().and_then(Timestamp::parse_rfc3339)).collect())
}

/// A time, as hours and minutes since the uninstall.
fn after(stage: &Stage, time: Timestamp) -> String {
    let minutes = time.since(stage.uninstalled_at).as_secs() / 60;
    format!("{}:{:02} h after the uninstall", minutes / 60, minutes % 60)
}
