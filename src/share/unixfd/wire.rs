//! The bytes of every message: pure, checked.
//!
//! In: the bytes of a header and a payload. Out: a [`Message`], or an error that names the byte and the rule; and back.
//! Not here: sockets and fds (`link`), whether planes lie inside memory (`planes`).
//!
//! A message is a header, `u32 type` and `u32 payload_size`, and a payload, all in the byte order of the host; only the
//! metas inside a NEW_BUFFER are little-endian. Fds travel with the header. Types 0 to 3 are GStreamer's; it skips any
//! other and closes the fds that come with it. Those of this crate:
//!
//! | type | direction | fds | payload |
//! |---|---|---|---|
//! | `0x4446_0001` HELLO | both | 0 | `u32 version` (1), `u32 features` (bit 0 fences, bit 1 metadata, bit 2 timelines), stream name (UTF-8) |
//! | `0x4446_0002` ACQUIRE_FENCE | server to client | 1 | `u64 id`: the sync_file to wait for before reading frame `id`, which follows |
//! | `0x4446_0003` RELEASE_FENCE | client to server | 1 | `u64 id`: the sync_file to wait for before writing again; RELEASE of `id` follows |
//! | `0x4446_0004` METADATA | server to client | 0 | `u64 id`, a block of [`metadata`](crate::share::metadata) for frame `id`, which follows |
//!
//! | `0x4446_0005` TIMELINES | server to client | 2 | none: the DRM sync objects of this connection's acquire and release points |
//! | `0x4446_0006` ACQUIRE_POINT | server to client | 0 | `u64 id`, `u64 point`: instead of ACQUIRE_FENCE |
//! | `0x4446_0007` RELEASE_POINT | client to server | 0 | `u64 id`, `u64 point`: instead of RELEASE_FENCE |
//!
//! A client of this crate sends HELLO first; the server answers with its own, and sends the others only to clients that
//! have sent one. TIMELINES follows its HELLO where both have timelines; a point is set before it is named, and points of
//! one timeline rise. Payloads may grow at their end: readers take what they know.
//!
//! # References
//! `gst/unixfd/gstunixfd.h` and `gst-libs/gst/video/gstvideometa.c` of GStreamer 1.24 and later

use crate::error::{Error, Result};

use super::OP;

pub mod meta;

pub use meta::{Meta, VideoMeta, VideoPlane};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 8;
/// The largest payload accepted. The largest that GStreamer sends is some kilobytes.
pub const MAX_PAYLOAD_BYTES: u32 = 256 * 1024;
/// Version of the commands of this crate.
pub const EXTENSION_VERSION: u32 = 1;
/// "Not given", for times and offsets.
const NONE: u64 = u64::MAX;

const NEW_BUFFER: u32 = 0;
const RELEASE_BUFFER: u32 = 1;
const CAPS: u32 = 2;
const EOS: u32 = 3;
const HELLO: u32 = 0x4446_0001;
const ACQUIRE_FENCE: u32 = 0x4446_0002;
const RELEASE_FENCE: u32 = 0x4446_0003;
const METADATA: u32 = 0x4446_0004;
const TIMELINES: u32 = 0x4446_0005;
const ACQUIRE_POINT: u32 = 0x4446_0006;
const RELEASE_POINT: u32 = 0x4446_0007;

/// What precedes every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The command.
    pub kind: u32,
    /// Bytes that follow.
    pub payload_bytes: u32,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// `InvalidInput`: a payload larger than [`MAX_PAYLOAD_BYTES`].
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> Result<Self> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let header = Self { kind: u32::from_ne_bytes([a, b, c, d]), payload_bytes: u32::from_ne_bytes([e, f, g, h]) };
        if header.payload_bytes > MAX_PAYLOAD_BYTES {
            let detail = format!(
                "command {}: a payload of {} bytes; at most {MAX_PAYLOAD_BYTES} are taken",
                name(header.kind),
                header.payload_bytes
            );
            return Err(Error::invalid(OP, detail));
        }
        Ok(header)
    }

    /// The most fds that come with the command; `None` where any number is taken, and closed.
    pub fn max_fds(self) -> Option<usize> {
        match self.kind {
            NEW_BUFFER => Some(usize::from(u8::MAX)),
            ACQUIRE_FENCE | RELEASE_FENCE => Some(1),
            TIMELINES => Some(2),
            _ if self.is_unknown() => None,
            _ => Some(0),
        }
    }

    /// The command is neither GStreamer's nor of this crate: it is skipped.
    pub fn is_unknown(self) -> bool {
        !matches!(self.kind, NEW_BUFFER..=EOS | HELLO..=RELEASE_POINT)
    }
}

