//! The allow-list: which functions expressions may call, and why not the others.
//!
//! In: a [`Purpose`]. Out: the functions to compile with. A function is on the list when one call of
//! it, on the worst input that fits the limits, ends within milliseconds, takes memory in proportion
//! to its input, and depends on nothing but its arguments. Everything else is named in [`denied`]
//! with the reason that the user is shown.

use std::sync::LazyLock;

use vrl::compiler::Function;
use vrl::diagnostic::Span;
use vrl::parser::ast::{Expr, FunctionArgument, FunctionCall, Ident, Literal, Node};

use crate::program::Purpose;

mod at_most;
mod join;
mod replace;

pub(crate) use at_most::GROWTH;

/// Functions of the standard library that any expression may call.
const ALLOWED: &[&str] = &[
    // Types.
    "array",
    "bool",
    "boolean",
    "float",
    "int",
    "integer",
    "object",
    "string",
    "timestamp",
    "is_array",
    "is_boolean",
    "is_empty",
    "is_float",
    "is_integer",
    "is_json",
    "is_null",
    "is_nullish",
    "is_object",
    "is_regex",
    "is_string",
    "is_timestamp",
    "to_bool",
    "to_float",
    "to_int",
    "to_regex",
    "to_string",
    "to_unix_timestamp",
    "from_unix_timestamp",
    // Text.
    "basename",
    "camelcase",
    "contains",
    "dirname",
    "downcase",
    "ends_with",
    "kebabcase",
    "match",
    "match_any",
    "pascalcase",
    "replace_with",
    "screamingsnakecase",
    "sieve",
    "slice",
    "snakecase",
    "split",
    "split_path",
    "starts_with",
    "strip_whitespace",
    "strlen",
    "truncate",
    "upcase",
    // Arrays and objects.
    "append",
    "chunks",
    "compact",
    "del",
    "exists",
    "filter",
    "find",
    "for_each",
    "from_entries",
    "get",
    "includes",
    "keys",
    "length",
    "map_keys",
    "map_values",
    "match_array",
    "merge",
    "object_from_array",
    "pop",
    "push",
    "range",
    "remove",
    "tally",
    "tally_value",
    "to_entries",
    "unique",
    "values",
    // Numbers.
    "abs",
    "ceil",
    "floor",
    "format_int",
    "haversine",
    "mod",
    "round",
    // Parsing and writing.
    "decode_base16",
    "decode_base64",
    "decode_percent",
    "encode_base16",
    "encode_base64",
    "encode_csv",
    "encode_json",
    "encode_percent",
    "format_timestamp",
    "parse_bytes",
    "parse_csv",
    "parse_duration",
    "parse_float",
    "parse_int",
    "parse_json",
    "parse_key_value",
    "parse_query_string",
    "parse_regex",
    "parse_regex_all",
    "parse_timestamp",
    "parse_tokens",
    "parse_url",
    "uuid_from_friendly_id",
    // Addresses.
    "ip_cidr_contains",
    "is_ipv4",
    "is_ipv6",
    // Digests.
    "crc",
    "hmac",
    "md5",
    "seahash",
    "sha1",
    "sha2",
    "sha3",
    "xxhash",
    // Failing on purpose.
    "assert",
];

/// Functions that read the clock: for what is decided or made once, at the time of the run.
const CLOCK: &[&str] = &["now"];

/// Functions whose result can be a large multiple of one argument, with the most bytes that argument
/// may have. An array of single characters takes 40 times its text; a list of all matches of a
/// regular expression up to 500 times.
pub(crate) const BOUNDED: &[(&str, &str, i64)] = &[
    ("chunks", "value", 64 << 10),
    ("parse_csv", "value", 256 << 10),
    ("parse_json", "value", 1 << 20),
    ("parse_key_value", "value", 256 << 10),
    ("parse_query_string", "value", 256 << 10),
    ("parse_regex_all", "value", 16 << 10),
    ("parse_tokens", "value", 256 << 10),
    ("split", "value", 256 << 10),
    ("format_timestamp", "format", 1 << 10),
    ("to_regex", "value", 1 << 10),
];

const RANDOM: &str =
    "a repeat of the event must give the same result; use `%event.id` or `sha2(…)`";
