// Counts how often each code occurs in R, G and B: a target of 256x1 has one code a pixel, a narrower one more.
//
// Input   source  any picture, R'G'B'; a grid of 64x64 pixels of it is counted; filter = "nearest"
// Output  the square root of gain * share, so that rare codes are seen in 8 bits; opaque
// Uniform gain    a code that 1 / gain of the pixels have is full height
// Cost    4096 samples a pixel of the target: 256x1 is 1 million; GLES 2

const int SIDE = 64;

uniform float gain;

vec4 pixel(vec2 uv) {
    float codes = resolution.x - 1.0;
    float code = uv.x * resolution.x - 0.5;
    vec3 hits = vec3(0.0);
    for (int j = 0; j < SIDE; j++) {
        for (int i = 0; i < SIDE; i++) {
            vec3 c = source((vec2(float(i), float(j)) + 0.5) / float(SIDE)).rgb;
            // Between two bins a code counts for both, by its distance.
            hits += max(1.0 - abs(c * codes - code), 0.0);
        }
    }
    return vec4(sqrt(min(hits * gain / float(SIDE * SIDE), 1.0)), 1.0);
}
