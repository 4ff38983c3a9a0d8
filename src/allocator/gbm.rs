//! GBM buffer objects: memory as the GPU's driver wants it, with a modifier where it has them.
//!
//! # References
//! Mesa `src/gbm/main/gbm.h`

use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use drm_fourcc::{DrmFourcc, DrmModifier};
use gbm::{AsRaw, BufferObject, BufferObjectFlags};

use super::dumb::export_gem;
use super::{Allocator, Request, Usage, list};
use crate::board::Board;
use crate::buffer::{Buffer, Provenance};
use crate::device::{Device, DrmNode};
use crate::error::{Error, Result};
use crate::format::Modifier;
use crate::layout::{Constraints, Layout, PlaneLayout, Size, align_up};
use crate::sys::gbm_dl;

/// A GBM device on a DRM node. Clones share it; EGL's GBM platform is opened with it.
#[derive(Clone, Debug)]
pub struct GbmDevice(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // libgbm's devices are not thread-safe; every call is made under this lock.
    device: Mutex<gbm::Device<DrmNode>>,
    raw: RawDevice,
    node: DrmNode,
}

#[derive(Debug)]
struct RawDevice(*mut c_void);

#[expect(unsafe_code, reason = "the pointer is libgbm's, and every use of it is locked")]
// SAFETY: the device lives in the same struct; gbm calls are made under its lock, EGL has locks of its own.
unsafe impl Send for Inner {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl GbmDevice {
    /// Opens libgbm (names from the board) and a device on `node`.
    ///
    /// # Errors
    /// `NotFound` where no libgbm opens; `Unsupported` where it has no backend for the node's driver.
    pub fn open(node: &DrmNode, board: &Board) -> Result<Self> {
        gbm_dl::load(&board.egl.gbm_libraries)?;
        let device = gbm::Device::new(node.clone()).map_err(|error| {
            Error::unsupported("gbm_create_device", format!("{} ({}): {error}", node.path().display(), node.driver()))
        })?;
        let raw = RawDevice(device.as_raw().cast_mut().cast());
        Ok(Self(Arc::new(Inner { device: Mutex::new(device), raw, node: node.clone() })))
    }

    /// The `struct gbm_device *`, valid while this value or a clone lives.
    pub fn as_raw(&self) -> *mut c_void {
        self.0.raw.0
    }

    /// The node it was opened on.
    pub fn node(&self) -> &DrmNode {
        &self.0.node
    }
}

/// Makes GBM buffer objects on one node.
#[derive(Debug)]
pub struct Gbm {
    device: GbmDevice,
}

impl Gbm {
    /// An allocator on `device`.
    pub fn new(device: GbmDevice) -> Self {
        Self { device }
    }

    fn create(&self, device: &gbm::Device<DrmNode>, request: &Request, size: Size) -> Result<BufferObject<()>> {
        let code = DrmFourcc::try_from(request.fourcc)?;
        let Size { width, height } = size;
        let mut flags = BufferObjectFlags::empty();
        flags.set(BufferObjectFlags::RENDERING, request.usage.intersects(Usage::RENDER | Usage::SAMPLE));
        flags.set(BufferObjectFlags::SCANOUT, request.usage.contains(Usage::SCANOUT));
        let cpu = request.usage.intersects(Usage::CPU_READ | Usage::CPU_WRITE);
        let linear = cpu || request.constraints.linear || request.modifiers.is_empty();
        let explicit: Vec<DrmModifier> = request
            .modifiers
            .iter()
            .filter(|modifier| **modifier != Modifier::INVALID && (!linear || **modifier == Modifier::LINEAR))
            .map(|modifier| DrmModifier::from(*modifier))
            .collect();
        let wish = format!("{} {width}x{height}, {flags:?}, modifiers [{}]", request.fourcc, list(&request.modifiers));
        let failed = |op: &'static str, error: std::io::Error| {
            let refused = Error::unsupported(op, format!("{}, {wish}: {error}", device.path().display()));
            if error.raw_os_error() == Some(libc::EACCES) && device.is_render() {
                return refused
                    .with_hint("this driver makes dumb buffers, which need the primary node: set [drm] render to it");
            }
            refused
        };
        if !explicit.is_empty() {
            // The newest call first; a libgbm without it, or a driver without modifiers, says ENOSYS.
            let made = device
                .create_buffer_object_with_modifiers2::<()>(width, height, code, explicit.iter().copied(), flags)
                .or_else(|_| {
                    device.create_buffer_object_with_modifiers::<()>(width, height, code, explicit.iter().copied())
                });
            match made {
                Ok(bo) => return Ok(bo),
                Err(error) if !linear => return Err(failed("gbm_bo_create_with_modifiers", error)),
                // Linear can also be asked for by flag.
                Err(_) => {}
            }
        } else if !request.modifiers.is_empty() && !request.accepts_linear() {
            return Err(Error::unsupported(
                "gbm",
                format!("CPU access needs LINEAR; wanted {}", list(&request.modifiers)),
            ));
        }
        if linear {
            flags |= BufferObjectFlags::LINEAR;
        }
        device.create_buffer_object::<()>(width, height, code, flags).map_err(|error| failed("gbm_bo_create", error))
    }

