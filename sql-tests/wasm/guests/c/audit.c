// A trigger for each statement.
#include "lightning.h"

// The sum of a column of numbers of 64 bits.
static int64_t sum(const column *c) {
    const int64_t *values = c->data;
    int64_t total = 0;
    for (int32_t row = 0; row < c->rows; row++) {
        if (is_valid(c, row)) total += values[row];
    }
    return total;
}

// After insert, update or delete: how many rows, and by how much the sum of a bigint column changes. The arguments of the trigger
// are the column, and the table that gets a row about it.
int32_t EXPORT(audit)(int32_t what, const column *old, const column *new, int32_t rows, column *out) {
    static const char *const words[] = {"", "insert", "update", "delete", "truncate"};
    char name[64], table[64];
    int32_t name_bytes = argument(0, name, sizeof(name)), table_bytes = argument(1, table, sizeof(table));
    if (name_bytes < 0 || table_bytes < 0 || name_bytes > 64 || table_bytes > 64) {
        return fail(out, "audit needs the names of a column and of a table");
    }
    int32_t number = column_number(name, name_bytes);
    if (number < 0) return fail(out, "audit: there is no such column");
    int64_t change = (new ? sum(&new[number]) : 0) - (old ? sum(&old[number]) : 0);
    builder sql = {.bytes = 0};
    add(&sql, "INSERT INTO ");
    add_quoted(&sql, table, table_bytes, '"');
    add(&sql, " VALUES ('");
    add(&sql, words[what]);
    add(&sql, "', ");
    add_number(&sql, rows);
    add(&sql, ", ");
    add_number(&sql, change);
    add(&sql, ")");
    execute_built(&sql);
    return 0;
}
