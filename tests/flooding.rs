//! Noise flooding: results have the noise that the plan says, around the right values, and the precision asked for.

use std::sync::Arc;

use ckks::Entropy;
use nn::data::Dataset;
use nn::engine::{Engine, server_plan};
use nn::onnx::OnnxModel;
use nn::plan::{FloodGoal, Goal};
use nn::progress::Silent;
use nn::session::{Client, PlanFile, Server};
use slotwise_tests::{WEIGHT, small_model, small_samples};

/// A plan of the small model and the results of 16 samples, decrypted `times` times.
fn decrypted(flood: Option<FloodGoal>, times: usize) -> (Arc<PlanFile>, f64, Vec<Vec<f64>>) {
    let model = OnnxModel::from_bytes("small.onnx", &small_model(WEIGHT)).unwrap();
    let samples: Vec<f32> = small_samples(32).0.concat().into_iter().map(|x| x as f32).collect();
    let data = Dataset::new("small", vec![4], samples).unwrap();
    let goal = Goal { interleave: Some(16), precision_bits: Some(6.0), flood, ..Goal::default() };
    let (plan, report) = Engine::new(Some(1)).unwrap().plan(&model, &data, &goal, &Silent).unwrap();
    let plan = Arc::new(plan);
    let (mut client, public) = Client::generate(&plan, Entropy::insecure_from_seed(5)).unwrap();
    let server = Server::new(&server_plan(&plan, &model).unwrap(), public.evaluation).unwrap();
    let mut results = Vec::new();
    for _ in 0..times {
        let input = client.encrypt(&data.to_f64()[..16 * 4]).unwrap();
        results.push(client.decrypt(server.infer(input, &mut |_, _| ()).unwrap(), 16).unwrap());
    }
    (plan, report.predicted.precision_bits, results)
}

#[test]
fn results_have_the_planned_noise_and_precision() {
    let model = OnnxModel::from_bytes("small.onnx", &small_model(WEIGHT)).unwrap();
    let samples: Vec<f64> =
        small_samples(32).0.concat().into_iter().take(16 * 4).map(|x| f64::from(x as f32)).collect();
    let exact = model.graph.run(&samples).unwrap();
    let goal = FloodGoal { security_bits: 16.0, queries: 20 };
    let (plan, predicted_bits, results) = decrypted(Some(goal), 20);
    let flood = plan.plan().flood.unwrap();
    assert_eq!(flood.goal, goal);
    let sigma = flood.sigma();
    // sqrt(12 tau) 2^(s/2) sqrt(results) times the bound.
    let factor = sigma / flood.worst_error;
    assert!((factor / (240f64.sqrt() * 256.0 * (flood.results as f64).sqrt()) - 1.0).abs() < 1e-12);

    let errors: Vec<f64> = results.iter().flat_map(|row| row.iter().zip(&exact).map(|(x, y)| x - y)).collect();
    let count = errors.len() as f64;
    let deviation = (errors.iter().map(|e| e * e).sum::<f64>() / count).sqrt();
    // Five deviations of the estimate; the exact results are off by far less.
    assert!((deviation / sigma - 1.0).abs() < 5.0 / (2.0 * count).sqrt(), "{deviation:e} for sigma {sigma:e}");
    let largest = errors.iter().fold(0.0, |max: f64, e| max.max(e.abs()));
    assert!(predicted_bits >= 6.0 && -largest.log2() > predicted_bits - 1.0, "{largest:e}, {predicted_bits} bits");
}

#[test]
fn samples_beyond_the_planned_magnitude_are_refused_where_the_noise_is_measured_by_it() {
    let goal = FloodGoal { security_bits: 16.0, queries: 20 };
    for (flood, overshoot, is_taken) in [(None, 1.5, true), (Some(goal), 0.999, true), (Some(goal), 1.001, false)] {
        let (plan, ..) = decrypted(flood, 0);
        let (mut client, _) = Client::generate(&plan, Entropy::insecure_from_seed(5)).unwrap();
        let samples = [plan.plan().input.magnitude * overshoot; 4];
        assert_eq!(client.encrypt(&samples).is_ok(), is_taken, "{flood:?} {overshoot}");
    }
}

#[test]
fn the_bound_is_above_every_error_and_noise_that_leaves_no_precision_is_refused() {
    let model = OnnxModel::from_bytes("small.onnx", &small_model(WEIGHT)).unwrap();
    let samples: Vec<f32> = small_samples(32).0.concat().into_iter().map(|x| x as f32).collect();
    let data = Dataset::new("small", vec![4], samples).unwrap();
    let flood = Some(FloodGoal { security_bits: 128.0, queries: 1 << 20 });
    let goal = Goal { interleave: Some(16), precision_bits: Some(6.0), flood, ..Goal::default() };
    let refused = Engine::new(Some(1)).unwrap().plan(&model, &data, &goal, &Silent).unwrap_err().to_string();
    assert!(refused.contains("precision"), "{refused}");

    let (plan, _, results) = decrypted(None, 4);
    let bound = nn::exec::trace::worst_error(server_plan(&plan, &model).unwrap().program());
    for (x, y) in results[0].iter().zip(results.iter().skip(1).flatten()) {
        assert!((x - y).abs() <= 2.0 * bound, "{x} {y} {bound:e}");
    }
}
