//! From a model and data to encrypted results and a report: both parties in one process, and the comparison with the clear.
//!
//! An [`Engine`] owns its threads. Samples are cut into chunks of as many as a ciphertext holds; each chunk is encrypted, evaluated and
//! decrypted before the next, so that the memory of ciphertexts does not grow with the batch. Results are the same for every number of threads.

mod check;
mod loss;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ckks::Entropy;
use rayon::ThreadPool;

pub use check::{Checked, MOST_LEFT_OUT, check};
use check::{Seen, View, few, in_range, numbers};

use crate::data::{Dataset, without};
use crate::error::{Error, OutOfRange, Result};
use crate::exec::clear;
use crate::exec::trace::{CostModel, Errors, OperationTrace, Trace};
use crate::graph::Graph;
use crate::measure;
use crate::onnx::OnnxModel;
use crate::pass::{Calibrated, Calibration, Loss, MergeRule, Outside, calibrate, he_friendly, simplify, value};
use crate::plan::{Goal, PlanError, Planned, ServerPlan, plan};
use crate::program::Operation;
pub use crate::progress::{Progress, Silent};
use crate::report::{
    Accuracy, ActivationReport, Batch, Bytes, Machine, OperationTime, ParamsReport, PlanReport, Prediction, Report,
    Results, Throughput, Times, available_memory_bytes, peak_memory_bytes, resident_memory_bytes,
};
use crate::session::{Client, ModelId, PlanFile, PublicKeys, Server, SessionError};

/// A model, data and a goal.
#[derive(Debug)]
pub struct Job<'a> {
    /// The model.
    pub model: &'a OnnxModel,
    /// The samples to score.
    pub data: &'a Dataset,
    /// The class of each sample, if known.
    pub labels: Option<&'a [usize]>,
    /// Samples from which magnitudes are taken; the data themselves if there are none.
    pub calibration: Option<&'a Dataset>,
    /// What the plan is chosen for.
    pub goal: Goal,
    /// How many percent of the samples may be left out since they are out of the plan's range, as [`MOST_LEFT_OUT`]; more are refused.
    pub most_left_out: f64,
}

/// Threads to compute on.
pub struct Engine {
    pool: ThreadPool,
    /// What operations take on them, once anything was planned.
    costs: Mutex<Option<Arc<Costs>>>,
}

/// What operations take, and the memory that timing them has left to this process: a run uses it first.
struct Costs {
    model: CostModel,
    idle_bytes: u64,
}

impl Engine {
    /// An engine of `threads` threads; as many as there are processors if `None`.
    ///
    /// # Errors
    /// [`Error::Threads`] if the system does not give them.
    pub fn new(threads: Option<usize>) -> Result<Self> {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
        let pool = builder.build().map_err(|error| Error::Threads { problem: error.to_string() })?;
        Ok(Self { pool, costs: Mutex::default() })
    }

    /// Does `work` on these threads.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// Times the primitives of this machine again, for all plans to come.
    ///
    /// # Errors
    /// [`Error::Ckks`] if the scheme does not work on this machine.
    pub fn remeasure(&self) -> Result<()> {
        self.pool.install(|| self.costs(true).map(drop))
    }

    /// The costs on the threads of the pool, on which this is; measured again if asked for.
    fn costs(&self, again: bool) -> Result<Arc<Costs>> {
        let known = || self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(costs) = known().clone().filter(|_| !again) {
            return Ok(costs);
        }
        let before = resident_memory_bytes().unwrap_or(0);
        let model = measure::costs(again)?;
        let idle_bytes = resident_memory_bytes().unwrap_or(0).saturating_sub(before);
        Ok(Arc::clone(known().insert(Arc::new(Costs { model, idle_bytes }))))
    }

    /// Runs `job`: its results, [n, results] in row-major order, behind the model's [`Head`](crate::graph::Head), and the report,
    /// whose figures are those of the results before it. Samples that the report says were left out have no results, and n counts the others.
    ///
    /// # Errors
    /// Those of every stage; [`Error::OutOfRange`] if too many samples are.
    pub fn run(&self, job: &Job<'_>, progress: &dyn Progress) -> Result<(Vec<f64>, Report)> {
        self.pool.install(|| {
            progress.begin("plan", 1);
            Run::new(job, self.costs(false)?, progress)?.finish(self.pool.current_num_threads())
        })
    }

