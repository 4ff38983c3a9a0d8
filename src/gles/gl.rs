//! The proof that a context is current, and what that context can do.
//!
//! In: [`Context::make_current`]. Out: [`Gl`], which every GL call of this crate takes.
//! Not here: objects (`texture`, `framebuffer`, `program`).

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use glow::HasContext;

use super::names::{Dead, Kind, Name, Queue, SyncName};
use super::program_cache::ProgramCache;
use crate::egl::context::Current;
use crate::egl::library::{Library, parse_version};
use crate::egl::{Context, Display, Extensions, FenceWays};
use crate::error::{Error, ErrorKind, Result};

const DEBUG_OUTPUT: u32 = 0x92E0;
const DEBUG_OUTPUT_SYNCHRONOUS: u32 = 0x8242;

/// What the current context can do.
#[derive(Clone, Debug)]
pub struct Caps {
    /// OpenGL ES version to be used: the driver's, or [`ContextOptions::max_version`](crate::egl::ContextOptions) where
    /// that is lower.
    pub version: (u8, u8),
    /// `GL_VERSION`, as the driver says it.
    pub version_text: String,
    /// `GL_VENDOR`
    pub vendor: String,
    /// `GL_RENDERER`
    pub renderer: String,
    /// Extension names.
    pub extensions: Extensions,
    /// Largest width and height of a texture, in pixels.
    pub max_texture_size: u32,
    /// Pictures are made by the CPU (llvmpipe, softpipe, SwiftShader).
    pub is_software: bool,
    /// Fragment shaders have `highp` floats.
    pub fragment_highp: bool,
}

impl Caps {
    /// Whether the version is at least this.
    pub fn at_least(&self, major: u8, minor: u8) -> bool {
        self.version >= (major, minor)
    }

    /// Whether shaders in GLSL ES 3.00 may sample external textures; those in 1.00 may wherever there are any.
    pub fn has_external_essl300(&self) -> bool {
        self.at_least(3, 0) && self.extensions.has("GL_OES_EGL_image_external_essl3")
    }

    /// Whether external textures of YUV formats may be drawn into, by shaders in GLSL ES 3.00 with `layout(yuv)`.
    pub fn has_yuv_target(&self) -> bool {
        self.at_least(3, 0) && self.extensions.has("GL_EXT_YUV_target")
    }
}

/// Loaded functions and facts of one context, kept with it between `make_current` calls.
struct Shared {
    glow: glow::Context,
    own: Functions,
    caps: Caps,
    /// Framebuffers and queries belong to the context alone.
    own_names: Arc<Queue>,
    /// Everything else to the share group.
    group_names: Arc<Queue>,
    triangle: OnceLock<Name>,
    fence_ways: OnceLock<FenceWays>,
    program_cache: OnceLock<ProgramCache>,
    uuids: OnceLock<super::external::Uuids>,
}

/// Entry points that glow lacks, or in which it trusts the driver too much.
#[derive(Default)]
pub(super) struct Functions {
    pub(super) image_target_texture: Option<unsafe extern "system" fn(u32, *mut c_void)>,
    pub(super) image_target_renderbuffer: Option<unsafe extern "system" fn(u32, *mut c_void)>,
    /// Both or neither: `GL_EXT_multisampled_render_to_texture`.
    pub(super) texture_multisample: Option<unsafe extern "system" fn(u32, u32, u32, u32, i32, i32)>,
    pub(super) renderbuffer_multisample: Option<unsafe extern "system" fn(u32, i32, u32, i32, i32)>,
    reset_status: Option<unsafe extern "system" fn() -> u32>,
    shader_info_log: Option<unsafe extern "system" fn(u32, i32, *mut i32, *mut c_char)>,
    program_info_log: Option<unsafe extern "system" fn(u32, i32, *mut i32, *mut c_char)>,
    debug_callback: Option<unsafe extern "system" fn(Option<DebugCallback>, *const c_void)>,
    pub(super) timer: Option<super::timer::Functions>,
    pub(super) memory: Option<super::external::MemoryFunctions>,
    pub(super) semaphore: Option<super::external::SemaphoreFunctions>,
}

type DebugCallback = unsafe extern "system" fn(u32, u32, u32, u32, i32, *const c_char, *const c_void);

