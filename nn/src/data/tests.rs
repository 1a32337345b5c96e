//! Files of every kind, whole and damaged.

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::{Array1, Array2, ArrayD, IxDyn, ShapeBuilder};
use ndarray_npy::WriteNpyExt;
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

/// A folder that goes with the test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn idx(dims: &[u32], numbers: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|d| file.extend(d.to_be_bytes()));
    file.extend(numbers);
    file
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn npy<T: ndarray_npy::WritableElement>(array: &ArrayD<T>) -> Vec<u8> {
    let mut file = Vec::new();
    array.write_npy(&mut file).unwrap();
    file
}

fn floats(dims: &[usize], first: f32) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(dims), (0..dims.iter().product()).map(|i| first + i as f32).collect()).unwrap()
}

fn npz(members: &[(&str, Vec<u8>)], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn idx_bytes_become_numbers_from_0_to_1() {
    let folder = Folder::new();
    let file = idx(&[2, 1, 3], &[0, 51, 255, 102, 0, 204]);
    for bytes in [file.clone(), gz(&file)] {
        let data = Dataset::read(folder.file("images", &bytes)).unwrap();
        assert_eq!((data.n(), data.shape(), data.features()), (2, &[1, 3][..], 3));
        assert_eq!(data.samples(), [0.0, 0.2, 1.0, 0.4, 0.0, 0.8]);
        assert_eq!(data.to_f64()[2], 1.0);
        assert_eq!(data.clone().cycled(1).unwrap().samples(), [0.0, 0.2, 1.0]);
        let huge = data.clone().cycled(usize::MAX / 8);
        assert!(matches!(huge, Err(Error::TooManySamples { .. })));
        let cycled = data.cycled(3).unwrap();
        assert_eq!((cycled.n(), &cycled.samples()[..3]), (3, &cycled.samples()[6..]));
    }
    let labels = Labels::read(folder.file("labels", &idx(&[3], &[7, 0, 9]))).unwrap();
    assert_eq!(labels.labels(), [7, 0, 9]);
    assert_eq!(labels.first(2, 10).unwrap(), [7, 0]);
}

#[test]
fn npy_floats_are_taken_as_they_are() {
    let folder = Folder::new();
    let array = floats(&[2, 2, 3], -1.5);
    let single = Dataset::read(folder.file("a.npy", &npy(&array))).unwrap();
    assert_eq!((single.n(), single.shape()), (2, &[2, 3][..]));
    assert_eq!(single.samples(), array.as_slice().unwrap());
    let double = Dataset::read(folder.file("b.npy", &npy(&array.mapv(f64::from)))).unwrap();
    assert_eq!(double.samples(), single.samples());
}

#[test]
fn npy_in_column_order_is_turned() {
    let folder = Folder::new();
    let values: Vec<f32> = (0..6).map(|i| i as f32).collect();
    let columns = ArrayD::from_shape_vec(IxDyn(&[2, 3]).f(), values).unwrap();
    assert!(String::from_utf8_lossy(&npy(&columns)).contains("'fortran_order': True"));
    let data = Dataset::read(folder.file("a.npy", &npy(&columns))).unwrap();
    assert_eq!(data.samples(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
}

#[test]
fn npy_of_the_other_byte_order_is_read() {
    let folder = Folder::new();
    let mut file = npy(&floats(&[1, 2], 1.0));
    let at = file.windows(3).position(|w| w == b"<f4").unwrap();
    file[at] = b'>';
    let values = file.len() - 8;
    file[values..].chunks_mut(4).for_each(<[u8]>::reverse);
    assert_eq!(Dataset::read(folder.file("a.npy", &file)).unwrap().samples(), [1.0, 2.0]);
}

#[test]
fn labels_may_be_integers_of_any_size() {
    let folder = Folder::new();
    let wide = Array1::from(vec![3i64, 1, 2]).into_dyn();
    for file in [
        npy(&wide),
        npy(&wide.mapv(|v| v as i32)),
        npy(&wide.mapv(|v| v as i16)),
        npy(&wide.mapv(|v| v as i8)),
        npy(&wide.mapv(|v| v as u8)),
        npy(&wide.mapv(|v| v as u16)),
        npy(&wide.mapv(|v| v as u32)),
        npy(&Array2::from_shape_vec((3, 1), vec![3i64, 1, 2]).unwrap().into_dyn()),
    ] {
        assert_eq!(Labels::read(folder.file("y.npy", &file)).unwrap().labels(), [3, 1, 2]);
    }
}

#[test]
fn npz_holds_samples_and_labels() {
    let folder = Folder::new();
    let labels = npy(&Array1::from(vec![1i64, 0]).into_dyn());
    for options in
        [SimpleFileOptions::default(), SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)]
    {
        let members = [("x.npy", npy(&floats(&[2, 4], 0.0))), ("y.npy", labels.clone())];
        let path = folder.file("both.npz", &npz(&members, options));
        assert_eq!(Dataset::read(&path).unwrap().shape(), [4]);
        assert_eq!(Labels::read(&path).unwrap().labels(), [1, 0]);
    }
    let alone = npz(&[("whatever.npy", npy(&floats(&[2, 4], 0.0)))], SimpleFileOptions::default());
    assert_eq!(Dataset::read(folder.file("one.npz", &alone)).unwrap().n(), 2);
}

#[test]
fn an_npz_without_a_known_name_is_refused() {
    let folder = Folder::new();
    let members = [("a.npy", npy(&floats(&[2, 4], 0.0))), ("b.npy", npy(&floats(&[2, 4], 0.0)))];
    let error = Dataset::read(folder.file("two.npz", &npz(&members, SimpleFileOptions::default()))).unwrap_err();
    assert!(matches!(&error, Error::Data(DataError::NpzMember { found, .. }) if found.len() == 2), "{error}");
    assert!(error.to_string().contains("\"images\""), "{error}");
}

#[test]
fn a_shape_is_fitted_to_the_model_only_where_nothing_moves() {
    let data = |shape: &[usize]| Dataset::new("x.npy", shape.to_vec(), vec![0.5; 12]).unwrap();
    assert_eq!(data(&[3, 4]).for_model(&[1, 3, 4]).unwrap().shape(), [1, 3, 4]);
    assert_eq!(data(&[12]).for_model(&[1, 3, 4]).unwrap().shape(), [1, 3, 4]);
    assert_eq!(data(&[1, 3, 4]).for_model(&[12]).unwrap().shape(), [12]);
    for (shape, model) in [(&[3, 4][..], &[4, 3][..]), (&[3, 2, 2], &[2, 2, 3]), (&[12], &[11]), (&[2, 6], &[3, 4])] {
        let error = data(shape).for_model(model).unwrap_err();
        assert!(
            matches!(&error, Error::Data(DataError::Shape { found, expected, .. }) if found == shape && expected == model),
            "{error}"
        );
    }
}

#[test]
fn files_that_are_not_there_or_empty_are_refused() {
    let folder = Folder::new();
    assert!(matches!(Dataset::read("/nowhere/x.npy"), Err(Error::ReadFile { .. })));
    assert!(matches!(Dataset::read(folder.0.path()), Err(Error::ReadFile { .. })));
    assert!(matches!(Dataset::read(folder.file("x.npy", b"")), Err(Error::EmptyFile { .. })));
    assert!(matches!(Labels::read(folder.file("x.gz", &gz(b""))), Err(Error::EmptyFile { .. })));
}

#[test]
fn every_truncation_is_refused() {
    let folder = Folder::new();
    let whole = [
        idx(&[2, 3], &[0; 6]),
        gz(&idx(&[2, 3], &[9; 6])),
        npy(&floats(&[2, 3], 0.0)),
        npz(&[("x.npy", npy(&floats(&[2, 3], 0.0)))], SimpleFileOptions::default()),
    ];
    for file in whole {
        for length in 1..file.len() {
            let error = Dataset::read(folder.file("cut", &file[..length])).unwrap_err();
            assert!(
                matches!(error, Error::Data(DataError::Format { .. }) | Error::Data(DataError::Truncated { .. })),
                "{length}: {error}"
            );
        }
        // The end of a gzip or zip file is found from its contents; trailing bytes are no harm there.
        if !file.starts_with(b"PK") && !file.starts_with(&[0x1F]) {
            let longer = [&file[..], &[0]].concat();
            assert!(matches!(
                Dataset::read(folder.file("long", &longer)),
                Err(Error::Data(DataError::Truncated { .. }))
            ));
        }
    }
}

#[test]
fn headers_that_promise_too_much_cost_no_memory() {
    let folder = Folder::new();
    let huge = idx(&[u32::MAX, u32::MAX, u32::MAX], &[1, 2, 3]);
    assert!(matches!(
        Dataset::read(folder.file("x", &huge)),
        Err(Error::Data(DataError::Truncated { expected: usize::MAX, .. }))
    ));
    let mut file = npy(&floats(&[2, 3], 0.0));
    let at = file.windows(6).position(|w| w == b"(2, 3)").unwrap();
    let claim = b"(9223372036854775807, 9), }";
    file.splice(at..at + claim.len(), *claim);
    assert!(matches!(
        Dataset::read(folder.file("x.npy", &file)),
        Err(Error::Data(DataError::Truncated { expected: usize::MAX, .. }))
    ));
    let header = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..], b"{}"].concat();
    assert!(matches!(Dataset::read(folder.file("x.npy", &header)), Err(Error::Data(DataError::Format { .. }))));
    let nested = [b"\x93NUMPY\x01\x00", &10_000u16.to_le_bytes()[..], &[b'('; 10_000]].concat();
    assert!(matches!(Dataset::read(folder.file("x.npy", &nested)), Err(Error::Data(DataError::Format { .. }))));
}

