//! Every interleaving of the requests of concurrent processes, one after another, against a fresh world each time.
//!
//! A process is a future that sends its requests through the gate. All processes run until each stands at the gate;
//! then one waiting request is carried out, its process runs on, and so forth to the end. Depth-first over all choices,
//! by running again from the start with the same choices up to the last one that can be made differently.
//!
//! This needs code under test that does the same thing again: its time and its randomness must come from seams (clock,
//! id source) that the world sets. Requests that differ between two runs with the same choices are reported as a panic.
//! A request of one process that sleeps (an SDK's pause before a retry) goes on before anything is chosen; time is
//! tokio's and paused. Nothing is sampled here and no fault is injected: put a `Connector` between SDK and gate for that.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use http::{Request, Response};
use tokio::sync::{Notify, oneshot};

use super::connector::{Transport, lock, transport};
use super::footprint::Footprint;

/// How many schedules that break the check are kept for the report; the others are counted.
const KEPT_VIOLATIONS: usize = 3;
/// In tokio's paused time: longer than any pause of an SDK, so who stands still longer waits for nothing.
const STUCK: Duration = Duration::from_hours(1);

/// What the processes share and the check looks at: made afresh for every execution.
pub trait World {
    /// Carries out one request.
    fn call(&self, request: Request<Bytes>) -> impl Future<Output = Response<Bytes>>;

    /// Everything that makes up the state, as one text: two worlds are in the same state when their texts are equal.
    /// What differs from run to run, such as a sealed value with a random nonce, makes every state a state of its own.
    fn state(&self) -> String;

    /// Whether no request of another process can ever disturb this one, or be disturbed by it, whatever comes: then
    /// [`Mode::Reduced`] carries it out at once and tries no other order. The world vouches for it; that no request of
    /// another process touched the same in DynamoDB is checked after every execution.
    fn private(&self, _request: &Footprint) -> bool {
        false
    }

    /// Whether a process is not to go on yet, by how many requests each has behind it. For worlds whose processes are
    /// alike: interleavings that differ only in which of them is first need not all be tried.
    fn held(&self, _process: usize, _done: &[usize]) -> bool {
        false
    }
}

/// One of the concurrent pieces of work.
pub struct Process<W> {
    name: String,
    start: Start<W>,
}

type Start<W> = Box<dyn for<'w> Fn(&'w W) -> LocalBoxFuture<'w, ()>>;

impl<W: 'static> Process<W> {
    /// A process; `work` runs once per execution. A panic in it counts as a violation.
    ///
    /// Processes may share only what the world's requests carry: memory shared past the gate is not seen by the
    /// reduction (use [`Mode::Raw`] then). Spawned tasks are not followed; `join!` is.
    pub fn new<F: AsyncFn(&W) + 'static>(name: &str, work: F) -> Self {
        let work = Rc::new(work);
        let start: Start<W> = Box::new(move |world| {
            let work = work.clone();
            Box::pin(async move { work(world).await })
        });
        Self { name: name.to_owned(), start }
    }
}

/// How thoroughly to enumerate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every interleaving.
    Raw,
    /// One interleaving of all those that differ only in the order of requests of different processes that cannot
    /// disturb each other (sleep sets). It reaches every final state [`Mode::Raw`] reaches.
    Reduced,
}

/// A schedule after which something does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What does not hold.
    pub message: String,
    /// The requests in the order they were carried out.
    pub schedule: Vec<String>,
}

/// What an exploration found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Executions that came to their end.
    pub executions: usize,
    /// Executions given up because another one with the same outcome was or will be made; none in [`Mode::Raw`].
    pub pruned: usize,
    /// The most requests of one execution.
    pub longest: usize,
    /// SHA-256 of the text of every final state reached.
    pub states: BTreeSet<String>,
    /// How many executions broke the check.
    pub violations: usize,
    /// The first of them.
    pub examples: Vec<Violation>,
    /// Whether all executions there are were made; false when the limit ended the exploration.
    pub complete: bool,
}

