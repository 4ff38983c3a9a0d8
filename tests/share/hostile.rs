//! Peers that do everything wrong: the other side says what, serves the rest, and keeps no fd.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use darkframe::error::{Error, ErrorKind};
use darkframe::share::unixfd::wire::{MemoryKind, MemoryRange, Message, Meta, NewBuffer, VideoMeta, VideoPlane};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::*;

pub fn send(socket: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).is_ok()
}

fn command(kind: u32, payload: &[u8]) -> Vec<u8> {
    [&kind.to_ne_bytes()[..], &(payload.len() as u32).to_ne_bytes(), payload].concat()
}

/// Reads messages until the id of a frame comes.
fn frame_id(socket: &mut UnixStream) -> u64 {
    loop {
        let mut header = [0; 8];
        socket.read_exact(&mut header).unwrap();
        let mut payload = vec![0; u32::from_ne_bytes(header[4..].try_into().unwrap()) as usize];
        socket.read_exact(&mut payload).unwrap();
        if header[..4] == [0; 4] {
            return u64::from_ne_bytes(payload[..8].try_into().unwrap());
        }
    }
}

/// Each bad client is let go with a reason that names what it did; a good one gets every frame meanwhile.
#[test]
fn bad_clients_are_let_go_with_a_reason() {
    let _alone = alone();
    let (path, address) = socket("bad-clients");
    let server = Server::bind(&address, server::Options::default()).unwrap();
    let pool = pool(Fourcc::ABGR8888, Size::new(5, 3), 12);
    let mut good = Client::connect(&address, client::Options::default()).unwrap();
    server.wait_for_clients(1, LONG).unwrap();
    let mut number = 0;
    let mut step = |good: &mut Client| {
        server.send(numbered(acquire(&pool), number)).unwrap();
        let received = next(good);
        assert_eq!(received.frame.sequence, number, "the good client lost a frame");
        check(&received.frame.buffer, number);
        drop(received);
        eventually("released", || server.clients().iter().any(|client| client.sent > number && client.in_flight == 0));
        number += 1;
    };
    for _ in 0..8 {
        step(&mut good);
    }
    type Bad = fn(&mut UnixStream);
    let cases: &[(&str, Bad, &str, ErrorKind)] = &[
        (
            "a wrong id",
            |socket| {
                send(socket, &Message::Release { id: 999_999 }.encode(), &[]);
            },
            "RELEASE_BUFFER 999999: there is no such frame",
            ErrorKind::InvalidInput,
        ),
        (
            "released twice",
            |socket| {
                let release = Message::Release { id: frame_id(socket) }.encode();
                send(socket, &release, &[]);
                send(socket, &release, &[]);
            },
            "released twice",
            ErrorKind::InvalidInput,
        ),
        (
            "a flood",
            |socket| {
                let talk = command(77, &[1, 2, 3]).repeat(100);
                for _ in 0..100 {
                    if socket.write_all(&talk).is_err() {
                        break;
                    }
                }
            },
            "a flood",
            ErrorKind::InvalidInput,
        ),
        (
            "a server's command",
            |socket| {
                send(socket, &Message::Eos.encode(), &[]);
            },
            "EOS: a command that only servers send",
            ErrorKind::InvalidInput,
        ),
        (
            "fds with a release",
            |socket| {
                let fd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
                let release = Message::Release { id: frame_id(socket) }.encode();
                send(socket, &release, &[fd.as_fd(), fd.as_fd()]);
            },
            "2 fds came with it, it has 0",
            ErrorKind::InvalidInput,
        ),
        (
            "fds in a payload",
            |socket| {
                let fd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
                let release = Message::Release { id: frame_id(socket) }.encode();
                send(socket, &release[..10], &[]);
                send(socket, &release[10..], &[fd.as_fd()]);
            },
            "fds in the middle of the payload",
            ErrorKind::InvalidInput,
        ),
        (
            "fds with a part of a header",
            |socket| {
                let fd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
                send(socket, &Message::Release { id: 0 }.encode()[..3], &vec![fd.as_fd(); 200]);
            },
            "200 fds with a part of a header",
            ErrorKind::InvalidInput,
        ),
        (
            "fds, and a payload that never comes",
            |socket| {
                let fd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
                send(socket, &Message::Release { id: 0 }.encode()[..8], &vec![fd.as_fd(); 200]);
            },
            "RELEASE_BUFFER: 200 fds came with it, it has 0",
            ErrorKind::InvalidInput,
        ),
        (
            "closed in a payload",
            |socket| {
                send(socket, &Message::Release { id: 0 }.encode()[..11], &[]);
                socket.shutdown(std::net::Shutdown::Write).unwrap();
            },
            "closed in the middle of RELEASE_BUFFER, after 11 bytes",
            ErrorKind::PeerClosed,
        ),
        (
            "closed in a header",
            |socket| {
                send(socket, &[1, 0], &[]);
                socket.shutdown(std::net::Shutdown::Write).unwrap();
            },
            "closed in the middle of a header",
            ErrorKind::PeerClosed,
        ),
        (
            "a payload without an end",
            |socket| {
                send(socket, &[1, 0, 0, 0, 0, 0, 0, 0x40], &[]);
            },
            "a payload of 1073741824 bytes",
            ErrorKind::InvalidInput,
        ),
        (
            "a release that is too short",
            |socket| {
                send(socket, &command(1, &[1, 2, 3]), &[]);
            },
            "RELEASE_BUFFER, id at byte 0",
            ErrorKind::InvalidInput,
        ),
        (
            "a fence that is none",
            |socket| {
                let fd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
                let id = frame_id(socket);
                send(socket, &Message::ReleaseFence { id }.encode(), &[fd.as_fd()]);
            },
            "no sync_file",
            ErrorKind::InvalidInput,
        ),
        (
            "hello twice",
            |socket| {
                let hello = darkframe::share::unixfd::wire::Hello {
                    version: 1,
                    fences: true,
                    metadata: true,
                    timelines: false,
                    stream: String::new(),
                };
                let hello = Message::Hello(hello).encode();
                send(socket, &[hello.clone(), hello].concat(), &[]);
            },
            "HELLO: there was one already",
            ErrorKind::InvalidInput,
        ),
    ];
    let fds = common::open_fds();
    for (what, bad, reason, kind) in cases {
        let mut socket = UnixStream::connect(&path).unwrap();
        eventually("connected", || server.clients().len() == 2);
        step(&mut good);
        bad(&mut socket);
        let departure = loop {
            step(&mut good);
            if let Some(departure) = server.departures().pop() {
                break departure;
            }
        };
        assert!(departure.reason.to_string().contains(reason), "{what}: {}", departure.reason);
        assert_eq!(departure.reason.kind(), *kind, "{what}");
        assert_eq!(departure.credentials.unwrap().pid, std::process::id() as i32);
        assert_eq!(server.clients().len(), 1, "{what}");
        drop(socket);
    }
    // Those that do no harm: unknown commands with fds nobody asked for, one byte at a time, silence.
    let fd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
    let mut slow = UnixStream::connect(&path).unwrap();
    let silent = UnixStream::connect(&path).unwrap();
    let mut reader = UnixStream::connect(&path).unwrap();
    eventually("connected", || server.clients().len() == 4);
    // One byte for every frame that the good one gets.
    for _ in 0..100 {
        step(&mut good);
        reader.read_exact(&mut [0]).unwrap();
    }
    // What a client sends and never ends is not kept open for it.
    let before = common::open_fds();
    for _ in 0..4 {
        let greedy = UnixStream::connect(&path).unwrap();
        eventually("connected", || server.clients().len() == 5);
        let header = [&4321u32.to_ne_bytes()[..], &100u32.to_ne_bytes()].concat();
        send(&greedy, &header, &vec![fd.as_fd(); 250]);
        step(&mut good);
        eventually("closed", || common::open_fds() < before + 50);
        drop(greedy);
        eventually("gone", || server.clients().len() == 4);
    }
    server.departures();
    for _ in 0..20 {
        send(&slow, &command(1234, b"what?"), &vec![fd.as_fd(); 200]);
        step(&mut good);
    }
    for byte in (Message::Release { id: frame_id(&mut slow) }).encode() {
        slow.write_all(&[byte]).unwrap();
        step(&mut good);
    }
    assert_eq!(server.clients().len(), 4);
    assert!(server.departures().is_empty());
    drop((slow, silent, reader, fd));
    eventually("gone", || server.clients().len() == 1);
    step(&mut good);
    // Reopened for reading only, memory that came into use meanwhile has one fd more.
    assert!(common::open_fds() <= fd_limit(fds), "{fds} fds before, {} now", common::open_fds());
}

