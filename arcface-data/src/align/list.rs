//! Lists of landmarks: a CSV with named columns, or plain lines `path x1 y1 … x5 y5`.
//! Knows no images: a path is a name until somebody opens it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use arcface_core::{Error, Result};

use super::columns::{Columns, is_known};
use super::{Landmarks, NAMES, Point};
use crate::image::unreadable;
use crate::pairs::csv;

/// Whose left and right a list means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sides {
    /// As seen in the image, which is what detectors give.
    #[default]
    Image,
    /// The person's own: the left eye is to the right in the image.
    Person,
}

/// What a list has of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A face.
    Face(Landmarks),
    /// Empty coordinates: whoever made the list found no face.
    Nothing,
    /// Five points that cannot be those of a face, and why.
    Unusable(String),
}

/// An image and its landmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Path of the image, below the folder that the list speaks of.
    pub path: String,
    /// Its landmarks.
    pub found: Found,
    /// Line of the list, from 1.
    pub line: usize,
}

/// Landmarks of images, in the order of their list.
#[derive(Debug, Clone, PartialEq)]
pub struct LandmarkList {
    rows: Vec<Listed>,
    origin: PathBuf,
}

impl LandmarkList {
    /// Reads a list.
    ///
    /// With a header, the fields of which are separated by commas, tabs or spaces, these columns are used and others
    /// left out: `path` (or `file`, `image`, `name`, …), and x and y of every point, `x_leye` or `lefteye_x`, likewise
    /// `reye`, `nose`, `lmouth` and `rmouth`, or `x1` to `y5`. A header of the ten coordinates alone, below a line with
    /// the number of images or not, has the path before them, as CelebA's lists do. Without a header, lines are
    /// `path x1 y1 … x5 y5`, where a detector's score from 0 to 1 may follow. Blank lines and lines that begin with `#`
    /// are left out.
    ///
    /// # Errors
    /// If the file cannot be read or lists nothing, a column is missing, a line is not of the form or an image is listed
    /// twice; the error names file, line and column.
    ///
    /// # Example
    /// ```
    /// use arcface_data::align::{LandmarkList, Sides};
    /// let list = "anna/1.jpg 38 51 73 51 56 71 41 92 70 92\n";
    /// let list = LandmarkList::parse(list, "landmarks.txt", Sides::Image)?;
    /// assert_eq!(list.rows()[0].path, "anna/1.jpg");
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn read(path: &Path, sides: Sides) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        Self::parse(&text, path, sides)
    }

    /// Reads the text of a list; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(text: &str, origin: impl Into<PathBuf>, sides: Sides) -> Result<Self> {
        let origin = origin.into();
        let rows = rows(text, sides).map_err(|message| Error::file(&origin, message))?;
        if rows.is_empty() {
            return Err(Error::file(origin, "expected the landmarks of at least one image, found none"));
        }
        Ok(Self { rows, origin })
    }

    /// The images.
    pub fn rows(&self) -> &[Listed] {
        &self.rows
    }

    /// The file that the list was read from.
    pub fn origin(&self) -> &Path {
        &self.origin
    }
}

/// What is wrong with a list, to be put behind its name.
type Said<T> = std::result::Result<T, String>;

fn rows(text: &str, sides: Sides) -> Said<Vec<Listed>> {
    let text = text.trim_start_matches('\u{feff}');
    let is_empty = |line: &str| line.trim().is_empty() || line.starts_with('#');
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !is_empty(line)).peekable();
    // CelebA's lists begin with the number of images.
    lines.next_if(|(_, line)| line.trim().bytes().all(|byte| byte.is_ascii_digit()));
    let form = match lines.next_if(|(_, line)| is_header(line)) {
        Some((number, line)) => Form::header(line).map_err(|message| format!("line {number}: {message}"))?,
        None => Form::Plain,
    };
    let mut seen = HashMap::new();
    let mut rows: Vec<Listed> = Vec::new();
    for (line, text) in lines {
        let row = form.row(text, sides).map_err(|message| format!("line {line}: {message}"))?;
        if let Some(before) = seen.insert(row.0.clone(), line) {
            return Err(format!("line {line}: `{}` stands in line {before} already; keep one of its faces", row.0));
        }
        rows.push(Listed { path: row.0, found: row.1, line });
    }
    Ok(rows)
}

/// Whether a line names columns: it knows one and has no number.
fn is_header(line: &str) -> bool {
    let fields = Separator::of(line).fields(line);
    fields.iter().any(|field| is_known(field)) && fields.iter().all(|field| field.trim().parse::<f64>().is_err())
}

