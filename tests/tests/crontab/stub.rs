//! A `curl` that only writes down what it was asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::cron::Place;

pub struct Stub {
    asked: PathBuf,
    body: PathBuf,
}

impl Stub {
    /// In the place's PATH; it ends with `status`, and complains unless that is 0, as curl does without a server.
    pub fn new(place: &Place, status: u8) -> Self {
        let (asked, body) = (place.programs.join("asked"), place.programs.join("body"));
        let complaint = if status == 0 { "" } else { "echo 'curl: no server' >&2\n" };
        let script = format!(
            "#!/bin/sh\n\
             for word do case $word in http*) echo \"$word\" >> '{}';; *@-) cat > '{}';; esac; done\n\
             {complaint}exit {status}\n",
            asked.display(),
            body.display()
        );
        let program = place.programs.join("curl");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { asked, body }
    }

    /// The ends of the URLs since the last time: `start`, `0`.
    pub fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(&self.asked).unwrap_or_default();
        drop(fs::remove_file(&self.asked));
        asked.lines().map(|url| url.rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// What came along with the last one, escaped as what a job says is.
    pub fn body(&self) -> Option<String> {
        let body = fs::read(&self.body).ok()?;
        drop(fs::remove_file(&self.body));
        Some(body.escape_ascii().to_string())
    }
}
