//! Whole batches, chunk by chunk: of ciphertexts, no more than a few chunks are in memory, whatever the batch.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::SessionError;
use super::chunk::{BatchId, Ciphertexts, Marks, Part, read_chunk, write_chunk};
use super::client::{Client, EncryptionKey, Party};
use super::folder::{Batch, FolderLock, chunk_path, read_file};
use super::frame::{Header, Kind, Payload};
use super::plan_file::PlanFile;
use super::server::Server;
use crate::data::{SampleFile, replace_file};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::plan::ClientPlan;
use crate::program::Value;
use crate::progress::Progress;

/// What was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encrypted {
    /// The batch.
    pub batch: BatchId,
    /// Its chunks.
    pub chunks: u32,
    /// Bytes of their files.
    pub bytes: u64,
}

/// Encrypts all samples of a file into a folder that holds no chunks yet, b of them a file. One chunk is in memory at a time. What is to be
/// known of the batch is kept by `record`, before its first chunk is there: whatever happens then, no chunk is without.
///
/// # Errors
/// [`SessionError::BeyondPlan`], before anything is written; those of `record`; those of [`SampleFile::chunks`] and [`Party::encrypt`];
/// [`SessionError::FolderNotEmpty`], [`SessionError::FolderBusy`], [`Error::TooManySamples`], [`Error::WriteFile`]. Chunks written before stay.
pub fn encrypt_batch<Key: EncryptionKey>(
    party: &mut Party<Key>,
    data: &SampleFile,
    folder: &Path,
    record: impl FnOnce(BatchId) -> Result<()>,
    progress: &dyn Progress,
) -> Result<Encrypted> {
    party.expect_within_plan(data.max_abs().into())?;
    let _lock = FolderLock::take(folder)?;
    let (marks, batch) = (party.input_marks(), party.batch_id());
    if let Some(old) = Batch::scan(folder, marks.kind, marks.plan)? {
        return Err(SessionError::FolderNotEmpty { path: folder.into(), batch: old.id }.into());
    }
    let (features, n, interleave) = (data.features(), data.n(), party.plan().plan().interleave());
    let chunks = u32::try_from(n.div_ceil(interleave)).map_err(|_| Error::TooManySamples { samples: n, features })?;
    record(batch)?;
    progress.begin("encryption", chunks as usize);
    let mut bytes = 0;
    for (index, samples) in (0..chunks).zip(data.chunks(interleave)?) {
        let samples: Vec<f64> = samples?.into_iter().map(f64::from).collect();
        let ciphertexts = party.encrypt(&samples)?;
        // At most the slots of a ciphertext.
        let part = Part { batch, index, chunks, samples: (samples.len() / features) as u32 };
        bytes += ciphertexts.packed_bytes() as u64;
        replace_file(chunk_path(folder, marks.kind, index), |to| write_chunk(marks, &part, &ciphertexts, to))?;
        progress.step();
    }
    Ok(Encrypted { batch, chunks, bytes })
}

/// Bytes that overlapping takes besides: a chunk of samples read ahead, and one of results on its way out.
pub fn overlap_bytes(plan: &ClientPlan) -> u64 {
    let n = plan.params.ring().n() as u64;
    let polynomials = |value: &Value, parts: usize| {
        let limbs = plan.params.limbs(value.level).unwrap_or(0);
        (value.layout.ciphertexts() * limbs * parts) as u64 * 8 * n
    };
    polynomials(&plan.input, 2) + 2 * polynomials(&plan.output, 2)
}

/// Decrypts a batch of results, chunk by chunk in the order of its samples, and applies the plan's head: `results` gets
/// [samples, results] values of each.
///
/// # Errors
/// [`Error::ReadFile`]; [`SessionError::File`] for a file that is damaged or belongs to another plan or other keys;
/// [`SessionError::TwoBatches`]; those of `results`.
pub fn decrypt_batch(
    client: &mut Client,
    batch: &Batch,
    progress: &dyn Progress,
    mut results: impl FnMut(&[f64]) -> Result<()>,
) -> Result<()> {
    let keys = client.output_marks().keys;
    progress.begin("decryption", batch.chunks as usize);
    for index in 0..batch.chunks {
        let (part, ciphertexts) = read_part(client.plan(), batch, keys, index)?;
        let decrypted = client.decrypt(ciphertexts, part.samples as usize)?;
        results(&client.plan().plan().head.apply(&decrypted))?;
        progress.step();
    }
    Ok(())
}

