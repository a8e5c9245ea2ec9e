//! Bad days: Google that throttles, fails or ends a consent, and processes that end at any of their requests. Nothing is lost, and
//! nothing is done twice.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use serde_json::json;
use storeward_core::time::{Clock as _, HOUR, MINUTE};
use storeward_host::SyncWhy;
use storeward_local::google::Trouble;
use storeward_store::MailboxState;

use super::{ADDRESS, SYNC, World, mail};
use crate::bench::batch;
use crate::support::connector::Outcome;
use crate::support::faults::{Fault, FaultPlan};

#[tokio::test]
async fn a_consent_that_ended_is_told_once_and_not_tried_again_until_the_merchant_connects_anew() {
    let world = World::connected().await;
    world.google.end_consent(ADDRESS);
    world.google.deliver(ADDRESS, mail(1, "Unreadable for now"));
    world.settle().await;
    world.advance(MINUTE * 2).await;
    world.settle().await;
    let mailbox = world.mailbox().await;
    assert_eq!((mailbox.state, mailbox.tokens), (MailboxState::Disconnected, None));
    let mails = world.resend.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "A mailbox has to be connected again");
    assert!(
        !mails[0].text.contains(ADDRESS) && mails[0].text.contains("/admin/apps/storeward"),
        "{}",
        mails[0].text
    );
    // Nothing more is asked of Google, whatever comes.
    let asked = world.google.requests().len();
    world.google.deliver(ADDRESS, mail(2, "Neither"));
    world.settle().await;
    for _ in 0..30 {
        world.hour().await;
    }
    assert_eq!((world.google.requests().len(), world.resend.mails().len()), (asked, 1));
    // Connected anew, it is read from where it was left.
    assert_eq!(world.connect(&world.installation, ADDRESS).await["statusCode"], 302);
    world.settle().await;
    assert_eq!(world.subjects().await, ["Neither", "Unreadable for now"]);
    assert_eq!(world.mailbox().await.state, MailboxState::Connected);
    world.nothing_waits().await;
}

#[tokio::test]
async fn an_access_token_that_ends_early_is_renewed_once_and_one_that_is_due_before() {
    let world = World::connected().await;
    world.google.deliver(ADDRESS, mail(1, "Early"));
    world.google.end_access(ADDRESS);
    world.settle().await;
    assert_eq!(world.subjects().await, ["Early"]);
    world.advance(HOUR * 2).await;
    world.google.deliver(ADDRESS, mail(2, "Due"));
    let renewed = world.asked("/token");
    world.settle().await;
    assert_eq!(world.subjects().await, ["Due", "Early"]);
    assert_eq!(world.asked("/token"), renewed + 1);
    // While the token endpoint fails, it is waited.
    world.advance(HOUR * 2).await;
    world.google.fail_tokens_next(StatusCode::SERVICE_UNAVAILABLE);
    world.google.deliver(ADDRESS, mail(3, "Later"));
    world.settle().await;
    assert_eq!(world.subjects().await.len(), 2);
    world.later().await;
    assert_eq!(world.subjects().await, ["Due", "Early", "Later"]);
    assert!(world.resend.mails().is_empty());
    world.nothing_waits().await;
}

