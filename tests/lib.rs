//! The binary `slotwise`, built as this test was and run in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where the binary is. It belongs to another package, so Cargo does not build it for a test of this one; asked to, Cargo does nothing
/// if it is there already.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--bin", "slotwise"]).current_dir(root());
        // target/PROFILE/deps/this-test
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap();
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "{build:?} failed");
        folder.join(format!("slotwise{}", std::env::consts::EXE_SUFFIX))
    })
}

/// The root of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A file of the folder `models`.
pub fn models(name: &str) -> String {
    root().join("models").join(name).to_str().unwrap().to_owned()
}

/// A temporary folder to run in.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// An empty one.
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Puts a file into it.
    pub fn write(&self, name: &str, contents: &[u8]) {
        std::fs::write(self.0.path().join(name), contents).unwrap();
    }

    /// The place of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file that is in it.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// The names of all files in it, hidden ones included.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `slotwise` in it.
    pub fn slotwise(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `slotwise` in it with an environment variable.
    pub fn slotwise_with(&self, arguments: &[&str], name: &str, value: &str) -> Output {
        self.command(arguments).env(name, value).output().unwrap()
    }

    /// `slotwise`, to be run in it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        // What is timed while tests run is not for the user's cache.
        let cache = binary().with_file_name("test-cache");
        command.args(arguments).current_dir(self.0.path()).env("XDG_CACHE_HOME", cache);
        command
    }
}

/// A field of a protobuf message: a number, or bytes with their length.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn numeric(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// An ONNX model of 4 features and 2 results, (x A)² B; `weight` is in one corner of A.
pub fn small_model(weight: f32) -> Vec<u8> {
    small_network(weight, "Mul", &["y", "y"])
}

/// The same with max(x A, 0) in place of the square.
pub fn small_relu(weight: f32) -> Vec<u8> {
    small_network(weight, "Relu", &["y"])
}

fn small_network(weight: f32, activation: &str, of: &[&str]) -> Vec<u8> {
    let node = |operator: &str, inputs: &[&str], output: &str| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
        field(1, &[inputs, field(2, output.as_bytes()), field(4, operator.as_bytes())].concat())
    };
    let weights = |name: &str, rows: u64, cols: u64, values: &[f32]| {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let head = [numeric(1, rows), numeric(1, cols), numeric(2, 1), field(8, name.as_bytes())].concat();
        field(5, &[head, field(9, &raw)].concat())
    };
    let value = |number: u64, name: &str, features: u64| {
        let shape = [field(1, &field(2, b"batch")), field(1, &numeric(1, features))].concat();
        let tensor = [numeric(1, 1), field(2, &shape)].concat();
        field(number, &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat())
    };
    let graph = [
        node("MatMul", &["x", "a"], "y"),
        node(activation, of, "z"),
        node("MatMul", &["z", "b"], "out"),
        field(2, b"small"),
        weights("a", 4, 3, &[weight, -0.5, 0.25, 0.5, 0.75, -1.0, 0.125, 0.5, 0.5, -0.25, 0.5, 1.0]),
        weights("b", 3, 2, &[0.5, 1.0, -0.75, 0.25, 0.5, -0.5]),
        value(11, "x", 4),
        value(12, "out", 2),
    ];
    [numeric(1, 8), field(7, &graph.concat()), field(8, &numeric(2, 13))].concat()
}

/// What [`small_model`] makes of a sample.
pub fn small_results(weight: f64, x: &[f64]) -> [f64; 2] {
    let a = [[weight, -0.5, 0.25], [0.5, 0.75, -1.0], [0.125, 0.5, 0.5], [-0.25, 0.5, 1.0]];
    let b = [[0.5, 1.0], [-0.75, 0.25], [0.5, -0.5]];
    let square = |j: usize| (0..4).map(|i| x[i] * a[i][j]).sum::<f64>().powi(2);
    [0, 1].map(|k| (0..3).map(|j| square(j) * b[j][k]).sum())
}

/// `n` samples for [`small_model`], between −1 and 1, as text.
pub fn small_samples(n: usize) -> (Vec<Vec<f64>>, String) {
    let value = |sample: usize, feature: usize| ((sample * 31 + feature * 17 + 5) % 64) as f64 / 32.0 - 1.0;
    let samples: Vec<Vec<f64>> = (0..n).map(|sample| (0..4).map(|feature| value(sample, feature)).collect()).collect();
    let line = |sample: &Vec<f64>| sample.iter().map(f64::to_string).collect::<Vec<_>>().join(",") + "\n";
    let text = samples.iter().map(line).collect();
    (samples, text)
}

