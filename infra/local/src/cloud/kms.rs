//! KMS on one machine: `Encrypt`, `Decrypt` and `GenerateDataKey` on the JSON 1.1 wire, under one development
//! key, and `Sign` and `GetPublicKey` under another. It keeps the promise functions rely on (a ciphertext opens only under its own encryption context); it
//! has no policies, grants, aliases or rotation, and its key is not a production key.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Deserialize;
use serde_json::{Value, json};
use storeward_core::ledger::seal::SigningKey;

use super::{ACCOUNT, REGION};

/// The largest plaintext `Encrypt` takes with a symmetric key, in bytes (KMS API reference, Encrypt).
const LARGEST_PLAINTEXT: usize = 4096;

/// Marks a ciphertext as made here, and by which layout.
const LAYOUT: &[u8] = b"storeward-local-kms-1";

/// The id of the only key there is that seals.
const KEY_ID: &str = "00000000-0000-0000-0000-000000000000";

/// The id of the only key there is that signs.
const SIGNING_KEY_ID: &str = "00000000-0000-0000-0000-000000000001";

/// The largest message `Sign` takes as it is, in bytes.
const LARGEST_MESSAGE: usize = 4096;

/// Why the development key could not be made or read.
#[derive(Debug)]
pub enum KmsError {
    /// The key file could not be read or written.
    File(std::io::Error),
    /// The key file does not hold a key.
    Malformed,
    /// The machine gave no randomness.
    Randomness,
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "the development key file cannot be used: {error}"),
            Self::Malformed => f.write_str("the development key file does not hold 32 bytes in base64"),
            Self::Randomness => f.write_str("the system's random number generator failed"),
        }
    }
}

impl std::error::Error for KmsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Malformed | Self::Randomness => None,
        }
    }
}

/// KMS. Clones share the key.
#[derive(Clone)]
pub struct Kms {
    key: Arc<LessSafeKey>,
    signer: Arc<EcdsaKeyPair>,
    random: SystemRandom,
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kms").finish_non_exhaustive()
    }
}

