//! Snapshots on the disk, so that opening a ledger reads the facts since the latest one and not every fact there ever
//! was.
//!
//! A snapshot is taken of books whose every fact lasts, in memory and in one go, and is written piece by piece along
//! with the batches that follow, so that no batch waits for all of it. When every piece lasts, a fact says so and names
//! the digest of the whole. Only then is it a snapshot: it is bound to the chain, and what a crash leaves of one that
//! was not finished is thrown away.
//!
//! The two latest are kept, with every fact since the older one, so that a damaged snapshot costs no fact.

use std::collections::VecDeque;

use almoner_ledger::{AccountSnapshot, ClosedCall, Hold, Ledger, Snapshot};
use rusqlite::{Connection, OptionalExtension};

use crate::chain::{Chain, hash};
use crate::hex;
use crate::journal::signed;
use crate::scan::{Head, Identity};
use crate::wire::{HeadWire, PartWire, closed_from_bytes, closed_to_bytes};

/// After how many facts there is a new snapshot.
pub(crate) const EVERY: u64 = 50_000;
/// After how many facts for each account and hold in it: of large books a snapshot is no small thing.
const EVERY_TIMES: u64 = 10;
/// How many accounts make a part.
const ACCOUNTS: usize = 200;
/// How many holds make a part.
const HOLDS: usize = 500;
/// How many closed calls make a piece.
const CLOSED: usize = 5_000;
/// How many parts of an old snapshot are removed whenever a piece of a new one is written.
const REMOVED: i64 = 2;

/// A snapshot that a fact has vouched for.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The last fact in it.
    pub(crate) last: Head,
    pub(crate) digest: [u8; 16],
    head: String,
}

/// The snapshots of a journal: what of them is written, and what is next.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    latest: Option<Latest>,
    making: Option<Making>,
    /// After how many facts there is another, where a test cannot wait.
    #[cfg(test)]
    pub(crate) every: Option<u64>,
}

/// What the next snapshot needs to know of the latest.
#[derive(Debug)]
struct Latest {
    seq: u64,
    closed_count: u64,
    closed: VecDeque<(u64, String)>,
    /// How many facts may follow before there is another.
    lasts: u64,
}

impl Latest {
    fn of(seq: u64, head: HeadWire) -> Self {
        let rows = (head.parts.len() * ACCOUNTS) as u64;
        Self {
            seq,
            closed_count: head.closed_count(),
            closed: head.closed,
            lasts: EVERY.max(rows.saturating_mul(EVERY_TIMES)),
        }
    }
}

/// A snapshot of which not all is written.
#[derive(Debug)]
struct Making {
    last: Head,
    head: HeadWire,
    pieces: VecDeque<Piece>,
    /// The digest and the text of the head, once every piece is written.
    whole: Option<([u8; 16], String)>,
    is_told: bool,
}

#[derive(Debug)]
enum Piece {
    Accounts(Vec<AccountSnapshot>),
    Holds(Vec<(u64, Hold)>),
    /// Closed calls, and the number of the last.
    Closed(u64, Vec<ClosedCall>),
}

impl Snapshots {
    /// Those of a journal that was opened: `latest` is the newest snapshot of it.
    pub(crate) fn after(latest: Option<&Kept>) -> Self {
        let known = latest.and_then(|kept| Some(Latest::of(kept.last.seq, serde_json::from_str(&kept.head).ok()?)));
        Self { latest: known, ..Self::default() }
    }

    /// Whether so many facts follow the latest snapshot that there should be another.
    pub(crate) fn is_due(&self, head: Head) -> bool {
        let (seq, lasts) = self.latest.as_ref().map_or((0, EVERY), |latest| (latest.seq, latest.lasts));
        #[cfg(test)]
        let lasts = self.every.unwrap_or(lasts);
        self.making.is_none() && head.seq.saturating_sub(seq) >= lasts
    }

    /// Takes a snapshot of books whose last fact is `last`. Nothing of it is written yet.
    pub(crate) fn begin(&mut self, ledger: &Ledger, last: Head) {
        assert_eq!(ledger.seq(), last.seq, "a snapshot of books with facts that do not last");
        let mut snapshot = ledger.snapshot();
        let mut head = HeadWire::of(&snapshot);
        let (accounts, holds) = (std::mem::take(&mut snapshot.accounts), std::mem::take(&mut snapshot.holds));
        let mut pieces: VecDeque<Piece> = in_pieces(accounts, ACCOUNTS).map(Piece::Accounts).collect();
        pieces.extend(in_pieces(holds, HOLDS).map(Piece::Holds));
        let (before, known) = match &self.latest {
            Some(latest) => (latest.closed_count, latest.closed.clone()),
            None => (0, VecDeque::new()),
        };
        head.closed = known;
        let forgotten = head.closed_forgotten();
        head.closed.retain(|(upto, _)| *upto > forgotten);
        let mut upto = before.max(forgotten);
        for closed in in_pieces(ledger.closed_since(upto).collect(), CLOSED) {
            upto += closed.len() as u64;
            pieces.push_back(Piece::Closed(upto, closed));
        }
        self.making = Some(Making { last, head, pieces, whole: None, is_told: false });
    }

