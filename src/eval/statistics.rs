//! Confidence intervals, all at 95 %.

/// 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's score interval for a proportion, `hits` of `total`: with p = hits / n,
/// (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n). E. B. Wilson, “Probable inference, the law of
/// succession, and statistical inference”, J. Am. Stat. Assoc. 22 (1927). Of nothing, 0 to 1.
pub fn proportion(hits: u64, total: u64) -> [f64; 2] {
    if total == 0 {
        return [0.0, 1.0];
    }
    let n = total as f64;
    let p = hits as f64 / n;
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    [middle - half, middle + half].map(|end| (end / (1.0 + Z * Z / n)).clamp(0.0, 1.0))
}

/// Interval for the difference of two proportions that were counted on the same `total` samples,
/// second minus first, of which `first_only` were hit by the first alone and `second_only` by the
/// second alone. It is the adjusted Wald interval: with p₁ = (first_only + 1) / (n + 2) and
/// p₂ = (second_only + 1) / (n + 2), p₂ − p₁ ± z √((p₁ + p₂ − (p₂ − p₁)²) / (n + 2)). D. G. Bonett and
/// R. M. Price, “Adjusted Wald confidence interval for a difference of binomial proportions based on
/// paired data”, J. Educ. Behav. Stat. 37 (2012). Unlike the plain Wald interval, which goes with
/// McNemar's test, it does not shrink to nothing where the two agree on every sample.
pub fn paired_difference(first_only: u64, second_only: u64, total: u64) -> [f64; 2] {
    let n = total as f64 + 2.0;
    let [p1, p2] = [first_only, second_only].map(|count| (count as f64 + 1.0) / n);
    let apart = p2 - p1;
    let half = Z * ((p1 + p2 - apart * apart) / n).sqrt();
    [apart - half, apart + half].map(|end| end.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: [f64; 2], expected: [f64; 2]) {
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 5e-5, "{found:?}, expected {expected:?}");
    }

    #[test]
    fn proportions_as_published() {
        // R. G. Newcombe, Stat. Med. 17 (1998) 857–872, table I, method 3.
        close(proportion(81, 263), [0.2553, 0.3662]);
        close(proportion(15, 148), [0.0624, 0.1605]);
        close(proportion(0, 20), [0.0, 0.1611]);
        close(proportion(1, 29), [0.0061, 0.1718]);
        close(proportion(29, 29), [1.0 - 0.1170, 1.0]);
        assert_eq!(proportion(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn paired_differences_by_hand() {
        // n = 98, so that n + 2 is 100: p₁ = 0.04, p₂ = 0.09,
        // 0.05 ± 1.959964 √((0.13 − 0.0025) / 100) = 0.05 ± 0.069985.
        close(paired_difference(3, 8, 98), [-0.019985, 0.119985]);
        // All agree: 0 ± 1.959964 √(0.02 / 100) = 0.027718.
        close(paired_difference(0, 0, 98), [-0.027718, 0.027718]);
        let [low, high] = paired_difference(8, 3, 98);
        close([-high, -low], paired_difference(3, 8, 98));
        assert_eq!(paired_difference(0, 0, 0), [-1.0, 1.0]);
    }
}
