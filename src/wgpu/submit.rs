//! Work with textures of ours: memory taken from its other users and given back, fences before and behind.
//!
//! In: command buffers of wgpu, the textures that they use, fences. Out: a [`Submitted`]. Not here: what the commands are.
//!
//! Everything goes through wgpu's own queue, so that it is ordered with all else that the program submits, in any thread. wgpu's encoders
//! do not mix its commands with raw ones: taking over and giving back are command buffers of their own around those of the
//! program, and a third one puts the textures back into the state in which the next submission expects them.

use std::sync::PoisonError;

use ash::vk;
use wgpu::hal::api::Vulkan;

use super::{Device, Texture, catch};
use crate::buffer::{Access, Buffer};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::vulkan::submit::{HANG, Handover, pending, publish};
use crate::vulkan::{Semaphore, Submitted, Way};

/// A texture that a submission uses.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    texture: &'a Texture,
    access: Access,
    discard: bool,
}

impl<'a> Use<'a> {
    /// Sampled, or copied from.
    pub fn read(texture: &'a Texture) -> Self {
        Self { texture, access: Access::Read, discard: false }
    }

    /// Drawn into, or copied to; what nobody draws over stays.
    pub fn write(texture: &'a Texture) -> Self {
        Self { texture, access: Access::Write, discard: false }
    }

    /// Drawn over as a whole: what was there before does not matter.
    pub fn overwrite(texture: &'a Texture) -> Self {
        Self { texture, access: Access::Write, discard: true }
    }

    /// The texture.
    pub fn texture(&self) -> &'a Texture {
        self.texture
    }

    fn memory(&self) -> (&'a Buffer, Access) {
        (self.texture.buffer(), self.access)
    }
}

