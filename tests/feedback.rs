//! Feedback on zero-copy targets: the frame before is read from memory that sinks map, byte for byte as arithmetic has it.
//!
//! Skips where no driver imports dma-bufs; not in the virtual machines.

use darkframe::error::ErrorKind;
use darkframe::pipeline::description::Require;
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::{Description, Report};

mod common;

const FRAMES: usize = 40;
const SIZE: (usize, usize) = (64, 48);

/// What is drawn from pictures of a noise file and the own last picture.
const MIX: &str = "vec4 pixel(vec2 uv) { return floor((camera() + last()) * 127.5 + 0.1) / 255.0; }\n";
/// Counts the frames in each pixel.
const COUNT: &str = "vec4 pixel(vec2 uv) { return last() + 1.0 / 255.0; }\n";

fn noise(seed: u32, count: usize) -> Vec<u8> {
    (0..count as u32).map(|at| ((at ^ seed).wrapping_mul(2_654_435_761) >> 15) as u8).collect()
}

/// Runs where everything can be zero-copy; `None` where it cannot.
fn run(name: &str, text: &str, clip: &[Vec<u8>], files: &[&str]) -> Option<(Report, Vec<Vec<u8>>)> {
    let folder = std::env::temp_dir().join(format!("darkframe-feedback-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mix.frag"), MIX).unwrap();
    std::fs::write(folder.join("count.frag"), COUNT).unwrap();
    std::fs::write(folder.join("camera.raw"), clip.concat()).unwrap();
    let text = text.replace("OUT", &folder.display().to_string());
    let description = Description::parse(folder.join("p.toml"), text).unwrap();
    let report = runner::run(&description, Options { require: Some(Require::ZeroCopy), ..Options::default() });
    let report = match report {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound) => {
            common::skip("zero-copy", error);
            std::fs::remove_dir_all(&folder).unwrap();
            return None;
        }
        report => report.unwrap(),
    };
    let bytes = files.iter().map(|file| std::fs::read(folder.join(file)).unwrap()).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    for edge in report.sources.iter().chain(&report.sinks) {
        assert_eq!(edge.path, "zero-copy", "{}: {}", edge.name, edge.binding);
    }
    Some((report, bytes))
}

#[test]
fn the_frame_before_is_read_from_memory_that_a_sink_maps() {
    let (width, height) = SIZE;
    let clip: Vec<Vec<u8>> = (0..FRAMES as u32).map(|frame| noise(frame * 31, width * height * 4)).collect();
    // The sink of `mix` keeps buffers for long: the target must not draw into one that the next frame reads.
    let text = format!(
        "frames = {FRAMES}
[source.camera]
file = \"camera.raw\"
format = \"ABGR8888\"
size = \"{width}x{height}\"

[pass.mix]
shader = \"mix.frag\"
inputs = {{ camera = \"camera\", last = \"@previous\" }}

[pass.count]
shader = \"count.frag\"
size = \"16x16\"
inputs = {{ last = \"@previous\" }}

[sink.mix]
input = \"mix\"
file = \"OUT/mix.rgba\"

[sink.now-and-then]
input = \"mix\"
kind = \"null\"
every = 7

[sink.count]
input = \"count\"
file = \"OUT/count.rgba\"
"
    );
    let Some((report, bytes)) = run("mix", &text, &clip, &["mix.rgba", "count.rgba"]) else { return };
    assert_eq!((report.frames, bytes[0].len()), (FRAMES as u64, FRAMES * width * height * 4));
    let mut last = vec![0u8; width * height * 4];
    for (frame, got) in bytes[0].chunks(width * height * 4).enumerate() {
        for (at, byte) in last.iter_mut().enumerate() {
            *byte = ((u32::from(clip[frame][at]) + u32::from(*byte)) / 2) as u8;
        }
        assert!(got == last, "frame {frame}");
    }
    for (frame, got) in bytes[1].chunks(16 * 16 * 4).enumerate() {
        assert!(got.iter().all(|byte| usize::from(*byte) == frame + 1), "frame {frame}: {:?}", &got[..4]);
    }
    // One more than targets that nobody looks back at: the frame before.
    let buffers: Vec<usize> = report.sinks.iter().map(|sink| sink.buffers).collect();
    assert!(buffers.iter().all(|count| *count == buffers[0]) && buffers[0] >= 4, "{buffers:?}");
}
