//! A glTF document to a [`Model`].
//!
//! In: a file. Out: its default scene, checked. Not here: bytes (`buffers`), numbers (`accessor`).
//!
//! # References
//! glTF 2.0 specification, sections 3.5 (nodes), 3.7 (meshes), 3.9 (materials), 3.10 (cameras)

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use glam::{DAffine3, DMat4, DQuat, DVec3};
use gltf::json;
use gltf::mesh::{Mode, Semantic};
use gltf::{Document, Gltf};

use crate::error::Result;

use super::accessor::Numbers;
use super::geometry::{self, Order, Vertices};
use super::{
    AlphaMode, Camera, Draw, Lens, MAX_CORNERS, MAX_DRAWS, MAX_FILE_BYTES, Material, Model, Part, Picture, Repeat,
    TextureReading, buffers, invalid, too_much, unsupported,
};

/// Vertices that 16-bit indices tell apart.
const CHUNK_VERTICES: usize = 1 << 16;

/// Reads a model.
pub(super) fn read(path: &Path) -> Result<Model> {
    let mut files = vec![path.to_owned()];
    let bytes = buffers::read_file(path, MAX_FILE_BYTES)?;
    let Gltf { document, blob } = parse(path, &bytes)?;
    drop(bytes);
    let root = document.as_json();
    let buffers = buffers::buffers(path, root, blob, &mut files)?;
    let nodes = walk(path, &document)?;
    let numbers = Numbers::new(path, root, &buffers);
    let mut reader = Reader {
        path,
        numbers,
        buffers: &buffers,
        decoder: buffers::Decoder::new(),
        files,
        model_images: Vec::new(),
        pictures: HashMap::new(),
        materials: Vec::new(),
        known_materials: HashMap::new(),
        parts: Vec::new(),
        meshes: HashMap::new(),
        left_out: BTreeSet::new(),
        corners: 0,
    };
    let (mut draws, mut cameras) = (Vec::new(), Vec::new());
    for (node, place) in nodes {
        if let Some(camera) = node.camera() {
            cameras.push(read_camera(path, root, &camera, node.name(), place)?);
        }
        let Some(mesh) = node.mesh() else { continue };
        if node.skin().is_some() {
            reader.left_out.insert("skins: skinned meshes stand as they were made".into());
        }
        for part in reader.mesh(&mesh)? {
            draws.push(Draw { part, place });
        }
        if draws.len() > MAX_DRAWS {
            return Err(too_much(path, format!("its nodes draw more than {MAX_DRAWS} things")));
        }
    }
    if document.animations().next().is_some() {
        reader.left_out.insert("animations: nodes stand where the file puts them".into());
    }
    if draws.is_empty() {
        let why: Vec<String> = reader.left_out.into_iter().collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
        let error = invalid(path, format!("the scene has no triangles{why}"));
        return Err(error.with_hint("a node of the default scene must have a mesh of triangles"));
    }
    let (center, radius) = bounds(&reader.parts, &draws);
    if !(center.is_finite() && radius < 1e18) {
        return Err(invalid(path, "the scene is larger than 1e18: its nodes scale too much"));
    }
    let Reader { files, parts, materials, model_images: images, left_out, .. } = reader;
    let left_out = left_out.into_iter().collect();
    Ok(Model { files, parts, draws, materials, images, cameras, center, radius, left_out })
}

/// Parses and validates the JSON and its chunks.
fn parse(path: &Path, bytes: &[u8]) -> Result<Gltf> {
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    if bytes.is_empty() {
        return Err(invalid(path, "the file is empty"));
    }
    if bytes.starts_with(b"glTF") {
        // The crate counts on a header that is whole.
        let (Some(version), Some(length)) = (word(4), word(8)) else {
            return Err(invalid(path, "the file ends in its header"));
        };
        if version != 2 {
            return Err(unsupported(path, format!("binary glTF version {version}: version 2 is read")));
        }
        if (length as usize) < 20 || length as usize > bytes.len() {
            let detail = format!("the header says {length} bytes, the file has {}", bytes.len());
            return Err(invalid(path, detail).with_hint("the file is cut or damaged"));
        }
    }
    let said = |error: gltf::Error| {
        let text = match &error {
            gltf::Error::Deserialize(error) if !bytes.starts_with(b"glTF") => format!("no glTF: {error}"),
            gltf::Error::Validation(errors) => match errors.first() {
                Some((place, what)) => format!("{place}: {what}"),
                None => error.to_string(),
            },
            _ => error.to_string(),
        };
        invalid(path, text.replace('\n', " "))
    };
    let Gltf { document, blob } = Gltf::from_slice_without_validation(bytes).map_err(said)?;
    let root = document.into_json();
    let (version, minimum) = (&root.asset.version, &root.asset.min_version);
    if minimum.as_ref().unwrap_or(version).split('.').next() != Some("2") {
        let detail = format!("glTF version \"{}\": version 2 is read", minimum.as_ref().unwrap_or(version));
        return Err(unsupported(path, detail).with_hint("export it as glTF 2.0"));
    }
    let known = json::extensions::ENABLED_EXTENSIONS;
    if let Some(needed) = root.extensions_required.iter().find(|name| !known.contains(&name.as_str())) {
        let detail = format!("it requires the extension {needed}, which is not read");
        return Err(unsupported(path, detail).with_hint("export it without compression and extensions"));
    }
    // The validator looks these up before it checks them.
    for (index, mesh) in root.meshes.iter().enumerate() {
        for primitive in &mesh.primitives {
            if let Some(wrong) = primitive.attributes.values().find(|at| at.value() >= root.accessors.len()) {
                return Err(invalid(path, format!("mesh {index}: there is no accessor {}", wrong.value())));
            }
        }
    }
    for (index, camera) in root.cameras.iter().enumerate() {
        if camera.perspective.is_none() && camera.orthographic.is_none() {
            return Err(invalid(path, format!("camera {index} has no lens")));
        }
    }
    let document = Document::from_json(root).map_err(said)?;
    Ok(Gltf { document, blob })
}

