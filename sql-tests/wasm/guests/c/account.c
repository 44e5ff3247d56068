// Triggers for each row.
#include "lightning.h"

// A fresh copy of the module is called for the rows of a batch, so what does not change is asked for once.
static int32_t email_column = -2, changes_column;

static void find_columns(void) {
    char name[64];
    int32_t bytes = argument(0, name, sizeof(name));
    if (bytes > (int32_t)sizeof(name)) bytes = sizeof(name);
    email_column = bytes < 0 ? column_number("email", 5) : column_number(name, bytes);
    changes_column = column_number("changes", 7);
}

// Before insert or update: writes addresses in lower case, counts changes, leaves rows with an empty address out and refuses an
// address without @. The argument of the trigger is the column's name, which is email otherwise.
int32_t EXPORT(account)(void) {
    static char email[320];
    if (email_column == -2) find_columns();
    if (email_column < 0 || changes_column < 0) {
        static const char missing[] = "the table has no such columns";
        raise_error(missing, sizeof(missing) - 1);
    }
    set_i64(changes_column, event() == UPDATE ? get_i64(OLD, changes_column) + 1 : 0);
    if (is_null(NEW, email_column)) return KEEP_ROW;
    int32_t bytes = get_text(NEW, email_column, email, sizeof(email));
    if (bytes == 0) return SKIP_ROW;
    if (bytes > (int32_t)sizeof(email)) {
        static const char long_email[] = "an address has at most 320 bytes";
        raise_error(long_email, sizeof(long_email) - 1);
    }
    bool has_at = false;
    for (int32_t i = 0; i < bytes; i++) {
        has_at |= email[i] == '@';
        email[i] = (char)lower((uint8_t)email[i]);
    }
    if (!has_at) {
        builder message = {.bytes = 0};
        add(&message, "\"");
        add_bytes(&message, email, bytes);
        add(&message, "\" is no address");
        raise_built(&message);
    }
    set_text(email_column, email, bytes);
    return KEEP_ROW;
}

// After any change: writes each row's key, and what happened to it, into the table that the trigger's argument names.
int32_t EXPORT(journal)(void) {
    static const char *const words[] = {"", "insert", "update", "delete"};
    char table[64];
    int32_t bytes = argument(0, table, sizeof(table));
    int32_t id = column_number("id", 2);
    if (bytes < 0 || bytes > (int32_t)sizeof(table) || id < 0) {
        static const char wrong[] = "journal needs a column id, and the name of a table";
        raise_error(wrong, sizeof(wrong) - 1);
    }
    builder sql = {.bytes = 0};
    add(&sql, "INSERT INTO ");
    add_quoted(&sql, table, bytes, '"');
    add(&sql, " VALUES (");
    add_number(&sql, get_i64(event() == DELETE ? OLD : NEW, id));
    add(&sql, ", '");
    add(&sql, words[event()]);
    add(&sql, "')");
    execute_built(&sql);
    return KEEP_ROW;
}
