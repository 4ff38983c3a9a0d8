//! Memory that comes again and again: each frame brings new fds for it, which cost nothing but one question.
//!
//! In: a frame's message and fds. Out: a [`Buffer`], the same one for the same memory; or a copy, where the memory may
//! shrink under a mapping. Not here: when the server gets it back.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use crate::buffer::{self, Access, Buffer, Memory, MemoryId};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::format::Modifier;
use crate::layout::{Layout, PlaneLayout};
use crate::sys;

use super::super::OP;
use super::super::caps::Caps;
use super::super::planes::{self, Placement};
use super::super::wire::{MemoryKind, NewBuffer};
use super::HANG;

/// Buffers that are remembered: more than any pool has, and few enough to find quickly.
const REMEMBERED: usize = 32;
/// The largest picture that is copied: a file can claim any length and cost nothing, a copy costs memory.
const MAX_COPY_BYTES: u64 = 1 << 30;

/// What was imported before, oldest use first.
#[derive(Default)]
pub(super) struct Imports {
    known: VecDeque<(Vec<MemoryId>, Buffer)>,
    /// Memory for copies; free where nobody else holds it.
    copies: Vec<Buffer>,
}

impl Imports {
    /// The frame's buffer, and whether its memory is the sender's own.
    /// A copy is made once `fence` has signaled.
    pub(super) fn take(
        &mut self,
        message: &NewBuffer,
        caps: &Caps,
        fds: Vec<OwnedFd>,
        fence: Option<&Fence>,
    ) -> Result<(Buffer, bool)> {
        let wrong = |error: Error| error.in_context(format!("NEW_BUFFER {}", message.id));
        let placement = planes::place(message, caps)?;
        // Known memory is what it was: its fds are open, so no other file has its inode.
        let inodes = fds.iter().map(|fd| buffer::inode(fd.as_fd())).collect::<Result<Vec<_>>>().map_err(wrong)?;
        if let Some(buffer) = self.known(&inodes, &placement)
            && (buffer.memory() == Memory::DmaBuf) == (message.memory == MemoryKind::DmaBuf)
        {
            return Ok((buffer, true));
        }
        let mut ids = Vec::new();
        for fd in &fds {
            match buffer::identify(fd.as_fd()) {
                Ok((Memory::SealedMemfd, _)) if message.memory == MemoryKind::DmaBuf => {
                    return Err(wrong(Error::invalid(OP, "it is said to be a dma-buf, and is a memory file")));
                }
                Ok((_, id)) => ids.push(id),
                Err(error) if message.memory == MemoryKind::DmaBuf => return Err(wrong(error)),
                // Memory that may shrink is read, never mapped.
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    fence.map_or(Ok(()), |fence| fence.wait(Some(HANG)))?;
                    return self.copy(&placement, &fds).map(|buffer| (buffer, false)).map_err(wrong);
                }
                Err(error) => return Err(wrong(error)),
            }
        }
        let planes: Vec<MemoryId> = placement.memory.iter().map(|index| ids[*index]).collect();
        let mut fds: Vec<Option<OwnedFd>> = fds.into_iter().map(Some).collect();
        let one = placement.memory.iter().all(|index| *index == placement.memory[0]);
        let wanted = if one { &placement.memory[..1] } else { &placement.memory[..] };
        let mut plane_fds: Vec<OwnedFd> = Vec::new();
        for (position, index) in wanted.iter().enumerate() {
            // A memory that holds several planes is named by several fds.
            let again = wanted[position + 1..].contains(index);
            let fd = match again {
                true => fds[*index].as_ref().map(OwnedFd::try_clone).transpose(),
                false => Ok(fds[*index].take()),
            };
            plane_fds.extend(fd.map_err(|error| Error::from_io("dup", OP, error))?);
        }
        let buffer = Buffer::from_fds(placement.layout, plane_fds).map_err(wrong)?;
        self.known.push_back((planes, buffer.clone()));
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
        Ok((buffer, true))
    }

    /// What was made of these memories before.
    fn known(&mut self, ids: &[MemoryId], placement: &Placement) -> Option<Buffer> {
        let planes = || placement.memory.iter().map(|index| ids[*index]);
        let is_it = |(ids, buffer): &(Vec<MemoryId>, Buffer)| {
            ids.iter().copied().eq(planes()) && *buffer.layout() == placement.layout
        };
        let known = self.known.iter().position(is_it).and_then(|index| self.known.remove(index))?;
        let buffer = known.1.clone();
        self.known.push_back(known);
        Some(buffer)
    }

    /// Reads the planes into memory of our own.
    fn copy(&mut self, placement: &Placement, fds: &[OwnedFd]) -> Result<Buffer> {
        let from = &placement.layout;
        let mut end = 0u64;
        let mut planes: Vec<PlaneLayout> = Vec::new();
        for (index, plane) in from.planes().iter().enumerate() {
            let offset_bytes = end.next_multiple_of(64);
            planes.push(PlaneLayout { offset_bytes, ..*plane });
            // Checked when the placement was made: it lies inside memory of a size that fits.
            end = offset_bytes + (from.plane_end(index)? - plane.offset_bytes);
        }
        if end > MAX_COPY_BYTES {
            return Err(Error::invalid(OP, format!("{from}: {end} bytes; at most {MAX_COPY_BYTES} are copied")));
        }
        let layout = Layout::new(from.fourcc, from.size, Modifier::LINEAR, &planes)?;
        self.copies.retain(|copy| *copy.layout() == layout);
        let buffer = match self.copies.iter().find(|copy| copy.is_sole()) {
            Some(free) => free.clone(),
            None => {
                // A lie about the size must not cost memory: the file has to be as long as it says.
                for (index, memory) in placement.memory.iter().enumerate() {
                    let have = sys::dma_buf::size_bytes(&fds[*memory])
                        .map_err(|errno| Error::from_errno("lseek", "the size of a memory", errno))?;
                    from.check_fits(index, have)?;
                }
                let fd = sys::memfd::create_sealed("darkframe-received", end)
                    .map_err(|errno| Error::from_errno("memfd_create", format!("{end} bytes"), errno))?;
                let buffer = Buffer::from_fds(layout, vec![fd])?;
                self.copies.push(buffer.clone());
                buffer
            }
        };
        let mut map = buffer.map(Access::Write)?;
        for (index, plane) in from.planes().iter().enumerate() {
            let fd = &fds[placement.memory[index]];
            let into = map.plane_mut(index);
            let mut done = 0;
            while done < into.len() {
                let at = plane.offset_bytes + done as u64;
                match nix::sys::uio::pread(fd, &mut into[done..], at as libc::off_t) {
                    Ok(0) => {
                        let detail = format!("the memory ends at byte {at}, inside plane {index}: it has shrunk");
                        return Err(Error::invalid("pread", detail));
                    }
                    Ok(count) => done += count,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(Error::from_errno("pread", format!("plane {index}, byte {at}"), errno)),
                }
            }
        }
        drop(map);
        Ok(buffer)
    }
}
