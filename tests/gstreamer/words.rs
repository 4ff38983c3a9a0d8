//! What is said where something is wrong: in the text, in the elements, in time.

use super::*;

fn output_error(text: &str, fourcc: Fourcc) -> Error {
    let pool = files(fourcc, Size::new(64, 48), 6);
    let first = common::acquire(&pool);
    let options = output::Options { patience: Duration::from_secs(5), ..output::Options::new(text) };
    let mut output = match output::Output::open(options, std::slice::from_ref(&first)) {
        Ok(output) => output,
        Err(error) => return error,
    };
    drop(first);
    for number in 0..20 {
        if let Err(error) = output.send(numbered(common::acquire(&pool), number), None) {
            return error;
        }
    }
    output.finish().expect_err(text)
}

fn input_error(text: &str) -> Error {
    let options = input::Options { patience: Duration::from_secs(2), ..input::Options::new(text) };
    let mut input = match input::Input::open(options, &AtomicBool::new(false)) {
        Ok(input) => input,
        Err(error) => return error,
    };
    loop {
        match input.next(LONG) {
            Ok(input::Event::Picture(_)) => {}
            Ok(event) => panic!("{text}: {event:?}"),
            Err(error) => return error,
        }
    }
}

#[track_caller]
fn says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "\"{word}\": {text}");
    }
    assert!(!text.contains("GstPipeline"), "{text}");
}

#[test]
fn wrong_texts() {
    for (text, words) in [
        ("", &["at least one element", "x264enc ! h264parse"][..]),
        ("fakesnk", &["there is no element fakesnk", "did you mean fakesink?"]),
        ("queue ! vaapih264enc ! fakesink", &["no element vaapih264enc", "gstreamer1.0-vaapi"]),
        ("omxh264enk ! fakesink", &["did you mean omxh264enc?", "not installed either"]),
        ("queue max-size-bufers=3 ! fakesink", &["queue has no property max-size-bufers", "max-size-buffers?"]),
        ("videoscale method=7x ! fakesink", &["method", "gst-inspect-1.0 videoscale"]),
        ("! fakesink", &["gst-launch-1.0 takes the same text"]),
        ("videotestsrc ! fakesink", &["could not link", "begins with an element that takes video"]),
        ("audioconvert ! fakesink", &["takes no ABGR8888", "it takes audio/x-raw"]),
    ] {
        says(&output_error(text, Fourcc::ABGR8888), words);
    }
    for (text, words) in [
        ("videotestsrc ! fakesink", &["could not link", "ends with an element that gives video"][..]),
        ("videotestsrk", &["did you mean videotestsrc?"]),
        ("audiotestsrc num-buffers=1", &["audiotestsrc", "elements agree on no format"]),
    ] {
        says(&input_error(text), words);
    }
}

/// An element that takes other formats: which those are, and nothing was opened or emptied.
#[test]
fn formats_that_are_not_taken() {
    let folder = Folder::new("gst-format");
    let path = folder.file("kept.mp4", "as it was");
    let text = format!("x264enc ! h264parse ! mp4mux ! filesink location={}", shown(&path));
    let error = output_error(&text, Fourcc::ABGR8888);
    if error.kind() == ErrorKind::NotFound {
        return common::skip("x264enc", error);
    }
    assert_eq!((error.kind(), error.op()), (ErrorKind::Unsupported, "format"));
    says(&error, &["x264enc takes no ABGR8888; it takes", "NV12", "give the pass format = \"NV12\"", "videoconvert"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"as it was");
    says(&output_error("capsfilter caps=video/x-raw,width=32 ! fakesink", Fourcc::ABGR8888), &["64x48", "videoscale"]);
}

/// What elements say when they fail, at the start and later.
#[test]
fn elements_that_fail() {
    let folder = Folder::new("gst-fail");
    let error = output_error("filesink location=/nowhere/a.raw", Fourcc::ABGR8888);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    says(&error, &["filesink", "/nowhere/a.raw"]);
    says(&output_error("filesink location=/dev/full", Fourcc::ABGR8888), &["filesink"]);
    says(&output_error("identity error-after=5 ! fakesink", Fourcc::ABGR8888), &["identity"]);
    let over = output_error("identity eos-after=5 ! fakesink", Fourcc::ABGR8888);
    assert_eq!(over.kind(), ErrorKind::PeerClosed);
    says(&over, &["came to its end by itself"]);

    let error = input_error("filesrc location=/nowhere/a.mp4 ! decodebin");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    says(&error, &["/nowhere/a.mp4"]);
    let junk = folder.file("junk.mp4", vec![0x5A; 5000]);
    says(&input_error(&format!("filesrc location={} ! decodebin", shown(&junk))), &["decodebin"]);
    let empty = folder.file("empty.mp4", "");
    says(&input_error(&format!("filesrc location={} ! decodebin", shown(&empty))), &["no data"]);
    says(&input_error("videotestsrc num-buffers=20 ! identity error-after=5"), &["identity"]);
    says(&input_error("videotestsrc num-buffers=0"), &["without a picture"]);
    // A format that only GStreamer has.
    let unknown = input_error("videotestsrc num-buffers=3 ! video/x-raw,format=v210");
    says(&unknown, &["videoconvert"]);
}

/// Elements that hang: an end, and a word of it, and nobody waits for them for ever.
#[test]
fn what_hangs_ends() {
    let since = Instant::now();
    let pool = files(Fourcc::ABGR8888, Size::new(16, 16), 6);
    let first = common::acquire(&pool);
    let text = "identity sleep-time=3000000 ! fakesink";
    let options = output::Options { patience: Duration::from_millis(300), ..output::Options::new(text) };
    let mut output = output::Output::open(options, std::slice::from_ref(&first)).unwrap();
    drop(first);
    let mut send = |number| output.send(numbered(common::acquire(&pool), number), None);
    let error = (0..4).find_map(|number| send(number).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    says(&error, &["has taken no frame for 300ms", "patience"]);
    drop(output);
    assert!(since.elapsed() < Duration::from_secs(30));

    // A second source that never ends keeps the pipeline from its end.
    let text = "funnel name=f ! fakesink sync=false videotestsrc is-live=true ! f.";
    let first = common::acquire(&pool);
    let options = output::Options { patience: Duration::from_secs(1), ..output::Options::new(text) };
    let mut output = output::Output::open(options, std::slice::from_ref(&first)).unwrap();
    let error = output.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    says(&error, &["is not done 1s after its last frame"]);
    drop(output);

    let options = input::Options {
        patience: Duration::from_millis(300),
        ..input::Options::new("videotestsrc ! identity drop-probability=1")
    };
    let error = input::Input::open(options, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    says(&error, &["no picture after 300ms"]);

    // The caller has had enough.
    let options =
        input::Options { patience: LONG, ..input::Options::new("videotestsrc ! identity drop-probability=1") };
    let error = input::Input::open(options, &AtomicBool::new(true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

/// Pictures that become others are an end, with the reason.
#[test]
fn pictures_that_change() {
    let size = |width| format!("videotestsrc num-buffers=3 ! video/x-raw,format=I420,width={width},height=48 ! c.");
    let text = format!("concat name=c {} {} c.", size(64), size(32));
    let Some(mut input) = take(&text) else { return };
    for _ in 0..3 {
        assert!(next(&mut input).is_some());
    }
    match input.next(LONG).unwrap() {
        input::Event::Changed(change) => {
            assert_eq!(change, "its pictures were YUV420 64x48 and are YUV420 32x48 now");
        }
        other => panic!("{other:?}"),
    }
}
