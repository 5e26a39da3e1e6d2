//! The request for a page. Pure; what Secrets hold is handed in, and credentials are put on afterwards.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use ropeway_crds::{
    cursor::CursorFormat,
    names::hash,
    pointer::steps,
    poll::{Position, Run, Validators},
    report::Problem,
    source::{Pagination, PollMethod},
};
use serde_json::{Map, Value};
use url::Url;

use super::{
    page::{first_page, same_origin},
    plan::Plan,
    run::problem,
};
use ropeway_auth::http::Request;

/// A request with what stands for it.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The request, without credentials.
    pub request: Request,
    /// Its address.
    pub url: Url,
    /// What stands for it: equal for equal requests.
    pub stands_for: String,
}

/// What the values in the spec's request are, whether they are written there or mounted.
#[derive(Clone, Default)]
pub struct Values {
    /// Those of the headers, in their order.
    pub headers: Vec<String>,
    /// Those of the query parameters, in their order.
    pub query: Vec<String>,
}

/// The parts of a request that parameters change.
struct Draft {
    pairs: Vec<(String, String)>,
    body: Option<Value>,
}

impl Draft {
    /// Puts a parameter into the query, or, where its name is a JSON pointer, into the body.
    fn set(&mut self, name: &str, text: &str, in_body: fn(&str) -> Value) {
        if !name.starts_with('/') {
            self.pairs.retain(|(known, _)| known != name);
            self.pairs.push((name.to_owned(), text.to_owned()));
            return;
        }
        let mut node = self.body.get_or_insert_with(|| Value::Object(Map::new()));
        for step in steps(name) {
            if !node.is_object() {
                *node = Value::Object(Map::new());
            }
            let Some(object) = node.as_object_mut() else { return };
            node = object.entry(step).or_insert(Value::Null);
        }
        *node = in_body(text);
    }
}

/// The request for the page at which a run stands. `until` is the end of its range; `validators` are what the last
/// answer was marked with.
///
/// # Errors
/// If what is asked for can't be put into a request.
pub fn request(
    plan: &Plan,
    run: &Run,
    until: Option<&str>,
    values: &Values,
    validators: Option<&Validators>,
) -> Result<PageRequest, Problem> {
    let spec = &plan.poll.request;
    let refuse = |message: &str| problem("PollRefused", message);
    let base = Url::parse(&spec.url).map_err(|_| refuse("spec.source.poll.request.url is no URL"))?;
    let mut url = base.clone();
    let mut draft = Draft { pairs: Vec::new(), body: None };
    if let Some(body) = &spec.body {
        let body = serde_json::from_str(body).map_err(|_| refuse("spec.source.poll.request.body is no JSON"))?;
        draft.body = Some(body);
    }
    match &run.position {
        Position::Url(next) => {
            // The record is untrusted: it must not lead credentials elsewhere.
            url = Url::parse(next)
                .ok()
                .filter(|next| same_origin(&base, next))
                .ok_or_else(|| problem("PollPagination", "the recorded page is not of the API's own host"))?;
        }
        position => {
            draft.pairs = base.query_pairs().map(|(name, value)| (name.into(), value.into())).collect();
            for (parameter, value) in plan.poll.request.query.iter().flatten().zip(&values.query) {
                draft.pairs.push((parameter.name.clone(), value.clone()));
            }
            parameters(plan, run, until, position, &mut draft);
            url.set_query(None);
            if !draft.pairs.is_empty() {
                url.query_pairs_mut().extend_pairs(&draft.pairs);
            }
        }
    }
    let body: Bytes = draft.body.map(|body| body.to_string().into()).unwrap_or_default();
    let stands_for = hash(&[url.as_str().as_bytes(), b"\n", &body].concat(), 16);
    let mut made = fields(plan, &values.headers, !body.is_empty())?;
    if let Some(validators) = validators.filter(|known| run.position == Position::First && known.request == stands_for)
    {
        let Validators { request: _, etag, last_modified } = validators;
        for (name, value) in [(header::IF_NONE_MATCH, etag), (header::IF_MODIFIED_SINCE, last_modified)] {
            if let Some(value) = value.as_deref().and_then(|value| HeaderValue::try_from(value).ok()) {
                made.insert(name, value);
            }
        }
    }
    let method = match spec.method.unwrap_or_default() {
        PollMethod::Get => Method::GET,
        PollMethod::Post => Method::POST,
    };
    let uri = Uri::try_from(url.as_str()).map_err(|_| refuse("spec.source.poll.request.url can't be asked"))?;
    Ok(PageRequest { request: Request { method, uri, headers: made, body }, url, stands_for })
}

fn parameters(plan: &Plan, run: &Run, until: Option<&str>, position: &Position, draft: &mut Draft) {
    if let Some(cursor) = &plan.poll.cursor {
        let kind = kind(plan.format());
        if let Some(from) = &run.from {
            draft.set(&cursor.param, from, kind);
        }
        if let (Some(param), Some(until)) = (&cursor.until_param, until) {
            draft.set(param, until, kind);
        }
    }
    let Some(Pagination { link: _, next_url: _, cursor, page, offset, last_item }) = &plan.poll.pagination else {
        return;
    };
    if let (Some(tokens), Position::Token(token)) = (cursor, position) {
        draft.set(&tokens.param, token, text);
    }
    if let (Some(pages), Position::Token(last)) = (last_item, position) {
        draft.set(&pages.param, last, text);
    }
    let number = |first: u64| match position {
        Position::Number(number) => *number,
        _ => first,
    };
    if let Some(page) = page {
        draft.set(&page.param, &number(first_page(page.start)).to_string(), numeric);
        if let (Some(param), Some(size)) = (&page.size_param, page.size) {
            draft.set(param, &size.to_string(), numeric);
        }
    }
    if let Some(offset) = offset {
        draft.set(&offset.param, &number(0).to_string(), numeric);
        draft.set(&offset.limit_param, &offset.limit.to_string(), numeric);
    }
}

/// How a value of the cursor stands in a body: as a number where its format is one.
fn kind(format: CursorFormat) -> fn(&str) -> Value {
    match format {
        CursorFormat::Text | CursorFormat::Rfc3339 => text,
        CursorFormat::Number | CursorFormat::EpochSeconds | CursorFormat::EpochMilliseconds => numeric,
    }
}

fn text(text: &str) -> Value {
    text.into()
}

fn numeric(text: &str) -> Value {
    serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| text.into(), Value::Number)
}

fn fields(plan: &Plan, values: &[String], has_body: bool) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (given, value) in plan.poll.request.headers.iter().flatten().zip(values) {
        let name = HeaderName::try_from(given.name.as_str());
        let mut value = HeaderValue::try_from(value.as_str());
        if let Ok(value) = &mut value {
            value.set_sensitive(given.value_from.is_some());
        }
        let (Ok(name), Ok(value)) = (name, value) else {
            let message = format!("spec.source.poll.request.headers: {} can't be sent", given.name);
            return Err(problem("PollRefused", &message));
        };
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
