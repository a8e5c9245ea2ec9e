//! The end of a shop's service by decision: the merchant's own, or an operator's on the merchant's written word. Who may ask for
//! it, and how, is the functions'; an uninstall at Shopify comes by webhook.

use storeward_clients::ClientError;
use storeward_clients::shopify::Standing;
use storeward_core::data_map::LONGEST_WRITER;
use storeward_core::time::Timestamp;
use storeward_store::Installation;

use crate::api::ApiError;
use crate::context::{Context, HostError, Queue};
use crate::job::PurgeOrder;
use crate::problem::{Problem, ProblemKind};

impl Context {
    /// Ends an installation and has everything of it deleted: tells from when on. `confirm` is the shop's permanent domain, so
    /// that it does not happen by mistake; `why` is for the ledger. Access is revoked at Shopify first, because afterwards there
    /// is nothing left to revoke it with; a closed shop, which lets nobody in to do that, is deleted all the same. Should this
    /// end in between, Shopify's own `app/uninstalled` does the rest. Needs
    /// [`Setting::ADMIN`](crate::Setting::ADMIN), the purge's queue and the mailboxes'.
    ///
    /// # Errors
    /// `InvalidBody` when it is not confirmed, `NotFound` when nothing is known of the installation any more, and what Shopify,
    /// the store or a queue failed with.
    pub async fn end_service(
        &self,
        installation: &Installation,
        confirm: &str,
        why: &str,
    ) -> Result<Timestamp, ApiError> {
        let domain = installation.profile()?.domain;
        if confirm.trim().to_lowercase() != domain.as_str() {
            let detail =
                "confirm: write the shop's permanent domain, name.myshopify.com; everything will be deleted";
            return Err(Problem::new(ProblemKind::InvalidBody, detail).into());
        }
        let store = self.store().await?;
        // Who asked and why is told also where this ends before the installation does.
        store.ending_asked(&installation.tenant, why).await?;
        match self.end_access(installation).await {
            Ok(()) => {}
            Err(HostError::Shopify(ClientError::Closed)) => {
                let shop = &installation.tenant.shop;
                tracing::error!(%shop, "access was not revoked: the shop is closed, and Shopify lets nobody in");
            }
            Err(error) => return Err(error.into()),
        }
        // The tokens as they are now: asking for access may have renewed them.
        let Some(installation) = store.tenant(&installation.tenant).await? else {
            return Err(Problem::not_found().into());
        };
        let mailboxes = store.uninstall(&installation, why).await?;
        self.end_mailboxes(&installation.tenant, mailboxes).await?;
        // What began before may still be writing: the purge waits for that, and the sweep makes sure of it.
        let order = PurgeOrder { tenant: installation.tenant.clone(), why: why.to_owned() };
        self.send(Queue::PurgeShop, &order, LONGEST_WRITER).await?;
        Ok(self.now() + LONGEST_WRITER)
    }

    /// Has the app uninstalled at Shopify. One that was uninstalled before is no error.
    async fn end_access(&self, installation: &Installation) -> Result<(), HostError> {
        let Some(access) = self.admin_access(installation).await? else { return Ok(()) };
        let (shopify, token) = (self.shopify_for(installation).await?, access.token.expose());
        match shopify.uninstall(&access.domain, token).await {
            // Because it was uninstalled already, and the webhook is on its way; or because of who asks, or from where: then
            // the app has its access still.
            Err(refused @ ClientError::Unauthorized) => {
                match shopify.standing(&access.domain, token).await? {
                    Standing::Ended => Ok(()),
                    Standing::Closed => Err(ClientError::Closed.into()),
                    Standing::Installed | Standing::Unknown => Err(refused.into()),
                }
            }
            other => Ok(other?),
        }
    }
}
