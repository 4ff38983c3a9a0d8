//! Gives a buffer to another process by fd: the child maps the same memory, writes into it, and the parent sees it.
//!
//!     cargo run --example hand_on

#![allow(unsafe_code)] // takes over standard input

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use darkframe::allocator::{Request, Usage};
use darkframe::board::Board;
use darkframe::buffer::{Access, Buffer};
use darkframe::device::Device;
use darkframe::error::{Error, Result};
use darkframe::format::Fourcc;
use darkframe::layout::{Layout, PlaneLayout, Size};

fn main() -> Result<()> {
    match std::env::args().nth(1) {
        None => parent(),
        Some(stride) => child(&stride),
    }
}

const SIZE: Size = Size::new(64, 64);

fn parent() -> Result<()> {
    let device = Device::open(&Board::detect()?)?;
    let buffer = device.allocate(&Request::new(SIZE, Fourcc::ABGR8888).usage(Usage::CPU_READ | Usage::CPU_WRITE))?;
    // Format, size, modifier, strides and offsets must travel with the fd. A fresh copy of the fd has no close-on-exec.
    let stride = buffer.layout().planes()[0].stride_bytes;
    let failed = |what: &'static str| move |error| Error::from_io(what, "the child", error);
    let status = Command::new(std::env::current_exe().map_err(failed("current_exe"))?)
        .arg(stride.to_string())
        // The child finds the memory as its standard input: no fd number to agree on.
        .stdin(buffer.plane_fd(0).try_clone_to_owned().map_err(failed("dup"))?)
        .status()
        .map_err(failed("exec"))?;
    let first = buffer.map(Access::Read)?.row(0, 0)[..4].to_vec();
    println!("{} of {}: the child ({status}) wrote {first:?}", buffer.layout(), buffer.provenance().allocator);
    Ok(())
}

fn child(stride: &str) -> Result<()> {
    let stride_bytes =
        stride.parse().map_err(|_| Error::invalid("argument", format!("\"{stride}\": a stride in bytes")))?;
    let plane = PlaneLayout { offset_bytes: 0, stride_bytes };
    let layout = Layout::new(Fourcc::ABGR8888, SIZE, darkframe::format::Modifier::LINEAR, &[plane])?;
    let stdin = std::io::stdin().as_raw_fd();
    // SAFETY: this process owns its standard input and uses it for nothing else.
    let fd = unsafe { OwnedFd::from_raw_fd(stdin) };
    // Checked before anything touches it: a dma-buf or sealed memfd, large enough for the layout.
    let buffer = Buffer::from_fds(layout, vec![fd])?;
    buffer.map(Access::Write)?.plane_mut(0)[..4].copy_from_slice(b"Hi!\xff");
    Ok(())
}
