//! Pipelines of scikit-learn in the words of `skl2onnx`.

use tract_onnx::pb::tensor_proto::DataType;

use super::*;
use crate::graph::Head;

const OFFSET: [f32; 3] = [1.0, -2.0, 0.5];
const SCALE: [f32; 3] = [2.0, 0.25, -1.0];

/// (x − offset) · scale, as 's'.
fn scaled() -> Builder {
    let attributes = [("offset", Attr::Floats(&OFFSET)), ("scale", Attr::Floats(&SCALE))];
    Builder::new(&[3]).node("Scaler", &["x"], &["s"], &attributes)
}

/// The pipeline with a linear classifier of so many classes, whose label goes through a cast and whose 'scores' through what `behind` adds.
fn classifier(classes: usize, transform: &str, behind: impl Fn(Builder) -> Builder) -> Builder {
    let coefficients: Vec<f32> = (0..3 * classes).map(|i| (i as f32 - 2.0) / 4.0).collect();
    let intercepts: Vec<f32> = (0..classes).map(|i| i as f32 - 0.5).collect();
    let labels: Vec<i64> = (0..classes as i64).collect();
    let attributes = [
        ("coefficients", Attr::Floats(&coefficients)),
        ("intercepts", Attr::Floats(&intercepts)),
        ("classlabels_ints", Attr::Ints(&labels)),
        ("post_transform", Attr::Str(transform)),
    ];
    let model = scaled().node("LinearClassifier", &["s"], &["label", "scores"], &attributes);
    let model = model.node("Cast", &["label"], &["output_label"], &[("to", Attr::Int(7))]);
    behind(model.output_of("output_label", DataType::Int64)).output("output_probability")
}

fn mapped(model: Builder, scores: &str) -> Builder {
    model.node("ZipMap", &[scores], &["output_probability"], &[])
}

fn results(model: Builder, x: [f64; 3]) -> (Head, Vec<f64>) {
    let model = import(model);
    (model.graph.head(), model.graph.run(&x).unwrap())
}

/// Coefficients and intercepts of [`classifier`] on the scaled (3, 2, 1): (4, 1, -0.5).
fn expected(classes: usize) -> Vec<f64> {
    let row = |class: usize| {
        let terms = [4.0, 1.0, -0.5].iter().enumerate();
        terms.map(|(i, x)| ((3 * class + i) as f64 - 2.0) / 4.0 * x).sum::<f64>() + class as f64 - 0.5
    };
    (0..classes).map(row).collect()
}

#[test]
fn a_scaler_and_a_linear_regression_are_one_map() {
    let attributes = [("coefficients", Attr::Floats(&[1.0, 2.0, 3.0])), ("intercepts", Attr::Floats(&[0.25]))];
    let model = scaled().node("LinearRegressor", &["s"], &["y"], &attributes);
    assert_eq!(results(model, [3.0, 2.0, 1.0]), (Head::Identity, vec![4.0 + 2.0 - 1.5 + 0.25]));
}

#[test]
fn of_a_classifier_the_probabilities_stay_and_are_the_key_holders() {
    let two = classifier(2, "LOGISTIC", |model| mapped(model, "scores"));
    assert_eq!(results(two, [3.0, 2.0, 1.0]), (Head::Sigmoid, expected(2)));
    let three = classifier(3, "SOFTMAX", |model| {
        mapped(model.node("Normalizer", &["scores"], &["normal"], &[("norm", Attr::Str("L1"))]), "normal")
    });
    let (head, found) = results(three, [3.0, 2.0, 1.0]);
    assert!(matches!(head, Head::Softmax(axis) if axis.length == 3), "{head:?}");
    assert_eq!(found, expected(3));
    let bare = classifier(3, "NONE", |model| model.node("Identity", &["scores"], &["output_probability"], &[]));
    assert_eq!(results(bare, [3.0, 2.0, 1.0]), (Head::Identity, expected(3)));
}

#[test]
fn the_other_of_two_classes_has_the_sigmoid_of_the_opposite() {
    let model = scaled().random("w", &[3, 1]).node("MatMul", &["s", "w"], &["z"], &[]);
    let model = model.weight("unity", &[], &[1.0]).node("Sigmoid", &["z"], &["this"], &[]);
    let model = model.node("Sub", &["unity", "this"], &["other"], &[]);
    let model = model.node("Concat", &["other", "this"], &["probabilities"], &[("axis", Attr::Int(1))]);
    let model = model.node("ArgMax", &["probabilities"], &["label"], &[("axis", Attr::Int(1))]);
    let (head, found) = results(
        mapped(model.output_of("label", DataType::Int64).output("output_probability"), "probabilities"),
        [3.0, 2.0, 1.0],
    );
    assert!(head == Head::Sigmoid && found.len() == 2 && found[0] == -found[1], "{head:?} {found:?}");
}

#[test]
fn what_has_no_plain_form_is_refused_by_name() {
    let per_class = classifier(3, "LOGISTIC", |model| {
        mapped(model.node("Normalizer", &["scores"], &["normal"], &[("norm", Attr::Str("L1"))]), "normal")
    });
    let error = OnnxModel::from_bytes("test.onnx", &per_class.finish()).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { nodes, .. } if nodes[0].operator == "Normalizer"), "{error}");
    let error = OnnxModel::from_bytes("test.onnx", &classifier(2, "PROBIT", |m| mapped(m, "scores")).finish());
    assert!(matches!(error, Err(Error::Onnx { .. })), "{error:?}");
    let two = scaled().node("Neg", &["s"], &["a"], &[]).node("Neg", &["a"], &["b"], &[]).output("a").output("b");
    assert!(matches!(OnnxModel::from_bytes("test.onnx", &two.finish()), Err(Error::OnnxInterface { .. })));
}
