//! A call as a logical node, and how the mark becomes one.

use super::call::{FUNCTION, rows_of, text_of};
use super::exec::GraphFunctionExec;
use super::signature::{Argument, Function, Ways};
use crate::adjacency::Cache;
use crate::schema::{Graph, Known};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, TableFactor, TableFunctionArgs, Value};
use lightning_sql::extension::argument;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What an input of a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Keys of vertices, for an argument.
    Vertices(Argument),
    /// Places of the edges of a table that are meant.
    Edges(usize),
    /// Places of the edges of a table, and what they weigh.
    Weights(usize),
}

/// The edges a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Edges {
    /// Their tables, as indexes into [`Graph::edges`].
    pub(crate) tables: Vec<usize>,
    /// Columns of numbers that they weigh, each after its table.
    pub(crate) weights: Vec<(usize, usize)>,
    /// The condition on them, as a text, if it depends on nothing but their rows.
    pub(crate) condition: Option<String>,
}

/// A call of a function over a graph.
#[derive(Clone, Debug)]
pub(crate) struct GraphFunction {
    pub(crate) function: Function,
    pub(crate) graph: Arc<Graph>,
    pub(crate) edges: Edges,
    pub(crate) arguments: Vec<(Argument, Expr)>,
    pub(crate) inputs: Vec<(Role, LogicalPlan)>,
    schema: DFSchemaRef,
}

impl GraphFunction {
    fn new(
        function: Function,
        graph: Arc<Graph>,
        edges: Edges,
        arguments: Vec<(Argument, Expr)>,
        inputs: Vec<(Role, LogicalPlan)>,
    ) -> Result<GraphFunction> {
        let has_target = arguments.iter().any(|(argument, _)| *argument == Argument::Target)
            || inputs.iter().any(|(role, _)| *role == Role::Vertices(Argument::Target));
        let literal = |wanted: Argument| {
            let found = arguments.iter().find(|(argument, _)| *argument == wanted)?;
            match &found.1 {
                Expr::Literal(value, _) => value.cast_to(&arrow::datatypes::DataType::Int64).ok(),
                _ => None,
            }
        };
        let number = |wanted: Argument| match literal(wanted) {
            Some(datafusion::common::ScalarValue::Int64(Some(number))) => number as usize,
            _ => 0,
        };
        let ways = Ways {
            from_table: number(Argument::FromTable),
            to_table: number(Argument::ToTable),
            elements: arguments.iter().any(|(argument, _)| *argument == Argument::Elements),
            tables: edges.tables.clone(),
        };
        let schema = function.schema(&graph, has_target, &ways);
        let schema = Arc::new(DFSchema::try_from(schema)?);
        Ok(GraphFunction { function, graph, edges, arguments, inputs, schema })
    }

    /// What it is, but for its arguments and inputs.
    fn call(&self) -> (Function, u64, &Edges) {
        (self.function, self.graph.id, &self.edges)
    }
}

impl PartialEq for GraphFunction {
    fn eq(&self, other: &Self) -> bool {
        self.call() == other.call() && self.arguments == other.arguments && self.inputs == other.inputs
    }
}

impl Eq for GraphFunction {}

impl Hash for GraphFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.call().hash(state);
        self.arguments.hash(state);
        self.inputs.hash(state);
    }
}

impl PartialOrd for GraphFunction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.call().partial_cmp(&other.call())
    }
}

impl UserDefinedLogicalNodeCore for GraphFunction {
    fn name(&self) -> &str {
        "GraphFunction"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().map(|(_, input)| input).collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.arguments.iter().map(|(_, expr)| expr.clone()).collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GraphFunction: {} of {}", self.function.name(), self.graph.name)?;
        self.arguments.iter().try_for_each(|(argument, expr)| write!(f, ", {}={expr}", argument.name()))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if exprs.len() != self.arguments.len() || inputs.len() != self.inputs.len() {
            return Err(DataFusionError::Internal("a graph function with other arguments".to_owned()));
        }
        let arguments = self.arguments.iter().zip(exprs).map(|((argument, _), expr)| (*argument, expr)).collect();
        let inputs = self.inputs.iter().zip(inputs).map(|((role, _), input)| (*role, input)).collect();
        Ok(GraphFunction { arguments, inputs, ..self.clone() })
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(self.inputs.iter().map(|(_, input)| (0..input.schema().fields().len()).collect()).collect())
    }
}

