//! Reads the records whose turn it is.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::folder::Folder;
use super::index::Place;
use super::{Shared, Waiting, line};

const MOST_BYTES: usize = 4_000_000;

/// So many groups whose turn is held up by the disk, then the disk is given up for now.
const MOST_UNREADABLE: usize = 16;

pub(super) fn next(shared: &Shared, most: usize) -> Result<Vec<Waiting>, String> {
    let mut reader = Reader { folder: &shared.folder, file: None };
    let mut found = Vec::new();
    let mut bytes = 0;
    let mut last = 0;
    let mut unreadable = HashSet::new();
    let mut trouble = None;
    while found.len() < most && bytes < MOST_BYTES && unreadable.len() < MOST_UNREADABLE {
        let Some((number, group, place)) = shared.index().first_after(last) else { break };
        last = number;
        // Its later ones must not overtake it.
        if unreadable.contains(&group) {
            continue;
        }
        match reader.read(place) {
            Ok(line) => match line::read(&line) {
                Some(said) => {
                    bytes += line.len();
                    let (group, record) = (said.group, said.record);
                    found.push(Waiting { number, group, record });
                }
                None => set_aside(shared, number, place.segment, &line),
            },
            // Done with meanwhile, and its file deleted.
            Err(_) if !shared.index().waits(number) => {}
            Err(e) => {
                let file = shared.folder.segment(place.segment);
                trouble = Some(format!("{} can't be read: {e}", file.display()));
                unreadable.insert(group);
            }
        }
    }
    match trouble {
        Some(why) if found.is_empty() => return Err(why),
        Some(why) => tracing::error!("{why}"),
        None => {}
    }
    Ok(found)
}

/// It must not hold up the others.
fn set_aside(shared: &Shared, number: u64, segment: u64, line: &[u8]) {
    let file = shared.folder.segment(segment);
    if let Err(e) = shared.folder.set_aside(&[line]) {
        tracing::error!("{} has a damaged line, which can't be put aside: {e}", file.display());
        return;
    }
    tracing::error!("{} has a damaged line, which is in damaged.txt now", file.display());
    shared.change(|index| index.done(&[number]));
    shared.tidy();
}

struct Reader<'a> {
    folder: &'a Folder,
    file: Option<(u64, File)>,
}

impl Reader<'_> {
    fn read(&mut self, place: Place) -> io::Result<Vec<u8>> {
        let (_, file) = match self.file.take() {
            Some(open) if open.0 == place.segment => self.file.insert(open),
            _ => self.file.insert((place.segment, File::open(self.folder.segment(place.segment))?)),
        };
        let mut line = vec![0; place.length];
        match file.read_exact_at(&mut line, place.offset) {
            // Somebody has shortened the file: as bad as a damaged line.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            read => read.map(|()| line),
        }
    }
}
