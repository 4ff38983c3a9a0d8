//! A device that wgpu and our Vulkan share.
//!
//! In: a [`Choice`]. Out: a [`Device`]. Not here: textures, work.

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ash::vk;

use super::one_line;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Fourcc, Modifier};
use crate::vulkan::adopt::{self, Adopted};
use crate::vulkan::submit::HANG;
use crate::vulkan::{self, Choice, Info};

/// How a device is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Features that are switched on where the device has them; [`wgpu::Device::features`] says which it has.
    pub features: wgpu::Features,
}

impl Default for Options {
    /// What memory of others needs: planes of 16 bits, formats beyond those of WebGPU.
    fn default() -> Self {
        let features = wgpu::Features::VULKAN_EXTERNAL_MEMORY_DMA_BUF
            | wgpu::Features::TEXTURE_FORMAT_16BIT_NORM
            | wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES;
        Self { features }
    }
}

pub(super) struct Inner {
    queue: ManuallyDrop<wgpu::Queue>,
    device: ManuallyDrop<wgpu::Device>,
    adapter: wgpu::Adapter,
    _instance: wgpu::Instance,
    lost: Arc<AtomicBool>,
    /// Submissions of ours are handed in one by one: what is put before one must not come behind another.
    pub submitting: Mutex<()>,
    vulkan: vulkan::Device,
}

/// A wgpu device on Vulkan. Clones share it.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wgpu::Device({})", self.info())
    }
}

/// The device that [`Device::of`] has opened last.
static OPENED: Mutex<Weak<Inner>> = Mutex::new(Weak::new());

impl Device {
    /// The machine's Vulkan devices.
    ///
    /// # Errors
    /// `Unsupported` where there is no libvulkan, or no driver.
    pub fn list() -> Result<Vec<Info>> {
        vulkan::Device::list()
    }

    /// Opens a device of the machine for wgpu.
    ///
    /// Errors of wgpu that nobody catches are logged, where wgpu would end the process.
    ///
    /// # Errors
    /// Those of [`vulkan::Device::open`]; `Unsupported` where wgpu does not take the device.
    pub fn open(choice: &Choice, options: &Options) -> Result<Self> {
        let Adopted { device: vulkan, instance, adapter, open, features, limits } =
            adopt::open(choice, options.features)?;
        let wanted = wgpu::DeviceDescriptor {
            label: Some("darkframe"),
            required_features: features,
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        // SAFETY: the open device is the adapter's, and was opened with these features.
        let made = unsafe { adapter.create_device_from_hal(open, &wanted) };
        let (device, queue) = made.map_err(|error| Error::unsupported("wgpu device", one_line(&error.to_string())))?;
        device.on_uncaptured_error(Arc::new(|error: wgpu::Error| {
            tracing::error!(error = one_line(&error.to_string()), "wgpu");
        }));
        let lost = Arc::new(AtomicBool::new(false));
        let tell = lost.clone();
        device.set_device_lost_callback(move |reason, text| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                tracing::error!(reason = text, "wgpu: the device is lost");
                tell.store(true, Ordering::Release);
            }
        });
        Ok(Self(Arc::new(Inner {
            queue: ManuallyDrop::new(queue),
            device: ManuallyDrop::new(device),
            adapter,
            _instance: instance,
            lost,
            submitting: Mutex::default(),
            vulkan,
        })))
    }

    /// The device with this UUID: the one that the last call with it has opened, while somebody has it, else a new one.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn of(uuid: &[u8; 16]) -> Result<Self> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = opened.upgrade().map(Self);
        if let Some(known) = known.filter(|known| known.info().device_uuid == *uuid && known.check_lost().is_ok()) {
            return Ok(known);
        }
        let device = Self::open(&Choice::Uuid(*uuid), &Options::default())?;
        *opened = Arc::downgrade(&device.0);
        Ok(device)
    }

    /// Modifiers of one plane in which this device samples, draws and copies `fourcc`: what to negotiate before allocating.
    ///
    /// # Errors
    /// As [`vulkan::Device::modifiers`].
    pub fn modifiers(&self, fourcc: Fourcc) -> Result<Vec<Modifier>> {
        let wanted = vk::FormatFeatureFlags::SAMPLED_IMAGE
            | vk::FormatFeatureFlags::COLOR_ATTACHMENT
            | vk::FormatFeatureFlags::TRANSFER_SRC;
        let known = self.0.vulkan.modifiers(fourcc)?;
        let whole = known.iter().filter(|known| known.planes == 1 && known.features.contains(wanted));
        Ok(whole.map(|known| known.modifier).collect())
    }

    /// What the driver says of the device.
    pub fn info(&self) -> &Info {
        self.0.vulkan.info()
    }

    /// wgpu's adapter.
    pub fn adapter(&self) -> &wgpu::Adapter {
        &self.0.adapter
    }

    /// wgpu's device: shaders, pipelines, bind groups, encoders.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// wgpu's queue. Work with textures of ours is handed in by [`Device::submit`]; `write_texture` into one would run before the
    /// texture is taken over from its other users.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// The same device for [`vulkan`]: its imports, semaphores and facts.
    ///
    /// # Safety
    /// Nothing is submitted with it ([`vulkan::Device::submit`] and what calls it) while somebody submits to [`Device::queue`], in
    /// any thread: both are one `VkQueue`.
    pub unsafe fn vulkan(&self) -> &vulkan::Device {
        &self.0.vulkan
    }

    pub(super) fn shared(&self) -> &vulkan::Device {
        &self.0.vulkan
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Fails where the device is gone.
    pub(super) fn check_lost(&self) -> Result<()> {
        match self.0.lost.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::ContextLost, "wgpu", "the device is lost")
                .with_hint("make a new device and import the buffers again; their memory is intact")),
        }
    }

    /// Blocks until all work so far is done.
    ///
    /// # Errors
    /// `Timeout`; `ContextLost`.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        wait(&self.0.device, timeout)?;
        self.check_lost()
    }
}

fn wait(device: &wgpu::Device, timeout: Duration) -> Result<()> {
    match device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(timeout) }) {
        Ok(_) => Ok(()),
        Err(wgpu::PollError::Timeout) => {
            Err(Error::new(ErrorKind::Timeout, "wgpu", format!("work is not done after {timeout:?}")))
        }
        Err(error) => Err(Error::failed("wgpu", error.to_string())),
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if wait(&self.device, HANG).is_err() && !self.lost.load(Ordering::Acquire) {
            // wgpu would wait for it without an end.
            tracing::error!(device = %self.vulkan.info(), "work that does not end: the wgpu device is not destroyed");
            std::mem::forget(self.vulkan.clone());
            return;
        }
        // SAFETY: neither is used afterwards.
        unsafe {
            ManuallyDrop::drop(&mut self.queue);
            ManuallyDrop::drop(&mut self.device);
        }
    }
}
