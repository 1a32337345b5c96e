//! Which polynomial stands for which activation: ranges and distributions from sample data, degrees from the accuracy that they cost.
//!
//! The range of an activation is what its arguments took over all samples, with a margin. Degrees are chosen greedily, on the network in the
//! clear: from the lowest, all activations rise together until the network loses little enough, of its classes or of its values; then, as long as that stays true, one after the other is
//! lowered, in two ways: the one that costs the least, or the one that saves the most work. What comes to less work is taken. What a network
//! loses is measured in `Judge`.

use std::collections::BTreeMap;

use super::approximate::{Approximation, in_place};
use super::bias::mean_errors;
use super::judge::{Judge, Loss};
use super::outside::{Polynomial, beyond};
use crate::approx::{Shape, fit};
use crate::error::{Error, Result};
use crate::graph::{Activation, Block, Graph, Node, NodeId, Observer, Op, Range};

/// Parts of a range that a histogram counts.
const PARTS: usize = 512;
/// Multiplications in the clear that one measurement of the network may take.
const WORK: usize = 2_000_000_000;
/// Most samples that a measurement takes.
const SAMPLES: usize = 4096;
/// A network that loses by this factor more than it may on one of so many parts of the samples is not measured on the others.
const CERTAIN: f64 = 2.0;
const FEW: usize = 4;

/// What degrees are chosen by.
#[derive(Debug, Clone, Copy)]
pub struct Calibration<'a> {
    /// [n, features] values.
    pub samples: &'a [f64],
    /// The class of each sample, if known.
    pub labels: Option<&'a [usize]>,
    /// Factor from the ranges that the samples took to those that are fitted.
    pub margin: f64,
    /// What the network may lose.
    pub loss: Loss,
    /// The largest degree allowed; what is taken, too, where no degree worth trying lies between.
    pub max_degree: usize,
}

/// What calibration comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// A polynomial for each activation that is none.
    pub approximations: Vec<Approximation>,
    /// What the network is expected to lose by them; more than asked for if the largest degrees are too small.
    pub loss: Loss,
}

/// Polynomials for the activations of a simplified graph.
///
/// # Errors
/// [`Error::Approximation`] for a function that is not finite on its range; [`Error::SampleLength`].
pub fn calibrate(graph: &Graph, calibration: &Calibration<'_>) -> Result<Calibrated> {
    let (results, ranges) = graph.run_with_ranges(calibration.samples)?;
    let weights = super::weights(graph).max(1);
    let count = (WORK / weights).clamp(64, SAMPLES).min(calibration.samples.len() / graph.input_len());
    let samples = &calibration.samples[..count * graph.input_len()];
    let mut layers = Vec::new();
    for (id, node) in graph.iter() {
        if let Op::Activation(activation) = &node.op
            && !activation.is_polynomial()
        {
            layers.push(Layer::new((id, node), activation, &ranges, calibration)?);
        }
    }
    let histograms = histograms(graph, samples, &layers)?;
    let mut polynomials: Vec<_> =
        layers.iter().zip(&histograms).map(|(layer, h)| layer.polynomials((h, count))).collect();
    let candidates = layers.iter().zip(&polynomials).map(|(layer, found)| (&layer.function, layer.input, &found[..]));
    let errors = mean_errors(graph, samples, &candidates.collect::<Vec<_>>())?;
    polynomials.iter_mut().flatten().zip(errors.into_iter().flatten()).for_each(|(p, errors)| p.mean_errors = errors);
    let judge =
        Judge::new(calibration.loss, &results[..count * graph.output_len()], graph.output_len(), calibration.labels);
    let mut search = Search { graph, samples, judge, calibration, layers, polynomials, losses: BTreeMap::new() };
    let (degrees, loss) = search.degrees()?;
    Ok(Calibrated { approximations: search.approximations(&degrees), loss: calibration.loss.of(loss) })
}

/// An activation to be approximated.
struct Layer {
    id: NodeId,
    name: String,
    input: NodeId,
    function: Activation,
    shape: Shape,
    range: [f64; 2],
    features: usize,
    /// Those worth trying.
    degrees: Vec<usize>,
}

impl Layer {
    fn new(
        (id, node): (NodeId, &Node),
        function: &Activation,
        ranges: &[Range],
        calibration: &Calibration<'_>,
    ) -> Result<Self> {
        let wrong = |problem: String| Error::Approximation { node: node.name.clone(), problem };
        let (input, features) = (node.inputs[0], node.len());
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
        let mut degrees: Vec<usize> = all.filter(|degree| *degree <= calibration.max_degree).collect();
        if degrees.is_empty() {
            degrees.push(calibration.max_degree);
        }
        let (name, function) = (node.name.clone(), function.clone());
        Ok(Self { id, name, input, function, shape, range, features, degrees })
    }

