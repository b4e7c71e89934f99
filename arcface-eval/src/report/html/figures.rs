//! The figures of a page: in large, compared, by folds, and everything else.
//! Knows no plots and no faces.

use super::text::escaped;
use crate::report::table;
use crate::verification::Verification;

/// The figures to be seen first.
pub(super) fn headline(v: &Verification) -> String {
    let percent = |rate: f64| format!("{:.2} %", 100.0 * rate);
    let mut tiles = vec![
        (
            "Accuracy".to_owned(),
            percent(v.accuracy),
            format!("± {:.2} over {}", 100.0 * v.accuracy_std, table::folds(v)),
        ),
        ("AUC".to_owned(), format!("{:.4}", v.auc), "area under the ROC".to_owned()),
        ("EER".to_owned(), percent(v.eer), "equal error rate".to_owned()),
    ];
    // The lowest rate that the number of impostor pairs can show says most.
    if let Some((far, tar)) = table::tar_at_far(v).filter_map(|(far, tar)| Some((far, tar?))).last() {
        tiles.push((format!("TAR at FAR {far}"), percent(tar), "genuine pairs accepted".to_owned()));
    }
    let tiles: String = tiles.iter().map(tile).collect();
    format!("<section>\n<h2>Verification</h2>\n<dl class=\"tiles\">\n{tiles}</dl>\n{}</section>\n", rates(v))
}

fn tile((name, value, note): &(String, String, String)) -> String {
    let (name, value, note) = (escaped(name), escaped(value), escaped(note));
    format!("<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>\n")
}

/// What is known of the pairs, in a few sentences.
fn rates(v: &Verification) -> String {
    let known: Vec<String> =
        table::tar_at_far(v).filter_map(|(far, tar)| Some(format!("{} at {far}", table::rate(Some(tar?))))).collect();
    let unknown: Vec<&str> = table::tar_at_far(v).filter(|(_, tar)| tar.is_none()).map(|(far, _)| far).collect();
    let too_few = match unknown[..] {
        [] => String::new(),
        _ => format!("; too few impostor pairs for {}", unknown.join(", ")),
    };
    format!(
        "<p class=\"note\">{} genuine and {} impostor pairs. TAR by FAR: {}{too_few}. A pair is called the same person \
         up to a squared ℓ2 distance of {:.3}, the best threshold over all pairs.</p>\n",
        v.genuine,
        v.impostors,
        known.join(", "),
        v.threshold
    )
}

/// The accuracy beside those to compare with, as bars from guessing to certainty.
pub(super) fn accuracies(verification: Option<&Verification>, compared: &[(&str, f64)]) -> String {
    let Some(v) = verification.filter(|_| !compared.is_empty()) else { return String::new() };
    let rows: String =
        [("this network", v.accuracy)].iter().chain(compared).map(|(name, rate)| bar(name, *rate)).collect();
    format!(
        "<section>\n<h2>Accuracy on the same pairs</h2>\n<table class=\"bars\">\n<thead><tr><th scope=\"col\">by</th>\
         <th scope=\"col\">accuracy</th><th scope=\"col\">from guessing, 50 %, to 100 %</th></tr></thead>\n<tbody>\n{rows}\
         </tbody>\n</table>\n</section>\n"
    )
}

fn bar(name: &str, rate: f64) -> String {
    let length = 200.0 * (rate - 0.5).clamp(0.0, 0.5);
    format!(
        "<tr><th scope=\"row\">{}</th><td>{:.2} %</td><td aria-hidden=\"true\"><span style=\"width:{length:.1}%\">\
         </span></td></tr>\n",
        escaped(name),
        100.0 * rate
    )
}

/// Names and values.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let rows = facts.iter().map(|(name, value)| {
        let (name, value) = (escaped(name), escaped(value));
        format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n")
    });
    format!(
        "<section>\n<h2>Details</h2>\n<table>\n<tbody>\n{}</tbody>\n</table>\n</section>\n",
        rows.collect::<String>()
    )
}

/// Accuracy and threshold of each fold, to be unfolded.
pub(super) fn folds(v: &Verification) -> String {
    let rows = (1..).zip(v.accuracies.iter().zip(&v.thresholds)).map(|(fold, (accuracy, threshold))| {
        format!("<tr><th scope=\"row\">{fold}</th><td>{:.2} %</td><td>{threshold:.3}</td></tr>\n", 100.0 * accuracy)
    });
    format!(
        "<details>\n<summary>Accuracy by folds</summary>\n<table>\n<thead><tr><th scope=\"col\">fold</th>\
         <th scope=\"col\">accuracy</th><th scope=\"col\">threshold of the others</th></tr></thead>\n<tbody>\n{}</tbody>\n\
         </table>\n</details>\n",
        rows.collect::<String>()
    )
}
