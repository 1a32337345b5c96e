//! `slotwise bench`: what it reports, and what it refuses.

use serde_json::Value;
use slotwise_tests::Folder;

/// The operations of a report, in the ring that has them all.
const OPS: [&str; 17] = [
    "ntt_forward",
    "ntt_inverse",
    "encode",
    "decode",
    "encrypt_public",
    "encrypt_secret",
    "decrypt",
    "add",
    "mul_plain",
    "mul_relin",
    "rescale",
    "rotate",
    "rotate_hoisted_16",
    "rotate_hoisted_16_lazy",
    "conjugate",
    "keygen_rotation",
    "key_expand",
];

/// What it prints and what it writes.
fn bench(arguments: &[&str]) -> (String, Value) {
    let folder = Folder::empty();
    let output = folder.slotwise(&[&["bench", "--json", "report.json"], arguments].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    (String::from_utf8(output.stdout).unwrap(), serde_json::from_str(&folder.read("report.json")).unwrap())
}

/// The rows in which `column` is `value`.
fn rows<'a>(report: &'a Value, column: &str, value: u64) -> Vec<&'a Value> {
    report["ops"].as_array().unwrap().iter().filter(|row| row[column] == value).collect()
}

fn assert_ops(rows: &[&Value], wanted: impl Fn(&str) -> bool) {
    let mut found: Vec<&str> = rows.iter().map(|row| row["op"].as_str().unwrap()).collect();
    let mut wanted: Vec<&str> = OPS.into_iter().filter(|op| wanted(op)).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn a_sweep_has_a_row_for_every_operation_of_every_combination() {
    let sizes = ["--log-n", "10", "--limbs", "2,3", "--limb-bits", "40", "--special", "1"];
    let (printed, report) = bench(&[&sizes[..], &["--insecure"]].concat());
    assert!(printed.lines().next().unwrap().contains("INSECURE"), "{printed}");
    assert_eq!(report["insecure"], true);
    assert_eq!(report["params"], report["sets"][0]["params"]);
    assert_eq!((&report["params"]["log_n"], &report["params"]["security_bits"]), (&10.into(), &Value::Null));
    for limbs in [2, 3] {
        let rows = rows(&report, "limbs", limbs);
        assert_ops(&rows, |_| true);
        for row in rows {
            let (median, min) = (row["median_ms"].as_f64().unwrap(), row["min_ms"].as_f64().unwrap());
            assert!(0.0 < min && min <= median, "{row}");
            assert_eq!((&row["log_n"], &row["dnum"], &row["threads"]), (&10.into(), &limbs.into(), &1.into()));
            match row["precision_bits"].as_f64() {
                // At a scale of 2^40, or of 2^38 where two limbs must hold a product.
                Some(bits) => assert!((20.0..38.0).contains(&bits), "{row}"),
                None => {
                    let op = row["op"].as_str().unwrap();
                    assert!(["ntt_forward", "ntt_inverse", "keygen_rotation", "key_expand"].contains(&op), "{row}");
                }
            }
        }
    }
    // (b, a) for each of three digits and four primes, 1024 coefficients and a cache line of words.
    let bytes = &report["sets"][1]["bytes"];
    assert_eq!(bytes["switching_key_expanded"], 2 * 3 * 4 * (1024 + 8) * 8);
    // Two parts of three limbs of 40 bits, and a header.
    let residues = 2 * 3 * 1024 * 40 / 8;
    assert!((residues..residues + 256).contains(&bytes["ciphertext"].as_u64().unwrap()), "{bytes}");
}

#[test]
fn a_secure_set_says_so_and_names_what_it_leaves_out() {
    let sizes = ["--log-n", "12", "--limbs", "1", "--limb-bits", "50", "--special", "1"];
    let (printed, report) = bench(&[&sizes[..], &["--ring", "conjugate-invariant", "--threads", "1,2"]].concat());
    assert!(!printed.contains("INSECURE") && printed.contains("no conjugate") && printed.contains("no rescale"));
    assert_eq!((&report["insecure"], &report["params"]["security_bits"]), (&false.into(), &128.into()));
    assert_eq!(report["params"]["ring"], "conjugate-invariant");
    for (threads, limits) in [1, 2].into_iter().zip(report["limits"].as_array().unwrap()) {
        assert_eq!(limits["threads"], threads);
        // No machine is outside of these.
        assert!((1e7..1e12).contains(&limits["products_per_s"].as_f64().unwrap()), "{limits}");
        assert!((1e8..1e13).contains(&limits["read_bytes_per_s"].as_f64().unwrap()), "{limits}");
        assert_ops(&rows(&report, "threads", threads), |op| op != "conjugate" && op != "rescale");
    }
    // Of several threads only, and no machine is outside of these either.
    let independent = report["independent"].as_array().unwrap();
    let ops: Vec<_> = independent.iter().map(|row| row["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["mul_relin", "rotate"]);
    for row in independent {
        let [alone, together, gain, loop_gain, share] =
            ["alone_per_s", "together_per_s", "gain", "loop_gain", "share"].map(|column| row[column].as_f64().unwrap());
        assert_eq!((&row["threads"], &row["log_n"], &row["limbs"]), (&2.into(), &12.into(), &1.into()), "{row}");
        assert!((1.0..1e8).contains(&alone) && (0.2..4.0).contains(&gain) && (0.2..4.0).contains(&loop_gain), "{row}");
        assert!((gain * alone / together - 1.0).abs() < 1e-9 && (share * loop_gain / gain - 1.0).abs() < 1e-9, "{row}");
    }
    assert!(printed.contains("rotate of independent ciphertexts"), "{printed}");
    let kernels = report["machine"]["kernels"].as_str().unwrap();
    assert!(printed.lines().last().unwrap().contains(kernels), "{printed}");
}

#[test]
fn parameters_that_no_ring_has() {
    let folder = Folder::empty();
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = folder.slotwise(&[&["bench", "--json", "report.json"], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?} without {word:?}: {said}");
        }
        assert!(!said.contains("panicked") && output.stdout.is_empty(), "{arguments:?}: {said}");
        assert_eq!(folder.names(), Vec::<String>::new(), "{arguments:?}");
    };
    let sizes = |log_n, limbs, limb_bits, special, words: &[&str]| {
        let sizes = ["--log-n", log_n, "--limbs", limbs, "--limb-bits", limb_bits, "--special", special];
        refused(&sizes, words);
    };
    sizes("12", "3", "40", "1", &["170.0", "106", "--insecure"]);
    sizes("18", "3", "40", "1", &["--log-n", "18", "17"]);
    sizes("9", "3", "40", "1", &["--log-n", "9", "10"]);
    sizes("14", "9", "17", "1", &["17 bits", "32768"]);
    sizes("13", "3", "51", "1", &["51 bits", "50"]);
    sizes("13", "3", "0", "1", &["0 bits"]);
    sizes("13", "3", "40", "0", &["--special", "0"]);
    sizes("13", "0", "40", "1", &["--limbs", "0"]);
    sizes("13", "99999999999", "40", "1", &["--limbs", "256"]);
    refused(&["--log-n", "13", "--limbs", "3"], &["--limb-bits", "--special"]);
    refused(&["--limbs", "3"], &["--log-n"]);
    refused(&["--set", "p99"], &["p99", "p13", "p16"]);
    refused(&["--set", "p13", "--log-n", "13"], &["--set", "--log-n"]);
    refused(&["--set", "p13", "--threads", "0"], &["--threads"]);
    let dnum = ["--log-n", "14", "--limbs", "3", "--limb-bits", "40", "--special", "1", "--dnum"];
    refused(&[&dnum[..], &["1"]].concat(), &["120.0 bits", "dnum"]);
    refused(&[&dnum[..], &["4"]].concat(), &["dnum 4", "3 limbs"]);
}

#[test]
fn more_keys_than_memory_holds() {
    let folder = Folder::empty();
    let sizes = ["--log-n", "17", "--limbs", "200", "--limb-bits", "50", "--special", "1"];
    let output = folder.slotwise(&[&["bench", "--insecure"], &sizes[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("200 limbs") && said.contains("memory"), "{said}");
}
