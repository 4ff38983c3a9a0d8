// Tone curves: linear light from 0 without end -> 0..1, each channel by itself.

// Reinhard et al. 2002, equation 4: x (1 + x / w^2) / (1 + x); w becomes 1.
vec3 tone_reinhard(vec3 x, float w) {
    return x * (1.0 + x / (w * w)) / (1.0 + x);
}

// Hable 2010 ("Uncharted 2"): shoulder 0.15, linear 0.5 at angle 0.1, toe 0.2, 0.02 / 0.3.
vec3 tone_hable_raw(vec3 x) {
    return (x * (0.15 * x + 0.05) + 0.004) / (x * (0.15 * x + 0.5) + 0.06) - 0.02 / 0.3;
}

vec3 tone_hable(vec3 x, float w) {
    return tone_hable_raw(x) / tone_hable_raw(vec3(w));
}

// Narkowicz 2015: a fit of the ACES reference rendering; reaches 1 by itself.
vec3 tone_filmic(vec3 x) {
    return x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14);
}
