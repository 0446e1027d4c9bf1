//! `evaluate` with labels of every kind, on trained networks where there are any.

use std::path::{Path, PathBuf};

use e2e::{Host, models};
use prost::Message as _;
use serde_json::{Value, json};
use trt_onnx::proto::{DimValue, ModelProto, TypeValue};

/// Copies photographs with something in them, or says why not.
fn photographs(host: &Host, names: &[&str]) -> Option<()> {
    let Some(folder) = std::env::var_os("TRT_TEST_PHOTOS").map(PathBuf::from) else {
        test_support::skip("`TRT_TEST_PHOTOS` names no folder of photographs");
        return None;
    };
    for name in names {
        host.write(&format!("photos/{name}"), std::fs::read(folder.join(name)).unwrap());
    }
    Some(())
}

/// A fleet file with one model, `evaluate` last.
fn fleet(host: &Host, onnx: &Path, preprocess: &str, evaluate: &str) {
    let onnx = onnx.display();
    host.write(
        "trt-deploy.yaml",
        format!(
            "models:\n  net:\n    onnx: {onnx}\n    precision: int8\n    calibration: {{images: photos, preprocess: \
             {preprocess}, algorithm: minmax}}\n    evaluate: {evaluate}\n"
        ),
    );
}

fn file_name(sample: &Value) -> String {
    Path::new(sample.as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_classifier_is_right_by_fp32s_own_answers_as_folders_and_as_csv() {
    let Some(onnx) = test_support::shared("models/efficientnet_lite0.onnx") else { return };
    let host = Host::new();
    let names = ["fruits.jpg", "baboon.jpg", "orange.jpg", "apple.jpg", "building.jpg", "butterfly.jpg"];
    if photographs(&host, &names).is_none() {
        return;
    }
    let preprocess = "{resize: crop, scale: 1.0, mean: [127.0], std: [128.0]}";
    let samples = format!("images: photos, preprocess: {preprocess}");
    fleet(&host, &onnx, preprocess, &format!("{{{samples}}}"));
    host.run(&["calibrate"]).ok();
    // Without any configuration a classifier is known by its output.
    let found = host.run(&["evaluate", "net", "--json", "--pictures", "drawn"]).ok().json();
    assert_eq!(found["evaluation"]["task"]["kind"], "classification", "{found}");
    assert_eq!(found["evaluation"]["agreement"]["what"], "top-1 agreement");
    let pictures = found["pictures"].as_array().unwrap();
    assert_eq!(pictures.len(), names.len());
    let mut csv = String::from("file,class\n");
    for picture in pictures {
        let (name, class) = (file_name(&picture["sample"]), &picture["fp32"]["classes"][0][0]);
        csv += &format!("{name},{class}\n");
        host.write(
            &format!("labelled/{class}/{name}"),
            std::fs::read(host.path(&format!("photos/{name}"))).unwrap(),
        );
        assert!(host.path(&format!("drawn/{}.png", picture["file"].as_str().unwrap())).is_file());
    }
    host.write("classes.csv", csv);
    for evaluate in [
        format!("{{images: 'labelled/**/*.jpg', preprocess: {preprocess}, labels: {{folders: labelled}}}}"),
        format!("{{{samples}, labels: {{csv: classes.csv}}}}"),
    ] {
        fleet(&host, &onnx, preprocess, &evaluate);
        let found = host.run(&["evaluate", "net", "--json"]).ok().json();
        let task = &found["evaluation"]["task"];
        assert_eq!(
            (&task["fp32"]["samples"], &task["fp32"]["top1"]),
            (&json!(6), &json!(6)),
            "{evaluate}: {task}"
        );
        // What INT8 gets right is what it agrees on.
        assert_eq!(task["int8"]["top1"], task["agreement"]["top1"], "{task}");
    }
}

#[test]
fn a_detector_has_map50_of_1_by_fp32s_own_boxes_and_int8_less() {
    let Some(onnx) = std::env::var_os("TRT_TEST_YOLOV5S").map(PathBuf::from) else {
        return test_support::skip("`TRT_TEST_YOLOV5S` names no detector (scripts/make-yolov5s)");
    };
    let host = Host::new();
    if photographs(&host, &["messi5.jpg", "home.jpg", "fruits.jpg", "board.jpg"]).is_none() {
        return;
    }
    let samples = "images: photos, preprocess: yolo";
    fleet(&host, &onnx, "yolo", &format!("{{{samples}, detector: yolov5}}"));
    host.run(&["calibrate"]).ok();
    let found = host.run(&["evaluate", "net", "--json", "--pictures", "drawn", "--rank", "5"]).ok().json();
    assert!(found["ranking"].as_array().unwrap().len() > 5, "all are ranked");
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for (id, picture) in found["pictures"].as_array().unwrap().iter().enumerate() {
        images.push(json!({"id": id, "file_name": file_name(&picture["sample"])}));
        for found in picture["fp32"]["boxes"].as_array().unwrap() {
            let side = |name: &str| found["bbox"][name].as_f64().unwrap();
            let (left, top) = (side("left"), side("top"));
            let bbox = [left, top, side("right") - left, side("bottom") - top];
            annotations.push(json!({"image_id": id, "category_id": found["class"], "bbox": bbox}));
        }
    }
    assert!(annotations.len() >= 5, "{annotations:?}");
    let categories: Vec<Value> = (0..80).map(|id| json!({"id": id, "name": format!("class {id}")})).collect();
    let coco = json!({"images": images, "annotations": annotations, "categories": categories});
    host.write("boxes.json", coco.to_string());
    host.write("names.txt", (0..80).map(|id| format!("class {id}\n")).collect::<String>());
    let described = "{boxes: {from: 0}, objectness: {from: 4}, classes: {from: 5}}";
    let [known, same] = ["yolov5", described].map(|detector| {
        let labels = "labels: {coco: boxes.json}, names: names.txt";
        fleet(&host, &onnx, "yolo", &format!("{{{samples}, detector: {detector}, {labels}}}"));
        host.run(&["evaluate", "net", "--json"]).ok().json()["evaluation"]["task"].clone()
    });
    assert_eq!(known, same, "the format by name and as described");
    assert_eq!(known["map50-fp32"], 1.0, "{known}");
    let int8 = known["map50-int8"].as_f64().unwrap();
    assert!((0.2..1.0).contains(&int8), "{int8}");
    let told = host.run(&["evaluate", "net"]).ok().stdout;
    assert!(told.contains("mAP50: FP32 100.00 %") && told.contains("class 0"), "{told}");
}

#[test]
fn a_segmentation_is_judged_by_a_folder_of_masks() {
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 4, 2));
    models::photographs(&host.path("photos"), 4);
    for number in 0..3 {
        let mask = image::GrayImage::from_fn(96, 64, |x, _| image::Luma([(x / 24) as u8]));
        let path = host.write(&format!("masks/photo{number:03}.png"), "");
        mask.save(path).unwrap();
    }
    let evaluate = "{images: photos, preprocess: {size: 16}, labels: {masks: masks}, names: [a, b, c, d]}";
    fleet(&host, Path::new("net.onnx"), "{size: 16}", evaluate);
    host.run(&["calibrate"]).ok();
    let found = host.run(&["evaluate", "net", "--json"]).ok().json();
    let task = &found["evaluation"]["task"];
    assert_eq!((&task["kind"], &task["labelled"]), (&json!("segmentation"), &json!(3)), "{task}");
    assert_eq!(task["classes"].as_array().unwrap().len(), 4, "{task}");
    assert!(task["miou-fp32"].as_f64().is_some_and(|miou| miou > 0.0 && miou < 1.0), "{task}");
}

