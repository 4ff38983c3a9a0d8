//! What the fuzz targets do with bytes from outside. Each takes any bytes, and neither panics nor keeps an fd.

use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use darkframe::share::metadata::Metadata;
use darkframe::share::unixfd::Caps;
use darkframe::share::unixfd::client::{Client, Event, Options};
use darkframe::share::unixfd::wire::{HEADER_BYTES, Header, Message};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Bytes as messages one after the other: what is read is written and read again, alike.
pub fn unixfd_wire(data: &[u8]) {
    for (kind, payload) in messages(data) {
        if let Ok(message) = Message::parse(kind, payload) {
            let bytes = message.encode();
            let again = Message::parse(kind, &bytes[HEADER_BYTES..]).unwrap();
            // Unequal only where a value is no number.
            assert_eq!(format!("{again:?}"), format!("{message:?}"));
        }
    }
}

/// Bytes as caps: what is read can be written, and means the same.
pub fn unixfd_caps(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(caps) = text.parse::<Caps>() else { return };
    if caps.check().is_ok() {
        let again: Caps = caps.to_string().parse().unwrap_or_else(|error| panic!("{caps}: {error}"));
        assert_eq!((again.fourcc, again.modifier, again.size), (caps.fourcc, caps.modifier, caps.size));
    }
}

/// Bytes as a metadata block.
pub fn metadata(data: &[u8]) {
    if let Ok(metadata) = Metadata::decode(data) {
        let again = Metadata::decode(&metadata.encode().unwrap_or_default()).unwrap_or_default();
        assert_eq!(again.0.len(), metadata.0.len());
    }
}

/// Bytes as a server that speaks to a client; each NEW_BUFFER brings as many fds as it has memories.
pub fn unixfd_client(data: &[u8]) {
    let (mut server, client) = UnixStream::pair().unwrap();
    server.set_nonblocking(true).unwrap();
    let mut client = Client::from_socket(OwnedFd::from(client), Options::default()).unwrap();
    let memory = rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&memory, 16 * 1024).unwrap();
    let mut rest = data;
    while let Some((kind, payload)) = messages(rest).next() {
        let whole = HEADER_BYTES + payload.len();
        let count = match Message::parse(kind, payload) {
            Ok(message) => message.fds().unwrap_or(1).min(250),
            Err(_) => 0,
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(250))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = vec![memory.as_fd(); count];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let bytes = [std::io::IoSlice::new(&rest[..whole])];
        if sendmsg(&server, &bytes, &mut control, SendFlags::NOSIGNAL).is_err() {
            break;
        }
        rest = &rest[whole..];
    }
    let _ = server.write(rest);
    drop(server);
    while let Ok(Event::Frame(received)) = client.next(Some(Duration::ZERO)) {
        let map = received.frame.buffer.map(darkframe::buffer::Access::Read).unwrap();
        for plane in 0..received.frame.buffer.layout().planes().len() {
            std::hint::black_box(map.plane(plane).iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
        }
    }
}

/// The messages that the bytes begin with.
fn messages(data: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (header, after) = rest.split_first_chunk::<HEADER_BYTES>()?;
        let header = Header::parse(*header).ok()?;
        let (payload, after) = after.split_at_checked(header.payload_bytes as usize)?;
        rest = after;
        Some((header.kind, payload))
    })
}
