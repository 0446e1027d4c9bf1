use super::*;

/// The keys of the file, in the order of `configs/agent.yaml`.
const KEYS: [&str; 10] = [
    "store",
    "socket",
    "tensorrt-dir",
    "worker",
    "runtimes",
    "plugins",
    "build-for",
    "hooks",
    "facts-root",
    "build-timeout-minutes",
];

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
        ("stor: /x", "config.yaml:1:1: unknown field `stor`"),
        ("build-timeout-minutes: 18446744073709551615", "`build-timeout-minutes` is longer than a year"),
        ("build-timeout-minutes: 525601", "longer than a year: 525601"),
        ("hooks: {restart: {argv: [x], timeout: 18446744073709551615}}", "`hooks.restart.timeout`"),
        ("hooks: {a: {argv: [x]}, a: {argv: [y]}}", "hooks: the key occurs twice: `a`"),
        ("plugins: {a: /x, a: /y}", "plugins: the key occurs twice: `a`"),
        ("runtimes: {a: {worker: [x]}, a: {worker: [y]}}", "runtimes: the key occurs twice: `a`"),
        ("store: /x\nstore: /y", "`store`"),
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
        ("runtimes: {triton: {image: x}}", "config.yaml:1:21: runtimes.triton: unknown field `image`"),
        ("runtimes: {../triton: {worker: [docker]}}", "config.yaml:1:11: runtimes: a name has"),
        ("plugins: {yolo: libyolo.so}", "`plugins.yolo`"),
        ("plugins: {/opt/libyolo.so: /opt/libyolo.so}", "config.yaml:1:10: plugins: a name has"),
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
    let empty = resolve("{}", false).unwrap().hook(&"reboot".parse().unwrap()).unwrap_err();
    assert!(empty.hint.unwrap().ends_with("it defines none"));
    for (failure, name, key, known) in unknown {
        assert_eq!(failure.code, trt_wire::FailureCode::NotFound);
        assert!(failure.message.contains(name), "{failure}");
        let hint = failure.hint.unwrap();
        assert!(hint.contains(key) && hint.contains(known), "{hint}");
    }
}

#[test]
fn a_file_that_does_not_parse_is_told_with_its_place_and_a_hint_for_its_mistake() {
    for (text, message, hint) in [
        ("\nworker: docker run x", "config.yaml:2:9: worker: invalid type", "`worker: [docker, run, …]`"),
        ("runtimes: {t: {worker: sh}}", "runtimes.t.worker: invalid type", "`worker: [docker, run, …]`"),
        ("hooks: {r: {argv: reboot}}", "hooks.r.argv: invalid type", "`argv: [systemctl, restart, app]`"),
        ("build-for: [8, 6]", "build-for: invalid type", "`build-for: \"8.6\"`"),
        ("stor: /x", "unknown field `stor`", "known keys are: store, socket"),
        ("runtimes: {t: {image: x}}", "unknown field `image`", "known keys are: tensorrt-dir, worker"),
        ("hooks: {a: {argv: [x]}, a: {argv: [y]}}", "occurs twice", "remove one of the two"),
        ("store: /x\nstore: /y", "duplicate", "remove one of the two"),
        ("plugins: {a/b: /x}", "plugins: a name has", "64 characters"),
        ("build-timeout-minutes: soon", "invalid type", "configs/agent.yaml"),
        ("store: [", "config.yaml:", "configs/agent.yaml"),
    ] {
        let error = resolve(text, false).unwrap_err();
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(error.to_string().matches("line").count() == 0, "the place is said once: {error}");
        assert!(error.hint().unwrap().contains(hint), "{text}: {}", error.hint().unwrap());
    }
}

#[test]
fn sections_may_be_empty_and_a_year_is_not_too_long() {
    let config = resolve("hooks:\nplugins:\nruntimes:\nbuild-timeout-minutes: 525600", false).unwrap();
    assert!(config.hooks.is_empty() && config.plugins.is_empty() && config.runtimes.is_empty());
    assert_eq!(config.build_timeout, LONGEST);
}
