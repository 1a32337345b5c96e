//! What the targets share: one whole file of each kind, and a way to damage it behind right checksums.
//!
//! Files are too long for a fuzzer to find, and their checksums catch it at once. So its bytes are edits: each six of them put
//! a byte at an offset of a whole payload, or cut it there; the frame is then made anew. And every file is tried as the
//! bytes themselves.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use nn::data::Dataset;
use nn::engine::{Engine, server_plan};
use nn::onnx::OnnxModel;
use nn::plan::Goal;
use nn::progress::Silent;
use nn::session::{
    Client, FileError, Header, Kind, Part, PlanFile, Server, generate_keys, read_chunk, read_evaluation_keys, read_file,
    write_chunk, write_frame,
};

/// Bytes of a header and its checksum, before a payload.
const HEADER: usize = 88;

/// Bytes of the checksum behind a payload.
const CHECKSUM: usize = 4;

/// A plan, a pair of keys, and what was made with them.
pub struct Fixture {
    /// The plan.
    pub plan: Arc<PlanFile>,
    /// The secret key, a file.
    pub secret: Vec<u8>,
    /// The public key, a file.
    pub public: Vec<u8>,
    /// The evaluation keys, a file.
    pub evaluation: Vec<u8>,
    /// A chunk of samples, a file.
    pub input: Vec<u8>,
    /// A chunk of results, a file.
    pub output: Vec<u8>,
}

/// Made once a process.
pub static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../tests/zoo/dense.script.onnx");
    let model = OnnxModel::from_bytes("dense", bytes).expect("a model of the zoo");
    let shape = model.graph.input_shape().to_vec();
    let features: usize = shape.iter().product();
    let samples: Vec<f32> = (0..4 * features).map(|i| (i % 7) as f32 / 7.0 - 0.5).collect();
    let data = Dataset::new("samples", shape, samples).expect("whole samples");
    let engine = Engine::new(Some(1)).expect("a thread");
    let goal = Goal { interleave: Some(2048), ..Goal::default() };
    let plan = Arc::new(engine.plan(&model, &data, &goal, &Silent).expect("a plan").0);

    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    generate_keys(&plan, &keys).expect("keys");
    let [secret, public, evaluation] =
        ["secret.key", "public.key", "evaluation.key"].map(|name| std::fs::read(keys.join(name)).expect("a key"));
    let mut client = read_file(&keys.join("secret.key"), |from| Client::read(&plan, from)).expect("the secret key");
    let part = Part { batch: client.batch_id(), index: 0, chunks: 1, samples: 4 };
    let encrypted = client.encrypt(&data.to_f64()).expect("samples within the plan");
    let mut input = Vec::new();
    write_chunk(client.input_marks(), &part, &encrypted, &mut input).expect("memory takes everything");
    let server_keys = read_evaluation_keys(&plan, &mut &evaluation[..]).expect("the evaluation keys").0;
    let server = Server::new(&server_plan(&plan, &model).expect("the plan's model"), server_keys).expect("a server");
    let results = server.infer(encrypted, &mut |_, _| ()).expect("an inference");
    let mut output = Vec::new();
    write_chunk(client.output_marks(), &part, &results, &mut output).expect("memory takes everything");
    Fixture { plan, secret, public, evaluation, input, output }
});

/// Reads `data` as a file, and `whole` with the edits that `data` says, its checksums right.
pub fn damaged(whole: &[u8], data: &[u8], read: impl Fn(&mut dyn Read) -> Result<(), FileError>) {
    let _ = read(&mut &data[..]);
    let mut payload = whole[HEADER..whole.len() - CHECKSUM].to_vec();
    for edit in data.as_chunks::<6>().0 {
        let [a, b, c, d, cut, value] = *edit;
        let at = u32::from_le_bytes([a, b, c, d]) as usize % payload.len().max(1);
        match payload.get_mut(at) {
            Some(byte) if cut != 0xff => *byte = value,
            _ => payload.truncate(at),
        }
    }
    let header = Header::read(&mut &whole[..]).expect("a whole file");
    let header = Header { length: payload.len() as u64, ..header };
    let mut file = Vec::new();
    write_frame(&header, &mut file, |to| to.write_all(&payload)).expect("memory takes everything");
    let _ = read(&mut &file[..]);
}

/// Reads a chunk of the fixture's keys.
pub fn chunk(kind: Kind, from: &mut dyn Read) -> Result<(), FileError> {
    let keys = Header::read(&mut &FIXTURE.public[..])?.keys;
    read_chunk(&FIXTURE.plan, kind, keys, from).map(drop)
}
