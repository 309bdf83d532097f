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

// round(sum · multiplier / 2^shift), saturated: Requant::apply_in_halves. The product is high · 2^32 + low, from
// products of 16-bit halves. Shifts below 31, factors of one and above, are only looked at where STEEP is 1.
fn requantise(given: vec4<i32>, multiplier: vec4<i32>, shift: vec4<u32>) -> vec4<i32> {
    let limit = vec4<i32>(SATURATED);
    let half = vec4<u32>(16u);
    var sum = given;
    if (STEEP == 1u) {
        sum = select(given, clamp(given, -limit, limit), shift < vec4<u32>(31u));
    }
    let sum_high = sum >> half;
    let factor_high = multiplier >> half;
    let sum_low = bitcast<vec4<u32>>(sum) & vec4<u32>(0xffffu);
    let factor_low = bitcast<vec4<u32>>(multiplier) & vec4<u32>(0xffffu);
    let lowest = sum_low * factor_low;
    let middle = sum_low * bitcast<vec4<u32>>(factor_high) + (lowest >> half);
    let signed = sum_high * bitcast<vec4<i32>>(factor_low) + bitcast<vec4<i32>>(middle & vec4<u32>(0xffffu));
    let high = sum_high * factor_high + (signed >> half) + bitcast<vec4<i32>>(middle >> half);
    let low = (bitcast<vec4<u32>>(signed) << half) | (lowest & vec4<u32>(0xffffu));

    // Below one: what is left after a shift by 31, and the bits below that.
    let whole = (high << vec4<u32>(1u)) | bitcast<vec4<i32>>(low >> vec4<u32>(31u));
    let rest = low << vec4<u32>(1u);
    let beyond = max(shift, vec4<u32>(31u)) - vec4<u32>(31u);
    let of_whole = (bitcast<vec4<u32>>(whole) << (vec4<u32>(31u) - beyond)) << vec4<u32>(1u);
    let of_rest = (rest << (vec4<u32>(31u) - beyond)) << vec4<u32>(1u);
    var kept = whole >> beyond;
    // Bits of the rest that do not fit count as a single one at the end.
    var below = of_whole | (rest >> beyond) | min(of_rest, vec4<u32>(1u));
    if (STEEP == 1u) {
        // Such factors have shifts from 15 on, or 0 for a factor of zero.
        let up = vec4<u32>(32u) - clamp(shift, vec4<u32>(1u), vec4<u32>(31u));
        let is_steep = shift < vec4<u32>(31u);
        let steep = (high << up) | bitcast<vec4<i32>>(low >> (vec4<u32>(32u) - up));
        kept = select(kept, steep, is_steep);
        below = select(below, low << up, is_steep);
    }
    return clamp(kept + carry(kept, below), -limit, limit);
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
