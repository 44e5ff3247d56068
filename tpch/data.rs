//! The eight tables: their definitions and their rows.
//!
//! Rows come from `tpchgen`, which makes any part of a table by itself; parts are consecutive ranges of the primary key.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;
/// Rows a part of a table has at most, about.
const PART_ROWS: f64 = 3_000_000.0;
/// Order keys no longer fit `integer` above this scale factor.
const INTEGER_SCALE_MAX: f64 = 350.0;

/// One of the eight tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Region,
    Nation,
    Supplier,
    Part,
    PartSupp,
    Customer,
    Orders,
    LineItem,
}

/// All of them, the largest first, so that parallel streams end together.
pub(crate) const TABLES: [Table; 8] = [
    Table::LineItem,
    Table::Orders,
    Table::PartSupp,
    Table::Customer,
    Table::Part,
    Table::Supplier,
    Table::Nation,
    Table::Region,
];

/// Batches of a part of a table.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl Table {
    /// Its name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Table::Region => "region",
            Table::Nation => "nation",
            Table::Supplier => "supplier",
            Table::Part => "part",
            Table::PartSupp => "partsupp",
            Table::Customer => "customer",
            Table::Orders => "orders",
            Table::LineItem => "lineitem",
        }
    }

    /// CREATE TABLE with the specification's types and primary key.
    pub(crate) fn definition(self, scale: f64) -> String {
        let columns = match self {
            Table::Region => {
                "r_regionkey integer NOT NULL, r_name char(25) NOT NULL, r_comment varchar(152) NOT NULL, PRIMARY KEY (r_regionkey)"
            }
            Table::Nation => {
                "n_nationkey integer NOT NULL, n_name char(25) NOT NULL, n_regionkey integer NOT NULL, n_comment varchar(152) NOT NULL, \
                 PRIMARY KEY (n_nationkey)"
            }
            Table::Supplier => {
                "s_suppkey integer NOT NULL, s_name char(25) NOT NULL, s_address varchar(40) NOT NULL, s_nationkey integer NOT NULL, \
                 s_phone char(15) NOT NULL, s_acctbal decimal(15,2) NOT NULL, s_comment varchar(101) NOT NULL, PRIMARY KEY (s_suppkey)"
            }
            Table::Part => {
                "p_partkey integer NOT NULL, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL, p_brand char(10) NOT NULL, \
                 p_type varchar(25) NOT NULL, p_size integer NOT NULL, p_container char(10) NOT NULL, p_retailprice decimal(15,2) NOT NULL, \
                 p_comment varchar(23) NOT NULL, PRIMARY KEY (p_partkey)"
            }
            Table::PartSupp => {
                "ps_partkey integer NOT NULL, ps_suppkey integer NOT NULL, ps_availqty integer NOT NULL, ps_supplycost decimal(15,2) NOT NULL, \
                 ps_comment varchar(199) NOT NULL, PRIMARY KEY (ps_partkey, ps_suppkey)"
            }
            Table::Customer => {
                "c_custkey integer NOT NULL, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL, c_nationkey integer NOT NULL, \
                 c_phone char(15) NOT NULL, c_acctbal decimal(15,2) NOT NULL, c_mktsegment char(10) NOT NULL, c_comment varchar(117) NOT NULL, \
                 PRIMARY KEY (c_custkey)"
            }
            Table::Orders => {
                "o_orderkey ORDERKEY NOT NULL, o_custkey integer NOT NULL, o_orderstatus char(1) NOT NULL, o_totalprice decimal(15,2) NOT NULL, \
                 o_orderdate date NOT NULL, o_orderpriority char(15) NOT NULL, o_clerk char(15) NOT NULL, o_shippriority integer NOT NULL, \
                 o_comment varchar(79) NOT NULL, PRIMARY KEY (o_orderkey)"
            }
            Table::LineItem => {
                "l_orderkey ORDERKEY NOT NULL, l_partkey integer NOT NULL, l_suppkey integer NOT NULL, l_linenumber integer NOT NULL, \
                 l_quantity decimal(15,2) NOT NULL, l_extendedprice decimal(15,2) NOT NULL, l_discount decimal(15,2) NOT NULL, \
                 l_tax decimal(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, \
                 l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, \
                 l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber)"
            }
        };
        let order_key = if scale > INTEGER_SCALE_MAX { "bigint" } else { "integer" };
        format!("CREATE TABLE {} ({})", self.name(), columns.replace("ORDERKEY", order_key))
    }

    /// Parts to generate the table in: at least one a stream when it is large.
    pub(crate) fn parts(self, scale: f64, streams: usize) -> i32 {
        let rows_at_1 = match self {
            Table::Region | Table::Nation => return 1,
            Table::Supplier => 10_000.0,
            Table::Part => 200_000.0,
            Table::PartSupp => 800_000.0,
            Table::Customer => 150_000.0,
            Table::Orders => 1_500_000.0,
            Table::LineItem => 6_000_000.0,
        };
        let rows: f64 = rows_at_1 * scale;
        if rows < 500_000.0 {
            return 1;
        }
        ((rows / PART_ROWS).ceil() as i32).max(streams as i32)
    }

    /// Rows of part `part` (from 1) of `parts`.
    pub(crate) fn generate(self, scale: f64, part: i32, parts: i32) -> Batches {
        macro_rules! batches {
            ($arrow:ident, $generator:ident) => {
                Box::new($arrow::new($generator::new(scale, part, parts)).with_batch_size(BATCH_ROWS))
            };
        }
        match self {
            Table::Region => batches!(RegionArrow, RegionGenerator),
            Table::Nation => batches!(NationArrow, NationGenerator),
            Table::Supplier => batches!(SupplierArrow, SupplierGenerator),
            Table::Part => batches!(PartArrow, PartGenerator),
            Table::PartSupp => batches!(PartSuppArrow, PartSuppGenerator),
            Table::Customer => batches!(CustomerArrow, CustomerGenerator),
            Table::Orders => batches!(OrderArrow, OrderGenerator),
            Table::LineItem => batches!(LineItemArrow, LineItemGenerator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_together_are_the_table() {
        let rows = |part, parts| -> usize {
            Table::LineItem.generate(0.01, part, parts).map(|batch| batch.unwrap().num_rows()).sum()
        };
        assert_eq!(rows(1, 1), 60_175);
        assert_eq!(rows(1, 3) + rows(2, 3) + rows(3, 3), 60_175);
    }

    #[test]
    fn definitions_name_the_generated_columns() {
        for table in TABLES {
            let batch = table.generate(0.001, 1, 1).next().unwrap().unwrap();
            let definition = table.definition(1.0);
            for field in batch.schema().fields() {
                assert!(definition.contains(&format!("{} ", field.name())), "{} in {definition}", field.name());
            }
        }
    }
}
