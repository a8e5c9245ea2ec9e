//! The merchant's instructions: everything that is done with a shop's data by the merchant's leave, each declared once
//! with its purpose and what it touches, and each switched off by the merchant alone (promise SO71). Where something is
//! done, it is asked here first, at that moment: what was queued before it was switched off is not done either.
//! The guard's activities are switched in its settings, the mail desk's in that one's.

use serde::{Deserialize, Serialize};

use crate::data_map::Kind;
use crate::desk::settings::DeskSettings;
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

/// Something that the mail desk does with a shop's mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeskActivity {
    /// Storing mails of the connected mailboxes and telling what they are about.
    ReadMail,
    /// Asking Claude what a mail is about.
    ClassifyWithClaude,
    /// Drafting replies.
    DraftReplies,
    /// Having Claude write the drafts.
    DraftWithClaude,
    /// Sending replies because a rule says so.
    SendByRule,
}

impl DeskActivity {
    /// Every activity.
    pub const ALL: [Self; 5] = [
        Self::ReadMail,
        Self::ClassifyWithClaude,
        Self::DraftReplies,
        Self::DraftWithClaude,
        Self::SendByRule,
    ];

    /// The word for it, in the API and in the ledger. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadMail => "read_mail",
            Self::ClassifyWithClaude => "classify_with_claude",
            Self::DraftReplies => "draft_replies",
            Self::DraftWithClaude => "draft_with_claude",
            Self::SendByRule => "send_by_rule",
        }
    }

    /// What it is for, as a merchant reads it.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::ReadMail => "Store the mail of your mailboxes and tell what each is about",
            Self::ClassifyWithClaude => {
                "Ask Claude what a mail is about where the built-in engine is not sure"
            }
            Self::DraftReplies => "Draft replies to what customers write",
            Self::DraftWithClaude => "Have Claude write the drafts, instead of your own texts",
            Self::SendByRule => "Send a reply without a person where a rule of yours says so",
        }
    }

    /// What it reads or writes, by the data map.
    #[must_use]
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::ReadMail => &[Kind::Mailbox, Kind::Thread, Kind::Mail, Kind::ThreadIndex, Kind::Subject],
            Self::ClassifyWithClaude => &[Kind::Mail, Kind::Thread],
            Self::DraftReplies | Self::DraftWithClaude => &[Kind::Mail, Kind::Thread, Kind::Draft],
            Self::SendByRule => &[Kind::Draft, Kind::Thread, Kind::Mailbox],
        }
    }

    /// What it does nothing without.
    #[must_use]
    pub const fn needs(self) -> Option<Self> {
        match self {
            Self::ReadMail => None,
            Self::ClassifyWithClaude | Self::DraftReplies => Some(Self::ReadMail),
            Self::DraftWithClaude | Self::SendByRule => Some(Self::DraftReplies),
        }
    }

    /// The merchant's own switch for it.
    #[must_use]
    pub const fn switch(self, settings: &DeskSettings) -> bool {
        match self {
            Self::ReadMail => settings.read_mail,
            Self::ClassifyWithClaude => settings.classify_with_claude,
            Self::DraftReplies => settings.draft_replies,
            Self::DraftWithClaude => settings.draft_with_claude,
            Self::SendByRule => settings.send_by_rule,
        }
    }

    /// Switches it.
    pub const fn set(self, settings: &mut DeskSettings, on: bool) {
        match self {
            Self::ReadMail => settings.read_mail = on,
            Self::ClassifyWithClaude => settings.classify_with_claude = on,
            Self::DraftReplies => settings.draft_replies = on,
            Self::DraftWithClaude => settings.draft_with_claude = on,
            Self::SendByRule => settings.send_by_rule = on,
        }
    }
}

impl DeskSettings {
    /// Whether the merchant lets it be done: its own switch is on, and that of what it needs.
    #[must_use]
    pub fn allow(&self, activity: DeskActivity) -> bool {
        activity.switch(self) && activity.needs().is_none_or(|needed| self.allow(needed))
    }
}

/// An activity of either, by its word: what a merchant switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Instruction {
    /// Of the duplicate guard.
    Guard(Activity),
    /// Of the mail desk.
    Desk(DeskActivity),
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
        // Of the desk nothing without mail, and no reply without drafts.
        let (mut unread, mut undrafted) = (DeskSettings::default(), DeskSettings::default());
        for settings in [&mut unread, &mut undrafted] {
            for activity in DeskActivity::ALL {
                activity.set(settings, true);
            }
        }
        DeskActivity::ReadMail.set(&mut unread, false);
        assert!(DeskActivity::ALL.iter().all(|activity| !unread.allow(*activity)));
        DeskActivity::DraftReplies.set(&mut undrafted, false);
        assert_eq!(
            DeskActivity::ALL.map(|activity| undrafted.allow(activity)),
            [true, true, false, false, false]
        );
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
    fn each_switch_of_the_desk_moves_itself_and_denies_what_it_is_for() {
        let mut on = DeskSettings::default();
        for activity in DeskActivity::ALL {
            activity.set(&mut on, true);
        }
        for switched_off in DeskActivity::ALL {
            let mut settings = on.clone();
            switched_off.set(&mut settings, false);
            for activity in DeskActivity::ALL {
                assert!(on.allow(activity), "{activity:?}");
                assert_eq!(activity.switch(&settings), activity != switched_off, "{activity:?}");
                let mut needed = Some(activity);
                while needed.is_some_and(|needed| needed != switched_off) {
                    needed = needed.and_then(DeskActivity::needs);
                }
                assert_eq!(
                    settings.allow(activity),
                    needed.is_none(),
                    "{activity:?} without {switched_off:?}"
                );
            }
        }
    }

    #[test]
    fn an_instruction_is_called_by_one_word_whichever_settings_it_stands_in() {
        let guard = Activity::ALL.map(|activity| (Instruction::Guard(activity), activity.name()));
        let desk = DeskActivity::ALL.map(|activity| (Instruction::Desk(activity), activity.name()));
        let all: Vec<_> = guard.into_iter().chain(desk).collect();
        for (instruction, name) in &all {
            assert_eq!(serde_json::to_value(instruction).unwrap(), *name);
            let switched = std::collections::BTreeMap::from([(*name, false)]);
            let read: std::collections::BTreeMap<Instruction, bool> =
                serde_json::from_value(serde_json::to_value(switched).unwrap()).unwrap();
            assert_eq!(read.into_keys().collect::<Vec<_>>(), [*instruction]);
        }
        let words: std::collections::BTreeSet<_> = all.iter().map(|(_, name)| name).collect();
        assert_eq!(words.len(), all.len());
        assert!(DeskActivity::ALL.iter().all(|activity| activity.kinds().contains(&Kind::Thread)));
        let text = r#"{"read_mail":true,"nothing_like_it":true}"#;
        serde_json::from_str::<std::collections::BTreeMap<Instruction, bool>>(text).unwrap_err();
    }

    #[test]
    fn each_activity_says_what_it_is_for_and_what_it_touches() {
        let guard = Activity::ALL.map(Activity::purpose);
        let desk = DeskActivity::ALL.map(DeskActivity::purpose);
        let purposes: std::collections::BTreeSet<&str> = guard.into_iter().chain(desk).collect();
        assert_eq!(purposes.len(), Activity::ALL.len() + DeskActivity::ALL.len());
        assert!(purposes.iter().all(|purpose| purpose.split(' ').count() > 4), "a sentence each");
        for activity in Activity::ALL {
            let kinds = activity.kinds();
            assert!(kinds.contains(&Kind::Order) || kinds.contains(&Kind::Case), "{activity:?}");
        }
    }
}
