use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use base64::engine::general_purpose::STANDARD;
use chrono::{TimeDelta, TimeZone};
use proptest::prelude::*;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaPair;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
};
use serde_json::json;

use super::*;

/// A key that signs, with its id.
struct Signer {
    kid: &'static str,
    pair: Pair,
}

enum Pair {
    Es256(Box<EcdsaKeyPair>),
    Rs256(Box<RsaPair>),
}

impl Signer {
    fn es256(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { kid, pair: Pair::Es256(Box::new(pair)) }
    }

    /// ring makes no RSA keys, so there is one in a file.
    fn rs256(kid: &'static str) -> Self {
        let base64: String = include_str!("test_rs256.pem")
            .lines()
            .skip_while(|line| !line.starts_with("-----BEGIN"))
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let pkcs8 = STANDARD.decode(base64).unwrap();
        Self { kid, pair: Pair::Rs256(Box::new(RsaPair::from_pkcs8(&pkcs8).unwrap())) }
    }

    fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Rs256(_) => "RS256",
        }
    }

    fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Pair::Rs256(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "n": encode(&public.n), "e": encode(&public.e) })
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg());
        jwk["use"] = json!("sig");
        jwk
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        }
    }

    /// `Bearer` and a token with these claims.
    fn bearer(&self, claims: &Value) -> String {
        self.bearer_with(&json!({ "alg": self.alg(), "kid": self.kid }), claims)
    }

    fn bearer_with(&self, header: &Value, claims: &Value) -> String {
        bearer_of(header, claims, |message| self.sign(message))
    }
}

fn bearer_of(header: &Value, claims: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = encode(sign(&message));
    format!("Bearer {message}.{signature}")
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer on this machine that answers what the test wants, and counts how often it is asked.
struct Issuer {
    url: String,
    state: Arc<State>,
    server: tokio::task::JoinHandle<()>,
}

struct State {
    asked: AtomicUsize,
    answer: Mutex<Answer>,
}

#[derive(Clone)]
enum Answer {
    Body(String),
    Failure,
    Redirect,
    Never,
}

impl Issuer {
    async fn new(jwks: &Value) -> Self {
        let state = Arc::new(State {
            asked: AtomicUsize::new(0),
            answer: Mutex::new(Answer::Body(jwks.to_string())),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/certs", listener.local_addr().unwrap());
        let for_handler = Arc::clone(&state);
        let app = axum::Router::new().route("/certs", get(move || answer(Arc::clone(&for_handler))));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state, server }
    }

    async fn with(signers: &[&Signer]) -> Self {
        Self::new(&jwks(signers)).await
    }

    fn answer(&self) -> MutexGuard<'_, Answer> {
        self.state.answer.lock().unwrap()
    }

    fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    async fn die(self) {
        self.server.abort();
        let _ = self.server.await;
    }

    fn settings(&self) -> Settings {
        Settings { certs_url: Some(self.url.clone()), require_audience: true, issuer: None }
    }

    fn verifier(&self) -> Verifier {
        Verifier::new(self.settings()).unwrap()
    }
}

async fn answer(state: Arc<State>) -> Response {
    state.asked.fetch_add(1, Ordering::SeqCst);
    let answer = state.answer.lock().unwrap().clone();
    match answer {
        Answer::Body(body) => body.into_response(),
        Answer::Failure => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Answer::Redirect => Redirect::temporary("/certs").into_response(),
        Answer::Never => std::future::pending().await,
    }
}

/// Waits until it is so, for what happens behind a request.
async fn soon<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.unwrap();
}

fn jwks(signers: &[&Signer]) -> Value {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() })
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 3, 0, 0).unwrap()
}

/// Claims that are accepted, with `exp` five minutes away.
fn claims() -> Value {
    json!({ "aud": ["account", "cron-mon"], "exp": now().timestamp() + 300, "tenant": "acme" })
}

fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn claims_without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

async fn accepted(verifier: &Verifier, bearer: &str) {
    assert_eq!(verifier.tenant(Some(bearer), now()).await, Ok(Tenant("acme".to_owned())));
}

