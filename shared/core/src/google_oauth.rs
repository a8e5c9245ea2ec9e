//! What OAuth with Google says: where the browser is sent to, what it comes back with, and what a merchant granted. Calls are
//! the clients'; keeping states, verifiers and tokens is the store's.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::oauth::Query;
use crate::personal::Personal;
use crate::time::Timestamp;

/// The one scope that is asked for: reading, watching and answering a mailbox, without deleting for good. Whose mailbox it is,
/// Gmail's profile tells under the same scope, so nothing of `openid email` is asked.
pub const SCOPE: &str = "https://www.googleapis.com/auth/gmail.modify";

/// The scope of everything in Gmail, which covers ours. Google answers with it where an administrator granted it before.
const WIDER_SCOPE: &str = "https://mail.google.com/";

/// How long before its end an access token is renewed: longer than a job runs.
pub const REFRESH_BEFORE: Duration = Duration::from_mins(5);

/// How many characters a state has: at least what cannot be guessed, at most what fits with everything else into an address.
const SHORTEST_STATE: usize = 43;
const LONGEST_STATE: usize = 200;

/// How long a code of Google's error may be that is taken over.
const LONGEST_CODE: usize = 64;

/// The secret of one attempt to connect, of which Google only sees the hash before it is asked for tokens (RFC 7636).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Verifier(Personal<String>);

impl Verifier {
    /// A verifier of 256 random bits: 43 characters.
    #[must_use]
    pub fn new(random: &[u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random).into())
    }

    /// A verifier that was kept with its attempt.
    #[must_use]
    pub const fn kept(verifier: Personal<String>) -> Self {
        Self(verifier)
    }

    /// The verifier, for sealing with its attempt.
    #[must_use]
    pub const fn to_keep(&self) -> &Personal<String> {
        &self.0
    }

    /// The verifier, for the exchange.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What Google is told of it at first (method `S256`).
    #[must_use]
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.expose().as_bytes()))
    }
}

/// The text by which a callback is known to belong to an attempt of ours. It stands in addresses, so it is kept blinded.
#[derive(Clone, PartialEq, Eq)]
pub struct State(String);

impl State {
    /// A state of 256 random bits: 43 characters.
    #[must_use]
    pub fn new(random: &[u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random))
    }

    /// A state as a callback brings it, or as the store made it; `None` for what none of ours is. Whether there is such an attempt,
    /// the store tells.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = (SHORTEST_STATE..=LONGEST_STATE).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned()))
    }

    /// The state, for the address and for blinding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

/// What a browser is sent to Google with.
#[derive(Clone, Copy, Debug)]
pub struct Authorization<'a> {
    /// Google's page of consent: `https://accounts.google.com/o/oauth2/v2/auth`.
    pub page: &'a str,
    /// Our client at Google.
    pub client_id: &'a str,
    /// Where the browser comes back to, exactly as it is registered.
    pub redirect_uri: &'a str,
    /// What this attempt is known by.
    pub state: &'a State,
    /// The attempt's secret; only its hash goes along.
    pub verifier: &'a Verifier,
}

impl Authorization<'_> {
    /// Where the browser is sent to.
    ///
    /// `access_type=offline` and `prompt=consent` because a refresh token is only given then, and only with consent given
    /// anew. `include_granted_scopes` is left out: a token should open what was asked for here and nothing that the same
    /// account granted elsewhere. So is `login_hint`: which mailbox it will be is the merchant's choice on Google's page,
    /// and an address in a URL ends in histories and logs.
    #[must_use]
    pub fn url(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("response_type", "code")
            .append_pair("scope", SCOPE)
            .append_pair("access_type", "offline")
            .append_pair("prompt", "consent")
            .append_pair("state", self.state.as_str())
            .append_pair("code_challenge", &self.verifier.challenge())
            .append_pair("code_challenge_method", "S256");
        format!("{}?{}", self.page, query.finish())
    }
}

/// What a browser comes back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// The merchant agreed: a code to be exchanged once, within minutes.
    Agreed {
        /// Which attempt it was.
        state: State,
        /// The code.
        code: Personal<String>,
    },
    /// The merchant or Google said no.
    Refused {
        /// Which attempt it was.
        state: State,
        /// Google's code for why, such as `access_denied`.
        why: String,
    },
}

impl Callback {
    /// Reads the query of a callback; `None` when it is not Google's answer to an attempt of ours.
    #[must_use]
    pub fn read(query: &Query) -> Option<Self> {
        let state = State::read(query.get("state")?)?;
        match (query.get("code"), query.get("error")) {
            (Some(code), None) => Some(Self::Agreed { state, code: code.to_owned().into() }),
            (None, Some(error)) => Some(Self::Refused { state, why: error_code(error)? }),
            _ => None,
        }
    }
}

/// An OAuth error code (RFC 6749, 4.1.2.1) that is taken over; another text may quote what was sent.
#[must_use]
pub fn error_code(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!text.is_empty() && text.len() <= LONGEST_CODE && text.bytes().all(plain)).then(|| text.to_owned())
}

/// What a merchant granted. On Google's page each scope can be unticked, so this is looked at and not assumed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantedScopes(BTreeSet<String>);

impl GrantedScopes {
    /// Reads a list separated by spaces (RFC 6749, 3.3).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// Whether the mail desk can work with it.
    #[must_use]
    pub fn suffice(&self) -> bool {
        self.0.contains(SCOPE) || self.0.contains(WIDER_SCOPE)
    }
}

impl fmt::Display for GrantedScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    }
}

/// What calls for a mailbox are made with, for about an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxAccess {
    /// The access token.
    pub token: Personal<String>,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

