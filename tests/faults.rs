//! Bad input at the border: every case ends in an error that names the call, the numbers and the rule, before any
//! driver sees it. Numbers in the names are those of the conformance list in ARCHITECTURE.md.

#![allow(unsafe_code)] // one signal handler

mod common;

use std::os::fd::{AsFd, OwnedFd};

use common::{demanded, or_skip};
use darkframe::allocator::heap::DmaHeap;
use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer};
use darkframe::device::{Device, DrmNode};
use darkframe::error::{ErrorKind, Result};
use darkframe::fence::Fence;
use darkframe::format::{Fourcc, Modifier};
use darkframe::layout::{Constraints, Layout, PlaneLayout, Size};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

const SIZE: Size = Size::new(64, 64);

fn device() -> Device {
    Device::open(&Board::generic()).unwrap()
}

fn rgba() -> Layout {
    Layout::linear(Fourcc::ABGR8888, SIZE, &Constraints::NONE).unwrap()
}

fn memfd(bytes: u64, seals: SealFlag) -> OwnedFd {
    let fd = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    nix::unistd::ftruncate(&fd, bytes as i64).unwrap();
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    fd
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, words: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "\"{word}\" is not in: {error}");
    }
}

/// A24: an fd that is no dma-buf. (-1 and closed fds cannot be written: `OwnedFd` excludes them.)
#[test]
fn a24_other_files_are_no_buffers() {
    let file: OwnedFd = std::fs::File::open("/proc/self/exe").unwrap().into();
    refused(Buffer::from_fds(rgba(), vec![file]), &["neither a dma-buf nor a sealed memfd", "F_SEAL_SHRINK"]);
    let (pipe, _other) = std::io::pipe().unwrap();
    refused(Buffer::from_fds(rgba(), vec![pipe.into()]), &["pipe:"]);
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    refused(Buffer::from_fds(rgba(), vec![socket.into()]), &["socket:"]);
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    refused(Buffer::from_fds(rgba(), vec![stdout]), &["neither a dma-buf"]);
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    refused(Buffer::from_fds(rgba(), vec![null]), &["/dev/null"]);
}

/// A foreign memfd is sealed by us where it lets us, and refused where it may still shrink.
#[test]
fn a24_a_memfd_that_may_shrink_is_sealed_or_refused() {
    let open = memfd(16_384, SealFlag::empty());
    let alias = open.try_clone().unwrap();
    let buffer = Buffer::from_fds(rgba(), vec![open]).unwrap();
    assert!(nix::unistd::ftruncate(&alias, 0).is_err(), "must be sealed now");
    drop(buffer.map(Access::Read).unwrap());

    let stubborn = memfd(16_384, SealFlag::F_SEAL_SEAL);
    let alias = stubborn.try_clone().unwrap();
    refused(Buffer::from_fds(rgba(), vec![stubborn]), &["may shrink", "Buffer::copy_from"]);
    // The way that the error names: read it, do not map it.
    nix::sys::uio::pwrite(&alias, &[7; 16_384], 0).unwrap();
    let copy = Buffer::copy_from(rgba(), &alias).unwrap();
    nix::unistd::ftruncate(&alias, 0).unwrap();
    assert!(copy.map(Access::Read).unwrap().plane(0).iter().all(|byte| *byte == 7));
    refused(Buffer::copy_from(rgba(), &alias), &["ends at byte 0", "16384"]);
}

/// A25: memory shorter than the layout; offsets past it; numbers that wrap.
#[test]
fn a25_layouts_stay_inside_their_memory() {
    let sealed = || memfd(16_384, SealFlag::F_SEAL_SHRINK);
    drop(Buffer::from_fds(rgba(), vec![sealed()]).unwrap());
    let one_row_more = Layout::linear(Fourcc::ABGR8888, Size::new(64, 65), &Constraints::NONE).unwrap();
    refused(Buffer::from_fds(one_row_more, vec![sealed()]), &["plane 0", "ends at byte 16640", "has 16384"]);
    let at = |offset_bytes, stride_bytes| {
        Layout::new(Fourcc::ABGR8888, SIZE, Modifier::LINEAR, &[PlaneLayout { offset_bytes, stride_bytes }])
    };
    refused(Buffer::from_fds(at(16_385, 256).unwrap(), vec![sealed()]), &["offset_bytes 16385"]);
    refused(at(u64::MAX - 255, 256), &["does not fit 63 bits"]);
    refused(at(0, 255), &["stride_bytes 255", "256 bytes"]);
    refused(at(i64::MAX as u64, 256), &["does not fit 63 bits"]);
    for size in [Size::new(0, 1), Size::new(1, 0), Size::new(0x7fff_ffff, 1), Size::new(u32::MAX, u32::MAX)] {
        refused(Layout::linear(Fourcc::NV12, size, &Constraints::MALI), &["1 to 65536"]);
    }
}

