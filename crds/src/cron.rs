//! Cron schedules as a Kubernetes CronJob reads them: what its API server would refuse is refused here, with a remedy.

use std::str::FromStr;

use jiff::{Timestamp, tz::TimeZone};

/// A schedule with its time zone.
#[derive(Clone, Debug)]
pub struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

/// A schedule that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The text can't be read.
    #[error("{text:?} is no schedule ({why}); write five fields, such as `0 2 * * 1-5`, or @daily")]
    Schedule {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such time zone.
    #[error("there is no time zone {0:?}; write one as Europe/Berlin")]
    Zone(String),
}

impl Cron {
    /// Reads a schedule; its time zone is UTC where none is given.
    ///
    /// # Errors
    /// See [`CronError`].
    pub fn new(schedule: &str, zone: Option<&str>) -> Result<Self, CronError> {
        let fault = |why: String| CronError::Schedule { text: schedule.to_owned(), why };
        let pattern = croner::Cron::from_str(schedule).map_err(|error| fault(error.to_string()))?;
        if !schedule.starts_with('@') {
            let fields: Vec<&str> = schedule.split_whitespace().collect();
            let [minute, hour, day, month, weekday] = fields[..] else {
                return Err(fault("it has not five fields".into()));
            };
            // Extensions of the library that the cluster does not know.
            if [minute, hour, day].iter().any(|field| field.contains(|it: char| it.is_ascii_alphabetic())) {
                return Err(fault("letters stand for months and days of the week only".into()));
            }
            if [month, weekday].iter().any(|field| field.contains(['#', '+']) || is_single_letter(field)) {
                return Err(fault("L, W and # are not known to Kubernetes".into()));
            }
            if weekday.split(['-', ',']).any(|part| part.starts_with('7')) {
                return Err(fault("Sunday is 0".into()));
            }
        }
        let name = zone.unwrap_or("Etc/UTC");
        let zone = TimeZone::get(name).map_err(|_| CronError::Zone(name.to_owned()))?;
        Ok(Self { pattern, zone })
    }

    /// The first time after this one; none where there is none in the years that are looked at.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = after.to_zoned(self.zone.clone());
        self.pattern.find_next_occurrence(&from, false).ok().map(|next| next.timestamp())
    }
}

/// Whether a part of a field is a letter alone or a digit with one, such as `L` and `5L`.
fn is_single_letter(field: &str) -> bool {
    let letters = |part: &str| part.chars().filter(char::is_ascii_alphabetic).count();
    field.split([',', '-', '/']).any(|part| letters(part) > 0 && letters(part) < 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_would_refuse_is_refused() {
        for schedule in ["0 2 * * *", "*/15 8-18 * JAN,jul MON-FRI", "@daily", "0 0 1 */3 ?", "30 4 * * 0,6"] {
            assert!(Cron::new(schedule, None).is_ok(), "{schedule}");
        }
        for schedule in [
            "0 2 * *",
            "60 2 * * *",
            "0 2 L * *",
            "0 2 * * 5L",
            "0 2 * * 5#2",
            "0 2 * * 7",
            "0 0 2 * * *",
            "@often",
            "",
        ] {
            assert!(matches!(Cron::new(schedule, None), Err(CronError::Schedule { .. })), "{schedule}");
        }
        assert_eq!(Cron::new("0 2 * * *", Some("Mars/Base")).unwrap_err(), CronError::Zone("Mars/Base".into()));
    }

    #[test]
    fn the_next_time_is_that_of_the_zone() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let nightly = Cron::new("0 2 * * *", Some("Europe/Berlin")).unwrap();
        assert_eq!(nightly.next(time("2026-11-25T01:00:00Z")), Some(time("2026-11-26T01:00:00Z")));
        assert_eq!(nightly.next(time("2026-06-25T00:30:00Z")), Some(time("2026-06-26T00:00:00Z")));
        assert_eq!(Cron::new("0 0 31 2 *", None).unwrap().next(time("2026-01-01T00:00:00Z")), None);
    }
}
