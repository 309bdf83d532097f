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

#[test]
fn what_constants_decide_is_decided() {
    for (text, folded) in [
        ("if (N == 3u) { a(); } b();", "{ a(); } b();"),
        ("if (N > 3u) { a(); } b();", "b();"),
        ("if (N != 3u) { a(); } else { b(); } c();", "{ b(); } c();"),
        ("if (N == 0u || x && ODD <= 9u) { a(); }", "if (N == 0u || x && ODD <= 9u) { a(); }"),
        ("if ((N == 0u) && x) { a(); }", ""),
        ("if (x && (N == 3u || y)) { if (N < 3u) { a(); } else { b(); } }", "if (x && (N == 3u || y)) { { b(); } }"),
        ("fn f() { if (N >= 3u) { return 1u; } return 2u; } fn g() {}", "fn f() { { return 1u; }} fn g() {}"),
        ("fn f() { if (N >= 3u) { a(); } return 2u; }", "fn f() { { a(); } return 2u; }"),
        ("for (var p = 0u; p < N - 3u; p++) { a(p); } b();", "b();"),
    ] {
        assert_eq!(body(text), folded, "{text}");
    }
}

#[test]
fn loops_that_store_stay_loops_over_a_copy() {
    let text = "for (var i = 0u; i < 2u; i++) { for (var t = 0u; t < N; t++) { store(i, t, f(sum[i][t])); } }";
    let inner = "{ for (var t = 0u; t < N; t++) { store(i, t, f(kept[i][t])); } }";
    assert_eq!(body(text), format!("{{ var kept = sum; for (var i = 0u; i < 2u; i++) {{ {inner} }} }}"));
    // Loops of one round are gone, and what they index stays.
    let text = "for (var i = 0u; i < 2u; i++) { for (var k = 0u; k < 1u; k++) { let p = i + k; \
        for (var t = 0u; t < N; t++) { store(p, t, sum[i][k][t]); } } }";
    let inner = "{ let p = i + 0u; { for (var t = 0u; t < N; t++) { store(p, t, kept[i][0u][t]); } } }";
    assert_eq!(body(text), format!("{{ var kept = sum; for (var i = 0u; i < 2u; i++) {{ {inner} }} }}"));
    // A copy for each where something else goes by the counter too.
    let text = "for (var i = 0u; i < 2u; i++) { for (var t = 0u; t < N; t++) { store(b[i], t, sum[i][t]); } }";
    assert_eq!(body(text).matches("var kept = sum[").count(), 2);
    let one = "for (var t = 0u; t < 1u; t++) { y_put(t, sum[t]); }";
    assert_eq!(body(one), "{ y_put(0u, sum[0u]); }");
    // What is not one array that is read is written out.
    for text in [
        "for (var t = 0u; t < 2u; t++) { y_put(t, a[t] + b[t]); }",
        "for (var t = 0u; t < 2u; t++) { a[t] = v; y_put(t, a[t]); }",
        "for (var t = 0u; t < 2u; t++) { var a = g(); y_put(t, a[t]); }",
        "for (var t = 0u; t < 2u; t++) { y_put(t, a[t + 1u] + a[t]); }",
        "for (var t = 0u; t < 2u; t++) { y_put(t, (*a)[t]); }",
    ] {
        assert!(!body(text).contains("for (") && body(text).contains("[0u"), "{text}: {}", body(text));
    }
}

#[test]
fn functions_called_with_constants_get_their_own() {
    let f = "fn f(k: u32, v: f32) -> f32 {\nif (k == 3u) {\nreturn v;\n}\nreturn 0.0;\n}\n";
    let calls = "fn main() {\na = f(N, f(x, b(1u, 2u)));\nc = f(N - 1u, g) + my_f(N, g);\n}\n";
    let left = "fn f(k: u32, v: f32) -> f32 { if (k == 3u) { return v; } return 0.0; }";
    let main = "fn main() { a = f_3(f(x, b(1u, 2u))); c = f_2(g) + my_f(N, g); }";
    assert_eq!(
        body(&format!("{f}{calls}")),
        format!("{left} {main} fn f_3(v: f32) -> f32 {{ {{ return v; }}}} fn f_2(v: f32) -> f32 {{ return 0.0; }}")
    );
    // One that nothing calls any more is gone; what does not decide anything stays an argument.
    let calls = "fn main() {\na = f(N, 1.0);\n}\nfn h(k: u32) -> u32 {\nreturn k;\n}\nfn i() {\nh(N);\n}\n";
    let rest = "fn main() { a = f_3(1.0); } fn h(k: u32) -> u32 { return k; } fn i() { h(N); }";
    assert_eq!(body(&format!("{f}{calls}")), format!("{rest} fn f_3(v: f32) -> f32 {{ {{ return v; }}}}"));
    // Through functions that pass it on.
    let through =
        "fn g(k: u32) -> f32 {\nfor (var i = 0u; i < k; i++) {\ns += f(k, 1.0);\n}\n}\nfn main() {\ng(3u);\n}\n";
    assert!(body(&format!("{f}{through}")).contains("s += f_3(1.0);"), "{}", body(&format!("{f}{through}")));
}