#[test]
fn other_formats_and_types_are_refused() {
    let folder = Folder::new();
    let refuse = |name: &str, bytes: &[u8]| match Dataset::read(folder.file(name, bytes)) {
        Err(Error::Data(DataError::Format { problem, .. })) => problem,
        other => panic!("{other:?}"),
    };
    assert!(refuse("x.html", b"<html>1,2,3\n").contains("numpy.save"));
    assert!(refuse("x.csv", b"age,weight\n1,2\n").contains("headings"));
    assert!(refuse("x.csv", b"1.0;2.0;3.0\n").contains("separate numbers by commas"));
    assert!(refuse("x.csv", format!("1,{}\n", "x".repeat(999)).as_bytes()).len() < 99);
    assert!(refuse("x.idx", &[0, 0, 0x0D, 1, 0, 0, 0, 0]).contains("0x0D"));
    assert!(refuse("x.npy", &npy(&Array1::from(vec![1i64, 2]).into_dyn())).contains("i8"));
    assert!(refuse("x.npy", &npy(&floats(&[4], 0.0))).contains("[n, ...]"));
    assert!(refuse("x.gz", b"\x1F\x8B\x08 no gzip").contains("gzip"));
    assert!(refuse("x.npz", b"PK\x03\x04 no zip").contains(".npz"));
    let labels = Labels::read(folder.file("y.npy", &npy(&floats(&[4], 0.0))));
    assert!(matches!(labels, Err(Error::Data(DataError::Format { problem, .. })) if problem.contains("integers")));
    let labels = Labels::read(folder.file("y", &idx(&[2, 2], &[0; 4])));
    assert!(matches!(labels, Err(Error::Data(DataError::Format { problem, .. })) if problem.contains("[n]")));
}

