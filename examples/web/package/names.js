// The names of all networks that `{ random: name }` knows. A test of the library (registry.rs) holds this to its table.
const family = (name, variants) => variants.split(" ").map((variant) => `${name}-${variant}`);
const repvgg = "a0 a1 a2 b0 b1 b1g2 b1g4 b2 b2g2 b2g4 b3 b3g2 b3g4 d2se cifar";

export const NAMES = [
  ...family("repvgg", repvgg),
  ...family("qarepvgg", repvgg),
  ...family("repnext", "m0 m1 m2 m3 m4 m5 m0e m1e m2e"),
  ...family("mobileone", "s0 s1 s2 s3 s4"),
];
