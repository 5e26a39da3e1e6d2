//! How rows are written in a file.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How rows are written: exactly one format.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.ndjson), has(self.csv), has(self.jsonArray)].filter(given, given).size() == 1").message("give exactly one of ndjson, csv and jsonArray"))]
#[serde(rename_all = "camelCase")]
pub struct BatchFormat {
    /// One JSON object a line. Empty lines are no rows.
    pub ndjson: Option<Ndjson>,
    /// Columns apart by a delimiter (RFC 4180). A row becomes an object of strings.
    pub csv: Option<Csv>,
    /// A JSON array of objects.
    pub json_array: Option<JsonArray>,
}

/// One JSON object a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ndjson {}

/// Columns apart by a delimiter.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.header) || self.header == 'Present' || (has(self.columns) && self.columns.size() > 0)").message("a file without a header needs columns"))]
#[x_kube(validation = Rule::new("!has(self.delimiter) || !has(self.quote) || self.delimiter != self.quote").message("delimiter and quote must differ"))]
#[serde(rename_all = "camelCase")]
pub struct Csv {
    /// What stands between two columns: one ASCII character, or `\t`. Default `,`.
    #[schemars(length(min = 1, max = 2), regex(pattern = r#"^([!-/:-@\[-`{-~]|\\t)$"#))]
    pub delimiter: Option<String>,
    /// What stands around a value that holds a delimiter or a line break: one ASCII character. Default `"`.
    #[schemars(length(min = 1, max = 1), regex(pattern = r#"^[!-/:-@\[-`{-~]$"#))]
    pub quote: Option<String>,
    /// Whether the first row names the columns. Default Present.
    pub header: Option<CsvHeader>,
    /// With header Absent: the names of the columns in their order. With header Present: columns that must be there, in
    /// any order; a file that lacks one is not read.
    #[schemars(length(max = 512))]
    pub columns: Option<Vec<ColumnName>>,
}

/// Name of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ColumnName(pub String);

impl JsonSchema for ColumnName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ColumnName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": 255 })
    }
}

/// Whether the first row names the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CsvHeader {
    /// It does.
    #[default]
    Present,
    /// It is a row like the others; `columns` names them.
    Absent,
}

/// A JSON array of objects.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JsonArray {
    /// Where the array is, as a JSON pointer over names, such as `/data/items`. Default: the document is the array.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^(/[^/]+)+$"))]
    pub pointer: Option<String>,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Compression {
    /// It is not.
    #[default]
    None,
    /// With gzip, of one or several members.
    Gzip,
}
