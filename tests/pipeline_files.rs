//! Sources and sinks against independent readers and writers: the `image` and `y4m` crates. No GPU.

use std::path::Path;

use darkframe::buffer::{Access, Buffer};
use darkframe::color::{Color, Matrix, Range, Siting};
use darkframe::format::Fourcc;
use darkframe::layout::{Constraints, Size};
use darkframe::pipeline::Description;
use darkframe::pipeline::description::Rate;
use darkframe::pipeline::sink::{self, Picture, Shape};
use darkframe::pipeline::source::Opened;

mod common;

use common::files::{Folder, buffer, read};

fn open(path: &Path, keys: &str) -> darkframe::error::Result<Opened> {
    let text = format!("[source.a]\nfile = \"{}\"\n{keys}\n", path.display());
    let description = Description::parse("/p.toml", text).unwrap();
    Opened::open(&description, "a", &description.sources["a"])
}

fn open_pattern(keys: &str) -> Opened {
    let description = Description::parse("/p.toml", format!("[source.a]\n{keys}\n")).unwrap();
    Opened::open(&description, "a", &description.sources["a"]).unwrap()
}

/// Bytes that differ from place to place and from seed to seed.
fn bytes(count: usize, seed: u32) -> Vec<u8> {
    (0..count as u32).map(|i| (i.wrapping_mul(2654435761).wrapping_add(seed.wrapping_mul(97)) >> 13) as u8).collect()
}

#[test]
fn y4m_of_the_y4m_crate_is_read_plane_by_plane() {
    let folder = Folder::new("y4m-read");
    use y4m::Colorspace as C;
    for (space, name, chroma) in [
        (C::C420jpeg, "420jpeg", (2, 2)),
        (C::C420paldv, "420paldv", (2, 2)),
        (C::C420mpeg2, "420mpeg2", (2, 2)),
        (C::C422, "422", (2, 1)),
        (C::C444, "444", (1, 1)),
        (C::Cmono, "mono", (0, 0)),
    ] {
        let (width, height) = (7usize, 5usize);
        let chroma_bytes = if chroma.0 == 0 { 0 } else { width.div_ceil(chroma.0) * height.div_ceil(chroma.1) };
        let mut file = Vec::new();
        let mut frames = Vec::new();
        {
            let builder = y4m::encode(width, height, y4m::Ratio::new(30000, 1001)).with_colorspace(space);
            let mut encoder = builder.write_header(&mut file).unwrap();
            for seed in 0..3 {
                let planes =
                    [bytes(width * height, seed), bytes(chroma_bytes, seed + 10), bytes(chroma_bytes, seed + 20)];
                // The second frame has parameters, so that frames are not evenly spaced.
                let parameters = (seed == 1).then(|| b"Ip".to_vec());
                encoder.write_frame(&y4m::Frame::new([&planes[0], &planes[1], &planes[2]], parameters)).unwrap();
                frames.push(planes);
            }
        }
        let path = folder.file(&format!("{name}.y4m"), &file);
        let mut source = open(&path, "").unwrap();
        assert_eq!(source.info().size, Size::new(7, 5));
        assert_eq!(source.info().rate, Some(Rate { numerator: 30000, denominator: 1001 }));
        // In order, then back and forth.
        for frame in [0, 1, 2, 0, 2, 1] {
            let planes = read(&mut source, frame).unwrap().unwrap();
            let expected = &frames[frame as usize];
            assert_eq!(planes[0], expected[0], "{name} {frame}");
            if chroma_bytes > 0 {
                assert_eq!(planes[1], expected[1], "{name} {frame}");
                assert_eq!(planes[2], expected[2], "{name} {frame}");
            } else {
                assert!(planes[1..].iter().flatten().all(|byte| *byte == 128));
            }
        }
        assert!(read(&mut source, 3).unwrap().is_none(), "{name}");
        // Cut inside the last frame: the frames before it are fine, and the position is said.
        let cut = folder.file("cut.y4m", &file[..file.len() - 3]);
        let mut source = open(&cut, "").unwrap();
        assert!(read(&mut source, 1).unwrap().is_some());
        let error = read(&mut source, 2).unwrap_err().to_string();
        assert!(error.contains(&format!("byte {}", file.len() - 3)) && error.contains("frame 2"), "{error}");
        assert!(error.contains("range = \"..2\""), "{error}");
    }
}