/// An error as the KMS wire names it.
struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    fn validation(message: impl Into<String>) -> Self {
        Self { code: "ValidationException", message: message.into() }
    }

    /// KMS gives this one no message, so that it tells nothing about why a ciphertext does not open.
    const fn invalid_ciphertext() -> Self {
        Self { code: "InvalidCiphertextException", message: String::new() }
    }

    fn internal() -> Self {
        Self { code: "KMSInternalException", message: "The request could not be processed.".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptRequest {
    key_id: String,
    plaintext: String,
    #[serde(default)]
    encryption_context: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptRequest {
    key_id: Option<String>,
    ciphertext_blob: String,
    #[serde(default)]
    encryption_context: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignRequest {
    key_id: String,
    message: String,
    message_type: Option<String>,
    signing_algorithm: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKeyRequest {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataKeyRequest {
    key_id: String,
    key_spec: Option<String>,
    number_of_bytes: Option<usize>,
    #[serde(default)]
    encryption_context: BTreeMap<String, String>,
}

impl Kms {
    /// KMS under a fresh key that is gone with the process.
    pub fn memory() -> Result<Self, KmsError> {
        let random = SystemRandom::new();
        let mut key = [0; 32];
        random.fill(&mut key).map_err(|_| KmsError::Randomness)?;
        Self::with_keys(&key, &new_signing_key()?)
    }

    /// KMS under the key in `file`, and one that signs beside it; what is not there is made, readable by its owner only.
    pub fn open(file: &Path) -> Result<Self, KmsError> {
        let key = kept(file, || {
            let mut key = [0; 32];
            SystemRandom::new().fill(&mut key).map_err(|_| KmsError::Randomness)?;
            Ok(key.to_vec())
        })?;
        Self::with_keys(&key, &kept(&file.with_extension("signing-key"), new_signing_key)?)
    }

    fn with_keys(key: &[u8], signing: &[u8]) -> Result<Self, KmsError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| KmsError::Malformed)?;
        let random = SystemRandom::new();
        let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, signing, &random)
            .map_err(|_| KmsError::Malformed)?;
        Ok(Self { key: Arc::new(LessSafeKey::new(key)), signer: Arc::new(signer), random })
    }

    /// The public half of the key that signs, as `GetPublicKey` gives it (DER).
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        SigningKey::der(self.signer.public_key().as_ref())
    }

    /// Answers one request; `operation` is what stands behind `TrentService.` in `X-Amz-Target`.
    #[must_use]
    pub fn call(&self, operation: &str, body: &[u8]) -> Response<Bytes> {
        let answer = match operation {
            "Encrypt" => read(body).and_then(|request| self.encrypt(&request)),
            "Decrypt" => read(body).and_then(|request| self.decrypt(&request)),
            "GenerateDataKey" => read(body).and_then(|request| self.generate_data_key(&request)),
            "Sign" => read(body).and_then(|request| self.sign(&request)),
            "GetPublicKey" => read(body).and_then(|request| self.get_public_key(&request)),
            other => {
                Err(Fault { code: "UnknownOperationException", message: format!("{other} is not emulated.") })
            }
        };
        match answer {
            Ok(body) => respond(StatusCode::OK, &body),
            Err(Fault { code: code @ "KMSInternalException", message }) => {
                respond(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "__type": code, "message": message }))
            }
            Err(Fault { code, message }) => {
                respond(StatusCode::BAD_REQUEST, &json!({ "__type": code, "message": message }))
            }
        }
    }

    /// Seals a secret as a function's setting holds it: base64 of a KMS ciphertext under `context`.
    pub fn seal_setting(&self, plaintext: &[u8], context: &[(&str, &str)]) -> Result<String, KmsError> {
        let context = context.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.seal(plaintext, &context).map(|blob| STANDARD.encode(blob)).map_err(|_| KmsError::Randomness)
    }

    fn encrypt(&self, request: &EncryptRequest) -> Result<Value, Fault> {
        check_key(&request.key_id)?;
        let plaintext = base64(&request.plaintext)?;
        if plaintext.is_empty() || plaintext.len() > LARGEST_PLAINTEXT {
            return Err(Fault::validation(format!(
                "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: \
                 Member must have length between 1 and {LARGEST_PLAINTEXT}"
            )));
        }
        let blob = self.seal(&plaintext, &request.encryption_context)?;
        Ok(json!({
            "CiphertextBlob": STANDARD.encode(blob), "KeyId": key_arn(), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        }))
    }

    fn decrypt(&self, request: &DecryptRequest) -> Result<Value, Fault> {
        request.key_id.as_deref().map_or(Ok(()), check_key)?;
        let blob = base64(&request.ciphertext_blob)?;
        let sealed = blob.strip_prefix(LAYOUT).ok_or_else(Fault::invalid_ciphertext)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(Fault::invalid_ciphertext)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Fault::invalid_ciphertext())?;
        let mut sealed = sealed.to_vec();
        let plaintext = self
            .key
            .open_in_place(nonce, Aad::from(associated_data(&request.encryption_context)), &mut sealed)
            .map_err(|_| Fault::invalid_ciphertext())?;
        Ok(json!({
            "Plaintext": STANDARD.encode(plaintext), "KeyId": key_arn(), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        }))
    }

    fn generate_data_key(&self, request: &DataKeyRequest) -> Result<Value, Fault> {
        check_key(&request.key_id)?;
        let length = match (request.key_spec.as_deref(), request.number_of_bytes) {
            (Some("AES_256"), None) => 32,
            (Some("AES_128"), None) => 16,
            (None, Some(length @ 1..=1024)) => length,
            _ => {
                return Err(Fault::validation(
                    "Please specify either number of bytes (1 to 1024) or key spec (AES_256 or AES_128).",
                ));
            }
        };
        let mut plaintext = vec![0; length];
        self.random.fill(&mut plaintext).map_err(|_| Fault::internal())?;
        let blob = self.seal(&plaintext, &request.encryption_context)?;
        Ok(json!({
            "CiphertextBlob": STANDARD.encode(blob), "Plaintext": STANDARD.encode(plaintext), "KeyId": key_arn(),
        }))
    }

    fn sign(&self, request: &SignRequest) -> Result<Value, Fault> {
        check_signing_key(&request.key_id)?;
        if request.signing_algorithm != "ECDSA_SHA_256" {
            let message = format!("{} is not a signing algorithm of this key.", request.signing_algorithm);
            return Err(Fault { code: "InvalidKeyUsageException", message });
        }
        let message = base64(&request.message)?;
        if message.is_empty() || message.len() > LARGEST_MESSAGE {
            return Err(Fault::validation(format!(
                "1 validation error detected: Value at 'message' failed to satisfy constraint: \
                 Member must have length between 1 and {LARGEST_MESSAGE}"
            )));
        }
        if request.message_type.as_deref().is_some_and(|kind| kind != "RAW") {
            return Err(Fault::validation("Only MessageType RAW is emulated."));
        }
        let signature = self.signer.sign(&self.random, &message).map_err(|_| Fault::internal())?;
        Ok(json!({
            "KeyId": signing_key_arn(), "Signature": STANDARD.encode(signature.as_ref()),
            "SigningAlgorithm": "ECDSA_SHA_256",
        }))
    }

    fn get_public_key(&self, request: &PublicKeyRequest) -> Result<Value, Fault> {
        check_signing_key(&request.key_id)?;
        Ok(json!({
            "KeyId": signing_key_arn(), "PublicKey": STANDARD.encode(self.public_key()),
            "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": ["ECDSA_SHA_256"],
        }))
    }

    fn seal(&self, plaintext: &[u8], context: &BTreeMap<String, String>) -> Result<Vec<u8>, Fault> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| Fault::internal())?;
        let mut sealed = plaintext.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated_data(context)),
                &mut sealed,
            )
            .map_err(|_| Fault::internal())?;
        Ok([LAYOUT, &nonce, &sealed].concat())
    }
}

