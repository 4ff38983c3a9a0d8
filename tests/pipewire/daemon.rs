//! A daemon of the test's own: its socket lies in a folder of its own, and nobody links anything by himself.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::*;

const CONFIG: &str = "
context.properties = { core.daemon = true, core.name = pipewire-0, link.max-buffers = 64 }
context.spa-libs = { support.* = support/libspa-support }
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-access }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-link-factory }
    { name = libpipewire-module-metadata }
]
";

/// Tests that count fds run alone.
static ALONE: RwLock<()> = RwLock::new(());

pub fn alone() -> RwLockWriteGuard<'static, ()> {
    ALONE.write().unwrap_or_else(PoisonError::into_inner)
}

pub struct Daemon {
    pub folder: PathBuf,
    child: Child,
    _beside: Option<RwLockReadGuard<'static, ()>>,
}

impl Daemon {
    /// `None` where PipeWire is not installed.
    pub fn start(name: &str) -> Option<Self> {
        let beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
        let mut daemon = Self::start_alone(name)?;
        daemon._beside = Some(beside);
        Some(daemon)
    }

    /// The same for a test that is [`alone`].
    pub fn start_alone(name: &str) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("df-pw-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("daemon.conf"), CONFIG).unwrap();
        let mut command = Command::new("pipewire");
        command.arg("-c").arg(folder.join("daemon.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        environment(&mut command, &folder);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                common::skip("pipewire", format!("the daemon does not start: {error}"));
                return None;
            }
        };
        let daemon = Self { folder, child, _beside: None };
        eventually("the daemon's socket", || daemon.socket().exists());
        Some(daemon)
    }

    /// That of PipeWire: 0.3, 1.4.
    pub fn version(&self) -> (u32, u32) {
        let output = self.command("pipewire").arg("--version").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words = text.split_whitespace().last().unwrap();
        let mut numbers = words.split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("pipewire-0")
    }

    pub fn remote(&self) -> Option<String> {
        Some(self.socket().display().to_string())
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        environment(&mut command, &self.folder);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// All objects of the daemon.
    pub fn dump(&self) -> Vec<serde_json::Value> {
        let output = self.command("pw-dump").output().unwrap();
        // What is asked while things come and go may be torn.
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    pub fn node(&self, name: &str) -> Option<serde_json::Value> {
        self.dump()
            .into_iter()
            .find(|object| object["info"]["props"]["node.name"] == name && object["type"] == "PipeWire:Interface:Node")
    }

    fn port(&self, node: &str, direction: &str) -> Option<u64> {
        let objects = self.dump();
        let id = objects.iter().find(|object| {
            object["type"] == "PipeWire:Interface:Node" && object["info"]["props"]["node.name"] == node
        })?["id"]
            .as_u64()?;
        let port = objects.iter().find(|object| {
            object["type"] == "PipeWire:Interface:Port"
                && object["info"]["direction"] == direction
                && object["info"]["props"]["node.id"] == id
        })?;
        port["id"].as_u64()
    }

    /// Links two nodes, once they are there.
    #[track_caller]
    pub fn link(&self, from: &str, to: &str) {
        let mut ports = (None, None);
        eventually(&format!("nodes {from} and {to}"), || {
            ports = (self.port(from, "output"), self.port(to, "input"));
            ports.0.is_some() && ports.1.is_some()
        });
        let (Some(from), Some(to)) = ports else { unreachable!() };
        let output = self.command("pw-link").arg(from.to_string()).arg(to.to_string()).output().unwrap();
        assert!(output.status.success(), "pw-link: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn environment(command: &mut Command, folder: &std::path::Path) {
    command.env("XDG_RUNTIME_DIR", folder).env("PIPEWIRE_RUNTIME_DIR", folder).env("HOME", folder);
    for name in ["PIPEWIRE_REMOTE", "PIPEWIRE_CONFIG_DIR", "PIPEWIRE_NODE", "DBUS_SESSION_BUS_ADDRESS"] {
        command.env_remove(name);
    }
}