#[test]
fn malformed_y4m_is_refused_with_the_position() {
    let folder = Folder::new("y4m-bad");
    let cases: &[(&[u8], &str)] = &[
        (b"", "the file is empty"),
        (b"RIFF....", "does not begin with YUV4MPEG2"),
        (b"YUV4MPEG2 W4 H4", "byte 15: the header line does not end"),
        (b"YUV4MPEG2 Wx H4\n", "byte 10: Wx: expected a number"),
        (b"YUV4MPEG2 W4\n", "no W or no H"),
        (b"YUV4MPEG2 W0 H4\n", "1 to 65536"),
        (b"YUV4MPEG2 W4294967296 H4\n", "expected a number"),
        (b"YUV4MPEG2 W4 H4 F0:0:0\n", "expected frames per second"),
        (b"YUV4MPEG2 W4 H4 Iq\n", "expected p, t, b, m"),
        (b"YUV4MPEG2 W4 H4 C420p17\n", "C420p17"),
    ];
    for (text, words) in cases {
        let error = open(&folder.file("a.y4m", text), "").err().expect(words).to_string();
        assert!(error.contains(words) && error.contains("a.y4m"), "{error}");
    }
    let mut source = open(&folder.file("b.y4m", b"YUV4MPEG2 W2 H2\nFRAMX\n123456"), "").unwrap();
    let error = read(&mut source, 0).unwrap_err().to_string();
    assert!(error.contains("byte 16: frame 0 does not begin with FRAME"), "{error}");
    let mut full =
        open(&folder.file("c.y4m", b"YUV4MPEG2 W2 H2 XCOLORRANGE=FULL C420jpeg\nFRAME\n123456"), "").unwrap();
    assert_eq!((full.info().color.range, full.info().color.siting), (Range::Full, Siting::Center));
    assert_eq!(read(&mut full, 0).unwrap().unwrap(), [b"1234".to_vec(), b"5".to_vec(), b"6".to_vec()]);
}

#[test]
fn raw_files_with_strides_offsets_and_padding() {
    let folder = Folder::new("raw");
    // NV12 6x4, stride 8, chroma at 40, 64 bytes a frame, 3 bytes of header.
    let mut file = vec![0xEE; 3];
    let mut frames = Vec::new();
    for seed in 0..3 {
        let body = bytes(64, seed);
        let rows = |start: usize, count: usize| -> Vec<u8> {
            (0..count).flat_map(|row| body[start + row * 8..start + row * 8 + 6].to_vec()).collect()
        };
        frames.push([rows(0, 4), rows(40, 2)]);
        file.extend(body);
    }
    let path = folder.file("a.nv12", &file);
    let keys = "size = \"6x4\"\nformat = \"NV12\"\nstride = 8\noffset = [0, 40]\nframe-bytes = 64\nheader-bytes = 3";
    let mut source = open(&path, keys).unwrap();
    assert_eq!(source.info().frames, Some(3));
    for frame in [0, 2, 1] {
        assert_eq!(read(&mut source, frame).unwrap().unwrap(), frames[frame as usize]);
    }
    assert!(read(&mut source, 3).unwrap().is_none());
    // A range, and a range that loops.
    let mut ranged = open(&path, &format!("{keys}\nrange = \"1..3\"\nloop = true")).unwrap();
    assert_eq!(ranged.info().frames, None);
    for (frame, expected) in [(0, 1), (1, 2), (2, 1), (7, 2)] {
        assert_eq!(read(&mut ranged, frame).unwrap().unwrap(), frames[expected], "{frame}");
    }
    // The rest of a frame is left out; a file smaller than a frame is refused.
    let cut = folder.file("cut.nv12", &file[..file.len() - 20]);
    assert_eq!(open(&cut, keys).unwrap().info().frames, Some(2));
    let tiny = folder.file("tiny.nv12", &file[..40]);
    let error = open(&tiny, keys).err().unwrap().to_string();
    assert!(error.contains("tiny.nv12") && error.contains("needs 54 bytes a frame, the file has 37"), "{error}");
    let error = open(&folder.0, keys).err().unwrap().to_string();
    assert!(error.contains("is a directory") || error.contains("extension"), "{error}");
    // Packed, tight, odd width: a row is rounded up to whole pairs.
    let yuyv = folder.file("a.raw", bytes(4 * 4 * 3, 5));
    let mut source = open(&yuyv, "size = \"7x3\"\nformat = \"YUYV\"").unwrap();
    assert_eq!(read(&mut source, 0).unwrap().unwrap()[0], bytes(48, 5));
}

