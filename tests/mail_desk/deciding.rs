//! Who decides that something is sent: rules within their bounds, people with the API, and the conversation that moves on.

use http::StatusCode;
use serde_json::{Value, json};
use storeward_core::intent::Intent;
use storeward_core::time::HOUR;
use storeward_local::google::Trouble;
use storeward_store::DraftState;

use super::{ANA, BEN, Mail, REFUND, SHIPPING, VAGUE, World, as_text, header, sends};
use crate::bench::sample;
use crate::mailboxes::ADDRESS;

const APPROVE: &str = "POST /v1/drafts/{id}/approve";
const EDIT: &str = "PUT /v1/drafts/{id}";
const CANCEL: &str = "POST /v1/drafts/{id}/cancel";

#[tokio::test]
async fn what_a_rule_would_send_is_not_when_it_is_cancelled_or_switched_off_before() {
    for how in ["cancelled", "sending off", "reading off", "rule off", "rule gone", "never automatic"] {
        let world = World::new(false).await;
        world.answers_shipping().await;
        world.comes(&Mail::new(1, ANA, "Parcel", SHIPPING)).await;
        let draft = world.draft().await;
        assert_eq!(draft.state, DraftState::Scheduled, "{how}");
        world.minutes(5).await;
        if how == "cancelled" {
            assert_eq!(world.asks(CANCEL, &draft, None, &Value::Null).await.0, 200);
        } else {
            world
                .configure(|desk| match how {
                    "sending off" => desk.settings.send_by_rule = false,
                    "reading off" => desk.settings.read_mail = false,
                    "rule off" => desk.rules[0].enabled = false,
                    "rule gone" => desk.rules.clear(),
                    _ => drop(desk.settings.never_automatic.insert(Intent::Shipping)),
                })
                .await;
        }
        world.later().await;
        assert!(world.sent().is_empty(), "{how}");
        assert_eq!(world.state().await, DraftState::Ready, "{how}: a person can still send it");
        world.no_dead_letters().await;
    }
}

#[tokio::test]
async fn what_a_rule_began_to_send_is_not_sent_by_a_later_try_when_it_was_switched_off_meanwhile() {
    for how in ["sending off", "reading off", "rule off", "went out"] {
        // Given a first try that Gmail did not take, or took without an answer.
        let world = World::new(false).await;
        world.answers_shipping().await;
        world.up_to(2).await;
        let out = how == "went out";
        let trouble =
            if out { Trouble::DoneAndFails } else { Trouble::Fails(StatusCode::SERVICE_UNAVAILABLE) };
        world.inner.google.trouble_at(ADDRESS, "messages.send", trouble);
        world.inner.bench.drain(&world.inner.app).await;
        // Nor does its notice come, by which what went out would be known.
        let _lost = world.inner.google.take_pushes();
        assert_eq!(world.state().await, DraftState::Sending, "{how}");
        // When it is switched off before the next.
        world
            .configure(|desk| match how {
                "reading off" => desk.settings.read_mail = false,
                "rule off" => desk.rules[0].enabled = false,
                _ => desk.settings.send_by_rule = false,
            })
            .await;
        world.later().await;
        // Then nothing more is sent, and a person decides; what went out is known to have.
        let draft = world.draft().await;
        let expected = if out { (1, DraftState::Sent) } else { (0, DraftState::NeedsHuman) };
        assert_eq!((world.sent().len(), draft.state), expected, "{how}: {:?}", draft.why);
        assert_eq!(draft.why.iter().any(|why| why.contains("switched off")), !out, "{how}: {:?}", draft.why);
        world.no_dead_letters().await;
    }
}

#[tokio::test]
async fn a_rule_never_sends_what_commits_the_shop_nor_answers_a_refund() {
    for (intent, mail, text) in [
        ("refund", REFUND, "Hi, we have read your message about {{order_name}}."),
        ("shipping", SHIPPING, "Hi, we refund the full amount of {{order_name}} to you."),
        ("shipping", SHIPPING, "Hi, {{order_name}} arrives by Monday, 23 November."),
        ("shipping", SHIPPING, "Hi, see https://elsewhere.example.net/ for {{order_name}}."),
    ] {
        let world = World::new(false).await;
        world
            .configure(|desk| {
                desk.settings.send_by_rule = true;
                let one = json!({ "id": "one", "name": "One", "intent": intent, "text": text });
                desk.macros = vec![serde_json::from_value(one).unwrap()];
                desk.rules = vec![sends(intent, "one")];
            })
            .await;
        world.comes(&Mail::new(1, ANA, "About it", mail)).await;
        world.later().await;
        let linked = text.contains("https://");
        let draft = world.draft().await;
        assert_eq!(
            world.sent().len(),
            usize::from(linked),
            "{text}: what a merchant wrote may link where it does"
        );
        assert!(
            linked || matches!(draft.state, DraftState::Ready | DraftState::NeedsHuman),
            "{text}: {:?}",
            draft.state
        );
        assert!(linked || draft.text.expose().contains("#100"), "{text}");
    }
}

