//! A pipeline at work: made of its text, brought into a state, listened to, and let go.
//!
//! In: a text. Out: the element of ours in it; its errors as ours. Nothing here waits without a limit.
//! Not here: frames (`output`, `input`).

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::gstreamer as gst;
use gst::glib;
use gst::prelude::*;

use crate::error::{Error, ErrorKind, Result};

use super::{End, OP, Wrong, init, words};

/// The element of ours in a text.
const OURS: &str = "darkframe";
/// What errors call it.
const SHOWN: &str = "the run's end of the pipeline";
/// How often whoever waits looks whether something else has happened.
pub(super) const BRIEF: Duration = Duration::from_millis(50);
/// How long a pipeline may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// A pipeline; stopped when it is dropped.
#[derive(Debug)]
pub(super) struct Chain {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Decoders and the like that a pipeline looked for and did not find.
    missing: Vec<String>,
    warnings: Vec<String>,
    error: Option<Error>,
    ended: bool,
}

impl Chain {
    /// Makes the elements of `text`, and ours at one of its ends, which is given as the second.
    pub(super) fn parse(text: &str, end: End) -> std::result::Result<(Self, gst::Element), Wrong> {
        let wrong = |error: Error, word: Option<String>| Wrong { error, word };
        init().map_err(|error| wrong(error, None))?;
        if text.trim().is_empty() || text.contains('\0') {
            let example = match end {
                End::Begin => "x264enc ! h264parse ! mp4mux ! filesink location=out.mp4",
                End::Finish => "filesrc location=clip.mp4 ! decodebin",
            };
            let error = Error::invalid(OP, "a pipeline has at least one element, and no byte 0");
            return Err(wrong(error.with_hint(format!("pipeline = \"{example}\"")), None));
        }
        let whole = match end {
            End::Begin => format!("appsrc name={OURS} ! {text}"),
            End::Finish => format!("{text} ! appsink name={OURS}"),
        };
        let mut context = gst::ParseContext::new();
        let made = gst::parse::launch_full(&whole, Some(&mut context), gst::ParseFlags::FATAL_ERRORS);
        let element = made.map_err(|error| explain(&error, &context.missing_elements(), end))?;
        let pipeline = element.downcast::<gst::Pipeline>().or_else(|element| {
            let pipeline = gst::Pipeline::new();
            pipeline.add(&element).map(|()| pipeline)
        });
        let pipeline = pipeline.map_err(|error| wrong(Error::invalid(OP, error.to_string()), None))?;
        let (Some(ours), Some(bus)) = (pipeline.by_name(OURS), pipeline.bus()) else {
            return Err(wrong(Error::invalid(OP, "the text is no pipeline"), None));
        };
        Ok((Self { pipeline, bus, heard: Mutex::default() }, ours))
    }

