//! Latencies in fixed memory: each figure is kept to within 1.6 %.

use std::time::Duration;

/// Steps per doubling.
const STEPS: u64 = 64;
/// The bits of a number below STEPS.
const STEP_BITS: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = (65 - STEP_BITS as usize) * STEPS as usize;

/// How often each duration was seen.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }

    pub(crate) fn record(&mut self, seen: Duration) {
        let nanos = u64::try_from(seen.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The microseconds that `share` (0 to 1) of all stayed at or below; 0
    /// when nothing was recorded.
    pub(crate) fn percentile_us(&self, share: f64) -> f64 {
        let rank = ((share * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(bucket) / 1_000.0;
            }
        }
        0.0
    }
}

/// Below STEPS one bucket per nanosecond, then STEPS buckets per doubling.
fn bucket(nanos: u64) -> usize {
    let doublings = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let step = nanos >> doublings;
    (u64::from(doublings) * STEPS + step) as usize
}

/// The middle of what falls into `bucket`, in nanoseconds.
fn middle(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    let doublings = (bucket / STEPS).saturating_sub(1);
    let step = bucket - doublings * STEPS;
    (step as f64 + 0.5) * (1_u64 << doublings) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: f64, expected: f64) {
        assert!(
            (found / expected - 1.0).abs() < 0.016,
            "{found} is not about {expected}"
        );
    }

    #[test]
    fn percentiles_of_one_to_a_thousand_are_the_numbers_themselves() {
        let mut histogram = Histogram::new();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        assert_near(histogram.percentile_us(0.5), 500.0);
        assert_near(histogram.percentile_us(0.99), 990.0);
        assert_near(histogram.percentile_us(1.0), 1_000.0);
        assert_near(histogram.percentile_us(0.0), 1.0);
    }

    #[test]
    fn merged_histograms_count_as_one() {
        let mut slow = Histogram::new();
        let mut fast = Histogram::new();
        for _ in 0..10 {
            slow.record(Duration::from_millis(80));
        }
        for _ in 0..90 {
            fast.record(Duration::from_micros(20));
        }
        fast.merge(&slow);
        assert_near(fast.percentile_us(0.90), 20.0);
        assert_near(fast.percentile_us(0.905), 80_000.0);
    }

    #[test]
    fn every_duration_has_its_bucket() {
        for nanos in [0, 1, 63, 64, 127, 128, 1_000_003, u64::MAX / 3, u64::MAX] {
            let expected = nanos as f64 + 0.5;
            assert_near(middle(bucket(nanos)), expected);
        }
        assert!(bucket(u64::MAX) < BUCKETS);
        assert_eq!(Histogram::new().percentile_us(0.99), 0.0);
    }
}
