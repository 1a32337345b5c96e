//! What to do about an operator that cannot be computed on encrypted data.

const OTHER: &str = "it is not linear in the data and no known activation: use linear layers with x*x, a polynomial, \
                     relu, sigmoid, tanh, silu or gelu between them";

/// By the operator's name, tract's or ONNX's.
pub(super) fn advice(operator: &str) -> &'static str {
    match operator {
        "MaxPool" | "GlobalMaxPool" => "use average pooling instead, and train again",
        "Softmax" | "LogSoftmax" => {
            "leave it out if it is the last node: it keeps the order of the logits, and the key holder can apply it after \
             decryption"
        }
        name if name.contains("ArgM") || name == "Topk" || name == "TopK" => {
            "leave it out if it is the last node: the key holder can apply it after decryption"
        }
        "Div" | "Recip" => "the divisor comes from the data: divide by constants only",
        "EinSum" | "MatMul" | "Gemm" => "both factors come from the data: one of them must be constant",
        "Conv" | "Deconv" => "its weights come from the data, or are quantised: they must be constant floats",
        "Max" | "Min" | "Clip" | "LeakyRelu" | "HardSwish" | "Elu" | "PRelu" => {
            "use relu (the maximum with 0), silu or a polynomial instead, and train again"
        }
        "Cast" => "data must stay in single precision",
        name if name.starts_with("Unimplemented") => "the importer does not know this operator at all",
        _ => OTHER,
    }
}
