//! Runs of the command whose sinks and sources are pipelines.

use std::process::{Child, Command, Output, Stdio};

use darkframe::pipeline::description::Description;
use darkframe::pipeline::source::Opened;

use super::*;

fn start(folder: &Folder, verb: &str, text: &str) -> Child {
    let shaders = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let file = folder.file("pipeline.toml", text.replace("SHADERS", shaders));
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
    command.arg(verb).arg(file).current_dir(&folder.0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn text(output: &Output) -> String {
    let both = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    // The report wraps lines.
    both.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn ok(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, text(&output));
    text(&output)
}

#[track_caller]
fn program(name: &str, arguments: &[&str], folder: &Folder) -> String {
    let output = Command::new(name).args(arguments).current_dir(&folder.0).output().unwrap();
    assert!(output.status.success(), "{name}: {}", text(&output));
    [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat()
}

fn has(element: &str) -> bool {
    let there =
        input::Options { patience: LONG, ..input::Options::new(format!("videotestsrc num-buffers=1 ! {element}")) };
    match input::Input::open(there, &AtomicBool::new(false)) {
        Err(error) if error.detail().contains("there is no element") => {
            common::skip(element, error);
            false
        }
        _ => true,
    }
}

const DRAWN: &str = "
[source.test]
pattern = \"gradient\"
size = \"160x120\"
rate = \"30000/1001\"
[pass.planes]
shader = \"SHADERS/copy.frag\"
inputs = { source = \"test\" }
format = \"YUV420\"
[sink.mp4]
input = \"planes\"
kind = \"gstreamer\"
pipeline = \"ENCODER ! h264parse ! mp4mux ! filesink location=out.mp4\"
";

/// A run into an MP4 file: as many pictures, each at its time, close to what was drawn, by ffmpeg's eyes; and back.
#[test]
fn a_clip_goes_into_a_file_and_back() {
    for encoder in ["x264enc bitrate=4000", "openh264enc bitrate=4000000"] {
        if !has(encoder.split(' ').next().unwrap()) {
            continue;
        }
        let folder = Folder::new("gst-clip");
        let drawn =
            format!("frames = \"0..60\"{DRAWN}[sink.raw]\ninput = \"planes\"\nfile = \"out.yuv\"\nkind = \"raw\"\n");
        let said = ok(start(&folder, "run", &drawn.replace("ENCODER", encoder)));
        assert!(said.contains("60 frames"), "{said}");
        let times = program(
            "ffprobe",
            &["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0", "out.mp4"],
            &folder,
        );
        let times: Vec<f64> = times.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
        assert_eq!(times.len(), 60);
        for (number, time) in times.iter().enumerate() {
            assert!((time - times[0] - number as f64 * 1001.0 / 30_000.0).abs() < 0.001, "{number}: {time}");
        }
        let raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "160x120", "-r", "30000/1001", "-i", "out.yuv"];
        let compared = [&["-v", "info", "-i", "out.mp4"][..], &raw, &["-lavfi", "psnr", "-f", "null", "-"]].concat();
        let said = program("ffmpeg", &compared, &folder);
        let average = said.split("average:").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        let decibel: f64 = average.parse().unwrap_or(f64::INFINITY);
        assert!(decibel > 35.0, "{encoder}: {decibel} dB");

        // What a source of ours reads is what ffmpeg decodes, to the byte.
        program(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-y",
                "-i",
                "out.mp4",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "yuv420p",
                "-fps_mode",
                "passthrough",
                "ff.yuv",
            ],
            &folder,
        );
        let expected = std::fs::read(folder.0.join("ff.yuv")).unwrap();
        assert_eq!(expected.len(), 60 * 160 * 120 * 3 / 2);
        let decoder = ["avdec_h264", "openh264dec"].into_iter().find(|name| has(name));
        let Some(decoder) = decoder else { return };
        let source = format!(
            "[source.clip]\nkind = \"gstreamer\"\npipeline = \"filesrc location={}/out.mp4 ! qtdemux ! h264parse ! {decoder}\"\n[sink.a]\ninput = \"clip\"\nkind = \"null\"\n",
            folder.0.display()
        );
        let file = folder.file("source.toml", &source);
        let description = Description::parse(&file, source).unwrap();
        let mut opened = Opened::open(&description, "clip", &description.sources["clip"]).unwrap();
        assert_eq!((opened.info().fourcc, opened.info().size), (Fourcc::YUV420, Size::new(160, 120)));
        for (number, expected) in expected.chunks(160 * 120 * 3 / 2).enumerate() {
            let planes = common::files::read(&mut opened, number as u64).unwrap().unwrap();
            assert!(planes.concat() == expected, "frame {number}");
            let stamp = opened.stamp().unwrap();
            let time = stamp.timestamp_ns as f64 / 1e9;
            assert!((time - number as f64 * 1001.0 / 30_000.0).abs() < 0.001, "{number}: {time}");
        }
        assert!(common::files::read(&mut opened, 60).unwrap().is_none());
    }
}

/// From one pipeline into another, by way of shaders: as many frames.
#[test]
fn a_pipeline_feeds_a_pipeline() {
    let folder = Folder::new("gst-through");
    let through = |sink: &str| {
        format!(
            "[source.in]\nkind = \"gstreamer\"\npipeline = \"videotestsrc num-buffers=30 pattern=ball ! video/x-raw,format=NV12,width=96,height=64,framerate=30/1\"\n[sink.out]\ninput = \"in\"\n{sink}"
        )
    };
    let said = ok(start(&folder, "run", &through("kind = \"gstreamer\"\npipeline = \"filesink location=a.rgba\"\n")));
    assert!(said.contains("30 frames"), "{said}");
    ok(start(&folder, "run", &through("file = \"b.rgba\"\n")));
    let (a, b) = (std::fs::read(folder.0.join("a.rgba")).unwrap(), std::fs::read(folder.0.join("b.rgba")).unwrap());
    assert_eq!(a.len(), 30 * 96 * 64 * 4);
    assert!(a == b, "the same bytes as in a file");
}

/// Ctrl-C: the file is whole, and has every frame that the run says.
#[test]
fn a_run_that_is_ended_leaves_a_whole_file() {
    if !has("x264enc") {
        return;
    }
    let folder = Folder::new("gst-interrupt");
    let endless =
        DRAWN.replace("size = ", "pace = \"realtime\"\nsize = ").replace("ENCODER", "x264enc tune=zerolatency");
    let child = start(&folder, "run", &endless);
    let file = folder.0.join("out.mp4");
    eventually("a file that grows", || std::fs::metadata(&file).is_ok_and(|file| file.len() > 10_000));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output);
    let counted = program(
        "ffprobe",
        &["-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", "out.mp4"],
        &folder,
    );
    let frames: u64 =
        said.split(" frames in").next().and_then(|before| before.split(' ').next_back()).unwrap().parse().unwrap();
    assert!(frames > 0 && counted.trim().trim_end_matches(',') == frames.to_string(), "{counted}: {said}");
}

/// A live source is taken from when the run begins, and a source that changes ends the run with the reason.
#[test]
fn live_and_changing_sources() {
    let folder = Folder::new("gst-live");
    let live = "[source.in]\nkind = \"gstreamer\"\npipeline = \"videotestsrc is-live=true num-buffers=40 ! video/x-raw,format=I420,width=64,height=48,framerate=50/1\"\n[sink.out]\ninput = \"in\"\nfile = \"out.rgba\"\n";
    ok(start(&folder, "run", live));
    let frames = std::fs::metadata(folder.0.join("out.rgba")).unwrap().len() / (64 * 48 * 4);
    assert!((10..=40).contains(&frames), "{frames}");
    let size = |width| format!("videotestsrc num-buffers=7 ! video/x-raw,format=I420,width={width},height=48 ! c.");
    let changing = format!(
        "[source.in]\nkind = \"gstreamer\"\npipeline = \"concat name=c {} {} c.\"\n[sink.out]\ninput = \"in\"\nfile = \"out.rgba\"\n",
        size(64),
        size(32)
    );
    let said = ok(start(&folder, "run", &changing));
    assert!(said.contains("7 frames") && said.contains("are YUV420 32x48 now"), "{said}");
    assert_eq!(std::fs::metadata(folder.0.join("out.rgba")).unwrap().len(), 7 * 64 * 48 * 4);
}

/// The frames that came before are kept where a live source stops giving any, and the report says why.
#[test]
fn a_source_that_falls_silent_ends() {
    let folder = Folder::new("gst-silent");
    let silent = "[source.in]\nkind = \"gstreamer\"\ntimeout = 0.5\npipeline = \"videotestsrc is-live=true num-buffers=60 ! video/x-raw,format=I420,width=64,height=48,framerate=50/1 ! fdsink\"\n[sink.out]\ninput = \"in\"\nfile = \"out.rgba\"\n";
    // After its end concat waits for a second source that never comes.
    let silent = silent.replace(" ! fdsink", " ! c. appsrc is-live=true format=time caps=video/x-raw,format=I420,width=64,height=48,framerate=50/1 ! c. concat name=c c.");
    let said = ok(start(&folder, "run", &silent));
    assert!(said.contains("no picture for 500ms"), "{said}");
    assert!(std::fs::metadata(folder.0.join("out.rgba")).unwrap().len() >= 10 * 64 * 48 * 4);
}

/// Keys that are wrong, with their places, by `check` as by `run`.
#[test]
fn what_cannot_be_is_said() {
    let folder = Folder::new("gst-errors");
    let sink = |keys: &str| {
        format!(
            "frames = \"0..3\"\n[source.test]\npattern = \"bars\"\nsize = \"64x48\"\n[sink.out]\ninput = \"test\"\nkind = \"gstreamer\"\n{keys}"
        )
    };
    let source =
        |keys: &str| format!("[source.in]\nkind = \"gstreamer\"\n{keys}[sink.out]\ninput = \"in\"\nkind = \"null\"\n");
    let cases = [
        (sink(""), vec!["sink.out.pipeline", "missing: this kind hands pictures to a pipeline"]),
        (
            sink("pipeline = \"queue ! fakesnk\"\n"),
            vec![":8:21", "there is no element fakesnk", "did you mean fakesink?"],
        ),
        (
            sink("pipeline = \"queue leeky=1 ! fakesink\"\n"),
            vec![":8:19", "queue has no property leeky", "did you mean leaky?"],
        ),
        (sink("pipeline = \"fakesink\"\nfile = \"a.mp4\"\n"), vec!["sink.out.file", "filesink location"]),
        (sink("pipeline = \"fakesink\"\nsocket = \"a\"\n"), vec!["this key is for kind = \"unixfd\""]),
        (sink("pipeline = \"fakesink\"\nmax-in-flight = 0\n"), vec!["1 to 64"]),
        (sink("pipeline = \"fakesink\"\npatience = -1\n"), vec!["more than 0"]),
        (
            sink("").replace("gstreamer", "null") + "pipeline = \"fakesink\"\n",
            vec!["this key is for kind = \"gstreamer\""],
        ),
        (source(""), vec!["source.in.pipeline", "missing"]),
        (source("pipeline = \"videotestsrk\"\n"), vec![":3:13", "did you mean videotestsrc?"]),
        (source("pipeline = \"videotestsrc\"\nsize = \"4x4\"\n"), vec!["source.in.size", "the pipeline's text says"]),
        (source("pipeline = \"videotestsrc\"\ndevice = \"a\"\n"), vec!["this key is for devices"]),
        (source("pipeline = \"videotestsrc\"\ntimeout = 0\n"), vec!["more than 0 s"]),
        (source("pipeline = \"videotestsrc\"\nloop = true\n"), vec!["pictures of a pipeline come once"]),
    ];
    for verb in ["check", "run"] {
        for (description, words) in &cases {
            let output = start(&folder, verb, description).wait_with_output().unwrap();
            let said = text(&output);
            assert!(!output.status.success(), "{verb}: {description}: {said}");
            for word in words {
                assert!(said.contains(word), "{verb}: {word}: {said}");
            }
        }
    }
    // Nothing is opened by `check`.
    let there = sink("pipeline = \"filesink location=made.raw\"\n");
    ok(start(&folder, "check", &there));
    assert!(!folder.0.join("made.raw").exists());
    ok(start(&folder, "check", &source("pipeline = \"filesrc location=/nowhere/a ! decodebin\"\n")));
}

/// A pipeline that fails in mid-run fails the run with its word; where all must be zero-copy, a copy does.
#[test]
fn failures_in_mid_run() {
    let folder = Folder::new("gst-failures");
    let run = |text: &str, more: &str| {
        format!(
            "frames = \"0..60\"\n{more}[source.test]\npattern = \"bars\"\nsize = \"64x48\"\n[sink.out]\ninput = \"test\"\nkind = \"gstreamer\"\npipeline = \"{text}\"\n"
        )
    };
    let output = start(&folder, "run", &run("identity error-after=9 ! fakesink", "")).wait_with_output().unwrap();
    assert!(!output.status.success() && text(&output).contains("identity"), "{}", text(&output));
}

/// The example, as it is but that its file lies elsewhere.
#[test]
fn the_example_runs() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let example = std::fs::read_to_string(format!("{examples}/gstreamer.toml")).unwrap();
    if !has("x264enc") {
        return;
    }
    let folder = Folder::new("gst-example");
    let example = example
        .replace("media/", &format!("{examples}/media/"))
        .replace("../shaders", concat!(env!("CARGO_MANIFEST_DIR"), "/shaders"));
    ok(start(&folder, "run", &example.replace("out/gstreamer.mp4", "out.mp4")));
    let counted = program(
        "ffprobe",
        &["-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", "out.mp4"],
        &folder,
    );
    assert_eq!(counted.trim().trim_end_matches(','), "36");
}