/// Refused at this time for this reason, in words that tell nothing of the token's parts.
async fn refused_at(verifier: &Verifier, bearer: &str, now: DateTime<Utc>, kind: &str) -> String {
    let log = verifier.tenant(Some(bearer), now).await.unwrap_err().to_string();
    assert!(log.starts_with(&format!("AuthenticationError(\"{kind}\"): ")), "{log}");
    for part in bearer.split(['.', ' ']).filter(|part| part.len() > 10) {
        assert!(!log.contains(part), "{log}");
    }
    log
}

async fn refused(verifier: &Verifier, bearer: &str, kind: &str) -> String {
    refused_at(verifier, bearer, now(), kind).await
}

/// Ways to write a token's claims, each with the reason it is refused for, or None.
async fn check_claims(change: impl Fn(&mut Settings), cases: Vec<(Value, Option<&str>)>) {
    let signer = Signer::es256("one");
    let mut settings = Issuer::with(&[&signer]).await.settings();
    change(&mut settings);
    let verifier = Verifier::new(settings).unwrap();
    for (claims, reason) in cases {
        let bearer = signer.bearer(&claims);
        match reason {
            Some(kind) => drop(refused(&verifier, &bearer, kind).await),
            None => accepted(&verifier, &bearer).await,
        }
    }
}

#[tokio::test]
async fn a_valid_es256_token_gives_its_tenant() {
    let signer = Signer::es256("one");
    accepted(&Issuer::with(&[&signer]).await.verifier(), &signer.bearer(&claims())).await;
}

#[tokio::test]
async fn a_valid_rs256_token_gives_its_tenant() {
    let signer = Signer::rs256("one");
    accepted(&Issuer::with(&[&signer]).await.verifier(), &signer.bearer(&claims())).await;
}

#[tokio::test]
async fn the_word_bearer_may_be_in_any_case_and_exactly_one_space_follows() {
    let signer = Signer::es256("one");
    let verifier = Issuer::with(&[&signer]).await.verifier();
    let bearer = signer.bearer(&claims());
    let token = bearer.strip_prefix("Bearer ").unwrap();
    for good in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        accepted(&verifier, &format!("{good} {token}")).await;
    }
    for bad in ["Bearer  ", "Bearer", "Bearer\t", " Bearer ", "Basic ", "Beärer ", ""] {
        refused(&verifier, &format!("{bad}{token}"), "MissingToken").await;
    }
    refused(&verifier, &format!("{bearer} "), "InvalidToken").await;
    let log = verifier.tenant(None, now()).await.unwrap_err().to_string();
    assert_eq!(log, "AuthenticationError(\"MissingToken\"): no Authorization header");
}

