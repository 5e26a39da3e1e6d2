//! `ropeway-test-cluster`: the test node as a cluster to play with, and the first process inside every test node.
#![allow(clippy::print_stdout, reason = "a command line answers on standard output")]

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use ropeway_tests::{Node, install, node, process, wait::until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// The namespace that `up` makes for trying things.
const DEMO: &str = "demo";

const USAGE: &str = "usage: ropeway-test-cluster up | down | import IMAGE.tar…

  up      starts a Kubernetes node in the background with Ropeway on it, and prints how to use it (as root; `make tools`
          first); a node that runs already gets the images and the chart as they are now
  down    ends and removes it
  import  loads image archives into it";

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["up"] => up().await,
        ["down"] => down().await,
        ["import", archives @ ..] if !archives.is_empty() => import(archives),
        ["serve"] => serve().await,
        ["machine", folder, group] => node::run_machine(Path::new(folder), group).await.map_err(Into::into),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn report(error: &dyn std::error::Error) {
    eprintln!("{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}

/// The files by which `up`, `down` and `import` know of the node: its owner's process id, its kubeconfig, its socket.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        Self(env::temp_dir().join("ropeway-test-cluster"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The process that holds the node, when it is still that process: ids are used again.
    fn owner(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.file("pid")).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
        let is_ours = String::from_utf8_lossy(&line).split('\0').nth(1) == Some("serve");
        (is_ours && test_kill_process(pid).is_ok()).then_some(pid)
    }
}

async fn up() -> Outcome {
    let state = State::new();
    let kubeconfig = state.file("kubeconfig");
    if state.owner().is_none() {
        // What an earlier one left: its node ended with it.
        let _ = fs::remove_dir_all(&state.0);
        fs::create_dir_all(&state.0)?;
        let log = fs::File::create(state.file("log"))?;
        let mut command = Command::new(env::current_exe()?);
        command.arg("serve").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut child = command.spawn()?;
        fs::write(state.file("pid"), child.id().to_string())?;
        eprintln!("starting a node; this takes some seconds");
        let started = until("the node is ready", Duration::from_secs(300), async || match child.try_wait() {
            Ok(None) if kubeconfig.exists() => Ok(true),
            Ok(None) => Err("starting".to_owned()),
            _ => Ok(false),
        });
        if !started.await? {
            return Err(format!("the node did not start:\n{}", process::tail(&state.file("log"))).into());
        }
    }
    install_ropeway(&state, &kubeconfig)?;
    println!("export KUBECONFIG={}", kubeconfig.display());
    println!("kubectl apply -f examples/signups-to-marketing/ -n {DEMO}");
    println!("kubectl get intg -n {DEMO} --watch");
    Ok(())
}

fn install_ropeway(state: &State, kubeconfig: &Path) -> Outcome {
    eprintln!("building the images");
    let mut version = 0;
    for kind in install::IMAGES {
        let archive = install::image(kind)?;
        let built = fs::metadata(&archive)?.modified()?.duration_since(std::time::UNIX_EPOCH)?;
        version = version.max(built.as_secs());
        import_image(state, &archive)?;
    }
    eprintln!("installing the chart");
    // The image has the same name after each build, so that only this makes a new operator of it.
    install::chart(kubeconfig, &[&format!("operator.annotations.built=at-{version}"), "timing.statusSeconds=5"])?;
    Ok(install::namespace(kubeconfig, DEMO)?)
}

async fn down() -> Outcome {
    let state = State::new();
    if let Some(owner) = state.owner() {
        kill_process(owner, Signal::TERM)?;
        until("the end of the node", Duration::from_secs(60), async || match state.owner() {
            Some(_) => Err("still running".to_owned()),
            None => Ok(()),
        })
        .await?;
    }
    if state.0.exists() {
        fs::remove_dir_all(&state.0)?;
    }
    Ok(())
}

fn import(archives: &[&str]) -> Outcome {
    archives.iter().try_for_each(|archive| import_image(&State::new(), Path::new(archive)))
}

fn import_image(state: &State, archive: &Path) -> Outcome {
    let socket = fs::read_to_string(state.file("containerd")).map_err(|_| "no node is running; start one with `up`")?;
    Ok(node::import_image(Path::new(&socket), archive)?)
}

/// Holds a node until it is told to stop. `up` runs this in the background.
async fn serve() -> Outcome {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let state = State::new();
    let mut node = tokio::select! {
        node = Node::start() => node?,
        _ = terminate.recv() => return Ok(()),
    };
    fs::write(state.file("containerd"), node.containerd().display().to_string())?;
    let partial = state.file("kubeconfig.new");
    fs::copy(node.kubeconfig(), &partial)?;
    fs::rename(partial, state.file("kubeconfig"))?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => node.check()?,
        }
    }
}
