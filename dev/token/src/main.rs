//! Signs a token for development, with a key of its own that it makes at the first use.
//!
//! `cronmon-dev-token --dir DIR [--tenant TENANT] [--hours HOURS] [--name NAME]` prints the token alone.
//! `KEYCLOAK_CERTS_URL=file:///DIR/jwks.json` lets CronMon believe it. Never part of anything that is deployed.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

const USAGE: &str = "usage: cronmon-dev-token --dir DIR [--tenant TENANT] [--hours HOURS] [--name NAME]";

/// A month: a token in a shell history should not stop working in the middle of something.
const DEFAULT_HOURS: u32 = 24 * 30;

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// Where the key and the JWKS are, or will be.
    dir: PathBuf,
    tenant: String,
    hours: u32,
    name: String,
}

fn main() -> ExitCode {
    let arguments: Result<Vec<_>, _> = std::env::args_os().skip(1).map(OsString::into_string).collect();
    let parsed = arguments.map_err(|_| "an argument is not UTF-8".to_owned());
    let options = match parsed.and_then(|arguments| options(arguments.into_iter())) {
        Ok(options) => options,
        Err(error) => return fail(&format!("{error}; {USAGE}"), 2),
    };
    #[allow(clippy::disallowed_methods)] // A main reads the clock.
    let now = Utc::now();
    match run(&options, now) {
        Ok(token) => match writeln!(std::io::stdout(), "{token}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("cannot print the token: {error}"), 1),
        },
        Err(error) => fail(&error, 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // If even that cannot be written, the code still tells.
    let _ = writeln!(std::io::stderr(), "cronmon-dev-token: {message}");
    ExitCode::from(code)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut dir, mut tenant, mut name, mut hours) = (None, "dev".to_owned(), None, DEFAULT_HOURS);
    while let Some(option) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{option} needs a value"))
        };
        match option.as_str() {
            "--dir" => dir = Some(PathBuf::from(value()?)),
            "--tenant" => tenant = value()?,
            "--name" => name = Some(value()?),
            "--hours" => {
                hours = value()?.parse().map_err(|_| "--hours needs a whole number of hours".to_owned())?;
            }
            _ => return Err(format!("there is no option {option}")),
        }
    }
    let dir = dir.ok_or("--dir is missing")?;
    if tenant.chars().count() > 255 || tenant.contains('\0') {
        return Err("--tenant may have at most 255 characters".to_owned());
    }
    Ok(Options { dir, name: name.unwrap_or_else(|| tenant.clone()), tenant, hours })
}

/// A token that is valid from `now` on, signed with the folder's key.
fn run(options: &Options, now: DateTime<Utc>) -> Result<String, String> {
    let random = SystemRandom::new();
    let pair = key(&options.dir, &random)?;
    let public = pair.public_key().as_ref();
    let kid = hex(digest::digest(&digest::SHA256, public).as_ref().get(..8).unwrap_or_default());
    let jwks = options.dir.join("jwks.json");
    write_jwks(&jwks, public, &kid, &random)
        .map_err(|error| format!("cannot write {}: {error}", jwks.display()))?;
    sign(options, now, &pair, &kid, &random).map_err(|_| "cannot sign: no random numbers".to_owned())
}

/// The folder's key; a new one if there is none.
fn key(dir: &Path, random: &SystemRandom) -> Result<EcdsaKeyPair, String> {
    let path = dir.join("key.pkcs8");
    if !path.exists() {
        make_key(dir, &path, random)
            .map_err(|error| format!("cannot make a key in {}: {error}", dir.display()))?;
    }
    let pkcs8 = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, random)
        .map_err(|_| format!("{} holds no P-256 key; remove it, and a new one is made", path.display()))
}

fn make_key(dir: &Path, path: &Path, random: &SystemRandom) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;

    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random)
        .map_err(|_| std::io::Error::other("no random numbers"))?;
    let new = write_beside(path, pkcs8.as_ref(), random)?;
    // A link, unlike a rename, never replaces: of two that start at once the second finds the first one's key.
    let linked = match std::fs::hard_link(&new, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    std::fs::remove_file(&new)?;
    linked
}

fn write_jwks(path: &Path, public: &[u8], kid: &str, random: &SystemRandom) -> std::io::Result<()> {
    // 4, then x and y with 32 bytes each.
    let (x, y) = public.split_at_checked(33).unwrap_or_default();
    let jwks = json!({ "keys": [{
        "kid": kid,
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "x": encode(x.get(1..).unwrap_or_default()),
        "y": encode(y),
    }]});
    let text = format!("{jwks:#}\n");
    // The same key gives the same text, so there is nothing to write but at the first time.
    if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let new = write_beside(path, text.as_bytes(), random)?;
    std::fs::rename(new, path)
}

