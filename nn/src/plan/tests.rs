//! Plans of small networks.

use super::*;

#[test]
#[ignore]
fn experiment() {
    use crate::exec::encrypted::Prepared;
    use ckks::*;
    use rayon::prelude::*;
    use std::time::Instant;
    let model = crate::onnx::OnnxModel::load("../models/cryptonets-mnist.onnx").unwrap();
    let graph = &model.graph;
    for node in graph.nodes() { println!("{} {:?} {:?}", node.name, node.op.name(), node.shape); }
    let images = std::fs::read("/tmp/mnist/t10k-images-idx3-ubyte").unwrap();
    let labels = std::fs::read("/tmp/mnist/t10k-labels-idx1-ubyte").unwrap();
    let calibration = std::fs::read("/tmp/mnist/mnist-calibration-idx3-ubyte").unwrap();
    let pixels = |bytes: &[u8]| -> Vec<f64> { bytes[16..].iter().map(|&b| f64::from(b) / 255.0).collect() };
    let calibration = pixels(&calibration);
    let (_, ranges) = graph.run_with_ranges(&calibration).unwrap();
    let magnitudes: Vec<f64> = ranges.iter().map(|r| r.max_abs()).collect();
    println!("magnitudes {magnitudes:?}");
    let env = |k: &str| std::env::var(k).ok();
    let goal = Goal {
        interleave: env("B").map(|b| b.parse().unwrap()),
        objective: if env("LATENCY").is_some() { Objective::Latency } else { Objective::Throughput },
        samples: env("SAMPLES").map(|b| b.parse().unwrap()),
        ..Goal::default()
    };
    let start = Instant::now();
    let mut found = plan(graph, &magnitudes, &goal, &CostModel::default()).unwrap();
    println!("planned in {:?}", start.elapsed());
    for a in &found {
        match &a.outcome {
            Ok(c) => println!("{:?} 2^{} b {}: cost {:.3e} s/sample-or-run, run {:.3} s, limbs {}+{}, {:?} bits {:.1} rot {} keys {:.1} MB {:?}", a.ring, a.log_n, a.interleave, c.cost, c.trace.seconds,
                c.plan.client.params.max_level()+1, c.plan.client.params.ring().p().len(), c.plan.client.options, c.trace.precision_bits(10*a.interleave), c.plan.client.keys.galois.len(), c.trace.key_bytes as f64/1e6, c.trace.counts),
            Err(e) => println!("{:?} 2^{} b {}: {e}", a.ring, a.log_n, a.interleave),
        }
    }
    let best = found.remove(0).outcome.unwrap();
    for (o, t) in best.plan.program().operations().iter().zip(&best.trace.operations) {
        println!("{o}: level {} scale {} mag {:.2} -> {:.4} s, bits {:.1} {:?}", o.value.level, o.value.scale, o.value.magnitude, t.seconds, -t.deviation.log2(), t.counts);
    }
    let plan = best.plan;
    let client = plan.client();
    let b = client.interleave();
    let samples = &pixels(&images)[..784 * b.min(10000)];
    let count = samples.len() / 784;
    let expected = graph.run(samples).unwrap();
    let start = Instant::now();
    let mut entropy = Entropy::insecure_from_seed(1);
    let mut generator = KeyGenerator::new(&client.params, &mut entropy);
    let secret = generator.secret_key();
    let keys = generator.evaluation_keys(&secret, &client.keys).unwrap();
    println!("keygen {:?}", start.elapsed());
    let start = Instant::now();
    let prepared = Prepared::new(Arc::clone(plan.program())).unwrap();
    println!("prepare {:?}", start.elapsed());
    let start = Instant::now();
    let encoder = Encoder::new(&client.params);
    let packed = client.input.layout.pack(samples).unwrap();
    let mut entropies: Vec<_> = packed.iter().map(|_| entropy.fork()).collect();
    let input: Vec<_> = packed.par_iter().zip(entropies.par_drain(..)).map(|(s, e)| {
        Encryptor::new(&secret, e).encrypt(&encoder.encode(s, client.input.scale, client.input.level).unwrap()).unwrap()
    }).collect();
    println!("encrypt {:?}", start.elapsed());
    for _ in 0..3 {
        let input = input.clone();
        let start = Instant::now();
        let output = prepared.run(&keys, input).unwrap();
        println!("infer {:?}", start.elapsed());
        let decryptor = Decryptor::new(&secret);
        let packed: Vec<Vec<f64>> = output.iter().map(|x| encoder.decode(&decryptor.decrypt(x).unwrap()).unwrap()).collect();
        let found = client.output.layout.unpack(&packed, count).unwrap();
        let error = found.iter().zip(&expected).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        let arg = |row: &[f64]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        let right = found.chunks(10).zip(&labels[8..]).filter(|(r, l)| arg(r) == **l as usize).count();
        let same = found.chunks(10).zip(expected.chunks(10)).filter(|(r, l)| arg(r) == arg(l)).count();
        println!("bits {:.2} predicted {:.2}, accuracy {}/{count}, agreement {}/{count}", -error.log2(), best.trace.precision_bits(10 * count), right, same);
    }
}
