//! A Vulkan device: one that is opened here, matched to a DRM node, or the program's own.
//!
//! In: a [`Choice`], or [`Handles`]. Out: a [`Device`] whose extensions are known. Not here: memory, images, work.
//!
//! # References
//! `VK_EXT_physical_device_drm`; `VkPhysicalDeviceIDProperties`

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use ash::{ext, khr, vk};

use super::submit::Slots;
use super::{failed, submit};
use crate::device::DrmNode;
use crate::error::{Error, ErrorKind, Result};

/// Which of the machine's Vulkan devices.
#[derive(Clone, Debug)]
pub enum Choice {
    /// The one of this DRM node.
    Node(DrmNode),
    /// The first whose name contains this text, in any case: the way round a driver that does not tell its node.
    Name(String),
    /// The one with this device UUID, as another process or API tells it.
    Uuid([u8; 16]),
}

/// A Vulkan device of the machine, as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// `VkPhysicalDeviceProperties::deviceName`
    pub name: String,
    /// `VkPhysicalDeviceIDProperties::deviceUUID`: the same in every process and API.
    pub device_uuid: [u8; 16],
    /// `VkPhysicalDeviceIDProperties::driverUUID`: changes with the driver's build.
    pub driver_uuid: [u8; 16],
    /// Major and minor number of the primary node, where the driver tells it.
    pub primary_node: Option<(u64, u64)>,
    /// Major and minor number of the render node, where the driver tells it.
    pub render_node: Option<(u64, u64)>,
    /// The processor draws.
    pub is_software: bool,
    /// Major and minor version of Vulkan.
    pub version: (u32, u32),
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.name)?;
        match self.render_node.or(self.primary_node) {
            Some((major, minor)) => write!(f, "node {major}:{minor})"),
            None => write!(f, "tells no node)"),
        }
    }
}

/// A program's own Vulkan objects. They stay the program's: nothing here destroys them.
pub struct Handles {
    /// The loaded library.
    pub entry: ash::Entry,
    /// Made for Vulkan 1.1 or later.
    pub instance: ash::Instance,
    /// What the device was made of.
    pub physical: vk::PhysicalDevice,
    /// The device.
    pub device: ash::Device,
    /// The extensions that the device was made with.
    pub extensions: Vec<CString>,
    /// `timelineSemaphore` was enabled.
    pub timeline_semaphores: bool,
    /// `samplerYcbcrConversion` was enabled.
    pub ycbcr: bool,
    /// The family of `queue`.
    pub queue_family: u32,
    /// Where [`Device::submit`] submits. While it does, nobody else may use the queue.
    pub queue: vk::Queue,
}

/// What the device was made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caps {
    pub memory_fd: bool,
    pub dma_buf: bool,
    pub modifiers: bool,
    pub foreign: bool,
    pub timeline: bool,
    pub ycbcr: bool,
    pub semaphore_fd: bool,
    /// A sync_file becomes a semaphore.
    pub sync_file_in: bool,
    /// A semaphore becomes a sync_file.
    pub sync_file_out: bool,
}

impl Caps {
    pub fn need_dma_buf(&self) -> Result<()> {
        match self.memory_fd && self.dma_buf {
            true => Ok(()),
            false => Err(Error::unsupported("VK_EXT_external_memory_dma_buf", "this Vulkan device takes no dma-bufs")
                .with_hint("share memory of the device itself: LinearBuffer::allocate_opaque")),
        }
    }

    pub fn need_modifiers(&self) -> Result<()> {
        match self.modifiers {
            true => Ok(()),
            false => Err(Error::unsupported(
                "VK_EXT_image_drm_format_modifier",
                "this Vulkan device takes no plane layouts from elsewhere",
            )
            .with_hint("import linear memory as a LinearBuffer and copy it into an image")),
        }
    }
}

