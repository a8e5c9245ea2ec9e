//! Links to what was put together about a person: short-lived, for one document, and worth nothing without the secret in
//! them, of which only a keyed hash is stored. A link says which installation and which export it is for by blinded names.

use storeward_core::data_map::{Kind, Purpose};
use storeward_core::rights::{LINK_LIFETIME, RightsState};
use storeward_core::shop::{Generation, ShopId, Tenant};
use storeward_core::time::Timestamp;

use crate::error::Result;
use crate::exports::{Export, ExportState};
use crate::item::{number, text};
use crate::keyspace::{self, RecordRef};
use crate::ledger::{Entry, What};
use crate::requests::{errand_of, request_of};
use crate::store::{Action, Change, Condition, Store, Unrecorded};
use crate::tenants::Installation;

/// A secret: 256 bits as hexadecimal digits.
const SECRET: usize = 64;

/// What came of asking for a link.
#[derive(Debug, PartialEq, Eq)]
pub enum Linking {
    /// The link's token, and until when it works.
    Made {
        /// Whoever has it has the document.
        token: String,
        /// Until when.
        until: Timestamp,
        /// In how many pieces the document is fetched.
        pieces: usize,
    },
    /// There is no such request.
    Unknown,
    /// It is not put together yet, not kept any more, or has no document.
    NotReady(RightsState),
}

/// What a link leads to.
#[derive(Debug)]
pub struct Followed {
    /// Which installation's.
    pub tenant: Tenant,
    /// The request that it answers.
    pub request: RecordRef,
    /// The piece of the document that was asked for.
    pub export: Export,
    reference: RecordRef,
    installation: Installation,
}

/// What a token says.
struct Token {
    tenant: Tenant,
    export: RecordRef,
    secret: String,
}

impl Token {
    fn write(&self) -> String {
        format!("{}-{}-{}-{}", self.tenant.shop, self.tenant.generation, self.export.id(), self.secret)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (shop, generation, id, secret) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut blind = [0; 16];
        hex::decode_to_slice(shop, &mut blind).ok()?;
        let whole =
            parts.next().is_none() && secret.len() == SECRET && hexadecimal(secret) && hexadecimal(id);
        let export: RecordRef = format!("{}/{id}", Kind::Export.name()).parse().ok()?;
        let tenant =
            Tenant { shop: ShopId::from_blind(blind), generation: Generation(generation.parse().ok()?) };
        let token = Self { tenant, export, secret: secret.to_owned() };
        // One spelling alone.
        (whole && token.write() == text).then_some(token)
    }

    fn hash(&self, installation: &Installation) -> String {
        installation.keys.blind(Purpose::Rights, "link", &self.secret)
    }
}

impl Store {
    /// Makes a link to what was put together for a request. A link made before ends.
    pub async fn link_export(&self, installation: &Installation, request: &RecordRef) -> Result<Linking> {
        let tenant = &installation.tenant;
        let Some(asked) = self.asked(tenant, request).await? else { return Ok(Linking::Unknown) };
        if !asked.kind.has_document() {
            return Ok(Linking::NotReady(asked.state));
        }
        let secret = format!("{}{}", self.random_id()?, self.random_id()?);
        let token = Token { tenant: tenant.clone(), export: errand_of(asked.kind, request), secret };
        let now = self.now();
        let until = now + LINK_LIFETIME;
        let update = Change {
            expression: "SET link = :link, link_until = :until".to_owned(),
            values: vec![(":link", text(token.hash(installation))), (":until", number(until.millis()))],
        };
        let given = Condition {
            expression: "phase = :ready OR phase = :delivered",
            values: vec![(":ready", text("ready")), (":delivered", text("delivered"))],
        };
        let key = keyspace::record(tenant, &token.export);
        // Expired, and waiting to be deleted: gone.
        let Some(pieces) = self.pieces_of(installation, &token.export).await? else {
            return Ok(Linking::NotReady(asked.state));
        };
        let entry = Entry::new(now, tenant, What::ExportLinked, request.to_string());
        let actions =
            vec![Action::Update { key, update, condition: Some(given) }, self.ledger_action(&entry)?];
        Ok(match self.transact(actions).await? {
            Ok(()) => Linking::Made { token: token.write(), until, pieces },
            Err(_) => Linking::NotReady(asked.state),
        })
    }

    /// A piece of what a link leads to. `None` for whatever is no link that works now: nothing tells an old one from one
    /// that never was. Whoever gives it says so, by [`Store::gave`].
    pub async fn follow_link(&self, token: &str, piece: usize) -> Result<Option<Followed>> {
        let Some(token) = Token::read(token) else { return Ok(None) };
        let Some(installation) = self.tenant(&token.tenant).await? else { return Ok(None) };
        let Some(stored) = self.get(&keyspace::record(&token.tenant, &token.export)).await? else {
            return Ok(None);
        };
        // Two keyed hashes: how long comparing them takes says nothing of the secret.
        let known = stored.optional_text("link").is_some_and(|known| known == token.hash(&installation));
        let until = stored.optional_number("link_until").map(Timestamp).unwrap_or_default();
        if !known || self.now() >= until {
            return Ok(None);
        }
        let Token { tenant, export: reference, .. } = token;
        let export = self.export_piece(&installation, &reference, Some(piece)).await?;
        let request = request_of(&reference);
        Ok(export.map(|export| Followed { tenant, request, export, reference, installation }))
    }

    /// Remembers that a piece was given to whoever followed a link: with the last one that was missing the request is done.
    pub async fn gave(&self, followed: &Followed) -> Result<()> {
        let Followed { installation, reference, export, .. } = followed;
        if export.state != ExportState::Ready {
            return Ok(());
        }
        if export.pieces > 1 {
            let key = keyspace::record(&installation.tenant, reference);
            let update = Change {
                expression: format!("SET {} = :now", given(export.piece)),
                values: vec![(":now", number(self.now().millis()))],
            };
            let condition = Some(Condition::phase("ready"));
            let action = Action::Update { key: key.clone(), update, condition };
            // Where it is not ready any more, everything was given before.
            let _done = self.transact_unrecorded(Unrecorded::Bookkeeping, vec![action]).await?;
            let Some(stored) = self.get(&key).await? else { return Ok(()) };
            if (1..=export.pieces).any(|piece| stored.optional_number(&given(piece)).is_none()) {
                return Ok(());
            }
        }
        // Somebody else who follows it at the same time was first, then.
        let _by_another = self.export_delivered(installation, reference).await?;
        Ok(())
    }
}

/// What says when a piece was given.
fn given(piece: usize) -> String {
    format!("given_{piece}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> String {
        format!("{}-{:015}-{}-{}", "0".repeat(32), 1_795_190_400_000_i64, "a".repeat(32), "b".repeat(64))
    }

    #[test]
    fn a_token_reads_back_and_has_one_spelling() {
        let good = token();
        assert_eq!(Token::read(&good).unwrap().write(), good);
        for bad in [
            good.to_uppercase(),
            format!("{good}-"),
            format!("{good}0"),
            good.replacen("0179", "179", 1),
            good.replacen("0179", "+179", 1),
            good.replace('b', "g"),
            good[..good.len() - 1].to_owned(),
        ] {
            assert!(Token::read(&bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_another_token(text in "\\PC{0,200}|[0-9a-f-]{140,160}") {
            prop_assert!(Token::read(&text).is_none_or(|token| token.write() == text));
        }
    }
}
