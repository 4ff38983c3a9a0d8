//! Memory and semaphores of another API on the same device, where there are no dma-bufs.
//!
//! In: opaque fds that Vulkan has made. Out: a texture over that memory ([`Texture::from_opaque_memory`]), semaphores that
//! order the two APIs' work on the GPU. Not here: who makes the memory and matches the devices (`vulkan::opaque`).
//!
//! # References
//! `GL_EXT_memory_object`, `GL_EXT_memory_object_fd`, `GL_EXT_semaphore`, `GL_EXT_semaphore_fd`

use std::ffi::c_void;
use std::num::NonZeroU32;
use std::os::fd::{IntoRawFd, OwnedFd};

use super::gl::Gl;
use super::names::{Kind, Name};
use super::texture::Texture;
use crate::egl::Extensions;
use crate::egl::library::Library;
use crate::error::{Error, Result};
use crate::layout::Size;

const DEDICATED_MEMORY_OBJECT: u32 = 0x9581;
const HANDLE_TYPE_OPAQUE_FD: u32 = 0x9586;
const LAYOUT_GENERAL: u32 = 0x958D;
const NUM_DEVICE_UUIDS: u32 = 0x9596;
const DEVICE_UUID: u32 = 0x9597;
const DRIVER_UUID: u32 = 0x9598;
/// More than a driver has devices for one context.
const MAX_DEVICES: i32 = 64;

/// Entry points of memory objects.
#[derive(Clone, Copy)]
pub(super) struct MemoryFunctions {
    get_bytes: unsafe extern "system" fn(u32, *mut u8),
    get_bytes_of: unsafe extern "system" fn(u32, u32, *mut u8),
    create: unsafe extern "system" fn(i32, *mut u32),
    pub(super) delete: unsafe extern "system" fn(i32, *const u32),
    parameter: unsafe extern "system" fn(u32, u32, *const i32),
    import_fd: unsafe extern "system" fn(u32, u64, u32, i32),
    texture_storage: unsafe extern "system" fn(u32, i32, u32, i32, i32, u32, u64),
}

/// Entry points of semaphores.
#[derive(Clone, Copy)]
pub(super) struct SemaphoreFunctions {
    create: unsafe extern "system" fn(i32, *mut u32),
    pub(super) delete: unsafe extern "system" fn(i32, *const u32),
    import_fd: unsafe extern "system" fn(u32, u32, i32),
    wait: unsafe extern "system" fn(u32, u32, *const u32, u32, *const u32, *const u32),
    signal: unsafe extern "system" fn(u32, u32, *const u32, u32, *const u32, *const u32),
}

macro_rules! load {
    ($library:expr, $name:literal) => {{
        let address = $library.gl_address($name);
        // SAFETY: the extension names this function, whose C type is the field's; a null address becomes None.
        unsafe { std::mem::transmute::<*mut c_void, Option<_>>(address) }?
    }};
}

impl MemoryFunctions {
    /// Those of a context with these extensions; `None` where one is missing.
    pub(super) fn resolve(library: &Library, extensions: &Extensions) -> Option<Self> {
        if !extensions.has("GL_EXT_memory_object") || !extensions.has("GL_EXT_memory_object_fd") {
            return None;
        }
        Some(Self {
            get_bytes: load!(library, c"glGetUnsignedBytevEXT"),
            get_bytes_of: load!(library, c"glGetUnsignedBytei_vEXT"),
            create: load!(library, c"glCreateMemoryObjectsEXT"),
            delete: load!(library, c"glDeleteMemoryObjectsEXT"),
            parameter: load!(library, c"glMemoryObjectParameterivEXT"),
            import_fd: load!(library, c"glImportMemoryFdEXT"),
            texture_storage: load!(library, c"glTexStorageMem2DEXT"),
        })
    }
}

