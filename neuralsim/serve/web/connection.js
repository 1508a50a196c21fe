// The connection to the server: a WebSocket for reliable messages, and WebRTC for video, HUD and controls, with the
// WebSocket as a fallback. It reconnects automatically.

const PATIENCE = 400;  // ms after which images come over the WebSocket, until WebRTC works, if ever
const STALLED = 5;      // checks, half a second apart, without a new WebRTC frame after which it counts as lost
const RETRY = 30000;    // ms until WebRTC is tried again
const SILENT = 4000;    // ms without an image or a message after which the connection counts as lost
const AGAIN = [250, 500, 1000, 2000];  // ms before the next attempts
const REFUSED = 4401, FULL = 4429;

export class Connection {
  // `on`: opened(), lost(text, refused), message(object), picture(bitmap, stamp), stream(MediaStream), and expects(),
  // whether there should be frames
  constructor(token, transport, on) {
    Object.assign(this, { token, forced: transport, on, transport: "", attempts: 0, open: false });
    this.stalled = 0;    // checks without a new frame
    this.video = null;   // the last statistics of the video
    this.buffered = 0;   // recent ms from a frame's first packet until it is decoded
    setInterval(() => { this.checkSilence(); this.checkVideo(); }, 500);
  }

  connect() {
    this.end();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/session`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.send({ t: "hello", token: this.token });
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = (event) => this.closed(socket, event);
    this.socket = socket;
    this.received = performance.now();
  }

  closed(socket, event) {
    if (socket !== this.socket) return;
    this.end();
    if (event.code === REFUSED) { this.on.lost("This token is not valid for this server", true); return; }
    this.on.lost(event.code === FULL ? "Too many pages are open" : "Connecting", false);
    const wait = AGAIN[Math.min(this.attempts++, AGAIN.length - 1)];
    this.timer = setTimeout(() => this.connect(), wait);
  }

  end() {
    for (const timer of [this.timer, this.patience, this.retry]) clearTimeout(timer);
    this.open = false;
    this.transport = "";
    this.endPeer();
    const socket = this.socket;
    this.socket = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close();
  }

  endPeer() {
    const peer = this.peer;
    this.peer = this.channel = null;
    if (peer) { peer.onconnectionstatechange = null; peer.close(); }
  }

  // Closes a connection that has gone silent, such as after a laptop was suspended.
  checkSilence() {
    if (!this.socket || performance.now() - this.received < SILENT) return;
    const socket = this.socket;
    this.received = performance.now();
    this.closed(socket, { code: 0 });
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // For messages that may be lost, since the next one replaces them.
  sendLossy(message) {
    if (this.channel?.readyState === "open") {
      if (this.channel.bufferedAmount < 16384) this.channel.send(JSON.stringify(message));
    } else if (this.transport === "websocket" && this.socket?.bufferedAmount < 16384) {
      this.send(message);
    }
  }

  receive(data) {
    this.received = performance.now();
    if (typeof data !== "string") { this.picture(data); return; }
    const message = JSON.parse(data);
    if (message.t === "welcome") {
      this.attempts = 0;
      this.open = true;
      this.on.message(message);
      this.on.opened();
      if (this.forced === "websocket" || !window.RTCPeerConnection) this.fallBack();
      else this.offer().catch(() => this.fallBack());
    } else if (message.t === "answer") {
      this.peer?.setRemoteDescription({ type: "answer", sdp: message.sdp }).catch(() => this.fallBack());
    } else if (message.t === "failed") {
      this.fallBack(true);
    } else {
      this.on.message(message);
    }
  }

  // Browsers request key frames by RTCP, which does not reach the encoder that all pages share.
  async checkVideo() {
    const peer = this.peer;
    if (!peer || this.transport !== "webrtc") return;
    const video = [...(await peer.getStats()).values()].find((report) => report.type === "inbound-rtp");
    if (!video || peer !== this.peer) return;
    const before = this.video ?? {};
    this.video = video;
    this.stalled = video.framesDecoded === before.framesDecoded && this.on.expects() ? this.stalled + 1 : 0;
    if (this.stalled >= STALLED) { this.fallBack(true); return; }
    if (video.pliCount > (before.pliCount ?? 0)) this.send({ t: "keyframe" });
    const decoded = video.framesDecoded - (before.framesDecoded ?? 0);
    if (decoded > 0) this.buffered = 1000 * (video.totalProcessingDelay - (before.totalProcessingDelay ?? 0)) / decoded;
  }

  async offer() {
    const peer = this.peer = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle" });
    this.video = null;
    this.stalled = 0;
    const video = peer.addTransceiver("video", { direction: "recvonly" });
    if ("jitterBufferTarget" in video.receiver) video.receiver.jitterBufferTarget = 0;
    if ("playoutDelayHint" in video.receiver) video.receiver.playoutDelayHint = 0;
    const channel = this.channel = peer.createDataChannel("drive", { ordered: false, maxRetransmits: 0 });
    channel.onmessage = (event) => { this.received = performance.now(); this.on.message(JSON.parse(event.data)); };
    peer.ontrack = (event) => this.on.stream(event.streams[0] ?? new MediaStream([event.track]));
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "connected") { clearTimeout(this.patience); this.transport = "webrtc"; }
      if (peer.connectionState === "failed") this.fallBack(true);
    };
    this.patience = setTimeout(() => this.fallBack(), PATIENCE);
    await peer.setLocalDescription();
    await gathered(peer);
    if (this.peer === peer) this.send({ t: "offer", sdp: peer.localDescription.sdp });
  }

  // `lost`: the current WebRTC connection has failed; a new one is tried later.
  fallBack(lost = false) {
    clearTimeout(this.patience);
    this.transport = "websocket";
    this.send({ t: "fallback", lost });
    if (!lost) return;
    this.endPeer();
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.open && this.transport === "websocket" && this.offer().catch(() => {}), RETRY);
  }

  async picture(data) {
    const [picture, control, rendered] = new Uint32Array(data, 0, 3);
    const bitmap = await createImageBitmap(new Blob([data.slice(12)], { type: "image/jpeg" }));
    this.send({ t: "seen", n: picture });
    if (this.transport === "websocket") this.on.picture(bitmap, { picture, control, rendered: rendered % 256 });
    else bitmap.close();
  }
}

// Waits for the ICE candidates of this page; without a STUN server they are available immediately.
function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") { resolve(); return; }
    setTimeout(resolve, 400);
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
  });
}
