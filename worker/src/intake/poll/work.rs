//! What a poller does while the record is its own: page after page is asked for, stored, remembered, and only then passed.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use ropeway_auth::{
    http::{Response, SendFailure},
    secret::SecretError,
};
use ropeway_crds::{
    poll::{Position, Run, Validators},
    provider::HttpHeader,
    report::Problem,
    source::{PollRequest, QueryParameter},
};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Poller, ask,
    lease::{Interrupted, Lease},
    page,
    request::Values,
    run::{self, PageFacts, Step, Which, problem},
};
use crate::{
    fault::{self, Step as Fault},
    provider::hint::hint,
};

/// What became of the attempt to read and store a page.
pub(super) enum Attempt {
    /// All of it is stored and remembered.
    Stored(PageFacts),
    /// It is as it was.
    NotModified,
    /// It passes by itself.
    Trouble { wish: Option<Duration>, why: Problem },
    /// The place in the run is refused.
    Stale(Problem),
    /// It ends the run.
    Fatal(Problem),
}

impl Poller {
    /// Works until there is nothing to do. Answers until when.
    pub(super) async fn work(&self, lease: &mut Lease, stop: &CancellationToken) -> Result<Timestamp, Interrupted> {
        loop {
            if stop.is_cancelled() || !self.receives() {
                return Err(Interrupted::Stopped);
            }
            let now = Timestamp::now();
            match run::step(&lease.record, &self.plan, now) {
                Step::Wait(until) => return Ok(until),
                Step::Begin(which) => {
                    run::begin(&mut lease.record, &self.plan, which, now);
                    self.write(lease).await?;
                }
                Step::Page(which) => self.page(lease, which, stop).await?,
            }
            // What others see of it, they see at once.
            self.see(&lease.record);
        }
    }

    async fn page(&self, lease: &mut Lease, which: Which, stop: &CancellationToken) -> Result<(), Interrupted> {
        let Some(run) = run::current(&lease.record, which).cloned() else { return Ok(()) };
        let backfill = lease.record.backfill.clone().filter(|_| which == Which::Backfill);
        let validators = lease.record.validators.clone().filter(|_| which == Which::Live);
        let reading = match &backfill {
            Some(backfill) => Some(backfill.id.clone()),
            None => (lease.record.era > 0).then(|| lease.record.era.to_string()),
        };
        let until = backfill.and_then(|backfill| backfill.to);
        let work = self.attempt(&run, until.as_deref(), reading.as_deref(), validators.as_ref());
        let attempt = self.keeping(lease, stop, work).await?;
        let (record, now, jitter) = (&mut lease.record, Timestamp::now(), rand::random());
        let ends = match attempt {
            Attempt::Stored(facts) => {
                let last = facts.next.is_none();
                self.counts.page(&facts);
                let ends = run::advance(record, &self.plan, which, facts, now);
                fault::reached(if last { Fault::PollCommitting } else { Fault::PollRemembered });
                ends
            }
            Attempt::NotModified => {
                run::not_modified(record, &self.plan, which, now);
                None
            }
            Attempt::Trouble { wish, why } => {
                tracing::warn!(integration = %self.store.integration.name, reason = why.reason, message = why.message, "a page could not be read; it is tried again");
                self.counts.failed();
                run::retry(record, wish, why, now, jitter);
                None
            }
            Attempt::Stale(why) => run::restart(record, which, why),
            Attempt::Fatal(why) => Some(why),
        };
        if let Some(why) = ends {
            tracing::warn!(integration = %self.store.integration.name, reason = why.reason, message = why.message, "a run ended early");
            run::fail(record, which, why, now, jitter);
        }
        let ended = run::current(record, which).is_none();
        self.write(lease).await?;
        if ended {
            self.counts.ended(&lease.record, which);
        }
        fault::reached(Fault::PollAdvanced);
        Ok(())
    }

    /// Reads a page and stores it.
    async fn attempt(
        &self,
        run: &Run,
        until: Option<&str>,
        reading: Option<&str>,
        validators: Option<&Validators>,
    ) -> Attempt {
        let ask::Asked { answer, url, stands_for } = match self.ask_for_page(run, until, validators).await {
            Ok(asked) => asked,
            Err(attempt) => return attempt,
        };
        fault::reached(Fault::PollFetched);
        let now = Timestamp::now();
        match answer {
            Err(SendFailure::Address(refused)) => {
                Attempt::Fatal(problem("AddressRefused", &format!("spec.source.poll.request.url: {refused}")))
            }
            Err(SendFailure::Configuration(why)) => {
                Attempt::Fatal(problem("PollRefused", &format!("spec.source.poll.tls: {why}")))
            }
            Err(SendFailure::Transport(why)) => {
                Attempt::Trouble { wish: None, why: problem("PollFailing", &format!("the API does not answer: {why}")) }
            }
            Ok(Response { status, headers, body }) if status.is_success() => {
                match self.store_page(run, until, reading, (&url, &headers, &body)).await {
                    Ok(facts) => Attempt::Stored(PageFacts { validators: marked(stands_for, &headers), ..facts }),
                    Err(why) => Attempt::Fatal(why),
                }
            }
            Ok(answer) => judge(run, validators.is_some_and(|known| known.request == stands_for), &answer, now),
        }
    }