#[tokio::test]
async fn a_token_is_valid_until_a_minute_after_exp() {
    let time = now().timestamp();
    check_claims(
        |_| {},
        vec![
            (claims_with("exp", json!(time - 59)), None),
            (claims_with("exp", json!(time as f64 - 59.5)), None),
            (claims_with("exp", json!(u64::MAX)), None),
            (claims_with("exp", json!(time - 60)), Some("ExpiredSignature")),
            (claims_with("exp", json!(-1)), Some("ExpiredSignature")),
            (claims_with("exp", json!(i64::MIN)), Some("ExpiredSignature")),
            (claims_with("exp", json!("tomorrow")), Some("InvalidToken")),
            (claims_with("exp", json!(null)), Some("MissingRequiredClaim")),
            (claims_without("exp"), Some("MissingRequiredClaim")),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_is_valid_from_a_minute_before_nbf() {
    let time = now().timestamp();
    check_claims(
        |_| {},
        vec![
            (claims_with("nbf", json!(time + 60)), None),
            (claims_with("nbf", json!(time + 61)), Some("ImmatureSignature")),
            (claims_with("nbf", json!([])), Some("InvalidToken")),
        ],
    )
    .await;
}

#[tokio::test]
async fn aud_must_contain_cron_mon() {
    check_claims(
        |_| {},
        vec![
            (claims_with("aud", json!("cron-mon")), None),
            (claims_with("aud", json!([7, "cron-mon"])), None),
            (claims_with("aud", json!("account")), Some("InvalidAudience")),
            (claims_with("aud", json!("cron-mon-app")), Some("InvalidAudience")),
            (claims_with("aud", json!(["Cron-Mon"])), Some("InvalidAudience")),
            (claims_with("aud", json!([])), Some("InvalidAudience")),
            (claims_with("aud", json!({ "cron-mon": 1 })), Some("InvalidAudience")),
            (claims_without("aud"), Some("InvalidAudience")),
        ],
    )
    .await;
}

#[tokio::test]
async fn without_the_requirement_aud_may_be_missing_but_not_another() {
    check_claims(
        |settings| settings.require_audience = false,
        vec![
            (claims_without("aud"), None),
            (claims(), None),
            (claims_with("aud", json!("account")), Some("InvalidAudience")),
        ],
    )
    .await;
}

#[tokio::test]
async fn iss_must_be_the_issuer_of_the_settings_where_there_is_one() {
    check_claims(
        |settings| settings.issuer = Some("https://id.example.com/realms/acme".to_owned()),
        vec![
            (claims_with("iss", json!("https://id.example.com/realms/acme")), None),
            (claims_with("iss", json!("https://id.example.com/realms/other")), Some("InvalidIssuer")),
            (claims_with("iss", json!(["https://id.example.com/realms/acme"])), Some("InvalidIssuer")),
            (claims(), Some("InvalidIssuer")),
        ],
    )
    .await;
    check_claims(|_| {}, vec![(claims_with("iss", json!("anybody")), None)]).await;
}

#[tokio::test]
async fn tenant_must_be_a_text_that_the_database_can_hold() {
    let signer = Signer::es256("one");
    let verifier = Issuer::with(&[&signer]).await.verifier();
    for tenant in ["ä".repeat(255), " ".to_owned(), "'; --".to_owned()] {
        let bearer = signer.bearer(&claims_with("tenant", json!(tenant)));
        assert_eq!(verifier.tenant(Some(&bearer), now()).await, Ok(Tenant(tenant)));
    }
    for tenant in [json!(""), json!("a".repeat(256)), json!("a\0b"), json!(7), json!(["acme"])] {
        refused(&verifier, &signer.bearer(&claims_with("tenant", tenant)), "InvalidTenant").await;
    }
    refused(&verifier, &signer.bearer(&claims_without("tenant")), "MissingRequiredClaim").await;
}

/// Keycloak's say `"typ": "ID"` in their claims; their audience is the client.
#[tokio::test]
async fn an_id_token_opens_nothing() {
    let signer = Signer::es256("one");
    let verifier = Issuer::with(&[&signer]).await.verifier();
    refused(&verifier, &signer.bearer(&claims_with("typ", json!("ID"))), "InvalidToken").await;
    for typ in [json!("Bearer"), json!("JWT"), Value::Null] {
        let bearer = signer.bearer(&claims_with("typ", typ));
        assert!(verifier.tenant(Some(&bearer), now()).await.is_ok());
    }
}

#[tokio::test]
async fn a_token_that_somebody_else_signed_is_refused() {
    let (ours, theirs) = (Signer::es256("one"), Signer::es256("one"));
    let verifier = Issuer::with(&[&ours]).await.verifier();
    refused(&verifier, &theirs.bearer(&claims()), "InvalidSignature").await;
}

#[tokio::test]
async fn a_signature_belongs_to_its_own_claims() {
    let signer = Signer::rs256("one");
    let verifier = Issuer::with(&[&signer]).await.verifier();
    let (acme, other) = (signer.bearer(&claims()), signer.bearer(&claims_with("tenant", json!("other"))));
    let (message, _) = other.rsplit_once('.').unwrap();
    let (_, signature) = acme.rsplit_once('.').unwrap();
    refused(&verifier, &format!("{message}.{signature}"), "InvalidSignature").await;
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let signer = Signer::es256("one");
    let issuer = Issuer::with(&[&signer]).await;
    let verifier = issuer.verifier();
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": alg, "kid": "one" });
        refused(&verifier, &bearer_of(&header, &claims(), |_| Vec::new()), "InvalidAlgorithm").await;
    }
    refused(&verifier, &bearer_of(&json!({ "kid": "one" }), &claims(), |_| Vec::new()), "InvalidAlgorithm")
        .await;
    assert_eq!(issuer.asked(), 0);

    let header = json!({ "alg": "ES256", "kid": "one" });
    refused(&verifier, &bearer_of(&header, &claims(), |_| Vec::new()), "InvalidSignature").await;
}

#[tokio::test]
async fn the_public_key_is_no_shared_secret() {
    let signer = Signer::rs256("one");
    let verifier = Issuer::with(&[&signer]).await.verifier();
    let modulus = URL_SAFE_NO_PAD.decode(signer.jwk()["n"].as_str().unwrap()).unwrap();
    for alg in ["HS256", "RS256", "ES256"] {
        for secret in [modulus.clone(), signer.jwk().to_string().into_bytes()] {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let header = json!({ "alg": alg, "kid": "one" });
            let bearer =
                bearer_of(&header, &claims(), |text| hmac::sign(&secret, text.as_bytes()).as_ref().to_vec());
            let kind = match alg {
                "HS256" => "InvalidAlgorithm",
                "RS256" => "InvalidSignature",
                _ => "UnknownKey",
            };
            refused(&verifier, &bearer, kind).await;
        }
    }
}

#[tokio::test]
async fn a_key_verifies_only_its_own_algorithm() {
    let (rsa, ec) = (Signer::rs256("rsa"), Signer::es256("ec"));
    let verifier = Issuer::with(&[&rsa, &ec]).await.verifier();
    refused(&verifier, &rsa.bearer_with(&json!({ "alg": "RS256", "kid": "ec" }), &claims()), "UnknownKey")
        .await;
    refused(&verifier, &ec.bearer_with(&json!({ "alg": "ES256", "kid": "rsa" }), &claims()), "UnknownKey")
        .await;
    for alg in ["RS384", "PS256", "ES384", "EdDSA", "rs256"] {
        let bearer = rsa.bearer_with(&json!({ "alg": alg, "kid": "rsa" }), &claims());
        refused(&verifier, &bearer, "InvalidAlgorithm").await;
    }
}

#[tokio::test]
async fn the_header_must_have_a_kid_and_no_crit() {
    let signer = Signer::es256("one");
    let verifier = Issuer::with(&[&signer]).await.verifier();
    for header in [
        json!({ "alg": "ES256" }),
        json!({ "alg": "ES256", "kid": 1 }),
        json!({ "alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false }),
        json!(["ES256", "one"]),
    ] {
        refused(&verifier, &signer.bearer_with(&header, &claims()), "InvalidToken").await;
    }
}

#[tokio::test]
async fn claims_that_are_no_object_are_refused() {
    check_claims(
        |_| {},
        [json!([]), json!("acme"), json!(null)].map(|claims| (claims, Some("InvalidToken"))).to_vec(),
    )
    .await;
}

#[tokio::test]
async fn keys_that_cannot_be_used_do_no_harm_to_the_others() {
    let (rsa, ec) = (Signer::rs256("rsa"), Signer::es256("ec"));
    let with = |signer: &Signer, changes: &[(&str, Value)]| {
        let mut jwk = signer.jwk();
        for (name, value) in changes {
            jwk[name] = value.clone();
        }
        jwk
    };
    // The test key's modulus with its last bytes cut off: 1024 and 2047 bits.
    let n = URL_SAFE_NO_PAD.decode(rsa.jwk()["n"].as_str().unwrap()).unwrap();
    let mut short = n.clone();
    short[0] &= 0x7f;
    let useless = [
        json!("not a key"),
        json!({}),
        json!({ "kid": "oct", "kty": "oct", "k": "c2VjcmV0" }),
        json!({ "kid": "okp", "kty": "OKP", "crv": "Ed25519", "x": encode([1; 32]), "alg": "EdDSA" }),
        json!({ "kid": 7, "kty": "RSA" }),
        with(&rsa, &[("kid", json!("enc")), ("use", json!("enc")), ("alg", json!("RSA-OAEP"))]),
        with(&rsa, &[("kid", json!("ps")), ("alg", json!("PS256"))]),
        with(&rsa, &[("kid", json!("ops")), ("key_ops", json!(["encrypt"]))]),
        with(&rsa, &[("kid", json!("small")), ("n", json!(encode(&n[..128])))]),
        with(&rsa, &[("kid", json!("short")), ("n", json!(encode(&short)))]),
        with(&rsa, &[("kid", json!("zero")), ("n", json!(encode([0; 256])))]),
        with(&rsa, &[("kid", json!("empty")), ("n", json!(""))]),
        with(&rsa, &[("kid", json!("no e")), ("e", json!(null))]),
        with(&ec, &[("kid", json!("p384")), ("crv", json!("P-384"))]),
        with(&ec, &[("kid", json!("x")), ("x", json!("AA"))]),
    ];
    let mut good_rsa = rsa.jwk();
    // As some issuers write it: no alg, and the sign byte in front of the modulus.
    good_rsa.as_object_mut().unwrap().remove("alg");
    good_rsa["n"] = json!(encode([&[0], &n[..]].concat()));
    let mut good_ec = ec.jwk();
    good_ec.as_object_mut().unwrap().retain(|name, _| name != "alg" && name != "use");

    let mut keys = useless.to_vec();
    keys.insert(3, good_rsa);
    keys.push(good_ec);
    let verifier = Issuer::new(&json!({ "keys": keys })).await.verifier();
    accepted(&verifier, &rsa.bearer(&claims())).await;
    accepted(&verifier, &ec.bearer(&claims())).await;
    for kid in useless.iter().filter_map(|jwk| jwk["kid"].as_str()) {
        for signer in [&rsa, &ec] {
            let header = json!({ "alg": signer.alg(), "kid": kid });
            refused(&verifier, &signer.bearer_with(&header, &claims()), "UnknownKey").await;
        }
    }
}

#[tokio::test]
async fn a_key_that_is_no_point_of_the_curve_verifies_nothing() {
    let signer = Signer::es256("one");
    let mut jwk = signer.jwk();
    jwk["y"] = json!(encode([1; 32]));
    let verifier = Issuer::new(&json!({ "keys": [jwk] })).await.verifier();
    refused(&verifier, &signer.bearer(&claims()), "InvalidSignature").await;
}

#[tokio::test]
async fn an_unknown_kid_asks_the_issuer_once_in_five_minutes() {
    let (known, unknown) = (Signer::es256("known"), Signer::es256("un\nknown"));
    let issuer = Issuer::with(&[&known]).await;
    let verifier = issuer.verifier();
    assert_eq!(issuer.asked(), 0);
    let bearer = unknown.bearer(&claims());
    for second in [0, 1, 10, 299] {
        let log = refused_at(&verifier, &bearer, now() + TimeDelta::seconds(second), "UnknownKey").await;
        assert!(log.ends_with(r#"no ES256 key "un\nknown""#), "{log}");
        accepted(&verifier, &known.bearer(&claims())).await;
    }
    assert_eq!(issuer.asked(), 1);
    refused_at(&verifier, &bearer, now() + TimeDelta::seconds(300), "UnknownKey").await;
    assert_eq!(issuer.asked(), 2);
    // The clock was set back by a day: no reason to wait for a day.
    refused_at(&verifier, &bearer, now() - TimeDelta::days(1), "UnknownKey").await;
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test]
async fn requests_at_once_ask_the_issuer_once_and_all_get_its_answer() {
    let (known, unknown) = (Signer::es256("known"), Signer::es256("unknown"));
    let issuer = Issuer::with(&[&known]).await;
    let verifier = issuer.verifier();
    let tasks: Vec<_> = (0..50)
        .map(|index| {
            let verifier = verifier.clone();
            let signer = if index % 5 == 0 { &unknown } else { &known };
            let bearer = signer.bearer(&claims());
            tokio::spawn(async move { verifier.tenant(Some(&bearer), now()).await.is_ok() })
        })
        .collect();
    for (index, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), index % 5 != 0);
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_waste_the_attempt() {
    let signer = Signer::es256("one");
    let issuer = Issuer::with(&[&signer]).await;
    let verifier = issuer.verifier();
    let bearer = signer.bearer(&claims());
    let first = verifier.clone();
    let hung_up = {
        let bearer = bearer.clone();
        tokio::spawn(async move { first.tenant(Some(&bearer), now()).await })
    };
    soon(|| std::future::ready(issuer.asked() == 1)).await;
    hung_up.abort();
    accepted(&verifier, &bearer).await;
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_after_five_minutes_without_a_restart() {
    let (old, new) = (Signer::es256("old"), Signer::rs256("new"));
    let issuer = Issuer::with(&[&old]).await;
    let verifier = issuer.verifier();
    accepted(&verifier, &old.bearer(&claims())).await;
    *issuer.answer() = Answer::Body(jwks(&[&new]).to_string());
    refused(&verifier, &new.bearer(&claims()), "UnknownKey").await;

    let later = now() + TimeDelta::minutes(5);
    let fresh = claims_with("exp", json!(later.timestamp() + 300));
    assert!(verifier.tenant(Some(&new.bearer(&fresh)), later).await.is_ok());
    refused_at(&verifier, &old.bearer(&fresh), later, "UnknownKey").await;
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_removed_key_stops_working_within_a_day() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let long = claims_with("exp", json!(now().timestamp() + 30 * 24 * 3600));
    let issuer = Issuer::with(&[&old]).await;
    let verifier = issuer.verifier();
    accepted(&verifier, &old.bearer(&long)).await;
    *issuer.answer() = Answer::Body(jwks(&[&new]).to_string());
    let bearer = old.bearer(&long);
    let after = |hours| now() + TimeDelta::hours(hours);

    assert!(verifier.tenant(Some(&bearer), after(11)).await.is_ok());
    assert_eq!(issuer.asked(), 1);
    // Nobody came for a day: the first one waits for the new keys.
    refused_at(&verifier.clone(), &bearer, after(24), "UnknownKey").await;
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn keys_are_loaded_anew_behind_a_request_after_half_a_day() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let long = claims_with("exp", json!(now().timestamp() + 30 * 24 * 3600));
    let issuer = Issuer::with(&[&old]).await;
    let verifier = issuer.verifier();
    accepted(&verifier, &old.bearer(&long)).await;
    *issuer.answer() = Answer::Body(jwks(&[&new]).to_string());
    let later = now() + TimeDelta::hours(12);
    assert!(verifier.tenant(Some(&old.bearer(&long)), later).await.is_ok());
    let bearer = old.bearer(&long);
    soon(|| async { verifier.tenant(Some(&bearer), later).await.is_err() }).await;
    assert!(verifier.tenant(Some(&new.bearer(&long)), later).await.is_ok());
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_dead_issuer_stops_nobody_with_a_known_key() {
    let (known, unknown) = (Signer::es256("known"), Signer::es256("unknown"));
    let long = claims_with("exp", json!(now().timestamp() + 30 * 24 * 3600));
    let issuer = Issuer::with(&[&known]).await;
    let verifier = issuer.verifier();
    accepted(&verifier, &known.bearer(&long)).await;
    issuer.die().await;
    for minutes in [0, 5, 60, 12 * 60, 24 * 60, 24 * 60 + 1, 20 * 24 * 60] {
        let later = now() + TimeDelta::minutes(minutes);
        assert!(verifier.tenant(Some(&known.bearer(&long)), later).await.is_ok());
        refused_at(&verifier, &unknown.bearer(&long), later, "UnknownKey").await;
    }
}

#[tokio::test]
async fn an_issuer_that_fails_at_first_is_asked_again_after_ten_seconds() {
    let signer = Signer::es256("one");
    let issuer = Issuer::with(&[&signer]).await;
    let verifier = issuer.verifier();
    let good = jwks(&[&signer]).to_string();
    let mut times = (0..).map(|index| now() + TimeDelta::seconds(10 * index));
    for (answer, reason) in [
        (Answer::Failure, "503"),
        (Answer::Redirect, "redirect"),
        (Answer::Body("<html>".to_owned()), "not a JWKS"),
        (Answer::Body(r#"{"keys": 7}"#.to_owned()), "not a JWKS"),
        (Answer::Body(good.clone() + &" ".repeat(1024 * 1024)), "longer than 1048576 bytes"),
    ] {
        *issuer.answer() = answer;
        let time = times.next().unwrap();
        let log = refused_at(&verifier, &signer.bearer(&claims()), time, "UnknownKey").await;
        assert!(log.contains("could not be loaded") && log.contains(reason), "{log}");
        assert!(!log.contains("127.0.0.1"), "{log}");

        *issuer.answer() = Answer::Body(good.clone());
        let asked = issuer.asked();
        refused_at(&verifier, &signer.bearer(&claims()), time + TimeDelta::seconds(9), "UnknownKey").await;
        assert_eq!(issuer.asked(), asked);
    }
    assert!(verifier.tenant(Some(&signer.bearer(&claims())), times.next().unwrap()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_never_answers_costs_five_seconds() {
    let signer = Signer::es256("one");
    let issuer = Issuer::with(&[&signer]).await;
    *issuer.answer() = Answer::Never;
    let start = tokio::time::Instant::now();
    let log = refused(&issuer.verifier(), &signer.bearer(&claims()), "UnknownKey").await;
    assert!(log.contains("timed out"), "{log}");
    assert!(start.elapsed() < std::time::Duration::from_secs(6));
}

#[tokio::test]
async fn the_keys_may_be_in_a_file() {
    let signer = Signer::es256("one");
    let path = std::env::temp_dir().join(format!("cronmon {}.json", uuid::Uuid::new_v4()));
    let certs_url = reqwest::Url::from_file_path(&path).unwrap().to_string();
    let settings = Settings { certs_url: Some(certs_url), require_audience: true, issuer: None };
    let verifier = Verifier::new(settings).unwrap();
    let bearer = signer.bearer(&claims());

    let log = refused(&verifier, &bearer, "UnknownKey").await;
    assert!(log.contains("No such file"), "{log}");
    std::fs::write(&path, jwks(&[&signer]).to_string()).unwrap();
    let accepted = verifier.tenant(Some(&bearer), now() + TimeDelta::seconds(10)).await;
    std::fs::remove_file(&path).unwrap();
    assert!(accepted.is_ok());
}

#[test]
fn a_url_that_cannot_work_is_told_at_the_start() {
    let new = |url: &str| {
        Verifier::new(Settings { certs_url: Some(url.to_owned()), require_audience: true, issuer: None })
            .map(|_| ())
    };
    for bad in ["", "certs", "/certs", "ftp://id.example.com/certs", "file://elsewhere/certs", "https://"] {
        assert!(new(bad).unwrap_err().starts_with("KEYCLOAK_CERTS_URL: "), "{bad}");
    }
    for good in ["http://localhost:8080/realms/a/protocol/openid-connect/certs", "file:///tmp/jwks.json"] {
        assert_eq!(new(good), Ok(()));
    }
}

/// Builds what is needed once, then asks the verifier about one header after another.
fn with_verifier(test: impl FnOnce(&dyn Fn(&str) -> Result<Tenant, Refused>, &Signer)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let signer = Signer::rs256("one");
    let verifier = runtime.block_on(async { Issuer::with(&[&signer]).await.verifier() });
    test(&|header| runtime.block_on(verifier.tenant(Some(header), now())), &signer);
}

#[test]
fn no_text_at_all_makes_it_panic_or_is_accepted() {
    with_verifier(|ask, _| {
        let text = prop_oneof![
            any::<String>(),
            any::<String>().prop_map(|text| format!("Bearer {text}")),
            proptest::collection::vec(any::<String>(), 0..5).prop_map(|parts| format!(
                "Bearer {}",
                parts.iter().map(encode).collect::<Vec<_>>().join(".")
            )),
            "Bearer [A-Za-z0-9_.-]{0,200}",
        ];
        proptest!(|(header in text)| prop_assert!(ask(&header).is_err()));
    });
}

#[test]
fn a_token_with_one_character_changed_is_refused() {
    with_verifier(|ask, signer| {
        let bearer = signer.bearer(&claims());
        assert!(ask(&bearer).is_ok());
        let characters: Vec<char> = bearer.chars().collect();
        let anywhere = "Bearer ".len()..characters.len();
        proptest!(|(at in anywhere, other in any::<char>(), how in 0..3)| {
            let mut changed = characters.clone();
            match how {
                0 if changed[at] == other => return Ok(()),
                0 => changed[at] = other,
                1 => changed.insert(at, other),
                _ => drop(changed.remove(at)),
            }
            prop_assert!(ask(&changed.into_iter().collect::<String>()).is_err());
        });
    });
}

#[test]
fn no_signed_header_or_claims_make_it_panic() {
    with_verifier(|ask, signer| {
        let value = any::<Option<i64>>().prop_map(|number| json!(number)).boxed();
        let value = prop_oneof![
            value,
            any::<f64>().prop_map(|number| json!(number)),
            any::<String>().prop_map(|text| json!(text)),
            any::<Vec<String>>().prop_map(|texts| json!(texts)),
        ];
        let name = prop::sample::select(vec!["exp", "nbf", "aud", "iss", "tenant"]);
        let changes = proptest::collection::vec((name, value), 1..4);
        proptest!(|(changes in changes)| {
            let mut claims = claims();
            for (name, value) in changes {
                claims[name] = value;
            }
            if let Ok(Tenant(tenant)) = ask(&signer.bearer(&claims)) {
                prop_assert_eq!(json!(tenant), claims["tenant"].clone());
            }
        });
    });
}
