//! `slotwise run`, and the main job, which is the same with the files of `models/`.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use nn::data::{Dataset, Labels, replace_file, write_outputs};
use nn::engine::{Engine, Job, MOST_LEFT_OUT};
use nn::onnx::OnnxModel;

use super::args::{GoalArgs, RunArgs};
use super::progress::Bars;

/// Without --calibration, ranges are taken from as many of the data even if fewer are scored.
const CALIBRATION: usize = 1024;

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
        leave_out: MOST_LEFT_OUT,
        goal: GoalArgs::default(),
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
    check_places(args)?;
    let model = OnnxModel::load(&args.model)?;
    let shape = model.graph.input_shape();
    let data = Dataset::read(&args.data)?.for_model(shape)?;
    let wanted = args.samples.unwrap_or(data.n());
    let known = wanted.min(data.n());
    let calibration = match &args.calibration {
        Some(path) => Some(Dataset::read(path)?.for_model(shape)?),
        // The few that are asked for would say little of the ranges.
        None if wanted < data.n() => Some(data.clone().cycled(wanted.max(CALIBRATION).min(data.n()))?),
        None => None,
    };
    let data = data.cycled(wanted)?;
    // A single result tells two classes apart, by its sign.
    let classes = model.graph.output_len().max(2);
    let labels = args.labels.as_ref().map(|path| Labels::read(path)?.first(known, classes));
    let labels: Option<Vec<usize>> =
        labels.transpose()?.map(|labels| labels.into_iter().cycle().take(wanted).collect());

    let goal = args.goal.goal(Some(data.n()));
    let job = Job {
        model: &model,
        data: &data,
        labels: labels.as_deref(),
        calibration: calibration.as_ref(),
        goal,
        most_left_out: args.leave_out,
    };
    let bars = Bars::new();
    let engine = Engine::new(args.threads)?;
    if args.goal.remeasure {
        engine.remeasure()?;
    }
    let (outputs, report) = engine.run(&job, &bars)?;
    drop(bars);

    // Each is written whatever becomes of the others.
    let columns = model.graph.head().len(model.graph.output_len());
    let left_out = report.left_out.iter().map(|out| out.sample).collect();
    let outputs = args.output.as_ref().map_or(Ok(()), |path| write_outputs(path, &outputs, columns, left_out));
    let json = args.json.as_ref().map_or(Ok(()), |path| write_json(path, &report));
    let table = print(&report);
    outputs?;
    json?;
    table
}

/// Writes a report, whole or not at all.
pub fn write_json(path: &Path, report: &impl Serialize) -> nn::Result<()> {
    replace_file(path, |file| {
        serde_json::to_writer_pretty(&mut *file, report)?;
        file.write_all(b"\n")
    })
}

/// Prints; a reader that has seen enough is no error.
pub fn print(report: &impl Display) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{report}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("the report cannot be printed"),
        _ => Ok(()),
    }
}

/// Refuses, before a long run, results that would have no place afterwards or would take each other's.
fn check_places(args: &RunArgs) -> Result<()> {
    if let Some(path) = &args.output {
        nn::data::check_output_name(path)?;
    }
    let inputs = [Some(&args.model), Some(&args.data), args.labels.as_ref(), args.calibration.as_ref()];
    distinct_places(inputs, [args.output.as_ref(), args.json.as_ref()])
}

/// Refuses results that have no place, or would take that of another file.
pub fn distinct_places<'a>(
    inputs: impl IntoIterator<Item = Option<&'a PathBuf>>,
    results: impl IntoIterator<Item = Option<&'a PathBuf>>,
) -> Result<()> {
    let mut taken: Vec<PathBuf> = inputs.into_iter().flatten().filter_map(|path| path.canonicalize().ok()).collect();
    for path in results.into_iter().flatten() {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(!path.is_dir(), "{}: it is a directory; name a file in it", path.display());
        let folder = parent.canonicalize().with_context(|| format!("{}: its folder does not exist", path.display()))?;
        let place = path.canonicalize().unwrap_or_else(|_| folder.join(path.file_name().unwrap_or_default()));
        ensure!(!taken.contains(&place), "{}: another file of this run has that name; choose another", path.display());
        taken.push(place);
    }
    Ok(())
}
