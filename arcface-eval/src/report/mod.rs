//! What people look at: tables of figures, plots as SVG text, all of it as one HTML page.
//! Writes no file; the caller decides where a picture goes.

mod comparison;
mod curves;
mod decision;
mod figure_table;
mod hardest;
mod histogram;
mod html;
mod lines;
mod picture;
#[cfg(feature = "png")]
mod png;
mod rates;
mod roc;
mod style;
mod table;
mod toy;

pub use comparison::{comparison_plot, comparison_table};
pub use curves::{Curve, Panel, curves};
pub use decision::{Decision, decisions};
pub use figure_table::FigureTable;
pub use hardest::{HardPair, Hardest, hardest, hardest_listed};
pub use histogram::{Distributions, distribution_panels, distributions, histogram};
pub use html::{ComparisonPage, FaceRows, Page, Plot, ShownFace, ShownPair, comparison_html, html};
pub use lines::{Lines, lines};
pub use picture::picture;
#[cfg(feature = "png")]
pub use png::png;
pub use rates::{det_plot, rates_plot};
pub use roc::roc_plot;
pub use table::table;
pub use toy::{Toy, ToyClass, toy};
