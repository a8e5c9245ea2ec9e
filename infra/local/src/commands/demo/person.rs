//! The story of the mail desk, its customer: what reached Claude of her, what she is shown, and that she is forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::rights::LINK_LIFETIME;
use storeward_core::time::MINUTE;

use super::Claims;
use super::erasure::receipt_counts;
use super::letters::{ACCOUNT, BROKEN_ORDER, LATEST_ORDER, Letter, PHONE, WRITER};
use super::mailbox::{MAILBOX, listed};
use super::orders::{list, text, yes_no};
use super::stage::{Stage, kind};
use crate::commands::Trouble;
use crate::commands::history::SHOP;
use crate::commands::webhooks::Webhook;

/// What the customer is known by, as she, her orders and her mails write it.
const PERSONAL: [&str; 10] = [
    WRITER,
    "casey.writer",
    "Casey",
    "555-0167",
    "2025550167",
    "31 Example Street",
    "#2031",
    "#2032",
    "SAMPLE0042US",
    "9200000000000000031",
];

/// Words of her mails that tell nothing of her: that a search finds what is there.
const HARMLESS: &str = "I want my money back";

/// What a conversation consists of, by the kinds of the data map.
const KINDS: [&str; 6] = ["thread", "mail", "draft", "thread-index", "mail-link", "subject"];

/// A mail that comes after she was forgotten.
const LATER: Letter = Letter {
    from: "Later Sample <later.sample@example.com>",
    subject: "Gift cards",
    id: "demo-later@example.com",
    text: "Hello,\r\n\r\ndo you sell gift cards?\r\n\r\nLater Sample\r\n",
};

const ADVERTISEMENT: Letter = Letter {
    from: "Spam Sample <spam.sample@example.com>",
    subject: "Rank first",
    id: "demo-advertisement@example.com",
    text: "We bring your shop to the first page.\r\n",
};

/// How often any of these texts stands in bytes, whatever its case.
fn occurrences(bytes: &[u8], texts: &[&str]) -> usize {
    let haystack = String::from_utf8_lossy(bytes).to_lowercase();
    texts.iter().map(|text| haystack.matches(&text.to_lowercase()).count()).sum()
}

pub(super) async fn told_to_claude(stage: &Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let asked = stage.claude().requests();
    let told = asked.concat();
    let found = occurrences(&told, &PERSONAL);
    claims.that(
        format!(
            "{} things she is known by, in the {} requests that reached Claude",
            PERSONAL.len(),
            asked.len()
        ),
        "found 0 times",
        format!("found {found} times"),
    );
    let found = occurrences(&told, &[HARMLESS]);
    claims.holds("the same search for what she wrote of the mug finds it", found > 0, "some times", found);
    let used = ["⟦NAME_1⟧", "⟦ORDER_1⟧"].iter().all(|placeholder| occurrences(&told, &[*placeholder]) > 0);
    claims.that("in place of names and orders stand placeholders", "yes", yes_no(used));
    let savings = stage.ask(SHOP, "/v1/desk/savings?months=1").await?;
    let month = &savings["months"][0];
    claims.that(
        "mails that the built-in engine understood alone, and that Claude was asked about",
        "2 and 2",
        format!("{} and {}", month["built_in"], month["claude"]),
    );
    let personal: usize = stage.raw(&PERSONAL)?.values().sum();
    claims.that(
        "the same things in the database's raw bytes",
        "found 0 times",
        format!("found {personal} times"),
    );
    Ok(())
}

pub(super) async fn access(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let asked = json!({ "kind": "access", "email": WRITER }).to_string();
    let opened = stage.request(SHOP, "POST", "/v1/requests", None, &asked).await?;
    claims.that("the request is answered", 202, opened.status);
    let path = format!("/v1/requests/{}", text(&opened.json()["id"]));
    let request = stage.ask(SHOP, &path).await?;
    claims.that("it is", "ready", text(&request["state"]));
    let link = stage.tell(SHOP, &format!("{path}/link"), &json!({})).await?;
    let address = text(&link["json"]);
    let fetched = stage.ask_as_nobody(&address).await?;
    claims.that(
        "the link gives, to whoever has it,",
        "200 subject-export.json",
        format!("{} {}", fetched.status, file(&fetched.head)),
    );
    let document = fetched.json();
    let records = document["records"].as_array().cloned().unwrap_or_default();
    let of = |kind: &str| records.iter().filter(|record| record["kind"] == kind).count();
    claims.that(
        "it holds",
        "2 orders, 2 conversations, 4 mails, 2 replies",
        format!(
            "{} orders, {} conversations, {} mails, {} replies",
            of("order"),
            of("thread"),
            of("mail"),
            of("draft")
        ),
    );
    let says = |words: &str| {
        records.iter().any(|record| record["data"]["text"].as_str().is_some_and(|text| text.contains(words)))
    };
    claims.that(
        "among them what she wrote, and what was answered",
        "both",
        if says(HARMLESS) && says("We refund it today.") { "both" } else { "not both" },
    );
    claims.that("somebody else's mail is in it", "no", yes_no(fetched.body.contains("dishwasher")));
    stage.pass(LINK_LIFETIME).await?;
    let late = stage.ask_as_nobody(&address).await?;
    claims.that("a quarter of an hour later the link gives", 404, late.status);
    Ok(())
}

