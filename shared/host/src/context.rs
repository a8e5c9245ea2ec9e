//! What a handler is given: the store, the queues, the schedules, the outside world. Each is made when it is
//! first used, so that a function's cold start pays for nothing it does not need.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::Serialize;
use storeward_clients::ClientError;
use storeward_clients::claude::Claude;
use storeward_clients::gmail::Gmail;
use storeward_clients::google::Google;
use storeward_clients::issuer::KeyCache;
use storeward_clients::resend::Resend;
use storeward_clients::shopify::Shopify;
use storeward_core::data_map::{Kind, Processor};
use storeward_core::egress::{Categories, Declaration, Refusal, Register, Use};
use storeward_core::shop::Tenant;
use storeward_core::time::{Clock, Timestamp};
use storeward_store::{Installation, Store, StoreError};
use tokio::sync::OnceCell;

use crate::connections::Connections;
use crate::job::PurgeOrder;
use crate::secrets::{self, GoogleSecrets, ShopifySecrets};
use crate::settings::{Setting, Settings, SettingsError};

/// Why the host could not do what a handler asked for. Carries no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// AWS did not answer, or said no for now.
    Aws {
        /// Which operation.
        operation: &'static str,
        /// The error code, or how the call failed.
        code: String,
    },
    /// The store.
    Store(StoreError),
    /// Shopify.
    Shopify(ClientError),
    /// The issuer of operators' tokens.
    Issuer(ClientError),
    /// Google.
    Google(ClientError),
    /// The merchant did not grant these scopes, which the app cannot do without.
    ScopesLacking(Vec<String>),
    /// A secret cannot be used.
    Secret(&'static str),
    /// A setting is missing.
    Settings(SettingsError),
}

impl HostError {
    pub(crate) fn aws<E: ProvideErrorMetadata, R>(operation: &'static str, error: &SdkError<E, R>) -> Self {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer");
        Self::Aws { operation, code: code.to_owned() }
    }

    /// Whether the same can succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Aws { .. } => true,
            Self::Store(error) => error.is_transient(),
            Self::Shopify(error) | Self::Issuer(error) | Self::Google(error) => error.is_transient(),
            Self::ScopesLacking(_) | Self::Secret(_) | Self::Settings(_) => false,
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws { operation, code } => write!(f, "{operation} failed: {code}; try again"),
            Self::Store(error) => error.fmt(f),
            Self::Shopify(error) => write!(f, "Shopify: {error}"),
            Self::Issuer(error) => write!(f, "the operators' issuer: {error}"),
            Self::Google(error) => write!(f, "Google: {error}"),
            Self::ScopesLacking(scopes) => write!(f, "not granted: {}", scopes.join(", ")),
            Self::Secret(what) => write!(f, "{what}: encrypt it again (docs/operations.md)"),
            Self::Settings(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HostError {}

impl From<StoreError> for HostError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ClientError> for HostError {
    fn from(error: ClientError) -> Self {
        Self::Shopify(error)
    }
}

impl From<SettingsError> for HostError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

/// A queue that references are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Orders to look for duplicates of.
    MatchOrder,
    /// Cases that a merchant is to learn of.
    NotifyMerchant,
    /// People to erase.
    RedactSubject,
    /// Installations to purge.
    PurgeShop,
    /// Accounts to rectify.
    RectifySubject,
    /// People to tell what is stored.
    ExportSubject,
    /// Shops to compare with what Shopify has.
    ReconcileShop,
    /// Installations to go through because a window became shorter.
    ApplyRetention,
    /// Breaches to move on.
    HandleIncident,
    /// Mailboxes to read.
    SyncMailbox,
    /// Mails to understand.
    ClassifyEmail,
    /// Conversations to draft a reply to.
    DraftReply,
    /// Replies to send.
    SendReply,
}

impl Queue {
    /// Whose work a record is that a job is given.
    #[must_use]
    pub const fn of(work: Kind) -> Self {
        match work {
            Kind::Request => Self::RedactSubject,
            Kind::Rectification => Self::RectifySubject,
            Kind::Export => Self::ExportSubject,
            _ => Self::MatchOrder,
        }
    }

