//! What a network may lose by polynomials: of its classes, or of its values where results are such.

use crate::error::Result;
use crate::graph::{Graph, Head};
use crate::pass::Loss;

/// What the results of `graph` may lose. They are values if somebody says what those may be off by, and if they do not look like scores of classes and no
/// labels say that they are: then those of `samples` show how much they vary.
///
/// # Errors
/// Those of [`Graph::run`].
pub(super) fn allowed(graph: &Graph, samples: &[f64], labelled: bool, tolerance: Option<f64>) -> Result<Loss> {
    Ok(match tolerance {
        Some(tolerance) => Loss::Values(tolerance),
        None if labelled || !are_values(graph) => Loss::DEFAULT,
        None => Loss::Values((Loss::SHARE * variance(&graph.run(samples)?, graph.output_len())).sqrt()),
    })
}

/// Images and sequences, a single result that becomes no probability, and more than two that become one each.
fn are_values(graph: &Graph) -> bool {
    match graph.head() {
        Head::Softmax(_) | Head::LogSoftmax(_) | Head::ArgMax(_) => false,
        Head::Sigmoid => graph.output_len() > 2,
        Head::Identity => graph.output_shape().iter().filter(|&&length| length > 1).count() != 1,
    }
}

/// The mean variance of [n, columns] results over the samples.
fn variance(results: &[f64], columns: usize) -> f64 {
    let samples = (results.len() / columns).max(1) as f64;
    let mean = |column: usize| results.iter().skip(column).step_by(columns).sum::<f64>() / samples;
    let means: Vec<f64> = (0..columns).map(mean).collect();
    let squares = results.iter().zip(means.iter().cycle()).map(|(result, mean)| (result - mean).powi(2));
    squares.sum::<f64>() / results.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{HeadAxis, Node, NodeId, Op};

    #[test]
    fn results_are_classes_or_values_by_their_shape_and_what_is_done_to_them() {
        let kind = |shape: &[usize], head: Head| {
            let input = Node { name: "x".into(), op: Op::Input, inputs: vec![], shape: shape.to_vec() };
            let graph = Graph::new(vec![input], NodeId(0)).unwrap().with_head(head).unwrap();
            matches!(allowed(&graph, &vec![0.0; graph.output_len()], false, None).unwrap(), Loss::Values(_))
        };
        assert!(kind(&[1], Head::Identity) && kind(&[2, 3], Head::Identity) && kind(&[4], Head::Sigmoid));
        assert!(!kind(&[4], Head::Identity) && !kind(&[4, 1, 1], Head::Identity));
        assert!(!kind(&[1], Head::Sigmoid) && !kind(&[2], Head::Sigmoid));
        assert!(!kind(&[4], Head::Softmax(HeadAxis { length: 4, inner: 1 })));
    }

    #[test]
    fn values_may_be_off_by_a_share_of_their_spread() {
        let input = Node { name: "x".into(), op: Op::Input, inputs: vec![], shape: vec![2, 2] };
        let graph = Graph::new(vec![input], NodeId(0)).unwrap();
        let results = [1.0, 5.0, 7.0, 100.0, 3.0, 5.0, 7.0, 104.0];
        let loss = |labelled, tolerance| allowed(&graph, &results, labelled, tolerance).unwrap();
        // Variances of 1, 0, 0 and 4.
        assert_eq!(loss(false, None), Loss::Values((Loss::SHARE * 1.25).sqrt()));
        assert_eq!((loss(true, None), loss(true, Some(2.0))), (Loss::DEFAULT, Loss::Values(2.0)));
    }
}
