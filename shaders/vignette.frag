// Darkens towards the corners.
//
// Input   source    any picture
// Output  R'G'B', alpha of the input
// Uniform strength  0 changes nothing, 1 is black outside 0.95 of the half diagonal; inside 0.45 nothing changes
// Cost    1 sample; GLES 2

uniform float strength;

vec4 pixel(vec2 uv) {
    vec4 s = source();
    float radius = length(uv - 0.5) * 1.41421356;
    return vec4(s.rgb * (1.0 - strength * smoothstep(0.45, 0.95, radius)), s.a);
}
