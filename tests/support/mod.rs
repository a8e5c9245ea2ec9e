//! What the tests stand on: a recording, fault-injecting SDK connector and an explorer of interleavings.
//! Scenarios and invariants are not here; nor is any second implementation of a store.

pub mod capacity;
pub mod connector;
pub mod explore;
pub mod faults;
pub mod footprint;
pub mod stale;
pub mod thief;
pub mod wire;

mod connector_tests;
mod explore_tests;
mod fixtures;
