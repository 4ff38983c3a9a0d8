//! libEGL and libGLESv2, opened at run time.
//!
//! In: the names of a board file. Out: a table of entry points, one per set of names in the process.
//! Not here: which entry point may be called; that follows from extension strings (`display`, `gles`).

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::Mutex;

use khronos_egl as egl;
use libloading::os::unix;

use super::EglError;
use crate::board;
use crate::error::{Error, ErrorKind, Result};

type Handle = *mut c_void;

/// Declares the table: each entry is `field: "symbol" = fn type`.
macro_rules! core_functions {
    ($($field:ident: $symbol:literal ($($arg:ty),*) -> $ret:ty;)*) => {
        /// The functions of EGL 1.4 that this crate calls; every libEGL exports them.
        pub(crate) struct Core {
            $(pub(crate) $field: unsafe extern "system" fn($($arg),*) -> $ret,)*
        }

        impl Core {
            fn load(library: &unix::Library) -> std::result::Result<Self, libloading::Error> {
                Ok(Self {
                    $($field: {
                        // SAFETY: the symbol is the EGL function of this name, whose C type is the one given here.
                        let symbol = unsafe {
                            library.get::<unsafe extern "system" fn($($arg),*) -> $ret>($symbol)?
                        };
                        *symbol
                    },)*
                })
            }
        }
    };
}

core_functions! {
    get_error: b"eglGetError\0" () -> i32;
    get_display: b"eglGetDisplay\0" (Handle) -> Handle;
    initialize: b"eglInitialize\0" (Handle, *mut i32, *mut i32) -> egl::Boolean;
    terminate: b"eglTerminate\0" (Handle) -> egl::Boolean;
    query_string: b"eglQueryString\0" (Handle, i32) -> *const c_char;
    choose_config: b"eglChooseConfig\0" (Handle, *const i32, *mut Handle, i32, *mut i32) -> egl::Boolean;
    create_pbuffer_surface: b"eglCreatePbufferSurface\0" (Handle, Handle, *const i32) -> Handle;
    destroy_surface: b"eglDestroySurface\0" (Handle, Handle) -> egl::Boolean;
    bind_api: b"eglBindAPI\0" (egl::Enum) -> egl::Boolean;
    create_context: b"eglCreateContext\0" (Handle, Handle, Handle, *const i32) -> Handle;
    destroy_context: b"eglDestroyContext\0" (Handle, Handle) -> egl::Boolean;
    make_current: b"eglMakeCurrent\0" (Handle, Handle, Handle, Handle) -> egl::Boolean;
    get_proc_address: b"eglGetProcAddress\0" (*const c_char) -> *mut c_void;
}

/// The two libraries, never closed: drivers leave threads and thread-local destructors behind.
pub(crate) struct Library {
    key: Key,
    pub(crate) core: Core,
    egl: unix::Library,
    gles: unix::Library,
    /// `EGL_VERSION` and `EGL_EXTENSIONS` of no display; empty before EGL 1.5 without `EGL_EXT_client_extensions`.
    pub(crate) client_version: (i32, i32),
    pub(crate) client_extensions: super::Extensions,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    egl: Vec<String>,
    gles: Vec<String>,
}

static LOADED: Mutex<Vec<&'static Library>> = Mutex::new(Vec::new());

impl Library {
    /// Opens the libraries that `names` lists; the same names give the same table.
    ///
    /// # Errors
    /// `NotFound` with every name and what the linker said. A later call tries again.
    pub(crate) fn open(names: &board::Egl) -> Result<&'static Self> {
        let key = Key { egl: names.libraries.clone(), gles: names.gles_libraries.clone() };
        let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = loaded.iter().find(|known| known.key == key) {
            return Ok(known);
        }
        preload(&names.preload);
        let (egl_name, egl) = open_first("libEGL", &key.egl, "libegl1")?;
        let (gles_name, gles) = open_first("libGLESv2", &key.gles, "libgles2")?;
        let core = Core::load(&egl).map_err(|error| {
            Error::new(ErrorKind::NotFound, "dlsym", format!("{egl_name}: {error}"))
                .with_hint("the library is no EGL 1.4; name another one in the board file, [egl] libraries")
        })?;
        tracing::debug!(egl = egl_name, gles = gles_name, "libraries opened");
        let mut library =
            Self { key, core, egl, gles, client_version: (1, 4), client_extensions: super::Extensions::default() };
        // With no display both strings are NULL on EGL 1.4; the error this leaves behind is cleared.
        if let Some(version) = library.string(std::ptr::null_mut(), egl::VERSION) {
            library.client_version = parse_version(&version).unwrap_or((1, 4));
        }
        let extensions = library.string(std::ptr::null_mut(), egl::EXTENSIONS).unwrap_or_default();
        library.client_extensions = super::Extensions::new(extensions);
        library.last_error();
        super::raw::listen(&library);
        let library: &'static Self = Box::leak(Box::new(library));
        loaded.push(library);
        Ok(library)
    }

    /// The error of this thread's last EGL call, cleared.
    pub(crate) fn last_error(&self) -> EglError {
        // SAFETY: eglGetError has no preconditions.
        EglError(unsafe { (self.core.get_error)() })
    }

    /// `eglQueryString`, copied; `None` where EGL has no such string.
    pub(crate) fn string(&self, display: Handle, name: egl::Int) -> Option<String> {
        // SAFETY: any display value is allowed (EGL answers NULL for a bad one); the string is static and NUL-terminated.
        unsafe {
            let text = (self.core.query_string)(display, name);
            if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
        }
    }

    /// The address of an EGL entry point, null where there is none. Not null proves nothing.
    pub(crate) fn egl_address(&self, name: &CStr) -> *mut c_void {
        let exported = symbol(&self.egl, name);
        if !exported.is_null() { exported } else { self.proc_address(name) }
    }

    /// The address of a GL entry point, null where there is none. Not null proves nothing.
    ///
    /// What libGLESv2 exports comes first: `eglGetProcAddress` need not know core functions before EGL 1.5.
    pub(crate) fn gl_address(&self, name: &CStr) -> *mut c_void {
        let exported = symbol(&self.gles, name);
        if !exported.is_null() { exported } else { self.proc_address(name) }
    }

    fn proc_address(&self, name: &CStr) -> *mut c_void {
        // SAFETY: the name is NUL-terminated; the result is only compared and, behind a version or extension, called.
        unsafe { (self.core.get_proc_address)(name.as_ptr()) }
    }
}

