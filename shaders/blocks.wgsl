// w_pair: two blocks of weights, each of four vec4s `stride` apart: for a vec4 of four input channels,
// the matrix that makes four output channels of it. A kernel calls w_begin first.

fn w_begin() {}

fn w_block(at: u32, stride: u32) -> mat4x4<f32> {
    return mat4x4<f32>(w_at(at), w_at(at + stride), w_at(at + 2u * stride), w_at(at + 3u * stride));
}

fn w_pair(first: u32, second: u32, stride: u32) -> array<mat4x4<f32>, 2> {
    return array<mat4x4<f32>, 2>(w_block(first, stride), w_block(second, stride));
}
