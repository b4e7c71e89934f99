//! `KEY=VALUE` as the command line has it: a dotted key and a TOML value, else a string.
//! Knows no configuration.

use anyhow::bail;
use toml::Value;

/// The parts of the key and the value.
///
/// # Errors
/// If there is no `=`, or a part of the key is empty.
pub(crate) fn parse(text: &str) -> anyhow::Result<(Vec<String>, Value)> {
    let Some((key, value)) = text.split_once('=') else { bail!("--set {text}: expected KEY=VALUE") };
    let parts: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
    if parts.iter().any(String::is_empty) {
        bail!("--set {text}: expected KEY=VALUE, where KEY is a name or names with dots between them");
    }
    Ok((parts, parse_value(value.trim())))
}

fn parse_value(text: &str) -> Value {
    match text.parse() {
        // No key of ours is a date, but the name of a folder may look like one.
        Ok(Value::Datetime(_)) | Err(_) => Value::String(text.to_owned()),
        Ok(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, key: &str, value: impl Into<Value>) {
        let (parts, found) = parse(text).unwrap();
        assert_eq!((parts.join("."), found), (key.to_owned(), value.into()), "{text}");
    }

    #[test]
    fn values_are_toml() {
        check("train.epochs=3", "train.epochs", 3);
        check("margin=0.5", "margin", 0.5);
        check(" margin = -1e-3 ", "margin", -1e-3);
        check("a.b.c=true", "a.b.c", true);
        check("milestones=[8, 14]", "milestones", vec![8, 14]);
        check("name=\"x = y\"", "name", "x = y");
        let terms = parse("terms=[{ name = \"intra\" }]").unwrap().1;
        assert_eq!(terms[0]["name"].as_str(), Some("intra"));
        assert!(parse("rate=nan").unwrap().1.as_float().unwrap().is_nan());
    }

    #[test]
    fn what_is_no_toml_is_a_string() {
        check("form=integer", "form", "integer");
        check("path=faces/a b", "path", "faces/a b");
        check("path=C:\\faces", "path", "C:\\faces");
        check("path=2026-01-31", "path", "2026-01-31");
        check("path=a=b", "path", "a=b");
        check("path=", "path", "");
        check("path=1\nother = 2", "path", "1\nother = 2");
        check("path=[1", "path", "[1");
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        let complaint = |text| parse(text).unwrap_err().to_string();
        assert_eq!(complaint("margin"), "--set margin: expected KEY=VALUE");
        assert_eq!(complaint(""), "--set : expected KEY=VALUE");
        let dots = "expected KEY=VALUE, where KEY is a name or names with dots between them";
        assert_eq!(complaint("=3"), format!("--set =3: {dots}"));
        assert_eq!(complaint("train..epochs=3"), format!("--set train..epochs=3: {dots}"));
    }
}
