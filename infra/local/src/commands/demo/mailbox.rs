//! The story of the mail desk, its frame: a mailbox is connected, the merchant decides how it is answered from, and in the end
//! it is disconnected.

use storeward_core::time::{DAY, Timestamp};

use serde_json::{Value, json};

use super::Claims;
use super::letters::Letter;
use super::orders::{count, text, yes_no};
use super::stage::{Stage, in_short};
use crate::commands::Trouble;
use crate::commands::client::Answer;
use crate::commands::history::SHOP;

/// The shop's mailbox.
pub(super) const MAILBOX: &str = "support@example.com";

/// What the mailbox holds before it is connected.
pub(super) const EARLIER: Letter = Letter {
    from: "Early Sample <early.sample@example.com>",
    subject: "Sizes of the mug",
    id: "demo-earlier@example.com",
    text: "Hello,\r\n\r\nwhich sizes of the blue mug do you have?\r\n\r\nEarly Sample\r\n",
};

/// What is of a mailbox and its mail, by the kinds of the data map.
const KINDS: [&str; 7] = ["mailbox", "mailbox-route", "thread", "mail", "draft", "thread-index", "mail-link"];

pub(super) async fn connect(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    claims.that("mailboxes of the shop", 0, listed(stage, "/v1/mailboxes", "mailboxes").await?.len());
    let begun = stage.tell(SHOP, "/v1/mailboxes", &json!({})).await?;
    let start = stage.browse(&text(&begun["url"]), None).await?;
    let page = location(&start)?;
    claims.that(
        "the address that the app gets leads on, to the page of",
        "302 consent",
        led(&start, "/o/oauth2/", "consent"),
    );
    let cookie = start.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap_or_default();
    let consented = stage.browse(&page, None).await?;
    let back = location(&consented)?;
    claims.that(
        "who agrees there is sent to",
        "302 the app",
        led(&consented, "/google/callback?", "the app"),
    );
    let strange = stage.browse(&back, None).await?;
    claims.that(
        "another browser that comes with the same answer gets",
        "403 state-mismatch",
        in_short(&strange),
    );
    let connected = stage.browse(&back, Some(cookie)).await?;
    claims.that("the same browser gets", "302 the admin", led(&connected, "/admin/apps/", "the admin"));
    stage.settle().await?;
    let again = stage.browse(&back, Some(cookie)).await?;
    claims.that("and a second time", "403 state-mismatch", in_short(&again));

    let mailboxes = listed(stage, "/v1/mailboxes", "mailboxes").await?;
    let mailbox = mailboxes.first().cloned().unwrap_or_default();
    stage.desk.mailbox = text(&mailbox["id"]);
    claims.that(
        "the mailbox is listed",
        format!("{MAILBOX}, connected"),
        format!("{}, {}", text(&mailbox["address"]), text(&mailbox["state"])),
    );
    let watched = stage.google().watched_until(MAILBOX);
    let days = watched.map(|until| (until.since(stage.now()) + DAY / 2).as_secs() / DAY.as_secs());
    claims.that("Google tells of its mail for, in days", 7, days.unwrap_or_default());
    let threads = listed(stage, "/v1/threads", "threads").await?;
    let subjects: Vec<String> = threads.iter().map(|thread| text(&thread["subject"])).collect();
    claims.that("conversations of the last days that were found in it", EARLIER.subject, subjects.join(", "));
    claims.that(
        "its mail is understood and has",
        "a draft",
        if threads.iter().all(|thread| thread["draft"].is_string()) { "a draft" } else { "none" },
    );
    claims.that("mails that were sent from the mailbox", 0, stage.google().sent(MAILBOX).len());
    let found: usize =
        stage.raw(&[MAILBOX, "early.sample", "ya29.", "sizes of the blue mug"])?.values().sum();
    claims.that(
        "address, tokens and mail in the database's raw bytes",
        "found 0 times",
        format!("found {found} times"),
    );
    Ok(())
}

