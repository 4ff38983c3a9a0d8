// Denoise: the mean of the pixels around that are alike, so that edges stay.
//
// Input   source       any picture, R'G'B'; filter = "nearest", every tap falls on a pixel
// Output  R'G'B', alpha of the input; edges repeat
// Uniform sigma_space  standard deviation of the weight by distance, in pixels; the circle ends at 3
// Uniform sigma_range  standard deviation of the weight by difference, |R| + |G| + |B| of codes 0 to 1: about three times
//                      that of the noise
// Cost    29 samples, 29 exponentials; GLES 2

uniform float sigma_space;
uniform float sigma_range;

vec4 pixel(vec2 uv) {
    vec4 middle = source(uv);
    float by_space = -0.5 / (sigma_space * sigma_space);
    float by_range = -0.5 / (sigma_range * sigma_range);
    vec3 sum = vec3(0.0);
    float total = 0.0;
    for (int j = -3; j <= 3; j++) {
        for (int i = -3; i <= 3; i++) {
            vec2 step_to = vec2(float(i), float(j));
            float far = dot(step_to, step_to);
            if (far > 9.5) {
                continue;
            }
            vec3 c = source(uv + step_to / source_size).rgb;
            float unlike = dot(abs(c - middle.rgb), vec3(1.0));
            float weight = exp(far * by_space + unlike * unlike * by_range);
            sum += c * weight;
            total += weight;
        }
    }
    return vec4(sum / total, middle.a);
}
