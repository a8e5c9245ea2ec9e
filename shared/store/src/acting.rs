//! Who acts: said once, where an event comes in, and found again where an entry of the ledger, or the line of an access to
//! the database, is written. What is written is theirs.

use std::borrow::Cow;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreError};

/// The most characters of a request's id that are kept.
const LONGEST_REQUEST: usize = 64;

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A rule of ours: the function, or the tool, that carries it out.
    System(Cow<'static, str>),
    /// Shopify, by a webhook that it signed.
    Shopify,
    /// A shop's member of staff, blinded; empty where the call does not tell, as an OAuth callback.
    Merchant(String),
    /// One of the operator's own staff, blinded.
    Operator(String),
    /// Whoever has the link to what was put together for a request: the request's id. Who made it stands in the ledger.
    Link(String),
}

impl By {
    /// A function or a tool of ours.
    #[must_use]
    pub const fn system(name: &'static str) -> Self {
        Self::System(Cow::Borrowed(name))
    }
}

/// Who acts, and in which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    /// Who.
    pub by: By,
    /// The id that AWS gave the request, the message or the run.
    pub request: Option<String>,
    /// From which address, hashed as the access log hashes it, where somebody acts from one.
    pub ip: Option<String>,
}

impl Acting {
    /// Someone who acts in the request of that id. Only what can be an id is kept of it: a stranger may have written it.
    #[must_use]
    pub fn new(by: By, request: Option<&str>) -> Self {
        let is_id = |id: &&str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b':');
            !id.is_empty() && id.len() <= LONGEST_REQUEST && id.bytes().all(known)
        };
        Self { by, request: request.filter(is_id).map(str::to_owned), ip: None }
    }

    /// The same from an address, which the store hashed.
    #[must_use]
    pub fn at(self, hashed: Option<String>) -> Self {
        Self { ip: hashed, ..self }
    }
}

tokio::task_local! {
    static ACTING: Acting;
}

/// Runs `work` in somebody's name: every entry of the ledger that it writes names them. The innermost counts. It holds for
/// the future it is given and what that awaits, not for tasks that are spawned in it.
pub fn acting<F: Future>(who: Acting, work: F) -> impl Future<Output = F::Output> + use<F> {
    // Boxed: a handler's future is large, and each wrapper around it would hold it a second time while it is moved.
    ACTING.scope(who, Box::pin(work))
}

/// Who acts now.
///
/// # Errors
/// When nobody is said to, and there is no `standing` one: nothing is changed anonymously.
pub(crate) fn actor(standing: Option<&Acting>) -> Result<Acting> {
    ACTING.try_with(Clone::clone).ok().or_else(|| standing.cloned()).ok_or(StoreError::NobodyActs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_id_is_not_kept() {
        let kept = |id| Acting::new(By::Shopify, Some(id)).request;
        assert_eq!(kept("JKJaXmPLvHcESHA=").as_deref(), Some("JKJaXmPLvHcESHA="));
        for odd in ["", "someone@example.com", "a b", "line\nbreak", &"a".repeat(65)] {
            assert_eq!(kept(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn the_innermost_counts_and_nobody_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outer = Acting::new(By::Shopify, None);
        let inner = Acting::new(By::Merchant("a".to_owned()), Some("1"));
        runtime.block_on(async {
            assert_eq!(actor(None), Err(StoreError::NobodyActs));
            assert_eq!(actor(Some(&outer)).unwrap(), outer);
            let seen = acting(outer.clone(), acting(inner.clone(), async { actor(Some(&outer)) })).await;
            assert_eq!(seen.unwrap(), inner);
        });
    }
}
