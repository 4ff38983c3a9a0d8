// Lays one picture over another, by its alpha.
//
// Input   base    the picture below
// Input   top     the picture above, alpha not premultiplied
// Output  R'G'B', alpha of the base
// Uniform place   left, top, width, height of the upper picture as parts of the target, 0 to 1
// Uniform opacity 0 hides the upper picture, 1 shows it
// Cost    2 samples; GLES 2

uniform vec4 place;
uniform float opacity;

vec4 pixel(vec2 uv) {
    vec4 below = base();
    vec2 at = (uv - place.xy) / place.zw;
    // 1 inside, 0 outside, without a branch.
    vec2 inside = step(vec2(0.0), at) * step(at, vec2(1.0));
    vec4 above = top(clamp(at, 0.0, 1.0));
    return vec4(mix(below.rgb, above.rgb, above.a * opacity * inside.x * inside.y), below.a);
}
