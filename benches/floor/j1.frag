// J1: a picture from nothing but the position. GLSL ES 1.00, no inputs, no uniforms.
// Red grows to the right, blue grows to the top, green is rings about a point right of the middle.
precision highp float;
varying vec2 v_uv; // 0..1; (0, 0) is the top left corner of the picture

void main() {
    vec2 p = (v_uv - vec2(0.62, 0.4)) * vec2(1.7777778, 1.0);
    float ring = 0.5 + 0.5 * cos(12.0 * length(p));
    gl_FragColor = vec4(v_uv.x, ring, 1.0 - v_uv.y, 1.0);
}
