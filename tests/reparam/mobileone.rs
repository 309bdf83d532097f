//! MobileOne blocks: several convolution branches, a scale branch, a skip.

use super::build::*;
use foveate::ops::Activation;

fn check(channels: [usize; 2], kernel: usize, stride: usize, depthwise: bool, branches: usize) {
    let [inputs, out] = channels;
    let groups = if depthwise { inputs } else { 1 };
    let mut b = Build::new(input(inputs));
    let x = b.graph.input();
    let spec = conv(out, [kernel; 2], stride, groups);
    let mut operands: Vec<_> = (0..branches).map(|i| b.conv_norm(&format!("stage1.0.rbr_conv.{i}"), x, spec)).collect();
    if kernel > 1 {
        operands.push(b.conv_norm("stage1.0.rbr_scale", x, conv(out, [1, 1], stride, groups)));
    }
    if inputs == out && stride == 1 {
        operands.push(b.norm("stage1.0.rbr_skip", x));
    }
    // Sums of two, as a builder that follows the reference code would nest them.
    let mut sum = operands[0];
    for (i, operand) in operands.iter().enumerate().skip(1) {
        sum = b.sum(&format!("stage1.0.sum.{i}"), &[sum, *operand]);
    }
    let y = b.act("stage1.0.relu", sum, Activation::Relu);
    let (fused, report) = fuse_proved(&b.output(y));
    assert_eq!(ops(&fused), ["conv2d"], "{fused}");
    let (conv, params) = only_conv(&fused);
    assert_eq!(params.shape(conv.weight), [out, inputs / groups, kernel, kernel]);
    // A lone branch keeps its own name.
    let name = if operands.len() == 1 { "stage1.0.rbr_conv.0" } else { "stage1.0" };
    assert_eq!((conv.groups, conv.stride[0], fused.nodes()[1].name.as_str()), (groups, stride, name));
    assert!(report.refused.is_empty(), "{report}");
}

#[test]
fn depthwise_blocks_become_one_convolution() {
    check([8, 8], 3, 1, true, 4);
    check([8, 8], 3, 2, true, 4);
    check([8, 8], 3, 1, true, 1);
}

#[test]
fn pointwise_blocks_become_one_convolution() {
    check([8, 8], 1, 1, false, 4);
    check([8, 12], 1, 1, false, 4);
    check([8, 12], 1, 1, false, 1);
}

#[test]
fn a_dense_first_block_becomes_one_convolution() {
    check([3, 12], 3, 2, false, 4);
}
