//! Does the explorer try everything, and does its reduction lose nothing?

use aws_sdk_dynamodb::Client;
use proptest::prelude::*;

use super::connector::{Connector, Outcome};
use super::explore::{Mode, Process, Report, explore};
use super::faults::{Fault, FaultPlan};
use super::fixtures::{OneTable, client, count, get, n, put, s};

const BOTH: [Mode; 2] = [Mode::Raw, Mode::Reduced];

fn run(
    mode: Mode,
    processes: &[Process<OneTable>],
    check: impl Fn(&OneTable) -> Result<(), String>,
) -> Report {
    explore(mode, 20_000, async |gate| OneTable::new(gate), processes, async |world| check(world))
}

fn counts(expected: i64) -> impl Fn(&OneTable) -> Result<(), String> {
    move |world| match world.number("counter") {
        found if found == expected => Ok(()),
        found => Err(format!("counted {found} of {expected}")),
    }
}

/// The mistake: read, add one, write, without a condition.
fn careless(name: &str) -> Process<OneTable> {
    Process::new(name, async |world: &OneTable| {
        let found = get(&world.client, "counter", "1", true).await;
        put(&world.client, "counter", "1", found + 1).await;
    })
}

/// The same with a condition on what was read, and another try when it fails.
fn careful(name: &str) -> Process<OneTable> {
    Process::new(name, async |world: &OneTable| {
        loop {
            let found = get(&world.client, "counter", "1", true).await;
            let put = world.client.put_item().table_name("data").item("pk", s("counter")).item("sk", s("1"));
            let put = put.item("n", n(found + 1)).expression_attribute_values(":found", n(found));
            let condition = if found == 0 { "attribute_not_exists(pk) OR n = :found" } else { "n = :found" };
            if put.condition_expression(condition).send().await.is_ok() {
                return;
            }
        }
    })
}

#[test]
fn a_lost_update_is_found() {
    for mode in BOTH {
        let report = run(mode, &[careless("a"), careless("b")], counts(2));
        assert!(report.complete);
        assert!(report.violations > 0, "{mode:?}: {report}");
        assert_eq!(report.states.len(), 2, "one or two counted");
        assert_eq!(report.examples[0].schedule.len(), 4);
        assert!(report.to_string().contains("a: DynamoDB GetItem r:data/counter/1"), "{report}");
    }
}

#[test]
fn every_interleaving_is_tried_once() {
    let two = run(Mode::Raw, &[careless("a"), careless("b")], |_| Ok(()));
    assert_eq!((two.executions, two.pruned), (6, 0), "4! / (2! 2!)");
    let three = run(Mode::Raw, &[careless("a"), careless("b"), careless("c")], |_| Ok(()));
    assert_eq!((three.executions, three.longest), (90, 6), "6! / (2! 2! 2!)");
    let reduced = run(Mode::Reduced, &[careless("a"), careless("b"), careless("c")], |_| Ok(()));
    assert_eq!(reduced.states, three.states);
    assert!(reduced.executions < three.executions, "{reduced}");
}

#[test]
fn a_conditional_counter_counts() {
    let mut states = Vec::new();
    for mode in BOTH {
        let report = run(mode, &[careful("a"), careful("b")], counts(2));
        report.assert_holds();
        states.push(report.states);
    }
    assert_eq!(states[0], states[1]);
}

#[test]
fn strangers_need_one_execution() {
    let alone = |name: &'static str| {
        Process::new(name, async move |world: &OneTable| {
            for number in 0..3 {
                put(&world.client, name, "1", number).await;
            }
        })
    };
    let raw = run(Mode::Raw, &[alone("a"), alone("b")], |_| Ok(()));
    let reduced = run(Mode::Reduced, &[alone("a"), alone("b")], |_| Ok(()));
    assert_eq!((raw.executions, reduced.executions), (20, 1));
    assert_eq!(raw.states, reduced.states);
}

#[test]
fn requests_of_one_process_at_a_time_are_choices_too() {
    let process = Process::new("a", async |world: &OneTable| {
        futures::join!(
            put(&world.client, "counter", "1", 1),
            put(&world.client, "counter", "1", 2),
            put(&world.client, "counter", "1", 3)
        );
    });
    for mode in BOTH {
        let report = run(mode, std::slice::from_ref(&process), |_| Ok(()));
        assert_eq!((report.executions, report.states.len()), (6, 3), "{mode:?}");
    }
}

#[test]
fn which_answer_comes_first_is_a_choice_too() {
    let process = || {
        Process::new("a", async |world: &OneTable| {
            let (first, second) = (get(&world.client, "p", "1", true), get(&world.client, "q", "1", true));
            let (first, second) = (std::pin::pin!(first), std::pin::pin!(second));
            let first_wins =
                matches!(futures::future::select(first, second).await, futures::future::Either::Left(_));
            put(&world.client, "counter", "1", i64::from(first_wins)).await;
        })
    };
    for mode in BOTH {
        let report = run(mode, &[process()], |_| Ok(()));
        // The loser is still under way when the winner is written down: it comes before that, or is given up.
        assert_eq!((report.executions, report.states.len()), (4, 2), "{mode:?}");
    }
}

#[test]
fn pauses_before_retries_pass_and_crashes_end_a_process() {
    let process = || {
        Process::new("a", async |world: &OneTable| {
            let throttled = FaultPlan::none().at(0, Fault::Throttled).at(1, Fault::TimeoutBefore);
            let connector = Connector::new(world.gate.clone(), throttled);
            assert!(put(&client(connector.http_client(), 3), "counter", "1", 1).await);
            connector.restart(FaultPlan::none().at(0, Fault::CrashAfter));
            let client = client(connector.http_client(), 3);
            let work = async {
                put(&client, "counter", "1", 2).await;
                put(&client, "counter", "1", 3).await;
            };
            assert_eq!(connector.run(work).await, Outcome::Crashed);
        })
    };
    let other = || {
        Process::new("b", async |world: &OneTable| {
            count(&world.client, "counter", true).await;
        })
    };
    for mode in BOTH {
        let report = run(mode, &[process(), other()], counts(2));
        report.assert_holds();
        assert_eq!(report.executions, 3, "{mode:?}: the reader comes first, between the two writes, or last");
    }
}

