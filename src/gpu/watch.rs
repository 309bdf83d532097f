//! Who watches while an executor is made.

/// Who is told how many pipelines are built, and of how many; nobody by default.
#[derive(Clone, Default)]
pub struct Watch(Option<Watcher>);

#[cfg(not(target_arch = "wasm32"))]
type Watcher = std::sync::Arc<dyn Fn(usize, usize) + Send + Sync>;
// A browser's functions belong to their thread.
#[cfg(target_arch = "wasm32")]
type Watcher = std::rc::Rc<dyn Fn(usize, usize)>;

impl Watch {
    /// Calls `watcher` with the number of pipelines that are built, and of all.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(watcher: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        Watch(Some(std::sync::Arc::new(watcher)))
    }

    /// Calls `watcher` with the number of pipelines that are built, and of all.
    #[cfg(target_arch = "wasm32")]
    pub fn new(watcher: impl Fn(usize, usize) + 'static) -> Self {
        Watch(Some(std::rc::Rc::new(watcher)))
    }

    pub(super) fn tell(&self, done: usize, all: usize) {
        self.0.iter().for_each(|watcher| watcher(done, all));
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Watch(somebody)" } else { "Watch(nobody)" })
    }
}
