//! Stands in for the branch that builds it.

use serde::{Deserialize, Serialize};

/// A macro.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macro {}
