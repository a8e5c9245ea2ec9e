//! Every setting a function can have, where it comes from and what it must look like. Each function names the
//! ones it needs and gets no other; a missing one stops it at the start, with its name.

use std::collections::BTreeMap;
use std::fmt;

use storeward_core::retention::{Deployment, RetentionError};
use storeward_store::TableNames;

/// A setting: an environment variable of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// The table of records.
    DataTable,
    /// The table of wrapped keys.
    KeysTable,
    /// The table of ledger entries and tombstones.
    LedgerTable,
    /// The deployment key as KMS encrypted it, base64.
    DeploymentKey,
    /// The app's client secrets as KMS encrypted them, base64.
    ShopifySecrets,
    /// The app's client id, as the Partner Dashboard shows it.
    ShopifyClientId,
    /// What a merchant must let the app do: access scopes, separated by commas.
    ShopifyScopes,
    /// Where a browser reaches the app, without a slash at the end: `/auth` and `/auth/callback` are below it.
    AppUrl,
    /// The URL of the queue of `match-order`.
    MatchOrderQueueUrl,
    /// The URL of the queue of `notify-merchant`.
    NotifyMerchantQueueUrl,
    /// The URL of the queue of `redact-subject`.
    RedactSubjectQueueUrl,
    /// The URL of the queue of `rectify-subject`.
    RectifySubjectQueueUrl,
    /// The URL of the queue of `export-subject`.
    ExportSubjectQueueUrl,
    /// The URL of the queue of `purge-shop`.
    PurgeShopQueueUrl,
    /// The URL of the queue of `reconcile-shop`.
    ReconcileShopQueueUrl,
    /// The URL of the queue of `apply-retention`.
    ApplyRetentionQueueUrl,
    /// The URL of the queue of `handle-incident`.
    HandleIncidentQueueUrl,
    /// The ARN of the queue of `purge-shop`: what a schedule sends to.
    PurgeShopQueueArn,
    /// The group that schedules are made in.
    ScheduleGroup,
    /// The role that schedules send with.
    ScheduleRoleArn,
    /// Where the Admin API is; `{shop}` stands for the shop's domain.
    ShopifyEndpoint,
    /// The API key of Resend as KMS encrypted it, base64.
    ResendKey,
    /// Where Resend is.
    ResendEndpoint,
    /// Whom platform mail comes from: an address of a domain that is verified with Resend.
    MailFrom,
    /// Where a merchant opens the app; `{shop}` stands for the shop's domain.
    AdminAppUrl,
    /// The bucket that the ledger's sealed days are put into.
    RootsBucket,
    /// The key of KMS that signs them.
    RootsKey,
    /// The `OpenID` Connect issuer of operators' tokens, exactly as it names itself.
    OperatorIssuer,
    /// Whom operators' tokens are made for: the client's id at the issuer, or the API's name there.
    OperatorAudience,
    /// The claim of a token that holds the operator's role.
    OperatorRoleClaim,
    /// Who makes sure of a second factor: `issuer`, which lets nobody in without one, or `claim`: the token must say so.
    OperatorMfa,
    /// Which preset says how long things are kept: `strictest`, `duplicate-guard`, `bot-guard` or `mail-desk`.
    RetentionPreset,
    /// What is kept for a shorter time than the preset says: `order=45,case=200`, in days.
    RetentionDays,
    /// The URL of the queue of `sync-mailbox`.
    SyncMailboxQueueUrl,
    /// The URL of the queue of `classify-email`.
    ClassifyEmailQueueUrl,
    /// The URL of the queue of `draft-reply`.
    DraftReplyQueueUrl,
    /// The URL of the queue of `send-reply`.
    SendReplyQueueUrl,
    /// The app's client id and secret at Google as KMS encrypted them, base64.
    GoogleSecrets,
    /// The Pub/Sub topic that Gmail tells of new mail: `projects/P/topics/T`.
    GoogleTopic,
    /// Whom the tokens of Pub/Sub's pushes are made for, exactly as the subscription says.
    PushAudience,
    /// The service account in whose name Pub/Sub pushes: its address.
    PushServiceAccount,
    /// Where a merchant consents at Google.
    GoogleAuthUrl,
    /// Where Google gives and revokes tokens: `/token` and `/revoke` are below it.
    GoogleTokenUrl,
    /// Where Gmail is.
    GmailEndpoint,
    /// Where Google publishes the keys that it signs pushes with.
    GoogleKeysUrl,
    /// The API key of Anthropic as KMS encrypted it, base64; empty where Claude is not used.
    AnthropicKey,
    /// Where Claude is.
    AnthropicEndpoint,
    /// What is logged, as `tracing-subscriber` filters read it.
    Log,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 48] = [
        Self::DataTable,
        Self::KeysTable,
        Self::LedgerTable,
        Self::DeploymentKey,
        Self::ShopifySecrets,
        Self::ShopifyClientId,
        Self::ShopifyScopes,
        Self::AppUrl,
        Self::MatchOrderQueueUrl,
        Self::NotifyMerchantQueueUrl,
        Self::RedactSubjectQueueUrl,
        Self::RectifySubjectQueueUrl,
        Self::ExportSubjectQueueUrl,
        Self::PurgeShopQueueUrl,
        Self::ReconcileShopQueueUrl,
        Self::ApplyRetentionQueueUrl,
        Self::HandleIncidentQueueUrl,
        Self::PurgeShopQueueArn,
        Self::ScheduleGroup,
        Self::ScheduleRoleArn,
        Self::ShopifyEndpoint,
        Self::ResendKey,
        Self::ResendEndpoint,
        Self::MailFrom,
        Self::AdminAppUrl,
        Self::RootsBucket,
        Self::RootsKey,
        Self::OperatorIssuer,
        Self::OperatorAudience,
        Self::OperatorRoleClaim,
        Self::OperatorMfa,
        Self::RetentionPreset,
        Self::RetentionDays,
        Self::SyncMailboxQueueUrl,
        Self::ClassifyEmailQueueUrl,
        Self::DraftReplyQueueUrl,
        Self::SendReplyQueueUrl,
        Self::GoogleSecrets,
        Self::GoogleTopic,
        Self::PushAudience,
        Self::PushServiceAccount,
        Self::GoogleAuthUrl,
        Self::GoogleTokenUrl,
        Self::GmailEndpoint,
        Self::GoogleKeysUrl,
        Self::AnthropicKey,
        Self::AnthropicEndpoint,
        Self::Log,
    ];

    /// What every function needs that uses the store.
    pub const STORE: [Self; 6] = [
        Self::DataTable,
        Self::KeysTable,
        Self::LedgerTable,
        Self::DeploymentKey,
        Self::RetentionPreset,
        Self::RetentionDays,
    ];

    /// What every function needs that calls a shop's Admin API: where it is, and what tokens are renewed with.
    pub const ADMIN: [Self; 3] = [Self::ShopifySecrets, Self::ShopifyClientId, Self::ShopifyEndpoint];

    /// What every function needs that calls Gmail: where it is, and what tokens are renewed with.
    pub const GMAIL: [Self; 3] = [Self::GoogleSecrets, Self::GoogleTokenUrl, Self::GmailEndpoint];

    /// What every function needs that may ask Claude.
    pub const CLAUDE: [Self; 2] = [Self::AnthropicKey, Self::AnthropicEndpoint];

    /// What says whose tokens operators come with.
    pub const OPERATORS: [Self; 4] =
        [Self::OperatorIssuer, Self::OperatorAudience, Self::OperatorRoleClaim, Self::OperatorMfa];

    /// The name of its environment variable.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::DataTable => "STOREWARD_DATA_TABLE",
            Self::KeysTable => "STOREWARD_KEYS_TABLE",
            Self::LedgerTable => "STOREWARD_LEDGER_TABLE",
            Self::DeploymentKey => "STOREWARD_DEPLOYMENT_KEY",
            Self::ShopifySecrets => "STOREWARD_SHOPIFY_SECRETS",
            Self::ShopifyClientId => "STOREWARD_SHOPIFY_CLIENT_ID",
            Self::ShopifyScopes => "STOREWARD_SHOPIFY_SCOPES",
            Self::AppUrl => "STOREWARD_APP_URL",
            Self::MatchOrderQueueUrl => "STOREWARD_MATCH_ORDER_QUEUE_URL",
            Self::ExportSubjectQueueUrl => "STOREWARD_EXPORT_SUBJECT_QUEUE_URL",
            Self::RectifySubjectQueueUrl => "STOREWARD_RECTIFY_SUBJECT_QUEUE_URL",
            Self::NotifyMerchantQueueUrl => "STOREWARD_NOTIFY_MERCHANT_QUEUE_URL",
            Self::RedactSubjectQueueUrl => "STOREWARD_REDACT_SUBJECT_QUEUE_URL",
            Self::ReconcileShopQueueUrl => "STOREWARD_RECONCILE_SHOP_QUEUE_URL",
            Self::ApplyRetentionQueueUrl => "STOREWARD_APPLY_RETENTION_QUEUE_URL",
            Self::HandleIncidentQueueUrl => "STOREWARD_HANDLE_INCIDENT_QUEUE_URL",
            Self::PurgeShopQueueUrl => "STOREWARD_PURGE_SHOP_QUEUE_URL",
            Self::PurgeShopQueueArn => "STOREWARD_PURGE_SHOP_QUEUE_ARN",
            Self::ScheduleGroup => "STOREWARD_SCHEDULE_GROUP",
            Self::ScheduleRoleArn => "STOREWARD_SCHEDULE_ROLE_ARN",
            Self::ShopifyEndpoint => "STOREWARD_SHOPIFY_ENDPOINT",
            Self::ResendKey => "STOREWARD_RESEND_KEY",
            Self::ResendEndpoint => "STOREWARD_RESEND_ENDPOINT",
            Self::MailFrom => "STOREWARD_MAIL_FROM",
            Self::AdminAppUrl => "STOREWARD_ADMIN_APP_URL",
            Self::RootsBucket => "STOREWARD_ROOTS_BUCKET",
            Self::RootsKey => "STOREWARD_ROOTS_KEY",
            Self::OperatorIssuer => "STOREWARD_OPERATOR_ISSUER",
            Self::OperatorAudience => "STOREWARD_OPERATOR_AUDIENCE",
            Self::OperatorRoleClaim => "STOREWARD_OPERATOR_ROLE_CLAIM",
            Self::OperatorMfa => "STOREWARD_OPERATOR_MFA",
            Self::RetentionPreset => "STOREWARD_RETENTION_PRESET",
            Self::RetentionDays => "STOREWARD_RETENTION_DAYS",
            Self::SyncMailboxQueueUrl => "STOREWARD_SYNC_MAILBOX_QUEUE_URL",
            Self::ClassifyEmailQueueUrl => "STOREWARD_CLASSIFY_EMAIL_QUEUE_URL",
            Self::DraftReplyQueueUrl => "STOREWARD_DRAFT_REPLY_QUEUE_URL",
            Self::SendReplyQueueUrl => "STOREWARD_SEND_REPLY_QUEUE_URL",
            Self::GoogleSecrets => "STOREWARD_GOOGLE_SECRETS",
            Self::GoogleTopic => "STOREWARD_GOOGLE_TOPIC",
            Self::PushAudience => "STOREWARD_PUSH_AUDIENCE",
            Self::PushServiceAccount => "STOREWARD_PUSH_SERVICE_ACCOUNT",
            Self::GoogleAuthUrl => "STOREWARD_GOOGLE_AUTH_URL",
            Self::GoogleTokenUrl => "STOREWARD_GOOGLE_TOKEN_URL",
            Self::GmailEndpoint => "STOREWARD_GMAIL_ENDPOINT",
            Self::GoogleKeysUrl => "STOREWARD_GOOGLE_KEYS_URL",
            Self::AnthropicKey => "STOREWARD_ANTHROPIC_KEY",
            Self::AnthropicEndpoint => "STOREWARD_ANTHROPIC_ENDPOINT",
            Self::Log => "STOREWARD_LOG",
        }
    }

    /// What it is when nobody sets it; `None` for what must be set.
    #[must_use]
    pub const fn default(self) -> Option<&'static str> {
        match self {
            Self::ShopifyEndpoint => Some("https://{shop}"),
            Self::ResendEndpoint => Some("https://api.resend.com"),
            Self::RetentionPreset => Some("strictest"),
            Self::GoogleAuthUrl => Some("https://accounts.google.com/o/oauth2/v2/auth"),
            Self::GoogleTokenUrl => Some("https://oauth2.googleapis.com"),
            Self::GmailEndpoint => Some("https://gmail.googleapis.com"),
            Self::GoogleKeysUrl => Some("https://www.googleapis.com/oauth2/v3/certs"),
            Self::AnthropicEndpoint => Some("https://api.anthropic.com"),
            Self::RetentionDays | Self::AnthropicKey => Some(""),
            Self::Log => Some("info"),
            _ => None,
        }
    }
}

