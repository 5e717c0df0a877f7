//! Keys and tokens as an issuer makes them, good ones and bad ones.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use uuid::Uuid;

pub struct Issuer {
    key: EcdsaKeyPair,
    kid: String,
    certs: PathBuf,
}

impl Issuer {
    /// An issuer with a new key, whose certs lie in a file.
    #[must_use]
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let kid = Uuid::new_v4().to_string();
        let point = key.public_key().as_ref();
        let certs = std::env::temp_dir().join(format!("cronmon-test-certs-{kid}.json"));
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
            "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65]),
        }] });
        std::fs::write(&certs, keys.to_string()).unwrap();
        Self { key, kid, certs }
    }

    #[must_use]
    pub fn certs_url(&self) -> String {
        format!("file://{}", self.certs.display())
    }

    /// A token that opens the API for a tenant for some years.
    #[must_use]
    pub fn token(&self, tenant: &str) -> String {
        self.sign(&json!({ "aud": ["cron-mon"], "tenant": tenant, "exp": 4_000_000_000_u64 }))
    }

    /// A token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid });
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }

    /// The claims of a good token, under another header and without a signature.
    #[must_use]
    pub fn unsigned(&self, tenant: &str) -> String {
        let header = json!({ "alg": "none", "typ": "JWT", "kid": self.kid });
        let claims = json!({ "aud": ["cron-mon"], "tenant": tenant, "exp": 4_000_000_000_u64 });
        format!("{}.{}.", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
    }

    /// Takes over another issuer's key id: its tokens look like the other's until one checks them.
    #[must_use]
    pub fn impersonating(mut self, other: &Self) -> Self {
        self.kid.clone_from(&other.kid);
        self
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.certs));
    }
}
