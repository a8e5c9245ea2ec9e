//! match-order