/// The nodes of the default scene and their places in the world. Each node is met once, or it is an error.
fn walk<'a>(path: &Path, document: &'a Document) -> Result<Vec<(gltf::Node<'a>, DMat4)>> {
    let all = document.nodes().len();
    let mut met = vec![false; all];
    let mut open: Vec<(gltf::Node<'a>, DMat4)> = match document.default_scene().or_else(|| document.scenes().next()) {
        Some(scene) => scene.nodes().map(|node| (node, DMat4::IDENTITY)).collect(),
        // A library of meshes: whatever no other node holds.
        None => {
            let held: BTreeSet<usize> = document.nodes().flat_map(|node| node.children()).map(|n| n.index()).collect();
            let free = document.nodes().filter(|node| !held.contains(&node.index()));
            free.map(|node| (node, DMat4::IDENTITY)).collect()
        }
    };
    open.reverse();
    let mut nodes = Vec::new();
    while let Some((node, parent)) = open.pop() {
        let index = node.index();
        if std::mem::replace(&mut met[index], true) {
            let detail = format!("node {index} is reached twice: nodes must be a tree, not a circle");
            return Err(invalid(path, detail));
        }
        let own = match node.transform() {
            gltf::scene::Transform::Matrix { matrix } => {
                DMat4::from_cols_array_2d(&matrix.map(|column| column.map(f64::from)))
            }
            gltf::scene::Transform::Decomposed { translation, rotation, scale } => {
                let rotation = DQuat::from_array(rotation.map(f64::from));
                let rotation = if rotation.length_squared() > 1e-12 { rotation.normalize() } else { DQuat::NAN };
                let translation = DVec3::from(translation.map(f64::from));
                DMat4::from(DAffine3::from_scale_rotation_translation(
                    DVec3::from(scale.map(f64::from)),
                    rotation,
                    translation,
                ))
            }
        };
        let place = parent * own;
        let numbers = place.to_cols_array();
        let is_affine = [3, 7, 11].iter().all(|at| numbers[*at].abs() < 1e-6) && (numbers[15] - 1.0).abs() < 1e-6;
        if !numbers.iter().all(|number| number.abs() < 1e18) || !is_affine {
            return Err(invalid(path, format!("node {index}: its transform is not finite, or not affine")));
        }
        for child in node.children() {
            open.push((child, place));
        }
        nodes.push((node, place));
    }
    Ok(nodes)
}

/// The middle of the box around everything, and the distance of the farthest corner from it.
fn bounds(parts: &[Part], draws: &[Draw]) -> (DVec3, f64) {
    let corners = |draw: &Draw| {
        let (part, place) = (&parts[draw.part], draw.place);
        let floats = if part.has_colors { 12 } else { 8 };
        let all = part.chunks.iter().flat_map(move |chunk| chunk.vertices.chunks_exact(floats));
        all.map(move |vertex| place.transform_point3(DVec3::new(vertex[0].into(), vertex[1].into(), vertex[2].into())))
    };
    let (mut low, mut high) = (DVec3::INFINITY, DVec3::NEG_INFINITY);
    for corner in draws.iter().flat_map(corners) {
        (low, high) = (low.min(corner), high.max(corner));
    }
    let center = (low + high) / 2.0;
    let radius = draws.iter().flat_map(corners).map(|corner| corner.distance_squared(center)).fold(0.0, f64::max);
    (center, radius.sqrt())
}

