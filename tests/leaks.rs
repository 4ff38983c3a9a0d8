//! Nothing leaks fds. One test in this file: others in the same process would open and close fds meanwhile.

mod common;

use std::os::fd::AsFd;

use common::open_fds;
use darkframe::allocator::Request;
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::Buffer;
use darkframe::device::Device;
use darkframe::error::ErrorKind;
use darkframe::format::Fourcc;
use darkframe::layout::{Constraints, Layout, Size};

#[test]
fn ten_thousand_failing_imports_leak_no_fd() {
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
