//! What people look at: tables of figures and plots as SVG text.
//! Writes no file; the caller decides where a picture goes.

mod table;

pub use table::table;
