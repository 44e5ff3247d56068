//! A tree of joins as a graph: what is joined, and what must hold.
//!
//! Inner joins commute and associate, so a tree of them is a set of relations and a set of conditions. Semi and anti joins
//! only filter their left side by a condition on columns it already has; they commute with inner joins too, as soon as
//! those columns are there. [`JoinGraph::flatten`] takes such a tree apart. Outer joins, aggregates, limits and the like
//! stay whole: they are relations of the graph.
//!
//! Equalities between plain columns of one type form *classes*: `a = b AND b = c` makes a class of three, any two of which
//! may be compared to join two sides. That finds joins the query implies but does not write. A join compares one column of each side, so
//! columns of one relation that are in one class (`k.s = a.id AND k.d = a.id`) are compared below it, by a filter of the relation.

use datafusion::common::{Column, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Filter, Join, JoinType, LogicalPlan, Operator};
use std::collections::HashSet;
use std::sync::Arc;

/// A set of relations and semi joins, by index: relations first.
pub(super) type Mask = u32;

/// A semi or anti join that waits for its left columns.
#[derive(Clone, Debug)]
pub(super) struct SemiJoin {
    /// As it was written; its left side is replaced.
    pub(super) join: Join,
    /// Relations its conditions mention.
    pub(super) needs: Mask,
}

/// A column, and the relation it belongs to.
pub(super) type Member = (Column, usize);

/// Columns that are equal in every row of the result.
#[derive(Clone, Debug)]
pub(super) struct EqualityClass {
    /// At least two.
    pub(super) members: Vec<Member>,
}

/// A condition over several relations that is no equality of columns.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// The condition.
    pub(super) expr: Expr,
    /// Relations it mentions.
    pub(super) needs: Mask,
}

/// Relations and what connects them.
#[derive(Clone, Debug, Default)]
pub(super) struct JoinGraph {
    /// Inputs that are joined.
    pub(super) relations: Vec<LogicalPlan>,
    /// Semi and anti joins over them.
    pub(super) semi_joins: Vec<SemiJoin>,
    /// Equal columns.
    pub(super) classes: Vec<EqualityClass>,
    /// Everything else.
    pub(super) conditions: Vec<Condition>,
}

/// What a tree consists of, before columns are traced to relations.
#[derive(Default)]
struct Parts {
    relations: Vec<LogicalPlan>,
    semi_joins: Vec<Join>,
    conditions: Vec<Expr>,
}

impl JoinGraph {
    /// The graph of the joins at the top of `plan`; `None` when there are none, or when a condition cannot be moved.
    pub(super) fn flatten(plan: &LogicalPlan) -> Result<Option<JoinGraph>> {
        if !is_movable_join(plan) {
            return Ok(None);
        }
        let mut parts = Parts::default();
        parts.collect(plan);
        if parts.relations.len() + parts.semi_joins.len() > Mask::BITS as usize
            || parts.conditions.iter().any(|condition| condition.is_volatile() || has_subquery(condition))
        {
            return Ok(None);
        }
        let mut graph = JoinGraph { relations: parts.relations, ..JoinGraph::default() };
        for condition in parts.conditions {
            if !graph.add_condition(condition)? {
                return Ok(None);
            }
        }
        for join in parts.semi_joins {
            if !graph.add_semi_join(join) {
                return Ok(None);
            }
        }
        graph.compare_within_relations()?;
        Ok(Some(graph))
    }

    /// Relations and semi joins.
    pub(super) fn len(&self) -> usize {
        self.relations.len() + self.semi_joins.len()
    }

    /// The relations among the columns of `expr`; `None` for a column of no relation.
    fn mask_of(&self, expr: &Expr) -> Option<Mask> {
        expr.column_refs().into_iter().try_fold(0, |mask, column| Some(mask | 1 << self.relation_of(column)?))
    }

    fn relation_of(&self, column: &Column) -> Option<usize> {
        self.relations.iter().position(|relation| relation.schema().has_column(column))
    }

    fn add_condition(&mut self, expr: Expr) -> Result<bool> {
        if let Some((left, right)) = self.column_equality(&expr)? {
            self.add_equality(left, right);
            return Ok(true);
        }
        match self.mask_of(&expr) {
            Some(needs) if needs != 0 => self.conditions.push(Condition { expr, needs }),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Both sides of an equality between columns of one type in two relations.
    fn column_equality(&self, expr: &Expr) -> Result<Option<(Member, Member)>> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return Ok(None) };
        let (Expr::Column(left), Expr::Column(right)) = (left.as_ref(), right.as_ref()) else { return Ok(None) };
        let (Some(l), Some(r)) = (self.relation_of(left), self.relation_of(right)) else { return Ok(None) };
        let type_of = |column: &Column, relation: usize| {
            Expr::Column(column.clone()).get_type(self.relations[relation].schema().as_ref())
        };
        let same = type_of(left, l)? == type_of(right, r)?;
        Ok((l != r && same).then(|| ((left.clone(), l), (right.clone(), r))))
    }

