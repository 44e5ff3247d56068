// Logarithm and exponential, for there is no C library.
#ifndef MATHEMATICS_H
#define MATHEMATICS_H

#include <stdint.h>

static inline uint64_t bits_of(double x) {
    uint64_t bits;
    __builtin_memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline double of_bits(uint64_t bits) {
    double x;
    __builtin_memcpy(&x, &bits, sizeof(x));
    return x;
}

// 2 to a power that a normal number can have.
static inline double power_of_2(int k) { return of_bits((uint64_t)(k + 1023) << 52); }

static const double LN2_HIGH = 6.93147180369123816490e-01, LN2_LOW = 1.90821492927058770002e-10;

// Of finite numbers above 0: x is m times 2 to the k, with m about 1, and ln m is 2 artanh((m - 1) / (m + 1)).
static inline double ln(double x) {
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    k += (int)(bits_of(x) >> 52) - 1023;
    double m = of_bits((bits_of(x) & 0xfffffffffffff) | (uint64_t)1023 << 52);
    if (m > 1.4142135623730951) {
        m /= 2;
        k++;
    }
    double s = (m - 1) / (m + 1), square = s * s, sum = 0;
    for (int n = 25; n >= 1; n -= 2) sum = sum * square + 1.0 / n;
    return k * LN2_HIGH + (2 * s * sum + k * LN2_LOW);
}

// Of means of logarithms, whose results are normal numbers: x is k times ln 2 and a rest, whose series is short.
static inline double exponential(double x) {
    int k = (int)(x / 0.6931471805599453 + (x < 0 ? -0.5 : 0.5));
    double rest = (x - k * LN2_HIGH) - k * LN2_LOW, sum = 1;
    for (int n = 16; n >= 1; n--) sum = 1 + sum * rest / n;
    int half = k / 2; // in two steps: the largest power that a result can have is not a number by itself
    return sum * power_of_2(half) * power_of_2(k - half);
}

#endif
