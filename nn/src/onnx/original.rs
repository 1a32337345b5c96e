//! The model as its author knows it, run by tract in single precision: what the graph and all encrypted runs are compared
//! with.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;
use tract_onnx::prelude::*;

use super::proto::Checked;
use super::{REWRITING, Source, node, probe};
use crate::error::{Error, Result};

/// Samples that go through tract together, where the model allows it.
const BATCH: usize = 32;

/// A runnable model.
#[derive(Clone)]
pub struct Original {
    file: Source,
    sample: Vec<usize>,
    output: Vec<usize>,
    single: Arc<TypedRunnableModel>,
    batched: Option<Arc<TypedRunnableModel>>,
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Original { file, sample, output, .. } = self;
        f.debug_struct("Original").field("file", file).field("sample", sample).field("output", output).finish()
    }
}

impl Original {
    /// Prepares the model to run sample by sample, and in batches if it computes the same that way. With `plain`, the same model as the
    /// file has it, tract may rewrite it, as long as it computes the same.
    pub(super) fn new(file: &Source, proto: &Checked, model: TypedModel, plain: Option<TypedModel>) -> Result<Self> {
        let rewrite = plain.is_some();
        let runnable =
            |model: TypedModel| if rewrite { model.into_optimized()?.into_runnable() } else { model.into_runnable() };
        let (single, output) = file.tract("preparing to run it", || {
            let shape = model.output_fact(0)?.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
            Ok((runnable(model)?, shape))
        })?;
        let output = output.strip_prefix(&[1]).unwrap_or(&output).to_vec();
        let sample = proto.sample().to_vec();
        let mut original = Original { file: file.clone(), sample, output, single, batched: None };
        let samples = probe::random(BATCH * original.input_len());
        let alone = original.run(&samples)?;
        if let Some(plain) = plain
            && let Ok(plain) = file.tract("preparing to run it", || plain.into_runnable())
            && let Ok(results) = original.run_block(&plain, &mut None, 1, &samples[..original.input_len()])
            && !near(&results, &alone)
        {
            let message = "it computes something else then".into();
            return Err(Error::Onnx { path: file.path.clone(), doing: REWRITING, message });
        }
        // Some exporters write the batch of their example into the graph; then it runs with that batch only.
        let batched = proto
            .typed(file, BATCH)
            .and_then(|model| file.tract("preparing to run it in batches", || runnable(model)))
            .and_then(|batched| Ok((original.run_block(&batched, &mut None, BATCH, &samples)?, batched)));
        match batched {
            Ok((together, batched)) if near(&together, &alone) => original.batched = Some(batched),
            Ok(_) => {
                tracing::debug!(path = ?file.path, "batches mix samples: the original runs one sample at a time")
            }
            Err(error) => {
                tracing::debug!(%error, "no batches: the original runs one sample at a time")
            }
        }
        Ok(original)
    }

    /// Whether several samples go through tract together, which is faster; else each goes alone.
    pub fn runs_in_batches(&self) -> bool {
        self.batched.is_some()
    }

    /// Shape of a sample, without the batch dimension.
    pub fn input_shape(&self) -> &[usize] {
        &self.sample
    }

    /// Features of a sample.
    pub fn input_len(&self) -> usize {
        self.sample.iter().product()
    }

    /// Shape of a result, without the batch dimension.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }

    /// Features of a result.
    pub fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    /// The results of all samples: reads [n, input_len] values and makes [n, output_len], both in row-major order. Runs in
    /// rayon's current pool.
    ///
    /// # Errors
    /// [`Error::SampleLength`] if the values are no whole number of samples; [`Error::Onnx`] and [`Error::OnnxPanic`] if
    /// tract fails on them.
    pub fn run(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let features = self.input_len();
        if features == 0 || !samples.len().is_multiple_of(features) {
            return Err(Error::SampleLength { found: samples.len(), features });
        }
        let (plan, batch) = match &self.batched {
            Some(plan) => (plan, BATCH),
            None => (&self.single, 1),
        };
        let results: Result<Vec<Vec<f32>>> = samples
            .par_chunks(batch * features)
            .map_init(
                || self.file.tract("preparing to run it", || plan.spawn()).ok(),
                |state, block| self.run_block(plan, state, batch, block),
            )
            .collect();
        Ok(results?.concat())
    }

    /// A block of at most `batch` samples, filled up with zeros.
    fn run_block(
        &self,
        plan: &Arc<TypedRunnableModel>,
        state: &mut Option<TypedSimpleState>,
        batch: usize,
        block: &[f32],
    ) -> Result<Vec<f32>> {
        let count = block.len() / self.input_len();
        let mut results = self.file.tract("running it", || {
            let mut values = block.to_vec();
            values.resize(batch * self.input_len(), 0.0);
            let shape: TVec<usize> = std::iter::once(batch).chain(self.sample.iter().copied()).collect();
            let inputs = tvec!(Tensor::from_shape(&shape, &values)?.into_tvalue());
            let outputs = match state {
                Some(state) => state.run(inputs)?,
                None => plan.run(inputs)?,
            };
            outputs.first().map_or(Ok(vec![]), |output| node::floats(output))
        })?;
        let expected = batch * self.output_len();
        if results.len() != expected {
            let message =
                format!("it made {} values for {batch} samples where {expected} were announced", results.len());
            return Err(Error::Onnx { path: self.file.path.clone(), doing: "running it", message });
        }
        results.truncate(count * self.output_len());
        Ok(results)
    }
}

/// Whether two runs gave the same results, as far as both go.
fn near(a: &[f32], b: &[f32]) -> bool {
    let largest = b.iter().fold(0.0f32, |largest, y| largest.max(y.abs()));
    let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-4 * largest;
    !largest.is_finite() || a.iter().zip(b).all(|(&a, &b)| same(a, b))
}
