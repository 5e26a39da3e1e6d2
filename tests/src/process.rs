//! Child processes: output to a file, killed by id on drop, and by the kernel when this process dies first.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, error::file, programs, wait::until};

/// A program and its arguments, not yet started.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

impl Launch {
    /// Runs the program at this path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), variables: Vec::new() }
    }

    /// Runs one of the programs of `make tools`.
    ///
    /// # Errors
    /// When it is missing, with the command that installs it.
    pub fn tool(program: &str) -> Result<Self, Error> {
        programs::find(program).map(Self::at)
    }

    /// Adds one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment that the program inherits.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }
}

/// A running child process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program; both outputs are appended to `log`.
    ///
    /// # Errors
    /// When the log can't be opened or the program can't be started.
    pub fn start(name: &str, launch: Launch, log: &Path) -> Result<Self, Error> {
        let output = File::options().create(true).append(true).open(log).map_err(file("open", log))?;
        let errors = output.try_clone().map_err(file("open", log))?;
        // The kernel kills the child when the thread that started it ends; that thread lives as long as this process.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&launch.program).args(&launch.arguments);
        command.envs(launch.variables).stdin(Stdio::null()).stdout(output).stderr(errors);
        let child =
            spawn_on_lasting_thread(command).map_err(|source| Error::Start { program: name.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails when the process has ended, with the end of its log.
    ///
    /// # Errors
    /// `Error::Ended`.
    pub fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(describe(status))),
            Err(source) => Err(self.ended(source.to_string())),
        }
    }

    /// Waits for its end and gives its exit code; none where a signal ended it.
    ///
    /// # Errors
    /// When it does not end in time, with the end of its log.
    pub async fn ends(&mut self, patience: Duration) -> Result<Option<i32>, Error> {
        let child = &mut self.child;
        let ended = until("the end of the process", patience, async || match child.try_wait() {
            Ok(Some(status)) => Ok(status.code()),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        ended.await.map_err(|deadline| Error::DeadlineOf {
            deadline: Box::new(deadline),
            log: self.log.clone(),
            tail: tail(&self.log),
        })
    }

    /// Looks until `look` gives a value, and fails at once when the process ends meanwhile.
    ///
    /// # Errors
    /// `Error::Ended`, or `Error::DeadlineOf` with the end of the log.
    pub async fn until<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut look: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T, Error> {
        let outcome = until(what, patience, async || match self.check() {
            Ok(()) => look().await.map(Ok),
            Err(ended) => Ok(Err(ended)),
        });
        match outcome.await {
            Ok(found) => found,
            Err(deadline) => {
                Err(Error::DeadlineOf { deadline: Box::new(deadline), log: self.log.clone(), tail: tail(&self.log) })
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            // The child is not reaped before `self` is gone, so the id is still its own; an ended one ignores signals.
            let _ = kill_process(pid, signal);
        }
    }

    /// Stops the process where it is (SIGSTOP) and waits until it stands still: connections stay open, nothing answers.
    pub async fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = PathBuf::from(format!("/proc/{}/task", self.id()));
        let stopped = until("the process stands still", Duration::from_secs(10), async || {
            let states: Vec<_> =
                fs::read_dir(&threads).into_iter().flatten().flatten().filter_map(thread_state).collect();
            if states.iter().all(|state| state == "T") { Ok(()) } else { Err(states.concat()) }
        });
        // A stop signal can't be refused; a thread in the middle of a system call obeys when that is over.
        let _ = stopped.await;
    }

    /// Ends a freeze.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills the process (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the process to stop (SIGTERM) and waits for its end; kills it when `patience` is over.
    pub async fn stop(&mut self, patience: Duration) {
        self.signal(Signal::TERM);
        let child = &mut self.child;
        let ended = until("the end of the process", patience, async || match child.try_wait() {
            Ok(None) => Err("still running".to_owned()),
            _ => Ok(()),
        });
        if ended.await.is_err() {
            self.kill();
        }
    }

    fn ended(&self, status: String) -> Error {
        Error::Ended { program: self.name.clone(), status, log: self.log.clone(), tail: tail(&self.log) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// When it can't be started, or ends with another status than 0.
pub fn run(command: &mut Command) -> Result<String, Error> {
    let line = format!("{command:?}");
    let output = command.output().map_err(|source| Error::Start { program: line.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = [output.stdout, output.stderr].concat();
    let (status, output) = (describe(output.status), String::from_utf8_lossy(&text).into_owned());
    Err(Error::Command { command: line, status, output })
}

/// The last lines of a log.
#[must_use]
pub fn tail(log: &Path) -> String {
    const LINES: usize = 25;
    let content = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn thread_state(thread: fs::DirEntry) -> Option<String> {
    let line = fs::read_to_string(thread.path().join("stat")).ok()?;
    // The name before it is in parentheses and may hold anything.
    line.rsplit_once(") ")?.1.split(' ').next().map(str::to_owned)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

type Request = (Command, Sender<io::Result<Child>>);

/// Parent-death signals belong to the *thread* that made the child; a test's own thread ends with the test.
fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in requests {
                // The asker waits for the answer, so it is there to take it.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, answers) = channel();
    spawner.send((command, answer)).expect("the spawner lives as long as the process");
    answers.recv().expect("the spawner answers every request")
}
