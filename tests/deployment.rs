//! Two parties in two folders, with the real binary: the six commands, and every pair of files that do not belong together.

use std::path::Path;

use slotwise_tests::{Deployment, Folder, WEIGHT, assert_refusal, small_model, small_relu, small_samples};

/// Runs `slotwise` in a folder and asserts that it is refused.
fn refused(folder: &Folder, arguments: &[&str], words: &[&str]) {
    let before = folder.names();
    assert_refusal(&folder.slotwise(arguments), words);
    assert_eq!(folder.names(), before, "{arguments:?}");
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn six_commands_in_two_folders() {
    let deployment = Deployment::new(20, 8);
    let Deployment { owner, server, .. } = &deployment;
    assert_eq!(names(&owner.path("keys")), ["batches", "evaluation.key", "public.key", "secret.key"]);
    assert_eq!(names(&owner.path("in")), [".lock", "input-000000.ct", "input-000001.ct", "input-000002.ct"]);
    assert!(deployment.run_infer("in", "out", &[]).status.success());
    deployment.assert_results(&deployment.decrypt("out"));

    // The public key encrypts as well; overlapping changes nothing, nor does the number of threads.
    deployment.encrypt("public.key", "in-public");
    assert!(deployment.run_infer("in-public", "out-public", &["--threads", "1"]).status.success());
    deployment.assert_results(&deployment.decrypt("out-public"));
    let tight = deployment.run_infer("in", "out-tight", &["--memory", "0.001"]);
    assert_refusal(&tight, &["GiB", "--memory"]);

    for (file, words) in [
        ("plan", &["a plan, format 1", "N = 2^", "bytes a chunk"][..]),
        ("keys/secret.key", &["a secret key, format 1", "keys "]),
        ("in/input-000001.ct", &["encrypted samples", "1 of 3"]),
    ] {
        let said = owner.succeed(&["inspect", file]);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert!(server.succeed(&["inspect", "out/output-000002.ct"]).contains("encrypted results"));
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_plan_says_what_the_files_weigh() {
    let deployment = Deployment::new(20, 8);
    deployment.encrypt("public.key", "in-public");
    assert!(deployment.run_infer("in", "out", &[]).status.success());
    let said = deployment.owner.succeed(&["inspect", "plan"]);
    assert!(said.contains("flooding                none"), "{said}");
    let Deployment { owner, server, .. } = &deployment;
    for (line, file) in [
        ("input, secret key", owner.path("in/input-000000.ct")),
        ("input, public key", owner.path("in-public/input-000000.ct")),
        ("output", server.path("out/output-000000.ct")),
        ("evaluation keys", owner.path("keys/evaluation.key")),
        ("public key", owner.path("keys/public.key")),
        ("secret key", owner.path("keys/secret.key")),
    ] {
        let size = format!(" {} bytes", bytes(&file).len());
        assert!(said.lines().any(|said| said.starts_with(line) && said.contains(&size)), "{line}:{size} not in {said}");
    }
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_a_secret_key_and_nobody_overwrites_one() {
    use std::os::unix::fs::PermissionsExt;
    let Deployment { owner, .. } = Deployment::new(1, 1);
    let secret = owner.path("keys/secret.key");
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let before = bytes(&secret);
    refused(&owner, &["keygen", "--plan", "plan", "-o", "keys"], &["keys/secret.key", "never overwritten"]);
    std::fs::remove_file(owner.path("keys/public.key")).unwrap();
    std::fs::remove_file(owner.path("keys/evaluation.key")).unwrap();
    refused(&owner, &["keygen", "--plan", "plan", "-o", "keys"], &["keys/secret.key", "never overwritten"]);
    assert_eq!(bytes(&secret), before);
}

#[test]
fn two_runs_share_no_randomness() {
    let deployment = Deployment::new(8, 8);
    let owner = &deployment.owner;
    owner.succeed(&["keygen", "--plan", "plan", "-o", "other"]);
    deployment.encrypt("secret.key", "again");
    deployment.encrypt("public.key", "public");
    deployment.encrypt("public.key", "public-again");
    for (one, two) in [
        ("keys/secret.key", "other/secret.key"),
        ("keys/public.key", "other/public.key"),
        ("keys/evaluation.key", "other/evaluation.key"),
        ("in/input-000000.ct", "again/input-000000.ct"),
        ("public/input-000000.ct", "public-again/input-000000.ct"),
    ] {
        let (one, two) = (bytes(&owner.path(one)), bytes(&owner.path(two)));
        assert_eq!(one.len(), two.len());
        // Behind the frame and the head of a chunk, bytes agree by chance: one of 81 in a secret key, one of 256 elsewhere.
        let same = one.iter().zip(&two).skip(128).filter(|(one, two)| one == two).count();
        assert!(same * 20 < one.len(), "{same} of {} bytes are the same", one.len());
    }
}

#[test]
fn files_that_do_not_belong_together() {
    let (one, two) = (Deployment::new(20, 8), Deployment::new(20, 4));
    let second = |name: &str| two.owner.path(name).to_str().unwrap().to_owned();
    let owner = &one.owner;
    // Another plan.
    let (plan, key) = (second("plan"), second("keys/secret.key"));
    let data = ["--data", "samples.txt", "-o", "new"];
    refused(
        owner,
        &[&["encrypt", "--plan", "plan", "--key", &key], &data[..]].concat(),
        &["secret.key", "belongs to plan"],
    );
    refused(
        owner,
        &[&["encrypt", "--plan", &plan, "--key", "keys/public.key"], &data[..]].concat(),
        &["belongs to plan"],
    );
    std::fs::copy(&plan, one.server.path("plan")).unwrap();
    assert_refusal(&one.run_infer("in", "out", &[]), &["evaluation.key", "belongs to plan"]);
    std::fs::copy(owner.path("plan"), one.server.path("plan")).unwrap();

    // Other keys of the same plan.
    owner.succeed(&["keygen", "--plan", "plan", "-o", "other"]);
    std::fs::rename(owner.path("other/evaluation.key"), owner.path("keys/evaluation.key")).unwrap();
    assert_refusal(&one.run_infer("in", "out", &[]), &["input-000000.ct", "belongs to the keys"]);
    owner.succeed(&["encrypt", "--plan", "plan", "--key", "other/public.key", "--data", "samples.txt", "-o", "in2"]);
    assert!(one.run_infer("in2", "out2", &[]).status.success());
    let results = one.server.path("out2").to_str().unwrap().to_owned();
    let decrypt = |plan: &str, key: &str, words: &[&str]| {
        let arguments = ["decrypt", "--plan", plan, "--secret-key", key, "--input", &results, "-o", "results.csv"];
        refused(owner, &arguments, words);
    };
    decrypt("plan", "keys/secret.key", &["output-000000.ct", "belongs to the keys"]);
    decrypt("plan", "other/public.key", &["public.key", "holds a public key", "a secret key must be"]);
    decrypt("keys/secret.key", "other/secret.key", &["holds a secret key", "a plan must be"]);
    decrypt("samples.txt", "other/secret.key", &["samples.txt", "no file of slotwise"]);
    decrypt(&plan, &key, &["output-000000.ct", "belongs to plan"]);
}

#[test]
fn another_model_another_batch_and_a_newer_format() {
    let deployment = Deployment::new(20, 8);
    let Deployment { owner, server, .. } = &deployment;
    server.write("model.onnx", &small_model(WEIGHT + 0.25));
    assert_refusal(&deployment.run_infer("in", "out", &[]), &["model.onnx", "another model", "fingerprint"]);
    server.write("model.onnx", &small_model(WEIGHT));
    assert!(deployment.run_infer("in", "out", &[]).status.success());

    // Results of another batch: as a whole, and mixed.
    deployment.encrypt("secret.key", "in2");
    assert!(deployment.run_infer("in2", "out2", &[]).status.success());
    let results = server.path("out2").to_str().unwrap().to_owned();
    let decrypt = ["decrypt", "--plan", "plan", "--secret-key", "keys/secret.key", "--input", &results, "-o", "x.csv"];
    refused(owner, &[&decrypt[..], &["--batch", "in"]].concat(), &["out2", "results of batch"]);
    owner.succeed(&[&decrypt[..], &["--batch", "in2"]].concat());
    std::fs::copy(server.path("out/output-000001.ct"), server.path("out2/output-000001.ct")).unwrap();
    refused(owner, &decrypt, &["output-000001.ct", "is of batch"]);
    assert_refusal(&deployment.run_infer("in2", "out", &["--resume"]), &["output-000000.ct", "is of batch"]);
    assert_refusal(&deployment.run_infer("in", "out", &[]), &["out", "--resume"]);
    let encrypt = ["encrypt", "--plan", "plan", "--key", "keys/secret.key", "--data", "samples.txt", "-o", "in"];
    refused(owner, &encrypt, &["in", "batch"]);
    std::fs::rename(server.path("out/output-000001.ct"), server.path("out/output-000007.ct")).unwrap();
    assert_refusal(&deployment.run_infer("in", "out", &["--resume"]), &["output-000007.ct", "chunk 1"]);

    let mut newer = bytes(&owner.path("plan"));
    newer[8] += 1;
    owner.write("newer", &newer);
    refused(owner, &["keygen", "--plan", "newer", "-o", "new"], &["newer", "format 2", "format 1"]);
    let mut damaged = bytes(&owner.path("in/input-000001.ct"));
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    owner.write("in/input-000001.ct", &damaged);
    assert_refusal(&deployment.run_infer("in", "out3", &[]), &["input-000001.ct", "damaged"]);
    refused(owner, &["inspect", "in/input-000001.ct"], &["checksum"]);
}

#[test]
fn results_of_a_batch_that_was_not_encrypted_here() {
    let deployment = Deployment::new(20, 8);
    let Deployment { owner, server, .. } = &deployment;
    // Somebody else has the public key and no more.
    std::fs::create_dir(owner.path("elsewhere")).unwrap();
    std::fs::copy(owner.path("keys/public.key"), owner.path("elsewhere/public.key")).unwrap();
    let said = owner.succeed(&[
        "encrypt",
        "--plan",
        "plan",
        "--key",
        "elsewhere/public.key",
        "--data",
        "samples.txt",
        "-o",
        "in2",
    ]);
    assert_eq!(names(&owner.path("elsewhere")), ["public.key"]);
    let id = said.split("batch ").nth(1).unwrap().split(',').next().unwrap();
    assert!(deployment.run_infer("in2", "out2", &[]).status.success());
    let results = server.path("out2").to_str().unwrap().to_owned();
    let decrypt = ["decrypt", "--plan", "plan", "--secret-key", "keys/secret.key", "--input", &results, "-o", "x.csv"];
    refused(owner, &decrypt, &["out2", &format!("results of batch {id}"), "keys/batches", "--batch"]);
    let none = "0123456789abcdef0123456789abcdef";
    refused(owner, &[&decrypt[..], &["--batch", none]].concat(), &["out2", id, none]);
    refused(owner, &[&decrypt[..], &["--batch", "keys"]].concat(), &["keys/input-000000.ct", "no chunk"]);
    assert!(owner.succeed(&[&decrypt[..], &["--batch", id]].concat()).contains(id));
    // Nothing is known beside a key that was moved alone.
    std::fs::copy(owner.path("keys/secret.key"), owner.path("elsewhere/secret.key")).unwrap();
    owner.succeed(&[
        "decrypt",
        "--plan",
        "plan",
        "--secret-key",
        "elsewhere/secret.key",
        "--input",
        &results,
        "-o",
        "x.npy",
    ]);
}

#[test]
fn a_batch_that_cannot_be_recorded_is_not_encrypted() {
    let Deployment { owner, .. } = &Deployment::new(20, 8);
    std::fs::remove_file(owner.path("keys/batches")).unwrap();
    std::fs::create_dir(owner.path("keys/batches")).unwrap();
    let encrypt = ["encrypt", "--plan", "plan", "--key", "keys/secret.key", "--data", "samples.txt", "-o", "in2"];
    assert_refusal(&owner.slotwise(&encrypt), &["keys/batches"]);
    assert_eq!(names(&owner.path("in2")), [".lock"]);
}

#[test]
fn samples_that_do_not_fit_the_plan() {
    let Deployment { owner, .. } = Deployment::new(1, 1);
    let encrypt = |data: &str, words: &[&str]| {
        refused(&owner, &["encrypt", "--plan", "plan", "--key", "keys/secret.key", "--data", data, "-o", "in"], words);
    };
    std::fs::remove_file(owner.path("in/input-000000.ct")).unwrap();
    owner.write("bright.txt", small_samples(3).1.replace("0.", "90.").as_bytes());
    encrypt("bright.txt", &["bright.txt", "3 of 3 samples", "sample 0 has ", "units"]);
    owner.write("late.txt", (small_samples(10).1 + "0.1,0.2,0.3,90\n").as_bytes());
    encrypt("late.txt", &["late.txt", "1 of 11 samples", "sample 10 has 9.000e1", "units"]);
    assert_eq!(names(&owner.path("in")), [".lock"]);
    owner.write("wide.txt", b"1,2,3,4,5\n");
    encrypt("wide.txt", &["wide.txt", "[5]", "[4]"]);
}

#[test]
fn whoever_has_the_model_can_look_at_samples_before_they_are_encrypted() {
    let owner = Folder::empty();
    owner.write("model.onnx", &small_relu(WEIGHT));
    owner.write("other.onnx", &small_relu(2.0 * WEIGHT));
    let (samples, text) = small_samples(64);
    owner.write("samples.txt", text.as_bytes());
    let stretched = |by: f64| {
        let line = |sample: &Vec<f64>| sample.iter().map(|x| (x * by).to_string()).collect::<Vec<_>>().join(",") + "\n";
        samples.iter().map(line).collect::<String>()
    };
    owner.write("wider.txt", stretched(1.4).as_bytes());
    owner.write("far.txt", stretched(3.0).as_bytes());
    owner.succeed(&["plan", "model.onnx", "--calibration", "samples.txt", "-o", "plan"]);
    owner.succeed(&["keygen", "--plan", "plan", "-o", "keys"]);
    let encrypt = |model: &str, data: &str, folder: &str| -> Vec<String> {
        let fixed =
            ["encrypt", "--plan", "plan", "--key", "keys/secret.key", "--model", model, "--data", data, "-o", folder];
        fixed.map(str::to_owned).to_vec()
    };
    let succeed = |data: &str, folder: &str| {
        owner.succeed(&encrypt("model.onnx", data, folder).iter().map(String::as_str).collect::<Vec<_>>())
    };
    let said = succeed("samples.txt", "in");
    assert!(said.contains("64 samples") && !said.contains("outside"), "{said}");
    let said = succeed("wider.txt", "in-wider");
    assert!(
        said.contains("64 samples")
            && (said.contains("value outside; sample ") || said.contains("values outside; sample ")),
        "{said}"
    );
    let refuse = |model: &str, data: &str, words: &[&str]| {
        refused(&owner, &encrypt(model, data, "in-none").iter().map(String::as_str).collect::<Vec<_>>(), words);
    };
    refuse("model.onnx", "far.txt", &["far.txt", "sample ", "polynomial"]);
    refuse("other.onnx", "samples.txt", &["another model"]);
}
