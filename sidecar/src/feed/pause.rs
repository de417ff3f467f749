//! Pauses between tries, each longer than the one before.

use std::time::Duration;

/// The next pause.
pub(super) struct Pause(Duration);

impl Pause {
    /// The first one.
    const FIRST: Duration = Duration::from_millis(50);

    pub(super) fn first() -> Self {
        Self(Self::FIRST)
    }

    /// How long to wait now. Not the same for all who have been turned away at the same time.
    pub(super) fn take(&mut self, longest: Duration) -> Duration {
        let pause = self.0.min(longest);
        self.0 = (self.0 * 2).min(longest);
        pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_give_or_take_a_quarter() {
        let (mut pause, longest) = (Pause::first(), Duration::from_secs(1));
        for expected in [50_u64, 100, 200, 400, 800, 1_000, 1_000] {
            let expected = Duration::from_millis(expected);
            let taken = pause.take(longest);
            assert!(
                taken >= expected.mul_f64(0.75) && taken <= expected.mul_f64(1.25),
                "{taken:?} for {expected:?}"
            );
        }
    }
}
