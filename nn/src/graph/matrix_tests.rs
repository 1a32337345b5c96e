//! The laws of sparse matrices against dense ones.

use proptest::prelude::*;

use super::*;

/// A dense matrix in row-major order, half of it zero.
fn dense(rows: usize, cols: usize) -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![Just(0.0), (-8i32..8).prop_map(f64::from)];
    proptest::collection::vec(value, rows * cols)
}

fn naive_product(a: &[f64], b: &[f64], inner: usize, cols: usize) -> Vec<f64> {
    let entry = |r: usize, c: usize| (0..inner).map(|k| a[r * inner + k] * b[k * cols + c]).sum();
    (0..a.len() / inner * cols).map(|i| entry(i / cols, i % cols)).collect()
}

proptest! {
    #[test]
    fn product_and_application_agree_with_dense_ones((m, k, n) in (1usize..6, 1usize..6, 1usize..6), seed in dense(5, 25), x in dense(1, 5)) {
        let (a, b) = (&seed[..m * k], &seed[50..50 + k * n]);
        let (sa, sb) = (SparseMatrix::from_dense(m, k, a).unwrap(), SparseMatrix::from_dense(k, n, b).unwrap());
        let product = sa.product(&sb).unwrap();
        prop_assert_eq!(&product, &SparseMatrix::from_dense(m, n, &naive_product(a, b, k, n)).unwrap());
        prop_assert_eq!(sb.apply(&x[..n]).unwrap(), naive_product(b, &x[..n], n, 1));
        let bound = sa.product_nnz(&sb, usize::MAX).unwrap().unwrap();
        prop_assert!(bound >= product.nnz());
        prop_assert_eq!(sa.product_nnz(&sb, bound).unwrap(), Some(bound));
        prop_assert_eq!(sa.product_nnz(&sb, bound.wrapping_sub(1)).unwrap(), if bound == 0 { Some(0) } else { None });
    }

    #[test]
    fn composition_is_one_after_the_other(a in dense(4, 3), b in dense(2, 4), c in dense(1, 6), x in dense(1, 3)) {
        let first = AffineMap::new(SparseMatrix::from_dense(4, 3, &a).unwrap(), c[..4].to_vec()).unwrap();
        let next = AffineMap::new(SparseMatrix::from_dense(2, 4, &b).unwrap(), c[4..].to_vec()).unwrap();
        let both = first.then(&next).unwrap();
        prop_assert_eq!(both.apply(&x).unwrap(), next.apply(&first.apply(&x).unwrap()).unwrap());
    }
}

#[test]
fn triplets_come_in_any_order_and_add_up() {
    let matrix = SparseMatrix::from_triplets(
        2,
        3,
        [(1, 2, 4.0), (0, 1, 1.0), (1, 0, 3.0), (0, 1, 1.5), (1, 2, -4.0), (0, 0, 0.0)],
    )
    .unwrap();
    assert_eq!(matrix.row(0), [(1, 2.5)]);
    assert_eq!(matrix.row(1), [(0, 3.0)]);
    assert_eq!((matrix.rows(), matrix.cols(), matrix.nnz()), (2, 3, 2));
    assert_eq!(matrix.iter().collect::<Vec<_>>(), [(0, 1, 2.5), (1, 0, 3.0)]);
}

#[test]
fn shapes_of_matrices_are_recognised() {
    let identity = SparseMatrix::identity(3).unwrap();
    let scaled = SparseMatrix::diagonal(&[1.0, 2.0, 3.0]).unwrap();
    let padded = SparseMatrix::selection(2, [None, Some(1), Some(0), None]).unwrap();
    assert!(identity.is_identity() && identity.is_monomial());
    assert!(!scaled.is_identity() && scaled.is_monomial());
    assert!(!padded.is_identity() && padded.is_monomial());
    assert_eq!(padded.apply(&[5.0, 7.0]).unwrap(), [0.0, 7.0, 5.0, 0.0]);
    assert!(!SparseMatrix::from_dense(1, 2, &[1.0, 1.0]).unwrap().is_monomial());
}

#[test]
fn an_entry_outside_is_refused() {
    let error = SparseMatrix::from_triplets(2, 2, [(2, 0, 1.0)]).unwrap_err();
    assert!(matches!(error, Error::MatrixEntry { row: 2, col: 0, rows: 2, cols: 2 }));
    let error = SparseMatrix::from_rows(2, [[(0, 1.0), (5, 1.0)]]).unwrap_err();
    assert!(matches!(error, Error::MatrixEntry { row: 0, col: 5, rows: 1, cols: 2 }));
}

#[test]
fn a_matrix_too_wide_is_refused() {
    let none: [[(usize, f64); 0]; 0] = [];
    assert!(
        matches!(SparseMatrix::from_rows(1 << 33, none).unwrap_err(), Error::MatrixTooWide { cols } if cols == 1 << 33)
    );
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let (a, b) = (SparseMatrix::identity(2).unwrap(), SparseMatrix::identity(3).unwrap());
    assert!(matches!(a.product(&b), Err(Error::MatrixOperands { left: 2, right: 3, .. })));
    assert!(matches!(a.product_nnz(&b, 9), Err(Error::MatrixOperands { .. })));
    assert!(matches!(a.apply(&[1.0]), Err(Error::MatrixOperands { left: 2, right: 1, .. })));
    assert!(matches!(AffineMap::new(a, vec![0.0]), Err(Error::MatrixOperands { left: 2, right: 1, .. })));
    assert!(matches!(SparseMatrix::from_dense(2, 2, &[1.0]), Err(Error::MatrixOperands { .. })));
}
