//! Contexts: OpenGL ES, the newest version offered, down to 2.0.
//!
//! In: a [`Display`]. Out: a [`Context`] that one thread at a time makes current (`Context::make_current`, in `gles`).
//! Not here: GL calls; they need the proof token [`Gl`](crate::gles::Gl).

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Display, EglError, raw};
use crate::error::{Error, ErrorKind, Result};

type Handle = *mut c_void;

const NONE: i32 = 0x3038;
const OPENGL_ES_API: u32 = 0x30A0;
const SURFACE_TYPE: i32 = 0x3033;
const PBUFFER_BIT: i32 = 0x0001;
const RENDERABLE_TYPE: i32 = 0x3040;
const OPENGL_ES2_BIT: i32 = 0x0004;
const OPENGL_ES3_BIT: i32 = 0x0040;
const WIDTH: i32 = 0x3057;
const HEIGHT: i32 = 0x3056;
/// `EGL_CONTEXT_CLIENT_VERSION` and `EGL_CONTEXT_MAJOR_VERSION` are one number.
const MAJOR_VERSION: i32 = 0x3098;
const MINOR_VERSION: i32 = 0x30FB;
const CONTEXT_FLAGS_KHR: i32 = 0x30FC;
const CONTEXT_OPENGL_DEBUG_BIT_KHR: i32 = 1;
const CONTEXT_OPENGL_DEBUG: i32 = 0x31B0;
const RESET_NOTIFICATION_STRATEGY: i32 = 0x31BD;
const RESET_NOTIFICATION_STRATEGY_EXT: i32 = 0x3138;
const LOSE_CONTEXT_ON_RESET: i32 = 0x31BF;

/// What a context should be.
#[derive(Clone, Copy, Debug)]
pub struct ContextOptions<'a> {
    /// The highest OpenGL ES version to ask for and to use: (2, 0) tests the floor. `None`: the newest offered.
    pub max_version: Option<(u8, u8)>,
    /// Ask to be told of GPU resets; without it where the driver offers none.
    pub robust: bool,
    /// Ask for a debug context: slower, says more.
    pub debug: bool,
    /// Share textures, buffers and programs with this context.
    pub share: Option<&'a Context>,
}

impl Default for ContextOptions<'_> {
    fn default() -> Self {
        Self { max_version: None, robust: true, debug: false, share: None }
    }
}

/// An OpenGL ES context that is current on one thread at most. It can be made on one thread and used on another.
#[derive(Clone)]
pub struct Context(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    display: Display,
    raw: Handle,
    /// A 1x1 pbuffer, made where a context cannot be current without a surface.
    surface: OnceLock<Surface>,
    config: Option<Config>,
    max_version: Option<(u8, u8)>,
    robust: bool,
    id: u64,
    /// Whether a [`Current`] of any thread stands for it.
    current: AtomicBool,
    /// What the layer above keeps with the context (loaded functions, names to delete).
    pub(crate) attached: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// Likewise, one for the whole share group.
    pub(crate) group_attached: Arc<OnceLock<Arc<dyn Any + Send + Sync>>>,
}

#[derive(Clone, Copy)]
struct Config(Handle);

struct Surface(Handle);

// SAFETY: an EGLContext may be used from any thread, by one at a time: `current` holds that.
unsafe impl Send for Inner {}
// SAFETY: as above; other fields are plain data or synchronised.
unsafe impl Sync for Inner {}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The id of the context that a [`Current`] of this thread stands for, 0 without.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

impl Context {
    /// Makes a context of the newest OpenGL ES version offered, with reset notification where offered.
    ///
    /// # Errors
    /// As [`Context::with_options`].
    pub fn new(display: &Display) -> Result<Self> {
        Self::with_options(display, &ContextOptions::default())
    }

    /// Makes a context.
    ///
    /// # Errors
    /// `Unsupported`: no OpenGL ES 2.0 context of any kind; the error lists every attempt. `InvalidInput`: a version
    /// below 2.0, or a context of another display to share with.
    #[doc(alias = "eglCreateContext")]
    pub fn with_options(display: &Display, options: &ContextOptions<'_>) -> Result<Self> {
        let max = options.max_version.unwrap_or((3, 2));
        if max < (2, 0) {
            let detail = format!("max_version {}.{}: OpenGL ES starts at 2.0 here", max.0, max.1);
            return Err(Error::invalid("eglCreateContext", detail));
        }
        if options.share.is_some_and(|share| share.0.display.raw() != display.raw()) {
            return Err(Error::invalid("eglCreateContext", "the context to share with is of another display"));
        }
        bind_api(display)?;
        let mut tried = Vec::new();
        for major in [3, 2].into_iter().filter(|major| *major <= max.0) {
            for config in configs(display, major) {
                for attempt in attempts(display, major, options) {
                    let config_raw = config.map_or(std::ptr::null_mut(), |config| config.0);
                    let share = options.share.map_or(std::ptr::null_mut(), |share| share.0.raw);
                    raw::clear_driver_message();
                    // SAFETY: display and share context live; the list ends with EGL_NONE; a null config is passed
                    // only where the display has no-config contexts.
                    let raw = unsafe {
                        (display.library().core.create_context)(
                            display.raw(),
                            config_raw,
                            share,
                            attempt.attributes.as_ptr(),
                        )
                    };
                    if raw.is_null() {
                        let error = display.library().last_error();
                        tried.push(format!("OpenGL ES {major}{}: {error}{}", attempt.what, raw::driver_message()));
                        continue;
                    }
                    return Ok(Self::adopt(display, raw, config, attempt.robust, options));
                }
            }
        }
        let tried = match tried.is_empty() {
            true => "no config for OpenGL ES, and no context without one or none without a surface".to_owned(),
            false => tried.join(" | "),
        };
        Err(Error::unsupported("eglCreateContext", format!("{display}: {tried}")))
    }

