//! The story up to the erasure: orders, the case, and deliveries that are not what they seem.

use serde_json::{Value, json};
use storeward_core::time::Timestamp;

use super::Claims;
use super::stage::{FIRST, OTHER_SHOP, SECOND, STRANGER, Stage, kind};
use crate::commands::Trouble;
use crate::commands::history::SHOP;
use crate::commands::webhooks::Webhook;

/// The sample orders' numbers.
pub(super) const FIRST_ORDER: u64 = 9_100_000_000_000_000_001;
pub(super) const SECOND_ORDER: u64 = 9_100_000_000_000_000_002;

/// Why the two are one case, in the mail as well as in the API.
pub(super) const WHY: &str = "The same e-mail address, the same phone number, the same delivery address, the same name and \
     the same customer account; the same cart and the same total, less than a minute apart.";

const STRANGERS_ORDER: u64 = 9_100_000_000_000_000_005;

pub(super) async fn install(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    for shop in [SHOP, OTHER_SHOP] {
        let claim = format!("the app is opened in the admin of {shop}, and answers");
        claims.that(claim, "200 connected", stage.install(shop).await?);
        claims.that(format!("{shop} is"), "installed", text(&stage.shop(shop).await?["state"]));
    }
    stage.tenant = stage.tenant_of(SHOP).await?;
    claims.that("the bundle has access to the shop", "yes", yes_no(stage.holds_token().await?));
    let wrapped = stage.items()?.iter().filter(|(_, item)| kind(item) == "keys").count();
    claims.that("wrapped keys, one set for each shop", 2, wrapped);
    claims.that("the ledger has it", "yes", yes_no(stage.ledger(SHOP, "installed").await?.is_some()));
    Ok(())
}

pub(super) async fn bystanders(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let now = stage.now();
    let stranger = Webhook::recorded(STRANGER)?.happening_at(now);
    claims.that("the stranger's order is answered", "200 accepted", stage.order(&stranger).await?);
    let mut elsewhere = Webhook::recorded(FIRST)?.happening_at(now).delivered_anew();
    OTHER_SHOP.clone_into(&mut elsewhere.shop);
    claims.that("the order in the second shop is answered", "200 accepted", stage.order(&elsewhere).await?);
    Ok(())
}

pub(super) async fn first(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let order = Webhook::recorded(FIRST)?;
    stage.pass_until(order.triggered_at).await?;
    stage.before = stage.items()?.into_iter().map(|(place, _)| place).collect();
    claims.that("order #1001 is answered", "200 accepted", stage.order(&order).await?);
    claims.that("orders of the shop that are stored", 2, count(stage, "order")?);
    claims.that("cases", 0, cases(stage, SHOP).await?.len());
    Ok(())
}

pub(super) async fn second(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let order = Webhook::recorded(SECOND)?;
    stage.pass_until(order.triggered_at).await?;
    claims.that("order #1002 is answered", "200 accepted", stage.order(&order).await?);
    claims.that("orders of the shop that are stored", 3, count(stage, "order")?);
    let now = stage.items()?.into_iter().map(|(place, _)| place);
    stage.of_customer = now.filter(|place| !stage.before.contains(place)).collect();
    Ok(())
}

pub(super) async fn case(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let found = cases(stage, SHOP).await?;
    claims.that("cases of the shop", 1, found.len());
    let case = found.first().cloned().unwrap_or_default();
    claims.that("it is", "open", text(&case["state"]));
    let mut orders: Vec<String> = case["orders"].as_array().into_iter().flatten().map(text).collect();
    orders.sort();
    claims.that("its orders", "#1001, #1002", orders.join(", "));
    claims.that(
        "its reasons",
        "the same e-mail address, the same phone number, the same delivery address, the same name, the same \
         customer account, the same cart, the same total",
        list(&case["reasons"]),
    );
    claims.that("cases of the second shop", 0, cases(stage, OTHER_SHOP).await?.len());
    Ok(())
}

