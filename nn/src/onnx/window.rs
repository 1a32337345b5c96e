//! Windows that slide over the space of a tensor: convolutions and average pooling, of any number of dimensions, stride,
//! padding, dilation and groups, channels first or last.
//!
//! Output (n, c, p) reads the inputs (n, c', p·stride + k·dilation − pad) for those k of the kernel that fall inside.

use tract_onnx::prelude::{TVec, TractResult};
use tract_onnx::tract_core::ops::cnn::{Conv, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::nn::DataShape;

use super::linear::Linear;
use super::node::{Call, doubles};
use crate::error::Result;
use crate::graph::SparseMatrix;

/// A convolution with constant kernel and bias.
pub(super) fn conv(call: &Call) -> Result<Option<Linear>> {
    let Some(op) = call.op().downcast_ref::<Conv>() else {
        return Ok(None);
    };
    let (Some((0, shape)), Some(kernel)) = (call.only_data(), call.constant(1)) else {
        return Ok(None);
    };
    if op.q_params.is_some() {
        return Ok(None);
    }
    let failed = |error| call.failed(format!("{error:#}"));
    let geometry = Geometry::new(&op.pool_spec, shape).map_err(failed)?;
    let kernel = op.kernel_fmt.kernel_as_group_o_i_hw(kernel, op.group).map_err(failed)?;
    let kernel = doubles(&kernel).map_err(failed)?;
    let bias = match call.constant(2) {
        Some(bias) => doubles(bias).map_err(failed)?,
        None => vec![0.0],
    };
    let taps: usize = op.pool_spec.kernel_shape.iter().product();
    let weights = call.len().saturating_mul(taps).saturating_mul(op.input_channels() / op.group);
    call.check_weights(weights)?;
    let (inputs, outputs) = (op.input_channels() / op.group, op.output_channels() / op.group);
    let row = |place: &Place| {
        let first_input = place.channel / outputs * inputs;
        let weights = place.channel * inputs * taps;
        let window = geometry.taps(place);
        let mut row = Vec::with_capacity(window.len() * inputs);
        for input in 0..inputs {
            let channel = (first_input + input) * geometry.input.c_stride();
            row.extend(window.iter().map(|&(tap, space)| (channel + space, kernel[weights + input * taps + tap])));
        }
        row
    };
    let places = geometry.places();
    let matrix = SparseMatrix::from_rows(shape.iter().product(), places.iter().map(row))?;
    let of_channel = |place: &Place| {
        if bias.len() == 1 { bias[0] } else { bias[place.channel] }
    };
    Ok(Some(Linear { matrices: vec![matrix], bias: places.iter().map(of_channel).collect() }))
}

/// A sum over windows, or its average over what a window covers (with or without the padding).
pub(super) fn sum_pool(call: &Call) -> Result<Option<Linear>> {
    let Some(op) = call.op().downcast_ref::<SumPool>() else {
        return Ok(None);
    };
    let Some((0, shape)) = call.only_data() else {
        return Ok(None);
    };
    let geometry = Geometry::new(&op.pool_spec, shape).map_err(|error| call.failed(format!("{error:#}")))?;
    call.check_weights(call.len().saturating_mul(op.pool_spec.kernel_shape.iter().product()))?;
    let row = |place: Place| {
        let window = geometry.taps(&place);
        let covered = if op.count_include_pad { geometry.covered(&place, &op.pool_spec) } else { window.len() };
        let weight = if op.normalize { 1.0 / covered as f64 } else { 1.0 };
        let channel = place.channel * geometry.input.c_stride();
        window.into_iter().map(move |(_, space)| (channel + space, weight))
    };
    let rows = geometry.places().into_iter().map(row);
    Ok(Some(Linear::of(SparseMatrix::from_rows(shape.iter().product(), rows)?)))
}

struct Geometry {
    input: DataShape,
    output: DataShape,
    kernel: TVec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pad_before: Vec<usize>,
}

/// One feature of the output.
struct Place {
    sample: usize,
    channel: usize,
    space: Vec<usize>,
}

impl Geometry {
    fn new(spec: &PoolSpec, shape: &[usize]) -> TractResult<Self> {
        let input = spec.data_format.shape(TVec::from_slice(shape))?;
        let pad_before = spec.computed_padding(input.hw_dims()).into_iter().map(|dim| dim.pad_before).collect();
        Ok(Geometry {
            output: spec.output_shape(shape)?,
            input,
            kernel: spec.kernel_shape.clone(),
            strides: spec.strides().into_owned(),
            dilations: spec.dilations().into_owned(),
            pad_before,
        })
    }

    /// All features of the output in row-major order of its shape.
    fn places(&self) -> Vec<Place> {
        let shape = &self.output;
        let features = shape.shape.iter().product();
        let along = |axis: usize, feature: usize| feature / shape.strides[axis] % shape.shape[axis];
        let place = |feature| Place {
            sample: shape.n_axis().map_or(0, |axis| along(axis, feature)),
            channel: along(shape.c_axis(), feature),
            space: shape.hw_axes().map(|axis| along(axis, feature)).collect(),
        };
        (0..features).map(place).collect()
    }

    /// The inputs under the window of an output: (place in the kernel, offset in the input without the channel).
    fn taps(&self, place: &Place) -> Vec<(usize, usize)> {
        let sample = place.sample * self.input.n_stride().copied().unwrap_or(0);
        let mut taps = vec![(0, sample)];
        for (axis, &kernel) in self.kernel.iter().enumerate() {
            let (length, stride) = (self.input.hw_dims()[axis], self.input.hw_strides()[axis]);
            let first = place.space[axis] * self.strides[axis];
            let inside = |tap: usize| {
                let at = (first + tap * self.dilations[axis]).checked_sub(self.pad_before[axis])?;
                (at < length).then_some((tap, at * stride))
            };
            let along: Vec<_> = (0..kernel).filter_map(inside).collect();
            let next = |&(outer, offset): &(usize, usize)| {
                along.iter().map(move |&(tap, step)| (outer * kernel + tap, offset + step)).collect::<Vec<_>>()
            };
            taps = taps.iter().flat_map(next).collect();
        }
        taps
    }

    /// How many places of the window lie in the input or its padding: all, but for windows that ONNX's ceil mode lets run
    /// past the padding.
    fn covered(&self, place: &Place, spec: &PoolSpec) -> usize {
        let PaddingSpec::ExplicitOnnxPool(before, after, true) = &spec.padding else {
            return self.kernel.iter().product();
        };
        let along = |axis: usize| {
            let padded = before[axis] + self.input.hw_dims()[axis] + after[axis];
            let first = place.space[axis] * self.strides[axis];
            (0..self.kernel[axis]).filter(|tap| first + tap * self.dilations[axis] < padded).count()
        };
        (0..self.kernel.len()).map(along).product()
    }
}
