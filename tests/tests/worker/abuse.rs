//! Senders that mean no good, or are broken: each gets its status, the worker stays small, and a healthy sender notices
//! nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use ropeway_tests::{
    scene::{PATIENCE, Scene, TOKEN, Worker, http_client, post, webhook_to},
    wait::until,
};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The largest body that is taken where the Integration does not say.
const LIMIT: usize = 256 << 10;

/// Deadlines are so many times shorter in these tests: a head has 7.5 s, a body 1 s.
const FASTER: &str = "10";

/// How many connections do nothing, or begin a request and do not go on.
const IDLE: usize = 2_000;

/// What one of them may cost, in kilobytes. With the state of HTTP it costs more than 15.
const IDLE_COSTS: u64 = 4;

/// A worker with a webhook, and a sender that goes on all the time and counts what it is answered.
struct Siege {
    _scene: Scene,
    worker: Worker,
    host: String,
    stop: Arc<AtomicBool>,
    fine: Arc<AtomicUsize>,
    healthy: tokio::task::JoinHandle<Vec<Option<u16>>>,
}

/// Waits until the webhook takes events.
async fn open(client: &reqwest::Client, worker: &Worker) {
    until("the webhook is open", PATIENCE, async || match post(client, &worker.url, "first").await {
        Some(200) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("the webhook opens");
}

impl Siege {
    async fn begin() -> Self {
        let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
        let variables = [("ROPEWAY_DEADLINES_FASTER", FASTER)];
        let worker = scene.start_worker_with("worker", &variables).await.expect("a worker starts");
        let client = http_client();
        open(&client, &worker).await;
        let (stop, fine) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (url, ended, counted) = (worker.url.clone(), Arc::clone(&stop), Arc::clone(&fine));
        let healthy = tokio::spawn(async move {
            let mut wrong = Vec::new();
            // A connection of its own now and then: new ones must get through as well.
            for number in 0_usize.. {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let fresh = (number % 10 == 0).then(http_client);
                match post(fresh.as_ref().unwrap_or(&client), &url, &format!("h-{number}")).await {
                    Some(200) => counted.fetch_add(1, Ordering::SeqCst),
                    other => {
                        wrong.push(other);
                        0
                    }
                };
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            wrong
        });
        let host = worker.url.trim_start_matches("http://").trim_end_matches("/hook").to_owned();
        Self { _scene: scene, worker, host, stop, fine, healthy }
    }

    /// Waits until the healthy sender got its 2xx for so many more.
    async fn served(&self, more: usize) {
        let wanted = self.fine.load(Ordering::SeqCst) + more;
        until("the healthy sender goes on", PATIENCE, async || match self.fine.load(Ordering::SeqCst) {
            fine if fine >= wanted => Ok(()),
            fine => Err(format!("{fine} of {wanted}")),
        })
        .await
        .expect("it is served");
    }

    /// Ends, and sees that the healthy sender got nothing but 200.
    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        let wrong = self.healthy.await.expect("the healthy sender ends");
        assert!(wrong.is_empty(), "the healthy sender got {wrong:?}");
    }

    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.worker.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().split(' ').next().and_then(|text| text.parse().ok()).expect("a number")
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.host).await.expect("a connection")
    }

    /// Sends these bytes and reads the status of the answer; none where the connection just ends.
    async fn raw(&self, bytes: &[u8]) -> Option<u16> {
        let mut stream = self.connect().await;
        // The worker may have answered before it has read all of it.
        let _ = stream.write_all(bytes).await;
        answered(&mut stream).await
    }

    async fn body(&self, body: impl Into<reqwest::Body>) -> u16 {
        let request = http_client().post(&self.worker.url).bearer_auth(TOKEN).body(body);
        request.send().await.expect("an answer").status().as_u16()
    }
}

async fn answered(stream: &mut TcpStream) -> Option<u16> {
    let mut head = [0; 12];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("the connection ends");
    read.ok()?;
    std::str::from_utf8(&head).ok()?.split(' ').nth(1)?.parse().ok()
}

/// An event of exactly this size.
fn event(id: &str, size: usize) -> String {
    let begin = format!("{{\"id\":\"{id}\",\"fill\":\"");
    let fill = "x".repeat(size - begin.len() - 2);
    format!("{begin}{fill}\"}}")
}

/// The same without saying how long it is, in pieces.
fn chunked(text: &str) -> reqwest::Body {
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        text.as_bytes().chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    reqwest::Body::wrap_stream(stream::iter(pieces))
}

