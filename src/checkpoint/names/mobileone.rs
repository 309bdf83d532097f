use super::Table;

/// timm's names of the parts of a block; `reparam_conv` is the same in both.
pub(super) const TIMM: Table = &[
    (".conv_kxk.", ".rbr_conv."),
    (".conv_scale.", ".rbr_scale."),
    (".identity.", ".rbr_skip."),
    (".attn.fc1.", ".se.reduce."),
    (".attn.fc2.", ".se.expand."),
    ("head.fc.", "linear."),
];
