// A picture as it is; bilinear where the target has another size. To half or less, take lanczos.frag: this one skips pixels.
//
// Input   source  any picture
// Output  as the input
// Cost    1 sample; GLES 2

vec4 pixel(vec2 uv) {
    return source();
}
