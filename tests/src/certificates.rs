//! The certificate authority of one test cluster.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, string::Ia5String,
};

use crate::{Error, error::file};

/// Signs the certificates of one cluster and keeps them in one folder.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key, as files and as text.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// Makes the authority, its files `ca.crt` and `ca.key`, and the pair `service-accounts.key` and `.pub`, which signs tokens.
    pub(crate) fn new(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(file("make", folder))?;
        let make = || {
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name.push(DnType::CommonName, "ropeway test cluster");
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.key_usages =
                vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
            CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)
        };
        let issuer = make().map_err(failed("the authority"))?;
        let authority = Self { issuer, folder: folder.to_owned() };
        authority.write("ca.crt", &authority.issuer.pem())?;
        authority.write("ca.key", &authority.issuer.key().serialize_pem())?;
        let signer = KeyPair::generate().map_err(failed("service accounts"))?;
        authority.write("service-accounts.key", &signer.serialize_pem())?;
        authority.write("service-accounts.pub", &signer.public_key_pem())?;
        Ok(authority)
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A file of this authority's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A certificate for a user of the API server: its common name is the user, its organisations are the groups.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> Result<Identity, Error> {
        let mut parameters = named(user);
        for group in groups {
            parameters.distinguished_name.push(DnType::OrganizationName, DnValue::Utf8String((*group).to_owned()));
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&user.replace([':', '/'], "-"), parameters)
    }

    /// A certificate for a server that is asked under these names and addresses.
    pub(crate) fn server(&self, name: &str, names: &[&str], addresses: &[IpAddr]) -> Result<Identity, Error> {
        let mut parameters = named(name);
        for name in names {
            let name = Ia5String::try_from(*name).map_err(failed(name))?;
            parameters.subject_alt_names.push(SanType::DnsName(name));
        }
        parameters.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, parameters)
    }

    fn issue(&self, name: &str, parameters: CertificateParams) -> Result<Identity, Error> {
        let key = KeyPair::generate().map_err(failed(name))?;
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(failed(name))?.pem();
        let key = key.serialize_pem();
        let certificate_file = self.write(&format!("{name}.crt"), &certificate)?;
        let key_file = self.write(&format!("{name}.key"), &key)?;
        Ok(Identity { certificate_file, key_file, certificate, key })
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf, Error> {
        let path = self.file(name);
        fs::write(&path, content).map_err(file("write", &path))?;
        Ok(path)
    }
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters
}

fn failed(subject: &str) -> impl FnOnce(rcgen::Error) -> Error {
    let subject = subject.to_owned();
    move |source| Error::Certificate { subject, source }
}
