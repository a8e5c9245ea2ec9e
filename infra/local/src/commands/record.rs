//! What people did and no function sees: that a review was made, for the ledger of the deployment that the settings name.

use std::io::Write;

use storeward_core::reviews::Review;

use super::{Trouble, deployed_store};

/// Records a review, by its name, with the credentials and settings of the environment.
///
/// # Errors
/// When there is no such review, a setting is missing, or the ledger cannot be written.
pub async fn review(name: &str, out: &mut impl Write) -> Result<bool, Trouble> {
    let review = Review::by_name(name).ok_or_else(|| {
        let known = Review::ALL.map(Review::name).join(", ");
        Trouble(format!("there is no review {name:?}: name one of {known}"))
    })?;
    let doing = "the review is not recorded";
    let store = deployed_store("record-review", doing).await?;
    store.record_review(review).await.map_err(|error| Trouble::new(doing, error))?;
    let days = review.every().as_secs() / 86_400;
    writeln!(out, "the review of {name} is recorded; the next one is late in {days} days")
        .map_err(|error| Trouble::new("this cannot be printed", error))?;
    Ok(true)
}
