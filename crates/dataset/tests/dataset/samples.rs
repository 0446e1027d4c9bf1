//! From files to samples and their values: what fits together, what does not, and what each sample is told apart by.

use crate::common::*;
use trt_dataset::{
    Dataset, DatasetError, Entry, Form, Inputs, Loader, Pairing, Sampling, Shapes, Source, Wanted, find,
    split, survey,
};
use trt_imaging::Preprocess;
use trt_inference::{Content, Values, Wants};

/// The tensors of every sample, as floats and integers in text; or what is wrong.
fn values(dataset: &Dataset) -> Vec<String> {
    let mut loader = Loader::new(dataset, Wants::Tensors, trt_imaging::decode).unwrap();
    let sample = |at| match loader.load(at).unwrap() {
        Ok(loaded) => {
            let Content::Tensors(tensors) = loaded.content else { panic!("tensors were asked for") };
            let text = |tensor: &trt_inference::Tensor| {
                let values = match &tensor.values {
                    Values::F32(values) => format!("{values:?}"),
                    Values::I64(values) => format!("{values:?}i"),
                    other => format!("{other:?}"),
                };
                format!("{}{:?}={values}", tensor.name, tensor.shape)
            };
            tensors.iter().map(text).collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("error: {error}"),
    };
    (0..dataset.len()).map(sample).collect()
}

#[test]
fn an_array_file_is_one_sample_or_a_stack_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let model = model(&[("x", FLOAT, &[0, 2])]);
    let stack = npy(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let [one, two, three] = ["x[1, 2]=[1.0, 2.0]", "x[1, 2]=[3.0, 4.0]", "x[1, 2]=[5.0, 6.0]"];
    for (what, name, content, expected) in [
        ("one", "a.npy", npy(&[2], &[1.0, 2.0]), &[one][..]),
        ("one with a batch of one", "a.npy", npy(&[1, 2], &[1.0, 2.0]), &[one]),
        ("a stack", "a.npy", stack.clone(), &[one, two, three]),
        ("an archive", "a.npz", npz(&[("y", vec![]), ("x", stack.clone())], false), &[one, two, three]),
        ("a compressed archive", "a.npz", npz(&[("x", stack.clone())], true), &[one, two, three]),
        ("an unnamed array", "a.npz", npz(&[("arr_0", stack.clone())], true), &[one, two, three]),
        ("one in a compressed archive", "a.npz", npz(&[("x", npy(&[2], &[1.0, 2.0]))], true), &[one]),
    ] {
        let dataset = dataset(&model, vec![arrays(&[file(path, name, &content)])]);
        assert_eq!(values(&dataset), expected, "{what}");
        let names: Vec<_> = dataset.images().iter().map(|image| image.name.clone()).collect();
        let stacked = |at| if expected.len() > 1 { format!("{name}#{at}") } else { name.to_owned() };
        assert_eq!(names, (0..expected.len()).map(stacked).collect::<Vec<_>>());
        let hashes: std::collections::HashSet<_> = dataset.images().iter().map(|image| image.hash).collect();
        assert_eq!(hashes.len(), expected.len(), "{what}: each sample has a hash of its own");
    }
}

#[test]
fn an_array_in_fortrans_order_is_the_same_array() {
    let folder = tempfile::tempdir().unwrap();
    let fortran = |shape: &str, values: &[f32]| {
        let header = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}\n");
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &data].concat()
    };
    let model = model(&[("x", FLOAT, &[0, 2, 3])]);
    let one = file(folder.path(), "one.npy", &fortran("(2, 3)", &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    let stack = file(folder.path(), "stack.npy", &fortran("(2, 2, 3)", &[0.0; 12]));
    assert_eq!(values(&dataset(&model, vec![arrays(&[one])])), ["x[1, 2, 3]=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]"]);
    let found = values(&dataset(&model, vec![arrays(&[stack])]));
    assert!(found.len() == 2 && found[0].contains("Fortran"), "{found:?}");
}

#[test]
fn what_is_wrong_with_a_file_costs_its_sample_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let good = npy(&[2], &[1.0, 2.0]);
    let archive = npz(&[("x", npy(&[2], &[1.0, 2.0]))], true);
    let mut flipped = npz(&[("x", npy(&[64, 2], &[0.5; 128]))], false);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    for (what, name, content, words) in [
        ("nothing", "b.npy", vec![], "empty"),
        ("a short header", "b.npy", good[..20].to_vec(), "cut off"),
        ("a short array", "b.npy", good[..good.len() - 1].to_vec(), "truncated"),
        ("no array", "b.npy", b"<html>".repeat(10), "does not begin"),
        ("a wrong shape", "b.npy", npy(&[3], &[0.0; 3]), "not: 3"),
        ("a wrong rank", "b.npy", npy(&[1, 1, 2], &[0.0; 2]), "not: 1x1x2"),
        ("no sample", "b.npy", npy(&[0, 2], &[]), "not: 0x2"),
        ("a wrong type", "b.npy", npy_of("<c8", &[2], &[0; 16]), "cannot be read: "),
        ("pickles", "b.npy", npy_of("|O", &[2], &[0; 16]), "cannot be read: "),
        ("a lossy type", "b.npy", npy_of("<f8", &[2], &0.1f64.to_le_bytes().repeat(2)), "element 0 is 0.1"),
        ("a truncated archive", "b.npz", archive[..archive.len() / 2].to_vec(), "archive cannot be read"),
        ("an empty archive", "b.npz", npz(&[], false), "no array `x`"),
        ("another array", "b.npz", npz(&[("y", good.clone())], false), "no array `x`, only: y"),
        (
            "too large a stack",
            "b.npy",
            npy_of("|b1", &[1 << 23, 2], &vec![0; 1 << 24]),
            "more than 4194304 samples",
        ),
        ("a claim of memory", "b.npy", npy(&[1 << 40, 2], &[]), "truncated"),
    ] {
        let paths = [file(folder.path(), "a.npy", &good), file(folder.path(), name, &content)];
        let found = values(&dataset(&model(&[("x", FLOAT, &[0, 2])]), vec![arrays(&paths)]));
        assert_eq!(found[0], "x[1, 2]=[1.0, 2.0]", "{what}");
        assert!(found[1].starts_with("error") && found[1].contains(words), "{what}: {}", found[1]);
        std::fs::remove_file(&paths[1]).unwrap();
    }
}

