//! Models.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::onnx::OnnxModel;

fuzz_target!(|data: &[u8]| drop(OnnxModel::from_bytes("fuzzed", data)));
