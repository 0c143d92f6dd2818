//! Where a transport drives a session: frames in, outputs carried out, timers kept.
//!
//! One task per connection. What the session asks of the store is done in its turn, so that everything that
//! reaches the client comes from one place, in one order.

pub mod event_stream;
pub mod inbox;
pub mod intake;
pub(crate) mod leaving;
pub mod long_poll;
pub mod websocket;

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use parlour_proto::{Load, Millis, Session, SessionConfig, SessionInput, SessionOutput};
use parlour_store::{App, Events, Reader};
use parlour_wire::events::ClientSignal;
use parlour_wire::frames::{AppState, ByeIntent, ClientInfo, Hello};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::{
    ClientFrame, CloseCode, ConnectionId, ErrorBody, ErrorCode, Open, Seq, ServerFrame, Timestamp, Topic,
    json,
};
use serde_json::Value;

use crate::accept::Pending;
use crate::access::{self, Caller, Wish};
use crate::auth::Bearer;
use crate::channel_types;
use crate::chat::connect_user::{self, Door, Friends, NotWelcome, Refusal, Welcome};
use crate::config::LimitsConfig;
pub use crate::connections::LastsBy;
use crate::connections::{Arrival, Unanswered};
use crate::frame::Frame;
use crate::mailbox::{Cut, Mail, Mailbox};
use crate::node::Node;
use crate::presence::Departure;
use crate::profile::Holder;
use inbox::Inbox;
use intake::Intake;

/// What a transport brings.
#[derive(Debug)]
pub enum Received {
    /// A whole text.
    Text(String),
    /// A frame that was read with what it came in.
    Frame(Value),
    /// Bytes that are no text: frames are JSON texts.
    Binary,
    /// A control frame of the transport, which it has answered itself.
    Control,
    /// The transport's own time is over; its connection may outlive it.
    Over,
    /// The other side closed, perhaps with a code.
    Closed(Option<CloseCode>),
    /// The other side broke the transport's own rules: close with this code.
    Broken { code: CloseCode, reason: String },
}

/// Why a frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The other side takes nothing any more.
    Stalled,
    /// The other side is gone.
    Gone,
    /// The transport carries no more frames; its connection may outlive it.
    Full,
}

/// What came of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits any more.
    All,
    /// So much of it; the other side takes no more now.
    Some { bytes: usize },
    /// The other side is gone.
    Broken,
}

/// Where frames go out without anybody waiting: the way of the hub, past the gateway that waits.
pub trait Outlet: Send + Sync {
    /// Whether the other side took everything so far, and not too much is waiting since.
    fn has_room(&self) -> bool;
    /// Puts frames behind those that wait.
    fn push(&self, frames: &mut dyn Iterator<Item = &Frame>);
    /// Lets out what waits, as far as the other side takes it now. What is left is the gateway's: it drains.
    fn flush(&self) -> Flushed;
}

