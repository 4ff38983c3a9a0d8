//! DRM dumb buffers: linear memory that the display side can scan out, from the primary node.
//!
//! Needs neither master nor authentication, but not a render node: the kernel refuses `CREATE_DUMB` there.
//!
//! # References
//! `include/uapi/drm/drm_mode.h` (`drm_mode_create_dumb`), `drivers/gpu/drm/drm_ioctl.c` (flags of the dumb ioctls)

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::{Allocator, Request, out_of_memory_hint};
use crate::buffer::{Buffer, Mapper, Provenance};
use crate::device::{Device, DrmNode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Modifier;
use crate::layout::{Layout, PlaneLayout};
use crate::sys::mapping::Mapping;

/// Makes dumb buffers on one primary node.
#[derive(Debug)]
pub struct Dumb {
    node: DrmNode,
}

impl Dumb {
    /// Takes a primary node that has dumb buffers.
    ///
    /// # Errors
    /// `Unsupported` for a render node and for drivers without dumb buffers.
    pub fn new(node: &DrmNode) -> Result<Self> {
        if node.is_render() {
            return Err(Error::unsupported(
                "DRM_IOCTL_MODE_CREATE_DUMB",
                format!("{} is a render node", node.path().display()),
            )
            .with_hint("dumb buffers come from the primary node, /dev/dri/card*"));
        }
        // Drivers without a display (vgem, panfrost) answer no capability question: only CREATE_DUMB itself tells.
        if let Ok(0) = drm::Device::get_driver_capability(node, drm::DriverCapability::DumbBuffer) {
            return Err(Error::unsupported(
                "DRM_CAP_DUMB_BUFFER",
                format!("{} ({}) has no dumb buffers", node.path().display(), node.driver()),
            ));
        }
        // A file of its own: GEM handles belong to the open file, and EGL imports on the node's other file would get
        // the very handle that is destroyed here.
        Ok(Self { node: DrmNode::open(node.path())? })
    }

    /// One GEM buffer of `words` 32-bit pixels by `rows`, or of `bits_per_pixel`.
    fn create(&self, columns: u32, rows: u32, bits_per_pixel: u32) -> std::io::Result<Gem> {
        let info = drm_ffi::mode::dumbbuffer::create(self.node.as_fd(), columns, rows, bits_per_pixel, 0)?;
        Ok(Gem { node: self.node.clone(), handle: info.handle, pitch_bytes: info.pitch, size_bytes: info.size })
    }
}

impl Allocator for Dumb {
    fn name(&self) -> String {
        format!("dumb({})", self.node.driver())
    }

    fn allocate(&self, request: &Request) -> Result<Buffer> {
        let (wanted, bytes) = request.linear_layout()?;
        let stride_bytes = wanted.planes()[0].stride_bytes;
        // Every driver takes 32 bits per pixel, some take nothing else (virtio-gpu). Any picture is asked for as rows of
        // 32-bit words as long as its first stride: the bytes are ours to lay out.
        let words = stride_bytes.div_ceil(4);
        let rows = u32::try_from(bytes.div_ceil(u64::from(words) * 4)).map_err(|_| {
            Error::invalid(
                "DRM_IOCTL_MODE_CREATE_DUMB",
                format!("{wanted}: more than 2^32 rows of {stride_bytes} bytes"),
            )
        })?;
        let gem = self.create(words, rows, 32).map_err(|error| {
            let error = Error::from_io(
                "DRM_IOCTL_MODE_CREATE_DUMB",
                format!("{} ({}), {wanted}, {words}x{rows} at 32 bits", self.node.path().display(), self.node.driver()),
                error,
            );
            let error = match error.kind() {
                ErrorKind::PermissionDenied => error.with_hint("open the primary node, not a render node"),
                _ => error,
            };
            out_of_memory_hint(error, true)
        })?;
        let layout = gem.layout(&wanted, request)?;
        let fd = gem.export()?;
        let provenance = Provenance { allocator: self.name(), reasons: Vec::new() };
        // Some exporters let nobody map the fd; then the GEM handle is kept and mapped through the node.
        let probe = Mapping::new(fd.as_fd(), 0, gem.size_bytes.min(4096), true);
        let mapper: Option<Box<dyn Mapper>> = if probe.is_ok() { None } else { Some(Box::new(gem)) };
        Buffer::with_provenance(layout, vec![fd], provenance, mapper)
    }
}

/// A GEM handle, closed on drop. The memory lives on while an exported fd does.
#[derive(Debug)]
struct Gem {
    node: DrmNode,
    handle: u32,
    pitch_bytes: u32,
    size_bytes: u64,
}

impl Gem {
    /// The wanted layout with the stride that the driver really gave.
    fn layout(&self, wanted: &Layout, request: &Request) -> Result<Layout> {
        let planes = wanted.planes();
        if self.pitch_bytes == planes[0].stride_bytes || planes.len() > 1 {
            // Planar pictures keep the layout that was asked for: the driver's pitch only made the memory larger.
            return Ok(wanted.clone());
        }
        if !self.pitch_bytes.is_multiple_of(request.constraints.stride_align_bytes) {
            return Ok(wanted.clone());
        }
        // Scanout reads with the driver's own pitch.
        let plane = PlaneLayout { offset_bytes: 0, stride_bytes: self.pitch_bytes };
        Layout::new(wanted.fourcc, wanted.size, Modifier::LINEAR, &[plane])
    }

    /// An fd of the memory, writable where the driver lets us.
    fn export(&self) -> Result<OwnedFd> {
        export_gem(&self.node, self.handle)
    }
}

/// Exports a GEM handle as a dma-buf, for reading and writing where the driver knows that flag.
pub(super) fn export_gem(node: &DrmNode, handle: u32) -> Result<OwnedFd> {
    let export = |flags: u32| drm_ffi::gem::handle_to_fd(node.as_fd(), handle, flags);
    let writable = (libc::O_RDWR | libc::O_CLOEXEC) as u32;
    let exported = export(writable).or_else(|_| export(libc::O_CLOEXEC as u32)).map_err(|error| {
        Error::from_io("DRM_IOCTL_PRIME_HANDLE_TO_FD", format!("{} ({})", node.path().display(), node.driver()), error)
    })?;
    #[expect(unsafe_code, reason = "the kernel hands over an fd as a number")]
    // SAFETY: on success the kernel has made a new fd for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(exported.fd) })
}

impl Mapper for Gem {
    fn map(&self, len_bytes: u64, writable: bool) -> Result<Mapping> {
        let failed = |error| Error::from_io("DRM_IOCTL_MODE_MAP_DUMB", self.node.driver(), error);
        let info = drm_ffi::mode::dumbbuffer::map(self.node.as_fd(), self.handle, 0, 0).map_err(failed)?;
        Mapping::new(self.node.as_fd(), info.offset, len_bytes, writable)
            .map_err(|errno| Error::from_errno("mmap", format!("dumb buffer of {}", self.node.driver()), errno))
    }
}

impl Drop for Gem {
    fn drop(&mut self) {
        if let Err(error) = drm_ffi::mode::dumbbuffer::destroy(self.node.as_fd(), self.handle) {
            tracing::error!(%error, node = self.node.as_fd().as_raw_fd(), "DRM_IOCTL_MODE_DESTROY_DUMB");
        }
    }
}

/// The primary nodes that have dumb buffers; the one beside the render node first, because its driver imports them.
pub(super) fn open_all(device: &Device) -> Result<Vec<Arc<dyn Allocator>>> {
    let mut refused = None;
    let mut found: Vec<Dumb> = Vec::new();
    for node in device.dumb_candidates() {
        match Dumb::new(node) {
            Ok(dumb) => found.push(dumb),
            Err(error) => refused = Some(error),
        }
    }
    if found.is_empty() {
        return Err(refused.unwrap_or_else(|| {
            Error::new(ErrorKind::NotFound, "/dev/dri/card*", "there is no primary DRM node")
                .with_hint("load the display driver, or allocate from a dma-heap")
        }));
    }
    let render = device.render_candidates().first().map(|node| node.driver().to_owned());
    found.sort_by_key(|dumb| Some(dumb.node.driver()) != render.as_deref());
    Ok(found.into_iter().map(|dumb| Arc::new(dumb) as Arc<dyn Allocator>).collect())
}
