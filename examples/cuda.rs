//! GLES draws, a CUDA kernel finds edges in it, GLES goes on with the result: no dma-buf, no wait on the processor.
//!
//!     cargo run --release --example cuda --features cuda            # a picture: out/cuda-edges.png
//!     cargo run --release --example cuda --features cuda -- time    # what the way costs at 3840x2160
//!
//! The kernel is [sobel.ptx](sobel.ptx), text that the driver compiles: no CUDA toolkit is needed.

#![allow(unsafe_code)] // launching a kernel is a C call

use std::time::{Duration, Instant};

use darkframe::board::Board;
use darkframe::cuda::cudarc::driver::sys::{self, CUevent_flags::CU_EVENT_DEFAULT};
use darkframe::cuda::cudarc::driver::{CudaFunction, CudaStream, DevicePtr, LaunchConfig, PushKernelArg};
use darkframe::cuda::{Memory, Pass, Pixels, Semaphore};
use darkframe::device::Device as Machine;
use darkframe::egl::{Context, Display};
use darkframe::error::{Error, Result};
use darkframe::format::Fourcc;
use darkframe::gles::{Gl, read_pixels};
use darkframe::layout::Size;
use darkframe::vulkan::ash::vk;
use darkframe::vulkan::{Choice, Device as Vulkan, LinearBuffer, TimelineSemaphore, Use};

const LIMIT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let machine = Machine::open(&Board::detect()?)?;
    let display = Display::open(&machine)?;
    let gl = Context::new(&display)?.make_current()?;
    match std::env::args().nth(1).as_deref() {
        Some("time") => times(&gl),
        _ => edges(&gl),
    }
}

/// A CUDA error in the words of the driver.
fn cuda(error: impl std::fmt::Debug) -> Error {
    Error::failed("cuda", format!("{error:?}"))
}

/// `sobel(source, result)`, one thread a byte.
fn launch(stream: &CudaStream, sobel: &CudaFunction, source: &Pixels, result: &Pixels) -> Result<()> {
    let size = source.size();
    let (from, from_stride) = (source.address(), source.stride_bytes());
    let (to, to_stride) = (result.address(), result.stride_bytes());
    let mut launch = stream.launch_builder(sobel);
    launch.arg(&from).arg(&from_stride).arg(&to).arg(&to_stride).arg(&size.width).arg(&size.height);
    let grid_dim = ((size.width * 4).div_ceil(128), size.height.div_ceil(4), 1);
    let config = LaunchConfig { grid_dim, block_dim: (128, 4, 1), shared_mem_bytes: 0 };
    // SAFETY: the kernel takes these six numbers, and stays inside pictures of this size.
    unsafe { launch.launch(config) }.map(drop).map_err(cuda)
}

fn edges(gl: &Gl) -> Result<()> {
    let size = Size::new(640, 360);
    let mut pass = Pass::new(gl, size, Fourcc::ABGR8888)?;
    println!("OpenGL ES: {}; CUDA: {}", gl.caps().renderer, pass.device().info());
    let module = pass.device().load(include_str!("sobel.ptx"))?;
    let sobel = module.load_function("sobel").map_err(cuda)?;

    // Some boxes: what a scissor clears.
    pass.target().bind(gl)?;
    gl.clear([0.1, 0.1, 0.2, 1.0]);
    for step in 0..6 {
        // SAFETY: the scissor test is put back below.
        unsafe {
            use glow::HasContext;
            gl.glow().enable(glow::SCISSOR_TEST);
            gl.glow().scissor(40 + step * 90, 30 + step * 40, 80, 90);
        }
        gl.clear([0.2 * step as f32, 1.0 - 0.15 * step as f32, 0.5, 1.0]);
    }
    // SAFETY: a context is current.
    unsafe { glow::HasContext::disable(gl.glow(), glow::SCISSOR_TEST) };

    pass.run(gl, |stream, source, result| launch(stream, &sobel, source, result))?;

    // GLES goes on with the result; here it is read.
    let mut pixels = vec![0; size.pixels() as usize * 4];
    read_pixels(gl, pass.result(), &mut pixels)?;
    std::fs::create_dir_all("out").map_err(|error| Error::from_io("mkdir", "out", error))?;
    image::save_buffer("out/cuda-edges.png", &pixels, size.width, size.height, image::ColorType::Rgba8)
        .map_err(cuda)?;
    println!(
        "out/cuda-edges.png: {} of {} pixels are edges",
        pixels.chunks(4).filter(|pixel| pixel[..3] != [0; 3]).count(),
        size.pixels()
    );
    Ok(())
}

/// Seconds for each of `count` turns of `work`, without and with what the processor does.
fn measure(stream: &CudaStream, count: u32, mut work: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    for _ in 0..20 {
        work()?;
    }
    stream.synchronize().map_err(cuda)?;
    let event = || stream.context().new_event(Some(CU_EVENT_DEFAULT)).map_err(cuda);
    let (first, last) = (event()?, event()?);
    let begun = Instant::now();
    first.record(stream).map_err(cuda)?;
    for _ in 0..count {
        work()?;
    }
    last.record(stream).map_err(cuda)?;
    stream.synchronize().map_err(cuda)?;
    let wall = begun.elapsed().as_secs_f64() / f64::from(count);
    Ok((f64::from(first.elapsed_ms(&last).map_err(cuda)?) / 1e3 / f64::from(count), wall))
}

