//! Files from anyone: truncated anywhere, bits flipped, lengths and counts that lie. Every reader ends with an error, soon, and
//! without taking memory for what is only claimed.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nn::data::Dataset;
use nn::engine::{Engine, server_plan};
use nn::onnx::OnnxModel;
use nn::plan::Goal;
use nn::progress::Silent;
use nn::session::{
    Client, Contributor, FileError, Header, Inspected, Kind, Part, PlanFile, Server, generate_keys, read_chunk,
    read_evaluation_keys, read_file, write_chunk, write_frame,
};
use slotwise_tests::{Folder, WEIGHT, small_model, small_samples};

/// A reader of one kind of file.
type Reader = Box<dyn Fn(&mut dyn Read) -> Result<(), FileError>>;

/// One whole file of each kind, with its reader.
fn files() -> Vec<(&'static str, Vec<u8>, Reader)> {
    let model = OnnxModel::from_bytes("small.onnx", &small_model(WEIGHT)).unwrap();
    let samples: Vec<f32> = small_samples(32).0.concat().into_iter().map(|x| x as f32).collect();
    let data = Dataset::new("small", vec![4], samples).unwrap();
    let engine = Engine::new(Some(1)).unwrap();
    let goal = Goal { interleave: Some(16), ..Goal::default() };
    let plan = Arc::new(engine.plan(&model, &data, &goal, &Silent).unwrap().0);
    let folder = Folder::empty();
    generate_keys(&plan, &folder.path("keys")).unwrap();
    let key = |name: &str| std::fs::read(folder.path("keys").join(name)).unwrap();
    let mut plan_bytes = Vec::new();
    plan.write(&mut plan_bytes).unwrap();

    let mut client = read_file(&folder.path("keys/secret.key"), |from| Client::read(&plan, from)).unwrap();
    let (marks, results) = (client.input_marks(), client.output_marks());
    let part = Part { batch: client.batch_id(), index: 0, chunks: 2, samples: 16 };
    let samples = client.encrypt(&data.to_f64()[..16 * 4]).unwrap();
    let mut input = Vec::new();
    write_chunk(marks, &part, &samples, &mut input).unwrap();
    let evaluation =
        read_file(&folder.path("keys/evaluation.key"), |from| read_evaluation_keys(&plan, from)).unwrap().0;
    let server = Server::new(&server_plan(&plan, &model).unwrap(), evaluation).unwrap();
    let mut output = Vec::new();
    write_chunk(results, &part, &server.infer(samples, &mut |_, _| ()).unwrap(), &mut output).unwrap();

    let [secret, public, evaluation, inputs, outputs] = [(); 5].map(|()| Arc::clone(&plan));
    vec![
        ("plan", plan_bytes, Box::new(|from| PlanFile::read(from).map(drop))),
        ("secret key", key("secret.key"), Box::new(move |from| Client::read(&secret, from).map(drop))),
        ("public key", key("public.key"), Box::new(move |from| Contributor::read(&public, from).map(drop))),
        (
            "evaluation keys",
            key("evaluation.key"),
            Box::new(move |from| read_evaluation_keys(&evaluation, from).map(drop)),
        ),
        ("samples", input, Box::new(move |from| read_chunk(&inputs, Kind::Input, marks.keys, from).map(drop))),
        ("results", output, Box::new(move |from| read_chunk(&outputs, Kind::Output, marks.keys, from).map(drop))),
    ]
}

/// Places to damage in a file: all of its head, and a sample of the rest.
fn places(length: usize) -> impl Iterator<Item = usize> {
    (0..length.min(200)).chain((200..length).step_by((length / 40).max(1))).chain(length.checked_sub(1))
}

#[test]
fn damaged_files_are_refused_in_little_time_and_memory() {
    let files = files();
    let peak = || nn::report::peak_memory_bytes().unwrap_or(0);
    let (started, before) = (Instant::now(), peak());
    let mut tried = 0;
    for (name, bytes, read) in &files {
        read(&mut &bytes[..]).unwrap_or_else(|error| panic!("a whole {name}: {error}"));
        Inspected::read(&mut &bytes[..]).unwrap();
        for end in places(bytes.len()) {
            let cut = &bytes[..end];
            assert!(read(&mut &cut[..]).is_err() && Inspected::read(&mut &cut[..]).is_err(), "{name} of {end} bytes");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[end] ^= 1 << bit;
                assert!(read(&mut &flipped[..]).is_err(), "{name} with bit {bit} of byte {end} flipped");
                assert!(Inspected::read(&mut &flipped[..]).is_err(), "{name} with bit {bit} of byte {end} flipped");
                tried += 1;
            }
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(read(&mut &longer[..]), Err(FileError::Length { .. })), "{name} with a byte more");
        for (other, _, other_read) in files.iter().filter(|(other, ..)| other != name) {
            let error = other_read(&mut &bytes[..]).unwrap_err();
            assert!(matches!(error, FileError::OtherKind { .. }), "{name} as {other}: {error}");
        }
    }
    assert!(tried > 5000, "{tried}");
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
    // The files, their objects, and little besides.
    let grown = peak().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes");
}

