//! The one place that calls the `gemm` crate: a matrix product with checked bounds.

use gemm::Parallelism;

/// A matrix in memory; neighbours in a row and in a column are `column_step` and `row_step` apart.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub row_step: usize,
    pub column_step: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix with nothing between its rows.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Matrix { data, rows, columns, row_step: columns, column_step: 1 }
    }

    /// The same values with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        let Matrix { data, rows, columns, row_step, column_step } = self;
        Matrix { data, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }

    /// Index after the last value, or nothing if that overflows.
    fn end(&self) -> Option<usize> {
        end(self.rows, self.columns, self.row_step, self.column_step)
    }
}

fn end(rows: usize, columns: usize, row_step: usize, column_step: usize) -> Option<usize> {
    let (Some(row), Some(column)) = (rows.checked_sub(1), columns.checked_sub(1)) else { return Some(0) };
    row.checked_mul(row_step)?.checked_add(column.checked_mul(column_step)?)?.checked_add(1)
}

/// `out = a · b`, where row `i` of the product starts at `out[i · row_step]`.
///
/// # Panics
/// If a matrix does not lie within its slice, or the sizes do not fit: a defect of the caller.
pub(super) fn multiply(a: Matrix, b: Matrix, out: &mut [f32], row_step: usize, threads: Parallelism) {
    assert_eq!(a.columns, b.rows, "matrix sizes do not fit");
    let fits = |end: Option<usize>, len: usize| end.is_some_and(|end| end <= len);
    assert!(fits(a.end(), a.data.len()) && fits(b.end(), b.data.len()), "a matrix exceeds its slice");
    assert!(fits(end(a.rows, b.columns, row_step, 1), out.len()), "the product exceeds its slice");
    assert!(row_step >= b.columns || a.rows <= 1, "rows of the product overlap");
    product(a, b, out, row_step, threads);
}

#[cfg(not(foveate_module = "gpu"))]
fn product(a: Matrix, b: Matrix, out: &mut [f32], row_step: usize, threads: Parallelism) {
    let step = |step: usize| step as isize;
    // SAFETY: the three matrices lie within their slices as the caller asserts, `out` is borrowed
    // exclusively and its rows do not overlap; with `read_dst` false its old values are not read.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            step(row_step),
            false,
            a.data.as_ptr(),
            step(a.column_step),
            step(a.row_step),
            b.data.as_ptr(),
            step(b.column_step),
            step(b.row_step),
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// In that module of the browser package the CPU only computes what the GPU is tested against while loading.
#[cfg(foveate_module = "gpu")]
fn product(a: Matrix, b: Matrix, out: &mut [f32], row_step: usize, _: Parallelism) {
    for i in 0..a.rows {
        let out = &mut out[i * row_step..][..b.columns];
        out.fill(0.0);
        for k in 0..a.columns {
            let (factor, row) = (a.data[i * a.row_step + k * a.column_step], &b.data[k * b.row_step..]);
            match b.column_step {
                1 => super::simd::Vectors::new().dispatch(Axpy { factor, row: &row[..b.columns], out }),
                step => out.iter_mut().enumerate().for_each(|(j, out)| *out += factor * row[j * step]),
            }
        }
    }
}

/// `out += factor · row`.
#[cfg(foveate_module = "gpu")]
struct Axpy<'a> {
    factor: f32,
    row: &'a [f32],
    out: &'a mut [f32],
}

#[cfg(foveate_module = "gpu")]
impl pulp::WithSimd for Axpy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let ((row, rest), (out, last)) = (S::as_simd_f32s(self.row), S::as_mut_simd_f32s(self.out));
        let factor = simd.splat_f32s(self.factor);
        out.iter_mut().zip(row).for_each(|(out, x)| *out = simd.mul_add_e_f32s(factor, *x, *out));
        last.iter_mut().zip(rest).for_each(|(out, x)| *out += self.factor * x);
    }
}