#[test]
fn images_are_decoded_and_damaged_ones_refused() {
    let folder = Folder::new("images");
    let pixels = bytes(5 * 3 * 4, 1);
    let picture = image::RgbaImage::from_raw(5, 3, pixels.clone()).unwrap();
    let path = folder.0.join("a.png");
    picture.save(&path).unwrap();
    let mut source = open(&path, "").unwrap();
    assert!(source.info().still && source.info().frames.is_none());
    assert_eq!(read(&mut source, 0).unwrap().unwrap()[0], pixels);
    assert_eq!(read(&mut source, 99).unwrap().unwrap()[0], pixels);
    let ppm = folder.file("a.ppm", b"P6 1 1 255\n\x01\x02\x03");
    assert_eq!(read(&mut open(&ppm, "").unwrap(), 0).unwrap().unwrap()[0], [1, 2, 3, 255]);
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 4, 20, whole.len() / 2] {
        let error = open(&folder.file("cut.png", &whole[..cut]), "").err().expect("cut").to_string();
        assert!(error.contains("cut.png"), "{error}");
    }
    let huge = folder.file("huge.ppm", b"P6 4000000000 4000000000 255\n");
    assert!(open(&huge, "").is_err());
}

#[test]
fn patterns_repeat_exactly_and_move() {
    for pattern in ["bars", "gradient", "checker", "zone-plate", "noise", "counter"] {
        let keys = format!("pattern = \"{pattern}\"\nsize = \"61x33\"\nframes = 3\nseed = 7");
        let first = read(&mut open_pattern(&keys), 1).unwrap().unwrap();
        assert_eq!(first, read(&mut open_pattern(&keys), 1).unwrap().unwrap(), "{pattern}");
        let second = read(&mut open_pattern(&keys), 2).unwrap().unwrap();
        assert_eq!(first != second, pattern != "bars", "{pattern}");
        assert!(first[0].chunks_exact(4).all(|pixel| pixel[3] == 255));
        assert!(read(&mut open_pattern(&keys), 3).unwrap().is_none());
    }
    let bars = read(&mut open_pattern("pattern = \"bars\"\nsize = \"8x1\""), 0).unwrap().unwrap();
    let colours: Vec<[u8; 3]> = bars[0].chunks_exact(4).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let h = 191;
    assert_eq!(
        colours,
        [[h, h, h], [h, h, 0], [0, h, h], [0, h, 0], [h, 0, h], [h, 0, 0], [0, 0, h], [0, 0, 0]],
        "white, yellow, cyan, green, magenta, red, blue, black"
    );
}

/// A buffer with these RGBA bytes.
fn filled(size: Size, pixels: &[u8]) -> Buffer {
    let buffer = buffer(size, Fourcc::ABGR8888);
    let stride = buffer.layout().planes()[0].stride_bytes as usize;
    let mut map = buffer.map(Access::Write).unwrap();
    for (row, source) in map.plane_mut(0).chunks_mut(stride).zip(pixels.chunks_exact(size.width as usize * 4)) {
        row[..source.len()].copy_from_slice(source);
    }
    drop(map);
    buffer
}

fn write(keys: &str, size: Size, pictures: &[Vec<u8>]) -> darkframe::error::Result<sink::Written> {
    let text = format!("[sink.s]\ninput = \"x\"\n{keys}\n");
    let description = Description::parse("p.toml", text).unwrap();
    let plan = sink::Plan::new(&description, "s", &description.sinks["s"])?;
    let rate = Rate { numerator: 25, denominator: 1 };
    let shape = Shape {
        size,
        fourcc: Fourcc::ABGR8888,
        color: Color::SRGB,
        rate,
        frames: Some(pictures.len() as u64),
        held: 0,
        layout: Constraints::NONE,
    };
    let mut writer = plan.open(&shape, shape.fourcc)?;
    for (frame, pixels) in pictures.iter().enumerate() {
        let buffer = filled(size, pixels);
        let map = buffer.map(Access::Read).unwrap();
        writer.write(&Picture { layout: buffer.layout(), map: &map, frame: frame as u64 })?;
    }
    writer.finish()
}

