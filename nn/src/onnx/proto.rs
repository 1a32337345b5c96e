//! The file's own description of the model, checked before tract builds it: one input whose first dimension is the batch,
//! one output, single precision, operators that exist.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::Onnx;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::bail;

use super::head::{self, LastNode};
use super::{Source, advice, bounded, node, rewrite, sklearn};
use crate::error::{Error, Result, UnsupportedNode};
use crate::fingerprint::Fingerprint;
use crate::graph::Head;

/// A description that passed, with the shape of one sample.
pub(super) struct Checked {
    onnx: Onnx,
    proto: ModelProto,
    /// The number of samples in a batch, where the file fixes it.
    batch: Option<usize>,
    sample: Vec<usize>,
    last: Option<LastNode>,
}

impl Checked {
    pub fn new(file: &Source, bytes: &[u8]) -> Result<Self> {
        // Shapes that the file claims for intermediate values may carry another batch; all are inferred anew.
        let onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
        let mut proto = file.tract("reading it", || onnx.proto_model_for_read(&mut &bytes[..]))?;
        if let Some(graph) = &mut proto.graph {
            check_count(file, graph)?;
            name_apart(graph);
            check_makers(file, graph)?;
            rewrite::zeros(graph);
            rewrite::celu(graph);
            rewrite::pad_value(graph);
            rewrite::integer_power(graph);
            sklearn::rewrite(graph);
        }
        let last = head::take(&mut proto);
        let graph = proto.graph.as_ref().ok_or_else(|| Error::Onnx {
            path: file.path.clone(),
            doing: "reading it",
            message: "there is no graph in it".into(),
        })?;
        check_operators(file, &onnx, graph)?;
        check_external(file, graph)?;
        let (batch, sample) = check_interface(file, graph)?;
        Ok(Checked { onnx, proto, batch, sample, last })
    }

    /// Shape of one sample, without the batch dimension.
    pub fn sample(&self) -> &[usize] {
        &self.sample
    }

    /// What is left to the key holder, if the results have this shape, batch included.
    pub fn head(&self, shape: &[usize]) -> Result<Head> {
        self.last.as_ref().map_or(Ok(Head::Identity), |last| last.head(shape))
    }

    /// The fingerprint of the file's bytes, and of every file in which it keeps weights.
    pub fn fingerprint(&self, file: &Source, bytes: &[u8]) -> Result<Fingerprint> {
        let tensors = self.proto.graph.iter().flat_map(external);
        let places: BTreeSet<&str> = tensors.filter_map(|tensor| external_entry(tensor, "location")).collect();
        let read = |place: &&str| {
            let path = file.folder().join(place);
            std::fs::read(&path).map_err(|source| Error::ReadFile { path, source })
        };
        let external = places.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Fingerprint::of(std::iter::once(bytes).chain(external.iter().map(Vec::as_slice))))
    }

    /// The node of the file that a node of tract's model stems from: its name and operator.
    pub fn origin(&self, name: &str) -> Option<(String, String)> {
        let nodes = self.proto.graph.iter().flat_map(|graph| &graph.node);
        // tract adds to the names of the nodes that it splits.
        let stems = |origin: &str| {
            name.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
        };
        let origin = nodes.filter(|node| stems(&node.name)).max_by_key(|node| node.name.len())?;
        Some((origin.name.clone(), origin.op_type.clone()))
    }

    /// The model for one sample.
    pub fn single(&self, file: &Source) -> Result<TypedModel> {
        let single = self.typed(file, 1);
        let Some(batch) = self.batch.filter(|&batch| batch > 1) else { return single };
        let wired = match &single {
            Ok(model) => model
                .output_fact(0)
                .is_ok_and(|fact| fact.shape.as_concrete().is_some_and(|shape| shape.first() == Some(&batch))),
            Err(_) => {
                let numbers = self.sample.iter().fold(batch, |product, &length| product.saturating_mul(length));
                numbers <= bounded::MAX_NUMBERS && self.typed(file, batch).is_ok()
            }
        };
        if wired { Err(Error::OnnxBatch { path: file.path.clone(), batch }) } else { single }
    }

    /// The model for batches of that many samples: shapes known, constants folded.
    pub fn typed(&self, file: &Source, batch: usize) -> Result<TypedModel> {
        let shape: TVec<usize> = std::iter::once(batch).chain(self.sample.iter().copied()).collect();
        file.tract("inferring the shapes of its nodes", || {
            let parsed = self.onnx.parse(&self.proto, file.folder().to_str())?;
            if !parsed.unresolved_inputs.is_empty() {
                bail!("no node makes {:?}, which others read", parsed.unresolved_inputs);
            }
            let model = parsed.model.with_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), shape))?;
            let mut model = model.with_output_fact(0, InferenceFact::default())?;
            let nodes = self.proto.graph.iter().flat_map(|graph| &graph.node);
            bounded::bound(&mut model, &nodes.map(|node| (&node.name[..], &node.op_type[..])).collect());
            let mut model = model.into_typed()?;
            rewrite::crop(&mut model)?;
            // tract makes several nodes of one, and what lies between them was not seen so far.
            for node in model.nodes() {
                node.outputs.iter().try_for_each(|output| bounded::check(&node.name, &output.fact))?;
            }
            Ok(model)
        })
    }
}

