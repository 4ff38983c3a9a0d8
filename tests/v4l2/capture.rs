//! Pictures of vivid: colours, order, whose memory, which formats.

use darkframe::error::ErrorKind;
use darkframe::format::Fourcc;
use darkframe::pipeline::description::FrameRange;
use darkframe::v4l2::capture::{self, Negotiated, Wanted};

use super::*;

/// vivid's eight bars of full colours, from left to right: white, yellow, cyan, green, magenta, red, blue, black.
/// `drivers/media/common/v4l2-tpg/v4l2-tpg-core.c`, `TPG_PAT_100_COLORBAR`.
const BARS: [[u8; 3]; 8] =
    [[255, 255, 255], [255, 255, 0], [0, 255, 255], [0, 255, 0], [255, 0, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]];

const SIZE: (usize, usize) = (320, 180);

pub(crate) fn options(frames: u64) -> Options {
    Options { frames: Some(FrameRange { start: 0, end: Some(frames) }), ..Options::default() }
}

fn text(bus: &str, keys: &str) -> String {
    format!(
        "[source.camera]\nkind = \"v4l2\"\ndevice = \"{bus}\"\nsize = \"320x180\"\nrate = 5\n\
         controls = {{ test_pattern = \"100% Colorbar\", osd_text_mode = \"None\", horizontal_movement = \"No Movement\" }}\n{keys}\n\
         [sink.out]\ninput = \"camera\"\nfile = \"@OUT/out.rgba\"\n"
    )
}

/// Fails unless every picture shows the bars.
fn check_bars(name: &str, pixels: &[u8], pictures: usize) {
    assert_eq!(pixels.len(), pictures * SIZE.0 * SIZE.1 * 4, "{name}");
    for (number, picture) in pixels.chunks(SIZE.0 * SIZE.1 * 4).enumerate() {
        for row in [0, SIZE.1 / 2, SIZE.1 - 1] {
            for (bar, expected) in BARS.iter().enumerate() {
                let column = SIZE.0 * (2 * bar + 1) / 16;
                let got = &picture[(row * SIZE.0 + column) * 4..][..3];
                let near = got.iter().zip(expected).all(|(got, expected)| got.abs_diff(*expected) <= 3);
                assert!(near, "{name}, picture {number}, row {row}, bar {bar}: {got:?} for {expected:?}");
            }
        }
    }
}

/// Whether the GPU of this machine samples memory that a device exports: Mesa before 26 on DRM nodes does not.
fn exports_are_sampled() -> bool {
    std::env::var("DARKFRAME_VM").is_ok_and(|guest| guest != "trixie")
}

