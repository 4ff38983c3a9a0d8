// Edges: the length of the gradient of luma, by Sobel's two kernels.
//
// Input   source  any picture, R'G'B'; filter = "nearest", every tap falls on a pixel
// Output  grey, opaque; edges of the picture repeat
// Uniform gain    factor; 0.25 makes a step from black to white across a straight edge exactly white
// Cost    8 samples; GLES 2

#include "luma.glsl"

uniform float gain;

float luma_at(vec2 uv, float x, float y) {
    return dot(source(uv + vec2(x, y) / source_size).rgb, LUMA);
}

vec4 pixel(vec2 uv) {
    float nw = luma_at(uv, -1.0, -1.0);
    float n = luma_at(uv, 0.0, -1.0);
    float ne = luma_at(uv, 1.0, -1.0);
    float w = luma_at(uv, -1.0, 0.0);
    float e = luma_at(uv, 1.0, 0.0);
    float sw = luma_at(uv, -1.0, 1.0);
    float s = luma_at(uv, 0.0, 1.0);
    float se = luma_at(uv, 1.0, 1.0);
    vec2 gradient = vec2(ne + 2.0 * e + se - nw - 2.0 * w - sw, sw + 2.0 * s + se - nw - 2.0 * n - ne);
    return vec4(vec3(min(length(gradient) * gain, 1.0)), 1.0);
}
