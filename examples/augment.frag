#version 300 es
// Random variation of training pictures: crop, mirror, brightness, contrast and saturation. The frame's number and the
// seed decide alone, so a picture is the same whoever draws it, and whenever.
//
// Input   source, at least as large as the target: a window of the target's size is cut out of it, pixel for pixel
// Output  R'G'B', opaque
// Uniform seed    another seed, other pictures
// Uniform jitter  brightness, contrast and saturation change by up to this part, up and down: 0.2
// Cost    1 sample, integers; GLES 3

uniform int seed;
uniform float jitter;

// PCG: Jarzynski and Olano, "Hash Functions for GPU Rendering" (2020).
highp uint pcg(highp uint value) {
    highp uint state = value * 747796405u + 2891336453u;
    highp uint word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// The number `index` of this frame, 24 bits.
highp uint random(highp uint index) {
    return pcg(pcg(uint(frame) + pcg(uint(seed))) + index) >> 8u;
}

// 1 - jitter to 1 + jitter.
float factor(highp uint index) {
    return 1.0 + jitter * (float(random(index)) / 8388608.0 - 1.0);
}

vec4 pixel(vec2 uv) {
    highp uvec2 room = uvec2(source_size - resolution) + 1u;
    vec2 corner = vec2(random(0u) % room.x, random(1u) % room.y);
    vec2 at = floor(uv * resolution);
    if (random(2u) % 2u == 1u) {
        at.x = resolution.x - 1.0 - at.x;
    }
    vec3 c = source((corner + at + 0.5) / source_size).rgb;
    c = (c - 0.5) * factor(3u) + 0.5;
    c = c * factor(4u);
    float luma = dot(c, vec3(0.2126, 0.7152, 0.0722));
    return vec4(clamp(mix(vec3(luma), c, factor(5u)), 0.0, 1.0), 1.0);
}
