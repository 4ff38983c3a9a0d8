//! Pictures of ours into a device's queue: a video output, or the raw side of an encoder.
//!
//! In: buffers with fences. Out: the same memory back when the device has read it. The device reads dma-bufs where they
//! lie; other memory is copied into its own.
//! Not here: what the device makes of them (`codec`).

use std::any::Any;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::buffer::{Access, Buffer, Memory as BufferMemory, MemoryId};
use crate::color::Color;
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::fence::Fence;
use crate::format::Fourcc;
use crate::layout::{Constraints, Layout, Size};
use crate::sys::mapping::Mapping;
use crate::sys::v4l2::{self as sys, Format, FormatRequest, PlaneUse, uapi};

use super::device::single_planar;
use super::format::{PixelCode, by_code, layout, tags};
use super::queue::{self, Memory, Queue, Ready};
use super::{Role, VideoDevice};

/// Work of a GPU or of a device that takes longer is a hang.
pub(super) const HANG: Duration = Duration::from_secs(10);
/// Slots for pictures: more than a run has buffers on their way.
const SLOTS: u32 = 16;
/// Of the device's own memory, into which pictures are copied.
const OWN_SLOTS: u32 = 4;

/// What pictures are going to be given.
#[derive(Clone, Copy, Debug)]
pub struct Pictures {
    /// Size of every picture.
    pub size: Size,
    /// Format of every picture.
    pub fourcc: Fourcc,
    /// What the numbers mean.
    pub color: Color,
    /// Pictures per second as a fraction.
    pub rate: (u32, u32),
}

/// The rows of a format that the queue offers, those with one memory for all planes first.
///
/// # Errors
/// `Unsupported`, `op` being `format`: it offers none, with what it does.
pub(super) fn offered(device: &VideoDevice, fourcc: Fourcc) -> Result<Vec<&'static PixelCode>> {
    let known: Vec<_> = device.formats(device.output_kind()).iter().filter_map(|format| by_code(format.code)).collect();
    let mut rows: Vec<_> = known.iter().copied().filter(|row| row.fourcc == fourcc).collect();
    rows.sort_by_key(|row| row.is_separate);
    if !rows.is_empty() {
        return Ok(rows);
    }
    let mut names: Vec<String> = known.iter().map(|row| row.fourcc.to_string()).collect();
    names.dedup();
    let near = nearest(&fourcc.to_string(), names.iter().map(String::as_str))
        .map_or(String::new(), |name| format!("did you mean {name}? "));
    let hint = format!("{near}give the pass a format that it takes: {}", names.join(", "));
    Err(Error::unsupported("format", format!("{device} does not take {fourcc}")).with_hint(hint))
}

fn wish(row: &PixelCode, size: Size, pictures: &Pictures) -> Format {
    let (colorspace, ycbcr_enc, quantization, xfer_func) = tags(pictures.color, pictures.fourcc);
    Format {
        width: size.width,
        height: size.height,
        pixel_format: row.code,
        field: uapi::FIELD_NONE,
        colorspace,
        ycbcr_enc,
        quantization,
        xfer_func,
        ..Format::default()
    }
}

/// What a device wants of the memory of such pictures, so that it reads them where they lie.
///
/// # Errors
/// `Unsupported` where the device takes no such pictures; those of the driver.
pub fn constraints(device: &VideoDevice, pictures: &Pictures) -> Result<Constraints> {
    let row = offered(device, pictures.fourcc)?[0];
    let given = device.format(device.output_kind(), FormatRequest::Try, &wish(row, pictures.size, pictures))?;
    // Most round up to a power of two, which suits other consumers too; some have a least size, which is its own multiple.
    let align = |needed: u64, given: u32| {
        let power = 1 << given.trailing_zeros().min(12);
        if needed.next_multiple_of(power.into()) == u64::from(given) { power } else { given }
    };
    let luma = &pictures.fourcc.format()?.planes[0];
    let stride = given.planes[0].stride_bytes;
    let mut constraints = Constraints { derived_strides: !row.is_separate, linear: true, ..Constraints::NONE };
    if stride > 0 {
        constraints.stride_align_bytes = align(luma.row_bytes(pictures.size.width), stride);
    }
    if given.height > pictures.size.height {
        constraints.height_align_rows = align(pictures.size.height.into(), given.height);
    }
    Ok(constraints)
}

