use super::Table;

/// timm's names of the parts of a block.
pub(super) const TIMM: Table = &[
    (".conv_kxk.", ".rbr_dense."),
    (".conv_1x1.", ".rbr_1x1."),
    (".identity.", ".rbr_identity."),
    (".reparam_conv.", ".rbr_reparam."),
    (".attn.fc1.", ".se.down."),
    (".attn.fc2.", ".se.up."),
    ("head.fc.", "linear."),
];

/// A branch without batch norm may be the convolution itself (`rbr_1x1.weight`) instead of holding
/// it (`rbr_1x1.conv.weight`).
pub(super) const BARE: Table =
    &[(".rbr_1x1.weight", ".rbr_1x1.conv.weight"), (".rbr_dense.weight", ".rbr_dense.conv.weight")];

/// Gives the weight of such a branch the name that it has in others.
pub(super) fn bare_weight(name: String) -> String {
    match BARE.iter().find_map(|(bare, held)| Some((name.strip_suffix(bare)?, held))) {
        Some((block, held)) => format!("{block}{held}"),
        None => name,
    }
}
