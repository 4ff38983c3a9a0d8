//! The bytes: against the protocol's description, against streams that GStreamer 1.26 wrote, and under any bytes at all.

use darkframe::format::{Fourcc, Modifier};
use darkframe::layout::Size;
use darkframe::share::unixfd::Caps;
use darkframe::share::unixfd::wire::{
    HEADER_BYTES, Header, Hello, MemoryKind, MemoryRange, Message, Meta, NewBuffer, VideoMeta, VideoPlane,
};
use proptest::prelude::*;

use crate::bodies;

const SEEDS: [&[u8]; 3] = [
    include_bytes!("../../fuzz/seeds/unixfd/rgba.bin"),
    include_bytes!("../../fuzz/seeds/unixfd/nv12-crop.bin"),
    include_bytes!("../../fuzz/seeds/unixfd/i420.bin"),
];
const AUDIO: &[u8] = include_bytes!("../../fuzz/seeds/unixfd/audio.bin");

fn read(mut stream: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((header, rest)) = stream.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::parse(*header).unwrap();
        let (payload, rest) = rest.split_at(header.payload_bytes as usize);
        messages.push(Message::parse(header.kind, payload).unwrap());
        stream = rest;
    }
    messages
}

#[test]
fn streams_of_gstreamer_are_read() {
    for (seed, fourcc, size) in [
        (SEEDS[0], Fourcc::ABGR8888, Size::new(33, 17)),
        (SEEDS[1], Fourcc::NV12, Size::new(316, 240)),
        (SEEDS[2], Fourcc::YUV420, Size::new(22, 9)),
    ] {
        let messages = read(seed);
        let Message::Caps(Some(text)) = &messages[0] else { panic!("{:?}", messages[0]) };
        let caps: Caps = text.parse().unwrap();
        assert_eq!((caps.fourcc, caps.size, caps.modifier, caps.dma_drm), (fourcc, size, Modifier::LINEAR, false));
        assert_eq!(messages.len(), 5, "caps, three frames, end");
        assert_eq!(messages[4], Message::Eos);
        for (number, message) in messages[1..4].iter().enumerate() {
            let Message::NewBuffer(buffer) = message else { panic!("{message:?}") };
            assert_eq!((buffer.memory, buffer.memories.len()), (MemoryKind::Fd, 1));
            assert_eq!((buffer.offset, buffer.dts_ns), (Some(number as u64), None));
            assert!(buffer.pts_ns.is_some_and(|pts| pts > 1_000_000_000), "the monotonic clock: {buffer:?}");
        }
    }
    // The one that says where its planes are: rows of 316 bytes, which need no padding to 4.
    let Message::NewBuffer(cropped) = &read(SEEDS[1])[1] else { panic!() };
    let video = cropped.video().unwrap();
    assert_eq!((video.format, video.width, video.height), (23, 316, 240));
    let planes: Vec<_> = video.planes.iter().map(|plane| (plane.offset_bytes, plane.stride_bytes)).collect();
    assert_eq!(planes, [(0, 316), (316 * 240, 316)]);
    let Message::Caps(Some(text)) = &read(SEEDS[2])[0] else { panic!() };
    assert_eq!(text.parse::<Caps>().unwrap().rate, Some((30000, 1001)));
    let Message::Caps(Some(text)) = &read(AUDIO)[0] else { panic!() };
    assert!(text.parse::<Caps>().unwrap_err().to_string().contains("audio/x-raw"));
}

/// What GStreamer wrote is written by us, byte for byte.
#[test]
fn streams_of_gstreamer_are_written_alike() {
    for seed in SEEDS {
        let written: Vec<u8> = read(seed).iter().flat_map(Message::encode).collect();
        assert_eq!(written, seed);
    }
}

