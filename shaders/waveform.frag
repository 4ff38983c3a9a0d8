// Waveform monitor: across as in the picture, upwards the codes that each column has, 0 at the bottom, 1 at the top.
//
// Input   source  any picture, R'G'B'; 128 rows of it are looked at; filter = "nearest"
// Output  the trace, R, G and B by themselves (grey is white), with lines at 0, 25, 50, 75 and 100 %; opaque
// Uniform luma    0 shows R, G and B, 1 shows BT.709 luma
// Uniform gain    brightness of the trace: a code that a share s of the column has is gain * s bright
// Cost    128 samples a pixel of the target: keep it small (256x128 is 4 million samples); GLES 2

#include "luma.glsl"

const int SAMPLES = 128;

uniform float luma;
uniform float gain;

vec4 pixel(vec2 uv) {
    float levels = resolution.y - 1.0;
    float level = (1.0 - uv.y) * resolution.y - 0.5;
    vec3 hits = vec3(0.0);
    for (int i = 0; i < SAMPLES; i++) {
        vec3 c = source(vec2(uv.x, (float(i) + 0.5) / float(SAMPLES))).rgb;
        c = mix(c, vec3(dot(c, LUMA)), luma);
        // Between two rows a code counts for both, by its distance.
        hits += max(1.0 - abs(c * levels - level), 0.0);
    }
    float quarter = 0.25 * levels;
    float to_line = abs(level - quarter * floor(level / quarter + 0.5));
    float line = to_line < 0.5 ? 0.25 : 0.0;
    return vec4(clamp(max(hits * gain / float(SAMPLES), vec3(line)), 0.0, 1.0), 1.0);
}
