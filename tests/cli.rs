//! Bad input to the real binary: an error that names the thing and says what to do, exit code 2, nothing written.

use slotwise_tests::{Folder, models};

/// How many weights the first dense layer has.
const DENSE_WEIGHTS: usize = 845 * 100;

fn model() -> Vec<u8> {
    std::fs::read(models("cryptonets-mnist.onnx")).unwrap()
}

/// The model with `new` in place of `old`.
fn patched(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut model = model();
    let at = model.windows(old.len()).position(|window| window == old).expect("the model has these bytes");
    model[at..at + new.len()].copy_from_slice(new);
    model
}

/// The model with other weights at the head of its first dense layer.
fn with_weights(weights: &[f32]) -> Vec<u8> {
    // Field 9 (`raw_data`) and its length, a base-128 number.
    let length = 4 * DENSE_WEIGHTS;
    let head = [0x4a, length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8];
    let mut model = model();
    let at = model.windows(4).position(|window| window == head).expect("the model has these weights") + 4;
    for (place, weight) in model[at..].chunks_exact_mut(4).zip(weights) {
        place.copy_from_slice(&weight.to_le_bytes());
    }
    model
}

/// A .npy file of single precision.
fn npy(shape: &str, values: &[f32]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    file
}

fn images(first: f32) -> Vec<u8> {
    let mut values = vec![0.5; 2 * 784];
    values[0] = first;
    npy("(2, 1, 28, 28)", &values)
}

/// A folder with a model and two samples that are good.
fn folder() -> Folder {
    let folder = Folder::empty();
    folder.write("model.onnx", &model());
    folder.write("images.npy", &images(0.5));
    folder
}

/// Runs and asserts that it is refused in words that contain `words`, and that no file has come or gone.
fn assert_refused(folder: &Folder, arguments: &[&str], words: &[&str]) {
    let before = folder.names();
    let output = folder.slotwise(arguments);
    let (said, printed) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} without {word:?}: {said}");
    }
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    let mut causes = said.trim_end().rsplit(": ");
    assert_ne!(causes.next(), causes.next(), "a cause named twice: {said}");
    assert_eq!(printed, "", "{arguments:?}");
    assert_eq!(folder.names(), before, "{arguments:?}");
}

/// The same for `run MODEL --data DATA --output out.csv --json report.json`.
fn assert_run_refused(folder: &Folder, model: &str, data: &str, words: &[&str]) {
    let arguments = ["run", model, "--data", data, "--output", "out.csv", "--json", "report.json"];
    assert_refused(folder, &arguments, words);
}

#[test]
fn models_that_are_none() {
    let folder = folder();
    assert_run_refused(&folder, "nowhere.onnx", "images.npy", &["nowhere.onnx"]);
    folder.write("empty.onnx", b"");
    assert_run_refused(&folder, "empty.onnx", "images.npy", &["empty.onnx", "empty"]);
    folder.write("half.onnx", &model()[..model().len() / 2]);
    assert_run_refused(&folder, "half.onnx", "images.npy", &["half.onnx", "export"]);
    folder.write("text.onnx", b"This is no model.");
    assert_run_refused(&folder, "text.onnx", "images.npy", &["text.onnx"]);
}

#[test]
fn models_that_cannot_be_encrypted() {
    let folder = folder();
    // x * x becomes x ^ x.
    folder.write("power.onnx", &patched(b"\x22\x03Mul", b"\x22\x03Pow"));
    assert_run_refused(&folder, "power.onnx", "images.npy", &["power.onnx", "Pow"]);
    folder.write("nan.onnx", &with_weights(&[f32::NAN]));
    assert_run_refused(&folder, "nan.onnx", "images.npy", &["NaN", "weights"]);
    folder.write("huge.onnx", &with_weights(&[3e38; DENSE_WEIGHTS]));
    assert_run_refused(&folder, "huge.onnx", "images.npy", &["dense1", "inf"]);
}

