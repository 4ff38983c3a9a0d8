//! Triangles in vertex buffers, and how they are drawn: culled, blended, tested for depth.
//!
//! In: vertices and indices. Out: draws into the bound target. Not here: where they come from (`pipeline::model`), the
//! target with its depth (`depth_target`).
//!
//! Indices have 16 bits: every OpenGL ES has those, and 32 only some. Whoever has more vertices draws in parts.

use glow::HasContext;

use super::gl::Gl;
use super::names::{Kind, Name};
use super::program::Program;
use crate::error::{Error, Result};

/// Numbers of a vertex that reach the vertex shader under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The name in the vertex shader.
    pub name: &'static str,
    /// 1 to 4 floats.
    pub components: u32,
}

/// Vertices, one after the other in one buffer, and the triangles between them.
#[derive(Debug)]
pub struct Geometry {
    vertices: Name,
    indices: Name,
    count: i32,
    attributes: Vec<Attribute>,
}

/// Which side of a triangle is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Both.
    Both,
    /// The one whose corners go round clockwise in GL's window, where y points up.
    Clockwise,
    /// The other one.
    CounterClockwise,
}

/// How triangles meet what is in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The side that faces the viewer, for culling.
    pub front: Sides,
    /// The back is not drawn.
    pub culls: bool,
    /// Colours are multiplied by alpha and mixed with what is behind; depth is tested and not written.
    pub blends: bool,
}

impl Geometry {
    /// Copies vertices (as many floats each as `attributes` have together) and triangles (three indices each) to GL.
    ///
    /// # Errors
    /// `InvalidInput`: floats that make no whole vertices, indices that make no whole triangles or that are beyond the
    /// vertices. `OutOfMemory`.
    pub fn new(gl: &Gl, attributes: &[Attribute], vertices: &[f32], indices: &[u16]) -> Result<Self> {
        let floats: usize = attributes.iter().map(|attribute| attribute.components as usize).sum();
        let whole = floats > 0 && vertices.len().is_multiple_of(floats) && indices.len().is_multiple_of(3);
        let count = i32::try_from(indices.len()).ok().filter(|_| whole);
        let inside = indices.iter().all(|index| (usize::from(*index) + 1) * floats <= vertices.len());
        let Some(count) = count.filter(|_| inside) else {
            let detail = format!(
                "{} floats, {floats} a vertex; {} indices, the largest {}",
                vertices.len(),
                indices.len(),
                indices.iter().max().copied().unwrap_or(0)
            );
            return Err(Error::invalid("glBufferData", detail));
        };
        let vertices: Vec<u8> = vertices.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let indices: Vec<u8> = indices.iter().flat_map(|value| value.to_ne_bytes()).collect();
        Ok(Self {
            vertices: buffer(gl, glow::ARRAY_BUFFER, &vertices)?,
            indices: buffer(gl, glow::ELEMENT_ARRAY_BUFFER, &indices)?,
            count,
            attributes: attributes.to_vec(),
        })
    }

    /// Draws the triangles with `program` into the bound target. Attributes that the program does not use are left out;
    /// those that it uses and the vertices lack are 1.
    ///
    /// # Errors
    /// `InvalidInput`: a program of another context. `Failed`: a GL error is pending after the draw.
    pub fn draw(&self, gl: &Gl, program: &Program, surface: Surface) -> Result<()> {
        gl.check_name(&self.vertices, "glDrawElements")?;
        program.make_current(gl)?;
        let glow = gl.glow();
        let stride: u32 = self.attributes.iter().map(|attribute| attribute.components * 4).sum();
        let mut enabled = Vec::new();
        // SAFETY: a context is current; the buffers hold whole vertices of this stride, and every index is one of them,
        // as `new` has checked; locations are the program's own.
        unsafe {
            glow.bind_buffer(glow::ARRAY_BUFFER, Some(glow::NativeBuffer(self.vertices.raw())));
            glow.bind_buffer(glow::ELEMENT_ARRAY_BUFFER, Some(glow::NativeBuffer(self.indices.raw())));
            let mut offset = 0;
            for attribute in &self.attributes {
                if let Some(location) = program.attribute(gl, attribute.name) {
                    let components = attribute.components as i32;
                    glow.enable_vertex_attrib_array(location);
                    glow.vertex_attrib_pointer_f32(
                        location,
                        components,
                        glow::FLOAT,
                        false,
                        stride as i32,
                        offset as i32,
                    );
                    enabled.push(location);
                }
                offset += attribute.components * 4;
            }
            set_surface(glow, surface);
            glow.draw_elements(glow::TRIANGLES, self.count, glow::UNSIGNED_SHORT, 0);
            set_surface(glow, PLAIN);
            enabled.into_iter().for_each(|location| glow.disable_vertex_attrib_array(location));
            glow.bind_buffer(glow::ELEMENT_ARRAY_BUFFER, None);
        }
        gl.check_error("glDrawElements", || program.label().to_owned())
    }
}

/// What every other draw of this crate takes for granted.
const PLAIN: Surface = Surface { front: Sides::CounterClockwise, culls: false, blends: false };

/// # Safety
/// A context is current.
unsafe fn set_surface(glow: &glow::Context, surface: Surface) {
    // SAFETY: the caller's promise; everything here is in OpenGL ES 2.0.
    unsafe {
        glow.front_face(if surface.front == Sides::Clockwise { glow::CW } else { glow::CCW });
        match surface.culls && surface.front != Sides::Both {
            true => glow.enable(glow::CULL_FACE),
            false => glow.disable(glow::CULL_FACE),
        }
        match surface.blends {
            true => {
                glow.enable(glow::BLEND);
                glow.blend_func(glow::ONE, glow::ONE_MINUS_SRC_ALPHA);
                glow.depth_mask(false);
            }
            false => {
                glow.disable(glow::BLEND);
                glow.depth_mask(true);
            }
        }
    }
}

fn buffer(gl: &Gl, target: u32, bytes: &[u8]) -> Result<Name> {
    // SAFETY: a context is current; buffers exist in OpenGL ES 2.0.
    let name = unsafe {
        let buffer = gl.glow().create_buffer().map_err(|error| Error::failed("glGenBuffers", error))?;
        let name = gl.name(Kind::Buffer, buffer.0);
        gl.glow().bind_buffer(target, Some(buffer));
        gl.glow().buffer_data_u8_slice(target, bytes, glow::STATIC_DRAW);
        gl.glow().bind_buffer(target, None);
        name
    };
    gl.check_error("glBufferData", || format!("{} bytes", bytes.len()))?;
    Ok(name)
}
