//! The pure domain that everything shares: time, orders, normalisation, matching, retention.
//! No I/O, no async, no AWS; it knows no other crate of the workspace.

pub mod alert;
pub mod announcement;
pub mod data_map;
pub mod disclosure;
pub mod egress;
pub mod exception;
pub mod guard;
pub mod incident;
pub mod ledger;
pub mod matching;
pub mod money;
pub mod normalize;
pub mod oauth;
pub mod order;
pub mod personal;
pub mod preview;
pub mod report;
pub mod rights;
pub mod session;
pub mod shop;
pub mod time;
pub mod webhook;
