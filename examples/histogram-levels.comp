// The levels that make a picture's luma equally frequent: histogram equalisation, counted exactly.
//
// Input   source  any picture, R'G'B'; filter = "nearest"
// Output  256x1: for each code of luma the code it becomes, in R, G and B; opaque
// Keys    compute = { file = "…", local-size = [128, 1], groups = [1, 1] }: one work group counts the whole picture
// Cost    one sample a pixel of the source, by 128 invocations; GLES 3.1

shared uint counts[256];
shared uint least;

void main() {
    uint self = gl_LocalInvocationIndex;
    for (uint i = self; i < 256u; i += 128u)
        counts[i] = 0u;
    barrier();
    uvec2 size = uvec2(source_size);
    uint all = size.x * size.y;
    for (uint i = self; i < all; i += 128u) {
        uvec3 c = uvec3(source((vec2(i % size.x, i / size.x) + 0.5) / source_size).rgb * 255.0 + 0.5);
        atomicAdd(counts[(c.r * 77u + c.g * 150u + c.b * 29u) >> 8], 1u);
    }
    barrier();
    if (self == 0u) {
        // How many pixels are of the darkest code and of each below another: in place, from dark to bright.
        uint below = 0u;
        least = 0u;
        for (int i = 0; i < 256; i++) {
            below += counts[i];
            counts[i] = below;
            if (least == 0u)
                least = below;
        }
    }
    barrier();
    uint rest = max(all - least, 1u);
    for (uint i = self; i < 256u; i += 128u) {
        uint above = counts[i] - min(counts[i], least);
        float level = float((510u * above + rest) / (2u * rest)) / 255.0;
        imageStore(target, ivec2(i, 0), vec4(vec3(level), 1.0));
    }
}
