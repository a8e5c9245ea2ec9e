//! Random histories under random faults: a few shops, a handful of people, everything Shopify sends and people write
//! (twice, late, out of order), merchants who use the API, queues that deliver in any order and more than once, instances
//! that run at the same time and die between any two requests. What must hold is checked after every step, the whole of
//! it whenever everything has come to rest.
//!
//! A history depends on its seed and on nothing else. A failure is shrunk to few steps, and says how to play it again:
//! `STOREWARD_SIMULATION_SEED=17:3,8 cargo test --test storeward simulation`. The soak, with new seeds for as long as it
//! is asked to: `STOREWARD_SIMULATION_MINUTES=60 cargo test --test storeward simulation::random`.

mod actions;
mod checks;
mod dice;
mod gmail;
mod mail_actions;
mod mail_model;
mod model;
mod people;
mod rest;
mod sabotage;
mod tally;
mod wishes;
mod world;

use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ring::rand::{SecureRandom as _, SystemRandom};
use storeward_core::time::{Clock as _, MINUTE, SystemClock};

use dice::Dice;
use sabotage::Sabotage;
use tally::Tally;
use world::World;

/// How many histories a normal test run plays.
const HISTORIES: u64 = 2000;
/// How many histories are played at most until a sabotage must have been found out.
const UNTIL_FOUND: usize = 60;
/// How often a failing history is played again to make it shorter.
const SHRINKING: usize = 150;
/// After how many histories a line says how far it is.
const PROGRESS: u64 = 250;

/// What the caller may ask for, by the name of the variable: the only place that reads the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no settings; how long to soak is the caller's choice"
)]
fn asked(name: &str) -> Option<String> {
    std::env::var(format!("STOREWARD_SIMULATION_{name}")).ok().filter(|text| !text.is_empty())
}

/// A history, as it can be played again: its seed, and which of its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Script {
    seed: u64,
    steps: Vec<u64>,
}

impl Script {
    /// All of a seed's history. Most are short, some are long.
    fn of(seed: u64) -> Self {
        let mut dice = Dice::of_step(seed, u64::MAX - 2);
        let longer = if dice.chance(25) { dice.below(30) } else { 0 };
        let steps = 5 + dice.below(8) + longer;
        Self { seed, steps: (0..steps).collect() }
    }

    /// What [`fmt::Display`] wrote.
    fn read(text: &str) -> Option<Self> {
        let Some((seed, steps)) = text.split_once(':') else { return Some(Self::of(text.parse().ok()?)) };
        let steps = steps.split(',').map(|step| step.parse().ok()).collect::<Option<_>>()?;
        Some(Self { seed: seed.parse().ok()?, steps })
    }

    /// Plays it in a runtime of its own, whose time stands still unless it is moved.
    fn play(&self, sabotage: Option<Sabotage>, reports: bool) -> Tally {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(self.seed, sabotage).await;
            world.reports = reports;
            for step in &self.steps {
                world.step(*step).await;
            }
            world.end().await
        })
    }

    /// Plays it and says whether everything held.
    fn holds(&self, sabotage: Option<Sabotage>) -> Option<Tally> {
        catch_unwind(AssertUnwindSafe(|| self.play(sabotage, false))).ok()
    }

    /// Leaves out what it takes none of to fail: halves, quarters, single steps.
    fn shrunk(&self, sabotage: Option<Sabotage>) -> Self {
        let (mut shortest, mut tries) = (self.clone(), 0);
        let mut length = shortest.steps.len().div_ceil(2);
        while length > 0 {
            let mut from = 0;
            while from < shortest.steps.len() && tries < SHRINKING {
                let mut shorter = shortest.clone();
                shorter.steps.drain(from..shorter.steps.len().min(from + length));
                tries += 1;
                if !shorter.steps.is_empty() && shorter.holds(sabotage).is_none() {
                    shortest = shorter;
                } else {
                    from += length;
                }
            }
            length /= 2;
        }
        shortest
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<String> = self.steps.iter().map(u64::to_string).collect();
        write!(f, "{}:{}", self.seed, steps.join(","))
    }
}

fn say(line: &fmt::Arguments<'_>) {
    // Not a macro that prints: a soak is to be seen while it runs.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Plays the histories that `next` gives on every processor, until it gives none or one fails.
fn play_all(next: &(dyn Fn() -> Option<u64> + Sync)) -> (u64, Tally, Option<Script>) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (played, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let (all, first) = (Mutex::new(Tally::default()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !failed.load(Ordering::SeqCst)
                    && let Some(seed) = next()
                {
                    let script = Script::of(seed);
                    let Some(tally) = script.holds(None) else {
                        failed.store(true, Ordering::SeqCst);
                        first.lock().unwrap().get_or_insert(script);
                        return;
                    };
                    *all.lock().unwrap() += tally;
                    let played = played.fetch_add(1, Ordering::SeqCst) + 1;
                    if played.is_multiple_of(PROGRESS) {
                        say(&format_args!("{played} histories: {}", all.lock().unwrap()));
                    }
                }
            });
        }
    });
    (played.into_inner(), all.into_inner().unwrap(), first.into_inner().unwrap())
}

