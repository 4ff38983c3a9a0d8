// Gives luma the level that a table has for it; hue stays.
//
// Input   source  any picture, R'G'B'
// Input   levels  256x1: for each code of luma its new code, as histogram-levels.comp makes it; filter = "nearest"
// Output  R'G'B' times new luma / old luma, at most 1; alpha of source
// Cost    two samples; GLES 2

vec4 pixel(vec2 uv) {
    vec4 c = source();
    vec3 codes = floor(c.rgb * 255.0 + 0.5);
    float code = floor(dot(codes, vec3(77.0, 150.0, 29.0)) / 256.0);
    float level = levels(vec2((code + 0.5) / 256.0, 0.5)).r * 255.0;
    return vec4(min(c.rgb * level / max(code, 1.0), 1.0), c.a);
}
