//! CUDA: pictures of GLES and memory of Vulkan as device pointers, and back, byte by byte; what does not fit is refused in words.

#![allow(unsafe_code)] // CUDA and Vulkan are C interfaces.

use std::io::Seek as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use darkframe::cuda::cudarc::driver::{CudaFunction, CudaStream, LaunchConfig, PushKernelArg, sys};
use darkframe::cuda::{Device, Frames, Memory, Pass, Pixels, Semaphore};
use darkframe::error::{Error, ErrorKind, Result};
use darkframe::format::Fourcc;
use darkframe::gles::program::Uniform;
use darkframe::gles::{Filter, Gl, Program, Texture, TextureOptions, read_pixels};
use darkframe::layout::Size;
use darkframe::vulkan::ash::vk;
use darkframe::vulkan::{Choice, Device as Vulkan, Handle, HandleKind, LinearBuffer, TimelineSemaphore, Use};

mod common;
#[path = "vulkan/bench.rs"]
#[allow(dead_code)]
mod vulkan;

use common::pattern::{SIZE, is_pattern};
use common::{draw, open_fds, or_skip, refused};
use vulkan::{LIMIT, Staging};

/// CUDA, and Vulkan on the same device.
fn devices() -> Option<(Device, Vulkan)> {
    let list = or_skip("cuda", Device::list())?;
    let device = or_skip("cuda", Device::open(&list.first().expect("a list of devices has one").uuid))?;
    let vulkan = or_skip("cuda-vulkan", Vulkan::open(&Choice::Uuid(device.info().uuid)))?;
    Some((device, vulkan))
}

/// A GLES context on the device that CUDA has.
fn context() -> Option<Gl> {
    or_skip("cuda", Device::list())?;
    let machine = darkframe::device::Device::open(&darkframe::board::Board::generic()).unwrap();
    let display = or_skip("cuda-gles", darkframe::egl::Display::open(&machine))?;
    let gl = darkframe::egl::Context::new(&display).unwrap().make_current().unwrap();
    or_skip("cuda-gles", Device::of_gles(&gl))?;
    Some(gl)
}

/// Bytes of which no two near ones are alike.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    (0..count as u32).map(|index| ((index ^ seed).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The bytes behind a device pointer, when the stream's work is done.
fn download(device: &Device, stream: &CudaStream, address: u64, bytes: usize) -> Vec<u8> {
    device.wait(stream, LIMIT).unwrap();
    let mut out = vec![0u8; bytes];
    // SAFETY: the vector has so many bytes, and so has the memory; nobody writes it.
    unsafe { sys::cuMemcpyDtoH_v2(out.as_mut_ptr().cast(), address, bytes) }.result().unwrap();
    out
}

fn upload(stream: &CudaStream, bytes: &[u8], address: u64) {
    // SAFETY: as above; the copy of unpinned memory has read it when it returns.
    unsafe { sys::cuMemcpyHtoDAsync_v2(address, bytes.as_ptr().cast(), bytes.len(), stream.cu_stream()) }
        .result()
        .unwrap();
    stream.synchronize().unwrap();
}

/// Rows of a picture, without what lies between them.
fn rows(bytes: &[u8], pixels: &Pixels) -> Vec<u8> {
    let row = pixels.layout().row_bytes(0) as usize;
    let stride = pixels.stride_bytes() as usize;
    (0..pixels.size().height as usize).flat_map(|y| bytes[y * stride..y * stride + row].to_vec()).collect()
}

fn picture_bytes(pixels: &Pixels) -> usize {
    pixels.stride_bytes() as usize * pixels.size().height as usize
}

fn draw_pattern(gl: &Gl, pass: &Pass) {
    let body = "void main() { vec2 p = floor(gl_FragCoord.xy);
        gl_FragColor = mod(vec4(p.x * 3.0 + 7.0, p.y * 5.0 + 1.0, p.x + p.y * 2.0, 255.0), 256.0) / 255.0; }";
    let program: Program = draw::program(gl, "precision highp float;\n", body).unwrap();
    pass.target().bind(gl).unwrap();
    program.draw_triangle(gl).unwrap();
}

fn read(gl: &Gl, pass: &Pass) -> Vec<u8> {
    let mut pixels = vec![0; pass.result().size().pixels() as usize * 4];
    read_pixels(gl, pass.result(), &mut pixels).unwrap();
    pixels
}

