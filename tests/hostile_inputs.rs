//! Files that were made to harm, or were harmed: an error with the file's name, never a panic, never more memory than the
//! limits. Each kind of file is written whole, then damaged at random.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::Access;
use darkframe::device::Device;
use darkframe::pipeline::Description;
use darkframe::pipeline::source::Opened;
use image::{DynamicImage, ImageEncoder, ImageFormat};
use proptest::prelude::*;

fn folder() -> PathBuf {
    let path = std::env::temp_dir().join(format!("darkframe-hostile-inputs-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn picture() -> DynamicImage {
    image::RgbaImage::from_fn(19, 13, |x, y| image::Rgba([x as u8 * 13, y as u8 * 19, (x * y) as u8, 255 - x as u8]))
        .into()
}

/// A whole file of each kind, by its extension.
fn whole() -> Vec<(&'static str, Vec<u8>)> {
    let encoded = |format: ImageFormat| {
        let mut bytes = Cursor::new(Vec::new());
        let shown = if format == ImageFormat::Jpeg { picture().into_rgb8().into() } else { picture() };
        shown.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let mut files = vec![
        ("png", encoded(ImageFormat::Png)),
        ("jpg", encoded(ImageFormat::Jpeg)),
        ("webp", encoded(ImageFormat::WebP)),
        ("gif", encoded(ImageFormat::Gif)),
        ("bmp", encoded(ImageFormat::Bmp)),
        ("tiff", encoded(ImageFormat::Tiff)),
        ("pam", encoded(ImageFormat::Pnm)),
        (
            "y4m",
            [b"YUV4MPEG2 W6 H4 F25:1 Ip C420mpeg2\n".as_slice(), &[b"FRAME\n".as_slice(), &[9; 36]].concat().repeat(3)]
                .concat(),
        ),
        (
            "y4m",
            [
                b"YUV4MPEG2 W6 H4 C422p10 XCOLORRANGE=FULL\n".as_slice(),
                &[b"FRAME\n".as_slice(), &[1; 96]].concat().repeat(3),
            ]
            .concat(),
        ),
    ];
    // With the metadata that are read: a profile and an orientation.
    let pixels = picture().into_rgb8();
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(moxcms::ColorProfile::new_display_p3().encode().unwrap()).unwrap();
    encoder.write_image(&pixels, 19, 13, image::ExtendedColorType::Rgb8).unwrap();
    files.push(("png", bytes));
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(&pixels, 19, 13, image::ExtendedColorType::Rgb8).unwrap();
    files.push(("jpg", bytes));
    // Animations.
    let frames =
        || (0..3).map(|turn| image::Frame::new(image::imageops::huerotate(&picture().into_rgba8(), turn * 90)));
    let mut bytes = Vec::new();
    image::codecs::gif::GifEncoder::new(&mut bytes).encode_frames(frames()).unwrap();
    files.push(("gif", bytes));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 19, 13);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_animated(3, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    frames().for_each(|frame| writer.write_image_data(frame.buffer()).unwrap());
    writer.finish().unwrap();
    files.push(("png", bytes));
    files
}

/// Opens and reads all there is, a few times over the end; what was wrong, in words.
fn read(path: &Path, keys: &str) -> Result<u64, String> {
    let text = format!("[source.a]\nfile = \"{}\"\n{keys}\n", path.display());
    let description = Description::parse("/p.toml", text).unwrap();
    let opened = Opened::open(&description, "a", &description.sources["a"]);
    let mut source = opened.map_err(|error| error.to_string())?;
    let (size, fourcc) = (source.info().size, source.info().fourcc);
    if size.pixels() > 1 << 22 {
        // A driver would refuse it: nothing is gained by a gigabyte here.
        return Ok(0);
    }
    let device = Device::open(&Board::generic()).unwrap();
    let usage = Usage::CPU_READ | Usage::CPU_WRITE;
    let buffer = device.allocate(&Request::new(size, fourcc).usage(usage).only(AllocatorKind::Memfd)).unwrap();
    let layout = buffer.layout().clone();
    let mut pictures = 0;
    for frame in [0, 1, 2, 0, 5] {
        let mut map = buffer.map(Access::Write).unwrap();
        match source.read(frame, &layout, &mut map) {
            Ok(true) => pictures += 1,
            Ok(false) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(pictures)
}

/// The most memory that this process has had. Unit: bytes.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

#[test]
fn whole_files_are_read() {
    for (at, (extension, bytes)) in whole().into_iter().enumerate() {
        let path = folder().join(format!("whole-{at}.{extension}"));
        std::fs::write(&path, bytes).unwrap();
        let pictures = read(&path, "").unwrap_or_else(|error| panic!("{extension} {at}: {error}"));
        assert!(pictures >= 4, "{extension} {at}: {pictures}");
    }
}

#[test]
fn files_that_end_early_name_themselves() {
    for (at, (extension, bytes)) in whole().into_iter().enumerate() {
        let path = folder().join(format!("cut-{at}.{extension}"));
        for part in 0..40 {
            let length = bytes.len() * part / 40;
            std::fs::write(&path, &bytes[..length]).unwrap();
            // What is cut behind the last pixel may be whole all the same.
            if let Err(error) = read(&path, "") {
                assert!(error.contains(&format!("cut-{at}.{extension}")), "{length}: {error}");
            } else {
                assert!(part > 8, "{extension} {at}: {length} of {} bytes are no picture", bytes.len());
            }
        }
    }
}

#[test]
fn sizes_that_only_a_head_claims_take_no_memory() {
    let before = most_memory();
    // Little-endian width and height of BMP, GIF's of 16 bits, a WebP canvas of 24, TIFF's tags.
    let mut bmp = whole()[4].1.clone();
    bmp[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    let mut gif = whole()[3].1.clone();
    gif[6..10].fill(0xff);
    let webp = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xffALPH\0\0\0\0".to_vec();
    let tiff = b"II*\0\x08\0\0\0\x03\0\0\x01\x04\0\x01\0\0\0\xff\xff\xff\x7f\x01\x01\x04\0\x01\0\0\0\xff\xff\xff\x7f\
                 \x11\x01\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0"
        .to_vec();
    let pnm = b"P6 4000000000 4000000000 255\n".to_vec();
    let large = b"P6 60000 60000 255\nxxx".to_vec();
    let y4m = b"YUV4MPEG2 W65536 H65536 C444p16\nFRAME\n".to_vec();
    for (name, bytes) in [
        ("bomb.bmp", bmp),
        ("bomb.gif", gif),
        ("bomb.webp", webp),
        ("bomb.tiff", tiff),
        ("bomb.ppm", pnm),
        ("large.ppm", large),
        ("bomb.y4m", y4m),
    ] {
        let path = folder().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, "").expect_err(name);
        assert!(error.contains(name), "{error}");
    }
    for (name, bytes) in [
        ("zero.ppm", b"P6 0 0 255\n".to_vec()),
        ("zero.bmp", {
            let mut bmp = whole()[4].1.clone();
            bmp[18..26].fill(0);
            bmp
        }),
        ("zero.gif", b"GIF89a\0\0\0\0\0\0\0;".to_vec()),
        ("zero.y4m", b"YUV4MPEG2 W0 H0\nFRAME\n".to_vec()),
    ] {
        let path = folder().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, "").expect_err(name);
        assert!(error.contains(name), "{error}");
    }
    assert!(most_memory() - before < 1 << 30, "{} bytes", most_memory());
}

#[test]
fn links_in_circles_are_said_and_files_behind_them_come_once() {
    let folder = folder().join("links");
    std::fs::create_dir_all(folder.join("below")).unwrap();
    let _ = std::os::unix::fs::symlink("loop.png", folder.join("loop.png"));
    let error = read(&folder.join("loop.png"), "").unwrap_err();
    assert!(error.contains("loop.png") && error.contains("ELOOP"), "{error}");
    // Two folders that lead back: 2^40 ways to each file.
    for name in ["up", "again"] {
        let _ = std::os::unix::fs::symlink("..", folder.join("below").join(name));
    }
    picture().save(folder.join("below/one.png")).unwrap();
    assert_eq!(read(&folder.join("below/**/one.png"), ""), Ok(2), "frames 0 and 0 again");
}

fn damages() -> impl Strategy<Value = (usize, Vec<(prop::sample::Index, u8)>, Option<prop::sample::Index>)> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9);
    (0..whole().len(), edits, prop::option::weighted(0.2, any::<prop::sample::Index>()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes: pictures, or an error that names the file.
    #[test]
    fn damaged_files_are_pictures_or_errors((kind, edits, cut) in damages(), scaled in any::<bool>()) {
        thread_local! {
            static WHOLE: Vec<(&'static str, Vec<u8>)> = whole();
        }
        let (extension, mut bytes) = WHOLE.with(|files| files[kind].clone());
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let path = folder().join(format!("damaged.{extension}"));
        std::fs::write(&path, bytes).unwrap();
        let keys = if scaled && extension != "y4m" { "size = \"8x8\"" } else { "" };
        if let Err(error) = read(&path, keys) {
            prop_assert!(error.contains("damaged."), "{}", error);
        }
        prop_assert!(most_memory() < 3 << 30, "{} bytes", most_memory());
    }
}
