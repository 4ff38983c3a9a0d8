//! vicodec, encoder and decoder: right pictures, in their order; the kernel's own tool on our stream; what is wrong with keys.

use std::process::Command;

use darkframe::board::Board;
use darkframe::device::Device;
use darkframe::error::Error;
use darkframe::format::Fourcc;
use darkframe::layout::Size;
use darkframe::v4l2::Decoder;
use darkframe::v4l2::capture::{Event, Io};
use darkframe::v4l2::encoder::codec;

use super::capture::options;
use super::*;

/// As good as FWHT gets.
const BEST: &str = "controls = { fwht_i_frame_qp_value = 1, fwht_p_frame_qp_value = 1 }";

/// Writes the number of the frame into the first row of blocks of 16 pixels, lowest bit first.
const NUMBERED: &str = "
vec4 pixel(vec2 uv) {
    vec2 at = floor(uv * resolution);
    vec4 colour = camera(uv);
    if (at.y < 16.0) {
        float bit = floor(at.x / 16.0);
        float value = mod(floor(float(frame) / exp2(bit)), 2.0);
        colour = vec4(vec3(value), 1.0);
    }
    return colour;
}
";

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let colours = a.iter().zip(b).enumerate().filter(|(index, _)| index % 4 != 3);
    let sum: f64 = colours.map(|(_, (a, b))| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let mean = sum / (a.len() as f64 * 0.75);
    if mean == 0.0 { 99.0 } else { 10.0 * (255.0 * 255.0 / mean).log10() }
}

