//! Reading one object: from its bytes to rows that are stored and recorded, portion by portion.

use std::pin::pin;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use ropeway_crds::{
    batch_run::{Outcome, Reading},
    condition::bounded,
    names::hash,
};
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    from::{Found, Incoming, Opened, ReadError},
    ledger::RENEWAL,
    portion::{OfFile, Portion},
    rows::{Mark, Row, Rows},
    run::{Came, Halt, Run, sum},
    start::{Start, ask, start},
    unpack::{STEP, Unpack},
};
use crate::fault::{self, Step};

/// So many bytes become rows at once.
const PIECE: usize = 64 << 10;

/// A file on its way into the stream.
pub(super) struct Intake {
    pub(super) rows: Rows,
    pub(super) portion: Portion,
    /// Where in the unpacked file the next piece begins.
    position: u64,
    /// Bytes before the first row that is wanted.
    skip: u64,
    /// Over all bytes before `position`, where the file's version is not known.
    digest: Option<Sha256>,
    /// The digest that must be found at the end of what is skipped.
    expected: Option<String>,
    id: String,
}

impl Run<'_> {
    /// Opens the object and reads it to its end, or until something breaks.
    pub(super) async fn attempt(&mut self, found: &Found) -> Result<Came, Halt> {
        let Some(incoming) = self.open(found).await? else { return Ok(Came::Unchanged) };
        let reading = self.ledger.record.reading.clone().unwrap_or_default();
        let mark = Mark { offset: reading.offset, row: reading.row, line: reading.line };
        let Incoming { version, at, chunks } = incoming;
        if at > mark.offset {
            return Err(Halt::Broken("the server sent a part of the file that was not asked for".into()));
        }
        let mut unpack = Unpack::new(self.job.spec.compression.unwrap_or_default());
        let mut intake = Intake {
            rows: Rows::new(&self.job.spec.format, self.job.longest_row(), mark, &reading.columns)?,
            portion: Portion::default(),
            position: at,
            skip: mark.offset - at,
            digest: version.is_none().then(Sha256::new),
            expected: reading.digest.clone().filter(|_| version.is_none() && mark.offset > 0),
            id: id_of(&reading),
        };
        self.take(&mut intake, &mut unpack, chunks).await?;
        let last = unpack.finish()?;
        self.pieces(&mut intake, &last).await?;
        if intake.skip > 0 {
            // It is shorter than what was read of it: another file.
            return Err(self.changed());
        }
        let mut rows = Vec::new();
        let finished = intake.rows.finish(&mut rows);
        self.push(&mut intake, &[], rows).await?;
        self.settle(&mut intake).await?;
        finished?;
        fault::reached(Step::FileRead);
        if let Some(reading) = &mut self.ledger.record.reading {
            reading.whole = true;
        }
        self.ledger.write().await?;
        Ok(Came::Read)
    }

    /// Takes everything that comes, and renews the record meanwhile.
    async fn take(
        &mut self,
        intake: &mut Intake,
        unpack: &mut Unpack,
        chunks: BoxStream<'_, Result<Bytes, ReadError>>,
    ) -> Result<(), Halt> {
        let mut chunks = pin!(chunks);
        let mut renewal = interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.settle(intake).await?;
                    return Err(Halt::Stopped("it was told to stop".into()));
                }
                _ = renewal.tick() => {
                    self.ledger.renew().await?;
                    self.heed().await?;
                }
                chunk = chunks.next() => match chunk {
                    Some(chunk) => self.chunk(intake, unpack, &chunk?).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Opens the object and makes the record say what is read of it; none where nothing is.
    async fn open(&mut self, found: &Found) -> Result<Option<Incoming>, Halt> {
        let (spec, shape) = (&self.job.spec, self.job.shape());
        let on_unchanged = spec.on_unchanged.unwrap_or_default();
        let earlier = self.ledger.record.reading.clone();
        let wanted = ask(earlier.as_ref(), &found.object, &shape, on_unchanged, spec.compression.unwrap_or_default());
        let incoming = match self.job.from.open(found, wanted).await? {
            Opened::Unchanged => return Ok(None),
            Opened::Stream(incoming) => incoming,
        };
        let now = (found.object.as_str(), incoming.version.as_deref(), shape.as_str());
        let run = &mut self.ledger.record.run;
        (run.outcome, run.object) = (Outcome::Running, bounded(&found.object));
        match start(earlier.as_ref(), now, on_unchanged) {
            Start::Unchanged => return Ok(None),
            Start::Resume => {
                let earlier = earlier.unwrap_or_default();
                run.message = format!("it is read on from row {}", earlier.row + 1);
                run.counts = sum(self.before, earlier.counts);
            }
            Start::Anew(why) => {
                run.message = format!("it is read from its beginning, since {why}");
                if self.before.rows == 0 {
                    run.refused_lines.clear();
                }
                self.ledger.record.reading = Some(Reading {
                    object: found.object.clone(),
                    version: incoming.version.clone(),
                    number: earlier.map_or(1, |earlier| earlier.number.saturating_add(1)),
                    shape,
                    ..Reading::default()
                });
            }
        }
        let message = &self.ledger.record.run.message;
        tracing::info!(object = found.object, note = message, "reading");
        self.ledger.write().await?;
        match incoming.at > 0 && self.ledger.record.reading.as_ref().is_some_and(|reading| reading.offset == 0) {
            true => Err(Halt::Broken("the file changed while it was opened".into())),
            false => Ok(Some(incoming)),
        }
    }

    async fn chunk(&mut self, intake: &mut Intake, unpack: &mut Unpack, chunk: &Bytes) -> Result<(), Halt> {
        for packed in chunk.chunks(STEP) {
            let unpacked = unpack.feed(packed)?;
            self.pieces(intake, &unpacked).await?;
        }
        Ok(())
    }

    async fn pieces(&mut self, intake: &mut Intake, bytes: &[u8]) -> Result<(), Halt> {
        for piece in bytes.chunks(PIECE) {
            let skipped = piece.len().min(usize::try_from(intake.skip).unwrap_or(usize::MAX));
            let (before, piece) = piece.split_at(skipped);
            intake.pass(before);
            intake.skip -= skipped as u64;
            if intake.skip == 0
                && let (Some(expected), Some(digest)) = (intake.expected.take(), &intake.digest)
                && expected != hex(digest.clone())
            {
                return Err(self.changed());
            }
            let mut rows = Vec::new();
            let fed = intake.rows.feed(piece, &mut rows);
            self.push(intake, piece, rows).await?;
            intake.pass(piece);
            if fed.is_err() {
                self.settle(intake).await?;
            }
            fed?;
        }
        Ok(())
    }

    /// The file is not the one whose beginning was read.
    fn changed(&mut self) -> Halt {
        if let Some(reading) = &mut self.ledger.record.reading {
            // It is opened again and read from its beginning.
            reading.digest = None;
        }
        Halt::Broken("the file changed since an earlier run ended in the middle".into())
    }

    /// Adds the rows that a piece completed, and stores what is enough for a portion.
    async fn push(&mut self, intake: &mut Intake, piece: &[u8], rows: Vec<Row>) -> Result<(), Halt> {
        let object = self.ledger.record.reading.as_ref().map(|reading| reading.object.clone()).unwrap_or_default();
        let last = rows.len();
        for (place, row) in rows.into_iter().enumerate() {
            let end = row.end.offset;
            intake.portion.push(row, &OfFile { object: &object, id: &intake.id }, &self.job.store);
            let is_full = intake.portion.is_full();
            if is_full || place + 1 == last {
                intake.portion.digest = intake.digest_at(piece, end);
            }
            if is_full {
                self.settle(intake).await?;
            }
        }
        Ok(())
    }
}

impl Intake {
    fn pass(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
    }

    /// The digest of everything before an offset that lies in or at the end of the piece that comes next.
    fn digest_at(&self, piece: &[u8], offset: u64) -> Option<String> {
        let length = usize::try_from(offset.saturating_sub(self.position)).unwrap_or(usize::MAX).min(piece.len());
        let mut digest = self.digest.clone()?;
        digest.update(&piece[..length]);
        Some(hex(digest))
    }
}

/// What tells the rows of one reading from those of every other.
fn id_of(reading: &Reading) -> String {
    let Reading { object, version, shape, number, .. } = reading;
    hash(format!("{object}\n{version:?}\n{shape}\n{number}").as_bytes(), 16)
}

fn hex(digest: Sha256) -> String {
    data_encoding::HEXLOWER.encode(&digest.finalize())
}