    /// Whether a piece waits to be written.
    pub(crate) fn has_more(&self) -> bool {
        self.making.as_ref().is_some_and(|making| making.whole.is_none())
    }

    /// Writes the next piece; [`Snapshots::wrote`] must be told when it lasts.
    pub(crate) fn write_next(&self, batch: &Connection) -> rusqlite::Result<Option<Written>> {
        let Some(making) = self.making.as_ref().filter(|making| making.whole.is_none()) else { return Ok(None) };
        remove_old(batch, making.last.seq)?;
        let Some(piece) = making.pieces.front() else { return Ok(Some(Written::All)) };
        let unwritten = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
        let part = match piece {
            Piece::Accounts(accounts) => PartWire::accounts(accounts),
            Piece::Holds(holds) => PartWire::holds(holds),
            Piece::Closed(upto, calls) => {
                let bytes = closed_to_bytes(calls);
                batch.execute("INSERT OR REPLACE INTO closed VALUES (?1, ?2)", (signed(*upto)?, &bytes))?;
                return Ok(Some(Written::Closed(*upto, hash(&[b"closed", &bytes]))));
            }
        };
        let body = serde_json::to_string(&part).map_err(unwritten)?;
        let (seq, number) = (signed(making.last.seq)?, making.head.parts.len() as u64);
        batch.execute("INSERT INTO snapshot_part VALUES (?1, ?2, ?3)", (seq, signed(number)?, &body))?;
        Ok(Some(Written::Part(hash(&[b"part", body.as_bytes()]))))
    }

    /// Takes note that a piece lasts.
    pub(crate) fn wrote(&mut self, written: Option<Written>, identity: &Identity) {
        let (Some(making), Some(written)) = (&mut self.making, written) else { return };
        match written {
            Written::Part(digest) => making.head.parts.push(hex::of(&digest)),
            Written::Closed(upto, digest) => making.head.closed.push_back((upto, hex::of(&digest))),
            Written::All => {}
        }
        making.pieces.pop_front();
        if making.pieces.is_empty()
            && let Ok(head) = serde_json::to_string(&making.head)
        {
            making.whole = Some((digest(identity, making.last, &head), head));
        }
    }

    /// The snapshot that is whole, once.
    pub(crate) fn tell(&mut self) -> Option<(u64, [u8; 16])> {
        let making = self.making.as_mut().filter(|making| !making.is_told)?;
        let (digest, _) = making.whole.as_ref()?;
        making.is_told = true;
        Some((making.last.seq, *digest))
    }

    /// Puts the snapshot in force for which a fact now vouches; [`Snapshots::is_in_force`] must be told when that
    /// lasts.
    pub(crate) fn put_in_force(&self, batch: &Connection, upto: u64, vouched: &[u8; 16]) -> rusqlite::Result<()> {
        let whole = self.making.as_ref().and_then(|making| Some((making, making.whole.as_ref()?)));
        let Some((making, (digest, head))) = whole.filter(|(making, _)| making.last.seq == upto) else { return Ok(()) };
        assert_eq!(digest, vouched, "a fact vouches for another snapshot than the one that was kept");
        let (seq, chain) = (signed(upto)?, making.last.chain);
        batch.execute("INSERT INTO snapshot VALUES (?1, ?2, ?3, ?4)", (seq, &chain.bytes()[..], &digest[..], head))?;
        let older = "SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 2";
        batch.execute(&format!("DELETE FROM snapshot WHERE seq NOT IN ({older})"), []).map(drop)
    }

    /// Takes note that the snapshot of the facts up to `upto` is in force.
    pub(crate) fn is_in_force(&mut self, upto: u64) {
        if let Some(making) = self.making.take_if(|making| making.last.seq == upto) {
            self.latest = Some(Latest::of(upto, making.head));
        }
    }
}

/// What was written of a snapshot.
#[derive(Debug)]
pub(crate) enum Written {
    Part([u8; 16]),
    Closed(u64, [u8; 16]),
    /// There was nothing to write.
    All,
}

/// Each thing is moved once: a crowd of accounts is cut up while every call waits.
fn in_pieces<T>(things: Vec<T>, most: usize) -> impl Iterator<Item = Vec<T>> {
    let mut things = things.into_iter();
    std::iter::from_fn(move || Some(things.by_ref().take(most).collect()).filter(|piece: &Vec<T>| !piece.is_empty()))
}

/// The digest of a snapshot, in which everything is that it consists of.
fn digest(identity: &Identity, last: Head, head: &str) -> [u8; 16] {
    hash(&[b"snapshot", &identity.ledger, &last.seq.to_le_bytes(), last.chain.bytes(), head.as_bytes()])
}

