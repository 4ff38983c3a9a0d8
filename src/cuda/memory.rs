//! Memory of Vulkan as device pointers and arrays.
//!
//! In: an fd and its [`Handle`]. Out: [`Memory`] with an address; an `Array` in the device's own layout, which is copied from
//! and to addresses. Not here: who makes the memory (`vulkan`).
//!
//! # References
//! CUDA Driver API: `cuImportExternalMemory`, `cuExternalMemoryGetMappedBuffer`, `cuExternalMemoryGetMappedMipmappedArray`

use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use cudarc::driver::{CudaFunction, CudaStream, LaunchConfig, PushKernelArg, sys};
use nix::sys::stat::{SFlag, fstat};

use super::{Device, failed};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::format::{Fourcc, Model};
use crate::layout::{Layout, Size};
use crate::sys as kernel;
use crate::vulkan::{Handle, HandleKind, OpaqueImage};

/// `CUDA_EXTERNAL_MEMORY_DEDICATED`
const DEDICATED: u32 = 1;
/// `CUDA_ARRAY3D_SURFACE_LDST`, `CUDA_ARRAY3D_COLOR_ATTACHMENT`
const ARRAY_FLAGS: u32 = 0x02 | 0x20;

/// What a thread copies at once.
const WORD_BYTES: usize = 16;
/// Threads of a block, across and down: pictures in the device's own layout lie in tiles.
const BLOCK: (u32, u32) = (32, 8);

/// A picture in the device's memory.
#[derive(Clone, Debug)]
pub struct Pixels {
    address: u64,
    layout: Layout,
}

impl Pixels {
    pub(super) fn new(address: u64, layout: Layout) -> Self {
        Self { address, layout }
    }

    /// `CUdeviceptr` of plane 0's first row.
    pub fn address(&self) -> u64 {
        self.address + self.layout.planes()[0].offset_bytes
    }

    /// From one row of plane 0 to the next.
    pub fn stride_bytes(&self) -> u32 {
        self.layout.planes()[0].stride_bytes
    }

    /// Address and stride of a plane, where there is one.
    pub fn plane(&self, index: usize) -> Option<(u64, u32)> {
        self.layout.planes().get(index).map(|plane| (self.address + plane.offset_bytes, plane.stride_bytes))
    }

    /// Size in pixels.
    pub fn size(&self) -> Size {
        self.layout.size
    }

    /// Where the planes lie, from the memory's first byte.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// Fails where the fd cannot be opaque memory of an NVIDIA driver: CUDA itself may take it for some.
fn check_fd(fd: &OwnedFd) -> Result<()> {
    let refuse = |what: &str| {
        Err(Error::invalid("cuImportExternalMemory", format!("the fd is {what}, no memory of a device")))
            .map_err(|error: Error| error.with_hint("give the fd that came with the handle"))
    };
    if kernel::dma_buf::recognise(fd.as_fd()).is_some() {
        return refuse("a dma-buf").map_err(|error| error.with_hint("dma-bufs go through cuda::Frames"));
    }
    let stat = fstat(fd).map_err(|errno| Error::from_errno("fstat", "memory of a handle", errno))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFREG => return refuse("a file"),
        SFlag::S_IFDIR => return refuse("a folder"),
        SFlag::S_IFIFO => return refuse("a pipe"),
        SFlag::S_IFSOCK => return refuse("a socket"),
        _ => {}
    }
    // Not by an ioctl: a driver's own fd may take it for another.
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default();
    if link.to_string_lossy().contains("sync_file") && Fence::from_fd(duplicate(fd)?).is_ok() {
        return refuse("a fence");
    }
    Ok(())
}

fn duplicate(fd: &OwnedFd) -> Result<OwnedFd> {
    fd.try_clone().map_err(|error| Error::from_io("dup", "memory of a handle", error))
}

