//! Models drawn by the machine's own driver, against rays and arithmetic in double precision written here.
//!
//! Skips only where no driver gives OpenGL ES. Every picture is made with the newest version and with 2.0 alone.

use std::path::PathBuf;

use darkframe::error::{Error, ErrorKind};
use darkframe::pipeline::Description;
use darkframe::pipeline::model::Model;
use darkframe::pipeline::plan::Plan;
use darkframe::pipeline::runner::{self, Options};
use image::{Rgba, RgbaImage};
use serde_json::json;

#[path = "mesh/file.rs"]
mod file;
#[path = "mesh/hostile.rs"]
mod hostile;
#[path = "mesh/rays.rs"]
mod rays;

use file::File;
use rays::{Eye, Triangle, V, turned};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-mesh-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// Runs a description that lies in this folder and writes `OUT`, one frame after the other.
    fn run(&self, text: &str, max_version: Option<(u8, u8)>) -> Result<Vec<u8>, Error> {
        let out = self.0.join("out.rgba");
        let text = text.replace("OUT", &out.display().to_string());
        let description = Description::parse(self.0.join("p.toml"), text)?;
        runner::run(&description, Options { max_version, ..Options::default() })?;
        Ok(std::fs::read(&out).unwrap())
    }

    /// The pictures of `mesh = { KEYS }` in a size; `None` where there is no driver. The same with OpenGL ES 2.0.
    fn draw(&self, keys: &str, pass: &str, (width, height): (usize, usize), frames: usize) -> Option<Vec<RgbaImage>> {
        // What stands before `---` comes first in the file.
        let (head, rest) = pass.split_once("---").unwrap_or(("", pass));
        let comma = if keys.is_empty() { "" } else { ", " };
        let text = format!(
            "frames = {frames}\n{head}\n[pass.model]\nmesh = {{ file = \"model.gltf\"{comma}{keys} }}\nsize = \"{width}x{height}\"\n{rest}\n[sink.s]\ninput = \"model\"\nfile = \"OUT\"\n"
        );
        let newest = or_skip(self.run(&text, None))?;
        let oldest = or_skip(self.run(&text, Some((2, 0))))?;
        assert_eq!(newest.len(), width * height * 4 * frames);
        // 24 bits of depth or 16, and another compiler: a code here and there.
        let differ = newest.iter().zip(&oldest).filter(|(a, b)| a.abs_diff(**b) > 1).count();
        assert!(differ == 0, "{differ} of {} bytes differ with OpenGL ES 2.0", newest.len());
        let pictures = newest.chunks(width * height * 4);
        Some(pictures.map(|p| RgbaImage::from_raw(width as u32, height as u32, p.to_vec()).unwrap()).collect())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn or_skip<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error)
            if (error.kind() == ErrorKind::Unsupported && error.op().starts_with("eglCreateContext"))
                || (error.kind() == ErrorKind::NotFound && error.to_string().contains("libEGL")) =>
        {
            println!("SKIP: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Bytes without a pattern, the same each time.
fn noise(seed: u32, width: u32, height: u32) -> RgbaImage {
    let byte =
        |x: u32, y: u32, c: u32| ((seed ^ (x * 7919 + y * 104_729 + c * 31)).wrapping_mul(2_654_435_761) >> 15) as u8;
    RgbaImage::from_fn(width, height, |x, y| Rgba([byte(x, y, 0), byte(x, y, 1), byte(x, y, 2), 255]))
}

/// Two triangles that fill what the front camera sees; texture coordinates with v downwards.
const QUAD: [[f32; 3]; 4] = [[-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0]];
const QUAD_UV: [f32; 8] = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0];
const QUAD_INDICES: [u32; 6] = [0, 1, 2, 0, 2, 3];

/// A file whose only mesh is the quad.
fn quad(material: impl FnOnce(&mut File) -> usize) -> File {
    let mut file = File::new();
    let material = material(&mut file);
    let (positions, coordinates) = (file.floats(QUAD.as_flattened(), 3), file.floats(&QUAD_UV, 2));
    let indices = file.indices(&QUAD_INDICES, 2);
    let attributes = json!({ "POSITION": positions, "TEXCOORD_0": coordinates });
    file.primitive(attributes, material)["indices"] = indices.into();
    file
}

/// A texture that is shown as it is.
fn shown(file: &mut File, image: &RgbaImage, keys: serde_json::Value) -> usize {
    let texture = file.texture(image);
    let material = file.color([1.0; 4], keys);
    file.json["materials"][material]["pbrMetallicRoughness"]["baseColorTexture"] = json!({ "index": texture });
    material
}

#[test]
fn a_quad_shows_its_texture_texel_by_texel() {
    let folder = Folder::new("quad");
    let texture = noise(3, 24, 18);
    let file = quad(|file| shown(file, &texture, json!({})));
    file.write(&folder.0);
    let Some(pictures) = folder.draw("ambient = 0.5", "", (24, 18), 1) else { return };
    assert_eq!(pictures[0], texture);
    // The same file in one piece, and with its parts as text.
    folder.write("model.glb", file.glb());
    let text = "[pass.p]\nmesh = \"model.glb\"\nsize = \"24x18\"\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n";
    assert_eq!(folder.run(text, None).unwrap(), texture.as_raw().as_slice());
    use base64::Engine as _;
    let mut inline = file.json.clone();
    let data = base64::engine::general_purpose::STANDARD.encode(&file.bytes);
    inline["buffers"][0]["uri"] = format!("data:application/octet-stream;base64,{data}").into();
    folder.write("model.glb", inline.to_string());
    assert_eq!(folder.run(text, None).unwrap(), texture.as_raw().as_slice());
    // Names with % escapes, in a folder beside the file; and a texture file.
    std::fs::create_dir_all(folder.0.join("parts of it")).unwrap();
    folder.write("parts of it/b\u{e4}r.bin", &file.bytes);
    texture.save(folder.0.join("parts of it/t.png")).unwrap();
    inline["buffers"][0]["uri"] = "parts%20of%20it/b%C3%A4r.bin".into();
    inline["images"][0] = json!({ "uri": "parts%20of%20it/t.png" });
    folder.write("model.glb", inline.to_string());
    assert_eq!(folder.run(text, None).unwrap(), texture.as_raw().as_slice());
}

/// A frame of a source on the surfaces, instead of the file's texture.
#[test]
fn an_input_is_shown_on_the_model() {
    let folder = Folder::new("input");
    let (file_texture, frames) = (noise(1, 8, 8), [noise(5, 24, 18), noise(6, 24, 18)]);
    quad(|file| shown(file, &file_texture, json!({}))).write(&folder.0);
    folder.write("camera.raw", frames.iter().flat_map(|frame| frame.as_raw().clone()).collect::<Vec<u8>>());
    let pass = "[source.camera]\nfile = \"camera.raw\"\nformat = \"ABGR8888\"\nsize = \"24x18\"---inputs = [\"camera\"]\nfilter = \"nearest\"";
    let Some(pictures) = folder.draw("texture = \"camera\"", pass, (24, 18), 2) else { return };
    assert_eq!(pictures, frames);
}

/// The author's shader of the surfaces, its uniforms, and what it finds.
#[test]
fn a_shader_of_ones_own_colours_the_surfaces() {
    let folder = Folder::new("shader");
    let texture = noise(9, 24, 18);
    quad(|file| shown(file, &texture, json!({}))).write(&folder.0);
    folder.write(
        "s.frag",
        "uniform float k;\nvec4 pixel(vec2 uv) {\n  if (uv.x > 0.5) return vec4(mesh_base().bgr, 0.0);\n  return vec4(mesh_normal().z * k, mesh_light(), mesh_color().r, 1.0);\n}\n",
    );
    let pass = "---shader = \"s.frag\"\nuniforms = { k = 0.2 }";
    let Some(pictures) = folder.draw("", pass, (24, 18), 1) else { return };
    for (x, y, pixel) in pictures[0].enumerate_pixels() {
        let texel = texture.get_pixel(x, y);
        let expected = if x >= 12 { [texel[2], texel[1], texel[0], 255] } else { [51, 255, texel[0], 255] };
        assert_eq!(pixel.0, expected, "{x} {y}");
    }
    // Errors are about the author's line.
    folder.write("s.frag", "uniform float k;\nvec4 pixel(vec2 uv) {\n  return vec4(nothing);\n}\n");
    let text = "[pass.p]\nmesh = \"model.gltf\"\nshader = \"s.frag\"\nuniforms = { k = 1 }\nsize = \"8x8\"\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n";
    let error = folder.run(text, None).unwrap_err();
    assert!(error.kind() == ErrorKind::Shader && error.to_string().contains("s.frag:3:"), "{error}");
}

/// A scene of several nodes, each in another, with a camera inside the hierarchy; triangles that go through each other.
fn scene() -> (File, Vec<Triangle>, Eye) {
    let mut file = File::new();
    let colors: [V; 3] = [[0.9, 0.2, 0.1], [0.1, 0.6, 0.9], [0.5, 0.5, 0.1]];
    let mut triangles = Vec::new();
    // Crossing triangles with one normal each, and one whose normals bend.
    let crossing: [[V; 3]; 2] = [
        [[-1.2, -0.8, -0.7], [1.3, -0.6, 0.9], [0.1, 1.1, 0.2]],
        [[-1.1, -0.7, 0.9], [1.2, -0.9, -0.8], [-0.1, 1.0, -0.1]],
    ];
    let bent: [V; 3] = [[-1.5, -1.2, -0.4], [1.4, -1.3, -0.2], [0.0, -0.3, -0.6]];
    let bent_normals: [V; 3] = [[-0.6, 0.3, 0.74], [0.6, 0.1, 0.79], [0.0, 0.8, 0.6]];
    for (corners, color) in crossing.iter().zip(colors) {
        let material =
            file.material(json!({ "pbrMetallicRoughness": { "baseColorFactor": [color[0], color[1], color[2], 1] } }));
        file.triangles(&[corners[0], corners[1], corners[2]].map(|v| v.map(|x| x as f32)), material);
        let normal = rays::cross(rays::sub(corners[1], corners[0]), rays::sub(corners[2], corners[0]));
        triangles.push(Triangle { corners: *corners, normals: [normal; 3].map(rays::unit), color });
    }
    let material = file.material(
        json!({ "pbrMetallicRoughness": { "baseColorFactor": [colors[2][0], colors[2][1], colors[2][2], 1] }, "doubleSided": true }),
    );
    let positions = file.floats(bent.as_flattened().iter().map(|x| *x as f32).collect::<Vec<_>>().as_slice(), 3);
    let normals = file.floats(bent_normals.as_flattened().iter().map(|x| *x as f32).collect::<Vec<_>>().as_slice(), 3);
    file.primitive(json!({ "POSITION": positions, "NORMAL": normals }), material);
    triangles.push(Triangle { corners: bent, normals: bent_normals.map(rays::unit), color: colors[2] });
    // The mesh: scaled unevenly, turned, moved, inside a node that is a matrix (turned about x, moved).
    let (angle, outer) = (25f64, -15f64);
    let half = angle.to_radians() / 2.0;
    let (sin, cos) = outer.to_radians().sin_cos();
    file.json["nodes"] = json!([
        { "children": [1], "matrix": [1, 0, 0, 0, 0, cos, sin, 0, 0, -sin, cos, 0, 0.2, -0.1, 0.3, 1] },
        { "mesh": 0, "scale": [1.1, 0.8, 1.3], "rotation": [0, half.sin(), 0, half.cos()], "translation": [0.1, 0.2, -0.3] },
        { "children": [3], "rotation": [0, (0.2f64).sin(), 0, (0.2f64).cos()] },
        { "camera": 0, "translation": [0.3, 0.5, 5.0], "scale": [3, 3, 3] },
    ]);
    file.json["scenes"][0]["nodes"] = json!([0, 2]);
    file.json["cameras"] =
        json!([{ "type": "perspective", "perspective": { "yfov": 0.7, "znear": 0.5, "zfar": 50, "aspectRatio": 9 } }]);
    let place = |v: V| {
        let v = [v[0] * 1.1, v[1] * 0.8, v[2] * 1.3];
        let v = rays::add(turned(v, [0.0, 1.0, 0.0], angle), [0.1, 0.2, -0.3]);
        rays::add(turned(v, [1.0, 0.0, 0.0], outer), [0.2, -0.1, 0.3])
    };
    // Normals are scaled the other way round.
    let upright = |n: V| {
        let n = [n[0] / 1.1, n[1] / 0.8, n[2] / 1.3];
        rays::unit(turned(turned(n, [0.0, 1.0, 0.0], angle), [1.0, 0.0, 0.0], outer))
    };
    for triangle in &mut triangles {
        triangle.corners = triangle.corners.map(place);
        triangle.normals = triangle.normals.map(upright);
    }
    let aside = |v: V| turned(v, [0.0, 1.0, 0.0], (0.4f64).to_degrees());
    let eye = Eye {
        place: aside([0.3, 0.5, 5.0]),
        right: aside([1.0, 0.0, 0.0]),
        up: aside([0.0, 1.0, 0.0]),
        towards: aside([0.0, 0.0, 1.0]),
        half_height: (0.35f64).tan(),
    };
    (file, triangles, eye)
}

/// Compares a picture with rays; the numbers of pixels on each triangle, and of those that are left out at edges.
fn compare(picture: &RgbaImage, triangles: &[Triangle], eye: Eye, light: V, ambient: f64) -> (Vec<usize>, usize) {
    let size = (picture.width() as usize, picture.height() as usize);
    let (mut seen, mut edges) = (vec![0; triangles.len() + 1], 0);
    for (x, y, pixel) in picture.enumerate_pixels() {
        let place = (x as usize, y as usize);
        let Ok(hit) = eye.pixel(triangles, place, size) else {
            edges += 1;
            continue;
        };
        let Some((index, weights)) = hit else {
            assert_eq!(pixel.0, [0; 4], "{x} {y} is background");
            seen[triangles.len()] += 1;
            continue;
        };
        seen[index] += 1;
        let expected = eye.shade(&triangles[index], weights, light, ambient);
        let near = (0..3).all(|c| (f64::from(pixel[c]) - expected[c]).abs() <= 1.0);
        assert!(near && pixel[3] == 255, "pixel {x} {y} on triangle {index}: {:?}, expected {expected:?}", pixel.0);
    }
    (seen, edges)
}

#[test]
fn a_scene_is_what_rays_see() {
    let folder = Folder::new("rays");
    let (file, triangles, eye) = scene();
    file.write(&folder.0);
    let size = (120, 90);
    let Some(pictures) = folder.draw("light = [0.3, 0.5, 0.9], ambient = 0.2", "", size, 1) else { return };
    let (seen, edges) = compare(&pictures[0], &triangles, eye, [0.3, 0.5, 0.9], 0.2);
    // Each triangle and the background are there, the two that go through each other both in front.
    assert!(seen.iter().all(|count| *count > 150) && edges < 1500, "{seen:?}, {edges} at edges");
}

#[test]
fn a_turntable_turns_about_the_middle() {
    let folder = Folder::new("turn");
    let (file, triangles, eye) = scene();
    file.write(&folder.0);
    let corners = || triangles.iter().flat_map(|triangle| triangle.corners);
    let bound = |pick: fn(f64, f64) -> f64| [0, 1, 2].map(|i| corners().map(|c| c[i]).reduce(pick).unwrap());
    let middle = rays::times(rays::add(bound(f64::min), bound(f64::max)), 0.5);
    for (keys, axis, step) in [
        ("turntable = \"7/frame\"", [0.0, 1.0, 0.0], 7.0),
        // 25 frames a second.
        ("turntable = -200, axis = [1, 2, 0.5]", [1.0, 2.0, 0.5], -8.0),
    ] {
        let Some(pictures) = folder.draw(keys, "", (80, 60), 4) else { return };
        for (frame, picture) in pictures.iter().enumerate() {
            let turn = |v: V| turned(v, axis, step * frame as f64);
            let turned: Vec<Triangle> = triangles
                .iter()
                .map(|triangle| Triangle {
                    corners: triangle.corners.map(|c| rays::add(turn(rays::sub(c, middle)), middle)),
                    normals: triangle.normals.map(turn),
                    ..*triangle
                })
                .collect();
            let (seen, _) = compare(picture, &turned, eye, [0.4, 0.7, 0.6], 0.25);
            assert!(seen.iter().sum::<usize>() > 3000, "{keys} frame {frame}: {seen:?}");
        }
    }
}

#[test]
fn explicit_cameras_look_where_they_are_told() {
    let folder = Folder::new("position");
    let (file, triangles, _) = scene();
    file.write(&folder.0);
    let (place, target) = ([2.0, 1.5, 4.0], [0.1, 0.0, 0.2]);
    let towards = rays::unit(rays::sub(place, target));
    let right = rays::unit(rays::cross([0.0, 1.0, 0.0], towards));
    let half_height = (20.0f64).to_radians().tan();
    let eye = Eye { place, right, up: rays::cross(towards, right), towards, half_height };
    let keys = "position = [2, 1.5, 4], target = [0.1, 0, 0.2], fov = 40";
    let Some(pictures) = folder.draw(keys, "", (90, 70), 1) else { return };
    let (seen, _) = compare(&pictures[0], &triangles, eye, [0.4, 0.7, 0.6], 0.25);
    assert!(seen[..3].iter().sum::<usize>() > 500, "{seen:?}");
}

/// The whole model is seen, in every frame, and fills the picture.
#[test]
fn automatic_cameras_frame_the_model() {
    let folder = Folder::new("auto");
    let (mut file, ..) = scene();
    file.json["nodes"][0]["matrix"][12] = json!(1000.0);
    file.json["materials"].as_array_mut().unwrap().iter_mut().for_each(|m| m["doubleSided"] = json!(true));
    file.write(&folder.0);
    for size in [(80, 40), (40, 80)] {
        let keys = "camera = \"auto\", azimuth = 30, turntable = \"45/frame\"";
        let Some(pictures) = folder.draw(keys, "", size, 8) else { return };
        for (frame, picture) in pictures.iter().enumerate() {
            let drawn = |(x, y): (u32, u32)| picture.get_pixel(x, y)[3] == 255;
            let (w, h) = picture.dimensions();
            let all = (0..w).flat_map(|x| (0..h).map(move |y| (x, y)));
            let at_edge = |(x, y): &(u32, u32)| *x == 0 || *y == 0 || *x == w - 1 || *y == h - 1;
            assert!(!all.clone().filter(at_edge).any(drawn), "{size:?} frame {frame} is cut");
            assert!(all.filter(|at| drawn(*at)).count() > 150, "{size:?} frame {frame}");
        }
    }
}

/// Red on its front, and what is there.
const RED: [f64; 4] = [1.0, 0.0, 0.0, 1.0];

/// A node that mirrors its mesh does not turn it inside out (glTF 2.0, 3.7.4).
#[test]
fn backs_are_culled_in_mirrors_too() {
    let folder = Folder::new("cull");
    // The lower left half of the picture.
    let front = [QUAD[0], QUAD[1], QUAD[2]];
    let back = [QUAD[0], QUAD[2], QUAD[1]];
    for (corners, double_sided, scale, is_seen) in [
        (front, false, 1, true),
        (front, false, -1, true),
        (back, false, 1, false),
        (back, false, -1, false),
        (back, true, 1, true),
        (back, true, -1, true),
    ] {
        let mut file = File::new();
        let factor = json!({ "baseColorFactor": RED });
        let material = file.material(json!({ "doubleSided": double_sided, "pbrMetallicRoughness": factor }));
        file.triangles(&corners, material);
        file.json["nodes"][0]["scale"] = json!([scale, 1, 1]);
        file.write(&folder.0);
        let Some(pictures) = folder.draw("light = [0, 0, 1], ambient = 0", "", (8, 8), 1) else { return };
        // Backs are lit like fronts.
        let at = pictures[0].get_pixel(if scale == 1 { 2 } else { 5 }, 5).0;
        let expected = if is_seen { [255, 0, 0, 255] } else { [0; 4] };
        assert_eq!(at, expected, "{corners:?}, doubleSided {double_sided}, scale {scale}");
    }
}

#[test]
fn alpha_modes() {
    let folder = Folder::new("alpha");
    // Opaque: alpha means nothing. Mask: all or nothing.
    let mut texture = noise(2, 16, 16);
    texture.enumerate_pixels_mut().for_each(|(x, _, pixel)| pixel[3] = x as u8 * 16);
    quad(|file| shown(file, &texture, json!({}))).write(&folder.0);
    let Some(pictures) = folder.draw("", "", (16, 16), 1) else { return };
    assert!(pictures[0].pixels().zip(texture.pixels()).all(|(a, b)| a.0[..3] == b.0[..3] && a[3] == 255));
    quad(|file| shown(file, &texture, json!({ "alphaMode": "MASK", "alphaCutoff": 0.4 }))).write(&folder.0);
    let pictures = folder.draw("", "---clear = \"#102030\"", (16, 16), 1).unwrap();
    for (a, b) in pictures[0].pixels().zip(texture.pixels()) {
        let expected = if b[3] >= 102 { [b[0], b[1], b[2], 255] } else { [16, 32, 48, 255] };
        assert_eq!(a.0, expected);
    }
    // Blend over an opaque background: R'G'B' as stored are mixed.
    quad(|file| shown(file, &texture, json!({ "alphaMode": "BLEND" }))).write(&folder.0);
    let pictures = folder.draw("", "---clear = \"#102030\"", (16, 16), 1).unwrap();
    for (a, b) in pictures[0].pixels().zip(texture.pixels()) {
        let alpha = f64::from(b[3]) / 255.0;
        for (c, under) in [16.0, 32.0, 48.0].into_iter().enumerate() {
            let exact = f64::from(b[c]) * alpha + under * (1.0 - alpha);
            assert!((f64::from(a[c]) - exact).abs() <= 1.0 && a[3] == 255, "{a:?} {b:?}");
        }
    }
    // Over nothing: straight alpha, as precise as 8 bits of the product are.
    let pictures = folder.draw("", "", (16, 16), 1).unwrap();
    for (a, b) in pictures[0].pixels().zip(texture.pixels()) {
        let fine = |c: usize| f64::from(a[c].abs_diff(b[c])) <= 0.5 * 255.0 / f64::from(b[3]) + 1.0;
        assert!(a[3] == b[3] && (b[3] == 0 || (0..3).all(fine)), "{a:?} {b:?}");
    }
}

/// Far surfaces first, whatever the order in the file; behind an opaque one nothing is seen.
#[test]
fn surfaces_with_alpha_are_sorted() {
    let folder = Folder::new("sort");
    let layers = [([1.0, 0.0, 0.0, 0.5], -1.0f32), ([0.0, 1.0, 0.0, 0.5], 1.0), ([0.0, 0.0, 1.0, 0.5], -3.0)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut file = File::new();
        for at in order {
            let (color, z) = layers[at];
            let material = file.color(color, json!({ "alphaMode": "BLEND" }));
            let corners = QUAD_INDICES.map(|i| [QUAD[i as usize][0], QUAD[i as usize][1], z]);
            file.triangles(&corners, material);
        }
        // White, between blue and red: blue is hidden.
        let white = file.color([1.0; 4], json!({}));
        file.triangles(&QUAD_INDICES.map(|i| [QUAD[i as usize][0], QUAD[i as usize][1], -2.0]), white);
        file.write(&folder.0);
        let Some(pictures) = folder.draw("", "", (4, 4), 1) else { return };
        // White; half red: (255, 127.5, 127.5); half green.
        let pixel = pictures[0].get_pixel(1, 1).0;
        let expected = [127.5, 191.25, 63.75, 255.0];
        // Each of the two mixes is stored in 8 bits.
        assert!((0..4).all(|c| (f64::from(pixel[c]) - expected[c]).abs() <= 2.0), "{order:?}: {pixel:?}");
    }
}

#[test]
fn every_kind_of_index_gives_the_same_picture() {
    let folder = Folder::new("indices");
    let texture = noise(8, 16, 16);
    let corners = |list: &[u32]| list.iter().map(|i| QUAD[*i as usize]).collect::<Vec<_>>();
    for (kind, mode, list) in [
        (1, 4, QUAD_INDICES.to_vec()),
        (2, 4, QUAD_INDICES.to_vec()),
        (4, 4, QUAD_INDICES.to_vec()),
        (2, 5, vec![0, 1, 3, 2]),
        (4, 6, vec![0, 1, 2, 3]),
        (0, 4, QUAD_INDICES.to_vec()),
        (0, 5, vec![0, 1, 3, 2]),
    ] {
        let mut file = quad(|file| shown(file, &texture, json!({})));
        let primitive = |file: &mut File, key: &str, value: usize| {
            file.json["meshes"][0]["primitives"][0][key] = value.into();
        };
        primitive(&mut file, "mode", mode);
        match kind {
            0 => {
                let positions = file.floats(corners(&list).as_flattened(), 3);
                let uv: Vec<f32> = list.iter().flat_map(|i| QUAD_UV[*i as usize * 2..][..2].to_vec()).collect();
                let uv = file.floats(&uv, 2);
                file.json["meshes"][0]["primitives"][0] =
                    json!({ "attributes": { "POSITION": positions, "TEXCOORD_0": uv }, "material": 0, "mode": mode });
            }
            bytes => {
                let indices = file.indices(&list, bytes);
                primitive(&mut file, "indices", indices);
            }
        }
        file.write(&folder.0);
        assert_eq!(Model::open(&folder.0.join("model.gltf")).unwrap().triangles(), 2);
        let Some(pictures) = folder.draw("", "", (16, 16), 1) else { return };
        assert_eq!(pictures[0], texture, "{kind} bytes, mode {mode}");
    }
    // Normalized coordinates of 16 bits, strided; a sparse accessor over zeros.
    let mut file = quad(|file| shown(file, &texture, json!({})));
    let shorts: Vec<u8> = QUAD_UV
        .chunks(2)
        .flat_map(|uv| [uv[0] as u16 * 65535, uv[1] as u16 * 65535, 7, 7])
        .flat_map(u16::to_le_bytes)
        .collect();
    let view = file.view(&shorts);
    file.json["bufferViews"][view]["byteStride"] = 8.into();
    file.json["accessors"][1] =
        json!({ "bufferView": view, "componentType": 5123, "normalized": true, "count": 4, "type": "VEC2" });
    let (places, values) = (file.view(&[0, 1, 2, 3]), file.json["accessors"][0]["bufferView"].clone());
    let positions = file.json["accessors"][0].as_object_mut().unwrap();
    positions.remove("bufferView");
    positions.insert(
        "sparse".into(),
        json!({ "count": 4, "indices": { "bufferView": places, "componentType": 5121 }, "values": { "bufferView": values } }),
    );
    file.write(&folder.0);
    assert_eq!(folder.draw("", "", (16, 16), 1).unwrap()[0], texture);
}

/// More vertices than 16 bits tell apart.
#[test]
fn large_meshes_are_whole() {
    let folder = Folder::new("large");
    let texture = noise(4, 32, 32);
    let mut file = File::new();
    let material = shown(&mut file, &texture, json!({}));
    const SIDE: u32 = 300;
    let grid = || (0..=SIDE).flat_map(|y| (0..=SIDE).map(move |x| [x as f32 / SIDE as f32, y as f32 / SIDE as f32]));
    let positions: Vec<f32> = grid().flat_map(|[u, v]| [2.0 * u - 1.0, 1.0 - 2.0 * v, 0.0]).collect();
    let coordinates: Vec<f32> = grid().flatten().collect();
    let squares = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| y * (SIDE + 1) + x));
    let indices: Vec<u32> = squares.flat_map(|a| [a, a + SIDE + 1, a + SIDE + 2, a, a + SIDE + 2, a + 1]).collect();
    let (positions, coordinates) = (file.floats(&positions, 3), file.floats(&coordinates, 2));
    let normals = file.floats(&grid().flat_map(|_| [0.0, 0.0, 1.0]).collect::<Vec<f32>>(), 3);
    let list = file.indices(&indices, 4);
    let attributes = json!({ "POSITION": positions, "TEXCOORD_0": coordinates, "NORMAL": normals });
    file.primitive(attributes, material)["indices"] = list.into();
    file.write(&folder.0);
    let model = Model::open(&folder.0.join("model.gltf")).unwrap();
    assert_eq!(model.triangles(), 2 * (SIDE * SIDE) as usize);
    assert_eq!(model.parts[0].chunks.len(), 2);
    let Some(pictures) = folder.draw("", "", (32, 32), 1) else { return };
    assert_eq!(pictures[0], texture);
}

