//! What a model spells out in several nodes, x · min(max(x / 6 + 1/2, 0), 1) or ln(1 + e^x), is one function of x: it is approximated by
//! one polynomial, not by one for each step.

use std::sync::Arc;

use super::polynomial::uniform;
use super::{map_of, push, rebuild};
use crate::error::Result;
use crate::graph::{Activation, Expression, Graph, NodeId, Op};

/// Larger expressions are left as they are.
const MAX_SIZE: usize = 64;

/// A tensor as a function of another node's tensor.
#[derive(Clone)]
struct Known {
    of: NodeId,
    expression: Expression,
}

/// Makes each chain, sum and product of functions of one tensor a function of that tensor, if a polynomial has to stand for it anyway.
///
/// # Errors
/// Those of [`Graph::new`], which a graph that was accepted cannot raise.
pub fn gather_functions(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    // A scaling behind a map that nothing else reads goes into that map.
    let folds_back = |id: NodeId| {
        let input = graph.node(id).inputs[0];
        map_of(graph.node(input)).is_some() && readers[input.0].len() == 1
    };
    let mut known: Vec<Vec<Known>> = Vec::with_capacity(graph.nodes().len());
    rebuild(graph, |nodes, id, mut node| {
        let input = |i: usize| &known[node.inputs[i].0];
        let mut functions: Vec<Known> = match &node.op {
            Op::Activation(activation) => apply(activation, input(0)),
            Op::Affine(map) if !folds_back(id) => match uniform(map) {
                Some(line) => apply(&Activation::Polynomial(line), input(0)),
                None => vec![],
            },
            Op::Add => join(input(0), input(1), Expression::Add),
            Op::Mul => join(input(0), input(1), Expression::Mul),
            Op::Affine(_) | Op::Input => vec![],
        };
        functions.retain(|known| known.expression.size() <= MAX_SIZE);
        let composite = |known: &&Known| known.expression.size() > 1 && !known.expression.is_polynomial();
        if let Some(found) = functions.iter().rev().find(composite)
            && map_of(&node).is_none()
        {
            node.op = Op::Activation(Activation::Composite(Arc::new(found.expression.clone())));
            node.inputs = vec![found.of];
        }
        let own = Known { of: NodeId(nodes.len()), expression: Expression::X };
        known.push([vec![own], functions].concat());
        Ok(push(nodes, node))
    })
}

/// f(g(x)) for each g(x) that the argument is, the nearest x first.
fn apply(activation: &Activation, argument: &[Known]) -> Vec<Known> {
    let applied = |known: &Known| Known {
        of: known.of,
        expression: Expression::Apply(activation.clone(), Box::new(known.expression.clone())),
    };
    argument.iter().map(applied).collect()
}

/// f(x) and g(x) joined, for each x that both are functions of.
fn join(f: &[Known], g: &[Known], join: fn(Box<Expression>, Box<Expression>) -> Expression) -> Vec<Known> {
    let both = f.iter().filter_map(|f| Some((f, g.iter().find(|g| g.of == f.of)?)));
    let joined = both.map(|(f, g)| Known {
        of: f.of,
        expression: join(Box::new(f.expression.clone()), Box::new(g.expression.clone())),
    });
    joined.collect()
}