#[test]
fn a_compressed_array_with_a_wrong_checksum_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = npz(&[("x", npy(&[2], &[1.0, 2.0]))], true);
    // The checksum in the local header and in the directory, by the signatures before them.
    for (signature, offset) in [(b"PK\x03\x04", 14), (b"PK\x01\x02", 16)] {
        let at = archive.windows(4).position(|bytes| bytes == signature).unwrap();
        archive[at + offset] ^= 1;
    }
    let dataset =
        dataset(&model(&[("x", FLOAT, &[0, 2])]), vec![arrays(&[file(folder.path(), "a.npz", &archive)])]);
    assert!(values(&dataset)[0].contains("checksum"), "{:?}", values(&dataset));
}

#[test]
fn several_inputs_are_fed_from_archives_or_from_paired_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let model = model(&[("x", FLOAT, &[0, 2]), ("ids", INT64, &[0, 3])]);
    let ids = |first: i64| npy_of("<i8", &[3], &[first, 0, 0].map(i64::to_le_bytes).concat());
    let x = |first: f32| npy(&[2], &[first, 0.0]);
    let expected = ["x[1, 2]=[1.0, 0.0] ids[1, 3]=[1, 0, 0]i", "x[1, 2]=[2.0, 0.0] ids[1, 3]=[2, 0, 0]i"];

    let archive = |n: u8| npz(&[("x", x(n.into())), ("ids", ids(n.into()))], n == 2);
    let archives = [1, 2].map(|n| file(path, &format!("{n}.npz"), &archive(n)));
    let of_archives = dataset(&model, vec![arrays(&archives)]);
    assert_eq!(values(&of_archives), expected);
    assert_eq!(of_archives.images()[0].name, "1.npz");

    let xs = [1u8, 2].map(|n| file(path, &format!("x/{n}.npy"), &x(n.into())));
    let is = [1u8, 2].map(|n| file(path, &format!("ids/{n}.npy"), &ids(n.into())));
    let sources = || vec![arrays_for("ids", &is), arrays_for("x", &xs)];
    assert_eq!(values(&dataset(&model, sources())), expected);
    let names: Vec<_> = dataset(&model, sources()).images().iter().map(|image| image.name.clone()).collect();
    assert_eq!(names, ["1.npy + 1.npy", "2.npy + 2.npy"]);

    // One stack for each input, whatever they are called.
    let two = file(path, "stack_x.npy", &npy(&[2, 2], &[1.0, 0.0, 2.0, 0.0]));
    let stacked = npy_of("<i8", &[2, 3], &[1i64, 0, 0, 2, 0, 0].map(i64::to_le_bytes).concat());
    let stacks = vec![arrays_for("x", &[two]), arrays_for("ids", &[file(path, "stack_i.npy", &stacked)])];
    assert_eq!(values(&dataset(&model, stacks)), expected);
}