    /// The plan for `model` and samples like those of `calibration`, and its report with all that was considered.
    ///
    /// # Errors
    /// Those of the passes and of the planner; [`Error::OutOfRange`] if polynomials of the degrees allowed are of no use for a sample.
    pub fn plan(
        &self,
        model: &OnnxModel,
        calibration: &Dataset,
        goal: &Goal,
        progress: &dyn Progress,
    ) -> Result<(PlanFile, PlanReport)> {
        self.pool.install(|| {
            progress.begin("plan", 1);
            let simplified = simplify(&model.graph, &MergeRule::default())?;
            let Calibrated { approximations, loss } = approximations(&simplified, calibration, (false, None), goal)?;
            let graph = he_friendly(&simplified, &MergeRule::default(), &approximations)?;
            let (path, samples) = (calibration.path(), calibration.to_f64());
            let view = View { simplified: &simplified, friendly: &graph, approximations: &approximations, plan: None };
            let Seen { magnitudes, outside, left_out, .. } = view.look(&samples)?;
            few(&left_out, calibration.n(), 0.0, path)?;
            let costs = self.costs(false)?;
            let (mut planned, errors) = precise(&graph, &magnitudes, &within_machine(goal), &costs.model, calibration)?;
            let activations = ActivationReport::all(&approximations, &outside);
            planned.plan = planned.plan.with_approximations(approximations);
            let report = PlanReport::new((&planned, &errors), goal.samples, loss, costs.idle_bytes);
            Ok((plan_file(&planned.plan, model)?, PlanReport { activations, ..report }))
        })
    }
}

/// Plans are made so many times at most, each to make up for what samples lack with the one before.
const ATTEMPTS: usize = 3;

/// The plan for `graph`, and the errors of its results on samples like those of `calibration`. The search holds typical values to the goal; where
/// samples lose more than was asked for, or without a goal [`Goal::SLACK_BITS`] more, it goes again with what they lack.
///
/// # Errors
/// [`Error::SameResults`]; those of the search; [`PlanError::Unreached`] where no plan gives samples the precision that was asked for.
fn precise(
    graph: &Graph,
    magnitudes: &[f64],
    goal: &Goal,
    costs: &CostModel,
    calibration: &Dataset,
) -> Result<(Planned, Errors)> {
    if value(graph.nodes(), graph.output()).is_some() {
        return Err(Error::SameResults { node: graph.node(graph.output()).name.clone() });
    }
    let largest = magnitudes.get(graph.output().0).map_or(1.0, |magnitude| magnitude * goal.margin);
    let mut asked = goal.bits(largest);
    let wanted = goal.demanded_bits().unwrap_or(asked - Goal::SLACK_BITS);
    let mut best: Option<(f64, Planned, Errors)> = None;
    for _ in 0..ATTEMPTS {
        let planned = match (plan(graph, magnitudes, &Goal { precision_bits: Some(asked), ..*goal }, costs), &best) {
            (Ok(planned), _) => planned,
            (Err(error), None) => return Err(error.into()),
            (Err(_), Some(_)) => break,
        };
        let errors = errors(&planned.plan, calibration);
        let client = planned.plan.client();
        let samples = goal.samples.unwrap_or(client.interleave());
        let bits = errors.precision_bits(client.output.layout.features() * samples, planned.trace.flooding);
        asked += wanted - bits;
        if best.as_ref().is_none_or(|(before, ..)| bits > *before) {
            best = Some((bits, planned, errors));
        }
        if bits >= wanted {
            break;
        }
    }
    match best {
        Some((bits, ..)) if goal.demanded_bits().is_some() && bits < wanted => {
            Err(PlanError::Unreached { wanted, bits }.into())
        }
        Some((_, planned, errors)) => Ok((planned, errors)),
        None => Err(PlanError::Unreached { wanted, bits: f64::NEG_INFINITY }.into()),
    }
}

/// So many samples show how errors vary.
const ERROR_SAMPLES: usize = 256;

/// The errors of a plan's results on samples like those of `calibration`.
fn errors(plan: &ServerPlan, calibration: &Dataset) -> Errors {
    let count = calibration.n().min(ERROR_SAMPLES) * calibration.features();
    let samples: Vec<f64> = calibration.samples()[..count].iter().copied().map(f64::from).collect();
    Errors::simulate(plan.program(), &samples)
}

/// What the owner of `model` gives away of its plan.
fn plan_file(plan: &ServerPlan, model: &OnnxModel) -> Result<PlanFile> {
    let input_shape = model.graph.input_shape().to_vec();
    let model = ModelId { fingerprint: model.fingerprint, input_shape };
    PlanFile::new(plan.client(), model).map_err(|source| SessionError::PlanUnreadable { source }.into())
}

/// The same goal, within the memory that there is now unless another limit is set.
fn within_machine(goal: &Goal) -> Goal {
    Goal { memory_bytes: goal.memory_bytes.or_else(available_memory_bytes), ..*goal }
}