/// Gives each node a name of its own: exporters leave names out, and tract takes no name twice.
fn name_apart(graph: &mut GraphProto) {
    let mut taken = HashSet::new();
    for (number, node) in graph.node.iter_mut().enumerate() {
        if node.name.is_empty() {
            node.name = node.output.first().cloned().unwrap_or_default();
        }
        if !taken.insert(node.name.clone()) {
            node.name = format!("{}#{number}", node.name);
            taken.insert(node.name.clone());
        }
    }
}

/// Operators that have a graph of their own or make large tensors inside, which is not seen from outside before it is done, and
/// those that draw random numbers. None has a place in a graph.
const HIDDEN: &str = "Attention ConstantLike DFT GRU GatherBlockQuantized GroupQueryAttention If LSTM MatMulNBits MultiHeadAttention \
    Multinomial NonMaxSuppression RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike RotaryEmbedding \
    STFT Scan TreeEnsembleClassifier";

/// The most nodes and weights that a model may have: the work that grows with their square stays below a second.
const MAX_NODES: usize = 1 << 13;

fn check_count(file: &Source, graph: &GraphProto) -> Result<()> {
    let (nodes, weights) = (graph.node.len(), graph.initializer.len());
    if nodes + weights <= MAX_NODES {
        return Ok(());
    }
    let message = format!("it has {nodes} nodes and {weights} weights, and {MAX_NODES} are the most together");
    Err(Error::Onnx { path: file.path.clone(), doing: "reading it", message })
}