#[test]
fn samples_without_a_partner_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let model = model(&[("x", FLOAT, &[0, 1]), ("y", FLOAT, &[0, 1])]);
    let files = |names: &[&str]| -> Vec<_> {
        names.iter().map(|name| file(path, name, &npy(&[1], &[0.0]))).collect()
    };
    let pair = |xs: &[&str], ys: &[&str], pairing| {
        let inputs = resolve(&model, vec![arrays_for("x", &files(xs)), arrays_for("y", &files(ys))]).unwrap();
        choose(inputs, Sampling { pairing, ..ALL }).map(|dataset| dataset.len())
    };
    let by_name = |xs, ys| pair(xs, ys, Pairing::Name);
    assert_eq!(by_name(&["x/a.npy", "x/b.npy"], &["y/b.npy", "y/a.npy"]).unwrap(), 2);
    let error = by_name(&["x/a.npy", "x/b.npy"], &["y/a.npy", "y/c.npy"]).unwrap_err();
    assert!(
        matches!(&error, DatasetError::NoPartner { path, input } if path.ends_with("c.npy") && input == "x")
    );
    let error = by_name(&["x/a.npy", "x/b.npy"], &["y/a.npy"]).unwrap_err();
    assert!(
        matches!(&error, DatasetError::NoPartner { path, input } if path.ends_with("b.npy") && input == "y")
    );
    let error = by_name(&["x/a.npy", "x/d/a.npy"], &["y/a.npy"]).unwrap_err();
    assert!(matches!(&error, DatasetError::SameName { name, .. } if name == "a"), "{error}");
    assert_eq!(pair(&["x/a.npy", "x/b.npy"], &["y/1.npy", "y/2.npy"], Pairing::Order).unwrap(), 2);
    let error =
        pair(&["x/a.npy", "x/b.npy"], &["y/1.npy", "y/2.npy", "y/3.npy"], Pairing::Order).unwrap_err();
    assert!(error.to_string().contains("3.npy` has no partner: x: 2, y: 3"), "{error}");
}

#[test]
fn a_model_without_a_common_batch_takes_one_sample_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let whole = model(&[("x", FLOAT, &[1, 2]), ("scale", FLOAT, &[3])]);
    let archive = npz(&[("x", npy(&[1, 2], &[1.0, 2.0])), ("scale", npy(&[3], &[0.0; 3]))], false);
    let archive = file(path, "a.npz", &archive);
    let of_two = dataset(&whole, vec![arrays(&[archive])]);
    assert!(!of_two.inputs().batched && of_two.inputs().fixed_batch == Some(1));
    assert_eq!(values(&of_two), ["x[1, 2]=[1.0, 2.0] scale[3]=[0.0, 0.0, 0.0]"]);
    // A fixed first axis of several: the array decides whether it is a batch or part of a sample.
    let points = model(&[("x", FLOAT, &[2, 3])]);
    for (shape, shapes) in
        [(&[2, 3][..], "x[2, 3]"), (&[3], "x[1, 3]"), (&[1, 2, 3], "x[2, 3]"), (&[4, 3], "x[1, 3]")]
    {
        let array = npy(shape, &vec![0.0; shape.iter().product()]);
        let found = values(&dataset(&points, vec![arrays(&[file(path, "p.npy", &array)])]));
        assert!(found[0].starts_with(shapes), "{shape:?}: {found:?}");
    }
}