fn head(more: &str) -> String {
    format!("POST /hook HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n{more}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_too_deep_or_too_much_gets_its_status_and_a_healthy_sender_its_200() {
    let siege = Siege::begin().await;
    assert_eq!(siege.body(event("at", LIMIT)).await, 200, "at the limit");
    assert_eq!(siege.body(chunked(&event("at-chunked", LIMIT))).await, 200, "at the limit, without a length");
    assert_eq!(siege.body(event("over", LIMIT + 1)).await, 413, "one over");
    assert_eq!(siege.body(chunked(&event("over-chunked", LIMIT + 1))).await, 413, "one over, without a length");
    assert_eq!(siege.body(chunked(&event("far", LIMIT * 16))).await, 413, "far over, without a length");
    assert_eq!(siege.raw(head("content-length: 99999999999\r\n\r\n{").as_bytes()).await, Some(413), "announced");
    for (name, text) in [
        ("arrays", format!(r#"{{"id":"d","a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000))),
        ("objects", format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000))),
        ("without an end", "[".repeat(100_000)),
    ] {
        assert_eq!(siege.body(text).await, 400, "{name}");
    }
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    assert_eq!(siege.raw(head(&format!("{many}content-length: 2\r\n\r\n{{}}")).as_bytes()).await, Some(431), "headers");
    let long = format!("x: {}\r\ncontent-length: 2\r\n\r\n{{}}", "x".repeat(64 << 10));
    assert_eq!(siege.raw(head(&long).as_bytes()).await, Some(431), "a long head");
    assert_eq!(siege.raw(b"nonsense\r\n\r\n").await, Some(400), "no HTTP");
    let both = head("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(
        !matches!(siege.raw(both.as_bytes()).await, Some(200..=299)),
        "two lengths, which proxies read differently"
    );
    siege.served(20).await;
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_are_ended_at_their_deadlines() {
    let siege = Siege::begin().await;
    let begun = Instant::now();
    // A byte now and then does not prolong it.
    let slow_body = async {
        let mut stream = siege.connect().await;
        stream.write_all(head("content-length: 1000\r\n\r\n").as_bytes()).await.expect("a head");
        let (mut reading, mut writing) = stream.into_split();
        let dripping = tokio::spawn(async move {
            while writing.write_all(b"{").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut answer = [0; 12];
        let read = tokio::time::timeout(PATIENCE, reading.read_exact(&mut answer)).await.expect("it ends");
        dripping.abort();
        (read.is_ok() && &answer[9..] == b"408", begun.elapsed())
    };
    let ends = async |first: &'static [u8]| {
        let mut stream = siege.connect().await;
        stream.write_all(first).await.expect("the first bytes");
        (answered(&mut stream).await, begun.elapsed())
    };
    let heads = futures::future::join3(ends(b"POST /hook HTTP/1.1\r\nx: "), ends(b""), ends(b"P"));
    let (body, (head, silent, begins)) = futures::future::join(slow_body, heads).await;
    assert!(body.0, "a slow body gets 408");
    assert!(body.1 >= Duration::from_millis(900) && body.1 < Duration::from_secs(6), "after {:?}", body.1);
    for (name, (status, after)) in [("a slow head", head), ("nothing", silent), ("one byte", begins)] {
        assert!(matches!(status, None | Some(408)), "{name}: {status:?}");
        assert!(after >= Duration::from_secs(6) && after < Duration::from_secs(30), "{name}: after {after:?}");
    }
    siege.served(20).await;
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_connections_and_floods_of_nonsense_cost_little_memory_and_no_healthy_sender() {
    let siege = Siege::begin().await;
    siege.served(200).await;
    let baseline = siege.memory();
    // The worker was started with the limit of open files that this process had, and raises its own.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("up to the maximum");
    let enough = limit.maximum.is_none_or(|most| most as usize >= IDLE * 2);
    assert!(enough, "this test needs {} open files; raise `ulimit -Hn`", IDLE * 2);
    let connect = async |number: usize| {
        let mut connection = siege.connect().await;
        if number.is_multiple_of(2) {
            connection.write_all(b"POST /hook HTTP/1.1\r\nhost: a\r\nx-").await.expect("the begin of a head");
        }
        connection
    };
    let idle: Vec<TcpStream> = stream::iter(0..IDLE).map(connect).buffer_unordered(64).collect().await;
    siege.served(20).await;
    let mut most = siege.memory();
    let allowed = baseline + IDLE_COSTS * IDLE as u64;
    assert!(most < allowed, "{most} kB with {IDLE} idle connections, {baseline} kB without; at most {allowed} kB");
    let (deep, large) = ("[".repeat(100_000), event("over", LIMIT * 2));
    for _ in 0..20 {
        let nonsense = (0..20).map(|number| siege.body(if number % 2 == 0 { deep.clone() } else { large.clone() }));
        let answers = futures::future::join_all(nonsense).await;
        assert!(answers.iter().all(|status| matches!(status, 400 | 413)), "{answers:?}");
        most = most.max(siege.memory());
    }
    siege.served(20).await;
    println!("{baseline} kB under healthy load, at most {most} kB with {} idle connections and nonsense", idle.len());
    assert!(most < baseline * 2, "{most} kB, {baseline} kB without abuse");
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_who_has_begun_and_waits_for_nobody_who_is_silent() {
    let scene = Scene::new(webhook_to(&["a"])).await.expect("a scene");
    let mut worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let client = http_client();
    open(&client, &worker).await;
    let host = worker.url.trim_start_matches("http://").trim_end_matches("/hook").to_owned();
    let connect = async |said: &str| {
        let mut stream = TcpStream::connect(&host).await.expect("a connection");
        stream.write_all(said.as_bytes()).await.expect("it takes bytes");
        stream
    };
    let mut silent = connect("").await;
    let mut in_its_head = connect("POST /hook HTTP/1.1\r\nhost: a\r\n").await;
    // Whoever is told to continue is in hand, and those before were accepted.
    let mut in_its_body = connect(&head("expect: 100-continue\r\ncontent-length: 10\r\n\r\n")).await;
    let mut told = [0; 25];
    in_its_body.read_exact(&mut told).await.expect("an interim answer");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");

    worker.process.signal(Signal::TERM);
    let begun = Instant::now();
    assert_eq!(silent.read(&mut told).await.expect("its end"), 0);
    let rest = format!("authorization: Bearer {TOKEN}\r\ncontent-length: 10\r\n\r\n{{\"id\":\"h\"}}");
    in_its_head.write_all(rest.as_bytes()).await.expect("the rest");
    assert_eq!(answered(&mut in_its_head).await, Some(200), "in its head");
    in_its_body.write_all(b"{\"id\":\"b\"}").await.expect("the body");
    assert_eq!(answered(&mut in_its_body).await, Some(200), "in its body");
    assert_eq!(worker.process.ends(PATIENCE).await.expect("it ends"), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "after {:?}", begun.elapsed());
}
