//! Functions of one feature, and expressions that are made of them.

use std::sync::Arc;

/// A function of one feature. All but polynomials must be approximated before lowering.
#[derive(Debug, Clone, PartialEq)]
pub enum Activation {
    /// c_0 + c_1 x + c_2 x² + …
    Polynomial(Vec<f64>),
    /// c_0 + c_1 T_1(x) + c_2 T_2(x) + …, T_k(cos θ) = cos kθ, for x in [−1, 1]: what a fit leaves.
    Chebyshev(Vec<f64>),
    /// max(0, x)
    Relu,
    /// x where it is positive, else a x
    LeakyRelu(f64),
    /// 1 / (1 + e^−x)
    Sigmoid,
    /// tanh x
    Tanh,
    /// x / (1 + e^−x)
    Silu,
    /// x Φ(x)
    Gelu,
    /// x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))
    GeluTanh,
    /// x · min(max(x / 6 + 1/2, 0), 1)
    HardSwish,
    /// min(max(x, low), high)
    Clip(f64, f64),
    /// |x|
    Abs,
    /// e^x
    Exp,
    /// The natural logarithm.
    Ln,
    /// The error function.
    Erf,
    /// 1 where x > 0, else 0
    Step,
    /// What a model spells out in several nodes.
    Composite(Arc<Expression>),
}

/// A function of x.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// x
    X,
    /// f of an expression.
    Apply(Activation, Box<Expression>),
    /// The sum of two.
    Add(Box<Expression>, Box<Expression>),
    /// The product of two.
    Mul(Box<Expression>, Box<Expression>),
}

impl Activation {
    /// One word for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Activation::Polynomial(_) | Activation::Chebyshev(_) => "polynomial",
            Activation::Relu => "relu",
            Activation::LeakyRelu(_) => "leaky relu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Silu => "silu",
            Activation::Gelu | Activation::GeluTanh => "gelu",
            Activation::HardSwish => "hard swish",
            Activation::Clip(..) => "clip",
            Activation::Abs => "abs",
            Activation::Exp => "exp",
            Activation::Ln => "ln",
            Activation::Erf => "erf",
            Activation::Step => "step",
            Activation::Composite(_) => "function",
        }
    }

    /// Whether ciphertexts can compute it.
    pub fn is_polynomial(&self) -> bool {
        matches!(self, Activation::Polynomial(_) | Activation::Chebyshev(_))
    }

    /// Its value at x, in double precision.
    pub fn eval(&self, x: f64) -> f64 {
        let [y] = self.eval_all([x]);
        y
    }

    /// Its values at all of x.
    pub fn eval_all<const N: usize>(&self, x: [f64; N]) -> [f64; N] {
        match self {
            Activation::Polynomial(coefficients) => {
                coefficients.iter().rev().fold([0.0; N], |sum, c| std::array::from_fn(|i| sum[i] * x[i] + c))
            }
            Activation::Chebyshev(coefficients) => clenshaw(coefficients, x),
            Activation::Relu => x.map(|x| x.max(0.0)),
            Activation::LeakyRelu(slope) => x.map(|x| x.max(0.0) + slope * x.min(0.0)),
            Activation::Sigmoid => x.map(sigmoid),
            Activation::Tanh => x.map(libm::tanh),
            Activation::Silu => x.map(|x| x * sigmoid(x)),
            Activation::Gelu => x.map(|x| 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))),
            Activation::GeluTanh => x.map(|x| {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + libm::tanh(inner))
            }),
            Activation::HardSwish => x.map(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
            Activation::Clip(low, high) => x.map(|x| x.max(*low).min(*high)),
            Activation::Abs => x.map(f64::abs),
            Activation::Exp => x.map(libm::exp),
            Activation::Ln => x.map(libm::log),
            Activation::Erf => x.map(libm::erf),
            Activation::Step => x.map(|x| f64::from(x > 0.0)),
            Activation::Composite(expression) => expression.eval_all(x),
        }
    }

    /// Of a polynomial, its coefficients in the Chebyshev basis.
    pub fn chebyshev(&self) -> Option<Vec<f64>> {
        match self {
            Activation::Chebyshev(coefficients) => Some(coefficients.clone()),
            // Horner: b ← x b + c, with x T_k = (T_|k−1| + T_k+1) / 2.
            Activation::Polynomial(coefficients) => {
                Some(coefficients.iter().rev().fold(Vec::new(), |b: Vec<f64>, c| {
                    let mut next = vec![0.0; b.len() + 1];
                    next[0] = *c;
                    for (k, b) in b.iter().enumerate() {
                        match k {
                            0 => next[1] += b,
                            _ => [k - 1, k + 1].iter().for_each(|&j| next[j] += b / 2.0),
                        }
                    }
                    next
                }))
            }
            _ => None,
        }
    }
}

impl Expression {
    /// Its values at all of x.
    pub fn eval_all<const N: usize>(&self, x: [f64; N]) -> [f64; N] {
        match self {
            Expression::X => x,
            Expression::Apply(activation, inner) => activation.eval_all(inner.eval_all(x)),
            Expression::Add(a, b) => {
                let (a, b) = (a.eval_all(x), b.eval_all(x));
                std::array::from_fn(|i| a[i] + b[i])
            }
            Expression::Mul(a, b) => {
                let (a, b) = (a.eval_all(x), b.eval_all(x));
                std::array::from_fn(|i| a[i] * b[i])
            }
        }
    }

    /// Whether it is made of polynomials alone.
    pub fn is_polynomial(&self) -> bool {
        match self {
            Expression::X => true,
            Expression::Apply(activation, inner) => activation.is_polynomial() && inner.is_polynomial(),
            Expression::Add(a, b) | Expression::Mul(a, b) => a.is_polynomial() && b.is_polynomial(),
        }
    }

    /// How many operations it has.
    pub fn size(&self) -> usize {
        match self {
            Expression::X => 0,
            Expression::Apply(_, inner) => 1 + inner.size(),
            Expression::Add(a, b) | Expression::Mul(a, b) => 1 + a.size() + b.size(),
        }
    }
}

/// Σ c_k T_k(x) by Clenshaw's recurrence.
fn clenshaw<const N: usize>(coefficients: &[f64], x: [f64; N]) -> [f64; N] {
    let (mut next, mut after) = ([0.0; N], [0.0; N]);
    for &c in coefficients.iter().skip(1).rev() {
        (next, after) = (std::array::from_fn(|i| 2.0 * x[i] * next[i] - after[i] + c), next);
    }
    let constant = coefficients.first().copied().unwrap_or(0.0);
    std::array::from_fn(|i| x[i] * next[i] - after[i] + constant)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}
