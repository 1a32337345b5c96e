//! Files and models that are refused, each with the error that says why.

use std::process::Command;
use std::time::{Duration, Instant};

use super::builder::Dim;
use super::*;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

fn refuse(model: Builder) -> Error {
    OnnxModel::from_bytes("test.onnx", &model.finish()).unwrap_err()
}

#[test]
fn a_file_that_is_not_there() {
    assert!(
        matches!(OnnxModel::load("/nowhere/model.onnx"), Err(Error::ReadFile { path, .. }) if path.ends_with("model.onnx"))
    );
}

#[test]
fn an_empty_file() {
    assert!(matches!(OnnxModel::from_bytes("test.onnx", &[]), Err(Error::EmptyFile { .. })));
}

#[test]
fn a_truncated_file() {
    let whole = cryptonets().finish();
    for length in [1, 10, whole.len() / 2, whole.len() - 1] {
        let error = OnnxModel::from_bytes("test.onnx", &whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Onnx { .. }), "{length}: {error}");
    }
}

#[test]
fn a_file_of_something_else() {
    let error = OnnxModel::from_bytes("test.onnx", b"\x93NUMPY\x01\x00 this is no model").unwrap_err();
    assert!(matches!(error, Error::Onnx { doing: "reading it", .. }), "{error}");
}

#[test]
fn damaged_files_never_panic() {
    let whole = cryptonets().finish();
    for place in (0..whole.len()).step_by(7).take(400) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        // Most damage hits a weight, which cannot be seen; no result may be a panic.
        let _ = OnnxModel::from_bytes("test.onnx", &damaged);
    }
}

#[test]
fn a_panic_inside_the_reader_becomes_an_error() {
    let file = Source { path: "test.onnx".into() };
    let error =
        file.guard("testing", || if file.path.exists() { 1 } else { panic!("index {} out of range", 7) }).unwrap_err();
    assert!(matches!(&error, Error::OnnxPanic { doing: "testing", message, .. } if message == "index 7 out of range"));
}

#[test]
fn several_inputs_or_outputs() {
    let two =
        Builder::new(&[4]).input("z", DataType::Float, &[Dim::Is(1), Dim::Is(4)]).node("Add", &["x", "z"], &["y"], &[]);
    assert!(matches!(refuse(two), Error::OnnxInterface { problem, .. } if problem.contains("2 inputs ('x', 'z')")));
    let two =
        Builder::new(&[4]).node("Relu", &["x"], &["y"], &[]).node("Neg", &["x"], &["z"], &[]).output("y").output("z");
    assert!(matches!(refuse(two), Error::OnnxInterface { problem, .. } if problem.contains("2 outputs ('y', 'z')")));
    let none = Builder::default().random("w", &[4]).node("Relu", &["w"], &["y"], &[]);
    assert!(matches!(refuse(none), Error::OnnxInterface { problem, .. } if problem.contains("0 inputs")));
    let missing = Builder::new(&[4]).node("Relu", &["x"], &["z"], &[]);
    assert!(matches!(refuse(missing), Error::OnnxInterface { problem, .. } if problem.contains("'y'")));
}

#[test]
fn an_output_that_is_constant() {
    let model = Builder::new(&[4]).random("w", &[4]).node("Relu", &["w"], &["y"], &[]);
    assert!(matches!(refuse(model), Error::OnnxInterface { problem, .. } if problem.contains("depend")));
}

#[test]
fn an_input_of_unknown_shape() {
    let model = |dims: &[Dim]| Builder::default().input("x", DataType::Float, dims).node("Relu", &["x"], &["y"], &[]);
    let unknown = model(&[Dim::Named("batch"), Dim::Is(3), Dim::Named("height")]);
    assert!(matches!(refuse(unknown), Error::OnnxShape { shape, .. } if shape == "[batch, 3, height]"));
    assert!(matches!(refuse(model(&[Dim::Is(784)])), Error::OnnxShape { shape, .. } if shape == "[784]"));
}