/// A command's name.
pub fn name(kind: u32) -> String {
    match kind {
        NEW_BUFFER => "NEW_BUFFER".into(),
        RELEASE_BUFFER => "RELEASE_BUFFER".into(),
        CAPS => "CAPS".into(),
        EOS => "EOS".into(),
        HELLO => "HELLO".into(),
        ACQUIRE_FENCE => "ACQUIRE_FENCE".into(),
        RELEASE_FENCE => "RELEASE_FENCE".into(),
        METADATA => "METADATA".into(),
        TIMELINES => "TIMELINES".into(),
        ACQUIRE_POINT => "ACQUIRE_POINT".into(),
        RELEASE_POINT => "RELEASE_POINT".into(),
        other => format!("0x{other:x}"),
    }
}

/// A command with its payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A frame; its fds are its memories.
    NewBuffer(NewBuffer),
    /// The client is done with a frame.
    Release {
        /// The frame's.
        id: u64,
    },
    /// What the frames from here on are; `None` where the server does not know yet.
    Caps(Option<String>),
    /// No more frames.
    Eos,
    /// The sender knows the commands of this crate.
    Hello(Hello),
    /// One fd: a sync_file to wait for before reading the frame.
    AcquireFence {
        /// The frame's.
        id: u64,
    },
    /// One fd: a sync_file to wait for before writing the frame's memory again.
    ReleaseFence {
        /// The frame's.
        id: u64,
    },
    /// What else there is to say of a frame.
    Metadata {
        /// The frame's.
        id: u64,
        /// The block, not yet read.
        block: Vec<u8>,
    },
    /// Two fds: the timelines of acquire and of release points.
    Timelines,
    /// The point of the acquire timeline to wait for before reading the frame.
    AcquirePoint {
        /// The frame's.
        id: u64,
        /// Set already.
        point: u64,
    },
    /// The point of the release timeline to wait for before writing the frame's memory again.
    ReleasePoint {
        /// The frame's.
        id: u64,
        /// Set already.
        point: u64,
    },
    /// A command that is skipped.
    Unknown {
        /// Its type.
        kind: u32,
    },
}

/// What an end of this crate says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the commands; each end uses what both know.
    pub version: u32,
    /// Takes and sends fences.
    pub fences: bool,
    /// Takes and sends metadata.
    pub metadata: bool,
    /// Has a DRM node with timelines.
    pub timelines: bool,
    /// The stream's name; empty from clients.
    pub stream: String,
}

/// What kind of memory the fds of a frame are, as the sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Any fd that can be mapped, mostly a memory file.
    Fd,
    /// Dma-bufs.
    DmaBuf,
}

/// One memory of a frame: a part of an fd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// Length.
    pub size_bytes: u64,
    /// First byte inside the fd.
    pub offset_bytes: u64,
}

/// A frame without its fds.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBuffer {
    /// What RELEASE_BUFFER repeats. A stock server uses an id again once it was released.
    pub id: u64,
    /// Presentation time on `CLOCK_MONOTONIC`.
    pub pts_ns: Option<u64>,
    /// Decoding time.
    pub dts_ns: Option<u64>,
    /// How long the picture is shown.
    pub duration_ns: Option<u64>,
    /// The frame's number.
    pub offset: Option<u64>,
    /// The next frame's number.
    pub offset_end: Option<u64>,
    /// `GstBufferFlags`
    pub flags: u32,
    /// What the fds are.
    pub memory: MemoryKind,
    /// One for each fd.
    pub memories: Vec<MemoryRange>,
    /// What else is said of the frame.
    pub metas: Vec<Meta>,
}

/// Takes numbers from bytes, one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    fn take(&mut self, count: usize, field: &str) -> Result<&'a [u8]> {
        let taken = self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| {
            let Self { bytes, at, what } = self;
            Error::invalid(OP, format!("{what}, {field} at byte {at}: {count} bytes, of {} in all", bytes.len()))
        })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, field)?);
        Ok(array)
    }

    fn u64(&mut self, field: &str) -> Result<u64> {
        self.array(field).map(u64::from_ne_bytes)
    }

    fn u32(&mut self, field: &str) -> Result<u32> {
        self.array(field).map(u32::from_ne_bytes)
    }

    fn optional(&mut self, field: &str) -> Result<Option<u64>> {
        self.u64(field).map(|value| (value != NONE).then_some(value))
    }

    /// Metas are little-endian on any host.
    fn u32_le(&mut self, field: &str) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }
}

