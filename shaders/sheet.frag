// Contact sheet: each frame puts its picture into the next cell, from left to right and down; the others stay.
//
// Input   photo     one picture a frame, as a folder of photographs gives them
// Input   previous  "@previous": the sheet so far
// Output  R'G'B', opaque; a picture fills its cell as far as its shape lets it
// Uniform columns   cells across
// Uniform rows      cells down
// Uniform margin    pixels between a picture and the edge of its cell
// Uniform paper     colour of the sheet, R'G'B' 0 to 1
// Cost    2 samples; GLES 2. Scaled down by more than half, pixels are skipped: scale with lanczos.frag first

uniform float columns;
uniform float rows;
uniform float margin;
uniform vec3 paper;

vec4 pixel(vec2 uv) {
    vec2 at = uv * vec2(columns, rows);
    vec2 cell = min(floor(at), vec2(columns, rows) - 1.0);
    vec4 before = previous();
    vec3 sheet = before.a < 0.5 ? paper : before.rgb;
    if (abs(cell.y * columns + cell.x - float(frame)) > 0.5) {
        return vec4(sheet, 1.0);
    }
    vec2 room = resolution / vec2(columns, rows) - 2.0 * margin;
    float scale = min(room.x / photo_size.x, room.y / photo_size.y);
    // Around the middle of the cell, in pixels of the sheet, then in parts of the picture.
    vec2 from_middle = (at - cell - 0.5) * resolution / vec2(columns, rows);
    vec2 place = from_middle / (scale * photo_size) + 0.5;
    vec2 inside = step(vec2(0.0), place) * step(place, vec2(1.0));
    return vec4(mix(paper, photo(clamp(place, 0.0, 1.0)).rgb, inside.x * inside.y), 1.0);
}