/// Whether the planes of pictures of `wanted` are where the queue looks for them.
fn is_laid_out(format: &Format, wanted: &Layout) -> bool {
    let mut offsets = [0; uapi::MAX_PLANES];
    let separate = by_code(format.pixel_format).is_some_and(|row| row.is_separate);
    for (offset, plane) in offsets.iter_mut().zip(wanted.planes()) {
        *offset = u32::try_from(plane.offset_bytes).unwrap_or(u32::MAX);
        if !separate {
            break;
        }
    }
    layout(format, wanted.size, &offsets).is_ok_and(|got| got.planes() == wanted.planes())
}

/// The rows between two planes, where they lie one behind the other; else the picture's.
fn padded_rows(layout: &Layout) -> u32 {
    let [first, second, ..] = layout.planes() else { return layout.size.height };
    let between = second.offset_bytes.saturating_sub(first.offset_bytes);
    match between.checked_rem(first.stride_bytes.into()) {
        Some(0) => u32::try_from(between / u64::from(first.stride_bytes)).unwrap_or(layout.size.height),
        _ => layout.size.height,
    }
    .max(layout.size.height)
}

struct Slot {
    /// Memory that this slot had: a driver keeps its mapping of it.
    ids: Vec<MemoryId>,
    /// Held as long as the device reads it.
    held: Option<(Buffer, Box<dyn Any + Send + Sync>)>,
    /// The device's own memory, a mapping for each of its planes.
    own: Vec<Mapping>,
}

/// Gives pictures to a device.
pub(super) struct Giver {
    // Dropped first: the driver lets go of the memory before we do.
    queue: Queue,
    device: VideoDevice,
    slots: Vec<Slot>,
    /// Where the planes of copied pictures go; `None` where memory is handed over.
    copied: Option<Layout>,
}

impl Giver {
    /// Sets the queue up for pictures that lie like `first`.
    pub(super) fn new(device: &VideoDevice, pictures: &Pictures, first: &Buffer) -> Result<Self> {
        let kind = device.output_kind();
        let rows = offered(device, pictures.fourcc)?;
        // Whether it does is told by asking for buffers: where not, pictures are copied.
        let taken = match first.memory() {
            BufferMemory::DmaBuf => match Self::as_it_lies(device, kind, &rows, pictures, first) {
                Ok(queue) => Some(queue),
                Err(error) if error.op() == "VIDIOC_REQBUFS" && error.kind() == ErrorKind::Unsupported => None,
                Err(error) => return Err(error),
            },
            BufferMemory::SealedMemfd => None,
        };
        let (queue, copied) = match taken {
            Some(queue) => (queue, None),
            None => {
                let format = device.format(kind, FormatRequest::Set, &wish(rows[0], pictures.size, pictures))?;
                let copied = layout(&format, pictures.size, &[0; uapi::MAX_PLANES])?;
                show_only(device, kind, &format, pictures.size)?;
                (Queue::new(device, kind, format, Memory::Driver, OWN_SLOTS)?, Some(copied))
            }
        };
        let mut slots = Vec::new();
        for index in 0..queue.len() {
            let mut slot = Slot { ids: Vec::new(), held: None, own: Vec::new() };
            if copied.is_some() {
                slot.own = map(device, &queue, index, true)?;
            }
            slots.push(slot);
        }
        device.rate(kind, Some(pictures.rate));
        Ok(Self { queue, device: device.clone(), slots, copied })
    }

