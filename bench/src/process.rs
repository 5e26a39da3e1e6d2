//! Child processes on a core of their own, and what they cost.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Error,
    error::{Source, file},
};

/// The core of the variant that is measured.
pub const MEASURED: u32 = 0;

/// The core of nats-server, the sink, the load and the conductor.
pub const SURROUNDINGS: u32 = 1;

/// One tick of the times in `/proc/<pid>/stat`: Linux fixes `USER_HZ` to 100 on the platforms that we build for.
const TICK: Duration = Duration::from_millis(10);

/// A program, its arguments and its core, not yet started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What it is called in errors and logs.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its core.
    pub core: u32,
}

impl Launch {
    /// This program on this core, without arguments.
    #[must_use]
    pub fn new(name: &'static str, program: impl Into<PathBuf>, core: u32) -> Self {
        Self { name, program: program.into(), arguments: Vec::new(), core }
    }

    /// Another process of this very program.
    ///
    /// # Errors
    /// When the program's path can't be told.
    pub fn own(name: &'static str, core: u32) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(file("find", Path::new("this program")))?;
        Ok(Self::new(name, program, core).arguments([name]))
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts it; its output goes to a log in `folder`. The kernel kills it when this process dies.
    ///
    /// # Errors
    /// When the log can't be written or the program can't be started.
    pub fn start(self, folder: &Path) -> Result<Process, Error> {
        let log = folder.join(format!("{}.log", self.name));
        let output = File::options().create(true).append(true).open(&log).map_err(file("open", &log))?;
        let errors = output.try_clone().map_err(file("open", &log))?;
        let mut command = Command::new("setpriv");
        // Both programs become the next one, so the child's id is that of the program itself.
        command.args(["--pdeathsig", "KILL", "--", "taskset", "--cpu-list", &self.core.to_string()]);
        command.arg(&self.program).args(&self.arguments);
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.map_err(|source| Error::Start { program: self.name.to_owned(), source })?;
        Ok(Process { name: self.name, child, log })
    }
}

/// A running child process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// What a process has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Processor time, user and system, of all its threads.
    pub cpu: Duration,
    /// Memory that is resident now, in bytes.
    pub rss: u64,
    /// The most that ever was.
    pub peak_rss: u64,
}

impl Process {
    /// What it has cost so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cost(&mut self) -> Result<Cost, Error> {
        self.check()?;
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(file("read", &path))
        };
        Ok(cost_of(&read("stat")?, &read("status")?))
    }

    /// Fails when the process has ended.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(Error::Ended { program: self.name.to_owned(), tail: tail(&self.log) }),
        }
    }

    /// Looks every 10 ms until `look` gives a value.
    ///
    /// # Errors
    /// [`Error::Ended`] or [`Error::Deadline`].
    pub async fn until<T>(
        &mut self,
        what: &'static str,
        patience: Duration,
        mut look: impl AsyncFnMut() -> Result<T, Source>,
    ) -> Result<T, Error> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            self.check()?;
            match look().await {
                Ok(found) => return Ok(found),
                Err(seen) if tokio::time::Instant::now() > deadline => {
                    return Err(Error::Deadline { what, last: format!("{seen}\n{}", tail(&self.log)) });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Waits until the process has ended by itself with status 0.
    ///
    /// # Errors
    /// [`Error::Ended`] when it failed.
    pub async fn finish(mut self) -> Result<(), Error> {
        loop {
            match self.child.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(10)).await,
                Ok(Some(status)) if status.success() => return Ok(()),
                _ => return Err(Error::Ended { program: self.name.to_owned(), tail: tail(&self.log) }),
            }
        }
    }

    /// Asks the process to stop (SIGTERM) and waits for its end, ten seconds at most.
    pub async fn stop(mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // The child is not reaped before, so the id is still its own.
            let _ = kill_process(pid, Signal::TERM);
        }
        for _ in 0..1_000 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A TCP port of the loopback that is free now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16, Error> {
    let found = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    found.map(|address| address.port()).map_err(file("find a free port on", Path::new("127.0.0.1")))
}

fn cost_of(stat: &str, status: &str) -> Cost {
    // The name before it is in parentheses and may hold anything; from there on, the 12th and 13th field are the times.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Cost {
        cpu: TICK * (ticks(11) + ticks(12)),
        rss: kilobytes("VmRSS:") * 1_024,
        peak_rss: kilobytes("VmHWM:") * 1_024,
    }
}

fn tail(log: &Path) -> String {
    const LINES: usize = 15;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read_from_proc() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 500 0 0 0 150 25 0 0 20 0 3 0 1 2 3";
        let status = "Name:\ta\nVmHWM:\t   13000 kB\nVmRSS:\t   12000 kB\n";
        let cost = cost_of(stat, status);
        assert_eq!(cost, Cost { cpu: Duration::from_millis(1_750), rss: 12_288_000, peak_rss: 13_312_000 });
    }
}
