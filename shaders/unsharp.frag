// Unsharp mask: adds what a blur has taken away.
//
// Input   source   the sharp picture
// Input   blurred  the same, blurred
// Output  R'G'B', alpha of the sharp picture
// Uniform amount   0 changes nothing, 1 doubles the detail
// Cost    2 samples; GLES 2

uniform float amount;

vec4 pixel(vec2 uv) {
    vec4 s = source();
    return vec4(clamp(s.rgb + amount * (s.rgb - blurred().rgb), 0.0, 1.0), s.a);
}
