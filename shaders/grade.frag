// Exposure and contrast of one picture.
//
// Input   source    any picture, R'G'B'
// Output  R'G'B', alpha of the input
// Uniform exposure  factor on the code values; 1 changes nothing
// Uniform contrast  0 changes nothing, 1 is the full S-curve c * c * (3 - 2 * c)
// Cost    1 sample; GLES 2

uniform float exposure;
uniform float contrast;

vec4 pixel(vec2 uv) {
    vec4 s = source();
    vec3 c = clamp(s.rgb * exposure, 0.0, 1.0);
    return vec4(mix(c, c * c * (3.0 - 2.0 * c), contrast), s.a);
}
