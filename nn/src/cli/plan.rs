//! `slotwise plan`: what a run would take, without running it.

use anyhow::{Context, Result};

use nn::data::{Dataset, replace_file};
use nn::engine::Engine;
use nn::onnx::OnnxModel;
use nn::session::Sizes;

use super::args::PlanArgs;
use super::progress::Bars;
use super::run::{distinct_places, print, write_json};

/// Plans, prints, and writes what was asked for.
pub fn plan(args: &PlanArgs) -> Result<()> {
    distinct_places(
        [Some(&args.model), args.data.as_ref(), args.calibration.as_ref()],
        [args.json.as_ref(), args.output.as_ref()],
    )?;
    let model = OnnxModel::load(&args.model)?;
    let path = args.calibration.as_ref().or(args.data.as_ref()).context("name samples with --calibration or --data")?;
    let samples = Dataset::read(path)?.for_model(model.graph.input_shape())?;
    let bars = Bars::new();
    let engine = Engine::new(args.threads)?;
    if args.goal.remeasure {
        engine.remeasure()?;
    }
    let (plan, report) = engine.plan(&model, &samples, &args.goal.goal(args.batch), &bars)?;
    drop(bars);
    let json = args.json.as_ref().map_or(Ok(()), |path| write_json(path, &report));
    let written = args.output.as_ref().map_or(Ok(()), |path| replace_file(path, |to| plan.write(to)));
    let table = if args.explain { print(&report.explained()) } else { print(&report) };
    let sizes = print(&Sizes::new(plan.plan()));
    json?;
    written?;
    table?;
    sizes
}
