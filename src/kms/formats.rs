//! Which formats a plane shows with which modifiers: the blob `IN_FORMATS`.
//!
//! In: bytes of the kernel. Out: pairs.
//!
//! # References
//! `struct drm_format_modifier_blob` in `include/uapi/drm/drm_mode.h`

use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};

/// Every format with each of its modifiers.
///
/// # Errors
/// `Failed` where the blob ends before what it says it has.
pub(super) fn read(blob: &[u8]) -> Result<Vec<(Fourcc, Modifier)>> {
    let short = || Error::failed("IN_FORMATS", format!("the blob ends early, after {} bytes", blob.len()));
    let word = |at: usize| -> Result<u32> {
        let bytes = blob.get(at..at.checked_add(4).ok_or_else(short)?).ok_or_else(short)?;
        Ok(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let wide = |at: usize| -> Result<u64> {
        let (low, high) = (u64::from(word(at)?), u64::from(word(at + 4)?));
        Ok(if cfg!(target_endian = "little") { high << 32 | low } else { low << 32 | high })
    };
    let (count, formats) = (word(8)? as usize, word(12)? as usize);
    let (modifier_count, modifiers) = (word(16)? as usize, word(20)? as usize);
    let mut pairs = Vec::new();
    for index in 0..modifier_count.min(4096) {
        let at = modifiers + index * 24;
        let (mask, offset, modifier) = (wide(at)?, word(at + 8)? as usize, Modifier(wide(at + 16)?));
        for bit in (0..64).filter(|bit| mask >> bit & 1 == 1) {
            let format = offset + bit;
            if format < count {
                pairs.push((Fourcc(word(formats + format * 4)?), modifier));
            }
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [1u32, 0, 2, 24, 2, 32] {
            bytes.extend(word.to_ne_bytes());
        }
        for fourcc in [Fourcc::XRGB8888, Fourcc::NV12] {
            bytes.extend(fourcc.0.to_ne_bytes());
        }
        for (mask, modifier) in [(0b11u64, 0u64), (0b10, 0x0800_0000_0000_0051)] {
            bytes.extend(mask.to_ne_bytes());
            bytes.extend([0; 8]);
            bytes.extend(modifier.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn formats_and_their_modifiers() {
        let pairs = read(&blob()).unwrap();
        let afbc = Modifier(0x0800_0000_0000_0051);
        assert_eq!(
            pairs,
            [(Fourcc::XRGB8888, Modifier::LINEAR), (Fourcc::NV12, Modifier::LINEAR), (Fourcc::NV12, afbc)]
        );
    }

    #[test]
    fn a_blob_that_ends_early_is_an_error() {
        let whole = blob();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}
