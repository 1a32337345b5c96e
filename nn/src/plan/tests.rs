//! Plans of small networks: what is chosen, what is refused, and what the data owner's part says.

use ckks::RingKind;

use super::*;
use crate::graph::{Activation, NodeId, Op};
use crate::lower::networks::*;

fn magnitudes(graph: &Graph) -> Vec<f64> {
    let ranges = graph.run_with_ranges(&samples(50, graph.input_len())).unwrap().1;
    ranges.iter().map(|range| range.max_abs()).collect()
}

fn planned(graph: &Graph, goal: Goal) -> Result<Planned, PlanError> {
    plan(graph, &magnitudes(graph), &goal, &CostModel::nominal(2))
}

#[test]
fn throughput_takes_one_feature_a_ciphertext_and_no_rotation_key() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    let Planned { plan, alternatives, .. } = planned(&graph, Goal::default()).unwrap();
    let client = plan.client();
    assert_eq!(client.interleave(), client.params.slots());
    assert_eq!(client.params.ring().kind(), RingKind::ConjugateInvariant);
    assert!(client.keys.galois.is_empty());
    assert!(client.params.log_qp() <= ckks::max_log_qp(client.params.log_n()).unwrap());
    let costs = alternatives.iter().map(|a| a.outcome.as_ref().map_or(f64::INFINITY, |found| found.cost));
    assert!(costs.is_sorted());
}

#[test]
fn latency_takes_one_sample_over_all_slots() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    let plan = planned(&graph, Goal { objective: Objective::Latency, ..Goal::default() }).unwrap().plan;
    assert_eq!(plan.client().interleave(), 1);
    assert!(!plan.client().keys.galois.is_empty());
}

#[test]
fn a_forced_interleave_and_precision_are_kept() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    let goal = Goal { interleave: Some(256), precision_bits: Some(18.0), ..Goal::default() };
    let found = planned(&graph, goal).unwrap();
    assert!(found.alternatives.iter().all(|alternative| alternative.interleave == 256));
    assert!(found.trace.precision_bits(2560) >= 18.0);
    for interleave in [3, 1 << 17] {
        let goal = Goal { interleave: Some(interleave), ..Goal::default() };
        assert!(matches!(planned(&graph, goal), Err(PlanError::Interleave { .. })));
    }
}

#[test]
fn memory_is_a_limit_and_its_refusal_names_the_least() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    let Err(PlanError::Memory { limit: 1000, needed }) =
        planned(&graph, Goal { memory_bytes: Some(1000), ..Goal::default() })
    else {
        panic!("a thousand bytes are not enough");
    };
    let least = planned(&graph, Goal { memory_bytes: Some(needed), ..Goal::default() }).unwrap();
    assert!(least.trace.memory.peak_bytes() <= needed);
}

#[test]
fn keys_are_a_limit_that_plans_keep_to_at_a_price() {
    let graph = two_squares([200, 100, 100, 10], [100, 100, 100], 3);
    let goal = |key_bytes| Goal { objective: Objective::Latency, interleave: Some(1), key_bytes, ..Goal::default() };
    let fastest = planned(&graph, goal(None)).unwrap();
    assert_eq!(fastest.plan.client().key_price, KeyPrice::FREE);
    let limit = fastest.trace.memory.packed_key_bytes / 2;
    let priced = planned(&graph, goal(Some(limit))).unwrap();
    assert!(KeyPrice::RAISED.contains(&priced.plan.client().key_price));
    assert!(priced.trace.memory.packed_key_bytes <= limit && priced.trace.seconds > fastest.trace.seconds);
    let refused = |alternative: &Alternative| matches!(alternative.outcome, Err(PlanError::Keys { .. }));
    assert!(priced.alternatives.iter().any(refused));
    let rebuilt = ServerPlan::rebuild(priced.plan.client(), &graph).unwrap();
    assert_eq!(rebuilt.client(), priced.plan.client());
    let Err(PlanError::FewestKeys { limit: 1000, needed }) = planned(&graph, goal(Some(1000))) else {
        panic!("a thousand bytes hold no key");
    };
    assert!(needed > 1000 && needed <= limit);
}

#[test]
fn a_network_without_parameters_is_refused_with_the_reason() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    let goal = Goal { precision_bits: Some(200.0), ..Goal::default() };
    match planned(&graph, goal) {
        Err(PlanError::NoParameters { precision_bits: 200.0, refusal, .. }) => assert!(!refusal.is_empty()),
        other => panic!("{other:?}"),
    }
    let relu =
        Graph::new(vec![node(Op::Input, &[], 3), node(Op::Activation(Activation::Relu), &[0], 3)], NodeId(1)).unwrap();
    let error = planned(&relu, Goal::default()).unwrap_err().to_string();
    assert!(error.contains("relu") && error.contains("approximate"), "{error}");
}

#[test]
fn a_server_rebuilds_its_plan_from_the_clients_part_and_its_model_only() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    let goal = Goal { interleave: Some(16), ..Goal::default() };
    let found = planned(&graph, goal).unwrap();
    let client = found.plan.client().clone();
    let rebuilt = ServerPlan::rebuild(&client, &graph).unwrap();
    assert_eq!(rebuilt.client(), &client);
    let cost = CostModel::nominal(2);
    assert_eq!(rebuilt.trace(&cost), found.trace);
    for other in [two_squares([20, 25, 12, 9], [40, 100, 100], 3), two_squares([21, 25, 12, 10], [40, 100, 100], 3)] {
        assert!(matches!(ServerPlan::rebuild(&client, &other), Err(PlanError::OtherModel { .. })));
    }
}

#[test]
fn few_samples_are_not_worth_many_diagonals() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    let mut costs = CostModel::nominal(2);
    costs.degrees.iter_mut().for_each(|degree| degree.encode *= 1e4);
    let goal = |samples| Goal { samples, ..Goal::default() };
    let found = |samples| plan(&graph, &magnitudes(&graph), &goal(samples), &costs).unwrap();
    // Without a number, preparation does not count; with one, plans with plaintexts cost all of it.
    let best = found(Some(64));
    assert!(best.trace.prepare_s < 1e-2, "{}", best.trace.prepare_s);
    assert_eq!(found(None).plan.client().interleave(), best.plan.client().params.slots());
}
