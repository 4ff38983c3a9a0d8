// Scales up with a cubic kernel of Mitchell and Netravali: [0, 0.5] is Catmull-Rom, [0.333, 0.333] Mitchell, [1, 0] a
// B-spline. The kernel is as wide as four pixels of the input: to scale down, use lanczos.frag.
//
// Input   source  any picture; filter = "nearest", every tap falls on a pixel
// Output  as the input; taps beyond the edge are left out
// Uniform bc      B and C of the kernel
// Cost    16 samples; GLES 2

uniform vec2 bc;

float cubic(float x) {
    x = abs(x);
    float b = bc.x;
    float c = bc.y;
    if (x < 1.0) {
        return (((12.0 - 9.0 * b - 6.0 * c) * x + (-18.0 + 12.0 * b + 6.0 * c)) * x * x + (6.0 - 2.0 * b)) / 6.0;
    }
    if (x < 2.0) {
        return (((-b - 6.0 * c) * x + (6.0 * b + 30.0 * c)) * x + (-12.0 * b - 48.0 * c)) * x / 6.0
             + (8.0 * b + 24.0 * c) / 6.0;
    }
    return 0.0;
}

vec4 pixel(vec2 uv) {
    vec2 at = uv * source_size - 0.5;
    vec2 first = floor(at) - 1.0;
    vec4 sum = vec4(0.0);
    float total = 0.0;
    for (int j = 0; j < 4; j++) {
        for (int i = 0; i < 4; i++) {
            vec2 tap = first + vec2(float(i), float(j));
            vec2 inside = step(vec2(0.0), tap) * step(tap, source_size - 1.0);
            float weight = cubic(tap.x - at.x) * cubic(tap.y - at.y) * inside.x * inside.y;
            sum += source((tap + 0.5) / source_size) * weight;
            total += weight;
        }
    }
    return clamp(sum / total, 0.0, 1.0);
}
