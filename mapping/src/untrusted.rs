//! Compiling source that is not trusted yet, in a child process that may die of it.
//!
//! In: source from a resource that somebody has just applied. Out: that it compiles within limits of
//! memory and time, or a [`CompileError`]. The child is the calling program itself, started with the
//! hidden subcommand [`CHILD_ARGUMENT`]; it limits itself, compiles, and answers on its output. A
//! few milliseconds for each expression.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use vrl::diagnostic::Span;

use crate::diagnostic::{CompileError, Fault};
use crate::program::{Purpose, compile};
use crate::syntax;

/// The hidden subcommand under which a binary calls [`child_main`].
pub const CHILD_ARGUMENT: &str = "compile-expression";

/// Address space of the child: the binary itself, 64 MiB for the compiler's stack, and far more heap
/// than any real expression needs.
const CHILD_ADDRESS_SPACE: u64 = 512 << 20;
/// Processor time of the child in seconds; the smallest that the system can limit.
const CHILD_CPU_SECONDS: u64 = 1;
/// Longest wait for the child, for a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest request or answer, in bytes: escaping can make a source six times as long.
const MAX_MESSAGE: u64 = 1 << 20;

/// Why source was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum UntrustedError {
    /// The source is at fault, also where the child ran into its limits.
    #[error(transparent)]
    Refused(CompileError),
    /// The child could not be started or spoken to; says nothing about the source.
    #[error("failed to run the compiler in a child process")]
    Child(#[source] io::Error),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    source: String,
    purpose: Purpose,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    refused: Option<CompileError>,
}

/// Compiles `source` in a child process, `child` being a binary that calls [`child_main`] for its
/// subcommand [`CHILD_ARGUMENT`]. Blocks for a few milliseconds, at most five seconds.
///
/// What passes here may be given to [`compile`] in this process.
///
/// # Errors
///
/// See [`UntrustedError`].
pub fn compile_in_child(child: &Path, source: &str, purpose: Purpose) -> Result<(), UntrustedError> {
    if source.len() > syntax::MAX_SOURCE {
        // Refused by length alone; nothing is parsed.
        return compile(source, purpose).map(drop).map_err(UntrustedError::Refused);
    }
    let request = serde_json::to_vec(&Request { source: source.to_owned(), purpose })
        .map_err(|error| UntrustedError::Child(error.into()))?;
    let answer = exchange(child, request).map_err(UntrustedError::Child)?;
    match answer.and_then(|bytes| serde_json::from_slice::<Answer>(&bytes).ok()) {
        Some(Answer { refused: None }) => Ok(()),
        Some(Answer { refused: Some(error) }) => Err(UntrustedError::Refused(error)),
        None => Err(UntrustedError::Refused(over_limit(source))),
    }
}

/// Sends the request and returns all that the child says; `None` where it is not done in time.
fn exchange(program: &Path, request: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut child = Command::new(program)
        .arg(CHILD_ARGUMENT)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let result = match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => talk(input, output, request),
        _ => Err(io::Error::other("the child has no pipes")),
    };
    end(&mut child)?;
    result
}

fn talk(mut input: ChildStdin, output: ChildStdout, request: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        // A child that died of its limits takes no more input; its silence is the answer.
        let _ = input.write_all(&request);
        drop(input);
        let mut answer = Vec::new();
        let read = output.take(MAX_MESSAGE).read_to_end(&mut answer);
        let _ = sender.send(read.map(|_| answer));
    })?;
    match receiver.recv_timeout(DEADLINE) {
        Ok(answer) => answer.map(Some),
        Err(_) => Ok(None),
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    // It has answered, or it is to be ended; killing one that is gone already is not an error.
    child.kill()?;
    child.wait().map(drop)
}

fn over_limit(source: &str) -> CompileError {
    let fault = Fault {
        code: 1008,
        span: Span::new(0, 0),
        message: "compiling the expression takes too much memory or time".into(),
        label: "in this expression".into(),
        remedy: "don't put a variable into itself again and again, and nest fewer expressions".into(),
    };
    CompileError::from_fault(source, fault)
}

/// The child's side: limits itself, reads one request from standard input, compiles, and writes the
/// answer to standard output. Call it before anything else is started.
///
/// Fails where the request can't be read or the limits can't be set; the parent takes silence for a
/// refusal.
#[must_use]
pub fn child_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    limit(Resource::As, CHILD_ADDRESS_SPACE)?;
    limit(Resource::Cpu, CHILD_CPU_SECONDS)?;
    limit(Resource::Core, 0)?;
    let mut request = Vec::new();
    io::stdin().take(MAX_MESSAGE).read_to_end(&mut request)?;
    let Request { source, purpose } = serde_json::from_slice(&request)?;
    let refused = compile(&source, purpose).err();
    let answer = serde_json::to_vec(&Answer { refused })?;
    let mut output = io::stdout().lock();
    output.write_all(&answer)?;
    output.flush()
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(resource, limit).map_err(io::Error::from)
}
