//! Buffers of a PipeWire stream: the fields that the crate `pipewire` reads and does not write.
//!
//! In: what a stream's callbacks give. Out: plain numbers; memory described to the other end.
//! Not here: what is negotiated, and who holds what (`share::pipewire`).
//!
//! # References
//! `spa/buffer/buffer.h`, `spa/buffer/meta.h`; of the numbers that are later than PipeWire 0.3.65 those of 1.2

use std::os::fd::RawFd;
use std::ptr::NonNull;

use pipewire::spa::sys as spa;
use pipewire::stream::Stream;
use pipewire::sys as pw;

/// `SPA_META_SyncTimeline`.
pub(crate) const META_SYNC_TIMELINE: u32 = 9;
/// `SPA_DATA_SyncObj`.
pub(crate) const DATA_SYNC_OBJECT: u32 = 5;
/// `SPA_PARAM_BUFFERS_metaType`.
pub(crate) const BUFFERS_META_TYPE: u32 = 7;
/// Bytes of `struct spa_meta_header`.
pub(crate) const HEADER_BYTES: usize = size_of::<spa::spa_meta_header>();
/// Bytes of `struct spa_meta_busy`: a counter of who reads the buffer.
pub(crate) const BUSY_BYTES: usize = size_of::<spa::spa_meta_busy>();
/// Bytes of `struct spa_meta_sync_timeline`.
pub(crate) const SYNC_TIMELINE_BYTES: usize = size_of::<Points>();

/// `struct spa_meta_sync_timeline`: when the buffer may be read, and when it may be written again.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Points {
    pub(crate) flags: u32,
    pub(crate) padding: u32,
    pub(crate) acquire: u64,
    pub(crate) release: u64,
}

/// One memory of a buffer, and where its bytes are this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// `SPA_DATA_*`; while memory is asked for, a mask of those that will do.
    pub(crate) kind: u32,
    pub(crate) fd: RawFd,
    pub(crate) map_offset_bytes: u32,
    pub(crate) max_bytes: u32,
    pub(crate) offset_bytes: u32,
    pub(crate) size_bytes: u32,
    pub(crate) stride_bytes: i32,
    pub(crate) is_corrupted: bool,
}

/// A buffer of a stream. It is there from the stream's `add_buffer` until the end of its `remove_buffer`: whoever keeps
/// one forgets it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamBuffer(NonNull<pw::pw_buffer>);

impl StreamBuffer {
    /// What a callback gave.
    ///
    /// # Safety
    /// `raw` comes from a stream's `add_buffer`, and the result is not used after its `remove_buffer`.
    pub(crate) unsafe fn new(raw: *mut pw::pw_buffer) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// It is the one that this callback is about.
    pub(crate) fn is(self, raw: *mut pw::pw_buffer) -> bool {
        std::ptr::eq(self.0.as_ptr(), raw)
    }

    fn inner(self) -> Option<NonNull<spa::spa_buffer>> {
        // SAFETY: the buffer is there, by the promise of `new`; PipeWire fills the pointer in before `add_buffer`.
        NonNull::new(unsafe { (*self.0.as_ptr()).buffer })
    }

    fn data(self, index: usize) -> Option<NonNull<spa::spa_data>> {
        let inner = self.inner()?;
        // SAFETY: as in `inner`; `datas` has `n_datas` members.
        unsafe {
            let inner = inner.as_ref();
            (index < inner.n_datas as usize).then(|| NonNull::new(inner.datas.add(index)))?
        }
    }

    /// How many memories it has.
    pub(crate) fn blocks(self) -> usize {
        // SAFETY: as in `inner`.
        self.inner().map_or(0, |inner| unsafe { inner.as_ref() }.n_datas as usize)
    }

