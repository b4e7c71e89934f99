//! Who may depend on whom.
//! Knows names only; what a crate does with a dependency is its own affair.

use crate::gate::metadata::{Package, Workspace};

/// Our crates, and which of the others each may use.
const ARROWS: [(&str, &[&str]); 6] = [
    ("arcface-core", &[]),
    ("arcface-losses", &["arcface-core"]),
    ("arcface-models", &["arcface-core"]),
    ("arcface-data", &["arcface-core"]),
    ("arcface-eval", &["arcface-core"]),
    ("arcface-synth", &["arcface-core", "arcface-models"]),
];

/// The composition root, which may use everything.
const ROOT: &str = "xtask";

/// What the library crates leave to the composition root.
const ROOT_ONLY: [&str; 7] = ["anyhow", "clap", "indicatif", "ctrlc", "parquet", "hf-hub", "candle-datasets"];

/// Readers of whole data sets that a crate may have behind a feature, for whoever uses that crate alone to leave off.
const BEHIND_A_FEATURE: [(&str, &str); 1] = [("arcface-data", "parquet")];

/// Every dependency, tests' included, that points the wrong way.
pub(super) fn check(workspace: &Workspace) -> Vec<String> {
    workspace.members().filter(|member| member.name != ROOT).flat_map(check_member).collect()
}

fn check_member(member: &Package) -> Vec<String> {
    let Some((name, allowed)) = ARROWS.iter().find(|(name, _)| *name == member.name) else {
        return vec![format!("{}: a new crate; say in tidy/arrows.rs whom it may use", member.name)];
    };
    let ours = |dependency: &str| dependency == ROOT || ARROWS.iter().any(|(ours, _)| *ours == dependency);
    let wrong = member.dependencies.iter().filter(|dependency| {
        let other = dependency.name.as_str();
        // A crate may name itself to turn on its own test features.
        let own = dependency.optional || dependency.kind.as_deref() == Some("dev");
        let chosen = own && BEHIND_A_FEATURE.contains(&(*name, other));
        (ours(other) && other != *name && !allowed.contains(&other)) || (ROOT_ONLY.contains(&other) && !chosen)
    });
    wrong.map(|dependency| format!("{name} must not depend on {}", dependency.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::metadata::Dependency;

    fn breaches(name: &str, on: &[&str]) -> Vec<String> {
        let dependencies = on.iter().map(|name| Dependency { name: (*name).to_owned(), ..Dependency::default() });
        check_member(&Package { name: name.to_owned(), dependencies: dependencies.collect(), ..Package::default() })
    }

    #[test]
    fn arrows_point_to_the_core() {
        assert!(breaches("arcface-losses", &["arcface-core", "serde", "arcface-losses"]).is_empty());
        assert!(breaches("arcface-synth", &["arcface-models"]).is_empty());
    }

    #[test]
    fn other_arrows_are_breaches() {
        assert_eq!(breaches("arcface-core", &["arcface-losses"]), ["arcface-core must not depend on arcface-losses"]);
        assert_eq!(breaches("arcface-eval", &["arcface-models"]), ["arcface-eval must not depend on arcface-models"]);
        assert_eq!(breaches("arcface-data", &["xtask", "clap"]).len(), 2);
        assert_eq!(breaches("arcface-more", &[]).len(), 1);
    }

    #[test]
    fn a_reader_of_data_sets_stands_behind_a_feature() {
        let on = |optional| {
            let parquet = Dependency { name: "parquet".to_owned(), optional, ..Dependency::default() };
            check_member(&Package {
                name: "arcface-data".to_owned(),
                dependencies: vec![parquet],
                ..Package::default()
            })
        };
        assert!(on(true).is_empty());
        assert_eq!(on(false), ["arcface-data must not depend on parquet"]);
    }
}
