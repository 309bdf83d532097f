use super::*;

const HEAD: &str = "const N: u32 = 3u;\nconst ODD: u32 = 1u + min(N, 1u) * (1u - N % 2u);\n";

fn body(text: &str) -> String {
    let unrolled = unroll(&format!("{HEAD}{text}"));
    let unrolled = unrolled.strip_prefix(HEAD).expect("constants stay").to_owned();
    unrolled.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn loops_over_arrays_become_blocks() {
    assert_eq!(body("for (var t = 0u; t < N - 1u; t++) { a[t] = b.t; }"), "{ a[0u] = b.t; } { a[1u] = b.t; }");
    let nested = "for (var i = 0u; i < 2u; i++) { // two\n for (var t = 0u; t < ODD; t++) { a[i][t] += t1; } }";
    assert_eq!(body(nested), "{ { a[0u][0u] += t1; } } { { a[1u][0u] += t1; } }");
    assert_eq!(body("for (var t = 0u; t < 1u; t++) { a[(t + 1u) / N] = v; } f();"), "{ a[(0u + 1u) / N] = v; } f();");
}

#[test]
fn other_loops_stay() {
    for text in [
        "for (var p = 0u; p < N; p++) { s += f(p); }",
        "for (var t = 0u; t < n; t++) { a[t] = 0.0; }",
        "for (var t = 0u; t < N; t += 2u) { a[t] = 0.0; }",
        "for (var t = 1u; t < N; t++) { a[t] = 0.0; }",
        "for (var t = 0u; t < N; t++) { if (a[t] > 0.0) { break; } }",
        "for (var t = 0u; t < 4000000u; t++) { a[t] = 0.0; }",
    ] {
        assert_eq!(body(text), text);
    }
    let inner = "for (var p = 0u; p < N; p++) { for (var t = 0u; t < 1u; t++) { a[t] += f(p); } }";
    assert_eq!(body(inner), "for (var p = 0u; p < N; p++) { { a[0u] += f(p); } }");
}

#[test]
fn constants_are_evaluated_as_the_shader_does() {
    let mut constants = Constants::default();
    for line in ["const A: u32 = 7u;", "const B: u32 = (A + 1u) / 2u * 3u - max(A, 2u);", "const C: i32 = 1;"] {
        constants.declare(line);
    }
    assert_eq!(constants.value("B"), Some(5));
    assert_eq!(constants.value("A % 4u"), Some(3));
    for unknown in ["C", "A - 8u", "A / 0u", "A +", "(A", "f(A)", "A B", ""] {
        assert_eq!(constants.value(unknown), None, "{unknown}");
    }
}
