//! What the configuration reads from Secrets is what they hold, whoever makes them; and one app's can be changed alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::manifests::{find, kind};
use crate::support::backend::{Backend, Reply};
use crate::support::documents::texts;
use crate::tools::{Kustomization, kustomizations, python_tool, scratch, stdout_of};

/// The keys of a Secret.
type Keys = BTreeSet<String>;

#[test]
fn every_secret_that_is_read_is_created_and_every_created_one_is_read() {
    let [created, translated] = texts().map(|text| created_by_hand(&text));
    assert_eq!(created, translated);
    let mut needed = BTreeSet::new();
    for Kustomization { name: place, documents, .. } in kustomizations() {
        let mut held = held(documents);
        for (secret, keys) in keys_read(documents, place) {
            match held.remove(&secret) {
                Some(held) => assert_eq!(held, keys, "{place}: {secret} holds, the configuration reads"),
                None => drop(needed.insert((secret, keys))),
            }
        }
        assert!(held.is_empty(), "{place}: nothing reads {held:?}");
    }
    assert_eq!(created, needed, "the documented commands create, the kustomizations need");
}

/// For each Secret that the pod mounts, the keys that its configuration names as files.
fn keys_read(documents: &[Value], place: &str) -> BTreeMap<String, Keys> {
    let pod = &find(documents, "Deployment", "usersig")["spec"]["template"]["spec"];
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut directories = BTreeMap::new();
    for volume in list(&pod["volumes"]).iter().filter(|volume| volume.get("secret").is_some()) {
        let mounts = list(&pod["containers"][0]["volumeMounts"]);
        let mount = mounts.iter().find(|mount| mount["name"] == volume["name"]).expect("it is mounted");
        directories.insert(text(&mount["mountPath"]), text(&volume["secret"]["secretName"]));
    }
    let mut read: BTreeMap<String, Keys> = directories.values().map(|secret| (secret.clone(), Keys::new())).collect();
    let toml = documents.iter().find_map(|document| document["data"]["usersig.toml"].as_str());
    for file in toml.expect("a configuration").split('"').filter_map(|text| text.strip_prefix("file:")) {
        let (directory, key) = file.rsplit_once('/').expect("a path");
        let secret = directories.get(directory).unwrap_or_else(|| panic!("{place}: {file} is in no Secret"));
        read.get_mut(secret).expect("it is mounted").insert(key.to_owned());
    }
    read
}

/// The Secrets that the manifests themselves make.
fn held(documents: &[Value]) -> BTreeMap<String, Keys> {
    let is_one = |document: &&Value| ["Secret", "ExternalSecret"].contains(&kind(document));
    let entry = |document: &Value| {
        let name = document["metadata"]["name"].as_str().expect("a name").to_owned();
        let keys = if let Some(data) = document["stringData"].as_object() {
            data.keys().cloned().collect()
        } else {
            assert_eq!(document["spec"]["target"]["name"], name);
            let data = document["spec"]["data"].as_array().expect("data").iter();
            data.map(|entry| entry["secretKey"].as_str().expect("a key").to_owned()).collect()
        };
        (name, keys)
    };
    documents.iter().filter(is_one).map(entry).collect()
}

/// The Secrets that the documented commands create.
fn created_by_hand(text: &str) -> BTreeSet<(String, Keys)> {
    let commands = text.lines().filter_map(|line| line.strip_prefix("kubectl -n usersig create secret generic "));
    let secret = |command: &str| {
        let (name, files) = command.split_once(' ').expect("files");
        let key = |file: &str| file.strip_prefix("--from-file=")?.split('=').next().map(str::to_owned);
        (name.to_owned(), files.split(' ').map(|file| key(file).expect("a file")).collect())
    };
    commands.map(secret).collect()
}

#[test]
fn a_rotation_changes_the_key_of_its_app_alone() {
    for text in texts() {
        let server = Backend::start(|request| match (request.method.as_str(), request.path.split('?').next()) {
            (_, Some("/api")) => Reply::json(json!({ "kind": "APIVersions", "versions": ["v1"] })),
            (_, Some("/apis")) => Reply::json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [] })),
            (_, Some("/api/v1")) => Reply::json(json!({
                "kind": "APIResourceList", "groupVersion": "v1", "resources": [{
                    "name": "secrets", "singularName": "secret", "namespaced": true, "kind": "Secret",
                    "verbs": ["get", "patch"],
                }],
            })),
            ("GET" | "PATCH", Some("/api/v1/namespaces/usersig/secrets/usersig-app")) => Reply::json(json!({
                "kind": "Secret", "apiVersion": "v1",
                "metadata": { "name": "usersig-app", "namespace": "usersig" },
                "data": { "1400000000": "b2xk", "1400000001": "b3RoZXI=" },
            })),
            (method, path) => panic!("{method} {path:?}"),
        });
        let start = text.find("   printf '{\"data\":").expect("the command");
        let command =
            &text[start..text[start..].find("kubectl -n usersig rollout").map(|end| start + end).expect("the next")];
        let directory = scratch("rotation");
        fs::write(directory.join("app.key"), "0123456789abcdef\n".repeat(4)).expect("a secret");
        let kubectl = python_tool("kubectl");
        let define = format!("kubectl() {{ {} --server={} \"$@\"; }}\n", kubectl.get_program().display(), server.url());
        stdout_of(
            Command::new("sh")
                .args(["-euc", &format!("{define}{command}")])
                .current_dir(&directory)
                .env("HOME", &directory),
        );
        let patches: Vec<_> = server.seen().into_iter().filter(|request| request.method == "PATCH").collect();
        assert_eq!(patches.len(), 1, "{command}");
        assert_eq!(patches[0].header("content-type"), "application/strategic-merge-patch+json");
        let encoded = stdout_of(Command::new("base64").args(["-w0", "app.key"]).current_dir(&directory));
        let patch: Value = serde_json::from_str(&patches[0].body).expect("JSON");
        assert_eq!(patch, json!({ "data": { "1400000000": encoded } }), "{command}");
    }
}