#[tokio::test]
async fn a_mailbox_that_google_wants_left_alone_is_by_every_instance_and_slows_no_other() {
    for trouble in [
        Trouble::TooManyConcurrent,
        Trouble::UserRateLimit(Some(Duration::from_secs(30))),
        Trouble::Quota,
        Trouble::LimitUntil(Duration::from_mins(20)),
        Trouble::Fails(StatusCode::SERVICE_UNAVAILABLE),
        Trouble::DoneAndFails,
        Trouble::TokenEnded,
    ] {
        let world = World::connected().await;
        let other = "second@example.com";
        world.google.add_mailbox(other);
        assert_eq!(world.connect(&world.installation, other).await["statusCode"], 302);
        world.settle().await;
        // Given trouble three times in a row, the second time at a mail.
        for number in 1..=3 {
            world.google.deliver(ADDRESS, mail(number, &format!("Mail {number}")));
        }
        world.google.trouble_at(ADDRESS, "history.list", trouble);
        world.google.trouble_at(ADDRESS, "messages.get", trouble);
        world.google.trouble_at(ADDRESS, "messages.get", trouble);
        world.push().await;
        world.work(&world.app).await;
        // Then other instances leave it alone too.
        let asked =
            world.google.requests().iter().filter(|heard| heard.mailbox.as_deref() == Some(ADDRESS)).count();
        let instance = world.bench.app();
        world.order(SyncWhy::Silent).await;
        world.google.deliver(ADDRESS, mail(4, "Mail 4"));
        world.push().await;
        world.work(&instance).await;
        let asked_then =
            world.google.requests().iter().filter(|heard| heard.mailbox.as_deref() == Some(ADDRESS)).count();
        if trouble != Trouble::TokenEnded {
            assert_eq!(asked, asked_then, "{trouble:?}");
        }
        // And the other mailbox is read at once.
        world.google.deliver(other, mail(9, "Of the other"));
        world.settle().await;
        assert!(world.subjects().await.contains(&"Of the other".to_owned()), "{trouble:?}");
        for _ in 0..4 {
            world.later().await;
        }
        assert_eq!(
            world.subjects().await,
            ["Mail 1", "Mail 2", "Mail 3", "Mail 4", "Of the other"],
            "{trouble:?}"
        );
        assert_eq!(world.handed_on().await.len(), 5, "{trouble:?}");
        let mailbox = world.mailbox().await;
        assert_eq!((mailbox.failures, mailbox.quiet_until), (0, None), "{trouble:?}");
        world.nothing_waits().await;
    }
}

#[tokio::test]
async fn pauses_grow_with_each_failure_and_end_with_an_hour() {
    let world = World::connected().await;
    world.google.deliver(ADDRESS, mail(1, "At last"));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        world.google.trouble_at(ADDRESS, "history.list", Trouble::Fails(StatusCode::BAD_GATEWAY));
        world.settle().await;
        let now = world.bench.clock.now();
        let Some(until) = world.mailbox().await.quiet_until else { break };
        pauses.push(until.since(now));
        world.advance(until.since(now) + Duration::from_secs(1)).await;
        // What SQS delays for at most is a quarter of an hour.
        for _ in 0..5 {
            world.advance(MINUTE).await;
        }
    }
    assert!(pauses.len() >= 8, "{pauses:?}");
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1] || pair[1] > MINUTE * 30), "{pauses:?}");
    assert!(
        pauses.iter().all(|pause| *pause <= HOUR) && pauses.last().unwrap() > &(MINUTE * 30),
        "{pauses:?}"
    );
}

#[tokio::test]
async fn a_consent_that_is_revoked_while_a_mailbox_is_read_keeps_what_was_read() {
    let world = World::connected().await;
    for number in 1..=3 {
        world.google.deliver(ADDRESS, mail(number, &format!("Mail {number}")));
    }
    // The first mail is given; then the token does not count, and is not renewed.
    world.push().await;
    world.google.trouble_at(ADDRESS, "messages.get", Trouble::DoneAndFails);
    world.work(&world.app).await;
    world.google.end_consent(ADDRESS);
    world.later().await;
    let mailbox = world.mailbox().await;
    assert_eq!(mailbox.state, MailboxState::Disconnected);
    assert_eq!(world.resend.mails().len(), 1);
    assert_eq!(world.connect(&world.installation, ADDRESS).await["statusCode"], 302);
    world.settle().await;
    assert_eq!(world.subjects().await, ["Mail 1", "Mail 2", "Mail 3"]);
    assert_eq!(world.handed_on().await.len(), 3);
    world.nothing_waits().await;
}

/// What is to be worked on by a process that ends.
#[derive(Clone, Copy, Debug)]
enum Work {
    Notice,
    Gap,
    Connected,
    Lost,
    Ended,
}