/// The camera through a pass into the encoder, and back: every number in its place, every picture the one that it was.
/// 40 of them; as many as `DARKFRAME_LONG` says where it is set.
#[test]
fn camera_to_stream_and_back() {
    let _alone = alone();
    if device("vicodec", Role::Encoder).is_none() || device("platform:vivid-000", Role::Capture).is_none() {
        return;
    }
    let count: u64 = std::env::var("DARKFRAME_LONG").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
    let rate = std::env::var("DARKFRAME_RATE").unwrap_or_else(|_| "2".into());
    let folder = folder("chain");
    std::fs::write(folder.join("numbered.frag"), NUMBERED).unwrap();
    let encode = format!(
        "[source.camera]\nkind = \"v4l2\"\ndevice = \"platform:vivid-000\"\nsize = \"640x360\"\nrate = {rate}\n\
         format = \"YUYV\"\nio = \"import\"\nbuffers = 24\n\
         controls = {{ test_pattern = \"75% Colorbar\", osd_text_mode = \"All\", horizontal_movement = \"Move Right\" }}\n\
         [pass.numbered]\nshader = \"numbered.frag\"\ninputs = [\"camera\"]\n\
         [pass.coded]\nshader = \"coded.frag\"\ninputs = [\"numbered\"]\nformat = \"NV12\"\ncolor = {{ matrix = \"bt601\" }}\n\
         [pass.small]\nshader = \"coded.frag\"\ninputs = [\"numbered\"]\nsize = \"40x20\"\n\
         [sink.stream]\ninput = \"coded\"\nkind = \"v4l2-encoder\"\nfile = \"@OUT/out.fwht\"\ngop = 10\n{BEST}\n\
         [sink.print]\ninput = \"small\"\nfile = \"@OUT/before.rgba\"\n"
    );
    std::fs::write(folder.join("coded.frag"), "vec4 pixel(vec2 uv) { return numbered(uv); }\n").unwrap();
    let report = run_text(&folder, &encode, Options { require: require(), ..options(count) }).unwrap();
    let source = &report.sources[0];
    println!("{}, {:.1} frames/s", short(source), report.frames_per_second);
    assert_eq!((report.frames, source.pictures, source.starved), (count, count, 0), "{}", short(source));
    let decode = "[source.stream]\nkind = \"v4l2-decoder\"\nfile = \"@OUT/out.fwht\"\nio = \"import\"\ncolor = { matrix = \"bt601\", range = \"limited\" }\n\
         [pass.top]\nshader = \"top.frag\"\ninputs = [\"stream\"]\nsize = \"40x1\"\n\
         [pass.small]\nshader = \"small.frag\"\ninputs = [\"stream\"]\nsize = \"40x20\"\n\
         [sink.numbers]\ninput = \"top\"\nfile = \"@OUT/numbers.rgba\"\n\
         [sink.print]\ninput = \"small\"\nfile = \"@OUT/after.rgba\"\n";
    std::fs::write(folder.join("top.frag"), "vec4 pixel(vec2 uv) { return stream(vec2(uv.x, 8.0 / 360.0)); }\n")
        .unwrap();
    std::fs::write(folder.join("small.frag"), "vec4 pixel(vec2 uv) { return stream(uv); }\n").unwrap();
    let decoded = run_text(&folder, decode, Options { require: require(), ..Options::default() }).unwrap();
    assert_eq!((decoded.frames, decoded.sources[0].ended.as_ref()), (count, None));
    let numbers = std::fs::read(folder.join("numbers.rgba")).unwrap();
    for (index, row) in numbers.chunks(40 * 4).enumerate() {
        let number = (0..20).fold(0, |sum, bit| sum | usize::from(row[bit * 4] > 127) << bit);
        assert_eq!(number, index, "the picture in place {index} has another number");
    }
    // The picture that came back is the one that was there, and none that was there before or after is nearer to it.
    let (before, after) =
        (std::fs::read(folder.join("before.rgba")).unwrap(), std::fs::read(folder.join("after.rgba")).unwrap());
    let one = 40 * 20 * 4;
    assert_eq!((before.len(), after.len()), (one * count as usize, one * count as usize));
    let below = |pictures: &[u8], index: usize| pictures[index * one + 40 * 4 * 3..(index + 1) * one].to_vec();
    let mut least = f64::MAX;
    for index in 1..count as usize - 1 {
        let own = psnr(&below(&before, index), &below(&after, index));
        least = least.min(own);
        for other in [index - 1, index + 1] {
            let theirs = psnr(&below(&before, other), &below(&after, index));
            assert!(own >= theirs, "picture {index}: {own:.1} dB to its own, {theirs:.1} dB to {other}");
        }
    }
    assert!(least > 30.0, "{least:.1} dB");
    println!("at least {least:.1} dB");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The kernel's own tool decodes our stream into the same bytes as we do.
#[test]
fn v4l2_ctl_decodes_the_same() {
    let _alone = alone();
    if device("vicodec", Role::Encoder).is_none() {
        return;
    }
    let folder = folder("ctl");
    let encode = format!(
        "[source.test]\npattern = \"zone-plate\"\nsize = \"640x368\"\n\
         [pass.wanted]\nshader = \"same.frag\"\ninputs = [\"test\"]\nformat = \"NV12\"\n\
         [sink.stream]\ninput = \"wanted\"\nkind = \"v4l2-encoder\"\nfile = \"@OUT/out.fwht\"\n{BEST}\n"
    );
    std::fs::write(folder.join("same.frag"), "vec4 pixel(vec2 uv) { return test(uv); }\n").unwrap();
    run_text(&folder, &encode, options(8)).unwrap();
    let device = Decoder::find(Some("vicodec"), codec("fwht").unwrap()).unwrap();
    let path = device.path().display().to_string();
    let output = Command::new("v4l2-ctl")
        .args(["-d", &path, "--set-fmt-video-out", "width=640,height=368,pixelformat=FWHT"])
        .args(["--set-fmt-video", "pixelformat=NV12", "--stream-mmap", "--stream-out-mmap"])
        .arg(format!("--stream-from={}", folder.join("out.fwht").display()))
        .arg(format!("--stream-to={}", folder.join("theirs.nv12").display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = std::fs::read(folder.join("theirs.nv12")).unwrap();
    let bytes = std::fs::read(folder.join("out.fwht")).unwrap();
    let ours = decode(&device, bytes).unwrap();
    assert_eq!((ours.len(), theirs.len()), (8 * 640 * 368 * 3 / 2, 8 * 640 * 368 * 3 / 2));
    assert!(ours == theirs, "other bytes than v4l2-ctl's");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The planes of all pictures of a stream of NV12.
fn decode(device: &VideoDevice, bytes: Vec<u8>) -> darkframe::error::Result<Vec<u8>> {
    let read = Box::new(move |at: u64, into: &mut [u8]| {
        let left = &bytes[(at as usize).min(bytes.len())..];
        let length = left.len().min(into.len());
        into[..length].copy_from_slice(&left[..length]);
        Ok(length)
    });
    let mut decoder = Decoder::open(device, codec("fwht")?, (read, "memory"), Some(Fourcc::NV12))?;
    assert_eq!(decoder.negotiated().size, Size::new(640, 368));
    decoder.start(Io::Export, &Device::open(&Board::generic())?, &[])?;
    let mut all = Vec::new();
    loop {
        match decoder.next(std::time::Duration::from_secs(10))? {
            Event::Frame(captured) => {
                let map = captured.frame.buffer.map(darkframe::buffer::Access::Read)?;
                for plane in 0..2 {
                    (0..captured.frame.buffer.layout().rows(plane))
                        .for_each(|row| all.extend_from_slice(map.row(plane, row)));
                }
            }
            Event::Last => return Ok(all),
            other => return Err(Error::failed("decode", format!("{other:?}"))),
        }
    }
}

/// What is wrong with a sink's keys, with its place.
#[test]
fn wrong_keys_of_encoders() {
    let _alone = alone();
    let folder = folder("encoder-keys");
    let wrong = |keys: &str, words: &[&str]| {
        let text =
            format!("[source.test]\npattern = \"bars\"\nsize = \"64x48\"\n[sink.out]\ninput = \"test\"\n{keys}\n");
        let said = run_text(&folder, &text, options(1)).unwrap_err().to_string();
        assert!(words.iter().all(|word| said.contains(word)) && said.contains("pipeline.toml:"), "{keys}: {said}");
    };
    wrong("kind = \"v4l2-encoder\"", &["sink.out.file", "writes a file"]);
    wrong("kind = \"v4l2-encoder\"\nfile = \"@OUT/a\"\ncodec = \"h265\"", &["sink.out.codec", "did you mean \"h26"]);
    wrong("file = \"@OUT/a.y4m\"\nbitrate = 1000", &["sink.out.bitrate", "for encoders"]);
    wrong("file = \"@OUT/a.y4m\"\ndevice = \"x\"", &["sink.out.device", "for devices"]);
    wrong("kind = \"v4l2\"\nfile = \"@OUT/a\"", &["sink.out.file", "writes no file"]);
    if device("vicodec", Role::Encoder).is_some() {
        let encoder = "kind = \"v4l2-encoder\"\nfile = \"@OUT/a.fwht\"\n";
        wrong(&format!("{encoder}device = \"vicodek\""), &["sink.out.device", "did you mean \"vicodec\"?"]);
        wrong(&format!("{encoder}gop = 99"), &["sink.out.gop", "1 to"]);
        wrong(&format!("{encoder}bitrate = 1000000"), &["sink.out.bitrate", "has no control"]);
        wrong(
            &format!("{encoder}controls = {{ fwht_i_frame_qp = 3 }}"),
            &["controls.fwht_i_frame_qp", "did you mean fwht_i_frame_qp_value?"],
        );
        wrong(&format!("{encoder}codec = \"h264\""), &["sink.out.device", "there is"]);
        assert!(!folder.join("a.fwht").exists());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