    fn adopt(
        display: &Display,
        raw: Handle,
        config: Option<Config>,
        robust: bool,
        options: &ContextOptions<'_>,
    ) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Inner {
            display: display.clone(),
            raw,
            surface: OnceLock::new(),
            config,
            max_version: options.max_version,
            robust,
            id,
            current: AtomicBool::new(false),
            attached: OnceLock::new(),
            group_attached: options.share.map_or_else(Arc::default, |share| share.0.group_attached.clone()),
        }))
    }

    /// The display it was made on.
    pub fn display(&self) -> &Display {
        &self.0.display
    }

    /// Whether GPU resets are reported (`gl.check()`).
    pub fn is_robust(&self) -> bool {
        self.0.robust
    }

    pub(super) fn as_ptr(&self) -> *mut c_void {
        self.0.raw
    }

    pub(crate) fn max_version(&self) -> Option<(u8, u8)> {
        self.0.max_version
    }

    /// Makes the context current on this thread, without a surface where possible, until the token is dropped.
    ///
    /// # Errors
    /// `InvalidInput`: this context, or another one of this crate on this thread, is current. `ContextLost`. `Failed`.
    #[doc(alias = "eglMakeCurrent")]
    pub(crate) fn bind(&self) -> Result<Current> {
        let inner = &self.0;
        if CURRENT.get() != 0 {
            let which = if CURRENT.get() == inner.id { "this context" } else { "another context" };
            return Err(Error::invalid("eglMakeCurrent", format!("{which} is already current on this thread"))
                .with_hint("drop the Gl of the first make_current"));
        }
        if inner.current.swap(true, Ordering::Acquire) {
            return Err(Error::invalid("eglMakeCurrent", "this context is current on another thread")
                .with_hint("drop its Gl there first, or make a second context that shares with it"));
        }
        match self.bind_best() {
            Ok(()) => {
                CURRENT.set(inner.id);
                Ok(Current { context: self.clone(), _not_send: PhantomData })
            }
            Err(error) => {
                inner.current.store(false, Ordering::Release);
                Err(error)
            }
        }
    }

    fn bind_best(&self) -> Result<()> {
        let display = &self.0.display;
        bind_api(display)?;
        let surfaceless = display.extensions().has("EGL_KHR_surfaceless_context");
        if surfaceless && self.0.surface.get().is_none() {
            match self.try_current(std::ptr::null_mut()) {
                Ok(()) => return Ok(()),
                Err(EglError::BAD_MATCH) => tracing::debug!("no current context without a surface: making a pbuffer"),
                Err(error) => return Err(current_error(display, error)),
            }
        }
        let surface = match self.0.surface.get() {
            Some(surface) => surface.0,
            None => {
                let surface = self.pbuffer()?;
                self.0.surface.get_or_init(|| Surface(surface)).0
            }
        };
        self.try_current(surface).map_err(|error| current_error(display, error))
    }

    fn try_current(&self, surface: Handle) -> std::result::Result<(), EglError> {
        let display = &self.0.display;
        // SAFETY: context and surface are of this display and live; `current` keeps other threads away.
        match unsafe { (display.library().core.make_current)(display.raw(), surface, surface, self.0.raw) } {
            0 => Err(display.library().last_error()),
            _ => Ok(()),
        }
    }

    fn pbuffer(&self) -> Result<Handle> {
        let display = &self.0.display;
        let config = match self.0.config {
            Some(config) => config,
            None => choose_config(display, OPENGL_ES2_BIT, PBUFFER_BIT)
                .ok_or_else(|| Error::unsupported("eglChooseConfig", "no config has pbuffers"))?,
        };
        let attributes = [WIDTH, 1, HEIGHT, 1, NONE];
        // SAFETY: config is of this display; the list ends with EGL_NONE.
        let surface =
            unsafe { (display.library().core.create_pbuffer_surface)(display.raw(), config.0, attributes.as_ptr()) };
        if surface.is_null() {
            let error = display.library().last_error();
            return Err(Error::unsupported("eglCreatePbufferSurface", format!("1x1: {error}")));
        }
        Ok(surface)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({} on {})", self.0.id, self.0.display)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let core = &self.display.library().core;
        // SAFETY: a Current holds this struct, so the context is current nowhere; both handles are destroyed once and
        // before the display, which is a field.
        unsafe {
            if let Some(surface) = self.surface.get() {
                (core.destroy_surface)(self.display.raw(), surface.0);
            }
            (core.destroy_context)(self.display.raw(), self.raw);
        }
    }
}