/// The plan of a file, with the program that it stands for.
///
/// # Errors
/// [`PlanError::OtherModel`] if it was made for another model.
pub fn server_plan(file: &PlanFile, model: &OnnxModel) -> Result<ServerPlan> {
    let (planned, found) = (file.model().fingerprint, model.fingerprint);
    if planned != found {
        let what = format!("that one has the fingerprint {planned}, and this one {found}");
        return Err(PlanError::OtherModel { what }.into());
    }
    let simplified = simplify(&model.graph, &MergeRule::default())?;
    let graph = he_friendly(&simplified, &MergeRule::default(), &file.plan().approximations)?;
    Ok(ServerPlan::rebuild(file.plan(), &graph)?)
}

/// Polynomials for the activations of the model, from its calibration data: with labels of these, if known, or of others.
fn approximations(
    graph: &Graph,
    samples: &Dataset,
    (labelled, labels): (bool, Option<&[usize]>),
    goal: &Goal,
) -> Result<Calibrated> {
    if samples.n() == 1 {
        return Err(Error::OneSample { path: samples.path().into() });
    }
    let samples = samples.to_f64();
    let Goal { margin, max_degree, tolerance, .. } = *goal;
    let loss = loss::allowed(graph, &samples, labelled, tolerance)?;
    let found = calibrate(graph, &Calibration { samples: &samples, labels, margin, loss, max_degree })?;
    match (found.loss, tolerance) {
        (Loss::Values(error), Some(tolerance)) if error > tolerance => {
            Err(Error::Tolerance { error, tolerance, degree: max_degree })
        }
        _ => Ok(found),
    }
}

/// A run under way.
struct Run<'a> {
    job: &'a Job<'a>,
    progress: &'a dyn Progress,
    started: Instant,
    graph: Graph,
    /// The samples that are in the plan's range, and their labels; those that are not.
    data: Cow<'a, Dataset>,
    labels: Option<Vec<usize>>,
    left_out: Vec<OutOfRange>,
    /// Results of the graph in the clear.
    he_model_clear: Vec<f64>,
    /// What polynomials cost, of its classes or of its values.
    loss: Loss,
    plan: ServerPlan,
    trace: Trace,
    errors: Errors,
    /// What the data have outside the ranges of polynomials.
    outside: Vec<Outside>,
    /// Resident memory once planned, and the samples as they will be encrypted.
    resident: u64,
    costs: Arc<Costs>,
    times: Times,
    operations: Vec<OperationTime>,
    bytes: Bytes,
}

impl<'a> Run<'a> {
    fn new(job: &'a Job<'a>, costs: Arc<Costs>, progress: &'a dyn Progress) -> Result<Self> {
        let started = Instant::now();
        let mut times = Times::default();
        let labels = (job.labels.is_some(), job.labels.filter(|_| job.calibration.is_none()));
        let samples = job.calibration.unwrap_or(job.data);
        let simplified = simplify(&job.model.graph, &MergeRule::default())?;
        let found = timed(&mut times.plan, || approximations(&simplified, samples, labels, &job.goal))?;
        let Calibrated { approximations, loss } = found;
        let graph = he_friendly(&simplified, &MergeRule::default(), &approximations)?;
        let view = View { simplified: &simplified, friendly: &graph, approximations: &approximations, plan: None };
        let (samples, seen) = in_range(&view, samples, job.most_left_out)?;
        let goal = within_machine(&job.goal);
        let (Planned { plan, trace, .. }, errors) =
            timed(&mut times.plan, || precise(&graph, &seen.magnitudes, &goal, &costs.model, &samples))?;
        // Samples that a plan was made for are in its range.
        let (data, Seen { results: he_model_clear, outside, left_out, .. }) = match job.calibration {
            Some(_) => in_range(&View { plan: Some(&plan), ..view }, job.data, job.most_left_out)?,
            None => (samples, seen),
        };
        let labels = job.labels.map(|labels| without(labels, 1, &numbers(&left_out)));
        let resident = resident_memory_bytes().unwrap_or(0) + size_of_val(data.samples()) as u64 * 2;
        let plan = plan.with_approximations(approximations);
        Ok(Self {
            job,
            progress,
            started,
            graph,
            data,
            labels,
            left_out,
            he_model_clear,
            loss,
            plan,
            trace,
            errors,
            outside,
            resident,
            costs,
            times,
            operations: Vec::new(),
            bytes: Bytes::default(),
        })
    }