/// Colours of vertices, and factors, are linear.
#[test]
fn vertex_colours_multiply_the_base_colour() {
    let folder = Folder::new("colours");
    let mut file = quad(|file| file.color([0.5, 1.0, 0.25, 1.0], json!({})));
    let colors: Vec<u8> = [200u8, 100, 50, 0].repeat(4);
    let view = file.view(&colors);
    file.json["bufferViews"][view]["byteStride"] = 4.into();
    file.json["accessors"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "bufferView": view, "componentType": 5121, "normalized": true, "count": 4, "type": "VEC3" }));
    file.json["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = 3.into();
    file.write(&folder.0);
    let Some(pictures) = folder.draw("", "", (4, 4), 1) else { return };
    let exact = [200.0 * 0.5, 100.0, 50.0 * 0.25].map(|c| 255.0 * rays::encoded(c / 255.0));
    let pixel = pictures[0].get_pixel(2, 2);
    assert!((0..3).all(|c| (f64::from(pixel[c]) - exact[c]).abs() <= 1.0), "{pixel:?}, expected {exact:?}");
}

#[test]
fn samples_smooth_edges_and_nothing_else() {
    let folder = Folder::new("samples");
    let mut file = File::new();
    let material = file.color([1.0, 0.0, 0.0, 1.0], json!({}));
    // An edge that goes from the upper left to the lower right, not through corners of pixels.
    file.triangles(&[[-1.0, 0.93, 0.0], [-1.0, -1.0, 0.0], [0.71, -1.0, 0.0]], material);
    file.write(&folder.0);
    let size = (32, 32);
    let Some(sharp) = folder.draw("", "---clear = \"#000000\"", size, 1) else { return };
    assert!(sharp[0].pixels().all(|pixel| pixel[0] == 0 || pixel[0] == 255), "one sample has no shades");
    let text = "[pass.p]\nmesh = { file = \"model.gltf\", samples = \"max\" }\nsize = \"32x32\"\nclear = \"#000000\"\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n";
    let smooth = RgbaImage::from_raw(32, 32, folder.run(text, None).unwrap()).unwrap();
    let text = text.replace("clear = \"#000000\"", "");
    let over_nothing = RgbaImage::from_raw(32, 32, folder.run(&text, None).unwrap()).unwrap();
    let error = folder.run(&text.replace("\"max\"", "64"), None).unwrap_err();
    let words = error.to_string();
    assert!(error.kind() == ErrorKind::Unsupported && words.contains("64 samples a pixel"), "{words}");
    assert!(words.contains(":2:8: ") && words.contains("at most") && words.contains("\"max\""), "{words}");
    if smooth == sharp[0] {
        println!("SKIP samples: this driver has one sample a pixel");
        return;
    }
    let mut shades = 0;
    // Which side of the edge a place is on, in pixels from it.
    let (ax, ay, bx, by) = (0.0, 0.035 * 16.0 * 2.0, 1.71 * 16.0, 32.0);
    let length = f64::hypot(bx - ax, by - ay);
    for (x, y, pixel) in smooth.enumerate_pixels() {
        let (px, py) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        let inside = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) / length;
        match inside {
            far if far > 0.8 => assert_eq!(pixel.0, [255, 0, 0, 255], "{x} {y}"),
            far if far < -0.8 => assert_eq!(pixel.0, [0, 0, 0, 255], "{x} {y}"),
            near => {
                // As much as its part of the pixel, to a sample or two of four.
                let part = f64::from(pixel[0]) / 255.0;
                assert!((part - (0.5 + near).clamp(0.0, 1.0)).abs() < 0.45, "{x} {y}: {part}, {near} inside");
                shades += usize::from(pixel[0] > 0 && pixel[0] < 255);
            }
        }
        // Over nothing the colour stays, and alpha is what there is of it.
        let other = over_nothing.get_pixel(x, y).0;
        let expected = [if pixel[0] > 0 { 255 } else { 0 }, 0, 0, pixel[0]];
        assert!((0..4).all(|c| other[c].abs_diff(expected[c]) <= 1), "{x} {y}: {other:?}, expected {expected:?}");
    }
    assert!(shades > 20, "{shades} pixels are between");
}

