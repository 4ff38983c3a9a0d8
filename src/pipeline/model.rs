//! Models: triangles with materials, placed by the nodes of a scene, and the cameras that look at them.
//!
//! In: a glTF 2.0 file. Out: a [`Model`] whose every number has been checked. Not here: drawing it (`pass::mesh`).
//!
//! What is taken of a file: triangles of every kind with normals, one set of texture coordinates and vertex colours;
//! base colour factor and texture; alpha modes; the scene's nodes; cameras; `KHR_materials_unlit` and
//! `KHR_texture_transform`. Skins, morph targets and animations are not: such models stand as they were made.
//!
//! Files may come from anybody. Whatever they say is checked before memory is made of it, and what is wrong is an error
//! with the file's name.

use std::path::{Path, PathBuf};

use glam::{DMat4, DVec3};

use crate::error::{Error, ErrorKind, Result};
use crate::layout::Size;

mod accessor;
mod buffers;
mod document;
mod geometry;
pub mod view;

/// What may be read of one file, and of the files that it names.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// How many corners a model may have, and how often its nodes may draw something.
const MAX_CORNERS: usize = 1 << 25;
const MAX_DRAWS: usize = 1 << 16;

/// A model.
#[derive(Debug)]
pub struct Model {
    /// The file, and those that it names.
    pub files: Vec<PathBuf>,
    /// Triangles of one material each, in the coordinates of their mesh.
    pub parts: Vec<Part>,
    /// What is drawn.
    pub draws: Vec<Draw>,
    /// What surfaces look like.
    pub materials: Vec<Material>,
    /// Base colour textures, decoded.
    pub images: Vec<Picture>,
    /// The cameras of the scene.
    pub cameras: Vec<Camera>,
    /// The middle of the box around everything that is drawn.
    pub center: DVec3,
    /// How far the farthest corner is from there.
    pub radius: f64,
    /// What of the file is not drawn, in words.
    pub left_out: Vec<String>,
}

/// Triangles of one material.
#[derive(Debug)]
pub struct Part {
    /// Index into [`Model::materials`].
    pub material: usize,
    /// Vertices have colours of their own.
    pub has_colors: bool,
    /// As few as 16-bit indices allow.
    pub chunks: Vec<Chunk>,
    /// The middle of the box around it.
    pub center: DVec3,
}

/// Vertices and the triangles between them.
#[derive(Debug, Default, PartialEq)]
pub struct Chunk {
    /// For each vertex place (3 floats), normal (3), texture coordinates (2), and colour (4) where there are any.
    pub vertices: Vec<f32>,
    /// Three for each triangle.
    pub indices: Vec<u16>,
}

/// A part, somewhere in the world.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Index into [`Model::parts`].
    pub part: usize,
    /// From the mesh's coordinates to the world's.
    pub place: DMat4,
}

/// What a surface looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Material {
    /// Multiplies the texture: linear light, and straight alpha.
    pub factor: [f32; 4],
    /// Index into [`Model::images`], and how the picture is read.
    pub texture: Option<(usize, TextureReading)>,
    /// Light does not matter.
    pub unlit: bool,
    /// The back is seen too.
    pub double_sided: bool,
    /// What alpha does.
    pub alpha: AlphaMode,
}

/// What alpha does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AlphaMode {
    /// Nothing.
    Opaque,
    /// Below this nothing is drawn, else all of it.
    Mask(f32),
    /// It mixes with what is behind.
    Blend,
}

/// How a texture is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextureReading {
    /// Larger than its size: between texels, or the nearest.
    pub larger_is_linear: bool,
    /// Smaller than its size.
    pub smaller_is_linear: bool,
    /// Smaller pictures are made of it.
    pub mipmaps: bool,
    /// Across and down.
    pub wraps: [Repeat; 2],
}

/// What lies beyond the edges of a texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The last texel.
    Clamp,
    /// The picture again.
    Again,
    /// The picture mirrored.
    Mirrored,
}

/// A decoded picture: bytes R, G, B, A, row 0 at the top.
#[derive(Debug)]
pub struct Picture {
    /// In pixels.
    pub size: Size,
    /// As many as four times the pixels.
    pub bytes: Vec<u8>,
}

/// A camera of the file.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Its name, or its node's.
    pub name: String,
    /// From the camera's coordinates to the world's; it looks along -z.
    pub place: DMat4,
    /// What it sees.
    pub lens: Lens,
}

/// What a camera sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lens {
    /// As eyes do.
    Perspective {
        /// From the lower edge of the picture to the upper one, in radians.
        height_radians: f64,
        /// Nothing nearer is seen.
        near: f64,
        /// Nothing farther is seen.
        far: Option<f64>,
    },
    /// Without perspective.
    Orthographic {
        /// Half of the picture's width and height, in the model's units.
        half: [f64; 2],
        /// Nothing nearer is seen.
        near: f64,
        /// Nothing farther is seen.
        far: f64,
    },
}

impl Model {
    /// Reads a `.gltf` or `.glb` file and what it names.
    ///
    /// # Errors
    /// `NotFound` and the like for each of the files; `InvalidInput` with the file and what is wrong in it;
    /// `Unsupported` for another version than 2, an extension that the file requires, or an image of another kind than
    /// PNG and JPEG; `OutOfMemory` for more than a model may have.
    pub fn open(path: &Path) -> Result<Self> {
        document::read(path)
    }

    /// Triangles in the file; a mesh that several nodes draw counts for each.
    pub fn triangles(&self) -> usize {
        let of = |draw: &Draw| self.parts[draw.part].chunks.iter().map(|chunk| chunk.indices.len() / 3).sum::<usize>();
        self.draws.iter().map(of).sum()
    }

    /// Things that are drawn one by one.
    pub fn draw_count(&self) -> usize {
        self.draws.len()
    }

    /// Some surface mixes with what is behind it.
    pub fn blends(&self) -> bool {
        self.draws.iter().any(|draw| self.materials[self.parts[draw.part].material].alpha == AlphaMode::Blend)
    }
}

/// Something in the file is wrong.
fn invalid(path: &Path, detail: impl std::fmt::Display) -> Error {
    Error::invalid("glTF", format!("{}: {detail}", path.display()))
}

/// The file is right and asks for what there is not.
fn unsupported(path: &Path, detail: impl std::fmt::Display) -> Error {
    Error::unsupported("glTF", format!("{}: {detail}", path.display()))
}

/// The file asks for more than a model may have.
fn too_much(path: &Path, detail: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::OutOfMemory, "glTF", format!("{}: {detail}", path.display()))
}