pub(super) struct Inner {
    /// The library must outlive what was made with it.
    entry: ash::Entry,
    instance: ash::Instance,
    physical: vk::PhysicalDevice,
    /// What submissions keep has it too: they cannot keep the `Device`, which has the submissions.
    device: Arc<ash::Device>,
    info: Info,
    caps: Caps,
    memory: vk::PhysicalDeviceMemoryProperties,
    queue_family: u32,
    queue: vk::Queue,
    pub memory_fd: khr::external_memory_fd::Device,
    pub semaphore_fd: khr::external_semaphore_fd::Device,
    pub modifier: ext::image_drm_format_modifier::Device,
    /// Work in flight. Also the lock of `queue`.
    pub slots: Mutex<Slots>,
    owned: bool,
}

/// A Vulkan device. Clones share it.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vulkan::Device({})", self.0.info)
    }
}

pub(super) const WANTED: &[&CStr] = &[
    khr::external_memory_fd::NAME,
    ext::external_memory_dma_buf::NAME,
    ext::image_drm_format_modifier::NAME,
    ext::queue_family_foreign::NAME,
    khr::external_semaphore_fd::NAME,
];

/// What an instance and a device are made with.
const API_VERSION: u32 = vk::API_VERSION_1_3;

/// The process's instance. It is never destroyed: NVIDIA's driver (580) is unloaded with the last one, and OpenGL ES of the same
/// process then tells of no device and makes no texture any more.
static INSTANCE: Mutex<Option<(ash::Entry, ash::Instance)>> = Mutex::new(None);

pub(super) fn open_instance() -> Result<(ash::Entry, ash::Instance)> {
    let mut known = INSTANCE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match &*known {
        Some(known) => Ok(known.clone()),
        None => Ok(known.insert(make_instance()?).clone()),
    }
}

fn make_instance() -> Result<(ash::Entry, ash::Instance)> {
    // SAFETY: libvulkan's initialisers have no requirements.
    let entry = unsafe { ash::Entry::load() }.map_err(|error| {
        Error::unsupported("libvulkan.so.1", error.to_string()).with_hint("install the Vulkan loader and a driver")
    })?;
    // SAFETY: the library is loaded.
    let version = unsafe { entry.try_enumerate_instance_version() };
    let version = version.map_err(|result| failed("vkEnumerateInstanceVersion", "", result))?;
    let version = version.unwrap_or(vk::API_VERSION_1_0);
    if version < vk::API_VERSION_1_1 {
        return Err(Error::unsupported("vkEnumerateInstanceVersion", "Vulkan 1.0; 1.1 is needed"));
    }
    let application = vk::ApplicationInfo::default().api_version(API_VERSION).engine_name(c"darkframe");
    #[cfg(feature = "wgpu")]
    let names: Vec<_> = super::adopt::instance_extensions(&entry)?.iter().map(|name| name.as_ptr()).collect();
    #[cfg(not(feature = "wgpu"))]
    let names = Vec::new();
    let create = vk::InstanceCreateInfo::default().application_info(&application).enabled_extension_names(&names);
    // SAFETY: the structs live in this frame; the extensions are those that the library has just listed.
    let instance = unsafe { entry.create_instance(&create, None) }.map_err(|result| match result {
        vk::Result::ERROR_INCOMPATIBLE_DRIVER => {
            Error::unsupported("vkCreateInstance", "this machine has no Vulkan driver").with_hint(
                "install one for the GPU (Mesa: mesa-vulkan-drivers), or set VK_DRIVER_FILES to its description",
            )
        }
        result => failed("vkCreateInstance", "", result),
    })?;
    Ok((entry, instance))
}