/// A context is current on this thread while this value lives. It cannot go to another thread.
///
/// Dropping it deletes the GL names that went out of scope and releases the context.
///
/// ```compile_fail
/// fn needs_send<T: Send>() {}
/// needs_send::<darkframe::gles::Gl>();
/// ```
pub struct Gl {
    shared: Arc<Shared>,
    // After `shared`: Drop still needs the context current.
    current: Current,
}

impl Context {
    /// Makes this context current on this thread until the token is dropped. Names that went out of scope meanwhile are
    /// deleted.
    ///
    /// The context of another library that is current on this thread is replaced, not restored.
    ///
    /// # Errors
    /// `InvalidInput`: it is current already, here or on another thread, or another context of this crate is current on
    /// this thread. `ContextLost`; `Failed`; `Unsupported` where the driver's version string is not OpenGL ES 2.0 or newer.
    #[doc(alias = "eglMakeCurrent")]
    pub fn make_current(&self) -> Result<Gl> {
        let current = self.bind()?;
        let shared = match self.0.attached.get().cloned().and_then(|any| any.downcast::<Shared>().ok()) {
            Some(shared) => shared,
            None => {
                let shared = Arc::new(Shared::load(&current)?);
                let _ = self.0.attached.set(shared.clone() as Arc<dyn Any + Send + Sync>);
                shared
            }
        };
        let gl = Gl { shared, current };
        gl.collect();
        Ok(gl)
    }
}

impl Shared {
    fn load(current: &Current) -> Result<Self> {
        let library = current.display().library();
        let context = current.context();
        // glow panics on a missing or odd version string: it is read before.
        let version_text = gl_string(library, glow::VERSION)?;
        let version = parse_gl_version(&version_text).ok_or_else(|| {
            Error::unsupported("GL_VERSION", format!("\"{version_text}\" is no OpenGL ES 2.0 or newer"))
        })?;
        current.display().note_gl_version(&version_text);
        let vendor = gl_string(library, glow::VENDOR)?;
        let renderer = gl_string(library, glow::RENDERER)?;
        let extensions_text = match version.0 {
            2 => gl_string(library, glow::EXTENSIONS)?,
            _ if library.gl_address(c"glGetStringi").is_null() => {
                return Err(Error::unsupported("glGetStringi", format!("\"{version_text}\" without it")));
            }
            _ => String::new(),
        };
        let address = |name: &std::ffi::CStr| {
            let address = library.gl_address(name).cast_const();
            // OpenGL ES 2 has these two with another name, and the same meaning.
            match name.to_bytes() {
                b"glGetProgramBinary" if address.is_null() => library.gl_address(c"glGetProgramBinaryOES").cast_const(),
                b"glProgramBinary" if address.is_null() => library.gl_address(c"glProgramBinaryOES").cast_const(),
                _ => address,
            }
        };
        // SAFETY: a context is current; the loader returns addresses of GL functions, and version and extension strings
        // were read above as glow reads them.
        let glow = unsafe { glow::Context::from_loader_function_cstr(address) };
        let extensions = match version.0 {
            2 => Extensions::new(extensions_text),
            _ => Extensions::new(glow.supported_extensions().iter().cloned().collect::<Vec<_>>().join(" ")),
        };
        // SAFETY: a context is current; both queries exist in OpenGL ES 2.0.
        let (max_texture_size, highp) = unsafe {
            (
                glow.get_parameter_i32(glow::MAX_TEXTURE_SIZE),
                glow.get_shader_precision_format(glow::FRAGMENT_SHADER, glow::HIGH_FLOAT),
            )
        };
        let lower = renderer.to_ascii_lowercase();
        let caps = Caps {
            version: context.max_version().map_or(version, |max| version.min(max)),
            version_text,
            vendor,
            is_software: ["llvmpipe", "softpipe", "swrast", "swiftshader", "software rasterizer"]
                .iter()
                .any(|name| lower.contains(name)),
            renderer,
            max_texture_size: u32::try_from(max_texture_size).unwrap_or(0).max(64),
            fragment_highp: highp.is_some_and(|format| format.precision > 0),
            extensions,
        };
        let group = context.0.group_attached.get_or_init(|| Arc::new(Queue::default()));
        let group_names = group.clone().downcast::<Queue>().unwrap_or_default();
        let shared = Self {
            own: Functions::resolve(library, version, &caps.extensions),
            glow,
            caps,
            own_names: Arc::default(),
            group_names,
            triangle: OnceLock::new(),
            fence_ways: OnceLock::new(),
            program_cache: OnceLock::new(),
            uuids: OnceLock::new(),
        };
        shared.listen();
        tracing::debug!(version = shared.caps.version_text, renderer = shared.caps.renderer, "context ready");
        Ok(shared)
    }

