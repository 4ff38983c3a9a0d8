//! Fences that a test signals when it likes (the kernel's sw_sync): waits, merges, errors, implicit fences of dma-bufs,
//! and that the GPU waits for others (conformance list E02 to E04).

#![allow(unsafe_code, missing_docs)] // ioctls, declared by macros

mod common;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::sw_sync::Timeline;
use common::{gpu_display, or_skip, skip};
use darkframe::allocator::{Request, Usage};
use darkframe::board::Board;
use darkframe::buffer::{Access, Buffer};
use darkframe::device::{Device, DrmNode};
use darkframe::egl::{Context, Display, FenceWay, Image};
use darkframe::error::ErrorKind;
use darkframe::fence::{self, Fence};
use darkframe::format::Fourcc;
use darkframe::gles::{Framebuffer, Gl, Texture, TextureOptions};
use darkframe::layout::Size;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const SIZE: Size = Size::new(64, 64);
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(10);

fn readable(fence: &Fence) -> bool {
    poll(&mut [PollFd::new(fence.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
}

#[track_caller]
fn pending(fence: &Fence) {
    assert!(!fence.is_signaled().unwrap() && !readable(fence));
    for timeout in [Duration::ZERO, SHORT] {
        let started = Instant::now();
        assert_eq!(fence.wait(Some(timeout)).unwrap_err().kind(), ErrorKind::Timeout);
        assert!(started.elapsed() >= timeout, "came back early: {:?} of {timeout:?}", started.elapsed());
    }
}

#[track_caller]
fn signaled(fence: &Fence) {
    assert!(fence.is_signaled().unwrap() && readable(fence));
    fence.wait(Some(Duration::ZERO)).unwrap();
    fence.wait(None).unwrap();
}

/// E04: a fence is pending until its timeline gets there, and waits end then.
#[test]
fn e04_wait_timeout_and_poll() {
    let Some(timeline) = Timeline::open() else { return };
    let fence = timeline.fence(2);
    pending(&fence);
    timeline.increment(1);
    pending(&fence);
    let when = timeline.increment_later();
    fence.wait(Some(LONG)).unwrap();
    assert!(Instant::now() >= when.recv().unwrap(), "the wait ended before the increment");
    signaled(&fence);
    // Made after its time has come.
    signaled(&timeline.fence(1));
}

/// E04: a merge waits for both; its parts are as they were. A clone is the same fence.
#[test]
fn e04_merge() {
    let Some(timeline) = Timeline::open() else { return };
    let (first, second) = (timeline.fence(1), timeline.fence(2));
    let other = Timeline::open().unwrap();
    let far = other.fence(1);
    let both = first.merge(&second).unwrap();
    let all = both.merge(&far).unwrap();
    let clone = all.try_clone().unwrap();
    timeline.increment(1);
    signaled(&first);
    pending(&second);
    pending(&both);
    timeline.increment(1);
    signaled(&both);
    pending(&all);
    other.increment(1);
    signaled(&all);
    signaled(&clone);
    drop(first);
    // A merge with a signaled fence is pending as long as the other.
    let next = timeline.fence(3);
    let merged = next.merge(&both).unwrap();
    pending(&merged);
    timeline.increment(1);
    signaled(&merged);
}

/// E04: the end of a producer is an error of its fence, not a signal to go on.
#[test]
fn e04_work_that_fails_is_an_error() {
    let Some(timeline) = Timeline::open() else { return };
    let fence = timeline.fence(1);
    pending(&fence);
    drop(timeline);
    assert!(readable(&fence), "waits must end");
    let error = fence.is_signaled().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("ENOENT"), "sw_sync ends its fences with ENOENT: {error}");
    assert_eq!(fence.wait(Some(LONG)).unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(fence.wait(None).unwrap_err().kind(), ErrorKind::Failed);
}

/// E02: the fd is the fence's own, and closed with it.
#[test]
fn e02_a_fence_owns_its_fd() {
    let Some(timeline) = Timeline::open() else { return };
    let fd = timeline.fence(1).into_fd();
    let flags = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    println!("sw_sync's fd flags: {flags:#x}");
    let fence = Fence::from_fd(fd).unwrap();
    let merged = fence.merge(&fence).unwrap();
    let flags = nix::fcntl::fcntl(merged.as_fd(), nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags & nix::libc::FD_CLOEXEC, nix::libc::FD_CLOEXEC, "a merge must not leak into children");
    timeline.increment(1);
    signaled(&merged);
}

fn dma_buf() -> Option<Buffer> {
    let device = Device::open(&Board::generic()).unwrap();
    let usage = Usage::CPU_READ | Usage::CPU_WRITE;
    or_skip("dma-buf", device.allocate(&Request::new(SIZE, Fourcc::ABGR8888).usage(usage).require_dma_buf()))
}

/// E03: what is given to the memory comes back from it, by the rules of readers and writers; as a snapshot.
#[test]
fn e03_implicit_fences() {
    let (Some(timeline), Some(buffer)) = (Timeline::open(), dma_buf()) else { return };
    let Some(idle) = or_skip("dma-buf", buffer.export_fence(Access::ReadWrite)) else { return };
    signaled(&idle);
    // Readers wait for writers only; writers wait for all.
    let reading = timeline.fence(1);
    buffer.import_fence(&reading, Access::Read).unwrap();
    signaled(&buffer.export_fence(Access::Read).unwrap());
    let before_write = buffer.export_fence(Access::Write).unwrap();
    pending(&before_write);
    // A snapshot: what comes later is not in it.
    let writing = Timeline::open().unwrap();
    buffer.import_fence(&writing.fence(1), Access::Write).unwrap();
    let before_read = buffer.export_fence(Access::Read).unwrap();
    pending(&before_read);
    timeline.increment(1);
    signaled(&before_write);
    pending(&before_read);
    pending(&buffer.export_fence(Access::Write).unwrap());
    writing.increment(1);
    signaled(&before_read);
    signaled(&buffer.export_fence(Access::ReadWrite).unwrap());
}

/// E03: CPU access waits for what is implied: readers for writers, writers for everybody.
#[test]
fn e03_cpu_access_waits_for_implicit_fences() {
    let (Some(timeline), Some(buffer)) = (Timeline::open(), dma_buf()) else { return };
    // Mapped before, so that only the bracket is timed.
    drop(buffer.map(Access::ReadWrite).unwrap());
    let mut at = 0;
    for (fence_access, cpu_access, waits) in [
        (Access::Write, Access::Read, true),
        (Access::Write, Access::Write, true),
        (Access::Read, Access::Write, true),
        (Access::Read, Access::Read, false),
    ] {
        at += 1;
        let fence = timeline.fence(at);
        if or_skip("dma-buf", buffer.import_fence(&fence, fence_access)).is_none() {
            return;
        }
        let what = format!("{fence_access:?} fence, {cpu_access:?} by the CPU");
        if waits {
            let when = timeline.increment_later();
            drop(buffer.map(cpu_access).unwrap());
            assert!(Instant::now() >= when.recv().unwrap(), "{what}: did not wait");
        } else {
            // Nobody signals the fence before the access is over.
            std::thread::scope(|scope| {
                let (sender, over) = mpsc::channel();
                let buffer = &buffer;
                scope.spawn(move || {
                    drop(buffer.map(cpu_access).unwrap());
                    sender.send(()).unwrap();
                });
                let ended = over.recv_timeout(LONG);
                timeline.increment(1);
                ended.unwrap_or_else(|_| panic!("{what}: waits"));
            });
        }
        signaled(&fence);
    }
}

/// `struct dma_buf_{export,import}_sync_file`: flags and fd.
#[repr(C)]
struct SyncFile {
    flags: u32,
    fd: i32,
}

nix::ioctl_readwrite!(export_sync_file, b'b', 2, SyncFile);
nix::ioctl_write_ptr!(import_sync_file, b'b', 3, SyncFile);

/// E03: what the kernel refuses, which [`Access`] and [`Fence`] cannot say.
#[test]
fn e03_flags_and_files_that_are_none() {
    let (Some(timeline), Some(buffer)) = (Timeline::open(), dma_buf()) else { return };
    let fence = timeline.fence(1);
    timeline.increment(1);
    let raw = buffer.plane_fd(0).as_raw_fd();
    for flags in [0, 4, 8, 1 << 31] {
        let mut export = SyncFile { flags, fd: -1 };
        // SAFETY: the fd is a dma-buf's and the argument is the struct the ioctl reads and writes.
        assert_eq!(unsafe { export_sync_file(raw, &mut export) }, Err(Errno::EINVAL), "export with flags {flags:#x}");
        let import = SyncFile { flags, fd: fence.as_fd().as_raw_fd() };
        // SAFETY: as above; the ioctl only reads.
        assert_eq!(unsafe { import_sync_file(raw, &import) }, Err(Errno::EINVAL), "import with flags {flags:#x}");
    }
    let null = File::open("/dev/null").unwrap();
    for (fd, what) in [(-1, "-1"), (null.as_raw_fd(), "/dev/null"), (raw, "a dma-buf")] {
        let import = SyncFile { flags: 1, fd };
        // SAFETY: as above.
        assert_eq!(unsafe { import_sync_file(raw, &import) }, Err(Errno::EINVAL), "{what}");
    }
    // The type in between: nothing but a sync_file becomes a Fence.
    for fd in [OwnedFd::from(null), buffer.plane_fd(0).try_clone_to_owned().unwrap()] {
        let error = Fence::from_fd(fd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("no sync_file"), "{error}");
    }
}

/// Clears to white after `fence`, and reads the first pixel in memory when that is done.
fn white_after(gl: &Gl, target: &Framebuffer, buffer: &Buffer, fence: &Fence) -> (Duration, Option<Fence>) {
    target.bind(gl).unwrap();
    gl.clear([0.0, 0.0, 0.0, 1.0]);
    gl.finish();
    assert_eq!(buffer.map(Access::Read).unwrap().plane(0)[0], 0);
    let started = Instant::now();
    gl.wait_fence(fence).unwrap();
    let blocked = started.elapsed();
    gl.clear([1.0; 4]);
    (blocked, gl.fence().unwrap())
}

/// A context, and a dma-buf that it draws into.
fn with_target(run: impl FnOnce(&Gl, &Framebuffer, &Buffer)) {
    let Some((_device, display, buffer)) = gpu_display(Fourcc::ABGR8888, SIZE) else { return };
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    let image = Image::import(&display, &buffer).unwrap();
    let target = Framebuffer::new(&gl, Texture::from_image(&gl, &image).unwrap()).unwrap();
    run(&gl, &target, &buffer);
    gl.check().unwrap();
}

/// E02: our draws come after the fence of somebody else. Where native fences go in, this thread goes on meanwhile.
#[test]
fn e02_the_gpu_waits_for_others() {
    let Some(timeline) = Timeline::open() else { return };
    with_target(|gl, target, buffer| {
        let ways = gl.fence_ways();
        let pending_fence = timeline.fence(1);
        let when = timeline.increment_later();
        let (blocked, done) = white_after(gl, target, buffer, &pending_fence);
        let asked = Instant::now();
        let early = when.try_recv().is_err();
        println!(
            "{} on {}: {ways:?}; wait_fence took {blocked:?}; draws were asked for {} the increment",
            gl.caps().version_text,
            gl.caps().renderer,
            if early { "before" } else { "after" }
        );
        match &done {
            Some(done) => done.wait(Some(LONG)).unwrap(),
            None => gl.finish(),
        }
        let finished = Instant::now();
        let when = if early { when.recv().unwrap() } else { asked - blocked };
        if early {
            assert!(finished >= when, "the GPU did not wait: done {:?} before the increment", when - finished);
        }
        signaled(&pending_fence);
        assert_eq!(buffer.map(Access::Read).unwrap().plane(0)[0], 255);
        match ways.into {
            FenceWay::NativeFence => assert!(early, "the GPU waits, this thread need not: {blocked:?}"),
            _ => assert!(!early, "this thread must wait, it did for {blocked:?}"),
        }
        // Mesa's eglWaitSync on llvmpipe was seen to block the caller, for ever if need be.
        assert_eq!(ways.into == FenceWay::NativeFence, !gl.caps().is_software, "{ways:?}");
        // A fence that has signaled costs nothing.
        let started = Instant::now();
        gl.wait_fence(&pending_fence).unwrap();
        println!("a signaled fence: {:?}", started.elapsed());
    });
}

/// E02: work that fails before ours: the CPU's way tells; the GPU's way goes on when the fence is over.
#[test]
fn e02_a_failed_fence_does_not_hang_the_gpu() {
    let Some(timeline) = Timeline::open() else { return };
    with_target(|gl, target, _| {
        let fence = timeline.fence(1);
        drop(timeline);
        let started = Instant::now();
        target.bind(gl).unwrap();
        match gl.wait_fence(&fence) {
            Ok(()) => assert_eq!(gl.fence_ways().into, FenceWay::NativeFence, "this thread's wait must tell"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Failed, "{error}"),
        }
        gl.clear([1.0; 4]);
        gl.finish();
        assert!(started.elapsed() < LONG);
    });
}

/// A native fence of our own work is a sync_file that signals. On the software rasteriser they are left out, so a
/// process of its own makes them, on one thread.
#[test]
fn native_fences_of_our_work_signal() {
    const IN_THE_CHILD: &str = "DARKFRAME_NO_FAULT_RULES";
    if std::env::var_os(IN_THE_CHILD).is_none() {
        let test = std::env::current_exe().unwrap();
        let name = ["native_fences_of_our_work_signal", "--exact", "--nocapture"];
        let output = std::process::Command::new(test).args(name).env(IN_THE_CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter(|line| line.starts_with("SKIP")).for_each(|line| println!("{line}"));
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let device = Device::open(&Board::generic()).unwrap();
    let Some(display) = or_skip("gpu", Display::open(&device)) else { return };
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    if gl.fence_ways().out != FenceWay::NativeFence {
        return skip("native-fence", format!("{display} has {:?}", gl.fence_ways()));
    }
    for _ in 0..100 {
        let target = Framebuffer::new(&gl, Texture::new(&gl, SIZE, &TextureOptions::default()).unwrap()).unwrap();
        target.bind(&gl).unwrap();
        gl.clear([1.0; 4]);
        let fence = gl.fence().unwrap().expect("a native fence");
        fence.wait(Some(LONG)).unwrap();
        signaled(&fence);
        assert!(gl.fence().unwrap().unwrap().merge(&fence).unwrap().wait(Some(LONG)).is_ok());
    }
}

/// Points of DRM timelines: made of fences, and fences made of them; the same through another file by fd. Which nodes
/// have them is printed.
#[test]
fn points_of_timelines() {
    let mut nodes: Vec<DrmNode> = Vec::new();
    for entry in std::fs::read_dir("/dev/dri").into_iter().flatten().flatten() {
        let Ok(node) = DrmNode::open(entry.path()) else { continue };
        let has = fence::Timeline::is_supported(&node);
        println!("{} ({}): timelines {has}", node.path().display(), node.driver());
        match has {
            true => nodes.push(node),
            false => assert_eq!(fence::Timeline::new(&node).unwrap_err().kind(), ErrorKind::Unsupported),
        }
    }
    let Some(node) = nodes.first() else { return skip("gpu", "no DRM node with timelines") };
    let Some(clock) = Timeline::open() else { return };
    let ours = fence::Timeline::new(node).unwrap();
    let fd = ours.export().unwrap();
    let flags = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags & nix::libc::FD_CLOEXEC, nix::libc::FD_CLOEXEC);
    let theirs = fence::Timeline::import(&DrmNode::open(node.path()).unwrap(), &fd).unwrap();
    assert_eq!(theirs.value().unwrap(), 0);
    let error = theirs.fence(1).unwrap_err();
    assert_eq!((error.kind(), error.detail()), (ErrorKind::InvalidInput, "nobody has set point 1"));
    ours.set(1, &clock.fence(1)).unwrap();
    ours.set(5, &clock.fence(2)).unwrap();
    let (first, second) = (theirs.fence(1).unwrap(), theirs.fence(5).unwrap());
    // A point between two is the later one's.
    let between = theirs.fence(3).unwrap();
    pending(&first);
    clock.increment(1);
    signaled(&first);
    signaled(&theirs.fence(1).unwrap());
    pending(&second);
    pending(&between);
    assert_eq!(theirs.value().unwrap(), 1);
    assert_eq!(theirs.wait(5, SHORT).unwrap_err().kind(), ErrorKind::Timeout);
    let when = clock.increment_later();
    theirs.wait(5, LONG).unwrap();
    assert!(Instant::now() >= when.recv().unwrap());
    signaled(&second);
    signaled(&between);
    assert_eq!(theirs.value().unwrap(), 5);
    // The other end sets one, without a fence.
    theirs.signal(9).unwrap();
    ours.wait(9, Duration::ZERO).unwrap();
    signaled(&ours.fence(9).unwrap());
    for other in nodes.iter().skip(1) {
        let there = fence::Timeline::import(other, &fd).unwrap();
        assert_eq!(there.value().unwrap(), 9, "{}", other.path().display());
    }
    let error = fence::Timeline::import(node, File::open("/dev/null").unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.detail().contains("no sync object"), "{error}");
}
