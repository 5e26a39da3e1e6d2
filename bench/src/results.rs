//! The results file, and the table that is printed at the end.

use std::{collections::BTreeMap, fs, path::Path};

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    error::{call, file},
    figures::{median, range, ratios},
    workload::{NotMeasured, Workload},
};

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured.
    pub workload: Workload,
    /// Who was measured.
    pub variant: String,
    /// What of it.
    pub metric: String,
    /// In what.
    pub unit: String,
    /// The median over the rounds; absent where nothing was measured, and `note` says why.
    pub median: Option<f64>,
    /// The smallest and the largest value.
    pub range: Option<[f64; 2]>,
    /// The median of the ratios to the baseline, each within one round.
    pub ratio_to_floor: Option<f64>,
    /// The smallest and the largest ratio.
    pub ratio_range: Option<[f64; 2]>,
    /// What the ratio is to: the floor, or the same worker without what is measured.
    pub baseline: String,
    /// How many rounds.
    pub pairs: usize,
    /// Why nothing was measured, or what to know about the figure.
    pub note: Option<String>,
    /// What was measured with.
    pub versions: BTreeMap<String, String>,
    /// The command.
    pub command: String,
    /// When, RFC 3339.
    pub date: String,
}

/// What all figures of one run share.
#[derive(Clone, Debug)]
pub struct Origin {
    /// What was measured with.
    pub versions: BTreeMap<String, String>,
    /// The command.
    pub command: String,
    /// When, RFC 3339.
    pub date: String,
}

/// What a figure is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What was measured.
    pub workload: Workload,
    /// Who was measured.
    pub variant: &'a str,
    /// What of it.
    pub metric: &'a str,
    /// In what.
    pub unit: &'a str,
    /// What ratios are to.
    pub baseline: &'a str,
}

impl Origin {
    /// A figure of these values, each with its baseline of the same round.
    #[must_use]
    pub fn figure(&self, subject: Subject<'_>, values: &[f64], baseline: &[f64]) -> Figure {
        let ratios = ratios(values, baseline);
        Figure {
            median: median(values).map(rounded),
            range: range(values).map(|range| range.map(rounded)),
            ratio_to_floor: median(&ratios).map(rounded),
            ratio_range: range_of(&ratios),
            pairs: values.len(),
            ..self.not_measured(subject, None)
        }
    }

    /// A figure that is missing, and why.
    #[must_use]
    pub fn not_measured(&self, subject: Subject<'_>, missing: Option<NotMeasured>) -> Figure {
        let Subject { workload, variant, metric, unit, baseline } = subject;
        Figure {
            workload,
            variant: variant.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            median: None,
            range: None,
            ratio_to_floor: None,
            ratio_range: None,
            baseline: baseline.to_owned(),
            pairs: 0,
            note: missing.map(|NotMeasured(reason)| format!("not measured: {reason}")),
            versions: self.versions.clone(),
            command: self.command.clone(),
            date: self.date.clone(),
        }
    }
}

/// Writes the file. Figures of workloads that were not run this time stay, each with its own date and command.
///
/// # Errors
/// When the file can't be written.
pub fn write(path: &Path, figures: &[Figure]) -> Result<(), Error> {
    let known = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Vec<Figure>>(&bytes).ok());
    let kept = known.into_iter().flatten();
    let mut all: Vec<Figure> =
        kept.filter(|old| figures.iter().all(|figure| figure.workload != old.workload)).collect();
    all.extend_from_slice(figures);
    all.sort_by_key(|figure| figure.workload);
    let text = serde_json::to_string_pretty(&all).expect("plain types are writable as JSON");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(file("make", folder))?;
    }
    fs::write(path, text + "\n").map_err(file("write", path))
}

/// Prints a results file as Markdown.
///
/// # Errors
/// When the file can't be read.
pub fn show(path: &Path) -> Result<(), Error> {
    let bytes = fs::read(path).map_err(file("read", path))?;
    let figures: Vec<Figure> = serde_json::from_slice(&bytes).map_err(call("understand the results"))?;
    println!("| {} |\n|{}", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    for figure in &figures {
        println!("| {} |", row(figure).join(" | "));
    }
    Ok(())
}

/// The figures as a table for the terminal.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(HEAD);
    for figure in figures {
        table.add_row(row(figure));
    }
    table.to_string()
}

const HEAD: [&str; 7] = ["workload", "variant", "metric", "median", "range", "ratio", "to"];

fn row(figure: &Figure) -> [String; 7] {
    let ends = |range: Option<[f64; 2]>| range.map_or_else(String::new, |[from, to]| format!("{from}–{to}"));
    let median = match figure.median {
        Some(median) => format!("{median} {}", figure.unit),
        None => figure.note.clone().unwrap_or_default(),
    };
    let ratio = figure.ratio_to_floor.map(|ratio| format!("{ratio} ({})", ends(figure.ratio_range)));
    [
        format!("{:?}", figure.workload),
        figure.variant.clone(),
        figure.metric.clone(),
        median,
        ends(figure.range),
        ratio.unwrap_or_default(),
        figure.baseline.clone(),
    ]
}

fn range_of(ratios: &[f64]) -> Option<[f64; 2]> {
    range(ratios).map(|range| range.map(rounded))
}

/// Three significant digits: more would be noise.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests;
