//! The life of an installation as the store sees it: created with keys of its own, read by every handler,
//! marked as uninstalled. Its end is the purge's.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::guard::GuardSettings;
use storeward_core::instructions::Activity;
use storeward_core::oauth::Access;
use storeward_core::personal::Personal;
use storeward_core::retention::RetentionPolicy;
use storeward_core::shop::{Generation, ShopDomain, ShopId, ShopState, Tenant};
use storeward_core::time::Timestamp;

use crate::access;
use crate::crypto::TenantKeys;
use crate::due::{self, DueRow};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, seal, seal_part, text};
use crate::keyspace::{self, RecordRef};
use crate::ledger::{Entry, What};
use crate::mailboxes::{MAILBOXES, MailboxState};
use crate::restoring;
use crate::retention::{COUNTED, counted};
use crate::store::{Action, Change, Condition, Query, Store};

/// How many shops' keys one Lambda instance remembers.
const CACHED_SHOPS: usize = 1000;

/// How often switches are set while others change the settings.
const SWITCHING: usize = 6;

/// The attribute of a shop's settings: sealed apart from the profile, so that neither is lost when both change.
const SETTINGS: &str = "settings";

#[derive(Clone)]
pub(crate) struct CachedKeys {
    generation: Generation,
    keys: Arc<TenantKeys>,
    /// How many erasures the shop had had when they were read.
    erasures: i64,
}

/// An installation's keys as they are stored.
pub(crate) struct WrappedKeys {
    wrapped: Vec<u8>,
    pub(crate) erasures: i64,
}

/// What the merchant's shop is: sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The permanent domain.
    pub domain: ShopDomain,
    /// Shopify's number of the shop: what signed bodies name it by that leave out the domain.
    pub shopify_id: Option<u64>,
    /// Where platform mail goes.
    pub email: Option<Personal<String>>,
    /// The plan, as Shopify names it.
    pub plan: Option<String>,
    /// The domain that customers know, where it is another.
    #[serde(default)]
    pub public_domain: Option<String>,
}

/// An installation, as it was when it was read, with its keys.
#[derive(Clone)]
pub struct Installation {
    /// Which one: the first argument of every access.
    pub tenant: Tenant,
    /// Where it stands.
    pub state: ShopState,
    /// When the app was removed, if it was.
    pub uninstalled_at: Option<Timestamp>,
    /// When the merchant last installed it, which can be over an installation that was there: its uninstall was not
    /// told yet.
    pub installed_at: Timestamp,
    pub(crate) stored: Stored,
    pub(crate) keys: Arc<TenantKeys>,
    pub(crate) policy: Arc<RetentionPolicy>,
}

impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation")
            .field("tenant", &self.tenant)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Installation {
    /// Whether work may be done for it.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.state == ShopState::Installed
    }

    /// Whether Shopify's number of the shop in a signed body is this shop's, as far as it is known here.
    pub fn is_shop(&self, shopify_id: u64) -> Result<bool> {
        Ok(self.profile()?.shopify_id.is_none_or(|known| known == shopify_id))
    }

    /// What the merchant decided about the duplicate guard; the defaults before that.
    pub fn settings(&self) -> Result<GuardSettings> {
        Ok(self.stored.unseal_part(Kind::Shop, SETTINGS, &self.keys)?.unwrap_or_default())
    }

    /// Opens the sealed half.
    pub fn profile(&self) -> Result<Profile> {
        self.stored.unseal(Kind::Shop, &self.keys)
    }
}

impl Store {
    /// The blinded name of a shop.
    #[must_use]
    pub fn shop_id(&self, domain: &ShopDomain) -> ShopId {
        self.deployment.shop_id(domain)
    }

    /// The blinded name of a member of a shop's staff: 32 hexadecimal digits.
    #[must_use]
    pub fn actor(&self, shop: &ShopId, user: &str) -> String {
        self.deployment.actor(shop, user)
    }

    /// The blinded name of an operator: 32 hexadecimal digits.
    #[must_use]
    pub fn operator(&self, issuer: &str, subject: &str) -> String {
        self.deployment.operator(issuer, subject)
    }

    /// Installs the app without access to the shop: what is told by webhooks is worked on, nothing is done there.
    pub async fn install(&self, profile: &Profile) -> Result<Installation> {
        self.install_at(profile, None, self.now(), None).await
    }

