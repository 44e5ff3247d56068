// Functions of numbers, called once a row.
//
//     asc scalar.ts --runtime stub --use abort= -O3 -o scalar.wasm

export function muladd(a: i64, b: i64, c: i64): i64 {
  return a * b + c;
}

export function hypotenuse(a: f64, b: f64): f64 {
  return sqrt(a * a + b * b);
}

// Steps until the rule of Collatz leads to 1; -1 for numbers below 1.
export function collatz(n: i64): i32 {
  if (n < 1) return -1;
  let steps = 0;
  while (n != 1) {
    n = n & 1 ? 3 * n + 1 : n >> 1;
    steps++;
  }
  return steps;
}

// A boolean is an i32 that is 0 or 1.
export function is_leap_year(year: i32): i32 {
  return i32((year % 4 == 0 && year % 100 != 0) || year % 400 == 0);
}
