//! The Deployment as it stands, run by podman in place of a kubelet, and looked at from outside through /proc.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::image::{container_tool, image};
use crate::load::{Load, Order, key, secret, signer_of, without_failure};
use crate::manifests::{find, kind, object};
use crate::support::client::Client;
use crate::support::clock::{eventually, now};
use crate::support::keys::TokenKey;
use crate::support::raw::Connection;
use crate::tools::{free_port, kustomizations, loopback, scratch, stdout_of};

const POD: &str = "usersig-pod-0";
const CONTAINER: &str = "usersig-pod-0-usersig";

/// The user and group of the image.
const NOBODY: u32 = 65532;

#[test]
fn the_deployment_runs_locked_up_follows_its_secret_and_drains() {
    let overlay = kustomizations().iter().find(|built| built.name == "local").expect("the overlay");
    let manifests = &overlay.documents;
    let session_secret = find(manifests, "Secret", "usersig-session")["stringData"]["jwt"].as_str().expect("a secret");
    let claims = json!({ "sub": "alice", "exp": now() + 3600 });
    let session = TokenKey::secret(session_secret.as_bytes()).token(Algorithm::HS256, claims);
    let pod = Pod::play(manifests);

    assert_locked_up(Pod::process());
    let container = &find(manifests, "Deployment", "usersig")["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asks = &container[probe]["httpGet"];
        let client = if asks["port"] == "ops" { &pod.ops } else { &pod.public };
        assert_eq!(client.get(asks["path"].as_str().expect("a path")).send().status, 200, "{probe}");
    }
    stdout_of(container_tool("podman").args(["exec", CONTAINER, "/usersig", "healthcheck"]));
    let answer = pod.public.post("/v1/usersig").bearer(&session).send().ok();
    let signer = signer_of(answer["userSig"].as_str().expect("a ticket"), &[key('0')]);
    assert_eq!(signer.as_deref(), Some(key('0').fingerprint()));

    let keys = vec![key('0'), key('a')];
    let load = Load::start(4, Order { addresses: vec![pod.public.address], session, keys, ends_when_told: true });
    load.wait_for_answers(100);
    Pod::secrets("usersig-app").replace("1400000000", &secret('a'));
    let series = format!("usersig_key_info{{app=\"1400000000\",fingerprint=\"{}\"}} 1", key('a').fingerprint());
    eventually("the new key is used", || pod.ops.get("/metrics").send().text().contains(&series).then_some(()));
    load.wait_for_answers(100);

    stdout_of(container_tool("podman").args(["stop", "--time", "25", CONTAINER]));
    let outcomes = load.end();
    assert!(without_failure(&outcomes) > 200);
    let rotated = [key('0'), key('a')].map(|key| key.fingerprint().to_owned());
    for outcome in outcomes {
        assert_eq!(outcome.signers, rotated, "each client sees the old key, then the new one");
    }
    let state: Value = serde_json::from_str(&inspect("{{json .State}}")).expect("JSON");
    assert_eq!(state["ExitCode"], 0, "{state}");
    assert_eq!(state["OOMKilled"], false, "{state}");
}

/// Holds the process against the restricted profile, as the kernel sees it.
fn assert_locked_up(process: u32) {
    let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).expect("a process");
    let status = read("status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name} in {status}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for ids in ["Uid", "Gid"] {
        assert_eq!(field(ids), [NOBODY.to_string().as_str(); 4].join(" "));
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Seccomp"), "2", "a filter");
    let mounts = read("mountinfo");
    let options_of = |target: &str| {
        let mut mount =
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|mount| mount[4] == target);
        mount.next().unwrap_or_else(|| panic!("{target} in {mounts}"))[5].split(',').collect::<Vec<_>>()
    };
    for target in ["/", "/etc/usersig", "/run/secrets/usersig", "/run/secrets/usersig-session"] {
        assert!(options_of(target).contains(&"ro"), "{target} can be written");
    }
    assert_eq!(memory_limit(&read("cgroup")), (192 * 1024 * 1024).to_string());
    assert!(logs().contains("\"workers\":2"), "a worker for each CPU of the limit: {}", logs());
}

/// The limit of a memory cgroup of either version.
fn memory_limit(cgroups: &str) -> String {
    let path_of = |controllers: &str| {
        cgroups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            (fields.next()? == controllers).then(|| fields.next())?
        })
    };
    let file = match path_of("memory") {
        Some(path) => format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"),
        None => format!("/sys/fs/cgroup{}/memory.max", path_of("").expect("a cgroup")),
    };
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().to_owned()
}

/// The pod of the Deployment, removed with everything of it in the end.
struct Pod {
    public: Client,
    ops: Client,
}

