//! How long the GPU takes for each pass, by the driver's own clock: counts, and times beside the clock of the run.
//!
//! Skips only where no driver gives OpenGL ES, or it offers no timer.

use darkframe::error::ErrorKind;
use darkframe::pipeline::runner::{self, Options, Progress};
use darkframe::pipeline::{Description, Report};

mod common;

const FRAMES: u32 = 40;
/// Frames after which nothing is compiled any more.
const WARM: u32 = 2;

/// So many steps of arithmetic a pixel.
const SHADER: &str = "uniform float steps;
vec4 pixel(vec2 uv) {
    float x = uv.x;
    for (int i = 0; i < 100; i++) {
        if (float(i) >= steps) break;
        x = fract(sin(x * 12.9898 + uv.y) * 43.5453);
    }
    return vec4(x, uv, 1.0);
}
";

const PIPELINE: &str = "frames = \"0..40\"
optimize = false

[pass.much]
shader = \"steps.frag\"
size = \"192x96\"
uniforms = { steps = 100 }

[pass.little]
shader = \"steps.frag\"
size = \"192x96\"
uniforms = { steps = 1 }

[sink.much]
input = \"much\"
kind = \"null\"

[sink.little]
input = \"little\"
kind = \"null\"
";

/// The processor's time is the whole process's: one test after the other.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Processor seconds of this process, all threads.
fn processor_seconds() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()].iter().map(|time| time.num_microseconds() as f64 * 1e-6).sum()
}

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
    let _alone = alone();
    for max_version in [None, Some((2, 0))] {
        let busy = std::sync::Arc::new(std::sync::Mutex::new(0.0));
        let (kept, mut begun) = (busy.clone(), 0.0);
        let progress = move |progress: Progress| match (progress.done, progress.finished) {
            (_, true) => *kept.lock().unwrap() = processor_seconds() - begun,
            (done, _) if done == u64::from(WARM) => begun = processor_seconds(),
            _ => {}
        };
        let options = Options { max_version, progress: Some(Box::new(progress)), ..Options::default() };
        let Some(report) = run("all", options) else { return };
        let times = &report.gpu_times;
        println!("{}, by {}", report.driver.version, times.way);
        if !times.measured {
            assert!(times.way.starts_with("not offered by this driver"), "{}", times.way);
            assert!(report.passes.iter().all(|pass| pass.gpu.count == 0));
            return common::skip("gpu-times", &times.way);
        }
        let [much, little] = &report.passes[..] else { panic!("{} passes", report.passes.len()) };
        assert_eq!(much.gpu.count + little.gpu.count + times.discarded + times.skipped, 2 * u64::from(FRAMES));
        if report.driver.software {
            // Its clock is the processor's, and nothing of it is far behind. (Mesa 22.3: the first draw has none.)
            assert_eq!((little.gpu.count, times.skipped), (u64::from(FRAMES), 0));
            assert!(much.gpu.count >= u64::from(FRAMES) - 1, "{} of {FRAMES}", much.gpu.count);
        }
        for pass in [much, little] {
            let (p50, p99) = (pass.gpu.quantile_ms(0.5), pass.gpu.quantile_ms(0.99));
            assert!(0.0 < p50 && p50 <= p99 && p99 <= pass.gpu.max_ms, "{}: {p50}, {p99} ms", pass.name);
        }
        // A hundred times the work. Both are the shortest of many draws; other work on the machine may still be in them.
        let (much, little) = (much.gpu.quantile_ms(0.0), little.gpu.quantile_ms(0.0));
        assert!(much > 2.0 * little, "{much} ms and {little} ms");
        // A GPU draws one pass after the other; each of the threads of a driver that draws with the CPU does. All together
        // they do not take longer than the run.
        let threads = std::thread::available_parallelism().unwrap().get() as f64;
        let side_by_side = if report.driver.software { threads } else { 1.0 };
        let sum: f64 = report.passes.iter().map(|pass| pass.gpu.total_ms).sum();
        let wall = report.seconds * 1000.0;
        assert!(sum < 1.05 * wall * side_by_side, "{sum} ms in {wall} ms");
        // Where the CPU draws, that is most of what this process does once the first frames, with their compiling, are
        // over; its threads share the work.
        let busy = *busy.lock().unwrap() * 1000.0 / threads / f64::from(FRAMES - WARM);
        println!("{sum:.1} ms of {wall:.1} ms; a draw {much:.3} ms and {little:.3} ms, {busy:.3} ms of the processor");
        if report.driver.software {
            assert!(much + little > 0.3 * busy, "{much} and {little} ms of {busy} ms");
        }
    }
}

#[test]
fn switched_off_nothing_is_timed() {
    let _alone = alone();
    let Some(report) = run("off", Options { no_gpu_times: true, ..Options::default() }) else { return };
    assert_eq!((report.gpu_times.measured, report.gpu_times.way.as_str()), (false, "switched off"));
    assert!(report.passes.iter().all(|pass| pass.gpu.count == 0 && pass.submit.count == u64::from(FRAMES)));
}
