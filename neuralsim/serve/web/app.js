// The page of `neuralsim serve`: puts pictures, HUD and controls together.

import { Connection } from "./connection.js";
import { Controls, Touch } from "./controls.js";
import { Hud } from "./hud.js";
import { Maps } from "./map.js";
import { Menu, drawKeys } from "./menu.js";
import { ROWS, StampReader } from "./stamp.js";

const byId = (id) => document.getElementById(id);
const [frame, video, canvas, cover] = ["frame", "video", "canvas", "cover"].map(byId);
const wishes = new URLSearchParams(location.search);
const hud = new Hud(), reader = new StampReader();
const FIRST = [[["W", "S"], "throttle, brake"], [["A", "D"], "steer"], [["P"], "let the autopilot drive"], [["Esc"], "pause, settings"], [["H"], "every other key"]];

let me = { page: "", role: "", help: [] }, status = {}, reported = performance.now(), reportedSeen = [0, 0];
let asleep = 0;

const connection = new Connection(location.hash.slice(1), wishes.get("transport") ?? "", {
  opened() { controls.begin(); },
  lost(words, refused) {
    me = { ...me, page: "" };
    say(words, refused);
  },
  message(message) { (heard[message.t] ?? (() => {}))(message); },
  stream(stream) { video.srcObject = stream; },
  expects() { return status.driving && !document.hidden; },
  picture(bitmap, stamp) {
    sized(bitmap.width, bitmap.height, 0);
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    bitmap.close();
    swap(canvas);
    requestAnimationFrame((time) => presented(stamp, Math.max(time, performance.now())));
  },
});
const controls = new Controls(act, (message) => me.role === "drive" && me.page && connection.sayFast(message));
const maps = new Maps(byId("map"), byId("largemap"), (place) => drives() && connection.say({ t: "go", place }));
const menu = new Menu(byId("menu"), (message) => connection.say(message), act, (command) => controls.press(command));
new Touch(controls, { steer: byId("wheel"), throttle: byId("gas"), brake: byId("stop") });

const drives = () => me.page !== "" && status.driver === me.page;

// What the server says

const heard = {
  welcome(message) {
    me = message;
    controls.actions = message.keys;
    drawKeys(byId("help"), message.help);
    say("Connected");
    if (!coarse) hud.notify("Press H for help");
  },
  status(message) {
    status = message;
    const watching = me.role !== "drive" ? "WATCHING" : !drives() && status.driver ? "ANOTHER ONE DRIVES" : "";
    document.body.classList.toggle("watching", watching !== "");
    hud.heard(status, { watching });
    byId("divider").hidden = status.view !== 6 || !drives();
    byId("divider").style.left = `${100 * status.divider}%`;
    if (!status.driving) say(status.doing || `Starting: ${status.seconds.toFixed(0)} s`);
    byId("steps").replaceChildren(...(status.driving ? [] : status.steps).map(([name, done]) => {
      const line = document.createElement("li");
      line.textContent = name;
      line.className = done ? "done" : "";
      return line;
    }));
  },
  hud(message) { hud.hud(message); maps.heard(message); },
  chart(message) { maps.chartCame(message); },
  choices(message) { menu.heard(message.items); },
  notice(message) { hud.notify(message.driver && message.driver === me.page ? message.own : message.text); },
  blow() { hud.blow(); },
};

// What is over the picture while there is none

function say(words, refused = false) {
  byId("said").textContent = words;
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
  say("Connecting");
  connection.connect();
});
byId("first").append(...FIRST.flatMap(([keys, meaning]) => {
  const caps = document.createElement("dt"), said = document.createElement("dd");
  caps.append(...keys.map((key) => Object.assign(document.createElement("kbd"), { textContent: key })));
  said.textContent = meaning;
  return [caps, said];
}));

// Pictures

function sized(width, height, strip) {
  frame.style.setProperty("--aspect", width / height);
  byId("stage").style.setProperty("--aspect", width / height);
  frame.style.setProperty("--strip", strip / height);
}

