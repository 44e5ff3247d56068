//! Mathematics with PostgreSQL's types, scales and errors.
//!
//! Integers and floats are computed in machine arithmetic, numerics exactly where the result is exact and in
//! [`DoubleDouble`] where it is not. The scale of an inexact result follows PostgreSQL: at least 16 significant digits.

use super::call::{Body, Family, Overload, Shape};
use super::double_double::DoubleDouble;
use super::row::{Datum, error, float, int};
use crate::text::number::{fits, rescale};
use crate::types::{FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC};
use datafusion::common::{DataFusionError, Result};

use Body::Strict;

/// Significant digits an inexact numeric has at least.
const SIGNIFICANT: i32 = 16;
const SCALE_MAX: i32 = 38;

type Function = fn(&[Datum]) -> Result<Datum>;

const fn of(arguments: &'static [crate::types::PgType], returns: crate::types::PgType, body: Function) -> Overload {
    Overload::new(arguments, returns, Strict(body, keep))
}

const fn scaled(arguments: &'static [crate::types::PgType], body: Function, scale: fn(&[Shape]) -> i8) -> Overload {
    Overload::new(arguments, NUMERIC, Strict(body, scale))
}

const fn family(name: &'static str, overloads: &'static [Overload]) -> Family {
    Family { name, overloads }
}

/// A function of one float, with its domain: outside of it `input is out of range`.
macro_rules! float_family {
    ($name:literal, $function:expr, $domain:expr) => {
        family(
            $name,
            &[of(&[FLOAT8], FLOAT8, |args| {
                let value = float(&args[0]);
                let (function, inside): (fn(f64) -> f64, fn(f64) -> bool) = ($function, $domain);
                if value.is_nan() || inside(value) {
                    checked_float(function(value), &[value])
                } else {
                    Err(error("22003", "input is out of range"))
                }
            })],
        )
    };
}

const DEGREE: f64 = std::f64::consts::PI / 180.0;

const CEIL: &[Overload] = &[
    of(&[FLOAT8], FLOAT8, |args| Ok(Datum::Float(float(&args[0]).ceil()))),
    scaled(&[NUMERIC], |args| whole(args, |digits, unit| -((-digits).div_euclid(unit))), zero),
];
const POWER: &[Overload] = &[of(&[FLOAT8, FLOAT8], FLOAT8, power_float), scaled(&[NUMERIC, NUMERIC], power, sixteen)];

