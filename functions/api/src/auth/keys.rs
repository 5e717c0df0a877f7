//! The issuer's public keys: which can be used, and for how long they are believed.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use super::source::Source;

/// Whatever callers send, the issuer is asked no more often than this.
const ASK_AGAIN: TimeDelta = TimeDelta::minutes(5);

/// The same while there is no key at all, when nobody can get in.
const ASK_AGAIN_WITHOUT_KEYS: TimeDelta = TimeDelta::seconds(10);

/// From this age the keys are loaded anew while requests go on with the old ones.
const OLD: TimeDelta = TimeDelta::hours(12);

/// From this age requests wait for the new ones: a key that the issuer removed is not used for longer.
const TOO_OLD: TimeDelta = TimeDelta::hours(24);

/// The shortest RSA key, in bits. ring would round up to whole bytes.
const MIN_RSA_BITS: usize = 2048;

/// The two algorithms of a token that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A public key. What it is decides the one algorithm it verifies, whatever a token says.
#[derive(Debug)]
pub(super) struct Key {
    kid: String,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    Ec(UnparsedPublicKey<Vec<u8>>),
}

impl Key {
    fn algorithm(&self) -> Algorithm {
        match self.public {
            Public::Rsa(_) => Algorithm::Rs256,
            Public::Ec(_) => Algorithm::Es256,
        }
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), ring::error::Unspecified> {
        match &self.public {
            Public::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Public::Ec(key) => key.verify(message, signature),
        }
    }

    /// None for a key that is not for RS256 or ES256 signatures: other keys may stand beside ours.
    fn from_jwk(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let for_signatures = jwk.usage.is_none_or(|usage| usage == "sig")
            && jwk.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Public::Rsa(rsa(&jwk.n?, &jwk.e?)?),
            ("EC", Some("P-256")) => Public::Ec(p256(&jwk.x?, &jwk.y?)?),
            _ => return None,
        };
        let key = Self { kid: jwk.kid, public };
        let fits = jwk.alg.is_none_or(|alg| alg == key.algorithm().name());
        (for_signatures && fits).then_some(key)
    }
}

fn rsa(n: &str, e: &str) -> Option<RsaPublicKeyComponents<Vec<u8>>> {
    // Some issuers put the sign byte of ASN.1 in front; ring wants none.
    let number = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>())
    };
    let (n, e) = (number(n)?, number(e)?);
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    (bits >= MIN_RSA_BITS).then_some(RsaPublicKeyComponents { n, e })
}

fn p256(x: &str, y: &str) -> Option<UnparsedPublicKey<Vec<u8>>> {
    let coordinate = |text: &str| <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    // 4: both coordinates follow. ring checks that the point is on the curve.
    let point = [&[4], &coordinate(x)?[..], &coordinate(y)?[..]].concat();
    Some(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point))
}

/// RFC 7517. The keys are read one by one, so that one that we don't understand spoils no other.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn parse(body: &[u8]) -> Result<Vec<Arc<Key>>, String> {
    let set: JwkSet = serde_json::from_slice(body).map_err(|error| format!("not a JWKS: {error}"))?;
    Ok(set.keys.into_iter().filter_map(Key::from_jwk).map(Arc::new).collect())
}

/// The issuer's keys, loaded when first needed.
pub(super) struct Keys {
    source: Source,
    held: RwLock<Held>,
    /// Held by the one request to the issuer under way.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    keys: Vec<Arc<Key>>,
    /// When `keys` were loaded.
    loaded: Option<DateTime<Utc>>,
    /// When the issuer was last asked, whether or not it answered.
    asked: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    failure: Option<String>,
}

impl Held {
    fn find(&self, algorithm: Algorithm, kid: &str) -> Option<Arc<Key>> {
        self.keys.iter().find(|key| key.kid == kid && key.algorithm() == algorithm).cloned()
    }

    fn may_ask(&self, now: DateTime<Utc>) -> bool {
        since(self.asked, now) >= if self.keys.is_empty() { ASK_AGAIN_WITHOUT_KEYS } else { ASK_AGAIN }
    }
}

/// Absolute, so that a clock that was set back does not keep us waiting until it is where it was.
fn since(then: Option<DateTime<Utc>>, now: DateTime<Utc>) -> TimeDelta {
    then.map_or(TimeDelta::MAX, |then| (now - then).abs())
}

impl Keys {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        Ok(Self { source: Source::new(url)?, held: RwLock::default(), asking: tokio::sync::Mutex::default() })
    }

    /// The issuer's key of this id and algorithm. An error says why there is none.
    pub(super) async fn find(
        self: &Arc<Self>,
        algorithm: Algorithm,
        kid: &str,
        now: DateTime<Utc>,
    ) -> Result<Arc<Key>, String> {
        let (known, age, may_ask) = {
            let held = self.read();
            (held.find(algorithm, kid), since(held.loaded, now), held.may_ask(now))
        };
        match known {
            Some(key) if age < OLD => return Ok(key),
            Some(key) if age < TOO_OLD => {
                if may_ask {
                    tokio::spawn(Arc::clone(self).load(now));
                }
                return Ok(key);
            }
            // A task of its own: it goes on when our caller hangs up, or one who does so would use up the attempt of
            // the next five minutes. If it fails, `held` says so.
            _ if may_ask => {
                let _ = tokio::spawn(Arc::clone(self).load(now)).await;
            }
            // Somebody else may be asking right now.
            _ => drop(self.asking.lock().await),
        }

        let held = self.read();
        held.find(algorithm, kid).ok_or_else(|| {
            // From the token, so only as much of it as a real one has, and without line ends.
            let kid: String = kid.chars().take(64).collect();
            let reason =
                held.failure.as_ref().map(|why| format!("; the issuer's keys could not be loaded: {why}"));
            format!("no {} key {kid:?}{}", algorithm.name(), reason.unwrap_or_default())
        })
    }

    /// Loads the keys, unless somebody did in the meantime. If that fails the old ones stay.
    async fn load(self: Arc<Self>, now: DateTime<Utc>) {
        let _asking = self.asking.lock().await;
        {
            let mut held = self.write();
            if !held.may_ask(now) {
                return;
            }
            held.asked = Some(now);
        }
        let loaded = self.source.read().await.and_then(|body| parse(&body));

        let mut held = self.write();
        match loaded {
            Ok(keys) => {
                if keys.is_empty() {
                    tracing::warn!("the issuer has no key for RS256 or ES256");
                }
                *held = Held { keys, loaded: Some(now), asked: Some(now), failure: None };
            }
            Err(why) => {
                tracing::warn!("the issuer's keys could not be loaded: {why}");
                held.failure = Some(why);
            }
        }
    }

    // Nothing panics while the lock is held, and if it did, the keys would still be whole.
    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}
