//! Vulkan: buffers, images and fences both ways, compared byte by byte; what does not fit is refused in words.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use darkframe::allocator::{Request, Usage};
use darkframe::buffer::{Access, Buffer};
use darkframe::color::{Color, Matrix, Range, Siting};
use darkframe::device::Device as Machine;
use darkframe::egl::{Context, Display, Image as EglImage};
use darkframe::error::ErrorKind;
use darkframe::fence::Timeline;
use darkframe::format::{Fourcc, Modifier};
use darkframe::gles::{Framebuffer, Gl, Texture};
use darkframe::layout::{Constraints, Layout, PlaneLayout, Size};
use darkframe::vulkan::ash::vk;
use darkframe::vulkan::{
    Choice, Device, ExportOptions, Handle, Image, ImportOptions, Imports, LinearBuffer, Semaphore, TimelineSemaphore,
    Use, copy_region,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

#[path = "vulkan/bench.rs"]
mod bench;
mod common;
#[path = "vulkan/sharing.rs"]
mod sharing;
#[path = "vulkan/validation.rs"]
mod validation;

use bench::{LIMIT, Staging};
use common::pattern::{SIZE, is_pattern, pattern, write_pattern};
use common::{bt, draw, gpu_display, open_fds, or_skip, refused, skip, sw_sync};

/// A Vulkan device, and a GLES context on a display whose buffers both use.
struct Both {
    vulkan: Device,
    machine: Machine,
    display: Display,
    gl: Gl,
    buffer: Buffer,
}

fn both() -> Option<Both> {
    let vulkan = bench::device()?;
    let (machine, display, buffer) = gpu_display(Fourcc::ABGR8888, SIZE)?;
    let gl = Context::new(&display).unwrap().make_current().unwrap();
    Some(Both { vulkan, machine, display, gl, buffer })
}

/// What drivers that do not tell their layout make here lies row by row: the processor draws.
fn options(mut options: ImportOptions) -> ImportOptions {
    options.assume_linear = true;
    options
}

fn picture() -> Vec<u8> {
    (0..SIZE.height).flat_map(|y| (0..SIZE.width).flat_map(move |x| pattern(x, y))).collect()
}

/// Draws the pattern, and returns the fence where the driver has one.
fn draw_pattern(both: &Both, buffer: &Buffer) -> Option<darkframe::fence::Fence> {
    let target = Texture::from_image(&both.gl, &EglImage::import(&both.display, buffer).unwrap()).unwrap();
    let target = Framebuffer::new(&both.gl, target).unwrap();
    let body = "void main() { vec2 p = floor(gl_FragCoord.xy);
        gl_FragColor = mod(vec4(p.x * 3.0 + 7.0, p.y * 5.0 + 1.0, p.x + p.y * 2.0, 255.0), 256.0) / 255.0; }";
    let program = draw::program(&both.gl, "precision highp float;\n", body).unwrap();
    target.bind(&both.gl).unwrap();
    program.draw_triangle(&both.gl).unwrap();
    let fence = both.gl.fence().unwrap();
    both.gl.check().unwrap();
    fence
}

fn gles_samples(both: &Both, buffer: &Buffer) -> Vec<u8> {
    let image = EglImage::import(&both.display, buffer).unwrap();
    draw::sampled(&both.gl, &Texture::from_image(&both.gl, &image).unwrap()).unwrap()
}

#[test]
fn vulkan_copies_and_samples_what_gles_renders() {
    let Some(both) = both() else { return };
    println!("{:?} with {}", both.vulkan, both.buffer.provenance().allocator);
    let fence = draw_pattern(&both, &both.buffer);
    let waits: Vec<_> = fence.iter().collect();
    let Some(image) = or_skip("vulkan", Image::import(&both.vulkan, &both.buffer, &options(ImportOptions::default())))
    else {
        return;
    };
    is_pattern(&bench::read(&image, &waits).unwrap(), "copied by Vulkan");
    is_pattern(&bench::sampled(&image).unwrap(), "sampled by Vulkan");
}