/// The functions of this module.
pub(super) static FAMILIES: &[Family] = &[
    family(
        "abs",
        &[
            of(&[INT2], INT2, |args| small(int(&args[0]).checked_abs())),
            of(&[INT4], INT4, |args| integer(int(&args[0]).checked_abs())),
            of(&[INT8], INT8, |args| big(int(&args[0]).checked_abs())),
            of(&[FLOAT4], FLOAT4, |args| Ok(Datum::Float(float(&args[0]).abs()))),
            of(&[FLOAT8], FLOAT8, |args| Ok(Datum::Float(float(&args[0]).abs()))),
            scaled(&[NUMERIC], |args| with(args, |digits, scale| Some((digits.abs(), scale))), keep),
        ],
    ),
    family(
        "sign",
        &[
            of(&[FLOAT8], FLOAT8, |args| {
                let value = float(&args[0]);
                Ok(Datum::Float(if value == 0.0 || value.is_nan() { value } else { value.signum() }))
            }),
            scaled(&[NUMERIC], |args| with(args, |digits, _| Some((digits.signum(), 0))), zero),
        ],
    ),
    family("ceil", CEIL),
    family("ceiling", CEIL),
    family(
        "floor",
        &[
            of(&[FLOAT8], FLOAT8, |args| Ok(Datum::Float(float(&args[0]).floor()))),
            scaled(&[NUMERIC], |args| whole(args, |digits, unit| digits.div_euclid(unit)), zero),
        ],
    ),
    family(
        "round",
        &[
            of(&[FLOAT8], FLOAT8, |args| Ok(Datum::Float(float(&args[0]).round_ties_even()))),
            scaled(&[NUMERIC], |args| with(args, |digits, scale| Some((rescale(digits, scale, 0)?, 0))), zero),
            scaled(&[NUMERIC, INT4], |args| with(args, |digits, scale| round(digits, scale, places(&args[1]))), second),
        ],
    ),
    family(
        "trunc",
        &[
            of(&[FLOAT8], FLOAT8, |args| Ok(Datum::Float(float(&args[0]).trunc()))),
            scaled(&[NUMERIC], |args| with(args, |digits, scale| truncate(digits, scale, 0)), zero),
            scaled(
                &[NUMERIC, INT4],
                |args| with(args, |digits, scale| truncate(digits, scale, places(&args[1]))),
                second,
            ),
        ],
    ),
    family(
        "mod",
        &[
            of(&[INT2, INT2], INT2, remainder),
            of(&[INT4, INT4], INT4, remainder),
            of(&[INT8, INT8], INT8, remainder),
            scaled(&[NUMERIC, NUMERIC], |args| quotient(args, |a, b, scale| (a % b, scale)), keep),
        ],
    ),
    family("div", &[scaled(&[NUMERIC, NUMERIC], |args| quotient(args, |a, b, _| (a / b, 0)), zero)]),
    family("power", POWER),
    family("pow", POWER),
    family(
        "sqrt",
        &[
            of(&[FLOAT8], FLOAT8, |args| match float(&args[0]) {
                value if value < 0.0 => Err(negative_root()),
                value => Ok(Datum::Float(value.sqrt())),
            }),
            scaled(&[NUMERIC], sqrt, sixteen),
        ],
    ),
    family("cbrt", &[of(&[FLOAT8], FLOAT8, |args| Ok(Datum::Float(float(&args[0]).cbrt())))]),
    family(
        "exp",
        &[
            of(&[FLOAT8], FLOAT8, |args| {
                let value = float(&args[0]);
                checked_float(value.exp(), &[value]).and_then(|result| match result {
                    Datum::Float(0.0) if value.is_finite() => Err(error("22003", "value out of range: underflow")),
                    other => Ok(other),
                })
            }),
            scaled(&[NUMERIC], exp, sixteen),
        ],
    ),
    family("ln", &[of(&[FLOAT8], FLOAT8, |args| logarithm(float(&args[0]), f64::ln)), scaled(&[NUMERIC], ln, sixteen)]),
    family("log", LOG),
    family("log10", &[LOG_FLOAT, LOG_NUMERIC]),
    float_family!("sin", f64::sin, f64::is_finite),
    float_family!("cos", f64::cos, f64::is_finite),
    float_family!("tan", f64::tan, f64::is_finite),
    float_family!("cot", |value| 1.0 / value.tan(), f64::is_finite),
    float_family!("asin", f64::asin, |value| (-1.0..=1.0).contains(&value)),
    float_family!("acos", f64::acos, |value| (-1.0..=1.0).contains(&value)),
    float_family!("acosh", f64::acosh, |value| value >= 1.0),
    float_family!("degrees", |value| value / DEGREE, |_| true),
    float_family!("radians", |value| value * DEGREE, |_| true),
    family(
        "factorial",
        &[scaled(
            &[INT8],
            |args| match int(&args[0]) {
                ..0 => Err(error("22003", "factorial of a negative number is undefined")),
                n => {
                    let product = (1..=n.min(1 << 10)).try_fold(1i128, |product, n| product.checked_mul(n.into()));
                    product.filter(|p| fits(*p, 38)).map(|p| Datum::Decimal(p, 0)).ok_or_else(too_large)
                }
            },
            zero,
        )],
    ),
    family(
        "gcd",
        &[
            of(&[INT4, INT4], INT4, |args| integer(gcd_of(args))),
            of(&[INT8, INT8], INT8, |args| big(gcd_of(args))),
            scaled(&[NUMERIC, NUMERIC], |args| aligned(args, |a, b| Some(gcd(a, b))), keep),
        ],
    ),
    family(
        "lcm",
        &[
            of(&[INT4, INT4], INT4, |args| integer(lcm_of(args))),
            of(&[INT8, INT8], INT8, |args| big(lcm_of(args))),
            scaled(&[NUMERIC, NUMERIC], |args| aligned(args, lcm), keep),
        ],
    ),
    family(
        "width_bucket",
        &[
            of(&[FLOAT8, FLOAT8, FLOAT8, INT4], INT4, width_bucket_float),
            of(&[NUMERIC, NUMERIC, NUMERIC, INT4], INT4, width_bucket),
        ],
    ),
    family("scale", &[of(&[NUMERIC], INT4, |args| Ok(Datum::Int(decimal(&args[0]).1.into())))]),
    family(
        "min_scale",
        &[of(&[NUMERIC], INT4, |args| {
            let (digits, scale) = decimal(&args[0]);
            Ok(Datum::Int(trimmed(digits, scale).1.into()))
        })],
    ),
    family("trim_scale", &[scaled(&[NUMERIC], |args| with(args, |digits, scale| Some(trimmed(digits, scale))), keep)]),
    family(
        "bitwise_not",
        &[
            of(&[INT2], INT2, |args| Ok(Datum::Int(!int(&args[0])))),
            of(&[INT4], INT4, |args| Ok(Datum::Int(!int(&args[0])))),
            of(&[INT8], INT8, |args| Ok(Datum::Int(!int(&args[0])))),
        ],
    ),
    family("bitwise_and", &BITWISE_AND),
    family("bitwise_or", &BITWISE_OR),
    family("bitwise_xor", &BITWISE_XOR),
    family(
        "shift_left",
        &[
            of(&[INT2, INT4], INT2, |args| {
                Ok(Datum::Int((int(&args[0]) as i32).wrapping_shl(shift(args)) as i16 as i64))
            }),
            of(&[INT4, INT4], INT4, |args| Ok(Datum::Int((int(&args[0]) as i32).wrapping_shl(shift(args)).into()))),
            of(&[INT8, INT4], INT8, |args| Ok(Datum::Int(int(&args[0]).wrapping_shl(shift(args))))),
        ],
    ),
    family(
        "shift_right",
        &[
            of(&[INT2, INT4], INT2, |args| {
                Ok(Datum::Int((int(&args[0]) as i32).wrapping_shr(shift(args)) as i16 as i64))
            }),
            of(&[INT4, INT4], INT4, |args| Ok(Datum::Int((int(&args[0]) as i32).wrapping_shr(shift(args)).into()))),
            of(&[INT8, INT4], INT8, |args| Ok(Datum::Int(int(&args[0]).wrapping_shr(shift(args))))),
        ],
    ),
];

