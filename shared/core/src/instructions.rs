//! The merchant's instructions: everything that is done with a shop's data by the merchant's leave, each declared once
//! with its purpose and what it touches, and each switched off by the merchant alone (promise SO71). Where something is
//! done, it is asked here first, at that moment: what was queued before it was switched off is not done either.

use serde::{Deserialize, Serialize};

use crate::data_map::Kind;
use crate::guard::{Alert, GuardSettings};

/// Something that is done with a shop's data. Answering and proving what people ask for is not among them: the law asks
/// for it, whatever is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Storing orders and looking for duplicates among them.
    DetectDuplicates,
    /// Telling the merchant of cases by e-mail.
    AlertByMail,
    /// Tagging the orders of a case in the shop.
    TagOrders,
    /// Holding the fulfilment of a case's orders until the merchant decides.
    HoldFulfilment,
    /// Attaching the reasons to an order's risk assessment.
    AttachRiskFacts,
    /// Counting a month's cases and what they saved.
    CountSavings,
    /// Comparing what is stored with the shop, for webhooks that never came.
    CompareWithShop,
}

impl Activity {
    /// Every activity.
    pub const ALL: [Self; 7] = [
        Self::DetectDuplicates,
        Self::AlertByMail,
        Self::TagOrders,
        Self::HoldFulfilment,
        Self::AttachRiskFacts,
        Self::CountSavings,
        Self::CompareWithShop,
    ];

    /// The word for it, in the API and in the ledger. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DetectDuplicates => "detect_duplicates",
            Self::AlertByMail => "alert_by_mail",
            Self::TagOrders => "tag_orders",
            Self::HoldFulfilment => "hold_fulfilment",
            Self::AttachRiskFacts => "attach_risk_facts",
            Self::CountSavings => "count_savings",
            Self::CompareWithShop => "compare_with_shop",
        }
    }

    /// What it is for, as a merchant reads it.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::DetectDuplicates => {
                "Store new orders, find those that look like one, and put them into a case"
            }
            Self::AlertByMail => "Tell you of cases by e-mail",
            Self::TagOrders => "Tag the orders of a case in your shop",
            Self::HoldFulfilment => "Hold the fulfilment of a case's orders until you decide",
            Self::AttachRiskFacts => "Attach the reasons to an order's risk assessment",
            Self::CountSavings => "Count cases and the sums they saved, month by month",
            Self::CompareWithShop => "Compare orders with your shop every hour, for what was never told",
        }
    }

    /// What it reads or writes, by the data map.
    #[must_use]
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::DetectDuplicates => &[Kind::Order, Kind::Match, Kind::Subject, Kind::Case, Kind::CaseIndex],
            Self::AlertByMail => &[Kind::Case, Kind::Notice, Kind::Digest, Kind::Shop],
            Self::TagOrders | Self::AttachRiskFacts => &[Kind::Order, Kind::Case],
            Self::HoldFulfilment => &[Kind::Order, Kind::Case, Kind::Notice],
            Self::CountSavings => &[Kind::Case, Kind::Statistics],
            Self::CompareWithShop => &[Kind::Order, Kind::Match, Kind::Subject, Kind::Case],
        }
    }

    /// What it does nothing without: there is nothing to tell of where nothing is looked for.
    #[must_use]
    pub const fn needs(self) -> Option<Self> {
        match self {
            Self::DetectDuplicates => None,
            _ => Some(Self::DetectDuplicates),
        }
    }

    /// The merchant's own switch for it.
    #[must_use]
    pub const fn switch(self, settings: &GuardSettings) -> bool {
        match self {
            Self::DetectDuplicates => settings.enabled,
            Self::AlertByMail => !matches!(settings.alert, Alert::Off),
            Self::TagOrders => settings.tag_orders,
            Self::HoldFulfilment => settings.hold_fulfilment,
            Self::AttachRiskFacts => settings.risk_facts,
            Self::CountSavings => settings.count_savings,
            Self::CompareWithShop => settings.compare_with_shop,
        }
    }

    /// Switches it. Alerts that were off come back as one mail for each case.
    pub const fn set(self, settings: &mut GuardSettings, on: bool) {
        match self {
            Self::DetectDuplicates => settings.enabled = on,
            Self::AlertByMail if !on => settings.alert = Alert::Off,
            Self::AlertByMail => {
                if matches!(settings.alert, Alert::Off) {
                    settings.alert = Alert::Each;
                }
            }
            Self::TagOrders => settings.tag_orders = on,
            Self::HoldFulfilment => settings.hold_fulfilment = on,
            Self::AttachRiskFacts => settings.risk_facts = on,
            Self::CountSavings => settings.count_savings = on,
            Self::CompareWithShop => settings.compare_with_shop = on,
        }
    }
}

impl GuardSettings {
    /// Whether the merchant lets it be done: its own switch is on, and that of what it needs.
    #[must_use]
    pub fn allow(&self, activity: Activity) -> bool {
        activity.switch(self) && activity.needs().is_none_or(|needed| self.allow(needed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_moves_itself_and_no_other() {
        for activity in Activity::ALL {
            for on in [true, false] {
                let mut settings = GuardSettings::default();
                for other in Activity::ALL {
                    other.set(&mut settings, !on);
                }
                activity.set(&mut settings, on);
                for other in Activity::ALL {
                    assert_eq!(
                        other.switch(&settings),
                        if other == activity { on } else { !on },
                        "{other:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_allowed_without_what_it_needs() {
        let settings = GuardSettings { enabled: false, ..GuardSettings::default() };
        assert!(Activity::ALL.iter().all(|activity| !settings.allow(*activity)));
    }

    #[test]
    fn a_switch_that_is_on_already_keeps_how_it_is_on() {
        let mut settings = GuardSettings { alert: Alert::Digest, ..GuardSettings::default() };
        Activity::AlertByMail.set(&mut settings, true);
        assert_eq!(settings.alert, Alert::Digest);
    }

    #[test]
    fn the_words_are_those_of_the_api() {
        for activity in Activity::ALL {
            assert_eq!(serde_json::to_value(activity).unwrap(), activity.name());
        }
    }

    #[test]
    fn what_is_switched_on_is_allowed_and_each_switch_denies_what_it_is_for() {
        let mut on = GuardSettings::default();
        for activity in Activity::ALL {
            activity.set(&mut on, true);
        }
        for switched_off in Activity::ALL {
            let mut settings = on.clone();
            switched_off.set(&mut settings, false);
            for activity in Activity::ALL {
                assert!(on.allow(activity), "{activity:?}");
                let denied = activity == switched_off || activity.needs() == Some(switched_off);
                assert_eq!(settings.allow(activity), !denied, "{activity:?} without {switched_off:?}");
            }
        }
        assert_eq!(Activity::DetectDuplicates.needs(), None);
    }

    #[test]
    fn each_activity_says_what_it_is_for_and_what_it_touches() {
        let purposes: std::collections::BTreeSet<&str> = Activity::ALL.map(Activity::purpose).into();
        assert_eq!(purposes.len(), Activity::ALL.len());
        assert!(purposes.iter().all(|purpose| purpose.split(' ').count() > 4), "a sentence each");
        for activity in Activity::ALL {
            let kinds = activity.kinds();
            assert!(kinds.contains(&Kind::Order) || kinds.contains(&Kind::Case), "{activity:?}");
        }
    }
}
