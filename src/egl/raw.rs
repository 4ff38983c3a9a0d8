//! Calls with nothing checked before them: for conformance tests that hand broken arguments to the driver.
//!
//! In: attribute lists as they are. Out: the driver's own answer. Not here: any rule; `image` and `formats` have them.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};

use super::context::Current;
use super::library::Library;
use super::{Context, Display, EglError};
use crate::board::EglPlatform;
use crate::device::{Device, DrmNode};

type Handle = *mut c_void;

const LINUX_DMA_BUF_EXT: u32 = 0x3270;
const GL_TEXTURE_2D_KHR: u32 = 0x30B1;
const GL_TEXTURE_LEVEL_KHR: i32 = 0x30BC;
const IMAGE_PRESERVED: i32 = 0x30D2;
const NONE: i32 = 0x3038;

pub use super::display::Limit;

/// As [`Display::open_on`], with less than the driver offers: how older drivers are tested.
///
/// # Errors
/// As [`Display::open_on`].
pub fn open_limited(
    device: &Device,
    platform: EglPlatform,
    node: Option<&DrmNode>,
    limit: Limit<'_>,
) -> crate::error::Result<Display> {
    Display::open_limited(device, platform, node, Some(limit))
}

/// An `EGLImage` that is destroyed with this handle.
pub struct RawImage {
    display: Display,
    raw: Handle,
}

// SAFETY: EGLImages belong to the display, not to a thread (EGL_KHR_image_base).
unsafe impl Send for RawImage {}
// SAFETY: as above; the handle never changes.
unsafe impl Sync for RawImage {}

impl RawImage {
    /// The `EGLImage`.
    pub fn as_ptr(&self) -> *mut c_void {
        self.raw
    }
}

impl Drop for RawImage {
    fn drop(&mut self) {
        if let Some(destroy) = self.display.functions().destroy_image {
            // SAFETY: made by this display, destroyed once.
            unsafe { destroy(self.display.raw(), self.raw) };
        }
    }
}

/// Which entry point makes an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `eglCreateImage` of EGL 1.5 where the display has it, else KHR.
    Best,
    /// `eglCreateImageKHR` only.
    Khr,
}

/// `eglCreateImage` with `EGL_LINUX_DMA_BUF_EXT`. `EGL_NONE` is added to `attributes`; file descriptors stay the caller's.
///
/// # Errors
/// The driver's code; [`EglError::SUCCESS`] where it made no image and set no error, `EGL_BAD_DISPLAY` where the
/// display has no such function.
pub fn create_image(display: &Display, attributes: &[i32], entry: Entry) -> Result<RawImage, EglError> {
    create_image_with(display, Forbidden::Nothing, attributes, entry)
}

/// An argument of `eglCreateImage` that `EGL_LINUX_DMA_BUF_EXT` forbids.
#[derive(Clone, Copy, Debug)]
pub enum Forbidden<'a> {
    /// None of them.
    Nothing,
    /// A client buffer that is not null.
    Buffer,
    /// A context.
    Context(&'a Context),
}

/// As [`create_image`], with an argument that the extension forbids.
///
/// # Errors
/// As [`create_image`].
pub fn create_image_with(
    display: &Display,
    forbidden: Forbidden<'_>,
    attributes: &[i32],
    entry: Entry,
) -> Result<RawImage, EglError> {
    let null = std::ptr::null_mut;
    let (context, buffer) = match forbidden {
        Forbidden::Nothing => (null(), null()),
        // Never followed: for this target the driver has to refuse anything but null.
        Forbidden::Buffer => (null(), std::ptr::without_provenance_mut(1)),
        Forbidden::Context(context) => (context.as_ptr(), null()),
    };
    // SAFETY: for this target the driver checks both handles and follows neither.
    unsafe { create(display, context, LINUX_DMA_BUF_EXT, buffer, attributes, entry) }
}

/// `eglCreateImage` with `EGL_GL_TEXTURE_2D_KHR`: level 0 of a texture of the context that is current.
pub(crate) fn create_image_of_texture(current: &Current, texture: std::num::NonZeroU32) -> Result<RawImage, EglError> {
    let buffer = std::ptr::without_provenance_mut(texture.get() as usize);
    let attributes = [GL_TEXTURE_LEVEL_KHR, 0, IMAGE_PRESERVED, 1];
    // SAFETY: the context is live and current; the client buffer is a name, which the driver looks up.
    unsafe {
        create(current.display(), current.context().as_ptr(), GL_TEXTURE_2D_KHR, buffer, &attributes, Entry::Best)
    }
}

