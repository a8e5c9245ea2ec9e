//! What a merchant switched off of the mail desk is not done: each activity, switched off before anything came and again
//! while its work waits in a queue.

use std::collections::{BTreeMap, BTreeSet};

use storeward_core::instructions::DeskActivity;
use storeward_core::time::MINUTE;
use storeward_store::{Author, Engine};

use super::faults::JOBS;
use super::{ANA, BEN, Mail, SHIPPING, VAGUE, World};
use crate::mailboxes::ADDRESS;

/// When the merchant switches something off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Never,
    Before,
    /// What came waits in the queue of the job at this place.
    Queued(usize),
}

/// At which job's place an activity is done.
fn place(activity: DeskActivity) -> usize {
    match activity {
        DeskActivity::ReadMail | DeskActivity::ClassifyWithClaude => 0,
        DeskActivity::DraftReplies | DeskActivity::DraftWithClaude => 1,
        DeskActivity::SendByRule => 2,
    }
}

/// A mail that a rule answers and one that Claude has to be asked about, with one activity switched off: which happened.
async fn happened(off: DeskActivity, when: When) -> BTreeSet<DeskActivity> {
    let world = World::new(true).await;
    world.answers_shipping().await;
    let store = world.inner.app.store().await;
    let switches = BTreeMap::from([(off, false)]);
    let switch = || store.change_desk_instructions(world.installation(), &switches);
    if when == When::Before {
        assert!(!off.switch(&switch().await.unwrap().unwrap()));
    }
    for mail in [Mail::new(1, ANA, "Parcel", SHIPPING), Mail::new(2, BEN, "Vague", VAGUE)] {
        world.inner.google.deliver(ADDRESS, mail.raw()).unwrap();
    }
    world.inner.settle().await;
    for (place, (function, queue)) in JOBS.into_iter().enumerate() {
        if when == When::Queued(place) {
            assert!(!off.switch(&switch().await.unwrap().unwrap()));
        }
        if place == 2 {
            world.advance(MINUTE * 10).await;
        }
        world.work(&world.inner.app, function, queue).await;
    }
    world.later().await;
    let made: Vec<_> = world.mails().await.into_iter().filter_map(|mail| mail.understanding).collect();
    let drafts = world.drafts().await;
    let did = |activity: DeskActivity| match activity {
        DeskActivity::ReadMail => !made.is_empty(),
        DeskActivity::ClassifyWithClaude => made.iter().any(|made| made.engine == Engine::Claude),
        DeskActivity::DraftReplies => !drafts.is_empty(),
        DeskActivity::DraftWithClaude => drafts.iter().any(|draft| draft.author == Author::Claude),
        DeskActivity::SendByRule => !world.sent().is_empty(),
    };
    world.no_dead_letters().await;
    DeskActivity::ALL.into_iter().filter(|activity| did(*activity)).collect()
}

fn needs(activity: DeskActivity, other: DeskActivity) -> bool {
    activity == other || activity.needs().is_some_and(|needed| needs(needed, other))
}

#[tokio::test]
async fn what_is_switched_off_of_the_mail_desk_is_not_done_also_where_it_waits_and_all_else_is() {
    let everything: BTreeSet<DeskActivity> = DeskActivity::ALL.into();
    let on = Box::pin(happened(DeskActivity::SendByRule, When::Never)).await;
    assert_eq!(on, everything, "all of it when it is on");
    for off in DeskActivity::ALL {
        let queued = (place(off)..JOBS.len()).map(|place| (When::Queued(place), place));
        for (when, from) in [(When::Before, 0)].into_iter().chain(queued) {
            let gone = |other: &DeskActivity| needs(*other, off) && place(*other) >= from;
            let expected: BTreeSet<_> = everything.iter().copied().filter(|other| !gone(other)).collect();
            assert_eq!(Box::pin(happened(off, when)).await, expected, "{off:?} off, {when:?}");
        }
    }
}
