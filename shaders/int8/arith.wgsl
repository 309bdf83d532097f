// The arithmetic of src/int8/arith.rs, bit for bit, on four channels at once: 32-bit integers only, every
// rounding to the nearest, halves to the even one.
//
// Layout   factors: a header of one vec4, then what the kernel says, then for FINISH == LOOKUP an
//          activation's table, four entries to a vec4; the header's x and y are then zero's place in it and
//          the last entry's.
//
// dot4I8Packed, pack4xI8 and unpack4xI8, which integer kernels use, are WGSL's language extension
// packed_4x8_integer_dot_product: `requires` would only document that, and has to stand before the prelude.

@group(0) @binding(7) var<storage, read> factors: array<vec4<i32>>;

const HALF: u32 = 0x80000000u;
const LARGEST: i32 = 127;
// Beyond it results saturate.
const SATURATED: i32 = 32767;

// What `kept` is short of, where `below` are the bits below the point, from the highest on.
fn carry(kept: vec4<i32>, below: vec4<u32>) -> vec4<i32> {
    let odd = bitcast<vec4<u32>>(kept) & vec4<u32>(1u);
    return select(vec4<i32>(0), vec4<i32>(1), below > vec4<u32>(HALF) - odd);
}

// round(value / 2^shift); the shift is 0 to 31. Bits are moved up in two steps, for 32 is no valid shift.
fn shift_round(value: vec4<i32>, shift: vec4<u32>) -> vec4<i32> {
    let kept = value >> shift;
    return kept + carry(kept, (bitcast<vec4<u32>>(value) << (vec4<u32>(31u) - shift)) << vec4<u32>(1u));
}

// round(sum · multiplier / 2^shift), saturated: Requant::apply_in_halves. The product is whole · 2^16 + rest.
// Shifts below 16, factors of one and above, are only looked at where STEEP is 1.
fn requantise(sum: vec4<i32>, multiplier: vec4<i32>, shift: vec4<u32>) -> vec4<i32> {
    let product = (bitcast<vec4<u32>>(sum) & vec4<u32>(0xffffu)) * bitcast<vec4<u32>>(multiplier);
    let whole = (sum >> vec4<u32>(16u)) * multiplier + bitcast<vec4<i32>>(product >> vec4<u32>(16u));
    let rest = product << vec4<u32>(16u);
    let beyond = max(shift, vec4<u32>(16u)) - vec4<u32>(16u);
    let kept = whole >> beyond;
    let of_whole = (bitcast<vec4<u32>>(whole) << (vec4<u32>(31u) - beyond)) << vec4<u32>(1u);
    // Bits of the rest that do not fit count as a single one at the end.
    let below = of_whole | (rest >> beyond) | min(rest, vec4<u32>(1u));
    var value = kept + carry(kept, below);
    if (STEEP == 1u) {
        let limit = vec4<i32>(SATURATED);
        let steep = shift_round(clamp(sum, -limit, limit) * multiplier, min(shift, vec4<u32>(31u)));
        value = select(value, steep, shift < vec4<u32>(16u));
    }
    return clamp(value, vec4<i32>(-SATURATED), vec4<i32>(SATURATED));
}

fn entry(table: u32, at: i32) -> i32 {
    return factors[table + u32(at) / 4u][u32(at) % 4u];
}

// The integer of the output's grid for a rescaled sum; `table` is where an activation's table begins.
fn finished(value: vec4<i32>, table: u32) -> vec4<i32> {
    if (FINISH == LOOKUP) {
        let header = factors[0];
        let at = clamp(value + vec4<i32>(header.x), vec4<i32>(0), vec4<i32>(header.y));
        return vec4<i32>(entry(table, at.x), entry(table, at.y), entry(table, at.z), entry(table, at.w));
    }
    return clamp(value, vec4<i32>(select(-LARGEST, 0, FINISH == RELU)), vec4<i32>(LARGEST));
}
