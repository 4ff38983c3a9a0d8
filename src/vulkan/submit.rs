//! Work on the queue: memory taken from its other users and given back, fences before and behind.
//!
//! In: what is used and how, fences to wait for, a function that records commands. Out: a [`Submitted`] with the fence
//! behind the work, and how each wait was done. Not here: what the commands are.
//!
//! # References
//! Vulkan 1.3 "Queue Family Ownership Transfer", `VK_QUEUE_FAMILY_FOREIGN_EXT`, `VK_QUEUE_FAMILY_EXTERNAL`

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ash::vk;

use super::memory::Raw;
use super::sync::TimelineSemaphore;
use super::{Device, Image, LinearBuffer, failed, sync};
use crate::buffer::{Access, Buffer, Memory};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;

/// Work that takes longer than this hangs.
pub(crate) const HANG: Duration = Duration::from_secs(10);
/// Submissions in flight; one more waits for the oldest.
const IN_FLIGHT: usize = 16;

/// Who waits for a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The GPU: the caller goes on at once.
    Gpu,
    /// The calling thread: the driver has no other way.
    Cpu,
}

#[derive(Clone, Copy, Debug)]
enum Resource<'a> {
    Image(&'a Image),
    Buffer(&'a LinearBuffer),
}

/// Shared memory that a submission uses.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    resource: Resource<'a>,
    access: Access,
    layout: vk::ImageLayout,
    discard: bool,
}

impl<'a> Use<'a> {
    /// An image, read in `layout`: it is in it when the commands begin, and must be when they end.
    pub fn image(image: &'a Image, layout: vk::ImageLayout) -> Self {
        Self { resource: Resource::Image(image), access: Access::Read, layout, discard: false }
    }

    /// A buffer, read.
    pub fn buffer(buffer: &'a LinearBuffer) -> Self {
        let layout = vk::ImageLayout::UNDEFINED;
        Self { resource: Resource::Buffer(buffer), access: Access::Read, layout, discard: false }
    }

    /// Written too.
    #[must_use]
    pub fn write(mut self) -> Self {
        self.access = Access::Write;
        self
    }

    /// Written, and what was there before does not matter.
    #[must_use]
    pub fn overwrite(mut self) -> Self {
        self.discard = true;
        self.write()
    }

    fn raw(&self) -> &Arc<Raw> {
        match self.resource {
            Resource::Image(image) => &image.raw,
            Resource::Buffer(buffer) => &buffer.raw,
        }
    }

    fn memory(&self) -> Option<&'a Buffer> {
        match self.resource {
            Resource::Image(image) => Some(&image.buffer),
            Resource::Buffer(buffer) => buffer.buffer.as_ref(),
        }
    }

    fn device(&self) -> &Device {
        match self.resource {
            Resource::Image(image) => image.device(),
            Resource::Buffer(buffer) => buffer.device(),
        }
    }
}

/// Work that was handed to the GPU.
#[derive(Debug)]
#[must_use = "work is done when its fence has signaled"]
pub struct Submitted {
    /// Signals when the work is done; `None` where it is done already.
    pub fence: Option<Fence>,
    /// Fences that the GPU waits for, before the work.
    pub gpu_waits: usize,
    /// Fences that this thread has waited for, before the work was submitted.
    pub cpu_waits: usize,
    /// How the end is told: by a fence, or the work was waited for here.
    pub signal: Way,
}

impl Submitted {
    /// Blocks until the work is done.
    ///
    /// # Errors
    /// `Timeout`; `Failed` where the GPU has given up.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        self.fence.as_ref().map_or(Ok(()), |fence| fence.wait(Some(timeout)))
    }
}

/// The fences that work with these memories must wait for: those of `waits`, and the memories' implicit ones.
pub(crate) fn pending<'a>(used: impl Iterator<Item = (&'a Buffer, Access)>, waits: &[&Fence]) -> Result<Vec<Fence>> {
    let mut fences = Vec::new();
    for fence in waits {
        if !fence.is_signaled()? {
            fences.push(fence.try_clone()?);
        }
    }
    for (buffer, access) in used.filter(|(buffer, _)| buffer.memory() == Memory::DmaBuf) {
        match buffer.export_fence(access) {
            Ok(fence) if fence.is_signaled()? => {}
            Ok(fence) => fences.push(fence),
            // Older kernels: the driver of such memory waits by itself.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => return Err(error),
        }
    }
    Ok(fences)
}

