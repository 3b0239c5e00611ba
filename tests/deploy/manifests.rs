//! The Kubernetes manifests: built, validated, and held against what they promise each other.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::tools::{Kustomization, kustomizations, python_tool, read, repository, scratch, stdout_of};

/// The oldest and the newest Kubernetes that the manifests are for.
const VERSIONS: [&str; 2] = ["1.27", "1.37"];

/// Kinds of operators, which Kubernetes itself has no schema of, and the npm package that has one.
const OF_OPERATORS: [(&str, &str); 3] = [
    ("ExternalSecret", "external-secrets"),
    ("PrometheusRule", "prometheus-operator"),
    ("ServiceMonitor", "prometheus-operator"),
];

#[test]
fn every_kustomization_is_valid_for_every_supported_version() {
    let directory = scratch("manifests");
    for Kustomization { name, text, documents } in kustomizations() {
        let own = documents.iter().filter(|document| package(document).is_none()).count();
        let file = directory.join("built.yaml");
        fs::write(&file, text).expect("a file");
        for version in VERSIONS {
            let output = python_tool("kubernetes-validate")
                .args(["--strict", "--kubernetes-version", version])
                .arg(&file)
                .output()
                .expect("kubernetes-validate");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(output.status.success(), "{name}: {said}");
            assert_eq!(said.matches(" passed for resource ").count(), own, "{name}: {said}");
        }
    }
}

#[test]
fn the_operators_know_every_key_of_their_kinds() {
    let directory = scratch("operators");
    let modules = repository("tests/deploy/crds/node_modules");
    symlink(&modules, directory.join("node_modules")).expect("a link");
    let mut program = String::new();
    let mut kinds = BTreeSet::new();
    for document in kustomizations().iter().flat_map(|built| &built.documents) {
        let (Some(package), kind) = (package(document), kind(document)) else { continue };
        let mut document = document.clone();
        // The class has these two itself, and its constructor takes the rest.
        let version = object(&mut document, "").remove("apiVersion").expect("a version");
        object(&mut document, "").remove("kind");
        if kinds.insert(kind) {
            let version = version.as_str().expect("text");
            writeln!(program, "import {{ {kind} }} from '@kubernetes-models/{package}/{version}/{kind}';")
                .expect("text");
        }
        // The compiler looks for unknown keys and missing ones, the program at the values.
        writeln!(program, "new {kind}({document}).validate();").expect("text");
    }
    assert_eq!(kinds.len(), OF_OPERATORS.len());
    fs::write(directory.join("check.mts"), program).expect("a program");
    let options = ["--strict", "--skipLibCheck", "--module", "nodenext", "--target", "esnext", "check.mts"];
    stdout_of(Command::new(modules.join(".bin/tsc")).args(options).current_dir(&directory));
    stdout_of(Command::new("node").arg("check.mjs").current_dir(&directory));
}

/// The package that has the schema of a kind of an operator.
fn package(document: &Value) -> Option<&'static str> {
    OF_OPERATORS.iter().find(|(known, _)| *known == kind(document)).map(|(_, package)| *package)
}

#[test]
fn checkov_finds_nothing_that_is_not_explained() {
    let directory = scratch("checkov");
    // The base alone names no namespace, and is not applied alone.
    for Kustomization { name, text, .. } in kustomizations().iter().filter(|built| built.name != "base") {
        fs::write(directory.join(format!("{name}.yaml")), text).expect("a file");
    }
    let report = checkov(python_tool("checkov").arg("--framework").arg("kubernetes").arg("-d").arg(&directory));
    assert!(report["summary"]["passed"].as_u64() > Some(150), "checked nothing: {}", report["summary"]);
    for skipped in report["results"]["skipped_checks"].as_array().expect("a list") {
        let why = skipped["check_result"]["suppress_comment"].as_str().unwrap_or_default();
        assert!(why.len() > 20, "{} is skipped without a reason", skipped["check_id"]);
    }
}

/// What checkov reports, as JSON, after nothing has failed. It looks nothing up elsewhere.
#[track_caller]
pub(crate) fn checkov(command: &mut Command) -> Value {
    let text = stdout_of(command.args(["--skip-download", "--soft-fail", "--output", "json"]));
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let failed = report["results"]["failed_checks"].as_array().expect("a list").iter();
    let failed: Vec<String> =
        failed.map(|check| format!("{} {} {}", check["check_id"], check["resource"], check["check_name"])).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    report
}