/// A07-A12 and A26: planes that the format has not, and too few. (One modifier for all planes is in the type.)
#[test]
fn a07_the_number_of_planes_is_the_formats() {
    let plane = PlaneLayout { offset_bytes: 0, stride_bytes: 256 };
    refused(Layout::new(Fourcc::ABGR8888, SIZE, Modifier::LINEAR, &[plane; 2]), &["2 planes given, the format has 1"]);
    refused(Layout::new(Fourcc::NV12, SIZE, Modifier::LINEAR, &[plane]), &["1 planes given, the format has 2"]);
    refused(Layout::new(Fourcc::NV12, SIZE, Modifier::LINEAR, &[]), &["1 to 4"]);
    refused(Layout::new(Fourcc::NV12, SIZE, Modifier(0x0800_0000_0000_0051), &[plane; 5]), &["1 to 4"]);
    let nv12 = Layout::linear(Fourcc::NV12, SIZE, &Constraints::NONE).unwrap();
    let fds = (0..3).map(|_| memfd(16_384, SealFlag::F_SEAL_SHRINK)).collect();
    refused(Buffer::from_fds(nv12, fds), &["3 fds given"]);
}

/// A19, A20: formats that do not exist.
#[test]
fn a19_unknown_formats() {
    for code in [Fourcc::from_chars(b"FOO0"), Fourcc(0), Fourcc(Fourcc::ABGR8888.0 | 1 << 31)] {
        let error = Layout::linear(code, SIZE, &Constraints::NONE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("not in the format table"), "{error}");
    }
}

/// D01: what the kernel refuses of dumb buffers comes with our numbers; memory survives its handle (see allocators.rs).
#[test]
fn d01_dumb_too_large() {
    let device = device();
    let Some(allocators) = or_skip("dumb", device.allocators(AllocatorKind::Dumb)) else { return };
    for allocator in allocators {
        let huge = Request::new(Size::new(65_536, 65_536), Fourcc::ABGR16161616);
        let error = allocator.allocate(&huge).unwrap_err();
        assert!(error.to_string().contains("65536x65536"), "{error}");
    }
}

/// D02: names that are no heaps; lengths are rounded up to pages; freed memory comes back zeroed.
#[test]
fn d02_dma_heaps() {
    for name in ["", "..", "../udmabuf", "/dev/null"] {
        refused(DmaHeap::open(name), &["no heap name"]);
    }
    let error = DmaHeap::open("sistem").unwrap_err();
    assert!(error.to_string().contains("heaps on this machine"), "{error}");
    let device = device();
    let Some(allocators) = or_skip("dma-heap", device.allocators(AllocatorKind::DmaHeap)) else { return };
    for allocator in allocators {
        let request = Request::new(Size::new(100, 10), Fourcc::R8).usage(Usage::CPU_WRITE);
        let buffer = allocator.allocate(&request).unwrap();
        assert_eq!(buffer.plane_object_bytes(0) % 4096, 0);
        drop(buffer);
        for _ in 0..32 {
            let buffer = allocator.allocate(&request).unwrap();
            let mut map = buffer.map(Access::ReadWrite).unwrap();
            assert!(map.plane(0).iter().all(|byte| *byte == 0), "{}: not zeroed", allocator.name());
            map.plane_mut(0).fill(0xff);
        }
    }
}

/// D03: the size limit of the driver is named.
#[test]
fn d03_udmabuf_size_limit() {
    let device = device();
    let Some(allocators) = or_skip("udmabuf", device.allocators(AllocatorKind::Udmabuf)) else { return };
    // 8192 x 4096 x 4 bytes is 128 MiB; the limit is 64 MiB by default.
    let error = allocators[0].allocate(&Request::new(Size::new(8192, 4096), Fourcc::ABGR8888)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("134217728 bytes") && error.to_string().contains("size_limit_mb"), "{error}");
}

