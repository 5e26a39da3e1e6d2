//! What the operator is told on its command line or by its environment.

use std::{net::SocketAddr, time::Duration};

use clap::{ArgAction, Parser, ValueEnum};
use ipnet::IpNet;
use ropeway_crds::azure::AzureSettings;

/// Which Secrets of their namespace Integrations and Destinations may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum SecretAccess {
    /// All of them.
    #[default]
    All,
    /// Those with the label `ropeway.dev/use: allowed`.
    Labelled,
}

/// Runs Integrations: turns them into workers, streams and status.
#[derive(Clone, Debug, Parser)]
#[command(name = "ropeway-operator", version)]
pub struct Args {
    /// A namespace to look after; may be given more than once. Without it, all namespaces.
    #[arg(long = "namespace", env = "ROPEWAY_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// Address of NATS for namespaces whose Secret `ropeway-nats` gives none.
    #[arg(long, env = "ROPEWAY_NATS_URL", default_value = "nats://nats.ropeway-system:4222")]
    pub nats_url: String,
    /// Image of the workers.
    #[arg(long, env = "ROPEWAY_WORKER_IMAGE", default_value = concat!("ropeway.dev/ropeway:", env!("CARGO_PKG_VERSION")))]
    pub worker_image: String,
    /// A private address range (CIDR) that destinations may resolve to; may be given more than once.
    #[arg(long = "allow-private-range", env = "ROPEWAY_ALLOW_PRIVATE_RANGES", value_delimiter = ',')]
    pub allowed_private_ranges: Vec<IpNet>,
    /// Copies of each message in the streams that the Integrations of a namespace share.
    #[arg(long, env = "ROPEWAY_STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub stream_replicas: u8,
    /// Address for /healthz, /readyz and /metrics.
    #[arg(long, env = "ROPEWAY_LISTEN_ADMIN", default_value = "0.0.0.0:8081")]
    pub listen_admin: SocketAddr,
    /// Counters in status are written at most this often for one object, in seconds. Conditions are written at once.
    #[arg(long, env = "ROPEWAY_STATUS_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub status_seconds: u64,
    /// How long a deletion waits for a NATS that can't be reached before it lets the object go, in seconds.
    #[arg(long, env = "ROPEWAY_RELEASE_SECONDS", default_value_t = 120)]
    pub release_seconds: u64,
    /// How long the deletion policy Drain waits for what is pending, in seconds.
    #[arg(long, env = "ROPEWAY_DRAIN_SECONDS", default_value_t = 600)]
    pub drain_seconds: u64,
    /// Watch the metadata of Secrets. Without it a Secret that was missing is noticed within half a minute, and the
    /// operator needs no right to list Secrets.
    #[arg(long, env = "ROPEWAY_WATCH_SECRETS", default_value_t = true, action = ArgAction::Set)]
    pub watch_secrets: bool,
    /// Which Secrets of their namespace Integrations and Destinations may name: all, or those with the label
    /// `ropeway.dev/use: allowed`.
    #[arg(long, env = "ROPEWAY_SECRET_ACCESS", value_enum, default_value_t)]
    pub secret_access: SecretAccess,
    /// A namespace whose workers may use the managed identities of their nodes; may be given more than once, `*` means all.
    #[arg(
        long = "azure-managed-identity-namespace",
        env = "ROPEWAY_AZURE_MANAGED_IDENTITY_NAMESPACES",
        value_delimiter = ','
    )]
    pub azure_managed_identity_namespaces: Vec<String>,
    /// Where tokens of Entra ID are asked for, for identities that name no cloud.
    #[arg(long, env = "ROPEWAY_AZURE_AUTHORITY_HOST")]
    pub azure_authority_host: Option<String>,
    /// A host that may be asked as a vault although it is outside of Microsoft's domains; may be given more than once.
    #[arg(long = "azure-vault-host", env = "ROPEWAY_AZURE_VAULT_HOSTS", value_delimiter = ',')]
    pub azure_vault_hosts: Vec<String>,
}

/// What those who write Integrations and Destinations in a namespace may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Secrets.
    pub secrets: SecretAccess,
    /// Identities and vaults.
    pub azure: AzureSettings,
}

impl Args {
    /// What may be used in a namespace.
    pub fn trust(&self, namespace: &str) -> Trust {
        let named = self.azure_managed_identity_namespaces.iter();
        let azure = AzureSettings {
            managed_identity: named.into_iter().any(|given| given == "*" || given == namespace),
            authority_host: self.azure_authority_host.clone().filter(|host| !host.is_empty()),
            vault_hosts: self.azure_vault_hosts.iter().filter(|host| !host.is_empty()).cloned().collect(),
        };
        Trust { secrets: self.secret_access, azure }
    }

    /// How often counters are written.
    pub fn status_interval(&self) -> Duration {
        Duration::from_secs(self.status_seconds)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_has_defaults() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["ropeway-operator", "--namespace", "a", "--namespace", "b"]).unwrap();
        assert_eq!(args.namespaces, ["a", "b"]);
        assert!(args.watch_secrets);
        assert_eq!(args.secret_access, SecretAccess::All);
        let labelled = Args::try_parse_from(["ropeway-operator", "--secret-access", "Labelled"]).unwrap();
        assert_eq!(labelled.secret_access, SecretAccess::Labelled);
        assert!(Args::try_parse_from(["ropeway-operator", "--allow-private-range", "10.0.0.0/33"]).is_err());
        assert_eq!(args.trust("a").azure, AzureSettings::default());
        let nodes = ["ropeway-operator", "--azure-managed-identity-namespace", "a"];
        let nodes = Args::try_parse_from(nodes).unwrap();
        assert!(nodes.trust("a").azure.managed_identity && !nodes.trust("b").azure.managed_identity);
        let all = Args::try_parse_from(["ropeway-operator", "--azure-managed-identity-namespace", "*"]).unwrap();
        assert!(all.trust("b").azure.managed_identity);
    }
}
