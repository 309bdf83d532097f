//! Choices between kernels: operators that several kernels compute, each best somewhere.

/// A choice that planning made between several ways to compute some nodes. Tuning plans each of them,
/// measures the steps of those nodes and remembers the fastest by the key.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Names of the nodes whose steps depend on it.
    pub nodes: Vec<String>,
    /// What a choice is remembered by: the operator and its sizes.
    pub key: String,
    /// Names of the ways there are, at least two. A way is named like the kernel that it uses.
    pub options: Vec<&'static str>,
    /// The way that was taken.
    pub taken: &'static str,
}
