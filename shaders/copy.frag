// A picture as it is; scaled where the target has another size.
//
// Input   source  any picture
// Output  as the input
// Cost    1 sample

vec4 pixel(vec2 uv) {
    return source();
}
