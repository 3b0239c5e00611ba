//! The image: linted, built from a binary without any base image, small, and the same each time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::manifests::checkov;
use crate::tools::{python_tool, read, repository, scratch, static_binary, stdout_of};

/// The name that the manifests give the image.
pub(crate) const IMAGE: &str = concat!("localhost/usersig:", env!("CARGO_PKG_VERSION"));

/// The most that an image may weigh, in bytes.
const LARGEST: u64 = 12_000_000;

/// Settings with which containers run on a machine without systemd.
pub(crate) fn containers_conf() -> PathBuf {
    repository("tests/deploy/containers.conf")
}

/// A container tool with these settings.
pub(crate) fn container_tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("CONTAINERS_CONF", containers_conf());
    command
}

/// Builds the image once and returns its id.
pub(crate) fn image() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| build(&context(&scratch("image")), "docker", IMAGE))
}

/// The directory from which the target `prebuilt` is built.
fn context(directory: &Path) -> PathBuf {
    fs::copy(static_binary(), directory.join("usersig")).expect("the binary");
    fs::copy("/etc/ssl/certs/ca-certificates.crt", directory.join("ca-certificates.crt")).expect("the certificates");
    directory.to_owned()
}

fn build(context: &Path, format: &str, tag: &str) -> String {
    let id = stdout_of(
        container_tool("buildah")
            .args(["bud", "--quiet", "--format", format, "--timestamp", "1700000000", "--target", "prebuilt"])
            .args(["--no-cache", "--build-arg", concat!("VERSION=", env!("CARGO_PKG_VERSION")), "--tag", tag, "--file"])
            .arg(repository("deploy/Dockerfile"))
            .arg(context),
    );
    id.trim().to_owned()
}

#[test]
fn hadolint_and_checkov_find_nothing_in_the_dockerfile() {
    let dockerfile = repository("deploy/Dockerfile");
    stdout_of(python_tool("hadolint").arg(&dockerfile));
    let report = checkov(python_tool("checkov").args(["--framework", "dockerfile", "-f"]).arg(&dockerfile));
    assert!(report["summary"]["passed"].as_u64() > Some(10), "checked nothing: {}", report["summary"]);
}

#[test]
fn the_build_stage_builds_the_dependencies_as_it_builds_the_service() {
    let dockerfile = read("deploy/Dockerfile");
    let builds: Vec<&str> = dockerfile.lines().filter(|line| line.contains("cargo build")).collect();
    assert_eq!(builds.len(), 2);
    assert_eq!(builds[0], builds[1], "else the dependencies are built twice");
    assert!(builds[0].contains(" --locked --features otlp "));
    let copied =
        dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--")).collect::<Vec<_>>();
    assert_eq!(copied, ["COPY Cargo.toml Cargo.lock ./", "COPY src src"], "all that static_binary() builds from");
    let image =
        dockerfile.lines().find_map(|line| line.strip_prefix("FROM docker.io/library/rust:")?.split('-').next());
    let numbers = |version: &str| version.split('.').map(|part| part.parse().expect("a number")).collect::<Vec<u32>>();
    assert!(numbers(image.expect("a base image")) >= numbers(env!("CARGO_PKG_RUST_VERSION")));
}

#[test]
fn the_image_is_small_and_holds_two_files() {
    let info = inspect(image());
    let size = info["Size"].as_u64().expect("a size");
    assert!(size <= LARGEST, "the image weighs {size} bytes");
    let archive = scratch("archive").join("image.tar");
    stdout_of(
        container_tool("podman")
            .args(["save", "--quiet", "--format", "docker-archive", "--output"])
            .arg(&archive)
            .arg(image()),
    );
    let list = |archive: &Path| stdout_of(Command::new("tar").arg("-tf").arg(archive));
    let directory = archive.parent().expect("a directory");
    stdout_of(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(directory));
    let layers = list(&archive);
    let layers = layers.lines().filter(|name| name.strip_suffix(".tar").is_some_and(|digest| !digest.contains('/')));
    let mut files: Vec<String> =
        layers.flat_map(|layer| list(&directory.join(layer)).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    files.retain(|name| !name.ends_with('/'));
    files.sort();
    assert_eq!(files, ["etc/ssl/certs/ca-certificates.crt", "usersig"]);
}

#[test]
fn the_image_says_what_it_is_and_runs_as_nobody() {
    let image = inspect(image());
    let config = &image["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usersig"]));
    assert_eq!(image["Healthcheck"]["Test"], serde_json::json!(["CMD", "/usersig", "healthcheck"]));
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
    let run = ["run", "--rm", "--runtime", "runc", "--network", "none", "--read-only", IMAGE, "--version"];
    assert!(stdout_of(container_tool("podman").args(run)).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_same_binary_makes_the_same_image() {
    // Docker's own format names the container that it was built in, which is another each time; OCI's does not.
    let build = |directory: &Path| build(directory, "oci", "localhost/usersig:reproduced");
    let (once, again) = (context(&scratch("image-once")), context(&scratch("image-again")));
    // Neither the age of a file nor its mode outside may matter.
    fs::set_permissions(again.join("usersig"), PermissionsExt::from_mode(0o700)).expect("a mode");
    stdout_of(Command::new("touch").args(["-d", "2001-01-01"]).arg(again.join("usersig")));
    assert_eq!(build(&once), build(&again));
}

fn inspect(image: &str) -> Value {
    let text = stdout_of(container_tool("podman").args(["image", "inspect", image]));
    serde_json::from_str::<Vec<Value>>(&text).expect("JSON").remove(0)
}
