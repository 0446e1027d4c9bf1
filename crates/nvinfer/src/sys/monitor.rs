//! `nvinfer1::IProgressMonitor`, implemented here: how a build tells where it is, and how it is stopped.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::types::{Ptr, Text};
use super::vtable::{ClassTypeInfo, DestructorPosition, Interface, Slot, copy_text, guard, interface_info};

/// A step of a build. Phases nest; counts say nothing about time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressEvent<'a> {
    /// A phase begins.
    Started {
        /// Its name.
        phase: &'a str,
        /// The phase it is part of.
        parent: Option<&'a str>,
        /// How many steps it has.
        steps: i32,
    },
    /// A step of a phase is done.
    Step {
        /// The phase.
        phase: &'a str,
        /// The step, from 0.
        step: i32,
    },
    /// A phase is over, be it done or cancelled.
    Finished {
        /// The phase.
        phase: &'a str,
    },
}

/// Receives progress from any thread; `Break` asks the build to stop at its next step.
pub type ProgressSink = dyn Fn(ProgressEvent<'_>) -> ControlFlow<()> + Send + Sync;

/// A monitor; it must outlive the builder configuration it was given to.
#[repr(C)]
pub struct ProgressMonitor {
    vptr: *const Slot,
    cancelled: AtomicBool,
    sink: Box<ProgressSink>,
}

// SAFETY: vptr points to immutable, leaked memory; the rest is Send and Sync.
unsafe impl Send for ProgressMonitor {}
// SAFETY: as above.
unsafe impl Sync for ProgressMonitor {}

interface_info!(info, c"IProgressMonitor");

impl ProgressMonitor {
    /// A monitor. TensorRT 8 has none; in all others the layout is the same.
    pub fn new(class_type_info: Option<ClassTypeInfo>, sink: Box<ProgressSink>) -> Arc<ProgressMonitor> {
        let interface = Interface {
            mangled: c"N8nvinfer15v_1_016IProgressMonitorE",
            info,
            versioned: true,
            destructor: DestructorPosition::First,
        };
        let methods = [phase_start as Slot, step_complete as Slot, phase_finish as Slot];
        let vptr = interface.vtable(&methods, class_type_info);
        Arc::new(ProgressMonitor { vptr, cancelled: AtomicBool::new(false), sink })
    }

    /// The pointer for C++.
    pub fn as_ptr(&self) -> Ptr {
        (&raw const *self).cast_mut().cast()
    }

    /// Whether the sink has asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Makes the monitor fit for another build.
    pub fn reset(&self) {
        self.cancelled.store(false, Ordering::SeqCst);
    }

    fn tell(&self, event: ProgressEvent<'_>) {
        if (self.sink)(event).is_break() {
            self.cancelled.store(true, Ordering::SeqCst);
        }
    }

    /// # Safety
    /// `this` is a live monitor.
    unsafe fn of<'a>(this: Ptr) -> &'a ProgressMonitor {
        // SAFETY: promised by the caller.
        unsafe { &*this.cast() }
    }
}

unsafe extern "C" fn phase_start(this: Ptr, phase: Text, parent: Text, steps: i32) {
    guard((), || {
        // SAFETY: TensorRT passes the monitor it was given, and texts that are null or NUL-terminated.
        let (monitor, phase, parent_name) =
            unsafe { (ProgressMonitor::of(this), copy_text(phase), copy_text(parent)) };
        let parent = (!parent.is_null()).then_some(parent_name.as_str());
        monitor.tell(ProgressEvent::Started { phase: &phase, parent, steps });
    });
}

/// Returns whether to go on. Only here can a build be stopped; a sink that panics does not stop it.
unsafe extern "C" fn step_complete(this: Ptr, phase: Text, step: i32) -> bool {
    guard(true, || {
        // SAFETY: as in phase_start.
        let (monitor, phase) = unsafe { (ProgressMonitor::of(this), copy_text(phase)) };
        monitor.tell(ProgressEvent::Step { phase: &phase, step });
        !monitor.is_cancelled()
    })
}

unsafe extern "C" fn phase_finish(this: Ptr, phase: Text) {
    guard((), || {
        // SAFETY: as in phase_start.
        let (monitor, phase) = unsafe { (ProgressMonitor::of(this), copy_text(phase)) };
        monitor.tell(ProgressEvent::Finished { phase: &phase });
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::vtable::tests::slot;
    use super::*;

    type Start = unsafe extern "C" fn(Ptr, Text, Text, i32);
    type Step = unsafe extern "C" fn(Ptr, Text, i32) -> bool;
    type Finish = unsafe extern "C" fn(Ptr, Text);

    #[test]
    fn the_three_methods_follow_the_versioned_prefix_and_a_break_holds_from_then_on() {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = heard.clone();
        let monitor = ProgressMonitor::new(
            None,
            Box::new(move |event| {
                sink.lock().unwrap().push(format!("{event:?}"));
                let stop = matches!(event, ProgressEvent::Step { step: 5, .. });
                if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }),
        );
        let p = monitor.as_ptr();
        let (phase, parent) = (c"Tactics".as_ptr(), c"Build".as_ptr());
        // SAFETY: the order of IProgressMonitor's methods in the headers, which is what is tested.
        unsafe {
            slot::<Start>(p, 4)(p, phase, std::ptr::null(), 3);
            slot::<Start>(p, 4)(p, phase, parent, 10);
            let step = slot::<Step>(p, 5);
            assert_eq!([step(p, phase, 4), step(p, phase, 5), step(p, phase, 6)], [true, false, false]);
            slot::<Finish>(p, 6)(p, phase);
        }
        assert!(monitor.is_cancelled());
        monitor.reset();
        assert!(!monitor.is_cancelled());
        let expected = [
            r#"Started { phase: "Tactics", parent: None, steps: 3 }"#,
            r#"Started { phase: "Tactics", parent: Some("Build"), steps: 10 }"#,
            r#"Step { phase: "Tactics", step: 4 }"#,
            r#"Step { phase: "Tactics", step: 5 }"#,
            r#"Step { phase: "Tactics", step: 6 }"#,
            r#"Finished { phase: "Tactics" }"#,
        ];
        assert_eq!(*heard.lock().unwrap(), expected);
    }

    #[test]
    fn a_sink_that_panics_lets_the_build_go_on() {
        let monitor = ProgressMonitor::new(None, Box::new(|_| panic!("a broken sink")));
        // SAFETY: a live monitor and a static string.
        assert!(unsafe { step_complete(monitor.as_ptr(), c"p".as_ptr(), 1) });
    }
}
