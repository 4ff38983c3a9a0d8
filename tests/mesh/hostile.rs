//! Files that are wrong, cut or made to harm: each is an error that names the file, and never more than that.

use std::path::Path;

use darkframe::error::{Error, ErrorKind};
use darkframe::pipeline::Description;
use darkframe::pipeline::model::Model;
use darkframe::pipeline::plan::Plan;
use serde_json::{Value, json};

use crate::file::File;
use crate::{Folder, noise, quad, shown};

fn good() -> File {
    quad(|file| shown(file, &noise(1, 4, 4), json!({})))
}

#[track_caller]
fn refused(path: &Path, kind: ErrorKind, words: &str) {
    let error = Model::open(path).err().unwrap_or_else(|| panic!("taken, expected {words}"));
    let text = error.to_string();
    assert!(error.kind() == kind && text.contains(words), "{:?}: {text}\nexpected {kind:?}: {words}", error.kind());
    assert!(text.contains("model.gl"), "{text} does not name the file");
}

#[test]
fn what_is_wrong_in_a_file_is_said() {
    let folder = Folder::new("wrong");
    type Change = fn(&mut Value);
    let (invalid, unsupported, much) = (ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::OutOfMemory);
    let cases: &[(ErrorKind, &str, Change)] = &[
        (unsupported, "glTF version \"1.0\": version 2 is read", |j| j["asset"]["version"] = json!("1.0")),
        (unsupported, "\"2.9\"", |j| j["asset"] = json!({ "version": "2.0", "minVersion": "3.9" })),
        (unsupported, "requires the extension KHR_draco_mesh_compression", |j| {
            j["extensionsRequired"] = json!(["KHR_draco_mesh_compression"]);
        }),
        (invalid, "the scene has no triangles", |j| j["nodes"][0] = json!({})),
        (invalid, "only triangles are drawn", |j| j["meshes"][0]["primitives"][0]["mode"] = json!(1)),
        (invalid, "there is no accessor 99", |j| j["meshes"][0]["primitives"][0]["attributes"]["POSITION"] = json!(99)),
        (invalid, "there is no accessor 99", |j| j["meshes"][0]["primitives"][0]["attributes"]["NORMAL"] = json!(99)),
        (invalid, "meshes[0].primitives[0].indices", |j| j["meshes"][0]["primitives"][0]["indices"] = json!(99)),
        (invalid, "attributes[\"POSITION\"]", |j| j["meshes"][0]["primitives"][0]["attributes"] = json!({})),
        (invalid, "accessor 0: 5 elements of 12 bytes", |j| j["accessors"][0]["count"] = json!(5)),
        (invalid, "accessor 0: 4 elements of 12 bytes from byte 18446744073709551608 on", |j| {
            j["accessors"][0]["byteOffset"] = json!(18_446_744_073_709_551_608u64);
        }),
        (much, "models end at", |j| j["accessors"][0]["count"] = json!(4_000_000_000u64)),
        (invalid, "0 elements", |j| j["accessors"][0]["count"] = json!(0)),
        (invalid, "POSITION, accessor 0: Vec2 of F32 cannot be that", |j| j["accessors"][0]["type"] = json!("VEC2")),
        (invalid, "TEXCOORD_0 has 3 elements, POSITION 4", |j| j["accessors"][1]["count"] = json!(3)),
        (invalid, "indices, accessor 2: Scalar of F32", |j| j["accessors"][2]["componentType"] = json!(5126)),
        (invalid, "beyond its buffer", |j| j["bufferViews"][1]["byteLength"] = json!(1_000_000)),
        (invalid, "beyond its buffer", |j| j["bufferViews"][1]["byteOffset"] = json!(18_446_744_073_709_551_615u64)),
        (much, "models end at", |j| {
            // Zeros need no bytes in the file.
            j["accessors"][0].as_object_mut().unwrap().remove("bufferView");
            j["accessors"][0]["count"] = json!(1_000_000_000);
            j["accessors"][0]["sparse"] = json!({ "count": 1,
                "indices": { "bufferView": 0, "componentType": 5121 }, "values": { "bufferView": 0 } });
        }),
        (invalid, "sparse: 9 of 4 elements", |j| {
            j["accessors"][0]["sparse"] = json!({ "count": 9,
                "indices": { "bufferView": 1, "componentType": 5121 }, "values": { "bufferView": 1 } });
        }),
        (invalid, "sparse: index ", |j| {
            j["accessors"][0]["sparse"] = json!({ "count": 1,
                "indices": { "bufferView": 0, "componentType": 5125 }, "values": { "bufferView": 1 } });
        }),
        (invalid, "node 0 is reached twice", |j| j["nodes"][1]["children"] = json!([0])),
        (invalid, "node 0 is reached twice", |j| j["nodes"][0]["children"] = json!([0])),
        (invalid, "node 0: its transform is not finite", |j| j["nodes"][0]["scale"] = json!([1e38, 1e38, 1e38])),
        (invalid, "node 0: its transform is not finite", |j| j["nodes"][0]["rotation"] = json!([0, 0, 0, 0])),
        (invalid, "not affine", |j| {
            j["nodes"][0]["matrix"] = json!([1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
        }),
        (invalid, "camera 0: expected 0 <= znear < zfar", |j| j["cameras"][0]["orthographic"]["zfar"] = json!(0.1)),
        (invalid, "camera 0 has no lens", |j| j["cameras"][0] = json!({ "type": "perspective" })),
        (invalid, "camera 0: its type is another", |j| j["cameras"][0]["type"] = json!("perspective")),
        (invalid, "buffer 0: ", |j| j["buffers"][0]["byteLength"] = json!(100_000)),
        (much, "buffers end at 1 GiB", |j| j["buffers"][0]["byteLength"] = json!(1u64 << 40)),
        (invalid, "no BIN chunk", |j| drop(j["buffers"][0].as_object_mut().unwrap().remove("uri"))),
        (unsupported, "only files relative to the model are read", |j| {
            j["buffers"][0]["uri"] = json!("http://example.org/model.bin");
        }),
        (unsupported, "only files relative to the model are read", |j| j["buffers"][0]["uri"] = json!("/etc/hostname")),
        (invalid, "base64", |j| j["buffers"][0]["uri"] = json!("data:application/octet-stream,abc")),
        (invalid, "data: URI", |j| j["buffers"][0]["uri"] = json!("data:;base64,a*b")),
        (ErrorKind::NotFound, "gone.bin", |j| j["buffers"][0]["uri"] = json!("gone.bin")),
        (invalid, "image 0 has neither uri nor bufferView", |j| j["images"][0] = json!({})),
        (unsupported, "image 0", |j| j["images"][0] = json!({ "bufferView": 1, "mimeType": "image/png" })),
        (invalid, "baseColorFactor", |j| {
            j["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] = json!([9, 0, 0, 1]);
        }),
    ];
    for (kind, words, change) in cases {
        let mut file = good();
        change(&mut file.json);
        // The version's case asks for another word than its number.
        let words = if *words == "\"2.9\"" { "\"3.9\"" } else { words };
        refused(&file.write(&folder.0), *kind, words);
    }
    let path = folder.0.join("model.gltf");
    for (bytes, kind, words) in [
        (&b""[..], invalid, "the file is empty"),
        (b"{", invalid, "no glTF"),
        (b"[1, 2]", invalid, "no glTF"),
        (b"glTF\x02\0\0\0", invalid, "ends in its header"),
        (b"glTF\x01\0\0\0\x14\0\0\0\0\0\0\0JSON", unsupported, "version 1"),
        (b"glTF\x02\0\0\0\x04\0\0\0\0\0\0\0JSON", invalid, "the header says 4 bytes"),
        (b"glTF\x02\0\0\0\xff\xff\xff\xff\0\0\0\0JSON", invalid, "the header says 4294967295 bytes"),
        (b"glTF\x02\0\0\0\x14\0\0\0\xff\0\0\0JSON", invalid, ""),
        (b"\x89PNG\r\n\x1a\n", invalid, "no glTF"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        refused(&path, kind, words);
    }
    // Numbers that are none.
    let mut file = good();
    file.json["accessors"][0]["bufferView"] = json!(0);
    let at = file.json["bufferViews"][file.json["accessors"][0]["bufferView"].as_u64().unwrap() as usize]["byteOffset"]
        .as_u64()
        .unwrap() as usize;
    file.json["bufferViews"][0]["byteLength"] = json!(48);
    file.bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    refused(&file.write(&folder.0), invalid, "a number is not finite");
}

/// Bytes changed, cut and doubled at random, the same each time: whatever comes is a model or an error.
#[test]
fn damaged_files_never_panic() {
    let folder = Folder::new("damaged");
    let file = good();
    file.write(&folder.0);
    let (glb, text) = (file.glb(), file.json.to_string().into_bytes());
    let path = folder.0.join("model.glb");
    let (mut state, mut taken) = (1u64, 0);
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..3000 {
        let mut bytes = if round % 2 == 0 { glb.clone() } else { text.clone() };
        for _ in 0..=random(3) {
            let (at, length) = (random(bytes.len()), bytes.len());
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                // Digits make other numbers.
                1 => match bytes[at..].iter().position(u8::is_ascii_digit) {
                    Some(digit) => bytes[at + digit] = b'0' + random(10) as u8,
                    None => bytes[at] ^= 1,
                },
                2 if length > 64 => bytes.truncate(length - random(length / 2)),
                _ => bytes[at] ^= 1 << random(8),
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        match Model::open(&path) {
            Ok(_) => taken += 1,
            Err(error) => assert!(!error.detail().is_empty(), "{error}"),
        }
    }
    assert!(taken > 30 && taken < 2900, "{taken} of 3000 were taken");
}

/// Errors of the keys, and of the file, have the place of the key.
#[test]
fn errors_point_at_the_key() {
    let folder = Folder::new("keys");
    good().write(&folder.0);
    let plan = |keys: &str| -> Result<(), Error> {
        let text = format!(
            "[source.a]\npattern = \"bars\"\n[pass.p]\nsize = \"8x8\"\nmesh = {keys}\n[sink.s]\ninput = \"p\"\nkind = \"null\"\n"
        );
        let description = Description::parse(folder.0.join("p.toml"), text)?;
        Plan::new(&description, None).map(|_| ())
    };
    plan("\"model.gltf\"").unwrap();
    for (keys, words) in [
        ("\"gone.glb\"", "gone.glb"),
        ("\".\"", "is a directory"),
        ("{ file = \"model.gltf\", camera = \"frnt\" }", "the file has no camera \"frnt\""),
        ("{ file = \"model.gltf\", camera = \"frnt\" }", "did you mean \"front\"?"),
        ("{ file = \"model.gltf\", fov = 200 }", "fov: 200: expected 1 to 170 degrees"),
        ("{ file = \"model.gltf\", position = [0, 0, 0], target = [0, 0, 0] }", "in the place that it looks at"),
        ("{ file = \"model.gltf\", turntable = \"90/minute\" }", "expected degrees per second"),
        ("{ file = \"model.gltf\", samples = 0 }", "expected 1 to 64, or \"max\""),
        ("{ file = \"model.gltf\", turntabl = 3 }", "did you mean `turntable`?"),
        ("{ turntable = 3 }", "missing key `file`"),
        ("{ file = \"model.gltf\", texture = \"a\" }", "the pass has no input \"a\""),
        ("{ file = \"model.gltf\" }\ninputs = [\"a\"]", "nothing reads the input \"a\""),
        ("{ file = \"model.gltf\" }\nrepeat = 3", "a model is drawn once a frame"),
        ("{ file = \"model.gltf\" }\nblend = \"add\"", "mesh and blend are both there"),
        ("{ file = \"model.gltf\" }\nuniforms = { k = 1 }", "has no shader of its own"),
    ] {
        let error = plan(keys).expect_err(keys).to_string();
        let place = format!("{}:", folder.0.join("p.toml").display());
        assert!(error.starts_with(&place) && error.contains(words), "{keys}\n{error}\nexpected {words}");
        let line: u32 = error[place.len()..].split(':').next().unwrap().parse().unwrap();
        assert!(line == 5 || line == 6, "{error}");
    }
}
