// What guests in C share: columns as the batch ABI passes them, memory for results, and the imports of triggers.
//
//     clang --target=wasm32 -O2 -ffreestanding -mbulk-memory -nostdlib -Wl,--no-entry -Wl,--stack-first -o f.wasm f.c
//
// There is no C library: what a guest needs is here. -mbulk-memory makes instructions of memcpy and memset,
// and -ffreestanding keeps the compiler from calling others.
#ifndef LIGHTNING_H
#define LIGHTNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Makes a function callable from SQL, under its own name.
#define EXPORT(name) __attribute__((export_name(#name))) name

// One column: of arguments as the server wrote it, of results as the guest is to fill it.
typedef struct {
    void *data;
    int32_t data_bytes;
    int32_t *offsets;  // rows + 1, where each text begins in data; NULL for values of fixed width
    uint8_t *validity; // a bit a row, 0 for NULL; NULL when no value is NULL
    int32_t rows;
} column;

_Static_assert(sizeof(column) == 20, "a descriptor is five 32-bit numbers");

// ---- Memory: it is only ever taken, and all given back at once before the next batch.

extern uint8_t __heap_base;
static uintptr_t heap_next;

// Room for some bytes, or 0.
uintptr_t EXPORT(alloc)(size_t bytes, size_t align) {
    if (heap_next == 0) heap_next = (uintptr_t)&__heap_base;
    uintptr_t at = (heap_next + align - 1) & ~(uintptr_t)(align - 1);
    uintptr_t end = at + bytes;
    if (at < heap_next || end < at) return 0;
    size_t have = __builtin_wasm_memory_size(0) * 65536;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) / 65536) == (size_t)-1) return 0;
    heap_next = end;
    return at;
}

void EXPORT(reset)(void) { heap_next = 0; }

// Room, or a trap that the server shows as the limit that was reached.
static inline void *take(size_t bytes) {
    void *at = (void *)alloc(bytes, 8);
    if (!at) __builtin_trap();
    return at;
}

// ---- Bits: of booleans and of validity, the lowest first.

static inline bool get_bit(const uint8_t *bits, int32_t at) { return bits[at / 8] >> (at % 8) & 1; }

static inline void set_bit(uint8_t *bits, int32_t at, bool to) {
    uint8_t bit = (uint8_t)(1 << (at % 8));
    bits[at / 8] = (uint8_t)(to ? bits[at / 8] | bit : bits[at / 8] & ~bit);
}

static inline int32_t bit_bytes(int32_t rows) { return (rows + 7) / 8; }

static inline bool is_valid(const column *c, int32_t row) { return !c->validity || get_bit(c->validity, row); }

// ---- Results.

// Data for rows of some bytes each; gives the data.
static inline void *fixed_result(column *out, int32_t rows, int32_t width) {
    *out = (column){take((size_t)rows * (size_t)width), rows * width, NULL, NULL, rows};
    return out->data;
}

// Data for booleans, all false.
static inline uint8_t *bits_result(column *out, int32_t rows) {
    int32_t bytes = bit_bytes(rows);
    *out = (column){take((size_t)bytes), bytes, NULL, NULL, rows};
    __builtin_memset(out->data, 0, (size_t)bytes);
    return out->data;
}

// Offsets, and room for so many bytes of texts; the first text begins at 0.
static inline uint8_t *text_result(column *out, int32_t rows, int32_t bytes) {
    *out = (column){take((size_t)bytes), bytes, take(((size_t)rows + 1) * 4), NULL, rows};
    out->offsets[0] = 0;
    return out->data;
}

// Makes a row of the result NULL.
static inline void set_null(column *out, int32_t row) {
    if (!out->validity) {
        size_t bytes = (size_t)bit_bytes(out->rows);
        out->validity = take(bytes);
        __builtin_memset(out->validity, 0xff, bytes);
    }
    set_bit(out->validity, row, false);
}

// Makes the rows NULL in which one of the arguments is.
static inline void null_where_null(column *out, const column *args, int count) {
    for (int i = 0; i < count; i++) {
        if (!args[i].validity) continue;
        for (int32_t row = 0; row < out->rows; row++) {
            if (!is_valid(&args[i], row)) set_null(out, row);
        }
    }
}

