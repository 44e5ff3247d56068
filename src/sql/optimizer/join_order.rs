//! The order of joins, from statistics.
//!
//! DataFusion joins in the order of the FROM clause. This rule takes each tree of inner, semi and anti joins as a graph
//! ([`JoinGraph`]) and finds the cheapest tree over it by dynamic programming over connected subsets (DPsub; Moerkotte
//! and Neumann 2006 for the family), bushy trees included. Above [`EXHAUSTIVE_MAX`] inputs it joins greedily the pair
//! with the smallest result (GOO; Fegaras 1998).
//!
//! The size of a subset does not depend on how it was joined: the product of its relations, times one factor for each
//! class of equal columns (all their distinct counts but the smallest divide), each other condition and each semi join.
//! Two relations that share several classes are joined on a compound key, whose distinct count is at most the row count
//! of the smaller side; a correction per pair says so.
//!
//! What a join costs follows from how it runs. The smaller side becomes a hash table and costs most per row. A larger
//! side that is a table is read under a filter on the join's keys (`scan::dynamic`), so of its rows those without a
//! partner cost little. Rows that come out cost the next operator.
//!
//! The smaller side is written left, where DataFusion builds. Inputs that nobody can estimate, cross products that the
//! query asks for, and volatile conditions leave the tree as it was.

use super::estimate::{Estimate, anti, semi_join_selectivity};
use super::join_graph::{JoinGraph, Mask};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Projection};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// Inputs up to which every order is tried.
const EXHAUSTIVE_MAX: usize = 11;
/// Cost of a row put into a hash table.
const BUILD_COST: f64 = 2.5;
/// Cost of a row looked up.
const PROBE_COST: f64 = 1.0;
/// Cost of a row of a filtered table that finds no partner.
const SKIP_COST: f64 = 0.2;
/// Cost of a row that comes out.
const OUTPUT_COST: f64 = 1.0;

/// Orders joins by cost.
#[derive(Debug, Default)]
pub struct JoinOrder {}

impl JoinOrder {
    /// The rule.
    pub fn new() -> Self {
        Self::default()
    }
}

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &str {
        "lightning_join_order"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        reorder_all(plan)
    }
}

/// Reorders every tree of joins in `plan`, topmost first.
fn reorder_all(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_down_with_subqueries(|node| {
        let Some(graph) = JoinGraph::flatten(&node)? else { return Ok(Transformed::no(node)) };
        match reorder(graph, &node)? {
            Some(ordered) => Ok(Transformed::new(ordered, true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(node)),
        }
    })
}

/// The best plan for `graph` with the columns of `original`.
fn reorder(mut graph: JoinGraph, original: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let Some(model) = Model::new(&graph) else { return Ok(None) };
    let Some(tree) = model.best_tree() else { return Ok(None) };
    for relation in &mut graph.relations {
        *relation = reorder_all(relation.clone())?.data;
    }
    for semi_join in &mut graph.semi_joins {
        semi_join.join.right = Arc::new(reorder_all(semi_join.join.right.as_ref().clone())?.data);
    }
    let (joined, _) = tree.build(&graph)?;
    if joined.schema().columns() == original.schema().columns() {
        return Ok(Some(joined));
    }
    let columns: Vec<Expr> = original.schema().columns().into_iter().map(Expr::Column).collect();
    Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined))?)))
}

/// An order of joins.
#[derive(Clone, Debug)]
enum Tree {
    /// An input of the graph.
    Relation(usize),
    /// A join; the left side is built.
    Join(Arc<Tree>, Arc<Tree>),
    /// A semi or anti join over a tree.
    SemiJoin(usize, Arc<Tree>),
}

