//! Entry points of a display that exist behind a version or an extension.

use std::ffi::{c_char, c_void};

use super::Extensions;
use super::library::Library;

type Handle = *mut c_void;

/// Entry points behind an extension or a version, present where this display offers them.
#[derive(Default)]
pub(crate) struct Functions {
    pub(super) display_driver_name: Option<unsafe extern "system" fn(Handle) -> *const c_char>,
    pub(crate) create_image: Option<unsafe extern "system" fn(Handle, Handle, u32, Handle, *const usize) -> Handle>,
    pub(crate) create_image_khr: Option<unsafe extern "system" fn(Handle, Handle, u32, Handle, *const i32) -> Handle>,
    pub(crate) destroy_image: Option<unsafe extern "system" fn(Handle, Handle) -> u32>,
    pub(crate) query_dma_buf_formats: Option<unsafe extern "system" fn(Handle, i32, *mut i32, *mut i32) -> u32>,
    pub(crate) query_dma_buf_modifiers:
        Option<unsafe extern "system" fn(Handle, i32, i32, *mut u64, *mut u32, *mut i32) -> u32>,
    pub(crate) create_sync: Option<unsafe extern "system" fn(Handle, u32, *const usize) -> Handle>,
    pub(crate) create_sync_khr: Option<unsafe extern "system" fn(Handle, u32, *const i32) -> Handle>,
    pub(crate) destroy_sync: Option<unsafe extern "system" fn(Handle, Handle) -> u32>,
    pub(crate) client_wait_sync: Option<unsafe extern "system" fn(Handle, Handle, i32, u64) -> i32>,
    pub(crate) wait_sync: Option<unsafe extern "system" fn(Handle, Handle, i32) -> i32>,
    /// Display, image, fourcc, number of planes, modifiers.
    pub(super) export_query: Option<unsafe extern "system" fn(Handle, Handle, *mut i32, *mut i32, *mut u64) -> u32>,
    /// Display, image, fds, strides, offsets.
    pub(super) export: Option<unsafe extern "system" fn(Handle, Handle, *mut i32, *mut i32, *mut i32) -> u32>,
    pub(crate) dup_native_fence_fd: Option<unsafe extern "system" fn(Handle, Handle) -> i32>,
}

impl Functions {
    /// What a display of this version with these extensions has.
    pub(super) fn resolve(library: &Library, version: (i32, i32), extensions: &Extensions) -> Self {
        let core = version >= (1, 5);
        macro_rules! load {
            ($condition:expr, $name:literal) => {{
                let address = if $condition { library.egl_address($name) } else { std::ptr::null_mut() };
                // SAFETY: the version or the extension string names this function, whose C type is the field's; a null
                // address becomes None.
                unsafe { std::mem::transmute::<*mut c_void, Option<_>>(address) }
            }};
        }
        let image_base = extensions.has("EGL_KHR_image_base") || extensions.has("EGL_KHR_image");
        let modifiers = extensions.has("EGL_EXT_image_dma_buf_import_modifiers");
        let fence_sync = extensions.has("EGL_KHR_fence_sync");
        let native_fence = extensions.has("EGL_ANDROID_native_fence_sync");
        let khr_sync = fence_sync || native_fence || extensions.has("EGL_KHR_reusable_sync");
        let export = extensions.has("EGL_MESA_image_dma_buf_export");
        let khr_wait = extensions.has("EGL_KHR_wait_sync");
        let mut functions = Self {
            display_driver_name: load!(extensions.has("EGL_MESA_query_driver"), c"eglGetDisplayDriverName"),
            create_image: load!(core, c"eglCreateImage"),
            create_image_khr: load!(image_base, c"eglCreateImageKHR"),
            destroy_image: load!(core, c"eglDestroyImage"),
            query_dma_buf_formats: load!(modifiers, c"eglQueryDmaBufFormatsEXT"),
            query_dma_buf_modifiers: load!(modifiers, c"eglQueryDmaBufModifiersEXT"),
            create_sync: load!(core, c"eglCreateSync"),
            create_sync_khr: load!(khr_sync, c"eglCreateSyncKHR"),
            destroy_sync: load!(core, c"eglDestroySync"),
            client_wait_sync: load!(core, c"eglClientWaitSync"),
            wait_sync: load!(khr_wait, c"eglWaitSyncKHR"),
            export_query: load!(export, c"eglExportDMABUFImageQueryMESA"),
            export: load!(export, c"eglExportDMABUFImageMESA"),
            dup_native_fence_fd: load!(native_fence, c"eglDupNativeFenceFDANDROID"),
        };
        if functions.destroy_image.is_none() {
            functions.destroy_image = load!(image_base, c"eglDestroyImageKHR");
        }
        if functions.destroy_image.is_none() {
            functions.create_image = None;
            functions.create_image_khr = None;
        }
        // The KHR functions and those of the core differ in name only, except creation.
        if functions.destroy_sync.is_none() {
            functions.destroy_sync = load!(khr_sync, c"eglDestroySyncKHR");
        }
        if functions.wait_sync.is_none() {
            functions.wait_sync = load!(core, c"eglWaitSync");
        }
        if functions.client_wait_sync.is_none() {
            functions.client_wait_sync = load!(khr_sync, c"eglClientWaitSyncKHR");
        }
        functions
    }
}