pub(super) async fn desk(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let answer = stage.request(SHOP, "GET", "/v1/desk", None, "").await?;
    let mut settings = answer.json();
    claims.that("rules may send, before", "no", yes_no(settings["send_by_rule"] == true));
    claims.that(
        "never answered without a person",
        "refund",
        super::orders::list(&settings["never_automatic"]),
    );
    settings["send_by_rule"] = json!(true);
    settings["signature"] = json!("Storeward Demo");
    settings["links"] = json!(["track.example.com"]);
    settings["policies"]["returns"] = json!("Goods that arrived broken can be sent back within 30 days.");
    let etag = answer.header("etag").unwrap_or_default().to_owned();
    let put = stage.request(SHOP, "PUT", "/v1/desk", Some(&etag), &settings.to_string()).await?;
    claims.that("the settings are changed", 200, put.status);
    let old = stage.request(SHOP, "PUT", "/v1/desk", Some(&etag), &settings.to_string()).await?;
    claims.that("changed once more at the revision of before", "412 desk-changed", in_short(&old));

    let rule = json!({ "rules": [{
        "id": "parcels", "name": "Where is my parcel", "enabled": true,
        "when": { "intent": ["shipping"], "order_state": ["fulfilled"] },
        "then": [
            { "do": "auto_send", "after_minutes": 10, "macro": "parcel" },
            { "do": "label", "label": "parcels" },
        ],
    }] });
    let early = stage.request(SHOP, "PUT", "/v1/desk/rules", None, &rule.to_string()).await?;
    claims.that("a rule that sends a text there is not", "422 desk-refused", in_short(&early));
    let macros = json!({ "macros": [{
        "id": "parcel", "name": "Where the parcel is", "intent": "shipping", "language": "en",
        "text": "Hello {{customer_name}},\n\nyour order {{order_name}} is on its way with {{carrier}}.\n\
                 You can follow the parcel here: {{tracking_url}}\n\n{{signature}}",
    }] });
    let put = stage.request(SHOP, "PUT", "/v1/desk/macros", None, &macros.to_string()).await?;
    claims.that("the text is saved", 200, put.status);
    let put = stage.request(SHOP, "PUT", "/v1/desk/rules", None, &rule.to_string()).await?;
    claims.that("and the rule with it", 200, put.status);
    let tried = stage.tell(SHOP, "/v1/desk/rules/dry-run", &json!({})).await?;
    let mails = tried["mails"].as_array().cloned().unwrap_or_default();
    let sends = mails.iter().filter(|mail| mail["plan"]["auto_send"].is_object()).count();
    claims.that(
        "on the mails so far, the rule would have sent",
        "0 of 1",
        format!("{sends} of {}", mails.len()),
    );
    Ok(())
}

pub(super) async fn disconnect(stage: &mut Stage, claims: &mut Claims) -> Result<(), Trouble> {
    let path = format!("/v1/mailboxes/{}", stage.desk.mailbox);
    let before: usize = of_mail(stage)?;
    claims.holds("items of the mailbox and its mail", before > 0, "some", before);
    let ended = stage.request(SHOP, "DELETE", &path, None, "").await?;
    claims.that("disconnecting is answered", 202, ended.status);
    claims.that("mailboxes of the shop", 0, listed(stage, "/v1/mailboxes", "mailboxes").await?.len());
    let watched = stage.google().watched_until(MAILBOX).map_or("nobody".to_owned(), Timestamp::to_rfc3339);
    claims.that("whom Google tells of its mail", "nobody", watched);
    claims.that("consents that Google still has", 0, stage.google().consents(MAILBOX));
    claims.that("items of the mailbox and its mail that are left", 0, of_mail(stage)?);
    let since = stage.invocations();
    let unheard = Letter { id: "demo-unheard@example.com", ..EARLIER };
    stage.deliver(&unheard).await?;
    claims.that("functions that another mail sets going", 0, stage.invocations() - since);
    Ok(())
}

/// How many items the shop has of a mailbox and its mail.
fn of_mail(stage: &Stage) -> Result<usize, Trouble> {
    KINDS.iter().map(|kind| count(stage, kind)).sum()
}

/// What a list of the API holds.
pub(super) async fn listed(stage: &Stage, path: &str, member: &str) -> Result<Vec<Value>, Trouble> {
    Ok(stage.ask(SHOP, path).await?[member].as_array().cloned().unwrap_or_default())
}

/// Where an answer sends the browser.
fn location(answer: &Answer) -> Result<String, Trouble> {
    let to = answer.header("location").map(str::to_owned);
    to.ok_or_else(|| Trouble(format!("the browser is sent nowhere: {} {}", answer.status, answer.body)))
}

/// The status, and the place in words where an answer leads there.
fn led(answer: &Answer, path: &str, place: &str) -> String {
    let there = answer.header("location").is_some_and(|to| to.contains(path));
    format!("{} {}", answer.status, if there { place } else { "elsewhere" })
}
