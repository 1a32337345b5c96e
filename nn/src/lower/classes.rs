//! Which tensors must share a layout: those that meet feature by feature.

use std::sync::Arc;

use crate::graph::{Graph, NodeId, Op};
use crate::layout::Layout;
use crate::program::ProgramError;

/// The nodes of a graph in classes of one layout each. An affine map may put its results anywhere, so it begins a class or
/// joins that of the branch it will be added to; all other operations stay in the class of their operands.
pub(super) struct LayoutClasses {
    /// Of each node, the smallest node of its class.
    class: Vec<usize>,
    layouts: Vec<Option<Arc<Layout>>>,
    live: Vec<bool>,
}

impl LayoutClasses {
    pub(super) fn of(graph: &Graph) -> Self {
        let nodes = graph.nodes();
        let mut class: Vec<usize> = (0..nodes.len()).collect();
        let mut live = vec![false; nodes.len()];
        live[graph.input().0] = true;
        live[graph.output().0] = true;
        for (index, node) in nodes
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, node)| !node.inputs.is_empty())
        {
            for input in &node.inputs {
                live[input.0] |= live[index];
            }
        }
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| live[*index]) {
            if !matches!(node.op, Op::Affine(_)) {
                for input in &node.inputs {
                    merge(&mut class, index, input.0);
                }
            }
        }
        Self {
            class,
            layouts: vec![None; nodes.len()],
            live,
        }
    }

    /// Whether the output depends on the node.
    pub(super) fn is_live(&self, id: NodeId) -> bool {
        self.live[id.0]
    }

    /// The layout of the node's class; `choose` is asked if there is none yet.
    pub(super) fn get_or_insert(
        &mut self,
        id: NodeId,
        choose: impl FnOnce() -> Result<Layout, crate::layout::LayoutError>,
    ) -> Result<Arc<Layout>, ProgramError> {
        let slot = &mut self.layouts[self.class[id.0]];
        if let Some(layout) = slot {
            return Ok(Arc::clone(layout));
        }
        let layout = Arc::new(choose()?);
        *slot = Some(Arc::clone(&layout));
        Ok(layout)
    }
}

fn merge(class: &mut [usize], a: usize, b: usize) {
    let (a, b) = (class[a], class[b]);
    let (low, high) = (a.min(b), a.max(b));
    class
        .iter_mut()
        .filter(|c| **c == high)
        .for_each(|c| *c = low);
}
