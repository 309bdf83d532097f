//! Preprocessing that the published weights of each family were evaluated with.

use crate::preprocess::{Filter, Preprocess, Resize};

const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
const CIFAR: ([f32; 3], [f32; 3]) = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]);

fn recipe(shorter: u32, filter: Filter, crop: u32, (mean, std): ([f32; 3], [f32; 3])) -> Preprocess {
    Preprocess { resize: Resize { shorter, filter }, crop: [crop; 2], mean, std }
}

/// RepVGG, QARepVGG and MobileOne-S0: bilinear to 256, centre 224 (crop 0.875).
pub(super) fn bilinear_256() -> Preprocess {
    recipe(256, Filter::Bilinear, 224, IMAGENET)
}

/// MobileOne-S1 to S4: crop 0.9, hence ⌊224 / 0.9⌋ = 248.
pub(super) fn bilinear_248() -> Preprocess {
    recipe(248, Filter::Bilinear, 224, IMAGENET)
}

/// RepNeXt's own recipe: bicubic to 256, centre 224.
pub(super) fn bicubic_256() -> Preprocess {
    recipe(256, Filter::Bicubic, 224, IMAGENET)
}

/// The E networks of RepNeXt were trained with StarNet's recipe: bicubic, crop 0.9.
pub(super) fn bicubic_248() -> Preprocess {
    recipe(248, Filter::Bicubic, 224, IMAGENET)
}

/// CIFAR-10 pictures as they are; others are brought to their size.
pub(super) fn cifar() -> Preprocess {
    recipe(32, Filter::Bilinear, 32, CIFAR)
}
