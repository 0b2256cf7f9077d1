//! How likely a difference is to be chance, exactly, however few the observations.
//!
//! Two one-sided tests. Neither needs the large numbers that approximations by the normal
//! distribution do, which is what matters where one new worker has handled ten messages.

/// The natural logarithm of `n!`: by adding up below 32, above by Stirling's series, whose error is
/// then far below what a probability needs (Abramowitz and Stegun, 6.1.41).
fn ln_factorial(n: u64) -> f64 {
    if n < 32 {
        return (2..=n).map(|factor| real(factor).ln()).sum();
    }
    let x = real(n) + 1.0;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + 1.0 / (12.0 * x)
        - 1.0 / (360.0 * x.powi(3))
}

#[expect(clippy::cast_precision_loss, reason = "counts of messages stay far below 2^52")]
fn real(n: u64) -> f64 {
    n as f64
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// The probability of at least `hits` in `tries` where each hits with probability `rate`: the exact
/// binomial test against "not more often than that".
pub(super) fn at_least(hits: u64, tries: u64, rate: f64) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    if rate <= 0.0 {
        return 0.0;
    }
    if rate >= 1.0 {
        return 1.0;
    }
    let term =
        |k: u64| ln_choose(tries, k) + real(k) * rate.ln() + real(tries - k) * (1.0 - rate).ln();
    (hits..=tries).map(|k| term(k).exp()).sum::<f64>().min(1.0)
}

/// The probability that of all hits at least so many fall to the first group by chance alone, where
/// both groups hit equally often: Fisher's exact test, one-sided (R. A. Fisher, Statistical Methods
/// for Research Workers, 5th edition 1934, section 21.02). Each group is its hits and its tries.
pub(super) fn by_chance(first: (u64, u64), second: (u64, u64)) -> f64 {
    let ((hits, tries), (other_hits, other_tries)) = (first, second);
    let all_hits = hits + other_hits;
    let whole = ln_choose(tries + other_tries, all_hits);
    let most = tries.min(all_hits);
    let least = hits.max(all_hits.saturating_sub(other_tries));
    let term = |k: u64| (ln_choose(tries, k) + ln_choose(other_tries, all_hits - k) - whole).exp();
    (least..=most).map(term).sum::<f64>().min(1.0)
}
