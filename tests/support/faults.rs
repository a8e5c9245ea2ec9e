//! Which request suffers which fault: given one by one, or drawn from a seed.
//! What a fault does is the connector's business; here is only the choice, and it never depends on anything but the
//! seed, the request's index and what the request is, so that a run can be repeated.

use std::collections::BTreeMap;

use super::footprint::Footprint;

/// What can happen to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused for want of capacity (`ProvisionedThroughputExceededException`); nothing happens.
    Throttled,
    /// Refused for too many requests (`ThrottlingException`); nothing happens.
    RequestThrottled,
    /// Refused because another transaction holds the item; nothing happens. Writes to DynamoDB and its transactions only.
    TransactionConflict,
    /// The second half of a batch comes back unprocessed. Batches of two and more only.
    Unprocessed,
    /// The connection times out and nothing happened.
    TimeoutBefore,
    /// The connection times out after the request was carried out: the caller cannot know.
    TimeoutAfter,
    /// The caller dies before the request is carried out.
    CrashBefore,
    /// The caller dies after the request was carried out.
    CrashAfter,
    /// A read without `ConsistentRead` does not see the last `n` writes to its partition.
    StaleRead(u8),
}

impl Fault {
    /// Whether the fault can happen to such a request at all.
    #[must_use]
    pub fn applies_to(self, request: &Footprint) -> bool {
        let dynamodb = request.service == "DynamoDB";
        match self {
            Self::Throttled => dynamodb,
            Self::TransactionConflict => {
                dynamodb && (request.operation.starts_with("Transact") || is_single_write(request))
            }
            Self::Unprocessed => {
                dynamodb && request.operation.starts_with("Batch") && request.touches.len() > 1
            }
            Self::StaleRead(_) => {
                let reads = matches!(request.operation.as_str(), "GetItem" | "Query" | "BatchGetItem");
                dynamodb && reads && !request.consistent
            }
            Self::RequestThrottled
            | Self::TimeoutBefore
            | Self::TimeoutAfter
            | Self::CrashBefore
            | Self::CrashAfter => true,
        }
    }
}

fn is_single_write(request: &Footprint) -> bool {
    matches!(request.operation.as_str(), "PutItem" | "UpdateItem" | "DeleteItem")
}

/// How often each fault happens, in permille of the requests it applies to. The default is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// [`Fault::Throttled`] and [`Fault::RequestThrottled`], half each.
    pub throttle: u16,
    /// [`Fault::TransactionConflict`].
    pub conflict: u16,
    /// [`Fault::Unprocessed`].
    pub unprocessed: u16,
    /// [`Fault::TimeoutBefore`] and [`Fault::TimeoutAfter`], half each.
    pub timeout: u16,
    /// [`Fault::CrashBefore`] and [`Fault::CrashAfter`], half each.
    pub crash: u16,
    /// [`Fault::StaleRead`] of one to three writes.
    pub stale: u16,
}

/// Which request suffers what. Requests are counted as they are seen on the wire, from 0: the SDK's own retries count.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    listed: BTreeMap<usize, Fault>,
    random: Option<(u64, Rates)>,
}

impl FaultPlan {
    /// Nothing ever goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Faults drawn from `seed` with the given rates.
    #[must_use]
    pub fn random(seed: u64, rates: Rates) -> Self {
        Self { listed: BTreeMap::new(), random: Some((seed, rates)) }
    }

    /// Adds a fault for the request of that index; it beats what would be drawn for it.
    #[must_use]
    pub fn at(mut self, index: usize, fault: Fault) -> Self {
        self.listed.insert(index, fault);
        self
    }

    /// The fault for a request; `None` also when the listed one cannot happen to it.
    #[must_use]
    pub fn fault_for(&self, index: usize, request: &Footprint) -> Option<Fault> {
        let chosen = match self.listed.get(&index) {
            Some(fault) => Some(*fault),
            None => self.random.and_then(|(seed, rates)| draw(seed, index, rates)),
        };
        chosen.filter(|fault| fault.applies_to(request))
    }
}

/// Draws one fault: the rates lie side by side on a line of 1,000, the faults of a pair by the next bits.
fn draw(seed: u64, index: usize, rates: Rates) -> Option<Fault> {
    let bits = mix(seed ^ mix(index as u64));
    let coin = bits & 1 == 0;
    let pair = |a: Fault, b: Fault| if coin { a } else { b };
    let depth = u8::try_from((bits >> 1) % 3 + 1).unwrap_or(1);
    let mut place = u16::try_from((bits >> 16) % 1000).unwrap_or(0);
    let line = [
        (rates.throttle, pair(Fault::Throttled, Fault::RequestThrottled)),
        (rates.conflict, Fault::TransactionConflict),
        (rates.unprocessed, Fault::Unprocessed),
        (rates.timeout, pair(Fault::TimeoutBefore, Fault::TimeoutAfter)),
        (rates.crash, pair(Fault::CrashBefore, Fault::CrashAfter)),
        (rates.stale, Fault::StaleRead(depth)),
    ];
    for (rate, fault) in line {
        if place < rate {
            return Some(fault);
        }
        place -= rate;
    }
    None
}

/// A well-spread function of 64 bits (the finaliser of `SplitMix64`).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