impl SemaphoreFunctions {
    /// Those of a context with these extensions; `None` where one is missing.
    pub(super) fn resolve(library: &Library, extensions: &Extensions) -> Option<Self> {
        if !extensions.has("GL_EXT_semaphore") || !extensions.has("GL_EXT_semaphore_fd") {
            return None;
        }
        Some(Self {
            create: load!(library, c"glGenSemaphoresEXT"),
            delete: load!(library, c"glDeleteSemaphoresEXT"),
            import_fd: load!(library, c"glImportSemaphoreFdEXT"),
            wait: load!(library, c"glWaitSemaphoreEXT"),
            signal: load!(library, c"glSignalSemaphoreEXT"),
        })
    }
}

fn memory_functions(gl: &Gl) -> Result<MemoryFunctions> {
    gl.own().memory.ok_or_else(|| Error::unsupported("GL_EXT_memory_object_fd", format!("{gl:?} does not offer it")))
}

/// The devices and the driver behind a context, as Vulkan and CUDA name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uuids {
    /// `GL_DEVICE_UUID_EXT`: one, where the driver does not draw on several.
    pub devices: Vec<[u8; 16]>,
    /// `GL_DRIVER_UUID_EXT`
    pub driver: [u8; 16],
}

impl Gl {
    /// Which device this context draws on.
    ///
    /// # Errors
    /// `Unsupported` where the driver does not tell.
    #[doc(alias = "GL_DEVICE_UUID_EXT")]
    pub fn uuids(&self) -> Result<Uuids> {
        // Asked once: where another library has destroyed the process's last Vulkan instance, NVIDIA's driver (580) tells none.
        if let Some(known) = self.uuids_slot().get() {
            return Ok(known.clone());
        }
        let functions = memory_functions(self)?;
        let count = self.integer(NUM_DEVICE_UUIDS).clamp(0, MAX_DEVICES);
        let mut devices = Vec::new();
        for index in 0..count as u32 {
            let mut uuid = [0; 16];
            // SAFETY: a context is current that has the extension; a UUID has 16 bytes.
            unsafe { (functions.get_bytes_of)(DEVICE_UUID, index, uuid.as_mut_ptr()) };
            devices.push(uuid);
        }
        let mut driver = [0; 16];
        // SAFETY: as above.
        unsafe { (functions.get_bytes)(DRIVER_UUID, driver.as_mut_ptr()) };
        self.check_error("glGetUnsignedBytevEXT", || "UUIDs".into())?;
        Ok(self.uuids_slot().get_or_init(|| Uuids { devices, driver }).clone())
    }
}

/// Makes the storage of the texture that is bound to unit 0 of memory that `fd` stands for; the name keeps that memory.
///
/// # Safety
/// The fd is memory of this context's device and driver with `bytes` bytes, laid out as an image of this size and format
/// with optimal tiling from its first byte on.
pub(super) unsafe fn texture_storage(
    gl: &Gl,
    (internal, size): (u32, Size),
    (fd, bytes, dedicated): (OwnedFd, u64, bool),
) -> Result<Name> {
    let functions = memory_functions(gl)?;
    let mut raw = 0;
    // SAFETY: a context is current that has the extension; one name is written.
    unsafe { (functions.create)(1, &mut raw) };
    let raw = NonZeroU32::new(raw).ok_or_else(|| Error::failed("glCreateMemoryObjectsEXT", "no name"))?;
    let name = gl.name(Kind::Memory, raw);
    // SAFETY: the name was just made; the fd and its size are the caller's promise, and GL closes the fd, here or later.
    unsafe {
        (functions.parameter)(raw.get(), DEDICATED_MEMORY_OBJECT, &i32::from(dedicated));
        (functions.import_fd)(raw.get(), bytes, HANDLE_TYPE_OPAQUE_FD, fd.into_raw_fd());
    }
    gl.check_error("glImportMemoryFdEXT", || format!("{bytes} bytes"))?;
    let (width, height) = (size.width as i32, size.height as i32);
    // SAFETY: the texture is bound; the layout of the memory is the caller's promise.
    unsafe { (functions.texture_storage)(glow::TEXTURE_2D, 1, internal, width, height, raw.get(), 0) };
    gl.check_error("glTexStorageMem2DEXT", || format!("{size} of 0x{internal:04X} in {bytes} bytes"))?;
    Ok(name)
}