#[test]
fn png_files_hold_the_pixels() {
    let folder = Folder::new("png");
    let size = Size::new(13, 9);
    let pictures = [bytes(13 * 9 * 4, 1), bytes(13 * 9 * 4, 2)];
    let file = folder.0.join("out/p-%03d.png");
    let written = write(&format!("file = \"{}\"", file.display()), size, &pictures).unwrap();
    assert_eq!(written.pictures, 2);
    for (frame, pixels) in pictures.iter().enumerate() {
        let read = image::open(folder.0.join(format!("out/p-00{frame}.png"))).unwrap().into_rgba8();
        assert_eq!(read.as_raw(), pixels);
    }
    assert_eq!(std::fs::read_dir(folder.0.join("out")).unwrap().count(), 2, "no temporary files");
    let one = format!("file = \"{}\"", folder.0.join("one.png").display());
    let error = write(&one, size, &pictures).unwrap_err().to_string();
    assert!(error.contains("2 pictures for one file") && error.contains("%04d"), "{error}");
}

#[test]
fn raw_files_hold_the_bytes() {
    let folder = Folder::new("raw-out");
    let pictures = [bytes(13 * 9 * 4, 1), bytes(13 * 9 * 4, 2)];
    let file = folder.0.join("a.rgba");
    write(&format!("file = \"{}\"", file.display()), Size::new(13, 9), &pictures).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), pictures.concat());
}

#[test]
fn y4m_is_within_one_code_of_the_formula_and_the_y4m_crate_reads_it() {
    let folder = Folder::new("y4m-out");
    for (size, matrix, range, siting) in [
        (Size::new(16, 8), Matrix::Bt601, Range::Limited, Siting::Left),
        (Size::new(17, 9), Matrix::Bt709, Range::Limited, Siting::Left),
        (Size::new(1, 1), Matrix::Bt709, Range::Full, Siting::Center),
        (Size::new(18, 7), Matrix::Bt2020, Range::Full, Siting::Center),
    ] {
        let (width, height) = (size.width as usize, size.height as usize);
        let picture = bytes(width * height * 4, size.width);
        let file = folder.0.join("a.y4m");
        let name = |debug: String| debug.to_lowercase();
        let keys = format!(
            "file = \"{}\"\ncolor = {{ matrix = \"{}\", range = \"{}\", siting = \"{}\" }}",
            file.display(),
            name(format!("{matrix:?}")),
            name(format!("{range:?}")),
            name(format!("{siting:?}"))
        );
        write(&keys, size, &[picture.clone(), picture.clone()]).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let mut decoder = y4m::decode(bytes.as_slice()).unwrap();
        assert_eq!((decoder.get_width(), decoder.get_height()), (width, height));
        let header = String::from_utf8_lossy(decoder.get_raw_params()).into_owned();
        assert!(header.contains(if siting == Siting::Left { "C420mpeg2" } else { "C420jpeg" }), "{header}");
        let frame = decoder.read_frame().unwrap();

        // In f64, from the definition: convert every pixel, then filter chroma.
        let rows = Color { matrix, range, siting, ..Color::HD }.rgb_to_yuv(8);
        let at = |x: isize, y: isize, row: usize| {
            let (x, y) = (x.clamp(0, width as isize - 1) as usize, y.clamp(0, height as isize - 1) as usize);
            let pixel = &picture[(y * width + x) * 4..];
            (0..3).map(|c| rows[row][c] * f64::from(pixel[c])).sum::<f64>() + rows[row][3] * 255.0
        };
        for y in 0..height {
            for x in 0..width {
                let expected = at(x as isize, y as isize, 0);
                assert!((f64::from(frame.get_y_plane()[y * width + x]) - expected).abs() <= 0.51);
            }
        }
        let taps: &[(isize, f64)] =
            if siting == Siting::Left { &[(-1, 0.25), (0, 0.5), (1, 0.25)] } else { &[(0, 0.5), (1, 0.5)] };
        for (row, plane) in [(1, frame.get_u_plane()), (2, frame.get_v_plane())] {
            for y in 0..height.div_ceil(2) {
                for x in 0..width.div_ceil(2) {
                    let mut expected = 0.0;
                    for (dx, weight) in taps {
                        for dy in 0..2 {
                            expected += 0.5 * weight * at(2 * x as isize + dx, 2 * y as isize + dy, row);
                        }
                    }
                    let got = f64::from(plane[y * width.div_ceil(2) + x]);
                    assert!((got - expected.clamp(0.0, 255.0)).abs() <= 0.51, "{size} {row} {x},{y}: {got} {expected}");
                }
            }
        }
        assert!(decoder.read_frame().is_ok());
    }
}