/// A picture inside a larger memory, with room between its rows: at every offset and stride that the layout says.
#[test]
fn planes_lie_where_the_layout_says() {
    let Some(both) = both() else { return };
    let usage = Usage::SAMPLE | Usage::CPU_READ | Usage::CPU_WRITE;
    let large = Request::new(Size::new(256, 128), Fourcc::ABGR8888).usage(usage).require_dma_buf();
    let Some(large) = or_skip("dma-buf", both.machine.allocate(&large)) else { return };
    let fd = || large.plane_fd(0).try_clone_to_owned().unwrap();
    for (offset_bytes, stride_bytes) in [(0, 1024), (4096, 320), (8192, 512), (320, 256)] {
        let plane = PlaneLayout { offset_bytes, stride_bytes };
        let layout = Layout::new(Fourcc::ABGR8888, SIZE, Modifier::LINEAR, &[plane]).unwrap();
        large.map(Access::Write).unwrap().plane_mut(0).fill(0x5a);
        let part = Buffer::from_fds(layout.clone(), vec![fd()]).unwrap();
        let wanted = ImportOptions { usage: ImportOptions::target().usage, ..ImportOptions::default() };
        let Some(image) = or_skip("vulkan", Image::import(&both.vulkan, &part, &wanted)) else { return };
        bench::write(&image, &picture()).unwrap();
        // By the layout's own words, in the bytes of the whole memory.
        let map = large.map(Access::Read).unwrap();
        let bytes = map.plane(0);
        for (index, byte) in bytes.iter().enumerate() {
            let place = (index as u64)
                .checked_sub(offset_bytes)
                .map(|at| (at / u64::from(stride_bytes), at % u64::from(stride_bytes)));
            let expected = match place {
                Some((y, x)) if y < u64::from(SIZE.height) && x < u64::from(SIZE.width) * 4 => {
                    pattern(x as u32 / 4, y as u32)[x as usize % 4]
                }
                _ => 0x5a,
            };
            assert_eq!(*byte, expected, "offset {offset_bytes}, stride {stride_bytes}: byte {index}");
        }
        drop(map);
        is_pattern(&bench::read(&image, &[]).unwrap(), "read at an offset");
        // The same as bytes: Vulkan's regions are those of the layout.
        let region = copy_region(&layout, 0).unwrap();
        assert_eq!((region.buffer_offset, region.buffer_row_length), (offset_bytes, stride_bytes / 4));
    }
    // The last row ends inside the memory, and not one more with the same stride, which the driver asks for.
    let tall = Size::new(64, 128);
    let stride_bytes = (large.plane_object_bytes(0) / 128 + 4) as u32;
    let plane = PlaneLayout { offset_bytes: 0, stride_bytes };
    let part = Buffer::from_fds(Layout::new(Fourcc::ABGR8888, tall, Modifier::LINEAR, &[plane]).unwrap(), vec![fd()]);
    let made = Image::import(&both.vulkan, &part.unwrap(), &ImportOptions::default());
    if both.vulkan.info().is_software {
        let needs = (u64::from(stride_bytes) * 128).to_string();
        let has = large.plane_object_bytes(0).to_string();
        refused(made, ErrorKind::InvalidInput, &["the driver needs", &needs, &has]);
    }
}

#[test]
fn gles_samples_what_vulkan_writes() {
    let Some(both) = both() else { return };
    let target = Image::import(&both.vulkan, &both.buffer, &options(ImportOptions::target()));
    let Some(image) = or_skip("vulkan", target) else { return };
    bench::write(&image, &picture()).unwrap();
    is_pattern(&gles_samples(&both, &both.buffer), "written by Vulkan, sampled by GLES");
    let layout = vk::ImageLayout::GENERAL;
    let work = both.vulkan.submit(&[Use::image(&image, layout).write()], &[], |ash, commands| {
        let color = vk::ClearColorValue { float32: [1.0, 0.0, 51.0 / 255.0, 1.0] };
        #[allow(unsafe_code)]
        // SAFETY: the image is in this layout.
        unsafe {
            ash.cmd_clear_color_image(commands, image.raw(), layout, &color, &[Image::range()])
        };
        Ok(())
    });
    let work = work.unwrap();
    // GLES waits for Vulkan on whatever way the driver has.
    if let Some(fence) = &work.fence {
        both.gl.wait_fence(fence).unwrap();
    }
    let pixels = gles_samples(&both, &both.buffer);
    assert!(pixels.chunks_exact(4).all(|pixel| pixel == [255, 0, 51, 255]), "{:?}", &pixels[..16]);
}