impl Device {
    /// Hands in `commands`. Before them, each used texture is taken from its memory's other users (`VK_QUEUE_FAMILY_FOREIGN_EXT`),
    /// and the GPU waits for `waits` and for the memory's implicit fences; behind them, the memory is given back, and the fence of this
    /// work joins its implicit fences. wgpu keeps what the commands use until they are done.
    ///
    /// # Errors
    /// `InvalidInput` for textures of another device and for what wgpu's validation refuses; `Timeout` where a fence that the thread
    /// must wait for is not done after 10 s; `ContextLost` where the device is lost.
    pub fn submit(
        &self,
        uses: &[Use<'_>],
        waits: &[&Fence],
        commands: impl IntoIterator<Item = wgpu::CommandBuffer>,
    ) -> Result<Submitted> {
        uses.iter().try_for_each(|used| used.texture.check_device(self))?;
        self.check_lost()?;
        let mut fences = pending(uses.iter().map(Use::memory), waits)?;
        let mut cpu_waits = 0;
        // A driver that draws with the processor waits on the thread that asks for the fence behind, without an end.
        let caps = self.shared().caps();
        if !caps.sync_file_in || self.info().is_software {
            cpu_waits = fences.len();
            fences.drain(..).try_for_each(|fence| fence.wait(Some(HANG)))?;
        }
        let gpu_waits = fences.len();
        let before = fences.into_iter().map(|fence| Semaphore::from_fence(self.shared(), fence));
        let before = before.collect::<Result<Vec<Semaphore>>>()?;
        let behind = match caps.sync_file_out {
            true => Some(Semaphore::for_fence(self.shared())?),
            false => None,
        };
        let around = self.around(uses)?;

        let ordered = self.inner().submitting.lock().unwrap_or_else(PoisonError::into_inner);
        let handed_in = self.hand_in(&before, around, commands);
        let handed_in = handed_in.and_then(|()| self.check_lost());
        if let Err(error) = handed_in {
            self.keep(before);
            return Err(error);
        }
        let fence = match behind {
            Some(semaphore) => {
                let fence = self.fence_behind(&semaphore);
                self.keep(before.into_iter().chain([semaphore]).collect());
                fence?
            }
            None => {
                self.keep(before);
                self.wait(HANG)?;
                None
            }
        };
        drop(ordered);
        if let Some(fence) = &fence {
            publish(uses.iter().map(Use::memory), fence)?;
        }
        let signal = if caps.sync_file_out { Way::Gpu } else { Way::Cpu };
        Ok(Submitted { fence, gpu_waits, cpu_waits, signal })
    }

    /// The command buffers before the program's, and behind.
    fn around(&self, uses: &[Use<'_>]) -> Result<[Vec<wgpu::CommandBuffer>; 2]> {
        if uses.is_empty() {
            return Ok([Vec::new(), Vec::new()]);
        }
        let taken = self.barriers(uses, true)?;
        let settled = catch(self.device(), "wgpu submit", || {
            let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let states = uses.iter().map(|used| wgpu::wgt::TextureTransition {
                texture: used.texture.texture(),
                selector: None,
                state: used.texture.state(),
            });
            encoder.transition_resources(std::iter::empty(), states);
            encoder.finish()
        })?;
        Ok([vec![taken], vec![settled, self.barriers(uses, false)?]])
    }

    /// Ownership of all memory: from its other users, or back to them.
    fn barriers(&self, uses: &[Use<'_>], acquire: bool) -> Result<wgpu::CommandBuffer> {
        let ours = self.shared().queue_family();
        let other = if self.shared().caps().foreign { vk::QUEUE_FAMILY_FOREIGN_EXT } else { vk::QUEUE_FAMILY_EXTERNAL };
        let barrier = |used: &Use<'_>| {
            let handover = Handover::new((other, ours), acquire, used.discard);
            handover.of_image(used.texture.image(), used.texture.layout())
        };
        let barriers: Vec<_> = uses.iter().map(barrier).collect();
        let (stage, none) = (vk::PipelineStageFlags::ALL_COMMANDS, vk::DependencyFlags::empty());
        let mut recorded = false;
        let commands = catch(self.device(), "wgpu submit", || {
            let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            // SAFETY: the command buffer is being recorded and left so; the images are this device's, and are used by the
            // command buffers that are submitted together with this one.
            unsafe {
                encoder.as_hal_mut::<Vulkan, _, _>(|raw| {
                    if let Some(raw) = raw {
                        let (ash, commands) = (self.shared().ash(), raw.raw_handle());
                        ash.cmd_pipeline_barrier(commands, stage, stage, none, &[], &[], &barriers);
                        recorded = true;
                    }
                });
            }
            encoder.finish()
        })?;
        match recorded {
            true => Ok(commands),
            false => Err(Error::failed("wgpu submit", "the encoder is no Vulkan encoder")),
        }
    }

    fn hand_in(
        &self,
        before: &[Semaphore],
        [taking, giving]: [Vec<wgpu::CommandBuffer>; 2],
        commands: impl IntoIterator<Item = wgpu::CommandBuffer>,
    ) -> Result<()> {
        self.with_queue(|queue| {
            for semaphore in before {
                queue.add_wait_semaphore(semaphore.raw(), None, vk::PipelineStageFlags::ALL_COMMANDS);
            }
        })?;
        let submitted = catch(self.device(), "wgpu submit", || {
            self.queue().submit(taking.into_iter().chain(commands).chain(giving));
        });
        if submitted.is_err() {
            // What was refused has waited for nothing; the next submission is not to wait for it either.
            self.with_queue(|queue| {
                for semaphore in before {
                    queue.remove_wait_semaphore(semaphore.raw());
                }
            })?;
        }
        submitted
    }

    /// The fence behind everything that was submitted so far; `None` where that is done.
    ///
    /// By a submission of its own: were the semaphore put before the work, a submission of another thread in between would signal it.
    fn fence_behind(&self, semaphore: &Semaphore) -> Result<Option<Fence>> {
        self.with_queue(|queue| queue.add_signal_semaphore(semaphore.raw(), None))?;
        let submitted = catch(self.device(), "wgpu submit", || {
            self.queue().submit([]);
        });
        let is_left = self.with_queue(|queue| queue.remove_signal_semaphore(semaphore.raw()))?;
        submitted?;
        self.check_lost()?;
        if is_left {
            return Err(Error::new(ErrorKind::Failed, "wgpu submit", "wgpu has not handed the signal in"));
        }
        // SAFETY: it was made for this, and its signal was submitted behind all that it waits for.
        unsafe { semaphore.to_fence() }
    }

    fn with_queue<T>(&self, work: impl FnOnce(&wgpu::hal::vulkan::Queue) -> T) -> Result<T> {
        // SAFETY: no handle of the queue is destroyed by hand.
        let queue = unsafe { self.queue().as_hal::<Vulkan>() };
        let queue = queue.ok_or_else(|| Error::failed("wgpu submit", "the queue is no Vulkan queue"))?;
        Ok(work(&queue))
    }

    /// Keeps semaphores until the work so far is done.
    fn keep(&self, semaphores: Vec<Semaphore>) {
        if !semaphores.is_empty() {
            self.queue().on_submitted_work_done(move || drop(semaphores));
        }
    }
}