    fn finish(mut self, threads: usize) -> Result<(Vec<f64>, Report)> {
        let encrypted = self.encrypted()?;
        let peak_memory_bytes = peak_memory_bytes();
        let accuracy = self.compare(&encrypted)?;
        let client = self.plan.client();
        let (samples, interleave) = (self.data.n(), client.interleave());
        self.times.total = self.started.elapsed().as_secs_f64();
        let report = Report {
            params: ParamsReport::new(&client.params),
            activations: ActivationReport::all(&client.approximations, &self.outside),
            batch: Batch { samples, per_ciphertext: interleave, interleave },
            time_s: self.times,
            operations_s: self.operations,
            throughput: Throughput { infer_samples_per_s: samples as f64 / self.times.infer },
            bytes: self.bytes,
            ops: self.trace.counts.times(samples.div_ceil(interleave) as u64),
            peak_memory_bytes,
            predicted: Prediction::new(
                (&self.trace, &self.errors),
                (samples, interleave, client.output.layout.features()),
                (self.resident, self.costs.idle_bytes),
            ),
            left_out: self.left_out,
            values: matches!(self.loss, Loss::Values(_)),
            accuracy,
            machine: Machine::detect(threads, client.params.ring().backend().name()),
        };
        Ok((self.plan.client().head.apply(&encrypted), report))
    }

    /// Keys, and every chunk through both parties.
    fn encrypted(&mut self) -> Result<Vec<f64>> {
        self.progress.begin("keys", 1);
        let plan = Arc::new(plan_file(&self.plan, self.job.model)?);
        let owner = timed(&mut self.times.keygen, || Client::generate(&plan, Entropy::from_os()?))?;
        let (mut client, PublicKeys { encryption, evaluation, .. }) = owner;
        self.bytes.public_key = encryption.packed_bytes();
        self.bytes.evaluation_keys = evaluation.packed_bytes();
        self.progress.begin("weights", 1);
        let server = timed(&mut self.times.prepare, || Server::new(&self.plan, evaluation))?;

        let data = self.data.to_f64();
        let (features, interleave) = (self.data.features(), self.plan.client().interleave());
        let mut results = Vec::with_capacity(self.data.n() * self.graph.output_len());
        self.progress.begin("encrypted inference", data.len().div_ceil(features * interleave));
        let chunks = data.len().div_ceil(features * interleave);
        self.operations = operation_times(&self.plan, &self.trace, chunks);
        for chunk in data.chunks(features * interleave) {
            let mut times = self.operations.iter_mut();
            let mut done = |_: &Operation, time: Duration| {
                if let Some(sum) = times.next() {
                    sum.seconds += time.as_secs_f64();
                }
            };
            let input = timed(&mut self.times.encrypt, || client.encrypt(chunk))?;
            self.bytes.encrypted_input += input.packed_bytes();
            let output = timed(&mut self.times.infer, || server.infer(input, &mut done))?;
            self.bytes.encrypted_output += output.packed_bytes();
            results.extend(timed(&mut self.times.decrypt, || client.decrypt(output, chunk.len() / features))?);
            self.progress.step();
        }
        Ok(results)
    }

    /// The same samples through the model as trained, the HE-friendly model, and the program in the clear.
    fn compare(&self, encrypted: &[f64]) -> Result<Accuracy> {
        self.progress.begin("comparison with the clear", 2);
        let original = self.job.model.original.run(self.data.samples())?;
        let original: Vec<f64> = original.into_iter().map(f64::from).collect();
        self.progress.step();
        let data = self.data.to_f64();
        let chunk = self.data.features() * self.plan.client().interleave();
        let program = data.chunks(chunk).map(|chunk| clear::run(self.plan.program(), chunk));
        let program_clear = program.collect::<std::result::Result<Vec<_>, _>>()?.concat();
        self.progress.step();
        let results = Results {
            original: &original,
            he_model_clear: &self.he_model_clear,
            program_clear: &program_clear,
            encrypted,
        };
        Ok(Accuracy::new(results, self.graph.output_len(), self.labels.as_deref()))
    }
}

/// All operations of a plan's program but its input, at no time yet, with what `trace` predicts for so many chunks.
fn operation_times(plan: &ServerPlan, trace: &Trace, chunks: usize) -> Vec<OperationTime> {
    let operations = plan.program().operations().iter().zip(&trace.operations).skip(1);
    let time = |(operation, traced): (&Operation, &OperationTrace)| OperationTime {
        operation: operation.to_string(),
        seconds: 0.0,
        predicted_s: traced.seconds * chunks as f64,
    };
    operations.map(time).collect()
}

/// Adds the wall time of `work` to `seconds`.
fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work();
    *seconds += start.elapsed().as_secs_f64();
    result
}

#[cfg(test)]
mod tests;
