//! From the tokens of a statement to its typed syntax.

use super::syntax::{
    CreatePropertyGraph, DropBehavior, DropPropertyGraph, EdgeTable, ElementTable, Endpoint, LabelDefinition,
    LabelName, MissingVertices, Properties, Property, Statement,
};
use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lightning_sql::extension::{Misplaced, Words, folded, parse_expression_of};

type Result<T> = std::result::Result<T, Misplaced>;

/// Reads a statement about property graphs; `None` when it is about something else.
pub fn parse(tokens: &[TokenWithSpan]) -> Option<Result<Statement>> {
    let words = Words::new(tokens);
    let mut reader = Reader { words: &words, place: 0 };
    if reader.eat(&["CREATE"]) {
        let or_replace = reader.eat(&["OR", "REPLACE"]);
        let temporary = reader.place;
        let is_temporary = reader.eat(&["TEMP"]) || reader.eat(&["TEMPORARY"]);
        if !reader.eat(&["PROPERTY", "GRAPH"]) {
            return None;
        }
        if is_temporary {
            return Some(Err(words.misplaced(temporary).with_message("temporary property graphs are not supported")));
        }
        return Some(reader.create(or_replace).map(Statement::Create));
    }
    reader.eat(&["DROP", "PROPERTY", "GRAPH"]).then(|| reader.drop_graphs().map(Statement::Drop))
}

struct Reader<'a> {
    words: &'a Words<'a>,
    /// The word to be read next.
    place: usize,
}

