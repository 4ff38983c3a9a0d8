// Chroma key: what has the colour of the screen becomes the background, and the screen's light on the rest is taken away.
//
// Input   front   the picture before the screen, R'G'B'
// Input   back    what is to be behind
// Output  R'G'B', alpha of the background
// Uniform key     colour of the screen, R'G'B' 0 to 1
// Uniform near    distance from the key in the plane of BT.709 colour differences (-0.5 to 0.5) up to which all is screen
// Uniform far     distance from which all is foreground; between, a smooth step
// Uniform spill   0 leaves the screen's light on the foreground, 1 takes it away: the part of the colour difference that
//                 points to the key further than 45 degrees to either side; luma stays
// Cost    2 samples; GLES 2

#include "luma.glsl"

uniform vec3 key;
uniform float near;
uniform float far;
uniform float spill;

vec4 pixel(vec2 uv) {
    vec4 f = front();
    vec4 b = back();
    vec2 to_key = chroma_of(key);
    vec2 chroma = chroma_of(f.rgb);
    float matte = smoothstep(near, far, distance(chroma, to_key)) * f.a;
    vec2 ahead = normalize(to_key);
    float excess = max(dot(chroma, ahead) - abs(chroma.x * ahead.y - chroma.y * ahead.x), 0.0);
    vec3 clean = clamp(rgb_of(dot(f.rgb, LUMA), chroma - ahead * excess * spill), 0.0, 1.0);
    return vec4(mix(b.rgb, clean, matte), b.a);
}