impl Tree {
    fn build(&self, graph: &JoinGraph) -> Result<(LogicalPlan, Mask)> {
        match self {
            Tree::Relation(index) => Ok((graph.relations[*index].clone(), 1 << index)),
            Tree::Join(left, right) => {
                let (left, right) = (left.build(graph)?, right.build(graph)?);
                let mask = left.1 | right.1;
                Ok((graph.join(left, right)?, mask))
            }
            Tree::SemiJoin(index, left) => {
                let (left, mask) = left.build(graph)?;
                Ok((graph.semi_join(*index, left)?, mask))
            }
        }
    }
}

/// The best way found to join a subset.
#[derive(Clone, Debug)]
struct Best {
    cost: f64,
    rows: f64,
    tree: Arc<Tree>,
}

/// Sizes and connections of a graph, ready for the search.
struct Model<'a> {
    graph: &'a JoinGraph,
    estimates: Vec<Estimate>,
    /// Rows of the right side of each semi join.
    semi_rows: Vec<f64>,
    /// Share of rows each semi join keeps.
    semi_shares: Vec<f64>,
    /// Factor of each condition that is no equality of columns.
    condition_shares: Vec<f64>,
    /// For each class, its relations with the distinct count of their column.
    classes: Vec<Vec<(usize, f64)>>,
    /// Pairs of relations with several classes in common, and the factor that independence gets wrong.
    pairs: Vec<(Mask, f64)>,
}

impl<'a> Model<'a> {
    /// `None` when an input cannot be estimated or there is nothing to order.
    fn new(graph: &'a JoinGraph) -> Option<Self> {
        if graph.len() < 2 || (graph.relations.len() < 2 && graph.semi_joins.len() < 2) {
            return None;
        }
        let estimates = graph.relations.iter().map(Estimate::of).collect::<Option<Vec<_>>>()?;
        let mut model = Model {
            graph,
            semi_rows: Vec::new(),
            semi_shares: Vec::new(),
            condition_shares: Vec::new(),
            classes: Vec::new(),
            pairs: Vec::new(),
            estimates,
        };
        model.measure_semi_joins()?;
        model.measure_classes();
        model.measure_conditions();
        Some(model)
    }

    fn measure_semi_joins(&mut self) -> Option<()> {
        for semi_join in &self.graph.semi_joins {
            let right = Estimate::of(&semi_join.join.right)?;
            // The side the keys come from is known only while joining; the relation of the first key stands for it.
            let left = &self.estimates[semi_join.needs.trailing_zeros() as usize];
            let filter = semi_join.join.filter.as_ref();
            let found = semi_join_selectivity(left, &right, &semi_join.join.on, filter);
            let anti_join = semi_join.join.join_type == JoinType::LeftAnti;
            self.semi_shares.push(if anti_join { anti(found) } else { found.max(1e-6) });
            self.semi_rows.push(right.rows);
        }
        Some(())
    }

    fn measure_classes(&mut self) {
        for class in &self.graph.classes {
            let members = class.members.iter().map(|(column, relation)| {
                let estimate = &self.estimates[*relation];
                let distinct = estimate.distinct(&Expr::Column(column.clone())).unwrap_or(estimate.rows);
                (*relation, distinct.max(1.0))
            });
            self.classes.push(members.collect());
        }
        for a in 0..self.graph.relations.len() {
            for b in a + 1..self.graph.relations.len() {
                if let Some(factor) = self.compound_key_factor(a, b) {
                    self.pairs.push((1 << a | 1 << b, factor));
                }
            }
        }
    }

    /// What independence of the classes shared by two relations underestimates their join by.
    fn compound_key_factor(&self, a: usize, b: usize) -> Option<f64> {
        let distinct_in = |class: &[(usize, f64)], relation: usize| {
            class.iter().find(|(member, _)| *member == relation).map(|(_, distinct)| *distinct)
        };
        let shared: Vec<(f64, f64)> =
            self.classes.iter().filter_map(|class| Some((distinct_in(class, a)?, distinct_in(class, b)?))).collect();
        if shared.len() < 2 {
            return None;
        }
        let independent: f64 = shared.iter().map(|(a, b)| a.max(*b)).product();
        let keys_a = shared.iter().map(|(a, _)| a).product::<f64>().min(self.estimates[a].rows.max(1.0));
        let keys_b = shared.iter().map(|(_, b)| b).product::<f64>().min(self.estimates[b].rows.max(1.0));
        Some(independent / independent.min(keys_a.min(keys_b)))
    }

