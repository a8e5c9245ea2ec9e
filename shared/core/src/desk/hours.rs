//! Business hours: when somebody is at the desk, by weekday and in the shop's own time zone. The zones' rules are those of
//! the IANA database that is compiled in. Holidays are not known.

use std::fmt;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are the days of the week")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// All of them, as ISO 8601 counts them.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    const fn of(day: jiff::civil::Weekday) -> Self {
        match day {
            jiff::civil::Weekday::Monday => Self::Monday,
            jiff::civil::Weekday::Tuesday => Self::Tuesday,
            jiff::civil::Weekday::Wednesday => Self::Wednesday,
            jiff::civil::Weekday::Thursday => Self::Thursday,
            jiff::civil::Weekday::Friday => Self::Friday,
            jiff::civil::Weekday::Saturday => Self::Saturday,
            jiff::civil::Weekday::Sunday => Self::Sunday,
        }
    }
}

/// A time of day to the minute, written `09:30`; `24:00` is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// That many minutes after midnight, at most those of a day.
    #[must_use]
    pub const fn of_minutes(minutes: u16) -> Self {
        if minutes > DAY_MINUTES { Self(DAY_MINUTES) } else { Self(minutes) }
    }

    /// Minutes after midnight.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

/// It is not a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATimeOfDay;

impl fmt::Display for NotATimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a time of day as hours and minutes, 00:00 to 24:00")
    }
}

impl std::error::Error for NotATimeOfDay {}

impl TryFrom<String> for TimeOfDay {
    type Error = NotATimeOfDay;

    fn try_from(text: String) -> Result<Self, NotATimeOfDay> {
        let (hours, minutes) = text.split_once(':').ok_or(NotATimeOfDay)?;
        let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if !two_digits(hours) || !two_digits(minutes) {
            return Err(NotATimeOfDay);
        }
        let read = |text: &str| text.parse::<u16>().map_err(|_| NotATimeOfDay);
        let (hours, minutes) = (read(hours)?, read(minutes)?);
        let sum = hours * 60 + minutes;
        if minutes < 60 && sum <= DAY_MINUTES { Ok(Self(sum)) } else { Err(NotATimeOfDay) }
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// From when to when on one day; the end no longer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// The first minute.
    pub from: TimeOfDay,
    /// The minute after the last. Hours that pass midnight are two days' hours.
    pub to: TimeOfDay,
}

/// When somebody is there. Without a single open day it is always: whoever sets no hours is not closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the days of the week; a day without hours is closed")]
pub struct BusinessHours {
    /// The IANA name of the time zone, such as `Europe/Berlin`.
    pub time_zone: String,
    pub monday: Option<Open>,
    pub tuesday: Option<Open>,
    pub wednesday: Option<Open>,
    pub thursday: Option<Open>,
    pub friday: Option<Open>,
    pub saturday: Option<Open>,
    pub sunday: Option<Open>,
}

impl Default for BusinessHours {
    fn default() -> Self {
        Self {
            time_zone: "UTC".to_owned(),
            monday: None,
            tuesday: None,
            wednesday: None,
            thursday: None,
            friday: None,
            saturday: None,
            sunday: None,
        }
    }
}

/// Business hours that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoursProblem {
    /// There is no such time zone.
    TimeZone,
    /// A day ends before it begins.
    Day(Weekday),
}

impl fmt::Display for HoursProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeZone => {
                f.write_str("time_zone: give the IANA name of a time zone, such as Europe/Berlin")
            }
            Self::Day(day) => {
                write!(
                    f,
                    "{day:?}: let the day end after it begins; give the time after midnight to the next day"
                )
            }
        }
    }
}

impl std::error::Error for HoursProblem {}

impl BusinessHours {
    /// Whether they can be.
    pub fn check(&self) -> Result<(), HoursProblem> {
        TimeZone::get(&self.time_zone).map_err(|_| HoursProblem::TimeZone)?;
        for day in Weekday::ALL {
            if self.on(day).is_some_and(|open| open.from >= open.to) {
                return Err(HoursProblem::Day(day));
            }
        }
        Ok(())
    }

