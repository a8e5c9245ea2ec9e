//! How AWS is reached: one HTTP client with one TLS stack, retries and time-outs that fit a webhook's budget,
//! and endpoints that the local run and the tests put in place of AWS. The only place that makes SDK clients.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use storeward_core::egress::Register;
use storeward_core::time::{Clock, SystemClock};
use storeward_store::{Entropy, SystemEntropy};

/// What every function of one process shares: the way to AWS, the clock and the randomness.
#[derive(Clone, Debug)]
pub struct Connections {
    pub(crate) aws: SdkConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) register: Register,
}

/// A webhook has 5 s in all: one try must end early enough for a second.
const TRY: Duration = Duration::from_millis(1500);
const ALL_TRIES: Duration = Duration::from_millis(3500);

impl Connections {
    /// The connections of a deployed function: region and credentials from the environment that Lambda sets, the
    /// machine's clock and randomness.
    pub async fn deployed() -> Self {
        let aws = aws_config::defaults(BehaviorVersion::latest())
            .http_client(Self::http_client())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder().operation_attempt_timeout(TRY).operation_timeout(ALL_TRIES).build(),
            )
            .load()
            .await;
        Self {
            aws,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy::new()),
            register: Register::CURRENT,
        }
    }

    /// Connections to what stands in for AWS at `endpoint`, with visibly false credentials.
    #[must_use]
    pub fn local(
        endpoint: &str,
        http_client: SharedHttpClient,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let credentials =
            aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "storeward-local");
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(credentials))
            .endpoint_url(endpoint)
            .http_client(http_client)
            .sleep_impl(TokioSleep::new())
            // What stands in for AWS fails on purpose: the code under test must see it, not the SDK's retries.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .build();
        Self { aws, clock, entropy, register: Register::CURRENT }
    }

    /// The same with another register of sub-processors: what tests know changes by that are pending in none.
    #[must_use]
    pub const fn with_register(mut self, register: Register) -> Self {
        self.register = register;
        self
    }

    /// The HTTP client all AWS calls go through: rustls with ring, because aws-lc costs about 55 ms of CPU at the
    /// first handshake (docs/decisions/0003).
    #[must_use]
    pub fn http_client() -> SharedHttpClient {
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that makes SDK clients")]
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.aws)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that makes SDK clients")]
    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.aws)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that makes SDK clients")]
    pub(crate) fn scheduler(&self) -> aws_sdk_scheduler::Client {
        aws_sdk_scheduler::Client::new(&self.aws)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that makes SDK clients")]
    pub(crate) fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.aws)
    }
}
