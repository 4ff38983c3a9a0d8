//! Asks every allocator of this machine for an NV12 picture and prints what it really gave.
//!
//!     cargo run --example allocate

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::device::Device;
use darkframe::error::Result;
use darkframe::format::Fourcc;
use darkframe::layout::{Constraints, Size};

fn main() -> Result<()> {
    let device = Device::open(&Board::detect()?)?;
    // An encoder that reads whole macroblocks and wants one stride for all planes.
    let encoder = Constraints { height_align_rows: 16, derived_strides: true, ..Constraints::NONE };
    let request =
        Request::new(Size::new(1920, 1080), Fourcc::NV12).usage(Usage::SAMPLE | Usage::CPU_WRITE).constrain(encoder)?;
    for kind in AllocatorKind::ALL {
        match device.allocate(&request.clone().only(kind)) {
            Ok(buffer) => println!("{:<20} {}", buffer.provenance().allocator, buffer.layout()),
            Err(error) => println!("{kind:<20} no: {error}"),
        }
    }
    let chosen = device.allocate(&request)?;
    println!("\nthis board's choice: {}", chosen.provenance().allocator);
    for reason in &chosen.provenance().reasons {
        println!("  {reason}");
    }
    Ok(())
}
