//! Frames as a node of PipeWire: offered to whoever links to it, and taken from whatever it is linked to.
//!
//! In: frames and the memories that they come in, or the name of a node. Out: frames in another process, their memory shared.
//! Not here: who links nodes (a session manager, `pw-link`).
//!
//! [`Output`] is a video source in PipeWire's words: it offers dma-bufs with their modifier and, to consumers that take none,
//! memory files. [`Input`] takes what such a node gives. Either speaks to PipeWire on a thread of its own. Where both ends
//! have timelines (PipeWire 1.2), fences are points on them; else fences are attached to the dma-buf, or waited for.
//!
//! # References
//! <https://docs.pipewire.org/page_dma_buf.html>

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ::pipewire as pw;
use pw::loop_::{IoSource, Loop};
use pw::spa::support::system::IoFlags;

use crate::error::{Error, ErrorKind, Result};

pub mod input;
mod links;
pub mod output;
mod params;

pub use input::Input;
use links::Links;
pub use output::Output;

/// The name of this protocol in errors.
const OP: &str = "pipewire";
/// How long a fence may take: longer is a hang.
const HANG: Duration = Duration::from_secs(10);

/// A connection to the daemon. Fields are dropped in this order.
struct Connection {
    core: pw::core::CoreRc,
    _context: pw::context::ContextRc,
    main_loop: pw::main_loop::MainLoopRc,
}

impl Connection {
    /// Connects to the daemon named `remote`, or to that of the environment.
    fn open(remote: Option<&str>) -> Result<Self> {
        pw::init();
        let failed = |what: &'static str| {
            move |error: pw::Error| {
                Error::failed(OP, format!("{what}: {error}")).with_hint("is PipeWire installed whole?")
            }
        };
        let main_loop = pw::main_loop::MainLoopRc::new(None).map_err(failed("pw_main_loop_new"))?;
        let context = pw::context::ContextRc::new(&main_loop, None).map_err(failed("pw_context_new"))?;
        let properties = remote.map(|remote| {
            let mut properties = pw::properties::PropertiesBox::new();
            properties.insert("remote.name", remote);
            properties
        });
        let core = context.connect_rc(properties).map_err(|_| {
            let name = remote.map_or_else(default_remote, str::to_owned);
            Error::new(ErrorKind::NotFound, OP, format!("no daemon answers at \"{name}\""))
                .with_hint("start pipewire, or name its socket: XDG_RUNTIME_DIR or PIPEWIRE_RUNTIME_DIR, PIPEWIRE_REMOTE, socket = \"…\"")
        })?;
        Ok(Self { core, _context: context, main_loop })
    }

    /// Calls `gone` when the daemon goes away. It is heard of as long as the result is kept.
    fn on_gone(&self, gone: impl Fn(String) + 'static) -> pw::core::Listener {
        self.core
            .add_listener_local()
            .error(move |id, _sequence, result, message| {
                if id == pw::core::PW_ID_CORE && result == -libc::EPIPE {
                    gone(message.to_owned());
                }
            })
            .register()
    }
}

fn default_remote() -> String {
    std::env::var("PIPEWIRE_REMOTE").unwrap_or_else(|_| "pipewire-0".into())
}

fn daemon_is_gone(frames: u64) -> Error {
    Error::new(ErrorKind::PeerClosed, OP, format!("the PipeWire daemon went away after {frames} frames"))
}

/// Wakes a thread that waits in a loop.
#[derive(Debug)]
struct Waker(UnixStream);

impl Waker {
    /// And what it is to listen to.
    fn new() -> Result<(Self, UnixStream)> {
        let pair = UnixStream::pair().and_then(|(waker, woken)| {
            waker.set_nonblocking(true)?;
            woken.set_nonblocking(true)?;
            Ok((Self(waker), woken))
        });
        pair.map_err(|error| Error::from_io("socketpair", OP, error))
    }

    fn wake(&self) {
        // A full pipe wakes as well.
        let _ = (&self.0).write(&[0]);
    }
}

/// Makes `main_loop` return when the waker is used.
fn listen(main_loop: &Loop, woken: UnixStream) -> IoSource<'_, Woken> {
    main_loop.add_io(Woken(woken), IoFlags::IN, |woken| {
        let mut drain = [0; 256];
        while matches!(woken.0.read(&mut drain), Ok(count) if count > 0) {}
    })
}

struct Woken(UnixStream);

impl AsRawFd for Woken {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}
