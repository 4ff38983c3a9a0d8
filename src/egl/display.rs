//! Displays: one per native display in the process, terminated with the last handle.
//!
//! In: a [`Device`] and the platforms of its board. Out: a [`Display`] that says what it can import.
//! Not here: proof that an import works on this machine (pixels decide that), formats (`formats`), contexts.

use std::ffi::{CStr, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::device_list::{display_files, egl_device};
use super::formats::{DmaBufImport, FormatSupport};
use super::functions::Functions;
use super::library::Library;
use super::{EglError, Extensions, raw};
#[cfg(feature = "gbm")]
use crate::allocator::gbm::GbmDevice;
use crate::board::EglPlatform;
use crate::device::{Device, DrmNode};
use crate::error::{Error, Result};

type Handle = *mut c_void;

const EGL_VENDOR: i32 = 0x3053;
const EGL_EXTENSIONS: i32 = 0x3055;
const EGL_CLIENT_APIS: i32 = 0x308D;
#[cfg(feature = "gbm")]
const PLATFORM_GBM_KHR: u32 = 0x31D7;
const PLATFORM_DEVICE_EXT: u32 = 0x313F;
const PLATFORM_SURFACELESS_MESA: u32 = 0x31DD;

/// An initialised EGL display. Clones share it; the last one terminates it.
///
/// Displays may be used from any thread.
#[derive(Clone)]
pub struct Display(Arc<Inner>);

struct Inner {
    library: &'static Library,
    raw: Handle,
    platform: EglPlatform,
    node: Option<DrmNode>,
    version: (i32, i32),
    vendor: String,
    client_apis: String,
    extensions: Extensions,
    functions: Functions,
    limited: bool,
    formats: OnceLock<Vec<FormatSupport>>,
    gl_version: OnceLock<String>,
    // The native display must outlive eglTerminate, which Drop calls before any field goes.
    #[cfg(feature = "gbm")]
    _gbm: Option<GbmDevice>,
}

// SAFETY: EGL displays are usable from any thread (EGL 1.5, 2.1 and 3.11); the rest of the struct is plain data.
unsafe impl Send for Inner {}
// SAFETY: as above; nothing in it changes after it is built except through OnceLock.
unsafe impl Sync for Inner {}

/// Less than a driver offers: what an older one would.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    /// The highest EGL version.
    pub version: (i32, i32),
    /// Extensions that are not to be seen.
    pub hidden: &'a [&'a str],
}

struct Entry {
    library: *const Library,
    platform: EglPlatform,
    node: Option<PathBuf>,
    raw: Handle,
    inner: Weak<Inner>,
}

// SAFETY: the pointers are compared, never followed through an Entry.
unsafe impl Send for Entry {}

/// Every display of the process that is not yet terminated. Held while one is initialised or terminated.
static DISPLAYS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

impl Display {
    /// Opens the first display that initialises and offers OpenGL ES: the board's platforms in order, each on the
    /// device's render nodes, best first.
    ///
    /// A software renderer on a render node is the last choice of its platform: it maps dumb buffers with an ioctl that
    /// render nodes refuse, and Mesa 25 then reads through a null pointer. On the primary node the same works.
    ///
    /// # Errors
    /// `NotFound` where libEGL is missing; `Unsupported` with every attempt and its reason.
    pub fn open(device: &Device) -> Result<Self> {
        // The libraries are the same for all platforms: their absence is the answer.
        Library::open(&device.board().egl)?;
        let mut attempts = Vec::new();
        let nodes = device.render_candidates();
        for platform in &device.board().egl.platforms {
            let on: Vec<Option<&DrmNode>> = match platform {
                EglPlatform::Gbm => nodes.iter().copied().map(Some).collect(),
                EglPlatform::Device => nodes.iter().copied().map(Some).chain([None]).collect(),
                EglPlatform::Surfaceless | EglPlatform::Default => vec![None],
            };
            if on.is_empty() {
                attempts.push(format!("{platform}: no DRM node could be opened"));
            }
            let mut last_choice = None;
            for node in on {
                match Self::open_on(device, *platform, node) {
                    Ok(opened) if opened.is_software_on_render_node() => {
                        attempts.push(format!(
                            "{opened}: renders in software, and a render node does not map dumb buffers"
                        ));
                        last_choice = last_choice.or(Some(opened));
                    }
                    Ok(opened) => {
                        tracing::debug!("opened {opened}");
                        return Ok(opened);
                    }
                    Err(error) => attempts.push(match node {
                        Some(node) => format!("{platform} on {}: {error}", node.path().display()),
                        None => format!("{platform}: {error}"),
                    }),
                }
            }
            if let Some(opened) = last_choice {
                tracing::debug!("opened {opened}");
                return Ok(opened);
            }
        }
        Err(Error::unsupported("EGL display", format!("none works: {}", attempts.join(" | ")))
            .with_hint("set [egl] platforms in the board file to what this driver offers"))
    }

