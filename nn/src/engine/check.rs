//! Samples against a plan, in the clear: are its polynomials good for them, and has its modulus room? A sample for which not is out of range: nothing
//! is computed for it, since its result would mean nothing, and a slot that overflows takes those of other samples with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::server_plan;
use crate::data::{Dataset, SampleFile, without};
use crate::error::{Error, OutOfRange, Result};
use crate::graph::{Activation, Block, Graph, Node, NodeId, Observer, Op};
use crate::onnx::OnnxModel;
use crate::pass::{Approximation, MergeRule, Outside, he_friendly, outside, simplify};
use crate::plan::ServerPlan;
use crate::program::Value;
use crate::progress::Progress;
use crate::report::ActivationReport;
use crate::session::PlanFile;

/// Samples that are looked at together.
const TOGETHER: usize = 1024;

/// The share of samples, in percent, that may be out of range where nobody says how large it may be: of more, the calibration says too little.
pub const MOST_LEFT_OUT: f64 = 5.0;

/// What a file of samples comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The polynomials of the plan, with what the samples that are left have outside of their ranges.
    pub activations: Vec<ActivationReport>,
    /// The others, in their order.
    pub left_out: Vec<OutOfRange>,
}

/// Holds the samples of a file to a plan: through the model that it was made for, in the clear, where that is at hand, otherwise by their own
/// values alone. So many percent of them may be out of range.
///
/// # Errors
/// [`PlanError::OtherModel`](crate::plan::PlanError::OtherModel); [`Error::OutOfRange`]; those of [`SampleFile::chunks`].
pub fn check(
    file: &PlanFile,
    model: Option<&OnnxModel>,
    data: &SampleFile,
    most_left_out: f64,
    progress: &dyn Progress,
) -> Result<Checked> {
    let Some(model) = model else {
        let left_out = too_large(file.plan().largest_input(), data, most_left_out)?;
        return Ok(Checked { activations: Vec::new(), left_out });
    };
    let plan = server_plan(file, model)?;
    let approximations = &file.plan().approximations;
    let simplified = simplify(&model.graph, &MergeRule::default())?;
    let friendly = he_friendly(&simplified, &MergeRule::default(), approximations)?;
    let view = View { simplified: &simplified, friendly: &friendly, approximations, plan: Some(&plan) };
    let (mut all, mut left_out) = (BTreeMap::new(), Vec::new());
    progress.begin("check", data.n().div_ceil(TOGETHER));
    for (chunk, samples) in data.chunks(TOGETHER)?.enumerate() {
        let samples: Vec<f64> = samples?.into_iter().map(f64::from).collect();
        let seen = view.look(&samples)?;
        let first = chunk * TOGETHER;
        left_out.extend(seen.left_out.into_iter().map(|out| OutOfRange { sample: first + out.sample, ..out }));
        few(&left_out, data.n(), most_left_out, data.path())?;
        let outside = seen.outside.into_iter().map(|found| Outside { sample: first + found.sample, ..found });
        join(&mut all, outside, approximations);
        progress.step();
    }
    let all: Vec<Outside> = all.into_values().collect();
    Ok(Checked { activations: ActivationReport::all(approximations, &all), left_out })
}

/// Samples with values above a limit.
fn too_large(limit: f64, data: &SampleFile, most_left_out: f64) -> Result<Vec<OutOfRange>> {
    let mut left_out = Vec::new();
    if f64::from(data.max_abs()) <= limit {
        return Ok(left_out);
    }
    for (chunk, samples) in data.chunks(TOGETHER)?.enumerate() {
        for (row, values) in samples?.chunks(data.features()).enumerate() {
            let largest = values.iter().fold(0.0f32, |largest, &x| if x.abs() > largest.abs() { x } else { largest });
            let (sample, value) = (chunk * TOGETHER + row, f64::from(largest));
            if value.abs() > limit {
                left_out.push(OutOfRange { sample, node: "input".into(), value, range: [-limit, limit], error: None });
            }
        }
        few(&left_out, data.n(), most_left_out, data.path())?;
    }
    Ok(left_out)
}

/// Refuses samples of the file `path` if more than so many percent of all `n` are out of range.
pub(super) fn few(left_out: &[OutOfRange], n: usize, most: f64, path: &Path) -> Result<()> {
    match left_out.first() {
        Some(first) if 100.0 * left_out.len() as f64 > most * n as f64 => {
            let first = Box::new(first.clone());
            Err(Error::OutOfRange { path: path.into(), found: left_out.len(), n, most, first })
        }
        _ => Ok(()),
    }
}

/// The samples that are in range, and what they come to.
pub(super) fn in_range<'a>(view: &View<'_>, data: &'a Dataset, most_left_out: f64) -> Result<(Cow<'a, Dataset>, Seen)> {
    let seen = view.look(&data.to_f64())?;
    few(&seen.left_out, data.n(), most_left_out, data.path())?;
    let others = match &seen.left_out[..] {
        [] => Cow::Borrowed(data),
        left_out => Cow::Owned(data.without(&numbers(left_out))?),
    };
    Ok((others, seen))
}

pub(super) fn numbers(left_out: &[OutOfRange]) -> Vec<usize> {
    left_out.iter().map(|out| out.sample).collect()
}

/// A network as it is computed, in the clear.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// With its own activations, which the approximations number.
    pub simplified: &'a Graph,
    /// With polynomials.
    pub friendly: &'a Graph,
    pub approximations: &'a [Approximation],
    /// What says how large values may be; without one, they may be anything finite.
    pub plan: Option<&'a ServerPlan>,
}

