#version 450
// Samples every pixel at its middle and packs it as bytes R, G, B, A.
// Built with: glslangValidator -V --target-env vulkan1.1 sample.comp -o sample.spv
layout(local_size_x = 8, local_size_y = 8) in;
layout(binding = 0) uniform sampler2D image;
layout(binding = 1) writeonly buffer Pixels { uint pixels[]; };
layout(push_constant) uniform Push { uvec2 size; };
void main() {
    uvec2 at = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(at, size))) return;
    pixels[at.y * size.x + at.x] = packUnorm4x8(textureLod(image, (vec2(at) + 0.5) / vec2(size), 0.0));
}
