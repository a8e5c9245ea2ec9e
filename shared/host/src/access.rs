//! The way into a shop's Admin API: tokens that are renewed before they end, and connected anew when a merchant grants
//! or opens the app. How they are stored is the store's, what is asked of Shopify the client's.
//!
//! What happens when an instance ends between Shopify's answer and storing it: the old refresh token is still stored, and
//! the lease on it ends by itself. Shopify takes the old one until its replacement is used (for 30 days at most), so the
//! next renewal gets a new pair. Should Shopify refuse it, the shop is noted as disconnected, and the next opening of the
//! app connects it again by token exchange.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::shopify::{App, Shopify, Standing};
use storeward_core::oauth::{Access, AccessToken, Refresh, Scopes};
use storeward_core::shop::ShopDomain;
use storeward_store::{Installation, Profile, Store, StoreError};

use crate::context::{Context, HostError};
use crate::settings::Setting;

/// How long one instance has a renewal to itself: longer than the client waits for an answer.
const LEASE: Duration = Duration::from_secs(20);

/// How often, and how long each time, who needs a token waits for whom is fetching it.
const POLLS: u32 = 6;
const POLL: Duration = Duration::from_millis(500);

/// How often a renewed pair is offered to the store, should something else change the row meanwhile.
const OFFERS: u32 = 4;

/// With what a shop's Admin API is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAccess {
    /// The shop.
    pub domain: ShopDomain,
    /// A token that counts for five minutes and more, as far as Shopify gives such.
    pub token: AccessToken,
}

/// What connecting a shop came to.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The installation.
    pub installation: Installation,
    /// Which of the scopes the app wants the merchant has not granted.
    pub lacking: Vec<String>,
}

impl Context {
    /// With what the shop is called; `None` when the app has no access to it (not granted, uninstalled, or refused since).
    /// Renews the tokens when they are about to end. Needs [`Setting::ADMIN`].
    ///
    /// # Errors
    /// Transient when Shopify does not answer, or another instance is about to have the tokens.
    pub async fn admin_access(&self, installation: &Installation) -> Result<Option<AdminAccess>, HostError> {
        let store = self.store().await?;
        let mut current = installation.clone();
        for poll in 0..=POLLS {
            if !current.is_installed() {
                return Ok(None);
            }
            let Some(access) = current.access()? else { return Ok(None) };
            let now = self.now();
            if !access.is_due(now) {
                return usable(&current, access).map(Some);
            }
            let Some(refresh) = access.refresh.as_ref().filter(|refresh| now < refresh.expires_at) else {
                if access.is_alive(now) {
                    return usable(&current, access).map(Some);
                }
                store.disconnect(&current).await?;
                tracing::warn!(shop = %current.tenant.shop, "disconnected: the refresh token has expired");
                return Ok(None);
            };
            let until = now + LEASE;
            if store.lease_access(&current, until).await? {
                return match self.renew(store, &current, &access, refresh).await {
                    Ok(renewed) => Ok(renewed),
                    Err(error) => {
                        // Best effort: the lease ends by itself.
                        let _released = store.release_access(&current, until).await;
                        Err(error)
                    }
                };
            }
            // Somebody else renews or has renewed: theirs is used.
            let Some(latest) = store.tenant(&current.tenant).await? else { return Ok(None) };
            if latest.access_revision() == current.access_revision() && latest.is_installed() {
                if access.is_alive(now) {
                    return usable(&latest, access).map(Some);
                }
                if poll < POLLS {
                    tokio::time::sleep(POLL).await;
                }
            }
            current = latest;
        }
        Err(StoreError::Contended("the shop's access tokens").into())
    }

    /// Whether the app is still installed, as Shopify sees it: what only the tokens prove, since a signed body can be
    /// replayed. A refusal to renew the tokens, now or earlier, is an end as well. Needs [`Setting::ADMIN`].
    ///
    /// # Errors
    /// Whatever leaves it open, such as no answer within two seconds.
    pub async fn standing(&self, installation: &Installation) -> Result<Standing, HostError> {
        if installation.access()?.is_none() {
            let refused = installation.disconnected_at().is_some();
            return Ok(if refused { Standing::Ended } else { Standing::Unknown });
        }
        // A token that has ended by itself would be refused like one that was voided: it is renewed first.
        let access = match self.admin_access(installation).await {
            Ok(Some(access)) => access,
            Ok(None) => return Ok(Standing::Ended),
            // Who is not let in to renew would not be let in to ask either.
            Err(HostError::Shopify(ClientError::Closed)) => return Ok(Standing::Closed),
            Err(error) => return Err(error),
        };
        Ok(self.shopify_for(installation).await?.standing(&access.domain, access.token.expose()).await?)
    }

