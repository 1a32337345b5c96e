//! What a file says of itself, and nothing secret.

use std::fmt;
use std::io::Read;

use ckks::max_log_qp;

use super::FileError;
use super::chunk::Part;
use super::frame::{FRAME, Header, Kind, Payload, VERSION};
use super::plan_file::PlanFile;
use super::sizes::Sizes;
use crate::plan::FloodGoal;

/// A file whose checksums are right.
#[derive(Debug)]
pub struct Inspected {
    header: Header,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Plan(Box<PlanFile>),
    Keys,
    Chunk(Part),
}

impl Inspected {
    /// Reads a file to its end. Keys and ciphertexts are not looked at.
    ///
    /// # Errors
    /// [`FileError`]: all of a frame's, and those of [`PlanFile::read`] and [`Part::read`].
    pub fn read(from: &mut dyn Read) -> Result<Self, FileError> {
        let header = Header::read(from)?;
        let content = match header.kind {
            Kind::Plan => Content::Plan(Box::new(PlanFile::read_behind(&header, from)?)),
            Kind::SecretKey | Kind::PublicKey | Kind::EvaluationKeys => {
                Payload::new(&header, from).skip()?;
                Content::Keys
            }
            Kind::Input | Kind::Output => {
                let mut payload = Payload::new(&header, from);
                let part = Part::read(&mut payload)?;
                payload.skip()?;
                Content::Chunk(part)
            }
        };
        Ok(Self { header, content })
    }
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { kind, plan, keys, length } = self.header;
        writeln!(f, "{:<24}{kind}, format {VERSION}", "content")?;
        writeln!(f, "{:<24}{} bytes, checksums right", "size", length + FRAME as u64)?;
        write!(f, "{:<24}{plan:#}", "plan")?;
        if kind != Kind::Plan {
            write!(f, "\n{:<24}{keys:#}", "keys")?;
        }
        match &self.content {
            Content::Keys => Ok(()),
            Content::Chunk(Part { batch, index, chunks, samples }) => {
                write!(f, "\n{:<24}{batch}\n{:<24}{index} of {chunks}, from 0", "batch", "chunk")?;
                write!(f, "\n{:<24}{samples}", "samples")
            }
            Content::Plan(plan) => describe(plan, f),
        }
    }
}

fn describe(file: &PlanFile, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (plan, params) = (file.plan(), &file.plan().params);
    write!(f, "\n{:<24}{:#}", "model", file.model().fingerprint)?;
    write!(f, "\n{:<24}{:?}", "shape of a sample", file.model().input_shape)?;
    write!(f, "\n{:<24}{}", "results of a sample", plan.output.layout.features())?;
    write!(f, "\n{:<24}{}, N = 2^{}", "ring", params.ring().kind().name(), params.log_n())?;
    let bound = max_log_qp(params.log_n()).unwrap_or(0.0);
    write!(f, "\n{:<24}{:.1} of {bound} possible at 128 bits of security", "log2(QP)", params.log_qp())?;
    write!(f, "\n{:<24}{:?} bits, special {:?}", "chain", params.spec().chain, params.spec().special)?;
    for (name, value) in [("input", &plan.input), ("output", &plan.output)] {
        let (ciphertexts, level) = (value.layout.ciphertexts(), value.level);
        write!(f, "\n{name:<24}{ciphertexts} ciphertexts of level {level}, scale {}", value.scale)?;
        write!(f, ", values up to {:.3e}", value.magnitude)?;
    }
    let relinearization = if plan.keys.relinearization.is_some() { "relinearisation and " } else { "" };
    write!(f, "\n{:<24}{relinearization}{} rotations", "evaluation keys", plan.keys.galois.len())?;
    match &plan.flood {
        None => write!(f, "\n{:<24}none: results show their errors", "flooding")?,
        Some(flood) => {
            let (sigma, FloodGoal { security_bits, queries }) = (flood.sigma(), flood.goal);
            write!(f, "\n{:<24}noise of {sigma:.2e}: {security_bits} bits for {queries} decryptions", "flooding")?;
        }
    }
    write!(f, "\n{}", Sizes::new(plan))
}
