//! The way into a merchant's mailbox: the addresses of a consent, codes made tokens, and tokens that are renewed by whoever has
//! the mailbox's lease. How they are stored is the store's, what is asked of Google the clients'.
//!
//! What happens when an instance ends between Google's answer and storing it: a renewal leaves the refresh token as it was, so the
//! next one renews again. A consent whose code was exchanged and not stored is begun anew by the merchant.

use std::time::Duration;

use futures::future::try_join_all;
use storeward_clients::google::{Google, GoogleApp, GrantError};
use storeward_core::google_oauth::{
    Authorization, GrantedScopes, MailboxAccess, MailboxGrant, State, Verifier,
};
use storeward_core::personal::Personal;
use storeward_core::shop::Tenant;
use storeward_core::time::MINUTE;
use storeward_store::{Installation, MailTokens, Mailbox, RecordRef};

use crate::context::{Context, HostError, Queue};
use crate::mail_desk::{SyncOrder, SyncWhy};
use crate::notice::{Happened, Notice};
use crate::settings::Setting;

/// How long the message waits by which a merchant is told of a loss: it is sent before the loss is stored, so that it is not
/// forgotten, and looks at what is stored.
const LOSS_IS_STORED: Duration = MINUTE;

/// What came of asking for the way into a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailAccess {
    /// It is open.
    Open(MailboxAccess),
    /// It is closed for good: the merchant is told, and has to connect it again.
    Lost,
    /// Somebody else has the mailbox by now.
    Overtaken,
}

/// Whether a token is used as long as it should count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// As usual: it is renewed when it is about to end.
    WhenDue,
    /// Gmail does not take it although it should count.
    Now,
}

/// What Google gave, as it is stored.
#[must_use]
pub fn tokens_of(grant: &MailboxGrant) -> MailTokens {
    MailTokens {
        access: grant.access.token.clone(),
        expires_at: grant.access.expires_at,
        refresh: grant.refresh_token.clone(),
        scopes: grant.scopes.to_string(),
    }
}

fn grant_of(tokens: &MailTokens) -> MailboxGrant {
    MailboxGrant {
        access: MailboxAccess { token: tokens.access.clone(), expires_at: tokens.expires_at },
        refresh_token: tokens.refresh.clone(),
        refresh_expires_at: None,
        scopes: GrantedScopes::parse(&tokens.scopes),
    }
}

impl Context {
    fn app_address(&self, path: &str) -> Result<String, HostError> {
        Ok(format!("{}{path}", self.setting(Setting::AppUrl)?.trim_end_matches('/')))
    }

    /// The page of ours by which a browser goes to Google to consent. Needs [`Setting::AppUrl`].
    pub fn google_start(&self, state: &str) -> Result<String, HostError> {
        // A state of the store needs no escaping.
        self.app_address(&format!("/google/start?state={state}"))
    }

    /// Google's page of consent for an attempt. Needs [`Setting::AppUrl`], [`Setting::GoogleAuthUrl`] and
    /// [`Setting::GoogleSecrets`].
    pub async fn google_consent(&self, state: &State, verifier: &Verifier) -> Result<String, HostError> {
        let secrets = self.google_secrets().await?;
        let authorization = Authorization {
            page: self.setting(Setting::GoogleAuthUrl)?,
            client_id: &secrets.client_id,
            redirect_uri: &self.app_address("/google/callback")?,
            state,
            verifier,
        };
        Ok(authorization.url())
    }

    /// Exchanges the code of a consent. Needs [`Setting::AppUrl`] and [`Setting::GMAIL`].
    ///
    /// # Errors
    /// When the function lacks a setting. What Google says is within.
    pub async fn mailbox_grant(
        &self,
        installation: &Installation,
        code: &Personal<String>,
        verifier: &Verifier,
    ) -> Result<Result<MailboxGrant, GrantError>, HostError> {
        let (google, secrets) = (self.google_for(installation).await?, self.google_secrets().await?);
        let app = GoogleApp { client_id: &secrets.client_id, client_secret: &secrets.client_secret };
        let redirect = self.app_address("/google/callback")?;
        Ok(google.exchange_code(app, code, verifier, &redirect).await)
    }

