//! What a URL says: which monitor, which signal, which run.

use axum::http::Uri;
use database::outages::CANARY;
use database::signals::Address;
use domain::SignalKind;
use uuid::Uuid;

use super::create;
use super::reply::Reply;

/// The longest slug, in characters.
const LONGEST_SLUG: usize = 100;

/// A day, in minutes.
const LONGEST_SNOOZE: i32 = 1_440;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) monitor: Named,
    pub(super) kind: SignalKind,
    pub(super) exit_status: Option<i16>,
    pub(super) rid: Option<Uuid>,
}

/// Which monitor, before the clock is read: what it would be created with depends on the time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    ByPingId(Uuid),
    BySlug { key_hash: [u8; 32], slug: String, create: Option<create::NewMonitor> },
}

impl Named {
    pub(super) fn address(&self, now: chrono::DateTime<chrono::Utc>) -> Address {
        match self {
            Self::ByPingId(ping_id) => Address::PingId(*ping_id),
            Self::BySlug { key_hash, slug, create } => Address::Slug {
                key_hash: *key_hash,
                slug: slug.clone(),
                create: create.as_ref().map(|new| new.as_json(now)),
            },
        }
    }
}

pub(super) fn read(uri: &Uri, now: chrono::DateTime<chrono::Utc>) -> Result<Said, Reply> {
    let query = uri.query().unwrap_or_default();
    let (by, suffix) = parts(uri).ok_or(Reply::NotFound)?;
    let (kind, exit_status) = signal(suffix)?;
    let (key, slug) = match by {
        // Everybody knows this one: it takes what can be limited, and nothing else.
        By::PingId(CANARY) if kind != SignalKind::Log => return Err(Reply::NotFound),
        By::PingId(ping_id) => {
            return Ok(Said { monitor: Named::ByPingId(ping_id), kind, exit_status, rid: rid(query)? });
        }
        By::Slug(key, slug) => (key, slug),
    };
    if slug.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(Reply::BadUrl);
    }
    let rid = rid(query)?;
    let create = create::NewMonitor::read(query, now)?;
    if slug.len() > LONGEST_SLUG {
        return Err(if create.is_some() { Reply::BadUrl } else { Reply::NotFound });
    }
    let monitor = Named::BySlug { key_hash: domain::key::hash(key), slug: slug.to_owned(), create };
    Ok(Said { monitor, kind, exit_status, rid })
}

/// A snooze by who may ping: `<as for a ping>/snooze/<minutes>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snooze {
    pub(super) address: Address,
    /// 0 ends one.
    pub(super) minutes: i32,
}

/// `None`: it is a ping, or nothing.
pub(super) fn snooze(uri: &Uri) -> Option<Result<Snooze, Reply>> {
    let (by, suffix) = parts(uri)?;
    let minutes = suffix.strip_prefix("snooze/")?;
    Some(read_snooze(&by, minutes))
}

fn read_snooze(by: &By<'_>, minutes: &str) -> Result<Snooze, Reply> {
    let all_digits = !minutes.is_empty() && minutes.bytes().all(|b| b.is_ascii_digit());
    let minutes = match minutes.parse() {
        Ok(minutes @ 0..=LONGEST_SNOOZE) if all_digits => minutes,
        _ => return Err(Reply::BadField(format!("a snooze takes 0 to {LONGEST_SNOOZE} minutes"))),
    };
    let address = match by {
        By::PingId(CANARY) => return Err(Reply::NotFound),
        By::PingId(ping_id) => Address::PingId(*ping_id),
        By::Slug(_, slug) if slug.contains(|c: char| c.is_ascii_uppercase()) => return Err(Reply::BadUrl),
        By::Slug(_, slug) if slug.len() > LONGEST_SLUG => return Err(Reply::NotFound),
        By::Slug(key, slug) => {
            Address::Slug { key_hash: domain::key::hash(key), slug: (*slug).to_owned(), create: None }
        }
    };
    Ok(Snooze { address, minutes })
}

/// Which monitor a path means, as it stands there.
enum By<'a> {
    PingId(Uuid),
    /// By a ping key and a slug.
    Slug(&'a str, &'a str),
}

