//! A buffer: planes of pixels in memory that has an fd.
//!
//! In: a [`Layout`] and fds, from an allocator or from another process; everything is checked here, once.
//! Out: fds to hand on, CPU access ([`Buffer::map`]), implicit fences.
//! Not here: making memory (`allocator`), GPU access (`egl::image`).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::fcntl::SealFlag;

use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::format::Fourcc;
use crate::layout::{Layout, Size};
use crate::sys;
use crate::sys::mapping::Mapping;

pub mod map;

pub use map::{Access, Map};

/// What kind of memory an fd stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// A dma-buf: other hardware can use it.
    DmaBuf,
    /// A memory file that cannot shrink: other processes can use it, hardware cannot.
    SealedMemfd,
}

/// Identity of a piece of memory: two fds with the same id are the same memory.
///
/// On kernels before 5.3 all dma-bufs share one inode; there each fd gets an id of its own, and caches by id miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoryId {
    device: u64,
    inode: u64,
}

/// How a buffer came to be: printed by `-v`, kept in reports.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// `dumb(virtio_gpu)`, `dma-heap(linux,cma)`, `received`, …
    pub allocator: String,
    /// Why this one: which were asked before and what they said, one line each.
    pub reasons: Vec<String>,
}

/// Maps memory that its own fd does not let be mapped (some dumb buffers).
pub(crate) trait Mapper: Send + Sync + std::fmt::Debug {
    /// Maps `len_bytes` from the start.
    fn map(&self, len_bytes: u64, writable: bool) -> Result<Mapping>;
}

#[derive(Debug)]
struct Object {
    fd: OwnedFd,
    size_bytes: u64,
    memory: Memory,
    id: MemoryId,
    mapper: Option<Box<dyn Mapper>>,
    /// The same memory, opened for reading only, once somebody asked; `None` where the kernel does not.
    read_only: OnceLock<Option<OwnedFd>>,
    /// Made at the first CPU access and kept: page faults cost more than the copy they serve.
    mapping: OnceLock<Mapping>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    objects: Vec<Object>,
    plane_object: [u8; 4],
    provenance: Provenance,
    borrows: map::Borrows,
}

/// Planes of pixels in memory that has an fd. Clones share the memory; it lives while any clone, fd or GPU image does.
///
/// # Shapes
/// Row 0 is the top row and lies at the lowest address of its plane. Offsets and strides are in bytes.
#[derive(Clone, Debug)]
pub struct Buffer(Arc<Inner>);

impl Buffer {
    /// Takes memory from elsewhere: one fd for all planes, or one per plane (the same memory may come twice).
    ///
    /// Every fd is checked: it must be a dma-buf, or a memory file sealed against shrinking, and hold its planes.
    ///
    /// # Errors
    /// `InvalidInput`: wrong number of fds, an fd of another kind (the error says which), planes outside the memory.
    pub fn from_fds(layout: Layout, fds: Vec<OwnedFd>) -> Result<Self> {
        let provenance = Provenance { allocator: "received".into(), reasons: Vec::new() };
        Self::with_provenance(layout, fds, provenance, None)
    }

    pub(crate) fn with_provenance(
        layout: Layout,
        fds: Vec<OwnedFd>,
        provenance: Provenance,
        mut mapper: Option<Box<dyn Mapper>>,
    ) -> Result<Self> {
        let planes = layout.planes().len();
        if fds.len() != 1 && fds.len() != planes {
            return Err(Error::invalid(
                "buffer",
                format!("{layout}: {} fds given; one for all planes or one for each of the {planes} planes", fds.len()),
            ));
        }
        let mut objects: Vec<Object> = Vec::new();
        let mut plane_object = [0u8; 4];
        for (plane, fd) in fds.into_iter().enumerate() {
            let object = Object::recognise(fd, mapper.take()).map_err(|error| error.in_context(&layout))?;
            let index = objects.iter().position(|known| known.id == object.id).unwrap_or_else(|| {
                objects.push(object);
                objects.len() - 1
            });
            plane_object[plane] = index as u8;
        }
        for plane in 0..planes {
            layout.check_fits(plane, objects[usize::from(plane_object[plane])].size_bytes)?;
        }
        Ok(Self(Arc::new(Inner { layout, objects, plane_object, provenance, borrows: map::Borrows::default() })))
    }