#[test]
fn random_histories_keep_every_promise() {
    if let Some(text) = asked("SEED") {
        Script::read(&text).expect("a seed, or a seed and steps: 17 or 17:3,8").play(None, true);
        return;
    }
    let next = AtomicU64::new(0);
    let (histories, tally, failed) = if let Some(minutes) = asked("MINUTES") {
        let minutes: u32 = minutes.parse().expect("a number of minutes");
        let (end, random) = (SystemClock.now() + MINUTE * minutes, SystemRandom::new());
        play_all(&|| {
            let mut seed = [0; 4];
            random.fill(&mut seed).unwrap();
            (SystemClock.now() < end).then(|| u32::from_be_bytes(seed).into())
        })
    } else {
        let histories =
            asked("HISTORIES").map_or(HISTORIES, |text| text.parse().expect("a number of histories"));
        play_all(&|| Some(next.fetch_add(1, Ordering::SeqCst)).filter(|seed| *seed < histories))
    };
    say(&format_args!("{histories} histories: {tally}"));
    if let Some(failed) = failed {
        let shrunk = failed.shrunk(None);
        say(&format_args!(
            "\na history failed; all of it:    STOREWARD_SIMULATION_SEED={} cargo test --test storeward simulation::random\n\
             the steps it takes to fail: STOREWARD_SIMULATION_SEED={shrunk} cargo test --test storeward simulation::random",
            failed.seed
        ));
        // Tells the failure itself, as it would be told again.
        shrunk.play(None, true);
        panic!("a history failed once and not again: {failed}");
    }
    assert!(tally.faults > 0 && tally.purges > 0 && tally.calls > 0 && tally.exports > 0, "{tally}");
    assert!(tally.mails > 0 && tally.replies > 0, "{tally}");
    for outcome in ["accepted", "duplicate", "stale", "erased", "limited"] {
        assert!(tally.orders.contains_key(outcome), "no order was {outcome}: {tally}");
    }
    assert!(tally.wishes.iter().all(|count| *count > 0), "{tally}");
    for arrival in ["stored", "known", "erased", "limited"] {
        assert!(tally.arrivals.contains_key(arrival), "no mail was {arrival}: {tally}");
    }
    assert_eq!(tally.actions.len(), actions::KINDS, "{:?}", tally.actions);
}

#[test]
fn a_seed_plays_the_same_history_again() {
    // Of orders, of limits, of mail, and of mail and limits.
    for seed in [3, 2, 4, 7] {
        let script = Script::of(seed);
        assert_eq!(Script::read(&script.to_string()), Some(script.clone()));
        let (once, again) = (script.play(None, true).trace, script.play(None, true).trace);
        for (a, b) in once.iter().zip(&again) {
            assert_eq!(a, b);
        }
        assert_eq!(once.len(), again.len());
    }
}

#[test]
fn a_history_that_fails_is_shrunk_to_the_one_step_it_takes() {
    let broken = Some(Sabotage::NotAllIsSealed);
    let of_orders = (0..1000).filter(|seed| !world::is_of_mail(*seed) && !world::is_of_limits(*seed));
    let script = of_orders.map(Script::of).find(|script| script.steps.len() > 8).unwrap();
    assert!(script.holds(broken).is_none(), "an order is stored in it");
    let shrunk = script.shrunk(broken);
    assert_eq!(shrunk.steps.len(), 1, "{shrunk}");
    assert!(shrunk.holds(broken).is_none() && shrunk.holds(None).is_some());
}

#[test]
fn the_histories_find_out_whatever_is_broken() {
    let found = |sabotage: Sabotage| {
        let histories = (0..).filter(|seed| !sabotage.is_of_mail() || world::is_of_mail(*seed));
        let found =
            histories.take(UNTIL_FOUND).find(|seed| Script::of(*seed).holds(Some(sabotage)).is_none());
        say(&format_args!("{sabotage:?}: found by history {found:?}"));
        found
    };
    let undetected: Vec<Sabotage> = std::thread::scope(|scope| {
        let looking: Vec<_> =
            Sabotage::ALL.map(|sabotage| (sabotage, scope.spawn(move || found(sabotage)))).into();
        let missed = looking
            .into_iter()
            .filter_map(|(sabotage, looking)| looking.join().unwrap().is_none().then_some(sabotage));
        missed.collect()
    });
    assert_eq!(undetected, [], "no history of the first {UNTIL_FOUND} shows it");
}