/// Both ways of memory, on the single- and the multi-planar device: the documented colours, every picture in its order.
#[test]
fn bars_both_ways() {
    let _alone = alone();
    if device("vivid", Role::Capture).is_none() {
        return;
    }
    let folder = folder("ways");
    for bus in ["platform:vivid-000", "platform:vivid-001"] {
        if common::or_skip("vivid-001", VideoDevice::find(Some(bus), Role::Capture)).is_none() {
            continue;
        }
        let cases = [("export", "NV12"), ("import", "NV12"), ("import", "ABGR8888")];
        for (io, format) in cases.into_iter().take(if bus.ends_with("000") { 3 } else { 2 }) {
            let name = format!("{bus} {io} {format}");
            let require = if io == "import" || exports_are_sampled() { require() } else { None };
            let text = text(bus, &format!("io = \"{io}\"\nformat = \"{format}\"\nbuffers = 20"));
            let report = run_with_whole_pictures(&folder, &text, || Options { require, ..options(12) })
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let source = &report.sources[0];
            assert_eq!((report.frames, source.pictures, source.lost), (12, 12, 0), "{name}: {}", short(source));
            assert_eq!(source.intervals.count, 11, "{name}");
            assert!((150.0..250.0).contains(&source.intervals.mean_ms), "{name}: {}", short(source));
            assert!(source.ended.is_none());
            assert!(!source.notes.iter().any(|note| note.contains("guessed")), "{name}: {:?}", source.notes);
            check_bars(&name, &std::fs::read(folder.join("out.rgba")).unwrap(), 12);
            println!("{name}: {} by {}, {}", source.path, source.allocator, source.binding);
            if require.is_some() {
                assert!(source.imports <= 24 && source.path == "zero-copy", "{name}: {}", short(source));
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Those that a short run looks at: each way of packing, each order, each subsampling.
const SOME: [Fourcc; 13] = [
    Fourcc::NV21,
    Fourcc::NV16,
    Fourcc::NV24,
    Fourcc::YUV420,
    Fourcc::YVU420,
    Fourcc::YUV422,
    Fourcc::UYVY,
    Fourcc::VUY888,
    Fourcc::AYUV,
    Fourcc::RGB565,
    Fourcc::BGR888,
    Fourcc::XRGB8888,
    Fourcc::BGRA8888,
];

/// Formats that the device and the format table have in common: all of them where `DARKFRAME_LONG` is set.
#[test]
fn every_format() {
    let _alone = alone();
    let folder = folder("formats");
    let mut shown = Vec::new();
    for bus in ["platform:vivid-000", "platform:vivid-001"] {
        let Some(device) = common::or_skip("vivid", VideoDevice::find(Some(bus), Role::Capture)) else { continue };
        for fourcc in device.fourccs(Role::Capture) {
            // Grey has no colours; on the multi-planar device what has several planes is enough.
            let planes = fourcc.format().unwrap().planes.len();
            if matches!(fourcc, Fourcc::R8 | Fourcc::R16) || (bus.ends_with("001") && planes == 1) {
                continue;
            }
            if !SOME.contains(&fourcc) && std::env::var_os("DARKFRAME_LONG").is_none() {
                continue;
            }
            let name = format!("{bus} {fourcc}");
            let text = text(bus, &format!("io = \"import\"\nformat = \"{fourcc}\""));
            match run_text(&folder, &text, options(2)) {
                Ok(report) => {
                    check_bars(&name, &std::fs::read(folder.join("out.rgba")).unwrap(), 2);
                    shown.push(format!("{fourcc} {}", report.sources[0].path));
                }
                Err(error) if error.kind() == ErrorKind::Unsupported => println!("{name}: {error}"),
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
    println!("{}", shown.join(", "));
    if device("vivid", Role::Capture).is_some() {
        assert!(shown.len() >= 12, "{shown:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The driver's tags are what the colours are converted with: the same bars whatever the tags.
#[test]
fn tags_of_the_driver() {
    let _alone = alone();
    let Some(device) = device("platform:vivid-000", Role::Capture) else { return };
    let folder = folder("tags");
    for (colorspace, encoding, quantization) in [
        ("Rec. 709", "Rec. 709", "Full Range"),
        ("SMPTE 170M", "ITU-R 601", "Limited Range"),
        ("Rec. 709", "Rec. 709", "Limited Range"),
    ] {
        let keys = format!(
            "format = \"NV16\"\n[source.camera.controls]\ntest_pattern = \"100% Colorbar\"\nosd_text_mode = \"None\"\nhorizontal_movement = \"No Movement\"\n\
             colorspace = \"{colorspace}\"\ny_cbcr_encoding = \"{encoding}\"\nquantization = \"{quantization}\""
        );
        let text = text("platform:vivid-000", &keys)
            .replace("controls = { test_pattern = \"100% Colorbar\", osd_text_mode = \"None\", horizontal_movement = \"No Movement\" }\n", "");
        let report = run_text(&folder, &text, options(2)).unwrap();
        assert_eq!(report.frames, 2);
        if colorspace == "Rec. 709" {
            check_bars(
                &format!("{colorspace} {encoding} {quantization}"),
                &std::fs::read(folder.join("out.rgba")).unwrap(),
                2,
            );
        }
    }
    for control in ["colorspace", "y_cbcr_encoding", "quantization"] {
        let default = if control == "colorspace" {
            darkframe::v4l2::Value::Text("sRGB".into())
        } else {
            darkframe::v4l2::Value::Number(0)
        };
        device.set_control(control, &default, true).unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A hundred and twenty pictures without a gap, and no fd more at the end.
#[test]
fn no_gap_and_no_leak() {
    let _alone = alone();
    if device("vivid", Role::Capture).is_none() {
        return;
    }
    let folder = folder("gap");
    let text = text("platform:vivid-000", "io = \"import\"\nformat = \"YUYV\"\nbuffers = 32")
        .replace("rate = 5", "rate = 2")
        .replace("file = \"@OUT/out.rgba\"", "kind = \"null\"");
    run_text(&folder, &text, options(3)).unwrap();
    let fds = common::open_fds();
    let report = run_with_whole_pictures(&folder, &text, || options(120)).unwrap();
    println!("{}, {:.1} frames/s", short(&report.sources[0]), report.frames_per_second);
    assert_eq!((report.frames, report.sources[0].lost), (120, 0), "{}", short(&report.sources[0]));
    assert_eq!(common::open_fds(), fds);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What is wrong is said with its place and what there is instead.
#[test]
fn wrong_keys() {
    let _alone = alone();
    let folder = folder("keys");
    let wrong = |keys: &str, words: &[&str]| {
        let text =
            format!("[source.camera]\nkind = \"v4l2\"\n{keys}\n[sink.out]\ninput = \"camera\"\nkind = \"null\"\n");
        let error = run_text(&folder, &text, options(1)).unwrap_err();
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)) && said.contains("pipeline.toml:"), "{keys}: {said}");
    };
    wrong("buffers = 1", &["source.camera.buffers", "2 to 32"]);
    wrong("timeout = 0.0", &["source.camera.timeout", "more than 0"]);
    wrong("file = \"x.y4m\"", &["source.camera.file", "not for devices"]);
    wrong("loop = true", &["source.camera.loop", "come once"]);
    wrong("device = \"/dev/null\"", &["source.camera.device", "no V4L2 device"]);
    wrong("device = \"/dev/video99\"", &["source.camera.device", "/dev/video99"]);
    let other = "[source.c]\npattern = \"bars\"\nio = \"export\"\n[sink.out]\ninput = \"c\"\nkind = \"null\"\n";
    let said = run_text(&folder, other, options(1)).unwrap_err().to_string();
    assert!(said.contains("source.c.io") && said.contains("kind = \"v4l2\""), "{said}");
    if device("vivid", Role::Capture).is_some() {
        wrong("device = \"vivd\"", &["source.camera.device", "did you mean \"vivid\"?"]);
        wrong("device = \"vivid\"\nformat = \"NV15\"", &["source.camera.format", "has no NV15", "did you mean NV1"]);
        wrong("device = \"vivid\"\nsize = \"321x181\"", &["source.camera.size", "has no 321x181", "640x360"]);
        wrong("device = \"vivid\"\nsize = \"320x180\"\nrate = 7", &["source.camera.rate", "has no 7/1"]);
        wrong(
            "device = \"vivid\"\ninput = \"Microscope\"",
            &["source.camera.input", "has no input", "there is Webcam"],
        );
        wrong("device = \"vivid\"\ncontrols = { brightnes = 3 }", &["controls.brightnes", "did you mean brightness?"]);
        wrong("device = \"vivid\"\ncontrols = { brightness = 300 }", &["controls.brightness", "0 to 255"]);
        wrong(
            "device = \"vivid\"\ncontrols = { test_pattern = \"100% Colorbr\" }",
            &["did you mean \"100% Colorbar\"?"],
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What is only looked at is not streamed, and needs no device.
#[test]
fn looking_needs_no_device() {
    use darkframe::pipeline::faults::Faults;
    use darkframe::pipeline::plan::Plan;
    let folder = folder("look");
    let text = "[source.camera]\nkind = \"v4l2\"\ndevice = \"/dev/video98\"\nsize = \"64x48\"\n[sink.out]\ninput = \"camera\"\nkind = \"null\"\n";
    let plan = Plan::look(&parse(&folder, text).unwrap(), None, Faults::default()).unwrap();
    assert_eq!(plan.infos[0].size.to_string(), "64x48");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The library alone: what a device's pictures are, and that asking changes nothing.
#[test]
fn negotiation_is_repeatable() {
    let _alone = alone();
    let Some(device) = common::or_skip("v4l2", capture::find(Some("platform:vivid-000"))) else { return };
    let wanted = |size| Wanted { size: Some(size), fourcc: Some(Fourcc::YUV420), rate: None };
    let small = darkframe::layout::Size::new(320, 180);
    let set = Negotiated::new(&device, &wanted(small), true).unwrap();
    let asked = Negotiated::new(&device, &wanted(darkframe::layout::Size::new(640, 360)), false).unwrap();
    let again = Negotiated::new(&device, &Wanted::default(), false).unwrap();
    assert_eq!((set.size, again.size, again.fourcc), (small, small, Fourcc::YUV420));
    assert_eq!(asked.size.to_string(), "640x360");
    assert_eq!(set.stride_bytes % 64, 0);
}
