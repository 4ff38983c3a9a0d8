//! Real streams of real encoders into MP4 and Matroska, by the way that the encoder sink goes; ffprobe and ffmpeg read them.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use darkframe::color::Color;
use darkframe::error::ErrorKind;
use darkframe::layout::Size;
use darkframe::pipeline::Description;
use darkframe::pipeline::sink::mux::{Container, Stream, Track};
use darkframe::v4l2::encoder::Piece;

const SIZE: Size = Size { width: 322, height: 182 };
const FRAMES: usize = 70;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("df-mux-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The standard output of ffmpeg or ffprobe, in the folder; their failure is the test's.
fn tool(folder: &Path, name: &str, line: &str) -> String {
    let output = Command::new(name).args(["-v", "error"]).args(line.split(' ')).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{name} {line}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether ffmpeg is here with the encoder.
fn has(encoder: &str) -> bool {
    let found = Command::new("ffmpeg").args(["-hide_banner", "-encoders"]).output();
    let found = match &found {
        Ok(output) => String::from_utf8_lossy(&output.stdout).contains(encoder),
        Err(_) => false,
    };
    if !found {
        common::skip("ffmpeg", format!("no {encoder}"));
    }
    found
}

/// A packet of a file: its time in microseconds, its bytes, whether it is a key.
#[derive(Clone, Debug, PartialEq)]
struct Packet {
    pts: i64,
    bytes: usize,
    is_key: bool,
}

fn packets(folder: &Path, file: &str) -> Vec<Packet> {
    let line = format!("-select_streams v -show_entries packet=pts_time,size,flags -of csv=p=0 {file}");
    let read = |line: &str| {
        let mut fields = line.trim_end_matches(',').split(',');
        let seconds = fields.next().unwrap();
        let pts = seconds.parse::<f64>().map_or(-1, |seconds| (seconds * 1e6).round() as i64);
        Packet { pts, bytes: fields.next().unwrap().parse().unwrap(), is_key: fields.next().unwrap().starts_with('K') }
    };
    tool(folder, "ffprobe", &line).lines().filter(|line| !line.is_empty()).map(read).collect()
}

/// The checksum of every decoded picture, in the order in which they are shown.
fn pictures(folder: &Path, file: &str) -> Vec<String> {
    let sums = tool(folder, "ffmpeg", &format!("-i {file} -map 0:v -fps_mode passthrough -f framemd5 -"));
    let sum = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
    sums.lines().filter(|line| !line.starts_with('#')).map(sum).collect()
}

/// What the container says of the codec, as one hexadecimal number.
fn extradata(folder: &Path, file: &str) -> String {
    let text = tool(folder, "ffprobe", &format!("-select_streams v -show_entries stream=extradata -show_data {file}"));
    let lines = text.lines().filter(|line| line.contains(": "));
    lines.map(|line| line.split_once(": ").unwrap().1[..40].replace(' ', "")).collect()
}

/// What ffmpeg made: the stream cut into the pictures' pieces, and when each is shown.
fn cut(folder: &Path, stream: &str, times: &[Packet]) -> Vec<(Vec<u8>, u64, bool)> {
    let bytes = std::fs::read(folder.join(stream)).unwrap();
    let sizes = packets(folder, stream);
    assert_eq!(sizes.iter().map(|packet| packet.bytes).sum::<usize>(), bytes.len(), "{stream}");
    assert_eq!(sizes.len(), times.len());
    let mut at = 0;
    let piece = |(size, time): (&Packet, &Packet)| {
        let piece = bytes[at..at + size.bytes].to_vec();
        at += size.bytes;
        (piece, time.pts as u64 * 1000, time.is_key)
    };
    sizes.iter().zip(times).map(piece).collect()
}

fn write(path: &Path, codec: &str, pieces: &[(Vec<u8>, u64, bool)]) -> darkframe::error::Result<u64> {
    let rate = "30".parse().unwrap();
    let track = Track { codec: codec.into(), size: SIZE, color: Color::HD, rate };
    let mut stream = Stream::create(path, track)?;
    for (bytes, timestamp_ns, is_key) in pieces {
        stream.piece(Piece { bytes, timestamp_ns: *timestamp_ns, is_key: *is_key })?;
    }
    stream.commit()
}

/// Pictures at uneven times, as a camera's are, beginning at `first` microseconds.
fn source(first: u32) -> String {
    let times = format!("settb=1/1000000,setpts=N*33367+mod(N*N*7919\\,9000)+{first}");
    format!(
        "-f lavfi -i testsrc2=size=322x182:rate=30 -frames:v {FRAMES} -vf {times} -fps_mode passthrough -enc_time_base 1:1000000"
    )
}

/// H.264 and H.265, with and without pictures that are decoded early, into every container: every time, every picture, and
/// the codec's record as ffmpeg writes it.
#[test]
fn coded_by_others() {
    let codecs = [
        ("h264", "libx264", "h264_mp4toannexb", "-pix_fmt yuv420p -g 20 -bf 0 -profile:v baseline", 0),
        ("h264", "libx264", "h264_mp4toannexb", "-pix_fmt yuv420p -g 25 -bf 3 -profile:v high", 0),
        ("h264", "libx264", "h264_mp4toannexb", "-pix_fmt yuv422p10le -g 25 -bf 2", 40_000),
        ("hevc", "libx265", "hevc_mp4toannexb", "-pix_fmt yuv420p -g 20 -bf 3 -x265-params log-level=none:info=0", 0),
        (
            "hevc",
            "libx265",
            "hevc_mp4toannexb",
            "-pix_fmt yuv422p10le -g 20 -bf 0 -x265-params log-level=none:info=0",
            0,
        ),
    ];
    for (index, (codec, encoder, filter, keys, first)) in codecs.into_iter().enumerate() {
        if !has(encoder) {
            return;
        }
        let name = format!("{codec} {keys}");
        let folder = folder(&format!("{codec}-{index}"));
        let source = source(first);
        tool(
            &folder,
            "ffmpeg",
            &format!("{source} -c:v {encoder} {keys} -video_track_timescale 1000000 reference.mp4"),
        );
        tool(&folder, "ffmpeg", &format!("-i reference.mp4 -c copy -bsf:v {filter} -f {codec} stream.{codec}"));
        let reference = packets(&folder, "reference.mp4");
        assert_eq!(reference.len(), FRAMES);
        assert!(reference.iter().all(|packet| packet.pts >= reference[0].pts));
        let early = reference.windows(2).any(|pair| pair[1].pts < pair[0].pts);
        assert_eq!(early, !keys.contains("-bf 0"), "{name}");
        let mut pieces = cut(&folder, &format!("stream.{codec}"), &reference);
        // Some encoders give their headers first, and do not say which pictures are keys.
        let second = pieces[0].0.windows(3).rposition(|window| window == [0, 0, 1]).unwrap();
        let rest = pieces[0].0.split_off(second);
        pieces.insert(1, (rest, pieces[0].1, false));
        for extension in ["mp4", "mkv"] {
            let file = format!("ours.{extension}");
            let bytes = write(&folder.join(&file), codec, &pieces).unwrap();
            assert_eq!(bytes, std::fs::metadata(folder.join(&file)).unwrap().len());
            let ours = packets(&folder, &file);
            assert_eq!(ours.len(), FRAMES, "{name} {extension}");
            // Matroska's times are hundredths of a millisecond.
            let most = if extension == "mp4" { 1 } else { 6 };
            for (ours, theirs) in ours.iter().zip(&reference) {
                assert!((ours.pts - theirs.pts).abs() < most, "{name} {extension}: {ours:?}, {theirs:?}");
                assert_eq!(ours.is_key, theirs.is_key, "{name} {extension}: {ours:?}, {theirs:?}");
            }
            assert!(pictures(&folder, &file) == pictures(&folder, "reference.mp4"), "{name} {extension}");
            let (ours, theirs) = (extradata(&folder, &file), extradata(&folder, "reference.mp4"));
            assert!(ours.len() > 60, "{ours}");
            match codec {
                "h264" => assert_eq!(ours, theirs, "{name} {extension}"),
                // 22 bytes about the stream, how many arrays of parameter sets, then those.
                _ => assert_eq!(ours[..44], theirs[..44], "{name} {extension}: {ours} {theirs}"),
            }
            let said = tool(
                &folder,
                "ffprobe",
                &format!(
                    "-select_streams v -show_entries stream=width,height,color_space,color_range,color_primaries,nb_frames:format=duration -of csv {file}"
                ),
            );
            assert!(said.contains("322,182,tv") && (extension == "mkv" || said.contains(",70\n")), "{said}");
            // A decoder of H.265 forgets what the container says where the stream says nothing.
            assert!(codec == "hevc" || said.contains("tv,bt709,bt709"), "{said}");
            // It can be sought: the picture at a key in the middle is the one that is there.
            let key = reference.iter().rfind(|packet| packet.is_key).unwrap().pts as f64 / 1e6 + 0.000_1;
            let sought = |file: &str| {
                let line = format!("-ss {key} -i {file} -frames:v 1 -fps_mode passthrough -f framemd5 -");
                tool(&folder, "ffmpeg", &line).lines().last().unwrap().rsplit(',').next().unwrap().to_owned()
            };
            assert_eq!(sought(&file), sought("reference.mp4"), "{name} {extension}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// What needs no headers.
#[test]
fn coded_by_others_without_headers() {
    let codecs = [
        ("vp8", "libvpx", "-g 20", &["mkv", "webm"][..]),
        ("vp9", "libvpx-vp9", "-g 20 -deadline realtime -cpu-used 8", &["mkv", "webm"]),
        ("mjpeg", "mjpeg", "-pix_fmt yuvj420p -q:v 3", &["mkv"]),
    ];
    for (codec, encoder, keys, extensions) in codecs {
        if !has(encoder) {
            return;
        }
        let folder = folder(codec);
        let source = source(0);
        tool(&folder, "ffmpeg", &format!("{source} -pix_fmt yuv420p -c:v {encoder} {keys} -f nut reference.nut"));
        let reference = packets(&folder, "reference.nut");
        assert_eq!(reference.len(), FRAMES);
        // The packets' bytes, one behind the other.
        tool(&folder, "ffmpeg", "-i reference.nut -c copy -f data -map 0:v stream.data");
        let bytes = std::fs::read(folder.join("stream.data")).unwrap();
        let mut at = 0;
        let pieces: Vec<_> = reference
            .iter()
            .map(|packet| {
                let piece = bytes[at..at + packet.bytes].to_vec();
                at += packet.bytes;
                (piece, packet.pts as u64 * 1000, packet.is_key)
            })
            .collect();
        assert_eq!(at, bytes.len());
        for extension in extensions {
            let file = format!("ours.{extension}");
            write(&folder.join(&file), codec, &pieces).unwrap();
            let ours = packets(&folder, &file);
            assert_eq!(ours.len(), FRAMES, "{codec} {extension}");
            for (ours, theirs) in ours.iter().zip(&reference) {
                assert!((ours.pts - theirs.pts).abs() < 6, "{codec} {extension}: {ours:?}, {theirs:?}");
                assert_eq!(ours.is_key, theirs.is_key, "{codec} {extension}");
            }
            assert!(pictures(&folder, &file) == pictures(&folder, "reference.nut"), "{codec} {extension}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// A Matroska file goes through a pipe; an MP4 file does not, and says so before anything is written.
#[test]
fn through_a_pipe() {
    if !has("libx264") {
        return;
    }
    let folder = folder("pipe");
    let source = source(0);
    tool(&folder, "ffmpeg", &format!("{source} -pix_fmt yuv420p -c:v libx264 -bf 0 -f h264 stream.h264"));
    let times: Vec<Packet> = packets(&folder, "stream.h264")
        .into_iter()
        .enumerate()
        .map(|(index, packet)| Packet { pts: index as i64 * 40_000, ..packet })
        .collect();
    let pieces = cut(&folder, "stream.h264", &times);
    for name in ["pipe.mkv", "pipe.mp4"] {
        assert!(Command::new("mkfifo").arg(folder.join(name)).status().unwrap().success());
        let reader = std::fs::File::options().read(true).write(true).open(folder.join(name)).unwrap();
        let mut from = std::fs::File::open(folder.join(name)).unwrap();
        let mut to = std::fs::File::create(folder.join("copy.mkv")).unwrap();
        let copy = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let result = write(&folder.join(name), "h264", &pieces);
        drop(reader);
        copy.join().unwrap().unwrap();
        match name {
            "pipe.mkv" => {
                result.unwrap();
                let ours: Vec<i64> = packets(&folder, "copy.mkv").iter().map(|packet| packet.pts).collect();
                assert_eq!(ours, times.iter().map(|packet| packet.pts).collect::<Vec<_>>());
            }
            _ => {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.to_string().contains(".mkv"), "{error}");
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Nothing is left of a file that was not finished, and streams that are not what they say are errors.
#[test]
fn wrong_streams() {
    let folder = folder("wrong");
    for extension in ["mp4", "mkv"] {
        let path = folder.join(format!("out.{extension}"));
        let piece = |bytes: &[u8]| vec![(bytes.to_vec(), 0, true)];
        for (bytes, words) in [
            (&b"no start code"[..], "no start code"),
            (&[0, 0, 1, 0x65, 1, 2, 3], "without parameter sets"),
            (&[0, 0, 1, 0x67, 100, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 1], "sequence parameters"),
            (&[0, 0, 1, 0x67, 100, 0, 30, 255, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 1], "sequence parameters"),
        ] {
            let error = write(&path, "h264", &piece(bytes)).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(!path.exists());
        }
        // No picture: a file that says so, or nothing.
        write(&path, "h264", &[]).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_file(&path).unwrap();
    }
    let error = write(&folder.join("out.webm"), "h264", &[]).unwrap_err();
    assert!(error.to_string().contains("no h264") && error.to_string().contains(".mkv"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A codec that the container does not carry is said with its place, without a device.
#[test]
fn wrong_containers() {
    let look = |file: &str, codec: &str| {
        let text = format!(
            "[source.test]\npattern = \"bars\"\nsize = \"64x48\"\n[sink.out]\ninput = \"test\"\nkind = \"v4l2-encoder\"\n\
             codec = \"{codec}\"\nfile = \"{file}\"\n"
        );
        let description = Description::parse("pipeline.toml", text)?;
        let sink = &description.sinks["out"];
        darkframe::pipeline::sink::Plan::new(&description, "out", sink).map(drop)
    };
    for (file, codec, words) in [
        ("a.mp4", "fwht", &["sink.out.codec", "pipeline.toml:7:", "an MP4 file carries no fwht", ".fwht"][..]),
        ("a.mp4", "vp8", &["sink.out.codec", "a Matroska file (.mkv) carries it"]),
        ("a.mkv", "fwht", &["sink.out.codec", "it carries h264, hevc, vp8, vp9, mjpeg"]),
        ("a.webm", "h264", &["sink.out.codec", "a Matroska file (.mkv) carries it"]),
    ] {
        let error = look(file, codec).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    for (file, codec) in [("a.mp4", "h264"), ("a.mp4", "hevc"), ("a.mkv", "vp9"), ("a.fwht", "fwht"), ("-", "h264")] {
        look(file, codec).unwrap();
    }
    assert_eq!(Container::of(Path::new("a.m4v")), Some(Container::Mp4));
}
