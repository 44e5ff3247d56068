// Functions of texts and bytes.
#include "lightning.h"

// Letters of ASCII in upper case, everything else as it is: as many bytes as before, so the offsets stay.
int32_t EXPORT(upper_ascii)(const column *args, int32_t rows, column *out) {
    const uint8_t *from = args[0].data;
    uint8_t *to = take((size_t)args[0].data_bytes);
    for (int32_t i = 0; i < args[0].data_bytes; i++) to[i] = upper(from[i]);
    *out = (column){to, args[0].data_bytes, args[0].offsets, args[0].validity, rows};
    return 0;
}

// Both texts, one behind the other; NULL is no text.
int32_t EXPORT(joined)(const column *args, int32_t rows, column *out) {
    uint8_t *to = text_result(out, rows, args[0].data_bytes + args[1].data_bytes);
    int32_t at = 0;
    for (int32_t row = 0; row < rows; row++) {
        for (int i = 0; i < 2; i++) {
            if (!is_valid(&args[i], row)) continue;
            text t = text_of(&args[i], row);
            __builtin_memcpy(to + at, t.at, (size_t)t.bytes);
            at += t.bytes;
        }
        out->offsets[row + 1] = at;
    }
    return 0;
}

// Characters of a text: bytes that do not go on with one.
static int32_t count(text t) {
    int32_t characters = 0;
    for (int32_t i = 0; i < t.bytes; i++) characters += (t.at[i] & 0xc0) != 0x80;
    return characters;
}

int32_t EXPORT(characters)(const column *args, int32_t rows, column *out) {
    int32_t *to = fixed_result(out, rows, 4);
    for (int32_t row = 0; row < rows; row++) to[row] = count(text_of(&args[0], row));
    null_where_null(out, args, 1);
    return 0;
}

// The characters of a text; gives how many.
static int32_t decode(text t, uint32_t *to) {
    int32_t n = 0;
    for (int32_t i = 0; i < t.bytes; i++) {
        uint8_t c = t.at[i];
        if ((c & 0xc0) == 0x80) {
            to[n - 1] = to[n - 1] << 6 | (c & 0x3f);
        } else {
            to[n++] = c < 0x80 ? c : c < 0xe0 ? c & 0x1f : c < 0xf0 ? c & 0x0f : c & 0x07;
        }
    }
    return n;
}

static int32_t min(int32_t a, int32_t b) { return a < b ? a : b; }

// How many characters must be put in, taken out or changed to make b of a.
static int32_t distance(const uint32_t *a, int32_t a_len, const uint32_t *b, int32_t b_len, int32_t *row) {
    for (int32_t j = 0; j <= b_len; j++) row[j] = j;
    for (int32_t i = 1; i <= a_len; i++) {
        int32_t diagonal = row[0];
        row[0] = i;
        for (int32_t j = 1; j <= b_len; j++) {
            int32_t above = row[j];
            row[j] = min(min(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

// Rows with a NULL are left out before: the function is STRICT.
int32_t EXPORT(levenshtein)(const column *args, int32_t rows, column *out) {
    int32_t *to = fixed_result(out, rows, 4);
    uint32_t *a = take((size_t)args[0].data_bytes * 4), *b = take((size_t)args[1].data_bytes * 4);
    int32_t *line = take(((size_t)args[1].data_bytes + 1) * 4);
    for (int32_t row = 0; row < rows; row++) {
        int32_t a_len = decode(text_of(&args[0], row), a), b_len = decode(text_of(&args[1], row), b);
        to[row] = distance(a, a_len, b, b_len, line);
    }
    return 0;
}

// Bytes against bytes, as many as both have.
int32_t EXPORT(xor)(const column *args, int32_t rows, column *out) {
    uint8_t *to = text_result(out, rows, min(args[0].data_bytes, args[1].data_bytes));
    int32_t at = 0;
    for (int32_t row = 0; row < rows; row++) {
        text a = text_of(&args[0], row), b = text_of(&args[1], row);
        for (int32_t i = 0; i < min(a.bytes, b.bytes); i++) to[at++] = a.at[i] ^ b.at[i];
        out->offsets[row + 1] = at;
    }
    null_where_null(out, args, 2);
    return 0;
}
