//! The rule of each operation: what it demands of its operands, and which value it makes of them.

use std::sync::Arc;

use ckks::{Params, Scale};

use super::{Kind, LinearOperator, Operation, ProgramError, Value, ValueId};
use crate::layout::Gaps;

/// The value that an operation makes of the values `before` it.
pub(super) fn infer(
    params: &Params,
    before: &[Operation],
    (name, kind, inputs): (&str, &Kind, &[ValueId]),
    magnitude: f64,
) -> Result<Value, ProgramError> {
    let operation = || format!("{} '{name}' (operation {})", kind.name(), before.len());
    if inputs.len() != kind.arity() || inputs.iter().any(|input| input.0 >= before.len()) {
        return Err(ProgramError::Operands {
            operation: operation(),
            expected: kind.arity(),
            found: inputs.iter().map(|input| input.0).collect(),
        });
    }
    let values: Vec<&Value> = inputs.iter().map(|input| &before[input.0].value).collect();
    let value = match values.as_slice() {
        [] => {
            return Err(ProgramError::InputPlace { operation: operation() });
        }
        [x] => unary(params, kind, x, &operation)?,
        [x, y, ..] => binary(kind, x, y, &operation)?,
    };
    let value = Value { magnitude, ..value };
    headroom(params, (value.scale, magnitude), value.level, &operation)?;
    // Constants are encoded, too, and may be larger than what becomes of them.
    for constant in constants(kind, value.scale).into_iter().flatten() {
        headroom(params, constant, value.level, &operation)?;
    }
    Ok(value)
}

/// Checks an operation against those before it.
pub(super) fn check(params: &Params, operations: &[Operation], index: usize) -> Result<(), ProgramError> {
    let before = &operations[..index];
    let Operation { name, kind, inputs, value } = &operations[index];
    let named = || format!("{} '{name}' (operation {})", kind.name(), before.len());
    if matches!(kind, Kind::Input) != before.is_empty() {
        return Err(ProgramError::InputPlace { operation: named() });
    }
    if before.is_empty() {
        return check_input(params, value, &named);
    }
    let expected = infer(params, before, (name, kind, inputs), value.magnitude)?;
    let differs = [
        ("layout", expected.layout != value.layout),
        ("level", expected.level != value.level),
        ("scale", expected.scale != value.scale),
        ("degree", expected.degree != value.degree),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some(&(what, _)) => Err(ProgramError::Recorded { operation: named(), what }),
    }
}

fn check_input(params: &Params, value: &Value, operation: &dyn Fn() -> String) -> Result<(), ProgramError> {
    if value.level > params.max_level() {
        return Err(ProgramError::Levels { operation: operation(), left: value.level, right: params.max_level() });
    }
    if value.degree != 1 {
        return Err(ProgramError::Degrees { operation: operation(), found: vec![value.degree] });
    }
    if value.layout.slots() != params.slots() {
        return Err(ProgramError::Places { operation: operation() });
    }
    headroom(params, (value.scale, value.magnitude), value.level, operation)
}

/// The scales at which constants are encoded, and the largest at each.
fn constants(kind: &Kind, scale: Scale) -> [Option<(Scale, f64)>; 2] {
    match kind {
        Kind::LinearMap { map, weight_scale } => {
            [Some((*weight_scale, map.largest_weight())), Some((scale, map.largest_constant()))]
        }
        Kind::MulConstant { constant, scale } => [Some((*scale, constant.abs())), None],
        Kind::AddConstant(constant) => [Some((scale, constant.abs())), None],
        _ => [None, None],
    }
}

fn unary(params: &Params, kind: &Kind, x: &Value, operation: &dyn Fn() -> String) -> Result<Value, ProgramError> {
    let of_degree = |degree: usize| match x.degree == degree {
        true => Ok(()),
        false => Err(ProgramError::Degrees { operation: operation(), found: vec![x.degree] }),
    };
    let mut y = x.clone();
    match kind {
        Kind::LinearMap { map, weight_scale } => {
            if let LinearOperator::Diagonals(_) = map.operator() {
                of_degree(1)?;
            }
            if !x.layout.same_places(map.input()) {
                return Err(ProgramError::Places { operation: operation() });
            }
            y.layout = Arc::clone(map.output());
            y.scale = x.scale.mul(*weight_scale);
        }
        Kind::Square => {
            of_degree(1)?;
            y.degree = 2;
            y.scale = x.scale.mul(x.scale);
        }
        Kind::MulConstant { scale, .. } => y.scale = x.scale.mul(*scale),
        Kind::AddConstant(_) => y.layout = Arc::new(x.layout.with_gaps(Gaps::Unknown)),
        Kind::Relinearize => {
            of_degree(2)?;
            y.degree = 1;
        }
        Kind::Rescale => rescale(params, &mut y, operation)?,
        Kind::RelinearizeRescale => {
            of_degree(2)?;
            y.degree = 1;
            rescale(params, &mut y, operation)?;
        }
        Kind::DropLevel { level } => {
            if *level > x.level {
                return Err(ProgramError::Levels { operation: operation(), left: x.level, right: *level });
            }
            y.level = *level;
        }
        Kind::Input | Kind::Mul | Kind::Add => {}
    }
    Ok(y)
}

fn rescale(params: &Params, value: &mut Value, operation: &dyn Fn() -> String) -> Result<(), ProgramError> {
    let exhausted = || ProgramError::Exhausted { operation: operation() };
    value.scale = params.rescaled(value.scale, value.level);
    value.level = value.level.checked_sub(1).ok_or_else(exhausted)?;
    Ok(())
}

fn binary(kind: &Kind, x: &Value, y: &Value, operation: &dyn Fn() -> String) -> Result<Value, ProgramError> {
    if !x.layout.same_places(&y.layout) {
        return Err(ProgramError::Places { operation: operation() });
    }
    if x.level != y.level {
        return Err(ProgramError::Levels { operation: operation(), left: x.level, right: y.level });
    }
    let mut z = x.clone();
    match kind {
        Kind::Mul if (x.degree, y.degree) == (1, 1) => {
            z.degree = 2;
            z.scale = x.scale.mul(y.scale);
            if y.layout.gaps() == Gaps::Zero {
                z.layout = Arc::clone(&y.layout);
            }
        }
        Kind::Mul => {
            return Err(ProgramError::Degrees { operation: operation(), found: vec![x.degree, y.degree] });
        }
        _ if x.scale != y.scale => {
            return Err(ProgramError::Scales { operation: operation(), left: x.scale, right: y.scale });
        }
        _ => {
            z.degree = x.degree.max(y.degree);
            if x.layout.gaps() == Gaps::Zero {
                z.layout = Arc::clone(&y.layout);
            }
        }
    }
    Ok(z)
}

/// scale · |v| · 2 must stay below the modulus, for a signed value not to wrap.
fn headroom(
    params: &Params,
    (scale, magnitude): (Scale, f64),
    level: usize,
    operation: &dyn Fn() -> String,
) -> Result<(), ProgramError> {
    let needed = scale.log2() + magnitude.max(f64::MIN_POSITIVE).log2() + 1.0;
    let available = params.log_q(level);
    if needed < available {
        return Ok(());
    }
    Err(ProgramError::Overflow { operation: operation(), magnitude, scale, needed, level, available })
}
