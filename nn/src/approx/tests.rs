//! Fits against closed forms, and against what no polynomial can beat.

use std::f64::consts::PI;

use super::*;

fn value(fit: &Fit, x: f64) -> f64 {
    let t = (2.0 * x - fit.range[0] - fit.range[1]) / (fit.range[1] - fit.range[0]);
    chebyshev(t, fit.degree()).iter().zip(&fit.coefficients).map(|(t, c)| t * c).sum()
}

#[test]
fn a_polynomial_is_found_exactly() {
    let cubic = |x: f64| 1.0 - 2.0 * x + 0.5 * x * x * x;
    for histogram in [vec![], vec![1.0, 0.0, 7.0]] {
        let fit = fit(&cubic, [-3.0, 5.0], (Shape::General, 4), (&histogram, 50));
        assert!(fit.max_error < 1e-10 && fit.coefficients[4].abs() < 1e-10, "{fit:?}");
        assert!((value(&fit, 2.5) - cubic(2.5)).abs() < 1e-10);
    }
}

#[test]
fn without_data_a_fit_is_the_chebyshev_series() {
    // |t| = 2/π + 4/π Σ (−1)^(k+1) T_2k / (4k² − 1); ReLU on [−r, r] is r (|t| + t) / 2.
    let fit = fit(&|x| x.max(0.0), [-4.0, 4.0], (Shape::EvenAndLine, 6), (&[], 0));
    let expected = [4.0 / PI, 2.0, 8.0 / (3.0 * PI), 0.0, -8.0 / (15.0 * PI), 0.0, 8.0 / (35.0 * PI)];
    for (found, expected) in fit.coefficients.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
}

#[test]
fn errors_are_near_the_smallest_possible() {
    // Minimax errors of |x| on [−1, 1] (Bernstein 1914; Varga and Carpenter 1985): E_2 = 1/8, and 2n E_2n → 0.2801694990.
    let errors = [(2, 0.125), (4, 0.067_620_9), (8, 0.034_6), (30, 0.009_337)];
    for (degree, smallest) in errors {
        let fit = fit(&f64::abs, [-1.0, 1.0], (Shape::EvenAndLine, degree), (&[], 0));
        // A series is at most 2 + (4/π²) log(degree) times as far (Trefethen 2013, theorem 16.1 ff).
        assert!(fit.max_error >= smallest && fit.max_error < 3.0 * smallest, "{degree}: {}", fit.max_error);
    }
}

#[test]
fn weight_goes_where_the_data_are() {
    let mut histogram = vec![0.0; 64];
    histogram[24..40].iter_mut().for_each(|count| *count = 10.0);
    let plain = fit(&|x| x.max(0.0), [-8.0, 8.0], (Shape::EvenAndLine, 4), (&[], 0));
    let weighted = fit(&|x| x.max(0.0), [-8.0, 8.0], (Shape::EvenAndLine, 4), (&histogram, 50));
    let error = |fit: &Fit, x: f64| (value(fit, x) - x.max(0.0)).abs();
    let near = |fit: &Fit| (-20..=20).map(|i| error(fit, f64::from(i) / 10.0)).sum::<f64>();
    assert!(near(&weighted) < 0.8 * near(&plain), "{} {}", near(&weighted), near(&plain));
    // What the data never show is still a ReLU, roughly.
    assert!(weighted.max_error < 8.0 * plain.max_error, "{} {}", weighted.max_error, plain.max_error);
}

#[test]
fn activations_have_their_symmetries() {
    let shape = |function: fn(f64) -> f64, data| Shape::of(&function, data);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    assert_eq!(shape(|x| x.max(0.0), [-2.0, 5.0]), (Shape::EvenAndLine, [-5.0, 5.0]));
    assert_eq!(shape(|x| x.max(0.0) - 0.1 * (-x).max(0.0), [-5.0, 2.0]).0, Shape::EvenAndLine);
    assert_eq!(Shape::of(&|x| x * sigmoid(x), [-3.0, 3.0]).0, Shape::EvenAndLine);
    assert_eq!(Shape::of(&sigmoid, [-3.0, 4.0]), (Shape::OddAndConstant, [-4.0, 4.0]));
    assert_eq!(shape(f64::tanh, [-3.0, 4.0]).0, Shape::OddAndConstant);
    assert_eq!(shape(f64::exp, [-3.0, 4.0]), (Shape::General, [-3.0, 4.0]));
    assert_eq!(shape(|x| x.max(0.0), [-0.1, 5.0]), (Shape::General, [-0.1, 5.0]));
}

#[test]
fn the_ends_of_a_range_count_although_no_sample_came_there() {
    // All samples in the middle tenth: the polynomial that is best there is far off at the ends.
    let histogram: Vec<f64> = (0..512).map(|i| f64::from(u8::from((230..282).contains(&i)))).collect();
    let relu = |x: f64| x.max(0.0);
    for samples in [50, 1_000_000] {
        let fit = fit(&relu, [-4.0, 4.0], (Shape::EvenAndLine, 4), (&histogram, samples));
        assert!(fit.max_error <= LARGEST * 4.0, "{}", fit.max_error);
    }
    let share = WHOLE / (WHOLE + 1e6);
    let far = weighted(&relu, [-4.0, 4.0], (Shape::EvenAndLine, 4), &points(&histogram, share));
    assert!(far.max_error > 4.0, "{}", far.max_error);
}
