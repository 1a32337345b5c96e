//! A whole graph on a batch of samples in double precision: y = G(x), the reference of everything that is packed or
//! encrypted.
//!
//! Samples go through the graph in blocks of [`BLOCK`]. Within a block a tensor lies feature by feature, the samples
//! adjacent, so that each weight is read once for the whole block and the inner loop runs over contiguous samples. Blocks
//! are independent and run in rayon's current pool; a sample's result does not depend on the number of threads, nor on its
//! neighbours.

use rayon::prelude::*;

use super::{Graph, Node, NodeId, Op};
use crate::error::{Error, Result};

/// Samples that go through the graph together: two cache lines of doubles, which still keeps a layer of 845 features in L2.
const BLOCK: usize = 16;

/// One feature of a block of samples.
pub type Lanes = [f64; BLOCK];

/// The most results of all samples, half a gigabyte of them: each of ten classes for six million samples.
const MAX_RESULTS: usize = 1 << 26;

/// Smallest and largest value that a tensor took over a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Range {
    /// The range of nothing: of no effect in [`Range::union`].
    const EMPTY: Range = Range { min: f64::INFINITY, max: f64::NEG_INFINITY };

    /// Largest absolute value, zero for an empty range.
    pub fn max_abs(&self) -> f64 {
        self.max.max(-self.min).max(0.0)
    }

    /// The range of both.
    pub fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// What is gathered from all tensors while a graph runs: of each block of samples from `start`, the blocks merged.
#[derive(Debug)]
pub struct Observer<S, O, M> {
    /// What is known of no samples.
    pub start: S,
    /// Adds the tensor of a node, for some samples.
    pub observe: O,
    /// What is known of the samples of both; associative.
    pub merge: M,
}

/// The tensor of a node for some samples.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    first: usize,
    count: usize,
    lanes: &'a [Lanes],
}

impl Block<'_> {
    /// How many samples.
    pub fn samples(&self) -> usize {
        self.count
    }

    /// Feature by feature, as many values as there are samples.
    pub fn features(&self) -> &[Lanes] {
        self.lanes
    }

    /// All values, each with the number of its sample, feature by feature.
    pub fn values(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.lanes.iter().flat_map(|lanes| lanes[..self.count].iter().enumerate().map(|(i, &v)| (self.first + i, v)))
    }
}

impl Graph {
    /// The results of all samples: reads [n, input_len] values and makes [n, output_len], both in row-major order. Runs in
    /// rayon's current pool.
    ///
    /// # Errors
    /// [`Error::SampleLength`] if the values are no whole number of samples; [`Error::TooManyResults`].
    pub fn run(&self, samples: &[f64]) -> Result<Vec<f64>> {
        let nothing = Observer { start: || (), observe: |_: &mut (), _: NodeId, _: Block<'_>| (), merge: |(), ()| () };
        Ok(self.run_observed(samples, &nothing)?.0)
    }

    /// As [`Graph::run`], with the range that each node's tensor took, for calibration: one range a node, in the order of
    /// the nodes; of an empty batch the empty range.
    ///
    /// # Errors
    /// [`Error::SampleLength`] if the values are no whole number of samples; [`Error::TooManyResults`].
    pub fn run_with_ranges(&self, samples: &[f64]) -> Result<(Vec<f64>, Vec<Range>)> {
        let ranges = Observer {
            start: || vec![Range::EMPTY; self.nodes().len()],
            observe: |ranges: &mut Vec<Range>, id: NodeId, block: Block<'_>| {
                ranges[id.0] =
                    block.values().fold(Range::EMPTY, |r, (_, v)| Range { min: r.min.min(v), max: r.max.max(v) });
            },
            merge: |a: Vec<Range>, b: Vec<Range>| a.into_iter().zip(b).map(|(a, b)| a.union(b)).collect(),
        };
        self.run_observed(samples, &ranges)
    }