/// D04: GBM refuses what it has not, and LINEAR is honoured.
#[test]
fn d04_gbm() {
    let device = device();
    let Some(allocators) = or_skip("gbm", device.allocators(AllocatorKind::Gbm)) else { return };
    let mut made = 0;
    for allocator in allocators {
        let tiled = Request::new(SIZE, Fourcc::ABGR8888).modifiers([Modifier(0x00ff_ffff_ffff_fffe)]);
        assert_eq!(allocator.allocate(&tiled).unwrap_err().kind(), ErrorKind::Unsupported);
        let packed = Request::new(SIZE, Fourcc::NV30);
        assert_eq!(allocator.allocate(&packed).unwrap_err().kind(), ErrorKind::Unsupported);
        let linear =
            Request::new(SIZE, Fourcc::XRGB8888).modifiers([Modifier::LINEAR]).usage(Usage::CPU_WRITE | Usage::RENDER);
        match allocator.allocate(&linear) {
            Ok(buffer) => {
                assert_eq!(buffer.layout().modifier, Modifier::LINEAR);
                assert_eq!(buffer.layout().planes().len(), 1);
                made += 1;
            }
            // A software driver makes dumb buffers, which the kernel refuses to a render node: it must say so.
            Err(error) => assert!(error.to_string().contains("need the primary node"), "{error}"),
        }
    }
    assert!(made > 0 || !demanded("gbm"), "no GBM device could make XRGB8888");
}

/// D05: CPU access goes on under a storm of signals (the ioctl is restarted on EINTR).
#[test]
fn d05_signals_do_not_break_cpu_access() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SIGNALS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }
    let device = device();
    let request = Request::new(SIZE, Fourcc::ABGR8888).usage(Usage::CPU_READ | Usage::CPU_WRITE);
    let buffer = device.allocate(&request).unwrap();
    // SAFETY: the handler only adds to an atomic; without SA_RESTART system calls are interrupted.
    unsafe {
        let action = nix::sys::signal::SigAction::new(
            nix::sys::signal::SigHandler::Handler(count),
            nix::sys::signal::SaFlags::empty(),
            nix::sys::signal::SigSet::empty(),
        );
        nix::sys::signal::sigaction(nix::sys::signal::Signal::SIGUSR1, &action).unwrap();
    }
    let me = nix::sys::pthread::pthread_self();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let storm = std::thread::spawn({
        let done = done.clone();
        move || {
            while !done.load(Ordering::Relaxed) {
                nix::sys::pthread::pthread_kill(me, nix::sys::signal::Signal::SIGUSR1).unwrap();
                std::thread::yield_now();
            }
        }
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut round = 0u32;
    while round < 2000 || SIGNALS.load(Ordering::Relaxed) < 100 {
        buffer.map(Access::ReadWrite).unwrap().plane_mut(0)[0] = round as u8;
        assert_eq!(buffer.map(Access::Read).unwrap().plane(0)[0], round as u8);
        assert!(std::time::Instant::now() < deadline, "only {SIGNALS:?} signals in 20 s");
        round += 1;
    }
    done.store(true, Ordering::Relaxed);
    storm.join().unwrap();
}

/// E02, E03: what is no fence is refused; memfds have none.
#[test]
fn e03_fences() {
    let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    refused(Fence::from_fd(file), &["SYNC_IOC_FILE_INFO", "no sync_file"]);
    refused(Fence::from_fd(memfd(4096, SealFlag::F_SEAL_SHRINK)), &["no sync_file"]);
    let memfd = device().allocate(&Request::new(SIZE, Fourcc::R8).only(AllocatorKind::Memfd)).unwrap();
    assert_eq!(memfd.export_fence(Access::Read).unwrap_err().kind(), ErrorKind::Unsupported);

    let request = Request::new(SIZE, Fourcc::ABGR8888).require_dma_buf();
    let Some(buffer) = or_skip("dma-buf", device().allocate(&request)) else { return };
    let Some(fence) = or_skip("DMA_BUF_IOCTL_EXPORT_SYNC_FILE", buffer.export_fence(Access::ReadWrite)) else { return };
    assert!(fence.is_signaled().unwrap(), "nothing is pending on a new buffer");
    fence.wait(Some(std::time::Duration::ZERO)).unwrap();
    let both = fence.merge(&fence).unwrap();
    both.wait(None).unwrap();
    buffer.import_fence(&both, Access::Write).unwrap();
}

/// A missing node and a node that is none.
#[test]
fn missing_nodes_say_what_is_there() {
    let error = DrmNode::open("/dev/dri/card99").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(DrmNode::open("/dev/null").unwrap_err().kind(), ErrorKind::Unsupported);
    let mut board = Board::generic();
    board.drm.render = Some("panfrots".into());
    let error = Device::open(&board).unwrap_err();
    assert!(error.to_string().contains("\"panfrots\" is not on this machine; there is "), "{error}");
}
