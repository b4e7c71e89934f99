//! What a JPEG says before its pixels, where it is of the usual kind: baseline, one scan, grey or YCbCr.
//! Knows no pixel; what is not of that kind, or odd in any way, is `None` and left to libjpeg.

/// Numbers of a table in the order of a block's zigzag.
pub(super) type Factors = [u8; 64];

/// What is needed to read the scan.
pub(super) struct Header<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// One, or luma and twice chroma.
    pub(super) components: Vec<Component<'a>>,
    /// MCUs between two restart markers, 0 where there is none.
    pub(super) restart_interval: usize,
    /// What follows the headers, to the end of the file.
    pub(super) scan: &'a [u8],
}

impl Header<'_> {
    /// How many samples of luma there are to one of chroma, across and down.
    pub(super) fn sampling(&self) -> (usize, usize) {
        self.components.first().map_or((1, 1), |luma| (luma.across, luma.down))
    }
}

/// A channel, and the tables that it is coded with.
#[derive(Clone, Copy)]
pub(super) struct Component<'a> {
    /// Blocks of an MCU, across and down.
    pub(super) across: usize,
    pub(super) down: usize,
    pub(super) factors: &'a Factors,
    pub(super) dc: Code<'a>,
    pub(super) ac: Code<'a>,
}

/// A Huffman code as it is written in a file.
#[derive(Clone, Copy)]
pub(super) struct Code<'a> {
    /// Codes of 1 to 16 bits.
    pub(super) counts: &'a [u8; 16],
    /// In the order of their codes.
    pub(super) symbols: &'a [u8],
}

/// Reads up to the scan; the markers are those of ITU T.81, annex B.
pub(super) fn read(bytes: &[u8]) -> Option<Header<'_>> {
    let mut said = Said::default();
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, high, low, after @ ..] = rest else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
        let (segment, next) = after.split_at_checked(length)?;
        match *marker {
            0xe0 => said.jfif |= is_jfif(segment),
            // Adobe's segment may name another colour space.
            0xee => return None,
            0xe1..=0xef | 0xfe => {}
            0xdb => said.take_factors(segment)?,
            0xc4 => said.take_codes(segment)?,
            0xc0 => said.take_frame(segment)?,
            0xdd => said.restart_interval = usize::from(u16::from_be_bytes(segment.try_into().ok()?)),
            0xda => return said.scan(segment, next),
            _ => return None,
        }
        rest = next;
    }
}

/// What the segments have said so far.
#[derive(Default)]
struct Said<'a> {
    jfif: bool,
    factors: [Option<&'a Factors>; 4],
    dc: [Option<Code<'a>>; 4],
    ac: [Option<Code<'a>>; 4],
    frame: Option<Frame<'a>>,
    restart_interval: usize,
}

/// The segment of the frame.
struct Frame<'a> {
    width: usize,
    height: usize,
    /// Number, sampling and quantisation of each.
    components: &'a [[u8; 3]],
}

fn is_jfif(segment: &[u8]) -> bool {
    14 <= segment.len() && segment.starts_with(b"JFIF\0")
}

impl<'a> Said<'a> {
    fn take_factors(&mut self, mut segment: &'a [u8]) -> Option<()> {
        while let [number, rest @ ..] = segment {
            let (factors, rest) = rest.split_first_chunk()?;
            // Numbers above 3 are those of tables with sixteen bits.
            *self.factors.get_mut(usize::from(*number))? = Some(factors);
            segment = rest;
        }
        Some(())
    }

    fn take_codes(&mut self, mut segment: &'a [u8]) -> Option<()> {
        while let [number, rest @ ..] = segment {
            let (counts, rest) = rest.split_first_chunk()?;
            let (symbols, rest) = rest.split_at_checked(counts.iter().map(|&count| usize::from(count)).sum())?;
            let tables = match number >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(number & 15))? = Some(Code { counts, symbols });
            segment = rest;
        }
        Some(())
    }

    fn take_frame(&mut self, segment: &'a [u8]) -> Option<()> {
        let [8, height @ .., count] = segment.first_chunk::<6>()? else { return None };
        let [high, low, wide, narrow] = *height;
        let (height, width) = (u16::from_be_bytes([high, low]), u16::from_be_bytes([wide, narrow]));
        let (components, []) = segment[6..].as_chunks() else { return None };
        if self.frame.is_some() || width < 1 || height < 1 || components.len() != usize::from(*count) {
            return None;
        }
        self.frame = Some(Frame { width: width.into(), height: height.into(), components });
        Some(())
    }

    /// The header as a whole; `segment` says which component is coded with which tables.
    fn scan(self, segment: &[u8], scan: &'a [u8]) -> Option<Header<'a>> {
        let Frame { width, height, components } = self.frame?;
        // All coefficients at once and to the last bit.
        let [count, chosen @ .., 0, 63, 0] = segment else { return None };
        let (chosen, []) = chosen.as_chunks() else { return None };
        if usize::from(*count) != components.len() || chosen.len() != components.len() {
            return None;
        }
        let pairs = components.iter().zip(chosen);
        let component = |(&[number, sampling, factors], &[again, codes]): (&[u8; 3], &[u8; 2])| {
            (number == again).then_some(Component {
                across: usize::from(sampling >> 4),
                down: usize::from(sampling & 15),
                factors: (*self.factors.get(usize::from(factors))?)?,
                dc: (*self.dc.get(usize::from(codes >> 4))?)?,
                ac: (*self.ac.get(usize::from(codes & 15))?)?,
            })
        };
        let all = pairs.map(component).collect::<Option<Vec<_>>>()?;
        let numbers: Vec<u8> = components.iter().map(|component| component[0]).collect();
        let usual = match all.iter().map(|component| (component.across, component.down)).collect::<Vec<_>>()[..] {
            [(1, 1)] => true,
            // Without JFIF's segment the numbers of the components tell, as they do for libjpeg.
            [(1 | 2, 1) | (2, 2), (1, 1), (1, 1)] => self.jfif || numbers == [1, 2, 3],
            _ => false,
        };
        let restart_interval = self.restart_interval;
        usual.then_some(Header { width, height, components: all, restart_interval, scan })
    }
}