/// Twelve buffers, each with the fd that only reads.
fn fd_limit(before: usize) -> usize {
    before + 24
}

/// Processor time of this process.
fn used() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    let time = usage.user_time() + usage.system_time();
    Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
}

/// A server that everybody is silent to uses no processor time; nor does a client whose server is, in the middle of a word.
#[test]
fn nothing_spins() {
    let _alone = alone();
    let (path, address) = socket("idle");
    let server = Server::bind(&address, server::Options::default()).unwrap();
    let pool = pool(Fourcc::ABGR8888, Size::new(5, 3), 4);
    let stuck = UnixStream::connect(&path).unwrap();
    let half = UnixStream::connect(&path).unwrap();
    server.wait_for_clients(2, LONG).unwrap();
    send(&half, &[1, 0, 0], &[]);
    half.shutdown(std::net::Shutdown::Read).unwrap();
    server.send(numbered(acquire(&pool), 0)).unwrap();
    let before = used();
    std::thread::sleep(Duration::from_millis(500));
    assert!(used() - before < Duration::from_millis(100), "{:?} in half a second of nothing", used() - before);
    drop((stuck, half));
    for said in [0, 3, 8, 30] {
        let (silent, client) = UnixStream::pair().unwrap();
        let mut client = Client::from_socket(client.into(), client::Options::default()).unwrap();
        send(&silent, &Message::Caps(Some(CAPS.into())).encode()[..said], &[]);
        let before = used();
        assert!(matches!(client.next(Some(Duration::from_millis(300))), Ok(Event::Nothing)));
        assert!(used() - before < Duration::from_millis(60), "{:?} after {said} bytes", used() - before);
    }
}

