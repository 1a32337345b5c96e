//! Linear maps with their weights encoded.

use std::num::NonZeroU32;

use ckks::{
    Ciphertext, DiagonalMap, DiagonalTerm, Encoder, EvaluationKeys, Evaluator, Params, Plaintext, Pointwise,
    ScalarMatrix, Scale,
};
use rayon::prelude::*;

use crate::exec::schedule::{Stage, Step, columns};
use crate::layout::{DiagonalEntries, DiagonalPlan};
use crate::program::{Kind, LinearMap, Operation, Program, Value};

/// One operation of a chain, for the ciphertexts of one step.
pub(super) enum Link {
    Affine {
        matrix: ScalarMatrix,
        bias: Vec<f64>,
    },
    /// The same for every ciphertext.
    Each(Pointwise<'static>),
}

impl Link {
    /// The links of a step: the last matrix makes its outputs, the first reads its inputs, and each makes what the next one reads.
    ///
    /// # Errors
    /// The operation whose weights overflow their scale, with what the scheme says.
    pub(super) fn chain(program: &Program, stage: &Stage, step: &Step) -> Result<Vec<Self>, (usize, ckks::Error)> {
        let operations = &program.operations()[stage.operations.clone()];
        let is_map = |operation: &Operation| matches!(operation.kind, Kind::LinearMap { .. });
        let first = operations.iter().position(is_map);
        let mut rows = step.outputs.clone();
        let link = |(at, operation): (usize, &Operation)| match &operation.kind {
            Kind::LinearMap { map, weight_scale } => {
                let read = if Some(at) == first { step.inputs.clone() } else { columns(map, &rows) };
                let made = std::mem::replace(&mut rows, read);
                let scale_and_level = (*weight_scale, operation.value.level);
                Self::affine(program.params(), map, (&made, &rows), scale_and_level)
                    .map_err(|error| (stage.operations.start + at, error))
            }
            &Kind::AddConstant(constant) => Ok(Self::Each(Pointwise::AddConstant(constant))),
            &Kind::MulConstant { constant, scale } => Ok(Self::Each(Pointwise::MulConstant { constant, scale })),
            _ => Ok(Self::Each(Pointwise::Square)),
        };
        let mut links = operations.iter().enumerate().rev().map(link).collect::<Result<Vec<_>, _>>()?;
        links.reverse();
        Ok(links)
    }

    /// Some rows of a map, which read no other columns than those given, ascending.
    fn affine(
        params: &Params,
        map: &LinearMap,
        (rows, columns): (&[usize], &[usize]),
        (scale, level): (Scale, usize),
    ) -> ckks::Result<Self> {
        let row = |&output: &usize| {
            let place = |(input, weight)| (columns.partition_point(|&column| column < input) as u32, weight);
            let mut row: Vec<(u32, f64)> = map.row(output).map(place).collect();
            row.sort_unstable_by_key(|&(column, _)| column);
            row
        };
        let entries: Vec<Vec<(u32, f64)>> = rows.iter().map(row).collect();
        let matrix = ScalarMatrix::new(params, entries.iter().map(Vec::as_slice), columns.len(), scale, level)?;
        Ok(Self::Affine { matrix, bias: rows.iter().map(|&output| map.constant(output)).collect() })
    }

    pub(super) fn pointwise(&self) -> Pointwise<'_> {
        match self {
            Self::Affine { matrix, bias } => Pointwise::Affine { matrix, constants: bias },
            Self::Each(operation) => *operation,
        }
    }
}

/// y = M x + c by diagonals.
pub(super) struct PreparedDiagonals {
    map: DiagonalMap,
    /// The outputs that `map` computes; the others are zero.
    computed: Vec<usize>,
    weight_scale: Scale,
    /// Of each output, c at the scale of the products; none where it is zero.
    bias: Vec<Option<Plaintext>>,
}

impl PreparedDiagonals {
    /// Of an operation; none if it is no linear map by diagonals.
    pub(super) fn of(encoder: &Encoder, operation: &Operation) -> ckks::Result<Option<Self>> {
        match (&operation.kind, operation.kind.diagonals()) {
            (Kind::LinearMap { map, weight_scale }, Some(plan)) => {
                Self::new(encoder, (map, plan), *weight_scale, &operation.value).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn new(
        encoder: &Encoder,
        (linear, plan): (&LinearMap, &DiagonalPlan),
        weight_scale: Scale,
        result: &Value,
    ) -> ckks::Result<Self> {
        let (input, output, affine) = (linear.input(), linear.output(), linear.map());
        let computed: Vec<usize> = (0..output.ciphertexts()).filter(|&o| !plan.outputs()[o].is_empty()).collect();
        let products = computed.iter().enumerate().flat_map(|(index, &o)| {
            let steps = plan.outputs()[o].iter();
            steps.flat_map(move |step| step.products.iter().map(move |&product| (index, o, step.rotation, product)))
        });
        let products: Vec<_> = products.collect();
        let entries = DiagonalEntries::new(plan, &affine.matrix, input, output);
        // Of a position.
        let slots = output.interleave() as i64;
        let term = |(index, o, giant, product): (usize, usize, i64, crate::layout::Product)| {
            let values = entries.slots(o, giant, product);
            Ok(DiagonalTerm {
                output: index,
                input: product.input,
                baby: product.rotation as i64 * slots,
                giant: giant * slots,
                diagonal: encoder.encode(&values, weight_scale, result.level)?.extend(),
            })
        };
        let terms = products.into_par_iter().map(term).collect::<ckks::Result<Vec<_>>>()?;
        let bias = |o: usize| match output.spread(&affine.bias, o) {
            slots if slots.iter().all(|&c| c == 0.0) => Ok(None),
            slots => encoder.encode(&slots, result.scale, result.level).map(Some),
        };
        let fold = plan.fold().iter().map(|step| step.iter().map(|&k| k as i64 * slots).collect()).collect();
        let mut map = DiagonalMap::new(input.ciphertexts(), computed.len(), terms)?.with_fold(fold);
        if let Some(n0) = plan.hubs().and_then(|n0| NonZeroU32::new((n0 as i64 * slots) as u32)) {
            map = map.with_hubs(n0);
        }
        Ok(Self {
            map,
            weight_scale,
            bias: (0..output.ciphertexts()).into_par_iter().map(bias).collect::<ckks::Result<_>>()?,
            computed,
        })
    }

    pub(super) fn apply(
        &self,
        evaluator: &Evaluator,
        x: &[&Ciphertext],
        keys: &EvaluationKeys,
    ) -> ckks::Result<Vec<Ciphertext>> {
        let mut computed = self.computed.iter().zip(self.map.apply(evaluator, x, keys)?).peekable();
        let output = |(o, bias): (usize, &Option<Plaintext>)| {
            let mut y = match computed.next_if(|(at, _)| **at == o) {
                Some((_, y)) => y,
                None => {
                    let mut zero = Ciphertext::clone(x[0]);
                    evaluator.mul_constant_assign(&mut zero, 0.0, self.weight_scale)?;
                    zero
                }
            };
            if let Some(bias) = bias {
                evaluator.add_plain_assign(&mut y, bias)?;
            }
            Ok(y)
        };
        self.bias.iter().enumerate().map(output).collect()
    }
}
