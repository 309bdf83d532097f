// Copies channels of integers to other places, for values whose layout has to change.
//
// Layout   x, y: [plane][pixel] of four channels, a byte each, PIXELS = batch · rows · columns.
//          table: [plane] of four source channels; 0xffffffff is a zero.
// Grid     x: pixels; y: planes.

@group(0) @binding(5) var<storage, read> table: array<vec4<u32>>;

fn channel(c: u32, pixel: u32) -> i32 {
    if (c == 0xffffffffu) {
        return 0;
    }
    return x_integers((X_PLANE + c / 4u) * PIXELS + pixel)[c % 4u];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        let source = table[id.y];
        let v = vec4<i32>(channel(source.x, id.x), channel(source.y, id.x), channel(source.z, id.x), channel(source.w, id.x));
        y_put((Y_PLANE + id.y) * PIXELS + id.x, v);
    }
}
