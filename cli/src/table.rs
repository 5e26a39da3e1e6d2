//! What people see: tables and lines. Pure.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use ropeway_crds::status::IntegrationStatus;

use crate::dev::demo::Report;

/// The status of a condition: True, False, Unknown, or a dash.
pub fn condition<'a>(status: &'a IntegrationStatus, kind: &str) -> &'a str {
    status.conditions.iter().find(|condition| condition.type_ == kind).map_or("-", |condition| &condition.status)
}

/// One line for all Integrations of a local run.
pub fn line(statuses: &BTreeMap<String, IntegrationStatus>) -> String {
    let part = |(name, status): (&String, &IntegrationStatus)| {
        let delivery = status.delivery.clone().unwrap_or_default();
        let letters = status.dead_letters.clone().unwrap_or_default();
        format!(
            "{name}: Ready={} Healthy={} {} received {} delivered {} pending {} dead letters {}",
            condition(status, "Ready"),
            condition(status, "Healthy"),
            status.state.as_deref().unwrap_or("-"),
            delivery.received,
            delivery.delivered,
            delivery.pending,
            letters.messages,
        )
    };
    statuses.iter().map(part).collect::<Vec<_>>().join("\n")
}

/// A table without frames, as kubectl's are; all columns but the first are aligned as asked.
pub(crate) fn plain(head: &[&str], rows: Vec<Vec<String>>, alignment: CellAlignment) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 {
            column.set_cell_alignment(alignment);
        }
    }
    table
}

/// The result of a demo: a table of destinations, the reasons, and the verdict.
pub fn report(report: &Report) -> String {
    let head = [
        "DESTINATION",
        "RECEIVED",
        "DELIVERED",
        "RETRIED",
        "REJECTED",
        "FAILED",
        "FILTERED",
        "DE-DUPLICATED",
        "DEAD-LETTERED",
        "PENDING",
    ];
    let rows = report.destinations.iter().map(|destination| {
        let counts = &destination.counts;
        let numbers = [
            destination.received,
            counts.delivered,
            counts.retried,
            counts.rejected,
            counts.failed,
            counts.filtered,
            counts.deduplicated,
            counts.dead_lettered,
            destination.pending,
        ];
        std::iter::once(destination.name.clone()).chain(numbers.map(|number| number.to_string())).collect()
    });
    let mut text = plain(&head, rows.collect(), CellAlignment::Right).trim_fmt();
    text.push_str("\n\n");
    for reason in &report.reasons {
        text.push_str(&format!("dead letters because {}: {}\n", reason.reason, reason.count));
    }
    text.push_str(&format!("{} lines with {} different ids sent in {} s\n", report.lines, report.ids, report.seconds));
    for destination in &report.destinations {
        let verdict = &destination.verdict;
        text.push_str(&format!(
            "{}: expected {}, arrived {}, dead letters {}, still held {}",
            destination.name, verdict.expected, verdict.accepted, verdict.dead_lettered, verdict.held
        ));
        for (what, ids) in [
            ("LOST", &verdict.lost),
            ("UNEXPECTED", &verdict.unexpected),
            ("WRONGLY DEAD", &verdict.wrongly_dead),
            ("arrived more than once", &verdict.repeated),
        ] {
            if !ids.is_empty() {
                let some: Vec<&str> = ids.iter().take(5).map(String::as_str).collect();
                text.push_str(&format!(
                    ", {what}: {} ({}{})",
                    ids.len(),
                    some.join(", "),
                    if ids.len() > 5 { ", …" } else { "" }
                ));
            }
        }
        if !destination.counters_agree {
            text.push_str(", and the counters DISAGREE with this");
        }
        text.push('\n');
    }
    text.push_str(if report.accounted_for {
        "every event is accounted for"
    } else {
        "NOT every event is accounted for"
    });
    text
}

/// The status of Integrations: the columns of `kubectl get`.
pub fn statuses(statuses: &[(String, IntegrationStatus)]) -> String {
    let head =
        ["NAME", "READY", "HEALTHY", "STATE", "PATTERN", "RECEIVED", "DELIVERED", "FAILED", "PENDING", "DLQ", "REASON"];
    let rows = statuses.iter().map(|(name, status)| {
        let delivery = status.delivery.clone().unwrap_or_default();
        let letters = status.dead_letters.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        vec![
            name.clone(),
            condition(status, "Ready").to_owned(),
            condition(status, "Healthy").to_owned(),
            status.state.clone().unwrap_or_else(|| "-".into()),
            status.pattern.clone().unwrap_or_else(|| "-".into()),
            delivery.received.to_string(),
            delivery.delivered.to_string(),
            delivery.failed.to_string(),
            delivery.pending.to_string(),
            letters.messages.to_string(),
            ready.map_or_else(|| "-".into(), |ready| ready.reason.clone()),
        ]
    });
    plain(&head, rows.collect(), CellAlignment::Right).trim_fmt()
}