const LOG_FLOAT: Overload = of(&[FLOAT8], FLOAT8, |args| logarithm(float(&args[0]), f64::log10));
const LOG_NUMERIC: Overload = scaled(&[NUMERIC], |args| log(&Datum::Decimal(10, 0), &args[0]), sixteen);
const LOG: &[Overload] =
    &[LOG_FLOAT, LOG_NUMERIC, scaled(&[NUMERIC, NUMERIC], |args| log(&args[0], &args[1]), sixteen)];

macro_rules! bitwise {
    ($operator:tt) => {
        [
            of(&[INT2, INT2], INT2, |args| Ok(Datum::Int(int(&args[0]) $operator int(&args[1])))),
            of(&[INT4, INT4], INT4, |args| Ok(Datum::Int(int(&args[0]) $operator int(&args[1])))),
            of(&[INT8, INT8], INT8, |args| Ok(Datum::Int(int(&args[0]) $operator int(&args[1])))),
        ]
    };
}

const BITWISE_AND: [Overload; 3] = bitwise!(&);
const BITWISE_OR: [Overload; 3] = bitwise!(|);
const BITWISE_XOR: [Overload; 3] = bitwise!(^);

/// The bits to shift by; as the machine does it, only the low ones count.
fn shift(args: &[Datum]) -> u32 {
    int(&args[1]) as u32
}