impl Message {
    /// Reads the payload of a command.
    ///
    /// # Errors
    /// `InvalidInput` with the command, the field and the byte.
    pub fn parse(kind: u32, payload: &[u8]) -> Result<Self> {
        let id = |what| Reader::new(payload, what).u64("id");
        Ok(match kind {
            NEW_BUFFER => Self::NewBuffer(NewBuffer::parse(payload)?),
            RELEASE_BUFFER => Self::Release { id: id("RELEASE_BUFFER")? },
            CAPS => Self::Caps(caps(payload)?),
            EOS => Self::Eos,
            HELLO => Self::Hello(Hello::parse(payload)?),
            ACQUIRE_FENCE => Self::AcquireFence { id: id("ACQUIRE_FENCE")? },
            RELEASE_FENCE => Self::ReleaseFence { id: id("RELEASE_FENCE")? },
            METADATA => {
                let mut reader = Reader::new(payload, "METADATA");
                Self::Metadata { id: reader.u64("id")?, block: reader.rest().to_vec() }
            }
            TIMELINES => Self::Timelines,
            ACQUIRE_POINT => {
                let mut reader = Reader::new(payload, "ACQUIRE_POINT");
                Self::AcquirePoint { id: reader.u64("id")?, point: reader.u64("point")? }
            }
            RELEASE_POINT => {
                let mut reader = Reader::new(payload, "RELEASE_POINT");
                Self::ReleasePoint { id: reader.u64("id")?, point: reader.u64("point")? }
            }
            kind => Self::Unknown { kind },
        })
    }

    /// Header and payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        let kind = match self {
            Self::NewBuffer(buffer) => {
                buffer.encode(&mut bytes);
                NEW_BUFFER
            }
            Self::Release { id } => {
                bytes.extend(id.to_ne_bytes());
                RELEASE_BUFFER
            }
            Self::Caps(text) => {
                bytes.extend(text.as_deref().unwrap_or("NULL").as_bytes());
                bytes.push(0);
                CAPS
            }
            Self::Eos => EOS,
            Self::Hello(hello) => {
                bytes.extend(hello.version.to_ne_bytes());
                let features = [hello.fences, hello.metadata, hello.timelines];
                let bits = features.iter().enumerate().fold(0, |bits, (bit, has)| bits | u32::from(*has) << bit);
                bytes.extend(bits.to_ne_bytes());
                bytes.extend(hello.stream.as_bytes());
                HELLO
            }
            Self::AcquireFence { id } => {
                bytes.extend(id.to_ne_bytes());
                ACQUIRE_FENCE
            }
            Self::ReleaseFence { id } => {
                bytes.extend(id.to_ne_bytes());
                RELEASE_FENCE
            }
            Self::Metadata { id, block } => {
                bytes.extend(id.to_ne_bytes());
                bytes.extend(block);
                METADATA
            }
            Self::Timelines => TIMELINES,
            Self::AcquirePoint { id, point } => {
                bytes.extend([id.to_ne_bytes(), point.to_ne_bytes()].as_flattened());
                ACQUIRE_POINT
            }
            Self::ReleasePoint { id, point } => {
                bytes.extend([id.to_ne_bytes(), point.to_ne_bytes()].as_flattened());
                RELEASE_POINT
            }
            Self::Unknown { kind } => *kind,
        };
        let payload_bytes = (bytes.len() - HEADER_BYTES) as u32;
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..HEADER_BYTES].copy_from_slice(&payload_bytes.to_ne_bytes());
        bytes
    }

    /// How many fds the command has; `None` where any number is taken, and closed.
    pub fn fds(&self) -> Option<usize> {
        match self {
            Self::NewBuffer(buffer) => Some(buffer.memories.len()),
            Self::AcquireFence { .. } | Self::ReleaseFence { .. } => Some(1),
            Self::Timelines => Some(2),
            Self::Unknown { .. } => None,
            _ => Some(0),
        }
    }

    /// The command's type.
    pub fn kind(&self) -> u32 {
        match self {
            Self::NewBuffer(_) => NEW_BUFFER,
            Self::Release { .. } => RELEASE_BUFFER,
            Self::Caps(_) => CAPS,
            Self::Eos => EOS,
            Self::Hello(_) => HELLO,
            Self::AcquireFence { .. } => ACQUIRE_FENCE,
            Self::ReleaseFence { .. } => RELEASE_FENCE,
            Self::Metadata { .. } => METADATA,
            Self::Timelines => TIMELINES,
            Self::AcquirePoint { .. } => ACQUIRE_POINT,
            Self::ReleasePoint { .. } => RELEASE_POINT,
            Self::Unknown { kind } => *kind,
        }
    }
}

