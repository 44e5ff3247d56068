//! A property graph: the services on the measured servers, whom they call, and the people on call for them.

use super::{Example, Part};

/// A property graph.
pub(super) const PART: Part = Part {
    script: include_str!("graph.sql"),
    relations: &[
        ("service", "what runs on the six web servers"),
        ("calls", "which service calls which, and how long an answer takes"),
        ("person", "who can be called"),
        ("on_call", "for which service, and in whose turn"),
    ],
    graphs: &[("site", "services and people as vertices, calls and on_call as edges")],
    examples: &[
        Example {
            title: "Slow calls, and who is called first about the service that is slow",
            sql: "SELECT * FROM GRAPH_TABLE (demo.site\n    \
                  MATCH (a IS service)-[c IS calls WHERE c.ms >= 20]->(b IS service)<-[o IS on_call WHERE o.turn = 1]-(p IS person)\n    \
                  COLUMNS (a.name AS caller, b.name AS callee, c.ms, p.name AS person, p.phone)) ORDER BY ms DESC;",
        },
        Example {
            title: "What the shop needs at second hand, and in how many ways",
            sql: "SELECT service, count(*) AS ways\n\
                  FROM GRAPH_TABLE (demo.site MATCH (a WHERE a.name = 'shop')-[IS calls]->{2}(b) COLUMNS (b.name AS service))\n\
                  GROUP BY service ORDER BY ways DESC, service;",
        },
        Example {
            title: "The way from the shop to the ledger with the fewest calls",
            sql: "SELECT * FROM GRAPH_TABLE (demo.site\n    \
                  MATCH p = ANY SHORTEST (a WHERE a.name = 'shop')-[IS calls]->+(b WHERE b.name = 'ledger')\n    \
                  COLUMNS (path_length(p) AS calls, vertices(p) AS way));",
        },
        Example {
            title: "And the quickest way: one call more, and 25 milliseconds less",
            sql: "SELECT step, id AS service\n\
                  FROM graph_shortest_path('demo.site', 'shop', target => 'ledger', weight => 'ms', label => 'calls') ORDER BY step;",
        },
        Example {
            title: "The services that most depends on",
            sql: "SELECT s.name, s.host, r.rank\n\
                  FROM graph_pagerank('demo.site', label => 'calls') r JOIN demo.service s ON s.name = r.id\n\
                  ORDER BY r.rank DESC LIMIT 5;",
        },
        Example {
            title: "All that a payment leads to, as a drawing for Graphviz",
            sql: "SELECT dot FROM graph_dot('demo.site', 'payment', label => 'calls');",
        },
        Example {
            title: "A server said nothing for hours: who needs its services, by which way, and who is to be told",
            sql: "WITH pause AS (SELECT host, ts - lag(ts) OVER (PARTITION BY host ORDER BY ts) AS silence FROM demo.metric)\n\
                  SELECT pause.host, pause.silence, g.service, g.way, g.person, g.phone\n\
                  FROM pause JOIN GRAPH_TABLE (demo.site\n    \
                  MATCH w = ANY SHORTEST (a IS service)-[IS calls]->*(b IS service), (p IS person)-[o IS on_call WHERE o.turn = 1]->(a)\n    \
                  COLUMNS (a.name AS service, vertices(w) AS way, b.host, p.name AS person, p.phone)) AS g ON g.host = pause.host\n\
                  WHERE pause.silence > interval '1 hour' ORDER BY service, way;",
        },
    ],
};
