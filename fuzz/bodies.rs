//! What the fuzz targets do with bytes from outside. Each takes any bytes, and neither panics nor keeps an fd.

use std::cell::OnceCell;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use darkframe::board::Board;
use darkframe::pipeline::Description;
use darkframe::pipeline::model::Model;
use darkframe::pipeline::source::{cube::Cube, y4m};
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

/// Bytes as a pipeline file. Each error names a place inside the text.
pub fn description(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Description::parse("/fuzz/p.toml", text) {
        if let Some(span) = error.span() {
            assert!(span.start + span.len <= text.len(), "{error}");
        }
        std::hint::black_box(error.to_string());
    }
}

/// Bytes as a board file.
pub fn board(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Board::parse(Path::new("board.toml"), text) {
        std::hint::black_box(error.to_string());
    }
}

/// Bytes as the first line of a y4m file: what is read has a frame of a size that can be counted.
pub fn y4m_header(data: &[u8]) {
    if let Ok(header) = y4m::Header::parse(data) {
        assert!(header.body_bytes() > 0);
    }
}

/// Bytes as a colour table. Each error names a place inside the text.
pub fn cube(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Cube::parse(Path::new("table.cube"), text.as_ref()) {
        Ok(cube) => drop(std::hint::black_box(cube)),
        Err(error) => {
            let inside = error.span().is_none_or(|span| span.start + span.len <= text.len());
            assert!(inside, "{error}");
        }
    }
}

/// Bytes as a model, text or binary: what is read has no index outside of its vertices (the reader's own promise).
pub fn gltf(data: &[u8]) {
    thread_local!(static FOLDER: OnceCell<PathBuf> = const { OnceCell::new() });
    let folder = FOLDER.with(|folder| {
        let name = format!("df-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
        folder.get_or_init(|| std::env::temp_dir().join(name)).clone()
    });
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(if data.starts_with(b"glTF") { "model.glb" } else { "model.gltf" });
    std::fs::write(&path, data).unwrap();
    if let Ok(model) = Model::open(&path) {
        std::hint::black_box((model.triangles(), model.draw_count()));
    }
    std::fs::remove_dir_all(&folder).unwrap();
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