/// What samples come to.
pub(super) struct Seen {
    /// Those that are out of range, in their order.
    pub left_out: Vec<OutOfRange>,
    /// Results of the others, and the largest absolute value of each node.
    pub results: Vec<f64>,
    pub magnitudes: Vec<f64>,
    /// What the others have outside the ranges of polynomials, an entry for each polynomial.
    pub outside: Vec<Outside>,
}

impl View<'_> {
    /// Runs [n, features] samples; those that are out of range are told from the others.
    pub fn look(&self, samples: &[f64]) -> Result<Seen> {
        let limits = self.limits();
        let (results, ranges) = self.friendly.run_with_ranges(samples)?;
        let magnitudes: Vec<f64> = ranges.iter().map(|range| range.max_abs()).collect();
        let fits_serve = self.friendly.nodes().iter().all(|node| !is_fit(node) || magnitudes[node.inputs[0].0] <= 1.0);
        let outside = if fits_serve { Vec::new() } else { outside(self.simplified, self.approximations, samples)? };
        // The range of a node does not show what is no number; results do.
        let has_room = magnitudes.iter().zip(&limits).all(|(found, limit)| found <= limit);
        let has_room = has_room && results.iter().all(|result| result.is_finite());
        let mut left_out = if has_room { BTreeMap::new() } else { self.beyond(samples, &limits)? };
        // The first polynomial that means nothing is the cause of what comes behind it.
        left_out.extend(outside.iter().rev().filter(|found| found.is_useless).map(|found| self.useless(found)));
        let mut all = BTreeMap::new();
        let others = outside.into_iter().filter(|found| !left_out.contains_key(&found.sample));
        join(&mut all, others, self.approximations);
        let outside = all.into_values().collect();
        if left_out.is_empty() {
            return Ok(Seen { left_out: Vec::new(), results, magnitudes, outside });
        }
        let numbers: Vec<usize> = left_out.keys().copied().collect();
        let (results, ranges) =
            self.friendly.run_with_ranges(&without(samples, self.friendly.input_len(), &numbers))?;
        let magnitudes = ranges.iter().map(|range| range.max_abs()).collect();
        Ok(Seen { left_out: left_out.into_values().collect(), results, magnitudes, outside })
    }

    fn useless(&self, found: &Outside) -> (usize, OutOfRange) {
        let &Outside { sample, argument, error, .. } = found;
        let Approximation { name, fit, .. } = &self.approximations[found.approximation];
        let range = fit.range;
        (sample, OutOfRange { sample, node: name.clone(), value: argument, range, error: Some(error) })
    }

    /// Samples with values that are larger than they may be: each with the first node that has such, and the largest there.
    fn beyond(&self, samples: &[f64], limits: &[f64]) -> Result<BTreeMap<usize, OutOfRange>> {
        type Found = BTreeMap<usize, (NodeId, f64)>;
        let observer = Observer {
            start: Found::new,
            observe: |found: &mut Found, id: NodeId, block: Block<'_>| {
                // Whatever is not below the limit, NaN included.
                let fits = |value: f64| value.abs() <= limits[id.0];
                for (sample, value) in block.values().filter(|&(_, value)| !fits(value)) {
                    let (node, largest) = found.entry(sample).or_insert((id, value));
                    if *node == id && value.abs() > largest.abs() {
                        *largest = value;
                    }
                }
            },
            merge: |mut a: Found, mut b: Found| {
                a.append(&mut b);
                a
            },
        };
        let (_, found) = self.friendly.run_observed(samples, &observer)?;
        let out = |(sample, (id, value)): (usize, (NodeId, f64))| {
            let (node, limit) = (self.friendly.node(id).name.clone(), limits[id.0]);
            (sample, OutOfRange { sample, node, value, range: [-limit, limit], error: None })
        };
        Ok(found.into_iter().map(out).collect())
    }

    /// The largest absolute value that each node may have.
    fn limits(&self) -> Vec<f64> {
        let Some(plan) = self.plan else {
            return vec![f64::MAX; self.friendly.nodes().len()];
        };
        let (program, client) = (plan.program(), plan.client());
        let limit = |(node, &planned): (&Node, &f64)| {
            let operations = program.operations().iter().filter(|operation| *operation.name == node.name);
            let room = |value: &Value| (program.params().log_q(value.level) - 1.0 - value.scale.log2()).exp2();
            let room = operations.map(|operation| room(&operation.value)).fold(f64::MAX, f64::min);
            match (client.flood, &node.op) {
                // The largest error, which the noise is measured by, is that of values of the planned magnitudes.
                (Some(_), _) => planned,
                (None, Op::Input) => client.largest_input().min(ROOM_OF_COEFFICIENTS * room),
                (None, _) => ROOM_OF_COEFFICIENTS * room,
            }
        };
        self.friendly.nodes().iter().zip(&client.magnitudes).map(limit).collect()
    }
}

fn is_fit(node: &Node) -> bool {
    matches!(node.op, Op::Activation(Activation::Chebyshev(_)))
}

/// What the coefficients of a plaintext have room for is at least what a single slot has; those of many samples of mixed size stay
/// far below the largest slot. This much above the proven room, an encrypted result is likely to be noise.
const ROOM_OF_COEFFICIENTS: f64 = 8.0;

/// Adds what further samples have outside to what is known of each polynomial: how many values, and the sample with the one farthest out.
fn join(all: &mut BTreeMap<usize, Outside>, more: impl Iterator<Item = Outside>, approximations: &[Approximation]) {
    for found in more {
        let range = approximations[found.approximation].fit.range;
        all.entry(found.approximation).and_modify(|known| known.join(&found, range)).or_insert(found);
    }
}
