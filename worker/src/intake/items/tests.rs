use super::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(axum::http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    headers
}

fn form(split: Option<&str>, id_place: IdPlace) -> Form {
    Form { split: split.map(str::to_owned), id_place }
}

type Told = (String, Option<String>, Option<String>);

/// What each event is: its body, its id, its other id.
fn taken(content_type: &str, body: &str, form: &Form) -> Result<Vec<Told>, Refusal> {
    let headers = headers(&[("content-type", content_type)]);
    let body = Bytes::copy_from_slice(body.as_bytes());
    let items = items(&headers, &body, Some("r1".into()), form)?;
    let told = |item: Item<'_>| (String::from_utf8(item.body.to_vec()).unwrap(), item.known.id, item.known.other_id);
    Ok(items.into_iter().map(told).collect())
}

#[test]
fn a_body_is_one_event_and_keeps_its_bytes() {
    let body = "{\"n\": 1.10,\r\n \"name\": \"J\u{f6}rg\"}";
    let plain = taken("application/json", body, &form(None, IdPlace::Unknown)).unwrap();
    assert_eq!(plain, [(body.to_owned(), Some("r1".into()), None)]);
}

#[test]
fn a_body_is_split_where_the_array_is_and_each_element_keeps_its_bytes() {
    let elements =
        [("{\"a\": 1.0}".to_owned(), None, Some("r1#0".into())), ("{ }".to_owned(), None, Some("r1#1".into()))];
    let cases = [
        ("", " [{\"a\": 1.0} ,{ }] "),
        ("/data/items", "{\"x\":[0],\"data\":{\"items\":[{\"a\": 1.0},{ }]}}"),
        ("/a~1b/c~0d", "{\"a/b\":{\"c~d\":[{\"a\": 1.0},{ }]}}"),
    ];
    for (pointer, body) in cases {
        assert_eq!(
            taken("application/json", body, &form(Some(pointer), IdPlace::Unknown)).unwrap(),
            elements,
            "{body}"
        );
    }
    assert_eq!(taken("application/json", "[]", &form(Some(""), IdPlace::Unknown)).unwrap(), []);
}

#[test]
fn what_has_no_array_there_is_refused_as_what_it_is() {
    let refusal = |content_type: &str, pointer: &str, body: &str| {
        taken(content_type, body, &form(Some(pointer), IdPlace::Unknown)).unwrap_err()
    };
    for (pointer, body) in [
        ("", "{}"),
        ("", "nope"),
        ("", "[{}"),
        ("/items", "{}"),
        ("/items", "[]"),
        ("/items", "{\"items\":{}}"),
        ("/a/b", "{\"a\":1}"),
    ] {
        assert_eq!(refusal("application/json; charset=utf-8", pointer, body), Refusal::NoItems, "{pointer} {body}");
    }
    assert_eq!(refusal("application/x-www-form-urlencoded", "", "a=1"), Refusal::NotJson);
    assert_eq!(refusal("application/vnd.api+json", "", "a=1"), Refusal::NoItems);
}

#[test]
fn an_element_that_is_larger_than_an_event_may_be_refuses_all_of_them() {
    let large = format!("[{{}},{{\"a\":\"{}\"}}]", "x".repeat(256 << 10));
    assert_eq!(taken("application/json", &large, &form(Some(""), IdPlace::Unknown)).unwrap_err(), Refusal::TooLarge);
}

#[test]
fn ids_are_where_the_vendor_puts_them() {
    let by = |id_place, body: &str| {
        let taken = taken("application/json", body, &form(Some(""), id_place)).unwrap();
        taken.into_iter().map(|(_, _, other)| other.unwrap_or_default()).collect::<Vec<_>>()
    };
    let ids = by(IdPlace::Field("sg_event_id"), r#"[{"sg_event_id":"a"},{"sg_event_id":null},{"sg_event_id":""},{}]"#);
    assert_eq!(ids, ["a", "r1#1", "r1#2", "r1#3"]);
    let event = |change: &str| {
        format!(
            r#"[{{"eventId":1,"subscriptionId":2,"portalId":3,"objectId":4,"occurredAt":5,"attemptNumber":0{change}}}]"#
        )
    };
    let plain = by(IdPlace::HubSpot, &event(""));
    assert_eq!(plain, ["3:2:4::5:1"]);
    assert_eq!(by(IdPlace::HubSpot, &event(",\"propertyName\":\"email\"")), ["3:2:4:email:5:1"]);
    let again = event("").replace("\"attemptNumber\":0", "\"attemptNumber\":3");
    assert_eq!(by(IdPlace::HubSpot, &again), plain);
    assert_eq!(by(IdPlace::HubSpot, r#"[{"eventId":1}]"#), ["r1#0"]);
}

#[test]
fn cloud_events_are_taken_in_all_three_forms() {
    let headers =
        headers(&[("content-type", "application/json"), ("ce-id", "caf%C3%A9"), ("ce-source", "/s"), ("ce-type", "t")]);
    let binary = items(&headers, &Bytes::from_static(b"{}"), None, &form(None, IdPlace::Unknown)).unwrap();
    assert_eq!((binary[0].known.id.as_deref(), binary[0].known.source.as_deref()), (Some("caf\u{e9}"), Some("/s")));
    assert!(binary[0].known.attributes.contains(&("ce-type", "t")));
    let one = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}"#;
    let structured = taken("application/cloudevents+json", one, &form(None, IdPlace::Unknown)).unwrap();
    assert_eq!(structured, [(one.to_owned(), Some("1".into()), None)]);
    let two = one.replace("\"1\"", "\"2\"");
    let batch = taken("application/cloudevents-batch+json", &format!("[{one},{two}]"), &form(None, IdPlace::Unknown));
    assert_eq!(batch.unwrap(), [(one.to_owned(), Some("1".into()), None), (two, Some("2".into()), None)]);
    let broken = taken("application/cloudevents-batch+json", &format!("[{one},{{}}]"), &form(None, IdPlace::Unknown));
    assert_eq!(broken.unwrap_err(), Refusal::NotAnEvent);
}

#[test]
fn deep_nesting_and_wide_objects_are_refused_or_taken_without_harm() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let taken_deep = taken("application/json", &format!("[{{\"a\":{deep}}}]"), &form(Some(""), IdPlace::HubSpot));
    // Its text is cut out; whether it can be an event is for the parser to say.
    assert!(matches!(taken_deep, Ok(_) | Err(Refusal::NoItems)));
    assert!(taken("application/json", &deep, &form(Some("/a"), IdPlace::HubSpot)).is_err());
}