#[test]
fn a_batch_that_is_held_inside() {
    let model = || Builder::default().input("x", DataType::Float, &[Dim::Is(64), Dim::Is(1), Dim::Is(2), Dim::Is(3)]);
    let flat = model().ints("to", &[64, 6]).node("Reshape", &["x", "to"], &["y"], &[]);
    assert!(matches!(refuse(flat), Error::OnnxBatch { batch: 64, .. }));
    // tract makes a batch of one larger as it was asked to.
    let sizes = model().ints("to", &[64, 1, 4, 6]).node("Resize", &["x", "", "", "to"], &["y"], &[]);
    assert!(matches!(refuse(sizes), Error::OnnxBatch { batch: 64, .. }));
    let other = model().ints("to", &[7, 5]).node("Reshape", &["x", "to"], &["y"], &[]);
    assert!(matches!(refuse(other), Error::Onnx { .. }));
}

#[test]
fn an_input_of_another_type() {
    let dims = [Dim::Named("batch"), Dim::Is(4)];
    let model = Builder::default().input("x", DataType::Float16, &dims).node("Relu", &["x"], &["y"], &[]);
    assert!(matches!(refuse(model), Error::OnnxType { found, .. } if found == "Float16"));
}

#[test]
fn unsupported_nodes_are_listed_all_at_once() {
    let model = Builder::new(&[2, 4, 4]);
    let model = model.node("MaxPool", &["x"], &["pool"], &[("kernel_shape", Attr::Ints(&[2, 2]))]);
    let model = model.node("Sin", &["pool"], &["sin"], &[]).node("Relu", &["sin"], &["fine"], &[]);
    let model = model.node("Flatten", &["fine"], &["flat"], &[]);
    let model =
        model.node("Softmax", &["flat"], &["soft"], &[("axis", Attr::Int(1))]).node("Neg", &["soft"], &["y"], &[]);
    let Error::Unsupported { nodes, path } = refuse(model) else { panic!("unsupported") };
    let found: Vec<_> = nodes.iter().map(|node| (node.node.as_str(), node.operator.as_str())).collect();
    assert_eq!(found, [("pool", "MaxPool"), ("sin", "Sin"), ("soft", "Softmax")]);
    let message = Error::Unsupported { path, nodes }.to_string();
    assert!(
        message.contains("3 of its nodes")
            && message.contains("average pooling")
            && message.contains("after decryption")
    );
}

#[test]
fn operators_that_nobody_knows_are_listed_with_the_others() {
    let model = Builder::new(&[2, 4, 4]).node("FlyToTheMoon", &["x"], &["moon"], &[]);
    let model = model.node("MaxPool", &["moon"], &["pool"], &[("kernel_shape", Attr::Ints(&[2, 2]))]);
    let Error::Unsupported { nodes, .. } = refuse(model.node("Land", &["pool"], &["y"], &[])) else {
        panic!("unsupported")
    };
    assert_eq!(
        nodes.iter().map(|node| node.operator.as_str()).collect::<Vec<_>>(),
        ["FlyToTheMoon", "MaxPool", "Land"]
    );
}

#[test]
fn factors_that_both_come_from_data() {
    let model = Builder::new(&[3, 3]).node("MatMul", &["x", "x"], &["y"], &[]);
    let Error::Unsupported { nodes, .. } = refuse(model) else { panic!("unsupported") };
    assert!(nodes[0].advice.contains("constant"), "{}", nodes[0]);
    let model = Builder::new(&[3, 3]).random("w", &[3]).node("Div", &["w", "x"], &["y"], &[]);
    assert!(matches!(refuse(model), Error::Unsupported { .. }));
}

#[test]
fn weights_that_are_not_finite() {
    let model =
        Builder::new(&[2]).weight("w", &[2, 2], &[1.0, f32::NAN, 2.0, 3.0]).node("MatMul", &["x", "w"], &["y"], &[]);
    assert!(matches!(refuse(model), Error::WeightNotFinite { value, .. } if value.is_nan()));
    let model = Builder::new(&[2]).weight("w", &[2], &[1.0, f32::INFINITY]).node("Add", &["x", "w"], &["y"], &[]);
    assert!(matches!(refuse(model), Error::WeightNotFinite { what: "bias", .. }));
}

