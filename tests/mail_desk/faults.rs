//! Processes that end at any of their requests, two at once, and Gmail that fails: one draft, one mail, none lost.

use http::StatusCode;
use serde_json::json;
use storeward_core::time::MINUTE;
use storeward_local::google::Trouble;
use storeward_store::DraftState;

use super::{ANA, CLASSIFY, DRAFT, Mail, SEND, SHIPPING, World, as_text, drafted};
use crate::bench::{App, batch};
use crate::mailboxes::ADDRESS;
use crate::support::connector::Outcome;
use crate::support::faults::{Fault, FaultPlan};

/// The jobs, by what wakes them.
pub(super) const JOBS: [(&str, &str); 3] =
    [("jobs/classify-email", CLASSIFY), ("jobs/draft-reply", DRAFT), ("jobs/send-reply", SEND)];

impl World {
    /// Works on one queue with an app.
    pub(super) async fn work(&self, app: &App, function: &str, queue: &str) {
        for message in self.inner.bench.receive(queue).await {
            let run = app.invoke(function, batch(std::slice::from_ref(&message)));
            let Outcome::Finished(answer) = app.connector.run(run).await else { continue };
            if answer.unwrap()["batchItemFailures"] == json!([]) {
                self.inner.bench.delete(queue, &message).await;
            }
        }
    }

    /// A mail that came in, as far as the job of `place` has to work on it.
    pub(super) async fn up_to(&self, place: usize) {
        self.inner.google.deliver(ADDRESS, Mail::new(1, ANA, "Parcel", SHIPPING).raw()).unwrap();
        self.inner.settle().await;
        for (function, queue) in &JOBS[..place] {
            self.work(&self.inner.app, function, queue).await;
        }
        if place == 2 {
            self.advance(MINUTE * 10).await;
        }
    }
}

/// Plays a job that ends at one of its requests; how many it has.
async fn play(place: usize, by_claude: bool, fault: Option<(usize, Fault)>) -> usize {
    let world = World::new(by_claude).await;
    if by_claude {
        for _ in 0..4 {
            world.claude.answer_next(&drafted("We look into it."));
        }
    } else {
        world.answers_shipping().await;
    }
    world.up_to(place).await;
    let plan = fault.map_or_else(FaultPlan::none, |(at, fault)| FaultPlan::none().at(at, fault));
    let failing = world.inner.bench.app_through(world.inner.bench.transport(), plan);
    let (function, queue) = JOBS[place];
    world.work(&failing, function, queue).await;
    let requests = failing.connector.requests().len();
    world.later().await;
    let draft = world.draft().await;
    let sent = world.sent();
    if by_claude {
        assert_eq!((draft.state, sent.len()), (DraftState::Ready, 0), "{function}, {fault:?}");
    } else {
        assert_eq!((draft.state, sent.len()), (DraftState::Sent, 1), "{function}, {fault:?}");
        assert_eq!(draft.provider_id.as_deref(), Some(sent[0].id.as_str()), "{function}, {fault:?}");
    }
    world.no_dead_letters().await;
    requests
}

#[tokio::test]
async fn whatever_request_a_job_ends_at_there_is_one_draft_and_one_mail() {
    let mut points = 0;
    for (place, by_claude) in [(0, false), (1, false), (2, false), (1, true)] {
        let requests = Box::pin(play(place, by_claude, None)).await;
        assert!(requests >= 5, "{requests}");
        points += requests;
        for at in 0..requests {
            for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::TimeoutAfter] {
                Box::pin(play(place, by_claude, Some((at, fault)))).await;
            }
        }
    }
    println!("{points} requests, {} runs", points * 3);
}

#[tokio::test]
async fn whatever_gmail_answers_a_reply_is_sent_once() {
    for (trouble, times) in [
        (Trouble::DoneAndFails, 1),
        (Trouble::Fails(StatusCode::SERVICE_UNAVAILABLE), 2),
        (Trouble::TokenEnded, 1),
        (Trouble::UserRateLimit(None), 2),
        (Trouble::TooManyConcurrent, 1),
        (Trouble::Quota, 1),
    ] {
        let world = World::new(false).await;
        world.answers_shipping().await;
        world.up_to(2).await;
        for _ in 0..times {
            world.inner.google.trouble_at(ADDRESS, "messages.send", trouble);
        }
        world.settle().await;
        // And the search for what was sent fails once, too.
        world.inner.google.trouble_at(ADDRESS, "messages.list", Trouble::Fails(StatusCode::BAD_GATEWAY));
        world.later().await;
        assert_eq!((world.sent().len(), world.state().await), (1, DraftState::Sent), "{trouble:?}");
        world.no_dead_letters().await;
    }
}

#[tokio::test]
async fn a_search_that_is_refused_does_not_count_as_nothing_found() {
    let world = World::new(false).await;
    world.answers_shipping().await;
    world.up_to(2).await;
    // Given a reply that went out without an answer, and a search for it that Gmail does not take.
    world.inner.google.trouble_at(ADDRESS, "messages.send", Trouble::DoneAndFails);
    for _ in 0..2 {
        world.inner.google.trouble_at(ADDRESS, "messages.list", Trouble::Fails(StatusCode::BAD_REQUEST));
    }
    world.inner.bench.drain(&world.inner.app).await;
    // Nor does its notice come, by which it would be known.
    let _lost = world.inner.google.take_pushes();
    world.advance(MINUTE * 7).await;
    world.inner.bench.drain(&world.inner.app).await;
    assert_eq!(world.state().await, DraftState::Sending, "nobody may say that it was not sent");
    world.later().await;
    assert_eq!((world.sent().len(), world.state().await), (1, DraftState::Sent));
}

#[tokio::test]
async fn what_gmail_never_takes_is_for_a_person() {
    let world = World::new(false).await;
    world.answers_shipping().await;
    world.up_to(2).await;
    world.inner.google.trouble_at(ADDRESS, "messages.send", Trouble::Fails(StatusCode::BAD_REQUEST));
    world.settle().await;
    world.later().await;
    let draft = world.draft().await;
    assert_eq!((draft.state, world.sent().len()), (DraftState::NeedsHuman, 0));
    assert!(draft.why.last().unwrap().contains("Gmail does not take it"), "{:?}", draft.why);
    world.no_dead_letters().await;
}

#[tokio::test]
async fn two_instances_at_once_make_one_draft_and_send_one_mail() {
    let world = World::new(true).await;
    world.answers_shipping().await;
    world.inner.google.forbid_overlap(true);
    world.up_to(0).await;
    let others = [world.inner.bench.app(), world.inner.bench.app()];
    for (place, (function, queue)) in JOBS.into_iter().enumerate() {
        if place == 2 {
            world.advance(MINUTE * 10).await;
        }
        // SQS may give a message twice: both have it at the same time.
        let messages = world.inner.bench.receive(queue).await;
        assert!(!messages.is_empty(), "{function}");
        let runs = messages.iter().flat_map(|message| {
            let event = batch(std::slice::from_ref(message));
            others.each_ref().map(|app| app.invoke(function, event.clone()))
        });
        for answer in futures::future::join_all(runs).await {
            assert!(answer.is_ok());
        }
        for message in &messages {
            world.inner.bench.delete(queue, message).await;
        }
    }
    world.later().await;
    assert_eq!((world.sent().len(), world.state().await), (1, DraftState::Sent));
    assert!(as_text(&world.sent()[0]).contains("Auto-Submitted"));
    assert!(
        world.inner.google.requests().iter().all(|heard| heard.status != 429),
        "no call overlapped another"
    );
    world.no_dead_letters().await;
}