#[test]
fn no_samples_are_refused() {
    let folder = Folder::new();
    assert!(matches!(
        Dataset::read(folder.file("x", &idx(&[0, 28, 28], &[]))),
        Err(Error::Data(DataError::NoSamples { .. }))
    ));
    assert!(matches!(
        Dataset::read(folder.file("x.npy", &npy(&floats(&[0, 4], 0.0)))),
        Err(Error::Data(DataError::NoSamples { .. }))
    ));
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let folder = Folder::new();
    let mut array = floats(&[3, 2], 0.0);
    array[[1, 1]] = f32::NAN;
    let error = Dataset::read(folder.file("x.npy", &npy(&array))).unwrap_err();
    assert!(matches!(error, Error::Data(DataError::NotFinite { sample: 1, feature: 1, .. })), "{error}");
    let double = floats(&[3, 2], 0.0).mapv(|x| if x == 4.0 { 1e300 } else { f64::from(x) });
    let error = Dataset::read(folder.file("x.npy", &npy(&double))).unwrap_err();
    assert!(matches!(error, Error::Data(DataError::NotFinite { sample: 2, feature: 0, .. })), "{error}");
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let labels = Labels::read(folder.file("y", &idx(&[3], &[7, 0, 9]))).unwrap();
    assert!(matches!(
        labels.clone().first(4, 10),
        Err(Error::Data(DataError::LabelCount { labels: 3, samples: 4, .. }))
    ));
    assert!(matches!(
        labels.first(3, 9),
        Err(Error::Data(DataError::LabelRange { sample: 2, label: 9, classes: 9, .. }))
    ));
    let negative = Labels::read(folder.file("y.npy", &npy(&Array1::from(vec![1i64, -1]).into_dyn())));
    assert!(matches!(negative, Err(Error::Data(DataError::LabelNegative { sample: 1, value: -1, .. }))));
}