/// NUL-terminated text; `NULL` before there are caps.
fn caps(payload: &[u8]) -> Result<Option<String>> {
    let text = match payload.iter().position(|byte| *byte == 0) {
        Some(end) => &payload[..end],
        None => return Err(Error::invalid(OP, format!("CAPS: {} bytes of text without an end", payload.len()))),
    };
    let text = std::str::from_utf8(text)
        .map_err(|error| Error::invalid(OP, format!("CAPS, byte {}: not UTF-8", error.valid_up_to())))?;
    Ok((text != "NULL").then(|| text.to_owned()))
}

impl Hello {
    fn parse(payload: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(payload, "HELLO");
        let version = reader.u32("version")?;
        let features = reader.u32("features")?;
        let stream = std::str::from_utf8(reader.rest())
            .map_err(|error| Error::invalid(OP, format!("HELLO, stream name: {error}")))?;
        if version == 0 {
            return Err(Error::invalid(OP, "HELLO: version 0; versions start at 1"));
        }
        let [fences, metadata, timelines] = [1, 2, 4].map(|bit| features & bit != 0);
        Ok(Self { version, fences, metadata, timelines, stream: stream.to_owned() })
    }
}

impl NewBuffer {
    fn parse(payload: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(payload, "NEW_BUFFER");
        let id = reader.u64("id")?;
        let [pts_ns, dts_ns, duration_ns, offset, offset_end] = [
            reader.optional("pts")?,
            reader.optional("dts")?,
            reader.optional("duration")?,
            reader.optional("offset")?,
            reader.optional("offset_end")?,
        ];
        let flags = reader.u32("flags")?;
        let [memory, memories] = reader.array("type")?;
        let metas = u16::from_ne_bytes(reader.array("n_meta")?);
        let memory = match memory {
            0 => MemoryKind::Fd,
            1 => MemoryKind::DmaBuf,
            other => {
                let detail = format!("NEW_BUFFER {id}: memory type {other}; 0 (fd) and 1 (dma-buf) are known");
                return Err(Error::invalid(OP, detail));
            }
        };
        let memories = (0..memories)
            .map(|_| Ok(MemoryRange { size_bytes: reader.u64("size")?, offset_bytes: reader.u64("offset")? }))
            .collect::<Result<_>>()?;
        let metas = (0..metas).map(|_| Meta::parse(&mut reader)).collect::<Result<_>>()?;
        Ok(Self { id, pts_ns, dts_ns, duration_ns, offset, offset_end, flags, memory, memories, metas })
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.id.to_ne_bytes());
        for value in [self.pts_ns, self.dts_ns, self.duration_ns, self.offset, self.offset_end] {
            bytes.extend(value.unwrap_or(NONE).to_ne_bytes());
        }
        bytes.extend(self.flags.to_ne_bytes());
        bytes.push(match self.memory {
            MemoryKind::Fd => 0,
            MemoryKind::DmaBuf => 1,
        });
        // A frame has at most 4 planes and this crate writes one meta; larger numbers come from nobody.
        bytes.push(u8::try_from(self.memories.len()).unwrap_or(u8::MAX));
        bytes.extend(u16::try_from(self.metas.len()).unwrap_or(u16::MAX).to_ne_bytes());
        for memory in &self.memories {
            bytes.extend(memory.size_bytes.to_ne_bytes());
            bytes.extend(memory.offset_bytes.to_ne_bytes());
        }
        for meta in &self.metas {
            meta.encode(bytes);
        }
    }

    /// Where the planes are, where the sender says.
    pub fn video(&self) -> Option<&VideoMeta> {
        self.metas.iter().find_map(|meta| match meta {
            Meta::Video(video) => Some(video),
            Meta::Other { .. } => None,
        })
    }
}
