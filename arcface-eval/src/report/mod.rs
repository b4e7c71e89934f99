//! What people look at: tables of figures and plots as SVG text.
//! Writes no file; the caller decides where a picture goes.

mod curves;
mod histogram;
mod roc;
mod style;
mod table;

pub use curves::{Curve, Panel, curves};
pub use histogram::histogram;
pub use roc::roc_plot;
pub use table::table;
