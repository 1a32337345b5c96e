//! Weights of other types, in other files, and of sizes that cannot be.

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{StringStringEntryProto, TensorProto};

use super::*;

fn tensor(name: &str, kind: DataType, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
    TensorProto { name: name.into(), dims: dims.into(), data_type: kind as i32, raw_data, ..Default::default() }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn weights_in_half_precision_are_taken_where_data_are_single() {
    // 1.0, 0.5 and -2.0.
    let half: Vec<u8> = [0x3c00u16, 0x3800, 0xc000].iter().flat_map(|value| value.to_le_bytes()).collect();
    let model = || Builder::new(&[3]).tensor(tensor("h", DataType::Float16, &[3], half.clone()));
    let single = ("to", Attr::Int(DataType::Float as i64));
    let converted = model().node("Cast", &["h"], &["w"], &[single]).node("Mul", &["x", "w"], &["y"], &[]);
    assert_eq!(import(converted).graph.run(&[1.0, 1.0, 1.0]).unwrap(), [1.0, 0.5, -2.0]);
    let mixed = model().node("Mul", &["x", "h"], &["y"], &[]);
    assert_eq!(import(mixed).graph.run(&[1.0, 1.0, 1.0]).unwrap(), [1.0, 0.5, -2.0]);
}

#[test]
fn quantised_data_are_refused() {
    let model = Builder::new(&[3]).weight("scale", &[], &[0.1]).tensor(tensor("zero", DataType::Uint8, &[], vec![128]));
    let model = model.node("QuantizeLinear", &["x", "scale", "zero"], &["q"], &[]);
    let model = model.node("DequantizeLinear", &["q", "scale", "zero"], &["y"], &[]);
    let error = OnnxModel::from_bytes("test.onnx", &model.finish()).unwrap_err();
    let Error::Unsupported { nodes, .. } = &error else { panic!("unsupported, not {error}") };
    let found: Vec<_> = nodes.iter().map(|node| node.operator.as_str()).collect();
    assert_eq!(found, ["QuantizeLinear", "DequantizeLinear"]);
    assert!(
        nodes.iter().all(|node| node.advice.contains("single precision") || node.advice.contains("float")),
        "{error}"
    );
}

#[test]
fn weights_of_fewer_values_than_their_shape() {
    for dims in [&[4][..], &[1 << 40], &[1 << 62, 4], &[-1]] {
        let weight = tensor("w", DataType::Float, dims, bytes(&[1.0, 2.0, 3.0]));
        let model = Builder::new(&[4]).tensor(weight).node("Add", &["x", "w"], &["y"], &[]);
        let error = OnnxModel::from_bytes("test.onnx", &model.finish()).unwrap_err();
        assert!(matches!(error, Error::Onnx { .. } | Error::OnnxPanic { .. }), "{dims:?}: {error}");
    }
}

/// Two weights that are in `location` from a place on.
fn elsewhere(location: &str, offset: usize) -> TensorProto {
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
    TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![
            entry("location", location.into()),
            entry("offset", offset.to_string()),
            entry("length", "8".into()),
        ],
        ..tensor("w", DataType::Float, &[2], vec![])
    }
}

/// A model in a folder.
fn loaded(folder: &Path, model: Builder) -> Result<OnnxModel> {
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.finish()).unwrap();
    OnnxModel::load(path)
}

fn external(folder: &Path, location: &str, offset: usize) -> Result<OnnxModel> {
    let weight = elsewhere(location, offset);
    loaded(folder, Builder::new(&[2]).tensor(weight).node("Add", &["x", "w"], &["y"], &[]))
}

#[test]
fn weights_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.onnx.data"), bytes(&[9.0, 3.0, 4.0])).unwrap();
    let model = external(folder.path(), "model.onnx.data", 4).unwrap();
    assert_eq!(model.graph.run(&[1.0, 1.0]).unwrap(), [4.0, 5.0]);
    let refused = |location: &str, offset| match external(folder.path(), location, offset) {
        Err(Error::OnnxExternal { tensor, problem, .. }) if tensor == "w" => problem,
        other => panic!("{other:?}"),
    };
    assert!(refused("elsewhere.data", 0).contains("not beside"));
    assert!(refused("model.onnx.data", 8).contains("12 bytes of at least 16"));
}

#[test]
fn the_constant_of_a_node_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let load = |location: &str| {
        let value = Attr::Tensor(Box::new(elsewhere(location, 0)));
        let model = Builder::new(&[2]).node("Constant", &[], &["w"], &[("value", value)]);
        loaded(folder.path(), model.node("Add", &["x", "w"], &["y"], &[]))
    };
    let fingerprints = [[3.0, 4.0], [3.0, 5.0]].map(|weights| {
        std::fs::write(folder.path().join("constants"), bytes(&weights)).unwrap();
        let model = load("constants").unwrap();
        assert_eq!(model.graph.run(&[1.0, 1.0]).unwrap(), weights.map(|w| f64::from(w) + 1.0));
        model.fingerprint
    });
    assert_ne!(fingerprints[0], fingerprints[1]);
    assert!(matches!(load("nothing"), Err(Error::OnnxExternal { .. })));
}

#[test]
fn a_file_that_is_named_and_not_needed_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let endless = elsewhere("/dev/zero", 0);
    for weight in [
        TensorProto { data_location: None, raw_data: bytes(&[1.0, 2.0]), ..endless.clone() },
        TensorProto { raw_data: bytes(&[1.0, 2.0]), ..endless },
    ] {
        let model = Builder::new(&[2]).tensor(weight).node("Add", &["x", "w"], &["y"], &[]);
        let graph = loaded(folder.path(), model).unwrap().graph;
        assert_eq!(graph.run(&[1.0, 1.0]).unwrap(), [2.0, 3.0]);
    }
}

#[test]
fn a_model_reads_no_file_outside_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), bytes(&[1.0, 2.0])).unwrap();
    let inner = folder.path().join("models");
    std::fs::create_dir(&inner).unwrap();
    let absolute = folder.path().join("secret");
    for location in ["../secret", absolute.to_str().unwrap()] {
        let error = external(&inner, location, 0).unwrap_err();
        assert!(
            matches!(&error, Error::Onnx { message, .. } if message.contains("inside the model directory")),
            "{error}"
        );
    }
}
