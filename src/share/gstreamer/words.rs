//! What is said where an element or a property does not exist: the nearest that does, and the package that would have it.
//!
//! In: a name. Out: words. Not here: finding out that it does not exist (`chain`).

use ::gstreamer as gst;
use gst::prelude::*;

use crate::error::nearest;

/// Elements that people name and that GStreamer itself does not bring, by Debian's packages.
const PACKAGES: &[(&str, &[&str])] = &[
    (
        "gstreamer1.0-plugins-base",
        &[
            "audioconvert",
            "audioresample",
            "audiotestsrc",
            "compositor",
            "decodebin",
            "decodebin3",
            "encodebin",
            "oggmux",
            "opusenc",
            "playbin",
            "subtitleoverlay",
            "tcpclientsink",
            "tcpclientsrc",
            "tcpserversink",
            "tcpserversrc",
            "textoverlay",
            "theoraenc",
            "timeoverlay",
            "uridecodebin",
            "videobox",
            "videoconvert",
            "videoconvertscale",
            "videorate",
            "videoscale",
            "videotestsrc",
            "vorbisenc",
            "ximagesink",
            "xvimagesink",
        ],
    ),
    (
        "gstreamer1.0-plugins-good",
        &[
            "avimux",
            "deinterlace",
            "flvmux",
            "gdkpixbufdec",
            "jpegdec",
            "jpegenc",
            "matroskademux",
            "matroskamux",
            "mp4mux",
            "multifilesink",
            "multifilesrc",
            "pngdec",
            "pngenc",
            "pulsesink",
            "qtdemux",
            "qtmux",
            "rtph264pay",
            "rtpjpegpay",
            "rtspsrc",
            "souphttpsrc",
            "splitmuxsink",
            "udpsink",
            "udpsrc",
            "v4l2h264dec",
            "v4l2h264enc",
            "v4l2h265enc",
            "v4l2jpegenc",
            "v4l2sink",
            "v4l2src",
            "videocrop",
            "videoflip",
            "vp8dec",
            "vp8enc",
            "vp9dec",
            "vp9enc",
            "webmmux",
            "ximagesrc",
            "y4menc",
        ],
    ),
    (
        "gstreamer1.0-plugins-bad",
        &[
            "av1enc",
            "av1parse",
            "dashsink",
            "fakevideosink",
            "fdkaacenc",
            "h264parse",
            "h265parse",
            "hlssink2",
            "hlsdemux",
            "jpegparse",
            "kmssink",
            "mpegtsmux",
            "msdkh264enc",
            "nvh264enc",
            "nvh265enc",
            "openh264dec",
            "openh264enc",
            "qsvh264enc",
            "rtmp2sink",
            "rtmpsink",
            "srtsink",
            "srtsrc",
            "svtav1enc",
            "tsdemux",
            "unixfdsink",
            "unixfdsrc",
            "v4l2codecs",
            "vah264enc",
            "vah264lpenc",
            "vah265enc",
            "vapostproc",
            "vp9parse",
            "waylandsink",
            "webrtcbin",
            "x265enc",
            "y4mdec",
        ],
    ),
    ("gstreamer1.0-plugins-ugly", &["asfdemux", "rmdemux", "x264enc"]),
    ("gstreamer1.0-libav", &["avdec_h264", "avdec_h265", "avenc_mpeg4", "avenc_prores", "avmux_mp4"]),
    ("gstreamer1.0-gl", &["glcolorconvert", "gldownload", "glimagesink", "glshader", "glupload"]),
    ("gstreamer1.0-pipewire", &["pipewiresink", "pipewiresrc"]),
    ("gstreamer1.0-libcamera", &["libcamerasrc"]),
    ("gstreamer1.0-vaapi", &["vaapih264enc", "vaapih265enc", "vaapipostproc"]),
    ("gstreamer1.0-nice", &["nicesink", "nicesrc"]),
    ("gst-rockchip (of the board's vendor)", &["mpph264enc", "mpph265enc", "mppjpegenc", "mppvideodec"]),
    ("gst-omx (of the board's vendor)", &["omxh264dec", "omxh264enc", "omxh265dec", "omxh265enc"]),
];

/// The package that has the element, where it is known.
pub(super) fn package(name: &str) -> Option<&'static str> {
    let listed = PACKAGES.iter().find(|(_, names)| names.contains(&name)).map(|(package, _)| *package);
    // What libav brings are hundreds.
    let prefix = ["avdec_", "avenc_", "avmux_", "avdemux_"].iter().any(|prefix| name.starts_with(prefix));
    listed.or(prefix.then_some("gstreamer1.0-libav"))
}

/// What to do about an element that does not exist.
pub(super) fn about_element(name: &str) -> String {
    if let Some(package) = package(name) {
        return format!("install {package}");
    }
    let features = gst::Registry::get().features(gst::ElementFactory::static_type());
    let there: Vec<String> = features.iter().map(|feature| feature.name().to_string()).collect();
    let known = PACKAGES.iter().flat_map(|(_, names)| names.iter().copied());
    match nearest(name, there.iter().map(String::as_str).chain(known)) {
        Some(near) if there.iter().any(|there| there == near) => format!("did you mean {near}?"),
        Some(near) => {
            format!(
                "did you mean {near}? it is not installed either: install {}",
                package(near).unwrap_or("its package")
            )
        }
        None => "gst-inspect-1.0 lists what is there".into(),
    }
}

/// What to do about a property that an element does not have.
pub(super) fn about_property(element: &str, name: &str) -> String {
    let made = gst::ElementFactory::make(element).build().ok();
    let names: Vec<String> =
        made.iter().flat_map(|made| made.list_properties()).map(|spec| spec.name().into()).collect();
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("gst-inspect-1.0 {element} lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_once() {
        let all: Vec<&str> = PACKAGES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for name in &all {
            assert_eq!(all.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
        assert_eq!(package("x264enc"), Some("gstreamer1.0-plugins-ugly"));
        assert_eq!(package("avdec_vp9"), Some("gstreamer1.0-libav"));
        assert_eq!(package("identity"), None);
    }
}
