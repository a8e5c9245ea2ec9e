//! All tests of the bundle that need more than one crate, as one binary.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

pub mod support;