/// What becomes of an fd that a driver was given: on success it is the driver's. On failure it is still ours by the
/// documentation, and closed already by NVIDIA's driver (580): it is closed here where it is still open.
pub(super) fn given(fd: OwnedFd, is_taken: bool) {
    let raw = fd.into_raw_fd();
    // SAFETY: F_GETFD has no requirements: it fails for a number that is no fd.
    if !is_taken && unsafe { libc::fcntl(raw, libc::F_GETFD) } >= 0 {
        // SAFETY: it is open and was ours a moment ago.
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
    }
}

/// Imported memory, not yet looked at.
struct External {
    raw: sys::CUexternalMemory,
    device: Device,
}

// SAFETY: a CUexternalMemory is a name that any thread may use with its context current.
unsafe impl Send for External {}
// SAFETY: as above; nothing is changed through a shared one.
unsafe impl Sync for External {}

impl External {
    fn import(device: &Device, fd: OwnedFd, handle: &Handle, kind: HandleKind) -> Result<Self> {
        handle.check_device(kind, &device.info().uuid, &device.info().name)?;
        check_fd(&fd)?;
        device.bind()?;
        let desc = sys::CUDA_EXTERNAL_MEMORY_HANDLE_DESC {
            type_: sys::CUexternalMemoryHandleType::CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD,
            handle: sys::CUDA_EXTERNAL_MEMORY_HANDLE_DESC_st__bindgen_ty_1 { fd: fd.as_raw_fd() },
            size: handle.memory_bytes,
            flags: if handle.dedicated { DEDICATED } else { 0 },
            reserved: [0; 16],
        };
        let mut raw = std::ptr::null_mut();
        // SAFETY: the context is current; device, kind and size are the handle's, checked above.
        let imported = unsafe { sys::cuImportExternalMemory(&mut raw, &desc) }.result();
        given(fd, imported.is_ok());
        imported.map_err(|error| {
            failed("cuImportExternalMemory", format!("{} bytes", handle.memory_bytes), error)
                .with_hint("the fd must be the one that came with the handle, not used before")
        })?;
        Ok(Self { raw, device: device.clone() })
    }
}

impl Drop for External {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: made here, and what was mapped of it is gone: its owners have it as their last field.
            unsafe { sys::cuDestroyExternalMemory(self.raw) };
        }
    }
}

/// Memory of a Vulkan buffer as a device pointer.
pub struct Memory {
    address: u64,
    bytes: u64,
    /// After the mapping.
    external: External,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cuda::Memory({} bytes)", self.bytes)
    }
}

impl Memory {
    /// Takes memory of [`LinearBuffer::allocate_opaque`](crate::vulkan::LinearBuffer::allocate_opaque), from this or another
    /// process.
    ///
    /// # Errors
    /// `InvalidInput`: the handle is of another device or of an image, says what cannot be, or the fd is no such memory.
    pub fn import(device: &Device, fd: OwnedFd, handle: &Handle) -> Result<Self> {
        let external = External::import(device, fd, handle, HandleKind::OpaqueFd)?;
        let desc =
            sys::CUDA_EXTERNAL_MEMORY_BUFFER_DESC { offset: 0, size: handle.buffer_bytes, flags: 0, reserved: [0; 16] };
        let mut address = 0;
        // SAFETY: the context is current (import has bound it); the buffer lies inside the memory: the handle was checked.
        unsafe { sys::cuExternalMemoryGetMappedBuffer(&mut address, external.raw, &desc) }.result().map_err(
            |error| failed("cuExternalMemoryGetMappedBuffer", format!("{} bytes", handle.buffer_bytes), error),
        )?;
        Ok(Self { address, bytes: handle.buffer_bytes, external })
    }

    /// `CUdeviceptr` of the first byte.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size.
    pub fn size_bytes(&self) -> u64 {
        self.bytes
    }

    /// A picture in it.
    ///
    /// # Errors
    /// `InvalidInput` where the picture does not fit.
    pub fn pixels(&self, layout: &Layout) -> Result<Pixels> {
        for plane in 0..layout.planes().len() {
            layout.check_fits(plane, self.bytes)?;
        }
        Ok(Pixels::new(self.address, layout.clone()))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.external.device.bind().is_ok() {
            // SAFETY: mapped here and freed once; the driver waits for work that uses it.
            unsafe { sys::cuMemFree_v2(self.address) };
        }
    }
}

