//! Stands in for the branch that builds it.

use serde::{Deserialize, Serialize};

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {}