pub(super) fn extensions(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<HashSet<CString>> {
    // SAFETY: `physical` is the instance's.
    let found = unsafe { instance.enumerate_device_extension_properties(physical) };
    let found = found.map_err(|result| failed("vkEnumerateDeviceExtensionProperties", "", result))?;
    Ok(found.iter().filter_map(|known| known.extension_name_as_c_str().ok()).map(CStr::to_owned).collect())
}

fn describe(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<Info> {
    let tells_node = extensions(instance, physical)?.contains(ext::physical_device_drm::NAME);
    let mut id = vk::PhysicalDeviceIDProperties::default();
    let mut drm = vk::PhysicalDeviceDrmPropertiesEXT::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut id);
    if tells_node {
        properties = properties.push_next(&mut drm);
    }
    // SAFETY: the chain is structs of this frame, and the DRM one is there only where the extension is.
    unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
    let core = properties.properties;
    let node = |has: u32, major: i64, minor: i64| (has != 0).then_some((major as u64, minor as u64));
    let name = core.device_name_as_c_str().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Info {
        name,
        device_uuid: id.device_uuid,
        driver_uuid: id.driver_uuid,
        primary_node: node(drm.has_primary, drm.primary_major, drm.primary_minor),
        render_node: node(drm.has_render, drm.render_major, drm.render_minor),
        is_software: core.device_type == vk::PhysicalDeviceType::CPU,
        version: (vk::api_version_major(core.api_version), vk::api_version_minor(core.api_version)),
    })
}

pub(super) fn all(instance: &ash::Instance) -> Result<Vec<(vk::PhysicalDevice, Info)>> {
    // SAFETY: the instance is alive.
    let physical = unsafe { instance.enumerate_physical_devices() };
    let physical = physical.map_err(|result| failed("vkEnumeratePhysicalDevices", "", result))?;
    physical.into_iter().map(|physical| Ok((physical, describe(instance, physical)?))).collect()
}

/// Whether a device is the chosen one.
type Fits = Box<dyn Fn(&Info) -> bool>;

impl Choice {
    pub(super) fn pick(&self, found: Vec<(vk::PhysicalDevice, Info)>) -> Result<(vk::PhysicalDevice, Info)> {
        let there: Vec<String> = found.iter().map(|(_, info)| info.to_string()).collect();
        let there = if there.is_empty() { "no Vulkan device at all".into() } else { there.join(", ") };
        let (fits, what): (Fits, String) = match self {
            Self::Node(node) => {
                let stat = nix::sys::stat::fstat(node.as_fd())
                    .map_err(|errno| Error::from_errno("fstat", node.path().display(), errno))?;
                let number = Some((nix::sys::stat::major(stat.st_rdev), nix::sys::stat::minor(stat.st_rdev)));
                let what = format!("{} ({}) has no Vulkan device", node.path().display(), node.driver());
                (Box::new(move |info| info.render_node == number || info.primary_node == number), what)
            }
            Self::Name(name) => {
                let wanted = name.to_lowercase();
                (
                    Box::new(move |info| info.name.to_lowercase().contains(&wanted)),
                    format!("none has \"{name}\" in its name"),
                )
            }
            Self::Uuid(uuid) => {
                let uuid = *uuid;
                (Box::new(move |info| info.device_uuid == uuid), format!("none has the UUID {}", hex(&uuid)))
            }
        };
        found.into_iter().find(|(_, info)| fits(info)).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "vulkan device", what)
                .with_hint(format!("there is {there}; choose one by name where its memory is reachable from the node"))
        })
    }
}

