//! Our pictures into vivid's video output, and back through its capture node.

use darkframe::v4l2::Value;

use super::capture::options;
use super::*;

/// Connects the first device's HDMI input with its own output, in the way of this kernel: by a menu since 6.12 or so, by a
/// switch before.
fn connect(device: &VideoDevice, connected: bool) -> bool {
    let menu = ["hdmi_000_0_is_connected_to", "hdmi_0_is_connected_to"];
    for name in menu {
        let line = if connected { "Output HDMI 000-0" } else { "TPG" };
        let lines = [Value::Text(line.into()), Value::Number(if connected { 2 } else { 0 })];
        if lines.iter().any(|value| device.set_control(name, value, true).is_ok()) {
            return true;
        }
    }
    device.set_control("loop_video", &Value::Bool(connected), true).is_ok()
}

/// NV12 into the output, out of the capture node: the same planes.
#[test]
fn looped_back() {
    let _alone = alone();
    let Some(capture) = device("platform:vivid-000", Role::Capture) else { return };
    let Some(output) = device("platform:vivid-000", Role::Output) else { return };
    capture.select_connection(false, "3").unwrap();
    output.select_connection(true, "1").unwrap();
    small_timings(&capture);
    small_timings(&output);
    assert!(connect(&capture, true), "this kernel's vivid has no loop");
    let folder = folder("loop");
    std::fs::write(folder.join("same.frag"), "vec4 pixel(vec2 uv) { return test(uv); }\n").unwrap();
    let size = "640x480";
    let out = format!(
        "[source.test]\npattern = \"zone-plate\"\nsize = \"{size}\"\nrate = 2\nframes = 1\nloop = true\n\
         [pass.wanted]\nshader = \"same.frag\"\ninputs = [\"test\"]\nformat = \"NV12\"\ncolor = {{ matrix = \"bt709\" }}\n\
         [sink.out]\ninput = \"wanted\"\nkind = \"v4l2\"\ndevice = \"platform:vivid-000\"\noutput = \"1\"\n\
         [sink.plain]\ninput = \"wanted\"\nfile = \"@OUT/plain.y4m\"\nevery = 100000\n"
    );
    let back = format!(
        "[source.camera]\nkind = \"v4l2\"\ndevice = \"platform:vivid-000\"\nsize = \"{size}\"\nformat = \"NV12\"\n\
         io = \"import\"\ncontrols = {{ osd_text_mode = \"None\" }}\n[pass.planes]\nshader = \"back.frag\"\ninputs = [\"camera\"]\nformat = \"NV12\"\ncolor = {{ matrix = \"bt709\" }}\n\
         [sink.got]\ninput = \"planes\"\nfile = \"@OUT/got.y4m\"\n"
    );
    std::fs::write(folder.join("back.frag"), "vec4 pixel(vec2 uv) { return camera(uv); }\n").unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let shown = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let sent = std::thread::scope(|scope| {
        let (flag, count, path) = (stop.clone(), shown.clone(), &folder);
        let sender = scope.spawn(move || {
            let progress = move |progress: darkframe::pipeline::runner::Progress| {
                count.store(progress.done, std::sync::atomic::Ordering::Relaxed);
            };
            run_text(path, &out, Options { stop: flag, progress: Some(Box::new(progress)), ..options(100_000) })
        });
        while shown.load(std::sync::atomic::Ordering::Relaxed) < 8 && !sender.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let received = run_text(&folder, &back, options(10));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let sent = sender.join().unwrap();
        connect(&capture, false);
        capture.select_connection(false, "0").unwrap();
        received.unwrap_or_else(|error| panic!("{error}; the output: {:?}", sent.as_ref().err()));
        sent.unwrap()
    });
    println!("{}", short(&sent.sinks[0]));
    let luma = 640 * 480;
    let pictures = |name: &str| {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let head = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let frames = bytes[head..].chunks_exact(6 + luma * 3 / 2).map(|frame| frame[6..6 + luma].to_vec());
        frames.collect::<Vec<_>>()
    };
    let (plain, got) = (pictures("plain.y4m"), pictures("got.y4m"));
    // What came back went through RGB once more: a code or two of rounding, chroma of the finest rings apart.
    let far = |got: &Vec<u8>| plain[0].iter().zip(got).filter(|(a, b)| a.abs_diff(**b) > 3).count();
    let far: Vec<usize> = got.iter().map(far).collect();
    println!("luma samples far off: {far:?}");
    // Where the output has no picture queued at a capture's moment, vivid takes its own: on a loaded machine now and then.
    assert!(far.iter().any(|far| *far < luma / 100), "{far:?} of {luma} luma samples are far off");
    std::fs::remove_dir_all(&folder).unwrap();
}
