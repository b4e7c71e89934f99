//! RecordIO written by a plain loop over bytes, from the description of the format and not from our writer.

use std::fmt::Write;
use std::path::Path;

/// 0xced7230a, little endian.
pub(crate) const MAGIC: [u8; 4] = [0x0a, 0x23, 0xd7, 0xce];

/// A key and the payload of its record.
pub(crate) type Entry = (u64, Vec<u8>);

/// A record as MXNet packs it: flag, label, id, second id, labels of a flag above 0, body.
pub(crate) fn payload(flag: u32, label: f32, id: u64, labels: &[f32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(flag.to_le_bytes());
    bytes.extend(label.to_le_bytes());
    bytes.extend(id.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    for label in labels {
        bytes.extend(label.to_le_bytes());
    }
    bytes.extend(body);
    bytes
}

/// The image `body` of the identity `label`.
pub(crate) fn image(key: u64, label: f32, body: &[u8]) -> Entry {
    (key, payload(0, label, key, &[], body))
}

/// A record with several labels and no body: key 0, or an identity.
pub(crate) fn labels(key: u64, labels: &[f32]) -> Entry {
    (key, payload(labels.len() as u32, 0.0, key, labels, &[]))
}

/// The layout that insightface writes: images, key 0, identities; `bodies[l]` are the images of identity `l`.
pub(crate) fn face_layout(bodies: &[Vec<Vec<u8>>]) -> Vec<Entry> {
    let (mut entries, mut ranges, mut key) = (vec![], vec![], 1);
    for (label, bodies) in bodies.iter().enumerate() {
        let first = key;
        for body in bodies {
            entries.push(image(key, label as f32, body));
            key += 1;
        }
        ranges.push([first as f32, key as f32]);
    }
    entries.push(labels(0, &[key as f32, (key + ranges.len() as u64) as f32]));
    for range in ranges {
        entries.push(labels(key, &range));
        key += 1;
    }
    entries
}

/// The bytes of `.rec` and `.idx`.
pub(crate) fn write(entries: &[Entry]) -> (Vec<u8>, Vec<u8>) {
    let (mut records, mut index) = (vec![], String::new());
    for (key, payload) in entries {
        writeln!(index, "{key}\t{}", records.len()).unwrap();
        let mut parts = vec![vec![]];
        let mut at = 0;
        while at < payload.len() {
            if at % 4 == 0 && payload[at..].starts_with(&MAGIC) {
                parts.push(vec![]);
                at += 4;
            } else {
                parts.last_mut().unwrap().push(payload[at]);
                at += 1;
            }
        }
        for (number, part) in parts.iter().enumerate() {
            let kind = match (number, parts.len() - 1) {
                (0, 0) => 0,
                (0, _) => 1,
                (number, last) if number == last => 3,
                _ => 2,
            };
            records.extend(MAGIC);
            records.extend((kind * (1 << 29) + part.len() as u32).to_le_bytes());
            records.extend(part);
            while records.len() % 4 != 0 {
                records.push(0);
            }
        }
    }
    (records, index.into_bytes())
}

/// `train.rec` and `train.idx` in `folder`.
pub(crate) fn save(folder: &Path, entries: &[Entry]) {
    let (records, index) = write(entries);
    std::fs::write(folder.join("train.rec"), records).unwrap();
    std::fs::write(folder.join("train.idx"), index).unwrap();
}
