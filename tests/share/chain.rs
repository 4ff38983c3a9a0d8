//! Three processes in a row, as examples/chain.toml has them: a camera of GStreamer's, our run, an encoder of GStreamer's
//! that writes a file. Each frame has its number in large blocks, which survive the encoder.

use std::path::Path;

use super::gstreamer::{camera, has_unixfd, launch};
use super::pipeline::{darkframe, folder, ok};
use super::*;

const FRAMES: u64 = 60;
const SIZE: Size = Size::new(128, 96);
const BLOCK: u32 = 16;

/// A moving ramp, and the frame's number in eight blocks of its first rows, the lowest bit first.
fn picture(number: u64) -> impl Iterator<Item = [u8; 4]> {
    (0..SIZE.height).flat_map(move |y| {
        (0..SIZE.width).map(move |x| match y < BLOCK {
            true if number >> (x / BLOCK) & 1 == 1 => [230, 230, 230, 255],
            true => [25, 25, 25, 255],
            false => [(40 + x) as u8, (60 + y) as u8, (50 + (x + y + number as u32 * 2) / 3) as u8, 255],
        })
    })
}

/// The number that a picture's blocks say; `None` where a block is neither dark nor light.
fn number(rgba: &[u8]) -> Option<u64> {
    let luma = |block: u32| rgba[((BLOCK / 2 * SIZE.width + block * BLOCK + BLOCK / 2) * 4 + 1) as usize];
    (0..SIZE.width / BLOCK).try_fold(0, |number, block| match luma(block) {
        0..=70 => Some(number),
        150..=255 => Some(number | 1 << block),
        _ => None,
    })
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(1e-9)).log10()
}

#[test]
fn camera_shader_encoder_file() {
    let _alone = alone();
    if !has_unixfd() {
        return;
    }
    let folder = folder("chain");
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    // What the camera films, as RGBA for us and as BGRA for the element that makes RGBA of it.
    let film: Vec<[u8; 4]> = (0..FRAMES).flat_map(picture).collect();
    std::fs::write(folder.join("film.rgba"), film.as_flattened()).unwrap();
    let swapped: Vec<[u8; 4]> = film.iter().map(|[r, g, b, a]| [*b, *g, *r, *a]).collect();
    std::fs::write(folder.join("film.bgra"), swapped.as_flattened()).unwrap();
    // The same shader on the same film in one process.
    let direct = format!(
        "[source.camera]\nfile = \"film.rgba\"\nkind = \"raw\"\nformat = \"ABGR8888\"\nsize = \"{SIZE}\"\n\
         [pass.grade]\nshader = \"{}\"\ninputs = {{ source = \"camera\" }}\nuniforms = {{ exposure = 1.08, contrast = 0.35 }}\n\
         [sink.out]\ninput = \"grade\"\nfile = \"direct.rgba\"\n",
        project.join("shaders/grade.frag").display()
    );
    ok(darkframe(&folder, &direct).output().unwrap());
    let expected = std::fs::read(folder.join("direct.rgba")).unwrap();
    assert_eq!(expected.len(), film.len() * 4);

    let (from, to) = (folder.join("camera"), folder.join("graded"));
    let example = std::fs::read_to_string(project.join("examples/chain.toml")).unwrap();
    let mut text = example.clone() + "wait-for = 1\n";
    for (was, is) in [
        ("@darkframe-camera", from.display().to_string()),
        ("@darkframe-graded", to.display().to_string()),
        ("../shaders", project.join("shaders").display().to_string()),
        ("drop-newest", "block".into()),
    ] {
        assert!(example.contains(was), "{was}");
        text = text.replace(was, &is);
    }
    let middle = darkframe(&folder, &text).spawn().unwrap();
    let filming = launch(&format!(
        "{} ! unixfdsink socket-path={} wait-for-connection=true sync=false",
        camera(&folder.join("film.bgra"), "bgra", "RGBA", SIZE),
        from.display()
    ));
    // A driver and a GStreamer start in the meantime, on a processor that may be emulated.
    let since = Instant::now();
    while !to.exists() {
        assert!(since.elapsed() < 6 * LONG, "the run does not serve");
        std::thread::sleep(Duration::from_millis(50));
    }
    let encoding = launch(&format!(
        "unixfdsrc socket-path={} ! videoconvert ! openh264enc multi-thread=1 bitrate=8000000 ! h264parse ! matroskamux ! filesink location={}",
        to.display(),
        folder.join("out.mkv").display()
    ));
    for (what, child) in [("camera", filming), ("encoder", encoding)] {
        println!("{what}: {}", succeeds(child).lines().last().unwrap_or_default());
    }
    println!("{}", ok(middle.wait_with_output().unwrap()));
    succeeds(launch(&format!(
        "filesrc location={} ! matroskademux ! h264parse ! openh264dec ! videoconvert ! video/x-raw,format=RGBA ! filesink location={}",
        folder.join("out.mkv").display(),
        folder.join("out.rgba").display()
    )));
    let decoded = std::fs::read(folder.join("out.rgba")).unwrap();
    let bytes = SIZE.pixels() as usize * 4;
    assert_eq!(decoded.len(), FRAMES as usize * bytes, "frames are missing");
    let mut worst = f64::INFINITY;
    for (index, (got, wanted)) in decoded.chunks(bytes).zip(expected.chunks(bytes)).enumerate() {
        assert_eq!(number(wanted), Some(index as u64), "the shader keeps the blocks apart");
        assert_eq!(number(got), Some(index as u64), "frame {index} of the file");
        worst = worst.min(psnr(got, wanted));
    }
    println!("{FRAMES} frames through the chain, at least {worst:.1} dB from the same shader without it");
    // What the encoder costs; another frame, or one without the shader, is below 25.
    assert!(worst > 32.0, "{worst:.1} dB");
    std::fs::remove_dir_all(&folder).unwrap();
}
