// Arrow IPC streams of columns of bigint and double precision, read and written by hand.
//
//     stream    message of the schema | messages of batches … | ff ff ff ff 00 00 00 00
//     message   ff ff ff ff | bytes of the metadata as i32 | metadata, to a multiple of 8 | body
//     metadata  a flatbuffer of the table Message {version, header_type, header, bodyLength}
//     body      of a batch: for each column a bitmap of validity, then the values, each to a multiple of 8
//
// A flatbuffer begins with the offset of its root. A table begins with the distance back to its vtable, which says where in the table each
// field is; a field that is a table, a vector or a text holds the distance forward to it. https://arrow.apache.org/docs/format/Columnar.html
#ifndef ARROW_H
#define ARROW_H

#include "../c/lightning.h"

enum { COLUMNS_MAX = 8 };

typedef enum { OTHER, INT64, FLOAT64 } arrow_type;

// What the format calls its kinds of message and of type.
enum { SCHEMA = 1, RECORD_BATCH = 3 };
enum { TYPE_INT = 2, TYPE_FLOATING_POINT = 3, DOUBLE = 2 };
enum { VERSION_5 = 4 };

typedef struct {
    const uint8_t *at;
    size_t bytes;
} bytes;

// ---- Reading. The server writes what is read here, so only the types are checked.

typedef struct {
    arrow_type type;
    const uint8_t *validity; // NULL when no value is NULL
    const void *values;
} arrow_column;

typedef struct {
    int64_t rows;
    int columns;
    arrow_column column[COLUMNS_MAX];
} batch;

static inline uint16_t u16_at(const uint8_t *p) { return *(const uint16_t *)p; }
static inline uint32_t u32_at(const uint8_t *p) { return *(const uint32_t *)p; }
static inline int64_t i64_at(const uint8_t *p) { return *(const int64_t *)p; }

// What an offset leads to.
static inline const uint8_t *follow(const uint8_t *p) { return p + u32_at(p); }

// A field of a table; NULL when it is not there.
static inline const uint8_t *field(const uint8_t *table, int number) {
    const uint8_t *vtable = table - *(const int32_t *)table;
    int at = 4 + 2 * number;
    uint16_t offset = at < u16_at(vtable) ? u16_at(vtable + at) : 0;
    return offset ? table + offset : NULL;
}

static inline arrow_type type_of(const uint8_t *column) {
    const uint8_t *kind = field(column, 2), *type = field(column, 3);
    if (!kind || !type) return OTHER;
    const uint8_t *detail = field(follow(type), 0);
    if (*kind == TYPE_INT && detail && u32_at(detail) == 64) return INT64;
    if (*kind == TYPE_FLOATING_POINT && detail && u16_at(detail) == DOUBLE) return FLOAT64;
    return OTHER;
}

// Reads the schema; false when there is a column of another type.
static inline bool read_schema(const uint8_t *schema, batch *to) {
    const uint8_t *fields = follow(field(schema, 1));
    to->columns = (int)u32_at(fields);
    if (to->columns > COLUMNS_MAX) return false;
    for (int i = 0; i < to->columns; i++) {
        to->column[i].type = type_of(follow(fields + 4 + 4 * i));
        if (to->column[i].type == OTHER) return false;
    }
    return true;
}

static inline void read_batch(const uint8_t *header, const uint8_t *body, batch *to) {
    const uint8_t *length = field(header, 0);
    const uint8_t *nodes = follow(field(header, 1)) + 4, *buffers = follow(field(header, 2)) + 4;
    to->rows = length ? i64_at(length) : 0;
    for (int i = 0; i < to->columns; i++) {
        bool has_nulls = i64_at(nodes + 16 * i + 8) > 0;
        to->column[i].validity = has_nulls ? body + i64_at(buffers + 32 * i) : NULL;
        to->column[i].values = body + i64_at(buffers + 32 * i + 16);
    }
}

