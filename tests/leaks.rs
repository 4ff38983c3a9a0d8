//! Nothing leaks fds. One test in this file: others in the same process would open and close fds meanwhile.

mod common;

use std::os::fd::{AsFd, AsRawFd};

use common::{gpu_display, open_fds};
use darkframe::allocator::Request;
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::Buffer;
use darkframe::device::Device;
use darkframe::egl::raw::{Entry, create_image};
use darkframe::egl::{Image, ImportOptions, UseModifier};
use darkframe::error::ErrorKind;
use darkframe::format::{Fourcc, Modifier};
use darkframe::layout::{Constraints, Layout, PlaneLayout, Size};

/// C08, what the wrapper refuses.
fn refused_by_the_wrapper() {
    let layout = Layout::linear(Fourcc::ABGR8888, Size::new(64, 64), &Constraints::NONE).unwrap();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let (pipe, _other) = std::io::pipe().unwrap();
    let small = Device::open(&Board::generic())
        .unwrap()
        .allocate(&Request::new(Size::new(4, 4), Fourcc::R8).only(AllocatorKind::Memfd))
        .unwrap();
    let before = open_fds();
    for round in 0..10_000 {
        let fd = match round % 3 {
            0 => file.as_fd().try_clone_to_owned().unwrap(),
            1 => pipe.as_fd().try_clone_to_owned().unwrap(),
            _ => small.plane_fd(0).try_clone_to_owned().unwrap(),
        };
        assert_eq!(Buffer::from_fds(layout.clone(), vec![fd]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(open_fds(), before);
}

/// C08, what the driver refuses.
fn refused_by_the_driver() {
    let Some((_device, display, buffer)) = gpu_display(Fourcc::ARGB8888, Size::new(64, 64)) else { return };
    let plane = buffer.layout().planes()[0];
    // Width, height, fourcc, fd, offset, pitch.
    let attributes = |fourcc: u32, fd: i32, pitch: u32| {
        vec![0x3057, 64, 0x3056, 64, 0x3271, fourcc as i32, 0x3272, fd, 0x3273, 0, 0x3274, pitch as i32]
    };
    let fd = buffer.plane_fd(0).as_raw_fd();
    let broken = [
        attributes(0, fd, plane.stride_bytes),
        attributes(Fourcc::ARGB8888.0, fd, 0),
        attributes(Fourcc::ARGB8888.0, -1, plane.stride_bytes),
    ];
    let tiled = Layout::new(
        Fourcc::ARGB8888,
        Size::new(64, 64),
        Modifier(0x00ff_ffff_ffff_fffe),
        &[PlaneLayout { offset_bytes: 0, stride_bytes: 256 }],
    );
    let tiled = Buffer::from_fds(tiled.unwrap(), vec![buffer.plane_fd(0).try_clone_to_owned().unwrap()]).unwrap();
    let options = ImportOptions { modifier: UseModifier::Explicit, ..ImportOptions::default() };
    let before = open_fds();
    for round in 0..10_000 {
        assert!(create_image(&display, &broken[round % broken.len()], Entry::Best).is_err());
        assert!(Image::import_with(&display, &tiled, &options).is_err());
    }
    assert_eq!(open_fds(), before);
}

#[test]
fn ten_thousand_failing_imports_leak_no_fd() {
    refused_by_the_wrapper();
    refused_by_the_driver();
}
