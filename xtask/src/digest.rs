//! A number for the contents of a file or text, to tell whether it is the same as before (FNV-1a, 64 bits).
//! Knows no adversary: who wants to can make two files with the same number.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use arcface_core::Error;

/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// The number, while bytes come in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(u64);

impl Digest {
    /// That of `bytes`, as hexadecimal digits.
    pub(crate) fn of(bytes: &[u8]) -> String {
        Self::new().with(bytes).text()
    }

    /// That of a file's bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn of_file(path: &Path) -> arcface_core::Result<String> {
        let unreadable = |error| Error::io(path, error);
        let mut file = File::open(path).map_err(unreadable)?;
        let (mut digest, mut chunk) = (Self::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut chunk).map_err(unreadable)? {
                0 => return Ok(digest.text()),
                length => digest = digest.with(&chunk[..length]),
            }
        }
    }

    /// That of nothing yet.
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// That of the bytes so far and `bytes`.
    pub(crate) fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// As hexadecimal digits.
    pub(crate) fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of <http://www.isthe.com/chongo/tech/comp/fnv/>.
    #[test]
    fn known_digests() {
        assert_eq!(Digest::of(b""), "cbf29ce484222325");
        assert_eq!(Digest::of(b"foobar"), "85944171f73967e8");
    }

    #[test]
    fn a_file_has_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3 * CHUNK + 7).map(|at| (at % 251) as u8).collect();
        std::fs::write(folder.path().join("a"), &bytes).unwrap();
        assert_eq!(Digest::of_file(&folder.path().join("a")).unwrap(), Digest::of(&bytes));
    }
}