    /// Memory `index`.
    pub(crate) fn block(self, index: usize) -> Option<Block> {
        let data = self.data(index)?;
        // SAFETY: as in `data`. The chunk lies in memory that the other end writes: it is copied out once.
        let (data, chunk) = unsafe {
            let data = data.as_ptr().read();
            let chunk = NonNull::new(data.chunk)?;
            (data, chunk.as_ptr().read_volatile())
        };
        Some(Block {
            kind: data.type_,
            fd: data.fd as RawFd,
            map_offset_bytes: data.mapoffset,
            max_bytes: data.maxsize,
            offset_bytes: chunk.offset,
            size_bytes: chunk.size,
            stride_bytes: chunk.stride,
            is_corrupted: chunk.flags & 1 != 0,
        })
    }

    /// The bytes of memory `index`, where PipeWire has mapped it. They may change while they are read.
    pub(crate) fn bytes(&self, index: usize) -> Option<&[u8]> {
        let data = self.data(index)?;
        // SAFETY: PipeWire maps `maxsize` bytes at `data` from before `add_buffer` until after `remove_buffer`.
        unsafe {
            let data = data.as_ref();
            let begin = NonNull::new(data.data.cast::<u8>())?;
            Some(std::slice::from_raw_parts(begin.as_ptr(), data.maxsize as usize))
        }
    }

    /// Says which memory it is: for streams that make their own. PipeWire borrows the fd until `remove_buffer`.
    pub(crate) fn set_memory(self, index: usize, kind: u32, fd: RawFd, bytes: u64) {
        if let Some(mut data) = self.data(index) {
            // SAFETY: as in `data`; during `add_buffer` nobody else looks at it.
            let data = unsafe { data.as_mut() };
            data.type_ = kind;
            data.flags = spa::SPA_DATA_FLAG_READABLE;
            data.fd = i64::from(fd);
            data.mapoffset = 0;
            data.maxsize = u32::try_from(bytes).unwrap_or(u32::MAX);
            data.data = std::ptr::null_mut();
        }
    }

    /// Says where the bytes are in memory `index`.
    pub(crate) fn set_chunk(self, index: usize, offset_bytes: u64, size_bytes: u64, stride_bytes: u32) {
        let saturated = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        let value = spa::spa_chunk {
            offset: saturated(offset_bytes),
            size: saturated(size_bytes),
            stride: i32::try_from(stride_bytes).unwrap_or(i32::MAX),
            flags: 0,
        };
        if let Some(data) = self.data(index) {
            // SAFETY: as in `data`; the chunk is ours to write while the buffer is dequeued.
            unsafe {
                if let Some(chunk) = NonNull::new((*data.as_ptr()).chunk) {
                    chunk.as_ptr().write_volatile(value);
                }
            }
        }
    }

    /// Metadata of a type that is no larger than what is there.
    fn meta<T: Copy>(self, kind: u32) -> Option<NonNull<T>> {
        let inner = self.inner()?;
        // SAFETY: as in `inner`; `metas` has `n_metas` members.
        let metas = unsafe {
            let inner = inner.as_ref();
            if inner.metas.is_null() {
                return None;
            }
            std::slice::from_raw_parts(inner.metas, inner.n_metas as usize)
        };
        let found = metas.iter().find(|meta| meta.type_ == kind && meta.size as usize >= size_of::<T>())?;
        NonNull::new(found.data.cast::<T>()).filter(|data| data.is_aligned())
    }

    /// Time in nanoseconds and number, where the other end says them.
    pub(crate) fn header(self) -> Option<(i64, u64)> {
        let header = self.meta::<spa::spa_meta_header>(spa::SPA_META_Header)?;
        // SAFETY: `meta` looked at size and alignment; the other end may write it, so it is copied out once.
        let header = unsafe { header.as_ptr().read_volatile() };
        Some((header.pts, header.seq))
    }

    /// The other end says that the frame is broken.
    pub(crate) fn is_corrupted(self) -> bool {
        // SAFETY: as in `header`.
        self.meta::<spa::spa_meta_header>(spa::SPA_META_Header).is_some_and(
            |header| unsafe { header.as_ptr().read_volatile() }.flags & spa::SPA_META_HEADER_FLAG_CORRUPTED != 0,
        )
    }