#[test]
fn memory_that_vulkan_makes_is_a_buffer() {
    let Some(both) = both() else { return };
    let every = ExportOptions { modifiers: Vec::new(), ..ExportOptions::default() };
    for options in [ExportOptions::default(), every] {
        let made = Image::allocate(&both.vulkan, SIZE, Fourcc::ABGR8888, &options);
        let Some(image) = or_skip("vulkan", made) else { return };
        println!("{} by {}", image.buffer().layout(), image.buffer().provenance().allocator);
        bench::write(&image, &picture()).unwrap();
        // Not every display takes every memory: the processor reads it too, where it lies row by row.
        if image.buffer().layout().modifier == Modifier::LINEAR {
            let map = image.buffer().map(Access::Read).unwrap();
            let rows: Vec<u8> = (0..SIZE.height).flat_map(|y| map.row(0, y).to_vec()).collect();
            is_pattern(&rows, "written by Vulkan, read by the processor");
        }
        let Some(taken) = or_skip("vulkan-egl", EglImage::import(&both.display, image.buffer())) else { continue };
        let texture = Texture::from_image(&both.gl, &taken).unwrap();
        is_pattern(&draw::sampled(&both.gl, &texture).unwrap(), "made by Vulkan, sampled by GLES");
        bench::write(&image, &vec![9; picture().len()]).unwrap();
        let fence = draw_pattern(&both, image.buffer());
        is_pattern(
            &bench::read(&image, &fence.iter().collect::<Vec<_>>()).unwrap(),
            "rendered by GLES, read by Vulkan",
        );
    }
}

#[test]
fn linear_memory_is_a_vulkan_buffer_both_ways() {
    let Some(both) = both() else { return };
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    let Some(linear) = or_skip("vulkan", LinearBuffer::import(&both.vulkan, &both.buffer, 0, usage)) else { return };
    write_pattern(&both.buffer);
    let size = both.buffer.size();
    let Some(made) =
        or_skip("vulkan", Image::allocate(&both.vulkan, size, Fourcc::ABGR8888, &ExportOptions::default()))
    else {
        return;
    };
    let region = copy_region(both.buffer.layout(), 0).unwrap();
    // Buffer to image and back, through memory with other strides.
    let into = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
    let uses = [Use::buffer(&linear), Use::image(&made, into).overwrite()];
    let work = both.vulkan.submit(&uses, &[], |ash, commands| {
        #[allow(unsafe_code)]
        // SAFETY: the region is the buffer's own plane.
        unsafe {
            ash.cmd_copy_buffer_to_image(commands, linear.raw(), made.raw(), into, &[region])
        };
        Ok(())
    });
    bench::done(&both.vulkan, &work.unwrap()).unwrap();
    is_pattern(&bench::read(&made, &[]).unwrap(), "from a VkBuffer");
    both.buffer.map(Access::Write).unwrap().plane_mut(0).fill(0);
    let from = vk::ImageLayout::TRANSFER_SRC_OPTIMAL;
    let uses = [Use::image(&made, from), Use::buffer(&linear).write()];
    let work = both.vulkan.submit(&uses, &[], |ash, commands| {
        #[allow(unsafe_code)]
        // SAFETY: as above.
        unsafe {
            ash.cmd_copy_image_to_buffer(commands, made.raw(), from, linear.raw(), &[region])
        };
        Ok(())
    });
    bench::done(&both.vulkan, &work.unwrap()).unwrap();
    is_pattern(&gles_samples(&both, &both.buffer), "a VkBuffer, sampled by GLES");

    let layout = Layout::linear(Fourcc::ABGR8888, SIZE, &Constraints::MALI).unwrap();
    let out = LinearBuffer::allocate(&both.vulkan, layout.clone(), usage).unwrap();
    let work = both.vulkan.submit(&[Use::buffer(&out).overwrite()], &[], |ash, commands| {
        #[allow(unsafe_code)]
        // SAFETY: the whole buffer, which is a multiple of four bytes.
        unsafe {
            ash.cmd_fill_buffer(commands, out.raw(), 0, vk::WHOLE_SIZE, 0xff33_0014)
        };
        Ok(())
    });
    bench::done(&both.vulkan, &work.unwrap()).unwrap();
    let map = out.buffer().unwrap().map(Access::Read).unwrap();
    assert!((0..SIZE.height).all(|y| map.row(0, y).chunks(4).all(|pixel| pixel == [0x14, 0, 0x33, 0xff])));
}

