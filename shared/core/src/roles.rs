//! Who may do what: the roles of a merchant's staff and of operators, and the one table of what each may do. What is
//! not in the table is not allowed. Who has which role is stored elsewhere: `members` for merchants, the token for
//! operators.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a member of a merchant's staff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides who is what, and everything else.
    Owner,
    /// Runs the service: everything but who is what and the end of it.
    Admin,
    /// Works on cases and on what customers ask for.
    Agent,
    /// Looks.
    Viewer,
    /// Somebody who supplies the merchant: sees nothing of other people's.
    Vendor,
}

impl Role {
    /// Every role, the mightiest first.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Agent, Self::Viewer, Self::Vendor];

    /// The word for it. Never changes: it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Viewer => "viewer",
            Self::Vendor => "vendor",
        }
    }

    /// Whether the table allows it.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        permission.granted().contains(&self)
    }
}

/// What a member of staff of this service's operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    /// Helps merchants and the people who write to us.
    Support,
    /// Watches, answers incidents, looks after evidence.
    Security,
    /// Runs the service.
    Admin,
}

impl OperatorRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Support, Self::Security, Self::Admin];

    /// The word for it: the group's name at the issuer.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Support => "support",
            Self::Security => "security",
            Self::Admin => "admin",
        }
    }

    /// Whether the table allows it.
    #[must_use]
    pub fn may(self, permission: OperatorPermission) -> bool {
        permission.granted().contains(&self)
    }
}

/// The word names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARole;

impl fmt::Display for NotARole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a role")
    }
}

impl std::error::Error for NotARole {}

impl FromStr for OperatorRole {
    type Err = NotARole;
    fn from_str(word: &str) -> Result<Self, NotARole> {
        Self::ALL.into_iter().find(|role| role.name() == word).ok_or(NotARole)
    }
}

use OperatorRole as By;
use Role::{Admin, Agent, Owner, Viewer};

/// Something a member of a merchant's staff can do through the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// See who one is here and what one may do.
    ViewSelf,
    /// See cases and the orders in them.
    ViewCases,
    /// Decide on cases, and have them looked at again.
    DecideCases,
    /// Delete resolved cases.
    DeleteCases,
    /// See which households and customers are excepted.
    ViewExceptions,
    /// End an exception.
    EndExceptions,
    /// See what the guard was good for.
    ViewSavings,
    /// See the settings.
    ViewSettings,
    /// Try settings on stored orders.
    TrySettings,
    /// Change the settings, but for what they switch on or off.
    ChangeSettings,
    /// See who has which role.
    ViewMembers,
    /// Decide who has which role.
    ManageMembers,
    /// See requests of data subjects, their state and results.
    ViewRights,
    /// Open requests of data subjects, and restrict or resume processing.
    ManageRights,
    /// See what processing is switched on, how long things are kept, and who may see them.
    ViewPrivacy,
    /// Switch processing on or off, shorten windows, object to a sub-processor.
    ChangePrivacy,
    /// Read the mail of customers, what was understood of it, and replies.
    ViewThreads,
    /// Edit, approve, cancel and discard replies, and sort conversations.
    AnswerThreads,
    /// See how mail is understood and answered: settings, rules, macros.
    ViewDesk,
    /// Change that, but for what it switches on or off, and try rules on mail that came.
    ChangeDesk,
    /// See who did what and when.
    ViewLedger,
    /// End the service: export everything, or delete everything.
    EndService,
    /// See which mailboxes are connected, and how they stand.
    ViewMailboxes,
    /// Connect mailboxes, end them, have them read now.
    ManageMailboxes,
}

impl Permission {
    /// Every permission, in the order of the table.
    pub const ALL: [Self; 24] = [
        Self::ViewSelf,
        Self::ViewCases,
        Self::DecideCases,
        Self::DeleteCases,
        Self::ViewExceptions,
        Self::EndExceptions,
        Self::ViewSavings,
        Self::ViewSettings,
        Self::TrySettings,
        Self::ChangeSettings,
        Self::ViewMembers,
        Self::ManageMembers,
        Self::ViewRights,
        Self::ManageRights,
        Self::ViewPrivacy,
        Self::ChangePrivacy,
        Self::ViewThreads,
        Self::AnswerThreads,
        Self::ViewDesk,
        Self::ChangeDesk,
        Self::ViewLedger,
        Self::EndService,
        Self::ViewMailboxes,
        Self::ManageMailboxes,
    ];

    /// The word for it: what a refusal names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ViewSelf => "view-self",
            Self::ViewCases => "view-cases",
            Self::DecideCases => "decide-cases",
            Self::DeleteCases => "delete-cases",
            Self::ViewExceptions => "view-exceptions",
            Self::EndExceptions => "end-exceptions",
            Self::ViewSavings => "view-savings",
            Self::ViewSettings => "view-settings",
            Self::TrySettings => "try-settings",
            Self::ChangeSettings => "change-settings",
            Self::ViewMembers => "view-members",
            Self::ManageMembers => "manage-members",
            Self::ViewRights => "view-rights",
            Self::ManageRights => "manage-rights",
            Self::ViewPrivacy => "view-privacy",
            Self::ChangePrivacy => "change-privacy",
            Self::ViewThreads => "view-threads",
            Self::AnswerThreads => "answer-threads",
            Self::ViewDesk => "view-desk",
            Self::ChangeDesk => "change-desk",
            Self::ViewLedger => "view-ledger",
            Self::EndService => "end-service",
            Self::ViewMailboxes => "view-mailboxes",
            Self::ManageMailboxes => "manage-mailboxes",
        }
    }

    /// The table: who has it.
    #[must_use]
    pub const fn granted(self) -> &'static [Role] {
        match self {
            Self::ViewSelf => &Role::ALL,
            Self::ViewCases
            | Self::ViewExceptions
            | Self::ViewSavings
            | Self::ViewSettings
            | Self::ViewPrivacy
            | Self::ViewDesk => &[Owner, Admin, Agent, Viewer],
            Self::DecideCases
            | Self::EndExceptions
            | Self::ViewRights
            | Self::ViewThreads
            | Self::AnswerThreads
            | Self::ViewMailboxes => &[Owner, Admin, Agent],
            Self::DeleteCases
            | Self::TrySettings
            | Self::ChangeSettings
            | Self::ViewMembers
            | Self::ManageRights
            | Self::ChangeDesk
            | Self::ViewLedger
            | Self::ManageMailboxes => &[Owner, Admin],
            Self::ManageMembers | Self::ChangePrivacy | Self::EndService => &[Owner],
        }
    }
}