// Scales of results.

fn keep(shapes: &[Shape]) -> i8 {
    shapes.iter().map(|shape| shape.scale).max().unwrap_or(0)
}

fn zero(_: &[Shape]) -> i8 {
    0
}

fn sixteen(shapes: &[Shape]) -> i8 {
    keep(shapes).max(SIGNIFICANT as i8)
}

/// As many decimals as the second argument says; when it is no constant, as many as the first has.
fn second(shapes: &[Shape]) -> i8 {
    match shapes {
        [_, Shape { integer: Some(places), .. }] => (*places).clamp(0, SCALE_MAX.into()) as i8,
        [value, ..] => value.scale,
        [] => 0,
    }
}

// Numerics.

fn decimal(datum: &Datum) -> (i128, i8) {
    match datum {
        Datum::Decimal(digits, scale) => (*digits, *scale),
        _ => (0, 0),
    }
}

fn too_large() -> DataFusionError {
    error("22003", "value overflows numeric format")
}

fn with(args: &[Datum], compute: impl Fn(i128, i8) -> Option<(i128, i8)>) -> Result<Datum> {
    let (digits, scale) = decimal(&args[0]);
    compute(digits, scale).map(|(digits, scale)| Datum::Decimal(digits, scale)).ok_or_else(too_large)
}

fn whole(args: &[Datum], divide: impl Fn(i128, i128) -> i128) -> Result<Datum> {
    with(args, |digits, scale| Some((divide(digits, unit(scale)), 0)))
}

fn unit(scale: i8) -> i128 {
    10i128.pow(u32::from(scale.clamp(0, 38).unsigned_abs()))
}

/// The number of decimals asked for.
fn places(datum: &Datum) -> i8 {
    int(datum).clamp(-i64::from(SCALE_MAX), SCALE_MAX.into()) as i8
}

fn round(digits: i128, scale: i8, places: i8) -> Option<(i128, i8)> {
    let rounded = rescale(digits, scale, places)?;
    if places >= 0 { Some((rounded, places)) } else { Some((rounded.checked_mul(unit(-places))?, 0)) }
}

fn truncate(digits: i128, scale: i8, places: i8) -> Option<(i128, i8)> {
    if places >= scale {
        return Some((rescale(digits, scale, places)?, places));
    }
    let kept = digits / 10i128.checked_pow(u32::from((i16::from(scale) - i16::from(places)).unsigned_abs()))?;
    if places >= 0 { Some((kept, places)) } else { Some((kept.checked_mul(unit(-places))?, 0)) }
}

fn trimmed(mut digits: i128, mut scale: i8) -> (i128, i8) {
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    (digits, scale)
}

/// Two numerics at their larger scale.
fn pair(args: &[Datum]) -> Option<(i128, i128, i8)> {
    let ((a, a_scale), (b, b_scale)) = (decimal(&args[0]), decimal(&args[1]));
    let scale = a_scale.max(b_scale);
    Some((rescale(a, a_scale, scale)?, rescale(b, b_scale, scale)?, scale))
}

fn quotient(args: &[Datum], compute: fn(i128, i128, i8) -> (i128, i8)) -> Result<Datum> {
    if decimal(&args[1]).0 == 0 {
        return Err(error("22012", "division by zero"));
    }
    let (a, b, scale) = pair(args).ok_or_else(too_large)?;
    let (digits, scale) = compute(a, b, scale);
    Ok(Datum::Decimal(digits, scale))
}

fn aligned(args: &[Datum], compute: fn(i128, i128) -> Option<i128>) -> Result<Datum> {
    let (a, b, scale) = pair(args).ok_or_else(too_large)?;
    compute(a, b).map(|digits| Datum::Decimal(digits, scale)).ok_or_else(too_large)
}

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs()
}