#[test]
fn a_fixed_batch_changes_no_figure() {
    let host = Host::new();
    let one = models::convolutions(16, 4, 2);
    let mut four = ModelProto::decode(one.as_slice()).unwrap();
    for value in four.graph.iter_mut().flat_map(|graph| graph.input.iter_mut().chain(&mut graph.output)) {
        let Some(TypeValue::Tensor(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        else {
            panic!("no tensor")
        };
        tensor.shape.as_mut().unwrap().dim[0].value = Some(DimValue::Value(4));
    }
    host.write("net.onnx", one);
    host.write("four.onnx", four.encode_to_vec());
    models::photographs(&host.path("photos"), 6);
    let evaluate = "{images: photos, preprocess: {size: 16}}";
    fleet(&host, Path::new("net.onnx"), "{size: 16}", evaluate);
    host.run(&["calibrate"]).ok();
    let figures = |host: &Host| {
        let found = host.run(&["evaluate", "net", "--json"]).ok().json();
        (found["evaluation"]["samples"].clone(), found["evaluation"]["mean-sqnr"].as_f64().unwrap())
    };
    let alone = figures(&host);
    let text = format!(
        "models:\n  net:\n    onnx: four.onnx\n    precision: int8\n    calibration: {{table: calibration/net.cache}}\n    \
         evaluate: {evaluate}\n"
    );
    host.write("trt-deploy.yaml", text);
    let of_four = figures(&host);
    assert_eq!(alone.0, of_four.0);
    assert!((alone.1 - of_four.1).abs() < 1e-3, "{alone:?} {of_four:?}");
}
