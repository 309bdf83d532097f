//! Built-in class names.

/// CIFAR-10's classes in their usual (alphabetical) order.
pub const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