    fn measure_conditions(&mut self) {
        for condition in &self.graph.conditions {
            let relations = (0..self.estimates.len()).filter(|i| condition.needs & (1 << i) != 0);
            let share = relations.map(|i| self.estimates[i].selectivity(&condition.expr)).fold(1.0, f64::min);
            self.condition_shares.push(share.clamp(1e-6, 1.0));
        }
    }

    fn semi_bit(&self, index: usize) -> Mask {
        1 << (self.graph.relations.len() + index)
    }

    /// Rows of the join of a subset.
    fn rows(&self, mask: Mask) -> f64 {
        let contains = |bit: usize| mask & (1 << bit) != 0;
        let mut rows: f64 =
            (0..self.estimates.len()).filter(|i| contains(*i)).map(|i| self.estimates[i].rows.max(1e-3)).product();
        for class in &self.classes {
            let present = class.iter().filter(|(relation, _)| contains(*relation));
            let (count, product, smallest) = present.fold((0, 1.0, f64::MAX), |(count, product, smallest), (_, d)| {
                (count + 1, product * d, f64::min(smallest, *d))
            });
            if count > 1 {
                rows *= smallest / product;
            }
        }
        let whole = |needs: Mask| needs & !mask == 0;
        rows *= self.pairs.iter().filter(|(pair, _)| whole(*pair)).map(|(_, factor)| factor).product::<f64>();
        let conditions = self.graph.conditions.iter().zip(&self.condition_shares);
        rows *= conditions.filter(|(c, _)| whole(c.needs)).map(|(_, share)| share).product::<f64>();
        let semi_joins = (0..self.semi_shares.len()).filter(|i| mask & self.semi_bit(*i) != 0);
        rows * semi_joins.map(|i| self.semi_shares[i]).product::<f64>()
    }

    /// Whether a condition compares columns of the two sides.
    fn is_connected(&self, a: Mask, b: Mask) -> bool {
        let has = |class: &[(usize, f64)], mask: Mask| class.iter().any(|(relation, _)| mask & (1 << relation) != 0);
        self.classes.iter().any(|class| has(class, a) && has(class, b))
            || self.graph.conditions.iter().any(|condition| {
                condition.needs & !(a | b) == 0 && condition.needs & a != 0 && condition.needs & b != 0
            })
    }

    /// Cost of joining two sides, the smaller of which is built.
    fn join_cost(&self, a: (Mask, f64), b: (Mask, f64), output: f64) -> f64 {
        let (build, probe) = if a.1 <= b.1 { (a, b) } else { (b, a) };
        self.operator_cost(build.1, probe.1, probe.0.count_ones() == 1, output)
    }

    fn operator_cost(&self, build: f64, probe: f64, probe_is_scan: bool, output: f64) -> f64 {
        let probed = if probe_is_scan {
            let hits = output.min(probe);
            hits * PROBE_COST + (probe - hits) * SKIP_COST
        } else {
            probe * PROBE_COST
        };
        build * BUILD_COST + probed + output * OUTPUT_COST
    }

    fn semi_join_cost(&self, index: usize, left: f64, output: f64) -> f64 {
        let right = self.semi_rows[index];
        self.operator_cost(left.min(right), left.max(right), right > left, output)
    }

    fn best_tree(&self) -> Option<Arc<Tree>> {
        if self.graph.len() <= EXHAUSTIVE_MAX { self.exhaustive() } else { self.greedy() }
    }

