//! How long work tells whoever waits for it.

/// What a long run tells whoever waits for it.
pub trait Progress: Sync {
    /// A stage of so many steps begins; the one before has ended.
    fn begin(&self, stage: &'static str, steps: usize);
    /// A step is done.
    fn step(&self);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &'static str, _: usize) {}
    fn step(&self) {}
}
