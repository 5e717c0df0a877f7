//! An issuer as Keycloak is one: RS256 tokens, keys of several kinds at an URL.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cronmon_tests::tokens;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) struct Issuer {
    pub(crate) certs_url: String,
    /// Signs ES256; its key is in the same set.
    pub(crate) elliptic: tokens::Issuer,
    key: RsaKeyPair,
    keys: Arc<Mutex<Vec<Value>>>,
    fetches: Arc<AtomicUsize>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        // ring makes no RSA keys; this one opens nothing but tests.
        let pem = include_str!("../../../functions/api/src/auth/test_rs256.pem");
        let base64: String = pem
            .lines()
            .skip_while(|line| !line.starts_with("-----BEGIN"))
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let certs_url = format!("http://{}/certs", listener.local_addr().unwrap());
        let elliptic = tokens::Issuer::new();
        let issuer = Self { certs_url, elliptic, key, keys: Arc::default(), fetches: Arc::default() };
        let x = URL_SAFE_NO_PAD.encode([7; 32]);
        // Keys that are of no use to us stand before the one that is.
        for useless in [
            json!({ "kid": "ec", "kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "x": x, "y": x }),
            json!({ "kid": "enc", "kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "n": x, "e": "AQAB" }),
            json!({ "kid": "no alg", "kty": "RSA", "n": x, "e": "AQAB" }),
            json!({ "kid": "new", "kty": "AKP", "alg": "ML-DSA-44", "pub": x }),
        ] {
            issuer.add(useless);
        }
        issuer.add(issuer.jwk("rsa"));
        let file = issuer.elliptic.certs_url();
        let certs = std::fs::read(file.strip_prefix("file://").unwrap()).unwrap();
        let certs: Value = serde_json::from_slice(&certs).unwrap();
        issuer.add(certs["keys"][0].clone());
        let (keys, fetches) = (issuer.keys.clone(), issuer.fetches.clone());
        let certs = async move || {
            fetches.fetch_add(1, Ordering::SeqCst);
            let keys = keys.lock().unwrap().clone();
            json!({ "keys": keys }).to_string()
        };
        let app = Router::new().route("/certs", get(certs));
        tokio::spawn(async move { axum::serve(listener, app).await });
        issuer
    }

    /// How often its keys were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn add(&self, jwk: Value) {
        self.keys.lock().unwrap().push(jwk);
    }

    /// Its key under another id.
    fn jwk(&self, kid: &str) -> Value {
        let public = PublicKeyComponents::<Vec<u8>>::from(self.key.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(public.n), URL_SAFE_NO_PAD.encode(public.e));
        json!({ "kid": kid, "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({ "alg": "RS256", "typ": "JWT", "kid": "rsa" }), claims)
    }

    /// The signature is RS256 whatever the header says.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
