// What is said of a list of times: the same numbers that `foveate bench` says.

/** The quantile `p` of sorted numbers, linear between neighbours. */
export function quantile(sorted, p) {
  const at = p * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at));
}

export const sort = (values) => Float64Array.from(values).sort();

/** As in a benchmark's record. */
export function summary(values) {
  const sorted = sort(values);
  const n = sorted.length;
  const mean = sorted.reduce((sum, value) => sum + value, 0) / n;
  const squares = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    n,
    min: sorted[0],
    mean,
    p50: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    max: sorted[n - 1],
    std_dev: n > 1 ? Math.sqrt(squares / (n - 1)) : 0,
  };
}