fn lcm(a: i128, b: i128) -> Option<i128> {
    if a == 0 || b == 0 { Some(0) } else { (a / gcd(a, b)).checked_mul(b)?.checked_abs() }
}

/// An inexact result at `scale`, or at the largest scale at which it has 38 digits.
fn inexact(value: DoubleDouble, scale: i32) -> Result<Datum> {
    let scale = scale.clamp(0, SCALE_MAX) as i8;
    let digits = (0..=scale).rev().find_map(|scale| Some(Datum::Decimal(value.to_decimal(scale)?, scale)));
    digits.ok_or_else(too_large)
}

fn dd(datum: &Datum) -> DoubleDouble {
    let (digits, scale) = decimal(datum);
    DoubleDouble::from_decimal(digits, scale)
}

fn negative_root() -> DataFusionError {
    error("2201F", "cannot take square root of a negative number")
}

/// The place of the first of PostgreSQL's groups of four digits.
fn weight(digits: i128, scale: i8) -> i32 {
    if digits == 0 {
        return 0;
    }
    let first = digits.unsigned_abs().ilog10() as i32 - i32::from(scale);
    first.div_euclid(4)
}

fn sqrt(args: &[Datum]) -> Result<Datum> {
    let (digits, scale) = decimal(&args[0]);
    if digits < 0 {
        return Err(negative_root());
    }
    let root_weight = (weight(digits, scale) + 1) * 4 / 2 - 1;
    inexact(dd(&args[0]).sqrt(), (SIGNIFICANT - root_weight).max(scale.into()))
}

fn exp(args: &[Datum]) -> Result<Datum> {
    let (_, scale) = decimal(&args[0]);
    let value = dd(&args[0]);
    let magnitude = (value.to_f64() * std::f64::consts::LOG10_E).clamp(-2000.0, 2000.0) as i32;
    inexact(value.exp(), (SIGNIFICANT - magnitude).max(scale.into()))
}

/// The power of ten of the natural logarithm of a positive number.
fn logarithm_weight(digits: i128, scale: i8) -> i32 {
    let value = DoubleDouble::from_decimal(digits, scale);
    if (0.9..=1.1).contains(&value.to_f64()) {
        let off = value.to_f64() - 1.0;
        return if off == 0.0 { 0 } else { off.abs().log10().floor() as i32 };
    }
    value.to_f64().ln().abs().log10() as i32
}

fn check_logarithm(digits: i128) -> Result<()> {
    match digits.signum() {
        0 => Err(error("2201E", "cannot take logarithm of zero")),
        -1 => Err(error("2201E", "cannot take logarithm of a negative number")),
        _ => Ok(()),
    }
}

fn ln(args: &[Datum]) -> Result<Datum> {
    let (digits, scale) = decimal(&args[0]);
    check_logarithm(digits)?;
    inexact(dd(&args[0]).ln(), (SIGNIFICANT - logarithm_weight(digits, scale)).max(scale.into()))
}

fn log(base: &Datum, number: &Datum) -> Result<Datum> {
    let ((base_digits, base_scale), (digits, scale)) = (decimal(base), decimal(number));
    check_logarithm(base_digits)?;
    check_logarithm(digits)?;
    let divisor = dd(base).ln();
    if divisor.to_f64() == 0.0 {
        return Err(error("22012", "division by zero"));
    }
    let weight = logarithm_weight(digits, scale) - logarithm_weight(base_digits, base_scale);
    let wanted = (SIGNIFICANT - weight).max(scale.into()).max(base_scale.into());
    inexact(dd(number).ln() / divisor, wanted)
}

