//! Where the pixels are: sizes, strides, offsets and what consumers demand of them. Pure, checked arithmetic.
//!
//! In: a format, a size, [`Constraints`]. Out: a [`Layout`], or an error that names the plane, the numbers and the rule.
//! Not here: memory of any kind.
//!
//! Row 0 is the top row of the picture and the first row in memory, everywhere in this crate.

use std::fmt;

use crate::error::{Error, Result};
use crate::format::{Format, Fourcc, Modifier};

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The largest width or height accepted anywhere: what a GL driver may offer (65536), and far from overflow.
pub const MAX_DIMENSION: u32 = 65_536;

impl Size {
    /// A size; see [`Size::check`] for what is allowed.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Fails unless both are in 1..=[`MAX_DIMENSION`].
    pub fn check(self) -> Result<Self> {
        if (1..=MAX_DIMENSION).contains(&self.width) && (1..=MAX_DIMENSION).contains(&self.height) {
            return Ok(self);
        }
        Err(Error::invalid("size", format!("{self}: width and height must be 1 to {MAX_DIMENSION}")))
    }

    /// Number of pixels.
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl std::str::FromStr for Size {
    type Err = Error;

    /// Reads `WIDTHxHEIGHT`.
    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (width, height) = text.split_once(['x', 'X', '×'])?;
            Some(Size::new(width.trim().parse().ok()?, height.trim().parse().ok()?))
        };
        parse()
            .ok_or_else(|| Error::invalid("size", format!("\"{text}\": expected WIDTHxHEIGHT, e.g. 1280x720")))?
            .check()
    }
}

/// Where one plane lies in its memory object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlaneLayout {
    /// First byte of row 0.
    pub offset_bytes: u64,
    /// From one row of samples to the next.
    pub stride_bytes: u32,
}

/// What the users of a buffer demand of its layout. [`join`](Constraints::join) makes one that suits them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constraints {
    /// Every stride is a multiple of this.
    pub stride_align_bytes: u32,
    /// Every plane offset is a multiple of this.
    pub offset_align_bytes: u32,
    /// The luma plane holds a multiple of this many rows (encoders: 16; others follow by subsampling).
    pub height_align_rows: u32,
    /// Each row has room for a multiple of this many pixels (lima renders 16-pixel tiles).
    pub width_align_pixels: u32,
    /// The allocation is at least as large as the planes rounded up to a multiple of this; drivers may give more.
    pub size_align_bytes: u32,
    /// All chroma planes use the luma stride (times their share) so that one number describes the buffer to V4L2.
    pub derived_strides: bool,
    /// Physically contiguous memory (CMA): scanout and video blocks without an IOMMU.
    pub contiguous: bool,
    /// Only the linear modifier will do (CPU access, consumers without modifiers).
    pub linear: bool,
}

impl Constraints {
    /// Nothing is demanded.
    pub const NONE: Self = Self {
        stride_align_bytes: 1,
        offset_align_bytes: 1,
        height_align_rows: 1,
        width_align_pixels: 1,
        size_align_bytes: 1,
        derived_strides: false,
        contiguous: false,
        linear: false,
    };

    /// Satisfies lima and panfrost: 64-byte strides and offsets, 16-pixel tiles in both directions.
    ///
    /// # References
    /// Mesa `lima_resource_from_handle` (offset % 64; stride >= align(width, 16) * cpp; the object holds the rows
    /// aligned to 16) and `pan_image_layout_init` (64-byte linear alignment).
    pub const MALI: Self = Self {
        stride_align_bytes: 64,
        offset_align_bytes: 64,
        height_align_rows: 16,
        width_align_pixels: 16,
        ..Self::NONE
    };

    /// The weakest constraints that satisfy both.
    ///
    /// # Errors
    /// `InvalidInput` where a common multiple does not fit 32 bits or an alignment is 0.
    pub fn join(self, other: Self) -> Result<Self> {
        Ok(Self {
            stride_align_bytes: common_multiple(
                "stride_align_bytes",
                self.stride_align_bytes,
                other.stride_align_bytes,
            )?,
            offset_align_bytes: common_multiple(
                "offset_align_bytes",
                self.offset_align_bytes,
                other.offset_align_bytes,
            )?,
            height_align_rows: common_multiple("height_align_rows", self.height_align_rows, other.height_align_rows)?,
            width_align_pixels: common_multiple(
                "width_align_pixels",
                self.width_align_pixels,
                other.width_align_pixels,
            )?,
            size_align_bytes: common_multiple("size_align_bytes", self.size_align_bytes, other.size_align_bytes)?,
            derived_strides: self.derived_strides || other.derived_strides,
            contiguous: self.contiguous || other.contiguous,
            linear: self.linear || other.linear,
        })
    }
}

