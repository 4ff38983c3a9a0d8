// A moving picture from nothing: sums of waves.
//
// Input   none
// Output  R'G'B', opaque
// Uniform scale  waves across the target's height
// Cost    no samples, 8 sines; GLES 2

uniform float scale;

vec4 pixel(vec2 uv) {
    vec2 p = uv * vec2(resolution.x / resolution.y, 1.0) * scale * 6.2831853;
    float v = sin(p.x + time) + sin(p.y * 0.7 - time * 1.3) + sin((p.x + p.y) * 0.6 + time * 0.7)
            + sin(length(p - 3.0 * vec2(sin(time * 0.5), cos(time * 0.4))));
    return vec4(0.5 + 0.5 * cos(v * 0.8 + vec3(0.0, 2.1, 4.2)), 1.0);
}
