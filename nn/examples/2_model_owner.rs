//! The model owner's side, as a library: the plan's model on encrypted samples. See `1_data_owner` for both together.
//!
//! Nothing here could hold a secret key: a `Server` is made of weights and evaluation keys.

use std::path::PathBuf;

use anyhow::{Context, Result};
use nn::engine::{Engine, server_plan};
use nn::onnx::OnnxModel;
use nn::progress::Silent;
use nn::session::{EVALUATION_KEY, Inference, PlanFile, Server, infer_batch, read_evaluation_keys, read_file};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let plan = arguments.next().context("name the plan, a folder, and the model")?;
    let folder = arguments.next().context("name the folder with keys and samples")?;
    let model = arguments.next().context("name the model")?;

    // The file has no weights: the program is built again from the model, and held against the plan.
    let file = read_file(&plan, PlanFile::read)?;
    let plan = server_plan(&file, &OnnxModel::load(&model)?)?;

    Engine::new(None)?.install(|| {
        let path = folder.join("keys").join(EVALUATION_KEY);
        let (evaluation, keys) = read_file(&path, |from| read_evaluation_keys(&file, from))?;
        let server = Server::new(&plan, evaluation)?;
        // While one chunk is computed, the next is read and the last one written. `resume` keeps what is there already.
        let job = Inference { server: &server, plan: &file, keys, overlap: true };
        let computed = infer_batch(job, &folder.join("in"), &folder.join("out"), true, &Silent)?;
        println!("{computed} chunks computed");
        Ok(())
    })
}
