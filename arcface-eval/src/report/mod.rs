//! What people look at: tables of figures, plots as SVG text, all of it as one HTML page.
//! Writes no file; the caller decides where a picture goes.

mod comparison;
mod curves;
mod hardest;
mod histogram;
mod html;
mod picture;
mod png;
mod roc;
mod style;
mod table;

pub use comparison::{comparison_plot, comparison_table};
pub use curves::{Curve, Panel, curves};
pub use hardest::{HardPair, Hardest, hardest};
pub use histogram::{Distributions, distributions, histogram};
pub use html::{ComparisonPage, Page, Plot, ShownFace, ShownPair, comparison_html, html};
pub use picture::picture;
pub use png::png;
pub use roc::roc_plot;
pub use table::table;