    /// A queue that reads pictures where they lie: with rows as long as the picture's first, then with the padding as
    /// part of the picture, of which only a part is shown.
    fn as_it_lies(
        device: &VideoDevice,
        kind: u32,
        rows: &[&'static PixelCode],
        pictures: &Pictures,
        first: &Buffer,
    ) -> Result<Queue> {
        let wanted = first.layout();
        let luma = &wanted.format().planes[0];
        let padded_columns = wanted.planes()[0].stride_bytes / luma.block_bytes * luma.block_width;
        let mut refusal = None;
        for row in rows {
            for width in [wanted.size.width, padded_columns] {
                let mut format = wish(row, Size::new(width, padded_rows(wanted)), pictures);
                format.plane_count = if row.is_separate { wanted.planes().len() } else { 1 };
                for (plane, from) in format.planes.iter_mut().zip(wanted.planes()) {
                    plane.stride_bytes = from.stride_bytes;
                }
                let given = device.format(kind, FormatRequest::Set, &format)?;
                if given.pixel_format == row.code && is_laid_out(&given, wanted) {
                    match show_only(device, kind, &given, wanted.size) {
                        Ok(()) => return Queue::new(device, kind, given, Memory::DmaBuf, SLOTS),
                        Err(error) => refusal = Some(error),
                    }
                }
            }
        }
        if let Some(error) = refusal {
            return Err(error);
        }
        let given = device.format(kind, FormatRequest::Try, &wish(rows[0], pictures.size, pictures))?;
        let (stride, height) = (given.planes[0].stride_bytes, given.height);
        let detail = format!("{device} wants rows of {stride} bytes and {height} of them, the pictures are {wanted}");
        Err(Error::unsupported("layout", detail)
            .with_hint(format!("give the pass layout = {{ stride-align = {stride}, same-stride = true }}")))
    }

    pub(super) fn start(&mut self) -> Result<()> {
        self.queue.start()
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        self.queue.stop()
    }

    /// Pictures are copied.
    pub(super) fn copies(&self) -> bool {
        self.copied.is_some()
    }

    /// Pictures that the device has.
    pub(super) fn queued(&self) -> usize {
        self.queue.queued()
    }

    /// A slot for `buffer`: the one it had before, where that is free.
    fn slot_for(&self, buffer: &Buffer) -> Option<usize> {
        let free = |index: &usize| !self.queue.is_queued(*index);
        let ids: Vec<MemoryId> = buffer.ids().collect();
        let known = self.slots.iter().position(|slot| slot.ids == ids).filter(free);
        let unused = || (0..self.slots.len()).filter(free).find(|index| self.slots[*index].ids.is_empty());
        known.or_else(unused).or_else(|| (0..self.slots.len()).find(free))
    }

    /// There is room for `buffer`.
    pub(super) fn has_room(&self, buffer: &Buffer) -> bool {
        self.slot_for(buffer).is_some()
    }

    /// Hands a picture over, whose fence has signaled. `keep` is dropped when the device has read it.
    pub(super) fn give(&mut self, buffer: Buffer, keep: Box<dyn Any + Send + Sync>, timestamp_ns: u64) -> Result<()> {
        let Some(index) = self.slot_for(&buffer) else {
            return Err(Error::failed("VIDIOC_QBUF", format!("{}: no buffer is free", self.device)));
        };
        let count = self.queue.format.plane_count;
        let mut planes = [PlaneUse::default(); uapi::MAX_PLANES];
        if let Some(target) = &self.copied {
            copy(&buffer, target, &self.slots[index].own, by_code(self.queue.format.pixel_format))?;
            for (plane, of) in planes.iter_mut().zip(&self.queue.format.planes) {
                (plane.used_bytes, plane.length_bytes) = (of.size_bytes, of.size_bytes);
            }
            return self.queue.queue(index, &[], &planes[..count], timestamp_ns);
        }
        let mut fds: Vec<BorrowedFd<'_>> = Vec::new();
        for (memory, plane) in planes.iter_mut().enumerate().take(count) {
            let have = buffer.plane_object_bytes(memory);
            let offset = buffer.layout().planes()[memory].offset_bytes;
            let of = self.queue.format.planes[memory];
            let end = offset + u64::from(of.size_bytes);
            if have < end {
                let detail = format!(
                    "{}: {}: the device reads to byte {end} of plane {memory}, the memory has {have}",
                    self.device,
                    buffer.layout()
                );
                return Err(Error::invalid("VIDIOC_QBUF", detail)
                    .with_hint(format!("give the pass layout = {{ size-align = {end} }}")));
            }
            *plane = PlaneUse {
                used_bytes: u32::try_from(end).unwrap_or(u32::MAX),
                length_bytes: u32::try_from(have).unwrap_or(u32::MAX),
                data_offset_bytes: u32::try_from(offset).unwrap_or(u32::MAX),
                mem_offset: 0,
            };
            fds.push(buffer.plane_fd(memory));
        }
        self.queue.queue(index, &fds, &planes[..count], timestamp_ns)?;
        self.slots[index].ids = buffer.ids().collect();
        self.slots[index].held = Some((buffer, keep));
        Ok(())
    }

    /// Takes back what the device has read; how many that was.
    ///
    /// # Errors
    /// `Failed` where the device says that it could not use one.
    pub(super) fn reap(&mut self) -> Result<usize> {
        let mut count = 0;
        while let Some(info) = self.queue.dequeue()? {
            if let Some(slot) = self.slots.get_mut(info.index as usize) {
                slot.held = None;
            }
            count += 1;
            if info.flags & uapi::BUF_FLAG_ERROR != 0 {
                let detail = format!("{}: the device could not use a picture (V4L2_BUF_FLAG_ERROR)", self.device);
                return Err(Error::failed("VIDIOC_DQBUF", detail));
            }
        }
        Ok(count)
    }
}

/// Has the device take only the visible part of padded pictures.
fn show_only(device: &VideoDevice, kind: u32, format: &Format, size: Size) -> Result<()> {
    if (format.width, format.height) == (size.width, size.height) {
        return Ok(());
    }
    let wanted = (0, 0, size.width, size.height);
    let refused = |why: String| {
        let padded = Size::new(format.width, format.height);
        Error::unsupported("layout", format!("{device} takes pictures of {padded} and does not crop to {size}: {why}"))
    };
    match sys::selection(device.fd(), single_planar(kind), uapi::SEL_TGT_CROP, Some(wanted)) {
        Ok(got) if got == wanted => Ok(()),
        Ok((_, _, width, height)) => Err(refused(format!("to {width}x{height} only"))),
        Err(errno) => Err(refused(errno.to_string())),
    }
}

/// The device's own memory.
pub(super) fn map(device: &VideoDevice, queue: &Queue, index: usize, writable: bool) -> Result<Vec<Mapping>> {
    let info = queue.query(index)?;
    let one = |plane: &PlaneUse| {
        Mapping::new(device.fd(), plane.mem_offset.into(), plane.length_bytes.into(), writable)
            .map_err(|errno| Error::from_errno("mmap", format!("{device}, buffer {index}"), errno))
    };
    info.planes[..info.plane_count].iter().map(one).collect()
}

/// Copies a picture into the device's memory.
fn copy(from: &Buffer, target: &Layout, own: &[Mapping], row: Option<&PixelCode>) -> Result<()> {
    let map = from.map(Access::Read)?;
    for (index, plane) in target.planes().iter().enumerate() {
        let memory = if row.is_some_and(|row| row.is_separate) { index } else { 0 };
        let Some(own) = own.get(memory) else { return Err(Error::failed("copy", "the device has too few planes")) };
        for number in 0..target.rows(index) {
            let bytes = map.row(index, number);
            let at = plane.offset_bytes + u64::from(plane.stride_bytes) * u64::from(number);
            own.write(at, bytes).ok_or_else(|| {
                Error::failed("copy", format!("plane {index}, row {number} ends behind the device's memory"))
            })?;
        }
    }
    Ok(())
}

/// A video output at work.
pub struct Output {
    giver: Option<Giver>,
    device: VideoDevice,
    pictures: Pictures,
    given: u64,
}

impl Output {
    /// An output of `device`, which begins with the first picture.
    ///
    /// # Errors
    /// `Unsupported` where the device does not take this format.
    pub fn new(device: VideoDevice, pictures: Pictures) -> Result<Self> {
        offered(&device, pictures.fourcc)?;
        Ok(Self { giver: None, device, pictures, given: 0 })
    }