#[test]
fn a_picture_goes_to_cuda_and_back() {
    let Some(gl) = context() else { return };
    let Some(mut pass) = or_skip("cuda-gles", Pass::new(&gl, SIZE, Fourcc::ABGR8888)) else { return };
    println!("{} with {}", gl.caps().renderer, pass.device().info());
    for round in 0..3 {
        draw_pattern(&gl, &pass);
        let mut seen = None;
        let device = pass.device().clone();
        let answer = noise(SIZE.pixels() as usize * 4, round + 1);
        pass.run(&gl, |stream, source, result| {
            seen = Some(rows(&download(&device, stream, source.address(), picture_bytes(source)), source));
            // Back with another stride than GLES's rows.
            let mut padded = vec![0; picture_bytes(result)];
            for (to, from) in
                padded.chunks_mut(result.stride_bytes() as usize).zip(answer.chunks(SIZE.width as usize * 4))
            {
                to[..from.len()].copy_from_slice(from);
            }
            upload(stream, &padded, result.address());
            Ok(())
        })
        .unwrap();
        is_pattern(&seen.unwrap(), "drawn by GLES, read by CUDA");
        assert!(read(&gl, &pass) == answer, "round {round}: written by CUDA, read by GLES");
        // Sampled as a texture, too.
        let sampled = draw::sampled(&gl, pass.result().texture().unwrap()).unwrap();
        assert!(sampled == answer, "round {round}: written by CUDA, sampled by GLES");
    }
    // A kernel that fails leaves the pass as it was.
    let failed = pass.run(&gl, |_, _, _| Err(Error::failed("kernel", "on purpose")));
    assert!(failed.unwrap_err().to_string().contains("on purpose"));
    draw_pattern(&gl, &pass);
    pass.run(&gl, |stream, source, result| copy(stream, source, result)).unwrap();
    is_pattern(&read(&gl, &pass), "after a failure");
}

fn copy(stream: &CudaStream, source: &Pixels, result: &Pixels) -> Result<()> {
    let bytes = picture_bytes(source);
    // SAFETY: both pictures have the same layout.
    unsafe { sys::cuMemcpyDtoDAsync_v2(result.address(), source.address(), bytes, stream.cu_stream()) }
        .result()
        .unwrap();
    Ok(())
}

fn sobel(device: &Device) -> CudaFunction {
    device.load(include_str!("../examples/sobel.ptx")).unwrap().load_function("sobel").unwrap()
}

fn launch(stream: &CudaStream, kernel: &CudaFunction, source: &Pixels, result: &Pixels) -> Result<()> {
    let size = source.size();
    let (from, from_stride) = (source.address(), source.stride_bytes());
    let (to, to_stride) = (result.address(), result.stride_bytes());
    let mut launch = stream.launch_builder(kernel);
    launch.arg(&from).arg(&from_stride).arg(&to).arg(&to_stride).arg(&size.width).arg(&size.height);
    let grid_dim = ((size.width * 4).div_ceil(128), size.height.div_ceil(4), 1);
    // SAFETY: the kernel takes these six numbers, and stays inside pictures of this size.
    unsafe { launch.launch(LaunchConfig { grid_dim, block_dim: (128, 4, 1), shared_mem_bytes: 0 }) }.unwrap();
    Ok(())
}

/// Sobel's operator as it is defined, on the processor.
fn reference(picture: &[u8], size: Size) -> Vec<u8> {
    let (width, height) = (i64::from(size.width), i64::from(size.height));
    let at = |x: i64, y: i64, channel: i64| {
        let (x, y) = (x.clamp(0, width - 1), y.clamp(0, height - 1));
        f64::from(picture[((y * width + x) * 4 + channel) as usize])
    };
    let kernel = [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]];
    let mut out = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for channel in 0..3 {
            let (mut across, mut down) = (0.0f64, 0.0f64);
            for (dy, row) in kernel.iter().enumerate() {
                for (dx, weight) in row.iter().enumerate() {
                    let value = at(x + dx as i64 - 1, y + dy as i64 - 1, channel);
                    across += weight * value;
                    down += kernel[dx][dy] * value;
                }
            }
            out.push((across.abs() + down.abs()).min(255.0) as u8);
        }
        out.push(255);
    }
    out
}

