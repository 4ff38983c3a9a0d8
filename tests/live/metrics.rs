//! What a run says of itself in Prometheus's format: in a file, and over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Endless, Folder, LIMIT, control};

/// Reads metrics with the parser of Prometheus's own client, and prints each sample as a line: name, labels, value.
const PARSE: &str = "import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    for s in family.samples:
        print(family.type, s.name, ','.join(f'{k}={v}' for k, v in sorted(s.labels.items())), repr(s.value), sep=';')
";

/// Samples, one a line; `None` where the parser is not installed.
struct Samples(String);

impl Samples {
    fn of(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).unwrap();
        let mut seen = std::collections::HashSet::new();
        // What the parser lets pass and promtool does not: each family has its help and type once, before its samples.
        for line in text.lines().filter(|line| line.starts_with("# ")) {
            let mut words = line.split(' ');
            let key: Vec<_> = words.by_ref().skip(1).take(2).collect();
            assert!(seen.insert(key.clone()), "{line}: twice");
            assert!(words.next().is_some_and(|word| !word.is_empty()), "{line}");
            assert!(key[0] != "TYPE" || seen.contains(&vec!["HELP", key[1]]), "{line}: without help");
        }
        assert!(text.ends_with('\n'));
        let parsed = Command::new("/usr/bin/python3").arg("-c").arg(PARSE).arg(file).output().unwrap();
        let said = String::from_utf8_lossy(&parsed.stderr).into_owned();
        if said.contains("No module named 'prometheus_client'") {
            println!("SKIP metrics: python3-prometheus-client is not installed (scripts/setup test)");
            return None;
        }
        assert!(parsed.status.success(), "{said}");
        let lines = String::from_utf8_lossy(&parsed.stdout).into_owned();
        let mut samples: Vec<_> = lines.lines().map(|line| line.rsplit_once(';').unwrap().0).collect();
        let count = samples.len();
        samples.sort_unstable();
        samples.dedup();
        assert_eq!(samples.len(), count, "a sample comes twice: {lines}");
        Some(Self(lines))
    }

    fn value(&self, start: &str) -> f64 {
        let line = self.0.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {}", self.0));
        line.rsplit(';').next().unwrap().parse().unwrap()
    }
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let folder = Folder::new("metrics");
    let Some(run) = Endless::start(&folder, &["--metrics", "m.prom", "--control", "c.sock", "--set", "level=0.5"])
    else {
        return;
    };
    control(&folder, &["stop"]);
    let drawn = {
        let mut run = run;
        while run.frame().is_some() {}
        assert_eq!(run.child.wait().unwrap().code(), Some(0));
        run.next
    };
    let Some(samples) = Samples::of(&folder.path("m.prom")) else { return };
    let value = |start: &str| samples.value(start);
    // The parser knows a counter by its family's name, without _total.
    assert_eq!(value("counter;darkframe_frames_total;"), f64::from(drawn));
    assert_eq!(value("counter;darkframe_pictures_total;sink=out"), f64::from(drawn));
    assert_eq!(value("gauge;darkframe_parameter;component=0,name=level"), 0.5);
    assert_eq!(value("summary;darkframe_pass_submit_seconds_count;pass=level"), f64::from(drawn));
    let p99 = value("summary;darkframe_work_seconds;quantile=0.99,sink=out");
    assert!(p99 > 0.0 && p99 < 60.0, "{p99}");
    // Seconds: one thread does not work longer than the run lasts.
    let (work, run) = (value("summary;darkframe_work_seconds_sum;sink=out"), value("gauge;darkframe_run_seconds;"));
    assert!(p99 <= work && work <= run && run < 60.0, "{p99}, {work}, {run}");
    assert_eq!(value("gauge;darkframe_run_info;"), 1.0);
    // Only where the driver tells it.
    if samples.0.contains("darkframe_pass_gpu_seconds") {
        let unknown = ["disjoint", "late"]
            .map(|reason| value(&format!("counter;darkframe_pass_gpu_unknown_total;reason={reason}")));
        let known = value("summary;darkframe_pass_gpu_seconds_count;pass=level");
        assert_eq!(known + unknown[0] + unknown[1], f64::from(drawn));
    }
}

/// An answer: status, head in lower case, body.
fn answer(mut stream: impl Read) -> (u16, String, String) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let head = head.to_lowercase();
    if status == 200 {
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.is_empty() || head.contains(&format!("content-length: {}", body.len())), "{head}");
    }
    (status, head, body.to_owned())
}

struct Asked(String);

impl Asked {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.0).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    fn ask(&self, request: &[u8]) -> (u16, String, String) {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        answer(stream)
    }
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n";

/// Where the run says that it can be asked.
fn place(run: &Endless) -> Asked {
    let line = loop {
        let line = run.errors.recv_timeout(LIMIT).unwrap();
        if line.contains("metrics: ") {
            break line;
        }
    };
    let address = line.trim_start_matches("metrics: http://").trim_end_matches("/metrics");
    assert!(address.starts_with("127.0.0.1:"), "{line}");
    Asked(address.to_owned())
}

