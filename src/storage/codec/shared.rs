//! Dictionary and symbol-table pages, opened once for all pages of a chunk.

use super::Encoding;
use super::dictionary::Dictionary;
use super::physical::Physical;
use super::symbols::Symbols;
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use std::sync::Arc;

/// An opened dictionary or symbol table.
#[derive(Debug)]
pub struct Shared {
    content: Content,
}

#[derive(Debug)]
enum Content {
    Nothing,
    Dictionary(Dictionary),
    Symbols(Box<Symbols>),
}

/// Validates and opens a chunk's shared pages. Buffers are 64-byte aligned.
pub fn open_shared(
    data_type: &DataType,
    encoding: Encoding,
    pages: &[Buffer],
) -> std::result::Result<Arc<Shared>, String> {
    let content = match (encoding, Physical::of(data_type)) {
        (Encoding::Dictionary, Physical::Bytes(text)) => Content::Dictionary(Dictionary::open(pages, text)?),
        (Encoding::Fsst, Physical::Bytes(_)) => Content::Symbols(Box::new(Symbols::open(pages)?)),
        _ if pages.is_empty() => Content::Nothing,
        _ => return Err(format!("encoding {} of type {data_type} has no shared pages", encoding.name())),
    };
    Ok(Arc::new(Shared { content }))
}

impl Shared {
    /// Bytes of memory held besides the pages themselves.
    pub fn decoded_bytes(&self) -> usize {
        match &self.content {
            Content::Nothing => 0,
            Content::Dictionary(dictionary) => dictionary.memory_bytes(),
            Content::Symbols(_) => size_of::<Symbols>(),
        }
    }

    /// The dictionary, if it is one.
    pub(crate) fn dictionary(&self) -> Option<&Dictionary> {
        match &self.content {
            Content::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    /// The symbol table, if it is one.
    pub(crate) fn symbols(&self) -> Option<&Symbols> {
        match &self.content {
            Content::Symbols(symbols) => Some(symbols),
            _ => None,
        }
    }
}
