//! What the driver checks before it touches memory. Darkframe checks all of it first; other programs may not.

use std::os::fd::AsRawFd;

use serde::{Deserialize, Serialize};

use super::{Bench, Facts, rgb, wrong};
use crate::allocator::Allocator;
use crate::egl::raw::{self, Entry};
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::Size;

/// What it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// An fd that is no dma-buf.
    NoDmaBuf,
    /// A picture larger than the memory.
    TooSmall,
    /// A format code that does not exist.
    NoFormat,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoDmaBuf, Self::TooSmall, Self::NoFormat];

    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoDmaBuf => "no-dma-buf",
            Self::TooSmall => "too-small",
            Self::NoFormat => "no-format",
        }
    }

    pub(super) const fn needs_memory(self) -> bool {
        true
    }
}

/// Gives it to the driver: it must make no image, and say why.
///
/// # Errors
/// An image was made; the refusal has no error code.
pub fn carry_out(bench: &Bench, allocator: &dyn Allocator, what: What) -> Result<Facts> {
    let buffer = rgb::allocate(allocator, Fourcc::ABGR8888, Size::new(16, 16), &[])?;
    let null = std::fs::File::open("/dev/null").map_err(|error| Error::from_io("open", "/dev/null", error))?;
    let (fd, size, fourcc) = match what {
        What::NoDmaBuf => (null.as_raw_fd(), Size::new(16, 16), Fourcc::ABGR8888),
        What::TooSmall => (buffer.plane_fd(0).as_raw_fd(), Size::new(4096, 4096), Fourcc::ABGR8888),
        What::NoFormat => (buffer.plane_fd(0).as_raw_fd(), Size::new(16, 16), Fourcc::from_chars(b"FOO0")),
    };
    const WIDTH: i32 = 0x3057;
    const HEIGHT: i32 = 0x3056;
    const FOURCC: i32 = 0x3271;
    const FD: i32 = 0x3272;
    const OFFSET: i32 = 0x3273;
    const PITCH: i32 = 0x3274;
    let attributes = [
        [WIDTH, size.width as i32],
        [HEIGHT, size.height as i32],
        [FOURCC, fourcc.0 as i32],
        [FD, fd],
        [OFFSET, 0],
        [PITCH, (size.width * 4) as i32],
    ]
    .concat();
    match raw::create_image(&bench.display, &attributes, Entry::Best) {
        Ok(_) => wrong("an image was made of it"),
        Err(error) if error == crate::egl::EglError::SUCCESS => wrong("refused without an error code"),
        Err(error) => Ok(Facts::from([("refused with".to_owned(), error.name().to_owned())])),
    }
}