#[test]
fn a_panic_in_a_process_is_shown_with_its_schedule() {
    let process = Process::new("a", async |world: &OneTable| {
        assert_eq!(get(&world.client, "counter", "1", true).await, 0, "someone was here");
    });
    let other = Process::new("b", async |world: &OneTable| {
        put(&world.client, "counter", "1", 1).await;
    });
    let report = run(Mode::Reduced, &[process, other], |_| Ok(()));
    assert_eq!((report.executions, report.violations), (2, 1));
    assert!(report.examples[0].message.contains("someone was here"), "{report}");
    assert_eq!(report.examples[0].schedule.len(), 2);
}

#[test]
#[should_panic(expected = "not the same again")]
fn code_that_does_something_else_the_second_time_is_refused() {
    let times = std::sync::atomic::AtomicI64::new(0);
    let fickle = Process::new("a", async move |world: &OneTable| {
        let time = times.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        put(&world.client, &format!("counter{time}"), "1", 0).await;
        put(&world.client, "counter", "1", 0).await;
    });
    run(Mode::Raw, &[fickle, careless("b")], |_| Ok(()));
}

#[test]
#[should_panic(expected = "waits for something that never comes")]
fn a_process_that_cannot_go_on_is_refused() {
    run(Mode::Raw, &[Process::new("a", async |_: &OneTable| std::future::pending().await)], |_| Ok(()));
}

#[test]
#[should_panic(expected = "not every interleaving was tried")]
fn a_limit_is_not_taken_for_an_end() {
    let processes = [careless("a"), careless("b")];
    explore(Mode::Raw, 5, async |gate| OneTable::new(gate), &processes, async |_| Ok(())).assert_holds();
}

/// One step of a random program.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Write a constant.
    Put(u8, i64),
    /// Read one item and write what was read, plus one, to another.
    Copy(u8, u8),
    /// Write the size of a partition to an item of another.
    Count(u8, u8),
    /// Move both items of a pair in one transaction, if the first is there.
    Both(u8, u8),
    /// Read and forget, not consistently.
    Look(u8),
}

/// The four items of the random programs: two partitions of two.
fn place(item: u8) -> (&'static str, &'static str) {
    [("p", "1"), ("p", "2"), ("q", "1"), ("q", "2")][usize::from(item % 4)]
}

async fn perform(client: &Client, step: Step) {
    match step {
        Step::Put(to, number) => {
            put(client, place(to).0, place(to).1, number).await;
        }
        Step::Copy(from, to) => {
            let found = get(client, place(from).0, place(from).1, true).await;
            put(client, place(to).0, place(to).1, found + 1).await;
        }
        Step::Count(from, to) => {
            let found = count(client, place(from).0, true).await;
            put(client, place(to).0, place(to).1, i64::from(found)).await;
        }
        Step::Both(first, second) => {
            use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem, Update};
            let (first, second) = (place(first), place(second));
            let check =
                ConditionCheck::builder().table_name("data").key("pk", s(first.0)).key("sk", s(first.1));
            let check = check.condition_expression("attribute_exists(pk)").build().unwrap();
            let update = Update::builder().table_name("data").key("pk", s(second.0)).key("sk", s(second.1));
            let update = update.update_expression("ADD n :one").expression_attribute_values(":one", n(1));
            let update = TransactWriteItem::builder().update(update.build().unwrap()).build();
            let check = TransactWriteItem::builder().condition_check(check).build();
            // Refused when the first is not there, or both are the same item: then nothing happens.
            let _ = client.transact_write_items().transact_items(check).transact_items(update).send().await;
        }
        Step::Look(at) => {
            get(client, place(at).0, place(at).1, false).await;
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4_u8, 0..9_i64).prop_map(|(to, number)| Step::Put(to, number)),
        (0..4_u8, 0..4_u8).prop_map(|(from, to)| Step::Copy(from, to)),
        (0..4_u8, 0..4_u8).prop_map(|(from, to)| Step::Count(from, to)),
        (0..4_u8, 0..4_u8).prop_map(|(first, second)| Step::Both(first, second)),
        (0..4_u8).prop_map(Step::Look),
    ];
    prop::collection::vec(step, 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reduction_reaches_every_final_state(programs in prop::collection::vec(steps(), 2..4)) {
        let length = |program: &Vec<Step>| -> usize {
            program.iter().map(|step| if matches!(step, Step::Copy(..) | Step::Count(..)) { 2 } else { 1 }).sum()
        };
        prop_assume!(programs.iter().map(length).sum::<usize>() <= 7);
        let processes = || -> Vec<Process<OneTable>> {
            let process = |(index, program): (usize, &Vec<Step>)| {
                let program = program.clone();
                Process::new(&format!("p{index}"), async move |world: &OneTable| {
                    for step in &program {
                        perform(&world.client, *step).await;
                    }
                })
            };
            programs.iter().enumerate().map(process).collect()
        };
        let raw = run(Mode::Raw, &processes(), |_| Ok(()));
        let reduced = run(Mode::Reduced, &processes(), |_| Ok(()));
        prop_assert!(raw.complete && reduced.complete);
        prop_assert_eq!(&raw.states, &reduced.states);
        prop_assert!(reduced.executions <= raw.executions);
    }
}
