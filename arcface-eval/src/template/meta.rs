//! The lists of IJB-B and IJB-C as text: images of templates, pairs of templates, landmarks, galleries and probes.
//! Knows no path and no image; an error names the line and says what one looks like.

use arcface_core::{Error, Result};
use rayon::prelude::*;

/// An image of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The image's name, such as `1.jpg`.
    pub image: &'a str,
    /// The number of the template.
    pub template: u32,
    /// The number of the photograph or video that the image is from.
    pub media: u32,
}

/// Two templates that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplatePair {
    /// The number of one.
    pub first: u32,
    /// The number of the other.
    pub second: u32,
    /// Whether both show one person.
    pub same: bool,
}

/// Where a face is in an image, and how certain the detector was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection<'a> {
    /// The image's name, such as `1.jpg`.
    pub image: &'a str,
    /// Eyes, nose and corners of the mouth as (x, y) in pixels, from left to right in the image.
    pub landmarks: [(f32, f32); 5],
    /// The score of the face detector.
    pub score: f32,
}

/// A template and whom it shows, of a gallery or of the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolled {
    /// The number of the template.
    pub template: u32,
    /// The number of the person.
    pub subject: u32,
}

/// Lines `IMAGE TEMPLATE MEDIA`, as of `ijbc_face_tid_mid.txt`.
///
/// ```
/// let members = arcface_eval::template::meta::members("1.jpg 1 69544\n2.jpg 1 80438\n")?;
/// assert_eq!((members[1].image, members[1].template, members[1].media), ("2.jpg", 1, 80438));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a line is not of this form, or there is none.
pub fn members(text: &str) -> Result<Vec<Member<'_>>> {
    lines("the list of templates", "IMAGE TEMPLATE MEDIA, such as `1.jpg 1 69544`", text, 0, |line| {
        let [image, template, media] = exactly(line)?;
        Some(Member { image, template: template.parse().ok()?, media: media.parse().ok()? })
    })
}

/// Lines `TEMPLATE TEMPLATE LABEL` with the label 1 for one person and 0 for two, as of `ijbc_template_pair_label.txt`.
///
/// ```
/// let pairs = arcface_eval::template::meta::pairs("1 11065 1\n1 11066 0\n")?;
/// assert_eq!((pairs[1].second, pairs[1].same), (11066, false));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a line is not of this form, or there is none.
pub fn pairs(text: &str) -> Result<Vec<TemplatePair>> {
    lines("the list of pairs", "TEMPLATE TEMPLATE LABEL, such as `1 11065 1`, the label 0 or 1", text, 0, |line| {
        let [first, second, label] = exactly(line)?;
        Some(TemplatePair { first: first.parse().ok()?, second: second.parse().ok()?, same: label_of(label)? })
    })
}

/// Lines of an image, ten coordinates and the detector's score, as of `ijbc_name_5pts_score.txt`.
///
/// ```
/// let found = arcface_eval::template::meta::detections("1.jpg 46.0 62.9 87.4 62.9 66.9 88.0 50.8 107.8 82.8 107.9 0.99\n")?;
/// assert_eq!((found[0].landmarks[2], found[0].score), ((66.9, 88.0), 0.99));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a line is not of this form, a number is not finite, or there is no line.
pub fn detections(text: &str) -> Result<Vec<Detection<'_>>> {
    lines("the list of landmarks", "IMAGE, ten finite coordinates and the detector's score", text, 0, |line| {
        let [image, numbers @ ..] = exactly::<12>(line)?;
        let mut values = [0.0_f32; 11];
        for (value, number) in values.iter_mut().zip(numbers) {
            *value = number.parse().ok().filter(|value: &f32| value.is_finite())?;
        }
        let landmarks = std::array::from_fn(|point| (values[2 * point], values[2 * point + 1]));
        Some(Detection { image, landmarks, score: values[10] })
    })
}

/// Lines `TEMPLATE,SUBJECT`, as of `ijbc_1N_gallery_G1.csv`; further columns and a line of their names may be there.
///
/// A template of several images may have as many lines, which are one here.
///
/// ```
/// let gallery = arcface_eval::template::meta::enrolled("TEMPLATE_ID,SUBJECT_ID\n12,3\n12,3\n40,8\n")?;
/// assert_eq!((gallery.len(), gallery[1].template, gallery[1].subject), (2, 40, 8));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a line is not of this form, a template is of two subjects, or there is no line.
pub fn enrolled(text: &str) -> Result<Vec<Enrolled>> {
    let is_header = text.lines().next().is_some_and(|line| !line.starts_with(|c: char| c.is_ascii_digit()));
    let form = "TEMPLATE,SUBJECT, such as `12,3`";
    let mut found = lines("the list of subjects", form, text, usize::from(is_header), |line| {
        let mut fields = line.split(',').map(str::trim);
        let (template, subject) = (fields.next()?, fields.next()?);
        Some(Enrolled { template: template.parse().ok()?, subject: subject.parse().ok()? })
    })?;
    found.sort_by_key(|enrolled| (enrolled.template, enrolled.subject));
    found.dedup();
    if let Some(two) = found.windows(2).find(|two| two[0].template == two[1].template) {
        let got = format!("{} and {}", two[0].subject, two[1].subject);
        return Err(Error::value(format!("template {} of the list of subjects", two[0].template), "one subject", got));
    }
    Ok(found)
}

/// What `parse` makes of every line after the first `skipped` that is not blank, on all threads.
fn lines<'a, T: Send>(
    what: &str,
    form: &str,
    text: &'a str,
    skipped: usize,
    parse: impl Fn(&'a str) -> Option<T> + Sync,
) -> Result<Vec<T>> {
    let start = text.split_inclusive('\n').take(skipped).map(str::len).sum();
    let filled = |line: &&str| !line.trim().is_empty();
    let parsed: Option<Vec<T>> = text[start..].par_lines().filter(filled).map(&parse).collect();
    match parsed {
        Some(parsed) if parsed.is_empty() => Err(Error::value(what, format!("lines of the form {form}"), "none")),
        Some(parsed) => Ok(parsed),
        None => {
            // Numbers of lines are counted only for the message.
            let mut numbered = text.lines().enumerate().skip(skipped).filter(|(_, line)| filled(line));
            let (index, line) = numbered.find(|(_, line)| parse(line).is_none()).unwrap_or_default();
            Err(Error::value(format!("line {} of {what}", index + 1), form, format!("`{}`", shortened(line))))
        }
    }
}

/// The fields of a line between blanks, if there are N.
fn exactly<const N: usize>(line: &str) -> Option<[&str; N]> {
    let mut fields = line.split_ascii_whitespace();
    let mut found = [""; N];
    for field in &mut found {
        *field = fields.next()?;
    }
    fields.next().is_none().then_some(found)
}

fn label_of(label: &str) -> Option<bool> {
    match label {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// The beginning of a line that may be a whole file.
fn shortened(line: &str) -> String {
    let most = 80;
    if line.chars().count() <= most { line.to_owned() } else { line.chars().take(most).chain(['…']).collect() }
}
