//! From what a file has to triangles as GL takes them: lists of three, with normals, in parts of at most 65,536 vertices.
//!
//! In: vertices and their order. Out: [`Chunk`]s. Not here: reading them (`accessor`).

use std::collections::HashMap;

use glam::Vec3;

use super::Chunk;

/// In which order corners make triangles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    List,
    Strip,
    Fan,
}

/// Corners of triangles, three each; what is left over is dropped.
pub(super) fn triangles(order: Order, corners: Vec<u32>) -> Vec<u32> {
    match order {
        Order::List => {
            let mut corners = corners;
            corners.truncate(corners.len() / 3 * 3);
            corners
        }
        // Every second triangle of a strip goes round the other way.
        Order::Strip => corners
            .windows(3)
            .enumerate()
            .flat_map(|(at, w)| if at % 2 == 0 { [w[0], w[1], w[2]] } else { [w[0], w[2], w[1]] })
            .collect(),
        Order::Fan => match corners.split_first() {
            Some((first, rest)) => rest.windows(2).flat_map(|w| [w[0], w[1], *first]).collect(),
            None => Vec::new(),
        },
    }
}

/// Numbers of each vertex; `normals`, `coordinates` and `colors` may be empty.
pub(super) struct Vertices {
    pub(super) positions: Vec<f32>,
    pub(super) normals: Vec<f32>,
    pub(super) coordinates: Vec<f32>,
    /// Four each.
    pub(super) colors: Vec<f32>,
}

impl Vertices {
    fn place(&self, vertex: u32) -> Vec3 {
        let at = vertex as usize * 3;
        Vec3::new(self.positions[at], self.positions[at + 1], self.positions[at + 2])
    }

    /// Appends everything of a vertex; `normal` where it has none of its own.
    fn append(&self, vertex: u32, normal: Vec3, into: &mut Vec<f32>) {
        let at = vertex as usize;
        into.extend(self.place(vertex).to_array());
        match self.normals.get(at * 3..at * 3 + 3) {
            Some(normal) => into.extend(normal),
            None => into.extend(normal.to_array()),
        }
        match self.coordinates.get(at * 2..at * 2 + 2) {
            Some(coordinates) => into.extend(coordinates),
            None => into.extend([0.0, 0.0]),
        }
        if let Some(color) = self.colors.get(at * 4..at * 4 + 4) {
            into.extend(color);
        }
    }

    /// The triangles in chunks of at most `limit` vertices. Without normals each triangle is flat, and shares no vertex.
    pub(super) fn chunks(&self, triangles: &[u32], limit: usize) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut chunk = Chunk::default();
        let (mut known, mut count) = (HashMap::<u32, u16>::new(), 0usize);
        let flat = self.normals.is_empty();
        for triangle in triangles.chunks_exact(3) {
            if count + 3 > limit {
                chunks.push(std::mem::take(&mut chunk));
                known.clear();
                count = 0;
            }
            let [a, b, c] = [0, 1, 2].map(|corner| self.place(triangle[corner]));
            // In double precision: corners may be near to each other and far from the origin.
            let normal = (b.as_dvec3() - a.as_dvec3()).cross(c.as_dvec3() - a.as_dvec3()).normalize_or_zero().as_vec3();
            for &vertex in triangle {
                let next = count as u16;
                let index = if flat { next } else { *known.entry(vertex).or_insert(next) };
                if index == next {
                    self.append(vertex, normal, &mut chunk.vertices);
                    count += 1;
                }
                chunk.indices.push(index);
            }
        }
        if !chunk.indices.is_empty() {
            chunks.push(chunk);
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_and_fans_keep_their_side() {
        assert_eq!(triangles(Order::List, vec![0, 1, 2, 3]), [0, 1, 2]);
        assert_eq!(triangles(Order::Strip, vec![0, 1, 2, 3, 4]), [0, 1, 2, 1, 3, 2, 2, 3, 4]);
        assert_eq!(triangles(Order::Fan, vec![0, 1, 2, 3]), [1, 2, 0, 2, 3, 0]);
        for order in [Order::List, Order::Strip, Order::Fan] {
            assert!(triangles(order, vec![0, 1]).is_empty() && triangles(order, Vec::new()).is_empty());
        }
    }

    fn vertices(count: u32, normals: bool) -> Vertices {
        let positions: Vec<f32> = (0..count).flat_map(|at| [at as f32, (at * at % 7) as f32, 1.0]).collect();
        let normals = if normals { positions.iter().map(|_| 0.5).collect() } else { Vec::new() };
        Vertices { positions, normals, coordinates: Vec::new(), colors: Vec::new() }
    }

    /// However small the chunks, the corners are those that were asked for, in order.
    #[test]
    fn chunks_have_the_same_corners() {
        let given = vertices(50, true);
        let corners: Vec<u32> = (0..300u32).map(|at| at.wrapping_mul(2_654_435_761) >> 16).map(|at| at % 50).collect();
        for limit in [3, 4, 7, 20, 65536] {
            let chunks = given.chunks(&corners, limit);
            let mut places = Vec::new();
            for chunk in &chunks {
                assert!(chunk.vertices.len() / 8 <= limit && chunk.vertices.len() % 8 == 0, "{limit}");
                places.extend(chunk.indices.iter().map(|index| chunk.vertices[usize::from(*index) * 8]));
            }
            let expected: Vec<f32> = corners.iter().map(|corner| *corner as f32).collect();
            assert_eq!(places, expected, "{limit}");
        }
        // Shared vertices are there once.
        assert_eq!(given.chunks(&[0, 1, 2, 2, 1, 3], 65536)[0].vertices.len(), 4 * 8);
    }

    #[test]
    fn flat_normals_stand_upright() {
        let given = Vertices {
            positions: vec![0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0, 0.0],
            normals: Vec::new(),
            coordinates: Vec::new(),
            colors: vec![0.5; 12],
        };
        let chunks = given.chunks(&[0, 1, 2, 0, 2, 1], 65536);
        let normals: Vec<&[f32]> = chunks[0].vertices.chunks(12).map(|vertex| &vertex[3..6]).collect();
        assert_eq!(normals, [[0.0, 0.0, 1.0]; 3].iter().chain(&[[0.0, 0.0, -1.0]; 3]).collect::<Vec<_>>());
    }
}
