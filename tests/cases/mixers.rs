use super::*;

/// RepNeXt's token mixers. Chunks of 10 and 14 channels are those of M0 and M2.
pub(super) fn cases() -> Vec<Case> {
    let chunk =
        [(2, [16, 9, 11]), (1, [40, 14, 14]), (1, [56, 7, 7]), (3, [12, 5, 3]), (2, [4, 1, 1]), (1, [8, 23, 20])];
    let copy = [(2, [4, 9, 11]), (1, [10, 14, 14]), (3, [7, 5, 8]), (2, [5, 1, 1]), (1, [6, 8, 1]), (1, [14, 7, 7])];
    let mut cases: Vec<Case> = chunk.into_iter().map(|(batch, shape)| chunk_conv(batch, shape, STANDARD)).collect();
    cases.extend(copy.into_iter().map(|(batch, shape)| copy_conv(batch, shape)));
    cases.push(chunk_conv(1, [8, 6, 7], [[1, 3], [5, 3], [1, 5], [7, 1]]));
    cases
}

/// Kernels of small, medium, wide and tall.
const STANDARD: [[usize; 2]; 4] = [[3, 3], [7, 7], [1, 11], [11, 1]];

fn chunk_conv(batch: usize, [c, h, w]: [usize; 3], kernels: [[usize; 2]; 4]) -> Case {
    let mut b = Builder::new(format!("chunk_conv n{batch} {c}x{h}x{w} {kernels:?}"), c, h, w);
    let [small, medium, wide, tall] = kernels.map(|kernel| b.depthwise(c / 4, kernel));
    let mixed = b.add(ChunkConv { small, medium, wide, tall }, &[b.input()]);
    b.finish(mixed, batch)
}

fn copy_conv(batch: usize, [c, h, w]: [usize; 3]) -> Case {
    let mut b = Builder::new(format!("copy_conv n{batch} {c}x{h}x{w}"), c, h, w);
    let (small, medium) = (b.depthwise(c, [3, 3]), b.depthwise(c, [7, 7]));
    let doubled = b.add(CopyConv { small, medium }, &[b.input()]);
    b.finish(doubled, batch)
}
