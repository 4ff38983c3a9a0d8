//! Frames between processes: the unixfd protocol between our own ends, with peers that are slow, wrong or killed, and with
//! GStreamer where it has unixfd (1.24 and later, as in Debian 13).
//!
//! Every frame carries its number in all of its pixels. Consumers and producers in processes of their own are this same
//! binary, started again with a role.

mod common;

#[allow(dead_code, reason = "tests/fuzz.rs runs the others")]
#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "share/chain.rs"]
mod chain;
#[path = "share/devices.rs"]
mod devices;
#[path = "share/fences.rs"]
mod fences;
#[path = "share/gstreamer.rs"]
mod gstreamer;
#[path = "share/hostile.rs"]
mod hostile;
#[path = "share/own.rs"]
mod own;
#[path = "share/pipeline.rs"]
mod pipeline;
#[path = "share/wire.rs"]
mod wire;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer};
use darkframe::device::Device;
use darkframe::format::Fourcc;
use darkframe::frame::Frame;
use darkframe::layout::{Constraints, Size};
use darkframe::pool::Pool;
use darkframe::share::unixfd::Address;
use darkframe::share::unixfd::client::{self, Client, Event, Received};
use darkframe::share::unixfd::server::{self, Server, WhenFull};

use common::acquire;
use common::numbered::{byte, check, eventually, fill};

const LONG: Duration = Duration::from_secs(30);

/// Tests that count fds, and those that open many, one after the other.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A path that no other test has.
fn socket(name: &str) -> (PathBuf, Address) {
    let path = std::env::temp_dir().join(format!("df-{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    (path.clone(), Address::Path(path))
}

/// Memory files with rows longer than the pixels, so that strides count.
fn pool(fourcc: Fourcc, size: Size, limit: usize) -> Pool {
    let device = Device::open(&Board::generic()).unwrap();
    let mut request = Request::new(size, fourcc).usage(Usage::CPU_READ | Usage::CPU_WRITE).only(AllocatorKind::Memfd);
    request.constraints = Constraints { stride_align_bytes: 256, offset_align_bytes: 4096, ..Constraints::NONE };
    Pool::new(&device, request, limit)
}

fn numbered(buffer: Buffer, number: u64) -> Frame {
    fill(&buffer, number);
    Frame { sequence: number, timestamp_ns: number * 40_000_000, ..Frame::new(buffer, None) }
}

#[track_caller]
fn next(client: &mut Client) -> Received {
    match client.next(Some(LONG)).unwrap() {
        Event::Frame(received) => received,
        other => panic!("{other:?}"),
    }
}

fn lossless() -> server::Options {
    server::Options { when_full: WhenFull::Wait, patience: LONG, ..server::Options::default() }
}

/// This binary again, in a process of its own.
fn command(role: &str, socket: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["role", "--exact", "--nocapture"]);
    command.env("DARKFRAME_SHARE_ROLE", role).env("DARKFRAME_SHARE_SOCKET", socket);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(role: &str, socket: &std::path::Path) -> Child {
    command(role, socket).spawn().unwrap()
}

#[track_caller]
fn succeeds(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

/// What a process that was started with a role does; nothing otherwise.
#[test]
fn role() {
    let Ok(role) = std::env::var("DARKFRAME_SHARE_ROLE") else { return };
    let socket = Address::Path(std::env::var_os("DARKFRAME_SHARE_SOCKET").unwrap().into());
    match role.as_str() {
        // Every frame, in order, to the end.
        "consumer" => {
            let mut client =
                Client::connect(&socket, client::Options { reconnect: true, ..client::Options::default() }).unwrap();
            let (mut frames, mut next_number) = (0u64, None);
            while let Event::Frame(received) = client.next(Some(LONG)).unwrap() {
                let number = received.frame.sequence;
                assert_eq!(number, next_number.unwrap_or(number), "a frame is missing");
                check(&received.frame.buffer, number);
                next_number = Some(number + 1);
                frames += 1;
            }
            println!("took {frames}");
        }
        // Frames without an end, until it is killed.
        "producer" => {
            let server = Server::bind(&socket, server::Options::default()).unwrap();
            let pool = pool(Fourcc::ABGR8888, Size::new(33, 7), 8);
            for number in 0.. {
                if let Some(buffer) = pool.acquire().unwrap() {
                    server.send(numbered(buffer, number)).unwrap();
                }
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        // Takes whatever comes, until it is killed.
        "taker" => {
            let options = client::Options { reconnect: true, ..client::Options::default() };
            let mut client = Client::connect(&socket, options).unwrap();
            let mut kept = std::collections::VecDeque::new();
            while let Event::Frame(received) = client.next(None).unwrap() {
                check(&received.frame.buffer, received.frame.sequence);
                kept.push_back(received);
                kept.truncate(2);
                if kept.len() == 2 {
                    kept.pop_front();
                }
            }
        }
        "allocating" => devices::allocating(&socket),
        // Hands on what it gets, memory and all, until it is killed.
        "relay" => {
            let options = client::Options { reconnect: true, ..client::Options::default() };
            let mut client = Client::connect(&socket, options).unwrap();
            let served = PathBuf::from(std::env::var_os("DARKFRAME_SHARE_SOCKET").unwrap()).with_extension("relayed");
            let server = Server::bind(&Address::Path(served), server::Options::default()).unwrap();
            while let Event::Frame(received) = client.next(None).unwrap() {
                let Received { frame, metadata, lease, .. } = received;
                server.send(server::Outgoing { frame, metadata, keep: Some(Box::new(lease)) }).unwrap();
            }
        }
        // Serves, or says why not; until its input ends.
        "racer" => match Server::bind(&socket, server::Options::default()) {
            Ok(_server) => {
                println!("\nracer: serves");
                let _ = std::io::stdin().read_line(&mut String::new());
            }
            Err(error) => println!("\nracer: {error}"),
        },
        other => match other.strip_prefix("fences-") {
            Some(how) => fences::consumer(&socket, how),
            None => panic!("no role {other}"),
        },
    }
}
