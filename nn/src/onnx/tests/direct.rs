//! Each direct construction against probing the same node with unit vectors.

use proptest::prelude::*;
use tract_onnx::tract_core::internal::TypedModel;

use super::super::linear::{self, Linear};
use super::super::node::{Call, Left, Operand};
use super::*;

/// Compares all nodes of the model that have a direct construction, and tells their operators.
fn compare(model: Builder) -> Vec<String> {
    let file = Source { path: "test.onnx".into() };
    let model =
        proto::Checked::new(&file, &model.finish()).unwrap().typed(&file, 1).unwrap().into_decluttered().unwrap();
    let left = Left::all();
    let calls = calls(&model, &left);
    let direct: Vec<_> = calls.iter().filter_map(|call| Some((call, linear::direct(call).unwrap()?))).collect();
    for (call, found) in &direct {
        let probed = linear::probed(call).unwrap().unwrap();
        same(call, found, &probed);
        probe::check(call, found).unwrap();
    }
    direct.iter().map(|(call, _)| call.operator()).collect()
}

/// All nodes that read data.
fn calls<'a>(model: &'a TypedModel, left: &'a Left) -> Vec<Call<'a>> {
    let operand = |outlet: &tract_onnx::prelude::OutletId| {
        let fact = model.outlet_fact(*outlet).unwrap();
        match &fact.konst {
            Some(tensor) => Operand::Const(tensor.clone()),
            None => Operand::Data(fact.shape.as_concrete().unwrap().to_vec()),
        }
    };
    let nodes = model.nodes().iter().filter(|node| node.outputs.iter().all(|output| output.fact.konst.is_none()));
    let calls = nodes.map(|node| Call::new(node, 0, node.inputs.iter().map(operand).collect(), left).unwrap());
    calls.filter(|call| call.data().next().is_some()).collect()
}

fn same(call: &Call, direct: &Linear, probed: &Linear) {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-5 * (1.0 + a.abs());
    assert_eq!(direct.matrices.len(), probed.matrices.len());
    for (direct, probed) in direct.matrices.iter().zip(&probed.matrices) {
        assert_eq!((direct.rows(), direct.cols()), (probed.rows(), probed.cols()), "{}", call.name());
        let places = |matrix: &crate::graph::SparseMatrix| matrix.iter().map(|(r, c, _)| (r, c)).collect::<Vec<_>>();
        assert_eq!(places(direct), places(probed), "{}", call.name());
        assert!(direct.values().zip(probed.values()).all(|(a, b)| near(a, b)), "{}", call.name());
    }
    assert!(direct.bias.iter().zip(&probed.bias).all(|(&a, &b)| near(a, b)), "{}", call.name());
}

/// Along one axis: length of the input, kernel, stride, dilation, padding before and after.
type Along = (i64, i64, i64, i64, i64, i64);

fn along() -> impl Strategy<Value = Along> {
    (1i64..=3, 1i64..=3, 1i64..=2).prop_flat_map(|(kernel, stride, dilation)| {
        let reach = (kernel - 1) * dilation;
        (reach + 1..reach + 6, Just(kernel), Just(stride), Just(dilation), 0..=reach, 0..=reach)
    })
}

fn ints(axes: &[Along], pick: impl Fn(&Along) -> i64) -> Vec<i64> {
    axes.iter().map(pick).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn convolutions(axes in proptest::collection::vec(along(), 1..=2), (groups, ins, outs) in (1i64..=3, 1i64..=2, 1i64..=2), bias: bool) {
        let kernel = ints(&axes, |a| a.1);
        let pads = [ints(&axes, |a| a.4), ints(&axes, |a| a.5)].concat();
        let sample = [vec![groups * ins], ints(&axes, |a| a.0)].concat();
        let model = Builder::new(&sample).random("w", &[vec![groups * outs, ins], kernel.clone()].concat()).random("b", &[groups * outs]);
        let inputs: &[&str] = if bias { &["x", "w", "b"] } else { &["x", "w"] };
        let model = model.node("Conv", inputs, &["y"], &[
            ("kernel_shape", Attr::Ints(&kernel)),
            ("strides", Attr::Ints(&ints(&axes, |a| a.2))),
            ("dilations", Attr::Ints(&ints(&axes, |a| a.3))),
            ("pads", Attr::Ints(&pads)),
            ("group", Attr::Int(groups)),
        ]);
        compare(model);
    }

    #[test]
    fn average_pools(axes in proptest::collection::vec(along(), 1..=2), channels in 1i64..=2, include: bool, ceil: bool) {
        let kernel = ints(&axes, |a| a.1);
        // Padding may not exceed half a window, as PyTorch has it.
        let pads = [ints(&axes, |a| a.4.min(a.1 / 2)), ints(&axes, |a| a.5.min(a.1 / 2))].concat();
        let model = Builder::new(&[vec![channels], ints(&axes, |a| a.0)].concat()).node("AveragePool", &["x"], &["y"], &[
            ("kernel_shape", Attr::Ints(&kernel)),
            ("strides", Attr::Ints(&ints(&axes, |a| a.2))),
            ("pads", Attr::Ints(&pads)),
            ("count_include_pad", Attr::Int(include.into())),
            ("ceil_mode", Attr::Int(ceil.into())),
        ]);
        compare(model);
    }
}