/// What carries frames: a WebSocket, or anything else that can.
pub trait Transport: Send + 'static {
    /// The transport's name in logs.
    const NAME: &'static str;
    /// Whether its end carries the close code. Where it does not, the last frame is a `bye`, always.
    const CARRIES_CODE: bool = true;
    /// What the connection lasts by.
    const LASTS_BY: LastsBy = LastsBy::Link;
    /// The connection was let in.
    fn admitted(&mut self, _: Arrival) {}
    /// Where frames come in that the client sends by a request of their own; `None`: they come this way alone.
    fn inbox(&self) -> Option<&Arc<Inbox>> {
        None
    }
    /// Where frames go out past the gateway; `None`: it sends them all itself.
    fn outlet(&self) -> Option<Arc<dyn Outlet>> {
        None
    }
    /// Waits for what comes next. May be dropped at any time without losing anything.
    fn recv(&mut self) -> impl Future<Output = Received> + Send;
    /// Sends a frame, or keeps it for the next drain; waits while the other side is slow and much waits.
    fn send(&mut self, frame: Frame) -> impl Future<Output = Result<(), SendError>> + Send;
    /// How the other side takes what it is sent, where that is known.
    fn intake(&self) -> Intake {
        Intake::default()
    }
    /// Waits until everything that was sent, here or by the outlet, is on its way.
    fn drain(&mut self) -> impl Future<Output = Result<(), SendError>> + Send {
        async { Ok(()) }
    }
    /// What was sent and has not left yet leaves now, or never: returns when nothing of it is here any more.
    fn withhold(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
    /// Whether the other side is still reading what it was sent before the last ping.
    fn is_behind(&self) -> bool {
        false
    }
    /// Answers the other side's close, where the transport has an answer to it.
    fn answer_close(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
    /// Says why, and ends within a few seconds whatever the other side does.
    fn close(&mut self, code: CloseCode, reason: &str) -> impl Future<Output = ()> + Send;
}

/// When a tick comes this much after its deadline, the server's own loop is late and judges nobody.
const LATE_MS: u64 = 1_000;
/// When somebody is cut off and takes what was sent before no faster than this, it goes without it.
const WITHHOLD_WAIT: Duration = Duration::from_secs(1);
/// A poll ends at least this long before it would be pinged.
const HOLD_MARGIN_MS: u64 = 5_000;

/// What sessions are held to on connections that last by this.
pub(crate) fn session_config(limits: &LimitsConfig, lasts_by: LastsBy) -> SessionConfig {
    SessionConfig {
        hello_wait_ms: limits.hello_wait_ms,
        heartbeat_ms: match lasts_by {
            LastsBy::Link => limits.heartbeat_ms,
            LastsBy::Lease => limits.poll_hold_ms + HOLD_MARGIN_MS,
        },
        pong_wait_ms: limits.pong_wait_ms,
        token_grace_ms: limits.token_grace_ms,
        lease_max_ms: limits.lease_max_ms,
        lease_grace_ms: limits.lease_grace_ms,
        frames_per_second: limits.frames_per_second,
        frames_burst: limits.frames_burst,
        replay_max: limits.replay_max,
    }
}

/// Serves one connection until it ends.
pub async fn serve<T: Transport>(
    node: Arc<Node>,
    transport: T,
    address: Option<IpAddr>,
    pending: Option<Pending>,
) {
    let ping_phase = match T::LASTS_BY {
        LastsBy::Link => node.dice.fraction(),
        // Each poll is a sign of life: it is over before it is asked for another.
        LastsBy::Lease => 1.0,
    };
    let opened_at = node.clock.millis();
    let session = Box::new(Session::new(opened_at, node.session_config(T::LASTS_BY), ping_phase));
    let id =
        ConnectionId::parse(&format!("c-{}", &node.dice.hex()[..24])).expect("hexadecimal is in the charset");
    let bytes_max = node.config.limits.queue_bytes_max;
    let (intake, outlet) = (transport.intake(), transport.outlet());
    let mailbox = Arc::new(Mailbox::new(node.next_mailbox(), id, bytes_max, intake, outlet));
    let mut gateway = Gateway {
        node: Arc::clone(&node),
        transport,
        mailbox,
        address,
        pending,
        guest: None,
        arrival: None,
        departure: Departure::Lost,
        unanswered: None,
        checked: node.hub.checked_at(),
        said_bye: false,
        closed_with: None,
        is_over: false,
        is_succeeded: false,
        is_cut: false,
    };
    let session = gateway.run(session).await;
    gateway.stop_listening(&session);
    drop(session);
    gateway.outlive().await;
    gateway.clean_up(opened_at);
    gateway.fall_silent().await;
}

/// One connection and everything it needs.
struct Gateway<T> {
    node: Arc<Node>,
    transport: T,
    mailbox: Arc<Mailbox>,
    /// Where the client is, if that is known.
    address: Option<IpAddr>,
    /// Held until `hello` is accepted: the cap on connections that only wait.
    pending: Option<Pending>,
    /// Who is connected, once admitted.
    guest: Option<Guest>,
    arrival: Option<Arrival>,
    departure: Departure,
    /// Held while a newcomer waits to know whether the client is there.
    unanswered: Option<Unanswered>,
    checked: parlour_wire::Timestamp,
    /// Whether the client was told the code and everything that belongs to it.
    said_bye: bool,
    closed_with: Option<(CloseCode, String)>,
    /// Whether the transport has ended and the connection has not.
    is_over: bool,
    /// Whether the connection went over to another gateway.
    is_succeeded: bool,
    /// Whether the user is no longer welcome, and only that is still said.
    is_cut: bool,
}

/// Why a gateway that waited waits no longer.
enum Woken {
    Received(Received),
    /// Something waits in the mailbox, or on the wire.
    Mail,
    /// A deadline has passed. `late`: long ago.
    Due {
        late: bool,
    },
}

/// An admitted user.
struct Guest {
    app: Arc<App>,
    seat: u64,
    user: Holder,
    client: ClientInfo,
    /// What the token says of when it was issued.
    issued_at: Option<Timestamp>,
}

impl Guest {
    /// Who it is to the door.
    fn caller(&self) -> Caller {
        Caller {
            app: Arc::clone(&self.app),
            bearer: Bearer::User(self.user.id.clone()),
            acts_as: None,
            scopes: Arc::default(),
        }
    }
}

impl<T: Transport> Gateway<T> {
    /// Drives the session until it ends, or the transport does.
    async fn run(&mut self, mut session: Box<Session<Frame>>) -> Box<Session<Frame>> {
        while !self.has_ended() {
            // Each step that is not waiting is a future of its own: a connection that waits holds no room for it.
            if Box::pin(self.catch_up(&mut session)).await.is_break() {
                break;
            }
            let deadline = session.deadline();
            self.mailbox.lay_down(session);
            let woken = self.wait(deadline).await;
            session = self.mailbox.take_up().expect("only the gateway takes it up, and it was laid down");
            if Box::pin(self.wake(&mut session, woken)).await.is_break() {
                break;
            }
        }
        session
    }

    /// Brings out what waits for the other side, and to the session what waits for it.
    async fn catch_up(&mut self, session: &mut Session<Frame>) -> ControlFlow<()> {
        self.drain().await?;
        self.deliver(session).await?;
        self.drain().await
    }

    /// Waits for something to do.
    async fn wait(&mut self, deadline: Option<Millis>) -> Woken {
        let wake_at = deadline.map(|at| self.node.clock.instant(at));
        let timer = async {
            match wake_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What has come is looked at before anybody is judged for not having sent it.
            biased;
            received = self.transport.recv() => Woken::Received(received),
            () = self.mailbox.arrived() => Woken::Mail,
            () = timer => {
                let late = deadline.is_some_and(|at| self.node.clock.millis() > at + LATE_MS);
                Woken::Due { late }
            }
        }
    }

    async fn wake(&mut self, session: &mut Session<Frame>, woken: Woken) -> ControlFlow<()> {
        let input = match woken {
            Woken::Mail => return ControlFlow::Continue(()),
            Woken::Due { late } => {
                if self.transport.is_behind() {
                    self.feed(session, SessionInput::Behind).await;
                }
                SessionInput::Tick { late }
            }
            Woken::Received(Received::Text(text)) => read_text(text.as_bytes()),
            Woken::Received(Received::Frame(frame)) => read_frame(frame),
            Woken::Received(Received::Binary) => SessionInput::Malformed {
                error: ErrorCode::BadFrame.because("Frames are JSON texts; this one is binary."),
            },
            Woken::Received(Received::Control) => SessionInput::Control,
            Woken::Received(Received::Over) => {
                self.is_over = true;
                return ControlFlow::Break(());
            }
            // The answer is lost, the connection is not: the client asks again. One that came anew leaves
            // nothing: nobody knows its id.
            Woken::Received(Received::Closed(_)) if self.arrival == Some(Arrival::Again) => {
                self.is_over = true;
                return ControlFlow::Break(());
            }
            Woken::Received(Received::Closed(code)) => {
                self.transport.answer_close().await;
                if code == Some(CloseCode::NORMAL) {
                    self.departure = Departure::Left;
                }
                self.closed_with = Some((code.unwrap_or(CloseCode(1006)), "closed by the client".to_owned()));
                return ControlFlow::Break(());
            }
            Woken::Received(Received::Broken { code, reason }) => {
                self.close(code, reason).await;
                return ControlFlow::Break(());
            }
        };
        if self.guest.is_some() && !matches!(input, SessionInput::Tick { .. }) {
            self.mailbox.heard(self.node.clock.millis());
            self.unanswered = None;
        }
        // What the server knew before it read the frame is in force for it, such as a removal.
        self.node.hub.settled(&self.mailbox).await;
        self.deliver(session).await?;
        self.feed(session, input).await;
        ControlFlow::Continue(())
    }

    fn has_ended(&self) -> bool {
        self.closed_with.is_some() || self.is_over
    }

    /// Waits, where the connection goes on without its transport, until it goes over to the next one or ends.
    async fn outlive(&mut self) {
        if !self.is_over {
            return;
        }
        self.transport.close(CloseCode::NORMAL, "").await;
        let lease = Duration::from_millis(self.node.config.limits.poll_lease_ms);
        let until = tokio::time::Instant::now() + lease;
        let inbox = self.transport.inbox().map(Arc::clone).unwrap_or_default();
        while !self.is_succeeded && self.closed_with.is_none() {
            let delivery = self.mailbox.take();
            self.is_succeeded |= delivery.succeeded;
            for mail in delivery.mail {
                let code = match mail {
                    Mail::End { code, .. } => code,
                    // The last answer may be on its way.
                    Mail::Cut(cut) => self.withhold(cut).await.0,
                    Mail::Drain { .. } => CloseCode::RESTART,
                    Mail::Live(_) | Mail::Signal(_) | Mail::Head { .. } | Mail::Probe(_) => continue,
                };
                self.closed_with = Some((code, "ended between two polls".to_owned()));
            }
            if self.is_succeeded || self.closed_with.is_some() {
                return;
            }
            tokio::select! {
                biased;
                () = self.mailbox.arrived() => {}
                bye = inbox.bye() => {
                    if let Ok(ClientFrame::Bye { intent }) = serde_json::from_value(bye) {
                        self.leaving(&intent);
                    }
                    self.closed_with = Some((CloseCode::NORMAL, "left".to_owned()));
                }
                () = tokio::time::sleep_until(until) => {
                    self.closed_with = Some((CloseCode(1006), "no poll came in time".to_owned()));
                }
            }
        }
    }

    /// Takes what waits in the mailbox to the session.
    async fn deliver(&mut self, session: &mut Session<Frame>) -> ControlFlow<()> {
        // Read before the mailbox is emptied: everything up to then is in it, or was.
        let checked = self.node.hub.checked_at();
        let delivery = self.mailbox.take();
        if delivery.succeeded {
            (self.is_over, self.is_succeeded) = (true, true);
            return ControlFlow::Break(());
        }
        let mut ended = false;
        for mail in delivery.mail {
            if self.is_to_be_cut() && !matches!(mail, Mail::Cut(_)) {
                return self.cut(session).await;
            }
            let input = match mail {
                Mail::Live(live) => SessionInput::Live(live),
                Mail::Head { topic, head } => SessionInput::Head { topic, head },
                Mail::Signal(frame) => {
                    if self.send(frame).await.is_break() {
                        return ControlFlow::Break(());
                    }
                    continue;
                }
                Mail::Probe(unanswered) => {
                    self.unanswered = Some(unanswered);
                    SessionInput::Probe
                }
                Mail::Drain { retry_after_ms } => {
                    ended = true;
                    if self.send(Frame::new(&ServerFrame::Drain { retry_after_ms })).await.is_break() {
                        return ControlFlow::Break(());
                    }
                    let bye = ServerFrame::Bye {
                        code: CloseCode::RESTART,
                        reason: "the server restarts".to_owned(),
                        retry_after_ms: Some(retry_after_ms),
                        replaced_by: None,
                    };
                    SessionInput::End { bye: Box::new(bye), code: CloseCode::RESTART }
                }
                Mail::End { bye, code } => {
                    ended = true;
                    SessionInput::End { bye, code }
                }
                Mail::Cut(cut) => {
                    ended = true;
                    self.last_word(cut).await
                }
            };
            self.feed(session, input).await;
            if self.has_ended() {
                return ControlFlow::Break(());
            }
        }
        if delivery.overflowed && !ended {
            self.look_at_heads(session).await;
        }
        if delivery.signals_dropped {
            tracing::debug!(connection = %self.mailbox.connection, "signals were left out");
            self.node.presence.tell_anew(&self.mailbox);
        }
        if checked != self.checked && !delivery.overflowed {
            self.checked = checked;
            self.feed(session, SessionInput::Checked { as_of: checked }).await;
        }
        ControlFlow::Continue(())
    }

    async fn feed(&mut self, session: &mut Session<Frame>, input: SessionInput<Frame>) {
        let mut inputs = VecDeque::from([input]);
        let mut outputs = Vec::new();
        while let Some(input) = inputs.pop_front() {
            session.handle(self.node.clock.millis(), input, &mut outputs);
            let mut told = std::mem::take(&mut outputs).into_iter();
            while let Some(output) = told.next() {
                if self.is_to_be_cut() {
                    let Some(cut) = self.cut_in_mailbox() else { return };
                    let word = self.last_word(cut).await;
                    // A session that is just ending says its own last words, and takes none.
                    let is_end =
                        |output: &SessionOutput<Frame>| matches!(output, SessionOutput::Close { .. });
                    if !is_end(&output) && !told.as_slice().iter().any(is_end) {
                        inputs = VecDeque::from([word]);
                        break;
                    }
                }
                if self.perform(output, session, &mut inputs).await.is_break() {
                    return;
                }
            }
        }
    }

    /// Whether nothing may be told any more, and the session does not know.
    fn is_to_be_cut(&self) -> bool {
        self.mailbox.is_cut() && !self.is_cut
    }

    fn cut_in_mailbox(&self) -> Option<Cut> {
        self.mailbox.take().mail.into_iter().find_map(|mail| match mail {
            Mail::Cut(cut) => Some(cut),
            _ => None,
        })
    }

    /// Ends the session of a user who is no longer welcome, whatever else was to be told to it.
    async fn cut(&mut self, session: &mut Session<Frame>) -> ControlFlow<()> {
        if let Some(cut) = self.cut_in_mailbox() {
            let word = self.last_word(cut).await;
            self.feed(session, word).await;
        }
        ControlFlow::Break(())
    }

    /// What is still said to a user who is no longer welcome.
    async fn last_word(&mut self, cut: Cut) -> SessionInput<Frame> {
        let (code, error) = self.withhold(cut).await;
        SessionInput::Refused { code, error, retry_after_ms: None }
    }

    /// Sees to it that nothing of what was told before is still here; then it may be known that the user hears nothing
    /// more.
    async fn withhold(&mut self, cut: Cut) -> (CloseCode, Box<ErrorBody>) {
        self.is_cut = true;
        self.departure = Departure::Left;
        // A lane may be about to flush what it has put on the wire.
        self.node.hub.settled(&self.mailbox).await;
        let _ = tokio::time::timeout(WITHHOLD_WAIT, self.transport.withhold()).await;
        let Cut { code, error, still_telling } = cut;
        drop(still_telling);
        (code, error)
    }

    async fn perform(
        &mut self,
        output: SessionOutput<Frame>,
        session: &Session<Frame>,
        inputs: &mut VecDeque<SessionInput<Frame>>,
    ) -> ControlFlow<()> {
        match output {
            SessionOutput::Send(frame) => {
                self.said_bye = matches!(*frame, ServerFrame::Bye { .. });
                return self.send(Frame::new(&frame)).await;
            }
            SessionOutput::SendShared(frame) => return self.send(frame).await,
            SessionOutput::Admit(hello) => inputs.push_back(self.admit(*hello).await),
            SessionOutput::Attach(topic) => self.attach(&topic),
            SessionOutput::Detach(topic) => self.detach(&topic),
            SessionOutput::Load { topic, after, limit } => {
                self.drain().await?;
                let load = self.load(&topic, after, limit).await;
                inputs.push_back(SessionInput::Loaded { topic, load });
            }
            SessionOutput::LookAtHeads => {
                self.drain().await?;
                inputs.extend(self.heads(session).await);
            }
            SessionOutput::Watch(topic) => inputs.push_back(self.watch(topic).await),
            SessionOutput::VerifyToken(token) => inputs.extend(self.verify_token(&token).await),
            SessionOutput::Review => inputs.extend(self.review().await),
            SessionOutput::Signal { topic, signal } => self.signal(&topic, &signal).await,
            SessionOutput::AppState { state, .. } => self.app_state(state),
            SessionOutput::Presence(subscription) => return self.listen_for(subscription).await,
            SessionOutput::Tabs(count) => {
                if let Some(guest) = &self.guest {
                    let (app, user, now) = (guest.app.id, &guest.user.id, self.node.clock.now());
                    self.node.connections.shared(app, user, &self.mailbox, count, now);
                }
            }
            SessionOutput::Leaving(intent) => self.leaving(&intent),
            SessionOutput::Close { code, reason } => {
                self.close(code, reason).await;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    async fn send(&mut self, frame: Frame) -> ControlFlow<()> {
        let sent = tokio::select! {
            biased;
            sent = self.transport.send(frame) => sent,
            () = self.mailbox.cut_off(), if !self.is_cut => return self.cut_while_stalled().await,
        };
        self.judge(sent).await
    }

    async fn drain(&mut self) -> ControlFlow<()> {
        let drained = tokio::select! {
            biased;
            drained = self.transport.drain() => drained,
            () = self.mailbox.cut_off(), if !self.is_cut => return self.cut_while_stalled().await,
        };
        self.judge(drained).await
    }

    /// Ends the connection of a user who is no longer welcome in the middle of something that was to be told. A slow
    /// reader is not waited for longer than otherwise: it goes without a word then.
    async fn cut_while_stalled(&mut self) -> ControlFlow<()> {
        let Some(cut) = self.cut_in_mailbox() else { return ControlFlow::Break(()) };
        let (code, error) = self.withhold(cut).await;
        let reason = error.code.clone();
        let error = ServerFrame::Error { error: *error, topic: None };
        let told = tokio::time::timeout(WITHHOLD_WAIT, async {
            self.transport.send(Frame::new(&error)).await.is_ok() && self.say_bye(code, &reason).await.is_ok()
        });
        let _ = told.await;
        self.transport.close(code, &reason).await;
        self.closed_with = Some((code, reason));
        ControlFlow::Break(())
    }

    async fn judge(&mut self, sent: Result<(), SendError>) -> ControlFlow<()> {
        match sent {
            Ok(()) => ControlFlow::Continue(()),
            Err(SendError::Gone) => {
                self.closed_with = Some((CloseCode(1006), "the link broke".to_owned()));
                ControlFlow::Break(())
            }
            Err(SendError::Full) => {
                self.is_over = true;
                ControlFlow::Break(())
            }
            Err(SendError::Stalled) => {
                let (code, reason) = (CloseCode::SLOW_READER, "nothing was read while events waited");
                self.transport.close(code, reason).await;
                self.closed_with = Some((code, reason.to_owned()));
                ControlFlow::Break(())
            }
        }
    }

    /// The client said how it goes: a clean goodbye gives its dial back.
    fn leaving(&mut self, intent: &ByeIntent) {
        if *intent == ByeIntent::Leave {
            self.departure = Departure::Left;
        }
        if let Some(guest) = &self.guest {
            let burst = self.node.config.limits.dials_burst;
            self.node.connections.refund_dial(guest.app.id, &guest.user.id, &guest.client, burst);
        }
    }

    /// Says why, and ends.
    async fn close(&mut self, code: CloseCode, reason: String) {
        // Whoever takes no more frames is told nothing more.
        let _ = self.say_bye(code, &reason).await;
        self.transport.close(code, &reason).await;
        self.closed_with = Some((code, reason));
    }

    /// Says the close code in a frame, where the transport has no other way.
    async fn say_bye(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if T::CARRIES_CODE || self.said_bye {
            return Ok(());
        }
        let reason = reason.to_owned();
        let bye = ServerFrame::Bye { code, reason, retry_after_ms: None, replaced_by: None };
        self.transport.send(Frame::new(&bye)).await
    }

    async fn admit(&mut self, hello: Hello) -> SessionInput<Frame> {
        let (inbox, address) = (self.transport.inbox(), self.address);
        let door = Door { mailbox: &self.mailbox, inbox, lasts_by: T::LASTS_BY, address };
        match connect_user::connect_user(&self.node, &door, &hello).await {
            Ok(Welcome { app, user, admission, arrival, seat, issued_at }) => {
                // Those of whom nobody knows who they are go on counting by where they come from.
                if let Some(pending) = self.pending.as_ref().filter(|_| !user.id.is_anonymous()) {
                    pending.give_back();
                }
                self.arrival = Some(arrival);
                self.mailbox.heard(self.node.clock.millis());
                self.transport.admitted(arrival);
                if arrival == Arrival::Anew {
                    tracing::info!(
                        connection = %self.mailbox.connection, user = %user.id, transport = T::NAME,
                        sdk = hello.client.sdk, platform = hello.client.platform, "connected"
                    );
                }
                self.guest = Some(Guest { app, seat, user, client: hello.client, issued_at });
                SessionInput::Admitted(admission)
            }
            Err(NotWelcome::Refused(Refusal { code, error, retry_after_ms })) => {
                SessionInput::Refused { code, error: Box::new(error), retry_after_ms }
            }
            Err(NotWelcome::Ended { bye, code }) => SessionInput::End { bye, code },
        }
    }

    fn attach(&self, topic: &Arc<Topic>) {
        let Some(guest) = &self.guest else { return };
        self.node.hub.attach(guest.app.id, topic, &self.mailbox);
    }

    fn detach(&self, topic: &Topic) {
        let Some(guest) = &self.guest else { return };
        self.node.hub.detach(guest.app.id, topic, &self.mailbox);
    }

    async fn load(&mut self, topic: &Arc<Topic>, after: Seq, limit: u64) -> Load<Frame> {
        let Some(guest) = &self.guest else { return Load::NoAccess };
        let reader = match &**topic {
            Topic::Channel(cid) if self.node.permissions.are_open(&cid.channel_type) => Reader::Anyone,
            Topic::Channel(_) => Reader::Member(guest.user.id.clone()),
            Topic::User(user) if *user != guest.user.id => return Load::NoAccess,
            Topic::App(key) if *key != guest.app.key => return Load::NoAccess,
            Topic::Unknown(_) => return Load::NoAccess,
            Topic::User(_) | Topic::App(_) => Reader::Anyone,
        };
        let mut events = self.node.store.events(guest.app.id, topic, after, limit, reader).await;
        if let (Ok(Events::NoAccess), Topic::Channel(cid)) = (&events, &**topic)
            && access::channel(&self.node, &guest.caller(), cid, Wish::Read).await.is_ok()
        {
            // No member, and one whose role lets it read all the same.
            events = self.node.store.events(guest.app.id, topic, after, limit, Reader::Anyone).await;
        }
        match events {
            Ok(Events::Found { events, head }) => {
                // What the bus has lost is learnt here.
                events.iter().for_each(|logged| self.node.learn(logged));
                let hub = &self.node.hub;
                let events = events.iter().map(|logged| hub.loaded(logged, topic)).collect();
                Load::Events { events, head }
            }
            Ok(Events::Trimmed { head }) => Load::Trimmed { head },
            Ok(Events::NoAccess) => Load::NoAccess,
            Err(error) => {
                tracing::warn!(%error, %topic, "events could not be loaded");
                Load::Failed
            }
        }
    }

    async fn heads(&self, session: &Session<Frame>) -> Vec<SessionInput<Frame>> {
        let Some(guest) = &self.guest else { return Vec::new() };
        let topics: Vec<Arc<Topic>> = session.attached().map(Arc::clone).collect();
        let asked = topics.iter().map(|topic| (guest.app.id, Topic::clone(topic))).collect();
        match self.node.store.heads(asked).await {
            Ok(heads) => topics
                .into_iter()
                .zip(heads)
                .map(|(topic, head)| SessionInput::Head { topic, head })
                .collect(),
            Err(error) => {
                // The hub's own look, every few seconds, finds what this one did not.
                tracing::warn!(%error, "the heads could not be looked at");
                Vec::new()
            }
        }
    }

    async fn look_at_heads(&mut self, session: &mut Session<Frame>) {
        for input in self.heads(session).await {
            self.feed(session, input).await;
        }
    }

    async fn watch(&mut self, topic: Arc<Topic>) -> SessionInput<Frame> {
        let refuse = |topic: Arc<Topic>, error: ErrorBody| SessionInput::WatchRefused {
            topic,
            error: Box::new(error),
        };
        let (Some(guest), Topic::Channel(cid)) = (&self.guest, &*topic) else {
            let error = ErrorCode::NotAllowed.because("Only channels are watched.");
            return refuse(topic, error);
        };
        let granted = match access::channel(&self.node, &guest.caller(), cid, Wish::Read).await {
            Ok(granted) => granted,
            Err(error) => return refuse(topic, error.into_body()),
        };
        match self.node.store.topic_start(guest.app.id, &topic).await {
            Ok(mut start) => {
                start.hidden_up_to = granted.hidden_up_to();
                SessionInput::Watched { start: connect_user::to_proto(&self.node, guest.app.id, start) }
            }
            Err(error) => refuse(topic, crate::error::ApiError::from(error).into_body()),
        }
    }

    async fn verify_token(&mut self, token: &str) -> Option<SessionInput<Frame>> {
        let guest = self.guest.as_mut()?;
        let refused =
            |Refusal { code, error, .. }| SessionInput::TokenRefused { code, error: Box::new(error) };
        let verified = match connect_user::verify_user(&self.node, &guest.app.key, token).await {
            Ok(verified) if verified.user == guest.user.id => verified,
            Ok(verified) => {
                let why =
                    format!("The connection belongs to {}; the token to {}.", guest.user.id, verified.user);
                let error = ErrorCode::WrongUser.because(why);
                return Some(refused(Refusal::new(CloseCode::TOKEN_REFUSED, error)));
            }
            Err(refusal) => return Some(refused(refusal)),
        };
        let (app, issued_at) = (guest.app.id, verified.issued_at);
        if let Err(refusal) = connect_user::is_welcome(&self.node, app, &verified.user, issued_at).await {
            return Some(refused(refusal));
        }
        guest.issued_at = issued_at;
        self.node.connections.goes_on_with(app, &verified.user, &self.mailbox, issued_at);
        Some(SessionInput::TokenAccepted { expires_in_ms: verified.expires_in_ms })
    }

    /// Whether the user is still welcome, when something happened that may have changed that.
    async fn review(&self) -> Option<SessionInput<Frame>> {
        let guest = self.guest.as_ref()?;
        let welcome = connect_user::is_welcome(&self.node, guest.app.id, &guest.user.id, guest.issued_at);
        let Refusal { code, error, retry_after_ms } = welcome.await.err()?;
        Some(SessionInput::Refused { code, error: Box::new(error), retry_after_ms })
    }

    async fn signal(&self, topic: &Topic, signal: &ClientSignal) {
        let (Some(guest), Topic::Channel(cid)) = (&self.guest, topic) else { return };
        // Who is anonymous says nothing.
        if guest.user.id.is_anonymous() {
            return;
        }
        let may_type = channel_types::settings(&cid.channel_type).is_ok_and(|settings| settings.typing);
        if !may_type {
            return;
        }
        let (app, bus) = (guest.app.id, &*self.node.bus);
        match signal {
            ClientSignal::TypingStart => {
                // Whoever may not is not told so: a signal is lost without a word, as on a bad link.
                let granted = access::channel(&self.node, &guest.caller(), cid, Wish::Type).await;
                if granted.is_ok_and(|granted| !granted.is_shadowed) {
                    self.node.typing.start(bus, app, cid, &guest.user, self.mailbox.number);
                }
            }
            ClientSignal::TypingStop => self.node.typing.stop(bus, app, cid, &guest.user.id),
        }
        self.node.connections.active(app, &guest.user.id, &self.mailbox, self.node.clock.millis());
        self.node.presence.active(app, &guest.user.id, self.node.clock.now());
    }

    /// Changes whose presence is told; `None`: nobody else's. Either way the client is told who is there.
    async fn listen_for(&mut self, subscription: Option<PresenceSubscription>) -> ControlFlow<()> {
        let Some(guest) = &self.guest else { return ControlFlow::Continue(()) };
        let (app, presence) = (guest.app.id, &self.node.presence);
        if let Some(subscription) = subscription {
            if let Err(error) = connect_user::check_subscription(&subscription) {
                return self.send(Frame::new(&ServerFrame::Error { error, topic: None })).await;
            }
            let friends = Friends { as_of: presence.friends_as_of(app), may_have_some: true };
            match connect_user::audience(&self.node, app, &guest.user, &subscription, friends).await {
                Some(listening) => drop(presence.subscribe(app, &self.mailbox, listening)),
                None => presence.unsubscribe(&self.mailbox),
            }
        }
        // By the mailbox, in its turn: it takes the place of everything that was told before it.
        presence.tell_anew(&self.mailbox);
        ControlFlow::Continue(())
    }

    fn app_state(&self, state: AppState) {
        let Some(guest) = &self.guest else { return };
        let (app, user) = (guest.app.id, &guest.user.id);
        self.node.presence.stands(app, user, guest.seat, &state, self.node.clock.now());
        self.node.connections.app_state(app, user, &self.mailbox, state, self.node.clock.millis());
    }

    /// From now on nothing is told to this connection.
    fn stop_listening(&self, session: &Session<Frame>) {
        let Some(guest) = &self.guest else { return };
        for topic in session.attached() {
            self.node.hub.detach(guest.app.id, topic, &self.mailbox);
        }
        self.node.presence.unsubscribe(&self.mailbox);
    }

    /// Sees to it that nothing is told any more on this connection, which is nobody's by now; then that may be known.
    async fn fall_silent(&mut self) {
        let _ = tokio::time::timeout(WITHHOLD_WAIT, self.transport.withhold()).await;
        self.node.connections.silent(&self.mailbox);
    }

    /// Takes back everything that this connection had.
    fn clean_up(&mut self, opened_at: u64) {
        let (code, reason) =
            self.closed_with.take().unwrap_or((CloseCode(1006), "the link broke".to_owned()));
        let lasted_ms = self.node.clock.millis() - opened_at;
        let Some(guest) = self.guest.take() else {
            let address = self.address;
            tracing::debug!(connection = %self.mailbox.connection, ?address, %code, reason, lasted_ms, "closed before ready");
            return;
        };
        let user = &guest.user.id;
        let was_there =
            self.node.connections.remove(guest.app.id, user, &self.mailbox, self.node.clock.now());
        // The next poll may have come in the very moment in which this one's lease ended.
        if self.is_succeeded || !was_there && self.mailbox.has_successor() {
            tracing::debug!(connection = %self.mailbox.connection, %user, lasted_ms, "went over to the next poll");
            return;
        }
        if !self.is_over {
            self.node.connections.told(guest.app.id, user, &self.mailbox.connection);
        }
        self.node.typing.stop_all(&*self.node.bus, self.mailbox.number);
        self.node.presence.down(guest.app.id, user, guest.seat, self.departure, self.node.clock.now());
        if !user.is_anonymous() {
            self.node.meter.closed(guest.app.id, user);
        }
        tracing::info!(
            connection = %self.mailbox.connection, %user, transport = T::NAME, %code, reason, lasted_ms, "closed"
        );
    }
}

/// A text as a frame, or why it is none.
fn read_text(text: &[u8]) -> SessionInput<Frame> {
    match json::parse(text) {
        Ok(value) => read_frame(value),
        Err(error) => SessionInput::Malformed { error: ErrorCode::InvalidJson.because(format!("{error}.")) },
    }
}

/// A JSON value as a frame, or why it is none.
fn read_frame(value: Value) -> SessionInput<Frame> {
    let malformed = |why: String| SessionInput::Malformed { error: ErrorCode::BadFrame.because(why) };
    let Some(kind) = value.get("type").and_then(Value::as_str) else {
        return malformed("A frame is an object with a `type`.".to_owned());
    };
    if !ClientFrame::KINDS.contains(&kind) {
        return SessionInput::Frame(Open::Unknown(value));
    }
    match serde_json::from_value(value) {
        Ok(frame) => SessionInput::Frame(Open::Known(frame)),
        Err(error) => malformed(format!("{error}.")),
    }
}
