// Functions of columns with values of fixed width.
#include "lightning.h"

// a * b + c, around the ends of bigint. What stands in the place of a NULL is computed, too, and not looked at.
int32_t EXPORT(muladd)(const column *args, int32_t rows, column *out) {
    const uint64_t *a = args[0].data, *b = args[1].data, *c = args[2].data;
    uint64_t *to = fixed_result(out, rows, 8);
    for (int32_t row = 0; row < rows; row++) to[row] = a[row] * b[row] + c[row];
    null_where_null(out, args, 3);
    return 0;
}

// x, but not below low and not above high. NaN is above everything, as in SQL.
int32_t EXPORT(clamp)(const column *args, int32_t rows, column *out) {
    const double *x = args[0].data, *low = args[1].data, *high = args[2].data;
    double *to = fixed_result(out, rows, 8);
    for (int32_t row = 0; row < rows; row++) {
        to[row] = x[row] < low[row] ? low[row] : x[row] <= high[row] ? x[row] : high[row];
    }
    null_where_null(out, args, 3);
    return 0;
}

// NOT a OR b, of true, false and unknown.
int32_t EXPORT(implies)(const column *args, int32_t rows, column *out) {
    const uint8_t *a = args[0].data, *b = args[1].data;
    uint8_t *to = bits_result(out, rows);
    for (int32_t row = 0; row < rows; row++) {
        bool has_a = is_valid(&args[0], row), has_b = is_valid(&args[1], row);
        if ((has_a && !get_bit(a, row)) || (has_b && get_bit(b, row))) {
            set_bit(to, row, true);
        } else if (!has_a || !has_b) {
            set_null(out, row);
        }
    }
    return 0;
}

int32_t EXPORT(sum_small)(const column *args, int32_t rows, column *out) {
    const int16_t *a = args[0].data, *b = args[1].data;
    int16_t *to = fixed_result(out, rows, 2);
    for (int32_t row = 0; row < rows; row++) to[row] = (int16_t)(a[row] + b[row]);
    null_where_null(out, args, 2);
    return 0;
}

int32_t EXPORT(next_day)(const column *args, int32_t rows, column *out) {
    const int32_t *day = args[0].data;
    int32_t *to = fixed_result(out, rows, 4);
    for (int32_t row = 0; row < rows; row++) to[row] = day[row] + 1;
    null_where_null(out, args, 1);
    return 0;
}

int32_t EXPORT(add_seconds)(const column *args, int32_t rows, column *out) {
    const int64_t *at = args[0].data, *seconds = args[1].data;
    int64_t *to = fixed_result(out, rows, 8);
    for (int32_t row = 0; row < rows; row++) to[row] = at[row] + seconds[row] * 1000000;
    null_where_null(out, args, 2);
    return 0;
}

// Half of a numeric: 128 bits, ten digits of them behind the point. The last digit is rounded away from zero.
int32_t EXPORT(half)(const column *args, int32_t rows, column *out) {
    const uint64_t *from = args[0].data;
    uint64_t *to = fixed_result(out, rows, 16);
    for (int32_t row = 0; row < rows; row++) {
        uint64_t low = from[2 * row], high = from[2 * row + 1];
        bool is_negative = high >> 63;
        if (is_negative) {
            low = 0 - low;
            high = ~high + (low == 0);
        }
        low += 1;
        high += low == 0;
        low = low >> 1 | high << 63;
        high >>= 1;
        if (is_negative) {
            low = 0 - low;
            high = ~high + (low == 0);
        }
        to[2 * row] = low;
        to[2 * row + 1] = high;
    }
    null_where_null(out, args, 1);
    return 0;
}

// Twice an interval: months, days and nanoseconds, apart.
int32_t EXPORT(twice)(const column *args, int32_t rows, column *out) {
    typedef struct {
        int32_t months, days;
        int64_t nanoseconds;
    } interval;
    const interval *from = args[0].data;
    interval *to = fixed_result(out, rows, sizeof(interval));
    for (int32_t row = 0; row < rows; row++) {
        interval i = from[row];
        to[row] = (interval){2 * i.months, 2 * i.days, 2 * i.nanoseconds};
    }
    null_where_null(out, args, 1);
    return 0;
}

// The UUID with 4 as its version.
int32_t EXPORT(with_version_4)(const column *args, int32_t rows, column *out) {
    uint8_t *to = fixed_result(out, rows, 16);
    __builtin_memcpy(to, args[0].data, (size_t)rows * 16);
    for (int32_t row = 0; row < rows; row++) to[16 * row + 6] = (to[16 * row + 6] & 0x0f) | 0x40;
    null_where_null(out, args, 1);
    return 0;
}

// Refuses zero.
int32_t EXPORT(reciprocal)(const column *args, int32_t rows, column *out) {
    const double *from = args[0].data;
    double *to = fixed_result(out, rows, 8);
    for (int32_t row = 0; row < rows; row++) {
        if (is_valid(&args[0], row) && from[row] == 0) return fail(out, "zero has no reciprocal");
        to[row] = 1 / from[row];
    }
    null_where_null(out, args, 1);
    return 0;
}

// Any column as it is: a result may point to what the server wrote.
int32_t EXPORT(same)(const column *args, int32_t rows, column *out) {
    (void)rows;
    *out = args[0];
    return 0;
}

// Of no arguments.
int32_t EXPORT(zero)(const column *args, int32_t rows, column *out) {
    (void)args;
    __builtin_memset(fixed_result(out, rows, 8), 0, (size_t)rows * 8);
    return 0;
}
