//! All tests of the bundle that need more than one crate, as one binary.

pub mod support;
