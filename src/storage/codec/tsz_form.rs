//! Which form a vector of the encoding `tsz` has: the smallest, as `tsz.rs` has them.

use super::packing::ExactDivision;
use super::patches::{Patches, Window, distance};
use super::stretches::STRETCH_ROWS;
use super::tsz_stream;

/// Bytes that say where a stretch's stream begins.
pub(crate) const START_BYTES: usize = 2;

/// How a vector's steps are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Packed; patches have so many bytes, 0 when there are none.
    Packed(usize),
    /// A stream of distances from the packed step.
    Steps,
    /// A stream of distances from the step before.
    Changes,
}

impl Form {
    /// The form with this byte.
    pub(crate) fn from_byte(byte: u8) -> Option<Form> {
        match byte {
            0..=8 => Some(Form::Packed(byte.into())),
            16 => Some(Form::Steps),
            17 => Some(Form::Changes),
            _ => None,
        }
    }

    /// As stored.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Form::Packed(bytes) => bytes as u8,
            Form::Steps => 16,
            Form::Changes => 17,
        }
    }
}

/// A vector in its form.
pub(crate) struct Vector {
    /// The form.
    pub(crate) form: Form,
    /// Patches or streams.
    pub(crate) extras: Vec<u8>,
    /// Bytes of the extras and of packed steps.
    pub(crate) bytes: usize,
}

impl Vector {
    /// The smallest form of a vector; leaves in `steps` what is to be packed. All distances between steps are multiples of `unit`.
    /// A bit of width costs `bytes_of_bit`.
    pub(crate) fn new(steps: &mut [i64], unit: u64, bytes_of_bit: usize) -> Vector {
        let least = steps.iter().copied().min().unwrap_or(0);
        let division = ExactDivision::new(unit);
        let units: Vec<u64> = steps.iter().map(|&step| division.divide(step.wrapping_sub(least) as u64)).collect();
        let step_of = |units: u64| least.wrapping_add(units.wrapping_mul(unit) as i64);
        let mut sorted: Vec<u64> = units.chunks(STRETCH_ROWS).flat_map(|stretch| &stretch[1..]).copied().collect();
        sorted.sort_unstable();
        let window = Window::cheapest(&sorted, bytes_of_bit);
        if let Some((form, packed, extras)) = smallest_streams(&units, &sorted, window.bytes / 4 * 3) {
            steps.fill(step_of(packed));
            let bytes = extras.len();
            return Vector { form, extras, bytes };
        }
        let mut patches = Vec::new();
        for (row, (step, &units)) in steps.iter_mut().zip(&units).enumerate() {
            if !window.contains(units) {
                *step = step_of(window.low);
                if row % STRETCH_ROWS != 0 {
                    patches.push((row as u16, window.lack(units)));
                }
            }
        }
        let mut extras = Vec::new();
        Patches::write(&patches, window.patch_bytes, &mut extras);
        Vector { form: Form::Packed(window.patch_bytes), extras, bytes: window.bytes }
    }
}

/// The smaller of the two forms with streams, if it has at most `bytes_max`, and what its packed step is.
fn smallest_streams(units: &[u64], sorted: &[u64], bytes_max: usize) -> Option<(Form, u64, Vec<u8>)> {
    let starts_bytes = (units.len().div_ceil(STRETCH_ROWS) - 1) * START_BYTES;
    if starts_bytes + tsz_stream::bytes_at_least(units.len()) >= bytes_max {
        return None;
    }
    let candidate = |form: Form, packed: u64| {
        let of_stretch = |stretch: &[u64]| -> Vec<i64> {
            let mut from = packed;
            let mut integer = |&units: &u64| {
                let integer = distance(units, from);
                if form == Form::Changes {
                    from = units;
                }
                integer
            };
            stretch[1..].iter().map(&mut integer).collect()
        };
        let integers: Vec<Vec<i64>> = units.chunks(STRETCH_ROWS).map(of_stretch).collect();
        let bytes_min: usize = integers.iter().map(|stretch| tsz_stream::bytes_min(stretch)).sum();
        (starts_bytes + bytes_min, form, packed, integers)
    };
    let mut candidates = [candidate(Form::Steps, Window::middle(sorted)), candidate(Form::Changes, units[0])];
    candidates.sort_by_key(|(bytes_min, ..)| *bytes_min);
    let mut best: Option<(Form, u64, Vec<u8>)> = None;
    for (bytes_min, form, packed, integers) in candidates {
        let known = best.as_ref().map_or(bytes_max + 1, |(_, _, streams)| streams.len());
        let streams = (bytes_min < known).then(|| streams(&integers)).filter(|streams| streams.len() < known);
        best = streams.map(|streams| (form, packed, streams)).or(best);
    }
    best
}

/// The streams of a vector's stretches, after where all but the first begin.
fn streams(stretches: &[Vec<i64>]) -> Vec<u8> {
    let mut starts = Vec::new();
    let mut streams = Vec::new();
    for (number, integers) in stretches.iter().enumerate() {
        if number > 0 {
            starts.extend((streams.len() as u16).to_le_bytes());
        }
        streams.extend(tsz_stream::encode(integers));
    }
    starts.extend(streams);
    starts
}