    /// A polynomial for each degree; of mean errors nothing is known.
    fn polynomials(&self, (histogram, samples): (&[f64], usize)) -> Vec<Approximation> {
        let made = |&degree: &usize| Approximation {
            node: self.id.0,
            name: self.name.clone(),
            function: self.function.name().to_owned(),
            fit: fit(&|x| self.function.eval(x), self.range, (self.shape, degree), (histogram, samples)),
            mean_errors: vec![0.0; self.features],
        };
        self.degrees.iter().map(made).collect()
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
    judge: Judge,
    calibration: &'a Calibration<'a>,
    layers: Vec<Layer>,
    /// Of each layer, one for each of its degrees.
    polynomials: Vec<Vec<Approximation>>,
    /// What has been measured.
    losses: BTreeMap<Vec<usize>, f64>,
}

impl Search<'_> {
    /// The degrees, and what they lose.
    fn degrees(&mut self) -> Result<(Vec<usize>, f64)> {
        let limit = self.limit();
        let highest: Vec<usize> = self.layers.iter().map(|layer| layer.degrees.len() - 1).collect();
        let mut degrees = vec![0; highest.len()];
        while self.loss(&degrees)? > limit && degrees != highest {
            degrees.iter_mut().zip(&highest).for_each(|(degree, &highest)| *degree = (*degree + 1).min(highest));
        }
        let by_loss = self.lowered(&degrees, |loss, _| loss)?;
        let by_work = self.lowered(&degrees, |_, work| work)?;
        let degrees = if self.work(&by_work) < self.work(&by_loss) { by_work } else { by_loss };
        let loss = self.loss(&degrees)?;
        Ok((degrees, loss))
    }

    /// One degree after the other is lowered as long as the network does not lose too much: of those that can be, the one with the least `price`,
    /// made of the loss and the work that are left.
    fn lowered(&mut self, from: &[usize], price: impl Fn(f64, f64) -> f64) -> Result<Vec<usize>> {
        let (limit, mut degrees) = (self.limit(), from.to_vec());
        // Who cannot be lowered now cannot be when others are.
        let mut open: Vec<usize> = (0..degrees.len()).collect();
        if self.loss(&degrees)? > limit {
            return Ok(degrees);
        }
        loop {
            open.retain(|&layer| degrees[layer] > 0);
            let mut prices = Vec::new();
            for &layer in &open {
                degrees[layer] -= 1;
                let loss = self.loss(&degrees)?;
                if loss <= limit {
                    prices.push((price(loss, self.work(&degrees)), layer));
                }
                degrees[layer] += 1;
            }
            let Some(&(_, layer)) = prices.iter().min_by(|(a, _), (b, _)| a.total_cmp(b)) else {
                return Ok(degrees);
            };
            degrees[layer] -= 1;
            open = prices.into_iter().map(|(_, layer)| layer).collect();
        }
    }

    /// Work of the encrypted network, roughly and in no unit: products of a layer, each as much as the square of the levels that are still to come. The
    /// last one counts half, since what follows is mostly linear, and has fewer results to be relinearised.
    fn work(&self, degrees: &[usize]) -> f64 {
        let (mut work, mut levels) = (0.0, 1.0);
        for (layer, &degree) in self.layers.iter().zip(degrees).rev() {
            let products = f64::from((2 * layer.degrees[degree] - 1).ilog2());
            levels += 1.0 + products;
            work += layer.features as f64 * (products - 0.5).max(0.0) * levels * levels;
        }
        work
    }

    /// What the network may lose.
    fn limit(&self) -> f64 {
        self.calibration.loss.value()
    }

    /// What the network loses with these degrees.
    fn loss(&mut self, degrees: &[usize]) -> Result<f64> {
        if let Some(&loss) = self.losses.get(degrees) {
            return Ok(loss);
        }
        let loss = self.measured_loss(degrees)?;
        self.losses.insert(degrees.to_vec(), loss);
        Ok(loss)
    }

    fn measured_loss(&self, degrees: &[usize]) -> Result<f64> {
        let found = self.approximations(degrees);
        let graph = in_place(self.graph, &found)?;
        let few = self.samples.len() / graph.input_len() / FEW * graph.input_len();
        let (mut results, ranges) = graph.run_with_ranges(&self.samples[..few])?;
        let loss = self.judge.loss(&results);
        if loss > CERTAIN * self.limit() {
            return Ok(loss);
        }
        if self.fails(&found, &ranges) {
            return Ok(self.calibration.loss.everything());
        }
        let (others, ranges) = graph.run_with_ranges(&self.samples[few..])?;
        if self.fails(&found, &ranges) {
            return Ok(self.calibration.loss.everything());
        }
        results.extend(others);
        Ok(self.judge.loss(&results))
    }

    /// Whether an argument lies so far outside of a range, since polynomials came before, that its own polynomial means nothing.
    fn fails(&self, found: &[Approximation], ranges: &[Range]) -> bool {
        found.iter().zip(&self.layers).any(|(found, layer)| {
            let Range { min, max } = ranges[layer.input.0];
            let outside: Vec<f64> = [min, max].into_iter().filter(|&x| beyond(found.fit.range, x) > 0.0).collect();
            !outside.is_empty() && {
                let polynomial = Polynomial::new(&layer.function, &found.fit);
                outside.into_iter().any(|x| polynomial.is_useless(polynomial.error(x)))
            }
        })
    }

    fn approximations(&self, degrees: &[usize]) -> Vec<Approximation> {
        self.polynomials.iter().zip(degrees).map(|(polynomials, &degree)| polynomials[degree].clone()).collect()
    }
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