fn read_camera(
    path: &Path,
    root: &json::Root,
    camera: &gltf::Camera<'_>,
    node: Option<&str>,
    place: DMat4,
) -> Result<Camera> {
    let index = camera.index();
    let name = camera.name().or(node).map_or_else(|| format!("camera {index}"), str::to_owned);
    let wrong = |what: &str| Err(invalid(path, format!("camera {index}: {what}")));
    // The gltf crate unwraps the lens that the type names.
    let json = &root.cameras[index];
    let lens = if let (json::camera::Type::Perspective, Some(lens)) = (json.type_.unwrap(), &json.perspective) {
        let (near, far) = (f64::from(lens.znear), lens.zfar.map(f64::from));
        let height_radians = f64::from(lens.yfov);
        if !(height_radians > 0.0 && height_radians < std::f64::consts::PI) {
            return wrong("yfov: expected more than 0 and less than pi");
        }
        if !(near > 0.0 && far.is_none_or(|far| far > near && far.is_finite())) {
            return wrong("expected 0 < znear < zfar");
        }
        Lens::Perspective { height_radians, near, far }
    } else if let (json::camera::Type::Orthographic, Some(lens)) = (json.type_.unwrap(), &json.orthographic) {
        let half = [f64::from(lens.xmag), f64::from(lens.ymag)];
        let (near, far) = (f64::from(lens.znear), f64::from(lens.zfar));
        if !half.iter().all(|half| half.is_finite() && half.abs() > 0.0) {
            return wrong("xmag and ymag must not be 0");
        }
        if !(near >= 0.0 && far > near && far.is_finite()) {
            return wrong("expected 0 <= znear < zfar");
        }
        Lens::Orthographic { half: half.map(f64::abs), near, far }
    } else {
        return wrong("its type is another than its lens");
    };
    Ok(Camera { name, place, lens })
}

/// What is read of the file once, however often it is drawn.
struct Reader<'a> {
    path: &'a Path,
    numbers: Numbers<'a>,
    buffers: &'a [Vec<u8>],
    decoder: buffers::Decoder,
    files: Vec<PathBuf>,
    model_images: Vec<Picture>,
    /// From images of the file to those of the model.
    pictures: HashMap<usize, usize>,
    materials: Vec<Material>,
    known_materials: HashMap<Option<usize>, usize>,
    parts: Vec<Part>,
    /// The parts of each mesh.
    meshes: HashMap<usize, Vec<usize>>,
    left_out: BTreeSet<String>,
    corners: usize,
}