/// An image of Vulkan, in the device's own layout.
pub(super) struct Array {
    mipmaps: sys::CUmipmappedArray,
    level: sys::CUarray,
    /// For rows of whole words, that kernels copy.
    surface: Option<(sys::CUsurfObject, [CudaFunction; 2])>,
    row_bytes: usize,
    rows: usize,
    /// After the mapping.
    external: External,
}

// SAFETY: these are names that any thread may use with their context current.
unsafe impl Send for Array {}

/// Channels and bits of CUDA's arrays.
fn array_format(fourcc: Fourcc) -> Result<(sys::CUarray_format, u32)> {
    let format = fourcc.format()?;
    let refuse = || {
        Err(Error::unsupported("CUarray_format", format!("{fourcc}: CUDA has no array of such texels"))
            .with_hint("share ABGR8888, GR88 or R8"))
    };
    if format.model == Model::Yuv || format.planes.len() != 1 || format.planes[0].block_width != 1 {
        return refuse();
    }
    match (format.component_bits, format.planes[0].block_bytes) {
        (8, channels @ (1 | 2 | 4)) => Ok((sys::CUarray_format::CU_AD_FORMAT_UNSIGNED_INT8, channels)),
        (16, bytes @ (2 | 4 | 8)) if format.name.ends_with('F') => {
            Ok((sys::CUarray_format::CU_AD_FORMAT_HALF, bytes / 2))
        }
        (16, bytes @ (2 | 4 | 8)) => Ok((sys::CUarray_format::CU_AD_FORMAT_UNSIGNED_INT16, bytes / 2)),
        _ => refuse(),
    }
}

impl Array {
    pub fn import(device: &Device, image: &OpaqueImage) -> Result<Self> {
        let (format, channels) = array_format(image.fourcc())?;
        let external = External::import(device, image.to_fd()?, image.handle(), HandleKind::OpaqueImageFd)?;
        let size = image.size();
        let desc = sys::CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC {
            offset: 0,
            arrayDesc: sys::CUDA_ARRAY3D_DESCRIPTOR {
                Width: size.width as usize,
                Height: size.height as usize,
                Depth: 0,
                Format: format,
                NumChannels: channels,
                Flags: ARRAY_FLAGS,
            },
            numLevels: 1,
            reserved: [0; 16],
        };
        let mut mipmaps = std::ptr::null_mut();
        // SAFETY: the context is current; the image has this size, format and one level.
        unsafe { sys::cuExternalMemoryGetMappedMipmappedArray(&mut mipmaps, external.raw, &desc) }.result().map_err(
            |error| failed("cuExternalMemoryGetMappedMipmappedArray", format!("{} {size}", image.fourcc()), error),
        )?;
        let mut array = Self {
            mipmaps,
            level: std::ptr::null_mut(),
            surface: None,
            row_bytes: size.width as usize * image.fourcc().format()?.planes[0].block_bytes as usize,
            rows: size.height as usize,
            external,
        };
        // SAFETY: the array was just mapped and has one level.
        unsafe { sys::cuMipmappedArrayGetLevel(&mut array.level, mipmaps, 0) }
            .result()
            .map_err(|error| failed("cuMipmappedArrayGetLevel", "level 0", error))?;
        if array.row_bytes.is_multiple_of(WORD_BYTES) {
            array.surface = Some((array.surface()?, device.row_kernels()?));
        }
        Ok(array)
    }

    fn surface(&self) -> Result<sys::CUsurfObject> {
        // SAFETY: numbers alone, of which zeros are valid.
        let mut desc: sys::CUDA_RESOURCE_DESC = unsafe { std::mem::zeroed() };
        desc.resType = sys::CUresourcetype::CU_RESOURCE_TYPE_ARRAY;
        desc.res.array.hArray = self.level;
        let mut surface = 0;
        // SAFETY: the context is current; the array was made for surfaces.
        unsafe { sys::cuSurfObjectCreate(&mut surface, &desc) }
            .result()
            .map_err(|error| failed("cuSurfObjectCreate", format!("{} rows", self.rows), error))?;
        Ok(surface)
    }