/// A setting that a function needs is missing, or cannot be what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    missing: Vec<&'static str>,
    retention: Option<RetentionError>,
}

impl SettingsError {
    const fn missing(missing: Vec<&'static str>) -> Self {
        Self { missing, retention: None }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(retention) = &self.retention {
            return write!(
                f,
                "{} and {}: {retention} (docs/operations.md, retention)",
                Setting::RetentionPreset.variable(),
                Setting::RetentionDays.variable()
            );
        }
        write!(f, "set the environment variables {} (see template.yaml)", self.missing.join(", "))
    }
}

impl std::error::Error for SettingsError {}

/// The settings of one function.
#[derive(Clone, Debug)]
pub struct Settings(BTreeMap<Setting, String>);

impl Settings {
    /// Reads the settings in `needs` from the environment of the process.
    ///
    /// # Errors
    /// When one is missing or empty that has no default, or asks for what was not promised.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_environment(needs: &[Setting]) -> Result<Self, SettingsError> {
        Self::from_lookup(needs, &|name| std::env::var(name).ok())
    }

    /// Reads them from anywhere: the local run takes them from `template.yaml`.
    ///
    /// # Errors
    /// When one is missing or empty that has no default, or asks for what was not promised.
    pub fn from_lookup(
        needs: &[Setting],
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let mut values = BTreeMap::new();
        let mut missing = Vec::new();
        for setting in needs {
            let given = lookup(setting.variable()).filter(|value| !value.is_empty());
            match given.or_else(|| setting.default().map(str::to_owned)) {
                Some(value) => {
                    values.insert(*setting, value);
                }
                None => missing.push(setting.variable()),
            }
        }
        if !missing.is_empty() {
            return Err(SettingsError::missing(missing));
        }
        let settings = Self(values);
        if needs.contains(&Setting::RetentionPreset) {
            settings.retention()?;
        }
        Ok(settings)
    }

    /// How long this deployment keeps things. It was read when the settings were: a function does not start with windows
    /// that are longer than promised.
    pub(crate) fn retention(&self) -> Result<Deployment, SettingsError> {
        Deployment::read(self.get(Setting::RetentionPreset)?, self.get(Setting::RetentionDays)?)
            .map_err(|error| SettingsError { missing: Vec::new(), retention: Some(error) })
    }

    /// The value of a setting.
    ///
    /// # Errors
    /// When the function did not say that it needs it.
    pub fn get(&self, setting: Setting) -> Result<&str, SettingsError> {
        self.0
            .get(&setting)
            .map(String::as_str)
            .or_else(|| setting.default())
            .ok_or_else(|| SettingsError::missing(vec![setting.variable()]))
    }

    pub(crate) fn tables(&self) -> Result<TableNames, SettingsError> {
        Ok(TableNames {
            data: self.get(Setting::DataTable)?.to_owned(),
            keys: self.get(Setting::KeysTable)?.to_owned(),
            ledger: self.get(Setting::LedgerTable)?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_all_at_once_and_empty_is_missing() {
        let error = Settings::from_lookup(&Setting::STORE, &|name| {
            (name == "STOREWARD_DATA_TABLE").then(String::new)
        })
        .unwrap_err();
        assert_eq!(error.missing.len(), 4);
        assert!(error.to_string().contains("STOREWARD_KEYS_TABLE"));
    }

    fn keeping(preset: &'static str, days: &'static str) -> Result<Settings, SettingsError> {
        Settings::from_lookup(&Setting::STORE, &|name| {
            Some(match name {
                "STOREWARD_RETENTION_PRESET" => preset.to_owned(),
                "STOREWARD_RETENTION_DAYS" => days.to_owned(),
                other => other.to_owned(),
            })
        })
    }

    #[test]
    fn a_function_does_not_start_with_windows_that_are_longer_than_promised() {
        assert!(keeping("", "").is_ok());
        assert!(keeping("duplicate-guard", "order=60,case=365").is_ok());
        let error = keeping("duplicate-guard", "order=45,case=366").unwrap_err().to_string();
        assert!(error.contains("case: 366 days are asked for, choose 1 to 365"), "{error}");
        assert!(error.contains("STOREWARD_RETENTION_DAYS"), "{error}");
        let error = keeping("forever", "").unwrap_err().to_string();
        assert!(error.contains("strictest, duplicate-guard, bot-guard, mail-desk"), "{error}");
        assert!(keeping("strictest", "tombstone=1").is_err(), "a window that is nobody's choice");
    }

    #[test]
    fn defaults_stand_in_and_others_are_not_given() {
        let settings = Settings::from_lookup(&[Setting::Log], &|_| None).unwrap();
        assert_eq!(settings.get(Setting::Log), Ok("info"));
        assert!(settings.get(Setting::DataTable).is_err());
    }
}