impl Reader<'_> {
    fn create(&mut self, or_replace: bool) -> Result<CreatePropertyGraph> {
        let if_not_exists = self.eat(&["IF", "NOT", "EXISTS"]);
        if or_replace && if_not_exists {
            return Err(self.words.misplaced(self.place - 3));
        }
        let name = self.dotted()?;
        let mut vertices = Vec::new();
        let mut edges = Vec::new();
        if self.eat(&["VERTEX", "TABLES"]) || self.eat(&["NODE", "TABLES"]) {
            vertices = self.list(Reader::vertex_table)?;
        }
        if self.eat(&["EDGE", "TABLES"]) || self.eat(&["RELATIONSHIP", "TABLES"]) {
            edges = self.list(Reader::edge_table)?;
        }
        let missing_vertices = if self.eat(&["WITH"]) { self.options()? } else { None };
        self.end()?;
        Ok(CreatePropertyGraph { name, or_replace, if_not_exists, vertices, edges, missing_vertices })
    }

    fn drop_graphs(&mut self) -> Result<DropPropertyGraph> {
        let if_exists = self.eat(&["IF", "EXISTS"]);
        let mut names = vec![self.dotted()?];
        while self.eat_token(&Token::Comma) {
            names.push(self.dotted()?);
        }
        let behavior = if self.eat(&["CASCADE"]) {
            DropBehavior::Cascade
        } else {
            self.eat(&["RESTRICT"]);
            DropBehavior::Restrict
        };
        self.end()?;
        Ok(DropPropertyGraph { names, if_exists, behavior })
    }

    fn vertex_table(&mut self) -> Result<ElementTable> {
        let mut table = self.table()?;
        table.labels = self.labels()?;
        Ok(table)
    }

    fn edge_table(&mut self) -> Result<EdgeTable> {
        let mut element = self.table()?;
        self.expect(&["SOURCE"])?;
        let source = self.endpoint()?;
        self.expect(&["DESTINATION"])?;
        let destination = self.endpoint()?;
        element.labels = self.labels()?;
        Ok(EdgeTable { element, source, destination })
    }

    /// `table [AS name] [KEY (column, …)]`
    fn table(&mut self) -> Result<ElementTable> {
        let table = self.dotted()?;
        let alias = if self.eat(&["AS"]) { Some(self.name()?) } else { None };
        let key = if self.eat(&["KEY"]) { self.list(Reader::name)? } else { Vec::new() };
        Ok(ElementTable { table, alias, key, labels: Vec::new() })
    }

    /// `[KEY (column, …) REFERENCES] name [(column, …)]`
    fn endpoint(&mut self) -> Result<Endpoint> {
        let mut key = Vec::new();
        if self.eat(&["KEY"]) {
            key = self.list(Reader::name)?;
            self.expect(&["REFERENCES"])?;
        }
        // Vertices go by the name their table has in the graph, which has no schema.
        let vertices = self.dotted()?.pop().unwrap_or_default();
        let has_columns = self.words.is(self.place, &Token::LParen);
        let at = self.place;
        let columns = if has_columns { self.list(Reader::name)? } else { Vec::new() };
        if has_columns && columns.len() != key.len() {
            let message = "number of columns of an edge and of the vertices it references must be equal";
            return Err(self.words.misplaced(at).with_message(message));
        }
        Ok(Endpoint { key, vertices, columns })
    }

    fn labels(&mut self) -> Result<Vec<LabelDefinition>> {
        let mut labels = Vec::new();
        if let Some(properties) = self.properties()? {
            labels.push(LabelDefinition { name: LabelName::Default, properties });
            return Ok(labels);
        }
        loop {
            let name = if self.eat(&["LABEL"]) {
                LabelName::Named(self.name()?)
            } else if self.eat(&["DEFAULT", "LABEL"]) {
                LabelName::Default
            } else {
                break;
            };
            let properties = self.properties()?.unwrap_or(ALL_COLUMNS);
            labels.push(LabelDefinition { name, properties });
        }
        if labels.is_empty() {
            labels.push(LabelDefinition { name: LabelName::Default, properties: ALL_COLUMNS });
        }
        Ok(labels)
    }

    fn properties(&mut self) -> Result<Option<Properties>> {
        if self.eat(&["NO", "PROPERTIES"]) {
            return Ok(Some(Properties::None));
        }
        if !self.eat(&["PROPERTIES"]) {
            return Ok(None);
        }
        if self.words.is(self.place, &Token::LParen) {
            return Ok(Some(Properties::Listed(self.list(Reader::property)?)));
        }
        self.eat(&["ARE"]);
        self.expect(&["ALL", "COLUMNS"])?;
        let except = if self.eat(&["EXCEPT"]) { self.list(Reader::name)? } else { Vec::new() };
        Ok(Some(Properties::AllColumns { except }))
    }

    /// `expression [AS name]`
    fn property(&mut self) -> Result<Property> {
        let from = self.place;
        let words = self.words;
        let to = words.find(from, |place| words.is(place, &Token::Comma) || words.says(place, "AS"));
        let expr = parse_expression_of(words.between(from, to)).map_err(|misplaced| match misplaced.token {
            Some(_) => misplaced,
            None => words.misplaced(to),
        })?;
        self.place = to;
        let name = if self.eat(&["AS"]) {
            let name = words.label(self.place).ok_or_else(|| words.misplaced(self.place))?;
            self.place += 1;
            name
        } else {
            column(&expr).ok_or_else(|| words.misplaced(from).with_message("property name required"))?
        };
        Ok(Property { name, expr: expr.to_string() })
    }

    /// `(missing_vertices = 'ignore' | 'error')`
    fn options(&mut self) -> Result<Option<MissingVertices>> {
        let mut missing_vertices = None;
        self.list(|reader| {
            let at = reader.place;
            let option = reader.name()?;
            if option != "missing_vertices" {
                let message = format!("unrecognized parameter \"{option}\"");
                return Err(reader.words.misplaced(at).with_message(message).with_hint("There is missing_vertices."));
            }
            if !reader.eat_token(&Token::Eq) {
                return Err(reader.words.misplaced(reader.place));
            }
            if missing_vertices.is_some() {
                let message = "parameter \"missing_vertices\" specified more than once";
                return Err(reader.words.misplaced(at).with_message(message));
            }
            missing_vertices = Some(reader.missing_vertices()?);
            Ok(())
        })?;
        Ok(missing_vertices)
    }

    fn missing_vertices(&mut self) -> Result<MissingVertices> {
        let value = match self.words.token(self.place) {
            Some(Token::SingleQuotedString(text)) => text.to_lowercase(),
            Some(Token::Word(word)) => word.value.to_lowercase(),
            _ => return Err(self.words.misplaced(self.place)),
        };
        let parsed = match value.as_str() {
            "ignore" => MissingVertices::Ignore,
            "error" => MissingVertices::Error,
            _ => {
                let message = format!("invalid value for parameter \"missing_vertices\": \"{value}\"");
                let misplaced = self.words.misplaced(self.place).with_message(message);
                return Err(misplaced.with_hint("Available values: ignore, error."));
            }
        };
        self.place += 1;
        Ok(parsed)
    }

    /// `(item, …)`
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        if !self.eat_token(&Token::LParen) {
            return Err(self.words.misplaced(self.place));
        }
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        if self.eat_token(&Token::RParen) { Ok(items) } else { Err(self.words.misplaced(self.place)) }
    }

    /// A name with the schema it is in, if it says.
    fn dotted(&mut self) -> Result<Vec<String>> {
        let mut parts = vec![self.name()?];
        while self.eat_token(&Token::Period) {
            parts.push(self.name()?);
        }
        Ok(parts)
    }

    fn name(&mut self) -> Result<String> {
        let name = self.words.name(self.place).ok_or_else(|| self.words.misplaced(self.place))?;
        self.place += 1;
        Ok(name)
    }

    /// Reads words if they are next.
    fn eat(&mut self, wanted: &[&str]) -> bool {
        let found = self.words.say(self.place, wanted);
        if found {
            self.place += wanted.len();
        }
        found
    }

    /// Reads words; the error is at the first that is another.
    fn expect(&mut self, wanted: &[&str]) -> Result<()> {
        for word in wanted {
            if !self.eat(&[word]) {
                return Err(self.words.misplaced(self.place));
            }
        }
        Ok(())
    }

    fn eat_token(&mut self, token: &Token) -> bool {
        let found = self.words.is(self.place, token);
        self.place += usize::from(found);
        found
    }

    fn end(&self) -> Result<()> {
        if self.place == self.words.len() { Ok(()) } else { Err(self.words.misplaced(self.place)) }
    }
}

const ALL_COLUMNS: Properties = Properties::AllColumns { except: Vec::new() };

/// The name of the column that an expression is.
fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        _ => None,
    }
}