    pub fn level(&self) -> sys::CUarray {
        self.level
    }

    /// Copies the picture to `pixels` (`is_out`), or from there, in `stream`.
    pub fn copy(&self, stream: &Arc<CudaStream>, pixels: &Pixels, is_out: bool) -> Result<()> {
        use sys::CUmemorytype::{CU_MEMORYTYPE_ARRAY, CU_MEMORYTYPE_DEVICE};
        self.external.device.bind()?;
        if let Some((surface, kernels)) = &self.surface
            && pixels.address().is_multiple_of(WORD_BYTES as u64)
            && (pixels.stride_bytes() as usize).is_multiple_of(WORD_BYTES)
        {
            return self.launch(stream, (surface, &kernels[usize::from(!is_out)]), pixels);
        }
        let (address, stride) = (pixels.address(), pixels.stride_bytes() as usize);
        let (from, to) = match is_out {
            true => (CU_MEMORYTYPE_ARRAY, CU_MEMORYTYPE_DEVICE),
            false => (CU_MEMORYTYPE_DEVICE, CU_MEMORYTYPE_ARRAY),
        };
        let nobody = std::ptr::null_mut();
        let copy = sys::CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: from,
            srcHost: std::ptr::null(),
            srcDevice: if is_out { 0 } else { address },
            srcArray: if is_out { self.level } else { nobody },
            srcPitch: if is_out { 0 } else { stride },
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: to,
            dstHost: std::ptr::null_mut(),
            dstDevice: if is_out { address } else { 0 },
            dstArray: if is_out { nobody } else { self.level },
            dstPitch: if is_out { stride } else { 0 },
            WidthInBytes: self.row_bytes,
            Height: self.rows,
        };
        // SAFETY: the context is current, array and memory hold this many rows; both live until the stream is done.
        unsafe { sys::cuMemcpy2DAsync_v2(&copy, stream.cu_stream()) }.result().map_err(|error| {
            failed("cuMemcpy2DAsync", format!("{} rows of {} bytes", self.rows, self.row_bytes), error)
        })
    }
}

impl Array {
    /// Copies with all multiprocessors.
    fn launch(
        &self,
        stream: &Arc<CudaStream>,
        (surface, kernel): (&sys::CUsurfObject, &CudaFunction),
        pixels: &Pixels,
    ) -> Result<()> {
        let (address, stride) = (pixels.address(), pixels.stride_bytes());
        let (row_bytes, rows) = (self.row_bytes as u32, self.rows as u32);
        let words = row_bytes.div_ceil(WORD_BYTES as u32);
        let grid_dim = (words.div_ceil(BLOCK.0), rows.div_ceil(BLOCK.1), 1);
        let config = LaunchConfig { grid_dim, block_dim: (BLOCK.0, BLOCK.1, 1), shared_mem_bytes: 0 };
        let mut launch = stream.launch_builder(kernel);
        launch.arg(surface).arg(&address).arg(&stride).arg(&row_bytes).arg(&rows);
        // SAFETY: the kernel takes these five numbers, and stays inside the array and as many rows of the memory, both of
        // which live until the stream is done.
        unsafe { launch.launch(config) }
            .map(drop)
            .map_err(|error| failed("cuLaunchKernel", format!("{rows} rows of {row_bytes} bytes"), error))
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if self.external.device.bind().is_ok() {
            if let Some((surface, _)) = &self.surface {
                // SAFETY: made here and destroyed once, before its array.
                unsafe { sys::cuSurfObjectDestroy(*surface) };
            }
            // SAFETY: mapped here and destroyed once; its users have waited for the work.
            unsafe { sys::cuMipmappedArrayDestroy(self.mipmaps) };
        }
    }
}
