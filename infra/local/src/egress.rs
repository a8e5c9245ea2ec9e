//! The egress recorder: which bytes reached which sub-processor of the simulated outside world, and for what use. Whether
//! they may have is not decided here: tests hold it against the register.

use storeward_core::data_map::Processor;
use storeward_core::egress::Use;

/// A request that arrived at a simulated sub-processor, whether it was answered or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// At whom.
    pub processor: Processor,
    /// For what, as far as the request itself tells.
    pub purpose: Use,
    /// What it carried beside the credentials: body, and what in address and headers differs from call to call.
    pub bytes: Vec<u8>,
}