#[test]
fn a_node_that_is_not_what_its_matrix_says() {
    let file = Source { path: "test.onnx".into() };
    let bytes = Builder::new(&[3]).node("Abs", &["x"], &["y"], &[]).finish();
    let model = proto::Checked::new(&file, &bytes).unwrap().typed(&file, 1).unwrap().into_decluttered().unwrap();
    let abs = model.nodes().iter().find(|node| node.op.name() == "Abs").unwrap();
    let left = node::Left::all();
    let call = node::Call::new(abs, 0, vec![node::Operand::Data(vec![1, 3])], &left).unwrap();
    let identity = linear::Linear::of(crate::graph::SparseMatrix::identity(3).unwrap());
    let error = probe::check(&call, &identity).unwrap_err();
    assert!(
        matches!(error, Error::OnnxNode { operator, problem, .. } if operator == "Abs" && problem.contains("not linear"))
    );
}

#[test]
fn a_refused_node_is_the_one_of_the_file() {
    // tract makes three nodes of it.
    let model = Builder::new(&[4]).node("Softsign", &["x"], &["y"], &[]);
    let Error::Unsupported { nodes, .. } = refuse(model) else { panic!("unsupported") };
    let found: Vec<_> = nodes.iter().map(|node| (node.node.as_str(), node.operator.as_str())).collect();
    assert_eq!(found, [("y", "Softsign")]);
}

#[test]
fn data_of_another_precision_inside() {
    let half = || ("to", Attr::Int(DataType::Float16 as i64));
    let model = Builder::new(&[4]).node("Cast", &["x"], &["h"], &[half()]).node("Neg", &["h"], &["n"], &[]);
    let model = model.node("Cast", &["n"], &["y"], &[("to", Attr::Int(DataType::Float as i64))]);
    let Error::Unsupported { nodes, .. } = refuse(model) else { panic!("unsupported") };
    assert_eq!(nodes.len(), 3);
    assert!(nodes[1].advice.contains("F16"), "{}", nodes[1].advice);
}

#[test]
fn a_transposed_convolution_that_names_its_output() {
    let model = Builder::new(&[2, 4, 4]).random("w", &[2, 3, 3, 3]);
    let model = model.node(
        "ConvTranspose",
        &["x", "w"],
        &["y"],
        &[("output_shape", Attr::Ints(&[8, 8])), ("strides", Attr::Ints(&[2, 2]))],
    );
    let Error::Unsupported { nodes, .. } = refuse(model) else { panic!("unsupported") };
    assert!(nodes[0].advice.contains("output_padding"), "{}", nodes[0].advice);
}

#[test]
fn a_circle() {
    let model = Builder::new(&[4]).node("Add", &["x", "b"], &["a"], &[]).node("Relu", &["a"], &["b"], &[]);
    let error = refuse(model.node("Relu", &["b"], &["y"], &[]));
    assert!(error.to_string().contains("in a circle: 'a', 'b';"), "{error}");
    let error = refuse(Builder::new(&[4]).node("Relu", &["x"], &["a"], &[]).node("Add", &["a", "y"], &["y"], &[]));
    assert!(error.to_string().contains("in a circle: 'y';"), "{error}");
}

#[test]
fn a_tensor_that_two_nodes_make() {
    let mut model = Builder::new(&[4]).node("Relu", &["x"], &["y"], &[]).node("Neg", &["x"], &["y"], &[]);
    model.graph.node[0].name = "first".into();
    let error = refuse(model);
    assert!(error.to_string().contains("both 'first' and 'y' make 'y'"), "{error}");
}

#[test]
fn a_tensor_that_nobody_makes() {
    let model = Builder::new(&[4]).node("Add", &["x", "nowhere"], &["y"], &[]);
    assert!(matches!(refuse(model), Error::Onnx { message, .. } if message.contains("nowhere")));
}