impl MailboxAccess {
    /// Whether the token counts at `now`.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// Whether the token ends soon enough to be renewed now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.is_alive(now + REFRESH_BEFORE)
    }
}

/// What a merchant's consent to a mailbox has led to: stored and replaced as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxGrant {
    /// What calls are made with.
    pub access: MailboxAccess,
    /// What that is renewed with, for as long as nobody revokes it. A renewal does not replace it, unless Google says so.
    pub refresh_token: Personal<String>,
    /// Until when the refresh token counts, where Google says so: after seven days for an app in testing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_at: Option<Timestamp>,
    /// What was granted.
    pub scopes: GrantedScopes,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const STATE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

    fn callback(raw: &str) -> Option<Callback> {
        Callback::read(&Query::parse(raw).unwrap())
    }

    #[test]
    fn given_the_example_of_rfc_7636_then_the_challenge_is_the_one_printed_there() {
        let verifier = Verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned().into());
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn given_an_attempt_then_the_browser_is_sent_with_everything_that_a_refresh_token_needs_and_no_address() {
        let (state, verifier) = (State::new(&[1; 32]), Verifier::new(&[2; 32]));
        let url = Authorization {
            page: "https://accounts.google.com/o/oauth2/v2/auth",
            client_id: "test-client.apps.googleusercontent.com",
            redirect_uri: "https://app.example.com/google/callback?a=b&c",
            state: &state,
            verifier: &verifier,
        }
        .url();
        let (page, query) = url.split_once('?').unwrap();
        assert_eq!(page, "https://accounts.google.com/o/oauth2/v2/auth");
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let challenge = verifier.challenge();
        let expected = [
            ("access_type", "offline"),
            ("client_id", "test-client.apps.googleusercontent.com"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("prompt", "consent"),
            ("redirect_uri", "https://app.example.com/google/callback?a=b&c"),
            ("response_type", "code"),
            ("scope", SCOPE),
            ("state", STATE),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(query, BTreeMap::from(expected));
        assert!(!url.contains(verifier.expose()), "only its hash goes along");
        assert_eq!(format!("{state:?} {verifier:?}"), "State Verifier((personal))");
    }

    #[test]
    fn given_a_callback_then_it_is_read_only_when_it_is_an_answer_to_an_attempt_of_ours() {
        let state = State::new(&[1; 32]);
        let agreed = callback(&format!("state={STATE}&code=4%2F0abc&scope=x&authuser=0&prompt=consent"));
        assert_eq!(agreed, Some(Callback::Agreed { state: state.clone(), code: "4/0abc".to_owned().into() }));
        let refused = callback(&format!("error=access_denied&state={STATE}"));
        assert_eq!(refused, Some(Callback::Refused { state, why: "access_denied".to_owned() }));
        for odd in [
            "code=a",
            "state=&code=a",
            "state=short&code=a",
            "state=%00&code=a",
            &format!("state={STATE}"),
            &format!("state={STATE}&code="),
            &format!("state={STATE}&code=a&error=access_denied"),
            &format!("state={STATE}&error=What%20someone@example.com%20typed"),
        ] {
            assert_eq!(callback(odd), None, "{odd}");
        }
    }

    #[test]
    fn given_what_was_granted_then_only_a_scope_that_covers_reading_and_answering_suffices() {
        for good in [SCOPE, "openid https://www.googleapis.com/auth/gmail.modify", WIDER_SCOPE] {
            assert!(GrantedScopes::parse(good).suffice(), "{good}");
        }
        for bad in
            ["", "openid email", "https://www.googleapis.com/auth/gmail.readonly", &SCOPE.to_uppercase()]
        {
            assert!(!GrantedScopes::parse(bad).suffice(), "{bad}");
        }
        assert_eq!(GrantedScopes::parse(" b  a\tb ").to_string(), "a b");
    }

    #[test]
    fn given_a_grant_then_it_is_renewed_five_minutes_early_and_keeps_its_form_when_stored() {
        let ends = Timestamp(1_795_348_800_000);
        let access = MailboxAccess { token: "test-token".to_owned().into(), expires_at: ends };
        assert!(access.is_alive(Timestamp(ends.0 - 1)) && !access.is_alive(ends));
        assert!(
            access.is_due(ends - REFRESH_BEFORE) && !access.is_due(Timestamp((ends - REFRESH_BEFORE).0 - 1))
        );
        let grant = MailboxGrant {
            access,
            refresh_token: "test-refresh".to_owned().into(),
            refresh_expires_at: None,
            scopes: GrantedScopes::parse(SCOPE),
        };
        let stored = serde_json::to_string(&grant).unwrap();
        assert_eq!(serde_json::from_str::<MailboxGrant>(&stored).unwrap(), grant);
        assert!(!format!("{grant:?}").contains("test-"), "{grant:?}");
    }

    proptest! {
        #[test]
        fn what_a_browser_is_sent_with_comes_back_as_the_same_state(random in any::<[u8; 32]>()) {
            let state = State::new(&random);
            prop_assert_eq!(State::read(state.as_str()), Some(state.clone()));
            prop_assert_eq!(state.as_str().len(), 43);
            let verifier = Verifier::new(&random);
            prop_assert_eq!((verifier.expose().len(), verifier.challenge().len()), (43, 43));
            prop_assert_ne!(verifier.challenge(), verifier.expose());
        }

        #[test]
        fn no_query_is_more_than_ignored(raw in "[a-z=&%0-9_]{0,200}") {
            if let Ok(query) = Query::parse(&raw) {
                prop_assert!(Callback::read(&query).is_none());
            }
        }
    }
}
