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
pub(super) fn bare_weight(name: String) -> String {
    match name.strip_suffix(".weight") {
        Some(branch) if branch.ends_with(".rbr_1x1") || branch.ends_with(".rbr_dense") => {
            format!("{branch}.conv.weight")
        }
        _ => name,
    }
}
