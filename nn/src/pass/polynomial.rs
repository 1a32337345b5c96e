//! Sums and products of polynomials of one tensor are a polynomial of it: x ⊙ x is x², and 0.1 x ⊙ x + 0.5 x + 0.2, which a
//! model spells out in five nodes, is one activation.

use super::{map_of, push, rebuild};
use crate::error::Result;
use crate::graph::{Activation, AffineMap, Graph, NodeId, Op};

/// Beyond this degree a product of polynomials is left as it is: its coefficients would lose the precision of the factors.
const MAX_DEGREE: usize = 31;

/// How many tensors are kept that one is a polynomial of: a chain of scalings is gathered piece by piece.
const MAX_KNOWN: usize = 64;

/// A tensor as p(x) of another node's tensor x.
#[derive(Clone)]
struct Poly {
    of: NodeId,
    coefficients: Vec<f64>,
}

/// Makes each sum and product of polynomials of one tensor a polynomial of that tensor.
///
/// # Errors
/// Those of [`Graph::new`], which a graph that was accepted cannot raise.
pub fn gather_polynomials(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    let maps_read_it = |id: NodeId| {
        let readers = &readers[id.0];
        !readers.is_empty() && readers.iter().all(|reader| map_of(graph.node(*reader)).is_some())
    };
    // A scaling between a map and a polynomial goes into that map, and leaves the polynomial as simple as it was.
    let folds_back = |id: NodeId| {
        let input = graph.node(id).inputs[0];
        map_of(graph.node(input)).is_some() && readers[input.0].len() == 1
    };
    // All that is known of each node, from itself to the tensors farthest back.
    let mut known: Vec<Vec<Poly>> = Vec::with_capacity(graph.nodes().len());
    rebuild(graph, |nodes, id, mut node| {
        let input = |i: usize| &known[node.inputs[i].0];
        let polys: Vec<Poly> = match &node.op {
            Op::Activation(Activation::Polynomial(p)) => input(0).iter().filter_map(|q| after(p, q)).collect(),
            Op::Affine(map) if !folds_back(id) => match uniform(map) {
                Some(p) => input(0).iter().filter_map(|q| after(&p, q)).collect(),
                None => vec![],
            },
            Op::Add => same(input(0), input(1), add),
            Op::Mul => same(input(0), input(1), multiply),
            Op::Affine(_) | Op::Input | Op::Activation(_) => vec![],
        };
        // A scaling behind a polynomial goes into the map behind it, if there is one, at no cost at all.
        let scaling = map_of(&node).is_some() && maps_read_it(id);
        if let Some(poly) = simplest(&polys).filter(|_| !scaling) {
            let coefficients = poly.coefficients[..=degree(&poly.coefficients)].to_vec();
            node.op = Op::Activation(Activation::Polynomial(coefficients));
            node.inputs = vec![poly.of];
        }
        let own = Poly { of: NodeId(nodes.len()), coefficients: vec![0.0, 1.0] };
        known.push(std::iter::once(own).chain(polys).take(MAX_KNOWN).collect());
        Ok(push(nodes, node))
    })
}

/// Of the polynomials that a tensor is, nearest first, the nearest that is no mere scaling; or one of the same degree farther
/// back, which has taken up a scaling on the way.
fn simplest(polys: &[Poly]) -> Option<&Poly> {
    let nearest = polys.iter().map(|poly| degree(&poly.coefficients)).find(|&degree| degree >= 2)?;
    polys.iter().rev().find(|poly| degree(&poly.coefficients) == nearest)
}

/// p(q(x)), if p or q only scales and shifts: a composition of others needs fewer products as it is.
fn after(p: &[f64], q: &Poly) -> Option<Poly> {
    if degree(p) > 1 && degree(&q.coefficients) > 1 {
        return None;
    }
    let coefficients = p.iter().rev().fold(vec![], |sum, &c| add(&multiply(&sum, &q.coefficients), &[c]));
    Some(Poly { of: q.of, coefficients })
}

/// p(x) + q(x) or p(x) q(x), for each x that both are polynomials of.
fn same(p: &[Poly], q: &[Poly], combine: fn(&[f64], &[f64]) -> Vec<f64>) -> Vec<Poly> {
    let both = p.iter().filter_map(|p| Some((p, q.iter().find(|q| q.of == p.of)?)));
    let combined = both.map(|(p, q)| Poly { of: p.of, coefficients: combine(&p.coefficients, &q.coefficients) });
    combined.filter(|poly| degree(&poly.coefficients) <= MAX_DEGREE).collect()
}

/// The coefficients of a map that does the same to every feature: a x + b.
pub(super) fn uniform(map: &AffineMap) -> Option<Vec<f64>> {
    let (b, a) = (*map.bias.first()?, map.matrix.row(0).first()?.1);
    let same_bias = map.bias.iter().all(|&c| c == b);
    let square = map.input_len() == map.output_len();
    let rows = map.matrix.iter_rows().enumerate();
    let scaled = square && rows.into_iter().all(|(r, row)| row == [(r as u32, a)]);
    (same_bias && scaled).then(|| vec![b, a])
}

fn degree(p: &[f64]) -> usize {
    p.iter().rposition(|&c| c != 0.0).unwrap_or(0)
}

fn add(p: &[f64], q: &[f64]) -> Vec<f64> {
    let at = |p: &[f64], i: usize| p.get(i).copied().unwrap_or(0.0);
    (0..p.len().max(q.len())).map(|i| at(p, i) + at(q, i)).collect()
}

fn multiply(p: &[f64], q: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; (p.len() + q.len()).saturating_sub(1)];
    for (i, a) in p.iter().enumerate() {
        q.iter().enumerate().for_each(|(j, b)| product[i + j] += a * b);
    }
    product
}