impl Pod {
    fn play(manifests: &[Value]) -> Self {
        remove();
        image();
        let (public, ops) = (Client::new(loopback(free_port())), Client::new(loopback(free_port())));
        let kinds = ["ConfigMap", "Secret", "Deployment"];
        let mut documents: Vec<Value> =
            manifests.iter().filter(|document| kinds.contains(&kind(document))).cloned().collect();
        for document in &mut documents {
            match kind(document) {
                "Deployment" => adapt(document, [public.address.port(), ops.address.port()]),
                // Podman reads no stringData, and versions differ on base64; the test lays the files itself.
                "Secret" => {
                    let keys: Vec<String> = object(document, "/stringData").keys().cloned().collect();
                    object(document, "").remove("stringData");
                    document["data"] = keys.into_iter().map(|key| (key, json!("bm90aGluZw=="))).collect();
                }
                _ => {}
            }
        }
        let file = scratch("pod").join("play.yaml");
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        fs::write(&file, text.join("\n---\n")).expect("a file");
        stdout_of(container_tool("podman").args(["kube", "play", "--start=false"]).arg(&file));
        let pod = Self { public, ops };
        for document in manifests.iter().filter(|document| kind(document) == "Secret") {
            let volume = Pod::secrets(document["metadata"]["name"].as_str().expect("a name"));
            for (name, value) in document["stringData"].as_object().expect("data") {
                volume.replace(name, value.as_str().expect("text"));
            }
        }
        stdout_of(container_tool("podman").args(["pod", "start", POD]));
        eventually("the pod is ready", || {
            assert_eq!(inspect("{{.State.Status}}"), "running", "{}", logs());
            // The published port takes connections before the service does.
            let mut connection = Connection::try_open(pod.ops.address).ok()?;
            connection.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
            connection.read().filter(|answer| answer.status == 200).map(|_| ())
        });
        pod
    }

    fn process() -> u32 {
        inspect("{{.State.Pid}}").parse().expect("a process id")
    }

    fn secrets(name: &str) -> SecretVolume {
        let path = stdout_of(container_tool("podman").args(["volume", "inspect", "--format", "{{.Mountpoint}}", name]));
        SecretVolume(PathBuf::from(path.trim()))
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", logs());
        }
        remove();
    }
}

/// What a cluster does by other means: where the image is, how many there are, and which ports are reached from outside;
/// and one user may ask as often as the load does.
fn adapt(deployment: &mut Value, ports: [u16; 2]) {
    object(deployment, "/spec").insert("replicas".to_owned(), json!(1));
    let env = deployment.pointer_mut("/spec/template/spec/containers/0/env").and_then(Value::as_array_mut);
    env.expect("variables").push(json!({ "name": "USERSIG__LIMIT__PER_USER", "value": "off" }));
    object(deployment, "/spec/template/spec/containers/0").insert("image".to_owned(), json!(crate::image::IMAGE));
    for (place, port) in ports.into_iter().enumerate() {
        let entry = object(deployment, &format!("/spec/template/spec/containers/0/ports/{place}"));
        entry.insert("hostPort".to_owned(), json!(port));
        entry.insert("hostIP".to_owned(), json!("127.0.0.1"));
    }
}

fn inspect(format: &str) -> String {
    stdout_of(container_tool("podman").args(["inspect", "--format", format, CONTAINER])).trim().to_owned()
}

fn logs() -> String {
    let output = container_tool("podman").args(["logs", "--tail", "20", CONTAINER]).output().expect("podman");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn remove() {
    let volumes = stdout_of(container_tool("podman").args(["volume", "ls", "--quiet"]));
    let ours = volumes.lines().filter(|name| name.starts_with("usersig-"));
    // What is not there need not be removed.
    let _ = container_tool("podman").args(["pod", "rm", "--force", POD]).output();
    let _ = container_tool("podman").args(["volume", "rm", "--force"]).args(ours).output();
}

/// A Secret's directory, laid out and changed as a kubelet does it: files are links through `..data`, which is swapped.
struct SecretVolume(PathBuf);

impl SecretVolume {
    fn replace(&self, name: &str, content: &str) {
        let generation = fs::read_dir(&self.0).expect("a volume").count();
        let data = format!("..generation_{generation}");
        fs::create_dir(self.0.join(&data)).expect("a directory");
        let file = self.0.join(&data).join(name);
        fs::write(&file, content).expect("a secret");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o440)).expect("a mode");
        chown(&file, Some(0), Some(NOBODY)).expect("a group");
        self.link(&data, "..data");
        self.link(&format!("..data/{name}"), name);
    }

    /// Puts a link in the place of whatever is there, in one step.
    fn link(&self, target: &str, name: &str) {
        let next = self.0.join("..next");
        symlink(target, &next).expect("a link");
        fs::rename(&next, self.0.join(Path::new(name))).expect("a swap");
    }
}
