//! Path patterns: `[name =] [selector] [mode] elements`.

use super::Result;
use super::marks::{GROUP, PATH};
use super::reader::Reader;

/// Path modes.
const MODES: [&str; 4] = ["WALK", "TRAIL", "ACYCLIC", "SIMPLE"];

impl<'a> Reader<'a> {
    /// A path pattern.
    pub(super) fn path_pattern(&mut self) -> Result<()> {
        let at = self.at();
        self.out.open(at, PATH);
        if self.mark(1) == Some('=') {
            let name = self.name().ok_or_else(|| self.misplaced())?;
            self.out.named_text(at, "name", &name);
            self.expect('=')?;
        }
        self.selector()?;
        self.elements()?;
        self.out.push(at.close());
        Ok(())
    }

    /// What selects among the paths of equal ends, and the path mode, if any.
    fn selector(&mut self) -> Result<()> {
        let at = self.at();
        let all = self.eat_word("ALL");
        let any = !all && self.eat_word("ANY");
        let shortest = self.eat_word("SHORTEST");
        // Of ALL and of ANY SHORTEST there is no number.
        let count_at = self.at();
        let count = if !all && any != shortest { self.digits() } else { None };
        self.mode();
        if !self.eat_word("PATH") {
            self.eat_word("PATHS");
        }
        let groups = shortest && !all && !any && (self.eat_word("GROUP") || self.eat_word("GROUPS"));
        let selector = match (shortest, all, groups) {
            (true, true, _) | (true, _, true) => "shortest groups",
            (true, ..) => "shortest",
            _ if any => "any",
            _ => return Ok(()),
        };
        if shortest && !all && !any && !groups && count.is_none() {
            return Err(self.misplaced().with_hint("Write ANY SHORTEST, ALL SHORTEST, or SHORTEST and a number."));
        }
        self.out.named_text(at, "selector", selector);
        self.out.named_number(count_at, "count", count.unwrap_or("1"));
        Ok(())
    }

    /// A path mode, if one is next.
    fn mode(&mut self) {
        let at = self.at();
        if let Some(mode) = MODES.iter().find(|mode| self.says(mode)) {
            self.eat_word(mode);
            self.out.named_text(at, "mode", &mode.to_lowercase());
        }
    }

    /// Elements up to what cannot begin one.
    fn elements(&mut self) -> Result<()> {
        let mut is_empty = true;
        loop {
            self.refuse_comment()?;
            let at = self.at();
            match self.mark(0) {
                Some('(') => {
                    self.out.argument(at);
                    if self.begins_group() { self.group()? } else { self.vertex()? }
                }
                Some('-' | '<' | '~') => {
                    self.out.argument(at);
                    self.edge()?;
                }
                Some('|') if !is_empty => {
                    return Err(self.misplaced().with_message("alternatives of path patterns are not supported"));
                }
                _ if is_empty => return Err(self.misplaced()),
                _ => return Ok(()),
            }
            is_empty = false;
        }
    }

    /// Whether the parenthesis that is next has a path pattern in it, not what a vertex has.
    fn begins_group(&self) -> bool {
        match self.mark(1) {
            Some('(' | '-' | '<' | '~') => true,
            Some(_) => false,
            None if self.mark(2) == Some('=') => true,
            None => {
                let is_mode = MODES.iter().any(|mode| self.says_ahead(1, mode));
                let is_path = self.says_ahead(2, "PATH") || self.says_ahead(2, "PATHS");
                is_mode && (is_path || matches!(self.mark(2), Some('(' | '-' | '<' | '~')))
            }
        }
    }

    /// `([mode] elements [WHERE condition])[quantifier]`
    fn group(&mut self) -> Result<()> {
        let at = self.at();
        self.expect('(')?;
        self.out.open(at, GROUP);
        if self.mark(0).is_none() && self.mark(1) == Some('=') {
            return Err(self.misplaced().with_message("names of paths in parentheses are not supported"));
        }
        self.mode();
        if !self.eat_word("PATH") {
            self.eat_word("PATHS");
        }
        self.elements()?;
        if self.says("WHERE") {
            self.condition(|_| false)?;
        }
        self.expect(')')?;
        self.quantifier()?;
        self.out.push(at.close());
        Ok(())
    }

    /// `*`, `+`, `?`, `{n}`, `{n,}`, `{,m}` or `{n,m}`, if one is next.
    pub(super) fn quantifier(&mut self) -> Result<()> {
        let at = self.at();
        let (lower, upper) = match self.mark(0) {
            Some('*') => ("0", None),
            Some('+') => ("1", None),
            Some('?') => ("0", Some("1")),
            Some('{') => self.braces()?,
            _ => return Ok(()),
        };
        self.skip();
        self.out.named_number(at, "lower", lower);
        if let Some(upper) = upper {
            self.out.named_number(at, "upper", upper);
        }
        Ok(())
    }

    /// The bounds in braces, up to the brace that closes.
    fn braces(&mut self) -> Result<(&'a str, Option<&'a str>)> {
        self.expect('{')?;
        let lower = self.digits();
        let ranges = self.eat(',');
        let upper = if ranges { self.digits() } else { lower };
        if (lower.is_none() && upper.is_none()) || self.mark(0) != Some('}') {
            return Err(self.misplaced());
        }
        Ok((lower.unwrap_or("0"), upper))
    }
}
