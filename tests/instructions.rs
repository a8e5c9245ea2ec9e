//! What a merchant switched off is not done: each activity, switched off before anything happens and again while its work
//! waits in a queue, against the simulated Shopify and Resend.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use storeward_core::guard::Decision;
use storeward_core::instructions::Activity;
use storeward_core::time::{Clock as _, MINUTE};
use storeward_store::What;

use crate::bench::{SHOP, order, sample};
use crate::notifying::{World, all};

/// When the merchant switches something off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Never,
    Before,
    /// The work waits in its queue.
    Queued,
}

async fn switch(world: &World, activity: Activity, on: bool) {
    let store = world.app.store().await;
    let switches = BTreeMap::from([(activity, on)]);
    let settings = store.change_instructions(&world.installation, &switches).await.unwrap().unwrap();
    assert_eq!(activity.switch(&settings), on);
}

/// Everything that a shop's life does, with one activity switched off at a time: which happened.
async fn happened(off: Activity, when: When) -> BTreeSet<Activity> {
    let world = World::new(&all()).await;
    let (bench, app) = (&world.bench, &world.app);
    if when == When::Before {
        switch(&world, off, false).await;
    }
    // Two orders that are one, by webhook; one more that no webhook told of.
    for id in 1..=2 {
        app.order(&format!("w{id}"), &order(id, 1)).await;
        if id == 2 && when == When::Queued && off != Activity::CompareWithShop {
            switch(&world, off, false).await;
        }
        bench.drain(app).await;
    }
    let mut untold: Value = order(3, 1);
    for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
        untold[field] = json!(null);
    }
    untold["email"] = json!("untold@example.com");
    bench.clock.advance(MINUTE * 60);
    untold["updated_at"] = json!(bench.clock.now().to_rfc3339());
    world.shopify.hear_of(SHOP, untold.to_string().as_bytes());
    app.invoke("schedules/reconcile-orders", sample("schedules/reconcile-orders/hourly")).await.unwrap();
    if when == When::Queued && off == Activity::CompareWithShop {
        switch(&world, off, false).await;
    }
    bench.drain(app).await;
    let cases = app.cases(&world.installation).await;
    let shown = world.shown();
    let mails = world.mails();
    // The merchant decides by the API, which reads the shop as it is.
    let store = app.store().await;
    let shop = &world.installation.tenant.shop;
    let installation = store.installation(shop).await.unwrap().unwrap();
    for case in &cases {
        store.decide(&installation, &case.reference, Decision::Confirm, None).await.unwrap();
    }
    let months = app.store().await.statistics(&world.installation, 2).await.unwrap();
    let counted = months.iter().any(|month| month.opened + month.confirmed > 0 || !month.saved.is_empty());
    let stored = bench.items("order").len();
    let did = |activity: Activity| match activity {
        Activity::DetectDuplicates => !cases.is_empty(),
        Activity::AlertByMail => mails > 0,
        Activity::TagOrders => shown.iter().any(|(tags, _, _)| *tags > 0),
        Activity::AttachRiskFacts => shown.iter().any(|(_, facts, _)| *facts > 0),
        Activity::HoldFulfilment => shown.iter().any(|(_, _, holds)| *holds > 0),
        Activity::CountSavings => counted,
        Activity::CompareWithShop => stored == 3,
    };
    Activity::ALL.into_iter().filter(|activity| did(*activity)).collect()
}

// Not on paused time: Shopify and Resend are reached over a socket, whose time-outs would jump.
#[tokio::test]
async fn what_is_switched_off_is_not_done_and_all_else_is() {
    let everything: BTreeSet<Activity> = Activity::ALL.into();
    assert_eq!(
        happened(Activity::TagOrders, When::Never).await,
        everything,
        "all of it is done when it is on"
    );
    for off in Activity::ALL {
        for when in [When::Before, When::Queued] {
            let gone = |other: &Activity| *other == off || other.needs() == Some(off);
            let expected: BTreeSet<Activity> =
                everything.iter().copied().filter(|activity| !gone(activity)).collect();
            assert_eq!(happened(off, when).await, expected, "{off:?} off, {when:?}");
        }
    }
}

#[tokio::test]
async fn a_switch_is_in_the_ledger_by_its_name_and_loses_nothing_else() {
    let world = World::new(&all()).await;
    for activity in Activity::ALL {
        switch(&world, activity, false).await;
        // Again changes nothing, and is not told.
        switch(&world, activity, false).await;
    }
    switch(&world, Activity::DetectDuplicates, true).await;
    let store = world.app.store().await;
    let shop = &world.installation.tenant.shop;
    let entries = store.ledger_of(shop, world.bench.clock.now()).await.unwrap();
    let told: BTreeSet<String> = entries
        .into_iter()
        .filter(|entry| entry.what == What::InstructionChanged)
        .map(|entry| entry.why)
        .collect();
    let all_off = Activity::ALL.iter().map(|activity| format!("{} off", activity.name()));
    let mut expected: BTreeSet<String> = all_off.collect();
    expected.insert("detect_duplicates on".to_owned());
    // What the world itself switched on to begin with.
    expected.extend(["attach_risk_facts on".to_owned(), "hold_fulfilment on".to_owned()]);
    assert_eq!(told, expected);
    let settings = store.installation(shop).await.unwrap().unwrap().settings().unwrap();
    assert_eq!(settings.window_minutes, all().window_minutes);
}
