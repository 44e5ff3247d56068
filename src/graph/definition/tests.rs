use super::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

fn parsed(sql: &str) -> Option<Result<Statement, (String, String)>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap();
    Some(parse(&tokens)?.map_err(|misplaced| {
        let token = misplaced.token.map_or("end".to_owned(), |token| token.token.to_string());
        (token, misplaced.message.map_or_else(String::new, String::from))
    }))
}

fn create(sql: &str) -> CreatePropertyGraph {
    match parsed(sql) {
        Some(Ok(Statement::Create(create))) => create,
        other => panic!("{sql}: {other:?}"),
    }
}

fn refused(sql: &str) -> (String, String) {
    parsed(sql).unwrap().expect_err(sql)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const EVERYTHING: &str = "create or replace property graph S.\"My graph\"
    vertex tables (
        person,
        s.person as p key (ID, \"Part\") label person properties (id, x.name as n, a + 1 as \"a+1\", f('it''s', b) as f) label human,
        company key (id) no properties,
        city properties are all columns except (geo, Name),
        a default label label b no properties label c properties all columns
    )
    edge tables (
        knows source key (a) references person (id) destination key (b, c) references p (id, part) label knows properties (since),
        works as w key (id) source key (a) references person destination company,
        s.lives source person destination \"City\" no properties
    )
    with (missing_vertices = 'ignore')";

#[test]
fn everything_is_read() {
    let graph = create(EVERYTHING);
    assert_eq!(graph.name, ["s", "My graph"]);
    assert!(graph.or_replace && !graph.if_not_exists);
    assert_eq!(graph.missing_vertices, Some(MissingVertices::Ignore));
    let all = || Properties::AllColumns { except: Vec::new() };
    let default = |properties| vec![LabelDefinition { name: LabelName::Default, properties }];
    let named = |name: &str, properties| LabelDefinition { name: LabelName::Named(name.to_owned()), properties };
    let property = |name: &str, expr: &str| Property { name: name.to_owned(), expr: expr.to_owned() };
    let [person, p, company, city, a] = graph.vertices.as_slice() else { panic!() };
    assert_eq!((person.name(), &person.key, &person.labels), ("person", &Vec::new(), &default(all())));
    assert_eq!((p.name(), &p.table, &p.key), ("p", &names(&["s", "person"]), &names(&["id", "Part"])));
    assert_eq!(p.labels[1], named("human", all()));
    assert_eq!(company.labels, default(Properties::None));
    assert_eq!(city.labels, default(Properties::AllColumns { except: names(&["geo", "name"]) }));
    let [first, second, third] = a.labels.as_slice() else { panic!() };
    assert_eq!((&first.name, second, third), (&LabelName::Default, &named("b", Properties::None), &named("c", all())));
    let [knows, works, lives] = graph.edges.as_slice() else { panic!() };
    let endpoint = |key: &[&str], vertices: &str, columns: &[&str]| Endpoint {
        key: names(key),
        vertices: vertices.to_owned(),
        columns: names(columns),
    };
    assert_eq!(knows.source, endpoint(&["a"], "person", &["id"]));
    assert_eq!(knows.destination, endpoint(&["b", "c"], "p", &["id", "part"]));
    assert_eq!(knows.element.labels, [named("knows", Properties::Listed(vec![property("since", "since")]))]);
    assert_eq!((works.element.name(), &works.source), ("w", &endpoint(&["a"], "person", &[])));
    assert_eq!(works.destination, endpoint(&[], "company", &[]));
    assert_eq!((lives.element.name(), &lives.destination), ("lives", &endpoint(&[], "City", &[])));
}

#[test]
fn properties_without_a_name_must_be_columns() {
    let (token, message) = refused("create property graph g vertex tables (t properties (a, a + 1))");
    assert_eq!((token.as_str(), message.as_str()), ("a", "property name required"));
    let graph = create("create property graph g vertex tables (t properties (A, \"B\", t.c, x -> 'y' as select))");
    let Properties::Listed(properties) = &graph.vertices[0].labels[0].properties else { panic!() };
    let found: Vec<(&str, &str)> =
        properties.iter().map(|property| (property.name.as_str(), property.expr.as_str())).collect();
    assert_eq!(found, [("a", "A"), ("B", "\"B\""), ("c", "t.c"), ("select", "x -> 'y'")]);
}

#[test]
fn a_definition_shows_as_the_statement_it_is() {
    for sql in [
        "create property graph g",
        "create property graph if not exists g vertex tables (t)",
        "CREATE PROPERTY GRAPH a.b.c NODE TABLES (\"T\" AS \"select\") RELATIONSHIP TABLES (e SOURCE t DESTINATION t)",
        "create property graph g edge tables (e source t destination t) with (missing_vertices = error)",
        EVERYTHING,
    ] {
        let graph = create(sql);
        assert_eq!(create(&graph.to_string()), graph, "{graph}");
        let text = serde_json::to_string(&graph).unwrap();
        assert_eq!(serde_json::from_str::<CreatePropertyGraph>(&text).unwrap(), graph);
    }
    let graph = create("create property graph G vertex tables (t key (Id), \"U\" label l no properties)");
    let shown = "CREATE PROPERTY GRAPH g\n    VERTEX TABLES (\n        t KEY (id) DEFAULT LABEL PROPERTIES ALL COLUMNS,\n        \
                 \"U\" LABEL l NO PROPERTIES\n    )";
    assert_eq!(graph.to_string(), shown);
}

#[test]
fn graphs_are_dropped() {
    let dropped = |sql: &str| match parsed(sql) {
        Some(Ok(Statement::Drop(dropped))) => dropped,
        other => panic!("{sql}: {other:?}"),
    };
    let expected = |names: Vec<Vec<String>>, if_exists, behavior| DropPropertyGraph { names, if_exists, behavior };
    let one = || vec![names(&["g"])];
    assert_eq!(dropped("drop property graph G"), expected(one(), false, DropBehavior::Restrict));
    assert_eq!(dropped("DROP PROPERTY GRAPH g RESTRICT"), expected(one(), false, DropBehavior::Restrict));
    let two = vec![names(&["S", "g"]), names(&["h"])];
    assert_eq!(dropped("drop property graph if exists \"S\".g, h cascade"), expected(two, true, DropBehavior::Cascade));
}

#[test]
fn other_statements_are_not_ours() {
    for sql in [
        "create table property (a int)",
        "create or replace view v as select 1",
        "drop table property",
        "select 1",
        "",
        "create \"property\" graph g",
    ] {
        assert!(parsed(sql).is_none(), "{sql}");
    }
}

#[test]
fn mistakes_are_refused_at_their_token() {
    for (sql, token) in [
        ("create property graph", "end"),
        ("create property graph select", "select"),
        ("create property graph g vertex", "vertex"),
        ("create property graph g vertex tables", "end"),
        ("create property graph g vertex tables ()", ")"),
        ("create property graph g vertex tables (t,)", ")"),
        ("create property graph g vertex tables (t x)", "x"),
        ("create property graph g vertex tables (t key id)", "id"),
        ("create property graph g vertex tables (t label)", ")"),
        ("create property graph g vertex tables (t properties)", ")"),
        ("create property graph g vertex tables (t properties all)", ")"),
        ("create property graph g vertex tables (t properties ())", ")"),
        ("create property graph g vertex tables (t properties (a b))", "b"),
        ("create property graph g vertex tables (t properties (a as))", ")"),
        ("create property graph g vertex tables (t properties (1 + as x))", "as"),
        ("create property graph g vertex tables (t no properties label l)", "label"),
        ("create property graph g edge tables (e)", ")"),
        ("create property graph g edge tables (e source t)", ")"),
        ("create property graph g edge tables (e source key (a) t (b) destination t)", "t"),
        ("create property graph g edge tables (e source t destination t) vertex tables (t)", "vertex"),
        ("create property graph g edge tables (e source t destination t) x", "x"),
        ("create or replace property graph if not exists g", "if"),
        ("drop property graph", "end"),
        ("drop property graph g h", "h"),
        ("drop property graph g,", "end"),
    ] {
        assert_eq!(refused(sql).0, token, "{sql}");
    }
    for (sql, token, message) in [
        ("create temp property graph g", "temp", "temporary property graphs are not supported"),
        ("create property graph g with (x = 1)", "x", "unrecognized parameter \"x\""),
        (
            "create property graph g with (missing_vertices = 'x')",
            "'x'",
            "invalid value for parameter \"missing_vertices\": \"x\"",
        ),
        (
            "create property graph g with (missing_vertices = error, missing_vertices = error)",
            "missing_vertices",
            "parameter \"missing_vertices\" specified more than once",
        ),
        (
            "create property graph g edge tables (e source key (a) references t (b, c) destination t)",
            "(",
            "number of columns of an edge and of the vertices it references must be equal",
        ),
    ] {
        assert_eq!(refused(sql), (token.to_owned(), message.to_owned()), "{sql}");
    }
}
