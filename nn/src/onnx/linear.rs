//! A node that is linear in its data, y = sum of M_i x_i + c, as its matrices.
//!
//! The name of the operator tells whether it is linear; then either a direct construction knows the matrix, or the node is
//! probed. Whichever it was, the matrices are held against tract's own result on a random vector before they are used, so
//! that a wrong construction, or a name in the table that does not keep its promise, is an error and not a wrong answer.

use tract_onnx::tract_core::ops::array::{ScatterElements, ScatterNd, ScatterReduction};
use tract_onnx::tract_core::ops::logic::Iff;

use super::node::Call;
use super::{einsum, elementwise, probe, window};
use crate::error::Result;
use crate::graph::SparseMatrix;

/// y = sum of M_i x_i + c, one matrix a data operand, in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linear {
    pub matrices: Vec<SparseMatrix>,
    pub bias: Vec<f64>,
}

impl Linear {
    /// y = M x.
    pub fn of(matrix: SparseMatrix) -> Self {
        let bias = vec![0.0; matrix.rows()];
        Linear { matrices: vec![matrix], bias }
    }
}

/// Operators that copy features to places, whatever their operands: one run tells the places.
const PLACING: &[&str] = &[
    "AddAxis",
    "Concat",
    "Downsample",
    "Dropout",
    "Gather",
    "GatherElements",
    "GatherNd",
    "Identity",
    "IntoShape",
    "MoveAxis",
    "MultiBroadcastTo",
    "NearestUpsample",
    "Pad",
    "Reshape",
    "RmAxis",
    "Slice",
    "StridedSlice",
    "Tile",
    "Trilu",
];

/// Operators that are linear in all their data operands together.
const LINEAR: &[&str] = &["CumSum", "DeconvSum", "DepthwiseDeconv", "Neg", "Reduce<Sum>", "SumPool"];

/// Operators that are linear in each operand while the others are constant.
const MULTILINEAR: &[&str] = &["Conv", "Deconv", "EinSum", "GridSample", "Resize"];

/// The matrices of a node, or nothing if its operator is not known to be linear in what is data here.
pub(super) fn linear(call: &Call) -> Result<Option<Linear>> {
    let linear = match direct(call)? {
        Some(linear) => linear,
        None => match probed(call)? {
            Some(linear) => linear,
            None => return Ok(None),
        },
    };
    probe::check(call, &linear)?;
    Ok(Some(linear))
}

/// By a construction that knows the operator.
pub(super) fn direct(call: &Call) -> Result<Option<Linear>> {
    for construct in [window::conv, window::sum_pool, einsum::einsum, einsum::reduce_sum, elementwise::binary] {
        if let Some(linear) = construct(call)? {
            return Ok(Some(linear));
        }
    }
    Ok(None)
}

/// By running the node.
pub(super) fn probed(call: &Call) -> Result<Option<Linear>> {
    let operator = call.operator();
    let operator = operator.as_str();
    if PLACING.contains(&operator) && has_float_data(call) {
        return probe::places(call).map(Some);
    }
    if call.op().is::<Iff>() && call.constant(0).is_some() {
        return probe::places(call).map(Some);
    }
    if let Some(linear) = scattered(call)? {
        return Ok(Some(linear));
    }
    let linear = LINEAR.contains(&operator)
        || elementwise::is_linear(call)
        || (MULTILINEAR.contains(&operator) && first_is_only_data(call));
    if linear { probe::unit_vectors(call).map(Some) } else { Ok(None) }
}

/// Features that take the places of others, or are added to them: what becomes of assignments like `x[:, 0] = y`.
fn scattered(call: &Call) -> Result<Option<Linear>> {
    let elements = call.op().downcast_ref::<ScatterElements>().map(|op| op.reduction);
    let reduction = elements.or_else(|| call.op().downcast_ref::<ScatterNd>().map(|op| op.reduction));
    match (reduction, call.constant(1)) {
        (Some(ScatterReduction::None), Some(_)) => probe::places(call).map(Some),
        (Some(ScatterReduction::Add), Some(_)) => probe::unit_vectors(call).map(Some),
        _ => Ok(None),
    }
}

/// Whether indices, sizes and masks are constants: the data of these operators come first, or are all there is.
fn has_float_data(call: &Call) -> bool {
    call.operator() == "Concat" || first_is_only_data(call)
}

fn first_is_only_data(call: &Call) -> bool {
    match call.only_data() {
        Some((0, _)) => true,
        // Both operands of a matrix product are alike.
        Some(_) => call.operator() == "EinSum",
        None => false,
    }
}
