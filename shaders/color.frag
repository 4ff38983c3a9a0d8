// White balance, exposure and saturation, in linear light.
//
// Input   source      any picture, R'G'B' of sRGB
// Output  R'G'B' of sRGB, alpha of the input
// Uniform white       gains of R, G and B on linear light; [1, 1, 1] changes nothing
// Uniform exposure    stops: 0 changes nothing, 1 doubles the light
// Uniform saturation  0 is grey of the same luminance, 1 changes nothing, 2 doubles the distance from grey
// Cost    1 sample, 6 powers; GLES 2

#include "transfer.glsl"
#include "luma.glsl"

uniform vec3 white;
uniform float exposure;
uniform float saturation;

vec4 pixel(vec2 uv) {
    vec4 s = source();
    vec3 light = srgb_to_linear(s.rgb) * white * exp2(exposure);
    light = mix(vec3(dot(light, LUMA)), light, saturation);
    return vec4(linear_to_srgb(clamp(light, 0.0, 1.0)), s.a);
}