/// A semaphore that GLES and another API on the same device share: one signals it, the other waits for it on the GPU.
///
/// Each signal is waited for once, by the other side, and has been handed to the GPU before.
#[derive(Debug)]
pub struct Semaphore {
    name: Name,
    functions: SemaphoreFunctions,
}

impl std::fmt::Debug for SemaphoreFunctions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GL_EXT_semaphore")
    }
}

impl Semaphore {
    /// Takes a semaphore from Vulkan (`VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD_BIT`, a binary one).
    ///
    /// # Safety
    /// The fd is such a semaphore of this context's device and driver.
    ///
    /// # Errors
    /// `Unsupported` where the driver has no `GL_EXT_semaphore_fd`; `Failed` where it does not take the fd.
    pub unsafe fn from_opaque_fd(gl: &Gl, fd: OwnedFd) -> Result<Self> {
        let functions = gl
            .own()
            .semaphore
            .ok_or_else(|| Error::unsupported("GL_EXT_semaphore_fd", format!("{gl:?} does not offer it")))?;
        let mut raw = 0;
        // SAFETY: a context is current that has the extension; one name is written.
        unsafe { (functions.create)(1, &mut raw) };
        let raw = NonZeroU32::new(raw).ok_or_else(|| Error::failed("glGenSemaphoresEXT", "no name"))?;
        let name = gl.name(Kind::Semaphore, raw);
        // SAFETY: the name was just made; what the fd is is the caller's promise, and GL closes it.
        unsafe { (functions.import_fd)(raw.get(), HANDLE_TYPE_OPAQUE_FD, fd.into_raw_fd()) };
        gl.check_error("glImportSemaphoreFdEXT", || "an opaque fd".into())?;
        Ok(Self { name, functions })
    }

    /// Signals it behind everything so far, and hands that to the GPU. What was drawn into `textures` is then there for the
    /// other side.
    ///
    /// # Errors
    /// `InvalidInput` for one, or a texture, of another context; `Failed`.
    #[doc(alias = "glSignalSemaphoreEXT")]
    pub fn signal(&self, gl: &Gl, textures: &[&Texture]) -> Result<()> {
        let names = self.names(gl, textures, "glSignalSemaphoreEXT")?;
        let layouts = vec![LAYOUT_GENERAL; names.len()];
        let (count, raw) = (names.len() as u32, self.name.raw().get());
        // SAFETY: the names live and are this context's, as many layouts as textures.
        unsafe { (self.functions.signal)(raw, 0, std::ptr::null(), count, names.as_ptr(), layouts.as_ptr()) };
        gl.check_error("glSignalSemaphoreEXT", || format!("{count} textures"))?;
        gl.flush();
        Ok(())
    }

    /// Lets the GPU wait for it before everything that follows, which then sees what the other side wrote into `textures`.
    ///
    /// # Errors
    /// As [`Semaphore::signal`].
    #[doc(alias = "glWaitSemaphoreEXT")]
    pub fn wait(&self, gl: &Gl, textures: &[&Texture]) -> Result<()> {
        let names = self.names(gl, textures, "glWaitSemaphoreEXT")?;
        let layouts = vec![LAYOUT_GENERAL; names.len()];
        let (count, raw) = (names.len() as u32, self.name.raw().get());
        // SAFETY: as in `signal`.
        unsafe { (self.functions.wait)(raw, 0, std::ptr::null(), count, names.as_ptr(), layouts.as_ptr()) };
        gl.check_error("glWaitSemaphoreEXT", || format!("{count} textures"))
    }

    fn names(&self, gl: &Gl, textures: &[&Texture], op: &'static str) -> Result<Vec<u32>> {
        gl.check_name(&self.name, op)?;
        textures.iter().map(|texture| gl.check_name(texture.name(), op).map(|()| texture.name().raw().get())).collect()
    }
}
