//! Time series: servers that are measured, prices and trades, and an aggregate that is always right.

use super::{Example, Part};

/// Time series.
pub(super) const PART: Part = Part {
    script: include_str!("time_series.sql"),
    relations: &[
        ("metric", "six web servers every 15 seconds for three days, with gaps and restarts"),
        ("quote", "prices of three stocks"),
        ("trade", "what was bought of them"),
        ("hourly", "a continuous aggregate of metric"),
    ],
    graphs: &[],
    examples: &[
        Example {
            title: "The load of two hosts, every six hours",
            sql: "SELECT ts, host, avg(cpu) AS cpu, max(cpu) AS highest\n\
                  FROM demo.metric WHERE host IN ('web1', 'web6') SAMPLE BY 6h ORDER BY ts, host;",
        },
        Example {
            title: "What every host reported last",
            sql: "SELECT * FROM demo.metric LATEST ON ts PARTITION BY host ORDER BY host;",
        },
        Example {
            title: "web2 said nothing for three hours: the last value kept, and the line between those before and after",
            sql: "SELECT time_bucket_gapfill('30 minutes', ts) AS bucket, avg(cpu) AS cpu, locf(avg(cpu)), interpolate(avg(cpu))\n\
                  FROM demo.metric WHERE host = 'web2' AND ts >= '2024-05-07 08:00+00' AND ts < '2024-05-07 13:00+00'\n\
                  GROUP BY bucket ORDER BY bucket;",
        },
        Example {
            title: "Requests, of a counter that started again twice on web4",
            sql: "SELECT host, increase(requests, ts) AS requests, rate(requests, ts) AS per_second\n\
                  FROM demo.metric GROUP BY host ORDER BY host;",
        },
        Example {
            title: "Every trade with the price of its moment",
            sql: "SELECT t.ts, t.symbol, t.quantity, q.price, t.ts - q.ts AS age\n\
                  FROM demo.trade t ASOF JOIN demo.quote q MATCH_CONDITION (t.ts >= q.ts) ON t.symbol = q.symbol\n\
                  ORDER BY t.ts LIMIT 10;",
        },
        Example {
            title: "The busiest hours, from the continuous aggregate",
            sql: "SELECT hour, host, cpu, cpu_max, requests FROM demo.hourly ORDER BY requests DESC, hour LIMIT 5;",
        },
        Example {
            title: "A curve of 20 points that looks like the 17,280 it was",
            sql: "SELECT ts, cpu FROM downsample('demo.metric', points => 20, value => 'cpu') WHERE host = 'web1' ORDER BY ts;",
        },
    ],
};
