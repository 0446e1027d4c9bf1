//! The error texts.

use std::path::Path;

use insta::assert_snapshot;

use super::*;

const MODEL: &str = "models:\n  yolo: {onnx: yolo.onnx, precision: fp16}\n";

#[test]
fn unknown_keys_have_a_place_and_the_nearest_known_key() {
    assert_snapshot!(fails("models:\n  yolo:\n    onxx: yolo.onnx\n    precision: fp16\n"), @r#"
        trt-deploy.yaml:3:5: unknown key in `models.yolo`: `onxx`
          hint: did you mean `onnx`?
        "#);
    assert_snapshot!(fails("modles: {}\n"), @r#"
        trt-deploy.yaml:1:1: unknown key: `modles`
          hint: did you mean `models`?
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, zzz: 1}}"), @r#"
        trt-deploy.yaml:1:40: unknown key in `models.m`: `zzz`
          hint: known keys: `onnx`, `precision`, `shapes`, `workspace`, `on-unsupported`, `other-layers`, `keep`, `dla`, `optimization-level`, `backend`, `plugins`, `runtime`, `calibration`, `evaluate`, `verify`, `hook`
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, shapes: {x: {min: [1], optt: [1], max: [1]}}}}"), @r#"
        trt-deploy.yaml:1:63: unknown key in `models.m.shapes.x`: `optt`
          hint: did you mean `opt`?
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, calibration: {images: a, preprocess: {sise: 3}}}}"), @r#"
        trt-deploy.yaml:1:78: unknown key in `models.m.calibration.preprocess`: `sise`
          hint: did you mean `size`?
        "#);
}

#[test]
fn unknown_words_and_missing_keys_have_a_place() {
    assert_snapshot!(fails("models:\n  yolo: {onnx: a, precision: int4}\n"), @r#"
        trt-deploy.yaml:2:30: `models.yolo.precision` cannot be: `int4`
          hint: did you mean `int8`?
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, calibration: {images: a, preprocess: yollo}}}"), @r#"
        trt-deploy.yaml:1:77: `models.m.calibration.preprocess` cannot be: `yollo`
          hint: did you mean `yolo`?
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, calibration: {images: a, algorithm: entropi}}}"), @r#"
        trt-deploy.yaml:1:76: `models.m.calibration.algorithm` cannot be: `entropi`
          hint: did you mean `entropy`?
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, other-layers: int8}}"), @r#"
        trt-deploy.yaml:1:54: `models.m.other-layers` cannot be: `int8`
          hint: known values: `fp16`, `fp32`
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, backend: trtexc}}"), @r#"
        trt-deploy.yaml:1:49: `models.m.backend` cannot be: `trtexc`
          hint: did you mean `trtexec`?
        "#);
    assert_snapshot!(fails("models:\n  yolo: {precision: int8}\n"), @r#"
        trt-deploy.yaml:2:9: a key is missing in `models.yolo`: `onnx`
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
}

