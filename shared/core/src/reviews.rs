//! The reviews that people make again and again, and how often each is due. Who recorded one is the store's, who says that
//! one is late a schedule's.

use std::time::Duration;

use crate::time::DAY;

/// A review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Review {
    /// Of unusual access to personal data, each month (promise DG61).
    Access,
    /// Of security, and of who has which access to what, each quarter (promises SO63 and SO73).
    Security,
    /// Of the sub-processors, each year (promise SO73).
    Processors,
}

impl Review {
    /// Every review, the most frequent first.
    pub const ALL: [Self; 3] = [Self::Access, Self::Security, Self::Processors];

    /// The word for it. Never changes: the ledger names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Security => "security",
            Self::Processors => "processors",
        }
    }

    /// The review of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|review| review.name() == name)
    }

    /// How long after the last one it is late: the longest month, quarter or year.
    #[must_use]
    pub const fn every(self) -> Duration {
        DAY.saturating_mul(match self {
            Self::Access => 31,
            Self::Security => 92,
            Self::Processors => 366,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_reviewed_each_month_security_each_quarter_and_sub_processors_each_year() {
        let days = Review::ALL.map(|review| (review.name(), review.every().as_secs() / 86_400));
        assert_eq!(days, [("access", 31), ("security", 92), ("processors", 366)]);
        assert!(Review::ALL.into_iter().all(|review| Review::by_name(review.name()) == Some(review)));
        assert_eq!(Review::by_name("anything"), None);
    }
}
