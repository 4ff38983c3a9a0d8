// One half of a separable Gaussian blur: 9 taps, standard deviation 2 pixels, edges repeat.
//
// Input   source     any picture
// Output  as the input
// Uniform direction  step from tap to tap in pixels: [1, 0] blurs rows, [0, 1] columns; use both, one after the other
// Cost    9 samples; GLES 2

#include "gaussian.glsl"

uniform vec2 direction;

vec4 pixel(vec2 uv) {
    vec2 one = direction / source_size;
    vec4 sum = source(uv) * GAUSSIAN_0;
    sum += (source(uv - one) + source(uv + one)) * GAUSSIAN_1;
    sum += (source(uv - 2.0 * one) + source(uv + 2.0 * one)) * GAUSSIAN_2;
    sum += (source(uv - 3.0 * one) + source(uv + 3.0 * one)) * GAUSSIAN_3;
    sum += (source(uv - 4.0 * one) + source(uv + 4.0 * one)) * GAUSSIAN_4;
    return sum;
}
