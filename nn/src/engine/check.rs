//! Samples against a plan, in the clear: are its polynomials good for them, and has its modulus room?

use std::collections::BTreeMap;
use std::path::Path;

use super::server_plan;
use crate::data::SampleFile;
use crate::error::{Error, Result};
use crate::graph::{Activation, Graph, Node, Op};
use crate::onnx::OnnxModel;
use crate::pass::{Approximation, MergeRule, Outside, he_friendly, outside, simplify};
use crate::plan::ServerPlan;
use crate::program::Value;
use crate::progress::Progress;
use crate::report::ActivationReport;
use crate::session::PlanFile;

/// Samples that are looked at together.
const TOGETHER: usize = 1024;

/// Runs the samples of a file through the model of a plan, in the clear: the polynomials of the plan, with what the samples have outside of
/// their ranges.
///
/// # Errors
/// [`PlanError::OtherModel`](crate::plan::PlanError::OtherModel); [`Error::NotFinite`], [`Error::BeyondFit`] and [`Error::BeyondCalibration`]
/// for samples that the plan is of no use for; those of [`SampleFile::chunks`].
pub fn check(
    file: &PlanFile,
    model: &OnnxModel,
    data: &SampleFile,
    progress: &dyn Progress,
) -> Result<Vec<ActivationReport>> {
    let plan = server_plan(file, model)?;
    let approximations = &file.plan().approximations;
    let simplified = simplify(&model.graph, &MergeRule::default())?;
    let graph = he_friendly(&simplified, &MergeRule::default(), approximations)?;
    let mut all: BTreeMap<usize, Outside> = BTreeMap::new();
    progress.begin("check", data.n().div_ceil(TOGETHER));
    for (chunk, samples) in data.chunks(TOGETHER)?.enumerate() {
        let samples: Vec<f64> = samples?.into_iter().map(f64::from).collect();
        let (_, magnitudes) = clear_run(&graph, data.path(), &samples)?;
        within_plan(&graph, &magnitudes, data.path(), &plan)?;
        for mut found in outside_fits((&simplified, &graph), &magnitudes, approximations, &samples)? {
            found.sample += chunk * TOGETHER;
            let range = approximations[found.approximation].fit.range;
            all.entry(found.approximation).and_modify(|known| known.join(&found, range)).or_insert(found);
        }
        progress.step();
    }
    let all: Vec<Outside> = all.into_values().collect();
    fits_serve(&all, approximations, data.path())?;
    Ok(ActivationReport::all(approximations, &all))
}

/// The results of a graph in the clear, and the largest absolute value of each node.
pub(super) fn clear_run(graph: &Graph, path: &Path, samples: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
    let (results, ranges) = graph.run_with_ranges(samples)?;
    let columns = graph.output_len();
    match results.iter().position(|result| !result.is_finite()) {
        Some(at) => Err(Error::NotFinite { path: path.into(), sample: at / columns, result: at % columns }),
        None => Ok((results, ranges.iter().map(|range| range.max_abs()).collect())),
    }
}

/// What samples have outside the ranges of the polynomials in `friendly`, which the simplified graph is made into.
pub(super) fn outside_fits(
    (simplified, friendly): (&Graph, &Graph),
    magnitudes: &[f64],
    approximations: &[Approximation],
    samples: &[f64],
) -> Result<Vec<Outside>> {
    let is_fit = |node: &&Node| matches!(node.op, Op::Activation(Activation::Chebyshev(_)));
    if friendly.nodes().iter().filter(is_fit).all(|node| magnitudes[node.inputs[0].0] <= 1.0) {
        return Ok(Vec::new());
    }
    outside(simplified, approximations, samples)
}

/// Refuses samples of the file `path` for which a polynomial means nothing: it is off by more than all values that it stands for.
pub(super) fn fits_serve(found: &[Outside], approximations: &[Approximation], path: &Path) -> Result<()> {
    let Some(useless) = found.iter().find(|found| found.is_useless()) else {
        return Ok(());
    };
    let Approximation { name, fit, .. } = &approximations[useless.approximation];
    Err(Error::BeyondFit {
        path: path.into(),
        node: name.clone(),
        sample: useless.sample,
        argument: useless.argument,
        values: useless.values,
        low: fit.range[0],
        high: fit.range[1],
        error: useless.error,
    })
}

/// What the coefficients of a plaintext have room for is at least what a single slot has; those of many samples of mixed size stay
/// far below the largest slot. This much above the proven room, an encrypted result is likely to be noise.
const ROOM_OF_COEFFICIENTS: f64 = 8.0;

/// Whether the values of every node fit, by that factor, the moduli that the plan gives them. Where results are flooded, they must keep to
/// the planned magnitudes: the largest error, which the noise is measured by, is that of such values.
pub(super) fn within_plan(graph: &Graph, magnitudes: &[f64], path: &Path, plan: &ServerPlan) -> Result<()> {
    let (program, client) = (plan.program(), plan.client());
    for ((node, &found), &planned) in graph.nodes().iter().zip(magnitudes).zip(&client.magnitudes) {
        let operations = program.operations().iter().filter(|operation| *operation.name == node.name);
        let room = |value: &Value| (program.params().log_q(value.level) - 1.0 - value.scale.log2()).exp2();
        let room = operations.map(|operation| room(&operation.value)).fold(f64::INFINITY, f64::min);
        let (most, room) = match client.flood {
            Some(_) => (planned, planned),
            None => (ROOM_OF_COEFFICIENTS * room, room),
        };
        if found.is_nan() || found > most {
            return Err(Error::BeyondCalibration { path: path.into(), node: node.name.clone(), found, room });
        }
    }
    Ok(())
}
