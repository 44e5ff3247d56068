//! Function calls as syntax, for rewrites that put one in place of something else.

use super::names::folded;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments,
    Ident, ObjectName,
};

/// `name(args)`.
pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args, Vec::new()))
}

/// `name(args clauses)`: a clause is the ORDER BY of an aggregate.
pub fn function(name: &str, args: Vec<Expr>, clauses: Vec<FunctionArgumentClause>) -> Function {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    let args = FunctionArgumentList { duplicate_treatment: None, args, clauses };
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// An identifier that means exactly `name`.
pub fn identifier(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// A function's name when it is one word.
pub fn plain_name(function: &Function) -> Option<String> {
    let [part] = function.name.0.as_slice() else { return None };
    part.as_ident().map(folded)
}

/// The name and the expression of an argument.
pub fn argument(arg: &FunctionArg) -> Option<(Option<String>, &Expr)> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some((None, expr)),
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => Some((Some(folded(name)), expr)),
        FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(expr), .. } => {
            Some((Some(folded(name)), expr))
        }
        _ => None,
    }
}
