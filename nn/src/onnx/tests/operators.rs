//! Operators, each in a small model whose graph is held against tract.

use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

use super::*;

fn one(sample: &[i64], operator: &str, attributes: &[(&str, Attr)]) -> OnnxModel {
    import(Builder::new(sample).node(operator, &["x"], &["y"], attributes))
}

#[test]
fn operators_that_move_features() {
    assert_eq!(operations(&one(&[2, 3, 4], "Transpose", &[("perm", Attr::Ints(&[0, 3, 1, 2]))])), ["input", "affine"]);
    one(&[8, 2, 3], "DepthToSpace", &[("blocksize", Attr::Int(2))]);
    one(&[2, 4, 6], "SpaceToDepth", &[("blocksize", Attr::Int(2))]);
    let slice =
        Builder::new(&[3, 7]).ints("from", &[1, 6]).ints("to", &[3, 0]).ints("axes", &[1, 2]).ints("steps", &[1, -2]);
    import(slice.node("Slice", &["x", "from", "to", "axes", "steps"], &["y"], &[]));
    let gather = Builder::new(&[3, 4]).ints("indices", &[2, 0, 2, 1, 1]);
    import(gather.node("Gather", &["x", "indices"], &["y"], &[("axis", Attr::Int(2))]));
    let tile = Builder::new(&[2, 3]).ints("times", &[1, 2, 3]);
    import(tile.node("Tile", &["x", "times"], &["y"], &[]));
    let expand = Builder::new(&[3, 1]).ints("shape", &[1, 3, 4]);
    import(expand.node("Expand", &["x", "shape"], &["y"], &[]));
    let halves = Builder::new(&[4, 3]).node("Split", &["x"], &["a", "b"], &[("axis", Attr::Int(1))]);
    import(halves.node("Concat", &["b", "x", "a"], &["y"], &[("axis", Attr::Int(1))]));
}

#[test]
fn operators_that_only_rename_features_leave_no_node() {
    assert_eq!(operations(&one(&[2, 3, 4], "Flatten", &[("axis", Attr::Int(1))])), ["input"]);
    let reshape = Builder::new(&[2, 3]).ints("shape", &[-1, 6]).ints("axes", &[2]);
    let reshape =
        reshape.node("Reshape", &["x", "shape"], &["flat"], &[]).node("Unsqueeze", &["flat", "axes"], &["one"], &[]);
    let reshape = reshape.node("Squeeze", &["one", "axes"], &["same"], &[]).node("Identity", &["same"], &["id"], &[]);
    let model = import(reshape.node("Dropout", &["id"], &["drop"], &[]).node("Relu", &["drop"], &["y"], &[]));
    assert_eq!(operations(&model), ["input", "relu"]);
    assert_eq!(model.graph.output_shape(), [6]);
}

#[test]
fn padding_of_every_kind() {
    for mode in ["constant", "reflect", "edge"] {
        let model = Builder::new(&[2, 4]).ints("pads", &[0, 1, 2, 0, 0, 1]).weight("value", &[], &[2.5]);
        let model = if mode == "constant" { model } else { Builder::new(&[2, 4]).ints("pads", &[0, 1, 2, 0, 0, 1]) };
        let inputs: &[&str] = if mode == "constant" { &["x", "pads", "value"] } else { &["x", "pads"] };
        import(model.node("Pad", inputs, &["y"], &[("mode", Attr::Str(mode))]));
    }
}

/// Of a model of one input feature after the other, 1, 2, 3, …
fn of_numbers(model: &OnnxModel) -> Vec<f64> {
    let numbers: Vec<f64> = (1..=model.graph.input_len()).map(|number| number as f64).collect();
    model.graph.run(&numbers).unwrap()
}

