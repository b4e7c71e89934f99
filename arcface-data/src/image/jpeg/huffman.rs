//! Huffman codes of a JPEG's scan, from bytes to the coefficients of a block (ITU T.81, annex F.2).
//! Knows no colours and no places; what libjpeg would warn of is `None`.

use std::cell::RefCell;
use std::rc::Rc;

use super::header::{Code, Factors};

/// Bits that are looked up at once; longer codes are rare.
const AT_ONCE: u32 = 9;
/// Dequantised coefficients beyond this belong to no picture; sums of smaller ones stay within 32 bits.
const LARGEST: i32 = 8191;

/// Place of each coefficient within a block, row by row, in the order of the file.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// A code made for reading.
struct Table {
    at_once: [Entry; 1 << AT_ONCE],
    /// For each length the first 16 bits that no code of up to this length begins with.
    ends: [u32; 17],
    /// For each length the number of its first symbol, less its first code.
    offsets: [i32; 17],
    counts: [u8; 16],
    symbols: Vec<u8>,
}

thread_local! {
    /// The files of a set are coded alike as a rule.
    static RECENT: RefCell<Vec<Rc<Table>>> = const { RefCell::new(Vec::new()) };
}

/// Tables that a thread keeps.
const KEPT: usize = 8;

/// What a code stands for: zeros to pass over, and the bits of a number that follow.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Bits of the code; 0 where it is longer than was looked up.
    code: u8,
    /// Bits of the code and of its number.
    bits: u8,
    zeros: u8,
    size: u8,
}

impl Entry {
    fn new(length: usize, symbol: u8) -> Self {
        Self { code: length as u8, bits: length as u8 + (symbol & 15), zeros: symbol >> 4, size: symbol & 15 }
    }
}

impl Table {
    /// The table of `code`, made unless it was among the last ones.
    fn of(code: Code<'_>) -> Option<Rc<Self>> {
        RECENT.with_borrow_mut(|recent| {
            let same = |table: &&Rc<Self>| table.counts == *code.counts && table.symbols == code.symbols;
            if let Some(known) = recent.iter().find(same) {
                return Some(known.clone());
            }
            let table = Rc::new(Self::new(code)?);
            recent.truncate(KEPT - 1);
            recent.insert(0, table.clone());
            Some(table)
        })
    }

    fn new(code: Code<'_>) -> Option<Self> {
        let mut table = Self {
            at_once: [Entry::default(); 1 << AT_ONCE],
            ends: [0; 17],
            offsets: [0; 17],
            counts: *code.counts,
            symbols: code.symbols.to_vec(),
        };
        let (mut next, mut used) = (0_u32, 0_usize);
        for (length, &count) in (1..).zip(code.counts) {
            table.offsets[length] = used as i32 - next as i32;
            for &symbol in code.symbols.get(used..used + usize::from(count))? {
                table.fill(next, length, Entry::new(length, symbol));
                next += 1;
            }
            used += usize::from(count);
            // No code consists of ones alone.
            if count != 0 && 1 << length <= next {
                return None;
            }
            table.ends[length] = next << (16 - length);
            next <<= 1;
        }
        Some(table)
    }

    fn fill(&mut self, code: u32, length: usize, entry: Entry) {
        let Some(free) = AT_ONCE.checked_sub(length as u32) else { return };
        let (first, count) = ((code << free) as usize, 1 << free);
        self.at_once.iter_mut().skip(first).take(count).for_each(|place| *place = entry);
    }

    /// What the first of `bits` stand for.
    #[inline]
    fn entry(&self, bits: u64) -> Option<Entry> {
        let entry = self.at_once[(bits >> (64 - AT_ONCE)) as usize];
        if entry.code == 0 { self.long_entry((bits >> 48) as u32) } else { Some(entry) }
    }

    #[cold]
    fn long_entry(&self, bits: u32) -> Option<Entry> {
        let length = (AT_ONCE as usize + 1..17).find(|&length| bits < self.ends[length])?;
        let number = (bits >> (16 - length)) as i32 + self.offsets[length];
        Some(Entry::new(length, *self.symbols.get(usize::try_from(number).ok()?)?))
    }
}

/// Bits of one interval between markers.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
    /// The next bits, from the top.
    next: u64,
    count: usize,
}

/// Zeros behind the bytes of an interval, so that eight can be read anywhere.
const PADDING: usize = 8;

