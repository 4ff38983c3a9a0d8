//! What sources read, against references that share no code with them: Pillow and numpy for images, FFmpeg for deep
//! y4m, formulas for patterns, the clock's own arithmetic for pacing. No GPU, but for the last ones.

use std::path::Path;
use std::process::{Command, Stdio};

use darkframe::error::{ErrorKind, Result};
use darkframe::format::{Component, Fourcc};
use darkframe::layout::Size;
use darkframe::pipeline::Description;
use darkframe::pipeline::source::Opened;

mod common;

use common::files::{Folder, read};

/// The source of these keys, in a pipeline file of `folder`.
fn open(folder: &Path, keys: &str) -> Result<Opened> {
    let text = format!("[source.a]\n{keys}\n");
    let description = Description::parse(folder.join("p.toml"), text)?;
    Opened::open(&description, "a", &description.sources["a"])
}

fn darkframe(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// Debian's Python with numpy and Pillow.
fn python(script: &str, arguments: &[&Path]) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let has = Command::new("/usr/bin/python3").args(["-c", "import numpy, PIL"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("SKIP {}: /usr/bin/python3 with numpy and PIL: scripts/setup test installs them", script.display());
        return false;
    }
    let output = Command::new("/usr/bin/python3").arg("-Wignore").arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

#[test]
fn images_of_every_kind_are_what_pillow_reads() {
    let folder = Folder::new("pillow");
    if !python("tests/reference/images.py", &[&folder.0]) {
        return;
    }
    let cases = std::fs::read_to_string(folder.0.join("cases.txt")).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in cases.lines() {
        let mut fields = line.splitn(6, ' ');
        let [name, frame, size, within, expected] = std::array::from_fn(|_| fields.next().unwrap());
        let keys = fields.next().unwrap_or("").replace(';', "\n");
        let mut source =
            open(&folder.0, &format!("file = \"{name}\"\n{keys}")).unwrap_or_else(|e| panic!("{line}: {e}"));
        count += 1;
        if source.info().size != size.parse().unwrap() {
            wrong.push(format!("{line}: {}", source.info().size));
            continue;
        }
        let pixels = read(&mut source, frame.parse().unwrap()).unwrap().unwrap().remove(0);
        let expected = std::fs::read(folder.0.join(expected)).unwrap();
        let far = pixels.chunks_exact(4).zip(expected.chunks_exact(4)).map(|(is, should)| {
            // Colours count as far as they are seen.
            let seen = |pixel: &[u8], part: usize| i32::from(pixel[part]) * i32::from(pixel[3]);
            let colour = (0..3).map(|part| ((seen(is, part) - seen(should, part)).abs() + 254) / 255).max().unwrap();
            colour.max(i32::from(is[3].abs_diff(should[3])))
        });
        let far = far.max().unwrap();
        if far > within.parse().unwrap() {
            wrong.push(format!("{line}: {far} codes off"));
        }
        // What is exact is exact where nothing is seen, too.
        if within == "0" && pixels != expected {
            wrong.push(format!("{line}: not the same bytes"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 90, "{count} cases");
    let rate = open(&folder.0, "file = \"moving.gif\"").unwrap().info().rate.unwrap();
    assert_eq!(f64::from(rate.numerator) / f64::from(rate.denominator), 25.0, "40 ms a picture");
}

fn png(folder: &Folder, name: &str, (width, height): (u32, u32), value: u8) {
    std::fs::create_dir_all(folder.0.join(name).parent().unwrap()).unwrap();
    image::GrayImage::from_pixel(width, height, image::Luma([value])).save(folder.0.join(name)).unwrap();
}

/// The grey value of each frame, to the end.
fn values(source: &mut Opened) -> Vec<u8> {
    let pictures = (0..).map_while(|frame| read(source, frame).unwrap());
    pictures.take(20).map(|planes| planes[0][0]).collect()
}

#[test]
fn a_pattern_is_its_files_in_their_order() {
    let folder = Folder::new("glob");
    for (value, name) in ["a1", "a2", "a10", "b", ".hidden", "c.d"].into_iter().enumerate() {
        png(&folder, &format!("photos/{name}.png"), (4, 3), value as u8);
    }
    png(&folder, "photos/below/deep.png", (4, 3), 9);
    folder.file("photos/notes.txt", "no picture");
    std::fs::create_dir(folder.0.join("photos/folder.png")).unwrap();
    let mut photos = open(&folder.0, "file = \"photos/*.png\"").unwrap();
    assert_eq!(photos.info().frames, Some(5));
    assert_eq!(values(&mut photos), [0, 1, 2, 3, 5], "numbers by value, hidden files and folders not");
    assert_eq!(values(&mut open(&folder.0, "file = \"photos/**/*.png\"").unwrap()), [0, 1, 2, 3, 9, 5]);
    assert_eq!(values(&mut open(&folder.0, "file = \"photos/a[0-9].png\"").unwrap()), [0, 1]);
    assert_eq!(values(&mut open(&folder.0, "file = \"photos/?.png\"").unwrap()), [3]);
    // A part, and round and round.
    assert_eq!(values(&mut open(&folder.0, "file = \"photos/*.png\"\nrange = \"1..3\"").unwrap()), [1, 2]);
    let round = values(&mut open(&folder.0, "file = \"photos/a?.png\"\nloop = true").unwrap());
    assert_eq!(round[..5], [0, 1, 0, 1, 0]);
    // The pipeline's folder may have a name that is a pattern; a file may, too.
    png(&folder, "in [ab]*/x1.png", (4, 3), 7);
    assert_eq!(values(&mut open(&folder.0.join("in [ab]*"), "file = \"x*.png\"").unwrap()), [7]);
    png(&folder, "odd[1].png", (4, 3), 8);
    assert!(open(&folder.0, "file = \"odd[1].png\"").unwrap().info().still);
}

#[test]
fn numbered_files_come_by_number() {
    let folder = Folder::new("numbered");
    for number in [3u8, 4, 5, 12] {
        png(&folder, &format!("scan-{number:03}.png"), (4, 3), number);
    }
    png(&folder, "scan-7.png", (4, 3), 77);
    let mut scans = open(&folder.0, "file = \"scan-%03d.png\"").unwrap();
    assert_eq!(values(&mut scans), [3, 4, 5, 12], "scan-7 has too few digits");
    let error = open(&folder.0, "file = \"page-%03d.png\"").err().unwrap();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("page-%03d.png"), "{error}");
    png(&folder, "100%.png", (4, 3), 1);
    assert!(open(&folder.0, "file = \"100%.png\"").unwrap().info().still);
}

#[test]
fn files_of_different_sizes_need_a_size() {
    let folder = Folder::new("sizes");
    png(&folder, "a.png", (4, 3), 200);
    png(&folder, "b.png", (8, 2), 100);
    let error = open(&folder.0, "file = \"*.png\"").err().unwrap().to_string();
    for words in ["a.png", "4x3", "b.png", "8x2", "add size = \"4x3\""] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let mut both = open(&folder.0, "file = \"*.png\"\nsize = \"8x8\"\nbackground = \"#112233\"").unwrap();
    let pictures: Vec<Vec<u8>> = (0..2).map(|frame| read(&mut both, frame).unwrap().unwrap().remove(0)).collect();
    // 4x3 is 8x6 there, a row above and below; 8x2 has three.
    for (picture, bar, value) in [(&pictures[0], 1, 200), (&pictures[1], 3, 100)] {
        for (y, row) in picture.chunks_exact(32).enumerate() {
            let inside = (bar..8 - bar).contains(&y);
            let wanted = if inside { [value, value, value, 255] } else { [0x11, 0x22, 0x33, 255] };
            assert!(row.chunks_exact(4).all(|pixel| pixel == wanted), "row {y}: {row:?}");
        }
    }
    // One that grows while the run goes on.
    png(&folder, "b.png", (4, 3), 1);
    let mut source = open(&folder.0, "file = \"*.png\"").unwrap();
    png(&folder, "b.png", (5, 3), 1);
    assert!(read(&mut source, 0).unwrap().is_some());
    let error = read(&mut source, 1).unwrap_err().to_string();
    assert!(error.contains("b.png is 5x3") && error.contains("a.png is 4x3"), "{error}");
    std::fs::remove_file(folder.0.join("b.png")).unwrap();
    let error = read(&mut source, 1).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("b.png"), "{error}");
}

#[test]
fn pictures_come_through_a_pipe() {
    let folder = Folder::new("pipe");
    let mut all = Vec::new();
    for value in [10u8, 20, 30] {
        png(&folder, "one.png", (6, 4), value);
        all.extend(std::fs::read(folder.0.join("one.png")).unwrap());
    }
    let fifo = folder.0.join("fifo.png");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    let through = |bytes: Vec<u8>| {
        let to = fifo.clone();
        let writer = std::thread::spawn(move || {
            // A reader that has seen enough goes away.
            let _ = std::fs::write(to, bytes);
        });
        let mut source = open(&folder.0, "file = \"fifo.png\"");
        let read: Vec<_> = match &mut source {
            Ok(source) => (0..4).map(|frame| read(source, frame)).collect(),
            Err(error) => vec![Err(error.clone())],
        };
        drop(source);
        writer.join().unwrap();
        read
    };
    let grey = |read: &Result<Option<Vec<Vec<u8>>>>| read.as_ref().unwrap().as_ref().map(|planes| planes[0][0]);
    assert_eq!(through(all.clone()).iter().map(grey).collect::<Vec<_>>(), [Some(10), Some(20), Some(30), None]);
    // Cut inside the third.
    let cut = through(all[..all.len() - 5].to_vec());
    assert_eq!(cut[..2].iter().map(grey).collect::<Vec<_>>(), [Some(10), Some(20)]);
    let error = cut[2].as_ref().unwrap_err().to_string();
    assert!(error.contains("fifo.png") && error.contains("too early"), "{error}");
    // JPEG files have no length: they are followed marker by marker, through thumbnails and restarts.
    let mut jpegs = Vec::new();
    for value in [60u8, 90] {
        image::GrayImage::from_fn(64, 48, |x, _| image::Luma([value + (x % 3) as u8]))
            .write_to(&mut std::io::Cursor::new(&mut jpegs), image::ImageFormat::Jpeg)
            .map(|()| jpegs.len())
            .unwrap();
        let whole = std::mem::take(&mut jpegs);
        folder.file(&format!("{value}.jpg"), &whole);
    }
    let both = [60, 90].map(|value| std::fs::read(folder.0.join(format!("{value}.jpg"))).unwrap()).concat();
    let values: Vec<_> = through(both).iter().map(grey).collect();
    assert!(values[0].unwrap().abs_diff(60) < 4 && values[1].unwrap().abs_diff(90) < 4, "{values:?}");
    assert_eq!(values[2], None);
    let error = through(Vec::new()).remove(0).unwrap_err().to_string();
    assert!(error.contains("no picture"), "{error}");
}

/// Two frames of planar samples, as FFmpeg writes them into `to`.
fn ffmpeg(raw: &Path, pixels: &str, size: Size, to: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "rawvideo", "-pix_fmt", pixels, "-s", &size.to_string(), "-i"]).arg(raw);
    let output = command.args(["-strict", "-1"]).args(to).arg("-").stdin(Stdio::null()).output().ok()?;
    assert!(output.status.success(), "{pixels}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// Samples of so many bits that differ from place to place, the lowest and the highest among them.
fn samples(count: usize, bits: u32) -> Vec<u8> {
    let codes = (0..count as u32).map(|at| (at + 1).wrapping_mul(2_654_435_761).rotate_left(7) >> (32 - bits));
    let codes = [0, (1 << bits) - 1].into_iter().chain(codes).take(count);
    if bits > 8 {
        codes.flat_map(|code| (code as u16).to_le_bytes()).collect()
    } else {
        codes.map(|code| code as u8).collect()
    }
}

#[test]
fn deep_y4m_has_ffmpegs_samples() {
    use Component::{Alpha, Cb, Cr, Y};
    let folder = Folder::new("deep");
    // Of odd size too, where chroma is rounded up, and packed formats end with half a pair. FFmpeg's writer cuts the last
    // byte of such rows off: those files are put together here.
    let kinds = [
        ("yuv420p10le", Fourcc::P010, 10, (2, 2)),
        ("yuv420p12le", Fourcc::P012, 12, (2, 2)),
        ("yuv420p9le", Fourcc::P016, 9, (2, 2)),
        ("yuv420p14le", Fourcc::P016, 14, (2, 2)),
        ("yuv420p16le", Fourcc::P016, 16, (2, 2)),
        ("yuv422p10le", Fourcc::P210, 10, (2, 1)),
        ("yuv422p12le", Fourcc::Y212, 12, (2, 1)),
        ("yuv422p16le", Fourcc::Y216, 16, (2, 1)),
        ("yuv444p10le", Fourcc::Q410, 10, (1, 1)),
        ("yuv444p12le", Fourcc::Y412, 12, (1, 1)),
        ("yuv444p16le", Fourcc::Y416, 16, (1, 1)),
        ("gray10le", Fourcc::P010, 10, (0, 0)),
        ("gray12le", Fourcc::P012, 12, (0, 0)),
        ("gray16le", Fourcc::P016, 16, (0, 0)),
        ("yuv411p", Fourcc::YUV411, 8, (4, 1)),
        ("yuv420p", Fourcc::YUV420, 8, (2, 2)),
        ("yuv422p", Fourcc::YUV422, 8, (2, 1)),
        ("yuv444p", Fourcc::YUV444, 8, (1, 1)),
        ("gray", Fourcc::YUV420, 8, (0, 0)),
    ];
    let sizes = [Size::new(38, 22), Size::new(39, 23)];
    for (size, (pixels, fourcc, bits, (across, down))) in
        sizes.into_iter().flat_map(|size| kinds.map(|kind| (size, kind)))
    {
        let bytes = if bits > 8 { 2 } else { 1 };
        let (width, height) = (size.width as usize, size.height as usize);
        let (chroma_width, chroma_height) =
            if across == 0 { (0, 0) } else { (width.div_ceil(across), height.div_ceil(down)) };
        let frame_bytes = (width * height + 2 * chroma_width * chroma_height) * bytes;
        let raw = samples(2 * frame_bytes / bytes, bits);
        let even = folder.file("a.raw", samples(2 * 38 * 22 * 3 * bytes, bits));
        let Some(even) = ffmpeg(&even, pixels, sizes[0], &["-f", "yuv4mpegpipe"]) else {
            return println!("SKIP ffmpeg is not there: scripts/setup test installs it");
        };
        let clip = match size.width.is_multiple_of(2) {
            true => ffmpeg(&folder.file("a.raw", &raw), pixels, size, &["-f", "yuv4mpegpipe"]).unwrap(),
            false => {
                let header = String::from_utf8_lossy(&even[..even.iter().position(|byte| *byte == b'\n').unwrap()]);
                let header = header.replace("W38 H22", &format!("W{} H{}", size.width, size.height)) + "\nFRAME\n";
                let (first, second) = raw.split_at(frame_bytes);
                [header.as_bytes(), first, b"FRAME\n", second].concat()
            }
        };
        folder.file("a.y4m", &clip);
        let mut source = open(&folder.0, "file = \"a.y4m\"").unwrap_or_else(|error| panic!("{pixels}: {error}"));
        assert_eq!((source.info().fourcc, source.info().size), (fourcc, size), "{pixels}");
        for frame in 0..2u64 {
            let planes = read(&mut source, frame).unwrap().unwrap();
            let file = &raw[frame as usize * frame_bytes..][..frame_bytes];
            // The sample of FFmpeg's planes at a place of the picture, as 16 bits with the code at the top.
            let sample = |component: Component, x: usize, y: usize| -> u32 {
                let (plane, row) = match component {
                    Y => (0, width),
                    Cb => (width * height, chroma_width),
                    Cr => (width * height + chroma_width * chroma_height, chroma_width),
                    _ => return 0xffff,
                };
                if component != Y && across == 0 {
                    return 0x8000;
                }
                let at = (plane + y * row + x) * bytes;
                let code =
                    if bytes == 2 { u32::from(file[at]) | u32::from(file[at + 1]) << 8 } else { u32::from(file[at]) };
                code << (16 - bits)
            };
            let packing = fourcc.packing().unwrap();
            for (index, block) in packing.planes.iter().enumerate() {
                let format = &fourcc.format().unwrap().planes[index];
                let row_bytes = format.row_bytes(size.width) as usize;
                for (y, row) in planes[index].chunks_exact(row_bytes).enumerate() {
                    for (number, bytes) in row.chunks_exact(block.len() * packing.sample_bytes).enumerate() {
                        let mut lumas = 0;
                        for (component, bytes) in block.iter().zip(bytes.chunks_exact(packing.sample_bytes)) {
                            let x = match (component, packing.luma_columns(index)) {
                                // The second of a pair; one more than the width has is the last again.
                                (Y, 2) => (number * 2 + std::mem::replace(&mut lumas, 1)).min(width - 1),
                                _ => number,
                            };
                            let wanted = sample(*component, x, y);
                            let is = bytes.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
                            let is = is << (16 - 8 * packing.sample_bytes);
                            let alpha = *component == Alpha;
                            let wanted = if alpha { 0xffff << (16 - u32::from(packing.bits)) & 0xffff } else { wanted };
                            assert_eq!(is, wanted, "{pixels} frame {frame} plane {index} {component:?} {x},{y}");
                        }
                    }
                }
            }
        }
        assert!(read(&mut source, 2).unwrap().is_none(), "{pixels}");
    }
    // FFmpeg's own P010 has the same bytes.
    let (size, pixels) = (Size::new(64, 32), "yuv420p10le");
    let raw = folder.file("a.raw", samples(2 * 64 * 32 * 3 / 2, 10));
    folder.file("even.y4m", ffmpeg(&raw, pixels, size, &["-f", "yuv4mpegpipe"]).unwrap());
    let planes = read(&mut open(&folder.0, "file = \"even.y4m\"").unwrap(), 1).unwrap().unwrap().concat();
    let whole = ffmpeg(&raw, pixels, size, &["-pix_fmt", "p010le", "-f", "rawvideo"]).unwrap();
    assert_eq!(planes, whole[whole.len() / 2..]);
}

#[test]
fn y4m_tags_say_where_chroma_sits_and_what_the_fields_are() {
    use darkframe::color::{Range, Siting};
    let folder = Folder::new("tags");
    let open_with = |tags: &str, body: usize| {
        let mut bytes = format!("YUV4MPEG2 W4 H4 F25:1 {tags}\nFRAME Ixyz\n").into_bytes();
        bytes.resize(bytes.len() + body, 100);
        folder.file("a.y4m", bytes);
        open(&folder.0, "file = \"a.y4m\"")
    };
    for (tags, siting) in [
        ("C420jpeg", Siting::Center),
        ("C420", Siting::Center),
        ("", Siting::Center),
        ("C420mpeg2", Siting::Left),
        ("C420paldv", Siting::TopLeft),
        ("XYSCSS=420MPEG2", Siting::Left),
        ("C420mpeg2 XYSCSS=420JPEG", Siting::Left),
    ] {
        assert_eq!(open_with(tags, 24).unwrap().info().color.siting, siting, "{tags}");
    }
    assert_eq!(open_with("XYSCSS=420P10", 48).unwrap().info().fourcc, Fourcc::P010);
    assert_eq!(open_with("Cmono12 XCOLORRANGE=FULL", 32).unwrap().info().color.range, Range::Full);
    for (tag, words) in [("It", "top field first"), ("Ib", "bottom field first"), ("Im", "FRAME lines")] {
        let mut source = open_with(&format!("C420mpeg2 {tag}"), 24).unwrap();
        assert!(
            source.notes().iter().any(|note| note.contains(words) && note.contains("woven")),
            "{:?}",
            source.notes()
        );
        assert!(read(&mut source, 0).unwrap().is_some());
    }
    assert!(open_with("Iz", 24).err().unwrap().to_string().contains("expected p, t, b, m"));
    let mut alpha = open_with("C444alpha", 64).unwrap();
    assert_eq!(read(&mut alpha, 0).unwrap().unwrap()[0], [100; 64]);
}

#[test]
fn patterns_are_their_formulas() {
    let size = Size::new(96, 64);
    let (width, height) = (96.0, 64.0);
    let pixels = |keys: &str, frame: u64| {
        let mut source = open(Path::new("/"), &format!("size = \"{size}\"\n{keys}")).unwrap();
        read(&mut source, frame).unwrap().unwrap().remove(0)
    };
    let each = |keys: &str, frame: u64, wanted: &dyn Fn(u32, u32) -> [f64; 3]| {
        for (at, pixel) in pixels(keys, frame).chunks_exact(4).enumerate() {
            let (x, y) = (at as u32 % size.width, at as u32 / size.width);
            for (is, wanted) in pixel.iter().zip(wanted(x, y)) {
                assert!((f64::from(*is) - wanted).abs() <= 1.0, "{keys} frame {frame} at {x},{y}: {pixel:?}");
            }
        }
    };
    for frame in [0u64, 1, 7, 300] {
        let ramp = |at: u32, length: f64| f64::from(at) / (length - 1.0) * 255.0;
        each("pattern = \"gradient\"", frame, &|x, y| [ramp(x, width), ramp(y, height), (frame % 256) as f64]);
        each("pattern = \"checker\"", frame, &|x, y| {
            let moved = (f64::from(x) - (frame % 32) as f64).rem_euclid(32.0);
            [if (moved < 16.0) == (y / 16 % 2 == 0) { 255.0 } else { 0.0 }; 3]
        });
        each("pattern = \"zone-plate\"", frame, &|x, y| {
            // Half a cycle a pixel at the upper edge: d phase / d r = pi there.
            let (dx, dy) = (f64::from(x) + 0.5 - width / 2.0, f64::from(y) + 0.5 - height / 2.0);
            let phase = std::f64::consts::PI * (dx * dx + dy * dy) / height;
            let turn = std::f64::consts::TAU * frame as f64 / 32.0;
            [127.5 + 127.5 * (phase + turn).cos(); 3]
        });
        // SMPTE EG 1: 75 % bars, from the left white, yellow, cyan, green, magenta, red, blue; here black too.
        each("pattern = \"bars\"\nframes = 400", frame, &|x, _| {
            let bar = 7 - x * 8 / 96;
            [bar & 2, bar & 4, bar & 1].map(|on| if on == 0 { 0.0 } else { 0.75 * 255.0 })
        });
    }
    // Noise: every value as often as any other, no two frames or seeds alike, the same ones alike.
    let noise = |seed: u64, frame| pixels(&format!("pattern = \"noise\"\nseed = {seed}"), frame);
    assert_eq!(noise(5, 3), noise(5, 3));
    let same = |one: &[u8], other: &[u8]| {
        let colours = one.chunks_exact(4).zip(other.chunks_exact(4));
        colours.filter(|(one, other)| one[..3] == other[..3]).count()
    };
    assert!(same(&noise(5, 3), &noise(5, 4)) < 3 && same(&noise(5, 3), &noise(6, 3)) < 3);
    let mut counts = [0f64; 256];
    noise(5, 3).chunks_exact(4).flat_map(|pixel| pixel[..3].to_vec()).for_each(|byte| counts[usize::from(byte)] += 1.0);
    let expected = 96.0 * 64.0 * 3.0 / 256.0;
    let chi: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
    // 255 degrees of freedom: 255 +- 22.6; five of them away either way would be a miracle.
    assert!((142.0..368.0).contains(&chi), "{chi}");
    // The counter: digits of 3 x 5 fields, white on dark blue; how many white fields each number has.
    let white = |frame| pixels("pattern = \"counter\"", frame).chunks_exact(4).filter(|pixel| pixel[0] == 255).count();
    let field = |digits: usize| (96 / (digits * 4 + 1)).min(64 / 7).pow(2);
    assert_eq!(white(0), 12 * field(1), "0 has twelve fields");
    assert_eq!(white(1), 8 * field(1), "1 has eight");
    assert_eq!(white(88), 26 * field(2), "8 has thirteen");
    assert_ne!(pixels("pattern = \"counter\"", 12), pixels("pattern = \"counter\"", 21));
}

#[test]
fn what_images_cannot_do_is_said() {
    let folder = Folder::new("refused");
    png(&folder, "a.png", (4, 3), 1);
    png(&folder, "b.png", (4, 3), 1);
    folder.file("a.y4m", b"YUV4MPEG2 W2 H2\nFRAME\n123456");
    for (keys, words) in [
        ("file = \"a.png\"\nfit = \"cover\"", "source.a.fit: pictures are scaled where `size` is given"),
        ("file = \"a.png\"\nbackground = \"#000000\"", "source.a.background"),
        ("file = \"a.png\"\npace = \"realtime\"", "held for the whole run"),
        ("file = \"a.y4m\"\nfit = \"cover\"", "source.a.fit: this key is for image files"),
        ("file = \"a.y4m\"\norientation = \"stored\"", "source.a.orientation"),
        ("file = \"a.y4m\"\nsize = \"4x4\"", "source.a.size"),
        ("pattern = \"bars\"\nprofile = \"ignore\"", "source.a.profile: this key is for image files"),
        ("file = \"*.y4m\"", "several files is for images"),
        ("file = \"?.png\"\nkind = \"raw\"\nformat = \"R8\"\nsize = \"4x4\"", "several files is for images"),
        ("file = \"*.jpg\"", "no file matches"),
        ("file = \"gone/*.png\"", "there is no folder"),
        ("file = \"[.png\"", "pattern"),
        ("file = \"a-%s.png\"", "after % comes d"),
        ("file = \"*.png\"\nrange = \"5..6\"", "the file has 2 frames"),
    ] {
        let error = open(&folder.0, keys).err().unwrap_or_else(|| panic!("{keys}")).to_string();
        assert!(error.contains(words), "{keys}: {error}");
    }
}

#[test]
fn a_paced_source_takes_its_time_and_says_what_was_late() {
    let folder = Folder::new("paced");
    let pipeline = "[source.a]\npattern = \"counter\"\nsize = \"16x16\"\nframes = 11\nrate = 50\npace = \"realtime\"\n\
                    [sink.s]\ninput = \"a\"\nkind = \"null\"\n";
    folder.file("p.toml", pipeline);
    let run = |more: &[&str]| {
        let output = darkframe(&folder.0).args(["run", "p.toml", "--report", "r.json"]).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("libEGL") && said.contains("not found") {
            println!("SKIP: {said}");
            return None;
        }
        assert!(output.status.success(), "{said}");
        let report = std::fs::read_to_string(folder.0.join("r.json")).unwrap();
        Some(serde_json::from_str::<serde_json::Value>(&report).unwrap())
    };
    let Some(report) = run(&[]) else { return };
    // The eleventh picture is due ten pictures after the first; the clock cannot run ahead, whatever the machine does.
    let seconds = ["start_seconds", "seconds"].map(|key| report[key].as_f64().unwrap());
    assert!(seconds.iter().sum::<f64>() >= 0.2, "{seconds:?}");
    assert_eq!(report["frames"], 11);
    // At a rate that nobody keeps, every picture is there, and late.
    folder.file("p.toml", pipeline.replace("rate = 50", "rate = 1000000").replace("16x16", "640x640"));
    let report = run(&[]).unwrap();
    assert_eq!((&report["frames"], &report["sources"][0]["pictures"]), (&11.into(), &11.into()));
    assert!(report["sources"][0]["late"].as_u64().unwrap() >= 8, "{}", report["sources"][0]);
}