#[test]
fn data_that_is_none() {
    let folder = folder();
    assert_run_refused(&folder, "model.onnx", "nowhere.npy", &["nowhere.npy"]);
    folder.write("empty.npy", b"");
    assert_run_refused(&folder, "model.onnx", "empty.npy", &["empty.npy", "empty"]);
    folder.write("half.npy", &images(0.5)[..1000]);
    assert_run_refused(&folder, "model.onnx", "half.npy", &["half.npy", "1000"]);
    folder.write("half.gz", &std::fs::read(models("data/mnist-calibration-idx3-ubyte.gz")).unwrap()[..5000]);
    assert_run_refused(&folder, "model.onnx", "half.gz", &["half.gz", "truncated"]);
    folder.write("images.png", b"\x89PNG\r\n\x1a\n");
    assert_run_refused(&folder, "model.onnx", "images.png", &["images.png", "IDX"]);
}

#[test]
fn data_that_does_not_fit() {
    let folder = folder();
    folder.write("small.npy", &npy("(2, 14, 14)", &[0.5; 392]));
    assert_run_refused(&folder, "model.onnx", "small.npy", &["small.npy", "14", "28"]);
    folder.write("nan.npy", &images(f32::NAN));
    assert_run_refused(&folder, "model.onnx", "nan.npy", &["nan.npy", "NaN"]);
    folder.write("infinite.npy", &images(f32::INFINITY));
    assert_run_refused(&folder, "model.onnx", "infinite.npy", &["infinite.npy", "inf"]);
    folder.write("none.npy", &npy("(0, 1, 28, 28)", &[]));
    assert_run_refused(&folder, "model.onnx", "none.npy", &["none.npy"]);
}

#[test]
fn labels_that_do_not_fit() {
    let folder = folder();
    let run = |labels: &[u8], words: &[&str]| {
        folder.write("labels", labels);
        assert_refused(&folder, &["run", "model.onnx", "--data", "images.npy", "--labels", "labels"], words);
    };
    // IDX: two zeros, bytes, one dimension, its length.
    run(&[0, 0, 8, 1, 0, 0, 0, 1, 3], &["labels", "1 labels for 2 samples"]);
    run(&[0, 0, 8, 1, 0, 0, 0, 2, 3, 10], &["labels", "10"]);
    run(&[0, 0, 8, 1, 0, 0, 0, 2, 3], &["labels"]);
}

#[test]
fn data_beyond_the_calibration() {
    let folder = folder();
    folder.write("bright.npy", &images(1000.0));
    let arguments = ["run", "model.onnx", "--data", "bright.npy", "--calibration", "images.npy"];
    assert_refused(&folder, &arguments, &["bright.npy", "calibrate"]);
}

#[test]
fn calibration_that_says_nothing() {
    let folder = folder();
    folder.write("one.npy", &npy("(1, 1, 28, 28)", &[0.5; 784]));
    let run = |data: &str, calibration: &[&str], words: &[&str]| {
        assert_refused(&folder, &[&["run", "model.onnx", "--data", data], calibration].concat(), words);
    };
    run("images.npy", &["--calibration", "one.npy"], &["one.npy", "one sample", "--calibration"]);
    run("one.npy", &[], &["one.npy", "one sample"]);
    folder.write("small.npy", &npy("(2, 14, 14)", &[0.5; 392]));
    run("images.npy", &["--calibration", "small.npy"], &["small.npy", "14", "28"]);
    assert_refused(&folder, &["plan", "model.onnx", "--calibration", "one.npy"], &["one sample"]);
}

#[test]
fn flags_that_are_none() {
    let folder = folder();
    let run = |flags: &[&str], words: &[&str]| {
        let arguments = [&["run", "model.onnx", "--data", "images.npy"], flags].concat();
        assert_refused(&folder, &arguments, words);
    };
    run(&["--samples", "0"], &["--samples"]);
    run(&["--samples", "99999999999999"], &["99999999999999 samples", "memory"]);
    run(&["--threads", "-1"], &["-1"]);
    run(&["--threads", "100000"], &["1024"]);
    run(&["--interleave", "3"], &["interleave of 3", "power of two"]);
    run(&["--interleave", "1048576"], &["interleave of 1048576"]);
    run(&["--objective", "beauty"], &["beauty", "throughput", "latency"]);
    run(&["--output", "out.txt"], &["out.txt", ".npy", ".csv"]);
    run(&["--colour", "red"], &["--colour"]);
    assert_refused(&folder, &["sing"], &["sing"]);
    assert_refused(&folder, &["run", "model.onnx"], &["--data"]);
}

