//! The parameter sets of the suites.

use bench::Case;
use ckks::{PRESETS, Params, RingKind};
use criterion::Criterion;

use crate::clock::{Result, named, sample};

/// A clock for the operations of `params` at the top level.
pub fn of_params<'a>(criterion: &'a mut Criterion, params: &Params) -> impl FnMut(Case<'_>) -> bench::Result<()> + 'a {
    let ring = params.ring().kind();
    let place = format!("{}/{}/{}", params.log_n(), params.ring().q().len(), params.ring().backend().name());
    move |case| sample(criterion, &named(case.op, ring), &place, case)
}

/// The sets that are timed: p13 to p16 in either ring, the last one in the standard ring only.
pub fn sets() -> Result<Vec<Params>> {
    let presets = PRESETS.into_iter().filter(|preset| ["p13", "p14", "p15", "p16"].contains(&preset.name));
    let both = presets.flat_map(|preset| {
        let rings = [RingKind::Standard, RingKind::ConjugateInvariant];
        rings
            .into_iter()
            .filter(move |&ring| preset.name != "p16" || ring == RingKind::Standard)
            .map(move |r| (preset, r))
    });
    Ok(both.map(|(preset, ring)| preset.spec(ring).build()).collect::<ckks::Result<_>>()?)
}
