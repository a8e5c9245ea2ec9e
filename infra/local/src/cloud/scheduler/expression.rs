//! Schedule expressions of EventBridge Scheduler: `at(…)`, `rate(…)` and the six fields of `cron(…)`, in a
//! time zone. What is undocumented is refused rather than guessed. When a schedule fires is decided here;
//! that it fires, is not.

use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use storeward_core::time::Timestamp;

/// The last year a cron expression can name (EventBridge Scheduler user guide, schedule types).
const LAST_YEAR: u16 = 2199;

/// Why an expression is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpressionError {
    /// Neither `at(…)`, `rate(…)` nor `cron(…)`, or not written as those are.
    Malformed,
    /// The time zone is not in the IANA database.
    UnknownTimeZone,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a schedule expression",
            Self::UnknownTimeZone => "not a time zone of the IANA database",
        })
    }
}

impl std::error::Error for ExpressionError {}

/// When a schedule fires.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// Once, at this point in time.
    At(Timestamp),
    /// Every so many milliseconds.
    Rate(i64),
    /// Whenever the calendar of a time zone matches.
    Cron(Box<Cron>, TimeZone),
}

impl Expression {
    /// Reads an expression in a time zone, `UTC` where none is given.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, ExpressionError> {
        let zone = TimeZone::get(zone.unwrap_or("UTC")).map_err(|_| ExpressionError::UnknownTimeZone)?;
        let (kind, inner) =
            text.strip_suffix(')').and_then(|text| text.split_once('(')).ok_or(ExpressionError::Malformed)?;
        match kind {
            "at" => at(inner, &zone),
            "rate" => rate(inner),
            "cron" => Cron::parse(inner).map(|cron| Self::Cron(Box::new(cron), zone)),
            _ => None,
        }
        .ok_or(ExpressionError::Malformed)
    }

    /// The first time after `after` at which the schedule fires. `anchor` is where a rate counts from: the
    /// start date, or the time of creation; a rate fires at its anchor too.
    #[must_use]
    pub fn next(&self, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(time) => (*time > after).then_some(*time),
            Self::Rate(every) => {
                let passed = after.millis().checked_sub(anchor.millis())?;
                let steps = if passed < 0 { 0 } else { passed / every + 1 };
                Some(Timestamp(anchor.millis().checked_add(steps.checked_mul(*every)?)?))
            }
            Self::Cron(cron, zone) => cron.next(after, zone),
        }
    }
}

/// `yyyy-mm-ddThh:mm:ss`, exactly. A time the zone skips is moved on by what it skips.
fn at(text: &str, zone: &TimeZone) -> Option<Expression> {
    let shape = text.len() == 19
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    let time: DateTime = shape.then(|| text.parse().ok()).flatten()?;
    let time = zone.to_ambiguous_timestamp(time).compatible().ok()?;
    Some(Expression::At(Timestamp(time.as_millisecond())))
}

/// `value unit`. The unit's number is not checked against the value: Scheduler, unlike EventBridge rules,
/// does not.
fn rate(text: &str) -> Option<Expression> {
    let (value, unit) = text.split_once(' ')?;
    let value: i64 = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()?;
    let unit = match unit {
        "minute" | "minutes" => 60_000,
        "hour" | "hours" => 3_600_000,
        "day" | "days" => 86_400_000,
        _ => return None,
    };
    (value > 0).then(|| value.checked_mul(unit)).flatten().map(Expression::Rate)
}

/// The six fields of a cron expression: minutes, hours, day of month, month, day of week, year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: Days,
    months: u64,
    /// Sorted.
    years: Vec<u16>,
}

/// Which days match. One of the two fields is always `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    /// Of the month: these, the last one, and the weekday nearest to each of these.
    OfMonth { days: u64, last: bool, nearest_weekday: u64 },
    /// Of the week, Sunday = 1: these, the last such in the month, and the nth such in the month.
    OfWeek { days: u64, last: u64, nth: Option<(u8, u8)> },
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What a field may hold: numbers from `low` to `high`, or names that count from `low`.
struct Range {
    low: u16,
    high: u16,
    names: &'static [&'static str],
}

