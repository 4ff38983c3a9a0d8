// Denoise in time: mixes each pixel with what the frames before gave in its place, as far as it is alike. What moves is
// new at once and stays sharp; what stands still gets cleaner from frame to frame.
//
// Input   source    a moving picture, R'G'B'
// Input   previous  "@previous": what this pass gave before; transparent before the first frame
// Output  R'G'B', alpha of the source
// Uniform strength  0 changes nothing; s leaves sqrt((1 - s) / (1 + s)) of the noise: a third with 0.8. In a target of 8
//                   bits a still pixel stays up to 0.5 / (1 - s) codes from its mean
// Uniform still     difference from the frame before (the largest of R, G, B; codes 0 to 1) up to which all is mixed:
//                   twice the standard deviation of the noise
// Uniform moving    difference from which nothing is mixed: five times that of the noise
// Cost    2 samples; GLES 2

uniform float strength;
uniform float still;
uniform float moving;

vec4 pixel(vec2 uv) {
    vec4 s = source();
    vec4 p = previous();
    vec3 off = abs(s.rgb - p.rgb);
    float alike = 1.0 - smoothstep(still, moving, max(off.r, max(off.g, off.b)));
    return vec4(mix(s.rgb, p.rgb, strength * alike * step(0.5, p.a)), s.a);
}
