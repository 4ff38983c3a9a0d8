// Takes the distortion of a lens out of a picture: the model of Brown and Conrady, with the numbers that OpenCV's
// calibrateCamera gives for this size. The target has the size of the input and the same camera, without distortion.
//
// Input   source  what the camera saw
// Output  as the input; transparent black where the camera saw nothing
// Uniform focal   fx, fy in pixels
// Uniform center  cx, cy in pixels; the middle of the top left pixel is [0, 0]
// Uniform k       radial: k1, k2, k3
// Uniform p       tangential: p1, p2
// Cost    1 sample; GLES 2

uniform vec2 focal;
uniform vec2 center;
uniform vec3 k;
uniform vec2 p;

vec4 pixel(vec2 uv) {
    vec2 n = (uv * resolution - 0.5 - center) / focal;
    float r2 = dot(n, n);
    float radial = 1.0 + r2 * (k.x + r2 * (k.y + r2 * k.z));
    vec2 tangential = 2.0 * n.x * n.y * p + (r2 + 2.0 * n * n) * p.yx;
    vec2 at = ((n * radial + tangential) * focal + center + 0.5) / source_size;
    vec2 inside = step(vec2(0.0), at) * step(at, vec2(1.0));
    return source(clamp(at, 0.0, 1.0)) * inside.x * inside.y;
}