    /// Finds a video output.
    ///
    /// # Errors
    /// As [`VideoDevice::find`].
    pub fn find(wanted: Option<&str>) -> Result<VideoDevice> {
        VideoDevice::find(wanted, Role::Output)
    }

    /// Shows a picture behind its fence, after those before it. Blocks while the device has enough of them.
    ///
    /// # Errors
    /// `Timeout` where the device takes nothing; `NotFound` where it went away; those of the driver.
    pub fn give(
        &mut self,
        buffer: Buffer,
        fence: Option<&Fence>,
        keep: Box<dyn Any + Send + Sync>,
        timestamp_ns: u64,
    ) -> Result<()> {
        // No V4L2 driver waits for fences itself.
        fence.map_or(Ok(()), |fence| fence.wait(Some(HANG)))?;
        let giver = match &mut self.giver {
            Some(giver) => giver,
            none => none.insert(Giver::new(&self.device, &self.pictures, &buffer)?),
        };
        let since = Instant::now();
        while !giver.has_room(&buffer) {
            wait_for_output(&self.device, since)?;
            giver.reap()?;
        }
        giver.give(buffer, keep, timestamp_ns)?;
        if self.given == 0 {
            giver.start()?;
        }
        self.given += 1;
        giver.reap()?;
        Ok(())
    }