    const fn setting(self) -> Setting {
        match self {
            Self::MatchOrder => Setting::MatchOrderQueueUrl,
            Self::NotifyMerchant => Setting::NotifyMerchantQueueUrl,
            Self::RedactSubject => Setting::RedactSubjectQueueUrl,
            Self::PurgeShop => Setting::PurgeShopQueueUrl,
            Self::RectifySubject => Setting::RectifySubjectQueueUrl,
            Self::ExportSubject => Setting::ExportSubjectQueueUrl,
            Self::ReconcileShop => Setting::ReconcileShopQueueUrl,
            Self::ApplyRetention => Setting::ApplyRetentionQueueUrl,
            Self::HandleIncident => Setting::HandleIncidentQueueUrl,
            Self::SyncMailbox => Setting::SyncMailboxQueueUrl,
            Self::ClassifyEmail => Setting::ClassifyEmailQueueUrl,
            Self::DraftReply => Setting::DraftReplyQueueUrl,
            Self::SendReply => Setting::SendReplyQueueUrl,
        }
    }
}

/// SQS delays a message for 15 minutes at most.
const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// What one function works with. Made once for each instance.
pub struct Context {
    pub(crate) settings: Settings,
    pub(crate) connections: Connections,
    kms: OnceCell<aws_sdk_kms::Client>,
    sqs: OnceCell<aws_sdk_sqs::Client>,
    store: OnceCell<Store>,
    shopify_secrets: OnceCell<ShopifySecrets>,
    shopify: OnceCell<Shopify>,
    resend: OnceCell<Resend>,
    claude: OnceCell<Option<Claude>>,
    google_secrets: OnceCell<GoogleSecrets>,
    google: OnceCell<Google>,
    gmail: OnceCell<Gmail>,
    pub(crate) operator_keys: KeyCache,
    pub(crate) google_keys: KeyCache,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Context {
    /// A context; nothing is connected yet.
    #[must_use]
    pub fn new(settings: Settings, connections: Connections) -> Self {
        Self {
            settings,
            connections,
            kms: OnceCell::new(),
            sqs: OnceCell::new(),
            store: OnceCell::new(),
            shopify_secrets: OnceCell::new(),
            shopify: OnceCell::new(),
            resend: OnceCell::new(),
            claude: OnceCell::new(),
            google_secrets: OnceCell::new(),
            google: OnceCell::new(),
            gmail: OnceCell::new(),
            operator_keys: KeyCache::default(),
            google_keys: KeyCache::default(),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.connections.clock.now()
    }

    pub(crate) async fn kms(&self) -> &aws_sdk_kms::Client {
        self.kms.get_or_init(|| async { self.connections.kms() }).await
    }

    /// The store. The first call decrypts the deployment key.
    pub async fn store(&self) -> Result<&Store, HostError> {
        self.store
            .get_or_try_init(|| async {
                let ciphertext = self.settings.get(Setting::DeploymentKey)?;
                let plain = zeroized(secrets::decrypt(self.kms().await, ciphertext, "deployment").await?);
                let store = Store::new(
                    self.connections.dynamodb(),
                    self.settings.tables()?,
                    secrets::deployment_key(&plain)?,
                    Arc::clone(&self.connections.clock),
                    Arc::clone(&self.connections.entropy),
                );
                Ok(store.keeping(self.settings.retention()?))
            })
            .await
    }

    pub(crate) async fn shopify_secrets(&self) -> Result<&ShopifySecrets, HostError> {
        self.shopify_secrets
            .get_or_try_init(|| async {
                let ciphertext = self.settings.get(Setting::ShopifySecrets)?;
                let plain = zeroized(secrets::decrypt(self.kms().await, ciphertext, "shopify").await?);
                secrets::shopify_secrets(&plain)
            })
            .await
    }

    /// The sub-processors that may be used, and for what.
    #[must_use]
    pub const fn register(&self) -> &Register {
        &self.connections.register
    }

    /// Whether something of these categories may be sent for a merchant now: asked before work begins whose result could
    /// not be sent. The gate in the clients asks again, of what is really sent.
    ///
    /// # Errors
    /// Why not.
    pub fn permitted(
        &self,
        installation: &Installation,
        processor: Processor,
        purpose: Use,
        categories: Categories,
    ) -> Result<(), Refusal> {
        let call = Declaration { processor, purpose, categories };
        self.register().permits(call, &installation.stance(), self.now())
    }

    /// The client for the Admin API, before it is known whom it is for. [`Context::shopify_for`] is for all else.
    pub async fn shopify(&self) -> Result<&Shopify, HostError> {
        self.shopify
            .get_or_try_init(|| async {
                let endpoint = self.settings.get(Setting::ShopifyEndpoint)?;
                let clock: Arc<dyn Clock> = Arc::clone(&self.connections.clock);
                Shopify::new(endpoint, *self.register(), clock)
                    .map_err(|_| HostError::Secret("no TLS roots for outgoing calls"))
            })
            .await
    }

    /// The client for the Admin API, for a merchant: what it was told of and objects to counts.
    pub async fn shopify_for(&self, installation: &Installation) -> Result<Shopify, HostError> {
        Ok(self.shopify().await?.of(installation.stance()))
    }

    /// The client for platform mail, for a merchant. The first call decrypts its key.
    pub async fn resend_for(&self, installation: &Installation) -> Result<Resend, HostError> {
        let resend = self.resend.get_or_try_init(|| async {
            let ciphertext = self.settings.get(Setting::ResendKey)?;
            let plain = zeroized(secrets::decrypt(self.kms().await, ciphertext, "resend").await?);
            let (endpoint, key) = (self.settings.get(Setting::ResendEndpoint)?, secrets::resend_key(&plain)?);
            let clock: Arc<dyn Clock> = Arc::clone(&self.connections.clock);
            Resend::new(endpoint, key, *self.register(), clock)
                .map_err(|_| HostError::Secret("no TLS roots for outgoing calls"))
        });
        Ok(resend.await?.of(installation.stance()))
    }

    /// The client for Claude, for a merchant; `None` where the deployment has no key for it. The first call decrypts the key.
    pub async fn claude_for(&self, installation: &Installation) -> Result<Option<Claude>, HostError> {
        let claude = self.claude.get_or_try_init(|| async {
            let ciphertext = self.settings.get(Setting::AnthropicKey)?;
            if ciphertext.is_empty() {
                return Ok::<_, HostError>(None);
            }
            let plain = zeroized(secrets::decrypt(self.kms().await, ciphertext, "anthropic").await?);
            let (endpoint, key) =
                (self.settings.get(Setting::AnthropicEndpoint)?, secrets::anthropic_key(&plain)?);
            let clock: Arc<dyn Clock> = Arc::clone(&self.connections.clock);
            let claude = Claude::new(endpoint, key, *self.register(), clock);
            Ok(Some(claude.map_err(|_| HostError::Secret("no TLS roots for outgoing calls"))?))
        });
        Ok(claude.await?.as_ref().map(|claude| claude.of(installation.stance())))
    }

    pub(crate) async fn google_secrets(&self) -> Result<&GoogleSecrets, HostError> {
        self.google_secrets
            .get_or_try_init(|| async {
                let ciphertext = self.settings.get(Setting::GoogleSecrets)?;
                let plain = zeroized(secrets::decrypt(self.kms().await, ciphertext, "google").await?);
                secrets::google_secrets(&plain)
            })
            .await
    }

    /// The client for consents at Google, for a merchant.
    pub async fn google_for(&self, installation: &Installation) -> Result<Google, HostError> {
        let google = self.google.get_or_try_init(|| async {
            let endpoint = self.settings.get(Setting::GoogleTokenUrl)?;
            let clock: Arc<dyn Clock> = Arc::clone(&self.connections.clock);
            Google::new(endpoint, *self.register(), clock)
                .map_err(|_| HostError::Secret("no TLS roots for outgoing calls"))
        });
        Ok(google.await?.of(installation.stance()))
    }

    /// The client for Gmail, for a merchant.
    pub async fn gmail_for(&self, installation: &Installation) -> Result<Gmail, HostError> {
        let gmail = self.gmail.get_or_try_init(|| async {
            let endpoint = self.settings.get(Setting::GmailEndpoint)?;
            let clock: Arc<dyn Clock> = Arc::clone(&self.connections.clock);
            Gmail::new(endpoint, *self.register(), clock)
                .map_err(|_| HostError::Secret("no TLS roots for outgoing calls"))
        });
        Ok(gmail.await?.of(installation.stance()))
    }

    /// A setting that the function said it needs.
    pub fn setting(&self, setting: Setting) -> Result<&str, HostError> {
        Ok(self.settings.get(setting)?)
    }

    /// Puts a reference on a queue, to be worked on after `delay` (at most 15 minutes; longer ones are cut to that,
    /// and whoever gets the message looks at the time).
    pub async fn send<T: Serialize + Sync>(
        &self,
        queue: Queue,
        message: &T,
        delay: Duration,
    ) -> Result<(), HostError> {
        let url = self.settings.get(queue.setting())?;
        let body = serde_json::to_string(message).map_err(|_| HostError::Aws {
            operation: "SendMessage",
            code: "unwritable message".to_owned(),
        })?;
        let seconds = delay.min(LONGEST_DELAY).as_secs();
        let client = self.sqs.get_or_init(|| async { self.connections.sqs() }).await;
        client
            .send_message()
            .queue_url(url)
            .message_body(body)
            .set_delay_seconds(i32::try_from(seconds).ok().filter(|seconds| *seconds > 0))
            .send()
            .await
            .map_err(|error| HostError::aws("SendMessage", &error))?;
        Ok(())
    }

    /// Schedules the purge of an installation. A schedule is named by the installation: asking twice makes one.
    pub async fn schedule_purge(&self, tenant: &Tenant, at: Timestamp, why: &str) -> Result<(), HostError> {
        let unbuildable = |_| HostError::Aws { operation: "CreateSchedule", code: "unwritable".to_owned() };
        let order = PurgeOrder { tenant: tenant.clone(), why: why.to_owned() };
        let input = serde_json::to_string(&order)
            .map_err(|_| HostError::Aws { operation: "CreateSchedule", code: "unwritable".to_owned() })?;
        let target = Target::builder()
            .arn(self.settings.get(Setting::PurgeShopQueueArn)?)
            .role_arn(self.settings.get(Setting::ScheduleRoleArn)?)
            .input(input)
            // After an hour the sweep's due row takes over: the default of 24 hours would break the promise of 48.
            .retry_policy(RetryPolicy::builder().maximum_event_age_in_seconds(3600).build())
            .build()
            .map_err(unbuildable)?;
        let exactly =
            FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().map_err(unbuildable)?;
        let name = format!("purge-{}-{}", tenant.shop, tenant.generation);
        let whole_seconds = Timestamp::from_seconds(at.seconds()).to_rfc3339();
        let sent = self
            .connections
            .scheduler()
            .create_schedule()
            .group_name(self.settings.get(Setting::ScheduleGroup)?)
            // The token makes a repetition of the same request the same schedule.
            .client_token(&name)
            .name(&name)
            .schedule_expression(format!("at({})", whole_seconds.trim_end_matches('Z')))
            .schedule_expression_timezone("UTC")
            .action_after_completion(ActionAfterCompletion::Delete)
            .flexible_time_window(exactly)
            .target(target)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            // Scheduled before, for the earlier time.
            Err(error)
                if error.as_service_error().is_some_and(CreateScheduleError::is_conflict_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(HostError::aws("CreateSchedule", &error)),
        }
    }
}

fn zeroized(plain: Vec<u8>) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(plain)
}