    /// Sends the driver's messages to `tracing`, where it offers them.
    fn listen(&self) {
        let Some(set) = self.own.debug_callback else { return };
        // SAFETY: GL_KHR_debug or OpenGL ES 3.2 has all three; the callback lives for ever and uses no user data.
        unsafe {
            set(Some(on_message), std::ptr::null());
            self.glow.enable(DEBUG_OUTPUT);
            self.glow.enable(DEBUG_OUTPUT_SYNCHRONOUS);
        }
    }
}

impl Functions {
    fn resolve(library: &Library, version: (u8, u8), extensions: &Extensions) -> Self {
        macro_rules! load {
            ($condition:expr, $name:literal) => {{
                let address = if $condition { library.gl_address($name) } else { std::ptr::null_mut() };
                // SAFETY: the version or an extension names this function, whose C type is the field's; a null address
                // becomes None.
                unsafe { std::mem::transmute::<*mut c_void, Option<_>>(address) }
            }};
        }
        let image = extensions.has("GL_OES_EGL_image");
        let external = extensions.has("GL_OES_EGL_image_external") || extensions.has("GL_OES_EGL_image_external_essl3");
        let multisampled = extensions.has("GL_EXT_multisampled_render_to_texture");
        let mut functions = Self {
            image_target_texture: load!(image || external, c"glEGLImageTargetTexture2DOES"),
            image_target_renderbuffer: load!(image, c"glEGLImageTargetRenderbufferStorageOES"),
            texture_multisample: load!(multisampled, c"glFramebufferTexture2DMultisampleEXT"),
            renderbuffer_multisample: load!(multisampled, c"glRenderbufferStorageMultisampleEXT"),
            reset_status: load!(version >= (3, 2), c"glGetGraphicsResetStatus"),
            shader_info_log: load!(true, c"glGetShaderInfoLog"),
            program_info_log: load!(true, c"glGetProgramInfoLog"),
            debug_callback: load!(extensions.has("GL_KHR_debug"), c"glDebugMessageCallbackKHR"),
            timer: super::timer::Functions::resolve(library, extensions),
            memory: super::external::MemoryFunctions::resolve(library, extensions),
            semaphore: super::external::SemaphoreFunctions::resolve(library, extensions),
        };
        if functions.renderbuffer_multisample.is_none() {
            functions.texture_multisample = None;
        }
        if functions.reset_status.is_none() {
            functions.reset_status = load!(extensions.has("GL_KHR_robustness"), c"glGetGraphicsResetStatusKHR");
        }
        if functions.reset_status.is_none() {
            functions.reset_status = load!(extensions.has("GL_EXT_robustness"), c"glGetGraphicsResetStatusEXT");
        }
        if functions.debug_callback.is_none() {
            functions.debug_callback = load!(version >= (3, 2), c"glDebugMessageCallback");
        }
        functions
    }
}

impl Gl {
    /// Keeps linked programs in `cache` from now on, where this driver gives and takes binaries and gains by it; says
    /// whether it does. The first cache stays.
    pub fn keep_programs(&self, cache: ProgramCache) -> bool {
        cache.serves(self) && self.shared.program_cache.set(cache).is_ok()
    }

    pub(super) fn program_cache(&self) -> Option<&ProgramCache> {
        self.shared.program_cache.get()
    }

    /// What the context can do.
    pub fn caps(&self) -> &Caps {
        &self.shared.caps
    }

    /// The display of the context.
    pub fn display(&self) -> &Display {
        self.current.display()
    }