    async fn renew(
        &self,
        store: &Store,
        current: &Installation,
        access: &Access,
        refresh: &Refresh,
    ) -> Result<Option<AdminAccess>, HostError> {
        let domain = current.profile()?.domain;
        let shopify = self.shopify_for(current).await?;
        let renewed = match self.app(|app| shopify.refresh(&domain, app, &refresh.token)).await? {
            Ok(renewed) => renewed,
            Err(ClientError::Unauthorized) => {
                if store.disconnect(current).await? {
                    tracing::warn!(shop = %current.tenant.shop, "disconnected: Shopify does not renew the tokens");
                    return Ok(None);
                }
                // The tokens were replaced meanwhile; those are used.
                return self.of_another(store, current).await;
            }
            Err(error) if access.is_alive(self.now()) => {
                tracing::warn!(shop = %current.tenant.shop, %error, "not renewed yet");
                return usable(current, access.clone()).map(Some);
            }
            Err(error) => return Err(error.into()),
        };
        let mut row = current.clone();
        for _ in 0..OFFERS {
            if store.replace_access(&row, &renewed_at(&row, &renewed)?).await? {
                return usable(&row, renewed).map(Some);
            }
            let Some(latest) = store.tenant(&current.tenant).await?.filter(Installation::is_installed) else {
                return Ok(None);
            };
            let same =
                latest.access()?.and_then(|latest| latest.refresh).is_none_or(|latest| latest == *refresh);
            if !same {
                return self.of_another(store, current).await;
            }
            // The scopes changed, or another instance gave up: still ours to replace.
            row = latest;
        }
        Err(StoreError::Contended("the shop's access tokens").into())
    }

    /// What somebody else stored while this instance was asking.
    async fn of_another(
        &self,
        store: &Store,
        current: &Installation,
    ) -> Result<Option<AdminAccess>, HostError> {
        let latest = store.tenant(&current.tenant).await?.filter(Installation::is_installed);
        let Some(latest) = latest else { return Ok(None) };
        match latest.access()? {
            Some(access) if access.is_alive(self.now()) => usable(&latest, access).map(Some),
            _ => Ok(None),
        }
    }

    /// Calls Shopify in the app's name.
    async fn app<'a, F, Fut, T>(&'a self, call: F) -> Result<Result<T, ClientError>, HostError>
    where
        F: FnOnce(App<'a>) -> Fut,
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let client_id = self.settings.get(Setting::ShopifyClientId)?;
        let secrets = self.shopify_secrets().await?;
        Ok(call(App { client_id, client_secret: secrets.current() }).await)
    }

    /// Connects a shop by the code of an OAuth callback.
    ///
    /// # Errors
    /// [`HostError::Shopify`] when the code does not count, else as the store and Shopify answer. Nothing is stored then.
    pub async fn connect_by_code(&self, shop: &ShopDomain, code: &str) -> Result<Connected, HostError> {
        let shopify = self.shopify().await?;
        let access = self.app(|app| shopify.exchange_code(shop, app, code)).await??;
        self.connect(shopify, shop, access).await
    }

    /// Connects a shop by a session token that was verified: installs the app where Shopify has done so, or renews what is
    /// there.
    ///
    /// # Errors
    /// As [`Context::connect_by_code`].
    pub async fn connect_by_session(
        &self,
        shop: &ShopDomain,
        session_token: &str,
    ) -> Result<Connected, HostError> {
        let shopify = self.shopify().await?;
        let access = self.app(|app| shopify.exchange_session_token(shop, app, session_token)).await??;
        self.connect(shopify, shop, access).await
    }

    /// Stores what was granted. A first installation without all wanted scopes is not made: half the product would fail
    /// later, where nobody looks.
    async fn connect(
        &self,
        shopify: &Shopify,
        shop: &ShopDomain,
        access: Access,
    ) -> Result<Connected, HostError> {
        let store = self.store().await?;
        let wanted = Scopes::parse(self.settings.get(Setting::ShopifyScopes)?);
        let lacking = access.scopes.lacking(&wanted);
        if !lacking.is_empty() {
            let known = store.installation(&store.shop_id(shop)).await?;
            if !known.is_some_and(|known| known.is_installed()) {
                return Err(HostError::ScopesLacking(lacking));
            }
        }
        let facts = shopify.shop(shop, access.token.expose()).await?;
        let profile = Profile {
            domain: shop.clone(),
            shopify_id: Some(facts.id),
            email: facts.email,
            plan: facts.plan,
            public_domain: facts.public_domain,
        };
        let asked_at = access.scopes_at;
        let installation = store.connect(&profile, facts.updated_at, &access, asked_at).await?;
        tracing::info!(shop = %installation.tenant.shop, "connected");
        Ok(Connected { installation, lacking })
    }
}

fn usable(installation: &Installation, access: Access) -> Result<AdminAccess, HostError> {
    Ok(AdminAccess { domain: installation.profile()?.domain, token: access.token })
}

/// A renewed access for a row: with the scopes that were told last.
fn renewed_at(row: &Installation, renewed: &Access) -> Result<Access, HostError> {
    let mut access = renewed.clone();
    if let Some(told) = row.access()?.filter(|told| told.scopes_at > renewed.scopes_at) {
        access.scopes = told.scopes;
        access.scopes_at = told.scopes_at;
    }
    Ok(access)
}