const OUTSIDE: &str = "an expression sees nothing but the event";
const GROWS: &str = "a small input can make it take all memory";
const FAULTY: &str = "it fails badly on odd input";
const LOGS: &str = "log formats are not supported; use `parse_regex` or `parse_json`";
const COMPRESSED: &str = "compressed data can grow without limit";
const KEYS: &str = "keys don't belong into expressions";
const UNNEEDED: &str = "it has no use in an integration";

/// Functions that VRL has and Ropeway refuses.
const DENIED: &[(&[&str], &str)] = &[
    (
        &["now"],
        "the clock would give a repeat of the event another result; use `%event.time`",
    ),
    (
        &[
            "random_bool",
            "random_bytes",
            "random_float",
            "random_int",
            "uuid_v4",
            "uuid_v7",
        ],
        RANDOM,
    ),
    (
        &[
            "dns_lookup",
            "get_env_var",
            "get_hostname",
            "get_secret",
            "get_timezone_name",
            "http_request",
            "reverse_dns",
            "set_secret",
            "remove_secret",
            "find_enrichment_table_records",
            "get_enrichment_table_record",
        ],
        OUTSIDE,
    ),
    (
        &["log"],
        "payloads don't belong into logs; use `abort \"…\"` to fail the event",
    ),
    (
        &[
            "set",
            "zip",
            "unnest",
            "flatten",
            "unflatten",
            "redact",
            "parse_yaml",
            "parse_xml",
        ],
        GROWS,
    ),
    (
        &["contains_all"],
        "it can take seconds; write `contains(…) && contains(…)`",
    ),
    (
        &[
            "format_number",
            "parse_ruby_hash",
            "decode_mime_q",
            "decode_punycode",
            "encode_punycode",
            "decode_charset",
            "encode_charset",
            "parse_cbor",
            "parse_grok",
            "parse_groks",
            "parse_user_agent",
            "parse_influxdb",
        ],
        FAULTY,
    ),
    (
        &[
            "decode_gzip",
            "decode_lz4",
            "decode_snappy",
            "decode_zlib",
            "decode_zstd",
            "encode_gzip",
            "encode_lz4",
            "encode_snappy",
            "encode_zlib",
            "encode_zstd",
        ],
        COMPRESSED,
    ),
    (&["encrypt", "decrypt", "encrypt_ip", "decrypt_ip"], KEYS),
    (
        &[
            "encode_key_value",
            "encode_logfmt",
            "parse_apache_log",
            "parse_aws_alb_log",
            "parse_aws_cloudwatch_log_subscription_message",
            "parse_aws_vpc_flow_log",
            "parse_cef",
            "parse_common_log",
            "parse_glog",
            "parse_klog",
            "parse_linux_authorization",
            "parse_logfmt",
            "parse_nginx_log",
            "parse_syslog",
        ],
        LOGS,
    ),
    (
        &["assert_eq"],
        "its message would show the payload; use `assert(a == b, message: \"…\")`",
    ),
    (
        &[
            "community_id",
            "encode_proto",
            "ip_aton",
            "ip_ntoa",
            "ip_ntop",
            "ip_pton",
            "ip_subnet",
            "ip_to_ipv6",
            "ipv6_to_ipv4",
            "match_datadog_query",
            "parse_etld",
            "parse_proto",
            "shannon_entropy",
            "strip_ansi_escape_codes",
            "tag_types_externally",
            "to_syslog_facility",
            "to_syslog_facility_code",
            "to_syslog_level",
            "to_syslog_severity",
            "type_def",
            "validate_json_schema",
        ],
        UNNEEDED,
    ),
];

type Functions = Vec<Box<dyn Function>>;

static PURE: LazyLock<Functions> = LazyLock::new(|| select(&[ALLOWED]));
static PURE_AND_INTERNAL: LazyLock<Functions> = LazyLock::new(|| with_internal(&[ALLOWED]));
static TIMED: LazyLock<Functions> = LazyLock::new(|| select(&[ALLOWED, CLOCK]));
static TIMED_AND_INTERNAL: LazyLock<Functions> = LazyLock::new(|| with_internal(&[ALLOWED, CLOCK]));