/// Writes to a new file in the same folder that nobody else can read, and returns its path.
fn write_beside(path: &Path, bytes: &[u8], random: &SystemRandom) -> std::io::Result<PathBuf> {
    let suffix = random_hex(random).map_err(|_| std::io::Error::other("no random numbers"))?;
    let new = path.with_added_extension(suffix);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&new).and_then(|mut file: File| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        let _ = std::fs::remove_file(&new);
        return Err(error);
    }
    Ok(new)
}

fn sign(
    options: &Options,
    now: DateTime<Utc>,
    pair: &EcdsaKeyPair,
    kid: &str,
    random: &SystemRandom,
) -> Result<String, ring::error::Unspecified> {
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": kid });
    // CronMon itself wants `aud`, `exp` and `tenant`. The others are what clients of a Keycloak token look at.
    let claims = json!({
        "aud": ["cron-mon"],
        "tenant": options.tenant,
        "exp": now.timestamp() + i64::from(options.hours) * 3600,
        "iat": now.timestamp(),
        "auth_time": now.timestamp(),
        "iss": "cronmon-dev",
        "sub": options.name,
        "name": options.name,
        "azp": "cronmon-dev",
        "acr": "1",
        "jti": random_hex(random)?,
    });
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = pair.sign(random, message.as_bytes())?;
    Ok(format!("{message}.{}", encode(signature)))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 128 bits.
fn random_hex(random: &SystemRandom) -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    /// A folder of its own, gone at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let name = format!("cronmon-dev-token-{}", random_hex(&SystemRandom::new()).unwrap());
            Self(std::env::temp_dir().join(name))
        }

        fn options(&self) -> Options {
            options(["--dir", self.0.to_str().unwrap()].into_iter().map(str::to_owned)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, 3, 0, 0).unwrap()
    }

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn object(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn the_jwks_verifies_the_token() {
        let folder = Folder::new();
        let token = run(&folder.options(), now()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let (header, claims) = (object(&decode(header)), object(&decode(claims)));

        let jwks = object(&std::fs::read(folder.0.join("jwks.json")).unwrap());
        let jwk = &jwks["keys"][0];
        assert_eq!((&header["kid"], &header["alg"]), (&jwk["kid"], &jwk["alg"]));
        let part = |name: &str| decode(jwk[name].as_str().unwrap());
        let public = [vec![4], part("x"), part("y")].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(message.as_bytes(), &decode(signature))
            .unwrap();

        assert_eq!(claims["aud"], json!(["cron-mon"]));
        assert_eq!(claims["tenant"], "dev");
        assert_eq!(claims["exp"], now().timestamp() + 30 * 24 * 3600);
        assert_eq!(claims["iss"], "cronmon-dev");
        assert!(claims.get("nbf").is_none());
        for text in ["sub", "name", "azp", "acr", "jti"] {
            assert!(claims[text].is_string(), "{text}");
        }
        assert!(claims["iat"].is_u64() && claims["auth_time"].is_u64());
    }

    #[test]
    fn many_first_starts_at_once_agree_on_one_key() {
        let folder = Folder::new();
        let kids: Vec<Value> = std::thread::scope(|scope| {
            let start = || {
                let token = run(&folder.options(), now()).unwrap();
                object(&decode(token.split('.').next().unwrap()))["kid"].clone()
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let jwks = object(&std::fs::read(folder.0.join("jwks.json")).unwrap());
        assert!(kids.iter().all(|kid| *kid == jwks["keys"][0]["kid"]), "{kids:?}");
        // Nothing else is left behind.
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        run(&folder.options(), now()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.0), 0o700);
        assert_eq!(mode(&folder.0.join("key.pkcs8")), 0o600);
    }

    #[test]
    fn a_broken_key_is_told_and_kept() {
        let folder = Folder::new();
        std::fs::create_dir(&folder.0).unwrap();
        std::fs::write(folder.0.join("key.pkcs8"), "not a key").unwrap();
        let error = run(&folder.options(), now()).unwrap_err();
        assert!(error.contains("holds no P-256 key"), "{error}");
        assert_eq!(std::fs::read(folder.0.join("key.pkcs8")).unwrap(), b"not a key");
    }

    #[test]
    fn options_that_make_no_sense_are_told() {
        let options = |text: &str| options(text.split(' ').map(str::to_owned));
        assert_eq!(
            options("--tenant acme --hours 1 --dir d"),
            Ok(Options { dir: "d".into(), tenant: "acme".to_owned(), hours: 1, name: "acme".to_owned() })
        );
        for (text, error) in [
            ("--tenant acme", "--dir is missing"),
            ("--dir", "--dir needs a value"),
            ("--dir d --hours -1", "--hours needs a whole number of hours"),
            ("--dir d --tenant ", "--tenant needs a value"),
            ("--dir d extra", "there is no option extra"),
        ] {
            assert_eq!(options(text), Err(error.to_owned()));
        }
    }
}
