// Deinterlace: keeps one field and makes the lines between from the two around. Sharp in time: each field is its own
// picture, so two passes give twice the rate.
//
// Input   source  an interlaced picture; filter = "nearest". 4:2:0 chroma is read as of a progressive picture
// Output  as the input
// Uniform field   0 keeps lines 0, 2, 4, … (top), 1 keeps lines 1, 3, 5, … (bottom)
// Cost    2 samples; GLES 2

uniform float field;

vec4 pixel(vec2 uv) {
    float line = floor(uv.y * source_size.y);
    // 0 on a line of the field, 1 between.
    float between = mod(line + field, 2.0);
    float above = line - between;
    float below = line + between;
    // Beyond the edge there is one neighbour only.
    above = above < 0.0 ? below : above;
    below = below > source_size.y - 1.0 ? above : below;
    vec4 one = source(vec2(uv.x, (above + 0.5) / source_size.y));
    vec4 other = source(vec2(uv.x, (below + 0.5) / source_size.y));
    return (one + other) * 0.5;
}
