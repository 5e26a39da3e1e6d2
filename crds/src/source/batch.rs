//! Whole files, read on a schedule.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod format;
mod from;

pub use format::{BatchFormat, ColumnName, Compression, Csv, CsvHeader, JsonArray, Ndjson};
pub use from::{AzureKeys, BatchFile, BatchFrom, BatchHttp, BatchObjectStore, GcsKeys, ObjectStoreKeys, S3Keys};

use crate::{
    duration::{ByteSize, Duration},
    secret_ref::SecretKeyRef,
};

/// Whole files, read on a schedule by the Jobs of a CronJob. Each row becomes one event.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchSource {
    /// When the file is read: five fields of cron (minute, hour, day of month, month, day of week from 0, Sunday, to 6), or
    /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[schemars(
        length(min = 6, max = 128),
        regex(
            pattern = r"^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[-*/,?0-9A-Za-z]+( [-*/,?0-9A-Za-z]+){4})$"
        )
    )]
    pub schedule: String,
    /// The time zone of the schedule, such as `Europe/Berlin`. Default `Etc/UTC`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z][-+_/A-Za-z0-9]*$"))]
    pub time_zone: Option<String>,
    /// `true`: the schedule starts nothing. A run by hand (`kubectl create job --from=cronjob/…`) still reads.
    pub suspend: Option<bool>,
    /// How late a run may still begin, where it could not begin in time. Default 1h.
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("startingDeadline must be at least 10s and at most 24h"))]
    pub starting_deadline: Option<Duration>,
    /// Where the file is.
    pub from: BatchFrom,
    /// How rows are written in it.
    pub format: BatchFormat,
    /// How the file is packed. Default None.
    pub compression: Option<Compression>,
    /// What happens to a file that was read whole and has not changed since. Default Skip.
    pub on_unchanged: Option<OnUnchanged>,
    /// The longest row that becomes an event, as it stands in the file and as JSON. Default 256Ki, which is also the most.
    pub max_row_bytes: Option<ByteSize>,
    /// The share of rows that may be refused, in percent, once a hundred rows were read. Above it the run ends as failed,
    /// since the file is probably not what it should be. Default 50.
    #[schemars(range(min = 0, max = 100))]
    pub max_refused_percent: Option<i32>,
}

/// What happens to a file that was read whole and has not changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnchanged {
    /// It is not read again; the run's outcome is `Unchanged`.
    #[default]
    Skip,
    /// It is read again, and every row becomes an event again.
    Read,
}

impl BatchSource {
    /// Every Secret key that reading needs.
    pub fn secret_keys(&self) -> Vec<SecretKeyRef> {
        self.from.secret_keys()
    }
}