/// A server that talks without an end and sends no frame: the client's time ends all the same, and no fd stays.
#[test]
fn a_server_that_only_talks() {
    let _alone = alone();
    let (talker, client) = UnixStream::pair().unwrap();
    let mut client = Client::from_socket(client.into(), client::Options::default()).unwrap();
    let fds = common::open_fds();
    let talking = std::thread::spawn(move || {
        let fd = std::fs::File::open("/dev/null").unwrap();
        while send(&talker, &command(4321, &[7; 100]), &[fd.as_fd(); 10]) {}
    });
    for _ in 0..3 {
        let since = Instant::now();
        assert!(matches!(client.next(Some(Duration::from_millis(50))), Ok(Event::Nothing)));
        assert!(since.elapsed() < LONG);
    }
    drop(client);
    talking.join().unwrap();
    assert!(common::open_fds() <= fds, "{fds} fds before, {} now", common::open_fds());
}

/// What a bad server sends, and its memory.
struct Bad {
    caps: &'static str,
    memory: MemoryKind,
    size_bytes: u64,
    video: VideoMeta,
}

const CAPS: &str = "video/x-raw, format=(string)NV12, width=(int)64, height=(int)16";
const BYTES: u64 = 64 * 24;

impl Bad {
    fn good() -> Self {
        let plane = |offset_bytes| VideoPlane { offset_bytes, stride_bytes: 64, stride_align: 0 };
        let planes = vec![plane(0), plane(1024)];
        let video = VideoMeta { format: 23, width: 64, height: 16, planes, ..VideoMeta::default() };
        Self { caps: CAPS, memory: MemoryKind::Fd, size_bytes: BYTES, video }
    }

