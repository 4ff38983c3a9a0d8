//! The links of one node of ours, and whether the nodes at their other ends run.
//!
//! In: what the daemon's registry tells. Out: the last link went; somebody takes part in cycles of the graph.
//! Not here: what is done about it (`output`, `input`).

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use ::pipewire as pw;
use pw::node::NodeState;
use pw::properties::PropertiesBox;
use pw::registry::{GlobalObject, RegistryRc};
use pw::types::ObjectType;

use crate::error::{Error, Result};

/// Which end of a link is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Output,
    Input,
}

impl End {
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Output => ("link.output.node", "link.input.node"),
            Self::Input => ("link.input.node", "link.output.node"),
        }
    }
}

/// A node that is listened to, which is as long as this is kept.
struct Peer {
    _listener: pw::node::NodeListener,
    _node: pw::node::Node,
}

#[derive(Default)]
pub(super) struct Links {
    /// Links, and the nodes at their other ends.
    there: RefCell<HashMap<u32, u32>>,
    /// Links were there, and the last has gone.
    pub(super) gone: Cell<bool>,
    /// Nodes of everybody: one that is linked is asked for its state.
    nodes: RefCell<HashMap<u32, GlobalObject<PropertiesBox>>>,
    peers: RefCell<HashMap<u32, Peer>>,
    running: Rc<RefCell<HashSet<u32>>>,
    /// It changed who runs.
    changed: Rc<Cell<bool>>,
}

/// The links are followed as long as this is kept.
pub(super) struct Following {
    _listener: pw::registry::Listener,
    _registry: RegistryRc,
}

impl Links {
    /// Follows the links whose `end` is the node that `node` says.
    pub(super) fn follow(
        self: &Rc<Self>,
        core: &pw::core::CoreRc,
        end: End,
        node: impl Fn() -> u32 + 'static,
    ) -> Result<Following> {
        let registry =
            core.get_registry_rc().map_err(|error| Error::failed("pw_core_get_registry", error.to_string()))?;
        let (came, went, asked) = (self.clone(), self.clone(), registry.clone());
        let (own, other) = end.keys();
        let listener = registry
            .add_listener_local()
            .global(move |object| match object.type_ {
                ObjectType::Node => {
                    came.nodes.borrow_mut().insert(object.id, object.to_owned());
                }
                ObjectType::Link => {
                    let id = |key| object.props?.get(key)?.parse::<u32>().ok();
                    if id(own) == Some(node()) {
                        let peer = id(other).unwrap_or(u32::MAX);
                        came.there.borrow_mut().insert(object.id, peer);
                        came.ask(&asked, peer);
                    }
                }
                _ => {}
            })
            .global_remove(move |id| {
                went.nodes.borrow_mut().remove(&id);
                let mut there = went.there.borrow_mut();
                let Some(peer) = there.remove(&id) else { return };
                went.gone.set(went.gone.get() || there.is_empty());
                if there.values().all(|other| *other != peer) {
                    went.peers.borrow_mut().remove(&peer);
                    let ran = went.running.borrow_mut().remove(&peer);
                    went.changed.set(went.changed.get() || ran);
                }
            })
            .register();
        Ok(Following { _listener: listener, _registry: registry })
    }

    /// Has a node say when it runs.
    fn ask(&self, registry: &RegistryRc, id: u32) {
        if self.peers.borrow().contains_key(&id) {
            return;
        }
        let Some(node) = self.nodes.borrow().get(&id).and_then(|node| registry.bind::<pw::node::Node, _>(node).ok())
        else {
            return;
        };
        let (running, changed) = (self.running.clone(), self.changed.clone());
        let listener = node.add_listener_local().info(move |info| {
            let mut running = running.borrow_mut();
            let is_new = match info.state() {
                NodeState::Running => running.insert(id),
                _ => running.remove(&id),
            };
            changed.set(changed.get() || is_new);
        });
        self.peers.borrow_mut().insert(id, Peer { _listener: listener.register(), _node: node });
    }

    /// Who runs has changed since the last call.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.take()
    }

    /// A node at the other end will say when it runs.
    pub(super) fn asks(&self) -> bool {
        !self.peers.borrow().is_empty()
    }

    /// A node at the other end runs: it gets what is handed over.
    pub(super) fn has_running_peer(&self) -> bool {
        !self.running.borrow().is_empty()
    }
}
