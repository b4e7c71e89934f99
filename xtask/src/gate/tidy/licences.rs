//! Under which licences, from where and how often other people's crates come in.
//! Knows no licence texts, only SPDX expressions. `deny.toml` says the same to cargo-deny.

use crate::gate::metadata::{Package, Workspace};

/// Licences that ask for no more than their notice.
const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "IJG",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Built twice, these would cost minutes or give types that do not fit each other.
const ONCE: [&str; 5] = ["candle-core", "candle-nn", "gemm", "inventory", "safetensors"];

/// Every package with an unknown licence or source, and what is there twice.
pub(super) fn check(workspace: &Workspace) -> Vec<String> {
    let mut breaches: Vec<String> = workspace.packages.iter().filter_map(check_licence).collect();
    breaches.extend(workspace.packages.iter().filter_map(check_source));
    for name in ONCE {
        let versions: Vec<&str> =
            workspace.packages.iter().filter(|package| package.name == name).map(|p| p.version.as_str()).collect();
        if 1 < versions.len() {
            breaches.push(format!("{name} is built more than once: {}", versions.join(", ")));
        }
    }
    breaches
}

fn check_licence(package: &Package) -> Option<String> {
    let licence = package.license.as_deref().unwrap_or("none");
    (!is_allowed(licence)).then(|| {
        format!("{} {}: licence `{licence}` is not among {}", package.name, package.version, ALLOWED.join(", "))
    })
}

fn check_source(package: &Package) -> Option<String> {
    let source = package.source.as_deref().filter(|source| *source != CRATES_IO)?;
    Some(format!("{} {}: comes from {source}, not from crates.io", package.name, package.version))
}

/// Whether an SPDX expression can be met with allowed licences alone; `/` is the old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest) && rest.is_empty()
}

/// terms joined by OR
fn any(words: &mut &[&str]) -> bool {
    let mut allowed = all(words);
    while take(words, "OR") {
        // Both sides are read, whatever the first gave.
        allowed |= all(words);
    }
    allowed
}

/// factors joined by AND
fn all(words: &mut &[&str]) -> bool {
    let mut allowed = one(words);
    while take(words, "AND") {
        allowed &= one(words);
    }
    allowed
}

/// a licence, with or without an exception, or an expression in parentheses
fn one(words: &mut &[&str]) -> bool {
    if take(words, "(") {
        let allowed = any(words);
        return take(words, ")") && allowed;
    }
    let Some((licence, rest)) = words.split_first() else { return false };
    *words = rest;
    if !take(words, "WITH") {
        return ALLOWED.contains(licence);
    }
    let Some((exception, rest)) = words.split_first() else { return false };
    *words = rest;
    ALLOWED.contains(&format!("{licence} WITH {exception}").as_str())
}

fn take(words: &mut &[&str], expected: &str) -> bool {
    let found = words.first() == Some(&expected);
    if found {
        *words = &words[1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_with_allowed_licences() {
        let check = |expression: &str, expected: bool| assert_eq!(is_allowed(expression), expected, "{expression}");
        check("MIT", true);
        check("MIT/Apache-2.0", true);
        check("Unlicense OR MIT", true);
        check("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true);
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true);
        check("GPL-3.0", false);
        check("MIT AND GPL-3.0", false);
        check("MIT WITH some-exception", false);
        check("(MIT", false);
        check("", false);
    }
}