impl Default for Constraints {
    /// [`Constraints::MALI`].
    fn default() -> Self {
        Self::MALI
    }
}

fn common_multiple(key: &'static str, a: u32, b: u32) -> Result<u32> {
    if a == 0 || b == 0 {
        return Err(Error::invalid(key, "0: alignments start at 1"));
    }
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).checked_mul(b).ok_or_else(|| Error::invalid(key, format!("{a} and {b} have no common multiple below 2^32")))
}

/// The planes of one picture: format, size, modifier and where each plane lies.
///
/// # Shapes
/// Offsets count from the start of the memory object that holds the plane. Planes of one object may not overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pixel format.
    pub fourcc: Fourcc,
    /// Visible size, without padding.
    pub size: Size,
    /// Memory layout of every plane; [`Modifier::INVALID`] where the allocator did not say.
    pub modifier: Modifier,
    planes: [PlaneLayout; 4],
    plane_count: u8,
}

impl Layout {
    /// A layout given plane by plane, as it came from somewhere else.
    ///
    /// # Errors
    /// `Unsupported`: a format that is not in the table. `InvalidInput`: wrong number of planes, a stride shorter than
    /// a row, sizes out of range, arithmetic that would wrap.
    pub fn new(fourcc: Fourcc, size: Size, modifier: Modifier, planes: &[PlaneLayout]) -> Result<Self> {
        let format = fourcc.format()?;
        size.check()?;
        if fourcc.is_big_endian() {
            return Err(Error::unsupported("layout", format!("{fourcc}: big-endian formats")));
        }
        if planes.is_empty() || planes.len() > 4 {
            return Err(Error::invalid(
                "layout",
                format!("{fourcc} {size}: {} planes; 1 to 4 are possible", planes.len()),
            ));
        }
        // A modifier may add planes (compression metadata); without one the format alone decides.
        let expected = format.planes.len();
        let may_add = !(modifier == Modifier::LINEAR || modifier == Modifier::INVALID);
        if planes.len() < expected || (planes.len() > expected && !may_add) {
            return Err(Error::invalid(
                "layout",
                format!(
                    "{fourcc} {size}, modifier {modifier}: {} planes given, the format has {expected}",
                    planes.len()
                ),
            ));
        }
        let mut array = [PlaneLayout { offset_bytes: 0, stride_bytes: 0 }; 4];
        array[..planes.len()].copy_from_slice(planes);
        let layout = Self { fourcc, size, modifier, planes: array, plane_count: planes.len() as u8 };
        if modifier == Modifier::LINEAR || modifier == Modifier::INVALID {
            for (index, plane) in planes.iter().enumerate() {
                let row_bytes = layout.row_bytes(index);
                if u64::from(plane.stride_bytes) < row_bytes {
                    return Err(Error::invalid(
                        "layout",
                        format!(
                            "{fourcc} {size}, plane {index}: stride_bytes {} is shorter than a row ({row_bytes} bytes)",
                            plane.stride_bytes
                        ),
                    ));
                }
                layout.plane_end(index)?;
            }
        }
        Ok(layout)
    }

    /// Lays the planes out one after the other in one memory object, as `constraints` demand. Modifier LINEAR.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn linear(fourcc: Fourcc, size: Size, constraints: &Constraints) -> Result<Self> {
        let format = fourcc.format()?;
        size.check()?;
        let overflow = || Error::invalid("layout", format!("{fourcc} {size}: the layout does not fit 32-bit strides"));
        let width = align_up(u64::from(size.width), constraints.width_align_pixels).ok_or_else(overflow)?;
        let height = align_up(u64::from(size.height), constraints.height_align_rows).ok_or_else(overflow)?;
        let padded =
            Size::new(u32::try_from(width).map_err(|_| overflow())?, u32::try_from(height).map_err(|_| overflow())?);