// Reads a stream's schema and its batch; false when it has other types than those that are known here.
static inline bool read_stream(bytes stream, batch *to) {
    *to = (batch){0};
    for (const uint8_t *at = stream.at; at + 8 <= stream.at + stream.bytes && u32_at(at + 4) > 0;) {
        const uint8_t *message = follow(at + 8), *body = at + 8 + u32_at(at + 4);
        const uint8_t *kind = field(message, 1), *body_bytes = field(message, 3);
        const uint8_t *header = follow(field(message, 2));
        if (*kind == SCHEMA && !read_schema(header, to)) return false;
        if (*kind == RECORD_BATCH) read_batch(header, body, to);
        at = body + (body_bytes ? i64_at(body_bytes) : 0);
    }
    return true;
}

static inline bool has_value(const arrow_column *c, int64_t row) {
    return !c->validity || (c->validity[row / 8] >> (row % 8) & 1);
}

static inline int64_t int_at(const arrow_column *c, int64_t row) { return ((const int64_t *)c->values)[row]; }
static inline double float_at(const arrow_column *c, int64_t row) { return ((const double *)c->values)[row]; }

// ---- Writing. A stream grows at the end of the heap, so nothing else may be taken while one is written.

typedef struct {
    const char *name;
    arrow_type type;
} arrow_field;

typedef struct {
    uint8_t *start, *end;
    int columns;
    // Of the batch that was begun last:
    int64_t *null_count[COLUMNS_MAX];
    uint8_t *validity[COLUMNS_MAX];
    void *values[COLUMNS_MAX];
} writer;

// Room at the end of the stream, all zeros.
static inline uint8_t *put(writer *w, size_t bytes) {
    if (!alloc(bytes, 1)) __builtin_trap();
    uint8_t *at = w->end;
    __builtin_memset(at, 0, bytes);
    w->end += bytes;
    return at;
}

static inline uint8_t *put_u32(writer *w, uint32_t value) {
    uint8_t *at = put(w, 4);
    *(uint32_t *)at = value;
    return at;
}

static inline void pad(writer *w, size_t align) { put(w, -(uintptr_t)w->end & (align - 1)); }

// Makes the offset at `from` lead to `to`.
static inline void lead(uint8_t *from, const uint8_t *to) { *(uint32_t *)from = (uint32_t)(to - from); }

// A vtable and its table, whose fields have so many bytes each, none for those that are not there; says where each is.
static inline uint8_t *put_table(writer *w, int fields, const uint8_t *widths, uint8_t **field) {
    pad(w, 2);
    uint8_t *vtable = put(w, 4 + 2 * (size_t)fields);
    pad(w, 8);
    uint8_t *table = put_u32(w, 0);
    *(int32_t *)table = (int32_t)(table - vtable);
    for (int i = 0; i < fields; i++) {
        if (!widths[i]) continue;
        pad(w, widths[i]);
        field[i] = put(w, widths[i]);
        *(uint16_t *)(vtable + 4 + 2 * i) = (uint16_t)(field[i] - table);
    }
    *(uint16_t *)vtable = (uint16_t)(4 + 2 * fields);
    *(uint16_t *)(vtable + 2) = (uint16_t)(w->end - table);
    return table;
}

// A message up to its header, to which an offset is to lead; says where the body's length is written.
static inline uint8_t *begin_message(writer *w, uint8_t kind, uint8_t **header, int64_t **body_bytes) {
    put_u32(w, 0xffffffff);
    put_u32(w, 0);
    uint8_t *metadata = put_u32(w, 0);
    uint8_t *field[4];
    lead(metadata, put_table(w, 4, (const uint8_t[]){2, 1, 4, 8}, field));
    *(uint16_t *)field[0] = VERSION_5;
    *field[1] = kind;
    *header = field[2];
    *body_bytes = (int64_t *)field[3];
    return metadata;
}

static inline void end_metadata(writer *w, uint8_t *metadata) {
    pad(w, 8);
    *(uint32_t *)(metadata - 4) = (uint32_t)(w->end - metadata);
}

static inline void put_text(writer *w, const char *text) {
    int32_t bytes = length(text);
    put_u32(w, (uint32_t)bytes);
    __builtin_memcpy(put(w, (size_t)bytes + 1), text, (size_t)bytes);
}