fn power(args: &[Datum]) -> Result<Datum> {
    let ((base, base_scale), (exponent, exponent_scale)) = (decimal(&args[0]), decimal(&args[1]));
    if base == 0 && exponent < 0 {
        return Err(zero_power());
    }
    let (whole, rest) = (exponent / unit(exponent_scale), exponent % unit(exponent_scale));
    if rest == 0 {
        let scale = SIGNIFICANT.max(base_scale.into());
        return integer_power(base, base_scale, whole, scale);
    }
    if base < 0 {
        return Err(complex_power());
    }
    let at_least = i32::from(base_scale.max(exponent_scale));
    if base == 0 {
        return inexact(DoubleDouble::from(0.0), SIGNIFICANT.max(at_least));
    }
    let exponent = dd(&args[1]) * dd(&args[0]).ln();
    let magnitude = (exponent.to_f64() * std::f64::consts::LOG10_E).clamp(-2000.0, 2000.0) as i32;
    inexact(exponent.exp(), (SIGNIFICANT - magnitude).max(at_least))
}

/// A power with a whole exponent: exact as long as it fits.
fn integer_power(base: i128, base_scale: i8, exponent: i128, scale: i32) -> Result<Datum> {
    let magnitude = u64::try_from(exponent.unsigned_abs()).map_err(|_| too_large())?;
    if exponent >= 0
        && let Some(exact) = u32::try_from(magnitude).ok().and_then(|n| base.checked_pow(n))
        && let Some(exact_scale) = i8::try_from(i128::from(base_scale) * exponent).ok()
        && let Some(digits) = rescale(exact, exact_scale, scale as i8).filter(|digits| fits(*digits, 38))
    {
        return Ok(Datum::Decimal(digits, scale as i8));
    }
    let power = DoubleDouble::from_decimal(base, base_scale).powi(magnitude);
    if exponent >= 0 {
        return inexact(power, scale);
    }
    if power.to_f64() == 0.0 { Err(too_large()) } else { inexact(DoubleDouble::from(1.0) / power, scale) }
}

fn zero_power() -> DataFusionError {
    error("2201F", "zero raised to a negative power is undefined")
}

fn complex_power() -> DataFusionError {
    error("2201F", "a negative number raised to a non-integer power yields a complex result")
}

// Floats.

fn checked_float(result: f64, operands: &[f64]) -> Result<Datum> {
    if result.is_infinite() && operands.iter().all(|operand| operand.is_finite()) {
        return Err(error("22003", "value out of range: overflow"));
    }
    Ok(Datum::Float(result))
}

fn logarithm(value: f64, function: fn(f64) -> f64) -> Result<Datum> {
    if value == 0.0 {
        return Err(error("2201E", "cannot take logarithm of zero"));
    }
    if value < 0.0 {
        return Err(error("2201E", "cannot take logarithm of a negative number"));
    }
    Ok(Datum::Float(function(value)))
}

