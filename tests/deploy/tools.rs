//! Runs the tools that check what is under `deploy/`.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// A path inside the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// An empty directory of the named test.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a scratch directory");
    path
}

/// A tool that `tests/install/deploy` put into its Python environment.
pub(crate) fn python_tool(name: &str) -> Command {
    let path = repository("target/tools/deploy/bin").join(name);
    assert!(path.exists(), "{} is missing: run tests/install/deploy", path.display());
    Command::new(path)
}

/// What `command` prints, which must succeed.
#[track_caller]
pub(crate) fn stdout_of(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?} ended with {}\n{out}\n{err}", output.status);
    out
}

/// The same with `input` on its standard input.
#[track_caller]
pub(crate) fn stdout_with(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("its output");
    writer.join().expect("the writer").expect("all was read");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?} ended with {}\n{out}\n{err}", output.status);
    out
}

/// The documents of a YAML text.
#[track_caller]
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    const TO_JSON: &str =
        "import json, sys, yaml; json.dump([d for d in yaml.safe_load_all(sys.stdin) if d], sys.stdout)";
    let json = stdout_with(python_tool("python").args(["-c", TO_JSON]), text);
    serde_json::from_str(&json).expect("JSON")
}

/// The documents of a YAML file of the repository.
#[track_caller]
pub(crate) fn yaml_file(path: &str) -> Vec<Value> {
    yaml(&read(path))
}

/// A file of the repository.
#[track_caller]
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A kustomization that can be applied.
pub(crate) struct Kustomization {
    /// The name of its directory, and what was left out of it.
    pub(crate) name: String,
    /// What is built from it.
    pub(crate) text: String,
    /// The same, parsed.
    pub(crate) documents: Vec<Value>,
}

/// The base, every overlay, and that for production without each component and without any; built once.
pub(crate) fn kustomizations() -> &'static [Kustomization] {
    static BUILT: OnceLock<Vec<Kustomization>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let overlays = fs::read_dir(repository("deploy/kubernetes/overlays")).expect("overlays");
        let mut paths: Vec<_> = overlays.map(|entry| entry.expect("an entry").path()).collect();
        assert!(paths.len() >= 2, "overlays are missing: {paths:?}");
        paths.push(repository("deploy/kubernetes/base"));
        let mut built: Vec<_> =
            paths.iter().map(|path| build(&path.file_name().expect("a name").to_string_lossy(), path)).collect();
        let text = read("deploy/kubernetes/overlays/production/kustomization.yaml");
        let components: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(COMPONENT)).collect();
        assert_eq!(components.len(), 4, "{components:?}");
        built.extend(components.iter().map(|component| production_without(&[component])));
        built.push(production_without(&components));
        built
    })
}

/// How the overlay for production names its components.
const COMPONENT: &str = "  - ../../components/";

/// The overlay for production, copied as the documents say, and its lines for some components taken out.
fn production_without(components: &[&str]) -> Kustomization {
    let name = format!("production without {}", components.join(", "));
    let directory = scratch(&name);
    for part in ["kubernetes", "grafana"] {
        stdout_of(Command::new("cp").arg("-r").arg(repository("deploy").join(part)).arg(&directory));
    }
    let overlay = directory.join("kubernetes/overlays/production");
    let file = overlay.join("kustomization.yaml");
    let mut text = fs::read_to_string(&file).expect("a kustomization");
    for component in components {
        text = text.replace(&format!("{COMPONENT}{component}\n"), "");
    }
    fs::write(file, text).expect("a kustomization");
    build(&name, &overlay)
}

fn build(name: &str, path: &Path) -> Kustomization {
    let text = stdout_of(python_tool("kubectl").arg("kustomize").arg(path));
    Kustomization { name: name.to_owned(), documents: yaml(&text), text }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A loopback address.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The static release binary, built as the Dockerfile builds it, from what its context has; built once.
pub(crate) fn static_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let dockerfile = read("deploy/Dockerfile");
        let value = |start: &str, end: &str| {
            let line = dockerfile.lines().rfind(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}"));
            line.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).expect("the rest of the line").to_owned()
        };
        let host = stdout_of(Command::new("rustc").args(["--print", "host-tuple"]));
        let build = value(" && cargo ", " \\").replace("\"$TARGET\"", host.trim());

        let context = scratch("build");
        for path in read("deploy/Dockerfile.dockerignore").lines().filter_map(|line| line.strip_prefix('!')) {
            let path = repository(path);
            if path.exists() {
                // With the times of the files, by which Cargo knows what it has built before.
                stdout_of(Command::new("cp").arg("-a").arg(path).arg(&context));
            }
        }
        let target = repository("target");
        stdout_of(
            Command::new(std::env::var_os("CARGO").expect("cargo runs this test"))
                .args(build.split(' '))
                .arg("--target-dir")
                .arg(&target)
                .current_dir(context)
                .env("RUSTFLAGS", value("ENV RUSTFLAGS=\"", "\""))
                .env_remove("CARGO_ENCODED_RUSTFLAGS"),
        );
        target.join(host.trim()).join("release/usersig")
    })
}
