//! A delta tree against lists of what each view must see.

use super::*;
use crate::budget::MemoryBudget;
use crate::ids::TableId;
use crate::table::{Table, TableDefinition};
use arrow::array::RecordBatch;
use arrow::array::{ArrayRef, AsArray, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use std::collections::BTreeMap;
use std::sync::Arc;

type Contents = BTreeMap<String, u64>;

fn batch(rows: &Contents) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(StringArray::from_iter_values(rows.keys()))),
        ("value", Arc::new(UInt64Array::from_iter_values(rows.values().copied()))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn table() -> Arc<Table> {
    let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::UInt64, false)];
    Table::new(TableId(2000), TableDefinition::new(Arc::new(Schema::new(fields)), vec![0])).unwrap()
}

fn check(block: &DeltaBlock, expected: &Contents, is_scanned: bool) {
    for key in (0..60).map(|key| format!("key {key}")) {
        let name = block.row(key.as_bytes());
        assert_eq!(name.is_some(), expected.contains_key(&key));
        let Some(name) = name else { continue };
        assert!(block.has_row(name) && *block.key(name) == *key.as_bytes());
        if is_named(name) {
            let row = block.named_rows(&[name], &[1]).unwrap();
            assert_eq!(row.column(0).as_primitive::<UInt64Type>().value(0), expected[&key]);
        }
        if is_scanned {
            assert_eq!(*block.key(block.number(name)), *key.as_bytes());
        }
    }
    if is_scanned {
        assert_eq!(*block.batch(), batch(expected));
        let names = block.row_names().map(|names| names.to_vec());
        for (number, key) in expected.keys().enumerate() {
            let place = names.as_ref().map_or(number, |names| names[number] as usize);
            assert_eq!(block.row(key.as_bytes()), Some(place));
        }
    }
}

#[test]
fn views_keep_what_they_see_and_what_was_not_published_is_taken_back() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let budget = MemoryBudget::new(64 << 20);
        let account = Arc::new(budget.register("test"));
        let delta = Delta::new(&table(), &account);
        let mut now = Contents::new();
        let mut views: Vec<(DeltaBlock, Contents)> = vec![];
        let (mut published, mut at) = (Timestamp(1), Timestamp(1));
        let mut committed = now.clone();
        for _ in 0..200 {
            at = Timestamp(at.0 + 1);
            let (mut rows, mut deleted) = (Contents::new(), RowKeys::new());
            for _ in 0..random.usize(0..5) {
                let key = format!("key {}", random.u32(0..60));
                if now.contains_key(&key) {
                    deleted.insert(key.as_bytes().into());
                    if random.bool() {
                        rows.insert(key, random.u64(..));
                    }
                } else {
                    rows.insert(key, random.u64(..));
                }
            }
            let made = DeltaRows::new(&delta.table, std::iter::once(&batch(&rows))).map(Arc::new);
            assert!(delta.commit(Moment { at, published }, made.as_ref(), &deleted));
            now.retain(|key, _| !deleted.contains(key.as_bytes()));
            now.extend(rows);
            match random.u8(0..10) {
                0..6 => {
                    (published, committed) = (at, now.clone());
                    views.push((DeltaBlock::new(delta.view(at), now.len()), now.clone()));
                    if views.len() > 1 && random.bool() {
                        // The newest version is always published.
                        views.remove(random.usize(0..views.len() - 1));
                    }
                }
                6 | 7 => {
                    delta.take_back(Timestamp(published.0 + 1));
                    (at, now) = (published, committed.clone());
                }
                _ => {}
            }
            if let Some((view, expected)) = views.last() {
                check(view, expected, false);
            }
        }
        for (view, expected) in &views {
            let counted = view.counted().unwrap().expect("nothing is decoded yet");
            assert!(counted.rows >= expected.len() as u64);
            check(view, expected, true);
        }
        assert_eq!(account.bytes(), delta.bytes());
        drop((views, delta));
        assert_eq!(budget.used_bytes(), 0);
    }
}

#[test]
fn a_row_that_stays_refuses_all_rows_of_the_commit() {
    let account = Arc::new(MemoryBudget::new(64 << 20).register("test"));
    let delta = Delta::new(&table(), &account);
    let rows = |keys: &[&str]| {
        let rows = keys.iter().map(|key| (key.to_string(), 1)).collect();
        DeltaRows::new(&delta.table, std::iter::once(&batch(&rows))).map(Arc::new)
    };
    let moment = |at| Moment { at: Timestamp(at), published: Timestamp(at - 1) };
    assert!(delta.commit(moment(2), rows(&["b", "d"]).as_ref(), &RowKeys::new()));
    let deleted: RowKeys = [RowKey::from(*b"d")].into();
    assert!(!delta.commit(moment(3), rows(&["a", "b", "c"]).as_ref(), &deleted));
    let block = DeltaBlock::new(delta.view(Timestamp(3)), 1);
    assert_eq!(*block.batch(), batch(&[("b".to_string(), 1)].into()));
}
