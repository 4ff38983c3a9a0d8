//! glTF files, written here byte by byte.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A glTF file in the making.
pub struct File {
    pub json: Value,
    pub bytes: Vec<u8>,
}

impl File {
    /// One node, one mesh, no primitive yet; a camera that sees -1..1 in both directions, from 10 away.
    pub fn new() -> Self {
        let json = json!({
            "asset": { "version": "2.0" },
            "scene": 0,
            "scenes": [{ "nodes": [0, 1] }],
            "nodes": [{ "mesh": 0 }, { "camera": 0, "translation": [0, 0, 10] }],
            "cameras": [{ "type": "orthographic", "name": "front",
                "orthographic": { "xmag": 1, "ymag": 1, "znear": 0.5, "zfar": 100 } }],
            "meshes": [{ "primitives": [] }],
            "materials": [],
            "accessors": [],
            "bufferViews": [],
            "buffers": [{ "uri": "model.bin", "byteLength": 0 }],
        });
        Self { json, bytes: Vec::new() }
    }

    fn push(&mut self, list: &str, value: Value) -> usize {
        if self.json.get(list).is_none() {
            self.json[list] = json!([]);
        }
        let list = self.json[list].as_array_mut().unwrap();
        list.push(value);
        list.len() - 1
    }

    /// A buffer view of these bytes.
    pub fn view(&mut self, bytes: &[u8]) -> usize {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0xEE);
        }
        let view = json!({ "buffer": 0, "byteOffset": self.bytes.len(), "byteLength": bytes.len() });
        self.bytes.extend(bytes);
        self.json["buffers"][0]["byteLength"] = self.bytes.len().into();
        self.push("bufferViews", view)
    }

    /// An accessor of floats with so many components.
    pub fn floats(&mut self, numbers: &[f32], components: usize) -> usize {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let view = self.view(&bytes);
        let kind = ["SCALAR", "VEC2", "VEC3", "VEC4"][components - 1];
        let least = |pick: fn(f32, f32) -> f32| {
            (0..components)
                .map(|at| numbers.iter().skip(at).step_by(components).copied().reduce(pick).unwrap_or(0.0))
                .collect::<Vec<f32>>()
        };
        self.push(
            "accessors",
            json!({
                "bufferView": view, "componentType": 5126, "count": numbers.len() / components,
                "type": kind,
                "min": least(f32::min), "max": least(f32::max),
            }),
        )
    }

    /// An accessor of indices with so many bytes each.
    pub fn indices(&mut self, indices: &[u32], bytes: usize) -> usize {
        let data: Vec<u8> = indices.iter().flat_map(|index| index.to_le_bytes()[..bytes].to_vec()).collect();
        let view = self.view(&data);
        let kind = match bytes {
            1 => 5121,
            2 => 5123,
            _ => 5125,
        };
        self.push(
            "accessors",
            json!({ "bufferView": view, "componentType": kind, "count": indices.len(), "type": "SCALAR" }),
        )
    }

    /// A material; the base colour's factor is in `material["pbrMetallicRoughness"]`.
    pub fn material(&mut self, material: Value) -> usize {
        self.push("materials", material)
    }

    /// A material that is this colour in any light.
    pub fn color(&mut self, factor: [f64; 4], keys: Value) -> usize {
        let mut material = json!({
            "pbrMetallicRoughness": { "baseColorFactor": factor },
            "extensions": { "KHR_materials_unlit": {} },
        });
        for (key, value) in keys.as_object().unwrap() {
            material[key] = value.clone();
        }
        self.json["extensionsUsed"] = json!(["KHR_materials_unlit"]);
        self.material(material)
    }

    /// A primitive of mesh 0; `attributes` names accessors.
    pub fn primitive(&mut self, attributes: Value, material: usize) -> &mut Value {
        let list = self.json["meshes"][0]["primitives"].as_array_mut().unwrap();
        list.push(json!({ "attributes": attributes, "material": material }));
        list.last_mut().unwrap()
    }

    /// Corners of triangles, three each, in one colour.
    pub fn triangles(&mut self, corners: &[[f32; 3]], material: usize) {
        let positions = self.floats(corners.as_flattened(), 3);
        self.primitive(json!({ "POSITION": positions }), material);
    }

    /// A PNG as a texture, read at the nearest texel.
    pub fn texture(&mut self, image: &image::RgbaImage) -> usize {
        let mut png = std::io::Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let view = self.view(&png.into_inner());
        let image = self.push("images", json!({ "bufferView": view, "mimeType": "image/png" }));
        let sampler = self.push("samplers", json!({ "magFilter": 9728, "minFilter": 9728 }));
        self.push("textures", json!({ "source": image, "sampler": sampler }))
    }

    /// Writes `model.gltf` and `model.bin`.
    pub fn write(&self, folder: &Path) -> PathBuf {
        std::fs::write(folder.join("model.bin"), &self.bytes).unwrap();
        let path = folder.join("model.gltf");
        std::fs::write(&path, serde_json::to_string(&self.json).unwrap()).unwrap();
        path
    }

    /// The same as one binary file.
    pub fn glb(&self) -> Vec<u8> {
        let mut json = self.json.clone();
        json["buffers"][0].as_object_mut().unwrap().remove("uri");
        let mut text = serde_json::to_vec(&json).unwrap();
        text.resize(text.len().next_multiple_of(4), b' ');
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let total = (12 + 8 + text.len() + 8 + bytes.len()) as u32;
        let mut file = b"glTF".to_vec();
        file.extend([2u32, total, text.len() as u32].iter().flat_map(|word| word.to_le_bytes()));
        file.extend(b"JSON");
        file.extend(&text);
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(b"BIN\0");
        file.extend(&bytes);
        file
    }
}