/// The numbers of the protocol's description, put in by hand.
#[test]
fn a_frame_byte_by_byte() {
    let message = Message::NewBuffer(NewBuffer {
        id: 0x0102_0304_0506_0708,
        pts_ns: Some(5),
        dts_ns: None,
        duration_ns: Some(7),
        offset: None,
        offset_end: Some(9),
        flags: 0x10,
        memory: MemoryKind::DmaBuf,
        memories: vec![MemoryRange { size_bytes: 4096, offset_bytes: 64 }],
        metas: vec![Meta::Video(VideoMeta {
            flags: 0,
            format: 11,
            width: 4,
            height: 2,
            planes: vec![VideoPlane { offset_bytes: 8, stride_bytes: 16, stride_align: 3 }],
            padding: [1, 2, 3, 4],
        })],
    });
    let bytes = message.encode();
    assert_eq!(bytes.len(), 8 + 56 + 16 + (4 + 4 + 12 + 2 + 36 + 16));
    let mut expected = vec![];
    for number in [0u32, 56 + 16 + 74] {
        expected.extend(number.to_ne_bytes());
    }
    for number in [0x0102_0304_0506_0708, 5, u64::MAX, 7, u64::MAX, 9] {
        expected.extend(number.to_ne_bytes());
    }
    expected.extend(0x10u32.to_ne_bytes());
    expected.extend([1, 1]);
    expected.extend(1u16.to_ne_bytes());
    for number in [4096u64, 64] {
        expected.extend(number.to_ne_bytes());
    }
    for number in [74u32, 12] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend(b"GstVideoMeta\0\0");
    for number in [0u32, 11, 4, 2, 1] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend(8u64.to_le_bytes());
    for number in [16u32, 1, 2, 3, 4, 3] {
        expected.extend(number.to_le_bytes());
    }
    assert_eq!(bytes, expected);
}

#[test]
fn wrong_lengths_are_refused_in_words() {
    let frame = SEEDS[1];
    let caps = HEADER_BYTES + u32::from_ne_bytes(frame[4..8].try_into().unwrap()) as usize;
    let payload = &frame[caps + HEADER_BYTES..caps + HEADER_BYTES + 162];
    assert!(Message::parse(0, payload).is_ok());
    for length in [0, 7, 55, 56, 71, 72, 75, 100, 161] {
        let error = Message::parse(0, &payload[..length]).unwrap_err().to_string();
        assert!(error.contains("at byte"), "{length}: {error}");
    }
    let altered = |at: usize, value: u32| {
        let mut bytes = payload.to_vec();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        Message::parse(0, &bytes).unwrap_err().to_string()
    };
    // The meta begins at byte 72: its size, its name's length, then the numbers behind 14 bytes of name and version.
    assert!(altered(72, 3).contains("a length of 3"), "{}", altered(72, 3));
    assert!(altered(72, u32::MAX).contains("4294967291 bytes"));
    assert!(altered(72, 60).contains("GstVideoMeta"));
    assert!(altered(76, 1000).contains("name"));
    assert!(altered(76, 5).contains("does not end where its length says"));
    let planes = 72 + 8 + 14 + 16;
    assert!(altered(planes, 5).contains("5 planes"));
    assert!(altered(planes, 4).contains("GstVideoMeta"));
    let mut kind = payload.to_vec();
    kind[52] = 2;
    assert!(Message::parse(0, &kind).unwrap_err().to_string().contains("memory type 2"));
    assert!(Message::parse(1, &[0; 7]).unwrap_err().to_string().contains("RELEASE_BUFFER"));
    assert!(Message::parse(2, b"video/x-raw").unwrap_err().to_string().contains("without an end"));
    assert!(Message::parse(2, b"\xff\0").unwrap_err().to_string().contains("UTF-8"));
    assert_eq!(Message::parse(2, b"NULL\0").unwrap(), Message::Caps(None));
    assert_eq!(Message::parse(77, &[1, 2]).unwrap(), Message::Unknown { kind: 77 });
    let large = [0u32.to_ne_bytes(), (1u32 << 30).to_ne_bytes()].concat();
    assert!(Header::parse(large.try_into().unwrap()).unwrap_err().to_string().contains("at most"));
}

fn metas() -> impl Strategy<Value = Meta> {
    let plane = (any::<u64>(), any::<i32>(), any::<u32>())
        .prop_map(|(offset_bytes, stride_bytes, stride_align)| VideoPlane { offset_bytes, stride_bytes, stride_align });
    let video = (any::<[i32; 2]>(), any::<[u32; 2]>(), prop::collection::vec(plane, 1..=4), any::<[u32; 4]>());
    prop_oneof![
        video.prop_map(|([flags, format], [width, height], planes, padding)| {
            Meta::Video(VideoMeta { flags, format, width, height, planes, padding })
        }),
        ("[A-Za-z]{0,20}x", any::<u8>(), any::<Vec<u8>>()).prop_map(|(name, version, payload)| Meta::Other {
            name,
            version,
            payload
        }),
    ]
}

