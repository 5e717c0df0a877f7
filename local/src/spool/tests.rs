use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;

/// What the disk is to do in a test.
#[derive(Default)]
pub(super) struct Disk {
    syncs: AtomicUsize,
    hangs: AtomicBool,
    fails_to_write: AtomicBool,
    fails_to_sync: AtomicBool,
    fails_to_cut: AtomicBool,
}

impl Disk {
    /// Half of it is written before it fails.
    pub(super) fn before_write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        if self.fails_to_write.load(Ordering::SeqCst) {
            file.write_all(&bytes[..bytes.len() / 2])?;
        }
        failing(&self.fails_to_write)
    }

    pub(super) fn before_sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        while self.hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        failing(&self.fails_to_sync)
    }

    pub(super) fn before_cut(&self) -> io::Result<()> {
        failing(&self.fails_to_cut)
    }
}

fn failing(how: &AtomicBool) -> io::Result<()> {
    if how.load(Ordering::SeqCst) { Err(io::Error::other("as the test wants it")) } else { Ok(()) }
}

/// Syncs hang until it is dropped.
struct Hanging(Spool);

impl Hanging {
    fn new(spool: &Spool) -> Self {
        spool.shared.folder.disk.hangs.store(true, Ordering::SeqCst);
        Self(spool.clone())
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.shared.folder.disk.hangs.store(false, Ordering::SeqCst);
    }
}

/// A folder that is deleted in the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("cronmon-spool-{}", Uuid::new_v4())))
    }

    fn open(&self) -> Spool {
        Spool::open(&self.0, 100_000_000).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "lock");
        names.sort();
        names
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        fs::create_dir(&copy.0).unwrap();
        for name in self.files() {
            fs::copy(self.path(&name), copy.path(&name)).unwrap();
        }
        copy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

async fn append(spool: &Spool, group: &str, record: &str) {
    spool.append(group, at(0), record.as_bytes()).await.unwrap();
}

async fn refused(spool: &Spool, group: &str, record: &str) -> String {
    spool.append(group, at(0), record.as_bytes()).await.unwrap_err()
}

async fn next(spool: &Spool) -> Vec<String> {
    let waiting = spool.next(usize::MAX).await.unwrap();
    waiting.into_iter().map(|one| String::from_utf8(one.record).unwrap()).collect()
}

async fn all_done(spool: &Spool) {
    while spool.count() > 0 {
        let numbers: Vec<u64> = spool.next(1000).await.unwrap().iter().map(|one| one.number).collect();
        spool.done(&numbers).await.unwrap();
    }
}