    /// The bare functions, for what this crate does not wrap.
    ///
    /// A function that the context's version lacks panics when called: look at [`Gl::caps`] first. State that is changed
    /// here (bindings, enables) is set anew by this crate's own calls where it matters to them, except blending, depth
    /// and stencil tests, colour mask and pixel-store values, which must be put back.
    pub fn glow(&self) -> &glow::Context {
        &self.shared.glow
    }

    /// A number of the context. `name` must exist in OpenGL ES 2.0 and have one value.
    pub(crate) fn integer(&self, name: u32) -> i32 {
        // SAFETY: a context is current; one value is written.
        unsafe { self.glow().get_parameter_i32(name) }
    }

    /// Waits until the GPU has done everything so far.
    #[doc(alias = "glFinish")]
    pub fn finish(&self) {
        // SAFETY: a context is current.
        unsafe { self.glow().finish() }
    }

    /// Hands everything so far to the GPU; does not wait.
    #[doc(alias = "glFlush")]
    pub fn flush(&self) {
        // SAFETY: a context is current.
        unsafe { self.glow().flush() }
    }

    /// Deletes the names that went out of scope, and says how many.
    pub fn collect(&self) -> usize {
        let mut names = self.shared.own_names.drain();
        names.extend(self.shared.group_names.drain());
        let glow = self.glow();
        for dead in &names {
            // SAFETY: the name was made in this context's share group (framebuffers and queries: in this context) and its only
            // owner is gone.
            unsafe {
                match *dead {
                    Dead::Name(Kind::Texture, raw) => glow.delete_texture(glow::NativeTexture(raw)),
                    Dead::Name(Kind::Renderbuffer, raw) => glow.delete_renderbuffer(glow::NativeRenderbuffer(raw)),
                    Dead::Name(Kind::Framebuffer, raw) => glow.delete_framebuffer(glow::NativeFramebuffer(raw)),
                    Dead::Name(Kind::Buffer, raw) => glow.delete_buffer(glow::NativeBuffer(raw)),
                    Dead::Name(Kind::Program, raw) => glow.delete_program(glow::NativeProgram(raw)),
                    Dead::Name(Kind::Shader, raw) => glow.delete_shader(glow::NativeShader(raw)),
                    // Queries are made by these functions alone.
                    Dead::Name(Kind::Query, raw) => {
                        if let Some(timer) = self.own().timer {
                            (timer.delete)(1, &raw.get());
                        }
                    }
                    // So are memory objects and semaphores.
                    Dead::Name(Kind::Memory, raw) => {
                        if let Some(memory) = self.own().memory {
                            (memory.delete)(1, &raw.get());
                        }
                    }
                    Dead::Name(Kind::Semaphore, raw) => {
                        if let Some(semaphore) = self.own().semaphore {
                            (semaphore.delete)(1, &raw.get());
                        }
                    }
                    Dead::Sync(raw) => glow.delete_sync(raw),
                }
            }
        }
        names.len()
    }

    /// Number of names that wait for [`Gl::collect`].
    pub fn pending_names(&self) -> usize {
        self.shared.own_names.len() + self.shared.group_names.len()
    }

    /// Fails where the context is lost, or where a GL error is pending (a bug, here or in the driver). Takes all errors.
    ///
    /// # Errors
    /// `ContextLost` with who is guilty, where the context is robust; `OutOfMemory`; `Failed` with the GL errors.
    #[doc(alias = "glGetGraphicsResetStatus")]
    pub fn check(&self) -> Result<()> {
        if self.current.context().is_robust()
            && let Some(status) = self.shared.own.reset_status
        {
            // SAFETY: a context is current and names this function.
            let guilt = match unsafe { status() } {
                0 => None,
                0x8253 => Some("GL_GUILTY_CONTEXT_RESET: a draw of this context hung the GPU"),
                0x8254 => Some("GL_INNOCENT_CONTEXT_RESET: another program hung the GPU"),
                _ => Some("GL_UNKNOWN_CONTEXT_RESET"),
            };
            if let Some(guilt) = guilt {
                return Err(Error::new(ErrorKind::ContextLost, "glGetGraphicsResetStatus", guilt)
                    .with_hint("drop everything made with this context and make it again"));
            }
        }
        self.check_error("glGetError", || "a GL error was pending".into())
    }

