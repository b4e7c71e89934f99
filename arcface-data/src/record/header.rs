//! What a face record begins with: flag, label and two ids, then as many labels as a flag above 0 says.
//! Knows no frames and no file.

use super::Said;

/// The largest label of a record: labels are 32-bit floats, which count exactly up to here.
pub const LARGEST_LABEL: u32 = 1 << 24;

/// u32 flag, f32 label, u64 id, u64 second id.
const LENGTH: usize = 24;

/// Label, id and how many labels follow in the payload that it was read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    label: f32,
    pub(super) id: u64,
    /// The flag: labels that follow the header; 0 where the header holds the only one.
    count: usize,
}

impl Header {
    pub(super) fn parse(payload: &[u8]) -> Said<Self> {
        let Some((head, rest)) = payload.split_first_chunk::<LENGTH>() else {
            let length = payload.len();
            return Err(format!("expected a header of {LENGTH} bytes, the record has {length}; it holds no face"));
        };
        let [f0, f1, f2, f3, l0, l1, l2, l3, i0, i1, i2, i3, i4, i5, i6, i7, ..] = *head;
        let count = u32::from_le_bytes([f0, f1, f2, f3]) as usize;
        if rest.len() / 4 < count {
            let length = rest.len();
            return Err(format!(
                "its flag says that {count} labels of 4 bytes follow, the record has {length} bytes more; \
                 the file is damaged"
            ));
        }
        let label = f32::from_le_bytes([l0, l1, l2, l3]);
        Ok(Self { label, id: u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]), count })
    }

    pub(super) fn has_vector(&self) -> bool {
        0 < self.count
    }

    /// Where the encoded image begins in the payload.
    pub(super) fn body(&self) -> usize {
        LENGTH + 4 * self.count
    }

    /// The labels: those of the vector, or the only one.
    pub(super) fn labels<'a>(&self, payload: &'a [u8]) -> impl Iterator<Item = f32> + use<'a> {
        let vector = payload.get(LENGTH..self.body()).unwrap_or_default().as_chunks::<4>().0;
        let single = (!self.has_vector()).then_some(self.label);
        single.into_iter().chain(vector.iter().map(|label| f32::from_le_bytes(*label)))
    }
}

/// A label as the whole number that it should be, at most `most`.
pub(super) fn whole(label: f32, most: u32) -> Said<u32> {
    // NaN is within no range, so it fails here too.
    let fits = 0.0 <= label && label <= most as f32 && label.fract().abs() <= 0.0;
    if fits { Ok(label as u32) } else { Err(format!("label: expected a whole number from 0 to {most}, got {label}")) }
}

/// The header of a record with these labels.
pub(super) fn pack(labels: &[f32], id: u64) -> Vec<u8> {
    let (flag, label, vector) = match labels {
        [label] => (0, *label, [].as_slice()),
        several => (several.len() as u32, 0.0, several),
    };
    let mut bytes = Vec::with_capacity(LENGTH + 4 * vector.len());
    bytes.extend_from_slice(&flag.to_le_bytes());
    bytes.extend_from_slice(&label.to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&0_u64.to_le_bytes());
    bytes.extend(vector.iter().flat_map(|label| label.to_le_bytes()));
    bytes
}
