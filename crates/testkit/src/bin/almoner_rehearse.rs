//! The rehearsal as a server, for trying clients without a gateway. Prints its address as its first line.

use std::io::{self, Write, stdout};

use almoner_testkit::RehearsalServer;

#[tokio::main]
async fn main() -> io::Result<()> {
    let server = RehearsalServer::start().await?;
    writeln!(stdout(), "{}", server.addr())?;
    stdout().flush()?;
    std::future::pending().await
}