    /// Installs the app with what the merchant granted: a new generation with keys of its own. An earlier installation
    /// that waits for its purge is not touched and not continued. Where the app is installed already, access and profile
    /// are renewed. `asked_at` is from before Shopify was asked for the grant: an uninstall after it is a newer one.
    /// `known_at` is from when the profile is.
    pub async fn connect(
        &self,
        profile: &Profile,
        known_at: Timestamp,
        access: &Access,
        asked_at: Timestamp,
    ) -> Result<Installation> {
        self.install_at(profile, Some(known_at), asked_at, Some(access)).await
    }

    async fn install_at(
        &self,
        profile: &Profile,
        known_at: Option<Timestamp>,
        now: Timestamp,
        access: Option<&Access>,
    ) -> Result<Installation> {
        let shop = self.shop_id(&profile.domain);
        let latest = self.installation(&shop).await?;
        if latest.as_ref().and_then(|latest| latest.uninstalled_at).is_some_and(|ended| now < ended) {
            // What was granted before an uninstall is void: an installation by it would never be told of its end.
            return Err(StoreError::Contended("the installation"));
        }
        if let Some(current) = latest.filter(Installation::is_installed) {
            return self.renew(current, profile, known_at, now, access).await;
        }
        let tenant = Tenant { shop, generation: Generation::installed_at(now) };
        let (keys, wrapped) = self.deployment.create(&tenant, &*self.entropy)?;
        let key = keyspace::shop(&tenant);
        let mut item =
            Item::new(key.clone()).set("phase", text("installed")).sealed(&keys, profile, &*self.entropy)?;
        if let Some(known_at) = known_at {
            item = item.set(access::PROFILE_AT, number(known_at.millis()));
        }
        if let Some(granted) = access {
            let sealed = seal_part(&key, access::ACCESS, &keys, granted, &*self.entropy)?;
            item = item.set(access::ACCESS, sealed).set(access::REVISION, number(1));
        }
        let item = self.with_terms(item, profile.plan.as_deref())?;
        let stored = Stored(item.attributes.clone());
        let policy = self.learn_policy(&tenant, &stored);
        let keys_item = Item::new(keyspace::keys(&tenant))
            .set("wrapped", aws_sdk_dynamodb::types::AttributeValue::B(wrapped.into()))
            .set("wrapped_by", text(self.deployment.id()));
        let actions = vec![
            Action::Put { item, condition: Some(Condition::ABSENT) },
            Action::Put { item: keys_item, condition: Some(Condition::ABSENT) },
            Action::put(Item::new(keyspace::directory(&tenant))),
            self.ledger_action(&Entry::new(now, &tenant, What::Installed, "install"))?,
        ];
        if self.transact(actions).await?.is_err() {
            // Two installs of one shop in the same millisecond: the other one stands.
            return Err(StoreError::Contended("the installation"));
        }
        Ok(Installation {
            tenant,
            state: ShopState::Installed,
            uninstalled_at: None,
            installed_at: now,
            stored,
            keys: Arc::new(keys),
            policy,
        })
    }

    async fn renew(
        &self,
        current: Installation,
        profile: &Profile,
        known_at: Option<Timestamp>,
        now: Timestamp,
        access: Option<&Access>,
    ) -> Result<Installation> {
        let key = keyspace::shop(&current.tenant);
        let mut set = vec!["installed_at = :now".to_owned(), COUNTED.to_owned()];
        let mut values = vec![(":now", number(now.max(current.installed_at).millis()))];
        values.extend(counted());
        // What a webhook told since is newer than what was asked for before.
        if known_at.is_none_or(|at| current.profile_at().is_none_or(|known| known <= at)) {
            set.push("sealed = :sealed".to_owned());
            values.push((":sealed", seal(&key, &current.keys, profile, &*self.entropy)?));
            if let Some(known_at) = known_at {
                set.push(format!("{} = :known", access::PROFILE_AT));
                values.push((":known", number(known_at.millis())));
            }
        }
        let mut expression = format!("SET {}", set.join(", "));
        if let Some(granted) = access {
            // Whatever was there is void by now, or about to be: a new consent needs no condition.
            write!(
                expression,
                ", {} = :access, {} = if_not_exists({}, :none) + :one REMOVE {}, {}",
                access::ACCESS,
                access::REVISION,
                access::REVISION,
                access::LEASE,
                access::DISCONNECTED_AT,
            )
            .map_err(|_| StoreError::Corrupt("an update"))?;
            values
                .push((":access", seal_part(&key, access::ACCESS, &current.keys, granted, &*self.entropy)?));
            values.extend([(":none", number(0)), (":one", number(1))]);
        }
        let update = Change { expression, values };
        let still = Condition::phase("installed");
        let actions = vec![
            Action::Update { key, update, condition: Some(still) },
            self.ledger_action(&Entry::new(self.now(), &current.tenant, What::Reconnected, "install"))?,
        ];
        if self.transact(actions).await?.is_err() {
            return Err(StoreError::Contended("the installation"));
        }
        let renewed = self.tenant(&current.tenant).await?.ok_or(StoreError::Contended("the installation"))?;
        // As the profile tells it that stands now, which can be a later one.
        self.follow_plan(&renewed.tenant).await?;
        Ok(renewed)
    }

