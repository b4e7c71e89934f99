//! Where two JSON documents differ: for what goes on only as it was begun.
//! Knows no document's meaning.

use std::collections::BTreeSet;

use serde_json::Value;

/// The first key, by name, at which two documents differ, with both values.
pub(crate) fn first_change(place: &str, before: &Value, now: &Value) -> Option<(String, Value, Value)> {
    let (Value::Object(of_before), Value::Object(of_now)) = (before, now) else {
        return (before != now).then(|| (place.to_owned(), before.clone(), now.clone()));
    };
    let keys: BTreeSet<&String> = of_before.keys().chain(of_now.keys()).collect();
    keys.into_iter().find_map(|key| {
        let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        first_change(&place, of_before.get(key).unwrap_or(&Value::Null), of_now.get(key).unwrap_or(&Value::Null))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_change_is_named() {
        let before = json!({ "a": 1, "b": { "c": [1, 2], "d": "x" } });
        assert_eq!(first_change("", &before, &before), None);
        let now = json!({ "a": 1, "b": { "c": [1, 3], "d": "y" } });
        assert_eq!(first_change("", &before, &now), Some(("b.c".to_owned(), json!([1, 2]), json!([1, 3]))));
        let now = json!({ "a": 1, "b": { "c": [1, 2], "d": "x" }, "e": 0 });
        assert_eq!(first_change("", &before, &now), Some(("e".to_owned(), json!(null), json!(0))));
    }
}