#[test]
fn a_kernel_finds_the_edges_of_the_reference() {
    let Some(gl) = context() else { return };
    let size = Size::new(637, 411);
    let Some(mut pass) = or_skip("cuda-gles", Pass::new(&gl, size, Fourcc::ABGR8888)) else { return };
    let kernel = sobel(pass.device());
    // Smooth enough that not every pixel is white.
    let picture: Vec<u8> = (0..size.pixels() as u32 * 4)
        .map(|index| {
            let (x, y) = (index / 4 % size.width, index / 4 / size.width);
            ((x * (1 + index % 3) + y * 2 + (x * y / 700)) % 256) as u8
        })
        .collect();
    let texture = Texture::new(&gl, size, &TextureOptions::default()).unwrap();
    texture.upload(&gl, &picture, size.width * 4).unwrap();
    let program = draw::program(
        &gl,
        "precision highp float;\nuniform highp sampler2D image;\nuniform vec2 size;\n",
        "void main() { gl_FragColor = texture2D(image, gl_FragCoord.xy / size); }",
    )
    .unwrap();
    pass.target().bind(&gl).unwrap();
    texture.set_filter(&gl, Filter::Nearest).unwrap();
    texture.bind(&gl, 0).unwrap();
    program.set(&gl, "image", Uniform::Sampler(0)).unwrap();
    program.set(&gl, "size", Uniform::Vec2([size.width as f32, size.height as f32])).unwrap();
    program.draw_triangle(&gl).unwrap();
    pass.run(&gl, |stream, source, result| launch(stream, &kernel, source, result)).unwrap();
    let (found, expected) = (read(&gl, &pass), reference(&picture, size));
    let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    assert!(wrong.is_none(), "byte {wrong:?}: {} found, {} expected", found[wrong.unwrap()], expected[wrong.unwrap()]);
}

/// What a frame of a dma-buf goes through behind Vulkan's own copy: memory that both have, ordered by a timeline on the GPU.
#[test]
fn memory_of_vulkan_is_a_device_pointer_both_ways() {
    let Some((device, vulkan)) = devices() else { return };
    let bytes = 1 << 20;
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    let made = LinearBuffer::allocate_opaque(&vulkan, bytes as u64, usage);
    let Some((linear, fd, handle)) = or_skip("cuda-vulkan", made) else { return };
    let memory = Memory::import(&device, fd, &handle).unwrap();
    assert_eq!(memory.size_bytes(), bytes as u64);
    let timeline = TimelineSemaphore::for_sharing(&vulkan, 0).unwrap();
    let there = Semaphore::timeline(&device, &timeline).unwrap();
    let stream = device.stream().unwrap();
    let (input, output) = (Staging::new(&vulkan, bytes), Staging::new(&vulkan, bytes));
    let mut now = 0;
    for round in 0..4 {
        let (question, answer) = (noise(bytes, round), noise(bytes, 100 + round));
        input.fill(&question);
        let all = vk::BufferCopy::default().size(bytes as u64);
        let asked = vulkan
            .submit_between(
                &[Use::buffer(&linear).overwrite()],
                &[],
                (None, Some((&timeline, now + 1))),
                |ash, commands| {
                    // SAFETY: both have so many bytes.
                    unsafe { ash.cmd_copy_buffer(commands, input.buffer, linear.raw(), &[all]) };
                    Ok(())
                },
            )
            .unwrap();
        there.wait(&stream, now + 1).unwrap();
        let seen = download(&device, &stream, memory.address(), bytes);
        assert!(seen == question, "round {round}: written by Vulkan, read by CUDA");
        upload(&stream, &answer, memory.address());
        there.signal(&stream, now + 2).unwrap();
        let replied = vulkan
            .submit_between(
                &[Use::buffer(&linear)],
                &[],
                (Some((&timeline, now + 2)), Some((&timeline, now + 3))),
                |ash, commands| {
                    // SAFETY: as above.
                    unsafe { ash.cmd_copy_buffer(commands, linear.raw(), output.buffer, &[all]) };
                    Ok(())
                },
            )
            .unwrap();
        timeline.wait(now + 3, LIMIT).unwrap();
        assert!(output.bytes() == answer, "round {round}: written by CUDA, read by Vulkan");
        vulkan::done(&vulkan, &asked).unwrap();
        vulkan::done(&vulkan, &replied).unwrap();
        now += 3;
    }
}

