// What a dispatch costs that does nothing: one workgroup that only touches its buffers, so that each
// has to wait for the one before, as layers of a network do.
//
// Layout   x, y: one vec4.
// Grid     one workgroup.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) at: u32) {
    if (at == 0u) {
        y[0] = y[0] + x[0];
    }
}