fn times(gl: &Gl) -> Result<()> {
    let (size, count) = (Size::new(3840, 2160), 500);
    let bytes = size.pixels() as usize * 4;
    let vulkan = Vulkan::open(&Choice::Uuid(gl.uuids()?.devices[0]))?;
    let mut pass = Pass::new(gl, size, Fourcc::ABGR8888)?;
    let (device, stream) = (pass.device().clone(), pass.stream().clone());
    let (major, minor) = device.info().version;
    println!("{} | Vulkan: {} | CUDA {major}.{minor}: {}", gl.caps().version_text, vulkan.info(), device.info());
    println!("{size}, {bytes} bytes a frame, {count} frames in flight as they come; best of 5");

    // The yardstick: cudaMemcpy, device to device.
    let from = stream.alloc_zeros::<u8>(bytes).map_err(cuda)?;
    let to = stream.alloc_zeros::<u8>(bytes).map_err(cuda)?;
    let (source, result) = (from.device_ptr(&stream).0, to.device_ptr(&stream).0);
    let best = |work: &mut dyn FnMut() -> Result<(f64, f64)>| -> Result<(f64, f64)> {
        let runs = (0..5).map(|_| work()).collect::<Result<Vec<_>>>()?;
        let least = |pick: fn(&(f64, f64)) -> f64| runs.iter().map(pick).fold(f64::MAX, f64::min);
        Ok((least(|run| run.0), least(|run| run.1)))
    };
    let copy = best(&mut || {
        measure(&stream, count, || {
            // SAFETY: both have so many bytes, and live until the stream is done.
            unsafe { sys::cuMemcpyDtoDAsync_v2(result, source, bytes, stream.cu_stream()) }.result().map_err(cuda)
        })
    })?;
    let show = |what: &str, (gpu, wall): (f64, f64), copies: f64| {
        let ratio = |time: f64, yard: f64| time / yard / copies;
        println!(
            "{what:<64} {:8.1} us ({:.2} of {copies:.0} copies), with the processor's part {:8.1} us ({:.2})",
            gpu * 1e6,
            ratio(gpu, copy.0),
            wall * 1e6,
            ratio(wall, copy.1)
        );
    };
    show("cudaMemcpy device to device", copy, 1.0);

    // Vulkan's memory behind the same copy: what a frame of a dma-buf takes behind Vulkan's own copy.
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    let (frame, _fd, _) = LinearBuffer::allocate_opaque(&vulkan, bytes as u64, usage)?;
    let (staging, fd, handle) = LinearBuffer::allocate_opaque(&vulkan, bytes as u64, usage)?;
    let memory = Memory::import(&device, fd, &handle)?;
    let timeline = TimelineSemaphore::for_sharing(&vulkan, 0)?;
    let there = Semaphore::timeline(&device, &timeline)?;
    let mut value = 0;
    let vulkan_way = best(&mut || {
        measure(&stream, count, || {
            there.signal(&stream, value + 1)?;
            let uses = [Use::buffer(&frame), Use::buffer(&staging).overwrite()];
            let order = (Some((&timeline, value + 1)), Some((&timeline, value + 2)));
            let _work = vulkan.submit_between(&uses, &[], order, |ash, commands| {
                let all = vk::BufferCopy::default().size(bytes as u64);
                // SAFETY: both have so many bytes.
                unsafe { ash.cmd_copy_buffer(commands, frame.raw(), staging.raw(), &[all]) };
                Ok(())
            })?;
            value += 2;
            there.wait(&stream, value)
        })
    })?;
    show("Vulkan copies a frame to CUDA's pointer (dma-bufs' way)", vulkan_way, 1.0);
    drop(memory);

    let handed = best(&mut || measure(&stream, count, || pass.run_arrays(gl, |_| Ok(()))))?;
    show("GLES to CUDA and back, no copy: two semaphores", handed, 1.0);
    let one_way = best(&mut || measure(&stream, count, || pass.run_arrays(gl, Pass::read)))?;
    show("GLES to a device pointer: one copy", one_way, 1.0);
    let other_way = best(&mut || measure(&stream, count, || pass.run_arrays(gl, Pass::write)))?;
    show("a device pointer to GLES: one copy", other_way, 1.0);
    let both = best(&mut || measure(&stream, count, || pass.run(gl, |_, _, _| Ok(()))))?;
    show("GLES to a device pointer and back: two copies", both, 2.0);
    let module = device.load(include_str!("sobel.ptx"))?;
    let sobel = module.load_function("sobel").map_err(cuda)?;
    let edges = best(&mut || {
        measure(&stream, count, || pass.run(gl, |stream, source, result| launch(stream, &sobel, source, result)))
    })?;
    show("the same with Sobel's kernel between", edges, 2.0);
    let drawn = best(&mut || {
        measure(&stream, count, || {
            pass.target().bind(gl)?;
            gl.clear([0.5, 0.25, 0.125, 1.0]);
            pass.run_arrays(gl, Pass::read)
        })
    })?;
    show("GLES clears the frame, then to a device pointer", drawn, 1.0);
    pass.wait(LIMIT)?;
    gl.finish();
    Ok(())
}
