//! Reads a page: the items in an answer, the value of the cursor in each, and which page comes next. Pure. Items are kept
//! byte by byte: a number that is too large for a float must not change on its way.

use http::{HeaderMap, header};
use ropeway_crds::{
    cursor::LONGEST_VALUE,
    names::hash,
    poll::Position,
    report::Problem,
    source::{LastItemPages, Pagination, Poll},
};
use serde_json::value::RawValue;
use url::Url;

use super::{link::next_link, plan::Plan, run::problem};
use crate::raw_json::{at, elements};

/// The longest token or URL of a next page, in bytes. It stands in the record.
const LONGEST_PLACE: usize = 8 << 10;

/// What an answer holds.
#[derive(Debug)]
pub struct Page<'a> {
    /// The items.
    pub items: Vec<&'a RawValue>,
    /// The page after it.
    pub next: Option<Position>,
    /// What stands for it, or for the page after it.
    pub mark: String,
}

/// Reads an answer to a request for the page at `position`, which went to `url`.
///
/// # Errors
/// What is not as the spec says, with the field that says it.
pub fn read<'a>(
    plan: &Plan,
    position: &Position,
    url: &Url,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Page<'a>, Problem> {
    let unreadable = |message: &str| problem("PollUnreadable", message);
    let text = std::str::from_utf8(body).map_err(|_| unreadable("the answer is not UTF-8 text"))?;
    let whole: &RawValue = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| unreadable(&format!("the answer is not JSON (line {})", error.line())))?;
    let pointer = plan.poll.items.as_deref().unwrap_or_default();
    let found = at(whole, pointer);
    let missing = || unreadable(&format!("spec.source.poll.items: the answer has nothing at {pointer:?}"));
    let found = found.ok_or_else(missing)?;
    let items = elements(found).ok_or_else(|| match pointer {
        "" => unreadable("the answer is no array; name the array in it with spec.source.poll.items, such as /data"),
        _ => unreadable(&format!("spec.source.poll.items: what stands at {pointer:?} in the answer is no array")),
    })?;
    let next = next(&plan.poll, position, url, headers, whole, &items)?;
    let mark = match &next {
        // Where pages are counted, the same items again mean that the count is not looked at.
        Some(Position::Number(_)) => hash(found.get().as_bytes(), 16),
        Some(next) => hash(format!("{next:?}").as_bytes(), 16),
        None => String::new(),
    };
    Ok(Page { items, next, mark })
}

fn next(
    poll: &Poll,
    position: &Position,
    url: &Url,
    headers: &HeaderMap,
    whole: &RawValue,
    items: &[&RawValue],
) -> Result<Option<Position>, Problem> {
    let Some(Pagination { link, next_url, cursor, page, offset, last_item }) = &poll.pagination else {
        return Ok(None);
    };
    if link.is_some() {
        let values = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
        return next_link(values).map(|target| to_url(poll, url, &target)).transpose();
    }
    if let Some(next_url) = next_url {
        let target = place(whole, "nextUrl.pointer", &next_url.pointer)?;
        return target.map(|target| to_url(poll, url, &target)).transpose();
    }
    if let Some(cursor) = cursor {
        return Ok(place(whole, "cursor.pointer", &cursor.pointer)?.map(Position::Token));
    }
    if let Some(pages) = last_item {
        return after_last(pages, whole, items);
    }
    // Only a page without items is the last one: an API may give fewer than it was asked for, and more after that.
    let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
    let number = |first: u64| match position {
        Position::Number(number) => *number,
        _ => first,
    };
    Ok(match (page, offset) {
        (Some(page), _) if count > 0 => Some(Position::Number(number(first_page(page.start)).saturating_add(1))),
        (_, Some(_)) if count > 0 => Some(Position::Number(number(0).saturating_add(count))),
        _ => None,
    })
}

