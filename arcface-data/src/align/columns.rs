//! Which column of a header holds which coordinate, in the spellings that lists of landmarks use.
//! Knows no files and no values.

use super::NAMES;

/// Names of the column of the image, without case, `_`, `-` and spaces.
const PATHS: [&str; 10] =
    ["path", "file", "filename", "filepath", "image", "imagepath", "imagename", "imagefile", "imageid", "name"];

/// Names of the points; an `x` or `y` stands before or behind them.
const BY_NAME: [&[&str]; 5] = [
    &["leye", "lefteye", "eyeleft", "eyel"],
    &["reye", "righteye", "eyeright", "eyer"],
    &["nose", "nosetip", "n"],
    &["lmouth", "leftmouth", "mouthleft", "mouthl", "leftmouthcorner", "mouthleftcorner"],
    &["rmouth", "rightmouth", "mouthright", "mouthr", "rightmouthcorner", "mouthrightcorner"],
];

const BY_NUMBER: [&[&str]; 5] = [
    &["1", "p1", "pt1", "point1", "lm1", "landmark1"],
    &["2", "p2", "pt2", "point2", "lm2", "landmark2"],
    &["3", "p3", "pt3", "point3", "lm3", "landmark3"],
    &["4", "p4", "pt4", "point4", "lm4", "landmark4"],
    &["5", "p5", "pt5", "point5", "lm5", "landmark5"],
];

/// The columns of a list.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) path: usize,
    /// x and y of each point.
    pub(super) points: [[usize; 2]; 5],
    /// The header, with a name for the column that it leaves out.
    pub(super) names: Vec<String>,
}

impl Columns {
    /// The columns of a header, which may leave out the first one if that is the path and the others are the points.
    pub(super) fn of(header: &[String]) -> Result<Self, String> {
        let mut names = header.to_vec();
        if path(&names).is_none() && names.len() == 10 {
            names.insert(0, "path".to_owned());
        }
        let Some(path) = path(&names) else {
            return Err(format!("expected a column `path`, found {}", names.join(", ")));
        };
        Ok(Self { path, points: points(&names)?, names })
    }
}

/// Whether a field is the name of one of our columns.
pub(super) fn is_known(field: &str) -> bool {
    let known = |names| coordinate(field, names).is_some();
    PATHS.contains(&plain(field).as_str()) || known(&BY_NAME) || known(&BY_NUMBER)
}

fn path(names: &[String]) -> Option<usize> {
    PATHS.iter().find_map(|known| names.iter().position(|name| plain(name) == *known))
}

/// By their names if all are there, else by number: boxes are called `x1`, `y1` too.
fn points(names: &[String]) -> Result<[[usize; 2]; 5], String> {
    let by_name = found(names, &BY_NAME)?;
    if let Some(points) = complete(by_name) {
        return Ok(points);
    }
    let by_number = found(names, &BY_NUMBER)?;
    if let Some(points) = complete(by_number) {
        return Ok(points);
    }
    let count = |found: &[[Option<usize>; 2]; 5]| found.iter().flatten().flatten().count();
    let (best, spelling) = if count(&by_number) <= count(&by_name) { (by_name, "x_leye") } else { (by_number, "x1") };
    let missing = best.iter().zip(NAMES).flat_map(|(point, name)| {
        point
            .iter()
            .zip(["x", "y"])
            .filter(|(column, _)| column.is_none())
            .map(move |(_, axis)| format!("{axis} of the {name}"))
    });
    Err(format!(
        "expected columns such as `{spelling}` for x and y of five landmarks, found none for {} among {}",
        missing.collect::<Vec<_>>().join(", "),
        names.join(", ")
    ))
}

fn complete(found: [[Option<usize>; 2]; 5]) -> Option<[[usize; 2]; 5]> {
    let mut points = [[0; 2]; 5];
    for (point, columns) in points.iter_mut().flatten().zip(found.iter().flatten()) {
        *point = (*columns)?;
    }
    Some(points)
}

fn found(names: &[String], known: &[&[&str]; 5]) -> Result<[[Option<usize>; 2]; 5], String> {
    let mut columns = [[None; 2]; 5];
    for (index, name) in names.iter().enumerate() {
        let Some((point, axis)) = coordinate(name, known) else { continue };
        if let Some(before) = columns[point][axis].replace(index) {
            return Err(format!("columns `{}` and `{name}` hold the same coordinate; remove one", names[before]));
        }
    }
    Ok(columns)
}

/// Point and axis that a column's name stands for.
fn coordinate(name: &str, known: &[&[&str]; 5]) -> Option<(usize, usize)> {
    let name = plain(name);
    let point = |rest: &str| known.iter().position(|names| names.contains(&rest));
    ["x", "y"].iter().enumerate().find_map(|(axis, letter)| {
        let before = name.strip_prefix(letter).and_then(point);
        before.or_else(|| name.strip_suffix(letter).and_then(point)).map(|point| (point, axis))
    })
}

fn plain(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: [usize; 11]) {
        let columns = Columns::of(&header.split(',').map(str::to_owned).collect::<Vec<_>>()).unwrap();
        let points: Vec<_> = columns.points.iter().flatten().copied().collect();
        assert_eq!((columns.path, points), (expected[0], expected[1..].to_vec()), "{header}");
    }

    #[test]
    fn spellings_are_understood() {
        let in_order = std::array::from_fn(|index| index);
        check("path,x_leye,y_leye,x_reye,y_reye,x_nose,y_nose,x_lmouth,y_lmouth,x_rmouth,y_rmouth", in_order);
        check("File Name,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5", in_order);
        check("image,p1_x,p1_y,p2_x,p2_y,p3_x,p3_y,p4_x,p4_y,p5_x,p5_y", in_order);
        let names =
            "lefteye_x,lefteye_y,righteye_x,righteye_y,nose_x,nose_y,leftmouth_x,leftmouth_y,rightmouth_x,rightmouth_y";
        check(&format!("image_id,{names}"), in_order);
        check(names, in_order);
    }

    #[test]
    fn boxes_are_not_taken_for_points() {
        let header = "path,n_faces,score,x0,y0,x1,y1,x_leye,y_leye,x_reye,y_reye,x_nose,y_nose,x_lmouth,y_lmouth,x_rmouth,y_rmouth,source";
        check(header, [0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    }
}
