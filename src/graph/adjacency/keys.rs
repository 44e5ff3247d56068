//! Vertices by their keys.
//!
//! Edges name their ends by key, millions of times, so looking up a key must cost little: integers that lie close together are an index into a
//! table, others are hashed; what is no integer is compared in Arrow's row format.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use lightning_csr::NONE;
use lightning_sql::Result;

/// A table of numbers may have so many places for each key.
const PLACES_PER_KEY: u64 = 4;

/// Keys of which two are the same, and the row of the second.
pub(crate) type Twice = (Vec<ArrayRef>, u32);

/// The keys of a table of vertices, in the order of the vertices.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The columns.
    pub(crate) columns: Vec<ArrayRef>,
    lookup: Lookup,
}

#[derive(Debug)]
enum Lookup {
    /// By difference from the smallest key.
    Table {
        min: i64,
        vertices: Vec<u32>,
    },
    Hashed(HashMap<i64, u32>),
    Rows {
        converter: RowConverter,
        vertices: HashMap<Box<[u8]>, u32>,
    },
}

impl Keys {
    /// Keys of vertices. Rows with a NULL are nobody's ends. Fails with the keys and the number of the second of two that are the same.
    pub(crate) fn new(columns: Vec<ArrayRef>) -> Result<std::result::Result<Keys, Twice>> {
        let lookup = match integers(&columns) {
            Some(numbers) => Lookup::of_integers(&numbers?),
            None => Lookup::of_rows(&columns)?,
        };
        Ok(match lookup {
            Ok(lookup) => Ok(Keys { columns, lookup }),
            Err(row) => Err((columns, row)),
        })
    }

    /// How many vertices there are.
    pub(crate) fn len(&self) -> u32 {
        self.columns[0].len() as u32
    }

    /// The vertices with these keys, [`NONE`] where there is none.
    pub(crate) fn find(&self, keys: &[ArrayRef]) -> Result<Vec<u32>> {
        if let Lookup::Rows { converter, vertices } = &self.lookup {
            let rows = converter.convert_columns(keys)?;
            let is_whole = |row: usize| keys.iter().all(|column| column.is_valid(row));
            let find = |(row, key): (usize, arrow::row::Row<'_>)| match vertices.get(key.data()) {
                Some(vertex) if is_whole(row) => *vertex,
                _ => NONE,
            };
            return Ok(rows.iter().enumerate().map(find).collect());
        }
        let numbers = cast(&keys[0], &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let find = |key: i64| match &self.lookup {
            Lookup::Table { min, vertices } => {
                let place = usize::try_from(key.wrapping_sub(*min) as u64).unwrap_or(usize::MAX);
                vertices.get(place).copied().unwrap_or(NONE)
            }
            Lookup::Hashed(vertices) => vertices.get(&key).copied().unwrap_or(NONE),
            Lookup::Rows { .. } => NONE,
        };
        Ok(match numbers.null_count() {
            0 => numbers.values().iter().map(|key| find(*key)).collect(),
            _ => numbers.iter().map(|key| key.map_or(NONE, find)).collect(),
        })
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(|column| column.get_array_memory_size()).sum();
        columns
            + match &self.lookup {
                Lookup::Table { vertices, .. } => 4 * vertices.capacity(),
                Lookup::Hashed(vertices) => vertices.allocation_size(),
                Lookup::Rows { vertices, .. } => {
                    vertices.allocation_size() + vertices.keys().map(|key| key.len()).sum::<usize>()
                }
            }
    }
}

/// The only column as integers, if it is one of a type that an integer stands for.
fn integers(columns: &[ArrayRef]) -> Option<Result<ArrayRef>> {
    let [column] = columns else { return None };
    use DataType::{Date32, Date64, Int8, Int16, Int32, Int64, Time64, Timestamp};
    match column.data_type() {
        Int8 | Int16 | Int32 | Int64 | Date32 | Date64 | Time64(_) | Timestamp(..) => {
            Some(cast(column, &DataType::Int64).map_err(Into::into))
        }
        _ => None,
    }
}

impl Lookup {
    fn of_integers(keys: &ArrayRef) -> std::result::Result<Lookup, u32> {
        let keys = keys.as_primitive::<Int64Type>();
        let known = || keys.iter().enumerate().filter_map(|(vertex, key)| Some((vertex as u32, key?)));
        let (min, max) = known().fold((i64::MAX, i64::MIN), |(min, max), (_, key)| (min.min(key), max.max(key)));
        let span = max.wrapping_sub(min) as u64;
        if min <= max && span <= (keys.len() as u64).saturating_mul(PLACES_PER_KEY) {
            let mut vertices = vec![NONE; span as usize + 1];
            for (vertex, key) in known() {
                let place = &mut vertices[key.wrapping_sub(min) as usize];
                if *place != NONE {
                    return Err(vertex);
                }
                *place = vertex;
            }
            return Ok(Lookup::Table { min, vertices });
        }
        let mut vertices = HashMap::with_capacity(keys.len());
        for (vertex, key) in known() {
            if vertices.insert(key, vertex).is_some() {
                return Err(vertex);
            }
        }
        Ok(Lookup::Hashed(vertices))
    }

    fn of_rows(columns: &[ArrayRef]) -> Result<std::result::Result<Lookup, u32>> {
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let rows = converter.convert_columns(columns)?;
        let mut vertices: HashMap<Box<[u8]>, u32> = HashMap::with_capacity(rows.num_rows());
        for (vertex, row) in rows.iter().enumerate() {
            let is_whole = columns.iter().all(|column| column.is_valid(vertex));
            if is_whole && vertices.insert(row.data().into(), vertex as u32).is_some() {
                return Ok(Err(vertex as u32));
            }
        }
        Ok(Ok(Lookup::Rows { converter, vertices }))
    }
}
