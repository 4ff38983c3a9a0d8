//! The same bytes on the other side, in both directions, whatever the strides.

use super::*;

/// Formats of each kind: one plane, two, three, and 16-bit words.
const FORMATS: [(Fourcc, &str); 4] =
    [(Fourcc::ABGR8888, "rgba"), (Fourcc::NV12, "nv12"), (Fourcc::YUV420, "i420"), (Fourcc::P010, "p010-10le")];
const SIZES: [Size; 3] = [Size::new(97, 61), Size::new(7, 5), Size::new(64, 48)];

/// `filesink` knows nothing of strides: it gets rows as GStreamer lays them out.
#[test]
fn what_goes_out_is_what_was_drawn() {
    let folder = Folder::new("gst-out");
    for kind in KINDS {
        for (fourcc, name) in FORMATS {
            for (size, align) in SIZES.into_iter().flat_map(|size| [(size, 4), (size, 64), (size, 256)]) {
                let Some(pool) = pool(kind, fourcc, size, align, 6) else { continue };
                let path = folder.0.join(format!("{kind}-{name}-{}-{align}.raw", size.width));
                let Some(_) = send(&pool, &format!("queue ! filesink location={}", shown(&path)), 3) else { return };
                let bytes = std::fs::read(&path).unwrap();
                let layout = default_layout(fourcc, size).unwrap();
                let each = usual_bytes(&layout);
                assert_eq!(bytes.len(), 3 * each, "{kind} {fourcc} {size} {align}");
                for number in 0..3 {
                    check_bytes(&bytes[number as usize * each..][..each], &layout, number, 0xFF);
                }
            }
        }
    }
}

/// Elements that obey `GstVideoMeta` read our rows where they lie: converted there and back, a picture is what it was.
#[test]
fn strides_are_obeyed() {
    let folder = Folder::new("gst-strides");
    let there_and_back =
        |there, back| format!("videoconvert ! video/x-raw,format={there} ! videoconvert ! video/x-raw,format={back}");
    let cases = [
        (Fourcc::ABGR8888, there_and_back("BGRA", "RGBA"), 0xFF),
        (Fourcc::YUV420, there_and_back("YV12", "I420"), 0xFF),
        (Fourcc::NV12, there_and_back("NV21", "NV12"), 0xFF),
        // By way of 16 bits, whose lower six are made up.
        (Fourcc::P010, "videoconvert dither=none ! video/x-raw,format=P016_LE".into(), 0xC0),
    ];
    for kind in KINDS {
        for (fourcc, text, mask) in &cases {
            let (fourcc, mask) = (*fourcc, *mask);
            for align in [4, 128] {
                let size = Size::new(98, 62);
                let Some(pool) = pool(kind, fourcc, size, align, 6) else { continue };
                let path = folder.0.join(format!("{kind}-{fourcc}-{align}.raw"));
                let whole = format!("{text} ! filesink location={}", shown(&path));
                let Some(notes) = send(&pool, &whole, 3) else { return };
                assert_eq!(notes, Vec::<String>::new(), "{kind} {fourcc}: nothing is copied");
                let bytes = std::fs::read(&path).unwrap();
                let layout = default_layout(fourcc, size).unwrap();
                let each = usual_bytes(&layout);
                assert_eq!(bytes.len(), 3 * each, "{kind} {fourcc} {align}");
                for number in 0..3 {
                    check_bytes(&bytes[number as usize * each..][..each], &layout, number, mask);
                }
            }
        }
    }
}