/// Another process, which has the fd and the text of the handle alone.
#[test]
fn memory_crosses_processes() {
    const WORDS: usize = 4096;
    if let Ok(text) = std::env::var("DARKFRAME_CUDA_HANDLE") {
        let handle = Handle::from_text(&text).unwrap();
        let device = Device::open(&handle.device_uuid).unwrap();
        let fd = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let memory = Memory::import(&device, fd, &handle).unwrap();
        let stream = device.stream().unwrap();
        assert!(download(&device, &stream, memory.address(), WORDS) == noise(WORDS, 1), "what the other process wrote");
        return upload(&stream, &noise(WORDS, 2), memory.address());
    }
    let Some((_device, vulkan)) = devices() else { return };
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    let made = LinearBuffer::allocate_opaque(&vulkan, WORDS as u64, usage);
    let Some((linear, fd, handle)) = or_skip("cuda-vulkan", made) else { return };
    let host = Staging::new(&vulkan, WORDS);
    let copy = |out: bool| {
        let used = if out { Use::buffer(&linear) } else { Use::buffer(&linear).overwrite() };
        let work = vulkan.submit(&[used], &[], |ash, commands| {
            let (from, to) = if out { (linear.raw(), host.buffer) } else { (host.buffer, linear.raw()) };
            // SAFETY: both have so many bytes.
            unsafe { ash.cmd_copy_buffer(commands, from, to, &[vk::BufferCopy::default().size(WORDS as u64)]) };
            Ok(())
        });
        vulkan::done(&vulkan, &work.unwrap()).unwrap();
    };
    host.fill(&noise(WORDS, 1));
    copy(false);
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory_crosses_processes", "--nocapture"])
        .env("DARKFRAME_CUDA_HANDLE", handle.to_text())
        .stdin(Stdio::from(fd))
        .status()
        .unwrap();
    assert!(status.success(), "the other process: {status}");
    copy(true);
    assert!(host.bytes() == noise(WORDS, 2), "what the other process answered");
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let Some((device, vulkan)) = devices() else { return };
    refused(Device::open(&[7; 16]), ErrorKind::NotFound, &["0707", &device.info().name]);
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    let (_linear, fd, handle) = LinearBuffer::allocate_opaque(&vulkan, 65_536, usage).unwrap();
    let import = |fd: OwnedFd, handle: &Handle| Memory::import(&device, fd, handle);
    let dup = || fd.try_clone().unwrap();
    let wrong = Handle { device_uuid: [3; 16], ..handle.clone() };
    refused(import(dup(), &wrong), ErrorKind::InvalidInput, &["on the device 0303", &device.info().name]);
    let wrong = Handle { kind: HandleKind::OpaqueImageFd, ..handle.clone() };
    refused(import(dup(), &wrong), ErrorKind::InvalidInput, &["OpaqueImageFd", "OpaqueFd is wanted"]);
    let wrong = Handle { buffer_bytes: handle.memory_bytes + 1, ..handle.clone() };
    refused(import(dup(), &wrong), ErrorKind::InvalidInput, &["in a memory of"]);
    // Other fds: a file, a pipe, a socket.
    let mut file = tempfile();
    file.rewind().unwrap();
    refused(import(file.into(), &handle), ErrorKind::InvalidInput, &["the fd is a file"]);
    let (pipe, _other) = std::io::pipe().unwrap();
    refused(import(pipe.into(), &handle), ErrorKind::InvalidInput, &["the fd is a pipe"]);
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    refused(import(socket.into(), &handle), ErrorKind::InvalidInput, &["the fd is a socket"]);
    // A device of the kernel that is none of NVIDIA's: the driver says no, and nothing is lost.
    let null = std::fs::File::open("/dev/null").unwrap();
    assert!(import(null.into(), &handle).is_err());
    // A picture that is larger than the memory.
    let memory = import(dup(), &handle).unwrap();
    let layout =
        darkframe::layout::Layout::linear(Fourcc::ABGR8888, Size::new(256, 65), &darkframe::layout::Constraints::NONE);
    refused(memory.pixels(&layout.unwrap()), ErrorKind::InvalidInput, &["the memory has 65536"]);
    // Text that is no program.
    refused(device.load("this is no PTX"), ErrorKind::Unsupported, &["cuModuleLoadData"]);
    refused(device.load("a\0b"), ErrorKind::InvalidInput, &["NUL"]);
    // Semaphores that were not made for sharing.
    let own = TimelineSemaphore::new(&vulkan, 0).unwrap();
    refused(Semaphore::timeline(&device, &own), ErrorKind::InvalidInput, &["not made for sharing"]);
    if let Ok(list) = Vulkan::list()
        && let Some(other) = list.iter().find(|other| other.device_uuid != device.info().uuid)
    {
        // Another Vulkan device: CUDA does not have it.
        let other = Vulkan::open(&Choice::Uuid(other.device_uuid)).unwrap();
        refused(Frames::new(&other), ErrorKind::NotFound, &["none has the UUID", &device.info().name]);
    }
}

fn tempfile() -> std::fs::File {
    let fd = rustix::fs::memfd_create("file", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, 1 << 20).unwrap();
    fd.into()
}