pub(super) async fn tags(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    for (name, order) in [("#1001", FIRST_ORDER), ("#1002", SECOND_ORDER)] {
        claims.that(format!("tags of {name}"), r#"["possible-duplicate"]"#, stage.tags(SHOP, order).await?);
    }
    claims.that("tags of the stranger's order", "[]", stage.tags(SHOP, STRANGERS_ORDER).await?);
    claims.that("times Shopify was told", 2, stage.taggings());
    Ok(())
}

pub(super) fn alert(stage: &Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let mails = stage.mails();
    claims.that("mails that the merchant got", 1, mails.len());
    let mail = mails.first().cloned().ok_or_else(|| Trouble("there is no mail".to_owned()))?;
    claims.that("it is sent to", "owner@example.com", mail.to.join(", "));
    claims.that("its subject", "Possible duplicate: #1001 and #1002", swapped(&mail.subject));
    claims.that("it says why", WHY, mail.text.lines().nth(3).unwrap_or_default().trim());
    let told = [&mail.subject, &mail.text, &mail.html].map(|text| text.to_ascii_lowercase()).concat();
    let customer = ["sample.customer", "sample customer", "2025550143", "washington"];
    let found: Vec<&str> = customer.into_iter().filter(|text| told.contains(text)).collect();
    claims.that(
        "what it tells of the customer",
        "nothing",
        if found.is_empty() { "nothing" } else { "something" },
    );
    Ok(())
}

/// The two orders may have joined in either order.
fn swapped(subject: &str) -> String {
    subject.replace("#1002 and #1001", "#1001 and #1002")
}

pub(super) async fn repetition(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let before = stage.items()?;
    let again = Webhook::recorded(SECOND)?;
    claims.that("the same delivery is answered", "200 duplicate", stage.post(&again).await?);
    claims.that("something stored changed by it", "no", yes_no(stage.items()? != before));
    claims.that("times Shopify was told, still", 2, stage.taggings());
    claims.that("mails, still", 1, stage.mails().len());
    Ok(())
}

pub(super) async fn forgery(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let before = stage.items()?;
    let mut forged = Webhook::recorded(FIRST)?.delivered_anew();
    forged.body = forged.body.replacen("Washington", "Mashington", 1);
    claims.that("it is answered", "401 bad-signature", stage.post(&forged).await?);
    claims.that("something stored changed by it", "no", yes_no(stage.items()? != before));
    Ok(())
}

pub(super) async fn replay(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let before = stage.items()?;
    let body = json!({
        "shop_id": 70_000_000_001_u64, "shop_domain": SHOP, "orders_requested": [FIRST_ORDER, SECOND_ORDER],
        "customer": { "id": 9_200_000_000_000_000_001_u64, "email": "sample.customer@example.com" },
        "data_request": { "id": 9_800_000_000_000_000_001_u64 },
    });
    let captured = Webhook::new("shop/redact", SHOP, body.to_string(), stage.now());
    claims.that("it is answered", "400 malformed-body", stage.post(&captured).await?);
    claims.that("something stored changed by it", "no", yes_no(stage.items()? != before));
    claims.that("the shop is still", "installed", text(&stage.shop(SHOP).await?["state"]));
    Ok(())
}

/// The cases of a shop, as the control page shows them.
pub(super) async fn cases(stage: &Stage, shop: &str) -> Result<Vec<Value>, Trouble> {
    Ok(stage.shop(shop).await?["cases"].as_array().cloned().unwrap_or_default())
}

/// How many items of a kind the story's shop has.
pub(super) fn count(stage: &Stage, kind: &str) -> Result<usize, Trouble> {
    Ok(stage.kinds()?.get(kind).copied().unwrap_or_default())
}

/// An order of the story's customer under another number, placed at a time and posted now.
pub(super) fn order_of_customer(number: u64, placed: Timestamp) -> Result<Webhook, Trouble> {
    let mut webhook = Webhook::recorded(FIRST)?.happening_at(placed);
    let mut body: Value = serde_json::from_str(&webhook.body).unwrap_or_default();
    body["id"] = json!(number);
    body["name"] = json!(format!("#{}", number % 10_000 + 1000));
    webhook.body = body.to_string();
    Ok(webhook.happening_at(placed).delivered_anew())
}

/// For people.
pub(super) const fn yes_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn list(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}