#[test]
fn convolutions_padded_to_the_same_size() {
    for pad in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
        let model = Builder::new(&[2, 6, 5]).random("w", &[3, 2, 3, 2]);
        let attributes =
            [("auto_pad", Attr::Str(pad)), ("kernel_shape", Attr::Ints(&[3, 2])), ("strides", Attr::Ints(&[2, 1]))];
        assert!(compare(model.node("Conv", &["x", "w"], &["y"], &attributes)).contains(&"Conv".into()));
    }
}

#[test]
fn convolutions_in_three_dimensions() {
    let model = Builder::new(&[2, 3, 4, 3]).random("w", &[2, 2, 2, 2, 2]).random("b", &[2]);
    assert_eq!(
        compare(model.node("Conv", &["x", "w", "b"], &["y"], &[("pads", Attr::Ints(&[1, 0, 0, 0, 0, 1]))])),
        ["Conv"]
    );
}

#[test]
fn dense_layers() {
    let gemm = Builder::new(&[6]).random("w", &[6, 4]).random("b", &[4]);
    let attributes = [("alpha", Attr::Float(0.5)), ("beta", Attr::Float(2.0))];
    assert!(compare(gemm.node("Gemm", &["x", "w", "b"], &["y"], &attributes)).contains(&"EinSum".into()));
    let product = Builder::new(&[3, 4]).random("w", &[4, 5]).node("MatMul", &["x", "w"], &["y"], &[]);
    assert!(compare(product).contains(&"EinSum".into()));
    let from_the_left = Builder::new(&[3, 4]).random("w", &[2, 3]).node("MatMul", &["w", "x"], &["y"], &[]);
    assert!(compare(from_the_left).contains(&"EinSum".into()));
    let of_heads = Builder::new(&[2, 3, 4]).random("w", &[2, 4, 5]).node("MatMul", &["x", "w"], &["y"], &[]);
    assert!(compare(of_heads).contains(&"EinSum".into()));
}

#[test]
fn reductions() {
    for (axes, keep) in [(&[2, 3][..], 1), (&[1], 0), (&[-1], 1)] {
        let attributes = [("axes", Attr::Ints(axes)), ("keepdims", Attr::Int(keep))];
        let mean = Builder::new(&[2, 3, 4]).node("ReduceMean", &["x"], &["y"], &attributes);
        assert!(compare(mean).contains(&"Reduce<Sum>".into()));
    }
    assert!(!compare(Builder::new(&[2, 3, 4]).node("GlobalAveragePool", &["x"], &["y"], &[])).is_empty());
}

#[test]
fn sums_and_products_with_constants() {
    for dims in [&[2, 1, 3][..], &[3], &[1], &[2, 2, 3], &[2, 1, 1]] {
        for (operator, swapped) in
            [("Add", false), ("Sub", false), ("Sub", true), ("Mul", false), ("Mul", true), ("Div", false)]
        {
            let model = Builder::new(&[2, 2, 3]).random("w", dims);
            let inputs = if swapped { ["w", "x"] } else { ["x", "w"] };
            let operators = compare(model.node(operator, &inputs, &["y"], &[]));
            assert!(!operators.is_empty(), "{operator} by {dims:?}");
        }
    }
}

#[test]
fn sums_of_two_tensors() {
    let both = Builder::new(&[2, 3]).random("w", &[3, 1]);
    let both = both.node("MatMul", &["x", "w"], &["column"], &[]).node("Sub", &["column", "x"], &["y"], &[]);
    assert!(compare(both).contains(&"Sub".into()));
}
