//! Progress bars, to a terminal only.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use nn::engine::Progress;

/// How often a bar is drawn at least: its seconds show that something goes on.
const TICK: Duration = Duration::from_millis(200);

/// A bar for the stage under way.
pub struct Bars {
    current: Mutex<ProgressBar>,
}

impl Bars {
    /// No bar yet.
    pub fn new() -> Self {
        Self { current: Mutex::new(ProgressBar::hidden()) }
    }

    fn with(&self, act: impl FnOnce(&mut ProgressBar)) {
        act(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Progress for Bars {
    fn begin(&self, stage: &'static str, steps: usize) {
        let style = ProgressStyle::with_template(match steps {
            1 => "{msg:26} {spinner} {elapsed}",
            _ => "{msg:26} {bar:40} {pos}/{len} {elapsed}",
        });
        self.with(|bar| {
            bar.finish_and_clear();
            // A bar draws on standard error, and only if that is a terminal.
            *bar = ProgressBar::new(steps as u64).with_message(stage);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(TICK);
        });
    }

    fn step(&self) {
        self.with(|bar| bar.inc(1));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.with(|bar| bar.finish_and_clear());
    }
}