    /// Replaces the settings of the duplicate guard; they count from the next order on. `false` when the app is not
    /// installed any more.
    ///
    /// # Errors
    /// Those of [`Store::revise_settings`].
    pub async fn change_settings(
        &self,
        installation: &Installation,
        settings: &GuardSettings,
    ) -> Result<bool> {
        let as_they_are = |_: &Installation| Ok::<_, StoreError>(settings.clone());
        Ok(self.revise_settings(installation, as_they_are).await?.is_some())
    }

    /// Makes the settings of the duplicate guard what `revise` makes of those that count now, which somebody else may have
    /// changed since they were read: then it is asked again. `None` when the app is not installed any more.
    ///
    /// # Errors
    /// Those of `revise`. Contended, too, when what duplicates are found by became shorter meanwhile than they are to be
    /// looked for.
    pub async fn revise_settings<E: From<StoreError>>(
        &self,
        installation: &Installation,
        revise: impl Fn(&Installation) -> std::result::Result<GuardSettings, E>,
    ) -> std::result::Result<Option<GuardSettings>, E> {
        let mut latest = installation.clone();
        for _ in 0..SWITCHING {
            let settings = revise(&latest)?;
            latest.retention().reaches(&settings).map_err(|_| StoreError::Contended("the settings"))?;
            let what = (What::SettingsChanged, "settings".to_owned());
            if self.write_settings(&latest, &settings, latest.same_terms(), what).await? {
                return Ok(Some(settings));
            }
            match self.tenant(&installation.tenant).await?.filter(Installation::is_installed) {
                Some(again) => latest = again,
                None => return Ok(None),
            }
        }
        Err(StoreError::Contended("the settings").into())
    }

    /// Switches activities on or off, whatever else of the settings is changed at the same time. `None` when the app is
    /// not installed.
    pub async fn change_instructions(
        &self,
        installation: &Installation,
        switches: &BTreeMap<Activity, bool>,
    ) -> Result<Option<GuardSettings>> {
        for _ in 0..SWITCHING {
            let Some(now) = self.installation(&installation.tenant.shop).await? else { return Ok(None) };
            if !now.is_installed() {
                return Ok(None);
            }
            let before = now.settings()?;
            let mut settings = before.clone();
            for (activity, on) in switches {
                activity.set(&mut settings, *on);
            }
            if settings == before {
                return Ok(Some(settings));
            }
            let mut condition = Condition::phase("installed");
            match now.stored.0.get(SETTINGS) {
                Some(sealed) => {
                    condition.expression = "phase = :in_phase AND settings = :before";
                    condition.values.push((":before", sealed.clone()));
                }
                None => condition.expression = "phase = :in_phase AND attribute_not_exists(settings)",
            }
            let count = u64::try_from(switches.len()).unwrap_or(u64::MAX);
            let what = (What::SettingsChanged, format!("instructions for {count} activities"));
            if self.write_settings(&now, &settings, condition, what).await? {
                return Ok(Some(settings));
            }
        }
        Err(StoreError::Contended("the settings"))
    }