fn symbol(library: &unix::Library, name: &CStr) -> *mut c_void {
    // SAFETY: the symbol is taken as an address only; nothing is read through it here.
    unsafe { library.get::<*mut c_void>(name.to_bytes_with_nul()) }
        .map_or(std::ptr::null_mut(), |found| found.into_raw())
}

/// Opens the first name that opens.
fn open_first<'a>(what: &'static str, names: &'a [String], package: &str) -> Result<(&'a str, unix::Library)> {
    let mut tried = Vec::new();
    for name in names {
        // SAFETY: loading runs the initialisers of the library, a GL driver that the board file names.
        match unsafe { unix::Library::open(Some(name), unix::RTLD_NOW | unix::RTLD_LOCAL) } {
            Ok(library) => return Ok((name, library)),
            Err(error) => tried.push(format!("{name} ({})", reason(name, &error))),
        }
    }
    let tried = if tried.is_empty() { "the board file names none".to_owned() } else { tried.join(", ") };
    Err(Error::new(ErrorKind::NotFound, "dlopen", format!("{what}: {tried}")).with_hint(format!(
        "install {package} (Debian) or the board vendor's driver, or name its library in the board file, [egl]"
    )))
}

/// What the linker said, without the name it repeats.
fn reason(name: &str, error: &libloading::Error) -> String {
    let text = match error {
        libloading::Error::DlOpen { desc } => format!("{desc:?}").trim_matches('"').to_owned(),
        other => other.to_string(),
    };
    text.strip_prefix(&format!("{name}: ")).map(str::to_owned).unwrap_or(text)
}

/// Makes libraries global, where they exist.
///
/// Mesa 25 with LLVM 19 compiles shaders that call libm functions which it looks up in the global scope only; a Rust
/// program has no libm there, and the compiled shader jumps to NULL.
fn preload(names: &[String]) {
    for name in names {
        let Ok(c_name) = CString::new(name.as_str()) else { continue };
        // SAFETY: loading runs the initialisers of the named library; it is never closed.
        let handle = unsafe { libc::dlopen(c_name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if handle.is_null() {
            tracing::debug!(name, "preload: not there");
        }
    }
}

/// Major and minor of `1.5 …`.
pub(crate) fn parse_version(text: &str) -> Option<(i32, i32)> {
    let (major, rest) = text.trim().split_once('.')?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_libraries_are_all_named_and_a_failed_load_is_not_remembered() {
        let names = board::Egl {
            libraries: vec!["libno-such-egl.so.1".into(), "/nowhere/libEGL.so".into()],
            ..board::Egl::default()
        };
        for _ in 0..2 {
            let error = Library::open(&names).err().expect("nothing to open");
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let text = error.to_string();
            assert!(text.contains("libno-such-egl.so.1 (") && text.contains("/nowhere/libEGL.so ("), "{text}");
            assert!(text.contains("libegl1"), "{text}");
        }
    }

    #[test]
    fn a_library_that_is_no_egl_is_refused() {
        let names = board::Egl { libraries: vec!["libc.so.6".into()], ..board::Egl::default() };
        let error = Library::open(&names).err().expect("libc is no EGL");
        assert!(error.to_string().contains("eglGetError"), "{error}");
    }

    #[test]
    fn versions_parse() {
        assert_eq!(parse_version("1.5"), Some((1, 5)));
        assert_eq!(parse_version("1.4 Midgard-\"r6p2\""), Some((1, 4)));
        assert_eq!(parse_version("1.4Linux-r6p2"), Some((1, 4)));
        assert_eq!(parse_version("none"), None);
    }
}
