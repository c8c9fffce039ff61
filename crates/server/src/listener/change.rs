//! Changing listeners while they serve.
//!
//! A change is prepared first: every certificate is read and every new address is bound, and nothing that serves is
//! touched. Then it is made. A listener is known by its address: one that stays goes on with the same socket, and meets
//! whoever comes next in its new way; one that is gone accepts nobody any more and lets its connections end as at a
//! stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lychgate_config::config::{ListenAddress, Listener};
use lychgate_oidc::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{BindError, Bound, Face, Places};
use crate::turned_away::Witness;

/// The listeners that serve, as far as they can be changed.
#[derive(Debug)]
pub(crate) struct DoorHandle {
    serving: Vec<Serving>,
    places: Arc<Places>,
    added: mpsc::UnboundedSender<Bound>,
}

#[derive(Clone, Debug)]
struct Serving {
    address: ListenAddress,
    face: Arc<ArcSwap<Face>>,
    closing: watch::Sender<bool>,
}

/// A change that can be made.
#[derive(Debug)]
pub(crate) struct Change {
    kept: Vec<(Serving, Face)>,
    new: Vec<Bound>,
    gone: Vec<Serving>,
    /// Socket files whose permissions would change, which they do at a restart.
    pub(crate) modes: Vec<String>,
}

impl Serving {
    fn of(bound: &Bound) -> Self {
        let (face, closing) = (Arc::clone(&bound.face), bound.closing.clone());
        Self { address: bound.address.clone(), face, closing }
    }
}

/// Whether two addresses are one, whoever may connect there.
fn is_same(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Unix { path: one, .. }, ListenAddress::Unix { path: other, .. }) => {
            one == other
        }
        (one, other) => one == other,
    }
}

impl DoorHandle {
    pub(super) fn new(
        bound: &[Bound],
        places: Arc<Places>,
        added: mpsc::UnboundedSender<Bound>,
    ) -> Self {
        Self { serving: bound.iter().map(Serving::of).collect(), places, added }
    }

    /// What it takes to serve `listeners` from now on.
    ///
    /// # Errors
    /// [`BindError`]; nothing has changed then.
    pub(crate) fn prepare(
        &self,
        listeners: &[Listener],
        witness: &Arc<dyn Witness>,
    ) -> Result<Change, BindError> {
        let mut gone = self.serving.clone();
        let mut change =
            Change { kept: Vec::new(), new: Vec::new(), gone: Vec::new(), modes: Vec::new() };
        let mut missing = Vec::new();
        for listener in listeners {
            let same = gone.iter().position(|serving| is_same(&serving.address, &listener.address));
            let Some(at) = same else {
                missing.push(listener);
                continue;
            };
            let serving = gone.remove(at);
            if serving.address != listener.address {
                change.modes.push(format!("listeners.{}.mode", listener.name));
            }
            let before = serving.face.load_full();
            let face = Face::new(listener, witness, &self.places, Some(&before))?;
            change.kept.push((serving, face));
        }
        // Last, because an address that is bound is there for everybody to see.
        for listener in missing {
            change.new.push(Bound::new(listener, witness, &self.places)?);
        }
        change.gone = gone;
        Ok(change)
    }

    /// Makes it.
    pub(crate) fn commit(&mut self, change: Change) {
        let Change { kept, new, gone, modes: _ } = change;
        self.serving.clear();
        for (serving, face) in kept {
            serving.face.store(Arc::new(face));
            self.serving.push(serving);
        }
        for bound in new {
            self.serving.push(Serving::of(&bound));
            // Nobody takes it when everything stops.
            let _ = self.added.send(bound);
        }
        for serving in gone {
            serving.closing.send_replace(true);
        }
    }

    /// The last moments at which the listeners' certificates are good, by the listeners' names.
    pub(crate) fn certificates(&self) -> BTreeMap<String, Timestamp> {
        expiries(self.serving.iter().map(|serving| serving.face.load_full()))
    }
}

impl Change {
    /// As [`DoorHandle::certificates`] will be.
    pub(crate) fn certificates(&self) -> BTreeMap<String, Timestamp> {
        let mut certificates = expiries(self.kept.iter().map(|(_, face)| face));
        certificates.extend(expiries(self.new.iter().map(|bound| bound.face.load_full())));
        certificates
    }
}

fn expiries(
    faces: impl Iterator<Item = impl std::ops::Deref<Target = Face>>,
) -> BTreeMap<String, Timestamp> {
    let expiry = |face: &Face| Some((face.entrance.name.clone(), face.tls.as_ref()?.expires_at?));
    faces.filter_map(|face| expiry(&face)).collect()
}
