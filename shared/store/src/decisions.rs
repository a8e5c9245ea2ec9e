//! What a merchant does with a case: decides on it, changes the decision, deletes it once it is resolved. Each is one
//! transaction on the case as it was read, with the counters, the exceptions and the ledger entry it means.

use storeward_core::data_map::Kind;
use storeward_core::exception::Scope;
use storeward_core::guard::Decision;
use storeward_core::instructions::Activity;

use crate::cases::{Case, CaseState, Decided};
use crate::error::{Result, StoreError};
use crate::exceptions::Change;
use crate::keyspace::{self, RecordRef};
use crate::ledger::{Entry, What};
use crate::notices;
use crate::statistics::{Counted, Tally};
use crate::store::{Action, Store, TRANSACTION_ITEMS, Unrecorded};
use crate::tenants::Installation;

/// How often a decision is tried while others change the case.
const ATTEMPTS: usize = 12;

/// What a deletion keeps room for in each transaction: the case, its row in the list and the ledger.
const CASE_ITEMS: usize = 4;

/// What became of a decision.
#[derive(Clone, Debug)]
pub enum Deciding {
    /// It counts now.
    Decided(Box<Case>),
    /// It counted already.
    Unchanged(Box<Case>),
    /// There is no such case.
    Missing,
    /// The case is not at the revision that was decided on.
    Changed,
    /// Its people were erased: there is nothing to decide on.
    Anonymised,
    /// The orders are not kept any more, so it is not known whom to except.
    NothingToExcept,
    /// So many addresses or people are in the case that an exception would not be one.
    TooLarge,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleting {
    /// The case is gone.
    Deleted,
    /// There is no such case.
    Missing,
    /// The case is not resolved.
    NotResolved,
}

impl Case {
    /// Counts its changes: what a decision can be tied to.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.revision
    }
}

const fn state_after(decision: Decision) -> CaseState {
    match decision {
        Decision::Confirm => CaseState::Confirmed,
        Decision::Dismiss | Decision::NeverThisHousehold | Decision::NeverThisCustomer => {
            CaseState::Dismissed
        }
    }
}

const fn name(decision: Decision) -> &'static str {
    match decision {
        Decision::Confirm => "confirm",
        Decision::Dismiss => "dismiss",
        Decision::NeverThisHousehold => "never_this_household",
        Decision::NeverThisCustomer => "never_this_customer",
    }
}

impl Store {
    /// Decides on a case, or decides otherwise. With a `revision`, only on the case at that revision; the same decision
    /// once more changes nothing, whatever the revision. A decision on a case that was merged is one on the other.
    pub async fn decide(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        decision: Decision,
        revision: Option<i64>,
    ) -> Result<Deciding> {
        for _ in 0..ATTEMPTS {
            let Some(mut case) = self.case(installation, reference).await? else {
                return Ok(Deciding::Missing);
            };
            let state = state_after(decision);
            let same = case.decided.as_ref().is_some_and(|decided| decided.decision == decision);
            if case.state == CaseState::Anonymised {
                return Ok(Deciding::Anonymised);
            }
            if same && case.state == state {
                return Ok(Deciding::Unchanged(Box::new(case)));
            }
            if revision.is_some_and(|revision| revision != case.revision) {
                return Ok(Deciding::Changed);
            }
            let (mut actions, exceptions) =
                match self.except(installation, &case, Scope::of(decision)).await? {
                    Change::Write(actions, exceptions) => (actions, exceptions),
                    Change::NothingToExcept => return Ok(Deciding::NothingToExcept),
                    Change::TooLarge => return Ok(Deciding::TooLarge),
                };
            let now = self.now();
            let mut tally = Tally::default();
            tally.taken_back(&case);
            let counting = installation.settings()?.allow(Activity::CountSavings);
            let counted = counting.then(|| Counted::of(&case, decision == Decision::Confirm, now));
            if let Some(counted) = &counted {
                tally.decided(&case.reference, counted);
            }
            case.state = state;
            case.decided = Some(Decided { decision, at: now });
            case.counted = counted;
            case.exceptions = exceptions;
            actions.push(case.put(self, installation)?);
            // Not which case: the ledger outlives its people, and must not tell one anonymised case from another.
            let entry = Entry::new(now, &installation.tenant, What::CaseDecided, name(decision));
            actions.push(self.ledger_action(&entry)?);
            actions.extend(tally.actions(&installation.tenant));
            if self.transact(actions).await?.is_ok() {
                case.revision += 1;
                return Ok(Deciding::Decided(Box::new(case)));
            }
        }
        Err(StoreError::Contended("a case"))
    }

    /// Deletes a resolved case: the case, its row in the list, the rows that lead to it, and the link to it of the orders
    /// that it lists. An order that a large one does not list is left with the name of a case that is none, as by an erasure,
    /// and free for another. The counters keep what it was counted as, and exceptions stay until they are ended.
    pub async fn delete_case(&self, installation: &Installation, reference: &RecordRef) -> Result<Deleting> {
        for _ in 0..ATTEMPTS {
            let Some(case) = self.case(installation, reference).await? else {
                return Ok(Deleting::Missing);
            };
            let mut case = case.whole();
            let resolved =
                matches!(case.state, CaseState::Confirmed | CaseState::Dismissed | CaseState::Settled);
            if !resolved {
                return Ok(Deleting::NotResolved);
            }
            let mut actions: Vec<Action> = Vec::new();
            while let Some(member) = case.members.first() {
                let released = self.release(installation, member).await?;
                if !actions.is_empty() && actions.len() + released.len() > TRANSACTION_ITEMS - CASE_ITEMS {
                    break;
                }
                actions.extend(released);
                case.members.remove(0);
                case.size = case.size.saturating_sub(1);
            }
            // A large case goes in several steps: what is left of it is resolved as it was, and can be asked for again.
            let last = case.members.is_empty();
            if last {
                let counts = [(Kind::Case.name().to_owned(), 1)];
                let mut entry = Entry::new(self.now(), &installation.tenant, What::CaseDeleted, "merchant");
                entry.counts = counts.into();
                actions.push(self.ledger_action(&entry)?);
                actions.push(Action::Delete {
                    key: keyspace::record(&installation.tenant, &case.reference),
                    condition: Some(case.unchanged()),
                });
                actions.extend(case.index_key(&installation.tenant).map(Action::delete));
                actions.push(notices::forgotten(installation, &case.reference));
            } else {
                actions.push(case.put(self, installation)?);
            }
            let written = if last {
                self.transact(actions).await?.is_ok()
            } else {
                self.transact_unrecorded(Unrecorded::Step, actions).await?.is_ok()
            };
            if written && last {
                return Ok(Deleting::Deleted);
            }
        }
        Err(StoreError::Contended("a case"))
    }
}