/// Y'CbCr of three matrices and both ranges, through the driver's conversion, against the recommendations' equations.
#[test]
fn nv12_is_converted_as_the_recommendations_say() {
    let Some(both) = both() else { return };
    let usage = Usage::SAMPLE | Usage::CPU_READ | Usage::CPU_WRITE;
    for (fourcc, bits) in [(Fourcc::NV12, 8), (Fourcc::NV21, 8), (Fourcc::YUV420, 8), (Fourcc::P010, 10)] {
        let request = Request::new(SIZE, fourcc).usage(usage).require_dma_buf();
        let Some(buffer) = or_skip("dma-buf", both.machine.allocate(&request)) else { return };
        let code = |x: u32, y: u32| -> [f64; 3] {
            let scale = 1 << (bits - 8);
            let (cx, cy) = (x / 2, y / 2);
            [(16 + (x * 3 + y) % 220) * scale, (20 + cx * 6) * scale, (230 - cy * 8) * scale].map(f64::from)
        };
        fill(&buffer, fourcc, bits, code);
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for range in [Range::Limited, Range::Full] {
                let color = Color { matrix, range, siting: Siting::Left, ..Color::HD };
                let sampled =
                    ImportOptions { usage: vk::ImageUsageFlags::SAMPLED, color: Some(color), assume_linear: true };
                let image = match Image::import(&both.vulkan, &buffer, &sampled) {
                    Err(error) if error.kind() == ErrorKind::Unsupported => {
                        skip(&format!("vulkan-{fourcc}"), error);
                        continue;
                    }
                    other => other.unwrap(),
                };
                let pixels = bench::sampled(&image).unwrap();
                let mut worst = 0.0f64;
                for (index, pixel) in pixels.chunks_exact(4).enumerate() {
                    let (x, y) = (index as u32 % SIZE.width, index as u32 / SIZE.width);
                    let expected = bt::rgb(color, bits, code(x, y));
                    for (got, expected) in pixel.iter().zip(expected) {
                        worst = worst.max((f64::from(*got) - expected * 255.0).abs());
                    }
                    assert!(worst <= 1.0, "{fourcc} {matrix:?} {range:?} ({x}, {y}): {pixel:?}, expected {expected:?}");
                }
                println!("{fourcc} {matrix:?} {range:?}: at most {worst:.2} of 255 off");
            }
        }
    }
}

