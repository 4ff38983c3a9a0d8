// Compares two pictures: one left of a line, the other right of it.
//
// Input   left   shown left of the line
// Input   right  shown right of it
// Output  R'G'B', opaque
// Uniform at     where the line is, 0 left to 1 right
// Uniform line   width of the line in pixels; 0 for none
// Cost    2 samples; GLES 2

uniform float at;
uniform float line;

vec4 pixel(vec2 uv) {
    float from_line = (uv.x - at) * resolution.x;
    vec3 c = from_line < 0.0 ? left().rgb : right().rgb;
    return vec4(abs(from_line) < 0.5 * line ? vec3(1.0) : c, 1.0);
}