    /// Copies `source` (any file that can be read) into a new sealed memory file with the same layout.
    ///
    /// This is how memory that may shrink under us is taken in: read, never mapped.
    pub fn copy_from(layout: Layout, source: impl AsFd) -> Result<Self> {
        let mut end = 0;
        for plane in 0..layout.planes().len() {
            end = end.max(layout.plane_end(plane)?);
        }
        let fd = sys::memfd::create_sealed("darkframe-copy", end)
            .map_err(|errno| Error::from_errno("memfd_create", format!("{end} bytes"), errno))?;
        let provenance = Provenance { allocator: "copy".into(), reasons: Vec::new() };
        let buffer = Self::with_provenance(layout, vec![fd], provenance, None)?;
        {
            let mut map = buffer.map(Access::Write)?;
            let bytes = map.object_mut(0);
            let mut done = 0;
            while done < bytes.len() {
                match nix::sys::uio::pread(source.as_fd(), &mut bytes[done..], done as libc::off_t) {
                    Ok(0) => {
                        return Err(Error::invalid(
                            "pread",
                            format!("the file ends at byte {done}, the layout needs {end}"),
                        ));
                    }
                    Ok(count) => done += count,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(Error::from_errno("pread", format!("at byte {done}"), errno)),
                }
            }
        }
        Ok(buffer)
    }

