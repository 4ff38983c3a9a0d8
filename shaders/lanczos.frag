// One half of a Lanczos scaling: across with direction [1, 0] into a target of the new width and the old height, then
// down with [0, 1] into the new size. Scaled down, the kernel is stretched, so that nothing aliases.
//
// Input   source     any picture; filter = "nearest", every tap falls on a pixel
// Output  as the input; taps beyond the edge are left out
// Uniform direction  [1, 0] scales across, [0, 1] down
// Uniform lobes      2 or 3: half the width of the kernel in pixels of the smaller picture
// Cost    2 * lobes samples when scaled up, 2 * lobes * ratio when down, at most 32: down to a fifth with 3 lobes, to an
//         eighth with 2; 2 sines a sample; GLES 2

const int TAPS = 32;
const float PI = 3.14159265;

uniform vec2 direction;
uniform float lobes;

float lanczos(float x) {
    x = abs(x);
    if (x < 0.001) {
        return 1.0;
    }
    if (x >= lobes) {
        return 0.0;
    }
    float turn = PI * x;
    return lobes * sin(turn) * sin(turn / lobes) / (turn * turn);
}

vec4 pixel(vec2 uv) {
    float length_in = dot(source_size, direction);
    float stretch = max(length_in / dot(resolution, direction), 1.0);
    float reach = lobes * stretch;
    float at = dot(uv, direction) * length_in;
    float first = floor(at - reach + 0.5);
    vec4 sum = vec4(0.0);
    float total = 0.0;
    for (int i = 0; i < TAPS; i++) {
        float tap = first + float(i) + 0.5;
        if (tap > at + reach) {
            break;
        }
        float weight = lanczos((tap - at) / stretch) * step(0.0, tap) * step(tap, length_in);
        sum += source(mix(uv, vec2(tap / length_in), direction)) * weight;
        total += weight;
    }
    return clamp(sum / total, 0.0, 1.0);
}
