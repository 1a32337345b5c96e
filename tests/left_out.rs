//! Samples out of a plan's range: left out by name where they are few, refused where they are many; never a wrong result, and no harm to others.

use slotwise_tests::{Folder, WEIGHT, assert_refusal, small_relu, small_samples};

/// Of samples that go far beyond the range, in a batch of 100.
const FAR: [usize; 2] = [17, 98];
const N: usize = 100;

/// A model with a ReLU, calibration data, and data of which some lie far outside.
fn folder() -> Folder {
    let folder = Folder::empty();
    folder.write("model.onnx", &small_relu(WEIGHT));
    folder.write("calibration.txt", small_samples(64).1.as_bytes());
    let text = |far: &[usize]| {
        let row = |(sample, row): (usize, &Vec<f64>)| {
            let factor = if far.contains(&sample) { 6.0 } else { 1.0 };
            row.iter().map(|x| (x * factor).to_string()).collect::<Vec<_>>().join(",") + "\n"
        };
        small_samples(N).0.iter().enumerate().map(row).collect::<String>()
    };
    folder.write("data.txt", text(&FAR).as_bytes());
    folder.write("many.txt", text(&[0, 3, 17, 50, 60, 98]).as_bytes());
    folder
}

/// What the model makes of a sample.
fn expected(x: &[f64]) -> [f64; 2] {
    let a = [[0.5, -0.5, 0.25], [0.5, 0.75, -1.0], [0.125, 0.5, 0.5], [-0.25, 0.5, 1.0]];
    let b = [[0.5, 1.0], [-0.75, 0.25], [0.5, -0.5]];
    let relu = |j: usize| (0..4).map(|i| x[i] * a[i][j]).sum::<f64>().max(0.0);
    [0, 1].map(|k| (0..3).map(|j| relu(j) * b[j][k]).sum())
}

/// The rows of a file of results: NaN in those that are left out and nowhere else, and close to the model in the others.
fn assert_rows(folder: &Folder, name: &str) {
    let text = folder.read(name);
    let rows: Vec<Vec<f64>> = text.lines().map(|row| row.split(',').map(|x| x.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), N);
    for (sample, (row, x)) in rows.iter().zip(small_samples(N).0).enumerate() {
        match FAR.contains(&sample) {
            true => assert!(row.len() == 2 && row.iter().all(|x| x.is_nan()), "{sample}: {row:?}"),
            // What the polynomial of a ReLU is off by.
            false => assert!(row.iter().zip(expected(&x)).all(|(a, b)| (a - b).abs() < 0.25), "{sample}: {row:?}"),
        }
    }
}

const RUN: [&str; 6] = ["run", "model.onnx", "--calibration", "calibration.txt", "--data", "data.txt"];

/// `run` with further flags.
fn run(folder: &Folder, flags: &[&str]) -> std::process::Output {
    folder.slotwise(&[&RUN, flags].concat())
}

