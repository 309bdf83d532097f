//! Every training form fuses to the nodes it should, with the same values; what cannot be fused
//! exactly stays.

#[path = "reparam/build.rs"]
mod build;
#[path = "reparam/mobileone.rs"]
mod mobileone;
#[path = "reparam/passes.rs"]
mod passes;
#[path = "reparam/repnext.rs"]
mod repnext;
#[path = "reparam/repvgg.rs"]
mod repvgg;