#[test]
fn selectors_select_the_pods() {
    for Kustomization { documents, .. } in kustomizations() {
        let pods = &find(documents, "Deployment", "usersig")["spec"]["template"]["metadata"]["labels"];
        let matches = |selector: &Value| {
            let selector = selector.as_object().expect("a selector");
            !selector.is_empty() && selector.iter().all(|(name, value)| pods[name] == *value)
        };
        for document in documents {
            let spec = &document["spec"];
            match kind(document) {
                "Service" => assert!(matches(&spec["selector"])),
                "Deployment" | "PodDisruptionBudget" => assert!(matches(&spec["selector"]["matchLabels"])),
                "NetworkPolicy" => assert!(matches(&spec["podSelector"]["matchLabels"])),
                "ServiceMonitor" => {
                    let service = find(documents, "Service", "usersig-ops");
                    let wanted = spec["selector"]["matchLabels"].as_object().expect("a selector");
                    assert!(wanted.iter().all(|(name, value)| service["metadata"]["labels"][name] == *value));
                    assert_eq!(spec["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
                    let job = spec["jobLabel"].as_str().expect("a label");
                    assert_eq!(service["metadata"]["labels"][job], "usersig", "the alerts expect this job");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn dns_is_reached_and_the_ops_port_is_for_the_scraper_alone() {
    const NAMESPACE: &str = "kubernetes.io/metadata.name";
    for Kustomization { name: place, documents, .. } in kustomizations() {
        let policy = &find(documents, "NetworkPolicy", "usersig")["spec"];
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]), "{place}");
        for entry in list(&policy["ingress"]) {
            let peers = list(&entry["from"]);
            // An entry without peers lets everybody in, one without ports to each of them, an empty selector too.
            assert!(!peers.is_empty(), "{place}: {entry}");
            for peer in peers {
                let names = peer["namespaceSelector"].as_object().is_some_and(|selector| !selector.is_empty());
                assert!(names && peer.get("ipBlock").is_none(), "{place}: {peer}");
            }
            let scrapes =
                |peer: &Value| peer["namespaceSelector"] == json!({ "matchLabels": { NAMESPACE: "monitoring" } });
            let expected = if peers.iter().all(scrapes) { "ops" } else { "http" };
            assert_eq!(entry["ports"], json!([{ "port": expected, "protocol": "TCP" }]), "{place}");
        }
        let dns = json!([{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }]);
        let mut reaches_dns = false;
        for entry in list(&policy["egress"]) {
            let peers = list(&entry["to"]);
            assert!(!peers.is_empty() && !list(&entry["ports"]).is_empty(), "{place}: {entry}");
            let to_dns = |peer: &Value| peer["podSelector"]["matchLabels"] == json!({ "k8s-app": "kube-dns" });
            reaches_dns |= peers.iter().any(to_dns) && entry["ports"] == dns;
        }
        assert!(reaches_dns, "{place}");
        for ingress in documents.iter().filter(|document| kind(document) == "Ingress") {
            assert!(!ingress.to_string().contains("ops"), "the ops listener is never exposed");
        }
    }
}

#[test]
fn every_port_that_is_named_is_one_of_the_container() {
    for Kustomization { name: place, documents, .. } in kustomizations() {
        let container = &find(documents, "Deployment", "usersig")["spec"]["template"]["spec"]["containers"][0];
        let ports = json!([{ "name": "http", "containerPort": 8080 }, { "name": "ops", "containerPort": 9090 }]);
        assert_eq!(container["ports"], ports, "{place}");
        let config = documents.iter().find_map(|document| document["data"]["usersig.toml"].as_str());
        let config = config.expect("a configuration");
        assert!(config.contains("\nlisten = \"0.0.0.0:8080\"\nops_listen = \"0.0.0.0:9090\"\n"), "{place}");

        let probes = ["startupProbe", "livenessProbe", "readinessProbe"];
        let mut named: Vec<&Value> = probes.iter().map(|probe| &container[probe]["httpGet"]["port"]).collect();
        assert_eq!(named, ["ops"; 3], "{place}");
        for document in documents {
            let spec = &document["spec"];
            match kind(document) {
                "Service" => named.extend(list(&spec["ports"]).iter().map(|port| &port["targetPort"])),
                "NetworkPolicy" => {
                    let ports = list(&spec["ingress"]).iter().flat_map(|entry| list(&entry["ports"]));
                    named.extend(ports.map(|port| &port["port"]));
                }
                // These name a port of the Service.
                "ServiceMonitor" => {
                    let known = names(&find(documents, "Service", "usersig-ops")["spec"]["ports"]);
                    assert!(list(&spec["endpoints"]).iter().all(|endpoint| known.contains(&&endpoint["port"])));
                }
                "Ingress" => {
                    let paths = list(&spec["rules"]).iter().flat_map(|rule| list(&rule["http"]["paths"]));
                    for service in paths.map(|path| &path["backend"]["service"]) {
                        let known = find(documents, "Service", service["name"].as_str().expect("a name"));
                        assert!(names(&known["spec"]["ports"]).contains(&&service["port"]["name"]), "{place}");
                    }
                }
                _ => {}
            }
        }
        assert!(named.len() >= 7, "{place}: {named:?}");
        let known = names(&container["ports"]);
        assert!(named.iter().all(|port| known.contains(port)), "{place}: {named:?}");
    }
}

/// The names in a list of ports.
fn names(ports: &Value) -> Vec<&Value> {
    list(ports).iter().map(|port| &port["name"]).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn the_deployment_fits_its_configuration() {
    for Kustomization { documents, .. } in kustomizations() {
        let deployment = find(documents, "Deployment", "usersig");
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let tag = container["image"].as_str().and_then(|image| image.rsplit(':').next());
        assert_eq!(tag, Some(env!("CARGO_PKG_VERSION")));

        let volumes = list(&pod["volumes"]);
        let name = volumes.iter().find_map(|volume| volume["configMap"]["name"].as_str()).expect("a ConfigMap");
        assert!(name.starts_with("usersig-"), "a changed configuration must roll the pods");
        let toml = find(documents, "ConfigMap", name)["data"]["usersig.toml"].as_str().expect("a configuration");
        assert!(toml.contains("drain = \"20s\""));
        assert_eq!(pod["terminationGracePeriodSeconds"], 25);

        for mount in list(&container["volumeMounts"]) {
            assert!(mount.get("subPath").is_none(), "a file mounted by subPath never changes");
            assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]));
        }
    }
}

#[test]
fn pods_are_replaced_spread_and_scaled_as_they_should() {
    for Kustomization { name: place, documents, .. } in kustomizations() {
        let spec = &find(documents, "Deployment", "usersig")["spec"];
        assert_eq!(spec["strategy"]["rollingUpdate"], json!({ "maxUnavailable": 0, "maxSurge": 1 }), "{place}");
        let pod = &spec["template"]["spec"];
        // Else each Service of the namespace adds variables, and one named `usersig` those that begin with USERSIG_.
        assert_eq!(pod["enableServiceLinks"], false, "{place}");
        let spread = list(&pod["topologySpreadConstraints"]);
        let over: Vec<&Value> = spread.iter().map(|constraint| &constraint["topologyKey"]).collect();
        assert_eq!(over, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"], "{place}");
        for constraint in spread {
            assert_eq!(constraint["labelSelector"], spec["selector"], "{place}");
            assert_eq!(constraint["matchLabelKeys"], json!(["pod-template-hash"]), "{place}");
            assert_eq!(constraint["whenUnsatisfiable"], "ScheduleAnyway", "{place}: one node must do");
        }
        let scaler = documents.iter().find(|document| kind(document) == "HorizontalPodAutoscaler");
        // The number of pods has one owner.
        assert_eq!(scaler.is_some(), spec.get("replicas").is_none(), "{place}");
        if let Some(scaler) = scaler {
            let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "usersig" });
            assert_eq!(scaler["spec"]["scaleTargetRef"], target, "{place}");
            assert!(scaler["spec"]["minReplicas"].as_u64() >= Some(2), "{place}");
        } else {
            assert!(spec["replicas"].as_u64() >= Some(2), "{place}");
        }
    }
}

#[test]
fn the_binary_accepts_every_configuration() {
    let directory = scratch("configurations");
    let mut configurations = vec![("compose".to_owned(), read("deploy/compose/usersig.toml"))];
    for Kustomization { name, documents, .. } in kustomizations() {
        let config = documents.iter().find_map(|document| document["data"]["usersig.toml"].as_str());
        configurations.push((name.clone(), config.expect("a configuration").to_owned()));
    }
    for (place, toml) in configurations {
        // The secrets are not where the container has them.
        for path in toml.split('"').filter_map(|text| text.strip_prefix("file:/")) {
            let file = directory.join(path);
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            fs::write(&file, "0123456789abcdef".repeat(4)).expect("a secret");
        }
        let file = directory.join("usersig.toml");
        fs::write(&file, toml.replace("file:/", &format!("file:{}/", directory.display()))).expect("a file");
        let said = stdout_of(Command::new(env!("CARGO_BIN_EXE_usersig")).arg("check").arg("--config").arg(&file));
        assert!(said.contains("ok"), "{place}: {said}");
    }
}

/// The kind of a manifest.
pub(crate) fn kind(document: &Value) -> &str {
    document["kind"].as_str().unwrap_or_default()
}

/// The manifest of a kind and name.
#[track_caller]
pub(crate) fn find<'a>(documents: &'a [Value], wanted: &str, name: &str) -> &'a Value {
    let is_it = |document: &&Value| kind(document) == wanted && document["metadata"]["name"] == name;
    documents.iter().find(is_it).unwrap_or_else(|| panic!("no {wanted} {name}"))
}

/// The object at `path`, for changes.
#[track_caller]
pub(crate) fn object<'a>(document: &'a mut Value, path: &str) -> &'a mut Map<String, Value> {
    document.pointer_mut(path).and_then(Value::as_object_mut).unwrap_or_else(|| panic!("no object at {path}"))
}