/// # Safety
/// `context` and `buffer` are what `target` demands, or what it makes the driver refuse unseen.
unsafe fn create(
    display: &Display,
    context: Handle,
    target: u32,
    buffer: Handle,
    attributes: &[i32],
    entry: Entry,
) -> Result<RawImage, EglError> {
    let functions = display.functions();
    clear_driver_message();
    display.library().last_error();
    let raw = match (entry, functions.create_image, functions.create_image_khr) {
        (Entry::Best, Some(create), _) => {
            // EGLAttrib is as wide as a pointer; values are extended with their sign (an fd of -1 stays -1).
            let mut list: Vec<usize> = attributes.iter().map(|value| *value as isize as usize).collect();
            // The halves of modifiers are unsigned: what is above 2^31 must not grow a sign.
            for pair in list.chunks_exact_mut(2) {
                if (0x3443..=0x344A).contains(&pair[0]) {
                    pair[1] &= 0xffff_ffff;
                }
            }
            list.push(NONE as usize);
            // SAFETY: the list ends with EGL_NONE; the driver checks its values and copies what it keeps; the rest is the
            // caller's promise.
            unsafe { create(display.raw(), context, target, buffer, list.as_ptr()) }
        }
        (_, _, Some(create)) => {
            let mut list = attributes.to_vec();
            list.push(NONE);
            // SAFETY: as above.
            unsafe { create(display.raw(), context, target, buffer, list.as_ptr()) }
        }
        _ => return Err(EglError(0x3008)),
    };
    if raw.is_null() {
        return Err(display.library().last_error());
    }
    Ok(RawImage { display: display.clone(), raw })
}

/// `eglQueryDmaBufFormatsEXT`, both calls of it.
///
/// # Errors
/// The driver's code; `EGL_BAD_DISPLAY` where the display has no such function.
pub fn query_formats(display: &Display) -> Result<Vec<i32>, EglError> {
    let query = display.functions().query_dma_buf_formats.ok_or(EglError(0x3008))?;
    let check = |ok: u32| if ok == 0 { Err(display.library().last_error()) } else { Ok(()) };
    let mut count = 0;
    // SAFETY: with max 0 only the count is written.
    check(unsafe { query(display.raw(), 0, std::ptr::null_mut(), &mut count) })?;
    let mut codes = vec![0; usize::try_from(count).unwrap_or(0)];
    if !codes.is_empty() {
        // SAFETY: the array has `count` places.
        check(unsafe { query(display.raw(), count, codes.as_mut_ptr(), &mut count) })?;
    }
    codes.truncate(usize::try_from(count).unwrap_or(0));
    Ok(codes)
}

/// `eglQueryDmaBufModifiersEXT`, both calls of it: modifier and `external_only`.
///
/// # Errors
/// As [`query_formats`].
pub fn query_modifiers(display: &Display, fourcc: i32) -> Result<Vec<(u64, u32)>, EglError> {
    let query = display.functions().query_dma_buf_modifiers.ok_or(EglError(0x3008))?;
    let check = |ok: u32| if ok == 0 { Err(display.library().last_error()) } else { Ok(()) };
    let mut count = 0;
    let null = std::ptr::null_mut();
    // SAFETY: with max 0 only the count is written.
    check(unsafe { query(display.raw(), fourcc, 0, null, std::ptr::null_mut(), &mut count) })?;
    let len = usize::try_from(count).unwrap_or(0);
    let (mut modifiers, mut external) = (vec![0u64; len], vec![0u32; len]);
    if len > 0 {
        // SAFETY: both arrays have `count` places.
        check(unsafe {
            query(display.raw(), fourcc, count, modifiers.as_mut_ptr(), external.as_mut_ptr(), &mut count)
        })?;
    }
    let pairs = modifiers.into_iter().zip(external);
    Ok(pairs.take(usize::try_from(count).unwrap_or(0)).collect())
}

thread_local! {
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What the driver said about the last call that failed on this thread: `; driver: …`, or nothing.
pub(crate) fn driver_message() -> String {
    MESSAGE.with_borrow_mut(|message| match message.is_empty() {
        true => String::new(),
        false => format!("; driver: {}", std::mem::take(message)),
    })
}

pub(crate) fn clear_driver_message() {
    MESSAGE.with_borrow_mut(String::clear);
}

/// Lets `EGL_KHR_debug` send the reasons behind error codes to `tracing` and to [`driver_message`].
pub(crate) fn listen(library: &Library) {
    if !library.client_extensions.has("EGL_KHR_debug") {
        return;
    }
    let address = library.egl_address(c"eglDebugMessageControlKHR");
    if address.is_null() {
        return;
    }
    type Callback = unsafe extern "system" fn(u32, *const c_char, i32, *const c_void, *const c_void, *const c_char);
    type Control = unsafe extern "system" fn(Option<Callback>, *const usize) -> i32;
    // SAFETY: EGL_KHR_debug names this function; the address is not null.
    let control = unsafe { std::mem::transmute::<*mut c_void, Control>(address) };
    // SAFETY: a null list keeps the default messages (errors and critical ones); the callback lives for ever.
    unsafe { control(Some(on_message), std::ptr::null()) };
}

unsafe extern "system" fn on_message(
    error: u32,
    command: *const c_char,
    _kind: i32,
    _thread: *const c_void,
    _object: *const c_void,
    message: *const c_char,
) {
    let text = |text: *const c_char| match text.is_null() {
        true => String::new(),
        // SAFETY: EGL passes NUL-terminated strings, valid during the call.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned(),
    };
    let (command, message) = (text(command), text(message));
    tracing::debug!(target: "darkframe::egl", command, message, error = %EglError(error as i32));
    // Mesa repeats the command where it has nothing to say.
    if !message.is_empty() && message != command {
        // The thread may be ending: then nobody reads it.
        let _ = MESSAGE.try_with(|slot| slot.replace(message));
    }
}
