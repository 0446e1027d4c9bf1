use super::*;

fn resolve(text: &str, is_system: bool) -> Result<Config, ConfigError> {
    let file = Config::parse(text.as_bytes(), Path::new("config.yaml"))?;
    Config::resolve(file, is_system, Some("/home/nvidia".into()))
}

#[test]
fn an_empty_file_gives_the_defaults_of_its_place() {
    let user = resolve("", false).unwrap();
    assert_eq!(user.store, Path::new("/home/nvidia/.local/share/trt-agent"));
    assert_eq!(user.socket, Path::new("/home/nvidia/.local/share/trt-agent/agent.sock"));
    let system = resolve("", true).unwrap();
    assert_eq!(system.store, Path::new(SYSTEM_STORE));
    assert_eq!(system.socket, Path::new(SYSTEM_SOCKET));
}

#[test]
fn the_documented_reference_holds_every_key_and_nothing_else() {
    let text = include_str!("../../../configs/agent.yaml");
    let mut from = 0;
    for key in KEYS {
        let at = text[from..].find(&format!("\n{key}:"));
        from += at.unwrap_or_else(|| panic!("{key} is not documented, or not in the order of the list"));
    }
    resolve(text, true).unwrap();
}

#[test]
fn mistakes_are_named_with_a_hint() {
    for (text, words) in [
        ("stor: /x", "configuration is wrong"),
        ("build-for: \"eight\"", "eight"),
        ("hooks: {restart: {argv: []}}", "restart"),
        ("store: ~/engines", "~/engines"),
        ("socket: agent.sock", "agent.sock"),
        ("tensorrt-dir: lib", "`tensorrt-dir`"),
        ("worker: [./worker.sh]", "./worker.sh"),
        ("worker: [\"\"]", "`worker`"),
        ("runtimes: {triton: {}}", "runtime `triton`"),
        ("runtimes: {triton: {worker: []}}", "runtime `triton`"),
        ("runtimes: {triton: {tensorrt-dir: lib}}", "`runtimes.triton.tensorrt-dir`"),
        ("runtimes: {triton: {worker: [bin/docker]}}", "`runtimes.triton.worker`"),
        ("runtimes: {triton: {image: x}}", "configuration is wrong"),
        ("runtimes: {../triton: {worker: [docker]}}", "configuration is wrong"),
        ("plugins: {yolo: libyolo.so}", "`plugins.yolo`"),
        ("plugins: {/opt/libyolo.so: /opt/libyolo.so}", "configuration is wrong"),
    ] {
        let error = resolve(text, false).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn what_is_not_defined_cannot_be_named_and_the_failure_lists_what_can() {
    let text = "tensorrt-dir: /usr/lib
runtimes: {triton: {worker: [docker, run]}, old: {tensorrt-dir: /opt/8}}
plugins: {yolo: /opt/libyolo.so}
hooks: {restart: {argv: [x]}}";
    let config = resolve(text, false).unwrap();
    assert_eq!(config.runtime(None).unwrap().tensorrt_dir.as_deref(), Some(Path::new("/usr/lib")));
    let triton = config.runtime(Some(&"triton".parse().unwrap())).unwrap();
    assert_eq!((&triton.worker[..], &triton.tensorrt_dir), (&["docker".into(), "run".into()][..], &None));
    assert_eq!(config.plugin_paths(&["yolo".parse().unwrap()]).unwrap(), [Path::new("/opt/libyolo.so")]);
    let unknown = [
        (
            config.runtime(Some(&"tritn".parse().unwrap())).unwrap_err(),
            "tritn",
            "`runtimes`",
            "[old, triton]",
        ),
        (config.plugin_paths(&["yolov9".parse().unwrap()]).unwrap_err(), "yolov9", "`plugins`", "[yolo]"),
        (config.hook(&"reboot".parse().unwrap()).unwrap_err(), "reboot", "`hooks`", "[restart]"),
    ];
    for (failure, name, key, known) in unknown {
        assert_eq!(failure.code, trt_wire::FailureCode::NotFound);
        assert!(failure.message.contains(name), "{failure}");
        let hint = failure.hint.unwrap();
        assert!(hint.contains(key) && hint.contains(known), "{hint}");
    }
}