impl<'a> Bits<'a> {
    /// Copies the bytes up to the next marker into `bytes`, without the zeros that keep data from looking like markers.
    ///
    /// Returns the bits, the marker, and what follows it.
    pub(super) fn open<'s>(mut scan: &'s [u8], bytes: &'a mut Vec<u8>) -> Option<(Self, u8, &'s [u8])> {
        bytes.clear();
        loop {
            let place = scan.iter().position(|&byte| byte == 0xff)?;
            let (&marker, after) = scan[place + 1..].split_first()?;
            let data = if marker == 0 { place + 1 } else { place };
            bytes.extend_from_slice(&scan[..data]);
            scan = after;
            if marker != 0 {
                bytes.extend_from_slice(&[0; PADDING]);
                return Some((Self { bytes, position: 0, next: 0, count: 0 }, marker, scan));
            }
        }
    }

    /// Whether all was read, but for the bits that fill the last byte, and no more.
    pub(super) fn are_used_up(&self) -> bool {
        let (read, all) = (8 * self.position - self.count, 8 * (self.bytes.len() - PADDING));
        read <= all && all < read + 8
    }

    /// Makes sure that there are 32 bits at least.
    #[inline]
    fn refill(&mut self) {
        if self.count < 32 {
            let eight = self.bytes.get(self.position..).and_then(<[u8]>::first_chunk);
            self.next |= eight.map_or(0, |eight| u64::from_be_bytes(*eight)) >> self.count;
            let whole = (63 - self.count) / 8;
            self.position += whole;
            self.count += 8 * whole;
        }
    }

    /// The number of `entry`, which begins these bits; both are passed over.
    #[inline]
    fn take(&mut self, entry: Entry) -> i32 {
        let number = self.next.wrapping_shl(entry.code.into());
        self.next = self.next.wrapping_shl(entry.bits.into());
        self.count = self.count.wrapping_sub(usize::from(entry.bits));
        // Numbers that begin with a zero are negative ones. Signs cannot be foretold, hence no branch.
        let negative = !(number as i64 >> 63) as i32;
        let positive = (number >> 1).wrapping_shr(63 - u32::from(entry.size)) as i32;
        positive.wrapping_add(negative & 1_i32.wrapping_sub(1_i32.wrapping_shl(entry.size.into())))
    }
}

/// How the blocks of a component are read.
pub(super) struct Reader {
    dc: Rc<Table>,
    ac: Rc<Table>,
    /// Place within a block and factor of each coefficient.
    steps: [(u8, u8); 64],
    last_dc: i32,
}

impl Reader {
    pub(super) fn new(dc: Code<'_>, ac: Code<'_>, factors: &Factors) -> Option<Self> {
        let steps = std::array::from_fn(|step| (ZIGZAG[step], factors[step]));
        // The symbols of DC are sizes alone.
        let sizes = dc.symbols.iter().all(|&symbol| symbol < 16);
        sizes.then_some(Self { dc: Table::of(dc)?, ac: Table::of(ac)?, steps, last_dc: 0 })
    }

    /// As after a restart marker.
    pub(super) fn restart(&mut self) {
        self.last_dc = 0;
    }

    /// Hands the place and the dequantised value of every coefficient of the next block to `put`, unless it is zero.
    #[inline]
    pub(super) fn block(&mut self, source: &mut Bits<'_>, mut put: impl FnMut(u8, i16)) -> Option<()> {
        // A copy stays in registers.
        let mut bits = *source;
        bits.refill();
        let difference = bits.take(self.dc.entry(bits.next)?);
        self.last_dc = self.last_dc.wrapping_add(difference);
        put(0, dequantised(self.last_dc, self.steps[0].1)?);
        let mut step = 1;
        while step < 64 {
            bits.refill();
            let entry = self.ac.entry(bits.next)?;
            let number = bits.take(entry);
            if entry.size == 0 {
                // Fifteen zeros and no number are sixteen zeros; fewer end the block.
                if entry.zeros < 15 {
                    break;
                }
                step += 16;
            } else {
                step += usize::from(entry.zeros);
                let (place, factor) = *self.steps.get(step)?;
                put(place, dequantised(number, factor)?);
                step += 1;
            }
        }
        *source = bits;
        Some(())
    }
}

#[inline]
fn dequantised(number: i32, factor: u8) -> Option<i16> {
    let value = number.wrapping_mul(i32::from(factor));
    (value.wrapping_abs() <= LARGEST).then_some(value as i16)
}