/// Writes codes into the planes by the format's own definition.
fn fill(buffer: &Buffer, fourcc: Fourcc, bits: u32, code: impl Fn(u32, u32) -> [f64; 3]) {
    let layout = buffer.layout().clone();
    let mut map = buffer.map(Access::Write).unwrap();
    for plane in 0..layout.planes().len() {
        let stride = layout.planes()[plane].stride_bytes as usize;
        let bytes = map.plane_mut(plane);
        let mut put = |row: u32, sample: u32, value: f64| match bits {
            8 => bytes[row as usize * stride + sample as usize] = value as u8,
            _ => {
                let word = ((value as u16) << (16 - bits)).to_le_bytes();
                bytes[row as usize * stride + sample as usize * 2..][..2].copy_from_slice(&word);
            }
        };
        for y in 0..layout.rows(plane) {
            for x in 0..SIZE.width / if plane == 0 { 1 } else { 2 } {
                match (plane, fourcc) {
                    (0, _) => put(y, x, code(x, y)[0]),
                    (_, Fourcc::YUV420) => put(y, x, code(x * 2, y * 2)[plane]),
                    (_, Fourcc::NV21) => {
                        put(y, x * 2, code(x * 2, y * 2)[2]);
                        put(y, x * 2 + 1, code(x * 2, y * 2)[1]);
                    }
                    _ => {
                        put(y, x * 2, code(x * 2, y * 2)[1]);
                        put(y, x * 2 + 1, code(x * 2, y * 2)[2]);
                    }
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let Some(vulkan) = bench::device() else { return };
    let none = Choice::Name("no such device".into());
    refused(Device::open(&none), ErrorKind::NotFound, &["no such device", &vulkan.info().name]);
    refused(Device::open(&Choice::Uuid([7; 16])), ErrorKind::NotFound, &["0707", &vulkan.info().name]);
    let memfd = common::files::buffer(SIZE, Fourcc::ABGR8888);
    refused(
        Image::import(&vulkan, &memfd, &ImportOptions::default()),
        ErrorKind::Unsupported,
        &["memfd", "require_dma_buf"],
    );
    let Some(both) = both() else { return };
    let vulkan = &both.vulkan;
    for node in both.machine.nodes() {
        match Device::open(&Choice::Node(node.clone())) {
            Ok(device) => assert!(device.info().render_node.or(device.info().primary_node).is_some()),
            other => refused(
                other,
                ErrorKind::NotFound,
                &[&node.path().display().to_string(), node.driver(), "choose one by name"],
            ),
        }
    }
    let planes = both.buffer.layout().planes().to_vec();
    let again = |modifier: Modifier, planes: &[PlaneLayout]| {
        let layout = Layout::new(Fourcc::ABGR8888, SIZE, modifier, planes).unwrap();
        Buffer::from_fds(layout, vec![both.buffer.plane_fd(0).try_clone_to_owned().unwrap()])
    };
    let wrong = again(Modifier(0x0123_4567_89ab_cdef), &planes).unwrap();
    refused(
        Image::import(vulkan, &wrong, &ImportOptions::default()),
        ErrorKind::Unsupported,
        &["0x0123456789abcdef", "LINEAR"],
    );
    let usage = vk::BufferUsageFlags::TRANSFER_SRC;
    refused(LinearBuffer::import(vulkan, &wrong, 0, usage), ErrorKind::InvalidInput, &["linear memory"]);
    let unknown = again(Modifier::INVALID, &planes).unwrap();
    refused(Image::import(vulkan, &unknown, &ImportOptions::default()), ErrorKind::InvalidInput, &["assume_linear"]);
    refused(LinearBuffer::import(vulkan, &both.buffer, 1, usage), ErrorKind::InvalidInput, &["no plane 1"]);
    // Memory that ends before the picture does is refused when the buffer is made.
    let far = [PlaneLayout { offset_bytes: both.buffer.plane_object_bytes(0) - 64, ..planes[0] }];
    refused(again(Modifier::LINEAR, &far), ErrorKind::InvalidInput, &["the memory has"]);
    let storage = ImportOptions { usage: vk::ImageUsageFlags::SAMPLED, ..ImportOptions::default() };
    let none = Buffer::from_fds(
        Layout::new(Fourcc::from_chars(b"AYUV"), SIZE, Modifier::LINEAR, &planes).unwrap(),
        vec![both.buffer.plane_fd(0).try_clone_to_owned().unwrap()],
    );
    refused(Image::import(vulkan, &none.unwrap(), &storage), ErrorKind::Unsupported, &["no Vulkan format"]);
    let huge = Size::new(65_536, 16);
    let options = ExportOptions::default();
    refused(Image::allocate(vulkan, huge, Fourcc::ABGR8888, &options), ErrorKind::Unsupported, &["images of up to"]);
    // An image of another device.
    if let Some(other) = bench::device()
        && let Some(image) =
            or_skip("vulkan", Image::import(&other, &both.buffer, &self::options(ImportOptions::default())))
    {
        let layout = vk::ImageLayout::GENERAL;
        let submitted = vulkan.submit(&[Use::image(&image, layout)], &[], |_, _| Ok(()));
        refused(submitted, ErrorKind::InvalidInput, &["another device"]);
    }
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn a_hundred_imports_leave_nothing_behind() {
    let Some(both) = both() else { return };
    let target = options(ImportOptions::target());
    if or_skip("vulkan", Image::import(&both.vulkan, &both.buffer, &target)).is_none() {
        return;
    }
    let mut imports = Imports::new(&both.vulkan, target);
    // As frames of another process arrive: a new fd of a known memory each time.
    let received = || {
        let fd = both.buffer.plane_fd(0).try_clone_to_owned().unwrap();
        Buffer::from_fds(both.buffer.layout().clone(), vec![fd]).unwrap()
    };
    let (mut fds, mut maps) = (0, 0);
    for round in 0..110 {
        let image = imports.take(&received()).unwrap();
        bench::write(&image, &picture()).unwrap();
        let fresh = Image::import(&both.vulkan, &received(), &target).unwrap();
        let work = both.vulkan.submit(&[Use::image(&fresh, vk::ImageLayout::GENERAL)], &[], |_, _| Ok(()));
        // Dropped while the work may be in flight: it keeps what it uses.
        drop(fresh);
        bench::done(&both.vulkan, &work.unwrap()).unwrap();
        if round == 9 {
            (fds, maps) = (open_fds(), mappings());
        }
    }
    assert!(imports.imports() <= 2, "{} imports of one memory", imports.imports());
    assert!(open_fds() <= fds, "{fds} fds after 10 imports, {} after 110", open_fds());
    assert!(mappings() <= maps + 2, "{maps} mappings after 10 imports, {} after 110", mappings());
    drop((imports, both));
}

#[test]
fn fences_pass_both_ways() {
    let Some(vulkan) = bench::device() else { return };
    let Some(clock) = sw_sync::Timeline::open() else { return };
    // A fence that nobody signals ends in words, here or on the GPU's side.
    let gate = clock.fence(1);
    let idle = || |_: &darkframe::vulkan::ash::Device, _: vk::CommandBuffer| Ok(());
    match vulkan.info().is_software {
        true => refused(vulkan.submit(&[], &[&gate], idle()), ErrorKind::Timeout, &["not signaled"]),
        false => refused(
            vulkan.submit(&[], &[&gate], idle()).unwrap().wait(Duration::from_millis(50)),
            ErrorKind::Timeout,
            &["not signaled"],
        ),
    }
    // One that is signaled later holds the work back until then.
    let signaled = clock.increment_later();
    let work = vulkan.submit(&[], &[&gate], idle()).unwrap();
    work.wait(LIMIT).unwrap();
    assert!(Instant::now() >= signaled.recv().unwrap(), "the work did not wait");
    println!("waits: {} on the GPU, {} on the CPU; told by the {:?}", work.gpu_waits, work.cpu_waits, work.signal);
    // A driver that draws with the processor waits on whatever thread asks, without an end: that is done here, with one.
    let expected = if vulkan.info().is_software { (0, 1) } else { (1, 0) };
    assert_eq!((work.gpu_waits, work.cpu_waits), expected);

    // Semaphores for a submission of the program's own.
    let Some(before) = or_skip("vulkan", Semaphore::from_fence(&vulkan, clock.fence(2))) else { return };
    let Some(behind) = or_skip("vulkan", Semaphore::for_fence(&vulkan)) else { return };
    let (waits, stages, signals) = ([before.raw()], [vk::PipelineStageFlags::ALL_COMMANDS], [behind.raw()]);
    let info =
        vk::SubmitInfo::default().wait_semaphores(&waits).wait_dst_stage_mask(&stages).signal_semaphores(&signals);
    let signaled = clock.increment_later();
    #[allow(unsafe_code)]
    // SAFETY: both semaphores are kept until the work is done, and nobody else submits.
    let fence = unsafe {
        vulkan.ash().queue_submit(vulkan.queue(), &[info], vk::Fence::null()).unwrap();
        behind.to_fence().unwrap()
    };
    if let Some(fence) = &fence {
        fence.wait(Some(LIMIT)).unwrap();
    }
    assert!(Instant::now() >= signaled.recv().unwrap(), "the program's work did not wait");

    // Into a timeline semaphore, and out of it.
    let Some(semaphore) = or_skip("vulkan", TimelineSemaphore::new(&vulkan, 5)) else { return };
    refused(semaphore.signal_after(&clock.fence(3), 5).map(drop), ErrorKind::InvalidInput, &["it is at 5"]);
    refused(semaphore.wait(9, Duration::from_millis(50)), ErrorKind::Timeout, &["9 is not reached"]);
    assert!(semaphore.fence(5).unwrap().is_none());
    let gate = clock.fence(3);
    let signaled = clock.increment_later();
    let step = semaphore.signal_after(&gate, 9).unwrap();
    if let Some(nine) = semaphore.fence(9).unwrap() {
        nine.wait(Some(LIMIT)).unwrap();
    }
    assert!(Instant::now() >= signaled.recv().unwrap(), "the timeline did not wait");
    semaphore.wait(9, LIMIT).unwrap();
    step.wait(LIMIT).unwrap();
    assert_eq!(semaphore.value().unwrap(), 9);

    // A DRM timeline: a point's fence holds Vulkan back, and Vulkan's fence sets the next; an eventfd tells.
    let Some(node) = Timeline::find_node() else { return skip("dma-buf", "no node has timelines") };
    let timeline = Timeline::new(&node).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: a new fd for this test alone, looked at before it is taken.
    let bell: std::fs::File = unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
        assert!(fd >= 0);
        std::os::fd::FromRawFd::from_raw_fd(fd)
    };
    let told = or_skip("vulkan-eventfd", timeline.notify(2, &bell)).is_some();
    timeline.set(1, &clock.fence(4)).unwrap();
    assert_eq!(timeline.value().unwrap(), 0);
    let mut count = [0; 8];
    assert!((&bell).read(&mut count).is_err(), "the bell rings before the point");
    let signaled = clock.increment_later();
    let work = vulkan.submit(&[], &[&timeline.fence(1).unwrap()], idle()).unwrap();
    match &work.fence {
        Some(fence) => timeline.set(2, fence).unwrap(),
        None => timeline.signal(2).unwrap(),
    }
    timeline.wait(2, LIMIT).unwrap();
    assert!(Instant::now() >= signaled.recv().unwrap(), "the point did not wait");
    if told {
        let mut polled = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, PollTimeout::from(60_000u16)).unwrap(), 1, "the bell does not ring");
        (&bell).read_exact(&mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
    }
}

/// Where nothing else makes fences: those of a submission hold the next one back, and a timeline.
#[test]
fn vulkan_waits_for_its_own_fences() {
    let Some(vulkan) = bench::device() else { return };
    let staging = Staging::new(&vulkan, 64 << 20);
    let fill = |word: u32, waits: &[&darkframe::fence::Fence]| {
        let work = vulkan.submit(&[], waits, |ash, commands| {
            #[allow(unsafe_code)]
            // SAFETY: the whole buffer, which is a multiple of four bytes.
            unsafe {
                ash.cmd_fill_buffer(commands, staging.buffer, 0, vk::WHOLE_SIZE, word)
            };
            Ok(())
        });
        work.unwrap()
    };
    let first = fill(0x0101_0101, &[]);
    let waits: Vec<_> = first.fence.iter().collect();
    let second = fill(0x0202_0202, &waits);
    println!(
        "{:?}: waits {} on the GPU, {} on the CPU; told by the {:?}",
        vulkan, second.gpu_waits, second.cpu_waits, second.signal
    );
    assert!(second.gpu_waits + second.cpu_waits <= waits.len());
    if let Some(timeline) = or_skip("vulkan", TimelineSemaphore::new(&vulkan, 3))
        && let Some(fence) = &second.fence
    {
        let step = timeline.signal_after(fence, 4).unwrap();
        timeline.wait(4, LIMIT).unwrap();
        // The value comes behind the fence, and that behind the work.
        assert!(fence.is_signaled().unwrap());
        assert!(staging.bytes().iter().all(|byte| *byte == 2));
        let third = timeline.fence(4).unwrap();
        assert!(third.is_none(), "4 is reached");
        step.wait(LIMIT).unwrap();
    }
    bench::done(&vulkan, &second).unwrap();
    assert!(staging.bytes().iter().all(|byte| *byte == 2), "the second fill came first");
    // As a semaphore of the program's own submission, and back.
    let (Ok(behind), third) = (Semaphore::for_fence(&vulkan), fill(0x0303_0303, &[])) else { return };
    if let Some(fence) = third.fence
        && let Some(before) = or_skip("vulkan", Semaphore::from_fence(&vulkan, fence))
    {
        let (waits, stages, signals) = ([before.raw()], [vk::PipelineStageFlags::ALL_COMMANDS], [behind.raw()]);
        let info =
            vk::SubmitInfo::default().wait_semaphores(&waits).wait_dst_stage_mask(&stages).signal_semaphores(&signals);
        #[allow(unsafe_code)]
        // SAFETY: both semaphores are kept until the work is done, and nobody else submits.
        let fence = unsafe {
            vulkan.ash().queue_submit(vulkan.queue(), &[info], vk::Fence::null()).unwrap();
            behind.to_fence().unwrap()
        };
        if let Some(fence) = fence {
            fence.wait(Some(LIMIT)).unwrap();
        }
        assert!(staging.bytes().iter().all(|byte| *byte == 3), "the program's submission did not wait");
        #[allow(unsafe_code)]
        // SAFETY: nobody submits.
        unsafe {
            vulkan.ash().queue_wait_idle(vulkan.queue()).unwrap()
        };
    }
}

const WORDS: usize = 1024;

fn words(seed: u32) -> Vec<u8> {
    (0..WORDS as u32).flat_map(|index| (index.wrapping_mul(2_654_435_761) ^ seed).to_le_bytes()).collect()
}

fn copy(device: &Device, linear: &LinearBuffer, staging: &Staging<'_>, out: bool) {
    let used = if out { Use::buffer(linear) } else { Use::buffer(linear).write() };
    let work = device.submit(&[used], &[], |ash, commands| {
        let (from, to) = if out { (linear.raw(), staging.buffer) } else { (staging.buffer, linear.raw()) };
        let all = vk::BufferCopy::default().size(WORDS as u64 * 4);
        #[allow(unsafe_code)]
        // SAFETY: both have so many bytes.
        unsafe {
            ash.cmd_copy_buffer(commands, from, to, &[all])
        };
        Ok(())
    });
    bench::done(device, &work.unwrap()).unwrap();
}

/// Another process on the same device: it reads what this one wrote and answers in the same memory.
#[test]
fn opaque_memory_crosses_processes() {
    let Some(device) = bench::device() else { return };
    let staging = Staging::new(&device, WORDS * 4);
    if let Ok(text) = std::env::var("DARKFRAME_HANDLE") {
        let fd = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let shared = LinearBuffer::import_opaque(&device, fd, &Handle::from_text(&text).unwrap()).unwrap();
        copy(&device, &shared, &staging, true);
        assert_eq!(staging.bytes(), words(1), "what the other process wrote");
        staging.fill(&words(2));
        copy(&device, &shared, &staging, false);
        return;
    }
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    let made = LinearBuffer::allocate_opaque(&device, WORDS as u64 * 4, usage);
    let Some((shared, fd, handle)) = or_skip("vulkan", made) else { return };
    staging.fill(&words(1));
    copy(&device, &shared, &staging, false);
    // What does not match never reaches the driver.
    let dup = || fd.try_clone().unwrap();
    let wrong = Handle { device_uuid: [3; 16], ..handle.clone() };
    refused(LinearBuffer::import_opaque(&device, dup(), &wrong), ErrorKind::InvalidInput, &["0303"]);
    let wrong = Handle { driver_uuid: [3; 16], ..handle.clone() };
    refused(LinearBuffer::import_opaque(&device, dup(), &wrong), ErrorKind::InvalidInput, &["by the driver 0303"]);
    let wrong = Handle { buffer_bytes: handle.memory_bytes + 1, ..handle.clone() };
    refused(LinearBuffer::import_opaque(&device, dup(), &wrong), ErrorKind::InvalidInput, &["in a memory of"]);
    let small: OwnedFd = rustix::fs::memfd_create("small", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&small, 16).unwrap();
    refused(LinearBuffer::import_opaque(&device, small, &handle), ErrorKind::InvalidInput, &["16 bytes"]);
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opaque_memory_crosses_processes", "--nocapture"])
        .env("DARKFRAME_HANDLE", handle.to_text())
        .stdin(Stdio::from(dup()))
        .status()
        .unwrap();
    assert!(status.success(), "the other process: {status}");
    copy(&device, &shared, &staging, true);
    assert_eq!(staging.bytes(), words(2), "what the other process answered");
}

/// A dma-buf goes to another process as an fd; Vulkan writes it there, GLES reads it here.
#[test]
fn a_frame_is_written_by_vulkan_in_another_process() {
    if let Ok(stride) = std::env::var("DARKFRAME_STRIDE") {
        let device = bench::device().unwrap();
        let plane = PlaneLayout { offset_bytes: 0, stride_bytes: stride.parse().unwrap() };
        let layout = Layout::new(Fourcc::ABGR8888, SIZE, Modifier::LINEAR, &[plane]).unwrap();
        let fd = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let buffer = Buffer::from_fds(layout, vec![fd]).unwrap();
        bench::write(&Image::import(&device, &buffer, &ImportOptions::target()).unwrap(), &picture()).unwrap();
        return;
    }
    let Some(both) = both() else { return };
    let target = options(ImportOptions::target());
    if or_skip("vulkan", Image::import(&both.vulkan, &both.buffer, &target)).is_none() {
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_frame_is_written_by_vulkan_in_another_process", "--nocapture"])
        .env("DARKFRAME_STRIDE", both.buffer.layout().planes()[0].stride_bytes.to_string())
        .stdin(Stdio::from(both.buffer.plane_fd(0).try_clone_to_owned().unwrap()))
        .status()
        .unwrap();
    assert!(status.success(), "the other process: {status}");
    is_pattern(&gles_samples(&both, &both.buffer), "written in another process, sampled by GLES");
}

/// A device of the program's own; its handles stay valid behind ours.
#[test]
fn a_programs_own_device_is_taken() {
    let Some(owner) = bench::device() else { return };
    #[allow(unsafe_code)]
    // SAFETY: the owner outlives the borrowed one, and nobody submits at the same time.
    let borrowed = unsafe {
        Device::from_handles(darkframe::vulkan::Handles {
            entry: darkframe::vulkan::ash::Entry::load().unwrap(),
            instance: owner.instance().clone(),
            physical: owner.physical(),
            device: owner.ash().clone(),
            extensions: Vec::new(),
            timeline_semaphores: false,
            ycbcr: false,
            queue_family: owner.queue_family(),
            queue: owner.queue(),
        })
    };
    let borrowed = borrowed.unwrap();
    assert_eq!(borrowed.info(), owner.info());
    let work = borrowed.submit(&[], &[], |_, _| Ok(())).unwrap();
    // Without extensions the end of work is waited for here.
    assert!(work.fence.is_none() && work.signal == darkframe::vulkan::Way::Cpu);
    refused(TimelineSemaphore::new(&borrowed, 0), ErrorKind::Unsupported, &["made without it"]);
    refused(borrowed.modifiers(Fourcc::ABGR8888), ErrorKind::Unsupported, &["plane layouts"]);
    drop(borrowed);
    owner.submit(&[], &[], |_, _| Ok(())).unwrap().wait(LIMIT).unwrap();
}
