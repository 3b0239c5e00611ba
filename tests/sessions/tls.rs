//! A private authority with certificates of its own making, and nginx, with and without them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tempfile::TempDir;

use crate::issuer::Issuer;
use crate::support::clock::eventually;
use crate::support::component::{Component, free_port, program};
use crate::support::setup::path_text;

/// An authority that only those trust who are told to.
pub(crate) struct Authority {
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        authority
            .make("ca", &["-subj", "/CN=an authority of the tests", "-addext", "basicConstraints=critical,CA:TRUE"]);
        authority
    }

    /// Its certificate, as a file.
    pub(crate) fn ca_file(&self) -> String {
        self.path("ca.pem")
    }

    /// A certificate for a host name and for 127.0.0.1, and its key, as files.
    pub(crate) fn certify(&self, host: &str) -> (String, String) {
        let (ca, key) = (self.path("ca.pem"), self.path("ca.key"));
        let names = format!("subjectAltName=DNS:{host},IP:127.0.0.1");
        let subject = format!("/CN={host}");
        let end = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", &names];
        self.make(host, &[&["-CA", &ca, "-CAkey", &key, "-subj", &subject][..], &end].concat());
        (self.path(&format!("{host}.pem")), self.path(&format!("{host}.key")))
    }

    fn make(&self, name: &str, more: &[&str]) {
        let mut command = program("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        command.args(["-keyout", &self.path(&format!("{name}.key")), "-out", &self.path(&format!("{name}.pem"))]);
        let output = command.args(more).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> String {
        path_text(&self.dir.path().join(name)).to_owned()
    }
}

/// A real web server.
pub(crate) struct Nginx {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) component: Component,
    _dir: TempDir,
}

impl Nginx {
    /// nginx with these contents of `http`, in which `PORT` is its port.
    pub(crate) fn start(http: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Another test may take the port between the look and the use.
        for _ in 0..10 {
            let port = free_port();
            if let Some(component) = try_start(dir.path(), &http.replace("PORT", &port.to_string())) {
                return Self { address: (Ipv4Addr::LOCALHOST, port).into(), component, _dir: dir };
            }
        }
        panic!("nginx does not start");
    }

    /// nginx with TLS for `idp.example.com`, in front of a provider.
    pub(crate) fn in_front_of(issuer: &Issuer, authority: &Authority) -> Self {
        let (certificate, key) = authority.certify("idp.example.com");
        Self::start(&format!(
            "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; location / {{ \
             proxy_pass http://{}; proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto https; }} }}",
            issuer.client.address
        ))
    }
}

fn try_start(dir: &Path, http: &str) -> Option<Component> {
    let pid = dir.join("nginx.pid");
    // It may not be there yet.
    let _ = fs::remove_file(&pid);
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {};", path_text(&dir.join(name))))
        .concat();
    let config = format!(
        "daemon off; master_process off; error_log {log} error; pid {pid}; events {{}} http {{ access_log off; {paths} {http} }}",
        log = path_text(&dir.join("error.log")),
        pid = path_text(&pid)
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, config).expect("a file in a directory of our own");
    let mut command = program("nginx");
    command.args(["-p", path_text(dir), "-c", path_text(&file), "-e", path_text(&dir.join("error.log"))]);
    let mut component = Component::start(&mut command);
    let is_up = eventually("nginx listens or ends", || {
        if fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')) {
            return Some(true);
        }
        component.has_ended().then_some(false)
    });
    is_up.then_some(component)
}