impl Reader<'_> {
    fn mesh(&mut self, mesh: &gltf::Mesh<'_>) -> Result<Vec<usize>> {
        if let Some(parts) = self.meshes.get(&mesh.index()) {
            return Ok(parts.clone());
        }
        let mut parts = Vec::new();
        for primitive in mesh.primitives() {
            let order = match primitive.mode() {
                Mode::Triangles => Order::List,
                Mode::TriangleStrip => Order::Strip,
                Mode::TriangleFan => Order::Fan,
                mode => {
                    self.left_out.insert(format!("{mode:?}: only triangles are drawn"));
                    continue;
                }
            };
            if primitive.morph_targets().next().is_some() {
                self.left_out.insert("morph targets: meshes stand as they were made".into());
            }
            if let Some(part) = self.part(&primitive, order)? {
                self.parts.push(part);
                parts.push(self.parts.len() - 1);
            }
        }
        self.meshes.insert(mesh.index(), parts.clone());
        Ok(parts)
    }

    fn part(&mut self, primitive: &gltf::Primitive<'_>, order: Order) -> Result<Option<Part>> {
        let path = self.path;
        let Some(accessor) = primitive.get(&Semantic::Positions) else {
            return Err(invalid(path, "a primitive without POSITION"));
        };
        let (_, positions) = self.numbers.floats(&accessor, "POSITION", &[3])?;
        let count = positions.len() / 3;
        let corners = match primitive.indices() {
            Some(accessor) => self.numbers.indices(&accessor, count)?,
            None => (0..count as u32).collect(),
        };
        let corners = geometry::triangles(order, corners);
        if corners.is_empty() {
            return Ok(None);
        }
        self.corners += corners.len();
        if self.corners > MAX_CORNERS {
            return Err(too_much(path, format!("models end at {MAX_CORNERS} corners of triangles")));
        }
        let material = self.material(&primitive.material())?;
        let set = texture_set(&primitive.material());
        let other = |semantic: Semantic, what: &str, sizes: &[usize]| -> Result<(usize, Vec<f32>)> {
            let Some(accessor) = primitive.get(&semantic) else { return Ok((0, Vec::new())) };
            let (components, numbers) = self.numbers.floats(&accessor, what, sizes)?;
            if numbers.len() / components != count {
                let detail = format!("{what} has {} elements, POSITION {count}", numbers.len() / components);
                return Err(invalid(path, detail));
            }
            Ok((components, numbers))
        };
        let (_, normals) = other(Semantic::Normals, "NORMAL", &[3])?;
        let (_, mut coordinates) = other(Semantic::TexCoords(set), &format!("TEXCOORD_{set}"), &[2])?;
        let (components, mut colors) = other(Semantic::Colors(0), "COLOR_0", &[3, 4])?;
        if components == 3 {
            colors = colors.chunks_exact(3).flat_map(|c| [c[0], c[1], c[2], 1.0]).collect();
        }
        transform(&primitive.material(), &mut coordinates);
        let (mut low, mut high) = (DVec3::INFINITY, DVec3::NEG_INFINITY);
        for place in positions.chunks_exact(3) {
            let place = DVec3::new(place[0].into(), place[1].into(), place[2].into());
            (low, high) = (low.min(place), high.max(place));
        }
        let has_colors = !colors.is_empty();
        let vertices = Vertices { positions, normals, coordinates, colors };
        let chunks = vertices.chunks(&corners, CHUNK_VERTICES);
        Ok(Some(Part { material, has_colors, chunks, center: (low + high) / 2.0 }))
    }

    fn material(&mut self, material: &gltf::Material<'_>) -> Result<usize> {
        if let Some(known) = self.known_materials.get(&material.index()) {
            return Ok(*known);
        }
        let surface = material.pbr_metallic_roughness();
        let factor = surface.base_color_factor();
        if !factor.iter().all(|part| (0.0..=1.0).contains(part)) {
            let detail = format!("material {:?}: baseColorFactor {factor:?}: expected 0 to 1", material.index());
            return Err(invalid(self.path, detail));
        }
        let texture = match surface.base_color_texture() {
            Some(info) => {
                let texture = info.texture();
                let image = texture.source().index();
                let picture = match self.pictures.get(&image) {
                    Some(picture) => *picture,
                    None => {
                        let root = self.numbers.root;
                        let picture = self.decoder.picture(self.path, root, self.buffers, image, &mut self.files)?;
                        self.model_images.push(picture);
                        self.pictures.insert(image, self.model_images.len() - 1);
                        self.model_images.len() - 1
                    }
                };
                Some((picture, reading(&texture.sampler())))
            }
            None => None,
        };
        let cutoff = material.alpha_cutoff().unwrap_or(0.5);
        self.materials.push(Material {
            factor,
            texture,
            unlit: material.unlit(),
            double_sided: material.double_sided(),
            alpha: match material.alpha_mode() {
                gltf::material::AlphaMode::Opaque => AlphaMode::Opaque,
                gltf::material::AlphaMode::Mask => AlphaMode::Mask(cutoff),
                gltf::material::AlphaMode::Blend => AlphaMode::Blend,
            },
        });
        self.known_materials.insert(material.index(), self.materials.len() - 1);
        Ok(self.materials.len() - 1)
    }
}

/// Which set of texture coordinates a material reads.
fn texture_set(material: &gltf::Material<'_>) -> u32 {
    let info = material.pbr_metallic_roughness().base_color_texture();
    info.map_or(0, |info| {
        let other = info.texture_transform().and_then(|transform| transform.tex_coord());
        other.unwrap_or(info.tex_coord())
    })
}

/// `KHR_texture_transform`, done once for all frames.
fn transform(material: &gltf::Material<'_>, coordinates: &mut [f32]) {
    let info = material.pbr_metallic_roughness().base_color_texture();
    let Some(transform) = info.as_ref().and_then(|info| info.texture_transform()) else { return };
    let (offset, scale, (sin, cos)) = (transform.offset(), transform.scale(), transform.rotation().sin_cos());
    for at in coordinates.chunks_exact_mut(2) {
        let (u, v) = (at[0] * scale[0], at[1] * scale[1]);
        at[0] = cos * u + sin * v + offset[0];
        at[1] = -sin * u + cos * v + offset[1];
    }
}

fn reading(sampler: &gltf::texture::Sampler<'_>) -> TextureReading {
    use gltf::texture::{MagFilter, MinFilter, WrappingMode};
    let wrap = |mode| match mode {
        WrappingMode::ClampToEdge => Repeat::Clamp,
        WrappingMode::Repeat => Repeat::Again,
        WrappingMode::MirroredRepeat => Repeat::Mirrored,
    };
    let smaller = sampler.min_filter();
    TextureReading {
        larger_is_linear: sampler.mag_filter() != Some(MagFilter::Nearest),
        smaller_is_linear: smaller != Some(MinFilter::Nearest),
        mipmaps: !matches!(smaller, Some(MinFilter::Nearest | MinFilter::Linear)),
        wraps: [wrap(sampler.wrap_s()), wrap(sampler.wrap_t())],
    }
}
