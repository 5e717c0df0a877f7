//! What an earlier process left in the folder.

use std::{fs, io};

use super::folder::Folder;
use super::index::{Index, Place};
use super::line::{self, Sorted};

/// With the number of the first segment that is new. Earlier ones are never written to again.
pub(super) fn read(folder: &Folder) -> io::Result<(Index, u64)> {
    let mut index = Index::default();
    let mut next = 1;
    for id in folder.segments()? {
        next = id.saturating_add(1);
        if let Err(e) = read_segment(folder, id, &mut index) {
            // The others must not wait for it, and a later start may be able to read it.
            tracing::error!("{} was left out of the spool: {e}", folder.segment(id).display());
        }
    }
    Ok((index, next))
}

fn read_segment(folder: &Folder, id: u64, index: &mut Index) -> io::Result<()> {
    let mut bytes = fs::read(folder.segment(id))?;
    if let Some(mended) = mended(folder, id, &line::sort(&bytes)) {
        bytes = mended;
    }
    let sorted = line::sort(&bytes);
    if sorted.whole.is_empty() && !sorted.damaged.is_empty() {
        // Left for a person, because it could not be put aside.
        return Ok(());
    }
    index.begin(id, bytes.len() as u64);
    index.seal(id);
    for (offset, line, said) in sorted.whole {
        let place = Place { segment: id, offset: offset as u64, length: line.len() };
        index.found(&said.group, said.received_at, place);
    }
    Ok(())
}

/// The file again without what can't be read, if there is such.
fn mended(folder: &Folder, id: u64, sorted: &Sorted<'_>) -> Option<Vec<u8>> {
    let name = folder.segment(id);
    if sorted.torn {
        tracing::warn!("{} ends in a record that was never acknowledged; it is dropped", name.display());
    }
    if !sorted.damaged.is_empty() {
        tracing::error!("{} has {} damaged lines", name.display(), sorted.damaged.len());
        if let Err(e) = folder.set_aside(&sorted.damaged) {
            tracing::error!("they can't be put into damaged.txt: {e}");
            return None;
        }
        tracing::error!("they are in damaged.txt now");
    }
    if !sorted.torn && sorted.damaged.is_empty() {
        return None;
    }
    let bytes = line::join(sorted.whole.iter().map(|(_, line, _)| *line));
    match folder.replace(id, &bytes) {
        Ok(()) => Some(bytes),
        Err(e) => {
            tracing::error!("{} can't be mended: {e}", name.display());
            None
        }
    }
}