#[test]
fn a_run_names_what_it_leaves_out_and_scores_the_others() {
    let folder = folder();
    // The label of each sample is its class; that of the ones far outside is wrong, and does not count.
    let class = |(sample, x): (usize, &Vec<f64>)| {
        let [first, second] = expected(x);
        usize::from(second > first) ^ usize::from(FAR.contains(&sample))
    };
    let labels: String = small_samples(N).0.iter().enumerate().map(class).map(|class| format!("{class}\n")).collect();
    folder.write("labels.txt", labels.as_bytes());
    let flags = ["--labels", "labels.txt", "--interleave", "64", "--output", "out.csv", "--json", "report.json"];
    let said = folder.succeed(&[&RUN, &flags[..]].concat());
    for words in ["2 of 100 samples out of range, 2.00 %", "sample 17 has ", "sample 98 has ", "98 samples, 64 a"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert_rows(&folder, "out.csv");
    let report: serde_json::Value = serde_json::from_str(&folder.read("report.json")).unwrap();
    let left_out = report["left_out"].as_array().unwrap();
    assert_eq!(left_out.iter().map(|out| out["sample"].as_u64().unwrap() as usize).collect::<Vec<_>>(), FAR);
    for out in left_out {
        assert_eq!(out["node"], report["activations"][0]["node"]);
        let [low, high] = [0, 1].map(|end| out["range"][end].as_f64().unwrap());
        let value = out["value"].as_f64().unwrap();
        assert!((value < low || value > high) && out["error"].as_f64().unwrap() > high, "{out}");
    }
    assert_eq!(report["batch"]["samples"], 98);
    assert_eq!(report["accuracy"]["original"], 1.0);
    // They do not spoil those that they would share a ciphertext with.
    assert!(report["accuracy"]["precision_bits"].as_f64().unwrap() > 5.0, "{}", report["accuracy"]);
    // Nothing is outside that was computed.
    assert!(report["activations"][0]["outside"].is_null());
}

#[test]
fn more_than_a_share_is_refused_and_so_is_any_where_none_may_be() {
    let folder = folder();
    let before = folder.names();
    let output = folder.slotwise(&[&RUN[..5], &["many.txt", "--output", "out.csv"]].concat());
    assert_refusal(&output, &["many.txt", "6 of 100 samples, more than the 5 %", "--leave-out", "sample 0 has "]);
    assert_refusal(
        &run(&folder, &["--leave-out", "0"]),
        &["data.txt", "2 of 100 samples are out of range", "sample 17"],
    );
    assert_refusal(&run(&folder, &["--leave-out", "1.5"]), &["2 of 100 samples, more than the 1.5 %"]);
    assert_refusal(&run(&folder, &["--leave-out", "100"]), &["less than 100"]);
    assert_eq!(folder.names(), before);
    let said = folder.succeed(&[&RUN[..5], &["many.txt", "--leave-out", "6"]].concat());
    assert!(said.contains("6 of 100 samples out of range"), "{said}");
}

#[test]
fn inner_values_beyond_what_noise_is_measured_by_are_left_out_too() {
    let folder = folder();
    let flood = ["--flood", "16", "--precision", "3"];
    // Far outside of the polynomial, or a little beyond the planned magnitude, which is all that noise hides.
    let reach = small_samples(64).0.concat().into_iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    let little = format!("{},0,0,0\n", reach * 1.26);
    folder.write("little.txt", (small_samples(99).1 + &little).as_bytes());
    let run = |flags: &[&str]| folder.slotwise(&[&RUN[..5], &["little.txt", "--output", "out.csv"], flags].concat());
    let said = |output: std::process::Output| String::from_utf8(output.stdout).unwrap();
    assert!(said(run(&[])).contains("accuracy") && !said(run(&[])).contains("out of range"));
    let said = said(run(&flood));
    assert!(said.contains("1 of 100 samples out of range") && said.contains("sample 99 has 1.26"), "{said}");
    assert!(folder.read("out.csv").ends_with("\nNaN,NaN\n"));
    assert_refusal(&run(&[&flood[..], &["--leave-out", "0"]].concat()), &["sample 99 has 1.26"]);
    let said = folder.succeed(&[&RUN[..], &flood].concat());
    assert!(said.contains("2 of 100 samples out of range"), "{said}");
}

/// A plan for the model, and keys.
fn with_keys(flags: &[&str]) -> Folder {
    let folder = folder();
    let plan = ["plan", "model.onnx", "--calibration", "calibration.txt", "--interleave", "64", "-o", "plan"];
    folder.succeed(&[&plan, flags].concat());
    folder.succeed(&["keygen", "--plan", "plan", "-o", "keys"]);
    folder
}

fn encrypt<'a>(key: &'a str, data: &'a str, to: &'a str) -> Vec<&'a str> {
    vec!["encrypt", "--plan", "plan", "--key", key, "--model", "model.onnx", "--data", data, "-o", to]
}

