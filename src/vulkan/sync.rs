//! Fences as semaphores and back; timeline semaphores whose values are fences.
//!
//! In: a [`Fence`], or a signal that was submitted. Out: the other. Not here: DRM's timelines
//! ([`fence::Timeline`](crate::fence::Timeline)): a fence goes between the two.
//!
//! # References
//! `VK_KHR_external_semaphore_fd`, `VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT`; Vulkan 1.2 timeline semaphores

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use ash::vk;

use super::memory::Raw;
use super::submit::{Step, Submitted};
use super::{Device, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;

const SYNC_FILE: vk::ExternalSemaphoreHandleTypeFlags = vk::ExternalSemaphoreHandleTypeFlags::SYNC_FD;
/// What OpenGL and CUDA on the same device take.
const OPAQUE: vk::ExternalSemaphoreHandleTypeFlags = vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD;

/// Fails unless semaphores of this type can be exported to OpenGL and CUDA.
fn need_opaque(device: &Device, kind: vk::SemaphoreType) -> Result<()> {
    let mut with = vk::SemaphoreTypeCreateInfo::default().semaphore_type(kind);
    let mut info = vk::PhysicalDeviceExternalSemaphoreInfo::default().handle_type(OPAQUE);
    if kind == vk::SemaphoreType::TIMELINE {
        info = info.push_next(&mut with);
    }
    let mut found = vk::ExternalSemaphoreProperties::default();
    // SAFETY: the structs live in this frame; the type is said only where the device has timelines.
    unsafe {
        device.instance().get_physical_device_external_semaphore_properties(device.physical(), &info, &mut found)
    };
    let can = found.external_semaphore_features.contains(vk::ExternalSemaphoreFeatureFlags::EXPORTABLE);
    match can && device.caps().semaphore_fd {
        true => Ok(()),
        false => Err(Error::unsupported(
            "VK_KHR_external_semaphore_fd",
            format!("this device exports no semaphores of type {kind:?} to other APIs"),
        )),
    }
}

fn opaque_fd(device: &Device, semaphore: vk::Semaphore) -> Result<OwnedFd> {
    let info = vk::SemaphoreGetFdInfoKHR::default().semaphore(semaphore).handle_type(OPAQUE);
    // SAFETY: the semaphore was made for this export.
    let fd = unsafe { device.inner().semaphore_fd.get_semaphore_fd(&info) }
        .map_err(|result| failed("vkGetSemaphoreFdKHR", "an opaque fd", result))?;
    // SAFETY: the driver has made a new fd for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A binary semaphore, to be exported or not.
pub(super) fn new_semaphore(device: &Device, exported: bool) -> Result<vk::Semaphore, vk::Result> {
    let mut export = vk::ExportSemaphoreCreateInfo::default().handle_types(SYNC_FILE);
    let mut info = vk::SemaphoreCreateInfo::default();
    if exported {
        info = info.push_next(&mut export);
    }
    // SAFETY: the chain is structs of this frame.
    unsafe { device.ash().create_semaphore(&info, None) }
}

/// Makes the next wait for `semaphore` one for `fence`.
pub(super) fn put(device: &Device, semaphore: vk::Semaphore, fence: Fence) -> Result<()> {
    if !device.caps().sync_file_in {
        return Err(Error::unsupported("VK_KHR_external_semaphore_fd", "this device takes no sync_files")
            .with_hint("wait for the fence on the processor: Fence::wait"));
    }
    let fd = fence.into_fd();
    let info = vk::ImportSemaphoreFdInfoKHR::default()
        .semaphore(semaphore)
        .flags(vk::SemaphoreImportFlags::TEMPORARY)
        .handle_type(SYNC_FILE)
        .fd(fd.as_raw_fd());
    // SAFETY: the semaphore is the device's and in no submission; the fd is a sync_file: Fence has looked.
    unsafe { device.inner().semaphore_fd.import_semaphore_fd(&info) }
        .map_err(|result| failed("vkImportSemaphoreFdKHR", "a sync_file", result))?;
    // It is the driver's now; where the call failed it was closed above.
    let _ = fd.into_raw_fd();
    Ok(())
}

/// The fence of a signal that was submitted; `None` where it has been.
pub(super) fn take(device: &Device, semaphore: vk::Semaphore) -> Result<Option<Fence>> {
    let info = vk::SemaphoreGetFdInfoKHR::default().semaphore(semaphore).handle_type(SYNC_FILE);
    // SAFETY: the semaphore was made for this export, and its signal is submitted.
    let fd = unsafe { device.inner().semaphore_fd.get_semaphore_fd(&info) }
        .map_err(|result| failed("vkGetSemaphoreFdKHR", "a sync_file", result))?;
    match fd {
        -1 => Ok(None),
        // SAFETY: the driver has made a new fd for this caller alone.
        fd => Fence::from_fd(unsafe { OwnedFd::from_raw_fd(fd) }).map(Some),
    }
}

/// A binary semaphore for a program's own submissions. It must outlive those that use it.
pub struct Semaphore {
    raw: vk::Semaphore,
    device: Device,
    is_shared: bool,
}

impl Semaphore {
    /// One wait for it, in one submission, waits for `fence` on the GPU.
    ///
    /// # Errors
    /// `Unsupported` where the driver takes no sync_files: wait on the processor then.
    pub fn from_fence(device: &Device, fence: Fence) -> Result<Self> {
        let raw = new_semaphore(device, false).map_err(|result| failed("vkCreateSemaphore", "", result))?;
        let semaphore = Self { raw, device: device.clone(), is_shared: false };
        put(device, raw, fence)?;
        Ok(semaphore)
    }

    /// To be signaled by one submission, and then become a fence.
    ///
    /// # Errors
    /// `Unsupported` where the driver makes no sync_files.
    pub fn for_fence(device: &Device) -> Result<Self> {
        if !device.caps().sync_file_out {
            return Err(Error::unsupported("VK_KHR_external_semaphore_fd", "this device makes no sync_files"));
        }
        let raw = new_semaphore(device, true).map_err(|result| failed("vkCreateSemaphore", "", result))?;
        Ok(Self { raw, device: device.clone(), is_shared: false })
    }

    /// One whose signals and waits are of OpenGL and CUDA on the same device, and of this one.
    ///
    /// # Errors
    /// `Unsupported` where the device exports none.
    pub fn for_sharing(device: &Device) -> Result<Self> {
        need_opaque(device, vk::SemaphoreType::BINARY)?;
        let mut export = vk::ExportSemaphoreCreateInfo::default().handle_types(OPAQUE);
        let info = vk::SemaphoreCreateInfo::default().push_next(&mut export);
        // SAFETY: the chain is structs of this frame.
        let raw = unsafe { device.ash().create_semaphore(&info, None) }
            .map_err(|result| failed("vkCreateSemaphore", "to be shared", result))?;
        Ok(Self { raw, device: device.clone(), is_shared: true })
    }

    /// A new fd of it, for one taker.
    ///
    /// # Errors
    /// `InvalidInput` unless it was made by [`Semaphore::for_sharing`]; `Failed`.
    pub fn to_opaque_fd(&self) -> Result<OwnedFd> {
        match self.is_shared {
            true => opaque_fd(&self.device, self.raw),
            false => Err(Error::invalid("vkGetSemaphoreFdKHR", "the semaphore was not made for sharing")),
        }
    }

    /// The device it was made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The semaphore.
    pub fn raw(&self) -> vk::Semaphore {
        self.raw
    }

    /// The fence that signals with the submitted signal; `None` where it has signaled. The semaphore can then be signaled
    /// anew.
    ///
    /// # Safety
    /// It was made by [`Semaphore::for_fence`], and a submission that signals it, and all that this one waits for, have been
    /// submitted.
    pub unsafe fn to_fence(&self) -> Result<Option<Fence>> {
        take(&self.device, self.raw)
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: it is this device's; its user keeps it until submissions with it are done.
        unsafe { self.device.ash().destroy_semaphore(self.raw, None) };
    }
}

/// A semaphore with rising values.
pub struct TimelineSemaphore {
    raw: vk::Semaphore,
    shared: Arc<Raw>,
    device: Device,
    is_shared: bool,
}

impl TimelineSemaphore {
    /// One that is at `value`.
    ///
    /// # Errors
    /// `Unsupported` where the device has none.
    pub fn new(device: &Device, value: u64) -> Result<Self> {
        Self::make(device, value, false)
    }

    /// One that CUDA on the same device waits for and signals too.
    ///
    /// # Errors
    /// `Unsupported` where the device has none, or exports none.
    pub fn for_sharing(device: &Device, value: u64) -> Result<Self> {
        Self::make(device, value, true)
    }

    fn make(device: &Device, value: u64, is_shared: bool) -> Result<Self> {
        if !device.caps().timeline {
            return Err(Error::unsupported("timelineSemaphore", "this Vulkan device was made without it"));
        }
        let mut kind =
            vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE).initial_value(value);
        let mut export = vk::ExportSemaphoreCreateInfo::default().handle_types(OPAQUE);
        let mut info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        if is_shared {
            need_opaque(device, vk::SemaphoreType::TIMELINE)?;
            info = info.push_next(&mut export);
        }
        let mut shared = Raw::new(device);
        // SAFETY: the chain is structs of this frame; the feature is on.
        let raw = unsafe { device.ash().create_semaphore(&info, None) }
            .map_err(|result| failed("vkCreateSemaphore", "a timeline", result))?;
        shared.semaphore = raw;
        Ok(Self { raw, shared: Arc::new(shared), device: device.clone(), is_shared })
    }

    /// The semaphore.
    pub fn raw(&self) -> vk::Semaphore {
        self.raw
    }

    /// A new fd of it, for one taker.
    ///
    /// # Errors
    /// `InvalidInput` unless it was made by [`TimelineSemaphore::for_sharing`]; `Failed`.
    pub fn to_opaque_fd(&self) -> Result<OwnedFd> {
        match self.is_shared {
            true => opaque_fd(&self.device, self.raw),
            false => Err(Error::invalid("vkGetSemaphoreFdKHR", "the timeline was not made for sharing")),
        }
    }

    /// The device it was made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Sets it to `value` now.
    ///
    /// # Errors
    /// `InvalidInput` where it is there already.
    pub fn signal(&self, value: u64) -> Result<()> {
        self.check_rises(value)?;
        let info = vk::SemaphoreSignalInfo::default().semaphore(self.raw).value(value);
        // SAFETY: it is the device's timeline, and the value is behind its own.
        unsafe { self.device.ash().signal_semaphore(&info) }
            .map_err(|result| failed("vkSignalSemaphore", value, result))
    }

    fn check_rises(&self, value: u64) -> Result<()> {
        match self.value()? {
            now if value <= now => {
                Err(Error::invalid("timeline", format!("it is at {now}: {value} is not behind that")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn step(&self, value: u64) -> Step {
        Step { semaphore: self.shared.clone(), raw: self.raw, value }
    }

    /// Where it is.
    pub fn value(&self) -> Result<u64> {
        // SAFETY: it is the device's timeline.
        unsafe { self.device.ash().get_semaphore_counter_value(self.raw) }
            .map_err(|result| failed("vkGetSemaphoreCounterValue", "", result))
    }

    /// Sets it to `value` when `fence` has signaled: the GPU waits, where it can.
    ///
    /// # Errors
    /// `InvalidInput` where it is there already; those of [`Device::submit`].
    pub fn signal_after(&self, fence: &Fence, value: u64) -> Result<Submitted> {
        self.check_rises(value)?;
        self.device.submit_steps(&[], &[fence], (None, Some(self.step(value))), |_, _| Ok(()))
    }

    /// The fence that signals when it reaches `value`; `None` where it has.
    ///
    /// What sets the value must have been submitted before: a sync_file is a promise that the kernel takes only of work that
    /// is on its way.
    ///
    /// # Errors
    /// Those of [`Device::submit`].
    pub fn fence(&self, value: u64) -> Result<Option<Fence>> {
        if self.value()? >= value {
            return Ok(None);
        }
        self.device.submit_steps(&[], &[], (Some(self.step(value)), None), |_, _| Ok(())).map(|work| work.fence)
    }

    /// Blocks until it reaches `value`.
    ///
    /// # Errors
    /// `Timeout`; `ContextLost`.
    pub fn wait(&self, value: u64, timeout: Duration) -> Result<()> {
        let (semaphores, values) = ([self.raw], [value]);
        let info = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the structs live in this frame.
        match unsafe { self.device.ash().wait_semaphores(&info, timeout_ns) } {
            Ok(()) => Ok(()),
            Err(vk::Result::TIMEOUT) => {
                Err(Error::new(ErrorKind::Timeout, "timeline", format!("{value} is not reached after {timeout:?}")))
            }
            Err(result) => Err(failed("vkWaitSemaphores", "", result)),
        }
    }
}