/// The monitor, and the suffix.
fn parts(uri: &Uri) -> Option<(By<'_>, &str)> {
    let rest = uri.path().strip_prefix("/ping/")?;
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    if let Some(ping_id) = canonical_uuid(first).filter(|_| !first.contains(char::is_uppercase)) {
        return Some((By::PingId(ping_id), rest));
    }
    let (slug, suffix) = match rest.split_once('/') {
        Some((_, "")) => return None,
        Some((slug, suffix)) => (slug, suffix),
        None => (rest, ""),
    };
    (is_word(first) && is_word(slug)).then_some((By::Slug(first, slug), suffix))
}

/// What the end of the path says.
fn signal(suffix: &str) -> Result<(SignalKind, Option<i16>), Reply> {
    match suffix {
        "" => Ok((SignalKind::Success, None)),
        "start" => Ok((SignalKind::Start, None)),
        "fail" => Ok((SignalKind::Fail, None)),
        "log" => Ok((SignalKind::Log, None)),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse::<u8>() {
            Ok(0) => Ok((SignalKind::Success, Some(0))),
            Ok(status) => Ok((SignalKind::Fail, Some(status.into()))),
            Err(_) => Err(Reply::BadUrl),
        },
        _ => Err(Reply::NotFound),
    }
}

fn rid(query: &str) -> Result<Option<Uuid>, Reply> {
    let mut rid = None;
    for pair in query.split('&') {
        if let Some(value) = pair.strip_prefix("rid=") {
            rid = Some(canonical_uuid(value).ok_or(Reply::BadRid)?);
        }
    }
    Ok(rid)
}

