//! Frames that carry their number in all of their pixels, and waiting for what others bring about.

use std::time::{Duration, Instant};

use darkframe::buffer::{Access, Buffer};

/// An emulated processor is slow.
const LONG: Duration = Duration::from_secs(90);

/// One byte of frame `number`: differs in every frame, plane, row and column.
pub fn byte(number: u64, plane: usize, row: u32, column: usize) -> u8 {
    let mixed = (number as u32)
        .wrapping_mul(0x9E37_79B1)
        .wrapping_add((plane as u32).wrapping_mul(0x85EB_CA6B))
        .wrapping_add(row.wrapping_mul(0xC2B2_AE35))
        .wrapping_add((column as u32).wrapping_mul(0x27D4_EB2F));
    (mixed ^ (mixed >> 15)).to_be_bytes()[1]
}

/// Writes frame `number`.
pub fn fill(buffer: &Buffer, number: u64) {
    let mut map = buffer.map(Access::Write).unwrap();
    let layout = buffer.layout().clone();
    for (index, plane) in layout.planes().iter().enumerate() {
        let bytes = map.plane_mut(index);
        for row in 0..layout.rows(index) {
            let start = plane.stride_bytes as usize * row as usize;
            for column in 0..layout.row_bytes(index) as usize {
                bytes[start + column] = byte(number, index, row, column);
            }
        }
    }
}

/// Fails unless it is frame `number`, to the byte.
#[track_caller]
pub fn check(buffer: &Buffer, number: u64) {
    let map = buffer.map(Access::Read).unwrap();
    let layout = buffer.layout();
    for index in 0..layout.planes().len() {
        for row in 0..layout.rows(index) {
            for (column, got) in map.row(index, row).iter().enumerate() {
                let expected = byte(number, index, row, column);
                assert_eq!(*got, expected, "frame {number}, plane {index}, row {row}, byte {column}");
            }
        }
    }
}

/// Waits for what another thread or process brings about.
#[track_caller]
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
