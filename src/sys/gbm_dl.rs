//! libgbm's functions, found at run time.
//!
//! The `gbm` crate calls libgbm through the linker. Here are functions of the same names that pass each call on to the
//! libgbm opened by [`load`], so that the binary starts on machines without one and with a vendor's own (libMali).
//! A function that an old libgbm lacks answers as libgbm does on failure.
//!
//! # References
//! Mesa `src/gbm/main/gbm.h`

#![allow(clippy::unused_unit)] // `= ()` says what a forwarder without a result answers

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};

static LIBRARY: OnceLock<libloading::Library> = OnceLock::new();

/// Opens libgbm, the first of `names` that can be opened. Later calls keep the first success.
///
/// # Errors
/// `NotFound` with what the loader said of each name.
pub fn load(names: &[String]) -> Result<()> {
    if LIBRARY.get().is_some() {
        return Ok(());
    }
    // Ties the forwarders to this function, which is called: else the linker may leave them out.
    std::hint::black_box(&FORWARDERS.0);
    let mut said = Vec::new();
    for name in names {
        // SAFETY: libgbm has no start-up code that conflicts with ours; it is never closed.
        match unsafe { libloading::Library::new(name) } {
            Ok(library) => {
                tracing::debug!(name, "libgbm opened");
                let _ = LIBRARY.set(library);
                return Ok(());
            }
            Err(error) => said.push(error.to_string()),
        }
    }
    Err(Error::new(ErrorKind::NotFound, "libgbm", said.join("; "))
        .with_hint("install Debian's libgbm1, or set [egl] gbm-libraries in the board file"))
}

fn find(slot: &OnceLock<usize>, name: &str) -> Option<usize> {
    let address = *slot.get_or_init(|| {
        // SAFETY: the address is only stored here.
        let symbol = LIBRARY.get().and_then(|library| unsafe { library.get::<*const ()>(name.as_bytes()).ok() });
        symbol.map_or(0, |symbol| *symbol as usize)
    });
    (address != 0).then_some(address)
}

/// A C union that is returned by value: its ABI differs from an integer's on 32-bit ARM.
#[repr(C)]
#[derive(Clone, Copy)]
union Handle {
    pointer: *mut c_void,
    unsigned: u64,
}

macro_rules! forward {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $absent:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
                static SLOT: OnceLock<usize> = OnceLock::new();
                let Some(address) = find(&SLOT, stringify!($name)) else { return $absent };
                // SAFETY: libgbm's function of this name has this signature (gbm.h).
                let function: unsafe extern "C" fn($($type),*) $(-> $result)? = unsafe { std::mem::transmute(address) };
                // SAFETY: the caller's promise, passed on.
                unsafe { function($($argument),*) }
            }
        )*
        struct Forwarders([*const (); [$(stringify!($name)),*].len()]);
        // SAFETY: addresses of functions, never written.
        unsafe impl Sync for Forwarders {}
        static FORWARDERS: Forwarders = Forwarders([$($name as *const ()),*]);
    };
}

type Pointer = *mut c_void;
const NULL: Pointer = std::ptr::null_mut();

forward! {
    fn gbm_create_device(fd: c_int) -> Pointer = NULL;
    fn gbm_device_destroy(gbm: Pointer) = ();
    fn gbm_device_get_fd(gbm: Pointer) -> c_int = -1;
    fn gbm_device_get_backend_name(gbm: Pointer) -> *const c_char = c"absent".as_ptr();
    fn gbm_device_is_format_supported(gbm: Pointer, format: u32, flags: u32) -> c_int = 0;
    fn gbm_device_get_format_modifier_plane_count(gbm: Pointer, format: u32, modifier: u64) -> c_int = -1;
    fn gbm_bo_create(gbm: Pointer, width: u32, height: u32, format: u32, flags: u32) -> Pointer = NULL;
    fn gbm_bo_create_with_modifiers(gbm: Pointer, width: u32, height: u32, format: u32, modifiers: *const u64, count: c_uint) -> Pointer = NULL;
    fn gbm_bo_create_with_modifiers2(gbm: Pointer, width: u32, height: u32, format: u32, modifiers: *const u64, count: c_uint, flags: u32) -> Pointer = NULL;
    fn gbm_bo_import(gbm: Pointer, kind: u32, buffer: Pointer, flags: u32) -> Pointer = NULL;
    fn gbm_bo_map(bo: Pointer, x: u32, y: u32, width: u32, height: u32, flags: u32, stride: *mut u32, data: *mut Pointer) -> Pointer = NULL;
    fn gbm_bo_unmap(bo: Pointer, data: Pointer) = ();
    fn gbm_bo_get_width(bo: Pointer) -> u32 = 0;
    fn gbm_bo_get_height(bo: Pointer) -> u32 = 0;
    fn gbm_bo_get_stride(bo: Pointer) -> u32 = 0;
    // Before GBM had planes there was one.
    fn gbm_bo_get_stride_for_plane(bo: Pointer, plane: c_int) -> u32 = if plane == 0 {
        // SAFETY: the caller's bo, passed on.
        unsafe { gbm_bo_get_stride(bo) }
    } else { 0 };
    fn gbm_bo_get_format(bo: Pointer) -> u32 = 0;
    fn gbm_bo_get_bpp(bo: Pointer) -> u32 = 0;
    fn gbm_bo_get_offset(bo: Pointer, plane: c_int) -> u32 = 0;
    fn gbm_bo_get_device(bo: Pointer) -> Pointer = NULL;
    fn gbm_bo_get_handle(bo: Pointer) -> Handle = Handle { unsigned: u64::MAX };
    fn gbm_bo_get_fd(bo: Pointer) -> c_int = -1;
    fn gbm_bo_get_modifier(bo: Pointer) -> u64 = crate::format::Modifier::INVALID.0;
    fn gbm_bo_get_plane_count(bo: Pointer) -> c_int = 1;
    fn gbm_bo_get_handle_for_plane(bo: Pointer, plane: c_int) -> Handle = Handle { unsigned: u64::MAX };
    fn gbm_bo_get_fd_for_plane(bo: Pointer, plane: c_int) -> c_int = -1;
    fn gbm_bo_write(bo: Pointer, buffer: *const c_void, count: usize) -> c_int = -1;
    fn gbm_bo_set_user_data(bo: Pointer, data: Pointer, destroy: Option<unsafe extern "C" fn(Pointer, Pointer)>) = ();
    fn gbm_bo_get_user_data(bo: Pointer) -> Pointer = NULL;
    fn gbm_bo_destroy(bo: Pointer) = ();
    fn gbm_surface_create(gbm: Pointer, width: u32, height: u32, format: u32, flags: u32) -> Pointer = NULL;
    fn gbm_surface_create_with_modifiers(gbm: Pointer, width: u32, height: u32, format: u32, modifiers: *const u64, count: c_uint) -> Pointer = NULL;
    fn gbm_surface_create_with_modifiers2(gbm: Pointer, width: u32, height: u32, format: u32, modifiers: *const u64, count: c_uint, flags: u32) -> Pointer = NULL;
    fn gbm_surface_lock_front_buffer(surface: Pointer) -> Pointer = NULL;
    fn gbm_surface_release_buffer(surface: Pointer, bo: Pointer) = ();
    fn gbm_surface_has_free_buffers(surface: Pointer) -> c_int = 0;
    fn gbm_surface_destroy(surface: Pointer) = ();
    fn gbm_format_get_name(format: u32, description: Pointer) -> *mut c_char = std::ptr::null_mut();
}
