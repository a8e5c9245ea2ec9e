//! A shop's tokens, in an attribute of the installation's row that is sealed by itself: who writes the profile and who
//! rotates the tokens do not get into each other's way. Who calls Shopify, and when, is the host's.
//!
//! A rotation goes on from one revision to the next by a condition, so none is lost. A short lease lets one instance at a
//! time ask Shopify; it only saves calls, and nothing is wrong when it ends too early.

use storeward_core::data_map::Kind;
use storeward_core::oauth::Access;
use storeward_core::time::Timestamp;

use crate::error::Result;
use crate::item::{number, seal, seal_part, text};
use crate::keyspace;
use crate::ledger::{Entry, What};
use crate::retention::{COUNTED, counted};
use crate::store::{Action, Change, Condition, Store, Unrecorded};
use crate::tenants::{Installation, Profile};

/// The sealed tokens.
pub(crate) const ACCESS: &str = "access";
/// How often they were replaced.
pub(crate) const REVISION: &str = "access_revision";
/// Until when one instance has the renewal to itself.
pub(crate) const LEASE: &str = "access_lease";
/// Since when Shopify refuses to renew them.
pub(crate) const DISCONNECTED_AT: &str = "disconnected_at";
/// From when the profile is, as Shopify tells it.
pub(crate) const PROFILE_AT: &str = "profile_at";

impl Installation {
    /// Opens the tokens; `None` where the app has no access to the shop.
    pub fn access(&self) -> Result<Option<Access>> {
        self.stored.unseal_part(Kind::Shop, ACCESS, &self.keys)
    }

    /// How often the tokens were replaced: what one reader compares with another.
    #[must_use]
    pub fn access_revision(&self) -> i64 {
        self.stored.optional_number(REVISION).unwrap_or_default()
    }

    /// Since when Shopify refuses to renew the tokens: the merchant has to open the app again.
    #[must_use]
    pub fn disconnected_at(&self) -> Option<Timestamp> {
        self.stored.optional_number(DISCONNECTED_AT).map(Timestamp)
    }

    /// From when the profile is, as Shopify tells it.
    #[must_use]
    pub fn profile_at(&self) -> Option<Timestamp> {
        self.stored.optional_number(PROFILE_AT).map(Timestamp)
    }
}

impl Store {
    /// Takes the renewal of the tokens for oneself until then. `false` when somebody else has it, or the tokens are not
    /// those of `installation` any more.
    pub async fn lease_access(&self, installation: &Installation, until: Timestamp) -> Result<bool> {
        let update = Change {
            expression: format!("SET {LEASE} = :until"),
            values: vec![(":until", number(until.millis()))],
        };
        let condition = Condition {
            expression: "phase = :in_phase AND access_revision = :seen \
                AND (attribute_not_exists(access_lease) OR access_lease <= :at)",
            values: vec![
                (":in_phase", text("installed")),
                (":seen", number(installation.access_revision())),
                (":at", number(self.now().millis())),
            ],
        };
        self.lease(installation, update, condition).await
    }

    /// Gives a lease back early: the renewal failed and may be tried by anyone.
    pub async fn release_access(&self, installation: &Installation, until: Timestamp) -> Result<()> {
        let update = Change { expression: format!("REMOVE {LEASE}"), values: Vec::new() };
        let condition =
            Condition { expression: "access_lease = :mine", values: vec![(":mine", number(until.millis()))] };
        // Somebody else's by now: nothing to give back.
        let _mine = self.lease(installation, update, condition).await?;
        Ok(())
    }

    /// Replaces the tokens by those they were renewed to. `false` when they are not those of `installation` any more.
    /// Undoes a disconnection that another instance noted while the answer was under way.
    pub async fn replace_access(&self, installation: &Installation, access: &Access) -> Result<bool> {
        let remove = format!(" REMOVE {LEASE}, {DISCONNECTED_AT}");
        self.write_access(installation, What::AccessRenewed, access, &remove).await
    }

    /// Writes what else is known about the same tokens: the scopes. A renewal that is under way keeps its lease.
    pub async fn describe_access(&self, installation: &Installation, access: &Access) -> Result<bool> {
        self.write_access(installation, What::ScopesChanged, access, "").await
    }

    async fn write_access(
        &self,
        installation: &Installation,
        what: What,
        access: &Access,
        remove: &str,
    ) -> Result<bool> {
        let key = keyspace::shop(&installation.tenant);
        let sealed = seal_part(&key, ACCESS, &installation.keys, access, &*self.entropy)?;
        let revision = installation.access_revision();
        let update = Change {
            expression: format!("SET {ACCESS} = :access, {REVISION} = :next{remove}"),
            values: vec![(":access", sealed), (":next", number(revision + 1))],
        };
        self.change(installation, what, update, at_revision(revision)).await
    }

    /// Notes that Shopify does not renew the tokens, and forgets them. The revision stays: whoever has the answer to an
    /// earlier request for a renewal can still store it. `false` when the tokens were replaced meanwhile.
    pub async fn disconnect(&self, installation: &Installation) -> Result<bool> {
        let update = Change {
            expression: format!("SET {DISCONNECTED_AT} = :now REMOVE {ACCESS}, {LEASE}"),
            values: vec![(":now", number(self.now().millis()))],
        };
        let seen = at_revision(installation.access_revision());
        self.change(installation, What::Disconnected, update, seen).await
    }

    /// Replaces the profile by what Shopify told of `at`. `false` when what is stored is newer, or the app was
    /// uninstalled.
    pub async fn renew_profile(
        &self,
        installation: &Installation,
        profile: &Profile,
        at: Timestamp,
    ) -> Result<bool> {
        let key = keyspace::shop(&installation.tenant);
        let sealed = seal(&key, &installation.keys, profile, &*self.entropy)?;
        let mut values = vec![(":sealed", sealed), (":known", number(at.millis()))];
        values.extend(counted());
        let update =
            Change { expression: format!("SET sealed = :sealed, {PROFILE_AT} = :known, {COUNTED}"), values };
        let condition = Condition {
            expression: "phase = :in_phase AND (attribute_not_exists(profile_at) OR profile_at <= :known)",
            values: vec![(":in_phase", text("installed"))],
        };
        self.change(installation, What::ProfileChanged, update, condition).await
    }

    async fn change(
        &self,
        installation: &Installation,
        what: What,
        update: Change,
        condition: Condition,
    ) -> Result<bool> {
        let key = keyspace::shop(&installation.tenant);
        let entry = Entry::new(self.now(), &installation.tenant, what, "shopify");
        let actions =
            vec![Action::Update { key, update, condition: Some(condition) }, self.ledger_action(&entry)?];
        Ok(self.transact(actions).await?.is_ok())
    }

    async fn lease(&self, installation: &Installation, update: Change, condition: Condition) -> Result<bool> {
        let key = keyspace::shop(&installation.tenant);
        let action = Action::Update { key, update, condition: Some(condition) };
        Ok(self.transact_unrecorded(Unrecorded::Bookkeeping, vec![action]).await?.is_ok())
    }
}

fn at_revision(revision: i64) -> Condition {
    Condition {
        expression: "phase = :in_phase AND access_revision = :seen",
        values: vec![(":in_phase", text("installed")), (":seen", number(revision))],
    }
}