    fn leaf(&self, index: usize) -> Best {
        Best { cost: 0.0, rows: self.rows(1 << index), tree: Arc::new(Tree::Relation(index)) }
    }

    /// The cheapest tree of all.
    fn exhaustive(&self) -> Option<Arc<Tree>> {
        let all: Mask = (1 << self.graph.len()) - 1;
        let mut best: Vec<Option<Best>> = vec![None; all as usize + 1];
        for index in 0..self.graph.relations.len() {
            best[1 << index] = Some(self.leaf(index));
        }
        for mask in 1..=all {
            if mask.count_ones() < 2 {
                continue;
            }
            let found = self.best_of(mask, &best);
            best[mask as usize] = found;
        }
        best[all as usize].take().map(|best| best.tree)
    }

    /// The cheapest last step that gives `mask`.
    fn best_of(&self, mask: Mask, best: &[Option<Best>]) -> Option<Best> {
        let mut found: Option<Best> = None;
        let rows = self.rows(mask);
        let mut keep = |candidate: Best| {
            if found.as_ref().is_none_or(|found| candidate.cost < found.cost) {
                found = Some(candidate);
            }
        };
        for index in 0..self.graph.semi_joins.len() {
            if mask & self.semi_bit(index) != 0
                && let Some(candidate) = self.with_semi_join(index, mask & !self.semi_bit(index), rows, best)
            {
                keep(candidate);
            }
        }
        // Each division once: the side with the lowest bit is `a`.
        let lowest = mask & mask.wrapping_neg();
        let mut a = (mask - 1) & mask;
        while a != 0 {
            let b = mask & !a;
            if a & lowest != 0
                && let (Some(left), Some(right)) = (&best[a as usize], &best[b as usize])
                && self.is_connected(a, b)
            {
                let cost = left.cost + right.cost + self.join_cost((a, left.rows), (b, right.rows), rows);
                let (build, probe) = if left.rows <= right.rows { (left, right) } else { (right, left) };
                keep(Best { cost, rows, tree: Arc::new(Tree::Join(Arc::clone(&build.tree), Arc::clone(&probe.tree))) });
            }
            a = (a - 1) & mask;
        }
        found
    }

    fn with_semi_join(&self, index: usize, left: Mask, rows: f64, best: &[Option<Best>]) -> Option<Best> {
        if self.graph.semi_joins[index].needs & !left != 0 {
            return None;
        }
        let input = best[left as usize].as_ref()?;
        let cost = input.cost + self.semi_join_cost(index, input.rows, rows);
        Some(Best { cost, rows, tree: Arc::new(Tree::SemiJoin(index, Arc::clone(&input.tree))) })
    }

    /// Joins the pair with the smallest result until one tree is left; semi joins as soon as they can be.
    fn greedy(&self) -> Option<Arc<Tree>> {
        let mut parts: Vec<(Mask, Best)> =
            (0..self.graph.relations.len()).map(|index| (1 << index, self.leaf(index))).collect();
        let mut waiting: Vec<usize> = (0..self.graph.semi_joins.len()).collect();
        loop {
            waiting.retain(|&index| {
                let needs = self.graph.semi_joins[index].needs;
                let Some((mask, part)) = parts.iter_mut().find(|(mask, _)| needs & !*mask == 0) else { return true };
                *mask |= self.semi_bit(index);
                part.tree = Arc::new(Tree::SemiJoin(index, Arc::clone(&part.tree)));
                part.rows = self.rows(*mask);
                false
            });
            if parts.len() == 1 {
                return waiting.is_empty().then(|| Arc::clone(&parts[0].1.tree));
            }
            let (a, b) = self.smallest_pair(&parts)?;
            let (b_mask, right) = parts.swap_remove(b);
            let (a_mask, left) = &mut parts[a];
            let (build, probe) =
                if left.rows <= right.rows { (&left.tree, &right.tree) } else { (&right.tree, &left.tree) };
            let tree = Arc::new(Tree::Join(Arc::clone(build), Arc::clone(probe)));
            *a_mask |= b_mask;
            *left = Best { cost: 0.0, rows: self.rows(*a_mask), tree };
        }
    }

