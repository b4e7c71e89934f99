//! The allocator of the command line.
//! Knows no tensor.

// Activations are large and short-lived: an allocator that keeps its pages spares each step the wait for new ones.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2 and 3, for which the binding has no name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// From now on freed memory stays with the process: else whole activations go back to the system between two steps, and
/// an eighth of a training step is spent on clearing their pages again.
#[allow(unsafe_code)]
pub(crate) fn keep_pages() {
    // SAFETY: a call with two numbers that sets an option; mimalloc leaves one that it does not know as it is.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}
