// The best of a sample's logits, and what softmax and a check of the answer need besides.
//
// A class's rank is the number of classes that are better: a greater logit, or the same at a lower
// index. Whatever ranks before TOP writes itself to its place, so there is nothing to sort and
// nothing to wait for; ranks are unique, so no two classes write to one place.
//
// Logits are compared as integers in the order of IEEE 754's totalOrder, which the host's sort has as
// well (−0 before +0), and which no driver's fast arithmetic changes; NaN and infinities are told by
// their bits for the same reason.
//
// Layout   x: [plane][batch] of vec4 (four classes). best: for each sample TOP pairs (class, the
//          logit's bits), then for each of its workgroups two: (the sum of exp(logit − largest
//          logit), unused), (the lowest class that is not finite or NONE, its bits). Pairs beyond
//          the number of classes are not written.
// Grid     x: planes, an invocation for each, which reads all others; y: samples.

@group(0) @binding(7) var<storage, read_write> best: array<vec2<u32>>;

const NONE: u32 = 0xffffffffu;
const SIGN: u32 = 0x80000000u;
const EXPONENT: u32 = 0x7f800000u;

var<workgroup> sums: array<f32, WORKGROUP>;
var<workgroup> strange: array<u32, WORKGROUP>;

fn bits_at(plane: u32, sample: u32) -> vec4<u32> {
    return bitcast<vec4<u32>>(x_at((X_PLANE + plane) * BATCH + sample));
}

// Unsigned integers in the order of the floats.
fn ordered(bits: vec4<u32>) -> vec4<u32> {
    return select(bits | vec4<u32>(SIGN), ~bits, bits >= vec4<u32>(SIGN));
}

fn classes_of(plane: u32) -> vec4<u32> {
    return vec4<u32>(plane * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
}

// Classes of the last plane that do not exist are below all others.
fn keys_at(plane: u32, sample: u32) -> vec4<u32> {
    return select(vec4<u32>(0u), ordered(bits_at(plane, sample)), classes_of(plane) < vec4<u32>(CLASSES));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let sample = group.y;
    let record = sample * (TOP + 2u * GROUPS);
    var sum = 0.0;
    var odd = NONE;
    if (id.x < PLANES) {
        let classes = classes_of(id.x);
        let keys = keys_at(id.x, sample);
        var largest = 0u;
        var ranks = vec4<u32>(0u);
        for (var plane = 0u; plane < PLANES; plane++) {
            let others = keys_at(plane, sample);
            largest = max(largest, max(max(others.x, others.y), max(others.z, others.w)));
            for (var i = 0u; i < 4u; i++) {
                let other = vec4<u32>(others[i]);
                let lower = vec4<u32>(plane * 4u + i) < classes;
                ranks += select(vec4<u32>(0u), vec4<u32>(1u), (other > keys) | ((other == keys) & lower));
            }
        }
        // Back from the ordered integer to the float.
        let greatest = bitcast<f32>(select(~largest, largest ^ SIGN, largest >= SIGN));
        let bits = bits_at(id.x, sample);
        let powers = exp(bitcast<vec4<f32>>(bits) - vec4<f32>(greatest));
        for (var i = 0u; i < 4u; i++) {
            if (classes[i] < CLASSES) {
                sum += powers[i];
                if ((bits[i] & EXPONENT) == EXPONENT) {
                    odd = min(odd, classes[i]);
                }
                if (ranks[i] < TOP) {
                    best[record + ranks[i]] = vec2<u32>(classes[i], bits[i]);
                }
            }
        }
    }
    sums[lane] = sum;
    strange[lane] = odd;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            sums[lane] += sums[lane + half];
            strange[lane] = min(strange[lane], strange[lane + half]);
        }
    }
    if (lane == 0u) {
        let first = strange[0];
        let plane = min(first / 4u, PLANES - 1u);
        let tail = record + TOP + 2u * group.x;
        best[tail] = vec2<u32>(bitcast<u32>(sums[0]), 0u);
        best[tail + 1u] = vec2<u32>(first, bits_at(plane, sample)[first % 4u]);
    }
}