    /// Writes settings with an entry, and one more for each activity that they switch.
    async fn write_settings(
        &self,
        installation: &Installation,
        settings: &GuardSettings,
        condition: Condition,
        (what, why): (What, String),
    ) -> Result<bool> {
        let (tenant, before) = (&installation.tenant, installation.settings()?);
        let key = keyspace::shop(tenant);
        let sealed = seal_part(&key, SETTINGS, &installation.keys, settings, &*self.entropy)?;
        let mut values = vec![(":settings", sealed)];
        values.extend(counted());
        let update = Change { expression: format!("SET settings = :settings, {COUNTED}"), values };
        let mut actions = vec![
            Action::Update { key, update, condition: Some(condition) },
            self.ledger_action(&Entry::new(self.now(), tenant, what, why))?,
        ];
        for activity in Activity::ALL {
            let on = activity.switch(settings);
            if on != activity.switch(&before) {
                let why = format!("{} {}", activity.name(), if on { "on" } else { "off" });
                let entry = Entry::new(self.now(), tenant, What::InstructionChanged, why);
                actions.push(self.ledger_action(&entry)?);
            }
        }
        Ok(self.transact(actions).await?.is_ok())
    }

    /// The latest installation of a shop, with its keys, in one round trip: the shop's row and its keys are read
    /// side by side, and on a warm instance the row alone.
    pub async fn installation(&self, shop: &ShopId) -> Result<Option<Installation>> {
        let partition = keyspace::shop_partition(shop);
        let mut latest = Query::of(Table::Data, &partition);
        latest.newest_first = true;
        latest.limit = 1;
        let cached = self.cache_lock().get(shop).cloned();
        let (mut rows, fetched) = if cached.is_some() {
            (self.query(latest).await?.0, HashMap::new())
        } else {
            let (rows, keys) = futures::try_join!(self.query(latest), self.wrapped_keys(shop))?;
            (rows.0, keys)
        };
        let Some(stored) = rows.pop() else { return Ok(None) };
        let generation = generation_of(&stored)?;
        let tenant = Tenant { shop: shop.clone(), generation };
        self.assemble(tenant, stored, cached, fetched, false).await.map(Some)
    }

    /// A given installation of a shop, or `None` when it was purged.
    pub async fn tenant(&self, tenant: &Tenant) -> Result<Option<Installation>> {
        self.tenant_and(tenant, false).await
    }

    /// The same, also of a backup that is not brought up to date yet where it is taken `as_it_is`.
    pub(crate) async fn tenant_and(&self, tenant: &Tenant, as_it_is: bool) -> Result<Option<Installation>> {
        let key = keyspace::shop(tenant);
        let cached = self.cache_lock().get(&tenant.shop).cloned();
        let cached = cached.filter(|cached| cached.generation == tenant.generation);
        let (stored, fetched) = if cached.is_some() {
            (self.get(&key).await?, HashMap::new())
        } else {
            futures::try_join!(self.get(&key), self.wrapped_keys(&tenant.shop))?
        };
        let Some(stored) = stored else { return Ok(None) };
        self.assemble(tenant.clone(), stored, cached, fetched, as_it_is).await.map(Some)
    }

    /// Where an installation stands, without its keys; `None` when it was purged.
    pub async fn state_of(&self, tenant: &Tenant) -> Result<Option<ShopState>> {
        let row = self.get(&keyspace::shop(tenant)).await?;
        if let Some(row) = &row {
            self.learn_policy(tenant, row);
        }
        row.as_ref().map(state_of).transpose()
    }

    async fn assemble(
        &self,
        tenant: Tenant,
        mut stored: Stored,
        cached: Option<CachedKeys>,
        mut fetched: HashMap<Generation, WrappedKeys>,
        as_it_is: bool,
    ) -> Result<Installation> {
        let cached = cached.filter(|cached| cached.generation == tenant.generation);
        let (keys, erasures) = if let Some(cached) = cached {
            (cached.keys, cached.erasures)
        } else {
            if fetched.is_empty() {
                // The instance remembered an earlier installation's keys: the app was installed again.
                fetched = self.wrapped_keys(&tenant.shop).await?;
            }
            let stored = fetched.get(&tenant.generation).ok_or(StoreError::Corrupt("a shop without keys"))?;
            let erasures = stored.erasures;
            let keys = Arc::new(self.deployment.unwrap(&tenant, &stored.wrapped)?);
            let mut cache = self.cache_lock();
            if cache.len() >= CACHED_SHOPS {
                cache.clear();
            }
            let entry = CachedKeys { generation: tenant.generation, keys: Arc::clone(&keys), erasures };
            cache.insert(tenant.shop.clone(), entry);
            (keys, erasures)
        };
        if restoring::erasures(&stored) < erasures {
            // Both were read side by side: an erasure that began in between is no restored backup.
            stored =
                self.get(&keyspace::shop(&tenant)).await?.ok_or(StoreError::Contended("an installation"))?;
            if restoring::erasures(&stored) < erasures && !as_it_is {
                return Err(StoreError::Restored);
            }
        }
        let state = state_of(&stored)?;
        let uninstalled_at = stored.optional_number("uninstalled_at").map(Timestamp);
        let installed_at =
            stored.optional_number("installed_at").map_or_else(|| tenant.generation.since(), Timestamp);
        let policy = self.learn_policy(&tenant, &stored);
        Ok(Installation { tenant, state, uninstalled_at, installed_at, stored, keys, policy })
    }