/// Proof that a context is current on this thread; dropping it releases the context.
pub(crate) struct Current {
    context: Context,
    _not_send: PhantomData<*const ()>,
}

impl Current {
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn display(&self) -> &Display {
        &self.context.0.display
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        let display = &self.context.0.display;
        let none = std::ptr::null_mut();
        // SAFETY: releasing the current context of this thread; no surface, no context.
        if unsafe { (display.library().core.make_current)(display.raw(), none, none, none) } == 0 {
            let error = display.library().last_error();
            tracing::error!(%error, "eglMakeCurrent at release");
        }
        CURRENT.set(0);
        self.context.0.current.store(false, Ordering::Release);
    }
}

fn current_error(display: &Display, error: EglError) -> Error {
    let kind = match error {
        EglError::CONTEXT_LOST => ErrorKind::ContextLost,
        EglError::BAD_ALLOC => ErrorKind::OutOfMemory,
        _ => ErrorKind::Failed,
    };
    Error::new(kind, "eglMakeCurrent", format!("{display}: {error}{}", raw::driver_message()))
}

/// The API that the next calls of this thread are about.
fn bind_api(display: &Display) -> Result<()> {
    // SAFETY: no preconditions.
    match unsafe { (display.library().core.bind_api)(OPENGL_ES_API) } {
        0 => Err(Error::unsupported("eglBindAPI", format!("{display}: {}", display.library().last_error()))),
        _ => Ok(()),
    }
}

struct Attempt {
    attributes: Vec<i32>,
    robust: bool,
    what: &'static str,
}

/// Attribute lists for one major version, the most wished-for first.
fn attempts(display: &Display, major: u8, options: &ContextOptions<'_>) -> Vec<Attempt> {
    let extensions = display.extensions();
    let core = display.version() >= (1, 5);
    let create_context = extensions.has("EGL_KHR_create_context");
    let mut base = vec![MAJOR_VERSION, i32::from(major)];
    if core || create_context {
        base.extend([MINOR_VERSION, 0]);
    }
    let robust: Option<i32> = match options.robust {
        true if extensions.has("EGL_EXT_create_context_robustness") => Some(RESET_NOTIFICATION_STRATEGY_EXT),
        true if core => Some(RESET_NOTIFICATION_STRATEGY),
        _ => None,
    };
    let debug = match options.debug {
        true if create_context => Some([CONTEXT_FLAGS_KHR, CONTEXT_OPENGL_DEBUG_BIT_KHR]),
        true if core => Some([CONTEXT_OPENGL_DEBUG, 1]),
        _ => None,
    };
    let mut attempts = Vec::new();
    for (with_robust, with_debug, what) in [
        (true, true, ", reset notification, debug"),
        (true, false, ", reset notification"),
        (false, true, ", debug"),
        (false, false, ""),
    ] {
        if with_robust && robust.is_none() || with_debug && debug.is_none() {
            continue;
        }
        let mut attributes = base.clone();
        attributes.extend(robust.filter(|_| with_robust).into_iter().flat_map(|name| [name, LOSE_CONTEXT_ON_RESET]));
        attributes.extend(debug.filter(|_| with_debug).into_iter().flatten());
        attributes.push(NONE);
        attempts.push(Attempt { attributes, robust: with_robust, what });
    }
    attempts
}

/// Configs to try: none at all where the display allows that and a context can be current without a surface.
fn configs(display: &Display, major: u8) -> Vec<Option<Config>> {
    let extensions = display.extensions();
    let no_config = extensions.has("EGL_KHR_no_config_context") || extensions.has("EGL_MESA_configless_context");
    let surfaceless = extensions.has("EGL_KHR_surfaceless_context");
    let renderable = if major >= 3 { OPENGL_ES3_BIT } else { OPENGL_ES2_BIT };
    let mut configs = Vec::new();
    if no_config && surfaceless {
        configs.push(None);
    }
    configs.extend(choose_config(display, renderable, PBUFFER_BIT).map(Some));
    if surfaceless {
        configs.extend(choose_config(display, renderable, 0).map(Some));
    }
    configs
}

fn choose_config(display: &Display, renderable: i32, surface: i32) -> Option<Config> {
    let attributes = [RENDERABLE_TYPE, renderable, SURFACE_TYPE, surface, NONE];
    let (mut config, mut count) = (std::ptr::null_mut(), 0);
    // SAFETY: the list ends with EGL_NONE; there is room for one config.
    let ok = unsafe {
        (display.library().core.choose_config)(display.raw(), attributes.as_ptr(), &mut config, 1, &mut count)
    };
    (ok != 0 && count > 0).then_some(Config(config))
}