/// The ARN of the only key there is.
#[must_use]
pub fn key_arn() -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}")
}

/// The ARN of the only key there is that signs.
#[must_use]
pub fn signing_key_arn() -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{SIGNING_KEY_ID}")
}

fn check_signing_key(key: &str) -> Result<(), Fault> {
    if key == SIGNING_KEY_ID || key == signing_key_arn() {
        return Ok(());
    }
    check_key(key)?;
    let message = format!("{} key usage is ENCRYPT_DECRYPT which is not valid for Sign.", key_arn());
    Err(Fault { code: "InvalidKeyUsageException", message })
}

fn new_signing_key() -> Result<Vec<u8>, KmsError> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    key.map(|key| key.as_ref().to_vec()).map_err(|_| KmsError::Randomness)
}

/// The key in a file, or a new one that is kept there.
fn kept(file: &Path, new: impl FnOnce() -> Result<Vec<u8>, KmsError>) -> Result<Vec<u8>, KmsError> {
    match std::fs::read_to_string(file) {
        Ok(text) => STANDARD.decode(text.trim()).map_err(|_| KmsError::Malformed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = new()?;
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut written = options.open(file).map_err(KmsError::File)?;
            written.write_all(STANDARD.encode(&key).as_bytes()).map_err(KmsError::File)?;
            written.sync_all().map_err(KmsError::File)?;
            Ok(key)
        }
        Err(error) => Err(KmsError::File(error)),
    }
}

/// Any alias names the only key that seals; a key id or ARN must be its own.
fn check_key(key: &str) -> Result<(), Fault> {
    if key == KEY_ID || key == key_arn() || key.starts_with("alias/") || key.contains(":alias/") {
        return Ok(());
    }
    Err(Fault { code: "NotFoundException", message: format!("Key '{key}' does not exist") })
}

/// The encryption context as bytes that do not depend on the order in which it was written.
fn associated_data(context: &BTreeMap<String, String>) -> Vec<u8> {
    json!(context).to_string().into_bytes()
}

fn base64(text: &str) -> Result<Vec<u8>, Fault> {
    STANDARD.decode(text).map_err(|_| Fault { code: "SerializationException", message: String::new() })
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            Fault::validation(format!("1 validation error detected: {error}"))
        } else {
            Fault { code: "SerializationException", message: String::new() }
        }
    })
}