    fn frame(&self) -> Vec<u8> {
        Message::NewBuffer(NewBuffer {
            id: 1,
            pts_ns: Some(1),
            dts_ns: None,
            duration_ns: None,
            offset: None,
            offset_end: None,
            flags: 0,
            memory: self.memory,
            memories: vec![MemoryRange { size_bytes: self.size_bytes, offset_bytes: 0 }],
            metas: vec![Meta::Video(self.video.clone())],
        })
        .encode()
    }

    fn stream(&self) -> Vec<u8> {
        [Message::Caps(Some(self.caps.into())).encode(), self.frame()].concat()
    }
}

fn memfd(bytes: u64) -> OwnedFd {
    let fd = memfd_create("server", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, bytes).unwrap();
    fcntl_add_seals(&fd, SealFlags::SHRINK).unwrap();
    fd
}

/// What a client makes of one frame.
fn receive(caps: &str, frame: &[u8], fds: &[BorrowedFd<'_>]) -> Result<Event, Error> {
    let (server, client) = UnixStream::pair().unwrap();
    let mut client = Client::from_socket(client.into(), client::Options::default()).unwrap();
    send(&server, &Message::Caps(Some(caps.into())).encode(), &[]);
    send(&server, frame, fds);
    client.next(Some(LONG))
}

#[test]
fn bad_servers_are_refused_in_words() {
    let _alone = alone();
    let fds = common::open_fds();
    {
        let good = memfd(BYTES);
        let frame = Bad::good().frame();
        let received = receive(CAPS, &frame, &[good.as_fd()]).unwrap();
        assert!(matches!(received, Event::Frame(_)), "{received:?}");
        let (pipe, _write) = std::io::pipe().unwrap();
        let small = memfd(BYTES - 1);
        let file = std::fs::File::open("/dev/null").unwrap();
        let refuse = |caps: &str, frame: &[u8], fds: &[BorrowedFd<'_>], words: &str| {
            let error = receive(caps, frame, fds).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(words), "expected \"{words}\": {error}");
        };
        refuse(CAPS, &frame, &[], "NEW_BUFFER: 0 fds came with it, it has 1");
        refuse(CAPS, &frame, &[good.as_fd(), good.as_fd()], "2 fds came with it, it has 1");
        refuse(CAPS, &frame, &[pipe.as_fd()], "lseek");
        refuse(CAPS, &frame, &[file.as_fd()], "plane");
        refuse(CAPS, &frame, &[small.as_fd()], "plane 1");
        let dma_buf = Bad { memory: MemoryKind::DmaBuf, ..Bad::good() }.frame();
        refuse(CAPS, &dma_buf, &[good.as_fd()], "said to be a dma-buf, and is a memory file");
        refuse(CAPS, &dma_buf, &[pipe.as_fd()], "neither a dma-buf nor a sealed memfd");
        let mut past = Bad::good();
        past.video.planes[1].offset_bytes = 1 << 33;
        refuse(CAPS, &past.frame(), &[good.as_fd()], "its memory at byte 1536");
        // The memory is as large as its file, and the message says less.
        let less = Bad { size_bytes: BYTES - 1, ..Bad::good() }.frame();
        refuse(CAPS, &less, &[good.as_fd()], "plane 1 ends at byte 1536, its memory at byte 1535");
        let huge = Bad { size_bytes: u64::MAX, ..past }.frame();
        refuse(CAPS, &huge, &[good.as_fd()], "plane 1");
        let other = CAPS.replace("64", "128");
        refuse(&other, &frame, &[good.as_fd()], "GstVideoMeta says 64x16, the caps 128x16");
        refuse(&CAPS.replace("NV12", "RGBA"), &frame, &[good.as_fd()], "format 23, the caps 11");
        refuse("video/x-raw, format=(string)NV12, width=(int)64", &frame, &[good.as_fd()], "no height");
        refuse("audio/x-raw", &frame, &[good.as_fd()], "only video/x-raw");
        let mut cut = frame.clone();
        // The meta's size: after header, frame and one memory.
        cut[8 + 72..8 + 76].copy_from_slice(&60u32.to_le_bytes());
        refuse(CAPS, &cut, &[good.as_fd()], "GstVideoMeta");
        refuse(CAPS, &Message::Release { id: 1 }.encode(), &[], "only clients send");
        refuse(CAPS, &Message::AcquireFence { id: 1 }.encode(), &[good.as_fd()], "before HELLO");
    }
    assert_eq!(common::open_fds(), fds);
}

