//! Calibration of small networks: what is chosen, what lies outside, and what is refused.

use std::sync::Arc;

use super::*;
use crate::approx::Fit;
use crate::graph::{AffineMap, SparseMatrix};
use crate::lower::networks::{map, node, samples};
use crate::pass::{MergeRule, Outside, approximate, he_friendly, outside, simplify};

fn network(activation: Activation) -> Graph {
    let nodes = vec![
        node(Op::Input, &[], 8),
        node(map(16, 8, 100, 1), &[0], 16),
        node(Op::Activation(activation.clone()), &[1], 16),
        node(map(12, 16, 100, 2), &[2], 12),
        node(Op::Activation(activation), &[3], 12),
        node(map(4, 12, 100, 3), &[4], 4),
    ];
    Graph::new(nodes, NodeId(5)).unwrap()
}

fn calibration(samples: &[f64]) -> Calibration<'_> {
    Calibration { samples, labels: None, margin: 1.25, loss: Loss::DEFAULT, max_degree: 32 }
}

#[test]
fn a_network_keeps_its_classes_with_the_lowest_degrees_that_do() {
    let data = samples(500, 8);
    for activation in [Activation::Relu, Activation::Tanh, Activation::Silu] {
        let graph = network(activation);
        let Calibrated { approximations: found, loss } = calibrate(&graph, &calibration(&data)).unwrap();
        let friendly = he_friendly(&graph, &MergeRule::default(), &found).unwrap();
        let judge = Judge::new(Loss::DEFAULT, &graph.run(&data).unwrap(), 4, None);
        let lost = judge.loss(&friendly.run(&data).unwrap());
        assert!(lost <= Loss::DEFAULT.value() && (lost - loss.value()).abs() < 1e-9, "{lost}, not {loss:?}");
        // Folded into the maps around them, polynomials are all that is left.
        assert_eq!(friendly.nodes().len(), graph.nodes().len());
        // With either degree lower, more would be lost.
        for layer in (0..2).filter(|&layer| found[layer].fit.degree() > 2) {
            // Nothing is good enough for it, so the highest are taken.
            let max_degree = found[layer].fit.degree() - 1;
            let loss = Loss::Classes(-1.0);
            let lower =
                calibrate(&graph, &Calibration { max_degree, loss, ..calibration(&data) }).unwrap().approximations;
            assert!(lower[layer].fit.degree() <= max_degree);
            let mut found = found.clone();
            found[layer] = lower[layer].clone();
            let friendly = he_friendly(&graph, &MergeRule::default(), &found).unwrap();
            assert!(judge.loss(&friendly.run(&data).unwrap()) > Loss::DEFAULT.value());
        }
    }
}

#[test]
fn values_are_held_to_a_tolerance() {
    let (data, graph) = (samples(500, 8), network(Activation::Silu));
    let exact = graph.run(&data).unwrap();
    let degrees = |tolerance: f64| {
        let loss = Loss::Values(tolerance);
        let Calibrated { approximations: found, loss } =
            calibrate(&graph, &Calibration { loss, ..calibration(&data) }).unwrap();
        let friendly = he_friendly(&graph, &MergeRule::default(), &found).unwrap().run(&data).unwrap();
        let squares = exact.iter().zip(&friendly).map(|(a, b)| (a - b).powi(2));
        let error = (squares.sum::<f64>() / exact.len() as f64).sqrt();
        assert!(error <= tolerance && (loss.value() - error).abs() < 1e-9 * error, "{loss:?}, {error}");
        found.iter().map(|found| found.fit.degree()).collect::<Vec<_>>()
    };
    let (coarse, fine) = (degrees(0.1), degrees(1e-5));
    assert!(coarse.iter().zip(&fine).all(|(coarse, fine)| coarse < fine), "{coarse:?} {fine:?}");
}