#[test]
fn the_merge_key_is_refused_everywhere() {
    assert_snapshot!(fails("devices:\n  a: &a {user: ada}\n  b:\n    <<: *a\n"), @r#"
        trt-deploy.yaml:4:5: the merge key `<<` is refused, since YAML 1.2 has none and it hides what a device gets
          hint: put what all devices share below `defaults:`, or repeat whole values with `&anchor` and `*alias`
        "#);
    for text in [
        "<<: {}",
        "devices: {<<: {}}",
        "devices: {a: {labels: {<<: {a: b}}}}",
        "groups: {<<: {a: []}}",
        "models: {m: {onnx: a, precision: fp16, shapes: {<<: {}}}}",
        "models: {m: {onnx: a, precision: int8, calibration: {images: a, preprocess: {\"<<\": {}}}}}",
    ] {
        assert!(fails(text).contains("the merge key `<<` is refused"), "{text}");
    }
}

#[test]
fn duplicate_keys_and_tags_are_refused() {
    assert_snapshot!(fails("devices:\n  nano: {}\n  orin: {}\n  nano: {}\n"), @r#"
        trt-deploy.yaml:4:3: the key occurs twice in `devices`: `nano`
          hint: remove one of the two
        "#);
    assert_snapshot!(fails("models: {}\nmodels: {}\n"), @r#"
        trt-deploy.yaml:2:1: the key occurs twice: `models`
          hint: remove one of the two
        "#);
    assert_snapshot!(fails("devices: !include devices.yaml\n"), @r#"
        trt-deploy.yaml:1:10: tags mean nothing here: `!include`
          hint: remove the tag, or put the value in quotes
        "#);
}

#[test]
fn shapes_that_tensorrt_would_refuse_are_refused_with_their_path() {
    let shape = |shape: &str| {
        fails(format!(
            "models:\n  yolo:\n    onnx: a\n    precision: fp16\n    shapes:\n      images: {shape}\n"
        ))
    };
    assert_snapshot!(shape("{min: [1, 3], opt: [1, 3, 9], max: [1, 3, 9]}"), @r#"
        trt-deploy.yaml:6:15: models.yolo.shapes.images: `min`, `opt` and `max` must have as many dimensions each, not: 2 / 3 / 3
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(shape("{min: [1, 640], opt: [1, 320], max: [1, 640]}"), @r#"
        trt-deploy.yaml:6:15: models.yolo.shapes.images: dimension 1 must satisfy `min` <= `opt` <= `max`, not: 640 / 320 / 640
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(shape("[1, 3, -1, -1]"), @r#"
        trt-deploy.yaml:6:15: models.yolo.shapes.images: every dimension must be a positive number, not: -1
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(shape("{min: [1], opt: [1]}"), @r#"
        trt-deploy.yaml:6:15: a key is missing in `models.yolo.shapes.images`: `max`
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(shape("640"), @r#"
        trt-deploy.yaml:6:15: models.yolo.shapes.images: invalid type: integer `640`, expected `{min: [...], opt: [...], max: [...]}`, or one list such as `[1, 3, 640, 640]`
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
}

#[test]
fn values_beyond_their_limits_are_refused_with_their_path() {
    let calibration = |key: &str| {
        fails(format!("models: {{m: {{onnx: a, precision: int8, calibration: {{images: a, {key}}}}}}}"))
    };
    assert_snapshot!(calibration("count: 0"), @r#"
        trt-deploy.yaml:1:72: models.m.calibration.count: invalid value: integer `0`, expected a whole number from 1 to 4294967295
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(calibration("batch: -1"), @r#"
        trt-deploy.yaml:1:72: models.m.calibration.batch: invalid type: integer `-1`, expected a whole number from 1 to 4294967295
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(calibration("max-undecodable: 5"), @r#"
        trt-deploy.yaml:1:82: models.m.calibration.max-undecodable: invalid value: floating point `5.0`, expected a share from 0 to 1, such as 0.05
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, calibration: {images: [], preprocess: yolo}}}"), @r#"
        trt-deploy.yaml:1:62: models.m.calibration.images: invalid length 0, expected a folder, a glob, a list file, or a sequence of these
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, workspace: 512M}}"), @r#"
        trt-deploy.yaml:1:51: models.m.workspace: invalid value: string "512M", expected a size such as `512MiB` (KiB, MiB, GiB, KB, MB, GB), or a number of bytes
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, workspace: 99999999999GiB}}"), @r#"
        trt-deploy.yaml:1:51: models.m.workspace: invalid value: string "99999999999GiB", expected a size such as `512MiB` (KiB, MiB, GiB, KB, MB, GB), or a number of bytes
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("devices: {a: {port: 70000}}"), @r#"
        trt-deploy.yaml:1:21: devices.a.port: invalid value: integer `70000`, expected a whole number from 1 to 65535
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, dla: 2}}"), @r#"
        trt-deploy.yaml:1:45: models.m.dla: invalid value: integer `2`, expected a whole number from 0 to 1
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, optimization-level: 6}}"), @r#"
        trt-deploy.yaml:1:60: models.m.optimization-level: invalid value: integer `6`, expected a whole number from 0 to 5
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, keep: ['']}}"), @r#"
        trt-deploy.yaml:1:47: models.m.keep[0]: an activation has a name, and `*` stands for any, not: ""
          hint: choose another text
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, plugins: [a, b, a]}}"), @r#"
        trt-deploy.yaml:1:56: models.m.plugins[2]: named twice: `a`
          hint: remove one of the two
        "#);
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, runtime: /opt/x}}"), @r#"
        trt-deploy.yaml:1:49: models.m.runtime: a name has 1 to 64 characters out of `A-Z a-z 0-9 . _ -` and starts with a letter or a digit, not: "/opt/x"
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("models: {m: {onnx: '', precision: fp16}}"), @r#"
        trt-deploy.yaml:1:20: models.m.onnx: the path is empty
          hint: paths are absolute, relative to the fleet file, or start with `~/`
        "#);
    assert_snapshot!(fails("models: {m: {onnx: ~bob/a.onnx, precision: fp16}}"), @r#"
        trt-deploy.yaml:1:20: models.m.onnx: `~` means your own home folder and must be followed by `/`
          hint: paths are absolute, relative to the fleet file, or start with `~/`
        "#);
}

