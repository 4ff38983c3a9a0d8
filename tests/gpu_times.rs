//! How long the GPU takes for each pass, by the driver's own clock: counts, and times beside the clock of the run.
//!
//! Skips only where no driver gives OpenGL ES, or it offers no timer.

use darkframe::error::ErrorKind;
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::{Description, Report};

mod common;

/// So many steps of arithmetic a pixel.
const SHADER: &str = "uniform float steps;
vec4 pixel(vec2 uv) {
    float x = uv.x;
    for (int i = 0; i < 400; i++) {
        if (float(i) >= steps) break;
        x = fract(sin(x * 12.9898 + uv.y) * 43.5453);
    }
    return vec4(x, uv, 1.0);
}
";

const PIPELINE: &str = "frames = \"0..12\"
optimize = false

[pass.much]
shader = \"steps.frag\"
size = \"192x192\"
uniforms = { steps = 400 }

[pass.little]
shader = \"steps.frag\"
size = \"192x192\"
uniforms = { steps = 4 }

[sink.much]
input = \"much\"
kind = \"null\"

[sink.little]
input = \"little\"
kind = \"null\"
";

/// `None` where nothing can be drawn here.
fn run(name: &str, options: Options) -> Option<Report> {
    let folder = std::env::temp_dir().join(format!("darkframe-gpu-times-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("steps.frag"), SHADER).unwrap();
    let description = Description::parse(folder.join("p.toml"), PIPELINE).unwrap();
    let report = runner::run(&description, options);
    std::fs::remove_dir_all(&folder).unwrap();
    match report {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            common::skip("egl", error);
            None
        }
        report => Some(report.unwrap()),
    }
}

#[test]
fn every_pass_of_every_frame_is_timed_and_the_times_add_up() {
    for max_version in [None, Some((2, 0))] {
        let Some(report) = run("all", Options { max_version, ..Options::default() }) else { return };
        let times = &report.gpu_times;
        println!("{}, by {}", report.driver.version, times.way);
        if !times.measured {
            assert!(times.way.starts_with("not offered by this driver"), "{}", times.way);
            assert!(report.passes.iter().all(|pass| pass.gpu.count == 0));
            return common::skip("gpu-times", &times.way);
        }
        let [much, little] = &report.passes[..] else { panic!("{} passes", report.passes.len()) };
        assert_eq!(much.gpu.count + little.gpu.count + times.discarded + times.skipped, 2 * 12);
        if report.driver.software {
            // Its clock is the processor's, and nothing of it is far behind. (Mesa 22.3: the first draw has none.)
            assert_eq!((little.gpu.count, times.skipped), (12, 0));
            assert!(much.gpu.count >= 11, "{} of 12", much.gpu.count);
        }
        for pass in [much, little] {
            let (p50, p99) = (pass.gpu.quantile_ms(0.5), pass.gpu.quantile_ms(0.99));
            assert!(0.0 < p50 && p50 <= p99 && p99 <= pass.gpu.max_ms, "{}: {p50}, {p99} ms", pass.name);
        }
        // A hundred times the work; what both have in common leaves a fifth of that.
        let (much, little) = (much.gpu.quantile_ms(0.5), little.gpu.quantile_ms(0.5));
        assert!(much > 5.0 * little, "{much} ms and {little} ms");
        // One pass is drawn after the other, and little else is done: all together take most of the run, and not more.
        let sum: f64 = report.passes.iter().map(|pass| pass.gpu.total_ms).sum();
        let wall = report.seconds * 1000.0;
        println!("{sum:.1} ms of {wall:.1} ms; a draw {much:.3} ms and {little:.3} ms");
        assert!(sum < 1.05 * wall, "{sum} ms in {wall} ms");
        if report.driver.software {
            assert!(sum > 0.3 * wall, "{sum} ms in {wall} ms");
        }
    }
}

#[test]
fn switched_off_nothing_is_timed() {
    let Some(report) = run("off", Options { no_gpu_times: true, ..Options::default() }) else { return };
    assert_eq!((report.gpu_times.measured, report.gpu_times.way.as_str()), (false, "switched off"));
    assert!(report.passes.iter().all(|pass| pass.gpu.count == 0 && pass.submit.count == 12));
}
