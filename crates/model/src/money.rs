//! Money: whole millionths of the installation's currency unit, so that sums are exact.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Millionths in one unit.
const UNIT: i64 = 1_000_000;

/// Seconds in an hour.
const HOUR: i128 = 3600;

/// Why an amount cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MoneyError {
    /// Beyond ±9.2 × 10¹² units.
    #[error("the amount is out of range")]
    Overflow,
    /// Not a finite number.
    #[error("the amount is not a number")]
    NotANumber,
}

/// An amount in millionths of the currency unit (8930 is the 0.00893 that an hour of `s-1vcpu-1gb` costs). Stored as
/// this integer; in JSON and TOML it is a number in whole units, as the API wants it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From millionths.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// In millionths.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// From a number of units, rounded to the nearest millionth, halves away from zero.
    ///
    /// # Errors
    /// If it is not finite or out of range.
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked on the line before")]
    pub fn from_units(units: f64) -> Result<Self, MoneyError> {
        if !units.is_finite() {
            return Err(MoneyError::NotANumber);
        }
        let micros = (units * 1e6).round();
        // 2⁶³ is a float, 2⁶³ − 1 is not.
        if micros.abs() >= 9_223_372_036_854_775_808.0 {
            return Err(MoneyError::Overflow);
        }
        Ok(Self(micros as i64))
    }

    /// As the number of units that the wire shows. Exact to the millionth below two thousand million units.
    #[allow(clippy::cast_precision_loss, reason = "said in the comment")]
    pub fn units(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The sum.
    ///
    /// # Errors
    /// If it is out of range.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// If it is out of range.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// So many times the amount.
    ///
    /// # Errors
    /// If it is out of range.
    pub fn times(self, count: i64) -> Result<Self, MoneyError> {
        self.0.checked_mul(count).map(Self).ok_or(MoneyError::Overflow)
    }

    /// The sum of many.
    ///
    /// # Errors
    /// If it is out of range on the way.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }

    /// What a span of time costs when this is the price of an hour: by the second, rounded once, at the end, to the
    /// nearest millionth, halves away from zero. So a span that is cut into n parts costs the same to within n/2
    /// millionths. A ceiling, such as the price of a month, is taken with [`Ord::min`].
    ///
    /// # Errors
    /// If it is out of range.
    pub fn hourly_for(self, seconds: u64) -> Result<Self, MoneyError> {
        let exact = i128::from(self.0) * i128::from(seconds);
        let half = if exact < 0 { -HOUR / 2 } else { HOUR / 2 };
        i64::try_from((exact + half) / HOUR).map(Self).map_err(|_| MoneyError::Overflow)
    }
}

impl fmt::Display for Money {
    /// Units with at least two and at most six decimals: `6.00`, `0.00893`, `-1.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, micros) =
            (self.0.unsigned_abs() / UNIT.unsigned_abs(), self.0.unsigned_abs() % UNIT.unsigned_abs());
        let decimals = format!("{micros:06}");
        let (cents, rest) = decimals.split_at(2);
        write!(f, "{sign}{whole}.{cents}{}", rest.trim_end_matches('0'))
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.units())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An f64 takes the integer of `price_monthly = 6` as well.
        f64::deserialize(deserializer).and_then(|units| Self::from_units(units).map_err(serde::de::Error::custom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_prices_that_clients_assert() {
        assert_eq!(Money::from_units(0.00893).unwrap(), Money::from_micros(8930));
        assert_eq!(serde_json::to_string(&Money::from_micros(8930)).unwrap(), "0.00893");
        assert_eq!(serde_json::to_string(&Money::from_micros(6_000_000)).unwrap(), "6.0");
        assert_eq!(serde_json::from_str::<Money>("6").unwrap(), Money::from_micros(6_000_000));
        assert_eq!(serde_json::from_str::<Money>("0.00744").unwrap(), Money::from_micros(7440));
    }

    #[test]
    fn text() {
        for (micros, text) in
            [(6_000_000, "6.00"), (8930, "0.00893"), (-1_500_000, "-1.50"), (1, "0.000001"), (0, "0.00")]
        {
            assert_eq!(Money::from_micros(micros).to_string(), text);
        }
        assert_eq!(Money::from_micros(i64::MIN).to_string(), "-9223372036854.775808");
    }

    #[test]
    fn costs_of_spans() {
        let hour = Money::from_micros(8930);
        assert_eq!(hour.hourly_for(3600).unwrap(), hour);
        assert_eq!(hour.hourly_for(0).unwrap(), Money::ZERO);
        assert_eq!(hour.hourly_for(1).unwrap(), Money::from_micros(2)); // 2.48
        assert_eq!(Money::from_micros(1).hourly_for(1800).unwrap(), Money::from_micros(1)); // a half goes up
        assert_eq!(Money::from_micros(1).hourly_for(1799).unwrap(), Money::ZERO);
        assert_eq!(Money::from_micros(-1).hourly_for(1800).unwrap(), Money::from_micros(-1));
        assert_eq!(Money::from_micros(i64::MAX).hourly_for(u64::MAX), Err(MoneyError::Overflow));
    }

    #[test]
    fn what_is_no_amount() {
        assert_eq!(Money::from_units(f64::NAN), Err(MoneyError::NotANumber));
        assert_eq!(Money::from_units(f64::INFINITY), Err(MoneyError::NotANumber));
        assert_eq!(Money::from_units(1e13), Err(MoneyError::Overflow));
        assert_eq!(Money::from_units(f64::MAX), Err(MoneyError::Overflow));
        assert_eq!(Money::from_micros(i64::MAX).plus(Money::from_micros(1)), Err(MoneyError::Overflow));
        assert_eq!(Money::from_micros(i64::MIN).minus(Money::from_micros(1)), Err(MoneyError::Overflow));
        assert_eq!(Money::from_micros(i64::MAX).times(2), Err(MoneyError::Overflow));
    }

    proptest! {
        #[test]
        fn the_wire_keeps_every_millionth(micros in -2_000_000_000_000_000i64..2_000_000_000_000_000) {
            let money = Money::from_micros(micros);
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }

        #[test]
        fn any_float_is_an_amount_or_an_error(units in any::<f64>()) {
            if let Ok(money) = Money::from_units(units) {
                prop_assert!((money.units() - units).abs() <= units.abs() * 1e-15 + 0.000_000_500_1);
            }
        }

        #[test]
        fn a_longer_span_costs_no_less(hour in 0i64..1_000_000_000, a in 0u64..10_000_000_000, b in 0u64..10_000_000_000) {
            let cost = |seconds| Money::from_micros(hour).hourly_for(seconds).unwrap();
            prop_assert!(cost(a.min(b)) <= cost(a.max(b)));
            let parts = cost(a).plus(cost(b)).unwrap();
            prop_assert!((parts.micros() - cost(a + b).micros()).abs() <= 1);
        }

        #[test]
        fn adding_is_undone_by_subtracting(a in any::<i64>(), b in any::<i64>()) {
            let (a, b) = (Money::from_micros(a), Money::from_micros(b));
            if let Ok(sum) = a.plus(b) { prop_assert_eq!(sum.minus(b).unwrap(), a); }
            prop_assert_eq!(Money::sum([a, b]), a.plus(b));
        }
    }
}
