//! What the encrypted interpreter puts off: products and scaled ciphertexts that one operation alone reads, and that it takes in as it computes
//! (`exec/encrypted/alone.rs`). They cost nothing where they stand. The relinearisation of a product costs what that of a written one does,
//! a sum its pass, whatever it sums and whatever is added to it. Who adds a constant to a product or a multiple that is not written writes it.

use crate::exec::is_one;
use crate::exec::schedule::{Schedule, StageKind};
use crate::program::{Kind, Program, ValueId};

/// What an operation costs where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// What operations of its kind do.
    Own,
    /// Nothing: another does it on its way.
    Nothing,
    /// The product of two ciphertexts that it takes in.
    Product,
    /// The multiple of a ciphertext that it takes in.
    Multiple,
}

/// A value as its reader finds it.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Written,
    Product,
    /// A multiple of a ciphertext.
    Scaled,
    /// A multiple of a product.
    ScaledProduct,
    /// Several terms.
    Sum,
}

/// Of each operation its cost.
pub(super) fn passes(program: &Program, schedule: &Schedule) -> Vec<Pass> {
    let operations = program.operations();
    let uses = program.uses();
    let mut found = vec![Found::Written; operations.len()];
    let mut put_off = vec![false; operations.len()];
    let mut passes = vec![Pass::Own; operations.len()];
    for stage in schedule.stages().iter().filter(|stage| stage.kind == StageKind::Alone) {
        for index in stage.operations.clone() {
            let operation = &operations[index];
            let inputs: Vec<Found> = operation.inputs.iter().map(|input| found[input.0]).collect();
            let taken = |input: &ValueId| put_off[input.0] = found[input.0] != Found::Written;
            if takes(&operation.kind, &inputs) {
                operation.inputs.iter().for_each(taken);
                passes[index] = pass(&operation.kind, &inputs);
            }
            if uses[index] == 1 && !stage.makes.contains(&ValueId(index)) {
                found[index] = made(&operation.kind, &inputs);
            }
        }
    }
    // What a sum reads is taken in; the sum itself is a pass.
    let is_sum = |index: usize| matches!(operations[index].kind, Kind::Add);
    for (index, pass) in passes.iter_mut().enumerate() {
        if put_off[index] && !is_sum(index) {
            *pass = Pass::Nothing;
        }
    }
    passes
}

/// The cost of an operation that takes in operands.
fn pass(kind: &Kind, inputs: &[Found]) -> Pass {
    match (kind, inputs) {
        (Kind::AddConstant(_) | Kind::MulConstant { .. } | Kind::DropLevel { .. }, [x]) => match x {
            Found::Written => Pass::Own,
            Found::Product | Found::ScaledProduct => Pass::Product,
            Found::Scaled => Pass::Multiple,
            Found::Sum => Pass::Nothing,
        },
        _ => Pass::Own,
    }
}

/// Whether an operation takes in operands that are not written.
fn takes(kind: &Kind, inputs: &[Found]) -> bool {
    match (kind, inputs) {
        (Kind::Add | Kind::AddConstant(_), _) => true,
        (Kind::MulConstant { constant, scale }, [x]) => is_one(*constant, *scale) || *x == Found::Product,
        (Kind::DropLevel { .. } | Kind::Relinearize | Kind::RelinearizeRescale, [x]) => *x == Found::Product,
        _ => false,
    }
}

/// What an operation leaves that is put off.
fn made(kind: &Kind, inputs: &[Found]) -> Found {
    match (kind, inputs) {
        (Kind::Square | Kind::Mul, _) => Found::Product,
        (Kind::Add, [Found::Written, Found::Written]) => Found::Written,
        (Kind::Add, _) => Found::Sum,
        (Kind::MulConstant { constant, scale }, &[x]) => match (is_one(*constant, *scale), x) {
            (true, x) => x,
            (false, Found::Written) => Found::Scaled,
            (false, Found::Product) => Found::ScaledProduct,
            (false, _) => Found::Written,
        },
        (Kind::AddConstant(_), &[x]) => x,
        (Kind::DropLevel { .. }, [Found::Product]) => Found::Product,
        _ => Found::Written,
    }
}

#[cfg(test)]
mod tests {
    use ckks::{ParamsSpec, RingKind, Scale};

    use super::*;
    use crate::graph::{Graph, NodeId, Op};
    use crate::layout::KeyPrice;
    use crate::lower::networks::{activation, node};
    use crate::lower::{Options, Packing, lower};

    #[test]
    fn products_and_multiples_with_one_reader_are_put_off() {
        let cubic = activation(&[0.25, 0.5, 0.125, -0.0625]);
        let graph = Graph::new(vec![node(Op::Input, &[], 9), node(cubic, &[0], 9)], NodeId(1)).unwrap();
        let params = ParamsSpec::new(RingKind::Standard, 8, &[50; 6], &[50]).build_insecure().unwrap();
        let packing = Packing::new(&graph, params.slots(), 16, KeyPrice::FREE).unwrap();
        let (input_bits, weight_bits, waterline_bits) = (28, vec![16], 26);
        let options = Options { input_bits, weight_bits, waterline_bits, late_relinearization: false, last_limb: true };
        let program = lower(&graph, &packing, &[1.0; 2], &params, &options).unwrap();
        let passes = passes(&program, &Schedule::new(&program));
        let mut seen = 0;
        for (index, operation) in program.operations().iter().enumerate() {
            let readers: Vec<&Kind> = program
                .operations()
                .iter()
                .filter(|reader| reader.inputs.contains(&ValueId(index)))
                .map(|reader| &reader.kind)
                .collect();
            let expected = match (&operation.kind, readers.as_slice()) {
                (Kind::Square | Kind::Mul, [reader]) => !matches!(reader, Kind::Rescale | Kind::Mul | Kind::Square),
                (Kind::MulConstant { .. }, [Kind::Add]) => true,
                (Kind::Add | Kind::Rescale | Kind::Relinearize | Kind::RelinearizeRescale | Kind::Input, _) => false,
                // Whoever ends with a product that is relinearised.
                _ => continue,
            };
            assert_eq!(passes[index] == Pass::Nothing, expected, "{operation} {index} for {readers:?}");
            seen += usize::from(expected);
        }
        assert!(seen >= 2, "{program:?}");
    }

    #[test]
    fn a_constant_costs_what_it_is_added_to() {
        let constant = Kind::AddConstant(0.5);
        let scaled = |scale| Kind::MulConstant { constant: 1.0, scale };
        let passes = [
            (Found::Written, Pass::Own),
            (Found::Product, Pass::Product),
            (Found::ScaledProduct, Pass::Product),
            (Found::Scaled, Pass::Multiple),
            (Found::Sum, Pass::Nothing),
        ];
        for (found, expected) in passes {
            assert_eq!(pass(&constant, &[found]), expected);
        }
        assert!(made(&scaled(Scale::power_of_two(3)), &[Found::Product]) == Found::ScaledProduct);
        assert!(made(&scaled(Scale::power_of_two(3)), &[Found::Written]) == Found::Scaled);
        assert!(made(&constant, &[Found::ScaledProduct]) == Found::ScaledProduct);
    }
}
