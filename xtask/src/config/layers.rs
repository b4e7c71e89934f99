//! Tables over tables: a file over the defaults, `--set` over both.
//! Knows no section but `[loss]`, whose parameters belong to its name.

use std::collections::BTreeSet;

use anyhow::anyhow;
use toml::{Table, Value};

/// The table that `KEY=VALUE`s describe.
///
/// # Errors
/// If one has not that form, or two contradict each other.
pub(crate) fn assignments(set: &[String]) -> anyhow::Result<Table> {
    let mut table = Table::new();
    for text in set {
        let (path, value) = crate::assign::parse(text)?;
        put(&mut table, &path, value).ok_or_else(|| anyhow!("--set {text}: a key before it is no table"))?;
    }
    Ok(table)
}

fn put(table: &mut Table, path: &[String], value: Value) -> Option<()> {
    match path {
        [] => None,
        [key] => {
            table.insert(key.clone(), value);
            Some(())
        }
        [key, rest @ ..] => {
            let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            put(inner.as_table_mut()?, rest, value)
        }
    }
}

/// Dotted keys of all values in `table`.
pub(super) fn keys(table: &Table) -> BTreeSet<String> {
    dotted(table).into_iter().map(|(key, _)| key).collect()
}

/// All values in `table` that are none themselves, by their dotted keys.
pub(crate) fn dotted(table: &Table) -> Vec<(String, Value)> {
    let of_entry = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => {
            dotted(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)).collect()
        }
        _ => vec![(key.clone(), value.clone())],
    };
    table.iter().flat_map(of_entry).collect()
}

/// `layer` over `base`, key by key; another `loss.name` takes that loss's own defaults with it, and a note says so.
///
/// # Errors
/// If `[loss]` is not a table, or there is no loss of the new name.
pub(super) fn over(mut base: Table, mut layer: Table, notes: &mut Vec<String>) -> anyhow::Result<Table> {
    if let Some(loss) = layer.remove("loss") {
        let loss = loss.try_into().map_err(|_| anyhow!("loss: expected a table with `name` and parameters"))?;
        let before = base.get("loss").and_then(Value::as_table).cloned().unwrap_or_default();
        base.insert("loss".to_owned(), Value::Table(loss_over(before, loss, notes)?));
    }
    merge(&mut base, layer);
    Ok(base)
}

fn loss_over(before: Table, layer: Table, notes: &mut Vec<String>) -> anyhow::Result<Table> {
    let mut loss = before;
    if let Some(name) = layer.get("name").and_then(Value::as_str)
        && loss.get("name").and_then(Value::as_str) != Some(name)
    {
        let given: BTreeSet<&String> = layer.keys().collect();
        let defaults: Vec<String> = arcface_losses::defaults(name)?
            .iter()
            .filter(|(key, value)| !given.contains(key) && !value.is_array())
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        notes.push(format!("loss.name = \"{name}\": its own defaults apply: {}", defaults.join(", ")));
        loss.clear();
    }
    merge(&mut loss, layer);
    Ok(loss)
}

/// `layer` over `base`, table by table and key by key.
pub(crate) fn merge(base: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(layer)) => merge(inner, layer),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The error of a table that is no configuration, on one line, the key in front.
pub(crate) fn explain(error: &toml::de::Error) -> anyhow::Error {
    let text = error.to_string();
    let mut lines = text.lines();
    let message = lines.next().unwrap_or_default();
    match lines.find_map(|line| line.trim().strip_prefix("in `")?.strip_suffix('`')) {
        Some(key) => anyhow!("{key}: {message}"),
        None => anyhow!("{message}"),
    }
}
