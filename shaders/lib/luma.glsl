// BT.709: luma of R'G'B', luminance of linear light, and the two colour differences, -0.5..0.5.

const vec3 LUMA = vec3(0.2126, 0.7152, 0.0722);

vec2 chroma_of(vec3 c) {
    float y = dot(c, LUMA);
    return vec2((c.b - y) / 1.8556, (c.r - y) / 1.5748);
}

vec3 rgb_of(float y, vec2 chroma) {
    float r = y + 1.5748 * chroma.y;
    float b = y + 1.8556 * chroma.x;
    return vec3(r, (y - LUMA.r * r - LUMA.b * b) / LUMA.g, b);
}
