//! The planner's configuration, where it differs from DataFusion's.

use datafusion::prelude::SessionConfig;

/// Build sides up to this size are collected once and probed by all partitions.
const COLLECT_LEFT_BYTES: usize = 128 << 20;
/// The same in rows.
const COLLECT_LEFT_ROWS: usize = 4_000_000;
/// Integer join keys at least this dense are looked up in an array instead of a hash table.
const ARRAY_JOIN_DENSITY: f64 = 0.01;

/// Configuration of every session; `threads` is the number of partitions plans are made for.
pub fn session_config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(threads.max(1)).with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = true;
    options.execution.collect_statistics = true;
    options.execution.perfect_hash_join_min_key_density = ARRAY_JOIN_DENSITY;
    let optimizer = &mut options.optimizer;
    optimizer.hash_join_single_partition_threshold = COLLECT_LEFT_BYTES;
    optimizer.hash_join_single_partition_threshold_rows = COLLECT_LEFT_ROWS;
    // The scans divide the rows among the partitions themselves; moving batches around after that costs more than it
    // evens out.
    optimizer.enable_round_robin_repartition = false;
    config
}
