//! The listener with everything that answers on it, beside the loops that work behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::auth::Verifier;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use database::Pool;
use database::spool::Spool;
use destinations::Senders;
use http_common::source::TrustedProxies;
use http_common::{Clock, NewDeliveries, SourceAddress};
use ping::Breaker;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::beats::Beats;
use crate::ping_spool::{PingsFolder, SpoolFolder};
use crate::settings::Settings;
use crate::{inbox, loops, welcome};

/// How long the begin of this process may take to be written down before it listens.
const TIME_TO_BEGIN: Duration = Duration::from_secs(2);

/// How long a request waits until it is written down that the process stood still.
const TIME_TO_WRITE: Duration = Duration::from_secs(3);

/// How long requests and sends may go on once the process was told to stop.
const TIME_TO_STOP: Duration = Duration::from_secs(5);

pub(crate) async fn serve(
    settings: Settings,
    pool: Pool,
    loops_pool: Pool,
    clock: Clock,
    is_migrated: bool,
) -> Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    let listener = TcpListener::bind(address).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => format!("port {} is taken; PORT=8001 takes another", settings.port),
        _ => format!("{address} can't be listened on: {e}"),
    })?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    // Before anything is judged: what an earlier process left in it came in time.
    let spool = settings.spool_folder.as_deref().map(SpoolFolder::open).transpose()?;
    if spool.is_none() {
        tracing::warn!("without SPOOL_DIR pings are refused while the database is away");
    }
    let beats = Beats::begin(clock.clone());
    if is_migrated && timeout(TIME_TO_BEGIN, beats.write(&loops_pool)).await.is_err() {
        tracing::error!("the database is slow");
    }
    let verifier = Arc::new(Verifier::new(settings.auth)?);
    // Webhooks must be allowed to reach this machine, else nothing could arrive in the inbox.
    let has_inbox = settings.destinations.allowed_networks.permits(address.ip());
    let senders = Senders::new(settings.destinations)?;
    let mut api = api::router(api::App {
        pool: pool.clone(),
        clock: clock.clone(),
        verifier: verifier.clone(),
        public_url: settings.public_url,
        senders: senders.clone(),
    });
    let missed = Missed { beats: beats.clone(), pool: pool.clone(), has_spool: spool.is_some() };
    // An edit judges what fell due before it.
    api = api.layer(from_fn_with_state(missed.clone(), write_before_changes));
    let inbox = has_inbox.then(|| inbox::Inbox::new(pool.clone(), verifier, clock.clone(), address));
    if let Some(inbox) = &inbox {
        api = inbox.seeding(api).merge(inbox.router());
    }

    let work = Arc::new(Notify::new());
    let new_work = work.clone();
    let in_flight = ping::InFlight::default();
    let pings = ping::router(ping::App {
        pool,
        clock: clock.clone(),
        in_flight: in_flight.clone(),
        spool: spool
            .clone()
            .map(|folder| Arc::new(PingsFolder { folder, beats: beats.clone() }) as Arc<dyn Spool>),
        breaker: Breaker::default(),
        most_per_minute: Some(settings.most_pings_per_minute),
        freezes: None,
    });
    let pings = pings.layer(from_fn_with_state(missed, write_before_pings));
    let app = ping::beside(pings, api)
        .layer(from_fn_with_state(Arc::new(settings.trusted_proxies), source_address))
        .layer(map_response(move |response| hand_over(new_work.clone(), response)));

    let (stop, stopped) = watch::channel(false);
    let waiting = spool.map(|spool| loops::WaitingPings { spool, hold: settings.spool_hold });
    let pings = loops::PingsOnTheirWay { in_flight, waiting };
    let heartbeat = settings.heartbeat;
    let mut stopping = stopped.clone();
    // From now on, whatever the loops wait for.
    let of_loops = beats.clone();
    let beating = tokio::spawn(async move { beats.go_on().await });
    let mut loops = tokio::spawn({
        let stopped = stopped.clone();
        async move {
            let prepared = async {
                if !is_migrated {
                    crate::migrate_later(&loops_pool).await;
                }
                if let Some(inbox) = inbox {
                    inbox.follow_the_url().await;
                }
            };
            tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => return,
                () = prepared => {}
            }
            let watch = loops::Watch { beats: of_loops, heartbeat };
            loops::run(loops_pool, senders, clock, pings, watch, work, stopped).await;
        }
    });
    welcome::print(address, settings.token_command.as_deref());

    let mut stopping = stopped.clone();
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { drop(stopping.wait_for(|stop| *stop).await) });
    let serving = tokio::spawn(async move { serving.await });

    tokio::select! {
        () = told_to_stop() => {}
        // They end only when told to: without them pings would go on and nothing be judged.
        _ = &mut loops => return Err("the loops that judge and deliver ended by a fault".to_owned()),
    }
    beating.abort();
    stop.send_replace(true);
    // Whatever does not end in time is cut off: nothing is lost by that, pings are repeated by their
    // senders and claims by the next process.
    let all = async { (serving.await, loops.await) };
    drop(timeout(TIME_TO_STOP, all).await);
    Ok(())
}

/// What this process may have missed, and where that is written down.
#[derive(Clone)]
struct Missed {
    beats: Beats,
    pool: Pool,
    has_spool: bool,
}

impl Missed {
    /// Writes down that this process stood still, before anything is judged by silence. The error is for the log.
    async fn write(&self) -> Result<(), String> {
        if !self.beats.are_unwritten() {
            return Ok(());
        }
        let why = match timeout(TIME_TO_WRITE, self.beats.write(&self.pool)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e)) => e.to_string(),
            Err(_) => "the database is slow".to_owned(),
        };
        Err(format!("it is not written down that the process stood still: {why}"))
    }
}

/// Before an edit, which judges what fell due before it. While it can't be written down the edit is refused.
async fn write_before_changes(State(missed): State<Missed>, request: Request, next: Next) -> Response {
    // What only reads judges nothing, and whoever asks whether the process is there is not kept waiting.
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    match missed.write().await {
        Err(why) => api::unavailable(&why).await,
        Ok(()) => next.run(request).await,
    }
}

/// Before a ping, where there is no spool in which it may wait, and before a snooze, which never waits.
async fn write_before_pings(State(missed): State<Missed>, request: Request, next: Next) -> Response {
    if missed.has_spool && !request.uri().path().contains("/snooze/") {
        return next.run(request).await;
    }
    match missed.write().await {
        Err(why) => {
            tracing::error!("{why}");
            let text = "the database can't be reached at the moment; try again in some seconds";
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], text).into_response()
        }
        Ok(()) => next.run(request).await,
    }
}

async fn source_address(
    State(proxies): State<Arc<TrustedProxies>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let source = SourceAddress(proxies.source(peer.ip(), request.headers()));
        request.extensions_mut().insert(source);
    }
    next.run(request).await
}

/// Nothing needs to be handed to a loop that looks into the table: it is only woken.
async fn hand_over(work: Arc<Notify>, response: Response) -> Response {
    if response.extensions().get::<NewDeliveries>().is_some() {
        work.notify_one();
    }
    response
}

async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