#[test]
fn results_that_have_no_place() {
    let folder = folder();
    let output = folder.slotwise(&["run", "model.onnx", "--data", "images.npy", "--output", "nowhere/out.csv"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("nowhere/out.csv"), "{said}");
    // Known before the run, not after it.
    assert!(output.stdout.is_empty());
    let run = |flags: &[&str], words: &[&str]| {
        assert_refused(&folder, &[&["run", "model.onnx", "--data", "images.npy"], flags].concat(), words);
    };
    run(&["--json", "."], &["directory"]);
    run(&["--output", "a.csv", "--json", "a.csv"], &["a.csv", "another file"]);
    run(&["--output", "images.npy"], &["images.npy", "another file"]);
    assert_eq!(folder.names(), ["images.npy", "model.onnx"]);
}

#[test]
fn an_unknown_backend() {
    // The variable is for bisecting; a typing error in it must not pass for the default.
    let folder = folder();
    let output = folder.slotwise_with(&["run", "model.onnx", "--data", "images.npy"], "SLOTWISE_BACKEND", "abacus");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("abacus") && said.contains("scalar"), "{said}");
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = folder();
    for (arguments, word) in [
        (&["--help"][..], "encrypted"),
        (&["run", "--help"], "--interleave"),
        (&["--version"], concat!("slotwise ", env!("CARGO_PKG_VERSION"))),
    ] {
        let output = folder.slotwise(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(word));
    }
}

#[test]
fn a_plan_is_printed_and_written() {
    let folder = folder();
    let arguments = ["plan", "model.onnx", "--calibration", "images.npy", "--batch", "2", "--explain"];
    let output = folder.slotwise(&[&arguments[..], &["--json", "plan.json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    for word in ["ring, N = 2^", "/dense1/Gemm", "relinearize", "all that was considered"] {
        assert!(printed.contains(word), "{word:?} is not in {printed}");
    }
    let plan: serde_json::Value = serde_json::from_str(&folder.read("plan.json")).unwrap();
    let (predicted, layers) = (&plan["predicted"], plan["layers"].as_array().unwrap());
    assert!(
        predicted["infer_s"].as_f64().unwrap() > 0.0 && predicted["peak_memory_bytes"].as_u64().unwrap() > 1_000_000
    );
    assert_eq!((predicted["samples"].as_u64(), layers.len()), (Some(2), 6));
    let seconds: f64 = layers.iter().map(|layer| layer["seconds"].as_f64().unwrap()).sum();
    assert!((seconds / predicted["chunk_s"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    let alternatives = plan["alternatives"].as_array().unwrap();
    assert!(alternatives.len() > 5 && alternatives[0]["refused"].is_null());
}

#[test]
fn goals_that_cannot_be() {
    let folder = folder();
    let plan = |flags: &[&str], words: &[&str]| {
        let arguments = [&["plan", "model.onnx", "--data", "images.npy", "--json", "plan.json"], flags].concat();
        assert_refused(&folder, &arguments, words);
    };
    plan(&["--memory", "0.01"], &["0.01 GiB", "least", "--memory"]);
    plan(&["--memory", "0"], &["above 0"]);
    plan(&["--precision", "300"], &["300", "precision"]);
    plan(&["--tolerance", "0"], &["above 0"]);
    plan(&["--interleave", "48"], &["48", "power of two"]);
    plan(&["--interleave", "1048576"], &["1048576", "slots"]);
    plan(&["--batch", "0"], &["from 1"]);
    plan(&["--json", "images.npy"], &["cannot be used multiple times"]);
    assert_refused(&folder, &["plan", "model.onnx"], &["--data", "--calibration"]);
    let onto_itself = ["plan", "model.onnx", "--data", "images.npy", "--json", "images.npy"];
    assert_refused(&folder, &onto_itself, &["images.npy", "another"]);
}
