//! Which reviews were made: entries of the ledger about nobody's data, and nothing else.

use storeward_core::reviews::Review;
use storeward_core::shop::ShopId;
use storeward_core::time::{DAY, Timestamp};

use crate::error::Result;
use crate::ledger::What;
use crate::store::Store;

impl Store {
    /// Records that a review was made.
    pub async fn record_review(&self, review: Review) -> Result<()> {
        self.note(&ShopId::deployment(), None, What::Reviewed, review.name()).await
    }

    /// Whether a review was recorded since then, day by day from today on backwards.
    pub async fn reviewed_since(&self, review: Review, since: Timestamp) -> Result<bool> {
        let mut day = self.now();
        loop {
            let entries = self.ledger_of(&ShopId::deployment(), day).await?;
            if entries
                .iter()
                .any(|entry| entry.what == What::Reviewed && entry.why == review.name() && entry.at >= since)
            {
                return Ok(true);
            }
            if day <= since {
                return Ok(false);
            }
            day = day - DAY;
        }
    }
}
