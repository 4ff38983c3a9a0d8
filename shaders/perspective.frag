// Perspective: a plane seen from another place, by a 3x3 homography.
//
// Input   source      any picture
// Output  as the input; transparent black outside of it
// Uniform homography  from pixels of the target to pixels of the input, row by row; the middle of the top left pixel is
//                     [0, 0]. It is what OpenCV's getPerspectiveTransform(target_corners, source_corners) gives
// Cost    1 sample; GLES 2

uniform mat3 homography;

vec4 pixel(vec2 uv) {
    // The numbers come row by row and GL takes columns: the vector stands on the left.
    vec3 q = vec3(uv * resolution - 0.5, 1.0) * homography;
    vec2 at = (q.xy / q.z + 0.5) / source_size;
    vec2 inside = step(vec2(0.0), at) * step(at, vec2(1.0));
    return source(clamp(at, 0.0, 1.0)) * inside.x * inside.y * step(0.0, q.z);
}
