//! How a merchant's mail desk works, and what understanding its mail came to, month by month. What the settings mean is
//! `core`'s.

use storeward_core::desk::macros::Macro;
use storeward_core::desk::rules::Rule;
use storeward_core::desk::settings::DeskSettings;

use crate::error::{Result, StoreError};
use crate::store::Store;
use crate::tenants::Installation;
use crate::threads::Engine;

/// A merchant's mail desk.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    /// What the merchant decided.
    pub settings: DeskSettings,
    /// The merchant's rules, in the order they are asked.
    pub rules: Vec<Rule>,
    /// What the merchant often answers.
    pub macros: Vec<Macro>,
    /// Counts its changes: 0 before the first.
    pub revision: i64,
}

/// What understanding and drafting came to in a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskMonth {
    /// Which, `2026-11`, in UTC.
    pub month: String,
    /// Mails that the built-in engine understood alone.
    pub built_in: u64,
    /// Mails that Claude was asked about.
    pub claude: u64,
    /// Tokens that went to Claude and came back.
    pub tokens: u64,
    /// What they cost, in millionths of a US dollar.
    pub micro_dollars: u64,
}

impl Store {
    /// A merchant's mail desk; the defaults before the merchant changed it.
    pub async fn desk(&self, _installation: &Installation) -> Result<Desk> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Replaces it, if it is still at the revision it was read at. `false` when it is not, or the app is not installed.
    pub async fn change_desk(&self, _installation: &Installation, _desk: &Desk) -> Result<bool> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// Counts a mail that was understood, or a call for a draft where `engine` is none.
    pub async fn count_understood(
        &self,
        _installation: &Installation,
        _engine: Option<Engine>,
        _tokens: u64,
        _micro_dollars: u64,
    ) -> Result<()> {
        Err(StoreError::Corrupt("not built yet"))
    }

    /// What the last `months` months came to, the latest first; a month without mails has zeros.
    pub async fn desk_counts(&self, _installation: &Installation, _months: usize) -> Result<Vec<DeskMonth>> {
        Err(StoreError::Corrupt("not built yet"))
    }
}