    /// Records why the allocator was chosen. Called before the first clone is made.
    pub(crate) fn explain(&mut self, reasons: Vec<String>) {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.provenance.reasons = reasons;
        }
    }

    /// No other clone exists in this process.
    pub(crate) fn is_sole(&self) -> bool {
        self.clones() == 1
    }

    /// Clones in this process.
    pub(crate) fn clones(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Format, size, modifier and planes.
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// Visible size in pixels.
    pub fn size(&self) -> Size {
        self.0.layout.size
    }

    /// Pixel format.
    pub fn fourcc(&self) -> Fourcc {
        self.0.layout.fourcc
    }

    /// Dma-buf only if every plane is.
    pub fn memory(&self) -> Memory {
        match self.0.objects.iter().all(|object| object.memory == Memory::DmaBuf) {
            true => Memory::DmaBuf,
            false => Memory::SealedMemfd,
        }
    }

    /// The fd that holds plane `index`.
    pub fn plane_fd(&self, index: usize) -> BorrowedFd<'_> {
        self.0.objects[usize::from(self.0.plane_object[index])].fd.as_fd()
    }

    /// Size of the memory that holds plane `index`, as the kernel gives it.
    pub fn plane_object_bytes(&self, index: usize) -> u64 {
        self.0.objects[usize::from(self.0.plane_object[index])].size_bytes
    }

    /// Size of each distinct object, padding included.
    pub fn object_bytes(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.objects.iter().map(|object| object.size_bytes)
    }

    /// The fd of each distinct object.
    pub(crate) fn object_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.objects.iter().map(|object| object.fd.as_fd())
    }

    /// Each distinct object's fd that only reads, where it is `wanted` and the kernel makes one: of memory files, not of
    /// dma-bufs.
    pub(crate) fn object_fds_read_only(&self, wanted: bool) -> impl Iterator<Item = Option<BorrowedFd<'_>>> {
        self.0.objects.iter().map(move |object| {
            let reading = || object.read_only.get_or_init(|| object.open_read_only()).as_ref().map(AsFd::as_fd);
            if wanted { reading() } else { None }
        })
    }

    /// The index among the distinct objects of the one that holds plane `index`.
    pub(crate) fn plane_object(&self, index: usize) -> usize {
        usize::from(self.0.plane_object[index])
    }

    /// Identity of the memory that holds plane `index`.
    pub(crate) fn plane_id(&self, index: usize) -> MemoryId {
        self.0.objects[usize::from(self.0.plane_object[index])].id
    }

    /// Identity of the memory of each distinct object.
    pub fn ids(&self) -> impl Iterator<Item = MemoryId> + '_ {
        self.0.objects.iter().map(|object| object.id)
    }

    /// How it came to be.
    pub fn provenance(&self) -> &Provenance {
        &self.0.provenance
    }

    /// Gives the CPU access until the guard is dropped. Blocks until implicit fences of dma-bufs have signaled.
    ///
    /// Any number of readers, or one writer, among the clones of this buffer in this process; other processes and
    /// hardware are kept apart by fences, not by this guard.
    ///
    /// # Errors
    /// `InvalidInput` where another guard is in the way; `Unsupported` where the memory has no CPU access.
    pub fn map(&self, access: Access) -> Result<Map<'_>> {
        Map::new(self, access)
    }

    /// Makes every page of the memory present, where the kernel can do that at once: a first access then costs no faults.
    ///
    /// # Errors
    /// `Unsupported` where the memory has no CPU access.
    #[doc(alias = "MADV_POPULATE_WRITE")]
    pub fn populate(&self) -> Result<()> {
        for object in &self.0.objects {
            object.mapping(true)?.populate();
        }
        Ok(())
    }

    /// The implicit fences to wait for before `access`, merged into one.
    ///
    /// # Errors
    /// `Unsupported` before Linux 5.20 and for memory that is no dma-buf.
    ///
    /// # References
    /// `DMA_BUF_IOCTL_EXPORT_SYNC_FILE`
    #[doc(alias = "DMA_BUF_IOCTL_EXPORT_SYNC_FILE")]
    pub fn export_fence(&self, access: Access) -> Result<Fence> {
        let mut merged: Option<Fence> = None;
        for object in &self.0.objects {
            object.check_dma_buf("DMA_BUF_IOCTL_EXPORT_SYNC_FILE")?;
            let fd = sys::dma_buf::export_sync_file(object.fd.as_fd(), access.bits())
                .map_err(|errno| fence_error("DMA_BUF_IOCTL_EXPORT_SYNC_FILE", errno))?;
            let fence = Fence::from_fd(fd)?;
            merged = Some(match merged {
                Some(first) => first.merge(&fence)?,
                None => fence,
            });
        }
        Ok(merged.expect("a Buffer has at least one object"))
    }

    /// Makes implicit users of the memory wait for `fence`, which stands for an `access` of ours.
    ///
    /// # Errors
    /// As [`Buffer::export_fence`].
    ///
    /// # References
    /// `DMA_BUF_IOCTL_IMPORT_SYNC_FILE`
    #[doc(alias = "DMA_BUF_IOCTL_IMPORT_SYNC_FILE")]
    pub fn import_fence(&self, fence: &Fence, access: Access) -> Result<()> {
        for object in &self.0.objects {
            object.check_dma_buf("DMA_BUF_IOCTL_IMPORT_SYNC_FILE")?;
            sys::dma_buf::import_sync_file(object.fd.as_fd(), access.bits(), fence.as_fd())
                .map_err(|errno| fence_error("DMA_BUF_IOCTL_IMPORT_SYNC_FILE", errno))?;
        }
        Ok(())
    }
}

fn fence_error(op: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::ENOTTY => Error::unsupported(op, "this kernel is older than the ioctl (Linux 5.20 / 6.0)"),
        errno => Error::from_errno(op, "dma-buf", errno),
    }
}

/// What memory an fd stands for, and which. A foreign memory file is sealed against shrinking where it lets us.
///
/// # Errors
/// `InvalidInput`: neither a dma-buf nor a memory file that cannot shrink.
pub(crate) fn identify(fd: BorrowedFd<'_>) -> Result<(Memory, MemoryId)> {
    let (memory, inode_is_unique) = match sys::dma_buf::recognise(fd) {
        Some(how) => (Memory::DmaBuf, how == sys::dma_buf::Recognition::FileSystem),
        None => {
            check_sealed(fd)?;
            (Memory::SealedMemfd, true)
        }
    };
    let id = match inode_is_unique {
        true => inode(fd)?,
        false => {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            MemoryId { device: u64::MAX, inode: NEXT.fetch_add(1, Ordering::Relaxed) }
        }
    };
    Ok((memory, id))
}

