// Global average pool and fully connected layer: y = activate(W · mean(x) + bias).
//
// Layout   x: [plane][batch][pixel] of vec4 (four channels); y: [plane][batch] of vec4. w: [out plane]
//          [in plane][in lane] of vec4 over the out plane's four channels. bias: [out plane].
// Grid     x: tiles of TILE_PLANES output planes; y: samples. Every workgroup pools the whole map of
//          its sample, which spares the map's way through memory and a dispatch: first SPLIT
//          invocations for each input plane, then WORKGROUP / TILE_PLANES for each output plane, whose
//          sums are added in a tree.

const LANES: u32 = WORKGROUP / TILE_PLANES;

var<workgroup> pooled: array<vec4<f32>, IN_PLANES * SPLIT>;
var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    for (var item = lane; item < IN_PLANES * SPLIT; item += WORKGROUP) {
        let map = ((X_PLANE + item / SPLIT) * BATCH + group.y) * PIXELS;
        var sum = vec4<f32>(0.0);
        for (var i = item % SPLIT; i < PIXELS; i += SPLIT) {
            sum += x_at(map + i);
        }
        pooled[item] = sum;
    }
    workgroupBarrier();

    let out = group.x * TILE_PLANES + lane / LANES;
    var sum = vec4<f32>(0.0);
    if (out < OUT_PLANES) {
        for (var p = lane % LANES; p < IN_PLANES; p += LANES) {
            var v = pooled[p * SPLIT];
            for (var part = 1u; part < SPLIT; part++) {
                v += pooled[p * SPLIT + part];
            }
            v /= f32(PIXELS);
            let at = (out * IN_PLANES + p) * 4u;
            sum += w_at(at) * v.x + w_at(at + 1u) * v.y + w_at(at + 2u) * v.z + w_at(at + 3u) * v.w;
        }
    }
    partial[lane] = sum;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane % LANES < half) {
            partial[lane] += partial[lane + half];
        }
    }
    if (lane % LANES == 0u && out < OUT_PLANES) {
        y_put(out * BATCH + group.y, activate(scaled(out, partial[lane] + bias_at(out))));
    }
}
