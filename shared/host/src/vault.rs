//! The vault: where the ledger's sealed days are put once and can be rewritten by nobody, an S3 bucket under Object Lock,
//! and the KMS key that signs them. Two requests of S3's plain wire, signed with what the SDKs bring along: the SDK of S3
//! would be the largest of all in the artifact (docs/decisions/0020). What is sealed is `core::ledger`'s.

use std::convert::Infallible;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use storeward_core::ledger::seal::{Day, SealedDay, statement};

use crate::context::{Context, HostError};
use crate::settings::Setting;

/// How long one request may take.
const LONGEST: Duration = Duration::from_secs(10);

/// What came of putting a sealed day into the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Done,
    /// The day was sealed before, and that stands.
    WasThere,
}

/// What S3 answered.
#[derive(Debug)]
struct Answered {
    status: u16,
    body: Vec<u8>,
}

fn failed(operation: &'static str, code: impl Into<String>) -> HostError {
    HostError::Aws { operation, code: code.into() }
}

fn object_of(day: &str) -> String {
    format!("ledger/{day}.json")
}

impl Context {
    /// Signs a day of the ledger. Needs [`Setting::RootsKey`].
    pub async fn seal_day(&self, day: &Day) -> Result<SealedDay, HostError> {
        let unwritable = |_| failed("KMS Sign", "unwritable document");
        let document = serde_json::to_string(day).map_err(unwritable)?;
        let key = self.settings.get(Setting::RootsKey)?;
        let signed = self
            .kms()
            .await
            .sign()
            .key_id(key)
            .message(Blob::new(statement(&document)))
            .message_type(MessageType::Raw)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send()
            .await
            .map_err(|error| HostError::aws("KMS Sign", &error))?;
        let signature = signed.signature.ok_or(HostError::Secret("KMS gave no signature"))?;
        let key = signed.key_id.unwrap_or_else(|| key.to_owned());
        Ok(SealedDay { document, signature: STANDARD.encode(signature), key })
    }

    /// Puts a sealed day into the vault, unless the day is there. Needs [`Setting::RootsBucket`].
    pub async fn put_sealed(&self, day: &str, sealed: &SealedDay) -> Result<Put, HostError> {
        let body = serde_json::to_vec(sealed).map_err(|_| failed("S3 PutObject", "unwritable document"))?;
        let answered = self.s3("PUT", "S3 PutObject", &object_of(day), body).await?;
        match answered.status {
            200 => Ok(Put::Done),
            // 409: somebody else is putting it at this moment, and has put it when we look again.
            409 | 412 => Ok(Put::WasThere),
            status => Err(failed("S3 PutObject", status.to_string())),
        }
    }

    /// A sealed day out of the vault. Needs [`Setting::RootsBucket`].
    ///
    /// # Errors
    /// Also when what is there is not a sealed day.
    pub async fn sealed(&self, day: &str) -> Result<Option<SealedDay>, HostError> {
        let answered = self.s3("GET", "S3 GetObject", &object_of(day), Vec::new()).await?;
        match answered.status {
            200 => serde_json::from_slice(&answered.body)
                .map(Some)
                .map_err(|_| failed("S3 GetObject", "not a sealed day")),
            404 => Ok(None),
            status => Err(failed("S3 GetObject", status.to_string())),
        }
    }

    async fn s3(
        &self,
        method: &'static str,
        operation: &'static str,
        key: &str,
        body: Vec<u8>,
    ) -> Result<Answered, HostError> {
        let aws = &self.connections.aws;
        let lacking = |what: &'static str| move || failed(operation, what);
        let bucket = self.settings.get(Setting::RootsBucket)?;
        let region = aws.region().map(ToString::to_string).ok_or_else(lacking("no region"))?;
        let (base, path) = match aws.endpoint_url() {
            Some(endpoint) => (endpoint.trim_end_matches('/').to_owned(), format!("/{bucket}/{key}")),
            None => (format!("https://{bucket}.s3.{region}.amazonaws.com"), format!("/{key}")),
        };
        let credentials = aws.credentials_provider().ok_or_else(lacking("no credentials"))?;
        let credentials =
            credentials.provide_credentials().await.map_err(|_| failed(operation, "no credentials"))?;
        let mut request = http::Request::builder().method(method).uri(format!("{base}{path}"));
        if method == "PUT" {
            // Once: a day that was sealed stands. The checksum is what a bucket with Object Lock asks for.
            let checksum = STANDARD.encode(digest(&SHA256, &body));
            request = request.header("if-none-match", "*").header("x-amz-checksum-sha256", checksum);
            request = request.header("content-type", "application/json");
        }
        let unbuildable = || failed(operation, "request could not be built");
        let mut request = request.body(SdkBody::from(body.clone())).map_err(|_| unbuildable())?;
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let since_epoch = u64::try_from(self.now().millis()).map_err(|_| unbuildable())?;
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name("s3")
            .time(UNIX_EPOCH + Duration::from_millis(since_epoch))
            .settings(settings)
            .build()
            .map_err(|_| unbuildable())?
            .into();
        let uri = request.uri().to_string();
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signable = SignableRequest::new(method, uri, headers, SignableBody::Bytes(&body));
        let signed = signable.and_then(|signable| sign(signable, &parameters)).map_err(|_| unbuildable())?;
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        *request.uri_mut() = path.parse().map_err(|_| unbuildable())?;
        let client = aws.http_client().ok_or_else(lacking("no HTTP client"))?;
        let mut calling = Operation::builder()
            .service_name("s3")
            .operation_name(operation)
            .http_client(client)
            .endpoint_url(&base)
            .no_auth()
            // The schedule tries again.
            .no_retry()
            .timeout_config(TimeoutConfig::builder().operation_timeout(LONGEST).build());
        if let Some(sleep) = aws.sleep_impl() {
            calling = calling.sleep_impl(sleep);
        }
        let calling = calling
            .serializer(|request: http::Request<SdkBody>| Ok(HttpRequest::try_from(request)?))
            .deserializer::<_, Infallible>(|response| {
                let body = response.body().bytes().unwrap_or_default().to_vec();
                Ok(Answered { status: response.status().as_u16(), body })
            })
            .build();
        calling.invoke(request).await.map_err(|_| failed(operation, "no answer"))
    }
}
