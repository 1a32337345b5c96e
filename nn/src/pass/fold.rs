//! N (M x + c) + d = (N M) x + (N c + d): an affine map after another becomes one.

use std::sync::Arc;

use super::{MergeRule, map_of, push, rebuild, weights};
use crate::error::Result;
use crate::graph::{AffineMap, Graph, Op};

/// Merges each affine map into those that read it, where the rule allows: batch norm into a convolution, pooling into a dense
/// layer, permutations and scalings into whatever comes next, a map into the slices that are cut from it. A map that others
/// than maps read too has to stay, so it is merged only where that costs its readers nothing.
///
/// # Errors
/// Those of [`Graph::new`], which a graph that was accepted cannot raise.
pub fn fold_affine(graph: &Graph, rule: &MergeRule) -> Result<Graph> {
    let merge = mergeable(graph, rule)?;
    rebuild(graph, |nodes, id, mut node| {
        // Of a chain of three, the first two are merged now and the third in the next run.
        let first = graph.node(id).inputs.first().filter(|first| merge[first.0]);
        if let (Some(next), Some(first)) = (map_of(&node), first)
            && let Some(map) = map_of(graph.node(*first))
        {
            node.op = Op::Affine(Arc::new(map.then(next)?));
            node.inputs = nodes[node.inputs[0].0].inputs.clone();
        }
        Ok(push(nodes, node))
    })
}

/// For each node whether it is a map that goes into all maps that read it.
fn mergeable(graph: &Graph, rule: &MergeRule) -> Result<Vec<bool>> {
    let total = weights(graph);
    let readers = graph.readers();
    let mut merge = vec![false; graph.nodes().len()];
    for (id, node) in graph.iter() {
        let Some(map) = map_of(node) else { continue };
        // Merged into this one just now: its own map is no longer what its readers would be merged with.
        if merge[node.inputs[0].0] {
            continue;
        }
        let maps: Vec<&AffineMap> = readers[id.0].iter().filter_map(|reader| map_of(graph.node(*reader))).collect();
        let dies = maps.len() == readers[id.0].len() && id != graph.output();
        merge[id.0] = !maps.is_empty() && worth_it(map, &maps, dies, |factors| rule.limit(factors, total))?;
    }
    Ok(merge)
}

/// Whether a map should go into these readers, after which it is gone or still needed.
fn worth_it(map: &AffineMap, readers: &[&AffineMap], dies: bool, limit: impl Fn(usize) -> usize) -> Result<bool> {
    let own = map.matrix.nnz();
    let theirs: usize = readers.iter().map(|reader| reader.matrix.nnz()).sum();
    let mut left = match (dies, map.matrix.is_monomial()) {
        (true, _) => limit(own + theirs),
        (false, true) => theirs,
        (false, false) => return Ok(false),
    };
    for reader in readers {
        match reader.matrix.product_nnz(&map.matrix, left)? {
            Some(nnz) => left -= nnz,
            None => return Ok(false),
        }
    }
    Ok(true)
}
