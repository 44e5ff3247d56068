//! The planner's configuration, where it differs from DataFusion's.

use datafusion::prelude::SessionConfig;

/// Build sides up to this size are collected once and probed by all partitions.
const COLLECT_LEFT_BYTES: usize = 128 << 20;
/// The same in rows.
const COLLECT_LEFT_ROWS: usize = 4_000_000;
/// Integer join keys at least this dense are looked up in an array instead of a hash table, when memory is plenty.
const ARRAY_JOIN_DENSITY_MIN: f64 = 0.005;
/// The same when memory is short: DataFusion's own choice.
const ARRAY_JOIN_DENSITY_MAX: f64 = 0.15;
/// Bytes of an array entry.
const ARRAY_ENTRY_BYTES: f64 = 4.0;

/// Configuration of every session: `threads` is the number of partitions plans are made for, `memory_limit_bytes` what
/// all operators may use together.
pub fn session_config(threads: usize, memory_limit_bytes: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(threads.max(1)).with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = true;
    options.execution.collect_statistics = true;
    options.execution.perfect_hash_join_min_key_density = array_join_density(memory_limit_bytes);
    let optimizer = &mut options.optimizer;
    optimizer.hash_join_single_partition_threshold = COLLECT_LEFT_BYTES;
    optimizer.hash_join_single_partition_threshold_rows = COLLECT_LEFT_ROWS;
    // The scans divide the rows among the partitions themselves; moving batches around after that costs more than it
    // evens out.
    optimizer.enable_round_robin_repartition = false;
    config
}

/// The density at which the array of the largest collected build side takes a quarter of the memory.
fn array_join_density(memory_limit_bytes: usize) -> f64 {
    let array_bytes = COLLECT_LEFT_ROWS as f64 * ARRAY_ENTRY_BYTES;
    let quarter = (memory_limit_bytes as f64 / 4.0).max(1.0);
    (array_bytes / quarter).clamp(ARRAY_JOIN_DENSITY_MIN, ARRAY_JOIN_DENSITY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_keys_get_arrays_only_where_memory_allows() {
        assert_eq!(array_join_density(64 << 30), ARRAY_JOIN_DENSITY_MIN);
        assert_eq!(array_join_density(200 << 20), ARRAY_JOIN_DENSITY_MAX);
        assert_eq!(array_join_density(0), ARRAY_JOIN_DENSITY_MAX);
    }
}