    /// With what a mailbox is called by whoever has its lease. Renews the token when it is about to end. Needs
    /// [`Setting::GMAIL`] and [`Setting::NotifyMerchantQueueUrl`].
    ///
    /// # Errors
    /// Transient while Google does not answer.
    pub async fn mail_access(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
        renewal: Renewal,
    ) -> Result<MailAccess, HostError> {
        let Some(tokens) = &mailbox.tokens else { return Ok(MailAccess::Lost) };
        let grant = grant_of(tokens);
        let alive = grant.access.is_alive(self.now());
        if renewal == Renewal::WhenDue && !grant.access.is_due(self.now()) {
            return Ok(MailAccess::Open(grant.access));
        }
        match self.renewed(&self.google_for(installation).await?, &grant).await? {
            Ok(renewed) if renewed.scopes.suffice() => {
                let kept =
                    self.store().await?.keep_mail_tokens(installation, mailbox, &tokens_of(&renewed)).await?;
                Ok(if kept { MailAccess::Open(renewed.access) } else { MailAccess::Overtaken })
            }
            Ok(_) | Err(GrantError::Ended) => self.lose_mailbox(installation, mailbox).await,
            Err(GrantError::Client(error)) if alive && renewal == Renewal::WhenDue => {
                tracing::warn!(mailbox = %mailbox.reference, %error, "not renewed yet");
                Ok(MailAccess::Open(grant.access))
            }
            Err(GrantError::Client(error)) => Err(HostError::Google(error)),
        }
    }

    /// A consent's tokens, renewed at Google and not stored. Needs [`Setting::GMAIL`].
    async fn renewed(
        &self,
        google: &Google,
        grant: &MailboxGrant,
    ) -> Result<Result<MailboxGrant, GrantError>, HostError> {
        let secrets = self.google_secrets().await?;
        let app = GoogleApp { client_id: &secrets.client_id, client_secret: &secrets.client_secret };
        Ok(google.refresh(app, grant).await)
    }

    /// With what a mailbox is called that is about to be forgotten, also for a merchant who objects; `None` where nothing opens it
    /// any more. Nothing is stored and nobody told. Needs [`Setting::GMAIL`].
    ///
    /// # Errors
    /// Transient while Google does not answer.
    pub async fn last_mail_access(
        &self,
        installation: &Installation,
        tokens: &MailTokens,
    ) -> Result<Option<MailboxAccess>, HostError> {
        let grant = grant_of(tokens);
        if !grant.access.is_due(self.now()) {
            return Ok(Some(grant.access));
        }
        match self.renewed(&self.google_for(installation).await?.releasing(), &grant).await? {
            Ok(renewed) => Ok(Some(renewed.access)),
            Err(GrantError::Ended) => Ok(None),
            Err(GrantError::Client(error)) => Err(HostError::Google(error)),
        }
    }

    /// Has mailboxes ended that were marked with their installation: Google's access is given back while there are tokens to do it
    /// with. Should a message be lost, the sweep sends another. Needs [`Setting::SyncMailboxQueueUrl`].
    ///
    /// # Errors
    /// What the queue failed with.
    pub async fn end_mailboxes(&self, tenant: &Tenant, mailboxes: Vec<RecordRef>) -> Result<(), HostError> {
        let why = SyncWhy::Ended;
        let orders = mailboxes.into_iter().map(|mailbox| SyncOrder { tenant: tenant.clone(), mailbox, why });
        let orders: Vec<SyncOrder> = orders.collect();
        let sent = orders.iter().map(|order| self.send(Queue::SyncMailbox, order, Duration::ZERO));
        try_join_all(sent).await.map(drop)
    }

    /// Has every mailbox of a shop ended whose merchant objects to Google, as if each was disconnected. Should this stop half-way,
    /// objecting again goes on, and whoever works on a mailbox next finds the objection. Needs [`Setting::SyncMailboxQueueUrl`].
    ///
    /// # Errors
    /// What the store or the queue failed with.
    pub async fn end_every_mailbox(&self, installation: &Installation) -> Result<(), HostError> {
        let store = self.store().await?;
        let mailboxes = store.mailboxes(installation).await?;
        let mailboxes: Vec<RecordRef> = mailboxes.into_iter().map(|mailbox| mailbox.reference).collect();
        for mailbox in &mailboxes {
            // One that is gone by now was ended by somebody else.
            let _known = store.end_mailbox(installation, mailbox).await?;
        }
        self.end_mailboxes(&installation.tenant, mailboxes).await
    }

    /// Notes that Google does not let us into a mailbox any more, and has its merchant told.
    ///
    /// # Errors
    /// What the queue or the store failed with.
    pub async fn lose_mailbox(
        &self,
        installation: &Installation,
        mailbox: &Mailbox,
    ) -> Result<MailAccess, HostError> {
        let what = Happened::MailboxLost { connected_at: mailbox.connected_at, lost_at: self.now() };
        let notice = Notice { tenant: installation.tenant.clone(), case: mailbox.reference.clone(), what };
        // Before it is stored: once it is, nobody looks at the mailbox any more.
        self.send(Queue::NotifyMerchant, &notice, LOSS_IS_STORED).await?;
        let lost = self.store().await?.mailbox_lost(installation, mailbox).await?;
        if !lost {
            return Ok(MailAccess::Overtaken);
        }
        tracing::warn!(mailbox = %mailbox.reference, "a mailbox was lost: Google does not renew its tokens");
        Ok(MailAccess::Lost)
    }
}
