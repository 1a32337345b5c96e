//! The precision and the tolerance that are asked for, and what samples have.

use super::*;
use crate::data::write_outputs;
use crate::graph::{Activation, NodeId, Op};
use crate::lower::networks::{activation, map, node};

/// A polynomial of three features that is steepest at 1, near which all samples lie.
fn steep() -> (tempfile::TempDir, Dataset, Graph) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.csv");
    let values: Vec<f64> = (0..120).map(|i| 1.0 - f64::from(i % 7) / 70.0).collect();
    write_outputs(&path, &values, 3, vec![]).unwrap();
    let cubic = activation(&[0.0, 0.125, 0.0, 0.5]);
    let graph = Graph::new(vec![node(Op::Input, &[], 3), node(cubic, &[0], 3)], NodeId(1)).unwrap();
    let samples = Dataset::read(&path).unwrap();
    (folder, samples, graph)
}

#[test]
fn a_precision_that_samples_do_not_have_is_refused_with_the_one_that_they_have() {
    let (_folder, samples, graph) = steep();
    let costs = CostModel::nominal(2);
    let found = |precision_bits: Option<f64>| {
        let goal = Goal { precision_bits, interleave: Some(8), samples: Some(8), ..Goal::default() };
        let found = precise(&graph, &[1.0, 0.625], &goal, &costs, &samples);
        found.map(|(planned, errors)| errors.precision_bits(24, planned.trace.flooding))
    };
    let (mut kept, mut refused) = (10.0, 80.0);
    assert!(found(Some(kept)).unwrap() >= kept && found(Some(refused)).is_err());
    let mut reachable = None;
    while refused - kept > 0.25 {
        let bits = f64::midpoint(kept, refused);
        match found(Some(bits)) {
            Ok(has) => {
                assert!(has >= bits);
                kept = bits;
            }
            Err(Error::Plan(PlanError::Unreached { wanted, bits: reached })) => {
                assert!(wanted == bits && reached < bits);
                (refused, reachable) = (bits, Some(reached));
            }
            Err(_) => refused = bits,
        }
    }
    // What is named as reachable is.
    assert!(found(reachable.map(|reached| reached - 0.25)).is_ok(), "{kept} {reachable:?}");
    assert!(reachable.is_some());
    // Without a goal of one's own, samples have what typical values are held to, but for a little.
    let relative = Goal::default().bits(0.625 * Goal::default().margin);
    assert!(found(None).unwrap() >= relative - Goal::SLACK_BITS);
}

#[test]
fn samples_that_overflow_are_told_from_the_others() {
    let square = activation(&[0.0, 0.0, 1.0]);
    let graph = Graph::new(vec![node(Op::Input, &[], 2), node(square, &[0], 2)], NodeId(1)).unwrap();
    let view = View { simplified: &graph, friendly: &graph, approximations: &[], plan: None };
    let seen = view.look(&[1.0, 2.0, 3.0, 1e200, -4.0, 0.0, 1e200, 1e200]).unwrap();
    assert_eq!(numbers(&seen.left_out), [1, 3]);
    assert!(seen.left_out[0].value.is_infinite() && seen.left_out[0].node == graph.node(NodeId(1)).name);
    assert!(seen.left_out[0].to_string().starts_with("sample 1 has inf at node "), "{}", seen.left_out[0]);
    assert_eq!((seen.results, seen.magnitudes), (vec![1.0, 4.0, 16.0, 0.0], vec![4.0, 16.0]));
    let refused = |most| few(&seen.left_out, 4, most, std::path::Path::new("x.npy"));
    assert!(refused(50.0).is_ok());
    assert!(matches!(refused(49.0), Err(Error::OutOfRange { found: 2, n: 4, most: 49.0, .. })));
}

#[test]
fn a_tolerance_is_kept_by_polynomials_and_by_encryption_or_refused_with_what_can_be_had() {
    let (_folder, samples, _) = steep();
    let sigmoid = Op::Activation(Activation::Sigmoid);
    let graph = Graph::new(vec![node(Op::Input, &[], 3), node(sigmoid, &[0], 3)], NodeId(1)).unwrap();
    let found = |tolerance: f64| {
        let goal = Goal {
            tolerance: Some(tolerance),
            max_degree: 4,
            interleave: Some(8),
            samples: Some(8),
            ..Goal::default()
        };
        let Calibrated { approximations, loss } = approximations(&graph, &samples, (false, None), &goal)?;
        assert!(matches!(loss, Loss::Values(error) if error <= tolerance), "{loss:?}");
        let friendly = he_friendly(&graph, &MergeRule::default(), &approximations).unwrap();
        let approximations = &approximations;
        let view = View { simplified: &graph, friendly: &friendly, approximations, plan: None };
        let magnitudes = view.look(&samples.to_f64())?.magnitudes;
        let (planned, errors) = precise(&friendly, &magnitudes, &goal, &CostModel::nominal(2), &samples)?;
        assert!(errors.precision_bits(24, planned.trace.flooding) >= -tolerance.log2());
        Ok(approximations[0].fit.degree())
    };
    assert!(found(1e-2).unwrap() < found(1e-8).unwrap());
    let Err(Error::Tolerance { error, tolerance: 1e-15, degree: 4 }) = found(1e-15) else { panic!("not refused") };
    assert!(error > 1e-15 && error < 1e-8, "{error}");
}

#[test]
fn results_that_are_the_same_for_every_sample_are_refused() {
    let (_folder, samples, _) = steep();
    let nodes = vec![node(Op::Input, &[], 3), node(map(2, 3, 0, 1), &[0], 2)];
    let graph = Graph::new(nodes, NodeId(1)).unwrap();
    let error = precise(&graph, &[1.0, 0.5], &Goal::default(), &CostModel::nominal(2), &samples).unwrap_err();
    assert!(matches!(&error, Error::SameResults { node } if node == "affine of 2"), "{error}");
}
