//! Dependencies that no source names.
//! Knows no macro expansion: a dependency that is named nowhere but needed is listed under `package.metadata.cargo-machete`.

use super::sources::Source;
use crate::gate::metadata::{Dependency, Package, Workspace};

/// Every dependency that its package's sources do not name.
pub(super) fn check(workspace: &Workspace, files: &[Source]) -> Vec<String> {
    workspace.members().flat_map(|member| check_member(workspace, member, files)).collect()
}

fn check_member(workspace: &Workspace, member: &Package, files: &[Source]) -> Vec<String> {
    let folder = member.folder().strip_prefix(&workspace.root).unwrap_or(member.folder());
    let wherever =
        |part: &str| -> Vec<&Source> { files.iter().filter(|file| file.path.starts_with(folder.join(part))).collect() };
    let (shipped, all) = (wherever("src"), wherever(""));
    let unused = member.dependencies.iter().filter(|dependency| {
        let places = if dependency.kind.is_none() { &shipped } else { &all };
        !is_ignored(member, dependency) && !places.iter().any(|file| names(&file.text, &dependency.identifier()))
    });
    unused.map(|dependency| format!("{}: dependency {} is not used", member.name, dependency.name)).collect()
}

fn is_ignored(member: &Package, dependency: &Dependency) -> bool {
    let ignored = member.metadata["cargo-machete"]["ignored"].as_array();
    ignored.is_some_and(|ignored| ignored.iter().any(|name| name.as_str() == Some(dependency.name.as_str())))
}

/// Whether `identifier` stands in `text` as a word of its own.
fn names(text: &str, identifier: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(identifier)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + identifier.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_of_its_own() {
        assert!(names("use rand::Rng;", "rand"));
        assert!(!names("use rand_chacha::ChaCha8Rng; operand", "rand"));
    }
}
