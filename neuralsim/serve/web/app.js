// The page of `neuralsim serve`: combines video, HUD and controls.

import { Connection } from "./connection.js";
import { Controls, Touch } from "./controls.js";
import { Hud } from "./hud.js";
import { Maps } from "./map.js";
import { Menu, drawKeys } from "./menu.js";
import { ROWS, StampReader } from "./stamp.js";

const byId = (id) => document.getElementById(id);
const [frame, video, canvas, cover] = ["frame", "video", "canvas", "cover"].map(byId);
const query = new URLSearchParams(location.search);
const hud = new Hud(), reader = new StampReader();
const FIRST = [[["W", "S"], "throttle, brake"], [["A", "D"], "steer"], [["P"], "let the autopilot drive"], [["Esc"], "pause, settings"], [["H"], "all keys"]];

let me = { page: "", role: "", help: [] }, status = {}, reported = performance.now(), reportedSeen = [0, 0];
let asleep = 0;

const connection = new Connection(location.hash.slice(1), query.get("transport") ?? "", {
  opened() { controls.begin(); },
  lost(text, refused) {
    me = { ...me, page: "" };
    showCover(text, refused);
  },
  message(message) { (handlers[message.t] ?? (() => {}))(message); },
  stream(stream) { video.srcObject = stream; },
  expects() { return status.driving && !document.hidden; },
  picture(bitmap, stamp) {
    resize(bitmap.width, bitmap.height, 0);
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    bitmap.close();
    show(canvas);
    requestAnimationFrame((time) => presented(stamp, Math.max(time, performance.now())));
  },
});
const controls = new Controls(act, (message) => me.role === "drive" && me.page && connection.sendLossy(message));
const maps = new Maps(byId("map"), byId("largemap"), (place) => drives() && connection.send({ t: "go", place }));
const menu = new Menu(byId("menu"), (message) => connection.send(message), act, (command) => controls.press(command));
new Touch(controls, { steer: byId("wheel"), throttle: byId("gas"), brake: byId("stop") });

const drives = () => me.page !== "" && status.driver === me.page;

// Messages of the server

const handlers = {
  welcome(message) {
    me = message;
    controls.actions = message.keys;
    drawKeys(byId("help"), message.help);
    showCover("Connected");
    if (!coarse) hud.notify("Press H for help");
  },
  status(message) {
    status = message;
    const watching = me.role !== "drive" ? "WATCHING" : !drives() && status.driver ? "ANOTHER PAGE IS DRIVING" : "";
    document.body.classList.toggle("watching", watching !== "");
    hud.setStatus(status, { watching });
    byId("divider").hidden = status.view !== 6 || !drives();
    byId("divider").style.left = `${100 * status.divider}%`;
    if (!status.driving) showCover(status.doing || `Starting: ${status.seconds.toFixed(0)} s`);
    byId("steps").replaceChildren(...(status.driving ? [] : status.steps).map(([name, done]) => {
      const line = document.createElement("li");
      line.textContent = name;
      line.className = done ? "done" : "";
      return line;
    }));
  },
  hud(message) { hud.hud(message); maps.update(message); },
  chart(message) { maps.setChart(message); },
  choices(message) { menu.setChoices(message); },
  notice(message) { hud.notify(message.driver && message.driver === me.page ? message.own : message.text); },
  impact() { hud.shake(); },
};

// The cover while there is no picture

function showCover(text, refused = false) {
  byId("progress").textContent = text;
  byId("ask").hidden = !refused;
  byId("first").hidden = refused;
  cover.classList.remove("gone");
  cover.classList.toggle("over", hud.seen > 0 && !refused);
  if (refused) byId("token").focus();
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  connection.token = byId("token").value.trim();
  history.replaceState(null, "", `#${connection.token}`);
  showCover("Connecting");
  connection.connect();
});
byId("first").append(...FIRST.flatMap(([keys, meaning]) => {
  const caps = document.createElement("dt"), text = document.createElement("dd");
  caps.append(...keys.map((key) => Object.assign(document.createElement("kbd"), { textContent: key })));
  text.textContent = meaning;
  return [caps, text];
}));

// Pictures

function resize(width, height, strip) {
  frame.style.setProperty("--aspect", width / height);
  byId("stage").style.setProperty("--aspect", width / height);
  frame.style.setProperty("--strip", strip / height);
}

function show(shown) {
  if (!shown.hidden) return;
  video.hidden = shown !== video;
  canvas.hidden = shown !== canvas;
}

function presented(stamp, time) {
  hud.presented(stamp, time);
  if (stamp) {
    controls.presented(stamp.control, time);
    if (status.driving !== false && me.page) cover.classList.add("gone");
  }
}

function onVideo(now, data) {
  video.requestVideoFrameCallback(onVideo);
  if (connection.transport !== "webrtc" || !video.videoHeight) return;
  resize(video.videoWidth, video.videoHeight - ROWS, ROWS);
  show(video);
  presented(reader.read(video), Math.max(performance.now(), data.expectedDisplayTime ?? 0));
}

