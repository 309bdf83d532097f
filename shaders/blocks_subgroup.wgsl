// w_pair as in blocks.wgsl, for subgroups whose invocations all want the same weights: each reads one
// vec4 of eight and gets the others from its neighbours. Software drivers execute a load for each
// invocation of a subgroup, however equal the addresses are; what eight of them read is one load here.
// All SUBGROUP invocations of a subgroup (four or eight) have to call it, with equal indices.

// Invocations beside those of the first block that read the second: in subgroups of four, none.
const BESIDE: u32 = min(SUBGROUP / 8u, 1u) * 4u;

// The invocation's number within its subgroup, all of which takes part: the ones before it, counted.
// The builtin value would change the signature of main.
var<private> lane: u32;

fn w_begin() {
    lane = subgroupExclusiveAdd(1u);
}

fn w_pair(first: u32, second: u32, stride: u32) -> array<mat4x4<f32>, 2> {
    let one = w_at(select(first, second, (lane & BESIDE) != 0u) + lane % 4u * stride);
    var other = one;
    if (BESIDE == 0u) {
        other = w_at(second + lane % 4u * stride);
    }
    return array<mat4x4<f32>, 2>(
        mat4x4<f32>(
            subgroupBroadcast(one, 0u),
            subgroupBroadcast(one, 1u),
            subgroupBroadcast(one, 2u),
            subgroupBroadcast(one, 3u),
        ),
        mat4x4<f32>(
            subgroupBroadcast(other, BESIDE),
            subgroupBroadcast(other, BESIDE + 1u),
            subgroupBroadcast(other, BESIDE + 2u),
            subgroupBroadcast(other, BESIDE + 3u),
        ),
    );
}
