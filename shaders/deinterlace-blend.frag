// Deinterlace: mixes both fields, each line with the two around, 1 : 2 : 1. Nothing flickers; what moves is seen twice.
//
// Input   source  an interlaced picture; filter = "nearest"
// Output  as the input; edges repeat
// Cost    3 samples; GLES 2

vec4 pixel(vec2 uv) {
    vec2 down = vec2(0.0, 1.0 / source_size.y);
    return source(uv) * 0.5 + (source(uv - down) + source(uv + down)) * 0.25;
}