#[test]
fn sections_that_make_no_sense_are_refused() {
    let calibration = |keys: &str| {
        fails(format!("models:\n  m:\n    onnx: a\n    precision: int8\n    calibration: {{{keys}}}\n"))
    };
    assert_snapshot!(calibration(""), @r#"
        trt-deploy.yaml:5:5: models.m.calibration: neither `images`, `inputs` nor `table` is given
          hint: add `images: FOLDER`, or `table: FILE` for a table made elsewhere
        "#);
    assert_snapshot!(calibration("images: photos"), @r#"
        trt-deploy.yaml:5:5: models.m.calibration: `images` need `preprocess`, since a table fits one preprocessing only
          hint: add `preprocess: imagenet`, `yolo`, `plain` or a map; `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(calibration("images: photos, preprocess: yolo, table: t.cache"), @r#"
        trt-deploy.yaml:5:19: models.m.calibration: `table` and `images` exclude each other
          hint: remove `table` or `images`
        "#);
    for key in [
        "images: photos",
        "count: 5",
        "seed: 1",
        "batch: 2",
        "algorithm: minmax",
        "preprocess: yolo",
        "output: o",
        "max-undecodable: 0.5",
    ] {
        let name = key.split(':').next().unwrap_or_default();
        let text = calibration(&format!("table: t.cache, {key}"));
        assert!(
            text.contains(&format!("5:35: models.m.calibration: `table` and `{name}` exclude each other")),
            "{text}"
        );
    }
    assert_snapshot!(fails("devices:\n  here:\n    socket: /run/a.sock\n    user: ada\n"), @r#"
        trt-deploy.yaml:4:5: devices.here: `socket` and `user` exclude each other
          hint: remove `socket` or `user`
        "#);
}

#[test]
fn no_table_overwrites_another() {
    let calibration = "precision: int8, calibration: {images: a, preprocess: yolo, output: t.cache}";
    assert_snapshot!(fails(format!("models:\n  a: {{onnx: a, {calibration}}}\n  b: {{onnx: b, {calibration}}}\n")), @r#"
        trt-deploy.yaml:3:84: models.b.calibration.output: the table of this model is written to the same file: `a`
          hint: remove `output`, or name another file
        "#);
    // However the file is spelt, and whoever else names it.
    let other = calibration.replace("t.cache", "x/.././t.cache");
    assert!(
        fails(format!("models:\n  a: {{onnx: a, {calibration}}}\n  b: {{onnx: b, {other}}}\n"))
            .contains("the same file: `a`")
    );
    let table = "precision: int8, calibration: {table: ./t.cache}";
    assert_snapshot!(fails(format!("models:\n  a: {{onnx: a, {table}}}\n  b: {{onnx: b, {calibration}}}\n")), @r#"
        trt-deploy.yaml:2:54: models.a.calibration.table: this table is made here, for another model: `b`
          hint: copy the table to a file of its own, or give this model `images` and `preprocess` too
        "#);
}

#[test]
fn names_that_refer_to_nothing_come_with_the_nearest_one() {
    assert_snapshot!(fails(format!("{MODEL}devices:\n  nano:\n    models: [yolo, yollo]\n")), @r#"
        trt-deploy.yaml:5:20: devices.nano.models[1]: there is no such model: `yollo`
          hint: did you mean `yolo`?
        "#);
    assert_snapshot!(fails("devices: {nano: {}}\ngroups:\n  north:\n    - nano\n    - nanno\n"), @r#"
        trt-deploy.yaml:5:7: groups.north[1]: there is no such device or group: `nanno`
          hint: did you mean `nano`?
        "#);
    assert_snapshot!(fails("groups: {north: [zzz]}"), @r#"
        trt-deploy.yaml:1:18: groups.north[0]: there is no such device or group: `zzz`
          hint: the fleet file has no other devices and groups yet
        "#);
    assert_snapshot!(fails("devices: {nano: {}}\ngroups: {north: [nano, nano]}"), @r#"
        trt-deploy.yaml:2:24: groups.north[1]: named twice: `nano`
          hint: remove one of the two
        "#);
}

#[test]
fn names_that_cannot_be_used_are_refused_where_they_stand() {
    assert_snapshot!(fails("models:\n  my model: {onnx: a, precision: fp16}\n"), @r#"
        trt-deploy.yaml:2:3: models: a name has 1 to 64 characters out of `A-Z a-z 0-9 . _ -` and starts with a letter or a digit, not: "my model"
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("devices:\n  a: {}\n  -rf: {}\n"), @r#"
        trt-deploy.yaml:3:3: devices.-rf: a name has up to 64 characters out of `A-Z a-z 0-9 . _ -` and starts with a letter or a digit, not: "-rf"
          hint: choose another text
        "#);
    assert_snapshot!(fails("devices:\n  a:\n    host: ada@nano\n"), @r#"
        trt-deploy.yaml:3:11: devices.a.host: a host is a name or an address without spaces, `@` or `/`, not: "ada@nano"
          hint: the user goes into `user:`, the port into `port:`
        "#);
    assert_snapshot!(fails("devices:\n  a:\n    labels: {site: north pole}\n"), @r#"
        trt-deploy.yaml:3:20: devices.a.labels.site: a label is made of `A-Z a-z 0-9 . _ / -`, not: "north pole"
          hint: choose another text
        "#);
    assert_snapshot!(fails("devices:\n  a:\n    agent-socket: agent.sock\n"), @r#"
        trt-deploy.yaml:3:19: devices.a.agent-socket: a path on the device is absolute or starts with `~/`, not: "agent.sock"
          hint: choose another text
        "#);
    assert_snapshot!(fails("defaults: {user: a b}\ndevices:\n  nano: {}\n"), @r#"
        trt-deploy.yaml:3:3: devices.nano.user: a user has a name without spaces, `@` or `/`, not: "a b"
          hint: the user goes into `user:`, the port into `port:`
        "#);
    assert_snapshot!(fails(format!("{MODEL}    \n  b: {{onnx: b, precision: fp16, hook: a/b}}")), @r#"
        trt-deploy.yaml:4:39: models.b.hook: a name has 1 to 64 characters out of `A-Z a-z 0-9 . _ -` and starts with a letter or a digit, not: "a/b"
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
}

#[test]
fn groups_are_neither_circles_nor_devices() {
    assert_snapshot!(fails("groups:\n  z: [a]\n  a: [b]\n  b: [c, d]\n  c: []\n  d: [a]\n"), @r#"
        trt-deploy.yaml:3:3: groups.a: the group contains itself: a -> b -> d -> a
          hint: remove one of these groups from the one before it
        "#);
    assert_snapshot!(fails("groups: {a: [a]}\n"), @r#"
        trt-deploy.yaml:1:10: groups.a: the group contains itself: a -> a
          hint: remove one of these groups from the one before it
        "#);
    assert_snapshot!(fails("devices: {nano: {}}\ngroups:\n  nano: [nano]\n"), @r#"
        trt-deploy.yaml:3:3: groups.nano: there is a device of this name too: `nano`
          hint: rename the group or the device
        "#);
}

#[test]
fn a_long_chain_of_groups_is_no_problem() {
    let chain: String = (0..20_000).map(|n| format!("  g{n}: [g{}]\n", n + 1)).collect();
    let fleet = load(format!("devices: {{last: {{}}}}\ngroups:\n{chain}  g20000: [last]\n")).unwrap();
    assert_eq!(fleet.select(&["g0".into()], &[]).unwrap().len(), 1);
}

#[test]
fn files_that_are_no_fleet_file_are_told_apart() {
    assert_snapshot!(fails(""), @r#"
        trt-deploy.yaml: the file is empty
          hint: `trt-deploy init --force` writes a small one; `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("# nothing yet\n"), @r#"
        trt-deploy.yaml: the file is empty
          hint: `trt-deploy init --force` writes a small one; `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("---\n"), @r#"
        trt-deploy.yaml: the file is empty
          hint: `trt-deploy init --force` writes a small one; `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("devices:\n\tnano: {}\n"), @r#"
        trt-deploy.yaml:2:1: YAML is not indented with tabs
          hint: use spaces
        "#);
    assert_snapshot!(fails(b"devices:\n  n\xe4: {}\n"), @r#"
        trt-deploy.yaml:2:4: the file is not UTF-8 text
          hint: save the file as UTF-8
        "#);
    assert_snapshot!(fails("- a\n"), @r#"
        trt-deploy.yaml:1:1: invalid type: sequence, expected a map of `models`, `defaults`, `devices` and `groups`
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("models: [\n"), @r#"
        trt-deploy.yaml:2:1: did not find expected node content, while parsing a flow node
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("a: b: c\n"), @r#"
        trt-deploy.yaml:1:5: mapping values are not allowed in this context
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("devices: {}\n---\ndevices: {}\n"), @r#"
        trt-deploy.yaml:1:1: a fleet file is one YAML document; here another one follows
          hint: remove the second `---`
        "#);
    assert_snapshot!(fails("devices: *nobody\n"), @r#"
        trt-deploy.yaml:1:10: unknown anchor
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails("devices: {[a]: {}}\n"), @r#"
        trt-deploy.yaml:1:11: devices: invalid type: sequence, expected a word as key
          hint: `trt-deploy init --reference` prints every key with its meaning
        "#);
    assert_snapshot!(fails(" ".repeat((1 << 20) + 1)), @r#"
        trt-deploy.yaml: the file is larger than a fleet file may be, in bytes: 1048576
          hint: name the fleet file with `--config FILE`
        "#);
    let missing = Fleet::load(Path::new("none.yaml")).unwrap_err();
    assert_snapshot!(format!("{missing}\n{}", missing.hint().unwrap()), @r#"
        there is no fleet file: none.yaml
        `trt-deploy init` writes one; `--config FILE` names another
        "#);
    assert!(matches!(Fleet::load(Path::new("/")).unwrap_err(), FleetError::Read { .. }));
}

#[test]
fn aliases_repeat_values_but_cannot_blow_a_file_up() {
    let fleet = load("devices:\n  a: &all {user: ada, labels: {x: y}}\n  b: *all\n").unwrap();
    assert_eq!(fleet.devices["a"].labels, fleet.devices["b"].labels);
    assert_eq!(ssh(&fleet, "b").host, "b");

    let laughs: String = (1..12)
        .map(|n| format!("  l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 9].join(", ")))
        .collect();
    assert!(fails(format!("groups:\n  l0: &l0 [lol]\n{laughs}")).contains("aliases expand the file"));
    let wide = format!("groups:\n  a: &a [{}]\n  b: [{}]\n", "x, ".repeat(50_000), "*a, ".repeat(50_000));
    assert!(fails(wide).contains("aliases expand the file"));
    assert!(fails("groups:\n  a: &a [*a]\n").contains("recursion"));
}

#[test]
fn depth_is_refused_before_it_costs_time_or_stack() {
    assert!(fails(format!("groups: {}", "[".repeat(1_000_000))).contains("within each other"));
    assert!(fails(format!("groups: {}", "[".repeat(1_000))).starts_with(FILE_NAME));
    assert!(fails(format!("groups:\n  {}a", "- ".repeat(100_000))).starts_with(FILE_NAME));
}

#[test]
fn every_problem_of_names_is_found_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, "devices:\n  a: {models: [x]}\n  b: {models: [y]}\ngroups: {g: [c]}\n").unwrap();
    let (_, problems) = Fleet::load_all(&file).unwrap();
    let line = |problem: &FleetError| match problem {
        FleetError::At { at, .. } => at.line,
        other => panic!("no place: {other}"),
    };
    let lines: Vec<_> = problems.iter().map(line).collect();
    assert_eq!(lines, [2, 3, 4]);
}
