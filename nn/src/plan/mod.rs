//! The choice of everything: ring, degree, chain, interleave, scales, and where products are relinearised.
//!
//! [`ServerPlan`] is what a run needs: a program, and with it the model's weights. [`ClientPlan`] is what the data owner gets of
//! it: parameters, where and at which scale inputs and outputs lie, which keys to make, and the numbers from which a server that
//! has the model rebuilds the rest. It holds no weight. (Which keys are asked for shows which diagonals are zero.)
//!
//! [`plan`] searches; read `search` for how, then `scales` and `chain`.

mod chain;
mod depth;
mod error;
mod flood;
mod goal;
mod scales;
mod search;

use std::sync::Arc;

use ckks::{KeyRequest, Params};

pub use error::PlanError;
pub use flood::{Flood, FloodGoal};
pub use goal::{Goal, Objective};
pub use search::{Alternative, Figures, Planned, plan};

use crate::exec::schedule::Schedule;
use crate::exec::trace::{CostModel, Memory, Trace, trace};
use crate::graph::{Graph, Head};
use crate::layout::KeyPrice;
use crate::lower::{Options, Packing, lower};
use crate::pass::Approximation;
use crate::program::{Program, Value};

/// Values beyond the planned magnitude by less than this factor are taken, unless results are flooded. More than that comes of other units, as
/// bytes for numbers up to 1.
const MAX_OVERSHOOT: f64 = 4.0;

/// All that a data owner needs: how to encrypt and decrypt, and which keys to make.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientPlan {
    /// Ring, degree and chain.
    pub params: Params,
    /// Layout, level and scale of the encrypted input.
    pub input: Value,
    /// Layout, level and scale of the encrypted output.
    pub output: Value,
    /// What the data owner does to the results after decryption.
    pub head: Head,
    /// The evaluation keys that the server needs.
    pub keys: KeyRequest,
    /// How the program was lowered.
    pub options: Options,
    /// What its affine maps do for a key less.
    pub key_price: KeyPrice,
    /// The largest absolute value that each node of the graph is planned for.
    pub magnitudes: Vec<f64>,
    /// The polynomials that stand for the model's activations.
    pub approximations: Vec<Approximation>,
    /// What the data owner adds to results before anyone else sees them.
    pub flood: Option<Flood>,
}

/// A client plan with its program.
#[derive(Debug, Clone)]
pub struct ServerPlan {
    client: ClientPlan,
    program: Arc<Program>,
    /// What weights, keys and ciphertexts may take.
    memory_bytes: Option<u64>,
}

impl ClientPlan {
    /// Samples that a chunk of ciphertexts holds.
    pub fn interleave(&self) -> usize {
        self.input.layout.interleave()
    }

    /// The largest absolute value that samples may have: the planned magnitude where the noise on results is measured by it, otherwise more, since
    /// plans have a margin and headroom.
    pub fn largest_input(&self) -> f64 {
        self.input.magnitude * if self.flood.is_some() { 1.0 } else { MAX_OVERSHOOT }
    }
}

impl ServerPlan {
    /// Lowers `graph` with the given choices and verifies the program.
    ///
    /// # Errors
    /// [`PlanError::Program`] where the choices do not fit the graph.
    pub fn new(
        graph: &Graph,
        packing: &Packing,
        magnitudes: &[f64],
        params: &Params,
        options: Options,
    ) -> Result<Self, PlanError> {
        let program = lower(graph, packing, magnitudes, params, &options)?;
        let keys = program.keys();
        program.verify(&keys)?;
        let client = ClientPlan {
            params: params.clone(),
            input: program.input().clone(),
            output: program.output().clone(),
            head: graph.head(),
            keys,
            options,
            key_price: packing.price(),
            magnitudes: magnitudes.to_vec(),
            approximations: Vec::new(),
            flood: None,
        };
        Ok(Self { client, program: Arc::new(program), memory_bytes: None })
    }

    /// The same plan, which says that these polynomials stand for the model's activations.
    #[must_use]
    pub fn with_approximations(mut self, approximations: Vec<Approximation>) -> Self {
        self.client.approximations = approximations;
        self
    }

    /// The same plan, with noise on its results.
    #[must_use]
    pub fn with_flood(mut self, goal: Option<FloodGoal>) -> Self {
        self.client.flood = goal.map(|goal| Flood::new(goal, &self.program));
        self
    }

    /// The plan that `client` is a part of, from the model that it was made for: its graph, simplified, is made
    /// [`he_friendly`](crate::pass::he_friendly) with the client plan's approximations.
    ///
    /// # Errors
    /// [`PlanError::OtherModel`] if the graph leads to another client plan, or to none.
    pub fn rebuild(client: &ClientPlan, graph: &Graph) -> Result<Self, PlanError> {
        let ClientPlan { params, options, key_price, magnitudes, .. } = client;
        let packing = Packing::new(graph, params.slots(), client.interleave(), *key_price)?;
        let other = |what: String| PlanError::OtherModel { what };
        let rebuilt = Self::new(graph, &packing, magnitudes, params, options.clone())
            .map_err(|error| other(error.to_string()))?
            .with_approximations(client.approximations.clone())
            .with_flood(client.flood.map(|flood| flood.goal));
        match rebuilt.client == *client {
            true => Ok(rebuilt),
            false => Err(other("inputs, outputs or keys differ".into())),
        }
    }

    /// The data owner's part.
    pub fn client(&self) -> &ClientPlan {
        &self.client
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The same plan in so much memory: weights that do not fit are encoded when their operation runs.
    #[must_use]
    pub fn within(self, memory_bytes: Option<u64>) -> Self {
        Self { memory_bytes, ..self }
    }

    /// What a server holds in memory at most.
    pub fn memory(&self) -> Memory {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Memory::new(&self.program, &Schedule::new(&self.program), threads, self.memory_bytes)
    }

    /// What running it on one chunk is predicted to take.
    pub fn trace(&self, cost: &CostModel) -> Trace {
        trace(&self.program, cost, self.memory_bytes)
    }
}

#[cfg(test)]
mod tests;
