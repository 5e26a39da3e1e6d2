//! The search for marks in everything that anybody can read but Secrets: logs, objects, metrics, processes, streams, and what
//! the command shows.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use async_nats::jetstream::{self, consumer::pull};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{StreamExt, TryStreamExt};
use ropeway_tests::{NatsServer, process::run, scene::http_client};
use serde_json::Value;

use crate::place::Place;

/// The password of Ropeway's account; itself a mark.
pub const NATS_PASSWORD: &str = "canary-nats-password-93d0f2";

/// How much of a long random text is as bad as the whole of it.
const PIECE: usize = 24;

/// What must not be found, and the forms in which it would be.
#[derive(Clone)]
pub struct Mark {
    pub what: String,
    forms: Vec<String>,
}

impl Mark {
    pub fn of(what: &str, text: &str) -> Self {
        let bytes = text.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // A slice of bytes as Rust shows it.
        let numbers = format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
        let encoded = BASE64_STANDARD.encode(bytes).trim_end_matches('=').to_owned();
        let in_a_form = url::form_urlencoded::byte_serialize(bytes).collect();
        Self { what: what.to_owned(), forms: vec![text.to_owned(), encoded, hex, numbers, in_a_form] }
    }

    /// The same of a token, whose beginning and whose end are marks as well.
    pub fn of_token(what: &str, token: &str) -> Self {
        let mut mark = Self::of(what, token);
        if token.is_ascii() && token.len() > 2 * PIECE {
            mark.forms.extend([token[..PIECE].to_owned(), token[token.len() - PIECE..].to_owned()]);
        }
        mark
    }

    /// A private key in PEM, line by line.
    pub fn of_key(what: &str, pem: &str) -> Self {
        let lines = pem.lines().filter(|line| line.len() >= PIECE && !line.starts_with("-----"));
        let forms: Vec<String> = lines.map(str::to_owned).collect();
        assert!(!forms.is_empty(), "{what} is no key");
        Self { what: what.to_owned(), forms }
    }
}

/// Which marks are in a text.
pub fn found(text: &str, marks: &[Mark]) -> Vec<String> {
    let is_in = |mark: &&Mark| mark.forms.iter().any(|form| text.contains(form));
    marks.iter().filter(is_in).map(|mark| mark.what.clone()).collect()
}

/// A server that lets nobody in without the password.
pub async fn guarded_nats() -> NatsServer {
    let accounts = format!(
        "accounts {{ GUESTS: {{ users: [{{ user: guest, password: guest }}] }}\nROPEWAY: {{ jetstream: enabled, users: [{{ user: ropeway, password: \"{NATS_PASSWORD}\" }}] }} }}\nno_auth_user: guest"
    );
    NatsServer::start_with(&accounts).await.expect("the nats-server starts")
}

/// A client of that server.
pub async fn jetstream_of(nats: &NatsServer) -> jetstream::Context {
    let options = async_nats::ConnectOptions::with_user_and_password("ropeway".into(), NATS_PASSWORD.into());
    jetstream::new(options.connect(nats.url()).await.expect("the server takes it"))
}

/// A search under way.
pub struct Search {
    credentials: Vec<Mark>,
    payloads: Vec<Mark>,
    both: Vec<Mark>,
    leaks: BTreeSet<String>,
}

impl Search {
    pub fn new(credentials: Vec<Mark>, payloads: Vec<Mark>) -> Self {
        let both = credentials.iter().chain(&payloads).cloned().collect();
        Self { credentials, payloads, both, leaks: BTreeSet::new() }
    }

    /// What was found, and where.
    pub fn leaks(self) -> Vec<String> {
        self.leaks.into_iter().collect()
    }

    fn note(&mut self, place: &str, text: &str, marks: &[Mark]) {
        self.leaks.extend(found(text, marks).into_iter().map(|what| format!("{place}: {what}")));
    }

    /// Looks for everything in a text.
    pub fn text(&mut self, place: &str, text: &str) {
        let marks = std::mem::take(&mut self.both);
        self.note(place, text, &marks);
        self.both = marks;
    }

    /// The logs of a folder. Each line is a document, and each log is traced.
    pub fn logs(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("logs") {
            let path = entry.expect("a log").path();
            let log = fs::read_to_string(&path).expect("text");
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            assert!(log.contains("\"level\":\"TRACE\""), "{name} is not traced");
            if found(&log, &self.both).is_empty() {
                continue;
            }
            let lines: Vec<&str> = log.lines().filter(|line| !found(line, &self.both).is_empty()).collect();
            for line in lines {
                let line: Value = serde_json::from_str(line).expect("a line of a log is a document");
                let from = format!("{name}: {} says {}", line["target"], line["message"]);
                self.text(&from.chars().take(120).collect::<String>(), &line.to_string());
            }
        }
    }

    /// Everything that stands in the API server but Secrets, Events among it.
    pub fn objects(&mut self, place: &Place) {
        let kinds = "intg,dest,deployments,replicasets,services,serviceaccounts,configmaps,cronjobs,events,events.events.k8s.io";
        let all = run(place.kubectl().args(["get", kinds, "--output", "json", "--show-managed-fields"]));
        self.text("objects in the API server", &all.expect("kubectl reads"));
    }

