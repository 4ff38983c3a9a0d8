//! Images and buffers that are imported once: whoever sends frames has few memories and sends them again and again.
//!
//! In: buffers as they come. Out: the image of each memory. Not here: how an image is made.

use std::collections::VecDeque;

use ash::vk;

use super::{Device, Image, ImportOptions, LinearBuffer};
use crate::buffer::{Buffer, MemoryId};
use crate::error::Result;
use crate::layout::Layout;

/// Memories that are remembered: as many as a client of the frame server remembers.
const REMEMBERED: usize = 32;

/// What tells one memory from another: an fd of the same memory has the same inode in every process.
type Key = (Layout, Vec<MemoryId>);

/// Images of memories, latest use last. Those whose memory nobody else holds are let go at the next import.
#[derive(Debug)]
pub struct Imports {
    device: Device,
    options: ImportOptions,
    known: VecDeque<(Key, Image)>,
    imports: u64,
}

impl Imports {
    /// An empty one.
    pub fn new(device: &Device, options: ImportOptions) -> Self {
        Self { device: device.clone(), options, known: VecDeque::new(), imports: 0 }
    }

    /// The image of the buffer's memory: the one it had before, or a new one.
    ///
    /// # Errors
    /// Those of [`Image::import`].
    pub fn take(&mut self, buffer: &Buffer) -> Result<Image> {
        let planes = 0..buffer.layout().planes().len();
        let key = (buffer.layout().clone(), planes.map(|plane| buffer.plane_id(plane)).collect());
        let known = self.known.iter().position(|(known, _)| *known == key).and_then(|index| self.known.remove(index));
        let entry = match known {
            Some(entry) => entry,
            None => {
                // One clone is with the image.
                self.known.retain(|(_, image)| image.buffer().clones() > 1);
                let image = Image::import(&self.device, buffer, &self.options)?;
                self.imports += 1;
                (key, image)
            }
        };
        let image = entry.1.clone();
        self.known.push_back(entry);
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
        Ok(image)
    }

    /// How many memories were imported, those that are forgotten too.
    pub fn imports(&self) -> u64 {
        self.imports
    }
}

/// Linear memories, likewise: a [`LinearBuffer`] for each plane, one for those that share a memory.
pub(super) struct LinearImports {
    device: Device,
    usage: vk::BufferUsageFlags,
    known: VecDeque<(Key, Vec<LinearBuffer>)>,
}

impl std::fmt::Debug for LinearImports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinearImports({} known)", self.known.len())
    }
}

impl LinearImports {
    pub fn new(device: &Device, usage: vk::BufferUsageFlags) -> Self {
        Self { device: device.clone(), usage, known: VecDeque::new() }
    }

    /// The buffer of each plane.
    pub fn take(&mut self, buffer: &Buffer) -> Result<Vec<LinearBuffer>> {
        let planes = 0..buffer.layout().planes().len();
        let ids: Vec<MemoryId> = planes.map(|plane| buffer.plane_id(plane)).collect();
        let key = (buffer.layout().clone(), ids.clone());
        let known = self.known.iter().position(|(known, _)| *known == key).and_then(|index| self.known.remove(index));
        let entry = match known {
            Some(entry) => entry,
            None => {
                // One clone is with each.
                self.known.retain(|(_, made)| {
                    made.first().and_then(LinearBuffer::buffer).is_some_and(|buffer| buffer.clones() > made.len())
                });
                let mut made: Vec<LinearBuffer> = Vec::new();
                for (plane, id) in ids.iter().enumerate() {
                    let same = ids[..plane].iter().position(|known| known == id);
                    made.push(match same {
                        Some(same) => made[same].clone(),
                        None => LinearBuffer::import(&self.device, buffer, plane, self.usage)?,
                    });
                }
                (key, made)
            }
        };
        let made = entry.1.clone();
        self.known.push_back(entry);
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
        Ok(made)
    }
}
