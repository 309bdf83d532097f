//! Devices that go away under a session that opened them itself: opened again, once, and the run repeated.

use std::fmt;
use std::time::Duration;

use web_time::Instant;

use super::device::DeviceInfo;

/// Two losses within that time are an error: what does it twice will do it again.
pub(super) const SHORT: Duration = Duration::from_secs(10);

/// A lost device was replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuilt {
    /// Why the device was lost, in the driver's words.
    pub reason: String,
    /// The device that takes its place, which may be another one.
    pub device: DeviceInfo,
    /// How long opening, uploading and compiling took.
    pub took: Duration,
}

/// Who is told that a lost device was replaced; nobody by default.
#[derive(Clone, Default)]
pub struct OnRebuild(Option<Listener>);

#[cfg(not(target_arch = "wasm32"))]
type Listener = std::sync::Arc<dyn Fn(&Rebuilt) + Send + Sync>;
// A browser's functions belong to their thread.
#[cfg(target_arch = "wasm32")]
type Listener = std::rc::Rc<dyn Fn(&Rebuilt)>;

impl OnRebuild {
    /// Calls `listener`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(listener: impl Fn(&Rebuilt) + Send + Sync + 'static) -> Self {
        OnRebuild(Some(std::sync::Arc::new(listener)))
    }

    /// Calls `listener`.
    #[cfg(target_arch = "wasm32")]
    pub fn new(listener: impl Fn(&Rebuilt) + 'static) -> Self {
        OnRebuild(Some(std::rc::Rc::new(listener)))
    }

    pub(super) fn tell(&self, rebuilt: &Rebuilt) {
        match &self.0 {
            Some(listener) => listener(rebuilt),
            None => log::warn!("the GPU device was lost ({}) and opened again", rebuilt.reason),
        }
    }
}

impl fmt::Debug for OnRebuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnRebuild(somebody)" } else { "OnRebuild(nobody)" })
    }
}

/// What a session does about losses.
pub(super) struct Recovery {
    /// Whether anything.
    enabled: bool,
    pub on_rebuild: OnRebuild,
    last: Option<Instant>,
}

impl Recovery {
    pub fn new(enabled: bool, on_rebuild: OnRebuild) -> Self {
        Recovery { enabled, on_rebuild, last: None }
    }

    /// A loss, now: whether to open the device again.
    pub fn again(&mut self) -> bool {
        let soon = self.last.is_some_and(|last| last.elapsed() < SHORT);
        self.last = Some(Instant::now());
        self.enabled && !soon
    }

    /// The device is the caller's from now on.
    pub fn disable(&mut self) {
        self.enabled = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_loss_within_a_short_time_is_not_recovered_from() {
        let mut recovery = Recovery::new(true, OnRebuild::default());
        assert!(recovery.again() && !recovery.again() && !recovery.again());
        recovery.last = Instant::now().checked_sub(SHORT * 2);
        assert!(recovery.last.is_none() || recovery.again());
        recovery.disable();
        recovery.last = None;
        assert!(!recovery.again());
    }
}