/// Infers and decrypts what is in `from`; what the last says.
fn decrypted(folder: &Folder, from: &str, flags: &[&str]) -> String {
    let (key, out) = (["--evaluation-key", "keys/evaluation.key", "--input", from], format!("{from}-out"));
    folder.succeed(&[&["infer", "--model", "model.onnx", "--plan", "plan", "--output", &out], &key[..]].concat());
    let decrypt = ["decrypt", "--plan", "plan", "--secret-key", "keys/secret.key", "--input", &out, "-o", "out.csv"];
    folder.succeed(&[&decrypt, flags].concat())
}

#[test]
fn between_two_parties_the_key_owner_marks_what_was_left_out() {
    let folder = with_keys(&[]);
    let said = folder.succeed(&encrypt("keys/secret.key", "data.txt", "in"));
    for words in
        ["left out: sample 17 has ", "left out: sample 98 has ", "2 of 100 samples left out", "98 samples in 2 chunks"]
    {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert!(folder.read("keys/batches").ends_with(" 17 98\n"));
    let said = decrypted(&folder, "in", &[]);
    assert!(said.contains("98 results of batch ") && said.contains("NaN for 2 samples"), "{said}");
    assert_rows(&folder, "out.csv");

    let refuse = |data: &str, flags: &[&str], words: &[&str]| {
        let arguments = [&encrypt("keys/secret.key", data, "in-none")[..], flags].concat();
        assert_refusal(&folder.slotwise(&arguments), words);
        assert!(!folder.path("in-none").exists());
    };
    refuse("many.txt", &[], &["many.txt", "6 of 100 samples, more than the 5 %", "--leave-out"]);
    refuse("data.txt", &["--leave-out", "0"], &["data.txt", "sample 17 has "]);
    folder.succeed(&[&encrypt("keys/secret.key", "many.txt", "in-many")[..], &["--leave-out", "6"]].concat());

    // A record that cannot be.
    let record = folder.read("keys/batches").replace(" 17 98\n", " 98 17\n");
    folder.write("keys/batches", record.as_bytes());
    let decrypt = ["decrypt", "--plan", "plan", "--secret-key", "keys/secret.key", "--input", "in-out", "-o", "x.csv"];
    assert_refusal(&folder.slotwise(&decrypt), &["batches", "left out"]);
    assert!(!folder.path("x.csv").exists());
}

#[test]
fn whoever_encrypts_elsewhere_is_told_that_nobody_marks_them() {
    let folder = with_keys(&[]);
    std::fs::create_dir(folder.path("elsewhere")).unwrap();
    std::fs::copy(folder.path("keys/public.key"), folder.path("elsewhere/public.key")).unwrap();
    let said = folder.succeed(&encrypt("elsewhere/public.key", "data.txt", "in"));
    assert!(said.contains("no record beside the key"), "{said}");
    assert!(decrypted(&folder, "in", &["--batch", "in"]).contains("98 results"));
    assert!(folder.read("out.csv").lines().count() == 98 && !folder.read("out.csv").contains("NaN"));
}

#[test]
fn what_is_flooded_is_checked_before_it_is_encrypted() {
    let folder = with_keys(&["--flood", "16", "--precision", "3"]);
    let said = folder.succeed(&encrypt("keys/secret.key", "data.txt", "in"));
    assert!(said.contains("2 of 100 samples left out"), "{said}");
    decrypted(&folder, "in", &[]);
    let nan = folder.read("out.csv").lines().map(|row| row.contains("NaN")).collect::<Vec<_>>();
    assert_eq!((0..N).filter(|&sample| nan[sample]).collect::<Vec<_>>(), FAR);
    // Without the model only values of the samples themselves can be held to the bound, and they are.
    let blind = ["encrypt", "--plan", "plan", "--key", "keys/secret.key", "--data", "data.txt", "-o", "in-blind"];
    let refused = folder.slotwise(&[&blind[..], &["--leave-out", "1"]].concat());
    assert_refusal(&refused, &["data.txt", "sample 17 has ", "at node 'input'", "--leave-out"]);
    assert!(!folder.path("in-blind").exists());
    assert!(folder.succeed(&blind).contains("2 of 100 samples left out"));
    assert!(folder.read("keys/batches").ends_with(" 17 98\n"));
}
