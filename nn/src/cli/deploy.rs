//! The commands of two parties: `keygen`, `encrypt` and `decrypt` of the data owner, `infer` of the model owner, and `inspect`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use nn::data::{OutputFile, SampleFile};
use nn::engine::{Checked, Engine, check, server_plan};
use nn::onnx::OnnxModel;
use nn::plan::ServerPlan;
use nn::progress::Progress;
use nn::session::{
    Batch, Client, Contributor, Header, Inference, Inspected, Kind, PlanFile, Record, Server, decrypt_batch,
    encrypt_batch, generate_keys, infer_batch, overlap_bytes, read_evaluation_keys, read_file, record_batch,
};

use super::args::{BatchArg, DecryptArgs, EncryptArgs, InferArgs, InspectArgs, KeygenArgs, bytes};
use super::progress::Bars;
use super::run::{distinct_places, print};

fn read_plan(path: &Path) -> Result<Arc<PlanFile>> {
    Ok(Arc::new(read_file(path, PlanFile::read)?))
}

/// Generates keys.
pub fn keygen(args: &KeygenArgs) -> Result<()> {
    let plan = read_plan(&args.plan)?;
    let bars = Bars::new();
    bars.begin("keys", 1);
    let keys = Engine::new(args.threads)?.install(|| generate_keys(&plan, &args.output))?;
    drop(bars);
    print(&format!("{}: keys {keys} for plan {}", args.output.display(), plan.fingerprint()))
}

/// Encrypts samples.
pub fn encrypt(args: &EncryptArgs) -> Result<()> {
    let plan = read_plan(&args.plan)?;
    let kind = read_file(&args.key, |from| Ok(Header::read(from)?.kind))?;
    let mut data = SampleFile::open(&args.data)?.for_model(&plan.model().input_shape)?;
    let bars = Bars::new();
    let engine = Engine::new(args.threads)?;
    let model = args.model.as_ref().map(OnnxModel::load).transpose()?;
    let found = engine.install(|| check(&plan, model.as_ref(), &data, args.leave_out, &bars));
    let Checked { activations, left_out } = match &args.model {
        Some(path) => found.with_context(|| path.display().to_string())?,
        None => found?,
    };
    activations.iter().filter(|activation| activation.outside.is_some()).try_for_each(print)?;
    left_out.iter().try_for_each(|out| print(&format!("WARNING: left out: {out}")))?;
    let left_out: Vec<usize> = left_out.into_iter().map(|out| out.sample).collect();
    if !left_out.is_empty() {
        data = data.without(left_out.clone())?;
    }
    let mut is_recorded = false;
    let record = |batch| record_batch(&args.key, batch, &left_out).map(|there| is_recorded = there);
    let encrypted = engine.install(|| match kind {
        Kind::PublicKey => {
            let mut contributor = read_file(&args.key, |from| Contributor::read(&plan, from))?;
            encrypt_batch(&mut contributor, &data, &args.output, record, &bars)
        }
        _ => {
            let mut client = read_file(&args.key, |from| Client::read(&plan, from))?;
            encrypt_batch(&mut client, &data, &args.output, record, &bars)
        }
    })?;
    drop(bars);
    if !left_out.is_empty() {
        let results = match is_recorded {
            true => "decrypt will write NaN for their results",
            false => {
                "their results will be missing, and no record beside the key says so: tell whoever decrypts the others"
            }
        };
        print(&format!("WARNING: {} of {} samples left out; {results}", left_out.len(), left_out.len() + data.n()))?;
    }
    print(&format!(
        "{}: batch {}, {} samples in {} chunks, {} bytes, {} a sample",
        args.output.display(),
        encrypted.batch,
        data.n(),
        encrypted.chunks,
        encrypted.bytes,
        encrypted.bytes.div_ceil(data.n() as u64)
    ))
}

/// Runs the model on encrypted samples.
pub fn infer(args: &InferArgs) -> Result<()> {
    let file = read_plan(&args.plan)?;
    let model = OnnxModel::load(&args.model)?;
    let plan = server_plan(&file, &model).with_context(|| args.model.display().to_string())?;
    let plan = plan.within(args.memory.map(bytes));
    let overlap = overlaps(&plan, args.memory.map(bytes))?;
    let bars = Bars::new();
    let computed = Engine::new(args.threads)?.install(|| {
        bars.begin("keys", 1);
        let (evaluation, keys) = read_file(&args.evaluation_key, |from| read_evaluation_keys(&file, from))?;
        bars.begin("weights", 1);
        let server = Server::new(&plan, evaluation)?;
        let job = Inference { server: &server, plan: &file, keys, overlap };
        infer_batch(job, &args.input, &args.output, args.resume, &bars)
    })?;
    drop(bars);
    print(&format!("{}: {computed} chunks computed", args.output.display()))
}

/// Whether there is memory to read, compute and write at the same time.
fn overlaps(plan: &ServerPlan, memory: Option<u64>) -> Result<bool> {
    let Some(memory) = memory else { return Ok(true) };
    let least = plan.memory().peak_bytes();
    ensure!(
        least <= memory,
        "the plan needs {:.2} GiB of memory, above the --memory given; plan again with that --memory",
        least as f64 / bytes(1.0) as f64
    );
    Ok(least + overlap_bytes(plan.client()) <= memory)
}

/// Decrypts results.
pub fn decrypt(args: &DecryptArgs) -> Result<()> {
    nn::data::check_output_name(&args.output)?;
    distinct_places([Some(&args.plan), Some(&args.secret_key)], [Some(&args.output)])?;
    let plan = read_plan(&args.plan)?;
    let mut client = read_file(&args.secret_key, |from| Client::read(&plan, from))?;
    let marks = client.output_marks();
    let batch = Batch::whole(&args.input, marks.kind, marks.plan)?.expect_keys(marks.keys)?;
    let record = Record::read(&args.secret_key)?;
    let batch = match &args.batch {
        Some(BatchArg::Id(expected)) => batch.expect(*expected)?,
        Some(BatchArg::Folder(samples)) => batch.expect(Batch::some(samples, Kind::Input, marks.plan)?.id)?,
        None => record.expect(batch)?,
    };
    let left_out = record.left_out(&batch)?;
    let marked = match left_out.len() {
        0 => String::new(),
        samples => format!(", and NaN for {samples} samples that were left out"),
    };
    let columns = plan.plan().head.len(plan.plan().output.layout.features());
    let mut results = OutputFile::create(&args.output, batch.n() + left_out.len(), columns, left_out)?;
    let bars = Bars::new();
    Engine::new(args.threads)?.install(|| decrypt_batch(&mut client, &batch, &bars, |values| results.write(values)))?;
    results.finish()?;
    drop(bars);
    print(&format!("{}: {} results of batch {}{marked}", args.output.display(), batch.n(), batch.id))
}

/// Describes a file.
pub fn inspect(args: &InspectArgs) -> Result<()> {
    ensure!(!args.file.is_dir(), "{}: it is a folder; name a file in it", args.file.display());
    print(&read_file(&args.file, Inspected::read)?)
}