impl Range {
    const fn numbers(low: u16, high: u16) -> Self {
        Self { low, high, names: &[] }
    }

    fn value(&self, text: &str) -> Option<u16> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        if let Some(place) = named {
            return u16::try_from(place).ok().map(|place| place + self.low);
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value: u16 = digits.then(|| text.parse().ok()).flatten()?;
        (self.low..=self.high).contains(&value).then_some(value)
    }

    /// One part of a list: `*`, a value, a range, each perhaps with a step. A single value with a step runs
    /// to the end.
    fn part(&self, text: &str) -> Option<impl Iterator<Item = u16>> {
        let (base, step) = match text.split_once('/') {
            Some((base, step)) => {
                let step: u16 =
                    step.bytes().all(|byte| byte.is_ascii_digit()).then(|| step.parse().ok()).flatten()?;
                (base, Some(step).filter(|step| (1..=self.high).contains(step))?)
            }
            None => (text, 0),
        };
        let (from, to) = match base.split_once('-') {
            _ if base == "*" => (self.low, self.high),
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None if step > 0 => (self.value(base)?, self.high),
            None => (self.value(base)?, self.value(base)?),
        };
        (from <= to).then(|| (from..=to).step_by(usize::from(step.max(1))))
    }

    /// A whole list as a set of bits.
    fn bits(&self, text: &str) -> Option<u64> {
        text.split(',')
            .try_fold(0, |set, part| Some(self.part(part)?.fold(set, |set, value| set | bit(value))))
    }
}

const fn bit(value: u16) -> u64 {
    1 << value
}

const fn has(set: u64, value: i8) -> bool {
    set & (1 << value) != 0
}

impl Cron {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, day_of_month, month, day_of_week, year] = fields[..] else { return None };
        let days = match (day_of_month, day_of_week) {
            ("?", "?") => return None,
            (_, "?") => Self::days_of_month(day_of_month)?,
            ("?", _) => Self::days_of_week(day_of_week)?,
            _ => return None,
        };
        let range = Range::numbers(1970, LAST_YEAR);
        let mut years = Vec::new();
        for part in year.split(',') {
            years.extend(range.part(part)?);
        }
        years.sort_unstable();
        years.dedup();
        Some(Self {
            minutes: Range::numbers(0, 59).bits(minutes)?,
            hours: Range::numbers(0, 23).bits(hours)?,
            days,
            months: Range { low: 1, high: 12, names: &MONTHS }.bits(month)?,
            years,
        })
    }

    fn days_of_month(text: &str) -> Option<Days> {
        let range = Range::numbers(1, 31);
        let (mut days, mut last, mut nearest_weekday) = (0, false, 0);
        for part in text.split(',') {
            match part.strip_suffix('W') {
                Some(day) => nearest_weekday |= bit(range.value(day)?),
                None if part == "L" => last = true,
                None => days |= range.bits(part)?,
            }
        }
        Some(Days::OfMonth { days, last, nearest_weekday })
    }

    fn days_of_week(text: &str) -> Option<Days> {
        let range = Range { low: 1, high: 7, names: &WEEKDAYS };
        if let Some((day, nth)) = text.split_once('#') {
            let day = u8::try_from(range.value(day)?).ok()?;
            let nth = u8::try_from(Range::numbers(1, 5).value(nth)?).ok()?;
            return Some(Days::OfWeek { days: 0, last: 0, nth: Some((day, nth)) });
        }
        let (mut days, mut last) = (0, 0);
        for part in text.split(',') {
            match part.strip_suffix('L') {
                // The last day of the week.
                Some("") => days |= bit(7),
                Some(day) => last |= bit(range.value(day)?),
                None => days |= range.bits(part)?,
            }
        }
        Some(Days::OfWeek { days, last, nth: None })
    }

    fn matches_day(&self, date: Date) -> bool {
        match self.days {
            Days::OfMonth { days, last, nearest_weekday } => {
                has(days, date.day())
                    || (last && date.day() == date.days_in_month())
                    || (nearest_weekday != 0 && is_nearest_weekday(date, nearest_weekday))
            }
            Days::OfWeek { days, last, nth } => {
                let weekday = date.weekday().to_sunday_one_offset();
                has(days, weekday)
                    || (has(last, weekday) && date.day() + 7 > date.days_in_month())
                    || nth.is_some_and(|(day, nth)| {
                        i8::try_from(day) == Ok(weekday) && i8::try_from(nth) == Ok((date.day() - 1) / 7 + 1)
                    })
            }
        }
    }

    fn matches_year(&self, date: Date) -> bool {
        u16::try_from(date.year()).is_ok_and(|year| self.years.binary_search(&year).is_ok())
    }

    /// The first matching minute after `after`. A minute the zone skips in spring is left out; one it repeats
    /// in autumn counts once, the first time (user guide, "Daylight savings time").
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = jiff::Timestamp::from_millisecond(after.millis()).ok()?;
        let mut date = zone.to_datetime(start).date();
        loop {
            if !self.matches_year(date) {
                let year =
                    self.years.iter().copied().find(|&year| i32::from(year) > i32::from(date.year()))?;
                date = Date::new(i16::try_from(year).ok()?, 1, 1).ok()?;
                continue;
            }
            if !has(self.months, date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            if self.matches_day(date)
                && let Some(time) = self.next_on(date, after, zone)
            {
                return Some(time);
            }
            date = date.tomorrow().ok()?;
        }
    }

    fn next_on(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        for hour in (0..24).filter(|&hour| has(self.hours, hour)) {
            for minute in (0..60).filter(|&minute| has(self.minutes, minute)) {
                let ambiguous =
                    zone.to_ambiguous_timestamp(date.to_datetime(Time::constant(hour, minute, 0, 0)));
                if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
                    continue;
                }
                let Ok(time) = ambiguous.earlier() else { continue };
                if time.as_millisecond() > after.millis() {
                    return Some(Timestamp(time.as_millisecond()));
                }
            }
        }
        None
    }
}

