//! The lists themselves: allowed, bounded, and denied with the reason that the user is shown.
//!
//! Every function of the pinned VRL is on exactly one of them; a test compares.

/// Functions of the standard library that any expression may call.
#[rustfmt::skip]
pub(super) const ALLOWED: &[&str] = &[
    // Types.
    "array", "bool", "float", "int", "object", "string", "timestamp",
    "is_array", "is_boolean", "is_empty", "is_float", "is_integer", "is_json", "is_null",
    "is_nullish", "is_object", "is_regex", "is_string", "is_timestamp",
    "to_bool", "to_float", "to_int", "to_regex", "to_string", "to_unix_timestamp",
    "from_unix_timestamp",
    // Text.
    "basename", "camelcase", "contains", "dirname", "downcase", "ends_with", "kebabcase", "match",
    "match_any", "pascalcase", "replace_with", "screamingsnakecase", "sieve", "slice", "snakecase",
    "split", "split_path", "starts_with", "strip_whitespace", "strlen", "truncate", "upcase",
    // Arrays and objects.
    "append", "chunks", "compact", "del", "exists", "filter", "find", "for_each", "from_entries",
    "get", "includes", "keys", "length", "map_keys", "map_values", "match_array", "merge",
    "object_from_array", "pop", "push", "range", "remove", "tally", "tally_value", "to_entries",
    "unique", "values",
    // Numbers.
    "abs", "ceil", "floor", "format_int", "haversine", "mod", "round",
    // Parsing and writing.
    "decode_base16", "decode_base64", "decode_percent", "encode_base16", "encode_base64",
    "encode_csv", "encode_json", "encode_percent", "format_timestamp", "parse_bytes", "parse_csv",
    "parse_duration", "parse_float", "parse_int", "parse_json", "parse_key_value",
    "parse_query_string", "parse_regex", "parse_regex_all", "parse_timestamp", "parse_tokens",
    "parse_url", "uuid_from_friendly_id",
    // Addresses.
    "ip_cidr_contains", "is_ipv4", "is_ipv6",
    // Digests.
    "crc", "hmac", "md5", "seahash", "sha1", "sha2", "sha3", "xxhash",
    // Failing on purpose.
    "assert",
];

/// Functions that read the clock: for what is decided or made once, at the time of the run.
pub(super) const CLOCK: &[&str] = &["now"];

/// Functions that are replaced by Ropeway's own of the same name.
#[cfg(test)]
pub(super) const OWN: &[&str] = &["join", "replace"];

/// Functions whose result can be a large multiple of one argument, with the most bytes that argument
/// may have. An array of single characters takes 40 times its text; a list of all matches of a
/// regular expression up to 500 times. `snakecase` is here because it panics on what is not text.
pub(super) const BOUNDED: &[(&str, &str, i64)] = &[
    ("chunks", "value", 64 << 10),
    ("parse_csv", "value", 256 << 10),
    ("parse_json", "value", 256 << 10),
    ("parse_key_value", "value", 64 << 10),
    ("parse_query_string", "value", 64 << 10),
    ("parse_regex_all", "value", 16 << 10),
    ("parse_tokens", "value", 64 << 10),
    ("snakecase", "value", 256 << 10),
    ("split", "value", 256 << 10),
    ("format_timestamp", "format", 1 << 10),
    ("to_regex", "value", 1 << 10),
];

/// Functions that VRL has and Ropeway refuses.
#[rustfmt::skip]
pub(super) const DENIED: &[(&str, &[&str])] = &[
    ("the clock would give a repeat of the event another result; use `%event.time`", &["now"]),
    ("a repeat of the event must give the same result; use `%event.id` or `sha2(…)`", &[
        "random_bool", "random_bytes", "random_float", "random_int", "uuid_v4", "uuid_v7",
    ]),
    ("an expression sees nothing but the event", &[
        "dns_lookup", "get_env_var", "get_hostname", "get_secret", "get_timezone_name",
        "http_request", "reverse_dns", "set_secret", "remove_secret",
    ]),
    ("payloads don't belong into logs; use `abort \"…\"` to fail the event", &["log"]),
    ("a small input can make it take all memory", &[
        "flatten", "parse_xml", "parse_yaml", "redact", "set", "unflatten", "unnest", "zip",
    ]),
    ("it can take seconds; write `contains(…) && contains(…)`", &["contains_all"]),
    ("it fails badly on odd input", &[
        "decode_charset", "decode_mime_q", "decode_punycode", "encode_charset", "encode_punycode",
        "format_number", "parse_cbor", "parse_grok", "parse_groks", "parse_influxdb",
        "parse_ruby_hash", "parse_user_agent",
    ]),
    ("compressed data can grow without limit", &[
        "decode_gzip", "decode_lz4", "decode_snappy", "decode_zlib", "decode_zstd",
        "encode_gzip", "encode_lz4", "encode_snappy", "encode_zlib", "encode_zstd",
    ]),
    ("keys don't belong into expressions", &["decrypt", "decrypt_ip", "encrypt", "encrypt_ip"]),
    ("log formats are not supported; use `parse_regex` or `parse_json`", &[
        "encode_key_value", "encode_logfmt", "parse_apache_log", "parse_aws_alb_log",
        "parse_aws_cloudwatch_log_subscription_message", "parse_aws_vpc_flow_log", "parse_cef",
        "parse_common_log", "parse_glog", "parse_klog", "parse_linux_authorization",
        "parse_logfmt", "parse_nginx_log", "parse_syslog",
    ]),
    ("its message would show the payload; use `assert(a == b, message: \"…\")`", &["assert_eq"]),
    ("it has no use in an integration", &[
        "community_id", "encode_proto", "ip_aton", "ip_ntoa", "ip_ntop", "ip_pton", "ip_subnet",
        "ip_to_ipv6", "ipv6_to_ipv4", "match_datadog_query", "parse_etld", "parse_proto",
        "shannon_entropy", "strip_ansi_escape_codes", "tag_types_externally",
        "to_syslog_facility", "to_syslog_facility_code", "to_syslog_level",
        "to_syslog_severity", "type_def", "validate_json_schema",
    ]),
];
