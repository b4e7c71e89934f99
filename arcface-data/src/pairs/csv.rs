//! Pairs as CSV with the columns `a`, `b`, `same` (1 or 0) and optionally `fold` (from 0), in any order.
//! Knows no files, only text.

use std::fmt::Write;

use super::{Pair, Parsed};

/// Whether the first line is a header of ours.
pub(super) fn is_csv(text: &str) -> bool {
    let header = fields(text.lines().next().unwrap_or_default());
    ["a", "b", "same"].iter().all(|column| header.iter().any(|field| field == column))
}

pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let header = lines.next().map_or_else(Vec::new, |(_, line)| fields(line));
    let column = |name: &str| header.iter().position(|field| field == name);
    let columns = Columns { names: header.clone(), fold: column("fold") };
    let mut parsed = Parsed { pairs: Vec::new(), lines: Vec::new(), has_folds: columns.fold.is_some() };
    for (number, line) in lines {
        parsed.pairs.push(columns.pair(&fields(line)).map_err(|message| format!("line {number}: {message}"))?);
        parsed.lines.push(number);
    }
    Ok(parsed)
}

struct Columns {
    names: Vec<String>,
    fold: Option<usize>,
}

impl Columns {
    fn pair(&self, fields: &[String]) -> Result<Pair, String> {
        if fields.len() != self.names.len() {
            return Err(format!(
                "expected {} fields ({}), got {}",
                self.names.len(),
                self.names.join(","),
                fields.len()
            ));
        }
        let (a, b) = (self.field(fields, "a").to_owned(), self.field(fields, "b").to_owned());
        let same = match self.field(fields, "same") {
            "1" | "true" => true,
            "0" | "false" => false,
            other => return Err(format!("`same`: expected 1 or 0, got `{other}`")),
        };
        let fold = match self.fold.map(|column| &fields[column]) {
            Some(text) => text.parse().map_err(|_| format!("`fold`: expected a number from 0, got `{text}`"))?,
            None => 0,
        };
        Ok(Pair { a, b, same, fold })
    }

    fn field<'a>(&self, fields: &'a [String], name: &str) -> &'a str {
        self.names.iter().zip(fields).find(|(column, _)| *column == name).map_or("", |(_, field)| field)
    }
}

pub(super) fn render(pairs: &[Pair]) -> String {
    let mut text = "a,b,same,fold\n".to_owned();
    for Pair { a, b, same, fold } in pairs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{},{},{},{fold}", quoted(a), quoted(b), u8::from(*same));
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

/// The fields of a line; one in quotes may have commas, and a doubled quote stands for one.
pub(crate) fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut in_quotes = false;
    let mut characters = line.trim_end().trim_start_matches('\u{feff}').chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.len() - 1;
        match character {
            '"' if in_quotes && characters.next_if_eq(&'"').is_some() => fields[field].push('"'),
            '"' => in_quotes = !in_quotes,
            ',' if !in_quotes => fields.push(String::new()),
            other => fields[field].push(other),
        }
    }
    fields
}
