//! Medians, and how far they can be trusted.

/// Times of one thing, in seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, at: usize) -> f64 {
        self.0.get(at).copied().unwrap_or(f64::INFINITY)
    }

    /// The median; infinite if there is none.
    pub fn median(&self) -> f64 {
        median(&self.0).unwrap_or(f64::INFINITY)
    }

    /// The standard error of the median, from the median absolute deviation as for normal noise
    /// (1.4826 to a standard deviation, 1.2533 from the mean's error to the median's).
    pub fn noise(&self) -> f64 {
        let middle = self.median();
        let away: Vec<f64> = self.0.iter().map(|value| (value - middle).abs()).collect();
        median(&away).unwrap_or(0.0) * 1.4826 * 1.2533 / (self.0.len().max(1) as f64).sqrt()
    }

    /// The same with so much more to each.
    pub fn shifted(&self, seconds: f64) -> Samples {
        Samples(self.0.iter().map(|value| value + seconds).collect())
    }

    /// Whether these times are shorter than the others by more than the noise of both, and by a
    /// hundredth at least: no clock is better than that over hours.
    pub fn beats(&self, others: &Samples) -> bool {
        let noise = 2.0 * self.noise().hypot(others.noise());
        others.median() - self.median() > noise.max(others.median() * LEAST_GAIN)
    }
}

/// The least gain that is worth a change.
const LEAST_GAIN: f64 = 0.01;

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn an_outlier_moves_neither_median_nor_noise() {
        let quiet = samples(&[1.0, 1.01, 0.99, 1.0, 1.02]);
        let loud = samples(&[1.0, 1.01, 0.99, 1.0, 50.0]);
        assert_eq!((quiet.median(), loud.median()), (1.0, 1.0));
        assert!(loud.noise() < 0.02 && loud.noise() > 0.0, "{}", loud.noise());
        assert_eq!(samples(&[3.0, 1.0]).median(), 2.0);
        assert!(samples(&[]).median().is_infinite());
    }

    #[test]
    fn what_wins_within_the_noise_does_not_win() {
        let before = samples(&[1.0, 1.1, 0.9, 1.05, 0.95]);
        assert!(!samples(&[0.97, 1.07, 0.87, 1.0, 0.9]).beats(&before));
        assert!(samples(&[0.7, 0.75, 0.65, 0.72, 0.68]).beats(&before));
        assert!(!samples(&[0.995; 5]).beats(&samples(&[1.0; 5])), "half a hundredth");
        assert!(!before.beats(&before));
    }
}
