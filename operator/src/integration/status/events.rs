//! Kubernetes Events: for changes of state only. Pure.

use ropeway_crds::{condition::Reason, status::IntegrationStatus};

/// A Kubernetes Event to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is a warning.
    pub warning: bool,
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub note: String,
}

/// What changed from one status to the next that somebody should hear of.
pub fn events(previous: Option<&IntegrationStatus>, next: &IntegrationStatus) -> Vec<Event> {
    // The first status is no change.
    let Some(previous) = previous.filter(|previous| !previous.conditions.is_empty()) else { return Vec::new() };
    let mut events = Vec::new();
    let refused = |status: &IntegrationStatus| {
        let healthy = status.conditions.iter().find(|condition| condition.type_ == "Healthy");
        healthy.filter(|healthy| healthy.reason == Reason::CredentialsRefused.as_str()).map(|it| it.message.clone())
    };
    match (refused(previous), refused(next)) {
        (None, Some(note)) => events.push(Event { warning: true, reason: "CredentialsRefused", note }),
        (Some(_), None) => {
            let note = "no destination refuses our credentials any more".to_owned();
            events.push(Event { warning: false, reason: "CredentialsAccepted", note });
        }
        _ => {}
    }
    let held = |status: &IntegrationStatus| status.dead_letters.as_ref().map_or(0, |held| held.messages);
    if held(previous) == 0 && held(next) > 0 {
        let note = format!("{} events became dead letters; see status.deadLetters.reasons", held(next));
        events.push(Event { warning: true, reason: "DeadLetters", note });
    }
    let delivery_held = |status: &IntegrationStatus| {
        let held = status.conditions.iter().find(|condition| condition.type_ == "DeliveryHeld");
        held.map(|held| held.message.clone())
    };
    match (delivery_held(previous), delivery_held(next)) {
        (None, Some(note)) => events.push(Event { warning: true, reason: "DeliveryHeld", note }),
        (Some(_), None) => {
            let note = "the lane that was held goes on".to_owned();
            events.push(Event { warning: false, reason: "DeliveryReleased", note });
        }
        _ => {}
    }
    if let Some(note) = failed_backfill(next).filter(|note| failed_backfill(previous).as_ref() != Some(note)) {
        events.push(Event { warning: true, reason: "BackfillFailed", note });
    }
    if let (Some(before), Some(after)) = (&previous.state, &next.state)
        && before != after
    {
        let note = format!("every worker has confirmed the state {after}");
        events.push(Event { warning: false, reason: "StateChanged", note });
    }
    events
}

/// What became of a backfill that ended early.
fn failed_backfill(status: &IntegrationStatus) -> Option<String> {
    let backfill = status.source.as_ref()?.backfill.as_ref()?;
    let run = backfill.run.as_ref().filter(|run| run.completion_time.is_some() && run.outcome != "Complete")?;
    let to = backfill.to.as_deref().map(|to| format!(" to {to}")).unwrap_or_default();
    let why = run.message.as_deref().unwrap_or_default();
    Some(format!("the backfill from {}{to} ended early: {}: {why}; ask for it again", backfill.from, run.outcome))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use ropeway_crds::{
        condition::{ConditionType, Finding, conditions},
        status::{BackfillStatus, DeadLetterStatus, RunStatus, SourceStatus},
    };

    use super::*;

    fn status(reason: Reason, dead: i64, state: &str) -> IntegrationStatus {
        let healthy = [Finding::fails(ConditionType::Healthy, reason, "why")];
        IntegrationStatus {
            conditions: conditions(&healthy, &[], 1, Timestamp::UNIX_EPOCH),
            dead_letters: Some(DeadLetterStatus { messages: dead, ..DeadLetterStatus::default() }),
            state: Some(state.into()),
            ..IntegrationStatus::default()
        }
    }

    #[test]
    fn only_changes_are_told() {
        let calm = status(Reason::Delivering, 0, "Running");
        let bad = status(Reason::CredentialsRefused, 2, "Paused");
        let reasons = |from, to| events(from, to).into_iter().map(|event| event.reason).collect::<Vec<_>>();
        assert_eq!(reasons(Some(&calm), &bad), ["CredentialsRefused", "DeadLetters", "StateChanged"]);
        assert_eq!(reasons(Some(&bad), &calm), ["CredentialsAccepted", "StateChanged"]);
        assert!(reasons(Some(&bad), &bad).is_empty());
        assert!(reasons(None, &bad).is_empty());
    }

    #[test]
    fn a_backfill_that_ended_early_is_told_once() {
        let with = |outcome: &str| {
            let run = RunStatus {
                completion_time: (outcome != "Running").then_some(Time(Timestamp::UNIX_EPOCH)),
                outcome: outcome.into(),
                message: Some("the API answered 403".into()),
                ..RunStatus::default()
            };
            let backfill = BackfillStatus { from: "1".into(), to: Some("9".into()), run: Some(run) };
            let source = SourceStatus { backfill: Some(backfill), ..SourceStatus::default() };
            IntegrationStatus { source: Some(source), ..status(Reason::Delivering, 0, "Running") }
        };
        let (running, failed, complete) = (with("Running"), with("PollRefused"), with("Complete"));
        let told = events(Some(&running), &failed);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].warning, told[0].reason), (true, "BackfillFailed"));
        assert!(told[0].note.contains("from 1 to 9") && told[0].note.contains("PollRefused"), "{}", told[0].note);
        assert!(events(Some(&failed), &failed).is_empty() && events(Some(&running), &complete).is_empty());
        // It is written at once and not with the figures.
        let interval = Duration::from_secs(30);
        assert!(super::super::worth_writing(Some(&running), &failed, Duration::ZERO, interval));
    }
}