    /// Pictures are copied into the device's memory.
    pub fn copies(&self) -> bool {
        self.giver.as_ref().is_some_and(Giver::copies)
    }

    /// Waits until the device has shown what it was given. Some keep the last picture: one may stay.
    ///
    /// # Errors
    /// As [`Output::give`].
    pub fn finish(&mut self) -> Result<()> {
        let Some(mut giver) = self.giver.take() else { return Ok(()) };
        let mut since = Instant::now();
        while giver.queued() > 1 {
            wait_for_output(&self.device, since)?;
            if giver.reap()? > 0 {
                since = Instant::now();
            }
        }
        giver.stop()
    }
}

fn wait_for_output(device: &VideoDevice, since: Instant) -> Result<Ready> {
    let left = HANG.saturating_sub(since.elapsed());
    if left.is_zero() {
        let detail = format!("{device} took no picture for {HANG:?}");
        return Err(Error::new(ErrorKind::Timeout, "v4l2", detail));
    }
    let ready = queue::wait(device, (false, true), &[], left)?;
    if ready.error && !ready.output {
        // The next request says why; where it does not, this does not spin.
        std::thread::sleep(Duration::from_millis(5).min(left));
    }
    Ok(ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::PlaneLayout;
    use crate::sys::v4l2::PlaneSize;

    #[test]
    fn padded_pictures_are_found_where_the_queue_looks() {
        let constraints = Constraints { stride_align_bytes: 64, height_align_rows: 16, ..Constraints::NONE };
        let layout = Layout::linear(Fourcc::NV12, Size::new(100, 50), &constraints).unwrap();
        assert_eq!(padded_rows(&layout), 64);
        let mut format =
            Format { width: 128, height: 64, pixel_format: 0x3231_564e, plane_count: 1, ..Format::default() };
        format.planes[0] = PlaneSize { stride_bytes: 128, size_bytes: 128 * 96 };
        assert!(is_laid_out(&format, &layout));
        assert!(!is_laid_out(&Format { height: 50, ..format }, &layout), "chroma is elsewhere");
        format.planes[0].stride_bytes = 112;
        assert!(!is_laid_out(&format, &layout));
        let planes = [
            PlaneLayout { offset_bytes: 64, stride_bytes: 128 },
            PlaneLayout { offset_bytes: 64 + 8192, stride_bytes: 128 },
        ];
        let moved = Layout::new(Fourcc::NV12, Size::new(100, 50), crate::format::Modifier::LINEAR, &planes).unwrap();
        assert_eq!(padded_rows(&moved), 64);
    }
}