#[test]
fn padding_that_repeats_data_takes_no_value() {
    let pad = |mode| {
        let model = Builder::new(&[3]).ints("pads", &[0, 2, 0, 1]).weight("value", &[], &[7.0]);
        of_numbers(&import(model.node("Pad", &["x", "pads", "value"], &["y"], &[("mode", Attr::Str(mode))])))
    };
    assert_eq!(pad("edge"), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    assert_eq!(pad("reflect"), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    assert_eq!(pad("constant"), [7.0, 7.0, 1.0, 2.0, 3.0, 7.0]);
}

#[test]
fn negative_padding_crops() {
    let model = Builder::new(&[2, 4]).ints("pads", &[0, 0, -1, 0, 1, -2]);
    let model = import(model.node("Pad", &["x", "pads"], &["y"], &[]));
    assert_eq!((model.graph.output_shape(), &of_numbers(&model)[..]), (&[3, 1][..], &[2.0, 6.0, 0.0][..]));
}

#[test]
fn slices_with_steps_behind_what_tract_cannot_move_them_over() {
    let sliced = |model: Builder, axis: i64| {
        let model = model.ints("from", &[1]).ints("to", &[i64::MAX]).ints("axes", &[axis]).ints("steps", &[2]);
        of_numbers(&import(model.node("Slice", &["a", "from", "to", "axes", "steps"], &["y"], &[])))
    };
    // tract forgets where the steps begin, or knows no such axis.
    let convolved = Builder::new(&[1, 6]).weight("w", &[1, 1, 2], &[1.0, 10.0]).node("Conv", &["x", "w"], &["a"], &[]);
    assert_eq!(sliced(convolved, 2), [32.0, 54.0]);
    let reshaped = Builder::new(&[4]).ints("shape", &[-1, 2, 2]).node("Reshape", &["x", "shape"], &["a"], &[]);
    assert_eq!(sliced(reshaped, 1), [3.0, 4.0]);
}

#[test]
fn a_bottleneck_of_one_feature_behind_a_flattened_tensor() {
    let model = Builder::new(&[2, 2, 2]).weight("v", &[8, 1], &[1.0; 8]).weight("w", &[1, 2], &[1.0, 10.0]);
    let model = model.node("Flatten", &["x"], &["flat"], &[]).node("MatMul", &["flat", "v"], &["one"], &[]);
    assert_eq!(of_numbers(&import(model.node("MatMul", &["one", "w"], &["y"], &[]))), [36.0, 360.0]);
}

#[test]
fn constants_of_a_shape_are_zeros_of_single_precision() {
    let model = Builder::new(&[3]).node("Shape", &["x"], &["s"], &[]).node("ConstantOfShape", &["s"], &["zero"], &[]);
    assert_eq!(of_numbers(&import(model.node("Sub", &["zero", "x"], &["y"], &[]))), [-1.0, -2.0, -3.0]);
}

#[test]
fn weights_that_cancel_are_no_error() {
    let weights = [0.765_432_1, 0.5, -0.765_4, 0.25];
    let model = Builder::new(&[2, 3]).weight("w", &[2, 2], &weights);
    import(model.node("Einsum", &["x", "w"], &["y"], &[("equation", Attr::Str("bij,yz->bijz"))]));
}

#[test]
fn a_constant_may_be_joined_to_data() {
    let model = Builder::new(&[2, 3]).random("w", &[1, 2, 2]);
    import(model.node("Concat", &["x", "w"], &["y"], &[("axis", Attr::Int(2))]));
}

#[test]
fn operators_without_a_construction_are_probed() {
    let model = Builder::new(&[2, 4, 3]).random("w", &[2, 3, 2, 2]).random("b", &[3]);
    import(model.node("ConvTranspose", &["x", "w", "b"], &["y"], &[("strides", Attr::Ints(&[2, 1]))]));
    let model = Builder::new(&[1, 3, 4]).weight("roi", &[0], &[]).weight("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
    import(model.node("Resize", &["x", "roi", "scales"], &["y"], &[("mode", Attr::Str("linear"))]));
    let model = Builder::new(&[1, 3, 4]).weight("roi", &[0], &[]).weight("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
    import(model.node(
        "Resize",
        &["x", "roi", "scales"],
        &["y"],
        &[
            ("mode", Attr::Str("nearest")),
            ("nearest_mode", Attr::Str("floor")),
            ("coordinate_transformation_mode", Attr::Str("asymmetric")),
        ],
    ));
    let model = Builder::new(&[2, 4, 3]).random("grid", &[1, 5, 2, 2]);
    let sampled = model.node("GridSample", &["x", "grid"], &["y"], &[("padding_mode", Attr::Str("zeros"))]);
    import_file(&sampled.finish_as(16));
    one(&[5], "Neg", &[]);
    let model = Builder::new(&[5]).int("axis", 1);
    import(model.node("CumSum", &["x", "axis"], &["y"], &[]));
}

/// Twice the first two rows of [3, 2], written to rows 2 and 0 of `x`, or of a constant.
fn scatter(operator: &str, indices: (&[i64], &[i64]), target: &str, attributes: &[(&str, Attr)]) -> Builder {
    let model = Builder::new(&[3, 2]).ints("from", &[0]).ints("to", &[2]).ints("axes", &[1]).random("c", &[1, 3, 2]);
    let model = model.ints("flat", indices.1).ints("shape", indices.0).node("Reshape", &["flat", "shape"], &["i"], &[]);
    let model = model.node("Slice", &["x", "from", "to", "axes"], &["rows"], &[]);
    model.node("Add", &["rows", "rows"], &["twice"], &[]).node(operator, &[target, "i", "twice"], &["y"], attributes)
}

#[test]
fn assignments_to_parts_of_a_tensor() {
    let rows: (&[i64], &[i64]) = (&[1, 2, 2], &[0, 2, 0, 0]);
    let elements: (&[i64], &[i64]) = (&[1, 2, 2], &[2, 1, 0, 2]);
    for target in ["x", "c"] {
        import(scatter("ScatterND", rows, target, &[]));
        import(scatter("ScatterND", rows, target, &[("reduction", Attr::Str("add"))]));
        import(scatter("ScatterElements", elements, target, &[("axis", Attr::Int(1))]));
    }
    let largest = scatter("ScatterND", rows, "x", &[("reduction", Attr::Str("max"))]);
    assert!(matches!(OnnxModel::from_bytes("test.onnx", &largest.finish()), Err(Error::Unsupported { .. })));
}

#[test]
fn squares_and_what_sums_them_up() {
    let squares = || Builder::new(&[2, 3, 4]).node("Mul", &["x", "x"], &["q"], &[]);
    for (operator, attributes) in [
        ("GlobalAveragePool", &[][..]),
        ("AveragePool", &[("kernel_shape", Attr::Ints(&[3, 4]))]),
        ("ReduceMean", &[("axes", Attr::Ints(&[2, -1])), ("keepdims", Attr::Int(0))]),
        ("ReduceSumSquare", &[("axes", Attr::Ints(&[1]))]),
    ] {
        let model = import(squares().node(operator, &["q"], &["y"], attributes));
        let found = operations(&model);
        assert!(found.iter().all(|op| ["input", "polynomial", "affine"].contains(op)), "{operator}: {found:?}");
    }
    // The variance of each row.
    let rows = || ("axes", Attr::Ints(&[2]));
    let variance = Builder::new(&[2, 5]).node("ReduceMean", &["x"], &["m"], &[rows()]);
    let variance = variance.node("Sub", &["x", "m"], &["d"], &[]).node("Mul", &["d", "d"], &["q"], &[]);
    import(variance.node("ReduceMean", &["q"], &["y"], &[rows()]));
}

#[test]
fn choices_by_a_constant_are_matrices() {
    let mask = |model: Builder| {
        let bytes = vec![1, 0, 0, 1];
        let mask = TensorProto {
            name: "m".into(),
            dims: vec![4],
            data_type: DataType::Bool as i32,
            raw_data: bytes,
            ..Default::default()
        };
        model.tensor(mask)
    };
    let filled = mask(Builder::new(&[3, 4]).weight("c", &[], &[0.5]));
    assert_eq!(operations(&import(filled.node("Where", &["m", "c", "x"], &["y"], &[]))), ["input", "affine"]);
    let mixed = mask(Builder::new(&[3, 4]).node("Neg", &["x"], &["n"], &[]));
    import(mixed.node("Where", &["m", "x", "n"], &["y"], &[]));
}

#[test]
fn choices_by_a_comparison_take_constants_and_smaller_tensors() {
    let above = |sample: &[i64]| {
        let model = Builder::new(sample).weight("t", &[], &[0.25]).weight("c", &[], &[-0.5]).random("row", &[3]);
        model.node("Greater", &["x", "t"], &["s"], &[])
    };
    for branches in [["x", "c"], ["c", "x"], ["row", "c"], ["x", "row"], ["x", "x"]] {
        import(above(&[2, 3]).node("Where", &["s", branches[0], branches[1]], &["y"], &[]));
    }
    let stretched = above(&[2, 1]).random("w", &[1, 3]).node("MatMul", &["x", "w"], &["wide"], &[]);
    import(stretched.node("Where", &["s", "wide", "x"], &["y"], &[]));
    // One function of one feature.
    let graph = import(above(&[6]).node("Where", &["s", "x", "c"], &["y"], &[])).graph;
    let graph = crate::pass::simplify(&graph, &crate::pass::MergeRule::default()).unwrap();
    let found: Vec<_> = graph.nodes().iter().map(|node| node.op.name()).collect();
    // The constant goes into the next layer.
    assert_eq!(found, ["input", "function", "affine"]);
}

#[test]
fn celu_is_that_of_onnx() {
    let model = import(Builder::new(&[1]).node("Celu", &["x"], &["y"], &[("alpha", Attr::Float(0.5))]));
    let found = model.graph.run(&[-0.3]).unwrap()[0];
    assert!((found - 0.5 * (-0.6f64).exp_m1()).abs() < 1e-7, "{found}");
}

#[test]
fn batch_normalisation() {
    let model = Builder::new(&[3, 4, 4])
        .random("w", &[3, 3, 3, 3])
        .random("scale", &[3])
        .random("shift", &[3])
        .random("mean", &[3]);
    let model = model.weight("var", &[3], &[0.5, 1.5, 2.0]).node("Conv", &["x", "w"], &["conv"], &[]);
    import(model.node("BatchNormalization", &["conv", "scale", "shift", "mean", "var"], &["y"], &[]));
}

#[test]
fn activations_by_name() {
    for (operator, expected) in
        [("Relu", Activation::Relu), ("Sigmoid", Activation::Sigmoid), ("Tanh", Activation::Tanh)]
    {
        let model = import(Builder::new(&[6]).node(operator, &["x"], &["a"], &[]).node("Neg", &["a"], &["y"], &[]));
        assert!(matches!(&model.graph.nodes()[1].op, Op::Activation(found) if *found == expected), "{operator}");
    }
}

#[test]
fn silu_and_gelu_are_found_in_what_exporters_write() {
    let silu = Builder::new(&[6]).node("Sigmoid", &["x"], &["s"], &[]).node("Mul", &["x", "s"], &["y"], &[]);
    assert_eq!(operations(&import(silu)), ["input", "silu"]);
    let gelu = Builder::new(&[6]).weight("root", &[], &[std::f32::consts::SQRT_2]).weight("one", &[], &[1.0]).weight(
        "half",
        &[],
        &[0.5],
    );
    let gelu = gelu.node("Div", &["x", "root"], &["scaled"], &[]).node("Erf", &["scaled"], &["erf"], &[]);
    let gelu = gelu.node("Add", &["erf", "one"], &["shifted"], &[]).node("Mul", &["x", "shifted"], &["twice"], &[]);
    assert_eq!(operations(&import(gelu.node("Mul", &["twice", "half"], &["y"], &[]))), ["input", "gelu"]);
}

#[test]
fn powers_and_products() {
    let power = |exponent: f32| Builder::new(&[4]).weight("k", &[], &[exponent]).node("Pow", &["x", "k"], &["y"], &[]);
    assert_eq!(operations(&import(power(2.0))), ["input", "polynomial"]);
    let cube = import(power(3.0));
    assert!(
        matches!(&cube.graph.nodes()[1].op, Op::Activation(Activation::Polynomial(c)) if *c == [0.0, 0.0, 0.0, 1.0])
    );
    let whole = import(Builder::new(&[4]).int("k", 3).node("Pow", &["x", "k"], &["y"], &[]));
    assert_eq!(of_numbers(&whole), [1.0, 8.0, 27.0, 64.0]);
    let gate = Builder::new(&[2, 3]).random("w", &[3, 1]).node("MatMul", &["x", "w"], &["gate"], &[]);
    let gate = import(gate.node("Mul", &["x", "gate"], &["y"], &[]));
    // The column is spread over the row before the product.
    assert_eq!(operations(&gate).iter().filter(|op| **op == "mul").count(), 1);
}

#[test]
fn branches_are_joined() {
    let residual = Builder::new(&[2, 4]).random("w", &[4, 4]).node("MatMul", &["x", "w"], &["a"], &[]);
    let residual = residual.node("Relu", &["a"], &["r"], &[]).node("Add", &["r", "a"], &["sum"], &[]);
    let residual = residual.node("Sub", &["sum", "x"], &["z"], &[]).node("Add", &["z", "z"], &["y"], &[]);
    let model = import(residual);
    assert_eq!(operations(&model).iter().filter(|op| **op == "add").count(), 2);
}

#[test]
fn shape_arithmetic_is_folded() {
    let model = Builder::new(&[2, 3, 4]).ints("zero", &[0]).ints("rest", &[-1]);
    let model = model.node("Shape", &["x"], &["shape"], &[]).node(
        "Gather",
        &["shape", "zero"],
        &["batch"],
        &[("axis", Attr::Int(0))],
    );
    let model = model.node("Concat", &["batch", "rest"], &["target"], &[("axis", Attr::Int(0))]);
    assert_eq!(operations(&import(model.node("Reshape", &["x", "target"], &["y"], &[]))), ["input"]);
}

/// The operations of a model of one node, simplified.
fn simplified(operator: &str, attributes: &[(&str, Attr)]) -> Vec<&'static str> {
    let graph = one(&[6], operator, attributes).graph;
    let graph = crate::pass::simplify(&graph, &crate::pass::MergeRule::default()).unwrap();
    graph.nodes().iter().map(|node| node.op.name()).collect()
}

#[test]
fn activations_that_are_spelled_out_are_one_function() {
    assert_eq!(simplified("LeakyRelu", &[("alpha", Attr::Float(0.2))]), ["input", "leaky relu"]);
    assert_eq!(simplified("HardSwish", &[]), ["input", "hard swish"]);
    assert_eq!(simplified("Erf", &[]), ["input", "erf"]);
    for operator in ["Softplus", "HardSigmoid", "Elu", "Celu"] {
        assert_eq!(simplified(operator, &[]), ["input", "function"], "{operator}");
    }
    // The scaling goes into the next layer.
    assert_eq!(simplified("Selu", &[]), ["input", "function", "affine"]);
}

#[test]
fn activations_of_several_nodes_are_one_function() {
    let clip = Builder::new(&[6]).weight("low", &[], &[-0.25]).weight("high", &[], &[0.5]);
    let clip = clip.node("Clip", &["x", "low", "high"], &["y"], &[]);
    let mish = Builder::new(&[6]).node("Softplus", &["x"], &["s"], &[]).node("Tanh", &["s"], &["t"], &[]);
    let mish = mish.node("Mul", &["x", "t"], &["y"], &[]);
    let swish = Builder::new(&[6]).node("HardSigmoid", &["x"], &["h"], &[("alpha", Attr::Float(1.0 / 6.0))]);
    let swish = swish.node("Mul", &["x", "h"], &["y"], &[]);
    let relu6 = Builder::new(&[6]).weight("high", &[], &[0.5]).node("Relu", &["x"], &["r"], &[]);
    let relu6 = relu6.node("Min", &["r", "high"], &["y"], &[]);
    let tanh =
        Builder::new(&[6]).weight("three", &[], &[3.0]).weight("a", &[], &[0.044715]).weight("b", &[], &[0.797_884_6]);
    let tanh = tanh.weight("one", &[], &[1.0]).weight("half", &[], &[0.5]).node("Pow", &["x", "three"], &["cube"], &[]);
    let tanh = tanh.node("Mul", &["cube", "a"], &["small"], &[]).node("Add", &["x", "small"], &["sum"], &[]);
    let tanh = tanh.node("Mul", &["sum", "b"], &["inner"], &[]).node("Tanh", &["inner"], &["tanh"], &[]);
    let tanh = tanh.node("Add", &["tanh", "one"], &["plus"], &[]).node("Mul", &["x", "plus"], &["twice"], &[]);
    let tanh = tanh.node("Mul", &["twice", "half"], &["y"], &[]);
    for (what, model) in [("clip", clip), ("mish", mish), ("hard swish", swish), ("relu6", relu6), ("gelu", tanh)] {
        let graph = crate::pass::simplify(&import(model).graph, &crate::pass::MergeRule::default()).unwrap();
        let activations = graph.nodes().iter().filter(|node| matches!(node.op, Op::Activation(_))).count();
        assert_eq!(activations, 1, "{what}: {:?}", graph.nodes());
    }
}