/// Only the form with dashes; the parser would take others too.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// What ping keys and slugs are made of.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0d5e3a1c-3f0b-4b5e-9a38-5d9d3f1f2a10";
    const KEY: &str = "abcdefghij0123456789xy";

    fn read(path: &str) -> Result<Said, Reply> {
        super::read(&path.parse().unwrap(), "2026-11-22T12:00:00Z".parse().unwrap())
    }

    fn said(rest: &str) -> Result<(SignalKind, Option<i16>, bool), Reply> {
        read(&format!("/ping/{ID}{rest}")).map(|s| (s.kind, s.exit_status, s.rid.is_some()))
    }

    fn slug(rest: &str) -> Result<(String, SignalKind, Option<i16>, bool), Reply> {
        read(&format!("/ping/{KEY}/{rest}")).map(|s| match s.monitor {
            Named::BySlug { slug, create, .. } => (slug, s.kind, s.exit_status, create.is_some()),
            Named::ByPingId(_) => panic!("a ping id"),
        })
    }

    #[test]
    fn each_suffix_is_a_signal() {
        assert_eq!(said(""), Ok((SignalKind::Success, None, false)));
        assert_eq!(said("/"), Ok((SignalKind::Success, None, false)));
        assert_eq!(said("/start"), Ok((SignalKind::Start, None, false)));
        assert_eq!(said("/fail"), Ok((SignalKind::Fail, None, false)));
        assert_eq!(said("/log"), Ok((SignalKind::Log, None, false)));
        assert_eq!(said("/0"), Ok((SignalKind::Success, Some(0), false)));
        assert_eq!(said("/007"), Ok((SignalKind::Fail, Some(7), false)));
        assert_eq!(said("/255"), Ok((SignalKind::Fail, Some(255), false)));
    }

    #[test]
    fn each_suffix_of_a_slug_is_a_signal_too() {
        let named = |kind, status| Ok(("db-backup_1".to_owned(), kind, status, false));
        assert_eq!(slug("db-backup_1"), named(SignalKind::Success, None));
        assert_eq!(slug("db-backup_1/start"), named(SignalKind::Start, None));
        assert_eq!(slug("db-backup_1/fail"), named(SignalKind::Fail, None));
        assert_eq!(slug("db-backup_1/log"), named(SignalKind::Log, None));
        assert_eq!(slug("db-backup_1/0"), named(SignalKind::Success, Some(0)));
        assert_eq!(slug("db-backup_1/255"), named(SignalKind::Fail, Some(255)));
        assert_eq!(slug("x?create=0"), Ok(("x".to_owned(), SignalKind::Success, None, false)));
        assert_eq!(slug("x/fail?create=1"), Ok(("x".to_owned(), SignalKind::Fail, None, true)));
    }

    #[test]
    fn what_no_client_means_is_refused() {
        for over in ["/256", "/99999999999999999999"] {
            assert_eq!(said(over), Err(Reply::BadUrl), "{over}");
            assert_eq!(slug(&format!("x{over}")), Err(Reply::BadUrl), "{over}");
        }
        for unknown in ["/stop", "/-1", "/start/", "/1/2", "//", "/%00"] {
            assert_eq!(said(unknown), Err(Reply::NotFound), "{unknown}");
            assert_eq!(slug(&format!("x{unknown}")), Err(Reply::NotFound), "{unknown}");
        }
        for id in [&ID.to_uppercase(), &ID.replace('-', ""), "x", "", KEY] {
            assert_eq!(read(&format!("/ping/{id}")), Err(Reply::NotFound), "{id}");
        }
        for path in ["%00/x", "key/%C3%BC", "key/", "key//", "key/a.b", "k.y/x", "/x"] {
            assert_eq!(read(&format!("/ping/{path}")), Err(Reply::NotFound), "{path}");
        }
    }

    #[test]
    fn a_slug_is_lower_case_and_not_too_long() {
        assert_eq!(slug("Backup"), Err(Reply::BadUrl));
        assert_eq!(slug("Backup/start?create=1"), Err(Reply::BadUrl));
        assert!(slug(&"a".repeat(100)).is_ok());
        assert_eq!(slug(&"a".repeat(101)), Err(Reply::NotFound));
        assert_eq!(slug(&format!("{}?create=1", "a".repeat(101))), Err(Reply::BadUrl));
    }

    #[test]
    fn a_snooze_names_a_monitor_and_0_to_1440_minutes() {
        let read_it = |path: String| snooze(&path.parse::<Uri>().unwrap());
        let by_id = |rest: &str| read_it(format!("/ping/{ID}{rest}"));
        let by_slug = |rest: &str| read_it(format!("/ping/{KEY}/{rest}"));
        let ping_id = Address::PingId(ID.parse().unwrap());
        for (text, minutes) in [("60", 60), ("1", 1), ("0", 0), ("1440", 1_440), ("007", 7)] {
            let address = ping_id.clone();
            assert_eq!(by_id(&format!("/snooze/{text}?rid=x")), Some(Ok(Snooze { address, minutes })));
        }
        let key_hash = domain::key::hash(KEY);
        let address = Address::Slug { key_hash, slug: "backup".to_owned(), create: None };
        assert_eq!(by_slug("backup/snooze/5?create=1"), Some(Ok(Snooze { address, minutes: 5 })));
        for bad in
            ["", "-1", "+5", "1441", "99999999999999999999", "1.5", "x", "5/", "5/5", "%205", "%35", "%D9%A5"]
        {
            for refused in [by_id(&format!("/snooze/{bad}")), by_slug(&format!("backup/snooze/{bad}"))] {
                let why = "a snooze takes 0 to 1440 minutes".to_owned();
                assert_eq!(refused, Some(Err(Reply::BadField(why))), "{bad}");
            }
        }
        assert_eq!(by_slug("Backup/snooze/5"), Some(Err(Reply::BadUrl)));
        assert_eq!(by_slug(&format!("{}/snooze/5", "a".repeat(101))), Some(Err(Reply::NotFound)));
        // Pings, or nothing.
        for rest in ["", "/", "/snooze", "/start", "/Snooze/5", "//snooze/5", "/x/snooze/5"] {
            assert_eq!(by_id(rest), None, "{rest}");
        }
        for rest in ["snooze", "snooze/5", "backup/", "backup/snooze", "b.c/snooze/5"] {
            assert_eq!(by_slug(rest), None, "{rest}");
        }
        assert_eq!(slug("snooze/5"), Ok(("snooze".to_owned(), SignalKind::Fail, Some(5), false)));
    }

    #[test]
    fn a_malformed_rid_is_refused() {
        let rid = format!("rid={ID}");
        assert_eq!(said(&format!("/start?{rid}")), Ok((SignalKind::Start, None, true)));
        assert_eq!(said(&format!("?a=1&{rid}")), Ok((SignalKind::Success, None, true)));
        for query in ["rid=", "rid=1", "rid=%00", "rid=not-a-uuid", "x&rid=x"] {
            assert_eq!(said(&format!("?{query}")), Err(Reply::BadRid), "{query}");
            assert_eq!(slug(&format!("x?create=1&{query}")), Err(Reply::BadRid), "{query}");
        }
    }
}