    /// Indices `a < b` of the connected parts whose join is smallest.
    fn smallest_pair(&self, parts: &[(Mask, Best)]) -> Option<(usize, usize)> {
        let pairs = (0..parts.len()).flat_map(|a| (a + 1..parts.len()).map(move |b| (a, b)));
        pairs.filter(|&(a, b)| self.is_connected(parts[a].0, parts[b].0)).min_by(|x, y| {
            let rows = |&(a, b): &(usize, usize)| self.rows(parts[a].0 | parts[b].0);
            rows(x).total_cmp(&rows(y))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fixture, cycle};
    use super::JoinOrder;
    use std::sync::Arc;

    fn assert_same(sql: &str) -> String {
        let (big, middle, small) = (
            [("bk", cycle(600, 600, 0)), ("bm", cycle(600, 60, 7)), ("bs", cycle(600, 6, 0))],
            [("mk", cycle(60, 60, 0)), ("ms", cycle(60, 6, 5)), ("mv", cycle(60, 3, 0))],
            [("sk", cycle(6, 6, 0)), ("sv", cycle(6, 2, 4))],
        );
        let fixture = Fixture { tables: vec![("big", &big), ("middle", &middle), ("small", &small)] };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(fixture.assert_same(Arc::new(JoinOrder::new()), sql))
    }

    #[test]
    fn filtered_small_tables_come_first() {
        let plan =
            assert_same("SELECT bk, mv, sv FROM big, middle, small WHERE bm = mk AND ms = sk AND sv = 1 AND bk < 500");
        let place = |table: &str| plan.find(&format!("TableScan: {table}")).unwrap();
        assert!(place("small") < place("big") && place("middle") < place("big"), "{plan}");
    }

    #[test]
    fn implied_equalities_connect() {
        assert_same("SELECT bk, mk, sk FROM big, middle, small WHERE bs = sk AND sk = ms AND bm = mk");
        assert_same(
            "SELECT count(*) FROM big a, big b, big c WHERE a.bs = b.bs AND b.bs = c.bs AND a.bk = b.bk AND c.bk < 9",
        );
    }

    #[test]
    fn semi_and_anti_joins_move() {
        for condition in [
            "bm IN (SELECT ms FROM middle WHERE mv = 1)",
            "bm NOT IN (SELECT sv FROM small WHERE sv IS NOT NULL)",
            "bm NOT IN (SELECT sv FROM small)",
            "EXISTS (SELECT 1 FROM middle m2 WHERE m2.mk = bm AND m2.mv <> sv)",
            "NOT EXISTS (SELECT 1 FROM middle m2 WHERE m2.mk = bm AND m2.mv <> bs)",
            "EXISTS (SELECT 1 FROM big b2 WHERE b2.bs = bs AND b2.bk <> bk) AND bm IN (SELECT mk FROM middle WHERE mv = 2)",
        ] {
            assert_same(&format!("SELECT bk, sk FROM big, small WHERE bs = sk AND {condition}"));
        }
    }

    #[test]
    fn outer_joins_and_odd_conditions_keep_their_meaning() {
        assert_same(
            "SELECT bk, mv, sv FROM big LEFT JOIN middle ON bm = mk, small WHERE bs = sk AND (mv = 1 OR sv = 1)",
        );
        assert_same("SELECT bk, mk, sk FROM big, middle, small WHERE bm = mk AND bk + ms = sk * 2 AND ms < sk");
        assert_same("SELECT b.bk, s.sk FROM big b JOIN small s ON b.bs = s.sk JOIN middle m ON m.mk + s.sk = b.bm");
        assert_same("SELECT count(*) FROM small a, small b, middle WHERE ms = a.sk");
    }
}
