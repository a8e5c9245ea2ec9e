//! What is new: by the mailbox's history, or where Gmail has forgotten that, by going through the mailbox. The place to go on from
//! moves when everything before it is stored and handed on, and never back.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::gmail::{self, GmailError, History, PageToken};
use storeward_core::egress::Outgoing;
use storeward_core::gmail::HistoryId;
use storeward_core::time::{DAY, HOUR, Timestamp};
use storeward_store::{FullSync, Progress};

use crate::{Run, Stop};

/// How far before the last reading one begins that makes up for a gap: a mail can be listed a little after it came.
const OVERLAP: Duration = HOUR;

/// The furthest back that is read after a gap: as long as mails are kept at most.
const FURTHEST: Duration = Duration::from_hours(90 * 24);

/// How a look at the history ended.
enum Told {
    /// Everything up to there is stored.
    UpTo(HistoryId),
    /// Gmail does not know what came since.
    TooOld,
}

impl Run<'_> {
    /// Reads what is new, up to the end.
    pub(crate) async fn read(&self, gmail: &gmail::Mailbox) -> Result<(), Stop> {
        let known = self.mailbox.cursor.map(HistoryId);
        let told = match (&self.mailbox.full_sync, known) {
            (None, Some(start)) => self.history(gmail, start).await?,
            // One that was begun goes on.
            _ => Told::TooOld,
        };
        let end = match told {
            Told::UpTo(end) => end,
            Told::TooOld => {
                let full = match &self.mailbox.full_sync {
                    Some(full) => full.clone(),
                    None => self.begin_full_sync(gmail).await?,
                };
                let start = HistoryId(full.cursor);
                self.go_through(gmail, full).await?;
                match self.history(gmail, start).await? {
                    Told::UpTo(end) => end,
                    Told::TooOld => {
                        // The way through the mailbox took longer than Gmail's memory lasts. From here it begins anew.
                        self.begin_full_sync(gmail).await?;
                        return Err(Stop::Turn(Duration::ZERO));
                    }
                }
            }
        };
        self.moved_on(Progress::Cursor(end.0)).await
    }

    /// Stores what came since a point of the history. All pages are asked for from there.
    async fn history(&self, gmail: &gmail::Mailbox, start: HistoryId) -> Result<Told, Stop> {
        let mut next = None;
        loop {
            let History::Page(page) = gmail.history(start, next.as_ref()).await? else {
                return Ok(Told::TooOld);
            };
            self.take(gmail, page.added).await?;
            next = page.next;
            if next.is_none() {
                // Gmail can answer with an earlier point than it was asked from.
                return Ok(Told::UpTo(page.history_id.max(start)));
            }
        }
    }

    /// Begins to go through the mailbox: where its history stands comes first, so that what comes in meanwhile is read after it.
    async fn begin_full_sync(&self, gmail: &gmail::Mailbox) -> Result<FullSync, Stop> {
        let cursor = gmail.profile().await?.history_id.0;
        let days = u32::from(self.store.desk(self.installation).await?.settings.first_sync_days);
        let since = gap_since(self.ctx.now(), self.mailbox.read_at, days);
        let full = FullSync { cursor, since, page: None };
        tracing::info!(mailbox = %self.mailbox.reference, "gone through: its history is not known");
        self.moved_on(Progress::FullSync(full.clone())).await?;
        Ok(full)
    }

    /// Goes through the mailbox page by page, the latest mails first.
    async fn go_through(&self, gmail: &gmail::Mailbox, mut full: FullSync) -> Result<(), Stop> {
        let query = Outgoing::own(format!("after:{}", full.since.seconds()));
        loop {
            let at = full.page.clone().map(PageToken::kept);
            let page = match gmail.search(&query, at.as_ref()).await {
                Ok(page) => page,
                Err(GmailError::Client(ClientError::Rejected(why))) if at.is_some() => {
                    // The name of a page does not count for ever. What was stored is passed over.
                    tracing::warn!(mailbox = %self.mailbox.reference, why, "gone through from the first page again");
                    full.page = None;
                    self.moved_on(Progress::FullSync(full.clone())).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.take(gmail, page.messages).await?;
            let Some(next) = page.next else { return Ok(()) };
            full.page = Some(next.to_keep());
            self.moved_on(Progress::FullSync(full.clone())).await?;
        }
    }
}

/// From when on mails are read where the history does not tell: from when the mailbox was last read to its end, and the days that a
/// first reading has, whichever is longer ago.
fn gap_since(now: Timestamp, read_at: Option<Timestamp>, days: u32) -> Timestamp {
    let first = now - DAY * days;
    let since = read_at.map_or(first, |read| first.min(read - OVERLAP));
    since.max(now - FURTHEST)
}