/// Plays it; the run ends at one of its requests to AWS, between which are those to Google.
async fn play(work: Work, fault: Option<(usize, Fault)>) -> usize {
    let world = if matches!(work, Work::Connected) {
        let world = World::new().await;
        world.google.deliver(ADDRESS, mail(1, "Mail 1"));
        assert_eq!(world.connect(&world.installation, ADDRESS).await["statusCode"], 302);
        world
    } else {
        let world = World::connected().await;
        world.google.deliver(ADDRESS, mail(1, "Mail 1"));
        world
    };
    match work {
        Work::Notice | Work::Connected => {}
        Work::Gap => world.google.forget_history(ADDRESS),
        Work::Lost => world.google.end_consent(ADDRESS),
        Work::Ended => {
            world.settle().await;
            let id = world.mailbox().await.reference.id().to_owned();
            world.ask(&world.installation, "DELETE /v1/mailboxes/{id}", &id).await;
        }
    }
    world.push().await;
    let plan = fault.map_or_else(FaultPlan::none, |(at, fault)| FaultPlan::none().at(at, fault));
    let failing = world.bench.app_through(world.bench.transport(), plan);
    let messages = world.bench.receive(SYNC).await;
    let runs = join_all(
        messages
            .iter()
            .map(|message| failing.invoke("jobs/sync-mailbox", batch(std::slice::from_ref(message)))),
    );
    if let Outcome::Finished(answers) = failing.connector.run(runs).await {
        for (answer, message) in answers.into_iter().zip(&messages) {
            if answer.unwrap()["batchItemFailures"] == json!([]) {
                world.bench.delete(SYNC, message).await;
            }
        }
    }
    let requests = failing.connector.requests().len();
    // The queue gives again what was not deleted; what was never sent, the sweep does.
    for _ in 0..2 {
        world.advance(MINUTE * 13).await;
        world.settle().await;
    }
    world.hour().await;
    world.hour().await;
    match work {
        Work::Ended => {
            for kind in ["mailbox", "mailbox-route", "thread", "mail", "mail-link"] {
                assert!(world.bench.items(kind).is_empty(), "{work:?}, {fault:?}: {kind}");
            }
            assert_eq!(world.google.consents(ADDRESS), 0, "{work:?}, {fault:?}");
        }
        Work::Lost => {
            assert_eq!(world.mailbox().await.state, MailboxState::Disconnected, "{work:?}, {fault:?}");
            assert_eq!(world.resend.mails().len(), 1, "{work:?}, {fault:?}");
        }
        Work::Notice | Work::Gap | Work::Connected => {
            let mails = world.mails().await;
            assert_eq!(mails.len(), 1, "{work:?}, {fault:?}");
            let handed_on = world.handed_on().await;
            assert!(!handed_on.is_empty(), "{work:?}, {fault:?}");
            assert!(
                handed_on.iter().all(|task| *task == mails[0].reference.to_string()),
                "{work:?}, {fault:?}"
            );
            assert_eq!(world.mailbox().await.cursor, world.google.history_id(ADDRESS), "{work:?}, {fault:?}");
            assert!(world.mailbox().await.watched_until.is_some(), "{work:?}, {fault:?}");
        }
    }
    world.nothing_waits().await;
    requests
}

/// Plays it with the run ending before and after each of its requests: between two of them is what Google was asked.
async fn whatever_request_it_ends_at(work: Work) {
    let requests = Box::pin(play(work, None)).await;
    assert!(requests >= 5, "{work:?}: {requests}");
    for at in 0..requests {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            Box::pin(play(work, Some((at, fault)))).await;
        }
    }
}

#[tokio::test]
async fn whatever_request_a_run_ends_at_a_mail_is_stored_once_and_handed_on() {
    whatever_request_it_ends_at(Work::Notice).await;
}

#[tokio::test]
async fn whatever_request_a_run_ends_at_a_gap_is_made_up_for() {
    whatever_request_it_ends_at(Work::Gap).await;
}

#[tokio::test]
async fn whatever_request_a_run_ends_at_a_connected_mailbox_is_watched_and_read() {
    whatever_request_it_ends_at(Work::Connected).await;
}

#[tokio::test]
async fn whatever_request_a_run_ends_at_a_lost_mailbox_is_told_once() {
    whatever_request_it_ends_at(Work::Lost).await;
}

#[tokio::test]
async fn whatever_request_a_run_ends_at_a_mailbox_that_ends_leaves_nothing() {
    whatever_request_it_ends_at(Work::Ended).await;
}
