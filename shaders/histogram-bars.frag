// Draws what histogram.frag has counted: bars of R, G and B that add up where they overlap.
//
// Input   counts  the target of histogram.frag; filter = "nearest"
// Output  R'G'B' on black, opaque
// Cost    1 sample; GLES 2

vec4 pixel(vec2 uv) {
    vec3 height = counts(vec2(uv.x, 0.5)).rgb;
    return vec4(step(vec3(1.0 - uv.y), height), 1.0);
}
