// activate(v): the activation that the constant ACTIVATION names (one of RELU, GELU, SIGMOID, or
// none); activate_as(kind, v): the one that `kind` names. Kernels give constants, so one branch is
// left after compilation.

// GELU in its exact form, v · Φ(v). WGSL has no erf: 1 − erf(|v|/√2) is the rational
// approximation 7.1.26 of Abramowitz and Stegun, |error| ≤ 1.5e-7, so the result is off by at most
// 0.75e-7 · |v|. Written as max(v, 0) − |v|·(1 − erf)/2, which loses nothing at either end.
fn gelu(v: vec4<f32>) -> vec4<f32> {
    let z = abs(v) * 0.7071067811865476;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return max(v, vec4<f32>(0.0)) - 0.5 * abs(v) * poly * exp(-z * z);
}

fn activate_as(kind: u32, v: vec4<f32>) -> vec4<f32> {
    if (kind == RELU) {
        return max(v, vec4<f32>(0.0));
    }
    if (kind == GELU) {
        return gelu(v);
    }
    if (kind == SIGMOID) {
        return 1.0 / (1.0 + exp(-v));
    }
    return v;
}

fn activate(v: vec4<f32>) -> vec4<f32> {
    return activate_as(ACTIVATION, v);
}
