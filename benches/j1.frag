// The picture of floor/j1.frag, as a pass: red grows to the right, blue to the top, green is rings.
//
// Inputs  none
// Output  R'G'B', opaque
// Cost    no samples, 1 cosine

vec4 pixel(vec2 uv) {
    vec2 p = (uv - vec2(0.62, 0.4)) * vec2(1.7777778, 1.0);
    float ring = 0.5 + 0.5 * cos(12.0 * length(p));
    return vec4(uv.x, ring, 1.0 - uv.y, 1.0);
}
