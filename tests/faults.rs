//! A server that is killed, a disk that fills up, a folder that cannot be written to, a chunk that disappears, a second server:
//! a clear error, what was complete is kept, and `--resume` ends with the results of an undisturbed run.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use slotwise_tests::{Deployment, Folder, assert_refusal};

/// How often the server is killed: `SLOTWISE_KILLS`, or so that the suite stays short.
fn kills() -> usize {
    std::env::var("SLOTWISE_KILLS").map_or(25, |kills| kills.parse().unwrap())
}

/// The chunks of results in a folder.
fn results(folder: &Folder, name: &str) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = folder.path(name).read_dir() else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap());
    let chunks = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with("output-"));
    chunks.map(|chunk| (chunk.file_name().into_string().unwrap(), std::fs::read(chunk.path()).unwrap())).collect()
}

/// A deployment with many chunks, and their results.
fn deployment(chunks: usize) -> (Deployment, BTreeMap<String, Vec<u8>>) {
    let deployment = Deployment::new(chunks, 1);
    assert!(deployment.run_infer("in", "undisturbed", &[]).status.success());
    let undisturbed = results(&deployment.server, "undisturbed");
    assert_eq!(undisturbed.len(), chunks);
    deployment.assert_results(&deployment.decrypt("undisturbed"));
    (deployment, undisturbed)
}

/// Asserts that a resumed run completes what is there to what an undisturbed run makes.
fn assert_resumes(deployment: &Deployment, output: &str, undisturbed: &BTreeMap<String, Vec<u8>>) {
    let resumed = deployment.run_infer("in", output, &["--resume"]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert!(results(&deployment.server, output) == *undisturbed, "other results");
    let left: Vec<String> = deployment.server.path(output).read_dir().unwrap().map(name).collect();
    assert!(left.iter().all(|name| !name.starts_with(".slotwise-")), "{left:?}");
}

fn name(entry: std::io::Result<std::fs::DirEntry>) -> String {
    entry.unwrap().file_name().into_string().unwrap()
}

#[test]
fn a_server_killed_at_any_moment_loses_nothing() {
    let (deployment, undisturbed) = deployment(40);
    let arguments = deployment.infer("in", "out");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--resume"]).collect();
    let started = Instant::now();
    assert!(deployment.run_infer("in", "timed", &[]).status.success());
    let whole_run = started.elapsed();
    // xorshift; any moment of a run, a little beyond its end included.
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let (mut killed, mut partial) = (0, 0);
    while killed < kills() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = whole_run.mul_f64(1.05 * (random >> 11) as f64 / (1u64 << 53) as f64);
        let mut server = deployment.server.command(&arguments);
        let mut server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        if server.try_wait().unwrap().is_none() {
            server.kill().unwrap();
            killed += 1;
        }
        server.wait().unwrap();
        let there = results(&deployment.server, "out");
        for (name, result) in &there {
            assert!(undisturbed[name] == *result, "{name} after kill {killed} at {moment:?} of {whole_run:?}");
        }
        partial += usize::from((1..undisturbed.len()).contains(&there.len()));
        // A whole batch is the end of a story; begin another, now and then in the middle of one.
        if there.len() == undisturbed.len() || random.is_multiple_of(5) {
            assert_resumes(&deployment, "out", &undisturbed);
            std::fs::remove_dir_all(deployment.server.path("out")).unwrap();
        }
    }
    println!("{killed} kills, {partial} of them in the middle of a batch, no result lost");
    assert!(partial * 4 > killed, "only {partial} of {killed} kills came in the middle of a batch");
    deployment.run_infer("in", "out", &["--resume"]);
    assert_resumes(&deployment, "out", &undisturbed);
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up() {
    let (deployment, undisturbed) = deployment(6);
    let chunk = undisturbed.values().next().unwrap().len();
    // No file may grow to the size of a chunk; whoever writes is told so instead of being killed.
    let limited = |output: &str, kilobytes: usize, flags: &[&str]| {
        let slotwise = deployment.server.command(&[]);
        let mut shell = Command::new("bash");
        shell.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &kilobytes.to_string()]);
        shell.arg(slotwise.get_program()).args(deployment.infer("in", output)).args(flags);
        shell.current_dir(deployment.server.path(".")).output().unwrap()
    };
    assert_refusal(&limited("out", chunk / 2048, &[]), &["output-000000.ct", "nothing was written"]);
    assert_eq!(results(&deployment.server, "out").len(), 0);
    assert!(limited("out", chunk / 1024 + 1, &["--resume"]).status.success());
    assert!(results(&deployment.server, "out") == undisturbed);
}

#[test]
fn folders_that_cannot_be_written_to() {
    let deployment = Deployment::new(1, 1);
    // Whoever may write anywhere cannot make a folder of a file.
    assert_refusal(&deployment.run_infer("in", "model.onnx", &[]), &["model.onnx"]);
    assert_refusal(&deployment.run_infer("in", "model.onnx/out", &[]), &["model.onnx/out"]);
    let owner = &deployment.owner;
    let encrypt = ["encrypt", "--plan", "plan", "--key", "keys/secret.key", "--data", "samples.txt", "-o", "plan/in"];
    assert_refusal(&owner.slotwise(&encrypt), &["plan/in"]);
    assert_refusal(&owner.slotwise(&["keygen", "--plan", "plan", "-o", "samples.txt"]), &["samples.txt"]);
    assert_refusal(&deployment.server.slotwise(&["infer", "--model", "model.onnx"]), &["--plan"]);
}

#[test]
fn a_chunk_that_is_missing_or_disappears() {
    let (deployment, undisturbed) = deployment(40);
    let (chunk, aside) = (deployment.owner.path("in/input-000039.ct"), deployment.owner.path("aside"));
    std::fs::rename(&chunk, &aside).unwrap();
    assert_refusal(&deployment.run_infer("in", "out", &[]), &["input-000039.ct", "chunk 39 of 40", "missing"]);
    std::fs::rename(&aside, &chunk).unwrap();

    let arguments = deployment.infer("in", "out");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = deployment.server.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while results(&deployment.server, "out").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "no result appeared");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::rename(&chunk, &aside).unwrap();
    assert_refusal(&server.wait_with_output().unwrap(), &["input-000039.ct"]);
    let kept = results(&deployment.server, "out");
    assert!(!kept.is_empty() && kept.len() < 40, "{} results", kept.len());
    assert!(kept.iter().all(|(name, result)| undisturbed[name] == *result));
    std::fs::rename(&aside, &chunk).unwrap();
    assert_resumes(&deployment, "out", &undisturbed);

    std::fs::remove_file(deployment.server.path("out/output-000017.ct")).unwrap();
    let out = deployment.server.path("out").to_str().unwrap().to_owned();
    let decrypt = ["decrypt", "--plan", "plan", "--secret-key", "keys/secret.key", "--input", &out, "-o", "x.csv"];
    assert_refusal(&deployment.owner.slotwise(&decrypt), &["output-000017.ct", "chunk 17 of 40", "--resume"]);
    assert_resumes(&deployment, "out", &undisturbed);
}

#[test]
fn two_servers_in_one_folder() {
    let deployment = Deployment::new(3, 1);
    std::fs::create_dir(deployment.server.path("out")).unwrap();
    let lock = std::fs::File::create(deployment.server.path("out/.lock")).unwrap();
    lock.lock().unwrap();
    assert_refusal(&deployment.run_infer("in", "out", &[]), &["out", "another process"]);
    drop(lock);
    assert!(deployment.run_infer("in", "out", &[]).status.success());
}