#[tokio::test]
async fn records_come_in_the_order_in_which_they_were_appended() {
    let place = Place::new();
    let spool = place.open();
    for (second, (group, record)) in [("a", "1"), ("b", "2"), ("a", "3")].into_iter().enumerate() {
        spool.append(group, at(10 - second as i64), record.as_bytes()).await.unwrap();
    }
    assert_eq!(next(&spool).await, ["1", "2", "3"]);
    let two = spool.next(2).await.unwrap();
    assert_eq!(two.iter().map(|one| one.group.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    spool.done(&[two[0].number]).await.unwrap();
    assert_eq!(next(&spool).await, ["2", "3"]);
}

#[tokio::test]
async fn it_knows_what_it_holds() {
    let place = Place::new();
    let spool = place.open();
    assert_eq!((spool.holds("a"), spool.count(), spool.oldest()), (false, 0, None));
    spool.append("a", at(20), b"1").await.unwrap();
    spool.append("a", at(10), b"2").await.unwrap();
    spool.append("b", at(30), b"3").await.unwrap();
    assert_eq!((spool.holds("a"), spool.count(), spool.oldest()), (true, 3, Some(at(10))));
    assert!(!spool.holds("c"));
    let numbers: Vec<u64> = spool.next(2).await.unwrap().iter().map(|one| one.number).collect();
    spool.done(&numbers).await.unwrap();
    assert_eq!((spool.holds("a"), spool.count(), spool.oldest()), (false, 1, Some(at(30))));
    // A second time changes nothing.
    spool.done(&numbers).await.unwrap();
    assert_eq!((spool.holds("b"), spool.count(), spool.oldest()), (true, 1, Some(at(30))));
}

#[tokio::test]
async fn a_record_counts_while_it_is_appended_and_is_not_read_yet() {
    let place = Place::new();
    let spool = place.open();
    append(&spool, "a", "1").await;
    let hanging = Hanging::new(&spool);
    let appending = tokio::spawn({
        let spool = spool.clone();
        async move { spool.append("b", at(-5), b"2").await }
    });
    tokio::task::yield_now().await;
    assert_eq!((spool.holds("b"), spool.count(), spool.oldest()), (true, 2, Some(at(-5))));
    assert_eq!(next::next(&spool.shared, 10).unwrap().len(), 1);
    drop(hanging);
    appending.await.unwrap().unwrap();
    assert_eq!(next(&spool).await, ["1", "2"]);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_is_kept() {
    let place = Place::new();
    let spool = place.open();
    let hanging = Hanging::new(&spool);
    for _ in 0..5 {
        let append = spool.append("a", at(0), b"1");
        assert!(tokio::time::timeout(Duration::from_millis(1), append).await.is_err());
    }
    assert_eq!(spool.count(), 5);
    drop(hanging);
    append(&spool, "b", "2").await;
    assert_eq!((spool.count(), next(&spool).await.len()), (6, 6));
    all_done(&spool).await;
    assert_eq!((spool.count(), spool.holds("a"), spool.oldest()), (0, false, None));
}

#[tokio::test]
async fn what_waits_survives_a_restart() {
    let place = Place::new();
    let spool = place.open();
    spool.append("a", at(7), b"1").await.unwrap();
    spool.append("b", at(5), &[0, 255, 10]).await.unwrap();
    drop(spool);
    let spool = place.open();
    assert_eq!((spool.count(), spool.holds("a"), spool.oldest()), (2, true, Some(at(5))));
    append(&spool, "a", "3").await;
    drop(spool);
    let found = place.open().next(10).await.unwrap();
    let records: Vec<&[u8]> = found.iter().map(|one| one.record.as_slice()).collect();
    assert_eq!(records, [b"1".as_slice(), &[0, 255, 10], b"3"]);
}

#[tokio::test]
async fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    append(&place.open(), "a", "1").await;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.0.clone()), 0o700);
    assert_eq!(mode(place.path("00000001.spool")), 0o600);
}

#[tokio::test]
async fn two_never_share_a_folder() {
    let place = Place::new();
    let spool = place.open();
    let clone = spool.clone();
    drop(spool);
    let why = Spool::open(&place.0, 1000).err().unwrap();
    assert!(why.contains(place.0.to_str().unwrap()) && why.contains("in use"), "{why}");
    drop(clone);
    place.open();
}

#[tokio::test]
async fn a_torn_end_is_dropped_and_what_stands_before_it_stays() {
    let place = Place::new();
    let spool = place.open();
    append(&spool, "a", "1").await;
    append(&spool, "a", "2").await;
    drop(spool);
    let file = place.path("00000001.spool");
    let whole = fs::read(&file).unwrap();
    for torn in [whole.len() - 3, whole.len() * 3 / 4, whole.len() / 2 + 1] {
        fs::write(&file, &whole[..torn]).unwrap();
        assert_eq!(next(&place.open()).await, ["1"], "{torn}");
        assert_eq!(fs::read(&file).unwrap(), whole[..whole.len() / 2], "{torn}");
    }
    assert_eq!(place.files(), ["00000001.spool"]);
}

#[tokio::test]
async fn a_damaged_record_is_put_aside_and_the_others_stay() {
    let place = Place::new();
    let spool = place.open();
    for record in ["1", "2", "3"] {
        append(&spool, "a", record).await;
    }
    drop(spool);
    let file = place.path("00000001.spool");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    for _ in 0..2 {
        assert_eq!(next(&place.open()).await, ["1", "3"]);
        assert_eq!(place.files(), ["00000001.spool", "damaged.txt"]);
    }
    let third = bytes.len() / 3;
    assert_eq!(fs::read(place.path("damaged.txt")).unwrap(), bytes[third..2 * third]);
}

