//! `slotwise run` with every model of `models/`, on a few samples: what comes out of encryption is what the model gives in the clear.

use serde_json::Value;
use slotwise_tests::{Folder, models};

/// Runs a model on the first samples of a test set; `dataset` is what the names of its files begin with.
fn run(model: &str, dataset: [&str; 2], flags: &[&str]) -> (Vec<Vec<f64>>, Value) {
    let [test, calibration] = dataset;
    let (model, data) = (models(model), models(&format!("data/{test}t10k-images-idx3-ubyte.gz")));
    let labels = models(&format!("data/{test}t10k-labels-idx1-ubyte.gz"));
    let calibration = models(&format!("data/{calibration}-calibration-idx3-ubyte.gz"));
    let files = ["run", &model, "--data", &data, "--labels", &labels, "--calibration", &calibration];
    score(&[&files, flags].concat())
}

fn score(arguments: &[&str]) -> (Vec<Vec<f64>>, Value) {
    let folder = Folder::empty();
    let output = folder.slotwise(&[arguments, &["--output", "out.csv", "--json", "report.json"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    let rows = folder.read("out.csv");
    let rows = rows.lines().map(|line| line.split(',').map(|number| number.parse().unwrap()).collect()).collect();
    (rows, serde_json::from_str(&folder.read("report.json")).unwrap())
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number {pointer} in {report}"))
}

/// The encrypted run agrees with the clear one, with some bits of error and not without any.
fn assert_as_in_the_clear(report: &Value, activations: usize) {
    assert_eq!(number(report, "/accuracy/agreement"), 1.0, "{}", report["accuracy"]);
    assert!((3.0..30.0).contains(&number(report, "/accuracy/precision_bits")), "{}", report["accuracy"]);
    assert_eq!(number(report, "/params/security_bits"), 128.0);
    assert_eq!(report["activations"].as_array().map(Vec::len), Some(activations), "{}", report["activations"]);
}

const MNIST: [&str; 2] = ["", "mnist"];

#[test]
fn squares_on_one_image() {
    let (rows, report) = run("cryptonets-mnist.onnx", MNIST, &["--samples", "2", "--objective", "latency"]);
    assert_eq!((rows.len(), rows[0].len()), (2, 10));
    assert_as_in_the_clear(&report, 0);
}

#[test]
fn a_perceptron_with_relu() {
    for objective in ["latency", "throughput"] {
        let (_, report) = run("mnist-mlp-relu.onnx", MNIST, &["--samples", "8", "--objective", objective]);
        assert_as_in_the_clear(&report, 2);
        // The first eight images of the test set are easy.
        assert_eq!(number(&report, "/accuracy/encrypted"), 1.0, "{objective}");
        assert_eq!(report["activations"][0]["node"], "/Relu");
    }
}

#[test]
fn convolutions_with_relu_on_one_image() {
    let (_, report) = run("lenet5-relu-mnist.onnx", MNIST, &["--samples", "2", "--objective", "latency"]);
    assert_as_in_the_clear(&report, 4);
    assert_eq!(number(&report, "/accuracy/encrypted"), 1.0);
}

#[test]
fn a_residual_network_with_silu_on_one_image() {
    let dataset = ["fashion-", "fashion"];
    let (_, report) = run("fashion-resnet-silu.onnx", dataset, &["--samples", "2", "--objective", "latency"]);
    assert_as_in_the_clear(&report, 4);
    assert_eq!(number(&report, "/accuracy/encrypted"), 1.0);
}

#[test]
fn a_softmax_is_taken_after_decryption() {
    let zoo = |name: &str| models(&format!("../tests/zoo/{name}"));
    let (model, data) = (zoo("softmax.dynamo.onnx"), zoo("softmax.x.npy"));
    let (rows, report) = score(&["run", &model, "--data", &data]);
    assert_as_in_the_clear(&report, 0);
    assert_eq!((rows.len(), rows[0].len()), (3, 4));
    assert!(
        rows.iter().all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-6 && row.iter().all(|&p| p > 0.0)),
        "{rows:?}"
    );
    let model = zoo("argmax.script.onnx");
    let (classes, _) = score(&["run", &model, "--data", &data]);
    assert_eq!(classes.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
}
