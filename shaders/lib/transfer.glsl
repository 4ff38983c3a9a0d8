// The transfer function of sRGB (IEC 61966-2-1), both ways. R'G'B' 0..1 <-> linear light 0..1.
// R' <= 0.04045: R = R' / 12.92, else ((R' + 0.055) / 1.055) ^ 2.4.

vec3 srgb_to_linear(vec3 c) {
    return mix(pow((c + 0.055) / 1.055, vec3(2.4)), c / 12.92, step(c, vec3(0.04045)));
}

vec3 linear_to_srgb(vec3 c) {
    c = max(c, 0.0);
    return mix(1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, c * 12.92, step(c, vec3(0.0031308)));
}
