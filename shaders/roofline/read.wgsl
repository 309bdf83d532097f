// What memory can be read at: every invocation adds up EACH vec4s that lie THREADS apart, so that
// neighbours read neighbours.
//
// Layout   x: THREADS · EACH of vec4; y: one vec4, which is written only if the impossible sum comes out
//          (without that, a compiler could leave out the reading).
// Grid     x: THREADS invocations.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var sum = vec4<f32>(0.0);
    for (var k = 0u; k < EACH; k++) {
        sum += x[k * THREADS + id.x];
    }
    if (all(sum == vec4<f32>(1.0, 2.0, 3.0, 4.0))) {
        y[0] = sum;
    }
}
