//! Lets many who ask for the same probe share one answer: probes cost one question however many ask.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// An answer is given again for so long.
const FRESH: Duration = Duration::from_millis(250);

/// A probe's last answer.
pub(crate) struct SharedProbe<T> {
    last: Mutex<Option<(Instant, T)>>,
}

impl<T> Default for SharedProbe<T> {
    fn default() -> Self {
        Self { last: Mutex::default() }
    }
}

impl<T: Clone> SharedProbe<T> {
    /// Gives the last answer if it is fresh, else waits for `question`.
    pub(crate) async fn ask(&self, question: impl Future<Output = T>) -> T {
        // Held while asking, so that those who ask meanwhile wait for this answer instead of asking too.
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = question.await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
