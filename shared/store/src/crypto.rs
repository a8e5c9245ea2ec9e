//! Keys: the deployment key, each installation's data and index keys wrapped by it, sealing and blinding.
//! Where the deployment key comes from (KMS) is the host's.

use std::fmt;
use std::net::IpAddr;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use storeward_core::data_map::Purpose;
use storeward_core::shop::{ShopDomain, ShopId, Tenant};
use zeroize::Zeroizing;

use crate::error::{Result, StoreError};

/// Where random bytes come from: a seam, so that simulated histories replay from their seed.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// When the system has no randomness to give; nothing may be sealed then.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}

/// The operating system's randomness: what deployed functions use.
#[derive(Debug)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// The operating system's randomness.
    #[must_use]
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        self.0.fill(bytes).map_err(|_| StoreError::Unavailable {
            operation: "randomness",
            code: "the system gave none".to_owned(),
        })
    }
}

/// A sealed value begins with this, so that another algorithm can follow one day.
const SEALED_VERSION: u8 = 1;

/// The 256-bit key that wraps every installation's keys and blinds what crosses tenants. KMS unwraps it once for
/// each Lambda instance.
pub struct DeploymentKey {
    id: String,
    wrapping: LessSafeKey,
    records: LessSafeKey,
    directory: hmac::Key,
}

impl fmt::Debug for DeploymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeploymentKey({})", self.id)
    }
}

impl DeploymentKey {
    /// Takes the key and the id that wrapped keys name it by.
    ///
    /// # Errors
    /// `Corrupt` when `key` is not 32 bytes.
    pub fn new(id: impl Into<String>, key: &[u8]) -> Result<Self> {
        if key.len() != 32 {
            return Err(StoreError::Corrupt("the deployment key"));
        }
        let wrapping = aead_key(&*derive(key, b"storeward", &[b"wrapping"])?)?;
        let records = aead_key(&*derive(key, b"storeward", &[b"records"])?)?;
        let directory = hmac::Key::new(hmac::HMAC_SHA256, &*derive(key, b"storeward", &[b"directory"])?);
        Ok(Self { id: id.into(), wrapping, records, directory })
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The blinded name of a shop.
    #[must_use]
    pub fn shop_id(&self, domain: &ShopDomain) -> ShopId {
        ShopId::from_blind(tag(&self.directory, "shop", domain.as_str()))
    }

    /// The blinded name of a member of a shop's staff: for the access log, another one in each shop.
    pub(crate) fn actor(&self, shop: &ShopId, user: &str) -> String {
        hex::encode(tag(&self.directory, "actor", &format!("{shop}|{user}")))
    }

    /// The blinded address of a mailbox: whoever is told of new mail by its address finds the installation by it.
    pub(crate) fn mailbox(&self, address: &str) -> String {
        hex::encode(tag(&self.directory, "mailbox", address))
    }

    /// An IP address as it may be kept (promise SO41): SHA-256 with a salt that only the holder of this key knows and that
    /// is another one each day, so that visits of one day are told apart and those of two days are not linked.
    pub(crate) fn hashed_ip(&self, day: &str, ip: IpAddr) -> String {
        let salt = hmac::sign(&self.directory, format!("ip-salt|{day}").as_bytes());
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(salt.as_ref());
        context.update(ip.to_string().as_bytes());
        hex::encode(context.finish())
    }

    /// The blinded name of an operator, by the issuer's number of the account.
    pub(crate) fn operator(&self, issuer: &str, subject: &str) -> String {
        hex::encode(tag(&self.directory, "operator", &format!("{issuer}|{subject}")))
    }

    /// Seals what belongs to the deployment and to no shop, for one place.
    pub(crate) fn seal(&self, place: &str, plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>> {
        seal(&self.records, place.as_bytes(), plain, entropy)
    }

    /// Opens what was sealed for `place`.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        open(&self.records, place.as_bytes(), sealed)
            .map(Zeroizing::new)
            .ok_or(StoreError::Corrupt("a sealed record of the deployment"))
    }

    /// Makes new keys for an installation and wraps them.
    pub(crate) fn create(&self, tenant: &Tenant, entropy: &dyn Entropy) -> Result<(TenantKeys, Vec<u8>)> {
        let mut plain = Zeroizing::new([0; 64]);
        entropy.fill(&mut *plain)?;
        let wrapped = seal(&self.wrapping, wrapping_context(tenant).as_bytes(), &*plain, entropy)?;
        Ok((TenantKeys::new(tenant, &*plain)?, wrapped))
    }

    /// Unwraps an installation's keys.
    pub(crate) fn unwrap(&self, tenant: &Tenant, wrapped: &[u8]) -> Result<TenantKeys> {
        let plain = Zeroizing::new(
            open(&self.wrapping, wrapping_context(tenant).as_bytes(), wrapped)
                .ok_or(StoreError::Corrupt("a shop's wrapped key"))?,
        );
        TenantKeys::new(tenant, &plain)
    }
}

fn wrapping_context(tenant: &Tenant) -> String {
    format!("keys|{tenant}")
}

/// The keys of one installation.
pub(crate) struct TenantKeys {
    data: LessSafeKey,
    operation: hmac::Key,
    duplicates: hmac::Key,
    rights: hmac::Key,
    mail: hmac::Key,
}

impl fmt::Debug for TenantKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKeys")
    }
}

