//! The spool's files, and what is synced when.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Nobody else may read: who knows a record may know a ping id.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

pub(super) struct Folder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
    #[cfg(test)]
    pub(super) disk: super::tests::Disk,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let wrong = |e: io::Error| format!("the spool's folder {} can't be opened: {e}", path.display());
        create(path).map_err(wrong)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(FILE_MODE);
        let lock = options.open(path.join("lock")).map_err(wrong)?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                format!("the spool's folder {} is in use by another process", path.display())
            }
            TryLockError::Error(e) => wrong(e),
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            #[cfg(test)]
            disk: super::tests::Disk::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn segment(&self, id: u64) -> PathBuf {
        self.path.join(format!("{id:08}.spool"))
    }

    /// In the order in which they were begun.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(".spool"));
            let id = digits.and_then(|digits| digits.parse::<u64>().ok());
            ids.extend(id.filter(|id| self.segment(*id).ends_with(&name)));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// A new segment, which a crash does not take away.
    pub(super) fn create(&self, id: u64) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(FILE_MODE).open(self.segment(id))?;
        self.sync().inspect_err(|_| drop(fs::remove_file(self.segment(id))))?;
        Ok(file)
    }

    /// On the disk when it returns.
    pub(super) fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.disk.before_write(file, bytes)?;
        file.write_all(bytes)?;
        #[cfg(test)]
        self.disk.before_sync()?;
        file.sync_data()
    }

    /// Takes away what stands behind the first `length` bytes.
    pub(super) fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        #[cfg(test)]
        self.disk.before_cut()?;
        file.set_len(length)?;
        file.sync_all()
    }

    /// The old file or the new one is there, whenever the process ends.
    pub(super) fn replace(&self, id: u64, bytes: &[u8]) -> io::Result<()> {
        let new = self.path.join("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.segment(id))?;
        self.sync()
    }

    pub(super) fn delete(&self, ids: &[u64]) -> io::Result<()> {
        for id in ids {
            match fs::remove_file(self.segment(*id)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        self.sync()
    }

    /// What can't be read is kept for a person.
    pub(super) fn set_aside(&self, damaged: &[&[u8]]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.append(true).create(true).mode(FILE_MODE).open(self.path.join("damaged.txt"))?;
        file.write_all(&super::line::join(damaged.iter().copied()))?;
        file.sync_all()?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// With the folders above it, and each of the new ones synced into the one above.
fn create(path: &Path) -> io::Result<()> {
    let new: Vec<&Path> = path.ancestors().take_while(|above| !above.exists()).collect();
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    for above in new.iter().filter_map(|folder| folder.parent()) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        File::open(above)?.sync_all()?;
    }
    Ok(())
}