function swap(shown) {
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
  sized(video.videoWidth, video.videoHeight - ROWS, ROWS);
  swap(video);
  presented(reader.read(video), Math.max(performance.now(), data.expectedDisplayTime ?? 0));
}

function eachRefresh() {  // where a browser does not tell of frames: as often as the screen is refreshed
  requestAnimationFrame(eachRefresh);
  if (connection.transport !== "webrtc" || !video.videoHeight) return;
  const stamp = reader.read(video);
  if (!stamp || stamp.picture === eachRefresh.last) return;
  eachRefresh.last = stamp.picture;
  sized(video.videoWidth, video.videoHeight - ROWS, ROWS);
  swap(video);
  presented(stamp, performance.now());
}
if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(onVideo);
else eachRefresh();
video.addEventListener("loadedmetadata", () => video.play().catch(() => {}));

// What the page does itself; true where a key of that meaning is not to go to the server

function act(action) {
  if (action === "hud") hud.toggle();
  else if (action === "full_hud") { hud.toggleFull(); measure(); }
  else if (action === "help") byId("help").hidden = !byId("help").hidden;
  else if (action === "map") maps.toggle();
  else if (action === "fullscreen") document.fullscreenElement ? document.exitFullscreen() : byId("stage").requestFullscreen?.().catch(() => {});
  else if (action === "screenshot") screenshot();
  else if (action === "menu") stepBack();
  else if (action.startsWith("view")) {
    const view = Number(action.slice(5)) || status.view % 6 + 1;
    if (drives()) connection.say({ t: "view", view });
  } else if (action === "skip" || action === "graph") return true;
  else return me.role !== "drive";
  return true;
}

function stepBack() {
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
byId("measure").addEventListener("click", (event) => { event.currentTarget.blur(); hud.toggleFull(); measure(); });
byId("help").addEventListener("click", () => { byId("help").hidden = true; });
const divide = (event) => {
  const box = frame.getBoundingClientRect();
  connection.say({ t: "divide", share: Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) });
};
byId("divider").addEventListener("pointerdown", (event) => event.currentTarget.setPointerCapture(event.pointerId));
byId("divider").addEventListener("pointermove", (event) => event.buttons && divide(event));
const wake = () => {
  frame.classList.add("awake");
  clearTimeout(asleep);
  asleep = setTimeout(() => frame.classList.remove("awake"), 2500);
};
for (const name of ["pointermove", "pointerdown", "focusin"]) addEventListener(name, wake);
const coarse = matchMedia("(pointer: coarse)").matches || wishes.has("touch");
document.body.classList.toggle("coarse", coarse);
byId("touch").hidden = !coarse;
addEventListener("contextmenu", (event) => event.preventDefault());

// Measurement: shown here, and told to the server now and then

function measure() {
  const how = video.hidden ? "JPEG" : `${connection.buffered.toFixed(0)} ms from packet to picture`;
  hud.draw(controls.latencies, connection.transport, how);
}
setInterval(measure, 250);
setInterval(() => {
  const now = performance.now(), [shown, painted] = reportedSeen;
  const latency = controls.fresh.splice(0).map((value) => Math.round(value * 100) / 100).slice(-256);
  if (me.page && connection.transport && now > reported) {
    connection.say({ t: "measured", latency, shown: hud.seen - shown, painted: hud.seenPainted - painted, seconds: (now - reported) / 1000, transport: connection.transport });
  }
  reported = now;
  reportedSeen = [hud.seen, hud.seenPainted];
}, 1000);

// `?press`: the page of a benchmark, which presses Q at random moments

if (wishes.has("press")) {
  const press = () => {
    if (drives() && status.driving) {
      for (const kind of ["keydown", "keyup"]) dispatchEvent(new KeyboardEvent(kind, { key: "q", code: "KeyQ", cancelable: true }));
    }
    setTimeout(press, 60 + 80 * Math.random());
  };
  press();
}

connection.connect();
window.neuralsim = { connection, controls, hud, maps, menu, status: () => status, me: () => me };  // for tests and the curious
