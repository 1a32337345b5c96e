//! Which polynomial stands for which activation: ranges and distributions from sample data, degrees from the accuracy that they cost.
//!
//! The range of an activation is what its arguments took over all samples, with a margin. Degrees are chosen greedily, on the network in the
//! clear: from the lowest, all activations rise together until the network loses little enough; then, one by one from the
//! last, each is lowered again as far as that stays true.

use std::collections::BTreeMap;

use super::approximate::{Approximation, polynomial};
use crate::approx::{Shape, fit};
use crate::error::{Error, Result};
use crate::graph::{Activation, Block, Graph, NodeId, Observer, Op, Range};

/// Parts of a range that a histogram counts.
const PARTS: usize = 512;
/// Multiplications in the clear that one measurement of the network may take.
const WORK: usize = 4_000_000_000;
/// Most samples that a measurement takes.
const SAMPLES: usize = 4096;

/// What degrees are chosen by.
#[derive(Debug, Clone, Copy)]
pub struct Calibration<'a> {
    /// [n, features] values.
    pub samples: &'a [f64],
    /// The class of each sample, if known.
    pub labels: Option<&'a [usize]>,
    /// Factor from the ranges that the samples took to those that are fitted.
    pub margin: f64,
    /// Share of the samples that the network may classify worse than with its own activations.
    pub loss: f64,
    /// The largest degree allowed.
    pub max_degree: usize,
}

impl Calibration<'_> {
    /// 0.3 points.
    pub const LOSS: f64 = 0.003;
}

/// A polynomial for each activation of a simplified graph that is none.
///
/// # Errors
/// [`Error::Approximation`] for a function that is not finite on its range; [`Error::SampleLength`].
pub fn calibrate(graph: &Graph, calibration: &Calibration<'_>) -> Result<Vec<Approximation>> {
    let (_, ranges) = graph.run_with_ranges(calibration.samples)?;
    let weights = super::weights(graph).max(1);
    let most = (WORK / weights).clamp(64, SAMPLES) * graph.input_len();
    let samples = &calibration.samples[..most.min(calibration.samples.len())];
    let mut layers = Vec::new();
    for (id, node) in graph.iter() {
        if let Op::Activation(activation) = &node.op
            && !activation.is_polynomial()
        {
            layers.push(Layer::new((id, &node.name), node.inputs[0], activation, &ranges, calibration)?);
        }
    }
    let histograms = histograms(graph, samples, &layers)?;
    layers.iter_mut().zip(histograms).for_each(|(layer, histogram)| layer.histogram = histogram);
    let exact = graph.run(samples)?;
    let mut search = Search { graph, samples, exact, calibration, layers, fits: BTreeMap::new() };
    let degrees = search.degrees()?;
    Ok((0..degrees.len()).map(|layer| search.approximation(layer, degrees[layer])).collect())
}

/// An activation to be approximated.
struct Layer {
    id: NodeId,
    name: String,
    input: NodeId,
    function: Activation,
    shape: Shape,
    range: [f64; 2],
    histogram: Vec<f64>,
    /// Those worth trying.
    degrees: Vec<usize>,
}

impl Layer {
    fn new(
        (id, name): (NodeId, &str),
        input: NodeId,
        function: &Activation,
        ranges: &[Range],
        calibration: &Calibration<'_>,
    ) -> Result<Self> {
        let wrong = |problem: String| Error::Approximation { node: name.to_owned(), problem };
        let Range { min, max } = ranges[input.0];
        if !(min.is_finite() && max.is_finite()) {
            return Err(wrong("its arguments are not finite on the calibration data".into()));
        }
        let (shape, range) = Shape::of(&|x| function.eval(x), widened([min, max], calibration.margin));
        let finite = |i: usize| function.eval(range[0] + (range[1] - range[0]) * i as f64 / PARTS as f64).is_finite();
        if !(0..=PARTS).all(finite) {
            let [low, high] = range;
            return Err(wrong(format!("{} is not finite on the whole of [{low:.3}, {high:.3}]", function.name())));
        }
        let all = shape.degrees().iter().copied();
        let mut degrees: Vec<usize> = all.filter(|&degree| degree <= calibration.max_degree).collect();
        if degrees.is_empty() {
            degrees.push(calibration.max_degree);
        }
        let (name, function) = (name.to_owned(), function.clone());
        Ok(Self { id, name, input, function, shape, range, histogram: vec![0.0; PARTS], degrees })
    }

    fn part(&self, value: f64) -> usize {
        let [low, high] = self.range;
        ((value - low) / (high - low) * PARTS as f64).clamp(0.0, (PARTS - 1) as f64) as usize
    }
}