static inline uint8_t *put_type(writer *w, arrow_type type) {
    uint8_t *field[2];
    if (type == FLOAT64) {
        uint8_t *table = put_table(w, 1, (const uint8_t[]){2}, field);
        *(uint16_t *)field[0] = DOUBLE;
        return table;
    }
    uint8_t *table = put_table(w, 2, (const uint8_t[]){4, 1}, field);
    *(uint32_t *)field[0] = 64;
    *field[1] = true; // it has a sign
    return table;
}

// Field {name, nullable, type_type, type, dictionary, children}
static inline uint8_t *put_field(writer *w, const arrow_field *f) {
    uint8_t *field[6];
    uint8_t *table = put_table(w, 6, (const uint8_t[]){4, 1, 1, 4, 0, 4}, field);
    *field[1] = true;
    *field[2] = f->type == INT64 ? TYPE_INT : TYPE_FLOATING_POINT;
    pad(w, 4);
    lead(field[0], w->end);
    put_text(w, f->name);
    lead(field[3], put_type(w, f->type));
    pad(w, 4);
    lead(field[5], put_u32(w, 0));
    return table;
}

static inline void begin_stream(writer *w, int columns, const arrow_field *columns_are) {
    uint8_t *at = (uint8_t *)alloc(0, 8);
    if (!at) __builtin_trap();
    *w = (writer){.start = at, .end = at, .columns = columns};
    uint8_t *header, *field[2];
    int64_t *body_bytes;
    uint8_t *metadata = begin_message(w, SCHEMA, &header, &body_bytes);
    // Schema {endianness, fields}
    lead(header, put_table(w, 2, (const uint8_t[]){2, 4}, field));
    pad(w, 4);
    lead(field[1], w->end);
    uint8_t *fields = put(w, 4 + 4 * (size_t)columns);
    *(uint32_t *)fields = (uint32_t)columns;
    for (int i = 0; i < columns; i++) lead(fields + 4 + 4 * i, put_field(w, &columns_are[i]));
    end_metadata(w, metadata);
}

// A vector of pairs of 64-bit numbers, which lie at multiples of 8.
static inline int64_t *put_pairs(writer *w, uint8_t *field, int count) {
    pad(w, 8);
    put_u32(w, 0);
    lead(field, w->end);
    put_u32(w, (uint32_t)count);
    return (int64_t *)put(w, 16 * (size_t)count);
}

// A batch of so many rows; all of them are 0 and none is NULL.
static inline void begin_batch(writer *w, int64_t rows) {
    uint8_t *header, *field[3];
    int64_t *body_bytes;
    uint8_t *metadata = begin_message(w, RECORD_BATCH, &header, &body_bytes);
    // RecordBatch {length, nodes, buffers}
    lead(header, put_table(w, 3, (const uint8_t[]){8, 4, 4}, field));
    *(int64_t *)field[0] = rows;
    int64_t *nodes = put_pairs(w, field[1], w->columns), *buffers = put_pairs(w, field[2], 2 * w->columns);
    end_metadata(w, metadata);
    uint8_t *body = w->end;
    for (int i = 0; i < w->columns; i++) {
        nodes[2 * i] = rows;
        w->null_count[i] = &nodes[2 * i + 1];
        size_t bits = (size_t)(rows + 7) / 8, values = (size_t)rows * 8;
        buffers[4 * i] = w->end - body;
        buffers[4 * i + 1] = (int64_t)bits;
        w->validity[i] = put(w, bits);
        __builtin_memset(w->validity[i], 0xff, bits);
        pad(w, 8);
        buffers[4 * i + 2] = w->end - body;
        buffers[4 * i + 3] = (int64_t)values;
        w->values[i] = put(w, values);
    }
    *body_bytes = w->end - body;
}

// Once for a row and column.
static inline void put_null(writer *w, int column, int64_t row) {
    w->validity[column][row / 8] &= (uint8_t) ~(1 << (row % 8));
    *w->null_count[column] += 1;
}

static inline void put_int(writer *w, int column, int64_t row, int64_t value) {
    ((int64_t *)w->values[column])[row] = value;
}

static inline void put_float(writer *w, int column, int64_t row, double value) {
    ((double *)w->values[column])[row] = value;
}

static inline bytes end_stream(writer *w) {
    put_u32(w, 0xffffffff);
    put_u32(w, 0);
    return (bytes){w->start, (size_t)(w->end - w->start)};
}

#endif