/// The file with another length in its head, the checksum right.
fn claiming(bytes: &[u8], length: u64) -> Vec<u8> {
    let header = Header { length, ..Header::read(&mut &bytes[..]).unwrap() };
    let mut head = Vec::new();
    // The head is written before the content is found to be missing.
    assert_eq!(write_frame(&header, &mut head, |_| Ok(())).is_ok(), length == 0);
    [&head[..88], &bytes[88..]].concat()
}

#[test]
fn lengths_that_lie_are_refused_before_memory_is_taken() {
    let before = nn::report::peak_memory_bytes().unwrap_or(0);
    let files = files();
    for (name, bytes, read) in &files {
        let length = bytes.len() as u64 - 92;
        for lie in [0, 1, length - 1, length + 1, length * 2, 1 << 32, 1 << 62, u64::MAX] {
            assert!(read(&mut &claiming(bytes, lie)[..]).is_err(), "{name} of {lie} bytes");
            // The same with as many bytes as claimed, or as are wanted: no reader goes on for ever.
            let endless = claiming(bytes, lie);
            let mut endless = endless.chain(std::io::repeat(0));
            assert!(read(&mut endless).is_err(), "{name} of {lie} bytes that never end");
        }
    }
    let grown = nn::report::peak_memory_bytes().unwrap_or(0).saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes");
}

/// The plan's file with `old` replaced in its JSON, all checksums and fingerprints right.
fn patched(plan: &[u8], old: &str, new: &str) -> Vec<u8> {
    let json = String::from_utf8(plan[88..plan.len() - 4].to_vec()).unwrap();
    assert!(json.contains(old), "{old} is not in {json}");
    let json = json.replacen(old, new, 1);
    let fingerprint = nn::fingerprint::Fingerprint::of([json.as_bytes()]);
    let header = Header { length: json.len() as u64, plan: fingerprint, ..Header::read(&mut &plan[..]).unwrap() };
    let mut file = Vec::new();
    write_frame(&header, &mut file, |to| to.write_all(json.as_bytes())).unwrap();
    file
}

#[test]
fn plans_that_cannot_be_are_refused_by_what_is_wrong() {
    let before = nn::report::peak_memory_bytes().unwrap_or(0);
    let (_, plan, read) = files().swap_remove(0);
    let json = String::from_utf8(plan[88..plan.len() - 4].to_vec()).unwrap();
    // A text between two others.
    let between = |from: &str, to: &str| {
        let rest = &json[json.find(from).unwrap() + from.len()..];
        format!("{from}{}", &rest[..rest.find(to).unwrap()])
    };
    for (old, new, words) in [
        (between("\"log_n\":", ","), "\"log_n\":10", "128-bit"),
        (between("\"log_n\":", ","), "\"log_n\":64", "128-bit"),
        (between("\"chain\":[", "]"), "\"chain\":[[50],[50],[50],[50],[50],[50],[50],[50],[50", "128-bit"),
        (between("\"chain\":[[", "]"), "\"chain\":[[1", "prime"),
        (between("\"special\":[", "]"), "\"special\":[", "special"),
        (between("\"dnum\":", "}"), "\"dnum\":0", "dnum"),
        (between("\"interleave\":", ","), "\"interleave\":3", "power of two"),
        (between("\"interleave\":", ","), "\"interleave\":0", "power of two"),
        (between("\"period\":", ","), "\"period\":1099511627776", "period"),
        (between("\"positions\":[", "]"), "\"positions\":[0,4294967295,2,3", "positions"),
        (between("\"positions\":[", "]"), "\"positions\":[0,1,1,3", "both lie"),
        (between("\"positions\":[", "]"), "\"positions\":[", "positions"),
        (between("\"positions\":[", "]"), "\"positions\":[0,1,2", "fit each other"),
        (between("\"level\":", ","), "\"level\":77", "level"),
        (between("\"scale\":[", "]"), "\"scale\":[\"NaN\",\"0e0\"", "finite"),
        (between("\"scale\":[", "]"), "\"scale\":[\"-1e0\",\"0e0\"", "scale"),
        (between("\"scale\":[", "]"), "\"scale\":[\"1e300\",\"0e0\"", "its plan cannot be"),
        (between("\"magnitude\":", "}"), "\"magnitude\":\"1e300\"", "its plan cannot be"),
        (between("\"galois\":{", "}"), "\"galois\":{\"2\":0", "Galois"),
        (between("\"relinearization\":", ","), "\"relinearization\":99", "level 99"),
        (between("\"waterline_bits\":", ","), "\"waterline_bits\":2000000000", "scales"),
        (between("\"input_shape\":[", "]"), "\"input_shape\":[4294967296,4294967296,4294967296", "fit each other"),
        (between("\"fingerprint\":\"", "\""), "\"fingerprint\":\"beef", "hexadecimal"),
        ("\"model\":".into(), "\"author\":1,\"model\":", "author"),
    ] {
        let error = read(&mut &patched(&plan, &old, new)[..]).unwrap_err().to_string();
        assert!(error.contains(words), "{new}: {error}");
    }
    let grown = nn::report::peak_memory_bytes().unwrap_or(0).saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes");
}
