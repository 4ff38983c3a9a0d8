//! Every allocator on this machine: layout as demanded, zeroed, mapped, shared, alive by fd alone.

mod common;

use common::{demanded, or_skip};
use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer, Memory};
use darkframe::device::Device;
use darkframe::error::ErrorKind;
use darkframe::format::{Fourcc, Modifier};
use darkframe::layout::{Constraints, Size};

fn device() -> Device {
    Device::open(&Board::generic()).unwrap()
}

/// Runs `case` with one buffer of each allocator that is there.
fn each_allocator(fourcc: Fourcc, size: Size, case: impl Fn(AllocatorKind, Buffer)) {
    let device = device();
    for kind in AllocatorKind::ALL {
        if let Err(error) = device.allocators(kind) {
            or_skip::<()>(&kind.to_string(), Err(error));
            continue;
        }
        let mut made = 0;
        for allocator in device.allocators(kind).unwrap() {
            let mut request =
                Request::new(size, fourcc).usage(Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ | Usage::CPU_WRITE);
            request.constraints = Constraints::MALI;
            match allocator.allocate(&request) {
                Ok(buffer) => {
                    case(kind, buffer);
                    made += 1;
                }
                // GBM makes what its driver renders or samples, and no more: planar video is not among it everywhere.
                Err(error) if error.kind() == ErrorKind::Unsupported && kind == AllocatorKind::Gbm => {
                    println!("{} makes no {fourcc}: {error}", allocator.name());
                }
                Err(error) => panic!("{}: {error:?}", allocator.name()),
            }
        }
        assert!(made > 0 || fourcc != Fourcc::ABGR8888 || !demanded(&kind.to_string()), "{kind} made no {fourcc}");
    }
}

#[test]
fn memory_is_what_it_says() {
    each_allocator(Fourcc::ABGR8888, Size::new(64, 48), |kind, buffer| {
        let expected = if kind == AllocatorKind::Memfd { Memory::SealedMemfd } else { Memory::DmaBuf };
        assert_eq!(buffer.memory(), expected, "{kind}: {}", common::fd_name(buffer.plane_fd(0)));
    });
    assert!(!demanded("gpu") || !device().nodes().is_empty());
}

#[test]
fn layouts_keep_the_alignments_of_mali() {
    for (fourcc, size) in [
        (Fourcc::ABGR8888, Size::new(637, 479)),
        (Fourcc::XRGB8888, Size::new(1, 1)),
        (Fourcc::RGB565, Size::new(33, 7)),
        (Fourcc::R8, Size::new(100, 100)),
        (Fourcc::NV12, Size::new(1918, 1078)),
        (Fourcc::YUV420, Size::new(176, 144)),
        (Fourcc::P010, Size::new(64, 64)),
    ] {
        each_allocator(fourcc, size, |kind, buffer| {
            let layout = buffer.layout();
            assert_eq!(layout.modifier, Modifier::LINEAR, "{kind}");
            for (index, plane) in layout.planes().iter().enumerate() {
                assert_eq!(plane.stride_bytes % 64, 0, "{kind} {layout}");
                assert_eq!(plane.offset_bytes % 64, 0, "{kind} {layout}");
                // lima: a render target needs align(width, 16) * cpp a row and align(height, 16) rows.
                let bytes = layout.format().planes[index].row_bytes(size.width.next_multiple_of(16));
                assert!(u64::from(plane.stride_bytes) >= bytes, "{kind} {layout}");
            }
            let rows = u64::from(size.height.next_multiple_of(16));
            assert!(
                buffer.plane_object_bytes(0) >= rows * u64::from(layout.planes()[0].stride_bytes),
                "{kind} {layout}"
            );
        });
    }
}

#[test]
fn new_memory_is_zero_and_keeps_what_is_written() {
    each_allocator(Fourcc::ABGR8888, Size::new(70, 50), |kind, buffer| {
        {
            let mut map = buffer.map(Access::ReadWrite).unwrap_or_else(|error| panic!("{kind}: {error:?}"));
            assert!(map.plane(0).iter().all(|byte| *byte == 0), "{kind}: not zeroed");
            for (at, byte) in map.plane_mut(0).iter_mut().enumerate() {
                *byte = (at % 251) as u8;
            }
        }
        let map = buffer.map(Access::Read).unwrap();
        assert!(map.plane(0).iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8), "{kind}");
    });
}

