//! A shader's text word by word, without a grammar: comments, functions, uniforms, names that a version took.
//!
//! In: a text. Out: what stands in it. Not here: tokens with their places (`tokens`).

use super::Declared;

/// Names that GLSL ES 3.00 took, and 1.00 leaves to authors.
pub(super) const NEW_IN_300: &[&str] = &[
    "acosh",
    "asinh",
    "atanh",
    "case",
    "centroid",
    "cosh",
    "default",
    "determinant",
    "filter",
    "flat",
    "floatBitsToInt",
    "floatBitsToUint",
    "intBitsToFloat",
    "inverse",
    "isinf",
    "isnan",
    "isampler2D",
    "isampler3D",
    "isamplerCube",
    "isampler2DArray",
    "layout",
    "mat2x2",
    "mat2x3",
    "mat2x4",
    "mat3x2",
    "mat3x3",
    "mat3x4",
    "mat4x2",
    "mat4x3",
    "mat4x4",
    "modf",
    "outerProduct",
    "packHalf2x16",
    "packSnorm2x16",
    "packUnorm2x16",
    "round",
    "roundEven",
    "sampler2DArray",
    "sampler2DArrayShadow",
    "sampler2DShadow",
    "sampler3D",
    "samplerCubeShadow",
    "sinh",
    "smooth",
    "switch",
    "tanh",
    "texelFetch",
    "texelFetchOffset",
    "texture",
    "texture2D",
    "textureGrad",
    "textureGradOffset",
    "textureLod",
    "textureLodOffset",
    "textureOffset",
    "textureProj",
    "textureProjGrad",
    "textureProjGradOffset",
    "textureProjLod",
    "textureProjLodOffset",
    "textureProjOffset",
    "textureSize",
    "transpose",
    "trunc",
    "uint",
    "uintBitsToFloat",
    "unpackHalf2x16",
    "unpackSnorm2x16",
    "unpackUnorm2x16",
    "usampler2D",
    "usampler2DArray",
    "usampler3D",
    "usamplerCube",
    "uvec2",
    "uvec3",
    "uvec4",
    "coherent",
    "restrict",
    "readonly",
    "writeonly",
    "resource",
    "atomic_uint",
    "noperspective",
    "patch",
    "sample",
    "subroutine",
    "common",
    "partition",
    "active",
];

/// The text with every comment replaced by spaces.
pub(super) fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match rest.as_bytes().get(1) {
            Some(b'/') => rest.find('\n').unwrap_or(rest.len()),
            Some(b'*') => rest[2..].find("*/").map_or(rest.len(), |end| end + 4),
            _ => {
                plain.push('/');
                rest = &rest[1..];
                continue;
            }
        };
        plain.push(' ');
        rest = &rest[end..];
    }
    plain.push_str(rest);
    plain
}

pub(super) fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match is_word(first) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

pub(super) fn has_function(plain: &str, kind: &str, name: &str) -> bool {
    words(plain).windows(3).any(|window| window == [kind, name, "("])
}

pub(super) fn uniforms(plain: &str) -> Vec<Declared> {
    let words = words(plain);
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words[at] != "uniform" {
            at += 1;
            continue;
        }
        at += 1;
        if words.get(at).is_some_and(|word| matches!(*word, "lowp" | "mediump" | "highp")) {
            at += 1;
        }
        let Some(kind) = words.get(at) else { break };
        at += 1;
        // Names up to the semicolon, with array sizes.
        while let Some(name) = words.get(at).filter(|name| **name != ";") {
            let mut elements = 1;
            let mut next = at + 1;
            if words.get(next) == Some(&"[") {
                elements = words.get(next + 1).and_then(|size| size.parse().ok()).unwrap_or(1);
                next += 3;
            }
            if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                found.push(Declared { name: (*name).to_owned(), kind: (*kind).to_owned(), elements });
            }
            at = if words.get(next) == Some(&",") { next + 1 } else { next };
        }
    }
    found
}
