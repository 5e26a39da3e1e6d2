//! The `Link` header (RFC 8288). Pure.

/// The target of the link to the next page.
pub fn next_link<'a>(mut values: impl Iterator<Item = &'a str>) -> Option<String> {
    values.find_map(next_in)
}

fn next_in(value: &str) -> Option<String> {
    let mut rest = value;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let (parameters, following) = split_parameters(after);
        if parameters.iter().any(|parameter| is_next(parameter)) {
            return Some(target.trim().to_owned());
        }
        rest = following;
    }
}

/// The parameters up to the comma that ends a link, and what follows it. Within quotes neither comma nor semicolon counts.
fn split_parameters(text: &str) -> (Vec<&str>, &str) {
    let (mut parameters, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' | b',' if !quoted => {
                parameters.push(text[begin..index].trim());
                begin = index + 1;
                if byte == b',' {
                    return (parameters, &text[begin..]);
                }
            }
            _ => {}
        }
    }
    parameters.push(text[begin..].trim());
    (parameters, "")
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel")
        && value.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_other_links_and_odd_quoting() {
        for (values, expected) in [
            (&["<https://a/?page=2>; rel=\"next\", <https://a/?page=9>; rel=\"last\""][..], Some("https://a/?page=2")),
            (&["<https://a/1>; rel=prev", "</b?x=1,2>; title=\"a, b; c\"; REL=\"last Next\""], Some("/b?x=1,2")),
            (&["<https://a/9>; rel=\"last\"", "nonsense"], None),
            (&["<https://a/9>; rel=nextish"], None),
            (&["<https://a/9"], None),
            (&[], None),
        ] {
            assert_eq!(next_link(values.iter().copied()).as_deref(), expected, "{values:?}");
        }
    }
}
