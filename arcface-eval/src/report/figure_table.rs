//! Any figures as a table, as text or as a part of a page.
//! Knows no protocol: what a cell says is the caller's.

use super::html::escaped;

/// A table whose first column names its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FigureTable {
    /// What stands above it.
    pub title: String,
    /// The names of the columns.
    pub head: Vec<String>,
    /// The cells of each row, as many as there are columns.
    pub rows: Vec<Vec<String>>,
    /// How to read it, in a sentence or two; may be empty.
    pub note: String,
}

impl FigureTable {
    /// The table as lines of text, its columns aligned.
    ///
    /// ```
    /// use arcface_eval::report::FigureTable;
    /// let rows = vec![vec!["rank 1".to_owned(), "95.12 %".to_owned()]];
    /// let table = FigureTable { title: "1:N".into(), head: vec![String::new(), "G1".into()], rows, note: String::new() };
    /// assert_eq!(table.text(), "1:N\n             G1\nrank 1  95.12 %\n");
    /// ```
    pub fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len()).map(|column| self.width(column)).collect();
        let lines = [&self.head].into_iter().chain(&self.rows).map(|cells| line(cells, &widths));
        let note = if self.note.is_empty() { String::new() } else { format!("{}\n", self.note) };
        format!("{}\n{}{note}", self.title, lines.collect::<String>())
    }

    /// The table in Markdown, its title naming the first column.
    ///
    /// ```
    /// use arcface_eval::report::FigureTable;
    /// let rows = vec![vec!["rank 1".to_owned(), "95.12 %".to_owned()]];
    /// let table = FigureTable { title: "1:N".into(), head: vec![String::new(), "G1".into()], rows, note: String::new() };
    /// assert_eq!(table.markdown(), "| 1:N | G1 |\n| --- | ---: |\n| rank 1 | 95.12 % |\n");
    /// ```
    pub fn markdown(&self) -> String {
        let head: Vec<String> = [self.title.clone()].into_iter().chain(self.head.iter().skip(1).cloned()).collect();
        let rule = (0..head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
        let lines: String = [&head, &rule].into_iter().chain(&self.rows).map(|cells| markdown_line(cells)).collect();
        if self.note.is_empty() { lines } else { format!("{lines}\n{}\n", self.note) }
    }

    /// The table as a section of a page.
    pub(super) fn html(&self) -> String {
        let title = |title: &String| format!("<th scope=\"col\">{}</th>", escaped(title));
        let head: String = self.head.iter().map(title).collect();
        let rows: String = self.rows.iter().map(|cells| html_row(cells)).collect();
        let note = if self.note.is_empty() {
            String::new()
        } else {
            format!("<p class=\"note\">{}</p>\n", escaped(&self.note))
        };
        format!(
            "<section>\n<h2>{}</h2>\n<div class=\"wide\">\n<table class=\"figures\">\n<thead><tr>{head}</tr></thead>\n\
             <tbody>\n{rows}</tbody>\n</table>\n</div>\n{note}</section>\n",
            escaped(&self.title)
        )
    }

    /// Letters of the longest cell of a column.
    fn width(&self, column: usize) -> usize {
        let cells = [&self.head].into_iter().chain(&self.rows).filter_map(|cells| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

/// Names to the left, figures to the right.
fn line(cells: &[String], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).enumerate();
    let aligned = cells.map(|(column, (cell, &width))| match column {
        0 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    let line = aligned.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

/// A line of a table in Markdown.
pub(super) fn markdown_line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn html_row(cells: &[String]) -> String {
    let Some((name, rest)) = cells.split_first() else { return String::new() };
    let cell = |cell: &String| format!("<td>{}</td>", escaped(cell));
    let rest: String = rest.iter().map(cell).collect();
    format!("<tr><th scope=\"row\">{}</th>{rest}</tr>\n", escaped(name))
}