fn power_float(args: &[Datum]) -> Result<Datum> {
    let (base, exponent) = (float(&args[0]), float(&args[1]));
    if base == 0.0 && exponent < 0.0 {
        return Err(zero_power());
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 {
        return Err(complex_power());
    }
    let result = base.powf(exponent);
    if result == 0.0 && base != 0.0 && base.is_finite() && exponent.is_finite() {
        return Err(error("22003", "value out of range: underflow"));
    }
    checked_float(result, &[base, exponent])
}

fn bucket_count(count: i64) -> Result<i64> {
    if count > 0 { Ok(count) } else { Err(error("2201G", "count must be greater than zero")) }
}

fn equal_bounds() -> DataFusionError {
    error("2201G", "lower bound cannot equal upper bound")
}

fn width_bucket_float(args: &[Datum]) -> Result<Datum> {
    let (value, low, high) = (float(&args[0]), float(&args[1]), float(&args[2]));
    let count = bucket_count(int(&args[3]))?;
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(error("2201G", "operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(error("2201G", "lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(equal_bounds());
    }
    let (below, above) = if low < high { (value < low, value >= high) } else { (value > low, value <= high) };
    integer(match (below, above) {
        (true, _) => Some(0),
        (_, true) => count.checked_add(1),
        _ => Some(((value - low) / (high - low) * count as f64).floor() as i64 + 1),
    })
}

fn width_bucket(args: &[Datum]) -> Result<Datum> {
    let count = bucket_count(int(&args[3]))?;
    let scale = args[..3].iter().map(|arg| decimal(arg).1).max().unwrap_or(0);
    let at_scale = |datum: &Datum| {
        let (digits, from) = decimal(datum);
        rescale(digits, from, scale).ok_or_else(too_large)
    };
    let (value, low, high) = (at_scale(&args[0])?, at_scale(&args[1])?, at_scale(&args[2])?);
    if low == high {
        return Err(equal_bounds());
    }
    let (below, above) = if low < high { (value < low, value >= high) } else { (value > low, value <= high) };
    integer(match (below, above) {
        (true, _) => Some(0),
        (_, true) => count.checked_add(1),
        _ => {
            let distance = value.checked_sub(low).and_then(|d| d.checked_mul(count.into())).ok_or_else(too_large)?;
            let width = high.checked_sub(low).ok_or_else(too_large)?;
            i64::try_from(distance / width + 1).ok()
        }
    })
}

// Integers.

fn big(value: Option<i64>) -> Result<Datum> {
    value.map(Datum::Int).ok_or_else(|| error("22003", "bigint out of range"))
}

fn integer(value: Option<i64>) -> Result<Datum> {
    let value = value.filter(|value| i32::try_from(*value).is_ok());
    value.map(Datum::Int).ok_or_else(|| error("22003", "integer out of range"))
}

fn small(value: Option<i64>) -> Result<Datum> {
    let value = value.filter(|value| i16::try_from(*value).is_ok());
    value.map(Datum::Int).ok_or_else(|| error("22003", "smallint out of range"))
}

fn remainder(args: &[Datum]) -> Result<Datum> {
    match int(&args[1]) {
        0 => Err(error("22012", "division by zero")),
        divisor => Ok(Datum::Int(int(&args[0]).wrapping_rem(divisor))),
    }
}

fn gcd_of(args: &[Datum]) -> Option<i64> {
    i64::try_from(gcd(int(&args[0]).into(), int(&args[1]).into())).ok()
}

fn lcm_of(args: &[Datum]) -> Option<i64> {
    i64::try_from(lcm(int(&args[0]).into(), int(&args[1]).into())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(result: Result<Datum>) -> (i128, i8) {
        decimal(&result.expect("a value"))
    }

    #[test]
    fn scales_are_those_of_postgresql_15() {
        let two = Datum::Decimal(20, 1);
        assert_eq!(numeric(sqrt(std::slice::from_ref(&two))), (1_414_213_562_373_095, 15));
        assert_eq!(numeric(exp(&[Datum::Decimal(10, 1)])), (27_182_818_284_590_452, 16));
        assert_eq!(numeric(exp(&[Datum::Decimal(-100, 1)])), (4_539_992_976_248_485, 20));
        assert_eq!(numeric(ln(&[Datum::Decimal(105, 2)])), (48_790_164_169_432_003, 18));
        assert_eq!(numeric(power(&[two, Datum::Decimal(5, 1)])), (14_142_135_623_730_950, 16));
        assert_eq!(numeric(power(&[Datum::Decimal(1000, 1), Datum::Decimal(15, 1)])), (10_000_000_000_000_000, 13));
        assert_eq!(numeric(log(&Datum::Decimal(2, 0), &Datum::Decimal(8, 0))), (30_000_000_000_000_000, 16));
    }

    #[test]
    fn rounding_keeps_postgresqls_scales() {
        assert_eq!(round(12345, 1, -2), Some((1200, 0)));
        assert_eq!(round(1005, 3, 2), Some((101, 2)));
        assert_eq!(truncate(-1999, 3, 2), Some((-199, 2)));
        assert_eq!(truncate(12345, 1, -2), Some((1200, 0)));
        assert_eq!(trimmed(1230, 3), (123, 2));
    }
}