#[test]
fn open_dimensions_are_those_of_shapes_or_of_the_first_array() {
    let folder = tempfile::tempdir().unwrap();
    let array = file(folder.path(), "a.npy", &npy(&[5, 2], &[0.0; 10]));
    let model = model(&[("x", FLOAT, &[0, -1, 2])]);
    let inputs = resolve(&model, vec![arrays(std::slice::from_ref(&array))]).unwrap();
    assert_eq!((inputs.inputs[0].shape.as_slice(), inputs.fixed_batch), (&[5, 2][..], None));
    assert_eq!(inputs.recorded_shapes()["x"], [1, 5, 2]);
    let shapes = |dims: &[u64]| Shapes::from([("x".to_owned(), dims.to_vec())]);
    let with = |shapes| Inputs::resolve(&model, &shapes, vec![arrays(std::slice::from_ref(&array))], "");
    assert_eq!(with(shapes(&[8, 7, 2])).unwrap().inputs[0].shape, [7, 2]);
    assert!(matches!(with(shapes(&[8, 7, 3])), Err(DatasetError::Shape { .. })));
    let other = Shapes::from([("y".to_owned(), vec![1])]);
    assert!(matches!(with(other), Err(DatasetError::UnknownInput { .. })));
    let broken = file(folder.path(), "b.npy", b"");
    let error = resolve(&model, vec![arrays(&[broken])]).unwrap_err();
    assert_eq!(error.to_string(), "the dimension 2 of input `x` is open in the model, and no shape fixes it");
}