/// The page behind the last of these items.
fn after_last(pages: &LastItemPages, whole: &RawValue, items: &[&RawValue]) -> Result<Option<Position>, Problem> {
    let LastItemPages { field, param: _, more } = pages;
    let wrong = |field: &str, what: &str| {
        problem("PollUnreadable", &format!("spec.source.poll.pagination.lastItem.{field}: {what}"))
    };
    let goes_on = match more.as_ref().map(|more| (more, at(whole, more).map(RawValue::get))) {
        None => !items.is_empty(),
        Some((_, Some("true"))) => true,
        Some((_, Some("false"))) => false,
        // To take this for the end would leave out every other page without a word.
        Some((more, _)) => {
            return Err(wrong("more", &format!("neither true nor false stands at {more:?} in the answer")));
        }
    };
    if !goes_on {
        return Ok(None);
    }
    let last = items.last().ok_or_else(|| wrong("more", "the answer has no items and says that there are more"))?;
    let value = at(last, field).and_then(scalar).filter(|value| !value.is_empty() && value.len() <= LONGEST_PLACE);
    let missing = || wrong("field", &format!("the last item of the page has no short text or number at {field:?}"));
    value.map(|value| Some(Position::Token(value))).ok_or_else(missing)
}

/// The number of the first page.
pub fn first_page(start: Option<i32>) -> u64 {
    start.and_then(|start| u64::try_from(start).ok()).unwrap_or(1)
}

/// What stands for the next page in the answer.
fn place(whole: &RawValue, field: &str, pointer: &str) -> Result<Option<String>, Problem> {
    let Some(found) = at(whole, pointer) else { return Ok(None) };
    match scalar(found) {
        Some(text) if text.len() <= LONGEST_PLACE => Ok(Some(text).filter(|text| !text.is_empty())),
        None if ["null", "false"].contains(&found.get()) => Ok(None),
        _ => Err(problem(
            "PollUnreadable",
            &format!("spec.source.poll.pagination.{field}: what stands at {pointer:?} in the answer is no short text"),
        )),
    }
}

/// The page at an address, which must be the API's own: credentials go along.
fn to_url(poll: &Poll, from: &Url, target: &str) -> Result<Position, Problem> {
    let wrong = |message: String| problem("PollPagination", &message);
    let mut url = from.join(target).map_err(|_| wrong("the answer's next page is no URL".into()))?;
    if !same_origin(from, &url) {
        let host = url.host_str().unwrap_or_default();
        return Err(wrong(format!(
            "the answer's next page is at {}://{host}{}, where our credentials don't go; only pages of {}://{} are followed",
            url.scheme(),
            url.port().map(|port| format!(":{port}")).unwrap_or_default(),
            from.scheme(),
            from.host_str().unwrap_or_default(),
        )));
    }
    url.set_fragment(None);
    // A key that an API writes into its links must not be kept.
    if let Some(key) = poll.auth.as_ref().and_then(|auth| auth.api_key.as_ref()) {
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| *name != key.name)
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        if kept.len() != url.query_pairs().count() {
            url.query_pairs_mut().clear().extend_pairs(kept);
        }
    }
    match url.as_str().len() <= LONGEST_PLACE {
        true => Ok(Position::Url(url.into())),
        false => Err(wrong(format!("the URL of the next page is longer than {LONGEST_PLACE} bytes"))),
    }
}

/// Whether two addresses are of one scheme, host and port.
pub fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
        && other.username().is_empty()
        && other.password().is_none()
}

/// The value of the cursor in an item, if it has one.
pub fn cursor_value(plan: &Plan, item: &RawValue) -> Option<String> {
    let field = &plan.poll.cursor.as_ref()?.field;
    let value = scalar(at(item, field)?).filter(|value| value.len() <= LONGEST_VALUE)?;
    plan.format().is_value(&value).then_some(value)
}

/// A string or a number as text.
fn scalar(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok(),
        b'-' | b'0'..=b'9' => Some(text.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
