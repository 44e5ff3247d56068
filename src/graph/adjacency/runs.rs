//! Numbers of rows by their places, and places by numbers.
//!
//! Rows are numbered in the order of their places. Places next to each other mostly are of rows next to each other, so a table of millions of rows has a
//! few runs: one a block, more where rows were deleted.

/// Rows `0..len` in the order of their places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// Place of the first row of each run.
    places: Vec<u64>,
    /// Its number.
    numbers: Vec<u32>,
    len: u32,
}

impl Runs {
    /// Adds the next row, whose place is beyond those so far.
    pub(crate) fn push(&mut self, place: u64) {
        let is_next = self.places.last().zip(self.numbers.last());
        if is_next.is_none_or(|(first, number)| first + u64::from(self.len - number) != place) {
            self.places.push(place);
            self.numbers.push(self.len);
        }
        self.len += 1;
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The number of the row at `place`, if it is one of these.
    pub(crate) fn number(&self, place: u64) -> Option<u32> {
        let run = self.places.partition_point(|first| *first <= place).checked_sub(1)?;
        let number = u64::from(self.numbers[run]) + (place - self.places[run]);
        let end = self.numbers.get(run + 1).copied().unwrap_or(self.len);
        (number < u64::from(end)).then_some(number as u32)
    }

    /// The place of a row, whose number must be below [`Runs::len`].
    pub(crate) fn place(&self, number: u32) -> u64 {
        let run = self.numbers.partition_point(|first| *first <= number) - 1;
        self.places[run] + u64::from(number - self.numbers[run])
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        8 * self.places.capacity() + 4 * self.numbers.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_and_places_lead_to_each_other() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [0, 1, 2, 1000] {
            let block = |random: &mut fastrand::Rng| random.u64(..3) << 32 | random.u64(..count.max(1) * 2);
            let places: BTreeSet<u64> = (0..count).map(|_| block(&mut random)).collect();
            let mut runs = Runs::default();
            places.iter().for_each(|place| runs.push(*place));
            assert_eq!(runs.len() as usize, places.len());
            for (number, place) in (0..).zip(&places) {
                assert_eq!(runs.number(*place), Some(number));
                assert_eq!(runs.place(number), *place);
            }
            for _ in 0..100 {
                let place = block(&mut random);
                assert_eq!(runs.number(place).is_some(), places.contains(&place));
            }
        }
    }
}