    /// The hours of a weekday.
    #[must_use]
    pub const fn on(&self, day: Weekday) -> Option<Open> {
        match day {
            Weekday::Monday => self.monday,
            Weekday::Tuesday => self.tuesday,
            Weekday::Wednesday => self.wednesday,
            Weekday::Thursday => self.thursday,
            Weekday::Friday => self.friday,
            Weekday::Saturday => self.saturday,
            Weekday::Sunday => self.sunday,
        }
    }

    /// The shop's own weekday and time at a moment. In a time zone that is not known any more it is UTC's.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> (Weekday, TimeOfDay) {
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        let time = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default().to_zoned(zone);
        let part = |part: i8| u16::from(part.unsigned_abs());
        (Weekday::of(time.weekday()), TimeOfDay(part(time.hour()) * 60 + part(time.minute())))
    }

    /// Whether somebody is there at a moment.
    #[must_use]
    pub fn are_open(&self, at: Timestamp) -> bool {
        if Weekday::ALL.into_iter().all(|day| self.on(day).is_none()) {
            return true;
        }
        let (day, time) = self.local(at);
        self.on(day).is_some_and(|open| (open.from..open.to).contains(&time))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn office(zone: &str) -> BusinessHours {
        let open = Some(Open { from: TimeOfDay(9 * 60), to: TimeOfDay(17 * 60) });
        BusinessHours { time_zone: zone.to_owned(), monday: open, friday: open, ..BusinessHours::default() }
    }

    #[test]
    fn hours_follow_the_shops_clock_through_summer_and_winter_time() {
        let berlin = office("Europe/Berlin");
        assert_eq!(berlin.check(), Ok(()));
        // Mondays: 09:00 in Berlin is 08:00 UTC in winter and 07:00 in summer.
        for (text, open) in [
            ("2027-01-11T07:59:59Z", false),
            ("2027-01-11T08:00:00Z", true),
            ("2027-01-11T15:59:59Z", true),
            ("2027-01-11T16:00:00Z", false),
            ("2027-07-12T07:00:00Z", true),
            ("2027-07-12T06:59:59Z", false),
            ("2027-01-12T10:00:00Z", false),
            ("2027-01-15T10:00:00Z", true),
        ] {
            assert_eq!(berlin.are_open(at(text)), open, "{text}");
        }
        // Sunday in London is Monday in Auckland.
        assert_eq!(office("Pacific/Auckland").local(at("2027-01-10T21:30:00Z")).0, Weekday::Monday);
        assert!(office("Pacific/Auckland").are_open(at("2027-01-10T21:30:00Z")));
    }

    #[test]
    fn without_hours_it_is_always_open_and_a_lost_zone_is_utc() {
        assert!(BusinessHours::default().are_open(at("2027-01-10T03:00:00Z")));
        assert!(office("Mars/Olympus").are_open(at("2027-01-11T09:00:00Z")));
    }

    #[test]
    fn hours_that_cannot_be_are_refused_with_what_to_do() {
        assert_eq!(office("Mars/Olympus").check(), Err(HoursProblem::TimeZone));
        let mut night = office("UTC");
        night.friday = Some(Open { from: TimeOfDay(22 * 60), to: TimeOfDay(2 * 60) });
        assert_eq!(night.check(), Err(HoursProblem::Day(Weekday::Friday)));
        for text in ["9:00", "24:01", "12:60", "noon", "", "12:00:00", "+1:00", "-1:30"] {
            assert_eq!(TimeOfDay::try_from(text.to_owned()), Err(NotATimeOfDay), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_of_day_reads_as_it_is_written(minutes in 0u16..=DAY_MINUTES) {
            let time = TimeOfDay(minutes);
            prop_assert_eq!(TimeOfDay::try_from(time.to_string()), Ok(time));
            prop_assert_eq!(serde_json::from_value::<TimeOfDay>(serde_json::json!(time)).unwrap(), time);
        }
    }
}
