//! TLS to Postgres: when, and whose certificates are believed.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// By region. The file says where they come from.
const RDS: &str = include_str!("../ca/rds.pem");

/// How to speak TLS to the server of `config`, or `None` where it is spoken to plainly. From then on `config`
/// accepts nothing else.
pub(crate) fn for_server(
    config: &mut Config,
    url: &str,
    ca: Option<&str>,
) -> Result<Option<MakeRustlsConnect>, String> {
    // The driver's own default is to try TLS and do without: whoever is in between decides.
    if config.get_ssl_mode() == SslMode::Disable || is_on_this_machine(config) && !url.contains("sslmode") {
        config.ssl_mode(SslMode::Disable);
        return Ok(None);
    }
    config.ssl_mode(SslMode::Require);
    let roots = match ca {
        // Some ways of setting a variable leave no room for line ends.
        Some(pem) => of_pem(pem.replace("\\n", "\n").as_bytes()).map_err(|e| format!("DATABASE_CA: {e}"))?,
        None => for_hosts(config.get_hosts())?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("can't set up TLS: {e}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(tls)))
}

/// Certificates are always verified in full, for which the driver has no words.
pub(crate) fn in_the_drivers_words(url: &str) -> String {
    url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

/// An address that is given beside a host is where the connection goes.
pub(crate) fn is_on_this_machine(config: &Config) -> bool {
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    hosts && !config.get_hosts().is_empty() && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Whether the server is an RDS Proxy, which is less than PostgreSQL in some ways.
pub(crate) fn is_rds_proxy(config: &Config) -> bool {
    config.get_hosts().iter().any(|host| match host {
        Host::Tcp(name) => name.contains(".proxy-") && name.ends_with(".rds.amazonaws.com"),
        #[cfg(unix)]
        Host::Unix(_) => false,
    })
}

fn for_hosts(hosts: &[Host]) -> Result<RootCertStore, String> {
    for host in hosts {
        if let Host::Tcp(name) = host
            && let Some(region) = rds_region(name)
        {
            return rds(region).ok_or_else(|| {
                format!("no certificates of Amazon RDS in {region} are known here; set DATABASE_CA to theirs")
            })?;
        }
    }
    Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
}

/// The region of a host such as `db.abc.eu-central-1.rds.amazonaws.com`. An RDS Proxy has public certificates.
fn rds_region(host: &str) -> Option<&str> {
    let before = host.strip_suffix(".rds.amazonaws.com")?;
    if before.contains(".proxy-") {
        return None;
    }
    before.rsplit('.').next()
}

fn rds(region: &str) -> Option<Result<RootCertStore, String>> {
    let (_, rest) = RDS.split_once(&format!("\n[{region}]\n"))?;
    let section = rest.split("\n[").next()?;
    Some(of_pem(section.as_bytes()))
}

fn of_pem(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| format!("not PEM: {e}"))?;
        roots.add(certificate).map_err(|e| format!("a certificate can't be used: {e}"))?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate in PEM".to_owned());
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> (bool, SslMode) {
        let mut config: Config = url.parse().unwrap();
        let tls = for_server(&mut config, url, None).unwrap();
        (tls.is_some(), config.get_ssl_mode())
    }

    #[test]
    fn another_machine_is_spoken_to_over_tls_and_in_no_other_way() {
        for url in [
            "postgres://db.example.com/x",
            "postgres://10.0.0.7/x?sslmode=prefer",
            "postgres://a,localhost/x",
        ] {
            assert_eq!(mode(url), (true, SslMode::Require), "{url}");
        }
        assert_eq!(mode("postgres://db.example.com/x?sslmode=disable"), (false, SslMode::Disable));
    }

    #[test]
    fn this_machine_is_spoken_to_plainly_unless_the_url_says_otherwise() {
        for url in ["postgres://localhost/x", "postgres://127.0.0.1:5433/x", "postgres://%2Fvar%2Frun/x"] {
            assert_eq!(mode(url), (false, SslMode::Disable), "{url}");
        }
        assert_eq!(mode("postgres://127.0.0.1/x?sslmode=require"), (true, SslMode::Require));
    }

    #[test]
    fn rds_is_believed_by_the_certificates_of_its_region() {
        let mut sections: Vec<&str> =
            RDS.split("\n[").skip(1).map(|s| s.split(']').next().unwrap()).collect();
        assert!(sections.len() >= 27);
        for region in sections.drain(..) {
            assert_eq!(rds(region).unwrap().unwrap().len(), 3, "{region}");
        }
        let url = "postgres://db.abc123.eu-central-1.rds.amazonaws.com/x";
        assert_eq!(mode(url), (true, SslMode::Require));
        assert_eq!(rds_region("db.abc123.eu-central-1.rds.amazonaws.com"), Some("eu-central-1"));
        assert_eq!(rds_region("p.proxy-abc123.eu-central-1.rds.amazonaws.com"), None);
        assert_eq!(rds_region("rds.amazonaws.com.example.com"), None);
    }

    #[test]
    fn a_region_without_known_certificates_asks_for_them() {
        let url = "postgres://db.abc123.moon-1.rds.amazonaws.com/x";
        let error = for_server(&mut url.parse().unwrap(), url, None).err().unwrap();
        assert_eq!(
            error,
            "no certificates of Amazon RDS in moon-1 are known here; set DATABASE_CA to theirs"
        );
        let section = RDS.split_once("[eu-west-1]\n").unwrap().1.split("\n[").next().unwrap();
        for ca in [section, &section.replace('\n', "\\n")] {
            assert!(for_server(&mut url.parse().unwrap(), url, Some(ca)).unwrap().is_some());
        }
    }

    #[test]
    fn a_ca_that_holds_no_certificate_is_refused() {
        let url = "postgres://db.example.com/x";
        for ca in ["nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = for_server(&mut url.parse().unwrap(), url, Some(ca)).err().unwrap();
            assert!(error.starts_with("DATABASE_CA: "), "{error}");
        }
    }
}