impl TenantKeys {
    fn new(tenant: &Tenant, plain: &[u8]) -> Result<Self> {
        let (data, index) = plain.split_at_checked(32).ok_or(StoreError::Corrupt("a shop's key"))?;
        let salt = tenant.to_string();
        let purpose = |purpose: Purpose| -> Result<hmac::Key> {
            let key = derive(index, salt.as_bytes(), &[b"index", purpose.label().as_bytes()])?;
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &*key))
        };
        Ok(Self {
            data: aead_key(data)?,
            operation: purpose(Purpose::Operation)?,
            duplicates: purpose(Purpose::Duplicates)?,
            rights: purpose(Purpose::Rights)?,
            mail: purpose(Purpose::Mail)?,
        })
    }

    /// A keyed hash of `value`, different for each purpose and each `label`: 32 hexadecimal digits, of which the
    /// first also chooses the bucket.
    pub(crate) fn blind(&self, purpose: Purpose, label: &str, value: &str) -> String {
        let key = match purpose {
            Purpose::Operation => &self.operation,
            Purpose::Duplicates => &self.duplicates,
            Purpose::Rights => &self.rights,
            Purpose::Mail => &self.mail,
        };
        hex::encode(tag(key, label, value))
    }

    /// Seals `plain` for one place: it opens nowhere else.
    pub(crate) fn seal(&self, place: &str, plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>> {
        seal(&self.data, place.as_bytes(), plain, entropy)
    }

    /// Opens what was sealed for `place`.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        open(&self.data, place.as_bytes(), sealed)
            .map(Zeroizing::new)
            .ok_or(StoreError::Corrupt("a sealed record"))
    }
}

fn tag(key: &hmac::Key, label: &str, value: &str) -> [u8; 16] {
    let mut context = hmac::Context::with_key(key);
    context.update(label.as_bytes());
    context.update(&[0]);
    context.update(value.as_bytes());
    let mut tag = [0; 16];
    tag.copy_from_slice(&context.sign().as_ref()[..16]);
    tag
}

struct Length32;

impl KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

/// HKDF-SHA256 (RFC 5869).
fn derive(secret: &[u8], salt: &[u8], info: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(info, Length32)
        .and_then(|okm| okm.fill(&mut *key))
        .map_err(|_| StoreError::Corrupt("a key"))?;
    Ok(key)
}

fn aead_key(key: &[u8]) -> Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| StoreError::Corrupt("a key"))
}

/// AES-256-GCM with a random 96-bit nonce. One key serves one installation, far from the 2^32 messages after
/// which NIST SP 800-38D (8.3) wants a new one.
fn seal(key: &LessSafeKey, context: &[u8], plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce)?;
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    sealed.push(SEALED_VERSION);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut sealed[1 + NONCE_LEN..],
        )
        .map_err(|_| StoreError::Corrupt("a record too large to seal"))?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn open(key: &LessSafeKey, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (&SEALED_VERSION, rest) = sealed.split_first()? else { return None };
    let (nonce, cipher) = rest.split_at_checked(NONCE_LEN)?;
    let mut buffer = cipher.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length = key.open_in_place(nonce, Aad::from(context), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storeward_core::shop::Generation;

    use super::*;

    fn keys(generation: i64) -> (TenantKeys, Vec<u8>, DeploymentKey, Tenant) {
        let deployment = DeploymentKey::new("1", &[7; 32]).unwrap();
        let tenant = Tenant { shop: ShopId::from_blind([1; 16]), generation: Generation(generation) };
        let (keys, wrapped) = deployment.create(&tenant, &SystemEntropy::new()).unwrap();
        (keys, wrapped, deployment, tenant)
    }

    #[test]
    fn wrapped_keys_open_for_their_installation_alone() {
        let (keys, wrapped, deployment, tenant) = keys(1);
        let sealed = keys.seal("place", b"value", &SystemEntropy::new()).unwrap();
        let again = deployment.unwrap(&tenant, &wrapped).unwrap();
        assert_eq!(&**again.open("place", &sealed).unwrap(), b"value");
        let later = Tenant { generation: Generation(2), ..tenant };
        assert!(deployment.unwrap(&later, &wrapped).is_err());
    }

    #[test]
    fn a_blind_differs_by_purpose_label_and_installation() {
        let (one, ..) = keys(1);
        let (two, ..) = keys(2);
        let blind = |keys: &TenantKeys, purpose, label| keys.blind(purpose, label, "a@example.com");
        let base = blind(&one, Purpose::Duplicates, "email");
        assert_eq!(base, blind(&one, Purpose::Duplicates, "email"));
        assert_ne!(base, blind(&one, Purpose::Rights, "email"));
        assert_ne!(base, blind(&one, Purpose::Duplicates, "phone"));
        assert_ne!(base, blind(&two, Purpose::Duplicates, "email"));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_only_unchanged_and_in_its_place(
            plain in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
        ) {
            let (keys, ..) = keys(1);
            let sealed = keys.seal("here", &plain, &SystemEntropy::new()).unwrap();
            prop_assert_eq!(&**keys.open("here", &sealed).unwrap(), &plain);
            prop_assert!(keys.open("there", &sealed).is_err());
            let mut altered = sealed.clone();
            altered[at.index(sealed.len())] ^= 1;
            prop_assert!(keys.open("here", &altered).is_err());
            prop_assert!(keys.open("here", &sealed[..at.index(sealed.len())]).is_err());
        }
    }
}
