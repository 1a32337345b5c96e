//! Which evaluation keys a program needs, each up to which level.

use std::collections::BTreeMap;

use super::{Kind, LinearOperator, Program, ProgramError};

/// Keys by what they serve, with the highest level at which they are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRequest {
    /// Relinearisation.
    pub relinearization: Option<usize>,
    /// Rotations to the left, in slots.
    pub rotations: BTreeMap<usize, usize>,
}

impl KeyRequest {
    /// What `program` needs.
    pub(super) fn of(program: &Program) -> Self {
        let mut keys = Self::default();
        for operation in program.operations() {
            let level = operation.value.level;
            match &operation.kind {
                Kind::Relinearize => {
                    keys.relinearization = keys.relinearization.max(Some(level));
                }
                Kind::LinearMap(linear) => {
                    if let LinearOperator::Diagonals(plan) = linear.operator() {
                        for rotation in plan.rotations() {
                            let highest = keys.rotations.entry(rotation).or_default();
                            *highest = level.max(*highest);
                        }
                    }
                }
                _ => {}
            }
        }
        keys
    }

    /// Whether these keys serve all of `needed`.
    ///
    /// # Errors
    /// [`ProgramError::MissingKey`] with the first that is missing, or of too low a level.
    pub fn covers(&self, needed: &Self) -> Result<(), ProgramError> {
        let missing = |key: String, level: usize| Err(ProgramError::MissingKey { key, level });
        if let Some(level) = needed.relinearization
            && self.relinearization < Some(level)
        {
            return missing("the relinearisation key".into(), level);
        }
        for (rotation, &level) in &needed.rotations {
            if self.rotations.get(rotation).is_none_or(|&has| has < level) {
                return missing(format!("the key of rotation by {rotation} slots"), level);
            }
        }
        Ok(())
    }
}
