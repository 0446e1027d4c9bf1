//! Graphs as they may be, but seldom are.

use trt_inference::{Choice, Settings, SourceError, Subject, Tensor, open_network};
use trt_onnx::proto::{DimValue, Dimension, TensorShapeProto, TypeValue, elem};

use crate::common::{backends, batch, library, source};
use crate::models::{amax, graph, int, model, node, stored};
use crate::x;

/// A stored tensor of 64-bit integers.
fn integers(name: &str, values: &[i64]) -> trt_onnx::proto::TensorProto {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    trt_onnx::proto::TensorProto {
        data_type: Some(elem::INT64),
        raw_data: Some(bytes.into()),
        ..stored(name, &[values.len() as i64], &[])
    }
}

#[test]
fn outputs_that_are_read_again_inputs_that_are_outputs_and_stored_outputs_are_what_they_are() {
    let nodes = vec![node("Relu", &["x"], "a", vec![]), node("Add", &["a", "w"], "b", vec![])];
    let mut graph = graph(&[("x", elem::FLOAT)], nodes, &["a", "b", "w", "x"]);
    graph.initializer.push(stored("w", &[2], &[10.0, -20.0]));
    let model = model(graph);
    for (choice, settings) in backends() {
        let source = source(&model, choice, &settings).unwrap().what;
        source.accumulate(batch(vec![x(&[1.0, -2.0])])).unwrap();
        let found = source.finish().unwrap();
        let expected = [("x", 2.0), ("a", 1.0), ("b", 20.0)];
        assert_eq!(amax(&found), expected.map(|(name, amax)| (name, Some(amax))), "{choice:?}");
        assert!(found.omitted.is_empty(), "{:?}", found.omitted);

        let subject = Subject { model: &model, folder: ".".as_ref(), activations: &[] };
        let network = open_network(&subject, choice, &settings).unwrap().what;
        let outputs = network.run(&[x(&[1.0, -2.0])]).unwrap();
        let values: Vec<_> = outputs.iter().map(|o| (o.name.as_str(), o.values.as_f32().unwrap())).collect();
        let expected: [(&str, &[f32]); 4] =
            [("a", &[1.0, 0.0]), ("b", &[11.0, -20.0]), ("w", &[10.0, -20.0]), ("x", &[1.0, -2.0])];
        assert_eq!(values, expected, "{choice:?}");
    }
}

#[test]
fn scalars_and_tensors_without_values_are_counted_as_they_are() {
    let nodes = vec![
        node("ReduceMax", &["x"], "scalar", vec![int("keepdims", 0)]),
        node("Slice", &["x", "zero", "zero", "one"], "none", vec![]),
        node("Relu", &["none"], "still_none", vec![]),
        node("Sqrt", &["scalar"], "root", vec![]),
    ];
    let mut graph = graph(&[("x", elem::FLOAT)], nodes, &["root", "still_none"]);
    graph.initializer.extend([integers("zero", &[0]), integers("one", &[1])]);
    let model = model(graph);
    for (choice, settings) in backends() {
        let source = source(&model, choice, &settings).unwrap().what;
        source.accumulate(batch(vec![x(&[1.0, 9.0, 4.0, 4.0])])).unwrap();
        let so_far = source.snapshot().unwrap();
        let mut found: Vec<_> =
            so_far.observed.iter().map(|o| (o.name.as_str(), o.counts.count(), o.counts.amax())).collect();
        found.sort_by_key(|(name, ..)| *name);
        let expected = [
            ("none", 0, None),
            ("root", 1, Some(3.0)),
            ("scalar", 1, Some(9.0)),
            ("still_none", 0, None),
            ("x", 4, Some(9.0)),
        ];
        assert_eq!(found, expected, "{choice:?}");
        // A scalar is of all samples.
        let error = source.accumulate(batch(vec![x(&[-1.0, -9.0, -4.0, -4.0])])).unwrap_err();
        let SourceError::NotANumber { tensor, samples, .. } = &error else { panic!("{error}") };
        assert_eq!((tensor.as_str(), samples.len()), ("root", 2), "{choice:?}");
    }
}

#[test]
fn sixteen_bits_are_counted_and_bfloat16_is_left_out_with_the_reason() {
    let Some(library) = library() else { return };
    let nodes = vec![
        node("Cast", &["x"], "half", vec![int("to", i64::from(elem::FLOAT16))]),
        node("Cast", &["half"], "brain", vec![int("to", i64::from(elem::BFLOAT16))]),
        node("Cast", &["brain"], "y", vec![int("to", 1)]),
    ];
    let model = model(graph(&[("x", elem::FLOAT)], nodes, &["y"]));
    let settings = Settings { onnxruntime: Some(library), ..Settings::default() };
    let source = source(&model, Choice::OnnxRuntime, &settings).unwrap().what;
    source.accumulate(batch(vec![x(&[1e6, -3.0])])).unwrap();
    let found = source.finish().unwrap();
    let [x, half, y] = &found.observed[..] else { panic!("{:?}", found.observed) };
    assert_eq!((x.name.as_str(), half.name.as_str(), y.name.as_str()), ("x", "half", "y"));
    // One is too great for 16 bits: infinite, and so no part of the range.
    assert_eq!((half.counts.amax(), half.counts.count(), x.counts.count()), (Some(3.0), 1, 2));
    let [omitted] = &found.omitted[..] else { panic!("{:?}", found.omitted) };
    assert!(omitted.name == "brain" && omitted.why.contains("type 16"), "{omitted:?}");
}

#[test]
fn what_cannot_fit_into_memory_is_refused_before_it_is_run() {
    let Some(library) = library() else { return };
    // 4 TiB, which the graph states: the input is known to be 1 by 1.
    let mut graph = graph(&[("x", elem::FLOAT)], vec![node("Expand", &["x", "sides"], "y", vec![])], &["y"]);
    graph.initializer.push(integers("sides", &[1 << 20, 1 << 20]));
    let one = Dimension { value: Some(DimValue::Value(1)), ..Dimension::default() };
    if let Some(TypeValue::Tensor(tensor)) = graph.input[0].r#type.as_mut().and_then(|it| it.value.as_mut()) {
        tensor.shape = Some(TensorShapeProto { dim: vec![one.clone(), one] });
    }
    let model = model(graph);
    let settings = Settings { onnxruntime: Some(library), ..Settings::default() };
    let Err(error) = source(&model, Choice::OnnxRuntime, &settings) else { panic!("nobody has so much") };
    assert!(matches!(&error, SourceError::OutOfMemory { .. }), "{error}");
    assert!(error.to_string().contains("1 sample take 4096.0 GiB"), "{error}");
    let opened = source(&model, Choice::Auto, &settings).unwrap();
    assert_eq!(opened.what.backend().name, "rten");
    assert!(
        opened.because.iter().any(|because| because.contains("too little memory")),
        "{:?}",
        opened.because
    );
}

#[test]
fn a_batch_may_have_another_size_than_the_one_before() {
    let model = crate::roots();
    for (choice, settings) in backends() {
        let source = source(&model, choice, &settings).unwrap().what;
        for count in [3, 1, 5] {
            let tensor = Tensor::f32("x", [count, 2], vec![count as f32; 2 * count]);
            source.accumulate(batch(vec![tensor])).unwrap();
        }
        let found = source.finish().unwrap();
        assert_eq!((amax(&found)[0], found.observed[0].counts.count()), (("x", Some(5.0)), 18), "{choice:?}");
    }
}
