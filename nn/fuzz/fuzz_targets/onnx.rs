//! Models, and the rewrites that both `plan` and the server run over them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::onnx::OnnxModel;
use nn::pass::{MergeRule, simplify};

fuzz_target!(|data: &[u8]| {
    if let Ok(model) = OnnxModel::from_bytes("fuzzed", data) {
        drop(simplify(&model.graph, &MergeRule::default()));
    }
});
