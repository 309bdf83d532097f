// The rate of dot4I8Packed with accumulation: 32 chains in every invocation, ROUNDS long, so that an
// operation need not wait for the one before.
//
// Layout   x: one vec4 of zeros, which no compiler knows to be that; y: THREADS of vec4<f32>.
// Grid     x: THREADS invocations.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

fn dots(a: vec4<i32>, m: u32) -> vec4<i32> {
    let packed = bitcast<vec4<u32>>(a);
    let sums = vec4<i32>(
        dot4I8Packed(packed.x, m), dot4I8Packed(packed.y, m), dot4I8Packed(packed.z, m), dot4I8Packed(packed.w, m),
    );
    return a + sums;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = 0x01ff0203u + u32(x[0].x);
    let c = vec4<i32>(1, 2, 3, 4);
    var a = vec4<i32>(i32(id.x));
    var b = a + c;
    var d = b + c;
    var e = d + c;
    var f = e + c;
    var g = f + c;
    var h = g + c;
    var i = h + c;
    for (var k = 0u; k < ROUNDS; k++) {
        a = dots(a, m);
        b = dots(b, m);
        d = dots(d, m);
        e = dots(e, m);
        f = dots(f, m);
        g = dots(g, m);
        h = dots(h, m);
        i = dots(i, m);
    }
    y[id.x] = vec4<f32>(((a + b) + (d + e)) + ((f + g) + (h + i)));
}
