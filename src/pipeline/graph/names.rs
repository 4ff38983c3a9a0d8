//! Which names inputs may have in a shader.
//!
//! In: a name. Out: why it cannot be one. Not here: what it names (`build`).

/// Fails, in words, where a name cannot be a function of GLSL ES.
pub(crate) fn check_identifier(name: &str) -> Result<(), String> {
    const TAKEN: &[&str] = &[
        "pixel",
        "main",
        "time",
        "frame",
        "resolution",
        "uv",
        "texture",
        "texture2D",
        "float",
        "int",
        "bool",
        "vec2",
        "vec3",
        "vec4",
        "mat2",
        "mat3",
        "mat4",
        "if",
        "else",
        "for",
        "while",
        "do",
        "return",
        "discard",
        "break",
        "continue",
        "const",
        "uniform",
        "varying",
        "attribute",
        "in",
        "out",
        "inout",
        "void",
        "struct",
        "input",
        "output",
        "sampler2D",
        "true",
        "false",
        "half",
        "fixed",
        "filter",
        "common",
        "active",
        "mix",
        "step",
        "abs",
        "min",
        "max",
        "clamp",
        "dot",
        "length",
        "mod",
        "sin",
        "cos",
        "tan",
        "floor",
        "ceil",
        "fract",
        "pow",
        "exp",
        "log",
        "sqrt",
        "sign",
        "distance",
        "cross",
        "normalize",
        "reflect",
        "refract",
        "smoothstep",
        "invariant",
    ];
    let mut chars = name.chars();
    let shape = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !shape {
        return Err(format!("\"{name}\" cannot be a name in a shader: letters, digits and _, no digit first"));
    }
    if name.starts_with("gl_") || name.starts_with("df_") || name.contains("__") || TAKEN.contains(&name) {
        return Err(format!("\"{name}\" is reserved in shaders"));
    }
    Ok(())
}
