//! How a function gets into its database: TLS, and a secret that rotates.

use std::sync::Arc;

use cronmon_tests::contents::count;
use cronmon_tests::cronmon::http_client;
use cronmon_tests::lambda::{Queue, Settings, Stack, aws, can_run};
use cronmon_tests::person::Person;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A certificate authority of our own.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Speaks TLS as Postgres does, in front of one that does not. Answers with its port.
async fn tls_before(port: u16, authority: &CertifiedIssuer<'static, KeyPair>) -> u16 {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut request = [0; 8];
                client.read_exact(&mut request).await.unwrap();
                assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47], "not the request for TLS");
                client.write_all(b"S").await.unwrap();
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                drop(copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    own
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_with_a_certificate_that_is_verified() {
    if !can_run() {
        return;
    }
    let (ours, theirs) = (authority(), authority());
    let plain = Stack::start().await;
    let (server, name) = plain.database_url.rsplit_once('@').unwrap();
    let (host, name) = name.split_once('/').unwrap();
    let port = tls_before(host.rsplit(':').next().unwrap().parse().unwrap(), &ours).await;
    let through_tls = format!("{server}@localhost:{port}/{name}?sslmode=require");
    let by_address = format!("{server}@127.0.0.1:{port}/{name}?sslmode=verify-full");
    let without_tls = format!("{}?sslmode=require", plain.database_url);
    let ours = ours.pem();
    for (url, ca, answers) in [
        (&through_tls, ours.as_str(), 200),
        (&through_tls, &theirs.pem(), 503), // somebody else vouches for it
        (&through_tls, "", 503),            // nobody public does
        (&by_address, &ours, 503),          // it is vouched for under another name
        (&without_tls, &ours, 503),         // it speaks no TLS, and then nothing is said
    ] {
        let stack = Stack::with(&settings(&[("DATABASE_URL", url), ("DATABASE_CA", ca)])).await;
        let ready = http_client().get(format!("{}/api/v1/health/ready", stack.url)).send().await.unwrap();
        assert_eq!(ready.status(), answers, "{}", stack.functions.api.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_secret_that_is_rotated_under_it() {
    if !can_run() {
        return;
    }
    let queue = Queue::new().await;
    let role = format!("rotated_{}", uuid::Uuid::new_v4().simple());
    let secret = json!({ "username": role, "password": "first", "engine": "postgres" }).to_string();
    let http = http_client();
    let create = json!({ "Name": role, "SecretString": secret, "ClientRequestToken": uuid::Uuid::new_v4() });
    let made = aws(&http, queue.endpoint(), "secretsmanager", "secretsmanager.CreateSecret", create).await;
    let admin = Stack::start().await;
    let (host, name) = admin.database_url.rsplit_once('@').unwrap().1.split_once('/').unwrap();
    let execute =
        async |statement: &str| admin.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
    execute(&format!("create role {role} login superuser password 'first'")).await;

    let stack = Stack::with(&settings(&[
        ("DATABASE_URL", &format!("postgres://{host}/{name}")),
        ("DATABASE_SECRET_ARN", made["ARN"].as_str().unwrap()),
    ]))
    .await;
    let person = Person::new(stack.issuer.token("acme"));
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": null })).await;
    person.pings(&format!("{}{ping}", stack.url)).await;

    execute(&format!("alter role {role} password 'second'")).await;
    let rotated = json!({ "username": role, "password": "second" }).to_string();
    let put =
        json!({ "SecretId": role, "SecretString": rotated, "ClientRequestToken": uuid::Uuid::new_v4() });
    aws(&http, queue.endpoint(), "secretsmanager", "secretsmanager.PutSecretValue", put).await;
    let kill =
        format!("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = '{role}'");
    assert!(count(&admin.pool, &kill).await >= 2);
    person.pings(&format!("{}{ping}", stack.url)).await;
    assert_eq!(count(&admin.pool, "select count(*) from signal").await, 2);
    let logs = [stack.functions.ping.log(), stack.functions.api.log()].join("");
    assert!(!logs.contains("first") && !logs.contains("second"), "{logs}");
    drop(stack);
    execute(&format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"))
        .await;
    execute(&format!("drop role {role}")).await;
}