/// Removes a few parts that belong neither to a snapshot that is kept nor to the one of the facts up to `making`.
fn remove_old(batch: &Connection, making: u64) -> rusqlite::Result<()> {
    batch.execute(
        "DELETE FROM snapshot_part WHERE rowid IN (SELECT rowid FROM snapshot_part
         WHERE seq <> ?1 AND seq NOT IN (SELECT seq FROM snapshot) LIMIT ?2)",
        (signed(making)?, REMOVED),
    )?;
    let oldest = batch
        .query_row("SELECT head FROM snapshot ORDER BY seq LIMIT 1", [], |row| row.get::<_, String>(0))
        .optional()?
        .and_then(|head| serde_json::from_str::<HeadWire>(&head).ok());
    let Some(oldest) = oldest else { return Ok(()) };
    batch.execute(
        "DELETE FROM closed WHERE upto IN (SELECT upto FROM closed WHERE upto <= ?1 ORDER BY upto LIMIT ?2)",
        (signed(oldest.closed_forgotten())?, REMOVED),
    )?;
    Ok(())
}

/// Throws away what is left of a snapshot that was not finished.
pub(crate) fn remove_unfinished(batch: &Connection, latest: Option<&Kept>) -> rusqlite::Result<()> {
    batch.execute("DELETE FROM snapshot_part WHERE seq NOT IN (SELECT seq FROM snapshot)", [])?;
    let head = latest.and_then(|kept| serde_json::from_str::<HeadWire>(&kept.head).ok());
    let closed = head.map_or(0, |head| head.closed_count());
    batch.execute("DELETE FROM closed WHERE upto > ?1", [signed(closed)?]).map(drop)
}

/// The snapshots that are in force, the newest first. Nothing of them is checked yet.
pub(crate) fn kept(connection: &Connection) -> rusqlite::Result<Vec<Kept>> {
    let mut rows = connection.prepare("SELECT seq, chain, digest, head FROM snapshot ORDER BY seq DESC")?;
    let kept = |row: &rusqlite::Row<'_>| {
        let chain = Chain::from_bytes(row.get(1)?);
        let seq = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
        Ok(Kept { last: Head { seq, chain }, digest: row.get(2)?, head: row.get(3)? })
    };
    rows.query_map([], kept)?.collect()
}

impl Kept {
    /// The books of this snapshot, or what is wrong with it.
    pub(crate) fn load(&self, connection: &Connection, identity: &Identity) -> Result<Ledger, String> {
        let (snapshot, head) = self.read(connection, identity)?;
        let closed = closed(connection, &head)?;
        Ledger::restore(snapshot, closed).map_err(|error| error.to_string())
    }

    /// The books of this snapshot as if every closed call were so old that it is forgotten: nobody is let in twice, and
    /// whoever asks again about a call is told that it is too old.
    pub(crate) fn load_without_closed(&self, connection: &Connection, identity: &Identity) -> Result<Ledger, String> {
        let (mut snapshot, _) = self.read(connection, identity)?;
        (snapshot.closed_kept, snapshot.closed_horizon) = (0, snapshot.seen);
        Ledger::restore(snapshot, []).map_err(|error| error.to_string())
    }

    /// The snapshot, checked, and its head; its closed calls are not looked at.
    fn read(&self, connection: &Connection, identity: &Identity) -> Result<(Snapshot, HeadWire), String> {
        if digest(identity, self.last, &self.head) != self.digest {
            return Err("its digest does not fit".to_owned());
        }
        let read = || serde_json::from_str::<HeadWire>(&self.head).map_err(|error| error.to_string());
        let head = read()?;
        let parts = self.parts(connection).map_err(|error| error.to_string())?;
        if parts.len() != head.parts.len() {
            return Err(format!("it has {} of its {} parts", parts.len(), head.parts.len()));
        }
        let mut snapshot = read()?.snapshot(self.last.seq).map_err(|error| error.to_string())?;
        for (number, (body, digest)) in parts.iter().zip(&head.parts).enumerate() {
            if hex::of(&hash(&[b"part", body.as_bytes()])) != *digest {
                return Err(format!("its part {number} was changed"));
            }
            let part: PartWire = serde_json::from_str(body).map_err(|error| error.to_string())?;
            part.put_into(&mut snapshot).map_err(|error| error.to_string())?;
        }
        Ok((snapshot, head))
    }

    fn parts(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut rows = connection.prepare("SELECT body FROM snapshot_part WHERE seq = ?1 ORDER BY part")?;
        rows.query_map([signed(self.last.seq)?], |row| row.get(0))?.collect()
    }
}

/// The closed calls of a snapshot, or what is wrong with them.
fn closed(connection: &Connection, head: &HeadWire) -> Result<Vec<ClosedCall>, String> {
    let unread = |error: rusqlite::Error| error.to_string();
    let mut row = connection.prepare("SELECT body FROM closed WHERE upto = ?1").map_err(unread)?;
    let mut calls = Vec::new();
    for (upto, digest) in &head.closed {
        let upto = signed(*upto).map_err(unread)?;
        let body = row.query_row([upto], |row| row.get::<_, Vec<u8>>(0)).optional().map_err(unread)?;
        let body = body.ok_or_else(|| format!("its closed calls up to {upto} are missing"))?;
        let piece = closed_from_bytes(&body).filter(|_| hex::of(&hash(&[b"closed", &body])) == *digest);
        calls.extend(piece.ok_or_else(|| format!("its closed calls up to {upto} were changed"))?);
    }
    Ok(calls)
}