pub(crate) fn hex(uuid: &[u8; 16]) -> String {
    uuid.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Device {
    /// The machine's Vulkan devices.
    ///
    /// # Errors
    /// `Unsupported` where there is no libvulkan, or no driver.
    pub fn list() -> Result<Vec<Info>> {
        let (_entry, instance) = open_instance()?;
        let found = all(&instance)?;
        Ok(found.into_iter().map(|(_, info)| info).collect())
    }

    /// Opens a device of the machine, with every extension of this module that it has.
    ///
    /// # Errors
    /// `Unsupported` where there is no libvulkan, no driver or no Vulkan 1.1; `NotFound` where no device is the chosen one,
    /// with those that are there.
    pub fn open(choice: &Choice) -> Result<Self> {
        let (entry, instance) = open_instance()?;
        let (physical, info) = choice.pick(all(&instance)?)?;
        check_version(&info)?;
        let family = family(&instance, physical, &info)?;
        let there = extensions(&instance, physical)?;
        let taken: Vec<CString> =
            WANTED.iter().filter(|name| there.contains(**name)).map(|&name| name.into()).collect();
        let names: Vec<_> = taken.iter().map(|name| name.as_ptr()).collect();

        let (has_timeline, has_ycbcr) = features(&instance, physical, &info);
        let mut timeline = vk::PhysicalDeviceTimelineSemaphoreFeatures::default().timeline_semaphore(has_timeline);
        let mut ycbcr = vk::PhysicalDeviceSamplerYcbcrConversionFeatures::default().sampler_ycbcr_conversion(has_ycbcr);
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0])];
        let mut create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&names)
            .push_next(&mut ycbcr);
        if info.version >= (1, 2) {
            create = create.push_next(&mut timeline);
        }
        // SAFETY: extensions and features are those that the device has just said to have.
        let device = unsafe { instance.create_device(physical, &create, None) }
            .map_err(|result| failed("vkCreateDevice", &info, result))?;
        // SAFETY: the family was made with one queue.
        let queue = unsafe { device.get_device_queue(family, 0) };
        let handles = Handles {
            entry,
            instance,
            physical,
            device,
            extensions: taken,
            timeline_semaphores: has_timeline,
            ycbcr: has_ycbcr,
            queue_family: family,
            queue,
        };
        Ok(Self::build(handles, info, true))
    }

    /// Works with a program's own device.
    ///
    /// # Safety
    /// The handles belong together, are as described, and live longer than every clone of the result and everything made
    /// with it. [`Device::submit`] and the program do not use the queue at the same time.
    ///
    /// # Errors
    /// `Unsupported` where the device has no Vulkan 1.1.
    pub unsafe fn from_handles(handles: Handles) -> Result<Self> {
        let info = describe(&handles.instance, handles.physical)?;
        check_version(&info)?;
        Ok(Self::build(handles, info, false))
    }

    pub(super) fn build(handles: Handles, info: Info, owned: bool) -> Self {
        let Handles { entry, instance, physical, device, .. } = handles;
        let has = |name: &CStr| handles.extensions.iter().any(|known| known.as_c_str() == name);
        let sync = match has(khr::external_semaphore_fd::NAME) {
            true => semaphore_features(&instance, physical),
            false => vk::ExternalSemaphoreFeatureFlags::empty(),
        };
        let caps = Caps {
            memory_fd: has(khr::external_memory_fd::NAME),
            dma_buf: has(ext::external_memory_dma_buf::NAME),
            modifiers: has(ext::image_drm_format_modifier::NAME),
            foreign: has(ext::queue_family_foreign::NAME),
            timeline: handles.timeline_semaphores && info.version >= (1, 2),
            ycbcr: handles.ycbcr,
            semaphore_fd: has(khr::external_semaphore_fd::NAME),
            sync_file_in: sync.contains(vk::ExternalSemaphoreFeatureFlags::IMPORTABLE),
            sync_file_out: sync.contains(vk::ExternalSemaphoreFeatureFlags::EXPORTABLE),
        };
        // SAFETY: `physical` is the instance's.
        let memory = unsafe { instance.get_physical_device_memory_properties(physical) };
        Self(Arc::new(Inner {
            memory_fd: khr::external_memory_fd::Device::new(&instance, &device),
            semaphore_fd: khr::external_semaphore_fd::Device::new(&instance, &device),
            modifier: ext::image_drm_format_modifier::Device::new(&instance, &device),
            entry,
            instance,
            physical,
            device: Arc::new(device),
            info,
            caps,
            memory,
            queue_family: handles.queue_family,
            queue: handles.queue,
            slots: Mutex::default(),
            owned,
        }))
    }

    /// What the driver says of the device.
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// The device's functions.
    pub fn ash(&self) -> &ash::Device {
        &self.0.device
    }

    pub(super) fn shared(&self) -> Arc<ash::Device> {
        self.0.device.clone()
    }

    /// The instance's functions.
    pub fn instance(&self) -> &ash::Instance {
        &self.0.instance
    }

    /// The physical device.
    pub fn physical(&self) -> vk::PhysicalDevice {
        self.0.physical
    }

    /// The family that work is submitted to.
    pub fn queue_family(&self) -> u32 {
        self.0.queue_family
    }

    /// The queue that work is submitted to.
    pub fn queue(&self) -> vk::Queue {
        self.0.queue
    }

    /// Types of memory.
    pub fn memory_types(&self) -> &[vk::MemoryType] {
        self.0.memory.memory_types_as_slice()
    }

    pub(crate) fn caps(&self) -> &Caps {
        &self.0.caps
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }
}