    /// Opens the display of one platform; `node` is what GBM opens and what the device platform matches.
    ///
    /// The same arguments give the same display while a handle to it lives.
    ///
    /// # Errors
    /// `NotFound`: libEGL is missing. `InvalidInput`: GBM without a node. `Unsupported`: the platform, or OpenGL ES on
    /// it, is not offered. Those of `GbmDevice::open`.
    #[doc(alias = "eglGetPlatformDisplay")]
    pub fn open_on(device: &Device, platform: EglPlatform, node: Option<&DrmNode>) -> Result<Self> {
        Self::open_limited(device, platform, node, None)
    }

    /// As [`Display::open_on`], with less than the driver offers; such a display is not shared.
    pub(super) fn open_limited(
        device: &Device,
        platform: EglPlatform,
        node: Option<&DrmNode>,
        limit: Option<Limit<'_>>,
    ) -> Result<Self> {
        let library = Library::open(&device.board().egl)?;
        let mut displays = DISPLAYS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        displays.retain(|entry| entry.inner.strong_count() > 0);
        let path = node.map(DrmNode::path);
        let known = displays.iter().filter(|entry| {
            std::ptr::eq(entry.library, library) && entry.platform == platform && entry.node.as_deref() == path
        });
        let whole = |entry: &Entry| entry.inner.upgrade().filter(|inner| !inner.limited && limit.is_none());
        if let Some(inner) = known.into_iter().find_map(whole) {
            return Ok(Self(inner));
        }

        #[cfg(feature = "gbm")]
        let mut gbm = None;
        let raw = match platform {
            EglPlatform::Gbm => {
                let Some(_node) = node else {
                    return Err(Error::invalid("EGL_KHR_platform_gbm", "a DRM node must be named"));
                };
                check_client(library, "gbm", &["EGL_KHR_platform_gbm", "EGL_MESA_platform_gbm"])?;
                #[cfg(feature = "gbm")]
                {
                    let native = GbmDevice::open(_node, device.board())?;
                    let raw = platform_display(library, PLATFORM_GBM_KHR, native.as_raw())?;
                    gbm = Some(native);
                    raw
                }
                #[cfg(not(feature = "gbm"))]
                return Err(Error::unsupported("EGL_KHR_platform_gbm", "this build has no GBM")
                    .with_hint("build with the feature \"gbm\""));
            }
            EglPlatform::Device => {
                check_client(library, "device", &["EGL_EXT_platform_device"])?;
                platform_display(library, PLATFORM_DEVICE_EXT, egl_device(library, path)?)?
            }
            EglPlatform::Surfaceless => {
                check_client(library, "surfaceless", &["EGL_MESA_platform_surfaceless"])?;
                platform_display(library, PLATFORM_SURFACELESS_MESA, std::ptr::null_mut())?
            }
            EglPlatform::Default => {
                // SAFETY: EGL_DEFAULT_DISPLAY (null) is allowed everywhere.
                let raw = unsafe { (library.core.get_display)(std::ptr::null_mut()) };
                check_display(library, "eglGetDisplay", "EGL_DEFAULT_DISPLAY", raw)?
            }
        };
        // Two ways may lead to one display (the default one may be the surfaceless one).
        if let Some(inner) = displays.iter().filter(|entry| entry.raw == raw).find_map(whole) {
            return Ok(Self(inner));
        }

        let (mut major, mut minor) = (0, 0);
        // SAFETY: `raw` is a display of this library; both pointers are valid for writes.
        if unsafe { (library.core.initialize)(raw, &mut major, &mut minor) } == 0 {
            let error = library.last_error();
            return Err(Error::unsupported("eglInitialize", format!("{platform}: {error}{}", raw::driver_message()))
                .with_hint("kernel module and user-space driver must be of the same release"));
        }
        let text = |name| library.string(raw, name).unwrap_or_default();
        let client_apis = text(EGL_CLIENT_APIS);
        if !client_apis.split_ascii_whitespace().any(|api| api == "OpenGL_ES") {
            // SAFETY: initialised above, and in use by nobody: the list of displays does not have it.
            unsafe { (library.core.terminate)(raw) };
            return Err(Error::unsupported(
                "EGL_CLIENT_APIS",
                format!("{platform}: no OpenGL_ES among \"{client_apis}\""),
            ));
        }
        let mut extensions = Extensions::new(text(EGL_EXTENSIONS));
        let mut version = (major, minor);
        if let Some(limit) = &limit {
            version = version.min(limit.version);
            let kept: Vec<&str> = extensions.iter().filter(|name| !limit.hidden.contains(name)).collect();
            extensions = Extensions::new(kept.join(" "));
        }
        let inner = Arc::new(Inner {
            library,
            raw,
            platform,
            node: node.cloned(),
            version,
            vendor: text(EGL_VENDOR),
            client_apis,
            functions: Functions::resolve(library, version, &extensions),
            extensions,
            limited: limit.is_some(),
            formats: OnceLock::new(),
            gl_version: OnceLock::new(),
            #[cfg(feature = "gbm")]
            _gbm: gbm,
        });
        let node = path.map(Path::to_owned);
        displays.push(Entry { library, platform, node, raw, inner: Arc::downgrade(&inner) });
        Ok(Self(inner))
    }

