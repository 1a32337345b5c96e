//! What to do about an operator that cannot be computed on encrypted data.

use super::node::Call;

const DECRYPTED: &str = "softmax, log-softmax and argmax may only stand at the very end, where the key holder does them after decryption: \
                         leave it out here";
const OTHER: &str = "it is not linear in the data and no known activation: use linear layers with x*x, a polynomial, \
                     relu, leaky relu, elu, sigmoid, tanh, softplus, silu, gelu or clip between them";

/// For a node that was looked at; by the operator's name in ONNX.
pub(super) fn advice(operator: &str, call: &Call) -> String {
    // What tract makes of a layer normalisation that is written out.
    if call.operator() == "RmsNorm" {
        return format!("with the nodes around it, it is a normalisation: {}", by_name("LayerNormalization"));
    }
    if call.is_f32() {
        return by_name(operator).to_owned();
    }
    match operator {
        "ArgMax" | "ArgMin" => DECRYPTED.to_owned(),
        _ => format!(
            "it makes numbers of type {:?}: data must stay in single precision, so convert to float32",
            call.kind()
        ),
    }
}

/// By the operator's name, ONNX's or tract's.
pub(super) fn by_name(operator: &str) -> &'static str {
    match operator {
        "MaxPool" | "GlobalMaxPool" | "ReduceMax" => "use average pooling instead, and train again",
        "Softmax" | "LogSoftmax" | "Softmin" | "ArgMax" | "ArgMin" | "TopK" | "Hardmax" => DECRYPTED,
        "Div" | "Reciprocal" => "the divisor comes from the data: divide by constants only",
        "MatMul" | "Gemm" | "Einsum" | "EinSum" => "both factors come from the data: one of them must be constant",
        "Conv" | "ConvTranspose" => "its weights come from the data, or are quantised: they must be constant floats",
        "Cast"
        | "QuantizeLinear"
        | "DequantizeLinear"
        | "DynamicQuantizeLinear"
        | "QLinearConv"
        | "QLinearMatMul"
        | "ConvInteger"
        | "MatMulInteger" => "data must stay in single precision: export the float model",
        "LayerNormalization" | "InstanceNormalization" | "GroupNormalization" | "LpNormalization" => {
            "it divides by what it finds in the sample: use batch normalisation, which is constant once trained"
        }
        "LSTM" | "GRU" | "RNN" | "Scan" | "Loop" => "recurrence is not supported: use a feed-forward network",
        "If" => "control flow is not supported: export the model by tracing it, with fixed shapes",
        "Max" | "Min" | "Where" | "PRelu" | "Softsign" => {
            "use an activation of one tensor instead, such as relu, silu or a polynomial, and train again"
        }
        _ => OTHER,
    }
}