/// The name under which an answer is to be saved.
fn file(head: &str) -> String {
    let named = head.lines().find_map(|line| line.split_once("filename=\"").map(|(_, rest)| rest));
    named.and_then(|rest| rest.split('"').next()).unwrap_or("unnamed").to_owned()
}

pub(super) async fn erase(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let theirs: Vec<_> =
        stage.items()?.into_iter().filter(|(place, _)| stage.desk.of_writer.contains(place)).collect();
    let theirs: Vec<_> = theirs.into_iter().filter(|(_, item)| KINDS.contains(&kind(item))).collect();
    let of = |name: &str| theirs.iter().filter(|(_, item)| kind(item) == name).count();
    claims.that(
        "what her mails have left",
        "2 conversations, 4 mails, 2 replies, 2 rows of the inbox",
        format!(
            "{} conversations, {} mails, {} replies, {} rows of the inbox",
            of("thread"),
            of("mail"),
            of("draft"),
            of("thread-index")
        ),
    );
    let records: Vec<&str> = theirs
        .iter()
        .filter(|(_, item)| ["thread", "mail", "draft"].contains(&kind(item)))
        .map(|(place, _)| place.2.as_str())
        .collect();
    let body = json!({
        "shop_id": 70_000_000_001_u64, "shop_domain": SHOP, "orders_to_redact": [BROKEN_ORDER, LATEST_ORDER],
        "customer": { "id": ACCOUNT, "email": WRITER, "phone": PHONE },
    });
    let request = Webhook::new("customers/redact", SHOP, body.to_string(), stage.now());
    claims.that("customers/redact is answered", "200 accepted", stage.post(&request).await?);

    let now: BTreeSet<_> = stage.items()?.into_iter().map(|(place, _)| place).collect();
    let left = theirs.iter().filter(|(place, _)| now.contains(place)).count();
    claims.that(
        format!("of these and the rows that lead to them, {} items, are left", theirs.len()),
        0,
        left,
    );
    let found = stage.raw_beside_tombstones(&records)?;
    claims.that(
        "the names of her conversations, mails and replies, in the database's raw bytes beside the tombstones",
        "found 0 times",
        format!("found {found} times"),
    );
    let personal: usize = stage.raw(&PERSONAL)?.values().sum();
    claims.that(
        "things she is known by, in the database's raw bytes",
        "found 0 times",
        format!("found {personal} times"),
    );
    let queued = stage.queued();
    let found = occurrences(&queued.concat(), &PERSONAL);
    claims.that(
        format!("the same things, in the {} requests that put messages into queues", queued.len()),
        "found 0 times",
        format!("found {found} times"),
    );
    for (what, thread) in [("refund", stage.desk.refund.clone()), ("parcel", stage.desk.parcel.clone())] {
        let gone = stage.request(SHOP, "GET", &format!("/v1/threads/{thread}"), None, "").await?;
        claims.that(format!("the conversation about the {what} is answered"), 404, gone.status);
    }
    claims.that("conversations that the inbox still shows, all of others", "2 of 2", others(stage).await?);
    Ok(())
}

pub(super) async fn stays_away(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    stage.pass(Duration::from_mins(15)).await?;
    receipt_counts(stage, claims, r#"{"case":0,"draft":2,"mail":4,"order":2,"thread":2}"#).await?;
    // In the spam folder it changes the mailbox, and nobody is told.
    let _id = stage.google().deliver_as(MAILBOX, ADVERTISEMENT.raw(), &["SPAM"]);
    stage.google().forget_history(MAILBOX);
    let held = stage.google().held(MAILBOX).len();
    let before = stage.google().requests().len();
    stage.deliver(&LATER).await?;
    stage.pass(MINUTE).await?;
    let read = stage.google().requests().split_off(before);
    let listed = read.iter().any(|heard| heard.method == "GET" && heard.path.contains("/messages?"));
    claims.that(
        format!("the {held} mails in the mailbox, hers among them, are listed again"),
        "yes",
        yes_no(listed),
    );
    claims.that("conversations that the inbox shows then, all of others", "3 of 3", others(stage).await?);
    Ok(())
}

/// How many conversations of the inbox are not the customer's.
async fn others(stage: &Stage) -> Result<String, Trouble> {
    let threads: Vec<Value> = listed(stage, "/v1/threads", "threads").await?;
    let hers = |thread: &&Value| list(&thread["people"]).contains(WRITER);
    let others = threads.len() - threads.iter().filter(hers).count();
    Ok(format!("{others} of {}", threads.len()))
}
