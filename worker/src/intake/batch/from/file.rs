//! A file on a mounted claim.

use std::{
    io::{Read, Seek, SeekFrom},
    path::{Component, Path, PathBuf},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use ropeway_crds::source::BatchFile;

use super::{Ask, Found, Incoming, Opened, ReadError, Unchanged};

const CHUNK: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    shown: String,
}

impl File {
    pub(super) fn new(file: &BatchFile, folder: PathBuf) -> Result<Self, ReadError> {
        let inside = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(ReadError::Refused("spec.source.batch.from.file.path must lie inside the claim".into()));
        }
        Ok(Self { path: folder.join(&file.path), shown: file.path.clone() })
    }

    pub(super) async fn find(&self) -> Result<Found, ReadError> {
        let path = self.path.clone();
        let version = blocking(&self.shown, move || std::fs::metadata(path).map(|found| version(&found))).await?;
        Ok(Found { object: self.shown.clone(), version: Some(version), size: None, key: self.shown.clone() })
    }

    pub(super) async fn open(&self, found: &Found, ask: Ask<'_>) -> Result<Opened, ReadError> {
        if ask.unless_unchanged == Unchanged::Unwanted && ask.version == found.version.as_deref() {
            return Ok(Opened::Unchanged);
        }
        let path = self.path.clone();
        let offset = ask.offset;
        let wanted = ask.version.map(str::to_owned);
        let opened = blocking(&self.shown, move || {
            let mut file = std::fs::File::open(path)?;
            let version = version(&file.metadata()?);
            let at = if wanted.as_deref() == Some(version.as_str()) { offset } else { 0 };
            file.seek(SeekFrom::Start(at))?;
            Ok((file, version, at))
        });
        let (file, version, at) = opened.await?;
        let shown = self.shown.clone();
        let chunks = stream::try_unfold(file, move |file| next(file, shown.clone()));
        Ok(Opened::Stream(Incoming { version: Some(version), at, chunks: chunks.boxed() }))
    }
}

async fn next(mut file: std::fs::File, shown: String) -> Result<Option<(Bytes, std::fs::File)>, ReadError> {
    blocking(&shown, move || {
        let mut chunk = vec![0; CHUNK];
        let length = file.read(&mut chunk)?;
        chunk.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(chunk), file)))
    })
    .await
}

/// A size and a time stand for a version: whoever writes a file in place changes the time.
fn version(found: &std::fs::Metadata) -> String {
    let changed = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{} bytes of {}.{:09}", found.len(), changed.as_secs(), changed.subsec_nanos())
}

async fn blocking<T: Send + 'static>(
    shown: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ReadError> {
    let failed = |error: &dyn std::fmt::Display| ReadError::Later(format!("the file {shown} can't be read: {error}"));
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}