/// Pictures of a file, with and without padding that `GstVideoMeta` tells of.
#[test]
fn what_comes_in_is_what_was_there() {
    let folder = Folder::new("gst-in");
    for (fourcc, name) in FORMATS {
        for size in SIZES {
            let usual = default_layout(fourcc, size).unwrap();
            for padding in [0, 96] {
                let (mut strides, mut offsets, mut end) = (Vec::new(), Vec::new(), 0);
                for (index, plane) in usual.planes().iter().enumerate() {
                    strides.push(plane.stride_bytes as usize + padding);
                    offsets.push(if padding == 0 { plane.offset_bytes as usize } else { end });
                    end = offsets[index] + strides[index] * usual.rows(index) as usize;
                }
                let mut bytes = vec![0xEE; 4 * end];
                for number in 0..4 {
                    for index in 0..strides.len() {
                        for row in 0..usual.rows(index) {
                            let at = number * end + offsets[index] + strides[index] * row as usize;
                            for column in 0..usual.row_bytes(index) as usize {
                                bytes[at + column] = byte(number as u64, index, row, column);
                            }
                        }
                    }
                }
                let path = folder.file(&format!("{name}-{}-{padding}.raw", size.width), &bytes);
                let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
                let text = format!(
                    "filesrc location={} ! rawvideoparse format={name} width={} height={} frame-size={end} \
                     plane-strides=\"<{}>\" plane-offsets=\"<{}>\" framerate=30/1",
                    shown(&path),
                    size.width,
                    size.height,
                    list(&strides),
                    list(&offsets)
                );
                let Some(mut input) = take(&text) else { return };
                assert_eq!((input.caps().fourcc, input.caps().size), (fourcc, size));
                assert_eq!(input.caps().rate, Some((30, 1)));
                assert!(!input.is_live() && !input.lends());
                let mut number = 0;
                while let Some(received) = next(&mut input) {
                    let buffer = common::files::buffer(size, fourcc);
                    let layout = buffer.layout().clone();
                    received.copy_into(&layout, &mut buffer.map(Access::Write).unwrap()).unwrap();
                    check(&buffer, number);
                    let (time, expected) = (received.pts_ns.unwrap(), number * 1_000_000_000 / 30);
                    assert!(time.abs_diff(expected) <= 1, "{name}: {time}");
                    number += 1;
                }
                assert_eq!(number, 4, "{name} {size} {padding}");
            }
        }
    }
}

/// A thousand frames, in order, none lost, in six memories.
#[test]
fn a_thousand_frames_in_order() {
    let folder = Folder::new("gst-thousand");
    let (fourcc, size) = (Fourcc::ABGR8888, Size::new(18, 10));
    let path = folder.0.join("all.raw");
    let pool = files(fourcc, size, 6);
    let text = format!(
        "queue max-size-buffers=3 ! videoconvert ! video/x-raw,format=ABGR ! videoconvert ! video/x-raw,format=RGBA ! filesink location={}",
        shown(&path)
    );
    let Some(notes) = send(&pool, &text, 1000) else { return };
    assert!(notes.iter().all(|note| !note.contains("copied")), "{notes:?}");
    let bytes = std::fs::read(&path).unwrap();
    let layout = default_layout(fourcc, size).unwrap();
    assert_eq!(bytes.len(), 1000 * usual_bytes(&layout));
    for (number, frame) in bytes.chunks(usual_bytes(&layout)).enumerate() {
        check_bytes(frame, &layout, number as u64, 0xFF);
    }

    // And back.
    let text = format!(
        "filesrc location={} ! rawvideoparse format=rgba width=18 height=10 ! queue max-size-buffers=3",
        shown(&path)
    );
    let Some(mut input) = take(&text) else { return };
    let buffer = common::files::buffer(size, fourcc);
    let layout = buffer.layout().clone();
    for number in 0..1000 {
        let received = next(&mut input).unwrap();
        received.copy_into(&layout, &mut buffer.map(Access::Write).unwrap()).unwrap();
        check(&buffer, number);
    }
    assert!(next(&mut input).is_none());
}

/// What the numbers mean, and when frames are, goes along.
#[test]
fn caps_say_colours_and_rate() {
    let pool = files(Fourcc::NV12, Size::new(64, 48), 6);
    let first = common::acquire(&pool);
    let options = output::Options { color: Color::HD, rate: (30_000, 1001), ..output::Options::new("fakesink") };
    let output = output::Output::open(options, std::slice::from_ref(&first)).unwrap();
    let caps = output.caps();
    for word in [
        "format=(string)NV12",
        "width=(int)64",
        "height=(int)48",
        "colorimetry=(string)bt709",
        "framerate=(fraction)30000/1001",
    ] {
        assert!(caps.contains(word), "{word}: {caps}");
    }

    let text =
        "videotestsrc num-buffers=2 ! video/x-raw,format=NV12,width=64,height=48,colorimetry=bt2020,framerate=24/1";
    let Some(input) = take(text) else { return };
    assert!(input.says_color());
    let color = input.caps().color;
    assert_eq!((color.matrix, color.range), (darkframe::color::Matrix::Bt2020, darkframe::color::Range::Limited));
    assert_eq!(input.caps().rate, Some((24, 1)));
}