/// One file of each kind with 1,000 samples of 70 x 3 values, some more than a block.
fn sample_files(folder: &Folder) -> Vec<PathBuf> {
    let bytes: Vec<u8> = (0..1000 * 210).map(|i| (i % 251) as u8).collect();
    let idx = idx(&[1000, 70, 3], &bytes);
    let array = floats(&[1000, 70, 3], -3.5);
    let columns = ArrayD::from_shape_vec(IxDyn(&[1000, 210]).f(), array.iter().copied().collect()).unwrap();
    let line = |sample: ndarray::ArrayViewD<f32>| sample.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
    let text: String = array.outer_iter().map(|sample| line(sample) + "\n").collect();
    let npz = npz(&[("x.npy", npy(&array))], SimpleFileOptions::default());
    let files = [gz(&idx), idx, npy(&array.mapv(f64::from)), npy(&array), npy(&columns), text.into_bytes(), npz];
    files.iter().enumerate().map(|(i, file)| folder.file(&i.to_string(), file)).collect()
}

#[test]
fn samples_come_in_chunks_of_any_size() {
    let folder = Folder::new();
    for path in sample_files(&folder) {
        let (whole, file) = (Dataset::read(&path).unwrap(), SampleFile::open(&path).unwrap());
        assert_eq!((file.n(), file.features(), file.path()), (1000, 210, &*path));
        assert_eq!(file.max_abs(), whole.samples().iter().fold(0.0, |max, x| x.abs().max(max)));
        for samples in [1, 7, 312, 999, 1000, usize::MAX] {
            let chunks: Vec<Vec<f32>> = file.chunks(samples).unwrap().map(Result::unwrap).collect();
            assert_eq!(chunks.len(), 1000usize.div_ceil(samples));
            assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk.len() == samples * 210));
            assert_eq!(chunks.concat(), whole.samples());
        }
        assert_eq!(file.clone().for_model(&[210]).unwrap().features(), 210);
        assert!(matches!(file.for_model(&[70, 4]), Err(Error::Data(DataError::Shape { .. }))));
    }
}