#[tokio::test]
async fn a_record_that_is_damaged_while_it_waits_is_put_aside_too() {
    let place = Place::new();
    let spool = place.open();
    for record in ["1", "2", "3"] {
        append(&spool, record, record).await;
    }
    let file = place.path("00000001.spool");
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert_eq!(next(&spool).await, ["2", "3"]);
    assert_eq!((spool.count(), spool.holds("1")), (2, false));
    assert_eq!(fs::read(place.path("damaged.txt")).unwrap(), bytes[..bytes.len() / 3]);
    all_done(&spool).await;
    assert_eq!(place.files(), ["damaged.txt"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_holds_up_its_groups_only() {
    let place = Place::new();
    for (group, record) in [("a", "1"), ("a", "2"), ("b", "3")] {
        append(&place.open(), group, record).await;
    }
    let spool = place.open();
    let (file, away) = (place.path("00000001.spool"), place.path("away"));
    fs::rename(&file, &away).unwrap();
    assert_eq!(next(&spool).await, ["3"]);
    fs::rename(&away, &file).unwrap();
    assert_eq!(next(&spool).await, ["1", "2", "3"]);
    fs::rename(&file, &away).unwrap();
    let third = spool.next(10).await.unwrap()[0].number;
    spool.done(&[third]).await.unwrap();
    assert!(spool.next(10).await.err().unwrap().contains("00000001.spool"));
    assert_eq!(spool.count(), 2);
}

#[tokio::test]
async fn done_records_are_gone_and_files_deleted_when_all_of_theirs_are() {
    let place = Place::new();
    let spool = place.open();
    for record in ["1", "2", "3"] {
        append(&spool, "a", record).await;
    }
    let found = spool.next(2).await.unwrap();
    spool.done(&[found[0].number]).await.unwrap();
    // Something of the file is done, so it takes no more.
    append(&spool, "a", "4").await;
    assert_eq!(place.files(), ["00000001.spool", "00000002.spool"]);
    let found = spool.next(2).await.unwrap();
    spool.done(&[found[0].number, found[1].number]).await.unwrap();
    assert_eq!(place.files(), ["00000002.spool"]);
    drop(spool);
    let spool = place.open();
    assert_eq!(next(&spool).await, ["4"]);
    all_done(&spool).await;
    assert_eq!(place.files(), Vec::<String>::new());
    drop(spool);
    assert_eq!(place.open().count(), 0);
}

#[tokio::test]
async fn a_megabyte_begins_a_new_file_and_four_are_read_at_once() {
    let place = Place::new();
    let spool = place.open();
    let record = "x".repeat(100_000);
    for _ in 0..50 {
        append(&spool, "a", &record).await;
    }
    let files = place.files();
    assert!((6..=8).contains(&files.len()), "{files:?}");
    let found = spool.next(1000).await.unwrap().len();
    assert!((28..=32).contains(&found), "{found}");
    all_done(&spool).await;
    assert_eq!(place.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_full_folder_refuses_and_keeps_what_it_has() {
    let place = Place::new();
    let spool = Spool::open(&place.0, 1000).unwrap();
    let mut kept = Vec::new();
    let why = loop {
        assert!(kept.len() < 100);
        let record = kept.len().to_string();
        match spool.append("a", at(0), record.as_bytes()).await {
            Ok(()) => kept.push(record),
            Err(why) => break why,
        }
    };
    assert!(why.contains("full"), "{why}");
    assert!(kept.len() > 5);
    assert!(fs::metadata(place.path("00000001.spool")).unwrap().len() <= 1000);
    assert_eq!(next(&spool).await, kept);
    drop(spool);
    let spool = Spool::open(&place.0, 1000).unwrap();
    assert_eq!(next(&spool).await, kept);
    refused(&spool, "b", "x").await;
    assert!(!spool.holds("b"));
    all_done(&spool).await;
    append(&spool, "b", "x").await;
}

#[tokio::test]
async fn a_write_or_a_sync_that_fails_refuses_the_record_for_good() {
    for writing in [true, false] {
        let place = Place::new();
        let spool = place.open();
        append(&spool, "a", "1").await;
        let disk = &spool.shared.folder.disk;
        let fails = if writing { &disk.fails_to_write } else { &disk.fails_to_sync };
        fails.store(true, Ordering::SeqCst);
        let why = refused(&spool, "b", "2").await;
        assert!(why.contains("as the test wants it"), "{why}");
        refused(&spool, "b", "3").await;
        assert_eq!((spool.count(), spool.holds("b")), (1, false));
        fails.store(false, Ordering::SeqCst);
        append(&spool, "b", "4").await;
        assert_eq!(next(&spool).await, ["1", "4"]);
        // The one that failed is never written to again.
        assert_eq!(place.files(), ["00000001.spool", "00000003.spool"]);
        assert_eq!(next(&place.copy().open()).await, ["1", "4"]);
        all_done(&spool).await;
        assert_eq!(place.files(), Vec::<String>::new());
        assert_eq!(spool.shared.index().bytes(), 0);
    }
}

#[tokio::test]
async fn what_was_refused_is_cut_off_as_soon_as_the_disk_lets_it() {
    let place = Place::new();
    let spool = place.open();
    append(&spool, "a", "1").await;
    let disk = &spool.shared.folder.disk;
    disk.fails_to_sync.store(true, Ordering::SeqCst);
    disk.fails_to_cut.store(true, Ordering::SeqCst);
    refused(&spool, "b", "2").await;
    assert_eq!(next(&spool).await, ["1"]);
    disk.fails_to_sync.store(false, Ordering::SeqCst);
    disk.fails_to_cut.store(false, Ordering::SeqCst);
    drop(spool);
    assert_eq!(next(&place.open()).await, ["1"]);
}

#[tokio::test]
async fn a_hundred_at_once_share_two_syncs() {
    let place = Place::new();
    let spool = place.open();
    let hanging = Hanging::new(&spool);
    let mut appends = JoinSet::new();
    for number in 0..100 {
        let spool = spool.clone();
        appends.spawn(async move { append(&spool, "a", &number.to_string()).await });
    }
    while spool.count() < 100 {
        tokio::task::yield_now().await;
    }
    drop(hanging);
    appends.join_all().await;
    let syncs = spool.shared.folder.disk.syncs.load(Ordering::SeqCst);
    assert!(syncs <= 2, "{syncs}");
    let mut records = next(&spool).await;
    assert_eq!(spool.count(), 100);
    records.sort_by_key(|record| record.parse::<u32>().unwrap());
    assert_eq!(records, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// What an outsider knows of the records: which were acknowledged, and which of these are done.
#[derive(Clone, Default)]
struct Known {
    next: usize,
    /// In the order of their appends.
    waiting: Vec<(usize, String)>,
    done: Vec<usize>,
}

impl Known {
    /// Opens what a crash has left, and looks that nothing is missing, twice there or out of order.
    async fn check(&self, place: &Place, when: &str) -> Vec<(usize, String)> {
        let place = place.copy();
        let spool = place.open();
        let count = spool.count();
        let mut found: Vec<(usize, String)> = Vec::new();
        while spool.count() > 0 {
            let some = spool.next(usize::MAX).await.unwrap();
            spool.done(&some.iter().map(|one| one.number).collect::<Vec<_>>()).await.unwrap();
            found.extend(some.into_iter().map(|one| (number(&one.record), one.group)));
        }
        assert_eq!(found.len(), count, "{when}");
        assert!(!place.path("damaged.txt").exists(), "{when}");
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (record, group) in &found {
            let order = groups.entry(group).or_default();
            assert!(order.last().is_none_or(|last| last < record), "{when}: {record} is out of order");
            order.push(*record);
        }
        for one in &self.waiting {
            assert!(found.contains(one), "{when}: {one:?} is missing");
        }
        let unknown = |(record, _): &&(usize, String)| *record < self.next && !self.done.contains(record);
        let extra: Vec<_> = found.iter().filter(|one| !self.waiting.contains(one)).filter(unknown).collect();
        assert!(extra.is_empty(), "{when}: {extra:?} were refused or never appended");
        found
    }
}

fn number(record: &[u8]) -> usize {
    str::from_utf8(record).unwrap().trim_end().parse().unwrap()
}

fn length(place: &Place, file: &str) -> u64 {
    fs::metadata(place.path(file)).map_or(0, |file| file.len())
}

/// Cuts the last segment somewhere between what it had before an operation and what it has now.
fn tear(place: &Place, before: &Place, random: &mut SmallRng) {
    if let Some(last) = place.files().last() {
        let length = random.random_range(length(before, last)..=length(place, last));
        let file = fs::OpenOptions::new().write(true).open(place.path(last)).unwrap();
        file.set_len(length).unwrap();
    }
}

/// Puts back some of the files that an operation has deleted: the folder was not synced.
fn bring_back(place: &Place, before: &Place, random: &mut SmallRng) {
    for name in before.files() {
        if !place.path(&name).exists() && random.random_bool(0.5) {
            fs::copy(before.path(&name), place.path(&name)).unwrap();
        }
    }
}

#[tokio::test]
async fn after_a_crash_at_any_moment_each_acknowledged_record_is_there_once_and_in_order() {
    let mut random = SmallRng::seed_from_u64(20_260_101);
    let mut place = Place::new();
    let mut spool = place.open();
    let mut known = Known::default();
    for step in 0..150 {
        let when = format!("step {step}");
        let before = place.copy();
        match random.random_range(0..10) {
            0..5 => {
                let mut appends = JoinSet::new();
                let mut appended = Vec::new();
                for _ in 0..random.random_range(1..6) {
                    let (record, group) = (known.next, format!("group {}", random.random_range(0..5)));
                    known.next += 1;
                    appended.push((record, group.clone()));
                    let spool = spool.clone();
                    // Some are long, so that segments fill up.
                    let padding = if random.random_bool(0.3) { 60_000 } else { 8 };
                    appends
                        .spawn(async move { append(&spool, &group, &format!("{record:<padding$}")).await });
                }
                appends.join_all().await;
                // A crash before the answer: those before are there, each of these may be.
                let torn = place.copy();
                tear(&torn, &before, &mut random);
                let mut unanswered = known.clone();
                unanswered.next -= appended.len();
                unanswered.check(&torn, &when).await;
                known.waiting.extend(appended);
            }
            5..9 => {
                let found = spool.next(random.random_range(1..12)).await.unwrap();
                let again = spool.next(found.len()).await.unwrap();
                assert!(found.iter().map(|one| one.number).eq(again.iter().map(|one| one.number)));
                // Most of the time all of them, for then files are deleted.
                let share = if random.random_bool(0.7) { 1.0 } else { 0.5 };
                let done: Vec<&Waiting> = found.iter().filter(|_| random.random_bool(share)).collect();
                spool.done(&done.iter().map(|one| one.number).collect::<Vec<_>>()).await.unwrap();
                let crashed = place.copy();
                for one in done {
                    let record = number(&one.record);
                    known.waiting.retain(|(waiting, _)| *waiting != record);
                    known.done.push(record);
                }
                bring_back(&crashed, &before, &mut random);
                known.check(&crashed, &when).await;
            }
            _ => {
                // The crash happens, and a new process goes on.
                let crashed = place.copy();
                drop(spool);
                known.waiting = known.check(&crashed, &when).await;
                known.done.retain(|record| !known.waiting.iter().any(|(waiting, _)| waiting == record));
                place = crashed;
                spool = place.open();
            }
        }
        assert_eq!(spool.count(), known.waiting.len(), "{when}");
        known.check(&place, &when).await;
        // Each file has one that waits: only those beside it are read again.
        assert!(place.files().len() <= known.waiting.len(), "{when}");
    }
    assert!(known.done.len() > 50 && known.next > 100, "{} {}", known.done.len(), known.next);
}
