//! The members of a merchant's staff and their roles: who becomes what, and what must not happen. Where the list is
//! kept is the store's; what a role may do is `roles`'.

use serde::{Deserialize, Serialize};

use crate::personal::Personal;
use crate::roles::Role;
use crate::time::Timestamp;

/// The most members that are listed. Whoever comes after them has the newcomers' role and cannot be given another.
pub const MOST_MEMBERS: usize = 200;

/// A member of staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The blinded name: another one in each shop.
    pub id: String,
    /// Shopify's number of the account: by it the owner knows who it is.
    pub user: Personal<String>,
    /// What the member may do.
    pub role: Role,
    /// When the app was first opened by the member.
    pub since: Timestamp,
}

/// Who may be what in one installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    list: Vec<Member>,
    newcomers: Role,
}

impl Default for Members {
    fn default() -> Self {
        Self { list: Vec::new(), newcomers: Role::Viewer }
    }
}

/// Why the list stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembersFault {
    /// Nobody of that name is listed.
    Unknown,
    /// There would be no owner any more.
    LastOwner,
    /// Whoever nobody knows yet must not become that.
    TooMighty,
    /// Whoever wanted the change is not allowed to make it any more.
    NotAllowed,
}

/// What a change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changing {
    /// It is another list now.
    Changed,
    /// It was so before.
    Unchanged,
}

impl Members {
    /// Everybody who is listed, in the order they came.
    #[must_use]
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    /// What a member is whom nobody has given a role.
    #[must_use]
    pub const fn newcomers(&self) -> Role {
        self.newcomers
    }

    /// What somebody is.
    #[must_use]
    pub fn role_of(&self, id: &str) -> Role {
        self.member(id).map_or(self.newcomers, |member| member.role)
    }

    fn member(&self, id: &str) -> Option<&Member> {
        self.list.iter().find(|member| member.id == id)
    }

    fn owners(&self) -> usize {
        self.list.iter().filter(|member| member.role == Role::Owner).count()
    }

    /// A member opened the app. Who comes first is the owner: it is the one who installed it, and only staff whom the
    /// merchant lets install or open the app comes here at all.
    pub fn opened(&mut self, id: &str, user: &str, now: Timestamp) -> Changing {
        if self.member(id).is_some() || self.list.len() >= MOST_MEMBERS {
            return Changing::Unchanged;
        }
        let role = if self.list.is_empty() { Role::Owner } else { self.newcomers };
        let user = user.to_owned().into();
        self.list.push(Member { id: id.to_owned(), user, role, since: now });
        Changing::Changed
    }

    /// Gives a member a role.
    ///
    /// # Errors
    /// `Unknown`, or `LastOwner` when the only owner would be something else.
    pub fn set_role(&mut self, id: &str, role: Role) -> Result<Changing, MembersFault> {
        let last_owner = self.owners() == 1;
        let member = self.list.iter_mut().find(|member| member.id == id).ok_or(MembersFault::Unknown)?;
        if member.role == role {
            return Ok(Changing::Unchanged);
        }
        if member.role == Role::Owner && last_owner {
            return Err(MembersFault::LastOwner);
        }
        member.role = role;
        Ok(Changing::Changed)
    }

    /// Takes a member off the list: should the member open the app again, it is as a newcomer.
    ///
    /// # Errors
    /// `Unknown`, or `LastOwner`.
    pub fn remove(&mut self, id: &str) -> Result<(), MembersFault> {
        let member = self.member(id).ok_or(MembersFault::Unknown)?;
        if member.role == Role::Owner && self.owners() == 1 {
            return Err(MembersFault::LastOwner);
        }
        self.list.retain(|member| member.id != id);
        Ok(())
    }

