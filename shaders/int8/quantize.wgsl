// Floats onto a grid of integers: round(min(|x|, limit) · inverse), half to even, with the sign of x, from −127
// to 127; ToGrid of src/int8/arith.rs. Shaders may take for granted that no float is a NaN or an infinity and may
// take denormal ones for zero, so these are told by their bits: NaN and denormal numbers become zero.
//
// Layout   x: [plane][pixel] of vec4, PIXELS = batch · rows · columns; y: the same, a byte each.
//          factors: the bits of inverse and limit.
// Grid     x: pixels; y: planes.

@group(0) @binding(7) var<storage, read> factors: array<vec4<i32>>;

const MAGNITUDE: u32 = 0x7fffffffu;
const SMALLEST: u32 = 0x00800000u;
const INFINITE: u32 = 0x7f800000u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        let bits = bitcast<vec4<u32>>(x_at((X_PLANE + id.y) * PIXELS + id.x));
        let magnitude = bits & vec4<u32>(MAGNITUDE);
        let limited = bitcast<vec4<f32>>(min(magnitude, vec4<u32>(bitcast<u32>(factors[0].y))));
        let steps = min(vec4<i32>(round(limited * bitcast<f32>(factors[0].x))), vec4<i32>(127));
        let number = (magnitude >= vec4<u32>(SMALLEST)) & (magnitude <= vec4<u32>(INFINITE));
        y_put(id.y * PIXELS + id.x, select(vec4<i32>(0), select(steps, -steps, bits > vec4<u32>(MAGNITUDE)), number));
    }
}
