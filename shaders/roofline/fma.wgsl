// The rate of fused multiply-adds: eight chains of vec4 in every invocation, ROUNDS long, so that an
// operation need not wait for the one before. The prelude says what T is: f32, or f16 with its directive.
//
// Layout   x: one vec4 of zeros, which no compiler knows to be that; y: THREADS of vec4<f32>.
// Grid     x: THREADS invocations.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

alias V = vec4<T>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = V(x[0]) + V(T(0.5));
    let c = V(x[0]) + V(T(0.25));
    var a = V(T(id.x & 7u));
    var b = a + c;
    var d = b + c;
    var e = d + c;
    var f = e + c;
    var g = f + c;
    var h = g + c;
    var i = h + c;
    for (var k = 0u; k < ROUNDS; k++) {
        a = fma(a, m, c);
        b = fma(b, m, c);
        d = fma(d, m, c);
        e = fma(e, m, c);
        f = fma(f, m, c);
        g = fma(g, m, c);
        h = fma(h, m, c);
        i = fma(i, m, c);
    }
    y[id.x] = vec4<f32>(((a + b) + (d + e)) + ((f + g) + (h + i)));
}