    /// Fails where a GL error is pending; takes all of them.
    pub(super) fn check_error(&self, op: &'static str, what: impl FnOnce() -> String) -> Result<()> {
        let mut errors = Vec::new();
        // A lost context may report for ever: 16 is plenty.
        for _ in 0..16 {
            // SAFETY: a context is current.
            match unsafe { self.glow().get_error() } {
                glow::NO_ERROR => break,
                error => errors.push(error),
            }
        }
        let Some(first) = errors.first() else { return Ok(()) };
        let kind = match *first {
            glow::OUT_OF_MEMORY => ErrorKind::OutOfMemory,
            0x0507 => ErrorKind::ContextLost,
            _ => ErrorKind::Failed,
        };
        let names: Vec<String> = errors.iter().map(|error| error_name(*error)).collect();
        Err(Error::new(kind, op, format!("{}: {}", what(), names.join(", "))))
    }

    /// Clears the bound framebuffer (red, green, blue, alpha in 0..1).
    pub fn clear(&self, rgba: [f32; 4]) {
        // SAFETY: a context is current.
        unsafe {
            self.glow().clear_color(rgba[0], rgba[1], rgba[2], rgba[3]);
            self.glow().clear(glow::COLOR_BUFFER_BIT);
        }
    }

    pub(crate) fn current(&self) -> &Current {
        &self.current
    }

    pub(super) fn fence_ways_slot(&self) -> &OnceLock<FenceWays> {
        &self.shared.fence_ways
    }

    pub(super) fn uuids_slot(&self) -> &OnceLock<super::external::Uuids> {
        &self.shared.uuids
    }

    pub(super) fn own(&self) -> &Functions {
        &self.shared.own
    }

    /// Wraps a new GL name.
    pub(super) fn name(&self, kind: Kind, raw: NonZeroU32) -> Name {
        // Framebuffers and queries belong to the context alone.
        let is_own = matches!(kind, Kind::Framebuffer | Kind::Query);
        let queue = if is_own { &self.shared.own_names } else { &self.shared.group_names };
        Name::new(kind, raw, queue)
    }

    /// Wraps a new sync.
    pub(super) fn sync_name(&self, raw: glow::NativeFence) -> SyncName {
        SyncName::new(raw, &self.shared.group_names)
    }

    /// Whether `sync` belongs to this share group.
    pub(super) fn owns_sync(&self, sync: &SyncName) -> bool {
        sync.is_of(&self.shared.group_names)
    }

    /// Fails where `name` belongs to another context.
    pub(super) fn check_name(&self, name: &Name, what: &'static str) -> Result<()> {
        if name.is_of(&self.shared.own_names) || name.is_of(&self.shared.group_names) {
            return Ok(());
        }
        Err(Error::invalid(what, "made with another context than the one that is current")
            .with_hint("share the contexts (ContextOptions::share), or use it with its own"))
    }

    /// The triangle that covers the target, made at the first draw.
    pub(super) fn triangle(&self) -> Result<&Name> {
        if let Some(name) = self.shared.triangle.get() {
            return Ok(name);
        }
        let corners: [f32; 6] = [-1.0, -1.0, 3.0, -1.0, -1.0, 3.0];
        let bytes: Vec<u8> = corners.iter().flat_map(|value| value.to_ne_bytes()).collect();
        // SAFETY: a context is current; buffers exist in OpenGL ES 2.0.
        let buffer = unsafe {
            let buffer = self.glow().create_buffer().map_err(|error| Error::failed("glGenBuffers", error))?;
            self.glow().bind_buffer(glow::ARRAY_BUFFER, Some(buffer));
            self.glow().buffer_data_u8_slice(glow::ARRAY_BUFFER, &bytes, glow::STATIC_DRAW);
            buffer
        };
        let name = self.name(Kind::Buffer, buffer.0);
        self.check_error("glBufferData", || "the triangle".into())?;
        Ok(self.shared.triangle.get_or_init(|| name))
    }