        let mut planes = [PlaneLayout { offset_bytes: 0, stride_bytes: 0 }; 4];
        let mut end = 0u64;
        let mut luma_stride = 0u64;
        for (index, plane) in format.planes.iter().enumerate() {
            let row_bytes = plane.row_bytes(padded.width);
            let mut stride = align_up(row_bytes, constraints.stride_align_bytes).ok_or_else(overflow)?;
            if index == 0 {
                if constraints.derived_strides {
                    // Each chroma stride follows from this one: its share must hold a chroma row, and be aligned.
                    for chroma in &format.planes[1..] {
                        stride = stride.max(chroma.luma_stride_for(chroma.row_bytes(padded.width), plane));
                    }
                    let share = format.widest_share();
                    let align = constraints.stride_align_bytes.checked_mul(share).ok_or_else(overflow)?;
                    stride = align_up(stride, align).ok_or_else(overflow)?;
                }
                luma_stride = stride;
            } else if constraints.derived_strides {
                stride = plane.derived_stride(luma_stride, &format.planes[0]);
            }
            let offset = align_up(end, constraints.offset_align_bytes).ok_or_else(overflow)?;
            planes[index] =
                PlaneLayout { offset_bytes: offset, stride_bytes: u32::try_from(stride).map_err(|_| overflow())? };
            let bytes = stride.checked_mul(u64::from(plane.rows(padded.height))).ok_or_else(overflow)?;
            end = offset.checked_add(bytes).ok_or_else(overflow)?;
        }
        Self::new(fourcc, size, Modifier::LINEAR, &planes[..format.planes.len()])
    }

    /// The planes.
    pub fn planes(&self) -> &[PlaneLayout] {
        &self.planes[..usize::from(self.plane_count)]
    }

    /// The table row of the format.
    pub fn format(&self) -> &'static Format {
        // Both constructors looked it up.
        self.fourcc.format().expect("a Layout's format is in the table")
    }

    /// Bytes of samples in one row of plane `index`; 0 for a metadata plane that a modifier added.
    pub fn row_bytes(&self, index: usize) -> u64 {
        self.format().planes.get(index).map_or(0, |plane| plane.row_bytes(self.size.width))
    }

    /// Rows of samples in plane `index`; 0 for a metadata plane.
    pub fn rows(&self, index: usize) -> u32 {
        self.format().planes.get(index).map_or(0, |plane| plane.rows(self.size.height))
    }

    /// The byte after the last sample of plane `index`, counted from the start of its memory object.
    ///
    /// # Errors
    /// `InvalidInput` where that number does not fit 63 bits (file offsets are signed).
    pub fn plane_end(&self, index: usize) -> Result<u64> {
        let plane = &self.planes[index];
        let rows = u64::from(self.rows(index));
        let end = (|| {
            if rows == 0 {
                return plane.offset_bytes.checked_add(1);
            }
            let before_last = u64::from(plane.stride_bytes).checked_mul(rows - 1)?;
            plane.offset_bytes.checked_add(before_last)?.checked_add(self.row_bytes(index))
        })();
        end.filter(|end| *end <= i64::MAX as u64).ok_or_else(|| {
            Error::invalid(
                "layout",
                format!(
                    "{} {}, plane {index}: offset_bytes {} + stride_bytes {} * {rows} rows does not fit 63 bits",
                    self.fourcc, self.size, plane.offset_bytes, plane.stride_bytes
                ),
            )
        })
    }

    /// Fails unless plane `index` lies inside a memory object of `object_bytes`.
    ///
    /// For a modifier other than linear only the offset can be judged: tiles and compression are the driver's affair.
    pub fn check_fits(&self, index: usize, object_bytes: u64) -> Result<()> {
        let plane = self.planes()[index];
        let linear = self.modifier == Modifier::LINEAR || self.modifier == Modifier::INVALID;
        let end = if linear { self.plane_end(index)? } else { plane.offset_bytes.saturating_add(1) };
        if end <= object_bytes {
            return Ok(());
        }
        Err(Error::invalid(
            "layout",
            format!(
                "{} {}, plane {index}: offset_bytes {} + stride_bytes {} * {} rows ends at byte {end}, the memory has {object_bytes}",
                self.fourcc, self.size, plane.offset_bytes, plane.stride_bytes, self.rows(index)
            ),
        )
        .with_hint("the producer's stride, offset or height is not what it allocated"))
    }

    /// Bytes an allocation needs to hold every plane with the padding that `constraints` demand.
    ///
    /// # Errors
    /// `InvalidInput` where the sum does not fit 63 bits.
    pub fn allocation_bytes(&self, constraints: &Constraints) -> Result<u64> {
        let overflow =
            || Error::invalid("layout", format!("{} {}: the allocation does not fit 63 bits", self.fourcc, self.size));
        let height = align_up(u64::from(self.size.height), constraints.height_align_rows)
            .and_then(|rows| u32::try_from(rows).ok())
            .ok_or_else(overflow)?;
        let mut end = 0u64;
        for (index, plane) in self.format().planes.iter().enumerate() {
            let layout = self.planes()[index];
            let bytes =
                u64::from(layout.stride_bytes).checked_mul(u64::from(plane.rows(height))).ok_or_else(overflow)?;
            end = end.max(layout.offset_bytes.checked_add(bytes).ok_or_else(overflow)?);
        }
        align_up(end, constraints.size_align_bytes).filter(|end| *end <= i64::MAX as u64).ok_or_else(overflow)
    }
}

