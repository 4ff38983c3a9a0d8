//! What travels with a frame beside its pixels: names and typed values, in a block that a receiver may skip.
//!
//! In: values. Out: the bytes of a block, and back. Not here: sockets (`unixfd`).
//!
//! A block is little-endian: `u16 version` (1), `u16 entries`, then per entry `u16 type`, `u16 name_len`,
//! `u32 value_len`, the name (UTF-8), the value. Types that a reader does not know are skipped by their length, and a
//! block of another version is skipped whole, so both may grow.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Version of the block that this crate writes.
const VERSION: u16 = 1;

/// The largest block accepted.
pub const MAX_BLOCK_BYTES: usize = 32 * 1024;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number, not negative.
    Unsigned(u64),
    /// A whole number.
    Signed(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes of whatever meaning.
    Bytes(Vec<u8>),
}

impl Value {
    fn encode(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Unsigned(value) => (1, value.to_le_bytes().to_vec()),
            Self::Signed(value) => (2, value.to_le_bytes().to_vec()),
            Self::Float(value) => (3, value.to_le_bytes().to_vec()),
            Self::Text(value) => (4, value.as_bytes().to_vec()),
            Self::Bytes(value) => (5, value.clone()),
        }
    }

    /// `None` for a type that is not known.
    fn decode(kind: u16, bytes: &[u8]) -> Result<Option<Self>> {
        let eight = || {
            <[u8; 8]>::try_from(bytes)
                .map_err(|_| Error::invalid("metadata", format!("type {kind}: {} bytes, it has 8", bytes.len())))
        };
        Ok(Some(match kind {
            1 => Self::Unsigned(u64::from_le_bytes(eight()?)),
            2 => Self::Signed(i64::from_le_bytes(eight()?)),
            3 => Self::Float(f64::from_le_bytes(eight()?)),
            4 => Self::Text(
                String::from_utf8(bytes.to_vec()).map_err(|_| Error::invalid("metadata", "text that is not UTF-8"))?,
            ),
            5 => Self::Bytes(bytes.to_vec()),
            _ => return Ok(None),
        }))
    }
}

/// Names and values, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(pub BTreeMap<String, Value>);

impl Metadata {
    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of a block.
    ///
    /// # Errors
    /// `InvalidInput` where it is larger than [`MAX_BLOCK_BYTES`] or a name is longer than 65535 bytes.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let too_large = || Error::invalid("metadata", format!("a block has at most {MAX_BLOCK_BYTES} bytes"));
        let mut block = VERSION.to_le_bytes().to_vec();
        block.extend(u16::try_from(self.0.len()).map_err(|_| too_large())?.to_le_bytes());
        for (name, value) in &self.0 {
            let (kind, bytes) = value.encode();
            block.extend(kind.to_le_bytes());
            block.extend(u16::try_from(name.len()).map_err(|_| too_large())?.to_le_bytes());
            block.extend(u32::try_from(bytes.len()).map_err(|_| too_large())?.to_le_bytes());
            block.extend(name.as_bytes());
            block.extend(bytes);
        }
        if block.len() > MAX_BLOCK_BYTES { Err(too_large()) } else { Ok(block) }
    }

    /// Reads a block. One of another version is empty.
    ///
    /// # Errors
    /// `InvalidInput`: lengths that reach past the end, a known type of the wrong size, a name that is no text.
    pub fn decode(block: &[u8]) -> Result<Self> {
        let mut rest = block;
        let mut take = |bytes: usize, what: &str| -> Result<&[u8]> {
            let (taken, left) = rest.split_at_checked(bytes).ok_or_else(|| {
                Error::invalid("metadata", format!("{what}: {bytes} bytes, the block has {} left", rest.len()))
            })?;
            rest = left;
            Ok(taken)
        };
        let head = take(4, "head")?;
        let u16_at = |bytes: &[u8], at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        if u16_at(head, 0) != VERSION {
            return Ok(Self::default());
        }
        let mut values = BTreeMap::new();
        for _ in 0..u16_at(head, 2) {
            let entry = take(8, "entry")?;
            let value_bytes = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            let (kind, name_bytes) = (u16_at(entry, 0), u16_at(entry, 2));
            let name = take(usize::from(name_bytes), "name")?;
            let name = std::str::from_utf8(name).map_err(|_| Error::invalid("metadata", "a name that is not UTF-8"))?;
            let value = take(usize::try_from(value_bytes).unwrap_or(usize::MAX), name)?;
            if let Some(value) = Value::decode(kind, value)? {
                values.insert(name.to_owned(), value);
            }
        }
        Ok(Self(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_five_types_byte_by_byte() {
        let mut metadata = Metadata::default();
        metadata.0.insert("g".into(), Value::Float(1.5));
        metadata.0.insert("n".into(), Value::Unsigned(7));
        let block = metadata.encode().unwrap();
        assert_eq!(
            block,
            [
                &[1, 0, 2, 0][..],
                &[3, 0, 1, 0, 8, 0, 0, 0, b'g', 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
                &[1, 0, 1, 0, 8, 0, 0, 0, b'n', 7, 0, 0, 0, 0, 0, 0, 0],
            ]
            .concat()
        );
        assert_eq!(Metadata::decode(&block).unwrap(), metadata);
    }

    #[test]
    fn later_versions_and_types_are_skipped() {
        assert!(Metadata::decode(&[2, 0, 255, 255, 1]).unwrap().is_empty());
        let block = [&[1, 0, 2, 0][..], &[99, 0, 1, 0, 2, 0, 0, 0, b'x', 1, 2], &[4, 0, 1, 0, 1, 0, 0, 0, b't', b'a']];
        let read = Metadata::decode(&block.concat()).unwrap();
        assert_eq!(read.0.into_iter().collect::<Vec<_>>(), [("t".to_owned(), Value::Text("a".into()))]);
    }

    #[test]
    fn lengths_past_the_end_are_refused() {
        for block in [
            &[1, 0][..],
            &[1, 0, 1, 0],
            &[1, 0, 1, 0, 1, 0, 9, 0, 8, 0, 0, 0, b'x'],
            &[1, 0, 1, 0, 5, 0, 1, 0, 255, 255, 255, 255, b'x', 0],
        ] {
            assert!(Metadata::decode(block).is_err(), "{block:?}");
        }
        let mut large = Metadata::default();
        large.0.insert("x".into(), Value::Bytes(vec![0; MAX_BLOCK_BYTES]));
        assert!(large.encode().is_err());
    }
}
