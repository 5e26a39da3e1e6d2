//! Any cut of a file gives the same rows, and reading on at any of their ends gives the rest.

use proptest::prelude::*;
use ropeway_crds::source::BatchFormat;
use serde_json::json;

use super::*;

const LIMIT: usize = 64;

fn format(value: serde_json::Value) -> BatchFormat {
    serde_json::from_value(value).unwrap()
}

type All = (Vec<Row>, Result<(), FileFault>, Vec<String>);

/// Reads a file in pieces that end at these places.
fn read(format: &BatchFormat, file: &[u8], from: (Mark, &[String]), cuts: &[usize]) -> All {
    let mut reader = Rows::new(format, LIMIT, from.0, from.1).unwrap();
    let file = &file[usize::try_from(from.0.offset).unwrap()..];
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (file.len() + 1)).chain([0, file.len()]).collect();
    cuts.sort_unstable();
    let mut rows = Vec::new();
    let mut fed = Ok(());
    for pair in cuts.windows(2) {
        fed = fed.and_then(|()| reader.feed(&file[pair[0]..pair[1]], &mut rows));
    }
    let ended = fed.and_then(|()| reader.finish(&mut rows));
    (rows, ended, reader.columns().to_vec())
}

fn whole(format: &BatchFormat, file: &[u8]) -> All {
    read(format, file, (Mark::default(), &[]), &[])
}