#[test]
fn prometheus_may_ask_a_run_over_http() {
    let folder = Folder::new("http");
    let Some(mut run) = Endless::start(&folder, &["--metrics-listen", "0", "--control", "c.sock"]) else { return };
    let place = place(&run);
    let (status, head, body) = place.ask(GET);
    assert_eq!(status, 200, "{head}");
    folder.write("m.prom", &body);
    let Some(first) = Samples::of(&folder.path("m.prom")) else { return };
    assert_eq!(first.value("gauge;darkframe_run_info;"), 1.0);
    let first = first.value("counter;darkframe_frames_total;");
    assert!(first >= 1.0, "{first}");
    // The next answer is of the frames that have come meanwhile.
    (0..500).for_each(|_| assert_eq!(run.frame(), Some(51)));
    folder.write("m.prom", &place.ask(GET).2);
    let second = Samples::of(&folder.path("m.prom")).unwrap();
    assert!(second.value("counter;darkframe_frames_total;") >= first.max(501.0));
    // In pieces; the head alone; what it does not serve.
    let mut slow = place.connect();
    for piece in GET.chunks(7) {
        slow.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(answer(slow).0, 200);
    let (status, head, body) = place.ask(b"HEAD /metrics HTTP/1.0\r\n\r\n");
    assert!(status == 200 && body.is_empty() && !head.contains("content-length: 0"), "{head}");
    assert_eq!(place.ask(b"GET / HTTP/1.1\r\n\r\n").0, 404);
    let (status, head, _) = place.ask(b"DELETE /metrics HTTP/1.1\r\n\r\n");
    assert!(status == 405 && head.contains("allow: get, head"), "{head}");
    // The port is taken now: said at the start, before anything is drawn.
    let port = place.0.rsplit(':').next().unwrap();
    let second = folder.command(&["run", "-q", "p.toml", "--metrics-listen", port]).output().unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && second.stdout.is_empty(), "{text}");
    assert!(text.contains(&format!("--metrics-listen 127.0.0.1:{port}")) && text.contains("another port"), "{text}");
    let wrong = folder.command(&["run", "p.toml", "--metrics-listen", "example.org:80"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(control(&folder, &["stop"]).0, 0);
    assert_eq!(run.end().0, 0);
    assert!(TcpStream::connect(&place.0).is_err());
}

#[test]
fn a_socket_of_the_file_system_is_for_this_user_and_answers_while_a_run_waits() {
    let folder = Folder::new("http-unix");
    let Some(run) = Endless::start(&folder, &["--metrics-listen", "unix:m.sock", "--control", "c.sock"]) else {
        return;
    };
    let ask = || {
        let mut stream = UnixStream::connect(folder.path("m.sock")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(GET).unwrap();
        answer(stream)
    };
    let mode = std::fs::metadata(folder.path("m.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(ask().0, 200);
    assert_eq!(control(&folder, &["stop"]).0, 0);
    assert_eq!(run.end().0, 0);
    assert!(!folder.path("m.sock").exists());
    // A run whose source says nothing: no frame yet, and that is the answer.
    let text = "[source.camera]\nfile = \"-\"\nkind = \"y4m\"\n[sink.out]\ninput = \"camera\"\nkind = \"null\"\n";
    folder.write("p.toml", text);
    let mut command = folder.command(&["run", "-q", "p.toml", "--metrics-listen", "./m.sock"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    // A socket has its name before it listens.
    while UnixStream::connect(folder.path("m.sock")).is_err() && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (status, _, body) = ask();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(status, 200);
    folder.write("m.prom", &body);
    let Some(samples) = Samples::of(&folder.path("m.prom")) else { return };
    assert_eq!(samples.value("counter;darkframe_frames_total;"), 0.0);
}

#[test]
fn hostile_clients_of_the_metrics_do_not_hold_the_run_up() {
    let folder = Folder::new("http-hostile");
    let Some(mut run) = Endless::start(&folder, &["--metrics-listen", "0", "--control", "c.sock"]) else { return };
    let place = place(&run);
    // A head without an end, more lines than there may be, another protocol, a body that nobody asked for.
    let mut endless = place.connect();
    let _ = endless.write_all(b"GET /metrics HTTP/1.1\r\nA: ");
    let _ = endless.write_all(&[b'a'; 100_000]);
    let mut bytes = Vec::new();
    // What is still on its way when it closes may take the answer with it; it must close.
    match endless.read_to_end(&mut bytes) {
        Ok(_) => assert!(bytes.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&bytes)),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(place.ask(many.as_bytes()).0, 431);
    assert_eq!(place.ask(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\r\n\r\n").0, 400);
    assert_eq!(place.ask(b"GET /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").0, 200);
    // Ones that say nothing, that say half of it, and that never read: more than there is room for.
    (0..200).for_each(|_| assert_eq!(run.frame(), Some(51)));
    let before = run.resident_kib();
    let crowd: Vec<TcpStream> = (0..40).map(|_| place.connect()).collect();
    for (at, mut client) in crowd.iter().enumerate() {
        let _ = client.write_all(match at % 3 {
            0 => b"",
            1 => b"GET /metr",
            _ => GET,
        });
    }
    let open = |run: &Endless| std::fs::read_dir(format!("/proc/{}/fd", run.child.id())).unwrap().count();
    (0..2000).for_each(|_| assert_eq!(run.frame(), Some(51)));
    assert!(run.resident_kib() < before + 16 * 1024, "{before} KiB, then {} KiB", run.resident_kib());
    assert!(open(&run) < 16 + 40, "{} fds", open(&run));
    // Each of them has its time; then somebody decent is served, though nobody of them has gone.
    let begun = Instant::now();
    let served = || {
        let mut stream = place.connect();
        let mut text = String::new();
        stream.write_all(GET).is_ok() && stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200 ")
    };
    while !served() {
        assert!(begun.elapsed() < LIMIT, "the crowd is still served");
        assert_eq!(run.frame(), Some(51));
    }
    drop(crowd);
    control(&folder, &["stop"]);
    assert_eq!(run.end().0, 0);
}
