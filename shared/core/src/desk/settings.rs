//! Stands in for the branch that builds it.

use serde::{Deserialize, Serialize};

/// How a merchant lets mail be worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskSettings {}
