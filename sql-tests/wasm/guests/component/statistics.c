// A component's module: a function of rows, one that gives rows, and two aggregates. statistics.wat says what the component makes of it.
#include "arrow.h"
#include "mathematics.h"

// What a function answers: a list of bytes, or a text that is an error.
typedef struct {
    uint32_t is_error;
    const void *at;
    size_t bytes;
} answer;

static answer *answered(bytes b) {
    static answer a;
    a = (answer){0, b.at, b.bytes};
    return &a;
}

static answer *failed(const char *text) {
    static answer a;
    a = (answer){1, text, (size_t)length(text)};
    return &a;
}

// The server takes room for arguments by this.
void *EXPORT(cabi_realloc)(void *old, size_t old_bytes, size_t align, size_t bytes) {
    uint8_t *at = (uint8_t *)alloc(bytes, align < 8 ? 8 : align);
    if (!at) __builtin_trap();
    if (old_bytes) __builtin_memcpy(at, old, old_bytes);
    return at;
}

// And says by this that it has read the answer.
void EXPORT(done)(answer *a) {
    (void)a;
    reset();
}

static answer *wrong_types(void) { return failed("the function is of bigint and double precision"); }

// ---- total(a, b): the sum of both, of two columns of one type.

answer *EXPORT(total)(const uint8_t *at, size_t length) {
    batch in;
    if (!read_stream((bytes){at, length}, &in) || in.columns != 2) return wrong_types();
    const arrow_column *a = &in.column[0], *b = &in.column[1];
    if (a->type != b->type) return wrong_types();
    writer out;
    begin_stream(&out, 1, &(arrow_field){"result", a->type});
    begin_batch(&out, in.rows);
    for (int64_t row = 0; row < in.rows; row++) {
        if (!has_value(a, row) || !has_value(b, row)) {
            put_null(&out, 0, row);
        } else if (a->type == INT64) {
            put_int(&out, 0, row, (int64_t)((uint64_t)int_at(a, row) + (uint64_t)int_at(b, row)));
        } else {
            put_float(&out, 0, row, float_at(a, row) + float_at(b, row));
        }
    }
    return answered(end_stream(&out));
}

// ---- series(n): the numbers from 1 to n and their squares.

enum { BATCH_ROWS = 8192 };

answer *EXPORT(series)(const uint8_t *at, size_t length) {
    batch in;
    if (!read_stream((bytes){at, length}, &in) || in.columns != 1 || in.column[0].type != INT64) return wrong_types();
    int64_t n = in.rows == 1 && has_value(&in.column[0], 0) ? int_at(&in.column[0], 0) : 0;
    if (n > 1000000) return failed("series has at most 1,000,000 rows");
    writer out;
    begin_stream(&out, 2, (const arrow_field[]){{"i", INT64}, {"square", INT64}});
    for (int64_t from = 0; from < n; from += BATCH_ROWS) {
        int64_t rows = n - from < BATCH_ROWS ? n - from : BATCH_ROWS;
        begin_batch(&out, rows);
        for (int64_t row = 0; row < rows; row++) {
            int64_t i = from + row + 1;
            put_int(&out, 0, row, i);
            put_int(&out, 1, row, i * i);
        }
    }
    return answered(end_stream(&out));
}

// ---- product(x) and geometric-mean(x). A state is a number and how many values went into it; no bytes are the state of none.

typedef struct {
    double value;
    int64_t count;
} state;

static state state_of(const uint8_t *at, size_t bytes, double first) {
    state s = {first, 0};
    if (bytes == sizeof(s)) __builtin_memcpy(&s, at, sizeof(s));
    return s;
}

static answer *kept(state s) {
    state *at = take(sizeof(s));
    *at = s;
    return answered((bytes){(const uint8_t *)at, sizeof(s)});
}

// The value of an aggregate: one row, NULL without values.
static answer *finished(state s, double value) {
    writer out;
    begin_stream(&out, 1, &(arrow_field){"result", FLOAT64});
    begin_batch(&out, 1);
    if (s.count == 0) {
        put_null(&out, 0, 0);
    } else {
        put_float(&out, 0, 0, value);
    }
    return answered(end_stream(&out));
}

// The one column that both are of.
static bool read_values(const uint8_t *at, size_t length, batch *in) {
    return read_stream((bytes){at, length}, in) && in->columns == 1 && in->column[0].type == FLOAT64;
}

answer *EXPORT(product_accumulate)(const uint8_t *old, size_t old_bytes, const uint8_t *at, size_t length) {
    batch in;
    if (!read_values(at, length, &in)) return wrong_types();
    state s = state_of(old, old_bytes, 1);
    for (int64_t row = 0; row < in.rows; row++) {
        if (!has_value(&in.column[0], row)) continue;
        s.value *= float_at(&in.column[0], row);
        s.count++;
    }
    return kept(s);
}

answer *EXPORT(product_merge)(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
    state x = state_of(a, a_bytes, 1), y = state_of(b, b_bytes, 1);
    return kept((state){x.value * y.value, x.count + y.count});
}

answer *EXPORT(product_finish)(const uint8_t *at, size_t bytes) {
    state s = state_of(at, bytes, 1);
    return finished(s, s.value);
}

answer *EXPORT(mean_accumulate)(const uint8_t *old, size_t old_bytes, const uint8_t *at, size_t length) {
    batch in;
    if (!read_values(at, length, &in)) return wrong_types();
    state s = state_of(old, old_bytes, 0);
    for (int64_t row = 0; row < in.rows; row++) {
        if (!has_value(&in.column[0], row)) continue;
        double x = float_at(&in.column[0], row);
        if (!(x > 0 && x < __builtin_inf())) return failed("a geometric mean is of finite numbers above zero");
        s.value += ln(x);
        s.count++;
    }
    return kept(s);
}

answer *EXPORT(mean_merge)(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
    state x = state_of(a, a_bytes, 0), y = state_of(b, b_bytes, 0);
    return kept((state){x.value + y.value, x.count + y.count});
}

answer *EXPORT(mean_finish)(const uint8_t *at, size_t bytes) {
    state s = state_of(at, bytes, 0);
    return finished(s, s.count ? exponential(s.value / (double)s.count) : 0);
}