impl Report {
    /// Makes sure that every execution was made and none broke the check.
    ///
    /// # Panics
    /// When that is not so; the message shows schedules.
    pub fn assert_holds(&self) {
        assert!(self.violations == 0, "{self}");
        assert!(self.complete, "not every interleaving was tried: {self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} executions, {} pruned, {} final states, at most {} requests, {} violations",
            self.executions,
            self.pruned,
            self.states.len(),
            self.longest,
            self.violations
        )?;
        for example in &self.examples {
            write!(f, "\n{}", example.message)?;
            for (number, step) in example.schedule.iter().enumerate() {
                write!(f, "\n  {:>2}. {step}", number + 1)?;
            }
        }
        Ok(())
    }
}

/// Runs `processes` against worlds from `make` in every interleaving (at most `limit` executions, pruned ones included)
/// and has `check` look at the world after each.
///
/// `make` gets the gate: the transport the world's processes must send through. Filling the world first, and checking
/// it afterwards, go to it directly.
///
/// # Panics
/// When someone else than a process sends through the gate, when a process waits for something that never comes, and
/// when the same choices lead to other requests than before.
#[expect(
    clippy::needless_pass_by_value,
    reason = "closures written at the call read better without a reference"
)]
pub fn explore<W: World + 'static>(
    mode: Mode,
    limit: usize,
    make: impl AsyncFn(Transport) -> W,
    processes: &[Process<W>],
    check: impl AsyncFn(&W) -> Result<(), String>,
) -> Report {
    let mut report = Report::default();
    let mut path = Path { mode, frames: Vec::new() };
    while report.executions + report.pruned < limit {
        // Time starts over as well, so that an execution cannot see how many came before it.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without drivers for input and output");
        // Tokio would otherwise pause a long execution in the middle, which looks like a process waiting for time.
        runtime.block_on(tokio::task::unconstrained(execute(
            &mut path,
            &mut report,
            &make,
            processes,
            &check,
        )));
        if !path.next() {
            report.complete = true;
            break;
        }
    }
    report
}

/// One execution along `path`, extending it where it ends.
async fn execute<W: World + 'static>(
    path: &mut Path,
    report: &mut Report,
    make: &impl AsyncFn(Transport) -> W,
    processes: &[Process<W>],
    check: &impl AsyncFn(&W) -> Result<(), String>,
) {
    let gate = Gate::new(processes.iter().map(|process| process.name.clone()).collect());
    let world = make(gate.transport()).await;
    let mut crew = Crew::start(&world, processes, &gate);
    let mut schedule = Vec::new();
    let mut done: Vec<(bool, Step)> = Vec::new();
    loop {
        crew.settle(&gate).await;
        let mut steps = gate.steps();
        let behind: Vec<usize> = (0..processes.len())
            .map(|process| done.iter().filter(|(_, step)| step.id.0 == process).count())
            .collect();
        steps.retain(|step| !world.held(step.id.0, &behind));
        if steps.is_empty() {
            break;
        }
        let private = steps.iter().position(|step| world.private(&step.footprint));
        let private = private.filter(|_| path.mode == Mode::Reduced);
        let Some(chosen) = path.choose(schedule.len(), steps, private) else {
            report.pruned += 1;
            return;
        };
        schedule.push(chosen.label.clone());
        done.push((private.is_some(), chosen.clone()));
        let (request, reply) = gate.admit(chosen.id);
        // The process may have given the request up meanwhile; then nobody wants the answer.
        let _ = reply.send(world.call(request).await);
    }
    vouched(&done);
    report.executions += 1;
    report.longest = report.longest.max(schedule.len());
    report.states.insert(hex::encode(ring::digest::digest(&ring::digest::SHA256, world.state().as_bytes())));
    let result = match crew.panicked.take() {
        Some(message) => Err(message),
        None => check(&world).await,
    };
    if let Err(message) = result {
        report.violations += 1;
        if report.examples.len() < KEPT_VIOLATIONS {
            report.examples.push(Violation { message, schedule });
        }
    }
}

/// Checks what the world said of private requests against what happened.
fn vouched(done: &[(bool, Step)]) {
    for (_, private) in done.iter().filter(|(private, step)| *private && step.footprint.service == "DynamoDB")
    {
        let disturbed = done
            .iter()
            .find(|(_, other)| other.id.0 != private.id.0 && other.footprint.conflicts(&private.footprint));
        let by = disturbed.map(|(_, other)| other.label.as_str());
        assert_eq!(by, None, "{} was called private, and this touches the same", private.label);
    }
}