fn respond(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/x-amz-json-1.1"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kms: &Kms, operation: &str, request: &Value) -> (u16, Value) {
        let response = kms.call(operation, request.to_string().as_bytes());
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    #[test]
    fn given_a_sealed_secret_when_opened_under_its_context_then_it_comes_back_whatever_the_order() {
        let kms = Kms::memory().unwrap();
        let request = json!({
            "KeyId": "alias/storeward", "Plaintext": STANDARD.encode("secret"), "EncryptionContext": { "a": "1", "b": "2" },
        });
        let (status, sealed) = ask(&kms, "Encrypt", &request);
        assert_eq!(status, 200);
        let request = r#"{"EncryptionContext":{"b":"2","a":"1"},"CiphertextBlob":"#.to_owned()
            + &sealed["CiphertextBlob"].to_string()
            + "}";
        let opened: Value = serde_json::from_slice(kms.call("Decrypt", request.as_bytes()).body()).unwrap();
        assert_eq!(opened["Plaintext"], STANDARD.encode("secret"));
        assert_eq!(opened["KeyId"], key_arn());
    }

    #[test]
    fn given_another_context_another_key_or_a_changed_byte_when_opened_then_the_ciphertext_is_invalid() {
        let kms = Kms::memory().unwrap();
        let sealed = kms.seal_setting(b"secret", &[("purpose", "deployment")]).unwrap();
        let mut changed = STANDARD.decode(&sealed).unwrap();
        *changed.last_mut().unwrap() ^= 1;
        let right = json!({ "purpose": "deployment" });
        for (kms, blob, context) in [
            (kms.clone(), sealed.clone(), json!({ "purpose": "shopify" })),
            (kms.clone(), sealed.clone(), json!({})),
            (kms.clone(), STANDARD.encode(changed), right.clone()),
            (kms.clone(), STANDARD.encode("short"), right.clone()),
            (Kms::memory().unwrap(), sealed, right),
        ] {
            let (status, answer) =
                ask(&kms, "Decrypt", &json!({ "CiphertextBlob": blob, "EncryptionContext": context }));
            assert_eq!((status, answer["__type"].as_str()), (400, Some("InvalidCiphertextException")));
        }
    }

    #[test]
    fn given_a_data_key_request_when_answered_then_the_blob_opens_to_the_plaintext() {
        let kms = Kms::memory().unwrap();
        let (_, made) = ask(&kms, "GenerateDataKey", &json!({ "KeyId": key_arn(), "KeySpec": "AES_256" }));
        let (_, opened) = ask(&kms, "Decrypt", &json!({ "CiphertextBlob": made["CiphertextBlob"] }));
        assert_eq!(opened["Plaintext"], made["Plaintext"]);
        assert_eq!(STANDARD.decode(made["Plaintext"].as_str().unwrap()).unwrap().len(), 32);
    }

    #[test]
    fn given_wrong_requests_when_asked_then_the_errors_are_those_of_kms() {
        let kms = Kms::memory().unwrap();
        let plaintext = STANDARD.encode("x");
        for (operation, request, code) in [
            ("Encrypt", json!({ "KeyId": "1234", "Plaintext": plaintext }), "NotFoundException"),
            ("Encrypt", json!({ "Plaintext": plaintext }), "ValidationException"),
            (
                "Encrypt",
                json!({ "KeyId": key_arn(), "Plaintext": STANDARD.encode([0; 4097]) }),
                "ValidationException",
            ),
            ("Decrypt", json!({ "CiphertextBlob": "%" }), "SerializationException"),
            ("GenerateDataKey", json!({ "KeyId": key_arn() }), "ValidationException"),
            ("ListKeys", json!({}), "UnknownOperationException"),
        ] {
            let (status, answer) = ask(&kms, operation, &request);
            assert_eq!((status, answer["__type"].as_str()), (400, Some(code)), "{operation}");
        }
    }

    #[test]
    fn given_a_key_file_when_opened_again_then_it_is_the_same_key_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kms.key");
        let sealed = Kms::open(&file).unwrap().seal_setting(b"secret", &[]).unwrap();
        let (status, _) = ask(&Kms::open(&file).unwrap(), "Decrypt", &json!({ "CiphertextBlob": sealed }));
        assert_eq!(status, 200);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&file, "not a key").unwrap();
        assert!(matches!(Kms::open(&file), Err(KmsError::Malformed)));
    }
}