/// A range with a margin around its middle; never empty.
fn widened([low, high]: [f64; 2], margin: f64) -> [f64; 2] {
    let (middle, radius) = ((low + high) / 2.0, ((high - low) / 2.0 * margin).max(1e-3));
    [middle - radius, middle + radius]
}

/// How often the arguments of each layer fell into each part of its range.
fn histograms(graph: &Graph, samples: &[f64], layers: &[Layer]) -> Result<Vec<Vec<f64>>> {
    let observer = Observer {
        start: || vec![vec![0.0; PARTS]; layers.len()],
        observe: |counts: &mut Vec<Vec<f64>>, id: NodeId, block: Block<'_>| {
            for (layer, counts) in layers.iter().zip(counts).filter(|(layer, _)| layer.input == id) {
                block.values().for_each(|(_, value)| counts[layer.part(value)] += 1.0);
            }
        },
        merge: |mut a: Vec<Vec<f64>>, b: Vec<Vec<f64>>| {
            a.iter_mut().flatten().zip(b.iter().flatten()).for_each(|(a, b)| *a += b);
            a
        },
    };
    Ok(graph.run_observed(samples, &observer)?.1)
}

/// The search for degrees; a degree is a place in [`Layer::degrees`].
struct Search<'a> {
    graph: &'a Graph,
    samples: &'a [f64],
    /// Results of the network as it is.
    exact: Vec<f64>,
    calibration: &'a Calibration<'a>,
    layers: Vec<Layer>,
    fits: BTreeMap<(usize, usize), Approximation>,
}

impl Search<'_> {
    fn degrees(&mut self) -> Result<Vec<usize>> {
        let highest: Vec<usize> = self.layers.iter().map(|layer| layer.degrees.len() - 1).collect();
        let mut degrees = vec![0; highest.len()];
        while degrees != highest && !self.good_enough(&degrees)? {
            degrees.iter_mut().zip(&highest).for_each(|(degree, &highest)| *degree = (*degree + 1).min(highest));
        }
        if !self.good_enough(&degrees)? {
            return Ok(degrees);
        }
        for layer in (0..degrees.len()).rev() {
            while degrees[layer] > 0 {
                degrees[layer] -= 1;
                if !self.good_enough(&degrees)? {
                    degrees[layer] += 1;
                    break;
                }
            }
        }
        Ok(degrees)
    }

    /// Whether the network with these degrees is as good as it has to be.
    fn good_enough(&mut self, degrees: &[usize]) -> Result<bool> {
        let found: Vec<_> = (0..degrees.len()).map(|layer| self.approximation(layer, degrees[layer])).collect();
        let results = in_place(self.graph, &found)?.run(self.samples)?;
        Ok(self.loss(&results) <= self.calibration.loss)
    }

    /// Share of the samples lost: by their labels, or else by the classes of the network as it is.
    fn loss(&self, results: &[f64]) -> f64 {
        let columns = self.graph.output_len();
        let (found, exact) = (classes(results, columns), classes(&self.exact, columns));
        let right = |classes: &[usize], truth: &[usize]| classes.iter().zip(truth).filter(|(a, b)| a == b).count();
        let samples = exact.len().max(1) as f64;
        match self.calibration.labels {
            Some(labels) => (right(&exact, labels) as f64 - right(&found, labels) as f64) / samples,
            None => 1.0 - right(&found, &exact) as f64 / samples,
        }
    }

    fn approximation(&mut self, layer: usize, degree: usize) -> Approximation {
        let Layer { id, name, function, shape, range, histogram, degrees, .. } = &self.layers[layer];
        let made = || Approximation {
            node: id.0,
            name: name.clone(),
            function: function.name().to_owned(),
            fit: fit(&|x| function.eval(x), *range, (*shape, degrees[degree]), histogram),
        };
        self.fits.entry((layer, degree)).or_insert_with(made).clone()
    }
}

/// The graph with polynomials for activations and no other change, so that numbers of nodes stay.
fn in_place(graph: &Graph, approximations: &[Approximation]) -> Result<Graph> {
    let mut nodes = graph.nodes().to_vec();
    for found in approximations {
        nodes[found.node].op = Op::Activation(polynomial(&found.fit));
    }
    Graph::new(nodes, graph.output())
}

/// The class of each sample: its largest result; with a single result, whether it is positive.
fn classes(results: &[f64], columns: usize) -> Vec<usize> {
    let class = |row: &[f64]| match row {
        [score] => usize::from(*score > 0.0),
        _ => row.iter().enumerate().fold(0, |best, (i, x)| if *x > row[best] { i } else { best }),
    };
    results.chunks(columns).map(class).collect()
}
