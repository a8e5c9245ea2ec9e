//! The pure domain that everything shares: time, orders, normalisation, matching, retention.
//! No I/O, no async, no AWS; it knows no other crate of the workspace.

pub mod time;
