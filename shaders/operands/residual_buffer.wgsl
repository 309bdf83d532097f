// What the epilogue adds: planes of four channels, [planes][batch · pixels]. In a storage buffer.
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;

fn residual_at(i: u32) -> vec4<f32> {
    return residual[i];
}
