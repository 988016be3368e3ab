//! TLS in front of a provider: an authority of one test, the certificates that it signs, and a door that speaks TLS
//! outside and hands on what is said, byte for byte, to whoever listens inside.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Whoever signs the certificates of a test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// How long a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Long before today until long after it, whatever day that is.
    Good,
    /// It ended long ago.
    Expired,
}

impl Authority {
    /// An authority of this name, which nobody knows yet.
    ///
    /// # Errors
    /// Where there are no random bytes for its key.
    pub fn new(name: &str) -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).map_err(io::Error::other)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Its own certificate: who trusts this trusts all that it signs.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What a server needs to call itself by these names.
    fn sign(&self, names: &[&str], validity: Validity) -> io::Result<ServerConfig> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        if validity == Validity::Expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key));
        let mut config = config.map_err(io::Error::other)?;
        // As providers offer them, the newer one first.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// A door that speaks TLS; it closes when it is dropped.
#[derive(Debug)]
pub struct TlsDoor {
    addr: SocketAddr,
    accepting: AbortHandle,
    agreed: Arc<Mutex<Vec<Option<String>>>>,
}

impl TlsDoor {
    /// Opens a door to `inside` on a free port of the loopback, under these names.
    ///
    /// # Errors
    /// Where there is no free port, or no certificate can be made.
    pub async fn open(
        authority: &Authority,
        names: &[&str],
        validity: Validity,
        inside: SocketAddr,
    ) -> io::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(authority.sign(names, validity)?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let agreed = Arc::<Mutex<_>>::default();
        let accepting = tokio::spawn(accept(listener, acceptor, inside, Arc::clone(&agreed))).abort_handle();
        Ok(Self { addr, accepting, agreed })
    }

    /// Where it is.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// For each connection that came to be: the protocol that both sides agreed on inside of TLS, where they spoke of
    /// one at all.
    #[must_use]
    pub fn agreed(&self) -> Vec<Option<String>> {
        self.agreed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TlsDoor {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    inside: SocketAddr,
    agreed: Arc<Mutex<Vec<Option<String>>>>,
) {
    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let (acceptor, agreed) = (acceptor.clone(), Arc::clone(&agreed));
                // How it ends is for the guest to judge.
                guests.spawn(async move { drop(lead_in(stream, &acceptor, inside, &agreed).await) });
            },
            Some(_) = guests.join_next() => {}
        }
    }
}

async fn lead_in(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    inside: SocketAddr,
    agreed: &Mutex<Vec<Option<String>>>,
) -> io::Result<()> {
    // Small chunks must leave one by one, or a test of streaming would see them together.
    stream.set_nodelay(true)?;
    let mut guest = acceptor.accept(stream).await?;
    let protocol = guest.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    agreed.lock().unwrap_or_else(PoisonError::into_inner).push(protocol);
    let mut host = TcpStream::connect(inside).await?;
    host.set_nodelay(true)?;
    copy_bidirectional(&mut guest, &mut host).await?;
    Ok(())
}