/// Pictures of models are read by other passes, kept for the next frame, and switched off.
#[test]
fn other_passes_read_models() {
    let folder = Folder::new("passes");
    let texture = noise(7, 16, 16);
    quad(|file| shown(file, &texture, json!({}))).write(&folder.0);
    folder.write("not.frag", "vec4 pixel(vec2 uv) { return vec4(1.0 - a().rgb, 1.0); }");
    let text = "frames = 3\n[pass.m]\nmesh = \"model.gltf\"\nsize = \"16x16\"\nenable = \"frame != 1\"\nclear = \"#00ff00\"\n[pass.n]\nshader = \"not.frag\"\ninputs = { a = \"@previous.m\" }\nsize = \"16x16\"\nclear = \"#000000\"\n[sink.s]\ninput = \"n\"\nfile = \"OUT\"\n";
    for version in [None, Some((2, 0))] {
        let Some(pixels) = or_skip(folder.run(text, version)) else { return };
        let frames: Vec<&[u8]> = pixels.chunks(16 * 16 * 4).collect();
        // Before the first frame there is the colour of `clear`, as in the frame that is not drawn.
        assert!(frames[0].chunks(4).all(|pixel| pixel == [255, 0, 255, 255]));
        let inverted: Vec<u8> = texture.pixels().flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], 255]).collect();
        assert_eq!(frames[1], inverted);
        assert!(frames[2].chunks(4).all(|pixel| pixel == [255, 0, 255, 255]));
    }
}