#[test]
fn samples_are_left_out_by_their_numbers() {
    let folder = Folder::new();
    let left_out = [0, 1, 311, 500, 999];
    for path in sample_files(&folder) {
        let whole = Dataset::read(&path).unwrap();
        let others = whole.without(&left_out).unwrap();
        assert_eq!((others.n(), others.shape()), (995, whole.shape()));
        assert_eq!(others.samples()[..210], whole.samples()[2 * 210..3 * 210]);
        assert_eq!(others.samples()[994 * 210..], whole.samples()[998 * 210..999 * 210]);
        let file = SampleFile::open(&path).unwrap().without(left_out.to_vec()).unwrap();
        assert_eq!(file.n(), 995);
        assert_eq!(file.max_abs(), others.samples().iter().fold(0.0, |max, x| x.abs().max(max)));
        for samples in [1, 312, 995, usize::MAX] {
            let chunks: Vec<Vec<f32>> = file.chunks(samples).unwrap().map(Result::unwrap).collect();
            assert_eq!(chunks.len(), 995usize.div_ceil(samples));
            assert_eq!(chunks.concat(), others.samples());
        }
        let all: Vec<usize> = (0..1000).collect();
        assert!(matches!(whole.without(&all), Err(Error::Data(DataError::NoSamples { .. }))));
        assert!(matches!(file.without(all), Err(Error::Data(DataError::NoSamples { .. }))));
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let folder = Folder::new();
    for (path, longer) in [("x.csv", "1,2\n3,4\n5,6\n7,8\n"), ("y.csv", "1,2\n3,4\n"), ("z.csv", "1,2\n3,4\n5,nan\n")] {
        let path = folder.file(path, b"1,2\n3,4\n5,6\n");
        let file = SampleFile::open(&path).unwrap();
        std::fs::write(&path, longer).unwrap();
        let chunks: Vec<_> = file.chunks(2).unwrap().collect();
        assert!(chunks[0].is_ok() && chunks.len() == 2);
        assert!(
            matches!(&chunks[1], Err(Error::Data(DataError::Format { problem, .. })) if problem.contains("changed") || problem.contains("nan")),
            "{chunks:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn what_comes_through_a_pipe_is_read_once() {
    let folder = Folder::new();
    let pipe = folder.0.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, "1,2\n3,4\n").unwrap()
    });
    let file = SampleFile::open(&pipe).unwrap();
    writer.join().unwrap();
    for _ in 0..2 {
        assert_eq!(file.chunks(2).unwrap().next().unwrap().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn outputs_are_written_and_read_back() {
    let folder = Folder::new();
    let values = [1.0, -2.5, 1e-30, std::f64::consts::PI, 5.0, 6.0];
    let path = folder.0.path().join("out.npy");
    write_outputs(&path, &values, 2, vec![]).unwrap();
    let back: Array2<f64> = ndarray_npy::read_npy(&path).unwrap();
    assert_eq!((back.shape(), back.as_slice().unwrap()), (&[3, 2][..], &values[..]));
    let path = folder.0.path().join("out.csv");
    write_outputs(&path, &values, 3, vec![]).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let numbers: Vec<f64> = text.lines().flat_map(|line| line.split(',')).map(|n| n.parse().unwrap()).collect();
    assert_eq!((text.lines().count(), &numbers[..]), (2, &values[..]));
    let other = write_outputs(folder.0.path().join("out.txt"), &values, 3, vec![]);
    assert!(matches!(other, Err(Error::Data(DataError::OutputName { .. }))));
    assert!(matches!(write_outputs(&path, &values, 4, vec![]), Err(Error::SampleLength { found: 6, features: 4 })));
}

#[test]
fn outputs_come_in_parts_and_appear_when_they_are_whole() {
    let folder = Folder::new();
    for name in ["out.npy", "out.csv"] {
        let path = folder.0.path().join(name);
        let mut file = OutputFile::create(&path, 3, 2, vec![]).unwrap();
        file.write(&[1.0, 2.0]).unwrap();
        assert!(matches!(file.write(&[3.0]), Err(Error::SampleLength { found: 1, features: 2 })));
        assert!(matches!(file.write(&[3.0; 6]), Err(Error::SampleLength { found: 6, features: 2 })));
        file.write(&[3.0, 4.0, 5.0, 6.0]).unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        write_outputs(&path, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, vec![]).unwrap();
        assert_eq!(whole, std::fs::read(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let unfinished = OutputFile::create(&path, 3, 2, vec![]).unwrap();
        assert!(matches!(unfinished.finish(), Err(Error::SampleLength { .. })) && folder.names().is_empty());
    }
}

#[test]
fn samples_that_are_left_out_have_rows_of_nan() {
    let folder = Folder::new();
    let path = folder.0.path().join("out.npy");
    let mut file = OutputFile::create(&path, 8, 2, vec![0, 3, 4, 7]).unwrap();
    file.write(&[1.0, 2.0]).unwrap();
    file.write(&[3.0, 4.0, 5.0, 6.0]).unwrap();
    assert!(matches!(file.write(&[7.0; 4]), Err(Error::SampleLength { .. })));
    file.write(&[7.0, 8.0]).unwrap();
    file.finish().unwrap();
    let back: Array2<f64> = ndarray_npy::read_npy(&path).unwrap();
    let rows: Vec<Option<f64>> = back.rows().into_iter().map(|row| Some(row[0]).filter(|x| !x.is_nan())).collect();
    assert_eq!(rows, [None, Some(1.0), Some(3.0), None, None, Some(5.0), Some(7.0), None]);
    assert!(back.rows().into_iter().all(|row| row[0].is_nan() == row[1].is_nan()));
    let path = folder.0.path().join("out.csv");
    write_outputs(&path, &[1.0, 2.0], 1, vec![1]).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\nNaN\n2\n");
    // One that does not exist, as a damaged record would have it.
    assert!(matches!(write_outputs(&path, &[1.0, 2.0], 1, vec![5]), Err(Error::SampleLength { .. })));
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let folder = Folder::new();
    let path = folder.file("out.csv", b"old");
    let failed = replace_file(&path, |file| {
        file.write_all(b"half")?;
        Err(std::io::Error::other("disk on fire"))
    });
    assert!(matches!(&failed, Err(Error::WriteFile { source, .. }) if source.to_string() == "disk on fire"));
    assert_eq!((std::fs::read(&path).unwrap(), folder.names()), (b"old".to_vec(), vec!["out.csv".to_owned()]));
    replace_file(&path, |file| file.write_all(b"new")).unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), folder.names()), (b"new".to_vec(), vec!["out.csv".to_owned()]));
    assert!(matches!(replace_file(folder.0.path(), |_| Ok(())), Err(Error::WriteFile { .. })));
    assert!(matches!(replace_file("/nowhere/out.csv", |_| Ok(())), Err(Error::WriteFile { .. })));
}

#[cfg(unix)]
#[test]
fn devices_and_links_stay_what_they_are() {
    let folder = Folder::new();
    replace_file("/dev/null", |file| file.write_all(b"gone")).unwrap();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    let target = folder.file("target", b"old");
    let link = folder.0.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    replace_file(&link, |file| file.write_all(b"new")).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read(&target).unwrap(), b"new");
}

#[test]
fn lines_of_numbers_are_samples_and_labels() {
    let folder = Folder::new();
    for text in ["0.5,-1,2e-3\n1,0,.25\n", "0.5 -1 2e-3\r\n1 0 .25", " 0.5 -1 2e-3\n1 0 .25\n\n"] {
        let data = Dataset::read(folder.file("pixels.txt", text.as_bytes())).unwrap();
        assert_eq!((data.n(), data.shape()), (2, &[3][..]));
        assert_eq!(data.samples(), [0.5, -1.0, 2e-3, 1.0, 0.0, 0.25]);
    }
    assert_eq!(Labels::read(folder.file("labels.txt", b"7\n2\n1\n")).unwrap().labels(), [7, 2, 1]);
    for damaged in ["1,2\n3\n", "1,x\n", "1,2\n3,\n", "1 2\n3 4 5\n", "1,2\n?,1\n"] {
        let error = Dataset::read(folder.file("damaged.csv", damaged.as_bytes())).unwrap_err();
        assert!(matches!(error, Error::Data(DataError::Format { .. })), "{damaged:?}: {error}");
    }
    let error = Dataset::read(folder.file("headed.csv", b"a,b\n1,2\n")).unwrap_err();
    assert!(error.to_string().contains("none of"), "{error}");
    assert!(matches!(Labels::read(folder.file("labels.csv", b"1.5\n")), Err(Error::Data(DataError::Format { .. }))));
}
