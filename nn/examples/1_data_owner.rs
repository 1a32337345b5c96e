//! The data owner's side, as a library: keys, encrypted samples, and later the results.
//!
//! ```sh
//! slotwise plan models/cryptonets-mnist.onnx --calibration models/data/mnist-calibration-idx3-ubyte.gz -o /tmp/plan
//! cargo run --release -p nn --example 1_data_owner -- /tmp/plan /tmp/owner models/data/mnist-calibration-idx3-ubyte.gz
//! cargo run --release -p nn --example 2_model_owner -- /tmp/plan /tmp/owner models/cryptonets-mnist.onnx
//! cargo run --release -p nn --example 1_data_owner -- /tmp/plan /tmp/owner
//! ```
//!
//! With data it generates keys and encrypts; without, it decrypts what the server has made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use nn::data::SampleFile;
use nn::engine::Engine;
use nn::progress::Silent;
use nn::session::{
    Batch, Client, Kind, PlanFile, SECRET_KEY, decrypt_batch, encrypt_batch, generate_keys, read_file, record_batch,
};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let plan = arguments.next().context("name the plan, a folder, and the data to encrypt")?;
    let folder = arguments.next().context("name a folder to work in")?;
    let data = arguments.next();

    // The plan says how to encrypt and decrypt and which keys the server needs. It comes from somebody else: reading it checks
    // that its parameters are secure and that its layouts make sense.
    let plan = Arc::new(read_file(&plan, PlanFile::read)?);
    println!("plan {} of model {}", plan.fingerprint(), plan.model().fingerprint);

    // An engine is a pool of threads; whatever is done inside `install` uses them.
    let engine = Engine::new(None)?;
    engine.install(|| match &data {
        Some(data) => encrypt(&plan, &folder, data),
        None => decrypt(&plan, &folder),
    })
}

/// What goes to the server afterwards: keys/evaluation.key and the folder in. The secret key stays.
fn encrypt(plan: &Arc<PlanFile>, folder: &Path, data: &Path) -> Result<()> {
    let keys = folder.join("keys");
    let fingerprint = generate_keys(plan, &keys)?;
    let key = keys.join(SECRET_KEY);
    let mut client = read_file(&key, |from| Client::read(plan, from))?;
    // Samples are read a chunk at a time, so the file may be larger than memory.
    let data = SampleFile::open(data)?.for_model(&plan.model().input_shape)?;
    let record = |batch| record_batch(&key, batch, &[]).map(drop);
    let encrypted = encrypt_batch(&mut client, &data, &folder.join("in"), record, &Silent)?;
    println!("{} samples, {} bytes, under the keys {fingerprint}", data.n(), encrypted.bytes);
    Ok(())
}

fn decrypt(plan: &Arc<PlanFile>, folder: &Path) -> Result<()> {
    let mut client = read_file(&folder.join("keys").join(SECRET_KEY), |from| Client::read(plan, from))?;
    let batch = Batch::whole(&folder.join("out"), Kind::Output, plan.fingerprint())?;
    let columns = plan.plan().head.len(plan.plan().output.layout.features());
    let mut sample = 0;
    decrypt_batch(&mut client, &batch, &Silent, |results| {
        for results in results.chunks(columns) {
            if sample < 5 {
                let rounded: Vec<f64> = results.iter().map(|x| (x * 100.0).round() / 100.0).collect();
                println!("sample {sample}: {rounded:?}");
            }
            sample += 1;
        }
        Ok(())
    })?;
    println!("{sample} samples of batch {}", batch.id);
    Ok(())
}
