// Colours by a table: a .cube file, mixed between its entries in three directions.
//
// Input   source  any picture, in the colours that the table expects
// Input   lut     a source whose file is a .cube: its slices of blue lie in columns of 8; filter = "linear"
// Output  the table's colours, alpha of the input
// Uniform amount  0 changes nothing, 1 is the table
// Cost    3 samples; GLES 2. Without highp in fragment shaders (Mali-400) a place in the table has 10 bits: tables of at
//         most 17 entries a side stay without steps

const float ROWS = 8.0;

uniform float amount;

vec3 entry(float slice, vec2 red_green, float edge) {
    float column = floor((slice + 0.5) / ROWS);
    vec2 corner = vec2(column, slice - ROWS * column) * edge;
    return lut((corner + red_green + 0.5) / lut_size).rgb;
}

vec4 pixel(vec2 uv) {
    vec4 s = source();
    float edge = floor(lut_size.y / ROWS + 0.5);
    vec3 at = clamp(s.rgb, 0.0, 1.0) * (edge - 1.0);
    float slice = min(floor(at.b), edge - 2.0);
    vec3 graded = mix(entry(slice, at.rg, edge), entry(slice + 1.0, at.rg, edge), at.b - slice);
    return vec4(mix(s.rgb, graded, amount), s.a);
}