#[test]
fn sizes_beyond_all_memory() {
    let input = Builder::new(&[1 << 40, 1 << 40]).node("Relu", &["x"], &["y"], &[]);
    assert!(matches!(refuse(input), Error::OnnxShape { problem, .. } if problem.contains("2^20")));
    let stretched = Builder::new(&[1, 4]).ints("shape", &[1, 1 << 23, 4]).node("Expand", &["x", "shape"], &["y"], &[]);
    let error = refuse(stretched);
    assert!(matches!(&error, Error::Onnx { message, .. } if message.contains("2^22")), "{error}");
    let large = Builder::new(&[1, 4]).ints("shape", &[1, 1 << 19, 4]).node("Expand", &["x", "shape"], &["y"], &[]);
    let error = refuse(large);
    assert!(matches!(&error, Error::OnnxNode { problem, .. } if problem.contains("2^20")), "{error}");
    let (kernel, pads) = ([255, 255], [127, 127, 127, 127]);
    let conv = Builder::new(&[1, 256, 256]).weight("w", &[1, 1, 255, 255], &[1.0; 255 * 255]);
    let conv =
        conv.node("Conv", &["x", "w"], &["y"], &[("kernel_shape", Attr::Ints(&kernel)), ("pads", Attr::Ints(&pads))]);
    assert!(matches!(refuse(conv), Error::OnnxNode { problem, .. } if problem.contains("weights")));
}

