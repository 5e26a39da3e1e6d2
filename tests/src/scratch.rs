//! A folder for everything that one started thing writes, removed when its owner ends, however it ends.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{Error, error::file};

/// A folder of its own under the temporary folder, with a janitor that removes it.
///
/// The janitor is a shell that waits for its standard input to close: when this value is dropped, or when the process
/// is killed. Statics, which Rust never drops, are thereby covered too. With `ROPEWAY_TEST_KEEP` set, nothing is removed.
#[derive(Debug)]
pub struct Scratch {
    name: String,
    path: PathBuf,
    janitor: Option<Child>,
}

impl Scratch {
    /// Makes the folder; `purpose` becomes part of its name.
    ///
    /// # Errors
    /// When the folder can't be made or its janitor can't be started.
    pub fn new(purpose: &str) -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ropeway-test-{purpose}-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(&name);
        if path.exists() {
            // An earlier process of the same id left it: its janitor was killed with it.
            fs::remove_dir_all(&path).map_err(file("remove", &path))?;
        }
        fs::create_dir_all(path.join("logs")).map_err(file("make", &path))?;
        let janitor =
            if env::var_os("ROPEWAY_TEST_KEEP").is_none() { Some(start_janitor(&path, &name)?) } else { None };
        Ok(Self { name, path, janitor })
    }

    /// The name of the folder, unique on this machine; the node's control groups have the same one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn start_janitor(path: &Path, name: &str) -> Result<Child, Error> {
    Command::new("sh")
        .args(["-c", include_str!("janitor.sh"), "janitor"])
        .arg(path)
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own, so that Ctrl-C in the terminal reaches the tests and not the one who cleans up.
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Start { program: "janitor".to_owned(), source })
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(mut janitor) = self.janitor.take() {
            drop(janitor.stdin.take());
            // A janitor that fails has nobody to tell; the next run uses another folder.
            let _ = janitor.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_gone_when_its_value_is_dropped() {
        let scratch = Scratch::new("drop").expect("a folder");
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "content").expect("written");
        drop(scratch);
        assert!(!path.exists());
    }
}
