//! The verifier: one program for every error, wrong in one place.

use ckks::{ParamsSpec, RingKind};

use super::*;
use crate::graph::SparseMatrix;
use crate::layout::KeyPrice;

const SLOTS: usize = 16;

fn params() -> Params {
    ParamsSpec::new(RingKind::Standard, 5, &[50, 40, 40], &[50]).build_insecure().unwrap()
}

fn value(level: usize, bits: i32, layout: Layout) -> Value {
    Value { layout: Arc::new(layout), level, scale: Scale::power_of_two(bits), degree: 1, magnitude: 1.0 }
}

fn builder() -> (Builder, ValueId) {
    Builder::new(params(), "x", value(2, 30, Layout::dense(SLOTS, 2, 5).unwrap())).unwrap()
}

fn linear(input: &Arc<Layout>, rows: usize) -> Arc<LinearMap> {
    let matrix = SparseMatrix::from_dense(rows, input.features(), &vec![0.5; rows * input.features()]).unwrap();
    let output = Layout::dense(SLOTS, input.interleave(), rows).unwrap();
    Arc::new(
        LinearMap::new(
            Arc::new(AffineMap::linear(matrix)),
            Arc::clone(input),
            Arc::new(output),
            KeyPrice::FREE.alone(),
        )
        .unwrap(),
    )
}

/// x ↦ (M x)², relinearised and rescaled.
fn program() -> Program {
    let (mut builder, x) = builder();
    let name: Arc<str> = "layer".into();
    let map = linear(&builder.value(x).layout.clone(), 3);
    let kind = Kind::LinearMap { map, weight_scale: Scale::power_of_two(20) };
    let y = builder.push(&name, kind, &[x], 2.5).unwrap();
    let y = builder.push(&name, Kind::Rescale, &[y], 2.5).unwrap();
    let y = builder.push(&name, Kind::Square, &[y], 6.25).unwrap();
    builder.push(&name, Kind::RelinearizeRescale, &[y], 6.25).unwrap();
    builder.finish().unwrap()
}

#[test]
fn values_follow_from_their_operands() {
    let program = program();
    program.verify(&program.keys()).unwrap();
    let levels: Vec<usize> = program.operations().iter().map(|o| o.value.level).collect();
    let degrees: Vec<usize> = program.operations().iter().map(|o| o.value.degree).collect();
    assert_eq!((levels, degrees), (vec![2, 2, 1, 1, 0], vec![1, 1, 1, 2, 1]));
    let params = program.params();
    let rescaled = params.rescaled(Scale::power_of_two(50), 2);
    assert_eq!(program.output().scale, params.rescaled(rescaled.mul(rescaled), 1));
    assert_eq!(program.last_uses(), [1, 2, 3, 4, 4]);
    let keys = program.keys();
    assert_eq!((keys.relinearization, program.rotations().values().max()), (Some(1), Some(&2)));
}

/// The error of verifying a program after something was changed in it.
fn broken(change: impl FnOnce(&mut Vec<Operation>)) -> ProgramError {
    let mut program = program();
    let keys = program.keys();
    change(&mut program.operations);
    program.verify(&keys).unwrap_err()
}

