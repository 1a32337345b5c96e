//! What the encrypted interpreter puts off: products and scaled ciphertexts that one operation alone reads, and that it takes in as it computes
//! (`exec/encrypted/alone.rs`). They cost nothing where they stand. The relinearisation of a product costs what that of a written one does,
//! a sum its pass, whatever it sums.

use crate::exec::is_one;
use crate::exec::schedule::{Schedule, StageKind};
use crate::program::{Kind, Program, ValueId};

/// A value as its reader finds it.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Written,
    Product,
    /// A multiple of a ciphertext or a product.
    Scaled,
    /// Several terms.
    Sum,
}

/// Of each operation, whether its reader takes it in.
pub(super) fn put_off(program: &Program, schedule: &Schedule) -> Vec<bool> {
    let operations = program.operations();
    let uses = program.uses();
    let mut found = vec![Found::Written; operations.len()];
    let mut put_off = vec![false; operations.len()];
    for stage in schedule.stages().iter().filter(|stage| stage.kind == StageKind::Alone) {
        for index in stage.operations.clone() {
            let operation = &operations[index];
            let inputs: Vec<Found> = operation.inputs.iter().map(|input| found[input.0]).collect();
            let taken = |input: &ValueId| put_off[input.0] = found[input.0] != Found::Written;
            if takes(&operation.kind, &inputs) {
                operation.inputs.iter().for_each(taken);
            }
            if uses[index] == 1 && !stage.makes.contains(&ValueId(index)) {
                found[index] = made(&operation.kind, &inputs);
            }
        }
    }
    // What a sum reads is taken in; the sum itself is a pass.
    let is_sum = |index: usize| matches!(operations[index].kind, Kind::Add);
    (0..operations.len()).map(|index| put_off[index] && !is_sum(index)).collect()
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
            (false, Found::Written | Found::Product) => Found::Scaled,
            (false, _) => Found::Written,
        },
        (Kind::AddConstant(_), &[x]) => x,
        (Kind::DropLevel { .. }, [Found::Product]) => Found::Product,
        _ => Found::Written,
    }
}

#[cfg(test)]
mod tests {
    use ckks::{ParamsSpec, RingKind};

    use super::*;
    use crate::graph::{Graph, NodeId, Op};
    use crate::layout::Stepping;
    use crate::lower::networks::{activation, node};
    use crate::lower::{Options, Packing, lower};

    #[test]
    fn products_and_multiples_with_one_reader_are_put_off() {
        let cubic = activation(&[0.25, 0.5, 0.125, -0.0625]);
        let graph = Graph::new(vec![node(Op::Input, &[], 9), node(cubic, &[0], 9)], NodeId(1)).unwrap();
        let params = ParamsSpec::new(RingKind::Standard, 8, &[50; 6], &[50]).build_insecure().unwrap();
        let packing = Packing::new(&graph, params.slots(), 16, Stepping::Hoisted).unwrap();
        let (input_bits, weight_bits, waterline_bits) = (28, vec![16], 26);
        let options = Options { input_bits, weight_bits, waterline_bits, late_relinearization: false, last_limb: true };
        let program = lower(&graph, &packing, &[1.0; 2], &params, &options).unwrap();
        let put_off = put_off(&program, &Schedule::new(&program));
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
            assert_eq!(put_off[index], expected, "{operation} {index} for {readers:?}");
            seen += usize::from(expected);
        }
        assert!(seen >= 2, "{program:?}");
    }
}
