//! Where each tensor of a graph lies, and how each of its affine maps is computed there: all of a program that does not
//! depend on levels and scales.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::graph::{AffineMap, Graph, Node, NodeId, Op, SparseMatrix};
use crate::layout::{KeyPrice, Keys, Layout};
use crate::program::{LinearMap, LinearOperator, ProgramError};

/// A layout for the tensor of each node that the output depends on.
///
/// Tensors that meet feature by feature must share one. So the nodes fall into classes: an affine map may put its results
/// anywhere, and begins a class or joins that of the branch it will be added to; all other operations stay in the class of
/// their operands. The first affine map of a class chooses its layout ([`Layout::of_outputs`]), and for that of the input, which the data
/// owner packs in any way, the maps that read it ([`Layout::of_input`]).
#[derive(Debug, Clone)]
pub struct Packing {
    price: KeyPrice,
    nodes: Vec<Option<Packed>>,
}

#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub(super) layout: Arc<Layout>,
    /// Of an affine node.
    pub(super) linear: Option<Arc<LinearMap>>,
}

impl Packing {
    /// The packing of `graph` with `interleave` samples side by side in ciphertexts of `slots` slots, whose affine maps pay a price for
    /// keys.
    ///
    /// # Errors
    /// [`ProgramError::Layout`] unless `interleave` is a power of two and divides `slots`.
    pub fn new(graph: &Graph, slots: usize, interleave: usize, price: KeyPrice) -> Result<Self, ProgramError> {
        let live = live(graph);
        let class = classes(graph, &live);
        let mut layouts: Vec<Option<Arc<Layout>>> = vec![None; class.len()];
        let of_input = class[graph.input().0];
        let readers: Vec<&SparseMatrix> = readers(graph, |id| live[id] && class[id] == of_input).collect();
        let input = Layout::of_input(slots, interleave, graph.input_len(), &readers, price)?;
        layouts[of_input] = Some(Arc::new(input));
        for (NodeId(index), node) in graph.iter().filter(|(id, _)| live[id.0]) {
            if let (Op::Affine(map), None) = (&node.op, &layouts[class[index]])
                && let Some(source) = &layouts[class[node.inputs[0].0]]
            {
                layouts[class[index]] = Some(Arc::new(Layout::of_outputs(&map.matrix, source, price)?));
            }
        }
        let layout = |index: usize| layouts[class[index]].as_ref().filter(|_| live[index]);
        // One after the other: the keys that one pays for serve all that come later.
        let mut known = BTreeSet::new();
        let packed = |(index, node): (usize, &Node)| {
            let Some(output) = layout(index) else {
                return Ok(None);
            };
            let linear = |(map, input): (&Arc<AffineMap>, &Arc<Layout>)| {
                let keys = Keys { price, known: &known };
                LinearMap::new(Arc::clone(map), Arc::clone(input), Arc::clone(output), keys)
            };
            let map =
                if let Op::Affine(map) = &node.op { layout(node.inputs[0].0).map(|input| (map, input)) } else { None };
            let linear = map.map(linear).transpose()?;
            if let Some(LinearOperator::Diagonals(plan)) = linear.as_ref().map(LinearMap::operator) {
                known.extend(plan.rotations());
            }
            Ok(Some(Packed { layout: Arc::clone(output), linear: linear.map(Arc::new) }))
        };
        let nodes = graph.nodes().iter().enumerate().map(packed).collect::<Result<_, ProgramError>>()?;
        Ok(Self { price, nodes })
    }

    /// The same packing with `interleave` samples at each position for every one that there was, in ciphertexts of as many times the slots.
    #[must_use]
    pub fn interleaved(&self, interleave: usize) -> Self {
        let packed = |packed: &Packed| Packed {
            layout: Arc::new(packed.layout.interleaved(interleave)),
            linear: packed.linear.as_ref().map(|linear| Arc::new(linear.interleaved(interleave))),
        };
        Self { price: self.price, nodes: self.nodes.iter().map(|node| node.as_ref().map(packed)).collect() }
    }

    /// The layout of a node's tensor; none if the output does not depend on it.
    pub fn layout(&self, id: NodeId) -> Option<&Arc<Layout>> {
        Some(&self.get(id)?.layout)
    }

    /// How its affine maps come by their rotations.
    pub fn price(&self) -> KeyPrice {
        self.price
    }

    /// Whether ciphertexts hold one feature each, so that linear maps rotate nothing.
    pub fn has_one_feature(&self) -> bool {
        self.nodes.iter().flatten().all(|packed| packed.layout.positions_per_ciphertext() == 1)
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Packed> {
        self.nodes.get(id.0)?.as_ref()
    }
}

/// Of each node, whether the output depends on it; the input counts.
fn live(graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; graph.nodes().len()];
    live[graph.input().0] = true;
    live[graph.output().0] = true;
    for (index, node) in graph.nodes().iter().enumerate().rev() {
        for input in &node.inputs {
            live[input.0] |= live[index];
        }
    }
    live
}

/// The matrices that read one of these nodes.
fn readers(graph: &Graph, of: impl Fn(usize) -> bool) -> impl Iterator<Item = &SparseMatrix> {
    graph.nodes().iter().filter_map(move |node| match &node.op {
        Op::Affine(map) if node.inputs.iter().any(|input| of(input.0)) => Some(&map.matrix),
        _ => None,
    })
}

/// Of each node, the smallest node of its class.
fn classes(graph: &Graph, live: &[bool]) -> Vec<usize> {
    let mut class: Vec<usize> = (0..live.len()).collect();
    for (NodeId(index), node) in graph.iter().filter(|(id, _)| live[id.0]) {
        if !matches!(node.op, Op::Affine(_)) {
            for input in &node.inputs {
                merge(&mut class, index, input.0);
            }
        }
    }
    class
}

fn merge(class: &mut [usize], a: usize, b: usize) {
    let (low, high) = (class[a].min(class[b]), class[a].max(class[b]));
    class.iter_mut().filter(|c| **c == high).for_each(|c| *c = low);
}
