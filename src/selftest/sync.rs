//! Fences: which ways really tell the end of work, by the pixels that are there then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::rgb::{self, SIZE};
use super::{Bench, Facts, wrong};
use crate::allocator::Allocator;
use crate::egl::UseModifier;
use crate::egl::sync::Sync;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::format::{Fourcc, Modifier};
use crate::gles::{Framebuffer, Texture, TextureOptions, readback};
use crate::sys::sw_sync::Timeline;

/// Which way is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// `glFinish`.
    Finish,
    /// `eglClientWaitSync`.
    ClientWait,
    /// `eglDupNativeFenceFDANDROID`: a sync_file that another process could wait for.
    NativeFenceOut,
    /// `eglWaitSync` on a sync_file that has signaled.
    NativeFenceIn,
    /// `eglWaitSync` on a sync_file that signals later: does this thread go on?
    NativeFencePending,
    /// The kernel's fence of a dma-buf after `glFlush`.
    ImplicitOut,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Finish,
        Self::ClientWait,
        Self::NativeFenceOut,
        Self::NativeFenceIn,
        Self::NativeFencePending,
        Self::ImplicitOut,
    ];

    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::ClientWait => "client-wait",
            Self::NativeFenceOut => "native-fence-out",
            Self::NativeFenceIn => "native-fence-in",
            Self::NativeFencePending => "native-fence-pending",
            Self::ImplicitOut => "implicit-out",
        }
    }

    pub(super) const fn needs_memory(self) -> bool {
        matches!(self, Self::ImplicitOut)
    }
}

/// When a pending fence signals: long against what a call takes.
const LATER: Duration = Duration::from_millis(700);

/// One way.
///
/// # Errors
/// Pixels that are not there when the fence says so; `Unsupported` where there is no such way.
pub fn carry_out(bench: &Bench, what: What, memory: impl Fn() -> Result<Arc<dyn Allocator>>) -> Result<Facts> {
    let gl = &bench.gl;
    match what {
        What::Finish => in_texture(bench, || {
            gl.finish();
            Ok(Facts::new())
        }),
        What::ClientWait => in_texture(bench, || {
            gl.mark()?.wait(gl)?;
            Ok(Facts::new())
        }),
        What::NativeFenceOut => in_texture(bench, || {
            let fence = native(bench)?;
            let signaled = fence.is_signaled()?;
            fence.wait(Some(Duration::from_secs(10)))?;
            Ok(Facts::from([("signaled at once".to_owned(), signaled.to_string())]))
        }),
        What::NativeFenceIn => in_texture(bench, || {
            let fence = native(bench)?;
            fence.wait(Some(Duration::from_secs(10)))?;
            Sync::import(gl.current(), &fence)?.wait_on_gpu(gl.current())?;
            gl.finish();
            Ok(Facts::new())
        }),
        What::NativeFencePending => pending(bench),
        What::ImplicitOut => implicit(bench, &*memory()?),
    }
}

/// A sync_file behind the work so far.
fn native(bench: &Bench) -> Result<Fence> {
    let sync = Sync::native_fence(bench.gl.current())?;
    // The fd comes to be with the flush.
    bench.gl.flush();
    sync.dup_native()
}

/// Draws into a texture, waits, reads.
fn in_texture(bench: &Bench, wait: impl FnOnce() -> Result<Facts>) -> Result<Facts> {
    let gl = &bench.gl;
    let target = Framebuffer::new(gl, Texture::new(gl, SIZE, &TextureOptions::default())?)?;
    bench.mapper.draw_pattern(gl, &target, 0)?;
    let facts = wait()?;
    check_read(bench, &target)?;
    Ok(facts)
}

fn check_read(bench: &Bench, target: &Framebuffer) -> Result<()> {
    let mut pixels = vec![0; SIZE.pixels() as usize * 4];
    readback::read_pixels(&bench.gl, target, &mut pixels)?;
    for (index, got) in pixels.chunks_exact(4).enumerate() {
        let (x, y) = (index as u32 % SIZE.width, index as u32 / SIZE.width);
        let expected = super::draw::pattern(x, y, 0);
        if got != expected {
            return wrong(format!("({x}, {y}) is {got:?}, expected {expected:?}"));
        }
    }
    Ok(())
}

/// A fence that another thread signals later. The call has to come back before; the work behind it must not be done before.
fn pending(bench: &Bench) -> Result<Facts> {
    let gl = &bench.gl;
    let timeline = Timeline::open().map_err(|error| Error::unsupported("sw_sync", format!("{error}: as root only")))?;
    let fence = timeline.fence(1).map_err(|errno| Error::from_errno("sw_sync", "a fence", errno))?;
    let fence = Fence::from_fd(fence)?;
    let target = Framebuffer::new(gl, Texture::new(gl, SIZE, &TextureOptions::default())?)?;
    let since = Instant::now();
    let signal = std::thread::spawn(move || {
        std::thread::sleep(LATER);
        // Where this fails the case hangs, which is seen.
        let _ = timeline.increment(1);
    });
    Sync::import(gl.current(), &fence)?.wait_on_gpu(gl.current())?;
    let returned = since.elapsed();
    bench.mapper.draw_pattern(gl, &target, 0)?;
    gl.finish();
    let done = since.elapsed();
    let _ = signal.join();
    check_read(bench, &target)?;
    if done < LATER {
        return wrong(format!(
            "work behind the fence was done after {} ms, the fence signals after 700",
            done.as_millis()
        ));
    }
    if returned >= LATER {
        return wrong("eglWaitSync blocks this thread until the fence signals");
    }
    Ok(Facts::from([("waits on".to_owned(), "the GPU".to_owned())]))
}

/// The kernel's fence after a flush: there, and not too early?
fn implicit(bench: &Bench, allocator: &dyn Allocator) -> Result<Facts> {
    let gl = &bench.gl;
    let buffer = rgb::allocate(allocator, Fourcc::ABGR8888, SIZE, &[Modifier::LINEAR])?;
    let word = rgb::word(buffer.fourcc())?;
    word.write(&buffer, 1)?;
    let image = rgb::import(bench, &buffer, UseModifier::Auto)?;
    let target = Framebuffer::new(gl, Texture::from_image(gl, &image)?)?;
    bench.mapper.draw_pattern(gl, &target, 0)?;
    let fence = gl.implicit_fence(&buffer)?;
    let signaled = fence.is_signaled()?;
    fence.wait(Some(Duration::from_secs(10)))?;
    let early = word.check_drawn(&buffer, 0);
    gl.finish();
    let late = word.check_drawn(&buffer, 0);
    late?;
    match early {
        Ok(()) => Ok(Facts::from([("signaled at once".to_owned(), signaled.to_string())])),
        Err(error) => {
            wrong(format!("the fence of the dma-buf signals before the pixels are there: {}", error.detail()))
        }
    }
}