    pub(crate) async fn wrapped_keys(&self, shop: &ShopId) -> Result<HashMap<Generation, WrappedKeys>> {
        let partition = keyspace::shop_partition(shop);
        let items = self.query_all(Query::of(Table::Keys, &partition)).await?;
        let read = |item: &Stored| {
            let wrapped = item.binary("wrapped")?.to_vec();
            Ok((generation_of(item)?, WrappedKeys { wrapped, erasures: restoring::erasures(item) }))
        };
        items.iter().map(read).collect()
    }

    /// Notes that the end of the service was asked for, and why.
    pub async fn ending_asked(&self, tenant: &Tenant, why: &str) -> Result<()> {
        let entry = Entry::new(self.now(), tenant, What::EndingAsked, why);
        let noted = self.transact(vec![self.ledger_action(&entry)?]).await?;
        noted.map_err(|_| StoreError::Corrupt("an entry of the ledger that was there before"))
    }

    /// Ends an installation: nothing is processed for it from here on, its tokens are gone, and a due row
    /// makes sure of the purge should its schedule get lost. Doing it twice changes nothing. It counts for the tokens
    /// that `installation` was read with. Its mailboxes end with it and are given back: what Google has of them is ended by
    /// whoever is asked for it then, and due rows make sure.
    ///
    /// # Errors
    /// [`StoreError::Contended`] when the tokens were replaced since: whoever saw the end of the old ones looks again. Also
    /// when a mailbox changed meanwhile.
    pub async fn uninstall(&self, installation: &Installation, why: &str) -> Result<Vec<RecordRef>> {
        let tenant = &installation.tenant;
        let now = self.now();
        let key = keyspace::shop(tenant);
        let update = Change {
            expression: format!(
                "SET phase = :phase, uninstalled_at = :now REMOVE {}, {}, {}",
                access::ACCESS,
                access::LEASE,
                access::DISCONNECTED_AT
            ),
            values: vec![(":phase", text("uninstalled")), (":now", number(now.millis()))],
        };
        let as_seen = Condition {
            expression: "phase = :in_phase AND (attribute_not_exists(access_revision) OR access_revision = :seen)",
            values: vec![(":in_phase", text("installed")), (":seen", number(installation.access_revision()))],
        };
        let mut actions = vec![
            Action::Update { key, update, condition: Some(as_seen) },
            due::put(&DueRow::purge(tenant, now)),
            self.ledger_action(&Entry::new(now, tenant, What::Uninstalled, why))?,
        ];
        // One that is connected after this look is found by whoever watches over all of them.
        let mut mailboxes = self.mailboxes(installation).await?;
        mailboxes.truncate(MAILBOXES);
        for mailbox in mailboxes.iter().filter(|mailbox| mailbox.state != MailboxState::Ending) {
            actions.extend(self.ending(tenant, mailbox));
        }
        let ended = mailboxes.into_iter().map(|mailbox| mailbox.reference).collect();
        if self.transact(actions).await?.is_ok() {
            return Ok(ended);
        }
        let latest = self.installation(&tenant.shop).await?;
        match latest.filter(|latest| latest.tenant == *tenant && latest.is_installed()) {
            Some(_) => Err(StoreError::Contended("the installation")),
            // It was done before.
            None => Ok(ended),
        }
    }
}

fn state_of(stored: &Stored) -> Result<ShopState> {
    match stored.text("phase")? {
        "installed" => Ok(ShopState::Installed),
        "uninstalled" => Ok(ShopState::Uninstalled),
        _ => Err(StoreError::Corrupt("a shop's state")),
    }
}

fn generation_of(stored: &Stored) -> Result<Generation> {
    stored
        .text("sk")?
        .parse()
        .map(Generation)
        .map_err(|_| StoreError::Corrupt("an installation's generation"))
}