fn times() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(0..u64::MAX)
}

fn messages() -> impl Strategy<Value = Message> {
    let memory =
        (any::<u64>(), any::<u64>()).prop_map(|(size_bytes, offset_bytes)| MemoryRange { size_bytes, offset_bytes });
    let memories = prop::collection::vec(memory, 0..6);
    let frame =
        (any::<(u64, u32, bool)>(), prop::array::uniform5(times()), memories, prop::collection::vec(metas(), 0..4));
    let frame =
        frame.prop_map(|((id, flags, dma_buf), [pts_ns, dts_ns, duration_ns, offset, offset_end], memories, metas)| {
            let memory = if dma_buf { MemoryKind::DmaBuf } else { MemoryKind::Fd };
            NewBuffer { id, pts_ns, dts_ns, duration_ns, offset, offset_end, flags, memory, memories, metas }
        });
    prop_oneof![
        frame.prop_map(Message::NewBuffer),
        any::<u64>().prop_map(|id| Message::Release { id }),
        prop::option::of("[a-z/=() ,]{0,80}").prop_map(Message::Caps),
        Just(Message::Eos),
        (1..u32::MAX, any::<[bool; 3]>(), "\\PC{0,20}").prop_map(|(version, [fences, metadata, timelines], stream)| {
            Message::Hello(Hello { version, fences, metadata, timelines, stream })
        }),
        Just(Message::Timelines),
        any::<(u64, u64)>().prop_map(|(id, point)| Message::AcquirePoint { id, point }),
        any::<(u64, u64)>().prop_map(|(id, point)| Message::ReleasePoint { id, point }),
        any::<u64>().prop_map(|id| Message::AcquireFence { id }),
        any::<u64>().prop_map(|id| Message::ReleaseFence { id }),
        (any::<u64>(), any::<Vec<u8>>()).prop_map(|(id, block)| Message::Metadata { id, block }),
    ]
}

/// A real stream with a few bytes changed, removed or repeated.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(vec![SEEDS[0], SEEDS[1], SEEDS[2], AUDIO]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..6);
    (seed, edits).prop_map(|(seed, edits)| {
        let mut bytes = seed.to_vec();
        for (at, value, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, value),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_message_comes_back(message in messages()) {
        let bytes = message.encode();
        let header = Header::parse(bytes[..HEADER_BYTES].try_into().unwrap()).unwrap();
        prop_assert_eq!((header.kind, header.payload_bytes as usize), (message.kind(), bytes.len() - HEADER_BYTES));
        prop_assert_eq!(Message::parse(header.kind, &bytes[HEADER_BYTES..]).unwrap(), message);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>(), stream in mutated(), text in "video/x-raw(\\(memory:DMABuf\\))?(, (format|width|height|drm-format|framerate|colorimetry|[a-z]{1,4})=(\\([a-z]{0,8}\\))?[A-Za-z0-9:/\"{<\\[\\\\ ]{0,12}){0,8}\\PC{0,3}") {
        let _alone = crate::alone();
        for bytes in [&bytes, &stream] {
            bodies::unixfd_wire(bytes);
            bodies::unixfd_caps(bytes);
            bodies::metadata(bytes);
            bodies::unixfd_client(bytes);
        }
        bodies::unixfd_caps(text.as_bytes());
        bodies::metadata(&[&[1, 0], bytes.as_slice()].concat());
    }

    /// A server of ours, then whatever.
    #[test]
    fn any_messages_reach_the_client(messages in prop::collection::vec(messages(), 0..8)) {
        let _alone = crate::alone();
        let caps = Message::Caps(Some("video/x-raw, format=(string)NV12, width=(int)8, height=(int)8".into()));
        let stream: Vec<u8> = std::iter::once(&caps).chain(&messages).flat_map(Message::encode).collect();
        bodies::unixfd_client(&stream);
    }
}
