// One WebSocket for what must not be lost; WebRTC for pictures, HUD and controls, or, where that does not come
// through, the WebSocket for them too. It begins anew by itself.

const PATIENCE = 400;  // ms after which pictures come over the WebSocket, until WebRTC works, if ever
const STALLED = 5;      // looks, half a second apart, without a new picture by WebRTC, after which it counts as lost
const RETRY = 30000;    // ms until it is tried again
const SILENT = 4000;    // ms without a picture or a word after which the connection counts as lost
const AGAIN = [250, 500, 1000, 2000];  // ms before another attempt
const REFUSED = 4401, FULL = 4429;

export class Connection {
  // `on`: opened(), lost(words, refused), message(object), picture(bitmap, numbers), stream(MediaStream), expects():
  // whether there should be pictures
  constructor(token, transport, on) {
    Object.assign(this, { token, forced: transport, on, transport: "", attempts: 0, open: false });
    this.stalled = 0;    // looks without a new picture
    this.video = null;   // what the browser said of the video last
    this.buffered = 0;   // ms from a picture's first packet until it is decoded, lately
    setInterval(() => { this.look(); this.care(); }, 500);
  }

  connect() {
    this.end();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/session`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.say({ t: "hello", token: this.token });
    socket.onmessage = (event) => this.hear(event.data);
    socket.onclose = (event) => this.closed(socket, event);
    this.socket = socket;
    this.heard = performance.now();
  }

  closed(socket, event) {
    if (socket !== this.socket) return;
    this.end();
    if (event.code === REFUSED) { this.on.lost("This token is not the server's", true); return; }
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

  // Lets go of a connection that says nothing any more, such as one of a laptop that slept.
  look() {
    if (!this.socket || performance.now() - this.heard < SILENT) return;
    const socket = this.socket;
    this.heard = performance.now();
    this.closed(socket, { code: 0 });
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // What may be lost, since the next one replaces it.
  sayFast(message) {
    if (this.channel?.readyState === "open") {
      if (this.channel.bufferedAmount < 16384) this.channel.send(JSON.stringify(message));
    } else if (this.transport === "websocket" && this.socket?.bufferedAmount < 16384) {
      this.say(message);
    }
  }

  hear(data) {
    this.heard = performance.now();
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

  // The browser asks the sender for a key frame by RTCP, which the encoder of all pages does not hear of.
  async care() {
    const peer = this.peer;
    if (!peer || this.transport !== "webrtc") return;
    const video = [...(await peer.getStats()).values()].find((report) => report.type === "inbound-rtp");
    if (!video || peer !== this.peer) return;
    const before = this.video ?? {};
    this.video = video;
    this.stalled = video.framesDecoded === before.framesDecoded && this.on.expects() ? this.stalled + 1 : 0;
    if (this.stalled >= STALLED) { this.fallBack(true); return; }
    if (video.pliCount > (before.pliCount ?? 0)) this.say({ t: "keyframe" });
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
    channel.onmessage = (event) => { this.heard = performance.now(); this.on.message(JSON.parse(event.data)); };
    peer.ontrack = (event) => this.on.stream(event.streams[0] ?? new MediaStream([event.track]));
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "connected") { clearTimeout(this.patience); this.transport = "webrtc"; }
      if (peer.connectionState === "failed") this.fallBack(true);
    };
    this.patience = setTimeout(() => this.fallBack(), PATIENCE);
    await peer.setLocalDescription();
    await gathered(peer);
    if (this.peer === peer) this.say({ t: "offer", sdp: peer.localDescription.sdp });
  }

  // `lost`: there is no hope left for the WebRTC that there was; later there may be.
  fallBack(lost = false) {
    clearTimeout(this.patience);
    this.transport = "websocket";
    this.say({ t: "fallback", lost });
    if (!lost) return;
    this.endPeer();
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.open && this.transport === "websocket" && this.offer().catch(() => {}), RETRY);
  }

  async picture(data) {
    const [picture, control, painted] = new Uint32Array(data, 0, 3);
    const bitmap = await createImageBitmap(new Blob([data.slice(12)], { type: "image/jpeg" }));
    this.say({ t: "seen", n: picture });
    if (this.transport === "websocket") this.on.picture(bitmap, { picture, control, painted: painted % 256 });
    else bitmap.close();
  }
}

// Addresses of this page's side: without a STUN server they are there at once.
function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") { resolve(); return; }
    setTimeout(resolve, 400);
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
  });
}