impl fmt::Display for Layout {
    /// `NV12 1920x1080 LINEAR [0+1920, 2088960+1920]`: offset and stride in bytes of each plane.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} [", self.fourcc, self.size, self.modifier)?;
        for (index, plane) in self.planes().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}+{}", plane.offset_bytes, plane.stride_bytes)?;
        }
        write!(f, "]")
    }
}

/// `value` rounded up to a multiple of `align`; `None` where it would wrap or `align` is 0.
pub fn align_up(value: u64, align: u32) -> Option<u64> {
    let align = u64::from(align);
    value.checked_next_multiple_of(align)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nv12_1080p_for_mali_pads_to_1088_rows() {
        let layout = Layout::linear(Fourcc::NV12, Size::new(1920, 1080), &Constraints::MALI).unwrap();
        assert_eq!(layout.planes()[0], PlaneLayout { offset_bytes: 0, stride_bytes: 1920 });
        assert_eq!(layout.planes()[1], PlaneLayout { offset_bytes: 1920 * 1088, stride_bytes: 1920 });
        assert_eq!(layout.allocation_bytes(&Constraints::MALI).unwrap(), 1920 * 1088 * 3 / 2);
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        let layout = Layout::linear(Fourcc::YUV420, Size::new(5, 3), &Constraints::NONE).unwrap();
        assert_eq!(layout.row_bytes(1), 3);
        assert_eq!(layout.rows(1), 2);
        assert_eq!(layout.planes()[2].offset_bytes, 15 + 6);
    }

    #[test]
    fn derived_strides_keep_every_share_aligned() {
        let constraints = Constraints { stride_align_bytes: 64, derived_strides: true, ..Constraints::NONE };
        let layout = Layout::linear(Fourcc::YUV420, Size::new(100, 4), &constraints).unwrap();
        let strides: Vec<u32> = layout.planes().iter().map(|plane| plane.stride_bytes).collect();
        assert_eq!(strides, [128, 64, 64]);
    }

    #[test]
    fn too_small_memory_names_plane_and_bytes() {
        let layout = Layout::linear(Fourcc::ABGR8888, Size::new(640, 480), &Constraints::NONE).unwrap();
        let error = layout.check_fits(0, 1024).unwrap_err();
        assert!(error.to_string().contains("plane 0") && error.to_string().contains("1228800"), "{error}");
        layout.check_fits(0, 640 * 480 * 4).unwrap();
    }

    #[test]
    fn wrapping_numbers_are_refused() {
        let size = Size::new(65_536, 65_536);
        let plane = PlaneLayout { offset_bytes: u64::MAX - 3, stride_bytes: u32::MAX };
        assert!(Layout::new(Fourcc::ABGR8888, size, Modifier::LINEAR, &[plane]).is_err());
        assert!(Layout::linear(Fourcc::ABGR8888, Size::new(0, 1), &Constraints::NONE).is_err());
        assert!(Layout::linear(Fourcc::ABGR8888, Size::new(0x7fff_ffff, 1), &Constraints::NONE).is_err());
        let huge = Constraints { stride_align_bytes: u32::MAX, ..Constraints::NONE };
        assert!(Layout::linear(Fourcc::ABGR16161616, size, &huge).is_ok());
        assert!(huge.join(Constraints { stride_align_bytes: 64, ..Constraints::NONE }).is_err());
    }
}