#[tokio::test]
async fn a_reply_is_sent_once_when_a_person_wants_it_as_it_was_read() {
    let world = World::new(false).await;
    let mut mail = Mail::new(1, "Ana Sample <sample.customer@example.com>", "Re: Money", REFUND);
    mail.answers = Some("<earlier@example.com>");
    world.comes(&mail).await;
    let draft = world.draft().await;
    // Not without saying what was read, nor when it changed since.
    assert_eq!(world.asks(APPROVE, &draft, None, &Value::Null).await.0, 400);
    let (status, body) = world
        .asks(EDIT, &draft, Some(draft.revision), &json!({ "text": "Dear Ana,\n\nwe look into it." }))
        .await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = world.approve(&draft).await;
    assert_eq!(status, 412, "{body}");
    let edited = world.draft().await;
    assert!(edited.edited);
    // Asked twice, it is sent once.
    assert_eq!(world.approve(&edited).await.0, 200);
    let (status, _) = world.approve(&edited).await;
    assert!(status == 412 || status == 409, "{status}");
    world.settle().await;
    world.later().await;
    let sent = world.sent();
    assert_eq!(sent.len(), 1);
    let raw = as_text(&sent[0]);
    assert_eq!(header(&raw, "Auto-Submitted"), None, "a person sent it");
    assert_eq!(header(&raw, "Subject"), Some("Re: Money"));
    assert_eq!(header(&raw, "In-Reply-To"), Some("<desk-1@example.com>"));
    assert!(raw.contains("<earlier@example.com>") && raw.contains("we look into it."), "{raw}");
    assert_eq!(world.state().await, DraftState::Sent);
    assert_eq!(world.approve(&edited).await.0, 409);
    world.no_dead_letters().await;
}

#[tokio::test]
async fn an_edited_draft_stays_when_a_customer_writes_again_and_is_not_sent_by_itself() {
    let world = World::new(false).await;
    world.answers_shipping().await;
    world.comes(&Mail::new(1, ANA, "Parcel", SHIPPING)).await;
    let draft = world.draft().await;
    let text = json!({ "text": "I will look for it myself." });
    assert_eq!(world.asks(EDIT, &draft, Some(draft.revision), &text).await.0, 200);
    let mut second = Mail::new(2, ANA, "Re: Parcel", SHIPPING);
    second.answers = Some("<desk-1@example.com>");
    world.minutes(1).await;
    world.comes(&second).await;
    world.later().await;
    let drafts = world.drafts().await;
    let edited = drafts.iter().find(|one| one.reference == draft.reference).unwrap();
    assert!(
        !edited.state.has_ended() && edited.text.expose() == "I will look for it myself.",
        "{:?}",
        edited.state
    );
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn an_untouched_draft_is_withdrawn_when_the_conversation_moves_on() {
    for by_hand in [false, true] {
        let world = World::new(false).await;
        world.answers_shipping().await;
        world.comes(&Mail::new(1, ANA, "Parcel", SHIPPING)).await;
        let first = world.draft().await;
        assert_eq!(first.state, DraftState::Scheduled);
        world.minutes(2).await;
        if by_hand {
            let thread = world.inner.google.held(ADDRESS)[0].thread.clone();
            let raw = format!(
                "To: {ANA}\r\nFrom: {ADDRESS}\r\nSubject: Re: Parcel\r\nIn-Reply-To: <desk-1@example.com>\r\nReferences: <desk-1@example.com>\r\n\r\nBy hand."
            );
            world.inner.google.human_sends(ADDRESS, raw, Some(&thread)).unwrap();
            world.settle().await;
        } else {
            let mut second = Mail::new(2, ANA, "Re: Parcel", SHIPPING);
            second.answers = Some("<desk-1@example.com>");
            world.comes(&second).await;
        }
        let drafts = world.drafts().await;
        let state = drafts.iter().find(|one| one.reference == first.reference).unwrap().state;
        assert_eq!(state, DraftState::Withdrawn, "by hand: {by_hand}");
        world.later().await;
        // The customer's second mail is answered once, what the shop answered not at all.
        assert_eq!(world.sent().len(), 1, "by hand: {by_hand}");
        assert_eq!(as_text(&world.sent()[0]).contains("By hand."), by_hand);
        world.no_dead_letters().await;
    }
}

#[tokio::test]
async fn what_could_not_be_sent_for_a_day_is_for_a_person_to_decide_again() {
    // Given a mailbox that was lost before anybody tried to send from it, or that was found lost by trying.
    for tried in [false, true] {
        let world = World::new(false).await;
        world.answers_shipping().await;
        world.comes(&Mail::new(1, ANA, "Parcel", SHIPPING)).await;
        world.inner.google.end_consent(ADDRESS);
        if tried {
            world.minutes(10).await;
        } else {
            world.inner.google.deliver(ADDRESS, Mail::new(2, BEN, "Another", VAGUE).raw()).unwrap();
            world.settle().await;
        }
        for hour in 0..26 {
            world.advance(HOUR).await;
            world
                .inner
                .app
                .invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly"))
                .await
                .unwrap();
            world.settle().await;
            if hour == 2 {
                let waits = if tried { DraftState::Sending } else { DraftState::Scheduled };
                assert_eq!(world.state().await, waits, "it waits for its mailbox");
            }
        }
        // When it is there again, then nothing is sent that nobody expects any more.
        assert_eq!(world.inner.connect(world.installation(), ADDRESS).await["statusCode"], 302);
        world.settle().await;
        world.later().await;
        let drafts = world.drafts().await;
        let draft = drafts.iter().find(|draft| draft.to.address.expose() == ANA).unwrap();
        assert_eq!(draft.state, if tried { DraftState::NeedsHuman } else { DraftState::Ready });
        assert!(world.sent().is_empty());
        // A person still can.
        assert_eq!(world.approve(draft).await.0, 200);
        world.settle().await;
        world.minutes(1).await;
        assert_eq!(world.sent().len(), 1);
        world.no_dead_letters().await;
    }
}