    async fn store_page(
        &self,
        run: &Run,
        until: Option<&str>,
        reading: Option<&str>,
        (url, headers, body): (&Url, &HeaderMap, &Bytes),
    ) -> Result<PageFacts, Problem> {
        let most = self.plan.max_page_bytes;
        if body.len() > most {
            let message = format!(
                "the answer is larger than {most} bytes; ask for smaller pages or raise spec.source.poll.maxPageBytes"
            );
            return Err(problem("PollUnreadable", &message));
        }
        let page = page::read(&self.plan, &run.position, url, headers, body)?;
        let mut highest = None;
        let (mut kept, mut valued): (Vec<(usize, &RawValue, Option<String>)>, _) = (Vec::new(), 0);
        let beyond = |value: &str| until.is_some_and(|until| self.plan.format().compare(value, until).is_gt());
        for (index, item) in page.items.iter().copied().enumerate() {
            let value = page::cursor_value(&self.plan, item);
            valued += usize::from(value.is_some());
            highest = self.plan.format().later(highest, value.clone());
            if !value.as_deref().is_some_and(beyond) {
                kept.push((index, item, value));
            }
        }
        if let (Some(cursor), false, 0) = (&self.plan.poll.cursor, page.items.is_empty(), valued) {
            let message = format!(
                "spec.source.poll.cursor.field: no item of page {} has {} at {:?}",
                run.pages + 1,
                self.plan.format().expected(),
                cursor.field
            );
            return Err(problem("PollUnreadable", &message));
        }
        let items = u64::try_from(page.items.len()).unwrap_or(u64::MAX);
        let facts = PageFacts { items, highest, next: page.next, mark: page.mark, ..PageFacts::default() };
        Ok(self.store_items(kept, run.pages + 1, reading, facts).await)
    }

    /// The values of the headers and of the query in the spec.
    pub(super) fn values(&self) -> Result<Values, Box<Attempt>> {
        let PollRequest { headers, query, .. } = &self.plan.poll.request;
        let told = |field: &str, error: SecretError| {
            let why = problem("PollRefused", &format!("spec.source.poll.request.{field}: {error}"));
            Box::new(ask::missing(error, why))
        };
        let of_header = |header: &HttpHeader| {
            let value = self.secrets.value(header.value.as_deref(), header.value_from.as_ref());
            value.map_err(|error| told("headers", error))
        };
        let of_parameter = |parameter: &QueryParameter| match &parameter.value_from {
            Some(from) => self.secrets.setting(&from.config_map_key_ref).map_err(|error| told("query", error)),
            None => Ok(parameter.value.clone().unwrap_or_default()),
        };
        Ok(Values {
            headers: headers.iter().flatten().map(of_header).collect::<Result<_, _>>()?,
            query: query.iter().flatten().map(of_parameter).collect::<Result<_, _>>()?,
        })
    }
}

/// What an answer that is no page means.
fn judge(run: &Run, asked_whether: bool, answer: &Response, now: Timestamp) -> Attempt {
    let code = answer.status.as_u16();
    let said = |reason: &str, what: &str| problem(reason, &format!("the API answered {code}: {what}"));
    let hint = hint(&answer.headers, now);
    match answer.status {
        StatusCode::NOT_MODIFIED if asked_whether => Attempt::NotModified,
        StatusCode::TOO_MANY_REQUESTS => Attempt::Trouble {
            wish: hint.pause(true),
            why: said("PollFailing", "it was asked too often; the run goes on when it allows that"),
        },
        status if status.is_server_error() || [408, 425].contains(&code) => {
            Attempt::Trouble { wish: hint.retry_after, why: said("PollFailing", "an error that may pass") }
        }
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE if run.position != Position::First => {
            Attempt::Stale(said(
                "PollRefused",
                "it refuses the next page, after it had done so once before in this run",
            ))
        }
        StatusCode::UNAUTHORIZED => Attempt::Fatal(said(
            "PollRefused",
            "it does not accept the credentials; correct the Secret of spec.source.poll.auth",
        )),
        StatusCode::FORBIDDEN => Attempt::Fatal(said(
            "PollRefused",
            "the credentials of spec.source.poll.auth lack a right, or the address is closed to us",
        )),
        status if status.is_redirection() => Attempt::Fatal(said("PollRefused", &redirected(&answer.headers))),
        _ => Attempt::Fatal(said("PollRefused", "correct spec.source.poll.request")),
    }
}

/// Where a redirect leads, without what may be secret in its address.
fn redirected(headers: &HeaderMap) -> String {
    let target = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).and_then(|it| Url::parse(it).ok());
    let to = target.map(|target| {
        let host = target.host_str().unwrap_or_default();
        let port = target.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!(" to {}://{host}{port}", target.scheme())
    });
    format!(
        "a redirect{}, which is not followed; give the final address in spec.source.poll.request.url",
        to.unwrap_or_default()
    )
}

/// What an answer was marked with; none where it was not.
fn marked(request: String, headers: &HeaderMap) -> Option<Validators> {
    let text = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.filter(|value| value.len() <= 256).map(str::to_owned)
    };
    let (etag, last_modified) = (text(header::ETAG), text(header::LAST_MODIFIED));
    (etag.is_some() || last_modified.is_some()).then_some(Validators { request, etag, last_modified })
}
