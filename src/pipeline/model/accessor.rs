//! Numbers of a glTF file: accessors, dense and sparse, each read checked against the bytes that are there.
//!
//! In: an accessor. Out: floats or indices. The gltf crate's own readers take the numbers of a file for right, and end
//! the process where they are not. Not here: which accessor is what (`document`).

use std::cell::Cell;
use std::path::Path;

use gltf::Accessor;
use gltf::accessor::{DataType, Dimensions};
use gltf::json;

use crate::error::Result;

use super::{MAX_CORNERS, buffers, invalid, too_much};

/// The numbers of a file.
pub(super) struct Numbers<'a> {
    pub(super) path: &'a Path,
    pub(super) root: &'a json::Root,
    pub(super) buffers: &'a [Vec<u8>],
    /// Elements that may still be read: a file may name the same accessor without end.
    pub(super) left: Cell<usize>,
}

impl<'a> Numbers<'a> {
    pub(super) fn new(path: &'a Path, root: &'a json::Root, buffers: &'a [Vec<u8>]) -> Self {
        Self { path, root, buffers, left: Cell::new(4 * MAX_CORNERS) }
    }

    /// The elements as floats, one after the other; `sizes` are the numbers of components that are right here.
    pub(super) fn floats(&self, accessor: &Accessor<'_>, what: &str, sizes: &[usize]) -> Result<(usize, Vec<f32>)> {
        let components = match accessor.dimensions() {
            Dimensions::Scalar => 1,
            Dimensions::Vec2 => 2,
            Dimensions::Vec3 => 3,
            Dimensions::Vec4 => 4,
            Dimensions::Mat2 | Dimensions::Mat3 | Dimensions::Mat4 => 0,
        };
        let kind = accessor.data_type();
        if !sizes.contains(&components) || kind == DataType::U32 {
            let detail = format!(
                "{what}, accessor {}: {:?} of {kind:?} cannot be that",
                accessor.index(),
                accessor.dimensions()
            );
            return Err(invalid(self.path, detail));
        }
        let numbers = self.elements(accessor, what, components, |bytes| float(kind, accessor.normalized(), bytes))?;
        if numbers.iter().any(|number| !number.is_finite() || number.abs() > 1e18) {
            let detail = format!("{what}, accessor {}: a number is not finite, or beyond 1e18", accessor.index());
            return Err(invalid(self.path, detail));
        }
        Ok((components, numbers))
    }

    /// The elements as indices below `vertices`.
    pub(super) fn indices(&self, accessor: &Accessor<'_>, vertices: usize) -> Result<Vec<u32>> {
        let kind = accessor.data_type();
        let is_index = matches!(kind, DataType::U8 | DataType::U16 | DataType::U32);
        if accessor.dimensions() != Dimensions::Scalar || !is_index {
            let detail = format!(
                "indices, accessor {}: {:?} of {kind:?}: expected unsigned numbers",
                accessor.index(),
                accessor.dimensions()
            );
            return Err(invalid(self.path, detail));
        }
        let indices = self.elements(accessor, "indices", 1, whole)?;
        match indices.iter().find(|index| **index as usize >= vertices) {
            Some(index) => {
                let detail = format!("accessor {}: index {index}, there are {vertices} vertices", accessor.index());
                Err(invalid(self.path, detail))
            }
            None => Ok(indices),
        }
    }

    fn elements<T: Copy + Default>(
        &self,
        accessor: &Accessor<'_>,
        what: &str,
        components: usize,
        number: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<T>> {
        let count = accessor.count();
        let name = format!("{what}, accessor {}", accessor.index());
        let left = self.left.get().checked_sub(count).filter(|_| count <= MAX_CORNERS);
        let Some(left) = left else {
            return Err(too_much(self.path, format!("{name}: {count} elements; models end at {MAX_CORNERS} corners")));
        };
        self.left.set(left);
        let part = accessor.data_type().size();
        let size = part * components;
        let read = |bytes: &[u8], into: &mut Vec<T>| into.extend(bytes.chunks_exact(part).map(&number));
        let mut numbers = Vec::new();
        match &accessor.view() {
            Some(view) => {
                let view = view.index();
                let rows = self.rows(&name, view, accessor.offset(), (count, size))?;
                numbers.reserve_exact(count * components);
                rows.for_each(|bytes| read(bytes, &mut numbers));
            }
            // Zeros, to be replaced.
            None => numbers.resize(count * components, T::default()),
        }
        let Some(sparse) = accessor.sparse() else { return Ok(numbers) };
        let name = format!("{name}, sparse");
        if sparse.count() > count {
            return Err(invalid(self.path, format!("{name}: {} of {count} elements", sparse.count())));
        }
        let (indices, values) = (sparse.indices(), sparse.values());
        let index_size = indices.index_type().size();
        let places = self.rows(
            &format!("{name} indices"),
            indices.view().index(),
            indices.offset(),
            (sparse.count(), index_size),
        )?;
        let values =
            self.rows(&format!("{name} values"), values.view().index(), values.offset(), (sparse.count(), size))?;
        let mut replaced = Vec::with_capacity(components);
        for (place, value) in places.zip(values) {
            let at = whole(place) as usize;
            if at >= count {
                return Err(invalid(self.path, format!("{name}: index {at} of {count} elements")));
            }
            replaced.clear();
            read(value, &mut replaced);
            numbers[at * components..(at + 1) * components].copy_from_slice(&replaced);
        }
        Ok(numbers)
    }

    /// `count` elements of `size` bytes in a view.
    fn rows(
        &self,
        name: &str,
        view: usize,
        offset: usize,
        (count, size): (usize, usize),
    ) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let (bytes, stride) = buffers::view(self.path, self.root, self.buffers, view)?;
        let stride = stride.unwrap_or(size);
        let last = count.checked_sub(1).and_then(|steps| steps.checked_mul(stride));
        let end = last.and_then(|last| last.checked_add(offset)?.checked_add(size));
        if count == 0 || end.is_none_or(|end| end > bytes.len()) {
            let detail = format!(
                "{name}: {count} elements of {size} bytes from byte {offset} on, {stride} apart; buffer view {view} has {} bytes",
                bytes.len()
            );
            return Err(invalid(self.path, detail));
        }
        Ok((0..count).map(move |index| &bytes[offset + index * stride..][..size]))
    }
}

/// A number of 1, 2 or 4 bytes, as the chunk has them.
fn whole(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn float(kind: DataType, normalized: bool, bytes: &[u8]) -> f32 {
    let scaled = |number: f32, max: f32| if normalized { (number / max).max(-1.0) } else { number };
    let unsigned = whole(bytes);
    match kind {
        DataType::F32 => f32::from_bits(unsigned),
        DataType::U8 => scaled(unsigned as f32, 255.0),
        DataType::U16 => scaled(unsigned as f32, 65535.0),
        DataType::I8 => scaled(f32::from(unsigned as u8 as i8), 127.0),
        DataType::I16 => scaled(f32::from(unsigned as u16 as i16), 32767.0),
        DataType::U32 => unsigned as f32,
    }
}
