//! The texts of the 22 queries, with the specification's validation parameters.
//!
//! Query 11 has a constant that the specification defines as 0.0001 divided by the scale factor. The answers stored for
//! scale factors 0.01 and 0.1 were computed with 0.0001 all the same, so there the text stays as it is.

use crate::answers;

const TEXTS: [&str; 22] = [
    include_str!("queries/01.sql"),
    include_str!("queries/02.sql"),
    include_str!("queries/03.sql"),
    include_str!("queries/04.sql"),
    include_str!("queries/05.sql"),
    include_str!("queries/06.sql"),
    include_str!("queries/07.sql"),
    include_str!("queries/08.sql"),
    include_str!("queries/09.sql"),
    include_str!("queries/10.sql"),
    include_str!("queries/11.sql"),
    include_str!("queries/12.sql"),
    include_str!("queries/13.sql"),
    include_str!("queries/14.sql"),
    include_str!("queries/15.sql"),
    include_str!("queries/16.sql"),
    include_str!("queries/17.sql"),
    include_str!("queries/18.sql"),
    include_str!("queries/19.sql"),
    include_str!("queries/20.sql"),
    include_str!("queries/21.sql"),
    include_str!("queries/22.sql"),
];

/// The constant of query 11 in its stored text.
const Q11_CONSTANT: &str = "0.0001000000";

/// All query numbers, or those chosen.
pub(crate) fn chosen(chosen: &[u8]) -> Vec<u8> {
    if chosen.is_empty() { (1..=22).collect() } else { chosen.to_vec() }
}

/// Text of query `number` at a scale factor.
pub(crate) fn text(number: u8, scale: f64) -> String {
    let text = TEXTS[usize::from(number) - 1].trim_end().trim_end_matches(';');
    if number == 11 && !answers::is_stored(scale) && scale != 1.0 {
        return text.replace(Q11_CONSTANT, &format!("{:.10}", 0.0001 / scale));
    }
    text.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_of_query_11_goes_with_the_scale() {
        assert!(text(11, 10.0).contains("0.0000100000"));
        assert!(text(11, 0.01).contains(Q11_CONSTANT));
        assert!(text(11, 1.0).contains(Q11_CONSTANT));
    }
}