    /// Decides what newcomers are.
    ///
    /// # Errors
    /// `TooMighty` for owner and admin: whoever comes next is not chosen.
    pub fn set_newcomers(&mut self, role: Role) -> Result<Changing, MembersFault> {
        match role {
            Role::Owner | Role::Admin => Err(MembersFault::TooMighty),
            _ if self.newcomers == role => Ok(Changing::Unchanged),
            Role::Agent | Role::Viewer | Role::Vendor => {
                self.newcomers = role;
                Ok(Changing::Changed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_348_800_000);

    fn of(roles: &[Role]) -> Members {
        let mut members = Members::default();
        for (place, role) in roles.iter().enumerate() {
            assert_eq!(members.opened(&place.to_string(), "user", NOW), Changing::Changed);
            members.list[place].role = *role;
        }
        members
    }

    #[test]
    fn given_nobody_when_somebody_opens_the_app_then_the_first_is_owner_and_others_are_newcomers() {
        let mut members = Members::default();
        assert_eq!((members.newcomers(), members.role_of("a")), (Role::Viewer, Role::Viewer));
        assert_eq!(members.opened("a", "41", NOW), Changing::Changed);
        assert_eq!(members.set_newcomers(Role::Agent), Ok(Changing::Changed));
        assert_eq!(members.set_newcomers(Role::Agent), Ok(Changing::Unchanged));
        assert_eq!(members.opened("b", "42", NOW), Changing::Changed);
        assert_eq!(members.opened("a", "41", NOW), Changing::Unchanged);
        let found = |id: &str| (members.role_of(id), members.list().iter().any(|member| member.id == id));
        assert_eq!(
            [found("a"), found("b"), found("c")],
            [(Role::Owner, true), (Role::Agent, true), (Role::Agent, false)]
        );
        assert_eq!((members.list()[0].user.expose().as_str(), members.list()[1].since), ("41", NOW));
    }

    #[test]
    fn given_newcomers_then_they_never_become_mighty() {
        let mut members = Members::default();
        for role in [Role::Owner, Role::Admin] {
            assert_eq!(members.set_newcomers(role), Err(MembersFault::TooMighty));
        }
        for role in [Role::Agent, Role::Viewer, Role::Vendor] {
            assert_eq!(members.set_newcomers(role), Ok(Changing::Changed));
            assert_eq!(members.newcomers(), role);
        }
    }

    #[test]
    fn given_one_owner_then_the_owner_stays_and_given_two_then_one_can_go() {
        let mut members = of(&[Role::Owner, Role::Admin]);
        assert_eq!(members.set_role("0", Role::Admin), Err(MembersFault::LastOwner));
        assert_eq!(members.remove("0"), Err(MembersFault::LastOwner));
        assert_eq!(members.set_role("0", Role::Owner), Ok(Changing::Unchanged));
        assert_eq!(members.set_role("1", Role::Owner), Ok(Changing::Changed));
        assert_eq!(members.remove("0"), Ok(()));
        assert_eq!(members.set_role("1", Role::Viewer), Err(MembersFault::LastOwner));
        assert_eq!(members.remove("0"), Err(MembersFault::Unknown));
        assert_eq!(members.set_role("0", Role::Viewer), Err(MembersFault::Unknown));
        assert_eq!(members, Members { list: members.list[..1].to_vec(), newcomers: Role::Viewer });
        assert_eq!(members.list()[0].id, "1");
    }

    #[test]
    fn given_a_full_list_then_whoever_comes_is_a_newcomer_and_not_listed() {
        let mut members = of(&[Role::Admin; MOST_MEMBERS]);
        assert_eq!(members.opened("one more", "user", NOW), Changing::Unchanged);
        assert_eq!((members.list().len(), members.role_of("one more")), (MOST_MEMBERS, Role::Viewer));
        members.remove("3").unwrap();
        assert_eq!(members.opened("one more", "user", NOW), Changing::Changed);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Open(u8),
        Set(u8, usize),
        Remove(u8),
        Newcomers(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6u8).prop_map(Step::Open),
            (0..6u8, 0..5usize).prop_map(|(id, role)| Step::Set(id, role)),
            (0..6u8).prop_map(Step::Remove),
            (0..5usize).prop_map(Step::Newcomers),
        ]
    }

    proptest! {
        #[test]
        fn once_there_is_an_owner_there_always_is_one_and_nobody_is_listed_twice(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut members = Members::default();
            members.opened("0", "user", NOW);
            for step in steps {
                let before = members.clone();
                let changed = match step {
                    Step::Open(id) => members.opened(&id.to_string(), "user", NOW) == Changing::Changed,
                    Step::Set(id, role) => {
                        members.set_role(&id.to_string(), Role::ALL[role]) == Ok(Changing::Changed)
                    }
                    Step::Remove(id) => members.remove(&id.to_string()).is_ok(),
                    Step::Newcomers(role) => {
                        members.set_newcomers(Role::ALL[role]) == Ok(Changing::Changed)
                    }
                };
                prop_assert_eq!(changed, members != before);
                prop_assert!(members.owners() >= 1);
                let mut ids: Vec<&str> = members.list().iter().map(|member| member.id.as_str()).collect();
                ids.sort_unstable();
                ids.dedup();
                prop_assert_eq!(ids.len(), members.list().len());
            }
        }
    }
}