    fn add_equality(&mut self, left: Member, right: Member) {
        let find = |classes: &[EqualityClass], member: &Member| {
            classes.iter().position(|class| class.members.contains(member))
        };
        match (find(&self.classes, &left), find(&self.classes, &right)) {
            (None, None) => self.classes.push(EqualityClass { members: vec![left, right] }),
            (Some(class), None) => self.classes[class].members.push(right),
            (None, Some(class)) => self.classes[class].members.push(left),
            (Some(a), Some(b)) if a != b => {
                let (kept, gone) = (a.min(b), a.max(b));
                let moved = self.classes.remove(gone);
                self.classes[kept].members.extend(moved.members);
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// Filters relations by the equality of their own columns of one class.
    fn compare_within_relations(&mut self) -> Result<()> {
        for class in &self.classes {
            for (number, relation) in self.relations.iter_mut().enumerate() {
                let mut own = class.members.iter().filter(|(_, of)| *of == number).map(|(column, _)| column);
                let Some(first) = own.next() else { continue };
                let equal = own.map(|column| Expr::Column(first.clone()).eq(Expr::Column(column.clone())));
                if let Some(equal) = conjunction(equal) {
                    *relation = LogicalPlan::Filter(Filter::try_new(equal, Arc::new(relation.clone()))?);
                }
            }
        }
        Ok(())
    }

    fn add_semi_join(&mut self, join: Join) -> bool {
        let right: HashSet<Column> = join.right.schema().columns().into_iter().collect();
        let left_of_filter = join.filter.iter().flat_map(|filter| filter.column_refs());
        let left_of_keys = join.on.iter().flat_map(|(left, _)| left.column_refs());
        let mut needs = 0;
        for column in left_of_keys.chain(left_of_filter.filter(|column| !right.contains(column))) {
            match self.relation_of(column) {
                Some(relation) => needs |= 1 << relation,
                None => return false,
            }
        }
        // A column that both sides have could mean either.
        let clash = right.iter().any(|column| self.relation_of(column).is_some());
        if needs == 0 || clash {
            return false;
        }
        self.semi_joins.push(SemiJoin { join, needs });
        true
    }

    /// The join of two sides, with every condition that can be checked for the first time there.
    pub(super) fn join(
        &self,
        (left, left_mask): (LogicalPlan, Mask),
        (right, right_mask): (LogicalPlan, Mask),
    ) -> Result<LogicalPlan> {
        let in_mask = |mask: Mask, relation: usize| mask & (1 << relation) != 0;
        let mut on = Vec::new();
        for class in &self.classes {
            let member = |mask| class.members.iter().find(|(_, relation)| in_mask(mask, *relation));
            if let (Some((l, _)), Some((r, _))) = (member(left_mask), member(right_mask)) {
                on.push((Expr::Column(l.clone()), Expr::Column(r.clone())));
            }
        }
        let mut filters = Vec::new();
        let both = left_mask | right_mask;
        for condition in &self.conditions {
            let new =
                condition.needs & !both == 0 && condition.needs & !left_mask != 0 && condition.needs & !right_mask != 0;
            if !new {
                continue;
            }
            match self.as_key(condition, left_mask, right_mask) {
                Some(key) => on.push(key),
                None => filters.push(condition.expr.clone()),
            }
        }
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            conjunction(filters),
            JoinType::Inner,
            datafusion::logical_expr::JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        Ok(LogicalPlan::Join(join))
    }

    /// An equality whose sides belong to one side of the join each.
    fn as_key(&self, condition: &Condition, left_mask: Mask, right_mask: Mask) -> Option<(Expr, Expr)> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = &condition.expr else { return None };
        let (l, r) = (self.mask_of(left)?, self.mask_of(right)?);
        let within = |mask: Mask, side: Mask| mask != 0 && mask & !side == 0;
        if within(l, left_mask) && within(r, right_mask) {
            Some((left.as_ref().clone(), right.as_ref().clone()))
        } else if within(l, right_mask) && within(r, left_mask) {
            Some((right.as_ref().clone(), left.as_ref().clone()))
        } else {
            None
        }
    }

    /// The semi or anti join `index` over `left`.
    pub(super) fn semi_join(&self, index: usize, left: LogicalPlan) -> Result<LogicalPlan> {
        let join = &self.semi_joins[index].join;
        Ok(LogicalPlan::Join(Join::try_new(
            Arc::new(left),
            Arc::clone(&join.right),
            join.on.clone(),
            join.filter.clone(),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?))
    }
}

impl Parts {
    fn collect(&mut self, plan: &LogicalPlan) {
        match plan {
            LogicalPlan::Join(join) if is_movable_join(plan) => {
                self.collect(&join.left);
                if join.join_type == JoinType::Inner {
                    self.collect(&join.right);
                    let keys = join.on.iter().map(|(l, r)| l.clone().eq(r.clone()));
                    self.conditions.extend(keys);
                    self.conditions.extend(join.filter.iter().cloned().flat_map(split_conjunction_owned));
                } else {
                    self.semi_joins.push(join.clone());
                }
            }
            LogicalPlan::Projection(projection)
                if reaches_join(&projection.input) && projection.expr.iter().all(|e| matches!(e, Expr::Column(_))) =>
            {
                self.collect(&projection.input);
            }
            LogicalPlan::Filter(filter) if reaches_join(&filter.input) => {
                self.conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                self.collect(&filter.input);
            }
            relation => self.relations.push(relation.clone()),
        }
    }
}

/// A join that can change places with others.
pub(super) fn is_movable_join(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => join.null_equality == NullEquality::NullEqualsNothing,
            JoinType::LeftSemi | JoinType::LeftAnti => true,
            _ => false,
        },
        _ => false,
    }
}

/// Whether joins begin below `plan`, behind column choices and filters only.
fn reaches_join(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(|e| matches!(e, Expr::Column(_))) && reaches_join(&projection.input)
        }
        LogicalPlan::Filter(filter) => reaches_join(&filter.input),
        join => is_movable_join(join),
    }
}

fn has_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|node| {
        Ok(matches!(node, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)))
    })
    .unwrap_or(true)
}
