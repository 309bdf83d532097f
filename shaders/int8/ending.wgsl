// store: what convolutions do with a finished sum. Adds the residual in the sum's unit, rescales and
// finishes, or leaves sums as they are where they are the value (SUMS). A kernel defines OUT_PIXELS, the
// pixels of one plane, batch included, and FACTOR_PLANES, the planes that it has factors for.
//
// Layout   factors: behind the header for each plane bias, multiplier, shift and, with a residual, its
//          multiplier, left and right shift.

const PER_PLANE: u32 = 3u + 3u * HAS_RESIDUAL;
const TABLE: u32 = 1u + FACTOR_PLANES * PER_PLANE;

fn bias_at(plane: u32) -> vec4<i32> {
    return factors[1u + plane * PER_PLANE];
}

// The integers of the output for a plane's sum.
fn ended(plane: u32, pixel: u32, sum: vec4<i32>) -> vec4<i32> {
    let at = 1u + plane * PER_PLANE;
    var v = sum;
    if (HAS_RESIDUAL == 1u) {
        let enlarged = residual_integers((RESIDUAL_PLANE + plane) * OUT_PIXELS + pixel) * factors[at + 3u];
        v += shift_round(enlarged << bitcast<vec4<u32>>(factors[at + 4u]), bitcast<vec4<u32>>(factors[at + 5u]));
    }
    if (SUMS == 1u) {
        return v;
    }
    return finished(requantise(v, factors[at + 1u], bitcast<vec4<u32>>(factors[at + 2u])), TABLE);
}
