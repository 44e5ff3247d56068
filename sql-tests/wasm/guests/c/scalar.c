// Functions of numbers, called once a row. Rows with a NULL argument do not come here.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

// a * b + c, around the ends of bigint.
int64_t EXPORT(muladd)(int64_t a, int64_t b, int64_t c) { return (int64_t)((uint64_t)a * (uint64_t)b + (uint64_t)c); }

double EXPORT(hypotenuse)(double a, double b) { return __builtin_sqrt(a * a + b * b); }

// x, but not below low and not above high. NaN is above everything, as in SQL.
double EXPORT(clamp)(double x, double low, double high) { return x < low ? low : x <= high ? x : high; }

float EXPORT(half_real)(float x) { return x / 2; }

// A smallint is an i32 here; a result that does not fit is an error.
int32_t EXPORT(half_small)(int32_t x) { return x / 2; }

int32_t EXPORT(twice_small)(int32_t x) { return x * 2; }

// 1 for true.
int32_t EXPORT(differ)(int32_t a, int32_t b) { return a != b; }

// Days since 1970.
int32_t EXPORT(add_days)(int32_t date, int32_t days) { return date + days; }

// Microseconds since 1970.
int64_t EXPORT(add_seconds)(int64_t timestamp, int64_t seconds) { return timestamp + seconds * 1000000; }

int64_t EXPORT(hour_of)(int64_t timestamp) {
    int64_t hour = 3600000000;
    int64_t over = timestamp % hour;
    return timestamp - (over < 0 ? over + hour : over);
}

// Microseconds of a day.
int64_t EXPORT(add_minutes)(int64_t time, int32_t minutes) {
    int64_t day = 86400000000;
    int64_t sum = (time + minutes * INT64_C(60000000)) % day;
    return sum < 0 ? sum + day : sum;
}

// Traps where b is 0, and where the quotient is no integer.
int32_t EXPORT(quotient)(int32_t a, int32_t b) { return a / b; }
