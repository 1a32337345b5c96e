//! The last node of a classifier, taken off the model: what it does is left to the key holder (see [`Head`]).

use tract_onnx::pb::type_proto::{Tensor, Value as TypeValue};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TypeProto, tensor_proto::DataType};

use super::rewrite::part;
use crate::error::{Error, Result};
use crate::graph::{Head, HeadAxis};

/// A node that was taken off.
#[derive(Debug)]
pub(super) struct LastNode {
    node: NodeProto,
    opset: i64,
}

/// Takes off the last node if a key holder can do its work, and makes what it read the output. Nodes behind it that only
/// rename, convert or reshape go with it: results are a row a sample, whatever their shape.
pub(super) fn take(proto: &mut ModelProto) -> Option<LastNode> {
    let of_onnx = proto.opset_import.iter().find(|opset| opset.domain.is_empty() || opset.domain == "ai.onnx");
    let opset = of_onnx.map_or(1, |opset| opset.version);
    let graph = proto.graph.as_mut()?;
    let last = last_nodes(graph)?;
    let node = graph.node[*last.last()?].clone();
    let output = graph.output.first_mut()?;
    let input = node.input.first()?;
    // Where it reads the model's input, that is handed on.
    let reads_input = graph.input.iter().any(|known| known.name == *input);
    let result = if reads_input { node.output.first()? } else { input };
    output.name.clone_from(result);
    // It may have had another type behind the node.
    let float = Tensor { elem_type: DataType::Float as i32, shape: None };
    output.r#type = Some(TypeProto { value: Some(TypeValue::TensorType(float)), ..Default::default() });
    let mut place = 0;
    graph.node.retain(|_| {
        place += 1;
        !last.contains(&(place - 1))
    });
    if reads_input {
        graph.node.push(part("Identity", &[input], result, &node.name));
    }
    Some(LastNode { node, opset })
}

/// From the only output back to a node that makes a head, if nothing else reads what lies between.
fn last_nodes(graph: &GraphProto) -> Option<Vec<usize>> {
    let [output] = &graph.output[..] else { return None };
    let mut tensor = &output.name;
    let mut last = Vec::new();
    loop {
        let readers = graph.node.iter().flat_map(|node| &node.input).filter(|input| *input == tensor).count();
        let at = graph.node.iter().position(|node| node.output.contains(tensor))?;
        let node = &graph.node[at];
        // Whatever lies on a circle has a second reader.
        if readers != usize::from(!last.is_empty()) || node.output.len() != 1 {
            return None;
        }
        last.push(at);
        match node.op_type.as_str() {
            "Identity" | "Cast" | "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => tensor = node.input.first()?,
            "Sigmoid" | "Softmax" | "LogSoftmax" => return Some(last),
            "ArgMax" => return (int(node, "select_last_index") != Some(1)).then_some(last),
            _ => return None,
        }
    }
}

impl LastNode {
    /// What is to be done to results that have this shape, batch included.
    pub fn head(&self, shape: &[usize]) -> Result<Head> {
        match self.node.op_type.as_str() {
            "Softmax" => Ok(Head::Softmax(self.axis(shape)?)),
            "LogSoftmax" => Ok(Head::LogSoftmax(self.axis(shape)?)),
            "ArgMax" => Ok(Head::ArgMax(self.axis(shape)?)),
            _ => Ok(Head::Sigmoid),
        }
    }

    fn axis(&self, shape: &[usize]) -> Result<HeadAxis> {
        let softmax = self.node.op_type != "ArgMax";
        // Before opset 13 a softmax went over all axes from its own on.
        let flattens = softmax && self.opset < 13;
        let default = if !softmax {
            0
        } else if flattens {
            1
        } else {
            -1
        };
        let axis = int(&self.node, "axis").unwrap_or(default);
        let place = usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok();
        match place.filter(|&place| place < shape.len()) {
            Some(0) | None => Err(Error::OnnxNode {
                node: self.node.name.clone(),
                operator: self.node.op_type.clone(),
                problem: format!("it works along axis {axis} of {shape:?}, which must be an axis behind the batch"),
            }),
            Some(place) if flattens => Ok(HeadAxis { length: shape[place..].iter().product(), inner: 1 }),
            Some(place) => Ok(HeadAxis { length: shape[place], inner: shape[place + 1..].iter().product() }),
        }
    }
}

fn int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.i)
}