#[test]
fn labels_count_where_there_are_any() {
    let data = samples(500, 8);
    let graph = network(Activation::Relu);
    // With labels that nothing gets right, nothing can be lost.
    let wrong: Vec<usize> = vec![9; 500];
    let found = calibrate(&graph, &Calibration { labels: Some(&wrong), ..calibration(&data) }).unwrap().approximations;
    assert_eq!(found.iter().map(|found| found.fit.degree()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn biases_keep_the_means_of_results() {
    let data = samples(500, 8);
    // The activation is read by a map through a sum.
    let nodes = vec![
        node(Op::Input, &[], 8),
        node(map(16, 8, 100, 1), &[0], 16),
        node(Op::Activation(Activation::Relu), &[1], 16),
        node(Op::Add, &[1, 2], 16),
        node(map(4, 16, 100, 2), &[3], 4),
    ];
    let graph = Graph::new(nodes, NodeId(4)).unwrap();
    let found = calibrate(&graph, &Calibration { max_degree: 2, ..calibration(&data) }).unwrap().approximations;
    let means = |graph: &Graph| {
        let results = graph.run(&data).unwrap();
        (0..4).map(move |column| results.iter().skip(column).step_by(4).sum::<f64>() / 500.0).collect::<Vec<_>>()
    };
    let shift = |found: &[Approximation]| {
        let friendly = he_friendly(&graph, &MergeRule::default(), found).unwrap();
        means(&friendly).iter().zip(means(&graph)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(shift(&found) < 1e-9);
    let mut without = found.clone();
    without[0].mean_errors.fill(0.0);
    assert!(shift(&without) > 1e-3);
    // Whoever sums them.
    let threads = |count| rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
    let again = |count| threads(count).install(|| calibrate(&graph, &calibration(&data)).unwrap());
    assert_eq!(again(1), again(3));
}

#[test]
fn what_lies_outside_is_named() {
    let data = samples(200, 8);
    let graph = network(Activation::Relu);
    let found = calibrate(&graph, &calibration(&data)).unwrap().approximations;
    assert_eq!(outside(&graph, &found, &data).unwrap(), []);
    let mut far = data.clone();
    far[150 * 8..151 * 8].iter_mut().for_each(|value| *value *= 6.0);
    far[30 * 8..31 * 8].iter_mut().for_each(|value| *value *= 3.0);
    let outside = outside(&graph, &found, &far).unwrap();
    // Whatever lies in the same block.
    let mut samples: Vec<usize> = outside.iter().map(|found| found.sample).collect();
    samples.dedup();
    assert_eq!(samples, [30, 150]);
    let [low, high] = found[0].fit.range;
    let firsts: Vec<&Outside> = outside.iter().filter(|found| found.approximation == 0).collect();
    for first in &firsts {
        assert!(first.values > 0 && (first.argument < low || first.argument > high));
        assert!(first.error > found[0].fit.max_error);
        assert_eq!(first.is_useless, first.error > high);
    }
    assert!(firsts.iter().any(|found| found.is_useless));
    let mut both = firsts[0].clone();
    both.join(firsts[firsts.len() - 1], found[0].fit.range);
    assert_eq!((both.sample, both.values), (150, firsts.iter().map(|found| found.values).sum::<usize>()));
}

#[test]
fn polynomials_keep_what_follows_within_its_range() {
    // max(x, 0) max(−x, 0) is zero, and far from it if polynomials of degree 2 stand for both. The class never changes.
    let line = |slope: f64| Op::Affine(Arc::new(AffineMap::linear(SparseMatrix::diagonal(&[slope]).unwrap())));
    let relu = || Op::Activation(Activation::Relu);
    let results = SparseMatrix::from_triplets(2, 1, [(0, 0, 1.0)]).unwrap();
    let nodes = vec![
        node(Op::Input, &[], 1),
        node(relu(), &[0], 1),
        node(line(-1.0), &[0], 1),
        node(relu(), &[2], 1),
        node(Op::Mul, &[1, 3], 1),
        node(line(100.0), &[4], 1),
        node(Op::Add, &[0, 5], 1),
        node(relu(), &[6], 1),
        node(Op::Affine(Arc::new(AffineMap::new(results, vec![0.0, 100.0]).unwrap())), &[7], 2),
    ];
    let graph = Graph::new(nodes, NodeId(8)).unwrap();
    let data: Vec<f64> = (-50..=50).map(|i| f64::from(i) / 50.0).collect();
    let far = |max_degree| {
        let Calibrated { approximations, loss } =
            calibrate(&graph, &Calibration { max_degree, ..calibration(&data) }).unwrap();
        let outside = outside(&graph, &approximations, &data).unwrap();
        (outside.iter().any(|found| found.is_useless), loss)
    };
    assert_eq!(far(2), (true, Loss::Classes(1.0)));
    assert_eq!(far(32), (false, Loss::Classes(0.0)));
}

#[test]
fn functions_without_a_polynomial_are_refused() {
    let data = samples(50, 8);
    let error = calibrate(&network(Activation::Ln), &calibration(&data)).unwrap_err();
    assert!(matches!(&error, Error::Approximation { problem, .. } if problem.contains("ln")), "{error}");
    let infinite = vec![f64::INFINITY; 8];
    let error = calibrate(&network(Activation::Relu), &calibration(&infinite)).unwrap_err();
    assert!(matches!(&error, Error::Approximation { problem, .. } if problem.contains("finite")), "{error}");
}

#[test]
fn polynomials_that_fit_no_activation_are_refused() {
    let graph = network(Activation::Relu);
    let fit = Fit { range: [-1.0, 1.0], coefficients: vec![0.0, 1.0], max_error: 0.0, rms_error: 0.0 };
    let at = |node, fit: &Fit| Approximation {
        node,
        name: "r".into(),
        function: "relu".into(),
        fit: fit.clone(),
        mean_errors: vec![0.0; 16],
    };
    assert!(approximate(&graph, &[at(2, &fit)]).is_ok());
    for wrong in [
        at(1, &fit),
        at(99, &fit),
        at(2, &Fit { range: [1.0, 1.0], ..fit.clone() }),
        at(2, &Fit { range: [f64::NAN, 1.0], ..fit.clone() }),
        at(2, &Fit { coefficients: vec![], ..fit.clone() }),
        Approximation { mean_errors: vec![0.0; 15], ..at(2, &fit) },
    ] {
        assert!(matches!(approximate(&graph, &[wrong]), Err(Error::Approximation { .. })));
    }
    let nan = Fit { coefficients: vec![f64::NAN], ..fit };
    assert!(matches!(approximate(&graph, &[at(2, &nan)]), Err(Error::WeightNotFinite { .. })));
}

#[test]
fn steps_of_one_function_get_one_polynomial() {
    // x · min(max(x / 6 + 1/2, 0), 1) behind a map, and read again behind another.
    let line = SparseMatrix::diagonal(&[1.0 / 6.0; 8]).unwrap();
    let nodes = vec![
        node(Op::Input, &[], 8),
        node(map(8, 8, 100, 1), &[0], 8),
        node(Op::Affine(Arc::new(AffineMap::new(line, vec![0.5; 8]).unwrap())), &[1], 8),
        node(Op::Activation(Activation::Relu), &[2], 8),
        node(Op::Activation(Activation::Clip(f64::NEG_INFINITY, 1.0)), &[3], 8),
        node(Op::Mul, &[1, 4], 8),
    ];
    let graph = Graph::new(nodes, NodeId(5)).unwrap();
    let simple = simplify(&graph, &MergeRule::default()).unwrap();
    let data = samples(50, 8);
    assert_eq!(simple.nodes().iter().map(|node| node.op.name()).collect::<Vec<_>>(), ["input", "affine", "function"]);
    let (a, b) = (graph.run(&data).unwrap(), simple.run(&data).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12));
}