/// The family whose queue draws and computes.
pub(super) fn family(instance: &ash::Instance, physical: vk::PhysicalDevice, info: &Info) -> Result<u32> {
    // SAFETY: `physical` is the instance's.
    let families = unsafe { instance.get_physical_device_queue_family_properties(physical) };
    let both = vk::QueueFlags::GRAPHICS | vk::QueueFlags::COMPUTE;
    let family = families.iter().position(|family| family.queue_flags.contains(both));
    family
        .map(|family| family as u32)
        .ok_or_else(|| Error::unsupported("vulkan queue", format!("{info} has no queue for graphics and compute")))
}

/// Whether the device has timeline semaphores, and conversions of Y'CbCr.
pub(super) fn features(instance: &ash::Instance, physical: vk::PhysicalDevice, info: &Info) -> (bool, bool) {
    let mut timeline = vk::PhysicalDeviceTimelineSemaphoreFeatures::default();
    let mut ycbcr = vk::PhysicalDeviceSamplerYcbcrConversionFeatures::default();
    let mut asked = vk::PhysicalDeviceFeatures2::default().push_next(&mut ycbcr);
    if info.version >= (1, 2) {
        asked = asked.push_next(&mut timeline);
    }
    // SAFETY: the chain is structs of this frame that Vulkan 1.1, or 1.2 where it is there, knows.
    unsafe { instance.get_physical_device_features2(physical, &mut asked) };
    (timeline.timeline_semaphore != 0, ycbcr.sampler_ycbcr_conversion != 0)
}

pub(super) fn check_version(info: &Info) -> Result<()> {
    match info.version >= (1, 1) {
        true => Ok(()),
        false => {
            let (major, minor) = info.version;
            Err(Error::unsupported("vulkan device", format!("{info} has Vulkan {major}.{minor}; 1.1 is needed")))
        }
    }
}

/// What the device does with sync_files.
fn semaphore_features(instance: &ash::Instance, physical: vk::PhysicalDevice) -> vk::ExternalSemaphoreFeatureFlags {
    let info =
        vk::PhysicalDeviceExternalSemaphoreInfo::default().handle_type(vk::ExternalSemaphoreHandleTypeFlags::SYNC_FD);
    let mut properties = vk::ExternalSemaphoreProperties::default();
    // SAFETY: both structs live in this frame.
    unsafe { instance.get_physical_device_external_semaphore_properties(physical, &info, &mut properties) };
    properties.external_semaphore_features
}

impl Drop for Inner {
    fn drop(&mut self) {
        let slots = std::mem::take(self.slots.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
        // SAFETY: this was the last user of the device; whatever its submissions kept cannot be of this device any more.
        if !unsafe { submit::finish(&self.device, slots) } {
            tracing::error!(device = %self.info, "work that does not end: the Vulkan device is not destroyed");
            // The driver's threads run on in its library.
            std::mem::forget(self.entry.clone());
            return;
        }
        if self.owned {
            // SAFETY: made here; nothing made with them is left, and no work is in flight.
            unsafe {
                let _ = self.device.device_wait_idle();
                self.device.destroy_device(None);
            }
        }
    }
}
