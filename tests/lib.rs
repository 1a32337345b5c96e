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

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.0.path());
        command
    }
}
