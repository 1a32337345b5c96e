//! `slotwise run`, and the main job, which is the same with the files of `models/`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use nn::data::{Dataset, Labels, replace_file, write_outputs};
use nn::engine::{Engine, Job};
use nn::onnx::OnnxModel;
use nn::plan::Goal;

use super::args::{ObjectiveArg, RunArgs};
use super::progress::Bars;

/// Scores the MNIST test set with the network in `models/`.
pub fn main_job() -> Result<()> {
    let models = models_folder()?;
    let data = |name: &str| models.join("data").join(name);
    run(&RunArgs {
        model: models.join("cryptonets-mnist.onnx"),
        data: data("t10k-images-idx3-ubyte.gz"),
        labels: Some(data("t10k-labels-idx1-ubyte.gz")),
        calibration: Some(data("mnist-calibration-idx3-ubyte.gz")),
        samples: None,
        objective: ObjectiveArg::Throughput,
        interleave: None,
        threads: None,
        json: None,
        output: None,
    })
}

/// The folder `models` here, or of the source tree that this binary was built from.
fn models_folder() -> Result<PathBuf> {
    let candidates = [Path::new("models").to_path_buf(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")];
    let found = candidates.into_iter().find(|folder| folder.join("cryptonets-mnist.onnx").is_file());
    found.context("there is no folder models/ here; start slotwise in its source tree, or name a model: slotwise run MODEL --data FILE")
}

/// Reads everything, runs, and writes what was asked for.
pub fn run(args: &RunArgs) -> Result<()> {
    let model = OnnxModel::load(&args.model)?;
    let shape = model.graph.input_shape();
    let data = Dataset::read(&args.data)?.for_model(shape)?;
    let wanted = args.samples.unwrap_or(data.n());
    let labels =
        args.labels.as_ref().map(|path| Labels::read(path)?.first(wanted.min(data.n()), model.graph.output_len()));
    let labels: Option<Vec<usize>> =
        labels.transpose()?.map(|labels| labels.into_iter().cycle().take(wanted).collect());
    let data = data.cycled(wanted);
    let calibration = args.calibration.as_ref().map(|path| Dataset::read(path)?.for_model(shape)).transpose()?;
    if let Some(path) = &args.output {
        nn::data::check_output_name(path)?;
    }

    let goal = Goal {
        objective: args.objective.into(),
        samples: Some(data.n()),
        interleave: args.interleave,
        ..Goal::default()
    };
    let job = Job { model: &model, data: &data, labels: labels.as_deref(), calibration: calibration.as_ref(), goal };
    let bars = Bars::new();
    let (outputs, report) = Engine::new(args.threads)?.run(&job, &bars)?;
    drop(bars);

    println!("{report}");
    if let Some(path) = &args.output {
        write_outputs(path, &outputs, model.graph.output_len())?;
    }
    if let Some(path) = &args.json {
        replace_file(path, |file| {
            serde_json::to_writer_pretty(&mut *file, &report)?;
            file.write_all(b"\n")
        })?;
    }
    Ok(())
}
