//! Textures that are made once: whoever sends frames has few memories and sends them again and again.
//!
//! In: buffers as they come. Out: the textures of each memory. Not here: how a texture is made.

use std::collections::VecDeque;

use super::{Device, Texture};
use crate::buffer::{Buffer, MemoryId};
use crate::error::Result;
use crate::layout::Layout;

/// Memories that are remembered: as many as a client of the frame server remembers.
const REMEMBERED: usize = 32;

/// What tells one memory from another: an fd of the same memory has the same inode in every process.
type Key = (Layout, Vec<MemoryId>);

/// What is remembered of one memory.
#[derive(Debug)]
struct Entry {
    key: Key,
    textures: Vec<Texture>,
    buffer: Buffer,
    /// Clones of the buffer that are here.
    clones: usize,
}

/// Textures of memories, latest use last. Those whose memory nobody else holds are let go at the next import.
#[derive(Debug)]
pub struct Imports {
    device: Device,
    usage: wgpu::TextureUsages,
    known: VecDeque<Entry>,
    imports: u64,
}

impl Imports {
    /// An empty one.
    pub fn new(device: &Device, usage: wgpu::TextureUsages) -> Self {
        Self { device: device.clone(), usage, known: VecDeque::new(), imports: 0 }
    }

    /// The textures of the buffer's planes: those it had before, or new ones. RGB has one.
    ///
    /// # Errors
    /// Those of [`Texture::import_planes`].
    pub fn take(&mut self, buffer: &Buffer) -> Result<Vec<Texture>> {
        let planes = 0..buffer.layout().planes().len();
        let key = (buffer.layout().clone(), planes.map(|plane| buffer.plane_id(plane)).collect());
        let known = self.known.iter().position(|entry| entry.key == key).and_then(|index| self.known.remove(index));
        let entry = match known {
            Some(entry) => entry,
            None => {
                self.known.retain(|entry| {
                    entry.buffer.clones() > entry.clones || !entry.textures.iter().all(Texture::is_alone)
                });
                let before = buffer.clones();
                let kept = buffer.clone();
                let textures = Texture::import_planes(&self.device, buffer, self.usage)?;
                self.imports += 1;
                Entry { key, textures, clones: buffer.clones() - before, buffer: kept }
            }
        };
        let textures = entry.textures.clone();
        self.known.push_back(entry);
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
        Ok(textures)
    }

    /// How many memories were imported, those that are forgotten too.
    pub fn imports(&self) -> u64 {
        self.imports
    }
}