#[test]
fn a_failing_sink_leaves_nothing() {
    let folder = Folder::new("fail");
    let text = format!("[sink.s]\ninput = \"x\"\nfile = \"{}/a.rgba\"\n", folder.0.display());
    let description = Description::parse("p.toml", text).unwrap();
    let plan = sink::Plan::new(&description, "s", &description.sinks["s"]).unwrap();
    let rate = Rate::DEFAULT;
    let size = Size::new(4, 4);
    let mut writer = plan
        .open(
            &Shape {
                size,
                fourcc: Fourcc::ABGR8888,
                color: Color::SRGB,
                rate,
                frames: None,
                held: 0,
                layout: Constraints::NONE,
            },
            Fourcc::ABGR8888,
        )
        .unwrap();
    let buffer = filled(size, &bytes(64, 1));
    let map = buffer.map(Access::Read).unwrap();
    writer.write(&Picture { layout: buffer.layout(), map: &map, frame: 0 }).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
}

/// A picture without edges, which JPEG keeps well.
fn smooth(size: Size, frame: u32) -> Vec<u8> {
    let places = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
    places.flat_map(|(x, y)| [(x * 3) as u8, (y * 4) as u8, (frame * 40) as u8, 255]).collect()
}

#[test]
fn jpeg_files_hold_the_picture_as_well_as_the_quality_says() {
    let folder = Folder::new("jpeg");
    let size = Size::new(67, 43);
    let pictures = [smooth(size, 0), smooth(size, 3)];
    let mut bytes = Vec::new();
    for (quality, allowed) in [(95, 6), (20, 60)] {
        let file = folder.0.join(format!("q{quality}-%d.jpg"));
        let written = write(&format!("file = \"{}\"\nquality = {quality}", file.display()), size, &pictures).unwrap();
        assert_eq!(written.pictures, 2);
        bytes.push(written.bytes);
        for (frame, pixels) in pictures.iter().enumerate() {
            let path = folder.0.join(format!("q{quality}-{frame}.jpg"));
            // The first of Annex K's numbers for luma is 16; libjpeg's scale for a quality is what the word means.
            let file = std::fs::read(&path).unwrap();
            let at = file.windows(2).position(|marker| marker == [0xFF, 0xDB]).unwrap();
            let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
            assert_eq!((file[at + 4], u32::from(file[at + 5])), (0, (16 * scale + 50) / 100), "quality {quality}");
            let read = image::open(path).unwrap();
            assert_eq!(read.color(), image::ColorType::Rgb8);
            let worst = read.into_rgba8().iter().zip(pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= allowed, "quality {quality}: {worst}");
        }
    }
    assert!(bytes[1] < bytes[0], "{bytes:?}");
    for (keys, words) in [
        ("file = \"a-%d.jpg\"\nquality = 0", "1 to 100"),
        ("file = \"a-%d.png\"\nquality = 9", "for JPEG files"),
        ("file = \"a.jpg\"", "2 pictures for one file"),
    ] {
        let error = write(keys, size, &pictures).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn animated_png_holds_every_picture() {
    let folder = Folder::new("apng");
    let size = Size::new(13, 9);
    let pictures: Vec<Vec<u8>> = (0..4).map(|frame| bytes(13 * 9 * 4, frame)).collect();
    let file = folder.0.join("a.apng");
    write(&format!("file = \"{}\"", file.display()), size, &pictures).unwrap();
    // FFmpeg's own reader, which checks every chunk's sum.
    let ffmpeg = ["-v", "error", "-err_detect", "explode", "-f", "apng", "-i"];
    let raw = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgba", "-"];
    match std::process::Command::new("ffmpeg").args(ffmpeg).arg(&file).args(raw).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout == pictures.concat(), "{} bytes", output.stdout.len());
        }
        Err(error) => common::skip("ffmpeg", error),
    }
    // 25 frames/s, four of them, again and again; the sum over the chunk is right.
    let file = std::fs::read(&file).unwrap();
    let at = file.windows(4).position(|name| name == b"acTL").unwrap();
    assert_eq!(&file[at + 4..at + 12], [0, 0, 0, 4, 0, 0, 0, 0]);
    let at = file.windows(4).position(|name| name == b"fcTL").unwrap();
    assert_eq!(&file[at + 24..at + 28], [0, 1, 0, 25]);
    use image::AnimationDecoder;
    let decoder = image::codecs::png::PngDecoder::new(std::io::Cursor::new(&file)).unwrap();
    let frames = decoder.apng().unwrap().into_frames().collect_frames().unwrap();
    assert_eq!(frames.len(), 4);

    let error = write("file = \"/dev/null\"\nkind = \"apng\"", size, &pictures).unwrap_err().to_string();
    assert!(error.contains("/dev/null") && error.contains("y4m to the stream"), "{error}");
    drop(folder);
}
