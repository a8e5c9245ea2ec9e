//! What was played, counted and in words.

use std::collections::BTreeMap;
use std::fmt;

use super::actions::Action;

/// What was played.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) steps: usize,
    pub(super) invocations: usize,
    /// Requests of the instances that things go wrong for.
    pub(super) requests: usize,
    /// Those, and what the calm instance and the checks asked.
    pub(super) all_requests: u64,
    pub(super) faults: usize,
    pub(super) crashes: usize,
    /// Calls of the merchants' API that did something.
    pub(super) calls: usize,
    pub(super) purges: usize,
    /// Receipts of purges and of erasures, all of which verify.
    pub(super) receipts: usize,
    /// Exports that were made.
    pub(super) exports: usize,
    /// Mails that somebody wrote.
    pub(super) mails: usize,
    /// Replies that went out.
    pub(super) replies: usize,
    /// What the store said to mails, by what it said.
    pub(super) arrivals: BTreeMap<&'static str, usize>,
    /// What was answered to news of orders: its outcome, or why it was refused.
    pub(super) orders: BTreeMap<String, usize>,
    /// How many limits were put on, and lifted.
    pub(super) wishes: [usize; 2],
    /// How often each thing happened.
    pub(super) actions: BTreeMap<Action, usize>,
    /// How many webhooks of each topic were sent.
    pub(super) webhooks: BTreeMap<&'static str, usize>,
    /// Everything that happened, in words; of a single history.
    pub(super) trace: Vec<String>,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.invocations += other.invocations;
        self.requests += other.requests;
        self.all_requests += other.all_requests;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.calls += other.calls;
        self.purges += other.purges;
        self.receipts += other.receipts;
        self.exports += other.exports;
        self.mails += other.mails;
        self.replies += other.replies;
        for (arrival, count) in other.arrivals {
            *self.arrivals.entry(arrival).or_default() += count;
        }
        for (outcome, count) in other.orders {
            *self.orders.entry(outcome).or_default() += count;
        }
        for (all, more) in self.wishes.iter_mut().zip(other.wishes) {
            *all += more;
        }
        for (action, count) in other.actions {
            *self.actions.entry(action).or_default() += count;
        }
        for (topic, count) in other.webhooks {
            *self.webhooks.entry(topic).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} steps, {} invocations, {} requests ({} in all), {} faults ({} crashes), {} purges, {} receipts, \
             {} exports, {} calls, {} limits, {} of them lifted, {} mails ({:?}), {} replies, {:?}, of orders {:?}",
            self.steps,
            self.invocations,
            self.requests,
            self.all_requests,
            self.faults,
            self.crashes,
            self.purges,
            self.receipts,
            self.exports,
            self.calls,
            self.wishes[0],
            self.wishes[1],
            self.mails,
            self.arrivals,
            self.replies,
            self.webhooks,
            self.orders
        )
    }
}