static inline int32_t length(const char *text) {
    int32_t bytes = 0;
    while (text[bytes]) bytes++;
    return bytes;
}

// What a function returns that ends the statement with this error.
static inline int32_t fail(column *out, const char *text) {
    *out = (column){(void *)text, length(text), NULL, NULL, 0};
    return 1;
}

// ---- Texts.

typedef struct {
    const uint8_t *at;
    int32_t bytes;
} text;

static inline text text_of(const column *c, int32_t row) {
    return (text){(const uint8_t *)c->data + c->offsets[row], c->offsets[row + 1] - c->offsets[row]};
}

static inline uint8_t upper(uint8_t c) { return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c; }
static inline uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c; }

// A text that grows: statements and messages.
typedef struct {
    char at[1024];
    int32_t bytes;
    bool is_cut; // it would have had more bytes than there is room for
} builder;

static inline void add_bytes(builder *b, const void *from, int32_t bytes) {
    int32_t room = (int32_t)sizeof(b->at) - b->bytes;
    if (bytes > room) {
        b->is_cut = true;
        bytes = room;
    }
    __builtin_memcpy(b->at + b->bytes, from, (size_t)bytes);
    b->bytes += bytes;
}

static inline void add(builder *b, const char *from) { add_bytes(b, from, length(from)); }

static inline void add_number(builder *b, int64_t value) {
    char digits[20];
    int32_t at = sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0) digits[--at] = '-';
    add_bytes(b, digits + at, (int32_t)sizeof(digits) - at);
}

// A text as SQL writes it: in quotes of the given kind, those inside doubled.
static inline void add_quoted(builder *b, const char *from, int32_t bytes, char quote) {
    add_bytes(b, &quote, 1);
    for (int32_t i = 0; i < bytes; i++) {
        if (from[i] == quote) add_bytes(b, &quote, 1);
        add_bytes(b, from + i, 1);
    }
    add_bytes(b, &quote, 1);
}

// ---- Imports of triggers. A module for other functions must not call them, and then does not import them.

#define IMPORT(name) __attribute__((import_module("lightning"), import_name(#name)))

enum { INSERT = 1, UPDATE = 2, DELETE = 3, TRUNCATE = 4 };
enum { BEFORE = 1, AFTER = 2 };
enum { OLD = 0, NEW = 1 };
enum { KEEP_ROW = 0, SKIP_ROW = 1 };

IMPORT(event) int32_t event(void);
IMPORT(timing) int32_t timing(void);
IMPORT(columns) int32_t columns(void);
IMPORT(column) int32_t column_number(const char *name, int32_t bytes);
IMPORT(argument) int32_t argument(int32_t i, char *to, int32_t room);
IMPORT(raise) _Noreturn void raise_error(const char *text, int32_t bytes);
IMPORT(execute) void execute_sql(const char *text, int32_t bytes);
// For each row only.
IMPORT(is_null) int32_t is_null(int32_t which, int32_t column);
IMPORT(get_i64) int64_t get_i64(int32_t which, int32_t column);
IMPORT(get_f64) double get_f64(int32_t which, int32_t column);
IMPORT(get_text) int32_t get_text(int32_t which, int32_t column, char *to, int32_t room);
IMPORT(set_null) void set_null_value(int32_t column);
IMPORT(set_i64) void set_i64(int32_t column, int64_t value);
IMPORT(set_f64) void set_f64(int32_t column, double value);
IMPORT(set_text) void set_text(int32_t column, const char *text, int32_t bytes);

// Ends the statement with the text that was built.
static inline _Noreturn void raise_built(const builder *b) { raise_error(b->at, b->bytes); }

// Runs the statement that was built, after the function has returned; one that was cut is an error instead.
static inline void execute_built(const builder *b) {
    static const char long_text[] = "a trigger's statement is too long";
    if (b->is_cut) raise_error(long_text, sizeof(long_text) - 1);
    execute_sql(b->at, b->bytes);
}

#endif
