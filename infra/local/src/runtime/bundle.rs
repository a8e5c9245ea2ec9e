//! Starting everything at once: cloud, secrets, template, functions, Shopify. What a shop contains and what
//! is printed is the program's.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use storeward_core::time::{Clock, ManualClock, SystemClock, Timestamp};

use super::functions::{DeployedFunctions, FunctionsError};
use super::{LocalStack, StackError};
use crate::claude;
use crate::cloud::kms::{Kms, KmsError};
use crate::cloud::{Cloud, CloudError};
use crate::google::{self, Google};
use crate::issuer;
use crate::resend;
use crate::shopify::oauth::AppCredentials;
use crate::shopify::{SchemaError, Shopify};
use crate::template::{Template, TemplateError};

/// The app's client id in the local run: visibly no real one.
pub const CLIENT_ID: &str = "test-client-id";

/// Whom mail comes from on this machine.
const MAIL_FROM: &str = "Storeward <alerts@storeward.example.com>";

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The text of `template.yaml`.
    pub template: String,
    /// The Shopify client secrets that webhooks are accepted under, the current one first.
    pub client_secrets: Vec<String>,
    /// Where and when it runs.
    pub keep: Keep,
    /// What else a deployment sets in the template, by parameter: how long things are kept.
    pub parameters: BTreeMap<String, String>,
}

/// Whether anything outlives the process, and whose time it is.
#[derive(Clone, Debug)]
pub enum Keep {
    /// Nothing does, and the clock starts here and can be moved.
    Nothing {
        /// The first time the clock shows.
        from: Timestamp,
    },
    /// Tables, schedules and keys live in this directory, on the machine's time.
    In(PathBuf),
}

/// Why the bundle could not be started.
#[derive(Debug)]
pub enum BundleError {
    /// The cloud.
    Cloud(CloudError),
    /// The secrets.
    Secret(KmsError),
    /// The file of the deployment key.
    File(std::io::Error),
    /// The template.
    Template(TemplateError),
    /// The functions.
    Functions(FunctionsError),
    /// The simulated Shopify.
    Shopify(SchemaError),
    /// The resources of the template.
    Stack(StackError),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cloud(error) => error.fmt(f),
            Self::Secret(error) => error.fmt(f),
            Self::File(error) => write!(f, "the deployment key cannot be kept: {error}"),
            Self::Template(error) => error.fmt(f),
            Self::Functions(error) => error.fmt(f),
            Self::Shopify(error) => error.fmt(f),
            Self::Stack(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BundleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Cloud(error) => error,
            Self::Secret(error) => error,
            Self::File(error) => error,
            Self::Template(error) => error,
            Self::Functions(error) => error,
            Self::Shopify(error) => error,
            Self::Stack(error) => error,
        })
    }
}

/// The bundle, started.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Everything that runs.
    pub stack: LocalStack,
    /// The functions and what they work with, for whoever fills a demo shop through the same store.
    pub functions: Arc<DeployedFunctions>,
}

impl Bundle {
    /// Starts everything, to be served at `port` on loopback: bind the listener first, then give it to
    /// [`LocalStack::run`]. A function's first use of AWS goes to that port, so it must be served by then.
    pub async fn start(options: Options, port: u16) -> Result<Self, BundleError> {
        let (cloud, hand) = match &options.keep {
            Keep::Nothing { from } => {
                let hand = ManualClock::new(*from);
                let cloud = Cloud::memory_at(Arc::new(hand.clone()), port).map_err(BundleError::Cloud)?;
                (cloud, Some(hand))
            }
            Keep::In(directory) => {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                (Cloud::open_at(directory, clock, port).map_err(BundleError::Cloud)?, None)
            }
        };
        let deployment_key = deployment_key(cloud.kms(), &options.keep)?;
        let secrets = json!({ "client_secrets": options.client_secrets }).to_string();
        let secrets = cloud
            .kms()
            .seal_setting(secrets.as_bytes(), &[("purpose", "shopify")])
            .map_err(BundleError::Secret)?;
        let app_url = format!("http://127.0.0.1:{port}");
        let resend_key = cloud
            .kms()
            .seal_setting(resend::KEY.as_bytes(), &[("purpose", "resend")])
            .map_err(BundleError::Secret)?;
        let google_secrets = cloud
            .kms()
            .seal_setting(Google::secrets().to_string().as_bytes(), &[("purpose", "google")])
            .map_err(BundleError::Secret)?;
        let anthropic_key = cloud
            .kms()
            .seal_setting(claude::KEY.as_bytes(), &[("purpose", "anthropic")])
            .map_err(BundleError::Secret)?;
        let mut parameters = BTreeMap::from([
            ("Stage".to_owned(), "development".to_owned()),
            ("DeploymentKeyCiphertext".to_owned(), deployment_key),
            ("ShopifySecretsCiphertext".to_owned(), secrets),
            ("ShopifyClientId".to_owned(), CLIENT_ID.to_owned()),
            ("AppUrl".to_owned(), app_url.clone()),
            ("ResendKeyCiphertext".to_owned(), resend_key),
            ("MailFrom".to_owned(), MAIL_FROM.to_owned()),
            ("GoogleSecretsCiphertext".to_owned(), google_secrets),
            ("GoogleTopic".to_owned(), google::TOPIC.to_owned()),
            ("PushAudience".to_owned(), google::PUSH_AUDIENCE.to_owned()),
            ("PushServiceAccount".to_owned(), google::PUSH_SERVICE_ACCOUNT.to_owned()),
            ("AnthropicKeyCiphertext".to_owned(), anthropic_key),
            ("OperatorIssuer".to_owned(), issuer::name(port)),
            ("OperatorAudience".to_owned(), issuer::AUDIENCE.to_owned()),
            ("OperatorRoleClaim".to_owned(), issuer::ROLE_CLAIM.to_owned()),
        ]);
        parameters.extend(options.parameters);
        let template =
            Template::parse(&options.template, &parameters, port).map_err(BundleError::Template)?;
        let functions =
            Arc::new(DeployedFunctions::new(&template, port, cloud.clock()).map_err(BundleError::Functions)?);
        let shopify = Shopify::new(cloud.clock().clone()).map_err(BundleError::Shopify)?;
        shopify.set_app(AppCredentials {
            client_id: CLIENT_ID.to_owned(),
            client_secrets: options.client_secrets,
            redirect_urls: vec![format!("{app_url}/auth/callback")],
        });
        let stack = LocalStack::start(cloud, shopify, template, functions.clone(), hand)
            .await
            .map_err(BundleError::Stack)?;
        Ok(Self { stack, functions })
    }
}

/// The deployment key as a function's setting holds it: made once, and kept where everything is kept that it
/// opens.
fn deployment_key(kms: &Kms, keep: &Keep) -> Result<String, BundleError> {
    let file = match keep {
        Keep::Nothing { .. } => None,
        Keep::In(directory) => Some(directory.join("deployment-key.sealed")),
    };
    if let Some(file) = &file {
        match std::fs::read_to_string(file) {
            Ok(sealed) => return Ok(sealed),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(BundleError::File(error)),
        }
    }
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).map_err(|_| BundleError::Secret(KmsError::Randomness))?;
    let plain = json!({ "id": "1", "key": STANDARD.encode(key) }).to_string();
    let sealed =
        kms.seal_setting(plain.as_bytes(), &[("purpose", "deployment")]).map_err(BundleError::Secret)?;
    if let Some(file) = &file {
        std::fs::write(file, &sealed).map_err(BundleError::File)?;
    }
    Ok(sealed)
}
