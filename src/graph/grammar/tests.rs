use super::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

fn tokens(sql: &str) -> Vec<TokenWithSpan> {
    Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap()
}

fn rewritten(sql: &str) -> String {
    let tokens = rewrite(tokens(sql)).unwrap_or_else(|misplaced| panic!("{sql}: {misplaced:?}"));
    let text: String = tokens.iter().map(|token| format!("{} ", token.token)).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a pattern becomes, without the calls around it.
fn pattern(written: &str) -> String {
    let text = rewritten(&format!("SELECT * FROM GRAPH_TABLE (g MATCH {written} COLUMNS (1 AS x))"));
    let text = text.strip_prefix("SELECT * FROM lightning_graph_table ( lightning_graph ( 'g' ) , lightning_path ( ");
    let text = text.unwrap().strip_suffix(" ) , lightning_column ( 1 , 'x' ) )").unwrap().to_owned();
    text.replace("lightning_", "")
}

/// The token that is misplaced, and what is said of it.
fn refused(sql: &str) -> (String, String) {
    let misplaced = rewrite(tokens(sql)).expect_err(sql);
    let token = misplaced.token.map_or("end".to_owned(), |token| token.token.to_string());
    (token, misplaced.message.map_or_else(String::new, String::from))
}

fn refused_pattern(written: &str) -> (String, String) {
    refused(&format!("SELECT * FROM GRAPH_TABLE (g MATCH {written}\n COLUMNS (1 AS x))"))
}

#[test]
fn other_statements_stay() {
    for sql in [
        "select graph_table , match from t",
        "select \"graph_table\" ( 1 )",
        "select s . graph_table ( 1 )",
        "select a -> b , c ->> 'd' , e <-> f from columns",
    ] {
        assert_eq!(rewritten(sql), sql);
    }
}

#[test]
fn graph_table_becomes_a_call() {
    assert_eq!(
        rewritten(
            "select x.id from graph_table (s.G match (a is Person where a.id = $1)-[k is knows]->(b), (b) where a.x < b.x \
             columns (a.id, b.name as \"Name\", count(*) AS select)) as x (p, q) join t on true"
        ),
        "select x . id from lightning_graph_table ( lightning_graph ( 's' , 'g' ) , \
         lightning_path ( lightning_vertex ( name => 'a' , label => lightning_label ( 'person' ) , condition => a . id = $1 ) , \
         lightning_edge ( name => 'k' , label => lightning_label ( 'knows' ) , direction => 'right' ) , \
         lightning_vertex ( name => 'b' ) ) , lightning_path ( lightning_vertex ( name => 'b' ) ) , \
         condition => a . x < b . x , lightning_column ( a . id ) , lightning_column ( b . name , 'Name' ) , \
         lightning_column ( count ( * ) , 'select' ) ) as x ( p , q ) join t on true"
    );
}

#[test]
fn edges_in_all_directions_with_blanks_and_without() {
    for (edge, direction) in [
        ("-[]->", "right"),
        ("- [ ] ->", "right"),
        ("- [ ] - >", "right"),
        ("->", "right"),
        ("<-[]-", "left"),
        ("<- [ ] -", "left"),
        ("< - [ ] -", "left"),
        ("<-", "left"),
        ("-[]-", "any"),
        ("- [ ] -", "any"),
        ("-", "any"),
        ("<-[]->", "any"),
        ("<- [ ] ->", "any"),
        ("<->", "any"),
        ("~[]~", "any"),
        ("~ [ ] ~", "any"),
        ("~", "any"),
        ("<~[]~", "left"),
        ("~[]~>", "right"),
        ("<~", "left"),
        ("~>", "right"),
    ] {
        let expected = format!("vertex ( ) , edge ( direction => '{direction}' ) , vertex ( )");
        for blank in ["", " ", "\n", " /* - */ "] {
            assert_eq!(pattern(&format!("(){blank}{edge}{blank}()")), expected, "{edge}");
        }
    }
}

#[test]
fn quantifiers_of_edges_and_groups() {
    for (written, bounds) in [
        ("*", "lower => 0"),
        ("+", "lower => 1"),
        ("?", "lower => 0 , upper => 1"),
        ("{3}", "lower => 3 , upper => 3"),
        ("{2,}", "lower => 2"),
        ("{,5}", "lower => 0 , upper => 5"),
        ("{1,3}", "lower => 1 , upper => 3"),
        ("{ 1 , 3 }", "lower => 1 , upper => 3"),
    ] {
        for blank in ["", " "] {
            let edges = [
                ("->", "right"),
                ("<-", "left"),
                ("-", "any"),
                ("<->", "any"),
                ("~", "any"),
                ("-[]->", "right"),
                ("<-[]-", "left"),
                ("-[]-", "any"),
                ("~[]~", "any"),
            ];
            for (edge, direction) in edges {
                let expected = format!("vertex ( ) , edge ( direction => '{direction}' , {bounds} ) , vertex ( )");
                assert_eq!(pattern(&format!("(){blank}{edge}{blank}{written}{blank}()")), expected);
            }
            for (edge, direction) in edges {
                let written = format!("(()->()){blank}{written}{blank}{edge}{blank}()");
                let expected = format!(
                    "group ( vertex ( ) , edge ( direction => 'right' ) , vertex ( ) , {bounds} ) , \
                     edge ( direction => '{direction}' ) , vertex ( )"
                );
                assert_eq!(pattern(&written), expected, "{written}");
            }
        }
    }
}

#[test]
fn what_vertices_and_edges_say() {
    for (written, expected) in [
        ("()", ""),
        ("(a)", "name => 'a'"),
        ("(\"A b\")", "name => 'A b'"),
        ("(A IS Person)", "name => 'a' , label => label ( 'person' )"),
        ("(a:person)", "name => 'a' , label => label ( 'person' )"),
        ("( a : person )", "name => 'a' , label => label ( 'person' )"),
        ("(:person)", "label => label ( 'person' )"),
        ("(IS person|company)", "label => one_of ( label ( 'person' ) , label ( 'company' ) )"),
        ("(WHERE true)", "condition => true"),
        ("(a WHERE (a.x)[1] = ARRAY[1, 2][1])", "name => 'a' , condition => ( a . x ) [ 1 ] = ARRAY [ 1 , 2 ] [ 1 ]"),
        ("(walk)", "name => 'walk'"),
        ("(trail IS path)", "name => 'trail' , label => label ( 'path' )"),
        ("(columns)", "name => 'columns'"),
    ] {
        let expected = format!("( {expected} )").replace("(  )", "( )");
        assert_eq!(pattern(written), format!("vertex {expected}"));
        let edge = format!("-[{}]->", &written[1..written.len() - 1]);
        let expected = expected.strip_suffix(')').unwrap();
        let comma = if written == "()" { "" } else { ", " };
        assert_eq!(pattern(&edge), format!("edge {expected}{comma}direction => 'right' )"));
    }
}

#[test]
fn label_expressions_bind_as_they_should() {
    for (written, expected) in [
        ("%", "any_label ( )"),
        ("!%", "not ( any_label ( ) )"),
        ("!a", "not ( label ( 'a' ) )"),
        ("!!a", "label ( 'a' )"),
        ("! ! ! a", "not ( label ( 'a' ) )"),
        ("a|b|c", "one_of ( label ( 'a' ) , label ( 'b' ) , label ( 'c' ) )"),
        ("a&b", "all_of ( label ( 'a' ) , label ( 'b' ) )"),
        ("a|!b", "one_of ( label ( 'a' ) , not ( label ( 'b' ) ) )"),
        ("a&!b", "all_of ( label ( 'a' ) , not ( label ( 'b' ) ) )"),
        ("%|a", "one_of ( any_label ( ) , label ( 'a' ) )"),
        ("a|%", "one_of ( label ( 'a' ) , any_label ( ) )"),
        ("a&%|!%", "one_of ( all_of ( label ( 'a' ) , any_label ( ) ) , not ( any_label ( ) ) )"),
        ("a|b&c", "one_of ( label ( 'a' ) , all_of ( label ( 'b' ) , label ( 'c' ) ) )"),
        ("(a|b)&c", "all_of ( one_of ( label ( 'a' ) , label ( 'b' ) ) , label ( 'c' ) )"),
        ("!(a|b)", "not ( one_of ( label ( 'a' ) , label ( 'b' ) ) )"),
        ("((a))", "label ( 'a' )"),
    ] {
        let spaced: String = written.chars().map(|c| format!(" {c} ")).collect();
        for written in [written, &spaced] {
            assert_eq!(pattern(&format!("(x IS {written})")), format!("vertex ( name => 'x' , label => {expected} )"));
            assert_eq!(
                pattern(&format!("-[:{written}]->")),
                format!("edge ( label => {expected} , direction => 'right' )")
            );
        }
    }
}

#[test]
fn selectors_and_modes() {
    for (written, expected) in [
        ("WALK", "mode => 'walk' , "),
        ("trail paths", "mode => 'trail' , "),
        ("ACYCLIC PATH", "mode => 'acyclic' , "),
        ("SIMPLE", "mode => 'simple' , "),
        ("ALL", ""),
        ("ALL PATHS", ""),
        ("ALL TRAIL", "mode => 'trail' , "),
        ("ANY", "selector => 'any' , count => 1 , "),
        ("ANY 3 PATHS", "selector => 'any' , count => 3 , "),
        ("ANY SIMPLE PATH", "mode => 'simple' , selector => 'any' , count => 1 , "),
        ("ANY SHORTEST", "selector => 'shortest' , count => 1 , "),
        ("any shortest trail paths", "mode => 'trail' , selector => 'shortest' , count => 1 , "),
        ("ALL SHORTEST", "selector => 'shortest groups' , count => 1 , "),
        ("SHORTEST 4", "selector => 'shortest' , count => 4 , "),
        ("SHORTEST 4 ACYCLIC PATHS", "mode => 'acyclic' , selector => 'shortest' , count => 4 , "),
        ("SHORTEST 2 GROUPS", "selector => 'shortest groups' , count => 2 , "),
        ("SHORTEST GROUP", "selector => 'shortest groups' , count => 1 , "),
        ("SHORTEST 2 TRAIL PATHS GROUPS", "mode => 'trail' , selector => 'shortest groups' , count => 2 , "),
    ] {
        assert_eq!(pattern(&format!("{written} (a)")), format!("{expected}vertex ( name => 'a' )"));
        assert_eq!(pattern(&format!("P={written}(a)")), format!("name => 'p' , {expected}vertex ( name => 'a' )"));
        assert_eq!(pattern(&format!("{written} ->")), format!("{expected}edge ( direction => 'right' )"));
    }
    assert_eq!(pattern("trail = trail (a)"), "name => 'trail' , mode => 'trail' , vertex ( name => 'a' )");
}

#[test]
fn groups_have_modes_and_conditions() {
    let inner = "vertex ( name => 'a' ) , edge ( name => 'k' , direction => 'right' ) , vertex ( name => 'b' )";
    for (written, expected) in [
        ("((a)-[k]->(b))", format!("group ( {inner} )")),
        (
            "( (a)-[k]->(b) WHERE k.x > 1 ){1,3}",
            format!("group ( {inner} , condition => k . x > 1 , lower => 1 , upper => 3 )"),
        ),
        ("(TRAIL (a)-[k]->(b))+", format!("group ( mode => 'trail' , {inner} , lower => 1 )")),
        ("(ACYCLIC PATHS (a)-[k]->(b))?", format!("group ( mode => 'acyclic' , {inner} , lower => 0 , upper => 1 )")),
        ("(((a)-[k]->(b))*)", format!("group ( group ( {inner} , lower => 0 ) )")),
        ("(->)*", "group ( edge ( direction => 'right' ) , lower => 0 )".to_owned()),
        ("(-[k]->)*", "group ( edge ( name => 'k' , direction => 'right' ) , lower => 0 )".to_owned()),
    ] {
        assert_eq!(pattern(written), expected);
    }
}

#[test]
fn graph_tables_nest_and_stand_anywhere() {
    let nested = rewritten(
        "with c as (select * from graph_table (g match (a) columns (a.x)) where exists (select 1 from t)) select (select 1 \
         from lateral graph_table (g match (a where exists (select 1 from graph_table (h match (b) columns (b.y)) q \
         where q.y = a.x)) columns ((select max(z) from graph_table (i match (c) columns (c.z))) as z))) from c",
    );
    assert_eq!(nested.matches("lightning_graph_table").count(), 4);
    assert!(!nested.contains("graph_table (g"));
    assert!(nested.contains(
        "condition => exists ( select 1 from lightning_graph_table ( lightning_graph ( 'h' ) , \
         lightning_path ( lightning_vertex ( name => 'b' ) ) , lightning_column ( b . y ) ) q where q . y = a . x ) )"
    ));
}

#[test]
fn conditions_may_have_a_column_called_columns() {
    for rows in ["", "one row per match"] {
        let sql = format!("select * from graph_table (g match (a) where a.columns > 1 {rows} columns (a.columns))");
        assert!(rewritten(&sql).contains("condition => a . columns > 1 , lightning_column ( a . columns )"));
    }
}

#[test]
fn tokens_keep_their_positions() {
    let sql = "select *\nfrom graph_table (g match (a where a.x = 1)-[k]->(b) columns (b.y as z))";
    for token in rewrite(tokens(sql)).unwrap() {
        let Token::Word(word) = &token.token else { continue };
        if word.value.starts_with("lightning_") || ["name", "condition", "direction"].contains(&word.value.as_str()) {
            continue;
        }
        let column = usize::try_from(token.span.start.column).unwrap() - 1;
        let line = sql.lines().nth(usize::try_from(token.span.start.line).unwrap() - 1).unwrap();
        assert!(line[column..].starts_with(&word.value), "{word}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_at_its_token() {
    for (written, token) in [
        ("", "COLUMNS"),
        ("(a", "COLUMNS"),
        ("(a b)", "b"),
        ("(a IS)", ")"),
        ("(a::b)", "::"),
        ("(a IS b|)", ")"),
        ("(a IS b c)", "c"),
        ("(a IS 'b')", "'b'"),
        ("(a WHERE)", ")"),
        ("(a WHERE a.x, b)", ","),
        ("(a)-[k WHERE k.x, k.y]->(b)", ","),
        ("((a)->(b) WHERE a.x, b.x)", ","),
        ("(a WHERE DISTINCT a.x)", "DISTINCT"),
        ("(a WHERE a.x ORDER BY a.y)", "ORDER"),
        ("(a) WHERE a.x, a.y", ","),
        ("(a {x: 1})", "{"),
        ("(select)", "select"),
        ("(a)-[k](b)", "("),
        ("(a)-[k]~(b)", "~"),
        ("(a)~[k]-(b)", "-"),
        ("(a)-[k]->>(b)", "->>"),
        ("(a)=>(b)", "=>"),
        ("(a)-[k*1]->(b)", "*"),
        ("(a)->{}(b)", "}"),
        ("(a)->{,}(b)", "}"),
        ("(a)->{1.5}(b)", "1.5"),
        ("(a)->{1,2,3}(b)", ","),
        ("(a)->{x}(b)", "x"),
        ("(a)->**(b)", "->**"),
        ("(a),", "COLUMNS"),
        ("ANY SHORTEST", "COLUMNS"),
        ("SHORTEST (a)", "("),
        ("ALL 3 (a)", "3"),
        ("TRAIL WALK (a)", "WALK"),
        ("p q = (a)", "p"),
        ("((a)->(b)", "COLUMNS"),
        ("((a)->(b) b)", "b"),
    ] {
        assert_eq!(refused_pattern(written).0, token, "{written}");
    }
    for (sql, token) in [
        ("select * from graph_table (", "end"),
        ("select * from graph_table (g", "end"),
        ("select * from graph_table (g)", ")"),
        ("select * from graph_table (g. match (a) columns (1 as x))", "("),
        ("select * from graph_table ('g' match (a) columns (1 as x))", "'g'"),
        ("select * from graph_table (g match (a))", ")"),
        ("select * from graph_table (g match (a) columns ())", ")"),
        ("select * from graph_table (g match (a) columns (a.x,))", ")"),
        ("select * from graph_table (g match (a) columns (*))", "*"),
        ("select * from graph_table (g match (a) columns (a.x, a.*))", "*"),
        ("select * from graph_table (g match (a) columns (distinct a.x))", "distinct"),
        ("select * from graph_table (g match (a) columns (a.x order by a.x))", "order"),
        ("select * from graph_table (g match (a) columns (a.x as))", ")"),
        ("select * from graph_table (g match (a) columns (a.x as 1))", "1"),
        ("select * from graph_table (g match (a) columns (a.x as y z))", "z"),
        ("select * from graph_table (g match (a) columns (a.x) where true)", "where"),
        ("select * from graph_table (g match (a) where columns (a.x))", "columns"),
        ("select * from graph_table (g match (a) where true)", ")"),
        ("select * from graph_table (g match (a) columns (a.x)", "end"),
    ] {
        assert_eq!(refused(sql).0, token, "{sql}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (written, token, message) in [
        ("(a)--(b)", "--(b)\n", "\"--\" begins a comment, not an edge pattern"),
        ("(a)-->(b)", "-->(b)\n", "\"--\" begins a comment, not an edge pattern"),
        ("(a)<--(b)", "--(b)\n", "\"--\" begins a comment, not an edge pattern"),
        ("(a)--[k]->(b)", "--[k]->(b)\n", "\"--\" begins a comment, not an edge pattern"),
        ("(a)-[k]--(b)", "--(b)\n", "\"--\" begins a comment, not an edge pattern"),
        ("(a)+", "+", "a quantifier must follow an edge pattern or a path pattern in parentheses"),
        ("(a){1,3}", "{", "a quantifier must follow an edge pattern or a path pattern in parentheses"),
        ("(a)->(b) | (c)", "|", "alternatives of path patterns are not supported"),
        ("(p = (a)->(b))+", "p", "names of paths in parentheses are not supported"),
        ("(a)->(b) KEEP TRAIL", "KEEP", "KEEP is not supported"),
        ("(a) ONE ROW PER VERTEX (b)", "ONE", "only ONE ROW PER MATCH is supported"),
    ] {
        assert_eq!(refused_pattern(written), (token.to_owned(), message.to_owned()), "{written}");
    }
    // Behind a blank it is a comment, as everywhere.
    assert_eq!(pattern("(a) -- (b)\n -- (c)\n -> (d)").matches("vertex").count(), 2);
}

#[test]
fn any_statement_is_rewritten_or_refused() {
    let parts = [
        "graph_table",
        "(",
        ")",
        "g",
        "match",
        "(a)",
        "-",
        "->",
        "<-",
        "[",
        "]",
        "{",
        "}",
        "1",
        ",",
        "*",
        "+",
        "?",
        "where",
        "columns",
        "a.x",
        "as",
        "is",
        "|",
        "&",
        "!",
        "%",
        "any",
        "shortest",
        "trail",
        "p",
        "=",
        "--\n",
        ".",
        "~",
        ":",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut sql = "select * from graph_table (g match (a)".to_owned();
        for _ in 0..random.usize(..14) {
            sql.push_str(parts[random.usize(..parts.len())]);
            sql.push_str(["", " "][random.usize(..2)]);
        }
        if let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, &sql).tokenize_with_location() {
            let _ = rewrite(tokens);
        }
    }
}
