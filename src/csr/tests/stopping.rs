//! Whatever takes long gives up when it is told to.

use super::model::large;
use super::*;
use crate::*;

#[test]
fn everything_stops() {
    each_view(&large(), |forward, reverse| {
        let stop: Stop = &|| true;
        let sources = [300];
        let lengths = Lengths { min: 1, max: NONE };
        let mut dijkstra = Dijkstra::new(forward.vertices);
        let mut ascending = Ascending::new(forward, Mode::Trail, Lengths { min: 30, max: 30 }, 300, stop);
        let results = [
            ("bfs", bfs(forward, reverse, Search::from(&sources), 2, stop).err()),
            ("wcc", wcc(forward, reverse, 2, stop).err()),
            ("scc", scc(forward, reverse, 2, stop).err()),
            ("pagerank", pagerank(forward, reverse, PageRank::default(), 2, stop).err()),
            ("cdlp", cdlp(forward, reverse, 2, 2, stop).err()),
            ("triangles", triangles(forward, reverse, 2, stop).err()),
            ("lcc", lcc(forward, reverse, 2, stop).err()),
            ("louvain", louvain(forward, reverse, 1.0, stop).err()),
            ("betweenness", betweenness(forward, None, 2, stop).err()),
            ("topological order", topological_order(forward, stop).err()),
            ("spanning forest", minimum_spanning_forest(forward, stop).err()),
            ("dijkstra", dijkstra.search(forward, &sources, None, f64::INFINITY, stop).err()),
            ("bellman_ford", bellman_ford(forward, &sources, stop).err()),
            ("shortest", shortest(forward, 300, lengths, Keep::All, None, stop).err()),
            ("ascending", (0..10_000).find_map(|_| ascending.next().err())),
        ];
        for (name, error) in results {
            assert_eq!(error, Some(Error::Stopped), "{name}");
        }
    });
}