fn data(rows: &[Row]) -> Vec<String> {
    let text = |row: &Row| match &row.content {
        Content::Data(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Content::Refused(_, why) => format!("refused in line {}: {why}", row.at.line + 1),
    };
    rows.iter().map(text).collect()
}

#[test]
fn lines_may_end_in_any_way_and_too_long_ones_are_refused() {
    let long = format!("{{\"long\": \"{}\"}}", "x".repeat(100));
    let file = format!("\u{feff}{{\"a\":1}}\r\n\n  \n{{\"a\":2}}\n{long}\nnonsense\n{{\"a\":3}}");
    let (rows, ended, _) = whole(&format(json!({ "ndjson": {} })), file.as_bytes());
    ended.unwrap();
    let refused = "refused in line 5: it is 112 bytes long; maxRowBytes is 64";
    assert_eq!(data(&rows), [r#"{"a":1}"#, r#"{"a":2}"#, refused, "nonsense", r#"{"a":3}"#]);
    assert_eq!(rows[1].at, Mark { offset: 16, row: 1, line: 3 }, "blank lines are no part of the row behind them");
    assert_eq!(rows[4].end.offset, file.len() as u64);
}

#[test]
fn csv_becomes_objects_of_strings_and_ragged_rows_are_refused() {
    let file = concat!(
        "\u{feff}id,\"full, name\"\r\n",
        "1,\"O\"\"Hara\"\r\n",
        "2,\"two\nlines\"\n",
        "\n",
        "3\n",
        "4,a,b\n",
        "5,ä\n",
    );
    let (rows, ended, columns) = whole(&format(json!({ "csv": {} })), file.as_bytes());
    ended.unwrap();
    assert_eq!(columns, ["id", "full, name"]);
    assert_eq!(
        data(&rows),
        [
            r#"{"id":"1","full, name":"O\"Hara"}"#,
            r#"{"id":"2","full, name":"two\nlines"}"#,
            "refused in line 6: it has 1 columns where the header has 2",
            "refused in line 7: it has 3 columns where the header has 2",
            r#"{"id":"5","full, name":"ä"}"#,
        ]
    );
}

#[test]
fn csv_may_have_other_marks_and_no_header() {
    let spec = json!({ "csv": { "delimiter": "\\t", "quote": "'", "header": "Absent", "columns": ["a", "b"] } });
    let (rows, ended, _) = whole(&format(spec), b"1\t'x\ty'\n\xff\t2\n");
    ended.unwrap();
    assert_eq!(data(&rows), [r#"{"a":"1","b":"x\ty"}"#, "refused in line 2: it is not UTF-8"]);
    let spec = json!({ "csv": { "delimiter": ";;" } });
    assert!(matches!(Rows::new(&format(spec), LIMIT, Mark::default(), &[]), Err(FileFault::Format(_))));
}

#[test]
fn a_file_that_can_be_no_csv_as_a_whole_is_a_fault() {
    let needs = json!({ "csv": { "columns": ["id", "email"] } });
    for (spec, file, wanted) in [
        (
            json!({ "csv": {} }),
            "a,b,a\n1,2,3\n",
            "the header in line 1 can't be used: the name of column 3 stands there twice",
        ),
        (json!({ "csv": {} }), "a,,c\n", "the header in line 1 can't be used: column 2 has no name"),
        (needs, "id,mail\n1,2\n", "the header in line 1 can't be used: it lacks the column \"email\" of csv.columns"),
        (
            json!({ "csv": {} }),
            "a,b\n1,2\n3,\"4\n5,6\n",
            "the row in line 3 opens a quote that is never closed; what follows can't be told apart",
        ),
    ] {
        let (_, ended, _) = whole(&format(spec), file.as_bytes());
        assert_eq!(ended.unwrap_err().to_string(), wanted, "{file:?}");
    }
}

#[test]
fn a_quote_that_swallows_lines_says_so() {
    let file = format!("a,b\n1,\"{}\"\n2,3\n", "x\n".repeat(60));
    let (rows, ended, _) = whole(&format(json!({ "csv": {} })), file.as_bytes());
    ended.unwrap();
    let first =
        "refused in line 2: it is 125 bytes long; maxRowBytes is 64 and takes 61 lines; is a quote \" left open?";
    assert_eq!(data(&rows), [first, r#"{"a":"2","b":"3"}"#]);
}

#[test]
fn elements_of_an_array_come_as_they_stand_there() {
    let file = br#" [ {"a": [1, {"b": "]}\"\\"}]}, 7 ,"text", {"a":
2}
]
"#;
    let (rows, ended, _) = whole(&format(json!({ "jsonArray": {} })), file);
    ended.unwrap();
    assert_eq!(data(&rows), [r#"{"a": [1, {"b": "]}\"\\"}]}"#, "7", r#""text""#, "{\"a\":\n2}"]);
    assert_eq!(rows[3].at.line, 0);
    assert_eq!(rows[3].end.line, 1);
    let inner = json!({ "jsonArray": { "pointer": "/data/the items" } });
    let file = br#"{"items": [9], "meta": {"data": [1,"}"]}, "n": 1.5e3 ,"data": {"x": "y", "the\u0020items": [{"a":1}], "z": [2]}}"#;
    let (rows, ended, _) = whole(&format(inner), file);
    ended.unwrap();
    assert_eq!(data(&rows), [r#"{"a":1}"#]);
}

#[test]
fn an_array_that_is_broken_or_missing_is_a_fault() {
    let pointer = || json!({ "jsonArray": { "pointer": "/items" } });
    let plain = || json!({ "jsonArray": {} });
    for (spec, file, wanted) in [
        (plain(), "[{}\n,", "the JSON array is broken in line 2: the file ends before the array does"),
        (plain(), "[{} {}]", "the JSON array is broken in line 1: a comma or ] is missing after an element"),
        (plain(), "[{},,{}]", "the JSON array is broken in line 1: an element is missing"),
        (plain(), "[{}][{}]", "the JSON array is broken in line 1: there is more after the array"),
        (plain(), "{}", "there is no JSON array at the beginning: something else stands in line 1"),
        (plain(), "", "there is no JSON array at the beginning: the file ends in line 1"),
        (pointer(), "{\"a\": 1}", "there is no JSON array at /items: the name is not found in line 1"),
        (pointer(), "{\"items\": {}}", "there is no JSON array at /items: something else stands in line 1"),
    ] {
        let (_, ended, _) = whole(&format(spec), file.as_bytes());
        assert_eq!(ended.unwrap_err().to_string(), wanted, "{file:?}");
    }
}

/// Files of the kinds that matter: much of what steers a format, little else.
fn files() -> impl Strategy<Value = (BatchFormat, Vec<u8>)> {
    let bytes = |alphabet: &'static [u8]| prop::collection::vec(prop::sample::select(alphabet), 0..300);
    let array = prop::collection::vec(
        prop::sample::select(vec![
            "{}",
            "{\"a\":\"]\\\"\"}",
            "12",
            "\"x,\"",
            "[[1],2]",
            " \n{\"b\":{}} ",
            "{\"l\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
        ]),
        0..20,
    );
    prop_oneof![
        bytes(b"a1{}\" \r\n\n\xef\xbb\xbf").prop_map(|file| (format(json!({ "ndjson": {} })), file)),
        bytes(b"ab,,\"\"\r\n\n\n").prop_map(|file| {
            let csv = json!({ "csv": { "header": "Absent", "columns": ["x", "y"] } });
            (format(csv), file)
        }),
        bytes(b"ab,,\"\r\n\n\n\xef\xbb\xbf")
            .prop_map(|file| (format(json!({ "csv": {} })), [b"x,y\n", file.as_slice()].concat())),
        array.prop_map(|items| (format(json!({ "jsonArray": {} })), format!(" [{}]\n", items.join(",")).into_bytes())),
        bytes(b"[]{}\"\\, :1\n")
            .prop_map(|file| (format(json!({ "jsonArray": {} })), [b"[", file.as_slice()].concat())),
        bytes(b"{}[]\"a:, ").prop_map(|file| {
            (format(json!({ "jsonArray": { "pointer": "/a" } })), [b"{\"a\":[", file.as_slice()].concat())
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_cut_of_a_file_gives_the_same_rows((format, file) in files(), cuts in prop::collection::vec(any::<usize>(), 0..20)) {
        let wanted = whole(&format, &file);
        prop_assert_eq!(&read(&format, &file, (Mark::default(), &[]), &cuts), &wanted);
        let singly: Vec<usize> = (0..file.len()).collect();
        prop_assert_eq!(&read(&format, &file, (Mark::default(), &[]), &singly), &wanted);
        for pair in wanted.0.windows(2) {
            prop_assert!(pair[0].end.offset <= pair[1].at.offset, "rows overlap: {:?}", pair);
            prop_assert_eq!(pair[0].at.row + 1, pair[1].at.row);
        }
    }

    #[test]
    fn reading_on_at_the_end_of_any_row_gives_the_rest((format, file) in files(), cuts in prop::collection::vec(any::<usize>(), 0..5)) {
        let (rows, ended, columns) = whole(&format, &file);
        for (place, row) in rows.iter().enumerate() {
            let (rest, rest_ended, _) = read(&format, &file, (row.end, &columns), &cuts);
            prop_assert_eq!(&rest, &rows[place + 1..]);
            prop_assert_eq!(&rest_ended, &ended);
        }
    }
}
