//! The main job and its packings, with the real binary: what the report must say, and that every packing gives the same labels.

use serde_json::Value;
use slotwise_tests::{Folder, models};

/// What `run` is asked on the MNIST test set, with further flags; returns the rows of results and the report.
fn score(flags: &[&str]) -> (Vec<Vec<f64>>, Value) {
    let folder = Folder::empty();
    let (model, data) = (models("cryptonets-mnist.onnx"), models("data/t10k-images-idx3-ubyte.gz"));
    let labels = models("data/t10k-labels-idx1-ubyte.gz");
    let calibration = models("data/mnist-calibration-idx3-ubyte.gz");
    let files = ["run", &model, "--data", &data, "--labels", &labels, "--calibration", &calibration];
    let output = folder.slotwise(&[&files, flags, &["--output", "out.csv", "--json", "report.json"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    // Progress is for terminals.
    assert_eq!(said, "");
    assert!(String::from_utf8(output.stdout).unwrap().contains("128 bits of security"));
    assert_eq!(folder.names(), ["out.csv", "report.json"]);
    let rows = folder.read("out.csv");
    let rows = rows.lines().map(|line| line.split(',').map(|number| number.parse().unwrap()).collect()).collect();
    (rows, serde_json::from_str(&folder.read("report.json")).unwrap())
}

fn labels(rows: &[Vec<f64>]) -> Vec<usize> {
    let best = |row: &Vec<f64>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    rows.iter().map(best).collect()
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number {pointer} in {report}"))
}

/// The names that readers of the report rely on.
const FIELDS: [(&str, &[&str]); 8] = [
    ("params", &["log_n", "log_q", "log_qp", "bound_log_qp", "security_bits", "limbs", "special_limbs", "dnum"]),
    ("batch", &["samples", "per_ciphertext", "interleave"]),
    ("time_s", &["plan", "prepare", "keygen", "encrypt", "infer", "decrypt", "total"]),
    ("throughput", &["infer_samples_per_s"]),
    ("bytes", &["evaluation_keys", "public_key", "encrypted_input", "encrypted_output"]),
    ("ops", &["ct_ct_mul", "ct_pt_mul", "scalar_mac", "rotations", "relinearizations", "rescales", "limb_ntts"]),
    (
        "accuracy",
        &["original", "he_model_clear", "program_clear", "encrypted", "agreement", "max_abs_error", "precision_bits"],
    ),
    ("machine", &["cores", "threads"]),
];

fn assert_complete(report: &Value) {
    for (object, fields) in FIELDS {
        fields
            .iter()
            .for_each(|field| assert!(number(report, &format!("/{object}/{field}")) >= 0.0, "{object}/{field}"));
    }
    assert!(report["params"]["ring"].is_string() && report["machine"]["cpu"].is_string());
    let steps = report["params"]["scale_bits"].as_array().unwrap();
    assert!(steps.len() > 1 && steps.iter().all(Value::is_u64));
    assert!(number(report, "/params/log_qp") <= number(report, "/params/bound_log_qp"));
    assert_eq!(number(report, "/params/security_bits"), 128.0);
}

#[test]
fn the_mnist_test_set_is_scored_as_in_the_clear() {
    let (rows, report) = score(&[]);
    assert_eq!((rows.len(), rows[0].len()), (10_000, 10));
    assert_complete(&report);
    let accuracy = |name: &str| number(&report, &format!("/accuracy/{name}"));
    assert!(accuracy("encrypted") >= 0.987 && accuracy("agreement") >= 0.999, "{}", report["accuracy"]);
    // Ten bits fewer, and labels could change; twenty more, and nothing could have been encrypted.
    assert!((5.0..30.0).contains(&accuracy("precision_bits")), "{}", report["accuracy"]);
    assert_eq!(accuracy("program_clear"), accuracy("he_model_clear"));
    assert!((accuracy("precision_bits") + accuracy("max_abs_error").log2()).abs() < 1e-9);
}

#[test]
fn every_packing_gives_the_same_labels() {
    let samples = ["--samples", "4"];
    let (rows, report) = score(&samples);
    assert_complete(&report);
    let mut seen = Vec::new();
    for interleave in [8192, 256, 1] {
        let (packed, report) = score(&[&samples[..], &["--interleave", &interleave.to_string()]].concat());
        assert_complete(&report);
        assert_eq!(number(&report, "/batch/interleave") as usize, interleave);
        assert_eq!(labels(&packed), labels(&rows), "interleave {interleave}");
        let errors = packed.iter().flatten().zip(rows.iter().flatten()).map(|(a, b)| (a - b).abs());
        assert!(errors.fold(0.0, f64::max) < 0.1, "interleave {interleave}");
        seen.push(number(&report, "/ops/rotations") > 0.0);
    }
    // With one feature a ciphertext there is nothing to rotate.
    assert_eq!(seen, [false, true, true]);
}

#[test]
fn a_set_can_be_scored_over_again() {
    let (rows, report) = score(&["--samples", "10003", "--threads", "1"]);
    assert_eq!((rows.len(), number(&report, "/batch/samples")), (10_003, 10_003.0));
    assert_eq!(labels(&rows[10_000..]), labels(&rows[..3]));
    assert_eq!(number(&report, "/machine/threads"), 1.0);
}
