//! EGL's own list of devices, searched for the one that is a DRM node.
//!
//! # References
//! `EGL_EXT_device_enumeration`, `EGL_EXT_device_query`, `EGL_EXT_device_drm`, `EGL_EXT_device_drm_render_node`

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;

use super::Extensions;
use super::library::Library;
use crate::error::{Error, Result};

type Handle = *mut c_void;

const EGL_EXTENSIONS: i32 = 0x3055;
const DEVICE_EXT: i32 = 0x322C;
const DRM_DEVICE_FILE_EXT: i32 = 0x3233;
const DRM_RENDER_NODE_FILE_EXT: i32 = 0x3377;

/// The EGL device of a DRM node, or the first one.
pub(super) fn egl_device(library: &Library, node: Option<&Path>) -> Result<Handle> {
    let client = &library.client_extensions;
    if !client.has("EGL_EXT_device_base") && !client.has("EGL_EXT_device_enumeration") {
        return Err(Error::unsupported("EGL_EXT_device_enumeration", "libEGL does not list its devices"));
    }
    let address = library.egl_address(c"eglQueryDevicesEXT");
    if address.is_null() {
        return Err(Error::unsupported("eglQueryDevicesEXT", "offered, and libEGL has no such function"));
    }
    type QueryDevices = unsafe extern "system" fn(i32, *mut Handle, *mut i32) -> u32;
    // SAFETY: the extension is listed and the address is not null.
    let query = unsafe { std::mem::transmute::<*mut c_void, QueryDevices>(address) };
    let mut devices = [std::ptr::null_mut(); 64];
    let mut count = 0;
    // SAFETY: the array has as many places as said.
    if unsafe { query(devices.len() as i32, devices.as_mut_ptr(), &mut count) } == 0 {
        return Err(Error::unsupported("eglQueryDevicesEXT", library.last_error().to_string()));
    }
    let devices = &devices[..usize::try_from(count).unwrap_or(0).min(devices.len())];
    let Some(node) = node else {
        return devices
            .first()
            .copied()
            .ok_or_else(|| Error::unsupported("eglQueryDevicesEXT", "libEGL lists no device"));
    };
    let files: Vec<Vec<String>> = devices.iter().map(|device| device_files(library, *device)).collect();
    let found = files.iter().position(|files| files.iter().any(|file| Path::new(file) == node));
    found.map(|index| devices[index]).ok_or_else(|| {
        let names: Vec<String> = files.iter().map(|files| format!("[{}]", files.join(", "))).collect();
        Error::unsupported(
            "EGL_EXT_device_drm",
            format!("no EGL device is {}; their files: {}", node.display(), names.join(" ")),
        )
    })
}

/// The DRM nodes an EGL device says it is.
fn device_files(library: &Library, device: Handle) -> Vec<String> {
    let address = library.egl_address(c"eglQueryDeviceStringEXT");
    if address.is_null() {
        return Vec::new();
    }
    type QueryDeviceString = unsafe extern "system" fn(Handle, i32) -> *const c_char;
    // SAFETY: EGL_EXT_device_base (or _query, listed with it) names this function; the address is not null.
    let query = unsafe { std::mem::transmute::<*mut c_void, QueryDeviceString>(address) };
    let string = |name| {
        // SAFETY: the device was listed by this library; a string is static and NUL-terminated, or null.
        unsafe {
            let text = query(device, name);
            if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
        }
    };
    let extensions = Extensions::new(string(EGL_EXTENSIONS).unwrap_or_default());
    let mut files = Vec::new();
    if extensions.has("EGL_EXT_device_drm") {
        files.extend(string(DRM_DEVICE_FILE_EXT));
    }
    if extensions.has("EGL_EXT_device_drm_render_node") {
        files.extend(string(DRM_RENDER_NODE_FILE_EXT));
    }
    files
}

/// The DRM nodes that a display's device says it is: the primary node first. None where it does not say.
pub(super) fn display_files(library: &Library, display: Handle) -> Vec<String> {
    if !library.client_extensions.has("EGL_EXT_device_query") && !library.client_extensions.has("EGL_EXT_device_base") {
        return Vec::new();
    }
    let address = library.egl_address(c"eglQueryDisplayAttribEXT");
    if address.is_null() {
        return Vec::new();
    }
    type QueryDisplayAttrib = unsafe extern "system" fn(Handle, i32, *mut usize) -> u32;
    // SAFETY: the extension is listed and the address is not null.
    let query = unsafe { std::mem::transmute::<*mut c_void, QueryDisplayAttrib>(address) };
    let mut device = 0usize;
    // SAFETY: the display is initialised (its caller has it from a Display); the pointer is valid for writes.
    if unsafe { query(display, DEVICE_EXT, &mut device) } == 0 || device == 0 {
        return Vec::new();
    }
    device_files(library, std::ptr::with_exposed_provenance_mut(device))
}
