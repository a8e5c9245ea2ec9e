//! The members of a merchant's staff and their roles: one sealed list for each installation. What may become of the list
//! is `core::members`'; what a role may do, `core::roles`'.

use storeward_core::data_map::{Kind, Table};
use storeward_core::members::{Changing, Members, MembersFault};
use storeward_core::shop::ShopId;

use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number};
use crate::keyspace;
use crate::ledger::{Entry, What};
use crate::store::{Action, Condition, Query, Store};
use crate::tenants::Installation;

/// How often a change is offered to the list, should others change it meanwhile.
const OFFERS: u32 = 5;

/// What a change of the members came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangingMembers {
    /// The list as it is now.
    Done(Members),
    /// It stays as it is.
    Refused(MembersFault),
    /// The app is not installed any more.
    NotInstalled,
}

impl Store {
    /// The latest installation of a shop and who may be what there, read side by side: in one round trip.
    pub async fn entered(&self, shop: &ShopId) -> Result<Option<(Installation, Members)>> {
        let partition = keyspace::members_partition(shop);
        let mut latest = Query::of(Table::Data, &partition);
        latest.newest_first = true;
        latest.limit = 1;
        // Boxed: the two together are a large future, which every route would hold.
        let installation = Box::pin(self.installation(shop));
        let (installation, (mut lists, _)) = futures::try_join!(installation, Box::pin(self.query(latest)))?;
        let Some(installation) = installation else { return Ok(None) };
        let listed = lists.pop();
        let (members, _) = read(&installation, listed.as_ref())?;
        Ok(Some((installation, members)))
    }

    /// Who may be what in an installation.
    pub(crate) async fn members(&self, installation: &Installation) -> Result<Members> {
        let stored = self.get(&keyspace::members(&installation.tenant)).await?;
        Ok(read(installation, stored.as_ref())?.0)
    }

    /// A member of staff, by Shopify's number, opened the app: is listed from the first time on. Whoever comes first is
    /// the owner.
    pub async fn member_opened(&self, installation: &Installation, user: &str) -> Result<ChangingMembers> {
        let id = self.actor(&installation.tenant.shop, user);
        let now = self.now();
        let come = |members: &mut Members| Ok(members.opened(&id, user, now));
        self.change_members(installation, What::MemberCame, "opened the app", come).await
    }

    /// Changes the list by `change`, with an entry in the ledger where it is another one afterwards.
    pub async fn change_members(
        &self,
        installation: &Installation,
        what: What,
        why: &str,
        change: impl Fn(&mut Members) -> std::result::Result<Changing, MembersFault>,
    ) -> Result<ChangingMembers> {
        let tenant = &installation.tenant;
        let key = keyspace::members(tenant);
        for _ in 0..OFFERS {
            let stored = self.get(&key).await?;
            let (mut members, revision) = read(installation, stored.as_ref())?;
            match change(&mut members) {
                Ok(Changing::Changed) => {}
                Ok(Changing::Unchanged) => return Ok(ChangingMembers::Done(members)),
                Err(fault) => return Ok(ChangingMembers::Refused(fault)),
            }
            let item = Item::new(key.clone()).set("revision", number(revision + 1)).sealed(
                &installation.keys,
                &members,
                &*self.entropy,
            )?;
            let as_seen = Condition {
                expression: "attribute_not_exists(pk) OR revision = :seen",
                values: vec![(":seen", number(revision))],
            };
            let actions = vec![
                Action::Check { key: keyspace::shop(tenant), condition: Condition::phase("installed") },
                Action::Put { item, condition: Some(as_seen) },
                self.ledger_action(&Entry::new(self.now(), tenant, what, why))?,
            ];
            match self.transact(actions).await? {
                Ok(()) => return Ok(ChangingMembers::Done(members)),
                Err(canceled) if canceled.any_failed(0..1) => return Ok(ChangingMembers::NotInstalled),
                // Somebody else changed it: looked at again.
                Err(_) => {}
            }
        }
        Err(StoreError::Contended("the members"))
    }
}

/// The list and its revision; an installation that nobody opened has an empty one, and so has one whose list is another
/// installation's.
fn read(installation: &Installation, stored: Option<&Stored>) -> Result<(Members, i64)> {
    let of_this = stored.filter(|stored| {
        stored.optional_text("sk") == Some(installation.tenant.generation.to_string().as_str())
    });
    let Some(stored) = of_this else { return Ok((Members::default(), 0)) };
    Ok((stored.unseal(Kind::Member, &installation.keys)?, stored.number("revision")?))
}