/// Names a request across executions: the process and the number of the request in it.
type StepId = (usize, usize);

/// A request that waits at the gate, as a choice.
#[derive(Clone, Debug)]
struct Step {
    id: StepId,
    label: String,
    footprint: Footprint,
}

impl Step {
    /// Whether it can change places with `other` without anyone noticing. Two requests of one process never can: the
    /// process goes on with whichever answer comes first.
    fn independent(&self, other: &Self) -> bool {
        self.id.0 != other.id.0 && !self.footprint.conflicts(&other.footprint)
    }
}

/// The choices of the current execution, and what is left to choose at each.
struct Path {
    mode: Mode,
    frames: Vec<Frame>,
}

struct Frame {
    steps: Vec<Step>,
    chosen: usize,
    /// Whether the choice is private: then no other is tried here.
    private: bool,
    /// Choices already explored here, and those whose executions are all covered elsewhere.
    closed: BTreeSet<StepId>,
}

impl Path {
    /// The choice at `depth`: the one of the path, or beyond its end the first that is open. `None` when all are
    /// covered elsewhere.
    fn choose(&mut self, depth: usize, steps: Vec<Step>, private: Option<usize>) -> Option<Step> {
        if let Some(frame) = self.frames.get(depth) {
            let labels = |steps: &[Step]| steps.iter().map(|step| step.label.clone()).collect::<Vec<_>>();
            let (before, now) = (labels(&frame.steps), labels(&steps));
            assert!(
                before == now,
                "not the same again with the same choices: first {before:#?}, now {now:#?}"
            );
            return Some(frame.steps[frame.chosen].clone());
        }
        let closed = self.asleep();
        let open = |step: &Step| !closed.contains(&step.id);
        let chosen = match private {
            Some(private) => open(&steps[private]).then_some(private)?,
            None => steps.iter().position(open)?,
        };
        let step = steps[chosen].clone();
        self.frames.push(Frame { steps, chosen, private: private.is_some(), closed });
        Some(step)
    }

    /// What need not be chosen after the last choice: what was explored or asleep before it and does not depend on it,
    /// since the same two in the other order are covered there.
    fn asleep(&self) -> BTreeSet<StepId> {
        match (self.mode, self.frames.last()) {
            (Mode::Reduced, Some(frame)) => {
                let chosen = &frame.steps[frame.chosen];
                let closed = frame.steps.iter().filter(|step| frame.closed.contains(&step.id));
                closed.filter(|step| step.independent(chosen)).map(|step| step.id).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// Goes on to the next path; false when there is none.
    fn next(&mut self) -> bool {
        while let Some(frame) = self.frames.last_mut() {
            if frame.private {
                self.frames.pop();
                continue;
            }
            frame.closed.insert(frame.steps[frame.chosen].id);
            if let Some(open) = frame.steps.iter().position(|step| !frame.closed.contains(&step.id)) {
                frame.chosen = open;
                return true;
            }
            self.frames.pop();
        }
        false
    }
}

/// Where requests wait until they are admitted.
#[derive(Clone)]
struct Gate(Arc<Mutex<Waiting>>);

struct Waiting {
    /// The process that is being polled: whoever sends now, is it.
    current: Option<usize>,
    names: Vec<String>,
    sent: Vec<usize>,
    requests: Vec<(Step, Request<Bytes>, oneshot::Sender<Response<Bytes>>)>,
}

impl Gate {
    /// For the processes of these names.
    fn new(names: Vec<String>) -> Self {
        let sent = vec![0; names.len()];
        Self(Arc::new(Mutex::new(Waiting { current: None, names, sent, requests: Vec::new() })))
    }

    fn transport(&self) -> Transport {
        let gate = self.clone();
        transport(move |request| {
            let gate = gate.clone();
            async move {
                let answer = gate.arrive(request);
                answer.await.expect("the gate answers what it admitted, and outlives the processes")
            }
        })
    }

    fn arrive(&self, request: Request<Bytes>) -> oneshot::Receiver<Response<Bytes>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = lock(&self.0);
        let process =
            waiting.current.expect("a request outside the processes: fill and check the world directly");
        let id = (process, waiting.sent[process]);
        waiting.sent[process] += 1;
        let footprint = Footprint::of(&request);
        let step = Step { id, label: format!("{}: {footprint}", waiting.names[process]), footprint };
        waiting.requests.push((step, request, sender));
        receiver
    }

    /// What waits, in a fixed order. Requests that were given up meanwhile are forgotten: they never left.
    fn steps(&self) -> Vec<Step> {
        let mut waiting = lock(&self.0);
        waiting.requests.retain(|(_, _, reply)| !reply.is_closed());
        waiting.requests.sort_by_key(|(step, _, _)| step.id);
        waiting.requests.iter().map(|(step, _, _)| step.clone()).collect()
    }

    fn admit(&self, id: StepId) -> (Request<Bytes>, oneshot::Sender<Response<Bytes>>) {
        let mut waiting = lock(&self.0);
        let place = waiting.requests.iter().position(|(step, _, _)| step.id == id);
        let (_, request, reply) = waiting.requests.swap_remove(place.expect("only what waits is chosen"));
        (request, reply)
    }

    fn someone_waits(&self, process: usize) -> bool {
        lock(&self.0).requests.iter().any(|(step, _, reply)| step.id.0 == process && !reply.is_closed())
    }
}

/// The processes of one execution.
struct Crew<'w> {
    members: Vec<Member<'w>>,
    woken: Arc<Notify>,
    panicked: Option<String>,
}

struct Member<'w> {
    name: String,
    /// `None` once it has come to its end.
    work: Option<LocalBoxFuture<'w, Result<(), String>>>,
    bell: Arc<Bell>,
}

