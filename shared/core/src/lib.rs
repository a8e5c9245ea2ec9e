//! The pure domain that everything shares: time, orders, normalisation, matching, retention.
//! No I/O, no async, no AWS; it knows no other crate of the workspace.

pub mod access_review;
pub mod alert;
pub mod announcement;
pub mod data_map;
pub mod disclosure;
pub mod egress;
pub mod exception;
pub mod export_page;
pub mod guard;
pub mod incident;
pub mod instructions;
pub mod intent;
pub mod ledger;
pub mod limits;
pub mod matching;
pub mod members;
pub mod money;
pub mod normalize;
pub mod oauth;
pub mod operator_token;
pub mod order;
pub mod personal;
pub mod preview;
pub mod receipt;
pub mod report;
pub mod retention;
pub mod rights;
pub mod rights_mail;
pub mod roles;
pub mod session;
pub mod shop;
pub mod time;
pub mod webhook;