#[test]
fn constants_that_grow_are_refused_before_they_are_computed() {
    let ones = |name: &str, shape: &[i64]| {
        let kind = TensorProto {
            dims: vec![1],
            data_type: DataType::Float as i32,
            raw_data: 1f32.to_le_bytes().into(),
            ..Default::default()
        };
        Builder::new(&[4]).ints("shape", shape).node(
            "ConstantOfShape",
            &["shape"],
            &[name],
            &[("value", Attr::Tensor(Box::new(kind)))],
        )
    };
    let summed = |model: Builder| {
        let model = model.node("Cast", &["c"], &["f"], &[("to", Attr::Int(DataType::Float as i64))]);
        let model = model.node("ReduceSum", &["f"], &["s"], &[("keepdims", Attr::Int(0))]);
        refuse(model.node("Add", &["x", "s"], &["y"], &[]))
    };
    let doubled = (0..40).fold(ones("c0", &[1]), |model, i| {
        let (from, to) = (format!("c{i}"), if i == 39 { "c".into() } else { format!("c{}", i + 1) });
        model.node("Concat", &[&from, &from], &[&to], &[("axis", Attr::Int(0))])
    });
    let again = (0..1000).fold(ones("c0", &[1 << 18]), |model, i| {
        let (from, to) = (format!("c{i}"), if i == 999 { "c".into() } else { format!("c{}", i + 1) });
        model.node("Exp", &[&from], &[&to], &[])
    });
    let models = [
        ("ConstantOfShape", ones("c", &[1 << 30, 1 << 30])),
        ("a smaller one", ones("c", &[1 << 14, 1 << 14])),
        ("Expand", ones("a", &[1]).ints("to", &[1 << 26]).node("Expand", &["a", "to"], &["c"], &[])),
        ("Tile", ones("a", &[1 << 10]).ints("to", &[1 << 20]).node("Tile", &["a", "to"], &["c"], &[])),
        ("Pad", ones("a", &[1]).ints("to", &[0, 1 << 44]).node("Pad", &["a", "to"], &["c"], &[])),
        (
            "Range",
            Builder::new(&[4]).int("0", 0).int("n", 1 << 40).int("1", 1).node("Range", &["0", "n", "1"], &["c"], &[]),
        ),
        (
            "OneHot",
            ones("a", &[1 << 10]).int("n", 1 << 30).ints("v", &[0, 1]).node("OneHot", &["a", "n", "v"], &["c"], &[]),
        ),
        (
            "Add",
            ones("a", &[1 << 16, 1]).ints("to", &[1, 1 << 16]).node("Reshape", &["a", "to"], &["b"], &[]).node(
                "Add",
                &["a", "b"],
                &["c"],
                &[],
            ),
        ),
        ("MatMul", ones("a", &[1 << 12, 1 << 12]).node("MatMul", &["a", "a"], &["c"], &[])),
        ("Concat", doubled),
        ("Exp", again),
        (
            "Conv",
            ones("a", &[1, 1, 1 << 11, 1 << 11]).node("Conv", &["a", "a"], &["c"], &[("pads", Attr::Ints(&[1024; 4]))]),
        ),
        (
            "Resize",
            ones("a", &[1, 1, 2, 2]).weight("scales", &[4], &[1.0, 1.0, 1e6, 1e6]).node(
                "Resize",
                &["a", "", "scales"],
                &["c"],
                &[],
            ),
        ),
    ];
    let (started, peak) = (Instant::now(), || crate::report::peak_memory_bytes().unwrap_or(0));
    let before = peak();
    for (name, model) in models {
        let error = summed(model);
        assert!(matches!(&error, Error::Onnx { message, .. } if message.contains("folded")), "{name}: {error}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(20) && peak().saturating_sub(before) < 1 << 30,
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn data_that_are_empty_are_refused() {
    // tract takes the empty tensor for a constant.
    let model = Builder::new(&[4]).ints("to", &[4]).ints("axis", &[1]).ints("pads", &[0, 0, 0, 4]);
    let model = model.node("Slice", &["x", "to", "to", "axis"], &["none"], &[]);
    let error = refuse(model.node("Pad", &["none", "pads"], &["y"], &[]));
    assert!(matches!(&error, Error::Onnx { message, .. } if message.contains("1 to 2^22")), "{error}");
    let padded = |by| Builder::new(&[4]).ints("pads", &[0, 0, 0, by]).node("Pad", &["x", "pads"], &["y"], &[]);
    import(padded(4));
    let error = refuse(padded(1 << 44));
    assert!(matches!(&error, Error::Onnx { message, .. } if message.contains("beyond 2^31")), "{error}");
}

#[test]
fn graphs_inside_of_nodes_are_refused() {
    let model = Builder::new(&[3, 4]).random("w", &[1, 8, 4]).random("r", &[1, 8, 2]);
    let model = model.node("LSTM", &["x", "w", "r"], &["y"], &[("hidden_size", Attr::Int(2))]);
    let Error::Unsupported { nodes, .. } = refuse(model) else { panic!("unsupported") };
    assert!(nodes[0].advice.contains("recurrence"), "{}", nodes[0].advice);
}

#[test]
fn more_nodes_than_a_model_may_have() {
    let name = |i: usize| if i == 9000 { "y".to_owned() } else { format!("n{i}") };
    let model = Builder::new(&[1]).node("Relu", &["x"], &["n0"], &[]);
    let model = (0..9000).fold(model, |model, i| model.node("Relu", &[&name(i)], &[&name(i + 1)], &[]));
    let error = refuse(model);
    assert!(matches!(&error, Error::Onnx { message, .. } if message.contains("9001 nodes")), "{error}");
    // Looked at before anything whose work grows with their square.
    let name = |i: usize| if i == 200_000 { "y".to_owned() } else { format!("n{i}") };
    let model = Builder::new(&[1]).node("Relu", &["x"], &["n0"], &[]);
    let model = (0..200_000).fold(model, |model, i| model.node("Identity", &[&name(i)], &[&name(i + 1)], &[]));
    assert!(matches!(refuse(model), Error::Onnx { message, .. } if message.contains("200001 nodes")));
}

#[test]
fn names_that_two_nodes_have_are_told_apart() {
    let mut model = Builder::new(&[4]).node("Relu", &["x"], &["a"], &[]).node("Relu", &["a"], &["y"], &[]);
    model.graph.node.iter_mut().for_each(|node| node.name = "act".into());
    assert_eq!(operations(&import(model)), ["input", "relu", "relu"]);
}

#[test]
fn a_panic_that_is_caught_is_not_printed() {
    if std::env::var_os("SLOTWISE_TEST_PANIC").is_some() {
        guard::guard(|| panic!("caught in silence")).unwrap_err();
        panic!("printed");
    }
    let name = "onnx::tests::refused::a_panic_that_is_caught_is_not_printed";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args([name, "--exact", "--nocapture"]).env("SLOTWISE_TEST_PANIC", "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("printed") && !text.contains("silence"), "{text}");
}
