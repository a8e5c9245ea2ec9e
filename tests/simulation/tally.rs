//! What was played, counted and in words.

use std::fmt;

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
    pub(super) orders: usize,
    pub(super) news: usize,
    pub(super) erasures: usize,
    pub(super) purges: usize,
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
        self.orders += other.orders;
        self.news += other.news;
        self.erasures += other.erasures;
        self.purges += other.purges;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} steps, {} invocations, {} requests ({} in all), {} faults ({} crashes), {} orders, {} news, {} erasures, {} purges",
            self.steps,
            self.invocations,
            self.requests,
            self.all_requests,
            self.faults,
            self.crashes,
            self.orders,
            self.news,
            self.erasures,
            self.purges
        )
    }
}
