//! What tests do to a device, to see whether it is noticed. No command and no option leads here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::context::GpuContext;
use crate::kernels::Step;

/// When a device can be made to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Moment {
    /// Before memory is allocated.
    Load,
    /// Between uploading the weights and compiling.
    Compile,
    /// Before steps are timed.
    Tune,
    /// Before a frame is submitted.
    Run,
    /// Between submitting a frame and reading its results.
    Readback,
}

/// Wrong shaders and lost devices, on purpose.
#[derive(Clone, Default)]
#[doc(hidden)]
pub struct Sabotage {
    shader: Option<Arc<Shader>>,
    /// When, how often that has yet to be passed unharmed, and how often the device is lost then.
    loss: Option<Arc<(Moment, AtomicU32, AtomicU32)>>,
}

type Shader = dyn Fn(&Step, String) -> String + Send + Sync;

impl Sabotage {
    /// Gives the driver what `edit` makes of a step's shader.
    pub fn shaders(edit: impl Fn(&Step, String) -> String + Send + Sync + 'static) -> Self {
        Sabotage { shader: Some(Arc::new(edit)), loss: None }
    }

    /// Destroys the device at a moment: after it has been passed `after` times, `times` times in all, whichever device
    /// it is then.
    pub fn loses(moment: Moment, after: u32, times: u32) -> Self {
        Sabotage { shader: None, loss: Some(Arc::new((moment, AtomicU32::new(after), AtomicU32::new(times)))) }
    }

    pub(super) fn edit(&self, step: &Step, shader: String) -> String {
        match &self.shader {
            Some(edit) => edit(step, shader),
            None => shader,
        }
    }

    /// Whether the device is to be lost now.
    fn strikes(&self, now: Moment) -> bool {
        let Some((moment, after, times)) = self.loss.as_deref() else { return false };
        let count_down = |counter: &AtomicU32| {
            counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        *moment == now && !count_down(after) && count_down(times)
    }
}

impl fmt::Debug for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (&self.shader, &self.loss) {
            (None, None) => "nothing",
            (Some(_), _) => "shaders",
            (None, Some(_)) => "loss",
        };
        write!(f, "Sabotage({what})")
    }
}

impl GpuContext {
    /// The same device, sabotaged.
    #[doc(hidden)]
    pub fn sabotaged(mut self, sabotage: Sabotage) -> Self {
        self.sabotage = sabotage;
        self
    }

    /// The shader of a step, as the driver gets it.
    pub(crate) fn shader(&self, step: &Step) -> String {
        self.sabotage.edit(step, step.shader())
    }

    /// Says that a moment has come.
    pub(crate) fn passing(&self, moment: Moment) {
        if self.sabotage.strikes(moment) {
            self.device.destroy();
        }
    }
}