    /// Brings the pipeline into `state`, or on the way there; no longer than `limit` and until `stopped`.
    ///
    /// # Errors
    /// The pipeline's own; `Timeout`; `Interrupted`.
    pub(super) fn set_state(
        &self,
        state: gst::State,
        limit: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<gst::StateChangeSuccess> {
        // An element may do in it what it likes: open a device, ask a network.
        let (done, result) = channel();
        let pipeline = self.pipeline.clone();
        let thread = std::thread::Builder::new().name("gstreamer-state".into()).spawn(move || {
            let _ = done.send(pipeline.set_state(state));
        });
        thread.map_err(|error| Error::from_io("pthread_create", OP, error))?;
        let since = Instant::now();
        loop {
            match result.recv_timeout(BRIEF) {
                Ok(Ok(success)) => return Ok(success),
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                    // The element that refused says why.
                    self.look()?;
                    return Err(Error::failed(
                        OP,
                        format!("the pipeline does not go to {state:?}, and does not say why"),
                    )
                    .with_hint("GST_DEBUG=3 shows what its elements say"));
                }
                Err(RecvTimeoutError::Timeout) if stopped() => {
                    return Err(Error::new(
                        ErrorKind::Interrupted,
                        OP,
                        "the run was ended before the pipeline had begun",
                    ));
                }
                Err(RecvTimeoutError::Timeout) if since.elapsed() < limit => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        OP,
                        format!("the pipeline is not {state:?} after {limit:?}"),
                    )
                    .with_hint("GST_DEBUG=3 shows what its elements wait for; raise patience"));
                }
            }
        }
    }

    /// Takes what the pipeline has said. True where it has come to its end.
    ///
    /// # Errors
    /// The pipeline's first.
    pub(super) fn look(&self) -> Result<bool> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(message) = self.bus.pop() {
            match message.view() {
                gst::MessageView::Eos(_) => heard.ended = true,
                gst::MessageView::Error(message) => {
                    let error = told(&message.error(), message.debug(), message.src(), &heard.missing);
                    heard.error.get_or_insert(error);
                }
                gst::MessageView::Warning(message) => {
                    let error = told(&message.error(), message.debug(), message.src(), &[]);
                    let text = error.detail().to_owned();
                    if heard.warnings.len() < 16 && !heard.warnings.contains(&text) {
                        tracing::warn!("GStreamer: {text}");
                        heard.warnings.push(text);
                    }
                }
                gst::MessageView::Element(message) => {
                    let missing = message.structure().filter(|structure| structure.name() == "missing-plugin");
                    if let Some(name) = missing.and_then(|structure| structure.get::<String>("name").ok()) {
                        heard.missing.push(name);
                    }
                }
                gst::MessageView::Latency(_) => {
                    let _ = self.pipeline.recalculate_latency();
                }
                _ => {}
            }
        }
        match &heard.error {
            Some(error) => Err(error.clone()),
            None => Ok(heard.ended),
        }
    }

    /// Waits until the pipeline has come to its end; false where it has not within `limit`.
    ///
    /// # Errors
    /// As [`Chain::look`].
    pub(super) fn wait_for_end(&self, limit: Duration) -> Result<bool> {
        let since = Instant::now();
        while !self.look()? {
            if since.elapsed() >= limit {
                return Ok(false);
            }
            self.wait();
        }
        Ok(true)
    }

    /// Waits briefly, or until the pipeline says something.
    fn wait(&self) {
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let Some(message) = self.bus.timed_pop_filtered(clock(BRIEF), &kinds) else { return };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match message.view() {
            gst::MessageView::Error(message) => {
                let error = told(&message.error(), message.debug(), message.src(), &heard.missing);
                heard.error.get_or_insert(error);
            }
            _ => heard.ended = true,
        }
    }

    /// What it warned of so far.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).warnings.clone()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if let Err(error) = self.set_state(gst::State::Null, STOP, &|| false) {
            tracing::warn!("{error}: it is left as it is");
        }
    }
}

/// A time as GStreamer counts it.
pub(super) fn clock(time: Duration) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1))
}

/// Without the name that our element has in the text.
fn shown(text: &str) -> String {
    text.replace(&format!("\"{OURS}\""), SHOWN).replace(OURS, SHOWN)
}