/// A value that nobody sets: the wait on the processor has an end, and the stream goes on once somebody sets it.
#[test]
fn a_semaphore_that_is_never_signaled_is_a_timeout() {
    let Some((device, vulkan)) = devices() else { return };
    let Some(timeline) = or_skip("cuda-vulkan", TimelineSemaphore::for_sharing(&vulkan, 0)) else { return };
    let there = Semaphore::timeline(&device, &timeline).unwrap();
    let stream = device.stream().unwrap();
    there.wait(&stream, 1).unwrap();
    let short = Duration::from_millis(200);
    refused(device.wait(&stream, short), ErrorKind::Timeout, &["200ms", "nobody signals"]);
    timeline.signal(1).unwrap();
    device.wait(&stream, LIMIT).unwrap();
    refused(timeline.signal(1), ErrorKind::InvalidInput, &["it is at 1"]);
    // And CUDA's own signal is seen by Vulkan.
    there.signal(&stream, 5).unwrap();
    timeline.wait(5, LIMIT).unwrap();
    refused(timeline.wait(6, short), ErrorKind::Timeout, &["6 is not reached"]);
}

#[test]
fn many_pictures_leave_nothing_behind() {
    let Some(gl) = context() else { return };
    let mut early = (0, 0);
    for round in 0..12 {
        let Some(mut pass) = or_skip("cuda-gles", Pass::new(&gl, Size::new(1280, 720), Fourcc::ABGR8888)) else {
            return;
        };
        let kernel = sobel(pass.device());
        for frame in 0..250u32 {
            pass.target().bind(&gl).unwrap();
            gl.clear([(frame % 256) as f32 / 255.0, 0.5, 0.25, 1.0]);
            pass.run(&gl, |stream, source, result| launch(stream, &kernel, source, result)).unwrap();
        }
        // A picture of one colour has no edges.
        let found = read(&gl, &pass);
        assert!(found.chunks_exact(4).all(|pixel| pixel == [0, 0, 0, 255]), "{:?}", &found[..8]);
        let context = pass.device().context().clone();
        drop((pass, kernel));
        gl.finish();
        gl.collect();
        gl.finish();
        let (free, _) = context.mem_get_info().unwrap();
        if round == 2 {
            early = (open_fds(), free);
        }
        if round == 11 {
            let late = (open_fds(), free);
            println!("3,000 pictures in 12 passes; fds, free bytes: {early:?} after 3 passes, {late:?} after 12");
            assert!(late.0 <= early.0, "{early:?}, {late:?}");
            // Ten passes would have taken 140 MB.
            assert!(late.1 + (16 << 20) >= early.1, "{early:?}, {late:?}");
        }
    }
}

/// Where there are dma-bufs: a frame as a device pointer, its bytes, and another frame back.
#[test]
fn frames_of_dma_bufs_are_device_pointers() {
    use darkframe::allocator::{Request, Usage};
    use darkframe::buffer::Access;
    let Some((_device, vulkan)) = devices() else { return };
    let Some(mut frames) = or_skip("cuda-frames", Frames::new(&vulkan)) else { return };
    let machine = darkframe::device::Device::open(&darkframe::board::Board::generic()).unwrap();
    let usage = Usage::SAMPLE | Usage::CPU_READ | Usage::CPU_WRITE;
    let request = Request::new(SIZE, Fourcc::ABGR8888).usage(usage).require_dma_buf();
    let Some(buffer) = or_skip("cuda-dma-buf", machine.allocate(&request)) else { return };
    common::pattern::write_pattern(&buffer);
    let device = frames.device().clone();
    for _ in 0..3 {
        let Some((pixels, _work)) = or_skip("cuda-dma-buf", frames.take(&buffer, &[])) else { return };
        let stream = frames.stream().clone();
        let seen = rows(&download(&device, &stream, pixels.address(), picture_bytes(&pixels)), &pixels);
        is_pattern(&seen, "a dma-buf, read by CUDA");
        let answer = noise(picture_bytes(&pixels), 9);
        upload(&stream, &answer, pixels.address());
        frames.give(&buffer, &[]).unwrap().wait(LIMIT).unwrap();
        frames.wait(LIMIT).unwrap();
        let expected = rows(&answer, &pixels);
        {
            let map = buffer.map(Access::Read).unwrap();
            let row = SIZE.width as usize * 4;
            let found: Vec<u8> = (0..SIZE.height).flat_map(|y| map.row(0, y)[..row].to_vec()).collect();
            assert!(found == expected, "written by CUDA, read by the processor");
        }
        common::pattern::write_pattern(&buffer);
    }
    assert_eq!(frames.made(), 1, "staging is made once per size");
}