/// The identity of an fd's file. It is that of a memory which [`identify`] gave the same, for as long as that is open.
pub(crate) fn inode(fd: BorrowedFd<'_>) -> Result<MemoryId> {
    let stat = nix::sys::stat::fstat(fd).map_err(|errno| Error::from_errno("fstat", "buffer identity", errno))?;
    Ok(MemoryId { device: stat.st_dev as u64, inode: stat.st_ino as u64 })
}

impl Object {
    fn recognise(fd: OwnedFd, mapper: Option<Box<dyn Mapper>>) -> Result<Self> {
        let (memory, id) = identify(fd.as_fd())?;
        let size_bytes =
            sys::dma_buf::size_bytes(&fd).map_err(|errno| Error::from_errno("lseek", "buffer size", errno))?;
        let (read_only, mapping) = (OnceLock::new(), OnceLock::new());
        Ok(Self { fd, size_bytes, memory, id, mapper, read_only, mapping })
    }

    fn open_read_only(&self) -> Option<OwnedFd> {
        if self.memory != Memory::SealedMemfd {
            return None;
        }
        // Opened anew: a duplicate would keep the right to write.
        let file = std::fs::File::open(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        file.map(OwnedFd::from).inspect_err(|error| tracing::debug!(%error, "reopening a memfd")).ok()
    }

    fn check_dma_buf(&self, op: &'static str) -> Result<()> {
        match self.memory {
            Memory::DmaBuf => Ok(()),
            Memory::SealedMemfd => Err(Error::unsupported(op, "the memory is a memfd, which has no fences")),
        }
    }

    /// The mapping, made at the first call. A read-only one is made where writing is refused and not asked for.
    fn mapping(&self, write: bool) -> Result<&Mapping> {
        if let Some(mapping) = self.mapping.get() {
            return self.check_writable(mapping, write);
        }
        let direct = Mapping::new(self.fd.as_fd(), 0, self.size_bytes, true).or_else(|errno| match write {
            false => Mapping::new(self.fd.as_fd(), 0, self.size_bytes, false),
            true => Err(errno),
        });
        let mapping = match (direct, &self.mapper) {
            (Ok(mapping), _) => mapping,
            (Err(_), Some(mapper)) => mapper.map(self.size_bytes, true)?,
            (Err(errno), None) => {
                let error = Error::from_errno("mmap", format!("{} bytes of the buffer's fd", self.size_bytes), errno);
                if error.kind() == ErrorKind::OutOfMemory {
                    return Err(error.with_hint("use fewer or smaller pictures, or raise the limit (ulimit -v)"));
                }
                let kind = if write || errno != Errno::EACCES { ErrorKind::Unsupported } else { error.kind() };
                return Err(Error::new(kind, "mmap", error.detail()).with_hint(
                    "this exporter gives the CPU no access: read back through the GPU, or allocate elsewhere",
                ));
            }
        };
        // Another thread may have been first; its mapping is as good.
        let mapping = self.mapping.get_or_init(|| mapping);
        self.check_writable(mapping, write)
    }

    fn check_writable<'a>(&self, mapping: &'a Mapping, write: bool) -> Result<&'a Mapping> {
        if write && !mapping.is_writable() {
            return Err(Error::unsupported("mmap", "the buffer's fd was exported without write access"));
        }
        Ok(mapping)
    }
}

/// Fails unless the fd is a memory file that cannot shrink (sealed now, if it lets us).
fn check_sealed(fd: BorrowedFd<'_>) -> Result<()> {
    let refuse = |what: String| {
        Error::invalid("buffer", format!("fd {} is {what}, neither a dma-buf nor a sealed memfd", fd.as_raw_fd()))
            .with_hint("pass a dma-buf, seal the memfd with F_SEAL_SHRINK, or copy it with Buffer::copy_from")
    };
    match sys::memfd::seals(fd) {
        Some(seals) if seals.contains(SealFlag::F_SEAL_SHRINK) => Ok(()),
        Some(_) => sys::memfd::seal_shrink(fd)
            .map_err(|errno| refuse(format!("a memfd that may shrink and refuses F_SEAL_SHRINK ({errno})"))),
        None => Err(refuse(describe_fd(fd))),
    }
}

/// What an fd is, in words, for errors.
fn describe_fd(fd: BorrowedFd<'_>) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    link.map_or_else(|_| "unknown".into(), |link| format!("\"{}\"", link.display()))
}
