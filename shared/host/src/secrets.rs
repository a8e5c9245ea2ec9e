//! Secrets: KMS ciphertexts in the environment, decrypted once for each Lambda instance. The encryption context
//! names the purpose, so that a function's role can be held to the secrets it needs.

use std::collections::HashMap;

use aws_sdk_kms::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::Deserialize;
use storeward_store::DeploymentKey;
use zeroize::Zeroizing;

use crate::context::HostError;

/// The app's client secrets: the current one, and the one before while it is being rotated.
pub(crate) struct ShopifySecrets {
    keys: Vec<hmac::Key>,
    current: Zeroizing<String>,
}

impl std::fmt::Debug for ShopifySecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShopifySecrets({})", self.keys.len())
    }
}

impl ShopifySecrets {
    /// Whether `signature` (base64) is the HMAC-SHA256 of `body` under any of the secrets. Every secret is tried,
    /// and compared in constant time.
    pub(crate) fn verify(&self, body: &[u8], signature: &str) -> bool {
        STANDARD.decode(signature).is_ok_and(|signature| self.signed(body, &signature))
    }

    /// The same for a signature's bytes.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.keys.iter().fold(false, |verified, key| hmac::verify(key, message, signature).is_ok() | verified)
    }

    /// The current secret: what the app names itself with to Shopify.
    pub(crate) fn current(&self) -> &str {
        &self.current
    }
}

/// The app's client at Google.
pub(crate) struct GoogleSecrets {
    /// Its id: no secret, and in the same place as what belongs to it.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: Zeroizing<String>,
}

impl std::fmt::Debug for GoogleSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GoogleSecrets")
    }
}

#[derive(Deserialize)]
struct GoogleFile {
    client_id: String,
    client_secret: String,
}

#[derive(Deserialize)]
struct SecretsFile {
    client_secrets: Vec<String>,
}

#[derive(Deserialize)]
struct KeyFile {
    id: String,
    key: String,
}

/// Decrypts a ciphertext for a purpose.
pub(crate) async fn decrypt(
    kms: &aws_sdk_kms::Client,
    ciphertext: &str,
    purpose: &str,
) -> Result<Vec<u8>, HostError> {
    let blob = STANDARD.decode(ciphertext).map_err(|_| HostError::Secret("a ciphertext is not base64"))?;
    let output = kms
        .decrypt()
        .ciphertext_blob(Blob::new(blob))
        .set_encryption_context(Some(HashMap::from([("purpose".to_owned(), purpose.to_owned())])))
        .send()
        .await
        .map_err(|error| HostError::aws("KMS Decrypt", &error))?;
    output.plaintext.map(Blob::into_inner).ok_or(HostError::Secret("KMS gave no plaintext"))
}

pub(crate) fn shopify_secrets(plain: &[u8]) -> Result<ShopifySecrets, HostError> {
    let file: SecretsFile = serde_json::from_slice(plain)
        .map_err(|_| HostError::Secret("the Shopify secrets are not as documented"))?;
    if file.client_secrets.is_empty() || file.client_secrets.iter().any(String::is_empty) {
        return Err(HostError::Secret("a Shopify secret is empty"));
    }
    let key = |secret: &String| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let keys = file.client_secrets.iter().map(key).collect();
    let current = Zeroizing::new(file.client_secrets.into_iter().next().unwrap_or_default());
    Ok(ShopifySecrets { keys, current })
}

pub(crate) fn google_secrets(plain: &[u8]) -> Result<GoogleSecrets, HostError> {
    let GoogleFile { client_id, client_secret } = serde_json::from_slice(plain)
        .map_err(|_| HostError::Secret("the Google secrets are not as documented"))?;
    if client_id.is_empty() || client_secret.is_empty() {
        return Err(HostError::Secret("a Google secret is empty"));
    }
    Ok(GoogleSecrets { client_id, client_secret: Zeroizing::new(client_secret) })
}

pub(crate) fn deployment_key(plain: &[u8]) -> Result<DeploymentKey, HostError> {
    let malformed = HostError::Secret("the deployment key is not as documented");
    let file: KeyFile = serde_json::from_slice(plain).map_err(|_| malformed.clone())?;
    let key = STANDARD.decode(&file.key).map_err(|_| malformed.clone())?;
    DeploymentKey::new(file.id, &key).map_err(|_| malformed)
}

/// The API key of Resend, as an HTTP header can carry it.
pub(crate) fn resend_key(plain: &[u8]) -> Result<String, HostError> {
    api_key(plain, "the Resend key is not as documented")
}

/// The API key of Anthropic, as an HTTP header can carry it.
pub(crate) fn anthropic_key(plain: &[u8]) -> Result<String, HostError> {
    api_key(plain, "the Anthropic key is not as documented")
}

fn api_key(plain: &[u8], malformed: &'static str) -> Result<String, HostError> {
    let key = std::str::from_utf8(plain).map(str::trim).unwrap_or_default();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HostError::Secret(malformed));
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_secrets_are_accepted_and_nothing_else() {
        let secrets = shopify_secrets(br#"{"client_secrets":["test-new","test-old"]}"#).unwrap();
        let sign = |secret: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            STANDARD.encode(hmac::sign(&key, b"body"))
        };
        assert!(secrets.verify(b"body", &sign("test-new")));
        assert!(secrets.verify(b"body", &sign("test-old")));
        assert!(!secrets.verify(b"body", &sign("test-other")));
        assert!(!secrets.verify(b"other", &sign("test-new")));
        assert!(
            !secrets.verify(
                b"body",
                &STANDARD.encode(
                    &hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"test-new"), b"body").as_ref()[..16]
                )
            ),
            "a shortened tag"
        );
        assert!(!secrets.verify(b"body", "not base64!"));
        assert!(shopify_secrets(br#"{"client_secrets":[]}"#).is_err());
        assert!(shopify_secrets(br#"{"client_secrets":[""]}"#).is_err());
    }

    #[test]
    fn the_client_at_google_has_an_id_and_a_secret_and_shows_neither() {
        let secrets = google_secrets(br#"{"client_id":"test-id","client_secret":"test-secret"}"#).unwrap();
        assert_eq!((&*secrets.client_id, secrets.client_secret.as_str()), ("test-id", "test-secret"));
        assert_eq!(format!("{secrets:?}"), "GoogleSecrets");
        for wrong in [
            r#"{"client_id":"","client_secret":"s"}"#,
            r#"{"client_id":"i","client_secret":""}"#,
            r#"{"client_id":"i"}"#,
            "",
        ] {
            assert!(google_secrets(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_with_the_line_end_of_a_terminal_is_read_and_what_is_no_key_is_refused() {
        assert_eq!(resend_key(b"re_test_key\n").unwrap(), "re_test_key");
        for wrong in [&b""[..], b" \n", b"two words", b"\xff", "sch\u{fc}ssel".as_bytes()] {
            assert!(resend_key(wrong).is_err());
        }
    }
}