    /// The metrics of a program.
    pub async fn metrics(&mut self, name: &str, admin: &str) {
        let answer = http_client().get(format!("{admin}/metrics")).send().await.expect("an answer");
        self.text(&format!("metrics of {name}"), &answer.text().await.expect("text"));
    }

    /// Command line and environment of every process on the machine; these must be among them.
    pub fn processes(&mut self, ours: &[u32]) {
        let mut seen = BTreeSet::new();
        let all = fs::read_dir("/proc").expect("processes").flatten();
        for id in all.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok()) {
            let facts = process_facts(id);
            if ours.contains(&id) {
                assert!(facts.contains("--") && facts.contains("RUST_LOG=trace"), "nothing is seen of {id}");
                seen.insert(id);
            }
            let program = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            self.text(&format!("the process {}", program.trim()), &facts);
        }
        assert_eq!(seen, ours.iter().copied().collect());
    }

    /// All messages of all streams. The streams that hold payloads are answered.
    pub async fn streams(&mut self, nats: &NatsServer) -> BTreeSet<String> {
        let mut kept = BTreeSet::new();
        for (stream, message) in everything(nats).await {
            let holds_payloads = ["_EVENTS_", "_RETRIES_", "_DEAD_"].iter().any(|part| stream.contains(part));
            if !holds_payloads {
                self.text(&stream, &message);
                continue;
            }
            let marks = std::mem::take(&mut self.credentials);
            self.note(&stream, &message, &marks);
            self.credentials = marks;
            if !found(&message, &self.payloads).is_empty() {
                kept.insert(stream);
            }
        }
        kept
    }

    /// What `ropeway dlq` shows of everything, in both forms; so many entries there must be.
    pub fn dead_letters(&mut self, place: &Place, nats: &NatsServer, integration: &str, least: usize) {
        let folder = place.scratch.path().join("nats-credentials");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("username"), "ropeway").expect("a file");
        fs::write(folder.join("password"), NATS_PASSWORD).expect("a file");
        let (url, folder) = (nats.url(), folder.display().to_string());
        let reach = ["--nats-url", url.as_str(), "--nats-credentials", folder.as_str()];
        let mut said = String::new();
        let mut dlq = |arguments: &[&str]| {
            let mut command: Command = place.ropeway(&[&["dlq"], arguments, &reach].concat());
            let output = command.env("RUST_LOG", "trace").output().expect("the command runs");
            said += &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let mut text = String::new();
        let page: Value = serde_json::from_str(&dlq(&["ls", integration, "--output", "json"])).expect("a document");
        let numbers: Vec<String> =
            page["entries"].as_array().into_iter().flatten().map(|it| it["sequence"].to_string()).collect();
        assert!(numbers.len() >= least, "{page:#}");
        for form in ["json", "text"] {
            text += &dlq(&["ls", integration, "--output", form]);
            text += &dlq(&["stats", integration, "--output", form]);
            for number in &numbers {
                text += &dlq(&["show", integration, number, "--output", form]);
            }
        }
        assert!(said.contains("TRACE"), "the command is not traced");
        self.text("ropeway dlq", &text);
        self.text("the log of ropeway dlq", &said);
    }
}

/// Command line and environment of a process; empty where it may not be read or is gone.
pub fn process_facts(id: u32) -> String {
    let read =
        |what: &str| String::from_utf8_lossy(&fs::read(format!("/proc/{id}/{what}")).unwrap_or_default()).into_owned();
    format!("{} {}", read("cmdline"), read("environ"))
}

/// All messages of all streams, as (stream, text of subject, headers and body), and how streams and consumers are set.
async fn everything(nats: &NatsServer) -> Vec<(String, String)> {
    let context = jetstream_of(nats).await;
    let names: Vec<String> = context.stream_names().try_collect().await.expect("names");
    let mut seen = Vec::new();
    for name in names {
        let mut stream = context.get_stream(&name).await.expect("the stream");
        let info = stream.info().await.expect("its state").clone();
        seen.push((name.clone(), format!("{:?}", info.config)));
        let consumers: Vec<_> = stream.consumers().try_collect().await.expect("consumers");
        seen.extend(consumers.iter().map(|consumer| (name.clone(), format!("{:?}", consumer.config))));
        if info.config.retention == jetstream::stream::RetentionPolicy::WorkQueue || info.state.messages == 0 {
            // A work queue lets nobody else read; each message is asked for by its number.
            for sequence in info.state.first_sequence..=info.state.last_sequence {
                if let Ok(message) = stream.get_raw_message(sequence).await {
                    let body = String::from_utf8_lossy(&message.payload).into_owned();
                    seen.push((name.clone(), format!("{} {:?} {body}", message.subject, message.headers)));
                }
            }
            continue;
        }
        let reader = stream.create_consumer(pull::Config::default()).await.expect("a reader");
        let batch = reader.fetch().max_messages(10_000).messages().await.expect("messages");
        let mut batch = Box::pin(batch);
        while let Some(Ok(message)) = batch.next().await {
            let body = String::from_utf8_lossy(&message.payload).into_owned();
            seen.push((name.clone(), format!("{} {:?} {body}", message.subject, message.headers)));
        }
    }
    seen
}
