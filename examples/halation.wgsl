// Light that bleeds around what is bright: rings of reads around each pixel, of which only what is above the threshold counts.

struct Uniforms {
    tint: vec3f,
    // How much of it is added.
    amount: f32,
    // From which brightness on, 0 to 1.
    threshold: f32,
    // How far it reaches, in pixels.
    radius: f32,
}

const RINGS = 4;
const SPOKES = 12;

fn bright(at: vec2f) -> f32 {
    let luma = dot(picture(at).rgb, vec3f(0.2126, 0.7152, 0.0722));
    return max(luma - uniforms.threshold, 0.0) / (1.0 - uniforms.threshold);
}

fn pixel(uv: vec2f) -> vec4f {
    var light = 0.0;
    var weights = 0.0;
    for (var ring = 1; ring <= RINGS; ring++) {
        let far = f32(ring) / f32(RINGS);
        let weight = exp(-3.0 * far * far);
        for (var spoke = 0; spoke < SPOKES; spoke++) {
            // Each ring is turned against the one before.
            let angle = (f32(spoke) + 0.5 * f32(ring % 2)) * 6.2831853 / f32(SPOKES);
            let step = vec2f(cos(angle), sin(angle)) * uniforms.radius * far;
            light += weight * bright(uv + step / picture_size);
            weights += weight;
        }
    }
    let own = picture(uv);
    return vec4f(own.rgb + uniforms.tint * uniforms.amount * light / weights, own.a);
}
