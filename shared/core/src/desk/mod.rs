//! The mail desk's own: stands in for the branch that builds it, with its types alone, until that is merged.

pub mod macros;
pub mod rules;
pub mod settings;
