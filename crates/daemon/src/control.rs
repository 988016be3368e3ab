//! The control socket: who can open it may ask every operation, so only the user who runs the server can.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use almoner_api::{Failure, Reply, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::operations::Operations;
use crate::server::{Phase, reached};

/// The name of the socket in the state folder.
pub const CONTROL_SOCKET: &str = "control.sock";
/// The most bytes of one request.
const LINE_MAX: u64 = 1 << 20;

/// Opens the socket in the state folder. One that is left from before is removed: the ledger's lock is ours, so nobody
/// listens on it any more.
pub(crate) fn listen(state: &Path) -> io::Result<UnixListener> {
    let path = state.join(CONTROL_SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers whoever connects, until the server is over.
pub(crate) async fn serve(listener: UnixListener, operations: Arc<Operations>, mut phase: watch::Receiver<Phase>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let operations = Arc::clone(&operations);
                    // A client that breaks off has only itself to tell.
                    tokio::spawn(async move { drop(converse(stream, &operations).await) });
                }
            }
            () = reached(&mut phase, Phase::Over) => return,
        }
    }
}

/// Answers one line with one line, until the client has no more.
async fn converse(stream: UnixStream, operations: &Operations) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        (&mut read).take(LINE_MAX).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(());
        }
        let reply = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => operations.run(request).await,
            Err(error) => Reply::Failed(Failure {
                code: "bad_request".to_owned(),
                message: format!("the server does not understand this: {error}"),
                hint: Some("is it of another version?".to_owned()),
            }),
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        write.write_all(&line).await?;
    }
}
