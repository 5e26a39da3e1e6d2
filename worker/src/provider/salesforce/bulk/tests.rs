use serde_json::{Value, json};

use super::*;
use crate::{
    map::Record,
    provider::{
        salesforce::{Salesforce, file::file},
        table::{answer, now, records, short},
    },
};

const ID: &str = "750R0000000zlh9IAA";

/// A job for three records, `a`, `B` and `c`.
fn job() -> Bulk {
    let spec = json!({ "object": "Lead", "externalIdField": "Ext__c", "bulk": {} });
    let vendor = Salesforce::new(serde_json::from_value(spec).unwrap());
    let given: Vec<Value> = ["a", "B", "c"].map(|id| json!({ "Ext__c": id, "LastName": "Lovelace" })).to_vec();
    let made = records(&vendor, &given);
    let file = file(&made.iter().collect::<Vec<&Record>>(), "Ext__c").unwrap();
    let root = "https://acme.my.salesforce.com/services/data/v62.0/jobs/ingest".parse().unwrap();
    Bulk::new(root, opening("Lead", "upsert", Some("Ext__c")), "Ext__c", file, Duration::from_secs(600))
}

/// What a job needs, without what is the same in all requests.
fn needs(job: &Bulk) -> String {
    match job.need() {
        Need::Nothing => "nothing".into(),
        Need::Pause(pause) => format!("pause {}", pause.as_secs()),
        Need::Answer(request) => {
            let path = request.uri.path().strip_prefix("/services/data/v62.0/jobs/ingest").unwrap();
            let body = match request.headers.get("content-type").map(|kind| kind.to_str().unwrap()) {
                Some("application/json") if request.method != "GET" => {
                    String::from_utf8(request.body.to_vec()).unwrap()
                }
                Some("application/json") | None => String::new(),
                Some(kind) => kind.to_owned(),
            };
            format!("{} {} {body}", request.method, path.replace(ID, "ID")).trim().to_owned()
        }
    }
}

/// Answers one need after another; what each was, and what the answers showed.
fn run(job: &mut Bulk, answers: &[(u16, &str)]) -> (Vec<String>, Vec<String>) {
    let mut answers = answers.iter();
    let (mut needed, mut shown) = (Vec::new(), Vec::new());
    loop {
        needed.push(needs(job));
        match job.need() {
            Need::Nothing => break,
            Need::Pause(_) => job.rested(),
            Need::Answer(_) => {
                let Some((status, body)) = answers.next() else { break };
                let headers = [("sforce-limit-info", "api-usage=1/10")];
                let verdict = job.answered(&answer(*status, &headers, body), now());
                assert_eq!(verdict.hint.remaining, Some(9));
                shown.push(short(&verdict.outcome).0);
            }
        }
    }
    assert_eq!(answers.next(), None, "asked for no more than {needed:?}");
    (needed, shown)
}

fn fates(job: Bulk) -> Vec<String> {
    let told = |fate| match fate {
        Fate::Again => "again".into(),
        Fate::Known(outcome) => {
            let (word, message) = short(&outcome);
            format!("{word} {message}").trim().to_owned()
        }
    };
    Box::new(job).finish().into_iter().map(told).collect()
}