    /// Where it comes from. Where two platforms lead to one native display, the first that opened it.
    pub fn platform(&self) -> EglPlatform {
        self.0.platform
    }

    /// The DRM node it was asked for, where one was.
    pub fn node(&self) -> Option<&DrmNode> {
        self.0.node.as_ref()
    }

    /// Major and minor, as `eglInitialize` gave them.
    pub fn version(&self) -> (i32, i32) {
        self.0.version
    }

    /// `EGL_VENDOR`
    pub fn vendor(&self) -> &str {
        &self.0.vendor
    }

    /// `EGL_CLIENT_APIS`, separated by spaces.
    pub fn client_apis(&self) -> &str {
        &self.0.client_apis
    }

    /// The driver's own name (`panfrost`, `kms_swrast`), where `EGL_MESA_query_driver` tells it.
    #[doc(alias = "EGL_MESA_query_driver")]
    pub fn driver_name(&self) -> Option<String> {
        let get = self.0.functions.display_driver_name?;
        // SAFETY: the extension is listed; the string lives as long as the display, or is null.
        unsafe {
            let text = get(self.0.raw);
            if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
        }
    }

    /// The CPU draws, as far as the driver's own name tells.
    pub(super) fn is_software(&self) -> bool {
        self.driver_name().is_some_and(|name| matches!(name.as_str(), "kms_swrast" | "swrast"))
    }

    fn is_software_on_render_node(&self) -> bool {
        self.0.node.as_ref().is_some_and(DrmNode::is_render) && self.is_software()
    }

    /// The DRM node that the driver works on: the one it was asked for, else the one it says.
    pub(super) fn driver_node(&self) -> Option<PathBuf> {
        let asked = self.0.node.as_ref().map(|node| node.path().to_owned());
        asked.or_else(|| display_files(self.0.library, self.0.raw).into_iter().next().map(PathBuf::from))
    }

    /// Remembers `GL_VERSION`, which has the driver's version: EGL's own strings do not.
    pub(crate) fn note_gl_version(&self, text: &str) {
        let _ = self.0.gl_version.set(text.to_owned());
    }

    pub(super) fn gl_version(&self) -> Option<&str> {
        self.0.gl_version.get().map(String::as_str)
    }

    /// What this display offers.
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// What libEGL offers before a display is chosen: platforms, mostly.
    pub fn client_extensions(&self) -> &Extensions {
        &self.0.library.client_extensions
    }

    /// How dma-bufs can become images here; `None` where they cannot.
    #[doc(alias = "EGL_EXT_image_dma_buf_import")]
    pub fn dma_buf_import(&self) -> Option<DmaBufImport> {
        self.unsupported_reason().is_none().then(|| match self.0.functions.query_dma_buf_formats {
            Some(_) => DmaBufImport::Modifiers,
            None => DmaBufImport::Plain,
        })
    }

