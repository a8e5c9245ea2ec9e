//! What a merchant decides about the duplicate guard: its settings, with their bounds and defaults, and what can be
//! said of a case. How orders are compared under them is the matching's; where they are kept is the store's.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::matching::LARGEST_WINDOW;

/// The smallest window a merchant can choose.
pub const SMALLEST_WINDOW: Duration = Duration::from_mins(5);

/// How readily orders are taken for duplicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// Only what is nearly certain.
    Cautious,
    /// What a careful person would look at.
    #[default]
    Balanced,
    /// Everything that is likelier than not.
    Thorough,
}

/// When the merchant is told of cases by e-mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    /// Never: cases are seen in the app.
    Off,
    /// At once, one mail for each case.
    #[default]
    Each,
    /// Once a day, one mail for all.
    Digest,
}

/// The settings of the duplicate guard. A field that is missing has its default, so that what was stored under an
/// older version stays readable; one that is unknown is refused where a merchant sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "switches that a merchant sets one by one")]
pub struct GuardSettings {
    /// Whether orders are looked at at all. Off means off: no new order is stored (promise SO71).
    pub enabled: bool,
    /// How far apart two orders can be and still be duplicates, in minutes: 5 to 43,200 (30 days).
    pub window_minutes: u32,
    /// How readily orders are taken for duplicates.
    pub sensitivity: Sensitivity,
    /// Whether the renewals of subscriptions are looked at. They repeat on purpose.
    pub include_subscriptions: bool,
    /// Whether orders made from drafts by the shop's own staff are looked at.
    pub include_drafts: bool,
    /// Whether orders of a case are tagged in the shop.
    pub tag_orders: bool,
    /// Whether the reasons are attached to the order's risk assessment.
    pub risk_facts: bool,
    /// Whether the fulfilment of orders of a case is held until the merchant decides.
    pub hold_fulfilment: bool,
    /// When the merchant is told by e-mail.
    pub alert: Alert,
    /// The hour of the day (UTC, 0 to 23) of the digest.
    pub digest_hour: u8,
    /// Whether cases and what they saved are counted.
    pub count_savings: bool,
    /// Whether orders are compared with the shop every hour.
    pub compare_with_shop: bool,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            window_minutes: 24 * 60,
            sensitivity: Sensitivity::default(),
            include_subscriptions: false,
            include_drafts: false,
            tag_orders: true,
            risk_facts: false,
            hold_fulfilment: false,
            alert: Alert::default(),
            digest_hour: 7,
            count_savings: true,
            compare_with_shop: true,
        }
    }
}

/// A setting is out of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOutOfBounds {
    /// The window.
    Window,
    /// The hour of the digest.
    DigestHour,
}

impl fmt::Display for SettingOutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Window => "window_minutes: choose 5 to 43200 (30 days)",
            Self::DigestHour => "digest_hour: choose 0 to 23",
        })
    }
}

impl std::error::Error for SettingOutOfBounds {}

impl GuardSettings {
    /// How far apart two orders can be.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_mins(u64::from(self.window_minutes))
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), SettingOutOfBounds> {
        if !(SMALLEST_WINDOW..=LARGEST_WINDOW).contains(&self.window()) {
            return Err(SettingOutOfBounds::Window);
        }
        if self.digest_hour > 23 {
            return Err(SettingOutOfBounds::DigestHour);
        }
        Ok(())
    }
}

/// What a merchant says of a case. Nothing is cancelled by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is a duplicate.
    Confirm,
    /// It is none.
    Dismiss,
    /// It is none, and orders to this household's address never are.
    NeverThisHousehold,
    /// It is none, and this customer's repeated orders never are.
    NeverThisCustomer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_the_bounds_and_old_settings_stay_readable() {
        assert_eq!(GuardSettings::default().check(), Ok(()));
        let old: GuardSettings = serde_json::from_str(r#"{"window_minutes":10}"#).unwrap();
        assert_eq!(old, GuardSettings { window_minutes: 10, ..GuardSettings::default() });
    }

    #[test]
    fn a_window_ends_where_matching_rows_do() {
        let with = |window_minutes| GuardSettings { window_minutes, ..GuardSettings::default() }.check();
        assert_eq!(with(4), Err(SettingOutOfBounds::Window));
        assert_eq!(with(5), Ok(()));
        assert_eq!(with(30 * 24 * 60), Ok(()));
        assert_eq!(with(30 * 24 * 60 + 1), Err(SettingOutOfBounds::Window));
    }
}
