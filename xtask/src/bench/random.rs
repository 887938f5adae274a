//! Numbers that look random and are the same in every run.
//!
//! Source: Vigna, "An experimental exploration of Marsaglia's xorshift
//! generators, scrambled", xorshift64*.

/// A generator; each connection has its own.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator that gives the same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        // Never zero, where xorshift stays; and neighbouring seeds part.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`, all alike; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(end);
        u64::try_from(wide >> 64).expect("the upper half of a product")
    }

    /// A number below `end`, the k-th about k times rarer than the first
    /// (Zipf's law with exponent 1, by its continuous form).
    pub(crate) fn skewed_below(&mut self, end: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let drawn = ((end + 1) as f64).powf(unit) as u64;
        drawn.saturating_sub(1).min(end.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_draws_fill_all_tenths_alike() {
        let mut random = Random::new(1);
        let mut tenths = [0_u32; 10];
        for _ in 0..100_000 {
            tenths[random.below(1_000) as usize / 100] += 1;
        }
        assert!(
            tenths.iter().all(|count| (9_500..10_500).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn skewed_draws_fall_by_half_below_the_square_root() {
        let mut random = Random::new(1);
        let mut low = 0;
        for _ in 0..100_000 {
            let drawn = random.skewed_below(1_000_000);
            assert!(drawn < 1_000_000);
            low += u32::from(drawn < 1_000);
        }
        assert!((49_000..51_500).contains(&low), "{low}");
    }
}