/// Each tensor is made once, and no node needs what it makes itself.
fn check_makers(file: &Source, graph: &GraphProto) -> Result<()> {
    let refused = |message| Err(Error::Onnx { path: file.path.clone(), doing: "reading it", message });
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (at, node) in graph.node.iter().enumerate() {
        for tensor in node.output.iter().filter(|tensor| !tensor.is_empty()) {
            if let Some(first) = makers.insert(tensor, at) {
                let first = &graph.node[first].name;
                return refused(format!("both '{first}' and '{}' make '{tensor}'", node.name));
            }
        }
    }
    // Depth first: of each node whether it is done, or on the way that led here.
    let mut done = vec![false; graph.node.len()];
    let mut on_way = vec![false; graph.node.len()];
    for first in 0..graph.node.len() {
        let mut way = vec![(first, 0)];
        while let Some((at, next)) = way.pop() {
            on_way[at] = !done[at];
            let Some(input) = graph.node[at].input.get(next).filter(|_| !done[at]) else {
                (done[at], on_way[at]) = (true, false);
                continue;
            };
            way.push((at, next + 1));
            match makers.get(&input[..]) {
                Some(&maker) if on_way[maker] => {
                    let circle = way.iter().skip_while(|(node, _)| *node != maker);
                    let names: Vec<String> =
                        circle.map(|(node, _)| format!("'{}'", graph.node[*node].name)).take(10).collect();
                    return refused(format!("its nodes read each other in a circle: {}", names.join(", ")));
                }
                Some(&maker) if !done[maker] => way.push((maker, 0)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// All operators must be known to tract; if any is not, those that we would refuse later are named along with it.
fn check_operators(file: &Source, onnx: &Onnx, graph: &GraphProto) -> Result<()> {
    const REFUSED: &[&str] = &["MaxPool", "GlobalMaxPool", "Softmax", "LogSoftmax", "ArgMax", "ArgMin", "TopK"];
    let known = |operator: &str| onnx.op_register.0.contains_key(operator);
    let hidden = |operator: &str| HIDDEN.split(' ').any(|hidden| hidden == operator);
    // tract places the result otherwise than ONNX does.
    let placed = |node: &NodeProto| {
        node.op_type == "ConvTranspose" && node.attribute.iter().any(|attribute| attribute.name == "output_shape")
    };
    let readable = |node: &NodeProto| known(&node.op_type) && !hidden(&node.op_type) && !placed(node);
    if graph.node.iter().all(readable) {
        return Ok(());
    }
    let bad = graph.node.iter().filter(|node| !readable(node) || REFUSED.contains(&node.op_type.as_str()));
    let nodes = bad.map(|node| {
        let advice = if !known(&node.op_type) {
            match &node.domain[..] {
                "ai.onnx.ml" => "of scikit-learn, scalers, linear models and perceptrons are supported",
                _ => "the importer does not know this operator: export with plain ONNX operators (opset 13)",
            }
        } else if placed(node) {
            "its output_shape is not supported: give the padding instead (pads and output_padding)"
        } else {
            advice::by_name(&node.op_type)
        };
        UnsupportedNode { node: node.name.clone(), operator: node.op_type.clone(), advice: advice.to_owned() }
    });
    Err(Error::Unsupported { path: file.path.clone(), nodes: nodes.collect() })
}

/// The tensors, weights and constants of nodes, that tract reads from files of their own, as exporters write them for large models.
/// (That these are in the folder of the model, tract sees to.)
fn external(graph: &GraphProto) -> impl Iterator<Item = &TensorProto> {
    let constants = graph.node.iter().flat_map(|node| &node.attribute).flat_map(|a| a.t.iter().chain(&a.tensors));
    let elsewhere = |tensor: &&TensorProto| {
        tensor.raw_data.is_empty() && tensor.data_location == Some(DataLocation::External as i32)
    };
    graph.initializer.iter().chain(constants).filter(elsewhere)
}

fn external_entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value[..])
}

/// Files with tensors must be beside the model and whole.
fn check_external(file: &Source, graph: &GraphProto) -> Result<()> {
    for tensor in external(graph) {
        let number = |key: &str| external_entry(tensor, key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let location = external_entry(tensor, "location").unwrap_or("");
        let needed = number("offset").saturating_add(number("length"));
        let problem = match file.folder().join(location).metadata() {
            Ok(found) if found.is_file() && found.len() >= needed => continue,
            Ok(found) if found.is_file() => format!("has {} bytes of at least {needed}", found.len()),
            _ => "is not beside it".into(),
        };
        let (tensor, location) = (tensor.name.clone(), location.to_owned());
        return Err(Error::OnnxExternal { path: file.path.clone(), tensor, location, problem });
    }
    Ok(())
}

/// One input and one output; returns the size of a batch, if it is fixed, and the shape of one sample.
fn check_interface(file: &Source, graph: &GraphProto) -> Result<(Option<usize>, Vec<usize>)> {
    let interface = |problem| Error::OnnxInterface { path: file.path.clone(), problem };
    // Old exporters list the weights among the inputs.
    let is_weight = |input: &ValueInfoProto| graph.initializer.iter().any(|weight| weight.name == input.name);
    let inputs: Vec<&ValueInfoProto> = graph.input.iter().filter(|input| !is_weight(input)).collect();
    let names =
        |values: &[&ValueInfoProto]| values.iter().map(|v| format!("'{}'", v.name)).collect::<Vec<_>>().join(", ");
    let outputs: Vec<&ValueInfoProto> = graph.output.iter().collect();
    let [input] = inputs[..] else {
        return Err(interface(format!("it has {} inputs ({}) and must have one", inputs.len(), names(&inputs))));
    };
    let [output] = outputs[..] else {
        return Err(interface(format!("it has {} outputs ({}) and must have one", outputs.len(), names(&outputs))));
    };
    let made = |node: &NodeProto| node.output.contains(&output.name);
    if !graph.node.iter().any(made) {
        return Err(interface(format!("no node makes its output '{}'", output.name)));
    }
    sample_shape(file, input)
}

/// The input's batch dimension, and its shape behind it.
fn sample_shape(file: &Source, input: &ValueInfoProto) -> Result<(Option<usize>, Vec<usize>)> {
    let tensor = input.r#type.as_ref().and_then(|kind| kind.value.as_ref()).map(|TypeValue::TensorType(tensor)| tensor);
    let kind = tensor.and_then(|tensor| DataType::try_from(tensor.elem_type).ok());
    if kind != Some(DataType::Float) {
        let found = kind.map_or_else(|| "unknown".to_owned(), |kind| format!("{kind:?}"));
        return Err(Error::OnnxType { path: file.path.clone(), input: input.name.clone(), found });
    }
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    let shown: Vec<String> = dims
        .iter()
        .map(|dim| match &dim.value {
            Some(DimValue::DimValue(length)) => length.to_string(),
            Some(DimValue::DimParam(name)) => name.clone(),
            None => "?".into(),
        })
        .collect();
    let refused = |problem| Error::OnnxShape {
        path: file.path.clone(),
        input: input.name.clone(),
        shape: format!("[{}]", shown.join(", ")),
        problem,
    };
    if dims.len() < 2 {
        return Err(refused("its first dimension must be the batch, with at least one more behind it"));
    }
    let length = |dim: &tract_onnx::pb::tensor_shape_proto::Dimension| match &dim.value {
        Some(DimValue::DimValue(length)) => usize::try_from(*length).ok().filter(|&length| length > 0),
        _ => None,
    };
    let sample: Option<Vec<usize>> = dims[1..].iter().map(length).collect();
    let sample = sample.ok_or_else(|| refused("every dimension behind the batch must be a fixed number"))?;
    match node::features(&sample) {
        Some(_) => Ok((length(&dims[0]), sample)),
        None => Err(refused("a sample may have at most 2^20 features")),
    }
}