function eachRefresh() {  // for browsers without requestVideoFrameCallback: polls at each screen refresh
  requestAnimationFrame(eachRefresh);
  if (connection.transport !== "webrtc" || !video.videoHeight) return;
  const stamp = reader.read(video);
  if (!stamp || stamp.picture === eachRefresh.last) return;
  eachRefresh.last = stamp.picture;
  resize(video.videoWidth, video.videoHeight - ROWS, ROWS);
  show(video);
  presented(stamp, performance.now());
}
if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(onVideo);
else eachRefresh();
video.addEventListener("loadedmetadata", () => video.play().catch(() => {}));

// Actions that the page carries out itself; returns true if the action is not for the server

function act(action) {
  if (action === "hud") hud.toggle();
  else if (action === "full_hud") { hud.toggleFull(); drawMetrics(); }
  else if (action === "help") byId("help").hidden = !byId("help").hidden;
  else if (action === "map") maps.toggle();
  else if (action === "fullscreen") document.fullscreenElement ? document.exitFullscreen() : byId("stage").requestFullscreen?.().catch(() => {});
  else if (action === "screenshot") screenshot();
  else if (action === "menu") closeOrOpenMenu();
  else if (action.startsWith("view")) {
    const view = Number(action.slice(5)) || status.view % 6 + 1;
    if (drives()) connection.send({ t: "view", view });
  } else if (action === "skip") { if (status.card && drives()) controls.press("close_card"); }
  else if (action === "graph") return true;
  else return me.role !== "drive";
  return true;
}

function closeOrOpenMenu() {
  if (!byId("help").hidden) byId("help").hidden = true;
  else if (maps.open) maps.toggle();
  else if (drives() && status.driving) menu.toggle();
}

function screenshot() {
  const shown = video.hidden ? canvas : video, strip = video.hidden ? 0 : ROWS;
  const [width, height] = video.hidden ? [canvas.width, canvas.height] : [video.videoWidth, video.videoHeight - ROWS];
  if (!width || !height) return;
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  copy.getContext("2d").drawImage(shown, 0, strip, width, height, 0, 0, width, height);
  copy.toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `neuralsim-${new Date().toISOString().replace(/[:.]/g, "-")}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

addEventListener("keydown", (event) => {
  if (event.target?.tagName === "INPUT" || !menu.key(event.key)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, { capture: true });
byId("bar").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  button.blur();
  if (button.dataset.act) act(button.dataset.act);
  else controls.press(button.dataset.press);
});
byId("measure").addEventListener("click", (event) => { event.currentTarget.blur(); hud.toggleFull(); drawMetrics(); });
byId("card").addEventListener("click", () => { if (drives()) controls.press("close_card"); });
byId("help").addEventListener("click", () => { byId("help").hidden = true; });
const divide = (event) => {
  const box = frame.getBoundingClientRect();
  connection.send({ t: "divide", share: Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) });
};
byId("divider").addEventListener("pointerdown", (event) => event.currentTarget.setPointerCapture(event.pointerId));
byId("divider").addEventListener("pointermove", (event) => event.buttons && divide(event));
const wake = () => {
  frame.classList.add("awake");
  clearTimeout(asleep);
  asleep = setTimeout(() => frame.classList.remove("awake"), 2500);
};
for (const name of ["pointermove", "pointerdown", "focusin"]) addEventListener(name, wake);
const coarse = matchMedia("(pointer: coarse)").matches || query.has("touch");
document.body.classList.toggle("coarse", coarse);
byId("touch").hidden = !coarse;
addEventListener("contextmenu", (event) => event.preventDefault());

// Metrics: displayed here, and sent to the server every second

function drawMetrics() {
  const detail = video.hidden ? "JPEG" : `${connection.buffered.toFixed(0)} ms receive delay`;
  hud.draw(controls.latencies, connection.transport, detail);
}
setInterval(drawMetrics, 250);
setInterval(() => {
  const now = performance.now(), [shown, rendered] = reportedSeen;
  const latency = controls.fresh.splice(0).map((value) => Math.round(value * 100) / 100).slice(-256);
  if (me.page && connection.transport && now > reported) {
    connection.send({ t: "measured", latency, shown: hud.seen - shown, rendered: hud.seenRendered - rendered, seconds: (now - reported) / 1000, transport: connection.transport });
  }
  reported = now;
  reportedSeen = [hud.seen, hud.seenRendered];
}, 1000);

// `?press`: the page of a benchmark, which presses Q at random times

if (query.has("press")) {
  const press = () => {
    if (drives() && status.driving) {
      for (const kind of ["keydown", "keyup"]) dispatchEvent(new KeyboardEvent(kind, { key: "q", code: "KeyQ", cancelable: true }));
    }
    setTimeout(press, 60 + 80 * Math.random());
  };
  press();
}

connection.connect();
window.neuralsim = { connection, controls, hud, maps, menu, status: () => status, me: () => me };  // for tests and debugging