/// A data owner with a plan for [`small_model`] and samples, and a server with the model; each in a folder of its own.
pub struct Deployment {
    /// `plan`, `samples.txt`, `keys`, and `in` with the encrypted samples.
    pub owner: Folder,
    /// `model.onnx`, `plan`.
    pub server: Folder,
    /// The samples.
    pub samples: Vec<Vec<f64>>,
}

/// The weight of the model that is deployed.
pub const WEIGHT: f32 = 0.5;

impl Deployment {
    /// Everything up to encrypted samples, `interleave` of them a chunk.
    pub fn new(samples: usize, interleave: usize) -> Self {
        let (owner, server) = (Folder::empty(), Folder::empty());
        server.write("model.onnx", &small_model(WEIGHT));
        let (samples, text) = small_samples(samples);
        owner.write("samples.txt", text.as_bytes());
        // The model's owner calibrates on samples of its own.
        server.write("calibration.txt", small_samples(64).1.as_bytes());
        let deployment = Self { owner, server, samples };
        let interleave = interleave.to_string();
        let plan =
            ["plan", "model.onnx", "--calibration", "calibration.txt", "--interleave", &interleave, "-o", "plan"];
        deployment.server.succeed(&plan);
        std::fs::copy(deployment.server.path("plan"), deployment.owner.path("plan")).unwrap();
        deployment.owner.succeed(&["keygen", "--plan", "plan", "-o", "keys"]);
        deployment.encrypt("secret.key", "in");
        deployment
    }

    /// Encrypts the samples once more.
    pub fn encrypt(&self, key: &str, folder: &str) {
        let key = format!("keys/{key}");
        self.owner.succeed(&["encrypt", "--plan", "plan", "--key", &key, "--data", "samples.txt", "-o", folder]);
    }

    /// The arguments of `infer` from the owner's folder `input` to the server's folder `output`.
    pub fn infer(&self, input: &str, output: &str) -> Vec<String> {
        let owner = |name: &str| self.owner.path(name).to_str().unwrap().to_owned();
        let fixed = ["infer", "--model", "model.onnx", "--plan", "plan", "--output", output];
        let mut arguments: Vec<String> = fixed.map(str::to_owned).to_vec();
        arguments.extend(["--evaluation-key".into(), owner("keys/evaluation.key")]);
        arguments.extend(["--input".into(), owner(input)]);
        arguments
    }

    /// Runs `infer` with further flags.
    pub fn run_infer(&self, input: &str, output: &str, flags: &[&str]) -> Output {
        let arguments = self.infer(input, output);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        self.server.slotwise(&arguments)
    }

    /// Decrypts the server's folder `output`: one row a sample.
    pub fn decrypt(&self, output: &str) -> Vec<Vec<f64>> {
        let output = self.server.path(output).to_str().unwrap().to_owned();
        let fixed = ["decrypt", "--plan", "plan", "--secret-key", "keys/secret.key", "-o", "results.csv", "--input"];
        self.owner.succeed(&[&fixed[..], &[&output]].concat());
        let rows = self.owner.read("results.csv");
        rows.lines().map(|row| row.split(',').map(|value| value.parse().unwrap()).collect()).collect()
    }

    /// Asserts that the results are those of the model, and not too exact to have been encrypted.
    pub fn assert_results(&self, results: &[Vec<f64>]) {
        assert_eq!(results.len(), self.samples.len());
        let pairs = self.samples.iter().zip(results).flat_map(|(sample, found)| {
            let expected = small_results(f64::from(WEIGHT), sample);
            expected.into_iter().zip(found.clone())
        });
        let error = pairs.map(|(expected, found)| (expected - found).abs()).fold(0.0, f64::max);
        assert!((1e-12..0.02).contains(&error), "{error}");
    }
}

impl Folder {
    /// Runs `slotwise` in it, and asserts that it succeeds; what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.slotwise(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Asserts that a run of `slotwise` was refused in words that contain `words`.
pub fn assert_refusal(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
}
