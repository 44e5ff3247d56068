use super::*;
use crate::grammar;
use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, Ident, Statement, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;
use fastrand::Rng;
use std::ops::ControlFlow;

/// Finds the arguments of the first GRAPH_TABLE.
struct Found;

impl Visitor for Found {
    type Break = Vec<FunctionArg>;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Vec<FunctionArg>> {
        match factor {
            TableFactor::Table { name, args: Some(args), .. } if name.to_string() == grammar::GRAPH_TABLE => {
                ControlFlow::Break(args.args.clone())
            }
            TableFactor::Function { name, args, .. } if name.to_string() == grammar::GRAPH_TABLE => {
                ControlFlow::Break(args.clone())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn parsed(sql: &str) -> Statement {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().unwrap();
    let tokens = grammar::rewrite(tokens).unwrap_or_else(|misplaced| panic!("{sql}: {misplaced:?}"));
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    parser.parse_statement().unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn arguments(sql: &str) -> Vec<FunctionArg> {
    parsed(sql).visit(&mut Found).break_value().unwrap_or_else(|| panic!("no GRAPH_TABLE in {sql}"))
}

fn table(written: &str) -> GraphTable {
    read(&arguments(&format!("SELECT * FROM {written} AS t"))).unwrap_or_else(|e| panic!("{written}: {e}"))
}

fn pattern(written: &str) -> PathPattern {
    table(&format!("GRAPH_TABLE (g MATCH {written} COLUMNS (1 AS x))")).patterns.remove(0)
}

/// State, message and column of the error a pattern gives.
fn refused(written: &str) -> (String, String, Option<u64>) {
    let e = read(&arguments(&format!("SELECT * FROM GRAPH_TABLE (g MATCH {written})"))).expect_err(written);
    (e.state().0.to_owned(), e.message().to_owned(), e.0.location.map(|location| location.column))
}

fn name(text: &str) -> Ident {
    Ident::with_quote('"', text)
}

fn vertex(text: &str) -> Element {
    Element::Vertex(Vertex { variable: Some(name(text)), ..Vertex::default() })
}

#[test]
fn a_whole_pattern_is_read() {
    let table = table(
        "GRAPH_TABLE (s.g MATCH p = ANY SHORTEST TRAIL (a IS person|!%)-[k:knows WHERE k.since > 2000]->{1,3}(b), (b) \
         WHERE a.id <> b.id COLUMNS (a.id, b.\"Name\", k.x + 1 AS since))",
    );
    assert_eq!(table.graph, [name("s"), name("g")]);
    let labels = vec![Label::Named(name("person")), Label::Not(Box::new(Label::Any))];
    let [path, second] = table.patterns.as_slice() else { panic!() };
    assert_eq!(path.variable, Some(name("p")));
    assert_eq!((path.selector, path.mode), (Selector::Shortest(1), Mode::Trail));
    let [Element::Vertex(first), Element::Edge(edge), last] = path.elements.as_slice() else { panic!() };
    assert_eq!((&first.variable, &first.label), (&Some(name("a")), &Some(Label::Or(labels))));
    assert_eq!((&edge.variable, edge.direction), (&Some(name("k")), Direction::Right));
    assert_eq!(edge.quantifier, Some(Quantifier { min: 1, max: Some(3) }));
    assert_eq!(edge.condition.as_ref().unwrap().to_string(), "k.since > 2000");
    assert_eq!(last, &vertex("b"));
    assert_eq!(second.elements, [vertex("b")]);
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.value.as_str()).collect();
    assert_eq!(columns, ["id", "Name", "since"]);
    let named: Vec<_> = variables(&table).unwrap();
    let expected = [
        ("p", Kind::Path, Degree::Single),
        ("a", Kind::Vertex, Degree::Single),
        ("k", Kind::Edge, Degree::Group),
        ("b", Kind::Vertex, Degree::Single),
    ];
    let expected = expected.map(|(text, kind, degree)| Variable { name: name(text), kind, degree });
    assert_eq!(named, expected);
}

#[test]
fn graph_tables_are_found_wherever_tables_stand() {
    let graph = "GRAPH_TABLE (g MATCH (a)-[k]->(b WHERE b.x = $1) COLUMNS (b.x))";
    let expected = table(graph);
    for sql in [
        format!("SELECT * FROM t, LATERAL {graph} AS x"),
        format!("SELECT * FROM t JOIN {graph} x ON x.x = t.x"),
        format!("SELECT * FROM t LEFT JOIN LATERAL {graph} x (y) ON true"),
        format!("SELECT (SELECT max(x) FROM {graph})"),
        format!("WITH c AS (SELECT * FROM {graph} c) TABLE c"),
        format!("CREATE VIEW v AS SELECT * FROM {graph}"),
        format!("INSERT INTO t SELECT * FROM {graph}"),
        format!("EXPLAIN SELECT * FROM (SELECT * FROM {graph}) q"),
        format!("DELETE FROM t USING {graph} x WHERE x.x = t.x"),
        format!("SELECT * FROM {graph} UNION ALL SELECT 1"),
    ] {
        assert_eq!(read(&arguments(&sql)).unwrap(), expected, "{sql}");
    }
}

#[test]
fn marks_in_the_text_of_a_view_read_the_same() {
    let sql =
        "SELECT * FROM GRAPH_TABLE (g MATCH p = ANY 2 (a IS \"It's\")-[k WHERE k.x = 'it''s']->*(b) COLUMNS (b.x))";
    let view = lightning_sql::extension::parse_query(&parsed(sql).to_string()).unwrap();
    let arguments_again = view.visit(&mut Found).break_value().unwrap();
    assert_eq!(read(&arguments_again).unwrap(), read(&arguments(sql)).unwrap());
}

#[test]
fn vertices_that_are_not_written_are_there() {
    for (short, long) in [
        ("->", "()->()"),
        ("(a)->", "(a)->()"),
        ("->(a)", "()->(a)"),
        ("(a)-> ->(b)", "(a)->()->(b)"),
        ("(a)(->)*(b)", "(a)(()->())*(b)"),
        ("(->){2}", "()(()->()){2}()"),
        ("(a)->((x)->(y))", "(a)->()((x)->(y))()"),
    ] {
        assert_eq!(pattern(&format!("TRAIL {short}")), pattern(&format!("TRAIL {long}")), "{short}");
    }
}

#[test]
fn quantifiers_without_an_upper_bound_need_finitely_many_paths() {
    for written in [
        "TRAIL (a)->*(b)",
        "ACYCLIC (a)->+(b)",
        "SIMPLE (a)->{2,}(b)",
        "ANY (a)->*(b)",
        "ANY SHORTEST (a)->*(b)",
        "ALL SHORTEST (a)->*(b)",
        "SHORTEST 3 GROUPS (a)->*(b)",
        "(a)(TRAIL (x)->*(y))(b)",
        "(a)((x)->{0,2}(y)){2}(b)",
    ] {
        pattern(written);
    }
    for (written, column, quantifier) in [
        ("(a)->*(b)", 40, "*"),
        ("(a)->+(b)", 40, "+"),
        ("(a)-[k]->{2,}(b)", 45, "{2,}"),
        ("ALL (a)->{0,}(b)", 46, "*"),
        ("WALK (a)((x)->(y))+(b)", 54, "+"),
        ("(a)(TRAIL (x)->(y))+(b)", 55, "+"),
    ] {
        let message = format!("quantifier \"{quantifier}\" has no upper bound, and there may be infinitely many paths");
        let (state, said, at) = refused(&format!("{written} COLUMNS (1 AS x)"));
        assert_eq!((state.as_str(), said), ("42601", message), "{written}");
        assert!(at.is_some_and(|at| at.abs_diff(column) < 4), "{written} {at:?}");
    }
}

#[test]
fn broken_rules_are_refused_where_they_are_broken() {
    for (written, state, message) in [
        ("(a)->{3,2}(b)", "42601", "quantifier \"{3,2}\" has an upper bound below the lower one"),
        ("(a)->{0}(b)", "42601", "quantifier \"{0}\" has an upper bound of 0"),
        ("(a)->{,0}(b)", "42601", "quantifier \"{0}\" has an upper bound of 0"),
        ("(a)->{1,99999999999}(b)", "42601", "99999999999 is out of range in a graph pattern"),
        ("((a)){2}", "42601", "quantifier \"{2}\" follows a path pattern without an edge"),
        ("SHORTEST 0 (a)", "42601", "the number of paths must be at least 1"),
        ("p = (a), p = (b)", "42601", "path variable \"p\" is declared more than once"),
        ("p = (p)", "42601", "variable \"p\" is declared as a path and as a vertex"),
        ("(a)-[a]->(b)", "42601", "variable \"a\" is declared as a vertex and as an edge"),
        ("-[k]->(b), (k)", "42601", "variable \"k\" is declared as an edge and as a vertex"),
        ("-[k]->{2}(b), -[k]->", "42601", "variable \"k\" is declared in a quantified pattern and elsewhere"),
        ("-[k]->{2}(b)-[k]->{2}", "42601", "variable \"k\" is declared in a quantified pattern and elsewhere"),
        ("(a)((a)->(b)){2}", "42601", "variable \"a\" is declared in a quantified pattern and elsewhere"),
        ("(a)(b)", "0A000", "a vertex pattern right after another is not supported"),
    ] {
        let (found, said, at) = refused(&format!("{written} COLUMNS (1 AS x)"));
        assert_eq!((found.as_str(), said.as_str()), (state, message), "{written}");
        assert!(at.is_some_and(|at| at > 33), "{written} {at:?}");
    }
    for (columns, state, message) in [
        ("a.x + 1", "42601", "complex graph table column must specify an explicit column name"),
        ("x", "42601", "complex graph table column must specify an explicit column name"),
        ("1", "42601", "complex graph table column must specify an explicit column name"),
        ("a.x, b.x", "42701", "column \"x\" specified more than once"),
        ("a.x AS y, b.y", "42701", "column \"y\" specified more than once"),
    ] {
        let (found, said, at) = refused(&format!("(a)->(b) COLUMNS ({columns})"));
        assert_eq!((found.as_str(), said.as_str()), (state, message), "{columns}");
        assert!(at.is_some_and(|at| at > 40), "{columns} {at:?}");
    }
    // Edges and vertices may be named again.
    pattern("(a)-[k]->(b), (b)-[j]->(a), (a)-[k]->(b)");
    pattern("((a)-[k]->(b)-[j]->(a)){2}");
}

#[test]
fn calls_nobody_meant_are_refused() {
    for call in [
        "lightning_graph_table()",
        "lightning_graph_table(1)",
        "lightning_graph_table(a.*)",
        "lightning_graph_table(lightning_graph(g), lightning_path(lightning_vertex()), lightning_column(1, 'x'))",
        "lightning_graph_table(lightning_graph('g'), lightning_path(lightning_vertex()))",
        "lightning_graph_table(lightning_graph('g'), lightning_path(lightning_vertex()), lightning_column(DISTINCT 1, 'x'))",
        "lightning_graph_table(lightning_graph('g'), lightning_path(lightning_vertex(1)), lightning_column(1, 'x'))",
        "lightning_graph_table(lightning_graph('g'), lightning_path(f()), lightning_column(1, 'x'))",
        "lightning_graph_table(lightning_graph('g'), lightning_path(lightning_edge(direction => 'up')), lightning_column(1, 'x'))",
        "lightning_graph_table(lightning_graph('g'), lightning_path(mode => 'run', lightning_vertex()), lightning_column(1, 'x'))",
        "lightning_graph_table(lightning_graph('g'), lightning_path(lightning_vertex(label => lightning_not())), lightning_column(1, 'x'))",
    ] {
        let e = read(&arguments(&format!("SELECT * FROM {call}"))).expect_err(call);
        assert_eq!((e.state().0, e.message()), ("42601", "malformed graph pattern"), "{call}");
    }
}

/// Patterns at random, all of them ones that [`read`] can give.
struct Random {
    rng: Rng,
    names: usize,
}

impl Random {
    fn name(&mut self) -> Ident {
        self.names += 1;
        let stem = ["a", "A b", "select", "it's", "ä", "trail", "x.y", "q\"q"][self.rng.usize(..8)];
        name(&format!("{stem}{}", self.names))
    }

    fn maybe<T>(&mut self, one: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.rng.bool().then(|| one(self))
    }

    fn expr(&mut self) -> Expr {
        let texts = [
            "a.x = 1",
            "NOT (k.y = 'it''s -> (a)') OR $1",
            "EXISTS (SELECT 1 FROM t WHERE t.a[1] = k.y)",
            "ARRAY[1, 2][1] < a.\"X y\"",
            "CASE WHEN a.x THEN 1 ELSE 2 END IS NULL",
            "count(k.x) = CAST(1 AS INT)",
        ];
        let text = texts[self.rng.usize(..texts.len())];
        let dialect = PostgreSqlDialect {};
        Parser::new(&dialect).try_with_sql(text).unwrap().parse_expr().unwrap()
    }

    fn label(&mut self, depth: usize) -> Label {
        match self.rng.usize(..if depth == 0 { 2 } else { 5 }) {
            0 => Label::Named(self.name()),
            1 => Label::Any,
            // Twice not is nothing at all.
            2 => match self.label(depth - 1) {
                label @ Label::Not(_) => label,
                label => Label::Not(Box::new(label)),
            },
            3 => Label::And((0..self.rng.usize(2..4)).map(|_| self.label(depth - 1)).collect()),
            _ => Label::Or((0..self.rng.usize(2..4)).map(|_| self.label(depth - 1)).collect()),
        }
    }

    fn mode(&mut self) -> Mode {
        [Mode::Walk, Mode::Trail, Mode::Acyclic, Mode::Simple][self.rng.usize(..4)]
    }

    fn quantifier(&mut self, finite: bool) -> Quantifier {
        let min = self.rng.u32(..4);
        let max = (!finite || self.rng.bool()).then(|| min.max(1) + self.rng.u32(..3));
        Quantifier { min, max }
    }

    fn vertex(&mut self) -> Element {
        Element::Vertex(Vertex {
            variable: self.maybe(Self::name),
            label: self.maybe(|random| random.label(2)),
            condition: self.maybe(Self::expr),
        })
    }

    fn elements(&mut self, finite: bool, depth: usize) -> Vec<Element> {
        let mut elements = vec![self.vertex()];
        for _ in 0..self.rng.usize(1..4) {
            let step = if depth > 0 && self.rng.bool() { self.group(finite, depth - 1) } else { self.edge(finite) };
            elements.push(step);
            elements.push(self.vertex());
        }
        elements
    }

    fn edge(&mut self, finite: bool) -> Element {
        Element::Edge(Edge {
            variable: self.maybe(Self::name),
            label: self.maybe(|random| random.label(1)),
            condition: self.maybe(Self::expr),
            direction: [Direction::Right, Direction::Left, Direction::Any][self.rng.usize(..3)],
            quantifier: self.maybe(|random| random.quantifier(finite)),
        })
    }

    fn group(&mut self, finite: bool, depth: usize) -> Element {
        let mode = self.mode();
        Element::Group(Group {
            mode,
            quantifier: self.maybe(|random| random.quantifier(finite)),
            elements: self.elements(finite || mode != Mode::Walk, depth),
            condition: self.maybe(Self::expr),
        })
    }

    fn pattern(&mut self) -> PathPattern {
        let count = self.rng.u32(1..5);
        let selectors =
            [Selector::All, Selector::Any(count), Selector::Shortest(count), Selector::ShortestGroups(count)];
        let selector = selectors[self.rng.usize(..4)];
        let mode = self.mode();
        let finite = selector != Selector::All || mode != Mode::Walk;
        PathPattern { variable: self.maybe(Self::name), selector, mode, elements: self.elements(finite, 2) }
    }

    fn table(&mut self) -> GraphTable {
        GraphTable {
            graph: (0..self.rng.usize(1..3)).map(|_| self.name()).collect(),
            patterns: (0..self.rng.usize(1..3)).map(|_| self.pattern()).collect(),
            condition: self.maybe(Self::expr),
            columns: (0..self.rng.usize(1..4)).map(|_| Column { name: self.name(), expr: self.expr() }).collect(),
        }
    }
}

/// The text with blanks around the characters of operators, outside of quotes.
fn spaced(text: &str, rng: &mut Rng) -> String {
    let mut spaced = String::new();
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            _ => {}
        }
        let is_mark = quote.is_none() && "()[]{}<>-,|&!%*+?:".contains(c);
        let blank = |rng: &mut Rng| ["", " ", "\n", "\t", " /* (a)-> */"][rng.usize(..5)];
        if is_mark {
            spaced.push_str(blank(rng));
        }
        spaced.push(c);
        if is_mark {
            spaced.push_str(blank(rng));
        }
    }
    spaced
}

#[test]
fn patterns_read_back_as_they_were() {
    for seed in 0..200 {
        let mut random = Random { rng: Rng::with_seed(seed), names: 0 };
        let written = random.table();
        let text = written.to_string();
        assert_eq!(table(&text), written, "{seed}: {text}");
        let text = spaced(&text, &mut random.rng);
        assert_eq!(table(&text), written, "{seed}: {text}");
    }
}
