//! Which modules of a network a prefix names, when some are to stay as they are.
//! Knows no layer: names in, answers out.

/// What stands for every module when something is frozen.
pub(crate) const WHOLE: [&str; 2] = ["all", "backbone"];

/// Whether the module or entry `name` is, or lies under, the module `prefix`.
pub(crate) fn lies_under(name: &str, prefix: &str) -> bool {
    WHOLE.contains(&prefix) || name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The first part of a name; two parts where the first is a plain list, as `blocks.3`.
pub(crate) fn stage(name: &str) -> String {
    let mut parts = name.split('.');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_list = is_number(second) && !first.ends_with(|last: char| last.is_ascii_digit());
    if is_list { format!("{first}.{second}") } else { first.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_dot() {
        assert!(lies_under("layer1.0.conv1.weight", "layer1"));
        assert!(lies_under("layer1", "layer1"));
        assert!(!lies_under("layer10.weight", "layer1"));
        assert!(lies_under("layer10.weight", "all"));
    }

    #[test]
    fn a_stage_is_the_first_part_of_a_name_or_the_member_of_a_list() {
        for (name, expected) in [("layer1.0.conv1.weight", "layer1"), ("blocks.3.conv.0.weight", "blocks.3")] {
            assert_eq!(stage(name), expected);
        }
    }
}