    /// The driver's log of a shader or program. glow takes it for UTF-8, which drivers do not promise.
    pub(super) fn info_log(&self, kind: Kind, raw: NonZeroU32) -> String {
        let get = match kind {
            Kind::Program => self.own().program_info_log,
            _ => self.own().shader_info_log,
        };
        let Some(get) = get else { return String::new() };
        let mut log = vec![0u8; 16 * 1024];
        let mut len = 0;
        // SAFETY: the buffer has as many bytes as said; the name is a live shader or program.
        unsafe { get(raw.get(), log.len() as i32, &mut len, log.as_mut_ptr().cast()) };
        log.truncate(usize::try_from(len).unwrap_or(0));
        String::from_utf8_lossy(&log).trim_end_matches(['\0', '\n', ' ']).to_owned()
    }
}

impl Drop for Gl {
    fn drop(&mut self) {
        self.collect();
    }
}

impl std::fmt::Debug for Gl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gl({}, {})", self.caps().version_text, self.caps().renderer)
    }
}

fn gl_string(library: &Library, name: u32) -> Result<String> {
    let address = library.gl_address(c"glGetString");
    if address.is_null() {
        return Err(Error::unsupported("glGetString", "libGLESv2 has no such function"));
    }
    // SAFETY: glGetString is core in every version and the address is not null.
    let get = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "system" fn(u32) -> *const c_char>(address) };
    // SAFETY: a context is current (the caller holds a Current); the string is static and NUL-terminated, or null.
    let text = unsafe {
        let text = get(name);
        if text.is_null() {
            return Err(Error::failed("glGetString", format!("0x{name:04X}: NULL with a current context")));
        }
        CStr::from_ptr(text)
    };
    match text.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Error::unsupported("glGetString", format!("0x{name:04X}: {text:?} is no UTF-8"))),
    }
}

/// Major and minor of `OpenGL ES 3.2 Mesa …`; `None` for OpenGL ES 1 and for desktop GL.
fn parse_gl_version(text: &str) -> Option<(u8, u8)> {
    let (_, rest) = text.split_once("OpenGL ES ")?;
    let (major, minor) = parse_version(rest)?;
    let version = (u8::try_from(major).ok()?, u8::try_from(minor).ok()?);
    (version >= (2, 0)).then_some(version)
}

fn error_name(error: u32) -> String {
    let name = match error {
        0x0500 => "GL_INVALID_ENUM",
        0x0501 => "GL_INVALID_VALUE",
        0x0502 => "GL_INVALID_OPERATION",
        0x0505 => "GL_OUT_OF_MEMORY",
        0x0506 => "GL_INVALID_FRAMEBUFFER_OPERATION",
        0x0507 => "GL_CONTEXT_LOST",
        _ => "GL error",
    };
    format!("{name} (0x{error:04X})")
}

unsafe extern "system" fn on_message(
    source: u32,
    kind: u32,
    id: u32,
    severity: u32,
    len: i32,
    message: *const c_char,
    _user: *const c_void,
) {
    if message.is_null() {
        return;
    }
    // SAFETY: `len` bytes, or a NUL-terminated string where it is negative; valid during the call.
    let bytes = unsafe {
        match usize::try_from(len) {
            Ok(len) => std::slice::from_raw_parts(message.cast::<u8>(), len),
            Err(_) => CStr::from_ptr(message).to_bytes(),
        }
    };
    let message = String::from_utf8_lossy(bytes);
    let message = message.trim_end();
    let is_error = kind == 0x824C;
    match severity {
        // GL_DEBUG_SOURCE_SHADER_COMPILER: the same words come as the shader's log, with the author's lines.
        _ if source == 0x8248 => tracing::debug!(target: "darkframe::gl", id, "{message}"),
        _ if is_error => tracing::error!(target: "darkframe::gl", id, "{message}"),
        0x9146 => tracing::warn!(target: "darkframe::gl", id, "{message}"),
        0x9147 => tracing::info!(target: "darkframe::gl", id, "{message}"),
        _ => tracing::debug!(target: "darkframe::gl", id, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_es_only() {
        assert_eq!(parse_gl_version("OpenGL ES 3.2 Mesa 22.3.6"), Some((3, 2)));
        assert_eq!(parse_gl_version("OpenGL ES 2.0 \"r6p2\""), Some((2, 0)));
        assert_eq!(parse_gl_version("OpenGL ES-CM 1.1"), None);
        assert_eq!(parse_gl_version("4.6 (Core Profile) Mesa"), None);
        assert_eq!(parse_gl_version("OpenGL ES x"), None);
    }
}
