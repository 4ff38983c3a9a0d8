//! Frames of 1920x1080 to another process, as fast as it takes them or at a rate, and what that costs. The sender copies a
//! picture into each frame and writes the time; the taker reads every byte and prints JSON. Either end may be GStreamer.
//!
//!     cargo build --release --example handover
//!     target/release/examples/handover serve /tmp/frames.sock 1000 &
//!     target/release/examples/handover take /tmp/frames.sock 1000

use std::path::PathBuf;
use std::time::{Duration, Instant};

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::Access;
use darkframe::device::Device;
use darkframe::error::{Error, Result};
use darkframe::format::Fourcc;
use darkframe::frame::Frame;
use darkframe::layout::Size;
use darkframe::pool::Pool;
use darkframe::share::unixfd::Address;
use darkframe::share::unixfd::client::{self, Client, Event};
use darkframe::share::unixfd::server::{self, Server, WhenFull};

const SIZE: Size = Size::new(1920, 1080);
const LONG: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wrong = || Error::invalid("arguments", "serve|take SOCKET FRAMES [FRAMES-PER-SECOND]");
    let [role, socket, frames, rate @ ..] = words.as_slice() else { return Err(wrong()) };
    let (address, frames) = (Address::Path(PathBuf::from(socket)), frames.parse().map_err(|_| wrong())?);
    let rate: u32 = rate.first().map_or(Ok(0), |rate| rate.parse()).map_err(|_| wrong())?;
    match role.as_str() {
        "serve" => serve(&address, frames, rate),
        "take" => take(&address, frames),
        _ => Err(wrong()),
    }
}

fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
    now.map_or(0, |now| now.as_nanos() as u64)
}

fn cpu_ms() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    let ms = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 * 1e-3;
    usage.map_or(0.0, |usage| ms(usage.user_time()) + ms(usage.system_time()))
}

fn serve(address: &Address, frames: u64, rate: u32) -> Result<()> {
    let device = Device::open(&Board::detect()?)?;
    let request = Request::new(SIZE, Fourcc::ABGR8888).usage(Usage::CPU_READ | Usage::CPU_WRITE);
    let pool = Pool::new(&device, request.only(AllocatorKind::Memfd), 4);
    let picture: Vec<u8> = (0..SIZE.pixels() as usize * 4).map(|i| (i * 31 % 251) as u8).collect();
    let options = server::Options { when_full: WhenFull::Wait, patience: LONG, ..server::Options::default() };
    let server = Server::bind(address, options)?;
    server.wait_for_clients(1, LONG)?;
    let begun = Instant::now();
    for number in 0..frames {
        if rate > 0 {
            let due = Duration::from_secs_f64(number as f64 / f64::from(rate));
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let buffer = loop {
            match pool.acquire()? {
                Some(buffer) => break buffer,
                None => std::thread::sleep(Duration::from_micros(20)),
            }
        };
        let mut map = buffer.map(Access::Write)?;
        map.plane_mut(0)[..picture.len()].copy_from_slice(&picture);
        map.plane_mut(0)[8..16].copy_from_slice(&number.to_ne_bytes());
        map.plane_mut(0)[..8].copy_from_slice(&now_ns().to_ne_bytes());
        drop(map);
        server.send(Frame { sequence: number, ..Frame::new(buffer, None) })?;
    }
    server.finish(LONG);
    println!("{{\"cpu_ms\": {:.4}}}", cpu_ms() / frames as f64);
    Ok(())
}

fn take(address: &Address, frames: u64) -> Result<()> {
    let options = client::Options { reconnect: true, ..client::Options::default() };
    let mut client = Client::connect(address, options)?;
    let (mut handed, mut done, mut span, mut sum) = (Vec::new(), Vec::new(), None, 0u64);
    while let Event::Frame(received) = client.next(Some(LONG))? {
        let map = received.frame.buffer.map(Access::Read)?;
        let (arrived, bytes) = (now_ns(), map.plane(0));
        let word = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        if word(8) != handed.len() as u64 {
            return Err(Error::failed("handover", format!("frame {} where {} was expected", word(8), handed.len())));
        }
        let words = bytes.chunks_exact(8).map(|eight| u64::from_ne_bytes(eight.try_into().unwrap_or_default()));
        sum = words.fold(sum, u64::wrapping_add);
        let (sent, read) = (word(0), now_ns());
        span = Some((span.map_or(read, |(first, _)| first), read));
        handed.push((arrived - sent) as f64 * 1e-6);
        done.push((read - sent) as f64 * 1e-6);
    }
    let seconds = span.map_or(0, |(first, last)| last - first) as f64 * 1e-9;
    handed.sort_by(f64::total_cmp);
    done.sort_by(f64::total_cmp);
    let (middle, late) = (handed.len() / 2, handed.len() * 95 / 100);
    println!(
        "{{\"fps\": {:.1}, \"handed_ms\": {:.4}, \"handed_p95_ms\": {:.4}, \"read_ms\": {:.4}, \"read_p95_ms\": {:.4}, \"cpu_ms\": {:.4}, \"sum\": {sum}}}",
        (frames - 1) as f64 / seconds,
        handed[middle],
        handed[late],
        done[middle],
        done[late],
        cpu_ms() / frames as f64
    );
    Ok(())
}