#[test]
fn frames_without_caps_after_the_end_and_in_the_middle() {
    let _alone = alone();
    let memory = memfd(BYTES);
    let bad = Bad::good();
    let (server, client) = UnixStream::pair().unwrap();
    let mut client = Client::from_socket(client.into(), client::Options::default()).unwrap();
    send(&server, &Message::Caps(None).encode(), &[]);
    send(&server, &bad.frame(), &[memory.as_fd()]);
    assert!(client.next(Some(LONG)).unwrap_err().to_string().contains("before CAPS"));

    let (server, client) = UnixStream::pair().unwrap();
    let mut client = Client::from_socket(client.into(), client::Options::default()).unwrap();
    let fds = common::open_fds();
    send(&server, &Message::Eos.encode(), &[]);
    for _ in 0..10 {
        send(&server, &bad.frame(), &[memory.as_fd()]);
        assert!(matches!(client.next(Some(LONG)), Ok(Event::End)), "after the end nothing comes");
    }
    assert_eq!(common::open_fds(), fds);

    for cut in [3, 8, 20, 100] {
        let (server, client) = UnixStream::pair().unwrap();
        let mut client = Client::from_socket(client.into(), client::Options::default()).unwrap();
        send(&server, &bad.stream()[..cut], &[]);
        drop(server);
        let error = client.next(Some(LONG)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PeerClosed, "{error}");
        // And it stays so.
        assert!(matches!(client.next(Some(LONG)), Ok(Event::End)));
    }
}

/// Memory that can shrink is read, never mapped: a server that shrinks it gets an error, and this process no SIGBUS.
#[test]
fn shrinking_memory() {
    let _alone = alone();
    let fd = memfd_create("server", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, BYTES).unwrap();
    rustix::io::pwrite(&fd, &[7; 64], 0).unwrap();
    let (server, client) = UnixStream::pair().unwrap();
    let mut client = Client::from_socket(client.into(), client::Options::default()).unwrap();
    let bad = Bad::good();
    send(&server, &Message::Caps(Some(CAPS.into())).encode(), &[]);
    for _ in 0..3 {
        send(&server, &bad.frame(), &[fd.as_fd()]);
        let received = next(&mut client);
        assert!(!received.shared);
        assert_eq!(received.frame.buffer.map(Access::Read).unwrap().row(0, 0), [7; 64]);
        // It was given back when it was copied: HELLO (20 bytes), then 16 bytes each.
        drop(received);
    }
    send(&server, &bad.frame(), &[fd.as_fd()]);
    let kept = next(&mut client);
    ftruncate(&fd, 100).unwrap();
    assert_eq!(kept.frame.buffer.map(Access::Read).unwrap().row(0, 0), [7; 64]);
    send(&server, &bad.frame(), &[fd.as_fd()]);
    let error = client.next(Some(LONG)).unwrap_err();
    assert!(error.to_string().contains("it has shrunk") || error.to_string().contains("plane"), "{error}");
    // A sealed one cannot.
    let sealed = memfd(BYTES);
    let received = receive(CAPS, &bad.frame(), &[sealed.as_fd()]).unwrap();
    assert!(ftruncate(&sealed, 100).is_err());
    drop(received);
}