/// Whether `date` is the weekday nearest to one of `wanted` in its month: the day itself, the Friday before a
/// Saturday, the Monday after a Sunday; never in another month.
fn is_nearest_weekday(date: Date, wanted: u64) -> bool {
    let length = date.days_in_month();
    (1..=length).filter(|&day| has(wanted, day)).any(|day| {
        let Ok(target) = Date::new(date.year(), date.month(), day) else { return false };
        let nearest = match target.weekday() {
            Weekday::Saturday if day == 1 => 3,
            Weekday::Saturday => day - 1,
            Weekday::Sunday if day == length => day - 2,
            Weekday::Sunday => day + 1,
            _ => day,
        };
        nearest == date.day()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn next(expression: &str, zone: &str, after: &str) -> Option<String> {
        let expression = Expression::parse(expression, Some(zone)).unwrap();
        expression.next(time(after), Timestamp(0)).map(Timestamp::to_rfc3339)
    }

    #[test]
    fn given_one_time_expressions_when_parsed_then_they_fire_once_in_their_zone() {
        let at = "at(2026-11-24T05:30:00)";
        assert_eq!(next(at, "UTC", "2026-11-01T00:00:00Z").unwrap(), "2026-11-24T05:30:00Z");
        assert_eq!(next(at, "America/New_York", "2026-11-01T00:00:00Z").unwrap(), "2026-11-24T10:30:00Z");
        assert_eq!(next(at, "UTC", "2026-11-24T05:30:00Z"), None);
    }

    #[test]
    fn given_a_rate_when_asked_then_it_fires_at_its_anchor_and_each_interval_after() {
        let rate = Expression::parse("rate(15 minutes)", None).unwrap();
        let anchor = time("2026-11-01T00:07:00Z");
        assert_eq!(rate.next(Timestamp(anchor.0 - 1), anchor), Some(anchor));
        assert_eq!(rate.next(anchor, anchor), Some(Timestamp(anchor.0 + 15 * MINUTE)));
        assert_eq!(rate.next(Timestamp(anchor.0 + 1), anchor), Some(Timestamp(anchor.0 + 15 * MINUTE)));
        assert_eq!(Expression::parse("rate(1 hours)", None), Ok(Expression::Rate(60 * MINUTE)));
    }

    #[test]
    fn given_the_examples_of_the_user_guide_when_asked_then_they_fire_as_documented() {
        let after = "2026-11-01T00:00:00Z";
        for (cron, expected) in [
            ("cron(0 10 * * ? *)", "2026-11-01T10:00:00Z"),
            ("cron(15 12 * * ? *)", "2026-11-01T12:15:00Z"),
            ("cron(0 18 ? * MON-FRI *)", "2026-11-02T18:00:00Z"),
            ("cron(0 8 1 * ? *)", "2026-11-01T08:00:00Z"),
            ("cron(0/15 * * * ? *)", "2026-11-01T00:15:00Z"),
            ("cron(0/10 * ? * MON-FRI *)", "2026-11-02T00:00:00Z"),
            ("cron(0/5 8-17 ? * MON-FRI *)", "2026-11-02T08:00:00Z"),
            ("cron(0 5 L * ? *)", "2026-11-30T05:00:00Z"),
            ("cron(15 10 ? * 6L 2027-2028)", "2027-01-29T10:15:00Z"),
            ("cron(0 9 ? * 2#1 *)", "2026-11-02T09:00:00Z"),
            ("cron(0 9 15W * ? *)", "2026-11-16T09:00:00Z"),
            ("cron(0 9 1W * ? *)", "2026-11-02T09:00:00Z"),
            ("cron(0 9 ? * L *)", "2026-11-07T09:00:00Z"),
            ("cron(0 0 29 2 ? *)", "2028-02-29T00:00:00Z"),
        ] {
            assert_eq!(next(cron, "UTC", after).unwrap(), expected, "{cron}");
        }
        assert_eq!(next("cron(0 0 30 2 ? *)", "UTC", after), None, "a day that never comes");
        assert_eq!(next("cron(0 0 1 1 ? 2026)", "UTC", after), None, "a year that is over");
    }

    #[test]
    fn given_a_zone_that_skips_and_repeats_an_hour_when_asked_then_it_is_left_out_and_counted_once() {
        // Clocks went from 02:00 to 03:00 on 2026-03-08, and from 02:00 back to 01:00 on 2026-11-01.
        let half_past_two = "cron(30 2 * * ? *)";
        assert_eq!(
            next(half_past_two, "America/New_York", "2026-03-08T00:00:00-05:00").unwrap(),
            "2026-03-09T06:30:00Z"
        );
        let half_past_one = "cron(30 1 * * ? *)";
        let first = next(half_past_one, "America/New_York", "2026-11-01T00:00:00-04:00").unwrap();
        assert_eq!(first, "2026-11-01T05:30:00Z");
        assert_eq!(next(half_past_one, "America/New_York", &first).unwrap(), "2026-11-02T06:30:00Z");
    }

    #[test]
    fn given_what_is_not_an_expression_when_parsed_then_it_is_refused() {
        for text in [
            "",
            "at()",
            "at(2026-11-24)",
            "at(2026-11-24T05:30:00Z)",
            "at(2026-11-24T25:30:00)",
            "at(2026-02-30T00:00:00)",
            "at(2026-11-24 05:30:00)",
            "rate(0 hours)",
            "rate(-1 hours)",
            "rate(1.5 hours)",
            "rate(1 second)",
            "rate(1  hour)",
            "rate(9223372036854775807 days)",
            "cron(* * * * *)",
            "cron(* * * * * *)",
            "cron(0 0 ? * ? *)",
            "cron(60 0 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 0 0 * ? *)",
            "cron(0 0 32 * ? *)",
            "cron(0 0 * 13 ? *)",
            "cron(0 0 ? * 8 *)",
            "cron(0 0 ? * 0 *)",
            "cron(0 0 ? * 2#6 *)",
            "cron(0 0 * * ? 2200)",
            "cron(0 0 * * ? 1969)",
            "cron(*/0 0 * * ? *)",
            "cron(5-1 0 * * ? *)",
            "cron(0,, 0 * * ? *)",
            "cron(0 0 ?,1 * ? *)",
            "CRON(0 0 * * ? *)",
            "every(1 hour)",
        ] {
            assert_eq!(Expression::parse(text, None), Err(ExpressionError::Malformed), "{text}");
        }
        assert_eq!(
            Expression::parse("rate(1 hour)", Some("Mars/Olympus")),
            Err(ExpressionError::UnknownTimeZone)
        );
    }

    /// What a field of the generated expressions looks like, and the values it stands for, found without the
    /// parser.
    fn field(low: u16, high: u16) -> impl Strategy<Value = (String, Vec<u16>)> {
        prop_oneof![
            Just(("*".to_owned(), (low..=high).collect())),
            (low..=high).prop_map(|value| (value.to_string(), vec![value])),
            (low..=high, low..=high).prop_map(|(a, b)| {
                let (a, b) = (a.min(b), a.max(b));
                (format!("{a}-{b}"), (a..=b).collect())
            }),
            (low..=high, 1..=high.max(1)).prop_map(move |(from, step)| {
                (format!("{from}/{step}"), (from..=high).filter(|value| (value - from) % step == 0).collect())
            }),
            proptest::collection::vec(low..=high, 1..4).prop_map(|values| {
                (values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), values)
            }),
        ]
    }

    /// The first match found by stepping minute by minute, within `days`.
    fn stepped(
        after: Timestamp,
        zone: &TimeZone,
        days: i64,
        matches: impl Fn(DateTime) -> bool,
    ) -> Option<Timestamp> {
        let first = after.0.div_euclid(MINUTE) + 1;
        (first..first + days * 24 * 60).map(|minute| minute * MINUTE).find_map(|millis| {
            let point = jiff::Timestamp::from_millisecond(millis).ok()?;
            let local = zone.to_datetime(point);
            let once = zone.to_ambiguous_timestamp(local).earlier().ok()? == point;
            (once && matches(local)).then_some(Timestamp(millis))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn given_any_cron_when_asked_then_it_fires_when_stepping_through_the_minutes_does(
            (minutes, hours) in (field(0, 59), field(0, 23)),
            day in prop_oneof![
                field(1, 31).prop_map(|(text, days)| (format!("{text} * ?"), true, days)),
                field(1, 7).prop_map(|(text, days)| (format!("? * {text}"), false, days)),
            ],
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
            // Two years around every kind of change of clocks.
            after in 1_767_225_600_000_i64..1_830_297_600_000,
        ) {
            let days = 35;
            let zone_name = zone;
            let zone = TimeZone::get(zone).unwrap();
            let text = format!("cron({} {} {} *)", minutes.0, hours.0, day.0);
            let found = Expression::parse(&text, Some(zone_name)).unwrap().next(Timestamp(after), Timestamp(0));
            let expected = stepped(Timestamp(after), &zone, days, |local| {
                let date = if day.1 { local.day() } else { local.weekday().to_sunday_one_offset() };
                minutes.1.contains(&u16::try_from(local.minute()).unwrap())
                    && hours.1.contains(&u16::try_from(local.hour()).unwrap())
                    && day.2.contains(&u16::try_from(date).unwrap())
            });
            let horizon = Timestamp(after + (days - 1) * 24 * 60 * MINUTE);
            prop_assert_eq!(found.filter(|time| *time < horizon), expected.filter(|time| *time < horizon), "{}", text);
        }

        #[test]
        fn given_any_text_when_parsed_then_nothing_panics(text in "(at|rate|cron)\\([0-9A-Z#*?/, T:a-z-]{0,40}\\)") {
            if let Ok(expression) = Expression::parse(&text, None) {
                let _ = expression.next(Timestamp(1_767_225_600_000), Timestamp(0));
            }
        }
    }
}