    /// Why dma-bufs cannot become images here, for reports; `None` where they can.
    pub fn unsupported_reason(&self) -> Option<String> {
        let missing = if !self.0.extensions.has("EGL_EXT_image_dma_buf_import") {
            "EGL_EXT_image_dma_buf_import"
        } else if self.0.functions.create_image.is_none() && self.0.functions.create_image_khr.is_none() {
            "EGL_KHR_image_base"
        } else {
            return None;
        };
        let hint = match self.0.platform {
            EglPlatform::Surfaceless if self.0.node.is_none() => {
                ": a software renderer has it only where a DRM node or /dev/udmabuf is there"
            }
            _ => "",
        };
        Some(format!("{self} does not offer {missing}{hint}"))
    }

    pub(crate) fn library(&self) -> &'static Library {
        self.0.library
    }

    pub(crate) fn raw(&self) -> Handle {
        self.0.raw
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.0.functions
    }

    pub(crate) fn format_cache(&self) -> &OnceLock<Vec<FormatSupport>> {
        &self.0.formats
    }
}

impl std::fmt::Display for Display {
    /// `EGL 1.5 Mesa Project, gbm on /dev/dri/renderD128 (panfrost)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = self.0.version;
        write!(f, "EGL {major}.{minor} {}, {}", self.0.vendor, self.0.platform)?;
        match &self.0.node {
            Some(node) => write!(f, " on {} ({})", node.path().display(), node.driver()),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Display {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Display({self})")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let displays = DISPLAYS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Another thread may have opened the same display between the last handle's end and this lock.
        if displays.iter().any(|entry| entry.raw == self.raw && entry.inner.strong_count() > 0) {
            return;
        }
        // SAFETY: contexts, images and syncs hold this struct, so none is left; nobody else has the display open.
        unsafe { (self.library.core.terminate)(self.raw) };
    }
}

/// Fails where libEGL lists its platforms and this one is not among them.
fn check_client(library: &Library, platform: &str, names: &[&str]) -> Result<()> {
    let client = &library.client_extensions;
    let gbm_without_lists = platform == "gbm" && client.iter().next().is_none();
    if gbm_without_lists || names.iter().any(|name| client.has(name)) {
        return Ok(());
    }
    Err(Error::unsupported(names[0].to_owned(), format!("libEGL does not offer the platform {platform}")))
}

fn platform_display(library: &Library, platform: u32, native: Handle) -> Result<Handle> {
    // Without attributes the core function and the extension's have the same arguments, types included.
    let name = match () {
        () if library.client_version >= (1, 5) => c"eglGetPlatformDisplay",
        () if library.client_extensions.has("EGL_EXT_platform_base") => c"eglGetPlatformDisplayEXT",
        () => c"eglGetDisplay",
    };
    let op = name.to_str().unwrap_or("eglGetPlatformDisplay");
    let address = library.egl_address(name);
    if address.is_null() {
        return Err(Error::unsupported(op, "offered, and libEGL has no such function"));
    }
    let what = format!("platform 0x{platform:04X}");
    if name == c"eglGetDisplay" {
        // SAFETY: EGL 1.4 takes any native display and answers EGL_NO_DISPLAY where it knows it not.
        return check_display(library, op, &what, unsafe { (library.core.get_display)(native) });
    }
    type GetPlatformDisplay = unsafe extern "system" fn(u32, Handle, *const c_void) -> Handle;
    // SAFETY: the client version or EGL_EXT_platform_base names this function; the address is not null.
    let get = unsafe { std::mem::transmute::<*mut c_void, GetPlatformDisplay>(address) };
    // SAFETY: the platform is offered and `native` is what its extension demands; no attributes.
    check_display(library, op, &what, unsafe { get(platform, native, std::ptr::null()) })
}

fn check_display(library: &Library, op: &'static str, what: &str, raw: Handle) -> Result<Handle> {
    if !raw.is_null() {
        return Ok(raw);
    }
    let error = library.last_error();
    // EGL_NO_DISPLAY with EGL_SUCCESS is the specified answer for "no such display".
    let why = if error == EglError::SUCCESS { "no such display".into() } else { error.to_string() };
    Err(Error::unsupported(op, format!("{what}: {why}")))
}
