//! A device that is made by wgpu's rules on this process's instance, and belongs to both: the last of its users destroys it.
//!
//! In: a [`Choice`], what wgpu asks for. Out: a [`Device`] of ours, and what wgpu opens the same device with.
//! Not here: what is done with it (`wgpu`).

use std::ffi::CStr;

use ash::vk;
use wgpu::hal;

use super::device::{Handles, Info, WANTED, all, check_version, extensions, family, features, open_instance};
use super::{Choice, Device, failed};
use crate::error::{Error, Result};

/// What instances are made with.
const VERSION: u32 = vk::API_VERSION_1_3;
/// Drivers that have not passed Khronos' tests are taken, as they are without wgpu.
const FLAGS: wgpu::InstanceFlags = wgpu::InstanceFlags::ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER;

/// A device with wgpu's side of it.
pub(crate) struct Adopted {
    pub device: Device,
    pub instance: wgpu::Instance,
    pub adapter: wgpu::Adapter,
    pub open: hal::OpenDevice<hal::api::Vulkan>,
    pub features: wgpu::Features,
    pub limits: wgpu::Limits,
}

fn refused(op: &'static str, error: impl std::fmt::Display) -> Error {
    Error::unsupported(op, error.to_string())
}

/// The extensions that wgpu takes for granted where they are there.
pub(super) fn instance_extensions(entry: &ash::Entry) -> Result<Vec<&'static CStr>> {
    hal::vulkan::Instance::desired_extensions(entry, VERSION, FLAGS)
        .map_err(|error| refused("vkEnumerateInstanceExtensionProperties", error))
}

/// Whether a chain has a struct of this type.
fn has(info: &vk::DeviceCreateInfo<'_>, wanted: vk::StructureType) -> bool {
    let mut next = info.p_next.cast::<vk::BaseInStructure<'_>>();
    while !next.is_null() {
        // SAFETY: every struct of a Vulkan chain begins with its type and the address of the next; all live here.
        let (kind, behind) = unsafe { ((*next).s_type, (*next).p_next) };
        if kind == wanted {
            return true;
        }
        next = behind;
    }
    false
}

/// Opens a device with every extension of this module that it has, those features of `wanted` that wgpu has there, and wgpu on it.
pub(crate) fn open(choice: &Choice, wanted: wgpu::Features) -> Result<Adopted> {
    let (entry, instance) = open_instance()?;
    let (physical, info) = choice.pick(all(&instance)?)?;
    check_version(&info)?;
    let names = instance_extensions(&entry)?;
    // SAFETY: the instance was made of this entry with this version and these extensions, and is never destroyed: the callback
    // keeps wgpu from it.
    let hal = unsafe {
        let keep: hal::DropCallback = Box::new(|| {});
        hal::vulkan::Instance::from_raw(
            entry.clone(),
            instance.clone(),
            VERSION,
            0,
            None,
            names,
            FLAGS,
            wgpu::MemoryBudgetThresholds::default(),
            false,
            Some(keep),
        )
    }
    .map_err(|error| refused("wgpu instance", error))?;
    let exposed = hal
        .expose_adapter(physical)
        .ok_or_else(|| Error::unsupported("wgpu adapter", format!("{info}: wgpu does not take this device")))?;
    let features = exposed.features & wanted;
    let limits = exposed.capabilities.limits.clone();
    let (device, taken) = make((entry, instance, physical), &info, &exposed.adapter, features)?;
    let keep: hal::DropCallback = {
        let device = device.clone();
        Box::new(move || drop(device))
    };
    // SAFETY: the device was made from this adapter with its extensions and features for this family; it lives until the
    // callback is dropped, and longer.
    let open = unsafe {
        exposed.adapter.device_from_raw(
            device.ash().clone(),
            Some(keep),
            &taken,
            features,
            &limits,
            &wgpu::MemoryHints::MemoryUsage,
            device.queue_family(),
            0,
        )
    }
    .map_err(|error| refused("wgpu device", error))?;
    // SAFETY: made above, and used by nobody else.
    let instance = unsafe { wgpu::Instance::from_hal::<hal::api::Vulkan>(hal) };
    // SAFETY: the adapter is this instance's.
    let adapter = unsafe { instance.create_adapter_from_hal(exposed) };
    Ok(Adopted { device, instance, adapter, open, features, limits })
}

/// The device itself, by wgpu's rules and ours, and its extensions.
fn make(
    (entry, instance, physical): (ash::Entry, ash::Instance, vk::PhysicalDevice),
    info: &Info,
    adapter: &hal::vulkan::Adapter,
    wanted: wgpu::Features,
) -> Result<(Device, Vec<&'static CStr>)> {
    let family = family(&instance, physical, info)?;
    let there = extensions(&instance, physical)?;
    let mut taken = adapter.required_device_extensions(wanted);
    for name in WANTED.iter().filter(|name| there.contains(**name)) {
        if !taken.contains(name) {
            taken.push(name);
        }
    }
    let names: Vec<_> = taken.iter().map(|name| name.as_ptr()).collect();
    let (has_timeline, has_ycbcr) = features(&instance, physical, info);
    let mut theirs = adapter.physical_device_features(&taken, wanted);
    let mut timeline = vk::PhysicalDeviceTimelineSemaphoreFeatures::default().timeline_semaphore(has_timeline);
    let mut ycbcr = vk::PhysicalDeviceSamplerYcbcrConversionFeatures::default().sampler_ycbcr_conversion(has_ycbcr);
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0])];
    let create = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
    let mut create = theirs.add_to_device_create(create);
    // wgpu asks for timelines wherever they are; a chain has each struct once.
    if info.version >= (1, 2) && !has(&create, vk::StructureType::PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES) {
        create = create.push_next(&mut timeline);
    }
    if !has(&create, vk::StructureType::PHYSICAL_DEVICE_SAMPLER_YCBCR_CONVERSION_FEATURES) {
        create = create.push_next(&mut ycbcr);
    }
    // SAFETY: extensions and features are those that the device has just said to have.
    let device = unsafe { instance.create_device(physical, &create, None) }
        .map_err(|result| failed("vkCreateDevice", info, result))?;
    // SAFETY: the family was made with one queue.
    let queue = unsafe { device.get_device_queue(family, 0) };
    let handles = Handles {
        entry,
        instance,
        physical,
        device,
        extensions: taken.iter().map(|&name| name.into()).collect(),
        timeline_semaphores: has_timeline,
        ycbcr: has_ycbcr,
        queue_family: family,
        queue,
    };
    Ok((Device::build(handles, info.clone(), true), taken))
}