#[test]
fn the_plan_names_models() {
    let folder = Folder::new("plan");
    quad(|file| shown(file, &noise(7, 16, 16), json!({}))).write(&folder.0);
    folder.write("not.frag", "vec4 pixel(vec2 uv) { return 1.0 - m(); }");
    let text = "[source.a]\npattern = \"bars\"\nsize = \"16x16\"\n[pass.c]\nshader = \"not.frag\"\ninputs = { m = \"a\" }\n[pass.m]\nmesh = { file = \"model.gltf\", texture = \"c\" }\ninputs = [\"c\"]\n[pass.n]\nshader = \"not.frag\"\ninputs = [\"m\"]\n[sink.s]\ninput = \"n\"\nkind = \"null\"\n";
    let description = Description::parse(folder.0.join("p.toml"), text).unwrap();
    let plan = Plan::new(&description, None).unwrap();
    let lines = plan.explain(None).join("\n");
    for words in [
        "model.gltf: 2 triangles in 1 draw with depth",
        "not fused with what reads it: it draws a model",
        "not fused with what reads it: m reads it, and it draws a model",
        "linear: 16x16 is shown on a model",
    ] {
        assert!(lines.contains(words), "{words}\n{lines}");
    }
    assert!(plan.describe().join("\n").contains("draws"), "{:?}", plan.describe());
}