/// Reads a chunk of a batch, and holds it to be the one that it was.
fn read_part(plan: &PlanFile, batch: &Batch, keys: Fingerprint, index: u32) -> Result<(Part, Ciphertexts)> {
    let path = batch.path(index);
    let (part, ciphertexts) = read_file(&path, |from| read_chunk(plan, batch.kind, keys, from))?;
    let expected = (batch.id, index, batch.chunks, batch.samples.get(&index));
    match (part.batch, part.index, part.chunks, Some(&part.samples)) == expected {
        true => Ok((part, ciphertexts)),
        false => Err(SessionError::TwoBatches { path, found: part.batch, expected: batch.id }.into()),
    }
}

/// A server with what its files are marked with.
#[derive(Clone, Copy)]
pub struct Inference<'a> {
    /// Model and keys.
    pub server: &'a Server,
    /// The plan of both.
    pub plan: &'a PlanFile,
    /// The pair that the evaluation keys belong to.
    pub keys: Fingerprint,
    /// Whether the next chunk is read and the last one written while one is computed.
    pub overlap: bool,
}

/// Computes the results of every chunk in `input`, a file each in `output`, on the threads of the current rayon pool; returns
/// how many were computed. With `resume`, results of this batch that are there stay, and the others follow.
///
/// # Errors
/// [`SessionError::FolderNotEmpty`] for results that are there without `resume`, [`SessionError::TwoBatches`] for those of another
/// batch; [`SessionError::FolderBusy`]; [`SessionError::ChunkMissing`]; [`SessionError::File`]; [`Error::WriteFile`]; those of
/// [`Server::infer`]. Results written before stay.
pub fn infer_batch(
    job: Inference<'_>,
    input: &Path,
    output: &Path,
    resume: bool,
    progress: &dyn Progress,
) -> Result<usize> {
    let _lock = FolderLock::take(output)?;
    let batch = Batch::whole(input, Kind::Input, job.plan.fingerprint())?.expect_keys(job.keys)?;
    let done = results_there(&job, &batch, output)?;
    if !resume && !done.is_empty() {
        return Err(SessionError::FolderNotEmpty { path: output.into(), batch: batch.id }.into());
    }
    let todo: Vec<u32> = (0..batch.chunks).filter(|index| !done.contains(index)).collect();
    progress.begin("encrypted inference", todo.len());
    job.run(&batch, output, &todo, progress)?;
    Ok(todo.len())
}

/// The results of `batch` that are in `output`, each read to its end.
fn results_there(job: &Inference<'_>, batch: &Batch, output: &Path) -> Result<BTreeSet<u32>> {
    let Some(done) = Batch::scan(output, Kind::Output, job.plan.fingerprint())? else {
        return Ok(BTreeSet::new());
    };
    for &index in done.samples.keys() {
        let path = done.path(index);
        if (done.id, done.chunks, done.keys) != (batch.id, batch.chunks, batch.keys) {
            return Err(SessionError::TwoBatches { path, found: done.id, expected: batch.id }.into());
        }
        read_file(&path, |from| Payload::new(&Header::read(from)?, from).skip())?;
    }
    Ok(done.samples.into_keys().collect())
}

impl Inference<'_> {
    /// Reads, computes and writes the chunks `todo`, in three threads if they overlap.
    fn run(&self, batch: &Batch, output: &Path, todo: &[u32], progress: &dyn Progress) -> Result<()> {
        let read = |&index: &u32| read_part(self.plan, batch, self.keys, index);
        let compute = |(part, input): (Part, Ciphertexts)| {
            self.server.infer(input, &mut |_, _| ()).map(|results| (part, results))
        };
        let marks = Marks { kind: Kind::Output, plan: self.plan.fingerprint(), keys: self.keys };
        let write = |(part, results): (Part, Ciphertexts)| {
            let path = chunk_path(output, Kind::Output, part.index);
            replace_file(path, |to| write_chunk(marks, &part, &results, to))?;
            progress.step();
            Ok(())
        };
        if !self.overlap {
            return todo.iter().try_for_each(|index| write(compute(read(index)?)?));
        }
        // Nothing queues: each thread holds one chunk, and waits with it until the next takes it.
        thread::scope(|scope| {
            let (to_compute, inputs) = sync_channel(0);
            let (to_write, results) = sync_channel(0);
            scope.spawn(move || todo.iter().map(read).try_for_each(|input| to_compute.send(input)));
            let writer = scope.spawn(move || results.into_iter().try_for_each(write));
            let mut computed = Ok(());
            for input in inputs {
                // Nobody takes a result if writing has failed.
                let sent = input.and_then(compute).map(|result| to_write.send(result).is_ok());
                if !matches!(sent, Ok(true)) {
                    computed = sent.map(drop);
                    break;
                }
            }
            drop(to_write);
            writer.join().unwrap_or_else(|panic| resume_unwind(panic)).and(computed)
        })
    }
}
