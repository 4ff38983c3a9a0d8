// Tone curve: brings light above white back into the picture, in linear light, each channel by itself.
//
// Input   source    any picture, R'G'B' of sRGB
// Output  R'G'B' of sRGB, alpha of the input
// Uniform exposure  stops before the curve: 2 makes 1 to 4
// Uniform curve     0 Reinhard (extended), 1 Hable, 2 filmic (Narkowicz); formulas in lib/tone.glsl
// Uniform white     0 and 1: the light that becomes white, as a multiple of 1; 2 does not use it
// Cost    1 sample, 6 powers; GLES 2

#include "transfer.glsl"
#include "tone.glsl"

uniform float exposure;
uniform int curve;
uniform float white;

vec4 pixel(vec2 uv) {
    vec4 s = source();
    vec3 light = srgb_to_linear(s.rgb) * exp2(exposure);
    if (curve == 0) {
        light = tone_reinhard(light, white);
    } else if (curve == 1) {
        light = tone_hable(light, white);
    } else {
        light = tone_filmic(light);
    }
    return vec4(linear_to_srgb(clamp(light, 0.0, 1.0)), s.a);
}