/// Something an operator can do through the operators' API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperatorPermission {
    /// See who one is and what one may do.
    ViewSelf,
    /// Find a shop by its domain and see where it stands; nothing about people.
    ViewShops,
    /// See requests of data subjects.
    ViewRights,
    /// Open and carry on requests of data subjects, for people who wrote to us.
    ManageRights,
    /// See incidents.
    ViewIncidents,
    /// Open, assess and close incidents.
    ManageIncidents,
    /// See who did what and when, and the review of access.
    ViewLedger,
    /// End a shop's service on the merchant's written word.
    ManageShops,
}

impl OperatorPermission {
    /// Every permission, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::ViewSelf,
        Self::ViewShops,
        Self::ViewRights,
        Self::ManageRights,
        Self::ViewIncidents,
        Self::ManageIncidents,
        Self::ViewLedger,
        Self::ManageShops,
    ];

    /// The word for it: what a refusal names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ViewSelf => "view-self",
            Self::ViewShops => "view-shops",
            Self::ViewRights => "view-rights",
            Self::ManageRights => "manage-rights",
            Self::ViewIncidents => "view-incidents",
            Self::ManageIncidents => "manage-incidents",
            Self::ViewLedger => "view-ledger",
            Self::ManageShops => "manage-shops",
        }
    }

    /// The table: who has it.
    #[must_use]
    pub const fn granted(self) -> &'static [OperatorRole] {
        match self {
            Self::ViewSelf | Self::ViewShops => &OperatorRole::ALL,
            Self::ViewRights | Self::ManageRights => &[By::Support, By::Admin],
            Self::ViewIncidents | Self::ManageIncidents | Self::ViewLedger => &[By::Security, By::Admin],
            Self::ManageShops => &[By::Admin],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of the table as initials, a dot where the role may not.
    fn row(permission: Permission) -> String {
        let initials = ['o', 'a', 'g', 'v', 'n'];
        let mark = |(role, initial): (Role, char)| if role.may(permission) { initial } else { '.' };
        Role::ALL.into_iter().zip(initials).map(mark).collect()
    }

    #[test]
    fn given_every_role_and_permission_then_exactly_these_are_allowed() {
        let table: Vec<(&str, String)> =
            Permission::ALL.map(|permission| (permission.name(), row(permission))).to_vec();
        let expected = [
            ("view-self", "oagvn"),
            ("view-cases", "oagv."),
            ("decide-cases", "oag.."),
            ("delete-cases", "oa..."),
            ("view-exceptions", "oagv."),
            ("end-exceptions", "oag.."),
            ("view-savings", "oagv."),
            ("view-settings", "oagv."),
            ("try-settings", "oa..."),
            ("change-settings", "oa..."),
            ("view-members", "oa..."),
            ("manage-members", "o...."),
            ("view-rights", "oag.."),
            ("manage-rights", "oa..."),
            ("view-privacy", "oagv."),
            ("change-privacy", "o...."),
            ("view-threads", "oag.."),
            ("answer-threads", "oag.."),
            ("view-desk", "oagv."),
            ("change-desk", "oa..."),
            ("view-ledger", "oa..."),
            ("end-service", "o...."),
            ("view-mailboxes", "oag.."),
            ("manage-mailboxes", "oa..."),
        ];
        let expected: Vec<(&str, String)> =
            expected.iter().map(|(name, row)| (*name, (*row).to_owned())).collect();
        assert_eq!(table, expected);
    }

    #[test]
    fn given_every_operators_role_and_permission_then_exactly_these_are_allowed() {
        let row = |permission: OperatorPermission| -> String {
            let mark =
                |(role, initial): (OperatorRole, char)| if role.may(permission) { initial } else { '.' };
            OperatorRole::ALL.into_iter().zip(['s', 'e', 'a']).map(mark).collect()
        };
        let table = OperatorPermission::ALL.map(|permission| (permission.name(), row(permission)));
        let expected = [
            ("view-self", "sea"),
            ("view-shops", "sea"),
            ("view-rights", "s.a"),
            ("manage-rights", "s.a"),
            ("view-incidents", ".ea"),
            ("manage-incidents", ".ea"),
            ("view-ledger", ".ea"),
            ("manage-shops", "..a"),
        ];
        assert_eq!(table, expected.map(|(name, row)| (name, row.to_owned())));
    }

    #[test]
    fn roles_are_called_what_is_stored_of_them() {
        assert_eq!(Role::ALL.map(Role::name), ["owner", "admin", "agent", "viewer", "vendor"]);
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        for role in OperatorRole::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        for word in ["", "Admin", "owner", "admin ", "admins"] {
            assert_eq!(word.parse::<OperatorRole>(), Err(NotARole), "{word}");
        }
        assert_eq!(NotARole.to_string(), "not a role");
    }
}
