// What memory can be read and written at: every invocation copies EACH vec4s that lie THREADS apart.
//
// Layout   x, y: THREADS · EACH of vec4.
// Grid     x: THREADS invocations.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    for (var k = 0u; k < EACH; k++) {
        y[k * THREADS + id.x] = x[k * THREADS + id.x];
    }
}
