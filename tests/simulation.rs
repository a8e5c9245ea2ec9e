//! Random histories under random faults: a few shops, a handful of people, everything Shopify sends (twice, late, out
//! of order), queues that deliver in any order and more than once, instances that run at the same time and die between
//! any two requests. What must hold is checked after every step, the whole of it whenever everything has come to rest.
//!
//! `STOREWARD_SIMULATION_HISTORIES=2000 cargo test -p storeward-tests simulation` soaks;
//! `STOREWARD_SIMULATION_SEED=17 cargo test -p storeward-tests simulation` plays one history again, as the report of a
//! failure says. A history depends on its seed and on nothing else.

mod checks;
mod dice;
mod model;
mod people;
mod rest;
mod tally;
mod world;

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use tally::Tally;
use world::World;

/// How many histories a normal test run plays.
const HISTORIES: u64 = 24;
/// How many steps each of them has, before everything comes to rest.
const STEPS: usize = 30;

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no settings; how long to soak is the caller's choice"
)]
fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Plays a history in a runtime of its own, whose time stands still unless it is moved.
fn play(seed: u64) -> Tally {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed).await;
        for _ in 0..STEPS {
            world.step().await;
        }
        world.end().await
    })
}

#[test]
fn random_histories_keep_every_promise() {
    if let Some(seed) = number_from_environment("STOREWARD_SIMULATION_SEED") {
        play(seed);
        return;
    }
    let histories = number_from_environment("STOREWARD_SIMULATION_HISTORIES").unwrap_or(HISTORIES);
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let play_on = || {
            let mut tally = Tally::default();
            loop {
                let seed = next.fetch_add(1, Ordering::SeqCst);
                if seed >= histories {
                    return tally;
                }
                tally += play(seed);
            }
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(play_on)).collect();
        running.into_iter().map(|thread| thread.join().expect("a history failed: see above")).collect()
    });
    let mut all = Tally::default();
    for tally in tallies {
        all += tally;
    }
    writeln!(std::io::stderr(), "{histories} histories: {all}").unwrap();
    assert!(all.faults > 0 && all.erasures > 0 && all.purges > 0, "nothing happened: {all}");
}

#[test]
fn a_seed_plays_the_same_history_again() {
    let (once, again) = (play(7).trace, play(7).trace);
    for (a, b) in once.iter().zip(&again) {
        assert_eq!(a, b);
    }
    assert_eq!(once.len(), again.len());
}