/// Rings when a process can go on.
struct Bell {
    rung: AtomicBool,
    woken: Arc<Notify>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.woken.notify_one();
    }
}

impl<'w> Crew<'w> {
    fn start<W>(world: &'w W, processes: &[Process<W>], gate: &Gate) -> Self {
        let woken = Arc::new(Notify::new());
        let member = |(index, process): (usize, &Process<W>)| {
            lock(&gate.0).current = Some(index);
            let work = AssertUnwindSafe((process.start)(world)).catch_unwind();
            let work = work.map(|result| result.map_err(|panic| said(&*panic)));
            lock(&gate.0).current = None;
            Member {
                name: process.name.clone(),
                work: Some(tokio::task::unconstrained(work).boxed_local()),
                bell: Arc::new(Bell { rung: AtomicBool::new(true), woken: woken.clone() }),
            }
        };
        let members = processes.iter().enumerate().map(member).collect();
        Self { members, woken, panicked: None }
    }

    /// Runs every process until it has ended or stands at the gate.
    async fn settle(&mut self, gate: &Gate) {
        loop {
            for index in 0..self.members.len() {
                self.poll(index, gate);
            }
            let rung = |member: &Member| member.work.is_some() && member.bell.rung.load(Ordering::SeqCst);
            if self.members.iter().any(rung) {
                continue;
            }
            let away = self
                .members
                .iter()
                .enumerate()
                .find(|(index, member)| member.work.is_some() && !gate.someone_waits(*index));
            let Some((_, member)) = away else { return };
            // It waits for time. Waiting here as well lets tokio move its paused clock to the next timer.
            let patience = tokio::time::timeout(STUCK, self.woken.notified()).await;
            assert!(patience.is_ok(), "{} waits for something that never comes", member.name);
        }
    }

    /// Polls one process for as long as it wants to go on.
    fn poll(&mut self, index: usize, gate: &Gate) {
        let member = &mut self.members[index];
        let waker = Waker::from(member.bell.clone());
        while let Some(work) = &mut member.work {
            if !member.bell.rung.swap(false, Ordering::SeqCst) {
                break;
            }
            lock(&gate.0).current = Some(index);
            let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(result) = polled {
                member.work = None;
                if let Err(message) = result {
                    self.panicked.get_or_insert(format!("{} panicked: {message}", member.name));
                }
            }
            lock(&gate.0).current = None;
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}