const OPENED: (u16, &str) = (200, r#"{"id":"750R0000000zlh9IAA","state":"Open"}"#);
const STORED: (u16, &str) = (201, "");
const STARTED: (u16, &str) = (200, r#"{"state":"UploadComplete"}"#);
const WORKING: (u16, &str) = (200, r#"{"state":"InProgress"}"#);
const DONE: (u16, &str) = (200, r#"{"state":"JobComplete","numberRecordsProcessed":3}"#);
const BUSY: (u16, &str) = (503, r#"[{"errorCode":"SERVER_UNAVAILABLE","message":"x"}]"#);

#[test]
fn from_opening_it_to_an_outcome_for_each_record() {
    let mut job = job();
    let taken = "\"sf__Id\",\"sf__Created\",\"Ext__c\",\"LastName\"\n\"00Q1\",\"true\",\"C\",\"Lovelace\"\n";
    let refused = "sf__Id,sf__Error,ext__c,LastName\n\
        ,\"REQUIRED_FIELD_MISSING:Lovelace: required fields are missing: [LastName]:LastName --\",b,\n\
        ,UNABLE_TO_LOCK_ROW:unable to obtain exclusive access:--,A,Lovelace\n";
    let (needed, shown) =
        run(&mut job, &[OPENED, STORED, STARTED, WORKING, WORKING, DONE, (200, taken), (200, refused)]);
    assert_eq!(
        needed,
        [
            r#"POST  {"columnDelimiter":"COMMA","contentType":"CSV","externalIdFieldName":"Ext__c","lineEnding":"LF","object":"Lead","operation":"upsert"}"#,
            "PUT /ID/batches text/csv; charset=UTF-8",
            r#"PATCH /ID {"state":"UploadComplete"}"#,
            "pause 2",
            "GET /ID",
            "pause 4",
            "GET /ID",
            "pause 8",
            "GET /ID",
            "GET /ID/successfulResults",
            // Nothing is left for the list of those that it did not get to.
            "GET /ID/failedResults",
            "nothing",
        ]
    );
    assert!(shown.iter().all(|shown| shown == "delivered"), "{shown:?}");
    assert_eq!(
        fates(job),
        [
            "retry Salesforce answered 200: UNABLE_TO_LOCK_ROW",
            "rejected Salesforce answered 200: REQUIRED_FIELD_MISSING (LastName)",
            "delivered"
        ]
    );
}

/// A name, what Salesforce answers, and what becomes of the three records.
type Case<'a> = (&'a str, &'a [(u16, &'a str)], &'a str);

/// What comes after the job was opened, its file stored and it was started.
#[test]
fn what_becomes_of_records_whatever_their_job_does() {
    let list = |rows: &str| format!("sf__Id,sf__Error,Ext__c\n{rows}");
    let (none, unnamed) = (list(""), list(",,\n"));
    let (all, two) = (list("1,,a\n2,,b\n3,,c\n"), list("1,,a\n2,,b\n"));
    let full = list(",REQUEST_LIMIT_EXCEEDED:too many:--,c\n");
    let quota = (403, r#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#);
    let gone = (404, r#"[{"errorCode":"NOT_FOUND"}]"#);
    let cases: &[Case<'_>] = &[
        ("one list says all", &[DONE, (200, &all)], "delivered, delivered, delivered"),
        ("not one", &[DONE, (200, &two), (200, &none), (200, &list("1,,c\n"))], "delivered, delivered, retry"),
        ("none", &[DONE, (200, &two), (200, &none), (200, "")], "delivered, delivered, unaccounted"),
        ("no key", &[DONE, (200, &unnamed), (200, &none), (200, "")], "again, again, again"),
        ("no CSV", &[DONE, (200, "a,b\n\u{fffd}"), (200, &two), (200, "")], "rejected, rejected, again"),
        ("one's limit", &[DONE, (200, &two), (200, &full)], "delivered, delivered, hold Quota"),
        ("failed", &[(200, r#"{"state":"Failed","errorMessage":"InvalidBatch : Ada"}"#)], "again, again, again"),
        ("aborted", &[(200, r#"{"state":"Aborted"}"#)], "retry, retry, retry"),
        (
            "never started",
            &[(200, r#"{"state":"Open"}"#), STARTED, DONE, (200, &all)],
            "delivered, delivered, delivered",
        ),
        ("gone", &[gone, (200, "")], "again, again, again"),
        ("away for a while", &[BUSY, (500, ""), DONE, BUSY, (200, &all)], "delivered, delivered, delivered"),
        ("used up", &[quota], "hold Quota, hold Quota, hold Quota"),
        ("used up too late", &[DONE, (200, &two), quota], "delivered, delivered, hold Quota"),
        ("no list", &[DONE, gone, (200, &none), (200, &none)], "again, again, again"),
        ("what is not known", &[(200, "<html>"), DONE, (200, &all)], "delivered, delivered, delivered"),
    ];
    for (name, answers, expected) in cases {
        let mut job = job();
        let (needed, _) = run(&mut job, &[&[OPENED, STORED, STARTED], *answers].concat());
        assert_eq!(needed.last().unwrap(), "nothing", "{name}: {needed:?}");
        let known: Vec<(String, String)> = Box::new(job)
            .finish()
            .iter()
            .map(|fate| match fate {
                Fate::Again => ("again".into(), String::new()),
                Fate::Known(outcome) => short(outcome),
            })
            .collect();
        let words: Vec<&str> = known.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words.join(", "), *expected, "{name}");
        assert!(known.iter().all(|(_, message)| !message.contains("Ada")), "{known:?}");
    }
}

#[test]
fn a_job_that_is_not_made_or_not_taken_leaves_its_records_to_collections() {
    let refused = |code: &str| format!(r#"[{{"errorCode":"{code}","message":"x"}}]"#);
    let (entity, quota, locks) = (refused("INVALIDENTITY"), refused("ExceededQuota"), refused("TooManyLockFailure"));
    for (answers, needed, shown, expected) in [
        (vec![(400, entity.as_str())], 2, "delivered", "again"),
        (vec![(404, "")], 2, "delivered", "again"),
        (vec![(200, r#"{"id":"../limits"}"#)], 2, "delivered", "again"),
        (vec![(401, "")], 2, "hold Credentials", "hold Credentials"),
        (vec![(400, quota.as_str())], 2, "hold Quota", "hold Quota"),
        (vec![(400, locks.as_str())], 2, "retry", "retry"),
        (vec![BUSY], 2, "limited 5s", "limited 5s"),
        // What was made is taken back.
        (vec![OPENED, (400, entity.as_str()), (200, "")], 4, "delivered", "again"),
        (vec![OPENED, BUSY, (500, "")], 4, "limited 5s", "limited 5s"),
    ] {
        let mut job = job();
        let (asked, told) = run(&mut job, &answers);
        assert_eq!((asked.len(), asked.last().unwrap().as_str()), (needed, "nothing"), "{asked:?}");
        if needed == 4 {
            assert_eq!(asked[2], r#"PATCH /ID {"state":"Aborted"}"#);
        }
        assert_eq!(told[needed.saturating_sub(3)], shown, "{answers:?}");
        assert!(fates(job).iter().all(|fate| fate.starts_with(expected)), "{answers:?}");
    }
}

#[test]
fn whoever_leaves_takes_the_job_back_and_keeps_what_is_known() {
    let left = || Outcome::Left(Failure::silent("stop"));
    for (answers, taken_back) in [
        (vec![], false),
        (vec![OPENED], true),
        (vec![OPENED, STORED], true),
        (vec![OPENED, STORED, STARTED, WORKING], true),
        (vec![OPENED, STORED, STARTED, DONE, (200, "sf__Id,Ext__c\n1,a\n")], false),
    ] {
        let mut job = job();
        run(&mut job, &answers);
        job.give_up(left());
        assert_eq!(needs(&job).contains("Aborted"), taken_back, "{answers:?}");
        if taken_back {
            // It does not matter whether that succeeds.
            job.unanswered(retry("nobody answered"));
        }
        assert_eq!(needs(&job), "nothing");
        let known = if answers.len() == 5 { "delivered" } else { "left stop" };
        assert_eq!(fates(job), [known, "left stop", "left stop"], "{answers:?}");
    }
}

#[test]
fn looks_become_rarer_and_never_rarer_than_every_half_minute() {
    let mut job = job();
    let (needed, _) = run(&mut job, &[&[OPENED, STORED, STARTED][..], &[WORKING; 40]].concat());
    let pauses: Vec<&str> = needed.iter().filter(|need| need.starts_with("pause")).map(String::as_str).collect();
    assert_eq!(pauses[..6], ["pause 2", "pause 4", "pause 8", "pause 16", "pause 30", "pause 30"]);
    assert_eq!(pauses.last(), Some(&"pause 30"));
}