    /// What was really made.
    fn layout(&self, bo: &BufferObject<()>, request: &Request) -> Result<Layout> {
        let count = bo.plane_count().clamp(1, 4) as i32;
        let planes: Vec<PlaneLayout> = (0..count)
            .map(|plane| PlaneLayout {
                offset_bytes: u64::from(bo.offset(plane)),
                stride_bytes: bo.stride_for_plane(plane),
            })
            .collect();
        let mut modifier = Modifier::from(bo.modifier());
        let linear_asked = request.modifiers.is_empty() || request.usage.intersects(Usage::CPU_READ | Usage::CPU_WRITE);
        if modifier == Modifier::INVALID && linear_asked {
            // GBM_BO_USE_LINEAR was given: old drivers obey and do not say so.
            modifier = Modifier::LINEAR;
        }
        Layout::new(request.fourcc, request.size, modifier, &planes)
            .map_err(|error| Error::unsupported("gbm", format!("libgbm reports a layout that cannot be: {error}")))
    }

    /// One fd for each plane, or one for all where they share their memory.
    fn export(&self, bo: &BufferObject<()>) -> Result<Vec<OwnedFd>> {
        #[expect(unsafe_code, reason = "reads a C union")]
        // SAFETY: gbm.h says that the u32 member is the GEM handle on DRM backends.
        let handle = |plane: i32| unsafe { bo.handle_for_plane(plane).u32_ };
        let count = bo.plane_count().clamp(1, 4) as i32;
        #[expect(unsafe_code, reason = "reads a C union")]
        // SAFETY: as above. The call without a plane exists in every libgbm.
        let first = unsafe { bo.handle().u32_ };
        let shared = (1..count).all(|plane| handle(plane) == first || handle(plane) == u32::MAX);
        // Exported by us, not by gbm_bo_get_fd: Mesa before 25.2 leaves out write access, and with it the CPU's.
        if shared {
            return Ok(vec![export_gem(&self.device.0.node, first)?]);
        }
        (0..count).map(|plane| export_gem(&self.device.0.node, handle(plane))).collect()
    }
}

impl Allocator for Gbm {
    fn name(&self) -> String {
        format!("gbm({})", self.device.0.node.driver())
    }

    fn allocate(&self, request: &Request) -> Result<Buffer> {
        if request.constraints.contiguous && !request.usage.contains(Usage::SCANOUT) {
            return Err(Error::unsupported(self.name(), "contiguous memory cannot be asked for, except for scanout"));
        }
        let device = self.device.0.device.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // GBM has no alignment parameters: a padded picture is asked for, and what comes is checked.
        let padded = padded_size(request)?;
        let bo = self.create(&device, request, padded)?;
        let layout = self.layout(&bo, request)?;
        if layout.modifier == Modifier::LINEAR {
            check_constraints(&layout, &request.constraints)?;
        }
        let fds = self.export(&bo)?;
        let provenance = Provenance { allocator: self.name(), reasons: Vec::new() };
        Buffer::with_provenance(layout, fds, provenance, None)
    }
}

fn padded_size(request: &Request) -> Result<Size> {
    let pad = |value: u32, align: u32| align_up(u64::from(value), align).and_then(|value| u32::try_from(value).ok());
    let constraints = &request.constraints;
    let size = pad(request.size.width, constraints.width_align_pixels)
        .zip(pad(request.size.height, constraints.height_align_rows));
    let (width, height) =
        size.ok_or_else(|| Error::invalid("gbm", format!("{}: size wraps when padded", request.size)))?;
    Size::new(width, height).check()
}

/// Refuses what libgbm gave where a consumer cannot take it.
fn check_constraints(layout: &Layout, constraints: &Constraints) -> Result<()> {
    for (index, plane) in layout.planes().iter().enumerate() {
        let stride_ok = plane.stride_bytes.is_multiple_of(constraints.stride_align_bytes);
        let offset_ok = plane.offset_bytes.is_multiple_of(u64::from(constraints.offset_align_bytes));
        if !stride_ok || !offset_ok {
            return Err(Error::unsupported(
                "gbm",
                format!(
                    "libgbm gave {layout}; plane {index} must have stride_bytes % {} == 0 and offset_bytes % {} == 0",
                    constraints.stride_align_bytes, constraints.offset_align_bytes
                ),
            ));
        }
    }
    Ok(())
}

/// A GBM allocator on each render candidate that has one.
pub(super) fn open_all(device: &Device) -> Result<Vec<Arc<dyn Allocator>>> {
    let mut refused = None;
    let mut found: Vec<Arc<dyn Allocator>> = Vec::new();
    for node in device.render_candidates() {
        match GbmDevice::open(node, device.board()) {
            Ok(gbm) => found.push(Arc::new(Gbm::new(gbm))),
            Err(error) => refused = Some(error),
        }
    }
    match (found.is_empty(), refused) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(Error::unsupported("/dev/dri", "there is no DRM node")),
        _ => Ok(found),
    }
}