/// Has the fence behind work join the implicit ones of its memories.
pub(crate) fn publish<'a>(used: impl Iterator<Item = (&'a Buffer, Access)>, fence: &Fence) -> Result<()> {
    for (buffer, access) in used.filter(|(buffer, _)| buffer.memory() == Memory::DmaBuf) {
        match buffer.import_fence(fence, access) {
            Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// One submission's objects, used again when its work is done.
struct Slot {
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    done: vk::Fence,
    /// Null where the driver makes no sync_files.
    signal: vk::Semaphore,
    waits: Vec<vk::Semaphore>,
    keeps: Vec<Arc<Raw>>,
    /// Memory that pools must not hand out again before the work is done.
    _memory: Vec<Buffer>,
}

/// Submissions of a device.
#[derive(Default)]
pub(super) struct Slots {
    busy: Vec<Slot>,
    free: Vec<Slot>,
    /// Semaphores that sync_files are put into.
    semaphores: Vec<vk::Semaphore>,
}

impl Slots {
    /// Takes back what is done, oldest first.
    fn reap(&mut self, device: &ash::Device) -> Result<()> {
        let mut index = 0;
        while index < self.busy.len() {
            // SAFETY: the fence is the device's, and was submitted.
            let done = unsafe { device.get_fence_status(self.busy[index].done) };
            if done.map_err(|result| failed("vkGetFenceStatus", "a submission", result))? {
                let mut slot = self.busy.remove(index);
                self.semaphores.append(&mut slot.waits);
                slot.keeps.clear();
                slot._memory.clear();
                self.free.push(slot);
            } else {
                index += 1;
            }
        }
        Ok(())
    }
}

/// Waits for all work and destroys what submissions were made with. `false`: it does not end, and all is left as it is.
///
/// # Safety
/// Nobody submits to the device any more.
pub(super) unsafe fn finish(device: &ash::Device, mut slots: Slots) -> bool {
    for slot in &slots.busy {
        // SAFETY: the fence was submitted.
        let waited = unsafe { device.wait_for_fences(&[slot.done], true, HANG.as_nanos() as u64) };
        if waited == Err(vk::Result::TIMEOUT) {
            std::mem::forget(slots);
            return false;
        }
    }
    for mut slot in slots.busy.drain(..).chain(slots.free.drain(..)) {
        slots.semaphores.append(&mut slot.waits);
        // SAFETY: all are this device's, and their work is done.
        unsafe { destroy(device, &slot) };
    }
    for semaphore in slots.semaphores {
        // SAFETY: as above.
        unsafe { device.destroy_semaphore(semaphore, None) };
    }
    true
}

/// # Safety
/// The slot's work is done.
unsafe fn destroy(device: &ash::Device, slot: &Slot) {
    // SAFETY: all are this device's and in nobody's use.
    unsafe {
        device.destroy_fence(slot.done, None);
        device.destroy_semaphore(slot.signal, None);
        device.destroy_command_pool(slot.pool, None);
    }
}

/// A value of a timeline before or behind work.
pub type At<'a> = Option<(&'a TimelineSemaphore, u64)>;

/// A step of a timeline semaphore before or behind a submission.
pub(super) struct Step {
    pub semaphore: Arc<Raw>,
    pub raw: vk::Semaphore,
    pub value: u64,
}

/// What a barrier says of memory that is taken over from its other users, or given back to them.
pub(crate) struct Handover {
    is_acquire: bool,
    discards: bool,
    from: u32,
    to: u32,
    before: vk::AccessFlags,
    behind: vk::AccessFlags,
}

impl Handover {
    /// Between the queue families of others and of this device.
    pub(crate) fn new((other, ours): (u32, u32), is_acquire: bool, discards: bool) -> Self {
        let (from, to) = match (is_acquire, discards) {
            // What is not kept needs not be taken over.
            (true, true) => (vk::QUEUE_FAMILY_IGNORED, vk::QUEUE_FAMILY_IGNORED),
            (true, false) => (other, ours),
            (false, _) => (ours, other),
        };
        let (none, all) = (vk::AccessFlags::empty(), vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE);
        let (before, behind) = if is_acquire { (none, all) } else { (all, none) };
        Self { is_acquire, discards, from, to, before, behind }
    }

    /// The barrier of an image that is used here in `layout`.
    pub(crate) fn of_image(&self, image: &Image, layout: vk::ImageLayout) -> vk::ImageMemoryBarrier<'static> {
        // Other users know one layout: the one that the modifier describes.
        let (old, new) = match (self.is_acquire, self.discards) {
            (true, true) => (vk::ImageLayout::UNDEFINED, layout),
            (true, false) => (vk::ImageLayout::GENERAL, layout),
            (false, _) => (layout, vk::ImageLayout::GENERAL),
        };
        vk::ImageMemoryBarrier::default()
            .image(image.raw())
            .subresource_range(Image::range())
            .old_layout(old)
            .new_layout(new)
            .src_queue_family_index(self.from)
            .dst_queue_family_index(self.to)
            .src_access_mask(self.before)
            .dst_access_mask(self.behind)
    }
}

impl Device {
    fn new_slot(&self) -> Result<Slot> {
        let device = self.ash();
        let mut slot = Slot {
            pool: vk::CommandPool::null(),
            commands: vk::CommandBuffer::null(),
            done: vk::Fence::null(),
            signal: vk::Semaphore::null(),
            waits: Vec::new(),
            keeps: Vec::new(),
            _memory: Vec::new(),
        };
        let result = (|| {
            let info = vk::CommandPoolCreateInfo::default()
                .queue_family_index(self.queue_family())
                .flags(vk::CommandPoolCreateFlags::TRANSIENT);
            // SAFETY: the structs live in this frame, the family is the device's.
            unsafe {
                slot.pool = device.create_command_pool(&info, None)?;
                let info = vk::CommandBufferAllocateInfo::default().command_pool(slot.pool).command_buffer_count(1);
                slot.commands = device.allocate_command_buffers(&info)?[0];
                slot.done = device.create_fence(&vk::FenceCreateInfo::default(), None)?;
            }
            if self.caps().sync_file_out {
                slot.signal = sync::new_semaphore(self, true)?;
            }
            Ok(())
        })();
        result.map(|()| slot).map_err(|result| failed("vulkan submission", "its pool, fence and semaphore", result))
    }

    /// Submits what `record` records.
    ///
    /// Before it, each used memory is taken from its other users (`VK_QUEUE_FAMILY_FOREIGN_EXT`), and the GPU waits for
    /// `waits` and for the memory's implicit fences; behind it, the memory is given back, and the fence of this work joins its
    /// implicit fences. Images and buffers live until the work is done; what else the commands use is the caller's to keep.
    ///
    /// # Errors
    /// Those of `record`; `InvalidInput` for memory of another device; `Timeout` where a fence that the thread must wait for,
    /// or the oldest of 16 submissions, is not done after 10 s; `ContextLost` where the device is lost.
    pub fn submit(
        &self,
        uses: &[Use<'_>],
        waits: &[&Fence],
        record: impl FnOnce(&ash::Device, vk::CommandBuffer) -> Result<()>,
    ) -> Result<Submitted> {
        self.submit_steps(uses, waits, (None, None), record)
    }

    /// As [`Device::submit`], after a value of a timeline and before another, on the GPU. Whoever sets the first has been handed
    /// to the GPU before: the fence behind the work is a promise.
    ///
    /// # Errors
    /// Those of [`Device::submit`].
    pub fn submit_between(
        &self,
        uses: &[Use<'_>],
        waits: &[&Fence],
        (after, then): (At<'_>, At<'_>),
        record: impl FnOnce(&ash::Device, vk::CommandBuffer) -> Result<()>,
    ) -> Result<Submitted> {
        let step = |at: At<'_>| at.map(|(timeline, value)| timeline.step(value));
        self.submit_steps(uses, waits, (step(after), step(then)), record)
    }

    /// Lets go of what finished work has kept, as each submission does before it begins; says how much work is in flight.
    ///
    /// # Errors
    /// `ContextLost`.
    pub fn collect(&self) -> Result<usize> {
        let mut slots = self.inner().slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.reap(self.ash())?;
        Ok(slots.busy.len())
    }

    pub(super) fn submit_steps(
        &self,
        uses: &[Use<'_>],
        waits: &[&Fence],
        (after, then): (Option<Step>, Option<Step>),
        record: impl FnOnce(&ash::Device, vk::CommandBuffer) -> Result<()>,
    ) -> Result<Submitted> {
        if let Some(other) = uses.iter().find(|other| !Arc::ptr_eq(&other.device().shared(), &self.shared())) {
            let detail = format!("{:?} was imported on another device ({:?})", other.resource, other.device());
            return Err(Error::invalid("vulkan submit", detail));
        }
        let mut fences = pending(uses.iter().filter_map(|used| Some((used.memory()?, used.access))), waits)?;
        let mut cpu_waits = 0;
        // A driver that draws with the processor waits on the thread that asks for the fence behind, without an end.
        if !self.caps().sync_file_in || self.info().is_software {
            cpu_waits = fences.len();
            fences.drain(..).try_for_each(|fence| fence.wait(Some(HANG)))?;
        }

        let device = self.ash();
        let mut slots = self.inner().slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.reap(device)?;
        if slots.busy.len() >= IN_FLIGHT {
            let oldest = slots.busy[0].done;
            // SAFETY: the fence was submitted.
            unsafe { device.wait_for_fences(&[oldest], true, HANG.as_nanos() as u64) }
                .map_err(|result| failed("vkWaitForFences", format!("{IN_FLIGHT} submissions in flight"), result))?;
            slots.reap(device)?;
        }
        let mut slot = match slots.free.pop() {
            Some(slot) => slot,
            None => self.new_slot()?,
        };
        let gpu_waits = fences.len();
        let prepared = self.record(&slot, uses, record).and_then(|()| {
            for fence in fences {
                let semaphore = match slots.semaphores.pop() {
                    Some(semaphore) => semaphore,
                    None => {
                        sync::new_semaphore(self, false).map_err(|result| failed("vkCreateSemaphore", "", result))?
                    }
                };
                slot.waits.push(semaphore);
                sync::put(self, semaphore, fence)?;
            }
            Ok(())
        });
        let submitted = prepared.and_then(|()| self.hand_in(&mut slot, (&after, &then)));
        if let Err(error) = submitted {
            // SAFETY: nothing was submitted.
            unsafe {
                slot.waits.drain(..).for_each(|semaphore| device.destroy_semaphore(semaphore, None));
                destroy(device, &slot);
            }
            return Err(error);
        }
        slot.keeps = uses.iter().map(|used| used.raw().clone()).collect();
        slot.keeps.extend([after, then].into_iter().flatten().map(|step| step.semaphore));
        slot._memory = uses.iter().filter_map(Use::memory).cloned().collect();
        let (done, signal) = (slot.done, slot.signal);
        slots.busy.push(slot);

        let (fence, signal) = match self.caps().sync_file_out {
            true => (sync::take(self, signal)?, Way::Gpu),
            false => {
                // SAFETY: the fence was submitted.
                unsafe { device.wait_for_fences(&[done], true, HANG.as_nanos() as u64) }
                    .map_err(|result| failed("vkWaitForFences", "the driver makes no sync_file", result))?;
                (None, Way::Cpu)
            }
        };
        drop(slots);
        if let Some(fence) = &fence {
            publish(uses.iter().filter_map(|used| Some((used.memory()?, used.access))), fence)?;
        }
        Ok(Submitted { fence, gpu_waits, cpu_waits, signal })
    }

    fn record(
        &self,
        slot: &Slot,
        uses: &[Use<'_>],
        record: impl FnOnce(&ash::Device, vk::CommandBuffer) -> Result<()>,
    ) -> Result<()> {
        let (device, commands) = (self.ash(), slot.commands);
        let begin = vk::CommandBufferBeginInfo::default().flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the slot's work is done, and its pool is used under the lock of all slots.
        unsafe {
            device
                .reset_command_pool(slot.pool, vk::CommandPoolResetFlags::empty())
                .and_then(|()| device.begin_command_buffer(commands, &begin))
                .map_err(|result| failed("vkBeginCommandBuffer", "", result))?;
        }
        self.barriers(commands, uses, true);
        record(device, commands)?;
        self.barriers(commands, uses, false);
        // SAFETY: recording has begun above.
        unsafe { device.end_command_buffer(commands) }.map_err(|result| failed("vkEndCommandBuffer", "", result))
    }

    /// Ownership of all memory: from its other users, or back to them.
    fn barriers(&self, commands: vk::CommandBuffer, uses: &[Use<'_>], acquire: bool) {
        let mut images = Vec::new();
        let mut buffers = Vec::new();
        for used in uses {
            // Dma-bufs are anybody's; opaque memory stays among drivers of its device.
            let other = match self.caps().foreign && used.memory().is_some() {
                true => vk::QUEUE_FAMILY_FOREIGN_EXT,
                false => vk::QUEUE_FAMILY_EXTERNAL,
            };
            let handover = Handover::new((other, self.queue_family()), acquire, used.discard);
            match used.resource {
                Resource::Image(image) => images.push(handover.of_image(image, used.layout)),
                Resource::Buffer(buffer) => {
                    let barrier = vk::BufferMemoryBarrier::default()
                        .buffer(buffer.raw())
                        .size(vk::WHOLE_SIZE)
                        .src_queue_family_index(handover.from)
                        .dst_queue_family_index(handover.to)
                        .src_access_mask(handover.before)
                        .dst_access_mask(handover.behind);
                    buffers.push(barrier);
                }
            }
        }
        let stage = vk::PipelineStageFlags::ALL_COMMANDS;
        let flags = vk::DependencyFlags::empty();
        if !uses.is_empty() {
            // SAFETY: the command buffer is being recorded; images and buffers are this device's.
            unsafe { self.ash().cmd_pipeline_barrier(commands, stage, stage, flags, &[], &buffers, &images) };
        }
    }

    fn hand_in(&self, slot: &mut Slot, (after, then): (&Option<Step>, &Option<Step>)) -> Result<()> {
        let device = self.ash();
        let mut waits = slot.waits.clone();
        let mut wait_values = vec![0; waits.len()];
        let mut signals = Vec::new();
        let mut signal_values = Vec::new();
        if slot.signal != vk::Semaphore::null() {
            signals.push(slot.signal);
            signal_values.push(0);
        }
        if let Some(step) = after {
            waits.push(step.raw);
            wait_values.push(step.value);
        }
        if let Some(step) = then {
            signals.push(step.raw);
            signal_values.push(step.value);
        }
        let stages = vec![vk::PipelineStageFlags::ALL_COMMANDS; waits.len()];
        let mut values = vk::TimelineSemaphoreSubmitInfo::default()
            .wait_semaphore_values(&wait_values)
            .signal_semaphore_values(&signal_values);
        let commands = [slot.commands];
        let mut info = vk::SubmitInfo::default()
            .command_buffers(&commands)
            .wait_semaphores(&waits)
            .wait_dst_stage_mask(&stages)
            .signal_semaphores(&signals);
        if after.is_some() || then.is_some() {
            info = info.push_next(&mut values);
        }
        // SAFETY: all handles are this device's, the fence is in no submission, the queue is used under the lock of all slots.
        unsafe {
            device
                .reset_fences(&[slot.done])
                .and_then(|()| device.queue_submit(self.queue(), &[info], slot.done))
                .map_err(|result| failed("vkQueueSubmit", "", result))
        }
    }
}