#[test]
fn a_record_that_does_not_follow_is_found_and_named() {
    let what = |error| match error {
        ProgramError::Recorded { operation, what } => {
            assert!(operation.contains("square 'layer'"), "{operation}");
            what
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(what(broken(|ops| ops[3].value.level = 0)), "level");
    assert_eq!(what(broken(|ops| ops[3].value.degree = 1)), "degree");
    assert_eq!(what(broken(|ops| ops[3].value.scale = Scale::power_of_two(21))), "scale");
    let other = Arc::new(Layout::dense(SLOTS, 2, 4).unwrap());
    assert_eq!(what(broken(|ops| ops[3].value.layout = other)), "layout");
}

#[test]
fn operands_that_do_not_fit_are_found() {
    let is = |error: ProgramError, expected: fn(&ProgramError) -> bool| assert!(expected(&error), "{error}");
    is(broken(|ops| ops[2].inputs = vec![ValueId(3)]), |e| matches!(e, ProgramError::Operands { expected: 1, .. }));
    is(broken(|ops| ops[2].inputs = vec![]), |e| matches!(e, ProgramError::Operands { .. }));
    is(broken(|ops| ops[2].kind = Kind::Input), |e| matches!(e, ProgramError::InputPlace { .. }));
    is(broken(|ops| ops[0].kind = Kind::Rescale), |e| matches!(e, ProgramError::InputPlace { .. }));
    is(broken(|ops| ops[0].value.level = 3), |e| matches!(e, ProgramError::Levels { left: 3, right: 2, .. }));
    is(broken(|ops| ops[0].value.degree = 2), |e| matches!(e, ProgramError::Degrees { .. }));
    is(broken(|ops| ops[2].kind = Kind::Relinearize), |e| matches!(e, ProgramError::Degrees { .. }));
    is(broken(|ops| ops[2].kind = Kind::DropLevel { level: 3 }), |e| matches!(e, ProgramError::Levels { .. }));
    is(broken(|ops| ops[1].inputs = vec![ValueId(1)]), |e| matches!(e, ProgramError::Operands { .. }));
    is(broken(|ops| ops[3].value.magnitude = 1e30), |e| matches!(e, ProgramError::Overflow { level: 1, .. }));
    let moved = Arc::new(Layout::dense(32, 2, 5).unwrap());
    is(broken(|ops| ops[0].value.layout = moved), |e| matches!(e, ProgramError::Places { .. }));
}

#[test]
fn constants_need_headroom_as_values_do() {
    let (mut builder, x) = builder();
    let name: Arc<str> = "layer".into();
    let layout = builder.value(x).layout.clone();
    let map = |weight: f64, bias: f64| {
        let matrix = SparseMatrix::from_dense(1, 5, &[weight; 5]).unwrap();
        let output = Arc::new(Layout::dense(SLOTS, 2, 1).unwrap());
        let map = Arc::new(AffineMap::new(matrix, vec![bias]).unwrap());
        Arc::new(LinearMap::new(map, Arc::clone(&layout), output, KeyPrice::FREE.alone()).unwrap())
    };
    let (small, large) = (Scale::power_of_two(20), Scale::power_of_two(60));
    // 130 bits: results of 1 leave room at scales of 2^50 and 2^90.
    let mut fits = |kind| match builder.push(&name, kind, &[x], 1.0) {
        Ok(_) => true,
        Err(ProgramError::Overflow { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    let linear = |weight, bias, weight_scale| Kind::LinearMap { map: map(weight, bias), weight_scale };
    assert!(fits(linear(1.0, 2f64.powi(78), small)) && !fits(linear(1.0, 2f64.powi(80), small)));
    assert!(fits(linear(2f64.powi(68), 0.0, large)) && !fits(linear(2f64.powi(70), 0.0, large)));
    assert!(fits(Kind::AddConstant(-1e9)) && !fits(Kind::AddConstant(-1e32)));
    let times = |constant, scale| Kind::MulConstant { constant, scale };
    assert!(fits(times(-1e9, large)) && !fits(times(-1e30, large)));
}

#[test]
fn sums_and_products_need_equal_places_levels_scales_and_degree_1() {
    let (mut builder, x) = builder();
    let name: Arc<str> = "join".into();
    let mut push = |kind, inputs: &[ValueId]| builder.push(&name, kind, inputs, 1.0);
    let scaled = push(Kind::MulConstant { constant: 1.0, scale: Scale::power_of_two(3) }, &[x]).unwrap();
    let dropped = push(Kind::DropLevel { level: 1 }, &[x]).unwrap();
    let squared = push(Kind::Square, &[x]).unwrap();
    assert!(matches!(push(Kind::Add, &[x, scaled]), Err(ProgramError::Scales { .. })));
    assert!(matches!(push(Kind::Add, &[x, dropped]), Err(ProgramError::Levels { left: 2, right: 1, .. })));
    assert!(matches!(push(Kind::Mul, &[x, dropped]), Err(ProgramError::Levels { .. })));
    assert!(matches!(push(Kind::Mul, &[x, squared]), Err(ProgramError::Degrees { .. })));
    assert!(matches!(push(Kind::Square, &[squared]), Err(ProgramError::Degrees { .. })));
    let map = linear(&Arc::new(Layout::dense(SLOTS, 2, 5).unwrap()), 3);
    let kind = Kind::LinearMap { map, weight_scale: Scale::power_of_two(5) };
    assert!(matches!(push(kind.clone(), &[squared]), Err(ProgramError::Degrees { .. })));
    let y = push(kind.clone(), &[x]).unwrap();
    assert!(matches!(push(Kind::Add, &[x, y]), Err(ProgramError::Places { .. })));
    assert!(matches!(push(kind, &[y]), Err(ProgramError::Places { .. })));
    // Gaps that one operand leaves unknown, a sum leaves unknown; a product with zeros is zero.
    let shifted = push(Kind::AddConstant(1.0), &[x]).unwrap();
    let sum = push(Kind::Add, &[x, shifted]).unwrap();
    let product = push(Kind::Mul, &[x, shifted]).unwrap();
    let gaps = |id| builder.value(id).layout.gaps();
    use crate::layout::Gaps;
    assert_eq!((gaps(shifted), gaps(sum), gaps(product)), (Gaps::Unknown, Gaps::Unknown, Gaps::Zero));
}

#[test]
fn an_exhausted_chain_and_a_result_of_degree_2_are_refused() {
    let (mut builder, mut x) = builder();
    let name: Arc<str> = "deep".into();
    for _ in 0..2 {
        x = builder.push(&name, Kind::Rescale, &[x], 1.0).unwrap();
    }
    assert!(matches!(builder.push(&name, Kind::Rescale, &[x], 1.0), Err(ProgramError::Exhausted { .. })));
    builder.push(&name, Kind::Square, &[x], 1.0).unwrap();
    assert!(matches!(builder.finish(), Err(ProgramError::Degrees { .. })));
}

#[test]
fn keys_that_are_missing_or_too_low_are_named() {
    let program = program();
    let missing = |change: fn(&mut KeyRequest)| {
        let mut keys = program.keys();
        change(&mut keys);
        match program.verify(&keys) {
            Err(ProgramError::MissingKey { key, level }) => (key, level),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(missing(|keys| keys.relinearization = None), ("the relinearisation key".into(), 1));
    assert_eq!(missing(|keys| keys.relinearization = Some(0)).1, 1);
    assert!(missing(|keys| keys.galois.clear()).0.contains("Galois element"));
    assert_eq!(missing(|keys| keys.galois.values_mut().for_each(|level| *level = 1)).1, 2);
}
