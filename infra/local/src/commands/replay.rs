//! After a backup was restored: repeats the erasures since, against the deployment that the settings name. What is done and
//! in which order is the store's (docs/operations.md, restoring a backup).

use std::io::Write;

use storeward_core::time::Timestamp;
use storeward_store::{Replayed, Replaying};

use super::{Trouble, deployed_store};

/// Repeats every erasure since `restored_to`, an RFC 3339 time, with the credentials and settings of the environment.
///
/// # Errors
/// When a setting is missing, or the tables cannot be read or written: what was repeated stays, and running it again goes
/// on.
pub async fn replay(restored_to: &str, out: &mut impl Write) -> Result<bool, Trouble> {
    let restored_to = Timestamp::parse_rfc3339(restored_to).ok_or_else(|| {
        Trouble(format!("{restored_to} is no moment: write it as 2026-11-20T16:00:00Z, or any before it"))
    })?;
    let doing = "the erasures are not repeated to the end, run this again";
    let store = deployed_store("replay-erasures", doing).await?;
    let mut replaying = Replaying { restored_to, after: None, scanned: false };
    while let Replayed::Unfinished(rest) =
        store.replay(replaying, &|| true).await.map_err(|error| Trouble::new(doing, error))?
    {
        replaying = rest;
    }
    writeln!(out, "every erasure since {} is repeated", restored_to.to_rfc3339())
        .map_err(|error| Trouble::new("this cannot be printed", error))?;
    Ok(true)
}
