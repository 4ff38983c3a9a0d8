// A picture under moving water, written the way shadertoy.com wants it.
//
// Input  iChannel0  the picture on the ground

float wave(vec2 p, float angle, float length, float speed) {
    vec2 direction = vec2(cos(angle), sin(angle));
    return sin(dot(p, direction) * 6.2831853 / length + iTime * speed);
}

float water(vec2 p) {
    return wave(p, 0.4, 0.31, 2.0) + 0.6 * wave(p, 2.1, 0.17, 2.7) + 0.4 * wave(p, 4.4, 0.11, 3.3);
}

void mainImage(out vec4 fragColor, in vec2 fragCoord) {
    vec2 p = fragCoord / iResolution.y;
    vec2 step = vec2(0.002, 0.0);
    vec2 slope = vec2(water(p + step.xy) - water(p - step.xy), water(p + step.yx) - water(p - step.yx)) / 0.004;
    vec3 ground = texture(iChannel0, fragCoord / iResolution.xy + slope * 0.0004).rgb;
    float light = 1.0 + 0.006 * (slope.x + slope.y);
    fragColor = vec4(ground * vec3(0.75, 0.95, 1.0) * light, 1.0);
}
