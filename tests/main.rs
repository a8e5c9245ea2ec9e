//! All tests of the bundle that need more than one crate, as one binary.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]
#![expect(clippy::missing_panics_doc, clippy::must_use_candidate, reason = "nobody but these tests calls it")]

pub mod api;
pub mod bench;
mod claude;
mod consent;
mod crashes;
mod demo;
mod egress;
mod ending;
mod erasing_at_scale;
mod evidence;
mod flagging;
mod front;
mod incidents;
mod instructions;
mod large_exports;
mod leaks;
mod leaks_by_kind;
pub mod ledger;
mod ledger_api;
pub mod ledgers;
mod limits;
mod mail_desk;
mod mail_store;
mod mailboxes;
mod mutants;
mod notifying;
pub mod parsers;
mod privileges;
mod promises;
mod reconciling;
mod regressions;
mod requests;
mod requests_of_people;
mod restoring;
mod retention;
mod rights;
mod roles;
mod scenarios;
mod simulation;
mod simultaneous;
mod strangers;
pub mod support;
mod updates;