#[test]
fn inputs_that_cannot_be_fed_are_named() {
    let files = [std::path::PathBuf::from("a.npy")];
    let of =
        |inputs: &[(&str, i32, &[i64])], sources| resolve(&model(inputs), sources).unwrap_err().to_string();
    let two: [(&str, i32, &[i64]); 2] = [("x", FLOAT, &[0, 3, 4, 4]), ("y", FLOAT, &[0, 2])];
    for (found, expected) in [
        (of(&[("s", trt_onnx::proto::elem::STRING, &[0])], vec![arrays(&files)]), "input `s` takes strings"),
        (of(&[("b", trt_onnx::proto::elem::BFLOAT16, &[0])], vec![arrays(&files)]), "`b` are bfloat16"),
        (of(&two, vec![arrays(&files)]), "no samples are given for inputs: x, y"),
        (of(&two, vec![images(&files)]), "no samples are given for input: y"),
        (of(&two, vec![arrays_for("z", &files)]), "does not have: `z`"),
        (of(&two, vec![arrays_for("x", &files), arrays_for("x", &files)]), "given twice for input `x`"),
        (of(&[("x", INT64, &[0, 3, 4, 4])], vec![images(&files)]), "its elements are 64-bit integers"),
        (of(&[("x", FLOAT, &[0, 3])], vec![images(&files)]), "it has 2 dimensions, not 4"),
        (
            of(&[("x", FLOAT, &[0, 1, 4, 4])], vec![images(&files)]),
            "has 1 channels, and the preprocessing gives: 3",
        ),
        (of(&[("x", FLOAT, &[0, 3, -1, 4])], vec![images(&files)]), "the height of input `x` is open"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn images_and_arrays_feed_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let model = model(&[("x", FLOAT, &[0, 3, 4, 4]), ("y", FLOAT, &[0, 1])]);
    let pictures = [image(path, "a.png", 10), image(path, "b.png", 20)];
    let numbers = ["a.npy", "b.npy"].map(|name| file(path, name, &npy(&[1], &[7.0])));
    let source = Source { input: None, files: pictures.to_vec(), form: Form::Images(Preprocess::default()) };
    let dataset = dataset(&model, vec![arrays(&numbers), source]);
    assert!(dataset.inputs().pipeline().is_none(), "a source cannot preprocess this on its own");
    assert_eq!(dataset.image_path(1), Some(pictures[1].as_path()));
    assert!(values(&dataset)[0].contains("y[1, 1]=[7.0]"));
    let found = survey(&dataset, trt_imaging::decode, &|| false).unwrap();
    assert_eq!((found.flat, found.unchanging), (vec![0, 1], vec!["y".to_owned()]));
}

#[test]
fn shards_of_the_chosen_samples_add_up_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let stack = file(folder.path(), "a.npy", &npy(&[50, 1], &[0.0; 50]));
    let inputs = resolve(&model(&[("x", FLOAT, &[0, 1])]), vec![arrays(&[stack])]).unwrap();
    let names = |shard: Option<&str>| -> Vec<String> {
        let shard = shard.map(|text| text.parse().unwrap());
        let sampling = Sampling { count: 20, seed: 3, shard, pairing: Pairing::Name };
        let chosen = choose(inputs.clone(), sampling).unwrap();
        chosen.images().iter().map(|image| image.name.clone()).collect()
    };
    let mut parts: Vec<String> = ["1/3", "2/3", "3/3"].iter().flat_map(|shard| names(Some(shard))).collect();
    let mut all = names(None);
    assert_eq!(all.len(), 20);
    parts.sort();
    all.sort();
    assert_eq!(parts, all);
    let shard = Some("21/30".parse().unwrap());
    let error = choose(inputs, Sampling { count: 20, seed: 3, shard, pairing: Pairing::Name }).unwrap_err();
    assert!(matches!(error, DatasetError::EmptyShard { chosen: 20, .. }));
}

#[test]
fn near_duplicates_are_found_and_never_torn_apart() {
    let Some(photos) = std::env::var_os("TRT_TEST_PHOTOS") else {
        return test_support::skip("TRT_TEST_PHOTOS names no photographs");
    };
    let folder = tempfile::tempdir().unwrap();
    let entry = Entry { folder: photos.into(), text: "*.jpg".to_owned() };
    let originals: Vec<_> = find(&[entry], Wanted::Images, None).unwrap().into_iter().take(12).collect();
    let mut files = Vec::new();
    for (at, original) in originals.iter().enumerate() {
        let picture = trt_imaging::decode(&std::fs::read(original).unwrap()).unwrap().picture;
        let whole = image::RgbImage::from_raw(picture.width, picture.height, picture.pixels).unwrap();
        files.push(folder.path().join(format!("{at:02}.png")));
        whole.save(&files[files.len() - 1]).unwrap();
        if at < 3 {
            let (width, height) = (whole.width() * 7 / 10, whole.height() * 7 / 10);
            files.push(folder.path().join(format!("{at:02}-smaller.png")));
            image::imageops::resize(&whole, width, height, image::imageops::Triangle)
                .save(&files[files.len() - 1])
                .unwrap();
        }
    }
    let dataset = dataset(&model(&[("x", FLOAT, &[0, 3, 32, 32])]), vec![images(&files)]);
    let found = survey(&dataset, trt_imaging::decode, &|| false).unwrap();
    let pairs: Vec<_> = found.near_duplicates.iter().map(Vec::as_slice).collect();
    for pair in [[0, 1], [2, 3], [4, 5]] {
        assert!(pairs.iter().any(|group| pair.iter().all(|at| group.contains(at))), "{pairs:?}");
    }
    assert!(pairs.len() <= 4, "other photographs are not alike: {pairs:?}");
    for seed in 0..20 {
        let parts = split(&dataset, &[2, 1, 1], seed, &found.near_duplicates);
        assert_eq!(parts.iter().map(Dataset::len).sum::<usize>(), dataset.len());
        for pair in ["00", "01", "02"] {
            let with =
                parts.iter().filter(|part| part.images().iter().any(|image| image.name.starts_with(pair)));
            assert_eq!(with.count(), 1, "seed {seed} tears {pair} apart");
        }
    }
}