#[derive(Debug, Clone, Copy)]
enum Separator {
    Comma,
    Tab,
    Space,
}

impl Separator {
    fn of(line: &str) -> Self {
        if line.contains(',') {
            Self::Comma
        } else if line.contains('\t') {
            Self::Tab
        } else {
            Self::Space
        }
    }

    fn fields(self, line: &str) -> Vec<String> {
        match self {
            Self::Comma => csv::fields(line),
            Self::Tab => line.split('\t').map(str::to_owned).collect(),
            Self::Space => line.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

enum Form {
    Columns(Separator, Columns),
    Plain,
}

type Row = (String, Found);

impl Form {
    fn header(line: &str) -> Said<Self> {
        let separator = Separator::of(line);
        Ok(Self::Columns(separator, Columns::of(&separator.fields(line))?))
    }

    fn row(&self, line: &str, sides: Sides) -> Said<Row> {
        let (path, points) = match self {
            Self::Columns(separator, columns) => by_columns(columns, &separator.fields(line))?,
            Self::Plain => plain(line)?,
        };
        let found = points.map_or(Found::Nothing, |points| found(as_seen(points, sides)));
        Ok((checked(&path)?, found))
    }
}

fn found(points: [Point; 5]) -> Found {
    Landmarks::new(&points).map_or_else(|error| Found::Unusable(error.to_string()), Found::Face)
}

fn by_columns(columns: &Columns, fields: &[String]) -> Said<(String, Option<[Point; 5]>)> {
    let names = &columns.names;
    if fields.len() != names.len() {
        return Err(format!("expected {} fields ({}), got {}", names.len(), names.join(","), fields.len()));
    }
    let path = fields[columns.path].trim().to_owned();
    if columns.points.iter().flatten().all(|column| fields[*column].trim().is_empty()) {
        return Ok((path, None));
    }
    let mut points = [[0.0; 2]; 5];
    for (value, column) in points.iter_mut().flatten().zip(columns.points.iter().flatten()) {
        *value = number(&fields[*column], &format!("column `{}`", names[*column]))?;
    }
    Ok((path, Some(points)))
}

fn plain(line: &str) -> Said<(String, Option<[Point; 5]>)> {
    let is_separator = |character: char| character.is_whitespace() || character == ',';
    let mut rest = line.trim_end_matches(is_separator);
    let mut fields = Vec::new();
    // From the end, so that a path may have spaces.
    while let Some((before, field)) = rest.rsplit_once(is_separator)
        && fields.len() < 12
        && field.parse::<f64>().is_ok()
    {
        fields.push(field);
        rest = before.trim_end_matches(is_separator);
    }
    fields.reverse();
    // Behind the points a detector's score may stand.
    if fields.len() == 11 && fields[10].parse::<f64>().is_ok_and(|score| 0.0 <= score && score <= 1.0) {
        fields.pop();
    }
    if fields.len() != 10 {
        return Err(format!("expected `path x1 y1 … x5 y5`, got {} numbers behind `{}`", fields.len(), rest.trim()));
    }
    let mut points = [[0.0; 2]; 5];
    for (place, (value, field)) in points.iter_mut().flatten().zip(fields).enumerate() {
        *value = number(field, &format!("{} of the {}", ["x", "y"][place % 2], NAMES[place / 2]))?;
    }
    Ok((rest.trim().trim_matches('"').to_owned(), Some(points)))
}

fn number(field: &str, what: &str) -> Said<f64> {
    let value = field.trim().parse::<f64>();
    value
        .ok()
        .filter(|value| value.is_finite())
        .ok_or_else(|| format!("{what}: expected a finite number, got `{field}`"))
}

/// A path that stays below the folder of images.
fn checked(path: &str) -> Said<String> {
    let path = path.trim_start_matches("./");
    let is_outside = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.split('/').any(is_outside) || Path::new(path).is_absolute() || path.contains('\0') {
        return Err(format!("expected the path of an image below the folder of images, got `{path}`"));
    }
    Ok(path.to_owned())
}

/// The points with left and right as seen in the image.
fn as_seen(points: [Point; 5], sides: Sides) -> [Point; 5] {
    let [left_eye, right_eye, nose, left_mouth, right_mouth] = points;
    match sides {
        Sides::Image => points,
        Sides::Person => [right_eye, left_eye, nose, right_mouth, left_mouth],
    }
}