#[test]
fn memory_lives_by_fd_alone() {
    each_allocator(Fourcc::ABGR8888, Size::new(64, 64), |kind, buffer| {
        buffer.map(Access::Write).unwrap().plane_mut(0).fill(0xa5);
        let fd = buffer.plane_fd(0).try_clone_to_owned().unwrap();
        let (layout, id) = (buffer.layout().clone(), buffer.ids().collect::<Vec<_>>());
        // Every handle of ours goes: mapping, GEM handle, buffer object.
        drop(buffer);
        let again = Buffer::from_fds(layout, vec![fd]).unwrap();
        assert_eq!(again.ids().collect::<Vec<_>>(), id, "{kind}: identity must follow the memory");
        match again.map(Access::Read) {
            Ok(map) => assert!(map.plane(0).iter().all(|byte| *byte == 0xa5), "{kind}"),
            Err(error) => drop(or_skip::<()>("map a received fd", Err(error))),
        }
    });
}

#[test]
fn one_writer_or_many_readers() {
    let buffer = device().allocate(&Request::new(Size::new(8, 8), Fourcc::R8).only(AllocatorKind::Memfd)).unwrap();
    let first = buffer.map(Access::Read).unwrap();
    let second = buffer.clone();
    let reader = second.map(Access::Read).unwrap();
    assert!(buffer.map(Access::Write).unwrap_err().to_string().contains("2 readers"));
    drop((first, reader));
    let writer = buffer.map(Access::Write).unwrap();
    assert_eq!(buffer.map(Access::Read).unwrap_err().kind(), ErrorKind::InvalidInput);
    drop(writer);
    drop(buffer.map(Access::Write).unwrap());
}

#[test]
fn allocate_says_why() {
    let request = Request::new(Size::new(320, 240), Fourcc::ABGR8888).usage(Usage::CPU_WRITE | Usage::SAMPLE);
    let buffer = device().allocate(&request).unwrap();
    let provenance = buffer.provenance();
    println!("{}: {:#?}", provenance.allocator, provenance.reasons);
    let last = provenance.reasons.last().unwrap();
    assert!(
        last.starts_with("asked for ABGR8888 320x240") && last.contains("got ABGR8888 320x240 LINEAR [0+1280]"),
        "{last}"
    );
    if provenance.allocator == "memfd" {
        assert_eq!(provenance.reasons.len(), 5, "each of the four before must have said why not");
    }
}

#[test]
fn hardware_gets_no_memfd() {
    let request = Request::new(Size::new(64, 64), Fourcc::NV12).usage(Usage::VIDEO).only(AllocatorKind::Memfd);
    let error = device().allocate(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("hardware needs a dma-buf"), "{error}");
    let request = Request::new(Size::new(64, 64), Fourcc::NV12).only(AllocatorKind::Memfd).require_dma_buf();
    assert_eq!(device().allocate(&request).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn impossible_requests_are_refused_before_any_node() {
    let device = device();
    for size in [Size::new(0, 0), Size::new(0, 64), Size::new(64, 0), Size::new(0x7fff_ffff, 1), Size::new(1, 65_537)] {
        let error = device.allocate(&Request::new(size, Fourcc::ABGR8888)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let error = device.allocate(&Request::new(Size::new(64, 64), Fourcc(0))).unwrap_err();
    assert!(error.to_string().contains("not in the format table"), "{error}");
    let tiled = Request::new(Size::new(64, 64), Fourcc::ABGR8888)
        .modifiers([Modifier::ARM_16X16_BLOCK_U_INTERLEAVED])
        .only(AllocatorKind::Memfd);
    let error = device.allocate(&tiled).unwrap_err();
    assert!(error.to_string().contains("ARM_16X16_BLOCK_U_INTERLEAVED"), "{error}");
    // More bytes than any machine has.
    let huge = Request::new(Size::new(65_536, 65_536), Fourcc::ABGR16161616).only(AllocatorKind::Udmabuf);
    let error = device.allocate(&huge).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