/// What is between quotes, in turn.
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// An error of the text.
fn explain(error: &glib::Error, missing: &[String], end: End) -> Wrong {
    let kind = error.kind::<gst::ParseError>();
    let named = quoted(error.message());
    // An element whose properties are wrong is told as missing too.
    let is_missing = |name: &&String| gst::ElementFactory::find(name).is_none();
    if let Some(name) = missing.iter().find(is_missing) {
        let detail = format!("there is no element {name}");
        let error = Error::new(ErrorKind::NotFound, OP, detail).with_hint(words::about_element(name));
        return Wrong { error, word: Some(name.clone()) };
    }
    let detail = shown(error.message());
    let of = |kind, hint: String| Error::new(kind, OP, detail.clone()).with_hint(hint);
    match (kind, named.as_slice()) {
        (Some(gst::ParseError::NoSuchElement), [name, ..]) => {
            let error = Error::new(ErrorKind::NotFound, OP, format!("there is no element {name}"));
            Wrong { error: error.with_hint(words::about_element(name)), word: Some((*name).to_owned()) }
        }
        (Some(gst::ParseError::NoSuchProperty), [property, element, ..]) => {
            let error = Error::invalid(OP, format!("{element} has no property {property}"));
            Wrong {
                error: error.with_hint(words::about_property(element, property)),
                word: Some((*property).to_owned()),
            }
        }
        (Some(gst::ParseError::CouldNotSetProperty), [property, element, ..]) => {
            let hint = format!("gst-inspect-1.0 {element} says what it takes");
            Wrong { error: of(ErrorKind::InvalidInput, hint), word: Some((*property).to_owned()) }
        }
        (Some(gst::ParseError::Link | gst::ParseError::DelayedLink), _) => {
            let hint = match end {
                End::Begin => {
                    "the text begins with an element that takes video, as videoconvert or x264enc; where two elements share no format, one is missing between them"
                }
                End::Finish => {
                    "the text ends with an element that gives video undecoded, as decodebin or videoconvert; where two elements share no format, one is missing between them"
                }
            };
            Wrong { error: of(ErrorKind::InvalidInput, hint.into()), word: None }
        }
        _ => {
            let hint = "gst-launch-1.0 takes the same text: elements with ! between them";
            Wrong { error: of(ErrorKind::InvalidInput, hint.into()), word: None }
        }
    }
}

/// An error or warning that an element told.
fn told(error: &glib::Error, debug: Option<glib::GString>, from: Option<&gst::Object>, missing: &[String]) -> Error {
    let name = from.map_or_else(String::new, |object| object.name().to_string());
    let factory = from.and_then(|object| object.downcast_ref::<gst::Element>()).and_then(|element| element.factory());
    let factory = factory.map(|factory| factory.name().to_string());
    let element = match factory {
        _ if name == OURS => SHOWN.to_owned(),
        // `x264enc0` is what GStreamer calls the first x264enc.
        Some(factory) if name.trim_end_matches(|c: char| c.is_ascii_digit()) == factory => factory,
        Some(factory) => format!("{factory} \"{name}\""),
        None => name,
    };
    let debug = debug.map_or_else(String::new, |debug| debug.to_string());
    // Behind the place in GStreamer's source.
    let more = debug.split_once(":\n").map_or("", |(_, more)| more.trim());
    let mut detail = format!("{element}: {}", shown(error.message().trim_end_matches('.')));
    if !more.is_empty() && !error.message().contains(more) {
        detail.push_str(&format!(" ({})", shown(more)));
    }
    if !missing.is_empty() {
        detail.push_str(&format!("; missing: {}", missing.join(", ")));
    }
    let is_negotiation = error.matches(gst::CoreError::Negotiation) || debug.contains("not-negotiated");
    let is_missing = error.matches(gst::CoreError::MissingPlugin) || error.matches(gst::StreamError::CodecNotFound);
    if is_missing || !missing.is_empty() {
        return Error::new(ErrorKind::NotFound, OP, detail)
            .with_hint("install gstreamer1.0-libav, gstreamer1.0-plugins-good, -bad or -ugly");
    }
    if is_negotiation {
        return Error::unsupported(OP, detail)
            .with_hint("elements agree on no format: put videoconvert between them, or give the pass another format");
    }
    let is_no_permission = error.matches(gst::ResourceError::NotAuthorized) || debug.contains("Permission denied");
    let is_not_found = error.matches(gst::ResourceError::NotFound) || debug.contains("No such file");
    match (is_no_permission, is_not_found) {
        (true, _) => Error::new(ErrorKind::PermissionDenied, OP, detail),
        (_, true) => Error::new(ErrorKind::NotFound, OP, detail),
        _ if error.matches(gst::ResourceError::NoSpaceLeft) => Error::failed(OP, detail).with_hint("the disk is full"),
        _ => Error::failed(OP, detail),
    }
}
