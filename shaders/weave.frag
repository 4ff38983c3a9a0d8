// Interlaces: the lines of one field from one picture, those of the other from the next.
//
// Input   early  the picture whose field is shown first
// Input   late   the picture after it
// Output  as the inputs
// Uniform first  the field that is shown first: 0 lines 0, 2, 4, … (top), 1 lines 1, 3, 5, … (bottom)
// Cost    2 samples; GLES 2

uniform float first;

vec4 pixel(vec2 uv) {
    float line = floor(uv.y * resolution.y);
    return mix(early(), late(), mod(line + first, 2.0));
}
