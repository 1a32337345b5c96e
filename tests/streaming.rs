//! A batch of any size in bounded memory. A test of its own: the peak is that of the process.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::sync::Arc;

use nn::data::{Dataset, OutputFile, SampleFile};
use nn::engine::{Engine, server_plan};
use nn::onnx::OnnxModel;
use nn::plan::Goal;
use nn::progress::Silent;
use nn::session::{
    Batch, Client, Inference, Kind, PlanFile, Server, decrypt_batch, encrypt_batch, generate_keys, infer_batch,
    read_evaluation_keys, read_file,
};
use slotwise_tests::{Folder, WEIGHT, small_model, small_samples};

/// One deployment, in one process.
struct Both {
    folder: Folder,
    plan: Arc<PlanFile>,
    model: OnnxModel,
}

impl Both {
    fn new() -> Self {
        let model = OnnxModel::from_bytes("small.onnx", &small_model(WEIGHT)).unwrap();
        let samples: Vec<f32> = small_samples(64).0.concat().into_iter().map(|x| x as f32).collect();
        let data = Dataset::new("small", vec![4], samples).unwrap();
        let plan = Engine::new(Some(1)).unwrap().plan(&model, &data, &Goal::default(), &Silent).unwrap().0;
        let folder = Folder::empty();
        let plan = Arc::new(plan);
        generate_keys(&plan, &folder.path("keys")).unwrap();
        Self { folder, plan, model }
    }

    /// Takes so many chunks of samples through both parties; the results' file.
    fn run(&self, name: &str, chunks: usize) -> String {
        let [data, input, output, results] = ["data", "in", "out", "results.csv"].map(|file| format!("{name}-{file}"));
        let n = chunks * self.plan.plan().interleave();
        let path = |name: &str| self.folder.path(name);
        let mut file = BufWriter::new(File::create(path(&data)).unwrap());
        file.write_all(&[&[0, 0, 8, 2][..], &(n as u32).to_be_bytes(), &4u32.to_be_bytes()].concat()).unwrap();
        (0..4 * n).for_each(|i| file.write_all(&[(i % 253) as u8]).unwrap());
        file.into_inner().unwrap();

        let mut client = read_file(&path("keys/secret.key"), |from| Client::read(&self.plan, from)).unwrap();
        let data = SampleFile::open(path(&data)).unwrap();
        encrypt_batch(&mut client, &data, &path(&input), |_| Ok(()), &Silent).unwrap();
        let (evaluation, keys) =
            read_file(&path("keys/evaluation.key"), |from| read_evaluation_keys(&self.plan, from)).unwrap();
        let server = Server::new(&server_plan(&self.plan, &self.model).unwrap(), evaluation).unwrap();
        let job = Inference { server: &server, plan: &self.plan, keys, overlap: true };
        infer_batch(job, &path(&input), &path(&output), false, &Silent).unwrap();
        let batch = Batch::whole(&path(&output), Kind::Output, self.plan.fingerprint()).unwrap();
        let mut file = OutputFile::create(path(&results), batch.n(), 2, vec![]).unwrap();
        decrypt_batch(&mut client, &batch, &Silent, |values| file.write(values)).unwrap();
        file.finish().unwrap();
        results
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_batch() {
    let both = Both::new();
    let peak = || nn::report::peak_memory_bytes().unwrap();
    Engine::new(Some(2)).unwrap().install(|| {
        both.run("small", 8);
        let before = peak();
        let results = both.run("large", 160);
        let grown = peak().saturating_sub(before);
        // As floats, the samples alone are larger.
        let samples = 160 * both.plan.plan().interleave() * 4 * 4;
        println!("{samples} bytes of samples, {before} bytes at peak before, {grown} more");
        assert!(samples > 16 << 20 && grown < 4 << 20, "{grown} bytes more for {samples} bytes of samples");
        let rows = BufReader::new(File::open(both.folder.path(&results)).unwrap()).lines().count();
        assert_eq!(rows * 16, samples);
    });
}
