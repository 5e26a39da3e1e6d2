//! An HTTP address that takes events.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::verification::Verification;
use crate::duration::ByteSize;

/// An HTTP address that takes events.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The path, such as `/hooks/signups`.
    #[schemars(length(min = 2, max = 256), regex(pattern = r"^(/[-._~a-zA-Z0-9]+)+$"))]
    pub path: String,
    /// How senders prove who they are.
    pub verification: Verification,
    /// The largest request body that is read. Default 256Ki, which is also the most.
    pub max_body_bytes: Option<ByteSize>,
}
