//! LFW's `pairs.txt`: `folds<TAB>n`, then per fold n lines `name i j` and n lines `nameA i nameB j`.
//! Knows no files, only text.

use std::fmt::Write;

use super::{Pair, Parsed};
use crate::image::EXTENSIONS;
use crate::source::numbered;

pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let (folds, per_kind) = header(lines.next().map_or("", |(_, line)| line))?;
    let pairs = lines.map(|(number, line)| Ok((number, pair(number, line)?))).collect::<Result<Vec<_>, String>>()?;
    if Some(pairs.len()) != folds.checked_mul(per_kind).and_then(|pairs| pairs.checked_mul(2)) {
        return Err(format!(
            "expected {folds} folds of {per_kind} genuine and {per_kind} impostor pairs as the first line says, \
             found {} pairs",
            pairs.len()
        ));
    }
    let (lines, mut pairs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    for (fold, pairs) in pairs.chunks_mut((2 * per_kind).max(1)).enumerate() {
        check_fold(fold, pairs, lines[2 * per_kind * fold], per_kind)?;
        for pair in pairs {
            pair.fold = fold;
        }
    }
    Ok(Parsed { pairs, lines, has_folds: 1 < folds })
}

/// Folds, and pairs of each kind per fold; a single number is that of one fold.
fn header(line: &str) -> Result<(usize, usize), String> {
    let numbers: Vec<_> = line.split_whitespace().map(str::parse::<usize>).collect();
    match numbers.as_slice() {
        [Ok(per_kind)] => Ok((1, *per_kind)),
        [Ok(folds), Ok(per_kind)] => Ok((*folds, *per_kind)),
        _ => Err(format!(
            "line 1: expected `folds<TAB>pairs` as in LFW's lists, or the columns `a,b,same` of a CSV, got `{line}`"
        )),
    }
}

fn pair(number: usize, line: &str) -> Result<Pair, String> {
    // Tabs where there are any, so that names may have spaces.
    let fields: Vec<&str> =
        if line.contains('\t') { line.split('\t').map(str::trim).collect() } else { line.split_whitespace().collect() };
    let malformed = || format!("line {number}: expected `name i j` or `nameA i nameB j`, got `{line}`");
    let key = |name: &str, image: &str| Some(numbered(name, image.parse().ok()?));
    let keys = match fields.as_slice() {
        [name, a, b] => key(name, a).zip(key(name, b)),
        [name_a, a, name_b, b] => key(name_a, a).zip(key(name_b, b)),
        _ => None,
    };
    let (a, b) = keys.ok_or_else(malformed)?;
    Ok(Pair { a, b, same: fields.len() == 3, fold: 0 })
}

fn check_fold(fold: usize, pairs: &[Pair], line: usize, per_kind: usize) -> Result<(), String> {
    let genuine = pairs.iter().filter(|pair| pair.same).count();
    if genuine == per_kind {
        return Ok(());
    }
    Err(format!(
        "fold {} (from line {line}): expected {per_kind} genuine and {per_kind} impostor pairs, found {genuine} genuine",
        fold + 1
    ))
}

pub(super) fn render(pairs: &[Pair]) -> Result<String, String> {
    let folds = pairs.iter().map(|pair| pair.fold + 1).max().unwrap_or(0);
    let per_kind = pairs.len() / (2 * folds.max(1));
    let mut text = if folds == 1 { format!("{per_kind}\n") } else { format!("{folds}\t{per_kind}\n") };
    for fold in 0..folds {
        for same in [true, false] {
            let lines: Vec<_> = pairs.iter().filter(|pair| (pair.fold, pair.same) == (fold, same)).collect();
            if lines.len() != per_kind {
                return Err(uneven(fold, same, lines.len()));
            }
            lines.into_iter().try_for_each(|pair| render_pair(&mut text, pair))?;
        }
    }
    Ok(text)
}

fn uneven(fold: usize, same: bool, count: usize) -> String {
    let kind = if same { "genuine" } else { "impostor" };
    format!(
        "LFW's form wants equally many pairs of both kinds in every fold, fold {} has {count} {kind} ones; write a CSV",
        fold + 1
    )
}

fn render_pair(text: &mut String, pair: &Pair) -> Result<(), String> {
    let unfit = |key: &str| format!("`{key}` is not of LFW's form `name/name_0001`; write a CSV");
    let (name_a, a) = split(&pair.a).ok_or_else(|| unfit(&pair.a))?;
    let (name_b, b) = split(&pair.b).ok_or_else(|| unfit(&pair.b))?;
    if pair.same != (name_a == name_b) {
        return Err(format!(
            "`{}` and `{}`: LFW's form takes equal names for the same person; write a CSV",
            pair.a, pair.b
        ));
    }
    // Writing to a string cannot fail.
    let _ =
        if pair.same { writeln!(text, "{name_a}\t{a}\t{b}") } else { writeln!(text, "{name_a}\t{a}\t{name_b}\t{b}") };
    Ok(())
}

/// Name and number of a key `name/name_0001`, with or without the extension of an image.
fn split(key: &str) -> Option<(&str, usize)> {
    let (name, file) = key.split_once('/')?;
    let stem = EXTENSIONS.iter().find_map(|extension| file.strip_suffix(extension)?.strip_suffix('.')).unwrap_or(file);
    let number = stem.strip_prefix(name)?.strip_prefix('_')?.parse().ok()?;
    (numbered(name, number) == format!("{name}/{stem}")).then_some((name, number))
}
