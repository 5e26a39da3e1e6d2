//! When something is due: a cron expression in a time zone. Pure; the time is an argument.
//!
//! There is one way to write it, that of a Kubernetes CronJob, whoever keeps the time: what an API server would refuse is
//! refused here, with a remedy.
//!
//! What happens when a clock is set (daylight saving time) is decided here and not left to a library, since libraries
//! differ. A fire time that a clock jumps over comes at the first moment after the jump. A clock time that comes twice fires
//! the first time only; where the hour is `*`, which is about minutes and not about a time of day, it fires both times, so
//! that nobody waits an hour longer for a job of every five minutes.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, civil, tz::TimeZone};

/// A schedule can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression is none.
    #[error(
        "{text:?} is not a cron expression: give minute, hour, day of month, month and day of week, such as \"*/15 * * * *\", \
         or @hourly, @daily, @weekly, @monthly or @yearly ({why})"
    )]
    Expression {
        /// What was given.
        text: String,
        /// What the parser says.
        why: String,
    },
    /// The time zone is not known.
    #[error("{name:?} is not a time zone: give a name of the IANA database, such as Europe/Berlin or UTC")]
    Zone {
        /// What was given.
        name: String,
    },
    /// It never fires.
    #[error("{text:?} never comes: there is no such date")]
    Never {
        /// What was given.
        text: String,
    },
}

impl ScheduleError {
    /// The field that is wrong: `schedule` or `timeZone`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Expression { .. } | Self::Never { .. } => "schedule",
            Self::Zone { .. } => "timeZone",
        }
    }
}

/// A cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    every_hour: bool,
}

impl Schedule {
    /// Reads an expression of five fields, or a word for one such as `@daily`, and the name of a time zone; UTC where none is
    /// given.
    ///
    /// # Errors
    /// See [`ScheduleError`].
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let refuse = |why: String| ScheduleError::Expression { text: text.chars().take(64).collect(), why };
        let every_hour = match text {
            "@hourly" => true,
            word if word.starts_with('@') => false,
            fields => hour(fields).map_err(refuse)? == "*",
        };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        // The parser does not know the other word for it.
        let known = if text == "@midnight" { "@daily" } else { text };
        let cron = parser.parse(known).map_err(|error| refuse(error.to_string()))?;
        let name = zone.unwrap_or("UTC");
        let zone = TimeZone::get(name).map_err(|_| ScheduleError::Zone { name: name.chars().take(64).collect() })?;
        let schedule = Self { cron, zone, every_hour };
        // Five years hold a 29th of February.
        let begin = civil::date(2025, 1, 1).at(0, 0, 0, 0);
        match schedule.next_civil(begin, Bound::At) {
            Some(next) if next.year() < 2034 => Ok(schedule),
            _ => Err(ScheduleError::Never { text: text.chars().take(64).collect() }),
        }
    }

    /// The first fire time after a moment; none where there is none in the next centuries.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut segment = Segment::of(&self.zone, after)?;
        let mut bound = (segment.civil(after)?, Bound::After);
        loop {
            // In a segment that begins with a clock set back, the times that were there before are done.
            if let (false, Some(done)) = (self.every_hour, segment.repeated_until)
                && bound.0 < done
            {
                bound = (done, Bound::At);
            }
            let next = self.next_civil(bound.0, bound.1)?;
            let at = segment.instant(next)?;
            let Some(end) = segment.end.filter(|end| at >= *end) else { return Some(at) };
            let following = Segment::of(&self.zone, end)?;
            // What a clock jumps over comes at the moment after the jump.
            if next < following.civil(end)? {
                return Some(end);
            }
            bound = (following.civil(end)?, Bound::At);
            segment = following;
        }
    }

    /// The longest time between two fires, of the next sixteen.
    pub fn longest_gap(&self, from: Timestamp) -> Duration {
        let fires: Vec<Timestamp> = std::iter::successors(self.next(from), |last| self.next(*last)).take(17).collect();
        let gaps = fires.windows(2).filter_map(|pair| Duration::try_from(pair[1].duration_since(pair[0])).ok());
        gaps.max().unwrap_or_default()
    }

    fn next_civil(&self, from: civil::DateTime, bound: Bound) -> Option<civil::DateTime> {
        self.cron.find_next_occurrence(&from, bound == Bound::At).ok()
    }
}

/// The field of the hour, if the five fields hold nothing that the parser knows and Kubernetes does not.
fn hour(text: &str) -> Result<&str, String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else { return Err(format!("it has {} fields", fields.len())) };
    if [minute, hour, day].iter().any(|field| field.contains(|it: char| it.is_ascii_alphabetic())) {
        return Err("letters stand for months and days of the week only".into());
    }
    if [month, weekday].iter().any(|field| field.contains(['#', '+']) || is_single_letter(field)) {
        return Err("L, W and # are not known to Kubernetes".into());
    }
    let to_sunday = weekday.to_ascii_uppercase().contains("-SUN");
    if to_sunday || weekday.split(['-', ',']).any(|part| part.starts_with('7')) {
        return Err("Sunday is 0, the first day of a week".into());
    }
    Ok(hour)
}

/// Whether a part of a field is a letter alone or a digit with one, such as `L` and `5L`.
fn is_single_letter(field: &str) -> bool {
    let letters = |part: &str| part.chars().filter(char::is_ascii_alphabetic).count();
    field.split([',', '-', '/']).any(|part| letters(part) > 0 && letters(part) < 3)
}

/// Whether a search begins at a time or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    At,
    After,
}

/// A stretch of time over which a zone's clocks are not set.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: jiff::tz::Offset,
    end: Option<Timestamp>,
    /// Where it began with clocks set back: the clock time until which times come a second time.
    repeated_until: Option<civil::DateTime>,
}

impl Segment {
    fn of(zone: &TimeZone, at: Timestamp) -> Option<Self> {
        let offset = zone.to_offset(at);
        // A transition may change the name of a zone only.
        let end = zone.following(at).find(|change| change.offset() != offset).map(|change| change.timestamp());
        let next = at.checked_add(jiff::SignedDuration::from_nanos(1)).ok()?;
        let begin = zone.preceding(next).map(|change| change.timestamp()).find(|begin| before(zone, *begin) != offset);
        let repeated_until = begin.and_then(|begin| {
            let earlier = before(zone, begin);
            (earlier > offset).then(|| earlier.to_datetime(begin))
        });
        Some(Self { offset, end, repeated_until })
    }

    fn civil(&self, at: Timestamp) -> Option<civil::DateTime> {
        Some(self.offset.to_datetime(at))
    }

    fn instant(&self, civil: civil::DateTime) -> Option<Timestamp> {
        self.offset.to_timestamp(civil).ok()
    }
}

/// The offset just before a moment.
fn before(zone: &TimeZone, at: Timestamp) -> jiff::tz::Offset {
    let earlier = at.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(at);
    zone.to_offset(earlier)
}

#[cfg(test)]
mod tests;