    /// How many hold the buffer: whoever has dequeued it is one.
    pub(crate) fn holders(self) -> u32 {
        let busy = self.meta::<spa::spa_meta_busy>(spa::SPA_META_Busy);
        // SAFETY: as in `header`.
        busy.map_or(0, |busy| unsafe { busy.as_ptr().read_volatile() }.count)
    }

    /// Says time and number.
    pub(crate) fn set_header(self, pts_ns: i64, sequence: u64) {
        if let Some(header) = self.meta::<spa::spa_meta_header>(spa::SPA_META_Header) {
            let value = spa::spa_meta_header { flags: 0, offset: 0, pts: pts_ns, dts_offset: 0, seq: sequence };
            // SAFETY: as in `header`; it is ours to write while the buffer is dequeued.
            unsafe { header.as_ptr().write_volatile(value) }
        }
    }

    /// Points of the buffer's two timelines, where they were negotiated.
    pub(crate) fn points(self) -> Option<Points> {
        let points = self.meta::<Points>(META_SYNC_TIMELINE)?;
        // SAFETY: as in `header`.
        Some(unsafe { points.as_ptr().read_volatile() })
    }

    pub(crate) fn set_points(self, points: Points) {
        if let Some(place) = self.meta::<Points>(META_SYNC_TIMELINE) {
            // SAFETY: as in `set_header`.
            unsafe { place.as_ptr().write_volatile(points) }
        }
    }
}

/// Counts the ends of cycles that a driving stream has begun: an event that the crate passes on to nobody.
pub(crate) struct CycleEnds {
    hook: Box<spa::spa_hook>,
    _events: Box<pw::pw_stream_events>,
    count: Box<std::cell::Cell<u32>>,
}

impl CycleEnds {
    /// Listens as long as it is kept, which is no longer than the stream.
    pub(crate) fn listen(stream: &Stream) -> Self {
        unsafe extern "C" fn on_end(data: *mut std::os::raw::c_void) {
            // SAFETY: `data` is the counter of the listener, which is there as long as the hook.
            if let Some(count) = unsafe { data.cast::<std::cell::Cell<u32>>().as_ref() } {
                count.set(count.get() + 1);
            }
        }
        let count = Box::new(std::cell::Cell::new(0));
        // SAFETY: all its fields are numbers, pointers and optional functions, for which zeros are "none".
        let mut hook = Box::new(unsafe { std::mem::zeroed::<spa::spa_hook>() });
        // SAFETY: as above.
        let mut events = Box::new(unsafe { std::mem::zeroed::<pw::pw_stream_events>() });
        events.version = pw::PW_VERSION_STREAM_EVENTS;
        events.trigger_done = Some(on_end);
        let data = std::ptr::from_ref(&*count).cast_mut().cast();
        // SAFETY: hook, events and counter are in boxes that this value keeps until the hook is removed.
        unsafe { pw::pw_stream_add_listener(stream.as_raw_ptr(), &raw mut *hook, &raw const *events, data) };
        Self { hook, _events: events, count }
    }

    /// How many there were since the last call.
    pub(crate) fn take(&self) -> u32 {
        self.count.take()
    }
}

impl Drop for CycleEnds {
    fn drop(&mut self) {
        pipewire::spa::utils::hook::remove(*self.hook);
    }
}

/// The next buffer that the stream gives: filled for a consumer, free for a producer.
pub(crate) fn dequeue(stream: &Stream) -> Option<StreamBuffer> {
    // SAFETY: it belongs to the stream and was in its `add_buffer`; callers forget it in `remove_buffer`.
    unsafe { StreamBuffer::new(stream.dequeue_raw_buffer()) }
}

/// Gives a buffer that was dequeued to the other end.
pub(crate) fn queue(stream: &Stream, buffer: StreamBuffer) {
    // SAFETY: it was dequeued from this stream and is there, by the promise of `StreamBuffer::new`.
    unsafe { stream.queue_raw_buffer(buffer.0.as_ptr()) }
}