    /// As [`Graph::run`], with what `observer` makes of the tensors.
    ///
    /// # Errors
    /// [`Error::SampleLength`] if the values are no whole number of samples; [`Error::TooManyResults`].
    pub fn run_observed<T: Send>(
        &self,
        samples: &[f64],
        observer: &Observer<
            impl Fn() -> T + Sync,
            impl Fn(&mut T, NodeId, Block<'_>) + Sync,
            impl Fn(T, T) -> T + Sync,
        >,
    ) -> Result<(Vec<f64>, T)> {
        let (features, results) = (self.input_len(), self.output_len());
        if features == 0 || !samples.len().is_multiple_of(features) {
            return Err(Error::SampleLength { found: samples.len(), features });
        }
        let count = samples.len() / features;
        if count.saturating_mul(results) > MAX_RESULTS {
            let node = self.node(self.output).name.clone();
            return Err(Error::TooManyResults { node, samples: count, features: results, limit: MAX_RESULTS });
        }
        let last_reads = self.last_reads();
        let mut out = vec![0.0; count * results];
        let blocks = out.par_chunks_mut((BLOCK * results).max(1)).zip(samples.par_chunks(BLOCK * features));
        let observed = blocks.enumerate().map(|(index, (out, block))| {
            let mut seen = (observer.start)();
            self.run_block(block, out, &last_reads, |id, lanes| {
                let block = Block { first: index * BLOCK, count: block.len() / features, lanes };
                (observer.observe)(&mut seen, id, block);
            });
            seen
        });
        let observed = observed.reduce_with(&observer.merge).unwrap_or_else(&observer.start);
        Ok((out, observed))
    }

    /// One block of at most [`BLOCK`] samples.
    fn run_block(
        &self,
        samples: &[f64],
        out: &mut [f64],
        last_reads: &[usize],
        mut observe: impl FnMut(NodeId, &[Lanes]),
    ) {
        let mut tensors: Vec<Vec<Lanes>> = vec![Vec::new(); self.nodes().len()];
        for (id, node) in self.iter() {
            tensors[id.0] = match node.op {
                Op::Input => to_lanes(samples, node.len()),
                _ => node.run(&tensors),
            };
            observe(id, &tensors[id.0]);
            // A residual network keeps only the branches that are still to be joined.
            for input in &node.inputs {
                if last_reads[input.0] == id.0 {
                    tensors[input.0] = Vec::new();
                }
            }
        }
        let result = &tensors[self.output().0];
        for (sample, row) in out.chunks_mut(result.len().max(1)).enumerate() {
            row.iter_mut().zip(result).for_each(|(y, lanes)| *y = lanes[sample]);
        }
    }

    /// For each node the last that reads it, or itself; the output counts as read by all.
    fn last_reads(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes().len()).collect();
        for (id, node) in self.iter() {
            node.inputs.iter().for_each(|input| last[input.0] = id.0);
        }
        last[self.output().0] = usize::MAX;
        last
    }
}

impl Node {
    /// The node's tensor from those before it.
    fn run(&self, tensors: &[Vec<Lanes>]) -> Vec<Lanes> {
        let input = |i: usize| &tensors[self.inputs[i].0];
        match &self.op {
            Op::Input => Vec::new(),
            Op::Affine(map) => {
                let row = |(row, &bias): (&[(u32, f64)], &f64)| dot(row, input(0), bias);
                map.matrix.iter_rows().zip(&map.bias).map(row).collect()
            }
            Op::Activation(activation) => input(0).iter().map(|&x| activation.eval_all(x)).collect(),
            Op::Add => input(0).iter().zip(input(1)).map(|(x, y)| std::array::from_fn(|i| x[i] + y[i])).collect(),
            Op::Mul => input(0).iter().zip(input(1)).map(|(x, y)| std::array::from_fn(|i| x[i] * y[i])).collect(),
        }
    }
}

/// bias + sum of w x over one row, for all samples of the block.
fn dot(row: &[(u32, f64)], x: &[Lanes], bias: f64) -> Lanes {
    let mut sum = [bias; BLOCK];
    for &(col, weight) in row {
        let x = &x[col as usize];
        for i in 0..BLOCK {
            sum[i] += weight * x[i];
        }
    }
    sum
}

/// Samples side by side; lanes without a sample are zero.
fn to_lanes(samples: &[f64], features: usize) -> Vec<Lanes> {
    let mut lanes = vec![[0.0; BLOCK]; features];
    for (sample, row) in samples.chunks(features).enumerate() {
        row.iter().zip(&mut lanes).for_each(|(&x, lanes)| lanes[sample] = x);
    }
    lanes
}
