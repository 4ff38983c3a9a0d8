//! What shaders of shadertoy.com find: `mainImage`, `iTime`, `iChannel0` and so on.
//!
//! In: sizes of the target and of the inputs. Out: the text before and behind the author's.
//! Not here: which inputs are channels (`graph` names them).
//!
//! Its y points up, in `fragCoord` and in textures; rows here go down. The functions that read textures are replaced by
//! ones that turn y round.

use std::fmt::Write as _;

use crate::gles::{Input, ShaderVersion};
use crate::layout::Size;

/// Text behind the inputs' own and before the author's.
pub(super) fn prelude(version: ShaderVersion, inputs: &[Input<'_>], target: Size) -> String {
    let mut text = String::from(
        "uniform float iTime;\nuniform float iTimeDelta;\nuniform int iFrame;\nuniform float df_opaque;\n",
    );
    let vector = |size: Size| format!("vec3({:?}, {:?}, 1.0)", f64::from(size.width), f64::from(size.height));
    let _ = writeln!(text, "const vec3 iResolution = {};", vector(target));
    text.push_str("const vec4 iMouse = vec4(0.0);\nconst float iSampleRate = 44100.0;\n");
    text.push_str("#define iFrameRate (1.0 / iTimeDelta)\n#define iDate vec4(1970.0, 0.0, 1.0, iTime)\n");
    text.push_str("vec3 iChannelResolution[4];\nfloat iChannelTime[4];\nvoid df_begin() {\n");
    for channel in 0..4 {
        let size = inputs.get(channel).map_or("vec3(0.0)".into(), |input| vector(input.size));
        let _ = writeln!(text, "iChannelResolution[{channel}] = {size}; iChannelTime[{channel}] = iTime;");
    }
    text.push_str("}\nvec2 df_up(vec2 at) { return vec2(at.x, 1.0 - at.y); }\n");
    text.push_str(match version {
        ShaderVersion::Essl100 => {
            "vec4 df_texture(sampler2D s, vec2 at) { return texture2D(s, df_up(at)); }
vec4 df_texture(sampler2D s, vec2 at, float bias) { return texture2D(s, df_up(at), bias); }
vec4 df_textureLod(sampler2D s, vec2 at, float lod) { return texture2D(s, df_up(at)); }
"
        }
        _ => {
            "vec4 df_texture(sampler2D s, vec2 at) { return texture(s, df_up(at)); }
vec4 df_texture(sampler2D s, vec2 at, float bias) { return texture(s, df_up(at), bias); }
vec4 df_textureLod(sampler2D s, vec2 at, float lod) { return textureLod(s, df_up(at), lod); }
vec4 df_textureGrad(sampler2D s, vec2 at, vec2 x, vec2 y) { return textureGrad(s, df_up(at), x * vec2(1.0, -1.0), y * vec2(1.0, -1.0)); }
vec4 df_texelFetch(sampler2D s, ivec2 at, int lod) { return texelFetch(s, ivec2(at.x, textureSize(s, lod).y - 1 - at.y), lod); }
#define textureGrad df_textureGrad
#define texelFetch df_texelFetch
"
        }
    });
    text.push_str("#define texture df_texture\n#define texture2D df_texture\n#define textureLod df_textureLod\n");
    for input in inputs {
        for sampler in input.samplers() {
            let _ = writeln!(text, "#define {} {sampler}", input.name);
        }
    }
    text
}

/// Text behind the author's.
pub(super) fn main(version: ShaderVersion) -> String {
    let target = if version == ShaderVersion::Essl100 { "gl_FragColor" } else { "df_color" };
    format!(
        "void main() {{ df_begin(); vec4 df_c = vec4(0.0, 0.0, 0.0, 1.0); \
         mainImage(df_c, vec2(gl_FragCoord.x, iResolution.y - gl_FragCoord.y)); \
         {target} = vec4(df_c.rgb, max(df_c.a, df_opaque)); }}\n"
    )
}