/// Plans marks.
#[derive(Debug)]
pub(crate) struct GraphFunctions {
    pub(crate) known: Arc<Known>,
}

impl RelationPlanner for GraphFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if name.to_string() != FUNCTION {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let misread = || DataFusionError::Internal("a mark of a graph function that cannot be read".to_owned());
        let mut arguments = args.iter().map(|arg| argument(arg).ok_or_else(misread));
        let mut next = || arguments.next().transpose().and_then(|next| next.ok_or_else(misread));
        let graph = number_of(next()?.1).and_then(|id| self.known.by_id(id)).ok_or_else(misread)?;
        let function = text_of(next()?.1).and_then(|name| Function::by_name(&name)).ok_or_else(misread)?;
        let (mut edges, mut exprs, mut inputs) = (Edges::default(), vec![], vec![]);
        for next in arguments {
            let (name, expr) = next?;
            let name = name.ok_or_else(misread)?;
            if name == "tables" {
                let list = text_of(expr).ok_or_else(misread)?;
                edges.tables = list.split(',').filter_map(|table| table.parse().ok()).collect();
                continue;
            }
            if name == "condition" {
                edges.condition = text_of(expr);
                continue;
            }
            let numbered = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
            let role = match (numbered("edges_"), numbered("weights_")) {
                (Some(table), _) => Role::Edges(table),
                (_, Some(table)) => Role::Weights(table),
                _ => {
                    let known = function.arguments().0.iter().find(|known| known.name() == name);
                    Role::Vertices(*known.ok_or_else(misread)?)
                }
            };
            match (role, expr) {
                (role, expr) if rows_of(expr).is_some() => {
                    let query = rows_of(expr).expect("it was looked at");
                    let table = TableFactor::Derived {
                        lateral: false,
                        subquery: Box::new(query.clone()),
                        alias: None,
                        sample: None,
                    };
                    inputs.push((role, context.plan(table)?));
                }
                (Role::Weights(table), expr) => {
                    let column = number_of(expr).ok_or_else(misread)?;
                    edges.weights.push((table, column as usize));
                }
                (Role::Vertices(argument), expr) => {
                    exprs.push((argument, context.sql_to_expr(expr.clone(), &DFSchema::empty())?));
                }
                (Role::Edges(_), _) => return Err(misread()),
            }
        }
        let node = GraphFunction::new(function, graph, edges, exprs, inputs)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

fn number_of(expr: &SqlExpr) -> Option<u64> {
    match expr {
        SqlExpr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Makes [`GraphFunction`] nodes run.
#[derive(Debug)]
pub(crate) struct GraphFunctionPlanner {
    pub(crate) cache: Arc<std::sync::OnceLock<Arc<Cache>>>,
}

#[async_trait]
impl ExtensionPlanner for GraphFunctionPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<GraphFunction>() else { return Ok(None) };
        let of = |(argument, expr): &(Argument, Expr)| {
            Ok((*argument, planner.create_physical_expr(expr, &DFSchema::empty(), session, context)?))
        };
        let arguments = node.arguments.iter().map(of).collect::<Result<Vec<_>>>()?;
        let inputs = node.inputs.iter().map(|(role, _)| *role).zip(inputs.iter().cloned()).collect();
        let schema = node.schema.inner().clone();
        let (function, graph, edges) = (node.function, node.graph.clone(), node.edges.clone());
        let cache = self.cache.clone();
        Ok(Some(Arc::new(GraphFunctionExec::new(function, graph, edges, arguments, inputs, schema, cache))))
    }
}