/// Whether an expression for this purpose may read the clock.
fn may_read_clock(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Filter | Purpose::Transform | Purpose::Normalize => true,
        Purpose::Key | Purpose::Outcome => false,
    }
}

pub(crate) fn allowed(purpose: Purpose) -> &'static [Box<dyn Function>] {
    if may_read_clock(purpose) {
        &TIMED
    } else {
        &PURE
    }
}

/// With the size check that [`bound_arguments`] puts around arguments.
pub(crate) fn allowed_and_internal(purpose: Purpose) -> &'static [Box<dyn Function>] {
    if may_read_clock(purpose) {
        &TIMED_AND_INTERNAL
    } else {
        &PURE_AND_INTERNAL
    }
}

/// The names that an expression for `purpose` may call, sorted.
#[must_use]
pub fn names(purpose: Purpose) -> Vec<&'static str> {
    let mut names: Vec<&str> = allowed(purpose).iter().map(|f| f.identifier()).collect();
    names.sort_unstable();
    names
}

/// Why a function of VRL is not available, for those that are not.
#[must_use]
pub fn denied(name: &str) -> Option<&'static str> {
    DENIED
        .iter()
        .find(|(names, _)| names.contains(&name))
        .map(|(_, reason)| *reason)
}

fn select(lists: &[&[&str]]) -> Functions {
    let listed = |f: &Box<dyn Function>| lists.iter().any(|list| list.contains(&f.identifier()));
    let mut functions: Functions = vrl::stdlib::all().into_iter().filter(listed).collect();
    functions.push(Box::new(join::Join));
    functions.push(Box::new(replace::Replace));
    functions
}

fn with_internal(lists: &[&[&str]]) -> Functions {
    let mut functions = select(lists);
    functions.push(Box::new(at_most::AtMost));
    functions
}

/// Wraps the arguments of `call` that [`BOUNDED`] names in a size check; says whether there were any.
pub(crate) fn bound_arguments(call: &mut FunctionCall) -> bool {
    let name = call.ident.inner().to_string();
    let mut changed = false;
    for (_, keyword, limit) in BOUNDED.iter().filter(|(function, ..)| *function == name) {
        if let Some(argument) = argument(call, &name, keyword) {
            let span = argument.span();
            let (_, FunctionArgument { ident, expr }) = argument.clone().take();
            let expr = at_most(expr, *limit, span);
            *argument = Node::new(span, FunctionArgument { ident, expr });
            changed = true;
        }
    }
    changed
}

/// The argument for a parameter, given by keyword or by position.
fn argument<'a>(
    call: &'a mut FunctionCall,
    name: &str,
    keyword: &str,
) -> Option<&'a mut Node<FunctionArgument>> {
    let named = |argument: &Node<FunctionArgument>, keyword: &str| {
        let ident = argument.inner().ident.as_ref();
        ident.is_some_and(|ident| &**ident.inner() == keyword)
    };
    if let Some(at) = call.arguments.iter().position(|a| named(a, keyword)) {
        return call.arguments.get_mut(at);
    }
    let function = TIMED.iter().find(|f| f.identifier() == name)?;
    let parameters = function.parameters();
    // As the compiler counts: a keyword takes its parameter's turn only where that is next.
    let mut next = 0;
    for argument in &mut call.arguments {
        let turn = parameters.get(next).map(|parameter| parameter.keyword);
        if argument.inner().ident.is_none() {
            if turn == Some(keyword) {
                return Some(argument);
            }
            next += 1;
        } else if turn.is_some_and(|turn| named(argument, turn)) {
            next += 1;
        }
    }
    None
}

fn at_most(expr: Node<Expr>, limit: i64, span: Span) -> Node<Expr> {
    let plain = |expr| Node::new(span, FunctionArgument { ident: None, expr });
    let limit = Expr::Literal(Node::new(span, Literal::Integer(limit)));
    let call = FunctionCall {
        ident: Node::new(span, Ident::new(at_most::NAME)),
        abort_on_error: false,
        arguments: vec![plain(expr), plain(Node::new(span, limit))],
        closure: None,
    };
    Node::new(span, Expr::FunctionCall(Node::new(span, call)))
}

#[cfg(test)]
mod tests;
